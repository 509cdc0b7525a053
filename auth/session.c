// SPDX-License-Identifier: EUPL-1.2
/* A session's record is three lines: what it is, what we know (JSON), what the provider said
 * (auth/identity.h). It comes back through jtree, with every field there and in its bounds: that it
 * was sealed by a key of ours says who wrote it, not that this version did. */
#include "auth/session.h"

#include "auth/statement.h"
#include "base/codec.h"
#include "base/hash.h"
#include "base/jtree.h"
#include "base/mem.h"
#include "base/secret.h"

#define MARK "belfry-session/1"
#define REFRESHES_MAX 1000 /* that are counted */

/* ---- names ---- */

bool session_id_is_valid(struct slice id)
{
    uint8_t bytes[SESSION_ID_CHARS];
    size_t len = 0;
    const bool is_valid =
        id.len == SESSION_ID_CHARS && base64url_decode(bytes, &len, id) && len == SESSION_ID_BYTES;
    wipe(bytes, sizeof bytes);
    return is_valid;
}

bool session_name(const struct keyring *k, struct slice entity, struct slice id,
                  char out[VAULT_NAME_ROOM])
{
    return session_id_is_valid(id) && vault_name(k, VAULT_SESSION, entity, id, out);
}

/* ---- making ---- */

static struct session *session_empty(void)
{
    struct session *s = mem_new(struct session);
    s->references = 1;
    arena_init(&s->arena, NULL);
    return s;
}

/* What follows from the rest. */
static void session_settle(struct session *s, const struct keyring *k)
{
    identity_user(&s->user, &s->arena, s->identity, s->entity,
                  k ? keyring_audit_key(k, s->entity) : SLICE(""));
    s->user.expires = s->ends;
    s->facts = (struct facts_session){.began = s->created,
                                      .authenticated_at = s->identity->authenticated_at,
                                      .methods = s->user.amr};
    user_statement(&s->arena, &s->user, &s->statement, &s->statement_hash);
}

/* By its text: what is copied so lies in one arena, and only what identity_print knows is kept. */
struct identity *session_identity_copy(struct arena *a, const struct identity *from)
{
    struct identity *copy = arena_new(a, struct identity);
    struct buf text;
    buf_init(&text, IDENTITY_MAX_BYTES);
    const bool is_copied = identity_print(from, &text) && identity_parse(copy, a, buf_slice(&text));
    if (text.ptr)
        wipe(text.ptr, text.room);
    buf_fini(&text);
    return is_copied ? copy : NULL;
}

struct session *session_begin(const struct session_start *start, struct slice handle,
                              const struct keyring *k, struct wall now)
{
    struct session *s = session_empty();
    struct arena *a = &s->arena;
    if (start->life_s < 1 || start->life_s > SESSION_LIFE_MAX_S ||
        start->idle_s < SESSION_IDLE_MIN_S) {
        session_unref(s);
        return NULL;
    }
    s->identity = session_identity_copy(a, start->identity);
    if (!s->identity) {
        session_unref(s);
        return NULL;
    }
    s->entity = arena_copy(a, start->entity);
    s->application = arena_copy(a, start->application);
    s->host = arena_copy(a, start->host);
    s->handle = arena_copy(a, handle);
    s->is_unbound = !start->device;
    if (start->device) {
        memcpy(s->certificate, start->device->digest, sizeof s->certificate);
        s->device = arena_copy(a, start->device->id);
    }
    s->created = s->seen = now;
    s->ends = (struct wall){now.s + start->life_s};
    s->idle_s = start->idle_s;
    s->refresh_after_s = start->refresh_after_s;
    s->refresh_grace_s = start->refresh_grace_s;
    s->language = arena_copy(a, start->language);
    s->asked_acr_level = start->asked_acr_level;
    s->asked_at = (struct wall){start->asked_acr_level ? now.s : 0};
    s->version = 1;
    session_settle(s, k);
    return s;
}

struct session *session_ref(struct session *s)
{
    atomic_fetch_add_explicit(&s->references, 1, memory_order_relaxed);
    return s;
}

/* The provider's tokens are the only secrets in it. */
static void wipe_slice(struct slice s)
{
    if (s.len)
        wipe((void *)(uintptr_t)s.ptr, s.len);
}

void session_unref(struct session *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->references, 1, memory_order_acq_rel) != 1)
        return;
    if (s->identity) {
        wipe_slice(s->identity->id_token);
        wipe_slice(s->identity->refresh_token);
    }
    arena_fini(&s->arena);
    mem_free(s);
}

/* ---- its record ---- */

static json_t *text(struct slice s)
{
    return json_stringn(s.len ? s.ptr : "", s.len);
}

bool session_print(const struct session *s, struct buf *out)
{
    char certificate[64];
    hex_encode(certificate, s->certificate, sizeof s->certificate);
    json_t *tree = json_pack(
        "{so so so so so so sI sI sI sI sI sI sI sI so sI sI sI}", "entity", text(s->entity),
        "application", text(s->application), "host", text(s->host), "handle", text(s->handle),
        "device", text(s->device), "certificate",
        s->is_unbound ? text(SLICE("")) : json_stringn(certificate, sizeof certificate), "created",
        (json_int_t)s->created.s, "revoked_until", (json_int_t)s->revoked_until, "ends",
        (json_int_t)s->ends.s, "idle", (json_int_t)s->idle_s, "seen", (json_int_t)s->seen.s,
        "refresh_after", (json_int_t)s->refresh_after_s, "refresh_grace",
        (json_int_t)s->refresh_grace_s, "refreshes_asked", (json_int_t)s->refreshes_asked,
        "language", text(s->language), "asked_acr_level", (json_int_t)s->asked_acr_level,
        "asked_at", (json_int_t)s->asked_at.s, "version", (json_int_t)s->version);
    char *line = tree ? json_dumps(tree, JSON_COMPACT) : NULL;
    json_decref(tree);
    const bool is_printed =
        line && buf_printf(out, MARK "\n%s\n", line) && identity_print(s->identity, out);
    free(line);
    return is_printed;
}

static bool take_text(struct session *s, const json_t *tree, const char *key, struct slice *out)
{
    struct slice found;
    if (!jtree_string(tree, key, &found))
        return false;
    *out = arena_copy(&s->arena, found);
    return true;
}

static bool take_certificate(struct session *s, const json_t *tree)
{
    struct slice hex;
    if (!jtree_string(tree, "certificate", &hex))
        return false;
    s->is_unbound = !hex.len;
    return s->is_unbound ? !s->device.len
                         : s->device.len && hex.len == 2 * sizeof s->certificate &&
                               hex_decode(s->certificate, hex);
}

static bool take_fields(struct session *s, const json_t *tree)
{
    int64_t version = 0, revoked_until = 0, asked = 0;
    const bool is_taken =
        take_text(s, tree, "entity", &s->entity) &&
        take_text(s, tree, "application", &s->application) &&
        take_text(s, tree, "host", &s->host) && take_text(s, tree, "handle", &s->handle) &&
        take_text(s, tree, "device", &s->device) && take_certificate(s, tree) &&
        take_text(s, tree, "language", &s->language) &&
        jtree_date(tree, "created", &s->created.s) &&
        jtree_date(tree, "revoked_until", &revoked_until) && jtree_date(tree, "ends", &s->ends.s) &&
        jtree_date(tree, "idle", &s->idle_s) && jtree_date(tree, "seen", &s->seen.s) &&
        jtree_date(tree, "refresh_after", &s->refresh_after_s) &&
        jtree_date(tree, "refresh_grace", &s->refresh_grace_s) &&
        /* not in records of versions before there was one */
        (!jtree_has(tree, "refreshes_asked") || jtree_date(tree, "refreshes_asked", &asked)) &&
        jtree_date(tree, "asked_acr_level", &s->asked_acr_level) &&
        jtree_date(tree, "asked_at", &s->asked_at.s) && jtree_date(tree, "version", &version);
    s->version = (uint64_t)version;
    s->revoked_until = (uint64_t)revoked_until;
    s->refreshes_asked = asked < REFRESHES_MAX ? (uint32_t)asked : REFRESHES_MAX;
    return is_taken && version && s->ends.s - s->created.s <= SESSION_LIFE_MAX_S;
}

struct session *session_parse(struct slice record, struct slice handle, const struct keyring *k)
{
    struct slice rest = record;
    if (!slice_eq(slice_cut(&rest, '\n'), SLICE(MARK)))
        return NULL;
    json_t *tree = jtree_parse(slice_cut(&rest, '\n'));
    struct session *s = session_empty();
    s->identity = arena_new(&s->arena, struct identity);
    if (tree && take_fields(s, tree) && slice_eq(s->handle, handle) &&
        identity_parse(s->identity, &s->arena, rest)) {
        session_settle(s, k);
    } else {
        session_unref(s);
        s = NULL;
    }
    json_decref(tree);
    return s;
}

/* ---- changing ---- */

static struct session *session_copy(const struct session *s)
{
    struct session *next = session_empty();
    struct arena *a = &next->arena;
    next->identity = session_identity_copy(a, s->identity);
    if (!next->identity) {
        session_unref(next);
        return NULL;
    }
    next->entity = arena_copy(a, s->entity);
    next->application = arena_copy(a, s->application);
    next->host = arena_copy(a, s->host);
    next->handle = arena_copy(a, s->handle);
    next->device = arena_copy(a, s->device);
    next->language = arena_copy(a, s->language);
    next->is_unbound = s->is_unbound;
    memcpy(next->certificate, s->certificate, sizeof next->certificate);
    next->created = s->created;
    next->revoked_until = s->revoked_until;
    next->ends = s->ends;
    next->idle_s = s->idle_s;
    next->seen = s->seen;
    next->refresh_after_s = s->refresh_after_s;
    next->refresh_grace_s = s->refresh_grace_s;
    next->refreshes_asked = s->refreshes_asked;
    next->asked_acr_level = s->asked_acr_level;
    next->asked_at = s->asked_at;
    next->version = s->version + 1;
    return next;
}

/* The sign-in's own: what only it brings stays where a refresh does not say it again. */
static bool take_identity(struct session *next, const struct session *s, const struct identity *is)
{
    struct identity merged = *is;
    if (!slice_eq(is->provider, s->identity->provider) ||
        !slice_eq(is->subject, s->identity->subject))
        return false;
    if (!merged.id_token.len)
        merged.id_token = s->identity->id_token;
    if (!merged.refresh_token.len)
        merged.refresh_token = s->identity->refresh_token;
    if (!merged.session.len)
        merged.session = s->identity->session;
    struct identity *copy = session_identity_copy(&next->arena, &merged);
    if (!copy)
        return false;
    wipe_slice(next->identity->id_token);
    wipe_slice(next->identity->refresh_token);
    next->identity = copy;
    next->refreshes_asked = 0;
    return true;
}

/* As before it was asked; or as before with the token that counts now. */
static bool take_back_asking(struct session *next, struct slice refresh_token)
{
    if (!refresh_token.len) {
        next->refreshes_asked -= next->refreshes_asked > 0;
        return true;
    }
    if (refresh_token.len > IDENTITY_TOKEN_MAX_BYTES)
        return false;
    wipe_slice(next->identity->refresh_token);
    next->identity->refresh_token = arena_copy(&next->arena, refresh_token);
    next->refreshes_asked = 0;
    return true;
}

static bool apply(struct session *next, const struct session *s, const struct session_changed *c)
{
    switch (c->what) {
    case SESSION_SEEN:
        if (c->at.s > next->seen.s)
            next->seen = c->at;
        return true;
    case SESSION_MOVED:
        if (s->is_unbound || !c->device || !slice_eq(c->device->id, s->device))
            return false;
        memcpy(next->certificate, c->device->digest, sizeof next->certificate);
        return true;
    case SESSION_ASKED:
        next->asked_acr_level = c->acr_level;
        next->asked_at = c->at;
        return true;
    case SESSION_SPOKEN:
        next->language = arena_copy(&next->arena, c->language);
        return true;
    case SESSION_REFRESHING:
        next->refreshes_asked += next->refreshes_asked < REFRESHES_MAX;
        return true;
    case SESSION_REFRESHED:
        return c->identity && take_identity(next, s, c->identity);
    case SESSION_NOT_REFRESHED:
        return take_back_asking(next, c->refresh_token);
    }
    return false;
}

struct session *session_with(const struct session *s, const struct session_changed *c,
                             const struct keyring *k)
{
    struct session *next = session_copy(s);
    if (!next || !apply(next, s, c)) {
        session_unref(next);
        return NULL;
    }
    session_settle(next, k);
    return next;
}

struct session *session_open(const struct keyring *k, const char *name, struct slice sealed)
{
    struct buf plain;
    struct session *s = NULL;
    buf_init(&plain, SESSION_MAX_BYTES + 1);
    if (vault_open(k, VAULT_SESSION, slice_of(name), sealed, &plain))
        s = session_parse(buf_slice(&plain),
                          slice_skip(slice_of(name), sizeof SESSION_NAME_PREFIX - 1), k);
    if (plain.ptr)
        wipe(plain.ptr, plain.room);
    buf_fini(&plain);
    return s;
}

/* ---- judging ---- */

bool session_is_over(const struct session *s, struct wall seen, struct wall now)
{
    /* Gateways' clocks differ by seconds; who was seen in the future was not seen longer ago. */
    return now.s >= session_due(s, seen).s || now.s + SESSION_IDLE_MIN_S < s->created.s;
}

struct wall session_due(const struct session *s, struct wall seen)
{
    const int64_t idle_s = (seen.s > s->seen.s ? seen.s : s->seen.s) + s->idle_s;
    return (struct wall){idle_s < s->ends.s ? idle_s : s->ends.s};
}

bool session_wants_touch(const struct session *s, struct wall now)
{
    return now.s - s->seen.s >= SESSION_SEEN_EVERY_S;
}

bool session_wants_refresh(const struct session *s, struct wall now)
{
    return s->refresh_after_s && now.s - s->identity->known_at.s >= s->refresh_after_s;
}

bool session_lost_refresh(const struct session *s)
{
    return s->refreshes_asked > 1;
}

struct wall session_known_until(const struct session *s)
{
    return (struct wall){s->identity->known_at.s + s->refresh_after_s + s->refresh_grace_s};
}

enum session_binding session_binding(const struct session *s, const struct facts_device *device,
                                     bool may_be_unbound)
{
    if (s->is_unbound)
        return may_be_unbound ? SESSION_BOUND : SESSION_ELSEWHERE;
    if (!device)
        return SESSION_ELSEWHERE;
    if (secret_eq(device->digest, s->certificate, sizeof s->certificate))
        return SESSION_BOUND;
    return slice_eq(device->id, s->device) ? SESSION_RENEWED : SESSION_ELSEWHERE;
}
