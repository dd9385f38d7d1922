/* The keyboard controller on the rig: what its tests and those of keyboard and mouse share. */
#ifndef THINDM_PS2_RIG_H
#define THINDM_PS2_RIG_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <thindm/input.h>

#include "rig.h"
#include "i8042.h"

enum { PORT_DATA = 0x60, PORT_COMMAND = 0x64, FULL = 0x01, AUX = 0x20, LINE_KBD = 1, LINE_MOUSE = 12 };

struct ps2_rig {
    struct rig *r;
    struct input input;
    unsigned resets;
};

static inline void ps2_rig_reset(void *opaque)
{
    struct ps2_rig *p = opaque;
    p->resets++;
}

static inline int ps2_rig_plug_in(void **state)
{
    struct ps2_rig *p = *state;
    if (!p) {
        *state = p = calloc(1, sizeof(*p));
        assert_non_null(p);
        p->r = rig_new();
    }
    struct rig *r = p->r;
    int err = i8042_create(&(struct i8042_config){ .id = "i8042",
                                                   .loop = &r->loop,
                                                   .ports = &r->ports,
                                                   .irq_kbd = irq_isa(&r->irqs, LINE_KBD),
                                                   .irq_mouse = irq_isa(&r->irqs, LINE_MOUSE),
                                                   .input = &p->input,
                                                   .reset = ps2_rig_reset,
                                                   .opaque = p },
                           &r->dev);
    if (err)
        return err;
    r->dev->log = &r->log;
    r->dev->desc->reset(r->dev);
    return 0;
}

static inline int ps2_rig_teardown(void **state)
{
    struct ps2_rig *p = *state;
    rig_free(p->r);
    free(p);
    *state = NULL;
    return 0;
}

static inline void replug(struct ps2_rig *p)
{
    void *state = p;
    device_free(p->r->dev);
    p->r->dev = NULL;
    assert_int_equal(ps2_rig_plug_in(&state), 0);
}

static inline uint8_t status(struct ps2_rig *p)
{
    return rig_in8(p->r, PORT_COMMAND);
}

static inline void command(struct ps2_rig *p, uint8_t byte)
{
    rig_out8(p->r, PORT_COMMAND, byte);
}

static inline void data(struct ps2_rig *p, uint8_t byte)
{
    rig_out8(p->r, PORT_DATA, byte);
}

static inline void to_mouse(struct ps2_rig *p, uint8_t byte)
{
    command(p, 0xd4);
    data(p, byte);
}

static inline void set_mode(struct ps2_rig *p, uint8_t mode)
{
    command(p, 0x60);
    data(p, mode);
}

/* What comes out of the buffer is exactly these bytes, all of the mouse or all not. */
static inline void expect_from(struct ps2_rig *p, bool aux, const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(status(p) & (FULL | AUX), aux ? FULL | AUX : FULL);
        assert_int_equal(rig_in8(p->r, PORT_DATA), bytes[i]);
    }
    assert_int_equal(status(p) & FULL, 0);
}

#define EXPECT(p, ...)       expect_from(p, false, (const uint8_t[]){ __VA_ARGS__ }, sizeof((uint8_t[]){ __VA_ARGS__ }))
#define EXPECT_MOUSE(p, ...) expect_from(p, true, (const uint8_t[]){ __VA_ARGS__ }, sizeof((uint8_t[]){ __VA_ARGS__ }))

static inline void drain(struct ps2_rig *p)
{
    for (unsigned i = 0; i < 100 && (status(p) & FULL); i++)
        (void)rig_in8(p->r, PORT_DATA);
    assert_int_equal(status(p) & FULL, 0);
}

static inline void key(struct ps2_rig *p, uint16_t code, bool down)
{
    rig_note(p->r, "key 0x%x %d", code, down);
    p->input.keyboard->key(p->input.keyboard_opaque, code, down);
}

static inline void tap(struct ps2_rig *p, uint16_t code)
{
    key(p, code, true);
    key(p, code, false);
}

static inline void move(struct ps2_rig *p, int dx, int dy, int wheel, unsigned buttons)
{
    rig_note(p->r, "move %d %d %d 0x%x", dx, dy, wheel, buttons);
    p->input.pointer->move(p->input.pointer_opaque, dx, dy, wheel, buttons);
}

static inline uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

struct poke {
    const char *field;
    uint64_t val;
};

/* Each of the values alone makes the restore fail. */
static inline void expect_refused(struct ps2_rig *p, const struct poke *pokes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        rig_save(p->r);
        rig_poke(p->r, pokes[i].field, pokes[i].val);
        if (rig_restore(p->r) != -EINVAL)
            fail_msg("%s = %u was taken", pokes[i].field, (unsigned)pokes[i].val);
        p->r->dev->desc->reset(p->r->dev);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, ps2_rig_plug_in, ps2_rig_teardown)

#endif
