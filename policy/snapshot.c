// SPDX-License-Identifier: EUPL-1.2
/* From what the store holds to what decisions are made on, in this order: the charter; each
 * entity's bundle under that charter; the hosts that may be reached; the hosts that may not any
 * more. Owns: which document is in force. Does not own: the form of signatures (envelope.c), of
 * YAML (bundle.c, charter.c), nor what a delegation holds (delegation.c).
 *
 * Two promises: a refused document never replaces a good one, and nothing good outlives what it
 * stood on: what stays is verified again by the keys now in force and judged by the charter now in
 * force. */
#include "policy/snapshot.h"

#include "base/fault.h"
#include "base/hash.h"
#include "base/mem.h"
#include "policy/compile.h"
#include "policy/delegation.h"
#include "policy/policy_test.h"

struct build {
    const struct snapshot_input *input;
    const struct snapshot *last; /* NULL at first */
    struct snapshot *s;
    struct serials seen; /* what the caller knows, and what `last` holds */
};

/* ---- shared parts ---- */

static void sealed_init(struct sealed *out, struct slice bytes, const uint8_t *payload_digest)
{
    out->bytes = mem_slice(bytes);
    memcpy(out->payload_digest, payload_digest, sizeof(out->payload_digest));
}

static struct charter_ref *charter_ref(struct charter_ref *r)
{
    atomic_fetch_add_explicit(&r->references, 1, memory_order_relaxed);
    return r;
}

static void charter_unref(struct charter_ref *r)
{
    if (!r || atomic_fetch_sub_explicit(&r->references, 1, memory_order_acq_rel) > 1)
        return;
    charter_free(r->charter);
    mem_slice_free(&r->sealed.bytes);
    mem_free(r);
}

static struct bundle_ref *bundle_ref(struct bundle_ref *r)
{
    atomic_fetch_add_explicit(&r->references, 1, memory_order_relaxed);
    return r;
}

static void bundle_unref(struct bundle_ref *r)
{
    if (!r || atomic_fetch_sub_explicit(&r->references, 1, memory_order_acq_rel) > 1)
        return;
    bundle_free(r->bundle);
    mem_slice_free(&r->sealed.bytes);
    mem_free(r);
}

struct snapshot *snapshot_ref(struct snapshot *s)
{
    atomic_fetch_add_explicit(&s->references, 1, memory_order_relaxed);
    return s;
}

void snapshot_unref(struct snapshot *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->references, 1, memory_order_acq_rel) > 1)
        return;
    for (uint32_t i = 0; i < s->bundle_count; i++)
        bundle_unref(s->bundles[i]);
    for (uint32_t i = 0; i < s->shadow_count; i++)
        bundle_unref(s->shadows[i]);
    charter_unref(s->charter);
    map_fini(&s->hosts);
    map_fini(&s->entities);
    map_fini(&s->shadow_of);
    map_fini(&s->withdrawn);
    arena_fini(&s->arena);
    mem_free(s);
}

/* ---- what every document goes through ---- */

static const struct snapshot_document *find_document(const struct snapshot_input *input,
                                                     struct slice entity)
{
    for (uint32_t i = 0; i < input->document_count; i++)
        if (slice_eq(input->documents[i].entity, entity))
            return &input->documents[i];
    return NULL;
}

static struct document_status *add_status(struct snapshot *s, struct slice entity)
{
    struct document_status *status = &s->status[s->status_count++];
    status->entity = arena_copy(&s->arena, entity);
    return status;
}

static bool first_error(const struct findings *findings, enum fault_code code, struct fault *f)
{
    const char *text = "too much is wrong to tell";
    for (size_t i = findings->count; i-- > 0;)
        if (findings->at[i].is_error) {
            text = findings->at[i].text;
            f->place = findings->at[i].place;
        }
    return fault_set(f, code, "%s", text);
}

static bool check_serial(const struct build *b, struct slice entity, int64_t serial, int64_t min,
                         const uint8_t *payload_digest, enum serial_verdict *verdict,
                         struct fault *f)
{
    if (serial < min)
        return fault_set(f, FAULT_TRUST, "serial %lld is below the least accepted, %lld",
                         (long long)serial, (long long)min);
    *verdict = serials_judge(&b->seen, entity, serial, payload_digest);
    switch (*verdict) {
    case SERIAL_OLDER:
        return fault_set(f, FAULT_TRUST, "serial %lld is older than one seen before",
                         (long long)serial);
    case SERIAL_CONFLICT:
        return fault_set(f, FAULT_TRUST, "another document was seen with the same serial %lld",
                         (long long)serial);
    case SERIAL_SAME:
    case SERIAL_NEWER:
        return true;
    }
    return fault_set(f, FAULT_TRUST, "the serial was not judged");
}

/* ---- the charter ---- */

/* By the federation's keys, but for those that `revoker` (NULL: none) takes away. */
static bool verify_charter(const struct build *b, const struct charter *revoker, struct slice bytes,
                           struct envelope *e, struct fault *f)
{
    const struct snapshot_input *in = b->input;
    struct envelope_key *keys = mem_array(struct envelope_key, in->federation_key_count + 1);
    uint32_t count = 0;
    for (uint32_t i = 0; i < in->federation_key_count; i++)
        if (!revoker || !charter_revokes(revoker, &in->federation_keys[i].key))
            keys[count++] = in->federation_keys[i];
    const bool holds =
        envelope_open(e, bytes, f) && envelope_verify(e, DOCUMENT_CHARTER, keys, count, 1, f);
    mem_free(keys);
    return holds;
}

static bool accept_charter(const struct build *b, const struct charter *c, const uint8_t *digest,
                           struct document_status *status)
{
    enum serial_verdict verdict;
    if (!check_serial(b, SLICE(""), c->serial, b->input->min_charter_serial, digest, &verdict,
                      &status->why))
        return false;
    if (b->input->now.s <= c->not_after_s + c->grace_s)
        return true;
    status->fate = FATE_EXPIRED;
    return fault_set(&status->why, FAULT_TRUST, "the charter's not_after has passed");
}

static struct charter_ref *try_charter(const struct build *b, struct slice bytes,
                                       struct document_status *status)
{
    struct envelope e;
    uint8_t digest[SHA256_BYTES];
    struct findings findings;
    struct charter_ref *out = NULL;
    status->fate = FATE_REFUSED;
    const struct charter *last = b->last && b->last->charter ? b->last->charter->charter : NULL;
    if (!verify_charter(b, last, bytes, &e, &status->why))
        return NULL;
    sha256(digest, e.payload);
    findings_init(&findings);
    struct charter *c = charter_load(e.payload, "charter", &findings);
    if (!c) {
        first_error(&findings, FAULT_SYNTAX, &status->why);
    } else if (!verify_charter(b, c, bytes, &e, &status->why) /* what it revokes can't carry it */
               || !accept_charter(b, c, digest, status)) {
        charter_free(c);
    } else {
        out = mem_new(struct charter_ref);
        out->references = 1;
        out->charter = c;
        sealed_init(&out->sealed, bytes, digest);
        status->fate = FATE_ACTIVE;
    }
    findings_fini(&findings);
    return out;
}

/* The last charter, as long as the federation keys and the least serial of today carry it. */
static struct charter_ref *keep_charter(const struct build *b, struct fault *f)
{
    struct charter_ref *r = b->last ? b->last->charter : NULL;
    struct envelope e;
    if (!r || !verify_charter(b, r->charter, r->sealed.bytes, &e, f))
        return NULL;
    if (r->charter->serial < b->input->min_charter_serial) {
        fault_set(f, FAULT_TRUST, "serial %lld is below the least accepted, %lld",
                  (long long)r->charter->serial, (long long)b->input->min_charter_serial);
        return NULL;
    }
    return charter_ref(r);
}

static void build_charter(struct build *b)
{
    struct document_status *status = add_status(b->s, SLICE(""));
    const struct snapshot_document *d = find_document(b->input, SLICE(""));
    struct fault kept = {0};
    bool is_same =
        d && b->last && b->last->charter && slice_eq(b->last->charter->sealed.bytes, d->bytes);
    if (d && !is_same)
        b->s->charter = try_charter(b, d->bytes, status);
    if (!b->s->charter)
        b->s->charter = keep_charter(b, &kept);
    if (is_same)
        status->fate = b->s->charter ? FATE_UNCHANGED : FATE_REFUSED;
    if (!status->why.text[0])
        status->why = kept;
    if (!b->s->charter)
        return;
    const struct charter *c = b->s->charter->charter;
    b->s->baseline = &c->baseline;
    status->serial = c->serial;
    b->s->grace_s = c->grace_s;
    b->s->not_after_s = c->not_after_s + c->grace_s;
    if (is_same && b->input->now.s > b->s->not_after_s) {
        status->fate = FATE_EXPIRED;
        fault_set(&status->why, FAULT_TRUST, "the charter's not_after has passed");
    }
}

/* ---- bundles ---- */

static bool verify_bundle(const struct build *b, const struct charter_entity *entity,
                          struct slice bytes, struct envelope *e, struct fault *f)
{
    struct envelope_key *keys = mem_array(struct envelope_key, entity->key_count + 1);
    uint32_t count = delegation_keys(entity, b->input->now, keys);
    bool ok = envelope_open(e, bytes, f) &&
              envelope_verify(e, DOCUMENT_BUNDLE, keys, count, entity->approvals, f);
    mem_free(keys);
    return ok;
}

/* Whether a bundle of `last` was verified by just the keys that are in force now: the same charter,
 * and no key began or ended since. Then its signature need not be computed again. */
static bool is_verified(const struct build *b, const struct charter_entity *entity)
{
    if (!b->last || b->last->charter != b->s->charter)
        return false;
    for (uint32_t i = 0; i < entity->key_count; i++)
        if (charter_key_is_valid(&entity->keys[i], b->last->made_at) !=
            charter_key_is_valid(&entity->keys[i], b->input->now))
            return false;
    return true;
}

/* The last good bundle, as long as the charter in force carries it as a whole. */
static struct bundle_ref *keep_bundle(const struct build *b, const struct charter_entity *entity,
                                      struct bundle_ref *r, struct fault *f)
{
    struct envelope e;
    if (!r || (!is_verified(b, entity) && !verify_bundle(b, entity, r->sealed.bytes, &e, f)))
        return NULL;
    if (r->bundle->serial < entity->min_serial) {
        fault_set(f, FAULT_TRUST, "serial %lld is below the least accepted, %lld",
                  (long long)r->bundle->serial, (long long)entity->min_serial);
        return NULL;
    }
    return bundle_ref(r);
}

static void withdraw(struct snapshot *s, struct slice host, struct slice entity, enum reason why)
{
    if (map_get(&s->withdrawn, host))
        return;
    struct withdrawn *w = arena_new(&s->arena, struct withdrawn);
    *w = (struct withdrawn){
        .host = arena_copy(&s->arena, host), .entity = arena_copy(&s->arena, entity), .why = why};
    map_set(&s->withdrawn, w->host, w);
}

/* Its mode is in the signed bytes: under the other name it is refused, whoever put it there. */
static bool has_its_name(const struct bundle *bundle, struct slice name, struct fault *f)
{
    if (slice_eq(bundle->name, name))
        return true;
    return fault_set(f, FAULT_TRUST,
                     bundle->is_shadow
                         ? "the bundle is in shadow, and lies in the place of one that decides"
                         : "the bundle decides, and lies in the place of one in shadow");
}

static bool accept_bundle(const struct build *b, const struct charter_entity *entity,
                          struct bundle *bundle, const uint8_t *digest,
                          struct document_status *status)
{
    struct fault *f = &status->why;
    enum serial_verdict verdict = SERIAL_OLDER;
    if (!slice_eq(bundle->entity, entity->id))
        return fault_set(f, FAULT_TRUST, "the bundle is of entity '%.*s', not of '%.*s'",
                         SLICE_ARG(bundle->entity), SLICE_ARG(entity->id));
    if (!has_its_name(bundle, status->entity, f) ||
        !check_serial(b, bundle->name, bundle->serial, entity->min_serial, digest, &verdict, f))
        return false;
    if (b->input->now.s > snapshot_end(b->s, bundle)) {
        status->fate = FATE_EXPIRED;
        for (uint32_t i = 0; !bundle->is_shadow && i < bundle->application_count; i++)
            if (delegation_has_application(entity, &bundle->applications[i], NULL))
                withdraw(b->s, bundle->applications[i].host, entity->id, REASON_POLICY_EXPIRED);
        return fault_set(f, FAULT_TRUST, "the bundle's not_after has passed");
    }
    if (verdict != SERIAL_SAME && !delegation_has_bundle(entity, bundle, f))
        return false;
    bundle_compile(bundle);
    if (verdict == SERIAL_SAME)
        return true; /* it was active: its tests passed then, under what the charter gave then */
    struct findings findings;
    findings_init(&findings);
    bool ok = policy_test_run(bundle, b->s->baseline, b->input->now, &findings, NULL) ||
              first_error(&findings, FAULT_SYNTAX, f);
    findings_fini(&findings);
    return ok;
}

static struct bundle_ref *try_bundle(const struct build *b, const struct charter_entity *entity,
                                     struct slice bytes, struct document_status *status)
{
    struct envelope e;
    uint8_t digest[SHA256_BYTES];
    struct findings findings;
    struct bundle_ref *out = NULL;
    status->fate = FATE_REFUSED;
    if (!verify_bundle(b, entity, bytes, &e, &status->why))
        return NULL;
    sha256(digest, e.payload);
    char file[sizeof((struct place){0}.file)];
    snprintf(file, sizeof(file), "%.*s", SLICE_ARG(entity->id));
    findings_init(&findings);
    struct bundle *bundle = bundle_load(e.payload, file, SLICE(""), &findings);
    if (!bundle) {
        first_error(&findings, FAULT_SYNTAX, &status->why);
    } else if (!accept_bundle(b, entity, bundle, digest, status)) {
        bundle_free(bundle);
    } else {
        out = mem_new(struct bundle_ref);
        out->references = 1;
        out->bundle = bundle;
        sealed_init(&out->sealed, bytes, digest);
        status->fate = FATE_ACTIVE;
    }
    findings_fini(&findings);
    return out;
}

/* The bundle of that name that is good now (of an entity, in force or in shadow), or NULL; its
 * status. `last`: the one before. */
static struct bundle_ref *choose_bundle(struct build *b, const struct charter_entity *entity,
                                        struct slice name, struct bundle_ref *last,
                                        struct document_status **out)
{
    const struct snapshot_document *d = find_document(b->input, name);
    if (!d && !last)
        return NULL;
    struct document_status *status = *out = add_status(b->s, name);
    struct fault kept = {0};
    bool is_same = d && last && slice_eq(last->sealed.bytes, d->bytes);
    struct bundle_ref *r = NULL;
    if (d && !is_same)
        r = try_bundle(b, entity, d->bytes, status);
    if (!r)
        r = keep_bundle(b, entity, last, &kept);
    if (is_same)
        status->fate = r ? FATE_UNCHANGED : FATE_REFUSED;
    if (!status->why.text[0])
        status->why = kept;
    if (!r)
        return NULL;
    status->serial = r->bundle->serial;
    if (is_same && b->input->now.s > snapshot_end(b->s, r->bundle)) {
        status->fate = FATE_EXPIRED;
        fault_set(&status->why, FAULT_TRUST, "the bundle's not_after has passed");
    }
    return r;
}

static void add_bundle(struct build *b, const struct charter_entity *entity, struct bundle_ref *r)
{
    struct snapshot *s = b->s;
    s->bundles[s->bundle_count++] = r;
    map_set(&s->entities, r->bundle->entity, r);
    uint32_t count = r->bundle->application_count;
    for (uint32_t i = 0; i < count; i++) {
        struct application *app = &r->bundle->applications[i];
        if (!delegation_has_application(entity, app, NULL))
            withdraw(s, app->host, entity->id, REASON_NOT_DELEGATED);
        else if (!map_get(&s->hosts, app->host))
            map_set(&s->hosts, app->host, app);
    }
}

/* Also one that is over: it is known then, and not read again. */
static void add_shadow(struct build *b, struct bundle_ref *r, struct document_status *status)
{
    b->s->shadows[b->s->shadow_count++] = r;
    map_set(&b->s->shadow_of, r->bundle->entity, r);
    if (!snapshot_shadow(b->s, r->bundle->entity))
        status->fate = FATE_OVER;
}

static void build_bundles(struct build *b)
{
    const struct charter *c = b->s->charter->charter;
    const struct snapshot *last = b->last;
    struct document_status *status;
    b->s->bundles = arena_array(&b->s->arena, struct bundle_ref *, c->entity_count);
    b->s->shadows = arena_array(&b->s->arena, struct bundle_ref *, c->entity_count);
    for (uint32_t i = 0; i < c->entity_count; i++) {
        const struct charter_entity *entity = &c->entities[i];
        const struct slice name = arena_printf(&b->s->arena, "%.*s.shadow", SLICE_ARG(entity->id));
        struct bundle_ref *r = choose_bundle(
            b, entity, entity->id, last ? map_get(&last->entities, entity->id) : NULL, &status);
        if (r)
            add_bundle(b, entity, r);
        r = choose_bundle(b, entity, name, last ? map_get(&last->shadow_of, entity->id) : NULL,
                          &status);
        if (r)
            add_shadow(b, r, status);
    }
}

/* Documents of entities that the charter in force does not know are not even opened. */
static void refuse_strangers(struct build *b)
{
    for (uint32_t i = 0; i < b->input->document_count; i++) {
        struct slice entity = b->input->documents[i].entity;
        bool is_shadow;
        if (!entity.len || snapshot_entity(b->s, document_entity(entity, &is_shadow)))
            continue;
        struct document_status *status = add_status(b->s, entity);
        status->fate = FATE_REFUSED;
        fault_set(&status->why, FAULT_TRUST, "%s",
                  b->s->charter ? "the charter does not name this entity"
                                : "there is no charter in force");
    }
}

/* ---- what may be reached ---- */

static void list_applications(struct snapshot *s)
{
    uint32_t room = 0;
    for (uint32_t i = 0; i < s->bundle_count; i++)
        room += s->bundles[i]->bundle->application_count;
    s->applications = arena_array(&s->arena, const struct application *, room);
    for (uint32_t i = 0; i < s->bundle_count; i++) {
        const struct bundle *bundle = s->bundles[i]->bundle;
        for (uint32_t k = 0; k < bundle->application_count; k++)
            if (map_get(&s->hosts, bundle->applications[k].host) == &bundle->applications[k])
                s->applications[s->application_count++] = &bundle->applications[k];
    }
}

/* Hosts of entities that lost their bundle with the charter: whoever asks is told, rather than that
 * there never was such a host. Where the entity has a bundle, that one says which hosts there are.
 */
static void remember_withdrawn(struct build *b)
{
    size_t at = 0;
    const struct map_entry *entry;
    for (uint32_t i = 0; b->last && i < b->last->bundle_count; i++) {
        const struct bundle *bundle = b->last->bundles[i]->bundle;
        if (map_get(&b->s->entities, bundle->entity))
            continue;
        for (uint32_t k = 0; k < bundle->application_count; k++)
            withdraw(b->s, bundle->applications[k].host, bundle->entity, REASON_NOT_DELEGATED);
    }
    while (b->last && (entry = map_next(&b->last->withdrawn, &at))) {
        const struct withdrawn *w = entry->value;
        if (!map_get(&b->s->entities, w->entity))
            withdraw(b->s, w->host, w->entity, w->why);
    }
}

/* ---- the door ---- */

static void gather_serials(struct build *b)
{
    if (b->input->known)
        serials_copy(&b->seen, b->input->known);
    struct fault ignored; /* past the limit of serials: judged by what the caller knows */
    bool all = !b->last || snapshot_serials(b->last, &b->seen, &ignored);
    (void)all;
}

struct snapshot *snapshot_build(const struct snapshot_input *input)
{
    struct snapshot *s = mem_new(struct snapshot);
    struct build b = {.input = input, .last = input->last, .s = s};
    s->references = 1;
    s->number = input->last ? input->last->number + 1 : 1;
    s->made_at = input->now;
    arena_init(&s->arena, NULL);
    map_init(&s->hosts);
    map_init(&s->entities);
    map_init(&s->shadow_of);
    map_init(&s->withdrawn);
    gather_serials(&b);
    uint32_t room = 1 + input->document_count +
                    (input->last ? input->last->bundle_count + input->last->shadow_count : 0);
    s->status = arena_array(&s->arena, struct document_status, room);

    build_charter(&b);
    if (s->charter)
        build_bundles(&b);
    refuse_strangers(&b);
    list_applications(s);
    remember_withdrawn(&b);
    serials_fini(&b.seen);
    return s;
}

bool snapshot_serials(const struct snapshot *s, struct serials *out, struct fault *f)
{
    const struct charter_ref *c = s->charter;
    if (c && !serials_note(out, SLICE(""), c->charter->serial, c->sealed.payload_digest, f))
        return false;
    for (uint32_t i = 0; i < s->bundle_count; i++) {
        const struct bundle_ref *r = s->bundles[i];
        if (!serials_note(out, r->bundle->name, r->bundle->serial, r->sealed.payload_digest, f))
            return false;
    }
    for (uint32_t i = 0; i < s->shadow_count; i++) {
        const struct bundle_ref *r = s->shadows[i];
        if (!serials_note(out, r->bundle->name, r->bundle->serial, r->sealed.payload_digest, f))
            return false;
    }
    return true;
}

int64_t snapshot_end(const struct snapshot *s, const struct bundle *b)
{
    return b->not_after_s + s->grace_s;
}

const struct bundle *snapshot_bundle(const struct snapshot *s, struct slice entity)
{
    const struct bundle_ref *r = map_get(&s->entities, entity);
    return r ? r->bundle : NULL;
}

/* A trial ends when the bundle in force has its serial or a higher one: the store can't bring back
 * what was tried before. */
const struct bundle *snapshot_shadow(const struct snapshot *s, struct slice entity)
{
    const struct bundle_ref *r = map_get(&s->shadow_of, entity);
    const struct bundle *in_force = snapshot_bundle(s, entity);
    return r && in_force && r->bundle->serial > in_force->serial ? r->bundle : NULL;
}

const struct charter_entity *snapshot_entity(const struct snapshot *s, struct slice entity)
{
    return s->charter ? charter_entity(s->charter->charter, entity) : NULL;
}

const struct application *snapshot_route(const struct snapshot *s, struct slice host,
                                         struct wall now, enum reason *why)
{
    const struct application *app = map_get(&s->hosts, host);
    if (!app) {
        const struct withdrawn *w = map_get(&s->withdrawn, host);
        *why = w ? w->why : REASON_HOST_UNKNOWN;
        return NULL;
    }
    const struct bundle *bundle = snapshot_bundle(s, app->entity);
    if (!bundle || now.s > s->not_after_s || now.s > snapshot_end(s, bundle)) {
        *why = REASON_POLICY_EXPIRED;
        return NULL;
    }
    *why = REASON_PERMITTED;
    return app;
}
