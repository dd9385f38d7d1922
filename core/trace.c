/*
 * The recorder: see trace.h. Entries gather in a chunk; a full chunk goes to the sink, or is the next one of a ring,
 * whose oldest is overwritten. Nothing here allocates once the recorder exists, and a chunk's length grows only when an
 * entry is complete, so that a signal handler finds whole entries.
 */
#include "trace-private.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <thindm/config.h>
#include <thindm/mem.h>

enum {
    RING_CHUNKS = 8,
    RING_MIN_BYTES = 8192,
    FIRST_CHUNK_BYTES = 16384,
    LONG_ENTRY = 16384,
    SHORT_ROOM = 2 + TRACE_MAX_FIELDS * VARINT_BYTES
};
#define RING_MAX_BYTES GIB

static struct trace_recorder *rec_of(struct trace *trace)
{
    return container_of(trace, struct trace_recorder, trace);
}

/* --- Chunks --- */

uint64_t trace_recorder_entries(const struct trace_recorder *rec)
{
    return rec->now->first + (rec->now->fill >> 32);
}

/* A chunk without entries isn't written: so it is as long as its head isn't whole. */
static void chunk_begin(struct trace_recorder *rec, struct chunk *chunk, uint64_t first)
{
    chunk->fill = 0;
    atomic_signal_fence(memory_order_seq_cst);
    memset(chunk->data, 0, TRACE_CHUNK_HEAD_BYTES);
    le32_put(chunk->data + CHUNK_MAGIC, CHUNK_MARK);
    le64_put(chunk->data + CHUNK_NUMBER, first);
    le64_put(chunk->data + CHUNK_CLOCK, rec->clock_ns);
    le64_put(chunk->data + CHUNK_STAMP, rec->stamp_ns);
    chunk->first = first;
    rec->epoch++; /* no entry refers to another chunk: it may be gone by then */
    atomic_signal_fence(memory_order_seq_cst);
    chunk->fill = TRACE_CHUNK_HEAD_BYTES;
}

/* The present state of a chunk as it stands in a file. */
static int chunk_write(struct trace_sink *sink, const struct chunk *chunk)
{
    size_t used = chunk_used(chunk);
    if (used <= TRACE_CHUNK_HEAD_BYTES)
        return 0;
    uint8_t head[TRACE_CHUNK_HEAD_BYTES];
    memcpy(head, chunk->data, sizeof(head));
    le32_put(head + CHUNK_LENGTH, (uint32_t)(used - sizeof(head)));
    le64_put(head + CHUNK_CHECK,
             trace_hash(trace_hash(0, head, CHUNK_CHECK), chunk->data + sizeof(head), used - sizeof(head)));
    int err = sink->write(sink, head, sizeof(head));
    return err ? err : sink->write(sink, chunk->data + sizeof(head), used - sizeof(head));
}

static int write_head(struct trace_sink *sink, unsigned flags)
{
    uint8_t head[TRACE_HEAD_BYTES] = { 0 };
    memcpy(head, TRACE_MAGIC, 8);
    le16_put(head + HEAD_VERSION, TRACE_VERSION);
    le16_put(head + HEAD_FLAGS, (uint16_t)flags);
    le32_put(head + HEAD_CHUNK_BYTES, TRACE_CHUNK_BYTES);
    le64_put(head + HEAD_CHECK, trace_hash(0, head, HEAD_CHECK));
    return sink->write(sink, head, sizeof(head));
}

int trace_recorder_flush(struct trace_recorder *rec)
{
    int err = 0;
    if (rec->ended || !rec->config.sink)
        return 0;
    if (!rec->head_written)
        err = write_head(rec->config.sink, rec->flags);
    rec->head_written = true;
    if (!err)
        err = chunk_write(rec->config.sink, rec->now);
    chunk_begin(rec, rec->now, trace_recorder_entries(rec));
    return err;
}

/* The chunk is full. */
static NOINLINE void next_chunk(struct trace_recorder *rec)
{
    if (rec->config.sink) {
        int err = trace_recorder_flush(rec);
        if (!err)
            return;
        rec->ended = rec->failed = true;
        log_print(rec->config.log, LOG_ERROR, "trace", "writing failed: %s; the trace ends here and the guest goes on",
                  strerror(-err));
        return;
    }
    unsigned at = rec->now == &rec->head ? rec->at : (rec->at + 1) % rec->nr_chunks;
    chunk_begin(rec, &rec->chunks[at],
                trace_recorder_entries(rec)); /* before it is the last one, for a signal handler */
    rec->at = at;
    rec->now = &rec->chunks[at];
    rec->chunks_left -= rec->chunks_left > 0;
    rec->snapshot_due |= rec->snapshot_chunks > 0 && rec->chunks_left == 0;
}

/* --- Entries --- */

/* Room for an entry of at most max bytes with its head. */
static inline uint8_t *reserve(struct trace_recorder *rec, size_t max)
{
    if (chunk_used(rec->now) + max > rec->now->bytes)
        next_chunk(rec);
    return rec->now->data + chunk_used(rec->now);
}

static inline void commit(struct trace_recorder *rec, const uint8_t *end)
{
    atomic_signal_fence(memory_order_release); /* the bytes are there before a signal handler counts them */
    struct chunk *chunk = rec->now;
    chunk->fill = ((chunk->fill >> 32) + 1) << 32 | (uint32_t)(end - chunk->data);
}

static uint8_t *put_values(uint8_t *to, enum trace_kind kind, const uint64_t *v, unsigned n)
{
    unsigned is_signed = trace_kind_info(kind)->is_signed;
    for (unsigned i = 0; i < n; i++)
        to = varint_put(to, is_signed >> i & 1 ? zigzag(v[i]) : v[i]);
    return to;
}

void trace_put(struct trace_recorder *rec, enum trace_kind kind, const uint64_t *v, unsigned n)
{
    if (rec->ended)
        return;
    uint8_t *at = reserve(rec, SHORT_ROOM), *to = put_values(at + 2, kind, v, n);
    at[0] = (uint8_t)kind;
    at[1] = (uint8_t)(to - (at + 2));
    commit(rec, to);
}

static void put_piece(struct trace_recorder *rec, enum trace_kind kind, const uint8_t *values, size_t values_len,
                      const void *bytes, size_t len)
{
    size_t all = values_len + len;
    if (rec->ended)
        return;
    uint8_t *at = reserve(rec, all + ENTRY_HEAD_BYTES), *to = at + 2;
    at[0] = (uint8_t)kind;
    at[1] = all < ENTRY_SHORT ? (uint8_t)all : ENTRY_SHORT;
    if (all >= ENTRY_SHORT) {
        le16_put(to, (uint16_t)all);
        to += 2;
    }
    if (values_len > 0)
        memcpy(to, values, values_len);
    if (len > 0)
        memcpy(to + values_len, bytes, len);
    commit(rec, to + all);
}

void trace_put_bytes(struct trace_recorder *rec, enum trace_kind kind, const uint64_t *v, unsigned n, const void *bytes,
                     size_t len)
{
    uint8_t values[TRACE_MAX_FIELDS * VARINT_BYTES];
    size_t room = min_u64(LONG_ENTRY, rec->chunk_bytes / 2),
           values_len = (size_t)(put_values(values, kind, v, n) - values);
    const uint8_t *from = bytes;
    size_t piece = (size_t)min_u64(len, room - values_len - ENTRY_HEAD_BYTES);
    put_piece(rec, kind, values, values_len, from, piece);
    while (len > piece) {
        from += piece;
        len -= piece;
        piece = (size_t)min_u64(len, room - ENTRY_HEAD_BYTES);
        put_piece(rec, TRACE_MORE, NULL, 0, from, piece);
    }
}

static NOINLINE void write_stamp(struct trace_recorder *rec, uint64_t now)
{
    uint64_t delta = zigzag(now - rec->stamp_ns);
    trace_put(rec, TRACE_STAMP, &delta, 1);
    rec->stamp_ns = now;
}

/* The loop knows when it last looked at its host: that costs nothing, and tells a reader when things were. */
static inline void put_stamp(struct trace_recorder *rec)
{
    uint64_t now = rec->loop->watch_polled_ns;
    if (now != rec->stamp_ns && !rec->ended)
        write_stamp(rec, now);
}

/* --- What the core tells --- */

/* A request that none before it in this chunk was like. */
static NOINLINE void put_request(struct trace_recorder *rec, const struct trace_ioreq *req, uint64_t flags)
{
    uint8_t *at = reserve(rec, SHORT_ROOM), *to = at + 2;
    to = varint_put(to, flags);
    to = varint_put(to, req->vcpu);
    to = varint_put(to, req->size);
    to = varint_put(to, req->count);
    to = varint_put(to, req->addr);
    to = varint_put(to, shape_has_data(flags) ? req->data : 0);
    at[0] = req->posted ? TRACE_POSTED : TRACE_IOREQ;
    at[1] = (uint8_t)(to - (at + 2));
    commit(rec, to);
    if (req->count == 1 && req->size <= SHAPE_MAX_SIZE)
        rec->shapes[shape_place(req->addr, flags)] =
            (struct trace_shape){ req->addr,
                                  (uint64_t)rec->epoch << 32 | shape_what(req->posted, flags, req->vcpu, req->size) };
}

/* Most of all entries are requests and answers: written down without a look at the table of kinds. */
static void on_ioreq(struct trace *trace, const struct trace_ioreq *req)
{
    struct trace_recorder *rec = rec_of(trace);
    trace_begin(rec);
    rec->request = req;
    put_stamp(rec);
    if (rec->ended)
        return;
    uint8_t *at = reserve(rec, SHORT_ROOM);
    uint64_t flags = ioreq_flags(req);
    unsigned place = shape_place(req->addr, flags);
    const struct trace_shape *shape = &rec->shapes[place];
    uint64_t what = (uint64_t)rec->epoch << 32 | shape_what(req->posted, flags, req->vcpu, req->size);
    if (shape->addr != req->addr || shape->what != what || req->count != 1 || req->size > SHAPE_MAX_SIZE) {
        put_request(rec, req, flags);
        return;
    }
    *at++ = (uint8_t)(SHAPE_ENTRY + place);
    commit(rec, shape_has_data(flags) ? varint_put(at, req->data) : at);
}

static inline void step_done(struct trace_recorder *rec)
{
    rec->depth -= rec->depth > 0;
    if (rec->depth > 0)
        return;
    rec->request = NULL;
    if (rec->snapshot_due)
        trace_snapshot_try(rec);
}

static void on_answer(struct trace *trace, uint64_t answer)
{
    struct trace_recorder *rec = rec_of(trace);
    if (!rec->ended) {
        uint8_t *at = reserve(rec, SHORT_ROOM);
        *at = ANSWER_ENTRY;
        commit(rec, varint_put(at + 1, answer));
    }
    step_done(rec);
}

static void on_end(struct trace *trace)
{
    step_done(rec_of(trace));
}

/* Kinds whose field is relative to the clock. */
static void put_clocked(struct trace_recorder *rec, enum trace_kind kind, uint32_t id, uint64_t ns)
{
    const uint64_t v[] = { id, zigzag(ns - rec->clock_ns) };
    bool clock = kind == TRACE_CLOCK;
    trace_put(rec, kind, clock ? v + 1 : v, clock ? 1 : 2);
    if (clock)
        rec->clock_ns = ns;
}

static void on_timer(struct trace *trace, uint32_t id, uint64_t expires_ns)
{
    struct trace_recorder *rec = rec_of(trace);
    trace_begin(rec);
    put_stamp(rec);
    put_clocked(rec, TRACE_TIMER, id, expires_ns);
}

static void on_task(struct trace *trace, uint32_t id)
{
    struct trace_recorder *rec = rec_of(trace);
    trace_begin(rec);
    put_stamp(rec);
    const uint64_t v[] = { id };
    trace_put(rec, TRACE_TASK, v, 1);
}

static void on_clock(struct trace *trace, uint64_t *now_ns)
{
    struct trace_recorder *rec = rec_of(trace);
    if (rec->saving)
        *now_ns = rec->saving_ns;
    else if (trace_on(rec))
        put_clocked(rec, TRACE_CLOCK, 0, *now_ns);
}

/* Bytes that both sides know: in full if they are few. */
static enum trace_form form_of(const struct trace_recorder *rec, size_t len)
{
    return len <= FULL_BYTES ? TRACE_FULL : rec->flags & TRACE_NO_DATA ? TRACE_OMITTED : TRACE_HASHED;
}

static void on_mem_read(struct trace *trace, uint64_t addr, void *buf, size_t len, int *err)
{
    struct trace_recorder *rec = rec_of(trace);
    const uint64_t v[] = { addr, len, (uint64_t)(int64_t)*err };
    if (trace_on(rec))
        trace_put_bytes(rec, TRACE_MEM_READ, v, 3, buf, len);
}

static void put_write(struct trace_recorder *rec, uint64_t addr, const void *buf, size_t len, int err)
{
    enum trace_form form = form_of(rec, len);
    const uint64_t v[] = { addr, len, (uint64_t)(int64_t)err, form };
    uint8_t hash[HASH_BYTES];
    if (form == TRACE_HASHED) {
        le64_put(hash, trace_hash(0, buf, len));
        trace_put_bytes(rec, TRACE_MEM_WRITE, v, 4, hash, sizeof(hash));
    } else {
        trace_put_bytes(rec, TRACE_MEM_WRITE, v, 4, buf, form == TRACE_FULL ? len : 0);
    }
}

static void on_mem_write(struct trace *trace, uint64_t addr, const void *buf, size_t len, int *err)
{
    struct trace_recorder *rec = rec_of(trace);
    if (trace_on(rec))
        put_write(rec, addr, buf, len, *err);
}

static void on_mem_pin(struct trace *trace, uint64_t addr, size_t len, size_t *got, int *err)
{
    struct trace_recorder *rec = rec_of(trace);
    const uint64_t v[] = { addr, len, *err ? 0 : *got, (uint64_t)(int64_t)*err };
    if (trace_on(rec))
        trace_put(rec, TRACE_MEM_PIN, v, 4);
}

static void on_pin_read(struct trace *trace, uint64_t addr, void *ptr, size_t len)
{
    struct trace_recorder *rec = rec_of(trace);
    const uint64_t v[] = { addr, len };
    if (trace_on(rec))
        trace_put_bytes(rec, TRACE_PIN_READ, v, 2, ptr, len);
}

static void on_pin_write(struct trace *trace, uint64_t addr, const void *ptr, size_t len)
{
    struct trace_recorder *rec = rec_of(trace);
    if (trace_on(rec))
        put_write(rec, addr, ptr, len, 0);
}

bool trace_in_guest(const struct mem *mem, const struct block_req *req)
{
    bool found = false;
    for (size_t i = 0; mem && i < req->nvec && !found; i++)
        found = mem_is_guest(mem, req->vec[i].ptr);
    return found;
}

static uint64_t hash_vec(const struct block_req *req)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < req->nvec; i++)
        hash = trace_hash(hash, req->vec[i].ptr, req->vec[i].len);
    return hash;
}

/* What is written from the guest's memory isn't looked at: nothing that the guest can see depends on it. */
static void on_block_submit(struct trace *trace, struct block_req *req)
{
    struct trace_recorder *rec = rec_of(trace);
    if (!trace_on(rec))
        return;
    bool moves = req->op == BLOCK_READ || req->op == BLOCK_WRITE, guest = moves && trace_in_guest(rec->mem, req);
    bool hashed = req->op == BLOCK_WRITE && !guest && req->result == 0 && !(rec->flags & TRACE_NO_DATA);
    uint8_t hash[HASH_BYTES];
    le64_put(hash, hashed ? hash_vec(req) : 0);
    const uint64_t v[] = { req->block->trace_id,
                           req->trace_nr,
                           req->op,
                           req->offset,
                           req->len,
                           (uint64_t)(int64_t)req->result,
                           guest,
                           hashed ? TRACE_HASHED : TRACE_OMITTED };
    trace_put_bytes(rec, TRACE_BLOCK_SUBMIT, v, 8, hash, hashed ? sizeof(hash) : 0);
}

static void on_block_done(struct trace *trace, struct block_req *req, int *err)
{
    struct trace_recorder *rec = rec_of(trace);
    trace_begin(rec);
    put_stamp(rec);
    bool data = req->op == BLOCK_READ && !*err && req->len > 0, guest = data && trace_in_guest(rec->mem, req);
    enum trace_form form = data && !guest && !(rec->flags & TRACE_NO_DATA) ? TRACE_FULL : TRACE_OMITTED;
    const uint64_t v[] = { req->block->trace_id, req->trace_nr, (uint64_t)(int64_t)*err, req->len, form };
    trace_put(rec, TRACE_BLOCK_DONE, v, 5);
    for (size_t i = 0; form == TRACE_FULL && i < req->nvec; i++)
        trace_put_bytes(rec, TRACE_MORE, NULL, 0, req->vec[i].ptr, req->vec[i].len);
}

static void on_corrupt(struct trace *trace)
{
    struct trace_recorder *rec = rec_of(trace);
    trace_put(rec, TRACE_CORRUPT, NULL, 0);
}

static void on_action(struct trace *trace, unsigned action, uint64_t number, const char *text)
{
    struct trace_recorder *rec = rec_of(trace);
    trace_begin(rec);
    put_stamp(rec);
    const uint64_t v[] = { action, number };
    trace_put_bytes(rec, TRACE_ACTION, v, 2, text, text ? strlen(text) : 0);
}

static const struct trace_ops recorder_ops = {
    .ioreq = on_ioreq,
    .answer = on_answer,
    .timer = on_timer,
    .task = on_task,
    .block_done = on_block_done,
    .end = on_end,
    .clock = on_clock,
    .mem_read = on_mem_read,
    .mem_write = on_mem_write,
    .mem_pin = on_mem_pin,
    .pin_read = on_pin_read,
    .pin_write = on_pin_write,
    .block_submit = on_block_submit,
    .corrupt = on_corrupt,
    .action = on_action,
};

/* --- Life --- */

int trace_recorder_create(const struct trace_recorder_config *config, struct trace_recorder **out)
{
    bool ring = !config->sink;
    if (ring && (config->ring_bytes < RING_MIN_BYTES || config->ring_bytes > RING_MAX_BYTES))
        return -EINVAL;
    struct trace_recorder *rec = calloc(1, sizeof(*rec));
    if (!rec)
        return -ENOMEM;
    *rec = (struct trace_recorder){
        .trace = { &recorder_ops }, .config = *config, .nr_chunks = 1, .chunk_bytes = TRACE_CHUNK_BYTES
    };
    if (ring) {
        rec->head.bytes = FIRST_CHUNK_BYTES;
        rec->chunk_bytes = (size_t)min_u64(config->ring_bytes / RING_CHUNKS, TRACE_CHUNK_BYTES);
        rec->nr_chunks = (unsigned)(config->ring_bytes / rec->chunk_bytes);
        rec->flags = TRACE_GAPS | TRACE_NO_DATA;
        rec->head.data = malloc(FIRST_CHUNK_BYTES);
    }
    rec->chunks = calloc(rec->nr_chunks, sizeof(*rec->chunks));
    uint8_t *mem = calloc(rec->nr_chunks, rec->chunk_bytes);
    for (unsigned i = 0; rec->chunks && i < rec->nr_chunks; i++)
        rec->chunks[i] = (struct chunk){ .data = mem ? mem + i * rec->chunk_bytes : NULL, .bytes = rec->chunk_bytes };
    rec->now = rec->chunks;
    if (!rec->chunks || !mem || (ring && !rec->head.data)) {
        free(rec->chunks ? NULL : mem);
        trace_recorder_destroy(rec);
        return -ENOMEM;
    }
    chunk_begin(rec, rec->now, 0);
    *out = rec;
    return 0;
}

void trace_recorder_destroy(struct trace_recorder *rec)
{
    if (!rec)
        return;
    if (rec->loop && rec->loop->trace == &rec->trace)
        rec->loop->trace = NULL;
    if (rec->chunks)
        free(rec->chunks[0].data);
    trace_snapshot_finish(rec);
    free(rec->chunks);
    free(rec->head.data);
    free(rec);
}

struct trace *trace_recorder_trace(struct trace_recorder *rec)
{
    return rec ? &rec->trace : NULL;
}

bool trace_recorder_is_ring(const struct trace_recorder *rec)
{
    return !rec->config.sink;
}

const struct trace_ioreq *trace_recorder_request(const struct trace_recorder *rec)
{
    return rec->request;
}

bool trace_recorder_failed(const struct trace_recorder *rec)
{
    return rec->failed;
}

void trace_recorder_start(struct trace_recorder *rec, const struct trace_world *world)
{
    if (rec->head.data) { /* how the machine came to be is kept apart: a ring would lose it */
        rec->now = &rec->head;
        chunk_begin(rec, rec->now, 0);
    }
    rec->loop = world->loop;
    rec->depth = 1;
    trace_put_bytes(rec, TRACE_CONFIG, NULL, 0, world->args, world->args_bytes);
    const uint64_t century = world->century;
    trace_put_bytes(rec, TRACE_START, &century, 1, THINDM_VERSION, strlen(THINDM_VERSION));
    trace_wrap_init(rec, world);
    world->loop->trace = &rec->trace;
    world->loop->naming = true;
}

void trace_recorder_ready(struct trace_recorder *rec, struct mem *mem, const struct trace_machine *machine)
{
    if (!rec)
        return;
    trace_put(rec, TRACE_READY, NULL, 0);
    rec->depth = 0;
    rec->loop->naming = false;
    rec->mem = mem;
    mem->trace = &rec->trace;
    if (rec->now == &rec->head)
        next_chunk(rec);
    if (machine && !rec->config.sink)
        trace_snapshot_init(rec, machine);
}

/* The byte of an END that a crash or a hang put there. */
static const uint8_t within_a_step = 1;

void trace_recorder_finish(struct trace_recorder *rec)
{
    if (!rec)
        return;
    rec->snapshot_due = false; /* the machine is about to go */
    rec->snapshot_chunks = 0;
    if (rec->ended || !rec->config.sink)
        return;
    trace_put_bytes(rec, TRACE_END, NULL, 0, &within_a_step, rec->depth > 0);
    int err = trace_recorder_flush(rec);
    rec->ended = true;
    rec->failed |= err != 0;
    if (err)
        log_print(rec->config.log, LOG_ERROR, "trace", "writing the end of the trace failed: %s", strerror(-err));
}

int trace_recorder_dump(struct trace_recorder *rec, struct trace_sink *sink)
{
    bool within = rec->depth > 0;
    struct chunk end = { .data = (uint8_t[TRACE_CHUNK_HEAD_BYTES + 3]){ 0 } };
    uint64_t number = trace_recorder_entries(rec);
    int err = write_head(sink, rec->flags);
    if (!err && rec->head.fill > 0)
        err = chunk_write(sink, &rec->head);
    for (unsigned i = 1; i <= rec->nr_chunks && !err && rec->now != &rec->head; i++)
        err = chunk_write(sink, &rec->chunks[(rec->at + i) % rec->nr_chunks]);
    chunk_begin(rec, &end, number);
    end.data[TRACE_CHUNK_HEAD_BYTES] = TRACE_END;
    end.data[TRACE_CHUNK_HEAD_BYTES + 1] = within;
    end.data[TRACE_CHUNK_HEAD_BYTES + 2] = within_a_step;
    end.fill += within ? 3 : 2;
    return err ? err : chunk_write(sink, &end);
}

/* --- For tools --- */

void trace_recorder_set_flags(struct trace_recorder *rec, unsigned flags)
{
    rec->flags = flags;
}

void trace_recorder_copy(struct trace_recorder *rec, const struct trace_entry *e)
{
    uint64_t v[TRACE_MAX_FIELDS];
    const struct trace_kind_info *info = trace_kind_info(e->kind);
    if (e->number != trace_recorder_entries(rec)) { /* a gap: only between chunks */
        if (chunk_used(rec->now) > TRACE_CHUNK_HEAD_BYTES)
            next_chunk(rec);
        chunk_begin(rec, rec->now, e->number);
    }
    (void)reserve(rec, SHORT_ROOM + ENTRY_HEAD_BYTES + e->len);
    memcpy(v, e->v, sizeof(v));
    if (info->clocked || info->stamped) {
        uint64_t *field = &v[info->nr_fields - 1u], *base = info->stamped ? &rec->stamp_ns : &rec->clock_ns;
        uint64_t absolute = *field;
        *field = zigzag(absolute - *base);
        *base = e->kind == TRACE_TIMER ? *base : absolute;
    }
    uint8_t values[TRACE_MAX_FIELDS * VARINT_BYTES];
    put_piece(rec, e->kind, values, (size_t)(put_values(values, e->kind, v, info->nr_fields) - values), e->bytes,
              e->len);
}
