// SPDX-License-Identifier: EUPL-1.2
/* What is known of an entity's list, in state_dir for the next start: the head and the entries,
 * each with its length before it. When it is read it is judged like what the store says. */
#include "auth/revocation_desk_in.h"

#include <limits.h>

#include "base/file.h"
#include "base/logger.h"
#include "base/mem.h"

#define MEMORY_MAX_BYTES ((size_t)REVOKED_LIST_MAX * (REVOKED_ENTRY_MAX_BYTES + 4) + 4096)

static bool memory_path(const struct watched *w, char out[PATH_MAX])
{
    const int len =
        snprintf(out, PATH_MAX, "%s/revoked-%s", w->desk->settings.state_dir, w->entity);
    return len > 0 && len < PATH_MAX;
}

static bool piece_add(struct buf *out, struct slice bytes)
{
    const uint8_t len[2] = {(uint8_t)(bytes.len >> 8), (uint8_t)bytes.len};
    return buf_add(out, slice_from(len, sizeof len)) && buf_add(out, bytes);
}

static bool piece_cut(struct slice *rest, struct slice *out)
{
    const uint8_t *at = (const uint8_t *)rest->ptr;
    const size_t len = rest->len >= 2 ? (size_t)at[0] << 8 | at[1] : 0;
    if (rest->len < 2 || len > rest->len - 2)
        return false;
    *out = slice_from(at + 2, len);
    *rest = slice_skip(*rest, 2 + len);
    return true;
}

void revocation_remember(struct watched *w)
{
    char path[PATH_MAX];
    struct fault f = {0};
    struct buf text, head;
    if (!w->is_unsaved || !w->can_read || !w->desk->settings.state_dir || !w->last)
        return;
    buf_init(&text, MEMORY_MAX_BYTES);
    buf_init(&head, 256);
    bool is_kept =
        revoked_head_seal(records_keys(w->desk->records), revocation_entity(w), &w->head, &head) &&
        piece_add(&text, buf_slice(&head));
    for (uint32_t i = 0; is_kept && i < w->count; i++)
        is_kept = piece_add(&text, w->kept[i]->bytes);
    if (is_kept && memory_path(w, path) && file_write(path, buf_slice(&text), 0600, &f))
        w->is_unsaved = false;
    else
        log_warning("revocations", "of '%s' can't be remembered: %s", w->entity, f.text);
    buf_fini(&text);
    buf_fini(&head);
}

/* As far as it is ours: it is judged like what the store says. */
void revocation_recall(struct watched *w)
{
    char path[PATH_MAX];
    struct fault f;
    struct slice text = {0}, piece;
    struct revoked_head h;
    w->is_recalled = true;
    if (!w->desk->settings.state_dir || !memory_path(w, path) ||
        !file_read(&text, path, MEMORY_MAX_BYTES, &f))
        return; /* none yet; or none that can be read, and then the store's is taken */
    struct slice rest = text;
    if (piece_cut(&rest, &piece) &&
        revoked_head_open(records_keys(w->desk->records), revocation_entity(w), piece, &h)) {
        w->head = h;
        w->last = h.first - 1;
        memcpy(w->end, h.before_first, sizeof w->end);
        while (w->last < h.last && piece_cut(&rest, &piece) && known_take(w, piece))
            ;
    }
    if (w->last)
        known_list(w);
    else
        log_warning("revocations", "'%s' is not what was written there", path);
    w->is_unsaved = false;
    mem_slice_free(&text);
}
