// SPDX-License-Identifier: EUPL-1.2
/* Charters: one read whole, and what must not be delegated by mistake. Keys are made at run time.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "base/codec.h"
#include "base/hash.h"
#include "policy/charter.h"
#include "policy/serials.h"

static void init(void)
{
    base_init();
}
TestSuite(charter, .init = init);

#define KEY_TEXT_LEN BASE64_LEN(ED25519_KEY_BYTES)

static void make_key(char out[KEY_TEXT_LEN + 1])
{
    struct private_key key;
    struct fault fault;
    uint8_t raw[64];
    size_t len;
    cr_assert(private_key_make(&key, ALGORITHM_ED25519, &fault));
    cr_assert(private_key_public_raw(&key, raw, &len, &fault));
    out[base64_encode(out, raw, len)] = '\0';
    private_key_fini(&key);
}

/* Each "@" of `format` becomes a key, the two in turn; each "&" the first one again. */
static struct charter *load(const char *format, struct findings *out)
{
    char text[8192], one[KEY_TEXT_LEN + 1], two[KEY_TEXT_LEN + 1];
    make_key(one);
    make_key(two);
    size_t len = 0;
    const char *keys[] = {one, two};
    size_t used = 0;
    for (const char *p = format; *p; p++) {
        if (*p == '@') {
            len += (size_t)snprintf(text + len, sizeof text - len, "%s", keys[used++ % 2]);
        } else if (*p == '&') {
            len += (size_t)snprintf(text + len, sizeof text - len, "%s", one);
        } else {
            text[len++] = *p;
        }
        cr_assert(len < sizeof text - KEY_TEXT_LEN - 1);
    }
    findings_init(out);
    return charter_load(slice_from(text, len), "charter.yaml", out);
}

#define HEAD                                                                                       \
    "belfry: charter/v1\nserial: 7\nnot_after: 2027-01-01T00:00:00Z\nentities:\n" /* 4 lines */
#define ENTITY(id, hosts) "  - id: " id "\n    hosts: [" hosts "]\n"
#define KEYS "    keys: [{ id: k1, public: \"@\" }]\n"

Test(charter, an_entity_is_read_as_it_is_written)
{
    struct findings f;
    struct charter *c = load(
        HEAD ENTITY(
            "fod-finance",
            "tax.finance.example, '*.apps.finance.example'") "    name: FOD Financiën\n"
                                                             "    upstream_networks: [10.1.0.0/16, "
                                                             "::1/128]\n"
                                                             "    fetch_hosts: [idp.example]\n"
                                                             "    fetch_networks: [192.0.2.0/24]\n"
                                                             "    min_serial: 40\n"
                                                             "    approvals: 2\n"
                                                             "    keys:\n"
                                                             "      - { id: k1, public: \"@\", "
                                                             "not_before: 2026-01-01T00:00:00Z }\n"
                                                             "      - { id: k2, public: \"@\", "
                                                             "not_after: 2027-01-01T00:00:00Z }\n",
        &f);
    findings_print(&f, stderr);
    cr_assert(c && f.count == 0);
    cr_expect(c->serial == 7 && c->not_after_s == 1798761600 && c->entity_count == 1);
    const struct charter_entity *e = charter_entity(c, SLICE("fod-finance"));
    cr_assert(e && !charter_entity(c, SLICE("fod-financ")));
    cr_expect(e->hosts.count == 2 && slice_eq(e->hosts.at[1], SLICE("*.apps.finance.example")));
    cr_expect(e->upstream_network_count == 2 && e->upstream_networks[1].prefix == 128);
    cr_expect(e->fetch_hosts.count == 1 && e->fetch_network_count == 1);
    cr_expect(e->approvals == 2 && e->min_serial == 40 && e->key_count == 2);
    cr_expect(e->keys[0].key.key.algorithm == ALGORITHM_ED25519 &&
              slice_eq(e->keys[1].key.id, SLICE("k2")));
    cr_expect(e->keys[0].not_before_s == 1767225600 && e->keys[0].not_after_s == INT64_MAX);
    cr_expect(e->keys[1].not_before_s == 0 && e->keys[1].not_after_s == 1798761600);
    charter_free(c);
    findings_fini(&f);
}

Test(charter, nothing_is_delegated_that_is_not_written)
{
    struct findings f;
    struct charter *c = load(HEAD ENTITY("e", "a.example") KEYS, &f);
    cr_assert(c);
    const struct charter_entity *e = c->entities;
    cr_expect(!e->upstream_network_count && !e->fetch_network_count && !e->fetch_hosts.count);
    cr_expect(e->approvals == 1 && e->min_serial == 0);
    charter_free(c);
    findings_fini(&f);
}

static const struct {
    const char *text;
    uint32_t line, column;
    const char *code, *says;
} broken[] = {
    {"belfry: entity/v1\n", 1, 9, "wrong-document", "charter/v1"},
    {"belfry: charter/v1\nserial: 1\nnot_after: 2027-01-01T00:00:00Z\n", 1, 1, "missing-key",
     "'entities'"},
    {HEAD ENTITY("e", "a.example"), 5, 5, "missing-key", "'keys'"},
    {HEAD "  - id: e\n" KEYS, 5, 5, "missing-key", "'hosts'"},
    {HEAD ENTITY("e", "") KEYS, 6, 12, "empty-list", "hosts"},
    {HEAD ENTITY("e", "A.example") KEYS, 6, 13, "wrong-host", "'a.example'"},
    {HEAD ENTITY("e", "'*'") KEYS, 6, 13, "wrong-host", "no host"},
    {HEAD ENTITY("e", "10.0.0.1") KEYS, 6, 13, "wrong-host", "no host"},
    {HEAD ENTITY("e", "a.example:443") KEYS, 6, 13, "wrong-host", "no host"},
    {HEAD ENTITY("e", "a.example") KEYS "    host: b\n", 8, 5, "unknown-key",
     "did you mean 'hosts'?"},
    {HEAD ENTITY("E", "a.example") KEYS, 5, 9, "wrong-id", "a-z"},
    {HEAD ENTITY("e", "a.example") KEYS ENTITY("e", "b.example") KEYS, 8, 9, "duplicate-id", "'e'"},
    /* Hosts of two. */
    {HEAD ENTITY("e", "a.example") KEYS ENTITY("f", "b.example, a.example") KEYS, 9, 24,
     "overlapping-hosts", "entity 'e'"},
    {HEAD ENTITY("e", "'*.example'") KEYS ENTITY("f", "b.example") KEYS, 9, 13, "overlapping-hosts",
     "'*.example' of the entity 'e'"},
    {HEAD ENTITY("e", "b.example") KEYS ENTITY("f", "'*.example'") KEYS, 6, 13, "overlapping-hosts",
     "'*.example' of the entity 'f'"},
    {HEAD ENTITY("e", "'*.example'") KEYS ENTITY("f", "'*.example'") KEYS, 9, 13,
     "overlapping-hosts", "'e'"},
    /* Networks. */
    {HEAD ENTITY("e", "a.example") KEYS "    upstream_networks: [10.0.0.1/8]\n", 8, 25,
     "wrong-network", "zero"},
    {HEAD ENTITY("e", "a.example") KEYS "    upstream_networks: [10.0.0.1]\n", 8, 25,
     "wrong-network", "'/'"},
    {HEAD ENTITY("e", "a.example") KEYS "    fetch_networks: [example/8]\n", 8, 22, "wrong-network",
     "example/8"},
    {HEAD ENTITY("e", "a.example") KEYS "    upstream_networks: []\n", 8, 24, "empty-list", ""},
    /* Keys. */
    {HEAD ENTITY("e", "a.example") "    keys: []\n", 7, 11, "empty-list", "keys"},
    {HEAD ENTITY("e", "a.example") "    keys: [{ id: k }]\n", 7, 12, "missing-key", "'public'"},
    {HEAD ENTITY("e", "a.example") "    keys: [{ id: 'k k', public: \"@\" }]\n", 7, 18, "wrong-id",
     "key id"},
    {HEAD ENTITY("e", "a.example") "    keys: [{ id: k, public: AAAA }]\n", 7, 29, "wrong-key",
     "32 bytes"},
    {HEAD ENTITY("e", "a.example") "    keys: [{ id: k, public: \"@@\" }]\n", 7, 29, "wrong-key",
     "32 bytes"},
    {HEAD ENTITY("e",
                 "a.example") "    keys: [{ id: k, public: \"@\" }, { id: k, public: \"@\" }]\n",
     7, 79, "duplicate-id", "'k'"},
    {HEAD ENTITY("e", "a.example") "    approvals: 2\n    keys: [{ id: k, public: \"@\" }, { id: "
                                   "l, public: \"&\" }]\n",
     8, 79, "duplicate-key", "'k' again"},
    {HEAD ENTITY("e", "a.example") KEYS "    approvals: 2\n", 8, 16, "too-many", "2 approvals"},
    {HEAD ENTITY("e", "a.example") KEYS "    approvals: 0\n", 8, 16, "out-of-range", "approvals"},
    {HEAD ENTITY("e", "a.example") KEYS "    min_serial: -1\n", 8, 17, "out-of-range",
     "min_serial"},
    {HEAD ENTITY("e", "a.example") "    keys: [{ id: k, public: \"@\", not_before: "
                                   "2027-01-01T00:00:00Z, not_after: "
                                   "2026-01-01T00:00:00Z }]\n",
     7, 122, "never-valid", "later"},
    {HEAD ENTITY("e", "a.example") "    approvals: 2\n    keys: [{ id: k, public: \"@\", owner: an "
                                   "}, { id: l, public: \"@\", owner: an }]\n",
     7, 16, "too-many", "of as many owners"},
    {HEAD ENTITY("charter", "a.example") KEYS, 5, 9, "wrong-id", "'charter'"},
    {HEAD ENTITY("e", "a.example") KEYS "    limits: { rules: -1 }\n", 8, 22, "out-of-range",
     "limits.rules"},
    {HEAD ENTITY("e", "a.example") KEYS "    limits: { rule: 1 }\n", 8, 15, "unknown-key",
     "'rules'"},
    {HEAD ENTITY("e", "a.example") KEYS "grace: 31d\n", 8, 8, "out-of-range", "grace"},
    {HEAD ENTITY("e", "a.example") "    keys: [{ id: k, public: \"&\" }]\nrevoked_keys: [\"&\"]\n",
     7, 12, "revoked-key", "'k'"},
    {HEAD ENTITY("e", "a.example") KEYS "revoked_keys: []\n", 8, 15, "empty-list", "revoked_keys"},
    {HEAD ENTITY("e", "a.example") KEYS "revoked_keys: [AAAA]\n", 8, 16, "wrong-key", "32 bytes"},
    /* The baseline. */
    {HEAD ENTITY("e", "a.example") KEYS "baseline: { permit: [] }\n", 8, 13, "unknown-key",
     "'permit'"},
    {HEAD ENTITY("e", "a.example") KEYS "baseline: { require: [] }\n", 8, 22, "empty-list",
     "require"},
    {HEAD ENTITY("e", "a.example") KEYS "baseline: { require: [{ id: a }] }\n", 8, 23,
     "missing-key", "'when'"},
    {HEAD ENTITY("e", "a.example") KEYS
     "baseline: { require: [{ id: a, when: 'true', paths: [/x] }] }\n",
     8, 46, "unknown-key", "'paths'"},
    {HEAD ENTITY("e", "a.example") KEYS
     "baseline: { require: [{ id: a, when: 'usr.id == \"\"' }] }\n",
     8, 39, "unknown-name", "'usr'"},
    {HEAD ENTITY("e", "a.example") KEYS "baseline: { forbid: [{ id: a }] }\n", 8, 22, "forbids-all",
     "every request"},
    {HEAD ENTITY("e", "a.example") KEYS
     "baseline: { forbid: [{ id: a, paths: [/x], remedy: step_up }] }\n",
     8, 44, "unknown-key", "'remedy'"},
    {HEAD ENTITY("e", "a.example") KEYS
     "baseline: { require: [{ id: a, when: 'true' }], forbid: [{ id: a, paths: [/x] }] }\n",
     8, 64, "duplicate-id", "'a'"},
};

Test(charter, each_mistake_is_one_error_at_its_place)
{
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        struct findings f;
        struct charter *c = load(broken[i].text, &f);
        const struct finding *one = f.count ? &f.at[0] : NULL;
        const bool is_good = !c && f.errors == 1 && strcmp(one->code, broken[i].code) == 0 &&
                             strstr(one->text, broken[i].says) &&
                             one->place.line == broken[i].line &&
                             one->place.column == broken[i].column;
        cr_expect(is_good, "row %zu: expected %u:%u [%s] %s, alone", i, broken[i].line,
                  broken[i].column, broken[i].code, broken[i].says);
        if (!is_good)
            findings_print(&f, stderr);
        findings_fini(&f);
        charter_free(c);
    }
}

Test(charter, a_baseline_and_limits_are_read_as_they_are_written)
{
    struct findings f;
    struct charter *c = load(
        HEAD ENTITY("e", "a.example") KEYS "    limits: { applications: 3, rules: 0 }\n" ENTITY(
            "f", "b.example") "    keys: [{ id: k1, public: \"&\" }]\n"
                              "grace: 7d\nrevoked_keys: [\"@\"]\n"
                              "baseline:\n"
                              "  require:\n"
                              "    - id: known\n"
                              "      when: has(user.id) || has(service.id)\n"
                              "      reason: { en: Nobody unknown., nl: Niemand onbekend. }\n"
                              "      remedy: step_up\n"
                              "      mode: shadow\n"
                              "  forbid:\n"
                              "    - { id: no-export, methods: [GET], paths: [/export/**], owner: "
                              "csirt,\n"
                              "        when: 'request.query == \"all\"', review_by: "
                              "2027-01-01T00:00:00Z }\n",
        &f);
    findings_print(&f, stderr);
    cr_assert(c && f.errors == 0);
    cr_expect(c->grace_s == 7 * 86400 && c->revoked_key_count == 1);
    cr_expect(c->entities[0].max_applications == 3 && c->entities[0].max_rules == 0);
    cr_expect(c->entities[1].max_applications == UINT32_MAX &&
              c->entities[1].max_rules == UINT32_MAX);
    const struct baseline *b = &c->baseline;
    cr_assert(b->requirement_count == 1 && b->forbid_count == 1);
    cr_expect(b->requirements[0].effect == RULE_REQUIRE && b->requirements[0].when &&
              b->requirements[0].remedy == REMEDY_STEP_UP && b->requirements[0].is_shadow);
    cr_expect(slice_eq(b->requirements[0].reason[LANGUAGE_EN], SLICE("Nobody unknown.")) &&
              !b->requirements[0].reason[LANGUAGE_FR].len);
    cr_expect(b->forbids[0].effect == RULE_FORBID && b->forbids[0].path_count == 1 &&
              b->forbids[0].methods && b->forbids[0].when && b->forbids[0].review_by_s);
    charter_free(c);
    findings_fini(&f);
}

Test(charter, a_wildcard_of_one_entity_does_not_reach_two_labels_down_to_another)
{
    struct findings f;
    struct charter *c = load(
        HEAD ENTITY("e", "'*.example'") KEYS ENTITY("f", "a.b.example, '*.b.example'") KEYS, &f);
    cr_expect(c != NULL);
    charter_free(c);
    findings_fini(&f);
}

Test(charter, within_one_entity_hosts_may_overlap)
{
    struct findings f;
    struct charter *c = load(HEAD ENTITY("e", "'*.example', a.example") KEYS, &f);
    cr_expect(c != NULL);
    charter_free(c);
    findings_fini(&f);
}

Test(charter, more_entities_than_serials_can_be_remembered_of_are_refused)
{
    struct findings f;
    struct buf text;
    buf_init(&text, 1 << 20);
    bool is_fine = buf_add(&text, SLICE(HEAD));
    for (int i = 0; i <= ENTITIES_MAX; i++)
        is_fine = is_fine && buf_printf(&text, "  - { id: e%d }\n", i);
    cr_assert(is_fine);
    findings_init(&f);
    cr_expect_null(charter_load(buf_slice(&text), "charter.yaml", &f));
    cr_assert_eq(f.errors, 1);
    cr_expect_str_eq(f.at[0].code, "too-many");
    findings_fini(&f);
    buf_fini(&text);
}
