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
#include "cli/policy_tool.h"

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

/* What is shown: in lines, or gathered as JSON. */
struct show {
    struct desk desk;
    struct desk_options options;
    json_t *json; /* NULL: in lines */
};

static bool is_in_shadow(const struct paper *p)
{
    return p->bundle && p->bundle->is_shadow;
}

static json_t *line_json(const struct desk *d, const struct paper *p, const char *name,
                         const char *shelf)
{
    char until[DESK_TIME_CHARS + 1];
    struct fault why = {.code = FAULT_TRUST};
    const enum desk_verdict v = desk_judge(d, p, &why);
    json_t *out = json_object();
    (void)json_object_set_new(out, "name", json_string(name));
    (void)json_object_set_new(out, "shelf", json_string(shelf));
    (void)json_object_set_new(out, "serial", json_integer(p->serial));
    (void)json_object_set_new(out, "not_after", json_string(desk_time(until, p->not_after_s)));
    (void)json_object_set_new(out, "mode", json_string(is_in_shadow(p) ? "shadow" : "decides"));
    (void)json_object_set_new(out, "verdict", json_string(verdict_word(v)));
    if (v == DESK_MISSING || v == DESK_REFUSED)
        (void)json_object_set_new(out, "why", json_string(why.text));
    return out;
}

/* One line; `shelf` says where it lies. */
static void print_line(const struct desk *d, const struct paper *p, const char *name,
                       const char *shelf)
{
    char until[DESK_TIME_CHARS + 1];
    struct fault why = {.code = FAULT_TRUST};
    const enum desk_verdict v = desk_judge(d, p, &why);
    screen_print(stdout, "%-24s %-8s serial %-6lld until %s  %s%s%s%s\n", name, shelf,
                 (long long)p->serial, desk_time(until, p->not_after_s),
                 is_in_shadow(p) ? "in shadow, " : "", verdict_word(v),
                 v == DESK_MISSING || v == DESK_REFUSED ? ": " : "",
                 v == DESK_MISSING || v == DESK_REFUSED ? why.text : "");
}

static void show_line(struct show *w, const struct paper *p, const char *name, const char *shelf)
{
    if (w->json)
        (void)json_array_append_new(w->json, line_json(&w->desk, p, name, shelf));
    else
        print_line(&w->desk, p, name, shelf);
}

static int list_one(struct show *w, enum store_shelf shelf, const char *name)
{
    struct paper p;
    const int code = desk_take(&w->desk, shelf, name, &p);
    if (code == EXIT_OK && p.bytes.len)
        show_line(w, &p, name, shelf == STORE_DRAFT ? "draft" : "active");
    paper_fini(&p);
    return code;
}

static int list(struct show *w)
{
    struct store_names names;
    struct fault f;
    int worst = list_one(w, STORE_DOCUMENT, "charter");
    const int of_draft = list_one(w, STORE_DRAFT, "charter");
    worst = of_draft > worst ? of_draft : worst;
    if (!store_list(w->desk.store, &names, &f))
        return policy_trouble(&f);
    for (uint32_t i = 0; i < names.count; i++)
        for (enum store_shelf s = STORE_DOCUMENT; s <= STORE_DRAFT; s++) {
            const int code = list_one(w, s, names.at[i]);
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
    if (r->is_shadow)
        (void)printf("  shadow   %s%.*s%s%.*s decides nothing (mode: shadow)\n", where,
                     SLICE_ARG(app), app.len ? "/" : "", SLICE_ARG(r->id));
    if (r->review_by_s && r->review_by_s <= now)
        screen_print(stdout, "  overdue  %s%.*s%s%.*s was to be reviewed by %s%s%.*s\n", where,
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
    (void)printf("  %u applications, %u rules, %u tests\n",
                 p->bundle->application_count - (p->bundle->sign_in != NULL), rules,
                 p->bundle->test_count);
    if (p->bundle->is_shadow)
        (void)puts("  shadow   the whole bundle decides nothing (mode: shadow)");
    for (uint32_t i = 0; i < p->bundle->application_count; i++)
        print_rules(p->bundle->applications[i].rule_list, p->bundle->applications[i].rule_count, "",
                    p->bundle->applications[i].id);
}

static json_t *rule_json(const struct rule *r, struct slice app)
{
    json_t *one = json_object();
    (void)json_object_set_new(one, "application", json_text(app));
    (void)json_object_set_new(one, "rule", json_text(r->id));
    return one;
}

static void add_shadow(json_t *list, const struct rule *rules, uint32_t count, struct slice app)
{
    for (uint32_t i = 0; i < count; i++)
        if (rules[i].is_shadow)
            (void)json_array_append_new(list, rule_json(&rules[i], app));
}

/* Those that do nothing any more, or were to be looked at again. */
static void add_overdue(json_t *list, const struct rule *rules, uint32_t count, struct slice app)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct rule *r = &rules[i];
        const int64_t now = policy_now().s;
        const bool is_expired = r->expires_s && r->expires_s <= now;
        char at[DESK_TIME_CHARS + 1];
        if (!is_expired && !(r->review_by_s && r->review_by_s <= now))
            continue;
        json_t *one = rule_json(r, app);
        (void)json_object_set_new(one, "state", json_string(is_expired ? "expired" : "overdue"));
        (void)json_object_set_new(
            one, "since", json_string(desk_time(at, is_expired ? r->expires_s : r->review_by_s)));
        (void)json_object_set_new(one, "owner", json_text(r->owner));
        (void)json_array_append_new(list, one);
    }
}

/* Of all rules of the document. */
static json_t *rules_json(const struct paper *p, void (*add)(json_t *list, const struct rule *rules,
                                                             uint32_t count, struct slice app))
{
    json_t *list = json_array();
    for (uint32_t i = 0; p->bundle && i < p->bundle->application_count; i++)
        add(list, p->bundle->applications[i].rule_list, p->bundle->applications[i].rule_count,
            p->bundle->applications[i].id);
    if (!p->charter)
        return list;
    const struct baseline *b = &p->charter->baseline;
    add(list, b->requirements, b->requirement_count, SLICE(""));
    add(list, b->forbids, b->forbid_count, SLICE(""));
    return list;
}

static int write_text(const struct show *w, const struct paper *p, const char *path)
{
    struct fault f;
    if (!file_write(path, p->envelope.payload, TEXT_MODE, &f))
        return policy_trouble(&f);
    if (!w->json)
        (void)printf("  its text is in %s\n", path);
    return EXIT_OK;
}

static int show_paper(struct show *w, const struct paper *p, const char *name, const char *shelf)
{
    char digest[PAPER_DIGEST_CHARS + 1];
    const char *out = w->options.out;
    paper_digest(p, digest);
    show_line(w, p, name, shelf);
    if (w->json) {
        json_t *one = json_array_get(w->json, json_array_size(w->json) - 1);
        (void)json_object_set_new(one, "digest", json_string(digest));
        (void)json_object_set_new(one, "approvals", desk_signatures_json(&w->desk, p));
        (void)json_object_set_new(one, "rules_in_shadow", rules_json(p, add_shadow));
        (void)json_object_set_new(one, "rules_overdue", rules_json(p, add_overdue));
    } else {
        (void)printf("  digest   %s\n", digest);
        desk_print_signatures(&w->desk, p, stdout);
        print_content(p);
    }
    return out ? write_text(w, p, out) : EXIT_OK;
}

static void show_old(struct show *w, const struct paper *p, bool is_first)
{
    char digest[PAPER_DIGEST_CHARS + 1];
    paper_digest(p, digest);
    if (!w->json) {
        (void)printf("  %s serial %lld, digest %s\n", is_first ? "history " : "        ",
                     (long long)p->serial, digest);
        return;
    }
    json_t *one = json_object(), *of = json_array_get(w->json, 0);
    (void)json_object_set_new(one, "serial", json_integer(p->serial));
    (void)json_object_set_new(one, "digest", json_string(digest));
    if (is_first)
        (void)json_object_set_new(of, "history", json_array());
    (void)json_array_append_new(json_object_get(of, "history"), one);
}

static int show_history(struct show *w, const char *name)
{
    for (uint32_t i = 0; i < STORE_HISTORY; i++) {
        struct slice bytes;
        struct paper p;
        struct fault f;
        if (!store_get_old(w->desk.store, desk_entity(name), i, &bytes, &f))
            return policy_trouble(&f);
        const bool is_last = !bytes.len;
        const int code = is_last ? EXIT_OK : paper_from_bytes(&p, bytes, name);
        mem_slice_free(&bytes);
        if (is_last)
            break;
        if (code == EXIT_OK) {
            show_old(w, &p, !i);
            paper_fini(&p);
        }
    }
    return EXIT_OK;
}

static int show_stored(struct show *w)
{
    const char *draft = w->options.draft;
    const char *name = draft ? draft : w->options.words[0];
    struct paper p;
    int code = desk_take(&w->desk, draft ? STORE_DRAFT : STORE_DOCUMENT, name, &p);
    if (code == EXIT_OK && !p.bytes.len) {
        (void)fprintf(stderr, "belfry policy: the store has no %s of '%s'\n",
                      draft ? "draft" : "document", name);
        return EXIT_REFUSED;
    }
    if (code == EXIT_OK)
        code = show_paper(w, &p, name, draft ? "draft" : "active");
    if (code == EXIT_OK && !draft) {
        code = show_history(w, name);
        const int of_draft = list_one(w, STORE_DRAFT, name);
        code = of_draft > code ? of_draft : code;
    }
    paper_fini(&p);
    return code;
}

static int show_file(struct show *w)
{
    struct paper p;
    int code = paper_from_file(&p, w->options.words[0]);
    if (code != EXIT_OK)
        return code;
    code = show_paper(w, &p, w->options.words[0], "file");
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
    struct show w = {.desk = {.no_charter = "-c names whom to trust"}};
    struct desk_options *o = &w.options;
    if (!desk_options_read(o, DESK_STORE | DESK_DRAFT | DESK_OUT | DESK_JSON, argc, argv) ||
        o->word_count + !!o->draft > 1 || (o->out && !o->draft && !o->word_count))
        return policy_usage("show");
    const bool has_store = o->config_path || o->store_url;
    if (!has_store && !is_file(o->words[0]))
        return policy_usage("show");
    int code = has_store ? desk_open(&w.desk, o) : EXIT_OK;
    if (code != EXIT_OK)
        return code;
    w.json = o->is_json ? json_array() : NULL;
    code = is_file(o->words[0])             ? show_file(&w)
           : o->draft || o->word_count == 1 ? show_stored(&w)
                                            : list(&w);
    if (w.json)
        json_print(w.json);
    if (has_store)
        desk_close(&w.desk);
    return code;
}
