/* Options of the board as a whole: its type, memory, CPUs, start; and what surrounds it. */
#include "options.h"

#include <string.h>

void option_domid(struct options *o, const struct option_row *row, const char *value)
{
    uint64_t domid;
    if (!option_number(value, &domid) || domid < 1 || domid > CONFIG_MAX_DOMID)
        option_fail(o, "'%.64s' is not a domain id from 1 to %d", value, CONFIG_MAX_DOMID);
    else
        o->config->domid = (int)domid;
}

void option_name(struct options *o, const struct option_row *row, const char *value)
{
    struct option_list l;
    option_list(&l, o, value, "guest");
    const char *name = option_list_text(&l, "guest");
    option_list_only(&l, "process", "*");
    option_list_only(&l, "debug-threads", "on|off");
    option_list_end(&l);
    if (name)
        o->config->name = name;
}

static void memory_limit(struct options *o, const char *text)
{
    uint64_t limit;
    if (!option_size(text, 1, &limit))
        option_fail(o, "max-ram-below-4g=%.64s is not a size", text);
    else if (limit < MIB || limit > 4 * GIB || limit % PAGE_BYTES)
        option_fail(o, "max-ram-below-4g=%.64s is not a number of pages from 1 MiB to 4 GiB", text);
    else /* above it are the devices of every board */
        o->config->max_ram_below_4g = min_u64(limit, CONFIG_MAX_BELOW_4G);
}

void option_machine(struct options *o, const struct option_row *row, const char *value)
{
    struct option_list l;
    option_list(&l, o, value, "type");
    const char *type = option_list_text(&l, "type"), *accel = option_list_text(&l, "accel");
    const char *limit = option_list_text(&l, "max-ram-below-4g");
    if (type)
        o->machine_type = type;
    if (accel)
        o->accel = accel;
    if (limit)
        memory_limit(o, limit);
    o->config->no_acpi = !option_list_bool(&l, "acpi", !o->config->no_acpi);
    const char *platform = option_list_text(&l, "platform");
    if (platform) {
        o->platform = option_list_bool(&l, "platform", false);
        o->platform_given = true;
    }
    /* The format of saved states, and what xenopsd says for the sake of guests of very old hosts. */
    option_list_only(&l, "suppress-vmdesc", "on|off");
    option_list_only(&l, "allow-unassigned", "on|off|true|false");
    option_list_only(&l, "trad_compat", "on|off|true|false");
    option_list_only(&l, "dump-guest-core", "on|off");
    option_list_only(&l, "mem-merge", "on|off");
    option_list_only(&l, "usb", "off");
    option_list_only(&l, "igd-passthru", "off");
    option_list_end(&l);
}

void option_accel(struct options *o, const struct option_row *row, const char *value)
{
    if (!option_word("xen|qtest", value))
        option_fail(o, "'%.64s' is not supported; thindm serves Xen guests only", value);
    o->accel = value;
}

static bool starts_with(const char *text, const char *start)
{
    return !strncmp(text, start, strlen(start));
}

void option_finish_machine(struct options *o)
{
    bool qtest = o->accel ? !strcmp(o->accel, "qtest") : o->config->qtest_served;
    const char *type = o->machine_type ? o->machine_type : qtest ? "pc" : "xenfv";
    bool pc = !strcmp(type, "pc") || starts_with(type, "pc-i440fx-") || starts_with(type, "pc-0.") ||
              starts_with(type, "pc-1.");
    option_context(o, "-machine %.32s", type);
    if (!strcmp(type, "xenfv") || starts_with(type, "xenfv-"))
        o->config->machine = MACHINE_XENFV;
    else if (pc)
        o->config->machine = MACHINE_PC_XEN;
    else if (!strcmp(type, "none"))
        o->config->machine = MACHINE_NONE;
    else if (!strcmp(type, "xenpv"))
        o->config->machine = MACHINE_XENPV;
    else
        option_fail(o, "unknown machine; there are xenfv, pc, xenpv and none");
    if (o->accel && !option_word("xen|qtest", o->accel))
        option_fail(o, "accel=%.64s is not supported; thindm serves Xen guests only", o->accel);
    if (pc && !o->accel && !qtest)
        option_fail(o, "needs accel=xen");
    if (o->config->qtest_served && !qtest)
        option_fail(o, "accel=xen has no use for -qtest");
    /* Test clients know the PC as a whole; a Xen guest's hypervisor has what this leaves out. */
    o->config->qtest = qtest;
    o->config->platform = o->platform_given ? o->platform : qtest && pc;
}

void option_m(struct options *o, const struct option_row *row, const char *value)
{
    struct option_list l;
    uint64_t bytes;
    option_list(&l, o, value, "size");
    const char *size = option_list_text(&l, "size");
    option_list_end(&l);
    if (!size || !option_size(size, MIB, &bytes))
        option_fail(o, "'%.64s' is not a size", size ? size : value);
    else if (bytes < MIB || bytes > 1024 * 1024 * MIB * 16 || bytes % PAGE_BYTES)
        option_fail(o, "'%.64s' is not a number of pages from 1 MiB to 16 TiB", size);
    else
        o->config->ram_bytes = bytes;
}

void option_smp(struct options *o, const struct option_row *row, const char *value)
{
    struct option_list l;
    uint64_t cpus = 0, max = 0;
    option_list(&l, o, value, "cpus");
    option_list_number(&l, "cpus", 1, CONFIG_MAX_VCPUS, &cpus);
    option_list_number(&l, "maxcpus", 1, CONFIG_MAX_VCPUS, &max);
    option_list_end(&l);
    if (!cpus && !max)
        option_fail(o, "neither cpus= nor maxcpus= is given");
    /* One that is not given equals the other. */
    o->config->vcpus = (unsigned)(cpus ? cpus : max);
    o->config->max_vcpus = (unsigned)(max ? max : cpus);
}

void option_boot(struct options *o, const struct option_row *row, const char *value)
{
    struct option_list l;
    option_list(&l, o, value, "order");
    const char *order = option_list_text(&l, "order");
    option_list_only(&l, "menu", "off");
    option_list_only(&l, "strict", "off");
    option_list_end(&l);
    if (!order)
        return;
    size_t len = strlen(order);
    if (len >= sizeof(o->config->boot_order)) { /* CMOS has three places */
        option_fail(o, "order=%.64s has more than three letters", order);
        return;
    }
    for (const char *c = order; *c; c++) {
        if (!strchr("acdn", *c))
            option_fail(o, "order=%s: '%c' is not one of a, c, d, n", order, *c);
        if (strchr(c + 1, *c))
            option_fail(o, "order=%s: '%c' is there twice", order, *c);
    }
    memcpy(o->config->boot_order, order, len + 1);
}

void option_run_with(struct options *o, const struct option_row *row, const char *value)
{
    struct option_list l;
    option_list(&l, o, value, NULL);
    const char *dir = option_list_text(&l, "chroot"), *user = option_list_text(&l, "user");
    option_list_only(&l, "async-teardown", "off");
    option_list_end(&l);
    if ((dir && !*dir) || (user && !*user))
        option_fail(o, "empty value");
    if (dir)
        o->config->chroot_dir = dir;
    if (user)
        o->config->runas = user;
}

void option_log_items(struct options *o, const struct option_row *row, const char *value)
{
    static const struct {
        const char *name;
        enum log_level level;
    } levels[] = {
        { "error", LOG_ERROR }, { "warn", LOG_WARN }, { "info", LOG_INFO },
        { "debug", LOG_DEBUG }, { "all", LOG_DEBUG },
    };
    struct option_list l;
    option_list(&l, o, value, NULL);
    for (unsigned i = 0; i < l.nr; i++) {
        const char *item = l.items[i].key;
        /* What these ask for is always logged, or has its own file. */
        bool known =
            l.items[i].value == NULL && (option_word("guest_errors|unimp", item) || starts_with(item, "trace:"));
        for (size_t n = 0; n < ARRAY_SIZE(levels) && !l.items[i].value; n++) {
            if (strcmp(levels[n].name, item))
                continue;
            o->config->log_level = levels[n].level;
            known = true;
        }
        if (!known)
            option_fail(o, "unknown item '%.64s'", item);
    }
}

void option_sandbox(struct options *o, const struct option_row *row, const char *value)
{
    struct option_list l;
    option_list(&l, o, value, "enable");
    o->config->sandbox = option_list_bool(&l, "enable", o->config->sandbox);
    /* The allow-list has nothing that these could forbid, or would have to allow. */
    option_list_only(&l, "obsolete", "allow|deny");
    option_list_only(&l, "elevateprivileges", "allow|deny|children");
    option_list_only(&l, "spawn", "allow|deny");
    option_list_only(&l, "resourcecontrol", "allow|deny");
    option_list_end(&l);
}

void option_flight_recorder(struct options *o, const struct option_row *row, const char *value)
{
    struct option_list l;
    option_list(&l, o, value, "size");
    const char *size = option_list_text(&l, "size");
    if (size && !strcmp(size, "off"))
        o->config->flight_bytes = 0;
    else if (size && (!option_size(size, 1, &o->config->flight_bytes) || o->config->flight_bytes < CONFIG_MIN_FLIGHT ||
                      o->config->flight_bytes > GIB))
        option_fail(o, "size=%.32s: off, or 8k to 1g", size);
    o->config->flight_file = option_list_text(&l, "file");
    option_list_end(&l);
}

void option_trace(struct options *o, const struct option_row *row, const char *value)
{
    struct option_list l;
    option_list(&l, o, value, "enable");
    option_list_only(&l, "enable", "*");
    option_list_only(&l, "file", "*");
    option_list_only(&l, "events", "*");
    option_list_end(&l);
}

void option_display(struct options *o, const struct option_row *row, const char *value)
{
    if (strcmp(value, "none"))
        option_fail(o, "'%.64s' is not supported; there is no local display", value);
}

void option_vnc(struct options *o, const struct option_row *row, const char *value)
{
    if (strcmp(value, "none"))
        option_fail(o, "'%.64s': there is no remote display yet, only -vnc none", value);
}

void option_net(struct options *o, const struct option_row *row, const char *value)
{
    if (strcmp(value, "none"))
        option_fail(o, "'%.64s': network cards are not emulated yet, only -%s none", value, row->name);
}
