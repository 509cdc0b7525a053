// SPDX-License-Identifier: EUPL-1.2
/* What a provider says of the end of sessions (Back-Channel Logout §2.6). */
#include "auth/oidc_in.h"

#include "auth/issuer.h"
#include "auth/jws.h"
#include "base/reason.h"

#define LOGOUT_MAX_AGE_S 600 /* Back-Channel Logout §2.4 recommends two minutes */
#define CLAIM_MAX_BYTES 256

/* `iss` and `aud` are not believed here: they say whose keys have to prove it. */
static const struct provider *whose(const struct oidc_call *c, const json_t *claims)
{
    const struct bundle *b = snapshot_bundle(c->snapshot, c->question.entity);
    struct slice issuer;
    for (uint32_t i = 0; b && jtree_string(claims, "iss", &issuer) && i < b->provider_count; i++) {
        const struct provider *p = &b->providers[i];
        const struct slices client = {&p->sign_in.client.id, 1};
        if (p->sign_in.client.id.len && slice_eq(p->issuer, issuer) &&
            jws_judge_audience(claims, client) == REASON_PERMITTED)
            return p;
    }
    return NULL;
}

static enum reason logout_judge(struct oidc_call *c, struct jws *j)
{
    const struct jws_demand demand = {.kind = JWS_LOGOUT_TOKEN,
                                      .algorithms = c->provider->algorithms,
                                      .keys = issuer_desk_keys(c->desk->issuers, c->provider),
                                      .issuer = c->provider->issuer,
                                      .audiences = {&c->provider->sign_in.client.id, 1},
                                      .leeway_s = c->provider->leeway_s,
                                      .max_age_s = LOGOUT_MAX_AGE_S,
                                      .now = loop_wall(c->desk->loop)};
    return jws_judge(j, &demand, c->desk->metrics);
}

/* An absent claim is fine and gives an empty text. */
static bool claim_take(struct oidc_call *c, const struct jws *j, const char *name,
                       struct slice *out)
{
    struct slice text;
    *out = (struct slice){"", 0};
    if (!jtree_has(j->claims, name))
        return true;
    if (!jtree_string(j->claims, name, &text) || !text.len || text.len > CLAIM_MAX_BYTES)
        return false;
    *out = arena_copy(&c->arena, text);
    return true;
}

static enum step logout_take(struct oidc_call *c, const struct jws *j)
{
    if (!claim_take(c, j, "sub", &c->logout.subject) ||
        !claim_take(c, j, "sid", &c->logout.session) || !claim_take(c, j, "jti", &c->logout.jti))
        return oidc_over_because(c, REASON_PROVIDER_MISTAKEN, FAULT_LIMIT,
                                 "a claim of the logout token is too long");
    c->logout.provider = c->provider->id;
    c->logout.until.s = j->times.usable_until_s;
    return NEXT;
}

static enum step logout_refuse(struct oidc_call *c, enum reason reason)
{
    fault_set(&c->fault, FAULT_TRUST, "the logout token is refused: %.*s",
              SLICE_ARG(reason_name(reason)));
    return oidc_over(c, reason == REASON_KEYS_UNAVAILABLE ? REASON_PROVIDER_UNAVAILABLE
                                                          : REASON_PROVIDER_MISTAKEN);
}

enum step oidc_recognise(struct oidc_call *c)
{
    struct jws j;
    enum step step = NEXT;
    enum reason reason = jws_parse(&j, c->logout_token);
    if (reason == REASON_PERMITTED && !(c->provider = whose(c, j.claims)))
        reason = REASON_TOKEN_ISSUER;
    if (reason == REASON_PERMITTED)
        reason = logout_judge(c, &j);
    if (oidc_are_keys_missing(reason) && !c->has_asked_keys) {
        step = oidc_want_keys(c);
        if (step == NEXT)
            reason = logout_judge(c, &j);
    }
    if (step == NEXT && c->provider)
        reason = oidc_key_reason(c, reason);
    if (step == NEXT)
        step = reason == REASON_PERMITTED ? logout_take(c, &j) : logout_refuse(c, reason);
    jws_fini(&j);
    return step;
}
