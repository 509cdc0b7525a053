// SPDX-License-Identifier: EUPL-1.2
/* What requests are written from, made once: for HTTP/2 the head as field blocks, for HTTP/1.1 as
 * text, and each token as one field of either. */
#include <nghttp2/nghttp2.h>
#include <stdio.h>

#include "base/mem.h"
#include "bench/load/wire_in.h"

/* The value as an HPACK string, Huffman-coded where that is shorter: nghttp2 writes
 * `authorization` as never indexed, two bytes in front of the string. */
static void add_string(struct buf *out, struct slice value)
{
    static const char name[] = "authorization";
    nghttp2_hd_deflater *deflater;
    nghttp2_nv nv = {(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value.ptr, sizeof(name) - 1,
                     value.len, 0};
    char *at;
    if (nghttp2_hd_deflate_new(&deflater, DEFAULT_TABLE))
        abort();
    const size_t room = nghttp2_hd_deflate_bound(deflater, &nv, 1);
    if (!buf_reserve(out, room, &at))
        abort();
    const ssize_t n = nghttp2_hd_deflate_hd(deflater, (uint8_t *)at, room, &nv, 1);
    if (n < 3 || at[0] != 0x1f || at[1] != 0x08)
        abort();
    memmove(at, at + 2, (size_t)n - 2);
    buf_grew(out, (size_t)n - 2);
    nghttp2_hd_deflate_del(deflater);
}

/* RFC 7541 §6 with the static table's numbers. The first request puts authority, user agent and,
 * where it is to be indexed, the token into the table; the later ones name their places, the last
 * put in being number 62. The path is not indexed, as browsers do it. */
static void make_h2(struct wire_plan *plan)
{
    const unsigned method = plan->body ? 0x83 : 0x82;
    const unsigned agent_at = plan->is_indexed ? 63 : 62;
    char length[24];
    int digits = snprintf(length, sizeof(length), "%zu", plan->body);
    struct buf *heads[] = {&plan->head_first, &plan->head_later};
    for (int later = 0; later < 2; later++) {
        struct buf *b = heads[later];
        add_byte(b, method);
        add_byte(b, 0x87);
        add_byte(b, 0x04);
        add_string(b, slice_of(plan->path));
        if (later) {
            add_byte(b, 0x80 | (agent_at + 1));
            add_byte(b, 0x80 | agent_at);
        } else {
            add_byte(b, 0x41);
            add_string(b, slice_of(plan->host));
            add_byte(b, 0x40 | 58);
            add_string(b, SLICE("belfry-bench"));
        }
        if (plan->body) {
            add(b, SLICE("\x0f\x0d")); /* content-length, not indexed */
            add_string(b, slice_from(length, (size_t)digits));
        }
    }
    for (size_t i = 0; i < plan->token_count; i++) {
        struct buf value;
        buf_init(&value, 16384);
        add(&value, SLICE("Bearer "));
        add(&value, plan->tokens[i]);
        add(&plan->token_fields[i],
            plan->is_indexed ? SLICE("\x57") : SLICE("\x1f\x08")); /* into the table; never */
        add_string(&plan->token_fields[i], buf_slice(&value));
        buf_fini(&value);
    }
}

static void make_h1(struct wire_plan *plan)
{
    struct buf *b = &plan->head_first;
    bool ok = buf_printf(b, "%s %s HTTP/1.1\r\nhost: %s\r\nuser-agent: belfry-bench\r\n",
                         plan->body ? "POST" : "GET", plan->path, plan->host);
    if (plan->body)
        ok &= buf_printf(b, "content-length: %zu\r\n", plan->body);
    if (plan->kind == WIRE_WEBSOCKET)
        ok &= buf_printf(b,
                         "connection: upgrade\r\nupgrade: websocket\r\norigin: https://%s\r\n"
                         "sec-websocket-version: 13\r\n"
                         "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
                         plan->host);
    for (size_t i = 0; i < plan->token_count; i++)
        ok &= buf_printf(&plan->token_fields[i], "authorization: Bearer %.*s\r\n",
                         SLICE_ARG(plan->tokens[i]));
    if (!ok)
        abort();
}

void wire_plan_make(struct wire_plan *plan)
{
    buf_init(&plan->head_first, 16384);
    buf_init(&plan->head_later, 16384);
    plan->token_fields = mem_array(struct buf, plan->token_count + 1);
    for (size_t i = 0; i < plan->token_count; i++)
        buf_init(&plan->token_fields[i], 16384);
    if (plan->kind == WIRE_H2)
        make_h2(plan);
    else
        make_h1(plan);
}

void wire_plan_fini(struct wire_plan *plan)
{
    buf_fini(&plan->head_first);
    buf_fini(&plan->head_later);
    for (size_t i = 0; i < plan->token_count; i++)
        buf_fini(&plan->token_fields[i]);
    mem_free(plan->token_fields);
    SSL_SESSION_free(plan->session);
}
