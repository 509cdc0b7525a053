// SPDX-License-Identifier: EUPL-1.2
/* For fuzzers of what X.509 authorities sign. An input is a script: lines of one letter and what it
 * stands for, so that a corpus is text and what an input makes is signed as a real authority would.
 * What goes wrong in the making leaves that line out. */
#pragma once

#include <assert.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "base/codec.h"
#include "belfry/slice.h"
#include "belfry/wall.h"

#define NOW_S 1800000000
#define DAY_S 86400

struct script {
    struct slice rest;
    char letter;
    struct slice words; /* behind the letter and the space */
};
static bool script_next(struct script *s)
{
    while (s->rest.len) {
        const struct slice line = slice_cut(&s->rest, '\n');
        if (!line.len)
            continue;
        s->letter = line.ptr[0];
        s->words = slice_skip(line, line.len > 1 ? 2 : 1);
        return true;
    }
    return false;
}

/* The next of the words as a small number, with "-" in front or not; 0 where it is none. */
static int number(struct slice *words)
{
    uint64_t value = 0;
    struct slice word = slice_cut(words, ' ');
    const bool is_below = slice_starts(word, SLICE("-"));
    if (!slice_u64(slice_skip(word, is_below ? 1 : 0), 10000, &value))
        return 0;
    return is_below ? -(int)value : (int)value;
}

/* What those hex digits stand for, in `room`; empty where they stand for nothing that fits. */
#define HEX_ROOM 2048
static struct slice from_hex(uint8_t room[HEX_ROOM], struct slice digits)
{
    const bool is_hex = digits.len <= 2 * (size_t)HEX_ROOM && hex_decode(room, digits);
    return slice_from(room, is_hex ? digits.len / 2 : 0);
}

/* An extension of "NUMBER.OF.ITS.KIND [!]HEX", with "!" where it is critical; NULL. */
static X509_EXTENSION *extension_of(struct slice words)
{
    char kind[64];
    uint8_t room[HEX_ROOM];
    const struct slice dotted = slice_cut(&words, ' ');
    const bool is_critical = slice_starts(words, SLICE("!"));
    if (!dotted.len || dotted.len >= sizeof kind)
        return NULL;
    memcpy(kind, dotted.ptr, dotted.len);
    kind[dotted.len] = '\0';
    ASN1_OBJECT *oid = OBJ_txt2obj(kind, 1);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    const struct slice bytes = from_hex(room, slice_skip(words, is_critical ? 1 : 0));
    X509_EXTENSION *made = NULL;
    if (oid && value &&
        ASN1_OCTET_STRING_set(value, (const unsigned char *)bytes.ptr, (int)bytes.len))
        made = X509_EXTENSION_create_by_OBJ(NULL, oid, is_critical, value);
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(oid);
    return made;
}

/* An extension as openssl's x509v3_config writes it. */
static void written_add(X509 *c, X509 *issuer, int nid, const char *text)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, c, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, text);
    assert(e && X509_add_ext(c, e, -1));
    X509_EXTENSION_free(e);
}

/* A certificate without a signature yet, good from yesterday until tomorrow. */
static X509 *certificate_new(const char *name, X509 *issuer, EVP_PKEY *key, long serial)
{
    X509 *c = X509_new();
    assert(c && X509_set_version(c, X509_VERSION_3) && X509_set_pubkey(c, key));
    assert(ASN1_INTEGER_set(X509_get_serialNumber(c), serial));
    assert(ASN1_TIME_set(X509_getm_notBefore(c), NOW_S - DAY_S));
    assert(ASN1_TIME_set(X509_getm_notAfter(c), NOW_S + DAY_S));
    if (name)
        assert(X509_NAME_add_entry_by_txt(X509_get_subject_name(c), "CN", MBSTRING_UTF8,
                                          (const unsigned char *)name, -1, -1, 0));
    assert(X509_set_issuer_name(c, X509_get_subject_name(issuer ? issuer : c)));
    written_add(c, c, NID_subject_key_identifier, "hash");
    if (issuer)
        written_add(c, issuer, NID_authority_key_identifier, "keyid:always");
    return c;
}

static X509 *authority_new(EVP_PKEY *key)
{
    X509 *c = certificate_new("Fuzzed Authority", NULL, key, 1);
    written_add(c, c, NID_basic_constraints, "critical,CA:TRUE");
    written_add(c, c, NID_key_usage, "critical,keyCertSign,cRLSign");
    assert(X509_sign(c, key, EVP_sha256()));
    return c;
}
