// SPDX-License-Identifier: EUPL-1.2
/* Read once, here: a URL that two readers take apart in two ways leads to two hosts. */
#include "policy/url.h"

const char *url_fault(struct slice url, unsigned may, char room[HOST_MAX], struct slice *host)
{
    const bool is_http = (may & URL_MAY_HTTP) && slice_starts(url, SLICE("http://"));
    const struct slice scheme = is_http ? SLICE("http://") : SLICE("https://");
    uint16_t port;
    for (size_t i = 0; i < url.len; i++)
        if (url.ptr[i] <= ' ' || url.ptr[i] > '~' || strchr("\"<>\\^`{|}", url.ptr[i]))
            return "holds a character that no URL holds";
    if (!slice_starts(url, scheme))
        return may & URL_MAY_HTTP ? "must begin with https:// or http://"
                                  : "must begin with https://";
    if (memchr(url.ptr, '#', url.len))
        return "must not have a fragment ('#')";
    if (!(may & URL_MAY_QUERY) && memchr(url.ptr, '?', url.len))
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
