// SPDX-License-Identifier: EUPL-1.2
/* HTTP/1.1 on a client connection (RFC 9112): one request at a time, pipelined ones answered in
 * order. */
#pragma once

#include "proxy/connection.h"

extern const struct protocol_ops h1_protocol;
