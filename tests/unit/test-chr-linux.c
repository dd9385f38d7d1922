/* backends/linux/chr-file.c and chr-pty.c, through struct host as the machine opens them. */
#include "chr-bench.h"

/* Files, devices, stdio. */

static void file_is_truncated_and_written(void **state)
{
    struct bench *b = *state;
    char name[128], text[64] = "";
    int fd = open(world_path(b->w, "out"), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "an older boot", 13), 13);
    assert_int_equal(open_chr(b, (struct chr_config){ .kind = CHR_FILE, .path = b->w->path }), 0);
    (void)snprintf(name, sizeof(name), "file:%s", b->w->path);
    assert_string_equal(b->u.chr->filename, name);
    assert_int_equal(say(b, "hello"), 5);
    assert_int_equal(pread(fd, text, sizeof(text), 0), 5);
    assert_string_equal(text, "hello");
    close(fd);
    chr_resume(b->u.chr);
    chr_disconnect(b->u.chr);
    assert_true(world_sleeps(b->w, 5));
}

static void file_that_cannot_be_opened_is_told(void **state)
{
    struct bench *b = *state;
    assert_int_equal(open_chr(b, (struct chr_config){ .kind = CHR_FILE, .path = "/no/where" }), -ENOENT);
    assert_int_equal(b->w->lines, 1);
    assert_non_null(strstr(b->w->line, "/no/where"));
}

static void full_file_drops_and_tells_once(void **state)
{
    struct bench *b = *state;
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 4;
    assert_int_equal(open_chr(b, (struct chr_config){ .kind = CHR_FILE, .path = world_path(b->w, "out") }), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_int_equal(say(b, "123456"), 4);
    assert_int_equal(say(b, "56"), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(b->w->lines, 1);
    assert_int_equal(say(b, "56"), 2);
}

static void fifo_never_waits(void **state)
{
    struct bench *b = *state;
    char block[4096];
    memset(block, 'x', sizeof(block));
    assert_int_equal(mkfifo(world_path(b->w, "fifo"), 0600), 0);
    assert_int_equal(open_chr(b, (struct chr_config){ .kind = CHR_FILE, .path = b->w->path }), 0);
    int fd = open(b->w->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_int_equal(say(b, "abc"), 3);
    assert_hears(fd, "abc");
    close(fd);
    for (int i = 0; i < 100; i++) /* nobody reads: it fills up, and that's all */
        (void)chr_write(b->u.chr, (uint8_t *)block, sizeof(block));
    assert_int_equal(say(b, "abc"), 0);
    assert_int_equal(b->u.len, 0); /* it doesn't hear itself */
}

static void pipe_is_two_fifos(void **state)
{
    struct bench *b = *state;
    char in[160], out[160];
    (void)snprintf(in, sizeof(in), "%s.in", world_path(b->w, "p"));
    (void)snprintf(out, sizeof(out), "%s.out", b->w->path);
    assert_int_equal(mkfifo(in, 0600) | mkfifo(out, 0600), 0);
    assert_int_equal(open_chr(b, (struct chr_config){ .kind = CHR_PIPE, .path = b->w->path }), 0);
    int to = open(in, O_WRONLY | O_NONBLOCK | O_CLOEXEC), from = open(out, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(to >= 0 && from >= 0);
    assert_int_equal(say(b, "abc"), 3);
    assert_hears(from, "abc");
    assert_int_equal(write(to, "xyz", 3), 3);
    world_run(b->w);
    assert_string_equal(b->u.got, "xyz");
    close(to); /* no end for whoever writes next */
    close(from);
    assert_true(world_sleeps(b->w, 5));
    chr_close(b->u.chr);
    b->u.chr = NULL;
    unlink(in);
    unlink(out);
}

/* A saved state: read as room comes, to its end, and never written. */
static void pipe_may_be_a_file(void **state)
{
    struct bench *b = *state;
    char text[8] = "";
    int fd = open(world_path(b->w, "state"), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "abcdef", 6), 6);
    b->u.room = 4;
    assert_int_equal(open_chr(b, (struct chr_config){ .kind = CHR_PIPE, .path = b->w->path }), 0);
    world_run(b->w);
    assert_string_equal(b->u.got, "abcd");
    assert_true(world_sleeps(b->w, 5));
    b->u.room = 100;
    chr_resume(b->u.chr);
    world_run(b->w);
    assert_string_equal(b->u.got, "abcdef");
    assert_true(world_sleeps(b->w, 5));
    assert_int_equal(say(b, "12"), 2);
    assert_int_equal(pread(fd, text, sizeof(text), 0), 6);
    assert_string_equal(text, "abcdef");
    close(fd);
}

static void pipe_that_is_nowhere_is_told(void **state)
{
    struct bench *b = *state;
    assert_int_equal(open_chr(b, (struct chr_config){ .kind = CHR_PIPE, .path = "/no/where" }), -ENOENT);
    assert_int_equal(b->w->lines, 1);
    assert_non_null(strstr(b->w->line, "/no/where"));
}

static void null_device_and_null_work(void **state)
{
    struct bench *b = *state;
    assert_int_equal(open_chr(b, (struct chr_config){ .kind = CHR_FILE, .path = "/dev/null" }), 0);
    assert_int_equal(say(b, "abc"), 3);
    assert_true(world_sleeps(b->w, 5));
    chr_close(b->u.chr);
    assert_int_equal(open_chr(b, (struct chr_config){ .kind = CHR_NULL }), 0);
    assert_int_equal(say(b, "abc"), 3);
}

/* A pair of terminals; gives the master, and the name of the other end. */
static int new_terminal(char name[32])
{
    int fd = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 || unlockpt(fd) != 0 || ptsname_r(fd, name, 32) != 0)
        return -1;
    return fd;
}

static void terminal_device_is_raw_and_goes_both_ways(void **state)
{
    struct bench *b = *state;
    char name[32];
    int fd = new_terminal(name);
    if (fd < 0)
        skip();
    assert_int_equal(open_chr(b, (struct chr_config){ .kind = CHR_FILE, .path = name }), 0);
    assert_int_equal(say(b, "a\nb"), 3);
    assert_hears(fd, "a\nb"); /* no carriage return was added */
    assert_int_equal(write(fd, "x\r\003", 3), 3);
    world_run(b->w);
    assert_string_equal(b->u.got, "x\r\003");
    b->u.room = 0;
    assert_int_equal(write(fd, "later", 5), 5);
    world_run(b->w);
    assert_true(world_sleeps(b->w, 5)); /* input that waits doesn't spin */
    b->u.room = 100;
    chr_resume(b->u.chr);
    world_run(b->w);
    assert_string_equal(b->u.got, "x\r\003later");
    close(fd); /* the line hangs up */
    world_run(b->w);
    assert_true(world_sleeps(b->w, 5));
}

static void stdio_uses_both_ends(void **state)
{
    struct bench *b = *state;
    int in[2], out[2], old_in = dup(STDIN_FILENO), old_out = dup(STDOUT_FILENO);
    assert_int_equal(pipe(in) | pipe(out), 0);
    (void)fflush(stdout);
    assert_true(dup2(in[0], STDIN_FILENO) == STDIN_FILENO && dup2(out[1], STDOUT_FILENO) == STDOUT_FILENO);
    int err = open_chr(b, (struct chr_config){ .kind = CHR_STDIO });
    size_t said = err ? 0 : say(b, "to the user");
    bool wrote = write(in[1], "from the user", 13) == 13;
    world_run(b->w);
    close(in[1]); /* the end of the input */
    world_run(b->w);
    bool sleeps = world_sleeps(b->w, 5);
    size_t last = say(b, "!");
    char name[16];
    (void)snprintf(name, sizeof(name), "%.15s", b->u.chr->filename);
    chr_close(b->u.chr);
    b->u.chr = NULL;
    assert_true(dup2(old_in, STDIN_FILENO) == STDIN_FILENO && dup2(old_out, STDOUT_FILENO) == STDOUT_FILENO);
    assert_int_equal(err, 0);
    assert_true(wrote && sleeps);
    assert_int_equal(said, 11);
    assert_int_equal(last, 1);
    assert_string_equal(name, "stdio");
    assert_string_equal(b->u.got, "from the user");
    assert_hears(out[0], "to the user!");
    const int fds[] = { in[0], out[0], out[1], old_in, old_out };
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        close(fds[i]);
}

/* epoll knows no regular files; a script may come from one. Its end is the peer's leaving. */
static void standard_input_may_be_a_file(void **state)
{
    struct bench *b = *state;
    char text[3001];
    memset(text, 'a', 3000);
    text[3000] = '\0';
    int old_in = dup(STDIN_FILENO), fd = open(world_path(b->w, "in"), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, text, 3000), 3000);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(dup2(fd, STDIN_FILENO), STDIN_FILENO);
    int err = open_chr(b, (struct chr_config){ .kind = CHR_STDIO });
    for (unsigned i = 0; !err && i < 5; i++)
        world_run(b->w);
    bool sleeps = world_sleeps(b->w, 5), connected = b->u.chr->connected;
    chr_close(b->u.chr);
    b->u.chr = NULL;
    assert_int_equal(dup2(old_in, STDIN_FILENO), STDIN_FILENO);
    close(old_in);
    close(fd);
    assert_int_equal(err, 0);
    assert_true(sleeps);
    assert_string_equal(b->u.got, text);
    assert_false(connected);
}

/* Pseudo-terminals. */

static int open_pty(struct bench *b, char path[32])
{
    if (open_chr(b, (struct chr_config){ .kind = CHR_PTY }) != 0) {
        print_message("skipped: no pty here\n");
        skip();
    }
    assert_int_equal(strncmp(b->u.chr->filename, "pty:/dev/", 9), 0);
    (void)snprintf(path, 32, "%.31s", b->u.chr->filename + 4);
    return 0;
}

static void pty_without_a_reader_drops_and_sleeps(void **state)
{
    struct bench *b = *state;
    char path[32];
    open_pty(b, path);
    world_run(b->w);
    assert_true(world_sleeps(b->w, 20)); /* the hang-up is not told again and again */
    for (int i = 0; i < 20000; i++)
        assert_int_equal(say(b, "old"), 3);
    assert_true(world_sleeps(b->w, 5));
    assert_int_equal(b->u.opened, 0);
    int fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_true(hears_nothing(fd)); /* none of the old output was kept */
    close(fd);
}

static void pty_is_raw_and_notices_its_peer(void **state)
{
    struct bench *b = *state;
    char path[32];
    open_pty(b, path);
    world_run(b->w);
    for (unsigned round = 1; round <= 3; round++) {
        int fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
        assert_int_equal(say(b, "a\nb\177"), 4);
        assert_hears(fd, "a\nb\177");
        world_run(b->w);
        assert_int_equal(b->u.opened, round);
        assert_true(b->u.chr->connected);
        b->u.len = 0;
        assert_int_equal(write(fd, "l\r\004\003s", 5), 5);
        world_run(b->w);
        assert_string_equal(b->u.got, "l\r\004\003s");
        assert_true(world_sleeps(b->w, 5));
        close(fd);
        world_run(b->w);
        assert_int_equal(b->u.closed, round);
        assert_false(b->u.chr->connected);
        assert_true(world_sleeps(b->w, 10));
    }
}

static void pty_input_waits_for_room(void **state)
{
    struct bench *b = *state;
    char path[32], text[3001];
    open_pty(b, path);
    int fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    memset(text, 'k', sizeof(text));
    b->u.room = 0;
    assert_int_equal(write(fd, text, 3000), 3000);
    world_run(b->w);
    assert_true(world_sleeps(b->w, 5));
    assert_int_equal(b->u.len, 0);
    for (int i = 0; i < 6; i++) {
        b->u.room = 500;
        chr_resume(b->u.chr);
        assert_int_equal(b->u.len, i * 500); /* not from inside the call */
        world_run(b->w);
        assert_int_equal(b->u.len, (i + 1) * 500);
    }
    assert_true(world_sleeps(b->w, 5));
    close(fd);
}

/* Typed, and gone before anybody looked: what was typed still arrives. */
static void pty_input_outlives_its_peer(void **state)
{
    struct bench *b = *state;
    char path[32];
    open_pty(b, path);
    world_run(b->w);
    int fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_int_equal(write(fd, "reboot\r", 7), 7);
    close(fd);
    world_run(b->w);
    assert_string_equal(b->u.got, "reboot\r");
    assert_int_equal(b->u.closed, 1);
    assert_true(world_sleeps(b->w, 10));
}

static void pty_with_a_stuck_reader_does_not_block(void **state)
{
    struct bench *b = *state;
    char path[32];
    size_t taken = 0;
    open_pty(b, path);
    int fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    for (int i = 0; i < 100000; i++)
        taken += say(b, "0123456789");
    assert_true(taken > 0 && taken < 1000000);
    world_run(b->w);
    assert_true(world_sleeps(b->w, 5));
    assert_int_equal(tcflush(fd, TCIFLUSH), 0);
    assert_int_equal(say(b, "on"), 2); /* it goes on when it reads again */
    close(fd);
}

static void pty_may_be_closed_from_inside(void **state)
{
    struct bench *b = *state;
    char path[32];
    open_pty(b, path);
    int fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    b->u.close_in_recv = true;
    assert_int_equal(write(fd, "x", 1), 1);
    world_run(b->w);
    assert_null(b->u.chr);
    assert_string_equal(b->u.got, "x");
    close(fd);
}

static void read_file_reads_whole_files(void **state)
{
    struct bench *b = *state;
    struct host *host = &b->w->host.host;
    uint8_t *data = NULL;
    size_t len = 0;
    int fd = open(world_path(b->w, "rom"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "\x55\xaa\x01", 3), 3);
    close(fd);
    assert_int_equal(host->read_file(host, b->w->path, 3, &data, &len), 0);
    assert_int_equal(len, 3);
    assert_memory_equal(data, "\x55\xaa\x01", 3);
    free(data);
    assert_int_equal(host->read_file(host, b->w->path, 2, &data, &len), -EFBIG);
    assert_int_equal(host->read_file(host, b->w->dir, 100, &data, &len), -EINVAL);
    assert_int_equal(host->read_file(host, "/no/rom", 100, &data, &len), -ENOENT);
    assert_int_equal(truncate(b->w->path, 0), 0);
    assert_int_equal(host->read_file(host, b->w->path, 2, &data, &len), 0);
    assert_int_equal(len, 0);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(file_is_truncated_and_written),
        TEST(file_that_cannot_be_opened_is_told),
        TEST(full_file_drops_and_tells_once),
        TEST(fifo_never_waits),
        TEST(pipe_is_two_fifos),
        TEST(pipe_may_be_a_file),
        TEST(pipe_that_is_nowhere_is_told),
        TEST(null_device_and_null_work),
        TEST(terminal_device_is_raw_and_goes_both_ways),
        TEST(stdio_uses_both_ends),
        TEST(standard_input_may_be_a_file),
        TEST(pty_without_a_reader_drops_and_sleeps),
        TEST(pty_is_raw_and_notices_its_peer),
        TEST(pty_input_waits_for_room),
        TEST(pty_input_outlives_its_peer),
        TEST(pty_with_a_stuck_reader_does_not_block),
        TEST(pty_may_be_closed_from_inside),
        TEST(read_file_reads_whole_files),
    };
    return cmocka_run_group_tests_name("chr-linux", tests, NULL, NULL);
}
