/* What the tests of the IDE controller share: a rig with drives, and a guest that talks to them. */
#ifndef THINDM_TEST_IDE_BENCH_H
#define THINDM_TEST_IDE_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ide-piix3.h"
#include "rig.h"

enum { PRIMARY = 0x1f0, SECONDARY = 0x170, PRIMARY_CTL = 0x3f6, SECONDARY_CTL = 0x376, BM = 0xc000, DEVFN = 9 };
enum { ERROR = 1, COUNT, LOW, MID, HIGH, DEVICE, STATUS };
enum { BSY = 0x80, DRDY = 0x40, DSC = 0x10, DRQ = 0x08, ERR = 0x01, READY = DRDY | DSC };
enum { ABRT = 0x04, IDNF = 0x10, UNC = 0x40 };
enum { PRDT = 0x8000, DATA = 0x100000 }; /* guest addresses used for DMA */
#define DISK_BYTES (8 * MIB)
#define CD_BYTES   (4 * MIB)

struct bench {
    struct rig *r;
    struct rig_disk *disk[IDE_DRIVES];
    bool closed[IDE_DRIVES];
    char layout[IDE_DRIVES + 1];
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

static const char *const bench_ids[] = { "ide-768", "ide-832", "ide-5632", "ide-5696" };

/* What happens to the drives from outside, noted as an event of the fuzz targets: its number, the drive's, and more. */
static inline void bench_note(struct bench *b, unsigned event, const char *id, unsigned more)
{
    unsigned i = 0;
    while (i < IDE_DRIVES - 1 && strcmp(bench_ids[i], id) != 0)
        i++;
    rig_note(b->r, "op 0x%xd%02x%02x", event, i, more);
}

static inline int bench_eject(struct bench *b, const char *id, bool force)
{
    bench_note(b, force, id, 0x3c);
    return ide_eject(b->r->dev, id, force);
}

static inline int bench_change(struct bench *b, const char *id, bool force, struct block *block)
{
    uint64_t bytes = block->size_bytes;
    bench_note(b, 2 + force, id, bytes == 0 ? 0 : bytes < 900 * MIB ? 1 : 2);
    return ide_change_medium(b->r->dev, id, force, block);
}

static inline void bench_unplug(struct bench *b, bool keep_primary_master)
{
    bench_note(b, 4, bench_ids[0], keep_primary_master);
    ide_unplug_disks(b->r->dev, keep_primary_master);
}

static inline void bench_drain(struct bench *b)
{
    bench_note(b, 5, bench_ids[0], 0x3c);
    ide_drain(b->r->dev);
}

static inline bool bench_info(struct bench *b, unsigned i, struct ide_drive_info *info)
{
    bench_note(b, 8 + i, bench_ids[0], 0x3c);
    return ide_drive_info(b->r->dev, i, info);
}

static inline int bench_create(struct bench *b)
{
    struct ide_piix3_config config = { .id = "ide",
                                       .loop = &b->r->loop,
                                       .ports = &b->r->ports,
                                       .pci = &b->r->pci,
                                       .devfn = DEVFN,
                                       .mem = &b->r->mem,
                                       .tray_moved = bench_tray_moved,
                                       .opaque = b };
    for (unsigned i = 0; i < 2; i++)
        config.irq[i] = irq_isa(&b->r->irqs, 14 + i);
    for (unsigned i = 0; i < IDE_DRIVES; i++) {
        char kind = b->layout[i];
        struct ide_drive_config *drive = &config.drives[i];
        b->disk[i] = NULL;
        drive->present = kind != '-';
        drive->cdrom = kind == 'c' || kind == 'e';
        drive->id = bench_ids[i];
        if (kind == 'd' || kind == 'c') {
            b->disk[i] = bench_image(b, kind == 'd' ? DISK_BYTES : CD_BYTES, &b->closed[i]);
            b->disk[i]->block.read_only = kind == 'c';
            drive->block = &b->disk[i]->block;
        }
    }
    int err = ide_piix3_create(&config, &b->r->dev);
    if (!err)
        b->r->dev->log = &b->r->log;
    return err;
}

/* One letter per drive: d disk, c CD-ROM with a medium, e an empty one, - nothing. */
static inline struct bench *bench_new(const char *layout)
{
    struct bench *b = calloc(1, sizeof(*b));
    assert_non_null(b);
    b->r = rig_new();
    memcpy(b->layout, layout, IDE_DRIVES);
    assert_int_equal(bench_create(b), 0);
    rig_cfg_write(b->r, DEVFN, PCI_BAR0 + 16, 4, BM);
    rig_cfg_write(b->r, DEVFN, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
    return b;
}

static inline void bench_free(struct bench *b)
{
    rig_free(b->r);
    free(b);
}

static inline int bench_teardown(void **state)
{
    bench_free(*state);
    return 0;
}

static inline uint8_t in8(struct bench *b, unsigned port)
{
    return rig_in8(b->r, (uint16_t)port);
}

static inline void out8(struct bench *b, unsigned port, uint8_t val)
{
    rig_out8(b->r, (uint16_t)port, val);
}

/* Poll as firmware does, with the loop turning in between. */
static inline uint8_t wait_ready(struct bench *b, unsigned base)
{
    uint8_t status = in8(b, base + STATUS);
    for (unsigned i = 0; i < 1000 && (status & BSY); i++) {
        rig_settle(b->r);
        status = in8(b, base + STATUS);
    }
    assert_false(status & BSY);
    return status;
}

static inline void select_unit(struct bench *b, unsigned base, unsigned unit)
{
    out8(b, base + DEVICE, (uint8_t)(0xa0 | unit << 4));
}

/* A 28-bit command; doesn't wait. */
static inline void command28(struct bench *b, unsigned base, unsigned unit, uint8_t command, uint32_t lba,
                             uint8_t count)
{
    out8(b, base + DEVICE, (uint8_t)(0xe0 | unit << 4 | (lba >> 24 & 0x0f)));
    out8(b, base + COUNT, count);
    out8(b, base + LOW, (uint8_t)lba);
    out8(b, base + MID, (uint8_t)(lba >> 8));
    out8(b, base + HIGH, (uint8_t)(lba >> 16));
    out8(b, base + STATUS, command);
}

static inline void command48(struct bench *b, unsigned base, unsigned unit, uint8_t command, uint64_t lba,
                             uint16_t count)
{
    out8(b, base + DEVICE, (uint8_t)(0xe0 | unit << 4));
    for (unsigned i = 2; i-- > 0;) {
        out8(b, base + COUNT, (uint8_t)(count >> (8 * i)));
        out8(b, base + LOW, (uint8_t)(lba >> (24 * i)));
        out8(b, base + MID, (uint8_t)(lba >> (24 * i + 8)));
        out8(b, base + HIGH, (uint8_t)(lba >> (24 * i + 16)));
    }
    out8(b, base + STATUS, command);
}

/* REP INSW and REP OUTSW. */
static inline void insw(struct bench *b, unsigned base, void *buf, size_t bytes)
{
    rig_note(b->r, "rep_inw 0x%x %zu", base, bytes / 2);
    bus_read_rep(&b->r->ports, base, 2, buf, bytes / 2);
}

static inline void outsw(struct bench *b, unsigned base, const void *buf, size_t bytes)
{
    rig_note(b->r, "rep_outw 0x%x", base);
    rig_record_bytes(b->r, "bytes", buf, bytes);
    bus_write_rep(&b->r->ports, base, 2, buf, bytes / 2);
}

/* Read DRQ blocks of block bytes until the command ends or bytes were read; returns how many were. */
static inline size_t pio_in(struct bench *b, unsigned base, void *buf, size_t bytes, size_t block)
{
    size_t got = 0;
    while ((wait_ready(b, base) & DRQ) && got < bytes) {
        size_t run = bytes - got < block ? bytes - got : block;
        insw(b, base, (uint8_t *)buf + got, run);
        got += run;
    }
    return got;
}

static inline void pio_out(struct bench *b, unsigned base, const void *buf, size_t bytes, size_t block)
{
    for (size_t done = 0; done < bytes; done += block) {
        assert_int_equal(wait_ready(b, base) & (DRQ | ERR), DRQ);
        outsw(b, base, (const uint8_t *)buf + done, block < bytes - done ? block : bytes - done);
    }
}

/* Send a packet; doesn't wait. */
static inline void packet(struct bench *b, unsigned base, unsigned unit, const uint8_t cdb[12], uint16_t limit,
                          bool dma)
{
    select_unit(b, base, unit);
    out8(b, base + ERROR, dma);
    out8(b, base + MID, (uint8_t)limit);
    out8(b, base + HIGH, (uint8_t)(limit >> 8));
    out8(b, base + STATUS, 0xa0);
    assert_int_equal(wait_ready(b, base), READY | DRQ);
    assert_int_equal(in8(b, base + COUNT), 1);
    outsw(b, base, cdb, 12);
}

/* A whole packet command by PIO with blocks as the drive tells them. Returns the bytes read, or -1 for a check
 * condition. */
static inline long packet_in(struct bench *b, unsigned base, unsigned unit, const uint8_t cdb[12], void *buf,
                             size_t bytes, uint16_t limit)
{
    size_t got = 0;
    uint8_t status;
    packet(b, base, unit, cdb, limit, false);
    while ((status = wait_ready(b, base)) & DRQ) {
        size_t block = (size_t)in8(b, base + MID) | (size_t)in8(b, base + HIGH) << 8;
        assert_int_equal(in8(b, base + COUNT), 2);
        assert_true(block > 0 && block <= limit && got + block <= bytes);
        uint8_t words[65536];
        insw(b, base, words, (block + 1) & ~(size_t)1);
        memcpy((uint8_t *)buf + got, words, block);
        got += block;
    }
    assert_int_equal(in8(b, base + COUNT), 3);
    return status & ERR ? -1 : (long)got;
}

/* Sense key, code and qualifier as one number, 0xKCCQQ. */
static inline unsigned sense(struct bench *b, unsigned base, unsigned unit)
{
    uint8_t cdb[12] = { 0x03, 0, 0, 0, 18 }, data[18];
    assert_int_equal(packet_in(b, base, unit, cdb, data, sizeof(data), 0xfffe), 18);
    assert_int_equal(data[0] & 0x7f, 0x70);
    return (unsigned)(data[2] << 16 | data[12] << 8 | data[13]);
}

/* One entry of the descriptor table of a channel. */
static inline void put_prd(struct bench *b, unsigned i, uint32_t addr, uint32_t bytes, bool last)
{
    le32_put(b->r->ram + PRDT + 8 * i, addr);
    le32_put(b->r->ram + PRDT + 8 * i + 4, (bytes & 0xffff) | (last ? UINT32_C(0x80000000) : 0));
}

/* Set the bus master up, not started. bm: its ports of a channel. */
static inline void bm_setup(struct bench *b, unsigned bm)
{
    out8(b, bm, 0);
    rig_out32(b->r, (uint16_t)(bm + 4), PRDT);
    out8(b, bm + 2, 0x66);
}

static inline void bm_start(struct bench *b, unsigned bm, bool to_memory)
{
    out8(b, bm, (uint8_t)(to_memory ? 0x09 : 0x01));
}

#endif
