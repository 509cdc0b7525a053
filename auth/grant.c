// SPDX-License-Identifier: EUPL-1.2
/* What comes from a token endpoint is bounded here, and goes on as bytes that only the provider
 * understands, but for the ID token. */
#include "auth/grant.h"

#include "auth/identity.h"
#include "base/escape.h"
#include "base/fault.h"
#include "base/jtree.h"

#define ERROR_MAX_BYTES 64 /* the longest of the specifications has 33 */
#define DESCRIPTION_MAX_BYTES 160
#define SCOPE_MAX_BYTES 8192

static enum reason mistaken(struct fault *why, const char *what)
{
    fault_set(why, FAULT_SYNTAX, "%s", what);
    return REASON_PROVIDER_MISTAKEN;
}

static struct slice shortened(struct slice text, size_t max)
{
    return text.len > max ? slice_from(text.ptr, max) : text;
}

/* The provider's own words, for our log: short, and no control in them. */
static void tell(struct fault *why, struct slice error, struct slice description)
{
    error = shortened(error, ERROR_MAX_BYTES);
    description = shortened(description, DESCRIPTION_MAX_BYTES);
    fault_set(why, FAULT_IO, "the provider says '%.*s'%s%.*s", SLICE_ARG(error),
              description.len ? ": " : "", SLICE_ARG(description));
    escape_controls(why->text, strlen(why->text));
}

enum reason grant_refusal(struct slice error, struct slice description, struct fault *why)
{
    static const struct {
        const char *error;
        enum reason reason;
    } meanings[] = {
        {"access_denied", REASON_SIGN_IN_DENIED},
        {"login_required", REASON_SIGN_IN_DENIED},
        {"interaction_required", REASON_SIGN_IN_DENIED},
        {"account_selection_required", REASON_SIGN_IN_DENIED},
        {"consent_required", REASON_SIGN_IN_DENIED},
        {"unmet_authentication_requirements", REASON_ASSURANCE_TOO_LOW},
        {"temporarily_unavailable", REASON_PROVIDER_UNAVAILABLE},
        {"server_error", REASON_PROVIDER_UNAVAILABLE},
    };
    tell(why, error, description);
    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++)
        if (slice_eq(error, slice_of(meanings[i].error)))
            return meanings[i].reason;
    return REASON_PROVIDER_MISTAKEN;
}

/* RFC 6749 Appendix A: visible ASCII. False where it is there and is something else. */
static bool credential_read(struct arena *a, const json_t *tree, const char *name, size_t max,
                            bool may_have_spaces, struct slice *out)
{
    struct slice text;
    *out = (struct slice){"", 0};
    const json_t *value = json_object_get(tree, name);
    if (!value || json_is_null(value))
        return true;
    if (!jtree_string(tree, name, &text) || text.len > max)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < (may_have_spaces ? ' ' : '!') || text.ptr[i] > '~')
            return false;
    *out = arena_copy(a, text);
    return true;
}

static enum reason success_read(struct grant *out, struct arena *a, const json_t *tree,
                                struct fault *why)
{
    struct slice type;
    if (!jtree_string(tree, "token_type", &type) || !slice_eq_nocase(type, SLICE("Bearer")))
        return mistaken(why, "the token endpoint gives no Bearer token");
    if (!credential_read(a, tree, "access_token", IDENTITY_TOKEN_MAX_BYTES, false,
                         &out->access_token) ||
        !credential_read(a, tree, "id_token", IDENTITY_TOKEN_MAX_BYTES, false, &out->id_token) ||
        !credential_read(a, tree, "refresh_token", IDENTITY_TOKEN_MAX_BYTES, false,
                         &out->refresh_token) ||
        !credential_read(a, tree, "scope", SCOPE_MAX_BYTES, true, &out->scope))
        return mistaken(why, "a token of the token endpoint is no text, or too long");
    if (!out->access_token.len)
        return mistaken(why, "the token endpoint gives no access token");
    return REASON_PERMITTED;
}

static enum reason failure_read(const json_t *tree, int status, struct fault *why)
{
    struct slice error;
    struct slice description = {"", 0};
    if (status == 429 || status >= 500) {
        fault_set(why, FAULT_IO, "the token endpoint answers with status %d", status);
        return REASON_PROVIDER_UNAVAILABLE;
    }
    if (!tree || !jtree_string(tree, "error", &error)) {
        fault_set(why, FAULT_SYNTAX, "the token endpoint answers with status %d and no error",
                  status);
        return REASON_PROVIDER_MISTAKEN;
    }
    if (!jtree_string(tree, "error_description", &description))
        description = (struct slice){"", 0};
    if (slice_eq(error, SLICE("invalid_grant"))) {
        tell(why, error, description);
        return REASON_SIGN_IN_EXPIRED;
    }
    return grant_refusal(error, description, why);
}

enum reason grant_read(struct grant *out, struct arena *a, int status, struct slice body,
                       struct fault *why)
{
    json_t *tree = jtree_parse(body);
    *out = (struct grant){0};
    enum reason reason = REASON_PROVIDER_MISTAKEN;
    if (status != 200)
        reason = failure_read(tree, status, why);
    else if (!tree)
        fault_set(why, FAULT_SYNTAX, "the token endpoint's answer is no JSON object");
    else
        reason = success_read(out, a, tree, why);
    json_decref(tree);
    return reason;
}
