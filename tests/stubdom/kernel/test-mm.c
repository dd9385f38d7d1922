/* Page tables, pages, the C library's heap and windows, on the machine of machine.c, which aborts on what Xen refuses.
 */
#include "../../../stubdom/kernel/heap.h"
#include "../../../stubdom/kernel/mm.h"
#include "machine.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <thindm/util.h>

#include <cmocka.h>

enum { PAGES = 1536, MAPPED = 256 };

static int start(void **state)
{
    machine_start(PAGES, MAPPED);
    return mm_init(&machine.boot) ? 0 : -1;
}

static int finish(void **state)
{
    machine_finish();
    return 0;
}

static uint64_t entry_of_page(size_t page)
{
    return machine_entry(machine.memory + page * PAGE_BYTES);
}

static void image_is_protected(void **state)
{
    for (size_t page = 0; page < MACHINE_IMAGE; page++) {
        uint64_t entry = entry_of_page(page), kind = entry & (PTE_PRESENT | PTE_WRITABLE | PTE_NX);
        if (page == machine.boot.guard || page == machine.boot.guard + 1)
            assert_int_equal(entry, 0);
        else if (page < machine.boot.text_end)
            assert_int_equal(kind, PTE_PRESENT);
        else if (page < machine.boot.const_end)
            assert_int_equal(kind, PTE_PRESENT | PTE_NX);
        else
            assert_int_equal(kind, PTE_PRESENT | PTE_WRITABLE | PTE_NX);
    }
    assert_true(machine.flushes > 0);
}

static void page_tables_stay_read_only(void **state)
{
    for (size_t page = MACHINE_IMAGE; page < machine.boot.first_free; page++)
        assert_int_equal(entry_of_page(page) & (PTE_WRITABLE | PTE_NX), PTE_NX);
}

/* The rest of the chunk that the loader began is mapped, further memory is not before somebody wants it. */
static void memory_is_mapped_when_wanted(void **state)
{
    assert_true(entry_of_page(MAPPED) & PTE_PRESENT);
    assert_true(entry_of_page(511) & PTE_PRESENT);
    assert_int_equal(entry_of_page(512), 0);
    assert_int_equal(entry_of_page(PAGES - 1), 0);
    uint8_t *page = page_alloc(1);
    assert_ptr_equal(page, machine.memory + (PAGES - 1) * PAGE_BYTES);
    assert_int_equal(entry_of_page(PAGES - 1) >> PAGE_SHIFT & 0xffffffff, machine.frames[PAGES - 1]);
    assert_int_equal(page_frame(page), machine.frames[PAGES - 1]);
    assert_int_equal(entry_of_page(512), 0);
}

static void pages_come_zeroed_and_go_back(void **state)
{
    size_t before = pages_free();
    uint8_t *run = page_alloc(3), *one;
    assert_int_equal(pages_free(), before - 3);
    memset(run, 0xff, 3 * PAGE_BYTES);
    page_free(run + PAGE_BYTES, 1);
    one = page_alloc(1);
    assert_ptr_equal(one, run + PAGE_BYTES);
    assert_int_equal(one[0], 0);
    assert_int_equal(one[PAGE_BYTES - 1], 0);
    page_free(run, 3);
    assert_int_equal(pages_free(), before);
    page_free(NULL, 1);
}

static void too_much_is_refused(void **state)
{
    assert_null(page_alloc(0));
    assert_null(page_alloc(PAGES));
    assert_null(page_alloc(SIZE_MAX));
    while (page_alloc(1))
        continue;
    assert_int_equal(pages_free(), 0);
    assert_null(window_alloc(1)); /* no table to be had */
}

static void heap_grows_and_shrinks_in_one_piece(void **state)
{
    char *begin = heap_grow(0), *next = heap_grow(100);
    assert_ptr_equal(next, begin);
    assert_ptr_equal(heap_grow(5000), begin + 100);
    memset(begin, 1, 5100);
    assert_ptr_equal(heap_grow(-5000), begin + 5100);
    assert_ptr_equal(heap_grow(0), begin + 100);
    assert_null(heap_grow(-101));
    assert_null(heap_grow(PTRDIFF_MAX));
    assert_null(heap_grow((ptrdiff_t)PAGES * PAGE_BYTES));
    assert_ptr_equal(heap_grow(0), begin + 100);
}

static void heap_and_pages_meet_but_do_not_overlap(void **state)
{
    char *begin = heap_grow(0), *lowest = NULL, *page;
    while ((page = page_alloc(1)))
        lowest = page;
    assert_ptr_equal(lowest, begin);
    assert_null(heap_grow(1));
    page_free(lowest, 1);
    assert_ptr_equal(heap_grow(PAGE_BYTES), begin);
    assert_null(heap_grow(1));
}

/* What shares its table with pages that stay must stay as well: they are mapped together. */
static void unused_memory_goes_back(void **state)
{
    uint8_t *high = page_alloc(1); /* and with it a chunk gets mapped */
    size_t before = pages_free();
    assert_int_equal(pages_give_back(before), 0);
    assert_int_equal(pages_give_back(before - 511), 0);
    assert_int_equal(pages_give_back(before - 512), 512);
    assert_int_equal(pages_free(), before - 512);
    assert_int_equal(pages_give_back(0), 0);
    assert_int_equal(machine.given_back, 512);
    high[0] = 1;
    while ((high = page_alloc(1))) /* none of what is gone */
        high[0] = 1;
}

static void memory_in_use_stays(void **state)
{
    while ((size_t)((uint8_t *)heap_grow(0) - machine.memory) < PAGES / 2 * PAGE_BYTES)
        assert_non_null(heap_grow(PAGE_BYTES));
    assert_int_equal(pages_give_back(0), 512);
    while (heap_grow(PAGE_BYTES))
        continue;
    assert_int_equal(pages_free(), 0);
}

/* Tables for more memory never come out of the heap's way. */
static void heap_takes_all_of_a_large_guest(void **state)
{
    char *begin = heap_grow(0);
    size_t nr = pages_free();
    assert_ptr_equal(begin + nr * PAGE_BYTES, machine.memory + PAGES * PAGE_BYTES);
    for (size_t i = 0; i < nr; i++)
        *(char *)heap_grow(PAGE_BYTES) = 1;
    assert_int_equal(pages_free(), 0);
}

static void window_shows_what_xen_gives(void **state)
{
    enum { NR = 300 };
    static xen_pfn_t frames[NR];
    static int err[NR];
    uint8_t *window = window_alloc(NR);
    for (size_t i = 0; i < NR; i++) {
        frames[i] = 100 + i;
        err[i] = 1;
    }
    frames[17] = UINT64_MAX; /* a guest's nonsense must not become another frame */
    frames[18] = (UINT64_C(1) << 40) + 5;
    assert_int_equal(window_map(window, NR, frames, MACHINE_TARGET, WINDOW_GUEST, err), 0);
    for (size_t i = 0; i < NR; i++) {
        uint64_t entry = machine_entry(window + i * PAGE_BYTES);
        bool bad = frames[i] % 10 == 0 || frames[i] >= MACHINE_TARGET_PAGES;
        assert_int_equal(err[i], bad ? -EINVAL : 0);
        assert_int_equal(entry, bad ? 0 : machine_target_frame(frames[i]) << PAGE_SHIFT | PAGE_DATA);
    }
    unsigned flushes = machine.flushes;
    window_unmap(window, NR);
    assert_true(machine.flushes > flushes);
    for (size_t i = 0; i < NR; i++)
        assert_int_equal(machine_entry(window + i * PAGE_BYTES), 0);
}

static void one_bad_frame_costs_one_call(void **state)
{
    xen_pfn_t frames[5] = { 1, 10, 20, 2, 3 };
    int err[5];
    uint8_t *window = window_alloc(5);
    unsigned calls = machine.calls;
    assert_int_equal(window_map(window, 5, frames, MACHINE_TARGET, WINDOW_GUEST, err), 0);
    assert_int_equal(machine.calls - calls, 3);
}

static void resources_are_not_translated(void **state)
{
    xen_pfn_t frame = machine_target_frame(10);
    int err = 1;
    uint8_t *window = window_alloc(1);
    assert_int_equal(window_map(window, 1, &frame, MACHINE_TARGET, WINDOW_RESOURCE, &err), 0);
    assert_int_equal(err, 0);
    assert_int_equal(machine_entry(window) & PTE_FRAME, frame << PAGE_SHIFT);
}

static void other_domains_and_other_addresses_are_refused(void **state)
{
    xen_pfn_t frames[2] = { 1, 2 };
    int err[2];
    uint8_t *window = window_alloc(2);
    assert_int_equal(window_map(window, 2, frames, 0, WINDOW_GUEST, err), 0);
    assert_int_equal(err[0], -EPERM);
    assert_int_equal(err[1], -EPERM);
    assert_int_equal(window_map(machine.memory, 2, frames, MACHINE_TARGET, WINDOW_GUEST, err), -EINVAL);
    assert_int_equal(window_map(window, 3, frames, MACHINE_TARGET, WINDOW_GUEST, err), -EINVAL);
    assert_int_equal(window_map(window + 2 * PAGE_BYTES, 1, frames, MACHINE_TARGET, WINDOW_GUEST, err), -EINVAL);
    window_unmap(machine.memory, 1);
    assert_true(entry_of_page(0) & PTE_PRESENT);
}

/* Between any two windows is a page that faults. */
static void windows_keep_apart_and_are_reused(void **state)
{
    uint8_t *a = window_alloc(600), *b = window_alloc(1), *c = window_alloc(2);
    assert_ptr_equal(b, a + 601 * PAGE_BYTES);
    assert_ptr_equal(c, b + 2 * PAGE_BYTES);
    window_free(a, 600);
    uint8_t *d = window_alloc(601), *e = window_alloc(600);
    assert_ptr_equal(d, c + 3 * PAGE_BYTES);
    assert_ptr_equal(e, a);
    window_free(NULL, 1);
    assert_null(window_alloc(0));
    assert_null(window_alloc(SIZE_MAX));
    window_free(b, 1);
    window_free(c, 2);
    window_free(d, 601);
    window_free(e, 600);
    assert_ptr_equal(window_alloc(1), a);
    window_free(a, 1);
}

static int nothing(void **state)
{
    return 0;
}

static void ramdisk_is_kept(void **state)
{
    machine_start(PAGES, MAPPED);
    machine.boot.ramdisk = 600;
    machine.boot.nr_ramdisk = 50;
    machine.memory[600 * PAGE_BYTES] = 0x55;
    assert_true(mm_init(&machine.boot));
    assert_true(entry_of_page(600) & PTE_PRESENT);
    char *heap = heap_grow(0), *page = page_alloc(1);
    assert_ptr_equal(heap, machine.memory + 650 * PAGE_BYTES);
    assert_ptr_equal(page, machine.memory + 599 * PAGE_BYTES); /* leaves the heap its run */
    while ((page = page_alloc(1)))
        assert_true(page < (char *)machine.memory + 600 * PAGE_BYTES || page >= heap);
    assert_int_equal(machine.memory[600 * PAGE_BYTES], 0x55);
}

static void smallest_guest_has_memory(void **state)
{
    machine_start(64, 64);
    assert_true(mm_init(&machine.boot));
    assert_true(pages_free() > 10);
    assert_non_null(page_alloc(1));
    machine_finish();
    machine_start(64, MACHINE_IMAGE + 4);
    machine.boot.first_free = MACHINE_IMAGE + 4;
    assert_false(mm_init(&machine.boot));
}

/* Without Xen in between: tables of our own, which protect as those do. */
static void pvh_has_tables_of_its_own(void **state)
{
    machine_start(PAGES, MAPPED);
    struct mm_boot boot = machine.boot;
    boot.pvh = true;
    boot.base_frame = (uintptr_t)boot.base >> PAGE_SHIFT;
    boot.root = NULL;
    unsigned calls = machine.calls;
    assert_true(mm_init(&boot));
    assert_int_equal(machine.calls, calls);
    assert_true(machine.flushes > 0);
    for (size_t page = 0; page < boot.const_end; page++)
        assert_int_equal(*mm_entry(boot.base + page * PAGE_BYTES, false),
                         ((boot.base_frame + page) << PAGE_SHIFT) | (page < boot.text_end ? PAGE_CODE : PAGE_CONST));
    assert_int_equal(*mm_entry(boot.base + boot.guard * PAGE_BYTES, false), 0);
    assert_int_equal(*mm_entry(boot.base + (boot.guard + 1) * PAGE_BYTES, false), 0);
    assert_int_equal(*mm_entry(boot.base + (boot.guard + 2) * PAGE_BYTES, false) & PTE_PRESENT, PTE_PRESENT);
    assert_null(mm_entry(NULL, false));
    uint8_t *page = page_alloc(1);
    assert_int_equal(*mm_entry(page, false), (uintptr_t)page | PAGE_DATA);
    assert_int_equal(page_frame(page), (uintptr_t)page >> PAGE_SHIFT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(image_is_protected, start, finish),
        cmocka_unit_test_setup_teardown(page_tables_stay_read_only, start, finish),
        cmocka_unit_test_setup_teardown(memory_is_mapped_when_wanted, start, finish),
        cmocka_unit_test_setup_teardown(pages_come_zeroed_and_go_back, start, finish),
        cmocka_unit_test_setup_teardown(too_much_is_refused, start, finish),
        cmocka_unit_test_setup_teardown(heap_grows_and_shrinks_in_one_piece, start, finish),
        cmocka_unit_test_setup_teardown(heap_and_pages_meet_but_do_not_overlap, start, finish),
        cmocka_unit_test_setup_teardown(heap_takes_all_of_a_large_guest, start, finish),
        cmocka_unit_test_setup_teardown(unused_memory_goes_back, start, finish),
        cmocka_unit_test_setup_teardown(memory_in_use_stays, start, finish),
        cmocka_unit_test_setup_teardown(window_shows_what_xen_gives, start, finish),
        cmocka_unit_test_setup_teardown(one_bad_frame_costs_one_call, start, finish),
        cmocka_unit_test_setup_teardown(resources_are_not_translated, start, finish),
        cmocka_unit_test_setup_teardown(other_domains_and_other_addresses_are_refused, start, finish),
        cmocka_unit_test_setup_teardown(windows_keep_apart_and_are_reused, start, finish),
        cmocka_unit_test_setup_teardown(ramdisk_is_kept, nothing, finish),
        cmocka_unit_test_setup_teardown(smallest_guest_has_memory, nothing, finish),
        cmocka_unit_test_setup_teardown(pvh_has_tables_of_its_own, nothing, finish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
