// SPDX-License-Identifier: EUPL-1.2
/* Credentials were judged by the bundle in force: what they say is taken where the bundle in shadow
 * has a provider or an authority of the same name, and else they would be refused there. */
#include "proxy/trial.h"

#include "auth/token.h"
#include "policy/decide.h"
#include "policy/query.h"
#include "proxy/exchange_in.h"

/* Who vouched for the person, or for the service that a token names. */
static bool takes_credentials(const struct application *app, const struct exchange *x)
{
    const struct facts_user *user = x->token ? token_user(x->token) : x->facts.user;
    return !user || application_takes_provider(app, user->provider);
}

static const struct authority *authority_of(const struct bundle *b, struct slice id)
{
    for (uint32_t i = 0; i < b->authority_count; i++)
        if (slice_eq(b->authorities[i].id, id))
            return &b->authorities[i];
    return NULL;
}

/* Nobody would be asked for a certificate: what one says is gone, and with it the service that it
 * alone names. */
static void forget_certificate(const struct exchange *x, struct facts *facts)
{
    facts->device = NULL;
    facts->service = x->token ? token_service(x->token) : NULL;
}

/* Whether they come as far as the rules; with a device as that bundle sees it. */
static bool is_let_to_rules(const struct exchange *x, struct facts *facts,
                            struct facts_device *room)
{
    const struct application *app = facts->app;
    if (!takes_credentials(app, x) || exchange_lacks_device(x, app))
        return false;
    if (app->device == DEVICE_NONE)
        forget_certificate(x, facts);
    if (!facts->device)
        return true;
    const struct authority *authority = authority_of(x->door->shadow, facts->device->authority);
    if (!authority)
        return false;
    *room = *facts->device;
    room->trust = authority->trust;
    facts->device = room;
    return true;
}

void trial_judge(struct exchange *x)
{
    const struct door *door = x->door;
    const struct snapshot *s = x->held->edition->snapshot;
    struct facts facts = x->facts;
    struct facts_device device __attribute__((uninitialized));
    struct decision d = {.verdict = DECISION_DENY};
    if (facts.now.s > door->shadow_until_s)
        return;
    facts.app = door->shadow_app;
    if (facts.app && is_let_to_rules(x, &facts, &device)) {
        query_read_for_rules(s, &facts, &x->arena);
        decide(s, &facts, &d);
    }
    if (d.verdict == x->decision.verdict)
        return;
    x->trial = (struct trial){.differs = true,
                              .serial = door->shadow->serial,
                              .rule = d.reason == REASON_DENIED ? SLICE("") : d.rule};
    metric_add(&x->worker->metrics, METRIC_SHADOW_BUNDLE_DIFFERENCES_TOTAL, 1);
}
