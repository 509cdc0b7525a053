// SPDX-License-Identifier: EUPL-1.2
/* A JWT of any kind. An input that begins with "r" is the JWT as it came: taken apart, its pieces
 * lie within it, and no kind takes it, since nobody has signed it. Any other is header, line feed
 * and payload, signed rightly: whichever kinds take it then, what makes a JWT another one's is not
 * in it. */
#include <assert.h>
#include <string.h>

#include "auth/jws.h"
#include "base/codec.h"
#include "base/hash.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct slice audiences[] = {SLICE_INIT("a")};
static const struct slice types[] = {SLICE_INIT("at+jwt")};
static struct private_key signer;
static struct public_key key;

static void begin(void)
{
    struct fault fault;
    uint8_t raw[64];
    size_t len = sizeof raw;
    if (key.pkey)
        return;
    base_init();
    assert(private_key_make(&signer, ALGORITHM_ES256, &fault));
    assert(private_key_public_raw(&signer, raw, &len, &fault));
    assert(public_key_ec(&key, ALGORITHM_ES256, slice_from(raw, 32), slice_from(raw + 32, 32),
                         &fault));
}

/* The kinds that take it, as bits. */
static uint32_t kinds_of(struct slice text)
{
    uint32_t kinds = 0;
    for (enum jws_kind kind = 0; kind < JWS_KIND_COUNT; kind++) {
        const struct jws_demand demand = {.kind = kind,
                                          .types = {types, 1},
                                          .algorithms = 1u << ALGORITHM_ES256,
                                          .key = &key,
                                          .audiences = {audiences, kind != JWS_DPOP_PROOF},
                                          .leeway_s = 30,
                                          .max_age_s = 86400,
                                          .now = {1800000000}};
        struct jws jws;
        if (jws_parse(&jws, text) == REASON_PERMITTED) {
            assert(jws.payload.ptr >= text.ptr &&
                   jws.payload.ptr + jws.payload.len < text.ptr + text.len);
            assert(jws.signed_bytes.ptr == text.ptr && jws.signature_len <= SIGNATURE_MAX_BYTES);
            if (jws_judge(&jws, &demand, NULL) == REASON_PERMITTED) {
                assert(jws.key == &key && json_is_object(jws.claims));
                assert(jws.times.usable_from_s <= demand.now.s &&
                       demand.now.s < jws.times.usable_until_s);
                kinds |= 1u << kind;
            } else {
                assert(!jws.key);
            }
        }
        jws_fini(&jws);
    }
    return kinds;
}

static void judge_signed(struct slice header, struct slice payload)
{
    const uint32_t by_type = 1u << JWS_ACCESS_TOKEN | 1u << JWS_DPOP_PROOF;
    uint8_t signature[64];
    char *text = mem_array(char, BASE64URL_LEN(header.len) + BASE64URL_LEN(payload.len) + 100);
    size_t len = base64url_encode(text, header.ptr, header.len);
    text[len++] = '.';
    len += base64url_encode(text + len, payload.ptr, payload.len);
    assert(signature_make(&signer, slice_from(text, len), signature, NULL));
    text[len++] = '.';
    len += base64url_encode(text + len, signature, sizeof signature);
    const uint32_t kinds = kinds_of(slice_from(text, len));
    // Those of a type of their own are taken for nothing else; nor is a logout token.
    assert(!(kinds & by_type) || !(kinds & (kinds - 1)));
    assert(!(kinds & 1u << JWS_LOGOUT_TOKEN) || kinds == 1u << JWS_LOGOUT_TOKEN);
    mem_free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    begin();
    struct slice rest = slice_from(data, size);
    if (data[0] == 'r') {
        assert(!kinds_of(slice_skip(rest, 1)));
        return 0;
    }
    const struct slice header = slice_cut(&rest, '\n');
    judge_signed(header, rest);
    return 0;
}
