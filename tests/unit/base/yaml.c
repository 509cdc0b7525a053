// SPDX-License-Identifier: EUPL-1.2
/* The YAML reader: what it gives, what it refuses and where it says so. */
#include "base/yaml.h"

#include <criterion/criterion.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/mem.h"

static void setup(void)
{
    base_init();
}

TestSuite(yaml, .init = setup);

static struct yaml_doc *parse(const char *text, struct findings *f)
{
    findings_init(f);
    return yaml_parse(slice_of(text), "a.yaml", f);
}

Test(yaml, gives_each_node_its_place_and_text)
{
    struct findings f;
    struct yaml_doc *doc = parse("belfry: entity/v1\n"
                                 "rules:\n"
                                 "  - id: \"a\\tb\"\n"
                                 "    when: >-\n"
                                 "      one\n"
                                 "      two\n"
                                 "  - { id: c, on: yes }\n"
                                 "nothing:\n"
                                 "none: ~\n",
                                 &f);
    cr_assert_not_null(doc);
    const struct yaml *root = yaml_root(doc);
    cr_assert_eq(yaml_kind(root), YAML_MAP);
    cr_assert_eq(yaml_count(root), 4);
    const struct yaml *rules = yaml_get(root, SLICE("rules"));
    cr_assert_eq(yaml_kind(rules), YAML_LIST);
    cr_assert_eq(yaml_count(rules), 2);
    const struct yaml *id = yaml_get(yaml_item(rules, 0), SLICE("id"));
    cr_assert(slice_eq(yaml_text(id), SLICE("a\tb")));
    cr_assert_not(yaml_is_plain(id));
    cr_assert_eq(yaml_place(id).line, 3);
    cr_assert_eq(yaml_place(id).column, 9);
    cr_assert_str_eq(yaml_place(id).file, "a.yaml");
    cr_assert(slice_eq(yaml_text(yaml_get(yaml_item(rules, 0), SLICE("when"))), SLICE("one two")));
    const struct yaml *on = yaml_get(yaml_item(rules, 1), SLICE("on"));
    cr_assert(slice_eq(yaml_text(on), SLICE("yes")));
    cr_assert(yaml_is_plain(on));
    cr_assert_eq(yaml_place(yaml_key(root, 3)).line, 9);
    cr_assert_eq(yaml_kind(yaml_get(root, SLICE("nothing"))), YAML_MISSING);
    cr_assert_eq(yaml_kind(yaml_get(root, SLICE("none"))), YAML_MISSING);
    cr_assert_null(yaml_get(root, SLICE("absent")));
    cr_assert_null(yaml_item(rules, 2));
    yaml_free(doc);
    findings_fini(&f);
}

Test(yaml, refuses_what_two_readers_would_read_differently)
{
    static const struct {
        const char *text;
        const char *code;
        uint32_t line;
        uint32_t column; // 0: not looked at
    } table[] = {
        {"a: 1\nb: &x 2\n", "anchor", 2, 0},
        {"a: &x 1\nb: *x\n", "alias", 2, 0},
        {"a: 1\nb: !!str 2\n", "tag", 2, 0},
        {"a: !local {b: c}\n", "tag", 1, 0},
        {"a: 1\n<<: {b: 2}\n", "merge-key", 2, 1},
        {"a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n", "duplicate-key", 5, 3},
        {"a: 1\n\"a\": 2\n", "duplicate-key", 2, 1},
        {"{a: 1, b: 2, a: 3}\n", "duplicate-key", 1, 14},
        {"a: 1\n---\nb: 2\n", "several-documents", 2, 1},
        {"a: 1\n...\n---\nb: 2\n", "several-documents", 3, 1},
        {"? [a, b]\n: c\n", "wrong-key", 1, 3},
        {"~: c\n", "wrong-key", 1, 1},
        {"%YAML 1.1\n---\na: 1\n", "directive", 1, 1},
        {"%TAG ! tag:x.example,2000:\n---\na: 1\n", "directive", 1, 1},
        {"a: b\nc: \xff\xfe\n", "encoding", 2, 4},
        {"a: \xc0\xaf\n", "encoding", 1, 4},
        {"a: \xed\xa0\x80\n", "encoding", 1, 4},
        {"a: b\x01\n", "encoding", 1, 5},
        {"a: \"\\0\"\n", "encoding", 1, 4},
        {"", "empty", 0, 0},
        {"# only words\n", "empty", 0, 0},
        {"--- ~\n", "empty", 0, 0},
        {"a: [1, 2\nb: 3\n", "syntax", 0, 0},
        {"a: 'open\n", "syntax", 0, 0},
        {"a: b: c\n", "syntax", 1, 0},
        {"a:\n\t- b\n", "syntax", 2, 0},
        {"a: 1\n  b: 2\n", "syntax", 0, 0},
        {"\"\\x\": 1\n", "syntax", 1, 0},
        {"a: }\n", "syntax", 1, 0},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct findings f;
        struct yaml_doc *doc = parse(table[i].text, &f);
        cr_expect_null(doc, "'%s' is taken", table[i].text);
        cr_expect_geq(f.errors, 1);
        bool found = false;
        for (size_t n = 0; n < f.count; n++)
            found = found || (strcmp(f.at[n].code, table[i].code) == 0 &&
                              (!table[i].line || f.at[n].place.line == table[i].line) &&
                              (!table[i].column || f.at[n].place.column == table[i].column));
        if (!found)
            findings_print(&f, stderr);
        cr_expect(found, "'%s' lacks %s at %u:%u", table[i].text, table[i].code, table[i].line,
                  table[i].column);
        yaml_free(doc);
        findings_fini(&f);
    }
}

Test(yaml, reports_every_violation_and_not_only_the_first)
{
    struct findings f;
    cr_assert_null(parse("a: &x 1\nb: *x\nc: !t 1\na: 2\n", &f));
    cr_assert_eq(f.errors, 4);
    findings_fini(&f);
}

static char *nested(size_t depth, char open, char close)
{
    char *text = mem_array(char, depth * 2 + 1);
    memset(text, open, depth);
    memset(text + depth, close, depth);
    return text;
}

Test(yaml, stops_below_the_stated_depth)
{
    struct findings f;
    char *text = nested(YAML_MAX_DEPTH, '[', ']');
    struct yaml_doc *doc = parse(text, &f);
    cr_expect_not_null(doc);
    yaml_free(doc);
    findings_fini(&f);
    mem_free(text);
    static const size_t too_deep[] = {YAML_MAX_DEPTH + 1, 100, 200000};
    for (size_t i = 0; i < sizeof(too_deep) / sizeof(too_deep[0]); i++) {
        text = nested(too_deep[i], '[', ']');
        cr_expect_null(parse(text, &f));
        cr_expect_geq(f.errors, 1);
        findings_fini(&f);
        mem_free(text);
    }
}

Test(yaml, refuses_more_bytes_than_stated)
{
    struct findings f;
    char *text = mem_array(char, YAML_MAX_BYTES + 2);
    memset(text, 'a', YAML_MAX_BYTES + 1);
    cr_expect_null(parse(text, &f));
    cr_assert_eq(f.count, 1);
    cr_expect_str_eq(f.at[0].code, "too-large");
    findings_fini(&f);
    mem_free(text);
}

/* The value of the one key of `text` as a reader gives it; false where the reader refuses. */
static bool read_one(const char *text,
                     bool (*reader)(const struct yaml *, int64_t *, struct findings *),
                     int64_t *out)
{
    struct findings f;
    struct yaml_doc *doc = parse(text, &f);
    cr_assert_not_null(doc, "%s", text);
    const bool is_read = reader(yaml_get(yaml_root(doc), SLICE("v")), out, &f);
    cr_expect_eq(is_read, f.errors == 0, "%s", text);
    yaml_free(doc);
    findings_fini(&f);
    return is_read;
}

static bool as_int(const struct yaml *n, int64_t *out, struct findings *f)
{
    return yaml_int(n, "v", -10, 100, out, f);
}

static bool as_bool(const struct yaml *n, int64_t *out, struct findings *f)
{
    bool value = false;
    const bool is_read = yaml_bool(n, "v", &value, f);
    if (is_read)
        *out = value;
    return is_read;
}

static bool as_duration(const struct yaml *n, int64_t *out, struct findings *f)
{
    return yaml_duration_ms(n, "v", 1, (int64_t)30 * 24 * 3600 * 1000, out, f);
}

static bool as_bytes(const struct yaml *n, int64_t *out, struct findings *f)
{
    return yaml_bytes(n, "v", 1, (int64_t)8 << 30, out, f);
}

static bool as_time(const struct yaml *n, int64_t *out, struct findings *f)
{
    return yaml_time(n, "v", out, f);
}

Test(yaml, readers_take_one_spelling_and_no_other)
{
    static const struct {
        const char *text;
        bool (*reader)(const struct yaml *, int64_t *, struct findings *);
        int64_t value; // INT64_MIN: refused
    } table[] = {
        {"v: 42", as_int, 42},
        {"v: -10", as_int, -10},
        {"v: 0", as_int, 0},
        {"v: 101", as_int, INT64_MIN},
        {"v: -11", as_int, INT64_MIN},
        {"v: 010", as_int, INT64_MIN},
        {"v: -0", as_int, INT64_MIN},
        {"v: +1", as_int, INT64_MIN},
        {"v: 0x10", as_int, INT64_MIN},
        {"v: 1e1", as_int, INT64_MIN},
        {"v: '42'", as_int, INT64_MIN},
        {"v: 99999999999999999999", as_int, INT64_MIN},
        {"v: [42]", as_int, INT64_MIN},
        {"v:", as_int, INT64_MIN},
        {"v: true", as_bool, 1},
        {"v: false", as_bool, 0},
        {"v: yes", as_bool, INT64_MIN},
        {"v: True", as_bool, INT64_MIN},
        {"v: 'true'", as_bool, INT64_MIN},
        {"v: 500ms", as_duration, 500},
        {"v: 30s", as_duration, 30000},
        {"v: 5m", as_duration, 300000},
        {"v: 12h", as_duration, 43200000},
        {"v: 7d", as_duration, 604800000},
        {"v: 31d", as_duration, INT64_MIN},
        {"v: 30", as_duration, INT64_MIN},
        {"v: 30 s", as_duration, INT64_MIN},
        {"v: -5s", as_duration, INT64_MIN},
        {"v: 9223372036854775807d", as_duration, INT64_MIN},
        {"v: 4096", as_bytes, 4096},
        {"v: 64KiB", as_bytes, 65536},
        {"v: 1GiB", as_bytes, 1 << 30},
        {"v: 64KB", as_bytes, INT64_MIN},
        {"v: 9GiB", as_bytes, INT64_MIN},
        {"v: 1970-01-01T00:00:00Z", as_time, 0},
        {"v: 2000-02-29T00:00:00Z", as_time, 951782400},
        {"v: 2026-11-24T05:48:49Z", as_time, 1795499329},
        {"v: 2027-01-01T00:00:00Z", as_time, 1798761600},
        {"v: 2400-03-01T00:00:00Z", as_time, 13574649600},
        {"v: 2026-02-29T00:00:00Z", as_time, INT64_MIN},
        {"v: 2100-02-29T00:00:00Z", as_time, INT64_MIN},
        {"v: 2026-13-01T00:00:00Z", as_time, INT64_MIN},
        {"v: 2026-01-01T24:00:00Z", as_time, INT64_MIN},
        {"v: 2026-01-01T00:00:00+01:00", as_time, INT64_MIN},
        {"v: 2026-01-01", as_time, INT64_MIN},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        int64_t value = INT64_MIN;
        const bool is_read = read_one(table[i].text, table[i].reader, &value);
        cr_expect_eq(is_read, table[i].value != INT64_MIN, "%s", table[i].text);
        cr_expect_eq(value, table[i].value, "%s gives %lld", table[i].text, (long long)value);
    }
}

Test(yaml, names_an_unknown_key_and_the_nearest_known_one)
{
    static const struct slice allowed[] = {SLICE_INIT("host"), SLICE_INIT("upstreams")};
    struct findings f;
    struct yaml_doc *doc = parse("host: a\nupstream: b\n", &f);
    cr_assert_not(yaml_check_keys(yaml_root(doc), "the application", allowed, 2, &f));
    cr_assert_eq(f.errors, 1);
    cr_expect_str_eq(f.at[0].code, "unknown-key");
    cr_expect_eq(f.at[0].place.line, 2);
    cr_expect_not_null(strstr(f.at[0].text, "did you mean 'upstreams'?"));
    yaml_free(doc);
    findings_fini(&f);
}
