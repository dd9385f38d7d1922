/* The two 8259A of a PC; [8259 name] is a section of the data sheet. */
#include <errno.h>

#include "chipset-rig.h"
#include "pic.h"

enum { M = 0x20, S = 0xa0, ELCR = 0x4d0 };

struct bench {
    struct irq in[PIC_LINES];
    unsigned changes;
};

static void masks_changed(void *opaque)
{
    ((struct bench *)opaque)->changes++;
}

/* One bench per test, kept where the rig's unused input buffer is. */
static struct bench *bench(struct rig *r)
{
    return (struct bench *)(void *)r->out;
}

static void drive(struct rig *r, unsigned line, bool level)
{
    irq_set(&bench(r)->in[line], level);
}

static void pulse(struct rig *r, unsigned line)
{
    drive(r, line, false);
    drive(r, line, true);
}

static int plug_in(void **state)
{
    struct rig *r = *state = *state ? *state : rig_new();
    int err = pic_create(
        &(struct pic_config){
            .id = "pic", .ports = &r->ports, .intr = rig_irq(r), .masks_changed = masks_changed, .opaque = bench(r) },
        &r->dev);
    if (err)
        return err;
    for (unsigned line = 0; line < PIC_LINES; line++)
        bench(r)->in[line] = pic_input(r->dev, line);
    chip_start(r);
    return 0;
}

static void init_chip(struct rig *r, uint16_t base, uint8_t vector, uint8_t icw3, uint8_t icw4)
{
    rig_out8(r, base, 0x11);
    rig_out8(r, base + 1, vector);
    rig_out8(r, base + 1, icw3);
    rig_out8(r, base + 1, icw4);
}

/* As the BIOS does: vectors 08 and 70. */
static void init_both(struct rig *r)
{
    init_chip(r, M, 0x08, 0x04, 0x01);
    init_chip(r, S, 0x70, 0x02, 0x01);
}

static uint8_t read_irr(struct rig *r, uint16_t base)
{
    rig_out8(r, base, 0x0a);
    return rig_in8(r, base);
}

static uint8_t read_isr(struct rig *r, uint16_t base)
{
    rig_out8(r, base, 0x0b);
    return rig_in8(r, base);
}

static void reset_values(void **state)
{
    struct rig *r = *state;
    assert_int_equal(rig_in16(r, M), 0);
    assert_int_equal(rig_in16(r, S), 0);
    assert_int_equal(rig_in16(r, ELCR), 0);
    assert_false(r->level);
    assert_int_equal(pic_masks(r->dev), 0);
}

static void reset_undoes_everything(void **state)
{
    struct rig *r = *state;
    init_both(r);
    rig_out16(r, ELCR, 0xffff);
    rig_out8(r, M + 1, 0x55);
    drive(r, 1, true);
    assert_true(r->level);
    r->dev->desc->reset(r->dev);
    assert_false(r->level); /* the line is high still, but its edge is gone */
    assert_true(pic_level(r->dev, 1));
    drive(r, 1, false);
    reset_values(state);
}

static void wide_accesses_are_bytes(void **state)
{
    struct rig *r = *state;
    init_both(r);
    rig_out16(r, M, 0xab0b); /* OCW3 and mask */
    assert_int_equal(rig_in16(r, M), 0xab00);
    rig_out32(r, ELCR, 0xffffffff);
    assert_int_equal(rig_in32(r, ELCR), 0xffffdef8);
    assert_int_equal(rig_in8(r, M + 1), 0xab);
}

/* [8259 Interrupt Sequence] */
static void request_acknowledge_end(void **state)
{
    struct rig *r = *state;
    init_both(r);
    for (unsigned line = 0; line < 8; line++) {
        if (line == PIC_CASCADE)
            continue;
        drive(r, line, true);
        assert_true(r->level);
        assert_int_equal(read_irr(r, M), 1u << line);
        assert_int_equal(pic_acknowledge(r->dev), 0x08 + line);
        assert_false(r->level);
        assert_int_equal(read_irr(r, M), 0); /* an edge is served once */
        assert_int_equal(read_isr(r, M), 1u << line);
        rig_out8(r, M, 0x20);
        assert_int_equal(read_isr(r, M), 0);
        assert_false(r->level);
        drive(r, line, false);
    }
}

static void slave_requests_come_by_the_cascade(void **state)
{
    struct rig *r = *state;
    init_both(r);
    for (unsigned line = 8; line < 16; line++) {
        drive(r, line, true);
        assert_true(r->level);
        assert_int_equal(read_irr(r, M), 0x04);
        assert_int_equal(pic_acknowledge(r->dev), 0x70 + line - 8);
        assert_int_equal(read_isr(r, M), 0x04);
        assert_int_equal(read_isr(r, S), 1u << (line - 8));
        rig_out8(r, S, 0x20);
        rig_out8(r, M, 0x20);
        assert_int_equal(read_isr(r, M) | read_isr(r, S), 0);
        drive(r, line, false);
    }
    drive(r, PIC_CASCADE, true); /* nobody's */
    assert_false(r->level);
}

/* A second request of the slave, in service or waiting, is a new edge for the master in every mode. */
static void slave_requests_in_a_row(void **state)
{
    struct rig *r = *state;
    for (unsigned aeoi = 0; aeoi < 2; aeoi++) {
        init_chip(r, M, 0x08, 0x04, aeoi ? 0x03 : 0x01);
        init_chip(r, S, 0x70, 0x02, aeoi ? 0x03 : 0x01);
        for (unsigned line = 8; line < 16; line++)
            pulse(r, line);
        for (unsigned line = 8; line < 16; line++) {
            assert_true(r->level);
            assert_int_equal(pic_acknowledge(r->dev), 0x70 + line - 8);
            if (!aeoi) {
                assert_false(r->level);
                rig_out8(r, S, 0x20);
                assert_false(r->level);
                rig_out8(r, M, 0x20);
            }
        }
        assert_false(r->level);
    }
}

/* [8259 Fully Nested Mode] */
static void priorities_nest(void **state)
{
    struct rig *r = *state;
    init_both(r);
    drive(r, 5, true);
    assert_int_equal(pic_acknowledge(r->dev), 0x0d);
    drive(r, 6, true);
    assert_false(r->level);
    drive(r, 3, true);
    assert_true(r->level);
    assert_int_equal(pic_acknowledge(r->dev), 0x0b);
    drive(r, 8, true); /* by input 2: higher still */
    assert_int_equal(pic_acknowledge(r->dev), 0x70);
    drive(r, 1, true);
    assert_int_equal(pic_acknowledge(r->dev), 0x09);
    assert_int_equal(read_isr(r, M), 0x2e);
    for (unsigned i = 0; i < 3; i++) {
        rig_out8(r, M, 0x20);
        assert_false(r->level);
    }
    assert_int_equal(read_isr(r, M), 0x20);
    rig_out8(r, M, 0x20);
    assert_true(r->level);
    assert_int_equal(pic_acknowledge(r->dev), 0x0e);
}

/* [8259 Special Fully Nested Mode] A higher request of the slave interrupts a lower one. */
static void special_fully_nested(void **state)
{
    struct rig *r = *state;
    init_both(r);
    drive(r, 12, true);
    assert_int_equal(pic_acknowledge(r->dev), 0x74);
    drive(r, 9, true);
    assert_false(r->level); /* an ordinary master doesn't listen */
    init_chip(r, M, 0x08, 0x04, 0x11);
    init_chip(r, S, 0x70, 0x02, 0x01);
    pulse(r, 12);
    assert_int_equal(pic_acknowledge(r->dev), 0x74);
    pulse(r, 9);
    assert_true(r->level);
    assert_int_equal(pic_acknowledge(r->dev), 0x71);
    pulse(r, 12);
    assert_false(r->level);
    drive(r, 1, true);
    assert_int_equal(pic_acknowledge(r->dev), 0x09);
    pulse(r, 1); /* only the slave's input may interrupt itself */
    assert_false(r->level);
}

static void masks_hold_requests_back(void **state)
{
    struct rig *r = *state;
    init_both(r);
    rig_out8(r, M + 1, 0xfb);
    rig_out8(r, S + 1, 0xef);
    assert_int_equal(pic_masks(r->dev), 0xeffb);
    drive(r, 1, true);
    drive(r, 11, true);
    assert_false(r->level);
    assert_int_equal(read_irr(r, M), 0x02);
    assert_int_equal(read_irr(r, S), 0x08);
    rig_out8(r, M + 1, 0xf9);
    assert_true(r->level);
    assert_int_equal(pic_acknowledge(r->dev), 0x09);
    rig_out8(r, M, 0x20);
    rig_out8(r, S + 1, 0xf7);
    assert_int_equal(pic_acknowledge(r->dev), 0x73);
    rig_out8(r, M + 1, 0xff);
    assert_int_equal(pic_masks(r->dev), 0xffff); /* without the cascade none of the slave's gets through */
    assert_int_equal(rig_in8(r, S + 1), 0xf7);
}

static void mask_changes_are_told(void **state)
{
    struct rig *r = *state;
    unsigned before = bench(r)->changes;
    rig_out8(r, M + 1, 0x01);
    rig_out8(r, M + 1, 0x01);
    rig_out8(r, S + 1, 0x80);
    assert_int_equal(bench(r)->changes, before + 2);
    rig_out8(r, M, 0x11); /* clears the mask */
    assert_int_equal(bench(r)->changes, before + 3);
}

/* [8259 Edge and Level Triggered Modes] What falls before the acknowledge was none; the vector is input 7's. */
static void spurious_requests(void **state)
{
    struct rig *r = *state;
    init_both(r);
    drive(r, 4, true);
    drive(r, 4, false);
    assert_false(r->level);
    assert_int_equal(pic_acknowledge(r->dev), 0x0f);
    assert_int_equal(read_isr(r, M), 0);
    drive(r, 14, true);
    drive(r, 14, false);
    assert_false(r->level);
    assert_int_equal(pic_acknowledge(r->dev), 0x0f);
    assert_int_equal(read_isr(r, M) | read_isr(r, S), 0);
    drive(r, 7, true); /* the real one is in service */
    assert_int_equal(pic_acknowledge(r->dev), 0x0f);
    assert_int_equal(read_isr(r, M), 0x80);
    rig_out8(r, M, 0x20);
    drive(r, 15, true);
    assert_int_equal(pic_acknowledge(r->dev), 0x77);
    assert_int_equal(read_isr(r, S), 0x80);
}

/* [P3 ELCR1, ELCR2] */
static void levels_request_until_they_fall(void **state)
{
    struct rig *r = *state;
    init_both(r);
    rig_out8(r, ELCR, 0x20);
    rig_out8(r, ELCR + 1, 0x08);
    drive(r, 5, true);
    assert_int_equal(pic_acknowledge(r->dev), 0x0d);
    assert_int_equal(read_irr(r, M), 0x20);
    rig_out8(r, M, 0x20);
    assert_true(r->level);
    drive(r, 5, false);
    assert_false(r->level);
    drive(r, 11, true);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(r->level);
        assert_int_equal(pic_acknowledge(r->dev), 0x73);
        rig_out8(r, S, 0x20);
        rig_out8(r, M, 0x20);
    }
    drive(r, 11, false);
    assert_false(r->level);
    drive(r, 5, true);
    rig_out8(r, ELCR, 0x00); /* the edge was seen in the meantime */
    assert_true(r->level);
    assert_int_equal(pic_acknowledge(r->dev), 0x0d);
    rig_out8(r, M, 0x20);
    assert_false(r->level);
}

/* [8259 Automatic Rotation, Specific Rotation] */
static void rotation(void **state)
{
    struct rig *r = *state;
    init_both(r);
    rig_out8(r, M, 0xc4); /* 4 is lowest, 5 highest */
    drive(r, 4, true);
    drive(r, 0, true);
    drive(r, 6, true);
    assert_int_equal(pic_acknowledge(r->dev), 0x0e);
    rig_out8(r, M, 0xa0); /* end, rotate: 6 is lowest */
    assert_int_equal(pic_acknowledge(r->dev), 0x08);
    rig_out8(r, M, 0xe0); /* end of input 0, which becomes lowest */
    assert_int_equal(pic_acknowledge(r->dev), 0x0c);
    pulse(r, 0);
    assert_false(r->level);
    rig_out8(r, M, 0x64); /* end of input 4, no rotation */
    assert_int_equal(pic_acknowledge(r->dev), 0x08);
    rig_out8(r, M, 0x20);
    rig_out8(r, M, 0x40); /* no operation */
    rig_out8(r, M, 0xa0); /* nothing in service: nothing rotates */
    pulse(r, 0);
    pulse(r, 1);
    assert_int_equal(pic_acknowledge(r->dev), 0x09);
}

static void automatic_end_of_interrupt(void **state)
{
    struct rig *r = *state;
    init_chip(r, M, 0x20, 0x04, 0x03);
    init_chip(r, S, 0x28, 0x02, 0x01);
    drive(r, 1, true);
    assert_int_equal(pic_acknowledge(r->dev), 0x21);
    assert_int_equal(read_isr(r, M), 0);
    rig_out8(r, M, 0x80); /* rotate in AEOI */
    pulse(r, 1);
    drive(r, 0, true);
    assert_int_equal(pic_acknowledge(r->dev), 0x20);
    pulse(r, 0);
    assert_int_equal(pic_acknowledge(r->dev), 0x21);
    assert_int_equal(pic_acknowledge(r->dev), 0x20);
    rig_out8(r, M, 0x00); /* no more */
    pulse(r, 5);
    assert_int_equal(pic_acknowledge(r->dev), 0x25);
    pulse(r, 5);
    pulse(r, 7);
    assert_int_equal(pic_acknowledge(r->dev), 0x25); /* not rotated */
}

/* [8259 Special Mask Mode] A masked input in service lets lower ones through, and keeps its bit. */
static void special_mask_mode(void **state)
{
    struct rig *r = *state;
    init_both(r);
    drive(r, 3, true);
    assert_int_equal(pic_acknowledge(r->dev), 0x0b);
    drive(r, 6, true);
    assert_false(r->level);
    rig_out8(r, M + 1, 0x08);
    assert_false(r->level);
    rig_out8(r, M, 0x68);
    assert_true(r->level);
    assert_int_equal(pic_acknowledge(r->dev), 0x0e);
    rig_out8(r, M, 0x20); /* ends 6, not the masked 3 */
    assert_int_equal(read_isr(r, M), 0x08);
    rig_out8(r, M, 0x20);
    assert_int_equal(read_isr(r, M), 0x08);
    pulse(r, 6);
    assert_true(r->level);
    rig_out8(r, M, 0x08); /* without ESMM nothing changes */
    assert_true(r->level);
    rig_out8(r, M, 0x48);
    assert_false(r->level);
    rig_out8(r, M, 0x63);
    assert_true(r->level);
}

/* [8259 Poll Command] */
static void poll(void **state)
{
    struct rig *r = *state;
    init_both(r);
    rig_out8(r, M, 0x0c);
    assert_int_equal(rig_in8(r, M), 0x00);
    drive(r, 6, true);
    rig_out8(r, M, 0x0c);
    assert_int_equal(rig_in8(r, M), 0x86);
    assert_false(r->level);
    assert_int_equal(rig_in8(r, M), 0x00); /* the next read is an ordinary one, of IRR */
    assert_int_equal(read_isr(r, M), 0x40);
    rig_out8(r, M, 0x20);
    drive(r, 13, true);
    rig_out8(r, M, 0x0c);
    assert_int_equal(rig_in8(r, M + 1), 0x82); /* at either port */
    rig_out8(r, S, 0x0c);
    assert_int_equal(rig_in8(r, S), 0x85);
    assert_int_equal(read_isr(r, S), 0x20);
    assert_int_equal(rig_in8(r, S + 1), 0x00);
}

/* [8259 Initialization] */
static void initialization_words(void **state)
{
    struct rig *r = *state;
    drive(r, 3, true);
    rig_out8(r, M + 1, 0xff);
    rig_out8(r, M, 0x68);
    rig_out8(r, M, 0xc3);
    rig_out8(r, M, 0x0b);
    init_chip(r, M, 0x4f, 0x04, 0x01); /* low bits of the vector are the input's */
    assert_int_equal(rig_in8(r, M + 1), 0x00);
    assert_int_equal(rig_in8(r, M), 0x00);
    assert_false(r->level); /* the edge came before */
    pulse(r, 3);
    drive(r, 4, true);
    assert_int_equal(pic_acknowledge(r->dev), 0x4b);
    rig_out8(r, M, 0x11);
    assert_false(r->level); /* not while it is being set up */
    pulse(r, 3);
    assert_false(r->level);
    rig_out8(r, M + 1, 0x20);
    rig_out8(r, M + 1, 0x04);
    assert_false(r->level);
    rig_out8(r, M + 1, 0x03);
    assert_true(r->level);
    rig_out8(r, M, 0x12); /* single, no ICW4: two words, and AEOI is off again */
    rig_out8(r, M + 1, 0x30);
    pulse(r, 3);
    assert_int_equal(pic_acknowledge(r->dev), 0x33);
    assert_int_equal(read_isr(r, M), 0x08);
    rig_out8(r, M + 1, 0xaa);
    assert_int_equal(rig_in8(r, M + 1), 0xaa);
    rig_out8(r, S, 0x10); /* cascaded, no ICW4: three words */
    rig_out8(r, S + 1, 0x38);
    rig_out8(r, S + 1, 0x02);
    rig_out8(r, S + 1, 0x55);
    assert_int_equal(rig_in8(r, S + 1), 0x55);
    rig_out8(r, S, 0x13); /* single with ICW4 */
    rig_out8(r, S + 1, 0x38);
    rig_out8(r, S + 1, 0x01);
    rig_out8(r, S + 1, 0x77);
    assert_int_equal(rig_in8(r, S + 1), 0x77);
}

static void busy_state(struct rig *r)
{
    init_both(r);
    rig_out16(r, ELCR, 0x0420);
    rig_out8(r, S, 0xc2);
    rig_out8(r, M + 1, 0x08);
    drive(r, 10, true);
    assert_int_equal(pic_acknowledge(r->dev), 0x72);
    drive(r, 1, true);
    drive(r, 3, true);
    rig_out8(r, S, 0x11);
    rig_out8(r, S + 1, 0x80);
    rig_out8(r, M, 0x0b);
}

static void snapshot_is_complete(void **state)
{
    struct rig *r = *state;
    busy_state(r);
    rig_save(r);
    device_free(r->dev);
    r->dev = NULL;
    assert_false(r->level);
    plug_in(state);
    bench(r)->in[1].level = true; /* its driver says so too, which is no new edge */
    assert_int_equal(rig_restore(r), 0);
    assert_true(r->level);
    assert_int_equal(rig_in8(r, M), 0x04);
    assert_int_equal(rig_in8(r, M + 1), 0x08);
    assert_int_equal(rig_in16(r, ELCR), 0x0420);
    assert_true(pic_level(r->dev, 10));
    rig_out8(r, S + 1, 0x02); /* the set-up goes on where it was */
    rig_out8(r, S + 1, 0x01);
    assert_int_equal(pic_acknowledge(r->dev), 0x09);
    rig_out8(r, M, 0x20);
    rig_out8(r, M, 0x20);
    assert_int_equal(pic_acknowledge(r->dev), 0x82);
    assert_int_equal(read_irr(r, M), 0x08);
}

static void hostile_snapshots_are_refused(void **state)
{
    struct rig *r = *state;
    static const struct {
        const char *field;
        uint64_t val;
    } bad[] = { { "master.edges", 0x01 }, { "master.elcr", 0x01 }, { "slave.elcr", 0x21 }, { "slave.base", 0x71 },
                { "master.icw4", 0x20 },  { "slave.first", 8 },    { "master.step", 1 },   { "slave.step", 5 },
                { "master.step", 4 },     { "slave.poll", 2 },     { "slave.icw4", 1 } };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        rig_save(r);
        rig_poke(r, bad[i].field, bad[i].val);
        assert_int_equal(rig_restore(r), -EINVAL);
        r->dev->desc->reset(r->dev);
    }
    rig_save(r);
    rig_poke(r, "master.step", 3);
    rig_poke(r, "master.single", 1);
    assert_int_equal(rig_restore(r), -EINVAL);
}

static void unplug_is_final(void **state)
{
    struct rig *r = *state;
    init_both(r);
    drive(r, 1, true);
    r->dev->desc->unplug(r->dev);
    r->dev->desc->unplug(r->dev);
    assert_false(r->level);
    pulse(r, 1);
    assert_false(r->level);
    assert_int_equal(rig_in8(r, M + 1), 0xff);
    assert_int_equal(rig_in8(r, S + 1), 0xff);
    assert_int_equal(rig_in8(r, ELCR), 0xff);
}

static void taken_ports(void **state)
{
    struct rig *r = *state;
    struct device *second = NULL;
    assert_int_equal(pic_create(&(struct pic_config){ .id = "second", .ports = &r->ports }, &second), -EEXIST);
    assert_null(second);
    assert_int_equal(r->ports.nr_regions, 3);
}

static void cve_2020_25742_every_port_every_size(void **state)
{
    static const struct port_range ports[] = { { M, M + 1 }, { S, S + 1 }, { ELCR, ELCR + 1 } };
    for (unsigned i = 0; i < ARRAY_SIZE(ports); i++)
        chip_every_port(*state, ports[i]);
}

static void cve_2013_4148_damaged_snapshots(void **state)
{
    busy_state(*state);
    chip_damaged_snapshots(*state);
}

/* Ports, lines and acknowledges in any order: INTR says exactly when there is something to acknowledge. */
static void random_lines(void **state)
{
    struct rig *r = *state;
    static const uint16_t ports[] = { M, M + 1, S, S + 1, ELCR, ELCR + 1 };
    uint64_t seed = 8259;
    for (unsigned step = 0; step < 200000; step++) {
        uint32_t what = chip_random(&seed), val = chip_random(&seed);
        switch (what % 4) {
        case 0: rig_out8(r, ports[val % 6], (uint8_t)(val >> 8)); break;
        case 1: (void)rig_in8(r, ports[val % 6]); break;
        case 2: drive(r, val % 16, val >> 8 & 1); break;
        case 3:
            if (r->level) {
                (void)pic_acknowledge(r->dev);
            } else {
                (void)rig_in8(r, M); /* ends a poll command */
                uint8_t isr = read_isr(r, M);
                (void)pic_acknowledge(r->dev);
                assert_int_equal(read_isr(r, M), isr);
            }
            break;
        }
    }
}

static void random_accesses(void **state)
{
    static const struct port_range ports[] = { { 0x1f, 0x22 }, { 0x9f, 0xa2 }, { 0x4cf, 0x4d2 } };
    chip_random_guest(*state, ports, ARRAY_SIZE(ports), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, plug_in, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reset_values),
        TEST(reset_undoes_everything),
        TEST(wide_accesses_are_bytes),
        TEST(request_acknowledge_end),
        TEST(slave_requests_come_by_the_cascade),
        TEST(slave_requests_in_a_row),
        TEST(priorities_nest),
        TEST(special_fully_nested),
        TEST(masks_hold_requests_back),
        TEST(mask_changes_are_told),
        TEST(spurious_requests),
        TEST(levels_request_until_they_fall),
        TEST(rotation),
        TEST(automatic_end_of_interrupt),
        TEST(special_mask_mode),
        TEST(poll),
        TEST(initialization_words),
        TEST(snapshot_is_complete),
        TEST(hostile_snapshots_are_refused),
        TEST(unplug_is_final),
        TEST(taken_ports),
        TEST(cve_2020_25742_every_port_every_size),
        TEST(cve_2013_4148_damaged_snapshots),
        TEST(random_lines),
        TEST(random_accesses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
