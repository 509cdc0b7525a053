// SPDX-License-Identifier: EUPL-1.2
/* A grammar of two lists of letters. What is not in it (a port, a user, an escape, a query) can't
 * be there, so nothing has to be looked for. */
#include "auth/spiffe.h"

#define TRUST_DOMAIN_MAX_BYTES 255 /* §2.1 */

/* Lower-case letters, digits, '.', '-' and '_'. */
static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

static bool is_trust_domain(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!is_letter(text.ptr[i]))
            return false;
    return text.len && text.len <= TRUST_DOMAIN_MAX_BYTES;
}

/* §2.2: no segment is empty or leads elsewhere. */
static bool is_segment(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!is_letter(ascii_lower(text.ptr[i])))
            return false;
    return text.len && !slice_eq(text, SLICE(".")) && !slice_eq(text, SLICE(".."));
}

bool spiffe_id_read(struct slice id, struct slice *trust_domain)
{
    const struct slice scheme = SLICE("spiffe://");
    if (id.len > SPIFFE_ID_MAX_BYTES || !slice_starts(id, scheme) || id.ptr[id.len - 1] == '/')
        return false;
    struct slice path = slice_skip(id, scheme.len);
    const struct slice domain = slice_cut(&path, '/');
    if (!is_trust_domain(domain) || !path.len)
        return false;
    while (path.len)
        if (!is_segment(slice_cut(&path, '/')))
            return false;
    *trust_domain = domain;
    return true;
}
