/*
 * The wires between the parts of the legacy platform. Every line goes to both kinds of interrupt controller. It holds
 * levels only, which their drivers own, so it has no state to save. Source: Intel 82371SB (PIIX3), order 290550, for
 * the links; IA-PC HPET 1.0a, 2.3.5, for legacy replacement; ACPI 2.0, 5.2.10.8, for the timer's pin.
 */
#include "platform.h"

#include "hpet.h"
#include "pic.h"
#include "pit.h"
#include "pm-timer.h"
#include "rtc.h"
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <thindm/device.h>

enum { IRQ_TIMER = 0, IRQ_CLOCK = 8, IRQ_SCI = 9, TIMER_PIN = 2, NR_LINKS = 4, FIRST_PCI_PIN = 16, NR_PCI_PINS = 32 };
enum { PIC, IOAPIC, PIT, RTC, HPET, PM_TIMER, END, NR_PARTS };
/* Who holds a line or pin up. */
enum { BY_BOARD = 1, BY_LINK = 2, BY_GSI = 4, BY_HPET = 8, BY_INTX = 16 };
/* I/O APIC pins that HPET comparators may use: the timer's, and those behind the ISA lines that nobody else has. */
enum { HPET_ROUTES = 0x00f00004 };

/* Last in the machine's list, so the first to go: after it, lines that other devices drop reach no part any more. */
struct platform_end {
    struct device dev;
    struct platform *platform;
};

struct platform {
    struct device *parts[NR_PARTS]; /* owned by the machine's list */
    bool gone;                      /* they are being freed */
    struct hv *hv;
    irq_fn *pin_changed;
    void *opaque;
    unsigned nr_pins;
    bool always_ticks;
    struct irq pic_in[PIC_LINES], pins[IOAPIC_MAX_PINS];
    struct irq timer, clock;                       /* to the board */
    bool pit, rtc, hpet_timer, hpet_clock, legacy; /* levels of what is behind them */
    uint8_t lines_by[PIC_LINES];                   /* who holds each ISA line */
    uint8_t pins_by[IOAPIC_MAX_PINS];              /* and each pin beside its line */
    bool told[IOAPIC_MAX_PINS];
    uint8_t intx[IRQ_PCI_SLOTS]; /* bit per pin */
    uint8_t routes[NR_LINKS];
};

/* ISA line behind an I/O APIC pin: the timer moved from 0 to 2, where the cascade has none. */
static bool line_level(const struct platform *p, unsigned pin)
{
    if (pin == IRQ_TIMER || pin >= PIC_LINES)
        return false;
    return p->lines_by[pin == TIMER_PIN ? IRQ_TIMER : pin] != 0;
}

static void drive_pin(struct platform *p, unsigned pin)
{
    if (pin < p->nr_pins && !p->gone)
        irq_set(&p->pins[pin], line_level(p, pin) || p->pins_by[pin] != 0);
}

static void tell(struct platform *p, unsigned n)
{
    bool level = p->pins_by[n] != 0 || (n < PIC_LINES && p->lines_by[n] != 0);
    if (level == p->told[n])
        return;
    p->told[n] = level;
    if (p->pin_changed)
        p->pin_changed(p->opaque, n, level);
}

static void hold(uint8_t *by, uint8_t who, bool level)
{
    *by = (uint8_t)(level ? *by | who : *by & ~who);
}

static void hold_line(struct platform *p, unsigned line, uint8_t who, bool level)
{
    hold(&p->lines_by[line], who, level);
    tell(p, line);
    if (!p->gone)
        irq_set(&p->pic_in[line], p->lines_by[line] != 0);
    drive_pin(p, line == IRQ_TIMER ? TIMER_PIN : line);
}

static void hold_pin(struct platform *p, unsigned pin, uint8_t who, bool level)
{
    if (pin >= p->nr_pins)
        return;
    hold(&p->pins_by[pin], who, level);
    tell(p, pin);
    drive_pin(p, pin);
}

void platform_isa(void *platform, unsigned line, bool level)
{
    if (line < PIC_LINES && line != PIC_CASCADE)
        hold_line(platform, line, BY_BOARD, level);
}

void platform_gsi(void *platform, unsigned gsi, bool level)
{
    if (gsi >= PIC_LINES)
        hold_pin(platform, gsi, BY_GSI, level);
    else if (gsi != PIC_CASCADE)
        hold_line(platform, gsi, BY_GSI, level);
}

static bool link_level(const struct platform *p, unsigned link) /* pin n of slot m goes to link (m + n) mod 4 */
{
    for (unsigned slot = 0; slot < IRQ_PCI_SLOTS; slot++) {
        if (p->intx[slot] >> (link + NR_LINKS - slot % NR_LINKS) % NR_LINKS & 1)
            return true;
    }
    return false;
}

static void drive_route(struct platform *p, unsigned irq)
{
    bool level = false;
    if (irq == 0 || irq == PIC_CASCADE)
        return;
    for (unsigned link = 0; link < NR_LINKS; link++)
        level |= p->routes[link] == irq && link_level(p, link);
    hold_line(p, irq, BY_LINK, level);
}

/* Xen's pins for INTx beyond the ISA lines: 32, each shared by four wires [hvm_pci_intx_gsi()]. */
static unsigned pci_pin(unsigned slot, unsigned pin)
{
    return FIRST_PCI_PIN + (slot * IRQ_PCI_PINS + slot / 8 + pin) % NR_PCI_PINS;
}

static void drive_pci_pin(struct platform *p, unsigned target)
{
    bool level = false;
    for (unsigned wire = 0; wire < IRQ_PCI_SLOTS * IRQ_PCI_PINS; wire++) {
        unsigned slot = wire / IRQ_PCI_PINS, pin = wire % IRQ_PCI_PINS;
        level |= (p->intx[slot] >> pin & 1) && pci_pin(slot, pin) == target;
    }
    hold_pin(p, target, BY_INTX, level);
}

void platform_intx(struct platform *p, unsigned slot, unsigned pin, bool level)
{
    if (slot >= IRQ_PCI_SLOTS || pin >= IRQ_PCI_PINS)
        return;
    hold(&p->intx[slot], (uint8_t)(1u << pin), level);
    drive_route(p, p->routes[(slot + pin) % NR_LINKS]);
    if (p->nr_pins >= FIRST_PCI_PIN + NR_PCI_PINS)
        drive_pci_pin(p, pci_pin(slot, pin));
}

void platform_link(struct platform *p, unsigned link, unsigned irq)
{
    if (link >= NR_LINKS || irq >= PIC_LINES)
        return;
    unsigned old = p->routes[link];
    p->routes[link] = (uint8_t)irq;
    drive_route(p, old);
    drive_route(p, irq);
}

/* Timer and clock, or the HPET in their place. */
static void drive_timers(struct platform *p)
{
    irq_set(&p->timer, p->legacy ? p->hpet_timer : p->pit);
    irq_set(&p->clock, p->legacy ? p->hpet_clock : p->rtc);
}

static void pit_changed(void *opaque, unsigned wire, bool level)
{
    struct platform *p = opaque;
    p->pit = level;
    drive_timers(p);
}

static void rtc_changed(void *opaque, unsigned wire, bool level)
{
    struct platform *p = opaque;
    p->rtc = level;
    drive_timers(p);
}

static void hpet_legacy_line(void *opaque, unsigned wire, bool level)
{
    struct platform *p = opaque;
    *(wire == 0 ? &p->hpet_timer : &p->hpet_clock) = level;
    drive_timers(p);
}

static void hpet_route(void *opaque, unsigned pin, bool level)
{
    hold_pin(opaque, pin, BY_HPET, level);
}

/* The timer needs to wake nobody while both controllers hold it back: firmware leaves it ticking, systems mask it. */
static void find_listeners(void *opaque)
{
    struct platform *p = opaque;
    if (p->gone || !p->parts[PIT]) /* being built up or taken down */
        return;
    bool by_pic = !(pic_masks(p->parts[PIC]) >> IRQ_TIMER & 1);
    bool by_ioapic = TIMER_PIN < p->nr_pins && !ioapic_masked(p->parts[IOAPIC], TIMER_PIN);
    pit_set_wanted(p->parts[PIT], p->always_ticks || (!p->legacy && (by_pic || by_ioapic)));
}

static void legacy_changed(void *opaque, bool on)
{
    struct platform *p = opaque;
    p->legacy = on;
    find_listeners(p);
    drive_timers(p);
}

static void pic_looking(void *opaque)
{
    struct platform *p = opaque;
    pit_update(p->parts[PIT]);
}

static void ioapic_message(void *opaque, uint64_t addr, uint32_t data)
{
    struct platform *p = opaque;
    (void)p->hv->ops->msi(p->hv, addr, data); /* refused: the domain is going away */
}

uint8_t platform_acknowledge(struct platform *p)
{
    return pic_acknowledge(p->parts[PIC]);
}

void platform_end_of_interrupt(struct platform *p, uint8_t vector)
{
    ioapic_end_of_interrupt(p->parts[IOAPIC], vector);
}

struct device *platform_rtc(const struct platform *p)
{
    return p->parts[RTC];
}

struct device *platform_pm_timer(const struct platform *p)
{
    return p->parts[PM_TIMER];
}

static int create_controllers(struct platform *p, const struct platform_config *c)
{
    int err = pic_create(&(struct pic_config){ .id = "pic",
                                               .ports = c->ports,
                                               .intr = c->intr,
                                               .masks_changed = find_listeners,
                                               .looking = pic_looking,
                                               .opaque = p },
                         &p->parts[PIC]);
    if (!err)
        err = ioapic_create(&(struct ioapic_config){ .id = "ioapic",
                                                     .memory = c->memory,
                                                     .base = IOAPIC_BASE,
                                                     .pins = c->ioapic_pins,
                                                     .version = c->ioapic_version,
                                                     .message = ioapic_message,
                                                     .masks_changed = find_listeners,
                                                     .opaque = p },
                            &p->parts[IOAPIC]);
    for (unsigned line = 0; !err && line < PIC_LINES; line++)
        p->pic_in[line] = pic_input(p->parts[PIC], line);
    for (unsigned pin = 0; !err && pin < p->nr_pins; pin++)
        p->pins[pin] = ioapic_pin(p->parts[IOAPIC], pin);
    return err;
}

static int create_timers(struct platform *p, const struct platform_config *c)
{
    struct cmos_config cmos = *c->cmos;
    cmos.id = "rtc";
    cmos.ports = c->ports;
    int err = pit_create(&(struct pit_config){ .id = "pit",
                                               .loop = c->loop,
                                               .ports = c->ports,
                                               .irq = { .fn = pit_changed, .opaque = p },
                                               .counts_at_reset = c->counts_at_reset },
                         &p->parts[PIT]);
    if (!err)
        err = rtc_create(&(struct rtc_config){ .cmos = &cmos,
                                               .loop = c->loop,
                                               .irq = { .fn = rtc_changed, .opaque = p },
                                               .base_time_s = c->base_time_s },
                         &p->parts[RTC]);
    if (!err && c->hpet)
        err = hpet_create(&(struct hpet_config){ .id = "hpet",
                                                 .loop = c->loop,
                                                 .memory = c->memory,
                                                 .base = HPET_BASE,
                                                 .routes = HPET_ROUTES,
                                                 .route = hpet_route,
                                                 .legacy = { { .fn = hpet_legacy_line, .opaque = p, .wire = 0 },
                                                             { .fn = hpet_legacy_line, .opaque = p, .wire = 1 } },
                                                 .legacy_changed = legacy_changed,
                                                 .opaque = p },
                          &p->parts[HPET]);
    if (!err && c->pm_timer)
        err = pm_timer_create(
            &(struct pm_timer_config){
                .id = "pm-timer", .loop = c->loop, .sci = irq_isa(c->irqs, IRQ_SCI), .wide = c->pm_timer_wide },
            &p->parts[PM_TIMER]);
    return err;
}

static void end_unplug(struct device *dev)
{
    container_of(dev, struct platform_end, dev)->platform->gone = true;
}

static const struct device_desc end_desc = { .name = "platform", .version = 1, .unplug = end_unplug };

static int create_end(struct platform *p)
{
    struct platform_end *end = device_new(&end_desc, "platform", sizeof(*end));
    if (!end)
        return -ENOMEM;
    end->platform = p;
    p->parts[END] = &end->dev;
    return 0;
}

int platform_create(const struct platform_config *config, struct platform **out)
{
    if (config->ioapic_pins < 1 || config->ioapic_pins > IOAPIC_MAX_PINS)
        return -EINVAL;
    struct platform *p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    p->hv = config->hv;
    p->pin_changed = config->pin_changed;
    p->opaque = config->opaque;
    p->nr_pins = config->ioapic_pins;
    p->always_ticks = config->counts_at_reset || config->pin_changed;
    p->timer = irq_isa(config->irqs, IRQ_TIMER);
    p->clock = irq_isa(config->irqs, IRQ_CLOCK);
    int err = create_controllers(p, config);
    if (!err)
        err = create_timers(p, config);
    if (!err)
        err = create_end(p);
    for (unsigned i = 0; !err && i < NR_PARTS; i++) {
        if (p->parts[i])
            devices_add(config->devices, p->parts[i]);
    }
    if (!err) {
        *out = p;
        return 0;
    }
    for (unsigned i = NR_PARTS; i > 0; i--) {
        device_free(p->parts[i - 1]);
        p->parts[i - 1] = NULL;
    }
    free(p);
    return err;
}

void platform_destroy(struct platform *platform)
{
    free(platform);
}
