/*
 * Disks of the whole program, driven by a qtest client as a guest would and by a monitor: an error that stops the
 * guest, an image behind a helper, a disk on an NBD server.
 *
 *     test-disk-process THINDM
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
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { WAIT_MS = 20000, MAX_ARGS = 40, REPLY_BYTES = 65536, SECTOR = 512 };
enum { DATA = 0x1f0, COUNT = 0x1f2, LOW = 0x1f3, MID = 0x1f4, HIGH = 0x1f5, DEVICE = 0x1f6, COMMAND = 0x1f7 };
enum { BUSY = 0x80, ERROR = 0x01, READ_SECTORS = 0x20, WRITE_SECTORS = 0x30, FLUSH_CACHE = 0xe7 };

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
static char folder[] = "/tmp/thindm-disk-XXXXXX";

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

/* Up to the newline. */
static const char *hear(struct client *c, int fd)
{
    size_t len = 0;
    do {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        assert_int_equal(poll(&p, 1, WAIT_MS), 1);
        assert_true(len < REPLY_BYTES - 1);
        if (read(fd, c->reply + len, 1) != 1)
            fail_msg("the program hung up");
    } while (c->reply[len++] != '\n');
    c->reply[len] = '\0';
    return c->reply;
}

/* Lines of the monitor until one has text in it. */
static const char *await(struct client *c, const char *text)
{
    while (!strstr(hear(c, c->qmp), text))
        continue;
    return c->reply;
}

static void tell(struct client *c, const char *command, const char *answer)
{
    assert_int_equal(write(c->qmp, command, strlen(command)), strlen(command));
    await(c, answer);
}

static const char *ask(struct client *c, const char *format, ...)
{
    char line[80];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    assert_int_equal(write(c->qtest, line, strlen(line)), strlen(line));
    return hear(c, c->qtest);
}

static void start(struct client *c, const char *drive, const char *more)
{
    char line[1024];
    char *argv[MAX_ARGS];
    int n = 0;
    snprintf(line, sizeof(line),
             "%s -qtest unix:%s/qtest -qtest-log /dev/null -chardev socket,path=%s/qmp,id=char0 -mon "
             "chardev=char0,mode=control "
             "-display none -drive %s%s -accel qtest",
             program, folder, folder, drive, more);
    for (char *word = strtok(line, " "); word && n < MAX_ARGS - 1; word = strtok(NULL, " "))
        argv[n++] = word;
    argv[n] = NULL;
    c->listen_qtest = listen_at("qtest");
    c->listen_qmp = listen_at("qmp");
    c->pid = fork();
    if (c->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execv(argv[0], argv);
        _exit(127);
    }
    c->qtest = accept_from(c->listen_qtest);
    c->qmp = accept_from(c->listen_qmp);
    tell(c, "{\"execute\":\"qmp_capabilities\"}", "return");
}

static void end(struct client *c)
{
    int status = -1;
    kill(c->pid, SIGTERM);
    for (unsigned ms = 0; waitpid(c->pid, &status, WNOHANG) == 0; ms++) {
        if (ms == WAIT_MS)
            kill(c->pid, SIGKILL);
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
    close(c->qtest);
    close(c->qmp);
    close(c->listen_qtest);
    close(c->listen_qmp);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static unsigned in(struct client *c, unsigned port)
{
    unsigned val = 0;
    assert_int_equal(sscanf(ask(c, "inb 0x%x\n", port), "OK %x", &val), 1);
    return val;
}

static void command(struct client *c, unsigned lba, unsigned command)
{
    ask(c, "outb 0x%x 0xe0\n", DEVICE);
    ask(c, "outb 0x%x 1\n", COUNT);
    ask(c, "outb 0x%x 0x%x\n", LOW, lba & 0xff);
    ask(c, "outb 0x%x 0x%x\n", MID, lba >> 8 & 0xff);
    ask(c, "outb 0x%x 0x%x\n", HIGH, lba >> 16 & 0xff);
    ask(c, "outb 0x%x 0x%x\n", COMMAND, command);
}

/* The status, when the drive is ready again. */
static unsigned settled(struct client *c)
{
    unsigned status = BUSY;
    for (unsigned ms = 0; ms < WAIT_MS && status & BUSY; ms++) {
        status = in(c, COMMAND);
        if (status & BUSY)
            nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
    return status;
}

static void write_sector(struct client *c, unsigned lba, uint16_t word)
{
    command(c, lba, WRITE_SECTORS);
    assert_int_equal(settled(c) & (BUSY | ERROR), 0);
    for (unsigned i = 0; i < SECTOR / 2; i++)
        ask(c, "outw 0x%x 0x%x\n", DATA, word);
}

static unsigned read_word(struct client *c, unsigned lba)
{
    unsigned word = 0, last = 0;
    command(c, lba, READ_SECTORS);
    assert_int_equal(settled(c) & (BUSY | ERROR), 0);
    for (unsigned i = 0; i < SECTOR / 2; i++) {
        assert_int_equal(sscanf(ask(c, "inw 0x%x\n", DATA), "OK %x", &last), 1);
        word = i == 0 ? last : word;
    }
    return word;
}

static void make(const char *name, char path[128])
{
    snprintf(path, 128, "%s/%s", folder, name);
    unlink(path);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && ftruncate(fd, 1 << 20) == 0);
    close(fd);
}

static int run(char *const argv[])
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        dup2(null, 1);
        dup2(null, 2);
        execv(argv[0], argv);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

/* Room comes back, the operator says cont, and the guest never knew. */
static void an_error_stops_the_guest_until_cont(void **state)
{
    static struct client c;
    char path[128], drive[256];
    uint16_t word = 0;
    make("raw", path);
    snprintf(drive, sizeof(drive), "file=%s,if=ide,index=0,media=disk,format=raw,cache=writeback,werror=stop", path);
    start(&c, drive, "");
    assert_int_equal(prlimit(c.pid, RLIMIT_FSIZE, &(struct rlimit){ 4096, RLIM_INFINITY }, NULL), 0);
    write_sector(&c, 100, 0x1234);
    await(&c, "BLOCK_IO_ERROR");
    assert_non_null(strstr(
        c.reply, "{\"device\": \"ide0-hd0\", \"operation\": \"write\", \"action\": \"stop\", \"nospace\": false, "
                 "\"reason\": \"File too large\"}"));
    await(&c, "\"STOP\"");
    tell(&c, "{\"execute\":\"query-status\"}", "\"status\": \"io-error\"");
    tell(&c, "{\"execute\":\"query-block\"}", "\"io-status\": \"failed\"");
    assert_true(in(&c, COMMAND) & BUSY);
    tell(&c, "{\"execute\":\"cont\"}", "return"); /* too early */
    await(&c, "BLOCK_IO_ERROR");
    await(&c, "\"STOP\"");
    assert_int_equal(prlimit(c.pid, RLIMIT_FSIZE, &(struct rlimit){ RLIM_INFINITY, RLIM_INFINITY }, NULL), 0);
    tell(&c, "{\"execute\":\"cont\"}", "RESUME");
    assert_int_equal(settled(&c) & (BUSY | ERROR), 0);
    tell(&c, "{\"execute\":\"query-status\"}", "\"status\": \"running\"");
    tell(&c, "{\"execute\":\"query-block\"}", "\"io-status\": \"ok\"");
    end(&c);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, &word, 2, 100 * SECTOR), 2);
    close(fd);
    assert_int_equal(word, 0x1234);
}

/* What no option asks for: the guest hears of it, and goes on. */
static void by_default_the_guest_gets_the_error(void **state)
{
    static struct client c;
    char path[128], drive[256];
    make("raw", path);
    snprintf(drive, sizeof(drive), "file=%s,if=ide,index=0,media=disk,format=raw,cache=writeback", path);
    start(&c, drive, "");
    assert_int_equal(prlimit(c.pid, RLIMIT_FSIZE, &(struct rlimit){ 4096, RLIM_INFINITY }, NULL), 0);
    write_sector(&c, 100, 0x1234);
    await(&c, "\"action\": \"report\"");
    assert_true(settled(&c) & ERROR);
    tell(&c, "{\"execute\":\"query-status\"}", "\"status\": \"running\"");
    write_sector(&c, 3, 0x4321);
    assert_int_equal(settled(&c) & (BUSY | ERROR), 0);
    assert_int_equal(read_word(&c, 3), 0x4321);
    end(&c);
}

/* Also in the sandbox, which the helper was started before. */
static void an_image_behind_a_helper(void **state)
{
    static struct client c;
    static const char *const options[] = { "", SANDBOX };
    char path[128], drive[256];
    make("qcow2", path);
    char *create[] = { "/usr/bin/qemu-img", "create", "-fqcow2", path, "1M", NULL };
    assert_int_equal(run(create), 0);
    snprintf(drive, sizeof(drive), "file=%s,if=ide,index=0,media=disk,format=qcow2,cache=writeback", path);
    for (unsigned i = 0; i < 2; i++) {
        start(&c, drive, options[i]);
        tell(&c, "{\"execute\":\"query-block\"}", "\"drv\": \"qcow2\"");
        assert_non_null(strstr(c.reply, "\"virtual-size\": 1048576"));
        assert_int_equal(read_word(&c, 77), i == 0 ? 0 : 0x5a5a);
        write_sector(&c, 77, 0x5a5a);
        assert_int_equal(settled(&c) & (BUSY | ERROR), 0);
        command(&c, 0, FLUSH_CACHE);
        assert_int_equal(settled(&c) & (BUSY | ERROR), 0);
        end(&c);
    }
    char *check[] = { "/usr/bin/qemu-img", "check", "-fqcow2", path, NULL };
    assert_int_equal(run(check), 0);
}

/* In the sandbox a connection that is lost stays lost, and the guest gets errors, not silence. */
static void a_disk_on_a_server(void **state)
{
    static struct client c;
    char path[128], socket[128], file[140], drive[256];
    struct stat st;
    make("raw", path);
    snprintf(socket, sizeof(socket), "%s/nbd", folder);
    snprintf(file, sizeof(file), "file=%s", path);
    snprintf(drive, sizeof(drive), "file=nbd:unix:%s,if=ide,index=0,media=disk,format=raw,cache=writeback", socket);
    pid_t server = fork();
    if (server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execl("/usr/bin/nbdkit", "nbdkit", "-f", "-U", socket, "file", file, NULL);
        _exit(127);
    }
    for (unsigned ms = 0; ms < WAIT_MS && stat(socket, &st) != 0; ms++)
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL); /* bound is not listening yet */
    start(&c, drive, SANDBOX);
    write_sector(&c, 9, 0x7777);
    assert_int_equal(settled(&c) & (BUSY | ERROR), 0);
    assert_int_equal(read_word(&c, 9), 0x7777);
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    command(&c, 200, READ_SECTORS);
    assert_true(settled(&c) & ERROR);
    end(&c);
    unlink(socket);
}

int main(int argc, char *argv[])
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_stops_the_guest_until_cont),
        cmocka_unit_test(by_default_the_guest_gets_the_error),
        cmocka_unit_test(an_image_behind_a_helper),
        cmocka_unit_test(a_disk_on_a_server),
    };
    if (argc != 2 || !mkdtemp(folder))
        return 2;
    program = argv[1];
    signal(SIGPIPE, SIG_IGN);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    char *clean[] = { "/bin/rm", "-r", folder, NULL };
    (void)run(clean);
    return failed;
}
