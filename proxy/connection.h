// SPDX-License-Identifier: EUPL-1.2
/* One client connection: socket, TLS, device, and the protocol that ALPN chose. It reads and
 * decrypts, hands bytes to the protocol, and once at the end of a turn asks the protocol for bytes
 * and writes them in full records. Owned by its worker; ended only through connection_close, freed
 * at the end of the turn. */
#pragma once

#include "auth/device.h"
#include "proxy/worker.h"

struct connection;

/* What a protocol does for its connection. All are called outside of each other. */
struct protocol_ops {
    void (*start)(struct connection *c);
    /* False: there is nothing more to read; an answer may still be written. */
    bool (*receive)(struct connection *c, char *bytes, size_t len);
    /* The client will send no more. False: then it is gone. May be called again. */
    bool (*ended)(struct connection *c);
    /* Puts what it has into `out`, up to about FILL_MARK; called again while it returns true. */
    bool (*fill)(struct connection *c, struct buf *out);
    bool (*is_quiet)(
        const struct connection *c);     /* nothing under way: may be closed when draining */
    void (*drain)(struct connection *c); /* take no new requests */
    void (*end)(struct connection *c);   /* the connection is gone: tell the exchanges, free all */
};

#define FILL_MARK 32768 /* two TLS records */
#define CONNECTION_MAGIC 0xbe1f0001u

struct connection {
    uint32_t magic;
    struct link in_worker;
    struct worker *worker;
    int fd;
    SSL *ssl;
    ev_io readable;
    ev_io writable;
    struct later flush;
    struct later bury;  /* frees, at the end of the turn */
    struct later again; /* reads what OpenSSL holds, after a pause */
    struct deadline deadline;

    struct tls_peer peer;
    uint64_t judged_on; /* number of the edition that the device was last judged under */
    const struct door
        *door; /* of the SNI, in the edition of that number; never followed under another */
    uint64_t door_on;
    enum device_seen device_seen;
    const char *device_detail;
    struct device *device;       /* with DEVICE_SEEN_GOOD */
    struct status_answer status; /* of its certificate's revocation; see connection_status */
    uint64_t status_on;          /* number of the table that it is of; 0: not looked up */
    int64_t status_asked_ms;     /* since when an answer is awaited for live streams; or 0 */
    struct slice
        certificate; /* of the device, as Client-Cert wants it; made when first asked for */
    struct limits_of limited;
    struct announcement *announcement; /* while a balancer's PROXY header is awaited */
    uint16_t announced_port;           /* that the client connected to at the balancer; or 0 */
    char address[INET6_ADDRSTRLEN];    /* the client's: the peer's, or the one announced */
    uint32_t address_len;

    const struct protocol_ops *ops; /* NULL until the handshake is over */
    void *protocol;                 /* struct h1 or struct h2 */
    uint8_t http_major;
    struct buf out;  /* what the socket did not take */
    bool has_spoken; /* at least one byte has come behind the handshake */
    bool is_late;    /* its time was over with nothing under way */
    bool is_stalled; /* it ends since the client took nothing */
    bool is_reading_paused;
    bool has_read_all; /* the protocol wants no more */
    bool closes_when_sent;
    bool is_lingering; /* our side is shut; the client's rest is read and dropped, so that it gets
                          our answer */
    uint32_t lingered;
    bool is_closed;
    bool is_established;
};

void connection_accept(struct listener *l, int take_fd, const struct sockaddr *from);
/* Something to write: at the end of the turn. */
void connection_kick(struct connection *c);
/* Stops reading (the request's body can't be taken), and goes on. */
void connection_pause(struct connection *c);
void connection_go_on(struct connection *c);
/* After what is there has been sent: shut our side, drop what still comes for a moment, close. */
void connection_close_when_sent(struct connection *c);
/* At once. Safe in a callback of a library: freed at the end of the turn. */
void connection_close(struct connection *c);
void connection_drain(struct connection *c);
/* Before a request: is the device still what it was judged to be, under the edition now in force?
 */
void connection_judge_again(struct connection *c, struct held *now);
/* Whether the device's certificate is revoked, by what is known now; there is a device. */
const struct status_answer *connection_status(struct connection *c);
/* It is not known. False once that was so for as long as an answer takes: for streams that live. */
bool connection_awaits_status(struct connection *c);
/* The device's certificate as a byte sequence (RFC 9440 §2.2, RFC 8941 §3.3.5), as long as it is
 * the device. Empty without one. */
struct slice connection_certificate(struct connection *c);
/* What ended it, when it was not a request: to the metrics and the audit. */
void connection_refused(struct connection *c, enum reason why, const char *detail);
/* The deadline of the whole connection, from now. */
void connection_limit(struct connection *c, int64_t ms);
