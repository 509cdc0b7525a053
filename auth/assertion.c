// SPDX-License-Identifier: EUPL-1.2
/* Makes assertions, and makes as few as it may. An entry holds all that its assertion states and
 * the key that signed it, and is found only where every bit of that is the same: nothing is taken
 * from a digest or a pointer. This is on the way of every request, so a hit costs some comparisons
 * and no more. */
#include "auth/assertion.h"

#include "base/codec.h"
#include "base/escape.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <stdio.h>

#define SIGNATURE_BYTES 64
#define SLOTS 4096 /* a power of two */

/* Every input of claims_make() below but the times. */
struct inputs {
    uint8_t certificate[32]; /* of the device or service; zero: none */
    bool has_user;
    bool has_device;
    bool has_service;
    struct slice user; /* its statement: another token of the same person says the same */
    struct slice entity;
    struct slice app;
    struct slice host;
    struct slice device;
    struct slice trust;
    struct slice service;
    struct slice kid;
};

struct assertion {
    struct link used; /* in the cache's list, the one used last at the end */
    struct assertion *next_in_slot;
    uint64_t slot;
    struct inputs inputs; /* its texts lie in `names` */
    char *names;
    int64_t made_s;
    int64_t expires_s;
    struct slice text;
};

struct assertion_cache {
    struct metrics *metrics;
    struct link used;
    uint32_t count;
    struct assertion *slots[SLOTS];
};

struct assertion_cache *assertion_cache_new(struct metrics *m)
{
    struct assertion_cache *c = mem_new(struct assertion_cache);
    c->metrics = m;
    list_init(&c->used);
    return c;
}

static void cache_drop(struct assertion_cache *c, struct assertion *a)
{
    struct assertion **at = &c->slots[a->slot];
    while (*at != a)
        at = &(*at)->next_in_slot;
    *at = a->next_in_slot;
    link_remove(&a->used);
    c->count--;
    mem_slice_free(&a->text);
    mem_free(a->names);
    mem_free(a);
}

void assertion_cache_free(struct assertion_cache *c)
{
    if (!c)
        return;
    while (!list_is_empty(&c->used))
        cache_drop(c, container_of(c->used.next, struct assertion, used));
    mem_free(c);
}

static void inputs_of(struct inputs *out, const struct keyring_signer *signer,
                      const struct facts *facts, const struct assertion_user *who)
{
    *out = (struct inputs){.has_user = facts->user != NULL,
                           .user = facts->user ? who->statement : (struct slice){0},
                           .has_device = facts->device != NULL,
                           .has_service = facts->service != NULL,
                           .entity = facts->app->entity,
                           .app = facts->app->id,
                           .host = facts->app->host,
                           .kid = signer->kid};
    if (facts->device) {
        memcpy(out->certificate, facts->device->digest, sizeof out->certificate);
        out->device = facts->device->id;
        out->trust = facts->device->trust;
    }
    if (facts->service)
        out->service = facts->service->id;
}

static bool inputs_are(const struct inputs *a, const struct inputs *b)
{
    return a->has_user == b->has_user && a->has_device == b->has_device &&
           a->has_service == b->has_service && slice_eq(a->user, b->user) &&
           memcmp(a->certificate, b->certificate, sizeof a->certificate) == 0 &&
           slice_eq(a->app, b->app) && slice_eq(a->entity, b->entity) &&
           slice_eq(a->host, b->host) && slice_eq(a->device, b->device) &&
           slice_eq(a->trust, b->trust) && slice_eq(a->service, b->service) &&
           slice_eq(a->kid, b->kid);
}

/* One block for all texts: an arena's chunk would be forty times their size. */
static void inputs_keep(struct assertion *a, const struct inputs *in)
{
    struct slice *texts[] = {&a->inputs.user,    &a->inputs.entity, &a->inputs.app,
                             &a->inputs.host,    &a->inputs.device, &a->inputs.trust,
                             &a->inputs.service, &a->inputs.kid};
    const size_t count = sizeof texts / sizeof *texts;
    size_t total = 0;
    char *at;
    a->inputs = *in;
    for (size_t i = 0; i < count; i++)
        total += texts[i]->len;
    at = a->names = mem_grow(NULL, total + 1, 1);
    for (size_t i = 0; i < count; i++) {
        if (texts[i]->len)
            memcpy(at, texts[i]->ptr, texts[i]->len);
        texts[i]->ptr = at;
        at += texts[i]->len;
    }
}

/* Only where to look: entries of one person and device share a slot, whatever the application. */
static uint64_t slot_of(const struct inputs *in, const struct assertion_user *who)
{
    uint64_t device;
    memcpy(&device, in->certificate, sizeof device);
    const uint64_t parts[] = {who ? who->statement_hash : 0, device};
    return table_hash(slice_from(parts, sizeof parts)) & (SLOTS - 1);
}

/* The moment at which the first of the credentials ends. */
static int64_t limit_of(const struct facts *facts, const struct assertion_user *who)
{
    int64_t limit_s = facts->now.s + ASSERTION_LIFE_S;
    if (who) {
        // Within the leeway that was given to clocks, the leeway's end is the token's.
        const int64_t exp = who->expires.s;
        const int64_t end = exp > facts->now.s ? exp : who->good_until.s;
        limit_s = end < limit_s ? end : limit_s;
    }
    if (facts->device && facts->device->not_after.s < limit_s)
        limit_s = facts->device->not_after.s;
    return limit_s;
}

bool assertion_user_of(struct assertion_user *out, const struct token *token,
                       const struct session *session)
{
    if (token)
        *out = (struct assertion_user){token_statement(token), token_statement_hash(token),
                                       token_user(token)->expires, token_good_until(token)};
    else if (session)
        *out = (struct assertion_user){session->statement, session->statement_hash,
                                       session->user.expires, session->ends};
    return token || session;
}

/* Making one */

/* The payload on its way into memory that has room for all of it. */
struct writer {
    char *at;
    bool is_text; /* all of it was UTF-8: what is not would have to be told as something else */
};

static void say(struct writer *w, const char *syntax)
{
    const size_t len = strlen(syntax);
    memcpy(w->at, syntax, len);
    w->at += len;
}

static void say_text(struct writer *w, const char *syntax, struct slice text)
{
    say(w, syntax);
    w->is_text = w->is_text && utf8_is(text);
    *w->at++ = '"';
    w->at = escape_json(w->at, text);
    *w->at++ = '"';
}

static void say_number(struct writer *w, const char *syntax, int64_t n)
{
    char digits[24];
    say(w, syntax);
    (void)snprintf(digits, sizeof digits, "%" PRId64, n);
    say(w, digits);
}

static void say_list(struct writer *w, const char *syntax, struct slices list)
{
    say(w, syntax);
    say(w, "[");
    for (uint32_t i = 0; i < list.count; i++)
        say_text(w, i ? "," : "", list.at[i]);
    say(w, "]");
}

static void say_user(struct writer *w, const struct facts_user *user)
{
    say_text(w, ",\"sub\":", user->subject);
    say_text(w, ",\"provider\":", user->provider);
    say_list(w, ",\"groups\":", user->groups);
    if (user->acr.len)
        say_text(w, ",\"acr\":", user->acr);
    say_number(w, ",\"acr_level\":", user->acr_level);
    if (user->amr.count)
        say_list(w, ",\"amr\":", user->amr);
    if (user->authenticated_at.s)
        say_number(w, ",\"auth_time\":", user->authenticated_at.s);
}

#define SYNTAX_MAX_BYTES 512 /* all names and numbers, and the marks around single texts */

/* Each letter may become six; of a list two quotes and a comma a text. */
static size_t list_room(struct slices list)
{
    size_t room = 0;
    for (uint32_t i = 0; i < list.count; i++)
        room += 6 * list.at[i].len + 3;
    return room;
}

static size_t payload_room(const struct facts *facts)
{
    size_t letters = facts->app->host.len + facts->app->id.len + facts->app->entity.len;
    size_t room = SYNTAX_MAX_BYTES;
    if (facts->user) {
        letters += facts->user->subject.len + facts->user->provider.len + facts->user->acr.len;
        room += list_room(facts->user->groups) + list_room(facts->user->amr);
    }
    if (facts->device)
        letters += facts->device->id.len + facts->device->trust.len;
    if (facts->service)
        letters += facts->service->id.len;
    return room + 6 * letters;
}

/* The caller's, to be freed with mem_slice_free; empty where a fact is no text. */
static struct slice claims_make(const struct facts *facts, int64_t expires_s)
{
    char *text = mem_grow(NULL, payload_room(facts), 1);
    struct writer w = {text, utf8_is(facts->app->host)};
    say(&w, "{\"iss\":\"https://");
    w.at = escape_json(w.at, facts->app->host);
    say_number(&w, "\",\"iat\":", facts->now.s);
    say_number(&w, ",\"exp\":", expires_s);
    say_text(&w, ",\"aud\":", facts->app->id);
    say_text(&w, ",\"entity\":", facts->app->entity);
    if (facts->user)
        say_user(&w, facts->user);
    if (facts->device) {
        say_text(&w, ",\"device\":{\"id\":", facts->device->id);
        say_text(&w, ",\"trust\":", facts->device->trust);
        say(&w, "}");
    }
    if (facts->service)
        say_text(&w, ",\"service\":", facts->service->id);
    say(&w, "}");
    if (w.is_text)
        return slice_from(text, (size_t)(w.at - text));
    mem_free(text);
    return (struct slice){NULL, 0};
}

/* RFC 7515 §7.1. Empty where it can't be signed; the caller frees with mem_slice_free. */
static struct slice jws_make(const struct keyring_signer *signer, struct slice payload)
{
    char header[160];
    uint8_t signature[SIGNATURE_BYTES];
    const int header_len =
        snprintf(header, sizeof header, "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"%.*s\"}",
                 SLICE_ARG(signer->kid));
    if (header_len < 0 || (size_t)header_len >= sizeof header)
        return (struct slice){NULL, 0};
    char *text = mem_array(char, BASE64URL_LEN((size_t)header_len) + BASE64URL_LEN(payload.len) +
                                     BASE64URL_LEN(SIGNATURE_BYTES) + 3);
    size_t len = base64url_encode(text, header, (size_t)header_len);
    text[len++] = '.';
    len += base64url_encode(text + len, payload.ptr, payload.len);
    if (!signature_make(&signer->key, slice_from(text, len), signature, NULL)) {
        mem_free(text);
        return (struct slice){NULL, 0};
    }
    text[len++] = '.';
    len += base64url_encode(text + len, signature, sizeof signature);
    return slice_from(text, len);
}

static struct slice assertion_make(struct assertion_cache *c, const struct keyring_signer *signer,
                                   const struct facts *facts, int64_t expires_s)
{
    struct slice payload = claims_make(facts, expires_s);
    struct slice text = {NULL, 0};
    if (payload.len)
        text = jws_make(signer, payload);
    if (text.len)
        metric_add(c->metrics, METRIC_ASSERTIONS_SIGNED_TOTAL, 1);
    mem_slice_free(&payload);
    return text;
}

/* To be made anew, whoever asks: half its life is over, or the clock was set back. */
static bool is_too_old(const struct assertion *a, int64_t now_s)
{
    const int64_t age_s = now_s - a->made_s;
    return age_s < 0 || age_s >= ASSERTION_LIFE_S / 2 || a->expires_s <= now_s;
}

/* It must not outlive the credentials of this very request. Nor may it end long before them, as one
 * does that was made for a token of the same person that is about to end. */
static bool is_good_for(const struct assertion *a, int64_t now_s, int64_t limit_s)
{
    return !is_too_old(a, now_s) && a->expires_s <= limit_s &&
           (a->expires_s == limit_s || a->expires_s - now_s >= ASSERTION_LIFE_S / 2);
}

struct slice assertion_for(struct assertion_cache *c, const struct keyring *k,
                           const struct facts *facts, const struct assertion_user *who)
{
    const struct slice none = {"", 0};
    const int64_t limit_s = limit_of(facts, who);
    const struct keyring_signer *signer = keyring_signer(k, facts->app->entity, facts->now);
    struct inputs in;
    if (!signer || limit_s <= facts->now.s)
        return none;
    inputs_of(&in, signer, facts, who);
    const uint64_t slot = slot_of(&in, who);
    struct assertion *a = c->slots[slot];
    while (a) {
        struct assertion *next = a->next_in_slot;
        if (inputs_are(&a->inputs, &in)) {
            if (is_good_for(a, facts->now.s, limit_s)) {
                link_remove(&a->used);
                list_push(&c->used, &a->used);
                return a->text;
            }
            if (is_too_old(a, facts->now.s))
                cache_drop(c, a);
        }
        a = next;
    }
    const struct slice text = assertion_make(c, signer, facts, limit_s);
    if (!text.len)
        return none;
    if (c->count >= ASSERTION_CACHE_ENTRIES)
        cache_drop(c, container_of(c->used.next, struct assertion, used));
    a = mem_new(struct assertion);
    inputs_keep(a, &in);
    a->made_s = facts->now.s;
    a->expires_s = limit_s;
    a->text = text;
    a->slot = slot;
    a->next_in_slot = c->slots[slot];
    c->slots[slot] = a;
    c->count++;
    list_push(&c->used, &a->used);
    return a->text;
}
