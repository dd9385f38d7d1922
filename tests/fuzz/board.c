/* The simulated board that inputs act on: its life between inputs, snapshots. */
#include "fuzz.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Tasks that start one another at one moment of virtual time, and snapshots of one input. */
enum { MAX_ROUNDS = 20000, MAX_SAVES = 2, MAX_POKES = 64 };

/* Every input begins at a multiple of it. */
#define PERIOD_NS (8 * NS_PER_S)

bool fuzz_check_reset;

void fuzz_bug(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("fuzz: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    abort();
}

static void log_write(struct log *log, enum log_level level, const char *line)
{
}

static uint64_t log_now(struct log *log)
{
    return container_of(log, struct fuzz_board, log)->clock.now_ns;
}

void fuzz_board_init(struct fuzz_board *b)
{
    b->chr_limit = SIZE_MAX;
    b->log = (struct log){ .write = log_write, .now_ns = log_now, .level = LOG_INFO };
    b->saves = MAX_SAVES;
    sim_clock_init(&b->clock, NULL, NULL);
    loop_init(&b->loop, &sim_clock_host, &b->clock);
    b->clock.now_ns = PERIOD_NS;
    if (sim_create(&(struct sim_config){ .ram_bytes = FUZZ_RAM, .max_ram_below_4g = FUZZ_RAM, .nr_vcpus = 2 }, &b->sim))
        fuzz_bug("no memory for the board");
    b->m = (struct machine){ .loop = &b->loop, .log = &b->log, .hv = sim_hv(b->sim), .host = &b->host,
                             .config = &b->config, .century = 20 };
}

void fuzz_board_settle(struct fuzz_board *b)
{
    uint64_t rounds = MAX_ROUNDS;
    if (!sim_clock_settle(&b->clock, &b->loop, &rounds))
        fuzz_bug("tasks or timers without end");
}

/* --- Snapshots --- */

static void save(const struct device *dev, struct snap_buf *out)
{
    out->len = out->pos = 0;
    if (snapshot_save_device(dev, out))
        fuzz_bug("no memory for a snapshot");
}

static void reset(struct device *dev)
{
    if (dev->desc->reset)
        dev->desc->reset(dev);
}

static void must_restore(struct device *dev, struct snap_buf *record)
{
    const char *field = NULL;
    record->pos = 0;
    int err = snapshot_restore_device(dev, record, &field);
    if (err)
        fuzz_bug("%s refuses its own snapshot: %s, field %s", dev->id, strerror(-err), field ? field : "unknown");
}

/* What lies in a buffer behind its end is nobody's business. */
static bool is_buffer(const struct snap_field *field)
{
    return field->count > 1 && !strstr(field->name, "config");
}

/* Where a record differs, in terms of the device's fields; buffers: they count too. */
static void must_match(const struct device *dev, const struct snap_buf *want, const struct snap_buf *got, bool buffers)
{
    size_t at = DEVICE_ID_BYTES + 2 + 4;
    if (want->len == got->len && memcmp(want->data, got->data, want->len) == 0)
        return;
    for (const struct snap_field *f = dev->desc->fields; f && f->kind != SNAP_KIND_END; f++) {
        for (uint32_t i = 0; i < f->count && f->kind != SNAP_KIND_PART; i++, at += f->width) {
            uint64_t was = le_get(want->data + at, f->width), is = le_get(got->data + at, f->width);
            if (was != is && (buffers || !is_buffer(f)))
                fuzz_bug("%s: %s[%u] is %llx after a %s, should be %llx", dev->id, f->name, i, (unsigned long long)is,
                         buffers ? "restore" : "reset", (unsigned long long)was);
        }
    }
    if (want->len != got->len)
        fuzz_bug("%s: records of different size", dev->id);
}

/* What thindm does before it saves: nothing is under way. */
static void quiesce(struct fuzz_board *b)
{
    fuzz_disks_release(b);
    machine_drain(&b->m);
    fuzz_board_settle(b);
}

/* What the flight recorder asks before it saves without waiting for anything. */
static bool is_quiet(const struct fuzz_board *b)
{
    bool quiet = !b->loop.tasks && (!b->loop.timers || b->loop.timers->expires_ns > b->clock.now_ns);
    for (const struct device *dev = b->m.devices.first; dev && quiet; dev = dev->next)
        quiet = !dev->desc->quiet || dev->desc->quiet(dev);
    for (const struct fuzz_disk *disk = b->disks; disk && quiet; disk = disk->next)
        quiet = !disk->first;
    return quiet;
}

void fuzz_board_roundtrip(struct fuzz_board *b, bool wait)
{
    struct snap_buf before[FUZZ_MAX_DEVICES] = { { 0 } }, after = { 0 };
    unsigned n = 0;
    if (b->saves == 0 || (!wait && !is_quiet(b)))
        return;
    b->saves--;
    if (wait)
        quiesce(b);
    for (struct device *dev = b->m.devices.first; dev; dev = dev->next)
        save(dev, &before[n++]);
    devices_reset(&b->m.devices); /* all of them first, as in a new process: lines that one drops are another's inputs */
    n = 0;
    for (struct device *dev = b->m.devices.first; dev; dev = dev->next)
        must_restore(dev, &before[n++]);
    n = 0;
    for (struct device *dev = b->m.devices.first; dev; dev = dev->next, n++) {
        save(dev, &after);
        must_match(dev, &before[n], &after, true);
        snap_buf_free(&before[n]);
    }
    snap_buf_free(&after);
}

uint16_t fuzz_field_key(const char *name)
{
    uint32_t hash = 2166136261; /* FNV-1a */
    for (; *name; name++)
        hash = (hash ^ (uint8_t)*name) * 16777619;
    return (uint16_t)(hash >> 16 ^ hash);
}

static void poke_bytes(struct snap_buf *record, struct fuzz_in *in)
{
    size_t at = (size_t)fuzz_le(in, 2);
    uint8_t val = fuzz_u8(in);
    at = at < 0x8000 ? at : record->len - (at & 0x7fff); /* the end of a long record counts too */
    if (at < record->len)
        record->data[at] = val;
}

/* Names a field by its key, or by its number. Values follow one another in the order of the table, behind id, version and length. */
static void poke_field(const struct device *dev, struct snap_buf *record, struct fuzz_in *in)
{
    uint16_t key = (uint16_t)fuzz_le(in, 2);
    uint32_t i = (uint32_t)fuzz_le(in, 2);
    uint64_t val = fuzz_le(in, fuzz_u8(in) % 9);
    unsigned nr = 0, want = 0;
    for (const struct snap_field *f = dev->desc->fields; f && f->kind != SNAP_KIND_END; f++, nr++) {
        if (fuzz_field_key(f->name) == key)
            want = nr + 1;
    }
    if (nr == 0)
        return;
    want = want ? want - 1 : key % nr;
    size_t at = DEVICE_ID_BYTES + 2 + 4;
    const struct snap_field *f = dev->desc->fields;
    for (; want > 0; want--, f++)
        at += (size_t)f->width * f->count;
    at += (size_t)(i % f->count) * f->width;
    if (at + f->width <= record->len)
        le_put(record->data + at, f->width, val);
}

void fuzz_board_poke(struct fuzz_board *b, struct fuzz_in *in, bool fields)
{
    struct snap_buf record = { 0 }, good = { 0 };
    struct device *dev = b->m.devices.first;
    if (b->pokes == MAX_POKES)
        return;
    b->pokes++;
    quiesce(b);
    for (unsigned n = fuzz_u8(in) % FUZZ_MAX_DEVICES; n > 0 && dev->next; n--)
        dev = dev->next;
    save(dev, &record);
    save(dev, &good);
    for (unsigned n = fuzz_u8(in) % 8; n > 0; n--) {
        if (fields)
            poke_field(dev, &record, in);
        else
            poke_bytes(&record, in);
    }
    b->spoiled = true;
    reset(dev);
    record.pos = 0;
    if (snapshot_restore_device(dev, &record, NULL) == 0) {
        quiesce(b);
        save(dev, &record); /* must be readable in full */
        reset(dev);
        must_restore(dev, &record);
    } else {
        reset(dev);
        must_restore(dev, &good); /* a refused state never runs */
    }
    snap_buf_free(&record);
    snap_buf_free(&good);
}

/* --- Life between inputs --- */

/* A battery, or the administrator's hand, keeps these over a reset. */
static bool survives_reset(const struct device *dev)
{
    return !strcmp(dev->desc->name, "cmos") || !strcmp(dev->desc->name, "rtc");
}

void fuzz_board_ready(struct fuzz_board *b)
{
    unsigned n = 0;
    struct machine *m = &b->m;
    fuzz_board_settle(b);
    mem_set_dirty_log(&m->mem, true); /* so that RAM is cleaned where devices wrote too */
    sim_serve(b->sim, &(struct ioreq_config){ .ports = &m->ports, .memory = &m->memory, .pci = &m->pci, .mem = &m->mem,
                          .log = &b->log });
    for (struct device *dev = m->devices.first; dev && fuzz_check_reset; dev = dev->next) {
        if (n == FUZZ_MAX_DEVICES)
            fuzz_bug("more than %d devices", FUZZ_MAX_DEVICES);
        save(dev, &b->first[n++]);
    }
    fuzz_heap_keep();
}

/* A reset of all devices, and what firmware does then, come to the first state. */
static void check_first_state(struct fuzz_board *b, void (*place)(struct fuzz_board *b))
{
    struct snap_buf now = { 0 };
    unsigned n = 0;
    /* What devices derive from time begins with the same phase. */
    b->clock.now_ns += PERIOD_NS - b->clock.now_ns % PERIOD_NS;
    for (unsigned i = 0; i < ARRAY_SIZE(b->pins); i++)
        irq_set(&b->pins[i], false);
    for (struct device *dev = b->m.devices.first; dev; dev = dev->next) {
        if (dev->desc->reset)
            dev->desc->reset(dev);
    }
    fuzz_board_settle(b);
    if (place)
        place(b);
    for (struct device *dev = b->m.devices.first; dev; dev = dev->next, n++) {
        if (survives_reset(dev) || !strcmp(dev->desc->name, "ide-piix3") || !strcmp(dev->desc->name, "ahci") ||
            (b->m.platform && !strcmp(dev->desc->name, "pic")))
            continue; /* IDE's buffers keep what was in them, trays stay open; the PIC sees edges of timers that are reset after it */
        save(dev, &now);
        must_match(dev, &b->first[n], &now, false);
    }
    snap_buf_free(&now);
}

bool fuzz_board_reset(struct fuzz_board *b, void (*place)(struct fuzz_board *b))
{
    b->fail = 0;
    b->chr_limit = SIZE_MAX;
    if (b->hold)
        fuzz_disks_release(b);
    if (b->chr)
        b->chr->len = 0;
    fuzz_board_settle(b); /* nothing is lost that was to happen */
    if (fuzz_check_reset && !b->spoiled)
        check_first_state(b, place);
    if (b->vram_touched && b->m.vram && madvise(b->m.vram, FUZZ_VRAM, MADV_DONTNEED)) /* which makes zeros of it */
        return false;
    sim_ram_clear(b->sim);
    return fuzz_heap_restore();
}

void fuzz_board_finish(struct fuzz_board *b)
{
    fuzz_heap_forget();
    fuzz_disks_release(b);
    machine_destroy(&b->m);
    if (b->loop.tasks || b->loop.timers)
        fuzz_bug("a task or timer outlived its device");
    if (b->disks || b->chr)
        fuzz_bug("a back end was not closed");
    for (unsigned n = 0; n < FUZZ_MAX_DEVICES; n++)
        snap_buf_free(&b->first[n]);
    sim_serve(b->sim, NULL);
    sim_destroy(b->sim);
}
