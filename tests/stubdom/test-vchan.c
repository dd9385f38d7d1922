/* The vchan server, against a client as libxl's proxy is one [xen/include/public/io/libxenvchan.h]. */
#include "fake.h"

#include "front.h"
#include <errno.h>
#include <rig.h>
#include <stdlib.h>
#include <string.h>
#include <xen/io/libxenvchan.h>

#define PATH "device-model/7/qmp-vchan"

enum { LEFT = 1024, RIGHT = 2048, LEFT_BYTES = 1024, RIGHT_BYTES = 2048, FAR = 200 };

struct bench {
    struct chr *chr;
    struct vchan_interface *page; /* as the client sees it */
    evtchn_port_t port;
    char got[4096]; /* by the user */
    size_t nr_got, room;
    unsigned opened, closed;
    const char *greeting;  /* written when a client comes */
    bool hangs_up, closes; /* when something comes */
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
    if (b->hangs_up)
        chr_disconnect(b->chr);
    if (b->closes) {
        chr_close(b->chr);
        b->chr = NULL;
    }
}

static void user_opened(void *opaque)
{
    struct bench *b = opaque;
    assert_int_equal(b->opened, b->closed);
    b->opened++;
    if (b->greeting)
        assert_int_equal(chr_write(b->chr, (const uint8_t *)b->greeting, strlen(b->greeting)), strlen(b->greeting));
}

static void user_closed(void *opaque)
{
    struct bench *b = opaque;
    b->closed++;
    assert_int_equal(b->opened, b->closed);
}

static const struct chr_user user = { user_room, user_recv, user_opened, user_closed, NULL };

static int set_up(void **state)
{
    struct bench *b = *state = calloc(1, sizeof(*b));
    assert_non_null(b);
    fakexen_init();
    b->room = sizeof(b->got);
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

static struct bench *served(void **state)
{
    struct bench *b = *state;
    assert_int_equal(vchan_open(PATH, &fakexen.loop, &fakexen.log, &b->chr), 0);
    chr_bind(b->chr, &user, b);
    b->page = (void *)fakexen_map((grant_ref_t)fakexen_get_number(PATH "/ring-ref"), false);
    b->port = (evtchn_port_t)fakexen_get_number(PATH "/event-channel");
    assert_non_null(b->page);
    assert_int_equal(fakexen.ports[b->port].remote, 0);
    fakexen_settle();
    return b;
}

/* The client: asks to be told when it waits, and is told if it was asked to. */
static void kick(struct bench *b, uint8_t bit)
{
    bool wanted = b->page->cli_notify & bit;
    b->page->cli_notify &= (uint8_t)~bit;
    if (wanted)
        fakexen_raise(b->port);
    fakexen_settle();
}

static void come(struct bench *b)
{
    assert_int_equal(b->page->srv_live, 1);
    assert_int_equal(b->page->cli_live, 2);
    b->page->cli_live = 1;
    fakexen_raise(b->port);
    fakexen_settle();
}

static void leave(struct bench *b)
{
    b->page->cli_live = 0;
    fakexen_raise(b->port);
    fakexen_settle();
}

static void say(struct bench *b, const char *text)
{
    for (; *text; text++) {
        assert_in_range(b->page->left.prod - b->page->left.cons, 0, LEFT_BYTES - 1);
        ((char *)b->page)[LEFT + (b->page->left.prod++ & (LEFT_BYTES - 1))] = *text;
    }
    kick(b, VCHAN_NOTIFY_WRITE);
}

static size_t hear(struct bench *b, char *text, size_t size)
{
    size_t n = 0;
    while (n < size && b->page->right.cons != b->page->right.prod)
        text[n++] = ((char *)b->page)[RIGHT + (b->page->right.cons++ & (RIGHT_BYTES - 1))];
    kick(b, VCHAN_NOTIFY_READ);
    return n;
}

static void hears(struct bench *b, const char *text)
{
    char buf[4096];
    size_t n = hear(b, buf, sizeof(buf));
    assert_int_equal(n, strlen(text));
    assert_memory_equal(buf, text, n);
}

static void the_page_is_ready_before_a_client_comes(void **state)
{
    struct bench *b = served(state);
    assert_int_equal(b->page->left_order, 10);
    assert_int_equal(b->page->right_order, 11);
    assert_int_equal(b->page->srv_live, 1);
    assert_int_equal(b->page->cli_live, 2);
    assert_int_equal(b->page->cli_notify, VCHAN_NOTIFY_WRITE | VCHAN_NOTIFY_READ);
    assert_string_equal(b->chr->filename, "vchan:" PATH);
    assert_false(b->chr->connected);
    assert_int_equal(b->opened, 0);
    assert_int_equal(chr_write(b->chr, (const uint8_t *)"lost", 4), 4); /* nobody is there */
    assert_int_equal(b->page->right.prod, 0);
}

static void a_client_is_greeted_and_answered(void **state)
{
    struct bench *b = served(state);
    b->greeting = "{\"QMP\": {}}\r\n";
    come(b);
    assert_int_equal(b->opened, 1);
    assert_true(b->chr->connected);
    hears(b, b->greeting);
    say(b, "{\"execute\"");
    say(b, ": \"qmp_capabilities\"}\r\n");
    assert_int_equal(b->nr_got, 33);
    assert_memory_equal(b->got, "{\"execute\": \"qmp_capabilities\"}\r\n", 33);
    assert_int_equal(chr_write(b->chr, (const uint8_t *)"{}\r\n", 4), 4);
    hears(b, "{}\r\n");
}

/* What it is told, it is told in a page that is the same for every client. */
static void each_client_is_a_new_peer(void **state)
{
    struct bench *b = served(state);
    b->greeting = "hello";
    for (unsigned i = 1; i <= 100; i++) {
        come(b);
        assert_int_equal(b->opened, i);
        hears(b, "hello");
        b->nr_got = 0;
        say(b, "cont");
        assert_int_equal(b->nr_got, 4);
        assert_int_equal(chr_write(b->chr, (const uint8_t *)"unread", 6), 6);
        leave(b);
        assert_int_equal(b->closed, i);
        assert_false(b->chr->connected);
        assert_int_equal(b->page->left.prod, 0);
        assert_int_equal(b->page->right.prod, 0);
        assert_int_equal(b->page->right.cons, 0);
    }
    assert_int_equal(fakexen_get_number(PATH "/event-channel"), b->port);
    assert_int_equal(fakexen.lines, 0);
}

/* It says its last words and goes, before we look. */
static void the_last_words_of_a_client_are_heard(void **state)
{
    struct bench *b = served(state);
    come(b);
    memcpy((char *)b->page + LEFT, "quit", 4);
    b->page->left.prod = 4;
    leave(b);
    assert_int_equal(b->nr_got, 4);
    assert_int_equal(b->closed, 1);
}

static void a_client_that_comes_before_the_user(void **state)
{
    struct bench *b = *state;
    assert_int_equal(vchan_open(PATH, &fakexen.loop, &fakexen.log, &b->chr), 0);
    b->page = (void *)fakexen_map((grant_ref_t)fakexen_get_number(PATH "/ring-ref"), false);
    b->port = (evtchn_port_t)fakexen_get_number(PATH "/event-channel");
    b->page->cli_live = 1;
    memcpy((char *)b->page + LEFT, "early", 5);
    b->page->left.prod = 5;
    fakexen_raise(b->port);
    fakexen_settle();
    assert_int_equal(b->nr_got, 0);
    chr_bind(b->chr, &user, b);
    assert_int_equal(b->opened, 0); /* not from inside the call */
    fakexen_settle();
    assert_int_equal(b->opened, 1);
    assert_int_equal(b->nr_got, 5);
}

static void a_reply_may_be_longer_than_the_ring(void **state)
{
    struct bench *b = served(state);
    static char text[20000], back[20000];
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)('a' + i % 26);
    come(b);
    assert_int_equal(chr_write(b->chr, (const uint8_t *)text, 15000), 15000);
    assert_int_equal(chr_write(b->chr, (const uint8_t *)text + 15000, 5000), 5000); /* behind it */
    size_t n = 0;
    for (unsigned i = 0; i < FAR && n < sizeof(back); i++)
        n += hear(b, back + n, sizeof(back) - n);
    assert_int_equal(n, sizeof(text));
    assert_memory_equal(text, back, n);
}

static void what_is_kept_has_a_limit(void **state)
{
    struct bench *b = served(state);
    static uint8_t text[100000];
    come(b);
    assert_int_equal(chr_write(b->chr, text, sizeof(text)), RIGHT_BYTES + 65536);
    assert_int_equal(chr_write(b->chr, text, 10), 0);
    leave(b);
    come(b);
    hears(b, ""); /* not for this one */
    assert_int_equal(chr_write(b->chr, (const uint8_t *)"x", 1), 1);
    hears(b, "x");
}

static void input_waits_for_room(void **state)
{
    struct bench *b = served(state);
    come(b);
    b->room = 0;
    say(b, "abc");
    assert_int_equal(b->nr_got, 0);
    assert_int_equal(b->page->left.cons, 0);
    b->room = 100;
    chr_resume(b->chr);
    assert_int_equal(b->nr_got, 0);
    fakexen_settle();
    assert_int_equal(b->nr_got, 3);
    assert_int_equal(b->page->left.cons, 3);
}

static void a_client_can_be_hung_up_on(void **state)
{
    struct bench *b = served(state);
    come(b);
    b->hangs_up = true;
    unsigned before = fakexen.ports[b->port].notified;
    say(b, "rubbish");
    assert_int_equal(b->page->srv_live, 0); /* how it finds out */
    assert_true(fakexen.ports[b->port].notified > before);
    assert_int_equal(b->closed, 1);
    assert_int_equal(chr_write(b->chr, (const uint8_t *)"x", 1), 1);
    assert_int_equal(b->page->right.prod, 0);
    b->hangs_up = false;
    leave(b);
    come(b);
    assert_int_equal(b->opened, 2);
    assert_int_equal(chr_write(b->chr, (const uint8_t *)"y", 1), 1);
    hears(b, "y");
}

static void closing_tells_the_client(void **state)
{
    struct bench *b = served(state);
    grant_ref_t ref = (grant_ref_t)fakexen_get_number(PATH "/ring-ref");
    come(b);
    assert_non_null(fakexen_map(ref, true));
    chr_close(b->chr);
    b->chr = NULL;
    assert_int_equal(b->page->srv_live, 0);
    assert_int_equal(fakexen_pages_used(), 1); /* the client has it mapped */
    assert_true(fakexen_said("memory is lost"));
    assert_int_equal(b->closed, 0);
}

static void closing_gives_all_back(void **state)
{
    struct bench *b = served(state);
    chr_close(b->chr);
    b->chr = NULL;
    assert_int_equal(fakexen_pages_used(), 0);
    assert_false(fakexen.ports[b->port].used);
}

static void it_may_be_closed_by_who_gets_the_input(void **state)
{
    struct bench *b = served(state);
    come(b);
    b->closes = true;
    say(b, "quit");
    assert_null(b->chr);
    assert_int_equal(fakexen_pages_used(), 0);
}

/* --- Clients that lie --- */

static void gone_until_it_leaves(struct bench *b)
{
    fakexen_raise(b->port);
    fakexen_settle();
    assert_true(fakexen_said("qmp-vchan: the other end moved its ring index too far"));
    assert_int_equal(b->closed, 1);
    assert_int_equal(b->page->srv_live, 0);
    size_t before = b->nr_got;
    b->page->left.prod = b->page->left.cons + 3;
    fakexen_raise(b->port);
    fakexen_settle();
    assert_int_equal(b->nr_got, before);
    leave(b);
    come(b);
    say(b, "ok");
    assert_int_equal(b->nr_got, before + 2);
    assert_int_equal(chr_write(b->chr, (const uint8_t *)"fine", 4), 4);
    hears(b, "fine");
}

static void a_write_index_that_is_too_far(void **state)
{
    struct bench *b = served(state);
    come(b);
    b->page->left.prod = LEFT_BYTES + 1;
    gone_until_it_leaves(b);
}

static void a_write_index_that_goes_back(void **state)
{
    struct bench *b = served(state);
    come(b);
    say(b, "abc");
    b->page->left.prod = 1;
    gone_until_it_leaves(b);
}

static void a_read_index_that_is_too_far(void **state)
{
    struct bench *b = served(state);
    come(b);
    b->page->right.cons = 1;
    assert_int_equal(chr_write(b->chr, (const uint8_t *)"abc", 3), 3);
    gone_until_it_leaves(b);
}

/* While something is kept for it. */
static void a_read_index_that_is_too_far_later(void **state)
{
    struct bench *b = served(state);
    static uint8_t text[10000];
    come(b);
    assert_int_equal(chr_write(b->chr, text, sizeof(text)), sizeof(text));
    b->page->right.cons = RIGHT_BYTES + 1;
    gone_until_it_leaves(b);
}

/* The rest of the page is ours: it isn't read back. */
static void what_it_writes_to_our_part_does_nothing(void **state)
{
    struct bench *b = served(state);
    come(b);
    b->page->left_order = 30;
    b->page->right_order = 60000;
    b->page->srv_notify = 0xff;
    b->page->left.cons = 99;
    b->page->right.prod = 99;
    b->nr_got = 0;
    b->page->left.prod = 0;
    say(b, "");
    ((char *)b->page)[LEFT] = 'a';
    b->page->left.prod = 1;
    fakexen_raise(b->port);
    fakexen_settle();
    assert_int_equal(b->nr_got, 1);
    assert_int_equal(b->got[0], 'a');
    assert_int_equal(chr_write(b->chr, (const uint8_t *)"b", 1), 1);
    assert_int_equal(b->page->right.prod, 1);
    assert_int_equal(((char *)b->page)[RIGHT], 'b');
}

static void a_live_byte_that_can_t_be_is_no_client(void **state)
{
    struct bench *b = served(state);
    for (unsigned live = 2; live < 256; live++) {
        b->page->cli_live = (uint8_t)live;
        fakexen_raise(b->port);
        fakexen_settle();
        assert_int_equal(b->opened, 0);
    }
    leave(b);
    come(b);
    assert_int_equal(b->opened, 1);
}

/* --- What we have too little of --- */

static void too_little_of_everything_is_refused(void **state)
{
    struct bench *b = *state;
    fakexen.page_limit = 0;
    assert_int_equal(vchan_open(PATH, &fakexen.loop, &fakexen.log, &b->chr), -ENOMEM);
    assert_true(fakexen_said("qmp-vchan: no memory or grant"));
    fakexen.page_limit = 10;
    fakexen.fail_alloc_port = -ENOSPC;
    assert_int_equal(vchan_open(PATH, &fakexen.loop, &fakexen.log, &b->chr), -ENOSPC);
    assert_true(fakexen_said("no event channel"));
    for (unsigned i = 0; i < 2; i++) {
        fakexen.store.error = "EACCES";
        fakexen.store.error_after = i;
        assert_int_equal(vchan_open(PATH, &fakexen.loop, &fakexen.log, &b->chr), -EACCES);
        assert_true(fakexen_said("xenstore refuses the nodes"));
    }
    assert_int_equal(vchan_open("a/path/that/is/longer/than/any/path/that/a/node/of/a/stubdomain/has/or/is/going/to/"
                                "have/in/all/the/time/to/come",
                                &fakexen.loop, &fakexen.log, &b->chr),
                     -ENAMETOOLONG);
    assert_int_equal(fakexen_pages_used(), 0);
    for (evtchn_port_t i = FAKE_STORE_PORT + 1; i < EVENTS_MAX_PORTS; i++)
        assert_false(fakexen.ports[i].used);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_page_is_ready_before_a_client_comes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_client_is_greeted_and_answered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_client_is_a_new_peer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_last_words_of_a_client_are_heard, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_client_that_comes_before_the_user, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_reply_may_be_longer_than_the_ring, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_kept_has_a_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(input_waits_for_room, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_client_can_be_hung_up_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(closing_tells_the_client, set_up, tear_down),
        cmocka_unit_test_setup_teardown(closing_gives_all_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_may_be_closed_by_who_gets_the_input, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_write_index_that_is_too_far, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_write_index_that_goes_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_read_index_that_is_too_far, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_read_index_that_is_too_far_later, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_it_writes_to_our_part_does_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_live_byte_that_can_t_be_is_no_client, set_up, tear_down),
        cmocka_unit_test_setup_teardown(too_little_of_everything_is_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
