// SPDX-License-Identifier: EUPL-1.2
/* A look every `timeouts.body`, nothing in between but two sums. */
#include "proxy/pace.h"

#include "proxy/exchange.h"

static int64_t now_ms(const struct exchange *x)
{
    return loop_now(&x->worker->loop).ms;
}

void pace_turn(struct exchange *x)
{
    x->pace.since_ms = now_ms(x);
}

void pace_arrived(struct exchange *x)
{
    if (!buf_len(&x->up))
        x->pace.turn_ms += now_ms(x) - x->pace.since_ms;
}

static void look(struct deadline *self)
{
    struct exchange *x = container_of(self, struct exchange, pace.deadline);
    const struct config *config = x->worker->config;
    struct pace *p = &x->pace;
    if (x->up_ended || x->up_stopped || x->phase > UPSTREAM)
        return; /* an answer has begun: both may now take their time, within `timeouts.idle` */
    pace_arrived(x);
    pace_turn(x);
    /* In less than half of the time a good client may have had no chance to. */
    bool is_slow = p->turn_ms >= config->body_ms / 2 &&
                   (int64_t)(x->bytes_in - p->bytes) * 1000 < p->turn_ms * config->body_rate;
    p->turn_ms = 0;
    p->bytes = x->bytes_in;
    if (is_slow)
        exchange_body_slow(x);
    else
        deadline_arm(worker_deadlines(x->worker, config->body_ms), self);
}

void pace_begin(struct exchange *x)
{
    const struct config *config = x->worker->config;
    if (!config->body_rate || x->is_grpc)
        return;
    x->pace.deadline.passed = look;
    pace_turn(x);
    deadline_arm(worker_deadlines(x->worker, config->body_ms), &x->pace.deadline);
}
