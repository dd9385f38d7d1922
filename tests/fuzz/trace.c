/*
 * A trace file as it may come from anybody: read, printed, cut, filtered, turned into qtest text, replayed, by the program's own
 * commands. The first byte says what is done and how the file comes about:
 *   bits 0-2  dump, qtest, cut, filter by port, by memory, by function, replay, replay with an allocation that fails
 *   bit 3     the rest of the input is the file; else its entries, in one chunk
 *   bit 4     file: as it is; else checksums and lengths are put right. Entries: alone; else behind those that make a machine
 *   bit 5     the file says that entries may be left out
 *   bit 6     of version 1, which has no compact entries
 * The second byte is a number for the command. A file that thindm wrote itself must be readable.
 */
#include "fuzz.h"

#include "../trace/session.h"
#include "../../replay-main.h"
#include "trace-private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { DO_DUMP, DO_QTEST, DO_CUT, DO_PORTS, DO_MEMORY, DO_FUNCTIONS, DO_REPLAY, DO_REPLAY_POOR, DO_MASK = 7 };
enum { IS_FILE = 0x08, IS_BARE = 0x10, HAS_GAPS = 0x20, IS_OLD = 0x40 };
enum { ENTRIES_AT = TRACE_HEAD_BYTES + TRACE_CHUNK_HEAD_BYTES, END_BYTES = 2, PATH_BYTES = 32 };

static struct {
    int in, out;        /* files in memory */
    char in_path[PATH_BYTES], out_path[PATH_BYTES];
    FILE *nowhere;
    uint8_t head[4096]; /* entries that make a machine, to READY */
    size_t head_len;
    uint8_t file[TRACE_HEAD_BYTES + TRACE_CHUNK_BYTES];
} t;

/* --- The file --- */

static void seal_head(uint8_t *file, unsigned how)
{
    memcpy(file + HEAD_MAGIC, TRACE_MAGIC, 8);
    le16_put(file + HEAD_VERSION, how & IS_OLD ? 1 : TRACE_VERSION);
    le16_put(file + HEAD_FLAGS, how & HAS_GAPS ? TRACE_GAPS : 0);
    le64_put(file + HEAD_CHECK, trace_hash(0, file, HEAD_CHECK));
}

static void seal_chunk(uint8_t *chunk, size_t len)
{
    le32_put(chunk + CHUNK_MAGIC, CHUNK_MARK);
    le32_put(chunk + CHUNK_LENGTH, (uint32_t)len);
    memset(chunk + CHUNK_CHECK, 0, CHUNK_DATA - CHUNK_CHECK);
    le64_put(chunk + CHUNK_CHECK, trace_hash(trace_hash(0, chunk, CHUNK_CHECK), chunk + CHUNK_DATA, len));
}

/* A file whose checksums are wrong is refused at once: put them right, chunk after chunk, as its lengths say. */
static void repair(uint8_t *file, size_t len, unsigned how)
{
    if (len < TRACE_HEAD_BYTES)
        return;
    seal_head(file, how);
    for (size_t at = TRACE_HEAD_BYTES; len - at >= TRACE_CHUNK_HEAD_BYTES;) {
        size_t n = le32_get(file + at + CHUNK_LENGTH), room = len - at - TRACE_CHUNK_HEAD_BYTES;
        n = n < room ? n : room;
        seal_chunk(file + at, n);
        at += TRACE_CHUNK_HEAD_BYTES + n;
    }
}

/* Entries of a recorded session up to READY. */
static void record_head(void)
{
    struct memory_sink sink;
    struct trace_entry e = { 0 };
    static struct trace_reader reader;
    unsigned lines;
    memory_sink_init(&sink);
    session_record(&sink, 0, 0, &lines);
    if (memory_reader(&reader, &sink))
        fuzz_bug("trace: can't read a recorded session");
    while (e.kind != TRACE_READY) {
        if (trace_reader_next(&reader, &e) != 1)
            fuzz_bug("trace: a session without a beginning");
    }
    t.head_len = reader.pos;
    if (reader.chunk_at != ENTRIES_AT || t.head_len > sizeof(t.head))
        fuzz_bug("trace: its beginning has %zu bytes", t.head_len);
    memcpy(t.head, sink.data + ENTRIES_AT, t.head_len);
    memory_sink_free(&sink);
}

static size_t make_file(unsigned how, const uint8_t *data, size_t len)
{
    uint8_t *to = t.file + ENTRIES_AT;
    memset(t.file, 0, ENTRIES_AT);
    if (how & IS_FILE) {
        len = len < sizeof(t.file) ? len : sizeof(t.file);
        memcpy(t.file, data, len);
        if (!(how & IS_BARE))
            repair(t.file, len, how);
        return len;
    }
    if (!(how & IS_BARE)) {
        memcpy(to, t.head, t.head_len);
        to += t.head_len;
    }
    size_t room = (size_t)(t.file + sizeof(t.file) - to) - END_BYTES;
    len = len < room ? len : room;
    memcpy(to, data, len);
    to += len;
    *to++ = TRACE_END;
    *to++ = 0;
    seal_head(t.file, how);
    seal_chunk(t.file + TRACE_HEAD_BYTES, (size_t)(to - t.file) - ENTRIES_AT);
    return (size_t)(to - t.file);
}

/* --- The commands --- */

static int memory_file(const char *name, char path[PATH_BYTES])
{
    int fd = memfd_create(name, 0);
    if (fd < 0)
        fuzz_bug("trace: no file in memory");
    (void)snprintf(path, PATH_BYTES, "/proc/self/fd/%d", fd);
    return fd;
}

static void prepare(void)
{
    if (t.nowhere)
        return;
    t.nowhere = fopen("/dev/null", "w");
    if (!t.nowhere)
        fuzz_bug("trace: no /dev/null");
    t.in = memory_file("trace", t.in_path);
    t.out = memory_file("part", t.out_path);
    record_head();
}

static int dump(const char *path)
{
    return trace_main(4, (char *[]){ "thindm", "trace", "dump", (char *)(uintptr_t)path, NULL });
}

/* What was cut out can be read again. */
static void part(char *argv[], int argc)
{
    if (trace_main(argc, argv) == 0 && dump(t.out_path) != 0)
        fuzz_bug("trace: what %s wrote can't be read", argv[2]);
}

static void command(unsigned what, unsigned n)
{
    char bounds[32];
    (void)snprintf(bounds, sizeof(bounds), "%u-%u", n, n + (n & 0x3f) * 4);
    switch (what) {
    case DO_DUMP: (void)dump(t.in_path); break;
    case DO_QTEST: (void)trace_main(4, (char *[]){ "thindm", "trace", "qtest", t.in_path, NULL }); break;
    case DO_CUT: part((char *[]){ "thindm", "trace", "cut", t.in_path, bounds, t.out_path, NULL }, 6); break;
    case DO_PORTS:
        (void)snprintf(bounds, sizeof(bounds), "%u-0x3ff", n * 2);
        part((char *[]){ "thindm", "trace", "filter", t.in_path, "port", bounds, t.out_path, NULL }, 7);
        break;
    case DO_MEMORY:
        (void)snprintf(bounds, sizeof(bounds), "0xa0000-0x%x", 0xa0000 + n * 4096);
        part((char *[]){ "thindm", "trace", "filter", t.in_path, "memory", bounds, t.out_path, NULL }, 7);
        break;
    case DO_FUNCTIONS: part((char *[]){ "thindm", "trace", "filter", t.in_path, "pci", bounds, t.out_path, NULL }, 7); break;
    default:
        fuzz_heap_fail(what == DO_REPLAY_POOR ? n : 0);
        (void)replay_main(4, (char *[]){ "thindm", "replay", "-v", t.in_path, NULL });
        fuzz_heap_fail(0);
    }
}

void fuzz_trace_run(const struct fuzz_target *target, const uint8_t *data, size_t len)
{
    prepare();
    if (len < 2)
        return;
    size_t file_len = make_file(data[0], data + 2, len - 2);
    if (ftruncate(t.in, 0) || pwrite(t.in, t.file, file_len, 0) != (ssize_t)file_len)
        fuzz_bug("trace: can't write the file");
    FILE *out = stdout, *err = stderr;
    stdout = stderr = t.nowhere; /* the sanitizer's reports don't go by these */
    command(data[0] & DO_MASK, data[1]);
    stdout = out;
    stderr = err;
}

void fuzz_trace_finish(const struct fuzz_target *target)
{
    if (!t.nowhere)
        return;
    (void)fclose(t.nowhere);
    (void)close(t.in);
    (void)close(t.out);
    t.nowhere = NULL;
}
