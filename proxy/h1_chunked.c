// SPDX-License-Identifier: EUPL-1.2
/*   SIZE → (EXTENSION) → SIZE_LF → DATA → DATA_CR → DATA_LF → SIZE …
 *   with size 0: SIZE_LF → TRAILER_START → (TRAILER_NAME → TRAILER → TRAILER_LF →
 *   TRAILER_START)* → LAST_LF → END
 * Any byte that a state does not name leads to BAD, and BAD stays. */
#include "proxy/h1_chunked.h"

#include "proxy/h1_head.h"

static int hex_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum chunked_state size_byte(struct chunked *c, char byte)
{
    int digit = hex_of(byte);
    if (digit >= 0) {
        if (++c->digits > 15)
            return CHUNKED_BAD;
        c->left = c->left << 4 | (uint64_t)digit;
        return CHUNKED_SIZE;
    }
    if (!c->digits)
        return CHUNKED_BAD;
    if (byte == '\r')
        return CHUNKED_SIZE_LF;
    /* RFC 9112 §7.1.1 lets white space stand before ";" only by an obsolete rule: refused. */
    return byte == ';' ? CHUNKED_EXTENSION : CHUNKED_BAD;
}

static bool is_text(char byte)
{
    return byte == '\t' || (uint8_t)byte >= 0x80 || (byte >= ' ' && byte != 0x7f);
}

static bool is_token(char byte)
{
    return h1_is_token(slice_from(&byte, 1));
}

static enum chunked_state framing_byte(struct chunked *c, char byte)
{
    switch (c->state) {
    case CHUNKED_SIZE:
        return size_byte(c, byte);
    case CHUNKED_EXTENSION:
        return byte == '\r' ? CHUNKED_SIZE_LF : is_text(byte) ? CHUNKED_EXTENSION : CHUNKED_BAD;
    case CHUNKED_SIZE_LF:
        if (byte != '\n')
            return CHUNKED_BAD;
        c->counted = c->digits = 0;
        return c->left ? CHUNKED_DATA : CHUNKED_TRAILER_START;
    case CHUNKED_DATA_CR:
        return byte == '\r' ? CHUNKED_DATA_LF : CHUNKED_BAD;
    case CHUNKED_DATA_LF:
        c->counted = 0;
        return byte == '\n' ? CHUNKED_SIZE : CHUNKED_BAD;
    case CHUNKED_TRAILER_START:
        if (byte == '\r')
            return CHUNKED_LAST_LF;
        if (++c->trailer_count > CHUNKED_TRAILER_LINES)
            return CHUNKED_BAD;
        return is_token(byte) ? CHUNKED_TRAILER_NAME : CHUNKED_BAD;
    case CHUNKED_TRAILER_NAME:
        return byte == ':' ? CHUNKED_TRAILER : is_token(byte) ? CHUNKED_TRAILER_NAME : CHUNKED_BAD;
    case CHUNKED_TRAILER:
        return byte == '\r' ? CHUNKED_TRAILER_LF : is_text(byte) ? CHUNKED_TRAILER : CHUNKED_BAD;
    case CHUNKED_TRAILER_LF:
        return byte == '\n' ? CHUNKED_TRAILER_START : CHUNKED_BAD;
    case CHUNKED_LAST_LF:
        return byte == '\n' ? CHUNKED_END : CHUNKED_BAD;
    case CHUNKED_DATA:
    case CHUNKED_END:
    case CHUNKED_BAD:
        break;
    }
    return CHUNKED_BAD;
}

static uint32_t counted_max(enum chunked_state s)
{
    return s >= CHUNKED_TRAILER_START ? CHUNKED_TRAILER_MAX : CHUNKED_LINE_MAX;
}

/* Each byte lies at the place that it was counted at. */
static void keep(struct chunked *c, char byte)
{
    if (c->state < CHUNKED_TRAILER_START || !c->arena)
        return;
    if (!c->trailers && c->state == CHUNKED_TRAILER_START && byte != '\r')
        c->trailers = arena_bytes(c->arena, CHUNKED_TRAILER_MAX);
    if (c->trailers)
        c->trailers[c->counted - 1] = byte;
}

size_t chunked_next(struct chunked *c, struct slice in, struct slice *data)
{
    size_t at = 0;
    *data = (struct slice){in.ptr, 0};
    while (at < in.len && c->state != CHUNKED_END && c->state != CHUNKED_BAD) {
        if (c->state == CHUNKED_DATA) {
            size_t n = in.len - at;
            n = n < c->left ? n : (size_t)c->left;
            *data = (struct slice){in.ptr + at, n};
            c->left -= n;
            if (!c->left)
                c->state = CHUNKED_DATA_CR;
            return at + n;
        }
        if (++c->counted > counted_max(c->state)) {
            c->state = CHUNKED_BAD;
            break;
        }
        keep(c, in.ptr[at]);
        c->state = framing_byte(c, in.ptr[at++]);
    }
    return at;
}

uint32_t chunked_trailers(const struct chunked *c, struct field **fields)
{
    struct slice rest = {c->trailers, c->trailers ? c->counted : 0};
    if (!rest.len || c->state != CHUNKED_END)
        return 0;
    *fields = arena_array(c->arena, struct field, c->trailer_count);
    for (uint32_t i = 0; i < c->trailer_count; i++) {
        struct slice value = slice_cut(&rest, '\n'); /* every LF has its CR by now */
        struct slice name = slice_cut(&value, ':');
        for (size_t at = (size_t)(name.ptr - c->trailers), n = name.len; n--; at++)
            c->trailers[at] = ascii_lower(c->trailers[at]);
        value.len--;
        (*fields)[i] = (struct field){name, slice_trim(value)};
    }
    return c->trailer_count;
}
