// SPDX-License-Identifier: EUPL-1.2
/* Every way in which a document could get in wrongly, that the last good one stays, and that
 * nothing good outlives the charter it stood on. Documents are written and signed here, with keys
 * made here. */
#include "policy/snapshot.h"

#include <criterion/criterion.h>

#include "base/codec.h"
#include "base/hash.h"
#include "policy/envelope.h"

#define NOW 1780272000 /* 2026-06-01T00:00:00Z */
#define LATER "2027-01-01T00:00:00Z"
#define PAST "2026-05-31T00:00:00Z"

enum { FEDERATION, FIN, SOC, STRANGER, KEY_COUNT };

struct scene {
    struct arena a;
    struct private_key keys[KEY_COUNT];
    char public_text[KEY_COUNT][BASE64_LEN(ED25519_KEY_BYTES) + 1];
    struct envelope_key federation;
    struct serials known;
    struct snapshot_document documents[8];
    struct snapshot_input input;
};

struct charter_spec {
    int64_t serial;
    const char *not_after;
    const char *fin_hosts;
    const char *fin_networks;
    const char *fin_fetch_hosts;
    int fin_key;
    const char *fin_key_end;
    int fin_approvals;
    int64_t fin_min_serial;
    bool without_fin;
    const char *soc_hosts;
    const char *more; /* lines at its end */
};

static const struct charter_spec good_charter = {.serial = 10,
                                                 .not_after = LATER,
                                                 .fin_hosts =
                                                     "tax.fin.localhost, vat.fin.localhost",
                                                 .fin_networks = "127.0.0.1/32",
                                                 .fin_fetch_hosts = "idp.localhost",
                                                 .fin_key = FIN,
                                                 .fin_key_end = LATER,
                                                 .fin_approvals = 1,
                                                 .soc_hosts = "*.soc.localhost"};

struct bundle_spec {
    const char *entity;
    int64_t serial;
    const char *not_after;
    const char *host;
    const char *second_host; /* NULL: one application */
    const char *upstream;
    const char *issuer;
    const char *permitted; /* the path that its one rule permits */
    const char *expected;  /* what its test expects of /a */
    const char *key_id;
    int signer;
    enum document_kind kind;
    bool is_unsigned;
    bool is_shadow;
};

static const struct bundle_spec good_bundle = {.entity = "fin",
                                               .serial = 5,
                                               .not_after = LATER,
                                               .host = "tax.fin.localhost",
                                               .second_host = "vat.fin.localhost",
                                               .upstream = "http://127.0.0.1:9001",
                                               .issuer = "https://idp.localhost:9443",
                                               .permitted = "/a",
                                               .expected = "permit by yes",
                                               .key_id = "fin-1",
                                               .signer = FIN,
                                               .kind = DOCUMENT_BUNDLE};
static const struct bundle_spec soc_bundle = {.entity = "soc",
                                              .serial = 3,
                                              .not_after = LATER,
                                              .host = "care.soc.localhost",
                                              .upstream = "http://127.0.0.2:9001",
                                              .issuer = "https://idp.localhost:9443",
                                              .permitted = "/a",
                                              .expected = "permit",
                                              .key_id = "soc-1",
                                              .signer = SOC,
                                              .kind = DOCUMENT_BUNDLE};

static void scene_init(struct scene *s)
{
    base_init();
    *s = (struct scene){0};
    arena_init(&s->a, NULL);
    for (int i = 0; i < KEY_COUNT; i++) {
        uint8_t raw[64];
        size_t len;
        cr_assert(private_key_make(&s->keys[i], ALGORITHM_ED25519, NULL));
        cr_assert(private_key_public_raw(&s->keys[i], raw, &len, NULL));
        s->public_text[i][base64_encode(s->public_text[i], raw, len)] = '\0';
        if (i == FEDERATION)
            cr_assert(public_key_ed25519(&s->federation.key, slice_from(raw, len), NULL));
    }
    s->federation.id = SLICE("root");
    s->input = (struct snapshot_input){.federation_keys = &s->federation,
                                       .federation_key_count = 1,
                                       .documents = s->documents,
                                       .known = &s->known,
                                       .now = {NOW}};
}

static void scene_fini(struct scene *s)
{
    for (int i = 0; i < KEY_COUNT; i++)
        private_key_fini(&s->keys[i]);
    public_key_fini(&s->federation.key);
    serials_fini(&s->known);
    arena_fini(&s->a);
}

static struct slice seal(struct scene *s, enum document_kind kind, const char *id, int signer,
                         struct slice text)
{
    struct buf out;
    struct envelope_signer with = {slice_of(id), &s->keys[signer]};
    buf_init(&out, ENVELOPE_MAX_BYTES);
    cr_assert(envelope_seal(&out, kind, text, &with, 1, NULL));
    struct slice bytes = arena_copy(&s->a, buf_slice(&out));
    buf_fini(&out);
    return bytes;
}

static struct slice charter_text(struct scene *s, const struct charter_spec *c)
{
    struct slice fin = arena_printf(
        &s->a,
        "  - id: fin\n    hosts: [%s]\n    upstream_networks: [%s]\n    fetch_hosts: [%s]\n"
        "    min_serial: %lld\n    approvals: %d\n    keys:\n"
        "      - { id: fin-1, public: \"%s\", not_after: %s }\n"
        "      - { id: fin-2, public: \"%s\" }\n",
        c->fin_hosts, c->fin_networks, c->fin_fetch_hosts, (long long)c->fin_min_serial,
        c->fin_approvals, s->public_text[c->fin_key], c->fin_key_end, s->public_text[FEDERATION]);
    if (c->without_fin)
        fin = SLICE("");
    return arena_printf(
        &s->a,
        "belfry: charter/v1\nserial: %lld\nnot_after: %s\nentities:\n%.*s"
        "  - id: soc\n    hosts: [\"%s\"]\n    upstream_networks: [127.0.0.0/8]\n"
        "    fetch_hosts: [idp.localhost]\n    keys: [{ id: soc-1, public: \"%s\" }]\n%s",
        (long long)c->serial, c->not_after, SLICE_ARG(fin), c->soc_hosts, s->public_text[SOC],
        c->more ? c->more : "");
}

static struct slice application_text(struct scene *s, const struct bundle_spec *b, const char *host)
{
    if (!host)
        return SLICE("");
    return arena_printf(&s->a,
                        "  - id: at-%s\n    host: %s\n    device: none\n"
                        "    identity_providers: [idp]\n    upstreams: [\"%s\"]\n    rules:\n"
                        "      - { id: yes, permit: { methods: [GET], paths: [\"%s\"] } }\n",
                        host[0] == 't' ? "tax" : "vat", host, b->upstream, b->permitted);
}

static struct slice bundle_text(struct scene *s, const struct bundle_spec *b)
{
    return arena_printf(
        &s->a,
        "belfry: entity/v1\nentity: %s\nserial: %lld\nnot_after: %s\n%sidentity_providers:\n"
        "  - { id: idp, issuer: \"%s\", audiences: [x] }\napplications:\n%.*s%.*s"
        "tests:\n  - { name: t, request: \"GET https://%s/a\", expect: %s }\n",
        b->entity, (long long)b->serial, b->not_after, b->is_shadow ? "mode: shadow\n" : "",
        b->issuer, SLICE_ARG(application_text(s, b, b->host)),
        SLICE_ARG(application_text(s, b, b->second_host)), b->host, b->expected);
}

static void put(struct scene *s, const char *entity, struct slice bytes)
{
    struct slice id = slice_of(entity);
    uint32_t i = 0;
    while (i < s->input.document_count && !slice_eq(s->documents[i].entity, id))
        i++;
    s->documents[i] = (struct snapshot_document){id, bytes};
    if (i == s->input.document_count)
        s->input.document_count++;
}

static void put_charter(struct scene *s, const struct charter_spec *c)
{
    put(s, "", seal(s, DOCUMENT_CHARTER, "root", FEDERATION, charter_text(s, c)));
}

static void put_bundle(struct scene *s, const char *entity, const struct bundle_spec *b)
{
    struct slice text = bundle_text(s, b);
    put(s, entity, b->is_unsigned ? text : seal(s, b->kind, b->key_id, b->signer, text));
}

/* The next snapshot on top of `last`, which is let go. */
static struct snapshot *build(struct scene *s, struct snapshot *last)
{
    s->input.last = last;
    struct snapshot *out = snapshot_build(&s->input);
    snapshot_unref(last);
    s->input.last = NULL;
    return out;
}

static struct snapshot *build_good(struct scene *s)
{
    put_charter(s, &good_charter);
    put_bundle(s, "fin", &good_bundle);
    struct snapshot *out = build(s, NULL);
    for (uint32_t i = 0; i < out->status_count; i++)
        cr_assert_eq(out->status[i].fate, FATE_ACTIVE, "%.*s: %s", SLICE_ARG(out->status[i].entity),
                     out->status[i].why.text);
    cr_assert_eq(out->application_count, 2);
    return out;
}

static const struct document_status *status_of(const struct snapshot *s, const char *entity)
{
    for (uint32_t i = 0; i < s->status_count; i++)
        if (slice_eq(s->status[i].entity, slice_of(entity)))
            return &s->status[i];
    cr_assert(false, "no status of '%s'", entity);
    return NULL;
}

static enum reason route_at(const struct snapshot *s, const char *host, int64_t now)
{
    enum reason why = REASON_INTERNAL;
    const struct application *app = snapshot_route(s, slice_of(host), (struct wall){now}, &why);
    cr_assert_eq(app != NULL, why == REASON_PERMITTED);
    if (app)
        cr_assert(slice_eq(app->host, slice_of(host)));
    return why;
}

static enum reason route(const struct snapshot *s, const char *host)
{
    return route_at(s, host, NOW);
}

static void remember(struct scene *s, const struct snapshot *snapshot)
{
    cr_assert(snapshot_serials(snapshot, &s->known, NULL));
}

Test(snapshot, with_nothing_is_a_snapshot_without_applications)
{
    struct scene s;
    scene_init(&s);
    struct snapshot *n = build(&s, NULL);
    cr_expect_eq(n->application_count, 0);
    cr_expect_eq(n->number, 1);
    cr_expect_null(n->charter);
    cr_expect_eq(route(n, "tax.fin.localhost"), REASON_HOST_UNKNOWN);
    cr_expect_null(snapshot_bundle(n, SLICE("fin")));
    cr_expect_null(snapshot_entity(n, SLICE("fin")));
    cr_expect_eq(status_of(n, "")->fate, FATE_ABSENT);
    snapshot_unref(n);
    scene_fini(&s);
}

Test(snapshot, routes_to_the_applications_of_verified_bundles)
{
    struct scene s;
    scene_init(&s);
    struct snapshot *n = build_good(&s);
    cr_expect_eq(route(n, "tax.fin.localhost"), REASON_PERMITTED);
    cr_expect_eq(route(n, "vat.fin.localhost"), REASON_PERMITTED);
    cr_expect_eq(route(n, "other.fin.localhost"), REASON_HOST_UNKNOWN);
    cr_expect_eq(status_of(n, "fin")->serial, 5);
    cr_expect_eq(status_of(n, "")->serial, 10);
    cr_expect_not_null(n->applications[0]->rules);
    snapshot_unref(n);
    scene_fini(&s);
}

Test(snapshot, refuses_each_bundle_that_does_not_hold_and_keeps_the_last_good_one)
{
#define BAD(WHY, ...)                                                                              \
    {                                                                                              \
        WHY,                                                                                       \
        {                                                                                          \
            .entity = "fin", .serial = 6, .not_after = LATER, .host = "tax.fin.localhost",         \
            .upstream = "http://127.0.0.1:9001", .issuer = "https://idp.localhost:9443",           \
            .permitted = "/b", .expected = "deny", .key_id = "fin-1", .signer = FIN,               \
            .kind = DOCUMENT_BUNDLE, __VA_ARGS__                                                   \
        }                                                                                          \
    }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
    static const struct {
        const char *why;
        struct bundle_spec spec;
    } table[] = {
        BAD("", .signer = STRANGER),                     /* another key under the right id */
        BAD("", .signer = SOC, .key_id = "soc-1"),       /* another entity's */
        BAD("", .signer = STRANGER, .key_id = "mine"),   /* one that nobody knows */
        BAD("", .signer = FEDERATION, .key_id = "root"), /* the federation signs charters */
        BAD("", .kind = DOCUMENT_CHARTER),
        BAD("", .is_unsigned = true),
        BAD("is of entity 'soc'", .entity = "soc"),
        BAD("older", .serial = 4),
        BAD("same serial", .serial = 5),
        BAD("not delegated", .host = "care.soc.localhost"),
        BAD("not delegated", .host = "x.tax.fin.localhost"),
        BAD("not delegated", .second_host = "new.fin.localhost"),
        BAD("outside", .upstream = "http://127.0.0.2:9001"),
        BAD("outside", .upstream = "http://169.254.169.254:80"),
        BAD("fetch_hosts", .issuer = "https://idp.example"),
        BAD("fetch_hosts", .issuer = "https://idp.localhost.example"),
        BAD("'t' expects deny", .permitted = "/a"),
        BAD("", .not_after = "never"),
    };
#pragma GCC diagnostic pop
    struct scene s;
    scene_init(&s);
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct snapshot *last = build_good(&s);
        const struct bundle_ref *good = map_get(&last->entities, SLICE("fin"));
        put_bundle(&s, "fin", &table[i].spec);
        struct snapshot *n = build(&s, last);
        cr_expect_eq(map_get(&n->entities, SLICE("fin")), good, "row %zu", i);
        cr_expect_eq(n->application_count, 2, "row %zu", i);
        cr_expect_eq(status_of(n, "fin")->fate, FATE_REFUSED, "row %zu", i);
        cr_expect_eq(status_of(n, "fin")->serial, 5, "row %zu", i);
        cr_expect(strstr(status_of(n, "fin")->why.text, table[i].why) &&
                      status_of(n, "fin")->why.text[0],
                  "row %zu: %s", i, status_of(n, "fin")->why.text);
        /* A gateway that only remembers the serial doesn't take it either. */
        remember(&s, n);
        snapshot_unref(n);
        n = build(&s, NULL);
        cr_expect_eq(n->application_count, 0, "row %zu", i);
        cr_expect_eq(status_of(n, "fin")->serial, 0, "row %zu", i);
        snapshot_unref(n);
        serials_fini(&s.known);
    }
    scene_fini(&s);
}

Test(snapshot, takes_a_newer_bundle_in_place_of_the_last)
{
    struct scene s;
    scene_init(&s);
    struct snapshot *n = build_good(&s);
    struct bundle_spec next = good_bundle;
    next.serial = 6;
    next.second_host = NULL;
    put_bundle(&s, "fin", &next);
    n = build(&s, n);
    cr_expect_eq(status_of(n, "fin")->fate, FATE_ACTIVE);
    cr_expect_eq(n->number, 2);
    /* What the entity itself took away is not withdrawn: it is not there. */
    cr_expect_eq(route(n, "vat.fin.localhost"), REASON_HOST_UNKNOWN);
    snapshot_unref(n);
    scene_fini(&s);
}

Test(snapshot, refuses_each_charter_that_does_not_hold_and_keeps_the_last_good_one)
{
    static const struct {
        const char *why;
        enum document_fate fate;
        int64_t serial, min_serial;
        const char *not_after;
        int signer;
        enum document_kind kind;
        bool is_broken;
    } table[] = {
        {"", FATE_REFUSED, 11, 0, LATER, FIN, DOCUMENT_CHARTER, false},
        {"", FATE_REFUSED, 11, 0, LATER, FEDERATION, DOCUMENT_BUNDLE, false},
        {"unknown", FATE_REFUSED, 11, 0, LATER, FEDERATION, DOCUMENT_CHARTER, true},
        {"older", FATE_REFUSED, 9, 0, LATER, FEDERATION, DOCUMENT_CHARTER, false},
        {"same serial", FATE_REFUSED, 10, 0, LATER, FEDERATION, DOCUMENT_CHARTER, false},
        {"least accepted", FATE_REFUSED, 9, 10, LATER, FEDERATION, DOCUMENT_CHARTER, false},
        {"not_after", FATE_EXPIRED, 11, 0, PAST, FEDERATION, DOCUMENT_CHARTER, false},
    };
    struct scene s;
    scene_init(&s);
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct snapshot *last = build_good(&s);
        const struct charter_ref *good = last->charter;
        struct charter_spec spec = good_charter;
        spec.serial = table[i].serial;
        spec.not_after = table[i].not_after;
        spec.more = table[i].is_broken ? "unknown: 1\n" : NULL;
        spec.fin_networks = "127.0.0.0/8";
        s.input.min_charter_serial = table[i].min_serial;
        put(&s, "", seal(&s, table[i].kind, "root", table[i].signer, charter_text(&s, &spec)));
        struct snapshot *n = build(&s, last);
        cr_expect_eq(n->charter, good, "row %zu", i);
        cr_expect_eq(n->application_count, 2, "row %zu", i);
        cr_expect_eq(status_of(n, "")->fate, table[i].fate, "row %zu", i);
        cr_expect(strstr(status_of(n, "")->why.text, table[i].why), "row %zu: %s", i,
                  status_of(n, "")->why.text);
        cr_expect_eq(status_of(n, "")->serial, 10);
        remember(&s, n);
        snapshot_unref(n);
        n = build(&s, NULL);
        cr_expect_null(n->charter, "row %zu", i);
        cr_expect_eq(n->application_count, 0, "row %zu", i);
        cr_expect_eq(status_of(n, "fin")->fate, FATE_REFUSED, "row %zu", i);
        snapshot_unref(n);
        serials_fini(&s.known);
        s.input.min_charter_serial = 0;
    }
    scene_fini(&s);
}

Test(snapshot, keeps_what_it_has_where_the_store_withholds_it)
{
    struct scene s;
    scene_init(&s);
    struct snapshot *n = build_good(&s);
    s.input.document_count = 0;
    n = build(&s, n);
    cr_expect_eq(n->application_count, 2);
    cr_expect_eq(status_of(n, "")->fate, FATE_ABSENT);
    cr_expect_eq(status_of(n, "fin")->fate, FATE_ABSENT);
    cr_expect_eq(status_of(n, "fin")->serial, 5);
    snapshot_unref(n);
    scene_fini(&s);
}

Test(snapshot, shares_what_did_not_change)
{
    struct scene s;
    scene_init(&s);
    struct snapshot *first = build_good(&s);
    put_bundle(&s, "soc", &soc_bundle);
    struct snapshot *second = build(&s, snapshot_ref(first));
    cr_expect_eq(second->charter, first->charter);
    cr_expect_eq(map_get(&second->entities, SLICE("fin")), map_get(&first->entities, SLICE("fin")));
    cr_expect_eq(status_of(second, "fin")->fate, FATE_UNCHANGED);
    cr_expect_eq(status_of(second, "")->fate, FATE_UNCHANGED);
    cr_expect_eq(status_of(second, "soc")->fate, FATE_ACTIVE);
    cr_expect_eq(first->charter->references, 2);
    snapshot_unref(first); /* the parts live on in the second */
    cr_expect_eq(second->charter->references, 1);
    cr_expect_eq(route(second, "tax.fin.localhost"), REASON_PERMITTED);
    /* A new charter judges again, and loads nothing again. */
    struct charter_spec next = good_charter;
    next.serial = 11;
    put_charter(&s, &next);
    struct snapshot *third = build(&s, snapshot_ref(second));
    cr_expect_neq(third->charter, second->charter);
    cr_expect_eq(map_get(&third->entities, SLICE("fin")), map_get(&second->entities, SLICE("fin")));
    snapshot_unref(second);
    snapshot_unref(third);
    scene_fini(&s);
}

Test(snapshot, leaves_out_at_once_what_a_new_charter_withdraws)
{
    static const struct {
        const char *hosts, *networks, *fetch_hosts;
        uint32_t left;
        enum reason tax, vat;
    } table[] = {
        {"tax.fin.localhost", "127.0.0.1/32", "idp.localhost", 1, REASON_PERMITTED,
         REASON_NOT_DELEGATED},
        {"tax.fin.localhost, vat.fin.localhost", "127.0.0.9/32", "idp.localhost", 0,
         REASON_NOT_DELEGATED, REASON_NOT_DELEGATED},
        {"tax.fin.localhost, vat.fin.localhost", "127.0.0.1/32", "other.localhost", 0,
         REASON_NOT_DELEGATED, REASON_NOT_DELEGATED},
    };
    struct scene s;
    scene_init(&s);
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct charter_spec narrow = good_charter;
        narrow.serial = 11;
        narrow.fin_hosts = table[i].hosts;
        narrow.fin_networks = table[i].networks;
        narrow.fin_fetch_hosts = table[i].fetch_hosts;
        struct snapshot *last = build_good(&s);
        remember(&s, last);
        put_charter(&s, &narrow);
        struct snapshot *n = build(&s, snapshot_ref(last));
        for (int again = 0; again < 2; again++) {
            cr_expect_eq(n->application_count, table[i].left, "row %zu", i);
            cr_expect_eq(route(n, "tax.fin.localhost"), table[i].tax, "row %zu", i);
            cr_expect_eq(route(n, "vat.fin.localhost"), table[i].vat, "row %zu", i);
            n = build(&s, n); /* the snapshot after that says the same */
        }
        snapshot_unref(n);
        /* So does a gateway that starts now and remembers that this bundle was active. */
        n = build(&s, NULL);
        cr_expect_eq(n->application_count, table[i].left, "row %zu", i);
        cr_expect_eq(route(n, "vat.fin.localhost"), table[i].vat, "row %zu", i);
        snapshot_unref(n);
        /* One that remembers nothing refuses the whole. */
        serials_fini(&s.known);
        n = build(&s, NULL);
        cr_expect_eq(n->application_count, 0, "row %zu", i);
        snapshot_unref(n);
        snapshot_unref(last);
    }
    scene_fini(&s);
}

Test(snapshot, drops_what_a_revoked_key_signed)
{
    struct scene s;
    scene_init(&s);
    struct snapshot *n = build_good(&s);
    struct charter_spec rotated = good_charter;
    rotated.serial = 11;
    rotated.fin_key = STRANGER; /* another key under the same id */
    put_charter(&s, &rotated);
    for (int again = 0; again < 2; again++) {
        n = build(&s, n);
        cr_expect_eq(n->application_count, 0);
        cr_expect_null(snapshot_bundle(n, SLICE("fin")));
        cr_expect_eq(route(n, "tax.fin.localhost"), REASON_NOT_DELEGATED);
        cr_expect_eq(status_of(n, "fin")->fate, FATE_REFUSED);
    }
    /* The same text, signed by the new key: the serial is no conflict. */
    struct bundle_spec again = good_bundle;
    again.signer = STRANGER;
    put_bundle(&s, "fin", &again);
    n = build(&s, n);
    cr_expect_eq(n->application_count, 2);
    cr_expect_eq(route(n, "tax.fin.localhost"), REASON_PERMITTED);
    snapshot_unref(n);
    scene_fini(&s);
}

Test(snapshot, drops_what_a_key_signed_whose_time_has_passed)
{
    struct scene s;
    scene_init(&s);
    struct charter_spec short_lived = good_charter;
    short_lived.fin_key_end = "2026-06-02T00:00:00Z";
    put_charter(&s, &short_lived);
    put_bundle(&s, "fin", &good_bundle);
    struct snapshot *n = build(&s, NULL);
    cr_expect_eq(n->application_count, 2);
    s.input.now.s = NOW + 2 * 86400; /* the same charter, the same bundle */
    n = build(&s, n);
    cr_expect_eq(n->application_count, 0);
    cr_expect_eq(route(n, "tax.fin.localhost"), REASON_NOT_DELEGATED);
    snapshot_unref(n);
    n = build(&s, NULL);
    cr_expect_eq(n->application_count, 0);
    snapshot_unref(n);
    scene_fini(&s);
}

Test(snapshot, drops_a_bundle_below_the_least_serial_of_a_new_charter)
{
    struct scene s;
    scene_init(&s);
    struct snapshot *n = build_good(&s);
    struct charter_spec next = good_charter;
    next.serial = 11;
    next.fin_min_serial = 6;
    put_charter(&s, &next);
    n = build(&s, n);
    cr_expect_eq(n->application_count, 0);
    cr_expect_eq(route(n, "tax.fin.localhost"), REASON_NOT_DELEGATED);
    snapshot_unref(n);
    scene_fini(&s);
}

Test(snapshot, needs_as_many_approvals_as_the_charter_says)
{
    struct scene s;
    scene_init(&s);
    struct charter_spec two = good_charter;
    two.fin_approvals = 2;
    put_charter(&s, &two);
    put_bundle(&s, "fin", &good_bundle);
    struct snapshot *n = build(&s, NULL);
    cr_expect_eq(n->application_count, 0);
    struct buf out;
    struct envelope_signer both[] = {{SLICE("fin-1"), &s.keys[FIN]},
                                     {SLICE("fin-2"), &s.keys[FEDERATION]}};
    buf_init(&out, ENVELOPE_MAX_BYTES);
    cr_assert(envelope_seal(&out, DOCUMENT_BUNDLE, bundle_text(&s, &good_bundle), both, 2, NULL));
    put(&s, "fin", buf_slice(&out));
    n = build(&s, n);
    cr_expect_eq(n->application_count, 2);
    buf_fini(&out);
    snapshot_unref(n);
    scene_fini(&s);
}

Test(snapshot, refuses_more_applications_or_rules_than_the_charter_gives)
{
    static const char *const limits[] = {"{ applications: 1 }", "{ rules: 1 }"};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct scene s;
        scene_init(&s);
        put_charter(&s, &good_charter);
        struct slice text = charter_text(&s, &good_charter);
        const char *at =
            strstr(arena_printf(&s.a, "%.*s%c", SLICE_ARG(text), 0).ptr, "    min_serial");
        cr_assert(at);
        const char *begin = at - (strstr(text.ptr, "    min_serial") - text.ptr);
        text =
            arena_printf(&s.a, "%.*s    limits: %s\n%s", (int)(at - begin), begin, limits[i], at);
        put(&s, "", seal(&s, DOCUMENT_CHARTER, "root", FEDERATION, text));
        put_bundle(&s, "fin", &good_bundle);
        struct snapshot *n = build(&s, NULL);
        cr_expect_eq(status_of(n, "")->fate, FATE_ACTIVE, "%s", status_of(n, "")->why.text);
        cr_expect_eq(status_of(n, "fin")->fate, FATE_REFUSED);
        cr_expect(strstr(status_of(n, "fin")->why.text, "may have 1"));
        snapshot_unref(n);
        scene_fini(&s);
    }
}

Test(snapshot, goes_on_in_the_grace_that_the_charter_gives_and_not_a_second_longer)
{
    struct scene s;
    scene_init(&s);
    struct charter_spec kind = good_charter;
    kind.more = "grace: 1d\n";
    put_charter(&s, &kind);
    struct bundle_spec brief = good_bundle;
    brief.not_after = "2026-06-02T00:00:00Z"; /* a day from now */
    put_bundle(&s, "fin", &brief);
    struct snapshot *n = build(&s, NULL);
    cr_expect_eq(route_at(n, "tax.fin.localhost", NOW + 2 * 86400), REASON_PERMITTED);
    cr_expect_eq(route_at(n, "tax.fin.localhost", NOW + 2 * 86400 + 1), REASON_POLICY_EXPIRED);
    snapshot_unref(n);
    s.input.now.s = NOW + 2 * 86400;
    n = build(&s, NULL);
    cr_expect_eq(status_of(n, "fin")->fate, FATE_ACTIVE);
    s.input.now.s++;
    n = build(&s, n);
    cr_expect_eq(status_of(n, "fin")->fate, FATE_EXPIRED);
    snapshot_unref(n);
    kind.not_after = PAST;
    put_charter(&s, &kind);
    s.input.now.s = NOW; /* a day behind the charter's end */
    n = build(&s, NULL);
    cr_expect_eq(status_of(n, "")->fate, FATE_ACTIVE);
    cr_expect_eq(route_at(n, "tax.fin.localhost", NOW), REASON_PERMITTED);
    s.input.now.s++;
    n = build(&s, n);
    cr_expect_eq(status_of(n, "")->fate, FATE_EXPIRED);
    cr_expect_eq(route_at(n, "tax.fin.localhost", NOW + 1), REASON_POLICY_EXPIRED);
    snapshot_unref(n);
    scene_fini(&s);
}

/* The gateway is told to trust two federation keys; one is stolen, and the other's charter says so.
 */
Test(snapshot, takes_no_charter_by_a_key_that_a_charter_revoked)
{
    struct scene s;
    struct envelope_key both[2];
    struct fault f;
    uint8_t raw[64];
    size_t len;
    scene_init(&s);
    both[0] = s.federation;
    both[1] = (struct envelope_key){.id = SLICE("stolen")};
    cr_assert(private_key_public_raw(&s.keys[STRANGER], raw, &len, &f));
    cr_assert(public_key_ed25519(&both[1].key, slice_from(raw, len), &f));
    s.input.federation_keys = both;
    s.input.federation_key_count = 2;
    struct snapshot *n = build_good(&s);
    struct charter_spec next = good_charter;
    next.serial = 11;
    put(&s, "", seal(&s, DOCUMENT_CHARTER, "stolen", STRANGER, charter_text(&s, &next)));
    n = build(&s, n);
    cr_expect_eq(status_of(n, "")->fate, FATE_ACTIVE); /* it is trusted until then */
    next.serial = 12;
    next.more = arena_printf(&s.a, "revoked_keys: [\"%s\"]\n%c", s.public_text[STRANGER], 0).ptr;
    put(&s, "", seal(&s, DOCUMENT_CHARTER, "stolen", STRANGER, charter_text(&s, &next)));
    n = build(&s, n);
    cr_expect_eq(status_of(n, "")->fate, FATE_REFUSED); /* it can't carry its own end */
    put_charter(&s, &next);
    n = build(&s, n);
    cr_expect_eq(status_of(n, "")->fate, FATE_ACTIVE);
    next.serial = 13;
    next.more = NULL;
    put(&s, "", seal(&s, DOCUMENT_CHARTER, "stolen", STRANGER, charter_text(&s, &next)));
    n = build(&s, n);
    cr_expect_eq(status_of(n, "")->fate, FATE_REFUSED);
    cr_expect_eq(n->application_count, 2);
    snapshot_unref(n);
    public_key_fini(&both[1].key);
    scene_fini(&s);
}

Test(snapshot, gives_a_host_to_its_new_owner_and_no_longer_to_the_old_one)
{
    struct scene s;
    scene_init(&s);
    struct snapshot *n = build_good(&s);
    struct charter_spec moved = good_charter;
    moved.serial = 11;
    moved.fin_hosts = "vat.fin.localhost";
    moved.soc_hosts = "tax.fin.localhost";
    struct bundle_spec taken = soc_bundle;
    taken.host = "tax.fin.localhost";
    put_charter(&s, &moved);
    put_bundle(&s, "soc", &taken);
    n = build(&s, n);
    enum reason why;
    const struct application *app =
        snapshot_route(n, SLICE("tax.fin.localhost"), s.input.now, &why);
    cr_assert_not_null(app);
    cr_expect(slice_eq(app->entity, SLICE("soc")));
    cr_expect_eq(n->application_count, 2);
    snapshot_unref(n);
    scene_fini(&s);
}

Test(snapshot, drops_an_entity_that_the_charter_no_longer_names)
{
    struct scene s;
    scene_init(&s);
    struct snapshot *n = build_good(&s);
    struct charter_spec without = good_charter;
    without.serial = 11;
    without.without_fin = true;
    put_charter(&s, &without);
    for (int again = 0; again < 2; again++) {
        n = build(&s, n);
        cr_expect_eq(n->application_count, 0);
        cr_expect_eq(status_of(n, "fin")->fate, FATE_REFUSED);
        cr_expect_eq(route(n, "tax.fin.localhost"), REASON_NOT_DELEGATED);
    }
    snapshot_unref(n);
    scene_fini(&s);
}

Test(snapshot, drops_all_where_the_federation_key_is_no_longer_trusted)
{
    struct scene s;
    scene_init(&s);
    struct snapshot *n = build_good(&s);
    s.input.federation_key_count = 0;
    n = build(&s, n);
    cr_expect_null(n->charter);
    cr_expect_eq(n->application_count, 0);
    cr_expect_eq(route(n, "tax.fin.localhost"), REASON_NOT_DELEGATED);
    snapshot_unref(n);
    scene_fini(&s);
}

Test(snapshot, drops_a_charter_below_the_least_serial_that_is_configured)
{
    struct scene s;
    scene_init(&s);
    struct snapshot *n = build_good(&s);
    s.input.min_charter_serial = 11;
    n = build(&s, n);
    cr_expect_null(n->charter);
    cr_expect_eq(n->application_count, 0);
    cr_expect_eq(status_of(n, "")->fate, FATE_REFUSED);
    snapshot_unref(n);
    scene_fini(&s);
}

Test(snapshot, stops_at_the_end_of_the_bundle_and_of_the_charter)
{
    struct scene s;
    scene_init(&s);
    struct charter_spec brief_charter = good_charter;
    brief_charter.not_after = "2026-06-02T00:00:00Z";
    put_charter(&s, &brief_charter);
    put_bundle(&s, "fin", &good_bundle);
    struct snapshot *n = build(&s, NULL);
    cr_expect_eq(route_at(n, "tax.fin.localhost", n->not_after_s), REASON_PERMITTED);
    cr_expect_eq(route_at(n, "tax.fin.localhost", n->not_after_s + 1), REASON_POLICY_EXPIRED);
    snapshot_unref(n);

    put_charter(&s, &good_charter);
    struct bundle_spec brief = good_bundle;
    brief.not_after = "2026-06-02T00:00:00Z";
    put_bundle(&s, "fin", &brief);
    n = build(&s, NULL);
    cr_expect_eq(route_at(n, "tax.fin.localhost", NOW + 86400), REASON_PERMITTED);
    cr_expect_eq(route_at(n, "tax.fin.localhost", NOW + 86401), REASON_POLICY_EXPIRED);
    /* Also in the snapshots made after that, with and without a last one. */
    s.input.now.s = NOW + 2 * 86400;
    n = build(&s, n);
    cr_expect_eq(route_at(n, "tax.fin.localhost", s.input.now.s), REASON_POLICY_EXPIRED);
    cr_expect_eq(status_of(n, "fin")->fate, FATE_EXPIRED);
    snapshot_unref(n);
    n = build(&s, NULL);
    cr_expect_eq(route_at(n, "tax.fin.localhost", s.input.now.s), REASON_POLICY_EXPIRED);
    cr_expect_eq(n->application_count, 0);
    snapshot_unref(n);
    scene_fini(&s);
}

Test(snapshot, tells_the_serials_of_what_is_active)
{
    struct scene s;
    scene_init(&s);
    struct snapshot *n = build_good(&s);
    struct bundle_spec bad = good_bundle;
    bad.serial = 99;
    bad.host = "care.soc.localhost";
    put_bundle(&s, "fin", &bad);
    n = build(&s, n);
    remember(&s, n);
    cr_expect_eq(serials_find(&s.known, SLICE(""))->serial, 10);
    cr_expect_eq(serials_find(&s.known, SLICE("fin"))->serial, 5); /* not the refused 99 */
    snapshot_unref(n);
    scene_fini(&s);
}

/* ---- in shadow ---- */

static struct bundle_spec trial_of(int64_t serial)
{
    struct bundle_spec trial = good_bundle;
    trial.serial = serial;
    trial.second_host = NULL;
    trial.permitted = "/b";
    trial.expected = "deny";
    trial.is_shadow = true;
    return trial;
}

static int64_t trial_serial(const struct snapshot *s)
{
    const struct bundle *b = snapshot_shadow(s, SLICE("fin"));
    return b ? b->serial : 0;
}

Test(snapshot, has_a_bundle_in_shadow_beside_the_one_in_force)
{
    struct scene s;
    scene_init(&s);
    struct snapshot *n = build_good(&s);
    const struct bundle_spec trial = trial_of(6);
    put_bundle(&s, "fin.shadow", &trial);
    n = build(&s, n);
    cr_expect_eq(status_of(n, "fin.shadow")->fate, FATE_ACTIVE, "%s",
                 status_of(n, "fin.shadow")->why.text);
    cr_expect_eq(trial_serial(n), 6);
    cr_expect_eq(snapshot_bundle(n, SLICE("fin"))->serial, 5);
    cr_expect_eq(n->application_count, 2, "it serves nothing and takes nothing away");
    cr_expect_eq(route(n, "vat.fin.localhost"), REASON_PERMITTED);
    remember(&s, n);
    cr_expect_eq(serials_find(&s.known, SLICE("fin.shadow"))->serial, 6);
    cr_expect_eq(serials_find(&s.known, SLICE("fin"))->serial, 5);
    s.input.document_count = 0; /* the store hides all */
    n = build(&s, n);
    cr_expect_eq(trial_serial(n), 6);
    snapshot_unref(n);
    scene_fini(&s);
}

Test(snapshot, refuses_a_bundle_in_the_place_of_the_other_mode)
{
    struct scene s;
    scene_init(&s);
    struct snapshot *n = build_good(&s);
    const struct bundle_spec trial = trial_of(6);
    struct bundle_spec deciding = good_bundle;
    deciding.serial = 6;
    put_bundle(&s, "fin", &trial);
    put_bundle(&s, "fin.shadow", &deciding);
    n = build(&s, n);
    cr_expect_eq(status_of(n, "fin")->fate, FATE_REFUSED);
    cr_expect_eq(status_of(n, "fin.shadow")->fate, FATE_REFUSED);
    cr_expect_eq(snapshot_bundle(n, SLICE("fin"))->serial, 5);
    cr_expect_not(snapshot_bundle(n, SLICE("fin"))->is_shadow);
    cr_expect_eq(trial_serial(n), 0);
    snapshot_unref(n);
    scene_fini(&s);
}

Test(snapshot, refuses_each_bundle_in_shadow_that_does_not_hold)
{
    struct scene s;
    scene_init(&s);
    struct snapshot *n = build_good(&s);
    struct bundle_spec trial = trial_of(7);
    put_bundle(&s, "fin.shadow", &trial);
    n = build(&s, n);
    struct bundle_spec bad[] = {trial_of(6), trial_of(8), trial_of(8), trial_of(8), trial_of(8)};
    bad[1].signer = STRANGER;
    bad[2].host = "care.soc.localhost";
    bad[3].expected = "permit";
    bad[4].entity = "soc";
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put_bundle(&s, "fin.shadow", &bad[i]);
        n = build(&s, n);
        cr_expect_eq(status_of(n, "fin.shadow")->fate, FATE_REFUSED, "%zu", i);
        cr_expect_eq(trial_serial(n), 7, "%zu", i);
    }
    put_bundle(&s, "nobody.shadow", &trial);
    n = build(&s, n);
    cr_expect_eq(status_of(n, "nobody.shadow")->fate, FATE_REFUSED);
    snapshot_unref(n);
    scene_fini(&s);
}

Test(snapshot, ends_a_trial_when_the_bundle_in_force_has_its_serial)
{
    struct scene s;
    scene_init(&s);
    struct snapshot *n = build_good(&s);
    const struct bundle_spec trial = trial_of(6);
    struct bundle_spec next = good_bundle;
    next.serial = 6;
    put_bundle(&s, "fin.shadow", &trial);
    n = build(&s, n);
    cr_expect_eq(trial_serial(n), 6);
    put_bundle(&s, "fin", &next);
    n = build(&s, n);
    cr_expect_eq(snapshot_bundle(n, SLICE("fin"))->serial, 6);
    cr_expect_eq(trial_serial(n), 0);
    cr_expect_eq(status_of(n, "fin.shadow")->fate, FATE_OVER, "nobody is alarmed");
    const struct bundle_spec second = trial_of(7);
    put_bundle(&s, "fin.shadow", &second);
    n = build(&s, n);
    cr_expect_eq(trial_serial(n), 7);
    snapshot_unref(n);
    scene_fini(&s);
}

Test(snapshot, drops_a_trial_whose_key_is_revoked)
{
    struct scene s;
    scene_init(&s);
    struct snapshot *n = build_good(&s);
    const struct bundle_spec trial = trial_of(6);
    put_bundle(&s, "fin.shadow", &trial);
    n = build(&s, n);
    struct charter_spec other = good_charter;
    other.serial = 11;
    other.fin_key = STRANGER;
    put_charter(&s, &other);
    n = build(&s, n);
    cr_expect_eq(trial_serial(n), 0);
    cr_expect_eq(n->shadow_count, 0);
    snapshot_unref(n);
    scene_fini(&s);
}
