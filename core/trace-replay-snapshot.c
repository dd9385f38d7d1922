/*
 * Snapshots in a replay: the first one behind a gap is where it begins, those that it comes to are compared with the
 * machine that it made.
 */
#include "trace-replay.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thindm/device.h>

enum { MAX_STATE_BYTES = 16 << 20 };

bool replay_skip(struct trace_replay *r)
{
    struct trace_entry gap = r->next;
    int got = 1;
    while (got > 0 && r->next.kind != TRACE_SNAPSHOT)
        got = trace_reader_next(r->config.reader, &r->next);
    if (got > 0 && r->depth == 0 && r->world.restore) {
        r->skipped += r->next.number - gap.number;
        r->restoring = true;
        return true;
    }
    if (got < 0)
        replay_damaged(r, NULL, r->config.reader->error);
    else
        replay_damaged(r, &gap,
                       "entries are left out here, and no snapshot follows: this trace is for 'thindm trace dump'");
    return false;
}

/* The bytes of the present entry, unpacked. NULL: it was refused. */
static uint8_t *unpack(struct trace_replay *r, const struct trace_entry *e)
{
    uint64_t len = e->v[1], packed = e->v[2];
    if (len == 0 || len > MAX_STATE_BYTES || packed > MAX_STATE_BYTES) {
        replay_damaged(r, e, "a snapshot of a senseless length");
        return NULL;
    }
    uint8_t *from = malloc((size_t)packed + 1), *to = malloc((size_t)len);
    struct trace_entry entry = *e;
    replay_take(r);
    bool ok = from && to && replay_bytes(r, &entry, from, (size_t)packed);
    if (ok && !trace_unpack(to, (size_t)len, from, (size_t)packed)) {
        replay_damaged(r, &entry, "a snapshot that can't be unpacked");
        ok = false;
    } else if (!ok) {
        replay_damaged(r, &entry, "a snapshot that isn't all there");
    }
    free(from);
    free(ok ? NULL : to);
    return ok ? to : NULL;
}

static void restore(struct trace_replay *r, const struct trace_entry *e, uint8_t *state)
{
    char error[TRACE_ERROR_BYTES] = "";
    struct snap_buf in = { .data = state, .len = (size_t)e->v[1] };
    r->restoring = false;
    r->missing_data = false; /* at rest no device holds what a disk gave */
    r->no_memory = true;
    if (r->world.restore(r->world.opaque, &in, error))
        replay_damaged(r, e, error);
}

/* Whose record byte at is in; the last record begins before it. */
static const char *owner(const uint8_t *state, size_t len, size_t at)
{
    const char *id = "the board";
    for (size_t i = 0; i + DEVICE_ID_BYTES + 6 < len && i <= at;) {
        size_t bytes = DEVICE_ID_BYTES + 6 + le32_get(state + i + DEVICE_ID_BYTES + 2);
        if (at - i < bytes && memchr(state + i, '\0', DEVICE_ID_BYTES))
            id = (const char *)state + i;
        i += bytes;
    }
    return id;
}

/* Our state at the same time. It is saved in any case, as saving may write off what it doesn't hold. */
static void compare(struct trace_replay *r, const struct trace_entry *e, const uint8_t *state)
{
    struct snap_buf *ours = &r->state;
    char came[TRACE_TEXT_BYTES];
    ours->len = 0;
    r->saving = true;
    int err = r->world.save(r->world.opaque, ours);
    r->saving = false;
    if (err)
        return;
    size_t at = 0, len = (size_t)e->v[1];
    while (at < len && at < ours->len && state[at] == ours->data[at])
        at++;
    if (at == len && len == ours->len) {
        r->snapshots++;
        r->missing_data = false; /* whatever it was, nothing is left of it */
        return;
    }
    if (r->missing_data || r->vram_shown)
        return;
    (void)snprintf(came, sizeof(came), "another byte %zu, of %s", at, owner(ours->data, ours->len, at));
    replay_diverge(r, e, "the state of the machine is another", came);
}

void replay_snapshot(struct trace_replay *r)
{
    struct trace_entry e = *replay_peek(r);
    uint8_t *state = unpack(r, &e);
    if (!state)
        return;
    r->clock_ns = e.v[0];
    if (r->restoring)
        restore(r, &e, state);
    else if (r->world.save)
        compare(r, &e, state);
    free(state);
}
