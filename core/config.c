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

static int check_drives(const struct config *config, char error[CONFIG_ERROR_BYTES])
{
    for (unsigned i = 0; i < CONFIG_MAX_IDE; i++) {
        const struct config_drive *d = &config->ide[i];
        if (!d->present)
            continue;
        if (!d->cdrom && !d->path)
            return bad(error, "-drive %s: a disk needs a file; only CD drives can be empty", d->id);
        if (d->path && !strcmp(d->path, CONFIG_NULL_DISK) && !config->qtest)
            return bad(error, "-drive %s: " CONFIG_NULL_DISK " is for qtest clients only", d->id);
        if (!d->cdrom && d->read_only)
            return bad(error, "-drive %s: IDE disks can't be read-only; only CD drives are", d->id);
        for (unsigned j = 0; j < i; j++)
            if (config->ide[j].present && !strcmp(config->ide[j].id, d->id))
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
    if (config->machine == MACHINE_XENPV && (config->ide[0].present || config->ide[1].present || config->ide[2].present ||
                                             config->ide[3].present || config->vga != VGA_NONE))
        return bad(error, "-machine xenpv: has no emulated devices, but -drive or -device gives one");
    if (config->machine == MACHINE_XENPV && config->domid_restrict)
        return bad(error, "-xen-domid-restrict: PV back ends need xenstore and grants, which it takes away");
    if (config->vcpus > config->max_vcpus)
        return bad(error, "-smp: %u CPUs are more than maxcpus=%u", config->vcpus, config->max_vcpus);
    return check_drives(config, error);
}
