/*
 * ATAPI CD-ROM: the replies that are tables. Source: MMC-6 (T10/1836-D), SPC-3; below [MMC n], [SPC n]. A reply is
 * built in whole in the channel's buffer and cut to the allocation length afterwards.
 */
#include "ide-private.h"

#include <string.h>

/* Larger media than an 80-minute CD can only be DVDs. */
enum { CD_MAX_SECTORS = 80 * 60 * 75, FRAMES_PER_SECOND = 75, LEAD_IN_FRAMES = 150 };
enum { PROFILE_NONE = 0x0000, PROFILE_CD_ROM = 0x0008, PROFILE_DVD_ROM = 0x0010 };
enum { LEAD_OUT = 0xaa, ADR_DATA_TRACK = 0x14, SPEED_KB = 22160 /* 16-speed DVD */ };
enum {
    PAGE_RECOVERY = 0x01,
    PAGE_AUDIO = 0x0e,
    PAGE_POWER = 0x1a,
    PAGE_TIMEOUT = 0x1d,
    PAGE_CAPABILITIES = 0x2a,
    PAGE_ALL = 0x3f
};
enum { MODE_CURRENT, MODE_CHANGEABLE, MODE_DEFAULT, MODE_SAVED };

static bool is_cd(const struct ide_drive *d)
{
    return atapi_medium_present(d) && d->sectors <= CD_MAX_SECTORS;
}

static bool is_dvd(const struct ide_drive *d)
{
    return atapi_medium_present(d) && d->sectors > CD_MAX_SECTORS;
}

/* A block address, or minute, second and frame of it. */
static void put_address(uint8_t *out, uint64_t lba, bool msf)
{
    uint32_t frame = (uint32_t)lba + LEAD_IN_FRAMES;
    if (!msf) {
        be32_put(out, (uint32_t)lba);
        return;
    }
    out[0] = 0;
    out[1] = (uint8_t)(frame / FRAMES_PER_SECOND / 60);
    out[2] = (uint8_t)(frame / FRAMES_PER_SECOND % 60);
    out[3] = (uint8_t)(frame % FRAMES_PER_SECOND);
}

/* Left-aligned, blanks behind. */
static void put_text(uint8_t *out, const char *text, size_t bytes)
{
    size_t len = strlen(text);
    memset(out, ' ', bytes);
    memcpy(out, text, len < bytes ? len : bytes);
}

void mmc_inquiry(struct ide_drive *d, const uint8_t *cdb)
{
    uint8_t *out = d->chan->buf;
    if ((cdb[1] & 0x03) || cdb[2] != 0) { /* no vital product data, no command support data [SPC 6.4] */
        atapi_fail(d, KEY_ILLEGAL, SENSE_FIELD);
        return;
    }
    memset(out, 0, 36);
    out[0] = 0x05; /* CD/DVD */
    out[1] = 0x80; /* removable */
    out[3] = 0x21; /* ATAPI, response format 1 [MMC annex A] */
    out[4] = 31;
    put_text(out + 8, "QEMU", 8);
    put_text(out + 16, "QEMU DVD-ROM", 16);
    put_text(out + 32, "2.5+", 4);
    atapi_reply(d, 36, be16_get(cdb + 3));
}

void mmc_read_capacity(struct ide_drive *d, const uint8_t *cdb)
{
    uint8_t *out = d->chan->buf;
    be32_put(out, (uint32_t)min_u64(d->sectors - 1, UINT32_MAX));
    be32_put(out + 4, CD_SECTOR);
    atapi_reply(d, 8, 8);
}

/* Capacity list of one descriptor [MMC 6.24]; Windows asks. */
void mmc_read_format_capacities(struct ide_drive *d, const uint8_t *cdb)
{
    uint8_t *out = d->chan->buf;
    bool present = atapi_medium_present(d);
    memset(out, 0, 12);
    out[3] = 8;
    be32_put(out + 4, present ? (uint32_t)min_u64(d->sectors, UINT32_MAX) : 0);
    be32_put(out + 8, CD_SECTOR);
    out[8] = present ? 2 : 3; /* formatted medium, no medium */
    atapi_reply(d, 12, be16_get(cdb + 7));
}

/* First and last track, then descriptors of track 1 and of the lead-out [MMC 6.26.2.4]. */
static size_t toc_tracks(const struct ide_drive *d, uint8_t *out, bool msf, uint8_t first)
{
    size_t len = 4;
    out[2] = out[3] = 1;
    if (first <= 1) {
        memset(out + len, 0, 8);
        out[len + 1] = ADR_DATA_TRACK;
        out[len + 2] = 1;
        put_address(out + len + 4, 0, msf);
        len += 8;
    }
    memset(out + len, 0, 8);
    out[len + 1] = ADR_DATA_TRACK;
    out[len + 2] = LEAD_OUT;
    put_address(out + len + 4, d->sectors, msf);
    return len + 8;
}

/* The only session, and its first track [MMC 6.26.2.5]. */
static size_t toc_session(uint8_t *out, bool msf)
{
    memset(out, 0, 12);
    out[2] = out[3] = 1;
    out[5] = ADR_DATA_TRACK;
    out[6] = 1;
    put_address(out + 8, 0, msf);
    return 12;
}

/* The lead-in's own entries: first track, last track, lead-out, track 1 [MMC 6.26.2.6]. */
static size_t toc_full(const struct ide_drive *d, uint8_t *out)
{
    static const uint8_t points[] = { 0xa0, 0xa1, 0xa2, 1 };
    size_t len = 4;
    out[2] = out[3] = 1;
    for (size_t i = 0; i < sizeof(points); i++, len += 11) {
        uint8_t *row = out + len, address[4];
        memset(row, 0, 11);
        row[0] = 1; /* session */
        row[1] = ADR_DATA_TRACK;
        row[3] = points[i];
        if (points[i] < 0xa2 && points[i] >= 0xa0) {
            row[8] = 1;
            continue;
        }
        put_address(address, points[i] == 1 ? 0 : d->sectors, true);
        memcpy(row + 8, address + 1, 3);
    }
    return len;
}

void mmc_read_toc(struct ide_drive *d, const uint8_t *cdb)
{
    uint8_t *out = d->chan->buf, first = cdb[6];
    bool msf = cdb[1] & 0x02;
    /* Byte 9 is where the format was in SFF-8020i; drivers of its time fill that one. */
    unsigned format = cdb[2] & 0x0f ? cdb[2] & 0x0f : cdb[9] >> 6;
    size_t len = 0;
    if (format == 0 && (first <= 1 || first == LEAD_OUT))
        len = toc_tracks(d, out, msf, first);
    else if (format == 1)
        len = toc_session(out, msf);
    else if (format == 2 && first <= 1)
        len = toc_full(d, out);
    if (len == 0) {
        atapi_fail(d, KEY_ILLEGAL, SENSE_FIELD);
        return;
    }
    be16_put(out, (uint16_t)(len - 2));
    atapi_reply(d, len, be16_get(cdb + 7));
}

/* Current position only; there is no catalogue number and no recording code [MMC 6.33]. */
void mmc_read_subchannel(struct ide_drive *d, const uint8_t *cdb)
{
    uint8_t *out = d->chan->buf;
    bool data = cdb[2] & 0x40;
    if (data && cdb[3] != 1) {
        atapi_fail(d, KEY_ILLEGAL, SENSE_FIELD);
        return;
    }
    memset(out, 0, 16);
    out[1] = 0x15; /* no audio status */
    if (data) {
        out[3] = 12;
        out[4] = 1;
        out[5] = ADR_DATA_TRACK;
        out[6] = out[7] = 1;
        put_address(out + 8, 0, cdb[1] & 0x02);
    }
    atapi_reply(d, data ? 16 : 4, be16_get(cdb + 7));
}

/* Feature descriptors [MMC 5.3]. */
struct feature {
    uint16_t code;
    uint8_t version;
    bool persistent;
    uint8_t len, data[8];
};

static const struct feature features[] = {
    { 0x0000, 0, true, 8, { 0x00, PROFILE_DVD_ROM, 0, 0, 0x00, PROFILE_CD_ROM, 0, 0 } }, /* profile list */
    { 0x0001, 2, true, 8, { 0, 0, 0, 2, 0, 0, 0, 0 } },                                  /* core: ATAPI */
    { 0x0002, 1, true, 4, { 0, 0, 0, 0 } },                           /* morphing: events are polled */
    { 0x0003, 0, true, 4, { 0x29, 0, 0, 0 } },                        /* removable medium: tray, ejects, locks */
    { 0x0010, 0, false, 8, { 0, 0, CD_SECTOR >> 8, 0, 0, 1, 1, 0 } }, /* random readable */
    { 0x001d, 0, false, 0, { 0 } },                                   /* multi-read */
    { 0x001e, 2, false, 4, { 0, 0, 0, 0 } },                          /* CD read */
    { 0x001f, 0, false, 0, { 0 } },                                   /* DVD read */
    { 0x0100, 0, true, 0, { 0 } },                                    /* power management */
    { 0x0105, 1, true, 4, { 0, 0, 0, 0 } },                           /* timeout */
};

static bool feature_current(const struct ide_drive *d, const struct feature *f)
{
    switch (f->code) {
    case 0x0010: return atapi_medium_present(d);
    case 0x001d:
    case 0x001e: return is_cd(d);
    case 0x001f: return is_dvd(d);
    }
    return true;
}

void mmc_get_configuration(struct ide_drive *d, const uint8_t *cdb)
{
    uint8_t *out = d->chan->buf, kind = cdb[1] & 0x03;
    uint16_t start = be16_get(cdb + 2);
    size_t len = 8;
    if (kind == 3) {
        atapi_fail(d, KEY_ILLEGAL, SENSE_FIELD);
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
        const struct feature *f = &features[i];
        bool current = feature_current(d, f);
        /* 0: all from start up, 1: those that are current, 2: start alone. */
        if (f->code < start || (kind == 1 && !current) || (kind == 2 && f->code != start))
            continue;
        be16_put(out + len, f->code);
        out[len + 2] = (uint8_t)(f->version << 2 | (f->persistent ? 2 : 0) | (current ? 1 : 0));
        out[len + 3] = f->len;
        memcpy(out + len + 4, f->data, f->len);
        if (f->code == 0x0000) {
            out[len + 6] = is_dvd(d);
            out[len + 10] = is_cd(d);
        }
        len += 4u + f->len;
    }
    be32_put(out, (uint32_t)(len - 4));
    be16_put(out + 4, 0);
    be16_put(out + 6, is_dvd(d) ? PROFILE_DVD_ROM : is_cd(d) ? PROFILE_CD_ROM : PROFILE_NONE);
    atapi_reply(d, len, be16_get(cdb + 7));
}

/* One event is told and forgotten; the order is that in which they happen to a medium. */
static uint8_t take_media_event(struct ide_drive *d)
{
    struct ide_cd *cd = &d->cd;
    static const uint8_t order[][2] = { { EVENT_REMOVED, 3 }, { EVENT_NEW_MEDIUM, 2 }, { EVENT_EJECT_REQUEST, 1 } };
    for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
        if (cd->events & order[i][0]) {
            if (order[i][0] == EVENT_NEW_MEDIUM)
                atapi_change_told(d);
            cd->events &= (uint8_t)~order[i][0];
            return order[i][1];
        }
    }
    return 0;
}

/* Only the media class, only by polling [MMC 6.7]. */
void mmc_get_event(struct ide_drive *d, const uint8_t *cdb)
{
    enum { CLASS_MEDIA = 4, CLASS_MASK = 1 << CLASS_MEDIA, NO_EVENT_AVAILABLE = 0x80 };
    uint8_t *out = d->chan->buf;
    size_t len = 4, alloc = be16_get(cdb + 7);
    if (!(cdb[1] & 0x01)) {
        atapi_fail(d, KEY_ILLEGAL, SENSE_FIELD);
        return;
    }
    memset(out, 0, 8);
    out[2] = NO_EVENT_AVAILABLE;
    out[3] = CLASS_MASK;
    if (cdb[4] & CLASS_MASK) {
        out[2] = CLASS_MEDIA;
        /* An event that doesn't fit stays. */
        out[4] = alloc > 4 ? take_media_event(d) : 0;
        out[5] = (uint8_t)((d->cd.tray_open ? 0x01 : 0) | (atapi_medium_present(d) ? 0x02 : 0));
        len = 8;
    }
    be16_put(out, (uint16_t)(len - 2));
    atapi_reply(d, len, alloc);
}

void mmc_mechanism_status(struct ide_drive *d, const uint8_t *cdb)
{
    uint8_t *out = d->chan->buf;
    memset(out, 0, 8);
    out[1] = d->cd.tray_open ? 0x10 : 0;
    atapi_reply(d, 8, be16_get(cdb + 8)); /* not a changer: no slot table [MMC 6.13] */
}

void mmc_read_disc_info(struct ide_drive *d, const uint8_t *cdb)
{
    uint8_t *out = d->chan->buf;
    if (cdb[1] & 0x07) { /* the standard kind only */
        atapi_fail(d, KEY_ILLEGAL, SENSE_FIELD);
        return;
    }
    memset(out, 0, 34);
    out[1] = 32;
    out[2] = 0x0e;                         /* complete disc, complete last session */
    out[3] = out[4] = out[5] = out[6] = 1; /* first track, sessions, tracks of the last one */
    out[7] = 0x20;                         /* unrestricted use */
    memset(out + 16, 0xff, 8);             /* no lead-in to write, no lead-out to come */
    atapi_reply(d, 34, be16_get(cdb + 7));
}

void mmc_read_track_info(struct ide_drive *d, const uint8_t *cdb)
{
    uint8_t *out = d->chan->buf, kind = cdb[1] & 0x03;
    uint32_t which = be32_get(cdb + 2);
    /* By block address, track or session [MMC 6.27]. */
    if (kind == 3 || (kind == 0 && which >= d->sectors) || (kind != 0 && which != 1)) {
        atapi_fail(d, KEY_ILLEGAL, SENSE_FIELD);
        return;
    }
    memset(out, 0, 36);
    out[1] = 34;
    out[2] = out[3] = 1;
    out[5] = 0x04; /* data track, uninterrupted */
    out[6] = 0x01; /* mode 1 */
    be32_put(out + 24, (uint32_t)min_u64(d->sectors, UINT32_MAX));
    atapi_reply(d, 36, be16_get(cdb + 7));
}

enum { DVD_PHYSICAL = 0x00, DVD_COPYRIGHT = 0x01, DVD_MANUFACTURER = 0x04, DVD_LIST = 0xff };
static const struct dvd_structure {
    uint8_t format;
    uint16_t len; /* with the header of 4 bytes */
} dvd_structures[] = { { DVD_PHYSICAL, 2052 }, { DVD_COPYRIGHT, 8 }, { DVD_MANUFACTURER, 2052 } };

/* The formats there are [MMC 6.22.3.1.21]. */
static size_t dvd_list(uint8_t *out)
{
    size_t len = 4;
    for (size_t i = 0; i < ARRAY_SIZE(dvd_structures); i++, len += 4) {
        out[len] = dvd_structures[i].format;
        out[len + 1] = 0x40; /* readable */
        be16_put(out + len + 2, dvd_structures[i].len);
    }
    return len;
}

static size_t dvd_structure(const struct ide_drive *d, uint8_t format, uint8_t *out)
{
    for (size_t i = 0; i < ARRAY_SIZE(dvd_structures); i++) {
        if (dvd_structures[i].format != format)
            continue;
        if (format == DVD_PHYSICAL) {
            out[4] = 0x01;              /* DVD-ROM, version 1 */
            out[5] = 0x0f;              /* 120 mm, no rate given */
            out[6] = 0x01;              /* one layer, read-only */
            be32_put(out + 8, 0x30000); /* where the data area of a DVD-ROM starts */
            be32_put(out + 12, (uint32_t)min_u64(0x30000 + d->sectors - 1, 0xffffff));
        }
        return dvd_structures[i].len;
    }
    return 0;
}

void mmc_read_dvd_structure(struct ide_drive *d, const uint8_t *cdb)
{
    uint8_t *out = d->chan->buf, format = cdb[7];
    memset(out, 0, 2052);
    if (format != DVD_LIST && !is_dvd(d)) {
        atapi_fail(d, KEY_ILLEGAL, SENSE_FORMAT);
        return;
    }
    size_t len = format == DVD_LIST ? dvd_list(out) : cdb[6] == 0 ? dvd_structure(d, format, out) : 0;
    if ((cdb[1] & 0x0f) != 0 || len == 0) { /* DVD media, layer 0 */
        atapi_fail(d, KEY_ILLEGAL, SENSE_FIELD);
        return;
    }
    be16_put(out, (uint16_t)(len - 2));
    atapi_reply(d, len, be16_get(cdb + 8));
}

/* Nominal read speed over the whole medium; no write speeds [MMC 6.8]. */
void mmc_get_performance(struct ide_drive *d, const uint8_t *cdb)
{
    uint8_t *out = d->chan->buf, type = cdb[10];
    bool descriptor = type == 0 && be16_get(cdb + 8) > 0 && atapi_medium_present(d) && !(cdb[1] & 0x04);
    size_t len = descriptor ? 24 : 8;
    if (type != 0 && type != 3) {
        atapi_fail(d, KEY_ILLEGAL, SENSE_FIELD);
        return;
    }
    memset(out, 0, 24);
    be32_put(out, (uint32_t)(len - 4));
    if (descriptor) {
        be32_put(out + 12, SPEED_KB);
        be32_put(out + 16, (uint32_t)min_u64(d->sectors - 1, UINT32_MAX));
        be32_put(out + 20, SPEED_KB);
    }
    atapi_reply(d, len, len);
}

/* One page, as PC asks: values, mask of what MODE SELECT changes, or defaults. Returns its length, 0: no such page. */
static size_t mode_page(const struct ide_drive *d, uint8_t page, unsigned pc, uint8_t *out)
{
    static const uint8_t lengths[] = { PAGE_RECOVERY, 8,  PAGE_AUDIO,        16, PAGE_POWER, 12,
                                       PAGE_TIMEOUT,  12, PAGE_CAPABILITIES, 22 };
    size_t len = 0;
    for (size_t i = 0; i < sizeof(lengths); i += 2)
        len = lengths[i] == page ? lengths[i + 1] : len;
    if (len == 0)
        return 0;
    memset(out, 0, len);
    out[0] = page;
    out[1] = (uint8_t)(len - 2);
    if (page == PAGE_RECOVERY) {
        for (unsigned i = 0; i < sizeof(d->cd.recovery); i++)
            out[2 + i] = pc == MODE_CHANGEABLE ? 0xff : pc == MODE_CURRENT ? d->cd.recovery[i] : 0;
    } else if (page == PAGE_AUDIO) {
        for (unsigned i = 0; i < sizeof(d->cd.volume); i++)
            out[8 + i] = pc == MODE_CHANGEABLE ? 0xff : pc == MODE_CURRENT ? d->cd.volume[i] : 0;
    } else if (page == PAGE_CAPABILITIES && pc != MODE_CHANGEABLE) {
        out[2] = 0x3b;                                        /* reads CD-R, CD-RW, method 2, DVD-ROM, DVD-R */
        out[4] = 0x70;                                        /* mode 2 forms 1 and 2, multi-session */
        out[6] = (uint8_t)(0x29 | (d->cd.locked ? 0x02 : 0)); /* locks, ejects, a tray */
        be16_put(out + 8, 706);                               /* kB/s at most, 4-speed CD */
        be16_put(out + 10, 2);                                /* volume levels */
        be16_put(out + 12, 512);                              /* kB of buffer */
        be16_put(out + 14, 706);
    }
    return len;
}

void mmc_mode_sense(struct ide_drive *d, const uint8_t *cdb)
{
    static const uint8_t all[] = { PAGE_RECOVERY, PAGE_AUDIO, PAGE_POWER, PAGE_TIMEOUT, PAGE_CAPABILITIES };
    uint8_t *out = d->chan->buf, page = cdb[2] & 0x3f;
    bool ten = cdb[0] == 0x5a;
    unsigned pc = cdb[2] >> 6;
    size_t head = ten ? 8 : 4, len = head;
    if (pc == MODE_SAVED) {
        atapi_fail(d, KEY_ILLEGAL, SENSE_NOT_SAVED);
        return;
    }
    for (size_t i = 0; i < sizeof(all); i++) {
        if (page == all[i] || page == PAGE_ALL)
            len += mode_page(d, all[i], pc, out + len);
    }
    if (len == head || (cdb[3] != 0 && cdb[3] != 0xff)) {
        atapi_fail(d, KEY_ILLEGAL, SENSE_FIELD);
        return;
    }
    memset(out, 0, head);
    /* Medium type as SFF-8020i has it: data CD, no disc, tray open. */
    uint8_t medium = atapi_medium_present(d) ? 0x01 : d->cd.tray_open ? 0x71 : 0x70;
    if (ten) {
        be16_put(out, (uint16_t)(len - 2));
        out[2] = medium;
    } else {
        out[0] = (uint8_t)(len - 1);
        out[1] = medium;
    }
    atapi_reply(d, len, ten ? be16_get(cdb + 7) : cdb[4]);
}

/* All pages are checked before one takes effect: changing what can't change is an error [SPC 6.7]. */
static unsigned select_pages(struct ide_drive *d, const uint8_t *list, size_t len, bool apply)
{
    uint8_t current[32], mask[32];
    while (len > 0) {
        if (len < 2)
            return SENSE_PARAMETER_LENGTH;
        uint8_t page = list[0] & 0x3f;
        size_t bytes = mode_page(d, page, MODE_CURRENT, current);
        if (bytes == 0 || (list[0] & 0x40) || list[1] != bytes - 2)
            return SENSE_PARAMETER;
        if (bytes > len)
            return SENSE_PARAMETER_LENGTH;
        (void)mode_page(d, page, MODE_CHANGEABLE, mask);
        for (size_t i = 2; i < bytes; i++) {
            if ((list[i] ^ current[i]) & ~mask[i])
                return SENSE_PARAMETER;
        }
        if (apply && page == PAGE_RECOVERY)
            memcpy(d->cd.recovery, list + 2, sizeof(d->cd.recovery));
        if (apply && page == PAGE_AUDIO)
            memcpy(d->cd.volume, list + 8, sizeof(d->cd.volume));
        list += bytes;
        len -= bytes;
    }
    return SENSE_NONE;
}

unsigned mmc_mode_select(struct ide_drive *d, const uint8_t *list, size_t len, bool ten)
{
    size_t head = ten ? 8 : 4;
    if (len < head)
        return SENSE_PARAMETER_LENGTH;
    size_t descriptors = ten ? be16_get(list + 6) : list[3];
    if (descriptors > len - head)
        return SENSE_PARAMETER_LENGTH;
    list += head + descriptors; /* block descriptors: the block size is fixed, they are skipped */
    len -= head + descriptors;
    unsigned sense = select_pages(d, list, len, false);
    return sense ? sense : select_pages(d, list, len, true);
}
