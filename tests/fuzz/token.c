// SPDX-License-Identifier: EUPL-1.2
/* Tokens from anywhere. An input that begins with "r" is the token as it came: whatever it is,
 * nobody has signed it, so it is never permitted. One with "s" is header, line feed and payload, to
 * be signed rightly: what is then permitted has the shape that rules and audit rely on, twice the
 * same. */
#include "auth/token.h"
#include "auth/issuers_in.h"
#include "base/hash.h"
#include "base/jtree.h"
#include "tests/fuzz/signer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct slice audiences[] = {SLICE_INIT("a"), SLICE_INIT("https://leave.example")};
static struct slice types[] = {SLICE_INIT("at+jwt"), SLICE_INIT("jwt")};
static struct slice acr_claims[] = {SLICE_INIT("acr"), SLICE_INIT("amr")};
static const struct provider provider = {.id = SLICE_INIT("staff"),
                                         .entity = SLICE_INIT("finance"),
                                         .issuer = SLICE_INIT("https://idp.example"),
                                         .audiences = {audiences, 2},
                                         .algorithms =
                                             1u << ALGORITHM_RS256 | 1u << ALGORITHM_ES256,
                                         .token_types = {types, 2},
                                         .groups_claim = SLICE_INIT("groups"),
                                         .acr_claims = {acr_claims, 2},
                                         .leeway_s = 30,
                                         .max_token_age_s = 86400,
                                         .keys_max_stale_s = 86400};
static const struct provider *providers[] = {&provider};
static const struct application app = {
    .id = SLICE_INIT("leave"), .providers = providers, .provider_count = 1};

static struct private_key signer;
static struct token_cache *cache;
static struct token_question question;

static void begin(void)
{
    static struct metrics metrics;
    if (cache)
        return;
    base_init();
    struct issuers_entry entry = {.set = signer_make(&signer, provider.algorithms)};
    question = (struct token_question){.app = &app,
                                       .issuers = issuers_new(&entry, 1),
                                       .hash_key = SLICE("a key"),
                                       .now = {1800000000}};
    key_set_unref(entry.set);
    cache = token_cache_new(16, &metrics);
}

static void check_user(const struct facts_user *user)
{
    assert(user->subject.len && user->subject.len <= 256);
    assert(slice_eq(user->provider, provider.id) && slice_ends(user->id, user->subject));
    assert(user->expires.s + provider.leeway_s > question.now.s);
    assert(user->acr_level >= 0 && user->acr_level <= 999);
    signer_check_list(user->groups);
    signer_check_list(user->amr);
    signer_check_list(user->scopes);
}

static void judge_signed(struct slice header, struct slice payload)
{
    struct token_answer once;
    struct token_answer twice;
    struct slice token = signer_sign(&signer, header, payload);
    question.bytes = token;
    if (token_judge(cache, &question, &once) == REASON_PERMITTED) {
        struct slice algorithm;
        json_t *tree = jtree_parse(header);
        assert(jtree_string(tree, "alg", &algorithm) && slice_eq(algorithm, SLICE("ES256")));
        assert(!jtree_has(tree, "crit"));
        json_decref(tree);
        check_user(token_user(once.token));
        assert(token_judge(cache, &question, &twice) == REASON_PERMITTED);
        assert(once.token == twice.token);
        token_release(twice.token);
    } else {
        assert(!once.token);
    }
    token_release(once.token);
    mem_slice_free(&token);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct token_answer answer;
    if (!size)
        return 0;
    begin();
    struct slice rest = slice_from(data + 1, size - 1);
    if (data[0] == 's') {
        const struct slice header = slice_cut(&rest, '\n');
        judge_signed(header, rest);
        return 0;
    }
    question.bytes = rest;
    assert(token_judge(cache, &question, &answer) != REASON_PERMITTED && !answer.token);
    return 0;
}
