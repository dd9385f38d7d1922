/* The life of an image helper: see block-child.h. */
#include "block-child.h"

#include "block-child-private.h"
#include "epoll.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <thindm/log.h>
#include <time.h>
#include <unistd.h>

enum { SAID_BYTES = 200, MAX_ARGS = 12, CLOSE_MS = 10000, PIPE_READS = 128 };
#define AGAIN_NS      (60 * NS_PER_S) /* one that ends sooner after a restart is not started again */
#define LOCK_RETRY_NS (200 * NS_PER_MS)

struct image_child {
    struct epoll_host *epoll;
    struct log *log;
    struct log_rate log_rate;
    const char *program, *format;
    char image[PATH_MAX];
    char cache[32];
    bool device, read_only, discard;
    pid_t pid; /* 0: not running */
    int pid_fd, listener;
    unsigned starts;
    uint64_t started_ns;
    struct fd_source said_source;            /* its standard error */
    char said[SAID_BYTES], last[SAID_BYTES]; /* an unfinished line of it; the last whole one */
    size_t said_len;
    char dir[32];
    struct sockaddr_un addr; /* in dir, until the connection is made */
};

static const char *const programs[] = { "/usr/bin/qemu-nbd", "/usr/local/bin/qemu-nbd", "/usr/lib/xen/bin/qemu-nbd",
                                        "/usr/lib64/xen/bin/qemu-nbd" };
static const char *const formats[] = { "qcow2", "qcow", "vpc", "vhdx", "vmdk", "vdi", "qed" };
static const char *const caches[] = {
    [BLOCK_WRITEBACK] = "writeback", [BLOCK_WRITETHROUGH] = "writethrough",
    [BLOCK_NONE] = "none",           [BLOCK_DIRECTSYNC] = "directsync",
    [BLOCK_UNSAFE] = "unsafe",
};

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* --- What it says --- */

static void say_line(struct image_child *child)
{
    child->said[child->said_len] = '\0';
    if (child->said_len > 0) {
        memcpy(child->last, child->said, child->said_len + 1);
        log_limited(child->log, LOG_WARN, &child->log_rate, "block", "%s: helper says: %s", child->image, child->said);
    }
    child->said_len = 0;
}

/* Bytes of a process that a hostile image may have taken over: printable ones only, and lines that end. */
static void take_said(struct image_child *child, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\n' || child->said_len == SAID_BYTES - 1)
            say_line(child);
        if (text[i] != '\n')
            child->said[child->said_len++] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
    }
}

static void stop_listening_to_it(struct image_child *child)
{
    if (child->said_source.fd < 0)
        return;
    say_line(child);
    epoll_source_remove(child->epoll, &child->said_source);
    close(child->said_source.fd);
    child->said_source.fd = -1;
}

/* Once a wake-up, so that it can't keep us. False: it closed its end. */
static bool read_said(struct image_child *child)
{
    char text[512];
    ssize_t got = read(child->said_source.fd, text, sizeof(text));
    if (got > 0)
        take_said(child, text, (size_t)got);
    return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}

static void it_said(void *opaque, uint32_t events)
{
    struct image_child *child = opaque;
    if (!read_said(child))
        stop_listening_to_it(child);
}

/* --- Its socket --- */

static void hide_socket(struct image_child *child)
{
    if (!child->dir[0])
        return;
    (void)unlink(child->addr.sun_path);
    (void)rmdir(child->dir);
    child->dir[0] = '\0';
}

/* In a folder that only we can enter. */
static int make_socket(struct image_child *child)
{
    static const char *const places[] = { "/run/thindm-XXXXXX", "/tmp/thindm-XXXXXX" };
    int err = -ENOENT;
    child->dir[0] = '\0';
    for (size_t i = 0; i < ARRAY_SIZE(places) && !child->dir[0]; i++) {
        (void)snprintf(child->dir, sizeof(child->dir), "%s", places[i]);
        if (!mkdtemp(child->dir)) {
            err = -errno;
            child->dir[0] = '\0';
        }
    }
    if (!child->dir[0])
        return err;
    child->addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
    (void)snprintf(child->addr.sun_path, sizeof(child->addr.sun_path), "%s/nbd", child->dir);
    child->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    err = child->listener < 0 || bind(child->listener, (struct sockaddr *)&child->addr, sizeof(child->addr)) != 0 ||
                  listen(child->listener, 1) != 0
              ? -errno
              : 0;
    if (err)
        hide_socket(child);
    if (err && child->listener >= 0)
        close(child->listener);
    if (err)
        child->listener = -1;
    return err;
}

void image_child_connected(struct image_child *child)
{
    hide_socket(child);
    if (child->listener >= 0)
        close(child->listener);
    child->listener = -1;
}

/* --- Its start --- */

static const char *find_program(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(programs); i++)
        if (access(programs[i], X_OK) == 0)
            return programs[i];
    return NULL;
}

static const char *known_format(const char *format)
{
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
        if (!strcmp(formats[i], format))
            return formats[i];
    return NULL;
}

/* NULL, or why the image can't be. */
static const char *find_image(struct image_child *child, const struct block_open *open, int *err)
{
    struct stat st;
    *err = -EINVAL;
    if (!open->path)
        return "an image format needs a path, not a file descriptor";
    child->format = known_format(open->format);
    if (!child->format)
        return "this image format is not supported";
    bool found = realpath(open->path, child->image) && stat(child->image, &st) == 0;
    if (!found) {
        *err = -errno;
        return strerror(errno);
    }
    child->device = S_ISBLK(st.st_mode);
    if (!child->device && !S_ISREG(st.st_mode))
        return "neither a regular file nor a block device";
    *err = -ENOENT;
    child->program = find_program();
    return child->program ? NULL : "its format is read by qemu-nbd, which is not installed (Debian package qemu-utils)";
}

int image_child_create(const struct block_open *open, struct epoll_host *epoll, struct log *log,
                       struct image_child **out, char *name, size_t name_bytes)
{
    struct image_child *child = calloc(1, sizeof(*child));
    if (!child)
        return -ENOMEM;
    int err;
    const char *why = find_image(child, open, &err);
    if (why) {
        log_print(log, LOG_ERROR, "block", "%s: %s; not opened", open->path ? open->path : "the new medium", why);
        free(child);
        return err;
    }
    child->epoll = epoll;
    child->log = log;
    child->read_only = open->read_only;
    child->discard = open->discard;
    child->pid_fd = child->listener = -1;
    child->said_source = (struct fd_source){ .fd = -1, .fn = it_said, .opaque = child };
    (void)snprintf(child->cache, sizeof(child->cache), "--cache=%s", caches[open->cache]);
    (void)snprintf(name, name_bytes, "%s", child->image);
    *out = child;
    return 0;
}

static void put_args(const struct image_child *child, char format[32], const char *argv[MAX_ARGS])
{
    unsigned n = 0;
    (void)snprintf(format, 32, "--format=%s", child->format); /* never guessed from what a guest may have written */
    argv[n++] = "qemu-nbd";
    argv[n++] = format;
    argv[n++] = child->cache;
    argv[n++] = "--aio=threads";
    argv[n++] = child->discard ? "--discard=unmap" : "--discard=ignore";
    argv[n++] = "--shared=1"; /* and it ends with the connection */
    if (child->read_only)
        argv[n++] = "--read-only";
    argv[n++] = "--";
    argv[n++] = child->image;
    argv[n] = NULL;
}

static int listen_to_it(struct image_child *child, int error[2])
{
    if (pipe2(error, O_CLOEXEC) != 0)
        return -errno;
    int flags = fcntl(error[0], F_GETFL);
    (void)fcntl(error[0], F_SETFL, flags | O_NONBLOCK);
    child->said_source.fd = error[0];
    child->said_len = 0;
    child->last[0] = '\0';
    int err = epoll_source_add(child->epoll, &child->said_source, EPOLLIN);
    if (err) {
        close(error[0]);
        close(error[1]);
        child->said_source.fd = -1;
    }
    return err;
}

static int launch(struct image_child *child)
{
    char format[32];
    const char *argv[MAX_ARGS];
    bool bare;
    int error[2], err = make_socket(child);
    if (err)
        return err;
    err = listen_to_it(child, error);
    if (err) {
        image_child_connected(child);
        return err;
    }
    put_args(child, format, argv);
    pid_t pid = jail_start(&(struct jail){ .program = child->program,
                                           .argv = (char *const *)(uintptr_t)argv,
                                           .image = child->image,
                                           .device = child->device,
                                           .read_only = child->read_only,
                                           .listener = child->listener,
                                           .error = error[1] },
                           &bare);
    close(error[1]);
    if (pid < 0) {
        image_child_connected(child);
        stop_listening_to_it(child);
        return (int)pid;
    }
    if (bare)
        log_print(child->log, LOG_WARN, "block",
                  "%s: no name spaces for its helper here: only its system calls are limited", child->image);
    child->pid = pid;
    child->pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
    return 0;
}

int image_child_start(struct image_child *child, struct sockaddr_un *addr, const char **why)
{
    uint64_t now = now_ns();
    if (child->starts > 1 && now - child->started_ns < AGAIN_NS) {
        *why = "its helper ended again soon after a restart, and is not started once more";
        return -EIO;
    }
    child->starts++;
    child->started_ns = now;
    int err = launch(child);
    if (err) {
        *why = strerror(-err);
        return err;
    }
    *addr = child->addr;
    return 0;
}

/* --- Its end --- */

bool image_child_runs(const struct image_child *child)
{
    return child->pid > 0;
}

/* It ends by itself within ms. A system call filter may hide that from us, then it has to be believed. */
static bool ends(const struct image_child *child, int ms)
{
    struct pollfd poll_fd = { .fd = child->pid_fd, .events = POLLIN };
    return child->pid_fd >= 0 && poll(&poll_fd, 1, ms) > 0;
}

/* Killed if it doesn't end by itself within ms, which is false then. *status: what it left, -1 if nobody knows. */
static bool bury(struct image_child *child, int ms, int *status)
{
    bool ended = ends(child, ms);
    if (!ended)
        (void)kill(child->pid, SIGKILL);
    if (waitpid(child->pid, status, 0) != child->pid)
        *status = -1; /* a system call filter doesn't let us */
    for (int i = 0; child->said_source.fd >= 0 && i < PIPE_READS && read_said(child); i++)
        continue; /* what it said last */
    stop_listening_to_it(child);
    if (child->pid_fd >= 0)
        close(child->pid_fd);
    child->pid_fd = -1;
    child->pid = 0;
    return ended;
}

void image_child_reap(struct image_child *child, char *why, size_t why_bytes)
{
    int status = 0;
    if (!image_child_runs(child))
        return;
    image_child_connected(child);
    bool known = bury(child, 100, &status) && status != -1;
    if (child->last[0])
        (void)snprintf(why, why_bytes, "%s", child->last);
    else if (known && WIFSIGNALED(status))
        (void)snprintf(why, why_bytes, "its helper was ended by signal %d", WTERMSIG(status));
    else if (known)
        (void)snprintf(why, why_bytes, "its helper ended with status %d", WEXITSTATUS(status));
}

bool image_child_try_again(struct image_child *child)
{
    bool locked = strstr(child->last, "lock") != NULL;
    child->starts = 0;
    if (locked)
        (void)nanosleep(&(struct timespec){ .tv_nsec = LOCK_RETRY_NS }, NULL);
    return locked;
}

void image_child_close(struct image_child *child)
{
    int status;
    if (!child)
        return;
    image_child_connected(child);
    if (image_child_runs(child) && !bury(child, CLOSE_MS, &status))
        log_print(child->log, LOG_ERROR, "block", "%s: its helper didn't end; killed, written data may be lost",
                  child->image);
    free(child);
}
