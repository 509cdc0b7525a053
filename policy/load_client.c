// SPDX-License-Identifier: EUPL-1.2
/* How the gateway is known to a provider. A document that lies in the store and is read by many
 * holds no secret: it names one. */
#include "base/sign.h"
#include "policy/load_in.h"

#define NAME_MAX_BYTES 64

static bool is_secret_name(struct slice name)
{
    if (!name.len || name.len > NAME_MAX_BYTES || name.ptr[0] == '.')
        return false;
    for (size_t i = 0; i < name.len; i++) {
        const char c = ascii_lower(name.ptr[i]);
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '.' && c != '_' && c != '-')
            return false;
    }
    return true;
}

bool load_secret_name(struct loader *l, const struct yaml *map, const char *key,
                      struct slice *out_name)
{
    const struct slice begin = SLICE("${secret:");
    const struct yaml *n = load_member(l, map, key, LOAD_OPTIONAL);
    struct slice text;
    if (!n || !load_word(l, n, key, &text))
        return false;
    if (!slice_starts(text, begin) || !slice_ends(text, SLICE("}"))) {
        findings_error(l->out, yaml_place(n), "literal-secret",
                       "a secret does not stand here; write ${secret:NAME}, and put it into "
                       "SECRETS_DIR/%.*s/NAME on each gateway",
                       SLICE_ARG(l->bundle->entity));
        return false;
    }
    const struct slice name = slice_from(text.ptr + begin.len, text.len - begin.len - 1);
    if (!is_secret_name(name)) {
        findings_error(l->out, yaml_place(n), "wrong-value",
                       "'%.*s' is no name of a secret; allowed are at most %d letters, digits, "
                       "'.', '-' and '_', the first no '.'",
                       SLICE_ARG(name), NAME_MAX_BYTES);
        return false;
    }
    *out_name = name;
    return true;
}

static void load_key_algorithm(struct loader *l, const struct yaml *map, struct client *c)
{
    struct slice names[ALGORITHM_COUNT];
    uint32_t choice;
    for (enum algorithm a = ALGORITHM_NONE + 1; a < ALGORITHM_COUNT; a++)
        names[a - 1] = algorithm_name(a);
    if (load_choice(l, map, "private_key_algorithm", LOAD_OPTIONAL, names, ALGORITHM_COUNT - 1,
                    &choice))
        c->key_algorithm = choice + 1;
}

bool load_client(struct loader *l, const struct yaml *map, struct client *c)
{
    struct slice key;
    const bool has_id = load_text(l, map, "client_id", LOAD_REQUIRED, &c->id);
    const bool has_secret = load_secret_name(l, map, "client_secret", &c->secret);
    const bool has_key = load_secret_name(l, map, "private_key", &key);
    const bool is_said =
        yaml_get(map, SLICE("client_secret")) || yaml_get(map, SLICE("private_key"));
    if (has_key) {
        c->auth = CLIENT_PRIVATE_KEY;
        c->secret = key;
    }
    load_key_algorithm(l, map, c);
    if (has_secret && has_key)
        findings_error(l->out, yaml_place(map), "conflict",
                       "a client has either a client_secret or a private_key");
    else if (!is_said)
        findings_error(l->out, yaml_place(map), "missing-key",
                       "a client needs a client_secret or a private_key");
    else if (c->key_algorithm && !has_key)
        findings_error(l->out, yaml_place(map), "conflict",
                       "private_key_algorithm is for a private_key");
    return has_id && has_secret != has_key;
}
