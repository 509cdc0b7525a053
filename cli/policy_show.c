// SPDX-License-Identifier: EUPL-1.2
/* `belfry policy show`: what is in force, what waits for signatures, whose are missing, what is to
 * be looked at again. Whatever is read is foreign; whose signatures count is said where -c names
 * whom to trust. */
#include <stdio.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/policy_desk.h"
#include "cli/policy_in.h"

#define TEXT_MODE 0644

static const char *verdict_word(enum desk_verdict v)
{
    switch (v) {
    case DESK_GOOD:
        return "good";
    case DESK_MISSING:
        return "waits";
    case DESK_UNKNOWN:
        return "not judged";
    case DESK_REFUSED:
        break;
    }
    return "refused";
}

/* One line; `shelf` says where it lies. */
static void print_line(const struct desk *d, const struct paper *p, const char *name,
                       const char *shelf)
{
    char until[DESK_TIME_CHARS + 1];
    struct fault why = {.code = FAULT_TRUST};
    const enum desk_verdict v = desk_judge(d, p, &why);
    (void)printf("%-24s %-8s serial %-6lld until %s  %s%s%s\n", name, shelf, (long long)p->serial,
                 desk_time(until, p->not_after_s), verdict_word(v),
                 v == DESK_MISSING || v == DESK_REFUSED ? ": " : "",
                 v == DESK_MISSING || v == DESK_REFUSED ? why.text : "");
}

static int list_one(const struct desk *d, enum store_shelf shelf, const char *name)
{
    struct paper p;
    const int code = desk_take(d, shelf, name, &p);
    if (code == EXIT_OK && p.bytes.len)
        print_line(d, &p, name, shelf == STORE_DRAFT ? "draft" : "active");
    paper_fini(&p);
    return code;
}

static int list(const struct desk *d)
{
    struct store_names names;
    struct fault f;
    int worst = list_one(d, STORE_DOCUMENT, "charter");
    const int of_draft = list_one(d, STORE_DRAFT, "charter");
    worst = of_draft > worst ? of_draft : worst;
    if (!store_list(d->store, &names, &f))
        return policy_trouble(&f);
    for (uint32_t i = 0; i < names.count; i++)
        for (enum store_shelf s = STORE_DOCUMENT; s <= STORE_DRAFT; s++) {
            const int code = list_one(d, s, names.at[i]);
            worst = code > worst ? code : worst;
        }
    mem_free(names.at);
    return worst;
}

/* ---- one ---- */

static void print_rule(const struct rule *r, const char *where, struct slice app)
{
    char at[DESK_TIME_CHARS + 1];
    const int64_t now = policy_now().s;
    if (r->review_by_s && r->review_by_s <= now)
        (void)printf("  overdue  %s%.*s%s%.*s was to be reviewed by %s%s%.*s\n", where,
                     SLICE_ARG(app), app.len ? "/" : "", SLICE_ARG(r->id),
                     desk_time(at, r->review_by_s), r->owner.len ? "  " : "", SLICE_ARG(r->owner));
    if (r->expires_s && r->expires_s <= now)
        (void)printf("  expired  %s%.*s%s%.*s does nothing since %s\n", where, SLICE_ARG(app),
                     app.len ? "/" : "", SLICE_ARG(r->id), desk_time(at, r->expires_s));
}

static void print_rules(const struct rule *rules, uint32_t count, const char *where,
                        struct slice app)
{
    for (uint32_t i = 0; i < count; i++)
        print_rule(&rules[i], where, app);
}

static void print_content(const struct paper *p)
{
    uint32_t rules = 0;
    if (p->charter) {
        const struct baseline *b = &p->charter->baseline;
        (void)printf("  %u entities, %u requirements, %u forbids\n", p->charter->entity_count,
                     b->requirement_count, b->forbid_count);
        print_rules(b->requirements, b->requirement_count, "baseline/", SLICE(""));
        print_rules(b->forbids, b->forbid_count, "baseline/", SLICE(""));
        return;
    }
    for (uint32_t i = 0; i < p->bundle->application_count; i++)
        rules += p->bundle->applications[i].rule_count;
    (void)printf("  %u applications, %u rules, %u tests\n", p->bundle->application_count, rules,
                 p->bundle->test_count);
    for (uint32_t i = 0; i < p->bundle->application_count; i++)
        print_rules(p->bundle->applications[i].rule_list, p->bundle->applications[i].rule_count, "",
                    p->bundle->applications[i].id);
}

static int write_text(const struct paper *p, const char *path)
{
    struct fault f;
    if (!file_write(path, p->envelope.payload, TEXT_MODE, &f))
        return policy_trouble(&f);
    (void)printf("  its text is in %s\n", path);
    return EXIT_OK;
}

static int print_paper(const struct desk *d, const struct paper *p, const char *name,
                       const char *shelf, const char *out)
{
    char digest[PAPER_DIGEST_CHARS + 1];
    print_line(d, p, name, shelf);
    paper_digest(p, digest);
    (void)printf("  digest   %s\n", digest);
    desk_print_signatures(d, p, stdout);
    print_content(p);
    return out ? write_text(p, out) : EXIT_OK;
}

static int print_history(const struct desk *d, const char *name)
{
    for (uint32_t i = 0; i < STORE_HISTORY; i++) {
        struct slice bytes;
        struct paper p;
        struct fault f;
        if (!store_get_old(d->store, desk_entity(name), i, &bytes, &f))
            return policy_trouble(&f);
        const bool is_last = !bytes.len;
        const int code = is_last ? EXIT_OK : paper_from_bytes(&p, bytes, name);
        mem_slice_free(&bytes);
        if (is_last)
            break;
        if (code == EXIT_OK) {
            char digest[PAPER_DIGEST_CHARS + 1];
            paper_digest(&p, digest);
            (void)printf("  %s serial %lld, digest %s\n", i ? "        " : "history ",
                         (long long)p.serial, digest);
            paper_fini(&p);
        }
    }
    return EXIT_OK;
}

static int show_stored(const struct desk *d, const struct desk_options *o)
{
    const char *name = o->draft ? o->draft : o->words[0];
    struct paper p;
    int code = desk_take(d, o->draft ? STORE_DRAFT : STORE_DOCUMENT, name, &p);
    if (code == EXIT_OK && !p.bytes.len) {
        (void)fprintf(stderr, "belfry policy: the store has no %s of '%s'\n",
                      o->draft ? "draft" : "document", name);
        return EXIT_REFUSED;
    }
    if (code == EXIT_OK)
        code = print_paper(d, &p, name, o->draft ? "draft" : "active", o->out);
    if (code == EXIT_OK && !o->draft) {
        code = print_history(d, name);
        const int of_draft = list_one(d, STORE_DRAFT, name);
        code = of_draft > code ? of_draft : code;
    }
    paper_fini(&p);
    return code;
}

static int show_file(const struct desk *d, const struct desk_options *o)
{
    struct paper p;
    int code = paper_from_file(&p, o->words[0]);
    if (code != EXIT_OK)
        return code;
    code = print_paper(d, &p, o->words[0], "file", o->out);
    paper_fini(&p);
    return code;
}

/* Ids have neither dots nor slashes. */
static bool is_file(const char *word)
{
    return word && strpbrk(word, "./");
}

int verb_show(int argc, char **argv)
{
    struct desk_options o = {.word_count = 0};
    struct desk d = {.no_charter = "-c names whom to trust"};
    if (!desk_options_read(&o, DESK_STORE | DESK_DRAFT | DESK_OUT, argc, argv) ||
        o.word_count + !!o.draft > 1 || (o.out && !o.draft && !o.word_count))
        return policy_usage("show");
    const bool has_store = o.config_path || o.store_url;
    if (!has_store)
        return is_file(o.words[0]) ? show_file(&d, &o) : policy_usage("show");
    int code = desk_open(&d, &o);
    if (code != EXIT_OK)
        return code;
    code = is_file(o.words[0])            ? show_file(&d, &o)
           : o.draft || o.word_count == 1 ? show_stored(&d, &o)
                                          : list(&d);
    desk_close(&d);
    return code;
}
