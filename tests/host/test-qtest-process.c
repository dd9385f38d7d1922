/*
 * The program under a qtest client, as the client library of QEMU's device tests starts it: two sockets, at once;
 * virtual time; a monitor beside it; an end by signal or by the client.
 *
 *     test-qtest-process THINDM
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { WAIT_MS = 20000, MAX_ARGS = 40, REPLY_BYTES = 1 << 20 };

/* The leak check at a sanitizer's end makes system calls that the sandbox rightly refuses. */
#if defined(__SANITIZE_ADDRESS__)
#define SANDBOX ""
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANDBOX ""
#endif
#endif
#ifndef SANDBOX
#define SANDBOX " -sandbox on"
#endif

static const char *program;
static char folder[] = "/tmp/thindm-qtest-XXXXXX";

struct client {
    pid_t pid;
    int qtest, qmp, listen_qtest, listen_qmp;
    char reply[REPLY_BYTES];
};

static int listen_at(const char *name)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/%s", folder, name);
    unlink(addr.sun_path);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static int accept_from(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    assert_int_equal(poll(&p, 1, WAIT_MS), 1);
    return accept4(fd, NULL, NULL, SOCK_CLOEXEC);
}

/* The words of text behind the common ones. */
static void start(struct client *c, const char *text)
{
    char line[1024];
    char *argv[MAX_ARGS];
    int n = 0;
    snprintf(line, sizeof(line), "%s -qtest unix:%s/qtest -qtest-log /dev/null -chardev socket,path=%s/qmp,id=char0 "
             "-mon chardev=char0,mode=control -display none %s -accel qtest", program, folder, folder, text);
    for (char *word = strtok(line, " "); word && n < MAX_ARGS - 1; word = strtok(NULL, " "))
        argv[n++] = word;
    argv[n] = NULL;
    c->listen_qtest = listen_at("qtest");
    c->listen_qmp = listen_at("qmp");
    c->pid = fork();
    if (c->pid == 0) {
        execv(argv[0], argv);
        _exit(127);
    }
    c->qtest = accept_from(c->listen_qtest);
    c->qmp = accept_from(c->listen_qmp);
}

/* Up to the newline of line number lines. */
static const char *hear(struct client *c, int fd, unsigned lines)
{
    size_t len = 0;
    while (lines > 0) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        assert_int_equal(poll(&p, 1, WAIT_MS), 1);
        assert_true(len < REPLY_BYTES - 1);
        if (read(fd, c->reply + len, 1) != 1)
            fail_msg("the program hung up");
        lines -= c->reply[len++] == '\n';
    }
    c->reply[len] = '\0';
    return c->reply;
}

static const char *ask(struct client *c, const char *text)
{
    assert_int_equal(write(c->qtest, text, strlen(text)), strlen(text));
    return hear(c, c->qtest, 1);
}

static void tell(struct client *c, const char *command)
{
    assert_int_equal(write(c->qmp, command, strlen(command)), strlen(command));
}

/* The exit status, within a time limit; -1: a signal, or it had to be killed. */
static int ended(struct client *c)
{
    int status = -1;
    for (unsigned ms = 0; waitpid(c->pid, &status, WNOHANG) == 0; ms++) {
        if (ms == WAIT_MS)
            kill(c->pid, SIGKILL);
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
    close(c->qtest);
    close(c->qmp);
    close(c->listen_qtest);
    close(c->listen_qmp);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int end(struct client *c)
{
    kill(c->pid, SIGTERM);
    return ended(c);
}

static void handshake(void **state)
{
    struct client *c = *state;
    start(c, "-net none");
    assert_string_equal(ask(c, "endianness\n"), "OK little\n");
    assert_non_null(strstr(hear(c, c->qmp, 1), "\"QMP\""));
    tell(c, "{\"execute\": \"qmp_capabilities\"}\n");
    assert_non_null(strstr(hear(c, c->qmp, 1), "\"return\""));
    assert_string_equal(ask(c, "outl 0xcf8 0x80000802\n"), "OK\n");
    assert_string_equal(ask(c, "inw 0xcfc\n"), "OK 0x7000\n");
    assert_string_equal(ask(c, "writel 0x7fffffc 0x12345678\n"), "OK\n"); /* 128 MiB */
    assert_string_equal(ask(c, "readq 0x7fffffc\n"), "OK 0x0000000012345678\n");
    assert_string_equal(ask(c, "clock_step 1000000\n"), "OK 1000000\n");
    assert_int_equal(end(c), 0);
}

static void a_step_that_never_ends_is_ended_by_a_signal(void **state)
{
    struct client *c = *state;
    start(c, "-M pc -nodefaults");
    assert_string_equal(ask(c, "endianness\n"), "OK little\n");
    for (unsigned i = 0; i < 64; i++)
        assert_int_equal(write(c->qtest, "clock_step 0x7fffffffffffffff\n", 30), 30);
    assert_int_equal(end(c), 0);
}

static void long_replies_go_to_a_slow_reader(void **state)
{
    struct client *c = *state;
    start(c, "-M pc" SANDBOX);
    assert_int_equal(write(c->qtest, "read 0x100000 0x40000\nendianness\n", 33), 33);
    nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
    assert_int_equal(strlen(hear(c, c->qtest, 1)), 5 + 2 * 0x40000 + 1);
    assert_string_equal(hear(c, c->qtest, 1), "OK little\n");
    assert_int_equal(end(c), 0);
}

static void a_client_that_leaves_ends_it(void **state)
{
    struct client *c = *state;
    start(c, "-M xenfv" SANDBOX);
    assert_string_equal(ask(c, "endianness\n"), "OK little\n");
    shutdown(c->qtest, SHUT_RDWR);
    assert_int_equal(ended(c), 0);
}

static void stop_holds_the_timers(void **state)
{
    struct client *c = *state;
    start(c, "-M pc -S");
    hear(c, c->qmp, 1);
    tell(c, "{\"execute\": \"qmp_capabilities\"}\n{\"execute\": \"query-status\"}\n");
    assert_non_null(strstr(hear(c, c->qmp, 2), "prelaunch"));
    assert_string_equal(ask(c, "clock_step 5000\n"), "OK 5000\n");
    tell(c, "{\"execute\": \"cont\"}\n");
    hear(c, c->qmp, 2);
    tell(c, "{\"execute\": \"quit\"}\n");
    assert_int_equal(ended(c), 0);
}

/* By port cf9: the event, and a machine as new. */
static void the_guest_resets_itself(void **state)
{
    struct client *c = *state;
    start(c, "-M pc");
    hear(c, c->qmp, 1);
    tell(c, "{\"execute\": \"qmp_capabilities\"}\n");
    hear(c, c->qmp, 1);
    ask(c, "outl 0xcf8 0x80000072\n");
    ask(c, "outb 0xcfc 0x55\n");
    assert_string_equal(ask(c, "inb 0xcfc\n"), "OK 0x0055\n");
    ask(c, "outb 0xcf9 0x06\n");
    assert_non_null(strstr(hear(c, c->qmp, 1), "RESET"));
    assert_string_equal(ask(c, "inb 0xcfc\n"), "OK 0x00ff\n"); /* the address is 0 again */
    ask(c, "outl 0xcf8 0x80000072\n");
    assert_string_equal(ask(c, "inb 0xcfc\n"), "OK 0x0002\n");
    assert_int_equal(end(c), 0);
}

/* The PC as a whole: timer, clock, firmware configuration, interrupt controllers; and without them by option. */
static void the_platform(void **state)
{
    struct client *c = *state;
    start(c, "-m 48");
    assert_string_equal(ask(c, "irq_intercept_in ioapic\n"), "OK\n");
    assert_string_equal(ask(c, "clock_step\n"), "OK 27462700\n"); /* half a period of the timer at 18.2 Hz */
    assert_int_equal(write(c->qtest, "clock_step\n", 11), 11);
    assert_string_equal(hear(c, c->qtest, 2), "IRQ raise 0\nOK 54925401\n");
    assert_string_equal(ask(c, "outw 0x510 3\n"), "OK\n");
    const char *const bytes[] = { "00", "00", "00", "03", "00" };
    for (unsigned i = 0; i < 5; i++) {
        char want[16];
        snprintf(want, sizeof(want), "OK 0x00%s\n", bytes[i]);
        assert_string_equal(ask(c, "inb 0x511\n"), want);
    }
    assert_string_equal(ask(c, "readl 0xfed00000\n"), "OK 0x000000008086a201\n");
    assert_int_equal(end(c), 0);
    start(c, "-M pc,platform=off");
    assert_string_equal(ask(c, "clock_step\n"), "OK 0\n");
    assert_string_equal(ask(c, "readl 0xfed00000\n"), "OK 0x0000000000000000\n");
    assert_int_equal(end(c), 0);
}

static void no_machine(void **state)
{
    struct client *c = *state;
    start(c, "-machine none");
    assert_string_equal(ask(c, "endianness\n"), "OK little\n");
    assert_string_equal(ask(c, "readl 0\n"), "OK 0x0000000000000000\n");
    assert_string_equal(ask(c, "inb 0x71\n"), "OK 0x00ff\n");
    assert_string_equal(ask(c, "irq_intercept_in ioapic\n"), "FAIL Unknown device\n");
    assert_int_equal(end(c), 0);
}

int main(int argc, char *argv[])
{
    static struct client client;
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_prestate(name, &client)
        TEST(handshake),
        TEST(a_step_that_never_ends_is_ended_by_a_signal),
        TEST(long_replies_go_to_a_slow_reader),
        TEST(a_client_that_leaves_ends_it),
        TEST(stop_holds_the_timers),
        TEST(the_guest_resets_itself),
        TEST(the_platform),
        TEST(no_machine),
    };
    if (argc != 2 || !mkdtemp(folder))
        return 2;
    program = argv[1];
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (unsigned i = 0; i < 2; i++) {
        char path[64];
        snprintf(path, sizeof(path), "%s/%s", folder, i ? "qmp" : "qtest");
        unlink(path);
    }
    rmdir(folder);
    return failed;
}
