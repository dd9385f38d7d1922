/*
 * 82093AA I/O APIC, with 24 pins in the original and up to 48 here. Messages leave as MSI-like writes, at once; the
 * arbitration of the APIC bus has no meaning then and its register shows the id only. Delivery status reads idle.
 * Source: Intel 82093AA, order 290566, [IOAPIC n] is its section n; Intel 82806AA, order 290666, for version 20;
 * Intel SDM volume 3, "Message Signalled Interrupts", for address and data of a message.
 */
#include "ioapic.h"

#include <assert.h>
#include <errno.h>
#include <thindm/bus.h>
#include <thindm/device.h>

/* Registers in memory [IOAPIC 3.1]; the page beyond them is empty. */
enum { IOREGSEL = 0x00, IOWIN = 0x10, EOIR = 0x40, WINDOW_BYTES = 0x1000 };
/* Registers behind the window [IOAPIC 3.2]. */
enum { ID = 0x00, VERSION = 0x01, ARBITRATION = 0x02, TABLE = 0x10, ID_SHIFT = 24, ID_BITS = 0x0f, PINS_SHIFT = 16 };
/* A redirection entry [IOAPIC 3.2.4]. */
enum {
    VECTOR = 0xff,
    MODE_SHIFT = 8,
    MODE_BITS = 7,
    LOGICAL = 0x800,
    REMOTE_IRR = 0x4000,
    LEVEL = 0x8000,
    MASKED = 0x10000
};
enum { LOW_WRITABLE = 0x1afff, ACTIVE_LOW = 0x2000, DEST_SHIFT = 56 };
#define WRITABLE (UINT64_C(0xff) << DEST_SHIFT | LOW_WRITABLE)
enum { LOWEST = 1, SMI = 2, NMI = 4, INIT = 5, EXTINT = 7 };
/* A message [SDM 3A, Message Address and Data Register]. */
enum {
    MESSAGE_DEST_SHIFT = 12,
    MESSAGE_REDIRECT = 0x8,
    MESSAGE_LOGICAL = 0x4,
    MESSAGE_ASSERT = 0x4000,
    MESSAGE_LEVEL = 0x8000
};
#define MESSAGE_ADDRESS UINT64_C(0xfee00000)

struct ioapic {
    struct device dev;
    struct bus_region region;
    unsigned pins;
    enum ioapic_version version;
    void (*message)(void *opaque, uint64_t addr, uint32_t data);
    void (*masks_changed)(void *opaque);
    void *opaque;
    /* Guest-visible state. */
    uint8_t select, id;
    uint64_t lines; /* levels of the pins */
    uint64_t table[IOAPIC_MAX_PINS];
};

static const struct snap_field ioapic_fields[] = {
    SNAP(struct ioapic, select),
    SNAP(struct ioapic, id),
    SNAP(struct ioapic, lines),
    SNAP_ARRAY(struct ioapic, table),
    SNAP_END,
};

/* NMI, SMI and INIT are edges whatever the trigger bit says [IOAPIC 3.2.4, Delivery Mode]. */
static bool is_level(uint64_t entry)
{
    unsigned mode = entry >> MODE_SHIFT & MODE_BITS;
    return (entry & LEVEL) && (mode == 0 || mode == LOWEST);
}

static void send(struct ioapic *s, uint64_t entry)
{
    unsigned mode = entry >> MODE_SHIFT & MODE_BITS;
    uint64_t addr = MESSAGE_ADDRESS | (entry >> DEST_SHIFT) << MESSAGE_DEST_SHIFT;
    if (mode == 3 || mode == 6)
        return;
    addr |= (entry & LOGICAL ? MESSAGE_LOGICAL : 0) | (mode == LOWEST ? MESSAGE_REDIRECT : 0);
    uint32_t data = (uint32_t)(entry & VECTOR) | mode << MODE_SHIFT;
    if (is_level(entry))
        data |= MESSAGE_LEVEL | MESSAGE_ASSERT;
    if (s->message)
        s->message(s->opaque, addr, data);
}

/* A level is sent once and then waits for its end of interrupt. */
static void serve_level(struct ioapic *s, unsigned pin)
{
    uint64_t *entry = &s->table[pin];
    if ((*entry & MASKED) || !is_level(*entry) || (*entry & REMOTE_IRR) || !(s->lines >> pin & 1))
        return;
    *entry |= REMOTE_IRR;
    send(s, *entry);
}

/*
 * An edge on a masked pin is lost [IOAPIC 3.2.4, Interrupt Mask]. The board's wires are high when active, whatever
 * polarity the guest chose: on hardware the two agree.
 */
static void pin_changed(void *opaque, unsigned pin, bool level)
{
    struct ioapic *s = opaque;
    uint64_t bit = UINT64_C(1) << pin, entry = s->table[pin];
    bool rises = level && !(s->lines & bit);
    s->lines = level ? s->lines | bit : s->lines & ~bit;
    if (rises && !(entry & MASKED) && !is_level(entry))
        send(s, entry);
    serve_level(s, pin);
}

struct irq ioapic_pin(struct device *dev, unsigned pin)
{
    struct ioapic *s = container_of(dev, struct ioapic, dev);
    assert(pin < s->pins);
    return (struct irq){ .fn = pin_changed, .opaque = s, .wire = pin };
}

bool ioapic_level(const struct device *dev, unsigned pin)
{
    const struct ioapic *s = container_of(dev, struct ioapic, dev);
    assert(pin < s->pins);
    return s->lines >> pin & 1;
}

bool ioapic_masked(const struct device *dev, unsigned pin)
{
    const struct ioapic *s = container_of(dev, struct ioapic, dev);
    assert(pin < s->pins);
    return s->table[pin] & MASKED;
}

void ioapic_end_of_interrupt(struct device *dev, uint8_t vector)
{
    struct ioapic *s = container_of(dev, struct ioapic, dev);
    for (unsigned pin = 0; pin < s->pins; pin++) {
        if (!(s->table[pin] & REMOTE_IRR) || (s->table[pin] & VECTOR) != vector)
            continue;
        s->table[pin] &= ~(uint64_t)REMOTE_IRR;
        serve_level(s, pin); /* still high: another request */
    }
}

static uint32_t window_read(const struct ioapic *s)
{
    unsigned half = s->select - TABLE;
    switch (s->select) {
    case ID:
    case ARBITRATION: return (uint32_t)s->id << ID_SHIFT;
    case VERSION: return (uint32_t)s->version | (s->pins - 1) << PINS_SHIFT;
    }
    if (s->select < TABLE || half / 2 >= s->pins)
        return 0;
    return (uint32_t)(s->table[half / 2] >> (half & 1 ? 32 : 0));
}

static void entry_write(struct ioapic *s, unsigned pin, bool high, uint32_t val)
{
    uint64_t *entry = &s->table[pin];
    bool was_masked = *entry & MASKED;
    uint64_t mask = (high ? UINT64_C(0xffffffff) << 32 : 0xffffffff) & WRITABLE;
    *entry = (*entry & ~mask) | ((uint64_t)val << (high ? 32 : 0) & mask);
    if (!is_level(*entry)) /* how drivers of version 11 end an interrupt without the EOI register: edge and back */
        *entry &= ~(uint64_t)REMOTE_IRR;
    serve_level(s, pin);
    if (s->masks_changed && was_masked != ((*entry & MASKED) != 0))
        s->masks_changed(s->opaque);
}

static void window_write(struct ioapic *s, uint32_t val)
{
    unsigned half = s->select - TABLE;
    if (s->select == ID)
        s->id = val >> ID_SHIFT & ID_BITS;
    else if (s->select >= TABLE && half / 2 < s->pins)
        entry_write(s, half / 2, half & 1, val);
}

/* Registers are 32 bits wide at multiples of 16 [IOAPIC 3.1]; narrower accesses take the low part. */
static uint64_t ioapic_read(void *opaque, uint64_t off, unsigned size)
{
    const struct ioapic *s = opaque;
    switch (off) {
    case IOREGSEL: return s->select;
    case IOWIN: return window_read(s);
    default: return 0;
    }
}

static void ioapic_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct ioapic *s = opaque;
    switch (off) {
    case IOREGSEL: s->select = (uint8_t)val; break;
    case IOWIN: window_write(s, (uint32_t)val); break;
    case EOIR:
        if (s->version >= IOAPIC_V20)
            ioapic_end_of_interrupt(&s->dev, (uint8_t)val);
        break;
    }
}

static void ioapic_reset(struct device *dev)
{
    struct ioapic *s = container_of(dev, struct ioapic, dev);
    s->select = s->id = 0;
    /* Lines are their drivers' and stay. */
    for (unsigned pin = 0; pin < IOAPIC_MAX_PINS; pin++)
        s->table[pin] = MASKED;
    if (s->masks_changed)
        s->masks_changed(s->opaque);
}

static int ioapic_restored(struct device *dev)
{
    struct ioapic *s = container_of(dev, struct ioapic, dev);
    uint64_t present = UINT64_MAX >> (64 - s->pins);
    if ((s->id & ~ID_BITS) || (s->lines & ~present))
        return -EINVAL;
    for (unsigned pin = 0; pin < IOAPIC_MAX_PINS; pin++) {
        uint64_t entry = s->table[pin];
        if ((entry & ~(WRITABLE | REMOTE_IRR)) || ((entry & REMOTE_IRR) && !is_level(entry)))
            return -EINVAL;
        if (pin >= s->pins && entry != MASKED)
            return -EINVAL;
    }
    /* What is pending was sent before the snapshot, so nothing is sent here. */
    if (s->masks_changed)
        s->masks_changed(s->opaque);
    return 0;
}

static void ioapic_unplug(struct device *dev)
{
    struct ioapic *s = container_of(dev, struct ioapic, dev);
    bus_detach(&s->region);
    s->message = NULL; /* pins may still move */
    s->masks_changed = NULL;
}

static const struct bus_ops ioapic_ops = { ioapic_read, ioapic_write, .sizes = BUS_1 | BUS_2 | BUS_4 };
static const struct device_desc ioapic_desc = {
    .name = "ioapic",
    .version = 1,
    .fields = ioapic_fields,
    .restored = ioapic_restored,
    .reset = ioapic_reset,
    .unplug = ioapic_unplug,
};

int ioapic_create(const struct ioapic_config *config, struct device **out)
{
    if (config->pins < 1 || config->pins > IOAPIC_MAX_PINS)
        return -EINVAL;
    struct ioapic *s = device_new(&ioapic_desc, config->id, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->pins = config->pins;
    s->version = config->version;
    int err = bus_attach(config->memory, &s->region, &ioapic_ops, s, config->base, WINDOW_BYTES);
    if (err) {
        device_free(&s->dev);
        return err;
    }
    s->message = config->message;
    s->masks_changed = config->masks_changed;
    s->opaque = config->opaque;
    *out = &s->dev;
    return 0;
}
