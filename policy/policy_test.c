// SPDX-License-Identifier: EUPL-1.2
/* A bundle's own tests, from their one-line texts to a verdict. Owns: what a test request is made
 * of. Does not own: the judgement (decide.c), nor YAML (bundle.c). */
#include "policy/policy_test.h"

#include "base/mem.h"
#include "base/method.h"
#include "base/reason.h"
#include "policy/bundle.h"
#include "policy/decide.h"
#include "policy/host.h"
#include "policy/path.h"
#include "policy/query.h"

/* RFC 9110 §5.6.2: what a method may be written with. */
static bool is_token(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool is_alnum = (c >= '0' && c <= '9') || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z');
        if (!is_alnum && (c == '\0' || !strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return s.len > 0;
}

bool policy_test_request(struct policy_test *t, struct slice text, struct place at, struct arena *a,
                         struct findings *out)
{
    struct slice rest = text, scheme = SLICE("https://");
    struct slice method = slice_cut(&rest, ' ');
    rest = slice_trim(rest);
    if (!is_token(method) || !slice_starts(rest, scheme)) {
        findings_error(out, at, "test-request",
                       "a request is written 'GET https://host/path', not '%.*s'", SLICE_ARG(text));
        return false;
    }
    struct slice target = slice_skip(rest, scheme.len);
    struct slice authority = {target.ptr, 0};
    while (authority.len < target.len && !strchr("/?", target.ptr[authority.len]))
        authority.len++;
    target = slice_skip(target, authority.len);
    char name[HOST_MAX];
    struct slice host;
    uint16_t port;
    if (!host_parse(authority, name, &host, &port)) {
        findings_error(out, at, "test-request", "'%.*s' is not a host name", SLICE_ARG(authority));
        return false;
    }
    t->method = method_of(method);
    t->method_name = method;
    t->host = arena_copy(a, host);
    t->target = !target.len            ? SLICE("/")
                : target.ptr[0] == '?' ? arena_printf(a, "/%.*s", SLICE_ARG(target))
                                       : target;
    return true;
}

static bool reason_find(struct slice name, enum reason *out)
{
    for (int r = 0; r < REASON_COUNT; r++)
        if (slice_eq_nocase(reason_name((enum reason)r), name)) {
            *out = (enum reason)r;
            return true;
        }
    return false;
}

bool policy_test_expect(struct policy_test *t, struct slice text, struct place at,
                        struct findings *out)
{
    struct slice rest = slice_trim(text);
    struct slice verdict = slice_cut(&rest, ' ');
    struct slice object = slice_trim(rest);
    struct slice link = object.len ? slice_cut(&object, ' ') : SLICE("");
    object = slice_trim(object);
    enum reason reason = REASON_INTERNAL;
    bool is_permit = slice_eq(verdict, SLICE("permit"));
    bool is_by = slice_eq(link, SLICE("by")) && object.len;
    bool is_because = slice_eq(link, SLICE("because")) && object.len && !is_permit;
    if ((!is_permit && !slice_eq(verdict, SLICE("deny"))) || (link.len && !is_by && !is_because)) {
        findings_error(out, at, "test-expect",
                       "'%.*s' is not 'permit', 'permit by RULE', 'deny', 'deny by RULE' or "
                       "'deny because REASON'",
                       SLICE_ARG(text));
        return false;
    }
    if (is_because && (!reason_find(object, &reason) || reason == REASON_PERMITTED)) {
        findings_error(out, at, "test-expect",
                       "'%.*s' is not a reason for a refusal; such as denied, forbidden, "
                       "identity_required, device_required, assurance_too_low, path_ambiguous",
                       SLICE_ARG(object));
        return false;
    }
    t->expect = is_permit ? EXPECT_PERMIT : EXPECT_DENY;
    t->rule = is_by ? object : SLICE("");
    t->has_reason = is_because;
    t->reason = reason;
    t->expect_place = at;
    return true;
}

const struct application *policy_application_of(const struct bundle *b, struct slice host)
{
    for (uint32_t i = 0; i < b->application_count; i++)
        if (slice_eq(b->applications[i].host, host))
            return &b->applications[i];
    return NULL;
}

static bool has_id(const struct rule *rules, uint32_t count, struct slice id)
{
    for (uint32_t i = 0; i < count; i++)
        if (slice_eq(rules[i].id, id))
            return true;
    return false;
}

static bool has_rule(const struct application *app, const struct baseline *b, struct slice id)
{
    return has_id(app->rule_list, app->rule_count, id) ||
           (b && (has_id(b->requirements, b->requirement_count, id) ||
                  has_id(b->forbids, b->forbid_count, id)));
}

enum reason policy_refused_before(const struct facts *facts, struct request *request,
                                  struct arena *a)
{
    const struct application *app = facts->app;
    const enum reason reason = target_parse(request, request->target, app->paths, a);
    if (reason != REASON_PERMITTED)
        return reason;
    const bool is_demanded =
        app->device == DEVICE_REQUIRED_BY_TLS || app->device == DEVICE_REQUIRED;
    return is_demanded && !facts->device && !facts->service ? REASON_DEVICE_REQUIRED
                                                            : REASON_PERMITTED;
}

static struct wall moment_of(const struct given_age *age, struct wall now)
{
    return (struct wall){age->is_given ? now.s - age->s : 0};
}

void policy_test_facts(struct policy_test *t, const struct application *app, struct wall now,
                       struct request *request, struct facts *out)
{
    const struct given_session *given = &t->given_session;
    now = t->now.s ? t->now : now;
    t->session =
        (struct facts_session){.began = moment_of(&given->age, now),
                               .authenticated_at = moment_of(&given->authentication_age, now),
                               .methods = given->methods};
    *request = (struct request){.protocol = t->protocol,
                                .method = t->method,
                                .method_name = t->method_name,
                                .host = t->host,
                                .authority = t->host,
                                .target = t->target,
                                .fields = t->fields,
                                .field_count = t->field_count};
    *out = (struct facts){.user = t->has_user ? &t->user : NULL,
                          .device = t->has_device ? &t->device : NULL,
                          .service = t->has_service ? &t->service : NULL,
                          .session = t->has_session ? &t->session : NULL,
                          .app = app,
                          .request = request,
                          .client_address =
                              t->client_address.len ? t->client_address : SLICE("127.0.0.1"),
                          .now = now};
}

static void judge(struct policy_test *t, const struct application *app,
                  const struct baseline *baseline, struct wall now, struct arena *a,
                  struct decision *out)
{
    const struct snapshot s = {.baseline = baseline};
    struct request request;
    struct facts facts;
    policy_test_facts(t, app, now, &request, &facts);
    enum reason before = policy_refused_before(&facts, &request, a);
    if (before == REASON_PERMITTED) {
        query_read_for_rules(&s, &facts, a);
        decide(&s, &facts, out);
        return;
    }
    *out = (struct decision){.reason = before};
}

static bool is_as_expected(const struct policy_test *t, const struct decision *d)
{
    enum verdict wanted = t->expect == EXPECT_PERMIT ? DECISION_PERMIT : DECISION_DENY;
    return t->expect != EXPECT_NOTHING && d->verdict == wanted &&
           (!t->rule.len || slice_eq(t->rule, d->rule)) &&
           (!t->has_reason || t->reason == d->reason);
}

static void report(const struct policy_test *t, const struct decision *d, struct arena *a,
                   struct findings *out)
{
    struct slice wanted = t->expect == EXPECT_PERMIT ? SLICE("permit") : SLICE("deny");
    struct slice none = SLICE("");
    struct slice by = t->rule.len ? arena_printf(a, " by %.*s", SLICE_ARG(t->rule))
                      : t->has_reason
                          ? arena_printf(a, " because %.*s", SLICE_ARG(reason_name(t->reason)))
                          : none;
    struct slice decided =
        d->verdict == DECISION_PERMIT
            ? SLICE("permit")
            : arena_printf(a, "deny because %.*s", SLICE_ARG(reason_name(d->reason)));
    struct slice rule =
        d->rule.len ? arena_printf(a, ", rule '%.*s'", SLICE_ARG(d->rule)) : SLICE(", no rule");
    struct slice missing =
        d->missing.len ? arena_printf(a, ", which misses %.*s", SLICE_ARG(d->missing)) : none;
    findings_error(out, t->place, "test-failed",
                   "test '%.*s' expects %.*s%.*s, but the rules say %.*s%.*s%.*s",
                   SLICE_ARG(t->name), SLICE_ARG(wanted), SLICE_ARG(by), SLICE_ARG(decided),
                   SLICE_ARG(rule), SLICE_ARG(missing));
}

static void tell_unknown_rule(const struct policy_test *t, const struct application *app,
                              struct findings *out)
{
    struct slice *names = mem_array(struct slice, app->rule_count + 1);
    for (uint32_t i = 0; i < app->rule_count; i++)
        names[i] = app->rule_list[i].id;
    const struct slice near = nearest_name(t->rule, names, app->rule_count);
    findings_error(out, t->expect_place, "test-rule",
                   "test '%.*s': application '%.*s' has no rule '%.*s'%s%.*s%s", SLICE_ARG(t->name),
                   SLICE_ARG(app->id), SLICE_ARG(t->rule), near.len ? "; did you mean '" : "",
                   SLICE_ARG(near), near.len ? "'?" : "");
    mem_free(names);
}

static bool run_one(const struct bundle *b, const struct baseline *baseline, struct policy_test *t,
                    struct wall now, struct findings *out)
{
    const struct application *app = policy_application_of(b, t->host);
    if (!app) {
        findings_error(out, t->place, "test-host",
                       "test '%.*s': no application of this bundle has the host '%.*s'",
                       SLICE_ARG(t->name), SLICE_ARG(t->host));
        return false;
    }
    if (t->rule.len && !has_rule(app, baseline, t->rule)) {
        tell_unknown_rule(t, app, out);
        return false;
    }
    struct arena a;
    arena_init(&a, NULL);
    struct decision d;
    judge(t, app, baseline, now, &a, &d);
    bool ok = is_as_expected(t, &d);
    if (!ok)
        report(t, &d, &a, out);
    arena_fini(&a);
    return ok;
}

/* Steps of all tests of a bundle together: some seconds of the one thread that reads what all
 * entities publish. */
#define TESTS_MAX_COST 1000000000

static bool is_affordable(const struct bundle *b, struct findings *out)
{
    uint64_t cost = 0;
    for (uint32_t i = 0; i < b->test_count; i++) {
        const struct application *app = policy_application_of(b, b->tests[i].host);
        cost += app ? app->cost : 0;
        if (cost <= TESTS_MAX_COST)
            continue;
        findings_error(out, b->tests[i].place, "too-costly",
                       "up to here the tests may take %llu steps, more than %d; leave some out, or "
                       "make conditions simpler",
                       (unsigned long long)cost, TESTS_MAX_COST);
        return false;
    }
    return true;
}

bool policy_test_run(const struct bundle *b, const struct baseline *baseline, struct wall now,
                     struct findings *out, enum test_end *ends)
{
    bool all = true;
    if (!is_affordable(b, out))
        return false;
    for (uint32_t i = 0; i < b->test_count; i++) {
        const bool ok = run_one(b, baseline, &b->tests[i], now, out);
        if (ends)
            ends[i] = ok ? TEST_PASSED : TEST_FAILED;
        all = all && ok;
    }
    return all;
}
