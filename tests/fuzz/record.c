// SPDX-License-Identifier: EUPL-1.2
/* Records of the store that are no sessions, once they are unsealed: an older or newer gateway may
 * have written them. The first byte chooses: "a" an attempt, "h" a hand-over, "i" an identity, "d"
 * a device of the inventory. Property: what is taken, printed and read again prints the same. */
#include <assert.h>

#include "auth/attempt.h"
#include "auth/inventory.h"
#include "base/hash.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads `text` and prints what it says. False: it is not taken. */
static bool once(char kind, struct arena *a, struct slice text, struct buf *out)
{
    struct attempt attempt;
    struct identity identity;
    struct inventory_record *device;
    switch (kind) {
    case 'a':
        return attempt_parse(&attempt, a, text) && attempt_print(&attempt, out);
    case 'h':
        return handover_parse(&attempt, &identity, a, text) &&
               handover_print(&attempt, &identity, out);
    case 'i':
        return identity_parse(&identity, a, text) && identity_print(&identity, out);
    case 'd':
        if (!(device = inventory_record_parse(text)))
            return false;
        assert(device->id.len && device->id.len <= INVENTORY_ID_MAX);
        const bool is_printed = buf_add(out, inventory_record_print(device, a));
        inventory_record_unref(device);
        return is_printed;
    default:
        return false;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct buf first, second;
    if (!size)
        return 0;
    base_init();
    arena_init(&a, NULL);
    buf_init(&first, HANDOVER_MAX_BYTES);
    buf_init(&second, HANDOVER_MAX_BYTES);
    if (once((char)data[0], &a, slice_from(data + 1, size - 1), &first))
        assert(once((char)data[0], &a, buf_slice(&first), &second) &&
               slice_eq(buf_slice(&first), buf_slice(&second)));
    buf_fini(&first);
    buf_fini(&second);
    arena_fini(&a);
    return 0;
}
