/* The mouse behind the controller: standard, IntelliMouse or Explorer, as the host asks. Part of i8042.c. */
#ifndef THINDM_PS2_MOUSE_H
#define THINDM_PS2_MOUSE_H

#include "ps2.h"

struct ps2_mouse {
    /* Guest-visible state; i8042_fields[] lists it. */
    struct ps2_out out;
    uint8_t id;      /* 0 standard, 3 with a wheel, 4 with a wheel and five buttons */
    uint8_t command; /* waits for its parameter; 0: none */
    uint8_t rates[2]; /* the two sample rates before the last, for the sequences that change id */
    uint8_t rate, resolution;
    bool reporting, remote, wrap, scaling, erred; /* erred: the last byte was invalid */
    /* What the next packet will tell. */
    int32_t dx, dy, wheel; /* as in struct input_ops: y down, wheel away from the user */
    bool lost_x, lost_y;
    uint8_t buttons, told_buttons;
    uint8_t sent[PS2_ANSWERS], sent_count; /* the last packet or answer, for PS2_RESEND */
};

/* Power-on state; nothing queued. */
void ps2_mouse_reset(struct ps2_mouse *mouse);
/* A byte from the host: a command or a parameter. */
void ps2_mouse_write(struct ps2_mouse *mouse, uint8_t byte);
/* Movement and the present buttons (INPUT_*), as in struct input_ops. */
void ps2_mouse_move(struct ps2_mouse *mouse, int dx, int dy, int wheel, unsigned buttons);
/* Next byte for the controller; false: none. Queues the packet that waited for room. */
bool ps2_mouse_take(struct ps2_mouse *mouse, uint8_t *byte);
/* Is the restored state one that ps2_mouse_write() can lead to? */
bool ps2_mouse_valid(const struct ps2_mouse *mouse);

#endif
