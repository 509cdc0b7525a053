// SPDX-License-Identifier: EUPL-1.2
/* What a provider says to people who sign in. The first byte chooses: "d" a discovery document, "g"
 * a token endpoint's answer, "e" an error with its description, "u" userinfo, "c" the claims of an
 * ID token, signed rightly. Whatever is taken is in bounds, is about the issuer and the person that
 * were asked for, and an identity that is printed is parsed as the same. */
#include "auth/discovery.h"
#include "auth/grant.h"
#include "auth/id_token.h"
#include "base/hash.h"
#include "tests/fuzz/signer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct slice acr_claims[] = {SLICE_INIT("acr"), SLICE_INIT("amr")};
static const struct slice scopes[] = {SLICE_INIT("openid")};
static struct acr_value levels[] = {{400, SLICE_INIT("strong")}};
static const struct provider provider = {.id = SLICE_INIT("fas"),
                                         .entity = SLICE_INIT("finance"),
                                         .issuer = SLICE_INIT("https://idp.example"),
                                         .algorithms = 1u << ALGORITHM_ES256,
                                         .groups_claim = SLICE_INIT("roles"),
                                         .acr_claims = {acr_claims, 2},
                                         .leeway_s = 30,
                                         .sign_in = {.client = {.id = SLICE_INIT("belfry")},
                                                     .scopes = {scopes, 1},
                                                     .acr_values = levels,
                                                     .acr_value_count = 1}};
static struct private_key signer;
static struct key_set *keys;
static struct id_token_demand demand;

static void begin(void)
{
    if (keys)
        return;
    base_init();
    keys = signer_make(&signer, provider.algorithms);
    demand = (struct id_token_demand){.provider = &provider,
                                      .keys = keys,
                                      .nonce = SLICE("n"),
                                      .code = SLICE("c"),
                                      .access_token = SLICE("a"),
                                      .max_age_s = -1,
                                      .begun_at = {1799999990},
                                      .now = {1800000000}};
}

static void try_discovery(struct arena *a, struct slice text)
{
    struct discovery d;
    struct fault fault;
    if (!discovery_read(&d, a, text, provider.issuer, &fault))
        return;
    const struct slice all[] = {d.jwks_uri, d.authorization_endpoint, d.token_endpoint,
                                d.userinfo_endpoint, d.end_session_endpoint};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        assert(all[i].len <= DISCOVERY_URL_MAX_BYTES);
    assert(d.jwks_uri.len);
}

static void check_visible(struct slice text)
{
    assert(text.len <= IDENTITY_TOKEN_MAX_BYTES);
    for (size_t i = 0; i < text.len; i++)
        assert(text.ptr[i] > ' ' && text.ptr[i] <= '~');
}

static void try_grant(struct arena *a, struct slice text)
{
    static const int statuses[] = {200, 400, 500};
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        struct grant g;
        struct fault fault = {0};
        const enum reason reason = grant_read(&g, a, statuses[i], text, &fault);
        assert((reason == REASON_PERMITTED) == !fault.text[0]);
        if (reason != REASON_PERMITTED)
            continue;
        assert(statuses[i] == 200 && g.access_token.len);
        check_visible(g.access_token);
        check_visible(g.id_token);
        check_visible(g.refresh_token);
    }
}

static void try_error(struct slice text)
{
    struct fault fault;
    const struct slice error = slice_cut(&text, '\n');
    assert(grant_refusal(error, text, &fault) != REASON_PERMITTED);
    for (const char *at = fault.text; *at; at++)
        assert((uint8_t)*at >= ' ' && *at != 0x7f);
}

static void check_identity(struct arena *a, const json_t *claims, const json_t *userinfo)
{
    struct identity i, back;
    struct fault fault;
    struct buf text, again;
    if (identity_make(&i, a, &provider, claims, userinfo, SLICE("openid"), NULL, demand.now,
                      &fault) != REASON_PERMITTED)
        return;
    assert(i.subject.len && i.subject.len <= 256 && i.session.len <= 256 && i.name.len <= 256);
    assert(i.acr.len <= 256 && i.locale.len <= 35 && i.acr_level >= 0 && i.acr_level <= 999);
    signer_check_list(i.groups);
    signer_check_list(i.amr);
    buf_init(&text, IDENTITY_MAX_BYTES);
    buf_init(&again, IDENTITY_MAX_BYTES);
    if (identity_print(&i, &text)) { // escapes can make it larger than it may be
        assert(identity_parse(&back, a, buf_slice(&text)));
        assert(identity_print(&back, &again) && slice_eq(buf_slice(&text), buf_slice(&again)));
    }
    buf_fini(&text);
    buf_fini(&again);
}

static void try_userinfo(struct arena *a, struct slice text)
{
    static const struct slice types[] = {SLICE_INIT("application/json"),
                                         SLICE_INIT("application/jwt")};
    for (size_t i = 0; i < 2; i++) {
        enum reason reason;
        struct fault fault;
        json_t *userinfo =
            userinfo_read(text, types[i], SLICE("anna"), &demand, NULL, &reason, &fault);
        assert(!userinfo == (reason != REASON_PERMITTED));
        assert(i == 0 || !userinfo); // nobody has signed it
        json_t *claims = json_pack("{s:s}", "sub", "anna");
        if (userinfo)
            check_identity(a, claims, userinfo);
        json_decref(claims);
        json_decref(userinfo);
    }
}

static void try_claims(struct arena *a, struct slice text)
{
    struct slice token = signer_sign(&signer, SIGNER_HEADER, text);
    struct fault fault;
    struct jws j;
    enum reason reason = jws_parse(&j, token);
    if (reason == REASON_PERMITTED)
        reason = id_token_judge(&j, &demand, NULL, &fault);
    if (reason == REASON_PERMITTED) {
        struct slice said;
        assert(jtree_string(j.claims, "nonce", &said) && slice_eq(said, demand.nonce));
        assert(jtree_string(j.claims, "iss", &said) && slice_eq(said, provider.issuer));
        check_identity(a, j.claims, NULL);
    }
    jws_fini(&j);
    mem_slice_free(&token);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    begin();
    if (!size || size > 65536)
        return 0;
    const struct slice text = slice_from(data + 1, size - 1);
    arena_init(&arena, NULL);
    switch (data[0]) {
    case 'd':
        try_discovery(&arena, text);
        break;
    case 'g':
        try_grant(&arena, text);
        break;
    case 'e':
        try_error(text);
        break;
    case 'u':
        try_userinfo(&arena, text);
        break;
    case 'c':
        try_claims(&arena, text);
        break;
    default:
        break;
    }
    arena_fini(&arena);
    return 0;
}
