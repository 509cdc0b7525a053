// SPDX-License-Identifier: EUPL-1.2
#include <criterion/criterion.h>

#include "base/codec.h"

static const struct {
    const char *bytes;
    const char *text; /* RFC 4648 §10 */
} vectors[] = {
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
};

Test(codec, base64_is_that_of_the_rfc)
{
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        char text[16];
        uint8_t bytes[16];
        size_t len, out_len;
        struct slice expected = slice_of(vectors[i].text);
        len = base64_encode(text, vectors[i].bytes, strlen(vectors[i].bytes));
        cr_assert(slice_eq(slice_from(text, len), expected));
        cr_assert_eq(len, BASE64_LEN(strlen(vectors[i].bytes)));
        cr_assert(base64_decode(bytes, &out_len, expected));
        cr_assert(slice_eq(slice_from(bytes, out_len), slice_of(vectors[i].bytes)));
        len = base64url_encode(text, vectors[i].bytes, strlen(vectors[i].bytes));
        cr_assert_eq(len, BASE64URL_LEN(strlen(vectors[i].bytes)));
        while (expected.len && expected.ptr[expected.len - 1] == '=')
            expected.len--;
        cr_assert(slice_eq(slice_from(text, len), expected));
        cr_assert(base64url_decode(bytes, &out_len, expected));
        cr_assert(slice_eq(slice_from(bytes, out_len), slice_of(vectors[i].bytes)));
    }
}

static const struct slice not_base64url[] = {
    SLICE_INIT("A"), // six bits are no byte
    SLICE_INIT("AAAAA"),
    SLICE_INIT("Zh"),   // "Zg" with a bit left over
    SLICE_INIT("Zm9"),  // "Zm8" likewise
    SLICE_INIT("Zg=="), // padded
    SLICE_INIT("Zm8="),
    SLICE_INIT("Z g"),
    SLICE_INIT("Zm9v\n"),
    SLICE_INIT("\nZm9v"),
    SLICE_INIT("Zm9v "),
    SLICE_INIT("Zm+v"), // the other alphabet
    SLICE_INIT("Zm/v"),
    SLICE_INIT("Zm\0v"),
    SLICE_INIT("Zm9v.Zm9v"),
    SLICE_INIT("Zm\xc3\xa9"),
    SLICE_INIT("\xff\xff\xff\xff"),
};

Test(codec, base64url_takes_one_text_for_one_value)
{
    for (size_t i = 0; i < sizeof not_base64url / sizeof *not_base64url; i++) {
        uint8_t bytes[16];
        size_t len;
        cr_assert_not(base64url_decode(bytes, &len, not_base64url[i]), "row %zu", i);
    }
    uint8_t bytes[3];
    size_t len;
    cr_assert(base64url_decode(bytes, &len, SLICE("-_-_")));
    cr_assert(slice_eq(slice_from(bytes, len), SLICE("\xfb\xff\xbf")));
}

static const struct slice not_base64[] = {
    SLICE_INIT("Zg"),       SLICE_INIT("Zg="),    SLICE_INIT("Zg==="),        SLICE_INIT("Z==="),
    SLICE_INIT("===="),     SLICE_INIT("="),      SLICE_INIT("Zh=="),         SLICE_INIT("Zm9="),
    SLICE_INIT("Zg==Zm9v"), SLICE_INIT("Zm=v"),   SLICE_INIT("Zm9v===="),     SLICE_INIT("Zm-v"),
    SLICE_INIT("Zm_v"),     SLICE_INIT("Zm9v\n"), SLICE_INIT("Zm9v\r\n\r\n"),
};

Test(codec, base64_takes_no_missing_or_surplus_padding)
{
    for (size_t i = 0; i < sizeof not_base64 / sizeof *not_base64; i++) {
        uint8_t bytes[16];
        size_t len;
        cr_assert_not(base64_decode(bytes, &len, not_base64[i]), "row %zu", i);
    }
}

Test(codec, every_byte_comes_back)
{
    uint8_t all[256], back[256];
    char text[512];
    size_t len;
    for (size_t i = 0; i < 256; i++)
        all[i] = (uint8_t)(i * 167 + 13);
    for (size_t n = 250; n <= 256; n++) {
        cr_assert(base64url_decode(back, &len, slice_from(text, base64url_encode(text, all, n))));
        cr_assert(slice_eq(slice_from(back, len), slice_from(all, n)));
        cr_assert(base64_decode(back, &len, slice_from(text, base64_encode(text, all, n))));
        cr_assert(slice_eq(slice_from(back, len), slice_from(all, n)));
        hex_encode(text, all, n);
        cr_assert(hex_decode(back, slice_from(text, 2 * n)));
        cr_assert_eq(memcmp(back, all, n), 0);
    }
}

Test(codec, hex_has_two_letters_for_each_byte_wherever_it_stands)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        uint8_t bytes[7];
        char text[14];
        char letters[3];
        memset(bytes, (int)byte, sizeof bytes);
        (void)snprintf(letters, sizeof letters, "%02x", byte);
        hex_encode(text, bytes, sizeof bytes);
        for (size_t i = 0; i < sizeof text; i++)
            cr_assert_eq(text[i], letters[i % 2], "byte %u, letter %zu", byte, i);
    }
}

Test(codec, hex_is_lower_case_and_reads_either)
{
    char text[4];
    uint8_t bytes[2];
    hex_encode(text, "\xab\x0f", 2);
    cr_assert(slice_eq(slice_from(text, 4), SLICE("ab0f")));
    cr_assert(hex_decode(bytes, SLICE("aB0F")));
    cr_assert_eq(memcmp(bytes, "\xab\x0f", 2), 0);
    static const struct slice bad[] = {SLICE_INIT("a"),  SLICE_INIT("0g"), SLICE_INIT("0x"),
                                       SLICE_INIT(" 0"), SLICE_INIT("0:"), SLICE_INIT("0@"),
                                       SLICE_INIT("0`"), SLICE_INIT("0G")};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_not(hex_decode(bytes, bad[i]), "row %zu", i);
}

Test(codec, a_form_says_bytes_as_urlencoded_says_them)
{
    static const char in[] = "aZ09-._* +&=%/\x00\xc3\xa9~";
    char out[FORM_ROOM(sizeof in)];
    const size_t len = form_encode(out, in, sizeof in - 1);
    cr_expect(slice_eq(slice_from(out, len), SLICE("aZ09-._*+%2B%26%3D%25%2F%00%C3%A9%7E")));
}
