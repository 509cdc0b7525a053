// SPDX-License-Identifier: EUPL-1.2
/* `belfry policy sign` and `publish`. One person writes and signs, another reads and signs; what
 * enough of them have signed is published. Between them it lies in a file, or in the store. What
 * lies in the store may have been put there by anybody: so who signs it names the digest of what he
 * read. */
#include <stdio.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/policy_desk.h"
#include "cli/policy_in.h"

#define DRAFT_MODE 0644

static bool has_store(const struct desk_options *o)
{
    return o->config_path || o->store_url;
}

/* Whether the draft is the one that was read. */
static bool is_what_was_read(const struct paper *p, const char *digest, struct fault *f)
{
    char is[PAPER_DIGEST_CHARS + 1];
    paper_digest(p, is);
    return strcmp(is, digest) == 0 ||
           fault_set(f, FAULT_TRUST, "the draft's digest is %s, not '%s': read it again", is,
                     digest);
}

static int take_draft(const struct desk *d, const struct desk_options *o, struct paper *p)
{
    struct fault f;
    const int code = desk_take(d, STORE_DRAFT, o->draft, p);
    if (code != EXIT_OK)
        return code;
    if (!p->bytes.len)
        (void)fault_set(&f, FAULT_CONFIG, "the store has no draft of '%s'", o->draft);
    else if (!o->digest || is_what_was_read(p, o->digest, &f))
        return EXIT_OK;
    paper_fini(p);
    return policy_trouble(&f);
}

/* ---- sign ---- */

/* FILE.signed, where nothing else was said; a draft is signed where it lies. */
static int write_signed(const struct desk_options *o, const struct paper *p, bool was_draft)
{
    char path[4096];
    struct fault f;
    const char *to = o->out ? o->out : o->words[0];
    const bool has_suffix = !o->out && !was_draft;
    if ((size_t)snprintf(path, sizeof(path), "%s%s", to, has_suffix ? ".signed" : "") >=
        sizeof(path))
        (void)fault_set(&f, FAULT_CONFIG, "the name of the file is too long");
    else if (file_write(path, p->bytes, DRAFT_MODE, &f)) {
        char digest[PAPER_DIGEST_CHARS + 1];
        paper_digest(p, digest);
        (void)printf("%s: serial %lld, %u signatures, digest %s\n", path, (long long)p->serial,
                     p->envelope.signature_count, digest);
        return EXIT_OK;
    }
    return policy_trouble(&f);
}

static int sign_file(struct desk_options *o)
{
    struct paper p;
    struct fault f;
    int code = paper_from_file(&p, o->words[0]);
    if (code != EXIT_OK)
        return code;
    const bool was_draft = p.envelope.signature_count > 0;
    code = paper_test(&p, NULL);
    if (code == EXIT_OK)
        code = desk_sign(&o->signers, &p, &f) ? write_signed(o, &p, was_draft) : policy_trouble(&f);
    paper_fini(&p);
    return code;
}

static int sign_at_desk(const struct desk *d, struct desk_options *o)
{
    struct paper p;
    struct fault f;
    int code = o->draft ? take_draft(d, o, &p) : paper_from_file(&p, o->words[0]);
    if (code != EXIT_OK)
        return code;
    code = paper_test(&p, d->charter);
    if (code == EXIT_OK && !o->draft)
        code = desk_join(d, &p);
    if (code == EXIT_OK)
        code = desk_sign(&o->signers, &p, &f) ? desk_keep(d, &p) : policy_trouble(&f);
    paper_fini(&p);
    return code;
}

int verb_sign(int argc, char **argv)
{
    struct desk_options o = {.word_count = 0};
    struct desk d;
    if (!desk_options_read(&o, DESK_STORE | DESK_KEYS | DESK_DRAFT | DESK_DIGEST | DESK_OUT, argc,
                           argv) ||
        !o.signers.count || o.word_count != !o.draft || !o.draft != !o.digest ||
        (has_store(&o) ? o.out != NULL : o.draft != NULL))
        return policy_usage("sign");
    if (!has_store(&o))
        return sign_file(&o);
    int code = desk_open(&d, &o);
    if (code == EXIT_OK) {
        code = sign_at_desk(&d, &o);
        desk_close(&d);
    }
    return code;
}

/* ---- publish ---- */

/* What can be known here is judged here; the gateways judge all of it. */
static int judge_and_publish(const struct desk *d, const struct paper *p)
{
    struct fault why = {.code = FAULT_TRUST};
    switch (desk_judge(d, p, &why)) {
    case DESK_GOOD:
    case DESK_UNKNOWN:
        return desk_publish(d, p);
    case DESK_MISSING:
        desk_print_signatures(d, p, stderr);
        break;
    case DESK_REFUSED:
        break;
    }
    (void)fault_within(&why, "not published");
    return policy_trouble(&why);
}

static int publish_at_desk(const struct desk *d, struct desk_options *o)
{
    struct paper p;
    struct fault f;
    const char *path = o->charter ? o->charter : o->words[0];
    int code = o->draft ? take_draft(d, o, &p) : paper_from_file(&p, path);
    if (code != EXIT_OK)
        return code;
    code = paper_test(&p, d->charter);
    if (code != EXIT_OK) {
        paper_fini(&p);
        return code;
    }
    if (o->charter && p.kind != DOCUMENT_CHARTER)
        (void)fault_set(&f, FAULT_SYNTAX, "'%s' is no charter", path);
    else if (desk_sign(&o->signers, &p, &f) &&
             (p.envelope.signature_count ||
              fault_set(&f, FAULT_TRUST, "nobody has signed '%s'", path))) {
        code = judge_and_publish(d, &p);
        paper_fini(&p);
        return code;
    }
    paper_fini(&p);
    return policy_trouble(&f);
}

int verb_publish(int argc, char **argv)
{
    struct desk_options o = {.word_count = 0};
    struct desk d;
    if (!desk_options_read(&o, DESK_STORE | DESK_KEYS | DESK_DRAFT | DESK_DIGEST | DESK_CHARTER,
                           argc, argv) ||
        !has_store(&o) || o.word_count + !!o.draft + !!o.charter != 1 || (o.digest && !o.draft) ||
        (o.draft && o.signers.count && !o.digest))
        return policy_usage("publish");
    int code = desk_open(&d, &o);
    if (code == EXIT_OK) {
        code = publish_at_desk(&d, &o);
        desk_close(&d);
    }
    return code;
}
