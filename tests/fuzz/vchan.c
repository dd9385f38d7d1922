/*
 * The other end of a byte ring: a client of the vchan, or the back end of a console, that writes what it likes into the
 * page; beside it a user that reads, writes, hangs up and closes. What must hold: the user gets no more than it has
 * room for, hears of each peer's coming and going in turn, and at the end nothing is left.
 *
 * An input: which of the two in one byte, then operations. The low four bits of an operation's first byte are its kind,
 * the high four a modifier.
 */
#include "fuzz.h"

#include "../../stubdom/front/front.h"
#include "../stubdom/fake.h"
#include <stdlib.h>
#include <string.h>
#include <xen/io/console.h>
#include <xen/io/libxenvchan.h>

enum op {
    OP_INDEX,
    OP_DATA,
    OP_LIVE,
    OP_EVENT,
    OP_TURN,
    OP_WRITE,
    OP_ROOM,
    OP_RESUME,
    OP_HANG_UP,
    OP_BIND,
    OP_HONEST,
    OP_ENDS
};
enum { MAX_OPS = 400, MAX_WRITE = 4096 };

#define VCHAN   "device-model/7/qmp-vchan"
#define CONSOLE "device/console/1"
#define BACK    "/local/domain/0/backend/console/9/1"

struct bench {
    struct chr *chr;
    bool console;
    uint8_t *page;
    evtchn_port_t port;
    size_t room;
    bool present, hangs_up, closes;
};

static size_t user_room(void *opaque)
{
    return ((struct bench *)opaque)->room;
}

static void close_chr(struct bench *b)
{
    chr_close(b->chr);
    b->chr = NULL;
}

static void user_recv(void *opaque, const uint8_t *buf, size_t len)
{
    struct bench *b = opaque;
    if (!b->chr || len == 0 || len > b->room)
        fuzz_bug("%zu bytes for a user with room for %zu", len, b->room);
    b->room -= len;
    if (b->hangs_up)
        chr_disconnect(b->chr);
    if (b->closes)
        close_chr(b);
}

static void user_opened(void *opaque)
{
    struct bench *b = opaque;
    if (b->present || !b->chr)
        fuzz_bug("a peer came that is there, or to a chr that isn't");
    b->present = true;
    (void)chr_write(b->chr, (const uint8_t *)"hello", 5);
}

static void user_closed(void *opaque)
{
    struct bench *b = opaque;
    if (!b->present || !b->chr)
        fuzz_bug("a peer left that wasn't there");
    b->present = false;
}

static const struct chr_user user = { user_room, user_recv, user_opened, user_closed, NULL };

/* The four indices, wherever they are. */
static uint32_t *index_at(const struct bench *b, unsigned nr)
{
    struct xencons_interface *console = (void *)b->page;
    struct vchan_interface *vchan = (void *)b->page;
    uint32_t *at[2][4] = { { &vchan->left.prod, &vchan->right.cons, &vchan->left.cons, &vchan->right.prod },
                           { &console->in_prod, &console->out_cons, &console->in_cons, &console->out_prod } };
    return at[b->console][nr & 3];
}

static void live(struct bench *b, struct fuzz_in *in, unsigned modifier)
{
    if (b->console)
        fakexen_set_number(BACK "/state", modifier);
    else
        ((struct vchan_interface *)(void *)b->page)->cli_live = modifier & 8 ? fuzz_u8(in) : modifier & 3;
}

static void change(struct bench *b, struct fuzz_in *in, enum op op, unsigned modifier)
{
    uint8_t text[MAX_WRITE];
    size_t at;
    switch (op) {
    case OP_INDEX:
        *index_at(b, modifier) = modifier & 8 ? (uint32_t)fuzz_le(in, 4) : *index_at(b, modifier) + fuzz_u8(in);
        if (modifier & 4)
            fakexen_raise(b->port);
        break;
    case OP_DATA:
        at = (size_t)fuzz_le(in, 2) % (PAGE_BYTES - 16);
        for (unsigned i = 0; i <= modifier; i++)
            b->page[at + i] = fuzz_u8(in);
        break;
    case OP_LIVE: live(b, in, modifier); break;
    case OP_EVENT: fakexen_raise(b->port); break;
    case OP_WRITE:
        memset(text, (int)modifier, sizeof(text));
        for (unsigned i = 0; i <= modifier; i++) {
            size_t len = (size_t)fuzz_u8(in) * 16;
            if (chr_write(b->chr, text, len) > len)
                fuzz_bug("more is taken than was given");
        }
        break;
    case OP_ROOM: b->room = modifier & 8 ? fuzz_u8(in) : SIZE_MAX; break;
    case OP_RESUME: chr_resume(b->chr); break;
    case OP_HANG_UP: chr_disconnect(b->chr); break;
    case OP_BIND: chr_bind(b->chr, &user, b); break;
    case OP_HONEST: /* it takes what there is */
        *index_at(b, 1) = *index_at(b, 3);
        fakexen_raise(b->port);
        break;
    case OP_ENDS:
        b->hangs_up = modifier & 1;
        b->closes = modifier & 2;
        break;
    case OP_TURN: break;
    }
}

static void turn(unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++)
        fuzz_any(loop_step(&fakexen.loop, 0));
}

static int open_chr(struct bench *b)
{
    if (!b->console)
        return vchan_open(VCHAN, &fakexen.loop, &fakexen.log, &b->chr);
    fakexen_set(CONSOLE "/backend", BACK);
    fakexen_set(CONSOLE "/backend-id", "0");
    fakexen_set(BACK "/state", "1");
    return consfront_open(1, &fakexen.loop, &fakexen.log, &b->chr);
}

void fuzz_vchan_run(const struct fuzz_target *target, const uint8_t *data, size_t len)
{
    struct fuzz_in in = { data, data + len };
    unsigned first = fuzz_u8(&in);
    struct bench b = { .console = first & 1, .room = SIZE_MAX };
    fakexen_init();
    if (open_chr(&b) != 0)
        fuzz_bug("it doesn't open");
    b.page = fakexen_map((grant_ref_t)fakexen_get_number(b.console ? CONSOLE "/ring-ref" : VCHAN "/ring-ref"), false);
    b.port = (evtchn_port_t)fakexen_get_number(b.console ? CONSOLE "/port" : VCHAN "/event-channel");
    if (first & 2)
        chr_bind(b.chr, &user, &b);
    for (unsigned i = 0; i < MAX_OPS && in.at < in.end && b.chr; i++) {
        uint8_t op = fuzz_u8(&in);
        if ((op & 15) <= OP_ENDS && (op & 15) != OP_TURN)
            change(&b, &in, (enum op)(op & 15), op >> 4);
        else
            turn(1 + (op >> 6));
    }
    turn(b.chr ? 4 : 0);
    if (b.console)
        fakexen_set(BACK "/state", "6");
    if (b.chr)
        close_chr(&b);
    if (fakexen_pages_used() > 0 || fakexen.loop.timers)
        fuzz_bug("a page or a timer is left");
    for (const struct task *task = fakexen.loop.tasks; task; task = task->next) {
        if (task->opaque)
            fuzz_bug("a task of its is left"); /* the store's has none */
    }
    fakexen_finish();
}
