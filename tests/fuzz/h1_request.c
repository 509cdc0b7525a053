// SPDX-License-Identifier: EUPL-1.2
/* Request heads from anywhere: in pieces they are read as at once, what is DONE and printed again
 * canonically is read the same, and no good head has a byte that could begin another line. */
#include <assert.h>

#include "tests/fuzz/h1_heads.h"
#include "tests/fuzz/h1_print.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct heads_read once;
    struct heads_read again;
    struct slice in = slice_from(data, size);
    heads_read(&once, H1_KIND_REQUEST, in);
    assert(heads_read_in_steps(&again, H1_KIND_REQUEST, in, 1 + size / 64));
    assert(heads_are_same(&once, &again));
    heads_done(&again);
    if (once.progress == H1_DONE) {
        struct buf b;
        struct slice printed;
        assert(once.head.bytes <= size && h1_is_token(once.head.method));
        assert(once.head.framing != H1_UNTIL_CLOSE);
        printed = heads_print(&b, H1_KIND_REQUEST, &once.head);
        heads_read(&again, H1_KIND_REQUEST, printed);
        assert(heads_are_same(&once, &again) && again.head.bytes == printed.len);
        heads_done(&again);
        buf_fini(&b);
    }
    heads_done(&once);
    return 0;
}
