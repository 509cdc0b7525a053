// SPDX-License-Identifier: EUPL-1.2
/* The errand, and what comes back. */
#include "proxy/introspect.h"

#include "auth/introspection.h"
#include "base/mem.h"
#include "base/secret.h"

struct introspection_errand {
    struct errand errand;
    uint8_t provider_digest[32];
    struct slice token; /* owned; wiped */
    enum reason reason;
    struct slice body; /* owned */
};

static struct introspection_errand *introspection_of(struct errand *e)
{
    return container_of(e, struct introspection_errand, errand);
}

static void answered(void *owner, enum reason reason, struct slice body)
{
    struct introspection_errand *i = owner;
    i->reason = reason;
    i->body = mem_slice(body);
    errand_done(&i->errand);
}

static void run(struct errand *self, struct desks *desks)
{
    struct introspection_errand *i = introspection_of(self);
    introspection_desk_ask(desks->introspections,
                           &(struct introspection_question){.provider_digest = i->provider_digest,
                                                            .token = i->token,
                                                            .secrets_dir = desks->secrets_dir,
                                                            .answered = answered,
                                                            .owner = i});
}

static void back(struct errand *self, struct exchange *x)
{
    const struct introspection_errand *i = introspection_of(self);
    if (!x)
        return;
    x->asked.reason = i->reason;
    x->asked.body = arena_copy(&x->arena, i->body);
}

static void drop(struct errand *self)
{
    struct introspection_errand *i = introspection_of(self);
    wipe((char *)(uintptr_t)i->token.ptr, i->token.len);
    mem_slice_free(&i->token);
    mem_slice_free(&i->body);
    mem_free(i);
}

struct errand *errand_for_introspection(struct exchange *x, const struct provider *provider,
                                        struct slice token)
{
    struct introspection_errand *i = mem_new(struct introspection_errand);
    i->errand =
        (struct errand){.kind = ERRAND_INTROSPECTION, .run = run, .back = back, .drop = drop};
    memcpy(i->provider_digest, provider->digest, sizeof i->provider_digest);
    i->token = mem_slice(token);
    i->reason = REASON_PROVIDER_UNAVAILABLE;
    x->asked.reason = REASON_PROVIDER_UNAVAILABLE; // what it stays where nobody answers in time
    return &i->errand;
}
