// SPDX-License-Identifier: EUPL-1.2
/* What is told of rules that are right in their form; and that nothing is told of their like. */
#include "policy/review.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "base/hash.h"

#define NOW 1780272000 /* 2026-06-01T00:00:00Z */

static const char head[] = "belfry: entity/v1\nentity: fin\nserial: 1\n"
                           "not_after: 2027-01-01T00:00:00Z\nidentity_providers:\n"
                           "  - { id: i, issuer: \"https://i.example\", audiences: [x] }\n"
                           "applications:\n"
                           "  - id: a\n    host: a.example\n    device: none\n"
                           "    identity_providers: [i]\n"
                           "    upstreams: [\"http://127.0.0.1:1\"]\n    rules:\n";

#define R(id, text) "      - { id: " id ", " text " }\n"
#define WHEN ", when: 'request.method == \"GET\"'"
#define P(text) R("p", "permit: { " text " }" WHEN)
#define F(text) R("f", "forbid: { " text " }")

static const struct {
    const char *rules;
    const char *code; /* NULL: nothing is told */
} table[] = {
    /* Permits of which all is forbidden. */
    {P("paths: [/a/b]") F("paths: [\"/a/**\"]"), "never-decides"},
    {P("paths: [/a]") F("paths: [\"/a/**\"]"), "never-decides"},
    {P("paths: [\"/a/**\"]") F("paths: [\"/**\"]"), "never-decides"},
    {P("paths: [\"/a/{x}/c\"]") F("paths: [\"/a/*/c\"]"), "never-decides"},
    {P("paths: [/r-1.pdf]") F("paths: [\"/r-*.pdf\"]"), "never-decides"},
    {P("paths: [\"/r-1-*.pdf\"]") F("paths: [\"/r-*.pdf\"]"), "never-decides"},
    {P("paths: [/a, /b]") F("paths: [/b, /c, /a]"), "never-decides"},
    {P("methods: [GET], paths: [/a]") F("methods: [GET, POST]"), "never-decides"},
    {P("methods: [PROPFIND]") F("methods: [PROPFIND, MOVE]"), "never-decides"},
    {P("") F(""), "never-decides"},
    /* And those of which something is left. */
    {P("paths: [\"/a/**\"]") F("paths: [\"/a/b/**\"]"), NULL},
    {P("paths: [/a/]") F("paths: [\"/a/*\"]"), NULL}, /* a star is never empty */
    {P("paths: [/a, /b]") F("paths: [/a]"), NULL},
    {P("") F("paths: [/a]"), NULL},
    {P("paths: [/a/b]") F("paths: [/a]"), NULL},
    {P("paths: [/r.pdf]") F("paths: [\"/r.*.pdf\"]"), NULL},
    {P("paths: [\"/*.pdf\"]") F("paths: [\"/r-*.pdf\"]"), NULL},
    {P("methods: [GET, PUT]") F("methods: [GET]"), NULL},
    {P("") F("methods: [GET]"), NULL},
    {P("methods: [PROPFIND, MOVE]") F("methods: [PROPFIND]"), NULL},
    {P("paths: [/a]") R("f", "forbid: {}" WHEN), NULL},
    {P("paths: [/a]") R("f", "forbid: {}, mode: shadow"), NULL},
    {P("paths: [/a]") R("f", "forbid: {}, expires: 2027-01-01T00:00:00Z"), NULL},
    {R("f", "forbid: { paths: [/a/b] }") R("g", "forbid: { paths: [\"/a/**\"] }"), NULL},
    /* Twice the same. */
    {P("paths: [/a]") R("q", "permit: { paths: [/a] }" WHEN), "duplicate-rule"},
    {P("paths: [/a]") R("q", "permit: { paths: [/b] }" WHEN), NULL},
    {P("paths: [/a]") R("q", "permit: { paths: [/a] }" WHEN ", mode: shadow"), NULL},
    {P("paths: [/a]") R("q", "permit: { paths: [/a] }, when: 'request.method == \"PUT\"'"), NULL},
    {P("paths: [/a, /b]") R("q", "permit: { paths: [/a] }" WHEN), NULL},
    /* Where no request comes. */
    {P("paths: [/.belfry/x]"), "outside-path"},
    {P("paths: [/.belfri/x, /x/.belfry]"), NULL},
    /* Dates. */
    {R("p", "permit: {}" WHEN ", review_by: 2026-06-01T00:00:00Z, owner: x"), "overdue-review"},
    {R("p", "permit: {}" WHEN ", review_by: 2026-06-01T00:00:01Z"), NULL},
    {R("p", "permit: {}" WHEN ", expires: 2026-06-01T00:00:00Z"), "expired-rule"},
    {R("p", "permit: {}" WHEN ", expires: 2026-06-01T00:00:01Z"), NULL},
    {R("p", "permit: {}" WHEN ", expires: 2026-07-01T00:00:00Z, review_by: 2026-08-01T00:00:00Z"),
     "late-review"},
    /* Conditions of which the outcome is known without facts. */
    {R("p", "permit: {}, when: 'user.acr_level >= 400 && user.acr_level < 300'"),
     "condition-never-true"},
    {R("p", "permit: {}, when: '\"a\" in user.groups || user.id in []'"), "condition-never-true"},
    {R("p", "permit: {}, when: '\"a\" in user.groups && size(user.groups) >= 0'"),
     "condition-always-true"},
    {R("p", "permit: {}, when: 'user.acr_level >= 300 && user.acr_level < 400'"), NULL},
    /* Whom the application never has. */
    {R("p", "permit: {}, when: 'device.trust != \"private\"'"), "never-decides"},
    {R("p", "permit: {}, when: '!(device.trust == \"private\")'"), "never-decides"},
    {R("p", "permit: {}, when: '\"a\" in user.groups && size(device.uris) > 0'"), "never-decides"},
    {R("p", "permit: {}, when: 'device.id.startsWith(\"x\") && \"a\" in user.groups'"),
     "never-decides"},
    {R("p", "permit: {}, when: '\"a\" in user.groups || device.trust == \"managed\"'"), NULL},
    {R("p", "permit: {}, when: 'has(user.acr) ? user.acr == \"x\" : device.id == \"y\"'"), NULL},
    {R("f", "forbid: {}, when: 'device.trust == \"private\"'"), NULL},
};

Test(review, tells_what_can_not_be_meant_and_nothing_else)
{
    base_init();
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char text[2048];
        struct findings f;
        const int len = snprintf(text, sizeof text, "%s%s", head, table[i].rules);
        findings_init(&f);
        struct bundle *b = bundle_load(slice_from(text, (size_t)len), "x", SLICE(""), &f);
        cr_assert(b && !f.count, "row %zu", i);
        bundle_review(b, (struct wall){NOW}, &f);
        const bool is_good =
            table[i].code ? f.warnings == 1 && !f.errors && strcmp(f.at[0].code, table[i].code) == 0
                          : f.count == 0;
        cr_expect(is_good, "row %zu: %s\n%s", i, table[i].code ? table[i].code : "nothing",
                  table[i].rules);
        if (!is_good)
            findings_print(&f, stderr);
        findings_fini(&f);
        bundle_free(b);
    }
}
