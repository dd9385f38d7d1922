/*
 * Files, devices, pipes and standard input and output. Input is level-triggered; while the user has no room the
 * descriptor is not listened to at all, so that a waiting or vanished peer costs nothing. A regular file as input is
 * always ready, which epoll can't tell: it is read from a task, a piece per round of the loop.
 */
#include "chr-private.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct chr_file {
    struct chr chr;
    struct chr_context context;
    int out;             /* -1: input only */
    int own[2];          /* closed with the chr; -1: none */
    bool may_block;      /* out: not a regular file */
    struct fd_source in; /* in.fd -1: output only, or its end was reached */
    bool paused;
    struct task more; /* reads input that is a regular file */
    bool restore;     /* before: how the terminal was */
    struct termios before;
    struct log_rate rate;
    unsigned busy;
    bool dead;
};

static void listen_again(struct chr_file *f)
{
    f->paused = false;
    if (f->in.fd < 0 || f->in.added)
        return;
    if (epoll_source_add(f->context.epoll, &f->in, EPOLLIN) == 0)
        return;
    struct stat st;
    if (fstat(f->in.fd, &st) == 0 && S_ISREG(st.st_mode))
        task_post(&f->more);
    else
        f->in.fd = -1; /* /dev/null: nothing will ever be typed there */
}

static void readable(void *opaque, uint32_t events)
{
    struct chr_file *f = opaque;
    uint8_t buf[CHR_READ_BYTES];
    f->busy++;
    size_t room = chr_room(&f->chr);
    ssize_t got = room > 0 ? read(f->in.fd, buf, room) : 0;
    if (room == 0) {
        f->paused = true;
        epoll_source_remove(f->context.epoll, &f->in);
    } else if (got > 0) {
        chr_recv(&f->chr, buf, (size_t)got);
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        epoll_source_remove(f->context.epoll, &f->in); /* the end of the input; output goes on */
        f->in.fd = -1;
        f->chr.connected = false;
    }
    if (--f->busy == 0 && f->dead)
        free(f);
}

static void read_more(void *opaque)
{
    struct chr_file *f = opaque;
    f->busy++;
    readable(f, EPOLLIN);
    if (!f->dead && !f->paused && f->in.fd >= 0)
        task_post(&f->more);
    if (--f->busy == 0 && f->dead)
        free(f);
}

static size_t file_write(struct chr *chr, const uint8_t *buf, size_t len)
{
    struct chr_file *f = container_of(chr, struct chr_file, chr);
    int64_t done;
    if (f->out < 0)
        return len;
    if (f->may_block) {
        done = chr_write_fd(f->out, buf, len);
    } else {
        done = write(f->out, buf, len);
        done = done < 0 ? -errno : done;
    }
    if (done >= 0)
        return (size_t)done;
    if (done != -EAGAIN && done != -EINTR && done != -EPIPE)
        log_limited(f->context.log, LOG_WARN, &f->rate, chr->label, "%s: %s; output is dropped", chr->filename,
                    strerror((int)-done));
    return 0;
}

static void file_resume(struct chr *chr)
{
    struct chr_file *f = container_of(chr, struct chr_file, chr);
    if (f->paused)
        listen_again(f);
}

static void file_close(struct chr *chr)
{
    struct chr_file *f = container_of(chr, struct chr_file, chr);
    epoll_source_remove(f->context.epoll, &f->in);
    task_cancel(&f->more);
    if (f->restore)
        (void)tcsetattr(f->out, TCSANOW, &f->before);
    for (unsigned i = 0; i < 2; i++) {
        if (f->own[i] >= 0)
            close(f->own[i]);
    }
    f->chr.user = NULL;
    f->dead = true;
    if (f->busy == 0)
        free(f);
}

static const struct chr_ops file_ops = { .write = file_write, .resume = file_resume, .close = file_close };

static struct chr_file *file_new(const struct chr_context *context, const struct chr_config *config)
{
    struct chr_file *f = chr_new(sizeof(*f), config, &file_ops);
    if (!f)
        return NULL;
    f->context = *context;
    f->out = f->own[0] = f->own[1] = -1;
    f->in = (struct fd_source){ .fd = -1, .fn = readable, .opaque = f };
    task_init(&f->more, context->loop, read_more, f);
    f->chr.connected = true;
    return f;
}

int chr_file_open(const struct chr_context *context, const struct chr_config *config, struct chr **out)
{
    struct stat st;
    bool exists = stat(config->path, &st) == 0;
    bool device = exists && S_ISCHR(st.st_mode), fifo = exists && S_ISFIFO(st.st_mode);
    int flags = O_CLOEXEC | O_NOCTTY;
    if (device || fifo) /* a FIFO opened both ways neither waits for a reader nor breaks when the reader leaves */
        flags |= O_RDWR | O_NONBLOCK;
    else
        flags |= O_WRONLY | O_CREAT | O_TRUNC;
    struct chr_file *f = file_new(context, config);
    if (!f)
        return -ENOMEM;
    f->out = open(config->path, flags, 0666);
    if (f->out < 0) {
        int err = chr_fail(context, config, -errno, "file", config->path);
        free(f);
        return err;
    }
    f->own[0] = f->out;
    f->may_block = device || fifo;
    (void)snprintf(f->chr.filename, sizeof(f->chr.filename), "file:%s", config->path);
    if (device) {
        f->in.fd = f->out;
        if (isatty(f->out))
            f->restore = chr_raw(f->out, false, &f->before) == 0;
        listen_again(f);
    }
    *out = &f->chr;
    return 0;
}

/* A FIFO opened both ways neither waits for a peer nor ends when it leaves. */
static int open_fifo(const char *path, const char *end)
{
    char name[PATH_MAX];
    int n = snprintf(name, sizeof(name), "%s.%s", path, end);
    return n < 0 || (size_t)n >= sizeof(name) ? -1 : open(name, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

int chr_pipe_open(const struct chr_context *context, const struct chr_config *config, struct chr **out)
{
    struct stat st;
    struct chr_file *f = file_new(context, config);
    if (!f)
        return -ENOMEM;
    f->own[0] = open_fifo(config->path, "in");
    f->own[1] = open_fifo(config->path, "out");
    if (f->own[0] < 0 && f->own[1] < 0 && stat(config->path, &st) == 0)
        f->own[0] = open(config->path, (S_ISFIFO(st.st_mode) ? O_RDWR : O_RDONLY) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (f->own[0] < 0 && f->own[1] < 0) {
        int err = chr_fail(context, config, -errno, "pipe", config->path);
        free(f);
        return err;
    }
    f->in.fd = f->own[0];
    f->out = f->own[1];
    f->may_block = true;
    (void)snprintf(f->chr.filename, sizeof(f->chr.filename), "pipe:%s", config->path);
    listen_again(f);
    *out = &f->chr;
    return 0;
}

int chr_stdio_open(const struct chr_context *context, const struct chr_config *config, struct chr **out)
{
    struct stat st;
    struct chr_file *f = file_new(context, config);
    if (!f)
        return -ENOMEM;
    f->out = STDOUT_FILENO;
    f->in.fd = STDIN_FILENO;
    f->may_block = fstat(STDOUT_FILENO, &st) != 0 || !S_ISREG(st.st_mode);
    (void)snprintf(f->chr.filename, sizeof(f->chr.filename), "stdio");
    if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
        f->restore = chr_raw(STDOUT_FILENO, true, &f->before) == 0;
    listen_again(f);
    *out = &f->chr;
    return 0;
}
