/* The format of a trace: kinds of entries and their fields, the checksum, the text form. See docs/trace-format.md. */
#include "trace-private.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <thindm/ioreq.h>

#define F0 0x01
#define F1 0x02
#define F2 0x04
#define F3 0x08
#define F4 0x10

static const struct trace_kind_info kinds[TRACE_NR_KINDS] = {
    [TRACE_CONFIG] = { .name = "config", .bytes = true },
    [TRACE_START] = { .name = "start", .nr_fields = 1, .fields = { "century" }, .bytes = true },
    [TRACE_READY] = { .name = "ready" },
    [TRACE_IOREQ] = { .name = "ioreq",
                      .nr_fields = 6,
                      .step = true,
                      .fields = { "flags", "vcpu", "size", "count", "addr", "data" } },
    [TRACE_POSTED] = { .name = "posted",
                       .nr_fields = 6,
                       .step = true,
                       .fields = { "flags", "vcpu", "size", "count", "addr", "data" } },
    [TRACE_ANSWER] = { .name = "answer", .nr_fields = 1, .fields = { "value" } },
    [TRACE_CLOCK] = { .name = "clock", .nr_fields = 1, .given = F0, .clocked = true, .fields = { "ns" } },
    [TRACE_STAMP] = { .name = "stamp", .nr_fields = 1, .given = F0, .stamped = true, .fields = { "host-ns" } },
    [TRACE_TIMER] = { .name = "timer",
                      .nr_fields = 2,
                      .clocked = true,
                      .step = true,
                      .fields = { "timer", "expires-ns" } },
    [TRACE_TASK] = { .name = "task", .nr_fields = 1, .step = true, .fields = { "task" } },
    [TRACE_MEM_READ] = { .name = "mem-read",
                         .nr_fields = 3,
                         .given = F2,
                         .is_signed = F2,
                         .bytes = true,
                         .fields = { "addr", "len", "err" } },
    [TRACE_MEM_WRITE] = { .name = "mem-write",
                          .nr_fields = 4,
                          .given = F2,
                          .is_signed = F2,
                          .bytes = true,
                          .fields = { "addr", "len", "err", "form" } },
    [TRACE_MEM_PIN] = { .name = "mem-pin",
                        .nr_fields = 4,
                        .given = F2 | F3,
                        .is_signed = F3,
                        .fields = { "addr", "want", "got", "err" } },
    [TRACE_PIN_READ] = { .name = "pin-read", .nr_fields = 2, .bytes = true, .fields = { "addr", "len" } },
    [TRACE_BLOCK_OPEN] = { .name = "block-open",
                           .nr_fields = 5,
                           .given = F1 | F2 | F3 | F4,
                           .is_signed = F1,
                           .bytes = true,
                           .fields = { "block", "err", "bytes", "sector", "flags" } },
    [TRACE_BLOCK_SUBMIT] = { .name = "block-submit",
                             .nr_fields = 8,
                             .is_signed = 0x20,
                             .bytes = true,
                             .fields = { "block", "nr", "op", "offset", "len", "err", "guest", "form" } },
    [TRACE_BLOCK_DONE] = { .name = "block-done",
                           .nr_fields = 5,
                           .given = F2 | F3 | F4,
                           .is_signed = F2,
                           .step = true,
                           .bytes = true,
                           .fields = { "block", "nr", "err", "len", "form" } },
    [TRACE_CHR_OPEN] = { .name = "chr-open",
                         .nr_fields = 3,
                         .given = F1 | F2,
                         .is_signed = F1,
                         .fields = { "chr", "err", "connected" } },
    [TRACE_CHR_RECV] = { .name = "chr-recv", .nr_fields = 2, .step = true, .bytes = true, .fields = { "chr", "len" } },
    [TRACE_CHR_EVENT] = { .name = "chr-event", .nr_fields = 2, .step = true, .fields = { "chr", "opened" } },
    [TRACE_CHR_WRITE] = { .name = "chr-write",
                          .nr_fields = 4,
                          .given = F2,
                          .bytes = true,
                          .fields = { "chr", "len", "taken", "form" } },
    [TRACE_FILE] = { .name = "file",
                     .nr_fields = 3,
                     .given = 0x7,
                     .is_signed = F0,
                     .bytes = true,
                     .fields = { "err", "len", "form" } },
    [TRACE_HV] = { .name = "hv",
                   .nr_fields = 5,
                   .given = F4,
                   .is_signed = F4,
                   .fields = { "call", "a", "b", "c", "err" } },
    [TRACE_ACTION] = { .name = "action",
                       .nr_fields = 2,
                       .step = true,
                       .bytes = true,
                       .fields = { "action", "number" } },
    [TRACE_SNAPSHOT] = { .name = "snapshot",
                         .nr_fields = 3,
                         .step = true,
                         .bytes = true,
                         .fields = { "clock-ns", "len", "packed" } },
    [TRACE_CORRUPT] = { .name = "corrupt" },
    [TRACE_MORE] = { .name = "more", .bytes = true },
    [TRACE_END] = { .name = "end", .step = true, .bytes = true },
};

const struct trace_kind_info *trace_kind_info(unsigned kind)
{
    return kind < TRACE_NR_KINDS && kinds[kind].name ? &kinds[kind] : NULL;
}

bool trace_is_step(enum trace_kind kind)
{
    const struct trace_kind_info *info = trace_kind_info(kind);
    return info && info->step;
}

/* One to one in both, so that a changed word always changes the result. */
static inline uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

static inline uint64_t word_at(const uint8_t *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof(word));
    return word;
}

uint64_t trace_hash(uint64_t hash, const void *buf, size_t len)
{
    const uint8_t *p = buf;
    uint64_t lane[4] = { hash, 1, 2, 3 };
    hash = mix(hash, len);
    if (len >= 32) { /* four at a time, as a multiplication takes some cycles to give its result */
        for (; len >= 32; len -= 32, p += 32)
            for (unsigned i = 0; i < 4; i++)
                lane[i] = mix(lane[i], word_at(p + (size_t)8 * i));
        for (unsigned i = 0; i < 4; i++)
            hash = mix(hash, lane[i]);
    }
    for (; len >= 8; len -= 8, p += 8)
        hash = mix(hash, word_at(p));
    return len > 0 ? mix(hash, le_get(p, (unsigned)len)) : hash;
}

struct text {
    char *at;
    size_t left;
};

static void say(struct text *t, const char *format, ...) PRINTF_LIKE(2, 3);
static void say(struct text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(t->at, t->left, format, args);
    va_end(args);
    size_t used = n > 0 ? (size_t)n : 0;
    if (used >= t->left)
        used = t->left - 1;
    t->at += used;
    t->left -= used;
}

static void say_request(struct text *t, const struct trace_entry *e)
{
    static const char *const types[] = { [IOREQ_PIO] = "port",
                                         [IOREQ_COPY] = "memory",
                                         [IOREQ_PCI_CONFIG] = "config",
                                         [IOREQ_TIMEOFFSET] = "time-offset",
                                         [IOREQ_INVALIDATE] = "invalidate" };
    uint64_t type = e->v[0] >> 3;
    if (type < ARRAY_SIZE(types) && types[type])
        say(t, " %s", types[type]);
    else
        say(t, " type-%" PRIu64, type);
    say(t, " %s 0x%" PRIx64 " size=%" PRIu64, e->v[0] & 1 ? "read" : "write", e->v[4], e->v[2]);
    if (e->v[3] != 1)
        say(t, " count=%" PRIu64 "%s", e->v[3], e->v[0] & 4 ? " descending" : "");
    if (e->v[0] & 2)
        say(t, " at=0x%" PRIx64, e->v[5]);
    else if (!(e->v[0] & 1))
        say(t, " value=0x%" PRIx64, e->v[5]);
    if (e->v[1] > 0)
        say(t, " vcpu=%" PRIu64, e->v[1]);
}

static void say_hv(struct text *t, const struct trace_entry *e)
{
    static const char *const calls[TRACE_HV_NR_CALLS] = {
        "ports", "mmio",    "function",    "isa-line",  "intx",     "link",
        "msi",   "memtype", "vram-create", "vram-move", "shutdown", "s-state",
    };
    if (e->v[0] < TRACE_HV_NR_CALLS)
        say(t, " %s 0x%" PRIx64 " 0x%" PRIx64 " 0x%" PRIx64, calls[e->v[0]], e->v[1], e->v[2], e->v[3]);
    else
        say(t, " call-%" PRIu64, e->v[0]);
    if (e->v[4])
        say(t, " err=%" PRId64, (int64_t)e->v[4]);
}

static void say_action(struct text *t, const struct trace_entry *e)
{
    static const char *const actions[TRACE_NR_ACTIONS] = { "cont",          "stop",    "reset",     "wakeup", "eject",
                                                           "change-medium", "cpu-add", "powerdown", "restart" };
    say(t, " %s number=%" PRIu64, e->v[0] < TRACE_NR_ACTIONS ? actions[e->v[0]] : "?", e->v[1]);
}

static void say_fields(struct text *t, const struct trace_kind_info *info, const struct trace_entry *e)
{
    for (unsigned i = 0; i < info->nr_fields; i++) {
        if (info->is_signed >> i & 1)
            say(t, " %s=%" PRId64, info->fields[i], (int64_t)e->v[i]);
        else if (strcmp(info->fields[i], "addr") == 0 || strcmp(info->fields[i], "value") == 0)
            say(t, " %s=0x%" PRIx64, info->fields[i], e->v[i]);
        else
            say(t, " %s=%" PRIu64, info->fields[i], e->v[i]);
    }
}

static void say_bytes(struct text *t, const struct trace_entry *e)
{
    bool is_text =
        e->kind == TRACE_CONFIG || e->kind == TRACE_START || e->kind == TRACE_ACTION || e->kind == TRACE_BLOCK_OPEN;
    say(t, " ");
    for (size_t i = 0; i < e->len && t->left > 8; i++) {
        if (is_text)
            say(t, "%c", e->bytes[i] >= ' ' && e->bytes[i] < 0x7f ? e->bytes[i] : ' ');
        else
            say(t, "%02x", e->bytes[i]);
    }
    if (t->left <= 8)
        say(t, "...");
}

const char *trace_text(const struct trace_entry *e, char text[TRACE_TEXT_BYTES])
{
    struct text t = { text, TRACE_TEXT_BYTES };
    const struct trace_kind_info *info = trace_kind_info(e->kind);
    say(&t, "%s", info ? info->name : "?");
    if (e->kind == TRACE_IOREQ || e->kind == TRACE_POSTED)
        say_request(&t, e);
    else if (e->kind == TRACE_HV)
        say_hv(&t, e);
    else if (e->kind == TRACE_ACTION)
        say_action(&t, e);
    else if (info)
        say_fields(&t, info, e);
    if (e->len > 0)
        say_bytes(&t, e);
    return text;
}
