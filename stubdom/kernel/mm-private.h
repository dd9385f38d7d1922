/* What mm.c and its neighbours share: how the loader left our memory, and page-table entries [AMD64 APM vol. 2, 5.3].
 */
#ifndef THINDM_MM_PRIVATE_H
#define THINDM_MM_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xen/xen.h>

#define PTE_PRESENT  UINT64_C(0x001)
#define PTE_WRITABLE UINT64_C(0x002)
#define PTE_USER     UINT64_C(0x004) /* a PV kernel runs in ring 3 */
#define PTE_ACCESSED UINT64_C(0x020)
#define PTE_DIRTY    UINT64_C(0x040)
#define PTE_NX       (UINT64_C(1) << 63)
#define PTE_FRAME    UINT64_C(0x000ffffffffff000)

enum { TABLE_ENTRIES = 512 };
/* -Wframe-larger-than in meson.build: no function jumps over them. */
enum { MM_GUARD_PAGES = 2 };

/* Kinds of pages. Nothing is both writable and executable. */
#define PAGE_CODE  (PTE_PRESENT | PTE_USER | PTE_ACCESSED)
#define PAGE_CONST (PAGE_CODE | PTE_NX)
#define PAGE_DATA  (PAGE_CONST | PTE_WRITABLE | PTE_DIRTY)

struct mm_boot {
    bool pvh;
    uint8_t *base;                  /* where page 0 of our memory is; the image begins there */
    size_t nr_pages;                /* of the domain, from there on */
    const xen_pfn_t *frames;        /* PV: the machine frame of each page */
    const xen_pfn_t *frame_to_page; /* PV: and back, for all frames of the machine */
    xen_pfn_t base_frame;           /* PVH: of page 0; the others follow */
    uint64_t *root;                 /* PV: the top page table */
    size_t text_end, const_end;     /* pages of the image: code, then constants, then data */
    size_t guard;                   /* the first of MM_GUARD_PAGES below the stack */
    size_t first_free;              /* page behind all that the loader put into what it mapped */
    size_t ramdisk, nr_ramdisk;     /* its pages, wherever they are */
};

/*
 * Protects what the loader mapped and fills the list of free pages; of those that it did not map, each gets into the
 * page tables when somebody wants it. false: not enough memory.
 */
bool mm_init(const struct mm_boot *boot);
/* These pages of ours are in use from now on. false: no memory for tables. */
bool mm_back(const void *at, size_t nr);
/* The lowest page-table entry of a page, for reading; with make its tables are added. NULL: there is none, or no
 * memory. */
uint64_t *mm_entry(const void *at, bool make);
/* For updates by Xen: its machine address. */
uint64_t mm_entry_address(const uint64_t *entry);
/* Writes consecutive entries, all of one table, in one call. */
void mm_write(uint64_t *entry, const uint64_t *values, size_t nr);
void mm_flush(void);
bool mm_is_pvh(void);
/* Calls fn for each page that is mapped; for the self-test. */
void mm_walk(void (*fn)(void *opaque, uintptr_t at, uint64_t entry), void *opaque);

/* boot-pvh.c's: the processor uses these tables from now on. */
void pvh_load_root(xen_pfn_t frame);

#endif
