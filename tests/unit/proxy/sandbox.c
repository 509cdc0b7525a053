// SPDX-License-Identifier: EUPL-1.2
/* Each case in a process of its own, which puts on the filter of the gateway and then does one
 * thing. */
#include "proxy/sandbox.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"

#define KILLED (-1) /* by SIGSYS */
#define NO_FILTER 250

/* 0: it was let through; an errno; or KILLED. Without the sanitizer's own end of a process, which
 * has calls of its own. */
static int tried_at(int (*act)(void))
{
    pid_t child = fork();
    int status;
    if (child == 0) {
        struct fault f = {0};
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || !sandbox_filter(&f))
            (void)syscall(SYS_exit_group, NO_FILTER);
        (void)syscall(SYS_exit_group, act());
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == SIGSYS ? KILLED : 1000 + WTERMSIG(status);
    cr_assert_neq(WEXITSTATUS(status), NO_FILTER, "no filter");
    return WEXITSTATUS(status);
}

#define SAID(call) return (call) < 0 ? errno : 0

static int run_program(void)
{
    char *const none[] = {NULL};
    SAID(syscall(SYS_execve, "/bin/true", none, none));
}

static int run_open_program(void)
{
    char *const none[] = {NULL};
    SAID(syscall(SYS_execveat, 0, "", none, none, AT_EMPTY_PATH));
}

static int make_process(void)
{
    SAID(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
}

static int make_process_hidden(void)
{
    SAID(syscall(SYS_clone3, NULL, 0));
}

static int trace_parent(void)
{
    SAID(syscall(SYS_ptrace, 16 /* PTRACE_ATTACH */, getppid(), 0, 0));
}

static int read_parent(void)
{
    SAID(syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0));
}

static int end_parent(void)
{
    SAID(syscall(SYS_kill, getppid(), 0));
}

static int signal_a_thread_of_others(void)
{
    SAID(syscall(SYS_tgkill, getppid(), getppid(), 0));
}

static int load_bpf(void)
{
    SAID(syscall(SYS_bpf, 0, NULL, 0));
}

static int open_by_handle(void)
{
    SAID(syscall(SYS_open_by_handle_at, AT_FDCWD, NULL, 0));
}

static int use_uring(void)
{
    SAID(syscall(SYS_io_uring_setup, 1, NULL));
}

static int mount_something(void)
{
    SAID(syscall(SYS_mount, "a", "/b", "tmpfs", 0, NULL));
}

static int leave_namespace(void)
{
    SAID(syscall(SYS_unshare, CLONE_NEWUSER));
}

static int become_root(void)
{
    SAID(syscall(SYS_setresuid, 0, 0, 0));
}

static int take_capabilities(void)
{
    SAID(syscall(SYS_capset, NULL, NULL));
}

static int old_abi(void)
{
#ifdef __x86_64__
    int out;
    /* write(2) of the 32-bit interface: another table, so another way round a filter. */
    __asm__ volatile("int $0x80" : "=a"(out) : "a"(4), "b"(1), "c"(0), "d"(0) : "memory");
    return out;
#else
    (void)raise(SIGSYS);
    return 0;
#endif
}

static int packet_socket(void)
{
    SAID(socket(AF_PACKET, SOCK_RAW, 0));
}

static int crypto_socket(void)
{
    SAID(socket(AF_ALG, SOCK_SEQPACKET, 0));
}

static int audit_netlink(void)
{
    SAID(socket(AF_NETLINK, SOCK_RAW, 9));
}

static int start_listening(void)
{
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    SAID(listen(fd, 1));
}

static int write_and_execute(void)
{
    SAID(mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
                 MAP_FAILED
             ? -1
             : 0);
}

static int execute_later(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    SAID(mprotect(page, 4096, PROT_READ | PROT_EXEC));
}

static int raise_limit(void)
{
    const struct rlimit limit = {1, 1};
    SAID(setrlimit(RLIMIT_CORE, &limit));
}

static int be_dumpable(void)
{
    SAID(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}

static int type_into_terminal(void)
{
    SAID(syscall(SYS_ioctl, 0, 0x5412 /* TIOCSTI */, "x"));
}

static int change_owner(void)
{
    SAID(syscall(SYS_fchownat, AT_FDCWD, "/tmp", 0, 0, 0));
}

static const struct {
    const char *what;
    int (*act)(void);
    int wanted;
} refused[] = {
    {"another program", run_program, KILLED},
    {"another program, by descriptor", run_open_program, KILLED},
    {"another process", make_process, KILLED},
    {"ptrace", trace_parent, KILLED},
    {"another's memory", read_parent, KILLED},
    {"a signal to another", end_parent, KILLED},
    {"bpf", load_bpf, KILLED},
    {"a file by its handle", open_by_handle, KILLED},
    {"io_uring", use_uring, KILLED},
    {"mount", mount_something, KILLED},
    {"namespaces", leave_namespace, KILLED},
    {"another user", become_root, KILLED},
    {"capabilities", take_capabilities, KILLED},
    {"the 32-bit interface", old_abi, KILLED},
    {"flags that can't be seen", make_process_hidden, ENOSYS},
    {"a signal to another's thread", signal_a_thread_of_others, ENOSYS},
    {"AF_PACKET", packet_socket, ENOSYS},
    {"AF_ALG", crypto_socket, ENOSYS},
    {"netlink of the kernel's audit", audit_netlink, ENOSYS},
    {"a new listener", start_listening, ENOSYS},
    {"memory to write and run", write_and_execute, ENOSYS},
    {"written memory to run", execute_later, ENOSYS},
    {"limits", raise_limit, ENOSYS},
    {"dumps", be_dumpable, ENOSYS},
    {"a terminal's input", type_into_terminal, ENOSYS},
    {"owners of files", change_owner, ENOSYS},
};

Test(sandbox, no_forbidden_call_is_let_through)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        const int seen = tried_at(refused[i].act);
        cr_expect_eq(seen, refused[i].wanted, "%s: %d", refused[i].what, seen);
    }
}

static void *nothing(void *own)
{
    return own;
}

static int make_thread(void)
{
    pthread_t thread;
    int error = pthread_create(&thread, NULL, nothing, NULL);
    return error ? error : pthread_join(thread, NULL);
}

static int use_files(void)
{
    const int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
    char byte;
    SAID(fd < 0 ? -1 : (int)read(fd, &byte, 1));
}

static int resolve_name(void)
{
    struct addrinfo *found = NULL;
    int bad = getaddrinfo("localhost", "443", NULL, &found);
    return bad ? EIO : 0;
}

static int allocate(void)
{
    for (size_t bytes = 16; bytes < (1u << 26); bytes *= 2) {
        char *p = malloc(bytes);
        if (!p)
            return ENOMEM;
        p[bytes - 1] = 1;
        free(p);
    }
    return 0;
}

static int use_sockets(void)
{
    int both[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, both) != 0 || send(both[0], "x", 1, 0) != 1)
        return errno;
    SAID(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static const struct {
    const char *what;
    int (*act)(void);
} let_through[] = {{"threads", make_thread},
                   {"files", use_files},
                   {"names", resolve_name},
                   {"memory", allocate},
                   {"sockets", use_sockets}};

Test(sandbox, what_a_gateway_does_is_let_through)
{
    for (size_t i = 0; i < sizeof let_through / sizeof *let_through; i++) {
        const int seen = tried_at(let_through[i].act);
        cr_expect_eq(seen, 0, "%s: %d", let_through[i].what, seen);
    }
}

/* --- All threads, whenever they were made. */

static pthread_barrier_t barrier;

static void *call_late(void *own)
{
    (void)own;
    (void)pthread_barrier_wait(&barrier);
    (void)syscall(SYS_bpf, 0, NULL, 0);
    return NULL;
}

Test(sandbox, a_thread_that_was_there_before_is_under_it_too)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        struct fault f = {0};
        pthread_t thread;
        (void)pthread_barrier_init(&barrier, NULL, 2);
        if (pthread_create(&thread, NULL, call_late, NULL) != 0 ||
            prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || !sandbox_filter(&f))
            _exit(NO_FILTER);
        (void)pthread_barrier_wait(&barrier);
        (void)pthread_join(thread, NULL);
        (void)syscall(SYS_exit_group, 0);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "%d", status);
}

/* --- Rights. */

/* In a process of its own: the first line that starts with `name` in /proc/self/status after the
 * drop; empty where it failed. */
static void status_after_drop(const struct config *c, const char *name, char out[256])
{
    int ends[2];
    int status;
    out[0] = '\0';
    cr_assert_eq(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        struct fault f = {0};
        char line[256];
        FILE *about = sandbox_drop(c, &f) ? fopen("/proc/self/status", "r") : NULL;
        while (about && fgets(line, sizeof line, about))
            if (strncmp(line, name, strlen(name)) == 0)
                (void)!write(ends[1], line, strlen(line) + 1);
        _exit(about ? 0 : 1);
    }
    (void)close(ends[1]);
    (void)!read(ends[0], out, 255);
    (void)close(ends[0]);
    cr_assert_eq(waitpid(child, &status, 0), child);
}

Test(sandbox, no_capability_is_kept_and_none_can_come_back)
{
    const struct config c = {.user = SLICE(""), .group = SLICE("")};
    const char *const none[] = {"CapInh:", "CapPrm:", "CapEff:", "CapAmb:"};
    char line[256];
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        status_after_drop(&c, none[i], line);
        cr_expect(strstr(line, "\t0000000000000000\n"), "'%s'", line);
    }
    status_after_drop(&c, "NoNewPrivs:", line);
    cr_expect_str_eq(line, "NoNewPrivs:\t1\n");
    if (geteuid() != 0)
        return;
    status_after_drop(&c, "CapBnd:", line);
    cr_expect(strstr(line, "\t0000000000000000\n"), "'%s'", line);
}

Test(sandbox, root_becomes_whom_the_configuration_names_and_others_can_not)
{
    const struct config c = {.user = SLICE("nobody"), .group = SLICE("")};
    const struct config grouped = {.user = SLICE("nobody"), .group = SLICE("daemon")};
    char line[256];
    status_after_drop(&c, "Uid:", line);
    if (geteuid() != 0) {
        cr_expect_str_eq(line, "");
        return;
    }
    cr_expect_str_eq(line, "Uid:\t65534\t65534\t65534\t65534\n");
    status_after_drop(&c, "Gid:", line);
    cr_expect_str_eq(line, "Gid:\t65534\t65534\t65534\t65534\n");
    status_after_drop(&c, "Groups:", line);
    cr_expect_str_eq(line, "Groups:\t65534 \n");
    status_after_drop(&grouped, "Gid:", line);
    cr_expect_str_eq(line, "Gid:\t1\t1\t1\t1\n");
}

Test(sandbox, nobody_of_that_name_is_a_fault)
{
    const struct config c = {.user = SLICE("nobody-of-that-name"), .group = SLICE("")};
    const struct config grouped = {.user = SLICE(""), .group = SLICE("no-group-of-that-name")};
    char line[256];
    status_after_drop(&c, "Uid:", line);
    cr_expect_str_eq(line, "");
    status_after_drop(&grouped, "Uid:", line);
    cr_expect_str_eq(line, "");
}
