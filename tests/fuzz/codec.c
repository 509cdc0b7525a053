// SPDX-License-Identifier: EUPL-1.2
/* For each encoding: what is decoded encodes to the same text (so one value has one text), and what
 * is encoded decodes to the same bytes. */
#include <assert.h>

#include "base/codec.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void text_comes_back(struct slice text)
{
    uint8_t *bytes = mem_array(uint8_t, text.len + 1);
    char *again = mem_array(char, text.len + 4);
    size_t len;
    if (base64url_decode(bytes, &len, text)) {
        assert(len <= text.len * 3 / 4);
        assert(slice_eq(slice_from(again, base64url_encode(again, bytes, len)), text));
    }
    if (base64_decode(bytes, &len, text)) {
        assert(len <= text.len * 3 / 4);
        assert(slice_eq(slice_from(again, base64_encode(again, bytes, len)), text));
    }
    if (hex_decode(bytes, text)) {
        hex_encode(again, bytes, text.len / 2);
        assert(slice_eq_nocase(slice_from(again, text.len), text));
    }
    mem_free(again);
    mem_free(bytes);
}

static void bytes_come_back(const uint8_t *data, size_t size)
{
    // Exactly the room that the header states: the sanitizer sees one byte more.
    char *url = mem_array(char, BASE64URL_LEN(size));
    char *padded = mem_array(char, BASE64_LEN(size));
    char *hex = mem_array(char, 2 * size);
    uint8_t *again = mem_array(uint8_t, size);
    size_t len = base64url_encode(url, data, size);
    assert(len == BASE64URL_LEN(size));
    assert(base64url_decode(again, &len, slice_from(url, len)));
    assert(slice_eq(slice_from(again, len), slice_from(data, size)));
    len = base64_encode(padded, data, size);
    assert(len == BASE64_LEN(size));
    assert(base64_decode(again, &len, slice_from(padded, len)));
    assert(slice_eq(slice_from(again, len), slice_from(data, size)));
    hex_encode(hex, data, size);
    assert(hex_decode(again, slice_from(hex, 2 * size)));
    assert(slice_eq(slice_from(again, size), slice_from(data, size)));
    mem_free(again);
    mem_free(hex);
    mem_free(padded);
    mem_free(url);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    text_comes_back(slice_from(data, size));
    bytes_come_back(data, size);
    return 0;
}
