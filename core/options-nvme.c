/*
 * -device nvme and nvme-ns: one controller, whose disks are its namespaces. Source: the arguments of xenopsd, whose
 * UEFI guests have "-device nvme,serial=nvme0,id=nvme0,addr=7" and a -device nvme-ns per disk.
 */
#include "options.h"

#include <stdio.h>
#include <string.h>

enum { SERIAL_BYTES = 20 };

static void add(struct options *o, const char *model, unsigned number, const char *drive, const char *id)
{
    if (o->nr_nvmes == CONFIG_MAX_NVME) {
        option_fail(o, "more than %d disks", CONFIG_MAX_NVME);
        return;
    }
    struct options_nvme *nvme = &o->nvmes[o->nr_nvmes++];
    *nvme = (struct options_nvme){ .model = model, .number = number, .drive = drive };
    if (id)
        option_id(o, id, nvme->id);
}

static void check_serial(struct options *o, const char *serial)
{
    if (!serial) {
        option_fail(o, "serial= is missing");
        return;
    }
    bool printable = true;
    for (const char *c = serial; *c; c++)
        printable &= *c >= ' ' && *c <= '~';
    if (!printable || strlen(serial) > SERIAL_BYTES)
        option_fail(o, "serial=%.64s: at most %d printable characters", serial, SERIAL_BYTES);
}

void option_nvme(struct options *o, struct option_list *l)
{
    struct config *config = o->config;
    const char *drive = option_list_text(l, "drive"), *id = option_list_text(l, "id");
    const char *addr = option_list_text(l, "addr");
    uint64_t queues = CONFIG_NVME_QUEUES;
    config->nvme_serial = option_list_text(l, "serial");
    (void)option_list_number(l, "max_ioqpairs", 1, CONFIG_NVME_QUEUES, &queues);
    config->nvme_queues = (unsigned)queues;
    option_list_only(l, "bus", "pci.0");
    option_list_only(l, "use-intel-id", "off");
    option_list_end(l);
    check_serial(o, config->nvme_serial);
    if (config->nvme)
        option_fail(o, "there is an NVMe controller already; it takes more disks by -device nvme-ns");
    config->nvme = true;
    if (id)
        option_id(o, id, o->nvme_id);
    if (addr && option_slot(o, addr, &config->nvme_slot) && config->nvme_slot == 0)
        option_fail(o, "addr=%.64s: the slot is taken", addr);
    if (drive)
        add(o, "nvme", 1, drive, NULL);
}

void option_nvme_ns(struct options *o, struct option_list *l)
{
    const char *drive = option_list_text(l, "drive"), *id = option_list_text(l, "id");
    const char *bus = option_list_text(l, "bus");
    uint64_t number = 0;
    (void)option_list_number(l, "nsid", 1, CONFIG_MAX_NVME, &number);
    option_list_end(l);
    if (!o->config->nvme)
        option_fail(o, "needs an earlier -device nvme");
    if (bus && strcmp(bus, o->nvme_id))
        option_fail(o, "bus=%.64s: no earlier -device nvme has this id", bus);
    if (!drive)
        option_fail(o, "drive= is missing");
    else
        add(o, "nvme-ns", (unsigned)number, drive, id);
}

static void finish_disk(struct options *o, const struct options_nvme *nvme)
{
    struct config_drive *disks = o->config->nvme_disks, d;
    unsigned i = nvme->number > 0 ? nvme->number - 1 : 0;
    option_context(o, "-device %s", nvme->model);
    while (nvme->number == 0 && i < CONFIG_MAX_NVME && disks[i].present)
        i++;
    if (i == CONFIG_MAX_NVME || disks[i].present) {
        option_fail(o, "there is a namespace %u already", i + 1);
        return;
    }
    if (!option_take_drive(o, nvme->drive, false, &d))
        return;
    memcpy(d.qdev_id, nvme->id, sizeof(d.qdev_id));
    disks[i] = d;
}

void option_finish_nvme(struct options *o, unsigned first_slot)
{
    struct config *config = o->config;
    if (!config->nvme)
        return;
    for (unsigned pass = 0; pass < 2; pass++) { /* those without a number get what the others leave */
        for (unsigned i = 0; i < o->nr_nvmes; i++) {
            if ((o->nvmes[i].number == 0) == (pass == 1))
                finish_disk(o, &o->nvmes[i]);
        }
    }
    option_context(o, "-device nvme");
    if (config->nvme_slot == 0)
        config->nvme_slot = first_slot;
    else if (config->nvme_slot < first_slot || config->nvme_slot == config->xen_platform_slot)
        option_fail(o, "addr=%x: the slot is taken", config->nvme_slot);
}
