// SPDX-License-Identifier: EUPL-1.2
/* The one form in which a URL may stand in a bundle or in a discovery document: https, a host name
 * and perhaps a port, a path; no user, no fragment. Pure. */
#pragma once

#include "policy/host.h"

/* NULL, and the canonical host in `room`, where it is one; else what is wrong with it, to stand
 * behind its name. */
const char *url_fault(struct slice url, bool may_query, char room[HOST_MAX], struct slice *host);
