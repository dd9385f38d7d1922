/*
 * Devices that can't be made, and those of a configuration that this board has not: part of the target "create". What refuses has
 * left nothing behind: the same device can be made at once where it failed.
 */
#include "fuzz.h"

#include <chipset/cmos.h>
#include <chipset/debugport.h>
#include <chipset/fw-cfg.h>
#include <chipset/piix3.h>
#include <chipset/piix4-pm.h>
#include <chipset/port92.h>
#include <errno.h>
#include <legacy/ioapic.h>
#include <legacy/platform.h>
#include <legacy/pm-timer.h>
#include <stdlib.h>
#include <string.h>

enum { DEVFN_PIIX3 = PCI_DEVFN(1, 0), DEVFN_PM = PCI_DEVFN(1, 3) };

static uint8_t variant; /* of the present input */

/* --- Configurations --- */

static int odd_debugport(struct fuzz_board *b, struct device **out)
{
    struct chr *chr;
    int err = fuzz_chr_open(b, &chr);
    return err ? err : debugport_create(&(struct debugport_config){ .id = "debugport", .ports = &b->m.ports, .chr = chr }, out);
}

static int odd_piix3(struct fuzz_board *b, struct device **out)
{
    return piix3_create(&(struct piix3_config){ .id = "piix3", .pci = &b->m.pci, .devfn = DEVFN_PIIX3, .hv = b->m.hv }, out);
}

static int odd_port92(struct fuzz_board *b, struct device **out)
{
    return port92_create(&(struct port92_config){ .id = "port92", .ports = &b->m.ports }, out);
}

static int odd_pm(struct fuzz_board *b, struct device **out)
{
    static const unsigned vcpus[][2] = { { 1, 1 }, { 0, 4 }, { 5, 4 }, { 1, 129 }, { 128, 128 } };
    const unsigned *v = vcpus[variant % ARRAY_SIZE(vcpus)];
    return piix4_pm_create(&(struct piix4_pm_config){ .id = "piix4-pm", .ports = &b->m.ports, .pci = &b->m.pci, .devfn = DEVFN_PM,
                               .sci = irq_isa(&b->m.irqs, 9), .parallel = true, .com2 = true, .vcpus = v[0], .max_vcpus = v[1] },
                           out);
}

static int odd_fw_cfg(struct fuzz_board *b, struct device **out)
{
    static const struct fw_cfg_item items[][2] = {
        { { FW_CFG_ARCH, "x", 1 }, { FW_CFG_UUID, "uuid", 4 } }, { { 0x4005, "", 0 }, { 0 } }, { { 0, "", 0 }, { 0 } },
        { { FW_CFG_VCPUS, "", 0 }, { FW_CFG_VCPUS, "", 0 } },    { { FW_CFG_FIRST_FILE, "", 0 }, { FW_CFG_UUID, "", 0 } },
    };
    static const struct fw_cfg_file files[FW_CFG_MAX_FILES + 1] = {
        { "etc/one", "1", 1 }, { "a name that is much longer than the fifty-five letters there is room for", "", 0 },
    };
    unsigned nr_files = variant >> 4 == 15 ? FW_CFG_MAX_FILES + 1 : variant >> 4 & 3;
    return fw_cfg_create(&(struct fw_cfg_config){ .id = "fw-cfg", .loop = &b->loop, .ports = &b->m.ports,
                             .items = items[(variant & 15) % ARRAY_SIZE(items)], .nr_items = 2, .files = files,
                             .nr_files = nr_files < 3 ? nr_files : FW_CFG_MAX_FILES + 1 },
                         out);
}

static int odd_ioapic(struct fuzz_board *b, struct device **out)
{
    static const unsigned pins[] = { IOAPIC_MAX_PINS, 0, 1, 16, IOAPIC_MAX_PINS + 1 };
    unsigned nr = pins[variant % ARRAY_SIZE(pins)];
    int err = ioapic_create(&(struct ioapic_config){ .id = "ioapic", .memory = &b->m.memory, .base = IOAPIC_BASE, .pins = nr,
                                .version = variant & 0x80 ? IOAPIC_V20 : IOAPIC_V11 },
                            out);
    for (unsigned i = 0; i < nr && !err; i++)
        b->pins[i] = ioapic_pin(*out, i);
    return err;
}

static int odd_pm_timer(struct fuzz_board *b, struct device **out)
{
    return pm_timer_create(&(struct pm_timer_config){ .id = "pm-timer", .loop = &b->loop, .sci = irq_isa(&b->m.irqs, 9),
                               .wide = true, .ports = &b->m.ports, .base = FUZZ_PM_BASE },
                           out);
}

static struct cmos_config odd_cmos_config(struct fuzz_board *b)
{
    static const char *const orders[] = { "bn", NULL, "xd", "cdnab" };
    return (struct cmos_config){ .id = "cmos", .ports = &b->m.ports, .ram_below_4g_bytes = (uint64_t)variant << 24,
                                 .ram_above_4g_bytes = (uint64_t)variant << 36, .boot_order = orders[variant & 3],
                                 .drives = { { 20, 4, 17, 0 }, { 65535, 255, 63, 3 } }, .vcpus = 1, .century = 19 };
}

static int odd_cmos(struct fuzz_board *b, struct device **out)
{
    struct cmos_config config = odd_cmos_config(b);
    return cmos_create(&config, out);
}

/* Drivers beside the board, and links, of a platform with the pins that Xen's has. */
static void platform_happened(struct fuzz_board *b, unsigned kind, struct fuzz_in *in)
{
    struct platform *p = b->m.platform;
    unsigned n = fuzz_u8(in), more = fuzz_u8(in);
    switch (kind) {
    case 0: platform_isa(p, n & 0x1f, more & 1); break;
    case 1: platform_gsi(p, n & 0x3f, more & 1); break;
    case 2: platform_intx(p, n & 0x3f, more >> 1 & 7, more & 1); break;
    case 3: platform_link(p, n & 7, more & 0x1f); break;
    case 4: (void)platform_acknowledge(p); break;
    default: platform_end_of_interrupt(p, (uint8_t)n);
    }
}

static void pin_changed(void *opaque, unsigned wire, bool level)
{
}

static const struct fuzz_range pm_ports[] = { { FUZZ_PM_BASE, 64 }, { 0xae00, 24 }, { 0xaf00, 32 }, { 0xb2, 2 } },
                               ports_9[] = { { 0x92, 1 }, { 0xe9, 1 }, { 0x402, 1 }, { 0x70, 2 }, { 0x510, 12 } };
static const struct fuzz_range ioapic_memory[] = { { IOAPIC_BASE, 0x60 } };
static const uint8_t functions[] = { DEVFN_PIIX3, DEVFN_PM };
#define RANGES(table) (table), ARRAY_SIZE(table)
static const struct fuzz_part odd_parts[] = {
    { "debugport", odd_debugport, NULL, NULL, { RANGES(ports_9) } },
    { "piix3", odd_piix3, NULL, NULL, { RANGES(ports_9), NULL, 0, RANGES(functions) } },
    { "port92", odd_port92, NULL, NULL, { RANGES(ports_9) } },
    { "piix4-pm", odd_pm, fuzz_place_bars, NULL, { RANGES(pm_ports), NULL, 0, RANGES(functions) } },
    { "fw-cfg", odd_fw_cfg, NULL, NULL, { RANGES(ports_9) } },
    { "ioapic", odd_ioapic, NULL, NULL, { NULL, 0, RANGES(ioapic_memory) } },
    { "pm-timer", odd_pm_timer, NULL, NULL, { RANGES(pm_ports) } },
    { "cmos", odd_cmos, NULL, NULL, { RANGES(ports_9) } },
};
static const struct fuzz_part platform_part = { .name = "platform", .event = platform_happened };

/* --- What becomes of them --- */

static uint64_t no_read(void *opaque, uint64_t off, unsigned size)
{
    return 0;
}

static void no_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
}

static const struct bus_ops no_ops = { no_read, no_write, .sizes = BUS_1 };

/* Somebody is where the device wants to be. */
static void squat(struct fuzz_board *b, struct bus_region *region, const struct fuzz_map *map, unsigned n)
{
    if (map->nr_ports > 0)
        fuzz_any(bus_attach(&b->m.ports, region, &no_ops, b, map->ports[n % map->nr_ports].base, 1));
    else if (map->nr_memory > 0)
        fuzz_any(bus_attach(&b->m.memory, region, &no_ops, b, map->memory[n % map->nr_memory].base & ~UINT64_C(4095), 4096));
}

/* Back ends go to a device only if it comes to be. */
static void clear(struct fuzz_board *b)
{
    devices_free(&b->m.devices);
    while (b->disks)
        block_close(&b->disks->block);
    if (b->chr)
        chr_close(&b->chr->chr);
    if (b->m.vram)
        b->m.hv->ops->vram_destroy(b->m.hv);
    b->m.vram = NULL;
    b->m.ide = NULL;
}

static void live(struct fuzz_board *b, struct fuzz_in *in)
{
    devices_reset(&b->m.devices);
    if (b->part->place)
        b->part->place(b);
    fuzz_board_ready(b);
    fuzz_ops(b, in);
}

static void one_part(struct fuzz_board *b, const struct fuzz_part *part, struct fuzz_in *in)
{
    struct bus_region region = { 0 };
    uint8_t place = fuzz_u8(in), fail = fuzz_u8(in);
    b->part = part;
    b->map = &part->map;
    if (place & 0x80)
        squat(b, &region, &part->map, place & 0x7f);
    fuzz_heap_fail(fail);
    int err = part->create(b, &b->dev);
    fuzz_heap_fail(0);
    if (region.bus)
        bus_detach(&region);
    if (err == -EEXIST || err == -ENOMEM) {
        clear(b);
        err = part->create(b, &b->dev);
        if (err && err != -EINVAL)
            fuzz_bug("create: %s left something behind when it was refused: %s", part->name, strerror(-err));
    }
    if (err) {
        clear(b);
        return;
    }
    devices_add(&b->m.devices, b->dev);
    live(b, in);
}

static void one_platform(struct fuzz_board *b, struct fuzz_in *in)
{
    uint8_t flags = fuzz_u8(in), pins = fuzz_u8(in), fail = fuzz_u8(in);
    struct cmos_config cmos = odd_cmos_config(b);
    struct platform_config config = { .loop = &b->loop, .ports = &b->m.ports, .memory = &b->m.memory, .hv = b->m.hv,
                                      .irqs = &b->m.irqs, .devices = &b->m.devices, .cmos = &cmos,
                                      .ioapic_pins = flags & 1 ? pins : 48, .ioapic_version = IOAPIC_V20, .hpet = flags & 2,
                                      .pm_timer = flags & 4, .pm_timer_wide = flags & 8, .counts_at_reset = flags & 16,
                                      .pin_changed = flags & 32 ? pin_changed : NULL };
    b->part = &platform_part;
    b->map = &fuzz_platform_part.map;
    fuzz_heap_fail(fail);
    int err = platform_create(&config, &b->m.platform);
    fuzz_heap_fail(0);
    if (err == -ENOMEM)
        err = platform_create(&config, &b->m.platform);
    if (err == 0)
        live(b, in);
    else if (b->m.devices.first || err != -EINVAL)
        fuzz_bug("create: a platform left something behind: %s", strerror(-err));
}

void fuzz_odd_run(struct fuzz_board *b, struct fuzz_in *in)
{
    const unsigned nr_odd = ARRAY_SIZE(odd_parts);
    unsigned n = fuzz_u8(in) % (nr_odd + fuzz_nr_parts + fuzz_nr_legacy_parts + 1 + fuzz_nr_storage_parts);
    variant = fuzz_u8(in);
    fuzz_board_empty(b);
    if (n < nr_odd)
        one_part(b, &odd_parts[n], in);
    else if ((n -= nr_odd) < fuzz_nr_parts)
        one_part(b, &fuzz_parts[n], in);
    else if ((n -= fuzz_nr_parts) < fuzz_nr_legacy_parts)
        one_part(b, &fuzz_legacy_parts[n], in);
    else if ((n -= fuzz_nr_legacy_parts) == 0)
        one_platform(b, in);
    else
        one_part(b, &fuzz_storage_parts[n - 1], in);
}
