// SPDX-License-Identifier: EUPL-1.2
/* What the service manager is told (sd_notify(3)): that the gateway listens, reloads, or goes down,
 * and in words how it is. Without a service manager nobody is told. Control thread. */
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

struct supervisor {
    struct sockaddr_un address;
    socklen_t len; /* 0: there is none */
    int fd;
};

/* From NOTIFY_SOCKET, which is taken away. */
void supervisor_find(struct supervisor *s);
/* "READY=1" and the like, a line each. What can't be sent is dropped: nothing depends on it here.
 */
void supervisor_tell(const struct supervisor *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void supervisor_fini(struct supervisor *s);
