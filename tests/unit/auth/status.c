// SPDX-License-Identifier: EUPL-1.2
/* What follows from what is known of a certificate: from lists, from answers, and from neither. */
#include "auth/status_in.h"

#include <criterion/criterion.h>

#include "base/hash.h"
#include "base/mem.h"
#include "pki.h"

static const struct wall now = {NOW_S};
static const struct authority authority = {.digest = {7}};
static struct chain_answer
    chain; /* a leaf with serial 1 of issuer 1, below one with serial 2 of 2 */

static void begin(void)
{
    base_init();
    chain = (struct chain_answer){.verdict = CHAIN_GOOD, .authority = &authority, .link_count = 2};
    for (uint8_t i = 0; i < 2; i++) {
        chain.links[i].issuer[0] = i + 1;
        chain.links[i].serial = (struct chain_serial){.len = 1, .bytes = {i + 1}};
    }
}

TestSuite(status, .init = begin);

/* Of issuer `issuer`, with one number in it (0: none). */
static struct crl *list_of(uint8_t issuer, uint8_t serial, int64_t next_update_s)
{
    struct crl *c = mem_new(struct crl);
    atomic_init(&c->references, 1);
    c->issuer[0] = issuer;
    c->next_update.s = next_update_s;
    c->serials = mem_array(struct chain_serial, 1);
    c->serials[0] = (struct chain_serial){.len = 1, .bytes = {serial}};
    c->count = serial != 0;
    return c;
}

/* Takes the lists. */
static struct status_answer judge(struct status_authority a, struct crl **take, uint32_t count,
                                  const struct ocsp_answer *answer)
{
    struct status_answer out;
    struct status_ocsp known = {.wanted_again_s = NOW_S + 60};
    memcpy(a.digest, authority.digest, sizeof a.digest);
    a.crls = take;
    a.crl_count = count;
    if (answer) {
        status_key(known.key, authority.digest, &chain.links[0]);
        known.answer = *answer;
    }
    struct statuses *t = statuses_new(1, &a, 1, &known, answer != NULL);
    statuses_judge(t, &chain, now, &out);
    statuses_unref(t);
    for (uint32_t i = 0; i < count; i++)
        crl_unref(take[i]);
    return out;
}

Test(status, an_authority_that_does_not_ask_has_good_devices)
{
    const struct status_answer s = judge((struct status_authority){0}, NULL, 0, NULL);
    cr_expect(s.reason == REASON_PERMITTED && s.is_known && !s.wants);
}

Test(status, an_authority_that_the_table_lacks_is_unknown)
{
    struct status_answer s;
    statuses_judge(NULL, &chain, now, &s);
    cr_expect_eq(s.reason, REASON_REVOCATION_UNKNOWN);
}

Test(status, a_list_of_each_issuer_is_asked)
{
    const struct status_authority a = {.is_checked = true};
    struct crl *good[] = {list_of(1, 9, NOW_S + 20), list_of(2, 9, NOW_S + 10)};
    struct status_answer s = judge(a, good, 2, NULL);
    cr_expect(s.reason == REASON_PERMITTED && s.is_known);
    cr_expect_eq(s.until.s, NOW_S + 10, "as long as the first of them");
    struct crl *leaf[] = {list_of(1, 1, NOW_S + 20)};
    cr_expect_eq(judge(a, leaf, 1, NULL).reason, REASON_DEVICE_REVOKED);
    struct crl *above[] = {list_of(1, 9, NOW_S + 20), list_of(2, 2, NOW_S + 10)};
    cr_expect_eq(judge(a, above, 2, NULL).reason, REASON_DEVICE_REVOKED);
    struct crl *other[] = {list_of(3, 1, NOW_S + 20)};
    cr_expect_eq(judge(a, other, 1, NULL).reason, REASON_REVOCATION_UNKNOWN);
}

Test(status, an_old_list_still_says_who_is_revoked_but_not_who_is_good)
{
    const struct status_authority a = {.is_checked = true};
    struct crl *revoked[] = {list_of(1, 1, NOW_S - 1)};
    cr_expect_eq(judge(a, revoked, 1, NULL).reason, REASON_DEVICE_REVOKED);
    struct crl *good[] = {list_of(1, 9, NOW_S - 1)};
    cr_expect_eq(judge(a, good, 1, NULL).reason, REASON_REVOCATION_UNKNOWN);
    struct crl *above[] = {list_of(1, 9, NOW_S + 9), list_of(2, 9, NOW_S - 1)};
    cr_expect_eq(judge(a, above, 2, NULL).reason, REASON_REVOCATION_UNKNOWN, "the intermediate's");
}

Test(status, an_intermediate_of_which_no_list_speaks_is_good_once_all_lists_are_there)
{
    struct crl *lists[] = {list_of(1, 9, NOW_S + 9)};
    cr_expect_eq(judge((struct status_authority){.is_checked = true}, lists, 1, NULL).reason,
                 REASON_PERMITTED);
    struct crl *again[] = {list_of(1, 9, NOW_S + 9)};
    cr_expect_eq(
        judge((struct status_authority){.is_checked = true, .lacks_crl = true}, again, 1, NULL)
            .reason,
        REASON_REVOCATION_UNKNOWN);
}

Test(status, what_is_unknown_is_allowed_for_a_while)
{
    const struct status_authority a = {
        .is_checked = true, .allow_for_s = 100, .since_s = NOW_S - 90};
    struct status_answer s = judge(a, NULL, 0, NULL);
    cr_expect(s.reason == REASON_PERMITTED && !s.is_known);
    cr_expect_eq(s.until.s, NOW_S + 10);
    struct status_authority late = a;
    late.since_s = NOW_S - 101;
    cr_expect_eq(judge(late, NULL, 0, NULL).reason, REASON_REVOCATION_UNKNOWN);
    struct crl *ended[] = {list_of(1, 9, NOW_S - 50)};
    s = judge(late, ended, 1, NULL);
    cr_expect(s.reason == REASON_PERMITTED && s.until.s == NOW_S + 50, "from the list's end on");
    /* Being allowed for is no pardon. */
    struct crl *above[] = {list_of(2, 2, NOW_S + 50)};
    cr_expect_eq(judge(a, above, 1, NULL).reason, REASON_DEVICE_REVOKED);
}

Test(status, a_responder_is_believed_as_long_as_its_answer_lasts)
{
    const struct status_authority a = {.is_checked = true, .has_ocsp = true};
    const struct ocsp_answer good = {OCSP_GOOD, {NOW_S - 5}, {NOW_S + 5}};
    const struct ocsp_answer old = {OCSP_GOOD, {NOW_S - 5}, {NOW_S - 1}};
    const struct ocsp_answer revoked = {OCSP_REVOKED, {NOW_S - 5}, {NOW_S - 1}};
    const struct ocsp_answer unknown = {OCSP_NOT_KNOWN, {NOW_S - 5}, {NOW_S + 5}};
    cr_expect_eq(judge(a, NULL, 0, &good).reason, REASON_PERMITTED);
    cr_expect_eq(judge(a, NULL, 0, &old).reason, REASON_REVOCATION_UNKNOWN);
    cr_expect_eq(judge(a, NULL, 0, &revoked).reason, REASON_DEVICE_REVOKED, "for ever");
    cr_expect_eq(judge(a, NULL, 0, &unknown).reason, REASON_DEVICE_INVALID, "is not good");
    const struct status_answer never = judge(a, NULL, 0, NULL);
    cr_expect(never.wants && never.reason == REASON_REVOCATION_UNKNOWN);
    struct crl *lists[] = {list_of(1, 9, NOW_S + 9)};
    cr_expect_eq(judge(a, lists, 1, &revoked).reason, REASON_DEVICE_REVOKED, "whoever says so");
}
