/*
 * What keyboard and mouse have in common on their way to the controller: a bounded queue of events, and the answer to
 * the last command, which goes first.
 * Source: IBM Personal System/2 Hardware Interface Technical Reference, keyboard and auxiliary device chapters.
 */
#ifndef THINDM_PS2_H
#define THINDM_PS2_H

#include <stdbool.h>
#include <stdint.h>

enum { PS2_EVENTS = 16, PS2_ANSWERS = 5 }; /* bytes; one more event slot is for the keyboard's overrun code */

/* Bytes both devices exchange with the host. */
enum {
    PS2_SET_DEFAULTS = 0xf6,
    PS2_DISABLE = 0xf5,
    PS2_ENABLE = 0xf4,
    PS2_SET_RATE = 0xf3,
    PS2_IDENTIFY = 0xf2,
    PS2_RESEND = 0xfe, /* also the answer to an invalid byte */
    PS2_RESET = 0xff,
    PS2_ACK = 0xfa,
    PS2_BAT_OK = 0xaa,
};

struct ps2_out {
    uint8_t event[PS2_EVENTS + 1], event_head, event_count;
    uint8_t answer[PS2_ANSWERS], answer_count; /* oldest first */
    uint8_t last;                              /* byte sent last, for PS2_RESEND */
};

static inline unsigned ps2_room(const struct ps2_out *out)
{
    return out->event_count < PS2_EVENTS ? PS2_EVENTS - out->event_count : 0;
}

/* Dropped when all slots, the overrun slot included, are taken. */
static inline void ps2_event(struct ps2_out *out, uint8_t byte)
{
    if (out->event_count < sizeof(out->event))
        out->event[(out->event_head + out->event_count++) % sizeof(out->event)] = byte;
}

static inline void ps2_clear_events(struct ps2_out *out)
{
    out->event_head = 0;
    out->event_count = 0;
}

/* A new command ends the answer to the one before. */
static inline void ps2_answer(struct ps2_out *out, const uint8_t *bytes, unsigned count)
{
    out->answer_count = 0;
    while (out->answer_count < count && out->answer_count < PS2_ANSWERS) {
        out->answer[out->answer_count] = bytes[out->answer_count];
        out->answer_count++;
    }
}

static inline void ps2_answer1(struct ps2_out *out, uint8_t byte)
{
    ps2_answer(out, &byte, 1);
}

/* Next byte for the controller; false: none. */
static inline bool ps2_take(struct ps2_out *out, uint8_t *byte)
{
    if (out->answer_count > 0) {
        *byte = out->answer[0];
        out->answer_count--;
        for (unsigned i = 0; i < out->answer_count; i++)
            out->answer[i] = out->answer[i + 1];
    } else if (out->event_count > 0) {
        *byte = out->event[out->event_head];
        out->event_head = (uint8_t)((out->event_head + 1) % sizeof(out->event));
        out->event_count--;
    } else {
        return false;
    }
    out->last = *byte;
    return true;
}

/* Are the indices of a restored queue inside it? */
static inline bool ps2_out_valid(const struct ps2_out *out)
{
    return out->event_head < sizeof(out->event) && out->event_count <= sizeof(out->event) &&
           out->answer_count <= PS2_ANSWERS;
}

#endif
