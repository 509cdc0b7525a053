// SPDX-License-Identifier: EUPL-1.2
/* The gateway's own key rings: `belfry key ring new` and `rotate`. A ring is a folder of files
 * whose names say from when each key counts; the operator copies them to all gateways. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/entropy.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/secret.h"
#include "cli/cli.h"
#include "cli/help.h"
#include "cli/key_in.h"
#include "policy/serials.h"

#define DIR_MODE 0700

enum ring { RING_NONE, RING_ASSERTION, RING_AUDIT, RING_SEAL, RING_STORE, RING_TICKET };

static const struct {
    const char *name;
    bool is_entitys; /* one folder deeper */
    size_t bytes;    /* of a random key; 0: a key pair */
    int64_t delay_s; /* of a rotation, until its key is used */
} rings[] = {
    [RING_NONE] = {"", false, 0, 0},
    [RING_ASSERTION] = {"assertion", true, 0, 3600},
    [RING_AUDIT] = {"audit", true, 32, 3600}, /* HMAC-SHA-256's own size */
    [RING_SEAL] = {"seal", false, 32, 3600},  /* AES-256 */
    [RING_STORE] = {"store", false, 32, 3600},
    [RING_TICKET] = {"ticket", false, 80,
                     0}, /* what OpenSSL wants: name, HMAC and cipher key. The newest is used */
};
#define KEY_MAX_BYTES 80

/* By the end of the path: ".../assertion/ENTITY", ".../audit/ENTITY", or ".../seal" and the like.
 */
static enum ring ring_of(struct slice path)
{
    struct slice last = {"", 0};
    struct slice before = {"", 0};
    while (path.len) {
        before = last;
        last = slice_cut(&path, '/');
    }
    for (enum ring r = RING_ASSERTION; r <= RING_TICKET; r++)
        if (slice_eq(rings[r].is_entitys ? before : last, slice_of(rings[r].name)) &&
            (!rings[r].is_entitys || entity_id_is_valid(last)))
            return r;
    return RING_NONE;
}

/* The name says from when the key counts. */
static bool ring_path(char out[PATH_MAX], const char *dir, enum ring ring, time_t from,
                      struct fault *f)
{
    char stamp[sizeof("YYYYmmddHHMMSS")];
    struct tm utc;
    if (!gmtime_r(&from, &utc) || !strftime(stamp, sizeof(stamp), "%Y%m%d%H%M%S", &utc))
        return fault_set(f, FAULT_IO, "the clock shows no time of ours");
    const int len =
        snprintf(out, PATH_MAX, "%s/%s.%s", dir, stamp, rings[ring].bytes ? "key" : "pem");
    return (len > 0 && len < PATH_MAX) || fault_set(f, FAULT_CONFIG, "the path is too long");
}

/* Random bytes as one line of hex. */
static bool write_random(const char *path, size_t count, struct fault *f)
{
    uint8_t bytes[KEY_MAX_BYTES];
    char hex[2 * KEY_MAX_BYTES + 1];
    entropy_bytes(bytes, count);
    hex_encode(hex, bytes, count);
    hex[2 * count] = '\n';
    const bool is_written = file_write_new(path, slice_from(hex, 2 * count + 1), KEY_MODE, f);
    wipe(bytes, sizeof(bytes));
    wipe(hex, sizeof(hex));
    return is_written;
}

/* How much of that path is there already, and whose that is. */
static size_t what_is_there(const char *dir, struct stat *owner)
{
    char path[PATH_MAX];
    size_t len = strnlen(dir, sizeof path - 1);
    memcpy(path, dir, len);
    for (path[len] = '\0'; len && stat(path, owner) != 0; path[len] = '\0')
        while (len && path[--len] != '/')
            continue;
    if (!len && stat(dir[0] == '/' ? "/" : ".", owner) != 0)
        *owner = (struct stat){0};
    return len;
}

/* What root makes is for the gateway, to which the folder belongs: it could not read a key of
 * root's, and would serve nobody at its next start. From the file up to what was there before. */
static bool give_away(const char *file, size_t there, const struct stat *owner, struct fault *f)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s", file);
    for (size_t len = strlen(path); len > there + 1; path[len] = '\0') {
        const int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        const bool is_given = fd >= 0 && fchown(fd, owner->st_uid, owner->st_gid) == 0;
        const int error = errno;
        if (fd >= 0)
            (void)close(fd);
        if (!is_given)
            return fault_errno(f, error, "cannot give '%s' to the owner of its folder", path);
        while (len && path[--len] != '/')
            continue;
    }
    return true;
}

/* From when a new key of a ring counts. A first one at once; after that there is time to copy it to
 * every gateway, and for upstreams to learn it. */
static bool ring_make(const char *dir, enum ring ring, int64_t delay_s, struct fault *f)
{
    char path[PATH_MAX];
    struct stat owner;
    const size_t there = what_is_there(dir, &owner);
    if (!dir_make(dir, DIR_MODE, f) || !ring_path(path, dir, ring, time(NULL) + delay_s, f))
        return false;
    const bool is_written = rings[ring].bytes ? write_random(path, rings[ring].bytes, f)
                                              : key_write(path, ALGORITHM_ES256,
                                                          &(struct key_lock){false, NULL}, NULL, f);
    if (is_written && geteuid() == 0 && !give_away(path, there, &owner, f))
        return false;
    return is_written && (printf("%s\n", path) >= 0 || fault_set(f, FAULT_IO, "cannot print"));
}

static bool has_keys(const char *dir, enum ring ring)
{
    const struct slice end = slice_of(rings[ring].bytes ? ".key" : ".pem");
    DIR *folder = opendir(dir);
    bool has = false;
    for (struct dirent *e; folder && !has && (e = readdir(folder));)
        has = e->d_name[0] != '.' && slice_ends(slice_of(e->d_name), end);
    if (folder)
        (void)closedir(folder); // was only read
    return has;
}

int key_ring(int argc, char **argv)
{
    struct fault f;
    const bool rotates = argc == 2 && strcmp(argv[0], "rotate") == 0;
    if (argc != 2 || (!rotates && strcmp(argv[0], "new") != 0))
        return help_usage("key", "ring");
    const enum ring ring = ring_of(slice_of(argv[1]));
    if (ring == RING_NONE) {
        (void)fprintf(stderr, "belfry key: '%s' ends in no ring's name\n", argv[1]);
        return help_usage("key", "ring");
    }
    if (rotates && !has_keys(argv[1], ring)) {
        (void)fault_set(&f, FAULT_CONFIG, "'%s' holds no key yet: belfry key ring new", argv[1]);
        return key_trouble(&f);
    }
    return ring_make(argv[1], ring, rotates ? rings[ring].delay_s : 0, &f) ? EXIT_OK
                                                                           : key_trouble(&f);
}
