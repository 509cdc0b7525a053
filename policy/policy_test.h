// SPDX-License-Identifier: EUPL-1.2
/* A bundle's own tests: invented facts, one request, and what the rules must say of it. Loaded with
 * the bundle (its arena owns everything here), judged by decide(). The loader reads `given`; the
 * two one-line texts `request` and `expect` are read here, beside what judges them. */
#pragma once

#include "base/arena.h"
#include "base/findings.h"
#include "belfry/facts.h"
#include "belfry/reason.h"
#include "belfry/request.h"

struct bundle;

enum expectation {
    EXPECT_NOTHING = 0, /* a test that was not filled in fails */
    EXPECT_PERMIT,
    EXPECT_DENY,
};

/* How long ago; zeroed: it is missing. */
struct given_age {
    bool is_given;
    int64_t s;
};
struct given_session {
    struct given_age age;
    struct given_age authentication_age;
    struct slices methods;
};

struct policy_test {
    struct slice name;
    struct place place; /* of the test's first character */

    /* given: each part only where the test names it. A fact that is not given is left zero, which
     * is missing. */
    bool has_user;
    bool has_device;
    bool has_service;
    bool has_session;
    struct facts_user user;
    struct facts_device device;
    struct facts_service service;
    struct given_session given_session;
    struct facts_session session; /* made of it, by policy_test_facts */
    struct slice client_address; /* given: { request: { client_address: ... } }; empty: 127.0.0.1 */
    enum protocol protocol;      /* given: { request: { protocol: h1 | h2 } } */
    struct field *fields; /* given: { request: { headers: { NAME: TEXT or [TEXT, ...] } } } */
    uint32_t field_count;
    struct wall now; /* given: { now: 2027-01-01T08:00:00Z }; 0: the time of the run */

    /* request, by policy_test_request */
    enum method method;
    struct slice method_name;
    struct slice host;   /* canonical */
    struct slice target; /* path and query, as written */

    /* expect, by policy_test_expect */
    enum expectation expect;
    struct slice rule; /* "by RULE"; empty: any */
    bool has_reason;   /* "because REASON_NAME" */
    enum reason reason;
    struct place expect_place;
};

/* "GET https://host/path?query" → method, method_name, host, target. False with a finding at `at`.
 * `text` is borrowed: it lies in the bundle's arena or is copied there before. */
MUST_USE bool policy_test_request(struct policy_test *t, struct slice text, struct place at,
                                  struct arena *a, struct findings *out);
/* "permit", "permit by RULE", "deny", "deny by RULE", "deny because REASON_NAME" → expect, rule,
 * reason and expect_place. False with a finding at `at`. Whether RULE exists is judged by
 * policy_test_run. */
MUST_USE bool policy_test_expect(struct policy_test *t, struct slice text, struct place at,
                                 struct findings *out);

struct application;
struct facts;
/* The facts of a test; the path of *request is not made yet (target_parse). Both point into the
 * test. */
void policy_test_facts(struct policy_test *t, const struct application *app, struct wall now,
                       struct request *request, struct facts *out);

/* What the gateway asks in front of the rules: a path with one reading (which is made of
 * request->target), and a certificate where the application demands one. PERMITTED: the rules have
 * the word. */
enum reason policy_refused_before(const struct facts *facts, struct request *request,
                                  struct arena *a);
/* The application of that host; NULL where the bundle has none. */
const struct application *policy_application_of(const struct bundle *b, struct slice host);

/* A file of invented facts, `given` and `request` as in a test, into a test without expectation.
 * False with findings. */
MUST_USE bool policy_facts_load(struct policy_test *out, struct slice text, const char *file,
                                struct arena *a, struct findings *findings);

struct baseline;
/* Judges every test of a compiled bundle (bundle_compile), with the charter's baseline in force
 * where there is one (NULL: none is known). Each failure is an error at the test's
 * place: what was expected, what was decided and by which rule. True where none failed. Where all
 * together could take too long none is judged, and that is the error. `ends`: how each ended, for
 * more of them may fail than there is room for findings; or NULL. */
enum test_end { TEST_NOT_RUN = 0, TEST_FAILED, TEST_PASSED };
MUST_USE bool policy_test_run(const struct bundle *b, const struct baseline *baseline,
                              struct wall now, struct findings *out, enum test_end *ends);
