/* The xenstore client, against a daemon that answers as the protocol says, and as it doesn't. */
#include "fake.h"

#include "../../stubdom/kernel/store.h"
#include <errno.h>
#include <rig.h>
#include <string.h>

static int set_up(void **state)
{
    fakexen_init();
    return 0;
}

static void text_equals(const char *path, const char *value)
{
    char buf[STORE_PATH_BYTES];
    assert_int_equal(store_read(path, buf, sizeof(buf)), strlen(value));
    assert_string_equal(buf, value);
}

static void reads_and_writes(void **state)
{
    fakexen_set("data/a", "hello");
    fakexen_set("/vm/7/name", "vm");
    text_equals("data/a", "hello");
    text_equals("/vm/7/name", "vm");
    assert_int_equal(store_write("data/b", "x"), 0);
    assert_string_equal(fakexen_get("data/b"), "x");
    assert_int_equal(store_printf("data/b", "%d-%s", 12, "y"), 0);
    assert_string_equal(fakexen_get("data/b"), "12-y");
    assert_int_equal(store_write("data/b", ""), 0);
    text_equals("data/b", "");
    assert_int_equal(store_remove("data/b"), 0);
    assert_null(fakexen_get("data/b"));
    assert_int_equal(store_remove("data/b"), -ENOENT);
    assert_int_equal(fakexen.lines, 0);
}

/* Messages are longer than the ring, which wraps in the middle of anything. */
static void values_up_to_the_limit_pass(void **state)
{
    static char value[STORE_MAX_VALUE + 1], back[STORE_MAX_VALUE + 2];
    size_t most = STORE_MAX_VALUE - sizeof("data/long");
    for (size_t i = 0; i < STORE_MAX_VALUE; i++)
        value[i] = (char)('a' + i % 26);
    assert_int_equal(store_write("data/long", value), -E2BIG);
    for (size_t len = most; len > most - 20; len--) {
        value[len] = '\0';
        fakexen.store.chunk = len % 2 ? 0 : 1 + len % 100;
        assert_int_equal(store_write("data/long", value), 0);
        assert_int_equal(store_read("data/long", back, sizeof(back)), len);
        assert_string_equal(back, value);
    }
    memset(value, 'x', most + 1);
    value[most + 1] = '\0';
    assert_int_equal(store_write("data/long", value), -E2BIG);
}

static void a_buffer_that_is_too_small_is_an_error(void **state)
{
    char buf[6] = "-----";
    fakexen_set("data/a", "12345");
    assert_int_equal(store_read("data/a", buf, 6), 5);
    assert_int_equal(store_read("data/a", buf, 5), -E2BIG);
    assert_int_equal(store_read("data/a", buf, 0), -E2BIG);
    assert_string_equal(buf, "12345"); /* what the first read put there */
}

static void errors_have_names(void **state)
{
    static const struct {
        const char *name;
        int err;
    } errors[] = { { "ENOENT", -ENOENT }, { "EACCES", -EACCES }, { "EINVAL", -EINVAL }, { "ENOSPC", -ENOSPC },
                   { "E2BIG", -E2BIG },   { "EPERM", -EPERM },   { "EWHAT", -EIO },     { "", -EIO } };
    char buf[8];
    fakexen_set("data/a", "1");
    for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
        fakexen.store.error = errors[i].name;
        assert_int_equal(store_read("data/a", buf, sizeof(buf)), errors[i].err);
    }
    text_equals("data/a", "1");
}

static void numbers_are_decimal_and_nothing_else(void **state)
{
    static const char *const bad[] = { "",
                                       "x",
                                       "1x",
                                       "-1",
                                       " 1",
                                       "0x10",
                                       "18446744073709551616",
                                       "99999999999999999999",
                                       "1.5",
                                       "123456789012345678901234567890" };
    uint64_t value;
    fakexen_set("data/n", "18446744073709551615");
    assert_int_equal(store_read_u64("data/n", &value), 0);
    assert_true(value == UINT64_MAX);
    fakexen_set("data/n", "007");
    assert_int_equal(store_read_u64("data/n", &value), 0);
    assert_int_equal(value, 7);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        fakexen_set("data/n", bad[i]);
        assert_int_equal(store_read_u64("data/n", &value), -EINVAL);
    }
    assert_int_equal(store_read_u64("data/none", &value), -ENOENT);
}

static void a_directory_is_listed(void **state)
{
    char names[16];
    fakexen_set("device/vbd/768/state", "1");
    fakexen_set("device/vbd/a", "1");
    fakexen_set("device/vbd/bb", "1");
    assert_int_equal(store_list("device/vbd", names, sizeof(names)), 5);
    assert_memory_equal(names, "a\0bb\0", 5);
    assert_int_equal(store_list("device/vbd", names, 5), 5);
    assert_int_equal(store_list("device/vbd", names, 4), -E2BIG);
}

/* All requests are in the ring before the first answer is waited for. */
static void a_burst_costs_one_round(void **state)
{
    char a[8], b[8], c[2];
    struct store_item items[] = { { .path = "data/a", .value = a, .size = sizeof(a) },
                                  { .path = "data/none", .value = b, .size = sizeof(b) },
                                  { .path = "data/c", .value = c, .size = sizeof(c) } };
    fakexen_set("data/a", "1");
    fakexen_set("data/c", "12");
    assert_int_equal(store_read_all(items, 3), -ENOENT);
    assert_int_equal(items[0].result, 1);
    assert_string_equal(a, "1");
    assert_int_equal(items[1].result, -ENOENT);
    assert_int_equal(items[2].result, -E2BIG);
    assert_int_equal(fakexen.store.bursts, 1);
    char one[] = "one", two[] = "two";
    struct store_item writes[] = { { .path = "data/x", .value = one }, { .path = "data/y", .value = two } };
    assert_int_equal(store_write_all(writes, 2), 0);
    assert_string_equal(fakexen_get("data/y"), "two");
    assert_int_equal(fakexen.store.bursts, 2);
    assert_int_equal(store_read_all(NULL, 0), 0);
}

/* The ring holds fewer requests, and fewer answers: both move on while the burst goes out. */
static void a_burst_may_be_longer_than_the_ring(void **state)
{
    enum { NR = 100 };
    static char values[NR][64], paths[NR][64];
    struct store_item items[NR];
    fakexen_set("data/filler/filler/filler/filler/filler/x", "0123456789012345678901234567890123456789");
    for (unsigned i = 0; i < NR; i++) {
        strcpy(paths[i], "data/filler/filler/filler/filler/filler/x");
        items[i] = (struct store_item){ .path = paths[i], .value = values[i], .size = sizeof(values[i]) };
    }
    assert_int_equal(store_read_all(items, NR), 0);
    for (unsigned i = 0; i < NR; i++)
        assert_int_equal(items[i].result, 40);
    fakexen.store.chunk = 7;
    assert_int_equal(store_read_all(items, NR), 0);
}

static void one_bad_request_of_a_burst_fails_alone(void **state)
{
    static char longer[STORE_MAX_VALUE + 1];
    memset(longer, 'x', STORE_MAX_VALUE);
    char one[] = "one";
    struct store_item writes[] = { { .path = "data/x", .value = longer }, { .path = "data/y", .value = one } };
    assert_int_equal(store_write_all(writes, 2), -E2BIG);
    assert_int_equal(writes[1].result, 0);
    assert_string_equal(fakexen_get("data/y"), "one");
}

/* Its answer, good or bad, is not taken for that of another. */
static void a_post_is_not_waited_for(void **state)
{
    static char longer[STORE_MAX_VALUE + 1];
    uint64_t before = fakexen.now_ns;
    assert_int_equal(store_post("data/p", "one"), 0);
    assert_int_equal(fakexen.store.requests, 0);
    text_equals("data/p", "one"); /* it goes before what follows */
    fakexen.store.error = "EACCES";
    assert_int_equal(store_post("data/p", "two"), 0);
    text_equals("data/p", "one");
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(store_post("data/p", "many"), 0);
    text_equals("data/p", "many");
    memset(longer, 'x', STORE_MAX_VALUE);
    assert_int_equal(store_post("data/p", longer), -E2BIG);
    assert_true(fakexen.now_ns - before < NS_PER_S);
    fakexen.store.deaf = true;
    for (unsigned i = 0; i < 35; i++)
        assert_int_equal(store_post("data/p", "full"), 0);
    while (store_post("data/p", "full") == 0)
        continue;
    assert_true(fakexen_said("takes no requests"));
    assert_int_equal(store_post("data/p", "x"), -EIO);
}

/* --- Transactions --- */

static void a_transaction_is_named_in_its_requests(void **state)
{
    fakexen_set("data/a", "1");
    assert_int_equal(store_begin(), 0);
    text_equals("data/a", "1");
    assert_int_equal(fakexen.store.last_tx, 7);
    assert_int_equal(store_commit(), 0);
    assert_int_equal(fakexen.store.last_tx, 7);
    assert_int_equal(fakexen.store.last_end, 'T');
    text_equals("data/a", "1");
    assert_int_equal(fakexen.store.last_tx, 0);
}

static void a_conflict_is_told(void **state)
{
    fakexen.store.conflict = true;
    assert_int_equal(store_begin(), 0);
    assert_int_equal(store_commit(), -EAGAIN);
    assert_int_equal(store_begin(), 0);
    store_abort();
    assert_int_equal(fakexen.store.last_end, 'F');
    assert_int_equal(store_write("data/a", "1"), 0);
    assert_int_equal(fakexen.store.last_tx, 0);
}

static void a_transaction_without_a_name_is_none(void **state)
{
    static const char *const bad[] = { "", "0", "x", "4294967296", "-1" };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        fakexen.store.tx_text = bad[i];
        assert_int_equal(store_begin(), -EIO);
    }
    assert_int_equal(store_write("data/a", "1"), 0);
    assert_int_equal(fakexen.store.last_tx, 0);
}

/* --- Watches --- */

struct seen {
    struct store_watch watch;
    unsigned calls;
    bool again, leaves; /* what it does when it is called */
};

static void note(void *opaque)
{
    struct seen *s = opaque;
    s->calls++;
    if (s->again)
        fakexen_set("data/w", "again");
    if (s->leaves)
        store_unwatch(&s->watch);
}

static void watch(struct seen *s, const char *path)
{
    strcpy(s->watch.path, path);
    s->watch.fn = note;
    s->watch.opaque = s;
    assert_int_equal(store_watch(&s->watch), 0);
}

static void a_watch_fires_once_at_first_and_once_for_many(void **state)
{
    struct seen s = { 0 }, other = { 0 };
    watch(&s, "data/w");
    watch(&other, "/local/domain/0/backend/state");
    assert_int_equal(s.calls, 0); /* not before the loop runs */
    fakexen_settle();
    assert_int_equal(s.calls, 1);
    assert_int_equal(other.calls, 1);
    for (int i = 0; i < 100; i++)
        fakexen_set("data/w/below", "x");
    fakexen_work();
    fakexen_settle();
    assert_in_range(s.calls, 2, 10); /* as often as it was looked */
    assert_int_equal(other.calls, 1);
    store_unwatch(&s.watch);
    store_unwatch(&s.watch);
    unsigned calls = s.calls;
    fakexen_set("data/w", "y");
    fakexen_settle();
    assert_int_equal(s.calls, calls);
    store_unwatch(&other.watch);
}

/* The event is in the ring before the answer to the request that made it, or between two others. */
static void events_between_request_and_answer_are_kept(void **state)
{
    struct seen s = { 0 };
    fakexen.store.steals = true;
    watch(&s, "data/w");
    fakexen_settle();
    assert_int_equal(s.calls, 1);
    fakexen_store_fire("data/w");
    fakexen_set("data/a", "1");
    text_equals("data/a", "1");
    fakexen_settle();
    assert_int_equal(s.calls, 2);
    store_unwatch(&s.watch);
}

static void a_callback_may_write_and_leave(void **state)
{
    struct seen s = { .again = true }, t = { .leaves = true };
    watch(&s, "data/w");
    watch(&t, "data/w");
    for (int i = 0; i < 10; i++)
        assert_int_equal(loop_step(&fakexen.loop, 0), 0); /* they end, though the first makes its own events */
    assert_in_range(s.calls, 2, 10);
    assert_int_equal(t.calls, 1);
    s.again = false;
    fakexen_settle();
    store_unwatch(&s.watch);
}

static void a_watch_that_is_refused_is_not_there(void **state)
{
    struct seen s = { .watch = { .path = "data/w", .fn = note } };
    fakexen.store.error = "EACCES";
    assert_int_equal(store_watch(&s.watch), -EACCES);
    fakexen_store_send(XS_WATCH_EVENT, 0, "data/w\0001", 9);
    fakexen_settle();
    assert_int_equal(s.calls, 0);
}

static void waiting_for_a_watch_ends(void **state)
{
    struct seen s = { 0 };
    watch(&s, "data/w");
    assert_int_equal(store_wait(&s.watch, fakexen.now_ns + NS_PER_S), 0); /* the first event */
    uint64_t before = fakexen.now_ns;
    assert_int_equal(store_wait(&s.watch, before + NS_PER_S), -ETIMEDOUT);
    assert_true(fakexen.now_ns >= before + NS_PER_S);
    fakexen_set("data/w", "x");
    assert_int_equal(store_wait(&s.watch, fakexen.now_ns + NS_PER_S), 0);
    fakexen_settle();
    assert_int_equal(s.calls, 0); /* it was waited for instead */
    store_unwatch(&s.watch);
}

/* --- A daemon that is not what it should be --- */

static void events_that_can_t_be_are_ignored(void **state)
{
    struct seen s = { 0 };
    watch(&s, "data/w");
    fakexen_settle();
    fakexen_store_send(XS_WATCH_EVENT, 0,
                       "data/w\0"
                       "999",
                       11);
    fakexen_store_send(XS_WATCH_EVENT, 0, "data/w\0", 7);
    fakexen_store_send(XS_WATCH_EVENT, 0, "data/w", 6);
    fakexen_store_send(XS_WATCH_EVENT, 0, "", 0);
    fakexen_store_send(XS_WATCH_EVENT, 0, "\0\0\0\0", 4);
    fakexen_settle();
    assert_int_equal(s.calls, 1);
    fakexen_set("data/w", "x");
    fakexen_settle();
    assert_int_equal(s.calls, 2);
    store_unwatch(&s.watch);
}

static void a_daemon_that_says_nothing_is_waited_for_but_not_for_ever(void **state)
{
    char buf[8];
    fakexen_set("data/a", "late");
    fakexen.store.mute = true;
    uint64_t before = fakexen.now_ns;
    assert_int_equal(store_read("data/a", buf, sizeof(buf)), -ETIMEDOUT);
    assert_in_range(fakexen.now_ns - before, STORE_WAIT_NS, 2 * STORE_WAIT_NS);
    assert_true(fakexen_said("no answer in time about data/a"));
    fakexen.store.mute = false;
    text_equals("data/a", "late"); /* the connection still works */
}

/* The answer to the request that timed out comes while the next one waits for its own. */
static void a_late_answer_is_not_the_next_one_s(void **state)
{
    char buf[8];
    fakexen.store.mute = true;
    assert_int_equal(store_read("data/a", buf, sizeof(buf)), -ETIMEDOUT);
    fakexen.store.mute = false;
    fakexen_set("data/b", "right");
    fakexen_store_send(XS_READ, 0, "wrong", 5); /* number 0 was the first */
    text_equals("data/b", "right");
    fakexen_store_send(XS_READ, 77, "wrong", 5);
    text_equals("data/b", "right");
}

static void two_answers_to_one_request_are_one(void **state)
{
    fakexen_set("data/a", "1");
    fakexen_store_send(XS_READ, 0, "2", 1);
    text_equals("data/a", "2"); /* nothing tells it from the true one */
    fakexen_settle();
    text_equals("data/a", "1");
}

static void an_answer_of_another_kind_is_an_error(void **state)
{
    char buf[8];
    fakexen_set("data/a", "1");
    fakexen.store.answer_type = XS_DIRECTORY;
    assert_int_equal(store_read("data/a", buf, sizeof(buf)), -EIO);
    fakexen.store.answer_type = XS_WATCH_EVENT + 100;
    assert_int_equal(store_write("data/a", "2"), -EIO);
    text_equals("data/a", "2");
}

static void all_fails_at_once(void)
{
    char buf[8];
    struct seen s = { .watch = { .path = "data/w", .fn = note } };
    uint64_t before = fakexen.now_ns;
    assert_int_equal(store_read("data/a", buf, sizeof(buf)), -EIO);
    assert_int_equal(store_write("data/a", "1"), -EIO);
    assert_int_equal(store_begin(), -EIO);
    assert_int_equal(store_watch(&s.watch), -EIO);
    assert_int_equal(store_wait(&s.watch, fakexen.now_ns + NS_PER_S), -EIO);
    assert_true(fakexen.now_ns == before);
}

static void a_daemon_that_takes_nothing_loses_us(void **state)
{
    static char value[2000];
    memset(value, 'x', sizeof(value) - 1);
    fakexen.store.deaf = true;
    assert_int_equal(store_write("data/a", value), -ETIMEDOUT); /* half of it is in the ring */
    assert_true(fakexen_said("takes no requests"));
    fakexen.store.deaf = false;
    all_fails_at_once();
}

static void a_message_that_is_too_long_ends_it(void **state)
{
    struct xsd_sockmsg header = { .type = XS_READ, .len = XENSTORE_PAYLOAD_MAX + 1 };
    struct xenstore_domain_interface *ring = fakexen.store.ring;
    for (size_t i = 0; i < sizeof(header); i++)
        ring->rsp[MASK_XENSTORE_IDX(ring->rsp_prod++)] = ((const char *)&header)[i];
    fakexen_raise(FAKE_STORE_PORT);
    fakexen_settle();
    assert_true(fakexen_said("too long"));
    all_fails_at_once();
}

static void an_answer_index_that_is_too_far_ends_it(void **state)
{
    char buf[8];
    fakexen.store.ring->rsp_prod = fakexen.store.ring->rsp_cons + XENSTORE_RING_SIZE + 1;
    assert_int_equal(store_read("data/a", buf, sizeof(buf)), -EIO);
    assert_true(fakexen_said("ring index"));
    all_fails_at_once();
}

static void a_request_index_that_is_too_far_ends_it(void **state)
{
    char buf[8];
    fakexen.store.ring->req_cons = fakexen.store.ring->req_prod + 1;
    assert_int_equal(store_read("data/a", buf, sizeof(buf)), -EIO);
    assert_true(fakexen_said("ring index"));
    all_fails_at_once();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(reads_and_writes, set_up),
        cmocka_unit_test_setup(values_up_to_the_limit_pass, set_up),
        cmocka_unit_test_setup(a_buffer_that_is_too_small_is_an_error, set_up),
        cmocka_unit_test_setup(errors_have_names, set_up),
        cmocka_unit_test_setup(numbers_are_decimal_and_nothing_else, set_up),
        cmocka_unit_test_setup(a_directory_is_listed, set_up),
        cmocka_unit_test_setup(a_burst_costs_one_round, set_up),
        cmocka_unit_test_setup(a_burst_may_be_longer_than_the_ring, set_up),
        cmocka_unit_test_setup(one_bad_request_of_a_burst_fails_alone, set_up),
        cmocka_unit_test_setup(a_post_is_not_waited_for, set_up),
        cmocka_unit_test_setup(a_transaction_is_named_in_its_requests, set_up),
        cmocka_unit_test_setup(a_conflict_is_told, set_up),
        cmocka_unit_test_setup(a_transaction_without_a_name_is_none, set_up),
        cmocka_unit_test_setup(a_watch_fires_once_at_first_and_once_for_many, set_up),
        cmocka_unit_test_setup(events_between_request_and_answer_are_kept, set_up),
        cmocka_unit_test_setup(a_callback_may_write_and_leave, set_up),
        cmocka_unit_test_setup(a_watch_that_is_refused_is_not_there, set_up),
        cmocka_unit_test_setup(waiting_for_a_watch_ends, set_up),
        cmocka_unit_test_setup(events_that_can_t_be_are_ignored, set_up),
        cmocka_unit_test_setup(a_daemon_that_says_nothing_is_waited_for_but_not_for_ever, set_up),
        cmocka_unit_test_setup(a_late_answer_is_not_the_next_one_s, set_up),
        cmocka_unit_test_setup(two_answers_to_one_request_are_one, set_up),
        cmocka_unit_test_setup(an_answer_of_another_kind_is_an_error, set_up),
        cmocka_unit_test_setup(a_daemon_that_takes_nothing_loses_us, set_up),
        cmocka_unit_test_setup(a_message_that_is_too_long_ends_it, set_up),
        cmocka_unit_test_setup(an_answer_index_that_is_too_far_ends_it, set_up),
        cmocka_unit_test_setup(a_request_index_that_is_too_far_ends_it, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
