// SPDX-License-Identifier: EUPL-1.2
/* How long does a decision take over 100, 1,000 and 10,000 rules, warm and cold? By shape:
 *
 *   paths    each rule has a path of its own, under areas: what applications have
 *   groups   all rules on one path, each for a group of its own; a person is in three
 *   nobody   the same, asked without a user: what must be found is who is lacking
 *   each     all on one path, and no condition can be found by what it asks for: all are asked
 *
 * Warm: the same 1,024 requests again and again. Cold: one decision at a time, after other memory
 * than it needs has gone through the caches. Least and median, warm of this thread's CPU;
 * memory is all that the loaded and compiled bundle takes. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/buf.h"
#include "base/hash.h"
#include "policy/compile.h"
#include "policy/decide.h"

#define RULES_MAX 10000
#define REQUESTS 1024
#define ROUNDS 31
#define COLD_ROUNDS 61
#define OTHER_BYTES (64u << 20) /* more than the caches of a machine's core */

struct shape {
    const char *name;
    bool has_paths; /* of their own */
    const char *when;
    bool has_user;
    uint32_t passes; /* decisions a round: REQUESTS times this */
};

static int64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * 1000000000 + t.tv_nsec;
}

/* `#` in the condition is the rule's number. */
static bool write_when(struct buf *out, const char *when, uint32_t i)
{
    struct slice rest = slice_of(when);
    const struct slice head = slice_cut(&rest, '#');
    return buf_printf(out, "%.*s%u%.*s", SLICE_ARG(head), i, SLICE_ARG(rest));
}

static void write_rules(struct buf *out, const struct shape *shape, uint32_t count)
{
    bool ok = buf_printf(out, "belfry: entity/v1\nentity: fin\nserial: 1\n"
                              "not_after: 2036-01-01T00:00:00Z\nidentity_providers:\n"
                              "  - { id: fas, issuer: 'https://idp.localhost', audiences: [x] }\n"
                              "applications:\n  - id: desk\n    host: desk.fin.localhost\n"
                              "    device: none\n    identity_providers: [fas]\n"
                              "    upstreams: ['http://127.0.0.1:9001']\n    rules:\n");
    for (uint32_t i = 0; i < count; i++) {
        ok &= buf_printf(out, "    - { id: r%u, %s: { methods: [GET, POST], paths: [\"", i,
                         i % 10 == 9 ? "forbid" : "permit");
        ok &= shape->has_paths ? buf_printf(out, "/area%u/case%u/**", i % 100, i / 100)
                               : buf_printf(out, "/cases/{case}/**");
        ok &= buf_printf(out, "\"] }, when: '") && write_when(out, shape->when, i) &&
              buf_printf(out, "' }\n");
    }
    if (!ok)
        abort();
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000 + t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static struct bundle *load(const struct shape *shape, uint32_t count)
{
    struct buf text;
    struct findings findings;
    buf_init(&text, 16u << 20);
    findings_init(&findings);
    write_rules(&text, shape, count);
    int64_t start = cpu_ns();
    struct bundle *b = bundle_load(buf_slice(&text), "bench.yaml", SLICE(""), &findings);
    int64_t loaded = cpu_ns();
    if (!b) {
        findings_print(&findings, stderr);
        exit(1);
    }
    const size_t before = b->arena.total_bytes;
    bundle_compile(b);
    int64_t compiled = cpu_ns();
    printf("%-7s %6u  %7.1f  %7.1f  %6.1f %6.1f", shape->name, count,
           (double)(loaded - start) / 1e6, (double)(compiled - loaded) / 1e6,
           (double)before / (1 << 20), (double)b->arena.total_bytes / (1 << 20));
    buf_fini(&text);
    findings_fini(&findings);
    return b;
}

static void make_requests(struct request *out, const struct shape *shape, uint32_t count,
                          const struct application *app, struct arena *a)
{
    uint64_t state = 1;
    for (uint32_t i = 0; i < REQUESTS; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        uint32_t at = (uint32_t)(state >> 33) % count;
        out[i] = (struct request){.method = METHOD_GET, .method_name = SLICE("GET")};
        struct slice target = shape->has_paths
                                  ? arena_printf(a, "/area%u/case%u/17", at % 100, at / 100)
                                  : arena_printf(a, "/cases/%u/file", at);
        if (target_parse(&out[i], target, app->paths, a) != REASON_PERMITTED)
            abort();
    }
}

static void print_times(double *ns, size_t count)
{
    qsort(ns, count, sizeof(*ns), compare);
    printf("  %8.0f %8.0f", ns[0], ns[count / 2]);
}

static uint64_t measure_warm(struct facts *facts, const struct request *requests, uint32_t passes)
{
    double ns[ROUNDS];
    uint64_t permits = 0;
    for (int round = 0; round < ROUNDS; round++) {
        int64_t start = cpu_ns();
        for (uint32_t i = 0; i < passes * REQUESTS; i++) {
            struct decision d;
            facts->request = &requests[i % REQUESTS];
            decide(NULL, facts, &d);
            permits += d.verdict;
        }
        ns[round] = (double)(cpu_ns() - start) / (double)(passes * REQUESTS);
    }
    print_times(ns, ROUNDS);
    return permits / ROUNDS / passes;
}

/* The code goes too. The facts and the request come back first: a gateway has just made them. */
static void measure_cold(struct facts *facts, const struct request *requests)
{
    double ns[COLD_ROUNDS];
    volatile char *other = calloc(OTHER_BYTES, 1);
    if (!other)
        abort();
    for (int round = 0; round < COLD_ROUNDS; round++) {
        struct decision d;
        facts->request = &requests[round * 16 % REQUESTS];
        for (size_t i = 0; i < OTHER_BYTES; i += 64)
            other[i]++;
        for (uint32_t i = 0; i < facts->request->path.segment_count; i++)
            other[0] = (char)(other[0] + facts->request->path.segments[i].ptr[0]);
        int64_t clock = now_ns() ? now_ns() : 0; /* the second time it is warm itself */
        clock = now_ns() - clock;
        int64_t start = now_ns();
        decide(NULL, facts, &d);
        ns[round] = (double)(now_ns() - start - clock);
    }
    free((void *)(uintptr_t)other);
    print_times(ns, COLD_ROUNDS);
}

static void measure(const struct shape *shape, uint32_t count)
{
    static const struct slice groups[] = {SLICE_INIT("group7"), SLICE_INIT("group4711"),
                                          SLICE_INIT("staff")};
    static struct request requests[REQUESTS];
    struct bundle *b = load(shape, count);
    struct arena a;
    arena_init(&a, NULL);
    make_requests(requests, shape, count, &b->applications[0], &a);
    struct facts_user user = {
        .id = SLICE("fas:1"), .groups = {groups, 3}, .acr_level = 400, .acr = SLICE("x")};
    struct facts facts = {.user = shape->has_user ? &user : NULL, .app = &b->applications[0]};
    const uint64_t permits = measure_warm(&facts, requests, shape->passes);
    measure_cold(&facts, requests);
    printf("  %5llu\n", (unsigned long long)permits);
    arena_fini(&a);
    bundle_free(b);
}

int main(void)
{
    static const struct shape shapes[] = {
        {"paths", true, "\"group#\" in user.groups || user.acr_level >= 300", true, 50},
        {"groups", false, "\"group#\" in user.groups && user.acr_level >= 300", true, 50},
        {"nobody", false, "\"group#\" in user.groups && user.acr_level >= 300", false, 50},
        {"each", false, "user.acr.endsWith(\"-#\")", true, 1},
    };
    base_init();
    printf("shape    rules  load ms  comp ms  loaded    MiB      warm ns, median      cold ns, "
           "median  "
           "permits of %d\n",
           REQUESTS);
    for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++)
        for (uint32_t count = 100; count <= RULES_MAX; count *= 10)
            measure(&shapes[i], count);
    return 0;
}
