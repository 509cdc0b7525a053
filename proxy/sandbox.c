// SPDX-License-Identifier: EUPL-1.2
/* Two steps, in their order: rights, then system calls. The lists are what the gateway was seen to
 * need in its life after the start: serving, the store's coming back, fetching keys and resolving
 * names (also by threads that libcurl makes), reload, rotation of the audit, drain. */
#include "proxy/sandbox.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/logger.h"

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define HAS_SANITIZER true /* they look into the process and at its end stop it by ptrace(2) */
#else
#define HAS_SANITIZER false
#endif

/* --- Rights. */

struct identity {
    const char *name;
    uid_t uid;
    gid_t gid;
};

static bool identity_find(const struct config *c, struct identity *out, struct fault *f)
{
    const struct passwd *user = c->user.len ? getpwnam(c->user.ptr) : getpwuid(geteuid());
    if (c->user.len && !user)
        return fault_set(f, FAULT_CONFIG, "there is no user '%.*s'", SLICE_ARG(c->user));
    *out = (struct identity){c->user.ptr, user ? user->pw_uid : geteuid(),
                             c->user.len ? user->pw_gid : getegid()};
    if (!c->group.len)
        return true;
    const struct group *group = getgrnam(c->group.ptr);
    if (!group)
        return fault_set(f, FAULT_CONFIG, "there is no group '%.*s'", SLICE_ARG(c->group));
    out->gid = group->gr_gid;
    return true;
}

/* Whoever is not root can only be who he is. */
static bool become(const struct config *c, struct fault *f)
{
    struct identity who = {0};
    if (!identity_find(c, &who, f))
        return false;
    if (geteuid() != 0) {
        if (who.uid == geteuid() && who.gid == getegid())
            return true;
        return fault_set(f, FAULT_CONFIG,
                         "cannot become user '%.*s' with group '%.*s': only root can, and this was "
                         "started by another",
                         SLICE_ARG(c->user), SLICE_ARG(c->group));
    }
    if (!c->user.len)
        log_warning("sandbox", "started as root, and the configuration names no `user`: it goes on "
                               "as root, without root's capabilities");
    else if (initgroups(who.name, who.gid) != 0)
        return fault_errno(f, errno, "cannot take the groups of user '%s'", who.name);
    if (setresgid(who.gid, who.gid, who.gid) != 0 || setresuid(who.uid, who.uid, who.uid) != 0)
        return fault_errno(f, errno, "cannot become user '%.*s'", SLICE_ARG(c->user));
    return true;
}

/* capabilities(7). The bounding set can only be emptied by who has CAP_SETPCAP; to everybody else
 * it is worth nothing, since nothing is gained by execve any more. */
static bool drop_bounding(struct fault *f)
{
    for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0 && errno != EPERM)
            return fault_errno(f, errno, "cannot give up a capability");
    return true;
}

static bool drop_capabilities(struct fault *f)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 ||
        syscall(SYS_capset, &head, none) != 0)
        return fault_errno(f, errno, "cannot give up capabilities");
    return true;
}

bool sandbox_drop(const struct config *c, struct fault *f)
{
    const struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) != 0)
        return fault_errno(f, errno, "cannot turn off core dumps");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return fault_errno(f, errno, "cannot give up new privileges");
    return drop_bounding(f) && become(c, f) && drop_capabilities(f);
}

/* --- System calls. */

#define CALL(name) SCMP_SYS(name)

/* With any arguments. Those that a request costs are among them: the kernel remembers of such calls
 * that they are fine, and runs no filter. */
static const int allowed[] = {
    /* waiting */
    CALL(epoll_wait), CALL(epoll_pwait), CALL(epoll_pwait2), CALL(epoll_ctl), CALL(epoll_create1),
    CALL(poll), CALL(ppoll), CALL(select), CALL(pselect6), CALL(futex), CALL(nanosleep),
    CALL(clock_nanosleep), CALL(restart_syscall), CALL(eventfd2), CALL(pipe2), CALL(timerfd_create),
    CALL(timerfd_settime), CALL(timerfd_gettime),
    /* bytes */
    CALL(read), CALL(readv), CALL(pread64), CALL(write), CALL(writev), CALL(pwrite64),
    CALL(recvfrom), CALL(recvmsg), CALL(recvmmsg), CALL(sendto), CALL(sendmsg), CALL(sendmmsg),
    CALL(close), CALL(lseek), CALL(fcntl),
    /* sockets; which may be made is below, and none may listen that does not yet */
    CALL(accept), CALL(accept4), CALL(bind), CALL(connect), CALL(shutdown), CALL(getsockopt),
    CALL(setsockopt), CALL(getsockname), CALL(getpeername),
    /* files: a reload reads, the store's memory and the audit write */
    CALL(open), CALL(openat), CALL(stat), CALL(lstat), CALL(fstat), CALL(newfstatat), CALL(statx),
    CALL(access), CALL(faccessat), CALL(faccessat2), CALL(readlink), CALL(readlinkat),
    CALL(getdents64), CALL(getcwd), CALL(mkdir), CALL(mkdirat), CALL(rename), CALL(renameat),
    CALL(renameat2), CALL(unlink), CALL(unlinkat), CALL(ftruncate), CALL(fchmod), CALL(fsync),
    CALL(fdatasync),
    /* memory */
    CALL(brk), CALL(munmap), CALL(mremap), CALL(madvise), CALL(mlock), CALL(mlock2), CALL(munlock),
    /* time, chance, and what the C library asks of the machine */
    CALL(clock_gettime), CALL(clock_getres), CALL(gettimeofday), CALL(time), CALL(getrandom),
    CALL(sched_yield), CALL(sched_getaffinity), CALL(getcpu), CALL(sysinfo), CALL(uname),
    CALL(getrusage), CALL(getpid), CALL(gettid), CALL(getppid), CALL(getuid), CALL(geteuid),
    CALL(getgid), CALL(getegid),
    /* signals, threads and their end */
    CALL(rt_sigaction), CALL(rt_sigprocmask), CALL(rt_sigreturn), CALL(sigaltstack),
    CALL(set_robust_list), CALL(rseq), CALL(exit), CALL(exit_group)};

/* Nobody in this process calls these but an intruder. */
static const int forbidden[] = {CALL(execve),
                                CALL(execveat),
                                CALL(fork),
                                CALL(vfork),
                                CALL(ptrace),
                                CALL(process_vm_readv),
                                CALL(process_vm_writev),
                                CALL(process_madvise),
                                CALL(pidfd_open),
                                CALL(pidfd_getfd),
                                CALL(pidfd_send_signal),
                                CALL(kcmp),
                                CALL(kill),
                                CALL(bpf),
                                CALL(perf_event_open),
                                CALL(userfaultfd),
                                CALL(io_uring_setup),
                                CALL(io_uring_enter),
                                CALL(io_uring_register),
                                CALL(open_by_handle_at),
                                CALL(name_to_handle_at),
                                CALL(mount),
                                CALL(umount2),
                                CALL(pivot_root),
                                CALL(chroot),
                                CALL(move_mount),
                                CALL(fsopen),
                                CALL(fsconfig),
                                CALL(fsmount),
                                CALL(open_tree),
                                CALL(mount_setattr),
                                CALL(unshare),
                                CALL(setns),
                                CALL(init_module),
                                CALL(finit_module),
                                CALL(delete_module),
                                CALL(kexec_load),
                                CALL(kexec_file_load),
                                CALL(add_key),
                                CALL(request_key),
                                CALL(keyctl),
                                CALL(setuid),
                                CALL(setgid),
                                CALL(setreuid),
                                CALL(setregid),
                                CALL(setresuid),
                                CALL(setresgid),
                                CALL(setgroups),
                                CALL(capset),
                                CALL(seccomp),
                                CALL(personality),
                                CALL(mknod),
                                CALL(mknodat),
                                CALL(memfd_create),
                                CALL(memfd_secret),
                                CALL(swapon),
                                CALL(swapoff),
                                CALL(reboot),
                                CALL(acct),
                                CALL(quotactl),
                                CALL(iopl),
                                CALL(ioperm),
                                CALL(modify_ldt),
                                CALL(settimeofday),
                                CALL(clock_settime),
                                CALL(sethostname),
                                CALL(setdomainname),
                                CALL(syslog),
                                CALL(pkey_mprotect)};

static int add_lists(scmp_filter_ctx ctx)
{
    int bad = 0;
    for (size_t i = 0; !bad && i < sizeof allowed / sizeof *allowed; i++)
        bad = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
    for (size_t i = 0; !bad && i < sizeof forbidden / sizeof *forbidden; i++)
        bad = seccomp_rule_add(ctx, SCMP_ACT_KILL_PROCESS, forbidden[i], 0);
    return bad;
}

/* Adds an allowance after others went well: each gives 0, or why it can't be had. */
#define ALLOW(...) bad = bad ? bad : seccomp_rule_add(ctx, SCMP_ACT_ALLOW, __VA_ARGS__)

/* Networks that HTTP, the store and names travel on. Netlink is how getaddrinfo(3) asks for the
 * machine's addresses; protocol 0 of it is routes and addresses. */
static int add_sockets(scmp_filter_ctx ctx)
{
    int bad = 0;
    ALLOW(CALL(socket), 1, SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
    ALLOW(CALL(socket), 1, SCMP_A0(SCMP_CMP_EQ, AF_INET));
    ALLOW(CALL(socket), 1, SCMP_A0(SCMP_CMP_EQ, AF_INET6));
    ALLOW(CALL(socket), 2, SCMP_A0(SCMP_CMP_EQ, AF_NETLINK), SCMP_A2(SCMP_CMP_EQ, 0));
    ALLOW(CALL(socketpair), 1, SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
    return bad;
}

/* No memory is ever both writable and executable, nor becomes executable. A library's text is
 * mapped as it is in its file: that is how name services are loaded at their first use. */
static int add_memory(scmp_filter_ctx ctx)
{
    const scmp_datum_t both = PROT_WRITE | PROT_EXEC;
    int bad = 0;
    ALLOW(CALL(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, both, 0));
    ALLOW(CALL(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, both, PROT_WRITE));
    ALLOW(CALL(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, both, PROT_EXEC));
    ALLOW(CALL(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    return bad;
}

/* Threads, but no processes: clone3(2) hides its flags in memory, so it is not there, and the C
 * library goes back to clone(2). Signals to ourselves alone (abort). Limits may be read. */
static int add_process(scmp_filter_ctx ctx)
{
    int bad = 0;
    ALLOW(CALL(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
    ALLOW(CALL(tgkill), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
    ALLOW(CALL(prctl), 1, SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));
    ALLOW(CALL(prlimit64), 1, SCMP_A2(SCMP_CMP_EQ, 0));
    ALLOW(CALL(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, FIONBIO));
    ALLOW(CALL(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, FIONREAD));
    return bad ? bad
               : seccomp_rule_add(ctx, SCMP_ACT_KILL_PROCESS, CALL(clone), 1,
                                  SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
}

bool sandbox_filter(struct fault *f)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    int bad = -ENOMEM;
    if (!ctx)
        return fault_set(f, FAULT_INTERNAL, "cannot make the filter of system calls");
    bad = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
    bad = bad ? bad : seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    bad = bad ? bad : seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree, no list */
    bad = bad ? bad : add_lists(ctx);
    bad = bad ? bad : add_sockets(ctx);
    bad = bad ? bad : add_memory(ctx);
    bad = bad ? bad : add_process(ctx);
    bad = bad ? bad : seccomp_load(ctx);
    seccomp_release(ctx);
    return !bad || fault_errno(f, -bad, "cannot put on the filter of system calls");
}

bool sandbox_close(const struct config *c, struct fault *f)
{
    if (!c->is_sandboxed || HAS_SANITIZER) {
        log_warning("sandbox",
                    "off (%s): every system call is open to whoever takes this process "
                    "over",
                    c->is_sandboxed ? "a sanitizer is built in" : "`sandbox: off`");
        return true;
    }
    /* After the last change of identity, which sets it anew. */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return fault_errno(f, errno, "cannot close the process to others");
    if (!sandbox_filter(f))
        return fault_within(f, "the sandbox can't be closed (`sandbox: off` goes on without)");
    log_info("sandbox", "closed: no capabilities, %zu system calls",
             sizeof allowed / sizeof *allowed);
    return true;
}
