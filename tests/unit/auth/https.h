// SPDX-License-Identifier: EUPL-1.2
/* A provider's server for tests: https on a loopback port, in a thread of its own, one request a
 * connection. What it answers may be changed between requests. */
#pragma once

#include <stdatomic.h>

#include "belfry/slice.h"

struct https;
/* For the host "idp.localhost"; its authority's certificate is in the PEM file https_ca(). */
struct https *https_new(void);
void https_free(struct https *h);
uint16_t https_port(const struct https *h);
const char *https_ca(const struct https *h);
/* From now on: `path` is answered with this; the texts live until the server's end. */
void https_answer(struct https *h, const char *path, int status, const char *body);
/* Connections that were taken, and requests for this path that were answered. */
unsigned https_connections(const struct https *h);
unsigned https_requests(struct https *h, const char *path);
/* The request, head and body, that this path had last; empty where none. */
void https_last(struct https *h, const char *path, char out[16384]);
