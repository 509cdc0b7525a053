// SPDX-License-Identifier: EUPL-1.2
/* Which of the exchange's facts the audit holds: enough to prove who was let in by what, nothing
 * that identifies a person but the keyed hash. */
#include "proxy/event_of.h"

#include "base/reason.h"
#include "policy/fact_notes.h"
#include "proxy/sign_in_errand.h"

#include <time.h>

static int64_t now_us(clockid_t clock)
{
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Groups name roles, not persons; joined by commas as the event's format says. Where one has no
 * room, or holds a comma itself, "[cut]" stands for it, and not all are there. */
static struct slice roles_of(const struct slices *groups, struct arena *a, bool *has_all)
{
    const struct slice cut = SLICE("[cut]");
    char text[512];
    size_t len = 0;
    for (uint32_t i = 0; i < groups->count; i++) {
        struct slice group = groups->at[i];
        if (group.len && memchr(group.ptr, ',', group.len)) {
            group = cut;
            *has_all = false;
        }
        // What stands for it may be longer than it is: the room is asked for what is written.
        const bool is_last = len + group.len + 2 + cut.len > sizeof text;
        if (is_last) {
            group = cut;
            *has_all = false;
        }
        if (len)
            text[len++] = ',';
        memcpy(text + len, group.ptr, group.len);
        len += group.len;
        if (is_last)
            break;
    }
    return arena_copy(a, (struct slice){text, len});
}

/* Says whether all groups are there. */
static bool who(const struct exchange *x, struct event *e)
{
    bool has_all = true;
    if (x->facts.user) {
        e->user_provider = x->facts.user->provider;
        e->user_hash = x->facts.user->hash;
        e->user_roles =
            roles_of(&x->facts.user->groups, (struct arena *)(uintptr_t)&x->arena, &has_all);
        e->acr_level = x->facts.user->acr_level;
    }
    if (x->facts.service)
        e->service = x->facts.service->id;
    if (x->facts.device) {
        e->device = x->facts.device->id;
        e->device_digest = x->facts.device->digest;
        e->device_authority = x->facts.device->authority;
        e->device_serial = x->facts.device->serial;
    }
    return has_all;
}

/* What else the rules asked for. */
static void why(const struct exchange *x, struct event *e, bool has_groups)
{
    char room[FACT_NOTES_MAX] __attribute__((uninitialized));
    const size_t len = fact_notes_write(room, x->held->edition->snapshot, &x->facts,
                                        x->door ? x->door->shadow_app : NULL, has_groups);
    if (!len)
        return;
    e->facts = arena_copy((struct arena *)(uintptr_t)&x->arena, slice_from(room, len));
    e->facts_are_cut = fact_notes_are_cut(e->facts);
}

static void what(const struct exchange *x, struct event *e)
{
    e->reference = x->reference;
    e->reason = x->reason;
    e->time_us = now_us(CLOCK_REALTIME);
    e->at_ms = loop_now(&x->worker->loop).ms;
    e->method = x->request.method_name;
    e->host = x->request.host;
    e->path = x->request.path.canonical;
    e->client_address = x->facts.client_address;
    e->trace_id = trace_id(&x->trace);
    e->http_major = x->connection->http_major;
    e->tls_version = slice_of(SSL_get_version(x->connection->ssl));
    e->tls_cipher = slice_of(SSL_get_cipher_name(x->connection->ssl));
    e->status = x->response.status;
    if (x->facts.app) {
        e->entity = x->facts.app->entity;
        e->application = x->facts.app->id;
    }
    if (x->held)
        e->snapshot = x->held->edition->snapshot->number;
}

void event_of_decision(const struct exchange *x, struct event *out)
{
    *out = (struct event){.is_permit = x->decision.verdict == DECISION_PERMIT &&
                                       x->reason == REASON_PERMITTED};
    what(x, out);
    const bool has_groups = who(x, out);
    out->was_judged = x->decision.snapshot && x->held && x->facts.app;
    if (out->was_judged)
        why(x, out, has_groups);
    out->kind =
        x->facts.user || x->facts.device || x->facts.service ? EVENT_DECISION : EVENT_REFUSAL;
    if (out->is_permit)
        out->kind = EVENT_DECISION;
    if (reason_status(x->reason) == 429) /* who asks too much takes no room of those who don't */
        out->kind = EVENT_REFUSAL;
    out->rule = x->decision.rule;
    out->missing = x->decision.missing;
    out->ruleset = x->decision.is_baseline ? SLICE("baseline") : SLICE("");
    out->shadow_rule = x->decision.shadow.rule;
    out->trial_rule = x->trial.rule;
    out->trial_serial = x->trial.differs ? (uint64_t)x->trial.serial : 0;
    out->detail = slice_of(x->detail);
    if (out->is_permit)
        out->status = 0; /* the application's is in the end's event */
}

/* Small: the decision's event, with the same reference, has the rest. */
void event_of_end(const struct exchange *x, struct event *out)
{
    *out = (struct event){.kind = EVENT_END,
                          .is_permit = true,
                          .reference = x->reference,
                          .reason = x->reason,
                          .time_us = now_us(CLOCK_REALTIME),
                          .entity = x->facts.app->entity,
                          .application = x->facts.app->id,
                          .detail = slice_of(x->detail),
                          .status = x->response.status,
                          .bytes_in = x->bytes_in,
                          .bytes_out = x->bytes_out};
    out->duration_us = (uint64_t)(now_us(CLOCK_MONOTONIC) - x->began_us);
}

void event_of_deed(const struct exchange *x, struct event *out)
{
    *out = (struct event){.kind = EVENT_SESSION, .is_permit = true};
    what(x, out);
    (void)who(x, out);
    out->reason = REASON_PERMITTED;
    if (!x->facts.user && x->work && x->work->session) { /* theirs that is over */
        out->user_provider = x->work->session->user.provider;
        out->user_hash = x->work->session->user.hash;
    }
    out->detail = slice_of(x->work ? x->work->detail : NULL);
    out->action = x->deed;
    out->session = x->deed_session;
}

void event_of_session_end(const struct session *s, const char *why, struct arena *a,
                          struct event *out)
{
    struct slice rest = s->device; /* AUTHORITY:NAME */
    bool has_all;
    *out = (struct event){.kind = EVENT_SESSION,
                          .is_permit = true,
                          .reason = REASON_PERMITTED,
                          .time_us = now_us(CLOCK_REALTIME),
                          .entity = s->entity,
                          .application = s->application,
                          .host = s->host,
                          .user_provider = s->user.provider,
                          .user_hash = s->user.hash,
                          .user_roles = roles_of(&s->user.groups, a, &has_all),
                          .acr_level = s->user.acr_level,
                          .device = s->device,
                          .device_authority = slice_cut(&rest, ':'),
                          .device_digest = s->is_unbound ? NULL : s->certificate,
                          .detail = slice_of(why),
                          .action = SLICE("session-end"),
                          .session = s->handle};
}
