// SPDX-License-Identifier: EUPL-1.2
/* Charter against bundle, a question at a time. Whatever the bundle says is judged here before it
 * is reachable; where a fetch or a connection really leads is checked again when it is made. */
#include "policy/delegation.h"

#include "base/fault.h"
#include "policy/url.h"

bool charter_key_is_valid(const struct charter_key *k, struct wall now)
{
    return now.s >= k->not_before_s && now.s <= k->not_after_s;
}

uint32_t delegation_keys(const struct charter_entity *e, struct wall now, struct envelope_key *out)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < e->key_count; i++)
        if (charter_key_is_valid(&e->keys[i], now))
            out[count++] = e->keys[i].key;
    return count;
}

static bool some_pattern_has(const struct slices *patterns, struct slice host)
{
    for (uint32_t i = 0; i < patterns->count; i++)
        if (host_matches(patterns->at[i], host))
            return true;
    return false;
}

/* Where a name leads is asked of each address when it is connected to; with no network at all it
 * could lead nowhere. */
static bool has_upstream(const struct charter_entity *e, const struct upstream *u)
{
    if (u->host.len)
        return e->upstream_network_count > 0;
    return network_list_has(e->upstream_networks, e->upstream_network_count,
                            (const struct sockaddr *)&u->address);
}

static bool has_url(const struct charter_entity *e, struct slice url, unsigned may, struct fault *f)
{
    char room[HOST_MAX];
    struct slice host;
    const char *fault = url_fault(url, may, room, &host);
    if (fault)
        return fault_set(f, FAULT_TRUST, "'%.*s' %s", SLICE_ARG(url), fault);
    return some_pattern_has(&e->fetch_hosts, host) ||
           fault_set(f, FAULT_TRUST,
                     "the host of '%.*s' is not in the fetch_hosts of entity '%.*s'",
                     SLICE_ARG(url), SLICE_ARG(e->id));
}

bool delegation_has_url(const struct charter_entity *e, struct slice url, struct fault *f)
{
    return has_url(e, url, URL_MAY_QUERY, f);
}

bool delegation_has_status_url(const struct charter_entity *e, struct slice url, struct fault *f)
{
    return has_url(e, url, URL_MAY_QUERY | URL_MAY_HTTP, f);
}

static bool has_authority(const struct charter_entity *e, const struct authority *a,
                          struct fault *f)
{
    const struct revocation *r = &a->revocation;
    bool is_inside = !r->ocsp.len || delegation_has_status_url(e, r->ocsp, f);
    for (uint32_t i = 0; is_inside && i < r->crl.count; i++)
        is_inside = delegation_has_status_url(e, r->crl.at[i], f);
    return is_inside || fault_within(f, "device authority '%.*s'", SLICE_ARG(a->id));
}

/* Where the bundle holds the keys themselves and nobody signs in, nothing is fetched, and the
 * issuer is only a name. */
static bool has_provider(const struct charter_entity *e, const struct provider *p, struct fault *f)
{
    const bool is_name = p->jwks.len && !p->sign_in.client.id.len;
    if (p->introspection.endpoint.len && !delegation_has_url(e, p->introspection.endpoint, f))
        return fault_within(f, "introspection of identity provider '%.*s'", SLICE_ARG(p->id));
    if (is_name || ((!p->issuer.len || delegation_has_url(e, p->issuer, f)) &&
                    (!p->jwks_uri.len || delegation_has_url(e, p->jwks_uri, f))))
        return true;
    return fault_within(f, "identity provider '%.*s'", SLICE_ARG(p->id));
}

static bool has_host(const struct charter_entity *e, const struct application *app, struct fault *f)
{
    return some_pattern_has(&e->hosts, app->host) ||
           fault_set(f, FAULT_TRUST,
                     "application '%.*s' has the host '%.*s', which is not delegated to entity "
                     "'%.*s'",
                     SLICE_ARG(app->id), SLICE_ARG(app->host), SLICE_ARG(e->id));
}

static bool has_upstream_of(const struct charter_entity *e, const struct application *app,
                            const struct upstream *u, struct fault *f)
{
    return has_upstream(e, u) ||
           fault_set(f, FAULT_TRUST,
                     "application '%.*s' has the upstream '%.*s', which is outside the "
                     "upstream_networks of entity '%.*s'",
                     SLICE_ARG(app->id), SLICE_ARG(u->text), SLICE_ARG(e->id));
}

bool delegation_has_application(const struct charter_entity *e, const struct application *app,
                                struct fault *f)
{
    if (!has_host(e, app, f))
        return false;
    for (uint32_t i = 0; i < app->upstream_count; i++)
        if (!has_upstream_of(e, app, &app->upstreams[i], f))
            return false;
    for (uint32_t i = 0; i < app->provider_count; i++)
        if (!has_provider(e, app->providers[i], f))
            return false;
    return true;
}

static bool has_room(const struct charter_entity *e, const struct bundle *b, struct fault *f)
{
    uint64_t rules = 0;
    for (uint32_t i = 0; i < b->application_count; i++)
        rules += b->applications[i].rule_count;
    if (b->application_count > e->max_applications)
        return fault_set(f, FAULT_TRUST, "%u applications, but entity '%.*s' may have %u",
                         b->application_count, SLICE_ARG(e->id), e->max_applications);
    return rules <= e->max_rules ||
           fault_set(f, FAULT_TRUST, "%llu rules, but entity '%.*s' may have %u",
                     (unsigned long long)rules, SLICE_ARG(e->id), e->max_rules);
}

static void tell(bool is_given, const struct fault *f, struct place at, struct findings *out)
{
    if (!is_given)
        findings_error(out, at, "not-delegated", "%s", f->text);
}

void delegation_review(const struct charter_entity *e, const struct bundle *b,
                       struct place document, struct findings *out)
{
    struct fault f;
    tell(has_room(e, b, &f), &f, document, out);
    for (uint32_t i = 0; i < b->provider_count; i++)
        tell(has_provider(e, &b->providers[i], &f), &f, document, out);
    for (uint32_t i = 0; i < b->authority_count; i++)
        tell(has_authority(e, &b->authorities[i], &f), &f, document, out);
    for (uint32_t i = 0; i < b->application_count; i++) {
        const struct application *app = &b->applications[i];
        tell(has_host(e, app, &f), &f, app->place, out);
        for (uint32_t k = 0; k < app->upstream_count; k++)
            tell(has_upstream_of(e, app, &app->upstreams[k], &f), &f, app->place, out);
    }
}

bool delegation_has_bundle(const struct charter_entity *e, const struct bundle *b, struct fault *f)
{
    struct findings found;
    findings_init(&found);
    delegation_review(e, b, (struct place){0}, &found);
    const bool has_all = !found.errors;
    if (!has_all)
        (void)fault_set(f, FAULT_TRUST, "%s", found.at[0].text);
    findings_fini(&found);
    return has_all;
}
