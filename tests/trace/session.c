/* A recorded guest: see session.h. */
#include "session.h"
#include "machine-state.h"
#include "null/block-null.h"
#include "sim/clock.h"
#include "sim/sim.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARGS                                                                                                           \
    "thindm\0-qtest\0stdio\0-machine\0xenfv\0-m\0"                                                                     \
    "16\0-vga\0std\0-drive\0file=null-co://,if=ide,index=0\0"                                                          \
    "-drive\0file=null-co://,if=ide,index=2,media=cdrom,id=cd\0-serial\0null\0"
enum { RAM_BYTES = 16 << 20, ROM_BYTES = 1536, DISK_BYTES = 1 << 20, MAX_ARGS = 32, REQUESTS_PER_ROUND = 5000 };
/* Ports of the board. */
enum { IDE0 = 0x1f0, IDE1 = 0x170, COM1 = 0x3f8, KBD = 0x60, VGA_STATUS = 0x3da, BUS_MASTER = 0xc000 };

/* --- Memory as a file --- */

static int memory_write(struct trace_sink *sink, const void *buf, size_t len)
{
    struct memory_sink *m = container_of(sink, struct memory_sink, sink);
    if (m->limit > 0 && len > m->limit - min_u64(m->len, m->limit))
        return -ENOSPC;
    if (len > m->cap - m->len) {
        m->cap = 2 * m->cap + len;
        m->data = realloc(m->data, m->cap);
        assert(m->data);
    }
    memcpy(m->data + m->len, buf, len);
    m->len += len;
    return 0;
}

void memory_sink_init(struct memory_sink *m)
{
    *m = (struct memory_sink){ { memory_write } };
}

void memory_sink_free(struct memory_sink *m)
{
    free(m->data);
    m->data = NULL;
}

static size_t memory_read(void *opaque, uint64_t off, void *buf, size_t len)
{
    const struct memory_sink *m = opaque;
    size_t n = off < m->len ? (size_t)min_u64(len, m->len - off) : 0;
    if (n > 0)
        memcpy(buf, m->data + off, n);
    return n;
}

int memory_reader(struct trace_reader *reader, const struct memory_sink *m)
{
    return trace_reader_init(reader, &(struct trace_source){ memory_read, (void *)(uintptr_t)m });
}

/* --- The world of the recorded one --- */

struct guest {
    struct machine machine;
    struct config config;
    struct sim_clock clock;
    struct loop loop;
    struct host host;
    struct log log;
    struct sim *sim;
    struct chr *line; /* the real end of COM1 */
    unsigned lines;
};

static void count_line(struct log *log, enum log_level level, const char *line)
{
    struct guest *g = container_of(log, struct guest, log);
    g->lines += level == LOG_ERROR;
}

static int open_line(struct host *host, const struct chr_config *config, struct chr **out)
{
    struct guest *g = host->opaque;
    int err = chr_null_open(out);
    g->line = err ? NULL : *out;
    return err;
}

static int open_disk(struct host *host, const struct block_open *open, struct block **out)
{
    int err = block_null_open(((struct guest *)host->opaque)->machine.loop, DISK_BYTES, out);
    if (!err)
        (*out)->read_only = open->read_only;
    return err;
}

static int read_rom(struct host *host, const char *path, size_t max, uint8_t **data, size_t *len)
{
    *data = malloc(ROM_BYTES);
    assert(*data);
    for (size_t i = 0; i < ROM_BYTES; i++)
        (*data)[i] = (uint8_t)(i * 7);
    memcpy(*data, "\x55\xaa\x03", 3);
    *len = ROM_BYTES;
    return 0;
}

static void close_fd(struct host *host, int fd)
{
}

static void parse(struct config *config, const char *args, size_t bytes)
{
    char *argv[MAX_ARGS + 1] = { 0 }, error[CONFIG_ERROR_BYTES];
    int argc = 0;
    for (size_t at = 0; at < bytes; at += strlen(args + at) + 1)
        argv[argc++] = (char *)(uintptr_t)(args + at);
    config_init(config);
    int err = options_parse(config, argc, argv, error);
    assert(!err);
    (void)err;
}

static void settle(struct guest *g)
{
    uint64_t rounds = 1000;
    (void)sim_clock_settle(&g->clock, &g->loop, &rounds);
}

static void pass(struct guest *g, uint64_t ns)
{
    uint64_t rounds = 100000;
    (void)sim_clock_run(&g->clock, &g->loop, g->clock.now_ns + ns, &rounds);
}

static void out(struct guest *g, uint16_t port, uint32_t val)
{
    sim_port_write(g->sim, port, 1, val);
}

/* --- What the guest does --- */

static void use_disk(struct guest *g)
{
    static const uint8_t packet[12] = { 0x43, 2, 0, 0, 0, 0, 0, 0, 64 }; /* READ TOC */
    out(g, IDE0 + 6, 0xe0);
    out(g, IDE0 + 7, 0xec);
    for (unsigned i = 0; i < 10; i++)
        (void)sim_port_read(g->sim, IDE0, 2);
    sim_port_string(g->sim, IDE0, &(struct sim_string){ .read = true, .size = 2, .addr = 0x4ff0, .count = 246 });
    out(g, IDE0 + 2, 1);
    out(g, IDE0 + 7, 0x20); /* READ SECTORS */
    settle(g);
    (void)sim_port_read(g->sim, IDE0 + 7, 1);
    sim_port_string(g->sim, IDE0, &(struct sim_string){ .read = true, .size = 4, .addr = 0x8000, .count = 128 });
    sim_ram_write(g->sim, 0x9000, "bytes for the disk, in memory", 30);
    out(g, IDE0 + 2, 1);
    out(g, IDE0 + 7, 0x30); /* WRITE SECTORS */
    sim_port_string(g->sim, IDE0, &(struct sim_string){ .size = 2, .addr = 0x9000, .count = 256 });
    settle(g);
    (void)sim_port_read(g->sim, IDE0 + 7, 1);
    out(g, IDE1 + 6, 0xa0);
    out(g, IDE1 + 4, 0);
    out(g, IDE1 + 5, 8);
    out(g, IDE1 + 7, 0xa0); /* PACKET */
    for (unsigned i = 0; i < 12; i += 2)
        sim_port_write(g->sim, IDE1, 2, le16_get(packet + i));
    settle(g);
    for (unsigned i = 0; i < 8; i++)
        (void)sim_port_read(g->sim, IDE1, 2);
}

static void use_dma(struct guest *g)
{
    uint8_t table[16];
    le32_put(table, 0x20000);
    le32_put(table + 4, 0x1000);
    le32_put(table + 8, 0x30000);
    le32_put(table + 12, 0x80001000);
    sim_ram_write(g->sim, 0x1000, table, sizeof(table));
    sim_config_write(g->sim, PCI_DEVFN(1, 1), 0x20, 4, BUS_MASTER);
    sim_config_write(g->sim, PCI_DEVFN(1, 1), PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
    for (unsigned write = 0; write < 2; write++) {
        sim_port_write(g->sim, BUS_MASTER + 4, 4, 0x1000);
        out(g, IDE0 + 6, 0xe0);
        out(g, IDE0 + 2, 16);
        out(g, IDE0 + 7, write ? 0xca : 0xc8);
        out(g, BUS_MASTER, write ? 1 : 9);
        settle(g);
        (void)sim_port_read(g->sim, BUS_MASTER + 2, 1);
        (void)sim_port_read(g->sim, IDE0 + 7, 1);
        out(g, BUS_MASTER, 0);
    }
}

static void use_rest(struct guest *g, unsigned requests)
{
    uint8_t posted = 0;
    out(g, COM1 + 1, 1);
    out(g, COM1 + 2, 0xc1);
    out(g, COM1, 'x');
    if (g->line && g->line->user && g->line->user->room(g->line->opaque) >= 3)
        g->line->user->recv(g->line->opaque, (const uint8_t *)"abc", 3);
    pass(g, 10 * NS_PER_MS); /* the idle receiver interrupts */
    (void)sim_port_read(g->sim, COM1 + 2, 1);
    (void)sim_port_read(g->sim, COM1, 1);
    out(g, KBD + 4, 0x20);
    (void)sim_port_read(g->sim, KBD, 1);
    for (unsigned i = 0; i < 8; i++) {
        if (sim_post(g->sim, IOREQ_COPY, 0xb8000 + i, 1, posted++))
            continue;
        sim_drain(g->sim);
    }
    (void)sim_mem_read(g->sim, 0xb8000, 4);
    for (unsigned i = 0; i < 5; i++) {
        (void)sim_port_read(g->sim, VGA_STATUS, 1);
        pass(g, 100000);
    }
    sim_mem_string(g->sim, 0xb8000, &(struct sim_string){ .read = true, .size = 2, .addr = 0xc000, .count = 40 });
    for (unsigned i = 0; i < requests; i++)
        (void)sim_port_read(g->sim, COM1 + 5, 1);
    (void)sim_request(g->sim,
                      &(struct sim_request){ .addr = 0x3f8, .size = 3, .count = 1, .type = IOREQ_PIO, .read = true });
}

static bool quiet(void *machine)
{
    return machine_quiet(machine);
}

static int save(void *machine, struct snap_buf *out)
{
    return machine_save(machine, out);
}

void session_record(struct memory_sink *sink, size_t ring_bytes, unsigned requests, unsigned *log_lines)
{
    struct guest *g = calloc(1, sizeof(*g));
    struct trace_recorder *rec = NULL;
    char error[CONFIG_ERROR_BYTES] = "";
    assert(g);
    parse(&g->config, ARGS, sizeof(ARGS) - 1);
    sim_clock_init(&g->clock, NULL, NULL);
    loop_init(&g->loop, &sim_clock_host, &g->clock);
    int err =
        sim_create(&(struct sim_config){ .ram_bytes = RAM_BYTES, .max_ram_below_4g = GIB, .nr_vcpus = 2 }, &g->sim);
    assert(!err);
    g->log = (struct log){ .write = count_line, .level = LOG_INFO };
    g->host = (struct host){ .loop = &g->loop,
                             .log = &g->log,
                             .opaque = g,
                             .chr_open = open_line,
                             .block_open = open_disk,
                             .close_fd = close_fd,
                             .read_file = read_rom };
    g->machine = (struct machine){
        .loop = &g->loop, .log = &g->log, .hv = sim_hv(g->sim), .host = &g->host, .config = &g->config, .century = 20
    };
    err = trace_recorder_create(&(struct trace_recorder_config){ .sink = ring_bytes ? NULL : &sink->sink,
                                                                 .ring_bytes = ring_bytes,
                                                                 .log = &g->log },
                                &rec);
    assert(!err);
    trace_recorder_start(rec, &(struct trace_world){ .loop = &g->loop,
                                                     .hv = &g->machine.hv,
                                                     .host = &g->machine.host,
                                                     .args = ARGS,
                                                     .args_bytes = sizeof(ARGS) - 1,
                                                     .century = 20 });
    err = machine_create(&g->machine, error);
    assert(!err);
    trace_recorder_ready(rec, &g->machine.mem, &(struct trace_machine){ quiet, save, &g->machine });
    sim_serve(g->sim, &(struct ioreq_config){ .ports = &g->machine.ports,
                                              .memory = &g->machine.memory,
                                              .pci = &g->machine.pci,
                                              .mem = &g->machine.mem,
                                              .log = &g->log,
                                              .trace = trace_recorder_trace(rec) });
    for (unsigned done = 0; done <= requests; done += REQUESTS_PER_ROUND) {
        use_disk(g);
        use_dma(g);
        use_rest(g, requests < REQUESTS_PER_ROUND ? requests : REQUESTS_PER_ROUND);
    }
    trace_action(trace_recorder_trace(rec), TRACE_EJECT, 1, "cd");
    (void)machine_eject(&g->machine, "cd", true, error);
    trace_end(trace_recorder_trace(rec));
    settle(g);
    if (ring_bytes)
        err = trace_recorder_dump(rec, &sink->sink);
    trace_recorder_finish(rec);
    assert(!err);
    (void)err;
    machine_destroy(&g->machine);
    trace_recorder_destroy(rec);
    sim_destroy(g->sim);
    config_free(&g->config);
    *log_lines = g->lines;
    free(g);
}

/* --- Replay --- */

struct player {
    struct trace_reader reader;
    struct machine machine;
    struct config config;
    struct ioreq engine;
    struct log log;
    uint8_t *pages;
};

static void drop_line(struct log *log, enum log_level level, const char *line)
{
}

static void act(void *opaque, enum trace_action action, uint64_t number, const char *text)
{
    struct player *p = opaque;
    char error[CONFIG_ERROR_BYTES];
    if (action == TRACE_EJECT)
        (void)machine_eject(&p->machine, text, number, error);
    else if (action == TRACE_STOP)
        machine_drain(&p->machine);
}

static int save_player(void *opaque, struct snap_buf *out)
{
    return machine_save(&((struct player *)opaque)->machine, out);
}

static int restore_player(void *opaque, struct snap_buf *in, char error[TRACE_ERROR_BYTES])
{
    char text[CONFIG_ERROR_BYTES] = "";
    int err = machine_restore(&((struct player *)opaque)->machine, in, text);
    (void)snprintf(error, TRACE_ERROR_BYTES, "%.160s", text);
    return err;
}

static void play(struct player *p, struct trace_replay *replay, struct trace_replay_result *result)
{
    char **argv, error[CONFIG_ERROR_BYTES] = "";
    int argc = trace_replay_args(replay, &argv);
    config_init(&p->config);
    if (options_parse(&p->config, argc, argv, error) || p->config.machine == MACHINE_NONE ||
        p->config.vga_bytes > 16 * MIB) {
        memcpy(result->report, "refused", 8);
        return;
    }
    p->machine = (struct machine){ .loop = trace_replay_loop(replay),
                                   .log = &p->log,
                                   .hv = trace_replay_hv(replay),
                                   .host = trace_replay_host(replay),
                                   .config = &p->config,
                                   .century = trace_replay_century(replay) };
    if (machine_create(&p->machine, error)) {
        trace_replay_give_up(replay, result);
        if (!result->report[0])
            memcpy(result->report, "not built", 10);
        return;
    }
    ioreq_init(&p->engine, &(struct ioreq_config){ .ports = &p->machine.ports,
                                                   .memory = &p->machine.memory,
                                                   .pci = &p->machine.pci,
                                                   .mem = &p->machine.mem,
                                                   .log = &p->log,
                                                   .sync_page = p->pages,
                                                   .buffered_page = p->pages + PAGE_BYTES,
                                                   .nr_vcpus = IOREQ_MAX_VCPUS,
                                                   .trace = trace_replay_trace(replay) });
    trace_replay_run(replay,
                     &(struct trace_replay_world){ .mem = &p->machine.mem,
                                                   .engine = &p->engine,
                                                   .sync_page = p->pages,
                                                   .buffered_page = p->pages + PAGE_BYTES,
                                                   .nr_vcpus = IOREQ_MAX_VCPUS,
                                                   .action = act,
                                                   .save = save_player,
                                                   .restore = restore_player,
                                                   .opaque = p },
                     result);
    machine_destroy(&p->machine);
}

void session_replay(const struct memory_sink *sink, struct trace_replay_result *result)
{
    struct player *p = calloc(1, sizeof(*p));
    struct trace_replay *replay = NULL;
    memset(result, 0, sizeof(*result));
    assert(p);
    p->log = (struct log){ .write = drop_line, .level = LOG_INFO };
    p->pages = aligned_alloc(PAGE_BYTES, 2 * PAGE_BYTES);
    assert(p->pages);
    memset(p->pages, 0, 2 * PAGE_BYTES);
    if (memory_reader(&p->reader, sink) == 0 &&
        trace_replay_create(&(struct trace_replay_config){ &p->reader, &p->log }, &replay, result->report) == 0)
        play(p, replay, result);
    else if (!result->report[0])
        memcpy(result->report, p->reader.error, sizeof(p->reader.error));
    config_free(&p->config);
    trace_replay_destroy(replay);
    free(p->pages);
    free(p);
}
