// SPDX-License-Identifier: EUPL-1.2
/* Addresses and networks (CIDR), IPv4 and IPv6; a v4-mapped v6 address is its v4 address. */
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include "belfry/slice.h"

struct network {
    uint8_t address[16]; /* v4 as v4-mapped */
    uint8_t prefix;      /* 0..128 */
};

MUST_USE bool network_parse(struct network *out,
                            struct slice text); /* "10.0.0.0/8", "::1/128", host bits zero */
/* Loopback, link-local, unspecified and cloud metadata addresses are only in a network that holds
 * nothing else: "0.0.0.0/0" is not leave to speak to this machine. */
bool network_has(const struct network *n, const struct sockaddr *address);
/* One of them has it. */
bool network_list_has(const struct network *networks, uint32_t count,
                      const struct sockaddr *address);
/* "127.0.0.1:8443", "[::1]:8443" → a socket address; names are refused. */
MUST_USE bool address_parse(struct sockaddr_storage *out, socklen_t *out_len, struct slice text);
/* One address without port, zone or brackets, v4 as v4-mapped; and back, which returns the length.
 */
MUST_USE bool ip_parse(uint8_t out[16], struct slice text);
size_t ip_text(char out[INET6_ADDRSTRLEN], const uint8_t ip[16]);
/* As IPv6, v4 as v4-mapped; false where it has none. */
bool address_bytes(uint8_t out[16], const struct sockaddr *address);
uint16_t address_port(const struct sockaddr *address); /* 0 where it has none */
void address_set_port(struct sockaddr_storage *address, uint16_t port);
bool address_is_same(const struct sockaddr *a, const struct sockaddr *b); /* and so is the port */
/* The address alone, without port, as text; returns its length. Room: INET6_ADDRSTRLEN. */
size_t address_text(char out[INET6_ADDRSTRLEN], const struct sockaddr *address);
/* The bytes by which a client is counted: of IPv4 all, of IPv6 the /64, which is one customer's. */
struct slice address_site(uint8_t room[16], const struct sockaddr *address);
bool address_is_loopback(const struct sockaddr *address);
