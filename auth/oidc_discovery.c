// SPDX-License-Identifier: EUPL-1.2
/* What is known of each provider that people sign in at. Its discovery document is fetched by one
 * question for all that wait for it, kept for its life, and used beyond that while a newer one is
 * on its way or can't be had. */
#include "auth/oidc_in.h"

#include "base/logger.h"
#include "base/mem.h"
#include "policy/delegation.h"

#define LIFE_DEFAULT_S 3600 /* of a document whose answer says nothing */
#define LIFE_MIN_S 300
#define LIFE_MAX_S 86400
#define RETRY_S 5 /* a document that is still good is asked for again at most so often */
/* Who could not be found is not looked for again so soon: browsers that wait hear of it. */
#define AWAY_MS 2000

struct known *oidc_known_find(const struct oidc_desk *d, const uint8_t digest[32])
{
    list_each (at, &d->providers) {
        struct known *k = container_of(at, struct known, link);
        if (!k->is_gone && !memcmp(k->digest, digest, sizeof k->digest))
            return k;
    }
    return NULL;
}

void oidc_known_free(struct known *k)
{
    link_remove(&k->link);
    fetch_cancel(k->fetch);
    arena_fini(&k->arena);
    mem_free(k->entity);
    mem_free(k->issuer);
    mem_free(k);
}

void oidc_known_release(struct known *k)
{
    if (k && --k->users == 0 && k->is_gone)
        oidc_known_free(k);
}

static bool known_may_connect(void *owner, const struct sockaddr *address)
{
    const struct known *k = owner;
    return oidc_may_connect(k->desk, slice_of(k->entity), address);
}

static const struct charter_entity *entity_of(const struct known *k, struct fault *f)
{
    const struct charter_entity *e =
        k->desk->snapshot ? snapshot_entity(k->desk->snapshot, slice_of(k->entity)) : NULL;
    if (!e)
        fault_set(f, FAULT_TRUST, "the charter does not name this entity");
    return e;
}

enum reason oidc_reason_of(const struct fault *why)
{
    return why->code == FAULT_IO ? REASON_PROVIDER_UNAVAILABLE : REASON_PROVIDER_MISTAKEN;
}

/* Those who wait look again; with `why` they end. */
static void known_tell(struct known *k, const struct fault *why)
{
    k->users++;
    while (!list_is_empty(&k->waiting)) {
        struct oidc_call *c = container_of(k->waiting.next, struct oidc_call, wait);
        link_remove(&c->wait);
        list_init(&c->wait);
        if (!why) {
            oidc_call_go(c);
            continue;
        }
        c->fault = *why;
        oidc_call_end(c, oidc_reason_of(why));
    }
    oidc_known_release(k);
}

static bool document_take(struct known *k, const struct fetch_answer *answer,
                          const struct fault *why, struct fault *f)
{
    struct arena arena;
    struct discovery said;
    const struct charter_entity *entity = entity_of(k, f);
    if (!entity)
        return false;
    if (!answer->status) {
        *f = *why;
        return false;
    }
    if (answer->status != 200)
        return fault_set(f, FAULT_IO, "discovery was answered with status %d", answer->status);
    arena_init(&arena, NULL);
    if (!discovery_read(&said, &arena, answer->body, slice_of(k->issuer), f) ||
        !discovery_is_inside(&said, entity, f)) {
        arena_fini(&arena);
        return false;
    }
    arena_fini(&k->arena);
    k->arena = arena;
    k->document = said;
    k->has_document = true;
    k->fetched_at = loop_now(k->desk->loop);
    const int64_t age_s = answer->max_age_s < 0 ? LIFE_DEFAULT_S : answer->max_age_s;
    k->life_s = age_s < LIFE_MIN_S ? LIFE_MIN_S : age_s > LIFE_MAX_S ? LIFE_MAX_S : age_s;
    return true;
}

static void on_discovery(void *owner, const struct fetch_answer *answer, const struct fault *why)
{
    struct known *k = owner;
    struct fault fault;
    k->fetch = NULL;
    if (document_take(k, answer, why, &fault)) {
        known_tell(k, NULL);
        return;
    }
    if (k->has_document) { // those who wait for a newer one go on with this
        fault_within(&fault, "discovery of '%s'", k->issuer);
        log_fault(LOG_LEVEL_WARNING, "auth", &fault);
        known_tell(k, NULL);
    } else {
        k->why = fault;
        k->away_until.ms = loop_now(k->desk->loop).ms + AWAY_MS;
        known_tell(k, &fault);
    }
}

static bool discovery_begin(struct known *k, struct fault *f)
{
    struct arena arena;
    const struct charter_entity *entity = entity_of(k, f);
    k->asked_at = loop_now(k->desk->loop);
    arena_init(&arena, NULL);
    const struct slice url = discovery_url(&arena, slice_of(k->issuer));
    const bool may = entity && delegation_has_url(entity, url, f);
    if (may) {
        metric_add(k->desk->metrics, METRIC_PROVIDER_REQUESTS_TOTAL, 1);
        k->fetch =
            fetch_start(k->desk->fetcher, &(struct fetch_request){.url = url,
                                                                  .ca_file = k->desk->ca_file,
                                                                  .limit_ms = OIDC_LIMIT_MS,
                                                                  .may_connect = known_may_connect,
                                                                  .done = on_discovery,
                                                                  .owner = k});
    }
    arena_fini(&arena);
    return may;
}

/* Nobody waits for it; its trouble is for the log. */
static void discovery_renew(struct known *k)
{
    struct fault fault;
    if (discovery_begin(k, &fault))
        return;
    fault_within(&fault, "discovery of '%s'", k->issuer);
    log_fault(LOG_LEVEL_WARNING, "auth", &fault);
}

static int64_t seconds_since(const struct oidc_desk *d, struct mono then)
{
    return (loop_now(d->loop).ms - then.ms) / 1000;
}

/* A document that has outlived its life is renewed beside; after as long as keys may be used
 * without news it is not used any more. */
enum step oidc_discover(struct oidc_call *c)
{
    struct known *k = c->known;
    if (!k)
        return oidc_over_because(c, REASON_PROVIDER_UNAVAILABLE, FAULT_CONFIG,
                                 "nobody signs in there (any more)");
    const int64_t age_s = seconds_since(c->desk, k->fetched_at);
    const bool is_good = k->has_document && age_s <= c->provider->keys_max_stale_s;
    const bool is_old = !k->has_document || age_s > k->life_s;
    if (is_good && is_old && !k->fetch && seconds_since(c->desk, k->asked_at) >= RETRY_S)
        (void)discovery_begin(k,
                              &c->fault); // its trouble is told by on_discovery, or when it counts
    if (is_good)
        return NEXT;
    k->has_document = false;
    if (!k->fetch && loop_now(c->desk->loop).ms < k->away_until.ms) {
        c->fault = k->why;
        return oidc_over(c, oidc_reason_of(&k->why));
    }
    if (!k->fetch && !discovery_begin(k, &c->fault))
        return oidc_over(c, REASON_PROVIDER_MISTAKEN);
    list_push(&k->waiting, &c->wait);
    return WAIT;
}

enum step oidc_look_up(struct oidc_call *c)
{
    if (c->provider && !c->provider->sign_in.has_logout)
        return NEXT;
    const enum step step = oidc_discover(c);
    if (step != WAIT)
        return step;
    link_remove(&c->wait);
    list_init(&c->wait);
    return oidc_over_because(c, REASON_PROVIDER_UNAVAILABLE, FAULT_IO, "it has not been found yet");
}

void oidc_known_new(struct oidc_desk *d, const struct provider *p)
{
    struct known *k = mem_new(struct known);
    k->desk = d;
    k->entity = mem_text(p->entity);
    k->issuer = mem_text(p->issuer);
    memcpy(k->digest, p->digest, sizeof k->digest);
    arena_init(&k->arena, NULL);
    list_init(&k->waiting);
    list_push(&d->providers, &k->link);
    discovery_renew(k);
}
