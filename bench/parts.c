// SPDX-License-Identifier: EUPL-1.2
/* What do the parts of a request cost by themselves? The head of an HTTP/1.1 request, a token that
 * is known and one that is new, an assertion that is there and one that is signed, an event into
 * the audit's ring. (A decision: decide.c.) Prints nanoseconds of CPU, the median of the rounds and
 * the spread. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "audit/record_in.h"
#include "auth/assertion.h"
#include "auth/issuers_in.h"
#include "base/buf.h"
#include "base/codec.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/secret.h"
#include "proxy/h1_head.h"

#define ROUNDS 21
#define TOKENS 256
#define NOW_S 1800000000
#define RING_BYTES (1u << 20)

static struct slice audiences[] = {SLICE_INIT("https://tax.finance.localhost")};
static struct slice types[] = {SLICE_INIT("at+jwt")};
static const uint8_t digest[32] = {1};

struct parts {
    struct provider provider;
    const struct provider *providers[1];
    struct application app;
    struct facts_device device;
    struct private_key key; /* the provider's */
    struct issuers *issuers;
    struct keyring *keyring;
    struct slice tokens[TOKENS];
    struct metrics *metrics;
    struct token_cache *known; /* the first token is in it */
    struct assertion_cache *said;
    struct audit_ring *ring;
};

/* Of this thread's CPU: others may work on the same cores. */
static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * 1000000000 + t.tv_nsec;
}

static void must(bool is_so, const char *what)
{
    if (is_so)
        return;
    fprintf(stderr, "bench_parts: %s\n", what);
    exit(1);
}

/* ---- what they need -------------------------------------------------------------------------- */

static struct slice make_token(const struct parts *p, int number)
{
    struct buf token, payload;
    struct fault fault;
    uint8_t signature[64];
    char *at;
    buf_init(&token, 4096);
    buf_init(&payload, 4096);
    const struct slice head = SLICE("{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"one\"}");
    bool ok = buf_printf(&payload,
                         "{\"iss\":\"https://idp.finance.localhost\",\"aud\":\"%s\",\"sub\":"
                         "\"somebody-%06d\",\"client_id\":\"portal\",\"iat\":%d,\"exp\":%d,"
                         "\"acr\":\"urn:be:fedict:iam:fas:Level400\",\"jti\":\"%08x\",\"groups\":"
                         "[\"staff\",\"tax-assessors\"]}",
                         audiences[0].ptr, number, NOW_S - 60, NOW_S + 3600, (unsigned)number);
    const struct slice parts[] = {head, buf_slice(&payload)};
    for (int i = 0; i < 2; i++) {
        ok &= buf_reserve(&token, BASE64URL_LEN(parts[i].len), &at);
        buf_grew(&token, base64url_encode(at, parts[i].ptr, parts[i].len));
        ok &= i || buf_add(&token, SLICE("."));
    }
    must(ok && signature_make(&p->key, buf_slice(&token), signature, &fault), "cannot sign");
    ok = buf_add(&token, SLICE(".")) && buf_reserve(&token, BASE64URL_LEN(64), &at);
    must(ok, "a token is too long");
    buf_grew(&token, base64url_encode(at, signature, sizeof(signature)));
    const struct slice out = mem_slice(buf_slice(&token));
    buf_fini(&token);
    buf_fini(&payload);
    return out;
}

static struct issuers *make_issuers(const struct parts *p)
{
    struct fault fault;
    uint8_t raw[64];
    size_t len = sizeof(raw);
    char x[BASE64URL_LEN(32)], y[BASE64URL_LEN(32)], text[512];
    must(private_key_public_raw(&p->key, raw, &len, &fault), "a key without a public half");
    base64url_encode(x, raw, 32);
    base64url_encode(y, raw + 32, 32);
    snprintf(text, sizeof(text),
             "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"one\",\"x\":\"%.*s\",\"y\":"
             "\"%.*s\"}]}",
             (int)sizeof(x), x, (int)sizeof(y), y);
    struct issuers_entry entry = {
        .set = key_set_parse(slice_of(text), p->provider.algorithms, (struct wall){NOW_S}, &fault)};
    must(entry.set, "a key set that is none");
    memcpy(entry.provider_digest, p->provider.digest, sizeof(entry.provider_digest));
    struct issuers *made = issuers_new(&entry, 1);
    key_set_unref(entry.set);
    return made;
}

/* A ring is read from files: they are there for as long as that takes. */
static struct keyring *make_keyring(void)
{
    struct fault fault;
    struct private_key key;
    struct secret pem;
    char dir[] = "/tmp/belfry-parts-XXXXXX";
    char purpose[64];
    char entity[64];
    char file[96];
    must(mkdtemp(dir), "no temporary folder");
    (void)snprintf(purpose, sizeof(purpose), "%s/assertion", dir);
    (void)snprintf(entity, sizeof(entity), "%s/assertion/finance", dir);
    (void)snprintf(file, sizeof(file), "%s/assertion/finance/20260101000000.pem", dir);
    must(dir_make(entity, 0700, &fault) && private_key_make(&key, ALGORITHM_ES256, &fault) &&
             private_key_print(&key, &pem, &fault) &&
             file_write(file, slice_from(pem.bytes, pem.len), 0600, &fault),
         "cannot write a key");
    struct keyring *made = keyring_read(dir, (struct wall){NOW_S}, &fault);
    must(made, fault.text);
    private_key_fini(&key);
    secret_fini(&pem);
    unlink(file);
    rmdir(entity);
    rmdir(purpose);
    rmdir(dir);
    return made;
}

static const struct token *judge(const struct parts *p, struct token_cache *cache, int number)
{
    const struct token_question question = {.app = &p->app,
                                            .issuers = p->issuers,
                                            .bytes = p->tokens[number],
                                            .hash_key = SLICE("an audit key"),
                                            .now = {NOW_S}};
    struct token_answer answer;
    must(token_judge(cache, &question, &answer) == REASON_PERMITTED, "a token is refused");
    return answer.token;
}

static void begin(struct parts *p)
{
    struct fault fault;
    p->provider = (struct provider){.id = SLICE("staff"),
                                    .entity = SLICE("finance"),
                                    .issuer = SLICE("https://idp.finance.localhost"),
                                    .audiences = {audiences, 1},
                                    .algorithms = 1u << ALGORITHM_ES256,
                                    .token_types = {types, 1},
                                    .groups_claim = SLICE("groups"),
                                    .leeway_s = 30,
                                    .max_token_age_s = 86400,
                                    .keys_max_stale_s = 86400,
                                    .digest = {1}};
    p->providers[0] = &p->provider;
    p->app = (struct application){.id = SLICE("tax"),
                                  .entity = SLICE("finance"),
                                  .host = SLICE("tax.finance.localhost"),
                                  .providers = p->providers,
                                  .provider_count = 1};
    p->device = (struct facts_device){
        .id = SLICE("devices:laptop-1"), .trust = SLICE("managed"), .not_after = {NOW_S + 86400}};
    must(private_key_make(&p->key, ALGORITHM_ES256, &fault), "no key");
    p->metrics = mem_new(struct metrics);
    p->issuers = make_issuers(p);
    p->keyring = make_keyring();
    for (int i = 0; i < TOKENS; i++)
        p->tokens[i] = make_token(p, i);
    p->known = token_cache_new(TOKEN_CACHE_ENTRIES, p->metrics);
    p->said = assertion_cache_new(p->metrics);
    p->ring = audit_ring_new(RING_BYTES, p->metrics);
    atomic_store(&p->ring->in_time_until_ms, INT64_MAX);
}

static void end(struct parts *p)
{
    for (int i = 0; i < TOKENS; i++)
        mem_slice_free(&p->tokens[i]);
    audit_ring_free(p->ring);
    assertion_cache_free(p->said);
    token_cache_free(p->known);
    keyring_unref(p->keyring);
    issuers_unref(p->issuers);
    private_key_fini(&p->key);
    mem_free(p->metrics);
}

/* ---- the parts: each gives the nanoseconds of one operation ---------------------------------- */

static double head(struct parts *p)
{
    static const char text[] =
        "GET /area7/case4711?page=2 HTTP/1.1\r\nHost: tax.finance.localhost\r\n"
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
        "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
        "Accept-Language: nl-BE,fr-BE;q=0.7,en;q=0.3\r\nAccept-Encoding: gzip, deflate, br\r\n"
        "Cookie: theme=dark; consent=1\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\n"
        "Connection: keep-alive\r\n\r\n";
    (void)p;
    const int times = 20000;
    char bytes[sizeof(text)];
    const int64_t start = now_ns();
    for (int i = 0; i < times; i++) {
        struct h1_head parsed;
        struct h1_scan scan = {0};
        memcpy(bytes, text, sizeof(text));
        must(h1_request_parse(&parsed, &scan, bytes, sizeof(text) - 1) == H1_DONE, "a bad head");
    }
    return (double)(now_ns() - start) / times;
}

static double token_known(struct parts *p)
{
    const int times = 50000;
    token_release(judge(p, p->known, 0));
    const int64_t start = now_ns();
    for (int i = 0; i < times; i++)
        token_release(judge(p, p->known, 0));
    return (double)(now_ns() - start) / times;
}

static double token_new(struct parts *p)
{
    struct token_cache *cache = token_cache_new(TOKEN_CACHE_ENTRIES, p->metrics);
    const int64_t start = now_ns();
    for (int i = 0; i < TOKENS; i++)
        token_release(judge(p, cache, i));
    const double took = (double)(now_ns() - start) / TOKENS;
    token_cache_free(cache);
    return took;
}

static struct slice say(const struct parts *p, struct assertion_cache *cache, const struct token *t)
{
    const struct facts facts = {
        .user = token_user(t), .device = &p->device, .app = &p->app, .now = {NOW_S}};
    struct assertion_user who;
    const struct slice made =
        assertion_for(cache, p->keyring, &facts, assertion_user_of(&who, t, NULL) ? &who : NULL);
    must(made.len > 0, "no assertion");
    return made;
}

static double assertion_known(struct parts *p)
{
    const int times = 50000;
    const struct token *token = judge(p, p->known, 0);
    (void)say(p, p->said, token);
    const int64_t start = now_ns();
    for (int i = 0; i < times; i++)
        (void)say(p, p->said, token);
    const double took = (double)(now_ns() - start) / times;
    token_release(token);
    return took;
}

static double assertion_new(struct parts *p)
{
    const struct token *tokens[TOKENS];
    struct assertion_cache *cache = assertion_cache_new(p->metrics);
    for (int i = 0; i < TOKENS; i++)
        tokens[i] = judge(p, p->known, i);
    const int64_t start = now_ns();
    for (int i = 0; i < TOKENS; i++)
        (void)say(p, cache, tokens[i]);
    const double took = (double)(now_ns() - start) / TOKENS;
    for (int i = 0; i < TOKENS; i++)
        token_release(tokens[i]);
    assertion_cache_free(cache);
    return took;
}

/* The other end is emptied between batches, outside of the clock. */
static double audit(struct parts *p)
{
    const struct event event = {.kind = EVENT_DECISION,
                                .is_permit = true,
                                .reason = REASON_PERMITTED,
                                .reference = {"AAAA-BBBB-CCCC-DDDD"},
                                .time_us = 1,
                                .entity = SLICE("finance"),
                                .application = SLICE("tax"),
                                .rule = SLICE("assessors-read"),
                                .method = SLICE("GET"),
                                .host = SLICE("tax.finance.localhost"),
                                .path = SLICE("/area7/case4711"),
                                .client_address = SLICE("192.0.2.17"),
                                .user_provider = SLICE("staff"),
                                .user_hash = digest,
                                .user_roles = SLICE("staff,tax-assessors"),
                                .device = SLICE("devices:laptop-1"),
                                .device_digest = digest,
                                .device_authority = SLICE("devices"),
                                .device_serial = SLICE("5f3a9c0017"),
                                .tls_version = SLICE("1.3"),
                                .tls_cipher = SLICE("TLS_AES_128_GCM_SHA256"),
                                .http_major = 2};
    const int batches = 64, batch = 512;
    int64_t took = 0;
    for (int i = 0; i < batches; i++) {
        const int64_t start = now_ns();
        for (int k = 0; k < batch; k++)
            must(audit_publish(p->ring, &event), "the ring is full");
        took += now_ns() - start;
        struct slice record;
        for (size_t mark = ring_mark(&p->ring->decisions);
             ring_peek(&p->ring->decisions, mark, &record);)
            ring_release(&p->ring->decisions, record);
    }
    return (double)took / (batches * batch);
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(void)
{
    static const struct {
        const char *name;
        double (*run)(struct parts *p);
    } parts[] = {{"head of an HTTP/1.1 request, 9 fields", head},
                 {"token that is known", token_known},
                 {"token that is new: ES256 verified, read", token_new},
                 {"assertion that is there", assertion_known},
                 {"assertion that is made: ES256 signed", assertion_new},
                 {"event into the audit's ring", audit}};
    static struct parts p;
    base_init();
    begin(&p);
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
        double ns[ROUNDS];
        for (int round = 0; round < ROUNDS; round++)
            ns[round] = parts[i].run(&p);
        qsort(ns, ROUNDS, sizeof(*ns), compare);
        printf("%-42s %8.0f ns (%.0f to %.0f)\n", parts[i].name, ns[ROUNDS / 2], ns[0],
               ns[ROUNDS - 1]);
    }
    end(&p);
    return 0;
}
