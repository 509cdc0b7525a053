// SPDX-License-Identifier: EUPL-1.2
/* The strict parser. First the head is found whole (line by line, every LF after a CR), then the
 * start line and each field are read by one function each, then the framing is judged by one
 * function for both directions. */
#include "proxy/h1_head.h"

/* What a byte may be part of; RFC 9110 §5.6.2 (token), §5.5 (field-content: VCHAR, SP, HTAB,
 * obs-text). */
enum { TOKEN = 1, VALUE = 2, TARGET = 4 };
__extension__ static const uint8_t kind[256] = {
    ['\t'] = VALUE,
    [' '] = VALUE,
    ['!'] = TOKEN | VALUE | TARGET,
    ['"'] = VALUE,
    ['#'] = TOKEN | VALUE,
    ['$'] = TOKEN | VALUE | TARGET,
    ['%'] = TOKEN | VALUE | TARGET,
    ['&'] = TOKEN | VALUE | TARGET,
    ['\''] = TOKEN | VALUE | TARGET,
    ['('] = VALUE | TARGET,
    [')'] = VALUE | TARGET,
    ['*'] = TOKEN | VALUE | TARGET,
    ['+'] = TOKEN | VALUE | TARGET,
    [','] = VALUE | TARGET,
    ['-'] = TOKEN | VALUE | TARGET,
    ['.'] = TOKEN | VALUE | TARGET,
    ['/'] = VALUE | TARGET,
    ['0' ... '9'] = TOKEN | VALUE | TARGET,
    [':' ... ';'] = VALUE | TARGET,
    ['<'] = VALUE,
    ['='] = VALUE | TARGET,
    ['>'] = VALUE,
    ['?' ... '@'] = VALUE | TARGET,
    ['A' ... 'Z'] = TOKEN | VALUE | TARGET,
    ['['] = VALUE | TARGET,
    ['\\'] = VALUE | TARGET, /* the path parser refuses it with a better word */
    [']'] = VALUE | TARGET,
    ['^'] = TOKEN | VALUE | TARGET,
    ['_'] = TOKEN | VALUE | TARGET,
    ['`'] = TOKEN | VALUE | TARGET,
    ['a' ... 'z'] = TOKEN | VALUE | TARGET,
    ['{'] = VALUE | TARGET,
    ['|'] = TOKEN | VALUE | TARGET,
    ['}'] = VALUE | TARGET,
    ['~'] = TOKEN | VALUE | TARGET,
    [0x80 ... 0xff] = VALUE,
};

static bool all(struct slice s, uint8_t what)
{
    for (size_t i = 0; i < s.len; i++)
        if (!(kind[(uint8_t)s.ptr[i]] & what))
            return false;
    return true;
}

/* Most of a head are values, and most of those are long: eight bytes at once, as long as they hold
 * neither a control (the tab has to wait for the slow way) nor DEL. The test is exact where it lets
 * pass: a borrow can only make a byte look worse. */
static bool is_value(struct slice s)
{
    const uint64_t ones = 0x0101010101010101u;
    uint64_t word;
    while (s.len >= sizeof word) {
        memcpy(&word, s.ptr, sizeof word);
        const uint64_t del = word ^ ones * 0x7f;
        if (((word - ones * 0x20) & ~word & ones * 0x80) || ((del - ones) & ~del & ones * 0x80))
            break;
        s = slice_skip(s, sizeof word);
    }
    return all(s, VALUE);
}

bool h1_is_token(struct slice s)
{
    return s.len && all(s, TOKEN);
}

struct slice auth_scheme_cut(struct slice *rest)
{
    struct slice scheme = {rest->ptr, 0};
    while (scheme.len < rest->len && kind[(uint8_t)rest->ptr[scheme.len]] & TOKEN)
        scheme.len++;
    *rest = slice_skip(*rest, scheme.len);
    return scheme;
}

bool list_next(struct slice *rest, struct slice *item)
{
    while (rest->len) {
        *item = slice_trim(slice_cut(rest, ','));
        if (item->len)
            return true;
    }
    return false;
}

/* A request line that can still be good: method, target, version, the two spaces and CRLF. */
#define REQUEST_LINE_MAX (H1_METHOD_MAX_BYTES + H1_TARGET_MAX_BYTES + sizeof "  HTTP/1.1\r\n" - 1)

/* Nothing of the head before stays: the fields' room is left as it is, their count is zero. */
static void forget(struct h1_head *out)
{
    out->method = out->target = out->host = (struct slice){0};
    out->expects_continue = out->is_http10 = out->wants_close = out->is_websocket = false;
    out->status = 0;
    out->field_count = 0;
    out->framing = H1_NO_BODY;
    out->length = out->bytes = 0;
    out->why = REASON_INTERNAL;
    out->detail = NULL;
}

static enum h1_progress bad(struct h1_head *out, enum reason why, const char *detail)
{
    out->why = why;
    out->detail = detail;
    return H1_BAD;
}

/* Finds the end of the head. RFC 9112 §2.2: we take no bare LF, and a CR only before LF. */
static enum h1_progress find_end(struct h1_head *out, struct h1_scan *scan, const char *bytes,
                                 size_t len)
{
    size_t limit = len < H1_HEAD_MAX_BYTES ? len : H1_HEAD_MAX_BYTES;
    while (scan->seen < limit) {
        const char *lf = memchr(bytes + scan->seen, '\n', limit - scan->seen);
        if (!lf) {
            scan->seen = limit; /* a head that comes byte by byte costs no more than at once */
            break;
        }
        size_t at = (size_t)(lf - bytes);
        if (at == 0 || bytes[at - 1] != '\r')
            return bad(out, REASON_REQUEST_MALFORMED, "a line ends without CR");
        if (at == 1)
            return bad(out, REASON_REQUEST_MALFORMED, "an empty line in front");
        if (bytes[at - 2] == '\n') {
            out->bytes = at + 1;
            return H1_DONE;
        }
        scan->seen = at + 1;
    }
    if (len >= H1_HEAD_MAX_BYTES)
        return bad(out, REASON_HEADERS_TOO_LARGE, "the head is too large");
    return H1_MORE;
}

/* Takes a line off the front of `rest`, without its CRLF. find_end has seen that each LF has its
 * CR. */
static struct slice line_cut(struct slice *rest)
{
    struct slice line = slice_cut(rest, '\n');
    line.len--;
    return line;
}

static bool request_line(struct h1_head *out, struct slice line)
{
    struct slice rest = line;
    out->method = slice_cut(&rest, ' ');
    out->target = slice_cut(&rest, ' ');
    if (!h1_is_token(out->method) || out->method.len > H1_METHOD_MAX_BYTES) {
        (void)bad(out, REASON_REQUEST_MALFORMED, "the method is no token");
        return false;
    }
    if (out->target.len > H1_TARGET_MAX_BYTES) {
        (void)bad(out, REASON_URI_TOO_LONG, "the target is too long");
        return false;
    }
    if (!out->target.len || !all(out->target, TARGET)) {
        (void)bad(out, REASON_REQUEST_MALFORMED, "the target holds a byte that no target has");
        return false;
    }
    if (slice_eq(rest, SLICE("HTTP/1.1")))
        return true;
    if (rest.len == 8 && slice_starts(rest, SLICE("HTTP/")) && rest.ptr[5] >= '0' &&
        rest.ptr[5] <= '9' && rest.ptr[6] == '.' && rest.ptr[7] >= '0' && rest.ptr[7] <= '9')
        (void)bad(out, REASON_VERSION_REFUSED, "the version is not HTTP/1.1");
    else
        (void)bad(out, REASON_REQUEST_MALFORMED, "the request line has another form");
    return false;
}

static bool status_line(struct h1_head *out, struct slice line)
{
    uint64_t status;
    struct slice rest = line;
    struct slice version = slice_cut(&rest, ' ');
    struct slice code = slice_cut(&rest, ' ');
    out->is_http10 = slice_eq(version, SLICE("HTTP/1.0"));
    if ((!out->is_http10 && !slice_eq(version, SLICE("HTTP/1.1"))) || code.len != 3 ||
        !slice_u64(code, 999, &status) || status < 100 || !all(rest, VALUE)) {
        (void)bad(out, REASON_UPSTREAM_BROKEN, "the status line is malformed");
        return false;
    }
    out->status = (uint16_t)status;
    return true;
}

/* One field line: a token, a colon right behind it (RFC 9112 §5.1), a value; no folding (§5.2). */
static const char *field_line(struct h1_head *out, struct slice line)
{
    struct slice value = line;
    struct slice name;
    struct field *f;
    if (line.ptr[0] == ' ' || line.ptr[0] == '\t')
        return "a folded line";
    if (!memchr(line.ptr, ':', line.len))
        return "a field without a colon";
    name = slice_cut(&value, ':');
    if (!h1_is_token(name))
        return "a field's name is no token";
    value = slice_trim(value);
    if (!is_value(value))
        return "a field's value holds a control character";
    for (size_t i = 0; i < name.len; i++) {
        char *c = (char *)(uintptr_t)&name.ptr[i]; /* our caller's own buffer */
        *c = ascii_lower(*c);
    }
    f = &out->fields[out->field_count++];
    f->name = name;
    f->value = value;
    return NULL;
}

/* What the framing and connection fields say, gathered before it is judged. */
struct framing_facts {
    uint32_t hosts;
    uint32_t lengths;
    uint32_t encodings;
    bool is_chunked; /* the one coding is chunked */
    bool is_length_bad;
    bool is_expect_unknown;
    bool is_kept_alive;
    bool is_upgraded; /* Connection says that Upgrade counts */
    bool is_websocket;
};

static void look_at(struct h1_head *out, const struct field *f, struct framing_facts *facts)
{
    struct slice rest = f->value;
    struct slice item;
    if (slice_eq(f->name, SLICE("host"))) {
        facts->hosts++;
        out->host = f->value;
    } else if (slice_eq(f->name, SLICE("content-length"))) {
        facts->lengths++;
        facts->is_length_bad |= f->value.len > 19 || !slice_u64(f->value, INT64_MAX, &out->length);
    } else if (slice_eq(f->name, SLICE("transfer-encoding"))) {
        facts->encodings++;
        facts->is_chunked = slice_eq_nocase(f->value, SLICE("chunked"));
    } else if (slice_eq(f->name, SLICE("connection"))) {
        while (list_next(&rest, &item)) {
            out->wants_close |= slice_eq_nocase(item, SLICE("close"));
            facts->is_kept_alive |= slice_eq_nocase(item, SLICE("keep-alive"));
            facts->is_upgraded |= slice_eq_nocase(item, SLICE("upgrade"));
        }
    } else if (slice_eq(f->name, SLICE("upgrade"))) {
        while (list_next(&rest, &item))
            facts->is_websocket |= slice_eq_nocase(item, SLICE("websocket"));
    } else if (slice_eq(f->name, SLICE("expect"))) {
        out->expects_continue = slice_eq_nocase(f->value, SLICE("100-continue"));
        facts->is_expect_unknown |= !out->expects_continue;
    }
}

static bool read_fields(struct h1_head *out, struct slice rest, struct framing_facts *facts,
                        bool is_request)
{
    enum reason malformed = is_request ? REASON_REQUEST_MALFORMED : REASON_UPSTREAM_BROKEN;
    while (rest.len) {
        struct slice line = line_cut(&rest);
        const char *wrong;
        if (!line.len)
            break;
        if (out->field_count == H1_MAX_FIELDS) {
            (void)bad(out, is_request ? REASON_HEADERS_TOO_LARGE : malformed, "too many fields");
            return false;
        }
        wrong = field_line(out, line);
        if (wrong) {
            (void)bad(out, malformed, wrong);
            return false;
        }
        look_at(out, &out->fields[out->field_count - 1], facts);
    }
    return true;
}

/* RFC 9112 §3.2.2: a server takes the absolute form too. It counts where it says what Host says;
 * the path is then its rest. Any other scheme is left as it is, and refused with the path. */
static bool absolute_form(struct h1_head *out)
{
    const struct slice scheme = SLICE("https://");
    struct slice rest = slice_skip(out->target, scheme.len);
    struct slice authority = rest;
    const char *slash;
    if (!slice_eq_nocase(slice_from(out->target.ptr, scheme.len < out->target.len ? scheme.len : 0),
                         scheme))
        return true;
    slash = memchr(rest.ptr, '/', rest.len);
    if (!slash)
        return false;
    authority.len = (size_t)(slash - rest.ptr);
    out->target = slice_skip(rest, authority.len);
    return slice_eq_nocase(authority, out->host);
}

enum h1_progress h1_request_parse(struct h1_head *out, struct h1_scan *scan, char *bytes,
                                  size_t len)
{
    struct framing_facts facts = {0};
    struct slice rest;
    enum h1_progress found;
    forget(out);
    /* Before all else, so that the answer does not hang on how much came at once. */
    if (len > REQUEST_LINE_MAX && !memchr(bytes, '\n', REQUEST_LINE_MAX))
        return bad(out, REASON_URI_TOO_LONG, "the request line is too long");
    found = find_end(out, scan, bytes, len);
    if (found != H1_DONE)
        return found;
    rest = slice_from(bytes, out->bytes);
    if (!request_line(out, line_cut(&rest)) || !read_fields(out, rest, &facts, true))
        return H1_BAD;
    /* RFC 9112 §3.2 and §6.3; beyond them: TE beside CL, CL twice and TE other than one "chunked"
     * are refused. */
    if (facts.hosts != 1)
        return bad(out, REASON_REQUEST_MALFORMED, facts.hosts ? "more than one Host" : "no Host");
    if (!absolute_form(out))
        return bad(out, REASON_REQUEST_AMBIGUOUS, "the target names another host than Host does");
    if (facts.encodings && facts.lengths)
        return bad(out, REASON_REQUEST_AMBIGUOUS, "Transfer-Encoding beside Content-Length");
    if (facts.encodings > 1 || (facts.encodings && !facts.is_chunked))
        return bad(out, REASON_REQUEST_AMBIGUOUS, "a Transfer-Encoding other than one chunked");
    if (facts.lengths > 1)
        return bad(out, REASON_REQUEST_AMBIGUOUS, "more than one Content-Length");
    if (facts.is_length_bad)
        return bad(out, REASON_REQUEST_MALFORMED, "a Content-Length that is no number");
    if (facts.is_expect_unknown)
        return bad(out, REASON_EXPECTATION_REFUSED, "an expectation other than 100-continue");
    out->framing = facts.encodings ? H1_CHUNKED : out->length ? H1_LENGTH : H1_NO_BODY;
    out->is_websocket = facts.is_upgraded && facts.is_websocket;
    return H1_DONE;
}

enum h1_progress h1_response_parse(struct h1_head *out, struct h1_scan *scan, char *bytes,
                                   size_t len, bool to_head)
{
    struct framing_facts facts = {0};
    struct slice rest;
    enum h1_progress found;
    bool is_bodiless;
    forget(out);
    found = find_end(out, scan, bytes, len);
    if (found != H1_DONE) {
        out->why = REASON_UPSTREAM_BROKEN;
        return found;
    }
    rest = slice_from(bytes, out->bytes);
    if (!status_line(out, line_cut(&rest)) || !read_fields(out, rest, &facts, false))
        return H1_BAD;
    if (facts.encodings && (facts.lengths || facts.encodings > 1 || !facts.is_chunked))
        return bad(out, REASON_UPSTREAM_BROKEN, "ambiguous framing");
    if (facts.lengths > 1 || facts.is_length_bad)
        return bad(out, REASON_UPSTREAM_BROKEN, "ambiguous Content-Length");
    if (out->is_http10 && facts.encodings)
        return bad(out, REASON_UPSTREAM_BROKEN, "Transfer-Encoding in HTTP/1.0");
    /* RFC 9112 §6.1, RFC 9110 §8.6: neither may stand there. Where it does, the origin means to
     * send a body that we would take for its next answer. */
    is_bodiless = out->status < 200 || out->status == 204;
    if (is_bodiless && (facts.encodings || out->length))
        return bad(out, REASON_UPSTREAM_BROKEN, "a body where none may be");
    out->wants_close |= out->is_http10 && !facts.is_kept_alive;
    out->is_websocket = facts.is_upgraded && facts.is_websocket;
    if (to_head || is_bodiless || out->status == 304)
        out->framing = H1_NO_BODY; /* RFC 9112 §6.3, rule 1 */
    else if (facts.encodings)
        out->framing = H1_CHUNKED;
    else if (facts.lengths)
        out->framing = out->length ? H1_LENGTH : H1_NO_BODY;
    else
        out->framing = H1_UNTIL_CLOSE;
    if (out->framing == H1_UNTIL_CLOSE)
        out->wants_close = true;
    return H1_DONE;
}
