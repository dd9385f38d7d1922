/* The defaults of a configuration, and the rules that no single option can check. */
#include <thindm/config.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void config_init(struct config *config)
{
    *config = (struct config){
        .domid = -1,
        .machine = MACHINE_XENFV,
        .log_level = LOG_INFO,
        .ram_bytes = 128 * MIB,
        .max_ram_below_4g = CONFIG_MAX_BELOW_4G,
        .vcpus = 1,
        .max_vcpus = 1,
        .boot_order = "cad",
        .vga_bytes = 16 * MIB,
        .flight_bytes = 64 * KIB,
        .nvme_queues = CONFIG_NVME_QUEUES,
    };
}

void config_free(struct config *config)
{
    free(config->strings);
    config->strings = NULL;
}

static int bad(char error[CONFIG_ERROR_BYTES], const char *format, ...) PRINTF_LIKE(2, 3);

static int bad(char error[CONFIG_ERROR_BYTES], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(error, CONFIG_ERROR_BYTES, format, args);
    va_end(args);
    return -EINVAL;
}

enum { FIRST_NVME = CONFIG_MAX_IDE + CONFIG_MAX_AHCI, FIRST_FLOPPY = FIRST_NVME + CONFIG_MAX_NVME };
enum { NR_DRIVES = FIRST_FLOPPY + CONFIG_MAX_FLOPPIES };

/* Drive i of all that a board can have: IDE, AHCI, NVMe, floppies. NULL: it isn't there. */
static const struct config_drive *drive_at(const struct config *config, unsigned i)
{
    const struct config_drive *d;
    if (i >= FIRST_FLOPPY)
        d = &config->floppies[i - FIRST_FLOPPY];
    else if (i >= FIRST_NVME)
        d = &config->nvme_disks[i - FIRST_NVME];
    else if (i >= CONFIG_MAX_IDE)
        d = &config->ahci_ports[i - CONFIG_MAX_IDE];
    else
        d = &config->ide[i];
    return d->present ? d : NULL;
}

static bool has_emulated(const struct config *config)
{
    bool any = config->vga != VGA_NONE || config->ahci || config->nvme;
    for (unsigned i = 0; i < NR_DRIVES; i++)
        any |= drive_at(config, i) != NULL;
    return any;
}

static int check_drives(const struct config *config, char error[CONFIG_ERROR_BYTES])
{
    for (unsigned i = 0; i < NR_DRIVES; i++) {
        const struct config_drive *d = drive_at(config, i);
        if (!d)
            continue;
        if (!d->cdrom && !d->path && i < FIRST_FLOPPY)
            return bad(error, "-drive %s: a disk needs a file; only CD and floppy drives can be empty", d->id);
        if (d->path && !strcmp(d->path, CONFIG_NULL_DISK) && !config->qtest)
            return bad(error, "-drive %s: " CONFIG_NULL_DISK " is for qtest clients only", d->id);
        if (!d->cdrom && d->read_only && i < CONFIG_MAX_IDE)
            return bad(error, "-drive %s: IDE disks can't be read-only; only CD drives are", d->id);
        for (unsigned j = 0; j < i; j++)
            if (drive_at(config, j) && !strcmp(drive_at(config, j)->id, d->id))
                return bad(error, "-drive %s: two drives have this id", d->id);
    }
    return 0;
}

int config_check(const struct config *config, char error[CONFIG_ERROR_BYTES])
{
    if (config->qtest && config->domid >= 0)
        return bad(error, "-xen-domid: a qtest client drives a domain of its own");
    if (config->qtest && config->domid_restrict)
        return bad(error, "-xen-domid-restrict: there is no Xen under a qtest client");
    if (config->platform && !config->qtest)
        return bad(error, "-machine platform=on: a Xen guest has its interrupt controllers and timers from Xen");
    if (config->qtest_log && !config->qtest)
        return bad(error, "-qtest-log: needs -qtest or -accel qtest");
    if (config->machine == MACHINE_NONE) {
        /* Nothing but monitors: the rest of the configuration would silently have no effect. */
        if (config->domid >= 0)
            return bad(error, "-machine none: can't serve a domain, but -xen-domid is given");
        return 0;
    }
    if (config->domid < 0 && !config->qtest)
        return bad(error, "-xen-domid: missing; thindm needs the domain to serve");
    if (config->xen_attach && config->machine != MACHINE_XENPV)
        return bad(error, "-xen-attach: only with -machine xenpv");
    if (config->machine == MACHINE_XENPV && config->qtest)
        return bad(error, "-machine xenpv: there is no Xen under a qtest client");
    if (config->machine == MACHINE_XENPV && has_emulated(config))
        return bad(error, "-machine xenpv: has no emulated devices, but -drive or -device gives one");
    if (config->machine == MACHINE_XENPV && config->domid_restrict)
        return bad(error, "-xen-domid-restrict: PV back ends need xenstore and grants, which it takes away");
    if (config->vcpus > config->max_vcpus)
        return bad(error, "-smp: %u CPUs are more than maxcpus=%u", config->vcpus, config->max_vcpus);
    return check_drives(config, error);
}
