/*
 * What the tests of the floppy controller share: it and the board's DMA controller, drives, and a guest that talks to
 * them. [82078 n] is clause n of Intel's data sheet, order 290474.
 */
#ifndef THINDM_TEST_FDC_BENCH_H
#define THINDM_TEST_FDC_BENCH_H

#include <chipset/dma8237.h>
#include <errno.h>
#include <stdlib.h>
#include <storage/fdc.h>
#include <string.h>

#include "chipset-rig.h"

enum { DOR = 0x3f2, TDR, MSR, FIFO, DIR = 0x3f7, CCR = 0x3f7, DSR = MSR };
enum { IDLE = 0x80, PARAMETERS = 0x90, WAITING = 0x10, RESULT = 0xd0, DATA_IN = 0xf0, DATA_OUT = 0xb0 };
enum {
    READ = 0x46,
    WRITE = 0x45,
    READ_DELETED = 0x4c,
    WRITE_DELETED = 0x49,
    READ_TRACK = 0x42,
    VERIFY = 0x56,
    FORMAT = 0x4d,
    READ_ID = 0x4a,
    MT = 0x80,
    SKIP = 0x20
};
enum { SPECIFY = 3, SENSE_DRIVE = 4, RECALIBRATE = 7, SENSE = 8, SEEK = 15, VERSION = 16, CONFIGURE = 0x13 };
enum { ABNORMAL = 0x40, NO_ID = 0x01, PROTECTED = 0x02, NO_SECTOR = 0x04, OVERRUN = 0x10, BAD_DATA = 0x20, END = 0x80 };
enum { SECTOR = 512, AT = 0x20000, PIO = 1, TO_MEMORY = 0x46, FROM_MEMORY = 0x4a, DMA_VERIFY_MODE = 0x42 };
enum { RATE_500, RATE_300, RATE_250, RATE_1000 };
#define MB144 (1440 * KIB)

struct bench {
    struct rig *r;
    struct device *dma;
    struct rig_disk *disk[FDC_DRIVES];
    bool closed[FDC_DRIVES];
    uint8_t result[16];
};

static inline struct fdc_moved transfer(void *opaque, bool to_memory, uint8_t *buf, size_t len)
{
    struct bench *b = opaque;
    enum dma8237_type type = dma8237_channel(b->dma, FDC_DMA_CHANNEL).type;
    if (type != (to_memory ? DMA_WRITE : DMA_READ) && !(to_memory && type == DMA_VERIFY))
        return (struct fdc_moved){ 0 };
    struct dma8237_moved moved = dma8237_transfer(b->dma, FDC_DMA_CHANNEL, &b->r->mem, buf, len);
    return (struct fdc_moved){ moved.bytes, moved.end };
}

static inline struct rig_disk *image(struct bench *b, unsigned i, uint64_t bytes)
{
    struct rig_disk *disk = rig_disk(b->r, bytes);
    for (uint64_t at = 0; at < bytes; at++)
        disk->data[at] = (uint8_t)(at / SECTOR * 7 + at * 3 + at / 256);
    disk->closed_flag = &b->closed[i];
    b->closed[i] = false;
    return disk;
}

/* Sizes of the media; 0: an empty drive, 1: none. */
static inline int create(struct bench *b, uint64_t first, uint64_t second)
{
    struct fdc_config config = {
        .id = "fdc", .ports = &b->r->ports, .irq = rig_irq(b->r), .transfer = transfer, .opaque = b
    };
    uint64_t sizes[FDC_DRIVES] = { first, second };
    for (unsigned i = 0; i < FDC_DRIVES; i++) {
        b->disk[i] = sizes[i] > 1 ? image(b, i, sizes[i]) : NULL;
        config.drives[i].present = sizes[i] != 1;
        config.drives[i].block = b->disk[i] ? &b->disk[i]->block : NULL;
    }
    int err = fdc_create(&config, &b->r->dev);
    if (!err)
        chip_start(b->r);
    return err;
}

static inline struct bench *bench_bare(void)
{
    struct bench *b = calloc(1, sizeof(*b));
    assert_non_null(b);
    b->r = rig_new();
    assert_int_equal(dma8237_create(&(struct dma8237_config){ .id = "dma", .ports = &b->r->ports }, &b->dma), 0);
    b->dma->desc->reset(b->dma);
    return b;
}

static inline struct bench *bench_new(uint64_t first, uint64_t second)
{
    struct bench *b = bench_bare();
    assert_int_equal(create(b, first, second), 0);
    return b;
}

static inline void bench_free(struct bench *b)
{
    device_free(b->r->dev);
    b->r->dev = NULL;
    device_free(b->dma);
    rig_free(b->r);
    free(b);
}

static inline int setup(void **state)
{
    *state = bench_new(MB144, 1);
    return 0;
}

static inline int setup_two(void **state)
{
    *state = bench_new(MB144, 0);
    return 0;
}

static inline int teardown(void **state)
{
    bench_free(*state);
    return 0;
}

static inline void out(struct bench *b, uint16_t port, unsigned val)
{
    rig_out8(b->r, port, (uint8_t)val);
}

static inline uint8_t in(struct bench *b, uint16_t port)
{
    return rig_in8(b->r, port);
}

static inline void eject(struct bench *b, unsigned i)
{
    rig_note(b->r, "op 0x0d%02x", i);
    fdc_eject(b->r->dev, i);
}

static inline int insert(struct bench *b, unsigned i, uint64_t bytes, bool read_only)
{
    rig_note(b->r, "op 0x%xd%02x", read_only ? 2 : 1, i);
    bool *flag = &b->closed[i];
    struct rig_disk *disk = image(b, i, bytes);
    disk->closed_flag = NULL;
    disk->block.read_only = read_only;
    int err = fdc_change_medium(b->r->dev, i, &disk->block);
    if (err) {
        block_close(&disk->block);
        return err;
    }
    disk->closed_flag = flag;
    *flag = false;
    b->disk[i] = disk;
    return 0;
}

static inline void send_bytes(struct bench *b, const uint8_t *bytes, unsigned len)
{
    for (unsigned i = 0; i < len; i++) {
        assert_int_equal(in(b, MSR), i == 0 ? IDLE : PARAMETERS);
        out(b, FIFO, bytes[i]);
    }
}

#define SEND(b, ...) send_bytes((b), (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

/* So many bytes, and no more. */
static const uint8_t *result(struct bench *b, unsigned len)
{
    for (unsigned i = 0; i < len; i++) {
        assert_int_equal(in(b, MSR), RESULT);
        b->result[i] = in(b, FIFO);
    }
    assert_int_equal(in(b, MSR), IDLE);
    return b->result;
}

#define RESULT_IS(b, ...)                                                                                              \
    assert_memory_equal(result((b), sizeof((const uint8_t[]){ __VA_ARGS__ })), ((const uint8_t[]){ __VA_ARGS__ }),     \
                        sizeof((const uint8_t[]){ __VA_ARGS__ }))

static inline void arm(struct bench *b, unsigned mode, uint32_t addr, uint32_t bytes)
{
    out(b, 0x0a, 0x06); /* mask, flip-flop, mode, address, count, page, go [8237] */
    out(b, 0x0c, 0);
    out(b, 0x0b, mode);
    out(b, 0x04, addr);
    out(b, 0x04, addr >> 8 & 0xff);
    out(b, 0x05, bytes - 1);
    out(b, 0x05, (bytes - 1) >> 8 & 0xff);
    out(b, 0x81, addr >> 16);
    out(b, 0x0a, 0x02);
}

/* A command with 8 parameters, run to its end. */
static const uint8_t *run(struct bench *b, unsigned code, unsigned unit, unsigned c, unsigned h, unsigned r,
                          unsigned eot)
{
    assert_false(b->r->level);
    SEND(b, (uint8_t)code, (uint8_t)(h << 2 | unit), (uint8_t)c, (uint8_t)h, (uint8_t)r, 2, (uint8_t)eot, 0x1b, 0xff);
    rig_settle(b->r);
    assert_true(b->r->level);
    result(b, 7);
    assert_false(b->r->level);
    return b->result;
}

#define ENDED(b, ...) assert_memory_equal((b)->result, ((const uint8_t[]){ __VA_ARGS__ }), 7)

static const uint8_t *at_sector(struct bench *b, unsigned c, unsigned h, unsigned r)
{
    return b->disk[0]->data + ((c * 2 + h) * 18 + r - 1) * (size_t)SECTOR;
}

static inline uint8_t *ram(struct bench *b)
{
    return b->r->ram + AT;
}

static inline void seek(struct bench *b, unsigned unit, unsigned track)
{
    SEND(b, SEEK, (uint8_t)unit, (uint8_t)track);
    assert_true(b->r->level);
    SEND(b, SENSE);
    assert_false(b->r->level);
    RESULT_IS(b, (uint8_t)(0x20 | unit), (uint8_t)track);
}

#define TEST(name)  cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST2(name) cmocka_unit_test_setup_teardown(name, setup_two, teardown)

#endif
