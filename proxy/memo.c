// SPDX-License-Identifier: EUPL-1.2
/* NAME NUL VALUE NUL for each field, sealed under the host's name, in base64url. */
#include "proxy/memo.h"

#include "auth/vault.h"
#include "base/buf.h"
#include "base/codec.h"
#include "base/secret.h"

_Static_assert(MEMO_MAX_CHARS >= BASE64URL_LEN(MEMO_MAX_BYTES + VAULT_OVERHEAD), "as it says");

static bool write_fields(struct buf *out, const struct form *says)
{
    const struct slice end = slice_from("", 1);
    for (uint32_t i = 0; i < says->count; i++) {
        const struct form_field *f = &says->fields[i];
        if (!f->value.len || memchr(f->value.ptr, '\0', f->value.len))
            continue;
        if (!buf_add(out, f->name) || !buf_add(out, end) || !buf_add(out, f->value) ||
            !buf_add(out, end))
            return false;
    }
    return true;
}

struct slice memo_write(struct arena *a, const struct memo_place *place, const struct form *says)
{
    struct buf plain, sealed;
    struct slice text = {0};
    buf_init(&plain, MEMO_MAX_BYTES);
    buf_init(&sealed, MEMO_MAX_BYTES + VAULT_OVERHEAD);
    if (write_fields(&plain, says) && vault_seal(place->keyring, VAULT_PAGE, place->host,
                                                 buf_slice(&plain), place->now, &sealed)) {
        char *at = arena_bytes(a, BASE64URL_LEN(buf_len(&sealed)));
        const struct slice bytes = buf_slice(&sealed);
        text = slice_from(at, base64url_encode(at, bytes.ptr, bytes.len));
    }
    if (plain.ptr)
        wipe(plain.ptr, plain.room);
    buf_fini(&plain);
    buf_fini(&sealed);
    return text;
}

static bool read_fields(struct arena *a, struct slice plain, struct form *out)
{
    uint32_t count = 0;
    for (size_t i = 0; i < plain.len; i++)
        count += plain.ptr[i] == '\0';
    *out = (struct form){.fields = arena_array(a, struct form_field, count / 2)};
    while (out->count < count / 2) {
        struct form_field *f = &out->fields[out->count++];
        f->name = slice_cut(&plain, '\0');
        f->value = slice_cut(&plain, '\0');
    }
    return out->count && !plain.len;
}

bool memo_read(struct arena *a, const struct memo_place *place, struct slice text, struct form *out)
{
    uint8_t *sealed = (uint8_t *)arena_bytes(a, text.len);
    size_t len;
    struct buf plain;
    bool is_ours;
    buf_init(&plain, MEMO_MAX_BYTES + 1); /* vault_open wants one more */
    is_ours = base64url_decode(sealed, &len, text) &&
              vault_open(place->keyring, VAULT_PAGE, place->host, slice_from(sealed, len), &plain);
    is_ours = is_ours && read_fields(a, arena_copy(a, buf_slice(&plain)), out);
    if (plain.ptr)
        wipe(plain.ptr, plain.room);
    buf_fini(&plain);
    return is_ours;
}
