/*
 * Saving and restoring the board: see machine-state.h. The records of the devices in order of creation, then: where
 * video memory is (64 bits), whether its BAR decodes (8 bits), zeros up to 16; per drive the medium's number in the
 * trace and that of its last request (64 bits each), 0 for none.
 */
#include "machine-state.h"
#include "storage/ide.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
    VRAM_AT = 0,
    VRAM_SHOWN = 8,
    MEDIA = 16,
    MEDIUM_BYTES = 16,
    STATE_BYTES = MEDIA + MACHINE_DRIVES * MEDIUM_BYTES
};

static struct block *medium(const struct machine *m, unsigned drive)
{
    struct ide_drive_info info;
    return machine_drive(m, drive, &info) ? info.block : NULL;
}

bool machine_quiet(const struct machine *m)
{
    bool quiet = true;
    for (const struct device *dev = m->devices.first; dev && quiet; dev = dev->next)
        quiet = !dev->desc->quiet || dev->desc->quiet(dev);
    for (unsigned i = 0; i < MACHINE_DRIVES && quiet; i++)
        quiet = !medium(m, i) || medium(m, i)->in_flight == 0;
    return quiet;
}

int machine_save(struct machine *m, struct snap_buf *out)
{
    uint8_t state[STATE_BYTES] = { 0 };
    int err = 0;
    for (const struct device *dev = m->devices.first; dev && !err; dev = dev->next)
        err = snapshot_save_device(dev, out);
    le64_put(state + VRAM_AT, m->vram_at);
    state[VRAM_SHOWN] = m->vram_shown;
    for (unsigned drive = 0; drive < MACHINE_DRIVES; drive++) {
        const struct block *block = medium(m, drive);
        uint8_t *to = state + MEDIA + (size_t)drive * MEDIUM_BYTES;
        le64_put(to, block ? block->trace_id : 0);
        le64_put(to + 8, block ? block->trace_nr : 0);
    }
    return err ? err : snap_buf_add(out, state, sizeof(state));
}

static int restore_devices(struct machine *m, struct snap_buf *in, char error[CONFIG_ERROR_BYTES])
{
    devices_reset(&m->devices);
    for (struct device *dev = m->devices.first; dev; dev = dev->next) {
        const char *field = NULL;
        int err = snapshot_restore_device(dev, in, &field);
        if (err) {
            snprintf(error, CONFIG_ERROR_BYTES, "the saved state of %s is refused%s%s", dev->id,
                     field ? ", field " : "", field ? field : "");
            return -EINVAL;
        }
    }
    return 0;
}

/* A drive that was emptied is emptied before its own state says what the guest knows of that. */
static int restore_media(struct machine *m, const uint8_t *state, char error[CONFIG_ERROR_BYTES])
{
    for (unsigned drive = 0; drive < MACHINE_DRIVES; drive++) {
        struct ide_drive_info info;
        const struct config_drive *d = machine_drive(m, drive, &info);
        uint64_t id = le64_get(state + MEDIA + (size_t)drive * MEDIUM_BYTES);
        struct block *block = d ? info.block : NULL;
        if (id != 0 && (!block || block->trace_id != id)) {
            snprintf(error, CONFIG_ERROR_BYTES, "the medium of drive %u was changed since the start", drive);
            return -EINVAL;
        }
        if (block && id == 0 && machine_drive_is_removable(m, d) && machine_eject(m, d->id, true, error))
            return -EINVAL;
    }
    return 0;
}

int machine_restore(struct machine *m, struct snap_buf *in, char error[CONFIG_ERROR_BYTES])
{
    const uint8_t *state = in->len >= STATE_BYTES ? in->data + in->len - STATE_BYTES : NULL;
    if (!state || state[VRAM_SHOWN] > 1) {
        snprintf(error, CONFIG_ERROR_BYTES, "the saved state of the board is damaged");
        return -EINVAL;
    }
    int err = restore_media(m, state, error);
    if (!err)
        err = restore_devices(m, in, error);
    if (!err && in->len - in->pos != STATE_BYTES) {
        snprintf(error, CONFIG_ERROR_BYTES, "the saved state is of another board");
        err = -EINVAL;
    }
    if (err)
        return err;
    m->vram_shown = state[VRAM_SHOWN];
    err = machine_vram_restored(m, le64_get(state + VRAM_AT));
    if (err)
        snprintf(error, CONFIG_ERROR_BYTES, "video memory can't be where it was saved");
    for (unsigned drive = 0; drive < MACHINE_DRIVES; drive++) {
        struct block *block = medium(m, drive);
        if (block)
            block->trace_nr = (uint32_t)le64_get(state + MEDIA + (size_t)drive * MEDIUM_BYTES + 8);
    }
    return err;
}
