/* PV disks, against a back end that lies, or isn't there, and with too little of everything. */
#include "blkfront-bench.h"

#include "../../stubdom/kernel/mm.h"

/* --- Back ends that don't connect --- */

static void nothing_is_left(struct bench *b)
{
    assert_null(b->block);
    assert_int_equal(fakexen_pages_used(), 0);
    for (evtchn_port_t i = FAKE_STORE_PORT + 1; i < EVENTS_MAX_PORTS; i++)
        assert_false(fakexen.ports[i].used);
    for (size_t i = 0; i < FAKE_WATCHES; i++)
        assert_false(fakexen.store.watches[i].used);
}

static void a_back_end_that_never_comes(void **state)
{
    struct bench *b = *state;
    uint64_t before = fakexen.now_ns;
    fakexen_set(BLKBACK_DIR "/state", "1");
    assert_int_equal(open_disk(b), -ETIMEDOUT);
    assert_in_range(fakexen.now_ns - before, 9 * NS_PER_S, 25 * NS_PER_S);
    assert_true(fakexen_said("vbd/768: the back end's state doesn't become InitWait within 10 s, it is 1"));
    nothing_is_left(b);
}

/* It says nothing new, but says it all the time. */
static bool chatters(void *opaque)
{
    fakexen.now_ns += 100 * NS_PER_MS;
    fakexen_set(BLKBACK_DIR "/state", "1");
    return true;
}

static void a_back_end_that_chatters(void **state)
{
    struct bench *b = *state;
    uint64_t before = fakexen.now_ns;
    fakexen.back = chatters;
    fakexen_set(BLKBACK_DIR "/state", "1");
    assert_int_equal(open_disk(b), -ETIMEDOUT);
    assert_in_range(fakexen.now_ns - before, 9 * NS_PER_S, 25 * NS_PER_S);
    nothing_is_left(b);
}

static void a_back_end_that_never_connects(void **state)
{
    struct bench *b = *state;
    b->back.stuck = true;
    assert_int_equal(open_disk(b), -ETIMEDOUT);
    assert_true(fakexen_said("doesn't become Connected"));
    nothing_is_left(b);
}

static void a_back_end_that_refuses(void **state)
{
    static const char *const states[] = { "5", "6", NULL };
    struct bench *b = *state;
    for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
        fakexen_init();
        blkback_init(&b->back);
        b->back.stuck = true;
        fakexen_set(BLKBACK_DIR "/state", states[i]);
        assert_int_equal(open_disk(b), -EIO);
        assert_true(fakexen_said("refuses the connection"));
        nothing_is_left(b);
    }
}

static void a_state_that_can_t_be_is_none(void **state)
{
    static const char *const states[] = { "0", "7", "8", "9", "4000000000", "x", "", "-4" };
    struct bench *b = *state;
    for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
        fakexen_init();
        blkback_init(&b->back);
        fakexen_set(BLKBACK_DIR "/state", states[i]);
        assert_int_equal(open_disk(b), -ETIMEDOUT);
        nothing_is_left(b);
    }
}

static void nodes_that_can_t_be_are_refused(void **state)
{
    static const struct {
        const char *node, *value, *line;
    } bad[] = {
        { BLKBACK_DIR "/sectors", "x", "sectors is no number" },
        { BLKBACK_DIR "/sectors", "-1", "sectors is no number" },
        { BLKBACK_DIR "/sectors", "", "sectors is no number" },
        { BLKBACK_DIR "/sectors", "18014398509481984", "sectors is no number" },
        { BLKBACK_DIR "/sectors", "18446744073709551616", "sectors is no number" },
        { BLKBACK_DIR "/sectors", "111111111111111111111111111111111111111", "sectors is no number" },
        { BLKBACK_DIR "/sectors", NULL, "sectors can't be read" },
        { BLKBACK_DIR "/sector-size", "0", "sectors of 0 bytes" },
        { BLKBACK_DIR "/sector-size", "256", "sectors of 256 bytes" },
        { BLKBACK_DIR "/sector-size", "513", "sectors of 513 bytes" },
        { BLKBACK_DIR "/sector-size", "8192", "sector-size is no number" },
        { BLKBACK_DIR "/info", "4294967296", "info is no number" },
        { BLKBACK_DIR "/feature-flush-cache", "yes", "feature-flush-cache is no number" },
        { BLKBACK_DIR "/feature-max-indirect-segments", "4294967296", "indirect-segments is no number" },
        { BLKBACK_DIR "/max-ring-page-order", "x", "max-ring-page-order is no number" },
        { BLKBACK_FRONT "/backend-id", "32752", "backend-id is no domain" },
        { BLKBACK_FRONT "/backend-id", "x", "backend-id is no domain" },
        { BLKBACK_FRONT "/backend-id", NULL, "backend or backend-id can't be read" },
        { BLKBACK_FRONT "/backend", NULL, "backend or backend-id can't be read" },
        { BLKBACK_FRONT "/backend", "/local/domain/0/backend/vbd/a-path-that-is-longer-than-the-path-of-any-back-end",
          "can't be read" },
    };
    struct bench *b = *state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        fakexen_init();
        blkback_init(&b->back);
        fakexen_set(bad[i].node, bad[i].value);
        assert_in_range(-open_disk(b), 1, 200);
        assert_true(fakexen_said(bad[i].line));
        assert_string_not_equal(fakexen_get(BLKBACK_FRONT "/state"), "4");
        nothing_is_left(b);
    }
}

static void a_path_that_can_t_be_is_refused(void **state)
{
    struct bench *b = *state;
    assert_int_equal(blkfront_open("vbd", &fakexen.loop, &fakexen.log, &b->block), -ENAMETOOLONG);
    assert_int_equal(blkfront_open("device/vbd/12345678901234567890123456789012345678901234567890123456789012345678",
                                   &fakexen.loop, &fakexen.log, &b->block),
                     -ENAMETOOLONG);
    assert_int_equal(blkfront_open("device/vbd/1", &fakexen.loop, &fakexen.log, &b->block), -ENOENT);
    nothing_is_left(b);
}

static void the_largest_values_are_fine(void **state)
{
    fakexen_set(BLKBACK_DIR "/sectors", "18014398509481983"); /* INT64_MAX bytes, in sectors */
    fakexen_set(BLKBACK_DIR "/max-ring-page-order", "4294967295");
    fakexen_set(BLKBACK_DIR "/feature-max-indirect-segments", "4294967295");
    struct bench *b = connected(state);
    assert_true(b->block->size_bytes == UINT64_C(18014398509481983) * 512);
    assert_int_equal(run(b, BLOCK_READ, 0, MIB_BYTES), 0);
}

/* --- What we have too little of --- */

static void with_less_memory_the_pool_is_smaller(void **state)
{
    static const struct {
        size_t pages;
        int err;
        unsigned segments; /* of the first entry of a long request */
    } cases[] = { { 266, 0, 32 }, { 265, 0, 15 },     { 134, 0, 15 },    { 133, 0, 11 },
                  { 18, 0, 11 },  { 17, -ENOMEM, 0 }, { 2, -ENOMEM, 0 }, { 1, -ENOMEM, 0 } };
    struct bench *b = *state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        fakexen_init();
        blkback_init(&b->back);
        fakexen.page_limit = cases[i].pages;
        assert_int_equal(open_disk(b), cases[i].err);
        if (cases[i].err) {
            assert_true(fakexen_said("no memory or grants"));
            nothing_is_left(b);
            continue;
        }
        fill(b, (uint8_t)i);
        assert_int_equal(run(b, BLOCK_WRITE, 0, 2 * MIB_BYTES), 0);
        assert_memory_equal(b->data, b->back.disk, 2 * MIB_BYTES);
        assert_int_equal(b->back.seen[0].nr_segments, cases[i].segments);
        block_close(b->block);
        b->block = NULL;
        assert_int_equal(fakexen_pages_used(), 0);
    }
}

static void without_grants_or_channels_it_fails(void **state)
{
    struct bench *b = *state;
    grant_ref_t ref;
    fakexen.fail_alloc_port = -ENOSPC;
    assert_int_equal(open_disk(b), -ENOSPC);
    assert_true(fakexen_said("no event channel"));
    nothing_is_left(b);
    blkback_init(&b->back);
    const uint8_t *page = page_alloc(1);
    while (gnttab_grant(0, page, false, &ref) == 0)
        continue;
    assert_int_equal(open_disk(b), -ENOSPC);
    assert_true(fakexen_said("no memory or grants"));
    assert_int_equal(fakexen_pages_used(), 1);
}

/* Everything that goes wrong with xenstore on the way ends the attempt, not more. */
static void xenstore_errors_end_the_attempt(void **state)
{
    struct bench *b = *state;
    assert_int_equal(open_disk(b), 0);
    unsigned all = fakexen.store.requests;
    block_close(b->block);
    for (unsigned i = 1; i <= all; i++) {
        fakexen_init();
        blkback_init(&b->back);
        b->block = NULL;
        fakexen.store.error = "EIO";
        fakexen.store.error_after = i - 1;
        int err = open_disk(b);
        if (err)
            nothing_is_left(b);
        else
            block_close(b->block);
        b->block = NULL;
    }
}

/* --- Back ends that lie --- */

static void all_fails(struct bench *b, const char *line)
{
    unsigned before = fakexen.lines;
    fakexen_settle();
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(b->ios[i].done, 1);
        assert_in_range(-b->ios[i].result, 0, EIO);
    }
    assert_int_equal(b->ios[7].result, -EIO);
    assert_int_equal(fakexen.lines - before, 1);
    assert_true(fakexen_said(line));
    uint32_t prod = blkback_index(&b->back, BLKBACK_REQ_PROD);
    assert_int_equal(run(b, BLOCK_READ, 0, 4096), -EIO);
    assert_int_equal(run(b, BLOCK_FLUSH, 0, 0), -EIO);
    assert_int_equal(run(b, BLOCK_WRITE, 0, MIB_BYTES), -EIO);
    block_drain(b->block);
    assert_int_equal(blkback_index(&b->back, BLKBACK_REQ_PROD), prod);
    assert_int_equal(fakexen.lines - before, 1);
}

static struct bench *with_requests(void **state)
{
    struct bench *b = connected(state);
    fakexen_settle();
    b->back.hold = true;
    for (unsigned i = 0; i < 8; i++)
        submit(b, i, i % 2 ? BLOCK_WRITE : BLOCK_READ, i * 262144, 262144);
    fakexen_settle();
    assert_int_equal(b->ios[0].done, 0);
    return b;
}

static void a_response_index_that_is_too_far(void **state)
{
    struct bench *b = with_requests(state);
    blkback_set_index(&b->back, BLKBACK_RSP_PROD, blkback_index(&b->back, BLKBACK_REQ_PROD) + 1);
    fakexen_raise(b->back.port);
    all_fails(b, "ring index");
}

static void a_response_index_that_goes_back(void **state)
{
    struct bench *b = with_requests(state);
    blkback_set_index(&b->back, BLKBACK_RSP_PROD, UINT32_MAX);
    fakexen_raise(b->back.port);
    all_fails(b, "ring index");
}

static void a_response_to_nothing(void **state)
{
    static const uint64_t ids[] = { 63, 64, UINT32_MAX, UINT64_MAX, UINT64_C(1) << 32 };
    struct bench *b = *state;
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        fakexen_init();
        blkback_init(&b->back);
        (void)with_requests(state);
        blkback_respond(&b->back, ids[i], BLKIF_OP_READ, 0);
        blkback_show(&b->back);
        all_fails(b, "answers what it wasn't asked");
        block_close(b->block);
        b->block = NULL;
    }
}

static void the_same_response_twice(void **state)
{
    struct bench *b = with_requests(state);
    blkback_respond(&b->back, 0, BLKIF_OP_READ, 0);
    blkback_respond(&b->back, 0, BLKIF_OP_READ, 0);
    blkback_show(&b->back);
    all_fails(b, "answers what it wasn't asked");
}

/* Indices and requests in the page are ours to write, not to believe. */
static void what_it_writes_to_our_part_of_the_ring_does_nothing(void **state)
{
    struct bench *b = connected(state);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(run(b, i % 2 ? BLOCK_READ : BLOCK_WRITE, i * 4096, 8192), 0);
        uint32_t prod = blkback_index(&b->back, BLKBACK_REQ_PROD);
        blkback_set_index(&b->back, BLKBACK_REQ_PROD, prod + 1000);
        blkback_set_index(&b->back, BLKBACK_RSP_EVENT, prod - 1000);
        struct io *io = submit(b, 0, BLOCK_READ, 0, 512);
        b->back.hold = true;
        fakexen_settle();
        assert_int_equal(blkback_index(&b->back, BLKBACK_REQ_PROD), prod + 1);
        b->back.hold = false;
        fakexen_settle();
        assert_int_equal(io->result, 0);
    }
}

static void a_back_end_that_goes_away(void **state)
{
    for (uint64_t s = 5; s <= 7; s++) {
        struct bench *b = *state;
        fakexen_init();
        blkback_init(&b->back);
        (void)with_requests(state);
        if (s == 7)
            fakexen_set(BLKBACK_DIR "/state", NULL); /* the toolstack took the device away */
        else
            fakexen_set_number(BLKBACK_DIR "/state", s);
        all_fails(b, "the back end closes");
        assert_string_equal(fakexen_get(BLKBACK_FRONT "/state"), "6");
        block_close(b->block);
        b->block = NULL;
    }
}

static void a_back_end_that_keeps_our_pages(void **state)
{
    struct bench *b = connected(state);
    assert_int_equal(run(b, BLOCK_READ, 0, MIB_BYTES), 0);
    b->back.stays = true;
    uint64_t before = fakexen.now_ns;
    block_close(b->block);
    b->block = NULL;
    assert_in_range(fakexen.now_ns - before, NS_PER_S, 5 * NS_PER_S);
    assert_true(fakexen_pages_used() > 0); /* never given to anything else */
    assert_non_null(strstr(fakexen.text, "doesn't close"));
    assert_non_null(strstr(fakexen.text, "memory is lost"));
}

static void a_back_end_that_never_answers_ends_a_drain(void **state)
{
    struct bench *b = with_requests(state);
    uint64_t before = fakexen.now_ns;
    block_drain(b->block);
    assert_in_range(fakexen.now_ns - before, 100 * NS_PER_S, 200 * NS_PER_S);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(b->ios[i].done, 1);
        assert_int_equal(b->ios[i].result, -EIO);
    }
    assert_true(fakexen_said("gives no answer"));
}

/* Events without anything in the ring. */
static void events_for_nothing_are_harmless(void **state)
{
    struct bench *b = with_requests(state);
    for (unsigned i = 0; i < 100; i++) {
        fakexen_raise(b->back.port);
        fakexen_settle();
    }
    assert_int_equal(b->ios[0].done, 0);
    b->back.hold = false;
    fakexen_settle();
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(b->ios[i].result, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_back_end_that_never_comes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_back_end_that_chatters, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_back_end_that_never_connects, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_back_end_that_refuses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_state_that_can_t_be_is_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nodes_that_can_t_be_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_path_that_can_t_be_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_largest_values_are_fine, set_up, tear_down),
        cmocka_unit_test_setup_teardown(with_less_memory_the_pool_is_smaller, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_grants_or_channels_it_fails, set_up, tear_down),
        cmocka_unit_test_setup_teardown(xenstore_errors_end_the_attempt, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_response_index_that_is_too_far, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_response_index_that_goes_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_response_to_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_same_response_twice, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_it_writes_to_our_part_of_the_ring_does_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_back_end_that_goes_away, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_back_end_that_keeps_our_pages, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_back_end_that_never_answers_ends_a_drain, set_up, tear_down),
        cmocka_unit_test_setup_teardown(events_for_nothing_are_harmless, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
