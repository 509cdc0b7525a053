// SPDX-License-Identifier: EUPL-1.2
/* Strict on purpose: a form with two spellings is a form that two programs read differently, and
 * this one decides which rules hold. */
#include "policy/envelope.h"

#include <assert.h>

#include "base/codec.h"
#include "base/fault.h"
#include "base/hash.h"

#define HEAD "belfry-signed/v1"
#define SIGNATURE_CHARS BASE64URL_LEN(ED25519_SIGNATURE_BYTES)

static struct slice kind_name(enum document_kind kind)
{
    static const struct slice names[] = {
        [DOCUMENT_CHARTER] = SLICE_INIT("charter"),
        [DOCUMENT_BUNDLE] = SLICE_INIT("bundle"),
    };
    assert(kind == DOCUMENT_CHARTER || kind == DOCUMENT_BUNDLE);
    return names[kind];
}

bool key_id_is_valid(struct slice id)
{
    if (id.len == 0 || id.len > KEY_ID_MAX)
        return false;
    for (size_t i = 0; i < id.len; i++) {
        const char c = id.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '_' || c == '-'))
            return false;
    }
    return true;
}

void key_id_make(char out[KEY_ID_CHARS], const uint8_t public_key[ED25519_KEY_BYTES])
{
    uint8_t digest[SHA256_BYTES];
    sha256(digest, slice_from(public_key, ED25519_KEY_BYTES));
    hex_encode(out, digest, KEY_ID_CHARS / 2);
}

/* A line ends with LF; text without one is no line. */
static bool cut_line(struct slice *rest, struct slice *line)
{
    if (!rest->len || !memchr(rest->ptr, '\n', rest->len))
        return false;
    *line = slice_cut(rest, '\n');
    return true;
}

static const struct envelope_signature *find_signature(const struct envelope *e, struct slice id)
{
    for (uint32_t i = 0; i < e->signature_count; i++)
        if (slice_eq(e->signatures[i].key_id, id))
            return &e->signatures[i];
    return NULL;
}

static bool open_signature(struct envelope *e, struct slice line, struct fault *f)
{
    const struct slice label = SLICE("signature: ");
    size_t len = 0;
    if (!slice_starts(line, label))
        return fault_set(f, FAULT_TRUST, "the envelope holds a line that is no signature");
    if (e->signature_count == ENVELOPE_SIGNATURES_MAX)
        return fault_set(f, FAULT_TRUST, "more than %d signatures", ENVELOPE_SIGNATURES_MAX);
    struct slice text = slice_skip(line, label.len);
    const struct slice id = slice_cut(&text, ' ');
    if (!key_id_is_valid(id))
        return fault_set(f, FAULT_TRUST, "a signature does not name its key");
    if (find_signature(e, id))
        return fault_set(f, FAULT_TRUST, "two signatures of key '%.*s'", SLICE_ARG(id));
    struct envelope_signature *signature = &e->signatures[e->signature_count];
    if (text.len != SIGNATURE_CHARS || !base64url_decode(signature->bytes, &len, text) ||
        len != ED25519_SIGNATURE_BYTES)
        return fault_set(f, FAULT_TRUST, "the signature of key '%.*s' is not 64 bytes in base64url",
                         SLICE_ARG(id));
    signature->key_id = id;
    e->signature_count++;
    return true;
}

bool envelope_open(struct envelope *out, struct slice bytes, struct fault *f)
{
    struct envelope e = {.signature_count = 0};
    struct slice line = {NULL, 0};
    if (bytes.len > ENVELOPE_MAX_BYTES)
        return fault_set(f, FAULT_TRUST, "a document of more than %u bytes", DOCUMENT_MAX_BYTES);
    if (!cut_line(&bytes, &line) || !slice_eq(line, SLICE(HEAD)))
        return fault_set(f, FAULT_TRUST,
                         "not a signed document: it does not begin with '" HEAD "'");
    for (;;) {
        if (!cut_line(&bytes, &line))
            return fault_set(f, FAULT_TRUST, "the envelope ends before its document begins");
        if (!line.len)
            break;
        if (!open_signature(&e, line, f))
            return false;
    }
    if (!e.signature_count)
        return fault_set(f, FAULT_TRUST, "the document is not signed");
    if (!bytes.len)
        return fault_set(f, FAULT_TRUST, "the signed document is empty");
    if (bytes.len > DOCUMENT_MAX_BYTES)
        return fault_set(f, FAULT_TRUST, "a document of more than %u bytes", DOCUMENT_MAX_BYTES);
    e.payload = bytes;
    *out = e;
    return true;
}

/* What is signed; the caller's to fini. */
static void message_make(struct buf *out, enum document_kind kind, struct slice payload)
{
    const struct slice name = kind_name(kind);
    buf_init(out, DOCUMENT_MAX_BYTES + 128);
    const bool is_made =
        buf_printf(out, HEAD " %.*s %zu\n", SLICE_ARG(name), payload.len) && buf_add(out, payload);
    assert(is_made); // the payload's length was checked
    (void)is_made;
}

static const struct envelope_key *find_key(const struct envelope_key *keys, size_t count,
                                           struct slice id)
{
    for (size_t i = 0; i < count; i++)
        if (slice_eq(keys[i].id, id))
            return &keys[i];
    return NULL;
}

/* One key under two names is one person; and so is one person with two keys. */
bool envelope_same_hand(const struct envelope_key *a, const struct envelope_key *b)
{
    return (a->owner.len && slice_eq(a->owner, b->owner)) ||
           EVP_PKEY_eq(a->key.pkey, b->key.pkey) == 1;
}

static bool is_counted(const struct envelope_key *const *counted, uint32_t count,
                       const struct envelope_key *key)
{
    for (uint32_t i = 0; i < count; i++)
        if (envelope_same_hand(counted[i], key))
            return true;
    return false;
}

static bool verify_message(const struct envelope *e, struct slice message,
                           const struct envelope_key *keys, size_t key_count, uint32_t needed,
                           struct fault *f)
{
    const struct envelope_key *counted[ENVELOPE_SIGNATURES_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < e->signature_count; i++) {
        const struct envelope_signature *signature = &e->signatures[i];
        const struct envelope_key *key = find_key(keys, key_count, signature->key_id);
        if (!key)
            continue;
        if (key->key.algorithm != ALGORITHM_ED25519 ||
            !signature_holds(&key->key, message,
                             slice_from(signature->bytes, sizeof(signature->bytes))))
            return fault_set(f, FAULT_TRUST, "the signature of key '%.*s' does not hold",
                             SLICE_ARG(signature->key_id));
        if (!is_counted(counted, count, key))
            counted[count++] = key;
    }
    if (count >= needed)
        return true;
    return fault_set(f, FAULT_TRUST, "%u of the keys that may have signed; %u needed", count,
                     needed);
}

bool envelope_verify(const struct envelope *e, enum document_kind kind,
                     const struct envelope_key *keys, size_t key_count, uint32_t needed,
                     struct fault *f)
{
    if (!needed)
        return fault_set(f, FAULT_TRUST, "no signature is asked for");
    if (!e->payload.len || e->payload.len > DOCUMENT_MAX_BYTES)
        return fault_set(f, FAULT_TRUST, "there is no signed document");
    struct buf message;
    message_make(&message, kind, e->payload);
    const bool holds = verify_message(e, buf_slice(&message), keys, key_count, needed, f);
    buf_fini(&message);
    return holds;
}

static bool print_signature(struct buf *out, struct slice id,
                            const uint8_t bytes[ED25519_SIGNATURE_BYTES], struct fault *f)
{
    char text[SIGNATURE_CHARS];
    const size_t len = base64url_encode(text, bytes, ED25519_SIGNATURE_BYTES);
    return buf_printf(out, "signature: %.*s %.*s\n", SLICE_ARG(id), (int)len, text) ||
           fault_set(f, FAULT_LIMIT, "the signed document does not fit");
}

static bool seal_one(struct buf *out, struct slice message, const struct envelope_signer *signer,
                     struct fault *f)
{
    uint8_t signature[ED25519_SIGNATURE_BYTES];
    if (!key_id_is_valid(signer->id))
        return fault_set(f, FAULT_CONFIG, "'%.*s' is no key id", SLICE_ARG(signer->id));
    if (signer->key->algorithm != ALGORITHM_ED25519)
        return fault_set(f, FAULT_CONFIG, "key '%.*s' is not an Ed25519 key",
                         SLICE_ARG(signer->id));
    return signature_make(signer->key, message, signature, f) &&
           print_signature(out, signer->id, signature, f);
}

static bool seal_all(struct buf *out, struct slice message, const struct envelope *e,
                     const struct envelope_signer *signers, size_t count, struct fault *f)
{
    if (!buf_add(out, SLICE(HEAD "\n")))
        return fault_set(f, FAULT_LIMIT, "the signed document does not fit");
    for (uint32_t i = 0; i < e->signature_count; i++)
        if (!print_signature(out, e->signatures[i].key_id, e->signatures[i].bytes, f))
            return false;
    for (size_t i = 0; i < count; i++) {
        for (size_t n = 0; n < i; n++)
            if (slice_eq(signers[n].id, signers[i].id))
                return fault_set(f, FAULT_CONFIG, "key '%.*s' would sign twice",
                                 SLICE_ARG(signers[i].id));
        if (find_signature(e, signers[i].id))
            return fault_set(f, FAULT_CONFIG, "key '%.*s' has signed this already",
                             SLICE_ARG(signers[i].id));
        if (!seal_one(out, message, &signers[i], f))
            return false;
    }
    if (!buf_add(out, SLICE("\n")) || !buf_add(out, e->payload))
        return fault_set(f, FAULT_LIMIT, "the signed document does not fit");
    return true;
}

bool envelope_seal_on(struct buf *out, enum document_kind kind, const struct envelope *e,
                      const struct envelope_signer *signers, size_t count, struct fault *f)
{
    if (!e->payload.len || e->payload.len > DOCUMENT_MAX_BYTES)
        return fault_set(f, FAULT_LIMIT, "a document must hold from 1 to %u bytes",
                         DOCUMENT_MAX_BYTES);
    if (!count || count + e->signature_count > ENVELOPE_SIGNATURES_MAX)
        return fault_set(f, FAULT_CONFIG, "a document needs from 1 to %d signatures",
                         ENVELOPE_SIGNATURES_MAX);
    struct buf message;
    const size_t before = buf_len(out);
    message_make(&message, kind, e->payload);
    const bool is_sealed = seal_all(out, buf_slice(&message), e, signers, count, f);
    buf_fini(&message);
    if (!is_sealed)
        out->to = out->from + before;
    return is_sealed;
}

bool envelope_seal(struct buf *out, enum document_kind kind, struct slice payload,
                   const struct envelope_signer *signers, size_t count, struct fault *f)
{
    const struct envelope unsigned_yet = {.payload = payload};
    return envelope_seal_on(out, kind, &unsigned_yet, signers, count, f);
}
