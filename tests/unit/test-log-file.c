/* backends/linux/log-file.c. */
#include "linux-world.h"
#include "log-file.h"
#include "signals.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

static int setup(void **state)
{
    *state = world_new();
    signals_ignore();
    return 0;
}

static int teardown(void **state)
{
    world_free(*state);
    return 0;
}

static size_t content(const char *path, char *buf, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t got = read(fd, buf, size - 1);
    assert_true(got >= 0);
    buf[got] = '\0';
    close(fd);
    return (size_t)got;
}

/* stderr goes to fd while fn runs. */
static void with_stderr(int fd, void (*fn)(void *opaque), void *opaque)
{
    int old = dup(STDERR_FILENO);
    assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
    fn(opaque);
    assert_int_equal(dup2(old, STDERR_FILENO), STDERR_FILENO);
    close(old);
}

static void lines_have_time_level_and_end(void **state)
{
    struct world *w = *state;
    struct log_file l;
    char text[256], date[16], time[16], rest[64];
    const char *path = world_path(w, "log");
    assert_int_equal(log_file_init(&l, path, LOG_INFO), 0);
    log_print(&l.log, LOG_WARN, "ide0", "odd %d", 7);
    log_print(&l.log, LOG_DEBUG, "ide0", "too fine");
    log_file_finish(&l);
    log_file_finish(&l);
    size_t len = content(path, text, sizeof(text));
    assert_int_equal(sscanf(text, "%15s %15s %63[^\n]", date, time, rest), 3);
    assert_int_equal(strlen(date), 10);
    assert_int_equal(strlen(time), 12);
    assert_string_equal(rest, "warn ide0: odd 7");
    assert_ptr_equal(strchr(text, '\n'), text + len - 1);
    struct log_file again; /* -D truncates */
    assert_int_equal(log_file_init(&again, path, LOG_INFO), 0);
    log_file_finish(&again);
    assert_int_equal(content(path, text, sizeof(text)), 0);
}

static void long_lines_are_cut_but_whole(void **state)
{
    struct world *w = *state;
    struct log_file l;
    char text[2048], longer[1500];
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    assert_int_equal(log_file_init(&l, world_path(w, "log"), LOG_INFO), 0);
    l.log.write(&l.log, LOG_INFO, longer);
    l.log.write(&l.log, LOG_INFO, "next");
    log_file_finish(&l);
    size_t len = content(w->path, text, sizeof(text));
    assert_true(len < 700);
    assert_int_equal(text[len - 1], '\n');
    assert_non_null(strstr(text, "x\n"));
    assert_non_null(strstr(text, " info next\n"));
}

static void no_file_falls_back_to_stderr(void **state)
{
    struct log_file l;
    assert_int_equal(log_file_init(&l, "/nowhere/at/all", LOG_INFO), -ENOENT);
    assert_int_equal(l.fd, STDERR_FILENO);
    log_file_finish(&l);
}

static void talk_much(void *opaque)
{
    struct log_file l;
    assert_int_equal(setenv("XEN_QEMU_CONSOLE_LIMIT", "300", 1), 0);
    assert_int_equal(log_file_init(&l, NULL, LOG_INFO), 0);
    for (int i = 0; i < 100; i++)
        log_print(&l.log, LOG_ERROR, "vga", "line %d", i);
    log_file_finish(&l);
    l.log.write(&l.log, LOG_INFO, "still silent");
    assert_int_equal(unsetenv("XEN_QEMU_CONSOLE_LIMIT"), 0);
}

static void stderr_has_a_budget(void **state)
{
    struct world *w = *state;
    char text[1024];
    int fd = open(world_path(w, "err"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    with_stderr(fd, talk_much, NULL);
    close(fd);
    size_t len = content(w->path, text, sizeof(text));
    assert_true(len < 300 + 120); /* and one line that says so */
    assert_non_null(strstr(text, "limit of 300 bytes is reached"));
    assert_null(strstr(text, "silent"));
}

/* dm_restrict bounds the file, and a disk is full the same way: lines are lost, then told about. */
static void a_full_disk_costs_lines_only(void **state)
{
    struct world *w = *state;
    struct rlimit before, small;
    struct log_file l;
    char text[4096];
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 200;
    assert_int_equal(log_file_init(&l, world_path(w, "log"), LOG_INFO), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    for (int i = 0; i < 20; i++)
        log_print(&l.log, LOG_INFO, "x", "a line of some length, number %d", i);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_true(l.lost > 10);
    log_print(&l.log, LOG_INFO, "x", "there is room again");
    assert_int_equal(l.lost, 0);
    log_file_finish(&l);
    (void)content(w->path, text, sizeof(text));
    assert_non_null(strstr(text, "there is room again"));
    assert_non_null(strstr(text, "lines before the last one could not be written"));
}

static void talk_to_nobody(void *opaque)
{
    struct log_file l;
    assert_int_equal(log_file_init(&l, NULL, LOG_INFO), 0);
    for (int i = 0; i < 4000; i++)
        log_print(&l.log, LOG_INFO, "x", "a line that nobody reads, and another, and another, and another");
    *(uint64_t *)opaque = l.lost;
    log_file_finish(&l);
}

static void a_stuck_or_gone_reader_does_not_block(void **state)
{
    int fds[2];
    uint64_t lost = 0;
    assert_int_equal(pipe(fds), 0);
    with_stderr(fds[1], talk_to_nobody, &lost); /* a pipe holds some 64 KiB */
    assert_true(lost > 1000 && lost < 4000);
    close(fds[0]);
    with_stderr(fds[1], talk_to_nobody, &lost);
    assert_int_equal(lost, 4000);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lines_have_time_level_and_end, setup, teardown),
        cmocka_unit_test_setup_teardown(long_lines_are_cut_but_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(no_file_falls_back_to_stderr, setup, teardown),
        cmocka_unit_test_setup_teardown(stderr_has_a_budget, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_costs_lines_only, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stuck_or_gone_reader_does_not_block, setup, teardown),
    };
    return cmocka_run_group_tests_name("log-file", tests, NULL, NULL);
}
