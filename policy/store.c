// SPDX-License-Identifier: EUPL-1.2
/* Following the store. One job at a time, always in this order:
 *
 *     head        epoch, count, serials and the stream's last id, in one script: of one moment
 *     documents   those that differ (or all), a few at a time
 *     hand-over   where something changed
 *     stream      XREAD from the id of the head; events name what the next job fetches
 *
 * While a job runs the stream's answer is thrown away and asked for again after it: it waits in
 * Redis. So there is no queue here, and no event can be lost or overtaken. What events can't tell
 * (a gap in n, another epoch, a serial that somebody changed by hand) the timer finds: it starts a
 * job whatever the stream says.
 *
 * A failed job changes neither n nor the id; it leaves `needs_whole`, and the timer or the next
 * connection tries again. */
#include "policy/store.h"

#include <inttypes.h>

#include "base/fault.h"
#include "base/logger.h"
#include "base/map.h"
#include "base/mem.h"

#define RECONCILE_MS 5000
#define COMMAND_LIMIT_MS 10000 /* 8 MiB over a slow line */
#define BLOCK_MS "5000"        /* XREAD waits this long, so that a dead connection is noticed */
#define BLOCK_LIMIT_MS 10000
#define FETCHES_AT_ONCE 4 /* bounds what lies in the reader: 4 answers of 8 MiB */
#define SET_MAX_BYTES                                                                              \
    ((size_t)256 << 20)     /* of all documents: ten times what 1,000 entities need                \
                             */
#define WHOLE_PAUSE_MS 1000 /* between two readings of everything that events ask for */
#define EPOCH_MAX 64
#define STREAM_ID_MAX 47 /* two 64-bit numbers and a dash */

/* One document, there or yet to come. Never removed: a store that hides one takes nothing away. */
struct entry {
    struct store *store;
    char entity[DOCUMENT_NAME_MAX + 1]; // the document's name
    int64_t serial;                     // with which it was last fetched; 0: not yet
    int64_t told;                       // what the job's head or event says
    bool is_wanted;                     // by the job
    struct blob *blob;                  // NULL: none yet
};

/* A moment of the store. */
struct head {
    char epoch[EPOCH_MAX + 1];
    char last_id[STREAM_ID_MAX + 1];
    uint64_t n;
};

struct store {
    struct loop *loop;
    struct store_hooks hooks;
    struct redis *commands;
    struct redis *stream;
    ev_timer reconcile;
    struct map entries; // by entity
    size_t bytes;       // of all blobs
    struct head at;     // as of the last job that ended well
    bool is_synced;     // the last job ended well, on this connection
    bool is_connected;  // as last told
    bool is_handed;     // some set was handed over
    bool is_reading;    // an XREAD is under way
    bool needs_whole;
    bool has_complained; // of a failure, and not again until all is well
    uint64_t resyncs;
    struct mono gap_at; // when an event last asked for all
    /* the job */
    bool is_busy;
    bool is_failed;
    bool has_changed;
    struct head next;
    struct entry *wanted[DOCUMENTS_MAX + 1];
    uint32_t wanted_count;
    uint32_t wanted_next;
    uint32_t in_flight;
};

static void read_stream(struct store *s);
static void fetch_more(struct store *s);

/* ---- what is told ---- */

static void tell_connected(struct store *s)
{
    const bool is_connected = s->is_synced && redis_is_up(s->commands) && redis_is_up(s->stream);
    if (is_connected == s->is_connected)
        return;
    s->is_connected = is_connected;
    if (is_connected) {
        s->has_complained = false;
        log_notice("store", "connected, %zu documents", s->entries.count);
    }
    s->hooks.connected(s->hooks.owner, is_connected);
}

static void complain(struct store *s, const char *what, const char *why)
{
    if (!s->has_complained)
        log_warning("store", "%s: %s", what, why);
    s->has_complained = true;
}

static void hand_over(struct store *s)
{
    struct document *at = mem_array(struct document, s->entries.count + 1);
    uint32_t count = 0;
    size_t walk = 0;
    for (const struct map_entry *it; (it = map_next(&s->entries, &walk));) {
        const struct entry *e = it->value;
        if (!e->blob)
            continue;
        memcpy(at[count].entity, e->entity, sizeof(e->entity));
        at[count++].blob = blob_ref(e->blob);
    }
    struct documents *documents = documents_new_take(at, count);
    mem_free(at);
    s->is_handed = true;
    s->hooks.documents(s->hooks.owner, documents);
    documents_unref(documents);
}

/* ---- entries ---- */

/* NULL for what is no document's name, and past the limit. */
static struct entry *entry_get(struct store *s, struct slice entity)
{
    struct entry *e = map_get(&s->entries, entity);
    if (e)
        return e;
    if ((entity.len && !document_name_is_valid(entity)) || s->entries.count > DOCUMENTS_MAX)
        return NULL;
    e = mem_new(struct entry);
    e->store = s;
    if (entity.len)
        memcpy(e->entity, entity.ptr, entity.len);
    (void)map_set(&s->entries, slice_of(e->entity), e); // new, as was just seen
    return e;
}

static void want(struct store *s, struct entry *e, int64_t told)
{
    e->told = told;
    if (e->is_wanted)
        return;
    e->is_wanted = true;
    s->wanted[s->wanted_count++] = e; // each entry at most once: there is room
}

/* ---- replies ---- */

static struct slice reply_text(const redisReply *reply)
{
    if (!reply || (reply->type != REDIS_REPLY_STRING && reply->type != REDIS_REPLY_STATUS))
        return (struct slice){"", 0};
    return slice_from(reply->str, reply->len);
}

static const redisReply *reply_at(const redisReply *reply, size_t i)
{
    return reply && reply->type == REDIS_REPLY_ARRAY && i < reply->elements ? reply->element[i]
                                                                            : NULL;
}

static size_t reply_count(const redisReply *reply)
{
    return reply && reply->type == REDIS_REPLY_ARRAY ? reply->elements : 0;
}

static const char *reply_trouble(const redisReply *reply)
{
    return !reply                             ? "no answer"
           : reply->type == REDIS_REPLY_ERROR ? reply->str
                                              : "an answer that has no meaning";
}

/* Into a fixed field; false where it does not fit or holds a NUL. */
static bool copy_text(char *out, size_t room, struct slice text)
{
    if (text.len >= room || memchr(text.ptr, '\0', text.len))
        return false;
    memcpy(out, text.ptr, text.len);
    out[text.len] = '\0';
    return true;
}

/* ---- the job ---- */

static void job_begin(struct store *s)
{
    s->is_busy = true;
    s->is_failed = s->has_changed = false;
    s->wanted_count = s->wanted_next = s->in_flight = 0;
}

static void job_end(struct store *s)
{
    for (uint32_t i = 0; i < s->wanted_count; i++)
        s->wanted[i]->is_wanted = false;
    s->is_busy = false;
    s->is_synced = !s->is_failed;
    s->needs_whole = s->is_failed;
    if (!s->is_failed)
        s->at = s->next;
    // What did arrive is handed over even so: it is as good as any.
    if (s->has_changed || (!s->is_failed && !s->is_handed))
        hand_over(s);
    tell_connected(s);
    read_stream(s);
}

static void take_document(struct store *s, struct entry *e, struct slice bytes)
{
    const size_t held = e->blob ? e->blob->bytes.len : 0;
    e->serial = e->told;
    if (e->blob && slice_eq(e->blob->bytes, bytes))
        return;
    const char *name = e->entity[0] ? e->entity : "charter";
    if (!bytes.len) {
        log_warning("store", "'%s' has a serial but no document", name);
        return;
    }
    if (bytes.len > ENVELOPE_MAX_BYTES || s->bytes - held + bytes.len > SET_MAX_BYTES) {
        log_warning("store", "'%s' is too large: %zu bytes", name, bytes.len);
        return;
    }
    s->bytes = s->bytes - held + bytes.len;
    blob_unref(e->blob);
    e->blob = blob_new(bytes);
    s->has_changed = true;
}

static void on_document(void *owner, const redisReply *reply)
{
    struct entry *e = owner;
    struct store *s = e->store;
    s->in_flight--;
    if (reply && reply->type == REDIS_REPLY_STRING) {
        take_document(s, e, reply_text(reply));
    } else {
        complain(s, "cannot read a document", reply_trouble(reply));
        s->is_failed = true;
    }
    fetch_more(s);
}

/* One byte more than is allowed, so that what is too large is seen and yet not read. */
static bool fetch(struct store *s, struct entry *e)
{
    char key[DOCUMENT_NAME_MAX + 32];
    char last[16];
    const int key_len = e->entity[0] ? snprintf(key, sizeof(key), "belfry:bundle:%s", e->entity)
                                     : snprintf(key, sizeof(key), "belfry:charter");
    const int last_len = snprintf(last, sizeof(last), "%u", ENVELOPE_MAX_BYTES);
    return redis_send(s->commands, COMMAND_LIMIT_MS, on_document, e,
                      (struct slice[]){SLICE("GETRANGE"), slice_from(key, (size_t)key_len),
                                       SLICE("0"), slice_from(last, (size_t)last_len)},
                      4);
}

/* Keeps a few fetches under way; ends the job with the last. */
static void fetch_more(struct store *s)
{
    while (!s->is_failed && s->in_flight < FETCHES_AT_ONCE && s->wanted_next < s->wanted_count) {
        if (fetch(s, s->wanted[s->wanted_next]))
            s->in_flight++;
        else
            s->is_failed = true;
        s->wanted_next++;
    }
    if (!s->in_flight)
        job_end(s);
}

/* ---- the head ---- */

static const char head_script[] =
    "return {redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2]),\n"
    "        redis.call('HGETALL', KEYS[3]),\n"
    "        redis.call('XREVRANGE', KEYS[4], '+', '-', 'COUNT', 1)}\n";

/* The entity of a field of belfry:serials; false for what we did not write. */
static bool field_entity(struct slice field, struct slice *entity)
{
    const struct slice prefix = SLICE("bundle:");
    if (slice_eq(field, SLICE("charter"))) {
        *entity = SLICE("");
        return true;
    }
    *entity = slice_skip(field, prefix.len);
    return slice_starts(field, prefix) && document_name_is_valid(*entity);
}

static void take_serials(struct store *s, const redisReply *reply, bool is_whole)
{
    size_t strangers = 0;
    for (size_t i = 0; i + 1 < reply_count(reply); i += 2) {
        struct slice entity;
        uint64_t serial = 0;
        struct entry *e = NULL;
        if (field_entity(reply_text(reply_at(reply, i)), &entity) &&
            slice_u64(reply_text(reply_at(reply, i + 1)), (uint64_t)SERIAL_MAX, &serial))
            e = entry_get(s, entity);
        if (!e)
            strangers++;
        else if (is_whole || e->serial != (int64_t)serial)
            want(s, e, (int64_t)serial);
    }
    // One line a reading, however many a store invents; and only where it is read whole.
    if (strangers && is_whole)
        log_warning("store", "%zu serials of the store name no entity, or one too many", strangers);
}

static bool take_head(struct head *out, const redisReply *reply)
{
    *out = (struct head){.n = 0};
    if (reply_count(reply) != 4)
        return false;
    const struct slice n = reply_text(reply_at(reply, 1));
    const struct slice id = reply_text(reply_at(reply_at(reply_at(reply, 3), 0), 0));
    return copy_text(out->epoch, sizeof(out->epoch), reply_text(reply_at(reply, 0))) &&
           (!n.len || slice_u64(n, INT64_MAX, &out->n)) &&
           copy_text(out->last_id, sizeof(out->last_id), id.len ? id : SLICE("0-0"));
}

static void on_head(void *owner, const redisReply *reply)
{
    struct store *s = owner;
    if (!take_head(&s->next, reply)) {
        complain(s, "cannot read the store", reply_trouble(reply));
        s->is_failed = true;
        job_end(s);
        return;
    }
    const bool is_whole = s->needs_whole || strcmp(s->next.epoch, s->at.epoch) != 0;
    if (is_whole)
        s->resyncs++;
    take_serials(s, reply_at(reply, 2), is_whole);
    fetch_more(s);
}

/* Compares with the store, or reads all of it again where that is needed; nothing where a job is
 * under way, which does the same. */
static void catch_up(struct store *s)
{
    if (s->is_busy || !redis_is_up(s->commands))
        return;
    job_begin(s);
    if (redis_send(s->commands, COMMAND_LIMIT_MS, on_head, s,
                   (struct slice[]){SLICE("EVAL_RO"),
                                    slice_from(head_script, sizeof(head_script) - 1), SLICE("4"),
                                    SLICE("belfry:epoch"), SLICE("belfry:count"),
                                    SLICE("belfry:serials"), SLICE("belfry:events")},
                   7))
        return;
    s->is_failed = true;
    job_end(s);
}

/* ---- the stream ---- */

struct event {
    struct slice id;
    struct slice epoch;
    struct slice kind;
    struct slice entity;
    struct slice n;
    struct slice serial;
};

static struct event event_of(const redisReply *reply)
{
    struct event event = {.id = reply_text(reply_at(reply, 0))};
    const redisReply *fields = reply_at(reply, 1);
    const struct {
        struct slice name;
        struct slice *value;
    } known[] = {
        {SLICE("epoch"), &event.epoch},   {SLICE("n"), &event.n},
        {SLICE("kind"), &event.kind},     {SLICE("entity"), &event.entity},
        {SLICE("serial"), &event.serial},
    };
    for (size_t i = 0; i + 1 < reply_count(fields); i += 2)
        for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++)
            if (slice_eq(reply_text(reply_at(fields, i)), known[k].name))
                *known[k].value = reply_text(reply_at(fields, i + 1));
    return event;
}

/* False: this event does not follow on what we have, or has no meaning. */
static bool take_event(struct store *s, const redisReply *reply)
{
    const struct event event = event_of(reply);
    uint64_t n = 0;
    uint64_t serial = 0;
    const bool is_charter = slice_eq(event.kind, SLICE("charter"));
    const bool is_bundle = slice_eq(event.kind, SLICE("bundle"));
    if (!slice_eq(event.epoch, slice_of(s->next.epoch)) || !slice_u64(event.n, INT64_MAX, &n) ||
        !slice_u64(event.serial, (uint64_t)SERIAL_MAX, &serial) || n > s->next.n + 1 ||
        !event.id.len || (is_charter && event.entity.len) || (is_bundle && !event.entity.len) ||
        !copy_text(s->next.last_id, sizeof(s->next.last_id), event.id))
        return false;
    if (n <= s->next.n) // the head was read after it
        return true;
    if (!is_charter && !is_bundle) { /* no document; of a newer gateway's kinds we know nothing */
        s->next.n = n;
        if (slice_eq(event.kind, SLICE("revocation")) && s->hooks.revoked)
            s->hooks.revoked(s->hooks.owner, event.entity);
        if (slice_eq(event.kind, SLICE("device")) && s->hooks.devices)
            s->hooks.devices(s->hooks.owner, event.entity);
        return true;
    }
    struct entry *e = entry_get(s, event.entity);
    if (!e)
        return false;
    s->next.n = n;
    want(s, e, (int64_t)serial);
    return true;
}

static bool take_events(struct store *s, const redisReply *events)
{
    for (size_t i = 0; i < reply_count(events); i++)
        if (!take_event(s, reply_at(events, i)))
            return false;
    return true;
}

static void on_events(void *owner, const redisReply *reply)
{
    struct store *s = owner;
    s->is_reading = false;
    if (!reply || s->is_busy) // after the job it is asked for again
        return;
    if (reply->type == REDIS_REPLY_NIL) {
        read_stream(s);
        return;
    }
    const redisReply *events = reply_at(reply_at(reply, 0), 1);
    if (!events) {
        complain(s, "cannot follow the store", reply_trouble(reply));
        return; // the timer comes back to it
    }
    job_begin(s);
    s->next = s->at;
    if (take_events(s, events)) {
        fetch_more(s);
        return;
    }
    log_notice("store", "an event does not follow on the last one: reading all again");
    for (uint32_t i = 0; i < s->wanted_count; i++)
        s->wanted[i]->is_wanted = false;
    s->is_busy = false;
    s->needs_whole = true;
    // A store that sends nonsense all the time costs us one reading a period, not all our time.
    const struct mono now = loop_now(s->loop);
    if (s->gap_at.ms && now.ms - s->gap_at.ms < WHOLE_PAUSE_MS)
        return;
    s->gap_at = now;
    catch_up(s);
}

static void read_stream(struct store *s)
{
    if (s->is_reading || s->is_busy || !s->is_synced)
        return;
    s->is_reading = redis_send(s->stream, BLOCK_LIMIT_MS, on_events, s,
                               (struct slice[]){SLICE("XREAD"), SLICE("BLOCK"), SLICE(BLOCK_MS),
                                                SLICE("COUNT"), SLICE("100"), SLICE("STREAMS"),
                                                SLICE("belfry:events"), slice_of(s->at.last_id)},
                               8);
}

/* ---- the loop ---- */

static void on_reconcile(struct ev_loop *ev, ev_timer *timer, int events)
{
    (void)ev;
    (void)events;
    catch_up(timer->data);
}

static void on_commands_up(void *owner)
{
    struct store *s = owner;
    s->needs_whole = true; // what happened in between, and to whom we speak, is not known
    catch_up(s);
}

static void on_stream_up(void *owner)
{
    struct store *s = owner;
    tell_connected(s);
    catch_up(s); // and then the stream from there
}

static void on_down(void *owner, const struct fault *why)
{
    struct store *s = owner;
    complain(s, "not connected", why->text);
    tell_connected(s);
}

static void on_commands_down(void *owner, const struct fault *why)
{
    struct store *s = owner;
    s->is_synced = false;
    on_down(s, why);
}

struct store *store_new(struct loop *l, const struct store_settings *settings,
                        struct store_hooks hooks)
{
    struct store *s = mem_new(struct store);
    s->loop = l;
    s->hooks = hooks;
    s->needs_whole = true;
    map_init(&s->entries);
    for (uint32_t i = 0; settings->start && i < settings->start->count; i++) {
        const struct document *d = &settings->start->at[i];
        struct entry *e = entry_get(s, slice_of(d->entity));
        if (!e)
            continue; // more than any store may have
        e->blob = blob_ref(d->blob);
        s->bytes += d->blob->bytes.len;
    }
    s->commands =
        redis_new(l, &settings->address, (struct redis_hooks){on_commands_up, on_commands_down, s});
    s->stream = redis_new(l, &settings->address, (struct redis_hooks){on_stream_up, on_down, s});
    const double period =
        (double)(settings->reconcile_ms ? settings->reconcile_ms : RECONCILE_MS) / 1000.;
    ev_timer_init(&s->reconcile, on_reconcile, period, period);
    s->reconcile.data = s;
    ev_timer_start(l->ev, &s->reconcile);
    return s;
}

void store_free(struct store *s)
{
    if (!s)
        return;
    ev_timer_stop(s->loop->ev, &s->reconcile);
    redis_free(s->commands);
    redis_free(s->stream);
    size_t walk = 0;
    for (const struct map_entry *it; (it = map_next(&s->entries, &walk));) {
        struct entry *e = it->value;
        blob_unref(e->blob);
        mem_free(e);
    }
    map_fini(&s->entries);
    mem_free(s);
}

uint64_t store_resyncs(const struct store *s)
{
    return s->resyncs;
}
