/*
 * PV back ends of the whole program, on the stand-in Xen libraries: beside an emulated board, and as the process that
 * libxl starts for a PV or PVH guest and beside a stubdomain. The test is toolstack and front end. Clauses: toolstack
 * contract, 4.3, 4.5 and 4.6.
 *
 *     test-pv-process THINDM FAKE_XEN_SO
 */
#define _GNU_SOURCE
#include "player.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { START_MS = 20000, STATE_MS = 5000, END_MS = 10000, RING_FRAME = 0x100, DATA_FRAME = 0x101, PORT = 7 };
enum { REQ_PROD = 0, RSP_PROD = 8, RSP_EVENT = 12, ENTRIES = 64, IMAGE_BYTES = 1 << 20 };

#define BACK  "backend/qdisk/1/51712"
#define FRONT "/local/domain/1/device/vbd/51712"

static const char *program, *fake_xen;
static char folder[] = "/tmp/thindm-test-XXXXXX", image[64], params[80], log_path[64];

static void make_image(void)
{
    int fd = open(image, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && ftruncate(fd, IMAGE_BYTES) == 0);
    close(fd);
}

/* The nodes that are there before the process, to a NULL. */
static const char *const (*further)[2];

static struct player *start(char *const argv[])
{
    static const char *const entry[][2] = {
        { BACK "/frontend", FRONT },
        { BACK "/frontend-id", "1" },
        { BACK "/params", params },
        { BACK "/mode", "w" },
        { BACK "/device-type", "disk" },
        { BACK "/online", "1" },
        { BACK "/state", "1" },
        { FRONT "/state", "1" },
        { "backend/vkbd/1/0/online", "1" },
        { "backend/vkbd/1/0/state", "1" },
    };
    struct player *p = player_new();
    assert_non_null(p);
    for (size_t i = 0; i < sizeof(entry) / sizeof(entry[0]); i++)
        player_write_node(p, entry[i][0], entry[i][1]);
    for (size_t i = 0; further && further[i][0]; i++)
        player_write_node(p, further[i][0], further[i][1]);
    assert_true(player_exec(p, argv, fake_xen, log_path, -1));
    if (!player_wait_running(p, START_MS)) {
        player_end(p, SIGKILL, 0);
        fail_msg("not ready");
    }
    return p;
}

static void wait_state(struct player *p, const char *path, const char *state)
{
    for (unsigned ms = 0; ms < STATE_MS; ms++) {
        const struct fake_node *n = player_node(p, path);
        if (n && strcmp(n->value, state) == 0)
            return;
        usleep(1000);
    }
    fail_msg("%s is not %s", path, state);
}

static uint8_t *frame(struct player *p, unsigned nr)
{
    void *map = mmap(NULL, FAKE_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, p->ram_fd, (off_t)nr * FAKE_PAGE);
    assert_true(map != MAP_FAILED);
    return map;
}

static void connect_front(struct player *p)
{
    char text[16];
    uint8_t *ring = frame(p, RING_FRAME);
    memset(ring, 0, FAKE_PAGE);
    memcpy(ring + RSP_EVENT, &(uint32_t){ 1 }, 4);
    munmap(ring, FAKE_PAGE);
    snprintf(text, sizeof(text), "%d", RING_FRAME);
    player_write_node(p, FRONT "/ring-ref", text);
    snprintf(text, sizeof(text), "%d", PORT);
    player_write_node(p, FRONT "/event-channel", text);
    player_write_node(p, FRONT "/protocol", "x86_64-abi");
    player_write_node(p, FRONT "/state", "3");
    wait_state(p, BACK "/state", "4");
    player_write_node(p, FRONT "/state", "4");
}

/* Request nr of one page at sector; the status of its answer. */
static int request(struct player *p, uint32_t nr, uint8_t op, uint64_t sector)
{
    uint8_t *ring = frame(p, RING_FRAME), *at = ring + ENTRIES + nr % 32 * 112;
    memset(at, 0, 112);
    at[0] = op;
    at[1] = op == 3 ? 0 : 1;
    memcpy(at + 8, &(uint64_t){ nr }, 8);
    memcpy(at + 16, &sector, 8);
    memcpy(at + 24, &(uint32_t){ DATA_FRAME }, 4);
    at[29] = 7;
    atomic_store((_Atomic(uint32_t) *)(void *)(ring + REQ_PROD), nr + 1);
    player_raise(p, PORT);
    for (unsigned ms = 0; atomic_load((_Atomic(uint32_t) *)(void *)(ring + RSP_PROD)) != nr + 1; ms++) {
        assert_true(ms < STATE_MS);
        usleep(1000);
    }
    int16_t status;
    memcpy(&status, at + 10, 2);
    assert_memory_equal(at, &(uint64_t){ nr }, 8);
    munmap(ring, FAKE_PAGE);
    return status;
}

static void move_data(struct player *p)
{
    uint8_t *data = frame(p, DATA_FRAME), expect[FAKE_PAGE], found[FAKE_PAGE];
    for (unsigned i = 0; i < FAKE_PAGE; i++)
        data[i] = expect[i] = (uint8_t)(i * 13 + i / 256);
    assert_int_equal(request(p, 0, 1, 64), 0);
    assert_int_equal(request(p, 1, 3, 0), 0);
    memset(data, 0, FAKE_PAGE);
    assert_int_equal(request(p, 2, 0, 64), 0);
    assert_memory_equal(data, expect, FAKE_PAGE);
    assert_int_equal(request(p, 3, 0, IMAGE_BYTES / 512), -1);
    int fd = open(image, O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, found, FAKE_PAGE, 64 * 512), FAKE_PAGE);
    close(fd);
    assert_memory_equal(found, expect, FAKE_PAGE);
    munmap(data, FAKE_PAGE);
}

static void end(struct player *p)
{
    int status = player_end(p, SIGTERM, END_MS);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static char *const back_ends[] = {
    NULL,  "-xen-domid", "1",    "-no-shutdown", "-nodefaults", "-no-user-config", "-xen-attach", "-name",
    "pvh", "-vnc",       "none", "-display",     "none",        "-nographic",      "-machine",    "xenpv",
    "-m",  "128",        NULL
};

static struct player *start_back_ends_with(char *const extra[])
{
    char *argv[sizeof(back_ends) / sizeof(back_ends[0]) + 8];
    unsigned n = sizeof(back_ends) / sizeof(back_ends[0]) - 1;
    memcpy(argv, back_ends, sizeof(back_ends));
    argv[0] = (char *)(uintptr_t)program;
    for (unsigned i = 0; extra && extra[i]; i++)
        argv[n++] = extra[i];
    argv[n] = NULL;
    make_image();
    return start(argv);
}

static struct player *start_back_ends(void)
{
    return start_back_ends_with(NULL);
}

/* libxl asks it what it asks every device model after its start. */
static void back_ends_answer_the_monitor(void **state)
{
    static char chardev[200], got[16384];
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    const char commands[] =
        "{\"execute\":\"qmp_capabilities\",\"id\":1}\r\n{\"execute\":\"query-chardev\",\"id\":2}\r\n"
        "{\"execute\":\"query-status\",\"id\":3}\r\n{\"execute\":\"stop\",\"id\":4}\r\n"
        "{\"execute\":\"query-block\",\"id\":6}\r\n{\"execute\":\"query-blockstats\",\"id\":7}\r\n"
        "{\"execute\":\"cont\",\"id\":5}\r\n";
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/qmp", folder);
    snprintf(chardev, sizeof(chardev), "socket,id=libxl-cmd,path=%s,server=on,wait=off", addr.sun_path);
    struct player *p =
        start_back_ends_with((char *[]){ "-chardev", chardev, "-mon", "chardev=libxl-cmd,mode=control", NULL });
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(write(fd, commands, strlen(commands)), strlen(commands));
    for (size_t len = 0; !strstr(got, "\"id\": 5");) {
        ssize_t n = read(fd, got + len, sizeof(got) - 1 - len);
        assert_true(n > 0);
        len += (size_t)n;
    }
    assert_non_null(strstr(got, "\"status\": \"running\""));
    assert_null(strstr(got, "\"error\""));
    assert_non_null(strstr(got, image)); /* the PV disk, by its path: xentop looks for that */
    assert_non_null(strstr(got, "rd_bytes"));
    close(fd);
    connect_front(p);
    move_data(p);
    end(p);
}

static void a_process_of_back_ends(void **state)
{
    struct player *p = start_back_ends();
    assert_int_equal(p->shared->servers, 0); /* no ioreq server */
    wait_state(p, "backend/vkbd/1/0/state", "6");
    wait_state(p, BACK "/state", "2");
    assert_string_equal(player_node(p, BACK "/sectors")->value, "2048");
    for (int round = 0; round < 2; round++) {
        connect_front(p);
        move_data(p);
        player_write_node(p, FRONT "/state", "5");
        wait_state(p, BACK "/state", "5");
        player_write_node(p, FRONT "/state", "6");
        wait_state(p, BACK "/state", "6");
        player_write_node(p, FRONT "/state", "1");
        wait_state(p, BACK "/state", "2");
    }
    end(p);
}

static void an_image_is_locked(void **state)
{
    struct player *p = start_back_ends();
    struct player *second = NULL;
    wait_state(p, BACK "/state", "2");
    second = start_back_ends();
    wait_state(second, BACK "/state", "6");
    assert_non_null(player_node(second, "error/" BACK "/error"));
    end(second);
    end(p);
}

static void an_idle_disk_sleeps(void **state)
{
    struct player *p = start_back_ends();
    connect_front(p);
    assert_int_equal(request(p, 0, 3, 0), 0);
    usleep(300000);
    uint64_t before = player_switches(p);
    usleep(1000000);
    assert_int_equal(player_switches(p) - before, 0);
    end(p);
}

/* The second event channel handle of the stand-in has no events: what is there when the front end connects is served.
 */
static void beside_a_board(void **state)
{
    static char drive[200];
    snprintf(drive, sizeof(drive), "file=%s,if=ide,index=0,media=disk,format=raw,cache=writeback", image);
    char *argv[] = { (char *)(uintptr_t)program,
                     "-xen-domid",
                     "1",
                     "-no-shutdown",
                     "-nodefaults",
                     "-vnc",
                     "none",
                     "-display",
                     "none",
                     "-net",
                     "none",
                     "-machine",
                     "xenfv,suppress-vmdesc=on",
                     "-m",
                     "240",
                     "-drive",
                     drive,
                     NULL };
    make_image();
    struct player *p = start(argv);
    wait_state(p, BACK "/state", "2"); /* the emulated disk's lock is not in the way */
    wait_state(p, "backend/vkbd/1/0/state", "6");
    connect_front(p);
    end(p);
}

/* --- Consoles --- */

enum { LOG_FRAME = 0x200, LINE_FRAME, LOG_PORT = 3, LINE_PORT };
enum { IN = 0, IN_BYTES = 1024, OUT = 1024, OUT_BYTES = 2048 };
enum { IN_CONS = 3072, IN_PROD = 3076, OUT_CONS = 3080, OUT_PROD = 3084 };

#define LOG  "/local/domain/1/console"
#define LINE "/local/domain/1/device/console/3"

static _Atomic(uint32_t) *ring_index(uint8_t *ring, unsigned offset)
{
    return (_Atomic(uint32_t) *)(void *)(ring + offset);
}

static void wait_index(uint8_t *ring, unsigned offset, uint32_t value)
{
    for (unsigned ms = 0; atomic_load(ring_index(ring, offset)) != value; ms++) {
        assert_true(ms < STATE_MS);
        usleep(1000);
    }
}

/* As a front end does: bytes, index, notification. Waits until they are taken. */
static void say(struct player *p, uint8_t *ring, uint32_t port, const char *text)
{
    uint32_t prod = atomic_load(ring_index(ring, OUT_PROD));
    for (size_t i = 0; text[i]; i++)
        ring[OUT + prod++ % OUT_BYTES] = (uint8_t)text[i];
    atomic_store(ring_index(ring, OUT_PROD), prod);
    player_raise(p, port);
    wait_index(ring, OUT_CONS, prod);
}

/* A file of this many bytes, once it has them. */
static void read_file(const char *path, char *text, size_t len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    for (unsigned ms = 0; lseek(fd, 0, SEEK_END) < (off_t)len; ms++) {
        assert_true(fd >= 0 && ms < STATE_MS);
        usleep(1000);
    }
    assert_int_equal(pread(fd, text, len + 1, 0), len);
    text[len] = '\0';
    close(fd);
}

static void a_line_on_a_pty(struct player *p)
{
    char got[32] = "";
    uint8_t *line = frame(p, LINE_FRAME);
    assert_string_equal(player_node(p, "backend/console/1/3/state")->value, "2"); /* its front end is not there yet */
    player_write_node(p, LINE "/ring-ref", "513");
    player_write_node(p, LINE "/port", "4");
    player_write_node(p, LINE "/state", "4");
    wait_state(p, "backend/console/1/3/state", "4");
    int fd = open(player_node(p, LINE "/tty")->value, O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "root\r", 5), 5);
    wait_index(line, IN_PROD, 5);
    assert_memory_equal(line + IN, "root\r", 5);
    say(p, line, LINE_PORT, "login: ");
    assert_int_equal(read(fd, got, sizeof(got)), 7);
    assert_string_equal(got, "login: ");
    close(fd);
    munmap(line, FAKE_PAGE);
}

/* The leak check at a sanitizer's end makes system calls that the filter rightly refuses. */
static struct player *start_filtered(void)
{
    const char *old = getenv("ASAN_OPTIONS");
    char *kept = strdup(old ? old : "");
    setenv("ASAN_OPTIONS", "verify_asan_link_order=0:detect_leaks=0", 1);
    struct player *p = start_back_ends_with((char *[]){ "-sandbox", "on", NULL });
    setenv("ASAN_OPTIONS", kept, 1);
    free(kept);
    return p;
}

/* What libxl leaves beside a stubdomain: its log, the stream to save to, one of the guest's serial lines. */
static void serve_consoles(bool filtered)
{
    static char log_output[80], save_output[80];
    static const char *const entries[][2] = {
        { LOG "/type", "ioemu" },
        { LOG "/output", log_output },
        { LOG "/limit", "1048576" },
        { LOG "/ring-ref", "512" },
        { LOG "/port", "3" },
        { LOG "/tty", "" },
        { "backend/console/1/0/frontend", LOG },
        { "backend/console/1/0/frontend-id", "1" },
        { "backend/console/1/0/online", "1" },
        { "backend/console/1/0/state", "1" },
        { "/local/domain/1/device/console/1/type", "ioemu" },
        { "/local/domain/1/device/console/1/output", save_output },
        { "/local/domain/1/device/console/1/state", "1" },
        { "backend/console/1/1/frontend", "/local/domain/1/device/console/1" },
        { "backend/console/1/1/frontend-id", "1" },
        { "backend/console/1/1/online", "1" },
        { "backend/console/1/1/state", "1" },
        { LINE "/type", "ioemu" },
        { LINE "/output", "pty" },
        { LINE "/tty", "" },
        { LINE "/state", "1" },
        { "backend/console/1/3/frontend", LINE },
        { "backend/console/1/3/frontend-id", "1" },
        { "backend/console/1/3/online", "1" },
        { "backend/console/1/3/state", "1" },
        { NULL, NULL },
    };
    char stubdom_log[64], save[64], text[64];
    snprintf(stubdom_log, sizeof(stubdom_log), "%s/stubdom.log", folder);
    snprintf(save, sizeof(save), "%s/save", folder);
    snprintf(log_output, sizeof(log_output), "file:%s", stubdom_log);
    snprintf(save_output, sizeof(save_output), "file:%s", save);
    further = entries;
    setenv("XEN_QEMU_CONSOLE_LIMIT", "4096", 1);
    struct player *p = filtered ? start_filtered() : start_back_ends();
    further = NULL;
    unsetenv("XEN_QEMU_CONSOLE_LIMIT");
    uint8_t *log_ring = frame(p, LOG_FRAME);
    wait_state(p, "backend/console/1/0/state", "4");
    assert_string_equal(player_node(p, "backend/console/1/1/state")->value, "2");
    say(p, log_ring, LOG_PORT, "stubdom: ");
    say(p, log_ring, LOG_PORT, "running\r\n");
    read_file(stubdom_log, text, 18);
    assert_string_equal(text, "stubdom: running\r\n");
    a_line_on_a_pty(p);
    usleep(300000);
    uint64_t before = player_switches(p);
    usleep(500000);
    assert_int_equal(player_switches(p) - before, 0);
    for (unsigned i = 0; i < 100; i++) /* Dom0's disk is not the guest's to fill */
        say(p, log_ring, LOG_PORT, "a stubdomain that was taken over logs and logs and logs and logs\r\n");
    end(p);
    struct stat st;
    assert_int_equal(stat(stubdom_log, &st), 0);
    assert_int_equal(st.st_size, 4096);
    munmap(log_ring, FAKE_PAGE);
    unlink(stubdom_log);
    unlink(save);
}

#define GUEST_BACK  "backend/qdisk/7/768"
#define GUEST_FRONT "/local/domain/7/device/vbd/768"

static struct player *start_beside_stubdomain(const char *model_of_guest)
{
    const char *const entries[][2] = {
        { "/local/domain/1/target", "7" },
        { "/local/domain/7/image/device-model-domid", model_of_guest },
        { GUEST_BACK "/frontend", GUEST_FRONT },
        { GUEST_BACK "/frontend-id", "7" },
        { GUEST_BACK "/params", params },
        { GUEST_BACK "/mode", "w" },
        { GUEST_BACK "/device-type", "disk" },
        { GUEST_BACK "/online", "1" },
        { GUEST_BACK "/state", "1" },
        { GUEST_FRONT "/state", "1" },
        { "backend/vkbd/7/0/online", "1" },
        { "backend/vkbd/7/0/state", "1" },
        { NULL, NULL },
    };
    further = entries;
    struct player *p = start_back_ends();
    further = NULL;
    return p;
}

/* Nobody else would: disks as well as what is closed so that drivers don't wait for it. */
static void the_guest_of_a_stubdomain(void **state)
{
    struct player *p = start_beside_stubdomain("1");
    wait_state(p, BACK "/state", "2");
    wait_state(p, GUEST_BACK "/state", "2");
    wait_state(p, "backend/vkbd/7/0/state", "6");
    end(p);
}

/* Both domains have to say so. */
static void the_guest_of_somebody_else(void **state)
{
    struct player *p = start_beside_stubdomain("2");
    wait_state(p, BACK "/state", "2");
    wait_state(p, "backend/vkbd/1/0/state", "6");
    usleep(100000);
    assert_string_equal(player_node(p, GUEST_BACK "/state")->value, "1");
    assert_string_equal(player_node(p, "backend/vkbd/7/0/state")->value, "1");
    end(p);
}

static void consoles_of_a_stubdomain(void **state)
{
    serve_consoles(false);
}

/* All that they need is open before. */
static void the_filter_lets_consoles_through(void **state)
{
    serve_consoles(true);
}

static int make_folder(void **state)
{
    assert_non_null(mkdtemp(folder));
    snprintf(image, sizeof(image), "%s/disk.img", folder);
    snprintf(params, sizeof(params), "aio:%s", image);
    snprintf(log_path, sizeof(log_path), "%s/log", folder);
    return 0;
}

static int remove_folder(void **state)
{
    unlink(image);
    unlink(log_path);
    return rmdir(folder);
}

int main(int argc, char *argv[])
{
    if (argc != 3)
        return 2;
    program = argv[1];
    fake_xen = argv[2];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_of_back_ends),
        cmocka_unit_test(back_ends_answer_the_monitor),
        cmocka_unit_test(an_image_is_locked),
        cmocka_unit_test(an_idle_disk_sleeps),
        cmocka_unit_test(beside_a_board),
        cmocka_unit_test(consoles_of_a_stubdomain),
        cmocka_unit_test(the_filter_lets_consoles_through),
        cmocka_unit_test(the_guest_of_a_stubdomain),
        cmocka_unit_test(the_guest_of_somebody_else),
    };
    return cmocka_run_group_tests_name("pv-process", tests, make_folder, remove_folder);
}
