/* Pages and the C library's heap: see heap.h and mm.h. */
#include "heap.h"

#include <string.h>
#include <thindm/util.h>

#include "mm-private.h"
#include "mm.h"

enum { WORD_BITS = 64 };

static struct {
    uint8_t *base;
    size_t nr, free;
    uint64_t *used;       /* one bit a page */
    size_t heap_begin;    /* first page of the heap */
    size_t low_hint;      /* from here up to the heap no page is free */
    size_t high_hint;     /* nor from here on */
    size_t heap_bytes;    /* in use by the C library */
    size_t heap_capacity; /* pages that it has */
} pages;

static bool is_used(size_t page)
{
    return pages.used[page / WORD_BITS] >> (page % WORD_BITS) & 1;
}

/* A word at a time: most of a large guest is marked at once. */
static void mark(size_t first, size_t nr, bool used)
{
    for (size_t i = first, n; i < first + nr; i += n) {
        n = min_u64(first + nr - i, WORD_BITS - i % WORD_BITS);
        uint64_t bits = UINT64_MAX >> (WORD_BITS - n) << (i % WORD_BITS);
        pages.used[i / WORD_BITS] = used ? pages.used[i / WORD_BITS] | bits : pages.used[i / WORD_BITS] & ~bits;
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
    pages.low_hint = max_u64(pages.low_hint, min_u64(first + nr, pages.heap_begin));
    pages.high_hint = max_u64(pages.high_hint, first + nr);
}

bool heap_take(size_t first, size_t nr)
{
    for (size_t i = first; i < first + nr; i++) {
        if (is_used(i))
            return false;
    }
    mark(first, nr, true);
    return true;
}

/* nr free pages within begin to *hint, as high as there are. */
static void *find(size_t begin, size_t *hint, size_t nr)
{
    while (*hint > begin && is_used(*hint - 1))
        --*hint;
    size_t run = 0;
    for (size_t i = *hint; i > begin; i--) {
        run = is_used(i - 1) ? 0 : run + 1;
        if (run == nr)
            return take(i - 1, nr) ? pages.base + (i - 1) * PAGE_BYTES : NULL;
    }
    return NULL;
}

void *page_alloc(size_t nr)
{
    if (nr == 0 || nr > pages.free)
        return NULL;
    void *found = find(0, &pages.low_hint, nr);
    if (!found)
        found = find(pages.heap_begin, &pages.high_hint, nr);
    return found ? memset(found, 0, nr * PAGE_BYTES) : NULL;
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

void heap_settle(void)
{
    size_t best_nr = 0, run = 0;
    for (size_t i = 0, n; i < pages.nr; i += n) {
        bool whole = i % WORD_BITS == 0 && pages.nr - i >= WORD_BITS && pages.used[i / WORD_BITS] == 0;
        n = whole ? WORD_BITS : 1;
        run = whole || !is_used(i) ? run + n : 0;
        if (run > best_nr) {
            best_nr = run;
            pages.heap_begin = i + n - run;
        }
    }
    pages.low_hint = pages.heap_begin;
}

void *heap_grow(ptrdiff_t increment)
{
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
