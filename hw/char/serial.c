/*
 * 16550A serial port with both FIFOs and loopback.
 * Source: National Semiconductor PC16550D, June 1995; [NS n] is its section n.
 * A transmitted byte is gone at once, so the transmitter is always empty and its FIFO never holds anything; what the
 * back end doesn't take is lost. Left out: the bit times of the transmitter, DMA mode (no pins on a PC), 5-bit masking
 * of data. The interrupt doesn't pass through OUT2 as it does on PC boards: guests of the xenfv board have always seen
 * it ungated.
 */
#include "serial.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include <thindm/chr.h>
#include <thindm/device.h>
#include <thindm/loop.h>

/* Ports; DLL and DLM replace the first two while LCR_DLAB is set. Reading FCR gives IIR [NS table 2]. */
enum { DATA, IER, FCR, LCR, MCR, LSR, MSR, SCR, NR_REGS };
enum { IER_RX = 0x01, IER_TX = 0x02, IER_LINE = 0x04, IER_MODEM = 0x08, IER_MASK = 0x0f };
enum { IIR_MODEM = 0x00, IIR_NONE = 0x01, IIR_TX = 0x02, IIR_RX = 0x04, IIR_LINE = 0x06, IIR_IDLE = 0x0c };
enum { IIR_FIFO = 0xc0 };
enum { FCR_ENABLE = 0x01, FCR_CLEAR_RX = 0x02, FCR_CLEAR_TX = 0x04, FCR_TRIGGER_SHIFT = 6, FCR_STORED = 0xc1 };
enum { LCR_BITS = 0x03, LCR_STOP = 0x04, LCR_PARITY = 0x08, LCR_DLAB = 0x80 };
enum { MCR_DTR = 0x01, MCR_RTS = 0x02, MCR_OUT1 = 0x04, MCR_OUT2 = 0x08, MCR_LOOP = 0x10, MCR_MASK = 0x1f };
enum { LSR_DR = 0x01, LSR_OE = 0x02, LSR_BI = 0x10, LSR_TX_EMPTY = 0x60, LSR_FIFO_ERROR = 0x80 };
enum { LSR_CHAR_ERRORS = 0x1c, LSR_ERRORS = LSR_CHAR_ERRORS | LSR_OE };
enum { MSR_DCTS = 0x01, MSR_DDSR = 0x02, MSR_TERI = 0x04, MSR_DDCD = 0x08, MSR_DELTAS = 0x0f };
enum { MSR_CTS = 0x10, MSR_DSR = 0x20, MSR_RI = 0x40, MSR_DCD = 0x80 };
enum { FIFO_BYTES = 16, INPUT_HZ = 1843200, DIVISOR_9600 = 12 };

struct serial {
    struct device dev;
    struct bus_region region;
    struct irq irq;
    struct chr *chr; /* owned until unplug, then NULL */
    /* Guest-visible state: all of it, and nothing else, is in serial_fields[]. */
    struct timer rx_idle;
    uint16_t divisor;
    uint8_t ier, fcr, lcr, mcr, msr, scr;
    uint8_t lsr_errors;                            /* those of the oldest byte, and overrun; until LSR is read */
    uint8_t rx[FIFO_BYTES], rx_errors[FIFO_BYTES]; /* a byte and what was wrong with it */
    uint8_t rx_head, rx_count;
    bool rx_stale;   /* four character times without a byte in or out */
    bool tx_pending; /* the transmitter ran empty and the guest wasn't told */
};

static const struct snap_field serial_fields[] = {
    SNAP(struct serial, rx_idle),  SNAP(struct serial, divisor),         SNAP(struct serial, ier),
    SNAP(struct serial, fcr),      SNAP(struct serial, lcr),             SNAP(struct serial, mcr),
    SNAP(struct serial, msr),      SNAP(struct serial, scr),             SNAP(struct serial, lsr_errors),
    SNAP_ARRAY(struct serial, rx), SNAP_ARRAY(struct serial, rx_errors), SNAP(struct serial, rx_head),
    SNAP(struct serial, rx_count), SNAP(struct serial, rx_stale),        SNAP(struct serial, tx_pending),
    SNAP_END,
};

static bool fifo_mode(const struct serial *s)
{
    return s->fcr & FCR_ENABLE;
}

/* Without FIFOs the receiver holds one byte, always in rx[0], as the 16450 does [NS 8.4]. */
static unsigned rx_depth(const struct serial *s)
{
    return fifo_mode(s) ? FIFO_BYTES : 1;
}

static unsigned rx_trigger(const struct serial *s)
{
    static const uint8_t levels[4] = { 1, 4, 8, 14 };
    return fifo_mode(s) ? levels[s->fcr >> FCR_TRIGGER_SHIFT] : 1;
}

/* The cause is a function of the state; line and IIR both come from it, by priority [NS 8.6, table 5]. */
static uint8_t cause(const struct serial *s)
{
    if ((s->ier & IER_LINE) && s->lsr_errors)
        return IIR_LINE;
    if ((s->ier & IER_RX) && s->rx_count >= rx_trigger(s))
        return IIR_RX;
    if ((s->ier & IER_RX) && s->rx_stale)
        return IIR_IDLE;
    if ((s->ier & IER_TX) && s->tx_pending)
        return IIR_TX;
    return (s->ier & IER_MODEM) && (s->msr & MSR_DELTAS) ? IIR_MODEM : IIR_NONE;
}

/* Start, data, parity and stop bits of four characters [NS 8.11]. Divisor 0 stops the chip's clock; here it is 1. */
static uint64_t idle_ns(const struct serial *s)
{
    unsigned bits = 1u + 5u + (s->lcr & LCR_BITS) + (s->lcr & LCR_PARITY ? 1u : 0u) + (s->lcr & LCR_STOP ? 2u : 1u);
    uint64_t divisor = s->divisor ? s->divisor : 1;
    return 4 * bits * 16 * divisor * NS_PER_S / INPUT_HZ;
}

/* Ends every path that changes state. touched: a byte went in or out, so the idle time starts anew. */
static void update(struct serial *s, bool touched)
{
    if (touched) {
        s->rx_stale = false;
        timer_cancel(&s->rx_idle);
        if (fifo_mode(s) && s->rx_count > 0)
            timer_arm(&s->rx_idle, idle_ns(s));
    }
    irq_set(&s->irq, cause(s) != IIR_NONE);
}

static void rx_idle_expired(void *opaque)
{
    struct serial *s = opaque;
    s->rx_stale = fifo_mode(s) && s->rx_count > 0;
    update(s, false);
}

/* The errors of a byte show when it becomes the oldest [NS 8.5]. */
static void reveal_errors(struct serial *s)
{
    if (s->rx_count > 0) {
        s->lsr_errors |= s->rx_errors[s->rx_head];
        s->rx_errors[s->rx_head] = 0;
    }
}

static void rx_push(struct serial *s, uint8_t byte, uint8_t errors)
{
    if (s->rx_count == rx_depth(s)) {
        /* A full FIFO keeps what it has, the single register takes the new byte [NS 8.5, bit 1]. */
        s->lsr_errors |= LSR_OE;
        if (!fifo_mode(s))
            s->rx[0] = byte;
        return;
    }
    unsigned at = (s->rx_head + s->rx_count) % rx_depth(s);
    s->rx[at] = byte;
    s->rx_errors[at] = errors;
    s->rx_count++;
    if (s->rx_count == 1)
        reveal_errors(s);
}

static void rx_clear(struct serial *s)
{
    s->rx_head = 0;
    s->rx_count = 0;
    memset(s->rx_errors, 0, sizeof(s->rx_errors));
    s->lsr_errors &= LSR_OE;
    chr_resume(s->chr);
}

static uint8_t rx_pop(struct serial *s)
{
    if (s->rx_count == 0)
        return fifo_mode(s) ? 0 : s->rx[0];
    uint8_t byte = s->rx[s->rx_head];
    s->rx_head = (uint8_t)((s->rx_head + 1) % rx_depth(s));
    s->rx_count--;
    reveal_errors(s);
    chr_resume(s->chr); /* there is room again; bytes come later, from the loop */
    update(s, true);
    return byte;
}

/*
 * The line falls and rises again for each write: THRE is reset by a write as well as by reading IIR [NS 8.6], and
 * behind an edge-triggered controller a driver that only writes needs the new edge.
 */
static void transmit(struct serial *s, const uint8_t *buf, size_t count)
{
    s->tx_pending = false;
    update(s, false);
    if (s->mcr & MCR_LOOP) {
        for (size_t i = 0; i < count; i++)
            rx_push(s, buf[i], 0);
    } else {
        (void)chr_write(s->chr, buf, count); /* a full back end drops the rest */
    }
    s->tx_pending = true;
    update(s, s->mcr & MCR_LOOP);
}

/* The four inputs: from the connector, where a ready modem always is, or from the outputs in loopback [NS 8.7]. */
static uint8_t modem_inputs(const struct serial *s)
{
    if (!(s->mcr & MCR_LOOP))
        return MSR_DCD | MSR_DSR | MSR_CTS;
    return (uint8_t)((s->mcr & MCR_RTS ? MSR_CTS : 0) | (s->mcr & MCR_DTR ? MSR_DSR : 0) |
                     (s->mcr & MCR_OUT1 ? MSR_RI : 0) | (s->mcr & MCR_OUT2 ? MSR_DCD : 0));
}

/* The deltas gather until MSR is read; RI counts its trailing edge only [NS 8.8]. */
static void sample_modem(struct serial *s)
{
    uint8_t now = modem_inputs(s), changed = (uint8_t)(now ^ (s->msr & ~MSR_DELTAS));
    uint8_t deltas = s->msr & MSR_DELTAS;
    deltas |= changed & MSR_CTS ? MSR_DCTS : 0;
    deltas |= changed & MSR_DSR ? MSR_DDSR : 0;
    deltas |= changed & MSR_DCD ? MSR_DDCD : 0;
    deltas |= (changed & MSR_RI) && !(now & MSR_RI) ? MSR_TERI : 0;
    s->msr = now | deltas;
}

static uint8_t read_iir(struct serial *s)
{
    uint8_t id = cause(s);
    if (id == IIR_TX) {
        s->tx_pending = false; /* reading it as the source is the acknowledge [NS 8.6] */
        update(s, false);
    }
    return id | (fifo_mode(s) ? IIR_FIFO : 0);
}

static uint8_t read_lsr(struct serial *s)
{
    uint8_t val = LSR_TX_EMPTY | (s->rx_count > 0 ? LSR_DR : 0) | s->lsr_errors;
    uint8_t waiting = s->lsr_errors;
    for (unsigned i = 0; i < s->rx_count; i++)
        waiting |= s->rx_errors[(s->rx_head + i) % FIFO_BYTES];
    if (fifo_mode(s) && (waiting & LSR_CHAR_ERRORS))
        val |= LSR_FIFO_ERROR;
    s->lsr_errors = 0;
    update(s, false);
    return val;
}

static uint64_t serial_read(void *opaque, uint64_t off, unsigned size)
{
    struct serial *s = opaque;
    bool dlab = s->lcr & LCR_DLAB;
    switch (off) { /* the bus lets only off < NR_REGS and size 1 through */
    case DATA: return dlab ? s->divisor & 0xff : rx_pop(s);
    case IER:  return dlab ? s->divisor >> 8 : s->ier;
    case FCR:  return read_iir(s);
    case LCR:  return s->lcr;
    case MCR:  return s->mcr;
    case LSR:  return read_lsr(s);
    case SCR:  return s->scr;
    }
    uint8_t val = s->msr; /* MSR; reading clears the deltas [NS 8.8] */
    s->msr &= (uint8_t)~MSR_DELTAS;
    update(s, false);
    return val;
}

static void write_ier(struct serial *s, uint8_t val)
{
    /* Enabling the interrupt of an empty transmitter raises it; Linux and Windows start sending this way [NS 8.6]. */
    if ((val ^ s->ier) & IER_TX)
        s->tx_pending = val & IER_TX;
    s->ier = val & IER_MASK;
    update(s, false);
}

static void write_fcr(struct serial *s, uint8_t val)
{
    /* Switching the mode clears both FIFOs; without bit 0 the other bits aren't programmed [NS 8.4]. */
    bool switched = (val ^ s->fcr) & FCR_ENABLE, enable = val & FCR_ENABLE;
    if (switched || (enable && (val & FCR_CLEAR_RX)))
        rx_clear(s);
    if (switched || (val & FCR_CLEAR_TX))
        s->tx_pending = true; /* not in the data sheet; guests of this board get the interrupt after any clear */
    s->fcr = enable ? val & FCR_STORED : 0;
    update(s, s->rx_count == 0);
}

static void write_mcr(struct serial *s, uint8_t val)
{
    bool was_loop = s->mcr & MCR_LOOP;
    s->mcr = val & MCR_MASK;
    sample_modem(s);
    if (was_loop && !(s->mcr & MCR_LOOP))
        chr_resume(s->chr); /* the receiver hears the connector again */
    update(s, false);
}

static void serial_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct serial *s = opaque;
    uint8_t byte = (uint8_t)val;
    bool dlab = s->lcr & LCR_DLAB;
    switch (off) {
    case DATA:
        if (dlab)
            s->divisor = (uint16_t)((s->divisor & 0xff00) | byte);
        else
            transmit(s, &byte, 1);
        break;
    case IER:
        if (dlab)
            s->divisor = (uint16_t)((s->divisor & 0x00ff) | byte << 8);
        else
            write_ier(s, byte);
        break;
    case FCR: write_fcr(s, byte); break;
    case LCR: s->lcr = byte; break; /* no back end can send a break [NS 8.2, bit 6] */
    case MCR: write_mcr(s, byte); break;
    case SCR: s->scr = byte; break;
    } /* LSR and MSR: written in the factory only [NS 8.5, 8.8] */
}

/* OUTSB: firmware and boot loaders print whole lines. Loopback and the divisor go byte by byte. */
static size_t serial_write_block(void *opaque, uint64_t off, unsigned size, const void *buf, size_t count)
{
    struct serial *s = opaque;
    if (off != DATA || size != 1 || count == 0 || (s->lcr & LCR_DLAB) || (s->mcr & MCR_LOOP))
        return 0;
    transmit(s, buf, count);
    return count;
}

/* In loopback the receiver is cut off the connector [NS 8.7]: bytes wait, so that a driver's probe doesn't eat them. */
static size_t serial_room(void *opaque)
{
    const struct serial *s = opaque;
    return s->mcr & MCR_LOOP ? 0 : rx_depth(s) - s->rx_count;
}

static void serial_recv(void *opaque, const uint8_t *buf, size_t len)
{
    struct serial *s = opaque;
    for (size_t i = 0; i < len; i++)
        rx_push(s, buf[i], 0);
    update(s, true);
}

static void serial_reset(struct device *dev)
{
    struct serial *s = container_of(dev, struct serial, dev);
    /* Divisor and MCR as guests of this board know them; the chip leaves the divisor undefined [NS table 1]. */
    s->divisor = DIVISOR_9600;
    s->ier = s->fcr = s->lcr = s->scr = 0;
    s->mcr = MCR_OUT2;
    s->msr = modem_inputs(s);
    memset(s->rx, 0, sizeof(s->rx));
    rx_clear(s);
    s->lsr_errors = 0;
    s->tx_pending = false;
    update(s, true);
}

static int serial_restored(struct device *dev) /* a snapshot is outside input: check, then derive */
{
    struct serial *s = container_of(dev, struct serial, dev);
    if ((s->ier & ~IER_MASK) || (s->fcr & ~FCR_STORED) || (!fifo_mode(s) && s->fcr) || (s->mcr & ~MCR_MASK))
        return -EINVAL;
    if (s->rx_head >= rx_depth(s) || s->rx_count > rx_depth(s) || (s->lsr_errors & ~LSR_ERRORS))
        return -EINVAL;
    for (unsigned i = 0; i < FIFO_BYTES; i++)
        if (s->rx_errors[i] & ~LSR_CHAR_ERRORS)
            return -EINVAL;
    if (s->rx_stale && (!fifo_mode(s) || s->rx_count == 0))
        return -EINVAL;
    update(s, false);
    chr_resume(s->chr); /* the reset before had let bytes come for an empty receiver */
    return 0;
}

static void serial_unplug(struct device *dev) /* idempotent; device_free() calls it first */
{
    struct serial *s = container_of(dev, struct serial, dev);
    bus_detach(&s->region); /* the guest reads 0xff from now on */
    timer_cancel(&s->rx_idle);
    irq_set(&s->irq, false);
    chr_close(s->chr); /* and with it the file, socket or pty */
    s->chr = NULL;
}

static const struct bus_ops serial_ops = {
    .read = serial_read, .write = serial_write, .sizes = BUS_1, .write_block = serial_write_block,
};
static const struct chr_user serial_user = { .room = serial_room, .recv = serial_recv };
static const struct device_desc serial_desc = {
    .name = "serial", .version = 1, .fields = serial_fields, .restored = serial_restored,
    .reset = serial_reset, .unplug = serial_unplug, /* .destroy: NULL, the struct is all there is */
};

void serial_break(struct device *dev)
{
    assert(dev->desc == &serial_desc);
    struct serial *s = container_of(dev, struct serial, dev);
    if (!s->region.bus || serial_room(s) == 0)
        return;
    rx_push(s, 0, LSR_BI);
    update(s, true);
}

int serial_create(const struct serial_config *config, struct device **out)
{
    struct serial *s = device_new(&serial_desc, config->id, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->irq = config->irq;
    timer_init(&s->rx_idle, config->loop, rx_idle_expired, s);
    int err = bus_attach(config->ports, &s->region, &serial_ops, s, config->base, NR_REGS);
    if (err) {
        device_free(&s->dev); /* config->chr is still the caller's */
        return err;
    }
    s->chr = config->chr;
    if (s->chr)
        chr_bind(s->chr, &serial_user, s);
    *out = &s->dev;
    return 0; /* the machine resets all devices once the board is wired */
}
