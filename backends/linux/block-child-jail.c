/*
 * The prison of an image helper, made before the helper's program starts, and once it runs nothing of it can be undone:
 *  - its own mount, network, IPC, UTS and process name spaces: no network, no other process, and of the file system
 *    only the programs and libraries below /usr, /dev/null and the image, with the image's folder read-only around it,
 *    where backing files are looked for;
 *  - as root: the user nobody, with the one capability to open those files whoever owns them; else our own user, in a
 *    user name space;
 *  - no new privileges by exec, and an allow-list of system calls without any that makes a socket, a process, a mount
 *    or a ring;
 *  - limits on memory and descriptors, no core file; it is killed when we end.
 * Where the kernel refuses name spaces only the last two hold.
 */
#include "block-child-private.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <thindm/util.h>
#include <unistd.h>

enum { NOBODY = 65534, HELPER_FDS = 64, FIRST_OWN_FD = 3 };
#define ROOT         "/tmp" /* where the new root is put together; hidden to the helper only */
#define MEMORY_BYTES (4 * GIB)
#define STACK_BYTES  MIB
#define NAME_SPACES  (CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWPID)

/* Missing ones answer ENOSYS, as on an older kernel, for which every program has a fall-back. */
static const int allowed[] = {
    /* start: loader, allocator, threads */
    SCMP_SYS(execve),
    SCMP_SYS(brk),
    SCMP_SYS(mmap),
    SCMP_SYS(munmap),
    SCMP_SYS(mprotect),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(arch_prctl),
    SCMP_SYS(set_tid_address),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(prlimit64),
    SCMP_SYS(getrlimit),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_yield),
    SCMP_SYS(getrandom),
    SCMP_SYS(uname),
    SCMP_SYS(sysinfo),
    SCMP_SYS(prctl),
    SCMP_SYS(futex),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(tgkill),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    SCMP_SYS(membarrier),
    SCMP_SYS(getppid),
    SCMP_SYS(chdir),
    /* signals, time, waiting */
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigtimedwait),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(epoll_create1),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_pwait2),
    SCMP_SYS(eventfd2),
    SCMP_SYS(signalfd4),
    SCMP_SYS(pipe2),
    SCMP_SYS(timerfd_create),
    SCMP_SYS(timerfd_settime),
    /* files: the image and its libraries */
    SCMP_SYS(open),
    SCMP_SYS(openat),
    SCMP_SYS(close),
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(readv),
    SCMP_SYS(writev),
    SCMP_SYS(pread64),
    SCMP_SYS(pwrite64),
    SCMP_SYS(preadv),
    SCMP_SYS(pwritev),
    SCMP_SYS(preadv2),
    SCMP_SYS(pwritev2),
    SCMP_SYS(lseek),
    SCMP_SYS(fsync),
    SCMP_SYS(fdatasync),
    SCMP_SYS(ftruncate),
    SCMP_SYS(fallocate),
    SCMP_SYS(fadvise64),
    SCMP_SYS(copy_file_range),
    SCMP_SYS(sync_file_range),
    SCMP_SYS(stat),
    SCMP_SYS(fstat),
    SCMP_SYS(lstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(statx),
    SCMP_SYS(statfs),
    SCMP_SYS(fstatfs),
    SCMP_SYS(access),
    SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2),
    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),
    SCMP_SYS(getcwd),
    SCMP_SYS(getdents64),
    SCMP_SYS(dup),
    SCMP_SYS(dup2),
    SCMP_SYS(dup3),
    SCMP_SYS(fcntl),
    SCMP_SYS(ioctl),
    /* the one socket that it was given */
    SCMP_SYS(accept),
    SCMP_SYS(accept4),
    SCMP_SYS(recvmsg),
    SCMP_SYS(sendmsg),
    SCMP_SYS(recvfrom),
    SCMP_SYS(sendto),
    SCMP_SYS(shutdown),
    SCMP_SYS(getsockname),
    SCMP_SYS(getpeername),
    SCMP_SYS(getsockopt),
    SCMP_SYS(setsockopt),
};

static _Noreturn void give_up(int error, const char *what)
{
    (void)dprintf(error, "can't be confined: %s: %s\n", what, strerror(errno));
    _exit(127);
}

/* Threads are made by clone(); processes and name spaces are not. clone3() hides its flags from a filter: glibc falls
 * back on ENOSYS. */
static int filter_calls(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    int err = filter ? 0 : -ENOMEM;
    for (size_t i = 0; i < ARRAY_SIZE(allowed) && !err; i++)
        err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
    if (!err)
        err = seccomp_rule_add(
            filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
            SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD | CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET, CLONE_THREAD));
    if (!err)
        err = seccomp_load(filter);
    seccomp_release(filter);
    return err;
}

/* --- The file system --- */

static int write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    bool good = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    close(fd);
    return good ? 0 : -1;
}

/* Who we are outside is who we are inside. */
static int map_user(uid_t uid, gid_t gid)
{
    char uids[40], gids[40];
    (void)snprintf(uids, sizeof(uids), "%u %u 1", uid, uid);
    (void)snprintf(gids, sizeof(gids), "%u %u 1", gid, gid);
    return write_file("/proc/self/setgroups", "deny") || write_file("/proc/self/uid_map", uids) ||
                   write_file("/proc/self/gid_map", gids)
               ? -1
               : 0;
}

static int restrict_mount(const char *path, uint64_t attrs, bool deep)
{
    struct mount_attr attr = { .attr_set = attrs };
    return mount_setattr(AT_FDCWD, path, deep ? AT_RECURSIVE : 0, &attr, sizeof(attr));
}

/* The folders on the way to path, below the new root; those that are there are fine, whatever they are. */
static void make_folders(const char *path)
{
    char text[sizeof(ROOT) + PATH_MAX];
    (void)snprintf(text, sizeof(text), ROOT "%s", path);
    for (char *slash = strchr(text + sizeof(ROOT), '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(text, 0755);
        *slash = '/';
    }
}

/* What is at path and below it, as it is now: what is mounted there later is not in it. */
static int copy_of(const char *path)
{
    return open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
}

/* Show the copy as path in the new root. */
static int show(int copy, const char *path, uint64_t attrs)
{
    char to[sizeof(ROOT) + PATH_MAX];
    (void)snprintf(to, sizeof(to), ROOT "%s", path);
    return move_mount(copy, "", AT_FDCWD, to, MOVE_MOUNT_F_EMPTY_PATH) || restrict_mount(to, attrs, true) ? -1 : 0;
}

static int show_system(void)
{
    static const char *const places[] = { "/usr", "/lib", "/lib64" };
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        char to[32], link[64];
        (void)snprintf(to, sizeof(to), ROOT "%s", places[i]);
        ssize_t len = readlink(places[i], link, sizeof(link) - 1);
        if (len > 0) {
            link[len] = '\0';
            if (symlink(link, to) != 0)
                return -1;
            continue;
        }
        int copy = copy_of(places[i]);
        if (copy < 0 && errno == ENOENT)
            continue; /* not on this system */
        if (copy < 0 || mkdir(to, 0755) != 0 ||
            show(copy, places[i], MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV) != 0)
            return -1;
        close(copy);
    }
    return 0;
}

/* Something that a file can be mounted on. */
static void make_file(const char *path)
{
    char to[sizeof(ROOT) + PATH_MAX];
    (void)snprintf(to, sizeof(to), ROOT "%s", path);
    int fd = open(to, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
}

/* QEMU finds out there whether the kernel has locks of open files, without which an image's locks are worth little. */
static int show_null(void)
{
    int null = copy_of("/dev/null");
    make_folders("/dev/null");
    make_file("/dev/null");
    return null >= 0 ? show(null, "/dev/null", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC) : -1;
}

/* Copies of the folder (or -1) and the image, made before the new root covered them: they may be right there. */
static int show_image(const struct jail *jail, int folder, int image)
{
    uint64_t attrs = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s", jail->image);
    make_folders(path);
    *strrchr(path, '/') = '\0';
    if (folder >= 0 && show(folder, path, attrs | MOUNT_ATTR_NODEV | MOUNT_ATTR_RDONLY) != 0)
        return -1;
    if (folder < 0)
        make_file(jail->image);
    attrs |= jail->device ? 0 : MOUNT_ATTR_NODEV;
    attrs |= jail->read_only ? MOUNT_ATTR_RDONLY : 0;
    return show(image, jail->image, attrs);
}

static void change_root(const struct jail *jail)
{
    char folder[PATH_MAX];
    (void)snprintf(folder, sizeof(folder), "%s", jail->image);
    *strrchr(folder, '/') = '\0';
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        give_up(jail->error, "private mounts");
    /* A device's neighbours are other devices; in the root folder, all there is: no backing files there. */
    int image_copy = copy_of(jail->image);
    int folder_copy = jail->device || !*folder ? -1 : copy_of(folder);
    if (image_copy < 0 || mount("thindm", ROOT, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755,size=64k") != 0)
        give_up(jail->error, "new root");
    if (show_system() != 0 || show_null() != 0)
        give_up(jail->error, "programs and libraries");
    if (show_image(jail, folder_copy, image_copy) != 0)
        give_up(jail->error, "the image");
    if (chdir(ROOT) != 0 || syscall(SYS_pivot_root, ".", ".") != 0 || umount2(".", MNT_DETACH) != 0 ||
        chdir("/") != 0 || restrict_mount("/", MOUNT_ATTR_RDONLY, false) != 0)
        give_up(jail->error, "change of root");
}

/* --- Rights --- */

static int set_caps(uint32_t mask)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2] = { { .effective = mask, .permitted = mask, .inheritable = mask } };
    return (int)syscall(SYS_capset, &head, data);
}

/* A user without anything but the right to open the image, which is somebody else's. */
static void become_nobody(const struct jail *jail)
{
    const uint32_t keep = UINT32_C(1) << CAP_DAC_OVERRIDE;
    for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if (cap != CAP_DAC_OVERRIDE)
            (void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
    if (setgroups(0, NULL) != 0 || setresgid(NOBODY, NOBODY, NOBODY) != 0 || prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0 ||
        setresuid(NOBODY, NOBODY, NOBODY) != 0 || set_caps(keep) != 0 ||
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0) != 0)
        give_up(jail->error, "change of user");
}

static void limit(int resource, rlim_t most)
{
    struct rlimit limits;
    if (getrlimit((__rlimit_resource_t)resource, &limits) == 0 && limits.rlim_max != RLIM_INFINITY &&
        limits.rlim_max < most)
        most = limits.rlim_max;
    limits = (struct rlimit){ most, most };
    (void)setrlimit((__rlimit_resource_t)resource, &limits);
}

static void set_limits(void)
{
    /* libxl's limit is meant for the device model, which can't write anywhere else then; the helper has the image only.
     */
    (void)setrlimit(RLIMIT_FSIZE, &(struct rlimit){ RLIM_INFINITY, RLIM_INFINITY });
    limit(RLIMIT_STACK, STACK_BYTES);
    limit(RLIMIT_NOFILE, HELPER_FDS);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_MEMLOCK, 0);
    limit(RLIMIT_MSGQUEUE, 0);
}

/* Standard input and output are nothing, the error stream and the listening socket are ours, all else is closed. */
static int put_descriptors(const struct jail *jail, int null)
{
    int listener = fcntl(jail->listener, F_DUPFD_CLOEXEC, FIRST_OWN_FD + 1);
    int error = fcntl(jail->error, F_DUPFD_CLOEXEC, FIRST_OWN_FD + 1);
    int input = fcntl(null, F_DUPFD_CLOEXEC, FIRST_OWN_FD + 1);
    if (listener < 0 || error < 0 || input < 0 || dup2(input, 0) < 0 || dup2(input, 1) < 0 || dup2(error, 2) < 0 ||
        dup2(listener, FIRST_OWN_FD) < 0)
        return -1;
    return close_range(FIRST_OWN_FD + 1, ~0u, 0);
}

static _Noreturn void enter(const struct jail *jail, bool spaces, uid_t uid, gid_t gid)
{
    static char pid[32], *const env[] = { "LISTEN_FDS=1", pid, "MALLOC_ARENA_MAX=1", "LC_ALL=C", NULL };
    sigset_t none;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    bool root = uid == 0 && geteuid() == 0; /* not only in a user name space of our own */
    if (null < 0)
        give_up(jail->error, "/dev/null");
    if (spaces && !root && map_user(uid, gid) != 0)
        give_up(jail->error, "user name space");
    if (spaces)
        change_root(jail);
    set_limits();
    if (spaces && root)
        become_nobody(jail);
    if (put_descriptors(jail, null) != 0)
        give_up(jail->error, "descriptors");
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)snprintf(pid, sizeof(pid), "LISTEN_PID=%ld", (long)getpid());
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        give_up(STDERR_FILENO, "no new privileges");
    int err = filter_calls();
    if (err) {
        errno = -err;
        give_up(STDERR_FILENO, "system call filter");
    }
    limit(RLIMIT_AS, MEMORY_BYTES); /* last: this copy of ours may be larger */
    (void)execve(jail->program, jail->argv, env);
    give_up(STDERR_FILENO, jail->program);
}

static pid_t clone_self(int flags)
{
    return (pid_t)syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, NULL);
}

pid_t jail_start(const struct jail *jail, bool *bare)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    *bare = false;
    pid_t pid = clone_self(NAME_SPACES | (uid == 0 ? 0 : CLONE_NEWUSER));
    if (pid == 0)
        enter(jail, true, uid, gid);
    if (pid > 0 || (errno != EPERM && errno != ENOSPC && errno != EINVAL && errno != EUSERS))
        return pid > 0 ? pid : -errno;
    *bare = true;
    pid = clone_self(0);
    if (pid == 0)
        enter(jail, false, uid, gid);
    return pid > 0 ? pid : -errno;
}
