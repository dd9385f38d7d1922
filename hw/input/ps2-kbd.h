/* The keyboard behind the controller: enhanced AT keyboard with scan code sets 1 to 3. Part of i8042.c's device. */
#ifndef THINDM_PS2_KBD_H
#define THINDM_PS2_KBD_H

#include <thindm/loop.h>

#include "ps2.h"

enum { PS2_KBD_CODES = 0x90 /* of set 3 */, PS2_KBD_KEYS = 256 /* of set 1: plain, then those with prefix e0 */ };

struct ps2_kbd {
    loop_fn *changed; /* there may be a new byte */
    void *opaque;
    struct timer repeat;  /* runs only while a key is held; not saved: the finger stays with the old host */
    uint16_t repeat_code; /* as struct input_ops has it */
    /* Guest-visible state; i8042_fields[] lists it. */
    struct ps2_out out;
    bool scanning;
    bool sysrq;      /* Print Screen went down together with Alt: its release looks different */
    uint8_t command; /* waits for its parameter; 0: none */
    uint8_t set;     /* scan code set 1 to 3 */
    uint8_t leds, rate;
    uint8_t mode[PS2_KBD_CODES];   /* set 3, by code: PS2_KBD_REPEATS and PS2_KBD_BREAKS */
    uint8_t held[PS2_KBD_KEYS / 8]; /* keys that are down */
};

enum { PS2_KBD_BREAKS = 1, PS2_KBD_REPEATS = 2 };

/* changed(opaque) is called from the loop when a held key repeats, never from the functions below. */
void ps2_kbd_init(struct ps2_kbd *kbd, struct loop *loop, loop_fn *changed, void *opaque);
/* Power-on state; nothing queued. */
void ps2_kbd_reset(struct ps2_kbd *kbd);
/* A byte from the host: a command or a parameter. */
void ps2_kbd_write(struct ps2_kbd *kbd, uint8_t byte);
/* A key went down or up, coded as in struct input_ops. Unknown codes are ignored. */
void ps2_kbd_key(struct ps2_kbd *kbd, uint16_t code, bool down);
/* Is the restored state one that ps2_kbd_write() can lead to? */
bool ps2_kbd_valid(const struct ps2_kbd *kbd);
/* No repeat comes any more. */
void ps2_kbd_finish(struct ps2_kbd *kbd);

/* The controller's translation of a byte of scan code set 2 to set 1 [IBM PS/2, keyboard controller]. */
uint8_t ps2_translate(uint8_t byte);

#endif
