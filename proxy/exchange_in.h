// SPDX-License-Identifier: EUPL-1.2
/* What the story of an exchange (exchange.c and the files of its phases), its being judged again
 * (exchange_again.c) and the gateway's own addresses (own.h) share. No other file includes this. */
#pragma once

#include "proxy/exchange.h"

enum next {
    REFUSE, /* x->reason says why: go to RESPONSE */
    WAIT,   /* something of ours is pending; its end calls exchange_resume(), which runs this phase
               again */
    NEXT    /* done: the phase below */
};
static inline enum next refuse(struct exchange *x, enum reason why, const char *detail)
{
    x->reason = why;
    x->detail = detail;
    return REFUSE;
}

/* The phases that have a file of their own; the others are in exchange.c. */
enum next exchange_route(struct exchange *x);
enum next exchange_device(struct exchange *x);
enum next exchange_identity(struct exchange *x);
enum next exchange_upstream(struct exchange *x);
enum next exchange_response(struct exchange *x);
/* Runs the phase that it is in, and those below, until one waits. Where one is running, nothing. */
void exchange_resume(struct exchange *x);

uint32_t exchange_count_fields(const struct exchange *x, struct slice name);
/* May it become a WebSocket of that application's? */
enum reason exchange_judge_websocket(const struct exchange *x, const struct application *app);
/* Adds what the inventory has of the device to the facts, where the authority or the application of
 * that door asks for it. INVENTORY_UNAVAILABLE: not known yet. */
enum reason exchange_ask_inventory(struct exchange *x, const struct door *door);
bool exchange_lacks_device(const struct exchange *x, const struct application *app);
/* The token of an Authorization field; false where it is of another scheme than Bearer and DPoP. */
bool exchange_bearer(struct slice authorization, struct slice *token, bool *is_with_proof);
struct token_question exchange_question(const struct exchange *x, const struct held *held,
                                        const struct application *app);
/* The facts are from now on what that token says, in place of the one before. TOKEN_BINDING where
 * it speaks of another service than the certificate. */
enum reason exchange_believe(struct exchange *x, const struct token *take);

/* Has its entity taken back what it rests on: device, token or session? */
enum reason exchange_judge_revoked(const struct exchange *x, const struct application *app);

/* All the questions that let it in, asked of that edition; the exchange then is that edition's. */
enum reason exchange_judge_by(struct exchange *x, struct held *now);

/* Who can sign in, or more strongly, is led there rather than refused; who need only wait, waits.
 */
enum next exchange_refuse_or_lead(struct exchange *x, enum reason why, const char *detail);
void exchange_drop_link(struct exchange *x);
/* What x->answer and the trailers now hold still goes to the client, and is the end. */
void exchange_say_last(struct exchange *x, enum reason why, const char *detail);
/* Refused late: with an answer where none has begun, else the stream is cut. */
void exchange_stop(struct exchange *x, enum reason why, const char *detail);
