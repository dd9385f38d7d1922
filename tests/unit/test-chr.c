/* core/chr.c, and the scripted chr of the rig that device tests lean on. */
#include "rig.h"

#include <string.h>

struct listener {
    size_t room;
    char got[64];
    size_t len;
    struct chr *close; /* closed from inside recv() */
};

static size_t room(void *opaque)
{
    return ((struct listener *)opaque)->room;
}

static void recv_bytes(void *opaque, const uint8_t *buf, size_t len)
{
    struct listener *l = opaque;
    assert_true(len > 0 && len <= l->room && l->len + len < sizeof(l->got));
    memcpy(l->got + l->len, buf, len);
    l->len += len;
    l->room -= len;
    chr_close(l->close);
    l->close = NULL;
}

static const struct chr_user user = { .room = room, .recv = recv_bytes };

static void null_takes_all_and_gives_nothing(void **state)
{
    struct chr *chr;
    struct listener l = { .room = 9 };
    assert_int_equal(chr_null_open(&chr), 0);
    assert_string_equal(chr->filename, "null");
    chr_bind(chr, &user, &l);
    assert_int_equal(chr_write(chr, (const uint8_t *)"abc", 3), 3);
    chr_resume(chr);
    chr_disconnect(chr);
    chr_close(chr);
    assert_int_equal(l.len, 0);
}

static void no_chr_is_fine(void **state)
{
    assert_int_equal(chr_write(NULL, (const uint8_t *)"abc", 3), 3);
    chr_resume(NULL);
    chr_disconnect(NULL);
    chr_close(NULL);
}

static void bytes_wait_for_room(void **state)
{
    struct rig *r = *state;
    struct listener l = { .room = 2 };
    struct chr *chr = rig_chr(r);
    rig_feed(r, "abc"); /* nobody is bound yet */
    chr_bind(chr, &user, &l);
    assert_int_equal(l.len, 0); /* from the loop only */
    rig_settle(r);
    assert_string_equal(l.got, "ab");
    l.room = 10;
    chr_resume(chr);
    assert_string_equal(l.got, "ab");
    rig_settle(r);
    assert_string_equal(l.got, "abc");
    rig_feed(r, "d");
    assert_string_equal(l.got, "abcd");
}

static void what_is_written_arrives(void **state)
{
    struct rig *r = *state;
    struct chr *chr = rig_chr(r);
    assert_int_equal(chr_write(chr, (const uint8_t *)"xyz", 3), 3);
    assert_int_equal(r->out_len, 3);
    assert_memory_equal(r->out, "xyz", 3);
    chr_close(chr);
    assert_true(r->chr_closed);
    assert_null(r->chr);
}

static void user_may_close_while_it_receives(void **state)
{
    struct rig *r = *state;
    struct chr *chr = rig_chr(r);
    struct listener l = { .room = 1, .close = chr };
    chr_bind(chr, &user, &l);
    rig_feed(r, "abc");
    rig_run(r, NS_PER_S);
    assert_string_equal(l.got, "a");
    assert_true(r->chr_closed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(null_takes_all_and_gives_nothing),
        cmocka_unit_test(no_chr_is_fine),
        cmocka_unit_test_setup_teardown(bytes_wait_for_room, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(what_is_written_arrives, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(user_may_close_while_it_receives, rig_setup, rig_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
