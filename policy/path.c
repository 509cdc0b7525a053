// SPDX-License-Identifier: EUPL-1.2
/* From a request target to the path that is judged and forwarded, in two passes: first the bytes
 * (is this a URI at all?), then segment by segment (can an application read it in another way than
 * we do?). Owns: the list of what is ambiguous. Nothing is repaired here but the spelling of
 * escapes (RFC 3986 §6.2.2): no dot segment is resolved, no slash merged. */
#include "policy/path.h"

#include "base/codec.h"
#include "base/utf8.h"

/* What a byte is in a target, RFC 3986 §2 and §3. */
enum byte_class {
    N = 0, /* in no URI: controls, space, '"', '#', '<', '>', '\', everything over 0x7e */
    U,     /* unreserved: escaped or not, the same (§6.2.2.2) */
    R,     /* sub-delims, ':' and '@': in a segment, but escaped it is another URI (§2.2) */
    P,     /* '%' */
    S,     /* '/', '?': in the query as they are */
    Q      /* no URI holds it, but browsers send it bare in a query, and it has one reading there */
};

// clang-format off
static const uint8_t classes[128] = {
    N, N, N, N, N, N, N, N, N, N, N, N, N, N, N, N,
    N, N, N, N, N, N, N, N, N, N, N, N, N, N, N, N,
/*     !  "  #  $  %  &  '  (  )  *  +  ,  -  .  / */
    N, R, N, N, R, P, R, R, R, R, R, R, R, U, U, S,
/*  0                          9  :  ;  <  =  >  ? */
    U, U, U, U, U, U, U, U, U, U, R, R, N, R, N, S,
/*  @  A                                         O */
    R, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U,
/*  P                             Z  [  \  ]  ^  _ */
    U, U, U, U, U, U, U, U, U, U, U, Q, N, Q, Q, U,
/*  `  a                                         o */
    Q, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U,
/*  p                             z  {  |  }  ~    */
    U, U, U, U, U, U, U, U, U, U, U, Q, Q, Q, U, N,
};
// clang-format on

static enum byte_class class_of(char c)
{
    uint8_t byte = (uint8_t)c;
    return byte < sizeof classes ? (enum byte_class)classes[byte] : N;
}

static bool is_escape(struct slice s, size_t at)
{
    return s.len - at > 2 && s.ptr[at] == '%' && hex_value(s.ptr[at + 1]) >= 0 &&
           hex_value(s.ptr[at + 2]) >= 0;
}

/* Only bytes of a URI, and each '%' before two hexadecimal digits. `is_query` lets S and Q in. */
static bool bytes_are_good(struct slice s, bool is_query)
{
    for (size_t i = 0; i < s.len; i++) {
        switch (class_of(s.ptr[i])) {
        case U:
        case R:
            break;
        case P:
            if (!is_escape(s, i))
                return false;
            break;
        case S:
            if (!is_query && s.ptr[i] != '/')
                return false;
            break;
        case Q:
            if (!is_query)
                return false;
            break;
        case N:
            return false;
        }
    }
    return true;
}

/* Where bytes go: both texts are at most as long as the raw path, since an escape never grows. */
struct writer {
    char *decoded;
    char *canonical;
};

/* Decodes one segment, once, and writes its canonical spelling beside it. A byte that needs no
 * escape and came in one loses it where it is unreserved; a reserved one keeps it: to an
 * application ";" and "%3B" may differ. */
static struct slice decode_segment(struct slice raw, struct writer *w)
{
    static const char hex[] = "0123456789ABCDEF";
    struct slice segment = {w->decoded, 0};
    for (size_t i = 0; i < raw.len; i++) {
        char c = raw.ptr[i];
        bool was_escaped = c == '%';
        if (was_escaped) {
            c = (char)(hex_value(raw.ptr[i + 1]) * 16 + hex_value(raw.ptr[i + 2]));
            i += 2;
        }
        *w->decoded++ = c;
        if (!was_escaped || class_of(c) == U) {
            *w->canonical++ = c;
        } else {
            *w->canonical++ = '%';
            *w->canonical++ = hex[(uint8_t)c >> 4];
            *w->canonical++ = hex[(uint8_t)c & 15];
        }
    }
    segment.len = (size_t)(w->decoded - segment.ptr);
    return segment;
}

/* What an application that splits at "/" (after its own decoding) or cuts at ";" takes for a
 * segment. */
static enum reason judge_name(struct slice part, struct path_options options, bool is_end)
{
    struct slice name = slice_cut(&part, ';');
    if (slice_eq(name, SLICE(".")) || slice_eq(name, SLICE("..")))
        return REASON_PATH_AMBIGUOUS;
    if (!name.len && !is_end && !options.allow_empty_segments)
        return REASON_PATH_AMBIGUOUS;
    return REASON_PERMITTED;
}

static enum reason judge_names(struct slice segment, struct path_options options, bool is_last)
{
    struct slice rest = segment;
    for (;;) {
        struct slice part = slice_cut(&rest, '/');
        bool is_end = part.ptr + part.len == segment.ptr + segment.len;
        enum reason reason = judge_name(part, options, is_end && is_last);
        if (reason != REASON_PERMITTED || is_end)
            return reason;
    }
}

static enum reason judge_point(struct slice segment, size_t at, uint32_t point,
                               struct path_options options)
{
    bool is_open = true;
    if (point < 0x20 || (point >= 0x7f && point < 0xa0) || point == '\\')
        is_open = false;
    else if (point == '/')
        is_open = options.allow_encoded_slash;
    else if (point == ';')
        is_open = options.allow_parameters;
    else if (point == '%' && is_escape(segment, at))
        is_open = options.allow_percent;
    return is_open ? REASON_PERMITTED : REASON_PATH_AMBIGUOUS;
}

/* `segment` is decoded. */
static enum reason judge_segment(struct slice segment, struct path_options options, bool is_last)
{
    for (size_t i = 0; i < segment.len;) {
        uint32_t point = 0;
        size_t len = utf8_next(slice_skip(segment, i), &point);
        if (!len)
            return REASON_REQUEST_MALFORMED;
        enum reason reason = judge_point(segment, i, point, options);
        if (reason != REASON_PERMITTED)
            return reason;
        i += len;
    }
    return judge_names(segment, options, is_last);
}

static size_t count_segments(struct slice raw)
{
    size_t count = 0;
    for (size_t i = 0; i < raw.len; i++)
        count += raw.ptr[i] == '/';
    return raw.len > 1 ? count : 0;
}

/* `raw` begins with "/" and its bytes are good. */
static enum reason path_parse(struct path *out, struct slice raw, struct path_options options,
                              struct arena *a)
{
    struct path path = {.canonical = SLICE("/")};
    size_t count = count_segments(raw);
    if (count > PATH_MAX_SEGMENTS)
        return REASON_URI_TOO_LONG;
    if (count) {
        struct slice rest = slice_skip(raw, 1);
        struct writer w = {arena_bytes(a, raw.len), arena_bytes(a, raw.len)};
        path.canonical.ptr = w.canonical;
        path.segments = arena_array(a, struct slice, count);
        while (path.segment_count < count) {
            bool is_last = path.segment_count + 1 == count;
            *w.canonical++ = '/';
            struct slice segment = decode_segment(slice_cut(&rest, '/'), &w);
            enum reason reason = judge_segment(segment, options, is_last);
            if (reason != REASON_PERMITTED)
                return reason;
            path.segments[path.segment_count++] = segment;
            path.has_parameters =
                path.has_parameters || (segment.len && memchr(segment.ptr, ';', segment.len));
        }
        path.canonical.len = (size_t)(w.canonical - path.canonical.ptr);
    }
    *out = path;
    return REASON_PERMITTED;
}

/* What conditions call request.path: each decoded segment behind a "/", and "/" where there are
 * none. */
static struct slice join_segments(const struct path *path, struct arena *a)
{
    size_t len = 0;
    for (uint32_t i = 0; i < path->segment_count; i++)
        len += 1 + path->segments[i].len;
    if (!len)
        return SLICE("/");
    char *text = arena_bytes(a, len);
    char *at = text;
    for (uint32_t i = 0; i < path->segment_count; i++) {
        const struct slice s = path->segments[i];
        *at++ = '/';
        if (s.len)
            memcpy(at, s.ptr, s.len);
        at += s.len;
    }
    return (struct slice){text, len};
}

enum reason target_parse(struct request *request, struct slice target, struct path_options options,
                         struct arena *a)
{
    struct slice query = target;
    struct slice raw = slice_cut(&query, '?');
    /* Origin-form only (RFC 9112 §3.2.1): what a proxy would take ("http://...") or "*" is not
     * ours. */
    if (!raw.len || raw.ptr[0] != '/' || !bytes_are_good(raw, false) ||
        !bytes_are_good(query, true))
        return REASON_REQUEST_MALFORMED;
    enum reason reason = path_parse(&request->path, raw, options, a);
    if (reason != REASON_PERMITTED)
        return reason;
    request->decoded_path = join_segments(&request->path, a);
    request->has_query = raw.len != target.len;
    request->query = query;
    return REASON_PERMITTED;
}
