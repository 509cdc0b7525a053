// SPDX-License-Identifier: EUPL-1.2
/* `rules` of an application: effect, methods, path patterns, condition.
 * Owns: the grammar of a pattern. A pattern that could never match, or would match another thing
 * than its writer thinks, is an error: a forbid that matches nothing is an open door. */
#include "base/codec.h"
#include "base/method.h"
#include "policy/compile.h"
#include "policy/load_in.h"

/* Steps that one request may cost: workers are shared, so one entity's rules must not be able to
 * hold them for longer than some tens of milliseconds. 10,000 rules of 1,000 steps. */
#define RULES_MAX_COST 10000000

/* ---- methods ---- */

/* Methods are case-sensitive (RFC 9110 §9.1), and all in use are in upper case: "get" is a mistake.
 */
static bool is_method(struct slice word)
{
    for (size_t i = 0; i < word.len; i++) {
        const char c = word.ptr[i];
        if (!(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '-' && c != '_')
            return false;
    }
    return true;
}

static struct slice upper(struct arena *a, struct slice word)
{
    char *out = arena_bytes(a, word.len);
    for (size_t i = 0; i < word.len; i++)
        out[i] = (char)(word.ptr[i] >= 'a' && word.ptr[i] <= 'z' ? word.ptr[i] - 'a' + 'A'
                                                                 : word.ptr[i]);
    return (struct slice){out, word.len};
}

static void add_method(struct loader *l, struct place at, struct slice word, struct rule *rule,
                       struct slice *others)
{
    const enum method known = method_of(word);
    if (known != METHOD_OTHER) {
        rule->methods |= 1u << known;
        return;
    }
    struct slice names[METHOD_COUNT];
    for (enum method m = METHOD_OTHER; m < METHOD_COUNT; m++)
        names[m] = method_name(m);
    const struct slice near = nearest_name(upper(l->a, word), names + 1, METHOD_COUNT - 1);
    if (!is_method(word)) {
        findings_error(
            l->out, at, "wrong-method",
            near.len
                ? "'%.*s' is no method; allowed are names in upper case; did you mean '%.*s'?"
                : "'%.*s' is no method; allowed are names in upper case, such as GET or PROPFIND",
            SLICE_ARG(word), SLICE_ARG(near));
        return;
    }
    if (!method_is_carried(word)) {
        findings_error(l->out, at, "wrong-method", "%.*s is never carried, so no rule can name it",
                       SLICE_ARG(word));
        return;
    }
    if (near.len)
        findings_warn(l->out, at, "unusual-method",
                      "'%.*s' is an unusual method; did you mean '%.*s'?", SLICE_ARG(word),
                      SLICE_ARG(near));
    rule->methods |= 1u << METHOD_OTHER;
    others[rule->other_methods.count++] = word;
}

static void load_methods(struct loader *l, const struct yaml *effect, struct rule *rule)
{
    struct slices words;
    if (!load_words(l, effect, "methods", LOAD_OPTIONAL, &words))
        return;
    const struct yaml *list = yaml_get(effect, SLICE("methods"));
    uint32_t others = 0;
    for (uint32_t i = 0; i < words.count; i++)
        others += method_of(words.at[i]) == METHOD_OTHER;
    struct slice *names = arena_array(l->a, struct slice, others);
    rule->other_methods.at = names;
    for (uint32_t i = 0; i < words.count; i++)
        add_method(l, load_word_place(list, words.at[i]), words.at[i], rule, names);
}

/* ---- path patterns ---- */

static bool is_name(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        const char c = text.ptr[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            c != '_' && c != '-')
            return false;
    }
    return text.len > 0;
}

static bool has_escape(struct slice text)
{
    for (size_t i = 0; i + 2 < text.len; i++)
        if (text.ptr[i] == '%' && hex_value(text.ptr[i + 1]) >= 0 &&
            hex_value(text.ptr[i + 2]) >= 0)
            return true;
    return false;
}

static bool holds(struct slice text, char c)
{
    return text.len && memchr(text.ptr, c, text.len);
}

/* What is wrong with a segment's text, or NULL. It is compared with decoded segments. */
static const char *segment_fault(struct slice text, struct path_options options, bool is_last)
{
    if (!text.len && !is_last && !options.allow_empty_segments)
        return "has an empty segment; no path with one is let through";
    if (slice_eq(text, SLICE(".")) || slice_eq(text, SLICE("..")))
        return "has a dot segment; no path with one is let through";
    if (has_escape(text) && !options.allow_percent)
        return "has an escape; write the decoded character itself";
    if (holds(text, '\\'))
        return "holds '\\'; no path with one is let through";
    if (holds(text, ';') && !options.allow_parameters)
        return "holds ';'; no path with one is let through, unless the application says "
               "'parameters: allow'";
    if (holds(text, '?') || holds(text, '#'))
        return "holds '?' or '#'; a pattern is of the path alone: look at request.query_parameters "
               "in 'when'";
    return NULL;
}

/* Reads one segment; what is wrong with it, or NULL. */
static const char *parse_segment(struct slice text, struct pattern_segment *out, bool is_last)
{
    struct slice tail = text;
    const bool has_star = holds(text, '*');
    if (slice_eq(text, SLICE("**"))) {
        out->kind = PATTERN_REST;
        return is_last ? NULL : "has '**' before its end; it can only be the last segment";
    }
    if (slice_eq(text, SLICE("*"))) {
        out->kind = PATTERN_ONE;
        return NULL;
    }
    if (holds(text, '{') || holds(text, '}')) {
        out->kind = PATTERN_ONE;
        const bool is_whole = slice_starts(text, SLICE("{")) && slice_ends(text, SLICE("}")) &&
                              text.len > 2 && is_name((struct slice){text.ptr + 1, text.len - 2});
        if (is_whole)
            out->text = slice_from(text.ptr + 1, text.len - 2);
        return is_whole ? NULL : "has braces that are not a whole segment, such as {id}";
    }
    const struct slice head = slice_cut(&tail, '*');
    *out = (struct pattern_segment){has_star ? PATTERN_GLOB : PATTERN_TEXT, head, tail};
    return holds(tail, '*') ? "has two stars in one segment; allowed are '*', '**' at the end, or "
                              "one star in a text"
                            : NULL;
}

/* Which of the two would path.NAME be? */
static bool is_named_before(const struct pattern *p, struct slice name)
{
    for (uint32_t i = 0; i < p->count; i++)
        if (name.len && p->segments[i].kind == PATTERN_ONE && slice_eq(p->segments[i].text, name))
            return true;
    return false;
}

static const char *parse_pattern(struct loader *l, struct pattern *out, struct path_options options)
{
    struct slice rest = slice_skip(out->text, 1);
    uint32_t count = 0;
    if (!slice_starts(out->text, SLICE("/")))
        return "must begin with '/'";
    for (size_t i = 0; i < out->text.len; i++)
        count += out->text.ptr[i] == '/';
    if (count > PATH_MAX_SEGMENTS)
        return "has more segments than any path may have";
    if (!rest.len)
        return NULL; /* "/" has no segments */
    out->segments = arena_array(l->a, struct pattern_segment, count);
    while (out->count < count) {
        const bool is_last = out->count + 1 == count;
        const struct slice text = slice_cut(&rest, '/');
        const char *fault = segment_fault(text, options, is_last);
        if (!fault)
            fault = parse_segment(text, &out->segments[out->count], is_last);
        if (!fault && out->segments[out->count].kind == PATTERN_ONE &&
            is_named_before(out, out->segments[out->count].text))
            fault = "has one name twice";
        if (fault)
            return fault;
        out->count++;
    }
    return NULL;
}

static void load_paths(struct loader *l, const struct yaml *effect, struct rule *rule,
                       struct path_options options)
{
    struct slices words;
    if (!load_words(l, effect, "paths", LOAD_OPTIONAL, &words))
        return;
    const struct yaml *list = yaml_get(effect, SLICE("paths"));
    rule->paths = arena_array(l->a, struct pattern, words.count);
    rule->path_count = words.count;
    for (uint32_t i = 0; i < words.count; i++) {
        rule->paths[i].text = words.at[i];
        const char *fault = parse_pattern(l, &rule->paths[i], options);
        if (fault)
            findings_error(l->out, load_word_place(list, words.at[i]), "wrong-path",
                           "the pattern '%.*s' %s", SLICE_ARG(words.at[i]), fault);
    }
}

void load_reach(struct loader *l, const struct yaml *map, struct rule *rule,
                struct path_options options)
{
    load_methods(l, map, rule);
    load_paths(l, map, rule, options);
}

/* ---- rules ---- */

static void load_effect(struct loader *l, const struct yaml *map, struct rule *rule,
                        struct path_options options)
{
    static const struct slice keys[] = {SLICE_INIT("methods"), SLICE_INIT("paths")};
    const bool permits = yaml_get(map, SLICE("permit")) != NULL;
    const bool forbids = yaml_get(map, SLICE("forbid")) != NULL;
    if (permits == forbids) {
        findings_error(l->out, yaml_place(map), "no-effect",
                       permits ? "a rule has either 'permit' or 'forbid', not both"
                               : "a rule needs 'permit' or 'forbid'; permit: {} is for everything");
        return;
    }
    rule->effect = forbids ? RULE_FORBID : RULE_PERMIT;
    const struct yaml *effect = load_map(l, map, forbids ? "forbid" : "permit", LOAD_REQUIRED);
    if (!effect)
        return;
    (void)yaml_check_keys(effect, forbids ? "forbid" : "permit", keys, COUNT_OF(keys), l->out);
    load_reach(l, effect, rule, options);
}

/* What the patterns call segments, into `out` where there is one; a name may stand there twice. */
static uint32_t list_segment_names(const struct rule *rule, struct slice *out)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < rule->path_count; i++) {
        const struct pattern *p = &rule->paths[i];
        for (uint32_t k = 0; k < p->count; k++) {
            if (p->segments[k].kind != PATTERN_ONE || !p->segments[k].text.len)
                continue;
            if (out)
                out[count] = p->segments[k].text;
            count++;
        }
    }
    return count;
}

static struct slices segment_names(struct loader *l, const struct rule *rule)
{
    const uint32_t count = list_segment_names(rule, NULL);
    struct slice *names = arena_array(l->a, struct slice, count);
    (void)list_segment_names(rule, names); // the same, so it fits
    return (struct slices){names, count};
}

void load_when(struct loader *l, const struct yaml *map, struct rule *rule)
{
    if (load_long_text(l, map, "when", LOAD_OPTIONAL, &rule->when_text)) {
        const struct place at = load_text_place(l, yaml_get(map, SLICE("when")));
        l->names.segments = segment_names(l, rule);
        rule->when = cel_compile_with(l->a, &l->names, rule->when_text, at, l->out);
        rule->when_line = at.line;
        rule->when_column = at.column;
        rule->reads_path = rule->when && cel_reads_path(rule->when);
    } else if (rule->effect == RULE_PERMIT && yaml_get(map, SLICE("permit")) &&
               !yaml_get(map, SLICE("when")))
        findings_warn(l->out, yaml_place(map), "no-condition",
                      "this permit has no 'when': it lets in everyone, signed in or not");
}

void load_remedy(struct loader *l, const struct yaml *map, struct rule *rule)
{
    static const struct slice remedies[] = {SLICE_INIT("step_up")};
    uint32_t choice;
    if (!load_choice(l, map, "remedy", LOAD_OPTIONAL, remedies, 1, &choice))
        return;
    rule->remedy = REMEDY_STEP_UP;
    if (rule->effect == RULE_FORBID)
        findings_error(l->out, yaml_place(yaml_get(map, SLICE("remedy"))), "remedy-on-forbid",
                       "a forbid has no remedy; only a permit can have one");
}

static void load_times(struct loader *l, const struct yaml *map, struct rule *rule)
{
    const struct yaml *n;
    if ((n = load_member(l, map, "review_by", LOAD_OPTIONAL)))
        (void)yaml_time(n, "review_by", &rule->review_by_s, l->out);
    if ((n = load_member(l, map, "expires", LOAD_OPTIONAL)))
        (void)yaml_time(n, "expires", &rule->expires_s, l->out);
}

bool load_rule_head(struct loader *l, const struct yaml *map, struct rule *rule, struct map *seen)
{
    static const struct slice modes[] = {SLICE_INIT("shadow")};
    uint32_t choice;
    const struct place at = yaml_place(map);
    rule->line = at.line;
    rule->column = at.column;
    if (yaml_kind(map) != YAML_MAP) {
        findings_error(l->out, at, "wrong-kind", "a rule must be a map");
        return false;
    }
    if (load_id(l, map, "id", &rule->id))
        (void)load_unique(l, seen, rule->id, map, rule);
    (void)load_text(l, map, "owner", LOAD_OPTIONAL, &rule->owner);
    (void)load_text(l, map, "purpose", LOAD_OPTIONAL, &rule->purpose);
    load_times(l, map, rule);
    rule->is_shadow = load_choice(l, map, "mode", LOAD_OPTIONAL, modes, COUNT_OF(modes), &choice);
    return true;
}

static void load_rule(struct loader *l, const struct yaml *map, struct rule *rule,
                      struct path_options options, struct map *seen)
{
    static const struct slice keys[] = {
        SLICE_INIT("id"),      SLICE_INIT("owner"),  SLICE_INIT("purpose"), SLICE_INIT("review_by"),
        SLICE_INIT("expires"), SLICE_INIT("permit"), SLICE_INIT("forbid"),  SLICE_INIT("when"),
        SLICE_INIT("remedy"),  SLICE_INIT("mode")};
    if (!load_rule_head(l, map, rule, seen))
        return;
    (void)yaml_check_keys(map, "a rule", keys, COUNT_OF(keys), l->out);
    load_effect(l, map, rule, options);
    load_when(l, map, rule);
    load_remedy(l, map, rule);
}

/* All answers of conditions have a place in the memo of a request (policy/compile.h). */
static bool has_memo_for_all(const struct application *app)
{
    uint64_t answers = 0;
    for (uint32_t i = 0; i < app->rule_count; i++)
        if (app->rule_list[i].when)
            answers += app->rule_list[i].reads_path ? 1 : cel_atom_count(app->rule_list[i].when);
    return answers <= MEMO_MAX_ATOMS;
}

/* By how many ways one request may come to a rule: its patterns, in each reading of the path. */
static uint64_t ways_to(const struct rule *r, struct path_options paths)
{
    const bool is_lax = paths.allow_encoded_slash || paths.allow_empty_segments;
    const uint64_t patterns = r->path_count ? r->path_count : 1;
    return patterns * (paths.allow_parameters ? 2 : 1) *
           (is_lax && r->effect == RULE_FORBID ? 2 : 1);
}

/* A segment is a step; where paths have parameters, a permit's patterns are gone through once more
 * for each of them that fits. */
static uint64_t cost_of_patterns(const struct rule *r, struct path_options paths)
{
    uint64_t segments = 0;
    for (uint32_t i = 0; i < r->path_count; i++)
        segments += r->paths[i].count;
    return segments * (paths.allow_parameters ? 1 + r->path_count : 1);
}

/* A condition that names segments of the path is asked for each pattern that fits. Answers are
 * remembered where there is room, but not what would be at a higher level. */
static uint64_t cost_of(const struct rule *r, struct path_options paths, bool is_remembered)
{
    const uint64_t ways = ways_to(r, paths);
    if (!r->when)
        return 0;
    const uint64_t once = cel_cost(r->when) * (r->reads_path ? ways : 1);
    return once * (is_remembered ? 1 : ways) + once * (r->remedy == REMEDY_STEP_UP ? ways : 0);
}

void load_rules(struct loader *l, const struct yaml *map, struct application *app)
{
    const struct yaml *list = load_list(l, map, "rules", LOAD_REQUIRED);
    const uint32_t count = (uint32_t)yaml_count(list);
    struct map seen;
    if (list && !count)
        findings_warn(l->out, yaml_place(list), "no-rules",
                      "without rules every request is denied");
    if (!count)
        return;
    map_init(&seen);
    app->rule_list = arena_array(l->a, struct rule, count);
    app->rule_count = count;
    for (uint32_t i = 0; i < count; i++)
        load_rule(l, yaml_item(list, i), &app->rule_list[i], app->paths, &seen);
    map_fini(&seen);
    const bool is_remembered = has_memo_for_all(app);
    for (uint32_t i = 0; i < count; i++)
        app->cost += cost_of(&app->rule_list[i], app->paths, is_remembered) +
                     cost_of_patterns(&app->rule_list[i], app->paths);
    if (app->cost > RULES_MAX_COST)
        findings_error(l->out, yaml_place(list), "too-costly",
                       "these conditions together may take %llu steps for one request, more than "
                       "%d; 'x in list' costs less than loops over lists of facts",
                       (unsigned long long)app->cost, RULES_MAX_COST);
}
