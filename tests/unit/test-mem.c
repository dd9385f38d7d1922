/* core/mem.c: copies, holes, the cache of mappings, pins, the dirty log. */
#include "rig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A guest whose RAM is what is_ram says. Each mapping is memory of its own, so that a stale one shows. */
enum { SMALL_PAGES = 256 * 160 };

struct guest {
    struct hv hv;
    struct mem mem;
    bool ram[SMALL_PAGES];
    uint8_t (*frames)[16]; /* the first 16 bytes of each page are kept when it is unmapped */
    unsigned maps, unmaps, live;
    bool refuse;
    uint64_t dirty_first[64], dirty_nr[64];
    unsigned dirties;
    struct {
        void *ptr;
        uint64_t first;
        bool valid[MEM_BUCKET_PAGES];
    } mappings[MEM_BUCKETS + 1];
};

static struct guest *guest_of(struct hv *hv)
{
    return container_of(hv, struct guest, hv);
}

static int fake_map(struct hv *hv, uint64_t first, size_t nr, void **ptr, int *err)
{
    struct guest *g = guest_of(hv);
    unsigned slot = 0;
    g->maps++;
    if (g->refuse)
        return -ENOMEM;
    assert_int_equal(nr, MEM_BUCKET_PAGES);
    while (g->mappings[slot].ptr)
        slot++;
    assert_in_range(slot, 0, MEM_BUCKETS - 1);
    uint8_t *bytes = calloc(nr, PAGE_BYTES);
    assert_non_null(bytes);
    for (size_t i = 0; i < nr; i++) {
        err[i] = first + i < SMALL_PAGES && g->ram[first + i] ? 0 : -ENOENT;
        g->mappings[slot].valid[i] = err[i] == 0;
        if (err[i] == 0)
            memcpy(bytes + i * PAGE_BYTES, g->frames[first + i], 16);
    }
    g->mappings[slot].ptr = *ptr = bytes;
    g->mappings[slot].first = first;
    g->live++;
    return 0;
}

static void fake_unmap(struct hv *hv, void *ptr, size_t nr)
{
    struct guest *g = guest_of(hv);
    unsigned slot = 0;
    while (g->mappings[slot].ptr != ptr)
        slot++;
    for (size_t i = 0; i < nr; i++) {
        uint64_t frame = g->mappings[slot].first + i;
        if (g->mappings[slot].valid[i])
            memcpy(g->frames[frame], (uint8_t *)ptr + i * PAGE_BYTES, 16);
    }
    free(ptr);
    g->mappings[slot].ptr = NULL;
    g->unmaps++;
    g->live--;
}

static int fake_modified(struct hv *hv, uint64_t first, uint64_t nr)
{
    struct guest *g = guest_of(hv);
    assert_in_range(g->dirties, 0, ARRAY_SIZE(g->dirty_nr) - 1);
    g->dirty_first[g->dirties] = first;
    g->dirty_nr[g->dirties++] = nr;
    return 0;
}

static const struct hv_ops fake_ops = { .map = fake_map, .unmap = fake_unmap, .modified = fake_modified };

/* RAM everywhere but for pages 0xa0-0xbf, as below 1 MiB of a PC. */
static int setup(void **state)
{
    struct guest *g = calloc(1, sizeof(*g));
    assert_non_null(g);
    g->frames = calloc(SMALL_PAGES, sizeof(*g->frames));
    assert_non_null(g->frames);
    g->hv.ops = &fake_ops;
    for (size_t i = 0; i < SMALL_PAGES; i++)
        g->ram[i] = i < 0xa0 || i >= 0xc0;
    mem_init(&g->mem, &g->hv);
    *state = g;
    return 0;
}

static int teardown(void **state)
{
    struct guest *g = *state;
    mem_finish(&g->mem);
    assert_int_equal(g->live, 0);
    free(g->frames);
    free(g);
    return 0;
}

static void bytes_come_back(void **state)
{
    struct guest *g = *state;
    char buf[16] = "";
    assert_int_equal(mem_write(&g->mem, 0x12345, "hello", 6), 0);
    assert_int_equal(mem_read(&g->mem, 0x12345, buf, 6), 0);
    assert_string_equal(buf, "hello");
    assert_int_equal(g->maps, 1);
    assert_int_equal(mem_read(&g->mem, 5, buf, 0), 0);
}

static void copy_goes_over_buckets(void **state)
{
    struct guest *g = *state;
    size_t len = 3 * MEM_BUCKET_BYTES;
    uint8_t *out = malloc(len), *in = calloc(1, len);
    assert_non_null(out);
    assert_non_null(in);
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(i * 7 + (i >> 12));
    assert_int_equal(mem_write(&g->mem, 0x1ff123, out, len), 0);
    assert_int_equal(mem_read(&g->mem, 0x1ff123, in, len), 0);
    assert_memory_equal(in, out, len);
    assert_int_equal(g->maps, 4);
    free(in);
    free(out);
}

static void holes_read_ones_and_drop_writes(void **state)
{
    struct guest *g = *state;
    uint8_t buf[3 * PAGE_BYTES];
    memset(buf, 1, sizeof(buf));
    assert_int_equal(mem_write(&g->mem, 0x9f000, buf, sizeof(buf)), -EFAULT);
    memset(buf, 2, sizeof(buf));
    assert_int_equal(mem_read(&g->mem, 0x9f000, buf, sizeof(buf)), -EFAULT);
    assert_true(buf[0] == 1 && buf[PAGE_BYTES - 1] == 1);
    assert_true(buf[PAGE_BYTES] == 0xff && buf[3 * PAGE_BYTES - 1] == 0xff);
    memset(buf, 3, sizeof(buf));
    assert_int_equal(mem_write(&g->mem, 0xbf000, buf, sizeof(buf)), -EFAULT); /* the rest behind a hole is done */
    assert_int_equal(mem_read(&g->mem, 0xc0000, buf, PAGE_BYTES), 0);
    assert_int_equal(buf[0], 3);
}

static void nothing_wraps_at_the_end_of_the_space(void **state)
{
    struct guest *g = *state;
    uint8_t buf[64];
    struct mem_pin pin;
    assert_int_equal(mem_write(&g->mem, 0, "keep", 4), 0);
    memset(buf, 0, sizeof(buf));
    assert_int_equal(mem_read(&g->mem, UINT64_MAX - 7, buf, sizeof(buf)), -EFAULT);
    for (size_t i = 0; i < sizeof(buf); i++)
        assert_int_equal(buf[i], 0xff);
    memset(buf, 9, sizeof(buf));
    assert_int_equal(mem_write(&g->mem, UINT64_MAX - 7, buf, sizeof(buf)), -EFAULT);
    assert_int_equal(mem_write(&g->mem, UINT64_MAX, buf, sizeof(buf)), -EFAULT);
    assert_int_equal(mem_read(&g->mem, 0, buf, 4), 0);
    assert_memory_equal(buf, "keep", 4);
    assert_int_equal(mem_pin(&g->mem, UINT64_MAX, 100, &pin), -EFAULT);
}

/* A guest can't make each access cost a mapping per page: one try per bucket and access. */
static void mapping_is_tried_once_per_access(void **state)
{
    struct guest *g = *state;
    uint8_t *buf = malloc(MEM_BUCKET_BYTES);
    assert_non_null(buf);
    assert_int_equal(mem_read(&g->mem, 0, buf, 16), 0);
    assert_int_equal(g->maps, 1);
    assert_int_equal(mem_read(&g->mem, 0xa0000, buf, 0x20000), -EFAULT); /* 32 pages of hole */
    assert_int_equal(g->maps, 2);
    uint64_t beyond = (uint64_t)SMALL_PAGES * PAGE_BYTES;
    assert_int_equal(mem_read(&g->mem, beyond, buf, MEM_BUCKET_BYTES), -EFAULT);
    assert_int_equal(g->maps, 3);
    assert_int_equal(g->live, 1); /* a bucket without RAM isn't kept */
    g->refuse = true;
    assert_int_equal(mem_read(&g->mem, 0x100000, buf, MEM_BUCKET_BYTES), -EFAULT);
    assert_int_equal(g->maps, 4);
    free(buf);
}

/* The guest gets a page that it didn't have when the bucket was mapped. */
static void new_ram_is_found(void **state)
{
    struct guest *g = *state;
    uint8_t buf[4];
    assert_int_equal(mem_read(&g->mem, 0xa0000, buf, 4), -EFAULT);
    g->ram[0xa0] = true;
    memcpy(g->frames[0xa0], "new", 4);
    assert_int_equal(mem_read(&g->mem, 0xa0000, buf, 4), 0);
    assert_string_equal((char *)buf, "new");
    unsigned maps = g->maps;
    assert_int_equal(mem_read(&g->mem, 0xa0000, buf, 4), 0);
    assert_int_equal(g->maps, maps);
}

static void oldest_bucket_makes_room(void **state)
{
    struct guest *g = *state;
    uint8_t byte = 0;
    for (uint64_t i = 0; i < MEM_BUCKETS; i++)
        assert_int_equal(mem_read(&g->mem, i << MEM_BUCKET_SHIFT, &byte, 1), 0);
    assert_int_equal(mem_read(&g->mem, 0, &byte, 1), 0); /* bucket 0 is young again */
    assert_int_equal(g->maps, MEM_BUCKETS);
    assert_int_equal(mem_read(&g->mem, (uint64_t)MEM_BUCKETS << MEM_BUCKET_SHIFT, &byte, 1), 0);
    assert_int_equal(g->unmaps, 1);
    assert_int_equal(mem_read(&g->mem, 0, &byte, 1), 0);
    assert_int_equal(g->maps, MEM_BUCKETS + 1);
    assert_int_equal(mem_read(&g->mem, 1 << MEM_BUCKET_SHIFT, &byte, 1), 0); /* that was the oldest */
    assert_int_equal(g->maps, MEM_BUCKETS + 2);
    assert_int_equal(g->live, MEM_BUCKETS);
}

static void age_survives_the_clock_wrapping(void **state)
{
    struct guest *g = *state;
    uint8_t byte = 0;
    g->mem.clock = UINT32_MAX - 10;
    for (uint64_t i = 0; i < MEM_BUCKETS; i++)
        assert_int_equal(mem_read(&g->mem, i << MEM_BUCKET_SHIFT, &byte, 1), 0);
    assert_int_equal(mem_read(&g->mem, UINT64_C(140) << MEM_BUCKET_SHIFT, &byte, 1), 0);
    assert_int_equal(mem_read(&g->mem, UINT64_C(127) << MEM_BUCKET_SHIFT, &byte, 1), 0);
    assert_int_equal(g->maps, MEM_BUCKETS + 1);
}

static void pin_ends_at_holes_and_buckets(void **state)
{
    struct guest *g = *state;
    struct mem_pin pin;
    assert_int_equal(mem_pin(&g->mem, 0x9fff0, 100, &pin), 0);
    assert_int_equal(pin.vec.len, 16);
    mem_unpin(&g->mem, &pin, 0);
    assert_int_equal(mem_pin(&g->mem, 0xa0000, 100, &pin), -EFAULT);
    assert_int_equal(mem_pin(&g->mem, 0x1ff800, 0x10000, &pin), 0);
    assert_int_equal(pin.vec.len, 0x800);
    assert_true(pin.addr == 0x1ff800);
    memcpy(pin.vec.ptr, "dma", 4);
    mem_unpin(&g->mem, &pin, 4);
    mem_unpin(&g->mem, &pin, 4); /* harmless */
    char buf[4];
    assert_int_equal(mem_read(&g->mem, 0x1ff800, buf, 4), 0);
    assert_string_equal(buf, "dma");
    assert_int_equal(mem_pin(&g->mem, 0x1000, 10, &pin), 0);
    assert_int_equal(pin.vec.len, 10);
    mem_unpin(&g->mem, &pin, 0);
}

static void pinned_bucket_is_never_evicted(void **state)
{
    struct guest *g = *state;
    struct mem_pin pin;
    uint8_t byte = 0;
    assert_int_equal(mem_pin(&g->mem, 0x1000, 8, &pin), 0);
    for (uint64_t i = 1; i < 150; i++)
        assert_int_equal(mem_read(&g->mem, i << MEM_BUCKET_SHIFT, &byte, 1), 0);
    memcpy(pin.vec.ptr, "still up", 8);
    mem_unpin(&g->mem, &pin, 0);
}

/* However much devices pin, copies of others go on. */
static void pins_leave_buckets_to_copies(void **state)
{
    struct guest *g = *state;
    static struct mem_pin pins[MEM_MAX_PINNED];
    struct mem_pin extra;
    uint64_t next = (uint64_t)MEM_MAX_PINNED << MEM_BUCKET_SHIFT;
    for (uint64_t i = 0; i < MEM_MAX_PINNED; i++)
        assert_int_equal(mem_pin(&g->mem, i << MEM_BUCKET_SHIFT, 1, &pins[i]), 0);
    assert_int_equal(mem_pin(&g->mem, next, 1, &extra), -ENOBUFS);
    assert_int_equal(mem_pin(&g->mem, (uint64_t)SMALL_PAGES << PAGE_SHIFT, 1, &extra),
                     -EFAULT); /* the guest's fault even now */
    for (uint64_t i = 0; i < 2 * MEM_UNPINNED; i++) {
        uint64_t addr = next + (i << MEM_BUCKET_SHIFT);
        char buf[8] = "";
        assert_int_equal(mem_write(&g->mem, addr, "copied", 7), 0);
        assert_int_equal(mem_read(&g->mem, addr, buf, 7), 0);
        assert_string_equal(buf, "copied");
    }
    assert_int_equal(mem_pin(&g->mem, 0, 1, &extra), 0); /* one that is there is no problem */
    mem_unpin(&g->mem, &pins[0], 0);
    assert_int_equal(mem_pin(&g->mem, next, 1, &pins[0]), -ENOBUFS); /* pinned still */
    mem_unpin(&g->mem, &extra, 0);
    assert_int_equal(mem_pin(&g->mem, next, 1, &pins[0]), 0);
    for (unsigned i = 0; i < MEM_MAX_PINNED; i++)
        mem_unpin(&g->mem, &pins[i], 0);
    assert_int_equal(g->mem.nr_pinned, 0);
}

/* Nobody new finds a stale bucket, but its place is taken until it is unpinned. */
static void stale_pins_count(void **state)
{
    struct guest *g = *state;
    static struct mem_pin pins[MEM_MAX_PINNED];
    struct mem_pin extra;
    for (unsigned i = 0; i < MEM_MAX_PINNED; i++) {
        mem_invalidate(&g->mem);
        assert_int_equal(mem_pin(&g->mem, 0x1000, 8, &pins[i]), 0);
    }
    mem_invalidate(&g->mem);
    assert_int_equal(mem_pin(&g->mem, 0x1000, 8, &extra), -ENOBUFS);
    mem_unpin(&g->mem, &pins[7], 0);
    assert_int_equal(mem_pin(&g->mem, 0x1000, 8, &pins[7]), 0);
    for (unsigned i = 0; i < MEM_MAX_PINNED; i++)
        mem_unpin(&g->mem, &pins[i], 0);
    assert_int_equal(g->mem.nr_pinned, 0);
}

static void invalidated_pin_lives_until_unpinned(void **state)
{
    struct guest *g = *state;
    struct mem_pin pin, again;
    uint8_t byte = 0;
    assert_int_equal(mem_pin(&g->mem, 0x1000, 8, &pin), 0);
    assert_int_equal(mem_read(&g->mem, 0x100000, &byte, 1), 0);
    mem_invalidate(&g->mem);
    mem_invalidate(&g->mem);
    assert_int_equal(g->live, 1);
    memcpy(pin.vec.ptr, "old", 4); /* still mapped */
    assert_int_equal(mem_pin(&g->mem, 0x1000, 8, &again), 0);
    assert_ptr_not_equal(again.vec.ptr, pin.vec.ptr); /* nobody new gets the stale one */
    assert_int_equal(g->live, 2);
    mem_unpin(&g->mem, &pin, 0);
    assert_int_equal(g->live, 1);
    mem_unpin(&g->mem, &again, 0);
    assert_int_equal(g->live, 1); /* that one is good for more */
}

/* A hole in a pinned bucket: mapped anew beside it. */
static void new_ram_beside_a_pin_is_found(void **state)
{
    struct guest *g = *state;
    struct mem_pin pin, hole;
    assert_int_equal(mem_pin(&g->mem, 0x1000, 8, &pin), 0);
    g->ram[0xa1] = true;
    assert_int_equal(mem_pin(&g->mem, 0xa1000, 8, &hole), 0);
    memset(pin.vec.ptr, 1, 8);
    memset(hole.vec.ptr, 2, 8);
    mem_unpin(&g->mem, &pin, 0);
    mem_unpin(&g->mem, &hole, 0);
    assert_int_equal(g->live, 1);
}

static void dirty_log_hears_of_each_write(void **state)
{
    struct guest *g = *state;
    struct mem_pin pin;
    uint8_t buf[4 * PAGE_BYTES] = { 0 };
    assert_int_equal(mem_write(&g->mem, 0x5000, buf, 10), 0);
    assert_int_equal(g->dirties, 0);
    mem_set_dirty_log(&g->mem, true);
    mem_set_dirty_log(&g->mem, true);
    assert_int_equal(mem_read(&g->mem, 0x5000, buf, 10), 0);
    assert_int_equal(g->dirties, 0);
    assert_int_equal(mem_write(&g->mem, 0x5ffe, buf, 3), 0);
    assert_true(g->dirties == 1 && g->dirty_first[0] == 5 && g->dirty_nr[0] == 2);
    assert_int_equal(mem_write(&g->mem, 0x9e000, buf, sizeof(buf)), -EFAULT);
    assert_true(g->dirties == 2 && g->dirty_first[1] == 0x9e && g->dirty_nr[1] == 2); /* no holes */
    assert_int_equal(mem_write(&g->mem, 0x5000, buf, 0), 0);
    assert_int_equal(g->dirties, 2);
    assert_int_equal(mem_pin(&g->mem, 0x8fff, 0x3000, &pin), 0);
    mem_unpin(&g->mem, &pin, 1);
    assert_true(g->dirties == 3 && g->dirty_first[2] == 8 && g->dirty_nr[2] == 1);
    assert_int_equal(mem_pin(&g->mem, 0x8fff, 0x3000, &pin), 0);
    mem_unpin(&g->mem, &pin, 0); /* only read */
    assert_int_equal(g->dirties, 3);
    mem_set_dirty_log(&g->mem, false);
    assert_int_equal(mem_write(&g->mem, 0x5000, buf, 1), 0);
    assert_int_equal(g->dirties, 3);
}

static void rig_has_ram_and_holes(void **state)
{
    struct rig *r = rig_new();
    uint8_t buf[4] = { 0 };
    assert_int_equal(mem_write(&r->mem, RIG_RAM - 2, "xyz", 3), -EFAULT);
    assert_int_equal(r->ram[RIG_RAM - 2], 'x');
    assert_int_equal(mem_read(&r->mem, RIG_HOLE - 1, buf, 4), -EFAULT);
    assert_true(buf[0] == 0 && buf[1] == 0xff);
    void *vram;
    assert_int_equal(r->hv.ops->vram_create(&r->hv, 512, &vram), 0);
    assert_int_equal(mem_read(&r->mem, 0xf0000000, buf, 1), -EFAULT);
    assert_int_equal(r->hv.ops->vram_move(&r->hv, 0xf0000), 0);
    assert_int_equal(mem_write(&r->mem, 0xf0100000, "v", 1), 0);
    assert_int_equal(((uint8_t *)vram)[0x100000], 'v');
    r->hv.ops->vram_destroy(&r->hv);
    rig_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bytes_come_back, setup, teardown),
        cmocka_unit_test_setup_teardown(copy_goes_over_buckets, setup, teardown),
        cmocka_unit_test_setup_teardown(holes_read_ones_and_drop_writes, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_wraps_at_the_end_of_the_space, setup, teardown),
        cmocka_unit_test_setup_teardown(mapping_is_tried_once_per_access, setup, teardown),
        cmocka_unit_test_setup_teardown(new_ram_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(oldest_bucket_makes_room, setup, teardown),
        cmocka_unit_test_setup_teardown(age_survives_the_clock_wrapping, setup, teardown),
        cmocka_unit_test_setup_teardown(pin_ends_at_holes_and_buckets, setup, teardown),
        cmocka_unit_test_setup_teardown(pinned_bucket_is_never_evicted, setup, teardown),
        cmocka_unit_test_setup_teardown(pins_leave_buckets_to_copies, setup, teardown),
        cmocka_unit_test_setup_teardown(stale_pins_count, setup, teardown),
        cmocka_unit_test_setup_teardown(invalidated_pin_lives_until_unpinned, setup, teardown),
        cmocka_unit_test_setup_teardown(new_ram_beside_a_pin_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(dirty_log_hears_of_each_write, setup, teardown),
        cmocka_unit_test(rig_has_ram_and_holes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
