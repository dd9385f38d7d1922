/*
 * The whole board on the bench: what a guest finds where, power, unplug, video memory, and a guest that does anything
 * to anything, through the real ioreq pages.
 */
#include "rig.h"
#include <errno.h>
#include <machine.h>
#include <stdlib.h>
#include <storage/ide.h>
#include <string.h>
#include <thindm/ioreq.h>

enum { DISK_BYTES = 4 << 20, CD_BYTES = 1 << 20, VRAM_BYTES = 1 << 20, ROM_BYTES = 4096 };
enum { UNPLUG_PORT = 0x10, MAGIC = 0x49d2, STATUS_PRIMARY = 0x1f7, VRAM_BAR = 0xe0000000, OTHER_BAR = 0xe8000000 };

struct board {
    struct rig *rig;
    struct config config;
    struct host host;
    struct machine machine;
    struct ioreq engine;
    _Alignas(8) uint8_t sync[PAGE_BYTES], ring[PAGE_BYTES];
    bool disk_closed;
    unsigned powers, sleeps;
    bool told_first; /* the toolstack's events go out before the hypervisor stops the guest */
};

static int open_chr(struct host *host, const struct chr_config *config, struct chr **out)
{
    struct board *b = host->opaque;
    *out = rig_chr(b->rig);
    return 0;
}

static int open_block(struct host *host, const struct block_open *open, struct block **out)
{
    struct board *b = host->opaque;
    if (strcmp(open->path, "missing") == 0)
        return -ENOENT;
    bool floppy = strncmp(open->path, "floppy", 6) == 0, cd = strcmp(open->path, "cd") == 0;
    uint64_t bytes = floppy ? 1440 * KIB : cd ? CD_BYTES : DISK_BYTES;
    struct rig_disk *disk = rig_disk(b->rig, bytes);
    disk->block.read_only = open->read_only;
    if (strcmp(open->path, "disk") == 0)
        disk->closed_flag = &b->disk_closed;
    *out = &disk->block;
    return 0;
}

static int read_rom(struct host *host, const char *path, size_t max, uint8_t **data, size_t *len)
{
    if (strstr(path, "no-such"))
        return -ENOENT;
    *data = calloc(1, ROM_BYTES);
    assert_non_null(*data);
    (*data)[0] = 0x55;
    (*data)[1] = 0xaa;
    (*data)[2] = ROM_BYTES / 512;
    *len = ROM_BYTES;
    return 0;
}

static void power(void *opaque, enum hv_shutdown reason)
{
    struct board *b = opaque;
    b->told_first = b->rig->shutdown == -1;
    b->powers++;
}

static void asleep(void *opaque)
{
    ((struct board *)opaque)->sleeps++;
}

static struct board *board_new(void)
{
    struct board *b = calloc(1, sizeof(*b));
    assert_non_null(b);
    struct rig *r = b->rig = rig_new();
    struct config *c = &b->config;
    config_init(c);
    c->domid = 1;
    c->ram_bytes = RIG_RAM;
    c->max_ram_below_4g = CONFIG_MAX_BELOW_4G;
    c->vcpus = 1;
    c->max_vcpus = 4;
    c->vga = VGA_STD;
    c->vga_bytes = VRAM_BYTES;
    c->ide[0] = (struct config_drive){ .present = true, .path = "disk", .id = "ide0-hd0" };
    c->ide[2] =
        (struct config_drive){ .present = true, .cdrom = true, .path = "cd", .id = "ide1-cd0", .qdev_id = "ide-5632" };
    c->serials[0] = (struct chr_config){ .label = "serial0", .kind = CHR_NULL, .fd = -1 };
    c->nr_serials = 1;
    b->host = (struct host){ .loop = &r->loop,
                             .log = &r->log,
                             .opaque = b,
                             .chr_open = open_chr,
                             .block_open = open_block,
                             .read_file = read_rom };
    return b;
}

static int board_start(struct board *b, char error[CONFIG_ERROR_BYTES])
{
    struct rig *r = b->rig;
    b->machine = (struct machine){ .loop = &r->loop,
                                   .log = &r->log,
                                   .hv = &r->hv,
                                   .host = &b->host,
                                   .config = &b->config,
                                   .century = 20,
                                   .power = power,
                                   .sleep = asleep,
                                   .opaque = b };
    int err = machine_create(&b->machine, error);
    if (err)
        return err;
    ioreq_init(&b->engine, &(struct ioreq_config){ .ports = &b->machine.ports,
                                                   .memory = &b->machine.memory,
                                                   .pci = &b->machine.pci,
                                                   .mem = &b->machine.mem,
                                                   .log = &r->log,
                                                   .sync_page = b->sync,
                                                   .buffered_page = b->ring,
                                                   .nr_vcpus = 1 });
    return 0;
}

static void board_free(struct board *b)
{
    machine_destroy(&b->machine);
    config_free(&b->config);
    rig_free(b->rig);
    free(b);
}

static int setup(void **state)
{
    char error[CONFIG_ERROR_BYTES] = "";
    struct board *b = *state = board_new();
    assert_int_equal(board_start(b, error), 0);
    return 0;
}

static int teardown(void **state)
{
    board_free(*state);
    return 0;
}

static int change(struct board *b, const char *id, const char *path, const char *format, char error[CONFIG_ERROR_BYTES])
{
    return machine_change_medium(&b->machine, id, &(struct qmp_medium){ .path = path, .format = format, .fd = -1 },
                                 error);
}

static uint32_t cfg(struct board *b, unsigned slot, unsigned function, unsigned reg, unsigned size)
{
    return pci_config_read(&b->machine.pci, PCI_DEVFN(slot, function), reg, size);
}

/* [contract 5.7] what installed guests have drivers for, where they look for it. */
static void functions_are_where_guests_know_them(void **state)
{
    static const struct {
        unsigned slot, function;
        uint32_t id, class_rev;
    } known[] = {
        { 0, 0, 0x12378086, 0x06000002 }, { 1, 0, 0x70008086, 0x06010000 }, { 1, 1, 0x70108086, 0x01018000 },
        { 1, 3, 0x71138086, 0x06800003 }, { 2, 0, 0x00015853, 0xff800001 }, { 3, 0, 0x11111234, 0x03000002 }
    };
    struct board *b = *state;
    unsigned present = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(known); i++) {
        assert_int_equal(cfg(b, known[i].slot, known[i].function, 0, 4), known[i].id);
        assert_int_equal(cfg(b, known[i].slot, known[i].function, PCI_REVISION, 4), known[i].class_rev);
    }
    for (unsigned devfn = 0; devfn < PCI_NR_FUNCTIONS; devfn++)
        present += pci_config_read(&b->machine.pci, (uint8_t)devfn, 0, 2) != 0xffff;
    assert_int_equal(present, ARRAY_SIZE(known));
}

static void without_platform_device_vga_moves_down(void **state)
{
    char error[CONFIG_ERROR_BYTES] = "";
    struct board *b = board_new();
    b->config.machine = MACHINE_PC_XEN;
    b->config.no_acpi = true;
    assert_int_equal(board_start(b, error), 0);
    assert_int_equal(cfg(b, 2, 0, 0, 4), 0x11111234);
    assert_int_equal(cfg(b, 1, 3, 0, 4), UINT32_MAX);
    assert_int_equal(bus_read(&b->machine.ports, UNPLUG_PORT, 2), 0xffff);
    board_free(b);
}

/* As xenopsd places it: the card below it, a controller above. */
static void the_platform_device_elsewhere(void **state)
{
    char error[CONFIG_ERROR_BYTES] = "";
    struct board *b = board_new();
    b->config.machine = MACHINE_PC_XEN;
    b->config.xen_platform_slot = 3;
    b->config.ahci = true;
    assert_int_equal(board_start(b, error), 0);
    assert_int_equal(cfg(b, 2, 0, 0, 4), 0x11111234);
    assert_int_equal(cfg(b, 3, 0, 0, 4), 0x00015853);
    assert_int_equal(cfg(b, 4, 0, PCI_REVISION, 4) >> 8, 0x010601);
    assert_int_equal(bus_read(&b->machine.ports, UNPLUG_PORT, 2), MAGIC);
    assert_int_equal(bus_read(&b->machine.ports, 0xae0c, 4), 0xfffffff0);
    board_free(b);
}

static void a_part_that_fails_leaves_nothing(void **state)
{
    char error[CONFIG_ERROR_BYTES] = "";
    struct board *b = board_new();
    b->config.ide[1] = (struct config_drive){ .present = true, .path = "missing", .id = "ide0-hd1" };
    assert_int_equal(board_start(b, error), -ENOENT);
    assert_true(b->disk_closed);
    board_free(b);

    b = board_new();
    b->config.vga_romfile = "no-such.bin";
    assert_int_equal(board_start(b, error), -ENOENT);
    assert_non_null(strstr(error, "no-such.bin"));
    assert_true(b->disk_closed);
    assert_null(b->rig->vram);
    board_free(b);
}

static void unplug_closes_the_disk_and_keeps_the_cd(void **state)
{
    struct board *b = *state;
    struct qmp_block_info info;
    assert_true(machine_block_info(&b->machine, 1, &info));
    assert_int_equal(bus_read(&b->machine.ports, UNPLUG_PORT, 2), MAGIC);
    bus_write(&b->machine.ports, UNPLUG_PORT, 2, 1);
    assert_true(b->disk_closed); /* before the OUT is answered */
    assert_int_equal(bus_read(&b->machine.ports, STATUS_PRIMARY, 1), 0);
    assert_true(machine_block_info(&b->machine, 0, &info));
    assert_string_equal(info.device, "ide1-cd0");
    assert_false(machine_block_info(&b->machine, 1, &info));
    assert_int_equal(cfg(b, 1, 1, 0, 4), 0x70108086); /* the controller stays */
}

/* hdtype=ahci: the slot behind the VGA card's; its disks go by the same bit, its CD-ROMs stay. */
static void ahci_is_behind_vga_and_unplugged_too(void **state)
{
    char error[CONFIG_ERROR_BYTES] = "";
    struct qmp_block_info info;
    struct board *b = board_new();
    b->config.ide[0] = b->config.ide[2] = (struct config_drive){ 0 };
    b->config.ahci = true;
    b->config.ahci_ports[0] = (struct config_drive){ .present = true, .path = "disk", .id = "ahcidisk-0" };
    b->config.ahci_ports[5] = (struct config_drive){ .present = true, .cdrom = true, .path = "cd", .id = "ahci0-cd5" };
    assert_int_equal(board_start(b, error), 0);
    assert_int_equal(cfg(b, 4, 0, 0, 4), 0x29228086);
    assert_true(machine_block_info(&b->machine, 0, &info));
    assert_string_equal(info.device, "ahcidisk-0");
    assert_string_equal(info.file, "disk");
    assert_true(machine_block_info(&b->machine, 1, &info) && info.removable);
    bus_write(&b->machine.ports, UNPLUG_PORT, 2, 4); /* auxiliary IDE disks: none of its */
    assert_false(b->disk_closed);
    bus_write(&b->machine.ports, UNPLUG_PORT, 2, 1);
    assert_true(b->disk_closed);
    assert_true(machine_block_info(&b->machine, 0, &info));
    assert_string_equal(info.device, "ahci0-cd5");
    assert_int_equal(cfg(b, 4, 0, 0, 4), 0x29228086);
    assert_int_equal(machine_eject(&b->machine, "ahci0-cd5", false, error), 0);
    assert_true(machine_block_info(&b->machine, 0, &info) && info.tray_open);
    assert_int_equal(change(b, "ahci0-cd5", "cd", NULL, error), 0);
    assert_true(machine_block_info(&b->machine, 0, &info) && !info.tray_open);
    machine_drain(&b->machine);
    board_free(b);
}

/* UEFI guests of xenopsd: in the slot that was told, and unplugged by a bit of its own. */
static void nvme_is_unplugged_by_its_own_bit(void **state)
{
    char error[CONFIG_ERROR_BYTES] = "";
    struct qmp_block_info info;
    struct board *b = board_new();
    b->config.ide[0] = (struct config_drive){ 0 };
    b->config.nvme = true;
    b->config.nvme_serial = "nvme0";
    b->config.nvme_slot = 7;
    b->config.nvme_disks[0] = (struct config_drive){ .present = true, .path = "disk", .id = "disk0" };
    assert_int_equal(board_start(b, error), 0);
    assert_int_equal(cfg(b, 7, 0, 0, 4), 0x00101b36);
    assert_true(machine_block_info(&b->machine, 1, &info));
    assert_string_equal(info.device, "disk0");
    assert_string_equal(info.file, "disk");
    assert_false(info.removable);
    assert_int_equal(machine_eject(&b->machine, "disk0", true, error), -EINVAL);
    assert_int_equal(change(b, "disk0", "cd", NULL, error), -EINVAL);
    machine_drain(&b->machine);
    bus_write(&b->machine.ports, UNPLUG_PORT, 2, 7);
    assert_false(b->disk_closed);
    bus_write(&b->machine.ports, UNPLUG_PORT, 2, 8);
    assert_true(b->disk_closed);
    assert_int_equal(cfg(b, 7, 0, 0, 4), 0xffffffff);
    assert_false(machine_block_info(&b->machine, 1, &info));
    machine_drain(&b->machine);
    board_free(b);
    b = board_new();
    b->config.nvme = true;
    b->config.nvme_serial = "nvme0";
    b->config.nvme_slot = 7;
    b->config.nvme_disks[0] = (struct config_drive){ .present = true, .path = "disk", .id = "disk0" };
    b->config.nvme_disks[1] = (struct config_drive){ .present = true, .path = "missing", .id = "disk1" };
    assert_int_equal(board_start(b, error), -ENOENT);
    assert_true(b->disk_closed); /* what was opened before */
    board_free(b);
}

/* werror= and rerror= hold on every controller, and for a medium that comes later. */
static void error_policies_reach_every_drive(void **state)
{
    char error[CONFIG_ERROR_BYTES] = "";
    struct board *b = board_new();
    struct config_drive disk = {
        .present = true, .path = "any", .id = "d", .read_error = BLOCK_IGNORE, .write_error = BLOCK_STOP
    };
    b->config.ahci = b->config.nvme = true;
    b->config.nvme_serial = "nvme0";
    b->config.nvme_slot = 7;
    b->config.ide[0] = b->config.ahci_ports[0] = b->config.nvme_disks[0] = disk;
    b->config.ide[2] = (struct config_drive){ .present = true, .cdrom = true, .id = "cd", .read_error = BLOCK_IGNORE };
    assert_int_equal(board_start(b, error), 0);
    assert_int_equal(change(b, "cd", "cd", NULL, error), 0);
    for (unsigned i = 0, seen = 0; i < MACHINE_DRIVES; i++) {
        struct ide_drive_info info;
        const struct config_drive *d = machine_drive(&b->machine, i, &info);
        seen += d != NULL;
        assert_true(i < MACHINE_DRIVES - 1 || seen == 4);
        if (!d)
            continue;
        assert_int_equal(info.block->policy.read_error, BLOCK_IGNORE);
        assert_int_equal(info.block->policy.write_error, d->write_error);
        assert_string_equal(info.block->policy.device, d->id);
    }
    board_free(b);
}

static void out8(struct board *b, uint16_t port, uint8_t val)
{
    bus_write(&b->machine.ports, port, 1, val);
}

/* What firmware does at boot: REP INSW of a DRQ block is one exit, however many sectors the block has. */
static void a_drq_block_is_one_exit(void **state)
{
    enum { IDE = 0x1f0, SECTORS = 64, BLOCK_WORDS = 16 * 256, AT = 0x200000 };
    struct board *b = *state;
    struct ide_drive_info info;
    (void)machine_drive(&b->machine, 0, &info);
    uint8_t *data = container_of(info.block, struct rig_disk, block)->data;
    for (unsigned i = 0; i < DISK_BYTES; i++)
        data[i] = (uint8_t)(i / 512 + i);
    const uint8_t task_file[][2] = { { 6, 0xe0 }, { 2, SECTORS }, { 3, 9 }, { 4, 0 }, { 5, 0 }, { 7, 0xc4 } };
    for (unsigned i = 0; i < ARRAY_SIZE(task_file); i++)
        out8(b, IDE + task_file[i][0], task_file[i][1]);
    rig_settle(b->rig);
    unsigned exits = 0;
    for (; bus_read(&b->machine.ports, IDE + 7, 1) == 0x58; exits++) {
        le64_put(b->sync + IOREQ_ADDR, IDE);
        le64_put(b->sync + IOREQ_DATA, AT + exits * BLOCK_WORDS * 2u);
        le32_put(b->sync + IOREQ_COUNT, BLOCK_WORDS);
        le32_put(b->sync + IOREQ_SIZE, 2);
        b->sync[IOREQ_TYPE] = IOREQ_PIO;
        b->sync[IOREQ_FLAGS] = IOREQ_FLAG_READ | IOREQ_FLAG_POINTER | IOREQ_READY;
        assert_true(ioreq_serve(&b->engine, 0));
        assert_int_equal(b->sync[IOREQ_FLAGS] & IOREQ_STATE_MASK, IOREQ_RESP_READY);
        assert_memory_equal(b->rig->ram + AT + exits * BLOCK_WORDS * 2, data + (9 + 16 * exits) * 512, BLOCK_WORDS * 2);
    }
    assert_int_equal(exits, SECTORS / 16);
    assert_int_equal(info.block->stats.ops[BLOCK_READ], 1); /* and the host is asked once */
}

static void every_way_to_reset_says_reboot(void **state)
{
    static const struct {
        uint16_t port;
        uint8_t val;
    } ways[] = { { 0xcf9, 6 }, { 0x64, 0xfe }, { 0x92, 1 } };
    struct board *b = *state;
    for (unsigned i = 0; i < ARRAY_SIZE(ways); i++) {
        b->rig->shutdown = -1;
        bus_write(&b->machine.ports, ways[i].port, 1, ways[i].val);
        assert_int_equal(b->rig->shutdown, HV_REBOOT);
        assert_int_equal(b->powers, i + 1);
        assert_true(b->told_first);
    }
}

static void s5_powers_off_and_s3_sleeps(void **state)
{
    struct board *b = *state;
    struct pci_bus *pci = &b->machine.pci;
    pci_config_write(pci, PCI_DEVFN(1, 3), 0x40, 4, 0xb001);
    pci_config_write(pci, PCI_DEVFN(1, 3), 0x80, 1, 1);
    bus_write(&b->machine.ports, 0xb004, 2, 1 << 10 | 1 << 13);
    assert_int_equal(b->sleeps, 1);
    assert_int_equal(b->rig->s_state, 3);
    bus_write(&b->machine.ports, 0x70, 1, 0x0f);
    assert_int_equal(bus_read(&b->machine.ports, 0x71, 1), 0xfe); /* firmware resumes by this */
    assert_int_equal(machine_wakeup(&b->machine), 0);
    assert_int_equal(b->rig->s_state, 0);
    /* The power management block is where it was: nobody would program it again. */
    bus_write(&b->machine.ports, 0xb004, 2, 0 << 10 | 1 << 13);
    assert_int_equal(b->rig->shutdown, HV_POWEROFF);
}

/* Its interrupt controllers are reset too; what marks their end in the list has no reset. */
static void a_board_with_its_own_platform_wakes_up(void **state)
{
    char error[CONFIG_ERROR_BYTES] = "";
    struct board *b = board_new();
    b->config.platform = true;
    assert_int_equal(board_start(b, error), 0);
    bus_write(&b->machine.ports, 0x21, 1, 0x5a);
    assert_int_equal(bus_read(&b->machine.ports, 0x21, 1), 0x5a);
    assert_int_equal(machine_wakeup(&b->machine), 0);
    assert_int_equal(bus_read(&b->machine.ports, 0x21, 1), 0);
    assert_int_equal(b->rig->s_state, 0);
    board_free(b);
}

static void enable_vga(struct board *b, uint32_t addr, bool on)
{
    struct pci_bus *pci = &b->machine.pci;
    pci_config_write(pci, PCI_DEVFN(3, 0), PCI_COMMAND, 2, 0);
    pci_config_write(pci, PCI_DEVFN(3, 0), PCI_BAR0, 4, addr);
    pci_config_write(pci, PCI_DEVFN(3, 0), PCI_COMMAND, 2, on ? PCI_COMMAND_MEMORY : 0);
}

static void video_memory_follows_its_bar_lazily(void **state)
{
    struct board *b = *state;
    struct rig *r = b->rig;
    enable_vga(b, VRAM_BAR, true);
    assert_int_equal(r->vram_at, VRAM_BAR >> PAGE_SHIFT);
    enable_vga(b, VRAM_BAR, false);
    assert_int_equal(r->vram_at, VRAM_BAR >> PAGE_SHIFT); /* sizing: it'll be back */
    enable_vga(b, OTHER_BAR, true);
    assert_int_equal(r->vram_at, OTHER_BAR >> PAGE_SHIFT);
    /* DMA reaches it there. */
    assert_int_equal(mem_write(&b->machine.mem, OTHER_BAR + 5, "x", 1), 0);
    assert_int_equal(r->vram[5], 'x');
}

static void video_memory_left_behind_makes_room(void **state)
{
    struct board *b = *state;
    struct pci_bus *pci = &b->machine.pci;
    enable_vga(b, VRAM_BAR, true);
    enable_vga(b, OTHER_BAR, false);
    /* The platform device's window of 16 MiB comes to where the frames still are. */
    pci_config_write(pci, PCI_DEVFN(2, 0), PCI_BAR0 + 4, 4, VRAM_BAR);
    pci_config_write(pci, PCI_DEVFN(2, 0), PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_IO);
    assert_int_equal(b->rig->vram_at, HV_VRAM_PARKED);
}

/* Moving frees what is there: never over RAM, never over the hypervisor's own frames. */
static void video_memory_never_covers_ram(void **state)
{
    static const uint32_t bad[] = { 0x00100000, 0x00400000, 0xfc000000, 0xfef00000, 0xfff00000 };
    struct board *b = *state;
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        enable_vga(b, bad[i], true);
        assert_int_equal(b->rig->vram_at, HV_VRAM_PARKED);
    }
}

static void media_are_changed_by_either_name(void **state)
{
    struct board *b = *state;
    char error[CONFIG_ERROR_BYTES] = "";
    struct qmp_block_info info;
    assert_int_equal(machine_eject(&b->machine, "ide-5632", false, error), 0);
    assert_true(machine_block_info(&b->machine, 1, &info));
    assert_null(info.file);
    assert_int_equal(change(b, "ide1-cd0", "missing", NULL, error), -ENOENT);
    assert_string_equal(error, "Could not open 'missing': No such file or directory");
    assert_int_equal(change(b, "ide1-cd0", "another cd", "qcow2", error), 0);
    assert_true(machine_block_info(&b->machine, 1, &info));
    assert_string_equal(info.file, "another cd");
    assert_string_equal(info.format, "qcow2");
    assert_int_equal(change(b, "ide-5632", "cd", NULL, error), 0);
    assert_true(machine_block_info(&b->machine, 1, &info));
    assert_string_equal(info.file, "cd");
    assert_string_equal(info.format, "raw");
    assert_int_equal(change(b, "ide0-hd0", "cd", NULL, error), -EINVAL);
    assert_string_equal(error, "Device 'ide0-hd0' is not removable, or doesn't take this medium");
    assert_int_equal(machine_eject(&b->machine, "ide0-hd0", true, error), -EINVAL);
    assert_int_equal(machine_eject(&b->machine, "nobody", false, error), -ENODEV);
    assert_non_null(strstr(error, "nobody"));
}

/* The controller is always there; a drive has a name for QMP, and CMOS tells of it. */
static void floppies(void **state)
{
    enum { AT = 0x20000 };
    char error[CONFIG_ERROR_BYTES] = "";
    struct qmp_block_info info;
    struct board *b = board_new();
    struct bus *ports = &b->machine.ports;
    assert_int_equal(board_start(b, error), 0);
    assert_int_equal(bus_read(ports, 0x3f4, 1), 0x80);
    bus_write(ports, 0x70, 1, 0x10);
    assert_int_equal(bus_read(ports, 0x71, 1), 0);
    assert_false(machine_block_info(&b->machine, 2, &info));
    board_free(b);
    b = board_new();
    ports = &b->machine.ports;
    b->config.floppies[1] = (struct config_drive){ .present = true, .path = "floppy", .id = "floppy1" };
    assert_int_equal(board_start(b, error), 0);
    bus_write(ports, 0x70, 1, 0x10);
    assert_int_equal(bus_read(ports, 0x71, 1), 0x04);
    /* Read the first sector into memory. */
    static const struct {
        uint16_t port;
        uint8_t val;
    } writes[] = { { 0x0c, 0 }, { 0x0b, 0x46 }, { 4, 0 }, { 4, 0 }, { 5, 0xff }, { 5, 1 }, { 0x81, 2 }, { 0x0a, 2 },
                   { 0x3f5, 0x46 }, { 0x3f5, 1 }, { 0x3f5, 0 }, { 0x3f5, 0 }, { 0x3f5, 1 }, { 0x3f5, 2 },
                   { 0x3f5, 18 }, { 0x3f5, 0 }, { 0x3f5, 0xff } };
    memset(b->rig->ram + AT, 0x5a, 513);
    for (unsigned i = 0; i < ARRAY_SIZE(writes); i++)
        bus_write(ports, writes[i].port, 1, writes[i].val);
    rig_settle(b->rig);
    assert_true(b->rig->wires[6]);
    assert_int_equal(b->rig->ram[AT + 511], 0);
    assert_int_equal(b->rig->ram[AT + 512], 0x5a);
    bus_write(ports, 0x0b, 1, 0x4a); /* the wrong way: nothing moves */
    for (unsigned i = 0; i < 7; i++)
        (void)bus_read(ports, 0x3f5, 1);
    for (unsigned i = 8; i < ARRAY_SIZE(writes); i++)
        bus_write(ports, writes[i].port, 1, writes[i].val);
    rig_settle(b->rig);
    assert_int_equal(bus_read(ports, 0x3f5, 1), 0x41);
    assert_true(machine_block_info(&b->machine, 2, &info));
    assert_string_equal(info.device, "floppy1");
    assert_string_equal(info.file, "floppy");
    assert_true(info.removable && info.no_tray && !info.read_only);
    assert_int_equal(machine_eject(&b->machine, "floppy1", false, error), 0);
    assert_true(machine_block_info(&b->machine, 2, &info));
    assert_null(info.file);
    assert_int_equal(change(b, "floppy1", "floppy of another name", NULL, error), 0);
    assert_true(machine_block_info(&b->machine, 2, &info));
    assert_string_equal(info.file, "floppy of another name");
    assert_int_equal(change(b, "floppy1", "disk", NULL, error), -EINVAL);
    bus_write(ports, UNPLUG_PORT, 2, 0xff); /* stays */
    machine_drain(&b->machine);
    assert_true(machine_block_info(&b->machine, 0, &info));
    board_free(b);
    b = board_new();
    b->config.floppies[0] = (struct config_drive){ .present = true, .path = "floppy", .id = "floppy0" };
    b->config.floppies[1] = (struct config_drive){ .present = true, .path = "another size", .id = "floppy1" };
    assert_int_equal(board_start(b, error), -EINVAL);
    assert_non_null(strstr(error, "no floppy has the size of the image"));
    board_free(b);
    b = board_new();
    b->config.floppies[0] = (struct config_drive){ .present = true, .path = "floppy", .id = "floppy0" };
    b->config.floppies[1] = (struct config_drive){ .present = true, .path = "missing", .id = "floppy1" };
    assert_int_equal(board_start(b, error), -ENOENT);
    board_free(b);
}

static uint32_t rnd(uint32_t *seed)
{
    *seed ^= *seed << 13; /* xorshift32, Marsaglia 2003 */
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

/* Addresses where something is, more often than not. */
static uint64_t some_port(uint32_t *seed)
{
    static const uint16_t bases[] = { 0x00,  0x10,   0x60,   0x70,   0x80,   0x92,   0xb2,   0xc0,
                                      0x170, 0x1ce,  0x1f0,  0x376,  0x3b0,  0x3c0,  0x3d0,  0x3f0,
                                      0x3f8, 0xae00, 0xaf00, 0xafe0, 0xb000, 0xb100, 0xc000, 0xcf8 };
    uint32_t pick = rnd(seed);
    return pick % 16 == 0 ? pick >> 16 : bases[(pick >> 8) % ARRAY_SIZE(bases)] + (pick >> 16) % 16u;
}

static uint64_t some_address(uint32_t *seed)
{
    static const uint64_t bases[] = { 0,        0x9f000,  0xa0000,   0xb8000,    0xc0000,   0x100000,
                                      0x7ff000, VRAM_BAR, OTHER_BAR, 0xfebf0000, 0xffffff00 };
    return bases[rnd(seed) % ARRAY_SIZE(bases)] + rnd(seed) % 4096;
}

static void random_request(struct board *b, uint32_t *seed)
{
    static const uint8_t slots[] = { 0x00, 0x08, 0x09, 0x0b, 0x10, 0x18 };
    uint8_t *slot = b->sync;
    uint32_t pick = rnd(seed), kind = pick % 8;
    uint8_t flags = (uint8_t)(pick >> 8 & IOREQ_FLAG_READ);
    bool string = (pick >> 16) % 8 == 0;
    uint64_t data = (uint64_t)rnd(seed) << 32 | rnd(seed);
    uint64_t addr = some_port(seed);
    uint8_t type = IOREQ_PIO;
    if (kind < 2) {
        type = IOREQ_COPY;
        addr = some_address(seed);
    } else if (kind == 2) {
        type = IOREQ_PCI_CONFIG;
        string = false;
        addr = (uint64_t)slots[rnd(seed) % ARRAY_SIZE(slots)] << 32 | rnd(seed) % 256;
        if (addr % 256 >= 0x10 && addr % 256 < 0x34 && rnd(seed) % 2)
            data = some_address(seed);
    }
    if (string) {
        flags |= IOREQ_FLAG_POINTER | (pick >> 20 & IOREQ_FLAG_DF);
        data = some_address(seed);
    }
    le64_put(slot + IOREQ_ADDR, addr);
    le64_put(slot + IOREQ_DATA, data);
    le32_put(slot + IOREQ_COUNT, string ? rnd(seed) % 600 : 1);
    le32_put(slot + IOREQ_SIZE, 1u << rnd(seed) % 4);
    slot[IOREQ_TYPE] = type;
    slot[IOREQ_FLAGS] = flags | IOREQ_READY;
    assert_true(ioreq_serve(&b->engine, 0));
    assert_int_equal(slot[IOREQ_FLAGS] & IOREQ_STATE_MASK, IOREQ_RESP_READY);
}

/* [issue: bad input] any value to any port or register in any order: no crash, no hang, memory stays bounded. */
static void a_guest_may_do_anything(void **state)
{
    for (uint32_t run = 1; run <= 12; run++) {
        char error[CONFIG_ERROR_BYTES] = "";
        uint32_t seed = run * 2654435761u;
        struct board *b = board_new();
        assert_int_equal(board_start(b, error), 0);
        struct rig *r = b->rig;
        for (unsigned i = 0; i < 20000; i++) {
            random_request(b, &seed);
            r->shutdown = -1;
            if (i % 16 == 0)
                rig_run(r, rnd(&seed) % (20 * NS_PER_MS));
            if (i % 64 == 0)
                mem_write(&b->machine.mem, rnd(&seed) % RIG_RAM, &seed, sizeof(seed));
            r->out_len = 0;
        }
        board_free(b);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(functions_are_where_guests_know_them),
        cmocka_unit_test(without_platform_device_vga_moves_down),
        cmocka_unit_test(the_platform_device_elsewhere),
        cmocka_unit_test(a_part_that_fails_leaves_nothing),
        TEST(unplug_closes_the_disk_and_keeps_the_cd),
        cmocka_unit_test(ahci_is_behind_vga_and_unplugged_too),
        cmocka_unit_test(nvme_is_unplugged_by_its_own_bit),
        cmocka_unit_test(error_policies_reach_every_drive),
        TEST(a_drq_block_is_one_exit),
        TEST(every_way_to_reset_says_reboot),
        TEST(s5_powers_off_and_s3_sleeps),
        cmocka_unit_test(a_board_with_its_own_platform_wakes_up),
        TEST(video_memory_follows_its_bar_lazily),
        TEST(video_memory_left_behind_makes_room),
        TEST(video_memory_never_covers_ram),
        TEST(media_are_changed_by_either_name),
        cmocka_unit_test(floppies),
        cmocka_unit_test(a_guest_may_do_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
