// SPDX-License-Identifier: EUPL-1.2
/* Section numbers are of RFC 6455. */
#include "proxy/websocket.h"

#include <openssl/evp.h>

#include "base/codec.h"

#define KEY_BYTES 16
#define SHA1_BYTES 20
#define CONTROL_MAX 125
#define OPCODE_CLOSE 0x8

static bool is_key(struct slice text)
{
    uint8_t key[WEBSOCKET_KEY_CHARS];
    size_t len = 0;
    return text.len == WEBSOCKET_KEY_CHARS && base64_decode(key, &len, text) && len == KEY_BYTES;
}

/* §4.2.1: the version and the key are there once. A version that is not 13 is told ours (§4.4). */
enum reason websocket_judge(const struct field *fields, uint32_t count, bool has_key)
{
    struct slice version = {0};
    struct slice key = {0};
    uint32_t versions = 0;
    uint32_t keys = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (slice_eq(fields[i].name, SLICE("sec-websocket-version"))) {
            versions++;
            version = fields[i].value;
        } else if (slice_eq(fields[i].name, SLICE("sec-websocket-key"))) {
            keys++;
            key = fields[i].value;
        }
    }
    if (versions != 1 || keys != (has_key ? 1 : 0) || (has_key && !is_key(key)))
        return REASON_REQUEST_MALFORMED;
    return slice_eq(version, SLICE("13")) ? REASON_PERMITTED : REASON_WEBSOCKET_VERSION;
}

/* §4.2.2, item 5.4. SHA-1 protects nothing here: it shows that the other side knows the protocol.
 */
void websocket_accept(char out[WEBSOCKET_ACCEPT_CHARS], struct slice key)
{
    static const char uuid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char text[WEBSOCKET_KEY_CHARS + sizeof uuid];
    uint8_t digest[EVP_MAX_MD_SIZE] = {0};
    size_t len = key.len < WEBSOCKET_KEY_CHARS ? key.len : WEBSOCKET_KEY_CHARS;
    memcpy(text, key.ptr, len);
    memcpy(text + len, uuid, sizeof uuid - 1);
    /* Once for a connection of hours; where there is no SHA-1 the digest is nobody's. */
    (void)EVP_Digest(text, len + sizeof uuid - 1, digest, NULL, EVP_sha1(), NULL);
    (void)base64_encode(out, digest, SHA1_BYTES);
}

void websocket_key_make(struct dice *d, char out[WEBSOCKET_KEY_CHARS])
{
    uint64_t key[2] = {dice_next(d), dice_next(d)};
    (void)base64_encode(out, key, sizeof key);
}

size_t websocket_close(char out[WEBSOCKET_CLOSE_MAX], enum websocket_code code, struct slice why)
{
    size_t len = why.len < CONTROL_MAX - 2 ? why.len : CONTROL_MAX - 2;
    out[0] = (char)(0x80 | OPCODE_CLOSE); /* FIN */
    out[1] = (char)(len + 2);
    out[2] = (char)(code >> 8);
    out[3] = (char)(code & 0xff);
    memcpy(out + 4, why.ptr, len);
    return len + 4;
}

/* §5.2: FIN, RSV and opcode; then MASK and a length of 7 bits, or of 16 or 64 bits in what follows.
 * The key of the mask (§5.3) is passed over like payload. */
static void head_byte(struct websocket_track *t, uint8_t byte)
{
    if (t->head == 0) {
        t->has_closed |= (byte & 0x0f) == OPCODE_CLOSE;
        t->head_len = 2;
    } else if (t->head == 1) {
        uint8_t length = byte & 0x7f;
        t->is_masked = byte & 0x80;
        t->length = length < 126 ? length : 0;
        t->head_len = length < 126 ? 2 : length == 126 ? 4 : 10;
    } else {
        t->length = t->length << 8 | byte;
    }
    if (++t->head < t->head_len)
        return;
    t->is_lost = t->length > INT64_MAX; /* the most significant bit is 0 */
    t->left = t->length + (t->is_masked ? 4 : 0);
    t->head = 0;
}

void websocket_track(struct websocket_track *t, struct slice bytes)
{
    while (bytes.len && !t->is_lost) {
        size_t n = bytes.len < t->left ? bytes.len : (size_t)t->left;
        t->left -= n;
        bytes = slice_skip(bytes, n);
        if (bytes.len) {
            head_byte(t, (uint8_t)bytes.ptr[0]);
            bytes = slice_skip(bytes, 1);
        }
    }
}

bool websocket_may_insert(const struct websocket_track *t)
{
    return !t->left && !t->head && !t->has_closed && !t->is_lost;
}
