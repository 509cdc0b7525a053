// SPDX-License-Identifier: EUPL-1.2
/* What the gateway must know of gRPC over HTTP/2: how to tell it, and how a refusal is said so that
 * a client understands it. Messages are not looked into. Pure. */
#pragma once

#include "base/arena.h"
#include "belfry/id.h"
#include "belfry/reason.h"
#include "belfry/request.h"

/* application/grpc, alone or with "+proto", "+json" and the like. */
bool grpc_is(const struct request *r);
/* How long a call may take, as its grpc-timeout says. */
enum grpc_timeout { GRPC_TIMEOUT_BAD = 0, GRPC_TIMEOUT_NONE, GRPC_TIMEOUT_GOOD };
enum grpc_timeout grpc_timeout(const struct request *r, int64_t *ms);
/* The code of gRPC for that reason. */
unsigned grpc_code(enum reason why);
/* grpc-status, grpc-message and belfry-reference, in the arena: as trailers, or as all there is of
 * an answer. How many. */
uint32_t grpc_status(struct arena *a, enum reason why, const struct reference *reference,
                     struct field **out);
