/*
 * A block back end that writes what it likes: nodes and states, ring indices, answers, bytes anywhere in the ring and
 * in the pages it was given; beside it a device model that reads and writes. What must hold beside what sanitizers see:
 * each request ends once, a connection that ends leaves nothing behind but pages that the back end keeps, and a disk
 * that comes after all that works.
 *
 * An input: the set-up in three bytes, then operations. The low four bits of an operation's first byte are its kind,
 * the high four a modifier.
 */
#include "fuzz.h"

#include "../../stubdom/front/front.h"
#include "../stubdom/blkback.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum op {
    OP_SUBMIT,
    OP_SERVE,
    OP_ANSWER,
    OP_INDEX,
    OP_RAW,
    OP_NODE,
    OP_STATE,
    OP_TURN,
    OP_EVENT,
    OP_PAGE,
    OP_DRAIN,
    OP_REOPEN,
    OP_STORE,
    OP_GROW,
    OP_CLOCK,
    OP_STAY,
};
enum { MAX_OPS = 300, NR_IOS = 24, MAX_REOPENS = 3, MAX_LEN = 600 << 10 };

static const char *const nodes[] = {
    BLKBACK_DIR "/sectors",
    BLKBACK_DIR "/sector-size",
    BLKBACK_DIR "/info",
    BLKBACK_DIR "/feature-flush-cache",
    BLKBACK_DIR "/feature-barrier",
    BLKBACK_DIR "/feature-discard",
    BLKBACK_DIR "/feature-max-indirect-segments",
    BLKBACK_DIR "/max-ring-page-order",
    BLKBACK_DIR "/state",
    BLKBACK_DIR "/feature-persistent",
};
static const char *const values[] = { NULL, "0",    "1",    "2",    "3",    "4",          "5",
                                      "6",  "12",   "512",  "4096", "8192", "4294967295", "18446744073709551615",
                                      "x",  "1000", "8191", "" };

struct io {
    struct block_req req;
    struct vec vec[3];
    uint8_t *memory;
    bool busy;
};

struct bench {
    struct blkback back;
    struct block *block; /* NULL: it didn't connect */
    struct io ios[NR_IOS];
    bool tampered; /* the ring is not what an honest back end would go on with */
    bool lost;     /* the back end kept pages of a connection that ended */
    bool refuses;  /* xenstore, some request: even that a watch is taken off */
    unsigned reopens;
};

static void done(struct block_req *req, int err)
{
    struct io *io = req->opaque;
    if (!io->busy)
        fuzz_bug("a request ended twice");
    if (err > 0)
        fuzz_bug("a request ended with %d", err);
    io->busy = false;
}

/* A request of any kind; its memory is as long as it is, in up to three parts. */
static void submit(struct bench *b, struct fuzz_in *in, unsigned modifier)
{
    uint64_t offset = fuzz_le(in, 2) * 512, len = fuzz_le(in, 2) * 512 % MAX_LEN;
    struct io *io = b->ios;
    while (io < b->ios + NR_IOS && io->busy)
        io++;
    if (!b->block || io == b->ios + NR_IOS)
        return;
    free(io->memory);
    io->memory = calloc(1, len + 1);
    if (!io->memory)
        fuzz_bug("no memory");
    size_t first = len / 3 + modifier, second = len / 2;
    if (first > len)
        first = len;
    if (second > len - first)
        second = len - first;
    io->vec[0] = (struct vec){ io->memory, first };
    io->vec[1] = (struct vec){ io->memory + first, second };
    io->vec[2] = (struct vec){ io->memory + first + second, len - first - second };
    io->busy = true;
    enum block_op op = (enum block_op)(modifier % BLOCK_NR_OPS);
    io->req = (struct block_req){ .op = op,
                                  .offset = offset,
                                  .len = op == BLOCK_FLUSH ? 0 : len,
                                  .vec = io->vec,
                                  .nvec = 3,
                                  .done = done,
                                  .opaque = io };
    block_submit(b->block, &io->req);
}

static void set_up(struct bench *b, struct fuzz_in *in)
{
    unsigned features = fuzz_u8(in), more = fuzz_u8(in), limits = fuzz_u8(in);
    fakexen_init();
    fakexen.log.now_ns = NULL; /* every line is wanted */
    blkback_reset(&b->back);
    b->back.hold = true;
    b->back.unmaps = features & 1;
    b->back.reversed = features & 2;
    b->back.stuck = (features & 0x1c) == 0x1c;
    b->back.stays = features & 0x20;
    if (features & 0x40)
        fakexen_set(BLKBACK_DIR "/max-ring-page-order", NULL);
    if (features & 0x80)
        fakexen_set(BLKBACK_DIR "/feature-max-indirect-segments", "13");
    fakexen_set(nodes[more % ARRAY_SIZE(nodes)], values[(more / 16 + limits) % ARRAY_SIZE(values)]);
    if (limits & 1)
        fakexen.page_limit = limits;
    if (limits & 2)
        fakexen.max_frames = 1;
}

static void try_open(struct bench *b)
{
    fuzz_any(fakexen_said("")); /* room in the text */
    if (blkfront_open(BLKBACK_FRONT, &fakexen.loop, &fakexen.log, &b->block) != 0)
        b->block = NULL;
    b->lost = fakexen_said("memory is lost") || b->lost;
}

static void turn(unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++)
        fuzz_any(loop_step(&fakexen.loop, 0));
}

static void close_disk(struct bench *b)
{
    fuzz_any(fakexen_said(""));
    block_close(b->block);
    b->block = NULL;
    b->lost = fakexen_said("memory is lost") || b->lost;
    for (size_t i = 0; i < NR_IOS; i++) {
        if (b->ios[i].busy)
            fuzz_bug("request %zu never ended", i);
        free(b->ios[i].memory);
        b->ios[i].memory = NULL;
    }
    if (!b->lost && fakexen_pages_used() > 0)
        fuzz_bug("%zu pages are left", fakexen_pages_used());
    for (evtchn_port_t port = FAKE_STORE_PORT + 1; port < EVENTS_MAX_PORTS; port++) {
        if (fakexen.ports[port].used)
            fuzz_bug("channel %u is left", port);
    }
    for (size_t i = 0; i < FAKE_WATCHES; i++) {
        if (fakexen.store.watches[i].used && !b->refuses)
            fuzz_bug("a watch is left");
    }
}

static void answer(struct bench *b, struct fuzz_in *in, unsigned modifier)
{
    uint64_t id = modifier & 8 ? fuzz_le(in, 8) : modifier & 4 ? b->back.rsp_prod % 64 : fuzz_u8(in) % 70;
    blkback_respond(&b->back, id, BLKIF_OP_READ, modifier & 1 ? (int16_t)(int8_t)fuzz_u8(in) : 0);
    if (modifier & 2)
        blkback_show(&b->back);
    b->tampered = true;
}

static void raw(struct bench *b, struct fuzz_in *in, unsigned modifier)
{
    size_t size = (size_t)PAGE_BYTES << b->back.order, at = (size_t)fuzz_le(in, 2) % size;
    for (unsigned i = 0; i <= modifier; i++, at = (at + 1) % size)
        b->back.pages[at / PAGE_BYTES][at % PAGE_BYTES] = fuzz_u8(in);
    b->tampered = true;
}

static void move_index(struct bench *b, struct fuzz_in *in, unsigned modifier)
{
    unsigned offset = 4 * (modifier & 3);
    uint32_t value = blkback_index(&b->back, offset);
    if (modifier & 4)
        value = (uint32_t)fuzz_le(in, 4);
    else
        value = (uint32_t)(value + (uint64_t)(int64_t)(int8_t)fuzz_u8(in));
    blkback_set_index(&b->back, offset, value);
    if (modifier & 8)
        fakexen_raise(b->back.port);
    b->tampered = true;
}

/* Any page that is granted, also while its contents are on their way. */
static void page(struct fuzz_in *in, unsigned modifier)
{
    uint8_t *at = fakexen_map(fuzz_u8(in), false);
    size_t offset = (size_t)fuzz_le(in, 2) % (PAGE_BYTES - 16);
    for (unsigned i = 0; at && i <= modifier; i++)
        at[offset + i] = fuzz_u8(in);
}

static void reopen(struct bench *b)
{
    if (b->reopens++ == MAX_REOPENS)
        return;
    close_disk(b);
    if (b->back.connected || b->back.stays)
        return; /* it keeps our pages: the old ring is still there */
    b->tampered = false;
    blkback_reset(&b->back);
    b->back.hold = true;
    try_open(b);
}

/* While it isn't connected there is no ring to write to. */
static void ring_operation(struct bench *b, struct fuzz_in *in, enum op op, unsigned modifier)
{
    if (!b->back.connected || !b->block)
        return;
    switch (op) {
    case OP_SERVE:
        if (!b->tampered)
            blkback_serve(&b->back);
        break;
    case OP_ANSWER: answer(b, in, modifier); break;
    case OP_INDEX: move_index(b, in, modifier); break;
    default: raw(b, in, modifier); break;
    }
}

static void operation(struct bench *b, struct fuzz_in *in)
{
    uint8_t first = fuzz_u8(in), modifier = first >> 4;
    switch ((enum op)(first & 15)) {
    case OP_SUBMIT: submit(b, in, modifier); break;
    case OP_SERVE:
    case OP_ANSWER:
    case OP_INDEX:
    case OP_RAW: ring_operation(b, in, (enum op)(first & 15), modifier); break;
    case OP_NODE: fakexen_set(nodes[modifier % ARRAY_SIZE(nodes)], values[fuzz_u8(in) % ARRAY_SIZE(values)]); break;
    case OP_STATE: fakexen_set_number(BLKBACK_DIR "/state", modifier); break;
    case OP_TURN: turn(1 + modifier); break;
    case OP_EVENT: fakexen_raise(b->back.port); break;
    case OP_PAGE: page(in, modifier); break;
    case OP_DRAIN:
        if (b->block)
            block_drain(b->block);
        break;
    case OP_REOPEN: reopen(b); break;
    case OP_STORE:
        b->refuses = true;
        fakexen.store.error = "EIO";
        fakexen.store.error_after = modifier;
        break;
    case OP_GROW:
        if (b->block)
            (void)block_grew(b->block);
        break;
    case OP_CLOCK: fakexen.now_ns += modifier * NS_PER_S; break;
    case OP_STAY: b->back.stays = modifier & 1; break;
    }
}

/* With an honest back end all is well again. */
static void works_again(struct bench *b)
{
    fakexen_init();
    blkback_reset(&b->back);
    b->lost = b->refuses = false;
    try_open(b);
    if (!b->block)
        fuzz_bug("no connection to an honest back end");
    struct io *io = &b->ios[0];
    io->memory = calloc(1, 300 << 10);
    if (!io->memory)
        fuzz_bug("no memory");
    io->vec[0] = (struct vec){ io->memory, 300 << 10 };
    io->busy = true;
    io->req =
        (struct block_req){ .op = BLOCK_READ, .len = 300 << 10, .vec = io->vec, .nvec = 1, .done = done, .opaque = io };
    block_submit(b->block, &io->req);
    fakexen_settle();
    if (io->busy || memcmp(io->memory, b->back.disk, 300 << 10) != 0)
        fuzz_bug("an honest back end's data is not what was read");
    close_disk(b);
}

void fuzz_blkfront_run(const struct fuzz_target *target, const uint8_t *data, size_t len)
{
    static struct bench bench; /* its disk is large, and keeps what was written by earlier inputs */
    struct fuzz_in in = { data, data + len };
    struct bench *b = &bench;
    memset(b->ios, 0, sizeof(b->ios));
    b->tampered = b->lost = b->refuses = false;
    b->reopens = 0;
    set_up(b, &in);
    try_open(b);
    for (unsigned i = 0; i < MAX_OPS && in.at < in.end; i++)
        operation(b, &in);
    turn(4);
    close_disk(b);
    works_again(b);
    fakexen_finish();
}
