// SPDX-License-Identifier: EUPL-1.2
/* What a page carries of itself comes back as it went out, from a page of ours on that host alone.
 */
#include "proxy/memo.h"

#include <criterion/criterion.h>

#include "base/hash.h"
#include "proxy/answer.h"
#include "tests/unit/auth/keys.h"

static const struct wall now = {1800000000};
static char dir[KEYS_PATH_MAX];
static struct arena a;
static struct keyring *ring;
static struct memo_place here;

static void begin(void)
{
    struct fault fault;
    base_init();
    keys_begin(dir);
    arena_init(&a, NULL);
    keys_write(dir, "seal/20260101000000.key", SLICE(KEYS_HEX), 0600);
    keys_write(dir, "store/20260101000000.key", SLICE(KEYS_HEX), 0600);
    ring = keyring_read(dir, now, &fault);
    cr_assert(ring, "%s", fault.text);
    here = (struct memo_place){ring, SLICE("tax.finance.example:8443"), now};
}

static void end(void)
{
    keyring_unref(ring);
    arena_fini(&a);
    keys_end(dir);
}

TestSuite(memo, .init = begin, .fini = end);

static struct slice written(void)
{
    struct form_field fields[] = {{SLICE("page"), SLICE("kept")},
                                  {SLICE("level"), SLICE("")},
                                  {SLICE("kept"), SLICE("a=b&text=%0D%0A\r\n\"<\xff")}};
    const struct slice text = memo_write(&a, &here, &(struct form){fields, 3});
    cr_assert(text.len);
    return text;
}

Test(memo, what_was_written_is_read_but_for_what_was_empty)
{
    struct form said;
    struct slice value;
    cr_assert(memo_read(&a, &here, written(), &said));
    cr_expect_eq(said.count, 2);
    cr_expect(form_get(&said, SLICE("page"), &value) && slice_eq(value, SLICE("kept")));
    cr_expect(form_get(&said, SLICE("kept"), &value) &&
              slice_eq(value, SLICE("a=b&text=%0D%0A\r\n\"<\xff")));
}

Test(memo, nobody_reads_it_or_changes_it)
{
    const struct slice text = written();
    struct form said;
    cr_expect_not(memmem(text.ptr, text.len, "kept", 4));
    for (size_t i = 0; i < text.len; i++) {
        struct slice other = arena_copy(&a, text);
        ((char *)(uintptr_t)other.ptr)[i] = text.ptr[i] == 'A' ? 'B' : 'A';
        cr_expect_not(memo_read(&a, &here, other, &said), "byte %zu", i);
        cr_expect_not(memo_read(&a, &here, slice_from(text.ptr, i), &said), "cut at %zu", i);
    }
}

Test(memo, one_of_another_host_is_none)
{
    const struct slice text = written();
    struct form said;
    here.host = SLICE("strict.finance.example:8443");
    cr_expect_not(memo_read(&a, &here, text, &said));
}

Test(memo, what_could_not_come_back_in_a_form_is_not_written)
{
    struct form_field field = {SLICE("kept"), {arena_bytes(&a, 40000), 40000}};
    memset((char *)(uintptr_t)field.value.ptr, 'a', 40000);
    cr_expect_eq(memo_write(&a, &here, &(struct form){&field, 1}).len, 0);
}

Test(memo, a_refusal_that_carries_itself_has_room_for_the_longest_texts)
{
    static char words[2048], again[3 * RETURN_MAX_BYTES + 400];
    const struct slice quotes = slice_from(words, sizeof words);
    const struct slice why[LANGUAGE_COUNT] = {quotes, quotes, quotes, quotes};
    memset(words, '"', sizeof words);
    memset(again, '"', sizeof again);
    const struct decision by_baseline = {
        .rule = quotes, .missing = quotes, .is_baseline = true, .explanations = why};
    const struct refusal r = {.reason = REASON_DENIED,
                              .decision = &by_baseline,
                              .reference = quotes,
                              .wants_html = true,
                              .place = &here,
                              .again = slice_from(again, sizeof again),
                              .person = quotes};
    struct answer out;
    answer_make(&a, &r, &out);
    cr_expect(memmem(out.body.ptr, out.body.len, "</html>", 7));
    cr_expect(memmem(out.body.ptr, out.body.len, "name=\"page\"", 11), "it carries itself");
}
