/* PV disks, against a back end that serves them, or lies, or isn't there. [blkif] is xen/include/public/io/blkif.h. */
#include "blkback.h"

#include "../../stubdom/kernel/mm.h"
#include "front.h"
#include <errno.h>
#include <rig.h>
#include <stdlib.h>
#include <string.h>

enum { NR_IOS = 200, MIB_BYTES = 1 << 20 };

struct io {
    struct block_req req;
    struct vec vec[8];
    int result;
    unsigned done;
    struct bench *bench;
    unsigned again; /* how often done() submits it anew */
};

struct bench {
    struct blkback back;
    struct block *block;
    struct io ios[NR_IOS];
    uint8_t data[4 * MIB_BYTES];
};

static int set_up(void **state)
{
    struct bench *b = *state = calloc(1, sizeof(*b));
    assert_non_null(b);
    fakexen_init();
    blkback_init(&b->back);
    return 0;
}

static int tear_down(void **state)
{
    struct bench *b = *state;
    block_close(b->block);
    fakexen_finish();
    free(b);
    return 0;
}

static int open_disk(struct bench *b)
{
    return blkfront_open(BLKBACK_FRONT, &fakexen.loop, &fakexen.log, &b->block);
}

static struct bench *connected(void **state)
{
    struct bench *b = *state;
    assert_int_equal(open_disk(b), 0);
    return b;
}

static void done(struct block_req *req, int err)
{
    struct io *io = req->opaque;
    io->result = err;
    io->done++;
    if (io->again > 0) {
        io->again--;
        block_submit(io->bench->block, req);
    }
}

/* Submit, with the data at the same place of data[] as on the disk. */
static struct io *submit(struct bench *b, unsigned nr, enum block_op op, uint64_t offset, uint64_t len)
{
    struct io *io = &b->ios[nr];
    io->bench = b;
    io->done = 0;
    io->result = 1;
    io->vec[0] = (struct vec){ b->data + offset, len };
    io->req = (struct block_req){ .op = op,
                                  .offset = offset,
                                  .len = op == BLOCK_FLUSH ? 0 : len,
                                  .vec = io->vec,
                                  .nvec = 1,
                                  .done = done,
                                  .opaque = io };
    block_submit(b->block, &io->req);
    return io;
}

static int run(struct bench *b, enum block_op op, uint64_t offset, uint64_t len)
{
    struct io *io = submit(b, 0, op, offset, len);
    assert_int_equal(io->done, 0); /* never inside submit() */
    fakexen_settle();
    assert_int_equal(io->done, 1);
    return io->result;
}

static void fill(struct bench *b, uint8_t seed)
{
    for (size_t i = 0; i < sizeof(b->data); i++)
        b->data[i] = (uint8_t)(i * 13 + i / 512 + seed);
}

/* --- The connection --- */

static void it_connects_and_takes_what_is_offered(void **state)
{
    struct bench *b = connected(state);
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
        { BLKBACK_FRONT "/backend-id", NULL, "backend, backend-id or state can't be read" },
        { BLKBACK_FRONT "/backend", NULL, "backend, backend-id or state can't be read" },
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
        cmocka_unit_test_setup_teardown(it_connects_and_takes_what_is_offered, set_up, tear_down),
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
        cmocka_unit_test_setup_teardown(a_back_end_that_never_comes, set_up, tear_down),
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
