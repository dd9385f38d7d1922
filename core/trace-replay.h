/* The inside of a replay: trace-replay.c compares and drives, trace-replay-host.c stands in for the world. */
#ifndef THINDM_TRACE_REPLAY_H
#define THINDM_TRACE_REPLAY_H

#include "trace-private.h"

enum {
    REPLAY_HISTORY = 24,
    REPLAY_MAX_ARGS = 512,
    REPLAY_MAX_ARG_BYTES = 65536,
    REPLAY_MAX_BLOCKS = 64,
    REPLAY_MAX_CHRS = 64
};

struct replay_block {
    struct block block;
    struct trace_replay *replay;
    struct block_req *first, **last; /* submitted, not done */
};

struct replay_chr {
    struct chr chr;
    struct trace_replay *replay;
    uint32_t id;
};

struct trace_replay {
    struct trace trace;
    struct trace_replay_config config;
    struct trace_replay_world world;
    struct trace_replay_result *result; /* while running */
    struct hv hv, *lines;
    struct host host;
    struct loop loop;
    /* The next entry, if it was read. next.bytes are the reader's. */
    struct trace_entry next;
    bool have_next, stopped; /* stopped: nothing is compared any more */
    bool diverged, damaged;
    bool cut;                    /* the trace ends in the present step, and it was the same so far */
    char why[TRACE_ERROR_BYTES]; /* in a few words */
    char expected[TRACE_TEXT_BYTES], came[TRACE_TEXT_BYTES];
    uint64_t at_number, at_offset;              /* of the entry that was expected */
    struct trace_entry history[REPLAY_HISTORY]; /* the last entries, without their bytes */
    uint64_t nr_history;
    struct trace_ioreq last; /* present request */
    bool last_valid, request_failed;
    bool opaque_data;      /* in this step guest memory got what the trace doesn't hold */
    bool missing_data;     /* from here on device memory has bytes that the trace doesn't hold */
    bool vram_shown;       /* the guest may have written video memory by itself */
    bool no_memory;        /* what video memory and ROMs hold isn't in the trace */
    bool restoring;        /* the next entry is the snapshot to begin with */
    bool saving;           /* time stands still at clock_ns */
    struct snap_buf state; /* our own at a snapshot */
    uint64_t skipped, snapshots;
    uint64_t clock_ns, unverified, steps, requests;
    unsigned depth, century;
    char *args;
    size_t args_bytes;
    char *argv[REPLAY_MAX_ARGS + 1];
    int argc;
    struct replay_block *blocks[REPLAY_MAX_BLOCKS];
    struct replay_chr *chrs[REPLAY_MAX_CHRS];
    uint32_t nr_blocks, nr_chrs;
    void *vram;
};

/* The next entry without taking it; NULL: the trace ended, or comparing stopped. */
const struct trace_entry *replay_peek(struct trace_replay *r);
void replay_take(struct trace_replay *r);
/*
 * The device model did this: the next entry must be it. v: nr_fields values; those that the world gives are taken from
 * the trace into v. NULL: it wasn't, or comparing had stopped. The entry's bytes are good until the next peek.
 */
const struct trace_entry *replay_expect(struct trace_replay *r, enum trace_kind kind, uint64_t *v);
/* Its bytes, and those of the MORE entries behind it, into buf: len of them. False: there aren't as many. */
bool replay_bytes(struct trace_replay *r, const struct trace_entry *e, void *buf, size_t len);
/* Stop: the entry that was expected is e; came is what was done instead. */
void replay_diverge(struct trace_replay *r, const struct trace_entry *e, const char *why, const char *came);
/* Something goes against the rules of the format. */
void replay_damaged(struct trace_replay *r, const struct trace_entry *e, const char *why);
/* Finish the disk request that the present entry (block-done) is about. */
void replay_block_done(struct trace_replay *r);

/* trace-replay-snapshot.c: the present entry is one. */
void replay_snapshot(struct trace_replay *r);
/* Entries are missing: go on to the next snapshot. False: there is none, or it can't be used here. */
bool replay_skip(struct trace_replay *r);

void replay_host_init(struct trace_replay *r);
void replay_host_finish(struct trace_replay *r);

#endif
