// SPDX-License-Identifier: EUPL-1.2
/* The worker's side. It is on the way of every request: one bounds check, one run of small copies,
 * one store. Everything that can be done later, the writer does. */
#include "audit/record.h"

#include <assert.h>

#include "audit/record_in.h"
#include "base/mem.h"

/* The text fields of an event, in the order in which they lie behind the fixed part of a record. */
#define FIELD(name) offsetof(struct event, name)
static const uint16_t text_fields[] = {
    FIELD(entity),         FIELD(application),   FIELD(rule),
    FIELD(missing),        FIELD(ruleset),       FIELD(shadow_rule),
    FIELD(method),         FIELD(host),          FIELD(path),
    FIELD(client_address), FIELD(user_provider), FIELD(user_roles),
    FIELD(service),        FIELD(device),        FIELD(device_authority),
    FIELD(device_serial),  FIELD(detail),        FIELD(trace_id),
    FIELD(tls_version),    FIELD(tls_cipher),    FIELD(action),
    FIELD(session),        FIELD(facts),         FIELD(trial_rule),
};
#undef FIELD
#define TEXT_FIELDS (sizeof text_fields / sizeof text_fields[0])

struct record {
    int64_t time_us;
    int64_t acr_level;
    uint64_t snapshot;
    uint64_t trial_serial;
    uint64_t count;
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint64_t duration_us;
    uint16_t len[TEXT_FIELDS];
    uint16_t status;
    uint8_t kind;
    uint8_t reason;
    uint8_t http_major;
    bool is_permit;
    bool was_judged;
    bool facts_are_cut;
    bool has_user;
    bool has_device;
    struct reference reference;
    uint8_t user_hash[32];
    uint8_t device_digest[32];
};

/* Stands at the end of a field that was cut. */
static const struct slice cut_mark = SLICE_INIT("[cut]");

struct audit_ring *audit_ring_new(size_t bytes, struct metrics *m)
{
    struct audit_ring *r = mem_new(struct audit_ring);

    ring_init(&r->decisions, bytes);
    ring_init(&r->refusals, bytes);
    atomic_init(&r->in_time_until_ms, INT64_MIN);
    atomic_init(&r->folds, &r->tables[0]);
    r->spare = &r->tables[1];
    r->metrics = m;
    return r;
}

void audit_ring_free(struct audit_ring *r)
{
    if (!r)
        return;
    ring_fini(&r->decisions);
    ring_fini(&r->refusals);
    mem_free(r);
}

static const struct slice *field_of(const struct event *e, size_t i)
{
    return (const struct slice *)(const void *)((const char *)e + text_fields[i]);
}

/* How much of a field that is too long is kept. Digits at the cut go too: half of a national number
 * would not be found by the writer any more. */
static size_t kept_of(struct slice text)
{
    size_t keep = AUDIT_FIELD_MAX - cut_mark.len;

    while (keep && strchr("0123456789.- %", text.ptr[keep - 1]))
        keep--;
    return keep;
}

static char *text_put(char *at, struct slice text)
{
    if (__builtin_expect(text.len > AUDIT_FIELD_MAX, 0)) {
        const size_t keep = kept_of(text);
        memcpy(at, text.ptr, keep);
        memcpy(at + keep, cut_mark.ptr, cut_mark.len);
        return at + keep + cut_mark.len;
    }
    memcpy(at, text.ptr, text.len);
    return at + text.len;
}

static size_t room_of(const struct event *e)
{
    size_t room = sizeof(struct record);

    for (size_t i = 0; i < TEXT_FIELDS; i++) {
        const size_t len = field_of(e, i)->len;
        room += len > AUDIT_FIELD_MAX ? AUDIT_FIELD_MAX : len;
    }
    return room;
}

/* A record's bytes are a whole number of its own: what a cut leaves over at the end is not read. */
static void record_put(char *at, const struct event *e)
{
    struct record *r = (struct record *)(void *)at; /* aligned to 8 by the ring */
    char *text = at + sizeof *r;

    r->time_us = e->time_us;
    r->acr_level = e->acr_level;
    r->snapshot = e->snapshot;
    r->trial_serial = e->trial_serial;
    r->count = e->count;
    r->bytes_in = e->bytes_in;
    r->bytes_out = e->bytes_out;
    r->duration_us = e->duration_us;
    r->status = e->status;
    r->kind = (uint8_t)e->kind;
    r->reason = (uint8_t)e->reason;
    r->http_major = e->http_major;
    r->is_permit = e->is_permit;
    r->was_judged = e->was_judged;
    r->facts_are_cut = e->facts_are_cut;
    r->reference = e->reference;
    r->has_user = e->user_hash != NULL;
    if (r->has_user)
        memcpy(r->user_hash, e->user_hash, sizeof r->user_hash);
    r->has_device = e->device_digest != NULL;
    if (r->has_device)
        memcpy(r->device_digest, e->device_digest, sizeof r->device_digest);
    memset(r->len, 0, sizeof r->len);
    for (size_t i = 0; i < TEXT_FIELDS; i++) {
        const struct slice *field = field_of(e, i);
        if (!field->len) /* most of an end's */
            continue;
        char *end = text_put(text, *field);
        r->len[i] = (uint16_t)(end - text);
        text = end;
    }
}

void record_read(struct slice record, struct event *out)
{
    const struct record *r = (const struct record *)(const void *)record.ptr;
    const char *text = record.ptr + sizeof *r;

    *out = (struct event){
        .kind = (enum event_kind)r->kind,
        .is_permit = r->is_permit,
        .was_judged = r->was_judged,
        .facts_are_cut = r->facts_are_cut,
        .reason = (enum reason)r->reason,
        .reference = r->reference,
        .time_us = r->time_us,
        .user_hash = r->has_user ? r->user_hash : NULL,
        .device_digest = r->has_device ? r->device_digest : NULL,
        .acr_level = r->acr_level,
        .snapshot = r->snapshot,
        .trial_serial = r->trial_serial,
        .status = r->status,
        .http_major = r->http_major,
        .count = r->count,
        .bytes_in = r->bytes_in,
        .bytes_out = r->bytes_out,
        .duration_us = r->duration_us,
    };
    for (size_t i = 0; i < TEXT_FIELDS; i++) {
        struct slice *field = (struct slice *)(void *)((char *)out + text_fields[i]);
        *field = slice_from(text, r->len[i]);
        text += r->len[i];
    }
}

bool audit_publish(struct audit_ring *r, const struct event *e)
{
    /* Only what lets someone in depends on the writer's being in time: the rest is better late than
     * lost. */
    if (e->is_permit && e->kind == EVENT_DECISION &&
        e->at_ms > atomic_load_explicit(&r->in_time_until_ms, memory_order_relaxed))
        return false;
    /* Ends leave a quarter of the room to decisions. */
    const size_t spare = e->kind == EVENT_END ? r->decisions.room / 4 : 0;
    char *at = ring_reserve(&r->decisions, room_of(e), spare);
    if (!at) {
        if (e->kind == EVENT_END)
            metric_add(r->metrics, METRIC_AUDIT_ENDS_DROPPED_TOTAL, 1);
        return false;
    }
    record_put(at, e);
    ring_commit(&r->decisions);
    return true;
}

/* At most so many a second, by the events' own time. */
static bool is_within_rate(struct audit_ring *r, int64_t second)
{
    if (second != r->rate_second) {
        r->rate_second = second;
        r->rate_used = 0;
    }
    return r->rate_used < AUDIT_REFUSALS_PER_SECOND;
}

void audit_refusal(struct audit_ring *r, const struct event *e)
{
    assert(e->kind == EVENT_REFUSAL && !e->is_permit);
    char *at =
        is_within_rate(r, e->time_us / 1000000) ? ring_reserve(&r->refusals, room_of(e), 0) : NULL;
    if (at) {
        r->rate_used++;
        record_put(at, e);
        ring_commit(&r->refusals);
        return;
    }
    struct folds *t = atomic_exchange_explicit(&r->folds, NULL, memory_order_acquire);
    assert(t);
    folds_add(t, e);
    atomic_store_explicit(&r->folds, t, memory_order_release);
    metric_add(r->metrics, METRIC_AUDIT_FOLDED_TOTAL, 1);
}

struct folds *audit_folds_take(struct audit_ring *r)
{
    struct folds *t = atomic_load_explicit(&r->folds, memory_order_relaxed);

    if (!t || !atomic_compare_exchange_strong_explicit(&r->folds, &t, r->spare,
                                                       memory_order_acq_rel, memory_order_relaxed))
        return NULL;
    r->spare = t;
    return t->count ? t : NULL;
}

void audit_folds_done(struct audit_ring *r, struct folds *t)
{
    assert(r->spare == t);
    folds_clear(t);
}
