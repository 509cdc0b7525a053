// SPDX-License-Identifier: EUPL-1.2
/* The judge. Never changed once made; the desk makes another table. */
#include "auth/status_in.h"

#include "base/hash.h"
#include "base/mem.h"

struct statuses {
    _Atomic uint32_t references;
    uint64_t number;
    struct status_authority *authorities; /* sorted by digest */
    uint32_t authority_count;
    struct status_ocsp *answers; /* sorted by key */
    uint32_t answer_count;
};

void status_key(uint8_t out[32], const uint8_t authority[32], const struct chain_link *leaf)
{
    const struct slice parts[] = {slice_from(authority, 32), slice_from(leaf->issuer, 32),
                                  slice_from(leaf->serial.bytes, leaf->serial.len)};
    sha256_parts(out, parts, sizeof parts / sizeof *parts);
}

static int by_key(const void *a, const void *b)
{
    return memcmp(a, b, 32); /* both kinds of elements begin with it */
}

struct statuses *statuses_new(uint64_t number, const struct status_authority *authorities,
                              uint32_t count, const struct status_ocsp *answers,
                              uint32_t answer_count)
{
    struct statuses *t = mem_new(struct statuses);
    atomic_init(&t->references, 1);
    t->number = number;
    t->authorities = mem_array(struct status_authority, (size_t)count + 1);
    t->authority_count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct status_authority *a = &t->authorities[i];
        *a = authorities[i];
        a->crls = mem_array(struct crl *, (size_t)a->crl_count + 1);
        for (uint32_t k = 0; k < a->crl_count; k++)
            a->crls[k] = crl_ref(authorities[i].crls[k]);
    }
    qsort(t->authorities, count, sizeof *t->authorities, by_key);
    t->answers = mem_array(struct status_ocsp, (size_t)answer_count + 1);
    t->answer_count = answer_count;
    if (answer_count)
        memcpy(t->answers, answers, answer_count * sizeof *answers);
    return t;
}

struct statuses *statuses_ref(struct statuses *t)
{
    if (t)
        atomic_fetch_add_explicit(&t->references, 1, memory_order_relaxed);
    return t;
}

void statuses_unref(struct statuses *t)
{
    if (!t || atomic_fetch_sub_explicit(&t->references, 1, memory_order_acq_rel) != 1)
        return;
    for (uint32_t i = 0; i < t->authority_count; i++) {
        for (uint32_t k = 0; k < t->authorities[i].crl_count; k++)
            crl_unref(t->authorities[i].crls[k]);
        mem_free(t->authorities[i].crls);
    }
    mem_free(t->authorities);
    mem_free(t->answers);
    mem_free(t);
}

uint64_t statuses_number(const struct statuses *t)
{
    return t ? t->number : 0;
}

static void refuse(struct status_answer *out, enum reason why, const char *detail)
{
    out->reason = why;
    out->is_known = true;
    out->detail = detail;
}

static void end_at(struct status_answer *out, int64_t s)
{
    if (s < out->until.s)
        out->until.s = s;
}

/* What the lists say of one certificate. */
struct listed {
    bool is_revoked;
    bool is_good;    /* a fresh list of its issuer does not have it */
    bool is_spoken;  /* there is a list of its issuer, fresh or not */
    int64_t until_s; /* of the newest of these */
};

static struct listed look_up(const struct status_authority *a, const struct chain_link *link,
                             struct wall now)
{
    struct listed found = {0};
    for (uint32_t i = 0; i < a->crl_count; i++) {
        const struct crl *c = a->crls[i];
        if (memcmp(c->issuer, link->issuer, sizeof c->issuer) != 0)
            continue;
        found.is_spoken = true;
        found.is_revoked |= crl_has(c, &link->serial);
        found.is_good |= c->next_update.s >= now.s;
        if (c->next_update.s > found.until_s)
            found.until_s = c->next_update.s;
    }
    return found;
}

/* Whoever is not known to be revoked, and not known to be good. */
static void judge_unknown(int64_t since_s, int64_t allow_for_s, struct wall now,
                          struct status_answer *out)
{
    out->is_known = false;
    out->detail = "whether its certificate is revoked is not known";
    out->reason = now.s <= since_s + allow_for_s && allow_for_s ? REASON_PERMITTED
                                                                : REASON_REVOCATION_UNKNOWN;
    if (out->reason == REASON_PERMITTED)
        end_at(out, since_s + allow_for_s);
}

/* Intermediates are on lists only; one whose list is not at hand is known where all that was to be
 * fetched is there, and none speaks of it. */
static void judge_intermediates(const struct status_authority *a, const struct chain_answer *chain,
                                struct wall now, struct status_answer *out)
{
    for (uint32_t i = 1; i < chain->link_count; i++) {
        const struct listed found = look_up(a, &chain->links[i], now);
        if (found.is_revoked) {
            refuse(out, REASON_DEVICE_REVOKED, "an issuer of its certificate is revoked");
            return;
        }
        if (found.is_good)
            end_at(out, found.until_s);
        else if ((found.is_spoken || a->lacks_crl) && out->is_known &&
                 out->reason == REASON_PERMITTED)
            judge_unknown(found.is_spoken ? found.until_s : a->since_s, a->allow_for_s, now, out);
    }
}

static void judge_leaf(const struct statuses *t, const struct status_authority *a,
                       const struct chain_answer *chain, struct wall now, struct status_answer *out)
{
    static const struct status_ocsp never;
    const struct listed found = look_up(a, &chain->links[0], now);
    const struct status_ocsp *o = NULL;
    uint8_t key[32];
    if (a->has_ocsp && t->answer_count) {
        status_key(key, a->digest, &chain->links[0]);
        o = bsearch(key, t->answers, t->answer_count, sizeof *o, by_key);
    }
    o = o ? o : &never;
    const bool is_fresh = o->answer.verdict && o->answer.next_update.s >= now.s;
    if (a->has_ocsp) {
        out->wants = o->wanted_again_s <= now.s;
        if (!out->wants)
            end_at(out, o->wanted_again_s);
    } else {
        out->wants = !found.is_revoked && !found.is_good &&
                     (found.is_spoken || a->lacks_crl || a->follows_certificates);
    }
    if (found.is_revoked || o->answer.verdict == OCSP_REVOKED) {
        refuse(out, REASON_DEVICE_REVOKED, "its certificate is revoked");
    } else if (is_fresh && o->answer.verdict == OCSP_NOT_KNOWN) {
        refuse(out, REASON_DEVICE_INVALID, "its authority's responder does not know it");
        end_at(out, o->answer.next_update.s);
    } else if (is_fresh) {
        end_at(out, o->answer.next_update.s);
    } else if (found.is_good) {
        end_at(out, found.until_s);
    } else {
        const int64_t last_s = o->answer.verdict == OCSP_GOOD ? o->answer.next_update.s : 0;
        const int64_t known_s = found.until_s > last_s ? found.until_s : last_s;
        judge_unknown(known_s ? known_s : a->since_s, o->is_unread ? 0 : a->allow_for_s, now, out);
    }
}

void statuses_judge(const struct statuses *t, const struct chain_answer *chain, struct wall now,
                    struct status_answer *out)
{
    const struct status_authority *a =
        t && t->authority_count ? bsearch(chain->authority->digest, t->authorities,
                                          t->authority_count, sizeof *t->authorities, by_key)
                                : NULL;
    *out =
        (struct status_answer){.reason = REASON_PERMITTED, .is_known = true, .until = {INT64_MAX}};
    if (!a || !chain->link_count) {
        refuse(out, REASON_REVOCATION_UNKNOWN, "its authority is not known");
        return;
    }
    if (!a->is_checked)
        return;
    judge_leaf(t, a, chain, now, out);
    judge_intermediates(a, chain, now, out);
}
