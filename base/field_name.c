// SPDX-License-Identifier: EUPL-1.2
/* The one list of what does not pass. */
#include "base/field_name.h"

/* Sorted by nothing: looked through only where the first letter fits. Half of the names begin with
 * "x-", and hardly a field of a browser does, so they lie apart. */
struct listed {
    struct slice name;
    enum removal removal;
    bool is_prefix;
};
#define HOP(n)                                                                                     \
    {                                                                                              \
        SLICE_INIT(n), FIELD_HOP_BY_HOP, false                                                     \
    }
#define FORGED(n)                                                                                  \
    {                                                                                              \
        SLICE_INIT(n), FIELD_FORGEABLE, false                                                      \
    }
#define FORGED_ALL(n)                                                                              \
    {                                                                                              \
        SLICE_INIT(n), FIELD_FORGEABLE, true                                                       \
    }
static const struct listed listed[] = {
    /* RFC 9110 §7.6.1; Content-Length and Transfer-Encoding are written anew from the framing that
       was judged. */
    HOP("connection"),
    HOP("keep-alive"),
    HOP("proxy-connection"),
    HOP("te"),
    HOP("trailer"),
    HOP("transfer-encoding"),
    HOP("content-length"),
    HOP("upgrade"),
    HOP("proxy-authenticate"),
    HOP("proxy-authorization"),
    HOP("proxy-authentication-info"),
    HOP("http2-settings"),
    HOP("expect"),
    HOP("host"),
    /* Who one is, and where one comes from: only the gateway says so. */
    FORGED_ALL("belfry-"),
    FORGED("forwarded"),
    FORGED("true-client-ip"),
    FORGED("cf-connecting-ip"),
    FORGED("fastly-client-ip"),
    FORGED("remote-addr"),
    FORGED_ALL("client-cert"),
    FORGED_ALL("ssl-client"),
    FORGED("remote-user"),
    FORGED("auth-user"),
    FORGED_ALL("remote-"),
    FORGED_ALL("oidc-"),
    /* What makes a framework judge another request than the rules did. */
    FORGED("proxy"),
    /* Made anew. */
    FORGED("traceparent"),
    FORGED("tracestate"),
};
/* What stands behind "x-". */
static const struct listed listed_x[] = {
    /* Who one is, and where one comes from. */
    FORGED_ALL("belfry-"),
    FORGED_ALL("forwarded"),
    FORGED("real-ip"),
    FORGED("client-ip"),
    FORGED("cluster-client-ip"),
    FORGED("original-forwarded-for"),
    FORGED("original-host"),
    FORGED("originating-ip"),
    FORGED("remote-ip"),
    FORGED("remote-addr"),
    FORGED_ALL("envoy-"),
    FORGED_ALL("client-cert"),
    FORGED_ALL("ssl-"),
    FORGED_ALL("tls-client"),
    FORGED_ALL("arr-clientcert"),
    FORGED("spiffe-id"),
    FORGED("remote-user"),
    FORGED("user"),
    FORGED("auth-user"),
    FORGED("authenticated-user"),
    FORGED("webauth-user"),
    FORGED_ALL("auth-request-"),
    FORGED_ALL("ms-client-principal"),
    FORGED_ALL("goog-"),
    FORGED_ALL("amzn-oidc-"),
    /* What makes a framework judge another request than the rules did. */
    FORGED("original-url"),
    FORGED("original-uri"),
    FORGED("rewrite-url"),
    FORGED("http-method"),
    FORGED("http-method-override"),
    FORGED("method-override"),
    FORGED("host"),
    FORGED("script-name"),
    FORGED("accel-redirect"),
    FORGED("sendfile"),
    FORGED("middleware-subrequest"),
};

struct slice field_fold(struct slice name, char room[FIELD_NAME_MAX_FOLDED])
{
    size_t n = name.len < FIELD_NAME_MAX_FOLDED ? name.len : FIELD_NAME_MAX_FOLDED;
    for (size_t i = 0; i < n; i++) {
        char c = ascii_lower(name.ptr[i]);
        room[i] = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? c : '-';
    }
    return (struct slice){room, n};
}

static enum removal removal_in(const struct listed *list, size_t count, struct slice name)
{
    for (const struct listed *l = list; name.len && l < list + count; l++) {
        if (l->name.ptr[0] != name.ptr[0])
            continue; /* most end here: names differ by their first letter */
        if (l->is_prefix ? slice_starts(name, l->name) : slice_eq(name, l->name))
            return l->removal;
    }
    return FIELD_STAYS;
}

enum removal field_removal(struct slice name)
{
    char room[FIELD_NAME_MAX_FOLDED];
    struct slice folded = field_fold(name, room);
    if (slice_starts(folded, SLICE("x-")))
        return removal_in(listed_x, sizeof listed_x / sizeof *listed_x, slice_skip(folded, 2));
    return removal_in(listed, sizeof listed / sizeof *listed, folded);
}
