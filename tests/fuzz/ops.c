/*
 * From bytes to what a guest and the world around it do to a board. The first byte of an operation is its kind (low four bits) and a
 * modifier (high four); what is missing at the end of the input is zero. docs/fuzzing.md has the table.
 */
#include "fuzz.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

enum { MAX_OPS = 4000, RAW_PLACE = 0xff, MAX_CLOCK_ROUNDS = 300 };
/* Elements of string operations: a long transfer takes as long as many short inputs. */
enum { LONG_STEP = 16, SHORT_MASK = 0x3f, ELEMENT_BUDGET = 12000 };
enum op_kind {
    OP_PORT_WRITE, OP_PORT_READ, OP_PORT_OUTS, OP_PORT_INS, OP_MEM_WRITE, OP_MEM_READ, OP_MEM_STORE, OP_MEM_LOAD,
    OP_CONFIG_WRITE, OP_CONFIG_READ, OP_PATCH, OP_CLOCK, OP_BACKEND, OP_EVENT, OP_SNAPSHOT, OP_RAW,
};
enum backend_op { BACK_HOLD, BACK_RELEASE, BACK_FAIL, BACK_WORK, BACK_CHR_IN, BACK_CHR_LIMIT, BACK_KEY, BACK_MOVE,
                  BACK_LAZY, BACK_EAGER };
/* Modifier of port and memory operations. */
enum { MOD_SIZE = 3, MOD_RUN = 4, MOD_SAME = 8 };

struct ops {
    struct fuzz_board *b;
    struct fuzz_in in;
    uint32_t elements; /* left */
};

/* --- Places --- */

static uint64_t place(struct ops *o, const struct fuzz_range *ranges, unsigned nr, unsigned raw_bytes, unsigned offset_bytes)
{
    uint8_t i = fuzz_u8(&o->in);
    if (i == RAW_PLACE || nr == 0)
        return fuzz_le(&o->in, raw_bytes);
    const struct fuzz_range *r = &ranges[i % nr];
    return r->base + fuzz_le(&o->in, offset_bytes) % r->len;
}

static uint64_t port_place(struct ops *o)
{
    return place(o, o->b->map->ports, o->b->map->nr_ports, 2, 1);
}

static uint64_t memory_place(struct ops *o)
{
    return place(o, o->b->map->memory, o->b->map->nr_memory, 5, 2);
}

/* A pointer into guest memory: RAM mostly, the edges of it sometimes. */
static uint64_t pointer(struct ops *o)
{
    static const uint64_t edges[] = { FUZZ_RAM - 0x800, 0x9f800, 0xa0000, 0xbf800, FUZZ_VRAM_BAR, FUZZ_VRAM_BAR + FUZZ_VRAM - 0x800,
                                      UINT64_C(0xfffff800), UINT64_MAX - 0x7ff };
    uint16_t val = (uint16_t)fuzz_le(&o->in, 2);
    o->b->vram_touched |= val >= 0xf000;
    if (val >= 0xf000)
        return edges[val >> 9 & 7] + (val & 0x1ff) * 8;
    return (uint64_t)val << 4;
}

static uint8_t function(struct ops *o)
{
    const struct fuzz_map *map = o->b->map;
    uint8_t i = fuzz_u8(&o->in);
    return i == RAW_PLACE || map->nr_functions == 0 ? fuzz_u8(&o->in) : map->functions[i % map->nr_functions];
}

/* --- A guest's accesses, through the pages it shares with the device model --- */

static uint64_t request(struct ops *o, enum ioreq_type type, uint64_t addr, unsigned size, bool read, uint64_t data)
{
    struct sim_request req = { .type = (uint8_t)type, .addr = addr, .size = size, .count = 1, .read = read, .data = data };
    uint64_t answer = sim_request(o->b->sim, &req);
    if (!o->b->lazy)
        fuzz_board_settle(o->b);
    return answer;
}

/* One access, a run of them over ascending addresses, or several at the same one. */
static void accesses(struct ops *o, enum ioreq_type type, unsigned mod, bool read, uint64_t addr)
{
    unsigned size = 1u << (mod & MOD_SIZE), n = 1;
    o->b->vram_touched |= type == IOREQ_COPY && !read;
    if (mod & (MOD_RUN | MOD_SAME))
        n += fuzz_u8(&o->in) & 0x1f;
    for (; n > 0; n--) {
        uint64_t val = read ? 0 : fuzz_le(&o->in, size);
        request(o, type, addr, size, read, val);
        addr += mod & MOD_RUN ? size : 0;
    }
}

/* REP INS and OUTS, REP MOVS from and to MMIO. */
static void string(struct ops *o, enum ioreq_type type, unsigned mod, bool read, uint64_t addr)
{
    uint64_t data = pointer(o);
    o->b->vram_touched |= type == IOREQ_COPY && !read;
    uint32_t count = fuzz_u8(&o->in);
    count = mod & MOD_RUN && count > SHORT_MASK ? count * LONG_STEP : count & SHORT_MASK;
    count = (uint32_t)min_u64(count, o->elements);
    o->elements -= count;
    struct sim_request req = { .type = (uint8_t)type, .addr = addr, .size = 1u << (mod & MOD_SIZE), .count = count,
                               .data = data, .read = read, .pointer = true, .descending = mod & MOD_SAME };
    sim_request(o->b->sim, &req);
    if (!o->b->lazy)
        fuzz_board_settle(o->b);
}

static void config_access(struct ops *o, unsigned mod, bool read)
{
    uint64_t addr = (uint64_t)function(o) << 32;
    addr |= fuzz_u8(&o->in);
    accesses(o, IOREQ_PCI_CONFIG, mod, read, addr);
}

/* Any request at all, or a posted write. */
static void raw(struct ops *o, unsigned mod)
{
    struct sim_request req = { .vcpu = mod & 1, .read = mod & 2, .pointer = mod & 4, .descending = mod & 8 };
    req.type = fuzz_u8(&o->in);
    uint8_t size = fuzz_u8(&o->in);
    req.addr = fuzz_le(&o->in, size & 0x80 ? 8 : 3);
    req.data = fuzz_le(&o->in, size & 0x40 ? 8 : 3);
    req.size = size & 0x20 ? (uint32_t)fuzz_le(&o->in, 4) : size & 0x0f;
    req.count = size & 0x10 ? (uint32_t)min_u64(fuzz_le(&o->in, 4), o->elements) : 1;
    o->elements -= (uint32_t)min_u64(req.count, o->elements);
    o->b->vram_touched = true;
    if (req.type & 0x80) {
        req.type &= 0x7f;
        fuzz_any(sim_post(o->b->sim, req.type, req.addr, 1u << (req.size & 3), req.data)); /* served with the next request */
        return;
    }
    sim_request(o->b->sim, &req);
    if (!o->b->lazy)
        fuzz_board_settle(o->b);
}

/* --- The rest of the world --- */

static void patch(struct ops *o, unsigned mod)
{
    uint8_t bytes[16];
    uint64_t addr = pointer(o);
    for (unsigned i = 0; i <= mod; i++)
        bytes[i] = fuzz_u8(&o->in);
    sim_ram_write(o->b->sim, addr, bytes, mod + 1);
}

/* 256 steps of 1 ns for modifier 0, of 16 ms for 12. */
static void clock_step(struct ops *o, unsigned mod)
{
    uint64_t rounds = MAX_CLOCK_ROUNDS;
    uint64_t ns = ((uint64_t)fuzz_u8(&o->in) + 1) << (2 * (mod < 12 ? mod : 12));
    fuzz_board_settle(o->b);
    /* A timer that fires more often than this in a step is left behind: it is the same again and again. */
    (void)sim_clock_run(&o->b->clock, &o->b->loop, o->b->clock.now_ns + ns, &rounds);
}

static void input_event(struct ops *o, bool key)
{
    const struct input *input = &o->b->m.input;
    if (key) {
        uint16_t code = (uint16_t)fuzz_le(&o->in, 2);
        /* e0xx and e1xx begin with the same bits as the mark of a key that goes down */
        if (input->keyboard)
            input->keyboard->key(input->keyboard_opaque, code & 0x4000 ? 0xe000 | (code & 0x1ff) : code & 0x3fff, code >> 15);
        return;
    }
    uint8_t buttons = fuzz_u8(&o->in);
    int dx = (int16_t)fuzz_le(&o->in, 2), dy = (int8_t)fuzz_u8(&o->in);
    if (input->pointer)
        input->pointer->move(input->pointer_opaque, dx, dy * (buttons & 0x80 ? 256 : 1), (int8_t)(buttons << 1) >> 6,
                             buttons & 0x1f);
}

static void backend(struct ops *o, unsigned mod)
{
    static const int errors[] = { -EIO, -ENOSPC, -ECANCELED, 0 };
    struct fuzz_board *b = o->b;
    uint8_t bytes[FUZZ_CHR_BYTES];
    size_t n = 0;
    switch (mod) {
    case BACK_HOLD: b->hold = true; break;
    case BACK_RELEASE: fuzz_disks_release(b); break;
    case BACK_FAIL:
        n = fuzz_u8(&o->in);
        b->fail = errors[n & 3];
        b->fail_op = (enum block_op)(n >> 2 & 3);
        b->fail_times = n >> 4 ? (unsigned)(n >> 4) : UINT_MAX;
        break;
    case BACK_WORK: fuzz_board_settle(b); break;
    case BACK_CHR_IN:
        for (size_t len = fuzz_u8(&o->in) % (FUZZ_CHR_BYTES + 1); n < len; n++)
            bytes[n] = fuzz_u8(&o->in);
        fuzz_chr_feed(b, bytes, n);
        break;
    case BACK_CHR_LIMIT: b->chr_limit = fuzz_u8(&o->in); break;
    case BACK_KEY: input_event(o, true); break;
    case BACK_MOVE: input_event(o, false); break;
    case BACK_LAZY: b->lazy = true; break;
    default: b->lazy = false; break;
    }
    if (!b->lazy)
        fuzz_board_settle(b);
}

static void event(struct ops *o, unsigned mod)
{
    struct fuzz_board *b = o->b;
    if (b->part && b->part->event)
        b->part->event(b, mod, &o->in);
    if (!b->lazy)
        fuzz_board_settle(b);
}

static void operation(struct ops *o, enum op_kind kind, unsigned mod)
{
    struct fuzz_board *b = o->b;
    switch (kind) {
    case OP_PORT_WRITE:
    case OP_PORT_READ: accesses(o, IOREQ_PIO, mod, kind == OP_PORT_READ, port_place(o)); break;
    case OP_PORT_OUTS:
    case OP_PORT_INS: string(o, IOREQ_PIO, mod, kind == OP_PORT_INS, port_place(o)); break;
    case OP_MEM_WRITE:
    case OP_MEM_READ: accesses(o, IOREQ_COPY, mod, kind == OP_MEM_READ, memory_place(o)); break;
    case OP_MEM_STORE:
    case OP_MEM_LOAD: string(o, IOREQ_COPY, mod, kind == OP_MEM_LOAD, memory_place(o)); break;
    case OP_CONFIG_WRITE:
    case OP_CONFIG_READ: config_access(o, mod, kind == OP_CONFIG_READ); break;
    case OP_PATCH: patch(o, mod); break;
    case OP_CLOCK: clock_step(o, mod); break;
    case OP_BACKEND: backend(o, mod); break;
    case OP_EVENT: event(o, mod); break;
    case OP_SNAPSHOT:
        if (mod <= 1)
            fuzz_board_roundtrip(b, mod == 0);
        else if (mod >= 14) /* rarely: they cost more than all else */
            fuzz_board_poke(b, &o->in, mod == 14);
        break;
    case OP_RAW: raw(o, mod); break;
    }
}

void fuzz_ops(struct fuzz_board *b, struct fuzz_in *in)
{
    struct ops o = { .b = b, .in = *in, .elements = ELEMENT_BUDGET };
    for (unsigned n = 0; n < MAX_OPS && o.in.at < o.in.end; n++) {
        uint8_t head = fuzz_u8(&o.in);
        operation(&o, (enum op_kind)(head & 0x0f), head >> 4);
    }
    *in = o.in;
}
