/* core/block-policy.c: what becomes of an error, who is told, what waits for cont and what for nobody. */
#include "rig.h"

#include <errno.h>
#include <string.h>

enum { BYTES = 16 * 512 };

struct fixture {
    struct rig *r;
    struct rig_disk *disk;
    struct block *block;
    struct block_errors errors;
    unsigned told;
    struct block_error last;
    unsigned done;
    int err;
    struct vec vec;
    struct block_req req;
    uint8_t buf[BYTES];
};

static void told(void *opaque, const struct block_error *error)
{
    struct fixture *f = opaque;
    f->told++;
    f->last = *error;
}

static int setup(void **state)
{
    static struct fixture f;
    memset(&f, 0, sizeof(f));
    f.r = rig_new();
    f.disk = rig_disk(f.r, BYTES);
    f.block = &f.disk->block;
    f.errors = (struct block_errors){ .told = told, .opaque = &f };
    rig_run(f.r, NS_PER_S);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    block_close(f->block);
    assert_null(f->errors.stopped);
    rig_free(f->r);
    return 0;
}

static void policy(struct fixture *f, enum block_action read_error, enum block_action write_error)
{
    block_set_policy(f->block, &(struct block_policy){ .errors = &f->errors,
                                                       .device = "ide0-hd0",
                                                       .read_error = read_error,
                                                       .write_error = write_error });
}

static void req_done(struct block_req *req, int err)
{
    struct fixture *f = req->opaque;
    f->done++;
    f->err = err;
}

static void submit(struct fixture *f, enum block_op op)
{
    bool moves = op == BLOCK_READ || op == BLOCK_WRITE;
    f->vec = (struct vec){ f->buf, 512 };
    f->req = (struct block_req){
        .op = op, .len = op == BLOCK_FLUSH ? 0 : 512, .vec = &f->vec, .nvec = moves, .done = req_done, .opaque = f
    };
    block_submit(f->block, &f->req);
    rig_settle(f->r);
}

static void break_op(struct fixture *f, enum block_op op, int err)
{
    f->disk->fail = err;
    f->disk->fail_op = op;
}

static void without_a_policy_the_device_hears_it(void **state)
{
    struct fixture *f = *state;
    break_op(f, BLOCK_WRITE, -ENOSPC);
    submit(f, BLOCK_WRITE);
    assert_true(f->done == 1 && f->err == -ENOSPC && f->told == 0);
}

static void report_tells_both(void **state)
{
    struct fixture *f = *state;
    policy(f, BLOCK_REPORT, BLOCK_REPORT);
    break_op(f, BLOCK_READ, -EIO);
    submit(f, BLOCK_READ);
    assert_true(f->done == 1 && f->err == -EIO && f->told == 1);
    assert_string_equal(f->last.device, "ide0-hd0");
    assert_true(f->last.op == BLOCK_READ && f->last.action == BLOCK_REPORT && f->last.err == -EIO);
}

/* A guest that tries for ever doesn't flood the monitor. */
static void reports_are_told_once_a_second(void **state)
{
    struct fixture *f = *state;
    policy(f, BLOCK_REPORT, BLOCK_REPORT);
    break_op(f, BLOCK_WRITE, -EIO);
    for (unsigned i = 1; i <= 100; i++) {
        submit(f, BLOCK_WRITE);
        assert_int_equal(f->done, i);
    }
    assert_int_equal(f->told, 1);
    rig_run(f->r, NS_PER_S);
    submit(f, BLOCK_WRITE);
    assert_int_equal(f->told, 2);
}

static void ignored_reads_give_zeros(void **state)
{
    struct fixture *f = *state;
    policy(f, BLOCK_IGNORE, BLOCK_IGNORE);
    break_op(f, BLOCK_READ, -EIO);
    memset(f->buf, 0xee, sizeof(f->buf));
    submit(f, BLOCK_READ);
    assert_true(f->done == 1 && f->err == 0 && f->last.action == BLOCK_IGNORE);
    assert_true(f->buf[0] == 0 && f->buf[511] == 0 && f->buf[512] == 0xee);
    break_op(f, BLOCK_FLUSH, -EIO); /* as the write that it is for */
    submit(f, BLOCK_FLUSH);
    assert_true(f->done == 2 && f->err == 0);
}

static void stop_holds_until_the_retry(void **state)
{
    struct fixture *f = *state;
    policy(f, BLOCK_REPORT, BLOCK_STOP);
    break_op(f, BLOCK_WRITE, -EIO);
    memset(f->buf, 0x5a, 512);
    submit(f, BLOCK_WRITE);
    assert_true(f->done == 0 && f->told == 1 && f->last.action == BLOCK_STOP && f->last.op == BLOCK_WRITE);
    assert_true(block_busy(f->block));
    block_errors_retry(&f->errors); /* still bad: held again, and told again */
    rig_settle(f->r);
    assert_true(f->done == 0 && f->told == 2);
    break_op(f, BLOCK_WRITE, 0);
    assert_int_equal(f->done, 0);
    block_errors_retry(&f->errors);
    assert_int_equal(f->done, 0); /* from the loop, as ever */
    rig_settle(f->r);
    assert_true(f->done == 1 && f->err == 0);
    assert_int_equal(f->disk->data[0], 0x5a);
    assert_int_equal(f->block->stats.errors[BLOCK_WRITE], 0);
    assert_false(block_busy(f->block));
}

static void enospc_stops_for_a_full_host_only(void **state)
{
    struct fixture *f = *state;
    policy(f, BLOCK_REPORT, BLOCK_ENOSPC);
    break_op(f, BLOCK_WRITE, -EIO);
    submit(f, BLOCK_WRITE);
    assert_true(f->done == 1 && f->err == -EIO && f->last.action == BLOCK_REPORT);
    break_op(f, BLOCK_WRITE, -ENOSPC);
    submit(f, BLOCK_WRITE);
    assert_true(f->done == 1 && f->last.action == BLOCK_STOP && f->last.err == -ENOSPC);
    break_op(f, BLOCK_WRITE, 0);
    block_errors_retry(&f->errors);
    rig_settle(f->r);
    assert_true(f->done == 2 && f->err == 0);
}

/* A reset, an unplug or the end can't wait for an operator: one more try, then the device gets the error. */
static void a_drain_ends_what_is_held(void **state)
{
    struct fixture *f = *state;
    policy(f, BLOCK_STOP, BLOCK_STOP);
    break_op(f, BLOCK_WRITE, -ENOSPC);
    submit(f, BLOCK_WRITE);
    assert_int_equal(f->done, 0);
    block_drain(f->block);
    assert_true(f->done == 1 && f->err == -ENOSPC && f->last.action == BLOCK_REPORT);
    submit(f, BLOCK_WRITE);
    assert_int_equal(f->done, 1); /* the policy holds again */
    break_op(f, BLOCK_WRITE, 0);
    block_drain(f->block);
    assert_true(f->done == 2 && f->err == 0);
}

static void what_the_checks_refuse_is_no_error_of_the_host(void **state)
{
    struct fixture *f = *state;
    policy(f, BLOCK_STOP, BLOCK_STOP);
    f->block->read_only = true;
    submit(f, BLOCK_WRITE);
    assert_true(f->done == 1 && f->err == -EROFS && f->told == 0);
    assert_int_equal(f->block->stats.rejected[BLOCK_WRITE], 1);
}

static void two_disks_are_tried_again_together(void **state)
{
    struct fixture *f = *state, other = { .r = f->r, .disk = rig_disk(f->r, BYTES) };
    other.block = &other.disk->block;
    policy(f, BLOCK_STOP, BLOCK_STOP);
    block_set_policy(other.block, &(struct block_policy){ .errors = &f->errors,
                                                          .device = "ide0-hd1",
                                                          .read_error = BLOCK_STOP,
                                                          .write_error = BLOCK_STOP });
    break_op(f, BLOCK_READ, -EIO);
    break_op(&other, BLOCK_READ, -EIO);
    submit(f, BLOCK_READ);
    submit(&other, BLOCK_READ);
    assert_true(f->told == 2 && f->done == 0 && other.done == 0);
    break_op(f, BLOCK_READ, 0);
    break_op(&other, BLOCK_READ, 0);
    block_errors_retry(&f->errors);
    rig_settle(f->r);
    assert_true(f->done == 1 && other.done == 1 && f->err == 0 && other.err == 0);
    break_op(&other, BLOCK_READ, -EIO);
    submit(&other, BLOCK_READ);
    block_close(other.block); /* takes itself off the list */
    assert_true(other.done == 2 && other.err == -EIO);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_a_policy_the_device_hears_it),
        TEST(report_tells_both),
        TEST(reports_are_told_once_a_second),
        TEST(ignored_reads_give_zeros),
        TEST(stop_holds_until_the_retry),
        TEST(enospc_stops_for_a_full_host_only),
        TEST(a_drain_ends_what_is_held),
        TEST(what_the_checks_refuse_is_no_error_of_the_host),
        TEST(two_disks_are_tried_again_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
