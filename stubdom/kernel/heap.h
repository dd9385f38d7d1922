/*
 * Who has which page of our memory. Pages are numbered from the image's begin on; mm.c says which there are. The C
 * library's heap grows upwards from the begin of the largest free run; page_alloc() takes what lies below that, then
 * from the top.
 */
#ifndef THINDM_HEAP_H
#define THINDM_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How many bytes heap_init() wants for nr pages. */
size_t heap_map_bytes(size_t nr);
/* Of the nr pages from base on none is free; map is the memory for the list of them. */
void heap_init(void *base, size_t nr, void *map);
/* These pages are free. */
void heap_give(size_t first, size_t nr);
/* These pages are in use from now on. false: one of them is already. */
bool heap_take(size_t first, size_t nr);
/* All pages that the heap may grow into are known. */
void heap_settle(void);
/* sbrk(): the old end of the heap, or NULL: no memory, or the heap does not reach that low. */
void *heap_grow(ptrdiff_t increment);

#endif
