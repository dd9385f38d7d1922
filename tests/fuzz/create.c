/*
 * A machine of any configuration, on a host where all can fail: files, channels, any allocation. One that comes to life runs a few
 * operations; whatever happens, nothing may be left of it.
 */
#include "fuzz.h"

#include <errno.h>
#include <legacy/platform.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROM_NAMES = 4, ROM_MAX = 1 << 20, PATHS = 7 };

/* A file that the host has, has not, or can't read. */
struct file {
    const char *path;
    uint64_t bytes;
    int err;
};

static const struct file disks[PATHS] = {
    { "disk", 8 * MIB, 0 },  { "huge", 160 * GIB, 0 }, { "odd", MIB + 777, 0 },          { "empty", 0, 0 },
    { "sector", 512, 0 },    { "none", 0, -ENOENT },   { "endless", INT64_MAX & ~UINT64_C(511), 0 },
};
/* The default name, and what -global romfile= may say: a file in a folder, none, one that is named without. */
static const char *const rom_names[ROM_NAMES] = { NULL, "/srv/vga.rom", "", "vga.rom" };

struct world {
    struct fuzz_board board;
    const struct hv_ops *real; /* the hypervisor's */
    struct hv_ops ops;         /* the same, some of which fail */
    uint8_t refused;           /* bit per kind of call */
    unsigned rom;         /* what the ROM file is like */
    unsigned bad_chrs;    /* bit per serial port: can't be opened */
    unsigned opened;
};

/* --- The host --- */

static void close_fd(struct host *host, int fd)
{
}

static int open_chr(struct host *host, const struct chr_config *config, struct chr **out)
{
    struct world *w = host->opaque;
    return w->bad_chrs >> w->opened++ & 1 ? -ECONNREFUSED : fuzz_chr_open(&w->board, out);
}

static int open_block(struct host *host, const struct block_open *open, struct block **out)
{
    struct world *w = host->opaque;
    for (unsigned i = 0; open->path && i < PATHS; i++) {
        if (!strcmp(open->path, disks[i].path))
            return disks[i].err ? disks[i].err : fuzz_disk_open(&w->board, disks[i].bytes, open->read_only, out);
    }
    return -ENOENT;
}

static int read_rom(struct host *host, const char *path, size_t max, uint8_t **data, size_t *len)
{
    /* Of an option ROM: where the PCI data structure is, and its beginning. Ours, two of others, one that is none. */
    static const char pci_headers[4][12] = { "\x1c\0\0\0PCIR\x34\x12\x11\x11", "\x1c\0\0\0PCIR\x34\x12\xb9",
                                             "\x1c\0\0\0PCIR\x13\x10", "\x1c\0\0\0PCI" };
    static const size_t sizes[] = { 512, 4096, ROM_MAX, 1, 0, 65536, 700 };
    const struct world *w = host->opaque;
    if (w->rom & 0x10)
        return w->rom & 0x20 ? -EIO : -ENOENT;
    *len = sizes[w->rom % ARRAY_SIZE(sizes)];
    if (*len > max)
        return -EFBIG;
    *data = calloc(1, *len + 1);
    if (!*data)
        return -ENOMEM;
    memset(*data, w->rom & 0x20 ? 0xff : 0, *len);
    if (!(w->rom & 0x40) && *len >= 3) {
        (*data)[0] = 0x55;
        (*data)[1] = 0xaa;
        (*data)[2] = (uint8_t)(*len / 512);
    }
    if (w->rom & 0x80 && *len >= 512)
        memcpy(*data + 0x18, pci_headers[w->rom >> 2 & 3], sizeof(pci_headers[0]));
    return 0;
}

/* --- A hypervisor that refuses --- */

enum { NO_PORTS = 1, NO_MEMORY = 2, NO_FUNCTION = 4, NO_VRAM_MOVE = 8, NO_SHUTDOWN = 16, NO_SLEEP = 32, NO_VRAM = 64, HAS_CALLBACKS = 128 };

static struct world *the_world; /* calls of the hypervisor know nothing else */

static bool refuse(unsigned what)
{
    return the_world->refused & what;
}

static int port_range(struct hv *hv, uint64_t first, uint64_t last, bool claim)
{
    return refuse(NO_PORTS) ? -EPERM : the_world->real->port_range(hv, first, last, claim);
}

static int mmio_range(struct hv *hv, uint64_t first, uint64_t last, bool claim)
{
    return refuse(NO_MEMORY) ? -EPERM : the_world->real->mmio_range(hv, first, last, claim);
}

static int pci_function(struct hv *hv, uint8_t devfn, bool claim)
{
    return refuse(NO_FUNCTION) ? -EPERM : the_world->real->pci_function(hv, devfn, claim);
}

static int vram_create(struct hv *hv, size_t nr, void **ptr)
{
    return refuse(NO_VRAM) ? -ENOMEM : the_world->real->vram_create(hv, nr, ptr);
}

static int vram_move(struct hv *hv, uint64_t first)
{
    return refuse(NO_VRAM_MOVE) ? -EPERM : the_world->real->vram_move(hv, first);
}

static int shut_down(struct hv *hv, enum hv_shutdown reason)
{
    return refuse(NO_SHUTDOWN) ? -EPERM : the_world->real->shutdown(hv, reason);
}

static int set_s_state(struct hv *hv, unsigned state)
{
    return refuse(NO_SLEEP) ? -EPERM : the_world->real->set_s_state(hv, state);
}

static void power(void *opaque, enum hv_shutdown reason)
{
}

static void asleep(void *opaque)
{
}

static void tray_moved(void *opaque, const char *id, bool open)
{
}

static void world_init(struct world *w)
{
    struct fuzz_board *b = &w->board;
    fuzz_board_init(b);
    w->real = b->m.hv->ops;
    w->ops = *w->real;
    w->ops.port_range = port_range;
    w->ops.mmio_range = mmio_range;
    w->ops.pci_function = pci_function;
    w->ops.vram_create = vram_create;
    w->ops.vram_move = vram_move;
    w->ops.shutdown = shut_down;
    w->ops.set_s_state = set_s_state;
    b->m.hv->ops = &w->ops;
    b->host = (struct host){ .loop = &b->loop, .log = &b->log, .opaque = w, .chr_open = open_chr, .block_open = open_block,
                             .read_file = read_rom, .close_fd = close_fd };
    the_world = w;
}

/* --- The configuration --- */

/* What config_check() lets through: only a CD drive is read-only or empty. */
static void drive(struct config_drive *d, unsigned unit, uint8_t kind)
{
    static const char *const ids[CONFIG_MAX_IDE] = { "ide0-hd0", "ide0-hd1", "ide1-cd0", "ide1-cd1" };
    bool cdrom = kind & 16;
    *d = (struct config_drive){ .present = kind & 8, .cdrom = cdrom, .read_only = cdrom && kind & 32, .discard = kind & 64 };
    d->path = (kind & 7) < PATHS ? disks[kind & 7].path : cdrom ? NULL : CONFIG_NULL_DISK;
    memcpy(d->id, ids[unit], strlen(ids[unit]) + 1);
}

static void configure(struct config *c, struct fuzz_in *in)
{
    static const uint64_t ram[] = { FUZZ_RAM, 0, MIB, 640 * MIB, 3 * GIB, 4 * GIB, 5 * GIB, 1000 * GIB };
    static const char *const boot[] = { "", "n", "dc", "acd" };
    uint8_t flags = fuzz_u8(in), sizes = fuzz_u8(in), serials = fuzz_u8(in);
    config_init(c);
    c->qtest = true;
    c->machine = flags & 1 ? MACHINE_PC_XEN : MACHINE_XENFV;
    c->platform = flags & 2;
    c->no_acpi = flags & 4;
    c->vga = flags & 8 ? VGA_NONE : VGA_STD;
    c->log_level = flags & 16 ? LOG_DEBUG : LOG_INFO;
    c->vga_romfile = rom_names[flags >> 5 & 3];
    c->firmware_dir = flags & 0x80 ? "/firmware" : NULL;
    c->vga_bytes = MIB << (sizes >> 4 & 7); /* to 128 MiB */
    c->ram_bytes = ram[sizes & 7];
    c->max_ram_below_4g = sizes & 8 ? 2 * GIB : CONFIG_MAX_BELOW_4G;
    c->nr_serials = serials % (CONFIG_MAX_SERIALS + 1);
    c->max_vcpus = fuzz_u8(in) % CONFIG_MAX_VCPUS + 1;
    c->vcpus = fuzz_u8(in) % c->max_vcpus + 1;
    (void)snprintf(c->boot_order, sizeof(c->boot_order), "%s", boot[serials >> 6]);
    for (unsigned i = 0; i < CONFIG_MAX_IDE; i++)
        drive(&c->ide[i], i, fuzz_u8(in));
    if (serials & 8)
        c->floppies[flags & 1] = (struct config_drive){ .present = true, .path = sizes & 4 ? "none" : NULL, .id = "floppy0" };
    c->nvme = serials & 0x10;
    c->nvme_slot = 6;
    c->nvme_queues = 2;
    c->nvme_serial = "S";
    if (c->nvme) /* "nobody": the name that no other drive of the events has */
        c->nvme_disks[0] = (struct config_drive){ .present = true, .path = disks[sizes & 3].path, .id = "nobody" };
    if (c->nvme && sizes & 4)
        c->nvme_disks[3] = (struct config_drive){ .present = true, .path = "none", .id = "nvme0-hd3" };
    c->ahci = serials & 0x20;
    if (!c->ahci)
        return;
    c->ahci_ports[0] = (struct config_drive){ .present = true, .cdrom = true, .path = "sector", .id = "nobody" };
    c->ahci_ports[1] = (struct config_drive){ .present = true, .path = disks[sizes & 3].path, .id = "ahci0-hd1" };
    c->ahci_ports[5] = (struct config_drive){ .present = true, .cdrom = true, .id = "ahci0-cd5" };
}

/* --- The life of a machine --- */

static void on_intx(void *platform, unsigned slot, unsigned pin, bool level)
{
    platform_intx(platform, slot, pin, level);
}

static void on_link(void *platform, unsigned link, unsigned irq)
{
    platform_link(platform, link, irq);
}

static void live(struct fuzz_board *b, struct fuzz_in *in)
{
    if (b->m.platform)
        sim_set_controllers(b->sim, &(struct sim_controllers){ platform_isa, on_intx, on_link, b->m.platform });
    fuzz_place_bars(b);
    fuzz_board_ready(b);
    fuzz_ops(b, in);
    sim_set_controllers(b->sim, NULL);
}

/* A machine that was refused has left nothing, and said why. */
static void check_refusal(struct fuzz_board *b, int err, const char *error)
{
    if (err > 0 || strchr(error, '\n'))
        fuzz_bug("create: error %d, \"%s\"", err, error);
    if (b->m.devices.first || b->m.vram || b->m.vga_rom || b->m.platform)
        fuzz_bug("create: a machine that could not be made left something");
}

static void make_machine(struct world *w, struct fuzz_in *in)
{
    struct fuzz_board *b = &w->board;
    char error[CONFIG_ERROR_BYTES] = "";
    configure(&b->config, in);
    w->rom = fuzz_u8(in);
    w->bad_chrs = fuzz_u8(in);
    uint64_t fail = fuzz_u8(in);
    w->refused = fuzz_u8(in);
    b->m.pin_changed = b->config.platform ? sim_set_pin : NULL;
    b->m.pin_opaque = b->sim;
    b->m.power = w->refused & HAS_CALLBACKS ? power : NULL;
    b->m.sleep = w->refused & HAS_CALLBACKS ? asleep : NULL;
    b->m.tray_moved = w->refused & HAS_CALLBACKS ? tray_moved : NULL;
    b->map = &fuzz_platform_part.map;
    b->part = b->config.platform && !b->config.no_acpi ? &fuzz_platform_part : &fuzz_machine_part;
    if (config_check(&b->config, error))
        return;
    fuzz_heap_fail(fail);
    int err = machine_create(&b->m, error);
    fuzz_heap_fail(0);
    if (err)
        check_refusal(b, err, error);
    else
        live(b, in);
}

void fuzz_create_run(const struct fuzz_target *target, const uint8_t *data, size_t len)
{
    struct fuzz_in in = { data, data + len };
    struct world *w = calloc(1, sizeof(*w));
    if (!w)
        fuzz_bug("no memory");
    world_init(w);
    if (fuzz_u8(&in) & 1)
        fuzz_odd_run(&w->board, &in);
    else
        make_machine(w, &in);
    fuzz_board_finish(&w->board);
    config_free(&w->board.config);
    free(w);
}
