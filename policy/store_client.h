// SPDX-License-Identifier: EUPL-1.2
/* The store as the command line uses it: one connection, one question at a time, each waiting at
 * most 5 s for its answer. Beside the documents that gateways read, the store holds what people
 * work with and no gateway looks at:
 *
 *     belfry:drafts         hash: NAME → an envelope that collects signatures
 *     belfry:history:NAME   list of the last STORE_HISTORY published envelopes, newest first
 *
 * NAME is "charter", "bundle:ENTITY" or "bundle:ENTITY.shadow". Whoever reads them verifies them:
 * the store is not trusted.
 */
#pragma once

#include "base/redis.h"
#include "policy/envelope.h"
#include "policy/serials.h"

#define STORE_HISTORY 20

struct store_client;

/* NULL where nobody is there, or who we are does not count. */
struct store_client *store_open(const struct redis_address *address, struct fault *f);
void store_close(struct store_client *c); /* NULL is fine */

/* One command; the reply is the caller's to freeReplyObject. NULL with a fault where there is none
 * or it is an error. */
#define STORE_ARGUMENTS_MAX 20
redisReply *store_ask(struct store_client *c, const struct slice *arguments, int count,
                      struct fault *f);

/* "charter" where `entity` is empty, else "bundle:ENTITY", behind `prefix`. */
#define STORE_KEY_MAX (DOCUMENT_NAME_MAX + 32)
struct slice store_key(char room[STORE_KEY_MAX], const char *prefix, struct slice entity);

enum store_shelf { STORE_DOCUMENT, STORE_DRAFT };
/* The envelope on that shelf; *out is the caller's (mem_slice_free), empty where there is none. */
MUST_USE bool store_get(struct store_client *c, enum store_shelf shelf, struct slice entity,
                        struct slice *out, struct fault *f);
/* The `i`th of the history, 0 being the newest. */
MUST_USE bool store_get_old(struct store_client *c, struct slice entity, uint32_t i,
                            struct slice *out, struct fault *f);
/* Puts a draft in the place of `old` (empty: of none). FAULT_TRUST where somebody was quicker. */
MUST_USE bool store_put_draft(struct store_client *c, struct slice entity, struct slice old,
                              struct slice draft, struct fault *f);
/* The name of every bundle that has a document or a draft, sorted; the caller frees with mem_free.
 */
struct store_names {
    char (*at)[DOCUMENT_NAME_MAX + 1];
    uint32_t count;
};
MUST_USE bool store_list(struct store_client *c, struct store_names *out, struct fault *f);
/* Puts one document in the store and tells all gateways; *n is the number of the event. A serial
 * that is not higher than the one there is FAULT_TRUST. A draft of it is over, and it becomes the
 * newest of the history. */
MUST_USE bool store_publish(struct store_client *c, enum document_kind kind, struct slice entity,
                            int64_t serial, struct slice envelope, uint64_t *n, struct fault *f);
