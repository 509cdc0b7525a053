// SPDX-License-Identifier: EUPL-1.2
/* The chunked coding under attack: every row in every split, the caps to the byte, and a slow twin
 * that reads whole bodies, compared on bodies that are nearly right. */
#include <criterion/criterion.h>

#include "base/buf.h"
#include "base/mem.h"
#include "proxy/h1_chunked.h"

struct decoded {
    enum chunked_state state;
    size_t used;
    struct buf data;
};

/* Feeds `in` in two parts; each in a block of exactly its length. */
static void decode(struct decoded *d, struct slice in, size_t split)
{
    struct chunked c = {0};
    d->used = 0;
    buf_init(&d->data, in.len + 1);
    for (size_t part = 0; part < 2; part++) {
        size_t len = part ? in.len - split : split;
        char *bytes = mem_array(char, len ? len : 1);
        struct slice left = {bytes, len};
        if (len)
            memcpy(bytes, in.ptr + (part ? split : 0), len);
        while (left.len && c.state != CHUNKED_END && c.state != CHUNKED_BAD) {
            struct slice data;
            size_t used = chunked_next(&c, left, &data);
            cr_assert(used <= left.len && data.ptr >= left.ptr &&
                      data.ptr + data.len <= left.ptr + used);
            cr_assert(used || c.state == CHUNKED_BAD, "it stands still");
            cr_assert(buf_add(&d->data, data));
            d->used += used;
            left = slice_skip(left, used);
        }
        mem_free(bytes);
    }
    d->state = c.state;
}

enum outcome { WAITS, ENDS, BAD };

static enum outcome outcome_of(enum chunked_state s)
{
    return s == CHUNKED_END ? ENDS : s == CHUNKED_BAD ? BAD : WAITS;
}

#define END_OF "0\r\n\r\n"

static const struct {
    struct slice in;
    enum outcome outcome;
    struct slice data;
    size_t behind; /* bytes after the end: the next request's */
} bodies[] = {
    {SLICE_INIT(END_OF), ENDS, SLICE_INIT(""), 0},
    {SLICE_INIT("3\r\nabc\r\n" END_OF), ENDS, SLICE_INIT("abc"), 0},
    {SLICE_INIT("3\r\nabc\r\n2\r\nde\r\n" END_OF), ENDS, SLICE_INIT("abcde"), 0},
    {SLICE_INIT("a\r\n0123456789\r\nA\r\n0123456789\r\n" END_OF), ENDS,
     SLICE_INIT("01234567890123456789"), 0},
    {SLICE_INIT("0003\r\nabc\r\n000\r\n\r\n"), ENDS, SLICE_INIT("abc"), 0},
    {SLICE_INIT("000000000000003\r\nabc\r\n" END_OF), ENDS, SLICE_INIT("abc"), 0},
    {SLICE_INIT("5\r\n0\r\n\r\n\r\n" END_OF), ENDS, SLICE_INIT("0\r\n\r\n"), 0},
    {SLICE_INIT("3;\r\nabc\r\n" END_OF), ENDS, SLICE_INIT("abc"), 0},
    {SLICE_INIT("3;a=\"b;c\"; d\t\r\nabc\r\n0;x\r\n\r\n"), ENDS, SLICE_INIT("abc"), 0},
    {SLICE_INIT("3\r\nabc\r\n0\r\nX-Sum: 1\r\nY:\r\n\r\n"), ENDS, SLICE_INIT("abc"), 0},
    {SLICE_INIT(END_OF "GET /next HTTP/1.1\r\n"), ENDS, SLICE_INIT(""), 20},
    {SLICE_INIT(END_OF "\r\n"), ENDS, SLICE_INIT(""), 2},
    /* Not there yet. */
    {SLICE_INIT(""), WAITS, SLICE_INIT(""), 0},
    {SLICE_INIT("3"), WAITS, SLICE_INIT(""), 0},
    {SLICE_INIT("3\r"), WAITS, SLICE_INIT(""), 0},
    {SLICE_INIT("3\r\nab"), WAITS, SLICE_INIT("ab"), 0},
    {SLICE_INIT("3\r\nabc\r\n"), WAITS, SLICE_INIT("abc"), 0},
    {SLICE_INIT("0\r\n"), WAITS, SLICE_INIT(""), 0},
    {SLICE_INIT("0\r\nX: y\r\n"), WAITS, SLICE_INIT(""), 0},
    {SLICE_INIT("7fffffff\r\nabc"), WAITS, SLICE_INIT("abc"), 0},
    {SLICE_INIT("fffffffffffffff\r\nabc"), WAITS, SLICE_INIT("abc"), 0},
    /* Sizes. */
    {SLICE_INIT("\r\n"), BAD, SLICE_INIT(""), 0},
    {SLICE_INIT("\r\n" END_OF), BAD, SLICE_INIT(""), 0},
    {SLICE_INIT(";a\r\n\r\n"), BAD, SLICE_INIT(""), 0},
    {SLICE_INIT(" 3\r\nabc\r\n"), BAD, SLICE_INIT(""), 0},
    {SLICE_INIT("+3\r\nabc\r\n"), BAD, SLICE_INIT(""), 0},
    {SLICE_INIT("-3\r\nabc\r\n"), BAD, SLICE_INIT(""), 0},
    {SLICE_INIT("0x3\r\nabc\r\n"), BAD, SLICE_INIT(""), 0},
    {SLICE_INIT("0X3\r\nabc\r\n"), BAD, SLICE_INIT(""), 0},
    {SLICE_INIT("3h\r\nabc\r\n"), BAD, SLICE_INIT(""), 0},
    {SLICE_INIT("3_0\r\nabc\r\n"), BAD, SLICE_INIT(""), 0},
    {SLICE_INIT("3,3\r\nabc\r\n"), BAD, SLICE_INIT(""), 0},
    {SLICE_INIT("3 \r\nabc\r\n"), BAD, SLICE_INIT(""), 0},
    {SLICE_INIT("3\t\r\nabc\r\n"), BAD, SLICE_INIT(""), 0},
    {SLICE_INIT("3 ;a\r\nabc\r\n"), BAD, SLICE_INIT(""), 0},
    {SLICE_INIT("3\0\r\nabc\r\n"), BAD, SLICE_INIT(""), 0},
    {SLICE_INIT("0000000000000003\r\nabc\r\n"), BAD, SLICE_INIT(""), 0},
    {SLICE_INIT("ffffffffffffffff\r\n"), BAD, SLICE_INIT(""), 0},
    {SLICE_INIT("10000000000000003\r\nabc\r\n"), BAD, SLICE_INIT(""), 0},
    {SLICE_INIT("\xef\xbc\x93\r\nabc\r\n"), BAD, SLICE_INIT(""), 0},
    /* Line ends. */
    {SLICE_INIT("3\nabc\r\n" END_OF), BAD, SLICE_INIT(""), 0},
    {SLICE_INIT("3\rabc\r\n" END_OF), BAD, SLICE_INIT(""), 0},
    {SLICE_INIT("3\r\r\nabc\r\n" END_OF), BAD, SLICE_INIT(""), 0},
    {SLICE_INIT("3\r\nabc\n" END_OF), BAD, SLICE_INIT("abc"), 0},
    {SLICE_INIT("3\r\nabc\r" END_OF), BAD, SLICE_INIT("abc"), 0},
    {SLICE_INIT("3\r\nabc" END_OF), BAD, SLICE_INIT("abc"), 0},
    {SLICE_INIT("3\r\nabcXX" END_OF), BAD, SLICE_INIT("abc"), 0},
    {SLICE_INIT("3\r\nabcd\r\n" END_OF), BAD, SLICE_INIT("abc"), 0},
    {SLICE_INIT("4\r\nabc\r\n" END_OF), BAD, SLICE_INIT("abc\r"), 0},
    {SLICE_INIT("3;a\nabc\r\n" END_OF), BAD, SLICE_INIT(""), 0},
    {SLICE_INIT("3;\nabc\r\n" END_OF), BAD, SLICE_INIT(""), 0},
    {SLICE_INIT("3;a\rX\r\nabc\r\n" END_OF), BAD, SLICE_INIT(""), 0},
    {SLICE_INIT("3;a\0\r\nabc\r\n" END_OF), BAD, SLICE_INIT(""), 0},
    {SLICE_INIT("3;\"a\r\n\"\r\nabc\r\n" END_OF), BAD, SLICE_INIT("\"\r\n"), 0},
    {SLICE_INIT("0\n\r\n"), BAD, SLICE_INIT(""), 0},
    {SLICE_INIT("0\r\n\n"), BAD, SLICE_INIT(""), 0},
    {SLICE_INIT("0\r\n\rX"), BAD, SLICE_INIT(""), 0},
    /* Trailers, where the next request would be hidden. */
    {SLICE_INIT("0\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n"), BAD, SLICE_INIT(""), 0},
    {SLICE_INIT("0\r\nX\r\n\r\n"), BAD, SLICE_INIT(""), 0},
    {SLICE_INIT("0\r\nX : y\r\n\r\n"), BAD, SLICE_INIT(""), 0},
    {SLICE_INIT("0\r\n: y\r\n\r\n"), BAD, SLICE_INIT(""), 0},
    {SLICE_INIT("0\r\n X: y\r\n\r\n"), BAD, SLICE_INIT(""), 0},
    {SLICE_INIT("0\r\nX: y\r\n\tz\r\n\r\n"), BAD, SLICE_INIT(""), 0},
    {SLICE_INIT("0\r\nX: y\nZ: y\r\n\r\n"), BAD, SLICE_INIT(""), 0},
    {SLICE_INIT("0\r\nX: y\rZ: y\r\n\r\n"), BAD, SLICE_INIT(""), 0},
    {SLICE_INIT("0\r\nX: \0\r\n\r\n"), BAD, SLICE_INIT(""), 0},
    {SLICE_INIT("0\r\nX\xe9: y\r\n\r\n"), BAD, SLICE_INIT(""), 0},
    {SLICE_INIT("0\r\nX(y): y\r\n\r\n"), BAD, SLICE_INIT(""), 0},
};

Test(h1_chunked, every_body_is_read_alike_in_every_split)
{
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        for (size_t split = 0; split <= bodies[i].in.len; split++) {
            struct decoded d;
            decode(&d, bodies[i].in, split);
            cr_expect_eq(outcome_of(d.state), bodies[i].outcome, "row %zu at %zu: state %d", i,
                         split, d.state);
            cr_expect(slice_eq(buf_slice(&d.data), bodies[i].data), "row %zu at %zu: data", i,
                      split);
            if (bodies[i].outcome == ENDS)
                cr_expect_eq(d.used, bodies[i].in.len - bodies[i].behind, "row %zu at %zu", i,
                             split);
            buf_fini(&d.data);
        }
    }
}

Test(h1_chunked, a_body_that_is_bad_or_over_takes_no_more)
{
    struct chunked c = {.state = CHUNKED_BAD};
    struct slice data;
    cr_expect_eq(chunked_next(&c, SLICE(END_OF), &data), 0);
    cr_expect(c.state == CHUNKED_BAD && data.len == 0);
    c = (struct chunked){.state = CHUNKED_END};
    cr_expect_eq(chunked_next(&c, SLICE(END_OF), &data), 0);
    cr_expect(c.state == CHUNKED_END && data.len == 0);
}

/* `head`, then `fill` bytes of x, then `tail`. */
static enum outcome filled(const char *head, size_t fill, const char *tail)
{
    struct decoded d;
    struct buf b;
    enum outcome outcome;
    buf_init(&b, 65536);
    cr_assert(buf_add(&b, slice_of(head)));
    while (fill--)
        cr_assert(buf_add(&b, SLICE("x")));
    cr_assert(buf_add(&b, slice_of(tail)));
    decode(&d, buf_slice(&b), buf_len(&b) / 2);
    outcome = outcome_of(d.state);
    buf_fini(&d.data);
    buf_fini(&b);
    return outcome;
}

Test(h1_chunked, a_size_line_is_capped_to_the_byte_in_each_chunk)
{
    size_t fill = CHUNKED_LINE_MAX - (sizeof "3;\r\n" - 1);
    cr_expect_eq(filled("3;", fill, "\r\nabc\r\n" END_OF), ENDS);
    cr_expect_eq(filled("3;", fill + 1, "\r\nabc\r\n" END_OF), BAD);
    cr_expect_eq(filled("3\r\nabc\r\n3;", fill, "\r\nabc\r\n" END_OF), ENDS);
    cr_expect_eq(filled("3\r\nabc\r\n3;", fill + 1, "\r\nabc\r\n" END_OF), BAD);
    cr_expect_eq(filled("3\r\nabc\r\n0;", fill, "\r\n\r\n"), ENDS);
    cr_expect_eq(filled("3;", 60000, ""), BAD, "it does not wait for the end of the line");
}

Test(h1_chunked, trailers_are_capped_to_the_byte_all_together)
{
    size_t fill = CHUNKED_TRAILER_MAX - (sizeof "A:\r\nB:\r\n\r\n" - 1);
    cr_expect_eq(filled("0\r\nA:", fill, "\r\nB:\r\n\r\n"), ENDS);
    cr_expect_eq(filled("0\r\nA:", fill + 1, "\r\nB:\r\n\r\n"), BAD);
    cr_expect_eq(filled("0\r\nA:\r\nB:", fill, "\r\n\r\n"), ENDS);
    cr_expect_eq(filled("0\r\nA:\r\nB:", fill + 1, "\r\n\r\n"), BAD);
    cr_expect_eq(filled("0\r\nA:", 60000, ""), BAD);
    cr_expect_eq(filled("0\r\n", 60000, ""), BAD, "a name is counted like a value");
}

/* `trailers` behind the last chunk, in pieces of `step`, and what is kept of them. */
static uint32_t kept(struct arena *a, struct slice in, size_t step, struct field **fields)
{
    struct chunked c = {.arena = a};
    while (in.len && c.state != CHUNKED_BAD && c.state != CHUNKED_END) {
        struct slice data;
        size_t used = chunked_next(&c, slice_from(in.ptr, in.len < step ? in.len : step), &data);
        in = slice_skip(in, used);
    }
    cr_expect_eq(c.state, CHUNKED_END);
    return chunked_trailers(&c, fields);
}

Test(h1_chunked, trailers_are_kept_like_the_fields_of_a_head)
{
    const struct slice in = SLICE("1\r\na\r\n0\r\nX-Sum:  a:b \t\r\nEmpty:\r\nx-sum:2\r\n\r\nGET");
    for (size_t step = 1; step < in.len; step++) {
        struct arena a;
        struct field *f = NULL;
        arena_init(&a, NULL);
        cr_assert_eq(kept(&a, in, step, &f), 3);
        cr_expect(slice_eq(f[0].name, SLICE("x-sum")) && slice_eq(f[0].value, SLICE("a:b")));
        cr_expect(slice_eq(f[1].name, SLICE("empty")) && !f[1].value.len);
        cr_expect(slice_eq(f[2].name, SLICE("x-sum")) && slice_eq(f[2].value, SLICE("2")));
        arena_fini(&a);
    }
}

Test(h1_chunked, a_body_without_trailers_takes_no_memory)
{
    struct arena a;
    struct field *f = NULL;
    arena_init(&a, NULL);
    cr_expect_eq(kept(&a, SLICE("1\r\na\r\n" END_OF), 100, &f), 0);
    cr_expect_eq(a.total_bytes, 0);
    cr_expect_eq(kept(NULL, SLICE("0\r\nX: y\r\n\r\n"), 100, &f), 0, "nowhere to keep them");
    arena_fini(&a);
}

Test(h1_chunked, trailers_are_counted)
{
    struct buf b;
    buf_init(&b, 65536);
    cr_assert(buf_add(&b, SLICE("0\r\n")));
    for (int i = 0; i <= CHUNKED_TRAILER_LINES; i++) {
        struct decoded d;
        struct chunked c = {0};
        struct slice data;
        (void)chunked_next(&c, buf_slice(&b), &data);
        cr_expect_eq(c.state, CHUNKED_TRAILER_START);
        cr_assert(buf_add(&b, SLICE("X: y\r\n")));
        decode(&d, buf_slice(&b), buf_len(&b) / 2);
        cr_expect_eq(d.state, i < CHUNKED_TRAILER_LINES ? CHUNKED_TRAILER_START : CHUNKED_BAD);
        buf_fini(&d.data);
    }
    buf_fini(&b);
}

/* The slow twin: a whole body, read by hand, without states. The caps are not its business. */
struct twin {
    struct slice in;
    size_t at;
    struct buf data;
};

static bool at_end(const struct twin *t)
{
    return t->at == t->in.len;
}

static bool is_line_text(unsigned char c)
{
    return c == '\t' || (c >= 32 && c != 127);
}

static enum outcome expect(struct twin *t, const char *text)
{
    for (; *text; text++) {
        if (at_end(t))
            return WAITS;
        if (t->in.ptr[t->at++] != *text)
            return BAD;
    }
    return ENDS;
}

static enum outcome twin_line_rest(struct twin *t)
{
    while (!at_end(t) && is_line_text((unsigned char)t->in.ptr[t->at]))
        t->at++;
    return expect(t, "\r\n");
}

static enum outcome twin_size(struct twin *t, unsigned long long *size)
{
    char digits[17] = "";
    size_t n = 0;
    while (!at_end(t) && strchr("0123456789abcdefABCDEF", t->in.ptr[t->at]) && t->in.ptr[t->at]) {
        if (n == 15)
            return BAD;
        digits[n++] = t->in.ptr[t->at++];
    }
    *size = strtoull(digits, NULL, 16);
    if (at_end(t))
        return WAITS;
    if (n == 0 || (t->in.ptr[t->at] != ';' && t->in.ptr[t->at] != '\r'))
        return BAD;
    return t->in.ptr[t->at] == ';' ? twin_line_rest(t) : expect(t, "\r\n");
}

static enum outcome twin_trailers(struct twin *t)
{
    static const char token[] = "!#$%&'*+-.^_`|~0123456789"
                                "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    while (!at_end(t) && t->in.ptr[t->at] != '\r') {
        size_t from = t->at;
        enum outcome line;
        while (!at_end(t) && t->in.ptr[t->at] && strchr(token, t->in.ptr[t->at]))
            t->at++;
        if (at_end(t))
            return WAITS;
        if (t->at == from || t->in.ptr[t->at] != ':')
            return BAD;
        line = twin_line_rest(t);
        if (line != ENDS)
            return line;
    }
    return expect(t, "\r\n");
}

static enum outcome twin_read(struct twin *t)
{
    for (;;) {
        unsigned long long size;
        size_t there;
        enum outcome step = twin_size(t, &size);
        if (step != ENDS)
            return step;
        if (!size)
            return twin_trailers(t);
        there = t->in.len - t->at < size ? t->in.len - t->at : (size_t)size;
        cr_assert(buf_add(&t->data, slice_from(t->in.ptr + t->at, there)));
        t->at += there;
        step = there < size ? WAITS : expect(t, "\r\n");
        if (step != ENDS)
            return step;
    }
}

static uint64_t dice(uint64_t *state, uint64_t sides)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state % sides;
}

/* A right body, of which a few bytes may then be replaced, dropped or doubled. */
static size_t nearly_right(uint64_t *seed, char *out, size_t room)
{
    static const char spice[] = "\r\n\r\n0123aF;:\t x\0\x7f\xff";
    static const char *const extensions[] = {"", "", ";", ";a=b", ";\t\"q\""};
    static const char *const trailers[] = {"", "", "A: b\r\n", "A:\r\nB:c\r\n"};
    size_t len = 0;
    for (uint64_t chunks = dice(seed, 4); chunks; chunks--) {
        uint64_t size = 1 + dice(seed, 20);
        len += (size_t)snprintf(out + len, room - len, dice(seed, 2) ? "%lX%s\r\n" : "0%lx%s\r\n",
                                (unsigned long)size, extensions[dice(seed, 5)]);
        while (size--)
            out[len++] = spice[dice(seed, sizeof spice - 1)];
        len += (size_t)snprintf(out + len, room - len, "\r\n");
    }
    len += (size_t)snprintf(out + len, room - len, "0%s\r\n%s\r\n%s", extensions[dice(seed, 5)],
                            trailers[dice(seed, 4)], dice(seed, 4) ? "" : "GET / H");
    for (uint64_t changes = dice(seed, 4); changes; changes--) {
        size_t at = dice(seed, len);
        switch (dice(seed, 3)) {
        case 0:
            out[at] = spice[dice(seed, sizeof spice - 1)];
            break;
        case 1:
            memmove(out + at, out + at + 1, --len - at);
            break;
        default:
            memmove(out + at + 1, out + at, len++ - at);
        }
    }
    return dice(seed, 4) ? len : dice(seed, len + 1);
}

Test(h1_chunked, a_slow_twin_reads_fifty_thousand_bodies_alike)
{
    uint64_t seed = 0x9e3779b97f4a7c15u;
    size_t seen[3] = {0};
    for (int i = 0; i < 50000; i++) {
        char text[512];
        struct twin twin = {.in = {text, nearly_right(&seed, text, sizeof text)}};
        struct decoded d;
        enum outcome outcome;
        buf_init(&twin.data, sizeof text);
        outcome = twin_read(&twin);
        decode(&d, twin.in, dice(&seed, twin.in.len + 1));
        cr_assert_eq(outcome_of(d.state), outcome, "body %d: state %d, twin %d", i, d.state,
                     outcome);
        cr_assert(slice_eq(buf_slice(&d.data), buf_slice(&twin.data)), "body %d: data", i);
        cr_assert(outcome != ENDS || d.used == twin.at, "body %d: end", i);
        seen[outcome]++;
        buf_fini(&d.data);
        buf_fini(&twin.data);
    }
    for (int i = 0; i < 3; i++)
        cr_expect_gt(seen[i], 2500, "outcome %d is hardly ever met: %zu", i, seen[i]);
}
