// SPDX-License-Identifier: EUPL-1.2
/* Reading the key of a federation or an entity, and signing with it. A key is in memory for as long
 * as it signs. */
#include "cli/signing_key.h"

#include <stdio.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/secret.h"
#include "cli/passphrase.h"

#define PEM_MAX_BYTES 16384 /* an Ed25519 key has 119, a locked one 400 */

static bool read_stdin(struct secret *out, struct fault *f)
{
    char text[PEM_MAX_BYTES];
    const size_t len = fread(text, 1, sizeof(text), stdin);
    const bool is_read = len && len < sizeof(text) && !ferror(stdin);
    if (is_read)
        secret_init(out, text, len);
    wipe(text, sizeof(text));
    return is_read || fault_set(f, FAULT_IO, "standard input holds no key");
}

static bool open_pem(struct private_key *out, struct slice pem, const char *path,
                     const char *passphrase_path, struct fault *f)
{
    struct secret passphrase = {NULL, 0};
    char prompt[256];
    if (!private_key_is_locked(pem))
        return private_key_read(out, pem, f);
    (void)snprintf(prompt, sizeof(prompt), "Passphrase of %s", path); // cut is fine
    const bool is_open = passphrase_get(&passphrase, passphrase_path, prompt, false, f) &&
                         private_key_unlock(out, pem, &passphrase, f);
    secret_fini(&passphrase);
    return is_open;
}

bool signing_key_read(struct signing_key *out, const char *path, const char *passphrase_path,
                      struct fault *f)
{
    struct secret pem = {NULL, 0};
    struct private_key key = {0};
    uint8_t raw[64];
    size_t len = 0;
    if (strcmp(path, "-") == 0 ? !read_stdin(&pem, f)
                               : !file_read_secret(&pem, path, PEM_MAX_BYTES, f))
        return false;
    const bool is_read = open_pem(&key, slice_from(pem.bytes, pem.len), path, passphrase_path, f);
    secret_fini(&pem);
    if (!is_read)
        return fault_within(f, "cannot read '%s'", path);
    if (key.algorithm != ALGORITHM_ED25519 || !private_key_public_raw(&key, raw, &len, f)) {
        private_key_fini(&key);
        return fault_set(f, FAULT_CONFIG, "'%s' is no Ed25519 key: it signs no documents", path);
    }
    out->key = key;
    memcpy(out->public_key, raw, ED25519_KEY_BYTES);
    key_id_make(out->id, out->public_key);
    return true;
}

void signing_key_fini(struct signing_key *k)
{
    private_key_fini(&k->key);
}

bool signers_option(struct signers *s, const char *name, const char *value)
{
    struct signer *last = s->count ? &s->at[s->count - 1] : NULL;
    if (strcmp(name, "--key") == 0 && s->count < ENVELOPE_SIGNATURES_MAX) {
        s->at[s->count++].path = value;
        return true;
    }
    const char **to = NULL;
    if (last && strcmp(name, "--key-id") == 0)
        to = &last->id;
    else if (last && strcmp(name, "--passphrase-file") == 0)
        to = &last->passphrase_path;
    if (!to || *to)
        return false;
    *to = value;
    return true;
}

static bool prepare(struct signer *s, struct envelope_signer *out, struct fault *f)
{
    if (!signing_key_read(&s->key, s->path, s->passphrase_path, f))
        return false;
    out->id = s->id ? slice_of(s->id) : slice_from(s->key.id, sizeof s->key.id);
    out->key = &s->key.key;
    return key_id_is_valid(out->id) ||
           fault_set(f, FAULT_CONFIG,
                     "'%s' is no key id; allowed are letters, digits, '.', '_' and '-'", s->id);
}

bool signers_seal(struct signers *s, enum document_kind kind, const struct envelope *e,
                  struct buf *out, struct fault *f)
{
    struct envelope_signer with[ENVELOPE_SIGNATURES_MAX];
    bool is_sealed = true;
    for (size_t i = 0; i < s->count && is_sealed; i++)
        is_sealed = prepare(&s->at[i], &with[i], f);
    is_sealed = is_sealed && envelope_seal_on(out, kind, e, with, s->count, f);
    for (size_t i = 0; i < s->count; i++)
        signing_key_fini(&s->at[i].key);
    return is_sealed;
}
