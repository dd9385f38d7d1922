/*
 * The allow-list of -sandbox on. io_uring is not on it: what is submitted there passes no filter, so disks fall back to plain
 * system calls. Opening files is not either: media come as descriptors by QMP.
 */
#include "sandbox.h"
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>

static const int allowed[] = {
    /* the loop */
    SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2), /* sleep */
    SCMP_SYS(epoll_ctl),      /* a client came or went */
    SCMP_SYS(clock_gettime),  /* where the vDSO can't */
    SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep), /* waiting for an image lock */
    SCMP_SYS(poll), SCMP_SYS(ppoll), /* does anybody have the pty open? */
    /* Xen */
    SCMP_SYS(ioctl),          /* hypercalls, event channel notifications, pty and block device queries */
    SCMP_SYS(mmap), SCMP_SYS(munmap), /* guest memory; malloc() */
    SCMP_SYS(madvise), SCMP_SYS(mprotect), SCMP_SYS(mremap), SCMP_SYS(brk), /* malloc() */
    /* files, sockets, event channels */
    SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(close),
    SCMP_SYS(pread64), SCMP_SYS(pwrite64), SCMP_SYS(preadv), SCMP_SYS(pwritev), SCMP_SYS(preadv2), SCMP_SYS(pwritev2),
    SCMP_SYS(fdatasync), SCMP_SYS(fsync), SCMP_SYS(fallocate), SCMP_SYS(lseek),
    SCMP_SYS(ftruncate),      /* the flight recorder's file, written anew */
    SCMP_SYS(fstat), SCMP_SYS(newfstatat), /* what is the medium that came by QMP? */
    SCMP_SYS(timerfd_settime), /* how long an NBD server may be silent */
    SCMP_SYS(fcntl), SCMP_SYS(fadvise64), /* image locks, flags of descriptors */
    SCMP_SYS(prlimit64), SCMP_SYS(getrlimit), /* how far may an image be written? */
    SCMP_SYS(accept4), SCMP_SYS(recvmsg), SCMP_SYS(sendmsg), SCMP_SYS(recvfrom), SCMP_SYS(sendto), /* monitor and serial sockets */
    SCMP_SYS(shutdown), SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(getsockopt), SCMP_SYS(setsockopt),
    /* the end */
    SCMP_SYS(unlink), SCMP_SYS(unlinkat), /* our socket files */
    SCMP_SYS(futex),          /* locks inside libraries */
    SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(tgkill), /* abort() */
    SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall),
    SCMP_SYS(exit), SCMP_SYS(exit_group),
};

int sandbox_enter(char error[CONFIG_ERROR_BYTES])
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    int err = filter ? 0 : -ENOMEM;
    for (size_t i = 0; i < ARRAY_SIZE(allowed) && !err; i++)
        err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
    if (!err)
        err = seccomp_load(filter);
    seccomp_release(filter);
    if (err)
        snprintf(error, CONFIG_ERROR_BYTES, "-sandbox: this kernel refuses the system call filter: %s", strerror(-err));
    return err;
}
