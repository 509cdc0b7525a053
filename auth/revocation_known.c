// SPDX-License-Identifier: EUPL-1.2
/* The list of one entity as it is known here: entries that have proven that each stands behind the
 * one before, and the last head. What was proven stays, whatever the store says later; only what a
 * head has left behind is forgotten. */
#include "auth/revocation_desk_in.h"

#include <assert.h>

#include "base/mem.h"

#define PRUNE_AT_ONCE 256 /* entries that one addition may forget */

static void kept_free(struct kept *k)
{
    if (!k)
        return;
    mem_slice_free(&k->bytes);
    arena_fini(&k->arena);
    mem_free(k);
}

/* The entry behind the last, if that is what it is. */
bool known_take(struct watched *w, struct slice bytes)
{
    struct kept *k = mem_new(struct kept);
    arena_init(&k->arena, NULL);
    if (w->count >= 2 * REVOKED_LIST_MAX ||
        !revoked_entry_open(records_keys(w->desk->records), revocation_entity(w), w->last + 1,
                            w->end, bytes, &k->arena, &k->e, k->mac)) {
        kept_free(k);
        return false;
    }
    k->bytes = mem_slice(bytes);
    if (w->count == w->room) {
        w->room = w->room ? 2 * w->room : 16;
        w->kept = mem_grow(w->kept, w->room, sizeof *w->kept);
    }
    w->kept[w->count++] = k;
    w->last = k->e.n;
    memcpy(w->end, k->mac, sizeof w->end);
    w->is_unsaved = true;
    return true;
}

void known_forget_before(struct watched *w, uint64_t first)
{
    uint32_t gone = 0;
    while (gone < w->count && w->kept[gone]->e.n < first)
        kept_free(w->kept[gone++]);
    if (!gone)
        return;
    w->count -= gone;
    memmove(w->kept, w->kept + gone, w->count * sizeof *w->kept);
    w->is_unsaved = true;
}

void known_list(struct watched *w)
{
    struct revoked_list *l = revoked_list_new(revocation_entity(w));
    const struct wall now = loop_wall(w->desk->loop);
    for (uint32_t i = 0; i < w->count; i++)
        if (w->kept[i]->e.until.s > now.s ||
            revoked_list_find(l, w->kept[i]->e.kind, w->kept[i]->e.subject, now))
            revoked_list_add(l, &w->kept[i]->e);
    revoked_list_unref(w->list);
    w->list = l;
}

/* Over, lifted, or said again by a later entry. */
static bool may_go(const struct watched *w, const struct kept *k)
{
    const struct revoked_entry *now =
        revoked_list_find(w->list, k->e.kind, k->e.subject, loop_wall(w->desk->loop));
    return !now || now->n != k->e.n;
}

uint64_t known_first_to_keep(const struct watched *w)
{
    uint32_t i = 0;
    while (i < w->count && i < PRUNE_AT_ONCE && may_go(w, w->kept[i]))
        i++;
    return i < w->count ? w->kept[i]->e.n : w->last + 1;
}

void known_head(struct watched *w, const struct revoked_head *h, struct slice bytes)
{
    w->head = *h;
    buf_clear(&w->head_bytes);
    const bool has_room = buf_add(&w->head_bytes, bytes);
    assert(has_room); /* it was opened, so it has the one length */
    w->is_unsaved = true;
}

/* The MAC of entry n, which is one that we have. */
bool known_mac(const struct watched *w, uint64_t n, uint8_t out[32])
{
    if (n == w->last) {
        memcpy(out, w->end, 32);
        return true;
    }
    for (uint32_t i = w->count; i-- > 0;) {
        if (w->kept[i]->e.n != n)
            continue;
        memcpy(out, w->kept[i]->mac, 32);
        return true;
    }
    return false;
}

void known_free(struct watched *w)
{
    for (uint32_t i = 0; i < w->count; i++)
        kept_free(w->kept[i]);
    mem_free(w->kept);
    buf_fini(&w->head_bytes);
    revoked_list_unref(w->list);
}
