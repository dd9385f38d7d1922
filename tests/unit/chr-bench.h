/* The bench of the character back ends: a user of a chr that remembers what it was told, opened through struct host. */
#ifndef THINDM_CHR_BENCH_H
#define THINDM_CHR_BENCH_H

#include "linux-world.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>

enum { GOT_MAX = 200000 };

struct user {
    struct chr *chr;
    size_t room, len;
    char *got;
    unsigned opened, closed, fds, calls;
    int fd;
    bool close_in_recv, close_in_opened, hang_up_in_recv;
};

static inline size_t room(void *opaque)
{
    struct user *u = opaque;
    u->calls++;
    return u->room;
}

static inline void recv_bytes(void *opaque, const uint8_t *buf, size_t len)
{
    struct user *u = opaque;
    assert_true(len > 0 && len <= u->room && u->len + len < GOT_MAX);
    memcpy(u->got + u->len, buf, len);
    u->len += len;
    u->got[u->len] = '\0';
    u->room -= len;
    if (u->hang_up_in_recv)
        chr_disconnect(u->chr);
    if (u->close_in_recv) {
        chr_close(u->chr);
        u->chr = NULL;
    }
}

static inline void opened(void *opaque)
{
    struct user *u = opaque;
    u->opened++;
    assert_true(u->opened == u->closed + 1); /* strictly in turn */
    if (u->close_in_opened) {
        chr_close(u->chr);
        u->chr = NULL;
    }
}

static inline void closed(void *opaque)
{
    struct user *u = opaque;
    u->closed++;
    assert_int_equal(u->opened, u->closed);
}

static inline void take_fd(void *opaque, int fd)
{
    struct user *u = opaque;
    u->fds++;
    u->fd = fd;
}

static const struct chr_user full_user __attribute__((unused)) = { room, recv_bytes, opened, closed, take_fd };
static const struct chr_user plain_user __attribute__((unused)) = { .room = room, .recv = recv_bytes };

struct bench {
    struct world *w;
    struct user u;
    unsigned fds; /* open before the test */
};

static inline int setup(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    b->w = world_new();
    b->u.got = calloc(1, GOT_MAX);
    b->u.room = 100000;
    b->u.fd = -1;
    b->fds = world_fds();
    *state = b;
    return 0;
}

static inline int teardown(void **state)
{
    struct bench *b = *state;
    chr_close(b->u.chr);
    assert_int_equal(world_fds(), b->fds);
    world_free(b->w);
    free(b->u.got);
    free(b);
    return 0;
}

static inline int open_chr(struct bench *b, struct chr_config config)
{
    (void)snprintf(config.label, sizeof(config.label), "test0");
    int err = b->w->host.host.chr_open(&b->w->host.host, &config, &b->u.chr);
    if (!err) {
        assert_string_equal(b->u.chr->label, "test0");
        chr_bind(b->u.chr, &full_user, &b->u);
    }
    return err;
}

static inline size_t say(struct bench *b, const char *text)
{
    return chr_write(b->u.chr, (const uint8_t *)text, strlen(text));
}

/* Next len bytes at the other side must be text. */
static inline void assert_hears(int fd, const char *text)
{
    char buf[256] = "";
    size_t used = 0, len = strlen(text);
    struct pollfd pollfd = { .fd = fd, .events = POLLIN };
    while (used < len && poll(&pollfd, 1, 2000) == 1) {
        ssize_t got = read(fd, buf + used, len - used);
        if (got <= 0)
            break;
        used += (size_t)got;
    }
    assert_string_equal(buf, text);
}

static inline bool hears_nothing(int fd)
{
    struct pollfd pollfd = { .fd = fd, .events = POLLIN };
    return poll(&pollfd, 1, 5) == 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
