/*
 * What one request costs: ns from the slot (or the ring) being filled until it is answered, through the pages that Xen shares and the
 * engine that serves them, on the simulated hypervisor; no notification, one core. And what a snapshot takes.
 *
 *     ioreq [--json]
 *
 * Medians of several rounds, with the spread between the fastest and the slowest.
 */
#include <machine.h>
#include <clock.h>
#include <sim.h>
#include <block-null.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thindm/chr.h>
#include <thindm/snapshot.h>
#include <time.h>

enum { ROUNDS = 21, ROM_BYTES = 4096, RAM_BYTES = 16 << 20, VRAM_BYTES = 16 << 20 };
enum { LSR = 0x3fd, VGA_WINDOW = 0xa0000, BUFFERED_ADDR = 0xa0000, BUFFERED_BURST = 256 };
enum { DMA_BYTES = 128 << 10, BM_BASE = 0xc000, PRDT = 0x8000, DMA_ADDR = 0x100000, TASK_FILE = 0x1f0 };

struct bench {
    struct machine m;
    struct config config;
    struct host host;
    struct log log;
    struct sim_clock clock;
    struct loop loop;
    struct sim *sim;
    struct snap_buf saved;
};

static void log_write(struct log *log, enum log_level level, const char *line)
{
}

static int open_chr(struct host *host, const struct chr_config *config, struct chr **out)
{
    return chr_null_open(out);
}

static int open_block(struct host *host, const struct block_open *open, struct block **out)
{
    return block_null_open(host->loop, GIB, out);
}

static int read_rom(struct host *host, const char *path, size_t max, uint8_t **data, size_t *len)
{
    *data = calloc(1, ROM_BYTES);
    *len = ROM_BYTES;
    return *data ? 0 : -ENOMEM;
}

static void fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static void set_up(struct bench *b)
{
    char error[CONFIG_ERROR_BYTES] = "";
    struct config *c = &b->config;
    config_init(c);
    c->domid = 1;
    c->ram_bytes = c->max_ram_below_4g = RAM_BYTES;
    c->vcpus = c->max_vcpus = 1;
    c->vga = VGA_STD;
    c->vga_bytes = VRAM_BYTES;
    c->ide[0] = (struct config_drive){ .present = true, .path = "disk", .id = "ide0-hd0" };
    c->serials[0] = (struct chr_config){ .label = "serial0", .kind = CHR_NULL, .fd = -1 };
    c->nr_serials = 1;
    b->log = (struct log){ .write = log_write, .level = LOG_WARN };
    sim_clock_init(&b->clock, NULL, NULL);
    loop_init(&b->loop, &sim_clock_host, &b->clock);
    if (sim_create(&(struct sim_config){ .ram_bytes = RAM_BYTES, .max_ram_below_4g = RAM_BYTES, .nr_vcpus = 1 }, &b->sim))
        fail("no memory");
    b->host = (struct host){ .loop = &b->loop, .log = &b->log, .opaque = b, .chr_open = open_chr, .block_open = open_block,
                             .read_file = read_rom };
    b->m = (struct machine){ .loop = &b->loop, .log = &b->log, .hv = sim_hv(b->sim), .host = &b->host, .config = c, .century = 20 };
    if (machine_create(&b->m, error))
        fail(error);
    sim_serve(b->sim, &(struct ioreq_config){ .ports = &b->m.ports, .memory = &b->m.memory, .pci = &b->m.pci, .mem = &b->m.mem,
                          .log = &b->log });
    sim_config_write(b->sim, PCI_DEVFN(1, 1), PCI_BAR0 + 16, 4, BM_BASE);
    sim_config_write(b->sim, PCI_DEVFN(1, 1), PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
    uint8_t prd[16] = { 0 }; /* two descriptors of 64 KiB, which is written as 0 */
    le32_put(prd, DMA_ADDR);
    le32_put(prd + 8, DMA_ADDR + (64 << 10));
    le32_put(prd + 12, 0x80000000);
    sim_ram_write(b->sim, PRDT, prd, sizeof(prd));
}

/* --- What is measured: n times --- */

static void port_read(struct bench *b, unsigned n)
{
    while (n-- > 0)
        sim_request(b->sim, &(struct sim_request){ .type = IOREQ_PIO, .read = true, .addr = LSR, .size = 1, .count = 1 });
}

static void config_read(struct bench *b, unsigned n)
{
    uint64_t addr = (uint64_t)PCI_DEVFN(1, 1) << 32;
    while (n-- > 0)
        sim_request(b->sim, &(struct sim_request){ .type = IOREQ_PCI_CONFIG, .read = true, .addr = addr, .size = 4, .count = 1 });
}

static void vga_write(struct bench *b, unsigned n)
{
    while (n-- > 0)
        sim_request(b->sim, &(struct sim_request){ .type = IOREQ_COPY, .addr = VGA_WINDOW + n % 4096, .size = 1, .count = 1, .data = n });
}

static void buffered_write(struct bench *b, unsigned n)
{
    while (n > 0) {
        for (unsigned i = 0; i < BUFFERED_BURST && n > 0; i++, n--) {
            if (!sim_post(b->sim, IOREQ_COPY, BUFFERED_ADDR + i, 1, i))
                fail("the ring is full");
        }
        sim_drain(b->sim);
    }
}

static void settle(struct bench *b)
{
    uint64_t rounds = 1000;
    if (!sim_clock_settle(&b->clock, &b->loop, &rounds))
        fail("the transfer doesn't end");
}

/* READ DMA EXT of 256 sectors, from the task file to the interrupt's acknowledgement. */
static void dma_read(struct bench *b, unsigned n)
{
    static const struct {
        uint8_t reg, val;
    } task_file[] = { { 6, 0xe0 }, { 2, 1 }, { 2, 0 }, { 3, 0 }, { 3, 0 }, { 4, 0 }, { 4, 0 }, { 5, 0 }, { 5, 0 }, { 7, 0x25 } };
    while (n-- > 0) {
        sim_port_write(b->sim, BM_BASE + 4, 4, PRDT);
        for (unsigned i = 0; i < ARRAY_SIZE(task_file); i++)
            sim_port_write(b->sim, TASK_FILE + task_file[i].reg, 1, task_file[i].val);
        sim_port_write(b->sim, BM_BASE, 1, 9);
        settle(b);
        if ((sim_port_read(b->sim, BM_BASE + 2, 1) & 7) != 4 || sim_port_read(b->sim, TASK_FILE + 7, 1) != 0x50)
            fail("the transfer failed");
        sim_port_write(b->sim, BM_BASE, 1, 0);
        sim_port_write(b->sim, BM_BASE + 2, 1, 6);
    }
}

/* 128 KiB as firmware reads them: by PIO in blocks of so many sectors, REP INSW for each, the status before it. */
static void pio_read(struct bench *b, unsigned n, uint8_t command, unsigned block)
{
    static const struct {
        uint8_t reg, val;
    } task_file[] = { { 6, 0xe0 }, { 2, 1 }, { 2, 0 }, { 3, 0 }, { 3, 0 }, { 4, 0 }, { 4, 0 }, { 5, 0 }, { 5, 0 } };
    while (n-- > 0) {
        for (unsigned i = 0; i < ARRAY_SIZE(task_file); i++)
            sim_port_write(b->sim, TASK_FILE + task_file[i].reg, 1, task_file[i].val);
        sim_port_write(b->sim, TASK_FILE + 7, 1, command);
        for (unsigned sector = 0; sector < DMA_BYTES / 512; sector += block) {
            while (sim_port_read(b->sim, TASK_FILE + 7, 1) & 0x80)
                settle(b);
            sim_request(b->sim, &(struct sim_request){ .type = IOREQ_PIO, .read = true, .pointer = true, .addr = TASK_FILE,
                                    .data = DMA_ADDR + 512 * sector, .size = 2, .count = 256 * block });
        }
        if (sim_port_read(b->sim, TASK_FILE + 7, 1) != 0x50)
            fail("the transfer failed");
    }
}

static void pio_read_sectors(struct bench *b, unsigned n)
{
    pio_read(b, n, 0x24, 1);
}

static void pio_read_multiple(struct bench *b, unsigned n)
{
    pio_read(b, n, 0x29, 16);
}

static void snapshot_save(struct bench *b, unsigned n)
{
    while (n-- > 0) {
        b->saved.len = 0;
        for (struct device *dev = b->m.devices.first; dev; dev = dev->next) {
            if (snapshot_save_device(dev, &b->saved))
                fail("no memory");
        }
    }
}

static const struct {
    const char *name;
    void (*run)(struct bench *b, unsigned n);
    unsigned n;
} cases[] = {
    { "serial LSR read", port_read, 400000 },
    { "PCI config read", config_read, 400000 },
    { "VGA MMIO write", vga_write, 400000 },
    { "buffered ring write", buffered_write, 400000 },
    { "IDE 128 KiB DMA read", dma_read, 2000 },
    { "IDE 128 KiB PIO, 1 sector", pio_read_sectors, 200 },
    { "IDE 128 KiB PIO, 16 sectors", pio_read_multiple, 500 },
    { "snapshot save", snapshot_save, 1000 },
};

/* Of this thread: what else runs on the host does not count. */
static double now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    bool json = argc > 1 && !strcmp(argv[1], "--json");
    struct bench *b = calloc(1, sizeof(*b));
    if (!b)
        fail("no memory");
    set_up(b);
    if (!json)
        printf("%-28s %12s %12s %12s\n", "ns each", "median", "fastest", "slowest");
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        double ns[ROUNDS];
        cases[i].run(b, cases[i].n / 10); /* warm */
        for (unsigned round = 0; round < ROUNDS; round++) {
            double start = now_ns();
            cases[i].run(b, cases[i].n);
            ns[round] = (now_ns() - start) / cases[i].n;
        }
        qsort(ns, ROUNDS, sizeof(ns[0]), by_value);
        if (json)
            printf("%s{\"name\": \"%s\", \"median_ns\": %.1f, \"min_ns\": %.1f, \"max_ns\": %.1f}%s\n", i == 0 ? "[" : " ", cases[i].name,
                   ns[ROUNDS / 2], ns[0], ns[ROUNDS - 1], i + 1 < ARRAY_SIZE(cases) ? "," : "]");
        else
            printf("%-28s %12.1f %12.1f %12.1f\n", cases[i].name, ns[ROUNDS / 2], ns[0], ns[ROUNDS - 1]);
    }
    snap_buf_free(&b->saved);
    machine_destroy(&b->m);
    sim_serve(b->sim, NULL);
    sim_destroy(b->sim);
    config_free(&b->config);
    free(b);
    return 0;
}
