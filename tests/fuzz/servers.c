/* Targets for what talks with a peer over a chr: the monitor, the qtest server. */
#include "fuzz.h"

#include <errno.h>
#include <qtest.h>
#include <stdlib.h>
#include <string.h>
#include <thindm/qmp.h>

/* Bytes below FIRST_TEXT do something else than come in: JSON and qtest have no use for them. */
enum control { DO_LEAVE, DO_FD, DO_FAIL, DO_EVENT, DO_OTHER, DO_STUCK, DO_DRAIN, DO_STOP, FIRST_TEXT };
enum { MAX_VCPUS = 4, NR_PEERS = 2, FIRST_FD = 100 };

struct peer {
    struct chr chr;
    size_t limit; /* bytes it takes */
};

struct monitor {
    struct loop loop;
    struct sim_clock clock;
    struct qmp *qmp;
    struct peer peers[NR_PEERS];
    enum qmp_status status;
    unsigned online;
    int fail;
    int fds_open, next_fd; /* every descriptor must be closed once */
};

static size_t peer_write(struct chr *chr, const uint8_t *buf, size_t len)
{
    struct peer *p = container_of(chr, struct peer, chr);
    size_t n = len < p->limit ? len : p->limit;
    if (p->limit != SIZE_MAX)
        p->limit -= n;
    for (size_t i = 0; i < n; i++) {
        if (buf[i] == 0)
            fuzz_bug("a zero byte in a reply");
    }
    return n;
}

static void peer_resume(struct chr *chr)
{
}

static const struct chr_ops peer_ops = { .write = peer_write, .resume = peer_resume, .disconnect = peer_resume };

static int result(struct monitor *m)
{
    int err = m->fail;
    m->fail = 0;
    return err;
}

static enum qmp_status op_status(void *opaque)
{
    return ((struct monitor *)opaque)->status;
}

static int op_cont(void *opaque, char error[CONFIG_ERROR_BYTES])
{
    struct monitor *m = opaque;
    m->status = QMP_RUNNING;
    qmp_event(m->qmp, "RESUME", NULL);
    return result(m);
}

static int op_stop(void *opaque, char error[CONFIG_ERROR_BYTES])
{
    struct monitor *m = opaque;
    m->status = QMP_PAUSED;
    qmp_event(m->qmp, "STOP", "{\"why\": 1}");
    return result(m);
}

static void op_quit(void *opaque)
{
}

static int op_simple(void *opaque, char error[CONFIG_ERROR_BYTES])
{
    return result(opaque);
}

static int op_dirty(void *opaque, bool enable)
{
    return result(opaque);
}

static int op_eject(void *opaque, const char *id, bool force, char error[CONFIG_ERROR_BYTES])
{
    return strlen(id) > 0 ? result(opaque) : -ENODEV;
}

static int op_change(void *opaque, const char *id, const struct qmp_medium *medium, char error[CONFIG_ERROR_BYTES])
{
    struct monitor *m = opaque;
    if (!medium->path)
        fuzz_bug("qmp: a medium without a name, descriptor %d", medium->fd);
    m->fds_open -= medium->fd >= 0;
    return result(m);
}

static int op_resize(void *opaque, const char *id, uint64_t bytes, char error[CONFIG_ERROR_BYTES])
{
    if (bytes > INT64_MAX)
        fuzz_bug("qmp: a disk of %llu bytes", (unsigned long long)bytes);
    return strlen(id) > 0 ? result(opaque) : -ENODEV;
}

static int op_cpu_add(void *opaque, unsigned index, char error[CONFIG_ERROR_BYTES])
{
    struct monitor *m = opaque;
    if (index >= MAX_VCPUS)
        fuzz_bug("qmp: vCPU %u added", index);
    m->online |= 1u << index;
    return result(m);
}

static bool op_block(void *opaque, unsigned i, struct qmp_block_info *info)
{
    *info = (struct qmp_block_info){ .device = i ? "ide-5632" : "ide0-hd0", .file = i ? NULL : "/srv/\"vm\".img" };
    return i < 2;
}

static bool op_chr(void *opaque, unsigned i, const char **label, const char **filename, bool *open)
{
    *label = "serial0";
    *filename = "pty:/dev/pts/3";
    *open = i == 0;
    return i < 2;
}

static bool op_cpu_online(void *opaque, unsigned index)
{
    return ((struct monitor *)opaque)->online & 1u << index;
}

static void op_close(void *opaque, int fd)
{
    struct monitor *m = opaque;
    if (fd < FIRST_FD || fd >= m->next_fd || m->fds_open-- <= 0)
        fuzz_bug("qmp: descriptor %d closed, which isn't open", fd);
}

static int op_dup(void *opaque, int fd)
{
    struct monitor *m = opaque;
    if (m->fail)
        return result(m);
    m->fds_open++;
    return m->next_fd++;
}

static void op_clock(void *opaque, uint64_t *seconds, uint32_t *microseconds)
{
    *seconds = 1700000000;
    *microseconds = 42;
}

static const struct qmp_ops monitor_ops = {
    .status = op_status, .cont = op_cont, .stop = op_stop, .quit = op_quit, .reset = op_simple, .powerdown = op_simple,
    .wakeup = op_simple, .set_dirty_log = op_dirty, .eject = op_eject, .change_medium = op_change, .block_resize = op_resize,
    .cpu_add = op_cpu_add,
    .block_info = op_block, .chr_info = op_chr, .cpu_online = op_cpu_online, .close_fd = op_close, .dup_fd = op_dup,
    .wall_clock = op_clock,
};

/* Hand bytes over as a chr would. */
static void give(struct chr *chr, const uint8_t *data, size_t len)
{
    while (len > 0) {
        size_t room = chr->user->room ? chr->user->room(chr->opaque) : len, n = len < room ? len : room;
        if (n == 0)
            return;
        chr->user->recv(chr->opaque, data, n);
        data += n;
        len -= n;
    }
}

static void leave_and_come(struct peer *p)
{
    p->chr.connected = false;
    if (p->chr.user->closed)
        p->chr.user->closed(p->chr.opaque);
    p->chr.connected = true;
    p->limit = SIZE_MAX;
    if (p->chr.user->opened)
        p->chr.user->opened(p->chr.opaque);
}

static struct peer *monitor_control(struct monitor *m, struct peer *p, enum control what)
{
    switch (what) {
    case DO_LEAVE: leave_and_come(p); break;
    case DO_FD:
        m->fds_open++;
        p->chr.user->fd(p->chr.opaque, m->next_fd++);
        break;
    case DO_FAIL: m->fail = -EIO; break;
    case DO_EVENT: qmp_event(m->qmp, "POWERDOWN", NULL); break;
    case DO_OTHER: return p == m->peers ? m->peers + 1 : m->peers;
    case DO_STUCK: p->limit = 3; break;
    case DO_DRAIN:
        p->limit = SIZE_MAX;
        break;
    default: m->status = (enum qmp_status)((m->status + 1) % (QMP_INMIGRATE + 1));
    }
    return p;
}

void fuzz_qmp_run(const struct fuzz_target *target, const uint8_t *data, size_t len)
{
    struct monitor m = { .online = 1, .next_fd = FIRST_FD };
    uint64_t rounds = 1000;
    sim_clock_init(&m.clock, NULL, NULL);
    loop_init(&m.loop, &sim_clock_host, &m.clock);
    struct qmp_config config = { .loop = &m.loop, .ops = &monitor_ops, .opaque = &m, .name = "vm", .max_vcpus = MAX_VCPUS };
    if (qmp_create(&config, &m.qmp))
        fuzz_bug("no memory");
    for (unsigned i = 0; i < NR_PEERS; i++) {
        m.peers[i] = (struct peer){ .chr = { .ops = &peer_ops, .label = "m" }, .limit = SIZE_MAX };
        if (qmp_attach(m.qmp, &m.peers[i].chr))
            fuzz_bug("no memory");
        leave_and_come(&m.peers[i]);
    }
    struct peer *p = m.peers;
    give(&p->chr, (const uint8_t *)"{\"execute\":\"qmp_capabilities\"}", 30);
    for (size_t at = 0, n; at < len; at += n) {
        for (n = 0; at + n < len && data[at + n] >= FIRST_TEXT; n++)
            ;
        give(&p->chr, data + at, n);
        if (at + n < len)
            p = monitor_control(&m, p, (enum control)data[at + n++]);
        (void)sim_clock_settle(&m.clock, &m.loop, &rounds);
    }
    for (unsigned i = 0; i < NR_PEERS; i++) {
        m.peers[i].chr.connected = false;
        m.peers[i].chr.user->closed(m.peers[i].chr.opaque);
    }
    qmp_destroy(m.qmp);
    if (m.fds_open != 0)
        fuzz_bug("qmp: %d descriptors left open", m.fds_open);
    if (m.loop.tasks || m.loop.timers)
        fuzz_bug("qmp: a task or timer is left");
}

/* --- qtest --- */

static void qtest_log(void *opaque, char kind, const char *line)
{
    *(volatile size_t *)opaque += strlen(line);
}


void fuzz_qtest_run(const struct fuzz_target *target, const uint8_t *data, size_t len)
{
    struct peer p = { .chr = { .ops = &peer_ops, .label = "q", .connected = true }, .limit = SIZE_MAX };
    struct fuzz_board *b = calloc(1, sizeof(*b));
    struct qtest *qtest;
    size_t logged = 0;
    unsigned turns = 0;
    if (!b)
        fuzz_bug("no memory");
    fuzz_board_init(b);
    struct qtest_config config = { .sim = b->sim, .clock = &b->clock, .loop = &b->loop, .chr = &p.chr, .log = qtest_log,
                                   .opaque = &logged };
    if (qtest_create(&config, &qtest))
        fuzz_bug("no memory");
    for (size_t at = 0, n; at < len; at += n) {
        for (n = 0; at + n < len && data[at + n] >= FIRST_TEXT; n++)
            ;
        give(&p.chr, data + at, n);
        if (at + n < len) {
            enum control what = (enum control)data[at + n++];
            p.limit = what == DO_STUCK ? 3 : SIZE_MAX;
            p.chr.connected = what != DO_LEAVE;
        }
        while (qtest_serve(qtest) == QTEST_BUSY && turns++ < 100)
            ;
    }
    qtest_destroy(qtest);
    sim_destroy(b->sim);
    free(b);
}
