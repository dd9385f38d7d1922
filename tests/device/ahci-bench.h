/* What the tests of the AHCI controller share: a rig with drives, and a guest's driver for its ports. */
#ifndef THINDM_TEST_AHCI_BENCH_H
#define THINDM_TEST_AHCI_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ahci.h"
#include "rig.h"

/* Places that the fuzz target has too: what the tests do makes seeds for it. */
enum { DEVFN = 0x20, INDEX_PORT = 0xc200, WIRE = 16 + 4 * 4 };
#define ABAR UINT64_C(0xe4000000)
enum { CAP = 0x00, GHC = 0x04, IS = 0x08, PI = 0x0c, VS = 0x10 };
enum { CLB = 0x00, CLBU = 0x04, FB = 0x08, FBU = 0x0c, PIS = 0x10, PIE = 0x14, CMD = 0x18, TFD = 0x20, SIG = 0x24,
       SSTS = 0x28, SCTL = 0x2c, SERR = 0x30, SACT = 0x34, CI = 0x38 };
enum { ST = 0x01, FRE = 0x10, FR = 0x4000, CR = 0x8000 };
enum { DHRS = 0x01, PSS = 0x02, SDBS = 0x08 };
#define OFS  UINT32_C(0x01000000)
#define IFS  UINT32_C(0x08000000)
#define HBFS UINT32_C(0x20000000)
#define TFES UINT32_C(0x40000000)
enum { READY = 0x50, ERR = 0x01, BSY = 0x80, ABRT = 0x04, IDNF = 0x10, UNC = 0x40 };
/* Guest addresses: per port a page of lists and frames, per slot a page of table; data. */
enum { LISTS = 0x10000, FRAMES = 0x800, TABLES = 0x20000, DATA = 0x100000 };
#define DISK_BYTES (8 * MIB)
#define CD_BYTES   (4 * MIB)

struct bench {
    struct rig *r;
    struct rig_disk *disk[AHCI_PORTS];
    bool closed[AHCI_PORTS];
    char layout[AHCI_PORTS + 1];
    unsigned tray_moves;
    bool tray_open;
};

/* Every 8 bytes of an image differ, and tell where they are. */
static inline void bench_fill(struct rig_disk *disk)
{
    for (uint64_t at = 0; at < disk->block.size_bytes; at += 8)
        le64_put(disk->data + at, at * UINT64_C(0x9e3779b97f4a7c15) + at);
}

static inline void bench_tray_moved(void *opaque, const char *id, bool open)
{
    struct bench *b = opaque;
    b->tray_moves++;
    b->tray_open = open;
}

static inline struct rig_disk *bench_image(struct bench *b, uint64_t bytes, bool *closed)
{
    struct rig_disk *disk = rig_disk(b->r, bytes);
    bench_fill(disk);
    disk->closed_flag = closed;
    if (closed)
        *closed = false;
    return disk;
}

static inline int bench_create(struct bench *b)
{
    static const char *const ids[] = { "ahcidisk-0", "ahcidisk-1", "ahcidisk-2", "ahcidisk-3", "ahcidisk-4", "cd" };
    struct ahci_config config = { .id = "ahci0",
                                  .loop = &b->r->loop,
                                  .mem = &b->r->mem,
                                  .hv = &b->r->hv,
                                  .pci = &b->r->pci,
                                  .devfn = DEVFN,
                                  .tray_moved = bench_tray_moved,
                                  .opaque = b };
    for (unsigned i = 0; i < AHCI_PORTS; i++) {
        char kind = b->layout[i];
        struct ide_drive_config *drive = &config.drives[i];
        b->disk[i] = NULL;
        drive->present = kind != '-';
        drive->cdrom = kind == 'c' || kind == 'e';
        drive->id = ids[i];
        if (drive->present && kind != 'e') {
            b->disk[i] = bench_image(b, kind == 'c' ? CD_BYTES : DISK_BYTES, &b->closed[i]);
            b->disk[i]->block.read_only = kind == 'c' || kind == 'r';
            b->disk[i]->block.discard = kind == 't';
            drive->block = &b->disk[i]->block;
        }
    }
    int err = ahci_create(&config, &b->r->dev);
    if (!err)
        b->r->dev->log = &b->r->log;
    return err;
}

/* One letter per port: d disk, r read-only, t can discard, c CD-ROM with medium, e empty one, - nothing. */
static inline struct bench *bench_bare(const char *layout)
{
    struct bench *b = calloc(1, sizeof(*b));
    assert_non_null(b);
    b->r = rig_new();
    memcpy(b->layout, layout, AHCI_PORTS);
    assert_int_equal(bench_create(b), 0);
    return b;
}

static inline void bench_place(struct bench *b)
{
    rig_cfg_write(b->r, DEVFN, PCI_BAR0 + 16, 4, INDEX_PORT);
    rig_cfg_write(b->r, DEVFN, PCI_BAR0 + 20, 4, (uint32_t)ABAR);
    rig_cfg_write(b->r, DEVFN, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static inline uint32_t hba(struct bench *b, unsigned reg)
{
    return (uint32_t)rig_mmio_read(b->r, ABAR + reg, 4);
}

static inline void hba_write(struct bench *b, unsigned reg, uint32_t val)
{
    rig_mmio_write(b->r, ABAR + reg, 4, val);
}

static inline uint32_t px(struct bench *b, unsigned port, unsigned reg)
{
    return hba(b, 0x100 + 0x80 * port + reg);
}

static inline void px_write(struct bench *b, unsigned port, unsigned reg, uint32_t val)
{
    hba_write(b, 0x100 + 0x80 * port + reg, val);
}

static inline uint8_t *list_of(struct bench *b, unsigned port)
{
    return b->r->ram + LISTS + 0x1000 * port;
}

/* The area of received frames. */
static inline uint8_t *frames_of(struct bench *b, unsigned port)
{
    return list_of(b, port) + FRAMES;
}

static inline uint8_t *table_of(struct bench *b, unsigned slot)
{
    return b->r->ram + TABLES + 0x1000 * slot;
}

/* Bring a port up as drivers do [AHCI 10.1.2]. */
static inline void bench_start(struct bench *b, unsigned port)
{
    px_write(b, port, CLB, LISTS + 0x1000 * port);
    px_write(b, port, FB, LISTS + 0x1000 * port + FRAMES);
    px_write(b, port, CMD, px(b, port, CMD) | FRE);
    px_write(b, port, SERR, 0xffffffff);
    px_write(b, port, PIS, 0xffffffff);
    px_write(b, port, PIE, 0xffffffff);
    px_write(b, port, CMD, px(b, port, CMD) | ST);
    hba_write(b, GHC, 0x80000002);
}

static inline struct bench *bench_new(const char *layout)
{
    struct bench *b = bench_bare(layout);
    bench_place(b);
    for (unsigned i = 0; i < AHCI_PORTS; i++) {
        if (layout[i] != '-')
            bench_start(b, i);
    }
    return b;
}

static inline void bench_free(struct bench *b)
{
    for (unsigned i = 0; i < MEM_BUCKETS; i++)
        assert_int_equal(b->r->mem.buckets[i].pins, 0);
    rig_free(b->r);
    free(b);
}

static inline int bench_teardown(void **state)
{
    struct bench *b = *state;
    ahci_drain(b->r->dev);
    bench_free(b);
    return 0;
}

/* Region i of the slot's table. */
static inline void put_prd(struct bench *b, unsigned slot, unsigned i, uint64_t addr, uint32_t bytes)
{
    uint8_t *entry = table_of(b, slot) + 0x80 + 16 * i;
    le64_put(entry, addr);
    le32_put(entry + 8, 0);
    le32_put(entry + 12, bytes - 1);
}

/* Command header: regions of the table, write or not, packet or not. */
static inline void put_header(struct bench *b, unsigned port, unsigned slot, unsigned regions, uint8_t flags)
{
    uint8_t *header = list_of(b, port) + 32 * slot;
    memset(header, 0, 32);
    header[0] = 5 | flags;
    le16_put(header + 2, (uint16_t)regions);
    le64_put(header + 8, TABLES + 0x1000 * slot);
}

enum { HEADER_ATAPI = 0x20, HEADER_WRITE = 0x40 };

/* Register frame of a command with 48-bit address; 28-bit commands see the lower half and the device bits. */
static inline void put_fis(struct bench *b, unsigned slot, uint8_t command, uint64_t lba, uint16_t count,
                           uint16_t features)
{
    uint8_t *fis = table_of(b, slot);
    memset(fis, 0, 0x50);
    fis[0] = 0x27;
    fis[1] = 0x80;
    fis[2] = command;
    fis[3] = (uint8_t)features;
    fis[4] = (uint8_t)lba;
    fis[5] = (uint8_t)(lba >> 8);
    fis[6] = (uint8_t)(lba >> 16);
    fis[7] = 0x40;
    fis[8] = (uint8_t)(lba >> 24);
    fis[9] = (uint8_t)(lba >> 32);
    fis[10] = (uint8_t)(lba >> 40);
    fis[11] = (uint8_t)(features >> 8);
    le16_put(fis + 12, count);
}

static inline void issue(struct bench *b, unsigned port, unsigned slot)
{
    px_write(b, port, CI, UINT32_C(1) << slot);
}

/* Wait for the end of the command; returns PxIS and acknowledges it. */
static inline uint32_t finish(struct bench *b, unsigned port)
{
    rig_settle(b->r);
    uint32_t is = px(b, port, PIS);
    px_write(b, port, PIS, is);
    hba_write(b, IS, hba(b, IS));
    return is;
}

/* One whole command in slot 0 with one region at DATA. Returns PxIS. */
static inline uint32_t command(struct bench *b, unsigned port, uint8_t code, uint64_t lba, uint16_t count,
                               uint32_t bytes)
{
    put_fis(b, 0, code, lba, count, 0);
    put_prd(b, 0, 0, DATA, bytes);
    put_header(b, port, 0, bytes > 0, 0);
    issue(b, port, 0);
    return finish(b, port);
}

/* A packet command in slot 0 with one region of bytes at DATA. Returns PxIS. */
static inline uint32_t packet(struct bench *b, unsigned port, const uint8_t cdb[12], uint32_t bytes, bool dma)
{
    put_fis(b, 0, 0xa0, (uint64_t)0xfffe << 8, 0, dma);
    memcpy(table_of(b, 0) + 0x40, cdb, 12);
    put_prd(b, 0, 0, DATA, bytes);
    put_header(b, port, 0, bytes > 0, HEADER_ATAPI);
    issue(b, port, 0);
    return finish(b, port);
}

/* Put a queued command into slot, with a region of its own; it is not issued. */
static inline void put_queued(struct bench *b, unsigned port, unsigned slot, bool write, uint64_t lba, uint16_t count)
{
    put_fis(b, slot, write ? 0x61 : 0x60, lba, (uint16_t)(slot << 3), count);
    put_prd(b, slot, 0, DATA + 0x10000 * slot, 512u * count);
    put_header(b, port, slot, 1, write ? HEADER_WRITE : 0);
}

static inline void issue_queued(struct bench *b, unsigned port, uint32_t slots)
{
    px_write(b, port, SACT, slots);
    px_write(b, port, CI, slots);
}

/* Stop the port and start it again, as after an error [AHCI 6.2.2.1]. */
static inline void restart(struct bench *b, unsigned port)
{
    px_write(b, port, CMD, px(b, port, CMD) & ~(uint32_t)ST);
    rig_settle(b->r);
    assert_int_equal(px(b, port, CMD) & CR, 0);
    px_write(b, port, PIS, 0xffffffff);
    px_write(b, port, SERR, 0xffffffff);
    px_write(b, port, CMD, px(b, port, CMD) | ST);
}

#endif
