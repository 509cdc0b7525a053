// SPDX-License-Identifier: EUPL-1.2
/* TLS ends here (1.2 and 1.3). The ClientHello's SNI picks the view before anything is resumed; the
 * device's certificate is judged by one function (auth/chain.h), in a new handshake and in a ticket
 * alike. One SSL_CTX a worker makes every SSL; a view's own SSL_CTX only lends its certificate. */
#pragma once

#include <openssl/ssl.h>

#include "auth/revocation.h"
#include "auth/status.h"
#include "auth/vouch.h"
#include "policy/host.h"
#include "proxy/edition.h"

/* The keys that seal tickets: the first seals, all open. Shared by workers (and, from
 * keys_dir/ticket, by gateways), so that a ticket of one worker is good at the next. Immutable,
 * outlives all contexts made with it. */
#define TICKET_RING_MAX 4
struct ticket_key {
    uint8_t name[16];
    uint8_t aes[32];
    uint8_t hmac[32];
};
struct ticket_ring {
    struct ticket_key keys[TICKET_RING_MAX];
    uint32_t count;
};
/* From the *.key files of KEYS_DIR/ticket (160 hex digits: name, AES key, HMAC key), the newest
 * name first; without that folder keys of this process alone. */
MUST_USE bool ticket_ring_read(struct ticket_ring *out, const char *keys_dir, struct fault *f);
void ticket_ring_wipe(struct ticket_ring *r);

/* A bad certificate is never "no certificate": on a host that only asks, it is DEVICE_SEEN_BAD, and
 * every request is refused for it. */
enum device_seen { DEVICE_SEEN_BAD = 0, DEVICE_SEEN_NONE, DEVICE_SEEN_GOOD };

struct device_judged {
    bool is_set;
    enum device_seen seen;
    const char *detail;  /* with BAD: static text */
    struct vouch *vouch; /* owned; NULL with NONE */
};

/* What a worker's connections share. */
struct tls_worker {
    SSL_CTX *ctx;
    const struct ticket_ring *ring;
    struct vouches *vouches;
    struct statuses *statuses;       /* held; NULL before the first */
    struct revocations *revocations; /* NULL before the first have come */
};
void tls_worker_init(struct tls_worker *w, const struct ticket_ring *ring); /* aborts where OpenSSL
                                                                               is broken */
void tls_worker_fini(struct tls_worker *w);

/* What TLS knows of one client connection. Lies in the connection; the SSL points to it. */
struct tls_peer {
    const struct tls_worker *worker;
    struct edition *edition; /* of the moment of accept, held until the handshake is over */
    struct view *view;       /* held */
    char sni[HOST_MAX];      /* canonical; the only SNI that Belfry ever reads */
    size_t sni_len;
    struct device_judged handshake; /* by the verify callback, in a full handshake */
    struct device_judged ticket; /* by the ticket callback; counts only where OpenSSL did resume */
    struct device_judged device; /* after tls_peer_settle: the one that counts */
    bool ticket_refused;
    uint32_t records;    /* received since the reader of application data last set it to 0 */
    const char *refusal; /* why we ended the handshake; static text, or NULL */
};

SSL_CTX *tls_view_context(void);

/* An SSL in accept state on `fd`. The peer takes the reference of the edition. */
SSL *tls_accept(const struct tls_worker *worker, struct tls_peer *peer, struct edition *take,
                int fd);
void tls_peer_fini(struct tls_peer *peer);
/* The handshake is over: whichever verdict belongs to it is now in `device`. */
void tls_peer_settle(struct tls_peer *peer, const SSL *ssl);
/* Judges the device again, under `view` (a new edition's for this host), at `now`; the view is
 * taken over by reference. */
void tls_peer_judge_again(struct tls_peer *peer, struct view *view, struct wall now);
