// SPDX-License-Identifier: EUPL-1.2
/* `belfry policy diff`: which requests two bundles decide differently: who gains, who loses, by
 * which rules, with an example that was judged by both. "No difference" only where it is so for all
 * requests. */
#include <string.h>

#include "base/reason.h"
#include "cli/policy_in.h"
#include "cli/policy_tool.h"
#include "policy/diff.h"
#include "policy/policy_test.h"

struct comparison {
    const char *paths[2]; /* old, new */
    const char *charter;
    bool is_json;
    struct ground old_ground;
    struct ground new_ground;
    struct arena arena;
    uint32_t differences;
    uint32_t doubts;
    json_t *json;
    bool has_other_authorities;
};

static void print_class(struct arena *a, const struct screen *s, const struct application *app,
                        const struct diff_class *c)
{
    struct slice request = c->request;
    const struct slice method = slice_cut(&request, ' ');
    const struct slice reason = reason_name(c->reason);
    screen_put(s, c->gains ? PAINT_GOOD : PAINT_BAD, "%s", c->gains ? "gains" : "loses");
    screen_print(s->out, "  %.*s https://%.*s%.*s\n", SLICE_ARG(method), SLICE_ARG(app->host),
                 SLICE_ARG(request));
    if (!c->facts.count)
        (void)fputs("       anybody\n", s->out);
    for (uint32_t i = 0; i < c->facts.count; i++) {
        (void)fputs("       ", s->out);
        screen_words(s, 7, 9, c->facts.at[i]);
    }
    (void)fputs("       ", s->out);
    screen_words(s, 7, 9,
                 arena_printf(a, "%s %.*s; %s %.*s%s%.*s",
                              c->gains ? "now permitted by" : "was permitted by",
                              SLICE_ARG(c->permits), c->gains ? "was" : "now", SLICE_ARG(reason),
                              c->refuses.len ? ", rule " : "", SLICE_ARG(c->refuses)));
}

static json_t *class_json(const struct diff_class *c)
{
    json_t *out = json_object();
    (void)json_object_set_new(out, "becomes", json_string(c->gains ? "permit" : "deny"));
    (void)json_object_set_new(out, "permit_rule", json_text(c->permits));
    (void)json_object_set_new(out, "deny_rule", json_text(c->refuses));
    (void)json_object_set_new(out, "deny_reason", json_text(reason_name(c->reason)));
    (void)json_object_set_new(out, "request", json_text(c->request));
    (void)json_object_set_new(out, "facts", json_texts(c->facts));
    return out;
}

static void print_doubt(struct slice why)
{
    const struct screen s = screen_of(stdout);
    screen_put(&s, PAINT_DOUBT, "doubt");
    (void)fputs("  ", s.out);
    screen_words(&s, 7, 7, why);
}

static void tell(struct comparison *c, const struct application *app, const struct diff *d)
{
    const struct screen s = screen_of(stdout);
    c->differences += d->class_count;
    c->doubts += d->doubts.count;
    if (c->is_json) {
        json_t *one = json_object(), *classes = json_array();
        for (uint32_t i = 0; i < d->class_count; i++)
            (void)json_array_append_new(classes, class_json(&d->classes[i]));
        (void)json_object_set_new(one, "application", json_text(app->id));
        (void)json_object_set_new(one, "host", json_text(app->host));
        (void)json_object_set_new(one, "classes", classes);
        (void)json_object_set_new(one, "doubts", json_texts(d->doubts));
        (void)json_array_append_new(c->json, one);
        return;
    }
    if (!d->class_count && !d->doubts.count)
        return;
    screen_put(&s, PAINT_STRONG, "%.*s\n", SLICE_ARG(app->id));
    for (uint32_t i = 0; i < d->class_count; i++)
        print_class(&c->arena, &s, app, &d->classes[i]);
    for (uint32_t i = 0; i < d->doubts.count; i++)
        print_doubt(d->doubts.at[i]);
}

static void compare(struct comparison *c, const struct application *before,
                    const struct application *after)
{
    const struct diff_side old_side = {&c->old_ground.snapshot, before};
    const struct diff_side new_side = {&c->new_ground.snapshot, after};
    struct diff d;
    if ((before ? before : after)->is_sign_in)
        return;
    diff_run(&old_side, &new_side, policy_now(), &c->arena, &d);
    tell(c, before ? before : after, &d);
}

static bool are_same_authorities(const struct bundle *x, const struct bundle *y)
{
    bool is_same = x->authority_count == y->authority_count;
    for (uint32_t i = 0; is_same && i < x->authority_count; i++)
        is_same = slice_eq(x->authorities[i].id, y->authorities[i].id) &&
                  memcmp(x->authorities[i].digest, y->authorities[i].digest,
                         sizeof x->authorities[i].digest) == 0;
    return is_same;
}

static void compare_all(struct comparison *c)
{
    const struct bundle *old_bundle = c->old_ground.bundle, *new_bundle = c->new_ground.bundle;
    c->has_other_authorities = !are_same_authorities(old_bundle, new_bundle);
    c->doubts += c->has_other_authorities;
    if (c->has_other_authorities && !c->is_json)
        print_doubt(SLICE("the device authorities differ: which devices are known is not looked "
                          "into"));
    for (uint32_t i = 0; i < old_bundle->application_count; i++) {
        const struct application *app = &old_bundle->applications[i];
        compare(c, app, policy_application_of(new_bundle, app->host));
    }
    for (uint32_t i = 0; i < new_bundle->application_count; i++) {
        const struct application *app = &new_bundle->applications[i];
        if (!policy_application_of(old_bundle, app->host))
            compare(c, NULL, app);
    }
}

static int conclude(struct comparison *c)
{
    const struct screen s = screen_of(stdout);
    if (c->is_json) {
        json_t *out = json_object();
        (void)json_object_set_new(out, "verdict",
                                  json_string(c->differences ? "differs"
                                              : c->doubts    ? "unknown"
                                                             : "same"));
        (void)json_object_set_new(out, "authorities_differ",
                                  json_boolean(c->has_other_authorities));
        (void)json_object_set_new(out, "applications", c->json);
        json_print(out);
    } else if (c->differences) {
        screen_words(&s, 0, 0,
                     arena_printf(&c->arena, "%u classes of requests change hands%s",
                                  c->differences,
                                  c->doubts ? "; of what is in doubt more may" : ""));
    } else if (c->doubts) {
        screen_put(&s, PAINT_DOUBT, "no difference was found");
        screen_words(&s, 23, 0, SLICE(", and it can't be told that there is none"));
    } else {
        screen_put(&s, PAINT_GOOD, "no difference: every request is decided as before\n");
    }
    return c->differences ? EXIT_REFUSED : c->doubts ? EXIT_UNSURE : EXIT_OK;
}

static bool read_options(struct comparison *c, int argc, char **argv)
{
    int count = 0;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            c->is_json = true;
        else if (strcmp(argv[i], "--charter") == 0 && i + 1 < argc && !c->charter)
            c->charter = argv[++i];
        else if (argv[i][0] != '-' && count < 2)
            c->paths[count++] = argv[i];
        else
            return false;
    }
    return count == 2;
}

int verb_diff(int argc, char **argv)
{
    struct comparison c = {.charter = NULL};
    if (!read_options(&c, argc, argv))
        return policy_usage("diff");
    int code = ground_read(&c.old_ground, c.paths[0], c.charter);
    if (code == EXIT_OK)
        code = ground_read(&c.new_ground, c.paths[1], c.charter);
    if (code == EXIT_OK) {
        arena_init(&c.arena, NULL);
        c.json = c.is_json ? json_array() : NULL;
        compare_all(&c);
        code = conclude(&c);
        arena_fini(&c.arena);
    }
    ground_free(&c.old_ground);
    ground_free(&c.new_ground);
    return code;
}
