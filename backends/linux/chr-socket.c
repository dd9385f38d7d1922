/* Stream sockets: one peer at a time, its input with back-pressure, its output through a bounded buffer. See
 * chr-linux.h. */
#include "chr-socket.h"
#include "chr-private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { OUT_FIRST_BYTES = 4096, OUT_MAX_BYTES = 65536, MAX_FDS = 16 };

struct chr_socket {
    struct chr chr;
    struct chr_context context;
    struct socket_address address;
    struct fd_source listener, peer; /* fd -1: none */
    uint32_t events;                 /* what peer listens to; 0: nothing, it isn't added */
    bool paused;                     /* the user has no room */
    bool mute; /* the peer takes no more output; what it sent before is still to be read, and ends the connection */
    /* What the user is told, from the task: "closed" for a peer it knew, then "opened" for the next. */
    bool told;
    struct task tell;
    uint8_t *out;
    size_t out_len, out_size;
    unsigned busy;
    bool dead;
};

static void listen_for_peer(struct chr_socket *s)
{
    bool want = s->listener.fd >= 0 && s->peer.fd < 0 && !s->told;
    if (!want)
        epoll_source_remove(s->context.epoll, &s->listener);
    else if (!s->listener.added && epoll_source_add(s->context.epoll, &s->listener, EPOLLIN) != 0)
        log_print(s->context.log, LOG_ERROR, s->chr.label, "out of memory; no more clients are accepted");
}

/* A source without any event would still report a hang-up, over and over: it is taken out instead. */
static void listen_to_peer(struct chr_socket *s)
{
    uint32_t events = (s->paused ? 0 : EPOLLIN | EPOLLRDHUP) | (s->out_len > 0 ? EPOLLOUT : 0);
    if (s->peer.fd < 0 || events == s->events)
        return;
    int err = 0;
    if (events == 0)
        epoll_source_remove(s->context.epoll, &s->peer);
    else if (s->events == 0)
        err = epoll_source_add(s->context.epoll, &s->peer, events);
    else
        err = epoll_source_mod(s->context.epoll, &s->peer, events);
    s->events = err ? 0 : events;
}

static void forget_output(struct chr_socket *s)
{
    free(s->out);
    s->out = NULL;
    s->out_len = s->out_size = 0;
}

/* The user hears of it from the task: this may be inside one of its calls. */
static void hang_up(struct chr_socket *s)
{
    if (s->peer.fd < 0)
        return;
    epoll_source_remove(s->context.epoll, &s->peer);
    close(s->peer.fd);
    s->peer.fd = -1;
    s->events = 0;
    s->chr.connected = false;
    forget_output(s);
    socket_filename(&s->address, -1, s->chr.filename, sizeof(s->chr.filename));
    task_post(&s->tell);
}

static void take_peer(struct chr_socket *s, int fd)
{
    s->peer.fd = fd;
    s->paused = s->mute = false;
    s->chr.connected = true;
    socket_filename(&s->address, fd, s->chr.filename, sizeof(s->chr.filename));
    listen_to_peer(s);
    task_post(&s->tell);
}

static void tell(void *opaque)
{
    struct chr_socket *s = opaque;
    if (!s->chr.user)
        return; /* chr_bind() posts the task again */
    s->busy++;
    if (s->told && s->peer.fd < 0) {
        s->told = false;
        chr_closed(&s->chr);
    } else if (!s->told && s->peer.fd >= 0) {
        s->told = true;
        chr_opened(&s->chr);
    }
    if (!s->dead)
        listen_for_peer(s);
    if (--s->busy == 0 && s->dead)
        free(s);
}

static void turn_mute(struct chr_socket *s)
{
    s->mute = true;
    forget_output(s);
}

/* Bytes that went out, or that nobody will ever read. */
static size_t send_some(struct chr_socket *s, const uint8_t *buf, size_t len)
{
    ssize_t done = s->mute ? (ssize_t)len : send(s->peer.fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (done >= 0)
        return (size_t)done;
    if (errno == EAGAIN || errno == EINTR || errno == ENOBUFS)
        return 0;
    turn_mute(s);
    return len;
}

static void flush(struct chr_socket *s)
{
    if (s->out_len == 0)
        return;
    size_t done = send_some(s, s->out, s->out_len);
    if (s->mute)
        return;
    s->out_len -= done;
    memmove(s->out, s->out + done, s->out_len);
    if (s->out_len == 0)
        forget_output(s);
}

/* Descriptors of one message: the first is the user's, if it takes any. */
static void take_fds(struct chr_socket *s, struct msghdr *msg)
{
    int fds[MAX_FDS];
    bool given = false;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t nr = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds, CMSG_DATA(c), nr * sizeof(int)); /* at most MAX_FDS: the kernel closes what has no room */
        for (size_t i = 0; i < nr; i++) {
            if (given || s->dead || !s->chr.user || !s->chr.user->fd) {
                close(fds[i]);
                continue;
            }
            given = true;
            s->chr.user->fd(s->chr.opaque, fds[i]);
        }
    }
}

static ssize_t receive(struct chr_socket *s, uint8_t *buf, size_t room)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(MAX_FDS * sizeof(int))];
    } control;
    struct iovec iov = { .iov_base = buf, .iov_len = room };
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
    };
    ssize_t got = recvmsg(s->peer.fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got > 0)
        take_fds(s, &msg);
    return got;
}

static void read_peer(struct chr_socket *s)
{
    uint8_t buf[CHR_READ_BYTES];
    size_t room = chr_room(&s->chr);
    s->paused = room == 0;
    if (room == 0)
        return;
    ssize_t got = receive(s, buf, room);
    if (got > 0) {
        if (!s->dead)
            chr_recv(&s->chr, buf, (size_t)got);
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        flush(s); /* a peer that only stopped to send still gets its answer */
        hang_up(s);
    }
}

static void peer_ready(void *opaque, uint32_t events)
{
    struct chr_socket *s = opaque;
    s->busy++;
    if (!s->told)
        tell(s); /* "opened" comes before the first byte */
    if (!s->dead && s->peer.fd >= 0) {
        if (events & EPOLLOUT)
            flush(s);
        if (!s->paused && (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
            read_peer(s);
        else if (events & (EPOLLHUP | EPOLLERR))
            turn_mute(s); /* it left; the user finds out when it has room for the last input */
    }
    if (!s->dead)
        listen_to_peer(s);
    if (--s->busy == 0 && s->dead)
        free(s);
}

static void peer_waits(void *opaque, uint32_t events)
{
    struct chr_socket *s = opaque;
    if (s->peer.fd >= 0)
        return;
    int fd = accept4(s->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        /* It left again; or no descriptor is free: the next round tries again, and mustn't spin. */
        if (errno != EAGAIN)
            (void)nanosleep(&(struct timespec){ .tv_nsec = NS_PER_MS }, NULL);
        return;
    }
    socket_tune(fd);
    take_peer(s, fd);
    listen_for_peer(s);
}

/* Keep what fits. */
static size_t keep(struct chr_socket *s, const uint8_t *buf, size_t len)
{
    if (len > OUT_MAX_BYTES - s->out_len)
        len = OUT_MAX_BYTES - s->out_len;
    size_t size = s->out_size > 0 ? s->out_size : OUT_FIRST_BYTES;
    while (size < s->out_len + len)
        size *= 2;
    if (size != s->out_size) {
        uint8_t *out = realloc(s->out, size);
        if (!out)
            return 0;
        s->out = out;
        s->out_size = size;
    }
    memcpy(s->out + s->out_len, buf, len);
    s->out_len += len;
    return len;
}

static size_t socket_write(struct chr *chr, const uint8_t *buf, size_t len)
{
    struct chr_socket *s = container_of(chr, struct chr_socket, chr);
    if (s->peer.fd < 0 || len == 0)
        return len;
    size_t done = s->out_len > 0 ? 0 : send_some(s, buf, len);
    if (done < len)
        done += keep(s, buf + done, len - done);
    listen_to_peer(s);
    return done;
}

static void socket_resume(struct chr *chr)
{
    struct chr_socket *s = container_of(chr, struct chr_socket, chr);
    if (s->paused) {
        s->paused = false;
        listen_to_peer(s);
    }
    if (!s->told && s->peer.fd >= 0)
        task_post(&s->tell);
}

static void socket_disconnect(struct chr *chr)
{
    struct chr_socket *s = container_of(chr, struct chr_socket, chr);
    if (s->peer.fd >= 0)
        flush(s); /* the last words, as far as they go */
    hang_up(s);
}

static void socket_close(struct chr *chr)
{
    struct chr_socket *s = container_of(chr, struct chr_socket, chr);
    socket_disconnect(chr);
    task_cancel(&s->tell);
    epoll_source_remove(s->context.epoll, &s->listener);
    socket_address_close(&s->address, s->listener.fd);
    s->listener.fd = -1;
    s->chr.user = NULL;
    s->dead = true;
    if (s->busy == 0)
        free(s);
}

/* wait=on: the guest doesn't start before somebody listens to it. A signal that ends the program still does. */
static int wait_for_peer(struct chr_socket *s)
{
    struct loop *loop = s->context.loop;
    int err = 0;
    log_print(s->context.log, LOG_INFO, s->chr.label, "%s: waiting for a client", s->chr.filename);
    while (!err && s->peer.fd < 0 && !loop->stop)
        err = loop_step(loop, -1);
    return err || s->peer.fd >= 0 ? err : -EINTR;
}

int chr_socket_open(const struct chr_context *context, const struct chr_config *config, struct chr **out)
{
    static const struct chr_ops socket_ops = {
        .write = socket_write, .resume = socket_resume, .disconnect = socket_disconnect, .close = socket_close
    };
    struct chr_socket *s = chr_new(sizeof(*s), config, &socket_ops);
    if (!s)
        return -ENOMEM;
    int fd;
    s->context = *context;
    s->listener = (struct fd_source){ .fd = -1, .fn = peer_waits, .opaque = s };
    s->peer = (struct fd_source){ .fd = -1, .fn = peer_ready, .opaque = s };
    task_init(&s->tell, context->loop, tell, s);
    int err = config->server ? socket_listen(&s->address, config, &fd) : socket_connect(&s->address, config, &fd);
    if (err) {
        free(s);
        return chr_fail(context, config, err, config->server ? "can't listen on" : "can't connect to",
                        config->path   ? config->path
                        : config->host ? config->host
                                       : "the descriptor");
    }
    socket_filename(&s->address, -1, s->chr.filename, sizeof(s->chr.filename));
    if (config->server) {
        s->listener.fd = fd;
        listen_for_peer(s);
        err = config->wait ? wait_for_peer(s) : 0;
    } else {
        take_peer(s, fd);
    }
    if (err) {
        socket_close(&s->chr);
        return chr_fail(context, config, err, "can't wait for a client on", config->path);
    }
    *out = &s->chr;
    return 0;
}
