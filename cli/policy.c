// SPDX-License-Identifier: EUPL-1.2
/* What owners of applications run: `belfry policy check`, `test` and `publish`. The same code
 * judges here and in the gateway, so what passes here is not refused there for its content.
 * Publishing checks first, as a gateway would, on the very bytes that are then signed. */
#include <limits.h>
#include <stdio.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/yaml.h"
#include "cli/cli.h"
#include "cli/signing_key.h"
#include "policy/compile.h"
#include "policy/delegation.h"
#include "policy/policy_test.h"
#include "policy/store.h"
#include "proxy/config.h"

static int usage(void)
{
    (void)fputs(
        "usage: belfry policy check FILE... [--charter FILE]\n"
        "       belfry policy test FILE...\n"
        "       belfry policy publish FILE --key KEYFILE... (-c belfry.yaml | --store URL)\n"
        "       belfry policy publish --charter FILE --key KEYFILE... (-c belfry.yaml | --store "
        "URL)\n"
        "Each --key KEYFILE may be followed by --key-id ID, where the charter does not name the "
        "key by the id that\n"
        "'belfry key show' prints.\n",
        stderr);
    return EXIT_USAGE;
}

static int trouble(const struct fault *f)
{
    (void)fprintf(stderr, "belfry policy: %s\n", f->text);
    return f->code == FAULT_IO ? EXIT_TROUBLE : EXIT_REFUSED;
}

static struct wall wall_now(void)
{
    return (struct wall){(int64_t)time(NULL)};
}

/* Prints them, forgets them, and says how it went. */
static int conclude(struct findings *f, FILE *out)
{
    const int code = f->errors ? EXIT_REFUSED : EXIT_OK;
    findings_print(f, out);
    findings_fini(f);
    return code;
}

static struct slice folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (struct slice){path, (size_t)(slash - path)} : SLICE(".");
}

static bool is_charter(struct slice text)
{
    struct findings unread; /* whoever loads it will find them again */
    findings_init(&unread);
    struct yaml_doc *doc = yaml_parse(text, "", &unread);
    const bool is_one =
        slice_eq(yaml_text(yaml_get(yaml_root(doc), SLICE("belfry"))), SLICE("charter/v1"));
    yaml_free(doc);
    findings_fini(&unread);
    return is_one;
}

static struct charter *read_charter(const char *path, struct slice *text, struct findings *findings,
                                    struct fault *f)
{
    if (!file_read(text, path, YAML_MAX_BYTES, f))
        return NULL;
    struct charter *c = charter_load(*text, path, findings);
    if (!c)
        (void)fault_set(f, FAULT_SYNTAX, "'%s' is no good charter", path);
    return c;
}

/* ---- check and test ---- */

static void check_delegation(const struct charter *c, const struct bundle *b, const char *path,
                             struct findings *out)
{
    const struct charter_entity *e = charter_entity(c, b->entity);
    struct place place = {.line = 1, .column = 1};
    struct fault f;
    (void)snprintf(place.file, sizeof place.file, "%s", path);
    if (!e)
        findings_error(out, place, "not-delegated", "the charter knows no entity '%.*s'",
                       SLICE_ARG(b->entity));
    else if (b->serial < e->min_serial)
        findings_error(out, place, "old-serial", "the charter asks for a serial of at least %lld",
                       (long long)e->min_serial);
    else if (!delegation_has_bundle(e, b, &f))
        findings_error(out, place, "not-delegated", "%s", f.text);
}

static uint32_t count_rules(const struct bundle *b)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < b->application_count; i++)
        count += b->applications[i].rule_count;
    return count;
}

static bool has_error_in(const struct findings *f, const struct policy_test *t,
                         const struct policy_test *next)
{
    for (size_t i = 0; i < f->count; i++) {
        const uint32_t line = f->at[i].place.line;
        if (f->at[i].is_error && line >= t->place.line && (!next || line < next->place.line))
            return true;
    }
    return false;
}

static void print_tests(const struct bundle *b, const struct findings *f)
{
    for (uint32_t i = 0; i < b->test_count; i++) {
        const struct policy_test *t = &b->tests[i];
        const bool has_failed = has_error_in(f, t, i + 1 < b->test_count ? t + 1 : NULL);
        (void)printf("%s %.*s\n", has_failed ? "FAIL" : "ok  ", SLICE_ARG(t->name));
    }
}

static int check_bundle(struct slice text, const char *path, const struct charter *charter,
                        bool lists_tests)
{
    struct findings f;
    findings_init(&f);
    struct bundle *b = bundle_load(text, path, folder_of(path), &f);
    if (b) {
        bundle_compile(b);
        const bool has_passed = policy_test_run(b, wall_now(), &f);
        if (charter)
            check_delegation(charter, b, path, &f);
        if (lists_tests)
            print_tests(b, &f);
        if (!f.errors && has_passed)
            (void)printf(
                "%s: good: entity %.*s, serial %lld, %u applications, %u rules, %u tests passed\n",
                path, SLICE_ARG(b->entity), (long long)b->serial, b->application_count,
                count_rules(b), b->test_count);
    }
    bundle_free(b);
    return conclude(&f, stdout);
}

static int check_charter(struct slice text, const char *path)
{
    struct findings f;
    findings_init(&f);
    struct charter *c = charter_load(text, path, &f);
    if (c)
        (void)printf("%s: good: charter, serial %lld, %u entities\n", path, (long long)c->serial,
                     c->entity_count);
    charter_free(c);
    return conclude(&f, stdout);
}

static int check_file(const char *path, const struct charter *charter, bool lists_tests)
{
    struct slice text;
    struct fault f;
    if (!file_read(&text, path, YAML_MAX_BYTES, &f))
        return trouble(&f);
    const int code = is_charter(text) && !lists_tests
                         ? check_charter(text, path)
                         : check_bundle(text, path, charter, lists_tests);
    mem_slice_free(&text);
    return code;
}

/* The worst that any file gave. */
static int check_files(char **files, int count, const struct charter *charter, bool lists_tests)
{
    int worst = EXIT_OK;
    for (int i = 0; i < count; i++) {
        const int code = check_file(files[i], charter, lists_tests);
        worst = code > worst ? code : worst;
    }
    return worst;
}

static int check(int argc, char **argv)
{
    const char *charter_path = NULL;
    struct slice text = {NULL, 0};
    int count = 0;
    for (int i = 0; i < argc; i++) { /* files move to the front */
        if (strcmp(argv[i], "--charter") == 0 && i + 1 < argc)
            charter_path = argv[++i];
        else if (argv[i][0] == '-')
            return usage();
        else
            argv[count++] = argv[i];
    }
    if (!count && !charter_path)
        return usage();
    if (!count) /* the charter alone */
        return check_file(charter_path, NULL, false);
    struct charter *charter = NULL;
    if (charter_path) {
        struct findings findings;
        struct fault f;
        findings_init(&findings);
        charter = read_charter(charter_path, &text, &findings, &f);
        (void)conclude(&findings, stdout);
        if (!charter) {
            mem_slice_free(&text);
            return trouble(&f);
        }
    }
    const int code = check_files(argv, count, charter, false);
    charter_free(charter);
    mem_slice_free(&text);
    return code;
}

static int test(int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        if (argv[i][0] == '-')
            return usage();
    return argc ? check_files(argv, argc, NULL, true) : usage();
}

/* ---- publish ---- */

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
    if (!bundle_inline(text, path, folder_of(path), &out->payload, f))
        return false;
    struct bundle *b = bundle_load(out->payload, path, SLICE(""), f);
    if (!b)
        return false;
    bundle_compile(b);
    const bool is_good = policy_test_run(b, wall_now(), f);
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
        return trouble(&fault);
    findings_init(&f);
    const bool is_good = p->is_charter ? prepare_charter(text, p->path, out, &f)
                                       : prepare_bundle(text, p->path, out, &f);
    mem_slice_free(&text);
    const int code = conclude(&f, stderr);
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
        const int code = conclude(&findings, stderr);
        if (!config)
            return code == EXIT_OK ? EXIT_TROUBLE : code;
        address = config->store;
    } else if (!redis_address_parse(&address, slice_of(p->store_url), &f)) {
        return trouble(&f);
    }
    const bool is_sent = sign_and_send(p, &address, d, &f);
    config_free(config);
    return is_sent ? EXIT_OK : trouble(&f);
}

static int publish(int argc, char **argv)
{
    struct publish p = {.path = NULL};
    struct document_text d = {.serial = 0};
    if (!read_options(&p, argc, argv))
        return usage();
    int code = prepare(&p, &d);
    if (code == EXIT_OK)
        code = send_to_store(&p, &d);
    mem_slice_free(&d.payload);
    mem_slice_free(&d.entity);
    return code;
}

int cli_policy(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } commands[] = {{"check", check}, {"test", test}, {"publish", publish}};
    for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof *commands; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 2, argv + 2);
    return usage();
}
