// SPDX-License-Identifier: EUPL-1.2
/* How the gateway shows a provider that it is the client that it says (RFC 6749 §2.3): by a secret
 * or by a key of its own. A bundle names either only by reference; the files are the operator's, in
 * SECRETS_DIR/ENTITY/NAME, and are read anew each time, so that a new one counts at once. Blocks on
 * a local file: not for workers. */
#pragma once

#include "base/buf.h"
#include "base/secret.h"
#include "belfry/wall.h"
#include "policy/bundle.h"

/* The file's bytes without the line end behind them. False with a fault: not there, empty, longer
 * than 16 KiB, or readable by others. */
MUST_USE bool client_secret_read(struct secret *out, const char *secrets_dir, struct slice entity,
                                 struct slice name, struct fault *f);

/* What a POST carries for it: with a secret the field `out_field` ("Authorization: Basic ...", RFC
 * 6749 §2.3.1), which is empty otherwise; with a key `client_id`, `client_assertion_type` and
 * `client_assertion` (RFC 7523 §2.2) behind what `form` holds. `audience`: the provider's issuer or
 * the endpoint asked. The caller ends both with secret_fini and wipes the form. */
MUST_USE bool client_prove(const struct client *c, const char *secrets_dir, struct slice entity,
                           struct slice audience, struct wall now, struct secret *out_field,
                           struct buf *form, struct fault *f);

/* "name=value" behind what the form holds, with "&" before it where there is something. */
MUST_USE bool form_add(struct buf *form, const char *name, struct slice value);
