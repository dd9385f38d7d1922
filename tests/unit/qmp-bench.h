/* What the tests of the monitor share: scripted chrs, a scripted machine, transcripts. */
#ifndef THINDM_TESTS_QMP_BENCH_H
#define THINDM_TESTS_QMP_BENCH_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <thindm/loop.h>
#include <thindm/qmp.h>

#define GREETING                                                                                                       \
    "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}, \"package\": \"thindm 0.1.0\"}, " \
    "\"capabilities\": []}}\r\n"
#define INVALID "{\"error\": {\"class\": \"GenericError\", \"desc\": \"the request is not valid JSON\"}}\r\n"
enum { OUT_BYTES = 512 * 1024, MAX_VCPUS = 4, MAX_CLOSED = 64 };

struct peer {
    struct chr chr;
    char out[OUT_BYTES];
    size_t len, limit; /* how much chr_write() takes in all */
    unsigned disconnects;
};

struct bench {
    struct loop loop;
    uint64_t now_ns;
    struct qmp *qmp;
    struct peer peers[2];
    enum qmp_status status;
    unsigned quits, quit_after, online;
    bool dirty_log, no_event;
    int closed[MAX_CLOSED], nr_closed, next_dup;
    int fail; /* what the next operation gives */
    char last[128];
    int last_fd;
};

static uint64_t bench_now(void *opaque)
{
    return ((struct bench *)opaque)->now_ns;
}

static int bench_wait(void *opaque, int64_t timeout_ns)
{
    struct bench *b = opaque;
    b->now_ns += timeout_ns > 0 ? (uint64_t)timeout_ns : 0;
    return 0;
}

static const struct loop_host bench_host = { bench_now, bench_wait };

static size_t peer_write(struct chr *chr, const uint8_t *buf, size_t len)
{
    struct peer *p = container_of(chr, struct peer, chr);
    size_t room = p->limit - p->len;
    if (len > room)
        len = room;
    memcpy(p->out + p->len, buf, len);
    p->len += len;
    p->out[p->len] = 0;
    return len;
}

static void peer_disconnect(struct chr *chr)
{
    container_of(chr, struct peer, chr)->disconnects++;
}

static const struct chr_ops peer_ops = { .write = peer_write, .disconnect = peer_disconnect };

static enum qmp_status op_status(void *opaque)
{
    return ((struct bench *)opaque)->status;
}

static int op_result(struct bench *b, char *error)
{
    int err = b->fail;
    if (err && error)
        snprintf(error, CONFIG_ERROR_BYTES, "it did not work");
    b->fail = 0;
    return err;
}

static int op_cont(void *opaque, char *error)
{
    struct bench *b = opaque;
    int err = op_result(b, error);
    if (err)
        return err;
    b->status = QMP_RUNNING;
    if (!b->no_event)
        qmp_event(b->qmp, "RESUME", NULL);
    return 0;
}

static int op_stop(void *opaque, char *error)
{
    struct bench *b = opaque;
    b->status = QMP_PAUSED;
    if (!b->no_event)
        qmp_event(b->qmp, "STOP", NULL);
    return op_result(b, error);
}

static void op_quit(void *opaque)
{
    struct bench *b = opaque;
    b->quits++;
    b->quit_after = (unsigned)b->peers[0].len;
}

static int op_simple(void *opaque, char *error)
{
    return op_result(opaque, error);
}

static int op_dirty(void *opaque, bool enable)
{
    struct bench *b = opaque;
    b->dirty_log = enable;
    return op_result(b, NULL);
}

static int op_eject(void *opaque, const char *id, bool force, char *error)
{
    struct bench *b = opaque;
    snprintf(b->last, sizeof(b->last), "eject %s %d", id, force);
    return op_result(b, error);
}

static int op_change(void *opaque, const char *id, const struct qmp_medium *medium, char *error)
{
    struct bench *b = opaque;
    b->last_fd = medium->fd;
    snprintf(b->last, sizeof(b->last), "change %s %s%s %s%s", id, medium->fd < 0 ? "" : "fd ", medium->path,
             medium->format ? medium->format : "-", medium->force ? " force" : "");
    return op_result(b, error);
}

static int op_cpu_add(void *opaque, unsigned index, char *error)
{
    struct bench *b = opaque;
    b->online |= 1u << index;
    return op_result(b, error);
}

static bool op_cpu_online(void *opaque, unsigned index)
{
    return ((struct bench *)opaque)->online & 1u << index;
}

static bool op_block(void *opaque, unsigned i, struct qmp_block_info *info)
{
    if (i > 1)
        return false;
    *info = (struct qmp_block_info){ .device = i ? "ide-5632" : "ide0-hd0", .file = i ? NULL : "/srv/\"vm\".img" };
    info->removable = info->tray_open = i == 1;
    info->stats.ops[BLOCK_READ] = 3;
    info->stats.bytes[BLOCK_READ] = 1536;
    info->stats.errors[BLOCK_READ] = 3;
    info->stats.rejected[BLOCK_READ] = 2;
    info->stats.ns[BLOCK_READ] = 77;
    info->stats.highest = 4096;
    info->format = i ? NULL : "qcow2";
    info->qdev = i ? "ide-5632" : "";
    info->size_bytes = MIB;
    info->io_error = i == 1;
    return true;
}

static bool op_chr(void *opaque, unsigned i, const char **label, const char **filename, bool *open)
{
    *label = i ? "serial0" : "libxl-cmd";
    *filename = i ? "pty:/dev/pts/3" : "unix:/run/q,server=on";
    *open = true;
    return i < 2;
}

static void op_close(void *opaque, int fd)
{
    struct bench *b = opaque;
    assert_true(b->nr_closed < MAX_CLOSED);
    b->closed[b->nr_closed++] = fd;
}

static int op_dup(void *opaque, int fd)
{
    struct bench *b = opaque;
    return b->next_dup < 0 ? b->next_dup : fd + 100;
}

static void op_clock(void *opaque, uint64_t *seconds, uint32_t *microseconds)
{
    *seconds = 1700000000;
    *microseconds = 42;
}

static int op_flight(void *opaque, int fd, const char *path, char *error)
{
    struct bench *b = opaque;
    snprintf(b->last, sizeof(b->last), "flight %d %s", fd, path);
    return op_result(b, error);
}

static int op_resize(void *opaque, const char *id, uint64_t bytes, char *error)
{
    struct bench *b = opaque;
    snprintf(b->last, sizeof(b->last), "resize %s %llu", id, (unsigned long long)bytes);
    return op_result(b, error);
}

static const struct qmp_ops ops = {
    .status = op_status,
    .cont = op_cont,
    .stop = op_stop,
    .quit = op_quit,
    .reset = op_simple,
    .wakeup = op_simple,
    .set_dirty_log = op_dirty,
    .eject = op_eject,
    .change_medium = op_change,
    .block_resize = op_resize,
    .flight_recorder = op_flight,
    .cpu_add = op_cpu_add,
    .block_info = op_block,
    .chr_info = op_chr,
    .cpu_online = op_cpu_online,
    .close_fd = op_close,
    .dup_fd = op_dup,
    .wall_clock = op_clock,
};

static int set_up(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    *state = b;
    loop_init(&b->loop, &bench_host, b);
    struct qmp_config config = { .loop = &b->loop, .ops = &ops, .opaque = b, .name = "vm1", .max_vcpus = MAX_VCPUS };
    assert_int_equal(qmp_create(&config, &b->qmp), 0);
    for (int i = 0; i < 2; i++) {
        b->peers[i].chr = (struct chr){ .ops = &peer_ops, .label = "libxl-cmd" };
        b->peers[i].limit = OUT_BYTES - 1;
        assert_int_equal(qmp_attach(b->qmp, &b->peers[i].chr), 0);
    }
    b->online = 1;
    return 0;
}

static int tear_down(void **state)
{
    struct bench *b = *state;
    qmp_destroy(b->qmp);
    assert_null(b->loop.timers);
    assert_null(b->loop.tasks);
    free(b);
    return 0;
}

static void clear(struct peer *p)
{
    p->len = 0;
    p->out[0] = 0;
}

static void give_bytes(struct peer *p, const char *bytes, size_t len)
{
    while (len > 0) {
        size_t room = p->chr.user->room(p->chr.opaque), n = len < room ? len : room;
        assert_true(n > 0);
        p->chr.user->recv(p->chr.opaque, (const uint8_t *)bytes, n);
        bytes += n;
        len -= n;
    }
}

static void give(struct peer *p, const char *text)
{
    clear(p);
    give_bytes(p, text, strlen(text));
}

static void connect_peer(struct peer *p)
{
    clear(p);
    p->chr.connected = true;
    p->chr.user->opened(p->chr.opaque);
}

static void leave(struct peer *p)
{
    p->chr.connected = false;
    p->chr.user->closed(p->chr.opaque);
}

static struct peer *negotiated(void **state)
{
    struct bench *b = *state;
    struct peer *p = &b->peers[0];
    connect_peer(p);
    give(p, "{\"execute\":\"qmp_capabilities\",\"id\":2020372737}\r\n");
    assert_string_equal(p->out, "{\"return\": {}, \"id\": 2020372737}\r\n");
    return p;
}

/* The reply to one request, without the line end. */
static void expect(struct peer *p, const char *request, const char *reply)
{
    give(p, request);
    assert_true(p->len >= 2);
    assert_string_equal(p->out + p->len - 2, "\r\n");
    p->out[p->len - 2] = 0;
    assert_string_equal(p->out, reply);
}

static void expect_error(struct peer *p, const char *request, const char *class, const char *desc)
{
    char reply[512];
    snprintf(reply, sizeof(reply), "{\"error\": {\"class\": \"%s\", \"desc\": \"%s\"}}", class, desc);
    expect(p, request, reply);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

#endif
