/*
 * Keyboard and auxiliary device controller (8042), type 1 of the PS/2, with AT keyboard and mouse behind it.
 * Source: IBM Personal System/2 Hardware Interface Technical Reference, Keyboard and Auxiliary Device Controller;
 * [KC x] is its section or command x. Left out: the password commands (a4 says that none is installed), the diagnostic
 * dump, the key lock and all line errors: both devices always answer, so time-out and parity bits of the status stay 0.
 * A20 is a bit of the output port only; on Xen the address line is never masked.
 */
#include "i8042.h"

#include <errno.h>
#include <string.h>
#include <thindm/device.h>
#include <thindm/input.h>
#include <thindm/loop.h>

#include "ps2-kbd.h"
#include "ps2-mouse.h"

enum { PORT_DATA = 0x60, PORT_COMMAND = 0x64, RAM_BYTES = 32 };
enum { STATUS_FULL = 0x01, STATUS_SYSTEM = 0x04, STATUS_COMMAND = 0x08, STATUS_UNLOCKED = 0x10, STATUS_AUX = 0x20 };
/* The command byte is byte 0 of the controller's memory [KC command byte]. */
enum { MODE_IRQ_KBD = 0x01, MODE_IRQ_AUX = 0x02, MODE_SYSTEM = 0x04, MODE_NO_KBD = 0x10, MODE_NO_AUX = 0x20 };
enum { MODE_TRANSLATE = 0x40 };
/* OUT_RUN: the CPU is not in reset. */
enum { OUT_RUN = 0x01, OUT_A20 = 0x02, OUT_IRQ_KBD = 0x10, OUT_IRQ_AUX = 0x20, OUT_RESET = 0xcf };
enum {
    CMD_READ_RAM = 0x20,
    CMD_WRITE_RAM = 0x60,
    CMD_TEST_PASSWORD = 0xa4,
    CMD_DISABLE_AUX = 0xa7,
    CMD_ENABLE_AUX = 0xa8,
    CMD_TEST_AUX = 0xa9,
    CMD_SELF_TEST = 0xaa,
    CMD_TEST_KBD = 0xab,
    CMD_DISABLE_KBD = 0xad,
    CMD_ENABLE_KBD = 0xae,
    CMD_READ_INPUT = 0xc0,
    CMD_READ_OUTPUT = 0xd0,
    CMD_WRITE_OUTPUT = 0xd1,
    CMD_FAKE_KBD = 0xd2,
    CMD_FAKE_AUX = 0xd3,
    CMD_WRITE_AUX = 0xd4,
    CMD_A20_OFF = 0xdd,
    CMD_A20_ON = 0xdf,
    CMD_READ_TEST = 0xe0,
    CMD_PULSE = 0xf0,
};
enum { SELF_TEST_OK = 0x55, LINE_OK = 0x00, NO_PASSWORD = 0xf1, INPUT_UNLOCKED = 0x80 };
enum { BREAK_PREFIX = 0xf0, BREAK_BIT = 0x80 };

struct i8042 {
    struct device dev;
    struct bus_region data, command_port;
    struct irq irq_kbd, irq_mouse;
    struct input *input;
    void (*reset)(void *opaque);
    void *opaque;
    /* Guest-visible state: all of it, and nothing else, is in i8042_fields[]. */
    uint8_t ram[RAM_BYTES];
    uint8_t output_port;
    uint8_t command;     /* waits for its byte at the data port; 0: none, the byte is the keyboard's */
    uint8_t buffer;      /* the output buffer; keeps its value when taken */
    bool full, aux;      /* there is a byte in it; it is, or was, the mouse's */
    uint8_t reply;       /* of the controller itself, waits for the buffer */
    bool has_reply, reply_aux;
    bool system, last_command; /* status bits 2 and 3 */
    bool breaking;             /* a break prefix was swallowed by the translation */
    struct ps2_kbd kbd;
    struct ps2_mouse mouse;
};

static const struct snap_field i8042_fields[] = {
    SNAP_ARRAY(struct i8042, ram),
    SNAP(struct i8042, output_port),
    SNAP(struct i8042, command),
    SNAP(struct i8042, buffer),
    SNAP(struct i8042, full),
    SNAP(struct i8042, aux),
    SNAP(struct i8042, reply),
    SNAP(struct i8042, has_reply),
    SNAP(struct i8042, reply_aux),
    SNAP(struct i8042, system),
    SNAP(struct i8042, last_command),
    SNAP(struct i8042, breaking),
    SNAP_ARRAY(struct i8042, kbd.out.event),
    SNAP(struct i8042, kbd.out.event_head),
    SNAP(struct i8042, kbd.out.event_count),
    SNAP_ARRAY(struct i8042, kbd.out.answer),
    SNAP(struct i8042, kbd.out.answer_count),
    SNAP(struct i8042, kbd.out.last),
    SNAP(struct i8042, kbd.scanning),
    SNAP(struct i8042, kbd.sysrq),
    SNAP(struct i8042, kbd.command),
    SNAP(struct i8042, kbd.set),
    SNAP(struct i8042, kbd.leds),
    SNAP(struct i8042, kbd.rate),
    SNAP_ARRAY(struct i8042, kbd.mode),
    SNAP_ARRAY(struct i8042, kbd.held),
    SNAP_ARRAY(struct i8042, mouse.out.event),
    SNAP(struct i8042, mouse.out.event_head),
    SNAP(struct i8042, mouse.out.event_count),
    SNAP_ARRAY(struct i8042, mouse.out.answer),
    SNAP(struct i8042, mouse.out.answer_count),
    SNAP(struct i8042, mouse.out.last),
    SNAP(struct i8042, mouse.id),
    SNAP(struct i8042, mouse.command),
    SNAP_ARRAY(struct i8042, mouse.rates),
    SNAP(struct i8042, mouse.rate),
    SNAP(struct i8042, mouse.resolution),
    SNAP(struct i8042, mouse.reporting),
    SNAP(struct i8042, mouse.remote),
    SNAP(struct i8042, mouse.wrap),
    SNAP(struct i8042, mouse.scaling),
    SNAP(struct i8042, mouse.erred),
    SNAP(struct i8042, mouse.dx),
    SNAP(struct i8042, mouse.dy),
    SNAP(struct i8042, mouse.wheel),
    SNAP(struct i8042, mouse.lost_x),
    SNAP(struct i8042, mouse.lost_y),
    SNAP(struct i8042, mouse.buttons),
    SNAP(struct i8042, mouse.told_buttons),
    SNAP_ARRAY(struct i8042, mouse.sent),
    SNAP(struct i8042, mouse.sent_count),
    SNAP_END,
};

/* Next byte of the keyboard for the guest: with translation a break prefix becomes bit 7 of the code behind it. */
static bool take_kbd(struct i8042 *s, uint8_t *byte)
{
    while (ps2_take(&s->kbd.out, byte)) {
        if (!(s->ram[0] & MODE_TRANSLATE)) {
            s->breaking = false;
            return true;
        }
        if (*byte == BREAK_PREFIX) {
            s->breaking = true;
            continue;
        }
        *byte = ps2_translate(*byte) | (s->breaking ? BREAK_BIT : 0);
        s->breaking = false;
        return true;
    }
    return false;
}

/*
 * Ends every path that changes state: fills an empty output buffer, the controller's own answer first, then keyboard,
 * then mouse; then sets the lines, which tell that the buffer is full and by whom [KC output port]. A disabled
 * interface is clocked off and keeps its bytes.
 */
static void update(struct i8042 *s)
{
    uint8_t mode = s->ram[0];
    if (!s->full && s->has_reply) {
        s->buffer = s->reply;
        s->aux = s->reply_aux;
        s->has_reply = false;
        s->full = true;
    } else if (!s->full && !(mode & MODE_NO_KBD) && take_kbd(s, &s->buffer)) {
        s->aux = false;
        s->full = true;
    } else if (!s->full && !(mode & MODE_NO_AUX) && ps2_mouse_take(&s->mouse, &s->buffer)) {
        s->aux = true;
        s->full = true;
    }
    irq_set(&s->irq_kbd, s->full && !s->aux && (mode & MODE_IRQ_KBD) && !(mode & MODE_NO_KBD));
    irq_set(&s->irq_mouse, s->full && s->aux && (mode & MODE_IRQ_AUX));
}

static uint64_t data_read(void *opaque, uint64_t off, unsigned size)
{
    struct i8042 *s = opaque;
    uint8_t val = s->buffer;
    if (s->full) {
        s->full = false;
        /* Both lines fall before the next byte raises one: each byte is an edge of its own. */
        irq_set(&s->irq_kbd, false);
        irq_set(&s->irq_mouse, false);
        update(s);
    }
    return val;
}

static uint64_t status_read(void *opaque, uint64_t off, unsigned size)
{
    const struct i8042 *s = opaque;
    return STATUS_UNLOCKED | (s->full ? STATUS_FULL : 0u) | (s->full && s->aux ? STATUS_AUX : 0u) |
           (s->system ? STATUS_SYSTEM : 0u) | (s->last_command ? STATUS_COMMAND : 0u);
}

static void answer(struct i8042 *s, uint8_t byte, bool aux)
{
    s->reply = byte;
    s->reply_aux = aux;
    s->has_reply = true; /* in place of an answer that the guest hasn't waited for */
}

static uint8_t output_port(const struct i8042 *s)
{
    return s->output_port | (s->irq_kbd.level ? OUT_IRQ_KBD : 0) | (s->irq_mouse.level ? OUT_IRQ_AUX : 0);
}

/* The last thing a write does: the callee may reset this device. */
static void pulse_reset(struct i8042 *s)
{
    if (s->reset)
        s->reset(s->opaque);
}

/* The clocks of both interfaces, which idle high and are held low by the disable bits [KC e0]. */
static uint8_t test_inputs(const struct i8042 *s)
{
    return (s->ram[0] & MODE_NO_KBD ? 0 : 1) | (s->ram[0] & MODE_NO_AUX ? 0 : 2);
}

static void write_ram(struct i8042 *s, unsigned at, uint8_t val)
{
    s->ram[at] = val;
    if (at == 0)
        s->system = val & MODE_SYSTEM;
}

static void write_command(struct i8042 *s, uint8_t byte)
{
    s->command = 0;
    switch (byte) {
    case CMD_TEST_PASSWORD: answer(s, NO_PASSWORD, false); break;
    case CMD_DISABLE_AUX:   s->ram[0] |= MODE_NO_AUX; break;
    case CMD_ENABLE_AUX:    s->ram[0] &= (uint8_t)~MODE_NO_AUX; break;
    case CMD_TEST_AUX:
    case CMD_TEST_KBD:      answer(s, LINE_OK, false); break;
    case CMD_SELF_TEST:
        s->system = true;
        answer(s, SELF_TEST_OK, false);
        break;
    case CMD_DISABLE_KBD: s->ram[0] |= MODE_NO_KBD; break;
    case CMD_ENABLE_KBD:  s->ram[0] &= (uint8_t)~MODE_NO_KBD; break;
    case CMD_READ_INPUT:  answer(s, INPUT_UNLOCKED, false); break;
    case CMD_READ_OUTPUT: answer(s, output_port(s), false); break;
    case CMD_READ_TEST:   answer(s, test_inputs(s), false); break;
    case CMD_A20_OFF:     s->output_port &= (uint8_t)~OUT_A20; break;
    case CMD_A20_ON:      s->output_port |= OUT_A20; break;
    case CMD_WRITE_OUTPUT:
    case CMD_FAKE_KBD:
    case CMD_FAKE_AUX:
    case CMD_WRITE_AUX:   s->command = byte; break;
    default:
        if (byte >= CMD_READ_RAM && byte < CMD_READ_RAM + RAM_BYTES)
            answer(s, s->ram[byte - CMD_READ_RAM], false);
        else if (byte >= CMD_WRITE_RAM && byte < CMD_WRITE_RAM + RAM_BYTES)
            s->command = byte;
        break; /* others do nothing, as does the rest of CMD_PULSE */
    }
}

static void command_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct i8042 *s = opaque;
    uint8_t byte = (uint8_t)val;
    s->last_command = true;
    write_command(s, byte);
    update(s);
    if (byte >= CMD_PULSE && !(byte & OUT_RUN)) /* clear bits of the low four pulse their line [KC f0-ff] */
        pulse_reset(s);
}

static void data_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct i8042 *s = opaque;
    uint8_t byte = (uint8_t)val, command = s->command;
    s->command = 0;
    s->last_command = false;
    switch (command) {
    case 0: /* sending clocks a disabled interface on again [KC keyboard] */
        s->ram[0] &= (uint8_t)~MODE_NO_KBD;
        ps2_kbd_write(&s->kbd, byte);
        break;
    case CMD_WRITE_AUX:
        s->ram[0] &= (uint8_t)~MODE_NO_AUX;
        ps2_mouse_write(&s->mouse, byte);
        break;
    case CMD_WRITE_OUTPUT: s->output_port = byte & (uint8_t)~(OUT_IRQ_KBD | OUT_IRQ_AUX); break;
    case CMD_FAKE_KBD:     answer(s, byte, false); break;
    case CMD_FAKE_AUX:     answer(s, byte, true); break;
    default:               write_ram(s, (unsigned)(command - CMD_WRITE_RAM) % RAM_BYTES, byte); break;
    }
    update(s);
    if (command == CMD_WRITE_OUTPUT && !(byte & OUT_RUN)) {
        s->output_port |= OUT_RUN; /* the reset itself sets the line again */
        pulse_reset(s);
    }
}

static void kbd_changed(void *opaque)
{
    update(opaque);
}

static void key_event(void *opaque, uint16_t code, bool down)
{
    struct i8042 *s = opaque;
    ps2_kbd_key(&s->kbd, code, down);
    update(s);
}

static void move_event(void *opaque, int dx, int dy, int wheel, unsigned buttons)
{
    struct i8042 *s = opaque;
    ps2_mouse_move(&s->mouse, dx, dy, wheel, buttons);
    update(s);
}

static void i8042_reset(struct device *dev)
{
    struct i8042 *s = container_of(dev, struct i8042, dev);
    memset(s->ram, 0, sizeof(s->ram));
    s->ram[0] = MODE_IRQ_KBD | MODE_IRQ_AUX; /* firmware of the xenfv board has always found it so */
    s->output_port = OUT_RESET;
    s->command = s->buffer = s->reply = 0;
    s->full = s->aux = s->has_reply = s->reply_aux = s->system = s->breaking = false;
    s->last_command = true;
    ps2_kbd_reset(&s->kbd);
    ps2_mouse_reset(&s->mouse);
    update(s);
}

static int i8042_restored(struct device *dev) /* a snapshot is outside input: check, then derive */
{
    struct i8042 *s = container_of(dev, struct i8042, dev);
    uint8_t command = s->command;
    bool parameter = command == 0 || (command >= CMD_WRITE_OUTPUT && command <= CMD_WRITE_AUX) ||
                     (command >= CMD_WRITE_RAM && command < CMD_WRITE_RAM + RAM_BYTES);
    if (!parameter || (s->output_port & (OUT_IRQ_KBD | OUT_IRQ_AUX)) || !ps2_kbd_valid(&s->kbd) ||
        !ps2_mouse_valid(&s->mouse))
        return -EINVAL;
    update(s);
    return 0;
}

static void i8042_unplug(struct device *dev) /* idempotent; device_free() calls it first */
{
    struct i8042 *s = container_of(dev, struct i8042, dev);
    bus_detach(&s->data);
    bus_detach(&s->command_port);
    ps2_kbd_finish(&s->kbd);
    irq_set(&s->irq_kbd, false);
    irq_set(&s->irq_mouse, false);
    if (s->input && s->input->keyboard_opaque == s)
        s->input->keyboard = NULL;
    if (s->input && s->input->pointer_opaque == s)
        s->input->pointer = NULL;
    s->input = NULL;
}

static const struct bus_ops data_ops = { .read = data_read, .write = data_write, .sizes = BUS_1 };
static const struct bus_ops command_ops = { .read = status_read, .write = command_write, .sizes = BUS_1 };
static const struct input_ops i8042_input = { .key = key_event, .move = move_event };
static const struct device_desc i8042_desc = {
    .name = "i8042", .version = 1, .fields = i8042_fields, .restored = i8042_restored,
    .reset = i8042_reset, .unplug = i8042_unplug, /* .destroy: NULL, the struct is all there is */
};

int i8042_create(const struct i8042_config *config, struct device **out)
{
    struct i8042 *s = device_new(&i8042_desc, config->id, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->irq_kbd = config->irq_kbd;
    s->irq_mouse = config->irq_mouse;
    s->reset = config->reset;
    s->opaque = config->opaque;
    ps2_kbd_init(&s->kbd, config->loop, kbd_changed, s);
    int err = bus_attach(config->ports, &s->data, &data_ops, s, PORT_DATA, 1);
    if (!err)
        err = bus_attach(config->ports, &s->command_port, &command_ops, s, PORT_COMMAND, 1);
    if (err) {
        device_free(&s->dev);
        return err;
    }
    s->input = config->input;
    s->input->keyboard = s->input->pointer = &i8042_input;
    s->input->keyboard_opaque = s->input->pointer_opaque = s;
    *out = &s->dev;
    return 0; /* the machine resets all devices once the board is wired */
}
