// SPDX-License-Identifier: EUPL-1.2
/* What the readers of bundle and charter share: keys of a map by name, each with the finding that a
 * person needs when it is not as it should be. Every reader goes on after a finding: all errors are
 * told at once. A reader returns true where there is a good value, and leaves *out alone where
 * there is none. */
#pragma once

#include "base/arena.h"
#include "base/findings.h"
#include "base/map.h"
#include "base/yaml.h"
#include "policy/bundle.h"

#define LOAD_MAX_ITEMS 256       /* of a list of words: duplicates are looked for pair by pair */
#define LOAD_MAX_FILE (1u << 20) /* of a file that a bundle names */
#define LOAD_MAX_TEXT 2048       /* bytes of a word, a name, an address */
#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

struct loader {
    struct arena *a; /* everything that is read lies here */
    struct findings *out;
    struct slice text; /* the source, for places inside of texts */
    struct slice dir;  /* where named files are; empty: they are refused */
    struct bundle *bundle;
    struct map providers;   /* id → struct provider */
    struct cel_names names; /* the sets that conditions can name */
    const uint32_t *lines;  /* where each line of the source begins; made when first needed */
    uint32_t line_count;
};

enum need { LOAD_OPTIONAL, LOAD_REQUIRED };

/* The value of a key; NULL where there is none. Missing though required, and "key:" without a
 * value, are findings: an empty value is never taken for "as if it were not there". */
const struct yaml *load_member(struct loader *l, const struct yaml *map, const char *key,
                               enum need need);
/* The same, of that kind only. */
const struct yaml *load_list(struct loader *l, const struct yaml *map, const char *key,
                             enum need need);
const struct yaml *load_map(struct loader *l, const struct yaml *map, const char *key,
                            enum need need);

/* A text of at least one character, without control characters, at most LOAD_MAX_TEXT bytes. */
bool load_word(struct loader *l, const struct yaml *n, const char *what, struct slice *out);
bool load_text(struct loader *l, const struct yaml *map, const char *key, enum need need,
               struct slice *out);
/* Any scalar, with line breaks: PEM, JSON, a condition. */
bool load_long_text(struct loader *l, const struct yaml *map, const char *key, enum need need,
                    struct slice *out);
/* [a-z0-9-]{1,64}: no ":", which divides ids from names in user.id and device.id. */
bool load_id(struct loader *l, const struct yaml *map, const char *key, struct slice *out);
/* One of `names`; *out is its place among them. */
bool load_choice(struct loader *l, const struct yaml *map, const char *key, enum need need,
                 const struct slice *names, size_t count, uint32_t *out);
/* A list of one to LOAD_MAX_ITEMS words; one that is repeated is a warning and taken once, one that
 * is none an error and left out. */
bool load_words(struct loader *l, const struct yaml *map, const char *key, enum need need,
                struct slices *out);
/* The same, or a single word. */
bool load_word_or_words(struct loader *l, const struct yaml *map, const char *key, enum need need,
                        struct slices *out);
/* Where a word of such a list stands. */
struct place load_word_place(const struct yaml *list, struct slice word);
bool load_duration_s(struct loader *l, const struct yaml *map, const char *key, int64_t min_s,
                     int64_t max_s, int64_t *out);
/* https, a host name, no user information, no fragment; a query only where it may. */
bool load_url(struct loader *l, const struct yaml *map, const char *key, enum need need,
              bool may_query, struct slice *out);
/* The file that node `n` names, from `dir`. */
bool load_file(struct loader *l, const struct yaml *n, struct slice *out);

/* `ca_file` or `ca_pem`, one of which must be there: certificates that may vouch for others. */
void load_ca(struct loader *l, const struct yaml *map, struct slice *ca_pem); /* load_authority.c */

/* `trust_domain` of SPIFFE, where it is there and is one. load_authority.c */
bool load_trust_domain(struct loader *l, const struct yaml *map, struct slice *out);

/* `key: ${secret:NAME}`: the name. A literal is a finding. load_client.c */
bool load_secret_name(struct loader *l, const struct yaml *map, const char *key,
                      struct slice *out_name);
/* client_id, client_secret or private_key, private_key_algorithm: members of `map`, whose keys the
 * caller checks. True where it is whole. */
bool load_client(struct loader *l, const struct yaml *map, struct client *c);
/* `sign_in` of a provider, where it is there. load_provider_sign_in.c */
void load_provider_sign_in(struct loader *l, const struct yaml *map, struct sign_in *s);

/* A second element with one id. True where it is the first. */
bool load_unique(struct loader *l, struct map *seen, struct slice id, const struct yaml *map,
                 void *value);
/* "unknown X 'word'; did you mean 'y'?" or the list of what is allowed. */
void load_unknown(struct loader *l, struct place at, const char *what, struct slice word,
                  const struct slice *names, size_t count);

/* The place of the first character of a scalar's text: behind the quote, or where a block's text
 * begins. */
struct place load_text_place(struct loader *l, const struct yaml *n);
/* The source from a line and column on, to its end; empty where there is no such place. */
struct slice load_source_at(struct loader *l, uint32_t line, uint32_t column);

/* `belfry: KIND`, serial and not_after: the head of both documents. False where the document is of
 * another kind. */
bool load_head(struct loader *l, const struct yaml *root, const char *kind, int64_t *serial,
               int64_t *not_after_s);

/* The parts of a rule, wherever it stands (load_rule.c): id, owner, purpose, dates and mode, false
 * where it is no map; methods and paths; condition; remedy. */
bool load_rule_head(struct loader *l, const struct yaml *map, struct rule *rule, struct map *seen);
void load_reach(struct loader *l, const struct yaml *map, struct rule *rule,
                struct path_options options);
void load_when(struct loader *l, const struct yaml *map, struct rule *rule);
void load_remedy(struct loader *l, const struct yaml *map, struct rule *rule);

/* A text for people by language, all optional; `what` names the map for them. */
void load_languages(struct loader *l, const struct yaml *map, const char *key, const char *what,
                    struct slice out[LANGUAGE_COUNT]); /* load_application.c */

struct baseline;
void load_baseline(struct loader *l, const struct yaml *root,
                   struct baseline *out); /* load_baseline.c */

/* The parts of a bundle, by story. */
void load_sets(struct loader *l, const struct yaml *root);         /* load_set.c */
void load_providers(struct loader *l, const struct yaml *root);    /* load_provider.c */
void load_authorities(struct loader *l, const struct yaml *root);  /* load_authority.c */
void load_applications(struct loader *l, const struct yaml *root); /* load_application.c */
void load_tests(struct loader *l, const struct yaml *root);        /* load_test.c */
void load_upstreams(struct loader *l, const struct yaml *map,
                    struct application *app); /* load_upstream.c */
void load_rules(struct loader *l, const struct yaml *map,
                struct application *app); /* load_rule.c */
