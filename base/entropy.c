// SPDX-License-Identifier: EUPL-1.2
/* Randomness from the kernel, and xoshiro256** (Blackman and Vigna) for what need not be secret. */
#include "base/entropy.h"

#include <errno.h>
#include <sys/random.h>

void entropy_bytes(void *out, size_t len)
{
    char *at = out;
    while (len) {
        ssize_t n = getrandom(at, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            abort(); // a gateway that guesses its keys is worse than none
        at += n;
        len -= (size_t)n;
    }
}

void dice_init(struct dice *d)
{
    do
        entropy_bytes(d->state, sizeof d->state);
    while (
        !(d->state[0] | d->state[1] | d->state[2] | d->state[3])); // from zero it never leaves zero
}

static uint64_t rotate(uint64_t x, int by)
{
    return (x << by) | (x >> (64 - by));
}

uint64_t dice_next(struct dice *d)
{
    uint64_t *s = d->state;
    uint64_t out = rotate(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return out;
}

void reference_make(struct dice *d, struct reference *out)
{
    static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"; // Crockford: no I, L, O, U
    char *at = out->text;
    for (int group = 0; group < 4; group++) {
        uint64_t bits = dice_next(d) >> 44; // 20 bits, four digits; the upper ones are the better
        if (group)
            *at++ = '-';
        for (int i = 0; i < 4; i++, bits >>= 5)
            *at++ = digits[bits & 31];
    }
    *at = '\0';
}
