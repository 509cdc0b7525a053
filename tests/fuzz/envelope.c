// SPDX-License-Identifier: EUPL-1.2
/* Envelopes from anybody. What opens is printed again and gives the same bytes: the form has one
 * spelling. And nothing that a fuzzer makes is ever verified. */
#include "policy/envelope.h"

#include <assert.h>

#include "base/codec.h"
#include "base/hash.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t generator[ED25519_KEY_BYTES] = { // the base point: a key that nobody uses
    0x58, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
    0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66};

static void print(struct buf *out, const struct envelope *e)
{
    bool is_printed = buf_add(out, SLICE("belfry-signed/v1\n"));
    for (uint32_t i = 0; i < e->signature_count; i++) {
        char text[BASE64URL_LEN(ED25519_SIGNATURE_BYTES)];
        const size_t len = base64url_encode(text, e->signatures[i].bytes, ED25519_SIGNATURE_BYTES);
        is_printed = is_printed && buf_printf(out, "signature: %.*s %.*s\n",
                                              SLICE_ARG(e->signatures[i].key_id), (int)len, text);
    }
    is_printed = is_printed && buf_add(out, SLICE("\n")) && buf_add(out, e->payload);
    assert(is_printed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct envelope_key key;
    struct envelope e;
    struct fault f;
    struct buf again;
    const struct slice bytes = slice_from(data, size);
    base_init();
    if (!key.key.pkey) {
        const bool is_made =
            public_key_ed25519(&key.key, slice_from(generator, sizeof(generator)), &f);
        assert(is_made);
    }
    if (!envelope_open(&e, bytes, &f)) {
        assert(f.code == FAULT_TRUST);
        return 0;
    }
    buf_init(&again, ENVELOPE_MAX_BYTES);
    print(&again, &e);
    assert(slice_eq(buf_slice(&again), bytes));
    buf_fini(&again);
    key.id = e.signatures[0].key_id;
    assert(!envelope_verify(&e, DOCUMENT_BUNDLE, &key, 1, 1, &f));
    return 0;
}
