/*
 * Record and replay of every input and output of the device model: the hooks of the core, the file format, the
 * recorder, the reader and the replay. The format is described in docs/trace-format.md.
 *
 * A trace is a list of steps. A step begins with something from outside (a request, a timer, the end of a disk request,
 * ...); what the device model reads and does because of it follows, in order. Replaying does the first and compares the
 * rest.
 */
#ifndef THINDM_TRACE_H
#define THINDM_TRACE_H

#include <thindm/block.h>
#include <thindm/chr.h>
#include <thindm/host.h>
#include <thindm/hv.h>
#include <thindm/log.h>
#include <thindm/loop.h>
#include <thindm/snapshot.h>
#include <thindm/util.h>

struct ioreq;
struct mem;
struct trace;

/* One request as the ioreq engine copied it. vcpu: 0 for a posted write. */
struct trace_ioreq {
    uint64_t addr, data;
    uint32_t count, size;
    uint8_t type, vcpu;
    bool read, pointer, descending, posted;
};

/*
 * What the core tells a trace, which is a recorder or a replay. A pointer to a value: the replay puts the recorded one
 * there. The functions that begin a step are followed by end() when all is done that comes of it; steps may nest.
 */
struct trace_ops {
    /* Steps. answer: of a read in register form, and the end() of its step. */
    void (*ioreq)(struct trace *trace, const struct trace_ioreq *req);
    void (*answer)(struct trace *trace, uint64_t answer);
    void (*timer)(struct trace *trace, uint32_t id, uint64_t expires_ns);
    void (*task)(struct trace *trace, uint32_t id);
    void (*block_done)(struct trace *trace, struct block_req *req, int *err);
    void (*end)(struct trace *trace);
    /* Within a step; elsewhere they do nothing. */
    void (*clock)(struct trace *trace, uint64_t *now_ns);
    void (*mem_read)(struct trace *trace, uint64_t addr, void *buf, size_t len, int *err);
    void (*mem_write)(struct trace *trace, uint64_t addr, const void *buf, size_t len, int *err);
    /* got: bytes that were pinned. */
    void (*mem_pin)(struct trace *trace, uint64_t addr, size_t len, size_t *got, int *err);
    /* A device is about to take bytes out of pinned memory, or has put some there. */
    void (*pin_read)(struct trace *trace, uint64_t addr, void *ptr, size_t len);
    void (*pin_write)(struct trace *trace, uint64_t addr, const void *ptr, size_t len);
    void (*block_submit)(struct trace *trace, struct block_req *req);
    /* The ring of posted writes is corrupt. */
    void (*corrupt)(struct trace *trace);
    /* What an operator did, enum trace_action; a step. text may be NULL. */
    void (*action)(struct trace *trace, unsigned action, uint64_t number, const char *text);
};

struct trace {
    const struct trace_ops *ops;
};

enum trace_action {
    TRACE_CONT,
    TRACE_STOP,
    TRACE_RESET,
    TRACE_WAKEUP,
    TRACE_EJECT,
    TRACE_CHANGE_MEDIUM,
    TRACE_CPU_ADD,
    TRACE_POWERDOWN,
    TRACE_RESTART, /* the board is reset: the simulator's */
    TRACE_NR_ACTIONS,
};

/* trace may be NULL. */
static inline void trace_action(struct trace *trace, enum trace_action action, uint64_t number, const char *text)
{
    if (trace)
        trace->ops->action(trace, action, number, text);
}

static inline void trace_end(struct trace *trace)
{
    if (trace)
        trace->ops->end(trace);
}

/* --- The format --- */

enum {
    TRACE_VERSION = 2, /* written; version 1 has no compact entries and is read too */
    TRACE_HEAD_BYTES = 32,
    TRACE_CHUNK_HEAD_BYTES = 48,
    TRACE_CHUNK_BYTES = 65536,
    TRACE_MAX_FIELDS = 8,
    TRACE_SHAPES = 64
};
/* Of the file: entries may be left out between chunks (a flight recorder, a cut); long data may be left out. */
enum { TRACE_GAPS = 1, TRACE_NO_DATA = 2, TRACE_FLAGS = 3 };

enum trace_kind {
    TRACE_CONFIG = 1,
    TRACE_START,
    TRACE_READY,
    TRACE_IOREQ,
    TRACE_POSTED,
    TRACE_ANSWER,
    TRACE_CLOCK,
    TRACE_STAMP,
    TRACE_TIMER,
    TRACE_TASK,
    TRACE_MEM_READ,
    TRACE_MEM_WRITE,
    TRACE_MEM_PIN,
    TRACE_PIN_READ,
    TRACE_BLOCK_OPEN,
    TRACE_BLOCK_SUBMIT,
    TRACE_BLOCK_DONE,
    TRACE_CHR_OPEN,
    TRACE_CHR_RECV,
    TRACE_CHR_EVENT,
    TRACE_CHR_WRITE,
    TRACE_FILE,
    TRACE_HV,
    TRACE_ACTION,
    TRACE_SNAPSHOT,
    TRACE_CORRUPT,
    TRACE_MORE,
    TRACE_END,
    TRACE_NR_KINDS,
};

/* Calls of struct hv_ops, the first field of TRACE_HV. */
enum trace_hv_call {
    TRACE_HV_PORTS,
    TRACE_HV_MMIO,
    TRACE_HV_FUNCTION,
    TRACE_HV_ISA,
    TRACE_HV_INTX,
    TRACE_HV_LINK,
    TRACE_HV_MSI,
    TRACE_HV_MEMTYPE,
    TRACE_HV_VRAM_CREATE,
    TRACE_HV_VRAM_MOVE,
    TRACE_HV_SHUTDOWN,
    TRACE_HV_S_STATE,
    TRACE_HV_NR_CALLS,
};

/* How the bytes of TRACE_MEM_WRITE, TRACE_BLOCK_SUBMIT and TRACE_BLOCK_DONE are kept. */
enum trace_form { TRACE_FULL, TRACE_HASHED, TRACE_OMITTED };

struct trace_entry {
    enum trace_kind kind;
    uint64_t number, offset;      /* from 0; position in the file */
    uint64_t v[TRACE_MAX_FIELDS]; /* signed ones as two's complement */
    const uint8_t *bytes;         /* until the next entry is read */
    size_t len;
};

/* One line about an entry, cut to fit. Returns text. */
enum { TRACE_TEXT_BYTES = 320 };
const char *trace_text(const struct trace_entry *entry, char text[TRACE_TEXT_BYTES]);
/* Does a step begin with it? */
bool trace_is_step(enum trace_kind kind);

/* --- Reading --- */

struct trace_source {
    /* Bytes of the file at off, fewer only at its end; 0 at the end or on a failure. */
    size_t (*read)(void *opaque, uint64_t off, void *buf, size_t len);
    void *opaque;
};

/* What many requests have in common, for the compact entry: all but the data. */
struct trace_shape {
    uint64_t addr, what; /* what: 0 for none; see core/trace-private.h */
};

enum { TRACE_ERROR_BYTES = 192 };
struct trace_reader {
    struct trace_source source;
    unsigned version;
    unsigned flags;      /* of the file */
    uint64_t next_chunk; /* where it begins */
    uint64_t number;     /* of the next entry */
    uint64_t clock_ns, stamp_ns;
    size_t pos, end; /* in chunk */
    uint64_t chunk_at;
    bool gap;   /* entries are missing before the one that was read last */
    bool ended; /* TRACE_END was read */
    char error[TRACE_ERROR_BYTES];
    struct trace_shape shapes[TRACE_SHAPES]; /* of this chunk */
    uint8_t chunk[TRACE_CHUNK_BYTES];
};

/* Checks the header of the file. 0, or -EINVAL with one line in reader->error. */
int trace_reader_init(struct trace_reader *reader, const struct trace_source *source) WARN_UNUSED;
/* 1: *entry is the next one; 0: the end; -EINVAL: the file is damaged or cut short, reader->error says where. */
int trace_reader_next(struct trace_reader *reader, struct trace_entry *entry) WARN_UNUSED;

/* --- Recording --- */

/* Where a recorder's bytes go. A failure (-errno) ends the trace. Never blocks for long. */
struct trace_sink {
    int (*write)(struct trace_sink *sink, const void *buf, size_t len);
};

struct trace_recorder_config {
    struct trace_sink *sink; /* NULL: into a ring in memory */
    size_t ring_bytes;       /* 8 KiB to 1 GiB */
    struct log *log;
};

struct trace_recorder;

/* 0, -ENOMEM, -EINVAL (ring_bytes). What config points to must outlive it. */
int trace_recorder_create(const struct trace_recorder_config *config, struct trace_recorder **out) WARN_UNUSED;
/* NULL is fine. Nothing may use its trace, hv or host any more. */
void trace_recorder_destroy(struct trace_recorder *rec);
/* For struct ioreq_config and trace_action(); NULL for NULL. */
struct trace *trace_recorder_trace(struct trace_recorder *rec);

/*
 * Before the machine is created: hv, host and loop are what it will be built on; *hv and *host become recording ones
 * around them. args is the command line, NUL after each. The devices are created next.
 */
struct trace_world {
    struct loop *loop;
    struct hv **hv;
    struct host **host;
    const char *args;
    size_t args_bytes;
    unsigned century;
};
void trace_recorder_start(struct trace_recorder *rec, const struct trace_world *world);
/* The state of the whole machine, for the snapshots in a ring. */
struct trace_machine {
    /* Nothing is in flight. Then save() appends the state without waiting, as many bytes each time; 0 or -errno. */
    bool (*quiet)(void *opaque);
    int (*save)(void *opaque, struct snap_buf *out);
    void *opaque;
};
/* The machine is there: from now on only steps are recorded. machine NULL: no snapshots. */
void trace_recorder_ready(struct trace_recorder *rec, struct mem *mem, const struct trace_machine *machine);
/* Before the machine is torn down: writes the end of a trace, and takes no more snapshots into a ring. */
void trace_recorder_finish(struct trace_recorder *rec);
/* Have all that was recorded so far written, as far as it goes without an end mark. Safe in a signal handler if the
 * sink is. */
int trace_recorder_flush(struct trace_recorder *rec);
/* A ring as a trace file. Safe in a signal handler if the sink is. 0 or -errno of the sink. */
int trace_recorder_dump(struct trace_recorder *rec, struct trace_sink *sink);
bool trace_recorder_is_ring(const struct trace_recorder *rec);
/* The sink failed, which was logged. */
bool trace_recorder_failed(const struct trace_recorder *rec);
/* The request that is at work; NULL: none. For a signal handler that interrupted it. */
const struct trace_ioreq *trace_recorder_request(const struct trace_recorder *rec);
/* Entries so far. */
uint64_t trace_recorder_entries(const struct trace_recorder *rec);

/* For tools: a file made of entries of other traces, in their order; what is left out becomes a gap. */
void trace_recorder_copy(struct trace_recorder *rec, const struct trace_entry *entry);
void trace_recorder_set_flags(struct trace_recorder *rec, unsigned flags);

/* --- Replaying --- */

struct trace_replay;

struct trace_replay_config {
    struct trace_reader *reader; /* nothing was read from it yet */
    struct log *log;
};

/* *out has read the command line. 0, -ENOMEM, -EINVAL (reader->error or what is missing, in error). */
int trace_replay_create(const struct trace_replay_config *config, struct trace_replay **out,
                        char error[TRACE_ERROR_BYTES]) WARN_UNUSED;
void trace_replay_destroy(struct trace_replay *replay);
/* The recorded command line: argc and argv[0..argc], which live as long as replay. */
int trace_replay_args(struct trace_replay *replay, char ***argv);
unsigned trace_replay_century(const struct trace_replay *replay);
/* What the machine is to be built on. */
struct loop *trace_replay_loop(struct trace_replay *replay);
struct hv *trace_replay_hv(struct trace_replay *replay);
struct host *trace_replay_host(struct trace_replay *replay);
/* Where lines and links go, besides being compared; NULL: nowhere. It must outlive the replay. */
void trace_replay_set_lines(struct trace_replay *replay, struct hv *lines);
struct trace *trace_replay_trace(struct trace_replay *replay);

struct trace_replay_world {
    struct mem *mem;
    struct ioreq *engine;
    uint8_t *sync_page, *buffered_page; /* the engine's */
    unsigned nr_vcpus;
    /* READY was read: what is wired behind the machine's back. May be NULL. */
    void (*ready)(void *opaque);
    /* An operator's action. */
    void (*action)(void *opaque, enum trace_action action, uint64_t number, const char *text);
    /* As the recorder's machine; and back. restore: 0, or negative with one line in error. NULL: neither. */
    int (*save)(void *opaque, struct snap_buf *out);
    int (*restore)(void *opaque, struct snap_buf *in, char error[TRACE_ERROR_BYTES]);
    void *opaque;
};

struct trace_replay_result {
    bool ok, diverged; /* neither: the file is damaged, or can't be replayed; report says so */
    uint64_t entries, steps, requests;
    bool cut;                /* the same up to the end of the trace, which is within a step: a crash or a hang */
    uint64_t skipped;        /* entries before the snapshot that a trace with a gap was replayed from */
    uint64_t snapshots;      /* that were compared */
    uint64_t unverified;     /* answers that depend on what the trace doesn't hold, and were different */
    struct trace_ioreq last; /* the request of the present step */
    bool last_valid;
    char report[4096]; /* why not, in lines */
};

/* The machine was created on replay; feed the rest. */
void trace_replay_run(struct trace_replay *replay, const struct trace_replay_world *world,
                      struct trace_replay_result *result);
/* Creating the machine failed: fills in the reason if it is a divergence. */
void trace_replay_give_up(struct trace_replay *replay, struct trace_replay_result *result);

#endif
