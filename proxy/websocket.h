// SPDX-License-Identifier: EUPL-1.2
/* What the gateway must know of WebSocket (RFC 6455): the opening handshake, where a frame ends,
 * and how to say that it is over. Messages are not looked into. Pure. */
#pragma once

#include "base/entropy.h"
#include "belfry/reason.h"
#include "belfry/request.h"

#define WEBSOCKET_KEY_CHARS 24    /* 16 bytes in base64 */
#define WEBSOCKET_ACCEPT_CHARS 28 /* a SHA-1 in base64 */

/* Of a client's fields: PERMITTED; REQUEST_MALFORMED where one of the handshake is missing, twice
 * there or not what it must be; WEBSOCKET_VERSION where it is another than 13. Over HTTP/2 there is
 * no key (RFC 8441 §5.1). */
enum reason websocket_judge(const struct field *fields, uint32_t count, bool has_key);
/* What Sec-WebSocket-Accept must be for that key (§4.2.2). */
void websocket_accept(char out[WEBSOCKET_ACCEPT_CHARS], struct slice key);
/* A key of our own, towards an upstream. */
void websocket_key_make(struct dice *d, char out[WEBSOCKET_KEY_CHARS]);

enum websocket_code {
    WEBSOCKET_GOING_AWAY = 1001,
    WEBSOCKET_POLICY_VIOLATION = 1008,
};
#define WEBSOCKET_CLOSE_MAX 127 /* a control frame's length is 125 at most (§5.5) */
/* A Close of a server (§5.5.1); `why` is cut to what fits. Its length. */
size_t websocket_close(char out[WEBSOCKET_CLOSE_MAX], enum websocket_code code, struct slice why);

/* Follows one side's bytes from frame to frame. Zeroed at the start. */
struct websocket_track {
    uint64_t left;    /* of the payload, and of the mask's key before it */
    uint64_t length;  /* as far as it is read */
    uint8_t head;     /* bytes of the frame's head that have come */
    uint8_t head_len; /* of which it has so many */
    bool is_masked;
    bool has_closed; /* a Close has gone by: nothing may follow it */
    bool is_lost;    /* these are no frames */
};
void websocket_track(struct websocket_track *t, struct slice bytes);
/* One of our own can be put here. */
bool websocket_may_insert(const struct websocket_track *t);
