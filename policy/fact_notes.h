// SPDX-License-Identifier: EUPL-1.2
/* What a decision was made on, beyond what a line of the audit says anyway: the facts that some
 * rule of the application names, in a form of a few hundred bytes that goes into the line, sealed
 * (audit/seal.h), and comes back when the decision is judged again. Facts stand there by their
 * names, so that another version reads them. Pure; no allocation when they are written. */
#pragma once

#include "base/arena.h"
#include "belfry/facts.h"
#include "belfry/request.h"
#include "policy/snapshot.h"

#define FACT_NOTES_MAX 2048 /* as much as the audit takes of one field */

/* Writes them to `room`. 0: nothing is to be noted. `also`: another application whose rules are
 * asked, or NULL; `has_groups`: the line says all groups. A fact for which there is no room is
 * noted as such. */
size_t fact_notes_write(char room[FACT_NOTES_MAX], const struct snapshot *s,
                        const struct facts *facts, const struct application *also, bool has_groups);
/* Some fact had no room. */
bool fact_notes_are_cut(struct slice notes);

/* The facts that only notes can hold, of what is there: without them they are unknown. As bits. */
uint64_t fact_notes_alone(const struct facts *facts);

/* What is filled in: those whose roots are there. Texts point into the notes, lists lie in the
 * arena. */
struct fact_parts {
    struct facts_user *user;
    struct facts_device *device;
    struct request *request; /* query and fields */
    struct facts_session *session;
    bool *lacks_session; /* beside it: set where there was none */
    struct wall now;     /* when the decision was made: ages are counted from it */
};
/* The facts that are known now, also that they were missing, as bits; *headers: the fields, of
 * which all were noted that came. None of a form that is not understood. */
uint64_t fact_notes_read(struct slice notes, const struct fact_parts *into, struct slices *headers,
                         struct arena *a);
