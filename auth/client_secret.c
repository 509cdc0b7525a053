// SPDX-License-Identifier: EUPL-1.2
/* Files of secrets, and what is made of them for one request. Nothing of them is kept: each copy is
 * wiped before its function returns. */
#include "auth/client_secret.h"

#include "auth/jwks.h"
#include "base/codec.h"
#include "base/entropy.h"
#include "base/fault.h"
#include "base/file.h"

#include <limits.h>

#define SECRET_MAX_BYTES 16384 /* the PEM of an RSA key of 8192 bits has 6 KiB */
#define ASSERTION_LIFE_S 60    /* it is sent at once */
#define ASSERTION_TYPE "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

bool client_secret_read(struct secret *out, const char *secrets_dir, struct slice entity,
                        struct slice name, struct fault *f)
{
    char path[PATH_MAX];
    if (!secrets_dir || !*secrets_dir)
        return fault_set(f, FAULT_CONFIG, "there is no secrets_dir for the secret '%.*s'",
                         SLICE_ARG(name));
    const int len = snprintf(path, sizeof path, "%s/%.*s/%.*s", secrets_dir, SLICE_ARG(entity),
                             SLICE_ARG(name));
    if (len < 0 || (size_t)len >= sizeof path)
        return fault_set(f, FAULT_LIMIT, "the path of secrets_dir is too long");
    struct secret read = {0};
    if (!file_read_secret(&read, path, SECRET_MAX_BYTES, f))
        return false;
    size_t rest = read.len;
    while (rest && (read.bytes[rest - 1] == '\n' || read.bytes[rest - 1] == '\r'))
        rest--;
    if (rest)
        secret_init(out, read.bytes, rest);
    secret_fini(&read);
    return rest || fault_set(f, FAULT_CONFIG, "'%s' is empty", path);
}

bool form_add(struct buf *form, const char *name, struct slice value)
{
    char *at;
    if (!buf_printf(form, "%s%s=", buf_len(form) ? "&" : "", name) ||
        !buf_reserve(form, FORM_ROOM(value.len), &at))
        return false;
    buf_grew(form, form_encode(at, value.ptr, value.len));
    return true;
}

/* RFC 6749 §2.3.1: id and secret are form-encoded each, before base64. */
static bool basic_make(const struct client *c, const struct secret *secret, struct secret *out,
                       struct fault *f)
{
    static const char scheme[] = "Authorization: Basic ";
    const size_t room = FORM_ROOM(c->id.len) + 1 + FORM_ROOM(secret->len);
    struct secret pair = {secret_new(room + 1), room};
    size_t len = form_encode((char *)pair.bytes, c->id.ptr, c->id.len);
    pair.bytes[len++] = ':';
    len += form_encode((char *)pair.bytes + len, secret->bytes, secret->len);
    struct secret field = {secret_new(sizeof scheme + BASE64_LEN(len)),
                           sizeof scheme - 1 + BASE64_LEN(len)};
    memcpy(field.bytes, scheme, sizeof scheme - 1);
    (void)base64_encode((char *)field.bytes + sizeof scheme - 1, pair.bytes, len); // its length
    secret_fini(&pair);
    *out = field;
    return !memchr(field.bytes, '\0', field.len) ||
           fault_set(f, FAULT_INTERNAL, "cannot write the client's secret");
}

/* RFC 7523 §3: iss and sub are the client's, the audience is the provider, and it is used once. */
static bool assertion_make(const struct client *c, const struct private_key *key,
                           struct slice audience, struct wall now, struct buf *out, struct fault *f)
{
    const struct slice algorithm = algorithm_name(key->algorithm);
    uint8_t jti[16];
    char jti_text[BASE64URL_LEN(sizeof jti)];
    uint8_t signature[SIGNATURE_MAX_BYTES];
    size_t signature_len;
    char *at;
    entropy_bytes(jti, sizeof jti);
    const size_t jti_len = base64url_encode(jti_text, jti, sizeof jti);
    json_t *header = json_pack("{s:s%, s:s}", "alg", algorithm.ptr, algorithm.len, "typ", "JWT");
    json_t *claims =
        json_pack("{s:s%, s:s%, s:s%, s:s%, s:I, s:I}", "iss", c->id.ptr, c->id.len, "sub",
                  c->id.ptr, c->id.len, "aud", audience.ptr, audience.len, "jti", jti_text, jti_len,
                  "iat", (json_int_t)now.s, "exp", (json_int_t)(now.s + ASSERTION_LIFE_S));
    char *texts[] = {json_dumps(header, JSON_COMPACT), json_dumps(claims, JSON_COMPACT)};
    bool is_made = texts[0] && texts[1];
    for (size_t i = 0; is_made && i < 2; i++) {
        const size_t len = strlen(texts[i]);
        is_made = (i == 0 || buf_add(out, SLICE("."))) && buf_reserve(out, BASE64URL_LEN(len), &at);
        if (is_made)
            buf_grew(out, base64url_encode(at, texts[i], len));
    }
    free(texts[0]); // jansson's
    free(texts[1]);
    json_decref(header);
    json_decref(claims);
    if (!is_made || !signature_write(key, buf_slice(out), signature, &signature_len, f) ||
        !buf_add(out, SLICE(".")) || !buf_reserve(out, BASE64URL_LEN(signature_len), &at))
        return fault_set(f, FAULT_INTERNAL, "cannot make the client's assertion");
    buf_grew(out, base64url_encode(at, signature, signature_len));
    return true;
}

static bool prove_by_key(const struct client *c, const struct secret *pem, struct slice audience,
                         struct wall now, struct buf *form, struct fault *f)
{
    struct private_key key = {0};
    struct buf assertion;
    bool is_made = false;
    if (!private_key_read(&key, slice_from(pem->bytes, pem->len), f))
        return false;
    buf_init(&assertion, 16384);
    if (c->key_algorithm && algorithm_kind(key.algorithm) != algorithm_kind(c->key_algorithm))
        fault_set(f, FAULT_CONFIG, "the client's key is not one for %.*s",
                  SLICE_ARG(algorithm_name(c->key_algorithm)));
    else {
        if (c->key_algorithm)
            key.algorithm = c->key_algorithm;
        is_made = assertion_make(c, &key, audience, now, &assertion, f);
    }
    if (is_made && (!form_add(form, "client_id", c->id) ||
                    !form_add(form, "client_assertion_type", SLICE(ASSERTION_TYPE)) ||
                    !form_add(form, "client_assertion", buf_slice(&assertion))))
        is_made = fault_set(f, FAULT_LIMIT, "the client's assertion is too long");
    buf_fini(&assertion);
    private_key_fini(&key);
    return is_made;
}

bool client_prove(const struct client *c, const char *secrets_dir, struct slice entity,
                  struct slice audience, struct wall now, struct secret *out_field,
                  struct buf *form, struct fault *f)
{
    struct secret secret = {0};
    bool is_proven = false;
    *out_field = (struct secret){0};
    if (!client_secret_read(&secret, secrets_dir, entity, c->secret, f))
        return fault_within(f, "secret '%.*s' of '%.*s'", SLICE_ARG(c->secret), SLICE_ARG(entity));
    switch (c->auth) {
    case CLIENT_SECRET_BASIC:
        is_proven = basic_make(c, &secret, out_field, f);
        break;
    case CLIENT_PRIVATE_KEY:
        is_proven = prove_by_key(c, &secret, audience, now, form, f);
        break;
    }
    secret_fini(&secret);
    return is_proven;
}
