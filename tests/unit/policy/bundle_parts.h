// SPDX-License-Identifier: EUPL-1.2
/* What tests of bundles begin with: the heads of documents, each a line longer than the last, and a
 * folder with the files that they name. Certificates are made at run time. */
#pragma once

#include <openssl/evp.h>

#include "policy/bundle.h"

#define HEAD                                                                                       \
    "belfry: entity/v1\nentity: e\nserial: 1\nnot_after: 2027-01-01T00:00:00Z\n" /* 4 lines */
#define NO_APPS HEAD "applications: []\n"                                        /* 5 */
#define PROVIDER                                                                                   \
    NO_APPS                                                                                        \
    "identity_providers:\n  - id: a\n    issuer: https://a.example\n    audiences: [x]\n" /* 9     \
                                                                                           */
#define AUTHORITY                                                                                  \
    NO_APPS                                                                                        \
    "device_authorities:\n  - id: a\n    trust: managed\n    device_name: subject.CN\n" /* 9       \
                                                                                         */
#define APP HEAD "applications:\n  - id: a\n    host: a.example\n    device: none\n"    /* 8 */
#define UP APP "    upstreams: [http://127.0.0.1:1]\n"                                  /* 9 */
#define RULES UP "    rules:\n"                                                         /* 10 */
#define RULE RULES "      - id: r\n        when: 'true'\n"                              /* 12 */
#define TESTS NO_APPS "tests:\n  - name: t\n"                                           /* 7 */

struct recipe {
    const char *constraints; /* of basicConstraints; NULL: none */
    const char *key_usage;
    const EVP_MD *digest;
    unsigned rsa_bits; /* 0: P-256 */
};

extern const struct recipe good_ca;
/* A self-signed certificate in PEM; the caller frees. */
struct slice make_pem(struct recipe r);

/* A folder with ca.pem and keys.json, gone at the end. */
struct folder {
    char path[64];
};

struct folder folder_new(void);
void folder_free(const struct folder *f);
void folder_put(const struct folder *f, const char *name, struct slice text);

/* Into findings of its own; NULL where there is an error. `dir`: where named files are. */
struct bundle *bundle_from(const char *text, const char *dir, struct findings *out);
