// SPDX-License-Identifier: EUPL-1.2
/* Names of header fields: what two spellings of one have in common, and which fields of a request
 * never reach an application. Pure, any thread. */
#pragma once

#include "belfry/slice.h"

#define FIELD_NAME_MAX_FOLDED                                                                      \
    64 /* longer than any name in the lists; a longer one is none of them */

/* Lower case, and all but letters and digits is "-": some servers make one "_" of any of it, as CGI
 * wants. So an alias fares as the field that it would become in a framework. */
struct slice field_fold(struct slice name, char room[FIELD_NAME_MAX_FOLDED]);

enum removal { FIELD_STAYS, FIELD_HOP_BY_HOP, FIELD_FORGEABLE };
/* What becomes of a request's field of that name, but for Connection's list. */
enum removal field_removal(struct slice name);
