// SPDX-License-Identifier: EUPL-1.2
/* Certificates and keys for the tests of this room, made while they run. Everything here asserts: a
 * test that can't make its input has failed. */
#pragma once

#include <openssl/x509.h>

#include "belfry/slice.h"

#define NOW_S 1800000000 /* the moment of all tests: nothing depends on the clock */
#define DAY_S 86400

enum pki_key { PKI_P256 = 0, PKI_RSA2048, PKI_RSA1024, PKI_P384, PKI_P224, PKI_K256, PKI_ED25519 };
EVP_PKEY *pki_key_make(enum pki_key kind);

struct pki_end {
    X509 *certificate;
    EVP_PKEY *key;
};

/* The zeroed one is a P-256 leaf, valid from yesterday until tomorrow. */
struct pki_spec {
    const char *common_name; /* NULL: an empty subject */
    const char *second_common_name;
    const char *units[4];
    const char *subject_serial;
    enum pki_key key;
    const struct pki_end *issuer; /* NULL: self-signed */
    bool is_sha1;
    int64_t not_before_s; /* 0: yesterday */
    int64_t not_after_s;  /* 0: tomorrow */
    const char *basic;    /* texts of openssl's x509v3_config; NULL: without that extension */
    const char *usage;
    const char *extended;
    const char *names; /* subjectAltName */
    const char *constraints;
    bool has_unknown_critical;
    bool has_no_authority_key; /* without authorityKeyIdentifier */
    EVP_PKEY *reused;          /* NULL: a new key */
};
struct pki_end pki_make(const struct pki_spec *spec);
/* A root, an intermediate below it, and a leaf of a device, with everything that they need. */
struct pki_end pki_root(const char *name);
struct pki_end pki_intermediate(const char *name, const struct pki_end *issuer);
struct pki_end pki_device(const char *name, const struct pki_end *issuer);
void pki_end_fini(struct pki_end *end);
/* PEM of the certificate, appended to what is in *pem; the caller frees with mem_free. */
void pki_pem(char **pem, X509 *certificate);

#define PKI_LEAF_USAGE "critical,digitalSignature"
#define PKI_CA_USAGE "critical,keyCertSign,cRLSign"
