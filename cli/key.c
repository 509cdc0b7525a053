// SPDX-License-Identifier: EUPL-1.2
/* Keys on disk: `belfry key generate`, `show` and `ring new`. A key is written once, to a new file
 * of mode 0600, and never to a terminal; what is printed of it is public. */
#include <limits.h>
#include <stdio.h>

#include "base/codec.h"
#include "base/entropy.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/secret.h"
#include "base/sign.h"
#include "cli/cli.h"
#include "cli/signing_key.h"
#include "policy/serials.h"

#define KEY_MODE 0600
#define DIR_MODE 0700
#define KEY_BYTES 32 /* of HMAC-SHA-256 and of AES-256 */
#define TICKET_KEY_BYTES                                                                           \
    80 /* what OpenSSL wants for session tickets: name, HMAC and cipher key                        \
        */

static int usage(void)
{
    (void)fputs("usage: belfry key generate FILE\n"
                "       belfry key show FILE\n"
                "       belfry key ring new DIR/assertion/ENTITY\n"
                "       belfry key ring new DIR/audit/ENTITY\n"
                "       belfry key ring new DIR/ticket | DIR/seal | DIR/store\n",
                stderr);
    return EXIT_USAGE;
}

static int trouble(const struct fault *f)
{
    (void)fprintf(stderr, "belfry key: %s\n", f->text);
    return f->code == FAULT_IO ? EXIT_TROUBLE : EXIT_REFUSED;
}

static bool write_key(const char *path, enum algorithm algorithm, struct fault *f)
{
    struct private_key key = {ALGORITHM_NONE, NULL};
    struct secret pem = {NULL, 0};
    const bool is_written = private_key_make(&key, algorithm, f) &&
                            private_key_print(&key, &pem, f) &&
                            file_write_new(path, slice_from(pem.bytes, pem.len), KEY_MODE, f);
    secret_fini(&pem);
    private_key_fini(&key);
    return is_written;
}

/* "KEYID PUBLIC": what a charter or configuration names the key by. */
static int show(const char *path)
{
    struct signing_key key = {0};
    struct fault f;
    char text[BASE64_LEN(ED25519_KEY_BYTES)];
    if (!signing_key_read(&key, path, &f))
        return trouble(&f);
    const size_t len = base64_encode(text, key.public_key, sizeof(key.public_key));
    const bool is_printed = printf("%.*s %.*s\n", (int)sizeof(key.id), key.id, (int)len, text) >= 0;
    signing_key_fini(&key);
    return is_printed ? EXIT_OK : EXIT_TROUBLE;
}

static int generate(const char *path)
{
    struct fault f;
    return write_key(path, ALGORITHM_ED25519, &f) ? show(path) : trouble(&f);
}

/* ---- rings ---- */

enum ring { RING_NONE, RING_ASSERTION, RING_AUDIT, RING_TICKET, RING_OWN };

/* By the end of the path: ".../assertion/ENTITY", ".../audit/ENTITY", ".../ticket", ".../seal"
 * or ".../store". */
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
    if (slice_eq(last, SLICE("seal")) || slice_eq(last, SLICE("store")))
        return RING_OWN;
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
    const bool is_written = file_write_new(path, slice_from(hex, 2 * count + 1), KEY_MODE, f);
    wipe(bytes, sizeof(bytes));
    wipe(hex, sizeof(hex));
    return is_written;
}

static bool write_ring_key(const char *path, enum ring ring, struct fault *f)
{
    if (ring == RING_ASSERTION)
        return write_key(path, ALGORITHM_ES256, f);
    return write_random(path, ring == RING_TICKET ? TICKET_KEY_BYTES : KEY_BYTES, f);
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
