/*
 * Snapshots in a flight recorder: now and then, when the machine is at rest, its whole state is written into the ring,
 * so that what is left of the past can be replayed from there. All memory is taken before the guest runs.
 */
#include "trace-private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* So much of the ring goes by between two of them, and one may take so much of it. */
enum { PER_RING = 4, MAX_SHARE = 16, MIN_ZEROS = 4, PACK_OVERHEAD = 2 * VARINT_BYTES };

static bool zeros_at(const uint8_t *from, size_t left)
{
    size_t n = 0;
    while (n < left && n < MIN_ZEROS && from[n] == 0)
        n++;
    return n == MIN_ZEROS || n == left;
}

/* So many zeros, so many bytes as they are, which follow; until all is there. At most PACK_OVERHEAD more than len. */
static size_t pack(uint8_t *to, const uint8_t *from, size_t len)
{
    uint8_t *at = to;
    for (size_t i = 0; i < len;) {
        size_t zeros = 0, other = 0;
        while (i + zeros < len && from[i + zeros] == 0)
            zeros++;
        i += zeros;
        while (i + other < len && !zeros_at(from + i + other, len - i - other))
            other++;
        at = varint_put(varint_put(at, zeros), other);
        memcpy(at, from + i, other);
        at += other;
        i += other;
    }
    return (size_t)(at - to);
}

bool trace_unpack(uint8_t *to, size_t len, const uint8_t *from, size_t packed)
{
    const uint8_t *end = from + packed;
    size_t done = 0;
    while (from < end) {
        uint64_t zeros, other;
        if (!varint_get(&from, end, &zeros) || zeros > len - done)
            return false;
        memset(to + done, 0, (size_t)zeros);
        done += (size_t)zeros;
        if (!varint_get(&from, end, &other) || other > len - done || other > (size_t)(end - from))
            return false;
        memcpy(to + done, from, (size_t)other);
        done += (size_t)other;
        from += other;
    }
    return done == len;
}

/* The clock stands still meanwhile, so that all that is saved is of one moment. */
static int save(struct trace_recorder *rec, uint64_t now_ns)
{
    rec->saving_ns = now_ns;
    rec->saving = true;
    rec->state.len = 0;
    int err = rec->machine.save(rec->machine.opaque, &rec->state);
    rec->saving = false;
    return err;
}

/* A first state, only for its length: those of a machine at rest have the same. Without memory: no snapshots. */
void trace_snapshot_init(struct trace_recorder *rec, const struct trace_machine *machine)
{
    rec->machine = *machine;
    int err = save(rec, rec->clock_ns);
    rec->packed = err ? NULL : malloc(rec->state.len + PACK_OVERHEAD);
    rec->snapshot_chunks = rec->packed ? (rec->nr_chunks + PER_RING - 1) / PER_RING : 0;
    rec->chunks_left = 0;
}

void trace_snapshot_finish(struct trace_recorder *rec)
{
    snap_buf_free(&rec->state);
    free(rec->packed);
}

/* Nothing that the state doesn't hold: tasks that were posted, timers that are overdue, requests in flight. */
static bool at_rest(const struct trace_recorder *rec, uint64_t now_ns)
{
    const struct task *task = rec->loop->tasks;
    const struct timer *timer = rec->loop->timers;
    while (task && task->id == 0)
        task = task->next;
    while (timer && timer->id == 0)
        timer = timer->next;
    return !task && (!timer || timer->expires_ns > now_ns) && rec->machine.quiet(rec->machine.opaque);
}

void trace_snapshot_try(struct trace_recorder *rec)
{
    uint64_t now_ns = loop_now(rec->loop);
    size_t room = rec->state.cap;
    if (rec->ended || !at_rest(rec, now_ns))
        return;
    rec->snapshot_due = false;
    rec->chunks_left = rec->snapshot_chunks;
    if (save(rec, now_ns) || rec->state.cap != room) { /* it grew: that would go on at every snapshot */
        rec->snapshot_chunks = 0;
        return;
    }
    size_t packed = pack(rec->packed, rec->state.data, rec->state.len);
    if (packed > rec->config.ring_bytes / MAX_SHARE) {
        rec->chunks_left *= 2; /* of a small ring not more than an eighth */
        if (packed > rec->config.ring_bytes / (MAX_SHARE / 2))
            return;
    }
    const uint64_t v[] = { now_ns, rec->state.len, packed };
    trace_put_bytes(rec, TRACE_SNAPSHOT, v, 3, rec->packed, packed);
}
