/* core/block.c: what is checked before a back end sees a request, counters, order of done(); and backends/null. */
#include "block-null.h"
#include "rig.h"

#include <errno.h>
#include <string.h>

enum { SECTORS = 16, BYTES = SECTORS * 512 };

/* A request that keeps what became of it, and may submit another one. */
struct job {
    struct block_req req;
    struct vec vec[2];
    struct block *block;
    unsigned done;
    int err;
    struct job *then;
    unsigned repeat;
};

static void job_done(struct block_req *req, int err)
{
    struct job *job = req->opaque;
    job->done++;
    job->err = err;
    if (job->then)
        block_submit(job->block, &job->then->req);
    if (job->repeat > 0) {
        job->repeat--;
        block_submit(job->block, &job->req);
    }
}

static void job_init(struct job *job, struct block *block, enum block_op op, uint64_t offset, void *buf, size_t len)
{
    *job = (struct job){ .block = block, .vec = { { buf, len } } };
    job->req = (struct block_req){
        .op = op,
        .offset = offset,
        .len = len,
        .vec = job->vec,
        .nvec = 1,
        .done = job_done,
        .opaque = job,
    };
    if (op == BLOCK_FLUSH || op == BLOCK_DISCARD)
        job->req.nvec = 0;
}

struct fixture {
    struct rig *r;
    struct rig_disk *disk;
    struct block *block;
    bool closed;
    uint8_t buf[BYTES];
};

static int setup(void **state)
{
    static struct fixture f;
    memset(&f, 0, sizeof(f));
    f.r = rig_new();
    f.disk = rig_disk(f.r, BYTES);
    f.disk->closed_flag = &f.closed;
    f.block = &f.disk->block;
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (!f->closed)
        block_close(f->block);
    rig_free(f->r);
    return 0;
}

static int outcome(struct fixture *f, struct job *job)
{
    block_submit(f->block, &job->req);
    assert_int_equal(job->done, 0); /* never from inside submit */
    assert_true(block_busy(f->block));
    rig_settle(f->r);
    assert_int_equal(job->done, 1);
    assert_false(block_busy(f->block));
    return job->err;
}

static void data_goes_and_comes(void **state)
{
    struct fixture *f = *state;
    struct job job;
    memset(f->buf, 0xab, 1024);
    job_init(&job, f->block, BLOCK_WRITE, 512, f->buf, 1024);
    assert_int_equal(outcome(f, &job), 0);
    assert_true(f->disk->data[511] == 0 && f->disk->data[512] == 0xab && f->disk->data[1536] == 0);
    uint8_t low[512], high[512];
    job_init(&job, f->block, BLOCK_READ, 512, low, 512);
    job.vec[1] = (struct vec){ high, 512 };
    job.req.nvec = 2;
    job.req.len = 1024;
    assert_int_equal(outcome(f, &job), 0);
    assert_true(low[511] == 0xab && high[511] == 0xab);
    job_init(&job, f->block, BLOCK_DISCARD, 512, NULL, 512);
    assert_int_equal(outcome(f, &job), 0);
    assert_int_equal(f->disk->data[512], 0);
    job_init(&job, f->block, BLOCK_FLUSH, 0, NULL, 0);
    assert_int_equal(outcome(f, &job), 0);
    assert_int_equal(f->disk->flushes, 1);
    assert_int_equal(f->block->stats.bytes[BLOCK_WRITE], 1024);
    assert_int_equal(f->block->stats.bytes[BLOCK_READ], 1024);
    for (int op = 0; op < BLOCK_NR_OPS; op++)
        assert_true(f->block->stats.ops[op] == 1 && f->block->stats.errors[op] == 0);
}

static void bad_ranges_never_reach_the_back_end(void **state)
{
    struct fixture *f = *state;
    static const struct {
        uint64_t offset, len;
    } bad[] = {
        { BYTES, 512 },
        { BYTES - 512, 1024 },
        { 0, BYTES + 512 },
        { UINT64_MAX - 511, 512 },
        { UINT64_MAX - 511, 1024 },
        { 1, 512 },
        { 0, 511 },
        { 512, 1 },
        { 0, UINT64_MAX - 511 },
    };
    f->disk->hold = true; /* a request that got through would not end */
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        struct job job;
        job_init(&job, f->block, BLOCK_READ, bad[i].offset, f->buf, 512);
        job.req.len = job.vec[0].len = bad[i].len;
        assert_int_equal(outcome(f, &job), -EINVAL);
    }
    assert_int_equal(f->block->stats.errors[BLOCK_READ], ARRAY_SIZE(bad));
    assert_int_equal(f->block->stats.ops[BLOCK_READ], 0);
    assert_null(f->disk->first);
}

static void vector_must_match_the_length(void **state)
{
    struct fixture *f = *state;
    struct job job;
    job_init(&job, f->block, BLOCK_WRITE, 0, f->buf, 512);
    job.req.len = 1024;
    assert_int_equal(outcome(f, &job), -EINVAL);
    job_init(&job, f->block, BLOCK_WRITE, 0, f->buf, 1024);
    job.req.len = 512;
    assert_int_equal(outcome(f, &job), -EINVAL);
    job_init(&job, f->block, BLOCK_WRITE, 0, f->buf, 512);
    job.vec[1] = (struct vec){ f->buf, SIZE_MAX }; /* a sum that wraps */
    job.req.nvec = 2;
    assert_int_equal(outcome(f, &job), -EINVAL);
}

static void read_only_medium_refuses_writes(void **state)
{
    struct fixture *f = *state;
    struct job job;
    f->block->read_only = true;
    job_init(&job, f->block, BLOCK_WRITE, 0, f->buf, 512);
    assert_int_equal(outcome(f, &job), -EROFS);
    job_init(&job, f->block, BLOCK_DISCARD, 0, NULL, 512);
    assert_int_equal(outcome(f, &job), -EROFS);
    job_init(&job, f->block, BLOCK_READ, 0, f->buf, 512);
    assert_int_equal(outcome(f, &job), 0);
    job_init(&job, f->block, BLOCK_FLUSH, 0, NULL, 0);
    assert_int_equal(outcome(f, &job), 0);
}

static void discard_needs_a_medium_that_can(void **state)
{
    struct fixture *f = *state;
    struct job job;
    f->block->discard = false;
    job_init(&job, f->block, BLOCK_DISCARD, 0, NULL, 512);
    assert_int_equal(outcome(f, &job), -EOPNOTSUPP);
}

static void nothing_to_move_ends_well(void **state)
{
    struct fixture *f = *state;
    struct job job;
    f->disk->hold = true;
    job_init(&job, f->block, BLOCK_READ, BYTES, f->buf, 0);
    assert_int_equal(outcome(f, &job), 0);
    job_init(&job, f->block, BLOCK_WRITE, BYTES + 512, f->buf, 0);
    assert_int_equal(outcome(f, &job), -EINVAL);
}

static void failures_are_counted(void **state)
{
    struct fixture *f = *state;
    struct job job;
    f->disk->fail = -ENOSPC;
    f->disk->fail_op = BLOCK_WRITE;
    job_init(&job, f->block, BLOCK_WRITE, 0, f->buf, 512);
    assert_int_equal(outcome(f, &job), -ENOSPC);
    assert_true(f->block->stats.errors[BLOCK_WRITE] == 1 && f->block->stats.bytes[BLOCK_WRITE] == 0);
    job_init(&job, f->block, BLOCK_READ, 0, f->buf, 512);
    assert_int_equal(outcome(f, &job), 0);
}

static void done_may_submit(void **state)
{
    struct fixture *f = *state;
    struct job first, second, bad;
    job_init(&first, f->block, BLOCK_READ, 0, f->buf, 512);
    job_init(&second, f->block, BLOCK_READ, 1, f->buf, 512);
    job_init(&bad, f->block, BLOCK_READ, 1, f->buf, 512);
    first.then = &second; /* a good one submits a bad one, which submits itself twice more */
    second.repeat = 2;
    bad.then = NULL;
    block_submit(f->block, &bad.req);
    block_submit(f->block, &first.req);
    rig_settle(f->r);
    assert_int_equal(first.done, 1);
    assert_int_equal(second.done, 3);
    assert_true(bad.done == 1 && bad.err == -EINVAL);
    assert_false(block_busy(f->block));
}

static void drain_finishes_everything(void **state)
{
    struct fixture *f = *state;
    struct job held, chained, bad;
    f->disk->hold = true;
    job_init(&held, f->block, BLOCK_WRITE, 0, f->buf, 512);
    job_init(&chained, f->block, BLOCK_WRITE, 512, f->buf, 512);
    job_init(&bad, f->block, BLOCK_WRITE, 3, f->buf, 512);
    held.then = &chained;
    chained.repeat = 3;
    block_submit(f->block, &held.req);
    block_submit(f->block, &bad.req);
    rig_settle(f->r);
    assert_int_equal(held.done, 0);
    assert_int_equal(bad.done, 1);
    block_submit(f->block, &bad.req);
    block_drain(f->block);
    assert_true(held.done == 1 && chained.done == 4 && bad.done == 2);
    assert_false(block_busy(f->block));
    block_drain(f->block);
    rig_settle(f->r);
    assert_int_equal(bad.done, 2);
}

static void close_drains_and_is_final(void **state)
{
    struct fixture *f = *state;
    struct job held, bad;
    f->disk->hold = true;
    job_init(&held, f->block, BLOCK_READ, 0, f->buf, 512);
    job_init(&bad, f->block, BLOCK_READ, 3, f->buf, 512);
    block_submit(f->block, &held.req);
    block_submit(f->block, &bad.req);
    block_close(f->block);
    assert_true(f->closed && held.done == 1 && bad.done == 1);
    rig_run(f->r, NS_PER_S); /* no task was left */
    block_close(NULL);
}

static void size_is_whole_sectors(void **state)
{
    struct fixture *f = *state;
    static const struct block_ops ops = { 0 };
    struct block block;
    block_init(&block, &ops, &f->r->loop, 10000, 4096);
    assert_int_equal(block.size_bytes, 8192);
    assert_false(block_busy(&block));
}

static void null_disk_is_all_zeros(void **state)
{
    struct rig *r = rig_new();
    struct block *block;
    struct job job;
    uint8_t buf[512];
    assert_int_equal(block_null_open(&r->loop, 1000, &block), 0);
    assert_int_equal(block->size_bytes, 512);
    memset(buf, 1, sizeof(buf));
    job_init(&job, block, BLOCK_WRITE, 0, buf, 512);
    block_submit(block, &job.req);
    rig_settle(r);
    job_init(&job, block, BLOCK_READ, 0, buf, 512);
    job.repeat = 1;
    block_submit(block, &job.req);
    assert_int_equal(job.done, 0);
    block_close(block); /* drains what done() submits, too */
    assert_true(job.done == 2 && job.err == 0);
    assert_true(buf[0] == 0 && buf[511] == 0);
    rig_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(data_goes_and_comes, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_ranges_never_reach_the_back_end, setup, teardown),
        cmocka_unit_test_setup_teardown(vector_must_match_the_length, setup, teardown),
        cmocka_unit_test_setup_teardown(read_only_medium_refuses_writes, setup, teardown),
        cmocka_unit_test_setup_teardown(discard_needs_a_medium_that_can, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_to_move_ends_well, setup, teardown),
        cmocka_unit_test_setup_teardown(failures_are_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(done_may_submit, setup, teardown),
        cmocka_unit_test_setup_teardown(drain_finishes_everything, setup, teardown),
        cmocka_unit_test_setup_teardown(close_drains_and_is_final, setup, teardown),
        cmocka_unit_test_setup_teardown(size_is_whole_sectors, setup, teardown),
        cmocka_unit_test(null_disk_is_all_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
