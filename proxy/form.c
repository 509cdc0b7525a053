// SPDX-License-Identifier: EUPL-1.2
/* Reads forms. Each field is decoded once, in one pass, into one block of the arena. */
#include "proxy/form.h"

#include "base/codec.h"
#include "base/utf8.h"

/* What may stand bare: RFC 3986 §3.4, without what separates fields. Providers write ":" and "/" of
 * an `iss` as they are; browsers escape them. */
static bool is_bare(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("-._~!$'()*,;:@/?", c));
}

static bool is_text(struct slice s)
{
    while (s.len) {
        uint32_t point;
        const size_t len = utf8_next(s, &point);
        if (!len || !point)
            return false;
        s = slice_skip(s, len);
    }
    return true;
}

/* `out` has room for text.len. */
static bool decode(char *out, struct slice text, struct slice *decoded)
{
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '%') {
            if (text.len - i < 3 || hex_value(text.ptr[i + 1]) < 0 ||
                hex_value(text.ptr[i + 2]) < 0)
                return false;
            c = (char)(hex_value(text.ptr[i + 1]) << 4 | hex_value(text.ptr[i + 2]));
            i += 2;
        } else if (c == '+') {
            c = ' ';
        } else if (!is_bare(c) && c != '=') { /* "=" in a value is a value's: base64 ends so */
            return false;
        }
        out[len++] = c;
    }
    *decoded = slice_from(out, len);
    return is_text(*decoded);
}

bool form_parse(struct arena *a, struct slice text, struct form *out)
{
    struct slice rest = text;
    char *at;
    uint32_t count = 1;
    *out = (struct form){0};
    if (!text.len)
        return true;
    for (size_t i = 0; i < text.len; i++)
        count += text.ptr[i] == '&';
    if (text.len > FORM_MAX_BYTES || count > FORM_MAX_FIELDS || text.ptr[text.len - 1] == '&')
        return false;
    out->fields = arena_array(a, struct form_field, count);
    at = arena_bytes(a, text.len);
    while (rest.len) {
        struct slice value = slice_cut(&rest, '&');
        struct slice name = slice_cut(&value, '=');
        struct form_field *f = &out->fields[out->count++];
        if (!name.len || !decode(at, name, &f->name) || !decode(at + name.len, value, &f->value))
            return false;
        at += name.len + value.len;
    }
    return true;
}

bool form_get(const struct form *f, struct slice name, struct slice *out)
{
    bool is_there = false;
    *out = (struct slice){0};
    for (uint32_t i = 0; i < f->count; i++) {
        if (!slice_eq(f->fields[i].name, name))
            continue;
        if (is_there)
            return false;
        is_there = true;
        *out = f->fields[i].value;
    }
    return true;
}

static bool is_plain(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint32_t point = 0;
        const size_t len = utf8_next(slice_skip(text, i), &point);
        if (point < 0x20
                ? !memchr("\r\n\t", (int)point, 3)
                : (point >= 0x7F && point < 0xA0) || point == 0xFEFF || point == 0xFFFD ||
                      (point >= 0x200E && point <= 0x200F) ||
                      (point >= 0x2028 && point <= 0x202E) || (point >= 0x2066 && point <= 0x2069))
            return false;
        i += len - 1;
    }
    return true;
}

bool form_is_plain(const struct form *f)
{
    for (uint32_t i = 0; i < f->count; i++)
        if (!is_plain(f->fields[i].name) || !is_plain(f->fields[i].value))
            return false;
    return true;
}

char *form_escape(char *at, struct slice text)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.len; i++) {
        const unsigned char c = (unsigned char)text.ptr[i];
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            c == '-' || c == '.' || c == '_' || c == '~') {
            *at++ = (char)c;
            continue;
        }
        *at++ = '%';
        *at++ = digits[c >> 4];
        *at++ = digits[c & 15];
    }
    return at;
}

/* What is ours is found behind any case and any escape: it is compared as our own routes are. */
static bool leads_to_us(struct slice path)
{
    static const char ours[] = "/.belfry";
    size_t at = 0;
    for (size_t i = 0; i < sizeof ours - 1; i++) {
        char c = at < path.len ? path.ptr[at++] : '\0';
        if (c == '%' && path.len - at >= 2 && hex_value(path.ptr[at]) >= 0 &&
            hex_value(path.ptr[at + 1]) >= 0) {
            c = (char)(hex_value(path.ptr[at]) << 4 | hex_value(path.ptr[at + 1]));
            at += 2;
        }
        if (ascii_lower(c) != ours[i])
            return false;
    }
    return true;
}

bool return_path_is_valid(struct slice path)
{
    if (!path.len || path.len > RETURN_MAX_BYTES || path.ptr[0] != '/')
        return false;
    if (path.len > 1 && (path.ptr[1] == '/' || path.ptr[1] == '\\'))
        return false;
    for (size_t i = 0; i < path.len; i++)
        if (path.ptr[i] <= 0x20 || path.ptr[i] >= 0x7F || strchr("\\#\"<>^`{|}", path.ptr[i]))
            return false;
    /* "/.//host" and "/..//host" become "//host" once a browser has resolved the dots. */
    for (struct slice rest = path; rest.len && rest.ptr[0] == '/';) {
        struct slice segment = slice_skip(rest, 1);
        size_t len = 0;
        while (len < segment.len && segment.ptr[len] != '/' && segment.ptr[len] != '?')
            len++;
        segment.len = len;
        if (slice_eq(segment, SLICE(".")) || slice_eq(segment, SLICE("..")))
            return false;
        for (size_t i = 0; i + 2 < segment.len; i++) /* and so are escaped ones */
            if (segment.ptr[i] == '%' && segment.ptr[i + 1] == '2' &&
                ascii_lower(segment.ptr[i + 2]) == 'e')
                return false;
        rest = slice_skip(rest, 1 + len);
    }
    return !leads_to_us(path);
}
