/*
 * What a test does to its device, as text: seeds for the fuzz targets (docs/fuzzing.md). The words are those of the
 * qtest protocol where it has one. What a test changes behind the rig's back, RAM and the disks' switches, is noticed
 * at the next access.
 */
#include "rig-private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A loop over everything says nothing new after a while. */
enum { MAX_LINES = 1500, PIECE = 16, MAX_PIECES = 64 };

void rig_record_start(struct rig *r)
{
    static unsigned count; /* of this process */
    char path[512];
    const char *prefix = getenv("RIG_RECORD");
    if (!prefix)
        return;
    (void)snprintf(path, sizeof(path), "%s%03u.txt", prefix, count++);
    r->record = fopen(path, "w");
    r->shadow = calloc(1, RIG_HOLE);
    assert_non_null(r->record);
    assert_non_null(r->shadow);
}

void rig_record_stop(struct rig *r)
{
    if (r->record)
        assert_int_equal(fclose(r->record), 0);
    r->record = NULL;
    free(r->shadow);
    r->shadow = NULL;
}

void rig_record_bytes(struct rig *r, const char *head, const uint8_t *bytes, size_t len)
{
    if (!r->record)
        return;
    (void)fprintf(r->record, "%s 0x", head);
    for (size_t i = 0; i < len; i++)
        (void)fprintf(r->record, "%02x", bytes[i]);
    (void)fputc('\n', r->record);
}

static void record_ram(struct rig *r)
{
    unsigned pieces = 0;
    if (memcmp(r->ram, r->shadow, RIG_HOLE) == 0)
        return;
    for (size_t at = 0; at < RIG_HOLE && pieces < MAX_PIECES; at += PIECE) {
        if (memcmp(r->ram + at, r->shadow + at, PIECE) == 0)
            continue;
        char head[32];
        (void)snprintf(head, sizeof(head), "write 0x%zx %u", at, (unsigned)PIECE);
        rig_record_bytes(r, head, r->ram + at, PIECE);
        pieces++;
    }
    memcpy(r->shadow, r->ram, RIG_HOLE);
}

/* The fuzzed board has one switch for all its disks. */
static void record_disks(struct rig *r)
{
    bool hold = false;
    int fail = 0;
    unsigned op = 0;
    for (unsigned i = 0; i < RIG_DISKS; i++) {
        const struct rig_disk *disk = r->disks[i];
        if (!disk)
            continue;
        hold |= disk->hold;
        if (disk->fail) {
            fail = -disk->fail;
            op = disk->fail_op;
        }
    }
    if (hold != r->recorded_hold)
        (void)fprintf(r->record, hold ? "hold\n" : "release\n");
    if (fail != r->recorded_fail)
        (void)fprintf(r->record, "fail %d %u\n", fail, op);
    r->recorded_hold = hold;
    r->recorded_fail = fail;
}

void rig_note(struct rig *r, const char *format, ...)
{
    va_list args;
    if (!r->record)
        return;
    if (++r->recorded_lines > MAX_LINES) {
        rig_record_stop(r);
        return;
    }
    record_ram(r);
    record_disks(r);
    va_start(args, format);
    (void)vfprintf(r->record, format, args);
    va_end(args);
    (void)fputc('\n', r->record);
}
