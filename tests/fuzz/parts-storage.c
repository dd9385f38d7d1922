/* Storage controllers with a target of their own that put their commands into memory: see parts.c. */
#include "fuzz.h"

#include <chipset/dma8237.h>
#include <storage/ahci.h>
#include <storage/fdc.h>
#include <storage/nvme.h>
#include <string.h>

enum { DEVFN_AHCI = PCI_DEVFN(4, 0), DEVFN_NVME = PCI_DEVFN(7, 0) };

/* Other devices have pinned all that may be, or nothing again. */
static void crowd(struct fuzz_board *b)
{
    struct mem *mem = &b->m.mem;
    unsigned pinned = b->others_pinned ? 0 : MEM_MAX_PINNED - mem->nr_pinned;
    mem->nr_pinned += pinned - b->others_pinned;
    b->others_pinned = pinned;
}

/* --- AHCI --- */

/*
 * Where the driver of the first state says that its structures are: a page of list and frames per port. An event fills
 * the lists in, with a table per slot that all ports share: another command in each, with two regions for its data. Of
 * fine tables each has more regions for the first sector than a request has pins.
 */
enum {
    AHCI_LISTS = 0x40000,
    AHCI_PAGE = 0x1000,
    AHCI_FRAMES = 0x800,
    AHCI_TABLES = 0x48000,
    AHCI_TABLE = 0x100,
    AHCI_FINE_TABLES = 0x50000,
    AHCI_FINE_TABLE = 0x800,
    AHCI_FINE_REGIONS = 65,
    AHCI_SLOTS = 32,
    AHCI_DATA = 0x80000,
    AHCI_INDEX = 0xc200
};
#define AHCI_BAR       UINT64_C(0xe4000000)
#define AHCI_NO_MEMORY UINT64_C(0xd0000000)
static const struct fuzz_range ahci_ports[] = { { AHCI_INDEX, 32 } };
static const struct fuzz_range ahci_memory[] = { { AHCI_BAR, 0x30 },         { AHCI_BAR + 0x100, 0x40 },
                                                 { AHCI_BAR + 0x180, 0x40 }, { AHCI_BAR + 0x200, 0x40 },
                                                 { AHCI_BAR + 0x280, 0x40 }, { AHCI_BAR + 0x380, 0x40 },
                                                 { AHCI_BAR, 0x1000 } };
static const uint8_t ahci_functions[] = { DEVFN_AHCI };
static const char *const ahci_ids[AHCI_PORTS] = { "ahcidisk-0", "ahcidisk-1", "ahcidisk-2", "cd", "none", "empty" };

/* d a disk, D one that needs 48 bits and can't discard, r a read-only one, c a CD-ROM, e an empty drive, - nothing. */
static int create_ahci(struct fuzz_board *b, struct device **out)
{
    static const char drives[AHCI_PORTS + 1] = "dDrc-e";
    struct ahci_config config = {
        .id = "ahci", .loop = &b->loop, .mem = &b->m.mem, .hv = b->m.hv, .pci = &b->m.pci, .devfn = DEVFN_AHCI
    };
    int err = 0;
    for (unsigned i = 0; i < AHCI_PORTS && !err; i++) {
        struct ide_drive_config *d = &config.drives[i];
        *d = (struct ide_drive_config){ .present = drives[i] != '-',
                                        .cdrom = drives[i] == 'c' || drives[i] == 'e',
                                        .id = ahci_ids[i] };
        if (d->present && drives[i] != 'e')
            err = fuzz_disk_open(b,
                                 drives[i] == 'D' ? 160 * GIB
                                 : d->cdrom       ? 4 * MIB
                                                  : 8 * MIB,
                                 drives[i] == 'r' || d->cdrom, &d->block);
        if (d->block)
            d->block->discard = drives[i] != 'D';
    }
    if (!err)
        err = ahci_create(&config, out);
    b->m.ahci = err ? NULL : *out; /* so that it is drained before a snapshot */
    return err;
}

static void put_region(uint8_t *table, unsigned i, uint64_t addr, uint32_t bytes)
{
    le64_put(table + 0x80 + (size_t)16 * i, addr);
    le32_put(table + 0x80 + (size_t)16 * i + 12, bytes - 1);
}

/* The rest of the data is in one region, in its own piece of RAM for each second slot, or nowhere. */
static void make_fine(uint8_t *table, unsigned slot)
{
    uint64_t data = AHCI_DATA + slot * AHCI_PAGE + (slot & 1 ? MIB : 0);
    for (unsigned i = 0; i < AHCI_FINE_REGIONS - 1; i++)
        put_region(table, i, data + (uint64_t)16 * i, 8);
    put_region(table, AHCI_FINE_REGIONS - 1, slot < 18 ? data : AHCI_NO_MEMORY, 2 * AHCI_PAGE);
    table[7] |= 0x80; /* writes reach the medium */
}

static void put_command(struct fuzz_board *b, unsigned slot, bool fine, bool all_queued)
{
    static const uint8_t codes[] = { 0x60, 0x61, 0x60, 0x61, 0x25, 0x35, 0x20, 0x30,
                                     0xec, 0xa0, 0x06, 0x2f, 0x42, 0xea, 0x3d, 0xc4 };
    static const uint8_t read_cd[12] = { 0x28, 0, 0, 0, 0, 5, 0, 0, 2 };
    uint8_t code = codes[slot % (all_queued ? 2 : ARRAY_SIZE(codes))];
    uint8_t table[AHCI_FINE_TABLE] = { 0x27, 0x80, code };
    bool queued = code == 0x60 || code == 0x61;
    table[3] = queued ? 8 : code == 0xa0 || code == 0x06; /* sectors; DMA; trim */
    table[4] = (uint8_t)(code == 0x2f ? 0x10 : slot);
    table[7] = 0x40;
    table[12] = (uint8_t)(queued ? slot << 3 : code == 0x25 || code == 0x35 ? 8 : 1);
    for (unsigned i = 0; i < sizeof(read_cd); i++)
        table[0x40 + i] = read_cd[i];
    for (unsigned i = 0; i < 2; i++)
        put_region(table, i, AHCI_DATA + slot % 16 * 2 * AHCI_PAGE + i * AHCI_PAGE, AHCI_PAGE);
    if (fine)
        make_fine(table, slot);
    sim_ram_write(b->sim, fine ? AHCI_FINE_TABLES + slot * AHCI_FINE_TABLE : AHCI_TABLES + slot * AHCI_TABLE, table,
                  fine ? AHCI_FINE_TABLE : AHCI_TABLE);
}

static void put_commands(struct fuzz_board *b, bool fine, bool all_queued)
{
    for (unsigned slot = 0; slot < AHCI_SLOTS; slot++)
        put_command(b, slot, fine, all_queued);
    for (unsigned i = 0; i < AHCI_PORTS * AHCI_SLOTS; i++) {
        unsigned port = i / AHCI_SLOTS, slot = i % AHCI_SLOTS;
        uint8_t header[32] = { 5 | 0x20, 0, fine ? AHCI_FINE_REGIONS : 2 };
        le64_put(header + 8, fine ? AHCI_FINE_TABLES + slot * AHCI_FINE_TABLE : AHCI_TABLES + slot * AHCI_TABLE);
        sim_ram_write(b->sim, AHCI_LISTS + port * AHCI_PAGE + slot * sizeof(header), header, sizeof(header));
    }
}

/* What a driver does: ports with lists, started. */
static void place_ahci(struct fuzz_board *b)
{
    struct bus *memory = &b->m.memory;
    pci_config_write(&b->m.pci, DEVFN_AHCI, PCI_BAR0 + 16, 4, AHCI_INDEX);
    pci_config_write(&b->m.pci, DEVFN_AHCI, PCI_BAR0 + 20, 4, (uint32_t)AHCI_BAR);
    pci_config_write(&b->m.pci, DEVFN_AHCI, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    for (unsigned port = 0; port < AHCI_PORTS; port++) {
        uint64_t list = AHCI_LISTS + port * AHCI_PAGE, regs = AHCI_BAR + 0x100 + 0x80 * port;
        bus_write(memory, regs + 0x00, 8, list);
        bus_write(memory, regs + 0x08, 8, list + AHCI_FRAMES);
        bus_write(memory, regs + 0x14, 4, UINT32_MAX);
        bus_write(memory, regs + 0x18, 4, 0x11);
    }
    bus_write(memory, AHCI_BAR + 4, 4, 2);
    fuzz_board_settle(b);
    for (unsigned port = 0; port < AHCI_PORTS; port++) { /* the first frames: inputs begin with empty memory */
        static const uint8_t zeros[0x100];
        sim_ram_write(b->sim, AHCI_LISTS + port * AHCI_PAGE + AHCI_FRAMES, zeros, sizeof(zeros));
    }
}

static void ahci_event(struct fuzz_board *b, unsigned kind, struct fuzz_in *in)
{
    uint8_t n = fuzz_u8(in);
    const char *id = ahci_ids[n % AHCI_PORTS];
    struct ide_drive_info info;
    struct block *block;
    b->spoiled |= kind < 4;
    switch (kind) {
    case 0: fuzz_any(ahci_eject(b->dev, id, false)); break;
    case 1: fuzz_any(ahci_eject(b->dev, id, true)); break;
    case 2:
        if (fuzz_disk_open(b, fuzz_u8(in) & 1 ? 5 * GIB : 4 * MIB, true, &block))
            break;
        if (ahci_change_medium(b->dev, id, false, block))
            block_close(block);
        break;
    case 3: ahci_unplug_disks(b->dev); break;
    case 4: ahci_drain(b->dev); break;
    case 5:
    case 6: put_commands(b, kind == 6, n & 0x80); break;
    case 7: crowd(b); break;
    case 8: mem_invalidate(&b->m.mem); break; /* pins from now on are in other buckets */
    default: (void)ahci_drive_info(b->dev, kind & 7, &info);
    }
}

/* --- NVMe --- */

/* Where its queues are, pairs 0 to 2 of 16 entries: NVME_QUEUES + pair * 8 KiB, the completion queue behind the
 * submission queue. */
enum {
    NVME_QUEUES = 0x10000,
    NVME_PAGE = 0x1000,
    NVME_LAST = 15,
    NVME_PAIRS = 3,
    NVME_LIST = 0x30000,
    NVME_DATA = 0x40000
};
#define NVME_BAR UINT64_C(0xe3000000)
static const struct fuzz_range nvme_memory[] = { { NVME_BAR, 0x48 },
                                                 { NVME_BAR + 0x1000, 8 * NVME_PAIRS },
                                                 { NVME_BAR + 0x1000, 0x210 },
                                                 { NVME_BAR + 0x2000, 0x60 },
                                                 { NVME_BAR, 0x4000 } };
static const uint8_t nvme_functions[] = { DEVFN_NVME };

/* A disk, a read-only one, none, one of large sectors that can't discard. */
static int create_nvme(struct fuzz_board *b, struct device **out)
{
    struct nvme_config config = { .id = "nvme",
                                  .loop = &b->loop,
                                  .mem = &b->m.mem,
                                  .hv = b->m.hv,
                                  .pci = &b->m.pci,
                                  .devfn = DEVFN_NVME,
                                  .serial = "fuzz",
                                  .io_queues = 4 };
    int err = 0;
    for (unsigned i = 0; i < 4 && !err; i++) {
        if (i != 2)
            err = fuzz_disk_open(b, 8 * MIB, i == 1, &config.block[i]);
        if (!err && i == 3)
            config.block[i]->sector_bytes = NVME_PAGE;
        else if (!err && i != 2)
            config.block[i]->discard = true;
    }
    if (!err)
        err = nvme_create(&config, out);
    b->m.nvme = err ? NULL : *out;
    return err;
}

/* What a driver does: all but the queues' memory is as it finds it. */
static void place_nvme(struct fuzz_board *b)
{
    struct bus *memory = &b->m.memory;
    uint8_t sqe[64] = { 0 };
    pci_config_write(&b->m.pci, DEVFN_NVME, PCI_BAR0, 4, (uint32_t)NVME_BAR);
    pci_config_write(&b->m.pci, DEVFN_NVME, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    bus_write(memory, NVME_BAR + 0x24, 4, NVME_LAST | NVME_LAST << 16);
    bus_write(memory, NVME_BAR + 0x28, 8, NVME_QUEUES);
    bus_write(memory, NVME_BAR + 0x30, 8, NVME_QUEUES + NVME_PAGE);
    bus_write(memory, NVME_BAR + 0x14, 4, 0x460001);
    for (unsigned i = 0; i < 2 * (NVME_PAIRS - 1); i++) {
        unsigned pair = 1 + i / 2, completion = i % 2 == 0;
        sqe[0] = completion ? 5 : 1;
        le64_put(sqe + 24, NVME_QUEUES + (2 * pair + completion) * NVME_PAGE);
        le32_put(sqe + 40, pair | NVME_LAST << 16);
        le32_put(sqe + 44, completion ? 3 : 1 | pair << 16);
        sim_ram_write(b->sim, NVME_QUEUES + i * sizeof(sqe), sqe, sizeof(sqe));
        bus_write(memory, NVME_BAR + 0x1000, 4, i + 1);
        fuzz_board_settle(b);
    }
    bus_write(memory, NVME_BAR + 0x1004, 4, 2 * (NVME_PAIRS - 1));
    for (unsigned i = 0; i < 2 * (NVME_PAIRS - 1); i++) { /* as if nothing had been there */
        memset(sqe, 0, sizeof(sqe));
        sim_ram_write(b->sim, NVME_QUEUES + i * sizeof(sqe), sqe, sizeof(sqe));
        sim_ram_write(b->sim, NVME_QUEUES + NVME_PAGE + i * sizeof(sqe), sqe, sizeof(sqe));
    }
}

/* A queue full of commands: reads, writes, zeroes, discards and flushes of all namespaces, with a list of scattered
 * pages. */
static void put_nvme_commands(struct fuzz_board *b, unsigned pair)
{
    static const uint8_t codes[] = { 2, 1, 2, 8, 9, 0, 1, 2 };
    uint8_t list[256];
    for (unsigned i = 0; i < sizeof(list) / 8; i++)
        le64_put(list + (size_t)8 * i, NVME_DATA + (2 * i + 1) * NVME_PAGE);
    sim_ram_write(b->sim, NVME_LIST, list, sizeof(list));
    for (unsigned i = 0; i <= NVME_LAST; i++) {
        uint8_t sqe[64] = { codes[i % ARRAY_SIZE(codes)], [2] = (uint8_t)i };
        bool discard = sqe[0] == 9;
        le32_put(sqe + 4, i < 10 ? 1 : i % 5);
        le64_put(sqe + 24, NVME_DATA + (i % 3) * 0x204);
        le64_put(sqe + 32, NVME_LIST);
        le32_put(sqe + 40, discard ? 3 : i * 16);
        le32_put(sqe + 44, discard ? 4 : 0);
        le32_put(sqe + 48, i % 4 == 3 ? 0x40000007 : i * 15);
        sim_ram_write(b->sim, NVME_QUEUES + 2 * pair * NVME_PAGE + i * sizeof(sqe), sqe, sizeof(sqe));
    }
}

static void nvme_event(struct fuzz_board *b, unsigned kind, struct fuzz_in *in)
{
    b->spoiled |= kind == 0;
    switch (kind) {
    case 0: nvme_unplug_disks(b->dev); break;
    case 1: nvme_drain(b->dev); break;
    case 2:
    case 3: put_nvme_commands(b, kind - 1); break;
    case 4: crowd(b); break;
    case 5: mem_invalidate(&b->m.mem); break; /* pins from now on are in other buckets */
    default: (void)nvme_block(b->dev, fuzz_u8(in));
    }
}

/* --- Floppies --- */

static const struct fuzz_range fdc_ports[] = { { 0x3f2, 4 }, { 0x3f5, 1 }, { 0x3f7, 1 }, { 0, 16 }, { 0x80, 16 } };

static struct fdc_moved floppy_dma(void *opaque, bool to_memory, uint8_t *buf, size_t len)
{
    struct fuzz_board *b = opaque;
    struct dma8237_moved moved = dma8237_transfer(b->m.dma, FDC_DMA_CHANNEL, &b->m.mem, buf, len);
    return (struct fdc_moved){ moved.bytes, moved.end };
}

/* One of 1.44 MB, and an empty drive; with the board's DMA controller. */
static int create_fdc(struct fuzz_board *b, struct device **out)
{
    struct fdc_config config = { .id = "fdc", .ports = &b->m.ports, .irq = irq_isa(&b->m.irqs, 6),
                                 .transfer = floppy_dma, .opaque = b, .drives = { { .present = true }, { .present = true } } };
    int err = dma8237_create(&(struct dma8237_config){ .id = "dma8237", .ports = &b->m.ports }, &b->m.dma);
    if (err)
        return err;
    devices_add(&b->m.devices, b->m.dma);
    err = fuzz_disk_open(b, 1440 * KIB, false, &config.drives[0].block);
    if (!err)
        err = fdc_create(&config, out);
    if (err)
        block_close(config.drives[0].block);
    b->m.fdc = err ? NULL : *out; /* so that it is drained before a snapshot */
    return err;
}

static void fdc_event(struct fuzz_board *b, unsigned kind, struct fuzz_in *in)
{
    static const uint32_t sizes[] = { 1440, 720, 2880, 360, 100, 5000, 0, 1680 }; /* KiB */
    unsigned n = fuzz_u8(in), i = n % FDC_DRIVES;
    struct block *block;
    b->spoiled |= kind < 3;
    switch (kind) {
    case 0: fdc_eject(b->dev, i); break;
    case 1:
    case 2:
        if (fuzz_disk_open(b, sizes[n / FDC_DRIVES % ARRAY_SIZE(sizes)] * KIB, kind == 2, &block))
            break;
        if (fdc_change_medium(b->dev, i, block))
            block_close(block);
        break;
    case 3: fdc_drain(b->dev); break;
    default: (void)fdc_block(b->dev, n);
    }
}

#define RANGES(table) (table), ARRAY_SIZE(table)

const struct fuzz_part fuzz_storage_parts[] = {
    { "ahci",
      create_ahci,
      place_ahci,
      ahci_event,
      { RANGES(ahci_ports), RANGES(ahci_memory), RANGES(ahci_functions) } },
    { "fdc", create_fdc, NULL, fdc_event, { RANGES(fdc_ports), NULL, 0, NULL, 0 } },
    { "nvme", create_nvme, place_nvme, nvme_event, { NULL, 0, RANGES(nvme_memory), RANGES(nvme_functions) } },
};
const unsigned fuzz_nr_storage_parts = ARRAY_SIZE(fuzz_storage_parts);
