// SPDX-License-Identifier: EUPL-1.2
/* Chunked bodies from anywhere: in pieces they are read as at once, what is decoded is no longer
 * than what came, coded again as one chunk with its trailers it decodes to itself, the trailers
 * that it keeps are fields that could stand in a head, and where it ends does not hang on keeping
 * them. */
#include <assert.h>

#include "base/buf.h"
#include "base/mem.h"
#include "proxy/h1_chunked.h"
#include "proxy/h1_head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct decoded {
    struct chunked c;
    size_t used;
    struct buf data;
    struct arena arena;
};

/* Each step's bytes lie in a block of exactly their length. */
static void decode(struct decoded *d, struct slice in, size_t step)
{
    arena_init(&d->arena, NULL);
    d->c = (struct chunked){.arena = &d->arena};
    d->used = 0;
    buf_init(&d->data, in.len + 1);
    while (in.len && d->c.state != CHUNKED_BAD && d->c.state != CHUNKED_END) {
        size_t len = in.len < step ? in.len : step;
        char *bytes = mem_array(char, len);
        struct slice left = {bytes, len};
        memcpy(bytes, in.ptr, len);
        while (left.len && d->c.state != CHUNKED_BAD && d->c.state != CHUNKED_END) {
            struct slice data;
            size_t used = chunked_next(&d->c, left, &data);
            bool fits = buf_add(&d->data, data);
            assert(fits && used <= left.len);
            assert(data.ptr >= left.ptr && data.ptr + data.len <= left.ptr + used);
            assert(used || d->c.state == CHUNKED_BAD);
            d->used += used;
            left = slice_skip(left, used);
        }
        in = slice_skip(in, len);
        mem_free(bytes);
    }
}

static void fini(struct decoded *d)
{
    buf_fini(&d->data);
    arena_fini(&d->arena);
}

static void trailers_are_alike(const struct decoded *a, const struct decoded *b)
{
    struct field *f = NULL;
    struct field *g = NULL;
    uint32_t n = chunked_trailers(&a->c, &f);
    uint32_t m = chunked_trailers(&b->c, &g);
    assert(n == m && n == (a->c.state == CHUNKED_END ? a->c.trailer_count : 0));
    for (uint32_t i = 0; i < n; i++) {
        assert(slice_eq(f[i].name, g[i].name) && slice_eq(f[i].value, g[i].value));
        assert(h1_is_token(f[i].name));
        for (size_t at = 0; at < f[i].value.len; at++)
            assert((uint8_t)f[i].value.ptr[at] >= ' ' || f[i].value.ptr[at] == '\t');
    }
}

static bool print_trailers(struct buf *b, const struct decoded *d)
{
    struct field *f = NULL;
    uint32_t n = chunked_trailers(&d->c, &f);
    bool fits = true;
    for (uint32_t i = 0; i < n; i++)
        fits = fits && buf_add(b, f[i].name) && buf_add(b, SLICE(":")) && buf_add(b, f[i].value) &&
               buf_add(b, SLICE("\r\n"));
    return fits && buf_add(b, SLICE("\r\n"));
}

static void ends_alike_without_trailers(const struct decoded *once, struct slice in)
{
    struct chunked c = {0};
    struct slice data;
    size_t used = 0;
    while (used < in.len && c.state != CHUNKED_BAD && c.state != CHUNKED_END)
        used += chunked_next(&c, slice_skip(in, used), &data);
    assert(used == once->used && (c.state == CHUNKED_END) == (once->c.state == CHUNKED_END));
}

static void comes_back(const struct decoded *once)
{
    struct slice body = buf_slice(&once->data);
    struct decoded d;
    struct buf coded;
    buf_init(&coded, once->used + 32);
    bool fits = (!body.len || (buf_printf(&coded, "%zx\r\n", body.len) && buf_add(&coded, body) &&
                               buf_add(&coded, SLICE("\r\n")))) &&
                buf_add(&coded, SLICE("0\r\n")) && print_trailers(&coded, once);
    assert(fits);
    decode(&d, buf_slice(&coded), buf_len(&coded));
    assert(d.c.state == CHUNKED_END && d.used == buf_len(&coded));
    assert(slice_eq(buf_slice(&d.data), body));
    trailers_are_alike(once->c.state == CHUNKED_END ? once : &d, &d);
    fini(&d);
    buf_fini(&coded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_from(data, size);
    struct decoded once, stepped;
    decode(&once, in, size);
    decode(&stepped, in, 1 + size / 256);
    assert(once.c.state == stepped.c.state && once.used == stepped.used);
    assert(once.c.left == stepped.c.left && once.c.counted == stepped.c.counted);
    assert(slice_eq(buf_slice(&once.data), buf_slice(&stepped.data)));
    trailers_are_alike(&once, &stepped);
    ends_alike_without_trailers(&once, in);
    comes_back(&once);
    fini(&stepped);
    fini(&once);
    return 0;
}
