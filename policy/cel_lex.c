// SPDX-License-Identifier: EUPL-1.2
/* The lexis of CEL (cel-spec, langdef, "Syntax"): text → tokens, one at a time, literals decoded as
 * they are met. Owns: what a literal means, and how an offset becomes a place. Nothing is skipped
 * silently: a byte that begins no token is a finding. */
#include "policy/cel_in.h"

#include "base/codec.h"
#include "base/utf8.h"

#include <math.h>
#include <stdarg.h>

/* A line of a block in YAML begins at the column of its first one, so that column stands for all.
 */
static struct place place_of(const struct cel_text *t, size_t offset)
{
    struct place place = t->at;
    place.line = place.line ? place.line : 1;
    place.column = place.column ? place.column : 1;
    const uint32_t margin = place.column;
    for (size_t i = 0; i < offset && i < t->text.len; i++) {
        const unsigned char byte = (unsigned char)t->text.ptr[i];
        if (byte == '\n') {
            place.line++;
            place.column = margin;
        } else if ((byte & 0xc0) != 0x80) { // columns count characters
            place.column++;
        }
    }
    return place;
}

static void report(struct cel_text *t, bool is_error, size_t offset, const char *code,
                   const char *format, va_list args) __attribute__((format(printf, 5, 0)));
static void report(struct cel_text *t, bool is_error, size_t offset, const char *code,
                   const char *format, va_list args)
{
    char text[600];
    (void)vsnprintf(text, sizeof text, format, args);
    if (is_error)
        findings_error(t->out, place_of(t, offset), code, "%s", text);
    else
        findings_warn(t->out, place_of(t, offset), code, "%s", text);
}

void cel_error(struct cel_text *t, size_t offset, const char *code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    t->has_failed = true;
    report(t, true, offset, code, format, args);
    va_end(args);
}

void cel_warn(struct cel_text *t, size_t offset, const char *code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    report(t, false, offset, code, format, args);
    va_end(args);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name_start(char c)
{
    return c == '_' || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z');
}

static bool is_name_part(char c)
{
    return is_name_start(c) || is_digit(c);
}

/* The end of the name that begins at `i`. */
static size_t name_end(const struct cel_text *t, size_t i)
{
    while (i < t->text.len && is_name_part(t->text.ptr[i]))
        i++;
    return i;
}

/* The byte at `i`, or NUL past the end: a NUL in the text begins no token, so the two do not mix.
 */
static char peek(const struct cel_text *t, size_t i)
{
    return i < t->text.len ? t->text.ptr[i] : '\0';
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r';
}

static size_t skip_blank(const struct cel_text *t, size_t i)
{
    for (;;) {
        while (is_blank(peek(t, i)))
            i++;
        if (peek(t, i) != '/' || peek(t, i + 1) != '/')
            return i;
        while (i < t->text.len && t->text.ptr[i] != '\n' && t->text.ptr[i] != '\r')
            i++;
    }
}

static struct cel_token bad(size_t offset)
{
    return (struct cel_token){.kind = TOKEN_BAD, .offset = offset};
}

/* --- numbers --- */

static bool read_integer(struct slice digits, unsigned base, uint64_t *out)
{
    uint64_t n = 0;
    for (size_t i = 0; i < digits.len; i++)
        if (__builtin_mul_overflow(n, (uint64_t)base, &n) ||
            __builtin_add_overflow(n, (uint64_t)hex_value(digits.ptr[i]), &n))
            return false;
    *out = n;
    return true;
}

static size_t skip_digits(const struct cel_text *t, size_t i)
{
    while (is_digit(peek(t, i)))
        i++;
    return i;
}

/* DIGIT* . DIGIT+ EXPONENT? | DIGIT+ EXPONENT: the end, or `from` where there is none. */
static size_t double_end(const struct cel_text *t, size_t from)
{
    size_t i = skip_digits(t, from);
    const bool has_point = peek(t, i) == '.' && is_digit(peek(t, i + 1));
    if (has_point)
        i = skip_digits(t, i + 1);
    if (ascii_lower(peek(t, i)) == 'e') {
        const char sign = peek(t, i + 1);
        const size_t digits = i + (sign == '+' || sign == '-' ? 2 : 1);
        if (is_digit(peek(t, digits)))
            return skip_digits(t, digits);
    }
    return has_point ? i : from;
}

static struct cel_token lex_double(struct cel_text *t, size_t from, size_t end)
{
    struct cel_token token = {.kind = TOKEN_DOUBLE, .offset = from};
    char *copy = arena_bytes(t->scratch, end - from + 1);
    memcpy(copy, t->text.ptr + from, end - from);
    copy[end - from] = '\0';
    // The process stays in the C locale, so the point is a point.
    token.value.d = strtod(copy, NULL);
    if (isinf(token.value.d)) {
        cel_error(t, from, CEL_SYNTAX, "this number is beyond the range of double");
        return bad(from);
    }
    return token;
}

static struct cel_token lex_number(struct cel_text *t, size_t *offset)
{
    const size_t from = *offset;
    struct cel_token token = {.kind = TOKEN_INT, .offset = from};
    size_t end = double_end(t, from);
    if (end != from) {
        token = lex_double(t, from, end);
    } else {
        const bool is_hex = peek(t, from) == '0' && ascii_lower(peek(t, from + 1)) == 'x';
        const size_t digits = is_hex ? from + 2 : from;
        end = digits;
        while (is_hex ? hex_value(peek(t, end)) >= 0 : is_digit(peek(t, end)))
            end++;
        const struct slice text = {t->text.ptr + digits, end - digits};
        const bool fits = read_integer(text, is_hex ? 16 : 10, &token.value.u);
        if (ascii_lower(peek(t, end)) == 'u') {
            token.kind = TOKEN_UINT;
            end++;
        }
        if (text.len && (!fits || (token.kind == TOKEN_INT && token.value.u > 1ull << 63))) {
            cel_error(t, from, CEL_SYNTAX, "this number is beyond the range of %s",
                      token.kind == TOKEN_UINT ? "uint" : "int");
            return bad(from);
        }
        if (!text.len) {
            cel_error(t, from, CEL_SYNTAX, "'0x' has no hexadecimal digits behind it");
            return bad(from);
        }
    }
    if (token.kind != TOKEN_BAD && is_name_part(peek(t, end))) {
        cel_error(t, end, CEL_SYNTAX, "a number ends in '%c'; allowed are 1, 0x1f, 1u, 1.5 and 1e3",
                  peek(t, end));
        return bad(from);
    }
    *offset = end;
    return token;
}

/* --- strings --- */

struct quoted {
    size_t body; /* first byte behind the opening quote */
    size_t end;  /* the closing quote */
    size_t quote_len;
    bool is_raw;
    bool is_bytes;
};

/* Finds the closing quote; false with a finding. A raw string has no escapes, so not of quotes
 * either. */
static bool find_quote(struct cel_text *t, size_t from, struct quoted *q)
{
    const char quote = peek(t, q->body);
    const bool is_triple = peek(t, q->body + 1) == quote && peek(t, q->body + 2) == quote;
    q->quote_len = is_triple ? 3 : 1;
    q->body += q->quote_len;
    for (size_t i = q->body; i < t->text.len; i++) {
        const char c = t->text.ptr[i];
        if (c == quote && (!is_triple || (peek(t, i + 1) == quote && peek(t, i + 2) == quote))) {
            q->end = i;
            return true;
        }
        if (!is_triple && (c == '\n' || c == '\r'))
            break;
        if (c == '\\' && !q->is_raw)
            i++;
    }
    cel_error(t, from, CEL_SYNTAX,
              is_triple ? "this string has no end"
                        : "this string has no end on its line; use %c%c%c for more lines",
              quote, quote, quote);
    return false;
}

static size_t put_code_point(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    const size_t more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const unsigned char lead[] = {0, 0xc0, 0xe0, 0xf0};
    out[0] = (char)(lead[more] | c >> (6 * more));
    for (size_t i = 1; i <= more; i++)
        out[i] = (char)(0x80 | (c >> (6 * (more - i)) & 0x3f));
    return more + 1;
}

/* `count` digits of `base` from `i` on, all before `end`. */
static bool read_code(const struct cel_text *t, size_t i, size_t end, size_t count, int base,
                      uint32_t *out)
{
    uint32_t n = 0;
    if (end - i < count)
        return false;
    for (size_t k = i; k < i + count; k++) {
        const int digit = hex_value(t->text.ptr[k]);
        if (digit < 0 || digit >= base)
            return false;
        n = n * (uint32_t)base + (uint32_t)digit;
    }
    *out = n;
    return true;
}

/* The escape whose backslash is at *i: its character, or of bytes its byte, goes to *out and *i
 * behind it. False, untouched, where there is no such escape. */
static bool read_escape(const struct cel_text *t, size_t *i, const struct quoted *q, uint32_t *out)
{
    const size_t end = q->end;
    static const char names[] = "abfnrtv\\?\"'`";
    static const char values[] = "\a\b\f\n\r\t\v\\?\"'`";
    const size_t at = *i + 1;
    const char c = at < end ? t->text.ptr[at] : '\0';
    const char *named = c ? strchr(names, c) : NULL;
    size_t count = 0;
    uint32_t code = 0;
    if (named) {
        *out = (uint32_t)values[named - names];
        *i = at + 1;
        return true;
    }
    if (c >= '0' && c <= '3') { // three octal digits, a code point up to 0377
        if (!read_code(t, at, end, 3, 8, &code))
            return false;
        *out = code;
        *i = at + 3;
        return true;
    }
    count = c == 'x' || c == 'X' ? 2 : q->is_bytes ? 0 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (!count || !read_code(t, at + 1, end, count, 16, &code))
        return false;
    if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) // no half of a pair is a code point
        return false;
    *out = code;
    *i = at + 1 + count;
    return true;
}

static bool decode_string(struct cel_text *t, const struct quoted *q, struct slice *out)
{
    // No escape is longer than the text that it stands for, not even \x80 (two bytes of UTF-8).
    char *text = arena_bytes(t->keep, q->end - q->body + 1);
    size_t len = 0;
    for (size_t i = q->body; i < q->end;) {
        uint32_t code;
        if (t->text.ptr[i] == '\\' && !q->is_raw) {
            if (!read_escape(t, &i, q, &code)) {
                cel_error(t, i, CEL_SYNTAX,
                          "no such escape; allowed are \\a \\b \\f \\n \\r \\t \\v \\\\ \\? \\\" "
                          "\\' \\`, \\xHH, %s\\OOO (000 to 377)",
                          q->is_bytes ? "" : "\\uHHHH, \\UHHHHHHHH and ");
                return false;
            }
            if (q->is_bytes)
                text[len++] = (char)code;
            else
                len += put_code_point(text + len, code);
            continue;
        }
        if ((unsigned char)t->text.ptr[i] < 0x80) {
            text[len++] = t->text.ptr[i++];
            continue;
        }
        uint32_t point;
        const size_t bytes = utf8_next(slice_skip(t->text, i), &point);
        if (!bytes) {
            cel_error(t, i, CEL_SYNTAX, "this is not UTF-8");
            return false;
        }
        memcpy(text + len, t->text.ptr + i, bytes);
        len += bytes;
        i += bytes;
    }
    *out = (struct slice){text, len};
    return true;
}

/* Whether a string literal begins here, with or without r and b in front (in any order and case).
 */
static bool begins_string(const struct cel_text *t, size_t from, struct quoted *q)
{
    size_t i = from;
    for (; i < from + 2; i++) {
        const char c = ascii_lower(peek(t, i));
        if (c == 'r' && !q->is_raw)
            q->is_raw = true;
        else if (c == 'b' && !q->is_bytes)
            q->is_bytes = true;
        else
            break;
    }
    q->body = i;
    return peek(t, i) == '"' || peek(t, i) == '\'';
}

static struct cel_token lex_string(struct cel_text *t, size_t *offset, struct quoted *q)
{
    struct cel_token token = {.kind = q->is_bytes ? TOKEN_BYTES : TOKEN_STRING, .offset = *offset};
    if (!find_quote(t, *offset, q) || !decode_string(t, q, &token.value.s))
        return bad(*offset);
    *offset = q->end + q->quote_len;
    return token;
}

/* --- the rest --- */

static enum cel_token_kind word_kind(struct slice word)
{
    static const struct {
        struct slice word;
        enum cel_token_kind kind;
    } words[] = {
        {SLICE_INIT("true"), TOKEN_TRUE},
        {SLICE_INIT("false"), TOKEN_FALSE},
        {SLICE_INIT("null"), TOKEN_NULL},
        {SLICE_INIT("in"), TOKEN_IN},
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (slice_eq(word, words[i].word))
            return words[i].kind;
    return TOKEN_NAME;
}

/* The longest sign here, or TOKEN_BAD. The most frequent stand first. */
static enum cel_token_kind sign_kind(const struct cel_text *t, size_t at, size_t *len)
{
    static const struct {
        char text[3];
        enum cel_token_kind kind;
    } signs[] = {
        {".", TOKEN_DOT},   {"==", TOKEN_EQ},       {"&&", TOKEN_AND},
        {">=", TOKEN_GE},   {",", TOKEN_COMMA},     {"(", TOKEN_OPEN},
        {")", TOKEN_CLOSE}, {"||", TOKEN_OR},       {"!=", TOKEN_NE},
        {"<=", TOKEN_LE},   {"<", TOKEN_LT},        {">", TOKEN_GT},
        {"!", TOKEN_NOT},   {"[", TOKEN_LIST_OPEN}, {"]", TOKEN_LIST_CLOSE},
        {"-", TOKEN_MINUS}, {"+", TOKEN_PLUS},      {"*", TOKEN_STAR},
        {"/", TOKEN_SLASH}, {"%", TOKEN_PERCENT},   {"?", TOKEN_QUESTION},
        {":", TOKEN_COLON}, {"{", TOKEN_MAP_OPEN},  {"}", TOKEN_MAP_CLOSE},
    };
    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++) {
        const char second = signs[i].text[1];
        *len = second ? 2 : 1;
        if (signs[i].text[0] == t->text.ptr[at] && (!second || second == peek(t, at + 1)))
            return signs[i].kind;
    }
    return TOKEN_BAD;
}

static struct cel_token lex_sign(struct cel_text *t, size_t *offset)
{
    size_t len = 0;
    const char c = peek(t, *offset);
    const struct cel_token token = {.kind = sign_kind(t, *offset, &len), .offset = *offset};
    if (token.kind != TOKEN_BAD) {
        *offset += len;
        return token;
    }
    if (c == '&' || c == '|' || c == '=')
        cel_error(t, *offset, CEL_SYNTAX, "'%c' alone is no operator; did you mean '%c%c'?", c, c,
                  c);
    else if (c > ' ' && c < 0x7f)
        cel_error(t, *offset, CEL_SYNTAX, "'%c' begins nothing in a condition", c);
    else
        cel_error(t, *offset, CEL_SYNTAX, "byte 0x%02x stands outside of a string",
                  (unsigned)(unsigned char)c);
    return token;
}

/* `name`, behind a dot: a key of a map that is no plain name. */
static struct cel_token lex_quoted_name(struct cel_text *t, size_t *offset)
{
    const size_t from = *offset + 1;
    size_t end = from;
    while (is_name_part(peek(t, end)) || (peek(t, end) && strchr(".-/ ", peek(t, end))))
        end++;
    if (peek(t, end) != '`' || end == from) {
        cel_error(t, *offset, CEL_SYNTAX,
                  "a name in ` has letters, digits and _ . - / or a space, and a ` behind it");
        return bad(*offset);
    }
    const struct cel_token token = {
        .kind = TOKEN_QUOTED_NAME, .offset = *offset, .value.s = {t->text.ptr + from, end - from}};
    *offset = end + 1;
    return token;
}

static struct cel_token lex_any(struct cel_text *t, size_t *offset)
{
    const size_t from = *offset;
    struct quoted quoted = {.is_raw = false};
    if (from >= t->text.len)
        return (struct cel_token){.kind = TOKEN_END, .offset = from};
    if (begins_string(t, from, &quoted))
        return lex_string(t, offset, &quoted);
    const char c = t->text.ptr[from];
    if (c == '`')
        return lex_quoted_name(t, offset);
    if (is_digit(c) || (c == '.' && is_digit(peek(t, from + 1))))
        return lex_number(t, offset);
    if (!is_name_start(c))
        return lex_sign(t, offset);
    const size_t end = name_end(t, from);
    *offset = end;
    return (struct cel_token){.kind = word_kind((struct slice){t->text.ptr + from, end - from}),
                              .offset = from};
}

struct cel_token cel_lex(struct cel_text *t, size_t *offset)
{
    *offset = skip_blank(t, *offset);
    struct cel_token token = lex_any(t, offset);
    token.raw = (struct slice){t->text.ptr + token.offset, *offset - token.offset};
    return token;
}
