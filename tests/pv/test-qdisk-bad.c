/*
 * backends/pv/qdisk*.c with front ends that don't behave: each malformed request is answered with an error, touches
 * nothing outside of the image and the pages it names, and the next good one works.
 */
#include "fake.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum { READ, WRITE, BARRIER, FLUSH, PACKET, DISCARD, INDIRECT };
enum { OKAY = 0, ERROR = -1, UNSUPPORTED = -2, SECTORS = 2048 };

static int setup(void **state)
{
    *state = fake_new(PV_PERSISTENT);
    return 0;
}

static int setup_map(void **state)
{
    *state = fake_new(PV_MAP);
    return 0;
}

static int teardown(void **state)
{
    fake_free(*state);
    return 0;
}

static struct fake *connected(void **state, struct front *front, unsigned bits, bool persistent)
{
    struct fake *f = *state;
    fake_entry(f, "51712", "aio:/disk", "w", "disk");
    fake_start(f);
    front_connect(front, f, "51712", bits, 1, persistent);
    front_state(front, CONNECTED);
    return f;
}

/* The connection lives and serves. */
static void still_works(struct fake *f, struct front *front)
{
    struct seg s = { fake_grant(f), 1, 2 };
    fake_page(f, s.ref)[512] = 0x42;
    front_put(front, WRITE, 4711, SECTORS - 2, &s, 1);
    assert_int_equal(front_run(front, 4711), OKAY);
    assert_int_equal(f->disk->data[(SECTORS - 2) * 512], 0x42);
    assert_string_equal(fake_back(f, "state"), "4");
}

static void sectors_out_of_the_page(struct fake *f, struct front *front)
{
    static const uint8_t bad[][2] = { { 1, 0 }, { 0, 8 }, { 7, 255 }, { 8, 8 }, { 255, 255 }, { 255, 0 } };
    uint32_t ref = fake_grant(f), page = fake_grant(f);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct seg s[2] = { { ref, 0, 7 }, { ref, bad[i][0], bad[i][1] } };
        front_put(front, READ, i, 0, s, 2);
        assert_int_equal(front_run(front, i), ERROR);
        front_put(front, WRITE, i, 0, s, 2);
        assert_int_equal(front_run(front, i), ERROR);
        for (unsigned k = 0; k < 2; k++) {
            le32_put(fake_page(f, page) + 8 * k, ref);
            fake_page(f, page)[8 * k + 4] = s[k].first;
            fake_page(f, page)[8 * k + 5] = s[k].last;
        }
        front_put_indirect(front, WRITE, i, 0, page, 2);
        assert_int_equal(front_run(front, i), ERROR);
    }
}

static void segment_counts(struct fake *f, struct front *front)
{
    static const unsigned bad[] = { 0, 12, 128, 255 };
    struct seg s[11];
    for (unsigned i = 0; i < 11; i++)
        s[i] = (struct seg){ fake_grant(f), 0, 7 };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        front_put(front, READ, i, 0, s, bad[i]);
        assert_int_equal(front_run(front, i), ERROR);
        front_put(front, WRITE, i, 0, s, bad[i]);
        assert_int_equal(front_run(front, i), ERROR);
        front_put(front, BARRIER, i, 0, s, bad[i]);
        assert_int_equal(front_run(front, i), bad[i] ? ERROR : OKAY);
        front_put(front, FLUSH, i, 0, s, bad[i]);
        assert_int_equal(front_run(front, i), bad[i] ? ERROR : OKAY);
    }
    front_put(front, READ, 1, 0, s, 11);
    assert_int_equal(front_run(front, 1), OKAY);
}

static void indirect_requests(struct fake *f, struct front *front)
{
    static const uint16_t counts[] = { 0, 257, 512, 4096, 65535 };
    uint32_t page = fake_grant(f), ref = fake_grant(f);
    for (unsigned i = 0; i < 512; i++)
        le32_put(fake_page(f, page) + 8 * i, ref);
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        front_put_indirect(front, READ, i, 0, page, counts[i]);
        assert_int_equal(front_run(front, i), ERROR);
    }
    static const uint8_t ops[] = { BARRIER, FLUSH, PACKET, DISCARD, INDIRECT, 255 };
    for (size_t i = 0; i < sizeof(ops); i++) {
        uint8_t op;
        int status;
        front_put_indirect(front, ops[i], i, 0, page, 1);
        front_kick(front);
        assert_int_equal(front_response(front, &op, &status), i);
        assert_int_equal(status, UNSUPPORTED);
        assert_int_equal(op, ops[i]);
    }
    front_put_indirect(front, READ, 1, 0, 4000, 1); /* no such page of segments */
    assert_int_equal(front_run(front, 1), ERROR);
    le32_put(fake_page(f, page) + 8 * 255, 4000); /* its last segment's page isn't there */
    front_put_indirect(front, READ, 1, 0, page, 256);
    assert_int_equal(front_run(front, 1), ERROR);
    front_put_indirect(front, READ, 1, 0, page, 255);
    assert_int_equal(front_run(front, 1), OKAY);
}

static void sectors_beyond_the_end(struct fake *f, struct front *front)
{
    static const uint64_t bad[] = { SECTORS - 7,          SECTORS,           SECTORS + 1,
                                    UINT64_MAX / 512 - 3, UINT64_MAX / 512,  UINT64_MAX - 7,
                                    UINT64_MAX,           UINT64_C(1) << 63, UINT64_C(1) << 55 };
    struct seg s = { fake_grant(f), 0, 7 };
    memset(fake_page(f, s.ref), 0xee, 4096);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        front_put(front, WRITE, i, bad[i], &s, 1);
        assert_int_equal(front_run(front, i), ERROR);
        front_put(front, READ, i, bad[i], &s, 1);
        assert_int_equal(front_run(front, i), ERROR);
    }
    for (unsigned i = 0; i < SECTORS * 512; i++)
        assert_int_not_equal(f->disk->data[i], 0xee);
    assert_int_equal(fake_page(f, s.ref)[0], 0xee);
}

static void unknown_operations(struct fake *f, struct front *front)
{
    struct seg s = { fake_grant(f), 0, 7 };
    static const uint8_t bad[] = { PACKET, 7, 8, 127, 128, 255 };
    for (size_t i = 0; i < sizeof(bad); i++) {
        uint8_t op;
        int status;
        front_put(front, bad[i], i, 0, &s, 1);
        front_kick(front);
        assert_int_equal(front_response(front, &op, &status), i);
        assert_int_equal(status, UNSUPPORTED);
        assert_int_equal(op, bad[i]);
    }
}

static void bad_grants(struct fake *f, struct front *front)
{
    static const uint32_t bad[] = { 4000, FAKE_GRANTS, UINT32_MAX, 0 };
    struct seg s[3] = { { fake_grant(f), 0, 7 }, { 0, 0, 7 }, { fake_grant(f), 0, 7 } };
    for (unsigned round = 0; round < 500; round++) { /* resources don't leak: XSA-71 */
        s[1].ref = bad[round % 4];
        front_put(front, round & 4 ? WRITE : READ, round, 0, s, 3);
        assert_int_equal(front_run(front, round), ERROR);
    }
    /* One bad request doesn't take its neighbours along. */
    uint8_t op;
    int status;
    struct seg good = { fake_grant(f), 0, 7 }, none = { 4000, 0, 7 };
    front_put(front, WRITE, 1, 0, &good, 1);
    front_put(front, WRITE, 2, 8, &none, 1);
    front_put(front, WRITE, 3, 16, &good, 1);
    front_kick(front);
    int statuses[4] = { 99, 99, 99, 99 };
    for (unsigned i = 0; i < 3; i++) {
        uint64_t id = front_response(front, &op, &status);
        assert_in_range(id, 1, 3);
        statuses[id] = status;
    }
    assert_int_equal(statuses[1], OKAY);
    assert_int_equal(statuses[2], ERROR);
    assert_int_equal(statuses[3], OKAY);
}

static void (*const malformed[])(struct fake *f, struct front *front) = {
    sectors_out_of_the_page, segment_counts, indirect_requests, sectors_beyond_the_end, unknown_operations, bad_grants,
};

static void all_malformed(void **state, unsigned bits, bool persistent)
{
    struct front front;
    struct fake *f = connected(state, &front, bits, persistent);
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
        malformed[i](f, &front);
        still_works(f, &front);
    }
}

static void malformed_requests(void **state)
{
    all_malformed(state, 64, false);
}

static void malformed_requests_of_32_bits(void **state)
{
    all_malformed(state, 32, false);
}

static void malformed_requests_of_persistent_grants(void **state)
{
    all_malformed(state, 64, true);
}

/* A request of the other layout is garbage, not a way around a check: 32-bit entries read as 64-bit ones. */
static void the_wrong_layout(void **state)
{
    struct front front;
    struct fake *f = connected(state, &front, 64, false);
    struct seg s = { fake_grant(f), 0, 7 };
    front.bits = 32;
    for (unsigned i = 0; i < 40; i++) {
        front_put(&front, WRITE, i, 0, &s, 1);
        front_kick(&front);
    }
    assert_int_equal(front_index(&front, RSP_PROD), 40);
    assert_string_equal(fake_back(f, "state"), "4");
}

static void a_jump_of_the_index_disconnects(void **state)
{
    static const uint32_t jumps[] = { 33, 34, 1000, 0x7fffffff, 0x80000000, 0xffffffff };
    struct front front;
    struct fake *f = connected(state, &front, 64, false);
    for (size_t i = 0; i < sizeof(jumps) / sizeof(jumps[0]); i++) {
        front_set_index(&front, REQ_PROD, jumps[i]);
        fake_event(f);
        assert_string_equal(fake_back(f, "state"), "5");
        assert_int_equal(f->bound, 0);
        assert_int_equal(front_index(&front, RSP_PROD), 0);
        assert_non_null(strstr(f->rig->log_last, "ring index"));
        fake_event(f); /* nobody listens */
        front_state(&front, CLOSED);
        assert_string_equal(fake_back(f, "state"), "6");
        front_state(&front, INITIALISING);
        assert_string_equal(fake_back(f, "state"), "2");
        front_connect(&front, f, "51712", 64, 1, false);
        still_works(f, &front);
        front_state(&front, CLOSED);
        front_state(&front, INITIALISING);
        front_connect(&front, f, "51712", 64, 1, false);
        f->rig->log_last[0] = '\0';
        f->rig->now_ns += NS_PER_S * 20; /* lines are rationed */
    }
}

/* Backwards over requests that were taken, with some in flight. */
static void an_index_that_goes_back_disconnects(void **state)
{
    struct front front;
    struct fake *f = connected(state, &front, 64, false);
    struct seg s = { fake_grant(f), 0, 7 };
    f->disk->hold = true;
    for (unsigned i = 0; i < 4; i++)
        front_put(&front, READ, i, 100 * i, &s, 1);
    front_kick(&front);
    assert_int_equal(f->disk->block.in_flight, 4);
    front_set_index(&front, REQ_PROD, 2);
    fake_event(f);
    assert_string_equal(fake_back(f, "state"), "4"); /* until the image is done */
    f->disk->hold = false;
    rig_disk_release(f->disk);
    fake_settle(f);
    assert_string_equal(fake_back(f, "state"), "5");
    assert_int_equal(f->bound, 0);
}

static void a_ring_that_starts_insane_is_refused(void **state)
{
    struct front front;
    struct fake *f = *state;
    fake_entry(f, "51712", "aio:/disk", "w", "disk");
    fake_start(f);
    uint32_t ref = fake_grant(f);
    front = (struct front){ .fake = f, .bits = 64, .pages = 1, .refs = { ref } };
    front_set_index(&front, REQ_PROD, 1000);
    fake_writef(f, "/local/domain/7/device/vbd/51712", "ring-ref", "%u", ref);
    fake_writef(f, "/local/domain/7/device/vbd/51712", "event-channel", "3");
    fake_writef(f, "/local/domain/7/device/vbd/51712", "state", "3");
    fake_settle(f);
    assert_string_equal(fake_back(f, "state"), "5");
    assert_int_equal(f->grants[ref].mapped, 0);
}

/* More requests than the ring has, each answered at once: the rest of the machine gets its turn. */
static void a_full_ring_is_served_in_rounds(void **state)
{
    struct front front;
    (void)connected(state, &front, 64, false);
    for (unsigned i = 0; i < 32; i++)
        front_put(&front, 99, i, 0, NULL, 0);
    front_kick(&front);
    assert_int_equal(front_index(&front, RSP_PROD), 32);
    assert_int_equal(front_index(&front, REQ_EVENT), 33);
}

/* --- The guest changes what was read already (XSA-155) --- */

static struct front *racing;
static uint32_t racing_page;

static void overwrite_entries(struct fake *f)
{
    uint8_t *ring = fake_page(f, racing->refs[0]);
    memset(ring + 64, 0xff, PAGE_BYTES - 64);
    if (racing_page)
        memset(fake_page(f, racing_page), 0xff, PAGE_BYTES);
}

static void an_entry_is_read_once(void **state)
{
    struct front front;
    struct fake *f = connected(state, &front, 64, false);
    struct seg s = { fake_grant(f), 0, 0 };
    racing = &front;
    racing_page = 0;
    f->before_copy = overwrite_entries; /* after the check, before the use */
    fake_page(f, s.ref)[0] = 0x77;
    front_put(&front, WRITE, 5, 9, &s, 1);
    assert_int_equal(front_run(&front, 5), OKAY);
    assert_int_equal(f->disk->data[9 * 512], 0x77);
    assert_int_equal(f->disk->block.stats.bytes[BLOCK_WRITE], 512);
}

/* The page of segments is copied first, then the guest turns every count and reference in it over. */
static unsigned nth_copy;

static void overwrite_after_fetch(struct fake *f)
{
    if (nth_copy++ == 1)
        overwrite_entries(f);
}

static void a_page_of_segments_is_read_once(void **state)
{
    struct front front;
    struct fake *f = connected(state, &front, 64, false);
    uint32_t ref = fake_grant(f);
    racing = &front;
    racing_page = fake_grant(f);
    nth_copy = 0;
    f->before_copy = overwrite_after_fetch;
    le32_put(fake_page(f, racing_page), ref);
    fake_page(f, ref)[0] = 0x78;
    front_put_indirect(&front, WRITE, 5, 9, racing_page, 1);
    assert_int_equal(front_run(&front, 5), OKAY);
    assert_int_equal(nth_copy, 2);
    assert_int_equal(f->disk->data[9 * 512], 0x78);
    assert_int_equal(f->disk->block.stats.bytes[BLOCK_WRITE], 512);
}

static unsigned next(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 16;
}

struct scribbler {
    _Atomic(uint8_t) *ring, *segments;
    atomic_bool stop;
};

/* Another vCPU at work all the time: whatever is read twice would be two things. Only a sanitizer can tell. */
static void *scribble(void *opaque)
{
    struct scribbler *s = opaque;
    uint32_t seed = 7;
    while (!atomic_load(&s->stop)) {
        atomic_store_explicit(&s->ring[next(&seed) % (PAGE_BYTES - 64)], (uint8_t)next(&seed), memory_order_relaxed);
        atomic_store_explicit(&s->segments[next(&seed) % 64], (uint8_t)next(&seed), memory_order_relaxed);
    }
    return NULL;
}

static void a_guest_that_never_stops_writing(void **state)
{
    struct front front;
    struct fake *f = connected(state, &front, 64, false);
    uint32_t page = fake_grant(f), refs[4];
    struct seg s[4];
    pthread_t thread;
    for (unsigned i = 0; i < 4; i++)
        s[i] = (struct seg){ refs[i] = fake_grant(f), 0, 7 };
    struct scribbler guest = { .ring = (void *)(fake_page(f, front.refs[0]) + 64),
                               .segments = (void *)fake_page(f, page) };
    assert_int_equal(pthread_create(&thread, NULL, scribble, &guest), 0);
    for (unsigned i = 0; i < 3000; i++) {
        for (unsigned k = 0; k < 4; k++)
            le32_put(fake_page(f, page) + 8 * k, refs[k]);
        front_put(&front, i & 1 ? WRITE : READ, i, i % 1000, s, 4);
        front_put_indirect(&front, i & 2 ? WRITE : READ, i, i % 1000, page, 4);
        front_kick(&front);
    }
    atomic_store(&guest.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(front_index(&front, RSP_PROD), 6000);
    front.rsp_cons = front.req_prod;
    still_works(f, &front);
}

/* --- Anything at all --- */

static void random_bytes(void **state, unsigned bits, bool persistent)
{
    struct front front;
    struct fake *f = connected(state, &front, bits, persistent);
    uint32_t refs[8];
    uint32_t seed = 20;
    for (unsigned i = 0; i < 8; i++)
        refs[i] = fake_grant(f);
    for (unsigned round = 0; round < 20000; round++) {
        struct seg s = { refs[0], 0, 7 };
        front_put(&front, READ, round, 0, &s, 1);
        uint8_t *e = front_last(&front);
        for (unsigned i = 0; i < (bits == 32 ? 108u : 112u); i++) {
            if (next(&seed) % 4 == 0)
                e[i] = (uint8_t)next(&seed);
        }
        e[0] = (uint8_t)(next(&seed) % 8);
        if (next(&seed) % 2)
            le32_put(e + (bits == 32 ? 20 : 24), refs[next(&seed) % 8]);
        for (unsigned i = 0; i < 8; i++)
            fake_page(f, refs[next(&seed) % 8])[next(&seed) % 4096] = (uint8_t)next(&seed);
        if (front.req_prod - front.rsp_cons < 32 && next(&seed) % 8)
            continue;
        uint8_t op;
        int status;
        front_kick(&front);
        while (front_response(&front, &op, &status), front_index(&front, RSP_PROD) != front.rsp_cons)
            continue;
        assert_int_equal(front.rsp_cons, front.req_prod); /* each has its answer */
    }
}

static void random_entries(void **state)
{
    random_bytes(state, 64, false);
}

static void random_entries_of_32_bits(void **state)
{
    random_bytes(state, 32, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(malformed_requests, setup, teardown),
        cmocka_unit_test_setup_teardown(malformed_requests_of_32_bits, setup, teardown),
        cmocka_unit_test_setup_teardown(malformed_requests_of_persistent_grants, setup, teardown),
        cmocka_unit_test_setup_teardown(the_wrong_layout, setup, teardown),
        cmocka_unit_test_setup_teardown(the_wrong_layout, setup_map, teardown),
        cmocka_unit_test_setup_teardown(a_jump_of_the_index_disconnects, setup, teardown),
        cmocka_unit_test_setup_teardown(an_index_that_goes_back_disconnects, setup, teardown),
        cmocka_unit_test_setup_teardown(a_ring_that_starts_insane_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_ring_is_served_in_rounds, setup, teardown),
        cmocka_unit_test_setup_teardown(an_entry_is_read_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_page_of_segments_is_read_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_guest_that_never_stops_writing, setup, teardown),
        cmocka_unit_test_setup_teardown(random_entries, setup, teardown),
        cmocka_unit_test_setup_teardown(random_entries_of_32_bits, setup, teardown),
    };
    return cmocka_run_group_tests_name("pv-qdisk-bad", tests, NULL, NULL);
}
