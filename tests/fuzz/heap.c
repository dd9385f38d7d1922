/*
 * The heap under a kept board: what its blocks held once is put back after each input, and an allocation can be made to fail. The
 * programs are linked with --wrap for these calls, so that all objects of thindm come here, and the sanitizer's allocator behind
 * it still guards every block.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

/*
 * The inside of a longer run of zeros is a transfer buffer: what an input left in it no other gets to see, and to compare it takes
 * long. Its ends may be state that happens to be zero.
 */
enum { BUFFER_BYTES = 64 << 10, BUFFER_END_BYTES = 8 << 10 };
enum { MAX_BLOCKS = 256, CHUNK_BYTES = 1024, MAX_CHUNKS = 4096 };

struct kept_block {
    uint8_t *at, *image;
    size_t bytes;
};

struct chunk {
    uint8_t *at;
    const uint8_t *image;
    size_t bytes;
};

static struct {
    struct kept_block blocks[MAX_BLOCKS];
    struct chunk chunks[MAX_CHUNKS];
    unsigned nr_blocks, nr_chunks;
    bool recording, kept;
    bool changed;     /* since the images were taken a block of the board went away */
    size_t others;    /* blocks allocated since then that are still there */
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
    if (at && heap.kept)
        heap.others++;
    if (!at || !heap.recording)
        return at;
    if (heap.nr_blocks == MAX_BLOCKS)
        fuzz_bug("a board of more than %d blocks", MAX_BLOCKS);
    heap.blocks[heap.nr_blocks++] = (struct kept_block){ .at = at, .bytes = bytes };
    return at;
}

static void goes(const void *at)
{
    unsigned i = 0;
    if (!at || (!heap.recording && !heap.kept))
        return;
    while (i < heap.nr_blocks && heap.blocks[i].at != at)
        i++;
    if (heap.kept) {
        heap.changed |= i < heap.nr_blocks;
        heap.others -= i == heap.nr_blocks;
    } else if (i < heap.nr_blocks) {
        heap.blocks[i] = heap.blocks[--heap.nr_blocks];
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

void *__wrap_realloc(void *old, size_t bytes)
{
    if (fails())
        return NULL;
    void *at = __real_realloc(old, bytes);
    if (at)
        goes(old);
    return came(at, bytes);
}

void __wrap_free(void *at)
{
    goes(at);
    __real_free(at);
}

void fuzz_heap_fail(uint64_t nth)
{
    heap.fail_at = nth;
}

/* --- Images --- */

void fuzz_heap_record(void)
{
    fuzz_heap_forget();
    heap.recording = true;
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
        heap.chunks[heap.nr_chunks++] = (struct chunk){ block->at + from, block->image + from, n };
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
    heap.recording = false;
    for (unsigned i = 0; i < heap.nr_blocks; i++) {
        struct kept_block *block = &heap.blocks[i];
        block->image = __real_malloc(block->bytes);
        if (!block->image)
            fuzz_bug("no memory for images");
        memcpy(block->image, block->at, block->bytes);
        keep_block(block);
    }
    heap.kept = true;
}

bool fuzz_heap_restore(void)
{
    if (!heap.kept || heap.changed || heap.others > 0)
        return false;
    for (unsigned i = 0; i < heap.nr_chunks; i++) {
        const struct chunk *c = &heap.chunks[i];
        if (memcmp(c->at, c->image, c->bytes) != 0)
            memcpy(c->at, c->image, c->bytes);
    }
    return true;
}

void fuzz_heap_forget(void)
{
    for (unsigned i = 0; i < heap.nr_blocks; i++)
        __real_free(heap.blocks[i].image);
    heap.nr_blocks = heap.nr_chunks = 0;
    heap.others = 0;
    heap.recording = heap.kept = heap.changed = false;
}
