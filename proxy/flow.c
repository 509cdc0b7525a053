// SPDX-License-Identifier: EUPL-1.2
/* The bodies as two one-way pipes. Up: what the client sent waits in x->up until the link takes it,
 * and only then may the client send more. Down: what the link has (or what is left of our own
 * answer) is pulled by the client's protocol, and only then is more read from upstream. */
#include "proxy/exchange.h"

struct slice flow_down_peek(struct exchange *x)
{
    return x->link ? x->link->ops->peek(x->link) : x->answer;
}

void flow_down_take(struct exchange *x, size_t n)
{
    x->bytes_out += n;
    if (!n)
        return;
    if (!x->link) {
        x->answer = slice_skip(x->answer, n);
        return;
    }
    if (x->is_tunnel)
        websocket_track(&x->frames, slice_from(flow_down_peek(x).ptr, n));
    x->link->ops->take(x->link, n);
    exchange_upstream_progress(x);
}

bool flow_down_is_ended(struct exchange *x)
{
    return x->link ? x->link->ops->is_ended(x->link) : !x->is_cut && !x->answer.len;
}

bool flow_down_ends_after(struct exchange *x, size_t n)
{
    return x->link ? x->link->ops->ends_after(x->link, n) : !x->is_cut && x->answer.len == n;
}

void flow_up_taken(struct exchange *x, size_t n)
{
    buf_skip(&x->up, n);
    if (!buf_len(&x->up)) {
        buf_release(&x->up);
        pace_turn(x);
    }
    x->up_was_taken = true;
    x->client->body_taken(x, n);
}
