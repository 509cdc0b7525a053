// SPDX-License-Identifier: EUPL-1.2
/* Read once, here: a URL that two readers take apart in two ways leads to two hosts. */
#include "policy/url.h"

const char *url_fault(struct slice url, bool may_query, char room[HOST_MAX], struct slice *host)
{
    const struct slice scheme = SLICE("https://");
    uint16_t port;
    for (size_t i = 0; i < url.len; i++)
        if (url.ptr[i] <= ' ' || url.ptr[i] > '~' || strchr("\"<>\\^`{|}", url.ptr[i]))
            return "holds a character that no URL holds";
    if (!slice_starts(url, scheme))
        return "must begin with https://";
    if (memchr(url.ptr, '#', url.len))
        return "must not have a fragment ('#')";
    if (!may_query && memchr(url.ptr, '?', url.len))
        return "must not have a query ('?')";
    struct slice rest = slice_skip(url, scheme.len);
    struct slice authority = slice_cut(&rest, '/');
    authority = slice_cut(&authority, '?');
    if (authority.len && memchr(authority.ptr, '@', authority.len))
        return "must not hold a user name or password";
    if (!host_parse(authority, room, host, &port))
        return "must have a host name, and a port if any, behind https://";
    return NULL;
}
