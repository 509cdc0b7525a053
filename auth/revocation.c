// SPDX-License-Identifier: EUPL-1.2
/* The bytes first, then the table. */
#include "auth/revocation.h"

#include "auth/attempt.h"
#include "auth/session.h"
#include "base/arena.h"
#include "base/codec.h"
#include "base/hash.h"
#include "base/jtree.h"
#include "base/mem.h"
#include "base/secret.h"
#include "belfry/facts.h"

/* Gateways' clocks differ by a minute at most (NTP keeps them within a second), and between what
 * the provider said and the session lies the hand-over. */
#define NEARLY_AT_ONCE_S (60 + HANDOVER_LIFE_S)

static const char *const kinds[REVOKED_KIND_COUNT] = {
    [REVOKED_DEVICE] = "device",       [REVOKED_SESSION] = "session",
    [REVOKED_USER] = "user",           [REVOKED_TOKEN] = "token",
    [REVOKED_AUTHORITY] = "authority", [REVOKED_SIGN_IN] = "sign-in",
    [REVOKED_SESSIONS] = "sessions",
};

const char *revoked_kind_name(enum revoked_kind k)
{
    return kinds[k];
}

bool revoked_kind_parse(struct slice name, enum revoked_kind *out)
{
    for (int i = 0; i < REVOKED_KIND_COUNT; i++) {
        if (slice_eq(name, slice_of(kinds[i]))) {
            *out = (enum revoked_kind)i;
            return true;
        }
    }
    return false;
}

/* ---- an entry's bytes ---- */

static void put_u64(uint8_t out[8], uint64_t n)
{
    for (int i = 7; i >= 0; i--, n >>= 8)
        out[i] = (uint8_t)n;
}

static uint64_t get_u64(const uint8_t *at)
{
    uint64_t n = 0;
    for (int i = 0; i < 8; i++)
        n = n << 8 | at[i];
    return n;
}

static bool entry_mac(const struct keyring *k, struct slice entity, uint64_t n,
                      const uint8_t previous[32], struct slice sealed, uint8_t mac[32])
{
    uint8_t number[8];
    uint8_t digest[SHA256_BYTES];
    put_u64(number, n);
    const struct slice parts[] = {SLICE("belfry-revoked-entry/v1"), entity,
                                  slice_from(number, sizeof number), slice_from(previous, 32),
                                  sealed};
    sha256_parts(digest, parts, sizeof parts / sizeof *parts);
    return vault_mac(k, VAULT_REVOKED, slice_from(digest, sizeof digest), mac);
}

static json_t *text(struct slice s)
{
    return json_stringn(s.len ? s.ptr : "", s.len);
}

static char *entry_print(const struct revoked_entry *e)
{
    json_t *tree = json_pack("{ss so sI sI so so}", "kind", kinds[e->kind], "subject",
                             text(e->subject), "at", (json_int_t)e->at.s, "until",
                             (json_int_t)e->until.s, "by", text(e->by), "reason", text(e->reason));
    char *line = tree ? json_dumps(tree, JSON_COMPACT) : NULL;
    json_decref(tree);
    return line;
}

static bool entry_is_fit(const struct revoked_entry *e)
{
    return e->n && e->subject.len && e->subject.len <= REVOKED_SUBJECT_MAX &&
           e->reason.len <= REVOKED_REASON_MAX && e->by.len <= REVOKED_BY_MAX && e->at.s >= 0 &&
           e->until.s >= 0 && e->until.s - e->at.s <= REVOKED_LIFE_MAX_S;
}

bool revoked_entry_seal(const struct keyring *k, struct slice entity, const struct revoked_entry *e,
                        const uint8_t previous[32], struct wall now, struct buf *out,
                        uint8_t mac[32])
{
    char name[VAULT_NAME_ROOM];
    struct buf sealed;
    char *line = entry_is_fit(e) ? entry_print(e) : NULL;
    buf_init(&sealed, REVOKED_ENTRY_MAX_BYTES - 32);
    const bool is_sealed =
        line && vault_name(k, VAULT_REVOKED, entity, SLICE("list"), name) &&
        vault_seal(k, VAULT_REVOKED, slice_of(name), slice_of(line), now, &sealed) &&
        entry_mac(k, entity, e->n, previous, buf_slice(&sealed), mac) &&
        buf_add(out, slice_from(mac, 32)) && buf_add(out, buf_slice(&sealed));
    buf_fini(&sealed);
    free(line);
    return is_sealed;
}

static bool entry_parse(struct slice line, struct arena *a, struct revoked_entry *out)
{
    json_t *tree = jtree_parse(line);
    struct slice kind, subject, by, reason;
    const bool is_read =
        tree && jtree_string(tree, "kind", &kind) && revoked_kind_parse(kind, &out->kind) &&
        jtree_string(tree, "subject", &subject) && jtree_string(tree, "by", &by) &&
        jtree_string(tree, "reason", &reason) && jtree_date(tree, "at", &out->at.s) &&
        jtree_date(tree, "until", &out->until.s);
    if (is_read) {
        out->subject = arena_copy(a, subject);
        out->by = arena_copy(a, by);
        out->reason = arena_copy(a, reason);
    }
    json_decref(tree);
    return is_read && entry_is_fit(out);
}

bool revoked_entry_open(const struct keyring *k, struct slice entity, uint64_t n,
                        const uint8_t previous[32], struct slice bytes, struct arena *arena,
                        struct revoked_entry *out, uint8_t mac[32])
{
    char name[VAULT_NAME_ROOM];
    uint8_t wanted[32];
    struct buf plain;
    const struct slice sealed = slice_skip(bytes, 32);
    if (bytes.len < 32 || bytes.len > REVOKED_ENTRY_MAX_BYTES ||
        !entry_mac(k, entity, n, previous, sealed, wanted) || !secret_eq(wanted, bytes.ptr, 32) ||
        !vault_name(k, VAULT_REVOKED, entity, SLICE("list"), name))
        return false;
    buf_init(&plain, REVOKED_ENTRY_MAX_BYTES);
    *out = (struct revoked_entry){.n = n};
    const bool is_open = vault_open(k, VAULT_REVOKED, slice_of(name), sealed, &plain) &&
                         entry_parse(buf_slice(&plain), arena, out);
    buf_fini(&plain);
    memcpy(mac, wanted, 32);
    return is_open;
}

/* ---- a head's bytes: MAC, version, first, last, before_first, end, at ---- */

#define HEAD_VERSION 1
#define HEAD_BYTES (1 + 8 + 8 + 32 + 32 + 8)

static bool head_mac(const struct keyring *k, struct slice entity, struct slice body,
                     uint8_t mac[32])
{
    uint8_t digest[SHA256_BYTES];
    const struct slice parts[] = {SLICE("belfry-revoked-head/v1"), entity, body};
    sha256_parts(digest, parts, sizeof parts / sizeof *parts);
    return vault_mac(k, VAULT_REVOKED, slice_from(digest, sizeof digest), mac);
}

bool revoked_head_seal(const struct keyring *k, struct slice entity, const struct revoked_head *h,
                       struct buf *out)
{
    uint8_t bytes[32 + HEAD_BYTES];
    uint8_t *at = bytes + 32;
    at[0] = HEAD_VERSION;
    put_u64(at + 1, h->first);
    put_u64(at + 9, h->last);
    memcpy(at + 17, h->before_first, 32);
    memcpy(at + 49, h->end, 32);
    put_u64(at + 81, (uint64_t)h->at.s);
    return head_mac(k, entity, slice_from(at, HEAD_BYTES), bytes) &&
           buf_add(out, slice_from(bytes, sizeof bytes));
}

bool revoked_head_open(const struct keyring *k, struct slice entity, struct slice bytes,
                       struct revoked_head *out)
{
    uint8_t mac[32];
    const struct slice body = slice_skip(bytes, 32);
    if (bytes.len != 32 + HEAD_BYTES || !head_mac(k, entity, body, mac) ||
        !secret_eq(mac, bytes.ptr, 32) || body.ptr[0] != HEAD_VERSION)
        return false;
    const uint8_t *at = (const uint8_t *)body.ptr;
    const uint64_t seen = get_u64(at + 81);
    *out = (struct revoked_head){
        .first = get_u64(at + 1), .last = get_u64(at + 9), .at = {(int64_t)(seen & INT64_MAX)}};
    memcpy(out->before_first, at + 17, 32);
    memcpy(out->end, at + 49, 32);
    return out->first && out->first <= out->last + 1 && out->last < INT64_MAX;
}

/* ---- the table ---- */

struct revoked_list {
    _Atomic uint32_t references;
    struct slice entity;
    uint64_t reach;                    /* number of the last entry that nobody has told of */
    struct map at[REVOKED_KIND_COUNT]; /* subject → struct revoked_entry */
    struct arena arena;
};

struct revoked_list *revoked_list_new(struct slice entity)
{
    struct revoked_list *l = mem_new(struct revoked_list);
    l->references = 1;
    arena_init(&l->arena, NULL);
    l->entity = arena_copy(&l->arena, entity);
    for (int i = 0; i < REVOKED_KIND_COUNT; i++)
        map_init(&l->at[i]);
    return l;
}

bool revoked_is_told(const struct revoked_entry *e)
{
    return e->kind == REVOKED_SESSION && slice_eq(e->by, SLICE(REVOKED_BY_GATEWAY)) &&
           slice_eq(e->reason, SLICE(REVOKED_SIGNED_OUT));
}

void revoked_list_add(struct revoked_list *l, const struct revoked_entry *e)
{
    struct revoked_entry *own = map_get(&l->at[e->kind], e->subject);
    const struct slice subject = own ? own->subject : arena_copy(&l->arena, e->subject);
    if (!own) {
        own = arena_new(&l->arena, struct revoked_entry);
        (void)map_set(&l->at[e->kind], subject, own);
    }
    *own = *e;
    own->subject = subject;
    own->by = arena_copy(&l->arena, e->by);
    own->reason = arena_copy(&l->arena, e->reason);
    if (e->n > l->reach && !revoked_is_told(e))
        l->reach = e->n;
}

uint32_t revoked_list_count(const struct revoked_list *l, struct wall now)
{
    uint32_t count = 0;
    for (int i = 0; i < REVOKED_KIND_COUNT; i++) {
        size_t walk = 0;
        for (const struct map_entry *it; (it = map_next(&l->at[i], &walk));)
            count += ((const struct revoked_entry *)it->value)->until.s > now.s;
    }
    return count;
}

const struct revoked_entry *revoked_list_find(const struct revoked_list *l, enum revoked_kind kind,
                                              struct slice subject, struct wall now)
{
    const struct map *m = &l->at[kind];
    const struct revoked_entry *e = m->count ? map_get(m, subject) : NULL;
    return e && e->until.s > now.s ? e : NULL;
}

struct revoked_list *revoked_list_ref(struct revoked_list *l)
{
    atomic_fetch_add_explicit(&l->references, 1, memory_order_relaxed);
    return l;
}

void revoked_list_unref(struct revoked_list *l)
{
    if (!l || atomic_fetch_sub_explicit(&l->references, 1, memory_order_acq_rel) != 1)
        return;
    for (int i = 0; i < REVOKED_KIND_COUNT; i++)
        map_fini(&l->at[i]);
    arena_fini(&l->arena);
    mem_free(l);
}

struct revocations *revocations_new(uint64_t number)
{
    struct revocations *t = mem_new(struct revocations);
    t->references = 1;
    t->number = number;
    map_init(&t->lists);
    map_init(&t->unknown);
    return t;
}

void revocations_add(struct revocations *t, struct revoked_list *take, bool is_unknown)
{
    revoked_list_unref(map_set(&t->lists, take->entity, take));
    if (is_unknown)
        (void)map_set(&t->unknown, take->entity, take);
}

struct revocations *revocations_ref(struct revocations *t)
{
    atomic_fetch_add_explicit(&t->references, 1, memory_order_relaxed);
    return t;
}

void revocations_unref(struct revocations *t)
{
    size_t walk = 0;
    if (!t || atomic_fetch_sub_explicit(&t->references, 1, memory_order_acq_rel) != 1)
        return;
    for (const struct map_entry *it; (it = map_next(&t->lists, &walk));)
        revoked_list_unref(it->value);
    map_fini(&t->lists);
    map_fini(&t->unknown);
    mem_free(t);
}

static const struct revoked_list *list_of(const struct revocations *t, struct slice entity)
{
    return t && t->lists.count ? map_get(&t->lists, entity) : NULL;
}

/* What began until `at` is over; what begins later is not. */
static bool ends_what_began(const struct revoked_entry *e, struct wall began)
{
    return e && began.s <= e->at.s;
}

static const struct revoked_entry *
entry_of_certificate(const struct revoked_list *l, const struct facts_device *d, struct wall now)
{
    char name[7 + 64] = "sha256:";
    if (!l->at[REVOKED_DEVICE].count || d->certificate.len != 64)
        return NULL;
    memcpy(name + 7, d->certificate.ptr, 64);
    return revoked_list_find(l, REVOKED_DEVICE, slice_from(name, sizeof name), now);
}

static const struct revoked_entry *entry_of_device(const struct revoked_list *l,
                                                   const struct facts_device *d, struct wall now)
{
    const struct revoked_entry *e = revoked_list_find(l, REVOKED_DEVICE, d->id, now);
    if (!e)
        e = revoked_list_find(l, REVOKED_AUTHORITY, d->authority, now);
    return e ? e : entry_of_certificate(l, d, now);
}

bool revocations_device(const struct revocations *t, struct slice entity,
                        const struct facts_device *device, struct wall now)
{
    const struct revoked_list *l = list_of(t, entity);
    return l && entry_of_device(l, device, now);
}

/* "PROVIDER:ID" without a byte allocated; false where it is longer than any entry's subject. */
static bool join(char room[REVOKED_SUBJECT_MAX], struct slice provider, struct slice id,
                 struct slice prefix, struct slice *out)
{
    const struct slice parts[] = {prefix, provider, SLICE(":"), id};
    size_t len = 0;
    if (!id.len || prefix.len + provider.len + id.len + 1 > REVOKED_SUBJECT_MAX)
        return false;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        memcpy(room + len, parts[i].ptr, parts[i].len);
        len += parts[i].len;
    }
    *out = slice_from(room, len);
    return true;
}

/* An end within the second of a new sign-in, or by a gateway whose clock differs: what the sign-in
 * knew of the list is of after it. Farther apart the clocks say it, so that numbers of a list that
 * was begun anew keep nothing old alive. */
static bool ends_session(const struct revoked_entry *e, const struct session *s)
{
    if (!e)
        return false;
    const int64_t later_s = s->created.s - e->at.s;
    if (later_s < -NEARLY_AT_ONCE_S || later_s > NEARLY_AT_ONCE_S)
        return later_s < 0;
    return e->n > s->revoked_until;
}

static const struct revoked_entry *if_it_ends(const struct revoked_entry *e,
                                              const struct session *s)
{
    return ends_session(e, s) ? e : NULL;
}

static const struct revoked_entry *entry_of_session(const struct revoked_list *l,
                                                    const struct session *s, struct wall now)
{
    char room[REVOKED_SUBJECT_MAX];
    struct slice sign_in;
    const struct revoked_entry *e = revoked_list_find(l, REVOKED_SESSION, s->handle, now);
    if (!e)
        e = if_it_ends(revoked_list_find(l, REVOKED_USER, s->user.id, now), s);
    if (!e)
        e = if_it_ends(revoked_list_find(l, REVOKED_SESSIONS, s->user.id, now), s);
    if (!e && l->at[REVOKED_SIGN_IN].count &&
        join(room, s->user.provider, s->identity->session, SLICE(""), &sign_in))
        e = if_it_ends(revoked_list_find(l, REVOKED_SIGN_IN, sign_in, now), s);
    return e;
}

bool revocations_session(const struct revocations *t, const struct session *s, struct wall now)
{
    const struct revoked_list *l = list_of(t, s->entity);
    return l && entry_of_session(l, s, now);
}

const struct revoked_entry *revocations_end_of(const struct revocations *t, const struct session *s,
                                               struct wall now)
{
    const struct revoked_list *l = list_of(t, s->entity);
    const struct revoked_entry *e = l ? entry_of_session(l, s, now) : NULL;
    struct slice rest = s->device; /* AUTHORITY:NAME */
    char hex[64];
    if (!l || e || s->is_unbound)
        return e;
    hex_encode(hex, s->certificate, sizeof s->certificate);
    const struct facts_device device = {.id = s->device,
                                        .authority = slice_cut(&rest, ':'),
                                        .certificate = slice_from(hex, sizeof hex)};
    return entry_of_device(l, &device, now);
}

uint64_t revocations_reach(const struct revocations *t)
{
    uint64_t reach = 0;
    size_t walk = 0;
    for (const struct map_entry *it; (it = map_next(&t->lists, &walk));)
        reach += ((const struct revoked_list *)it->value)->reach;
    return reach;
}

bool revocations_has_tokens(const struct revocations *t, struct slice entity)
{
    const struct revoked_list *l = list_of(t, entity);
    return l && (l->at[REVOKED_USER].count || l->at[REVOKED_TOKEN].count);
}

bool revocations_token(const struct revocations *t, struct slice entity,
                       const struct revocable_token *token, struct wall now)
{
    const struct revoked_list *l = list_of(t, entity);
    char room[REVOKED_SUBJECT_MAX];
    char name[7 + 64] = "sha256:";
    struct slice jti;
    if (!l)
        return false;
    if (ends_what_began(revoked_list_find(l, REVOKED_USER, token->user, now), token->issued_at))
        return true;
    if (!l->at[REVOKED_TOKEN].count)
        return false;
    hex_encode(name + 7, token->digest, 32);
    return revoked_list_find(l, REVOKED_TOKEN, slice_from(name, sizeof name), now) ||
           (join(room, token->provider, token->jti, SLICE("jti:"), &jti) &&
            revoked_list_find(l, REVOKED_TOKEN, jti, now));
}

bool revocations_unknown(const struct revocations *t, struct slice entity)
{
    return t && t->unknown.count && map_get(&t->unknown, entity);
}
