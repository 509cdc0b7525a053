// SPDX-License-Identifier: EUPL-1.2
/* Which certificates an entity's authorities vouch for, and above all which they do not. */
#include "auth/chain.h"

#include <criterion/criterion.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/x509v3.h>

#include "base/hash.h"
#include "base/mem.h"
#include "pki.h"

static const struct wall now = {NOW_S};
static struct pki_end root;
static struct pki_end between; /* an intermediate below root */
static struct chain_trust *trust;

static struct chain_trust *trust_of(const char *id, X509 *certificate)
{
    char *pem = NULL;
    struct fault fault;
    pki_pem(&pem, certificate);
    const struct authority authority = {.id = slice_of(id), .ca_pem = slice_of(pem)};
    struct chain_trust *t = chain_trust_new(&authority, 1, &fault);
    cr_assert(t, "%s", fault.text);
    mem_free(pem);
    return t;
}

static void begin(void)
{
    base_init();
    root = pki_root("Root");
    between = pki_intermediate("Intermediate", &root);
    trust = trust_of("managed", root.certificate);
}

static void end(void)
{
    chain_trust_unref(trust);
    pki_end_fini(&between);
    pki_end_fini(&root);
}

TestSuite(chain, .init = begin, .fini = end);

static struct chain_answer judge(struct chain_trust *t, X509 *leaf, X509 **helpers, size_t count)
{
    struct chain_answer answer;
    STACK_OF(X509) *list = sk_X509_new_null();
    for (size_t i = 0; i < count; i++)
        sk_X509_push(list, helpers[i]);
    chain_judge(t, leaf, list, now, &answer);
    sk_X509_free(list);
    cr_assert((answer.verdict == CHAIN_GOOD) == (answer.authority != NULL));
    cr_assert((answer.verdict == CHAIN_GOOD) == (answer.x509_error == X509_V_OK));
    cr_assert_not_null(answer.detail);
    return answer;
}

/* Makes the leaf of that spec below `issuer`, judges it with `between` at hand, and expects it bad.
 */
static void expect_bad(const char *what, struct pki_spec spec, const struct pki_end *issuer,
                       const char *detail)
{
    spec.issuer = issuer;
    spec.common_name = spec.common_name ? spec.common_name : "laptop-1";
    struct pki_end leaf = pki_make(&spec);
    const struct chain_answer answer = judge(trust, leaf.certificate, &between.certificate, 1);
    cr_expect_eq(answer.verdict, CHAIN_BAD, "%s was accepted", what);
    cr_expect_str_eq(answer.detail, detail, "%s: %s (%d)", what, answer.detail, answer.x509_error);
    pki_end_fini(&leaf);
}

Test(chain, a_device_below_the_root_is_good)
{
    struct pki_end leaf = pki_device("laptop-1", &root);
    struct chain_answer answer;
    chain_judge(trust, leaf.certificate, NULL, now, &answer);
    cr_assert_eq(answer.verdict, CHAIN_GOOD, "%s (%d)", answer.detail, answer.x509_error);
    cr_assert(slice_eq(answer.authority->id, SLICE("managed")));
    pki_end_fini(&leaf);
}

Test(chain, a_device_below_an_intermediate_needs_that_intermediate)
{
    struct pki_end leaf = pki_device("laptop-1", &between);
    cr_expect_eq(judge(trust, leaf.certificate, &between.certificate, 1).verdict, CHAIN_GOOD);
    const struct chain_answer answer = judge(trust, leaf.certificate, NULL, 0);
    cr_expect_eq(answer.verdict, CHAIN_BAD);
    cr_expect_str_eq(answer.detail, "unknown authority");
    pki_end_fini(&leaf);
}

Test(chain, a_chain_is_good_until_its_first_certificate_ends)
{
    struct pki_end passing = pki_make(&(struct pki_spec){.common_name = "Passing",
                                                         .issuer = &root,
                                                         .basic = "critical,CA:TRUE",
                                                         .usage = PKI_CA_USAGE,
                                                         .not_after_s = NOW_S + 60});
    struct pki_end leaf = pki_device("laptop-1", &passing);
    struct pki_end shorter = pki_make(&(struct pki_spec){.common_name = "laptop-2",
                                                         .issuer = &passing,
                                                         .usage = PKI_LEAF_USAGE,
                                                         .extended = "clientAuth",
                                                         .not_after_s = NOW_S + 30});
    cr_expect_eq(judge(trust, leaf.certificate, &passing.certificate, 1).until.s, NOW_S + 60);
    cr_expect_eq(judge(trust, shorter.certificate, &passing.certificate, 1).until.s, NOW_S + 30);
    pki_end_fini(&shorter);
    pki_end_fini(&leaf);
    pki_end_fini(&passing);
}

Test(chain, an_intermediate_of_the_authority_helps_clients_that_send_none)
{
    char *pem = NULL;
    struct fault fault;
    pki_pem(&pem, between.certificate);
    pki_pem(&pem, root.certificate);
    const struct authority authority = {.id = SLICE("managed"), .ca_pem = slice_of(pem)};
    struct chain_trust *t = chain_trust_new(&authority, 1, &fault);
    cr_assert(t, "%s", fault.text);
    struct pki_end leaf = pki_device("laptop-1", &between);
    cr_expect_eq(judge(t, leaf.certificate, NULL, 0).verdict, CHAIN_GOOD);
    cr_expect_eq(sk_X509_NAME_num(chain_trust_names(t)), 2);
    pki_end_fini(&leaf);
    chain_trust_unref(t);
    mem_free(pem);
}

/* The public half of a key of 9000 bits that nobody has. */
static EVP_PKEY *large_key(void)
{
    BIGNUM *n = BN_new();
    EVP_PKEY *key = NULL;
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    cr_assert(BN_rand(n, 9000, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD));
    cr_assert(OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n));
    cr_assert(OSSL_PARAM_BLD_push_uint(build, OSSL_PKEY_PARAM_RSA_E, 65537));
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    cr_assert(EVP_PKEY_fromdata_init(context) == 1 &&
              EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params) == 1);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(context);
    BN_free(n);
    return key;
}

Test(chain, keys_of_ed25519_and_p384_are_good)
{
    const enum pki_key kinds[] = {PKI_P384, PKI_ED25519, PKI_RSA2048};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct pki_end leaf = pki_make(&(struct pki_spec){.common_name = "laptop-1",
                                                          .key = kinds[i],
                                                          .issuer = &root,
                                                          .usage = PKI_LEAF_USAGE,
                                                          .extended = "clientAuth"});
        cr_expect_eq(judge(trust, leaf.certificate, NULL, 0).verdict, CHAIN_GOOD);
        pki_end_fini(&leaf);
    }
}

Test(chain, the_answer_says_what_could_be_revoked)
{
    struct pki_end leaf = pki_device("laptop-1", &between);
    struct chain_serial serial;
    uint8_t id[32];
    const struct chain_answer answer = judge(trust, leaf.certificate, &between.certificate, 1);
    cr_assert_eq(answer.link_count, 2, "leaf and intermediate, not the anchor");
    cr_assert(chain_id(id, between.certificate));
    cr_expect_arr_eq(answer.links[0].issuer, id, 32);
    cr_assert(chain_serial_of(&serial, X509_get0_serialNumber(leaf.certificate)));
    cr_expect_arr_eq(&answer.links[0].serial, &serial, sizeof serial);
    cr_assert(chain_id(id, root.certificate));
    cr_expect_arr_eq(answer.links[1].issuer, id, 32);
    pki_end_fini(&leaf);
}

Test(chain, bad_leaves_are_refused_each_for_its_reason)
{
    const struct pki_spec good = {.usage = PKI_LEAF_USAGE, .extended = "clientAuth"};
    struct pki_spec s;

    s = good, s.not_after_s = NOW_S - 1;
    expect_bad("an expired leaf", s, &between, "expired");
    s = good, s.not_before_s = NOW_S + 60;
    expect_bad("a leaf of tomorrow", s, &between, "not yet valid");
    s = good, s.extended = NULL;
    expect_bad("a leaf without EKU", s, &between, "not for client authentication");
    s = good, s.extended = "serverAuth";
    expect_bad("a server's leaf", s, &between, "not for client authentication");
    s = good, s.extended = "anyExtendedKeyUsage";
    expect_bad("a leaf for anything", s, &between, "not for client authentication");
    s = good, s.usage = "critical,keyEncipherment";
    expect_bad("a leaf that may not sign", s, &between, "not for client authentication");
    s = good, s.usage = "critical,keyAgreement";
    expect_bad("a leaf that may only agree on keys", s, &between, "not for client authentication");
    s = good, s.key = PKI_RSA1024;
    expect_bad("a short RSA key", s, &between, "a key is too weak");
    s = good, s.is_sha1 = true;
    expect_bad("a SHA-1 signature", s, &between, "a signature algorithm is too weak");
    s = good, s.key = PKI_P224;
    expect_bad("a small curve", s, &between, "the kind of a key is not accepted");
    s = good, s.key = PKI_K256;
    expect_bad("a curve of coins", s, &between, "the kind of a key is not accepted");
    s = good, s.reused = large_key();
    expect_bad("an RSA key that is dear to verify", s, &between,
               "the kind of a key is not accepted");
    EVP_PKEY_free(s.reused);
    s = good, s.has_no_authority_key = true;
    expect_bad("a leaf that does not say by which key", s, &between, "a key identifier is missing");
    s = good, s.has_unknown_critical = true;
    expect_bad("an unknown critical extension", s, &between, "an unknown critical extension");
    s = good, s.basic = "critical,CA:TRUE", s.usage = "critical,digitalSignature,keyCertSign";
    expect_bad("an issuing certificate as identity", s, &between, "not for client authentication");
    expect_bad("a self-signed leaf", good, NULL, "unknown authority");
}

Test(chain, a_leaf_of_an_unknown_authority_is_refused_also_under_a_known_name)
{
    struct pki_end twin = pki_root("Root"); // the same name, another key
    struct pki_end leaf = pki_device("laptop-1", &twin);
    cr_expect_eq(judge(trust, leaf.certificate, NULL, 0).verdict, CHAIN_BAD);
    const struct chain_answer answer = judge(trust, leaf.certificate, &twin.certificate, 1);
    cr_expect_eq(answer.verdict, CHAIN_BAD);
    cr_expect_str_eq(answer.detail, "unknown authority");
    pki_end_fini(&leaf);
    pki_end_fini(&twin);
}

Test(chain, the_root_itself_is_no_device)
{
    cr_expect_eq(judge(trust, root.certificate, NULL, 0).verdict, CHAIN_BAD);
    cr_expect_eq(judge(trust, between.certificate, NULL, 0).verdict, CHAIN_BAD);
}

Test(chain, a_changed_byte_ends_it)
{
    struct pki_end leaf = pki_device("laptop-1", &root);
    unsigned char *der = NULL;
    const int len = i2d_X509(leaf.certificate, &der);
    der[len - 1] ^= 1; // in the signature
    const unsigned char *at = der;
    X509 *changed = d2i_X509(NULL, &at, len);
    cr_assert_not_null(changed);
    cr_expect_eq(judge(trust, changed, NULL, 0).verdict, CHAIN_BAD);
    X509_free(changed);
    OPENSSL_free(der);
    pki_end_fini(&leaf);
}

/* A leaf below an intermediate of that spec. */
static void expect_bad_below(const char *what, struct pki_spec spec,
                             const struct pki_spec *leaf_spec, const char *detail)
{
    spec.issuer = &root;
    spec.common_name = "Odd";
    struct pki_end odd = pki_make(&spec);
    struct pki_spec good = {
        .common_name = "laptop-1", .usage = PKI_LEAF_USAGE, .extended = "clientAuth"};
    if (leaf_spec)
        good = *leaf_spec;
    good.issuer = &odd;
    struct pki_end leaf = pki_make(&good);
    const struct chain_answer answer = judge(trust, leaf.certificate, &odd.certificate, 1);
    cr_expect_eq(answer.verdict, CHAIN_BAD, "%s was accepted", what);
    cr_expect_str_eq(answer.detail, detail, "%s: %s (%d)", what, answer.detail, answer.x509_error);
    pki_end_fini(&leaf);
    pki_end_fini(&odd);
}

Test(chain, bad_intermediates_are_refused_each_for_its_reason)
{
    const struct pki_spec good = {.basic = "critical,CA:TRUE", .usage = PKI_CA_USAGE};
    struct pki_spec s;

    s = good, s.basic = NULL, s.usage = PKI_LEAF_USAGE;
    expect_bad_below("a leaf as issuer", s, NULL, "an issuer in the chain may not issue");
    s = good, s.basic = "critical,CA:FALSE", s.usage = PKI_LEAF_USAGE;
    expect_bad_below("a non-CA as issuer", s, NULL, "an issuer in the chain may not issue");
    s = good, s.usage = "critical,cRLSign";
    expect_bad_below("an issuer of CRLs only", s, NULL, "an issuer in the chain may not issue");
    s = good, s.not_after_s = NOW_S - 1;
    expect_bad_below("an expired issuer", s, NULL, "expired");
    s = good, s.key = PKI_RSA1024;
    expect_bad_below("a weak issuer", s, NULL, "a key is too weak");
    s = good, s.extended = "serverAuth";
    expect_bad_below("an issuer for servers", s, NULL, "not for client authentication");

    const struct pki_spec named = {.common_name = "laptop-1",
                                   .usage = PKI_LEAF_USAGE,
                                   .extended = "clientAuth",
                                   .names = "DNS:laptop-1.other.example"};
    s = good, s.constraints = "critical,permitted;DNS:finance.example";
    expect_bad_below("a name outside", s, &named, "a name is outside of its constraints");
    const struct pki_spec uri = {.common_name = "laptop-1",
                                 .usage = PKI_LEAF_USAGE,
                                 .extended = "clientAuth",
                                 .names = "URI:spiffe://other.example/x"};
    s = good, s.constraints = "critical,permitted;URI:finance.example";
    expect_bad_below("a URI outside", s, &uri, "a name is outside of its constraints");
}

Test(chain, a_path_length_holds)
{
    struct pki_end last = pki_make(&(struct pki_spec){.common_name = "Last",
                                                      .issuer = &root,
                                                      .basic = "critical,CA:TRUE,pathlen:0",
                                                      .usage = PKI_CA_USAGE});
    struct pki_end beyond = pki_intermediate("Beyond", &last);
    struct pki_end leaf = pki_device("laptop-1", &beyond);
    X509 *helpers[] = {beyond.certificate, last.certificate};
    const struct chain_answer answer = judge(trust, leaf.certificate, helpers, 2);
    cr_expect_eq(answer.verdict, CHAIN_BAD);
    cr_expect_str_eq(answer.detail, "the path length is exceeded");
    pki_end_fini(&leaf);
    pki_end_fini(&beyond);
    pki_end_fini(&last);
}

Test(chain, a_chain_has_at_most_so_many_certificates)
{
    struct pki_end issuers[CHAIN_MAX];
    X509 *helpers[CHAIN_MAX];
    for (int i = 0; i < CHAIN_MAX; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "Step %d", i);
        issuers[i] = pki_intermediate(name, i ? &issuers[i - 1] : &root);
        helpers[i] = issuers[i].certificate;
    }
    // Root, six between and the leaf are eight; one more is too many.
    struct pki_end leaf = pki_device("laptop-1", &issuers[CHAIN_MAX - 3]);
    struct pki_end far = pki_device("laptop-2", &issuers[CHAIN_MAX - 2]);
    cr_expect_eq(judge(trust, leaf.certificate, helpers, CHAIN_MAX - 2).verdict, CHAIN_GOOD);
    cr_expect_eq(judge(trust, far.certificate, helpers, CHAIN_MAX - 1).verdict, CHAIN_BAD);
    pki_end_fini(&far);
    pki_end_fini(&leaf);
    for (int i = 0; i < CHAIN_MAX; i++)
        pki_end_fini(&issuers[i]);
}

Test(chain, a_heap_of_certificates_is_not_looked_at)
{
    struct pki_end leaf = pki_device("laptop-1", &root);
    X509 *helpers[CHAIN_MAX + 1];
    for (int i = 0; i <= CHAIN_MAX; i++)
        helpers[i] = between.certificate;
    const struct chain_answer answer = judge(trust, leaf.certificate, helpers, CHAIN_MAX + 1);
    cr_expect_eq(answer.x509_error, X509_V_ERR_CERT_CHAIN_TOO_LONG);
    pki_end_fini(&leaf);
}

static struct chain_trust *trust_of_two(X509 *first, X509 *second, struct fault *fault)
{
    char *one = NULL;
    char *two = NULL;
    pki_pem(&one, first);
    pki_pem(&two, second);
    const struct authority list[] = {{.id = SLICE("one"), .ca_pem = slice_of(one)},
                                     {.id = SLICE("two"), .ca_pem = slice_of(two)}};
    struct chain_trust *t = chain_trust_new(list, 2, fault);
    mem_free(one);
    mem_free(two);
    return t;
}

Test(chain, the_authority_is_the_one_whose_root_it_is)
{
    struct fault fault;
    struct pki_end other = pki_root("Other");
    struct chain_trust *t = trust_of_two(root.certificate, other.certificate, &fault);
    cr_assert(t, "%s", fault.text);
    struct pki_end ours = pki_device("laptop-1", &root);
    struct pki_end theirs = pki_device("laptop-1", &other);
    cr_expect(slice_eq(judge(t, ours.certificate, NULL, 0).authority->id, SLICE("one")));
    cr_expect(slice_eq(judge(t, theirs.certificate, NULL, 0).authority->id, SLICE("two")));
    pki_end_fini(&theirs);
    pki_end_fini(&ours);
    chain_trust_unref(t);
    pki_end_fini(&other);
}

Test(chain, the_nearest_anchor_decides_where_one_authority_lies_below_another)
{
    struct fault fault;
    struct chain_trust *t = trust_of_two(root.certificate, between.certificate, &fault);
    cr_assert(t, "%s", fault.text);
    struct pki_end above = pki_device("laptop-1", &root);
    struct pki_end below = pki_device("laptop-1", &between);
    cr_expect(slice_eq(judge(t, above.certificate, NULL, 0).authority->id, SLICE("one")));
    cr_expect(slice_eq(judge(t, below.certificate, NULL, 0).authority->id, SLICE("two")));
    pki_end_fini(&below);
    pki_end_fini(&above);
    chain_trust_unref(t);
}

Test(chain, an_authority_without_a_root_is_anchored_in_what_it_has)
{
    struct chain_trust *t = trust_of("partial", between.certificate);
    struct pki_end leaf = pki_device("laptop-1", &between);
    struct pki_end beside = pki_device("laptop-2", &root);
    cr_expect_eq(judge(t, leaf.certificate, NULL, 0).verdict, CHAIN_GOOD);
    cr_expect_eq(judge(t, beside.certificate, &root.certificate, 1).verdict, CHAIN_BAD);
    pki_end_fini(&beside);
    pki_end_fini(&leaf);
    chain_trust_unref(t);
}

Test(chain, two_authorities_never_share_a_root_or_its_key)
{
    struct fault fault;
    cr_expect_null(trust_of_two(root.certificate, root.certificate, &fault));
    cr_expect_eq(fault.code, FAULT_CONFIG);
    struct pki_end again = pki_make(&(struct pki_spec){.common_name = "Root",
                                                       .basic = "critical,CA:TRUE",
                                                       .usage = PKI_CA_USAGE,
                                                       .reused = root.key});
    cr_expect_null(trust_of_two(root.certificate, again.certificate, &fault));
    pki_end_fini(&again);
}

Test(chain, what_is_no_authority_is_refused_at_load)
{
    struct pki_end leaf = pki_device("laptop-1", &root);
    struct fault fault;
    char *pem = NULL;
    pki_pem(&pem, root.certificate);
    pki_pem(&pem, leaf.certificate);
    const struct slice texts[] = {SLICE(""), SLICE("no PEM at all"), slice_of(pem),
                                  SLICE("-----BEGIN CERTIFICATE-----\nAAAA\n"
                                        "-----END CERTIFICATE-----\n")};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const struct authority authority = {.id = SLICE("x"), .ca_pem = texts[i]};
        cr_expect_null(chain_trust_new(&authority, 1, &fault), "text %zu", i);
    }
    mem_free(pem);
    pki_end_fini(&leaf);
}

Test(chain, no_authority_vouches_for_nothing)
{
    struct fault fault;
    struct chain_trust *t = chain_trust_new(NULL, 0, &fault);
    struct pki_end leaf = pki_device("laptop-1", &root);
    cr_expect_eq(judge(t, leaf.certificate, &root.certificate, 1).verdict, CHAIN_BAD);
    pki_end_fini(&leaf);
    chain_trust_unref(t);
}

Test(chain, the_digest_tells_trusts_apart)
{
    struct chain_trust *same = trust_of("managed", root.certificate);
    struct chain_trust *renamed = trust_of("other", root.certificate);
    cr_expect_arr_eq(chain_trust_digest(trust), chain_trust_digest(same), 32);
    cr_expect_arr_neq(chain_trust_digest(trust), chain_trust_digest(renamed), 32);
    chain_trust_unref(renamed);
    chain_trust_unref(same);
}
