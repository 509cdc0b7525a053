// SPDX-License-Identifier: EUPL-1.2
/* The files. Their name is made of the authority and a digest of the URL, since a URL is too long
 * for one, and the authority's digest changes with each of its certificates. The head:
 *
 *     belfry-crl/v1
 *     fod-finance finance-laptops
 *     http://crl.finance.example/issuing.crl
 *     1764000000 0000000000000000000000000000000000000012    (thisUpdate, number or -)
 */
#include "auth/crl_memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "auth/status_files.h"
#include "base/buf.h"
#include "base/codec.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"

#define HEAD_MAX_BYTES 4096 /* a URL of 2048 and two ids */

void crl_memory_init(struct crl_memory *m, const char *state_dir, struct slice entity,
                     struct slice authority, struct slice url)
{
    uint8_t digest[SHA256_BYTES];
    struct buf head;
    *m = (struct crl_memory){0};
    sha256(digest, url);
    buf_init(&head, HEAD_MAX_BYTES);
    if (buf_printf(&head, "belfry-crl/v1\n%.*s %.*s\n%.*s\n", SLICE_ARG(entity),
                   SLICE_ARG(authority), SLICE_ARG(url)))
        m->path = status_file_path(state_dir, "crl", entity, authority, digest);
    if (m->path)
        m->head = mem_text(buf_slice(&head));
    buf_fini(&head);
}

struct crl_memory crl_memory_copy(const struct crl_memory *m)
{
    return m->path ? (struct crl_memory){mem_text(slice_of(m->path)), mem_text(slice_of(m->head))}
                   : (struct crl_memory){0};
}

void crl_memory_fini(struct crl_memory *m)
{
    mem_free(m->path);
    mem_free(m->head);
}

bool crl_memory_is_there(const struct crl_memory *m)
{
    return m->path && access(m->path, F_OK) == 0;
}

void crl_memory_forget(const struct crl_memory *m)
{
    if (m->path)
        (void)unlink(m->path); /* what stays is judged when it is read */
}

bool crl_memory_write(const struct crl_memory *m, const struct crl *c, struct slice list,
                      struct fault *f)
{
    char number[2 * sizeof c->number] = "-";
    struct buf all;
    if (!m->path)
        return true;
    const struct slice path = slice_of(m->path);
    const struct slice folder = slice_from(path.ptr, (size_t)(strrchr(path.ptr, '/') - path.ptr));
    char *made = mem_text(folder);
    if (c->has_number)
        hex_encode(number, c->number, sizeof c->number);
    buf_init(&all, HEAD_MAX_BYTES + 128 + list.len);
    const bool is_written =
        (buf_add(&all, slice_of(m->head)) &&
         buf_printf(&all, "%" PRId64 " %.*s\n", c->this_update.s,
                    c->has_number ? (int)sizeof number : 1, number) &&
         buf_add(&all, list))
            ? dir_make(made, 0700, f) && file_write(m->path, buf_slice(&all), 0600, f)
            : fault_set(f, FAULT_LIMIT, "its URL is too long");
    mem_free(made);
    buf_fini(&all);
    return is_written;
}

/* How far it had come, off the front of the file. */
static bool cut_head(const struct crl_memory *m, struct slice *rest, struct crl *out)
{
    const struct slice head = slice_of(m->head);
    uint64_t this_update;
    if (!slice_starts(*rest, head))
        return false;
    *rest = slice_skip(*rest, head.len);
    struct slice line = slice_cut(rest, '\n');
    const struct slice date = slice_cut(&line, ' ');
    out->has_number = !slice_eq(line, SLICE("-"));
    if (!slice_u64(date, INT64_MAX, &this_update))
        return false;
    out->this_update.s = (int64_t)this_update;
    return !out->has_number ||
           (line.len == 2 * sizeof out->number && hex_decode(out->number, line));
}

struct crl *crl_memory_read(const struct crl_memory *m, size_t max_bytes,
                            const STACK_OF(X509) * issuers, struct wall now, struct fault *f)
{
    struct slice file;
    struct crl remembered = {0};
    struct crl *c = NULL;
    if (!file_read(&file, m->path, max_bytes + HEAD_MAX_BYTES + 128, f))
        return NULL;
    struct slice list = file;
    if (!cut_head(m, &list, &remembered))
        fault_set(f, FAULT_SYNTAX, "it is not what was written there");
    else
        c = crl_parse(list, issuers, now, f);
    if (c && !crl_follows(c, &remembered, f)) {
        crl_unref(c);
        c = NULL;
    }
    mem_slice_free(&file);
    return c;
}
