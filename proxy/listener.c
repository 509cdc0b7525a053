// SPDX-License-Identifier: EUPL-1.2
/* Each worker has sockets of its own (SO_REUSEPORT), among which the kernel spreads new
 * connections. So as many as there are workers must be passed for each address. They are told apart
 * by the address that they are bound to, which unlike their names nobody can get wrong unnoticed.
 */
#include "proxy/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/network.h"

#define BACKLOG 4096
#define FIRST_PASSED 3 /* SD_LISTEN_FDS_START */

static int bind_to(struct slice text, struct fault *f)
{
    struct sockaddr_storage address;
    socklen_t len;
    int one = 1;
    int fd = -1;
    if (address_parse(&address, &len, text))
        fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        (void)fault_errno(f, errno, "cannot make a socket for '%.*s'", SLICE_ARG(text));
        return -1;
    }
    if (address.ss_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) != 0 ||
        bind(fd, (const struct sockaddr *)&address, len) != 0 || listen(fd, BACKLOG) != 0) {
        (void)fault_errno(f, errno, "cannot listen on '%.*s'", SLICE_ARG(text));
        (void)close(fd);
        return -1;
    }
    return fd;
}

/* How many descriptors were passed to this very process; what its parent was passed is none of
 * ours. The variables are taken away, as they hold once. */
static int64_t passed_count(void)
{
    const char *pid = getenv("LISTEN_PID");
    const char *count = getenv("LISTEN_FDS");
    uint64_t n = 0;
    uint64_t ours;
    if (!pid || !count || !slice_u64(slice_of(pid), INT32_MAX, &ours) ||
        ours != (uint64_t)getpid() || !slice_u64(slice_of(count), INT32_MAX, &n))
        n = 0;
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    return (int64_t)n;
}

static bool is_same(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    if (a->ss_family != b->ss_family)
        return false;
    if (a->ss_family == AF_INET) {
        const struct sockaddr_in *x = (const struct sockaddr_in *)a;
        const struct sockaddr_in *y = (const struct sockaddr_in *)b;
        return x->sin_port == y->sin_port && x->sin_addr.s_addr == y->sin_addr.s_addr;
    }
    const struct sockaddr_in6 *x = (const struct sockaddr_in6 *)a;
    const struct sockaddr_in6 *y = (const struct sockaddr_in6 *)b;
    return x->sin6_port == y->sin6_port &&
           memcmp(&x->sin6_addr, &y->sin6_addr, sizeof x->sin6_addr) == 0;
}

/* Which `listen` that descriptor is for; below 0: none, and `f` says why. */
static int64_t match(const struct config *c, int fd, struct fault *f)
{
    struct sockaddr_storage bound = {0};
    struct sockaddr_storage wanted;
    char text[INET6_ADDRSTRLEN];
    socklen_t len = sizeof bound;
    socklen_t wanted_len;
    int type = 0;
    int is_listening = 0;
    socklen_t int_len = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &int_len) != 0 ||
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &int_len) != 0 ||
        getsockname(fd, (struct sockaddr *)&bound, &len) != 0) {
        (void)fault_errno(f, errno, "descriptor %d was passed and is no socket", fd);
        return -1;
    }
    if (type != SOCK_STREAM || !is_listening ||
        (bound.ss_family != AF_INET && bound.ss_family != AF_INET6)) {
        (void)fault_set(f, FAULT_CONFIG,
                        "socket %d was passed and does not listen for TCP; the .socket unit is to "
                        "have ListenStream=ADDRESS:PORT and Accept=no",
                        fd);
        return -1;
    }
    for (uint32_t i = 0; i < c->listen_count; i++)
        if (address_parse(&wanted, &wanted_len, c->listen[i].address) && is_same(&wanted, &bound))
            return i;
    (void)address_text(text, (const struct sockaddr *)&bound);
    (void)fault_set(f, FAULT_CONFIG,
                    "socket %d was passed, bound to %s port %u, which is not in `listen`", fd, text,
                    (unsigned)ntohs(bound.ss_family == AF_INET
                                        ? ((const struct sockaddr_in *)&bound)->sin_port
                                        : ((const struct sockaddr_in6 *)&bound)->sin6_port));
    return -1;
}

/* libev reads from it when it is readable, and no program that we would start inherits it. */
static bool make_ours(int fd, struct fault *f)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
        return fault_errno(f, errno, "cannot take over descriptor %d", fd);
    return true;
}

static bool take_passed(const struct config *c, int64_t count, int *fds, struct fault *f)
{
    int64_t found[CONFIG_MAX_LISTENERS] = {0};
    for (int fd = FIRST_PASSED; fd < FIRST_PASSED + count; fd++) {
        int64_t i = match(c, fd, f);
        if (i < 0 || !make_ours(fd, f))
            return false;
        if (found[i] < c->workers)
            fds[found[i] * c->listen_count + i] = fd;
        found[i]++;
    }
    for (uint32_t i = 0; i < c->listen_count; i++)
        if (found[i] != c->workers)
            return fault_set(f, FAULT_CONFIG,
                             "%lld sockets were passed for '%.*s', and %lld workers need one each: "
                             "write ListenStream= so many times, with ReusePort=yes",
                             (long long)found[i], SLICE_ARG(c->listen[i].address),
                             (long long)c->workers);
    return true;
}

bool listeners_open(const struct config *c, int *fds, struct fault *f)
{
    const int64_t passed = passed_count();
    const int64_t wanted = c->workers * c->listen_count;
    if (passed)
        return take_passed(c, passed, fds, f);
    for (int64_t i = 0; i < wanted; i++) {
        fds[i] = bind_to(c->listen[i % c->listen_count].address, f);
        if (fds[i] >= 0)
            continue;
        while (i--)
            (void)close(fds[i]);
        return false;
    }
    return true;
}
