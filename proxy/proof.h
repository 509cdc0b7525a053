// SPDX-License-Identifier: EUPL-1.2
/* DPoP in the story of a request: the proof that comes with a bound token is judged once, and asked
 * of the store whether it came before, to whichever worker and gateway. Where the store does not
 * answer, such a request is refused (503); others go on. */
#pragma once

#include "proxy/exchange.h"

/* x->token is the one that the field DPoP has to go with. PERMITTED, or why not; with *waits the
 * answer is under way, and the phase is run again. */
enum reason proof_judge(struct exchange *x, struct slice token, bool *waits);
