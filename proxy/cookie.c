// SPDX-License-Identifier: EUPL-1.2
/* RFC 6265 §4.2.1 and §5.4. */
#include "proxy/cookie.h"

bool cookie_next(const struct request *r, struct cookie_walk *walk, struct slice *name,
                 struct slice *value)
{
    for (;;) {
        while (!walk->rest.len) {
            if (walk->field == r->field_count)
                return false;
            if (slice_eq(r->fields[walk->field].name, SLICE("cookie")))
                walk->rest = r->fields[walk->field].value;
            walk->field++;
        }
        struct slice pair = slice_trim(slice_cut(&walk->rest, ';'));
        const bool has_name = pair.len && memchr(pair.ptr, '=', pair.len);
        *name = slice_cut(&pair, '=');
        *value = pair;
        if (has_name)
            return true;
    }
}

struct slice cookie_get(const struct request *r, struct slice name)
{
    struct cookie_walk walk = {0};
    struct slice found = {0}, n, v;
    while (cookie_next(r, &walk, &n, &v)) {
        if (!slice_eq(n, name))
            continue;
        if (found.ptr)
            return (struct slice){0};
        found = v;
    }
    return found;
}

#define GUARD "; Path=/; Secure; HttpOnly; SameSite=Lax"

struct slice cookie_set(struct arena *a, struct slice name, struct slice value, int64_t max_age_s)
{
    if (!max_age_s)
        return arena_printf(a, "%.*s=%.*s" GUARD, SLICE_ARG(name), SLICE_ARG(value));
    return arena_printf(a, "%.*s=%.*s" GUARD "; Max-Age=%lld", SLICE_ARG(name), SLICE_ARG(value),
                        (long long)max_age_s);
}

struct slice cookie_end(struct arena *a, struct slice name)
{
    return arena_printf(a, "%.*s=" GUARD "; Max-Age=0", SLICE_ARG(name));
}
