/* The targets of what a board has where no hypervisor does its part: interrupt controllers, clocks, fw_cfg. */
#include "fuzz.h"

#include <chipset/fw-cfg.h>
#include <legacy/hpet.h>
#include <legacy/ioapic.h>
#include <legacy/pic.h>
#include <legacy/pit.h>
#include <legacy/pm-timer.h>
#include <legacy/rtc.h>

enum { IOAPIC_PINS = 24 };

static void pin_changed(void *opaque, unsigned wire, bool level)
{
}

/* Somebody drives the inputs. */
static void drive(struct fuzz_board *b, unsigned pin, bool level)
{
    irq_set(&b->pins[pin], level);
}

/* --- PIC --- */

static const struct fuzz_range pic_ports[] = { { 0x20, 2 }, { 0xa0, 2 }, { 0x4d0, 2 } };

static int create_pic(struct fuzz_board *b, struct device **out)
{
    int err = pic_create(&(struct pic_config){ .id = "pic", .ports = &b->m.ports, .intr = { .fn = pin_changed } }, out);
    for (unsigned i = 0; i < PIC_LINES && !err; i++)
        b->pins[i] = pic_input(*out, i);
    return err;
}

static void pic_event(struct fuzz_board *b, unsigned kind, struct fuzz_in *in)
{
    unsigned n = fuzz_u8(in);
    switch (kind % 4) {
    case 0: (void)pic_acknowledge(b->dev); break;
    case 1: (void)pic_masks(b->dev); break;
    default: drive(b, n % PIC_LINES, n & 0x80);
    }
}

/* --- I/O APIC --- */

static const struct fuzz_range ioapic_memory[] = { { IOAPIC_BASE, 0x60 }, { IOAPIC_BASE, 4096 } };

static void message(void *opaque, uint64_t addr, uint32_t data)
{
    if (addr >> 20 != 0xfee)
        fuzz_bug("ioapic: a message to %llx", (unsigned long long)addr);
}

static int create_ioapic(struct fuzz_board *b, struct device **out)
{
    int err = ioapic_create(&(struct ioapic_config){ .id = "ioapic", .memory = &b->m.memory, .base = IOAPIC_BASE,
                                .pins = IOAPIC_PINS, .version = IOAPIC_V20, .message = message },
                            out);
    for (unsigned i = 0; i < IOAPIC_PINS && !err; i++)
        b->pins[i] = ioapic_pin(*out, i);
    return err;
}

static void ioapic_event(struct fuzz_board *b, unsigned kind, struct fuzz_in *in)
{
    unsigned n = fuzz_u8(in);
    switch (kind % 4) {
    case 0: ioapic_end_of_interrupt(b->dev, (uint8_t)n); break;
    case 1: (void)ioapic_masked(b->dev, n % IOAPIC_PINS); break;
    default: drive(b, n % IOAPIC_PINS, n & 0x80);
    }
}

/* --- PIT --- */

static const struct fuzz_range pit_ports[] = { { 0x40, 4 }, { 0x61, 1 } };

static int create_pit(struct fuzz_board *b, struct device **out)
{
    return pit_create(&(struct pit_config){ .id = "pit", .loop = &b->loop, .ports = &b->m.ports, .irq = irq_isa(&b->m.irqs, 0),
                          .counts_at_reset = true },
                      out);
}

static void pit_event(struct fuzz_board *b, unsigned kind, struct fuzz_in *in)
{
    switch (kind % 4) {
    case 0: pit_set_wanted(b->dev, fuzz_u8(in) & 1); break;
    case 1: pit_update(b->dev); break;
    default: (void)pit_out(b->dev, fuzz_u8(in) % PIT_CHANNELS);
    }
}

/* --- HPET --- */

static const struct fuzz_range hpet_memory[] = { { HPET_BASE, 0x160 }, { HPET_BASE, 1024 } };

static int create_hpet(struct fuzz_board *b, struct device **out)
{
    return hpet_create(&(struct hpet_config){ .id = "hpet", .loop = &b->loop, .memory = &b->m.memory, .base = HPET_BASE,
                           .routes = 0xffffff, .route = pin_changed,
                           .legacy = { irq_isa(&b->m.irqs, 0), irq_isa(&b->m.irqs, 8) } },
                       out);
}

static void hpet_event(struct fuzz_board *b, unsigned kind, struct fuzz_in *in)
{
    (void)hpet_legacy(b->dev);
}

/* --- Real-time clock --- */

static const struct fuzz_range rtc_ports[] = { { 0x70, 2 } };

static int create_rtc(struct fuzz_board *b, struct device **out)
{
    return rtc_create(&(struct rtc_config){ .cmos = &(struct cmos_config){ .id = "rtc", .ports = &b->m.ports, .vcpus = 1, .century = 20 },
                          .loop = &b->loop, .irq = irq_isa(&b->m.irqs, 8), .base_time_s = 1798761590 },
                      out);
}

static void rtc_event(struct fuzz_board *b, unsigned kind, struct fuzz_in *in)
{
    unsigned i = fuzz_u8(in);
    if (kind & 1)
        rtc_cmos_set(b->dev, i, fuzz_u8(in));
    else
        (void)rtc_time(b->dev);
}

/* --- PM timer --- */

static const struct fuzz_range pm_timer_ports[] = { { FUZZ_PM_BASE, PM_TIMER_BYTES } };

static int create_pm_timer(struct fuzz_board *b, struct device **out)
{
    return pm_timer_create(&(struct pm_timer_config){ .id = "pm-timer", .loop = &b->loop, .sci = irq_isa(&b->m.irqs, 9),
                               .ports = &b->m.ports, .base = FUZZ_PM_BASE },
                           out);
}

static void pm_timer_happened(struct fuzz_board *b, unsigned kind, struct fuzz_in *in)
{
    static const uint16_t events[] = { PM_POWER_BUTTON, PM_SLEEP_BUTTON, PM_RTC_ALARM, PM_WAKE };
    pm_timer_event(b->dev, events[kind % ARRAY_SIZE(events)]);
}

/* --- Firmware configuration --- */

static const struct fuzz_range fw_cfg_ports[] = { { 0x510, 2 }, { 0x514, 8 } };

static int create_fw_cfg(struct fuzz_board *b, struct device **out)
{
    static uint8_t big[100000]; /* more than a DMA transfer moves at once */
    static const uint8_t ram[8] = { 0, 0, 0x20 };
    const struct fw_cfg_item items[] = { { FW_CFG_RAM_BYTES, ram, sizeof(ram) }, { FW_CFG_BOOT_MENU, NULL, 0 } };
    const struct fw_cfg_file files[] = { { "etc/big", big, sizeof(big) }, { "opt/empty", NULL, 0 }, { "opt/ram", ram, sizeof(ram) } };
    return fw_cfg_create(&(struct fw_cfg_config){ .id = "fw-cfg", .loop = &b->loop, .ports = &b->m.ports, .mem = &b->m.mem,
                             .items = items, .nr_items = ARRAY_SIZE(items), .files = files, .nr_files = ARRAY_SIZE(files) },
                         out);
}

#define RANGES(table) (table), ARRAY_SIZE(table)

const struct fuzz_part fuzz_legacy_parts[] = {
    { "pic", create_pic, NULL, pic_event, { RANGES(pic_ports) } },
    { "ioapic", create_ioapic, NULL, ioapic_event, { NULL, 0, RANGES(ioapic_memory) } },
    { "pit", create_pit, NULL, pit_event, { RANGES(pit_ports) } },
    { "rtc", create_rtc, NULL, rtc_event, { RANGES(rtc_ports) } },
    { "pm-timer", create_pm_timer, NULL, pm_timer_happened, { RANGES(pm_timer_ports) } },
    { "hpet", create_hpet, NULL, hpet_event, { NULL, 0, RANGES(hpet_memory) } },
    { "fw-cfg", create_fw_cfg, NULL, NULL, { RANGES(fw_cfg_ports) } },
};
const unsigned fuzz_nr_legacy_parts = ARRAY_SIZE(fuzz_legacy_parts);
