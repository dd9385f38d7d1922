/* backends/pv/qdisk*.c with front ends that behave. Clauses: xen/include/public/io/blkif.h. */
#include "fake.h"

#include <errno.h>
#include <string.h>

enum { READ, WRITE, BARRIER, FLUSH, DISCARD = 5, INDIRECT };
enum { OKAY = 0, ERROR = -1, UNSUPPORTED = -2 };

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

static int setup_copy(void **state)
{
    *state = fake_new(PV_COPY);
    return 0;
}

static int setup_shared(void **state)
{
    struct fake *f = *state = fake_new(PV_PERSISTENT);
    f->shared = true;
    return 0;
}

static int teardown(void **state)
{
    fake_free(*state);
    return 0;
}

static struct fake *connected(void **state, struct front *front, unsigned bits, unsigned pages, bool persistent)
{
    struct fake *f = *state;
    fake_entry(f, "51712", "aio:/disk", "w", "disk");
    fake_start(f);
    front_connect(front, f, "51712", bits, pages, persistent);
    return f;
}

static void fill(uint8_t *at, size_t len, unsigned seed)
{
    for (size_t i = 0; i < len; i++)
        at[i] = (uint8_t)(seed * 31 + i * 7 + i / 512);
}

/* A write of pieces of two pages, and back into others; then the same as indirect requests. */
static void round_trip(struct fake *f, struct front *front)
{
    uint8_t expect[9 * 512];
    struct seg out[2] = { { fake_grant(f), 0, 7 }, { fake_grant(f), 3, 3 } };
    struct seg in[2] = { { fake_grant(f), 7, 7 }, { fake_grant(f), 0, 7 } };
    fill(fake_page(f, out[0].ref), 4096, 1);
    fill(fake_page(f, out[1].ref), 4096, 2);
    memcpy(expect, fake_page(f, out[0].ref), 4096);
    memcpy(expect + 4096, fake_page(f, out[1].ref) + 3 * 512, 512);
    front_put(front, WRITE, 0x1122334455667788, 100, out, 2);
    assert_int_equal(front_run(front, 0x1122334455667788), OKAY);
    assert_memory_equal(f->disk->data + 100 * 512, expect, sizeof(expect));
    front_put(front, READ, 2, 100, in, 2);
    assert_int_equal(front_run(front, 2), OKAY);
    assert_memory_equal(fake_page(f, in[0].ref) + 7 * 512, expect, 512);
    assert_memory_equal(fake_page(f, in[1].ref), expect + 512, 4096);
    uint32_t page = fake_grant(f);
    for (unsigned i = 0; i < 2; i++) {
        le32_put(fake_page(f, page) + 8 * i, in[i].ref);
        fake_page(f, page)[8 * i + 4] = in[i].first;
        fake_page(f, page)[8 * i + 5] = in[i].last;
        memset(fake_page(f, in[i].ref), 0, 4096);
    }
    front_put_indirect(front, READ, 3, 100, page, 2);
    assert_int_equal(front_run(front, 3), OKAY);
    assert_memory_equal(fake_page(f, in[1].ref), expect + 512, 4096);
    assert_int_equal(fake_page(f, in[0].ref)[0], 0); /* not asked for */
}

/* What is to be written needs no more than to be read; what is read needs a page that can be written. */
static void read_only_grants(void **state)
{
    for (unsigned persistent = 0; persistent < 2; persistent++) {
        struct front front;
        struct fake *f = *state;
        fake_entry(f, "51712", "aio:/disk", "w", "disk");
        if (!f->pv)
            fake_start(f);
        front_connect(&front, f, "51712", 64, 1, persistent);
        struct seg s = { fake_grant(f), 0, 0 };
        fill(fake_page(f, s.ref), 512, 3);
        f->grants[s.ref].read_only = true;
        front_put(&front, WRITE, 1, 7, &s, 1);
        assert_int_equal(front_run(&front, 1), OKAY);
        assert_memory_equal(f->disk->data + 7 * 512, fake_page(f, s.ref), 512);
        front_put(&front, READ, 2, 9, &s, 1);
        assert_int_equal(front_run(&front, 2), ERROR);
        front_state(&front, CLOSED);
        front_state(&front, INITIALISING);
    }
}

static void it_moves_data(void **state)
{
    struct front front;
    struct fake *f = connected(state, &front, 64, 1, false);
    round_trip(f, &front);
}

static void it_moves_data_of_32_bits(void **state)
{
    struct front front;
    struct fake *f = connected(state, &front, 32, 1, false);
    round_trip(f, &front);
}

static void it_moves_data_of_persistent_grants(void **state)
{
    struct front front;
    struct fake *f = connected(state, &front, 64, 1, true);
    round_trip(f, &front);
    assert_int_equal(f->copies, 0);
    unsigned calls = f->map_calls;
    struct seg s = { 9, 0, 7 }; /* the first page of the round trip */
    front_put(&front, READ, 1, 0, &s, 1);
    assert_int_equal(front_run(&front, 1), OKAY);
    assert_int_equal(f->map_calls, calls); /* still there */
    assert_int_equal(f->grants[9].mapped, 1);
}

static void persistent_grants_are_an_offer(void **state)
{
    struct front front;
    struct fake *f = connected(state, &front, 64, 1, true);
    assert_string_equal(fake_back(f, "feature-persistent"), "0");
    round_trip(f, &front);
    assert_int_equal(f->map_calls, 1); /* the ring */
}

/* What the emulated disk has open too: not locked, and a format's tables are read when it has gone. */
static void a_shared_image_opens_late(void **state)
{
    struct front front;
    struct fake *f = *state;
    fake_entry(f, "51728", "aio:/disk", "w", "disk");
    fake_start(f);
    assert_int_equal(f->opens, 1);
    assert_false(f->opened.lock);
    fake_entry(f, "51712", "qcow2:/disk", "w", "disk");
    fake_settle(f);
    assert_int_equal(f->opens, 1);
    assert_string_equal(fake_back(f, "state"), "2");
    assert_string_equal(fake_back(f, "feature-discard"), "1");
    f->image_bytes = 0; /* not unplugged: the other view has it */
    front_connect(&front, f, "51712", 64, 1, false);
    assert_string_equal(fake_back(f, "state"), "5");
    front_state(&front, CLOSED);
    front_state(&front, INITIALISING);
    f->image_bytes = 1 << 20;
    front_connect(&front, f, "51712", 64, 1, false);
    assert_string_equal(fake_back(f, "state"), "4");
    assert_string_equal(fake_back(f, "sectors"), "2048");
    round_trip(f, &front);
}

static void it_moves_data_of_a_big_ring(void **state)
{
    struct front front;
    struct fake *f = connected(state, &front, 64, 16, false);
    for (unsigned i = 0; i < 1200; i++) { /* around it more than twice */
        struct seg s = { i == 0 ? fake_grant(f) : 24, 0, 0 };
        fill(fake_page(f, s.ref), 512, i);
        front_put(&front, WRITE, i, i, &s, 1);
        assert_int_equal(front_run(&front, i), OKAY);
        assert_memory_equal(f->disk->data + i * 512, fake_page(f, s.ref), 512);
    }
}

static void the_oldest_grant_goes(void **state)
{
    struct front front;
    struct fake *f = connected(state, &front, 64, 1, true);
    for (unsigned i = 0; i < 1300; i++) {
        struct seg s = { fake_grant(f), 0, 0 };
        fill(fake_page(f, s.ref), 512, i);
        front_put(&front, WRITE, i, i, &s, 1);
        assert_int_equal(front_run(&front, i), OKAY);
        assert_memory_equal(f->disk->data + i * 512, fake_page(f, s.ref), 512);
    }
    assert_int_equal(f->map_calls - f->unmap_calls, 1056 + 1); /* and the ring */
    assert_int_equal(f->grants[9].mapped, 0);
    struct seg s = { 9, 0, 0 }; /* comes again */
    front_put(&front, READ, 1, 5, &s, 1);
    assert_int_equal(front_run(&front, 1), OKAY);
    assert_memory_equal(fake_page(f, 9), f->disk->data + 5 * 512, 512);
}

/* What waits in the ring together costs one copy call each way, one request to the image and one notification. */
static void a_round_is_one(void **state)
{
    struct front front;
    struct fake *f = connected(state, &front, 64, 1, false);
    uint8_t op;
    int status;
    for (unsigned i = 0; i < 8; i++) {
        struct seg s = { fake_grant(f), 0, 7 };
        fill(fake_page(f, s.ref), 4096, i);
        front_put(&front, WRITE, i, i * 8, &s, 1);
    }
    front_set_index(&front, RSP_EVENT, 1);
    front_kick(&front);
    assert_int_equal(f->copy_calls, 1);
    assert_int_equal(f->copies, 8);
    assert_int_equal(f->notified, 1);
    assert_int_equal(f->disk->block.stats.ops[BLOCK_WRITE], 1);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(front_response(&front, &op, &status), i);
        assert_int_equal(status, OKAY);
        assert_int_equal(op, WRITE);
        assert_memory_equal(f->disk->data + i * 4096, fake_page(f, 9 + i), 4096);
    }
    for (unsigned i = 0; i < 8; i++) {
        struct seg s = { 9 + i, 0, 7 };
        memset(fake_page(f, s.ref), 0, 4096);
        front_put(&front, READ, i, i * 8, &s, 1);
    }
    front_kick(&front);
    assert_int_equal(f->copy_calls, 2);
    assert_int_equal(f->disk->block.stats.ops[BLOCK_READ], 1);
    for (unsigned i = 0; i < 8; i++)
        assert_memory_equal(f->disk->data + i * 4096, fake_page(f, 9 + i), 4096);
}

static void neighbours_that_differ_are_not_merged(void **state)
{
    struct front front;
    struct fake *f = connected(state, &front, 64, 1, false);
    struct seg s = { fake_grant(f), 0, 7 };
    front_put(&front, WRITE, 1, 0, &s, 1);
    front_put(&front, READ, 2, 8, &s, 1);  /* another direction */
    front_put(&front, READ, 3, 24, &s, 1); /* a gap */
    front_put(&front, READ, 4, 16, &s, 1); /* backwards */
    front_put(&front, FLUSH, 5, 0, NULL, 0);
    front_kick(&front);
    assert_int_equal(f->disk->block.stats.ops[BLOCK_WRITE], 1);
    assert_int_equal(f->disk->block.stats.ops[BLOCK_READ], 3);
    assert_int_equal(f->disk->flushes, 1);
}

static void notification_is_only_on_request(void **state)
{
    struct front front;
    struct fake *f = connected(state, &front, 64, 1, false);
    struct seg s = { fake_grant(f), 0, 0 };
    assert_int_equal(front_index(&front, REQ_EVENT), 1); /* the next request is to be announced */
    front_set_index(&front, RSP_EVENT, 3);
    front_put(&front, READ, 1, 0, &s, 1);
    front_kick(&front);
    assert_int_equal(f->notified, 0);
    assert_int_equal(front_index(&front, REQ_EVENT), 2);
    front_put(&front, READ, 2, 0, &s, 1);
    front_kick(&front);
    assert_int_equal(f->notified, 0);
    front_put(&front, READ, 3, 0, &s, 1);
    front_kick(&front);
    assert_int_equal(f->notified, 1);
    fake_event(f); /* about nothing */
    assert_int_equal(f->notified, 1);
}

enum { MS = 1000000 };

/* nr requests at a time; after how many more the back end is to be told. */
static uint32_t asked_after(struct front *front, unsigned nr, unsigned rounds)
{
    struct seg s = { FAKE_FIRST_GRANT + front->fake->nr_grants - 1, 0, 0 };
    uint8_t op;
    int status;
    for (unsigned round = 0; round < rounds; round++) {
        for (unsigned i = 0; i < nr; i++)
            front_put(front, READ, i, 8 * i, &s, 1);
        front_kick(front);
        for (unsigned i = 0; i < nr; i++)
            assert_int_equal(front_response(front, &op, &status), i);
    }
    return front_index(front, REQ_EVENT) - front->req_prod;
}

/* Requests that the back end isn't told of are served within 10 ms. */
static void unannounced(struct front *front, unsigned nr)
{
    struct fake *f = front->fake;
    struct seg s = { FAKE_FIRST_GRANT + f->nr_grants - 1, 0, 0 };
    uint8_t op;
    int status;
    assert_true(front_index(front, REQ_EVENT) - front->req_prod > nr);
    for (unsigned i = 0; i < nr; i++)
        front_put(front, READ, i, 8 * i, &s, 1);
    front_set_index(front, REQ_PROD, front->req_prod);
    for (unsigned i = 0; i < 1000 && front_index(front, RSP_PROD) == front->rsp_cons; i++)
        rig_run(f->rig, MS / 100);
    for (unsigned i = 0; i < nr; i++)
        assert_int_equal(front_response(front, &op, &status), i);
}

static void one_at_a_time_is_announced_each_time(void **state)
{
    struct front front;
    struct fake *f = connected(state, &front, 64, 1, false);
    (void)fake_grant(f);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(asked_after(&front, 1, 1), 1);
}

static void many_are_collected_before_they_are_announced(void **state)
{
    struct front front;
    struct fake *f = connected(state, &front, 64, 1, false);
    (void)fake_grant(f);
    assert_int_equal(asked_after(&front, 16, 3), 1); /* it may be chance */
    assert_int_equal(asked_after(&front, 16, 1), 2);
    assert_int_equal(asked_after(&front, 16, 4), 3);
    assert_int_equal(asked_after(&front, 16, 16), 7);
    assert_int_equal(asked_after(&front, 16, 40), 8); /* no more than that */
    assert_int_equal(asked_after(&front, 7, 40), 8);
}

static void what_waits_in_vain_is_served_and_asked_for_less(void **state)
{
    struct front front;
    struct fake *f = connected(state, &front, 64, 1, false);
    (void)fake_grant(f);
    assert_int_equal(asked_after(&front, 16, 28), 8);
    unannounced(&front, 7);
    assert_int_equal(asked_after(&front, 1, 0), 7);
    unannounced(&front, 1);
    assert_int_equal(asked_after(&front, 1, 9), 1);
    assert_int_equal(asked_after(&front, 16, 15), 1); /* the next try comes later than the first one */
    assert_int_equal(asked_after(&front, 16, 1), 2);
}

static void who_has_stopped_is_asked_for_the_next_one(void **state)
{
    struct front front;
    struct fake *f = connected(state, &front, 64, 1, false);
    (void)fake_grant(f);
    assert_int_equal(asked_after(&front, 16, 28), 8);
    rig_run(f->rig, 10 * MS);
    assert_int_equal(asked_after(&front, 1, 0), 1);
    assert_int_equal(asked_after(&front, 1, 1), 8); /* it goes on, and what was learnt holds */
    front_state(&front, CLOSED);
    rig_run(f->rig, 10 * MS); /* nothing is left that would fire */
    assert_int_equal(f->bound, 0);
}

static void requests_before_the_connection_are_served(void **state)
{
    struct front front;
    struct fake *f = *state;
    uint8_t op;
    int status;
    fake_entry(f, "51712", "aio:/disk", "w", "disk");
    fake_start(f);
    front = (struct front){ .fake = f, .bits = 64, .pages = 1, .refs = { fake_grant(f) } };
    struct seg s = { fake_grant(f), 0, 0 };
    front_put(&front, READ, 77, 0, &s, 1);
    front_set_index(&front, REQ_PROD, 1);
    fake_writef(f, "/local/domain/7/device/vbd/51712", "ring-ref", "%u", front.refs[0]);
    fake_writef(f, "/local/domain/7/device/vbd/51712", "event-channel", "3");
    fake_writef(f, "/local/domain/7/device/vbd/51712", "state", "3");
    fake_settle(f);
    assert_int_equal(front_response(&front, &op, &status), 77);
}

static void a_flush_is_one(void **state)
{
    struct front front;
    struct fake *f = connected(state, &front, 64, 1, false);
    struct seg s = { fake_grant(f), 0, 0 };
    front_put(&front, FLUSH, 1, 0, NULL, 0);
    assert_int_equal(front_run(&front, 1), OKAY);
    assert_int_equal(f->disk->flushes, 1);
    fill(fake_page(f, s.ref), 512, 4);
    front_put(&front, FLUSH, 2, 6, &s, 1); /* with data: flush, then write */
    assert_int_equal(front_run(&front, 2), OKAY);
    assert_int_equal(f->disk->flushes, 2);
    assert_memory_equal(f->disk->data + 6 * 512, fake_page(f, s.ref), 512);
}

/* All before it first, then it, then what is behind it. */
static void a_barrier_is_one(void **state)
{
    struct front front;
    struct fake *f = connected(state, &front, 64, 1, false);
    uint8_t op;
    int status;
    struct seg a = { fake_grant(f), 0, 0 }, b = { fake_grant(f), 0, 0 }, c = { fake_grant(f), 0, 0 };
    fake_page(f, a.ref)[0] = 'a';
    fake_page(f, b.ref)[0] = 'b';
    fake_page(f, c.ref)[0] = 'c';
    f->disk->hold = true;
    front_put(&front, WRITE, 1, 0, &a, 1);
    front_put(&front, BARRIER, 2, 0, &b, 1);
    front_put(&front, WRITE, 3, 0, &c, 1);
    front_kick(&front);
    assert_int_equal(f->disk->block.in_flight, 1);
    rig_disk_release(f->disk);
    fake_settle(f);
    assert_int_equal(front_response(&front, &op, &status), 1);
    assert_int_equal(front_response(&front, &op, &status), 2);
    assert_int_equal(status, OKAY);
    assert_int_equal(op, BARRIER);
    assert_int_equal(front_response(&front, &op, &status), 3);
    assert_int_equal(f->disk->data[0], 'c');
    assert_int_equal(f->disk->flushes, 2);
    front_put(&front, BARRIER, 4, 0, NULL, 0);
    assert_int_equal(front_run(&front, 4), OKAY);
    assert_int_equal(f->disk->flushes, 3);
    uint32_t bad = 4000;
    front_put(&front, BARRIER, 5, 0, &(struct seg){ bad, 0, 0 }, 1);
    assert_int_equal(front_run(&front, 5), ERROR);
    front_put(&front, WRITE, 6, 0, &a, 1); /* the way is free */
    assert_int_equal(front_run(&front, 6), OKAY);
}

static void a_discard_is_one(void **state)
{
    struct front front;
    struct fake *f = connected(state, &front, 64, 1, false);
    memset(f->disk->data, 1, 4096);
    front_put_discard(&front, 0, 1, 2, 3);
    assert_int_equal(front_run(&front, 1), OKAY);
    assert_int_equal(f->disk->data[2 * 512 - 1], 1);
    assert_int_equal(f->disk->data[2 * 512], 0);
    assert_int_equal(f->disk->data[5 * 512 - 1], 0);
    assert_int_equal(f->disk->data[5 * 512], 1);
    front_put_discard(&front, 1, 2, 2, 3); /* secure */
    assert_int_equal(front_run(&front, 2), UNSUPPORTED);
    front_put_discard(&front, 0, 3, 2047, 2);
    assert_int_equal(front_run(&front, 3), ERROR);
    front_put_discard(&front, 0, 4, 0, UINT64_MAX);
    assert_int_equal(front_run(&front, 4), ERROR);
    front_put_discard(&front, 0, 5, UINT64_MAX, 1);
    assert_int_equal(front_run(&front, 5), ERROR);
    front_put_discard(&front, 0, 6, 2048, 0);
    assert_int_equal(front_run(&front, 6), OKAY);
}

static void discard_can_be_forbidden(void **state)
{
    struct front front;
    struct fake *f = *state;
    fake_entry(f, "51712", "aio:/disk", "w", "disk");
    fake_write(f, "backend/qdisk/7/51712/discard-enable", "0");
    fake_start(f);
    assert_null(fake_back(f, "feature-discard"));
    front_connect(&front, f, "51712", 32, 1, false);
    front_put_discard(&front, 0, 1, 0, 1);
    assert_int_equal(front_run(&front, 1), UNSUPPORTED);
}

static void read_only_is_enforced(void **state)
{
    struct front front;
    struct fake *f = *state;
    fake_entry(f, "51712", "aio:/disk", "r", "disk");
    fake_start(f);
    assert_string_equal(fake_back(f, "info"), "4");
    assert_true(f->opened.read_only);
    assert_false(f->opened.lock);
    front_connect(&front, f, "51712", 64, 1, false);
    struct seg s = { fake_grant(f), 0, 0 };
    front_put(&front, WRITE, 1, 0, &s, 1);
    assert_int_equal(front_run(&front, 1), ERROR);
    front_put(&front, BARRIER, 2, 0, &s, 1);
    assert_int_equal(front_run(&front, 2), ERROR);
    front_put_discard(&front, 0, 3, 0, 1);
    assert_int_equal(front_run(&front, 3), UNSUPPORTED);
    front_put(&front, READ, 4, 0, &s, 1);
    assert_int_equal(front_run(&front, 4), OKAY);
    front_put(&front, FLUSH, 5, 0, NULL, 0);
    assert_int_equal(front_run(&front, 5), OKAY);
}

static void errors_of_the_image_reach_the_guest(void **state)
{
    struct front front;
    struct fake *f = connected(state, &front, 64, 1, false);
    struct seg s[2] = { { fake_grant(f), 0, 7 }, { fake_grant(f), 0, 7 } };
    uint8_t op;
    int status;
    f->disk->fail = -ENOSPC;
    f->disk->fail_op = BLOCK_WRITE;
    front_put(&front, WRITE, 1, 0, &s[0], 1);
    front_put(&front, WRITE, 2, 8, &s[1], 1); /* merged with it */
    front_kick(&front);
    for (unsigned i = 1; i <= 2; i++) {
        assert_int_equal(front_response(&front, &op, &status), i);
        assert_int_equal(status, ERROR);
    }
    f->disk->fail_op = BLOCK_FLUSH;
    front_put(&front, BARRIER, 3, 0, &s[0], 1);
    assert_int_equal(front_run(&front, 3), ERROR);
    f->disk->fail = 0;
    front_put(&front, WRITE, 4, 0, &s[0], 1);
    assert_int_equal(front_run(&front, 4), OKAY);
}

static void a_cd_can_be_changed(void **state)
{
    struct front front;
    struct fake *f = *state;
    fake_entry(f, "51712", "aio:", "r", "cdrom");
    fake_start(f);
    assert_int_equal(f->opens, 0);
    assert_string_equal(fake_back(f, "state"), "2");
    assert_string_equal(fake_back(f, "info"), "5");
    assert_string_equal(fake_back(f, "sectors"), "0");
    front_connect(&front, f, "51712", 64, 1, false);
    front_state(&front, CONNECTED);
    struct seg s = { fake_grant(f), 0, 0 };
    front_put(&front, READ, 1, 0, &s, 1);
    assert_int_equal(front_run(&front, 1), ERROR);
    fake_write(f, "backend/qdisk/7/51712/params", "aio:/one.iso");
    fake_settle(f);
    assert_string_equal(f->opened.path, "/one.iso");
    assert_true(f->opened.read_only);
    assert_string_equal(fake_back(f, "sectors"), "2048");
    assert_string_equal(fake_back(f, "state"), "4");
    front_put(&front, READ, 2, 0, &s, 1);
    assert_int_equal(front_run(&front, 2), OKAY);
    f->disk->hold = true; /* taken out while it is read */
    front_put(&front, READ, 3, 0, &s, 1);
    front_kick(&front);
    fake_write(f, "backend/qdisk/7/51712/params", "aio:");
    fake_settle(f);
    assert_true(f->disk_closed);
    assert_string_equal(fake_back(f, "sectors"), "0");
    assert_int_equal(front_run(&front, 3), OKAY);
    f->disk = NULL;
    front_put(&front, READ, 5, 0, &s, 1); /* ends while the drive is empty: nothing to wait for */
    front_put(&front, BARRIER, 6, 0, NULL, 0);
    front_kick(&front);
    uint8_t op;
    int status;
    assert_int_equal(front_response(&front, &op, &status), 5);
    assert_int_equal(status, ERROR);
    assert_int_equal(front_response(&front, &op, &status), 6);
    assert_int_equal(status, ERROR);
    f->image_bytes = 0;
    fake_write(f, "backend/qdisk/7/51712/params", "aio:/nowhere.iso");
    fake_settle(f);
    assert_string_equal(fake_back(f, "state"), "4");
    front_put(&front, READ, 4, 0, &s, 1);
    assert_int_equal(front_run(&front, 4), ERROR);
}

/* What libxl writes for cd-eject and cd-insert, the type with it: the front end stays connected and is told each time.
 */
static void cd_insert_and_eject_of_libxl(void **state)
{
    static const struct {
        const char *params, *sectors;
    } steps[] = {
        { "aio:/one.iso", "2048" }, { "", "0" }, { "aio:/two.iso", "2048" }, { "aio:/one.iso", "2048" }, { "", "0" }
    };
    struct front front;
    struct fake *f = *state;
    fake_entry(f, "51712", "", "r", "cdrom");
    fake_start(f);
    front_connect(&front, f, "51712", 64, 1, false);
    front_state(&front, CONNECTED);
    struct seg s = { fake_grant(f), 0, 0 };
    for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        unsigned states = f->states;
        fake_write(f, "backend/qdisk/7/51712/type", "qdisk");
        fake_write(f, "backend/qdisk/7/51712/params", steps[i].params);
        fake_settle(f);
        assert_int_equal(f->states, states + 1);
        assert_string_equal(fake_back(f, "state"), "4");
        assert_string_equal(fake_back(f, "sectors"), steps[i].sectors);
        front_put(&front, READ, i, 0, &s, 1);
        assert_int_equal(front_run(&front, i), steps[i].params[0] ? OKAY : ERROR);
    }
    unsigned states = f->states;
    fake_write(f, "backend/qdisk/7/51712/params", ""); /* written again, and nothing new in it */
    fake_settle(f);
    assert_int_equal(f->states, states);
}

static void a_grown_image_is_told(void **state)
{
    struct front front;
    struct fake *f = connected(state, &front, 64, 1, false);
    struct seg s = { fake_grant(f), 0, 7 };
    char error[CONFIG_ERROR_BYTES] = "";
    front_state(&front, CONNECTED);
    unsigned states = f->states;
    fake_write(f, "backend/qdisk/7/51712/params", "aio:/disk"); /* look again: nothing new */
    fake_settle(f);
    assert_int_equal(f->states, states);
    front_put(&front, WRITE, 1, 2048, &s, 1);
    assert_int_equal(front_run(&front, 1), ERROR);
    f->image_bytes += MIB / 2;
    fake_write(f, "backend/qdisk/7/51712/params", "aio:/disk");
    fake_settle(f);
    assert_string_equal(fake_back(f, "sectors"), "3072");
    assert_string_equal(fake_back(f, "state"), "4");
    assert_int_equal(f->states, states + 1); /* written again: front ends look at sectors then */
    front_put(&front, WRITE, 2, 2048, &s, 1);
    assert_int_equal(front_run(&front, 2), OKAY);
    f->image_bytes += MIB / 2; /* by the monitor */
    assert_int_equal(pv_block_resize(f->pv, "51712", 2 * MIB, error), 0);
    assert_string_equal(fake_back(f, "sectors"), "4096");
    assert_int_equal(f->states, states + 2);
    assert_int_equal(f->opens, 1);
}

static void the_monitor_cannot_make_a_disk_longer(void **state)
{
    struct front front;
    struct fake *f = connected(state, &front, 64, 1, false);
    char error[CONFIG_ERROR_BYTES] = "";
    unsigned states = f->states;
    assert_int_equal(pv_block_resize(f->pv, "51712", 2 * MIB, error), -EINVAL);
    assert_string_equal(error, "qdisk 51712 has 1048576 bytes; its image must be made longer first");
    f->image_bytes /= 2; /* what a guest knows isn't taken from it */
    assert_int_equal(pv_block_resize(f->pv, "51712", MIB / 2, error), -EINVAL);
    assert_int_equal(pv_block_resize(f->pv, "51728", MIB, error), -ENODEV);
    assert_string_equal(fake_back(f, "sectors"), "2048");
    assert_int_equal(f->states, states);
}

static void formats_are_passed_on(void **state)
{
    static const struct {
        const char *params, *format, *path;
    } cases[] = {
        { "/plain", "raw", "/plain" },
        { "aio:/a:b", "raw", "/a:b" },
        { "qcow2:/q", "qcow2", "/q" },
        { "vhd:/v", "vpc", "/v" },
        { "nbd:unix:/sock", "raw", "nbd:unix:/sock" },
        { "aio:nbd:h:1", "raw", "nbd:h:1" },
    };
    struct fake *f = *state;
    fake_start(f);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char name[8];
        (void)snprintf(name, sizeof(name), "%u", i);
        fake_entry(f, name, cases[i].params, "w", "disk");
        fake_settle(f);
        assert_string_equal(f->opened.format, cases[i].format);
        assert_string_equal(f->opened.path, cases[i].path);
    }
}

static void a_slow_disk_holds_up_nobody(void **state)
{
    struct front front;
    struct fake *f = connected(state, &front, 64, 1, false);
    struct seg s = { fake_grant(f), 0, 0 };
    f->disk->hold = true;
    front_put(&front, WRITE, 1, 0, &s, 1);
    front_kick(&front);
    front_state(&front, CLOSING); /* comes back at once */
    assert_string_equal(fake_back(f, "state"), "4");
    assert_int_equal(f->grants[front.refs[0]].mapped, 1);
    f->disk->hold = false;
    rig_disk_release(f->disk);
    fake_settle(f);
    assert_string_equal(fake_back(f, "state"), "5");
    assert_int_equal(f->grants[front.refs[0]].mapped, 0);
}

static void the_end_waits_for_requests(void **state)
{
    struct front front;
    struct fake *f = connected(state, &front, 64, 1, false);
    struct seg s = { fake_grant(f), 0, 0 };
    fake_page(f, s.ref)[0] = 'w';
    f->disk->hold = true;
    front_put(&front, WRITE, 1, 0, &s, 1);
    front_put(&front, FLUSH, 2, 0, &s, 1);
    front_kick(&front);
    pv_destroy(f->pv);
    f->pv = NULL;
    assert_int_equal(front_index(&front, RSP_PROD), 2);
}

static void a_pause_stops_the_ring(void **state)
{
    struct front front;
    struct fake *f = connected(state, &front, 64, 1, false);
    struct seg s = { fake_grant(f), 0, 0 };
    f->disk->hold = true;
    front_put(&front, WRITE, 1, 0, &s, 1);
    front_kick(&front);
    pv_set_paused(f->pv, true);
    assert_int_equal(front_index(&front, RSP_PROD), 1);
    f->disk->hold = false;
    front_put(&front, WRITE, 2, 0, &s, 1);
    front_kick(&front);
    assert_int_equal(front_index(&front, RSP_PROD), 1);
    pv_set_paused(f->pv, false);
    fake_settle(f);
    assert_int_equal(front_index(&front, RSP_PROD), 2);
}

/* More data at a time than there is room to copy: it goes on when there is. */
static void no_room_is_no_error(void **state)
{
    struct front front;
    struct fake *f = connected(state, &front, 64, 1, false);
    struct seg s = { fake_grant(f), 0, 0 };
    uint32_t page = fake_grant(f);
    uint8_t op;
    int status;
    f->disk->hold = true;
    for (unsigned i = 0; i < 256; i++) {
        le32_put(fake_page(f, page) + 8 * i, s.ref);
        fake_page(f, page)[8 * i + 4] = fake_page(f, page)[8 * i + 5] = 0;
    }
    for (unsigned i = 0; i < 20; i++)
        front_put_indirect(&front, WRITE, i, 0, page, 256);
    front_kick(&front);
    assert_int_equal(f->disk->block.in_flight, 4);
    f->disk->hold = false;
    rig_disk_release(f->disk);
    fake_settle(f);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(front_response(&front, &op, &status), i);
        assert_int_equal(status, OKAY);
    }
}

static void the_monitor_learns_of_it(void **state)
{
    struct front front;
    struct fake *f = connected(state, &front, 64, 1, false);
    struct seg s = { fake_grant(f), 0, 0 };
    struct pv_block_info info;
    front_put(&front, WRITE, 1, 0, &s, 1);
    assert_int_equal(front_run(&front, 1), OKAY);
    assert_true(pv_block_info(f->pv, 0, &info));
    assert_string_equal(info.id, "51712");
    assert_string_equal(info.file, "/disk");
    assert_int_equal(info.stats.bytes[BLOCK_WRITE], 512);
    assert_false(pv_block_info(f->pv, 1, &info));
    assert_false(pv_block_info(NULL, 0, &info));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_moves_data, setup, teardown),
        cmocka_unit_test_setup_teardown(it_moves_data_of_32_bits, setup, teardown),
        cmocka_unit_test_setup_teardown(it_moves_data, setup_map, teardown),
        cmocka_unit_test_setup_teardown(it_moves_data_of_32_bits, setup_map, teardown),
        cmocka_unit_test_setup_teardown(read_only_grants, setup, teardown),
        cmocka_unit_test_setup_teardown(read_only_grants, setup_map, teardown),
        cmocka_unit_test_setup_teardown(it_moves_data_of_persistent_grants, setup, teardown),
        cmocka_unit_test_setup_teardown(persistent_grants_are_an_offer, setup_copy, teardown),
        cmocka_unit_test_setup_teardown(a_shared_image_opens_late, setup_shared, teardown),
        cmocka_unit_test_setup_teardown(it_moves_data_of_a_big_ring, setup, teardown),
        cmocka_unit_test_setup_teardown(the_oldest_grant_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_round_is_one, setup, teardown),
        cmocka_unit_test_setup_teardown(neighbours_that_differ_are_not_merged, setup, teardown),
        cmocka_unit_test_setup_teardown(notification_is_only_on_request, setup, teardown),
        cmocka_unit_test_setup_teardown(one_at_a_time_is_announced_each_time, setup, teardown),
        cmocka_unit_test_setup_teardown(many_are_collected_before_they_are_announced, setup, teardown),
        cmocka_unit_test_setup_teardown(what_waits_in_vain_is_served_and_asked_for_less, setup, teardown),
        cmocka_unit_test_setup_teardown(who_has_stopped_is_asked_for_the_next_one, setup, teardown),
        cmocka_unit_test_setup_teardown(requests_before_the_connection_are_served, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flush_is_one, setup, teardown),
        cmocka_unit_test_setup_teardown(a_barrier_is_one, setup, teardown),
        cmocka_unit_test_setup_teardown(a_discard_is_one, setup, teardown),
        cmocka_unit_test_setup_teardown(discard_can_be_forbidden, setup, teardown),
        cmocka_unit_test_setup_teardown(read_only_is_enforced, setup, teardown),
        cmocka_unit_test_setup_teardown(errors_of_the_image_reach_the_guest, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cd_can_be_changed, setup, teardown),
        cmocka_unit_test_setup_teardown(cd_insert_and_eject_of_libxl, setup, teardown),
        cmocka_unit_test_setup_teardown(a_grown_image_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(the_monitor_cannot_make_a_disk_longer, setup, teardown),
        cmocka_unit_test_setup_teardown(formats_are_passed_on, setup, teardown),
        cmocka_unit_test_setup_teardown(a_slow_disk_holds_up_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(the_end_waits_for_requests, setup, teardown),
        cmocka_unit_test_setup_teardown(a_pause_stops_the_ring, setup, teardown),
        cmocka_unit_test_setup_teardown(no_room_is_no_error, setup, teardown),
        cmocka_unit_test_setup_teardown(the_monitor_learns_of_it, setup, teardown),
    };
    return cmocka_run_group_tests_name("pv-qdisk", tests, NULL, NULL);
}
