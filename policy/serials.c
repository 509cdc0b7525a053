// SPDX-License-Identifier: EUPL-1.2
/* A short list, searched from the front: it is read once a document, not once a request. */
#include "policy/serials.h"

#include "base/codec.h"
#include "base/mem.h"

#define HEAD "belfry-serials/v1"

static const struct slice shadow_mark = SLICE_INIT(".shadow");

bool entity_id_is_valid(struct slice id)
{
    if (id.len == 0 || id.len > ENTITY_ID_MAX)
        return false;
    for (size_t i = 0; i < id.len; i++)
        if (!((id.ptr[i] >= 'a' && id.ptr[i] <= 'z') || (id.ptr[i] >= '0' && id.ptr[i] <= '9') ||
              id.ptr[i] == '-'))
            return false;
    return true;
}

struct slice document_entity(struct slice name, bool *is_shadow)
{
    *is_shadow = slice_ends(name, shadow_mark);
    return *is_shadow ? slice_from(name.ptr, name.len - shadow_mark.len) : name;
}

bool document_name_is_valid(struct slice name)
{
    bool is_shadow;
    return entity_id_is_valid(document_entity(name, &is_shadow));
}

void serials_fini(struct serials *s)
{
    mem_free(s->at);
    *s = (struct serials){.at = NULL};
}

void serials_copy(struct serials *out, const struct serials *s)
{
    *out = *s;
    out->at = NULL;
    if (!s->count)
        return;
    out->at = mem_array(struct serial, s->count);
    memcpy(out->at, s->at, s->count * sizeof(*s->at));
}

static struct serial *find(const struct serials *s, struct slice entity)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (slice_eq(slice_of(s->at[i].entity), entity))
            return &s->at[i];
    return NULL;
}

const struct serial *serials_find(const struct serials *s, struct slice entity)
{
    return find(s, entity);
}

enum serial_verdict serials_judge(const struct serials *s, struct slice entity, int64_t serial,
                                  const uint8_t digest[SHA256_BYTES])
{
    const struct serial *seen = find(s, entity);
    if (serial < 1 || serial > SERIAL_MAX || (seen && serial < seen->serial))
        return SERIAL_OLDER;
    if (!seen || serial > seen->serial)
        return SERIAL_NEWER;
    return memcmp(seen->digest, digest, SHA256_BYTES) == 0 ? SERIAL_SAME : SERIAL_CONFLICT;
}

bool serials_note(struct serials *s, struct slice entity, int64_t serial,
                  const uint8_t digest[SHA256_BYTES], struct fault *f)
{
    struct serial *seen = find(s, entity);
    if (seen) {
        if (serial > seen->serial) {
            seen->serial = serial;
            memcpy(seen->digest, digest, SHA256_BYTES);
        }
        return true;
    }
    if (entity.len && !document_name_is_valid(entity))
        return fault_set(f, FAULT_LIMIT, "'%.*s' is no entity's id", SLICE_ARG(entity));
    if (s->count > DOCUMENTS_MAX) // one more than that: the charter's
        return fault_set(f, FAULT_LIMIT, "more than %d documents", DOCUMENTS_MAX);
    s->at = mem_grow(s->at, (size_t)s->count + 1, sizeof(*s->at));
    struct serial *new = &s->at[s->count++];
    *new = (struct serial){.serial = serial};
    memcpy(new->entity, entity.ptr ? entity.ptr : "", entity.len);
    memcpy(new->digest, digest, SHA256_BYTES);
    return true;
}

void serials_note_wall(struct serials *s, struct wall now)
{
    if (now.s > s->wall.s)
        s->wall = now;
}

bool serials_print(const struct serials *s, struct buf *out)
{
    char hex[2 * SHA256_BYTES];
    if (!buf_printf(out, HEAD "\nwall %lld\n", (long long)s->wall.s))
        return false;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct serial *one = &s->at[i];
        hex_encode(hex, one->digest, SHA256_BYTES);
        if (!buf_printf(out, "%s%s %lld %.*s\n", one->entity[0] ? "bundle " : "charter",
                        one->entity, (long long)one->serial, (int)sizeof(hex), hex))
            return false;
    }
    return true;
}

static bool parse_one(struct serials *s, struct slice line, struct fault *f)
{
    struct slice entity = {"", 0};
    uint64_t serial = 0;
    uint8_t digest[SHA256_BYTES];
    const struct slice kind = slice_cut(&line, ' ');
    const bool is_bundle = slice_eq(kind, SLICE("bundle"));
    if (is_bundle)
        entity = slice_cut(&line, ' ');
    if ((!is_bundle && !slice_eq(kind, SLICE("charter"))) ||
        (is_bundle && !document_name_is_valid(entity)) || find(s, entity) ||
        !slice_u64(slice_cut(&line, ' '), (uint64_t)SERIAL_MAX, &serial) || !serial ||
        line.len != 2 * SHA256_BYTES || !hex_decode(digest, line))
        return fault_set(f, FAULT_SYNTAX, "the list of serials holds a line that is none");
    return serials_note(s, entity, (int64_t)serial, digest, f);
}

bool serials_parse(struct serials *out, struct slice text, struct fault *f)
{
    struct serials s = {.at = NULL};
    uint64_t wall = 0;
    if (!slice_ends(text, SLICE("\n")))
        return fault_set(f, FAULT_SYNTAX, "the list of serials is cut off");
    struct slice line = slice_cut(&text, '\n');
    bool is_fine = slice_eq(line, SLICE(HEAD));
    line = slice_cut(&text, '\n');
    is_fine = is_fine && slice_starts(line, SLICE("wall ")) &&
              slice_u64(slice_skip(line, 5), INT64_MAX, &wall);
    if (!is_fine)
        return fault_set(f, FAULT_SYNTAX, "not a list of serials");
    s.wall.s = (int64_t)wall;
    while (is_fine && text.len)
        is_fine = parse_one(&s, slice_cut(&text, '\n'), f);
    if (is_fine)
        *out = s;
    else
        serials_fini(&s);
    return is_fine;
}
