/*
 * "thindm trace dump|cut|filter|qtest": what a trace says as text, parts of it as a trace, or its requests as a qtest
 * script.
 */
#include "backends/linux/trace-file.h"
#include "replay-main.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <thindm/ioreq.h>
#include <unistd.h>

struct job {
    struct trace_reader reader;
    int fd, out_fd;
    struct trace_fd_sink sink;
    struct trace_recorder *recorder;
    uint64_t first, last; /* entries of a cut; addresses of a filter */
    bool ports, config, keep, started;
    /* qtest: the request waits until the memory that it reads was written. */
    bool have_request;
    struct trace_entry request;
    uint64_t clock_ns;
    uint8_t *string; /* what an OUTS takes out of memory */
    size_t string_len;
    uint64_t more_addr; /* where the bytes of the next MORE entry go */
    bool more_memory;
};

/* 1: go on; 0: enough; negative: failed, and was explained. */
typedef int entry_fn(struct job *j, const struct trace_entry *e);

static int dump(struct job *j, const struct trace_entry *e)
{
    char text[TRACE_TEXT_BYTES];
    if (j->reader.gap)
        printf("    ... entries are left out here\n");
    printf("%s#%" PRIu64 " %s\n", trace_is_step(e->kind) || e->kind == TRACE_STAMP ? "" : "    ", e->number,
           trace_text(e, text));
    return ferror(stdout) ? -EIO : 1;
}

/* How the machine came to be is kept always: without it the rest means little. */
static bool in_head(struct job *j, const struct trace_entry *e)
{
    bool head = !j->started;
    j->started |= e->kind == TRACE_READY;
    return head || e->kind == TRACE_END;
}

/* The end mark comes right behind what is kept: a trace that lacks only later entries can be replayed. */
static void keep(struct job *j, const struct trace_entry *e)
{
    struct trace_entry copy = *e;
    if (e->kind == TRACE_END)
        copy.number = trace_recorder_entries(j->recorder);
    trace_recorder_copy(j->recorder, &copy);
}

static int cut(struct job *j, const struct trace_entry *e)
{
    if (in_head(j, e) || (e->number >= j->first && e->number <= j->last))
        keep(j, e);
    return 1;
}

static bool wanted(const struct job *j, const struct trace_entry *e)
{
    uint64_t type = e->v[0] >> 3, addr = e->v[4];
    if (e->kind != TRACE_IOREQ && e->kind != TRACE_POSTED)
        return false;
    if (type == IOREQ_PCI_CONFIG)
        return j->config && addr >> 32 >= j->first && addr >> 32 <= j->last;
    return !j->config && type == (j->ports ? IOREQ_PIO : IOREQ_COPY) && addr >= j->first && addr <= j->last;
}

static int filter(struct job *j, const struct trace_entry *e)
{
    if (trace_is_step(e->kind))
        j->keep = wanted(j, e);
    if (in_head(j, e) || j->keep)
        keep(j, e);
    return 1;
}

/* --- qtest --- */

static void print_hex(const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        printf("%02x", bytes[i]);
}

static void print_memory(uint64_t addr, const uint8_t *bytes, size_t len)
{
    if (len == 0)
        return;
    printf("write 0x%" PRIx64 " 0x%zx 0x", addr, len);
    print_hex(bytes, len);
    printf("\n");
}

static char width(uint64_t size)
{
    return size == 1 ? 'b' : size == 2 ? 'w' : size == 4 ? 'l' : 'q';
}

static void print_one(const struct trace_entry *e, uint64_t addr, uint64_t data)
{
    uint64_t type = e->v[0] >> 3, size = e->v[2];
    bool read = e->v[0] & 1;
    if (type == IOREQ_PCI_CONFIG) {
        printf("outl 0xcf8 0x%08" PRIx64 "\n", UINT64_C(0x80000000) | (addr >> 32 & 0xffff) << 8 | (addr & 0xfc));
        addr = 0xcfc + (addr & 3);
    }
    if (type == IOREQ_COPY)
        printf("%s%c 0x%" PRIx64, read ? "read" : "write", width(size), addr);
    else
        printf("%s%c 0x%" PRIx64, read ? "in" : "out", width(size), addr);
    if (!read)
        printf(" 0x%" PRIx64, data);
    printf("\n");
}

/* A string is told element by element; what it put into memory the next reader finds by itself. */
static void print_request(struct job *j)
{
    const struct trace_entry *e = &j->request;
    uint64_t type = e->v[0] >> 3, size = e->v[2], count = min_u64(e->v[3], PAGE_BYTES);
    bool pointer = e->v[0] & 2, down = e->v[0] & 4;
    if (!j->have_request)
        return;
    j->have_request = false;
    if (type > IOREQ_PCI_CONFIG || !is_pow2(size) || size > 8 || (size == 8 && type != IOREQ_COPY))
        return;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t step = type == IOREQ_COPY ? i * size : 0, at = down ? count - 1 - i : i;
        uint64_t data =
            pointer && (at + 1) * size <= j->string_len ? le_get(j->string + at * size, (unsigned)size) : e->v[5];
        print_one(e, down ? e->v[4] - step : e->v[4] + step, data);
    }
}

static void take_bytes(struct job *j, uint64_t addr, const struct trace_entry *e)
{
    size_t room = PAGE_BYTES - j->string_len;
    size_t n = (size_t)min_u64(room, e->len);
    print_memory(addr, e->bytes, e->len);
    if (n > 0)
        memcpy(j->string + j->string_len, e->bytes, n);
    j->string_len += n;
    j->more_addr = addr + e->len;
    j->more_memory = true;
}

static int qtest(struct job *j, const struct trace_entry *e)
{
    if (trace_is_step(e->kind)) {
        print_request(j);
        j->string_len = 0;
    }
    if (e->kind != TRACE_MORE)
        j->more_memory = false;
    switch (e->kind) {
    case TRACE_IOREQ:
    case TRACE_POSTED:
        j->request = *e;
        j->have_request = true;
        break;
    case TRACE_MEM_READ: take_bytes(j, e->v[0], e); break;
    case TRACE_PIN_READ: take_bytes(j, e->v[0], e); break;
    case TRACE_MORE:
        if (j->more_memory)
            take_bytes(j, j->more_addr, e);
        break;
    case TRACE_CLOCK:
        if (e->v[0] > j->clock_ns && j->started)
            printf("clock_set %" PRIu64 "\n", e->v[0]);
        j->clock_ns = e->v[0];
        break;
    case TRACE_READY: j->started = true; break;
    default: break;
    }
    return ferror(stdout) ? -EIO : 1;
}

/* --- Command lines --- */

static int run(struct job *j, const char *path, entry_fn *fn)
{
    struct trace_entry e;
    int go_on = 1;
    while (go_on > 0) {
        int got = trace_reader_next(&j->reader, &e);
        if (got < 0) {
            fflush(stdout);
            fprintf(stderr, "thindm: %s: %s\n", path, j->reader.error);
            return 1;
        }
        if (got == 0)
            return 0;
        go_on = fn(j, &e);
    }
    fprintf(stderr, "thindm: writing failed\n");
    return 1;
}

static bool open_output(struct job *j, const char *path)
{
    j->out_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0644);
    if (j->out_fd < 0) {
        fprintf(stderr, "thindm: %s: %s\n", path, strerror(errno));
        return false;
    }
    trace_fd_sink_init(&j->sink, j->out_fd);
    if (trace_recorder_create(&(struct trace_recorder_config){ .sink = &j->sink.sink }, &j->recorder))
        return false;
    trace_recorder_set_flags(j->recorder, j->reader.flags | TRACE_GAPS);
    return true;
}

/* "A-B" or "A". */
static bool range(struct job *j, const char *text)
{
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    j->first = j->last = strtoull(text, &end, 0);
    if (*end == '-' && end[1])
        j->last = strtoull(end + 1, &end, 0);
    return *end == '\0' && j->last >= j->first;
}

static int usage(void)
{
    fprintf(stderr, "usage: thindm trace dump FILE\n"
                    "       thindm trace qtest FILE\n"
                    "       thindm trace cut FILE FIRST-LAST OUT            entries by number\n"
                    "       thindm trace filter FILE port|memory|pci A-B OUT  requests by port, address or devfn\n");
    return 1;
}

static int with_output(struct job *j, int argc, char *argv[])
{
    bool is_cut = strcmp(argv[2], "cut") == 0;
    const char *what = argv[4], *bounds = argv[is_cut ? 4 : 5], *out = argv[is_cut ? 5 : 6];
    j->ports = strcmp(what, "port") == 0;
    j->config = strcmp(what, "pci") == 0;
    if (!range(j, bounds) || (!is_cut && !j->ports && !j->config && strcmp(what, "memory") != 0))
        return usage();
    if (!open_output(j, out))
        return 1;
    int status = run(j, argv[3], is_cut ? cut : filter);
    if (!status && (trace_recorder_flush(j->recorder) || close(j->out_fd))) {
        fprintf(stderr, "thindm: %s: writing failed\n", out);
        status = 1;
    }
    trace_recorder_destroy(j->recorder);
    return status;
}

int trace_main(int argc, char *argv[])
{
    static struct job job;
    static uint8_t string[PAGE_BYTES];
    struct job *j = &job;
    memset(j, 0, sizeof(*j)); /* for who calls it twice */
    const char *command = argc > 3 ? argv[2] : "";
    bool is_dump = strcmp(command, "dump") == 0, is_qtest = strcmp(command, "qtest") == 0;
    bool output = (strcmp(command, "cut") == 0 && argc == 6) || (strcmp(command, "filter") == 0 && argc == 7);
    if (!output && !((is_dump || is_qtest) && argc == 4))
        return usage();
    j->string = string;
    if (!trace_open(argv[3], &j->fd, &j->reader))
        return 1;
    int status = output ? with_output(j, argc, argv) : run(j, argv[3], is_dump ? dump : qtest);
    if (is_qtest)
        print_request(j);
    close(j->fd);
    return status;
}
