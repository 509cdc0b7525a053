// SPDX-License-Identifier: EUPL-1.2
/* belfry check: the same functions as a start, but for sockets and threads. */
#include "proxy/examine.h"

#include <errno.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/mem.h"
#include "policy/store.h"
#include "proxy/edition.h"
#include "proxy/tls.h"

static void host_is_missing(void *owner, const struct fault *why)
{
    findings_error(owner, (struct place){0}, "host-not-served", "%s", why->text);
}

static struct snapshot *remembered(const struct config *c, struct findings *found)
{
    struct documents *documents = NULL;
    struct serials known = {0};
    struct fault fault = {0};
    struct snapshot_document *at;
    struct snapshot_input input = {.federation_keys = c->federation_keys,
                                   .federation_key_count = c->federation_key_count,
                                   .min_charter_serial = c->min_charter_serial,
                                   .known = &known,
                                   .now = {time(NULL)}};
    struct snapshot *s = NULL;
    if (!store_recall(c->state_dir.ptr, &documents, &known, &fault)) {
        findings_error(found, fault.place, "state", "%s", fault.text);
        return NULL;
    }
    at = mem_array(struct snapshot_document, documents->count + 1);
    for (uint32_t i = 0; i < documents->count; i++)
        at[i] = (struct snapshot_document){slice_of(documents->at[i].entity),
                                           documents->at[i].blob->bytes};
    input.documents = at;
    input.document_count = documents->count;
    s = snapshot_build(&input);
    for (uint32_t i = 0; i < s->status_count; i++)
        if (s->status[i].fate == FATE_REFUSED || s->status[i].fate == FATE_EXPIRED)
            findings_warn(found, s->status[i].why.place, "document", "%.*s: %s",
                          SLICE_ARG(s->status[i].entity), s->status[i].why.text);
    mem_free(at);
    documents_unref(documents);
    serials_fini(&known);
    return s;
}

/* What fetches read only when they go: a start would say nothing. */
static void examine_authorities(const struct config *c, struct findings *found)
{
    struct fault fault = {0};
    if (c->fetch_ca_file.len && access(c->fetch_ca_file.ptr, R_OK) != 0) {
        (void)fault_errno(&fault, errno, "cannot read fetch.ca_file '%s'", c->fetch_ca_file.ptr);
        findings_error(found, (struct place){0}, "cannot-read", "%s", fault.text);
    }
}

void examine(const struct config *c, struct findings *found, FILE *out)
{
    struct ticket_ring tickets;
    struct fault fault = {0};
    atomic_int alive = 0; // this one edition
    struct edition_settings settings = {
        .certificates_dir = c->certificates_dir.ptr, .keys_dir = c->keys_dir.ptr, .alive = &alive};
    struct keyring *keyring = keyring_read(c->keys_dir.ptr, (struct wall){time(NULL)}, &fault);
    struct snapshot *s;
    struct edition *e;
    examine_authorities(c, found);
    if (!keyring) {
        findings_error(found, fault.place, "keys", "%s", fault.text);
        return;
    }
    if (!ticket_ring_read(&tickets, c->keys_dir.ptr, &fault))
        findings_error(found, fault.place, "keys", "%s", fault.text);
    ticket_ring_wipe(&tickets);
    s = remembered(c, found);
    if (!s) {
        keyring_unref(keyring);
        return;
    }
    e = edition_make(s, keyring, &settings, NULL, host_is_missing, found);
    for (uint32_t i = 0; i < e->door_count; i++)
        fprintf(out, "%-40.*s %.*s / %.*s\n", SLICE_ARG(e->doors[i].app->host),
                SLICE_ARG(e->doors[i].app->entity), SLICE_ARG(e->doors[i].app->id));
    if (!e->snapshot->charter)
        fprintf(out,
                "no charter is remembered yet: the hosts are known once the store has been read\n");
    edition_unref(e);
}
