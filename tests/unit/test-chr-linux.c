/* backends/linux/chr-*.c, through struct host as the machine opens them. */
#include "linux-world.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>

enum { GOT_MAX = 200000 };

struct user {
    struct chr *chr;
    size_t room, len;
    char *got;
    unsigned opened, closed, fds, calls;
    int fd;
    bool close_in_recv, close_in_opened, hang_up_in_recv;
};

static size_t room(void *opaque)
{
    struct user *u = opaque;
    u->calls++;
    return u->room;
}

static void recv_bytes(void *opaque, const uint8_t *buf, size_t len)
{
    struct user *u = opaque;
    assert_true(len > 0 && len <= u->room && u->len + len < GOT_MAX);
    memcpy(u->got + u->len, buf, len);
    u->len += len;
    u->got[u->len] = '\0';
    u->room -= len;
    if (u->hang_up_in_recv)
        chr_disconnect(u->chr);
    if (u->close_in_recv) {
        chr_close(u->chr);
        u->chr = NULL;
    }
}

static void opened(void *opaque)
{
    struct user *u = opaque;
    u->opened++;
    assert_true(u->opened == u->closed + 1); /* strictly in turn */
    if (u->close_in_opened) {
        chr_close(u->chr);
        u->chr = NULL;
    }
}

static void closed(void *opaque)
{
    struct user *u = opaque;
    u->closed++;
    assert_int_equal(u->opened, u->closed);
}

static void take_fd(void *opaque, int fd)
{
    struct user *u = opaque;
    u->fds++;
    u->fd = fd;
}

static const struct chr_user full_user = { room, recv_bytes, opened, closed, take_fd };
static const struct chr_user plain_user = { .room = room, .recv = recv_bytes };

struct bench {
    struct world *w;
    struct user u;
    unsigned fds; /* open before the test */
};

static int setup(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    b->w = world_new();
    b->u.got = calloc(1, GOT_MAX);
    b->u.room = 100000;
    b->u.fd = -1;
    b->fds = world_fds();
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    chr_close(b->u.chr);
    assert_int_equal(world_fds(), b->fds);
    world_free(b->w);
    free(b->u.got);
    free(b);
    return 0;
}

static int open_chr(struct bench *b, struct chr_config config)
{
    (void)snprintf(config.label, sizeof(config.label), "test0");
    int err = b->w->host.host.chr_open(&b->w->host.host, &config, &b->u.chr);
    if (!err) {
        assert_string_equal(b->u.chr->label, "test0");
        chr_bind(b->u.chr, &full_user, &b->u);
    }
    return err;
}

static size_t say(struct bench *b, const char *text)
{
    return chr_write(b->u.chr, (const uint8_t *)text, strlen(text));
}

/* Next len bytes at the other side must be text. */
static void assert_hears(int fd, const char *text)
{
    char buf[256] = "";
    size_t used = 0, len = strlen(text);
    struct pollfd pollfd = { .fd = fd, .events = POLLIN };
    while (used < len && poll(&pollfd, 1, 2000) == 1) {
        ssize_t got = read(fd, buf + used, len - used);
        if (got <= 0)
            break;
        used += (size_t)got;
    }
    assert_string_equal(buf, text);
}

static bool hears_nothing(int fd)
{
    struct pollfd pollfd = { .fd = fd, .events = POLLIN };
    return poll(&pollfd, 1, 5) == 0;
}

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

/* Sockets. */

static int dial(const char *path)
{
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    (void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int err = connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0 ? 0 : errno;
    if (err)
        print_message("connect: %s\n", strerror(err));
    assert_int_equal(err, 0);
    return fd;
}

static void serve(struct bench *b)
{
    assert_int_equal(
        open_chr(b,
                 (struct chr_config){ .kind = CHR_SOCKET, .path = world_path(b->w, "qmp"), .fd = -1, .server = true }),
        0);
}

static void server_names_and_removes_its_path(void **state)
{
    struct bench *b = *state;
    char name[160];
    serve(b);
    (void)snprintf(name, sizeof(name), "disconnected:unix:%s,server=on", b->w->path);
    assert_string_equal(b->u.chr->filename, name);
    int fd = dial(b->w->path);
    world_run(b->w);
    assert_int_equal(b->u.opened, 1);
    assert_string_equal(b->u.chr->filename, name + strlen("disconnected:"));
    chr_close(b->u.chr);
    b->u.chr = NULL;
    assert_int_equal(access(b->w->path, F_OK), -1);
    close(fd);
}

static void stale_path_is_replaced_and_others_stay(void **state)
{
    struct bench *b = *state;
    serve(b);
    struct chr *first = b->u.chr; /* as if it had been killed: its socket file is still there */
    serve(b);
    int fd = dial(b->w->path);
    world_run(b->w);
    assert_int_equal(b->u.opened, 1);
    close(fd);
    world_run(b->w);
    chr_close(first); /* must not remove its successor's */
    assert_int_equal(access(b->w->path, F_OK), 0);
    chr_close(b->u.chr);
    b->u.chr = NULL;
    int file = open(b->w->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    close(file);
    struct chr_config config = { .kind = CHR_SOCKET, .path = b->w->path, .fd = -1, .server = true };
    assert_int_equal(open_chr(b, config), -EADDRINUSE); /* an ordinary file is not ours to remove */
    assert_int_equal(access(b->w->path, F_OK), 0);
}

static void one_client_at_a_time_and_a_long_queue(void **state)
{
    struct bench *b = *state;
    int fds[20];
    serve(b);
    for (int i = 0; i < 20; i++)
        fds[i] = dial(b->w->path); /* libxl doesn't wait: none may be refused */
    for (int i = 0; i < 20; i++) {
        char text[8];
        (void)snprintf(text, sizeof(text), "%d;", i);
        world_run(b->w);
        assert_int_equal(b->u.opened, i + 1);
        assert_int_equal(say(b, text), strlen(text));
        assert_hears(fds[i], text);
        close(fds[i]);
    }
    world_run(b->w);
    assert_int_equal(b->u.closed, 20);
    assert_true(world_sleeps(b->w, 5));
}

static void opened_comes_before_the_first_byte(void **state)
{
    struct bench *b = *state;
    serve(b);
    int fd = dial(b->w->path);
    assert_int_equal(write(fd, "{}", 2), 2);
    close(fd); /* and it is gone already */
    world_run(b->w);
    assert_int_equal(b->u.opened, 1);
    assert_int_equal(b->u.closed, 1);
    assert_string_equal(b->u.got, "{}");
}

static void disconnect_flushes_and_takes_the_next(void **state)
{
    struct bench *b = *state;
    char c;
    serve(b);
    int first = dial(b->w->path), second = dial(b->w->path);
    world_run(b->w);
    assert_int_equal(say(b, "bye"), 3);
    chr_disconnect(b->u.chr);
    assert_int_equal(b->u.closed, 0); /* not from inside the call */
    assert_int_equal(say(b, "nobody"), 6);
    world_run(b->w);
    assert_int_equal(b->u.closed, 1);
    assert_int_equal(b->u.opened, 2);
    assert_hears(first, "bye");
    assert_int_equal(read(first, &c, 1), 0);
    assert_int_equal(say(b, "hi"), 2);
    assert_hears(second, "hi");
    close(first);
    close(second);
}

static void user_may_hang_up_or_close_from_inside(void **state)
{
    struct bench *b = *state;
    serve(b);
    b->u.hang_up_in_recv = true;
    int fd = dial(b->w->path);
    assert_int_equal(write(fd, "x", 1), 1);
    world_run(b->w);
    assert_int_equal(b->u.closed, 1);
    close(fd);
    b->u.close_in_recv = true;
    fd = dial(b->w->path);
    assert_int_equal(write(fd, "y", 1), 1);
    world_run(b->w);
    assert_null(b->u.chr);
    assert_string_equal(b->u.got, "xy");
    close(fd);
    b->u.close_in_opened = true;
    b->u.opened = b->u.closed = 0;
    serve(b);
    fd = dial(b->w->path);
    world_run(b->w);
    assert_null(b->u.chr);
    close(fd);
}

static void slow_reader_gets_all_that_was_taken(void **state)
{
    struct bench *b = *state;
    size_t taken = 0, heard = 0;
    char buf[4096];
    serve(b);
    int fd = dial(b->w->path);
    world_run(b->w);
    for (int i = 0; i < 40000; i++) {
        char text[16];
        (void)snprintf(text, sizeof(text), "%08d\r\n", i);
        size_t n = say(b, text);
        taken += n;
        if (n < 10)
            break; /* the bound was met */
    }
    assert_true(taken > 65536 && taken < 400000);
    assert_int_equal(say(b, "dropped"), 0);
    assert_true(world_sleeps(b->w, 5)); /* a peer that doesn't read costs nothing */
    for (int idle = 0; idle < 3;) {
        ssize_t got = read(fd, buf, sizeof(buf));
        for (ssize_t i = 0; i < got; i++) {
            char want[32];
            (void)snprintf(want, sizeof(want), "%08zu\r\n", (heard + (size_t)i) / 10);
            assert_int_equal(buf[i], want[(heard + (size_t)i) % 10]);
        }
        heard += got > 0 ? (size_t)got : 0;
        idle = got > 0 ? 0 : idle + 1;
        assert_int_equal(loop_step(&b->w->loop, 1000000), 0);
    }
    assert_int_equal(heard, taken);
    assert_int_equal(say(b, "again"), 5);
    assert_hears(fd, "again");
    close(fd);
}

static void socket_input_waits_for_room(void **state)
{
    struct bench *b = *state;
    char text[5000];
    memset(text, 's', sizeof(text));
    serve(b);
    b->u.room = 0;
    int fd = dial(b->w->path);
    assert_int_equal(write(fd, text, sizeof(text)), sizeof(text));
    world_run(b->w);
    assert_true(world_sleeps(b->w, 5));
    b->u.room = 10;
    chr_resume(b->u.chr);
    world_run(b->w);
    assert_int_equal(b->u.len, 10);
    close(fd); /* even when it left meanwhile */
    world_run(b->w);
    assert_true(world_sleeps(b->w, 5));
    b->u.room = 10000;
    chr_resume(b->u.chr);
    world_run(b->w);
    assert_int_equal(b->u.len, sizeof(text));
    assert_int_equal(b->u.closed, 1);
}

/* It sends commands, never reads an answer, and leaves: the commands count. */
static void last_words_of_a_vanished_peer_arrive(void **state)
{
    struct bench *b = *state;
    uint8_t block[4096] = { 0 };
    serve(b);
    int fd = dial(b->w->path);
    world_run(b->w);
    while (chr_write(b->u.chr, block, sizeof(block)) == sizeof(block))
        continue;
    b->u.room = 0;
    assert_int_equal(write(fd, "quit", 4), 4);
    world_run(b->w);
    close(fd);
    world_run(b->w);
    assert_true(world_sleeps(b->w, 5));
    assert_int_equal(say(b, "into the void"), 13);
    b->u.room = 100;
    chr_resume(b->u.chr);
    world_run(b->w);
    assert_string_equal(b->u.got, "quit");
    assert_int_equal(b->u.closed, 1);
    fd = dial(b->w->path);
    world_run(b->w);
    assert_int_equal(say(b, "fresh"), 5);
    assert_hears(fd, "fresh"); /* and nothing of the first one's */
    close(fd);
}

static void half_closed_peer_gets_its_answer(void **state)
{
    struct bench *b = *state;
    serve(b);
    int fd = dial(b->w->path);
    assert_int_equal(write(fd, "?", 1), 1);
    while (b->u.len == 0)
        assert_int_equal(loop_step(&b->w->loop, 1000000), 0);
    assert_int_equal(say(b, "answer"), 6);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    world_run(b->w);
    assert_int_equal(b->u.closed, 1);
    assert_hears(fd, "answer");
    close(fd);
}

static void send_fds(int sock, const int *fds, size_t nr, const char *text)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(32 * sizeof(int))];
    } control = { 0 };
    struct iovec iov = { .iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text) };
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(nr * sizeof(int))
    };
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(nr * sizeof(int));
    memcpy(CMSG_DATA(c), fds, nr * sizeof(int));
    assert_int_equal(sendmsg(sock, &msg, 0), (ssize_t)iov.iov_len);
}

static void descriptors_come_with_the_bytes(void **state)
{
    struct bench *b = *state;
    int pipes[2], many[30];
    serve(b);
    int fd = dial(b->w->path);
    assert_int_equal(pipe(pipes), 0);
    send_fds(fd, pipes, 1, "{");
    world_run(b->w);
    assert_int_equal(b->u.fds, 1);
    assert_string_equal(b->u.got, "{");
    assert_true(fcntl(b->u.fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(write(pipes[1], "via", 3), 3);
    assert_hears(b->u.fd, "via");
    close(b->u.fd);
    unsigned before = world_fds();
    for (int i = 0; i < 30; i++)
        many[i] = pipes[0];
    send_fds(fd, many, 30, "}"); /* more than there is room for: one is ours, the others are closed */
    world_run(b->w);
    assert_int_equal(b->u.fds, 2);
    close(b->u.fd);
    assert_int_equal(world_fds(), before);
    chr_bind(b->u.chr, &plain_user, &b->u); /* a serial port has no use for them */
    send_fds(fd, many, 3, ".");
    world_run(b->w);
    assert_int_equal(world_fds(), before);
    assert_string_equal(b->u.got, "{}.");
    close(pipes[0]);
    close(pipes[1]);
    close(fd);
    world_run(b->w);
}

static int listening(const char *path)
{
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    (void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
    return fd;
}

/* dm_restrict: libxl binds, listens with a queue of one, and hands it over. */
static void inherited_socket_serves(void **state)
{
    struct bench *b = *state;
    int fds[12], fd = listening(world_path(b->w, "libxl"));
    struct chr_config config = { .kind = CHR_SOCKET, .fd = fd, .server = true };
    assert_int_equal(open_chr(b, config), -EINVAL); /* it doesn't listen yet: refused, and still ours */
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(open_chr(b, config), 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(strncmp(b->u.chr->filename, "disconnected:fd:", 16), 0);
    for (int i = 0; i < 12; i++)
        fds[i] = dial(b->w->path); /* the queue is longer now */
    world_run(b->w);
    assert_int_equal(say(b, "QMP"), 3);
    assert_hears(fds[0], "QMP");
    char name[160];
    (void)snprintf(name, sizeof(name), "unix:%s,server=on", b->w->path);
    assert_string_equal(b->u.chr->filename, name);
    for (int i = 0; i < 12; i++)
        close(fds[i]);
    world_run(b->w);
    chr_close(b->u.chr);
    b->u.chr = NULL;
    assert_int_equal(access(b->w->path, F_OK), 0); /* libxl's to remove */
    assert_int_equal(open_chr(b, (struct chr_config){ .kind = CHR_SOCKET, .fd = 999, .server = true }), -EBADF);
}

static void client_connects_or_fails(void **state)
{
    struct bench *b = *state;
    struct chr_config config = { .kind = CHR_SOCKET, .fd = -1, .path = world_path(b->w, "server") };
    assert_int_equal(open_chr(b, config), -ENOENT);
    int server = listening(b->w->path);
    assert_int_equal(open_chr(b, config), -ECONNREFUSED);
    assert_int_equal(listen(server, 4), 0);
    assert_int_equal(open_chr(b, config), 0);
    assert_int_equal(b->u.opened, 0); /* from the loop */
    int fd = accept(server, NULL, NULL);
    world_run(b->w);
    assert_int_equal(b->u.opened, 1);
    assert_int_equal(say(b, "out"), 3);
    assert_hears(fd, "out");
    assert_int_equal(write(fd, "in", 2), 2);
    world_run(b->w);
    assert_string_equal(b->u.got, "in");
    close(fd);
    world_run(b->w);
    assert_int_equal(b->u.closed, 1);
    assert_int_equal(say(b, "gone"), 4);
    assert_true(world_sleeps(b->w, 5));
    close(server);
}

static void too_long_a_path_is_refused(void **state)
{
    struct bench *b = *state;
    char path[200];
    memset(path, 'p', sizeof(path));
    path[0] = '/';
    path[199] = '\0';
    struct chr_config config = { .kind = CHR_SOCKET, .fd = -1, .path = path, .server = true };
    assert_int_equal(open_chr(b, config), -ENAMETOOLONG);
    config.server = false;
    assert_int_equal(open_chr(b, config), -ENAMETOOLONG);
    assert_int_equal(b->w->lines, 2);
}

static void tcp_works_both_ways(void **state)
{
    struct bench *b = *state;
    struct bench other = { .w = b->w, .u = { .room = 100, .got = calloc(1, GOT_MAX) } };
    struct chr_config config = { .kind = CHR_SOCKET, .fd = -1, .host = "127.0.0.1", .port = "0", .server = true };
    struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(sin);
    char port[8];
    int probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* finds a free port */
    if (probe < 0 || bind(probe, (struct sockaddr *)&sin, len) != 0) {
        free(other.u.got);
        print_message("skipped: no IPv4 here\n");
        skip();
    }
    assert_int_equal(getsockname(probe, (struct sockaddr *)&sin, &len), 0);
    close(probe);
    (void)snprintf(port, sizeof(port), "%u", ntohs(sin.sin_port));
    config.port = port;
    assert_int_equal(open_chr(b, config), 0);
    config.server = false;
    assert_int_equal(open_chr(&other, config), 0);
    world_run(b->w);
    assert_int_equal(b->u.opened, 1);
    assert_int_equal(other.u.opened, 1);
    assert_non_null(strstr(b->u.chr->filename, ",server=on <-> 127.0.0.1:"));
    assert_int_equal(say(b, "one"), 3);
    assert_int_equal(say(&other, "two"), 3);
    world_run(b->w);
    assert_string_equal(other.u.got, "one");
    assert_string_equal(b->u.got, "two");
    chr_close(other.u.chr);
    world_run(b->w);
    assert_int_equal(b->u.closed, 1);
    free(other.u.got);
    assert_int_equal(
        open_chr(&other, (struct chr_config){ .kind = CHR_SOCKET, .fd = -1, .host = "127.0.0.1", .port = "1" }),
        -ECONNREFUSED);
}

static void server_can_wait_for_its_client(void **state)
{
    struct bench *b = *state;
    struct chr_config config = {
        .kind = CHR_SOCKET, .path = world_path(b->w, "w"), .fd = -1, .server = true, .wait = true
    };
    pid_t pid = fork();
    if (pid == 0) {
        struct sockaddr_un sun = { .sun_family = AF_UNIX };
        (void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", b->w->path);
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        while (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) != 0)
            usleep(2000);
        _exit(write(fd, "here", 4) == 4 ? 0 : 1);
    }
    assert_int_equal(open_chr(b, config), 0);
    assert_true(b->u.chr->connected);
    world_run(b->w);
    usleep(20000);
    world_run(b->w);
    assert_int_equal(b->u.opened, 1);
    assert_string_equal(b->u.got, "here");
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
}

static void quit(void *opaque)
{
    loop_quit(opaque);
}

static void waiting_can_be_ended(void **state)
{
    struct bench *b = *state;
    struct chr_config config = {
        .kind = CHR_SOCKET, .path = world_path(b->w, "w"), .fd = -1, .server = true, .wait = true
    };
    struct timer timer;
    timer_init(&timer, &b->w->loop, quit, &b->w->loop);
    timer_arm(&timer, 3 * NS_PER_MS);
    assert_int_equal(open_chr(b, config), -EINTR);
    assert_int_equal(access(b->w->path, F_OK), -1);
    b->w->loop.stop = false;
}

/* Bytes and peers that come before there is a user wait for it. */
static void a_late_user_misses_nothing(void **state)
{
    struct bench *b = *state;
    struct chr_config config = {
        .label = "late", .kind = CHR_SOCKET, .path = world_path(b->w, "l"), .fd = -1, .server = true
    };
    assert_int_equal(b->w->host.host.chr_open(&b->w->host.host, &config, &b->u.chr), 0);
    int fd = dial(b->w->path);
    assert_int_equal(write(fd, "early", 5), 5);
    world_run(b->w);
    assert_true(world_sleeps(b->w, 5));
    chr_bind(b->u.chr, &full_user, &b->u);
    world_run(b->w);
    assert_int_equal(b->u.opened, 1);
    assert_string_equal(b->u.got, "early");
    close(fd);
    world_run(b->w);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(file_is_truncated_and_written),
        TEST(file_that_cannot_be_opened_is_told),
        TEST(full_file_drops_and_tells_once),
        TEST(fifo_never_waits),
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
        TEST(server_names_and_removes_its_path),
        TEST(stale_path_is_replaced_and_others_stay),
        TEST(one_client_at_a_time_and_a_long_queue),
        TEST(opened_comes_before_the_first_byte),
        TEST(disconnect_flushes_and_takes_the_next),
        TEST(user_may_hang_up_or_close_from_inside),
        TEST(slow_reader_gets_all_that_was_taken),
        TEST(socket_input_waits_for_room),
        TEST(last_words_of_a_vanished_peer_arrive),
        TEST(half_closed_peer_gets_its_answer),
        TEST(descriptors_come_with_the_bytes),
        TEST(inherited_socket_serves),
        TEST(client_connects_or_fails),
        TEST(too_long_a_path_is_refused),
        TEST(tcp_works_both_ways),
        TEST(server_can_wait_for_its_client),
        TEST(waiting_can_be_ended),
        TEST(a_late_user_misses_nothing),
        TEST(read_file_reads_whole_files),
    };
    return cmocka_run_group_tests_name("chr-linux", tests, NULL, NULL);
}
