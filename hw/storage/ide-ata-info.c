/*
 * What a drive tells about itself: IDENTIFY data, SMART; and SET FEATURES. Source: ATA8-ACS, below [ACS n]. Strings and
 * capability words are those of the machine that Xen guests know, so that an installed system finds the same drive.
 */
#include "ide-private.h"

#include <string.h>

enum { MAX_CYLINDERS = 16383, HEADS = 16, SECTORS = 63, BIOS_MAX_CYLINDERS = 1024 };
enum {
    FEATURE_CACHE_ON = 0x02,
    FEATURE_MODE = 0x03,
    FEATURE_AHEAD_OFF = 0x55,
    FEATURE_KEEP = 0x66,
    FEATURE_CACHE_OFF = 0x82,
    FEATURE_AHEAD_ON = 0xaa,
    FEATURE_REVERT = 0xcc
};
enum {
    SMART_READ_DATA = 0xd0,
    SMART_READ_THRESHOLDS = 0xd1,
    SMART_AUTOSAVE = 0xd2,
    SMART_SAVE = 0xd3,
    SMART_OFFLINE = 0xd4,
    SMART_READ_LOG = 0xd5,
    SMART_WRITE_LOG = 0xd6,
    SMART_ENABLE = 0xd8,
    SMART_DISABLE = 0xd9,
    SMART_STATUS = 0xda,
    SMART_AUTO_OFFLINE = 0xdb
};
enum { SMART_KEY_MID = 0x4f, SMART_KEY_HIGH = 0xc2, LOG_DIRECTORY = 0x00, LOG_ERRORS = 0x01, LOG_SELF_TEST = 0x06 };
enum { TEST_SHORT = 1, TEST_EXTENDED = 2, TEST_CAPTIVE = 0x80, TEST_ABORT = 0x7f };

struct ide_geometry ide_guess_geometry(uint64_t size_bytes)
{
    uint64_t cylinders = size_bytes / DISK_SECTOR / (HEADS * SECTORS);
    struct ide_geometry g = { .heads = HEADS, .sectors = SECTORS };
    g.cylinders = (uint32_t)min_u64(max_u64(cylinders, 2), MAX_CYLINDERS);
    g.translation = g.cylinders > BIOS_MAX_CYLINDERS;
    return g;
}

struct word {
    uint8_t index;
    uint16_t value;
};

static const struct word disk_words[] = {
    { 0, 0x0040 }, /* fixed drive */
    { 5, 512 },
    { 20, 3 },
    { 21, 512 },
    { 22, 4 }, /* retired: bytes per sector, buffer, ECC bytes */
    { 47, 0x8000 | IDE_MAX_MULTIPLE },
    { 48, 1 },      /* 32-bit data port */
    { 49, 0x0b00 }, /* IORDY, LBA, DMA */
    { 51, 0x0200 },
    { 52, 0x0200 },
    { 53, 0x0007 }, /* words 54-58, 64-70, 88 are valid */
    { 62, 0x0007 }, /* single-word DMA 0-2 */
    { 64, 0x0003 },
    { 65, 120 },
    { 66, 120 },
    { 67, 120 },
    { 68, 120 }, /* PIO 3-4, cycle times in ns */
    { 80, 0x00f0 },
    { 81, 0x0016 }, /* ATA-4 to ATA-7 */
    { 82, 0x4021 }, /* NOP, write cache, SMART */
    { 83, 0x7400 }, /* FLUSH CACHE (EXT), 48-bit addresses */
    { 84, 0x4000 },
    { 86, 0x3400 },
    { 87, 0x4000 },
    { 93, 0x6001 },  /* reset result: an 80-wire cable */
    { 106, 0x6000 }, /* one logical sector per physical one */
};

static const struct word cd_words[] = {
    { 0, 0x85c0 }, /* removable CD-ROM, DRQ within 50 us of PACKET, 12-byte packets */
    { 20, 3 },      { 21, 512 },    { 22, 4 },      { 48, 1 },   { 49, 0x0300 }, /* LBA, DMA */
    { 53, 0x0007 }, { 62, 0x0007 }, { 64, 0x0003 }, { 65, 180 }, { 66, 180 },
    { 67, 300 },    { 68, 180 },    { 71, 30 },     { 72, 30 },  { 80, 0x001e }, /* ATA-1 to ATA-4 */
};

static void put_words(uint8_t *out, const struct word *words, size_t count)
{
    memset(out, 0, DISK_SECTOR);
    for (size_t i = 0; i < count; i++)
        le16_put(out + 2 * words[i].index, words[i].value);
}

/* Characters go high byte first in each word, blanks behind [ACS 3.3.10]. */
static void put_text(uint8_t *out, unsigned word, const char *text, unsigned bytes)
{
    size_t len = strlen(text);
    for (unsigned i = 0; i < bytes; i++)
        out[(2 * word + i) ^ 1] = (uint8_t)(i < len ? text[i] : ' ');
}

/* Supported modes in the low byte, the selected one in the high byte [ACS 7.16.7]. */
static void put_dma_modes(const struct ide_drive *d, uint8_t *out)
{
    uint8_t kind = d->transfer_mode & 0xf8, bit = (uint8_t)(1u << (d->transfer_mode & 7));
    /* At power-on the fastest mode is in force. */
    bool chosen = d->transfer_mode != 0;
    le16_put(out + 2 * 62, (uint16_t)(0x0007 | (kind == 0x10 ? bit << 8 : 0)));
    le16_put(out + 2 * 63, (uint16_t)(0x0007 | (kind == 0x20 ? bit << 8 : 0)));
    le16_put(out + 2 * 88, (uint16_t)(0x003f | (kind == 0x40 ? bit << 8 : chosen ? 0 : 0x2000)));
}

/* Serial ATA drives: queue depth less one, and that there is NCQ; for a CD-ROM too, as guests know the machine. */
static void put_queue(const struct ide_drive *d, uint8_t *out)
{
    if (d->queue == 0)
        return;
    le16_put(out + 2 * 75, (uint16_t)(d->queue - 1));
    le16_put(out + 2 * 76, 0x0100);
}

void ata_identify(const struct ide_drive *d, uint8_t out[512])
{
    const struct ide_geometry *g = &d->geometry;
    const struct ide_disk *disk = &d->disk;
    uint32_t track = (uint32_t)disk->heads * disk->sectors;
    /* Cylinders of the translation in force, as many as CHS can tell; ATA-5 8.12.8. */
    uint32_t cylinders =
        (uint32_t)min_u64(min_u64(d->sectors, (uint64_t)g->cylinders * HEADS * SECTORS) / track, 65535);
    put_words(out, disk_words, ARRAY_SIZE(disk_words));
    le16_put(out + 2, (uint16_t)g->cylinders);
    le16_put(out + 6, (uint16_t)g->heads);
    le16_put(out + 8, (uint16_t)(DISK_SECTOR * g->sectors));
    le16_put(out + 12, (uint16_t)g->sectors);
    put_text(out, 10, d->serial, 20);
    put_text(out, 23, "2.5+", 8);
    put_text(out, 27, "QEMU HARDDISK", 40);
    if (disk->heads == g->heads && disk->sectors == g->sectors)
        cylinders = g->cylinders;
    le16_put(out + 2 * 54, (uint16_t)cylinders);
    le16_put(out + 2 * 55, disk->heads);
    le16_put(out + 2 * 56, disk->sectors);
    le32_put(out + 2 * 57, cylinders * track);
    if (disk->multiple > 0)
        le16_put(out + 2 * 59, (uint16_t)(0x0100 | disk->multiple));
    le32_put(out + 2 * 60, (uint32_t)min_u64(d->sectors, 0x0fffffff));
    put_dma_modes(d, out);
    le16_put(out + 2 * 85, (uint16_t)(0x4000 | (disk->write_cache ? 0x20 : 0) | (disk->smart ? 0x01 : 0)));
    put_queue(d, out);
    le64_put(out + 2 * 100, d->sectors);
    if (d->block->discard) {
        le16_put(out + 2 * 69, 0x4000); /* what was discarded reads the same each time */
        le16_put(out + 2 * 105, 8);     /* sectors of ranges per command, as ide-ata.c takes */
        le16_put(out + 2 * 169, 0x0001);
    }
}

void ata_identify_packet(const struct ide_drive *d, uint8_t out[512])
{
    put_words(out, cd_words, ARRAY_SIZE(cd_words));
    put_text(out, 10, d->serial, 20);
    put_text(out, 23, "2.5+", 8);
    put_text(out, 27, "QEMU DVD-ROM", 40);
    put_dma_modes(d, out);
    put_queue(d, out);
}

/* Type in bits 7-3, number in 2-0 [ACS table 48]. */
static bool transfer_mode_valid(uint8_t mode)
{
    uint8_t number = mode & 7;
    switch (mode & 0xf8) {
    case 0x00: return number <= 1; /* PIO default, without IORDY */
    case 0x08: return number <= 4; /* PIO */
    case 0x10: return number <= 2; /* single-word DMA */
    case 0x20: return number <= 2; /* multiword DMA */
    case 0x40: return number <= 5; /* Ultra DMA */
    }
    return false;
}

static void set_mode(struct ide_drive *d)
{
    uint8_t mode = d->regs.count;
    if (!transfer_mode_valid(mode)) {
        ide_fail(d, ER_ABRT);
        return;
    }
    if (mode > 0x0f) /* a PIO mode leaves the DMA mode as it is */
        d->transfer_mode = mode;
    ide_complete(d);
}

void ata_set_features(struct ide_drive *d)
{
    uint8_t feature = d->regs.features;
    if (d->kind != IDE_DISK && feature != FEATURE_MODE && feature != FEATURE_KEEP && feature != FEATURE_REVERT) {
        ide_fail(d, ER_ABRT);
        return;
    }
    switch (feature) {
    case FEATURE_MODE: set_mode(d); return;
    case FEATURE_CACHE_ON: d->disk.write_cache = true; break;
    case FEATURE_CACHE_OFF:
        d->disk.write_cache = false;
        ide_medium_flush(d->chan); /* what the cache holds goes to the medium first [ACS 7.47.4] */
        return;
    case FEATURE_AHEAD_ON: d->disk.look_ahead = true; break;
    case FEATURE_AHEAD_OFF: d->disk.look_ahead = false; break;
    /* Power, noise and reverting settings that have no effect here; drivers of the machine's usual drive set them. */
    case 0x05:
    case 0x85:
    case 0x42:
    case 0xc2:
    case 0x67:
    case 0x96:
    case 0x9a:
    case FEATURE_KEEP:
    case FEATURE_REVERT: break;
    default: ide_fail(d, ER_ABRT); return;
    }
    ide_complete(d);
}

/* Makes the 512 bytes sum up to 0. */
static void put_checksum(uint8_t *out)
{
    uint8_t sum = 0;
    for (unsigned i = 0; i < DISK_SECTOR - 1; i++)
        sum = (uint8_t)(sum + out[i]);
    out[DISK_SECTOR - 1] = (uint8_t)-sum;
}

/* Id, flags, value, worst, raw, threshold of attributes that any disk has; none ever fails. */
static const struct attribute {
    uint8_t id, flags, value, raw, threshold;
} attributes[] = {
    { 0x01, 0x03, 100, 0, 6 }, { 0x03, 0x03, 100, 16, 0 }, { 0x04, 0x02, 100, 100, 20 }, { 0x05, 0x03, 100, 0, 36 },
    { 0x09, 0x03, 100, 1, 0 }, { 0x0c, 0x03, 100, 0, 0 },  { 0xbe, 0x03, 69, 31, 50 },
};

enum { ATTRIBUTES_AT = 2, ATTRIBUTE_BYTES = 12 };

/* The layout of the attributes is the vendors' common one, the rest [ACS 7.53.6]. */
static void smart_data(const struct ide_drive *d, uint8_t *out)
{
    memset(out, 0, DISK_SECTOR);
    out[0] = 1; /* revision */
    for (unsigned i = 0; i < ARRAY_SIZE(attributes); i++) {
        uint8_t *row = out + ATTRIBUTES_AT + i * ATTRIBUTE_BYTES;
        row[0] = attributes[i].id;
        row[1] = attributes[i].flags;
        row[3] = row[4] = attributes[i].value;
        row[5] = attributes[i].raw;
    }
    out[362] = (uint8_t)(0x02 | (d->disk.smart_autosave ? 0x80 : 0)); /* off-line data collection ended well */
    le16_put(out + 364, 288);                                         /* seconds it takes */
    out[367] = 0x19;                                                  /* off-line collection, self-tests */
    le16_put(out + 368, 0x0003);
    out[370] = 0x01; /* error logging */
    out[372] = 2;    /* minutes of a short and an extended self-test */
    out[373] = 54;
    put_checksum(out);
}

static void smart_thresholds(uint8_t *out)
{
    memset(out, 0, DISK_SECTOR);
    out[0] = 1;
    for (unsigned i = 0; i < ARRAY_SIZE(attributes); i++) {
        out[ATTRIBUTES_AT + i * ATTRIBUTE_BYTES] = attributes[i].id;
        out[ATTRIBUTES_AT + i * ATTRIBUTE_BYTES + 1] = attributes[i].threshold;
    }
    put_checksum(out);
}

/* Directory, error log (empty), self-test log [ACS A.3, A.5, A.12]. False: no such log. */
static bool smart_log(const struct ide_drive *d, uint8_t address, uint8_t *out)
{
    memset(out, 0, DISK_SECTOR);
    switch (address) {
    case LOG_DIRECTORY:
        out[0] = 1;
        out[2 * LOG_ERRORS] = out[2 * LOG_SELF_TEST] = 1; /* sectors */
        return true;
    case LOG_ERRORS: out[0] = 1; break;
    case LOG_SELF_TEST:
        out[0] = 1;
        if (d->disk.smart_self_test) {
            out[2] = d->disk.smart_self_test; /* it passed */
            out[508] = 1;                     /* the last entry */
        }
        break;
    default: return false;
    }
    put_checksum(out);
    return true;
}

/* Self-tests pass at once. */
static void smart_offline(struct ide_drive *d)
{
    uint8_t kind = d->regs.low, test = kind & (uint8_t)~TEST_CAPTIVE;
    bool captive = kind & TEST_CAPTIVE;
    if ((test != 0 || captive) && test != TEST_SHORT && test != TEST_EXTENDED && kind != TEST_ABORT) {
        ide_fail(d, ER_ABRT);
        return;
    }
    if (test == TEST_SHORT || test == TEST_EXTENDED)
        d->disk.smart_self_test = kind;
    if (captive) { /* passed [ACS 7.53.5] */
        d->regs.mid = SMART_KEY_MID;
        d->regs.high = SMART_KEY_HIGH;
    }
    ide_complete(d);
}

static void smart_simple(struct ide_drive *d)
{
    switch (d->regs.features) {
    case SMART_AUTOSAVE:
        if (d->regs.count != 0x00 && d->regs.count != 0xf1) {
            ide_fail(d, ER_ABRT);
            return;
        }
        d->disk.smart_autosave = d->regs.count;
        break;
    case SMART_ENABLE: d->disk.smart = true; break;
    case SMART_DISABLE: d->disk.smart = false; break;
    case SMART_STATUS: /* these values: no threshold was passed [ACS 7.53.10] */
        d->regs.mid = SMART_KEY_MID;
        d->regs.high = SMART_KEY_HIGH;
        break;
    case SMART_SAVE:
    case SMART_AUTO_OFFLINE: break;
    default: ide_fail(d, ER_ABRT); return; /* WRITE LOG: there is none to write */
    }
    ide_complete(d);
}

void ata_smart(struct ide_drive *d)
{
    uint8_t *buf = d->chan->buf, feature = d->regs.features;
    bool key = d->regs.mid == SMART_KEY_MID && d->regs.high == SMART_KEY_HIGH;
    if (!key || (!d->disk.smart && feature != SMART_ENABLE)) {
        ide_fail(d, ER_ABRT);
        return;
    }
    switch (feature) {
    case SMART_READ_DATA:
        smart_data(d, buf);
        ide_reply(d, DISK_SECTOR);
        return;
    case SMART_READ_THRESHOLDS:
        smart_thresholds(buf);
        ide_reply(d, DISK_SECTOR);
        return;
    case SMART_READ_LOG:
        if (d->regs.count == 1 && smart_log(d, d->regs.low, buf))
            ide_reply(d, DISK_SECTOR);
        else
            ide_fail(d, ER_ABRT);
        return;
    case SMART_OFFLINE: smart_offline(d); return;
    }
    smart_simple(d);
}
