// SPDX-License-Identifier: EUPL-1.2
/* What was found of a client's certificate: the answer of auth/chain.h and the facts of
 * auth/device.h, with the bytes that they were found in. Good ones are remembered under the bytes
 * and all that they rest on (the authorities, and within the time in which they hold), so a device
 * that comes back costs no signature and no parsing. One store a worker; a verdict is read-only and
 * reference-counted within that thread. */
#pragma once

#include "auth/device.h"

/* The leaf and what the client sent besides, each as a length of two bytes and its DER. */
#define VOUCH_CHAIN_MAX_BYTES (2 * CHAIN_MAX_BYTES + 2 * CHAIN_MAX)

struct vouch {
    uint32_t references;
    struct chain_answer answer; /* its authority is the trust's, which the verdict holds */
    struct chain_trust *trust;
    struct device *device; /* NULL where it is bad, or lacks the name that its authority gives */
    struct wall made;
    uint8_t key[32];    /* over the trust's digest and the chain */
    struct slice chain; /* owned; empty where it is too large: then no trust will ever like it */
};

struct vouches;
struct vouches *vouches_new(void);
void vouches_free(struct vouches *v);
/* All are found anew: for a change that is not in a trust's digest. */
void vouches_forget(struct vouches *v);

/* Never NULL; the caller's. `sent` may be NULL, and may hold the leaf as well. */
struct vouch *vouch_of(struct vouches *v, struct chain_trust *trust, X509 *leaf,
                       STACK_OF(X509) * sent, struct wall now);
/* The same of a chain as vouch_of wrote it; NULL where it does not parse. */
struct vouch *vouch_of_chain(struct vouches *v, struct chain_trust *trust, struct slice chain,
                             struct wall now);
struct slice vouch_leaf(const struct vouch *d); /* its DER; borrowed */
void vouch_unref(struct vouch *d);
