/* Pages and the C library's heap: see heap.h and mm.h. */
#include "heap.h"

#include <stdbool.h>
#include <string.h>
#include <thindm/util.h>

#include "mm-private.h"
#include "mm.h"

enum { WORD_BITS = 64 };

static struct {
    uint8_t *base;
    size_t nr, free;
    uint64_t *used;       /* one bit a page */
    size_t hint;          /* no page from here on is free */
    size_t heap_begin;    /* first page of the heap; 0: there is none yet */
    size_t heap_bytes;    /* in use by the C library */
    size_t heap_capacity; /* pages that it has */
} pages;

static bool is_used(size_t page)
{
    return pages.used[page / WORD_BITS] >> (page % WORD_BITS) & 1;
}

static void mark(size_t first, size_t nr, bool used)
{
    for (size_t i = first; i < first + nr; i++) {
        uint64_t bit = UINT64_C(1) << (i % WORD_BITS);
        pages.used[i / WORD_BITS] = used ? pages.used[i / WORD_BITS] | bit : pages.used[i / WORD_BITS] & ~bit;
    }
    pages.free = used ? pages.free - nr : pages.free + nr;
}

/* The same for what the page tables have to follow. */
static bool take(size_t first, size_t nr)
{
    if (!mm_back(pages.base + first * PAGE_BYTES, nr))
        return false;
    mark(first, nr, true);
    return true;
}

size_t heap_map_bytes(size_t nr)
{
    return (nr + WORD_BITS - 1) / WORD_BITS * sizeof(uint64_t);
}

void heap_init(void *base, size_t nr, void *map)
{
    memset(map, 0xff, heap_map_bytes(nr));
    memset(&pages, 0, sizeof(pages));
    pages.base = base;
    pages.nr = nr;
    pages.used = map;
}

void heap_give(size_t first, size_t nr)
{
    mark(first, nr, false);
    if (first + nr > pages.hint)
        pages.hint = first + nr;
}

void *heap_take_lowest(size_t end)
{
    for (size_t i = 0; i < end && i < pages.nr; i++) {
        if (!is_used(i)) {
            mark(i, 1, true);
            return pages.base + i * PAGE_BYTES;
        }
    }
    return NULL;
}

void *page_alloc(size_t nr)
{
    if (nr == 0 || nr > pages.free)
        return NULL;
    while (pages.hint > 0 && is_used(pages.hint - 1))
        pages.hint--;
    size_t run = 0;
    for (size_t i = pages.hint; i > 0; i--) {
        run = is_used(i - 1) ? 0 : run + 1;
        if (run == nr) {
            void *found = pages.base + (i - 1) * PAGE_BYTES;
            return take(i - 1, nr) ? memset(found, 0, nr * PAGE_BYTES) : NULL;
        }
    }
    return NULL;
}

void page_free(void *at, size_t nr)
{
    if (at)
        heap_give((size_t)((uint8_t *)at - pages.base) / PAGE_BYTES, nr);
}

size_t pages_free(void)
{
    return pages.free;
}

static size_t largest_free_run(void)
{
    size_t best = 0, best_nr = 0, run = 0;
    for (size_t i = 0; i < pages.nr; i++) {
        run = is_used(i) ? 0 : run + 1;
        if (run > best_nr) {
            best_nr = run;
            best = i + 1 - run;
        }
    }
    return best;
}

void *heap_grow(ptrdiff_t increment)
{
    if (pages.heap_begin == 0)
        pages.heap_begin = largest_free_run();
    uint8_t *begin = pages.base + pages.heap_begin * PAGE_BYTES, *old = begin + pages.heap_bytes;
    if (increment < 0) {
        size_t less = (size_t)-increment;
        if (less > pages.heap_bytes)
            return NULL;
        pages.heap_bytes -= less;
        return old;
    }
    if ((size_t)increment > pages.nr * PAGE_BYTES)
        return NULL;
    size_t want = (pages.heap_bytes + (size_t)increment + PAGE_BYTES - 1) / PAGE_BYTES;
    for (size_t i = pages.heap_capacity; i < want; i++) {
        if (pages.heap_begin + i >= pages.nr || is_used(pages.heap_begin + i))
            return NULL;
    }
    if (want > pages.heap_capacity) {
        if (!take(pages.heap_begin + pages.heap_capacity, want - pages.heap_capacity))
            return NULL;
        pages.heap_capacity = want;
    }
    pages.heap_bytes += (size_t)increment;
    return old;
}
