// SPDX-License-Identifier: EUPL-1.2
/* The door of the condition language, and the run. A condition is walked as a tree of typed steps,
 * no deeper than CEL_MAX_DEPTH; nothing is allocated, and facts are read where they lie. What is
 * made on the way (lists, texts) lies in a scratch on the stack, and is forgotten after each round
 * of a loop that keeps none of it. Owns: which field of struct facts a fact is, when it is missing,
 * and what is remembered of an error: what was absorbed is forgotten, since an answer to it would
 * change nothing. */
#include "policy/cel_in.h"

#include "base/field_name.h"
#include "belfry/request.h"
#include "policy/bundle.h"
#include "policy/cel_time_in.h"
#include "policy/regex.h"

/* --- what goes wrong, and where things are made --- */

bool cel_fail(struct cel_frame *f, const char *why)
{
    if (!f->notes.error)
        f->notes.error = why;
    return false;
}

void *cel_scratch(struct cel_frame *f, size_t bytes)
{
    const size_t aligned = (bytes + 7) & ~(size_t)7;
    if (f->arena)
        return arena_alloc(f->arena, bytes);
    if (aligned > (size_t)(f->end - f->at)) {
        (void)cel_fail(f, "the lists and texts that it makes are too large");
        return NULL;
    }
    void *out = f->at;
    f->at += aligned;
    return out;
}

bool cel_scratch_text(struct cel_frame *f, struct slice text, union cel_value *out)
{
    char *at = cel_scratch(f, text.len);
    if (!at)
        return false;
    memcpy(at, text.ptr, text.len);
    out->s = (struct slice){at, text.len};
    return true;
}

/* --- facts --- */

enum root { ROOT_user, ROOT_device, ROOT_service, ROOT_session, ROOT_app, ROOT_request };

static const struct {
    enum root root;
    struct slice name;
} fact_names[] = {
#define FACT(root, name, type, text) {ROOT_##root, SLICE_INIT(#root "." #name)},
#include "policy/fact.def"
#undef FACT
};

static bool has_root(const struct facts *f, enum root root)
{
    switch (root) {
    case ROOT_user:
        return f->user != NULL;
    case ROOT_device:
        return f->device != NULL;
    case ROOT_service:
        return f->service != NULL;
    case ROOT_session:
        return f->session != NULL;
    case ROOT_app:
        return f->app != NULL;
    case ROOT_request:
        return f->request != NULL;
    }
    return false;
}

static struct cel_list list_of(const struct slice *at, uint32_t count)
{
    // A value begins with the slice that it may be, and is no larger (see cel_in.h).
    return (struct cel_list){(const union cel_value *)(const void *)at, count};
}

/* Gateways' clocks differ by seconds: what began in the future has begun now. */
static bool read_age(const struct facts *f, struct wall since, union cel_value *out)
{
    const int64_t age_s = f->now.s > since.s ? f->now.s - since.s : 0;
    return since.s && !__builtin_mul_overflow(age_s, CEL_NS, &out->i);
}

/* The fact's value; its root is present. False where it is missing: no text but a query is ever
 * empty. */
static bool read_fact(struct cel_frame *r, enum cel_fact fact, union cel_value *out)
{
    const struct facts *f = r->facts;
    if (r->unknown >> fact & 1) {
        r->notes.has_unknown = true;
        return false;
    }
#define TEXT(root, name)                                                                           \
    case CEL_FACT_##root##_##name:                                                                 \
        out->s = f->root->name;                                                                    \
        return out->s.len > 0;
#define TEXTS(root, name)                                                                          \
    case CEL_FACT_##root##_##name:                                                                 \
        out->list = list_of(f->root->name.at, f->root->name.count);                                \
        return true;
    switch (fact) {
        TEXT(user, id)
        TEXT(user, subject)
        TEXT(user, provider)
        TEXT(user, client_id)
        TEXT(user, acr)
        TEXTS(user, groups)
        TEXTS(user, scopes)
        TEXTS(user, amr)
        TEXTS(session, methods)
        TEXT(device, id)
        TEXT(device, certificate)
        TEXT(device, authority)
        TEXT(device, trust)
        TEXT(device, common_name)
        TEXT(device, serial)
        TEXT(device, issuer)
        TEXT(device, key_type)
        TEXT(device, owner)
        TEXT(device, model)
        TEXTS(device, subject)
        TEXTS(device, organizational_units)
        TEXTS(device, dns_names)
        TEXTS(device, uris)
        TEXTS(device, emails)
        TEXT(service, id)
        TEXT(service, spiffe_id)
        TEXT(service, trust_domain)
        TEXT(app, id)
        TEXT(app, host)
        TEXT(app, entity)
        TEXT(request, host)
    case CEL_FACT_user_acr_level:
        out->i = r->assume_acr_level ? INT64_MAX : f->user->acr_level;
        return true;
    case CEL_FACT_device_key_bits:
        out->i = f->device->key_bits;
        return f->device->key_bits > 0;
    case CEL_FACT_device_not_after:
        out->time = (struct cel_time){f->device->not_after.s, 0};
        return f->device->not_after.s != 0;
    case CEL_FACT_device_compliant:
        out->b = f->device->compliant == SAID_YES;
        return f->device->compliant != SAID_NOTHING;
    case CEL_FACT_device_last_seen:
        out->time = (struct cel_time){f->device->last_seen.s, 0};
        return f->device->last_seen.s != 0;
    case CEL_FACT_device_attributes:
        out->list = list_of(f->device->attributes.at, f->device->attributes.count);
        return f->device->attributes.at != NULL;
    case CEL_FACT_session_age:
        return read_age(f, f->session->began, out);
    case CEL_FACT_session_authentication_age:
        return read_age(f, f->session->authenticated_at, out);
    case CEL_FACT_request_method:
        out->s = f->request->method_name;
        return out->s.len > 0;
    case CEL_FACT_request_path:
        out->s = f->request->decoded_path;
        return out->s.len > 0;
    case CEL_FACT_request_segments:
        out->list = list_of(f->request->path.segments, f->request->path.segment_count);
        return true;
    case CEL_FACT_request_query:
        out->s = f->request->query;
        return f->request->has_query;
    case CEL_FACT_request_query_parameters:
        out->list = (struct cel_list){f->parameters.at, f->parameters.count};
        return f->parameters.at != NULL;
    case CEL_FACT_request_client_address:
        out->s = f->client_address;
        return out->s.len > 0;
    case CEL_FACT_request_time:
        out->time = (struct cel_time){f->now.s, 0};
        return true;
    case CEL_FACT_request_protocol:
        out->s = f->request->protocol == PROTOCOL_H2 ? SLICE("h2") : SLICE("h1");
        return true;
    case CEL_FACT_COUNT:
        break;
    }
#undef TEXT
#undef TEXTS
    return false;
}

bool cel_fact_has_root(const struct facts *facts, enum cel_fact fact)
{
    return has_root(facts, fact_names[fact].root);
}

bool cel_fact_read(const struct facts *facts, enum cel_fact fact, union cel_value *out)
{
    struct cel_frame frame = {.facts = facts};
    return read_fact(&frame, fact, out);
}

/* Remembers the first fact that was missing, and every part that was absent. Who signs in has a
 * session; whose token it is has none, and gets none by that. */
static void note_missing(struct cel_frame *r, enum cel_fact fact)
{
    const enum root root = fact_names[fact].root;
    if (!r->notes.missing.len)
        r->notes.missing = fact_names[fact].name;
    r->notes.lacks_user |= (root == ROOT_user || root == ROOT_session) && !r->facts->user;
    r->notes.lacks_device |= root == ROOT_device && !r->facts->device;
}

/* The segment that the pattern calls so. */
static bool read_segment(const struct path_match *match, struct slice name, struct slice *out)
{
    for (uint32_t i = 0; match && i < match->pattern->count; i++) {
        const struct pattern_segment *p = &match->pattern->segments[i];
        if (p->kind != PATTERN_ONE || !slice_eq(p->text, name))
            continue;
        struct slice segment = match->segments[i];
        *out = match->is_cut ? slice_cut(&segment, ';') : segment;
        return true;
    }
    return false;
}

/* A field under any spelling that some framework takes for the name (base/field_name.h). */
bool cel_is_field(const struct field *field, struct slice name)
{
    char room[FIELD_NAME_MAX_FOLDED];
    return field->name.len == name.len && slice_eq(field_fold(field->name, room), name);
}

static uint32_t count_fields(const struct request *r, struct slice name, size_t *bytes)
{
    uint32_t count = 0;
    *bytes = 0;
    for (uint32_t i = 0; r && i < r->field_count; i++) {
        if (!cel_is_field(&r->fields[i], name))
            continue;
        *bytes += r->fields[i].value.len;
        count++;
    }
    return count;
}

static bool read_header(struct cel_frame *f, struct slice name, union cel_value *out)
{
    const struct request *r = f->facts->request;
    size_t bytes;
    const uint32_t count = count_fields(r, name, &bytes);
    if (!count || count > HEADER_MAX_FIELDS || bytes > HEADER_MAX_BYTES)
        return false;
    union cel_value *at = cel_scratch(f, count * sizeof *at);
    out->list = (struct cel_list){at, 0};
    for (uint32_t i = 0; at && i < r->field_count; i++)
        if (cel_is_field(&r->fields[i], name))
            at[out->list.count++].s = r->fields[i].value;
    return at != NULL;
}

static bool read_named(const struct cel_step *s, struct cel_frame *f, union cel_value *out)
{
    switch ((enum cel_named)s->fact) {
    case NAMED_PATH:
        return read_segment(f->facts->match, cel_given_name(s), &out->s);
    case NAMED_HEADER:
        return read_header(f, cel_given_name(s), out);
    case NAMED_COUNT:
        break;
    }
    return false;
}

static bool is_unknown_header(const struct cel_step *s, const struct cel_frame *f)
{
    return s->fact == NAMED_HEADER && (f->unknown & CEL_BIT_HEADERS);
}

static bool run_named(const struct cel_step *s, struct cel_frame *f, union cel_value *out)
{
    if (read_named(s, f, out))
        return true;
    f->notes.has_unknown |= is_unknown_header(s, f);
    if (!f->notes.missing.len)
        f->notes.missing = s->value.s;
    return false;
}

static enum cel_outcome judge_has_named(const struct cel_step *s, struct cel_frame *f)
{
    union cel_value ignored;
    size_t bytes;
    bool is_there = false;
    switch ((enum cel_named)s->fact) {
    case NAMED_PATH:
        is_there = read_named(s, f, &ignored);
        break;
    case NAMED_HEADER: /* also where it is too long to be read */
        is_there = count_fields(f->facts->request, cel_given_name(s), &bytes) > 0;
        break;
    case NAMED_COUNT:
        break;
    }
    if (is_there || !is_unknown_header(s, f))
        return is_there ? CEL_IS_TRUE : CEL_IS_FALSE;
    f->notes.has_unknown = true;
    f->notes.missing = f->notes.missing.len ? f->notes.missing : s->value.s;
    return CEL_IS_ERROR;
}

/* --- values --- */

static enum cel_outcome judge(const struct cel_step *s, struct cel_frame *f);

/* Both are asked for, also after an error: what a second one lacks is worth knowing. */
static bool two_values(const struct cel_step *s, struct cel_frame *f, union cel_value *a,
                       union cel_value *b)
{
    const bool has_first = cel_run_step(s->args[0], f, a);
    return cel_run_step(s->args[1], f, b) && has_first;
}

static int64_t count_code_points(struct slice s)
{
    int64_t count = 0;
    for (size_t i = 0; i < s.len; i++)
        count += ((unsigned char)s.ptr[i] & 0xc0) != 0x80;
    return count;
}

static bool make_list(const struct cel_step *s, struct cel_frame *f, union cel_value *out)
{
    union cel_value *at = cel_scratch(f, s->count * sizeof *at);
    bool is_good = at != NULL;
    for (uint32_t i = 0; at && i < s->count; i++)
        is_good = cel_run_step(s->args[i], f, &at[i]) && is_good;
    out->list = (struct cel_list){at, s->count};
    return is_good;
}

static bool make_map(const struct cel_step *s, struct cel_frame *f, union cel_value *out)
{
    if (!make_list(s, f, out))
        return false;
    struct cel_list map = {out->list.at, 0};
    for (; map.count < s->count / 2u; map.count++)
        if (cel_lookup(map, map.at[2 * map.count], s->type))
            return cel_fail(f, "a key stands in the map twice");
    out->list = map;
    return true;
}

static bool join_lists(const struct cel_step *s, struct cel_frame *f, union cel_value *out)
{
    union cel_value a;
    union cel_value b;
    if (!two_values(s, f, &a, &b))
        return false;
    const size_t count = a.list.count + b.list.count;
    union cel_value *at = cel_scratch(f, count * sizeof *at);
    if (!at)
        return false;
    if (a.list.count)
        memcpy(at, a.list.at, a.list.count * sizeof *at);
    if (b.list.count)
        memcpy(at + a.list.count, b.list.at, b.list.count * sizeof *at);
    out->list = (struct cel_list){at, count};
    return true;
}

static bool index_list(const struct cel_step *s, struct cel_frame *f, union cel_value *out)
{
    union cel_value list;
    union cel_value at;
    if (!two_values(s, f, &list, &at))
        return false;
    if (at.i < 0 || (uint64_t)at.i >= list.list.count)
        return cel_fail(f, "the list has no such element");
    *out = list.list.at[at.i];
    return true;
}

static bool index_map(const struct cel_step *s, struct cel_frame *f, union cel_value *out)
{
    union cel_value map;
    union cel_value key;
    if (!two_values(s, f, &map, &key))
        return false;
    const union cel_value *found = cel_lookup(map.list, key, s->type);
    if (!found)
        return cel_fail(f, "the map has no such key");
    *out = *found;
    return true;
}

static bool call(const struct cel_step *s, struct cel_frame *f, union cel_value *out)
{
    union cel_value args[CEL_MAX_ARGS];
    bool is_good = true;
    for (uint32_t i = 0; i < s->count; i++)
        is_good = cel_run_step(s->args[i], f, &args[i]) && is_good;
    return is_good && s->function->run(f, args, out);
}

/* --- loops --- */

/* A list that is looped over, or the keys of a map. */
struct range {
    const union cel_value *at;
    size_t count;
    size_t stride;
};

static bool read_range(const struct cel_step *s, struct cel_frame *f, struct range *out)
{
    union cel_value value;
    if (!cel_run_step(s->args[0], f, &value))
        return false;
    *out = (struct range){value.list.at, value.list.count, s->kind == KIND_MAP ? 2 : 1};
    return true;
}

/* exists is ||, all is &&, over the elements (langdef, "Macros"). */
static enum cel_outcome judge_loop(const struct cel_step *s, struct cel_frame *f,
                                   enum cel_outcome stop)
{
    struct range range;
    bool has_error = false;
    if (!read_range(s, f, &range))
        return CEL_IS_ERROR;
    const struct cel_notes before = f->notes;
    char *const mark = f->at;
    for (size_t i = 0; i < range.count; i++) {
        f->loops[s->slot] = &range.at[i * range.stride];
        const enum cel_outcome outcome = judge(s->args[1], f);
        f->at = mark;
        if (outcome == stop) {
            f->notes = before;
            return stop;
        }
        has_error = has_error || outcome == CEL_IS_ERROR;
    }
    return has_error ? CEL_IS_ERROR : stop == CEL_IS_TRUE ? CEL_IS_FALSE : CEL_IS_TRUE;
}

/* No error of an element is absorbed, not even behind a second one that holds. */
static enum cel_outcome judge_exists_one(const struct cel_step *s, struct cel_frame *f)
{
    struct range range;
    size_t count = 0;
    if (!read_range(s, f, &range))
        return CEL_IS_ERROR;
    char *const mark = f->at;
    for (size_t i = 0; i < range.count; i++) {
        f->loops[s->slot] = &range.at[i * range.stride];
        const enum cel_outcome outcome = judge(s->args[1], f);
        f->at = mark;
        if (outcome == CEL_IS_ERROR)
            return CEL_IS_ERROR;
        count += outcome == CEL_IS_TRUE;
    }
    return count == 1 ? CEL_IS_TRUE : CEL_IS_FALSE;
}

/* filter and map. The result's room is taken first, so that what filter made for its questions can
 * be forgotten. */
static bool make_of_range(const struct cel_step *s, struct cel_frame *f, union cel_value *out)
{
    struct range range;
    size_t count = 0;
    const bool is_filter = s->op == OP_FILTER;
    const struct cel_step *condition = is_filter ? s->args[1] : s->count > 2 ? s->args[2] : NULL;
    if (!read_range(s, f, &range))
        return false;
    union cel_value *at = cel_scratch(f, range.count * sizeof *at);
    if (!at)
        return false;
    for (size_t i = 0; i < range.count; i++) {
        const union cel_value *element = &range.at[i * range.stride];
        f->loops[s->slot] = element;
        char *const mark = f->at;
        const enum cel_outcome outcome = condition ? judge(condition, f) : CEL_IS_TRUE;
        f->at = mark;
        if (outcome == CEL_IS_ERROR)
            return false;
        if (outcome == CEL_IS_FALSE)
            continue;
        if (is_filter)
            at[count] = *element;
        else if (!cel_run_step(s->args[1], f, &at[count]))
            return false;
        count++;
    }
    out->list = (struct cel_list){at, count};
    return true;
}

bool cel_run_step(const struct cel_step *s, struct cel_frame *f, union cel_value *out)
{
    enum cel_outcome outcome;
    union cel_value of;
    switch ((enum cel_op)s->op) {
    case OP_VALUE:
    case OP_VARIABLE:
        *out = s->value;
        return true;
    case OP_FACT:
        if (has_root(f->facts, fact_names[s->fact].root) &&
            read_fact(f, (enum cel_fact)s->fact, out))
            return true;
        note_missing(f, (enum cel_fact)s->fact);
        return false;
    case OP_NAMED:
        return run_named(s, f, out);
    case OP_LOOP_VALUE:
        *out = *f->loops[s->slot];
        return true;
    case OP_LIST:
        return make_list(s, f, out);
    case OP_MAP:
        return make_map(s, f, out);
    case OP_JOIN_LISTS:
        return join_lists(s, f, out);
    case OP_INDEX_LIST:
        return index_list(s, f, out);
    case OP_INDEX_MAP:
        return index_map(s, f, out);
    case OP_FILTER:
    case OP_TRANSFORM:
        return make_of_range(s, f, out);
    case OP_CALL:
        return call(s, f, out);
    case OP_SIZE_STRING:
        if (!cel_run_step(s->args[0], f, &of))
            return false;
        out->i = count_code_points(of.s);
        return true;
    case OP_SIZE_BYTES:
        if (!cel_run_step(s->args[0], f, &of))
            return false;
        out->i = (int64_t)of.s.len;
        return true;
    case OP_SIZE_LIST:
        if (!cel_run_step(s->args[0], f, &of))
            return false;
        out->i = (int64_t)of.list.count;
        return true;
    case OP_TYPE_OF:
        if (!cel_run_step(s->args[0], f, &of))
            return false;
        out->i = s->order;
        return true;
    case OP_TIME:
        if (!cel_run_step(s->args[0], f, &of))
            return false;
        out->i = cel_time_part(of.time, s->zone, (enum cel_time_field)s->slot);
        return true;
    case OP_TERNARY:
        outcome = judge(s->args[0], f);
        return outcome != CEL_IS_ERROR &&
               cel_run_step(s->args[outcome == CEL_IS_TRUE ? 1 : 2], f, out);
    default: // every other step gives a bool
        outcome = judge(s, f);
        out->b = outcome == CEL_IS_TRUE;
        return outcome != CEL_IS_ERROR;
    }
}

/* --- comparisons --- */

/* "x" in user.groups: what most conditions ask. The length says no most of the time. */
static bool in_texts(struct cel_list list, struct slice text)
{
    for (size_t i = 0; i < list.count; i++)
        if (list.at[i].s.len == text.len && slice_eq(list.at[i].s, text))
            return true;
    return false;
}

static bool in_list(struct cel_list list, union cel_value value, const struct cel_type *type)
{
    for (size_t i = 0; i < list.count; i++)
        if (cel_equal(list.at[i], value, type))
            return true;
    return false;
}

static bool contains(struct slice text, struct slice part)
{
    return !part.len || (text.len && memmem(text.ptr, text.len, part.ptr, part.len));
}

/* What takes two values and gives a bool. */
static bool judge_two(const struct cel_step *s, union cel_value a, union cel_value b)
{
    switch ((enum cel_op)s->op) {
    case OP_IN_STRING:
        return in_texts(b.list, a.s);
    case OP_IN_SORTED:
        return cel_in_sorted(b.list, &a, (enum cel_kind)s->kind);
    case OP_IN:
        return in_list(b.list, a, s->type);
    case OP_IN_MAP:
        return cel_lookup(a.list, b, s->type) != NULL;
    case OP_EQUAL_STRING:
        return slice_eq(a.s, b.s) == (s->order == ORDER_EQUAL);
    case OP_EQUAL:
        return cel_equal(a, b, s->type) == (s->order == ORDER_EQUAL);
    case OP_STARTS:
        return slice_starts(a.s, b.s);
    case OP_ENDS:
        return slice_ends(a.s, b.s);
    case OP_CONTAINS:
        return contains(a.s, b.s);
    default: // OP_COMPARE
        return (cel_compare(a, b, (enum cel_kind)s->kind) & s->order) != 0;
    }
}

static enum cel_outcome judge_matches(const struct cel_step *s, struct cel_frame *f)
{
    union cel_value text;
    if (!cel_run_step(s->args[0], f, &text))
        return CEL_IS_ERROR;
    if (text.s.len > REGEX_MAX_TEXT) {
        (void)cel_fail(f, "matches() takes texts of at most 1024 bytes");
        return CEL_IS_ERROR;
    }
    char *const mark = f->at;
    void *room = cel_scratch(f, regex_room(s->regex));
    if (!room)
        return CEL_IS_ERROR;
    const bool is_match = regex_search(s->regex, text.s, room);
    f->at = mark;
    return is_match ? CEL_IS_TRUE : CEL_IS_FALSE;
}

/* --- logic --- */

/* && where `stop` is false, || where it is true: one that stops decides, whatever the others did or
 * could not; else an error is an error (cel-spec, langdef, "Logical Operators"). */
static enum cel_outcome judge_chain(const struct cel_step *s, struct cel_frame *f,
                                    enum cel_outcome stop)
{
    const struct cel_notes before = f->notes;
    bool has_error = false;
    for (uint32_t i = 0; i < s->count; i++) {
        const enum cel_outcome outcome = judge(s->args[i], f);
        if (outcome == stop) {
            f->notes = before;
            return stop;
        }
        has_error = has_error || outcome == CEL_IS_ERROR;
    }
    return has_error ? CEL_IS_ERROR : stop == CEL_IS_TRUE ? CEL_IS_FALSE : CEL_IS_TRUE;
}

static enum cel_outcome judge_has(const struct cel_step *s, struct cel_frame *f)
{
    union cel_value ignored;
    if (!has_root(f->facts, fact_names[s->fact].root)) {
        note_missing(f, (enum cel_fact)s->fact);
        return CEL_IS_ERROR;
    }
    if (read_fact(f, (enum cel_fact)s->fact, &ignored))
        return CEL_IS_TRUE;
    return f->unknown >> s->fact & 1 ? CEL_IS_ERROR : CEL_IS_FALSE;
}

/* A step whose type is bool. */
static enum cel_outcome judge(const struct cel_step *s, struct cel_frame *f)
{
    enum cel_outcome outcome;
    union cel_value a;
    union cel_value b;
    switch ((enum cel_op)s->op) {
    case OP_AND:
        return judge_chain(s, f, CEL_IS_FALSE);
    case OP_OR:
        return judge_chain(s, f, CEL_IS_TRUE);
    case OP_NOT:
        outcome = judge(s->args[0], f);
        return outcome == CEL_IS_ERROR  ? CEL_IS_ERROR
               : outcome == CEL_IS_TRUE ? CEL_IS_FALSE
                                        : CEL_IS_TRUE;
    case OP_HAS:
        return judge_has(s, f);
    case OP_HAS_NAMED:
        return judge_has_named(s, f);
    case OP_EXISTS:
        return judge_loop(s, f, CEL_IS_TRUE);
    case OP_ALL:
        return judge_loop(s, f, CEL_IS_FALSE);
    case OP_EXISTS_ONE:
        return judge_exists_one(s, f);
    case OP_MATCHES:
        return judge_matches(s, f);
    case OP_TERNARY:
        outcome = judge(s->args[0], f);
        return outcome == CEL_IS_ERROR ? CEL_IS_ERROR
                                       : judge(s->args[outcome == CEL_IS_TRUE ? 1 : 2], f);
    case OP_COMPARE:
    case OP_EQUAL_STRING:
    case OP_EQUAL:
    case OP_IN:
    case OP_IN_STRING:
    case OP_IN_SORTED:
    case OP_IN_MAP:
    case OP_STARTS:
    case OP_ENDS:
    case OP_CONTAINS:
        if (!two_values(s, f, &a, &b))
            return CEL_IS_ERROR;
        return judge_two(s, a, b) ? CEL_IS_TRUE : CEL_IS_FALSE;
    default: // gives a value, which is a bool here
        if (!cel_run_step(s, f, &a))
            return CEL_IS_ERROR;
        return a.b ? CEL_IS_TRUE : CEL_IS_FALSE;
    }
}

/* --- the door --- */

static void read_notes(const struct cel_frame *f, enum cel_outcome outcome, struct cel_run *run)
{
    run->missing = f->notes.missing;
    run->lacks_user = f->notes.lacks_user;
    run->lacks_device = f->notes.lacks_device;
    run->has_unknown = f->notes.has_unknown;
    run->error = outcome == CEL_IS_ERROR && !f->notes.missing.len ? f->notes.error : NULL;
}

/* Apart, for the room that it takes on the stack. */
static __attribute__((noinline)) enum cel_outcome judge_with_scratch(const struct cel_step *root,
                                                                     struct cel_frame *f)
{
    char scratch[CEL_SCRATCH_BYTES]
        __attribute__((uninitialized, aligned(16))); // written before read
    f->at = scratch;
    f->end = scratch + sizeof scratch;
    return judge(root, f);
}

enum cel_outcome cel_test(const struct cel *c, const struct facts *facts, struct cel_run *run)
{
    struct cel_frame f;
    f.facts = facts;
    f.assume_acr_level = run->assume_acr_level;
    f.unknown = run->unknown;
    f.notes = (struct cel_notes){.lacks_user = false};
    f.at = f.end = NULL;
    f.arena = NULL;
    const enum cel_outcome outcome =
        c->needs_scratch ? judge_with_scratch(c->root, &f) : judge(c->root, &f);
    read_notes(&f, outcome, run);
    return outcome;
}

bool cel_run_value(const struct cel *c, const struct facts *facts, struct arena *a,
                   struct cel_run *run, union cel_value *out)
{
    char *scratch = arena_alloc(a, CEL_SCRATCH_BYTES);
    struct cel_frame f = {.facts = facts,
                          .unknown = run->unknown,
                          .assume_acr_level = run->assume_acr_level,
                          .at = scratch,
                          .end = scratch + CEL_SCRATCH_BYTES};
    const bool is_good = cel_run_step(c->root, &f, out);
    read_notes(&f, is_good ? CEL_IS_TRUE : CEL_IS_ERROR, run);
    return is_good;
}

static struct cel *compile(struct cel_text *t, bool is_condition)
{
    if (t->text.len > CEL_MAX_TEXT_BYTES) {
        cel_error(t, 0, CEL_LIMIT, "the condition is longer than %d bytes", CEL_MAX_TEXT_BYTES);
        return NULL;
    }
    struct cel *c = arena_new(t->keep, struct cel);
    struct cel_checker checker = {.t = t, .into = c};
    const struct cel_node *node = cel_parse(t);
    if (node && is_condition) {
        c->type = cel_type_of(KIND_BOOL);
        c->root = cel_check_bool(&checker, node, "the condition");
    } else if (node) {
        c->root = cel_check(&checker, node, &c->type);
    }
    if (!c->root || t->has_failed)
        return NULL;
    const uint64_t cost = cel_cost_of(c->root);
    if (cost > CEL_MAX_COST) {
        cel_error(
            t, 0, CEL_LIMIT,
            "the condition may take %llu steps, more than %d; loops over lists of facts inside "
            "each other cost most, 'x in list' is one less",
            (unsigned long long)cost, CEL_MAX_COST);
        return NULL;
    }
    c->cost = (uint32_t)cost;
    return c;
}

struct cel *cel_compile_type(struct arena *a, const struct cel_names *names, struct slice text,
                             struct place at, struct findings *out, bool is_condition)
{
    struct arena scratch;
    arena_init(&scratch, NULL);
    struct cel_text t = {
        .text = text, .at = at, .out = out, .keep = a, .scratch = &scratch, .names = names};
    struct cel *c = compile(&t, is_condition);
    arena_fini(&scratch);
    return c;
}

struct cel *cel_compile_with(struct arena *a, const struct cel_names *names, struct slice text,
                             struct place at, struct findings *out)
{
    return cel_compile_type(a, names, text, at, out, true);
}

struct cel *cel_compile(struct arena *a, struct slice text, struct place at, struct findings *out)
{
    return cel_compile_type(a, NULL, text, at, out, true);
}

uint32_t cel_cost(const struct cel *c)
{
    return c->cost;
}
