// SPDX-License-Identifier: EUPL-1.2
/* The proof, then its mark: `SET name 1 NX PX`, on the control thread. */
#include "proxy/proof.h"

#include "auth/vault.h"
#include "base/mem.h"
#include "base/redis.h"
#include "proxy/edition.h"
#include "proxy/errand.h"
#include "proxy/exchange_in.h"

#define STORE_LIMIT_MS 500 /* the store is near; who waits longer is refused */
#define WAIT_LIMIT_MS 800  /* with the way there and back */

struct proof_errand {
    struct errand errand;
    struct slice entity; /* owned */
    uint8_t mark[32];
    int64_t life_ms;
    enum reason answer;
};

static struct proof_errand *proof_of(struct errand *e)
{
    return container_of(e, struct proof_errand, errand);
}

static void on_reply(void *owner, const redisReply *reply)
{
    struct proof_errand *p = owner;
    if (reply && reply->type == REDIS_REPLY_STATUS)
        p->answer = REASON_PERMITTED;
    else if (reply && reply->type == REDIS_REPLY_NIL)
        p->answer = REASON_DPOP_REPLAYED;
    errand_done(&p->errand);
}

/* Under a name that says nothing, for as long as the proof would be taken. */
static void run(struct errand *self, struct desks *desks)
{
    struct proof_errand *p = proof_of(self);
    char name[VAULT_NAME_ROOM];
    char life[32];
    const struct keyring *keys = desks->edition ? desks->edition->keyring : NULL;
    if (!keys ||
        !vault_name(keys, VAULT_MARK, p->entity, slice_from(p->mark, sizeof p->mark), name)) {
        errand_done(self);
        return;
    }
    const int len = snprintf(life, sizeof life, "%lld", (long long)p->life_ms);
    const struct slice words[] = {SLICE("SET"), slice_of(name), SLICE("1"),
                                  SLICE("NX"),  SLICE("PX"),    slice_from(life, (size_t)len)};
    if (!redis_send(desks->records, STORE_LIMIT_MS, on_reply, p, words,
                    sizeof words / sizeof *words))
        errand_done(self);
}

static void back(struct errand *self, struct exchange *x)
{
    if (x)
        x->proof.answer = proof_of(self)->answer;
}

static void drop(struct errand *self)
{
    struct proof_errand *p = proof_of(self);
    mem_slice_free(&p->entity);
    mem_free(p);
}

static void ask_store(struct exchange *x, const struct dpop_answer *proof)
{
    struct proof_errand *p = mem_new(struct proof_errand);
    p->errand = (struct errand){.kind = ERRAND_PROOF, .run = run, .back = back, .drop = drop};
    p->entity = mem_slice(x->facts.app->entity);
    memcpy(p->mark, proof->mark, sizeof p->mark);
    /* A gateway whose clock is behind takes it for longer than we do. */
    p->life_ms = (proof->until_s - x->facts.now.s + DPOP_AHEAD_S) * 1000;
    p->answer = REASON_DPOP_UNAVAILABLE;
    errand_send(x, &p->errand, WAIT_LIMIT_MS);
}

enum reason proof_judge(struct exchange *x, struct slice token, bool *waits)
{
    struct dpop_answer proof;
    const struct dpop_question q = {.proof = exchange_field(x, SLICE("dpop")),
                                    .request = &x->request,
                                    .paths = x->facts.app->paths,
                                    .token = token,
                                    .now = x->facts.now};
    const uint8_t *bound_to = token_proof_key(x->token);
    *waits = x->errand != NULL;
    if (x->proof.is_asked)
        return *waits ? REASON_PERMITTED : x->proof.answer;
    // §4.3, 1: exactly one field.
    if (exchange_count_fields(x, SLICE("dpop")) != 1) {
        x->detail = "there is not exactly one proof";
        return REASON_DPOP_PROOF;
    }
    enum reason why = dpop_judge(&q, &x->arena, &proof, &x->detail);
    if (why != REASON_PERMITTED)
        return why;
    // §7.1: the key of the proof is the one to which the token is bound.
    if (!bound_to || memcmp(bound_to, proof.thumbprint, sizeof proof.thumbprint) != 0)
        return REASON_TOKEN_BINDING;
    if (!dpop_cache_note(x->worker->proofs, &proof, x->facts.now))
        return REASON_DPOP_REPLAYED;
    x->proof.is_asked = true;
    x->proof.answer = REASON_DPOP_UNAVAILABLE; // what it stays where nobody answers in time
    ask_store(x, &proof);
    *waits = true;
    return REASON_PERMITTED;
}
