/*
 * ATA disk: the commands. Source: ATA8-ACS (T13/1699-D r6a), below [ACS n]; CHS from ATA-5. Left out: queued commands,
 * streaming, security, host protected area changes, microcode; they are aborted as commands of absent feature sets are.
 */
#include "ide-private.h"

#include <errno.h>
#include <string.h>

enum {
    CMD_DATA_SET = 0x06,
    CMD_READ_EXT = 0x24,
    CMD_READ_DMA_EXT = 0x25,
    CMD_NATIVE_MAX_EXT = 0x27,
    CMD_READ_MULTIPLE_EXT = 0x29,
    CMD_WRITE = 0x30,
    CMD_WRITE_EXT = 0x34,
    CMD_WRITE_DMA_EXT = 0x35,
    CMD_WRITE_MULTIPLE_EXT = 0x39,
    CMD_WRITE_VERIFY = 0x3c,
    CMD_WRITE_DMA_FUA_EXT = 0x3d,
    CMD_VERIFY = 0x40,
    CMD_VERIFY_EXT = 0x42,
    CMD_INIT_PARAMETERS = 0x91,
    CMD_SMART = 0xb0,
    CMD_READ_MULTIPLE = 0xc4,
    CMD_WRITE_MULTIPLE = 0xc5,
    CMD_SET_MULTIPLE = 0xc6,
    CMD_READ_DMA = 0xc8,
    CMD_WRITE_DMA = 0xca,
    CMD_WRITE_MULTIPLE_FUA_EXT = 0xce,
    CMD_STANDBY_NOW = 0xe0,
    CMD_IDLE_NOW = 0xe1,
    CMD_STANDBY = 0xe2,
    CMD_IDLE = 0xe3,
    CMD_CHECK_POWER = 0xe5,
    CMD_SLEEP = 0xe6,
    CMD_FLUSH = 0xe7,
    CMD_FLUSH_EXT = 0xea,
    CMD_NATIVE_MAX = 0xf8
};
/* Bits of a row of transfers[]. */
enum { XF_WRITE = 0x01, XF_DMA = 0x02, XF_EXT = 0x04, XF_MULTIPLE = 0x08, XF_FUA = 0x10, XF_VERIFY = 0x20 };
enum { POWER_STANDBY = 0x00, POWER_IDLE = 0x80, POWER_ACTIVE = 0xff }; /* [ACS 7.5.4] */
enum { TRIM_ENTRY_BYTES = 8, TRIM_MAX_BLOCKS = 8, FEATURE_TRIM = 0x01 };

/* The commands that move sectors. Odd codes are the older "without retry" twins. */
static const struct transfer {
    uint8_t command, flags;
} transfers[] = {
    { CMD_READ_SECTORS, 0 },
    { CMD_READ_SECTORS + 1, 0 },
    { CMD_READ_EXT, XF_EXT },
    { CMD_READ_DMA_EXT, XF_DMA | XF_EXT },
    { CMD_READ_MULTIPLE_EXT, XF_MULTIPLE | XF_EXT },
    { CMD_WRITE, XF_WRITE },
    { CMD_WRITE + 1, XF_WRITE },
    { CMD_WRITE_EXT, XF_WRITE | XF_EXT },
    { CMD_WRITE_DMA_EXT, XF_WRITE | XF_DMA | XF_EXT },
    { CMD_WRITE_MULTIPLE_EXT, XF_WRITE | XF_MULTIPLE | XF_EXT },
    { CMD_WRITE_VERIFY, XF_WRITE | XF_FUA },
    { CMD_WRITE_DMA_FUA_EXT, XF_WRITE | XF_DMA | XF_EXT | XF_FUA },
    { CMD_VERIFY, XF_VERIFY },
    { CMD_VERIFY + 1, XF_VERIFY },
    { CMD_VERIFY_EXT, XF_VERIFY | XF_EXT },
    { CMD_READ_MULTIPLE, XF_MULTIPLE },
    { CMD_WRITE_MULTIPLE, XF_WRITE | XF_MULTIPLE },
    { CMD_READ_DMA, XF_DMA },
    { CMD_READ_DMA + 1, XF_DMA },
    { CMD_WRITE_DMA, XF_WRITE | XF_DMA },
    { CMD_WRITE_DMA + 1, XF_WRITE | XF_DMA },
    { CMD_WRITE_MULTIPLE_FUA_EXT, XF_WRITE | XF_MULTIPLE | XF_EXT | XF_FUA },
};

static const struct transfer *find_transfer(uint8_t command)
{
    for (size_t i = 0; i < ARRAY_SIZE(transfers); i++) {
        if (transfers[i].command == command)
            return &transfers[i];
    }
    return NULL;
}

static uint64_t lba48(const struct ide_regs *r)
{
    return (uint64_t)r->hob_high << 40 | (uint64_t)r->hob_mid << 32 | (uint64_t)r->hob_low << 24 |
           (uint64_t)r->high << 16 | (uint64_t)r->mid << 8 | r->low;
}

/* The address in the task file. False: there is no such sector. */
static bool get_lba(const struct ide_drive *d, bool ext, uint64_t *lba)
{
    const struct ide_regs *r = &d->regs;
    if (ext) {
        *lba = lba48(r);
    } else if (r->device & DEV_LBA) {
        *lba = (uint64_t)(r->device & DEV_HEAD) << 24 | (uint64_t)r->high << 16 | (uint64_t)r->mid << 8 | r->low;
    } else {
        uint32_t cylinder = (uint32_t)r->high << 8 | r->mid, head = r->device & DEV_HEAD;
        if (head >= d->disk.heads || r->low == 0 || r->low > d->disk.sectors)
            return false;
        *lba = ((uint64_t)cylinder * d->disk.heads + head) * d->disk.sectors + r->low - 1;
    }
    return *lba < d->sectors;
}

void ata_put_lba(struct ide_drive *d, uint64_t lba)
{
    struct ide_regs *r = &d->regs;
    uint32_t last = (uint32_t)(lba >> 24) & DEV_HEAD;
    if (!d->chan->x.ext && !(r->device & DEV_LBA)) {
        uint32_t track = (uint32_t)(lba / d->disk.sectors);
        r->low = (uint8_t)(lba % d->disk.sectors + 1);
        last = track % d->disk.heads;
        r->mid = (uint8_t)(track / d->disk.heads);
        r->high = (uint8_t)(track / d->disk.heads >> 8);
    } else {
        r->low = (uint8_t)lba;
        r->mid = (uint8_t)(lba >> 8);
        r->high = (uint8_t)(lba >> 16);
    }
    if (d->chan->x.ext) {
        r->hob_low = (uint8_t)(lba >> 24);
        r->hob_mid = (uint8_t)(lba >> 32);
        r->hob_high = (uint8_t)(lba >> 40);
    } else {
        r->device = (uint8_t)((r->device & 0xf0) | last);
    }
}

/* 0 sectors stand for as many as the register could tell and one more. */
static uint32_t sector_count(const struct ide_regs *r, bool ext)
{
    uint32_t count = ext ? (uint32_t)r->hob_count << 8 | r->count : r->count;
    return count > 0 ? count : ext ? 0x10000 : 0x100;
}

static void start_transfer(struct ide_drive *d, const struct transfer *t)
{
    struct ide_xfer *x = &d->chan->x;
    bool write = t->flags & XF_WRITE;
    uint32_t sectors = t->flags & XF_MULTIPLE ? d->disk.multiple : 1;
    x->ext = t->flags & XF_EXT;
    x->dma = t->flags & XF_DMA;
    x->left = sector_count(&d->regs, x->ext);
    if (sectors == 0 || (write && d->block->read_only)) {
        ide_fail(d, ER_ABRT);
        return;
    }
    if (!get_lba(d, x->ext, &x->lba) || x->left > d->sectors - x->lba) {
        ide_fail(d, ER_IDNF);
        return;
    }
    d->disk.power = POWER_ACTIVE;
    x->host_bytes = DISK_SECTOR;
    x->block = sectors * DISK_SECTOR;
    x->fua = write && ((t->flags & XF_FUA) || !d->disk.write_cache);
    x->step = (uint8_t)(t->flags & XF_VERIFY ? STEP_VERIFY : write ? STEP_WRITE : STEP_READ);
    if (x->step != STEP_VERIFY && (x->dma || d->chan->host))
        ide_dma_begin(d->chan);
    else if (write)
        ide_receive(d, STEP_WRITE, (uint32_t)min_u64((uint64_t)x->left * DISK_SECTOR, IDE_BUF_BYTES), false);
    else
        ide_medium_in(d->chan);
}

/*
 * Heads and sectors per track of the CHS translation; ATA-5 8.16. Some BIOSes send the count 0 or more heads than fit:
 * sectors 0 would leave no way to count and is refused.
 */
static void init_parameters(struct ide_drive *d)
{
    if (d->regs.count == 0) {
        ide_fail(d, ER_ABRT);
        return;
    }
    d->disk.heads = (uint8_t)((d->regs.device & DEV_HEAD) + 1);
    d->disk.sectors = d->regs.count;
    ide_complete(d);
}

static void set_multiple(struct ide_drive *d)
{
    uint8_t count = d->regs.count;
    if (count > IDE_MAX_MULTIPLE || (count & (count - 1))) {
        ide_fail(d, ER_ABRT);
        return;
    }
    d->disk.multiple = count;
    ide_complete(d);
}

static void native_max(struct ide_drive *d, bool ext)
{
    d->chan->x.ext = ext;
    if (!ext)
        d->regs.device |= DEV_LBA;
    ata_put_lba(d, min_u64(d->sectors - 1, ext ? UINT64_MAX : 0x0fffffff));
    ide_complete(d);
}

static void power_command(struct ide_drive *d, uint8_t state)
{
    d->disk.power = state;
    ide_complete(d);
}

/* Ranges to discard come as whole sectors of 8-byte entries [ACS 7.10]. */
static void data_set_management(struct ide_drive *d)
{
    struct ide_xfer *x = &d->chan->x;
    uint32_t blocks = sector_count(&d->regs, true);
    if (!d->block->discard || d->block->read_only || d->regs.features != FEATURE_TRIM || blocks > TRIM_MAX_BLOCKS) {
        ide_fail(d, ER_ABRT);
        return;
    }
    x->dma = x->ext = true;
    ide_receive(d, STEP_PARAMETERS, blocks * DISK_SECTOR, false);
}

/* One range after the other; x->pos is the next entry. A range of no sectors is padding. */
void ata_trim_next(struct ide_channel *c, int err)
{
    struct ide_xfer *x = &c->x;
    struct ide_drive *d = ide_active(c);
    if (err) {
        ide_fail(d, ER_ABRT);
        return;
    }
    while (x->pos < x->filled) {
        uint64_t entry = le64_get(c->buf + x->pos), lba = entry & ((UINT64_C(1) << 48) - 1);
        uint32_t sectors = (uint32_t)(entry >> 48);
        x->pos += TRIM_ENTRY_BYTES;
        if (sectors == 0)
            continue;
        if (lba > d->sectors || sectors > d->sectors - lba) {
            ide_fail(d, ER_IDNF);
            return;
        }
        c->req.nvec = 0;
        ide_submit(c, IO_TRIM, BLOCK_DISCARD, lba, sectors);
        return;
    }
    ide_complete(d);
}

void ata_parameters(struct ide_drive *d)
{
    struct ide_channel *c = d->chan;
    c->x.pos = 0;
    c->x.end = c->x.filled; /* a snapshot is refused with a position behind the end */
    if (c->x.command == CMD_DATA_SET)
        ata_trim_next(c, 0);
    else
        ide_complete(d);
}

/* A packet device aborts the disk's commands; two of them show its signature [ACS 7.16, 7.26]. */
static void refuse_as_packet_device(struct ide_drive *d)
{
    uint8_t command = d->chan->x.command;
    if (command == CMD_IDENTIFY || command == CMD_READ_SECTORS)
        ide_set_signature(d);
    ide_fail(d, ER_ABRT);
}

/* Both kinds of drive know these [ACS table 26]. False: not one of them. */
static bool power_and_flush(struct ide_drive *d)
{
    switch (d->chan->x.command) {
    /* 94-99 are the codes of ATA-1 to ATA-3. */
    case CMD_STANDBY_NOW:
    case CMD_STANDBY:
    case CMD_SLEEP:
    case 0x94:
    case 0x96:
    case 0x99: power_command(d, POWER_STANDBY); return true;
    case CMD_IDLE_NOW:
    case CMD_IDLE:
    case 0x95:
    case 0x97: power_command(d, POWER_IDLE); return true;
    case CMD_CHECK_POWER:
    case 0x98:
        d->regs.count = d->disk.power;
        ide_complete(d);
        return true;
    case CMD_FLUSH:
    case CMD_FLUSH_EXT:
        if (d->kind == IDE_DISK)
            ide_medium_flush(d->chan);
        else
            ide_complete(d);
        return true;
    }
    return false;
}

void ata_command(struct ide_drive *d)
{
    struct ide_channel *c = d->chan;
    uint8_t command = c->x.command;
    uint64_t lba;
    if (power_and_flush(d))
        return;
    if (d->kind != IDE_DISK) {
        refuse_as_packet_device(d);
        return;
    }
    const struct transfer *t = find_transfer(command);
    if (t) {
        start_transfer(d, t);
        return;
    }
    switch (command) {
    case CMD_IDENTIFY:
        ata_identify(d, c->buf);
        ide_reply(d, DISK_SECTOR);
        return;
    case CMD_SMART: ata_smart(d); return;
    case CMD_DATA_SET: data_set_management(d); return;
    case CMD_INIT_PARAMETERS: init_parameters(d); return;
    case CMD_SET_MULTIPLE: set_multiple(d); return;
    case CMD_NATIVE_MAX: native_max(d, false); return;
    case CMD_NATIVE_MAX_EXT: native_max(d, true); return;
    }
    switch (command & 0xf0) {
    case 0x10: ide_complete(d); return; /* RECALIBRATE, any step rate */
    case 0x70:                          /* SEEK */
        if (get_lba(d, false, &lba))
            ide_complete(d);
        else
            ide_fail(d, ER_IDNF);
        return;
    }
    ide_fail(d, ER_ABRT);
}

void ata_reset(struct ide_drive *d)
{
    d->disk = (struct ide_disk){ .heads = (uint8_t)d->geometry.heads,
                                 .sectors = (uint8_t)d->geometry.sectors,
                                 .multiple = IDE_MAX_MULTIPLE,
                                 .write_cache = true,
                                 .look_ahead = true,
                                 .smart = true,
                                 .power = POWER_ACTIVE };
}

int ata_restored(const struct ide_drive *d)
{
    const struct ide_disk *disk = &d->disk;
    if (d->kind != IDE_DISK)
        return 0;
    if (disk->heads == 0 || disk->heads > 16 || disk->sectors == 0)
        return -EINVAL;
    if (disk->multiple > IDE_MAX_MULTIPLE || (disk->multiple & (disk->multiple - 1)))
        return -EINVAL;
    return 0;
}
