// SPDX-License-Identifier: EUPL-1.2
/* One datagram a message, to the socket that the service manager named. Written here, as it is all
 * of libsystemd that we would use. */
#include "proxy/supervisor.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MESSAGE_ROOM 256

void supervisor_find(struct supervisor *s)
{
    const char *path = getenv("NOTIFY_SOCKET");
    size_t len = path ? strlen(path) : 0;
    *s = (struct supervisor){.address = {.sun_family = AF_UNIX}, .fd = -1};
    if (len < 2 || len >= sizeof s->address.sun_path || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(s->address.sun_path, path, len);
    if (path[0] == '@')
        s->address.sun_path[0] = '\0'; // unix(7): an abstract name
    s->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    s->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)unsetenv("NOTIFY_SOCKET");
}

void supervisor_tell(const struct supervisor *s, const char *format, ...)
{
    char text[MESSAGE_ROOM];
    va_list args;
    if (s->fd < 0)
        return;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (len > 0 && (size_t)len < sizeof text)
        (void)sendto(s->fd, text, (size_t)len, MSG_NOSIGNAL, (const struct sockaddr *)&s->address,
                     s->len);
}

void supervisor_fini(struct supervisor *s)
{
    if (s->fd >= 0)
        (void)close(s->fd);
    s->fd = -1;
}
