// SPDX-License-Identifier: EUPL-1.2
/* See keys.h. */
#include "keys.h"

#include <assert.h>
#include <ftw.h>
#include <unistd.h>

#include "base/file.h"
#include "base/secret.h"
#include "base/sign.h"

void keys_begin(char dir[KEYS_PATH_MAX])
{
    (void)snprintf(dir, KEYS_PATH_MAX, "/tmp/belfry-keys-XXXXXX");
    assert(mkdtemp(dir));
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *ftw)
{
    (void)status, (void)kind, (void)ftw;
    return remove(path);
}

void keys_end(const char *dir)
{
    (void)nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

void keys_write(const char *dir, const char *where, struct slice content, unsigned mode)
{
    char path[2 * KEYS_PATH_MAX];
    struct fault fault;
    (void)snprintf(path, sizeof path, "%s/%s", dir, where);
    char *slash = strrchr(path, '/');
    *slash = '\0';
    assert(dir_make(path, 0700, &fault));
    *slash = '/';
    assert(file_write(path, content, mode, &fault));
}

void keys_assertion(const char *dir, const char *where, bool is_ed25519)
{
    struct private_key key;
    struct secret pem;
    struct fault fault;
    char path[KEYS_PATH_MAX];
    assert(private_key_make(&key, is_ed25519 ? ALGORITHM_ED25519 : ALGORITHM_ES256, &fault));
    assert(private_key_print(&key, &pem, &fault));
    (void)snprintf(path, sizeof path, "assertion/%s", where);
    keys_write(dir, path, slice_from(pem.bytes, pem.len), 0600);
    secret_fini(&pem);
    private_key_fini(&key);
}
