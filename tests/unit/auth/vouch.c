// SPDX-License-Identifier: EUPL-1.2
/* What is remembered of a certificate, and above all what ends it: a verdict that outlived its
 * authority, its time or its clock would let a device in that nobody vouches for. */
#include "auth/vouch.h"

#include <criterion/criterion.h>

#include "base/hash.h"
#include "base/mem.h"
#include "pki.h"

static const struct wall now = {NOW_S};
static struct pki_end root;
static struct pki_end between;
static struct pki_end leaf;
static struct chain_trust *trust;
static struct vouches *store;

static struct chain_trust *trust_in(const char *id, X509 *certificate)
{
    char *pem = NULL;
    struct fault fault;
    pki_pem(&pem, certificate);
    const struct authority authority = {
        .id = slice_of(id), .ca_pem = slice_of(pem), .name = DEVICE_NAME_COMMON_NAME};
    struct chain_trust *t = chain_trust_new(&authority, 1, &fault);
    cr_assert(t, "%s", fault.text);
    mem_free(pem);
    return t;
}

static void begin(void)
{
    base_init();
    root = pki_root("Root");
    between = pki_intermediate("Intermediate", &root);
    leaf = pki_device("laptop-1", &between);
    trust = trust_in("managed", root.certificate);
    store = vouches_new();
}

static void end(void)
{
    vouches_free(store);
    chain_trust_unref(trust);
    pki_end_fini(&leaf);
    pki_end_fini(&between);
    pki_end_fini(&root);
}

TestSuite(vouch, .init = begin, .fini = end);

/* With the intermediate, as a client sends it: the leaf once more in front. */
static struct vouch *ask(struct chain_trust *t, struct wall at)
{
    STACK_OF(X509) *sent = sk_X509_new_null();
    sk_X509_push(sent, leaf.certificate);
    sk_X509_push(sent, between.certificate);
    struct vouch *found = vouch_of(store, t, leaf.certificate, sent, at);
    sk_X509_free(sent);
    cr_assert_not_null(found);
    return found;
}

static bool is_good(const struct vouch *v)
{
    return v->answer.verdict == CHAIN_GOOD;
}

Test(vouch, a_device_that_comes_back_is_found_not_judged)
{
    struct vouch *first = ask(trust, now);
    struct vouch *again = ask(trust, (struct wall){NOW_S + 3600});
    cr_expect(is_good(first));
    cr_assert_not_null(first->device);
    cr_expect(slice_eq(first->device->device.id, SLICE("managed:laptop-1")));
    cr_expect_eq(first, again);
    vouch_unref(again);
    vouch_unref(first);
}

Test(vouch, a_ticket_brings_what_the_handshake_found_and_is_judged_where_that_is_not_known)
{
    struct vouch *first = ask(trust, now);
    struct vouch *same = vouch_of_chain(store, trust, first->chain, now);
    cr_expect_eq(first, same);
    vouches_forget(store);
    struct vouch *judged = vouch_of_chain(store, trust, first->chain, now);
    cr_assert_not_null(judged);
    cr_expect_neq(judged, first);
    cr_expect(is_good(judged));
    cr_assert_not_null(judged->device);
    cr_expect(slice_eq(judged->device->device.id, SLICE("managed:laptop-1")));
    vouch_unref(judged);
    vouch_unref(same);
    vouch_unref(first);
}

Test(vouch, it_ends_with_the_authority)
{
    struct pki_end other = pki_root("Another root");
    struct chain_trust *rotated = trust_in("managed", other.certificate);
    struct vouch *first = ask(trust, now);
    struct vouch *after = ask(rotated, now);
    struct vouch *of_ticket = vouch_of_chain(store, rotated, first->chain, now);
    cr_expect(is_good(first));
    cr_expect_not(is_good(after));
    cr_expect_not(is_good(of_ticket));
    cr_expect_null(after->device);
    vouch_unref(of_ticket);
    vouch_unref(after);
    vouch_unref(first);
    chain_trust_unref(rotated);
    pki_end_fini(&other);
}

Test(vouch, under_another_authority_of_the_same_root_it_is_another_device)
{
    struct chain_trust *renamed = trust_in("guests", root.certificate);
    struct vouch *first = ask(trust, now);
    struct vouch *guest = ask(renamed, now);
    cr_expect_neq(first, guest);
    cr_expect(slice_eq(guest->device->device.id, SLICE("guests:laptop-1")));
    vouch_unref(guest);
    vouch_unref(first);
    chain_trust_unref(renamed);
}

Test(vouch, it_ends_with_the_first_certificate_of_the_chain_that_does)
{
    struct vouch *first = ask(trust, now);
    const struct wall last = first->answer.until;
    cr_assert(last.s > NOW_S);
    struct vouch *then = ask(trust, last);
    struct vouch *after = ask(trust, (struct wall){last.s + 1});
    cr_expect_eq(first, then);
    cr_expect_not(is_good(after));
    vouch_unref(after);
    vouch_unref(then);
    vouch_unref(first);
}

Test(vouch, a_clock_that_is_set_back_is_believed)
{
    struct vouch *first = ask(trust, now);
    struct vouch *before = ask(trust, (struct wall){NOW_S - 30 * DAY_S});
    cr_expect(is_good(first));
    cr_expect_not(is_good(before));
    cr_expect_str_eq(before->answer.detail, "not yet valid");
    vouch_unref(before);
    vouch_unref(first);
}

Test(vouch, a_refusal_is_not_remembered)
{
    struct vouch *early = ask(trust, (struct wall){NOW_S - 30 * DAY_S});
    struct vouch *later = ask(trust, now);
    cr_expect_not(is_good(early));
    cr_expect(is_good(later));
    vouch_unref(later);
    vouch_unref(early);
}

Test(vouch, it_rests_on_what_came_with_the_certificate)
{
    struct vouch *with = ask(trust, now);
    struct vouch *alone = vouch_of(store, trust, leaf.certificate, NULL, now);
    cr_expect(is_good(with));
    cr_expect_not(is_good(alone), "the intermediate was not sent");
    vouch_unref(alone);
    vouch_unref(with);
}

Test(vouch, bytes_that_are_no_chain_are_nobody)
{
    struct vouch *first = ask(trust, now);
    char *bytes = mem_text(first->chain);
    struct slice cut = slice_from(bytes, first->chain.len - 1);
    cr_expect_null(vouch_of_chain(store, trust, cut, now));
    cr_expect_null(vouch_of_chain(store, trust, (struct slice){0}, now));
    cr_expect_null(vouch_of_chain(store, trust, SLICE("\0"), now));
    bytes[1]++; /* the first length */
    cr_expect_null(vouch_of_chain(store, trust, slice_from(bytes, first->chain.len), now));
    mem_free(bytes);
    vouch_unref(first);
}
