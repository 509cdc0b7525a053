// SPDX-License-Identifier: EUPL-1.2
/* What the process gives up so that whoever takes it over has little: root's identity and
 * capabilities once its sockets are bound, core dumps, and every system call that it does not need
 * once it runs. Both steps are for good; neither can be taken back by anything that runs later. On
 * the control thread, at the start only. */
#pragma once

#include "proxy/config.h"

/* Before any thread, when the listening sockets are there: `user` and `group`, no capability in any
 * set, no new privileges by execve, no core dumps. Root without `user` stays root, without its
 * capabilities, and that is said. Files are opened after it, so that what fails with lesser rights
 * fails at the start. */
MUST_USE bool sandbox_drop(const struct config *c, struct fault *f);

/* When all threads run: the filter of system calls on every one of them, and nobody may look into
 * the process. With `sandbox: off`, and in builds with a sanitizer, this is left out, and said. */
MUST_USE bool sandbox_close(const struct config *c, struct fault *f);

/* The filter alone, on all threads of the process. What an intruder alone would call (another
 * program, another process's memory, a mount, a kernel module) ends the process: nothing goes on in
 * a process that was taken over, and a supervisor starts a new one. What is merely not on the list
 * is answered with ENOSYS, as by an older kernel: libraries have an answer to that, so their update
 * is no outage. Neither is ever let through. */
MUST_USE bool sandbox_filter(struct fault *f);
