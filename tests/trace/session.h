/*
 * A guest that does a bit of everything on a simulated board, recorded; and a replay of what was recorded. For the
 * tests of record and replay, and for the fuzzer of the replay.
 */
#ifndef THINDM_SESSION_H
#define THINDM_SESSION_H

#include "machine.h"
#include <thindm/ioreq.h>
#include <thindm/trace.h>

/* A trace in memory. */
struct memory_sink {
    struct trace_sink sink;
    uint8_t *data;
    size_t len, cap;
    size_t limit; /* writing beyond it fails; 0: none */
};
void memory_sink_init(struct memory_sink *m);
void memory_sink_free(struct memory_sink *m);
/* A reader of it. Result of trace_reader_init(). */
int memory_reader(struct trace_reader *reader, const struct memory_sink *m) WARN_UNUSED;

/* Record a session: into sink, or into a ring of ring_bytes that is dumped to sink at the end. requests: how many more
 * than the usual ones, which are done again for every 5000. */
void session_record(struct memory_sink *sink, size_t ring_bytes, unsigned requests, unsigned *log_lines);
/* Replay what is in sink; result->ok is false too if the trace or its machine were refused. */
void session_replay(const struct memory_sink *sink, struct trace_replay_result *result);

#endif
