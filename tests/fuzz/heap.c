/*
 * The heap under a kept board: what its blocks held once is put back after each input, and an allocation can be made to fail. The
 * programs are linked with --wrap for these calls, so that all objects of thindm come here, and the sanitizer's allocator behind
 * it still guards every block. A block of the board that an input frees is poisoned until it is put back; what an input
 * allocates and doesn't free goes with the input.
 */
#include "fuzz.h"

#include <sanitizer/asan_interface.h>
#include <stdlib.h>
#include <string.h>

/*
 * The inside of a longer run of zeros is a transfer buffer: what an input left in it no other gets to see, and to compare it takes
 * long. Its ends may be state that happens to be zero.
 */
enum { BUFFER_BYTES = 64 << 10, BUFFER_END_BYTES = 8 << 10 };
enum { MAX_BLOCKS = 256, MAX_OTHERS = 64, CHUNK_BYTES = 1024, MAX_CHUNKS = 1024 };

struct kept_block {
    uint8_t *at;
    size_t bytes;
    bool freed; /* by the present input */
};

static struct {
    enum { HEAP_IDLE, HEAP_RECORDS, HEAP_KEPT, HEAP_RUNS } state;
    struct kept_block blocks[MAX_BLOCKS];
    unsigned nr_blocks;
    /* Pieces of them, with what they held. */
    struct chunk {
        uint8_t *at;
        size_t bytes;
    } chunks[MAX_CHUNKS];
    uint8_t images[MAX_CHUNKS][CHUNK_BYTES];
    unsigned nr_chunks;
    void *others[MAX_OTHERS]; /* allocated by the present input */
    unsigned nr_others;
    bool too_many, any_freed;
    uint64_t fail_at; /* the allocation that fails, counted from 1; 0: none */
} heap;

/* The linker makes these names. */
void *__real_malloc(size_t bytes);
void *__real_calloc(size_t nr, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void __real_free(void *at);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t nr, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
void __wrap_free(void *at);

/* --- Allocation --- */

static bool fails(void)
{
    return heap.fail_at > 0 && --heap.fail_at == 0;
}

static void *came(void *at, size_t bytes)
{
    if (at && heap.state == HEAP_RECORDS) {
        if (heap.nr_blocks == MAX_BLOCKS)
            fuzz_bug("a board of more than %d blocks", MAX_BLOCKS);
        heap.blocks[heap.nr_blocks++] = (struct kept_block){ .at = at, .bytes = bytes };
    }
    if (at && heap.state == HEAP_RUNS) {
        if (heap.nr_others < MAX_OTHERS)
            heap.others[heap.nr_others++] = at;
        else
            heap.too_many = true;
    }
    return at;
}

static struct kept_block *find(const void *at)
{
    for (unsigned i = 0; at && heap.state != HEAP_IDLE && i < heap.nr_blocks; i++) {
        if (heap.blocks[i].at == at)
            return &heap.blocks[i];
    }
    return NULL;
}

static void forget_other(const void *at)
{
    for (unsigned i = 0; i < heap.nr_others; i++) {
        if (heap.others[i] == at) {
            heap.others[i] = heap.others[--heap.nr_others];
            return;
        }
    }
}

void *__wrap_malloc(size_t bytes)
{
    return fails() ? NULL : came(__real_malloc(bytes), bytes);
}

void *__wrap_calloc(size_t nr, size_t bytes)
{
    return fails() ? NULL : came(__real_calloc(nr, bytes), nr * bytes);
}

void __wrap_free(void *at)
{
    struct kept_block *block = find(at);
    if (block && heap.state == HEAP_RUNS) {
        if (block->freed)
            fuzz_bug("freed twice");
        block->freed = heap.any_freed = true;
        ASAN_POISON_MEMORY_REGION(block->at, block->bytes);
        return;
    }
    if (block && heap.state == HEAP_RECORDS)
        *block = heap.blocks[--heap.nr_blocks];
    forget_other(at);
    __real_free(at);
}

void *__wrap_realloc(void *old, size_t bytes)
{
    struct kept_block *block = find(old);
    if (fails())
        return NULL;
    if (!block) {
        forget_other(old);
        return came(__real_realloc(old, bytes), bytes);
    }
    void *at = came(__real_malloc(bytes), bytes);
    if (at) {
        memcpy(at, old, (size_t)min_u64(block->bytes, bytes));
        __wrap_free(old);
    }
    return at;
}

void fuzz_heap_fail(uint64_t nth)
{
    heap.fail_at = nth;
}

/* --- Images --- */

void fuzz_heap_record(void)
{
    heap.nr_blocks = heap.nr_chunks = heap.nr_others = 0;
    heap.too_many = heap.any_freed = false;
    heap.state = HEAP_RECORDS;
}

/* How many whole chunks of zeros are at at, in bytes. */
static size_t zeros(const uint8_t *at, size_t len)
{
    static const uint8_t zero[CHUNK_BYTES];
    size_t n = 0;
    while (len - n >= CHUNK_BYTES && memcmp(at + n, zero, CHUNK_BYTES) == 0)
        n += CHUNK_BYTES;
    return n;
}

static void keep_chunks(const struct kept_block *block, size_t from, size_t to)
{
    for (size_t n; from < to; from += n) {
        n = (size_t)min_u64(to - from, CHUNK_BYTES);
        if (heap.nr_chunks == MAX_CHUNKS)
            fuzz_bug("a board of more than %d KiB", MAX_CHUNKS * CHUNK_BYTES >> 10);
        memcpy(heap.images[heap.nr_chunks], block->at + from, n);
        heap.chunks[heap.nr_chunks++] = (struct chunk){ block->at + from, n };
    }
}

static void keep_block(const struct kept_block *block)
{
    for (size_t at = 0, run; at < block->bytes; at += run) {
        run = zeros(block->at + at, block->bytes - at);
        if (run > BUFFER_BYTES) {
            keep_chunks(block, at, at + BUFFER_END_BYTES);
            keep_chunks(block, at + run - BUFFER_END_BYTES, at + run);
            continue;
        }
        if (run == 0)
            run = (size_t)min_u64(block->bytes - at, CHUNK_BYTES);
        keep_chunks(block, at, at + run);
    }
}

void fuzz_heap_keep(void)
{
    for (unsigned i = 0; i < heap.nr_blocks; i++)
        keep_block(&heap.blocks[i]);
    heap.state = HEAP_KEPT;
}

void fuzz_heap_run(void)
{
    if (heap.state == HEAP_KEPT)
        heap.state = HEAP_RUNS;
}

static void put_back_freed(void)
{
    for (unsigned i = 0; i < heap.nr_blocks; i++) {
        if (heap.blocks[i].freed)
            ASAN_UNPOISON_MEMORY_REGION(heap.blocks[i].at, heap.blocks[i].bytes);
        heap.blocks[i].freed = false;
    }
    heap.any_freed = false;
}

/* memcmp() without the sanitizer's look at every byte: it would take as long as a short input. bytes up to CHUNK_BYTES. */
__attribute__((no_sanitize("address", "undefined"))) static bool differs(const uint8_t *a, const uint8_t *b, size_t bytes)
{
    uint64_t diff = 0;
    size_t words = bytes / sizeof(uint64_t);
    for (size_t i = 0; i < words; i++) {
        uint64_t was, is;
        __builtin_memcpy(&is, a + i * sizeof(is), sizeof(is));
        __builtin_memcpy(&was, b + i * sizeof(was), sizeof(was));
        diff |= is ^ was;
    }
    for (size_t i = words * sizeof(uint64_t); i < bytes; i++)
        diff |= (uint64_t)(a[i] ^ b[i]);
    return diff;
}

bool fuzz_heap_restore(void)
{
    if (heap.state != HEAP_RUNS || heap.too_many || (fuzz_check_reset && (heap.any_freed || heap.nr_others > 0)))
        return false;
    heap.state = HEAP_KEPT;
    while (heap.nr_others > 0)
        __real_free(heap.others[--heap.nr_others]);
    if (heap.any_freed)
        put_back_freed();
    for (unsigned i = 0; i < heap.nr_chunks; i++) {
        const struct chunk *c = &heap.chunks[i];
        if (differs(c->at, heap.images[i], c->bytes))
            memcpy(c->at, heap.images[i], c->bytes);
    }
    return true;
}

void fuzz_heap_forget(void)
{
    for (unsigned i = 0; i < heap.nr_blocks; i++) {
        if (heap.blocks[i].freed)
            __real_free(heap.blocks[i].at);
    }
    heap.nr_blocks = heap.nr_others = 0;
    heap.state = HEAP_IDLE;
}
