// SPDX-License-Identifier: EUPL-1.2
/* /.belfry/jwks.json, and the same at /.well-known/belfry/jwks.json (RFC 8615): the public keys
 * under which this entity's assertions are signed (RFC 7517). All else that is well known is the
 * application's. */
#include "proxy/own.h"

bool own_is(const struct exchange *x)
{
    const struct path *p = &x->request.path;
    if (p->segment_count && slice_eq_nocase(p->segments[0], SLICE(".belfry")))
        return true;
    return p->segment_count > 1 && slice_eq_nocase(p->segments[0], SLICE(".well-known")) &&
           slice_eq_nocase(p->segments[1], SLICE("belfry"));
}

bool own_answer(struct exchange *x)
{
    static const struct field fields[] = {
        {SLICE_INIT("content-type"), SLICE_INIT("application/jwk-set+json")},
        {SLICE_INIT("cache-control"), SLICE_INIT("public, max-age=300")},
        {SLICE_INIT("x-content-type-options"), SLICE_INIT("nosniff")},
    };
    const uint32_t count = sizeof fields / sizeof *fields;
    enum method m = x->request.method;
    struct slice keys = keyring_jwks(x->held->edition->keyring, x->facts.app->entity);
    const struct slice path = x->request.path.canonical;
    if ((!slice_eq(path, SLICE("/.belfry/jwks.json")) &&
         !slice_eq(path, SLICE("/.well-known/belfry/jwks.json"))) ||
        (m != METHOD_GET && m != METHOD_HEAD))
        return false;
    x->response = (struct response){
        .status = 200, .field_count = count + 2, .has_body = m == METHOD_GET, .length = keys.len};
    x->response.fields = arena_array(&x->arena, struct field, count + 2);
    memcpy(x->response.fields, fields, sizeof fields);
    x->response.fields[count] =
        (struct field){SLICE("content-length"), arena_printf(&x->arena, "%zu", keys.len)};
    x->response.fields[count + 1] =
        (struct field){SLICE("date"), worker_date(x->worker, &x->arena)};
    x->answer = m == METHOD_GET ? keys : (struct slice){0};
    x->up_stopped = true;
    return true;
}
