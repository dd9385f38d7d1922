/* See chr-private.h. */
#include "chr-private.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void *chr_new(size_t size, const struct chr_config *config, const struct chr_ops *ops)
{
    struct chr *chr = calloc(1, size); /* every back end begins with its struct chr */
    if (!chr)
        return NULL;
    chr->ops = ops;
    (void)snprintf(chr->label, sizeof(chr->label), "%s", config->label);
    return chr;
}

int chr_fail(const struct chr_context *context, const struct chr_config *config, int err, const char *what,
             const char *name)
{
    log_print(context->log, LOG_ERROR, config->label[0] ? config->label : "chardev", "%s %s: %s; not opened", what,
              name ? name : "", strerror(-err));
    return err;
}

size_t chr_room(const struct chr *chr)
{
    if (!chr->user || !chr->user->recv)
        return 0;
    size_t room = chr->user->room ? chr->user->room(chr->opaque) : CHR_READ_BYTES;
    return room < CHR_READ_BYTES ? room : CHR_READ_BYTES;
}

void chr_recv(struct chr *chr, const uint8_t *buf, size_t len)
{
    if (chr->user && chr->user->recv)
        chr->user->recv(chr->opaque, buf, len);
}

void chr_opened(struct chr *chr)
{
    if (chr->user && chr->user->opened)
        chr->user->opened(chr->opaque);
}

void chr_closed(struct chr *chr)
{
    if (chr->user && chr->user->closed)
        chr->user->closed(chr->opaque);
}

int64_t chr_write_fd(int fd, const uint8_t *buf, size_t len)
{
    struct pollfd pollfd = { .fd = fd, .events = POLLOUT };
    if (poll(&pollfd, 1, 0) != 1 || !(pollfd.revents & POLLOUT))
        return pollfd.revents & (POLLERR | POLLHUP) ? -EPIPE : -EAGAIN;
    /* A pipe that says "writable" takes this much without waiting. */
    ssize_t done = write(fd, buf, len < 4096 ? len : 4096);
    if (done >= 0)
        return done;
    return errno == EINTR || errno == EWOULDBLOCK ? -EAGAIN : -errno;
}

int chr_raw(int fd, bool keep_signals, struct termios *before)
{
    struct termios raw;
    if (tcgetattr(fd, before) != 0)
        return -errno;
    raw = *before;
    cfmakeraw(&raw);
    if (keep_signals) {
        raw.c_lflag |= ISIG;
        raw.c_oflag |= OPOST; /* our own messages go there too */
    }
    return tcsetattr(fd, TCSANOW, &raw) == 0 ? 0 : -errno;
}
