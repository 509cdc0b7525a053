// SPDX-License-Identifier: EUPL-1.2
/* `belfry policy publish`: checks first, as a gateway would, on the very bytes that are then
 * signed. */
#include <stdio.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/yaml.h"
#include "cli/policy_in.h"
#include "cli/signing_key.h"
#include "policy/compile.h"
#include "policy/policy_test.h"
#include "policy/store.h"
#include "proxy/config.h"

struct signer {
    const char *path;
    const char *id; /* NULL: the key's own */
    struct signing_key key;
};

struct publish {
    const char *path;
    bool is_charter;
    struct signer signers[ENVELOPE_SIGNATURES_MAX];
    size_t signer_count;
    const char *config_path;
    const char *store_url;
};

/* False where the arguments are not understood. */
static bool read_options(struct publish *p, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        struct signer *last = p->signer_count ? &p->signers[p->signer_count - 1] : NULL;
        if (argv[i][0] != '-') {
            if (p->path)
                return false;
            p->path = argv[i];
            continue;
        }
        i++;
        if (!value)
            return false;
        if (strcmp(argv[i - 1], "--charter") == 0 && !p->path) {
            p->path = value;
            p->is_charter = true;
        } else if (strcmp(argv[i - 1], "--key") == 0 && p->signer_count < ENVELOPE_SIGNATURES_MAX) {
            p->signers[p->signer_count++].path = value;
        } else if (strcmp(argv[i - 1], "--key-id") == 0 && last && !last->id) {
            last->id = value;
        } else if (strcmp(argv[i - 1], "-c") == 0 && !p->config_path) {
            p->config_path = value;
        } else if (strcmp(argv[i - 1], "--store") == 0 && !p->store_url) {
            p->store_url = value;
        } else {
            return false;
        }
    }
    return p->path && p->signer_count && !p->config_path != !p->store_url;
}

/* What is to be signed: the payload, owned by the caller, and what the store is told of it. */
struct document_text {
    struct slice payload;
    struct slice entity; /* owned; empty: the charter */
    int64_t serial;
};

static bool prepare_charter(struct slice text, const char *path, struct document_text *out,
                            struct findings *f)
{
    struct charter *c = charter_load(text, path, f);
    if (!c)
        return false;
    out->payload = mem_slice(text);
    out->serial = c->serial;
    charter_free(c);
    return true;
}

/* The bytes with everything inside are loaded as a gateway will: without a folder. */
static bool prepare_bundle(struct slice text, const char *path, struct document_text *out,
                           struct findings *f)
{
    if (!bundle_inline(text, path, policy_folder(path), &out->payload, f))
        return false;
    struct bundle *b = bundle_load(out->payload, path, SLICE(""), f);
    if (!b)
        return false;
    bundle_compile(b);
    const bool is_good = policy_test_run(b, policy_now(), f);
    out->entity = mem_slice(b->entity);
    out->serial = b->serial;
    bundle_free(b);
    return is_good;
}

static int prepare(const struct publish *p, struct document_text *out)
{
    struct slice text;
    struct fault fault;
    struct findings f;
    if (!file_read(&text, p->path, YAML_MAX_BYTES, &fault))
        return policy_trouble(&fault);
    findings_init(&f);
    const bool is_good = p->is_charter ? prepare_charter(text, p->path, out, &f)
                                       : prepare_bundle(text, p->path, out, &f);
    mem_slice_free(&text);
    const int code = policy_conclude(&f, stderr);
    return is_good ? code : EXIT_REFUSED;
}

static bool read_signer(struct signer *s, struct envelope_signer *out, struct fault *f)
{
    if (!signing_key_read(&s->key, s->path, f))
        return false;
    out->id = s->id ? slice_of(s->id) : slice_from(s->key.id, sizeof s->key.id);
    out->key = &s->key.key;
    return key_id_is_valid(out->id) ||
           fault_set(f, FAULT_CONFIG,
                     "'%s' is no key id; allowed are letters, digits, '.', '_' and '-'", s->id);
}

static bool seal(struct publish *p, const struct document_text *d, struct buf *out, struct fault *f)
{
    struct envelope_signer signers[ENVELOPE_SIGNATURES_MAX];
    for (size_t i = 0; i < p->signer_count; i++)
        if (!read_signer(&p->signers[i], &signers[i], f))
            return false;
    return envelope_seal(out, p->is_charter ? DOCUMENT_CHARTER : DOCUMENT_BUNDLE, d->payload,
                         signers, p->signer_count, f);
}

static bool sign_and_send(struct publish *p, const struct redis_address *address,
                          const struct document_text *d, struct fault *f)
{
    struct buf envelope;
    uint64_t n = 0;
    buf_init(&envelope, ENVELOPE_MAX_BYTES);
    const bool is_sent = seal(p, d, &envelope, f) &&
                         store_publish(address, p->is_charter ? DOCUMENT_CHARTER : DOCUMENT_BUNDLE,
                                       d->entity, d->serial, buf_slice(&envelope), &n, f);
    for (size_t i = 0; i < p->signer_count; i++)
        signing_key_fini(&p->signers[i].key);
    buf_fini(&envelope);
    if (is_sent)
        (void)printf("published %s%.*s, serial %lld, as event %llu\n",
                     p->is_charter ? "the charter" : "the bundle of ", SLICE_ARG(d->entity),
                     (long long)d->serial, (unsigned long long)n);
    return is_sent;
}

/* The store is where the configuration says, or where --store says. */
static int send_to_store(struct publish *p, const struct document_text *d)
{
    struct redis_address address = {.port = 0};
    struct config *config = NULL;
    struct fault f;
    if (p->config_path) {
        struct findings findings;
        findings_init(&findings);
        config = config_read(p->config_path, &findings);
        const int code = policy_conclude(&findings, stderr);
        if (!config)
            return code == EXIT_OK ? EXIT_TROUBLE : code;
        address = config->store;
    } else if (!redis_address_parse(&address, slice_of(p->store_url), &f)) {
        return policy_trouble(&f);
    }
    const bool is_sent = sign_and_send(p, &address, d, &f);
    config_free(config);
    return is_sent ? EXIT_OK : policy_trouble(&f);
}

int verb_publish(int argc, char **argv)
{
    struct publish p = {.path = NULL};
    struct document_text d = {.serial = 0};
    if (!read_options(&p, argc, argv))
        return policy_usage("publish");
    int code = prepare(&p, &d);
    if (code == EXIT_OK)
        code = send_to_store(&p, &d);
    mem_slice_free(&d.payload);
    mem_slice_free(&d.entity);
    return code;
}
