/*
 * Keyboard and pointer events on their way to the emulated input devices.
 */
#ifndef THINDM_INPUT_H
#define THINDM_INPUT_H

#include <thindm/util.h>

enum { INPUT_LEFT = 1, INPUT_RIGHT = 2, INPUT_MIDDLE = 4, INPUT_SIDE = 8, INPUT_EXTRA = 16 };

/*
 * What a device offers. key: PC/AT scan code set 1, make code; extended keys have 0xe0 in bits 8-15 (0xe01d), Pause is 0xe11d,
 * Print Screen 0xe037. move: relative, y grows downwards, wheel positive is away from the user. Never blocks; a full
 * queue drops the event.
 */
struct input_ops {
    void (*key)(void *opaque, uint16_t code, bool down);
    void (*move)(void *opaque, int dx, int dy, int wheel, unsigned buttons);
};

struct input {
    const struct input_ops *keyboard, *pointer; /* NULL: none */
    void *keyboard_opaque, *pointer_opaque;
};

#endif
