/*
 * Reading a trace: see trace.h. Chunk by chunk; a chunk whose checksum is right is still taken apart with every bound
 * checked, as its writer may have been hostile.
 */
#include "trace-private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int refuse(struct trace_reader *r, uint64_t at, const char *why)
{
    (void)snprintf(r->error, sizeof(r->error), "byte %" PRIu64 " (entry %" PRIu64 "): %s", at, r->number, why);
    return -EINVAL;
}

int trace_reader_init(struct trace_reader *r, const struct trace_source *source)
{
    uint8_t head[TRACE_HEAD_BYTES];
    memset(r, 0, offsetof(struct trace_reader, chunk));
    r->source = *source;
    size_t got = source->read(source->opaque, 0, head, sizeof(head));
    if (got < HEAD_VERSION || memcmp(head, TRACE_MAGIC, 8) != 0)
        return refuse(r, 0, "this is not a trace of thindm");
    if (got < sizeof(head))
        return refuse(r, got, "the file ends within its header");
    if (trace_hash(0, head, HEAD_CHECK) != le64_get(head + HEAD_CHECK))
        return refuse(r, 0, "the header's checksum is wrong");
    r->version = le16_get(head + HEAD_VERSION);
    if (r->version == 0 || r->version > TRACE_VERSION)
        return refuse(r, HEAD_VERSION, "a version of the format that this program doesn't know");
    r->flags = le16_get(head + HEAD_FLAGS);
    if (r->flags & ~(unsigned)TRACE_FLAGS)
        return refuse(r, HEAD_FLAGS, "unknown flags");
    r->next_chunk = sizeof(head);
    return 0;
}

/* 1: there is one; 0: the file ends here. */
static int load_chunk(struct trace_reader *r)
{
    uint8_t head[TRACE_CHUNK_HEAD_BYTES];
    uint64_t at = r->next_chunk;
    size_t got = r->source.read(r->source.opaque, at, head, sizeof(head));
    if (got == 0)
        return 0;
    if (got < sizeof(head))
        return refuse(r, at + got, "the file ends within the head of a chunk");
    uint32_t len = le32_get(head + CHUNK_LENGTH);
    if (le32_get(head + CHUNK_MAGIC) != CHUNK_MARK || len > TRACE_CHUNK_BYTES - TRACE_CHUNK_HEAD_BYTES)
        return refuse(r, at, "no chunk begins here");
    got = r->source.read(r->source.opaque, at + sizeof(head), r->chunk, len);
    if (got < len)
        return refuse(r, at + sizeof(head) + got, "the file ends within a chunk");
    uint64_t check = trace_hash(trace_hash(0, head, CHUNK_CHECK), r->chunk, len);
    if (check != le64_get(head + CHUNK_CHECK) || le64_get(head + CHUNK_CHECK + 8) != 0)
        return refuse(r, at, "the chunk's checksum is wrong");
    uint64_t number = le64_get(head + CHUNK_NUMBER);
    if (number < r->number || (number > r->number && !(r->flags & TRACE_GAPS)))
        return refuse(r, at + CHUNK_NUMBER, "entries are missing");
    r->gap |= number > r->number;
    r->number = number;
    r->clock_ns = le64_get(head + CHUNK_CLOCK);
    r->stamp_ns = le64_get(head + CHUNK_STAMP);
    r->chunk_at = at + sizeof(head);
    r->next_chunk = r->chunk_at + len;
    r->pos = 0;
    r->end = len;
    memset(r->shapes, 0, sizeof(r->shapes));
    return 1;
}

static bool decode(struct trace_reader *r, const struct trace_kind_info *info, const uint8_t *at, const uint8_t *end,
                   struct trace_entry *e)
{
    for (unsigned i = 0; i < info->nr_fields; i++) {
        if (!varint_get(&at, end, &e->v[i]))
            return false;
        if (info->is_signed >> i & 1)
            e->v[i] = unzigzag(e->v[i]);
    }
    if (info->clocked) {
        unsigned field = info->nr_fields - 1u;
        e->v[field] = r->clock_ns + unzigzag(e->v[field]);
        r->clock_ns = e->kind == TRACE_CLOCK ? e->v[field] : r->clock_ns;
    }
    if (info->stamped)
        e->v[0] = r->stamp_ns += unzigzag(e->v[0]);
    e->bytes = at;
    e->len = (size_t)(end - at);
    return info->bytes || e->len == 0;
}

/* Compact entries refer to it. */
static void remember_shape(struct trace_reader *r, const struct trace_entry *e)
{
    uint64_t flags = e->v[0], vcpu = e->v[1], size = e->v[2], count = e->v[3], addr = e->v[4];
    if (count == 1 && size <= SHAPE_MAX_SIZE && vcpu <= UINT8_MAX && flags >> 11 == 0)
        r->shapes[shape_place(addr, flags)] =
            (struct trace_shape){ addr, shape_what(e->kind == TRACE_POSTED, flags, vcpu, size) };
}

/* An entry without a length. How long it is; 0: it makes no sense. */
static size_t compact(const struct trace_reader *r, const uint8_t *at, const uint8_t *end, struct trace_entry *e)
{
    const uint8_t *p = at + 1;
    e->bytes = end;
    if (*at == ANSWER_ENTRY) {
        e->kind = TRACE_ANSWER;
        return varint_get(&p, end, &e->v[0]) ? (size_t)(p - at) : 0;
    }
    const struct trace_shape *shape = &r->shapes[*at % TRACE_SHAPES];
    uint64_t what = shape->what, flags = what >> 2 & 0x7ff;
    if (!what)
        return 0;
    e->kind = what & 2 ? TRACE_POSTED : TRACE_IOREQ;
    e->v[0] = flags;
    e->v[1] = what >> 16 & 0xff;
    e->v[2] = what >> 24;
    e->v[3] = 1;
    e->v[4] = shape->addr;
    return !shape_has_data(flags) || varint_get(&p, end, &e->v[5]) ? (size_t)(p - at) : 0;
}

/* An entry with a length, left bytes at most. */
static int whole(struct trace_reader *r, const uint8_t *p, size_t left, struct trace_entry *e, size_t *used)
{
    if (left < 2)
        return refuse(r, e->offset, "an entry is cut short");
    const struct trace_kind_info *info = trace_kind_info(p[0]);
    size_t head = p[1] == ENTRY_SHORT ? ENTRY_HEAD_BYTES : 2;
    if (!info)
        return refuse(r, e->offset, "an entry of unknown kind");
    if (left < head)
        return refuse(r, e->offset, "an entry is cut short");
    size_t len = head == 2 ? p[1] : le16_get(p + 2);
    if (left - head < len)
        return refuse(r, e->offset, "an entry is longer than its chunk");
    e->kind = (enum trace_kind)p[0];
    if (!decode(r, info, p + head, p + head + len, e))
        return refuse(r, e->offset, "an entry makes no sense");
    if (e->kind == TRACE_IOREQ || e->kind == TRACE_POSTED)
        remember_shape(r, e);
    *used = head + len;
    return 0;
}

int trace_reader_next(struct trace_reader *r, struct trace_entry *e)
{
    r->gap = false;
    if (r->ended)
        return 0;
    while (r->pos >= r->end) {
        int got = load_chunk(r);
        if (got == 0)
            return refuse(r, r->next_chunk, "the trace was cut short: its end mark is missing");
        if (got < 0)
            return got;
    }
    uint64_t at = r->chunk_at + r->pos;
    size_t left = r->end - r->pos;
    const uint8_t *p = r->chunk + r->pos;
    *e = (struct trace_entry){ .number = r->number, .offset = at };
    size_t used = 0;
    if (r->version > 1 && p[0] >= SHAPE_ENTRY && p[0] <= ANSWER_ENTRY) {
        used = compact(r, p, p + left, e);
        if (used == 0)
            return refuse(r, at, "an entry makes no sense");
    } else {
        int err = whole(r, p, left, e, &used);
        if (err)
            return err;
    }
    r->pos += used;
    r->number++;
    r->ended = e->kind == TRACE_END;
    uint8_t byte;
    if (r->ended && (r->pos < r->end || r->source.read(r->source.opaque, r->next_chunk, &byte, 1) > 0))
        return refuse(r, r->chunk_at + r->pos, "there is something behind the end mark");
    return 1;
}
