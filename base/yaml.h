// SPDX-License-Identifier: EUPL-1.2
/* YAML 1.2 documents with the place of every node, strict: one document, UTF-8, no anchors,
 * aliases, tags, merge keys or duplicate keys, depth and size bounded, plain scalars are text until
 * asked for as more. Each violation is a finding. Built on libfyaml. One thread; the document owns
 * all nodes and texts. */
#pragma once

#include "base/findings.h"

struct yaml_doc;
struct yaml; /* a node, borrowed from its document */

enum yaml_kind { YAML_MISSING = 0, YAML_SCALAR, YAML_LIST, YAML_MAP };

#define YAML_MAX_BYTES (8u << 20)
#define YAML_MAX_DEPTH 32

/* NULL where it does not parse or breaks a rule above: findings say why. `file` is used in places.
 */
struct yaml_doc *yaml_parse(struct slice text, const char *file, struct findings *out);
void yaml_free(struct yaml_doc *doc);
const struct yaml *yaml_root(const struct yaml_doc *doc);

enum yaml_kind
yaml_kind(const struct yaml *n); /* NULL is YAML_MISSING; so is an empty (null) value */
struct place yaml_place(const struct yaml *n); /* of the node's first character */
struct slice yaml_text(const struct yaml *n);  /* of a scalar, else empty */
bool yaml_is_plain(const struct yaml *n);      /* a scalar without quotes */
bool yaml_is_quoted(const struct yaml *n);     /* a scalar in quotes; else it is a block */
size_t yaml_count(const struct yaml *n);       /* of a list or map */
const struct yaml *yaml_item(const struct yaml *list, size_t i);
const struct yaml *yaml_key(const struct yaml *map,
                            size_t i); /* the key as a node, for its place */
const struct yaml *yaml_value(const struct yaml *map, size_t i);
const struct yaml *yaml_get(const struct yaml *map,
                            struct slice key); /* NULL where there is none */

/* Readers that report a wrong kind as a finding at the node. `what` names it for people:
 * "applications[0].host". */
bool yaml_bool(const struct yaml *n, const char *what, bool *out, struct findings *f);
bool yaml_int(const struct yaml *n, const char *what, int64_t min, int64_t max, int64_t *out,
              struct findings *f);
/* "500ms", "30s", "5m", "12h", "7d" → milliseconds; a bare number is refused, with the allowed
 * units. */
bool yaml_duration_ms(const struct yaml *n, const char *what, int64_t min_ms, int64_t max_ms,
                      int64_t *out, struct findings *f);
/* "64KiB", "1MiB", "1GiB", or a plain number of bytes. */
bool yaml_bytes(const struct yaml *n, const char *what, int64_t min, int64_t max, int64_t *out,
                struct findings *f);
/* An RFC 3339 time in UTC ("2027-01-01T00:00:00Z"). */
bool yaml_time(const struct yaml *n, const char *what, int64_t *out_s, struct findings *f);
/* Reports every key of `map` that is not in `allowed`, with the nearest name; and a `map` that is
 * none. */
bool yaml_check_keys(const struct yaml *map, const char *what, const struct slice *allowed,
                     size_t count, struct findings *f);
