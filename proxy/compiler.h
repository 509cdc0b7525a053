// SPDX-License-Identifier: EUPL-1.2
/* The compiler's thread: signed documents become an edition. Verifying, loading, compiling and
 * making TLS contexts take as long as they take; the control thread's loop does not wait for them.
 * One job at a time, the newest wins. What is to be remembered is on disk before it is activated.
 */
#pragma once

#include "policy/documents.h"
#include "proxy/config.h"
#include "proxy/edition.h"

struct compiler;

/* What came of a job; handed over on the compiler's thread, so the hook posts it on. */
struct compiled {
    struct edition
        *edition; /* owned by the receiver; NULL: nothing new is activated, `why` says why */
    struct fault why;
    bool is_reload;              /* the job took over another configuration */
    const struct config *config; /* the one it was made by */
    uint32_t refused;            /* documents that were not activated; each has been logged */
};
struct compiler_hook {
    void (*made)(void *owner, const struct compiled *c);
    void *owner;
};

/* `known` is what state_dir remembers of serials; its contents are taken. `alive` counts the
 * editions that there are, and outlives them. */
struct compiler *compiler_start(const struct config *config, struct serials *take_known,
                                atomic_int *alive, struct compiler_hook hook, struct fault *f);
/* What state_dir holds; once, before any other documents. It is compiled first, however soon the
 * store speaks: what a store that lies has is refused, and then something good must be there to
 * stay. The reference is taken. */
void compiler_remembered(struct compiler *c, struct documents *take);
/* From the control thread. The documents' reference is taken. */
void compiler_documents(struct compiler *c, struct documents *take);
/* Compiles the last documents again, by another configuration, which lives until the job's answer
 * at least. One at a time: the next one when this one is answered. */
void compiler_reload(struct compiler *c, const struct config *config);
/* Compiles the last documents again: time alone has changed what is valid. */
void compiler_again(struct compiler *c);
void compiler_stop(struct compiler *c); /* joins */
