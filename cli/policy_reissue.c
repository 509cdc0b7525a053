// SPDX-License-Identifier: EUPL-1.2
/* `belfry policy renew` and `roll-back`. There is no going back to an old document: its content is
 * signed again under a new serial, so that nobody can do it without a key. */
#include <stdio.h>

#include "base/fault.h"
#include "base/mem.h"
#include "cli/policy_desk.h"
#include "cli/policy_in.h"
#include "policy/reissue.h"

/* The text of `from` under the serial behind `last`, signed, and published or kept as a draft. */
static int reissue(const struct desk *d, struct desk_options *o, const struct paper *from,
                   int64_t last)
{
    struct slice text;
    struct findings findings;
    struct paper next = {.serial = 0};
    findings_init(&findings);
    const bool is_made =
        document_reissue(from->envelope.payload, o->words[0], last + 1,
                         o->not_after ? slice_of(o->not_after) : SLICE(""), &text, &findings);
    int code = policy_conclude(&findings, stderr);
    if (!is_made)
        return EXIT_REFUSED;
    /* Read as from a file of no folder: what was published names none. */
    code = paper_from_text(&next, text, o->words[0]);
    mem_slice_free(&text);
    if (code == EXIT_OK)
        code = paper_test(&next, d->charter);
    if (code == EXIT_OK)
        code = desk_publish_or_keep(d, &o->signers, &next);
    paper_fini(&next);
    return code;
}

static int no_document(const char *name)
{
    (void)fprintf(stderr, "belfry policy: the store has no document of '%s'\n", name);
    return EXIT_REFUSED;
}

static int renew(const struct desk *d, struct desk_options *o)
{
    struct paper now;
    int code = desk_take(d, STORE_DOCUMENT, o->words[0], &now);
    if (code == EXIT_OK)
        code = now.bytes.len ? reissue(d, o, &now, now.serial) : no_document(o->words[0]);
    paper_fini(&now);
    return code;
}

/* Looks for the serial in the history. The store may show what never was published: so a key that
 * is known must have signed it. */
static int find_old(const struct desk *d, const char *name, uint64_t serial, struct paper *out)
{
    struct fault f;
    for (uint32_t i = 0; i < STORE_HISTORY; i++) {
        struct slice bytes;
        if (!store_get_old(d->store, desk_entity(name), i, &bytes, &f))
            return policy_trouble(&f);
        const bool is_last = !bytes.len;
        int code = is_last ? EXIT_REFUSED : paper_from_bytes(out, bytes, name);
        mem_slice_free(&bytes);
        if (is_last)
            break;
        if (code == EXIT_OK && out->serial == (int64_t)serial &&
            slice_eq(out->entity, desk_entity(name)) && desk_knows(d, out))
            return EXIT_OK;
        if (code == EXIT_OK)
            paper_fini(out);
    }
    (void)fprintf(
        stderr,
        "belfry policy: the history of '%s' holds no document of serial %llu by a known key\n",
        name, (unsigned long long)serial);
    return EXIT_REFUSED;
}

static int roll_back(const struct desk *d, struct desk_options *o)
{
    struct paper now, old = {.serial = 0};
    uint64_t serial = 0;
    if (!slice_u64(slice_of(o->to), (uint64_t)SERIAL_MAX, &serial))
        return policy_usage("roll-back");
    int code = desk_take(d, STORE_DOCUMENT, o->words[0], &now);
    if (code == EXIT_OK && !now.bytes.len)
        code = no_document(o->words[0]);
    if (code == EXIT_OK)
        code = find_old(d, o->words[0], serial, &old);
    if (code == EXIT_OK)
        code = reissue(d, o, &old, now.serial);
    paper_fini(&old);
    paper_fini(&now);
    return code;
}

static int run(const char *verb, unsigned taken, int argc, char **argv,
               int (*work)(const struct desk *d, struct desk_options *o))
{
    struct desk_options o = {.word_count = 0};
    struct desk d;
    const bool renews = taken == (DESK_STORE | DESK_KEYS | DESK_NOT_AFTER);
    if (!desk_options_read(&o, taken, argc, argv) || o.word_count != 1 || !o.signers.count ||
        (!o.config_path && !o.store_url) || (renews ? !o.not_after : !o.to))
        return policy_usage(verb);
    int code = desk_open(&d, &o);
    if (code == EXIT_OK) {
        code = work(&d, &o);
        desk_close(&d);
    }
    return code;
}

int verb_renew(int argc, char **argv)
{
    return run("renew", DESK_STORE | DESK_KEYS | DESK_NOT_AFTER, argc, argv, renew);
}

int verb_roll_back(int argc, char **argv)
{
    return run("roll-back", DESK_STORE | DESK_KEYS | DESK_NOT_AFTER | DESK_TO, argc, argv,
               roll_back);
}
