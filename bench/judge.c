// SPDX-License-Identifier: EUPL-1.2
/* Judges requests of JSON lines, one decision a line: what another evaluator is compared with
 * (tests/behaviour/test_decisions.py), and other engines are measured beside (bench/engines.py).
 *
 *   {"bundle": TEXT, "baseline": TEXT}   from here on by the first application of this bundle; the
 *                                        baseline is the forbids of a bundle, and its permits as
 *                                        requirements
 *   {"method": "GET", "path": "/a", "now": 0, "user": {...} or null, "device": ..., "service": ...,
 *    "session": ...}
 *
 * With --rounds N all requests are read first, judged N times, and the time of a decision is
 * written instead, in nanoseconds of this thread's CPU: the least and the median of the rounds. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/jtree.h"
#include "base/method.h"
#include "base/reason.h"
#include "policy/charter.h"
#include "policy/compile.h"
#include "policy/decide.h"
#include "policy/query.h"

/* What the requests are judged by; all of it lives as long as the program. */
struct law {
    struct law *before;
    struct bundle *bundle;
    struct bundle *floor; /* whose rules the baseline has; NULL: none */
    struct charter charter;
    struct snapshot snapshot;
};

struct asked {
    struct facts_user user;
    struct facts_device device;
    struct facts_service service;
    struct facts_session session;
    struct request request;
    struct facts facts;
    bool is_refused; /* by the path alone */
};

static void die(const char *why)
{
    fprintf(stderr, "bench_judge: %s\n", why);
    exit(1);
}

/* ---- the law ---- */

static struct bundle *load(struct slice text)
{
    struct findings findings;
    findings_init(&findings);
    struct bundle *b = bundle_load(text, "bundle", SLICE(""), &findings);
    if (!b) {
        findings_print(&findings, stderr);
        die("a bundle is not good");
    }
    findings_fini(&findings);
    bundle_compile(b);
    return b;
}

static void take_baseline(struct law *law, struct slice text)
{
    struct baseline *to = &law->charter.baseline;
    law->floor = load(text);
    const struct application *from = &law->floor->applications[0];
    arena_init(&law->charter.arena, NULL);
    to->requirements = arena_array(&law->charter.arena, struct rule, from->rule_count);
    to->forbids = arena_array(&law->charter.arena, struct rule, from->rule_count);
    for (uint32_t i = 0; i < from->rule_count; i++) {
        if (from->rule_list[i].effect == RULE_FORBID) {
            to->forbids[to->forbid_count++] = from->rule_list[i];
            continue;
        }
        to->requirements[to->requirement_count] = from->rule_list[i];
        to->requirements[to->requirement_count++].effect = RULE_REQUIRE;
    }
    charter_compile(&law->charter);
    law->snapshot.baseline = to;
}

static struct slice text_of(const json_t *object, const char *key)
{
    const json_t *text = json_object_get(object, key);
    return json_is_string(text) ? slice_from(json_string_value(text), json_string_length(text))
                                : SLICE("");
}

/* Tests change the law some thousand times; none is freed, since requests point into it. */
static struct law *laws;
static struct law *make_law(const json_t *line)
{
    struct law *law = calloc(1, sizeof(*law));
    if (!law)
        die("no memory");
    law->before = laws;
    laws = law;
    law->bundle = load(text_of(line, "bundle"));
    if (json_is_string(json_object_get(line, "baseline")))
        take_baseline(law, text_of(line, "baseline"));
    return law;
}

/* ---- facts ---- */

static struct slice keep(struct arena *a, const json_t *object, const char *key)
{
    return arena_copy(a, text_of(object, key));
}

static struct slices keep_all(struct arena *a, const json_t *object, const char *key)
{
    const json_t *list = json_object_get(object, key);
    const size_t count = json_array_size(list);
    struct slice *out = arena_array(a, struct slice, count);
    for (size_t i = 0; i < count; i++) {
        const json_t *text = json_array_get(list, i);
        out[i] = arena_copy(a, slice_from(json_string_value(text), json_string_length(text)));
    }
    return (struct slices){out, (uint32_t)count};
}

static enum said said_of(const json_t *object, const char *key)
{
    const json_t *said = json_object_get(object, key);
    return json_is_true(said) ? SAID_YES : json_is_false(said) ? SAID_NO : SAID_NOTHING;
}

static void read_people(struct asked *q, const json_t *line, struct arena *a)
{
    const json_t *user = json_object_get(line, "user");
    const json_t *device = json_object_get(line, "device");
    const json_t *service = json_object_get(line, "service");
    q->user =
        (struct facts_user){.id = keep(a, user, "id"),
                            .subject = keep(a, user, "subject"),
                            .provider = keep(a, user, "provider"),
                            .client_id = keep(a, user, "client_id"),
                            .acr = keep(a, user, "acr"),
                            .groups = keep_all(a, user, "groups"),
                            .scopes = keep_all(a, user, "scopes"),
                            .acr_level = json_integer_value(json_object_get(user, "acr_level"))};
    q->device =
        (struct facts_device){.id = keep(a, device, "id"),
                              .trust = keep(a, device, "trust"),
                              .common_name = keep(a, device, "common_name"),
                              .owner = keep(a, device, "owner"),
                              .compliant = said_of(device, "compliant"),
                              .organizational_units = keep_all(a, device, "organizational_units")};
    q->service = (struct facts_service){.id = keep(a, service, "id")};
    q->facts.user = json_is_object(user) ? &q->user : NULL;
    q->facts.device = json_is_object(device) ? &q->device : NULL;
    q->facts.service = json_is_object(service) ? &q->service : NULL;
}

/* How many seconds ago; not said: missing. */
static struct wall moment_of(const struct asked *q, const json_t *object, const char *age)
{
    const json_t *seconds = json_object_get(object, age);
    return (struct wall){seconds ? q->facts.now.s - json_integer_value(seconds) : 0};
}

static void read_session(struct asked *q, const json_t *line, struct arena *a)
{
    const json_t *session = json_object_get(line, "session");
    q->session =
        (struct facts_session){.began = moment_of(q, session, "age"),
                               .authenticated_at = moment_of(q, session, "authentication_age"),
                               .methods = keep_all(a, session, "methods")};
    q->facts.session = json_is_object(session) ? &q->session : NULL;
}

static struct asked *read_asked(const struct law *law, const json_t *line, struct arena *a)
{
    struct asked *q = arena_new(a, struct asked);
    const struct application *app = &law->bundle->applications[0];
    q->request.method_name = keep(a, line, "method");
    q->request.method = method_of(q->request.method_name);
    q->request.host = app->host;
    q->facts = (struct facts){.app = app,
                              .request = &q->request,
                              .client_address = SLICE("127.0.0.1"),
                              .now.s = json_integer_value(json_object_get(line, "now"))};
    q->is_refused =
        target_parse(&q->request, keep(a, line, "path"), app->paths, a) != REASON_PERMITTED;
    read_people(q, line, a);
    read_session(q, line, a);
    query_read_for_rules(&law->snapshot, &q->facts, a);
    return q;
}

/* ---- answers ---- */

static void print(const struct decision *d)
{
    printf("{\"permit\":%s,\"reason\":\"%.*s\",\"rule\":\"%.*s\",\"baseline\":%s,\"level\":%lld,"
           "\"shadow\":\"%.*s\"}\n",
           d->verdict == DECISION_PERMIT ? "true" : "false", SLICE_ARG(reason_name(d->reason)),
           SLICE_ARG(d->rule), d->is_baseline ? "true" : "false", (long long)d->needs_acr_level,
           SLICE_ARG(d->shadow.rule));
}

static void answer(const struct law *law, const struct asked *q)
{
    struct decision d;
    if (q->is_refused) {
        puts("{\"refused\":true}");
        return;
    }
    decide(&law->snapshot, &q->facts, &d);
    print(&d);
}

/* ---- time ---- */

static int64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * 1000000000 + t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const struct law *law, struct asked **asked, size_t count, size_t rounds)
{
    double *ns = calloc(rounds, sizeof(*ns));
    uint64_t permits = 0;
    if (!ns)
        die("no memory");
    for (size_t round = 0; round < rounds; round++) {
        const int64_t start = cpu_ns();
        for (size_t i = 0; i < count; i++) {
            struct decision d;
            decide(&law->snapshot, &asked[i]->facts, &d);
            permits += d.verdict;
        }
        ns[round] = (double)(cpu_ns() - start) / (double)count;
    }
    qsort(ns, rounds, sizeof(*ns), compare);
    printf("{\"least_ns\":%.1f,\"median_ns\":%.1f,\"permits\":%llu}\n", ns[0], ns[rounds / 2],
           (unsigned long long)(permits / rounds));
    free(ns);
}

/* ---- lines ---- */

int main(int argc, char **argv)
{
    const size_t rounds =
        argc == 3 && !strcmp(argv[1], "--rounds") ? strtoul(argv[2], NULL, 10) : 0;
    char *line = NULL;
    size_t room = 0, count = 0, asked_room = 0;
    struct law *law = NULL;
    struct asked **asked = NULL;
    struct arena all, one;
    ssize_t len;
    base_init();
    arena_init(&all, NULL);
    while ((len = getline(&line, &room, stdin)) > 0) {
        json_t *json = json_loadb(line, (size_t)len, 0, NULL);
        if (!json_is_object(json) || (!law && !json_object_get(json, "bundle")))
            die("a line is no object, or comes before any bundle");
        if (json_object_get(json, "bundle")) {
            law = make_law(json);
        } else if (rounds) {
            if (count == asked_room) {
                asked_room = asked_room * 2 + 1024;
                asked = realloc(asked, asked_room * sizeof(struct asked *));
            }
            if (!asked)
                die("no memory");
            asked[count++] = read_asked(law, json, &all);
        } else {
            arena_init(&one, NULL);
            answer(law, read_asked(law, json, &one));
            arena_fini(&one);
        }
        json_decref(json);
    }
    if (rounds && count)
        measure(law, asked, count, rounds);
    free(line);
    return 0;
}
