/* The whole machine on the simulated board, as on Xen or with interrupt controllers and timers of its own. */
#include "fuzz.h"

#include <machine-state.h>
#include <chipset/piix4-pm.h>
#include <chipset/xen-platform.h>
#include <errno.h>
#include <legacy/hpet.h>
#include <legacy/platform.h>
#include <stdlib.h>
#include <string.h>

enum { ROM_BYTES = 4096 };
/* Rows at the end of the tables that only a board with its own platform has. */
enum { NR_LEGACY_PORTS = 7, NR_LEGACY_MEMORY = 2 };

static const struct fuzz_range ports[] = {
    { 0x1f0, 8 },   { 0x3f6, 1 },   { 0x170, 8 },     { 0x376, 1 },   { FUZZ_BM_BASE, 16 }, { 0x60, 1 },     { 0x64, 1 },
    { 0x3f8, 8 },   { 0x3b0, 48 },  { 0x1ce, 4 },     { 0x10, 16 },   { 0x70, 2 },          { 0x92, 1 },     { 0xb2, 2 },
    { 0xcf8, 8 },   { 0, 16 },      { 0x80, 16 },     { 0xc0, 32 },   { 0xae00, 24 },       { 0xaf00, 32 },  { 0xafe0, 4 },
    { 0xe9, 1 },    { 0x402, 1 },   { FUZZ_PM_BASE, 64 }, { FUZZ_SMBUS_BASE, 16 }, { FUZZ_PLATFORM_BASE, 256 },
    { 0x20, 2 },    { 0xa0, 2 },    { 0x4d0, 2 },     { 0x40, 4 },    { 0x61, 1 },          { 0x510, 2 },    { 0x514, 8 },
};
static const struct fuzz_range memory[] = {
    { 0xa0000, 0x10000 }, { 0xb0000, 0x10000 },       { FUZZ_VGA_MMIO, 4096 }, { FUZZ_VRAM_BAR, 0x10000 },
    { FUZZ_VGA_ROM, 4096 }, { FUZZ_PLATFORM_BAR, 4096 }, { 0xc0000, 0x10000 },
    { IOAPIC_BASE, 0x60 }, { HPET_BASE, 0x160 },
};
static const uint8_t functions[] = { PCI_DEVFN(0, 0), PCI_DEVFN(1, 0), PCI_DEVFN(1, 1),
                                     PCI_DEVFN(1, 3), PCI_DEVFN(2, 0), PCI_DEVFN(3, 0) };
static struct fuzz_board *board; /* kept between inputs */

static int open_chr(struct host *host, const struct chr_config *config, struct chr **out)
{
    return fuzz_chr_open(host->opaque, out);
}

static int open_block(struct host *host, const struct block_open *open, struct block **out)
{
    if (!open->path || !strcmp(open->path, "cd"))
        return fuzz_disk_open(host->opaque, MIB, true, out);
    return fuzz_disk_open(host->opaque, strcmp(open->path, "huge") ? 8 * MIB : 160 * GIB, open->read_only, out);
}

static void close_fd(struct host *host, int fd)
{
}

static int read_rom(struct host *host, const char *path, size_t max, uint8_t **data, size_t *len)
{
    static const uint8_t head[] = { 0x55, 0xaa, ROM_BYTES / 512 };
    *data = calloc(1, ROM_BYTES);
    if (!*data)
        return -ENOMEM;
    memcpy(*data, head, sizeof(head));
    *len = ROM_BYTES;
    return 0;
}

/* What a snapshot may say: parked, a frame below or above 4 GiB, no frame at all. */
static uint64_t vram_place(uint8_t n)
{
    return n == 0 ? HV_VRAM_PARKED : (uint64_t)n << (n & 1 ? 25 : 40) | (n & 2);
}

/* A save for which there may be no memory. */
static void save_without_memory(struct machine *m, unsigned fail)
{
    struct snap_buf state = { 0 };
    fuzz_heap_fail(fail);
    int err = machine_save(m, &state);
    fuzz_heap_fail(0);
    snap_buf_free(&state);
    if (err && err != -ENOMEM)
        fuzz_bug("saving the board: error %d", err);
}

/* The whole board saved and restored, then once more with bytes of in in it, which it may refuse. */
static void state_event(struct fuzz_board *b, struct fuzz_in *in)
{
    char error[CONFIG_ERROR_BYTES] = "";
    struct snap_buf state = { 0 };
    if (b->saves == 0 || !machine_quiet(&b->m))
        return;
    b->saves--;
    if (machine_save(&b->m, &state) || machine_restore(&b->m, &state, error))
        fuzz_bug("the board refuses its own state: %s", error);
    for (unsigned n = fuzz_u8(in) % 8; n > 0; n--) {
        size_t back = (size_t)fuzz_le(in, 2); /* from the end: what is no device's is there */
        uint8_t val = fuzz_u8(in);
        if (back < state.len)
            state.data[state.len - 1 - back] = val;
    }
    uint8_t how = fuzz_u8(in);
    if (how & 1)
        state.len -= min_u64(state.len, fuzz_u8(in));
    if (how & 2) /* not even what is no device's */
        state.len = min_u64(state.len, fuzz_u8(in));
    state.pos = 0;
    if (machine_restore(&b->m, &state, error))
        devices_reset(&b->m.devices); /* a refused state never runs */
    snap_buf_free(&state);
    if (how & 4)
        save_without_memory(&b->m, fuzz_u8(in));
}

static void change_event(struct fuzz_board *b, const char *id, int fd)
{
    char error[CONFIG_ERROR_BYTES];
    (void)machine_change_medium(&b->m, id, &(struct qmp_medium){ .path = "cd", .fd = fd }, error);
}

/* From outside: media, vCPUs, the wake-up, a snapshot. */
static void machine_event(struct fuzz_board *b, unsigned kind, struct fuzz_in *in)
{
    static const char *const ids[] = { "ide1-cd0", "ide1-cd1", "ide0-hd0", "nobody" };
    char error[CONFIG_ERROR_BYTES] = "";
    struct qmp_block_info info;
    const char *id = ids[fuzz_u8(in) % ARRAY_SIZE(ids)];
    b->spoiled |= kind < 4 || kind >= 13;
    switch (kind) {
    case 0: (void)machine_eject(&b->m, id, false, error); break;
    case 1: (void)machine_eject(&b->m, id, true, error); break;
    case 2: change_event(b, id, -1); break;
    case 3: mem_set_dirty_log(&b->m.mem, fuzz_u8(in) & 1); break;
    case 4: (void)machine_wakeup(&b->m); break;
    case 5: machine_drain(&b->m); break;
    case 6: (void)machine_block_info(&b->m, fuzz_u8(in) % 5, &info); break;
    case 7: mem_invalidate(&b->m.mem); break;
    case 13: state_event(b, in); break;
    case 14: fuzz_any(machine_vram_restored(&b->m, vram_place(fuzz_u8(in)))); break;
    case 15: change_event(b, id, 1000); break; /* a descriptor */
    }
}

/* The CPU's side of the interrupt controllers, and drivers beside the board. */
static void platform_happened(struct fuzz_board *b, unsigned kind, struct fuzz_in *in)
{
    struct platform *p = b->m.platform;
    uint8_t n;
    if (kind < 8 || kind >= 14) {
        machine_event(b, kind, in);
        return;
    }
    n = fuzz_u8(in);
    switch (kind) {
    case 8: (void)platform_acknowledge(p); break;
    case 9: platform_end_of_interrupt(p, n); break;
    case 10: platform_isa(p, n & 0x1f, n & 0x80); break;
    case 11: platform_gsi(p, n & 0x3f, n & 0x80); break;
    case 12: fuzz_any(piix4_pm_cpu_add(b->m.pm, n)); break;
    case 13: platform_link(p, n >> 5, n & 0x1f); break;
    default: sim_drive_pin(b->sim, n % SIM_PINS, n & 0x80); return;
    }
    b->spoiled |= kind >= 10; /* lines stay up, vCPUs stay */
}

const struct fuzz_part fuzz_machine_part = {
    .name = "machine", .event = machine_event,
    .map = { ports, ARRAY_SIZE(ports) - NR_LEGACY_PORTS, memory, ARRAY_SIZE(memory) - NR_LEGACY_MEMORY, functions, ARRAY_SIZE(functions) },
};
const struct fuzz_part fuzz_platform_part = {
    .name = "platform", .event = platform_happened,
    .map = { ports, ARRAY_SIZE(ports), memory, ARRAY_SIZE(memory), functions, ARRAY_SIZE(functions) },
};

/* Lines go to the board's own controllers, as in sim-main.c. */
static void on_intx(void *platform, unsigned slot, unsigned pin, bool level)
{
    platform_intx(platform, slot, pin, level);
}

static void on_link(void *platform, unsigned link, unsigned irq)
{
    platform_link(platform, link, irq);
}

static void configure(struct config *c)
{
    config_init(c);
    c->domid = 1;
    c->ram_bytes = FUZZ_RAM;
    c->max_ram_below_4g = CONFIG_MAX_BELOW_4G;
    c->vcpus = 1;
    c->max_vcpus = 4;
    c->log_level = LOG_DEBUG; /* with the debug ports */
    c->vga = VGA_STD;
    c->vga_bytes = FUZZ_VRAM;
    c->ide[0] = (struct config_drive){ .present = true, .path = "disk", .id = "ide0-hd0" };
    c->ide[1] = (struct config_drive){ .present = true, .path = "huge", .id = "ide0-hd1" };
    c->ide[2] = (struct config_drive){ .present = true, .cdrom = true, .path = "cd", .id = "ide1-cd0" };
    c->serials[0] = (struct chr_config){ .label = "serial0", .kind = CHR_NULL, .fd = -1 };
    c->nr_serials = 1;
}

static struct fuzz_board *build(const struct fuzz_part *part)
{
    bool platform = part == &fuzz_platform_part;
    char error[CONFIG_ERROR_BYTES] = "";
    fuzz_heap_record();
    struct fuzz_board *b = calloc(1, sizeof(*b));
    if (!b)
        fuzz_bug("no memory");
    fuzz_board_init(b);
    configure(&b->config);
    b->config.platform = platform;
    b->m.pin_changed = platform ? sim_set_pin : NULL;
    b->m.pin_opaque = b->sim;
    b->host = (struct host){ .loop = &b->loop, .log = &b->log, .opaque = b, .chr_open = open_chr, .block_open = open_block,
                             .read_file = read_rom, .close_fd = close_fd };
    if (machine_create(&b->m, error))
        fuzz_bug("no machine: %s", error);
    b->map = &part->map;
    b->part = part;
    if (platform)
        sim_set_controllers(b->sim, &(struct sim_controllers){ platform_isa, on_intx, on_link, b->m.platform });
    fuzz_place_bars(b);
    fuzz_board_ready(b);
    return b;
}

static bool was_unplugged(const struct fuzz_board *b)
{
    const struct device *platform = devices_find(&b->m.devices, "xen-platform");
    return platform && xen_platform_unplugged(platform);
}

void fuzz_machine_run(const struct fuzz_target *target, const uint8_t *data, size_t len)
{
    struct fuzz_in in = { data, data + len };
    if (!board)
        board = build(target->part);
    fuzz_heap_run();
    fuzz_ops(board, &in);
    board->spoiled |= was_unplugged(board);
    if (!fuzz_board_reset(board, fuzz_place_bars))
        fuzz_machine_finish(target);
}

void fuzz_machine_finish(const struct fuzz_target *target)
{
    if (!board)
        return;
    sim_set_controllers(board->sim, NULL); /* they go first */
    fuzz_board_finish(board);
    config_free(&board->config);
    free(board);
    board = NULL;
}
