/*
 * The floppy controller's commands but for those that move sectors. SCAN commands are answered as unknown ones; so is
 * FORMAT AND WRITE.
 */
#include "fdc-private.h"

#include <string.h>

enum { MAX_DRIVE_SPECS = 5, SPEC_DONE = 0x80, SPEC_NO_RESULT = 0x40 };
enum { READ_TRACK = 0x02, READ_DELETED = 0x0c, DRIVE_SPECIFICATION = 0x8e };
enum { VERSION = 0x90, PART_ID = 0x41 }; /* [82078 Version, Part ID] */
enum { ST3_PROTECTED = 0x40, ST3_TRACK_0 = 0x10, ST3_ALWAYS = 0x28 };
enum { SAVED_TRACKS = 2, SAVED_TIMING = 6, SAVED_LAST = 8, SAVED_MODES, SAVED_CONFIG, SAVED_PRECOMP, SAVED_POWER };
enum { SAVED_BYTES = 16, LOCKED = 0x80, DRIVES_PERPENDICULAR = 0x3c, GAP_WGATE = 0x03, OVERWRITE = 0x80 };

void fdc_result(struct fdc *s, unsigned len)
{
    s->phase = PHASE_RESULT;
    s->op = OP_NONE;
    s->pos = 0;
    s->len = (uint8_t)len;
}

void fdc_raise(struct fdc *s)
{
    s->polls = 0;
    s->interrupt = true;
}

static void put(struct fdc *s, uint8_t val)
{
    s->fifo[0] = val;
    fdc_result(s, 1);
}

static struct fdc_drive *drive(struct fdc *s, unsigned unit)
{
    return unit < FDC_DRIVES && s->drives[unit].type != 0 ? &s->drives[unit] : NULL;
}

/* Pulses go to the drive only if there is a way to go; with a medium they acknowledge its change [82078 DIR]. */
void fdc_step(struct fdc *s, unsigned unit, uint8_t track)
{
    const struct fdc_drive *d = drive(s, unit);
    if (s->track[unit] != track && d && d->block)
        s->changed[unit] = false;
    s->track[unit] = track;
}

static void seek_ended(struct fdc *s, unsigned unit)
{
    s->seeks |= (uint8_t)(1u << unit);
    fdc_raise(s);
}

static void seek(struct fdc *s)
{
    unsigned unit = s->fifo[1] & DOR_UNIT;
    fdc_step(s, unit, s->fifo[2]);
    seek_ended(s, unit);
}

static void relative_seek(struct fdc *s)
{
    unsigned unit = s->fifo[1] & DOR_UNIT, from = s->track[unit], by = s->fifo[2];
    bool inwards = s->fifo[0] & 0x40;
    unsigned to = inwards ? from + by : from > by ? from - by : 0;
    fdc_step(s, unit, (uint8_t)(to > UINT8_MAX ? UINT8_MAX : to));
    seek_ended(s, unit);
}

/* Where no drive is, none says that its heads are at track 0 [82078 Recalibrate]. */
static void recalibrate(struct fdc *s)
{
    unsigned unit = s->fifo[1] & DOR_UNIT;
    fdc_step(s, unit, 0);
    if (!drive(s, unit))
        s->faults |= (uint8_t)(1u << unit);
    seek_ended(s, unit);
}

static void sense_interrupt(struct fdc *s)
{
    unsigned unit = FDC_UNITS - s->polls;
    if (s->polls > 0) {
        s->fifo[0] = (uint8_t)(ST0_POLL | unit);
        s->polls--;
    } else if (s->seeks) {
        for (unit = 0; !(s->seeks >> unit & 1);)
            unit++;
        s->fifo[0] = (uint8_t)(ST0_SEEK_END | (s->faults >> unit & 1 ? ST0_ABNORMAL | ST0_FAULT : 0) | unit);
        s->seeks &= (uint8_t)(s->seeks - 1);
        s->faults &= s->seeks;
    } else {
        put(s, ST0_INVALID);
        return;
    }
    s->interrupt = false;
    s->fifo[1] = s->track[unit];
    fdc_result(s, 2);
}

static void sense_drive(struct fdc *s)
{
    unsigned unit = s->fifo[1] & DOR_UNIT;
    const struct fdc_drive *d = drive(s, unit);
    uint8_t st3 = ST3_ALWAYS | (s->fifo[1] & (ST0_HEAD | DOR_UNIT));
    if (d && d->block && d->block->read_only)
        st3 |= ST3_PROTECTED;
    if (d && s->track[unit] == 0)
        st3 |= ST3_TRACK_0;
    put(s, st3);
}

static void specify(struct fdc *s)
{
    memcpy(s->timing, s->fifo + 1, sizeof(s->timing));
}

static void configure(struct fdc *s)
{
    s->config = s->fifo[2] & 0x7f;
    s->precompensation = s->fifo[3];
}

static void lock(struct fdc *s)
{
    s->locked = s->fifo[0] & LOCKED;
    put(s, s->locked ? 0x10 : 0);
}

static void perpendicular(struct fdc *s)
{
    uint8_t val = s->fifo[1], drives = val & OVERWRITE ? val : s->perpendicular;
    s->perpendicular = (drives & DRIVES_PERPENDICULAR) | (val & GAP_WGATE);
}

static uint8_t modes(const struct fdc *s)
{
    return (uint8_t)((s->locked ? LOCKED : 0) | s->perpendicular);
}

static void dump_registers(struct fdc *s)
{
    uint8_t *to = s->fifo;
    memcpy(to, s->track, FDC_UNITS);
    memcpy(to + 4, s->timing, sizeof(s->timing));
    to[6] = s->last_sector;
    to[7] = modes(s);
    to[8] = s->config;
    to[9] = s->precompensation;
    fdc_result(s, 10);
}

static void save(struct fdc *s)
{
    uint8_t *to = s->fifo;
    memset(to, 0, SAVED_BYTES);
    memcpy(to + SAVED_TRACKS, s->track, FDC_UNITS);
    memcpy(to + SAVED_TIMING, s->timing, sizeof(s->timing));
    to[SAVED_LAST] = s->last_sector;
    to[SAVED_MODES] = modes(s);
    to[SAVED_CONFIG] = s->config;
    to[SAVED_PRECOMP] = s->precompensation;
    to[SAVED_POWER] = s->power;
    fdc_result(s, SAVED_BYTES);
}

static void restore(struct fdc *s)
{
    const uint8_t *from = s->fifo + 1;
    for (unsigned unit = 0; unit < FDC_UNITS; unit++)
        fdc_step(s, unit, from[SAVED_TRACKS + unit]);
    memcpy(s->timing, from + SAVED_TIMING, sizeof(s->timing));
    s->last_sector = from[SAVED_LAST];
    s->locked = from[SAVED_MODES] & LOCKED;
    s->perpendicular = from[SAVED_MODES] & (DRIVES_PERPENDICULAR | GAP_WGATE);
    s->config = from[SAVED_CONFIG] & 0x7f;
    s->precompensation = from[SAVED_PRECOMP];
    s->power = from[SAVED_POWER];
}

/* The one command that says itself where it ends; at the fifth byte at the latest [82078 Drive Specification]. */
static void drive_specification(struct fdc *s)
{
    unsigned last = s->pos - 1u;
    if (!(s->fifo[last] & SPEC_DONE)) {
        put(s, ST0_INVALID);
        return;
    }
    for (unsigned i = 1; i < last; i++)
        s->specs[s->fifo[i] >> 5 & 3] = s->fifo[i] & 0x1f;
    if (s->fifo[last] & SPEC_NO_RESULT)
        return;
    memcpy(s->fifo, s->specs, sizeof(s->specs));
    fdc_result(s, sizeof(s->specs));
}

static void power_down(struct fdc *s)
{
    s->power = s->fifo[1];
    put(s, s->power);
}

static void version(struct fdc *s)
{
    put(s, VERSION);
}

static void part_id(struct fdc *s)
{
    put(s, PART_ID);
}

static void option(struct fdc *s) /* sizes of formats of its own, which no image has */
{
}

static void read_data(struct fdc *s)
{
    fdc_transfer(s, OP_READ);
}

static void verify(struct fdc *s)
{
    fdc_transfer(s, OP_VERIFY);
}

static void write_data(struct fdc *s) /* the mark of deleted data isn't kept: an image has no room for it */
{
    fdc_transfer(s, OP_WRITE);
}

static const struct command {
    uint8_t mask, code, parameters;
    void (*run)(struct fdc *s);
} commands[] = {
    { 0x9f, READ_TRACK, 8, read_data },
    { 0xff, 0x03, 2, specify },
    { 0xff, 0x04, 1, sense_drive },
    { 0x3f, 0x05, 8, write_data },
    { 0x1f, 0x06, 8, read_data },
    { 0xff, 0x07, 1, recalibrate },
    { 0xff, 0x08, 0, sense_interrupt },
    { 0x3f, 0x09, 8, write_data },
    { 0xbf, 0x0a, 1, fdc_read_id },
    { 0x1f, READ_DELETED, 8, read_data },
    { 0xbf, 0x0d, 5, fdc_format_track },
    { 0xff, 0x0e, 0, dump_registers },
    { 0xff, 0x0f, 2, seek },
    { 0xff, 0x10, 0, version },
    { 0xff, 0x12, 1, perpendicular },
    { 0xff, 0x13, 3, configure },
    { 0x7f, 0x14, 0, lock },
    { 0x1f, 0x16, 8, verify },
    { 0xff, 0x17, 1, power_down },
    { 0xff, 0x18, 0, part_id },
    { 0xff, 0x2e, 0, save },
    { 0xff, 0x33, 1, option },
    { 0xff, 0x4e, SAVED_BYTES, restore },
    { 0xff, DRIVE_SPECIFICATION, MAX_DRIVE_SPECS, drive_specification },
    { 0xbf, 0x8f, 2, relative_seek },
};

static const struct command *find(uint8_t code)
{
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        if ((code & commands[i].mask) == commands[i].code)
            return &commands[i];
    }
    return NULL;
}

bool fdc_command_is_sane(const struct fdc *s)
{
    const struct command *c = find(s->fifo[0]);
    return s->pos == 0 ? s->len == 0 : c && s->len == 1 + c->parameters && s->pos < s->len;
}

void fdc_command_byte(struct fdc *s, uint8_t val)
{
    const struct command *c = find(s->pos == 0 ? val : s->fifo[0]);
    if (s->pos == 0)
        s->len = (uint8_t)(1 + (c ? c->parameters : 0));
    bool done = s->pos > 0 && s->fifo[0] == DRIVE_SPECIFICATION && (val & SPEC_DONE);
    s->fifo[s->pos++] = val;
    if (s->pos < s->len && !done)
        return;
    if (c)
        c->run(s);
    else
        put(s, ST0_INVALID);
    if (s->phase == PHASE_COMMAND)
        s->pos = s->len = 0; /* it has no result */
}
