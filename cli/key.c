// SPDX-License-Identifier: EUPL-1.2
/* Keys on disk: those that sign policy (`belfry key generate`, `show`, `rotate`). A key is written
 * once, to a new file of mode 0600, and never to a terminal; what is printed of it is public. The
 * gateway's own rings are in key_ring.c. */
#include <stdio.h>
#include <time.h>

#include "base/codec.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/secret.h"
#include "base/sign.h"
#include "cli/cli.h"
#include "cli/help.h"
#include "cli/key_in.h"
#include "cli/passphrase.h"
#include "cli/signing_key.h"

#define OVERLAP_DAYS 30
#define OVERLAP_MAX_DAYS 3650
#define DAY_S 86400

int key_trouble(const struct fault *f)
{
    (void)fprintf(stderr, "belfry key: %s\n", f->text);
    return f->code == FAULT_IO ? EXIT_TROUBLE : EXIT_REFUSED;
}

static bool print_pem(const struct private_key *key, const struct key_lock *lock,
                      struct secret *pem, struct fault *f)
{
    struct secret passphrase = {NULL, 0};
    if (!lock->is_wanted)
        return private_key_print(key, pem, f);
    const bool is_printed =
        passphrase_get(&passphrase, lock->passphrase_path, "New passphrase", true, f) &&
        private_key_lock(key, &passphrase, pem, f);
    secret_fini(&passphrase);
    return is_printed;
}

bool key_write(const char *path, enum algorithm algorithm, const struct key_lock *lock,
               uint8_t *out_public, struct fault *f)
{
    struct private_key key = {0};
    struct secret pem = {NULL, 0};
    const bool is_written =
        private_key_make(&key, algorithm, f) &&
        (!out_public || private_key_public_raw(&key, out_public, &(size_t){0}, f)) &&
        print_pem(&key, lock, &pem, f) &&
        file_write_new(path, slice_from(pem.bytes, pem.len), KEY_MODE, f);
    secret_fini(&pem);
    private_key_fini(&key);
    return is_written;
}

struct arguments {
    const char *files[2];
    int file_count;
    struct key_lock lock;
    uint64_t overlap_days;
};

/* False where they are not understood. */
static bool read_arguments(struct arguments *a, int argc, char **argv)
{
    a->overlap_days = OVERLAP_DAYS;
    for (int i = 0; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--encrypt") == 0) {
            a->lock.is_wanted = true;
        } else if (strcmp(argv[i], "--passphrase-file") == 0 && value) {
            a->lock = (struct key_lock){true, value};
            i++;
        } else if (strcmp(argv[i], "--overlap") == 0 && value) {
            if (!slice_u64(slice_of(value), OVERLAP_MAX_DAYS, &a->overlap_days))
                return false;
            i++;
        } else if ((argv[i][0] == '-' && argv[i][1]) || a->file_count == 2) {
            return false;
        } else {
            a->files[a->file_count++] = argv[i];
        }
    }
    return true;
}

/* "KEYID PUBLIC": what a charter or configuration names the key by. */
struct public_text {
    char id[KEY_ID_CHARS + 1];
    char key[BASE64_LEN(ED25519_KEY_BYTES) + 1];
};

static struct public_text text_of(const uint8_t public_key[ED25519_KEY_BYTES])
{
    struct public_text text = {.id = ""};
    key_id_make(text.id, public_key);
    (void)base64_encode(text.key, public_key, ED25519_KEY_BYTES);
    return text;
}

static int print_public(const struct public_text *text)
{
    return printf("%s %s\n", text->id, text->key) < 0 ? EXIT_TROUBLE : EXIT_OK;
}

static bool read_public(const char *path, const char *passphrase_path, struct public_text *out,
                        struct fault *f)
{
    struct signing_key key = {0};
    if (!signing_key_read(&key, path, passphrase_path, f))
        return false;
    *out = text_of(key.public_key);
    signing_key_fini(&key);
    return true;
}

static int show(const struct arguments *a)
{
    struct public_text text;
    struct fault f;
    return read_public(a->files[0], a->lock.passphrase_path, &text, &f) ? print_public(&text)
                                                                        : key_trouble(&f);
}

static bool make_public(const char *path, const struct key_lock *lock, struct public_text *out,
                        struct fault *f)
{
    uint8_t raw[ED25519_KEY_BYTES * 2];
    if (!key_write(path, ALGORITHM_ED25519, lock, raw, f))
        return false;
    *out = text_of(raw);
    return true;
}

static int generate(const struct arguments *a)
{
    struct public_text text;
    struct fault f;
    return make_public(a->files[0], &a->lock, &text, &f) ? print_public(&text) : key_trouble(&f);
}

/* ---- rotation ---- */

static bool time_text(char out[sizeof("YYYY-mm-ddTHH:MM:SSZ")], time_t at)
{
    struct tm utc;
    return gmtime_r(&at, &utc) &&
           strftime(out, sizeof("YYYY-mm-ddTHH:MM:SSZ"), "%Y-%m-%dT%H:%M:%SZ", &utc);
}

/* The lines for the charter, in which both keys count for a while: whoever has the new one signs,
 * and what the old one signed stays good until it is signed anew. */
static int print_overlap(const struct public_text *old, const struct public_text *new,
                         uint64_t days)
{
    char from[sizeof("YYYY-mm-ddTHH:MM:SSZ")], until[sizeof("YYYY-mm-ddTHH:MM:SSZ")];
    const time_t now = time(NULL);
    struct fault f;
    if (!time_text(from, now) || !time_text(until, now + (time_t)days * DAY_S)) {
        (void)fault_set(&f, FAULT_IO, "the clock shows no time of ours");
        return key_trouble(&f);
    }
    const bool is_printed =
        printf("# In the charter, in the place of the old key's line; sign what is in force anew "
               "before the old one ends.\n"
               "- { id: \"%s\", public: \"%s\", not_after: %s }\n"
               "- { id: \"%s\", public: \"%s\", not_before: %s }\n",
               old->id, old->key, until, new->id, new->key, from) >= 0;
    return is_printed ? EXIT_OK : EXIT_TROUBLE;
}

/* The old key may lie under a passphrase, too: it is asked for on the terminal. */
static int rotate(const struct arguments *a)
{
    struct public_text old, new;
    struct fault f;
    if (!read_public(a->files[0], a->lock.passphrase_path, &old, &f) ||
        !make_public(a->files[1], &a->lock, &new, &f))
        return key_trouble(&f);
    return print_overlap(&old, &new, a->overlap_days);
}

int cli_key(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(const struct arguments *a);
        int files;
    } commands[] = {{"generate", generate, 1}, {"show", show, 1}, {"rotate", rotate, 2}};
    struct arguments a = {.file_count = 0};
    if (argc > 2 && strcmp(argv[1], "ring") == 0)
        return key_ring(argc - 2, argv + 2);
    for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof *commands; i++)
        if (strcmp(argv[1], commands[i].name) == 0 && read_arguments(&a, argc - 2, argv + 2) &&
            a.file_count == commands[i].files)
            return commands[i].run(&a);
    return help_usage("key", argc > 1 ? argv[1] : NULL);
}
