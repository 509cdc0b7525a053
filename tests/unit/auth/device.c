// SPDX-License-Identifier: EUPL-1.2
/* What a certificate says, and which certificates say nothing that can be relied on. */
#include "auth/device.h"

#include <criterion/criterion.h>
#include <openssl/x509v3.h>

#include "base/codec.h"
#include "base/hash.h"
#include "pki.h"

static struct pki_end root;

static void begin(void)
{
    base_init();
    root = pki_root("Devices, \"Root\"");
}

static void end(void)
{
    pki_end_fini(&root);
}

TestSuite(device, .init = begin, .fini = end);

static struct device *read_leaf(struct pki_spec spec, const struct authority *authority)
{
    struct fault fault = {0};
    spec.issuer = &root;
    spec.usage = spec.usage ? spec.usage : PKI_LEAF_USAGE;
    spec.extended = spec.extended ? spec.extended : "clientAuth,serverAuth";
    struct pki_end leaf = pki_make(&spec);
    struct device *d = device_new(leaf.certificate, authority, &fault);
    cr_assert(d || fault.text[0]);
    pki_end_fini(&leaf);
    return d;
}

static bool text_is(struct slice text, const char *expected)
{
    return slice_eq(text, slice_of(expected));
}

Test(device, facts_are_what_the_certificate_says)
{
    const struct authority managed = {
        .id = SLICE("managed"), .trust = SLICE("managed"), .name = DEVICE_NAME_COMMON_NAME};
    struct device *d = read_leaf((struct pki_spec){.common_name = "Poste de Zoé",
                                                   .units = {"Finance", "Bruxelles"},
                                                   .names = "DNS:PC-1.Finance.example,"
                                                            "URI:urn:uuid:1,DNS:pc-1.example,"
                                                            "email:zoe@finance.example"},
                                 &managed);
    cr_assert_not_null(d);
    cr_expect_not(d->is_service);
    cr_expect(text_is(d->device.id, "managed:Poste de Zoé"));
    cr_expect(text_is(d->device.authority, "managed"));
    cr_expect(text_is(d->device.trust, "managed"));
    cr_expect(text_is(d->device.common_name, "Poste de Zoé"));
    cr_expect(text_is(d->device.issuer, "CN=Devices\\, \\\"Root\\\""));
    cr_expect_eq(d->device.organizational_units.count, 2);
    cr_expect(text_is(d->device.organizational_units.at[1], "Bruxelles"));
    cr_expect_eq(d->device.subject.count, 3);
    cr_expect(text_is(d->device.subject.at[0], "OU=Finance"));
    cr_expect(text_is(d->device.subject.at[2], "CN=Poste de Zoé"));
    cr_expect_eq(d->device.emails.count, 1);
    cr_expect(text_is(d->device.emails.at[0], "zoe@finance.example"));
    cr_expect(text_is(d->device.key_type, "EC"));
    cr_expect_eq(d->device.key_bits, 256);
    cr_expect_eq(d->device.dns_names.count, 2);
    cr_expect(text_is(d->device.dns_names.at[0], "pc-1.finance.example"), "names in lower case");
    cr_expect(text_is(d->device.uris.at[0], "urn:uuid:1"));
    cr_expect_eq(d->device.not_after.s, NOW_S + DAY_S);
    cr_expect(d->device.serial.len >= 4);
    char hex[64];
    hex_encode(hex, d->device.digest, 32);
    cr_expect(slice_eq(d->device.certificate, slice_from(hex, 64)));
    device_unref(d);
}

Test(device, every_value_of_a_multi_valued_rdn_is_a_fact)
{
    struct pki_end leaf = pki_device("laptop-1", &root);
    X509_NAME *name = X509_get_subject_name(leaf.certificate);
    const struct authority managed = {
        .id = SLICE("managed"), .trust = SLICE("managed"), .name = DEVICE_NAME_COMMON_NAME};
    struct fault fault;
    // +1: of the RDN before
    cr_assert(X509_NAME_add_entry_by_txt(name, "serialNumber", MBSTRING_ASC,
                                         (const unsigned char *)"42", -1, -1, 1));
    cr_assert(X509_NAME_add_entry_by_txt(name, "1.2.3.4", MBSTRING_ASC,
                                         (const unsigned char *)"odd", -1, -1, 0));
    cr_assert(X509_sign(leaf.certificate, root.key, EVP_sha256()));
    struct device *d = device_new(leaf.certificate, &managed, &fault);
    cr_assert(d, "%s", fault.text);
    cr_assert_eq(d->device.subject.count, 3);
    cr_expect(text_is(d->device.subject.at[1], "serialNumber=42"));
    cr_expect(text_is(d->device.subject.at[2], "1.2.3.4=odd"));
    device_unref(d);
    pki_end_fini(&leaf);
}

Test(device, the_name_stays_when_the_certificate_is_renewed)
{
    const struct authority managed = {.id = SLICE("managed"), .name = DEVICE_NAME_SERIAL_NUMBER};
    const struct pki_spec spec = {.common_name = "laptop", .subject_serial = "C02-1"};
    struct device *before = read_leaf(spec, &managed);
    struct device *after = read_leaf(spec, &managed);
    cr_assert(before && after);
    cr_expect(text_is(before->device.id, "managed:C02-1"));
    cr_expect(slice_eq(before->device.id, after->device.id));
    cr_expect_not(slice_eq(before->device.certificate, after->device.certificate));
    device_unref(before);
    device_unref(after);
}

Test(device, a_name_that_is_absent_double_or_unclean_makes_it_unusable)
{
    static const struct {
        enum device_name name;
        struct pki_spec spec;
        bool is_good;
    } cases[] = {
        {DEVICE_NAME_COMMON_NAME, {.common_name = "a"}, true},
        {DEVICE_NAME_COMMON_NAME, {.subject_serial = "1"}, false},
        {DEVICE_NAME_COMMON_NAME, {.common_name = "a", .second_common_name = "b"}, false},
        {DEVICE_NAME_COMMON_NAME, {.common_name = "a\nb"}, false},
        {DEVICE_NAME_COMMON_NAME, {.common_name = "a\x7f"}, false},
        {DEVICE_NAME_COMMON_NAME, {.common_name = "a\xc2\x85"}, false},
        {DEVICE_NAME_COMMON_NAME, {.common_name = "a", .units = {"x\ty"}}, false},
        {DEVICE_NAME_SERIAL_NUMBER, {.common_name = "a"}, false},
        {DEVICE_NAME_URI, {.common_name = "a", .names = "URI:urn:x:1"}, true},
        {DEVICE_NAME_URI, {.common_name = "a", .names = "URI:urn:x:1,URI:urn:x:2"}, false},
        {DEVICE_NAME_URI, {.common_name = "a", .names = "DNS:urn.example"}, false},
        {DEVICE_NAME_DNS, {.common_name = "a", .names = "DNS:a.example,URI:urn:x:1"}, true},
        {DEVICE_NAME_DNS, {.common_name = "a", .names = "DNS:a.example,DNS:b.example"}, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct authority authority = {.id = SLICE("managed"), .name = cases[i].name};
        struct device *d = read_leaf(cases[i].spec, &authority);
        cr_expect_eq(d != NULL, cases[i].is_good, "case %zu", i);
        device_unref(d);
    }
}

static void alternative_push(GENERAL_NAMES *names, int type, const void *bytes, int len)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *text = ASN1_IA5STRING_new();
    cr_assert(ASN1_STRING_set(text, bytes, len));
    GENERAL_NAME_set0_value(name, type, text);
    sk_GENERAL_NAME_push(names, name);
}

Test(device, a_nul_in_a_name_makes_it_unusable)
{
    const struct authority authority = {.id = SLICE("managed"), .name = DEVICE_NAME_DNS};
    struct fault fault;
    struct pki_end leaf = pki_device("laptop", &root);
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    alternative_push(names, GEN_DNS, "a.example\0.evil.example", 23);
    cr_assert(X509_add1_ext_i2d(leaf.certificate, NID_subject_alt_name, names, 0, 0));
    cr_assert(X509_sign(leaf.certificate, root.key, EVP_sha256()));
    cr_expect_null(device_new(leaf.certificate, &authority, &fault));
    GENERAL_NAMES_free(names);
    pki_end_fini(&leaf);
}

Test(device, spiffe_ids_are_taken_by_the_letter)
{
    static const struct {
        const char *names;
        bool is_good;
    } cases[] = {
        {"URI:spiffe://finance.example/billing", true},
        {"URI:spiffe://finance.example/ns/prod/sa/billing_2.x-y", true},
        {"URI:spiffe://finance.example/Billing", true},
        {"URI:spiffe://finance.example/billing,DNS:billing.example", true},
        {"URI:spiffe://finance.example", false},
        {"URI:spiffe://finance.example/", false},
        {"URI:spiffe://finance.example/billing/", false},
        {"URI:spiffe://finance.example//billing", false},
        {"URI:spiffe://finance.example/a//b", false},
        {"URI:spiffe://finance.example/./b", false},
        {"URI:spiffe://finance.example/a/..", false},
        {"URI:spiffe://finance.example/a%2fb", false},
        {"URI:spiffe://finance.example/a b", false},
        {"URI:spiffe://finance.example/a?x=1", false},
        {"URI:spiffe://finance.example/a#x", false},
        {"URI:spiffe://finance.example:443/a", false},
        {"URI:spiffe://user@finance.example/a", false},
        {"URI:spiffe://Finance.example/a", false},
        {"URI:SPIFFE://finance.example/a", false},
        {"URI:spiffe:///a", false},
        {"URI:https://finance.example/a", false},
        {"URI:spiffe://other.example/a", false},
        {"URI:spiffe://finance.example.evil.example/a", false},
        {"URI:spiffe://finance.example/a,URI:spiffe://finance.example/b", false},
        {"URI:spiffe://finance.example/a,URI:urn:x:1", false},
        {"DNS:finance.example", false},
        {"email:spiffe@finance.example", false},
        {"URI:spiffe://finance.example/a,email:a@finance.example", true},
    };
    const struct authority mesh = {.id = SLICE("mesh"),
                                   .identifies_service = true,
                                   .trust_domain = SLICE("finance.example"),
                                   .name = DEVICE_NAME_URI};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct device *d =
            read_leaf((struct pki_spec){.common_name = "x", .names = cases[i].names}, &mesh);
        cr_expect_eq(d != NULL, cases[i].is_good, "%s", cases[i].names);
        if (d) {
            cr_expect(d->is_service);
            cr_expect(slice_eq(d->service.id, d->service.spiffe_id));
            cr_expect(text_is(d->service.trust_domain, "finance.example"));
        }
        device_unref(d);
    }
}

Test(device, an_svid_is_a_leaf_that_signs_and_does_not_issue)
{
    static const struct pki_spec bad[] = {
        {.usage = "critical,keyEncipherment"},
        {.usage = "digitalSignature"},
        {.extended = "clientAuth"},
        {.extended = "serverAuth"},
        {.extended = "clientAuth,emailProtection"},
        {.usage = "critical,digitalSignature,cRLSign"},
        {.usage = "critical,digitalSignature,keyCertSign"},
        {.usage = "critical,digitalSignature,keyCertSign", .basic = "critical,CA:TRUE"},
    };
    const struct authority mesh = {.id = SLICE("mesh"),
                                   .identifies_service = true,
                                   .trust_domain = SLICE("finance.example"),
                                   .name = DEVICE_NAME_URI};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct pki_spec spec = bad[i];
        spec.common_name = "x";
        spec.names = "URI:spiffe://finance.example/a";
        struct device *d = read_leaf(spec, &mesh);
        cr_expect_null(d, "case %zu", i);
        device_unref(d);
    }
}

Test(device, a_service_without_spiffe_has_its_authoritys_name)
{
    const struct authority partner = {
        .id = SLICE("partner"), .identifies_service = true, .name = DEVICE_NAME_COMMON_NAME};
    struct device *d = read_leaf(
        (struct pki_spec){.common_name = "billing", .names = "URI:spiffe://finance.example/a"},
        &partner);
    cr_assert_not_null(d);
    cr_expect(d->is_service);
    cr_expect(text_is(d->service.id, "billing"));
    cr_expect_eq(d->service.spiffe_id.len, 0);
    device_unref(d);
}
