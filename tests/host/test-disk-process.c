/*
 * Disks of the whole program, driven by a qtest client as a guest would and by a monitor: an error that stops the
 * guest, an image behind a helper, a disk on an NBD server.
 *
 *     test-disk-process THINDM
 */
#define _GNU_SOURCE
#include "qtest-client.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { SECTOR = 512 };
enum { DATA = 0x1f0, COUNT = 0x1f2, LOW = 0x1f3, MID = 0x1f4, HIGH = 0x1f5, DEVICE = 0x1f6, COMMAND = 0x1f7 };
enum { BUSY = 0x80, ERROR = 0x01, READ_SECTORS = 0x20, WRITE_SECTORS = 0x30, FLUSH_CACHE = 0xe7 };

/* Lines of the monitor until one has text in it. */
static const char *await(struct client *c, const char *text)
{
    while (!strstr(client_hear(c, c->qmp, 1), text))
        continue;
    return c->reply;
}

static void tell(struct client *c, const char *command, const char *answer)
{
    client_tell(c, command);
    await(c, answer);
}

static void start(struct client *c, const char *drive, const char *more)
{
    char text[512];
    snprintf(text, sizeof(text), "-drive %s%s", drive, more);
    client_start(c, text);
    tell(c, "{\"execute\":\"qmp_capabilities\"}", "return");
}

static void end(struct client *c)
{
    assert_int_equal(client_end(c), 0);
}

static unsigned in(struct client *c, unsigned port)
{
    unsigned val = 0;
    assert_int_equal(sscanf(client_ask(c, "inb 0x%x\n", port), "OK %x", &val), 1);
    return val;
}

static void command(struct client *c, unsigned lba, unsigned command)
{
    client_ask(c, "outb 0x%x 0xe0\n", DEVICE);
    client_ask(c, "outb 0x%x 1\n", COUNT);
    client_ask(c, "outb 0x%x 0x%x\n", LOW, lba & 0xff);
    client_ask(c, "outb 0x%x 0x%x\n", MID, lba >> 8 & 0xff);
    client_ask(c, "outb 0x%x 0x%x\n", HIGH, lba >> 16 & 0xff);
    client_ask(c, "outb 0x%x 0x%x\n", COMMAND, command);
}

/* The status, when the drive is ready again. */
static unsigned settled(struct client *c)
{
    unsigned status = BUSY;
    for (unsigned ms = 0; ms < CLIENT_WAIT_MS && status & BUSY; ms++) {
        status = in(c, COMMAND);
        if (status & BUSY)
            client_sleep_ms(1);
    }
    return status;
}

static void write_sector(struct client *c, unsigned lba, uint16_t word)
{
    command(c, lba, WRITE_SECTORS);
    assert_int_equal(settled(c) & (BUSY | ERROR), 0);
    for (unsigned i = 0; i < SECTOR / 2; i++)
        client_ask(c, "outw 0x%x 0x%x\n", DATA, word);
}

static unsigned read_word(struct client *c, unsigned lba)
{
    unsigned word = 0, last = 0;
    command(c, lba, READ_SECTORS);
    assert_int_equal(settled(c) & (BUSY | ERROR), 0);
    for (unsigned i = 0; i < SECTOR / 2; i++) {
        assert_int_equal(sscanf(client_ask(c, "inw 0x%x\n", DATA), "OK %x", &last), 1);
        word = i == 0 ? last : word;
    }
    return word;
}

static void make(const struct client *c, const char *name, char path[128])
{
    snprintf(path, 128, "%s/%s", c->folder, name);
    unlink(path);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && ftruncate(fd, 1 << 20) == 0);
    close(fd);
}

/* Room comes back, the operator says cont, and the guest never knew. */
static void an_error_stops_the_guest_until_cont(void **state)
{
    struct client *c = *state;
    char path[128], drive[256];
    uint16_t word = 0;
    make(c, "raw", path);
    snprintf(drive, sizeof(drive), "file=%s,if=ide,index=0,media=disk,format=raw,cache=writeback,werror=stop", path);
    start(c, drive, "");
    assert_int_equal(prlimit(c->pid, RLIMIT_FSIZE, &(struct rlimit){ 4096, RLIM_INFINITY }, NULL), 0);
    write_sector(c, 100, 0x1234);
    await(c, "BLOCK_IO_ERROR");
    assert_non_null(strstr(
        c->reply, "{\"device\": \"ide0-hd0\", \"operation\": \"write\", \"action\": \"stop\", \"nospace\": false, "
                 "\"reason\": \"File too large\"}"));
    await(c, "\"STOP\"");
    tell(c, "{\"execute\":\"query-status\"}", "\"status\": \"io-error\"");
    tell(c, "{\"execute\":\"query-block\"}", "\"io-status\": \"failed\"");
    assert_true(in(c, COMMAND) & BUSY);
    tell(c, "{\"execute\":\"cont\"}", "return"); /* too early */
    await(c, "BLOCK_IO_ERROR");
    await(c, "\"STOP\"");
    assert_int_equal(prlimit(c->pid, RLIMIT_FSIZE, &(struct rlimit){ RLIM_INFINITY, RLIM_INFINITY }, NULL), 0);
    tell(c, "{\"execute\":\"cont\"}", "RESUME");
    assert_int_equal(settled(c) & (BUSY | ERROR), 0);
    tell(c, "{\"execute\":\"query-status\"}", "\"status\": \"running\"");
    tell(c, "{\"execute\":\"query-block\"}", "\"io-status\": \"ok\"");
    end(c);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, &word, 2, 100 * SECTOR), 2);
    close(fd);
    assert_int_equal(word, 0x1234);
}

/* What no option asks for: the guest hears of it, and goes on. */
static void by_default_the_guest_gets_the_error(void **state)
{
    struct client *c = *state;
    char path[128], drive[256];
    make(c, "raw", path);
    snprintf(drive, sizeof(drive), "file=%s,if=ide,index=0,media=disk,format=raw,cache=writeback", path);
    start(c, drive, "");
    assert_int_equal(prlimit(c->pid, RLIMIT_FSIZE, &(struct rlimit){ 4096, RLIM_INFINITY }, NULL), 0);
    write_sector(c, 100, 0x1234);
    await(c, "\"action\": \"report\"");
    assert_true(settled(c) & ERROR);
    tell(c, "{\"execute\":\"query-status\"}", "\"status\": \"running\"");
    write_sector(c, 3, 0x4321);
    assert_int_equal(settled(c) & (BUSY | ERROR), 0);
    assert_int_equal(read_word(c, 3), 0x4321);
    end(c);
}

/* Also in the sandbox, which the helper was started before. */
static void an_image_behind_a_helper(void **state)
{
    struct client *c = *state;
    static const char *const options[] = { "", SANDBOX };
    char path[128], drive[256];
    make(c, "qcow2", path);
    char *create[] = { "/usr/bin/qemu-img", "create", "-fqcow2", path, "1M", NULL };
    assert_int_equal(client_run(create), 0);
    snprintf(drive, sizeof(drive), "file=%s,if=ide,index=0,media=disk,format=qcow2,cache=writeback", path);
    for (unsigned i = 0; i < 2; i++) {
        start(c, drive, options[i]);
        tell(c, "{\"execute\":\"query-block\"}", "\"drv\": \"qcow2\"");
        assert_non_null(strstr(c->reply, "\"virtual-size\": 1048576"));
        assert_int_equal(read_word(c, 77), i == 0 ? 0 : 0x5a5a);
        write_sector(c, 77, 0x5a5a);
        assert_int_equal(settled(c) & (BUSY | ERROR), 0);
        command(c, 0, FLUSH_CACHE);
        assert_int_equal(settled(c) & (BUSY | ERROR), 0);
        end(c);
    }
    char *check[] = { "/usr/bin/qemu-img", "check", "-fqcow2", path, NULL };
    assert_int_equal(client_run(check), 0);
}

/* In the sandbox a connection that is lost stays lost, and the guest gets errors, not silence. */
static void a_disk_on_a_server(void **state)
{
    struct client *c = *state;
    char path[128], socket[128], file[140], drive[256];
    struct stat st;
    make(c, "raw", path);
    snprintf(socket, sizeof(socket), "%s/nbd", c->folder);
    snprintf(file, sizeof(file), "file=%s", path);
    snprintf(drive, sizeof(drive), "file=nbd:unix:%s,if=ide,index=0,media=disk,format=raw,cache=writeback", socket);
    pid_t server = fork();
    if (server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execl("/usr/bin/nbdkit", "nbdkit", "-f", "-U", socket, "file", file, NULL);
        _exit(127);
    }
    for (unsigned ms = 0; ms < CLIENT_WAIT_MS && stat(socket, &st) != 0; ms++)
        client_sleep_ms(1);
    client_sleep_ms(100); /* bound is not listening yet */
    start(c, drive, SANDBOX);
    write_sector(c, 9, 0x7777);
    assert_int_equal(settled(c) & (BUSY | ERROR), 0);
    assert_int_equal(read_word(c, 9), 0x7777);
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    command(c, 200, READ_SECTORS);
    assert_true(settled(c) & ERROR);
    end(c);
    unlink(socket);
}

int main(int argc, char *argv[])
{
    static struct client client;
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_prestate(name, &client)
        TEST(an_error_stops_the_guest_until_cont),
        TEST(by_default_the_guest_gets_the_error),
        TEST(an_image_behind_a_helper),
        TEST(a_disk_on_a_server),
    };
    if (argc != 2 || !client_init(&client, argv[1]))
        return 2;
    signal(SIGPIPE, SIG_IGN);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    client_finish(&client);
    return failed;
}
