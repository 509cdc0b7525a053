// SPDX-License-Identifier: EUPL-1.2
/* A provider on loopback that says what a test wants, and what a gateway knows of it: an entity
 * that may fetch from there, its bundle with that one provider, and snapshots of them. One a test.
 */
#pragma once

#include "base/loop.h"
#include "base/metric.h"
#include "https.h"
#include "policy/snapshot.h"

#define IDP_DISCOVERY "/.well-known/openid-configuration"

struct idp {
    struct loop loop;
    struct https *server;
    struct metrics metrics;
    char issuer[64];       /* its address */
    struct slice hosts[1]; /* idp.localhost */
    struct network networks[2];
    struct charter_entity entity; /* "finance" */
    struct provider provider;     /* the test fills it */
    struct bundle bundle;
    struct snapshot snapshots[2]; /* with that bundle; with none */
};

extern struct idp idp;

/* `patience_s`: a test in which nothing happens for so long fails; 0: for ever. */
void idp_begin(double patience_s);
void idp_end(void);
