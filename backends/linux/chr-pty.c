/*
 * A pseudo-terminal: where "xl console -t serial" looks in. The kernel has no event for "somebody opened the other
 * end", and says "hung up" all the time while nobody has it open. So: edge-triggered events (a hang-up is told once,
 * input when it comes), and a look before each write. Nothing is ever polled for.
 */
#include "chr-private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct chr_pty {
    struct chr chr;
    struct chr_context context;
    struct fd_source source;
    struct task read;
    bool paused; /* there may be input that the user had no room for */
    unsigned busy;
    bool dead;
};

static void peer(struct chr_pty *p, bool connected)
{
    if (p->chr.connected == connected)
        return;
    p->chr.connected = connected;
    if (connected)
        chr_opened(&p->chr);
    else
        chr_closed(&p->chr);
}

/* Up to one buffer, then a task goes on: edges come once, and the guest's input must not keep the others waiting. */
static void read_some(void *opaque)
{
    struct chr_pty *p = opaque;
    uint8_t buf[CHR_READ_BYTES];
    p->busy++;
    size_t room = chr_room(&p->chr);
    p->paused = room == 0;
    ssize_t got = room > 0 ? read(p->source.fd, buf, room) : -1;
    if (room > 0 && got > 0) {
        peer(p, true);
        if (!p->dead)
            chr_recv(&p->chr, buf, (size_t)got);
        if (!p->dead)
            task_post(&p->read);
    } else if (room > 0 && (got == 0 || errno == EIO)) {
        peer(p, false); /* EIO: the other end is closed */
    } else if (room > 0 && errno == EINTR) {
        task_post(&p->read);
    } else if (room > 0 && errno == EAGAIN) {
        peer(p, true); /* nothing typed yet, but it is open */
    }
    if (--p->busy == 0 && p->dead)
        free(p);
}

static void happened(void *opaque, uint32_t events)
{
    struct chr_pty *p = opaque;
    if (!(events & EPOLLIN) && !(events & EPOLLHUP))
        return;
    task_post(&p->read); /* finds out which: input may still be there behind a hang-up */
}

static size_t pty_write(struct chr *chr, const uint8_t *buf, size_t len)
{
    struct chr_pty *p = container_of(chr, struct chr_pty, chr);
    struct pollfd pollfd = { .fd = p->source.fd, .events = POLLOUT };
    /* Without a reader the kernel would keep the first few KiB, and show that to whoever looks in hours later. */
    if (poll(&pollfd, 1, 0) != 1 || (pollfd.revents & POLLHUP) || !(pollfd.revents & POLLOUT))
        return pollfd.revents & POLLHUP ? len : 0;
    if (!chr->connected)
        task_post(&p->read); /* tells the user, from the loop */
    ssize_t done = write(p->source.fd, buf, len);
    return done > 0 ? (size_t)done : 0;
}

static void pty_resume(struct chr *chr)
{
    struct chr_pty *p = container_of(chr, struct chr_pty, chr);
    if (p->paused)
        task_post(&p->read);
}

static void pty_close(struct chr *chr)
{
    struct chr_pty *p = container_of(chr, struct chr_pty, chr);
    task_cancel(&p->read);
    epoll_source_remove(p->context.epoll, &p->source);
    close(p->source.fd);
    p->chr.user = NULL;
    p->dead = true;
    if (p->busy == 0)
        free(p);
}

/* The other end is made raw and closed again: from then on "hung up" tells whether somebody has it open. */
static int prepare(struct chr_pty *p)
{
    struct termios before;
    char name[32];
    int fd = p->source.fd;
    if (grantpt(fd) != 0 || unlockpt(fd) != 0 || ptsname_r(fd, name, sizeof(name)) != 0)
        return -errno;
    int other = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (other < 0)
        return -errno;
    int err = chr_raw(other, false, &before);
    close(other);
    (void)snprintf(p->chr.filename, sizeof(p->chr.filename), "pty:%s", name);
    return err;
}

int chr_pty_open(const struct chr_context *context, const struct chr_config *config, struct chr **out)
{
    static const struct chr_ops pty_ops = { .write = pty_write, .resume = pty_resume, .close = pty_close };
    struct chr_pty *p = chr_new(sizeof(*p), config, &pty_ops);
    if (!p)
        return -ENOMEM;
    p->context = *context;
    task_init(&p->read, context->loop, read_some, p);
    int err, fd = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        err = -errno;
        goto out_free;
    }
    p->source = (struct fd_source){ .fd = fd, .fn = happened, .opaque = p };
    err = prepare(p);
    if (!err)
        err = epoll_source_add(context->epoll, &p->source, EPOLLIN | EPOLLET);
    if (err)
        goto out_close;
    *out = &p->chr;
    return 0;
out_close:
    close(fd);
out_free:
    free(p);
    return chr_fail(context, config, err, "pty", NULL);
}
