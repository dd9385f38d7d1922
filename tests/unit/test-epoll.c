/* backends/linux/epoll.c and signals.c. */
#include "epoll.h"
#include "linux-world.h"
#include "signals.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>

enum { NR = 4 };

struct bell {
    struct fd_source source;
    struct world *world;
    unsigned rings;
    struct bell *remove; /* when it rings */
    bool drain;
};

static void ring(void *opaque, uint32_t events)
{
    struct bell *b = opaque;
    uint64_t count;
    assert_true(events & EPOLLIN);
    b->rings++;
    if (b->drain)
        assert_int_equal(read(b->source.fd, &count, sizeof(count)), sizeof(count));
    if (b->remove)
        epoll_source_remove(&b->world->epoll, &b->remove->source);
}

static void press(struct bell *b)
{
    uint64_t one = 1;
    assert_int_equal(write(b->source.fd, &one, sizeof(one)), sizeof(one));
}

static void bells_up(struct world *w, struct bell bells[NR])
{
    for (int i = 0; i < NR; i++) {
        bells[i] = (struct bell){ .world = w, .drain = true };
        bells[i].source = (struct fd_source){ .fd = eventfd(0, EFD_CLOEXEC), .fn = ring, .opaque = &bells[i] };
        assert_int_equal(epoll_source_add(&w->epoll, &bells[i].source, EPOLLIN), 0);
    }
}

static void bells_down(struct world *w, struct bell bells[NR])
{
    for (int i = 0; i < NR; i++) {
        epoll_source_remove(&w->epoll, &bells[i].source);
        epoll_source_remove(&w->epoll, &bells[i].source); /* harmless */
        close(bells[i].source.fd);
    }
}

static int setup(void **state)
{
    *state = world_new();
    return 0;
}

static int teardown(void **state)
{
    world_free(*state);
    return 0;
}

static void sources_ring_while_they_are_ready(void **state)
{
    struct world *w = *state;
    struct bell bells[NR];
    bells_up(w, bells);
    press(&bells[1]);
    press(&bells[2]);
    bells[2].drain = false; /* level-triggered: it stays ready */
    assert_int_equal(loop_step(&w->loop, -1), 0);
    assert_int_equal(loop_step(&w->loop, -1), 0);
    assert_int_equal(bells[0].rings, 0);
    assert_int_equal(bells[1].rings, 1);
    assert_int_equal(bells[2].rings, 2);
    assert_int_equal(epoll_source_mod(&w->epoll, &bells[2].source, 0), 0);
    assert_true(world_sleeps(w, 5));
    assert_int_equal(epoll_source_mod(&w->epoll, &bells[2].source, EPOLLIN), 0);
    assert_int_equal(epoll_look(&w->epoll), 0);
    assert_int_equal(bells[2].rings, 3);
    bells_down(w, bells);
}

/* Whichever of two ready sources comes first removes the other one: that must not be called. */
static void a_callback_may_remove_any_source(void **state)
{
    struct world *w = *state;
    struct bell bells[NR];
    bells_up(w, bells);
    for (int i = 0; i < NR; i++) {
        bells[i].remove = &bells[i ^ 1];
        press(&bells[i]);
    }
    assert_int_equal(loop_step(&w->loop, -1), 0);
    assert_int_equal(bells[0].rings + bells[1].rings, 1);
    assert_int_equal(bells[2].rings + bells[3].rings, 1);
    assert_int_equal(w->epoll.nr_sources, 2);
    bells_down(w, bells);
}

static void a_callback_may_remove_itself(void **state)
{
    struct world *w = *state;
    struct bell bells[NR];
    bells_up(w, bells);
    bells[0].remove = &bells[0];
    press(&bells[0]);
    assert_int_equal(loop_step(&w->loop, -1), 0);
    press(&bells[0]);
    assert_true(world_sleeps(w, 3));
    assert_int_equal(bells[0].rings, 1);
    bells_down(w, bells);
}

struct freed {
    struct fd_source source;
    struct world *world;
    struct freed *other;
};

static void free_both(void *opaque, uint32_t events)
{
    struct freed *f = opaque, *other = f->other;
    struct world *w = f->world;
    epoll_source_remove(&w->epoll, &other->source);
    close(other->source.fd);
    free(other);
    epoll_source_remove(&w->epoll, &f->source);
    close(f->source.fd);
    free(f);
}

static void a_callback_may_free_all(void **state)
{
    struct world *w = *state;
    struct freed *pair[2] = { calloc(1, sizeof(struct freed)), calloc(1, sizeof(struct freed)) };
    for (int i = 0; i < 2; i++) {
        *pair[i] = (struct freed){ .world = w, .other = pair[i ^ 1] };
        pair[i]->source = (struct fd_source){ .fd = eventfd(1, EFD_CLOEXEC), .fn = free_both, .opaque = pair[i] };
        assert_int_equal(epoll_source_add(&w->epoll, &pair[i]->source, EPOLLIN), 0);
    }
    assert_int_equal(loop_step(&w->loop, -1), 0);
    assert_int_equal(w->epoll.nr_sources, 0);
}

/* A callback that waits itself (a back end that drains) and removes what the outer wait still has to serve. */
static void nest(void *opaque, uint32_t events)
{
    struct bell *b = opaque;
    b->source.fn = ring;
    assert_int_equal(epoll_look(&b->world->epoll), 0); /* rings all, b too */
}

static void waits_nest(void **state)
{
    struct world *w = *state;
    struct bell bells[NR];
    bells_up(w, bells);
    for (int i = 0; i < NR; i++) {
        bells[i].source.fn = nest;
        bells[i].drain = false;
        bells[i].remove = &bells[i];
        press(&bells[i]);
    }
    assert_int_equal(loop_step(&w->loop, -1), 0);
    assert_int_equal(w->epoll.nr_sources, 0);
    for (int i = 0; i < NR; i++)
        assert_int_equal(bells[i].rings, 1);
    bells_down(w, bells);
}

static void add_and_mod_tell_why_not(void **state)
{
    struct world *w = *state;
    struct fd_source source = { .fd = -1, .fn = ring };
    assert_int_equal(epoll_source_add(&w->epoll, &source, EPOLLIN), -EBADF);
    source.fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(epoll_source_add(&w->epoll, &source, EPOLLIN), -EPERM);
    assert_true(epoll_source_mod(&w->epoll, &source, EPOLLIN) < 0);
    epoll_source_remove(&w->epoll, &source);
    close(source.fd);
    assert_int_equal(w->epoll.nr_sources, 0);
}

static void timers_are_exact_enough(void **state)
{
    struct world *w = *state;
    for (int coarse = 0; coarse < 2; coarse++) {
        w->epoll.coarse = coarse != 0;
        uint64_t start = loop_now(&w->loop);
        assert_int_equal(loop_step(&w->loop, 300000), 0);
        uint64_t passed = loop_now(&w->loop) - start;
        assert_true(passed >= 300000);     /* never early */
        assert_true(passed < 1000000000u); /* and the unit is right, also on a loaded machine */
    }
    w->epoll.coarse = false;
    assert_int_equal(loop_step(&w->loop, 0), 0);
}

static void note(void *opaque, int signo)
{
    *(int *)opaque = signo;
}

static void signals_are_events(void **state)
{
    struct world *w = *state;
    struct signals signals;
    static const int all[] = { SIGHUP, SIGTERM, SIGINT };
    int seen = 0;
    assert_int_equal(signals_init(&signals, &w->epoll, note, &seen), 0);
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        assert_int_equal(raise(all[i]), 0);
        assert_int_equal(loop_step(&w->loop, -1), 0);
        assert_int_equal(seen, all[i]);
    }
    signals_finish(&signals);
    signals_finish(&signals);
    sigset_t mask;
    assert_int_equal(sigprocmask(SIG_SETMASK, NULL, &mask), 0);
    assert_false(sigismember(&mask, SIGTERM));
}

static void vanished_readers_do_not_kill(void **state)
{
    int fds[2];
    (void)signal(SIGPIPE, SIG_DFL); /* as libxl leaves it */
    signals_ignore();
    assert_int_equal(pipe(fds), 0);
    close(fds[0]);
    assert_int_equal(write(fds[1], "x", 1), -1);
    assert_int_equal(errno, EPIPE);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sources_ring_while_they_are_ready, setup, teardown),
        cmocka_unit_test_setup_teardown(a_callback_may_remove_any_source, setup, teardown),
        cmocka_unit_test_setup_teardown(a_callback_may_remove_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(a_callback_may_free_all, setup, teardown),
        cmocka_unit_test_setup_teardown(waits_nest, setup, teardown),
        cmocka_unit_test_setup_teardown(add_and_mod_tell_why_not, setup, teardown),
        cmocka_unit_test_setup_teardown(timers_are_exact_enough, setup, teardown),
        cmocka_unit_test_setup_teardown(signals_are_events, setup, teardown),
        cmocka_unit_test_setup_teardown(vanished_readers_do_not_kill, setup, teardown),
    };
    return cmocka_run_group_tests_name("epoll", tests, NULL, NULL);
}
