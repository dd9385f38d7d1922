/* What the files of the IDE drives share. [ACS n] is section n of ATA8-ACS (T13/1699-D r6a), [APT n] of ATA8-APT. */
#ifndef THINDM_IDE_PRIVATE_H
#define THINDM_IDE_PRIVATE_H

#include "ide.h"

#include <thindm/block.h>
#include <thindm/bus.h>
#include <thindm/device.h>
#include <thindm/irq.h>
#include <thindm/mem.h>
#include <thindm/pci.h>

/* Command block and control block registers, offsets from 1f0 and 170; 206 stands for the control block's one. */
enum { REG_DATA, REG_ERROR, REG_COUNT, REG_LOW, REG_MID, REG_HIGH, REG_DEVICE, REG_STATUS, IDE_NR_REGS };
enum { ST_ERR = 0x01, ST_DRQ = 0x08, ST_DSC = 0x10, ST_DRDY = 0x40, ST_BSY = 0x80, ST_READY = ST_DRDY | ST_DSC };
enum { ER_ABRT = 0x04, ER_IDNF = 0x10, ER_UNC = 0x40, DIAG_PASSED = 0x01 };
enum { IR_CD = 0x01, IR_IO = 0x02 }; /* interrupt reason of PACKET, in the count register */
enum { DC_NIEN = 0x02, DC_SRST = 0x04, DC_HOB = 0x80 };
enum { DEV_UNIT = 0x10, DEV_LBA = 0x40, DEV_ONES = 0xa0, DEV_HEAD = 0x0f };
enum { BM_START = 0x01, BM_TO_MEMORY = 0x08 }; /* bus master command */
enum { BM_ACTIVE = 0x01, BM_ERROR = 0x02, BM_INTERRUPT = 0x04, BM_CAPABLE = 0x60 }; /* bus master status */
enum { CMD_NOP = 0x00, CMD_DEVICE_RESET = 0x08, CMD_READ_SECTORS = 0x20, CMD_DIAGNOSTIC = 0x90, CMD_PACKET = 0xa0,
       CMD_IDENTIFY_PACKET = 0xa1, CMD_IDENTIFY = 0xec, CMD_SET_FEATURES = 0xef };

enum {
    IDE_UNITS = 2, IDE_CHANNELS = IDE_DRIVES / IDE_UNITS,
    DISK_SECTOR = 512, CD_SECTOR = 2048, CD_RAW_SECTOR = 2352,
    IDE_BUF_BYTES = 128 << 10,  /* holds any DRQ block (64 KiB) behind the rest of another */
    IDE_AHEAD_BYTES = 128 << 10,
    IDE_PINS = 48,              /* per channel; mem_pin() sees to it that others find buckets */
    IDE_PACKET_BYTES = 12, IDE_SERIAL_BYTES = 20, IDE_MAX_MULTIPLE = 16,
};

enum ide_kind { IDE_NONE, IDE_DISK, IDE_CD };
/* IN, OUT: a DRQ block waits for the host. DMA: the drive waits for or works with the bus master. */
enum ide_phase { PHASE_IDLE, PHASE_IN, PHASE_OUT, PHASE_DMA, NR_PHASES };
/* Where the data of a command come from and go to. */
enum ide_step {
    STEP_NONE,
    STEP_REPLY,  /* buffer to host */
    STEP_READ,   /* medium to host */
    STEP_WRITE,  /* host to medium */
    STEP_VERIFY, /* medium to nowhere */
    STEP_PACKET, /* host to buffer: a packet */
    STEP_PARAMETERS, /* host to buffer: what the command works on */
    NR_STEPS,
};
/* What the request in flight is for. */
enum ide_io { IO_NONE, IO_AHEAD, IO_READ, IO_VERIFY, IO_WRITE, IO_DMA, IO_BOUNCE, IO_FLUSH, IO_TRIM, IO_ORPHAN };
/* A reset that waits for the request in flight. */
enum ide_due { DUE_NONE, DUE_SOFT_RESET, DUE_DIAGNOSTIC, DUE_DEVICE_RESET };

/* Position in a physical region descriptor table [SFF-8038i 1.2]. */
struct ide_prd {
    uint32_t next, base, left; /* next entry; what is left of the present one */
    uint16_t entries;          /* taken so far */
    bool last;
};

/* The task file; previous contents for 48-bit commands [APT 4.3]. */
struct ide_regs {
    uint8_t features, count, low, mid, high, device;
    uint8_t hob_features, hob_count, hob_low, hob_mid, hob_high;
};

/* Sectors read before the guest asked for them. A cache of the medium: never saved, dropped at any write. */
struct ide_ahead {
    uint8_t *data;
    struct block_req req;
    struct vec vec;
    uint64_t lba, next, time_ns; /* first sector held; where the last PIO read ended; when it was filled */
    uint32_t units;              /* sectors held or being read */
    bool busy, stale;            /* in flight; and of no use any more */
};

/* The CD-ROM's own state. */
struct ide_cd {
    bool tray_open, locked;
    uint8_t change;             /* 2: show an empty drive once; 1: then say that the medium changed */
    uint8_t events;             /* media events not told yet */
    uint8_t key, asc, ascq;     /* sense data of the last command */
    bool sense_lba_valid;
    uint32_t sense_lba;
    uint8_t recovery[2];        /* mode page 01, bytes 2-3 */
    uint8_t volume[8];          /* mode page 0e, bytes 8-15 */
};

/* The disk's own state. */
struct ide_disk {
    uint8_t heads, sectors;     /* of the translation in force, 1-16, 1-255 */
    uint8_t multiple;           /* sectors per DRQ block, 0: READ MULTIPLE is off */
    bool write_cache, look_ahead, smart, smart_autosave;
    uint8_t smart_self_test;    /* kind of the last self-test, 0: none ran */
    uint8_t power;              /* as CHECK POWER MODE tells it */
};

struct ide_drive {
    struct ide_channel *chan;
    struct block *block; /* owned; NULL: no medium */
    uint64_t sectors;    /* of DISK_SECTOR or CD_SECTOR bytes */
    struct ide_geometry geometry;
    struct ide_ahead ahead;
    uint8_t index, configured; /* on its controller; enum ide_kind */
    uint8_t queue;             /* commands that NCQ holds, 0: no NCQ */
    char id[DEVICE_ID_BYTES];
    char serial[IDE_SERIAL_BYTES + 1];
    /* Guest-visible state. */
    uint8_t kind; /* enum ide_kind; NONE when not there or unplugged */
    uint8_t status, error, transfer_mode;
    bool irq;
    struct ide_regs regs;
    struct ide_disk disk;
    struct ide_cd cd;
};

/* What snapshots have of a drive; AHCI's has no irq of its own, which stays false. */
#define IDE_SNAP_DRIVE(type, drive)                                                                                    \
    SNAP(type, drive.kind), SNAP(type, drive.status), SNAP(type, drive.error), SNAP(type, drive.transfer_mode),        \
        SNAP(type, drive.irq), SNAP(type, drive.regs.features), SNAP(type, drive.regs.count),                          \
        SNAP(type, drive.regs.low), SNAP(type, drive.regs.mid), SNAP(type, drive.regs.high),                           \
        SNAP(type, drive.regs.device), SNAP(type, drive.regs.hob_features), SNAP(type, drive.regs.hob_count),          \
        SNAP(type, drive.regs.hob_low), SNAP(type, drive.regs.hob_mid), SNAP(type, drive.regs.hob_high),               \
        SNAP(type, drive.disk.heads), SNAP(type, drive.disk.sectors), SNAP(type, drive.disk.multiple),                 \
        SNAP(type, drive.disk.write_cache), SNAP(type, drive.disk.look_ahead), SNAP(type, drive.disk.smart),           \
        SNAP(type, drive.disk.smart_autosave), SNAP(type, drive.disk.smart_self_test), SNAP(type, drive.disk.power),   \
        SNAP(type, drive.cd.tray_open), SNAP(type, drive.cd.locked), SNAP(type, drive.cd.change),                      \
        SNAP(type, drive.cd.events), SNAP(type, drive.cd.key), SNAP(type, drive.cd.asc), SNAP(type, drive.cd.ascq),    \
        SNAP(type, drive.cd.sense_lba_valid), SNAP(type, drive.cd.sense_lba), SNAP_ARRAY(type, drive.cd.recovery),     \
        SNAP_ARRAY(type, drive.cd.volume)

/* The command at work. There is one per channel: a drive whose neighbour gets a command forgets its own. */
struct ide_xfer {
    uint8_t phase, step, unit, command;
    bool packet, dma, ext;
    bool fua; /* flush before the end */
    uint8_t cdb[IDE_PACKET_BYTES];
    uint32_t pos, end, filled; /* of buf: next byte, end of the DRQ block, end of what is there or shall come */
    uint32_t block;            /* bytes of a full DRQ block */
    uint64_t lba;              /* next sector of the medium */
    uint32_t left;             /* sectors still to be read from or written to the medium */
    uint32_t careful;          /* sectors to take one by one because a request that held them failed */
    uint16_t host_bytes;       /* of a sector, to the host */
};

struct ide_channel;

/*
 * A host adapter that talks to its drive in frames (AHCI) instead of registers, PIO and bus master: it calls ide_begin()
 * and ide_run(), and the channel calls it back. All data go the adapter's way, whether the command is PIO or DMA.
 */
struct ide_host {
    /* Move the data that c->x tells of: STEP_REPLY, STEP_PARAMETERS, STEP_READ, STEP_WRITE; or take the packet. */
    void (*transfer)(struct ide_channel *c);
    /* The command ended: status, error and registers of the active drive tell how. */
    void (*ended)(struct ide_channel *c);
    /* The transfer is forgotten: no more of it is to begin. */
    void (*abandoned)(struct ide_channel *c);
    /* The request that an abandoned command had with the back end is gone. */
    void (*idle)(struct ide_channel *c);
};

struct ide_channel {
    struct device *dev;
    const struct ide_host *host; /* NULL: ports and bus master */
    struct loop *loop;
    struct mem *mem;
    struct pci_func *pci;
    struct bus_region data, regs, ctl;
    struct irq irq;
    void (*tray_moved)(void *opaque, const char *id, bool open);
    void *opaque;
    struct ide_drive drive[IDE_UNITS];
    /* The request in flight. Nothing of it is saved: ide_drain() comes before. */
    struct block_req req;
    struct vec vec[IDE_PINS];
    struct mem_pin pin[IDE_PINS];
    struct ide_prd pin_prd[IDE_PINS]; /* the table's position before each pin */
    struct ide_prd piece_prd;         /* and before the piece */
    unsigned nr_pins;
    uint32_t io_units;
    uint8_t io, due; /* enum ide_io, enum ide_due */
    bool halt;       /* don't begin another piece */
    /* Guest-visible state. */
    uint8_t control, selected;
    uint8_t bm_command, bm_status;
    uint32_t bm_table;
    struct ide_prd prd;
    struct ide_xfer x;
    uint8_t buf[IDE_BUF_BYTES];
    struct snap_part saved; /* of buf */
};

/* ide.c: task file, PIO, resets. */

extern const struct bus_ops ide_data_ops, ide_regs_ops, ide_ctl_ops;

static inline struct ide_drive *ide_active(struct ide_channel *c)
{
    return &c->drive[c->x.unit];
}

static inline uint32_t ide_sector_bytes(const struct ide_drive *d)
{
    return d->kind == IDE_CD ? CD_SECTOR : DISK_SECTOR;
}

/* Prepare drive unit for a channel; serial_nr makes its serial number. The block stays the caller's. 0 or -errno. */
int ide_drive_init(struct ide_channel *c, unsigned unit, unsigned index, unsigned serial_nr,
                   const struct ide_drive_config *config) WARN_UNUSED;
/* Take the drive and its image away, after a drain. */
void ide_drive_remove(struct ide_drive *d);
/* Registers as after a reset; not the drive's settings. */
void ide_drive_reset(struct ide_drive *d);
/* The drive gets a command: forget what came before, then run it. The channel isn't busy. */
void ide_begin(struct ide_drive *d, uint8_t command);
void ide_run(struct ide_drive *d);
/* The line from the state. Ends every path that changes irq, selected or control. */
void ide_update_irq(struct ide_channel *c);
/* The drive requests an interrupt; the bus master sees it too. */
void ide_raise(struct ide_drive *d);
/* The command ended well, with an interrupt. */
void ide_complete(struct ide_drive *d);
/* The command ended with these bits in the error register, and an interrupt. Not for packet commands. */
void ide_fail(struct ide_drive *d, uint8_t error);
/* Register values that tell the kind of drive [APT 4.2, ACS 7.9.3]. */
void ide_set_signature(struct ide_drive *d);
/* bytes of buf go to the host, by PIO or DMA as the command says, then the command is complete. */
void ide_reply(struct ide_drive *d, uint32_t bytes);
/* bytes come from the host into buf, then the step's function is called. irq: with the first DRQ block. */
void ide_receive(struct ide_drive *d, enum ide_step step, uint32_t bytes, bool irq);
/* Show the host the next DRQ block, after more was read if need be; or end the command. */
void ide_pio_in_next(struct ide_channel *c);
/* Forget the command at work. A request in flight becomes an orphan, and the channel stays busy until its end. */
void ide_abandon(struct ide_channel *c);
/* The orphan is gone: what waited for that. */
void ide_orphan_done(struct ide_channel *c);
/* Power-on state of both drives, after a drain. Trays and media stay as they are. */
void ide_channel_reset(struct ide_channel *c);
/* Before a save. */
void ide_channel_saving(struct ide_channel *c);
/* After a restore: 0 or -EINVAL. */
int ide_channel_restored(struct ide_channel *c);

/* ide-medium.c: between buffer and back end. */

/* Read x.left sectors at x.lba and give them to the host by PIO, or (VERIFY) to nobody. */
void ide_medium_in(struct ide_channel *c);
/* The host delivered x.filled bytes for x.lba. */
void ide_medium_out(struct ide_channel *c);
/* All is written: flush if the command asks for it, then complete. */
void ide_medium_written(struct ide_channel *c);
/* FLUSH CACHE: complete after the back end's flush. */
void ide_medium_flush(struct ide_channel *c);
/* The command ends with an error at sector x.lba. */
void ide_medium_failed(struct ide_channel *c, bool write, int err);
/* Submit c->req to the active drive's back end; the caller has set op and vectors. */
void ide_submit(struct ide_channel *c, enum ide_io io, enum block_op op, uint64_t lba, uint32_t units);
/* Data CD sectors of 2048 bytes at buf become raw ones of 2352, in place. */
void ide_make_raw(uint8_t *buf, uint64_t lba, uint32_t units);
void ide_ahead_drop(struct ide_drive *d);
/* Wait for all requests of the drive; the command at work goes on to its end unless the channel is halted. */
void ide_drive_drain(struct ide_drive *d);
/* Flush and wait. */
void ide_drive_flush(struct ide_drive *d);
/* Drain, close the back end. */
void ide_drive_close(struct ide_drive *d);

/* ide-dma.c: the bus master. */

/* The drive is ready for DMA: begin if the bus master is started, or wait for that. */
void ide_dma_begin(struct ide_channel *c);
/* A request of kind IO_DMA or IO_BOUNCE ended. */
void ide_dma_done(struct ide_channel *c, enum ide_io io, int err);
void ide_dma_unpin(struct ide_channel *c);
/* Bus master registers, off 0-7; the channel's half of BAR 4. */
uint8_t ide_bm_read(struct ide_channel *c, unsigned off);
void ide_bm_write(struct ide_channel *c, unsigned off, uint8_t val);

/* ide-ata.c, ide-ata-info.c: disks. */

void ata_command(struct ide_drive *d);
/* What the host sent for DATA SET MANAGEMENT or SMART WRITE LOG is in buf. */
void ata_parameters(struct ide_drive *d);
void ata_trim_next(struct ide_channel *c, int err);
/* Where a transfer stopped, for the task file. */
void ata_put_lba(struct ide_drive *d, uint64_t lba);
void ata_reset(struct ide_drive *d);
int ata_restored(const struct ide_drive *d);
void ata_identify(const struct ide_drive *d, uint8_t out[512]);
void ata_identify_packet(const struct ide_drive *d, uint8_t out[512]);
void ata_smart(struct ide_drive *d);
void ata_set_features(struct ide_drive *d);

/* ide-atapi.c, ide-atapi-mmc.c: CD-ROMs. */

enum { KEY_NONE = 0, KEY_NOT_READY = 2, KEY_MEDIUM = 3, KEY_HARDWARE = 4, KEY_ILLEGAL = 5, KEY_ATTENTION = 6 };
/* Additional sense code and qualifier. */
enum { SENSE_NONE = 0x0000, SENSE_READ_ERROR = 0x1100, SENSE_PARAMETER_LENGTH = 0x1a00, SENSE_OPCODE = 0x2000,
       SENSE_LBA = 0x2100, SENSE_FIELD = 0x2400, SENSE_PARAMETER = 0x2600, SENSE_CHANGED = 0x2800,
       SENSE_FORMAT = 0x3000, SENSE_NOT_SAVED = 0x3900, SENSE_EMPTY = 0x3a01, SENSE_TRAY_OPEN = 0x3a02,
       SENSE_REMOVAL_PREVENTED = 0x5302, SENSE_TRACK_MODE = 0x6400 };
enum { EVENT_EJECT_REQUEST = 0x01, EVENT_NEW_MEDIUM = 0x02, EVENT_REMOVED = 0x04, EVENTS_MASK = 0x07 };

/* PACKET: ask the host for the packet. */
void atapi_packet_command(struct ide_drive *d);
/* The packet is in buf. */
void atapi_packet(struct ide_drive *d);
/* MODE SELECT's list is in buf. */
void atapi_parameters(struct ide_drive *d);
void atapi_medium_failed(struct ide_drive *d, uint64_t lba);
/* The command ends with CHECK CONDITION. */
void atapi_fail(struct ide_drive *d, unsigned key, unsigned sense);
/* len bytes of buf, at most alloc of them, to the host. */
void atapi_reply(struct ide_drive *d, size_t len, size_t alloc);
bool atapi_medium_present(const struct ide_drive *d);
/* The guest has read the event of a new medium. */
void atapi_change_told(struct ide_drive *d);
void atapi_reset(struct ide_drive *d);
int atapi_restored(const struct ide_drive *d);
int atapi_eject(struct ide_drive *d, bool force);
int atapi_change_medium(struct ide_drive *d, bool force, struct block *block);

/* Packet commands whose reply is a table: build it in buf and reply or fail. */
typedef void atapi_fn(struct ide_drive *d, const uint8_t *cdb);
atapi_fn mmc_inquiry, mmc_mode_sense, mmc_read_toc, mmc_get_configuration, mmc_get_event, mmc_mechanism_status,
    mmc_read_disc_info, mmc_read_track_info, mmc_read_dvd_structure, mmc_get_performance, mmc_read_format_capacities,
    mmc_read_subchannel, mmc_read_capacity;
/* Take a mode parameter list of len bytes. 0 or a sense code of KEY_ILLEGAL. */
unsigned mmc_mode_select(struct ide_drive *d, const uint8_t *list, size_t len, bool ten);

#endif
