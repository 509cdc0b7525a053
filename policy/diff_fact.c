// SPDX-License-Identifier: EUPL-1.2
/* Facts that are given values one by one: where each lies, what it is at rest, and its words. Owns:
 * the table, which grows out of fact.def; a new root takes its lines at the top. */
#include "policy/diff_in.h"

enum fact_type { STRING, INT, BOOL, STRINGS, TIMESTAMP, DURATION, MAP, LISTS };

#define PLACE_user(name) offsetof(struct people, user.name)
#define PLACE_device(name) offsetof(struct people, device.name)
#define PLACE_service(name) offsetof(struct people, service.name)
#define PLACE_session(name) PLACE_session_##name
#define PLACE_session_age offsetof(struct people, session.began)
#define PLACE_session_authentication_age offsetof(struct people, session.authenticated_at)
#define PLACE_session_methods offsetof(struct people, session.methods)
#define PLACE_app(name) 0
#define PLACE_request(name) 0
#define OWNER_user ROOT_USER
#define OWNER_device ROOT_DEVICE
#define OWNER_service ROOT_SERVICE
#define OWNER_session ROOT_SESSION
#define OWNER_app ROOT_OF_THE_ASKING
#define OWNER_request ROOT_OF_THE_ASKING

static const struct {
    int root;
    enum fact_type type;
    size_t offset;
} facts[] = {
#define FACT(root, name, type, text) {OWNER_##root, type, PLACE_##root(name)},
#include "policy/fact.def"
#undef FACT
};

int diff_root_of(enum cel_fact fact)
{
    return facts[fact].root;
}

struct slice diff_root_name(int root)
{
    return root == ROOT_USER      ? SLICE("user")
           : root == ROOT_DEVICE  ? SLICE("device")
           : root == ROOT_SERVICE ? SLICE("service")
                                  : SLICE("session");
}

static void *place_of(struct people *p, enum cel_fact fact, enum fact_type type)
{
    if (fact >= CEL_FACT_COUNT || facts[fact].root == ROOT_OF_THE_ASKING ||
        facts[fact].type != type)
        return NULL;
    return (char *)p + facts[fact].offset;
}

struct slice *diff_text_at(struct people *p, enum cel_fact fact)
{
    return place_of(p, fact, STRING);
}

struct slices *diff_list_at(struct people *p, enum cel_fact fact)
{
    return place_of(p, fact, STRINGS);
}

int64_t *diff_number_at(struct people *p, enum cel_fact fact)
{
    return fact == CEL_FACT_user_acr_level ? place_of(p, fact, INT) : NULL;
}

enum said *diff_said_at(struct people *p, enum cel_fact fact)
{
    return place_of(p, fact, BOOL);
}

struct wall *diff_moment_at(struct people *p, enum cel_fact fact)
{
    return place_of(p, fact, DURATION);
}

static struct slice text_at_rest(enum cel_fact fact)
{
    return cel_fact_may_be_missing(fact) ? SLICE("") : ANOTHER;
}

void diff_people_init(struct people *p, struct wall now)
{
    *p = (struct people){.session = {.began = now}, .now = now};
    for (enum cel_fact fact = 0; fact < CEL_FACT_COUNT; fact++)
        if (diff_text_at(p, fact))
            *diff_text_at(p, fact) = text_at_rest(fact);
}

/* ---- words ---- */

static struct slice words_of_list(const struct slices *list, struct slice name, struct arena *a)
{
    struct slice text = arena_printf(a, "%.*s = [", SLICE_ARG(name));
    for (uint32_t i = 0; i < list->count; i++)
        text = arena_printf(a, "%.*s%s\"%.*s\"", SLICE_ARG(text), i ? ", " : "",
                            SLICE_ARG(list->at[i]));
    return arena_printf(a, "%.*s]", SLICE_ARG(text));
}

/* Empty where it is at rest. */
static struct slice words_of(struct people *p, enum cel_fact fact, struct arena *a)
{
    const struct slice name = cel_fact_name(fact);
    const struct slices *list = diff_list_at(p, fact);
    const struct slice *text = diff_text_at(p, fact);
    const int64_t *number = diff_number_at(p, fact);
    const enum said *said = diff_said_at(p, fact);
    const struct wall *since = diff_moment_at(p, fact);
    if (since && since->s && (cel_fact_may_be_missing(fact) || since->s != p->now.s))
        return arena_printf(a, "%.*s = %llds", SLICE_ARG(name), (long long)(p->now.s - since->s));
    if (list && list->count)
        return words_of_list(list, name, a);
    if (text && !slice_eq(*text, text_at_rest(fact)))
        return arena_printf(a, "%.*s = \"%.*s\"", SLICE_ARG(name), SLICE_ARG(*text));
    if (number && *number)
        return arena_printf(a, "%.*s = %lld", SLICE_ARG(name), (long long)*number);
    if (said && *said != SAID_NOTHING)
        return arena_printf(a, "%.*s = %s", SLICE_ARG(name), *said == SAID_YES ? "true" : "false");
    return SLICE("");
}

struct slices diff_words(struct people *p, const bool has[ROOT_COUNT], struct arena *a)
{
    struct slice *out = arena_array(a, struct slice, CEL_FACT_COUNT + ROOT_COUNT);
    uint32_t count = 0;
    for (int root = 0; root < ROOT_COUNT; root++) {
        const uint32_t before = count;
        for (enum cel_fact fact = 0; has[root] && fact < CEL_FACT_COUNT; fact++) {
            const struct slice words = facts[fact].root == root ? words_of(p, fact, a) : SLICE("");
            if (words.len)
                out[count++] = words;
        }
        if (has[root] && count == before)
            out[count++] = arena_printf(a, "some %.*s", SLICE_ARG(diff_root_name(root)));
    }
    return (struct slices){out, count};
}
