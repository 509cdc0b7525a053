// SPDX-License-Identifier: EUPL-1.2
/* An exchange as an audit event. */
#pragma once

#include "belfry/event.h"
#include "proxy/exchange.h"

/* EVENT_DECISION where device or identity is known or the rules were asked, else EVENT_REFUSAL. */
void event_of_decision(const struct exchange *x, struct event *out);
void event_of_end(const struct exchange *x, struct event *out);
/* EVENT_SESSION: what x->deed says. */
void event_of_deed(const struct exchange *x, struct event *out);
/* EVENT_SESSION: of one that ended while nobody was there. `why` is borrowed, texts lie in `a`. */
void event_of_session_end(const struct session *s, const char *why, struct arena *a,
                          struct event *out);
