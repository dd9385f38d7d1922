/*
 * Two 8237A DMA controllers and the page registers. Devices move their data when they have some, by dma8237_transfer(),
 * or themselves by dma8237_channel() and dma8237_advance(). Not here: memory to memory transfers (a PC can't), refresh,
 * the gating of channels 0-3 by channel 4. Source: Intel 8237A, order 231466, [8237 name] is its register or command;
 * Intel 82371SB (PIIX3), order 290550, [P3 name] likewise.
 */
#include "dma8237.h" /* struct dma8237_config, dma8237_create(), dma8237_channel() ... */

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <thindm/bus.h>
#include <thindm/device.h>
#include <thindm/mem.h>

enum { LOW_BASE = 0x00, LOW_BYTES = 16, HIGH_BASE = 0xc0, HIGH_BYTES = 32, PAGE_BASE = 0x81, PAGE_PORTS = 15 };
/* Registers 0-7 are address and count of channels 0-3, then: [8237 Software Command Codes] */
enum { COMMAND = 8, STATUS = 8, REQUEST, MASK_ONE, MODE, CLEAR_FLIP_FLOP, MASTER_CLEAR, CLEAR_MASK, MASK_ALL };
enum { COMMAND_DISABLE = 0x04, SELECT = 0x03, SET_BIT = 0x04, ALL = 0x0f };
enum { BOUNCE_BYTES = 256 };
enum { MODE_TYPE_SHIFT = 2, MODE_AUTOINIT = 0x10, MODE_DECREMENT = 0x20, MODE_CASCADE = 0xc0 };

struct dma_controller {
    uint16_t base_addr[4], base_count[4], addr[4], count[4];
    uint8_t mode[4];
    uint8_t command, mask, request, dreq, tc; /* the last four: bit per channel */
    bool high_byte;                           /* the flip-flop */
};

struct dma8237 {
    struct device dev;
    struct bus_region low_region, high_region, page_region;
    /* Guest-visible state. */
    struct dma_controller low, high;
    uint8_t pages[16]; /* by the low digit of the port */
};

#define CONTROLLER_FIELDS(member)                                                                                      \
    SNAP_ARRAY(struct dma8237, member.base_addr), SNAP_ARRAY(struct dma8237, member.base_count),                       \
        SNAP_ARRAY(struct dma8237, member.addr), SNAP_ARRAY(struct dma8237, member.count),                             \
        SNAP_ARRAY(struct dma8237, member.mode), SNAP(struct dma8237, member.command),                                 \
        SNAP(struct dma8237, member.mask), SNAP(struct dma8237, member.request), SNAP(struct dma8237, member.dreq),    \
        SNAP(struct dma8237, member.tc), SNAP(struct dma8237, member.high_byte)

static const struct snap_field dma8237_fields[] = {
    CONTROLLER_FIELDS(low),
    CONTROLLER_FIELDS(high),
    SNAP_ARRAY(struct dma8237, pages),
    SNAP_END,
};

/* Port 8x of each channel's page [P3 DMA Memory Page]. Channel 4's is the refresh page. */
static const uint8_t page_of[DMA_CHANNELS] = { 0x7, 0x3, 0x1, 0x2, 0xf, 0xb, 0x9, 0xa };
/* Hardware has a spare byte at 88 too, but 1f there tells hvmloader that another model's battery exists: read ones. */
enum { PAGE_UNBACKED = 0x8 };

static void master_clear(struct dma_controller *c) /* [8237 Master Clear]; modes, addresses and counts stay */
{
    c->command = c->request = c->tc = 0;
    c->mask = ALL;
    c->high_byte = false;
}

static uint8_t controller_read(struct dma_controller *c, unsigned reg)
{
    uint8_t val = 0; /* write-only registers, and the temporary register without memory to memory */
    if (reg < COMMAND) {
        uint16_t word = reg & 1 ? c->count[reg / 2] : c->addr[reg / 2];
        val = (uint8_t)(c->high_byte ? word >> 8 : word);
        c->high_byte = !c->high_byte;
    } else if (reg == STATUS) {
        val = (uint8_t)((c->dreq | c->request) << 4 | c->tc);
        c->tc = 0; /* [8237 Status Register] */
    } else if (reg == MASK_ALL) {
        val = c->mask; /* [P3 DMA Write All Mask] */
    }
    return val;
}

/* Base and current are written together, by halves [8237 Base Address and Base Word Count Registers]. */
static void half_write(struct dma_controller *c, uint16_t *base, uint16_t *current, uint8_t val)
{
    if (c->high_byte)
        *base = (uint16_t)((*base & 0x00ff) | val << 8);
    else
        *base = (uint16_t)((*base & 0xff00) | val);
    *current = *base;
    c->high_byte = !c->high_byte;
}

static void set_bit(uint8_t *bits, uint8_t val) /* the form of [8237 Request Register] and [8237 Mask Register] */
{
    uint8_t bit = (uint8_t)(1u << (val & SELECT));
    *bits = (uint8_t)(val & SET_BIT ? *bits | bit : *bits & ~bit);
}

static void controller_write(struct dma_controller *c, unsigned reg, uint8_t val)
{
    unsigned channel = reg / 2;
    switch (reg) {
    case COMMAND: c->command = val; break;
    case REQUEST: set_bit(&c->request, val); break;
    case MASK_ONE: set_bit(&c->mask, val); break;
    case MODE: c->mode[val & SELECT] = val & (uint8_t)~SELECT; break;
    case CLEAR_FLIP_FLOP: c->high_byte = false; break;
    case MASTER_CLEAR: master_clear(c); break;
    case CLEAR_MASK: c->mask = 0; break;
    case MASK_ALL: c->mask = val & ALL; break;
    default:
        if (reg & 1)
            half_write(c, &c->base_count[channel], &c->count[channel], val);
        else
            half_write(c, &c->base_addr[channel], &c->addr[channel], val);
        break;
    }
}

static uint64_t low_read(void *opaque, uint64_t off, unsigned size)
{
    struct dma8237 *s = opaque;
    return controller_read(&s->low, (unsigned)off);
}

static void low_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct dma8237 *s = opaque;
    controller_write(&s->low, (unsigned)off, (uint8_t)val);
}

/* The second controller's address lines are shifted by one: odd ports repeat the even ones [P3 DMA ports]. */
static uint64_t high_read(void *opaque, uint64_t off, unsigned size)
{
    struct dma8237 *s = opaque;
    return controller_read(&s->high, (unsigned)off / 2);
}

static void high_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct dma8237 *s = opaque;
    controller_write(&s->high, (unsigned)off / 2, (uint8_t)val);
}

static uint64_t page_read(void *opaque, uint64_t off, unsigned size)
{
    const struct dma8237 *s = opaque;
    unsigned page = (PAGE_BASE & 0xf) + (unsigned)off;
    return page == PAGE_UNBACKED ? 0xff : s->pages[page];
}

static void page_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct dma8237 *s = opaque;
    unsigned page = (PAGE_BASE & 0xf) + (unsigned)off;
    if (page != PAGE_UNBACKED)
        s->pages[page] = (uint8_t)val;
}

static struct dma_controller *controller_of(struct dma8237 *s, unsigned channel)
{
    assert(channel < DMA_CHANNELS);
    return channel < 4 ? &s->low : &s->high;
}

struct dma8237_channel dma8237_channel(const struct device *dev, unsigned channel)
{
    struct dma8237 *s = container_of(dev, struct dma8237, dev);
    const struct dma_controller *c = controller_of(s, channel);
    unsigned i = channel % 4;
    uint32_t page = s->pages[page_of[channel]];
    struct dma8237_channel out = {
        .ready = !(c->mask >> i & 1) && !(c->command & COMMAND_DISABLE) && (c->mode[i] & MODE_CASCADE) != MODE_CASCADE,
        .decrement = c->mode[i] & MODE_DECREMENT,
        .autoinit = c->mode[i] & MODE_AUTOINIT,
        .type = (enum dma8237_type)(c->mode[i] >> MODE_TYPE_SHIFT & 3),
        .unit = channel < 4 ? 1 : 2,
        .units = c->count[i] + 1u,
    };
    /* Words: the address counts words, and bit 0 of the page is not used [P3 DMA Memory Page]. */
    out.addr = channel < 4 ? page << 16 | c->addr[i] : (page & 0xfe) << 16 | (uint32_t)c->addr[i] << 1;
    return out;
}

void dma8237_set_request(struct device *dev, unsigned channel, bool level)
{
    struct dma8237 *s = container_of(dev, struct dma8237, dev);
    struct dma_controller *c = controller_of(s, channel);
    set_bit(&c->dreq, (uint8_t)(channel % 4 | (level ? SET_BIT : 0)));
}

bool dma8237_advance(struct device *dev, unsigned channel, uint32_t units)
{
    struct dma8237 *s = container_of(dev, struct dma8237, dev);
    struct dma_controller *c = controller_of(s, channel);
    unsigned i = channel % 4;
    uint8_t bit = (uint8_t)(1u << i);
    assert(units <= c->count[i] + 1u);
    bool end = units == c->count[i] + 1u;
    c->addr[i] = (uint16_t)(c->mode[i] & MODE_DECREMENT ? c->addr[i] - units : c->addr[i] + units);
    c->count[i] = (uint16_t)(c->count[i] - units);
    if (!end)
        return false;
    c->tc |= bit;
    c->request &= (uint8_t)~bit;
    if (c->mode[i] & MODE_AUTOINIT) { /* [8237 Autoinitialize] */
        c->addr[i] = c->base_addr[i];
        c->count[i] = c->base_count[i];
    } else {
        c->mask |= bit;
    }
    return true;
}

static void move(struct mem *mem, enum dma8237_type type, uint32_t addr, uint8_t *buf, size_t len)
{
    if (type == DMA_WRITE)
        (void)mem_write(mem, addr, buf, len);
    else
        (void)mem_read(mem, addr, buf, len);
}

/* Units that end at addr, the first one highest; at most BOUNCE_BYTES. */
static void move_down(struct mem *mem, const struct dma8237_channel *ch, uint32_t addr, uint8_t *buf, size_t len)
{
    uint8_t bounce[BOUNCE_BYTES];
    assert(len <= sizeof(bounce));
    uint32_t lowest = addr - (uint32_t)len + ch->unit;
    if (ch->type == DMA_READ)
        move(mem, DMA_READ, lowest, bounce, len);
    for (size_t at = 0; at < len; at += ch->unit) {
        uint8_t *in_memory = bounce + len - ch->unit - at;
        memcpy(ch->type == DMA_READ ? buf + at : in_memory, ch->type == DMA_READ ? in_memory : buf + at, ch->unit);
    }
    if (ch->type == DMA_WRITE)
        move(mem, DMA_WRITE, lowest, bounce, len);
}

/* len bytes from ch->addr on, which wraps at the ends of its page [P3 DMA Memory Page]. */
static void move_in_page(struct mem *mem, const struct dma8237_channel *ch, uint8_t *buf, size_t len)
{
    uint32_t page_bytes = UINT32_C(0x10000) * ch->unit, page = ch->addr & ~(page_bytes - 1),
             off = ch->addr & (page_bytes - 1);
    while (len > 0) {
        uint32_t run = (uint32_t)min_u64(len, ch->decrement ? min_u64(off + ch->unit, BOUNCE_BYTES) : page_bytes - off);
        if (ch->decrement)
            move_down(mem, ch, page + off, buf, run);
        else
            move(mem, ch->type, page + off, buf, run);
        off = (ch->decrement ? off - run : off + run) & (page_bytes - 1);
        buf += run;
        len -= run;
    }
}

struct dma8237_moved dma8237_transfer(struct device *dev, unsigned channel, struct mem *mem, void *buf, size_t len)
{
    struct dma8237_channel ch = dma8237_channel(dev, channel);
    uint32_t units = (uint32_t)min_u64(len / ch.unit, ch.units);
    if (!ch.ready || ch.type == DMA_ILLEGAL || units == 0)
        return (struct dma8237_moved){ 0 };
    size_t bytes = (size_t)units * ch.unit;
    if (ch.type != DMA_VERIFY)
        move_in_page(mem, &ch, buf, bytes);
    return (struct dma8237_moved){ .bytes = bytes, .end = dma8237_advance(dev, channel, units) };
}

static void dma8237_reset(struct device *dev)
{
    struct dma8237 *s = container_of(dev, struct dma8237, dev);
    s->low = s->high = (struct dma_controller){ 0 };
    for (unsigned i = 0; i < sizeof(s->pages); i++)
        s->pages[i] = 0;
    master_clear(&s->low);
    master_clear(&s->high);
}

static bool is_sane(const struct dma_controller *c)
{
    for (unsigned i = 0; i < 4; i++) {
        if (c->mode[i] & SELECT)
            return false;
    }
    return ((c->mask | c->request | c->dreq | c->tc) & ~ALL) == 0;
}

static int dma8237_restored(struct device *dev)
{
    struct dma8237 *s = container_of(dev, struct dma8237, dev);
    return is_sane(&s->low) && is_sane(&s->high) ? 0 : -EINVAL;
}

static void dma8237_unplug(struct device *dev)
{
    struct dma8237 *s = container_of(dev, struct dma8237, dev);
    bus_detach(&s->low_region);
    bus_detach(&s->high_region);
    bus_detach(&s->page_region);
}

static const struct bus_ops low_ops = { low_read, low_write, .sizes = BUS_1 };
static const struct bus_ops high_ops = { high_read, high_write, .sizes = BUS_1 };
static const struct bus_ops page_ops = { page_read, page_write, .sizes = BUS_1 };
static const struct device_desc dma8237_desc = {
    .name = "dma8237",
    .version = 1,
    .fields = dma8237_fields,
    .restored = dma8237_restored,
    .reset = dma8237_reset,
    .unplug = dma8237_unplug,
};

int dma8237_create(const struct dma8237_config *config, struct device **out)
{
    struct dma8237 *s = device_new(&dma8237_desc, config->id, sizeof(*s));
    if (!s)
        return -ENOMEM;
    int err = bus_attach(config->ports, &s->low_region, &low_ops, s, LOW_BASE, LOW_BYTES);
    if (!err)
        err = bus_attach(config->ports, &s->high_region, &high_ops, s, HIGH_BASE, HIGH_BYTES);
    if (!err)
        err = bus_attach(config->ports, &s->page_region, &page_ops, s, PAGE_BASE, PAGE_PORTS);
    if (err) {
        device_free(&s->dev);
        return err;
    }
    *out = &s->dev;
    return 0;
}
