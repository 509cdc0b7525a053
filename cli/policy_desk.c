// SPDX-License-Identifier: EUPL-1.2
/* The store and the trust, and what both say of a document. The charter of the store counts here
 * only as it does at a gateway: verified by the keys that the configuration names. */
#include "cli/policy_desk.h"

#include "base/fault.h"
#include "base/mem.h"
#include "cli/policy_in.h"
#include "cli/policy_tool.h"
#include "policy/delegation.h"

/* ---- opening ---- */

static bool verify_charter(const struct desk *d, const struct paper *p, struct fault *f)
{
    return envelope_verify(&p->envelope, DOCUMENT_CHARTER, d->config->federation_keys,
                           d->config->federation_key_count, 1, f);
}

static void find_charter(struct desk *d)
{
    struct paper p = {.serial = 0};
    struct fault f;
    d->no_charter = "the store has no charter";
    if (desk_take(d, STORE_DOCUMENT, "charter", &p) != EXIT_OK) {
        d->no_charter = "the charter in the store is damaged";
    } else if (p.bytes.len) {
        if (p.kind != DOCUMENT_CHARTER || !verify_charter(d, &p, &f))
            d->no_charter = "no federation key of the configuration has signed the store's charter";
        else if (policy_now().s > p.not_after_s + p.charter->grace_s)
            d->no_charter = "the store's charter has ended";
        else if (p.serial < d->config->min_charter_serial)
            d->no_charter = "the store's charter is older than trust.min_charter_serial";
        else
            d->no_charter = NULL;
    }
    if (!d->no_charter) {
        d->charter = p.charter;
        p.charter = NULL;
    }
    paper_fini(&p);
}

int desk_open(struct desk *d, const struct desk_options *o)
{
    struct redis_address address = {.port = 0};
    struct fault f;
    *d = (struct desk){.no_charter = "-c names whom to trust, --store does not"};
    if (o->config_path) {
        struct findings findings;
        findings_init(&findings);
        d->config = config_read(o->config_path, &findings);
        const int code = policy_conclude(&findings, stderr);
        if (!d->config)
            return code == EXIT_OK ? EXIT_TROUBLE : code;
        address = d->config->store;
    } else if (!redis_address_parse(&address, slice_of(o->store_url), &f)) {
        return policy_trouble(&f);
    }
    d->store = store_open(&address, &f);
    if (!d->store) {
        config_free(d->config);
        return policy_trouble(&f);
    }
    if (d->config)
        find_charter(d);
    return EXIT_OK;
}

void desk_close(struct desk *d)
{
    store_close(d->store);
    charter_free(d->charter);
    config_free(d->config);
}

struct slice desk_entity(const char *name)
{
    return strcmp(name, "charter") == 0 ? SLICE("") : slice_of(name);
}

int desk_take(const struct desk *d, enum store_shelf shelf, const char *name, struct paper *p)
{
    struct slice bytes = {NULL, 0};
    struct fault f;
    *p = (struct paper){.serial = 0};
    if (!document_name_is_valid(slice_of(name))) {
        (void)fault_set(&f, FAULT_CONFIG, "'%s' is no entity's id, and not 'charter'", name);
        return policy_trouble(&f);
    }
    if (!store_get(d->store, shelf, desk_entity(name), &bytes, &f))
        return policy_trouble(&f);
    const int code = bytes.len ? paper_from_bytes(p, bytes, name) : EXIT_OK;
    if (code == EXIT_OK && bytes.len && shelf == STORE_DRAFT)
        p->drafted = mem_slice(bytes);
    mem_slice_free(&bytes);
    if (code != EXIT_OK || !p->bytes.len || slice_eq(p->entity, desk_entity(name)))
        return code;
    (void)fault_set(&f, FAULT_TRUST, "the store shows another document under the name '%s'", name);
    paper_fini(p);
    return policy_trouble(&f);
}

/* ---- judging ---- */

/* Of a bundle; NULL: the charter does not name it. */
static const struct charter_entity *entity_of(const struct desk *d, const struct paper *p)
{
    bool is_shadow;
    return charter_entity(d->charter, document_entity(p->entity, &is_shadow));
}

/* The keys that may sign it now, and how many must; the room is for the most there may be. */
struct keys {
    struct envelope_key at[ENVELOPE_SIGNATURES_MAX];
    uint32_t count;
    uint32_t needed;
};

static void charter_keys(const struct desk *d, const struct paper *p, struct keys *out)
{
    out->needed = 1;
    for (uint32_t i = 0; i < d->config->federation_key_count; i++) {
        const struct envelope_key *k = &d->config->federation_keys[i];
        if (!charter_revokes(p->charter, &k->key) &&
            !(d->charter && charter_revokes(d->charter, &k->key)))
            out->at[out->count++] = *k;
    }
}

static bool find_keys(const struct desk *d, const struct paper *p, struct keys *out,
                      struct fault *why)
{
    *out = (struct keys){.count = 0};
    if (p->kind == DOCUMENT_CHARTER) {
        charter_keys(d, p, out);
        return true;
    }
    if (!d->charter)
        return fault_set(why, FAULT_TRUST, "%s", d->no_charter);
    const struct charter_entity *e = entity_of(d, p);
    if (!e)
        return fault_set(why, FAULT_TRUST, "the charter knows no entity '%.*s'",
                         SLICE_ARG(p->entity));
    out->count = delegation_keys(e, policy_now(), out->at);
    out->needed = e->approvals;
    return true;
}

static bool has_signed(const struct paper *p, const struct envelope_key *k)
{
    struct fault unread;
    return envelope_verify(&p->envelope, p->kind, k, 1, 1, &unread);
}

static bool is_delegated(const struct desk *d, const struct paper *p, struct fault *why)
{
    if (p->kind == DOCUMENT_CHARTER)
        return p->serial >= d->config->min_charter_serial ||
               fault_set(why, FAULT_TRUST, "trust.min_charter_serial asks for at least %lld",
                         (long long)d->config->min_charter_serial);
    const struct charter_entity *e = entity_of(d, p);
    if (p->serial < e->min_serial)
        return fault_set(why, FAULT_TRUST, "the charter asks for a serial of at least %lld",
                         (long long)e->min_serial);
    return delegation_has_bundle(e, p->bundle, why);
}

static uint32_t count_signed(const struct paper *p, const struct keys *keys)
{
    const struct envelope_key *counted[ENVELOPE_SIGNATURES_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < keys->count; i++) {
        uint32_t k = 0;
        while (k < count && !envelope_same_hand(counted[k], &keys->at[i]))
            k++;
        if (k == count && has_signed(p, &keys->at[i]))
            counted[count++] = &keys->at[i];
    }
    return count;
}

bool desk_knows(const struct desk *d, const struct paper *p)
{
    const struct charter_entity *e = d->charter ? entity_of(d, p) : NULL;
    if (!d->config)
        return true;
    for (uint32_t i = 0; p->kind == DOCUMENT_CHARTER && i < d->config->federation_key_count; i++)
        if (has_signed(p, &d->config->federation_keys[i]))
            return true;
    for (uint32_t i = 0; p->kind == DOCUMENT_BUNDLE && e && i < e->key_count; i++)
        if (has_signed(p, &e->keys[i].key))
            return true;
    return false;
}

enum desk_verdict desk_judge(const struct desk *d, const struct paper *p, struct fault *why)
{
    struct keys keys;
    if (!d->config)
        return DESK_UNKNOWN;
    if (policy_now().s > p->not_after_s) {
        (void)fault_set(why, FAULT_TRUST, "its not_after has passed");
        return DESK_REFUSED;
    }
    if (!find_keys(d, p, &keys, why) || !is_delegated(d, p, why))
        return DESK_REFUSED;
    if (envelope_verify(&p->envelope, p->kind, keys.at, keys.count, keys.needed, why))
        return DESK_GOOD;
    const uint32_t count = count_signed(p, &keys);
    if (count >= keys.needed) // enough hold, but one beside them does not
        return DESK_REFUSED;
    for (uint32_t i = 0; i < p->envelope.signature_count; i++)
        for (uint32_t k = 0; k < keys.count; k++)
            if (slice_eq(p->envelope.signatures[i].key_id, keys.at[k].id) &&
                !has_signed(p, &keys.at[k]))
                return DESK_REFUSED;
    (void)fault_set(why, FAULT_TRUST, "%u of %u approvals", count, keys.needed);
    return DESK_MISSING;
}

static bool is_among(const struct keys *keys, struct slice id)
{
    for (uint32_t i = 0; i < keys->count; i++)
        if (slice_eq(keys->at[i].id, id))
            return true;
    return false;
}

void desk_print_signatures(const struct desk *d, const struct paper *p, FILE *out)
{
    struct keys keys = {.count = 0};
    struct fault why;
    const bool is_known = d->config && find_keys(d, p, &keys, &why);
    for (uint32_t i = 0; is_known && i < keys.count; i++)
        screen_print(out, "  %-8s %.*s%s%.*s\n", has_signed(p, &keys.at[i]) ? "signed" : "missing",
                     SLICE_ARG(keys.at[i].id), keys.at[i].owner.len ? "  " : "",
                     SLICE_ARG(keys.at[i].owner));
    for (uint32_t i = 0; i < p->envelope.signature_count; i++)
        if (!is_among(&keys, p->envelope.signatures[i].key_id))
            screen_print(out, "  %-8s %.*s%s\n", is_known ? "foreign" : "signature",
                         SLICE_ARG(p->envelope.signatures[i].key_id),
                         is_known ? "  may not sign this" : "  not judged");
    if (is_known)
        (void)fprintf(out, "  %u of %u approvals\n", count_signed(p, &keys), keys.needed);
}

static void add_signature(json_t *list, struct slice key, struct slice owner, const char *state)
{
    json_t *one = json_object();
    (void)json_object_set_new(one, "key", json_text(key));
    if (owner.len)
        (void)json_object_set_new(one, "owner", json_text(owner));
    (void)json_object_set_new(one, "state", json_string(state));
    (void)json_array_append_new(list, one);
}

json_t *desk_signatures_json(const struct desk *d, const struct paper *p)
{
    struct keys keys = {.count = 0};
    struct fault why;
    const bool is_known = d->config && find_keys(d, p, &keys, &why);
    json_t *out = json_object(), *list = json_array();
    for (uint32_t i = 0; is_known && i < keys.count; i++)
        add_signature(list, keys.at[i].id, keys.at[i].owner,
                      has_signed(p, &keys.at[i]) ? "signed" : "missing");
    for (uint32_t i = 0; i < p->envelope.signature_count; i++)
        if (!is_among(&keys, p->envelope.signatures[i].key_id))
            add_signature(list, p->envelope.signatures[i].key_id, SLICE(""),
                          is_known ? "foreign" : "not judged");
    (void)json_object_set_new(out, "signatures", list);
    if (is_known) {
        (void)json_object_set_new(out, "given", json_integer(count_signed(p, &keys)));
        (void)json_object_set_new(out, "needed", json_integer(keys.needed));
    }
    return out;
}

/* ---- signing, storing ---- */

bool desk_sign(struct signers *s, struct paper *p, struct fault *f)
{
    struct buf sealed;
    if (!s->count)
        return true;
    buf_init(&sealed, ENVELOPE_MAX_BYTES);
    const bool is_sealed = signers_seal(s, p->kind, &p->envelope, &sealed, f);
    if (is_sealed) {
        mem_slice_free(&p->bytes);
        p->bytes = mem_slice(buf_slice(&sealed));
    }
    buf_fini(&sealed);
    return is_sealed && envelope_open(&p->envelope, p->bytes, f);
}

static void print_name(const struct paper *p)
{
    (void)printf("%s%.*s", p->kind == DOCUMENT_CHARTER ? "the charter" : "the bundle of ",
                 SLICE_ARG(p->entity));
}

/* Gateways would pass over a bundle in shadow that is not above the one in force. */
static int judge_trial(const struct desk *d, const struct paper *p)
{
    char entity[ENTITY_ID_MAX + 1];
    struct paper in_force;
    struct fault f;
    if (!p->bundle || !p->bundle->is_shadow)
        return EXIT_OK;
    (void)snprintf(entity, sizeof(entity), "%.*s", SLICE_ARG(p->bundle->entity));
    const int code = desk_take(d, STORE_DOCUMENT, entity, &in_force);
    if (code != EXIT_OK)
        return code;
    const int64_t serial = in_force.serial;
    paper_fini(&in_force);
    if (p->serial > serial)
        return EXIT_OK;
    (void)fault_set(
        &f, FAULT_TRUST,
        "not published: in shadow it needs a serial above that of the bundle in force, %lld",
        (long long)serial);
    return policy_trouble(&f);
}

int desk_publish(const struct desk *d, const struct paper *p)
{
    struct fault f;
    uint64_t n = 0;
    const int code = judge_trial(d, p);
    if (code != EXIT_OK)
        return code;
    if (!store_publish(d->store, p->kind, p->entity, p->serial, p->bytes, &n, &f))
        return policy_trouble(&f);
    (void)printf("published ");
    print_name(p);
    (void)printf(", serial %lld, as event %llu\n", (long long)p->serial, (unsigned long long)n);
    return EXIT_OK;
}

int desk_join(const struct desk *d, struct paper *p)
{
    struct envelope e;
    struct fault f;
    mem_slice_free(&p->drafted);
    if (!store_get(d->store, STORE_DRAFT, p->entity, &p->drafted, &f))
        return policy_trouble(&f);
    if (!p->drafted.len)
        return EXIT_OK;
    if (!envelope_open(&e, p->drafted, &f) || !slice_eq(e.payload, p->envelope.payload)) {
        (void)fprintf(stderr, "another draft takes the place of the one in the store\n");
        return EXIT_OK;
    }
    if (p->envelope.signature_count)
        return EXIT_OK; /* it brings its own */
    mem_slice_free(&p->bytes);
    p->bytes = mem_slice(p->drafted);
    return envelope_open(&p->envelope, p->bytes, &f) ? EXIT_OK : policy_trouble(&f);
}

int desk_keep(const struct desk *d, const struct paper *p)
{
    char digest[PAPER_DIGEST_CHARS + 1];
    struct fault f;
    if (!store_put_draft(d->store, p->entity, p->drafted, p->bytes, &f))
        return policy_trouble(&f);
    paper_digest(p, digest);
    (void)printf("draft of ");
    print_name(p);
    (void)printf(", serial %lld, digest %s\n", (long long)p->serial, digest);
    desk_print_signatures(d, p, stdout);
    return EXIT_OK;
}

int desk_publish_or_keep(const struct desk *d, struct signers *s, struct paper *p)
{
    struct fault why = {.code = FAULT_TRUST};
    const int code = desk_join(d, p);
    if (code != EXIT_OK)
        return code;
    if (!desk_sign(s, p, &why))
        return policy_trouble(&why);
    switch (desk_judge(d, p, &why)) {
    case DESK_GOOD:
    case DESK_UNKNOWN:
        return desk_publish(d, p);
    case DESK_MISSING:
        return desk_keep(d, p);
    case DESK_REFUSED:
        break;
    }
    return policy_trouble(&why);
}
