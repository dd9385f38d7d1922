/* 16550A: one function per clause of the PC16550D data sheet; [NS n] is its section n. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rig.h"
#include "serial.h"

enum { COM1 = 0x3f8, DATA = COM1, IER, IIR, LCR, MCR, LSR, MSR, SCR, FCR = IIR };
enum { CHARACTER_NS = 86805, MODEM_READY = 0xb0 };

static int plug_in(void **state)
{
    struct rig *r = *state = *state ? *state : rig_new();
    int err = serial_create(&(struct serial_config){ .id = "com1", .loop = &r->loop, .ports = &r->ports, .base = COM1,
                                                     .irq = rig_irq(r), .chr = rig_chr(r) },
                            &r->dev);
    if (err)
        return err;
    r->dev->log = &r->log;
    r->dev->desc->reset(r->dev);
    return 0;
}

/* 115200 baud, 8N1, interrupts as asked, FIFOs on with the trigger of fcr. */
static void set_up(struct rig *r, uint8_t ier, uint8_t fcr)
{
    rig_out8(r, LCR, 0x83);
    rig_out8(r, DATA, 1);
    rig_out8(r, IER, 0);
    rig_out8(r, LCR, 0x03);
    rig_out8(r, FCR, fcr);
    rig_out8(r, IER, ier);
}

static void registers_after_reset(void **state)
{
    struct rig *r = *state;
    static const uint8_t expected[8] = { 0x00, 0x00, 0x01, 0x00, 0x08, 0x60, MODEM_READY, 0x00 };
    for (uint16_t i = 0; i < 8; i++)
        assert_int_equal(rig_in8(r, (uint16_t)(COM1 + i)), expected[i]);
    rig_out8(r, LCR, 0x80);
    assert_int_equal(rig_in16(r, COM1), 12); /* 9600 baud */
    assert_false(r->level);
}

static void reset_undoes_everything(void **state)
{
    struct rig *r = *state;
    set_up(r, 0x0f, 0xc1);
    rig_feed(r, "abc");
    rig_out8(r, MCR, 0x1f);
    rig_out8(r, SCR, 0x55);
    r->dev->desc->reset(r->dev);
    assert_false(r->level);
    registers_after_reset(state);
    rig_run(r, NS_PER_S);
    assert_false(r->level);
}

static void registers_hold_what_they_have_bits_for(void **state)
{
    struct rig *r = *state;
    for (unsigned val = 0; val < 256; val++) {
        rig_out8(r, LCR, (uint8_t)(val & 0x7f));
        assert_int_equal(rig_in8(r, LCR), val & 0x7f);
        rig_out8(r, IER, (uint8_t)val);
        assert_int_equal(rig_in8(r, IER), val & 0x0f);
        rig_out8(r, MCR, (uint8_t)val);
        assert_int_equal(rig_in8(r, MCR), val & 0x1f);
        rig_out8(r, SCR, (uint8_t)val);
        assert_int_equal(rig_in8(r, SCR), val);
    }
    rig_out8(r, MCR, 0);
    rig_out8(r, LSR, 0xff); /* read-only in use [NS 8.5] */
    assert_int_equal(rig_in8(r, LSR) & 0x60, 0x60);
}

static void divisor_hides_data_and_enable(void **state)
{
    struct rig *r = *state;
    rig_out8(r, IER, 0x05);
    rig_out8(r, LCR, 0x83);
    rig_out8(r, DATA, 0x34);
    rig_out8(r, IER, 0x12);
    assert_int_equal(rig_in8(r, DATA), 0x34);
    assert_int_equal(rig_in8(r, IER), 0x12);
    rig_out8(r, LCR, 0x03);
    assert_int_equal(rig_in8(r, IER), 0x05);
    assert_int_equal(r->out_len, 0);
}

static void wide_accesses_are_bytes_side_by_side(void **state)
{
    struct rig *r = *state;
    rig_out8(r, LCR, 0x80);
    rig_out16(r, DATA, 0x1234);
    assert_int_equal(rig_in16(r, DATA), 0x1234);
    rig_out32(r, DATA, 0x0301abcd); /* divisor, FIFO on, 8N1 */
    assert_int_equal(rig_in8(r, IIR), 0xc1);
    assert_int_equal(rig_in8(r, LCR), 0x03);
    rig_out32(r, MCR, 0xa5000003);
    assert_int_equal(rig_in32(r, MCR), 0xa5000003u | 0x60 << 8 | MODEM_READY << 16);
}

static void bytes_go_out_at_once(void **state)
{
    struct rig *r = *state;
    rig_out8(r, DATA, 'a');
    rig_out16(r, DATA, 'b');
    assert_int_equal(r->out_len, 2);
    assert_memory_equal(r->out, "ab", 2);
    assert_int_equal(rig_in8(r, LSR), 0x60);
}

static void string_output_is_one_write(void **state)
{
    struct rig *r = *state;
    set_up(r, 0x02, 0x01);
    (void)rig_in8(r, IIR);
    unsigned before = r->edges;
    bus_write_rep(&r->ports, DATA, 1, "hello, world", 12);
    assert_int_equal(r->out_len, 12);
    assert_memory_equal(r->out, "hello, world", 12);
    assert_int_equal(r->edges, before + 1);
    rig_out8(r, LCR, 0x83); /* with DLAB it is the divisor; the last one stays */
    bus_write_rep(&r->ports, DATA, 1, "xyz", 3);
    assert_int_equal(rig_in8(r, DATA), 'z');
    rig_out8(r, LCR, 0x03);
    bus_write_rep(&r->ports, SCR, 1, "12", 2);
    assert_int_equal(rig_in8(r, SCR), '2');
    bus_write_rep(&r->ports, DATA, 2, "AbCd", 2); /* words: the upper byte is IER's */
    assert_int_equal(r->out_len, 14);
    assert_memory_equal(r->out + 12, "AC", 2);
}

static void full_back_end_drops(void **state)
{
    struct rig *r = *state;
    for (unsigned i = 0; i < sizeof(r->out) + 100; i++)
        rig_out8(r, DATA, 'x');
    assert_int_equal(r->out_len, sizeof(r->out));
    assert_int_equal(rig_in8(r, LSR), 0x60);
}

/* [NS 8.6] THRE is cleared by reading IIR if it is the source, or by writing THR. */
static void transmitter_empty_interrupts(void **state)
{
    struct rig *r = *state;
    rig_out8(r, IER, 0x02);
    assert_true(r->level);
    assert_int_equal(rig_in8(r, IIR), 0x02);
    assert_false(r->level);
    assert_int_equal(rig_in8(r, IIR), 0x01);
    rig_out8(r, DATA, 'x');
    assert_true(r->level);
    unsigned before = r->edges;
    rig_out8(r, DATA, 'y'); /* never read IIR: a new edge all the same */
    assert_true(r->level);
    assert_int_equal(r->edges, before + 1);
    rig_out8(r, IER, 0x00);
    assert_false(r->level);
}

/* What the Linux driver checks at start: enabling again raises it again, and so does enabling with the line shared. */
static void enabling_raises_transmitter_empty_again(void **state)
{
    struct rig *r = *state;
    for (unsigned i = 0; i < 3; i++) {
        rig_out8(r, IER, 0x02);
        assert_int_equal(rig_in8(r, IIR), 0x02);
        rig_out8(r, IER, 0x02); /* no change, no interrupt */
        assert_int_equal(rig_in8(r, IIR), 0x01);
        rig_out8(r, IER, 0x00);
    }
}

static void received_byte_interrupts_until_read(void **state)
{
    struct rig *r = *state;
    rig_out8(r, IER, 0x01);
    rig_feed(r, "ab");
    assert_true(r->level);
    assert_int_equal(rig_in8(r, IIR), 0x04);
    assert_true(r->level); /* reading IIR doesn't take it back */
    assert_int_equal(rig_in8(r, LSR), 0x61);
    assert_int_equal(rig_in8(r, DATA), 'a');
    assert_false(r->level);
    assert_int_equal(rig_in8(r, DATA), 'a'); /* the register keeps the byte */
    rig_settle(r);
    assert_true(r->level); /* 'b' had waited outside */
    assert_int_equal(rig_in8(r, DATA), 'b');
    assert_int_equal(rig_in8(r, LSR), 0x60);
}

static void out2_doesn_t_gate(void **state)
{
    struct rig *r = *state;
    rig_out8(r, MCR, 0);
    rig_out8(r, IER, 0x01);
    rig_feed(r, "a");
    assert_true(r->level);
}

static void trigger_levels(void **state)
{
    struct rig *r = *state;
    static const unsigned levels[4] = { 1, 4, 8, 14 };
    for (unsigned i = 0; i < 4; i++) {
        set_up(r, 0x01, (uint8_t)(0x07 | i << 6));
        for (unsigned n = 1; n <= 16; n++) {
            rig_feed(r, "x");
            assert_int_equal(r->level, n >= levels[i]);
            assert_int_equal(rig_in8(r, IIR), n >= levels[i] ? 0xc4 : 0xc1);
        }
        for (unsigned n = 16; n > 0; n--) {
            assert_int_equal(rig_in8(r, DATA), 'x');
            assert_int_equal(r->level, n - 1 >= levels[i]);
        }
    }
}

/* [NS 8.11] one byte below the trigger interrupts after four character times, not before. */
static void lone_byte_interrupts_when_idle(void **state)
{
    struct rig *r = *state;
    set_up(r, 0x01, 0x81);
    rig_feed(r, "x");
    rig_run(r, 347221);
    assert_false(r->level);
    rig_run(r, 1);
    assert_true(r->level);
    assert_int_equal(rig_in8(r, IIR), 0xcc);
    assert_int_equal(rig_in8(r, DATA), 'x');
    assert_int_equal(rig_in8(r, LSR), 0x60); /* it was the only one */
    assert_false(r->level);
}

static void idle_time_starts_anew_with_each_byte(void **state)
{
    struct rig *r = *state;
    set_up(r, 0x01, 0xc1);
    for (unsigned i = 0; i < 10; i++) {
        rig_feed(r, "x");
        rig_run(r, 3 * CHARACTER_NS);
        assert_false(r->level);
    }
    rig_run(r, 2 * CHARACTER_NS);
    assert_int_equal(rig_in8(r, IIR), 0xcc);
    assert_int_equal(rig_in8(r, DATA), 'x'); /* a read starts it anew as well */
    assert_false(r->level);
    rig_run(r, 3 * CHARACTER_NS);
    assert_false(r->level);
    rig_run(r, 2 * CHARACTER_NS);
    assert_true(r->level);
}

/* Four times start, data, parity and stop bits at the programmed speed. */
static void idle_time_follows_divisor_and_format(void **state)
{
    struct rig *r = *state;
    static const struct {
        uint8_t lcr;
        uint16_t divisor;
        uint64_t bits;
    } rows[] = { { 0x03, 1, 10 }, { 0x00, 1, 7 }, { 0x1f, 1, 12 }, { 0x03, 12, 10 }, { 0x0a, 0xffff, 10 } };
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        set_up(r, 0x01, 0x83);
        rig_out8(r, LCR, 0x80);
        rig_out16(r, DATA, rows[i].divisor);
        rig_out8(r, LCR, rows[i].lcr);
        uint64_t ns = 4 * rows[i].bits * 16 * rows[i].divisor * NS_PER_S / 1843200;
        rig_feed(r, "x");
        rig_run(r, ns - 1);
        assert_false(r->level);
        rig_run(r, 1);
        assert_true(r->level);
    }
}

static void no_idle_interrupt_without_fifo(void **state)
{
    struct rig *r = *state;
    rig_feed(r, "x");
    rig_run(r, NS_PER_S);
    rig_out8(r, IER, 0x01);
    assert_int_equal(rig_in8(r, IIR), 0x04);
}

static void fifo_switch_and_clear(void **state)
{
    struct rig *r = *state;
    set_up(r, 0x01, 0x01);
    rig_feed(r, "abcdef");
    rig_out8(r, FCR, 0x03); /* clear the receiver */
    assert_false(r->level);
    assert_int_equal(rig_in8(r, LSR), 0x60);
    assert_int_equal(rig_in8(r, DATA), 0);
    rig_feed(r, "g");
    rig_out8(r, FCR, 0xc6); /* off: bits 1, 2, 6, 7 aren't programmed, but the switch clears */
    assert_int_equal(rig_in8(r, IIR), 0x01);
    assert_int_equal(rig_in8(r, LSR), 0x60);
    rig_feed(r, "h");
    rig_out8(r, FCR, 0x01);
    assert_int_equal(rig_in8(r, LSR), 0x60);
    rig_out8(r, IER, 0x03);
    (void)rig_in8(r, IIR);
    rig_out8(r, FCR, 0x05); /* a driver that waits for the interrupt after clearing the transmitter gets it */
    assert_int_equal(rig_in8(r, IIR), 0xc2);
}

static void sixteen_bytes_and_the_rest_waits(void **state)
{
    struct rig *r = *state;
    set_up(r, 0x01, 0x01);
    rig_feed(r, "0123456789abcdefghij");
    assert_int_equal(r->in_len, 4);
    for (const char *c = "0123456789abcdefghij"; *c; c++) {
        assert_int_equal(rig_in8(r, DATA), *c);
        rig_settle(r);
    }
    assert_int_equal(rig_in8(r, LSR), 0x60); /* no overrun: nothing was lost */
}

static void loopback_returns_data(void **state)
{
    struct rig *r = *state;
    set_up(r, 0x01, 0x01);
    rig_out8(r, MCR, 0x10);
    rig_out8(r, DATA, 0xa5);
    assert_true(r->level);
    assert_int_equal(rig_in8(r, DATA), 0xa5);
    bus_write_rep(&r->ports, DATA, 1, "xyz", 3);
    assert_int_equal(rig_in8(r, DATA), 'x');
    assert_int_equal(rig_in8(r, DATA), 'y');
    assert_int_equal(rig_in8(r, DATA), 'z');
    assert_int_equal(r->out_len, 0);
}

static void loopback_cuts_the_connector_off(void **state)
{
    struct rig *r = *state;
    set_up(r, 0x01, 0x01);
    rig_out8(r, MCR, 0x10);
    rig_feed(r, "later");
    assert_int_equal(rig_in8(r, LSR), 0x60);
    rig_out8(r, MCR, 0x00);
    rig_settle(r);
    assert_int_equal(rig_in8(r, DATA), 'l');
}

/* [NS 8.7] DTR to DSR, RTS to CTS, OUT1 to RI, OUT2 to DCD; the Linux probe wants 90 for 1a. */
static void loopback_turns_modem_outputs_into_inputs(void **state)
{
    struct rig *r = *state;
    static const uint8_t inputs[4] = { 0x20, 0x10, 0x40, 0x80 };
    for (unsigned val = 0; val < 16; val++) {
        uint8_t expected = 0;
        for (unsigned bit = 0; bit < 4; bit++)
            expected |= val >> bit & 1 ? inputs[bit] : 0;
        rig_out8(r, MCR, (uint8_t)(0x10 | val));
        assert_int_equal(rig_in8(r, MSR) & 0xf0, expected);
    }
    rig_out8(r, MCR, 0x00);
    assert_int_equal(rig_in8(r, MSR) & 0xf0, MODEM_READY);
}

static void modem_deltas_gather_until_read(void **state)
{
    struct rig *r = *state;
    rig_out8(r, MCR, 0x10);
    (void)rig_in8(r, MSR);
    rig_out8(r, IER, 0x08);
    assert_false(r->level);
    rig_out8(r, MCR, 0x12); /* CTS on */
    assert_true(r->level);
    assert_int_equal(rig_in8(r, IIR), 0x00);
    rig_out8(r, MCR, 0x11); /* CTS off, DSR on */
    assert_int_equal(rig_in8(r, MSR), 0x23);
    assert_false(r->level);
    assert_int_equal(rig_in8(r, MSR), 0x20);
    rig_out8(r, MCR, 0x15); /* RI on: no delta */
    assert_false(r->level);
    rig_out8(r, MCR, 0x11); /* RI off: trailing edge */
    assert_int_equal(rig_in8(r, MSR), 0x24);
    rig_out8(r, MCR, 0x19); /* DCD on */
    assert_int_equal(rig_in8(r, MSR), 0xa8);
}

static void overrun_keeps_the_fifo(void **state)
{
    struct rig *r = *state;
    set_up(r, 0x05, 0x01);
    rig_out8(r, MCR, 0x10);
    for (unsigned i = 0; i < 17; i++)
        rig_out8(r, DATA, (uint8_t)i);
    assert_int_equal(rig_in8(r, IIR), 0xc6); /* the line status comes first */
    assert_int_equal(rig_in8(r, LSR), 0x63);
    assert_int_equal(rig_in8(r, IIR), 0xc4);
    assert_int_equal(rig_in8(r, LSR), 0x61);
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(rig_in8(r, DATA), i);
    assert_false(r->level);
}

static void overrun_replaces_the_single_byte(void **state)
{
    struct rig *r = *state;
    rig_out8(r, MCR, 0x10);
    rig_out8(r, DATA, 1);
    rig_out8(r, DATA, 2);
    assert_int_equal(rig_in8(r, LSR), 0x63);
    assert_int_equal(rig_in8(r, DATA), 2);
    assert_int_equal(rig_in8(r, LSR), 0x60);
}

/* [NS 8.5] errors show with the byte they belong to; bit 7 tells of any in the FIFO. */
static void break_is_told_with_its_byte(void **state)
{
    struct rig *r = *state;
    set_up(r, 0x04, 0x01);
    rig_feed(r, "a");
    serial_break(r->dev);
    rig_feed(r, "b");
    assert_false(r->level);
    assert_int_equal(rig_in8(r, LSR), 0xe1);
    assert_int_equal(rig_in8(r, DATA), 'a');
    assert_true(r->level);
    assert_int_equal(rig_in8(r, IIR), 0xc6);
    assert_int_equal(rig_in8(r, LSR), 0xf1);
    assert_false(r->level);
    assert_int_equal(rig_in8(r, LSR), 0x61);
    assert_int_equal(rig_in8(r, DATA), 0);
    assert_int_equal(rig_in8(r, DATA), 'b');
    set_up(r, 0x04, 0x00); /* without FIFO there is no bit 7 */
    serial_break(r->dev);
    assert_int_equal(rig_in8(r, LSR), 0x71);
    serial_break(r->dev); /* no room: lost */
    assert_int_equal(rig_in8(r, LSR), 0x61);
}

/* [NS table 5] line status, data, idle, transmitter, modem. */
static void priorities(void **state)
{
    struct rig *r = *state;
    set_up(r, 0x0f, 0x41);
    rig_out8(r, MCR, 0x12); /* modem deltas, transmitter empty */
    serial_break(r->dev);   /* not in loopback: lost */
    rig_out8(r, DATA, 1);
    rig_run(r, NS_PER_S);
    assert_int_equal(rig_in8(r, IIR), 0xcc);
    for (unsigned i = 0; i < 17; i++)
        rig_out8(r, DATA, (uint8_t)i);
    assert_int_equal(rig_in8(r, IIR), 0xc6);
    (void)rig_in8(r, LSR);
    assert_int_equal(rig_in8(r, IIR), 0xc4);
    rig_out8(r, FCR, 0x43);
    assert_int_equal(rig_in8(r, IIR), 0xc2);
    assert_int_equal(rig_in8(r, IIR), 0xc0);
    (void)rig_in8(r, MSR);
    assert_int_equal(rig_in8(r, IIR), 0xc1);
    assert_false(r->level);
}

static void snapshot_is_complete(void **state)
{
    struct rig *r = *state;
    set_up(r, 0x01, 0x81);
    rig_out8(r, SCR, 0x77);
    rig_feed(r, "1234567");
    rig_run(r, 100000); /* the worst moment: timer running, FIFO nearly full enough */
    rig_save(r);
    device_free(r->dev);
    r->dev = NULL;
    assert_int_equal(plug_in(state), 0);
    assert_int_equal(rig_restore(r), 0);
    assert_false(r->level);
    rig_run(r, 247221);
    assert_false(r->level);
    rig_run(r, 1);
    assert_true(r->level);
    assert_int_equal(rig_in8(r, IIR), 0xcc);
    assert_int_equal(rig_in8(r, SCR), 0x77);
    for (const char *c = "1234567"; *c; c++)
        assert_int_equal(rig_in8(r, DATA), *c);
    assert_int_equal(rig_in8(r, LSR), 0x60);
}

static void snapshot_keeps_the_transmitter_interrupt(void **state)
{
    struct rig *r = *state;
    set_up(r, 0x02, 0x01);
    rig_out8(r, DATA, 'x');
    rig_save(r);
    (void)rig_in8(r, IIR);
    assert_false(r->level);
    assert_int_equal(rig_restore(r), 0);
    assert_true(r->level);
    assert_int_equal(rig_in8(r, IIR), 0xc2);
}

static void hostile_snapshots_are_refused(void **state)
{
    struct rig *r = *state;
    static const struct {
        const char *field;
        uint64_t val;
    } rows[] = { { "rx_head", 16 },   { "rx_head", 255 },  { "rx_count", 17 },     { "rx_count", 255 },
                 { "ier", 0x10 },     { "fcr", 0x03 },     { "fcr", 0xc0 },        { "mcr", 0x20 },
                 { "lsr_errors", 1 }, { "rx_errors", 64 }, { "rx_stale", 2 },      { "tx_pending", 2 } };
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        set_up(r, 0x01, 0x81);
        rig_feed(r, "123");
        rig_save(r);
        rig_poke(r, rows[i].field, rows[i].val);
        assert_int_equal(rig_restore(r), -EINVAL);
        r->dev->desc->reset(r->dev);
    }
    static const char *const without_fifo[] = { "rx_count", "rx_head", "rx_stale" };
    for (unsigned i = 0; i < ARRAY_SIZE(without_fifo); i++) {
        rig_save(r);
        rig_poke(r, without_fifo[i], i == 0 ? 2 : 1);
        assert_int_equal(rig_restore(r), -EINVAL);
        r->dev->desc->reset(r->dev);
    }
}

static void unplug_is_final(void **state)
{
    struct rig *r = *state;
    set_up(r, 0x01, 0x81);
    rig_feed(r, "x");
    r->dev->desc->unplug(r->dev);
    rig_run(r, NS_PER_S);
    assert_false(r->level); /* no timer was left to fire */
    assert_int_equal(rig_in8(r, DATA), 0xff);
    assert_true(r->chr_closed);
    serial_break(r->dev);
    r->dev->desc->unplug(r->dev);
    assert_false(r->level);
}

static void ports_taken(void **state)
{
    struct rig *r = *state;
    struct device *other = NULL;
    struct serial_config config = { .id = "com2", .loop = &r->loop, .ports = &r->ports, .base = COM1 };
    assert_int_equal(serial_create(&config, &other), -EEXIST);
    assert_null(other);
}

static void works_without_a_back_end(void **state)
{
    struct rig *r = *state;
    struct device *com2 = NULL;
    struct serial_config config = { .id = "com2", .loop = &r->loop, .ports = &r->ports, .base = 0x2f8 };
    assert_int_equal(serial_create(&config, &com2), 0);
    com2->desc->reset(com2);
    for (uint16_t i = 0; i < 8; i++) {
        rig_out8(r, (uint16_t)(0x2f8 + i), 0x1f);
        (void)rig_in8(r, (uint16_t)(0x2f8 + i));
    }
    rig_out8(r, 0x2fb, 0x03);
    rig_out8(r, 0x2fc, 0x00);
    bus_write_rep(&r->ports, 0x2f8, 1, "gone", 4);
    device_free(com2);
}

/* Known attack 84: a divisor of zero divided by zero. */
static void cve_2016_8669_divisor_zero(void **state)
{
    struct rig *r = *state;
    static const uint16_t divisors[] = { 0, 1, 65535 };
    for (unsigned i = 0; i < ARRAY_SIZE(divisors); i++) {
        for (unsigned lcr = 0; lcr < 128; lcr++) {
            rig_out8(r, LCR, 0x80);
            rig_out16(r, DATA, divisors[i]);
            rig_out8(r, LCR, (uint8_t)lcr);
            rig_out8(r, FCR, 0xc3);
            rig_out8(r, IER, 0x01);
            rig_feed(r, "x");
            rig_run(r, 60 * NS_PER_S);
            assert_int_equal(rig_in8(r, IIR), 0xcc);
            (void)rig_in8(r, DATA);
        }
    }
}

/* Known attack 85: each unplug leaked. Address sanitizer counts. */
static void cve_2017_5579_unplug_a_thousand_times(void **state)
{
    struct rig *r = *state;
    for (unsigned i = 0; i < 1000; i++) {
        set_up(r, 0x0f, 0xc1);
        rig_feed(r, "x");
        device_free(r->dev);
        r->dev = NULL;
        r->in_len = 0;
        assert_int_equal(plug_in(state), 0);
    }
}

/* Known attack 95: every port at every size, before and after reset and unplug. */
static void cve_2020_25742_every_port_every_size(void **state)
{
    struct rig *r = *state;
    for (unsigned round = 0; round < 3; round++) {
        for (uint16_t port = COM1 - 4; port < COM1 + 12; port++) {
            for (unsigned size = 1; size <= 8; size *= 2) {
                bus_write(&r->ports, port, size, UINT64_C(0xfedcba9876543210));
                /* Known attack 146: nothing but the bytes asked for. */
                assert_int_equal(bus_read(&r->ports, port, size) & ~all_ones(size), 0);
            }
        }
        if (round == 0)
            r->dev->desc->reset(r->dev);
        else
            r->dev->desc->unplug(r->dev);
    }
}

/* Known attack 124: bad accesses fill the log. */
static void xsa_180_log_stays_short(void **state)
{
    struct rig *r = *state;
    for (unsigned i = 0; i < 100000; i++)
        rig_out8(r, (uint16_t)(LSR + i % 2), (uint8_t)i);
    assert_true(r->log_lines < 100);
}

/* Known attack 147: every byte of a good stream flipped, and the stream cut at every byte. */
static void cve_2013_4148_damaged_snapshots(void **state)
{
    struct rig *r = *state;
    set_up(r, 0x0f, 0x81);
    rig_feed(r, "123");
    rig_save(r);
    struct snap_buf whole = r->saved;
    for (size_t at = 0; at < whole.len; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            whole.data[at] ^= (uint8_t)(1u << bit);
            if (rig_restore(r))
                r->dev->desc->reset(r->dev); /* what was refused doesn't run */
            for (uint16_t port = COM1; port < COM1 + 8; port++)
                (void)rig_in8(r, port);
            rig_out8(r, DATA, 'x');
            rig_run(r, 1000);
            whole.data[at] ^= (uint8_t)(1u << bit);
        }
        r->saved.len = at;
        assert_int_equal(rig_restore(r), -EINVAL);
        r->saved.len = whole.len;
    }
}

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

/* The line must always be what IIR says, whatever the guest and the far end do. */
static void random_accesses(void **state)
{
    struct rig *r = *state;
    for (uint32_t round = 0; round < 20; round++) {
        uint32_t seed = round;
        for (unsigned i = 0; i < 20000; i++) {
            uint16_t port = (uint16_t)(COM1 + next_random(&seed) % 8);
            uint32_t val = next_random(&seed);
            switch (next_random(&seed) % 8) {
            case 0: rig_out8(r, port, (uint8_t)val); break;
            case 1: rig_out16(r, port, (uint16_t)val); break;
            case 2: bus_write_rep(&r->ports, port, 1, "0123456789", val % 11); break;
            case 3: (void)rig_in16(r, port); break;
            case 4:
                if (r->in_len < 100)
                    rig_feed(r, "xyz");
                break;
            case 5: rig_run(r, val % 1000000); break;
            case 6:
                if (val % 16 == 0)
                    serial_break(r->dev);
                if (val % 64 == 0) {
                    rig_save(r);
                    assert_int_equal(rig_restore(r), 0);
                }
                break;
            default: (void)rig_in8(r, port); break;
            }
            bool level = r->level;
            assert_int_equal((rig_in8(r, IIR) & 1) == 0, level);
            if (r->out_len > 60000)
                r->out_len = 0;
        }
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, plug_in, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(registers_after_reset),
        TEST(reset_undoes_everything),
        TEST(registers_hold_what_they_have_bits_for),
        TEST(divisor_hides_data_and_enable),
        TEST(wide_accesses_are_bytes_side_by_side),
        TEST(bytes_go_out_at_once),
        TEST(string_output_is_one_write),
        TEST(full_back_end_drops),
        TEST(transmitter_empty_interrupts),
        TEST(enabling_raises_transmitter_empty_again),
        TEST(received_byte_interrupts_until_read),
        TEST(out2_doesn_t_gate),
        TEST(trigger_levels),
        TEST(lone_byte_interrupts_when_idle),
        TEST(idle_time_starts_anew_with_each_byte),
        TEST(idle_time_follows_divisor_and_format),
        TEST(no_idle_interrupt_without_fifo),
        TEST(fifo_switch_and_clear),
        TEST(sixteen_bytes_and_the_rest_waits),
        TEST(loopback_returns_data),
        TEST(loopback_cuts_the_connector_off),
        TEST(loopback_turns_modem_outputs_into_inputs),
        TEST(modem_deltas_gather_until_read),
        TEST(overrun_keeps_the_fifo),
        TEST(overrun_replaces_the_single_byte),
        TEST(break_is_told_with_its_byte),
        TEST(priorities),
        TEST(snapshot_is_complete),
        TEST(snapshot_keeps_the_transmitter_interrupt),
        TEST(hostile_snapshots_are_refused),
        TEST(unplug_is_final),
        TEST(ports_taken),
        TEST(works_without_a_back_end),
        TEST(cve_2016_8669_divisor_zero),
        TEST(cve_2017_5579_unplug_a_thousand_times),
        TEST(cve_2020_25742_every_port_every_size),
        TEST(xsa_180_log_stays_short),
        TEST(cve_2013_4148_damaged_snapshots),
        TEST(random_accesses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
