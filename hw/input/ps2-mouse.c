/*
 * Mouse with the standard, IntelliMouse and Explorer packets.
 * Source: IBM Personal System/2 Hardware Interface Technical Reference, Auxiliary Device; [AUX x] is its section x; the
 * sample rate sequences of Microsoft's IntelliMouse and Explorer. Counts are host pixels at every resolution: scaling
 * them would change the feel of a pointer whose driver sets its own. Left out: the sample rate's pace (a packet is made
 * when something happened and the host has taken the last one, so there is no timer) and the time a self test takes.
 */
#include "ps2-mouse.h"

#include <string.h>
#include <thindm/input.h>
#include <thindm/util.h>

enum {
    MOUSE_SCALE_1 = 0xe6,
    MOUSE_SCALE_2 = 0xe7,
    MOUSE_RESOLUTION = 0xe8,
    MOUSE_STATUS = 0xe9,
    MOUSE_STREAM = 0xea,
    MOUSE_READ = 0xeb,
    MOUSE_UNWRAP = 0xec,
    MOUSE_WRAP = 0xee,
    MOUSE_REMOTE = 0xf0,
    MOUSE_ERROR = 0xfc, /* the second invalid byte in a row */
};
enum { PACKET_ALWAYS = 0x08, PACKET_X_SIGN = 0x10, PACKET_Y_SIGN = 0x20, PACKET_X_LOST = 0x40, PACKET_Y_LOST = 0x80 };
enum { STATUS_SCALING = 0x10, STATUS_REPORTING = 0x20, STATUS_REMOTE = 0x40 };
enum { ID_STANDARD = 0, ID_WHEEL = 3, ID_EXPLORER = 4 };
enum { RATE_DEFAULT = 100, RESOLUTION_DEFAULT = 2, RESOLUTION_MAX = 3, BUTTONS = 0x1f, PACKET_BUTTONS = 0x07 };
/* A packet tells up to PACKET_MAX counts, the rest follows in the next; what is beyond COUNT_MAX is lost. */
enum { PACKET_MAX = 255, COUNT_MAX = 4095, WHEEL_MAX = 127, WHEEL_EXPLORER_MAX = 7 };

static int32_t clamp(int64_t val, int32_t max)
{
    if (val > max)
        return max;
    return val < -max ? -max : (int32_t)val;
}

/* Scaling 2:1 of one packet's counts [AUX set scaling]. */
static int32_t scaled(int32_t count)
{
    static const int32_t small[] = { 0, 1, 1, 3, 6, 9 };
    int32_t size = count < 0 ? -count : count;
    size = size < (int32_t)ARRAY_SIZE(small) ? small[size] : 2 * size;
    return clamp(count < 0 ? -size : size, PACKET_MAX);
}

static int32_t take_counts(int32_t *counts, int32_t max)
{
    int32_t taken = clamp(*counts, max);
    *counts -= taken;
    return taken;
}

static unsigned packet_bytes(const struct ps2_mouse *mouse)
{
    return mouse->id == ID_STANDARD ? 3 : 4;
}

static void answer(struct ps2_mouse *mouse, const uint8_t *bytes, unsigned count)
{
    ps2_answer(&mouse->out, bytes, count);
    memcpy(mouse->sent, bytes, count);
    mouse->sent_count = (uint8_t)count;
}

static void acknowledge(struct ps2_mouse *mouse)
{
    answer(mouse, &(const uint8_t){ PS2_ACK }, 1);
}

/* The next packet, at most 4 bytes; its counts are no longer pending. Scaling counts in stream mode only. */
static void make_packet(struct ps2_mouse *mouse, uint8_t packet[4])
{
    bool scale = mouse->scaling && !mouse->remote;
    int32_t max = scale ? PACKET_MAX / 2 : PACKET_MAX;
    int32_t x = take_counts(&mouse->dx, max), y = -take_counts(&mouse->dy, max);
    if (scale) {
        x = scaled(x);
        y = scaled(y);
    }
    uint8_t first = PACKET_ALWAYS | (mouse->buttons & PACKET_BUTTONS);
    first |= (x < 0 ? PACKET_X_SIGN : 0) | (y < 0 ? PACKET_Y_SIGN : 0);
    first |= (mouse->lost_x ? PACKET_X_LOST : 0) | (mouse->lost_y ? PACKET_Y_LOST : 0);
    mouse->lost_x = mouse->lost_y = false;
    mouse->told_buttons = mouse->buttons;
    packet[0] = first;
    packet[1] = (uint8_t)x;
    packet[2] = (uint8_t)y;
    /* Towards the user counts up; Explorer has four bits of it and the side buttons above. */
    if (mouse->id == ID_EXPLORER) {
        packet[3] = (uint8_t)(-take_counts(&mouse->wheel, WHEEL_EXPLORER_MAX) & 0x0f);
        packet[3] |= (uint8_t)((mouse->buttons & (INPUT_SIDE | INPUT_EXTRA)) << 1);
    } else {
        packet[3] = (uint8_t)-take_counts(&mouse->wheel, WHEEL_MAX);
        if (mouse->id == ID_STANDARD)
            mouse->wheel = 0;
    }
}

/*
 * Movement waits until the host has taken everything, so that it gathers while nobody reads; a click is queued behind
 * what is there, as long as there is room, so that it isn't lost between two reads.
 */
static void stream(struct ps2_mouse *mouse)
{
    bool moved = mouse->dx != 0 || mouse->dy != 0 || (mouse->wheel != 0 && mouse->id != ID_STANDARD);
    bool clicked = mouse->buttons != mouse->told_buttons;
    if (!mouse->reporting || mouse->remote || mouse->wrap || mouse->command != 0)
        return;
    if (ps2_room(&mouse->out) < packet_bytes(mouse))
        return;
    if (!clicked && !(moved && mouse->out.event_count == 0))
        return;
    make_packet(mouse, mouse->sent);
    mouse->sent_count = (uint8_t)packet_bytes(mouse);
    for (unsigned i = 0; i < mouse->sent_count; i++)
        ps2_event(&mouse->out, mouse->sent[i]);
}

static void gather(int32_t *counts, int delta, bool *lost)
{
    int64_t sum = (int64_t)*counts + delta;
    *counts = clamp(sum, COUNT_MAX);
    if (lost)
        *lost |= *counts != sum;
}

void ps2_mouse_move(struct ps2_mouse *mouse, int dx, int dy, int wheel, unsigned buttons)
{
    mouse->buttons = buttons & BUTTONS;
    gather(&mouse->dx, dx, &mouse->lost_x);
    gather(&mouse->dy, dy, &mouse->lost_y);
    gather(&mouse->wheel, wheel, NULL);
    stream(mouse);
}

bool ps2_mouse_take(struct ps2_mouse *mouse, uint8_t *byte)
{
    if (mouse->out.event_count == 0)
        stream(mouse);
    return ps2_take(&mouse->out, byte);
}

/* A command drops what is queued and pending [AUX commands]; a click among it is told again. */
static void drop_pending(struct ps2_mouse *mouse)
{
    if (mouse->out.event_count > 0)
        mouse->told_buttons = (uint8_t)~mouse->buttons & BUTTONS;
    ps2_clear_events(&mouse->out);
    mouse->dx = mouse->dy = mouse->wheel = 0;
    mouse->lost_x = mouse->lost_y = false;
}

static void set_defaults(struct ps2_mouse *mouse)
{
    mouse->rate = RATE_DEFAULT;
    mouse->resolution = RESOLUTION_DEFAULT;
    mouse->scaling = mouse->remote = mouse->reporting = false;
}

void ps2_mouse_reset(struct ps2_mouse *mouse)
{
    *mouse = (struct ps2_mouse){ .id = ID_STANDARD };
    set_defaults(mouse);
}

/* Rates 200, 100, 80 ask for the wheel, 200, 200, 80 for five buttons as well. Any rate is taken: none is ever used. */
static void set_rate(struct ps2_mouse *mouse, uint8_t rate)
{
    if (rate == 80 && mouse->rates[0] == 200 && mouse->rates[1] == 100)
        mouse->id = ID_WHEEL;
    if (rate == 80 && mouse->rates[0] == 200 && mouse->rates[1] == 200)
        mouse->id = ID_EXPLORER;
    mouse->rates[0] = mouse->rates[1];
    mouse->rates[1] = rate;
    mouse->rate = rate;
    acknowledge(mouse);
}

static void refuse(struct ps2_mouse *mouse)
{
    ps2_answer1(&mouse->out, mouse->erred ? MOUSE_ERROR : PS2_RESEND);
    mouse->erred = true;
}

static void write_parameter(struct ps2_mouse *mouse, uint8_t byte)
{
    uint8_t command = mouse->command;
    if (command == MOUSE_RESOLUTION && byte > RESOLUTION_MAX) {
        if (mouse->erred)
            mouse->command = 0; /* up to then the host may send a better parameter [AUX error handling] */
        refuse(mouse);
        return;
    }
    mouse->command = 0;
    mouse->erred = false;
    if (command == PS2_SET_RATE) {
        set_rate(mouse, byte);
        return;
    }
    mouse->resolution = byte;
    acknowledge(mouse);
}

static void answer_status(struct ps2_mouse *mouse)
{
    uint8_t first = (mouse->remote ? STATUS_REMOTE : 0) | (mouse->reporting ? STATUS_REPORTING : 0) |
                    (mouse->scaling ? STATUS_SCALING : 0);
    first |= (mouse->buttons & INPUT_LEFT ? 4 : 0) | (mouse->buttons & INPUT_MIDDLE ? 2 : 0) |
             (mouse->buttons & INPUT_RIGHT ? 1 : 0);
    answer(mouse, (const uint8_t[]){ PS2_ACK, first, mouse->resolution, mouse->rate }, 4);
}

static void answer_data(struct ps2_mouse *mouse)
{
    uint8_t bytes[PS2_ANSWERS] = { PS2_ACK };
    make_packet(mouse, bytes + 1);
    answer(mouse, bytes, 1 + packet_bytes(mouse));
}

static void reset_answer(struct ps2_mouse *mouse)
{
    uint8_t buttons = mouse->buttons;
    ps2_mouse_reset(mouse);
    mouse->buttons = mouse->told_buttons = buttons; /* fingers stay where they are */
    answer(mouse, (const uint8_t[]){ PS2_ACK, PS2_BAT_OK, ID_STANDARD }, 3);
}

static void write_command(struct ps2_mouse *mouse, uint8_t byte)
{
    struct ps2_out *out = &mouse->out;
    bool was_erred = mouse->erred;
    mouse->erred = false;
    if (byte == MOUSE_READ)
        ps2_clear_events(out); /* its answer has the counts */
    else if (byte != PS2_RESEND)
        drop_pending(mouse);
    switch (byte) {
    case MOUSE_SCALE_1:
    case MOUSE_SCALE_2: mouse->scaling = byte == MOUSE_SCALE_2; break;
    case MOUSE_RESOLUTION:
    case PS2_SET_RATE: mouse->command = byte; break;
    case MOUSE_STATUS: answer_status(mouse); return;
    case MOUSE_STREAM: mouse->remote = false; break;
    case MOUSE_READ:   answer_data(mouse); return;
    case MOUSE_UNWRAP: mouse->wrap = false; break;
    case MOUSE_WRAP:   mouse->wrap = true; break;
    case MOUSE_REMOTE: mouse->remote = true; break;
    case PS2_IDENTIFY: answer(mouse, (const uint8_t[]){ PS2_ACK, mouse->id }, 2); return;
    case PS2_ENABLE:
    case PS2_DISABLE:
        mouse->reporting = byte == PS2_ENABLE;
        mouse->told_buttons = mouse->buttons; /* no packet of old news */
        break;
    case PS2_SET_DEFAULTS: set_defaults(mouse); break;
    case PS2_RESEND:       ps2_answer(out, mouse->sent, mouse->sent_count); return;
    case PS2_RESET:        reset_answer(mouse); return;
    default:
        mouse->erred = was_erred;
        refuse(mouse);
        return;
    }
    acknowledge(mouse);
}

void ps2_mouse_write(struct ps2_mouse *mouse, uint8_t byte)
{
    if (mouse->wrap && byte != MOUSE_UNWRAP && byte != PS2_RESET) {
        ps2_answer1(&mouse->out, byte);
        return;
    }
    if (mouse->command != 0)
        write_parameter(mouse, byte);
    else
        write_command(mouse, byte);
}

static bool within(int32_t val, int32_t max)
{
    return val >= -max && val <= max;
}

bool ps2_mouse_valid(const struct ps2_mouse *mouse)
{
    return ps2_out_valid(&mouse->out) && mouse->sent_count <= sizeof(mouse->sent) &&
           (mouse->id == ID_STANDARD || mouse->id == ID_WHEEL || mouse->id == ID_EXPLORER) &&
           (mouse->command == 0 || mouse->command == MOUSE_RESOLUTION || mouse->command == PS2_SET_RATE) &&
           mouse->resolution <= RESOLUTION_MAX && within(mouse->dx, COUNT_MAX) && within(mouse->dy, COUNT_MAX) &&
           within(mouse->wheel, COUNT_MAX) && !(mouse->buttons & ~BUTTONS) && !(mouse->told_buttons & ~BUTTONS);
}
