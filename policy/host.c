// SPDX-License-Identifier: EUPL-1.2
/* Host names by RFC 1123 §2.1 and RFC 5890's LDH, read in one pass.
 * Owns: the one canonical spelling of a host and the meaning of "*.". What is refused here can be
 * routed nowhere: there is no second reading of a name anywhere in the house. */
#include "policy/host.h"

#define LABEL_MAX 63 /* RFC 1035 §2.3.4 */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool label_is_good(struct slice label)
{
    if (!label.len || label.len > LABEL_MAX || label.ptr[0] == '-' ||
        label.ptr[label.len - 1] == '-')
        return false;
    for (size_t i = 0; i < label.len; i++) {
        char c = ascii_lower(label.ptr[i]);
        if (!(c >= 'a' && c <= 'z') && !is_digit(c) && c != '-')
            return false;
    }
    return true;
}

static bool is_all_digits(struct slice label)
{
    for (size_t i = 0; i < label.len; i++)
        if (!is_digit(label.ptr[i]))
            return false;
    return true;
}

static bool name_is_good(struct slice name)
{
    struct slice label = {0};
    /* slice_cut can't tell "a." from "a": a dot at either end is an empty label. */
    if (!name.len || name.len > HOST_MAX || name.ptr[0] == '.' || name.ptr[name.len - 1] == '.')
        return false;
    while (name.len) {
        label = slice_cut(&name, '.');
        if (!label_is_good(label))
            return false;
    }
    return !is_all_digits(label); /* "10.0.0.1", and "1" which resolvers read as 0.0.0.1 */
}

static struct slice lower_into(char *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        out[i] = ascii_lower(text.ptr[i]);
    return (struct slice){out, text.len};
}

static struct slice without_root(struct slice name)
{
    if (name.len && name.ptr[name.len - 1] == '.')
        name.len--;
    return name;
}

bool host_parse(struct slice text, char out[HOST_MAX], struct slice *host, uint16_t *port)
{
    struct slice rest = text;
    struct slice name = slice_cut(&rest, ':');
    uint64_t number = 0;
    if (name.len != text.len &&
        (!rest.len || rest.ptr[0] == '0' || !slice_u64(rest, UINT16_MAX, &number)))
        return false;
    name = without_root(name);
    if (!name_is_good(name))
        return false;
    *host = lower_into(out, name);
    *port = (uint16_t)number;
    return true;
}

static bool is_wildcard(struct slice pattern)
{
    return slice_starts(pattern, SLICE("*."));
}

bool host_matches(struct slice pattern, struct slice host)
{
    if (!is_wildcard(pattern))
        return slice_eq(pattern, host);
    struct slice label = slice_cut(&host, '.');
    return label.len && slice_eq(slice_skip(pattern, 2), host);
}

bool host_overlaps(struct slice a, struct slice b)
{
    if (is_wildcard(a) == is_wildcard(b))
        return slice_eq(a,
                        b); /* a wildcard is one label: "*.b.c" and "*.c" have no host in common */
    return is_wildcard(a) ? host_matches(a, b) : host_matches(b, a);
}

bool host_pattern_parse(struct slice text, char out[HOST_MAX], struct slice *pattern)
{
    size_t star = is_wildcard(text) ? 2 : 0;
    struct slice name = without_root(slice_skip(text, star));
    if (!name_is_good(name) || name.len + star > HOST_MAX)
        return false;
    if (star)
        memcpy(out, "*.", 2);
    (void)lower_into(out + star, name);
    *pattern = (struct slice){out, name.len + star};
    return true;
}
