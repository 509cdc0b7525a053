// SPDX-License-Identifier: EUPL-1.2
/* HTTP/2 on a client connection (RFC 9113), by nghttp2: a stream is an exchange. */
#pragma once

#include "proxy/connection.h"

extern const struct protocol_ops h2_protocol;
