// SPDX-License-Identifier: EUPL-1.2
/* Where documents are signed and published: the store, and what the configuration trusts. With
 * --store in place of -c there is no trust: then nothing of whose signatures count is known here,
 * and only the gateways judge. One thread; blocking. */
#pragma once

#include <stdio.h>

#include <jansson.h>

#include "cli/signing_key.h"
#include "policy/charter.h"
#include "policy/store_client.h"
#include "proxy/config.h"

/* What the verbs are told; each verb takes some of it. */
struct desk_options {
    const char *words[2]; /* without a dash */
    int word_count;
    const char *config_path; /* -c; then no --store */
    const char *store_url;
    const char *charter; /* --charter FILE */
    const char *draft;   /* --draft NAME */
    const char *digest;
    const char *out;
    const char *not_after;
    const char *to;
    bool is_json;
    struct signers signers;
};
enum desk_option {
    DESK_STORE = 1 << 0, /* -c, --store */
    DESK_KEYS = 1 << 1,  /* --key, --key-id, --passphrase-file */
    DESK_CHARTER = 1 << 2,
    DESK_DRAFT = 1 << 3,
    DESK_DIGEST = 1 << 4,
    DESK_OUT = 1 << 5,
    DESK_NOT_AFTER = 1 << 6,
    DESK_TO = 1 << 7,
    DESK_JSON = 1 << 8,
};
/* False where they are not understood, or -c and --store are both there. */
bool desk_options_read(struct desk_options *o, unsigned taken, int argc, char **argv);

/* A document on the table. */
struct paper {
    enum document_kind kind;
    struct envelope envelope; /* its payload and signatures point into `bytes` */
    struct slice bytes;       /* owned: the envelope, or the payload alone */
    struct slice entity;      /* owned; the document's name (policy/serials.h) */
    struct slice drafted;     /* owned; what the shelf of drafts held when it was looked at */
    int64_t serial;
    int64_t not_after_s;
    struct bundle *bundle;   /* owned; NULL: a charter */
    struct charter *charter; /* owned; NULL: a bundle */
};
void paper_fini(struct paper *p);
/* From a file: YAML, whose named files are put in, or an envelope. From the store: an envelope.
 * Checked as a gateway would, by the very bytes that are then signed. An exit code:
 * EXIT_OK, or what is wrong was told. */
int paper_from_file(struct paper *out, const char *path);
int paper_from_bytes(struct paper *out, struct slice bytes, const char *name);
/* A text that nobody has signed yet, with nothing to be put in. */
int paper_from_text(struct paper *out, struct slice text, const char *name);
/* Runs a bundle's own tests, as a gateway does before it takes it: with the baseline of that
 * charter in force (NULL: none is at hand). What is signed or published has passed them; what lies
 * in the store may be read without. */
int paper_test(const struct paper *p, const struct charter *charter);
/* The first characters of the SHA-256 of the payload: what people compare. So many that nobody can
 * write two texts that have them in common. */
#define PAPER_DIGEST_CHARS 32
void paper_digest(const struct paper *p, char out[PAPER_DIGEST_CHARS + 1]);

struct desk {
    struct store_client *store;
    struct config *config;   /* NULL: --store */
    struct charter *charter; /* of the store, verified by the configuration; NULL: none */
    const char *no_charter;  /* why there is none; NULL where there is one */
};
/* An exit code, as above. */
int desk_open(struct desk *d, const struct desk_options *o);
void desk_close(struct desk *d);

/* Whether gateways would take its signatures, serial and content, as far as is known here. */
enum desk_verdict {
    DESK_REFUSED = 0, /* something beside the number of signatures; `why` says what */
    DESK_MISSING,     /* more must sign */
    DESK_GOOD,
    DESK_UNKNOWN, /* --store */
};
enum desk_verdict desk_judge(const struct desk *d, const struct paper *p, struct fault *why);
/* Whether any key that the configuration or charter names, also one whose time is over, has signed
 * it: it was really published once. True, too, where nothing is known of keys. */
bool desk_knows(const struct desk *d, const struct paper *p);
/* Each key that may sign, whether it did; and signatures of others. */
void desk_print_signatures(const struct desk *d, const struct paper *p, FILE *out);
/* The same: {"signatures": [{"key", "owner", "state"}], "given", "needed"}. */
json_t *desk_signatures_json(const struct desk *d, const struct paper *p);

/* What is on that shelf of the store for NAME ("charter" or an entity): EXIT_OK with p->bytes empty
 * where there is none. */
int desk_take(const struct desk *d, enum store_shelf shelf, const char *name, struct paper *p);
/* The document's name that NAME is: empty for "charter". */
struct slice desk_entity(const char *name);
/* Signs and makes `p` what it is then. */
bool desk_sign(struct signers *s, struct paper *p, struct fault *f);
/* Stores it as what gateways take, and says so. */
int desk_publish(const struct desk *d, const struct paper *p);
/* Looks at the draft of the same name: where it is of the same text, its signatures are ours too.
 */
int desk_join(const struct desk *d, struct paper *p);
/* Stores it in the place of the draft that was looked at, and says who is still to sign. */
int desk_keep(const struct desk *d, const struct paper *p);
/* Joins, signs, and publishes or keeps it, by how many have signed then. */
int desk_publish_or_keep(const struct desk *d, struct signers *s, struct paper *p);

/* "2027-01-01T00:00:00Z". */
#define DESK_TIME_CHARS 20
const char *desk_time(char out[DESK_TIME_CHARS + 1], int64_t at_s);
