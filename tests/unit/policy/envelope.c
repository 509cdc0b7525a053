// SPDX-License-Identifier: EUPL-1.2
/* The envelope: what is sealed is verified, and nothing else is. */
#include "policy/envelope.h"

#include <criterion/criterion.h>

#include "base/codec.h"
#include "base/hash.h"
#include "base/mem.h"

#define PEOPLE 9

static struct private_key privates[PEOPLE];
static struct envelope_key keys[PEOPLE];
static const char *const ids[PEOPLE] = {"a", "b", "c", "d", "e", "f", "g", "h", "i"};

static void setup(void)
{
    struct fault f;
    base_init();
    for (size_t i = 0; i < PEOPLE; i++) {
        uint8_t raw[64];
        size_t len = 0;
        cr_assert(private_key_make(&privates[i], ALGORITHM_ED25519, &f));
        cr_assert(private_key_public_raw(&privates[i], raw, &len, &f));
        keys[i].id = slice_of(ids[i]);
        cr_assert(public_key_ed25519(&keys[i].key, slice_from(raw, len), &f));
    }
}

static void teardown(void)
{
    for (size_t i = 0; i < PEOPLE; i++) {
        private_key_fini(&privates[i]);
        public_key_fini(&keys[i].key);
    }
}

TestSuite(envelope, .init = setup, .fini = teardown);

static struct buf seal(enum document_kind kind, struct slice payload, size_t count)
{
    struct envelope_signer signers[PEOPLE];
    struct fault f;
    struct buf out;
    for (size_t i = 0; i < count; i++)
        signers[i] = (struct envelope_signer){keys[i].id, &privates[i]};
    buf_init(&out, ENVELOPE_MAX_BYTES);
    cr_assert(envelope_seal(&out, kind, payload, signers, count, &f), "%s", f.text);
    return out;
}

/* Opened and verified by the first `known` of our keys. */
static bool holds(struct slice bytes, enum document_kind kind, size_t known, uint32_t needed)
{
    struct envelope e;
    struct fault f = {.code = FAULT_UNSET};
    const bool is_held =
        envelope_open(&e, bytes, &f) && envelope_verify(&e, kind, keys, known, needed, &f);
    cr_assert(is_held || f.code == FAULT_TRUST);
    return is_held;
}

Test(envelope, gives_back_what_was_sealed_byte_for_byte)
{
    const struct slice payload = SLICE("belfry: charter/v1\n\nsignature: x\0y\r\n");
    struct buf sealed = seal(DOCUMENT_CHARTER, payload, 2);
    struct envelope e;
    struct fault f;
    cr_assert(envelope_open(&e, buf_slice(&sealed), &f));
    cr_assert(slice_eq(e.payload, payload));
    cr_assert_eq(e.signature_count, 2);
    cr_assert(envelope_verify(&e, DOCUMENT_CHARTER, keys, 2, 2, &f));
    buf_fini(&sealed);
}

Test(envelope, a_bundle_is_never_a_charter)
{
    struct buf sealed = seal(DOCUMENT_BUNDLE, SLICE("belfry: entity/v1\n"), 1);
    cr_expect(holds(buf_slice(&sealed), DOCUMENT_BUNDLE, 1, 1));
    cr_expect_not(holds(buf_slice(&sealed), DOCUMENT_CHARTER, 1, 1));
    buf_fini(&sealed);
}

Test(envelope, counts_different_keys_and_not_names)
{
    struct buf two = seal(DOCUMENT_BUNDLE, SLICE("x"), 2);
    cr_expect(holds(buf_slice(&two), DOCUMENT_BUNDLE, 2, 2));
    cr_expect(holds(buf_slice(&two), DOCUMENT_BUNDLE, PEOPLE, 1));
    cr_expect_not(holds(buf_slice(&two), DOCUMENT_BUNDLE, PEOPLE, 3));
    cr_expect_not(holds(buf_slice(&two), DOCUMENT_BUNDLE, 1, 2)); // b is not in the list
    cr_expect_not(holds(buf_slice(&two), DOCUMENT_BUNDLE, 0, 1));
    cr_expect_not(holds(buf_slice(&two), DOCUMENT_BUNDLE, 2, 0)); // nobody asks for nothing
    buf_fini(&two);

    /* One person with two names. */
    const struct envelope_signer signers[] = {{SLICE("a"), &privates[0]},
                                              {SLICE("again"), &privates[0]}};
    const struct envelope_key twice[] = {{.id = SLICE("a"), .key = keys[0].key},
                                         {.id = SLICE("again"), .key = keys[0].key}};
    struct envelope e;
    struct fault f;
    struct buf sealed;
    buf_init(&sealed, ENVELOPE_MAX_BYTES);
    cr_assert(envelope_seal(&sealed, DOCUMENT_BUNDLE, SLICE("x"), signers, 2, &f));
    cr_assert(envelope_open(&e, buf_slice(&sealed), &f));
    cr_expect(envelope_verify(&e, DOCUMENT_BUNDLE, twice, 2, 1, &f));
    cr_expect_not(envelope_verify(&e, DOCUMENT_BUNDLE, twice, 2, 2, &f));
    buf_fini(&sealed);
}

Test(envelope, counts_owners_and_not_their_keys)
{
    struct buf two = seal(DOCUMENT_BUNDLE, SLICE("x"), 2);
    struct envelope_key of[2] = {keys[0], keys[1]};
    struct envelope e;
    struct fault f;
    cr_assert(envelope_open(&e, buf_slice(&two), &f));
    of[0].owner = SLICE("an");
    of[1].owner = SLICE("bert");
    cr_expect(envelope_verify(&e, DOCUMENT_BUNDLE, of, 2, 2, &f), "%s", f.text);
    of[1].owner = SLICE("an");
    cr_expect_not(envelope_verify(&e, DOCUMENT_BUNDLE, of, 2, 2, &f));
    cr_expect(envelope_verify(&e, DOCUMENT_BUNDLE, of, 2, 1, &f));
    of[0].owner = of[1].owner = SLICE(""); /* nobody said: two keys are two */
    cr_expect(envelope_verify(&e, DOCUMENT_BUNDLE, of, 2, 2, &f));
    buf_fini(&two);
}

Test(envelope, a_bad_signature_of_a_known_key_refuses_the_whole)
{
    /* b's name under c's signature, beside a's good one. */
    const struct envelope_signer signers[] = {{SLICE("a"), &privates[0]},
                                              {SLICE("b"), &privates[2]}};
    struct fault f;
    struct buf sealed;
    buf_init(&sealed, ENVELOPE_MAX_BYTES);
    cr_assert(envelope_seal(&sealed, DOCUMENT_BUNDLE, SLICE("x"), signers, 2, &f));
    cr_expect(holds(buf_slice(&sealed), DOCUMENT_BUNDLE, 1, 1)); // b is nobody here
    cr_expect_not(holds(buf_slice(&sealed), DOCUMENT_BUNDLE, 2, 1));
    buf_fini(&sealed);
}

Test(envelope, no_byte_can_be_changed_added_or_left_out)
{
    struct buf sealed = seal(DOCUMENT_BUNDLE, SLICE("rules: []\n"), 2);
    const size_t len = buf_len(&sealed);
    char *copy = mem_array(char, len + 1);
    for (size_t i = 0; i < len; i++)
        for (int bit = 0; bit < 8; bit++) {
            memcpy(copy, sealed.ptr + sealed.from, len);
            copy[i] = (char)(copy[i] ^ (1 << bit));
            cr_expect_not(holds(slice_from(copy, len), DOCUMENT_BUNDLE, 2, 2), "byte %zu", i);
        }
    memcpy(copy, sealed.ptr + sealed.from, len);
    for (size_t cut = 0; cut < len; cut++)
        cr_expect_not(holds(slice_from(copy, cut), DOCUMENT_BUNDLE, 2, 1), "cut at %zu", cut);
    copy[len] = '\n';
    cr_expect_not(holds(slice_from(copy, len + 1), DOCUMENT_BUNDLE, 2, 1));
    mem_free(copy);
    buf_fini(&sealed);
}

#define GOOD                                                                                       \
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

Test(envelope, has_one_form_and_no_other)
{
    static const struct {
        const char *text;
        bool is_form;
    } table[] = {
        {"belfry-signed/v1\nsignature: a " GOOD "\n\nx", true},
        {"belfry-signed/v1\nsignature: a " GOOD "\nsignature: b " GOOD "\n\nx", true},
        {"", false},
        {"x", false},
        {"\n\nx", false},
        {"rules: []\n", false},
        {"belfry-signed/v1\n\nx", false},
        {"belfry-signed/v1\nsignature: a " GOOD "\n\n", false},
        {"belfry-signed/v1\nsignature: a " GOOD "\nx", false},
        {"belfry-signed/v1\nsignature: a " GOOD "\n", false},
        {"belfry-signed/v1\nsignature: a " GOOD "\nsignature: a " GOOD "\n\nx", false},
        {"belfry-signed/v2\nsignature: a " GOOD "\n\nx", false},
        {"Belfry-signed/v1\nsignature: a " GOOD "\n\nx", false},
        {" belfry-signed/v1\nsignature: a " GOOD "\n\nx", false},
        {"\nbelfry-signed/v1\nsignature: a " GOOD "\n\nx", false},
        {"\xef\xbb\xbf"
         "belfry-signed/v1\nsignature: a " GOOD "\n\nx",
         false},
        {"belfry-signed/v1\r\nsignature: a " GOOD "\r\n\r\nx", false},
        {"belfry-signed/v1\nsignature: a " GOOD "\r\n\nx", false},
        {"belfry-signed/v1\n\nsignature: a " GOOD "\n\nx", false},
        {"belfry-signed/v1\nsignature:  a " GOOD "\n\nx", false},
        {"belfry-signed/v1\nsignature:a " GOOD "\n\nx", false},
        {"belfry-signed/v1\nsignature: a  " GOOD "\n\nx", false},
        {"belfry-signed/v1\nsignature: a\t" GOOD "\n\nx", false},
        {"belfry-signed/v1\nsignature: a " GOOD " \n\nx", false},
        {"belfry-signed/v1\n signature: a " GOOD "\n\nx", false},
        {"belfry-signed/v1\nSignature: a " GOOD "\n\nx", false},
        {"belfry-signed/v1\nsignature: " GOOD "\n\nx", false},
        {"belfry-signed/v1\nsignature:  " GOOD "\n\nx", false},
        {"belfry-signed/v1\nsignature: a/b " GOOD "\n\nx", false},
        {"belfry-signed/v1\nsignature: a " GOOD "==\n\nx", false},
        {"belfry-signed/v1\nsignature: a " GOOD "AA\n\nx", false},
        {"belfry-signed/v1\nsignature: a AAAA\n\nx", false},
        {"belfry-signed/v1\nsignature: a \n\nx", false},
        {"belfry-signed/v1\nsignature: a\n\nx", false},
        {"belfry-signed/v1\ncomment: hello\nsignature: a " GOOD "\n\nx", false},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct envelope e;
        struct fault f = {.code = FAULT_UNSET};
        const bool is_form = envelope_open(&e, slice_of(table[i].text), &f);
        cr_expect_eq(is_form, table[i].is_form, "%zu: %s", i, table[i].text);
        cr_expect(is_form || f.code == FAULT_TRUST);
    }
}

Test(envelope, left_over_bits_of_a_signature_are_refused)
{
    struct envelope e;
    struct fault f;
    char text[] = "belfry-signed/v1\nsignature: a " GOOD "\n\nx";
    text[sizeof(text) - 5] =
        'B'; // the last of 86 characters carries four bits that stand for nothing
    cr_expect_not(envelope_open(&e, slice_of(text), &f));
}

Test(envelope, at_most_eight_sign)
{
    struct buf eight = seal(DOCUMENT_BUNDLE, SLICE("x"), 8);
    cr_expect(holds(buf_slice(&eight), DOCUMENT_BUNDLE, 8, 8));
    char *nine = NULL;
    const int len = asprintf(&nine, "belfry-signed/v1\nsignature: i " GOOD "\n%.*s",
                             (int)(buf_len(&eight) - 17), eight.ptr + eight.from + 17);
    cr_expect_not(holds(slice_from(nine, (size_t)len), DOCUMENT_BUNDLE, 8, 1));
    free(nine);
    buf_fini(&eight);
}

Test(envelope, only_ed25519_signs)
{
    struct private_key p256;
    struct fault f;
    struct buf out;
    cr_assert(private_key_make(&p256, ALGORITHM_ES256, &f));
    buf_init(&out, ENVELOPE_MAX_BYTES);
    const struct envelope_signer signer = {SLICE("a"), &p256};
    cr_expect_not(envelope_seal(&out, DOCUMENT_BUNDLE, SLICE("x"), &signer, 1, &f));
    cr_expect_eq(buf_len(&out), 0);
    private_key_fini(&p256);
    buf_fini(&out);
}

Test(envelope, refuses_a_document_that_is_too_large)
{
    struct buf sealed = seal(DOCUMENT_BUNDLE, SLICE("x"), 1);
    struct envelope e;
    struct fault f;
    const size_t head = buf_len(&sealed) - 1;
    char *large = mem_array(char, head + DOCUMENT_MAX_BYTES + 1);
    memcpy(large, sealed.ptr + sealed.from, head);
    cr_expect(envelope_open(&e, slice_from(large, head + DOCUMENT_MAX_BYTES), &f));
    cr_expect_not(envelope_open(&e, slice_from(large, head + DOCUMENT_MAX_BYTES + 1), &f));
    mem_free(large);
    buf_fini(&sealed);
}
