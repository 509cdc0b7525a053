// SPDX-License-Identifier: EUPL-1.2
/* The one form in which a URL may stand in a bundle or in a discovery document: https, a host name
 * and perhaps a port, a path; no user, no fragment. Pure. Only what is signed itself, a CRL or an
 * OCSP answer, may come by http. */
#pragma once

#include "policy/host.h"

enum { URL_MAY_QUERY = 1, URL_MAY_HTTP = 2 };

/* NULL, and the canonical host in `room`, where it is one; else what is wrong with it, to stand
 * behind its name. */
const char *url_fault(struct slice url, unsigned may, char room[HOST_MAX], struct slice *host);
