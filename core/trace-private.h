/* What the files of record and replay share. */
#ifndef THINDM_TRACE_PRIVATE_H
#define THINDM_TRACE_PRIVATE_H

#include <thindm/trace.h>

/* Seldom called from where it counts: what it needs must not burden its caller. */
#define NOINLINE __attribute__((noinline, cold))

/* File header and chunk header, byte offsets; see docs/trace-format.md. */
enum { HEAD_MAGIC = 0, HEAD_VERSION = 8, HEAD_FLAGS = 10, HEAD_CHUNK_BYTES = 12, HEAD_CHECK = 24 };
enum {
    CHUNK_MAGIC = 0,
    CHUNK_LENGTH = 4,
    CHUNK_NUMBER = 8,
    CHUNK_CLOCK = 16,
    CHUNK_STAMP = 24,
    CHUNK_CHECK = 32,
    CHUNK_DATA = TRACE_CHUNK_HEAD_BYTES,
};
#define TRACE_MAGIC "THINDMTR"
#define CHUNK_MARK  0x4b4e4843u /* "CHNK" */
/* An entry: kind, length of the rest, the rest. Longer than ENTRY_SHORT: that value, and 16 bits with the length. */
enum { ENTRY_SHORT = 255, ENTRY_HEAD_BYTES = 4, VARINT_BYTES = 10 };
/*
 * Compact entries have no length. SHAPE_ENTRY + n: a request like the last one in this chunk whose shape has place n,
 * followed by its data if it has some; ANSWER_ENTRY: an answer.
 */
enum { SHAPE_ENTRY = 0x80, ANSWER_ENTRY = 0xc0, SHAPE_MAX_SIZE = 15 };
/* Data up to this length stand in the entry, longer ones are kept as a hash where both sides know them. */
enum { FULL_BYTES = 64, HASH_BYTES = 8 };

struct trace_kind_info {
    const char *name;
    uint8_t nr_fields;
    uint8_t given;         /* bit per field: the world's answer, not to be compared */
    uint8_t is_signed;     /* bit per field */
    bool clocked, stamped; /* field 0 (CLOCK, STAMP) or 1 (TIMER) is relative to the last clock or stamp */
    bool step;
    bool bytes;
    const char *fields[TRACE_MAX_FIELDS];
};
/* NULL: no such kind. */
const struct trace_kind_info *trace_kind_info(unsigned kind);

/* Changes with every single changed word; begin with 0, go on with the result. */
uint64_t trace_hash(uint64_t hash, const void *buf, size_t len);

static inline uint64_t zigzag(uint64_t val)
{
    return val << 1 ^ (uint64_t) - (int64_t)(val >> 63);
}

static inline uint64_t unzigzag(uint64_t val)
{
    return val >> 1 ^ (uint64_t) - (int64_t)(val & 1);
}

static inline uint8_t *varint_put(uint8_t *to, uint64_t val)
{
    for (; val >= 0x80; val >>= 7)
        *to++ = (uint8_t)(val | 0x80);
    *to++ = (uint8_t)val;
    return to;
}

/* False: there is none before end. */
static inline bool varint_get(const uint8_t **at, const uint8_t *end, uint64_t *val)
{
    *val = 0;
    for (unsigned shift = 0; shift < 64 && *at < end; shift += 7) {
        uint8_t byte = *(*at)++;
        if (shift == 63 && byte > 1)
            return false;
        *val |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

/* Flags of TRACE_IOREQ and TRACE_POSTED: read, pointer, descending in bits 0-2, type above. */
static inline uint64_t ioreq_flags(const struct trace_ioreq *req)
{
    return (uint64_t)req->read | (uint64_t)req->pointer << 1 | (uint64_t)req->descending << 2 |
           (uint64_t)req->type << 3;
}

/* The shape of a request that has one: a single element. flags as above. */
static inline uint64_t shape_what(bool posted, uint64_t flags, uint64_t vcpu, uint64_t size)
{
    return 1 | (uint64_t)posted << 1 | flags << 2 | vcpu << 16 | size << 24;
}

/* The data of the others aren't looked at. */
static inline bool shape_has_data(uint64_t flags)
{
    return (flags & 3) != 1;
}

static inline unsigned shape_place(uint64_t addr, uint64_t flags)
{
    return (unsigned)(addr ^ addr >> 6 ^ addr >> 32 ^ flags << 5) % TRACE_SHAPES;
}

/* Where the bytes of a disk request are: the device's own memory, or the guest's. */
bool trace_in_guest(const struct mem *mem, const struct block_req *req);

/* --- The recorder's inside, for the wrappers of trace-wrap.c --- */

struct trace_host_wrap {
    struct host host, *inner;
    struct trace_recorder *rec;
};
struct trace_hv_wrap {
    struct hv hv, *inner;
    struct trace_recorder *rec;
};

/*
 * fill: bytes in use (0: nothing begun) and, from bit 32 on, number of entries; in one word, so that a signal handler
 * finds both of one moment.
 */
struct chunk {
    uint8_t *data;        /* TRACE_CHUNK_HEAD_BYTES, then entries */
    size_t bytes;         /* room */
    uint64_t first, fill; /* number of the first entry */
};

static inline size_t chunk_used(const struct chunk *chunk)
{
    return (uint32_t)chunk->fill;
}

struct trace_recorder {
    struct trace trace;
    struct trace_recorder_config config;
    struct trace_host_wrap host;
    struct trace_hv_wrap hv;
    struct loop *loop;
    struct mem *mem;
    unsigned depth; /* of nested steps; 0: nothing is recorded */
    bool ended;     /* finished, or the sink failed */
    bool failed;    /* the latter, and it was logged */
    bool head_written;
    unsigned flags;
    const struct trace_ioreq *request; /* at work, on the caller's stack; NULL: none */
    uint64_t clock_ns, stamp_ns;       /* of the last such entry */
    uint32_t blocks, chrs;             /* numbers given so far */
    uint32_t epoch;                    /* of shapes: the present chunk's; bits 63-32 of their what */
    struct trace_shape shapes[TRACE_SHAPES];
    size_t chunk_bytes;
    struct chunk *now;
    struct chunk head;    /* ring: the creation of the machine */
    struct chunk *chunks; /* one, or those of the ring */
    unsigned nr_chunks, at;
    /* Snapshots. */
    struct trace_machine machine;
    struct snap_buf state;
    uint8_t *packed;
    unsigned snapshot_chunks, chunks_left; /* between two of them, 0: none; until the next one is due */
    bool snapshot_due, saving;
    uint64_t saving_ns; /* the time while saving */
};

/* An entry of n values, none longer than short. Within a step only. */
void trace_put(struct trace_recorder *rec, enum trace_kind kind, const uint64_t *v, unsigned n);
/* The same with bytes, as many MORE entries behind it as that takes. */
void trace_put_bytes(struct trace_recorder *rec, enum trace_kind kind, const uint64_t *v, unsigned n, const void *bytes,
                     size_t len);
static inline bool trace_on(const struct trace_recorder *rec)
{
    return rec->depth > 0 && !rec->ended;
}
/* Begin a step. */
static inline void trace_begin(struct trace_recorder *rec)
{
    rec->depth++;
}
/* trace-snapshot.c */
void trace_snapshot_init(struct trace_recorder *rec, const struct trace_machine *machine);
void trace_snapshot_finish(struct trace_recorder *rec);
/* One is due: take it if the machine is at rest, else try again after the next step. */
void trace_snapshot_try(struct trace_recorder *rec);
/* The state of a snapshot: len bytes. False: from doesn't hold just that. */
bool trace_unpack(uint8_t *to, size_t len, const uint8_t *from, size_t packed);
void trace_wrap_init(struct trace_recorder *rec, const struct trace_world *world);

#endif
