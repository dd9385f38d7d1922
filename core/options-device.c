/* -drive and -device: disks, CDs, floppies, the VGA card, and by name all that thindm does not emulate. */
#include "options.h"

#include <stdio.h>
#include <string.h>

/* Models without a device of their own here. A word list per reason, so that each is refused by its own name. */
static const struct {
    const char *models, *why;
} refused[] = {
    { "rtl8139|e1000|e1000-82540em|e1000e|virtio-net|virtio-net-pci|ne2k_pci|ne2k_isa|pcnet|vmxnet3|i82551|i82557b|"
      "i82559er|igb|tulip",
      "network cards are not emulated yet" },
    { "cirrus-vga|isa-cirrus-vga", "the Cirrus card is not emulated yet; there is VGA" },
    { "qxl|qxl-vga|usb-redir", "SPICE is not supported" },
    { "bochs-display|virtio-vga|virtio-gpu-pci|secondary-vga|isa-vga|ati-vga|vmware-svga",
      "this display card is not emulated; there is VGA" },
    { "piix3-usb-uhci|piix4-usb-uhci|ich9-usb-ehci1|ich9-usb-uhci1|ich9-usb-uhci2|ich9-usb-uhci3|usb-ehci|nec-usb-xhci|"
      "qemu-xhci|pci-ohci|usb-tablet|usb-mouse|usb-kbd|usb-hub|usb-host|usb-storage|usb-wacom-tablet",
      "USB is not emulated yet" },
    { "intel-hda|ich9-intel-hda|hda-duplex|hda-micro|hda-output|ac97|AC97|es1370|ES1370|sb16|adlib|cs4231a|gus",
      "sound is not emulated yet" },
    { "lsi|lsi53c895a|lsi53c810|scsi-hd|scsi-cd|scsi-disk|scsi-generic|megasas|mptsas1068|pvscsi|virtio-scsi-pci",
      "there is no SCSI host adapter; use IDE (vdev=hda), AHCI (hdtype=\"ahci\"), NVMe or PV disks (vdev=xvda)" },
    { "virtio-blk-pci|virtio-serial|virtio-serial-pci|virtserialport|virtconsole|virtio-rng-pci|virtio-balloon-pci",
      "virtio devices are not emulated yet" },
    { "xen-pvdevice", "the Xen PV device is not emulated yet" },
    { "xen-pci-passthrough|vfio-pci", "PCI pass-through is not supported" },
    { "isa-debugcon", "the debug console is not there yet" },
    { "tpm-crb|tpm-tis", "TPMs are not emulated" },
    { "isa-fdc", "the floppy controller is part of the machine" },
};

static const struct {
    const char *name;
    enum block_cache cache;
} caches[] = {
    { "writeback", BLOCK_WRITEBACK },
    { "writethrough", BLOCK_WRITETHROUGH },
    { "none", BLOCK_NONE },
    { "off", BLOCK_NONE },
    { "directsync", BLOCK_DIRECTSYNC },
    { "unsafe", BLOCK_UNSAFE },
};

static void drive_cache(struct options *o, const char *text, struct config_drive *d)
{
    for (size_t i = 0; i < ARRAY_SIZE(caches); i++) {
        if (!strcmp(caches[i].name, text)) {
            d->cache = caches[i].cache;
            return;
        }
    }
    option_fail(o, "cache=%.64s is not supported", text);
}

/* How images are named: QEMU's words, of which libxl gives raw, qcow2, qcow, vpc and qed. */
#define RAW_FORMATS    "raw|host_device|host_cdrom|file"
#define HELPED_FORMATS "qcow2|qcow|vpc|vhdx|vmdk|vdi|qed"

static void drive_format(struct options *o, const char *format, struct config_drive *d)
{
    if (option_word(HELPED_FORMATS, format))
        d->format = format;
    else if (!option_word(RAW_FORMATS, format))
        option_fail(o, "format=%.64s is not supported; there are raw, qcow2, qcow, vpc, vhdx, vmdk, vdi and qed",
                    format);
}

static bool starts_with(const char *text, const char *start)
{
    return !strncmp(text, start, strlen(start));
}

static void drive_file(struct options *o, struct option_list *l, struct config_drive *d)
{
    const char *file = option_list_text(l, "file"), *format = option_list_text(l, "format");
    if (format)
        drive_format(o, format, d);
    if (!file || !*file)
        return;
    bool nbd = starts_with(file, "nbd:") || starts_with(file, "nbd+unix:");
    /* rbd:..., json:{...}: a colon before the first slash. Test clients have the disk of zeros. */
    if (!nbd && strcmp(file, CONFIG_NULL_DISK) && file[strcspn(file, ":/")] == ':')
        option_fail(o, "file=%.64s: only local files, devices and nbd: can be opened", file);
    else if (nbd && d->format)
        option_fail(o, "file=%.64s: an NBD server gives raw sectors; format=%s is not for it", file, d->format);
    d->path = file;
}

static enum block_action drive_action(struct options *o, const char *key, const char *text, const char *known)
{
    static const char *const names[] = {
        [BLOCK_REPORT] = "report", [BLOCK_IGNORE] = "ignore", [BLOCK_STOP] = "stop", [BLOCK_ENOSPC] = "enospc"
    };
    for (unsigned i = 0; text && option_word(known, text) && i < ARRAY_SIZE(names); i++)
        if (!strcmp(names[i], text))
            return (enum block_action)i;
    if (text)
        option_fail(o, "%s=%.64s is not supported", key, text);
    return BLOCK_REPORT;
}

/* What both kinds of -drive have. */
static void drive_keys(struct options *o, struct option_list *l, struct config_drive *d)
{
    const char *cache = option_list_text(l, "cache"), *discard = option_list_text(l, "discard");
    const char *id = option_list_text(l, "id");
    d->present = true;
    drive_file(o, l, d);
    if (id)
        option_id(o, id, d->id);
    if (cache)
        drive_cache(o, cache, d);
    if (discard && !option_word("ignore|off|unmap|on", discard))
        option_fail(o, "discard=%.64s is not supported", discard);
    d->discard = discard && option_word("unmap|on", discard);
    bool read_only = option_list_bool(l, "readonly", false);
    d->read_only = option_list_bool(l, "read-only", read_only) || d->cdrom;
    option_list_only(l, "auto-read-only", "on|off");
    option_list_only(l, "aio", "threads|native|io_uring");
    d->write_error = drive_action(o, "werror", option_list_text(l, "werror"), "report|ignore|stop|enospc");
    d->read_error = drive_action(o, "rerror", option_list_text(l, "rerror"), "report|ignore|stop");
    option_list_only(l, "detect-zeroes", "off");
    option_list_only(l, "snapshot", "off");
    option_list_end(l);
}

static void name_drive(struct config_drive *d, unsigned index, bool ahci)
{
    if (!*d->id && ahci)
        snprintf(d->id, sizeof(d->id), "ahci0-%s%u", d->cdrom ? "cd" : "hd", index % CONFIG_MAX_AHCI);
    if (!*d->id)
        snprintf(d->id, sizeof(d->id), "ide%u-%s%u", index / 2 % 2, d->cdrom ? "cd" : "hd", index % 2);
}

static void add_ide(struct options *o, const struct config_drive *d, unsigned index)
{
    if (o->config->ide[index].present)
        option_fail(o, "bus ide.%u unit %u has a drive already", index / 2, index % 2);
    else
        o->config->ide[index] = *d;
}

static void add_ahci(struct options *o, const struct config_drive *d, unsigned port)
{
    if (o->config->ahci_ports[port].present)
        option_fail(o, "bus %s.%u has a drive already", o->ahci_id, port);
    else
        o->config->ahci_ports[port] = *d;
}

static void add_floppy(struct options *o, struct config_drive *d, unsigned unit)
{
    if (!*d->id)
        snprintf(d->id, sizeof(d->id), "floppy%u", unit);
    if (unit == CONFIG_MAX_FLOPPIES)
        option_fail(o, "more than %d floppy drives", CONFIG_MAX_FLOPPIES);
    else if (o->config->floppies[unit].present)
        option_fail(o, "floppy unit %u has a drive already", unit);
    else
        o->config->floppies[unit] = *d;
}

static unsigned free_floppy(const struct options *o)
{
    unsigned unit = 0;
    while (unit < CONFIG_MAX_FLOPPIES && o->config->floppies[unit].present)
        unit++;
    return unit;
}

void option_floppy(struct options *o, const struct option_row *row, const char *value)
{
    struct config_drive d = { .present = true, .cache = BLOCK_WRITEBACK, .path = value };
    if (!*value)
        option_fail(o, "empty value");
    add_floppy(o, &d, strcmp(row->name, "fdb") ? 0 : 1);
}

static void add_pending(struct options *o, const struct config_drive *d, bool cdrom)
{
    if (!*d->id) {
        option_fail(o, "if=none needs id=");
        return;
    }
    for (unsigned i = 0; i < o->nr_drives; i++)
        if (!strcmp(o->drives[i].drive.id, d->id))
            option_fail(o, "id '%s' is there twice", d->id);
    if (o->nr_drives == OPTIONS_MAX_DRIVES)
        option_fail(o, "more than %d drives", OPTIONS_MAX_DRIVES);
    else
        o->drives[o->nr_drives++] = (struct options_drive){ .drive = *d, .cdrom = cdrom };
}

void option_drive(struct options *o, const struct option_row *row, const char *value)
{
    struct option_list l;
    struct config_drive d = { .cache = BLOCK_WRITEBACK };
    uint64_t index = 0;
    option_list(&l, o, value, "file");
    const char *where = option_list_text(&l, "if"), *media = option_list_text(&l, "media");
    if (media && !option_word("disk|cdrom", media))
        option_fail(o, "media=%.64s is not supported", media);
    bool cdrom = media && !strcmp(media, "cdrom");
    if (where && !option_word("ide|floppy|none", where)) {
        option_fail(o, "if=%.64s: only ide, floppy and none are emulated", where);
        return;
    }
    bool ide = !where || !strcmp(where, "ide"), floppy = where && !strcmp(where, "floppy");
    d.cdrom = ide && cdrom;
    if (floppy && cdrom)
        option_fail(o, "media=cdrom is not for a floppy");
    bool indexed = (ide || floppy) &&
                   option_list_number(&l, "index", 0, (ide ? CONFIG_MAX_IDE : CONFIG_MAX_FLOPPIES) - 1, &index);
    drive_keys(o, &l, &d);
    if (o->err)
        return;
    if (floppy) {
        add_floppy(o, &d, indexed ? (unsigned)index : free_floppy(o));
        return;
    }
    if (!ide) {
        add_pending(o, &d, cdrom);
        return;
    }
    while (!indexed && index < CONFIG_MAX_IDE - 1 && o->config->ide[index].present)
        index++;
    name_drive(&d, (unsigned)index, false);
    add_ide(o, &d, (unsigned)index);
}

/* bus=ID.PORT of the AHCI controller that was named before. */
static bool ahci_port(const struct options *o, const char *bus, unsigned *port)
{
    size_t len = strlen(o->ahci_id);
    if (!o->config->ahci || len == 0 || strncmp(bus, o->ahci_id, len) != 0 || bus[len] != '.')
        return false;
    *port = (unsigned)(bus[len + 1] - '0');
    return *port < CONFIG_MAX_AHCI && !bus[len + 2];
}

static void device_ide(struct options *o, struct option_list *l, bool cdrom)
{
    struct options_ide ide = { .cdrom = cdrom };
    uint64_t unit = 0;
    const char *bus = option_list_text(l, "bus"), *id = option_list_text(l, "id");
    ide.drive = option_list_text(l, "drive");
    ide.ahci = bus && ahci_port(o, bus, &ide.index);
    if (!ide.ahci && (!bus || !option_word("ide.0|ide.1", bus)))
        option_fail(o, "bus=%.64s: needs ide.0, ide.1 or a port of an earlier -device ahci", bus ? bus : "");
    if (!option_list_number(l, "unit", 0, ide.ahci ? 0 : 1, &unit) && !ide.ahci)
        option_fail(o, "needs unit=0 or unit=1");
    option_list_only(l, "bios-chs-trans", "auto");
    option_list_end(l);
    if (id)
        option_id(o, id, ide.id);
    if (!o->err && o->nr_ides == ARRAY_SIZE(o->ides))
        option_fail(o, "more than %zu drives", ARRAY_SIZE(o->ides));
    if (o->err)
        return;
    if (!ide.ahci)
        ide.index = (unsigned)((!strcmp(bus, "ide.1") ? 2 : 0) + unit);
    o->ides[o->nr_ides++] = ide;
}

static void device_floppy(struct options *o, struct option_list *l)
{
    struct options_floppy floppy = { .drive = option_list_text(l, "drive"), .unit = CONFIG_MAX_FLOPPIES };
    const char *id = option_list_text(l, "id");
    (void)option_list_number(l, "unit", 0, CONFIG_MAX_FLOPPIES - 1, &floppy.unit);
    option_list_only(l, "bus", "floppy-bus.0");
    option_list_only(l, "drive-type", "auto");
    option_list_end(l);
    if (id)
        option_id(o, id, floppy.id);
    if (o->nr_floppies == CONFIG_MAX_FLOPPIES)
        option_fail(o, "more than %d floppy drives", CONFIG_MAX_FLOPPIES);
    else
        o->floppies[o->nr_floppies++] = floppy;
}

/* One controller, which takes the slot behind the VGA card's. */
static void device_ahci(struct options *o, struct option_list *l)
{
    const char *id = option_list_text(l, "id");
    option_list_only(l, "bus", "pci.0");
    option_list_end(l);
    if (id)
        option_id(o, id, o->ahci_id);
    if (o->config->ahci)
        option_fail(o, "there is an AHCI controller already");
    o->config->ahci = true;
}

/* What is put into a slot has function 0 only. */
bool option_slot(struct options *o, const char *text, unsigned *out)
{
    char slot[8], hex[10];
    uint64_t number;
    size_t len = strcspn(text, ".");
    bool function_0 = !text[len] || !strcmp(text + len, ".0") || !strcmp(text + len, ".0x0");
    snprintf(slot, sizeof(slot), "%.*s", len < sizeof(slot) ? (int)len : (int)sizeof(slot), text);
    bool prefixed = slot[0] == '0' && (slot[1] == 'x' || slot[1] == 'X');
    snprintf(hex, sizeof(hex), "0x%s", slot + (prefixed ? 2 : 0));
    if (!function_0 || !option_number(hex, &number) || number > 31) {
        option_fail(o, "addr=%.64s is not the address of a slot", text);
        return false;
    }
    *out = (unsigned)number;
    return true;
}

/* A register of the device that can't be another; what toolstacks say of it must be what it is. */
static void option_list_fixed(struct option_list *l, const char *key, uint64_t value)
{
    uint64_t number;
    const char *text = option_list_text(l, key);
    if (text && (!option_number(text, &number) || number != value))
        option_fail(l->o, "%s=%.64s: can't be changed from 0x%llx", key, text, (unsigned long long)value);
}

/* xenfv has it anyway; the pc that xenopsd asks for has it where that puts it. */
static void device_xen_platform(struct options *o, struct option_list *l)
{
    char unused[OPTIONS_ID_BYTES];
    const char *addr = option_list_text(l, "addr"), *id = option_list_text(l, "id");
    option_list_fixed(l, "device-id", 0x0001);
    option_list_fixed(l, "revision", 1);
    option_list_fixed(l, "class-id", 0xff80);
    option_list_fixed(l, "subvendor_id", 0x5853);
    option_list_fixed(l, "subsystem_id", 0x0001);
    option_list_only(l, "bus", "pci.0");
    option_list_end(l);
    if (id)
        option_id(o, id, unused);
    if (o->xen_platform_given)
        option_fail(o, "there is one already");
    if (!addr)
        option_fail(o, "needs addr=");
    else
        o->xen_platform_given = option_slot(o, addr, &o->xen_platform_slot);
}

static void device_vga(struct options *o, struct option_list *l)
{
    struct config *config = o->config;
    uint64_t mib = 16, bytes = MIB;
    char unused[OPTIONS_ID_BYTES];
    const char *addr = option_list_text(l, "addr"), *id = option_list_text(l, "id");
    option_list_number(l, "vgamem_mb", 0, UINT32_MAX, &mib);
    config->vga_romfile = option_list_text(l, "romfile");
    /* Without the BAR the ROM would need another way into the guest. */
    option_list_only(l, "rombar", config->vga_romfile && !*config->vga_romfile ? "0|1|on|off" : "1|on");
    option_list_only(l, "qemu-extended-regs", "on|true");
    option_list_fixed(l, "subvendor_id", 0x1af4);
    option_list_fixed(l, "subsystem_id", 0x1100);
    option_list_only(l, "bus", "pci.0");
    option_list_end(l);
    if (id)
        option_id(o, id, unused);
    if (addr)
        o->vga_slot_given = option_slot(o, addr, &o->vga_slot);
    if (config->vga != VGA_NONE)
        option_fail(o, "there is a VGA card already");
    config->vga = VGA_STD;
    while (bytes < mib * MIB && bytes < 512 * MIB) /* as stock rounds and clamps; libxl doesn't check */
        bytes *= 2;
    config->vga_bytes = bytes;
}

void option_device(struct options *o, const struct option_row *row, const char *value)
{
    struct option_list l;
    option_list(&l, o, value, "driver");
    const char *model = option_list_text(&l, "driver");
    if (!model || !*model) {
        option_fail(o, "model missing");
        return;
    }
    option_context(o, "-device %.36s", model);
    if (!strcmp(model, "VGA"))
        device_vga(o, &l);
    else if (option_word("ide-hd|ide-cd", model))
        device_ide(o, &l, !strcmp(model, "ide-cd"));
    else if (option_word("ahci|ich9-ahci", model))
        device_ahci(o, &l);
    else if (!strcmp(model, "floppy"))
        device_floppy(o, &l);
    else if (!strcmp(model, "xen-platform"))
        device_xen_platform(o, &l);
    else if (!strcmp(model, "nvme"))
        option_nvme(o, &l);
    else if (!strcmp(model, "nvme-ns"))
        option_nvme_ns(o, &l);
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
        if (option_word(refused[i].models, model))
            option_fail(o, "%s", refused[i].why);
    if (!option_word("VGA|ide-hd|ide-cd|ahci|ich9-ahci|floppy|nvme|nvme-ns|xen-platform", model))
        option_fail(o, "unknown device");
}

void option_vga(struct options *o, const struct option_row *row, const char *value)
{
    if (!strcmp(value, "std"))
        o->config->vga = VGA_STD;
    else if (!strcmp(value, "none"))
        o->config->vga = VGA_NONE;
    else
        option_fail(o, "'%.64s' is not emulated yet; there is std", value);
}

bool option_take_drive(struct options *o, const char *id, bool cdrom, struct config_drive *d)
{
    unsigned i = 0;
    while (i < o->nr_drives && strcmp(o->drives[i].drive.id, id))
        i++;
    if (i == o->nr_drives || o->drives[i].used) {
        option_fail(o, "drive=%.64s: no -drive if=none has this id, or another -device uses it", id);
        return false;
    }
    if (o->drives[i].cdrom && !cdrom) {
        option_fail(o, "drive=%.64s: has media=cdrom", id);
        return false;
    }
    o->drives[i].used = true;
    *d = o->drives[i].drive;
    return true;
}

static void finish_ide(struct options *o, const struct options_ide *ide)
{
    struct config_drive d = { .present = true, .cache = BLOCK_WRITEBACK };
    option_context(o, "-device ide-%s", ide->cdrom ? "cd" : "hd");
    if (ide->drive && !option_take_drive(o, ide->drive, ide->cdrom, &d))
        return;
    d.cdrom = ide->cdrom;
    d.read_only = d.read_only || d.cdrom;
    memcpy(d.qdev_id, ide->id, sizeof(d.qdev_id));
    name_drive(&d, ide->index, ide->ahci);
    if (ide->ahci)
        add_ahci(o, &d, ide->index);
    else
        add_ide(o, &d, ide->index);
}

static void finish_floppy(struct options *o, const struct options_floppy *floppy)
{
    struct config_drive d = { .present = true, .cache = BLOCK_WRITEBACK };
    option_context(o, "-device floppy");
    if (floppy->drive && !option_take_drive(o, floppy->drive, false, &d))
        return;
    memcpy(d.qdev_id, floppy->id, sizeof(d.qdev_id));
    add_floppy(o, &d, floppy->unit < CONFIG_MAX_FLOPPIES ? (unsigned)floppy->unit : free_floppy(o));
}

static void finish_xen_platform(struct options *o)
{
    enum config_machine machine = o->config->machine;
    unsigned slot = machine == MACHINE_XENFV ? 2 : 3;
    option_context(o, "-device xen-platform");
    if (!o->xen_platform_given)
        return;
    if (machine != MACHINE_XENFV && machine != MACHINE_PC_XEN)
        option_fail(o, "this machine has no devices");
    else if (o->xen_platform_slot != slot)
        option_fail(o, "addr=%x: the device is in slot %x of this machine", o->xen_platform_slot, slot);
    else if (machine == MACHINE_PC_XEN)
        o->config->xen_platform_slot = slot;
}

void option_finish_devices(struct options *o)
{
    for (unsigned i = 0; i < o->nr_ides; i++)
        finish_ide(o, &o->ides[i]);
    for (unsigned i = 0; i < o->nr_floppies; i++)
        finish_floppy(o, &o->floppies[i]);
    /* The card has the first slot that the chipset leaves free, the controllers those behind it. */
    unsigned slot = o->config->machine == MACHINE_XENFV ? 3 : 2;
    finish_xen_platform(o);
    unsigned controllers = slot + (o->config->vga != VGA_NONE) + o->config->ahci;
    bool in_between = o->config->xen_platform_slot && controllers >= o->config->xen_platform_slot;
    option_finish_nvme(o, controllers + in_between);
    for (unsigned i = 0; i < o->nr_drives; i++) {
        option_context(o, "-drive %s", o->drives[i].drive.id);
        if (!o->drives[i].used)
            option_fail(o, "if=none, and no -device uses it");
    }
    option_context(o, "-device VGA");
    if (o->vga_slot_given && o->vga_slot != slot)
        option_fail(o, "addr=%x: the card is in slot %x of this machine", o->vga_slot, slot);
}
