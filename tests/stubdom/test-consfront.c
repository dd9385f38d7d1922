/* Consoles, against a back end that reads and writes the page [xen/include/public/io/console.h]. */
#include "fake.h"

#include "front.h"
#include <errno.h>
#include <rig.h>
#include <stdlib.h>
#include <string.h>
#include <xen/io/console.h>

#define DIR  "device/console/3"
#define BACK "/local/domain/0/backend/console/9/3"

struct bench {
    struct chr *chr;
    struct xencons_interface *page; /* as the back end sees it */
    evtchn_port_t port;
    char got[4096]; /* by the user */
    size_t nr_got, room;
    unsigned opened, closed;
    bool closes; /* the chr, when something comes */
};

static size_t user_room(void *opaque)
{
    return ((struct bench *)opaque)->room;
}

static void user_recv(void *opaque, const uint8_t *buf, size_t len)
{
    struct bench *b = opaque;
    assert_in_range(len, 1, b->room);
    assert_true(b->nr_got + len <= sizeof(b->got));
    memcpy(b->got + b->nr_got, buf, len);
    b->nr_got += len;
    b->room -= len;
    if (b->closes) {
        chr_close(b->chr);
        b->chr = NULL;
    }
}

static void user_opened(void *opaque)
{
    ((struct bench *)opaque)->opened++;
}

static void user_closed(void *opaque)
{
    ((struct bench *)opaque)->closed++;
}

static const struct chr_user user = { user_room, user_recv, user_opened, user_closed, NULL };

static int set_up(void **state)
{
    struct bench *b = *state = calloc(1, sizeof(*b));
    assert_non_null(b);
    fakexen_init();
    b->room = sizeof(b->got);
    fakexen_set(DIR "/backend", BACK);
    fakexen_set(DIR "/backend-id", "0");
    fakexen_set(DIR "/state", "1");
    fakexen_set(BACK "/state", "1");
    return 0;
}

static int tear_down(void **state)
{
    struct bench *b = *state;
    chr_close(b->chr);
    fakexen_finish();
    free(b);
    return 0;
}

/* The back end's part of the connection: it never waits for more than the nodes. */
static struct bench *connected(void **state)
{
    struct bench *b = *state;
    assert_int_equal(consfront_open(3, &fakexen.loop, &fakexen.log, &b->chr), 0);
    chr_bind(b->chr, &user, b);
    b->page = (void *)fakexen_map((grant_ref_t)fakexen_get_number(DIR "/ring-ref"), false);
    b->port = (evtchn_port_t)fakexen_get_number(DIR "/port");
    assert_non_null(b->page);
    assert_int_equal(fakexen.ports[b->port].remote, 0);
    fakexen_set(BACK "/state", "4");
    fakexen_settle();
    return b;
}

static size_t write_text(struct bench *b, const char *text)
{
    return chr_write(b->chr, (const uint8_t *)text, strlen(text));
}

static void type(struct bench *b, const char *text)
{
    for (; *text; text++)
        b->page->in[MASK_XENCONS_IDX(b->page->in_prod++, b->page->in)] = *text;
    fakexen_raise(b->port);
    fakexen_settle();
}

static void it_connects_without_waiting(void **state)
{
    struct bench *b = *state;
    uint64_t before = fakexen.now_ns;
    assert_int_equal(consfront_open(3, &fakexen.loop, &fakexen.log, &b->chr), 0);
    assert_true(fakexen.now_ns - before < NS_PER_S);
    assert_string_equal(fakexen_get(DIR "/state"), "4");
    assert_non_null(fakexen_get(DIR "/ring-ref"));
    assert_non_null(fakexen_get(DIR "/port"));
    assert_string_equal(b->chr->filename, "console:3");
    assert_false(b->chr->connected);
    chr_bind(b->chr, &user, b);
    assert_int_equal(write_text(b, "early"), 5); /* waits in the ring */
    fakexen_settle();
    assert_int_equal(b->opened, 0);
    fakexen_set(BACK "/state", "4");
    fakexen_settle();
    assert_int_equal(b->opened, 1);
    assert_true(b->chr->connected);
}

static void output_goes_to_the_ring(void **state)
{
    struct bench *b = connected(state);
    char text[1500];
    memset(text, 'x', sizeof(text));
    for (unsigned round = 0; round < 50; round++) {
        unsigned before = fakexen.ports[b->port].notified;
        assert_int_equal(chr_write(b->chr, (const uint8_t *)text, sizeof(text)), sizeof(text));
        assert_int_equal(fakexen.ports[b->port].notified, before + 1);
        assert_int_equal(b->page->out_prod - b->page->out_cons, sizeof(text));
        assert_int_equal(b->page->out[MASK_XENCONS_IDX(b->page->out_prod - 1, b->page->out)], 'x');
        b->page->out_cons = b->page->out_prod;
    }
    assert_int_equal(write_text(b, "a\nb"), 3); /* as they are */
    assert_int_equal(b->page->out_prod - b->page->out_cons, 3);
}

static void a_full_ring_takes_what_it_can(void **state)
{
    struct bench *b = connected(state);
    static uint8_t text[3000];
    assert_int_equal(chr_write(b->chr, text, sizeof(text)), 2048);
    assert_int_equal(chr_write(b->chr, text, sizeof(text)), 0);
    b->page->out_cons += 10;
    assert_int_equal(chr_write(b->chr, text, sizeof(text)), 10);
    assert_int_equal(chr_write(b->chr, text, 0), 0);
}

static void input_comes_from_the_loop(void **state)
{
    struct bench *b = connected(state);
    for (unsigned round = 0; round < 300; round++) {
        b->nr_got = 0;
        b->room = sizeof(b->got);
        type(b, "hello, world");
        assert_int_equal(b->nr_got, 12);
        assert_memory_equal(b->got, "hello, world", 12);
        assert_int_equal(b->page->in_cons, b->page->in_prod);
    }
}

static void input_waits_for_room(void **state)
{
    struct bench *b = connected(state);
    b->room = 3;
    type(b, "abcdefgh");
    assert_int_equal(b->nr_got, 3);
    assert_int_equal(b->page->in_prod - b->page->in_cons, 5);
    b->room = 100;
    unsigned before = fakexen.ports[b->port].notified;
    chr_resume(b->chr);
    assert_int_equal(b->nr_got, 3); /* from the loop, not from inside the call */
    fakexen_settle();
    assert_int_equal(b->nr_got, 8);
    assert_memory_equal(b->got, "abcdefgh", 8);
    assert_true(fakexen.ports[b->port].notified > before);
}

static void a_user_may_want_no_input(void **state)
{
    static const struct chr_user deaf = { 0 };
    struct bench *b = connected(state);
    chr_bind(b->chr, &deaf, b);
    type(b, "abc");
    assert_int_equal(b->page->in_prod - b->page->in_cons, 3);
    fakexen_set(BACK "/state", "6");
    fakexen_settle();
    assert_false(b->chr->connected);
}

static void a_back_end_that_leaves_is_told(void **state)
{
    struct bench *b = connected(state);
    fakexen_set(BACK "/state", "5");
    fakexen_settle();
    assert_int_equal(b->closed, 1);
    assert_false(b->chr->connected);
    fakexen_set(BACK "/state", "6");
    fakexen_settle();
    assert_int_equal(b->closed, 1);
}

static void closing_gives_all_back(void **state)
{
    struct bench *b = connected(state);
    fakexen_set(BACK "/state", "6");
    chr_close(b->chr);
    b->chr = NULL;
    assert_int_equal(fakexen_pages_used(), 0);
    assert_string_equal(fakexen_get(DIR "/state"), "6");
    assert_false(fakexen.ports[b->port].used);
}

static void it_may_be_closed_by_who_gets_the_input(void **state)
{
    struct bench *b = connected(state);
    b->closes = true;
    b->room = 2;
    type(b, "abcdef");
    assert_int_equal(b->nr_got, 2);
    assert_null(b->chr);
    assert_int_equal(fakexen_pages_used(), 0);
}

/* --- Back ends that lie, or aren't there --- */

static void an_input_index_that_is_too_far(void **state)
{
    struct bench *b = connected(state);
    b->page->in_prod = b->page->in_cons + sizeof(b->page->in) + 1;
    fakexen_raise(b->port);
    fakexen_settle();
    assert_true(fakexen_said("console/3: the other end moved its ring index too far"));
    assert_int_equal(b->nr_got, 0);
    assert_int_equal(b->closed, 1);
    assert_int_equal(write_text(b, "abc"), 3); /* vanishes */
    assert_int_equal(b->page->out_prod, 0);
    b->page->in_prod = b->page->in_cons + 5;
    fakexen_raise(b->port);
    fakexen_settle();
    assert_int_equal(b->nr_got, 0);
    assert_false(fakexen_said("index"));
}

static void an_output_index_that_is_too_far(void **state)
{
    struct bench *b = connected(state);
    b->page->out_cons = 1;
    assert_int_equal(write_text(b, "abc"), 3);
    fakexen_settle();
    assert_true(fakexen_said("ring index"));
    assert_int_equal(b->closed, 1);
    b->page->out_cons = 0;
    assert_int_equal(write_text(b, "abc"), 3);
    assert_int_equal(b->page->out_prod, 0);
}

/* Our own indices are not read back. */
static void what_it_writes_to_our_indices_does_nothing(void **state)
{
    struct bench *b = connected(state);
    assert_int_equal(write_text(b, "abc"), 3);
    b->page->out_prod = 1000000;
    b->page->in_cons = 77;
    assert_int_equal(write_text(b, "def"), 3);
    assert_int_equal(b->page->out_prod, 6);
    b->page->in_prod = 0;
    type(b, "xy");
    assert_int_equal(b->nr_got, 2);
    assert_int_equal(b->page->in_cons, 2);
}

/* The toolstack's first state says nothing that isn't known. */
static void a_state_of_ours_is_not_needed(void **state)
{
    fakexen_set(DIR "/state", NULL);
    connected(state);
    assert_string_equal(fakexen_get(DIR "/state"), "4");
}

static void missing_nodes_are_refused(void **state)
{
    struct bench *b = *state;
    fakexen_set(DIR "/backend-id", "x");
    assert_int_equal(consfront_open(3, &fakexen.loop, &fakexen.log, &b->chr), -EIO);
    assert_true(fakexen_said("console/3: backend-id is no domain"));
    assert_int_equal(consfront_open(4, &fakexen.loop, &fakexen.log, &b->chr), -ENOENT);
    assert_true(fakexen_said("console/4: device/console/4/backend"));
    assert_int_equal(fakexen_pages_used(), 0);
}

static void too_little_of_everything_is_refused(void **state)
{
    struct bench *b = *state;
    fakexen.page_limit = 0;
    assert_int_equal(consfront_open(3, &fakexen.loop, &fakexen.log, &b->chr), -ENOMEM);
    assert_true(fakexen_said("no memory or grant"));
    fakexen.page_limit = 1;
    fakexen.fail_alloc_port = -ENOSPC;
    assert_int_equal(consfront_open(3, &fakexen.loop, &fakexen.log, &b->chr), -ENOSPC);
    assert_true(fakexen_said("no event channel"));
    assert_int_equal(fakexen_pages_used(), 0);
    for (unsigned i = 0; i < 7; i++) {
        fakexen.store.error = "EACCES";
        fakexen.store.error_after = i;
        int err = consfront_open(3, &fakexen.loop, &fakexen.log, &b->chr);
        if (!err)
            chr_close(b->chr);
        b->chr = NULL;
        fakexen.store.error = NULL;
        assert_int_equal(fakexen_pages_used(), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_connects_without_waiting, set_up, tear_down),
        cmocka_unit_test_setup_teardown(output_goes_to_the_ring, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_ring_takes_what_it_can, set_up, tear_down),
        cmocka_unit_test_setup_teardown(input_comes_from_the_loop, set_up, tear_down),
        cmocka_unit_test_setup_teardown(input_waits_for_room, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_user_may_want_no_input, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_back_end_that_leaves_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(closing_gives_all_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_may_be_closed_by_who_gets_the_input, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_input_index_that_is_too_far, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_output_index_that_is_too_far, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_it_writes_to_our_indices_does_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_state_of_ours_is_not_needed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(missing_nodes_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(too_little_of_everything_is_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
