// SPDX-License-Identifier: EUPL-1.2
/* Methods by name. Case counts (RFC 9110 §9.1). */
#pragma once

#include "belfry/request.h"

enum method method_of(struct slice name);
struct slice method_name(enum method m); /* empty for METHOD_OTHER */
/* CONNECT and TRACE are never carried: the one opens a tunnel, the other echoes what must not be
 * seen. */
bool method_is_carried(struct slice name);
/* May be sent again without asking (RFC 9110 §9.2.2). */
bool method_is_idempotent(enum method m);
