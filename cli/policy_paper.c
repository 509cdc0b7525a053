// SPDX-License-Identifier: EUPL-1.2
/* A document on the table, from a file or from the store.
 * Owns: that what is signed is what was checked: the payload is loaded without a folder, as a
 * gateway will, after named files were put in. */
#include <time.h>

#include "base/codec.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "cli/policy_desk.h"
#include "cli/policy_in.h"
#include "policy/compile.h"
#include "policy/policy_test.h"
#include "policy/review.h"

void paper_fini(struct paper *p)
{
    bundle_free(p->bundle);
    charter_free(p->charter);
    mem_slice_free(&p->bytes);
    mem_slice_free(&p->entity);
    mem_slice_free(&p->drafted);
    *p = (struct paper){.serial = 0};
}

static bool read_charter(struct paper *p, const char *name, struct findings *f)
{
    p->kind = DOCUMENT_CHARTER;
    p->charter = charter_load(p->envelope.payload, name, f);
    if (!p->charter)
        return false;
    p->serial = p->charter->serial;
    p->not_after_s = p->charter->not_after_s;
    p->entity = mem_slice(SLICE(""));
    charter_review(p->charter, policy_now(), f);
    return true;
}

static bool read_bundle(struct paper *p, const char *name, struct findings *f)
{
    p->kind = DOCUMENT_BUNDLE;
    p->bundle = bundle_load(p->envelope.payload, name, SLICE(""), f);
    if (!p->bundle)
        return false;
    p->serial = p->bundle->serial;
    p->not_after_s = p->bundle->not_after_s;
    p->entity = mem_slice(p->bundle->name);
    bundle_compile(p->bundle);
    bundle_review(p->bundle, policy_now(), f);
    return true;
}

/* Warnings are for the author of a text, not for whoever reads what is published. */
static int read_payload(struct paper *p, const char *name, bool tells_warnings)
{
    struct findings f;
    findings_init(&f);
    const bool is_good = policy_is_charter(p->envelope.payload) ? read_charter(p, name, &f)
                                                                : read_bundle(p, name, &f);
    if (is_good && !tells_warnings) {
        findings_fini(&f);
        return EXIT_OK;
    }
    const int code = policy_conclude(&f, stderr);
    return is_good ? code : EXIT_REFUSED;
}

static int open_envelope(struct paper *p, const char *name)
{
    struct fault f;
    if (envelope_open(&p->envelope, p->bytes, &f))
        return read_payload(p, name, false);
    (void)fault_within(&f, "%s", name);
    return policy_trouble(&f);
}

int paper_from_bytes(struct paper *out, struct slice bytes, const char *name)
{
    *out = (struct paper){.bytes = mem_slice(bytes)};
    const int code = open_envelope(out, name);
    if (code != EXIT_OK)
        paper_fini(out);
    return code;
}

int paper_from_text(struct paper *out, struct slice text, const char *name)
{
    *out = (struct paper){.bytes = mem_slice(text)};
    out->envelope = (struct envelope){.payload = out->bytes};
    const int code = read_payload(out, name, false);
    if (code != EXIT_OK)
        paper_fini(out);
    return code;
}

/* YAML as its author writes it becomes the text that is signed. */
static int put_files_in(struct paper *p, const char *path)
{
    struct slice whole;
    struct findings f;
    findings_init(&f);
    if (policy_is_charter(p->bytes))
        return EXIT_OK;
    const bool is_good = bundle_inline(p->bytes, path, policy_folder(path), &whole, &f);
    const int code = policy_conclude(&f, stderr);
    if (!is_good)
        return code == EXIT_OK ? EXIT_REFUSED : code;
    mem_slice_free(&p->bytes);
    p->bytes = whole;
    return EXIT_OK;
}

int paper_from_file(struct paper *out, const char *path)
{
    struct fault f;
    int code;
    *out = (struct paper){.serial = 0};
    if (!file_read(&out->bytes, path, ENVELOPE_MAX_BYTES, &f))
        return policy_trouble(&f);
    if (slice_starts(out->bytes, SLICE("belfry-signed/"))) {
        code = open_envelope(out, path);
    } else if ((code = put_files_in(out, path)) == EXIT_OK) {
        out->envelope = (struct envelope){.payload = out->bytes};
        code = read_payload(out, path, true);
    }
    if (code != EXIT_OK)
        paper_fini(out);
    return code;
}

int paper_test(const struct paper *p, const struct charter *charter)
{
    struct findings f;
    if (p->kind != DOCUMENT_BUNDLE)
        return EXIT_OK;
    findings_init(&f);
    const bool is_good =
        policy_test_run(p->bundle, charter ? &charter->baseline : NULL, policy_now(), &f, NULL);
    const int code = policy_conclude(&f, stderr);
    return is_good ? code : EXIT_REFUSED;
}

void paper_digest(const struct paper *p, char out[PAPER_DIGEST_CHARS + 1])
{
    uint8_t digest[SHA256_BYTES];
    sha256(digest, p->envelope.payload);
    hex_encode(out, digest, PAPER_DIGEST_CHARS / 2);
    out[PAPER_DIGEST_CHARS] = '\0';
}

const char *desk_time(char out[DESK_TIME_CHARS + 1], int64_t at_s)
{
    struct tm utc;
    const time_t at = at_s;
    if (!gmtime_r(&at, &utc) ||
        strftime(out, DESK_TIME_CHARS + 1, "%Y-%m-%dT%H:%M:%SZ", &utc) != DESK_TIME_CHARS)
        (void)snprintf(out, DESK_TIME_CHARS + 1, "?");
    return out;
}
