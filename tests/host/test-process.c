/*
 * The whole program as the toolstack sees it, on the stand-in Xen libraries: start, readiness, QMP, signals, bad input.
 * Clauses are those of the toolstack contract: what libxl 4.17 and newer do to a device model.
 *
 *     test-process THINDM FAKE_XEN_SO
 */
#define _GNU_SOURCE
#include "player.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { MAX_ARGS = 64, START_MS = 20000, REPLY_MS = 10000, END_MS = 10000, SENDABLE_BYTES = 8192 };
enum { COM1_LSR = 0x3fd, LSR_IDLE = 0x60, RESET_CONTROL = 0xcf9 };

static const char *program, *fake_xen;
static char folder[] = "/tmp/thindm-test-XXXXXX";

static char *in_folder(const char *name)
{
    static char paths[128][256];
    static unsigned next;
    char *path = paths[next++ % 128];
    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

/* What libxl says for a guest without NIC and VNC, plus extra (NULL-terminated), minus nothing. */
static struct player *start_with(const char *qmp, char *const extra[])
{
    static char chardev[300];
    char *argv[MAX_ARGS] = { (char *)(uintptr_t)program };
    unsigned n = 1;
    char *const common[] = { "-xen-domid",
                             "1",
                             "-no-shutdown",
                             "-nodefaults",
                             "-no-user-config",
                             "-name",
                             "vm1",
                             "-vnc",
                             "none",
                             "-display",
                             "none",
                             "-boot",
                             "order=cd",
                             "-net",
                             "none",
                             "-machine",
                             "xenfv,suppress-vmdesc=on",
                             "-m",
                             "240",
                             NULL };
    for (unsigned i = 0; common[i]; i++)
        argv[n++] = common[i];
    if (qmp) {
        snprintf(chardev, sizeof(chardev), "socket,id=libxl-cmd,path=%s,server=on,wait=off", qmp);
        char *const monitor[] = { "-chardev", chardev, "-mon", "chardev=libxl-cmd,mode=control", NULL };
        for (unsigned i = 0; monitor[i]; i++)
            argv[n++] = monitor[i];
    }
    for (unsigned i = 0; extra && extra[i]; i++)
        argv[n++] = extra[i];
    return player_start(argv, fake_xen, in_folder("log"), -1);
}

/* The leak checker of a sanitizer build needs /proc and ptrace() at the end, which a locked-up process doesn't have. */
static struct player *start_locked_up(const char *qmp, char *const extra[])
{
    const char *old = getenv("ASAN_OPTIONS");
    char *kept = old ? strdup(old) : NULL;
    setenv("ASAN_OPTIONS", "verify_asan_link_order=0:detect_leaks=0", 1);
    struct player *p = start_with(qmp, extra);
    if (kept)
        setenv("ASAN_OPTIONS", kept, 1);
    else
        unsetenv("ASAN_OPTIONS");
    free(kept);
    return p;
}

static char *const plain[] = { "-serial", "null", "-device", "VGA,vgamem_mb=16,romfile=", NULL };

static struct player *start_ready(const char *qmp)
{
    struct player *p = start_with(qmp, plain);
    assert_non_null(p);
    if (!player_wait_running(p, START_MS)) {
        char line[512] = "";
        FILE *f = fopen(in_folder("log"), "r");
        if (f && fgets(line, sizeof(line), f))
            print_message("thindm said: %s\n", line);
        player_end(p, SIGKILL, 0);
        fail_msg("not ready");
    }
    return p;
}

static int qmp_connect(const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    /* As libxl: a full backlog must not happen. */
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    return fd;
}

/* One message up to CR LF, without them. */
static void qmp_read(int fd, char *line, size_t size)
{
    size_t len = 0;
    for (;;) {
        struct pollfd pfd = { .fd = fd, .events = POLLIN };
        assert_int_equal(poll(&pfd, 1, REPLY_MS), 1);
        assert_true(len + 1 < size);
        assert_int_equal(read(fd, line + len, 1), 1);
        len++;
        if (len >= 2 && line[len - 2] == '\r' && line[len - 1] == '\n') {
            line[len - 2] = '\0';
            return;
        }
        assert_true(line[len - 1] != '\n');
    }
}

static void qmp_say(int fd, const char *command)
{
    assert_int_equal(write(fd, command, strlen(command)), (ssize_t)strlen(command));
}

static void qmp_ask(int fd, const char *command, char *line, size_t size)
{
    qmp_say(fd, command);
    do
        qmp_read(fd, line, size);
    while (strstr(line, "\"event\""));
}

/* A connection as libxl makes one per operation: greeting, negotiation, command. */
static void qmp_operation(const char *path, const char *command, char *line, size_t size)
{
    int fd = qmp_connect(path);
    qmp_read(fd, line, size);
    assert_non_null(strstr(line, "\"QMP\""));
    assert_non_null(strstr(line, "\"major\""));
    qmp_ask(fd, "{\"execute\":\"qmp_capabilities\",\"id\":2020372737}\r\n", line, size);
    assert_non_null(strstr(line, "2020372737"));
    qmp_ask(fd, command, line, size);
    close(fd);
}

static unsigned open_fds(void)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

static void each_end_signal_ends_with_status_0(void **state)
{
    const int signals[] = { SIGHUP, SIGTERM, SIGINT };
    for (unsigned i = 0; i < 3; i++) {
        char *qmp = in_folder("qmp");
        struct player *p = start_ready(qmp);
        assert_int_equal(access(qmp, F_OK), 0);
        uint64_t t = player_now_ns();
        int status = player_end(p, signals[i], END_MS);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        assert_true(player_now_ns() - t < 2000000000u);
        assert_int_equal(access(qmp, F_OK), -1);
    }
}

static void a_stale_socket_file_is_replaced(void **state)
{
    char *qmp = in_folder("qmp"), line[4096];
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", qmp);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    close(fd); /* as a device model that was killed leaves it */
    struct player *p = start_ready(qmp);
    qmp_operation(qmp, "{\"execute\":\"query-status\",\"id\":7}\r\n", line, sizeof(line));
    assert_non_null(strstr(line, "\"running\""));
    player_end(p, SIGTERM, END_MS);
}

static void port_reads_are_answered(void **state)
{
    struct player *p = start_ready(NULL);
    bool ok = true;
    for (unsigned i = 0; i < 100; i++) {
        uint64_t val = player_port(p, COM1_LSR, 1, true, 0, i % 2, &ok);
        assert_true(ok);
        assert_int_equal(val & 0xff, LSR_IDLE);
    }
    assert_int_equal(player_port(p, 0x510, 2, true, 0, false, &ok) & 0xffff, 0xffff); /* nobody's */
    player_end(p, SIGTERM, END_MS);
}

/* A kernel before 4.18: the server's pages are two frames of the guest. */
static void an_older_kernel_is_served(void **state)
{
    setenv("FAKE_XEN_OLD", "1", 1);
    struct player *p = start_ready(NULL);
    unsetenv("FAKE_XEN_OLD");
    bool ok = true;
    assert_int_equal(player_port(p, COM1_LSR, 1, true, 0, false, &ok) & 0xff, LSR_IDLE);
    assert_true(ok);
    int status = player_end(p, SIGTERM, END_MS);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* The reset must reach Xen before the OUT is answered, and the process stays for the toolstack's questions. */
static void guest_reset_is_a_shutdown_with_reason_reboot(void **state)
{
    char *qmp = in_folder("qmp"), line[4096];
    struct player *p = start_ready(qmp);
    bool ok = true;
    player_port(p, RESET_CONTROL, 1, false, 6, false, &ok);
    assert_true(ok);
    assert_int_equal(p->shared->shutdown_calls, 1);
    assert_int_equal(p->shared->shutdown_reason, 1);
    qmp_operation(qmp, "{\"execute\":\"query-cpus-fast\",\"id\":1}\r\n", line, sizeof(line));
    assert_non_null(strstr(line, "\"cpu-index\": 0"));
    player_end(p, SIGHUP, END_MS);
}

static void libxls_questions_after_the_start(void **state)
{
    char *qmp = in_folder("qmp"), line[8192];
    char *const extra[] = { "-serial", "pty", "-device", "VGA,vgamem_mb=16,romfile=", NULL };
    struct player *p = start_with(qmp, extra);
    assert_true(player_wait_running(p, START_MS) > 0);
    qmp_operation(qmp, "{\"execute\":\"query-chardev\",\"id\":2020372736}\r\n", line, sizeof(line));
    assert_non_null(strstr(line, "\"serial0\""));
    assert_non_null(strstr(line, "pty:/dev/pts/"));
    assert_non_null(strstr(line, "2020372736"));
    for (unsigned i = 0; i < 20; i++) { /* cont comes with each unpause, on a new connection */
        qmp_operation(qmp, "{\"execute\":\"cont\",\"id\":1}\r\n", line, sizeof(line));
        assert_non_null(strstr(line, "\"return\": {}"));
    }
    qmp_operation(qmp, "{\"execute\":\"no-such-thing\",\"id\":{\"a\":[1,2]}}\r\n", line, sizeof(line));
    assert_non_null(strstr(line, "CommandNotFound"));
    assert_non_null(strstr(line, "The command no-such-thing has not been found"));
    qmp_operation(qmp, "{\"execute\":\"stop\",\"id\":1}\r\n", line, sizeof(line));
    assert_int_equal(p->shared->enabled, 0);
    qmp_operation(qmp, "{\"execute\":\"cont\",\"id\":1}\r\n", line, sizeof(line));
    assert_int_equal(p->shared->enabled, 1);
    player_end(p, SIGTERM, END_MS);
}

/* libxenstat ends no line and gives no id. */
static void a_command_without_newline_is_answered(void **state)
{
    char *qmp = in_folder("qmp"), line[4096];
    struct player *p = start_ready(qmp);
    int fd = qmp_connect(qmp);
    qmp_read(fd, line, sizeof(line));
    qmp_ask(fd, "{ \"execute\": \"qmp_capabilities\" }", line, sizeof(line));
    assert_non_null(strstr(line, "\"return\""));
    assert_null(strstr(line, "\"id\""));
    qmp_ask(fd, "{ \"execute\": \"query-blockstats\" }", line, sizeof(line));
    assert_non_null(strstr(line, "\"return\": ["));
    close(fd);
    player_end(p, SIGTERM, END_MS);
}

/* dm_restrict: the listening socket is inherited, readiness is asked by QMP, xenstore is not written. */
static void restricted_start(void **state)
{
    char *qmp = in_folder("qmp-fd"), line[4096], chardev[100];
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", qmp);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0); /* not close-on-exec */
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(fd, 1), 0);
    char *empty = in_folder("root");
    assert_int_equal(mkdir(empty, 0), 0);
    snprintf(chardev, sizeof(chardev), "socket,id=libxl-cmd,fd=%d,server=on,wait=off", fd);
    bool root = geteuid() == 0;
    char *const extra[] = { "-chardev",
                            chardev,
                            "-S",
                            "-mon",
                            "chardev=libxl-cmd,mode=control",
                            "-serial",
                            "null",
                            "-device",
                            "VGA,vgamem_mb=16,romfile=",
                            "-xen-domid-restrict",
                            root ? "-chroot" : NULL,
                            empty,
                            "-runas",
                            "65534:65534",
                            NULL };
    struct player *p = start_locked_up(NULL, extra);
    close(fd);
    qmp_operation(qmp, "{\"execute\":\"query-status\",\"id\":1}\r\n", line, sizeof(line));
    assert_non_null(strstr(line, "\"prelaunch\""));
    assert_null(player_node(p, "/state"));
    qmp_operation(qmp, "{\"execute\":\"cont\",\"id\":1}\r\n", line, sizeof(line));
    qmp_operation(qmp, "{\"execute\":\"query-status\",\"id\":1}\r\n", line, sizeof(line));
    assert_non_null(strstr(line, "\"running\": true"));
    struct stat st;
    char proc[64];
    snprintf(proc, sizeof(proc), "/proc/%d", p->pid);
    if (root && stat(proc, &st) == 0)
        assert_true(st.st_uid == 65534 || st.st_uid == 0); /* /proc belongs to root for a non-dumpable process */
    bool ok = true;
    player_port(p, COM1_LSR, 1, true, 0, false, &ok);
    assert_true(ok);
    int status = player_end(p, SIGTERM, END_MS);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    unlink(qmp);
    rmdir(empty);
}

/* What libxl of Xen 4.20 and newer asks before each start: no domain, no Xen. */
static void option_probe(void **state)
{
    char *qmp = in_folder("qmp-probe"), line[8192], chardev[300];
    snprintf(chardev, sizeof(chardev), "socket,id=libxl-cmd,path=%s,server=on,wait=off", qmp);
    char *argv[] = { (char *)(uintptr_t)program, "-S", "-no-user-config", "-nodefaults", "-nographic", "-machine",
                     "none,accel=xen", "-chardev", chardev, "-mon", "chardev=libxl-cmd,mode=control", NULL };
    struct player *p = player_start(argv, fake_xen, in_folder("log"), -1);
    for (unsigned i = 0; i < START_MS && access(qmp, F_OK); i++)
        usleep(1000);
    usleep(20000); /* from bind to listen */
    qmp_operation(qmp, "{\"execute\":\"query-command-line-options\",\"id\":1}\r\n", line, sizeof(line));
    assert_non_null(strstr(line, "run-with"));
    assert_non_null(strstr(line, "chroot"));
    assert_int_equal(p->shared->servers, 0);
    qmp_operation(qmp, "{\"execute\":\"quit\",\"id\":1}\r\n", line, sizeof(line));
    assert_non_null(strstr(line, "\"return\": {}"));
    int status = player_end(p, 0, END_MS);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* One sector by PIO, as firmware reads it [ATA8-ACS, READ SECTOR(S)]. */
static void read_sector(struct player *p, uint32_t lba, uint8_t sector[512])
{
    bool ok = true;
    const struct {
        uint16_t port;
        uint8_t val;
    } task_file[] = { { 0x1f6, 0xe0 }, { 0x1f2, 1 },   { 0x1f3, (uint8_t)lba }, { 0x1f4, (uint8_t)(lba >> 8) },
                      { 0x1f5, 0 },    { 0x1f7, 0x20 } };
    for (unsigned i = 0; i < sizeof(task_file) / sizeof(task_file[0]); i++)
        player_port(p, task_file[i].port, 1, false, task_file[i].val, false, &ok);
    uint64_t status = 0x80;
    for (unsigned i = 0; i < 10000 && status & 0x80; i++)
        status = player_port(p, 0x1f7, 1, true, 0, false, &ok) & 0xff;
    assert_int_equal(status & 0x89, 0x08); /* DRQ, no BSY, no ERR */
    for (unsigned i = 0; i < 256; i++) {
        uint64_t word = player_port(p, 0x1f0, 2, true, 0, false, &ok);
        sector[2 * i] = (uint8_t)word;
        sector[2 * i + 1] = (uint8_t)(word >> 8);
    }
    assert_true(ok);
}

/* -sandbox on: everything a guest and a toolstack do goes on; opening a file doesn't. */
static void the_filter_lets_work_through(void **state)
{
    static char drive[400];
    char *qmp = in_folder("qmp"), *image = in_folder("disk.img"), line[4096], change[600];
    uint8_t sector[512], *content = calloc(1, 1 << 20);
    for (unsigned i = 0; i < 1 << 20; i++)
        content[i] = (uint8_t)(i / 512 + i);
    int fd = open(image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, content, 1 << 20), 1 << 20);
    close(fd);
    snprintf(drive, sizeof(drive), "file=%s,if=ide,index=0,media=disk,format=raw,cache=writeback", image);
    for (unsigned filtered = 0; filtered < 2; filtered++) {
        char *const args[] = { "-drive",   drive,
                               "-drive",   "if=none,readonly=on,id=ide-5632",
                               "-device",  "ide-cd,id=ide-5632,drive=ide-5632,bus=ide.1,unit=0",
                               "-sandbox", filtered ? "on" : "off",
                               NULL };
        struct player *p = filtered ? start_locked_up(qmp, args) : start_with(qmp, args);
        assert_true(player_wait_running(p, START_MS) > 0);
        for (uint32_t lba = 0; lba < 100; lba += 33) {
            read_sector(p, lba, sector);
            assert_memory_equal(sector, content + lba * 512, 512);
        }
        snprintf(change, sizeof(change),
                 "{\"execute\":\"blockdev-change-medium\",\"id\":1,\"arguments\":{\"id\":\"ide-5632\",\"filename\":\"%"
                 "s\",\"format\":\"raw\"}}\r\n",
                 image);
        qmp_operation(qmp, change, line, sizeof(line));
        assert_non_null(strstr(line, filtered ? "\"error\"" : "\"return\": {}"));
        int status = player_end(p, SIGTERM, END_MS);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    unlink(image);
    free(content);
}

static void twenty_starts_leave_nothing(void **state)
{
    char *qmp = in_folder("qmp"), line[4096];
    unsigned fds = open_fds();
    for (unsigned i = 0; i < 20; i++) {
        struct player *p = start_ready(qmp);
        qmp_operation(qmp, "{\"execute\":\"query-status\",\"id\":1}\r\n", line, sizeof(line));
        assert_int_equal(player_end(p, SIGHUP, END_MS), 0);
        assert_int_equal(access(qmp, F_OK), -1);
    }
    assert_int_equal(open_fds(), fds);
}

static void an_idle_process_sleeps(void **state)
{
    struct player *p = start_ready(NULL);
    bool ok = true;
    for (unsigned i = 0; i < 1000; i++)
        player_port(p, COM1_LSR, 1, true, 0, true, &ok);
    assert_true(ok);
    usleep(300000);
    uint64_t before = player_switches(p);
    usleep(1000000);
    assert_int_equal(player_switches(p) - before, 0);
    player_end(p, SIGTERM, END_MS);
}

/* Each: one line, exit status 1, no readiness, nothing left behind. */
static void bad_input_is_one_line_and_status_1(void **state)
{
    static char image[300], drive[400], missing[400], folder_opt[400];
    snprintf(image, sizeof(image), "%s", in_folder("locked.img"));
    snprintf(drive, sizeof(drive), "file=%s,if=ide,index=0,media=disk,format=raw,cache=writeback", image);
    snprintf(missing, sizeof(missing), "file=%s/none.img,if=ide,index=0,media=disk,format=raw", folder);
    snprintf(folder_opt, sizeof(folder_opt), "file=%s,if=ide,index=0,media=disk,format=raw", folder);
    int image_fd = open(image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(image_fd >= 0 && ftruncate(image_fd, 1 << 20) == 0);
    struct {
        char *args[8];
        const char *says;
    } cases[] = {
        { { "-no-such-option" }, "no-such-option" },
        { { "-device", "e1000,id=nic0,netdev=net0,mac=00:16:3e:11:22:33" }, "e1000" },
        { { "-drive", missing }, "none.img" },
        { { "-drive", folder_opt }, folder },
        { { "-device", "VGA,vgamem_mb=16", "-L", folder }, "vgabios" },
        { { "-xen-domid", "77" }, "77" },
        { { "-xen-domid", "junk" }, "junk" },
        { { "-kernel", "/boot/vmlinuz" }, "-kernel" },
        { { "-serial", "file:/no/such/folder/x" }, "/no/such/folder/x" },
        { { "-m" }, "-m" },
        { { "-runas", "no-such-user" }, "no-such-user" },
        { { "-chardev", "socket,id=x,path=/no/such/folder/s,server=on,wait=off" }, "/no/such/folder/s" },
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *qmp = in_folder("qmp"), text[4096] = "";
        struct player *p = start_with(qmp, cases[i].args);
        uint64_t until = player_now_ns() + UINT64_C(10000000000);
        while (waitpid(p->pid, &p->status, WNOHANG) == 0 && player_now_ns() < until)
            usleep(1000);
        p->pid = 0;
        assert_null(player_node(p, "/state"));
        assert_int_equal(p->shared->servers, 0);
        int status = player_end(p, 0, 0);
        FILE *f = fopen(in_folder("log"), "r");
        size_t n = fread(text, 1, sizeof(text) - 1, f);
        fclose(f);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 1 || !strstr(text, cases[i].says))
            print_message("case %s: status %x, said: %s\n", cases[i].args[0], (unsigned)status, text);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 1);
        assert_non_null(strstr(text, cases[i].says));
        assert_ptr_equal(strchr(text, '\n'), text + n - 1); /* exactly one line */
        assert_int_equal(access(qmp, F_OK), -1);
    }
    close(image_fd);
    unlink(image);
}

static void an_image_in_use_is_refused(void **state)
{
    static char drive[400];
    char *image = in_folder("used.img"), text[2048] = "";
    int fd = open(image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && ftruncate(fd, 1 << 20) == 0);
    close(fd);
    snprintf(drive, sizeof(drive), "file=%s,if=ide,index=0,media=disk,format=raw,cache=writeback", image);
    char *const args[] = { "-drive", drive, NULL };
    struct player *first = start_with(NULL, args);
    assert_true(player_wait_running(first, START_MS) > 0);
    struct player *second = start_with(NULL, args);
    assert_int_equal(player_wait_running(second, START_MS), 0);
    int status = player_end(second, 0, END_MS);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
    FILE *f = fopen(in_folder("log"), "r");
    size_t n = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    assert_non_null(strstr(text, "used.img"));
    assert_ptr_equal(strchr(text, '\n'), text + n - 1);
    player_end(first, SIGTERM, END_MS);
    unlink(image);
}

static void without_xen_one_line(void **state)
{
    char *argv[] = { (char *)(uintptr_t)program, "-xen-domid", "1", "-machine", "xenfv", "-m", "240", NULL };
    struct player *p = player_start(argv, "", in_folder("log"), -1);
    assert_int_equal(player_wait_running(p, START_MS), 0);
    int status = player_end(p, 0, END_MS);
    char text[2048] = "";
    FILE *f = fopen(in_folder("log"), "r");
    size_t n = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    assert_non_null(strstr(text, "Xen is not there"));
    assert_ptr_equal(strchr(text, '\n'), text + n - 1);
}

int main(int argc, char *argv[])
{
    if (argc != 3 || !mkdtemp(folder)) {
        fprintf(stderr, "usage: test-process THINDM FAKE_XEN_SO\n");
        return 1;
    }
    program = argv[1];
    fake_xen = argv[2];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_end_signal_ends_with_status_0),
        cmocka_unit_test(a_stale_socket_file_is_replaced),
        cmocka_unit_test(port_reads_are_answered),
        cmocka_unit_test(an_older_kernel_is_served),
        cmocka_unit_test(guest_reset_is_a_shutdown_with_reason_reboot),
        cmocka_unit_test(libxls_questions_after_the_start),
        cmocka_unit_test(a_command_without_newline_is_answered),
        cmocka_unit_test(restricted_start),
        cmocka_unit_test(option_probe),
        cmocka_unit_test(the_filter_lets_work_through),
        cmocka_unit_test(twenty_starts_leave_nothing),
        cmocka_unit_test(an_idle_process_sleeps),
        cmocka_unit_test(bad_input_is_one_line_and_status_1),
        cmocka_unit_test(an_image_in_use_is_refused),
        cmocka_unit_test(without_xen_one_line),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(in_folder("log"));
    rmdir(folder);
    return failed;
}
