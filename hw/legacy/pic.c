/*
 * Two cascaded 8259A with the edge/level registers of the PIIX3. ICW3 and the buffered mode bits store and do nothing:
 * the wiring is fixed. Left out: the MCS-80 acknowledge cycle (a PC has none) and LTIM, for which the PIIX3 has ELCR.
 * Source: Intel 8259A, order 231468, [8259 name] is its section; Intel 82371SB (PIIX3), order 290550, [P3 name].
 */
#include "pic.h"

#include <assert.h>
#include <errno.h>
#include <thindm/bus.h>
#include <thindm/device.h>

enum { MASTER, SLAVE, NR_CHIPS };
enum { MASTER_BASE = 0x20, SLAVE_BASE = 0xa0, ELCR_BASE = 0x4d0, NR_PORTS = 2 };
enum { COMMAND = 0, DATA = 1, INPUTS = 8, NONE = -1, SPURIOUS = 7 };
enum { ICW1 = 0x10, ICW1_IC4 = 0x01, ICW1_SINGLE = 0x02, ICW2_BASE = 0xf8 };
enum { ICW4_AEOI = 0x02, ICW4_NESTED = 0x10, ICW4_MASK = 0x1f };
enum { OCW3 = 0x08, OCW3_RIS = 0x01, OCW3_RR = 0x02, OCW3_POLL = 0x04, OCW3_SMM = 0x20, OCW3_ESMM = 0x40 };
enum { OCW2_LEVEL = 0x07, OCW2_EOI = 0x20, OCW2_SPECIFIC = 0x40, OCW2_ROTATE = 0x80, POLL_REQUEST = 0x80 };
/* Timer, keyboard and cascade; clock and coprocessor are always edges [P3 ELCR1, ELCR2]. */
static const uint8_t elcr_bits[NR_CHIPS] = { 0xf8, 0xde };

struct pic_chip {
    uint8_t lines; /* levels of the inputs */
    uint8_t edges; /* inputs that rose since they were acknowledged and are still high */
    uint8_t isr, imr, elcr;
    uint8_t base; /* vector of input 0 */
    uint8_t icw3, icw4;
    uint8_t first; /* the input of highest priority */
    uint8_t step;  /* the ICW expected next at the data port, 2-4; 0: none */
    bool single, wants_icw4;
    bool read_isr, poll, special_mask, rotate_aeoi;
};

struct pic {
    struct device dev;
    struct bus_region regions[NR_CHIPS], elcr_region;
    struct irq intr;
    void (*masks_changed)(void *opaque);
    void (*looking)(void *opaque);
    void *opaque;
    /* Guest-visible state. */
    struct pic_chip master, slave;
};

#define CHIP_FIELDS(m)                                                                                                 \
    SNAP(struct pic, m.lines), SNAP(struct pic, m.edges), SNAP(struct pic, m.isr), SNAP(struct pic, m.imr),            \
        SNAP(struct pic, m.elcr), SNAP(struct pic, m.base), SNAP(struct pic, m.icw3), SNAP(struct pic, m.icw4),        \
        SNAP(struct pic, m.first), SNAP(struct pic, m.step), SNAP(struct pic, m.single),                               \
        SNAP(struct pic, m.wants_icw4), SNAP(struct pic, m.read_isr), SNAP(struct pic, m.poll),                        \
        SNAP(struct pic, m.special_mask), SNAP(struct pic, m.rotate_aeoi)

static const struct snap_field pic_fields[] = { CHIP_FIELDS(master), CHIP_FIELDS(slave), SNAP_END };

/* Requests follow the inputs: one that falls before its acknowledge is gone [8259 Edge and Level Triggered Modes]. */
static uint8_t irr(const struct pic_chip *c)
{
    return c->lines & (c->elcr | c->edges);
}

/* The set bit of highest priority, or NONE. */
static int highest(const struct pic_chip *c, uint8_t bits)
{
    for (unsigned i = 0; i < INPUTS; i++) {
        unsigned input = (c->first + i) % INPUTS;
        if (bits >> input & 1)
            return (int)input;
    }
    return NONE;
}

static unsigned rank(const struct pic_chip *c, int input)
{
    return ((unsigned)input + INPUTS - c->first) % INPUTS;
}

/*
 * The input to be served now, or NONE [8259 Fully Nested Mode, Special Mask Mode, Special Fully Nested Mode].
 * nested_input: the one with a slave behind it, which in special fully nested mode may interrupt itself.
 */
static int pending(const struct pic_chip *c, int nested_input)
{
    int request = highest(c, irr(c) & (uint8_t)~c->imr);
    if (c->step != 0 || request == NONE)
        return NONE;
    int served = highest(c, c->special_mask ? c->isr & (uint8_t)~c->imr : c->isr);
    if (served == NONE || rank(c, request) < rank(c, served))
        return request;
    return (c->icw4 & ICW4_NESTED) && request == served && request == nested_input ? request : NONE;
}

static void set_input(struct pic_chip *c, unsigned input, bool level)
{
    uint8_t bit = (uint8_t)(1u << input);
    if (!level) {
        c->lines &= (uint8_t)~bit;
        c->edges &= (uint8_t)~bit;
    } else if (!(c->lines & bit)) {
        c->lines |= bit;
        c->edges |= bit;
    }
}

/* Ends every path that changes state: the slave's output is the master's input, the master's is the processor's. */
static void update(struct pic *s)
{
    set_input(&s->master, PIC_CASCADE, pending(&s->slave, NONE) != NONE);
    irq_set(&s->intr, pending(&s->master, PIC_CASCADE) != NONE);
}

static void end_of_interrupt(struct pic_chip *c, int input, bool rotate)
{
    if (input == NONE)
        return;
    c->isr &= (uint8_t) ~(1u << input);
    if (rotate)
        c->first = (uint8_t)((input + 1) % INPUTS); /* the one served gets the lowest priority */
}

/* What an acknowledge, by the processor or by poll, does in one chip: the input served, or NONE. */
static int acknowledge(struct pic_chip *c, int nested_input)
{
    int input = pending(c, nested_input);
    if (input == NONE)
        return NONE;
    c->edges &= (uint8_t) ~(1u << input);
    c->isr |= (uint8_t)(1u << input);
    if (c->icw4 & ICW4_AEOI)
        end_of_interrupt(c, input, c->rotate_aeoi);
    return input;
}

/* A chip takes its output down with each acknowledge, so a second request of the slave is a new edge for the master. */
static int acknowledge_slave(struct pic *s)
{
    int input = acknowledge(&s->slave, NONE);
    set_input(&s->master, PIC_CASCADE, false);
    return input;
}

/* Without a request a chip answers with input 7 and takes nothing into service [8259 Interrupt Sequence, 6]. */
uint8_t pic_acknowledge(struct device *dev)
{
    struct pic *s = container_of(dev, struct pic, dev);
    int input = acknowledge(&s->master, PIC_CASCADE);
    uint8_t vector = (uint8_t)(s->master.base | (input == NONE ? SPURIOUS : input));
    if (input == PIC_CASCADE) {
        input = acknowledge_slave(s);
        vector = (uint8_t)(s->slave.base | (input == NONE ? SPURIOUS : input));
    }
    update(s);
    return vector;
}

static void pic_line(void *opaque, unsigned line, bool level)
{
    struct pic *s = opaque;
    if (line == PIC_CASCADE)
        return;
    set_input(line < INPUTS ? &s->master : &s->slave, line % INPUTS, level);
    update(s);
}

struct irq pic_input(struct device *dev, unsigned line)
{
    assert(line < PIC_LINES);
    return (struct irq){ .fn = pic_line, .opaque = container_of(dev, struct pic, dev), .wire = line };
}

bool pic_level(const struct device *dev, unsigned line)
{
    const struct pic *s = container_of(dev, struct pic, dev);
    assert(line < PIC_LINES);
    return (s->slave.lines << 8 | s->master.lines) >> line & 1;
}

uint16_t pic_masks(const struct device *dev)
{
    const struct pic *s = container_of(dev, struct pic, dev);
    bool cut = s->master.imr >> PIC_CASCADE & 1;
    return (uint16_t)((cut ? 0xff : s->slave.imr) << 8 | s->master.imr);
}

static uint8_t chip_read(struct pic *s, struct pic_chip *c, unsigned off)
{
    if (s->looking && (c->poll || off == COMMAND))
        s->looking(s->opaque);
    if (c->poll) { /* the next read, at either port, is the acknowledge [8259 Poll Command] */
        c->poll = false;
        int input = c == &s->slave ? acknowledge_slave(s) : acknowledge(c, PIC_CASCADE);
        return input == NONE ? 0 : (uint8_t)(POLL_REQUEST | input);
    }
    if (off == DATA)
        return c->imr;
    return c->read_isr ? c->isr : irr(c);
}

/* [8259 Initialization Command Words 1 and 2]. An edge must come anew to be seen; a level is there at once. */
static void initialize(struct pic_chip *c, uint8_t icw1)
{
    c->edges = c->isr = c->imr = 0;
    c->first = 0;
    c->special_mask = c->read_isr = c->poll = c->rotate_aeoi = false;
    c->single = icw1 & ICW1_SINGLE;
    c->wants_icw4 = icw1 & ICW1_IC4;
    if (!c->wants_icw4)
        c->icw4 = 0;
    c->step = 2;
}

/* [8259 Operation Command Word 2]. The lowest bit of the command's three is "end of interrupt". */
static void ocw2_write(struct pic_chip *c, uint8_t val)
{
    int input = val & OCW2_LEVEL;
    bool rotate = val & OCW2_ROTATE;
    switch (val & (OCW2_ROTATE | OCW2_SPECIFIC | OCW2_EOI)) {
    case 0:
    case OCW2_ROTATE: c->rotate_aeoi = rotate; break;
    case OCW2_EOI:
    case OCW2_ROTATE | OCW2_EOI:
        /* What is masked in special mask mode isn't ended this way [8259 End of Interrupt]. */
        end_of_interrupt(c, highest(c, c->special_mask ? c->isr & (uint8_t)~c->imr : c->isr), rotate);
        break;
    case OCW2_SPECIFIC | OCW2_EOI:
    case OCW2_ROTATE | OCW2_SPECIFIC | OCW2_EOI: end_of_interrupt(c, input, rotate); break;
    case OCW2_ROTATE | OCW2_SPECIFIC: c->first = (uint8_t)((input + 1) % INPUTS); break;
    } /* OCW2_SPECIFIC alone: no operation */
}

static void ocw3_write(struct pic_chip *c, uint8_t val) /* [8259 Operation Command Word 3] */
{
    if (val & OCW3_POLL)
        c->poll = true;
    else if (val & OCW3_RR)
        c->read_isr = val & OCW3_RIS;
    if (val & OCW3_ESMM)
        c->special_mask = val & OCW3_SMM;
}

static void icw_write(struct pic_chip *c, uint8_t val)
{
    unsigned after_icw3 = c->wants_icw4 ? 4 : 0;
    switch (c->step) {
    case 2:
        c->base = val & ICW2_BASE;
        c->step = (uint8_t)(c->single ? after_icw3 : 3);
        break;
    case 3:
        c->icw3 = val;
        c->step = (uint8_t)after_icw3;
        break;
    default:
        c->icw4 = val & ICW4_MASK;
        c->step = 0;
        break;
    }
}

static void chip_write(struct pic_chip *c, unsigned off, uint8_t val)
{
    if (off == DATA && c->step != 0)
        icw_write(c, val);
    else if (off == DATA)
        c->imr = val;
    else if (val & ICW1)
        initialize(c, val);
    else if (val & OCW3)
        ocw3_write(c, val);
    else
        ocw2_write(c, val);
}

static void written(struct pic *s, uint16_t old_masks)
{
    update(s);
    if (s->masks_changed && pic_masks(&s->dev) != old_masks)
        s->masks_changed(s->opaque);
}

static uint64_t master_read(void *opaque, uint64_t off, unsigned size)
{
    struct pic *s = opaque;
    uint8_t val = chip_read(s, &s->master, (unsigned)off);
    update(s);
    return val;
}

static void master_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct pic *s = opaque;
    uint16_t masks = pic_masks(&s->dev);
    chip_write(&s->master, (unsigned)off, (uint8_t)val);
    written(s, masks);
}

static uint64_t slave_read(void *opaque, uint64_t off, unsigned size)
{
    struct pic *s = opaque;
    uint8_t val = chip_read(s, &s->slave, (unsigned)off);
    update(s);
    return val;
}

static void slave_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct pic *s = opaque;
    uint16_t masks = pic_masks(&s->dev);
    chip_write(&s->slave, (unsigned)off, (uint8_t)val);
    written(s, masks);
}

static uint64_t elcr_read(void *opaque, uint64_t off, unsigned size)
{
    const struct pic *s = opaque;
    return off == MASTER ? s->master.elcr : s->slave.elcr;
}

static void elcr_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct pic *s = opaque;
    struct pic_chip *c = off == MASTER ? &s->master : &s->slave;
    c->elcr = (uint8_t)val & elcr_bits[off];
    update(s);
}

/* The chip powers up undefined; all zero accepts operation commands at once, as guests of this board know it. */
static void pic_reset(struct device *dev)
{
    struct pic *s = container_of(dev, struct pic, dev);
    uint16_t masks = pic_masks(&s->dev);
    /* Inputs are their drivers' and stay. */
    s->master = (struct pic_chip){ .lines = s->master.lines & (uint8_t) ~(1u << PIC_CASCADE) };
    s->slave = (struct pic_chip){ .lines = s->slave.lines };
    written(s, masks);
}

static bool is_sane(const struct pic_chip *c, unsigned chip)
{
    if ((c->edges & ~c->lines) || (c->elcr & ~elcr_bits[chip]) || (c->base & ~ICW2_BASE) || (c->icw4 & ~ICW4_MASK))
        return false;
    return c->first < INPUTS && c->step != 1 && c->step <= 4 && !(c->step == 4 && !c->wants_icw4) &&
           !(c->step == 3 && c->single) && (c->wants_icw4 || c->icw4 == 0);
}

static int pic_restored(struct device *dev)
{
    struct pic *s = container_of(dev, struct pic, dev);
    if (!is_sane(&s->master, MASTER) || !is_sane(&s->slave, SLAVE))
        return -EINVAL;
    uint16_t masks = pic_masks(&s->dev);
    written(s, (uint16_t)~masks);
    return 0;
}

static void pic_unplug(struct device *dev)
{
    struct pic *s = container_of(dev, struct pic, dev);
    bus_detach(&s->regions[MASTER]);
    bus_detach(&s->regions[SLAVE]);
    bus_detach(&s->elcr_region);
    irq_set(&s->intr, false);
    s->intr = (struct irq){ 0 }; /* inputs may still move */
    s->masks_changed = s->looking = NULL;
}

static const struct bus_ops master_ops = { master_read, master_write, .sizes = BUS_1 };
static const struct bus_ops slave_ops = { slave_read, slave_write, .sizes = BUS_1 };
static const struct bus_ops elcr_ops = { elcr_read, elcr_write, .sizes = BUS_1 };
static const struct device_desc pic_desc = {
    .name = "pic",
    .version = 1,
    .fields = pic_fields,
    .restored = pic_restored,
    .reset = pic_reset,
    .unplug = pic_unplug,
};

int pic_create(const struct pic_config *config, struct device **out)
{
    struct pic *s = device_new(&pic_desc, config->id, sizeof(*s));
    if (!s)
        return -ENOMEM;
    int err = bus_attach(config->ports, &s->regions[MASTER], &master_ops, s, MASTER_BASE, NR_PORTS);
    if (!err)
        err = bus_attach(config->ports, &s->regions[SLAVE], &slave_ops, s, SLAVE_BASE, NR_PORTS);
    if (!err)
        err = bus_attach(config->ports, &s->elcr_region, &elcr_ops, s, ELCR_BASE, NR_PORTS);
    if (err) {
        device_free(&s->dev);
        return err;
    }
    s->intr = config->intr;
    s->masks_changed = config->masks_changed;
    s->looking = config->looking;
    s->opaque = config->opaque;
    *out = &s->dev;
    return 0;
}
