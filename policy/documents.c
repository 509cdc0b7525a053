// SPDX-License-Identifier: EUPL-1.2
/* See the header. References are counted with the orders that are right for a shared, immutable
 * thing: taking one needs none, the last giving back must see all that the others did. */
#include "policy/documents.h"

#include "base/mem.h"

struct blob *blob_new(struct slice bytes)
{
    struct blob *b = mem_new(struct blob);
    atomic_init(&b->references, 1);
    b->bytes = mem_slice(bytes);
    return b;
}

struct blob *blob_ref(struct blob *b)
{
    atomic_fetch_add_explicit(&b->references, 1, memory_order_relaxed);
    return b;
}

void blob_unref(struct blob *b)
{
    if (!b || atomic_fetch_sub_explicit(&b->references, 1, memory_order_acq_rel) != 1)
        return;
    mem_slice_free(&b->bytes);
    mem_free(b);
}

static int by_entity(const void *a, const void *b)
{
    const struct document *x = a;
    const struct document *y = b;
    return strcmp(x->entity, y->entity); // the charter's is empty: it comes first
}

struct documents *documents_new_take(const struct document *at, uint32_t count)
{
    struct documents *d = mem_new(struct documents);
    atomic_init(&d->references, 1);
    d->count = count;
    if (!count)
        return d;
    d->at = mem_array(struct document, count);
    memcpy(d->at, at, count * sizeof(*at));
    qsort(d->at, count, sizeof(*d->at), by_entity);
    return d;
}

struct documents *documents_ref(struct documents *d)
{
    atomic_fetch_add_explicit(&d->references, 1, memory_order_relaxed);
    return d;
}

void documents_unref(struct documents *d)
{
    if (!d || atomic_fetch_sub_explicit(&d->references, 1, memory_order_acq_rel) != 1)
        return;
    for (uint32_t i = 0; i < d->count; i++)
        blob_unref(d->at[i].blob);
    mem_free(d->at);
    mem_free(d);
}

struct blob *documents_get(const struct documents *d, struct slice entity)
{
    struct document key = {.entity = ""};
    if (!d->count || entity.len > DOCUMENT_NAME_MAX)
        return NULL;
    memcpy(key.entity, entity.ptr ? entity.ptr : "", entity.len);
    const struct document *found = bsearch(&key, d->at, d->count, sizeof(*d->at), by_entity);
    return found ? found->blob : NULL;
}
