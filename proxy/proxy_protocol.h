// SPDX-License-Identifier: EUPL-1.2
/* The PROXY protocol, version 2: how a balancer that only passes bytes on announces whose bytes
 * they are. A pure parser of its header; who may send one is config's, how it is read
 * connection.c's. Strict: TCP over IPv4 and IPv6, or LOCAL; whatever else there is in the
 * specification is refused, since behind a wrong address stand limits and evidence. */
#pragma once

#include <stdint.h>
#include <sys/socket.h>

#include "belfry/slice.h"

#define PROXY_HEADER_MIN_BYTES 16 /* signature, version and command, family, length */
/* Addresses and what balancers put behind them: some identifiers, a certificate's name. */
#define PROXY_HEADER_MAX_BYTES 4096

enum proxy_step {
    PROXY_REFUSED = 0,
    PROXY_MORE, /* it goes on */
    PROXY_DONE,
};

struct proxy_announced {
    bool is_local;                  /* the balancer speaks for itself: a check of whether we live */
    struct sockaddr_storage client; /* without is_local */
    uint16_t port;                  /* that the client connected to; 0 with is_local */
};

/* `bytes` is all that came of it so far. MORE: `*wanted` is how many bytes there must be at least
 * before it is asked again; reading no more than that takes none of what follows the header. DONE:
 * `bytes` is the whole header. REFUSED: `*why` is a static text. */
enum proxy_step proxy_header_read(struct proxy_announced *out, struct slice bytes, size_t *wanted,
                                  const char **why);
