/* The bench itself: set-up, snapshots, log. */
#include "rig-private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void log_write(struct log *log, enum log_level level, const char *line)
{
    struct rig *r = container_of(log, struct rig, log);
    r->log_lines++;
    (void)snprintf(r->log_last, sizeof(r->log_last), "%s", line);
}

static uint64_t log_now(struct log *log)
{
    return container_of(log, struct rig, log)->now_ns;
}

struct rig *rig_new(void)
{
    struct rig *r = calloc(1, sizeof(*r));
    assert_non_null(r);
    r->ram = calloc(1, RIG_RAM);
    assert_non_null(r->ram);
    r->now_ns = NS_PER_S;
    r->shutdown = -1;
    r->vram_at = HV_VRAM_PARKED;
    r->hv.ops = &rig_hv_ops;
    r->log = (struct log){ .write = log_write, .now_ns = log_now, .level = LOG_DEBUG };
    loop_init(&r->loop, &rig_clock, r);
    assert_int_equal(bus_init(&r->ports, true), 0);
    assert_int_equal(bus_init(&r->memory, false), 0);
    irq_board_init(&r->irqs, &r->hv);
    pci_bus_init(&r->pci, &r->ports, &r->memory, &r->irqs);
    mem_init(&r->mem, &r->hv);
    rig_record_start(r);
    return r;
}

void rig_free(struct rig *r)
{
    if (!r)
        return;
    rig_record_stop(r);
    device_free(r->dev);
    chr_close(r->chr);
    snap_buf_free(&r->saved);
    /* Nothing may outlive the device. */
    assert_int_equal(r->ports.nr_regions, 0);
    assert_int_equal(r->memory.nr_regions, 0);
    assert_null(r->loop.timers);
    assert_null(r->loop.tasks);
    mem_finish(&r->mem);
    bus_finish(&r->memory);
    bus_finish(&r->ports);
    free(r->vram);
    free(r->ram);
    free(r);
}

int rig_setup(void **state)
{
    *state = rig_new();
    return 0;
}

int rig_teardown(void **state)
{
    rig_free(*state);
    *state = NULL;
    return 0;
}

void rig_save(struct rig *r)
{
    snap_buf_free(&r->saved);
    assert_int_equal(snapshot_save_device(r->dev, &r->saved), 0);
}

int rig_restore(struct rig *r)
{
    rig_note(r, "restore");
    if (r->dev->desc->reset)
        r->dev->desc->reset(r->dev);
    r->saved.pos = 0;
    return snapshot_restore_device(r->dev, &r->saved, NULL);
}

void rig_poke_at(struct rig *r, const char *field, unsigned i, uint64_t val)
{
    /* Values follow one another in the order of the table, behind id, version and length. */
    size_t at = DEVICE_ID_BYTES + 2 + 4;
    rig_note(r, "poke %s %u 0x%llx", field, i, (unsigned long long)val);
    for (const struct snap_field *f = r->dev->desc->fields; f->kind != SNAP_KIND_END; f++) {
        if (strcmp(f->name, field) == 0) {
            assert_in_range(i, 0, f->count - 1);
            at += (size_t)i * f->width;
            assert_true(at + f->width <= r->saved.len);
            le_put(r->saved.data + at, f->width, val);
            return;
        }
        at += (size_t)f->width * f->count;
    }
    fail_msg("%s has no field %s", r->dev->id, field);
}

void rig_poke(struct rig *r, const char *field, uint64_t val)
{
    rig_poke_at(r, field, 0, val);
}
