// SPDX-License-Identifier: EUPL-1.2
/* What the files of the status desk share: status_desk.c has the authorities and the table,
 * status_source.c their CRLs, status_question.c their responders. */
#pragma once

#include "auth/crl_reader.h"
#include "auth/ocsp_memory.h"
#include "auth/status_desk.h"
#include "auth/status_in.h"
#include "base/entropy.h"
#include "base/fetch.h"

#define STATUS_BUCKETS 1024

struct status_desk {
    struct loop *loop;
    struct fetcher *fetcher;
    struct aside *reader;       /* of CRLs */
    struct ocsp_memory *memory; /* of answers; NULL: nothing is kept */
    struct metrics *metrics;
    struct status_hooks hooks;
    char *ca_file;
    char *state_dir;           /* NULL: nothing is kept */
    struct snapshot *snapshot; /* what the watched point into; NULL before the first */
    struct link watched;
    ev_timer tick;
    ev_timer tidy; /* of what is kept */
    struct dice dice;
    uint64_t number;                     /* of the last table */
    struct later publish;                /* of answers: once a turn */
    bool is_worse;                       /* ... since the last table */
    struct link told;                    /* wishes that wait for the table alone */
    struct link buckets[STATUS_BUCKETS]; /* of questions, by their keys */
    uint32_t question_count;
};

struct watched {
    struct link link;
    struct status_desk *desk;
    const struct authority *authority; /* of the desk's snapshot */
    STACK_OF(X509) * issuers;          /* its certificates */
    struct link sources;
    uint32_t source_count;
    struct link questions;
    uint32_t asking; /* questions under way */
    int64_t since_s;
    int64_t complained_s;
    bool has_new_text; /* the lists in the bundle itself are to be read */
};

struct source {
    struct link link;
    struct watched *watched;
    char *url;       /* NULL: the bundle holds the list itself */
    struct crl *crl; /* NULL: none yet */
    struct crl_memory memory;
    struct fetch *fetch;
    struct crl_job *job; /* the list that is being read */
    bool is_recalling;   /* ... is the one of the last start */
    bool is_recalled;    /* that was tried, or there is none */
    bool is_kept;        /* `crl` is in state_dir */
    ev_timer due;
    int64_t pause_s; /* after the last failure; 0: the last fetch was good */
    struct link wishes;
};

struct question {
    struct link link;
    struct link in_bucket;
    struct watched *watched;
    X509 *issuer; /* one of the watched's */
    struct chain_serial serial;
    char *url;
    char *path; /* where the answer is kept; NULL: nowhere */
    struct status_ocsp known;
    struct fetch *fetch;
    struct ocsp_job *job;   /* reads the kept one, or writes one */
    struct slice unwritten; /* the answer that came meanwhile */
    struct ocsp_answer kept;
    int64_t due_s;
    int64_t pause_s;
    int64_t seen_s;
    struct link wishes;
};

/* ---- of the desk ---- */

/* A new table, now; later: once, at the end of this turn. */
void status_publish(struct status_desk *d, bool is_worse);
void status_publish_later(struct status_desk *d, bool is_worse);
/* Where the charter lets an authority's entity go: of every URL, also those that a certificate
 * brings, and of every address. */
bool watched_may_fetch(const struct watched *w, struct slice url, struct fault *f);
bool watched_may_connect(const struct watched *w, const struct sockaddr *address);
struct fetch *watched_fetch(const struct watched *w, const char *url, struct fetch_request request);
/* How long to wait after one more failure. */
int64_t status_pause_longer(int64_t pause_s);
/* How long to rest after a good one that is good until then: half of that and at most `most_s`, a
 * little less by chance, so that not all are asked for at once; but not less than
 * STATUS_REST_MIN_S, whatever a bundle or a responder says. */
#define STATUS_REST_MIN_S 5
int64_t status_rest(struct status_desk *d, struct wall until, int64_t most_s);
void watched_complain(const struct watched *w, const char *what, const struct fault *why);
/* The authority's certificate that is named by a chain's link; NULL: it is none of them. */
X509 *watched_issuer(const struct watched *w, const uint8_t issuer[32]);

/* ---- CRLs ---- */

bool source_is_usable(const struct source *s, struct wall now);
/* There is a list at hand that could not be looked into yet. */
bool source_is_unread(const struct source *s);
/* What is listed, and nothing that is listed no longer. */
void sources_settle(struct watched *w);
/* From the authorities before: lists whose issuer is still there. */
void sources_inherit(struct watched *w, const struct link *before);
/* What the bundle holds is read, where it is new; the rest is asked for, where it is due. */
void sources_begin(struct watched *w);
/* True where a list that may be the leaf's issuer's is on its way for the first time; then
 * `answered` will run. */
bool sources_want(struct watched *w, X509 *leaf, void (*answered)(void *owner), void *owner);
void sources_forget(struct watched *w); /* whoever waits looks again */
/* The files that are not to be tidied away. */
void sources_keep(const struct watched *w, struct status_keep *keep);

/* ---- OCSP ---- */

/* Those that are due, first of all the ones that somebody waits for. */
void questions_begin(struct watched *w);
/* Of certificates that nobody has shown for a day nothing is asked any more. */
void questions_age(struct watched *w);
/* True where the answer is asked for; then `answered` will run. */
bool questions_want(struct watched *w, X509 *leaf, const struct chain_link *link,
                    void (*answered)(void *owner), void *owner);
void questions_forget(struct watched *w); /* whoever waits looks again */
