/* Storage controllers with a target of their own that put their commands into memory: see parts.c. */
#include "fuzz.h"

#include <storage/ahci.h>

enum { DEVFN_AHCI = PCI_DEVFN(4, 0) };

/* --- AHCI --- */

/*
 * Where the driver of the first state says that its structures are: a page of list and frames per port. An event fills the lists
 * in, with a table per slot that all ports share: another command in each, with two regions for its data.
 */
enum { AHCI_LISTS = 0x40000, AHCI_PAGE = 0x1000, AHCI_FRAMES = 0x800, AHCI_TABLES = 0x48000, AHCI_TABLE = 0x100, AHCI_SLOTS = 32,
       AHCI_DATA = 0x80000, AHCI_INDEX = 0xc200 };
#define AHCI_BAR UINT64_C(0xe4000000)
static const struct fuzz_range ahci_ports[] = { { AHCI_INDEX, 32 } };
static const struct fuzz_range ahci_memory[] = { { AHCI_BAR, 0x30 },          { AHCI_BAR + 0x100, 0x40 }, { AHCI_BAR + 0x180, 0x40 },
                                                 { AHCI_BAR + 0x200, 0x40 },  { AHCI_BAR + 0x280, 0x40 }, { AHCI_BAR + 0x380, 0x40 },
                                                 { AHCI_BAR, 0x1000 } };
static const uint8_t ahci_functions[] = { DEVFN_AHCI };
static const char *const ahci_ids[AHCI_PORTS] = { "ahcidisk-0", "ahcidisk-1", "ahcidisk-2", "cd", "none", "empty" };

/* d a disk, D one that needs 48 bits and can't discard, r a read-only one, c a CD-ROM, e an empty drive, - nothing. */
static int create_ahci(struct fuzz_board *b, struct device **out)
{
    static const char drives[AHCI_PORTS + 1] = "dDrc-e";
    struct ahci_config config = { .id = "ahci", .loop = &b->loop, .mem = &b->m.mem, .hv = b->m.hv, .pci = &b->m.pci,
                                  .devfn = DEVFN_AHCI };
    int err = 0;
    for (unsigned i = 0; i < AHCI_PORTS && !err; i++) {
        struct ide_drive_config *d = &config.drives[i];
        *d = (struct ide_drive_config){ .present = drives[i] != '-', .cdrom = drives[i] == 'c' || drives[i] == 'e',
                                        .id = ahci_ids[i] };
        if (d->present && drives[i] != 'e')
            err = fuzz_disk_open(b, drives[i] == 'D' ? 160 * GIB : d->cdrom ? 4 * MIB : 8 * MIB, drives[i] == 'r' || d->cdrom,
                                 &d->block);
        if (d->block)
            d->block->discard = drives[i] != 'D';
    }
    if (!err)
        err = ahci_create(&config, out);
    b->m.ahci = err ? NULL : *out; /* so that it is drained before a snapshot */
    return err;
}

static void put_command(struct fuzz_board *b, unsigned slot)
{
    static const uint8_t codes[] = { 0x60, 0x61, 0x60, 0x61, 0x25, 0x35, 0x20, 0x30, 0xec, 0xa0, 0x06, 0x2f, 0x42, 0xea, 0x3d, 0xc4 };
    static const uint8_t read_cd[12] = { 0x28, 0, 0, 0, 0, 5, 0, 0, 2 };
    uint8_t table[AHCI_TABLE] = { 0x27, 0x80, codes[slot % ARRAY_SIZE(codes)] }, code = table[2];
    bool queued = code == 0x60 || code == 0x61;
    table[3] = queued ? 8 : code == 0xa0 || code == 0x06; /* sectors; DMA; trim */
    table[4] = (uint8_t)(code == 0x2f ? 0x10 : slot);
    table[7] = 0x40;
    table[12] = (uint8_t)(queued ? slot << 3 : code == 0x25 || code == 0x35 ? 8 : 1);
    for (unsigned i = 0; i < sizeof(read_cd); i++)
        table[0x40 + i] = read_cd[i];
    for (unsigned i = 0; i < 2; i++) {
        le64_put(table + 0x80 + 16 * i, AHCI_DATA + slot * 2 * AHCI_PAGE + i * AHCI_PAGE);
        le32_put(table + 0x80 + 16 * i + 12, AHCI_PAGE - 1);
    }
    sim_ram_write(b->sim, AHCI_TABLES + slot * AHCI_TABLE, table, sizeof(table));
}

static void put_commands(struct fuzz_board *b)
{
    for (unsigned slot = 0; slot < AHCI_SLOTS; slot++)
        put_command(b, slot);
    for (unsigned i = 0; i < AHCI_PORTS * AHCI_SLOTS; i++) {
        unsigned port = i / AHCI_SLOTS, slot = i % AHCI_SLOTS;
        uint8_t header[32] = { 5 | 0x20, 0, 2 };
        le64_put(header + 8, AHCI_TABLES + slot * AHCI_TABLE);
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
    const char *id = ahci_ids[fuzz_u8(in) % AHCI_PORTS];
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
    case 6: put_commands(b); break;
    default: (void)ahci_drive_info(b->dev, kind & 7, &info);
    }
}

#define RANGES(table) (table), ARRAY_SIZE(table)

const struct fuzz_part fuzz_storage_parts[] = {
    { "ahci", create_ahci, place_ahci, ahci_event, { RANGES(ahci_ports), RANGES(ahci_memory), RANGES(ahci_functions) } },
};
const unsigned fuzz_nr_storage_parts = ARRAY_SIZE(fuzz_storage_parts);
