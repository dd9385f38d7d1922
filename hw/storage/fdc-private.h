/* What the files of the floppy controller share: its state. [82078 n] is clause n of Intel's data sheet. */
#ifndef THINDM_FDC_PRIVATE_H
#define THINDM_FDC_PRIVATE_H

#include "fdc.h"

#include <thindm/block.h>
#include <thindm/bus.h>
#include <thindm/device.h>

enum { FDC_UNITS = 4, FDC_FIFO = 17, FDC_SECTOR = 512 };
/* Sectors have 128 << FDC_SIZE_CODE bytes; each is formatted by an address of FDC_FORMAT_ID bytes. */
enum { FDC_SIZE_CODE = 2, FDC_FORMAT_ID = 4 };
enum { DOR_NOT_RESET = 0x04, DOR_DMA = 0x08, DOR_UNIT = 0x03 };
enum { DSR_RESET = 0x80, DSR_RATE = 0x03 };
enum {
    ST0_HEAD = 0x04,
    ST0_FAULT = 0x10,
    ST0_SEEK_END = 0x20,
    ST0_ABNORMAL = 0x40,
    ST0_INVALID = 0x80,
    ST0_POLL = 0xc0
};
enum {
    ST1_NO_ID = 0x01,
    ST1_PROTECTED = 0x02,
    ST1_NO_SECTOR = 0x04,
    ST1_OVERRUN = 0x10,
    ST1_DATA = 0x20,
    ST1_END = 0x80
};
enum { ST2_CYLINDER = 0x10, ST2_DATA = 0x20, ST2_MARK = 0x40 };
enum { CONFIG_IMPLIED_SEEK = 0x40, CONFIG_NO_FIFO = 0x20 };

/*
 * COMMAND: bytes of a command come in (fifo, pos of len). WAIT: for the disk. IN, OUT: the guest takes, gives the
 * bytes of a sector by programmed I/O (data from at on). RESULT: it takes the bytes of fifo.
 */
enum fdc_phase { PHASE_COMMAND, PHASE_WAIT, PHASE_IN, PHASE_OUT, PHASE_RESULT };
enum fdc_op { OP_NONE, OP_READ, OP_VERIFY, OP_WRITE, OP_FORMAT };

/* What a medium is like, and which drive is for it. */
struct fdc_format {
    uint8_t cylinders, heads, sectors;
    uint8_t rate; /* as in the rate registers: 0 500, 1 300, 2 250, 3 1000 kbit/s */
    uint8_t type; /* of the drive, as in CMOS */
};

struct fdc_drive {
    struct block *block;             /* NULL: no medium */
    const struct fdc_format *format; /* of the medium */
    uint8_t type;                    /* 0: there is no drive */
};

struct fdc {
    struct device dev;
    struct bus_region region, dir_region;
    struct irq irq;
    struct fdc_drive drives[FDC_DRIVES];
    struct fdc_moved (*transfer)(void *opaque, bool to_memory, uint8_t *buf, size_t len);
    void *opaque;
    /* The one request in flight; orphan: the command that wanted it is gone. */
    struct block_req req;
    struct vec vec;
    bool busy, orphan;
    /* Guest-visible state: all of it, and nothing else, is in fdc_fields[]. */
    uint8_t dor, tdr, dsr;
    uint8_t phase, op; /* op: of the phases WAIT, IN, OUT */
    uint8_t fifo[FDC_FIFO], pos, len;
    /* The command at work: the unit, the sector that is next or just there, how many are left (FORMAT, VERIFY). */
    uint8_t unit, cylinder, head, sector, st2;
    uint16_t left;
    bool dma, end; /* end: terminal count was seen */
    uint16_t at;
    uint8_t data[FDC_SECTOR];
    /* What commands have set. */
    uint8_t timing[2], config, precompensation, perpendicular, last_sector, power, specs[FDC_UNITS];
    bool locked;
    uint8_t track[FDC_UNITS]; /* where the heads are */
    /* To be told by SENSE INTERRUPT STATUS: units after a reset, seeks that ended, those of them that failed. */
    uint8_t polls, seeks, faults;
    bool interrupt;
    bool changed[FDC_DRIVES]; /* the disk change line */
};

/* The line follows the state: ends every path that changes it. */
void fdc_update(struct fdc *s);
/* fdc-cmd.c: a byte in phase COMMAND; a result of len bytes of fifo. */
void fdc_command_byte(struct fdc *s, uint8_t val);
/* After a restore: may so much of a command have come in? */
bool fdc_command_is_sane(const struct fdc *s);
void fdc_result(struct fdc *s, unsigned len);
/* An interrupt that is no longer the reset's. */
void fdc_raise(struct fdc *s);
void fdc_step(struct fdc *s, unsigned unit, uint8_t track);
/* fdc-data.c: sectors. fifo holds the command. */
void fdc_transfer(struct fdc *s, enum fdc_op op);
void fdc_format_track(struct fdc *s);
void fdc_read_id(struct fdc *s);
uint8_t fdc_data_in(struct fdc *s);
void fdc_data_out(struct fdc *s, uint8_t val);
/* The rest of what was asked for is nobody's. */
void fdc_abandon(struct fdc *s);

#endif
