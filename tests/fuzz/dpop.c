// SPDX-License-Identifier: EUPL-1.2
/* Proofs of possession. An input that begins with "r" is the proof as it came, which nobody has
 * signed; any other is header, line feed and payload: where the header has "KEY", the signer's
 * public key is put there, and it is signed rightly. What is then taken is for this request and
 * this token, now, and by that key alone. */
#include <assert.h>
#include <string.h>

#include "auth/dpop.h"
#include "auth/jwks.h"
#include "base/codec.h"
#include "base/hash.h"
#include "base/jtree.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW_S 1800000000
static struct private_key signer;
static char jwk[256];
static uint8_t thumbprint[32];
static struct request request;
static struct arena request_arena;

static void begin(void)
{
    struct fault fault;
    uint8_t raw[64];
    size_t len = sizeof raw;
    char x[BASE64URL_LEN(32)];
    char y[BASE64URL_LEN(32)];
    if (jwk[0])
        return;
    base_init();
    assert(private_key_make(&signer, ALGORITHM_ES256, &fault));
    assert(private_key_public_raw(&signer, raw, &len, &fault));
    base64url_encode(x, raw, 32);
    base64url_encode(y, raw + 32, 32);
    (void)snprintf(jwk, sizeof jwk,
                   "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%.*s\",\"y\":\"%.*s\"}",
                   (int)sizeof x, x, (int)sizeof y, y);
    json_t *tree = jtree_parse(slice_of(jwk));
    assert(jwk_thumbprint(thumbprint, tree));
    json_decref(tree);
    arena_init(&request_arena, NULL);
    request = (struct request){.method = METHOD_GET,
                               .method_name = SLICE("GET"),
                               .authority = SLICE("a.example"),
                               .host = SLICE("a.example")};
    assert(target_parse(&request, SLICE("/r"), (struct path_options){0}, &request_arena) ==
           REASON_PERMITTED);
}

static enum reason judge(struct slice proof)
{
    struct arena arena;
    struct dpop_answer answer;
    const char *detail = NULL;
    arena_init(&arena, NULL);
    const enum reason why = dpop_judge(
        &(struct dpop_question){
            .proof = proof, .request = &request, .token = SLICE("token"), .now = {NOW_S}},
        &arena, &answer, &detail);
    if (why == REASON_PERMITTED) {
        assert(!memcmp(answer.thumbprint, thumbprint, 32));
        assert(answer.until_s >= NOW_S &&
               answer.until_s <= NOW_S + DPOP_WINDOW_S + DPOP_AHEAD_S + 1);
    } else {
        assert(why == REASON_DPOP_PROOF && detail && *detail);
    }
    arena_fini(&arena);
    return why;
}

static size_t put_header(char *out, struct slice header)
{
    size_t len = 0;
    for (size_t i = 0; i < header.len; i++) {
        if (!slice_starts(slice_skip(header, i), SLICE("KEY"))) {
            out[len++] = header.ptr[i];
            continue;
        }
        memcpy(out + len, jwk, strlen(jwk));
        len += strlen(jwk);
        i += 2;
    }
    return len;
}

static void judge_signed(struct slice header, struct slice payload)
{
    uint8_t signature[64];
    struct slice method;
    char *head = mem_array(char, header.len * sizeof jwk + 1);
    const size_t head_len = put_header(head, header);
    char *text = mem_array(char, BASE64URL_LEN(head_len) + BASE64URL_LEN(payload.len) + 100);
    size_t len = base64url_encode(text, head, head_len);
    text[len++] = '.';
    len += base64url_encode(text + len, payload.ptr, payload.len);
    assert(signature_make(&signer, slice_from(text, len), signature, NULL));
    text[len++] = '.';
    len += base64url_encode(text + len, signature, sizeof signature);
    if (judge(slice_from(text, len)) == REASON_PERMITTED) {
        json_t *claims = jtree_parse(payload);
        assert(jtree_string(claims, "htm", &method) && slice_eq(method, SLICE("GET")));
        assert(jtree_has(claims, "ath") && jtree_has(claims, "jti") && jtree_has(claims, "htu"));
        json_decref(claims);
    }
    mem_free(head);
    mem_free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    begin();
    struct slice rest = slice_from(data, size);
    if (data[0] == 'r') {
        assert(judge(slice_skip(rest, 1)) != REASON_PERMITTED);
        return 0;
    }
    const struct slice header = slice_cut(&rest, '\n');
    judge_signed(header, rest);
    return 0;
}
