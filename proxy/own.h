// SPDX-License-Identifier: EUPL-1.2
/* What is the gateway's own on every application host: all below /.belfry/. Never an application's,
 * never judged by rules; today the assertion keys, which upstreams fetch without device or
 * identity. */
#pragma once

#include "proxy/exchange.h"

bool own_is(const struct exchange *x); /* after the path is canonical */
/* Fills x->response and x->answer. False: there is nothing of that name. */
MUST_USE bool own_answer(struct exchange *x);
