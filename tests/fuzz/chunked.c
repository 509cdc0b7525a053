// SPDX-License-Identifier: EUPL-1.2
/* Chunked bodies from anywhere: in pieces they are read as at once, what is decoded is no longer
 * than what came, and coded again as one chunk it decodes to itself. */
#include <assert.h>

#include "base/buf.h"
#include "base/mem.h"
#include "proxy/h1_chunked.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct decoded {
    struct chunked c;
    size_t used;
    struct buf data;
};

/* Each step's bytes lie in a block of exactly their length. */
static void decode(struct decoded *d, struct slice in, size_t step)
{
    d->c = (struct chunked){0};
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

static void comes_back(struct slice body)
{
    struct decoded d;
    struct buf coded;
    buf_init(&coded, body.len + 32);
    bool fits = (!body.len || (buf_printf(&coded, "%zx\r\n", body.len) && buf_add(&coded, body) &&
                               buf_add(&coded, SLICE("\r\n")))) &&
                buf_add(&coded, SLICE("0\r\n\r\n"));
    assert(fits);
    decode(&d, buf_slice(&coded), buf_len(&coded));
    assert(d.c.state == CHUNKED_END && d.used == buf_len(&coded));
    assert(slice_eq(buf_slice(&d.data), body));
    buf_fini(&d.data);
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
    comes_back(buf_slice(&once.data));
    buf_fini(&stepped.data);
    buf_fini(&once.data);
    return 0;
}
