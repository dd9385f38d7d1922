/*
 * Enhanced AT keyboard: three scan code sets, LEDs, typematic repeat.
 * Source: IBM Personal System/2 Hardware Interface Technical Reference, chapter Keyboards (101- and 102-key); [KB x] is
 * its section x. Left out: the time a self test takes, and the shift codes around the edit keys, which stand for the
 * state of Num Lock on a keyboard and which no driver needs.
 */
#include "ps2-kbd.h"

#include <string.h>
#include <thindm/util.h>

enum { KBD_LEDS = 0xed, KBD_ECHO = 0xee, KBD_SET = 0xf0 };
enum { KBD_ALL_REPEAT = 0xf7, KBD_ALL_BREAK, KBD_ALL_MAKE, KBD_ALL_BOTH, KBD_ONE_REPEAT, KBD_ONE_BREAK, KBD_ONE_MAKE };
enum { BREAK = 0xf0, RATE_DEFAULT = 0x2b /* 10.9 per second after 500 ms */, LEDS_MASK = 0x07, RATE_MASK = 0x7f };
enum { RATE_UNITS_PER_S = 240 }; /* of a repeat's period [KB typematic rate] */
/* Keys of set 1 that act by the state of others. */
enum { KEY_CTRL = 0x1d, KEY_SHIFT = 0x2a, KEY_RIGHT_SHIFT = 0x36, KEY_ALT = 0x38 };
enum { KEY_PRINT = 0xe037, KEY_PAUSE = 0xe11d };

/* What the controller makes of each byte of set 2, up to 0x84; the rest stays as it is. */
static const uint8_t set1_of_set2[0x85] = {
    0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59, /* 00 */
    0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b, /* 10 */
    0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d, /* 20 */
    0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f, /* 30 */
    0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61, /* 40 */
    0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76, /* 50 */
    0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f, /* 60 */
    0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54, /* 70 */
    0x80, 0x81, 0x82, 0x41, 0x54,                                                                   /* 80 */
};

/* Codes of set 3 by code of set 1; 0: the key has none [KB scan code set 3]. */
static const uint8_t set3_plain[0x80] = {
    0x00, 0x08, 0x16, 0x1e, 0x26, 0x25, 0x2e, 0x36, 0x3d, 0x3e, 0x46, 0x45, 0x4e, 0x55, 0x66, 0x0d, /* Esc to Tab */
    0x15, 0x1d, 0x24, 0x2d, 0x2c, 0x35, 0x3c, 0x43, 0x44, 0x4d, 0x54, 0x5b, 0x5a, 0x11, 0x1c, 0x1b, /* Q to S */
    0x23, 0x2b, 0x34, 0x33, 0x3b, 0x42, 0x4b, 0x4c, 0x52, 0x0e, 0x12, 0x5c, 0x1a, 0x22, 0x21, 0x2a, /* D to V */
    0x32, 0x31, 0x3a, 0x41, 0x49, 0x4a, 0x59, 0x7e, 0x19, 0x29, 0x14, 0x07, 0x0f, 0x17, 0x1f, 0x27, /* B to F5 */
    0x2f, 0x37, 0x3f, 0x47, 0x4f, 0x76, 0x5f, 0x6c, 0x75, 0x7d, 0x84, 0x6b, 0x73, 0x74, 0x7c, 0x69, /* F6 to pad 1 */
    0x72, 0x7a, 0x70, 0x71, 0x57, 0x00, 0x13, 0x56, 0x5e, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* pad 2 to F12 */
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x87, 0x00, 0x00, 0x51, 0x00, 0x00, 0x00, 0x00, 0x00, 0x86, 0x00, 0x85, 0x00, 0x5d, 0x00, 0x00, /* Japanese keys */
};

/* The same for keys with prefix e0. */
static const uint8_t set3_extended[0x80] = {
    [0x1c] = 0x79, [0x1d] = 0x58, [0x35] = 0x77, [0x37] = 0x57, [0x38] = 0x39, [0x47] = 0x6e, [0x48] = 0x63,
    [0x49] = 0x6f, [0x4b] = 0x61, [0x4d] = 0x6a, [0x4f] = 0x65, [0x50] = 0x60, [0x51] = 0x6d, [0x52] = 0x67,
    [0x53] = 0x64, [0x5b] = 0x8b, [0x5c] = 0x8c, [0x5d] = 0x8d,
};
enum { SET3_PAUSE = 0x62 };

/* Set 3 at power-on: keys repeat without a break, but for these: make and break; make only [KB default key types]. */
static const uint8_t set3_break[] = { 0x11, 0x12, 0x14, 0x19, 0x59 };
static const uint8_t set3_make[] = {
    0x07, 0x08, 0x0f, 0x17, 0x1f, 0x27, 0x2f, 0x37, 0x39, 0x3f, 0x47, 0x4f, 0x56, 0x57, 0x58, 0x5e, 0x5f, 0x62, 0x65,
    0x67, 0x69, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f, 0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x79, 0x7a, 0x7d, 0x7e,
    0x84,
};

uint8_t ps2_translate(uint8_t byte)
{
    return byte < sizeof(set1_of_set2) ? set1_of_set2[byte] : byte;
}

/* Both F7 and Sys Req have two codes in set 2; the keyboard sends the higher ones. 0: no key. */
static uint8_t set2_code(uint8_t set1)
{
    unsigned code = sizeof(set1_of_set2) - 1;
    while (code > 0 && set1_of_set2[code] != set1)
        code--;
    return (uint8_t)code;
}

static bool is_held(const struct ps2_kbd *kbd, unsigned key)
{
    return kbd->held[key / 8] >> (key % 8) & 1;
}

static bool ctrl_held(const struct ps2_kbd *kbd)
{
    return is_held(kbd, KEY_CTRL) || is_held(kbd, 0x80 | KEY_CTRL);
}

static bool shift_held(const struct ps2_kbd *kbd)
{
    return is_held(kbd, KEY_SHIFT) || is_held(kbd, KEY_RIGHT_SHIFT);
}

static bool alt_held(const struct ps2_kbd *kbd)
{
    return is_held(kbd, KEY_ALT) || is_held(kbd, 0x80 | KEY_ALT);
}

/* A key sends nothing at all or its whole sequence, collected here. */
struct sequence {
    uint8_t byte[8], len;
};

static void add(struct sequence *seq, uint8_t byte)
{
    if (seq->len < sizeof(seq->byte))
        seq->byte[seq->len++] = byte;
}

/* Make or break of one set 1 key in set 1 or 2; prefix 0, e0 or e1. */
static void add_key(const struct ps2_kbd *kbd, struct sequence *seq, uint8_t prefix, uint8_t set1, bool down)
{
    uint8_t code = kbd->set == 1 ? set1 : set2_code(set1);
    if (code == 0)
        return;
    if (prefix)
        add(seq, prefix);
    if (kbd->set == 1) {
        add(seq, down ? code : code | 0x80);
    } else {
        if (!down)
            add(seq, BREAK);
        add(seq, code);
    }
}

/* Pause has no break code of its own: it goes up as soon as it went down; with Ctrl it is Break [KB set 1, note]. */
static void add_pause(const struct ps2_kbd *kbd, struct sequence *seq, bool down)
{
    if (!down)
        return;
    if (ctrl_held(kbd)) {
        add_key(kbd, seq, 0xe0, 0x46, true);
        add_key(kbd, seq, 0xe0, 0x46, false);
        return;
    }
    add_key(kbd, seq, 0xe1, 0x1d, true);
    add_key(kbd, seq, 0, 0x45, true);
    add_key(kbd, seq, 0xe1, 0x1d, false);
    add_key(kbd, seq, 0, 0x45, false);
}

/* Print Screen comes with a shift around it unless one is held; with Alt it is Sys Req [KB set 1, note]. */
static void add_print(struct ps2_kbd *kbd, struct sequence *seq, bool down, bool repeat)
{
    if (down && !repeat)
        kbd->sysrq = alt_held(kbd);
    bool bare = kbd->sysrq || shift_held(kbd) || ctrl_held(kbd) || repeat;
    if (!bare && down)
        add_key(kbd, seq, 0xe0, KEY_SHIFT, true);
    add_key(kbd, seq, kbd->sysrq ? 0 : 0xe0, kbd->sysrq ? 0x54 : KEY_PRINT & 0xff, down);
    if (!bare && !down)
        add_key(kbd, seq, 0xe0, KEY_SHIFT, false);
}

static uint8_t set3_code(uint16_t code)
{
    if (code == KEY_PAUSE)
        return SET3_PAUSE;
    return code >> 8 ? set3_extended[code & 0x7f] : set3_plain[code & 0x7f];
}

static void add_set3(const struct ps2_kbd *kbd, struct sequence *seq, uint16_t code, bool down, bool repeat)
{
    uint8_t at = set3_code(code);
    if (at == 0 || (repeat && !(kbd->mode[at] & PS2_KBD_REPEATS)) || (!down && !(kbd->mode[at] & PS2_KBD_BREAKS)))
        return;
    if (!down)
        add(seq, BREAK);
    add(seq, at);
}

/* What doesn't fit is lost as a whole; the host learns it from the overrun code behind the last byte [KB buffer]. */
static void send(struct ps2_out *out, const struct sequence *seq, uint8_t overrun)
{
    if (seq->len > ps2_room(out)) {
        uint8_t newest = out->event[(out->event_head + out->event_count + sizeof(out->event) - 1) % sizeof(out->event)];
        if (newest != overrun || out->event_count == 0)
            ps2_event(out, overrun);
        return;
    }
    for (unsigned i = 0; i < seq->len; i++)
        ps2_event(out, seq->byte[i]);
}

/* False: the key has no code in the present set. */
static bool send_key(struct ps2_kbd *kbd, uint16_t code, bool down, bool repeat)
{
    struct sequence seq = { .len = 0 };
    if (kbd->set == 3)
        add_set3(kbd, &seq, code, down, repeat);
    else if (code == KEY_PAUSE)
        add_pause(kbd, &seq, down);
    else if (code == KEY_PRINT)
        add_print(kbd, &seq, down, repeat);
    else
        add_key(kbd, &seq, (uint8_t)(code >> 8), code & 0x7f, down);
    send(&kbd->out, &seq, kbd->set == 1 ? 0xff : 0x00);
    return seq.len > 0;
}

static uint64_t repeat_delay_ns(const struct ps2_kbd *kbd)
{
    return (1u + (kbd->rate >> 5 & 3)) * 250 * NS_PER_MS;
}

static uint64_t repeat_period_ns(const struct ps2_kbd *kbd)
{
    return (uint64_t)(8 + (kbd->rate & 7)) * (1u << (kbd->rate >> 3 & 3)) * NS_PER_S / RATE_UNITS_PER_S;
}

/* While the host leaves bytes waiting no more are added: a held key alone never overruns the queue. */
static void repeat_expired(void *opaque)
{
    struct ps2_kbd *kbd = opaque;
    if (kbd->out.event_count == 0)
        (void)send_key(kbd, kbd->repeat_code, true, true);
    timer_arm(&kbd->repeat, repeat_period_ns(kbd));
    kbd->changed(kbd->opaque);
}

/* The key pressed last repeats until it goes up or another goes down [KB typematic]. */
static void start_repeat(struct ps2_kbd *kbd, uint16_t code)
{
    timer_cancel(&kbd->repeat);
    if (kbd->set == 3 ? !(kbd->mode[set3_code(code)] & PS2_KBD_REPEATS) : code == KEY_PAUSE)
        return;
    kbd->repeat_code = code;
    timer_arm(&kbd->repeat, repeat_delay_ns(kbd));
}

void ps2_kbd_key(struct ps2_kbd *kbd, uint16_t code, bool down)
{
    uint8_t prefix = (uint8_t)(code >> 8), low = (uint8_t)code;
    if (low == 0 || low >= 0x80 || (prefix != 0 && prefix != 0xe0 && code != KEY_PAUSE))
        return;
    unsigned key = code == KEY_PAUSE ? 0x80 | 0x45 : (prefix ? 0x80u : 0u) | low;
    if (down && is_held(kbd, key))
        return; /* a viewer's own repeat; the guest gets the repeat it programmed */
    if (down)
        kbd->held[key / 8] |= (uint8_t)(1u << (key % 8));
    else
        kbd->held[key / 8] &= (uint8_t)~(1u << (key % 8));
    if (!down && kbd->repeat_code == code)
        timer_cancel(&kbd->repeat);
    if (!kbd->scanning)
        return;
    if (send_key(kbd, code, down, false) && down)
        start_repeat(kbd, code);
}

/* Default key types of set 3, rate and queue; LEDs and set stay [KB set default]. */
static void set_defaults(struct ps2_kbd *kbd)
{
    memset(kbd->mode, PS2_KBD_REPEATS, sizeof(kbd->mode));
    for (unsigned i = 0; i < sizeof(set3_break); i++)
        kbd->mode[set3_break[i]] = PS2_KBD_BREAKS;
    for (unsigned i = 0; i < sizeof(set3_make); i++)
        kbd->mode[set3_make[i]] = 0;
    kbd->rate = RATE_DEFAULT;
    ps2_clear_events(&kbd->out);
    timer_cancel(&kbd->repeat);
}

/* Keys that are down stay so: a command doesn't lift fingers. */
static void power_on(struct ps2_kbd *kbd)
{
    set_defaults(kbd);
    kbd->set = 2;
    kbd->leds = 0;
    kbd->command = 0;
    kbd->scanning = true;
    kbd->sysrq = false;
    kbd->out.answer_count = 0;
    kbd->out.last = PS2_BAT_OK;
}

void ps2_kbd_reset(struct ps2_kbd *kbd)
{
    power_on(kbd);
    memset(kbd->held, 0, sizeof(kbd->held));
}

static void select_set(struct ps2_kbd *kbd, uint8_t set)
{
    if (set > 3) {
        ps2_answer1(&kbd->out, PS2_RESEND);
    } else if (set == 0) {
        ps2_answer(&kbd->out, (const uint8_t[]){ PS2_ACK, kbd->set }, 2);
    } else {
        kbd->set = set;
        ps2_clear_events(&kbd->out); /* codes of the old set are of no use */
        timer_cancel(&kbd->repeat);
        ps2_answer1(&kbd->out, PS2_ACK);
    }
}

/* KBD_ALL_REPEAT to KBD_ALL_BOTH and KBD_ONE_REPEAT to KBD_ONE_MAKE, in this order [KB f7 to fd]. */
static uint8_t key_mode(uint8_t command)
{
    static const uint8_t modes[] = { PS2_KBD_REPEATS, PS2_KBD_BREAKS, 0, PS2_KBD_BREAKS | PS2_KBD_REPEATS,
                                     PS2_KBD_REPEATS, PS2_KBD_BREAKS, 0 };
    return modes[command - KBD_ALL_REPEAT];
}

static void write_parameter(struct ps2_kbd *kbd, uint8_t byte)
{
    uint8_t command = kbd->command;
    kbd->command = 0;
    switch (command) {
    case KBD_LEDS: kbd->leds = byte & LEDS_MASK; break;
    case KBD_SET:  select_set(kbd, byte); return;
    case PS2_SET_RATE: kbd->rate = byte & RATE_MASK; break;
    default: /* the KBD_ONE_ commands take codes until the next command */
        if (byte < PS2_KBD_CODES)
            kbd->mode[byte] = key_mode(command);
        kbd->command = command;
        break;
    }
    ps2_answer1(&kbd->out, PS2_ACK);
}

static void write_command(struct ps2_kbd *kbd, uint8_t byte)
{
    struct ps2_out *out = &kbd->out;
    kbd->command = 0;
    switch (byte) {
    case KBD_ECHO:     ps2_answer1(out, KBD_ECHO); return;
    case PS2_IDENTIFY: ps2_answer(out, (const uint8_t[]){ PS2_ACK, 0xab, 0x83 }, 3); return;
    case PS2_RESEND:   ps2_answer1(out, out->last); return;
    case PS2_RESET:
        power_on(kbd);
        ps2_answer(out, (const uint8_t[]){ PS2_ACK, PS2_BAT_OK }, 2);
        return;
    case KBD_LEDS:
    case KBD_SET:
    case PS2_SET_RATE:
    case KBD_ONE_REPEAT:
    case KBD_ONE_BREAK:
    case KBD_ONE_MAKE:   kbd->command = byte; break;
    case PS2_ENABLE:
        ps2_clear_events(out);
        kbd->scanning = true;
        break;
    case PS2_DISABLE:
    case PS2_SET_DEFAULTS:
        set_defaults(kbd);
        kbd->scanning = byte == PS2_SET_DEFAULTS;
        break;
    case KBD_ALL_REPEAT:
    case KBD_ALL_BREAK:
    case KBD_ALL_MAKE:
    case KBD_ALL_BOTH: memset(kbd->mode, key_mode(byte), sizeof(kbd->mode)); break;
    default:           ps2_answer1(out, PS2_RESEND); return;
    }
    ps2_answer1(out, PS2_ACK);
}

void ps2_kbd_write(struct ps2_kbd *kbd, uint8_t byte)
{
    /* Parameters have bit 7 clear but for codes of set 3; a command in place of one ends the waiting command. */
    bool parameter = kbd->command != 0 && byte < KBD_LEDS;
    if (parameter)
        write_parameter(kbd, byte);
    else
        write_command(kbd, byte);
}

bool ps2_kbd_valid(const struct ps2_kbd *kbd)
{
    switch (kbd->command) {
    case 0:
    case KBD_LEDS:
    case KBD_SET:
    case PS2_SET_RATE:
    case KBD_ONE_REPEAT:
    case KBD_ONE_BREAK:
    case KBD_ONE_MAKE:   break;
    default:             return false;
    }
    for (unsigned i = 0; i < sizeof(kbd->mode); i++)
        if (kbd->mode[i] & ~(PS2_KBD_BREAKS | PS2_KBD_REPEATS))
            return false;
    return ps2_out_valid(&kbd->out) && kbd->set >= 1 && kbd->set <= 3 && !(kbd->leds & ~LEDS_MASK) &&
           !(kbd->rate & ~RATE_MASK);
}

void ps2_kbd_init(struct ps2_kbd *kbd, struct loop *loop, loop_fn *changed, void *opaque)
{
    kbd->changed = changed;
    kbd->opaque = opaque;
    timer_init(&kbd->repeat, loop, repeat_expired, kbd);
}

void ps2_kbd_finish(struct ps2_kbd *kbd)
{
    timer_cancel(&kbd->repeat);
}
