// SPDX-License-Identifier: EUPL-1.2
/* The options of `sign`, `publish`, `show`, `renew` and `roll-back`, in one table. */
#include <string.h>

#include "cli/policy_desk.h"

static const struct {
    const char *name;
    enum desk_option kind;
    size_t at; /* of a const char * in struct desk_options; SIGNERS: theirs to take */
} options[] = {
#define SIGNERS SIZE_MAX
    {"-c", DESK_STORE, offsetof(struct desk_options, config_path)},
    {"--store", DESK_STORE, offsetof(struct desk_options, store_url)},
    {"--key", DESK_KEYS, SIGNERS},
    {"--key-id", DESK_KEYS, SIGNERS},
    {"--passphrase-file", DESK_KEYS, SIGNERS},
    {"--charter", DESK_CHARTER, offsetof(struct desk_options, charter)},
    {"--draft", DESK_DRAFT, offsetof(struct desk_options, draft)},
    {"--digest", DESK_DIGEST, offsetof(struct desk_options, digest)},
    {"--out", DESK_OUT, offsetof(struct desk_options, out)},
    {"--not-after", DESK_NOT_AFTER, offsetof(struct desk_options, not_after)},
    {"--to", DESK_TO, offsetof(struct desk_options, to)},
};

static bool take_option(struct desk_options *o, unsigned taken, const char *name, const char *value)
{
    size_t i = 0;
    while (i < sizeof options / sizeof *options && strcmp(options[i].name, name) != 0)
        i++;
    if (i == sizeof options / sizeof *options || !(options[i].kind & taken) || !value)
        return false;
    if (options[i].at == SIGNERS)
        return signers_option(&o->signers, name, value);
    const char **to = (const char **)(void *)((char *)o + options[i].at);
    if (*to)
        return false;
    *to = value;
    return true;
}

bool desk_options_read(struct desk_options *o, unsigned taken, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (argv[i][0] != '-') {
            if (o->word_count == sizeof o->words / sizeof *o->words)
                return false;
            o->words[o->word_count++] = argv[i];
            continue;
        }
        if (taken & DESK_JSON && strcmp(argv[i], "--json") == 0) {
            o->is_json = true;
            continue;
        }
        if (!take_option(o, taken, argv[i], i + 1 < argc ? argv[i + 1] : NULL))
            return false;
        i++;
    }
    return !o->config_path || !o->store_url;
}
