// SPDX-License-Identifier: EUPL-1.2
/* How long does a decision over 10,000 rules take, warm? Three policies: rules spread over paths as
 * applications have them; all rules on one path with conditions shared; all on one path, each its
 * own condition (the worst that a bundle can ask). Prints the median of the rounds, and the spread.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/buf.h"
#include "base/hash.h"
#include "policy/compile.h"
#include "policy/decide.h"

#define RULES 10000
#define REQUESTS 1024
#define ROUNDS 21

struct shape {
    const char *name;
    const char *path; /* printf of the rule's number */
    uint32_t conditions;
    uint32_t passes; /* decisions a round: REQUESTS times this */
};

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000 + t.tv_nsec;
}

static void write_rules(struct buf *out, const struct shape *shape)
{
    bool ok = buf_printf(out, "belfry: entity/v1\nentity: fin\nserial: 1\n"
                              "not_after: 2036-01-01T00:00:00Z\nidentity_providers:\n"
                              "  - { id: fas, issuer: 'https://idp.localhost', audiences: [x] }\n"
                              "applications:\n  - id: desk\n    host: desk.fin.localhost\n"
                              "    device: none\n    identity_providers: [fas]\n"
                              "    upstreams: ['http://127.0.0.1:9001']\n    rules:\n");
    for (uint32_t i = 0; i < RULES; i++) {
        bool is_flat = shape->path[1] == '*';
        ok &= buf_printf(out, "    - { id: r%u, %s: { methods: [GET, POST], paths: [\"", i,
                         i % 10 ? "permit" : "forbid");
        ok &= is_flat ? buf_printf(out, "%s", shape->path)
                      : buf_printf(out, "/area%u/case%u/**", i % 100, i / 100);
        ok &= buf_printf(out,
                         "\"] }, when: '\"group%u\" in user.groups && user.acr_level >= 300' }\n",
                         i % shape->conditions);
    }
    if (!ok)
        abort();
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static struct bundle *load(const struct shape *shape)
{
    struct buf text;
    struct findings findings;
    buf_init(&text, 16u << 20);
    findings_init(&findings);
    write_rules(&text, shape);
    int64_t start = now_ns();
    struct bundle *b = bundle_load(buf_slice(&text), "bench.yaml", SLICE(""), &findings);
    int64_t loaded = now_ns();
    if (!b) {
        findings_print(&findings, stderr);
        exit(1);
    }
    bundle_compile(b);
    int64_t compiled = now_ns();
    printf("%-34s load %6.1f ms  compile %5.1f ms\n", shape->name, (double)(loaded - start) / 1e6,
           (double)(compiled - loaded) / 1e6);
    buf_fini(&text);
    findings_fini(&findings);
    return b;
}

static void make_requests(struct request *out, const struct application *app, struct arena *a)
{
    uint64_t state = 1;
    for (uint32_t i = 0; i < REQUESTS; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        uint32_t at = (uint32_t)(state >> 33) % RULES;
        out[i] = (struct request){.method = METHOD_GET, .method_name = SLICE("GET")};
        struct slice target = arena_printf(a, "/area%u/case%u/17", at % 100, at / 100);
        if (target_parse(&out[i], target, app->paths, a) != REASON_PERMITTED)
            abort();
    }
}

static void measure(const struct shape *shape)
{
    static const struct slice groups[] = {SLICE_INIT("group7"), SLICE_INIT("group4711"),
                                          SLICE_INIT("staff")};
    static struct request requests[REQUESTS];
    struct bundle *b = load(shape);
    struct arena a;
    arena_init(&a, NULL);
    make_requests(requests, &b->applications[0], &a);
    struct facts_user user = {.groups = {groups, 3}, .acr_level = 400};
    struct facts facts = {.user = &user, .app = &b->applications[0]};
    double ns[ROUNDS];
    uint64_t permits = 0;
    for (int round = 0; round < ROUNDS; round++) {
        int64_t start = now_ns();
        for (uint32_t i = 0; i < shape->passes * REQUESTS; i++) {
            struct decision d;
            facts.request = &requests[i % REQUESTS];
            decide(NULL, &facts, &d);
            permits += d.verdict;
        }
        ns[round] = (double)(now_ns() - start) / (double)(shape->passes * REQUESTS);
    }
    qsort(ns, ROUNDS, sizeof(*ns), compare);
    printf("%-34s %9.0f ns a decision (%.0f to %.0f), %llu permitted\n", "", ns[ROUNDS / 2], ns[0],
           ns[ROUNDS - 1], (unsigned long long)permits);
    arena_fini(&a);
    bundle_free(b);
}

int main(void)
{
    static const struct shape shapes[] = {
        {"10,000 paths, 50 conditions", "/area/case", 50, 100},
        {"one path, 50 conditions", "/**", 50, 1},
        {"one path, 10,000 conditions", "/**", RULES, 1},
    };
    base_init();
    for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++)
        measure(&shapes[i]);
    return 0;
}
