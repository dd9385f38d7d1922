/* PV disks, against a back end that serves them. [blkif] is xen/include/public/io/blkif.h. */
#include "blkfront-bench.h"

/* --- The connection --- */

static void it_connects_and_takes_what_is_offered(void **state)
{
    struct bench *b = connected(state);
    fakexen_settle();
    assert_string_equal(fakexen_get(BLKBACK_FRONT "/state"), "4");
    assert_string_equal(fakexen_get(BLKBACK_FRONT "/protocol"), "x86_64-abi");
    assert_string_equal(fakexen_get(BLKBACK_FRONT "/feature-persistent"), "1");
    assert_string_equal(fakexen_get(BLKBACK_FRONT "/ring-page-order"), "1");
    assert_non_null(fakexen_get(BLKBACK_FRONT "/ring-ref0"));
    assert_non_null(fakexen_get(BLKBACK_FRONT "/ring-ref1"));
    assert_null(fakexen_get(BLKBACK_FRONT "/ring-ref"));
    assert_null(fakexen_get(BLKBACK_FRONT "/feature-large-sector-size")); /* numbers count 512 bytes */
    assert_int_equal(b->block->size_bytes, BLKBACK_BYTES);
    assert_int_equal(b->block->sector_bytes, 512);
    assert_false(b->block->read_only);
    assert_true(b->block->discard);
}

/* Round trips are what the start of a stubdomain takes its time for. */
static void connecting_takes_few_round_trips(void **state)
{
    connected(state);
    assert_in_range(fakexen.store.bursts, 5, 6);
}

/* [blkif, note 6] */
static void a_ring_of_one_page_has_a_node_of_its_own(void **state)
{
    fakexen_set(BLKBACK_DIR "/max-ring-page-order", NULL);
    struct bench *b = connected(state);
    assert_non_null(fakexen_get(BLKBACK_FRONT "/ring-ref"));
    assert_null(fakexen_get(BLKBACK_FRONT "/ring-ref0"));
    assert_null(fakexen_get(BLKBACK_FRONT "/ring-page-order"));
    assert_int_equal(run(b, BLOCK_READ, 4096, 8192), 0);
    assert_memory_equal(b->data + 4096, b->back.disk + 4096, 8192);
}

static void no_feature_is_needed(void **state)
{
    static const char *const names[] = { "max-ring-page-order", "feature-flush-cache",
                                         "feature-barrier",     "feature-discard",
                                         "feature-persistent",  "feature-max-indirect-segments",
                                         "sector-size",         "info" };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        char path[96];
        (void)snprintf(path, sizeof(path), BLKBACK_DIR "/%s", names[i]);
        fakexen_set(path, NULL);
    }
    struct bench *b = connected(state);
    b->back.unmaps = true;
    assert_false(b->block->discard);
    assert_int_equal(run(b, BLOCK_READ, 0, MIB_BYTES), 0);
    assert_memory_equal(b->data, b->back.disk, MIB_BYTES);
    assert_int_equal(run(b, BLOCK_DISCARD, 0, 512), -EOPNOTSUPP);
}

static void closing_gives_all_back(void **state)
{
    struct bench *b = connected(state);
    assert_int_equal(run(b, BLOCK_WRITE, 0, MIB_BYTES), 0);
    block_close(b->block);
    b->block = NULL;
    assert_string_equal(fakexen_get(BLKBACK_FRONT "/state"), "6");
    assert_int_equal(fakexen_pages_used(), 0);
    assert_false(fakexen.ports[b->back.port].used);
    for (size_t i = 0; i < FAKE_WATCHES; i++)
        assert_false(fakexen.store.watches[i].used);
}

/* A request in the ring when it is closed still ends. */
static void closing_waits_for_requests(void **state)
{
    struct bench *b = connected(state);
    struct io *io = submit(b, 0, BLOCK_READ, 0, MIB_BYTES);
    block_close(b->block);
    b->block = NULL;
    assert_int_equal(io->done, 1);
    assert_int_equal(io->result, 0);
    assert_memory_equal(b->data, b->back.disk, MIB_BYTES);
}

/* The other medium of a drive is the same device. */
static void it_may_be_opened_again(void **state)
{
    struct bench *b = connected(state);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(run(b, BLOCK_READ, 0, MIB_BYTES), 0);
        block_close(b->block);
        b->block = NULL;
        assert_string_equal(fakexen_get(BLKBACK_DIR "/state"), "6");
        assert_int_equal(open_disk(b), 0);
    }
    assert_int_equal(run(b, BLOCK_READ, 0, MIB_BYTES), 0);
    block_close(b->block);
    b->block = NULL;
    b->back.stuck = true; /* and now it stays closed */
    assert_int_equal(open_disk(b), -ETIMEDOUT);
    assert_int_equal(fakexen_pages_used(), 0);
}

/* --- Transfers --- */

static void data_goes_to_its_place(void **state)
{
    static const uint32_t lens[] = {
        512, 1024, 4096, 4608, 11 * 4096, 11 * 4096 + 512, 12 * 4096, 32 * 4096, 32 * 4096 + 512, 64 * 4096, MIB_BYTES
    };
    struct bench *b = connected(state);
    for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
        fill(b, (uint8_t)i);
        assert_int_equal(run(b, BLOCK_WRITE, 512 * (i + 3), lens[i]), 0);
        assert_memory_equal(b->back.disk + 512 * (i + 3), b->data + 512 * (i + 3), lens[i]);
        memset(b->data, 0, sizeof(b->data));
        assert_int_equal(run(b, BLOCK_READ, 512 * (i + 3), lens[i]), 0);
        assert_memory_equal(b->back.disk + 512 * (i + 3), b->data + 512 * (i + 3), lens[i]);
        assert_int_equal(b->data[512 * (i + 3) - 1], 0);
        assert_int_equal(b->data[512 * (i + 3) + lens[i]], 0);
    }
}

static void scattered_memory_is_one_piece_of_disk(void **state)
{
    static const size_t lens[] = { 100, 0, 412, 5000, 1, 3191, 8192, 4096 };
    struct bench *b = connected(state);
    struct io *io = &b->ios[0];
    size_t at = 0;
    fill(b, 9);
    for (size_t i = 0; i < 8; i++) {
        io->vec[i] = (struct vec){ b->data + at * 3, lens[i] };
        at += lens[i];
    }
    io->req = (struct block_req){
        .op = BLOCK_WRITE, .offset = 1024, .len = at, .vec = io->vec, .nvec = 8, .done = done, .opaque = io
    };
    block_submit(b->block, &io->req);
    fakexen_settle();
    assert_int_equal(io->result, 0);
    at = 0;
    for (size_t i = 0; i < 8; i++) {
        assert_memory_equal(b->back.disk + 1024 + at, b->data + at * 3, lens[i]);
        at += lens[i];
    }
    memset(b->data, 0, sizeof(b->data));
    io->req.op = BLOCK_READ;
    block_submit(b->block, &io->req);
    fakexen_settle();
    assert_int_equal(io->result, 0);
    at = 0;
    for (size_t i = 0; i < 8; i++) {
        assert_memory_equal(b->back.disk + 1024 + at, b->data + at * 3, lens[i]);
        at += lens[i];
    }
    assert_int_equal(io->done, 2);
}

/* Half of the pool at a time, with a page of segments [blkif, BLKIF_OP_INDIRECT]. */
static void long_requests_are_indirect(void **state)
{
    struct bench *b = connected(state);
    assert_int_equal(run(b, BLOCK_READ, 0, 128 << 10), 0);
    assert_int_equal(b->back.nr_seen, 1);
    assert_true(b->back.seen[0].indirect);
    assert_int_equal(b->back.seen[0].nr_segments, 32);
    assert_int_equal(run(b, BLOCK_READ, 0, MIB_BYTES), 0);
    assert_int_equal(b->back.nr_seen, 9);
    assert_int_equal(run(b, BLOCK_READ, 0, 11 * 4096), 0);
    assert_false(b->back.seen[9].indirect);
}

static void without_indirect_segments_there_are_eleven(void **state)
{
    static const char *const offers[] = { NULL, "0", "11", "5" };
    struct bench *b = *state;
    for (size_t i = 0; i < ARRAY_SIZE(offers); i++) {
        fakexen_set(BLKBACK_DIR "/feature-max-indirect-segments", offers[i]);
        assert_int_equal(open_disk(b), 0);
        b->back.nr_seen = 0;
        assert_int_equal(run(b, BLOCK_READ, 0, 25 * 4096), 0);
        assert_int_equal(b->back.nr_seen, 3);
        assert_int_equal(b->back.seen[0].nr_segments, 11);
        assert_int_equal(b->back.seen[2].nr_segments, 3);
        assert_false(b->back.seen[0].indirect);
        block_close(b->block);
        b->block = NULL;
        blkback_init(&b->back);
    }
}

static void a_small_number_of_indirect_segments_is_kept(void **state)
{
    fakexen_set(BLKBACK_DIR "/feature-max-indirect-segments", "16");
    struct bench *b = connected(state);
    assert_int_equal(run(b, BLOCK_READ, 0, 128 << 10), 0);
    assert_int_equal(b->back.nr_seen, 2);
    assert_int_equal(b->back.seen[0].nr_segments, 16);
}

/* More than the pool and the ring hold, and answers that come in another order. */
static void many_requests_wait_their_turn(void **state)
{
    struct bench *b = connected(state);
    b->back.reversed = true;
    fill(b, 3);
    for (unsigned i = 0; i < NR_IOS; i++)
        submit(b, i, i % 3 ? BLOCK_WRITE : BLOCK_READ, (uint64_t)i * 20480, i % 5 ? 4096 : 20480);
    fakexen_settle();
    for (unsigned i = 0; i < NR_IOS; i++) {
        assert_int_equal(b->ios[i].done, 1);
        assert_int_equal(b->ios[i].result, 0);
        assert_memory_equal(b->data + i * 20480, b->back.disk + i * 20480, i % 5 ? 4096 : 20480);
    }
    assert_int_equal(b->block->in_flight, 0);
}

/* As many entries as the ring has; what needs no page waits as well. */
static void a_full_ring_is_waited_for(void **state)
{
    static const enum block_op behind[] = { BLOCK_FLUSH, BLOCK_DISCARD, BLOCK_WRITE };
    fakexen_set(BLKBACK_DIR "/max-ring-page-order", "0");
    struct bench *b = connected(state);
    for (size_t i = 0; i < ARRAY_SIZE(behind); i++) {
        b->back.nr_seen = 0;
        b->back.hold = true;
        for (unsigned n = 0; n < 32; n++)
            submit(b, n, BLOCK_READ, n * 4096, 4096);
        submit(b, 32, behind[i], 0, 4096);
        fakexen_settle();
        blkback_serve(&b->back);
        assert_int_equal(b->back.nr_seen, 32);
        b->back.hold = false;
        fakexen_settle();
        assert_int_equal(b->back.nr_seen, 33);
        for (unsigned n = 0; n <= 32; n++)
            assert_int_equal(b->ios[n].result, 0);
    }
}

/* done() may submit. */
static void a_chain_of_requests_goes_on(void **state)
{
    struct bench *b = connected(state);
    struct io *io = submit(b, 0, BLOCK_READ, 0, 8192);
    io->again = 50;
    fakexen_settle();
    assert_int_equal(io->done, 51);
    io->again = 20;
    block_submit(b->block, &io->req);
    block_drain(b->block);
    assert_int_equal(io->done, 72);
}

static void requests_of_one_round_cost_one_notification(void **state)
{
    struct bench *b = connected(state);
    b->back.hold = true;
    fakexen.ports[b->back.port].notified = 0;
    for (unsigned i = 0; i < 8; i++)
        submit(b, i, BLOCK_READ, i * 4096, 4096);
    assert_int_equal(loop_step(&fakexen.loop, 0), 0);
    assert_int_equal(fakexen.ports[b->back.port].notified, 1);
    for (unsigned i = 8; i < 16; i++)
        submit(b, i, BLOCK_READ, i * 4096, 4096);
    assert_int_equal(loop_step(&fakexen.loop, 0), 0);
    assert_int_equal(fakexen.ports[b->back.port].notified, 1); /* it didn't ask to be told of these */
    b->back.hold = false;
    fakexen_settle();
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(b->ios[i].result, 0);
    assert_int_equal(b->back.events, 1);
}

static void served_at_once(void *opaque, evtchn_port_t port)
{
    struct blkback *back = opaque;
    if (port == back->port)
        blkback_serve(back);
}

/* The answers to what the drain itself starts come before it sleeps, and make no event: it asked for none yet. */
static void a_drain_misses_no_answer(void **state)
{
    struct bench *b = connected(state);
    fakexen_settle();
    b->back.hold = true;
    for (unsigned i = 0; i < 6; i++)
        submit(b, i, BLOCK_READ, i * 131072, 131072);
    fakexen.notified = served_at_once;
    uint64_t before = fakexen.now_ns;
    block_drain(b->block);
    assert_true(fakexen.now_ns - before < NS_PER_S);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(b->ios[i].result, 0);
    assert_true(b->back.events < 3);
    fakexen.notified = NULL;
}

/* --- Flushes and discards --- */

static void a_flush_is_the_one_that_is_offered(void **state)
{
    struct bench *b = *state;
    for (int i = 0; i < 2; i++) {
        if (i == 1)
            fakexen_set(BLKBACK_DIR "/feature-flush-cache", "0");
        assert_int_equal(open_disk(b), 0);
        b->back.nr_seen = 0;
        assert_int_equal(run(b, BLOCK_FLUSH, 0, 0), 0);
        assert_int_equal(b->back.nr_seen, 1);
        assert_int_equal(b->back.seen[0].op, i == 0 ? BLKIF_OP_FLUSH_DISKCACHE : BLKIF_OP_WRITE_BARRIER);
        b->back.fail_op = b->back.seen[0].op;
        b->back.status = BLKIF_RSP_ERROR;
        assert_int_equal(run(b, BLOCK_FLUSH, 0, 0), -EIO);
        block_close(b->block);
        b->block = NULL;
        blkback_init(&b->back);
    }
}

static void no_flush_is_said_once(void **state)
{
    fakexen_set(BLKBACK_DIR "/feature-flush-cache", "0");
    fakexen_set(BLKBACK_DIR "/feature-barrier", "0");
    struct bench *b = connected(state);
    assert_int_equal(run(b, BLOCK_FLUSH, 0, 0), 0);
    assert_true(fakexen_said("can't flush"));
    assert_int_equal(run(b, BLOCK_FLUSH, 0, 0), 0);
    assert_false(fakexen_said("can't flush"));
    assert_int_equal(b->back.nr_seen, 0);
}

/* [blkif, feature-flush-cache] it may be offered and not supported all the same. */
static void a_flush_that_is_not_supported_after_all(void **state)
{
    struct bench *b = connected(state);
    b->back.fail_op = BLKIF_OP_FLUSH_DISKCACHE;
    b->back.status = BLKIF_RSP_EOPNOTSUPP;
    assert_int_equal(run(b, BLOCK_FLUSH, 0, 0), 0);
    assert_true(fakexen_said("can't flush"));
    assert_int_equal(run(b, BLOCK_FLUSH, 0, 0), 0);
    assert_int_equal(b->back.nr_seen, 1);
}

static void a_discard_has_its_own_form(void **state)
{
    struct bench *b = connected(state);
    assert_int_equal(run(b, BLOCK_DISCARD, 8192, 3 * MIB_BYTES), 0);
    assert_int_equal(b->back.seen[0].op, BLKIF_OP_DISCARD);
    assert_int_equal(b->back.seen[0].sector, 16);
    assert_int_equal(b->back.seen[0].nr_sectors, 3 * MIB_BYTES / 512);
    assert_int_equal(b->back.seen[0].flag, 0);
    b->back.fail_op = BLKIF_OP_DISCARD;
    b->back.status = BLKIF_RSP_ERROR;
    assert_int_equal(run(b, BLOCK_DISCARD, 0, 512), -EIO);
    b->back.status = BLKIF_RSP_EOPNOTSUPP;
    assert_int_equal(run(b, BLOCK_DISCARD, 0, 512), 0); /* the data stays */
    assert_false(b->block->discard);
    assert_int_equal(run(b, BLOCK_DISCARD, 0, 512), -EOPNOTSUPP);
    assert_int_equal(b->back.nr_seen, 3);
}

/* --- Kinds of disks --- */

static void a_read_only_disk_is_only_read(void **state)
{
    fakexen_set_number(BLKBACK_DIR "/info", VDISK_READONLY);
    struct bench *b = connected(state);
    assert_true(b->block->read_only);
    assert_false(b->block->discard);
    assert_int_equal(run(b, BLOCK_WRITE, 0, 512), -EROFS);
    assert_int_equal(run(b, BLOCK_FLUSH, 0, 0), 0);
    assert_int_equal(b->back.nr_seen, 0);
    assert_int_equal(run(b, BLOCK_READ, 0, 512), 0);
    assert_false(fakexen_said("flush"));
}

static void a_drive_without_a_medium_has_no_size(void **state)
{
    fakexen_set_number(BLKBACK_DIR "/info", VDISK_CDROM | VDISK_READONLY);
    fakexen_set(BLKBACK_DIR "/sectors", "0");
    struct bench *b = connected(state);
    assert_int_equal(b->block->size_bytes, 0);
    assert_int_equal(run(b, BLOCK_READ, 0, 512), -EINVAL);
    assert_true(fakexen_said("CD drive"));
}

/* sector-size is what requests are aligned to; all counts are of 512 bytes [Linux xen-blkfront.c]. */
static void sectors_of_4096_bytes_are_an_alignment(void **state)
{
    fakexen_set(BLKBACK_DIR "/sector-size", "4096");
    struct bench *b = connected(state);
    assert_int_equal(b->block->sector_bytes, 4096);
    assert_int_equal(b->block->size_bytes, BLKBACK_BYTES);
    assert_int_equal(run(b, BLOCK_READ, 0, 512), -EINVAL);
    assert_int_equal(run(b, BLOCK_READ, 8192, 4096), 0);
    assert_int_equal(b->back.seen[0].sector, 16);
    assert_int_equal(b->back.seen[0].nr_sectors, 8);
}

static void the_size_may_change(void **state)
{
    fakexen_set_number(BLKBACK_DIR "/sectors", 2 * MIB_BYTES / 512);
    struct bench *b = connected(state);
    fakexen_settle();
    assert_int_equal(b->block->size_bytes, 2 * MIB_BYTES);
    fakexen_set_number(BLKBACK_DIR "/sectors", 3 * MIB_BYTES / 512);
    assert_false(block_grew(b->block)); /* it hasn't said so */
    fakexen_set(BLKBACK_DIR "/state", "4");
    fakexen_settle();
    assert_true(block_grew(b->block));
    assert_int_equal(b->block->size_bytes, 3 * MIB_BYTES);
    assert_int_equal(run(b, BLOCK_READ, 2 * MIB_BYTES, 4096), 0);
    fakexen_set(BLKBACK_DIR "/sectors", "garbage");
    fakexen_set(BLKBACK_DIR "/state", "4");
    fakexen_settle();
    assert_false(block_grew(b->block));
    fakexen_set(BLKBACK_DIR "/sectors", "0");
    fakexen_set(BLKBACK_DIR "/state", "4");
    fakexen_settle();
    assert_false(block_grew(b->block));
    assert_int_equal(b->block->size_bytes, 3 * MIB_BYTES);
}

/* A back end that says so over and over doesn't fill the log. */
static void lines_about_the_size_are_limited(void **state)
{
    connected(state);
    fakexen_settle();
    unsigned before = fakexen.lines;
    for (unsigned i = 0; i < 1000; i++) {
        fakexen_set_number(BLKBACK_DIR "/sectors", i % 2 ? 100 : 200);
        fakexen_set(BLKBACK_DIR "/state", "4");
        fakexen_settle();
    }
    assert_in_range(fakexen.lines - before, 1, 50);
}

/* --- Errors --- */

static void an_error_is_the_request_s_alone(void **state)
{
    static const int16_t errors[] = { BLKIF_RSP_ERROR, BLKIF_RSP_EOPNOTSUPP, 1, 300, -300 };
    struct bench *b = connected(state);
    for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
        b->back.fail_op = BLKIF_OP_READ;
        b->back.status = errors[i];
        assert_int_equal(run(b, BLOCK_READ, 0, 4096), -EIO);
        assert_int_equal(run(b, BLOCK_WRITE, 0, 4096), 0);
        b->back.fail_op = -1;
        assert_int_equal(run(b, BLOCK_READ, 0, 4096), 0);
    }
    assert_int_equal(b->block->stats.errors[BLOCK_READ], ARRAY_SIZE(errors));
}

/* It ends once, after what is on its way has ended, and the rest isn't begun. */
static void an_error_ends_a_long_request(void **state)
{
    struct bench *b = connected(state);
    b->back.fail_op = BLKIF_OP_WRITE;
    b->back.status = BLKIF_RSP_ERROR;
    b->back.fail_after = 1;
    assert_int_equal(run(b, BLOCK_WRITE, 0, 2 * MIB_BYTES), -EIO);
    assert_in_range(b->back.nr_seen, 2, 4);
    b->back.fail_op = -1;
    assert_int_equal(run(b, BLOCK_WRITE, 0, 2 * MIB_BYTES), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_connects_and_takes_what_is_offered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(connecting_takes_few_round_trips, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_ring_of_one_page_has_a_node_of_its_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_feature_is_needed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(closing_gives_all_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(closing_waits_for_requests, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_may_be_opened_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(data_goes_to_its_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(scattered_memory_is_one_piece_of_disk, set_up, tear_down),
        cmocka_unit_test_setup_teardown(long_requests_are_indirect, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_indirect_segments_there_are_eleven, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_small_number_of_indirect_segments_is_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_requests_wait_their_turn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_ring_is_waited_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_chain_of_requests_goes_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(requests_of_one_round_cost_one_notification, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_drain_misses_no_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_flush_is_the_one_that_is_offered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_flush_is_said_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_flush_that_is_not_supported_after_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_discard_has_its_own_form, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_read_only_disk_is_only_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_drive_without_a_medium_has_no_size, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sectors_of_4096_bytes_are_an_alignment, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_size_may_change, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lines_about_the_size_are_limited, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_error_is_the_request_s_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_error_ends_a_long_request, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
