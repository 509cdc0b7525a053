// SPDX-License-Identifier: EUPL-1.2
/* Keys on disk: `belfry key generate`, `show` and `ring new`. A key is written once, to a new file
 * of mode 0600, and never to a terminal; what is printed of it is public. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/entropy.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/secret.h"
#include "base/sign.h"
#include "cli/cli.h"
#include "policy/serials.h"

#define PEM_MAX_BYTES 16384 /* an Ed25519 key has 119, a P-256 key 241 */
#define KEY_MODE 0600
#define DIR_MODE 0700
#define AUDIT_KEY_BYTES 32 /* HMAC-SHA-256's own size */
#define TICKET_KEY_BYTES                                                                           \
    80                 /* what OpenSSL wants for session tickets: name, HMAC and cipher key        \
                        */
#define KEY_ID_BYTES 8 /* of the digest; 16 hex digits */

static int usage(void)
{
    (void)fputs("usage: belfry key generate FILE\n"
                "       belfry key show FILE\n"
                "       belfry key ring new DIR/assertion/ENTITY\n"
                "       belfry key ring new DIR/audit/ENTITY\n"
                "       belfry key ring new DIR/ticket\n",
                stderr);
    return EXIT_USAGE;
}

static int trouble(const struct fault *f)
{
    (void)fprintf(stderr, "belfry key: %s\n", f->text);
    return f->code == FAULT_IO ? EXIT_TROUBLE : EXIT_REFUSED;
}

static bool write_all(int fd, struct slice bytes)
{
    while (bytes.len) {
        const ssize_t n = write(fd, bytes.ptr, bytes.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        bytes = slice_skip(bytes, (size_t)n);
    }
    return fsync(fd) == 0;
}

/* Only where nothing is there: a key that is overwritten is a key that is lost. */
static bool write_new(const char *path, struct slice bytes, struct fault *f)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, KEY_MODE);
    if (fd < 0 && errno == EEXIST)
        return fault_set(f, FAULT_CONFIG, "'%s' is there already and is not overwritten", path);
    if (fd < 0)
        return fault_errno(f, errno, "cannot make '%s'", path);
    const bool is_written = write_all(fd, bytes);
    const int error = errno;
    if (close(fd) == 0 && is_written)
        return true;
    (void)unlink(path); // half a key is none
    return fault_errno(f, error, "cannot write '%s'", path);
}

static bool write_key(const char *path, enum algorithm algorithm, struct private_key *out,
                      struct fault *f)
{
    struct secret pem = {NULL, 0};
    if (!private_key_make(out, algorithm, f))
        return false;
    const bool is_written =
        private_key_print(out, &pem, f) && write_new(path, slice_from(pem.bytes, pem.len), f);
    secret_fini(&pem);
    if (!is_written)
        private_key_fini(out);
    return is_written;
}

/* "KEYID PUBLIC": what a charter or configuration names the key by. */
static bool print_public(const struct private_key *key, struct fault *f)
{
    uint8_t raw[64];
    size_t len = 0;
    uint8_t digest[SHA256_BYTES];
    char id[2 * KEY_ID_BYTES];
    char text[BASE64_LEN(ED25519_KEY_BYTES)];
    if (key->algorithm != ALGORITHM_ED25519)
        return fault_set(f, FAULT_CONFIG, "not an Ed25519 key: it signs no documents");
    if (!private_key_public_raw(key, raw, &len, f))
        return false;
    sha256(digest, slice_from(raw, len));
    hex_encode(id, digest, KEY_ID_BYTES);
    const size_t text_len = base64_encode(text, raw, len);
    if (printf("%.*s %.*s\n", (int)sizeof(id), id, (int)text_len, text) < 0)
        return fault_errno(f, errno, "cannot print");
    return true;
}

static int generate(const char *path)
{
    struct private_key key = {ALGORITHM_NONE, NULL};
    struct fault f;
    if (!write_key(path, ALGORITHM_ED25519, &key, &f))
        return trouble(&f);
    const bool is_printed = print_public(&key, &f);
    private_key_fini(&key);
    return is_printed ? EXIT_OK : trouble(&f);
}

static int show(const char *path)
{
    struct private_key key = {ALGORITHM_NONE, NULL};
    struct secret pem = {NULL, 0};
    struct fault f;
    if (!file_read_secret(&pem, path, PEM_MAX_BYTES, &f))
        return trouble(&f);
    const bool is_read = private_key_read(&key, slice_from(pem.bytes, pem.len), &f);
    secret_fini(&pem);
    if (!is_read) {
        (void)fault_within(&f, "cannot read '%s'", path);
        return trouble(&f);
    }
    const bool is_printed = print_public(&key, &f);
    private_key_fini(&key);
    return is_printed ? EXIT_OK : trouble(&f);
}

/* ---- rings ---- */

enum ring { RING_NONE, RING_ASSERTION, RING_AUDIT, RING_TICKET };

/* By the end of the path: ".../assertion/ENTITY", ".../audit/ENTITY" or ".../ticket". */
static enum ring ring_of(struct slice path)
{
    struct slice last = {"", 0};
    struct slice before = {"", 0};
    while (path.len) {
        before = last;
        last = slice_cut(&path, '/');
    }
    if (slice_eq(last, SLICE("ticket")))
        return RING_TICKET;
    if (!entity_id_is_valid(last))
        return RING_NONE;
    return slice_eq(before, SLICE("assertion")) ? RING_ASSERTION
           : slice_eq(before, SLICE("audit"))   ? RING_AUDIT
                                                : RING_NONE;
}

/* The name says from when the key counts. */
static bool ring_path(char out[PATH_MAX], const char *dir, enum ring ring, struct fault *f)
{
    char stamp[sizeof("YYYYmmddHHMMSS")];
    struct tm utc;
    const time_t now = time(NULL);
    if (!gmtime_r(&now, &utc) || !strftime(stamp, sizeof(stamp), "%Y%m%d%H%M%S", &utc))
        return fault_set(f, FAULT_IO, "the clock shows no time of ours");
    const int len =
        snprintf(out, PATH_MAX, "%s/%s.%s", dir, stamp, ring == RING_ASSERTION ? "pem" : "key");
    return (len > 0 && len < PATH_MAX) || fault_set(f, FAULT_CONFIG, "the path is too long");
}

/* Random bytes as one line of hex. */
static bool write_random(const char *path, size_t count, struct fault *f)
{
    uint8_t bytes[TICKET_KEY_BYTES];
    char hex[2 * TICKET_KEY_BYTES + 1];
    entropy_bytes(bytes, count);
    hex_encode(hex, bytes, count);
    hex[2 * count] = '\n';
    const bool is_written = write_new(path, slice_from(hex, 2 * count + 1), f);
    wipe(bytes, sizeof(bytes));
    wipe(hex, sizeof(hex));
    return is_written;
}

static bool write_ring_key(const char *path, enum ring ring, struct fault *f)
{
    struct private_key key = {ALGORITHM_NONE, NULL};
    if (ring != RING_ASSERTION)
        return write_random(path, ring == RING_AUDIT ? AUDIT_KEY_BYTES : TICKET_KEY_BYTES, f);
    const bool is_written = write_key(path, ALGORITHM_ES256, &key, f);
    private_key_fini(&key);
    return is_written;
}

static int ring_new(const char *dir)
{
    char path[PATH_MAX];
    struct fault f;
    const enum ring ring = ring_of(slice_of(dir));
    if (ring == RING_NONE) {
        (void)fprintf(stderr, "belfry key: '%s' ends in no ring's name\n", dir);
        return usage();
    }
    if (!dir_make(dir, DIR_MODE, &f) || !ring_path(path, dir, ring, &f) ||
        !write_ring_key(path, ring, &f))
        return trouble(&f);
    return printf("%s\n", path) < 0 ? EXIT_TROUBLE : EXIT_OK;
}

int cli_key(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "generate") == 0)
        return generate(argv[2]);
    if (argc == 3 && strcmp(argv[1], "show") == 0)
        return show(argv[2]);
    if (argc == 4 && strcmp(argv[1], "ring") == 0 && strcmp(argv[2], "new") == 0)
        return ring_new(argv[3]);
    return usage();
}
