// SPDX-License-Identifier: EUPL-1.2
/* An application of rules that are built by hand (the loader has its own tests), somebody who asks,
 * and the decision: by the index, held to the plain loop. */
#pragma once

#include <criterion/criterion.h>

#include "policy/charter.h"
#include "policy/decide.h"

#define GET (1u << METHOD_GET)
#define POST (1u << METHOD_POST)
#define ANY 0u

struct spec {
    const char *id;
    enum rule_effect effect;
    uint32_t methods;
    const char *other_method; /* NULL: none */
    const char *paths;        /* separated by spaces; NULL: all */
    const char *when;         /* NULL: always */
    enum rule_remedy remedy;
    bool is_shadow;
    int64_t expires_s; /* 0: never */
};

struct world {
    struct bundle bundle;
    struct charter charter;
    struct snapshot snapshot;
    struct application app;
    struct facts_user user;
    struct facts_device device;
    struct request request;
    struct facts facts;
};

extern const struct facts_user tax_officer;
extern const struct facts_device laptop;

void world_init(struct world *w, const struct spec *specs, uint32_t count,
                struct path_options options);
/* A baseline of these requirements and forbids. */
void world_charter(struct world *w, const struct spec *specs, uint32_t count);
void world_fini(struct world *w);
void ask_for(struct world *w, enum method method, const char *target);
bool decisions_eq(const struct decision *a, const struct decision *b);
/* decide(), and that the slow twin says the same. */
struct decision decided(const struct world *w);

#define WORLD(w, options, ...)                                                                     \
    struct world w;                                                                                \
    static const struct spec specs_of_##w[] = {__VA_ARGS__};                                       \
    world_init(&w, specs_of_##w, sizeof(specs_of_##w) / sizeof(*specs_of_##w), options)
#define STRICT ((struct path_options){0})

#define expect(w, VERDICT, REASON, RULE)                                                           \
    do {                                                                                           \
        struct decision d_ = decided(w);                                                           \
        cr_expect_eq(d_.verdict, VERDICT, "verdict %d", d_.verdict);                               \
        cr_expect_eq(d_.reason, REASON, "reason %d", d_.reason);                                   \
        cr_expect(slice_eq(d_.rule, SLICE(RULE)), "rule %.*s", SLICE_ARG(d_.rule));                \
    } while (0)
