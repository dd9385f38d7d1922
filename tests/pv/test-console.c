/*
 * backends/pv/console.c: the nodes of libxl, the ring of io/console.h in both directions, outsides that don't keep up,
 * and front ends that write what they like.
 */
#include "fake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { IN = 0, IN_BYTES = 1024, OUT = 1024, OUT_BYTES = 2048 };
enum { IN_CONS = 3072, IN_PROD = 3076, OUT_CONS = 3080, OUT_PROD = 3084 };

/* The guest's end of one console. */
struct con {
    struct fake *f;
    char back[64], front[64];
    uint32_t ref;
};

static struct chr_config opened; /* the last one */
static unsigned opens;

static int open_chr(struct host *host, const struct chr_config *config, struct chr **out)
{
    struct fake *f = host->opaque;
    opened = *config;
    opens++;
    if (config->path && strcmp(config->path, "/nowhere") == 0)
        return -ENOENT;
    *out = rig_chr(f->rig);
    (void)snprintf((*out)->filename, sizeof((*out)->filename), "%s", config->kind == CHR_PTY ? "pty:/dev/pts/9" : "x");
    return 0;
}

/* An outside that takes bytes again between two tries. */
static const struct chr_ops *steady_ops;
static unsigned refusals;

static size_t moody_write(struct chr *chr, const uint8_t *buf, size_t len)
{
    if (refusals == 0)
        return steady_ops->write(chr, buf, len);
    refusals--;
    return 0;
}

static int setup(void **state)
{
    struct fake *f = fake_new(PV_COPY);
    f->host.chr_open = open_chr;
    opens = 0;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fake *f = *state;
    fake_free(f);
    return 0;
}

/* What libxl__device_console_add() writes; console 0 is connected by the builder. */
static struct con entry(struct fake *f, unsigned n, const char *type, const char *output)
{
    struct con con = { .f = f, .ref = fake_grant(f) };
    (void)snprintf(con.back, sizeof(con.back), "backend/console/%d/%u", FAKE_DOMID, n);
    (void)snprintf(con.front, sizeof(con.front), "/local/domain/%d/device/console/%u", FAKE_DOMID, n);
    if (n == 0)
        (void)snprintf(con.front, sizeof(con.front), "/local/domain/%d/console", FAKE_DOMID);
    fake_writef(f, con.front, "limit", "1048576");
    fake_writef(f, con.front, "type", "%s", type);
    if (output)
        fake_writef(f, con.front, "output", "%s", output);
    fake_writef(f, con.front, "tty", "");
    if (n == 0) {
        fake_writef(f, con.front, "port", "%d", FAKE_PORT);
        fake_writef(f, con.front, "ring-ref", "%u", con.ref);
    } else {
        fake_writef(f, con.front, "state", "1");
    }
    fake_writef(f, con.back, "frontend", "%s", con.front);
    fake_writef(f, con.back, "frontend-id", "%d", FAKE_DOMID);
    fake_writef(f, con.back, "online", "1");
    fake_writef(f, con.back, "protocol", "vt100");
    fake_writef(f, con.back, "state", "1");
    return con;
}

static const char *node(const struct con *con, bool front, const char *name)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/%s", front ? con->front : con->back, name);
    return fake_read(con->f, path);
}

#define assert_state(con, text) assert_string_equal(node(&(con), false, "state"), text)

static uint32_t *index_of(const struct con *con, unsigned offset)
{
    return (uint32_t *)(void *)(fake_page(con->f, con->ref) + offset);
}

static void front_says(struct con *con, int state)
{
    fake_writef(con->f, con->front, "state", "%d", state);
    fake_settle(con->f);
}

static void connect_front(struct con *con)
{
    fake_writef(con->f, con->front, "ring-ref", "%u", con->ref);
    fake_writef(con->f, con->front, "port", "%d", FAKE_PORT);
    front_says(con, CONNECTED);
    assert_state(*con, "4");
}

/* Console 3 on a pty, connected. */
static struct con connected(void **state)
{
    struct fake *f = *state;
    struct con con = entry(f, 3, "ioemu", "pty");
    fake_start(f);
    connect_front(&con);
    return con;
}

/* Bytes into the ring, as many as there is room for; no event yet. */
static size_t put(struct con *con, const char *text, size_t len)
{
    uint8_t *page = fake_page(con->f, con->ref);
    uint32_t *prod = index_of(con, OUT_PROD), cons = *index_of(con, OUT_CONS);
    size_t n = 0;
    for (; n < len && *prod - cons < OUT_BYTES; n++)
        page[OUT + (*prod)++ % OUT_BYTES] = (uint8_t)text[n];
    return n;
}

static void say(struct con *con, const char *text)
{
    assert_int_equal(put(con, text, strlen(text)), strlen(text));
    fake_event(con->f);
}

static size_t hear(struct con *con, char *text, size_t max)
{
    uint8_t *page = fake_page(con->f, con->ref);
    uint32_t *cons = index_of(con, IN_CONS), prod = *index_of(con, IN_PROD);
    size_t n = 0;
    for (; n < max && *cons != prod; n++)
        text[n] = (char)page[IN + (*cons)++ % IN_BYTES];
    return n;
}

static void assert_out(struct con *con, const char *text)
{
    struct rig *r = con->f->rig;
    assert_int_equal(r->out_len, strlen(text));
    assert_memory_equal(r->out, text, r->out_len);
}

/* --- Nodes --- */

/* The builder's ring: what is in it already is heard, and no state of the front end is waited for. */
static void the_first_console_needs_no_front_end(void **state)
{
    struct fake *f = *state;
    struct con con = entry(f, 0, "ioemu", "file:/var/log/xen/qemu-dm-vm.log");
    (void)put(&con, "early ", 6);
    fake_start(f);
    assert_state(con, "4");
    assert_string_equal(node(&con, false, "hotplug-status"), "connected");
    assert_int_equal(opened.kind, CHR_FILE);
    assert_string_equal(opened.path, "/var/log/xen/qemu-dm-vm.log");
    assert_string_equal(opened.label, "xencons0");
    assert_string_equal(node(&con, true, "tty"), "");
    say(&con, "late");
    assert_out(&con, "early late");
    assert_int_equal(*index_of(&con, OUT_CONS), 10);
    assert_int_equal(f->notified, 2);
}

static void another_programs_console_is_left_alone(void **state)
{
    struct fake *f = *state;
    struct con con = entry(f, 0, "xenconsoled", "pty");
    fake_start(f);
    fake_write(f, "backend/console/7/0/online", "1");
    fake_settle(f);
    assert_state(con, "1");
    assert_int_equal(opens, 0);
    assert_int_equal(f->bound, 0);
}

/* The directory of its front end is the guest's: nothing but permissions keeps it from naming any file of the host. */
static void nodes_are_believed_before_the_guest_runs_only(void **state)
{
    struct fake *f = *state;
    struct con early = entry(f, 3, "ioemu", "pty");
    fake_start(f);
    assert_int_equal(opened.kind, CHR_PTY);
    fake_write(f, early.front, NULL);
    struct con late = entry(f, 4, "ioemu", "file:/etc/passwd");
    fake_writef(f, early.front, "type", "ioemu");
    fake_writef(f, early.front, "output", "file:/etc/passwd");
    fake_settle(f);
    front_says(&early, INITIALISING);
    connect_front(&early);
    assert_state(late, "1");
    assert_int_equal(opens, 1);
}

static void a_pty_is_told(void **state)
{
    struct con con = connected(state);
    assert_string_equal(node(&con, true, "tty"), "/dev/pts/9");
}

static void no_server_waits_for_its_client(void **state)
{
    struct fake *f = *state;
    (void)entry(f, 3, "ioemu", "unix:/run/s,server");
    fake_start(f);
    assert_int_equal(opened.kind, CHR_SOCKET);
    assert_true(opened.server);
    assert_false(opened.wait);
}

static void a_channel_is_taken_from_the_command_line(void **state)
{
    struct fake *f = *state;
    static const struct chr_user nobody = { 0 };
    struct con con = entry(f, 1, "ioemu", "chardev:libxl-channel0");
    struct con busy = entry(f, 2, "ioemu", "chardev:libxl-cmd"), none = entry(f, 3, "ioemu", "chardev:libxl-channel1");
    struct chr monitor = { .label = "libxl-cmd", .user = &nobody };
    f->chrs[1] = &monitor;
    f->chrs[2] = rig_chr(f->rig);
    f->nr_chrs = 3;
    (void)snprintf(f->chrs[2]->label, sizeof(f->chrs[2]->label), "libxl-channel0");
    fake_start(f);
    connect_front(&con);
    say(&con, "hello");
    assert_out(&con, "hello");
    assert_state(busy, "6");
    assert_state(none, "6");
    assert_int_equal(opens, 0);
    assert_ptr_equal(monitor.user, &nobody);
    pv_destroy(f->pv);
    f->pv = NULL;
    assert_false(f->rig->chr_closed); /* its owner's to close */
    assert_null(f->chrs[2]->user);
    chr_close(f->chrs[2]);
}

static void what_cannot_be_opened_is_told(void **state)
{
    static const char *const bad[] = { "file:/nowhere", "vc", "telnet:x", "chardev:", "x" };
    struct fake *f = *state;
    struct con con[5];
    for (unsigned i = 0; i < 5; i++)
        con[i] = entry(f, i + 1, "ioemu", bad[i]);
    struct con first = entry(f, 0, "ioemu", "null");
    fake_writef(f, first.front, "ring-ref", "%d", FAKE_GRANTS + 7);
    fake_start(f);
    for (unsigned i = 0; i < 5; i++) {
        char path[80];
        (void)snprintf(path, sizeof(path), "error/%s/error", con[i].back);
        assert_state(con[i], "6");
        assert_non_null(fake_read(f, path));
    }
    assert_state(first, "6");
}

/* libxl gives a restore console without output to a guest that is not restored. */
static void without_an_output_bytes_vanish(void **state)
{
    struct fake *f = *state;
    struct con con = entry(f, 2, "ioemu", NULL);
    fake_start(f);
    connect_front(&con);
    say(&con, "into the void");
    assert_int_equal(*index_of(&con, OUT_CONS), 13);
    assert_int_equal(opens, 0);
}

static void a_bad_connection_is_told_and_can_be_mended(void **state)
{
    static const struct {
        const char *node, *value;
    } bad[] = {
        { "ring-ref", "4095" }, { "ring-ref", "x" }, { "ring-ref", "4294967296" },
        { "ring-ref", NULL },   { "port", "0" },     { "port", "-1" },
        { "port", NULL },
    };
    struct fake *f = *state;
    struct con con = entry(f, 3, "ioemu", "pty");
    fake_start(f);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char path[96];
        (void)snprintf(path, sizeof(path), "%s/%s", con.front, bad[i].node);
        fake_writef(f, con.front, "ring-ref", "%u", con.ref);
        fake_writef(f, con.front, "port", "%d", FAKE_PORT);
        fake_write(f, path, bad[i].value);
        front_says(&con, INITIALISED);
        assert_state(con, "5");
        assert_int_equal(f->bound, 0);
        assert_int_equal(f->grants[con.ref].mapped, 0);
        front_says(&con, INITIALISING);
        assert_state(con, "2");
    }
    connect_front(&con);
    say(&con, "well");
    assert_out(&con, "well");
}

/* --- Bytes --- */

/* Every position of the rings, and indices that pass 2^32. */
static void bytes_go_round_both_rings(void **state)
{
    struct con con = connected(state);
    struct rig *r = con.f->rig;
    *index_of(&con, OUT_CONS) = *index_of(&con, OUT_PROD) = UINT32_MAX - 3000;
    *index_of(&con, IN_CONS) = *index_of(&con, IN_PROD) = UINT32_MAX - 1500;
    for (unsigned round = 0; round < 300; round++) {
        char text[48], got[48];
        (void)snprintf(text, sizeof(text), "%u bottles of something long in the ring", round);
        r->out_len = 0;
        say(&con, text);
        assert_out(&con, text);
        rig_feed(r, text);
        fake_settle(con.f);
        assert_int_equal(hear(&con, got, sizeof(got)), strlen(text));
        assert_memory_equal(got, text, strlen(text));
    }
}

static void a_full_ring_goes_out_at_once(void **state)
{
    struct con con = connected(state);
    char text[OUT_BYTES + 1];
    memset(text, 'x', sizeof(text));
    assert_int_equal(put(&con, text, sizeof(text)), OUT_BYTES);
    fake_event(con.f);
    assert_int_equal(con.f->rig->out_len, OUT_BYTES);
    assert_int_equal(*index_of(&con, OUT_CONS), *index_of(&con, OUT_PROD));
}

static void input_waits_for_the_ring(void **state)
{
    struct con con = connected(state);
    struct rig *r = con.f->rig;
    char text[1501], got[2000];
    for (unsigned i = 0; i < sizeof(text) - 1; i++)
        text[i] = (char)('a' + i % 26);
    text[1500] = '\0';
    rig_feed(r, text);
    fake_settle(con.f);
    assert_int_equal(*index_of(&con, IN_PROD), IN_BYTES);
    assert_int_equal(r->in_len, 1500 - IN_BYTES);
    assert_int_equal(hear(&con, got, 100), 100);
    fake_event(con.f);
    assert_int_equal(*index_of(&con, IN_PROD), IN_BYTES + 100);
    size_t n = 100 + hear(&con, got + 100, IN_BYTES);
    fake_event(con.f);
    n += hear(&con, got + n, IN_BYTES);
    assert_int_equal(n, 1500);
    assert_memory_equal(got, text, 1500);
}

/* A stream that is restored from is there before the front end is. */
static void input_waits_for_the_front_end(void **state)
{
    struct fake *f = *state;
    struct con con = entry(f, 2, "ioemu", "pipe:/var/lib/xen/qemu-resume.7");
    char got[8];
    fake_start(f);
    rig_feed(f->rig, "state");
    fake_settle(f);
    assert_int_equal(f->rig->in_len, 5);
    connect_front(&con);
    fake_settle(f);
    assert_int_equal(hear(&con, got, sizeof(got)), 5);
    assert_memory_equal(got, "state", 5);
}

static void pause_holds_both_directions(void **state)
{
    struct con con = connected(state);
    struct rig *r = con.f->rig;
    (void)put(&con, "just ", 5);
    pv_set_paused(con.f->pv, true);
    say(&con, "out");
    rig_feed(r, "in");
    fake_settle(con.f);
    assert_int_equal(r->out_len, 0);
    assert_int_equal(*index_of(&con, IN_PROD), 0);
    pv_set_paused(con.f->pv, false);
    fake_settle(con.f);
    assert_out(&con, "just out");
    assert_int_equal(*index_of(&con, IN_PROD), 2);
}

/* --- An outside that doesn't keep up --- */

static const char letters[] = "abcdefghijklmnopqrstuvwxyz";

/* Text i of a sequence that has no repeats at distances of rings and buffers. */
static void sequence(char *text, size_t from, size_t len)
{
    for (size_t i = 0; i < len; i++)
        text[i] = letters[(from + i) % 26];
}

static void fill_outside(struct rig *r)
{
    r->out_len = sizeof(r->out);
}

static void what_the_outside_leaves_comes_later(void **state)
{
    struct con con = connected(state);
    struct rig *r = con.f->rig;
    char text[1000], expect[20000];
    unsigned before = r->log_lines;
    r->out_len = sizeof(r->out) - 500;
    for (size_t i = 0; i < 20; i++) {
        sequence(text, i * 1000, 1000);
        assert_int_equal(put(&con, text, 1000), 1000);
        fake_event(con.f);
    }
    assert_int_equal(r->out_len, sizeof(r->out));
    sequence(expect, 0, sizeof(expect));
    assert_memory_equal(r->out + r->out_len - 500, expect, 500);
    r->out_len = 0;
    rig_run(r, 2 * NS_PER_S);
    assert_int_equal(r->out_len, 19500);
    assert_memory_equal(r->out, expect + 500, 19500);
    assert_null(r->loop.timers);
    say(&con, "!");
    assert_int_equal(r->out_len, 19501);
    assert_int_equal(r->log_lines, before);
}

static void nothing_overtakes_what_waits(void **state)
{
    struct con con = connected(state);
    struct rig *r = con.f->rig;
    fill_outside(r);
    say(&con, "first ");
    r->out_len = 0;
    say(&con, "second");
    assert_out(&con, "first second");
    assert_null(r->loop.timers);
}

static void nothing_overtakes_what_is_refused(void **state)
{
    struct con con = connected(state);
    struct rig *r = con.f->rig;
    struct chr_ops moody = *r->chr->ops;
    steady_ops = r->chr->ops;
    moody.write = moody_write;
    r->chr->ops = &moody;
    refusals = 3; /* as it comes, once kept, and when the next one comes */
    say(&con, "first ");
    say(&con, "second");
    assert_int_equal(refusals, 0);
    rig_run(r, NS_PER_S);
    assert_out(&con, "first second");
    r->chr->ops = steady_ops;
}

static void a_stuck_outside_loses_bytes_and_costs_little(void **state)
{
    struct fake *f = *state;
    struct con con = entry(f, 3, "ioemu", "pty");
    struct rig *r = f->rig;
    char text[2000], expect[5000];
    fake_writef(f, con.front, "limit", "5000");
    fake_start(f);
    connect_front(&con);
    fill_outside(r);
    unsigned before = r->log_lines;
    for (size_t i = 0; i < 1000; i++) {
        sequence(text, i * 2000, 2000);
        assert_int_equal(put(&con, text, 2000), 2000); /* the guest never waits */
        fake_event(f);
    }
    assert_in_range(r->log_lines - before, 1, 17);
    uint64_t turns = r->loop.turns;
    rig_run(r, 100 * NS_PER_S);
    assert_true(r->loop.turns - turns < 1000);
    r->out_len = 0;
    rig_run(r, 2 * NS_PER_S);
    sequence(expect, 0, sizeof(expect));
    assert_int_equal(r->out_len, 5000); /* the first ones */
    assert_memory_equal(r->out, expect, 5000);
}

/* The one for which the toolstack bounds a device model's own log. */
static void the_first_consoles_file_is_bounded(void **state)
{
    struct fake *f = *state;
    struct con con = entry(f, 0, "ioemu", "file:/log");
    f->log_limit_bytes = 10;
    fake_start(f);
    unsigned before = f->rig->log_lines;
    say(&con, "1234567");
    say(&con, "89abcdef");
    for (unsigned i = 0; i < 100; i++)
        say(&con, "nothing more");
    assert_out(&con, "123456789a");
    assert_int_equal(f->rig->log_lines - before, 1);
    assert_non_null(strstr(f->rig->log_last, "limit"));
    assert_int_equal(*index_of(&con, OUT_CONS), *index_of(&con, OUT_PROD));
}

static void other_outsides_are_not(void **state)
{
    static const struct {
        unsigned n;
        const char *output;
    } others[] = { { 0, "pty" }, { 3, "file:/serial" } };
    struct fake *f = *state;
    f->log_limit_bytes = 10;
    for (unsigned i = 0; i < 2; i++) {
        struct con con = entry(f, others[i].n, "ioemu", others[i].output);
        fake_start(f);
        if (others[i].n > 0)
            connect_front(&con);
        say(&con, "more than ten bytes");
        assert_out(&con, "more than ten bytes");
        f->rig->out_len = 0;
        pv_destroy(f->pv);
        f->pv = NULL;
        fake_write(f, con.back, NULL);
    }
}

static void a_saved_state_is_bounded(void **state)
{
    struct fake *f = *state;
    struct con con = entry(f, 1, "ioemu", "file:/var/lib/xen/qemu-save.7");
    char text[OUT_BYTES];
    uint64_t total = 0;
    memset(text, 's', sizeof(text));
    fake_start(f);
    connect_front(&con);
    for (unsigned i = 0; i < 33000; i++) {
        f->rig->out_len = 0;
        assert_int_equal(put(&con, text, sizeof(text)), sizeof(text));
        fake_event(f);
        total += f->rig->out_len;
    }
    assert_int_equal(total, 64 << 20);
}

/* --- Coming and going --- */

static void the_last_words_are_heard(void **state)
{
    struct con con = connected(state);
    struct fake *f = con.f;
    (void)put(&con, "bye", 3);
    front_says(&con, CLOSING);
    assert_out(&con, "bye");
    assert_state(con, "5");
    assert_int_equal(f->bound, 0);
    assert_int_equal(f->grants[con.ref].mapped, 0);
    front_says(&con, CLOSED);
    assert_state(con, "6");
    assert_false(f->rig->chr_closed);
}

static void a_new_kernel_connects_again(void **state)
{
    struct con con = connected(state);
    struct fake *f = con.f;
    for (unsigned round = 0; round < 3; round++) {
        say(&con, "x");
        front_says(&con, CLOSING);
        front_says(&con, CLOSED);
        front_says(&con, INITIALISING);
        assert_state(con, "2");
        con.ref = fake_grant(f);
        connect_front(&con);
    }
    assert_out(&con, "xxx");
    assert_int_equal(opens, 1);
}

static void an_entry_that_vanishes_ends_the_console(void **state)
{
    struct con con = connected(state);
    struct fake *f = con.f;
    fill_outside(f->rig);
    say(&con, "wait");
    (void)put(&con, " and last", 9);
    f->rig->out_len = 0;
    fake_write(f, "backend/console/7", NULL);
    fake_settle(f);
    assert_out(&con, "wait and last");
    assert_true(f->rig->chr_closed);
    assert_int_equal(f->bound, 0);
    assert_null(f->rig->loop.timers);
}

/* --- Bad front ends --- */

static void impossible_indices_move_nothing(void **state)
{
    static const uint32_t distances[] = { OUT_BYTES + 1, 1u << 31, UINT32_MAX, UINT32_MAX - OUT_BYTES };
    struct con con = connected(state);
    struct rig *r = con.f->rig;
    unsigned before = r->log_lines;
    for (unsigned i = 0; i < 1000; i++) {
        *index_of(&con, OUT_CONS) = i * 77;
        *index_of(&con, OUT_PROD) = i * 77 + distances[i % 4];
        *index_of(&con, IN_CONS) = i;
        *index_of(&con, IN_PROD) = i + IN_BYTES + 1 + distances[i % 4] / 2;
        rig_feed(r, "x");
        fake_event(con.f);
        assert_int_equal(*index_of(&con, OUT_CONS), i * 77);
        assert_int_equal(*index_of(&con, IN_PROD), i + IN_BYTES + 1 + distances[i % 4] / 2);
    }
    assert_int_equal(r->out_len, 0);
    assert_int_equal(r->in_len, 1000);
    assert_in_range(r->log_lines - before, 1, 20);
    /* A driver that begins anew is served again. */
    memset(fake_page(con.f, con.ref), 0, PAGE_BYTES);
    say(&con, "sane");
    assert_out(&con, "sane");
    assert_int_equal(*index_of(&con, IN_PROD), 1000);
}

/* Whatever it says in a page of its own, no byte next to the page is touched: there is nothing there. */
static void random_pages_do_no_harm(void **state)
{
    struct con con = connected(state);
    struct rig *r = con.f->rig;
    uint32_t x = 1;
    for (unsigned i = 0; i < 20000; i++) {
        x = x * 1664525 + 1013904223;
        unsigned which = IN_CONS + (x >> 30) * 4;
        *index_of(&con, which) = x >> 8 & 1 ? x : *index_of(&con, which ^ 4) + (x >> 10 & 0xfff);
        r->out_len = 0;
        if (r->in_len < 1000)
            rig_feed(r, "abcdefgh");
        fake_event(con.f);
        assert_true(r->out_len <= OUT_BYTES);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_first_console_needs_no_front_end),
        TEST(another_programs_console_is_left_alone),
        TEST(nodes_are_believed_before_the_guest_runs_only),
        TEST(a_pty_is_told),
        TEST(no_server_waits_for_its_client),
        TEST(a_channel_is_taken_from_the_command_line),
        TEST(what_cannot_be_opened_is_told),
        TEST(without_an_output_bytes_vanish),
        TEST(a_bad_connection_is_told_and_can_be_mended),
        TEST(bytes_go_round_both_rings),
        TEST(a_full_ring_goes_out_at_once),
        TEST(input_waits_for_the_ring),
        TEST(input_waits_for_the_front_end),
        TEST(pause_holds_both_directions),
        TEST(what_the_outside_leaves_comes_later),
        TEST(nothing_overtakes_what_waits),
        TEST(nothing_overtakes_what_is_refused),
        TEST(a_stuck_outside_loses_bytes_and_costs_little),
        TEST(the_first_consoles_file_is_bounded),
        TEST(other_outsides_are_not),
        TEST(a_saved_state_is_bounded),
        TEST(the_last_words_are_heard),
        TEST(a_new_kernel_connects_again),
        TEST(an_entry_that_vanishes_ends_the_console),
        TEST(impossible_indices_move_nothing),
        TEST(random_pages_do_no_harm),
    };
    return cmocka_run_group_tests_name("pv-console", tests, NULL, NULL);
}
