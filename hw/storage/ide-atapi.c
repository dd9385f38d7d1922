/*
 * ATAPI CD-ROM: packets, sense data, medium and tray. Replies that are tables are built in ide-atapi-mmc.c.
 * Source: MMC-6 (T10/1836-D), SPC-3, ATA8-ACS 7.18 for the transport; below [MMC n], [ACS n]. The medium is one data
 * track. Left out: audio, changers, writing, copy protection keys.
 */
#include "ide-private.h"

#include <errno.h>
#include <string.h>

enum { FEATURE_DMA = 0x01, FEATURE_OVERLAP = 0x02 };
enum {
    OP_TEST_READY = 0x00,
    OP_REQUEST_SENSE = 0x03,
    OP_INQUIRY = 0x12,
    OP_MODE_SELECT_6 = 0x15,
    OP_MODE_SENSE_6 = 0x1a,
    OP_START_STOP = 0x1b,
    OP_PREVENT = 0x1e,
    OP_READ_FORMAT_CAPACITIES = 0x23,
    OP_READ_CAPACITY = 0x25,
    OP_READ_10 = 0x28,
    OP_SEEK = 0x2b,
    OP_VERIFY = 0x2f,
    OP_SYNCHRONIZE = 0x35,
    OP_READ_SUBCHANNEL = 0x42,
    OP_READ_TOC = 0x43,
    OP_GET_CONFIGURATION = 0x46,
    OP_GET_EVENT = 0x4a,
    OP_READ_DISC_INFO = 0x51,
    OP_READ_TRACK_INFO = 0x52,
    OP_MODE_SELECT_10 = 0x55,
    OP_MODE_SENSE_10 = 0x5a,
    OP_SET_READ_AHEAD = 0xa7,
    OP_READ_12 = 0xa8,
    OP_GET_PERFORMANCE = 0xac,
    OP_READ_DVD_STRUCTURE = 0xad,
    OP_READ_CD_MSF = 0xb9,
    OP_SET_SPEED = 0xbb,
    OP_MECHANISM_STATUS = 0xbd,
    OP_READ_CD = 0xbe
};
enum { SENSE_BYTES = 18, SENSE_FIXED = 0x70, SENSE_VALID = 0x80 };
enum { RAW_ALL = 0xf8, RAW_USER_DATA = 0x10, RAW_FIELDS = 0xf8 };
enum { START_START = 0x01, START_LOAD_EJECT = 0x02 };
enum { CHANGE_NONE, CHANGE_ATTENTION, CHANGE_EMPTY };

bool atapi_medium_present(const struct ide_drive *d)
{
    return d->block && d->sectors > 0 && !d->cd.tray_open;
}

static void set_sense(struct ide_drive *d, unsigned key, unsigned sense)
{
    d->cd.key = (uint8_t)key;
    d->cd.asc = (uint8_t)(sense >> 8);
    d->cd.ascq = (uint8_t)sense;
    d->cd.sense_lba_valid = false;
    d->cd.sense_lba = 0;
}

void atapi_fail(struct ide_drive *d, unsigned key, unsigned sense)
{
    struct ide_xfer *x = &d->chan->x;
    set_sense(d, key, sense);
    x->phase = PHASE_IDLE;
    x->step = STEP_NONE;
    x->left = 0;
    d->status = ST_READY | ST_ERR; /* CHECK CONDITION [ACS 7.18.6] */
    d->error = (uint8_t)(key << 4 | (key == KEY_ILLEGAL ? ER_ABRT : 0));
    d->regs.count = IR_IO | IR_CD;
    ide_raise(d);
}

void atapi_medium_failed(struct ide_drive *d, uint64_t lba)
{
    atapi_fail(d, KEY_MEDIUM, SENSE_READ_ERROR);
    d->cd.sense_lba = (uint32_t)lba;
    d->cd.sense_lba_valid = true;
}

/*
 * By PIO all blocks but the last are of even length, and a limit that allows none leaves no way to transfer: the ATA
 * command itself is aborted [ACS 7.18.5].
 */
static bool can_transfer(struct ide_drive *d, uint64_t bytes)
{
    struct ide_xfer *x = &d->chan->x;
    if (bytes > x->block)
        x->block &= ~1u;
    if (x->dma || x->block > 0)
        return true;
    ide_fail(d, ER_ABRT);
    return false;
}

void atapi_reply(struct ide_drive *d, size_t len, size_t alloc)
{
    uint32_t bytes = (uint32_t)(len < alloc ? len : alloc);
    if (bytes == 0)
        ide_complete(d);
    else if (can_transfer(d, bytes))
        ide_reply(d, bytes);
}

static bool needs_medium(struct ide_drive *d)
{
    if (atapi_medium_present(d))
        return true;
    atapi_fail(d, KEY_NOT_READY, d->cd.tray_open ? SENSE_TRAY_OPEN : SENSE_EMPTY);
    return false;
}

static void start_read(struct ide_drive *d, uint32_t lba, uint32_t units, uint16_t host_bytes)
{
    struct ide_xfer *x = &d->chan->x;
    if (lba >= d->sectors || units > d->sectors - lba) {
        atapi_fail(d, KEY_ILLEGAL, SENSE_LBA);
        return;
    }
    if (units == 0) {
        ide_complete(d);
        return;
    }
    if (!can_transfer(d, (uint64_t)units * host_bytes))
        return;
    x->step = STEP_READ;
    x->lba = lba;
    x->left = units;
    x->host_bytes = host_bytes;
    x->pos = x->end = x->filled = 0;
    if (x->dma || d->chan->host)
        ide_dma_begin(d->chan);
    else
        ide_pio_in_next(d->chan);
}

static void read_10(struct ide_drive *d, const uint8_t *cdb)
{
    start_read(d, be32_get(cdb + 2), be16_get(cdb + 7), CD_SECTOR);
}

static void read_12(struct ide_drive *d, const uint8_t *cdb)
{
    start_read(d, be32_get(cdb + 2), be32_get(cdb + 6), CD_SECTOR);
}

/* Byte 1: wanted kind of sector; byte 9: which of its fields [MMC 6.19]. */
static void read_raw(struct ide_drive *d, const uint8_t *cdb, uint32_t lba, uint32_t units)
{
    uint8_t kind = cdb[1] >> 2 & 7, fields = cdb[9] & RAW_FIELDS;
    if (kind != 0 && kind != 2) { /* any or mode 1; the track is neither audio nor mode 2 */
        atapi_fail(d, KEY_ILLEGAL, SENSE_TRACK_MODE);
        return;
    }
    if ((cdb[9] & 0x06) || (cdb[10] & 0x07) || (fields != 0 && fields != RAW_USER_DATA && fields != RAW_ALL)) {
        atapi_fail(d, KEY_ILLEGAL, SENSE_FIELD);
        return;
    }
    start_read(d, lba, fields == 0 ? 0 : units, fields == RAW_ALL ? CD_RAW_SECTOR : CD_SECTOR);
}

static void read_cd(struct ide_drive *d, const uint8_t *cdb)
{
    read_raw(d, cdb, be32_get(cdb + 2), (uint32_t)cdb[6] << 16 | be16_get(cdb + 7));
}

/* Minute, second, frame; the first two seconds lie before block 0. */
static uint32_t msf_to_lba(const uint8_t *msf)
{
    return (msf[0] * 60u + msf[1]) * 75u + msf[2] - 150;
}

static void read_cd_msf(struct ide_drive *d, const uint8_t *cdb)
{
    uint32_t first = msf_to_lba(cdb + 3), end = msf_to_lba(cdb + 6);
    if (end < first)
        atapi_fail(d, KEY_ILLEGAL, SENSE_FIELD);
    else
        read_raw(d, cdb, first, end - first);
}

static void seek(struct ide_drive *d, const uint8_t *cdb)
{
    if (be32_get(cdb + 2) >= d->sectors)
        atapi_fail(d, KEY_ILLEGAL, SENSE_LBA);
    else
        ide_complete(d);
}

static void verify(struct ide_drive *d, const uint8_t *cdb)
{
    struct ide_xfer *x = &d->chan->x;
    uint32_t lba = be32_get(cdb + 2), units = be16_get(cdb + 7);
    if (lba >= d->sectors || units > d->sectors - lba) {
        atapi_fail(d, KEY_ILLEGAL, SENSE_LBA);
        return;
    }
    if (units == 0 || (cdb[1] & 0x02)) { /* comparing with the host's data is not for CD-ROMs */
        if (units == 0)
            ide_complete(d);
        else
            atapi_fail(d, KEY_ILLEGAL, SENSE_FIELD);
        return;
    }
    x->step = STEP_VERIFY;
    x->lba = lba;
    x->left = units;
    x->host_bytes = CD_SECTOR;
    x->pos = x->end = x->filled = 0;
    ide_medium_in(d->chan);
}

static void request_sense(struct ide_drive *d, const uint8_t *cdb)
{
    uint8_t *out = d->chan->buf;
    struct ide_cd *cd = &d->cd;
    /* A pending attention is reported here too, and gone then [SPC-3 6.27]. */
    if (cd->key == KEY_NONE && cd->change == CHANGE_ATTENTION) {
        cd->change = CHANGE_NONE;
        set_sense(d, KEY_ATTENTION, SENSE_CHANGED);
    }
    memset(out, 0, SENSE_BYTES);
    out[0] = SENSE_FIXED | (cd->sense_lba_valid ? SENSE_VALID : 0);
    out[2] = cd->key;
    be32_put(out + 3, cd->sense_lba);
    out[7] = SENSE_BYTES - 8;
    out[12] = cd->asc;
    out[13] = cd->ascq;
    set_sense(d, KEY_NONE, SENSE_NONE);
    atapi_reply(d, SENSE_BYTES, cdb[4]);
}

static void complete(struct ide_drive *d, const uint8_t *cdb)
{
    ide_complete(d); /* nothing to do, or done by a bare completion: speed, read-ahead, cache, ready */
}

/*
 * Not a change in itself, as with QEMU's drive: what the guest closes the tray on is what was in there. Linux that has
 * just closed it doesn't look again, and refuses to read after an attention.
 */
static void move_tray(struct ide_drive *d, bool open)
{
    struct ide_cd *cd = &d->cd;
    if (cd->tray_open == open)
        return;
    cd->tray_open = open;
    ide_ahead_drop(d);
    cd->events &= (uint8_t)~EVENT_EJECT_REQUEST;
    if (open) {
        cd->events = (uint8_t)((cd->events & ~EVENT_NEW_MEDIUM) | EVENT_REMOVED);
        cd->change = CHANGE_NONE;
    } else if (atapi_medium_present(d)) {
        /* One event for one change: Linux counts those that TEST UNIT READY doesn't bear out, and stops asking. */
        cd->events = (uint8_t)((cd->events & ~EVENT_REMOVED) | EVENT_NEW_MEDIUM);
    }
    if (d->chan->tray_moved)
        d->chan->tray_moved(d->chan->opaque, d->id, open);
}

static void start_stop(struct ide_drive *d, const uint8_t *cdb)
{
    bool start = cdb[4] & START_START;
    /* A power condition overrides the other bits and has no effect here [MMC 6.42]. */
    if (!(cdb[4] & 0xf0) && (cdb[4] & START_LOAD_EJECT)) {
        if (!start && !d->cd.tray_open && d->cd.locked) {
            atapi_fail(d, KEY_ILLEGAL, SENSE_REMOVAL_PREVENTED);
            return;
        }
        move_tray(d, !start);
    }
    ide_complete(d);
}

static void prevent_allow(struct ide_drive *d, const uint8_t *cdb)
{
    d->cd.locked = cdb[4] & 0x01;
    ide_complete(d);
}

static void mode_select(struct ide_drive *d, const uint8_t *cdb)
{
    uint32_t len = cdb[0] == OP_MODE_SELECT_10 ? be16_get(cdb + 7) : cdb[4];
    if (!(cdb[1] & 0x10) || (cdb[1] & 0x01)) /* page format; saving isn't possible [SPC-3 6.7] */
        atapi_fail(d, KEY_ILLEGAL, SENSE_FIELD);
    else if (len == 0)
        ide_complete(d);
    else if (can_transfer(d, len))
        ide_receive(d, STEP_PARAMETERS, len, true);
}

void atapi_parameters(struct ide_drive *d)
{
    struct ide_xfer *x = &d->chan->x;
    unsigned sense = mmc_mode_select(d, d->chan->buf, x->filled, x->cdb[0] == OP_MODE_SELECT_10);
    if (sense)
        atapi_fail(d, KEY_ILLEGAL, sense);
    else
        ide_complete(d);
}

enum { NEEDS_MEDIUM = 0x01, PASSES_ATTENTION = 0x02 };

static const struct operation {
    uint8_t code, flags;
    atapi_fn *run;
} operations[] = {
    { OP_TEST_READY, NEEDS_MEDIUM, complete },
    { OP_REQUEST_SENSE, PASSES_ATTENTION, request_sense },
    { OP_INQUIRY, PASSES_ATTENTION, mmc_inquiry },
    { OP_MODE_SELECT_6, 0, mode_select },
    { OP_MODE_SENSE_6, 0, mmc_mode_sense },
    { OP_START_STOP, 0, start_stop },
    { OP_PREVENT, 0, prevent_allow },
    { OP_READ_FORMAT_CAPACITIES, 0, mmc_read_format_capacities },
    { OP_READ_CAPACITY, NEEDS_MEDIUM, mmc_read_capacity },
    { OP_READ_10, NEEDS_MEDIUM, read_10 },
    { OP_SEEK, NEEDS_MEDIUM, seek },
    { OP_VERIFY, NEEDS_MEDIUM, verify },
    { OP_SYNCHRONIZE, 0, complete },
    { OP_READ_SUBCHANNEL, NEEDS_MEDIUM, mmc_read_subchannel },
    { OP_READ_TOC, NEEDS_MEDIUM, mmc_read_toc },
    { OP_GET_CONFIGURATION, PASSES_ATTENTION, mmc_get_configuration },
    { OP_GET_EVENT, PASSES_ATTENTION, mmc_get_event },
    { OP_READ_DISC_INFO, NEEDS_MEDIUM, mmc_read_disc_info },
    { OP_READ_TRACK_INFO, NEEDS_MEDIUM, mmc_read_track_info },
    { OP_MODE_SELECT_10, 0, mode_select },
    { OP_MODE_SENSE_10, 0, mmc_mode_sense },
    { OP_SET_READ_AHEAD, 0, complete },
    { OP_READ_12, NEEDS_MEDIUM, read_12 },
    { OP_GET_PERFORMANCE, 0, mmc_get_performance },
    { OP_READ_DVD_STRUCTURE, NEEDS_MEDIUM, mmc_read_dvd_structure },
    { OP_READ_CD_MSF, NEEDS_MEDIUM, read_cd_msf },
    { OP_SET_SPEED, 0, complete },
    { OP_MECHANISM_STATUS, 0, mmc_mechanism_status },
    { OP_READ_CD, NEEDS_MEDIUM, read_cd },
};

static const struct operation *find_operation(uint8_t code)
{
    for (size_t i = 0; i < ARRAY_SIZE(operations); i++) {
        if (operations[i].code == code)
            return &operations[i];
    }
    return NULL;
}

/*
 * A new medium shows as an empty drive first, to guests that don't ask for events, and as a changed medium next: they
 * wouldn't see a change while the tray was never open for them. True: the command ended with that.
 */
static bool show_change(struct ide_drive *d)
{
    struct ide_cd *cd = &d->cd;
    if (cd->change == CHANGE_NONE || !atapi_medium_present(d))
        return false;
    if (cd->change == CHANGE_EMPTY) {
        cd->change = CHANGE_ATTENTION;
        atapi_fail(d, KEY_NOT_READY, SENSE_EMPTY);
    } else {
        cd->change = CHANGE_NONE;
        atapi_fail(d, KEY_ATTENTION, SENSE_CHANGED);
    }
    return true;
}

/*
 * Who was told by an event needs no empty drive. It would lead Linux to stop asking too early: it then meets the
 * attention where it refuses to read from there on.
 */
void atapi_change_told(struct ide_drive *d)
{
    if (d->cd.change == CHANGE_EMPTY)
        d->cd.change = CHANGE_ATTENTION;
}

void atapi_packet(struct ide_drive *d)
{
    struct ide_xfer *x = &d->chan->x;
    memcpy(x->cdb, d->chan->buf, sizeof(x->cdb));
    const struct operation *op = find_operation(x->cdb[0]);
    x->step = STEP_NONE;
    x->pos = x->end = x->filled = x->left = 0;
    if (!op) {
        atapi_fail(d, KEY_ILLEGAL, SENSE_OPCODE);
        return;
    }
    if (!(op->flags & PASSES_ATTENTION) && show_change(d))
        return;
    if ((op->flags & NEEDS_MEDIUM) && !needs_medium(d))
        return;
    if (op->code != OP_REQUEST_SENSE) /* sense data last until the next command [SPC-3 4.5.1] */
        set_sense(d, KEY_NONE, SENSE_NONE);
    op->run(d, x->cdb);
}

void atapi_packet_command(struct ide_drive *d)
{
    struct ide_xfer *x = &d->chan->x;
    uint32_t limit = (uint32_t)d->regs.high << 8 | d->regs.mid;
    if (d->regs.features & FEATURE_OVERLAP) {
        ide_fail(d, ER_ABRT);
        return;
    }
    x->packet = true;
    x->dma = d->regs.features & FEATURE_DMA;
    x->block = IDE_PACKET_BYTES;
    ide_receive(d, STEP_PACKET, IDE_PACKET_BYTES, false);
    x->block = limit == 0xffff ? 0xfffe : limit; /* of the data to come [ACS 7.18.5] */
}

void atapi_reset(struct ide_drive *d)
{
    set_sense(d, KEY_NONE, SENSE_NONE);
    d->cd.locked = false;
    d->cd.change = CHANGE_NONE;
    d->cd.events = 0;
    memset(d->cd.recovery, 0, sizeof(d->cd.recovery));
    memset(d->cd.volume, 0, sizeof(d->cd.volume));
}

int atapi_restored(const struct ide_drive *d)
{
    return d->cd.change > CHANGE_EMPTY || (d->cd.events & ~EVENTS_MASK) || d->cd.key > 0x0f ? -EINVAL : 0;
}

/* The back end goes away under a command: it ends as if the medium had been pulled out. */
static void release_medium(struct ide_drive *d)
{
    struct ide_channel *c = d->chan;
    /* Also when all is in the buffer that the guest will take: no snapshot has a reading command without a medium. */
    bool reading = c->x.phase != PHASE_IDLE && c->x.step == STEP_READ;
    bool at_work = ide_active(c) == d && (c->io != IO_NONE || reading);
    bool resetting = at_work && (c->io == IO_ORPHAN || c->due != DUE_NONE);
    if (at_work)
        ide_abandon(c);
    ide_drive_close(d);
    if (at_work && !resetting) {
        c->x.packet = true;
        atapi_fail(d, KEY_NOT_READY, SENSE_TRAY_OPEN);
    }
}

int atapi_eject(struct ide_drive *d, bool force)
{
    if (d->kind != IDE_CD)
        return -EINVAL;
    if (d->block && !d->cd.tray_open && d->cd.locked && !force) {
        d->cd.events |= EVENT_EJECT_REQUEST;
        return -EBUSY;
    }
    release_medium(d);
    move_tray(d, true);
    return 0;
}

int atapi_change_medium(struct ide_drive *d, bool force, struct block *block)
{
    if (d->kind == IDE_CD && block->sector_bytes > CD_SECTOR)
        return -EINVAL;
    int err = atapi_eject(d, force);
    if (err)
        return err;
    d->block = block;
    d->sectors = block->size_bytes / CD_SECTOR;
    move_tray(d, false);
    d->cd.change = CHANGE_EMPTY;
    return 0;
}
