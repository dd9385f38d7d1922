/* The list of targets. */
#include "fuzz.h"

#include <string.h>

static const struct fuzz_target others[] = {
    { .name = "machine", .run = fuzz_machine_run, .finish = fuzz_machine_finish, .part = &fuzz_machine_part },
    { .name = "platform", .run = fuzz_machine_run, .finish = fuzz_machine_finish, .part = &fuzz_platform_part },
    { .name = "create", .run = fuzz_create_run },
    { .name = "trace", .run = fuzz_trace_run, .finish = fuzz_trace_finish },
    { .name = "options", .run = fuzz_options_run },
    { .name = "json", .run = fuzz_json_run },
    { .name = "qmp", .run = fuzz_qmp_run },
    { .name = "qtest", .run = fuzz_qtest_run },
    { .name = "blkfront", .run = fuzz_blkfront_run },
    { .name = "vchan", .run = fuzz_vchan_run },
    { .name = "store", .run = fuzz_store_run },
    { .name = "nbd-address", .run = fuzz_nbd_address_run },
    { .name = "pv-disk", .run = fuzz_pv_disk_run, .finish = fuzz_pv_disk_finish },
    { .name = "pv-console", .run = fuzz_pv_console_run, .finish = fuzz_pv_console_finish },
};

static const struct fuzz_part *part_at(unsigned n)
{
    if (n < fuzz_nr_parts)
        return &fuzz_parts[n];
    n -= fuzz_nr_parts;
    if (n < fuzz_nr_storage_parts)
        return &fuzz_storage_parts[n];
    n -= fuzz_nr_storage_parts;
    return n < fuzz_nr_legacy_parts ? &fuzz_legacy_parts[n] : NULL;
}

const struct fuzz_target *fuzz_target_at(unsigned n)
{
    static struct fuzz_target device; /* the one that a process has */
    if (n < ARRAY_SIZE(others))
        return &others[n];
    const struct fuzz_part *part = part_at(n - (unsigned)ARRAY_SIZE(others));
    if (!part)
        return NULL;
    device = (struct fuzz_target){ .name = part->name, .run = fuzz_device_run, .finish = fuzz_device_finish, .part = part };
    return &device;
}

const struct fuzz_target *fuzz_target_find(const char *name)
{
    const struct fuzz_target *target;
    for (unsigned n = 0; (target = fuzz_target_at(n)); n++) {
        if (!strcmp(target->name, name))
            return target;
    }
    return NULL;
}
