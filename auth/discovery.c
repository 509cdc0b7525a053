// SPDX-License-Identifier: EUPL-1.2
/* Each member is looked at once; one of another type than the specification gives makes the
 * document none. Members that we do not use are not read. */
#include "auth/discovery.h"

#include "base/fault.h"
#include "base/jtree.h"
#include "policy/delegation.h"

struct slice discovery_url(struct arena *a, struct slice issuer)
{
    // §4.1: a slash at the end of the issuer is not doubled.
    if (slice_ends(issuer, SLICE("/")))
        issuer.len--;
    return arena_printf(a, "%.*s/.well-known/openid-configuration", SLICE_ARG(issuer));
}

static const struct {
    const char *name;
    size_t at;
} endpoints[] = {
    {"jwks_uri", offsetof(struct discovery, jwks_uri)},
    {"authorization_endpoint", offsetof(struct discovery, authorization_endpoint)},
    {"token_endpoint", offsetof(struct discovery, token_endpoint)},
    {"userinfo_endpoint", offsetof(struct discovery, userinfo_endpoint)},
    {"end_session_endpoint", offsetof(struct discovery, end_session_endpoint)},
};
#define ENDPOINT_COUNT (sizeof endpoints / sizeof *endpoints)

static bool endpoint_read(struct arena *a, const json_t *tree, const char *name, struct slice *out,
                          struct fault *f)
{
    struct slice url;
    *out = (struct slice){"", 0};
    if (!jtree_has(tree, name))
        return true;
    if (!jtree_string(tree, name, &url) || url.len > DISCOVERY_URL_MAX_BYTES)
        return fault_set(f, FAULT_SYNTAX, "%s in the discovery document is no address", name);
    *out = arena_copy(a, url);
    return true;
}

static bool tree_read(struct discovery *out, struct arena *a, const json_t *tree,
                      struct slice issuer, struct fault *f)
{
    struct slice said;
    if (!tree || !jtree_string(tree, "issuer", &said))
        return fault_set(f, FAULT_SYNTAX, "the discovery document lacks issuer");
    // §4.3: it is about exactly this issuer, or it is not used.
    if (!slice_eq(said, issuer))
        return fault_set(f, FAULT_TRUST, "the discovery document is about another issuer");
    for (size_t i = 0; i < ENDPOINT_COUNT; i++)
        if (!endpoint_read(a, tree, endpoints[i].name,
                           (struct slice *)(void *)((char *)out + endpoints[i].at), f))
            return false;
    if (!out->jwks_uri.len)
        return fault_set(f, FAULT_SYNTAX, "the discovery document lacks jwks_uri");
    out->says_iss =
        json_is_true(json_object_get(tree, "authorization_response_iss_parameter_supported"));
    return true;
}

bool discovery_read(struct discovery *out, struct arena *a, struct slice body, struct slice issuer,
                    struct fault *f)
{
    json_t *tree = jtree_parse(body);
    *out = (struct discovery){0};
    const bool is_read = tree_read(out, a, tree, issuer, f);
    json_decref(tree);
    return is_read;
}

bool discovery_is_inside(const struct discovery *d, const struct charter_entity *entity,
                         struct fault *f)
{
    for (size_t i = 0; i < ENDPOINT_COUNT; i++) {
        const struct slice *url = (const void *)((const char *)d + endpoints[i].at);
        if (url->len && !delegation_has_url(entity, *url, f))
            return fault_within(f, "%s in the discovery document", endpoints[i].name);
    }
    return true;
}
