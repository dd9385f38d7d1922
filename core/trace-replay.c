/*
 * Replay: see trace.h. The driver looks at the next entry and does what it says to the device model; the hooks that
 * this leads to take the entry and what follows from it out of the trace, and compare.
 */
#include "trace-replay.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thindm/ioreq.h>
#include <thindm/mem.h>

/* The legacy window of video memory, whose contents the guest may change without a request. */
enum { WINDOW_FIRST = 0xa0000, WINDOW_END = 0xc0000 };
/* The page of posted writes, as core/ioreq.c reads it. */
enum { RING_READ = 0, RING_WRITE = 4, RING_SLOTS = 8 };

static struct trace_replay *replay_of(struct trace *trace)
{
    return container_of(trace, struct trace_replay, trace);
}

/* --- Entries --- */

static void remember(struct trace_replay *r, const struct trace_entry *e)
{
    struct trace_entry *to = &r->history[r->nr_history++ % REPLAY_HISTORY];
    *to = *e;
    to->bytes = NULL;
    to->len = 0;
}

void replay_damaged(struct trace_replay *r, const struct trace_entry *e, const char *why)
{
    if (!r->stopped)
        (void)snprintf(r->why, sizeof(r->why), "byte %" PRIu64 " (entry %" PRIu64 "): %s", e ? e->offset : 0,
                       e ? e->number : 0, why);
    r->damaged |= !r->stopped;
    r->stopped = true;
}

const struct trace_entry *replay_peek(struct trace_replay *r)
{
    while (!r->stopped && !r->have_next) {
        int got = trace_reader_next(r->config.reader, &r->next);
        if (got <= 0) {
            (void)snprintf(r->why, sizeof(r->why), "%s", got < 0 ? r->config.reader->error : "the trace ended");
            r->stopped = true;
            r->damaged = got < 0;
            return NULL;
        }
        if (r->config.reader->gap && !replay_skip(r))
            return NULL;
        r->have_next = r->next.kind != TRACE_STAMP;
    }
    if (!r->stopped && r->next.kind == TRACE_END && r->next.len > 0 && r->depth > 0)
        r->stopped = r->cut = true;
    return r->stopped ? NULL : &r->next;
}

void replay_take(struct trace_replay *r)
{
    remember(r, &r->next);
    r->have_next = false;
}

void replay_diverge(struct trace_replay *r, const struct trace_entry *e, const char *why, const char *came)
{
    if (r->stopped)
        return;
    r->stopped = r->diverged = true;
    r->at_number = e->number;
    r->at_offset = e->offset;
    (void)snprintf(r->why, sizeof(r->why), "%s", why);
    (void)snprintf(r->came, sizeof(r->came), "%s", came);
    (void)trace_text(e, r->expected);
}

static void diverge_entry(struct trace_replay *r, const struct trace_entry *e, const char *why, enum trace_kind kind,
                          const uint64_t *v)
{
    char text[TRACE_TEXT_BYTES];
    struct trace_entry came = { .kind = kind };
    memcpy(came.v, v, sizeof(came.v));
    replay_diverge(r, e, why, trace_text(&came, text));
}

const struct trace_entry *replay_expect(struct trace_replay *r, enum trace_kind kind, uint64_t *v)
{
    const struct trace_kind_info *info = trace_kind_info(kind);
    const struct trace_entry *e = replay_peek(r);
    if (!e)
        return NULL;
    if (e->kind != kind) {
        diverge_entry(r, e, "the device model did something else", kind, v);
        return NULL;
    }
    for (unsigned i = 0; i < info->nr_fields; i++) {
        if (info->given >> i & 1) {
            v[i] = e->v[i];
        } else if (e->v[i] != v[i]) {
            diverge_entry(r, e, "the device model did the same with other values", kind, v);
            return NULL;
        }
    }
    replay_take(r);
    return e;
}

bool replay_bytes(struct trace_replay *r, const struct trace_entry *e, void *buf, size_t len)
{
    uint8_t *to = buf;
    size_t n = (size_t)min_u64(e->len, len);
    if (e->len > len) {
        replay_damaged(r, e, "an entry has more bytes than it says");
        return false;
    }
    if (n > 0)
        memcpy(to, e->bytes, n);
    while (n < len) {
        const struct trace_entry *more = replay_peek(r);
        if (!more)
            return false;
        if (more->kind != TRACE_MORE || more->len == 0 || more->len > len - n) {
            replay_damaged(r, more, "the bytes of an entry don't go on here");
            return false;
        }
        memcpy(to + n, more->bytes, more->len);
        n += more->len;
        replay_take(r);
    }
    return true;
}

/* --- What the core tells --- */

static void on_ioreq(struct trace *trace, const struct trace_ioreq *req)
{
    struct trace_replay *r = replay_of(trace);
    bool unused = req->read && !req->pointer;
    uint64_t v[TRACE_MAX_FIELDS] = { ioreq_flags(req), req->vcpu, req->size,
                                     req->count,       req->addr, unused ? 0 : req->data };
    r->depth++;
    (void)replay_expect(r, req->posted ? TRACE_POSTED : TRACE_IOREQ, v);
}

/* Does what was read depend on bytes that the trace doesn't hold? */
static bool may_differ(const struct trace_replay *r)
{
    uint64_t addr = r->last.addr;
    return r->missing_data || (r->last.type == IOREQ_COPY &&
                               (r->no_memory || (r->vram_shown && addr >= WINDOW_FIRST && addr < WINDOW_END)));
}

static void on_answer(struct trace *trace, uint64_t answer)
{
    struct trace_replay *r = replay_of(trace);
    const struct trace_entry *e = replay_peek(r);
    uint64_t v[TRACE_MAX_FIELDS] = { answer };
    if (e && e->kind == TRACE_ANSWER && e->v[0] != answer && may_differ(r)) {
        r->unverified++;
        v[0] = e->v[0];
    }
    (void)replay_expect(r, TRACE_ANSWER, v);
    r->depth -= r->depth > 0;
}

static void on_timer(struct trace *trace, uint32_t id, uint64_t expires_ns)
{
    uint64_t v[TRACE_MAX_FIELDS] = { id, expires_ns };
    replay_of(trace)->depth++;
    (void)replay_expect(replay_of(trace), TRACE_TIMER, v);
}

static void on_task(struct trace *trace, uint32_t id)
{
    uint64_t v[TRACE_MAX_FIELDS] = { id };
    replay_of(trace)->depth++;
    (void)replay_expect(replay_of(trace), TRACE_TASK, v);
}

static void on_end(struct trace *trace)
{
    struct trace_replay *r = replay_of(trace);
    r->depth -= r->depth > 0;
}

static void on_clock(struct trace *trace, uint64_t *now_ns)
{
    struct trace_replay *r = replay_of(trace);
    uint64_t v[TRACE_MAX_FIELDS] = { *now_ns };
    if (!r->saving && r->depth > 0 && replay_expect(r, TRACE_CLOCK, v))
        *now_ns = r->clock_ns = v[0];
}

/* An error that the world gave must be one that the callers know. */
static int sane_error(uint64_t err)
{
    return err == 0 ? 0 : (int64_t)err < 0 && (int64_t)err > -4096 ? (int)(int64_t)err : -EFAULT;
}

static void on_mem_read(struct trace *trace, uint64_t addr, void *buf, size_t len, int *err)
{
    struct trace_replay *r = replay_of(trace);
    uint64_t v[TRACE_MAX_FIELDS] = { addr, len };
    const struct trace_entry *e = r->depth > 0 ? replay_expect(r, TRACE_MEM_READ, v) : NULL;
    if (e && replay_bytes(r, e, buf, len))
        *err = sane_error(v[2]);
}

static void compare_write(struct trace_replay *r, uint64_t addr, const void *buf, size_t len, int *err)
{
    const struct trace_entry *e = replay_peek(r);
    /* How much of it the trace holds is the recorder's choice. */
    uint64_t v[TRACE_MAX_FIELDS] = { addr, len, 0, e && e->kind == TRACE_MEM_WRITE ? e->v[3] : TRACE_FULL };
    uint8_t hash[HASH_BYTES];
    e = replay_expect(r, TRACE_MEM_WRITE, v);
    if (!e)
        return;
    *err = sane_error(v[2]);
    le64_put(hash, v[3] == TRACE_HASHED ? trace_hash(0, buf, len) : 0);
    const void *ours = v[3] == TRACE_HASHED ? hash : buf;
    size_t ours_len = v[3] == TRACE_HASHED ? sizeof(hash) : v[3] == TRACE_FULL ? len : 0;
    if (e->len == ours_len && (ours_len == 0 || memcmp(e->bytes, ours, ours_len) == 0))
        return;
    if (r->opaque_data)
        return;
    if (may_differ(r)) {
        r->unverified++;
        return;
    }
    char text[TRACE_TEXT_BYTES];
    struct trace_entry came = { .kind = TRACE_MEM_WRITE, .bytes = ours, .len = ours_len };
    memcpy(came.v, v, sizeof(came.v));
    replay_diverge(r, e, "other bytes were written to guest memory", trace_text(&came, text));
}

static void on_mem_write(struct trace *trace, uint64_t addr, const void *buf, size_t len, int *err)
{
    struct trace_replay *r = replay_of(trace);
    if (r->depth > 0)
        compare_write(r, addr, buf, len, err);
}

static void on_mem_pin(struct trace *trace, uint64_t addr, size_t len, size_t *got, int *err)
{
    struct trace_replay *r = replay_of(trace);
    uint64_t v[TRACE_MAX_FIELDS] = { addr, len };
    const struct trace_entry *e = r->depth > 0 ? replay_expect(r, TRACE_MEM_PIN, v) : NULL;
    if (!e) {
        *err = -EFAULT; /* what a device does without memory is done soonest */
    } else if (v[3]) {
        *err = sane_error(v[3]);
    } else if (*err || v[2] == 0 || v[2] > *got) {
        replay_diverge(r, e, "a piece of memory can't be pinned as it was", "less memory");
        *err = -EFAULT;
    } else {
        *got = (size_t)v[2];
    }
}

static void on_pin_read(struct trace *trace, uint64_t addr, void *ptr, size_t len)
{
    struct trace_replay *r = replay_of(trace);
    uint64_t v[TRACE_MAX_FIELDS] = { addr, len };
    const struct trace_entry *e = r->depth > 0 ? replay_expect(r, TRACE_PIN_READ, v) : NULL;
    if (e)
        (void)replay_bytes(r, e, ptr, len);
}

static void on_pin_write(struct trace *trace, uint64_t addr, const void *ptr, size_t len)
{
    struct trace_replay *r = replay_of(trace);
    int err = 0;
    if (r->depth > 0)
        compare_write(r, addr, ptr, len, &err);
}

static void on_block_submit(struct trace *trace, struct block_req *req)
{
    struct trace_replay *r = replay_of(trace);
    bool moves = req->op == BLOCK_READ || req->op == BLOCK_WRITE;
    const struct trace_entry *e = r->depth > 0 ? replay_peek(r) : NULL;
    if (!e)
        return;
    uint64_t v[TRACE_MAX_FIELDS] = { req->block->trace_id,
                                     req->trace_nr,
                                     req->op,
                                     req->offset,
                                     req->len,
                                     (uint64_t)(int64_t)req->result,
                                     moves && trace_in_guest(r->world.mem, req),
                                     e->kind == TRACE_BLOCK_SUBMIT ? e->v[7] : TRACE_OMITTED };
    e = replay_expect(r, TRACE_BLOCK_SUBMIT, v);
    if (!e || v[7] != TRACE_HASHED || r->missing_data)
        return;
    uint64_t hash = 0;
    for (size_t i = 0; i < req->nvec; i++)
        hash = trace_hash(hash, req->vec[i].ptr, req->vec[i].len);
    if (e->len != HASH_BYTES || le64_get(e->bytes) != hash)
        replay_diverge(r, e, "other bytes were written to the disk", "other bytes");
}

static void on_block_done(struct trace *trace, struct block_req *req, int *err)
{
    struct trace_replay *r = replay_of(trace);
    uint64_t v[TRACE_MAX_FIELDS] = { req->block->trace_id, req->trace_nr };
    r->depth++;
    const struct trace_entry *e = replay_expect(r, TRACE_BLOCK_DONE, v);
    if (!e)
        return;
    *err = sane_error(v[2]);
    bool data = req->op == BLOCK_READ && !*err && req->len > 0;
    if (!data || v[4] != TRACE_FULL) {
        bool guest = data && trace_in_guest(r->world.mem, req);
        r->opaque_data |= guest;
        r->missing_data |= data && !guest;
        return;
    }
    struct trace_entry none = { .number = e->number, .offset = e->offset };
    for (size_t i = 0; i < req->nvec; i++)
        if (!replay_bytes(r, &none, req->vec[i].ptr, req->vec[i].len))
            return;
}

static void on_corrupt(struct trace *trace)
{
}

static void on_action(struct trace *trace, unsigned action, uint64_t number, const char *text)
{
}

static const struct trace_ops replay_ops = {
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

/* --- The driver --- */

static void feed_request(struct trace_replay *r, const struct trace_entry *e)
{
    struct trace_ioreq *req = &r->last;
    *req = (struct trace_ioreq){ .addr = e->v[4],
                                 .data = e->v[5],
                                 .count = (uint32_t)e->v[3],
                                 .size = (uint32_t)e->v[2],
                                 .type = (uint8_t)(e->v[0] >> 3),
                                 .vcpu = (uint8_t)e->v[1],
                                 .read = e->v[0] & 1,
                                 .pointer = e->v[0] >> 1 & 1,
                                 .descending = e->v[0] >> 2 & 1,
                                 .posted = e->kind == TRACE_POSTED };
    r->last_valid = true;
    if (e->v[0] >> 11 || e->v[1] >= r->world.nr_vcpus || e->v[2] > UINT32_MAX || e->v[3] > UINT32_MAX) {
        replay_damaged(r, e, "a request that no hypervisor makes");
        return;
    }
    uint8_t *slot = r->world.sync_page + (size_t)req->vcpu * IOREQ_SLOT_BYTES;
    le64_put(slot + IOREQ_ADDR, req->addr);
    le64_put(slot + IOREQ_DATA, req->data);
    le32_put(slot + IOREQ_COUNT, req->count);
    le32_put(slot + IOREQ_SIZE, req->size);
    slot[IOREQ_TYPE] = req->type;
    slot[IOREQ_FLAGS] = (uint8_t)(IOREQ_READY | (req->read ? IOREQ_FLAG_READ : 0) |
                                  (req->pointer ? IOREQ_FLAG_POINTER : 0) | (req->descending ? IOREQ_FLAG_DF : 0));
    (void)ioreq_serve(r->world.engine, req->vcpu);
    r->requests++;
}

static void feed_posted(struct trace_replay *r, const struct trace_entry *e)
{
    uint8_t *ring = r->world.buffered_page;
    uint64_t size = e->v[2], addr = e->v[4], data = e->v[5];
    if (!is_pow2(size) || size > 8 || addr > 0xfffff || e->v[0] & 7 || e->v[0] >> 11) {
        replay_damaged(r, e, "a posted write that no hypervisor makes");
        return;
    }
    r->last = (struct trace_ioreq){
        .addr = addr, .data = data, .count = 1, .size = (uint32_t)size, .posted = true, .type = (uint8_t)(e->v[0] >> 3)
    };
    r->last_valid = true;
    uint32_t log2 = size == 8 ? 3 : (uint32_t)size >> 1;
    for (unsigned i = 0; i < 2; i++) { /* from the start each time: the ring was empty */
        le32_put(ring + RING_SLOTS + 8 * i, (uint32_t)(e->v[0] >> 3) | log2 << 10 | (uint32_t)addr << 12);
        le32_put(ring + RING_SLOTS + 8 * i + 4, (uint32_t)(data >> 32 * i));
    }
    le32_put(ring + RING_READ, 0);
    le32_put(ring + RING_WRITE, size == 8 ? 2 : 1);
    (void)ioreq_drain(r->world.engine);
    r->requests++;
}

static void feed_chr(struct trace_replay *r, const struct trace_entry *e)
{
    struct replay_chr *c = e->v[0] >= 1 && e->v[0] <= REPLAY_MAX_CHRS ? r->chrs[e->v[0] - 1] : NULL;
    const struct chr_user *user = c ? c->chr.user : NULL;
    uint8_t buf[4096];
    struct trace_entry entry = *e;
    bool recv = e->kind == TRACE_CHR_RECV;
    uint64_t len = recv ? e->v[1] : 0;
    replay_take(r);
    if (!user || len > sizeof(buf) || (recv && !replay_bytes(r, &entry, buf, (size_t)len))) {
        replay_damaged(r, &entry, "input for a channel that isn't there, or too much of it");
        return;
    }
    r->depth++;
    if (recv && (!user->recv || !user->room || user->room(c->chr.opaque) < len))
        replay_diverge(r, &entry, "the device had no room for what came in", "no room");
    else if (recv)
        user->recv(c->chr.opaque, buf, (size_t)len);
    else if (entry.v[1] ? user->opened != NULL : user->closed != NULL)
        (entry.v[1] ? user->opened : user->closed)(c->chr.opaque);
    r->depth--;
}

static void feed_action(struct trace_replay *r, const struct trace_entry *e)
{
    char text[256];
    size_t len = min_u64(e->len, sizeof(text) - 1);
    uint64_t action = e->v[0], number = e->v[1];
    if (len > 0)
        memcpy(text, e->bytes, len);
    text[len] = '\0';
    if (action >= TRACE_NR_ACTIONS || !r->world.action) {
        replay_damaged(r, e, "an unknown action");
        return;
    }
    replay_take(r);
    r->depth++;
    r->world.action(r->world.opaque, (enum trace_action)action, number, text);
    r->depth--;
}

/* One step. False: the trace is at its end. */
static bool step(struct trace_replay *r)
{
    const struct trace_entry *e = replay_peek(r);
    r->opaque_data = r->last_valid = false;
    if (!e)
        return false;
    r->steps += e->kind != TRACE_END;
    switch (e->kind) {
    case TRACE_IOREQ: feed_request(r, e); break;
    case TRACE_POSTED: feed_posted(r, e); break;
    case TRACE_TIMER:
        if (e->v[0] > UINT32_MAX || e->v[0] == 0 || !loop_run_timer(&r->loop, (uint32_t)e->v[0], e->v[1]))
            replay_diverge(r, e, "a timer expired that isn't armed", "no such timer, or armed for another time");
        break;
    case TRACE_TASK:
        if (e->v[0] > UINT32_MAX || e->v[0] == 0 || !loop_run_task(&r->loop, (uint32_t)e->v[0]))
            replay_diverge(r, e, "a task ran that isn't posted", "no such task");
        break;
    case TRACE_BLOCK_DONE: replay_block_done(r); break;
    case TRACE_CHR_RECV:
    case TRACE_CHR_EVENT: feed_chr(r, e); break;
    case TRACE_ACTION: feed_action(r, e); break;
    case TRACE_SNAPSHOT: replay_snapshot(r); break;
    case TRACE_CORRUPT: replay_take(r); break;
    case TRACE_END: replay_take(r); return false;
    default: replay_diverge(r, e, "the device model did less than it had", "nothing more"); break;
    }
    return !r->stopped;
}

static void report(struct trace_replay *r, struct trace_replay_result *out)
{
    char text[TRACE_TEXT_BYTES];
    size_t at = 0, cap = sizeof(out->report);
    if (!r->diverged) {
        (void)snprintf(out->report, cap, "%s", r->why);
        return;
    }
    at += (size_t)snprintf(
        out->report, cap, "entry %" PRIu64 " at byte %" PRIu64 ": %s\n  expected: %s\n  came:     %s\n  before that:\n",
        r->at_number, r->at_offset, r->why, r->expected, r->came);
    uint64_t nr = min_u64(r->nr_history, REPLAY_HISTORY);
    for (uint64_t i = r->nr_history - nr; i < r->nr_history && at + TRACE_TEXT_BYTES + 32 < cap; i++) {
        const struct trace_entry *e = &r->history[i % REPLAY_HISTORY];
        at += (size_t)snprintf(out->report + at, cap - at, "    #%" PRIu64 " %s\n", e->number, trace_text(e, text));
    }
}

void trace_replay_give_up(struct trace_replay *r, struct trace_replay_result *result)
{
    memset(result, 0, sizeof(*result));
    result->diverged = r->diverged;
    result->entries = r->config.reader->number;
    result->last = r->last;
    result->last_valid = r->last_valid;
    report(r, result);
    r->stopped = true;
    r->depth = 0;
}

void trace_replay_run(struct trace_replay *r, const struct trace_replay_world *world,
                      struct trace_replay_result *result)
{
    uint64_t none[TRACE_MAX_FIELDS] = { 0 };
    r->world = *world;
    world->mem->trace = &r->trace;
    r->loop.naming = false;
    bool go_on = replay_expect(r, TRACE_READY, none);
    r->depth = 0;
    if (go_on && world->ready)
        world->ready(world->opaque);
    while (go_on)
        go_on = step(r);
    bool ok = (!r->stopped || r->cut) && r->config.reader->ended;
    trace_replay_give_up(r, result);
    result->ok = ok;
    result->steps = r->steps;
    result->requests = r->requests;
    result->unverified = r->unverified;
    result->cut = r->cut;
    result->skipped = r->skipped;
    result->snapshots = r->snapshots;
}

/* --- Life --- */

static bool read_args(struct trace_replay *r)
{
    r->args = malloc(REPLAY_MAX_ARG_BYTES + 1);
    const struct trace_entry *e = replay_peek(r);
    if (!r->args || !e || e->kind != TRACE_CONFIG)
        return false;
    do {
        if (e->len > REPLAY_MAX_ARG_BYTES - r->args_bytes)
            return false;
        if (e->len > 0)
            memcpy(r->args + r->args_bytes, e->bytes, e->len);
        r->args_bytes += e->len;
        replay_take(r);
        e = replay_peek(r);
    } while (e && e->kind == TRACE_MORE);
    r->args[r->args_bytes] = '\0';
    if (!e || e->kind != TRACE_START || e->v[0] > 99)
        return false;
    r->century = (unsigned)e->v[0];
    replay_take(r);
    for (size_t at = 0; at < r->args_bytes; at += strlen(r->args + at) + 1) {
        if (r->argc >= REPLAY_MAX_ARGS)
            return false;
        r->argv[r->argc++] = r->args + at;
    }
    return r->argc > 0;
}

int trace_replay_create(const struct trace_replay_config *config, struct trace_replay **out,
                        char error[TRACE_ERROR_BYTES])
{
    struct trace_replay *r = calloc(1, sizeof(*r));
    if (!r)
        return -ENOMEM;
    r->trace.ops = &replay_ops;
    r->config = *config;
    replay_host_init(r);
    if (!read_args(r)) {
        (void)snprintf(error, TRACE_ERROR_BYTES, "%s",
                       r->why[0] ? r->why : "the trace doesn't begin with a configuration");
        trace_replay_destroy(r);
        return -EINVAL;
    }
    r->depth = 1;
    *out = r;
    return 0;
}

void trace_replay_destroy(struct trace_replay *r)
{
    if (!r)
        return;
    replay_host_finish(r);
    snap_buf_free(&r->state);
    free(r->args);
    free(r);
}

int trace_replay_args(struct trace_replay *r, char ***argv)
{
    *argv = r->argv;
    return r->argc;
}

unsigned trace_replay_century(const struct trace_replay *r)
{
    return r->century;
}

struct loop *trace_replay_loop(struct trace_replay *r)
{
    return &r->loop;
}

struct hv *trace_replay_hv(struct trace_replay *r)
{
    return &r->hv;
}

void trace_replay_set_lines(struct trace_replay *r, struct hv *lines)
{
    r->lines = lines;
}

struct host *trace_replay_host(struct trace_replay *r)
{
    return &r->host;
}

struct trace *trace_replay_trace(struct trace_replay *r)
{
    return &r->trace;
}
