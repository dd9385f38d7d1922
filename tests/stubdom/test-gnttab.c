/* The grant table, against an array that plays Xen's. */
#include "fake.h"

#include "../../stubdom/kernel/mm.h"
#include <errno.h>
#include <rig.h>
#include <stdlib.h>
#include <string.h>

enum { PER_FRAME = PAGE_BYTES / sizeof(struct grant_entry_v1) };

static int set_up(void **state)
{
    fakexen_init();
    return 0;
}

static int tear_down(void **state)
{
    fakexen_finish();
    return 0;
}

static const struct grant_entry_v1 *entry(grant_ref_t ref)
{
    assert_in_range(ref / PER_FRAME, 0, fakexen.table_frames - 1);
    return &fakexen.table[ref / PER_FRAME][ref % PER_FRAME];
}

/* [grant_table.h, "Introducing a valid entry into the grant table"] */
static void a_grant_names_domain_and_frame(void **state)
{
    uint8_t *pages = page_alloc(2);
    grant_ref_t ref, other;
    assert_int_equal(gnttab_grant(3, pages, false, &ref), 0);
    assert_int_equal(entry(ref)->domid, 3);
    assert_int_equal(entry(ref)->frame, page_frame(pages));
    assert_int_equal(entry(ref)->flags, GTF_permit_access);
    assert_int_equal(gnttab_grant(4, pages + PAGE_BYTES, true, &other), 0);
    assert_int_not_equal(ref, other);
    assert_int_equal(entry(other)->domid, 4);
    assert_int_equal(entry(other)->frame, page_frame(pages) + 1);
    assert_int_equal(entry(other)->flags, GTF_permit_access | GTF_readonly);
    assert_int_equal(gnttab_revoke(ref), 0);
    assert_int_equal(entry(ref)->flags, 0);
    assert_int_equal(gnttab_revoke(other), 0);
    page_free(pages, 2);
}

static void the_toolstack_s_entries_stay(void **state)
{
    uint8_t *page = page_alloc(1);
    fakexen.table[0][GNTTAB_RESERVED_CONSOLE] = (struct grant_entry_v1){ GTF_permit_access, 1, 2 };
    fakexen.table[0][GNTTAB_RESERVED_XENSTORE] = (struct grant_entry_v1){ GTF_permit_access, 3, 4 };
    for (unsigned i = GNTTAB_NR_RESERVED_ENTRIES; i < PER_FRAME; i++) {
        grant_ref_t ref;
        assert_int_equal(gnttab_grant(0, page, false, &ref), 0);
        assert_in_range(ref, GNTTAB_NR_RESERVED_ENTRIES, PER_FRAME - 1);
    }
    assert_int_equal(fakexen.table_frames, 1);
    assert_int_equal(fakexen.table[0][GNTTAB_RESERVED_CONSOLE].domid, 1);
    assert_int_equal(fakexen.table[0][GNTTAB_RESERVED_XENSTORE].frame, 4);
    for (unsigned i = 2; i < GNTTAB_NR_RESERVED_ENTRIES; i++)
        assert_int_equal(fakexen.table[0][i].flags, 0);
}

/* What the other domain has mapped stays granted, and its reference isn't given to anybody else. */
static void a_page_in_use_is_not_taken_back(void **state)
{
    uint8_t *pages = page_alloc(2);
    grant_ref_t ref, other;
    assert_int_equal(gnttab_grant(0, pages, false, &ref), 0);
    assert_ptr_equal(fakexen_map(ref, true), pages);
    assert_int_equal(gnttab_revoke(ref), -EBUSY);
    assert_int_equal(entry(ref)->frame, page_frame(pages));
    for (unsigned i = 0; i < 2 * PER_FRAME; i++) {
        assert_int_equal(gnttab_grant(0, pages + PAGE_BYTES, false, &other), 0);
        assert_int_not_equal(other, ref);
    }
    fakexen_unmap(ref);
    assert_int_equal(gnttab_revoke(ref), 0);
    assert_int_equal(gnttab_grant(0, pages + PAGE_BYTES, false, &other), 0);
    assert_int_equal(other, ref); /* free again */
}

/* Reading alone is use as well. */
static void reading_is_use(void **state)
{
    uint8_t *page = page_alloc(1);
    grant_ref_t ref;
    assert_int_equal(gnttab_grant(0, page, true, &ref), 0);
    fakexen.table[0][ref].flags |= GTF_reading;
    assert_int_equal(gnttab_revoke(ref), -EBUSY);
    fakexen_unmap(ref);
    assert_int_equal(gnttab_revoke(ref), 0);
}

static unsigned grants_until_full(const uint8_t *page)
{
    grant_ref_t ref;
    unsigned n = 0;
    while (gnttab_grant(0, page, false, &ref) == 0)
        n++;
    assert_int_equal(gnttab_grant(0, page, false, &ref), -ENOSPC);
    return n;
}

static void the_table_grows_up_to_what_the_toolstack_allows(void **state)
{
    uint8_t *page = page_alloc(1);
    assert_int_equal(grants_until_full(page), 4 * PER_FRAME - GNTTAB_NR_RESERVED_ENTRIES);
    assert_int_equal(fakexen.table_frames, 4);
    assert_int_equal(gnttab_revoke(3 * PER_FRAME + 17), 0);
    assert_int_equal(grants_until_full(page), 1);
}

static void the_table_grows_up_to_what_we_have_room_for(void **state)
{
    uint8_t *page = page_alloc(1);
    fakexen.max_frames = 64;
    fakexen.windows = 0;
    assert_int_equal(gnttab_init(), 0);
    assert_int_equal(grants_until_full(page), 8 * PER_FRAME - GNTTAB_NR_RESERVED_ENTRIES);
}

static void a_table_that_doesn_t_grow_is_full(void **state)
{
    uint8_t *page = page_alloc(1);
    grant_ref_t ref;
    for (unsigned i = GNTTAB_NR_RESERVED_ENTRIES; i < PER_FRAME; i++)
        assert_int_equal(gnttab_grant(0, page, false, &ref), 0);
    fakexen.fail_setup = -ENOMEM;
    assert_int_equal(gnttab_grant(0, page, false, &ref), -ENOMEM);
    fakexen.fail_map = -EPERM;
    assert_int_equal(gnttab_grant(0, page, false, &ref), -EPERM);
    assert_int_equal(gnttab_grant(0, page, false, &ref), 0);
    assert_int_equal(ref, PER_FRAME);
}

static void no_table_is_told(void **state)
{
    fakexen.windows = 0;
    fakexen.fail_setup = -ENOSYS;
    assert_int_equal(gnttab_init(), -ENOSYS);
    fakexen.max_frames = 0;
    assert_int_equal(gnttab_init(), -ENOSPC);
}

/* Version 1 entries have 32 bits for the frame. */
static void a_frame_beyond_16_tib_is_refused(void **state)
{
    uint8_t *page = page_alloc(1);
    grant_ref_t ref;
    fakexen.frame_offset = UINT64_C(1) << 32;
    assert_int_equal(gnttab_grant(0, page, false, &ref), -ENOSPC);
    fakexen.frame_offset = 0;
}

/* A PVH domain says where the frame is to be: no memory of its own is spent on it. */
static void a_pvh_domain_maps_the_table_its_own_way(void **state)
{
    fakexen.windows = 0;
    fakexen.pvh = true;
    assert_int_equal(gnttab_init(), 0);
    assert_int_equal(fakexen.windows, 1);
    assert_int_equal(fakexen_pages_used(), 0);
    uint8_t *page = page_alloc(1);
    assert_int_equal(grants_until_full(page), 4 * PER_FRAME - GNTTAB_NR_RESERVED_ENTRIES);
    assert_int_equal(entry(PER_FRAME)->frame, page_frame(page));
}

static void no_address_space_is_told(void **state)
{
    fakexen.windows = fakexen.window_limit = 0;
    assert_int_equal(gnttab_init(), -ENOMEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_grant_names_domain_and_frame, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_toolstack_s_entries_stay, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_page_in_use_is_not_taken_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reading_is_use, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_table_grows_up_to_what_the_toolstack_allows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_table_grows_up_to_what_we_have_room_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_table_that_doesn_t_grow_is_full, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_table_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_frame_beyond_16_tib_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_pvh_domain_maps_the_table_its_own_way, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_address_space_is_told, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
