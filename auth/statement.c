// SPDX-License-Identifier: EUPL-1.2
/* What say_user() in assertion.c reads, and nothing else. */
#include "auth/statement.h"

#include "base/hash.h"

static char *state_number(char *at, uint64_t n)
{
    memcpy(at, &n, sizeof n);
    return at + sizeof n;
}

static char *state_text(char *at, struct slice text)
{
    at = state_number(at, text.len);
    if (text.len)
        memcpy(at, text.ptr, text.len);
    return at + text.len;
}

static char *state_list(char *at, struct slices list)
{
    at = state_number(at, list.count);
    for (uint32_t i = 0; i < list.count; i++)
        at = state_text(at, list.at[i]);
    return at;
}

static size_t list_room(struct slices list)
{
    size_t room = sizeof(uint64_t);
    for (uint32_t i = 0; i < list.count; i++)
        room += sizeof(uint64_t) + list.at[i].len;
    return room;
}

void user_statement(struct arena *a, const struct facts_user *u, struct slice *out, uint64_t *hash)
{
    const size_t room = u->subject.len + u->provider.len + u->acr.len + 5 * sizeof(uint64_t) +
                        list_room(u->groups) + list_room(u->amr);
    char *text = arena_bytes(a, room);
    char *at = state_text(text, u->subject);
    at = state_text(at, u->provider);
    at = state_text(at, u->acr);
    at = state_number(at, (uint64_t)u->acr_level);
    at = state_number(at, (uint64_t)u->authenticated_at.s);
    at = state_list(at, u->groups);
    at = state_list(at, u->amr);
    *out = slice_from(text, (size_t)(at - text));
    *hash = table_hash(*out);
}
