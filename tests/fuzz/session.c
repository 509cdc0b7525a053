// SPDX-License-Identifier: EUPL-1.2
/* Sessions' records, as an older or newer gateway may have written them. Properties: what is taken
 * is within its bounds, and printed and read again it is the same. */
#include <assert.h>

#include "auth/session.h"
#include "base/hash.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char handle[] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    struct buf once, twice;
    base_init();
    struct session *s = session_parse(slice_from(data, size), slice_of(handle), NULL);
    if (!s)
        return 0;
    assert(s->version && s->ends.s - s->created.s <= SESSION_LIFE_MAX_S);
    assert(s->is_unbound == !s->device.len);
    buf_init(&once, SESSION_MAX_BYTES);
    buf_init(&twice, SESSION_MAX_BYTES);
    if (session_print(s, &once)) {
        struct session *again = session_parse(buf_slice(&once), slice_of(handle), NULL);
        assert(again && session_print(again, &twice));
        assert(slice_eq(buf_slice(&once), buf_slice(&twice)));
        session_unref(again);
    }
    session_unref(s);
    buf_fini(&once);
    buf_fini(&twice);
    return 0;
}
