/* backends/linux/chr-socket.c, through struct host as the machine opens it. */
#include "chr-bench.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
    };
    return cmocka_run_group_tests_name("chr-socket", tests, NULL, NULL);
}
