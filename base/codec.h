// SPDX-License-Identifier: EUPL-1.2
/* base64, base64url, hex and forms. Strict: no white space, no missing or surplus padding, no bits
 * left over. Encoders write no NUL and return the length; the caller's room is stated. Any thread.
 */
#pragma once

#include "belfry/slice.h"

#define BASE64URL_LEN(n) (((n)*4 + 2) / 3)
size_t base64url_encode(char *out, const void *bytes, size_t len); /* out: BASE64URL_LEN(len) */
/* No padding (RFC 7515 §2). False on any other byte or left-over bits. *out_len <= in.len * 3 / 4.
 */
MUST_USE bool base64url_decode(uint8_t *out, size_t *out_len, struct slice in);
#define BASE64_LEN(n) (((n) + 2) / 3 * 4)
size_t base64_encode(char *out, const void *bytes, size_t len);
MUST_USE bool base64_decode(uint8_t *out, size_t *out_len, struct slice in);
void hex_encode(char *out, const void *bytes, size_t len); /* out: 2 * len, lower case */
int hex_value(char c); /* of one digit, either case; -1 where it is none */
MUST_USE bool hex_decode(uint8_t *out, struct slice in); /* out: in.len / 2; either case */
/* application/x-www-form-urlencoded, of a name or a value. */
#define FORM_ROOM(len) ((len)*3)
size_t form_encode(char *out, const void *bytes, size_t len);
