// SPDX-License-Identifier: EUPL-1.2
/* Response heads from anywhere; the first byte says whether the request was HEAD. The properties
 * are those of h1_request.c, and a bodiless status has no body whatever its fields say. */
#include <assert.h>

#include "tests/fuzz/h1_heads.h"
#include "tests/fuzz/h1_print.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct heads_read once;
    struct heads_read again;
    if (!size)
        return 0;
    enum h1_kind kind = data[0] & 1 ? H1_KIND_RESPONSE_TO_HEAD : H1_KIND_RESPONSE;
    struct slice in = slice_from(data + 1, size - 1);
    heads_read(&once, kind, in);
    assert(once.progress != H1_BAD || once.head.why == REASON_UPSTREAM_BROKEN);
    assert(heads_read_in_steps(&again, kind, in, 1 + size / 64));
    assert(heads_are_same(&once, &again));
    heads_done(&again);
    if (once.progress == H1_DONE) {
        struct buf b;
        const struct h1_head *head = &once.head;
        struct slice printed = heads_print(&b, kind, head);
        assert(head->bytes < size && head->status >= 100 && head->status <= 999);
        assert(head->framing != H1_UNTIL_CLOSE || head->wants_close);
        assert(head->framing == H1_NO_BODY ||
               (kind == H1_KIND_RESPONSE && head->status >= 200 && head->status != 204));
        heads_read(&again, kind, printed);
        assert(heads_are_same(&once, &again) && again.head.bytes == printed.len);
        heads_done(&again);
        buf_fini(&b);
    }
    heads_done(&once);
    return 0;
}
