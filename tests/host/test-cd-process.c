/*
 * A CD changed as xl cd-insert and cd-eject do it, on the stand-in Xen libraries, and what the guest's drive says to
 * that: each row of the toolstack contract's list 8.4, free and locked up as under dm_restrict.
 * Sources: xen tools/libs/light/libxl_disk.c, libxl_qmp.c; MMC-4; SFF-8020i.
 *
 *     test-cd-process THINDM FAKE_XEN_SO
 */
#define _GNU_SOURCE
#include "player.h"
#include <dirent.h>
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

enum { MAX_ARGS = 40, WAIT_MS = 20000, LINE_BYTES = 16384, BLOCK = 2048, ISO_BYTES = 64 * BLOCK };
enum { DATA = 0x170, FEATURES, COUNT, LOW, MID, HIGH, DEVICE, COMMAND };
enum { BUSY = 0x80, DRQ = 0x08, ERR = 0x01, PACKET = 0xa0 };
/* Sense keys with code and qualifier, and media events. */
enum { EMPTY = 0x23a01, OPEN = 0x23a02, CHANGED = 0x62800, LOCKED = 0x55302 };
enum { EVENT_NONE, EVENT_EJECT_REQUEST, EVENT_NEW_MEDIUM, EVENT_REMOVED };
#define CHANGE "\"execute\":\"blockdev-change-medium\",\"id\":1,\"arguments\":{\"id\":\"ide-5632\","

static const char *program, *fake_xen;
static char folder[] = "/tmp/thindm-cd-XXXXXX";

struct bench {
    struct player *p;
    bool confined;
    int qmp;                                   /* connected */
    char socket[108], root[128], path[2][128]; /* socket: as long as an address can be */
    char line[LINE_BYTES], moves[256];         /* the last reply; o and c: trays that opened and closed */
};

/* --- The toolstack --- */

static void hear(struct bench *b)
{
    size_t len = 0;
    do {
        struct pollfd p = { .fd = b->qmp, .events = POLLIN };
        assert_int_equal(poll(&p, 1, WAIT_MS), 1);
        assert_true(len + 1 < LINE_BYTES);
        assert_int_equal(read(b->qmp, b->line + len, 1), 1);
    } while (b->line[len++] != '\n');
    b->line[len] = '\0';
}

/* The reply to what was said. */
static const char *answer(struct bench *b)
{
    hear(b);
    while (strstr(b->line, "\"event\"")) {
        size_t at = strlen(b->moves);
        if (strstr(b->line, "DEVICE_TRAY_MOVED") && at + 1 < sizeof(b->moves)) {
            assert_non_null(strstr(b->line, "\"id\": \"ide-5632\""));
            b->moves[at] = strstr(b->line, "\"tray-open\": true") ? 'o' : 'c';
            b->moves[at + 1] = '\0';
        }
        hear(b);
    }
    return b->line;
}

static const char *ask(struct bench *b, const char *format, ...)
{
    char command[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof(command), format, args);
    va_end(args);
    assert_int_equal(write(b->qmp, command, strlen(command)), (ssize_t)strlen(command));
    return answer(b);
}

static void dial(struct bench *b)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", b->socket);
    b->qmp = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(b->qmp, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_non_null(strstr(answer(b), "\"QMP\""));
    assert_non_null(strstr(ask(b, "{\"execute\":\"qmp_capabilities\",\"id\":2020372737}\r\n"), "2020372737"));
}

/* libxl attaches the descriptor to the first byte of the command. Returns the set's number. */
static int add_fd(struct bench *b, const char *path, const char *opaque)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct iovec first = { "{", 1 };
    struct msghdr msg = {
        .msg_iov = &first, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
    };
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    int fd = open(path, O_RDONLY | O_CLOEXEC), set = -1;
    assert_true(fd >= 0);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    assert_int_equal(sendmsg(b->qmp, &msg, 0), 1);
    close(fd);
    ask(b, "\"execute\":\"add-fd\",\"id\":2020372739,\"arguments\":{\"opaque\":\"%s\"}}\r\n", opaque);
    const char *number = strstr(b->line, "\"fdset-id\": ");
    assert_non_null(number);
    assert_int_equal(sscanf(number, "\"fdset-id\": %d", &set), 1);
    return set;
}

static const char *eject(struct bench *b)
{
    assert_non_null(strstr(ask(b, "{\"execute\":\"query-version\",\"id\":2020372736}\r\n"), "\"major\": 7"));
    return ask(b, "{\"execute\":\"eject\",\"id\":2020372738,\"arguments\":{\"id\":\"ide-5632\"}}\r\n");
}

static const char *change(struct bench *b, int set, const char *format)
{
    return ask(b, "{" CHANGE "\"filename\":\"/dev/fdset/%d\",\"format\":\"%s\"}}\r\n", set, format);
}

static void succeeds(const char *line)
{
    assert_non_null(strstr(line, "\"return\": {}"));
}

static void fails(const char *line, const char *why)
{
    assert_non_null(strstr(line, "\"class\": \"GenericError\""));
    if (!strstr(line, why))
        fail_msg("%s\nis not: %s", line, why);
}

/* A whole xl cd-insert: one connection. */
static void insert(struct bench *b, const char *path)
{
    char opaque[160];
    snprintf(opaque, sizeof(opaque), "raw:%s", path);
    succeeds(eject(b));
    succeeds(change(b, add_fd(b, path, opaque), "raw"));
}

static void redial(struct bench *b)
{
    close(b->qmp);
    dial(b);
}

/* --- The guest --- */

static unsigned in(struct bench *b, uint16_t port, unsigned size)
{
    bool ok = true;
    uint64_t val = player_port(b->p, port, size, true, 0, false, &ok);
    assert_true(ok);
    return (unsigned)(val & (size == 1 ? 0xff : 0xffff));
}

static void out(struct bench *b, uint16_t port, unsigned size, unsigned val)
{
    bool ok = true;
    player_port(b->p, port, size, false, val, false, &ok);
    assert_true(ok);
}

static unsigned settled(struct bench *b)
{
    uint64_t end = player_now_ns() + UINT64_C(1000000) * WAIT_MS;
    unsigned status = in(b, COMMAND, 1);
    for (; (status & BUSY) && player_now_ns() < end; status = in(b, COMMAND, 1))
        usleep(1000);
    assert_false(status & BUSY);
    return status;
}

/* A packet by PIO. Bytes that came, or -1: check condition. */
static int packet(struct bench *b, const uint8_t cdb[12], uint8_t *to, unsigned max)
{
    unsigned got = 0, status;
    out(b, DEVICE, 1, 0xa0);
    out(b, FEATURES, 1, 0);
    out(b, MID, 1, 0xfe);
    out(b, HIGH, 1, 0xff);
    out(b, COMMAND, 1, PACKET);
    assert_true(settled(b) & DRQ);
    for (unsigned i = 0; i < 12; i += 2)
        out(b, DATA, 2, cdb[i] | cdb[i + 1] << 8);
    while ((status = settled(b)) & DRQ) {
        unsigned bytes = in(b, MID, 1) | in(b, HIGH, 1) << 8;
        assert_true(got + bytes <= max);
        for (unsigned i = 0; i < bytes; i += 2, got += 2) {
            unsigned word = in(b, DATA, 2);
            to[got] = (uint8_t)word;
            to[got + 1] = (uint8_t)(word >> 8);
        }
    }
    return status & ERR ? -1 : (int)got;
}

/* What TEST UNIT READY says: 0, or the sense as 0xKCCQQ. */
static unsigned ready(struct bench *b)
{
    const uint8_t test[12] = { 0 }, sense[12] = { 0x03, 0, 0, 0, 18 };
    uint8_t data[18] = { 0 };
    if (packet(b, test, NULL, 0) == 0)
        return 0;
    assert_int_equal(packet(b, sense, data, sizeof(data)), 18);
    return (unsigned)(data[2] << 16 | data[12] << 8 | data[13]);
}

/* The medium's event, as an operating system polls for it [MMC, GET EVENT STATUS NOTIFICATION]. */
static unsigned media_event(struct bench *b)
{
    const uint8_t poll_media[12] = { 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8 };
    uint8_t data[8] = { 0 };
    assert_int_equal(packet(b, poll_media, data, sizeof(data)), 8);
    return data[4] & 0x0f;
}

static void prevent(struct bench *b, bool locked)
{
    const uint8_t cdb[12] = { 0x1e, 0, 0, 0, locked };
    assert_int_equal(packet(b, cdb, NULL, 0), 0);
}

static void guest_opens_tray(struct bench *b, unsigned sense)
{
    const uint8_t open_tray[12] = { 0x1b, 0, 0, 0, 2 }, ask_sense[12] = { 0x03, 0, 0, 0, 18 };
    uint8_t data[18] = { 0 };
    assert_int_equal(packet(b, open_tray, NULL, 0), sense ? -1 : 0);
    if (sense) {
        assert_int_equal(packet(b, ask_sense, data, sizeof(data)), 18);
        assert_int_equal(data[2] << 16 | data[12] << 8 | data[13], sense);
    }
}

/* Block 3 of image n: the drive is ready. */
static void reads(struct bench *b, unsigned n)
{
    const uint8_t cdb[12] = { 0x28, 0, 0, 0, 0, 3, 0, 0, 1 };
    uint8_t data[BLOCK] = { 0 };
    assert_int_equal(packet(b, cdb, data, BLOCK), BLOCK);
    for (unsigned i = 0; i < BLOCK; i++)
        assert_int_equal(data[i], (uint8_t)('A' + n + 3));
}

/* Guests that don't poll for events see an empty drive, then a changed medium, then read. */
static void sees_a_change_to(struct bench *b, unsigned n)
{
    assert_int_equal(ready(b), EMPTY);
    assert_int_equal(ready(b), CHANGED);
    assert_int_equal(ready(b), 0);
    reads(b, n);
}

/* Those that have read the event need no empty drive; the event is one for the whole change. */
static void is_told_of_a_change_to(struct bench *b, unsigned n)
{
    assert_int_equal(media_event(b), EVENT_NEW_MEDIUM);
    assert_int_equal(media_event(b), EVENT_NONE);
    assert_int_equal(ready(b), CHANGED);
    assert_int_equal(ready(b), 0);
    reads(b, n);
}

/* --- The start --- */

static void make(const char *name, unsigned n, char path[128])
{
    uint8_t block[BLOCK];
    snprintf(path, 128, "%s/%s", folder, name);
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    for (unsigned i = 0; i < ISO_BYTES / BLOCK; i++) {
        memset(block, (int)('A' + n + i), BLOCK);
        assert_int_equal(write(fd, block, BLOCK), BLOCK);
    }
    close(fd);
}

/* The socket is inherited, as libxl does it: the same in a chroot. */
static int listen_at(const char path[108])
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static struct bench *bench_new(bool confined, const char *drive)
{
    struct bench *b = calloc(1, sizeof(*b));
    assert_non_null(b);
    char chardev[64];
    b->confined = confined;
    make("one.iso", 0, b->path[0]);
    make("two.iso", 1, b->path[1]);
    snprintf(b->socket, sizeof(b->socket), "%s/qmp", folder);
    snprintf(b->root, sizeof(b->root), "%s/root", folder);
    assert_int_equal(mkdir(b->root, 0), 0);
    int fd = listen_at(b->socket);
    snprintf(chardev, sizeof(chardev), "socket,id=libxl-cmd,fd=%d,server=on,wait=off", fd);
    const char *argv[MAX_ARGS] = { program,
                                   "-xen-domid",
                                   "1",
                                   "-S",
                                   "-no-shutdown",
                                   "-nodefaults",
                                   "-chardev",
                                   chardev,
                                   "-mon",
                                   "chardev=libxl-cmd,mode=control",
                                   "-machine",
                                   "xenfv",
                                   "-m",
                                   "240",
                                   "-display",
                                   "none",
                                   "-vnc",
                                   "none",
                                   "-net",
                                   "none",
                                   "-drive",
                                   drive,
                                   "-device",
                                   "ide-cd,id=ide-5632,drive=ide-5632,bus=ide.1,unit=0" };
    static const char *const jail[] = { "-xen-domid-restrict", "-sandbox", "on", "-runas", "65534:65534", "-chroot" };
    unsigned n = 0;
    while (argv[n])
        n++;
    for (unsigned i = 0; confined && i < (geteuid() == 0 ? 6 : 3); i++)
        argv[n++] = jail[i];
    if (confined && geteuid() == 0)
        argv[n++] = b->root;
    /* A sanitizer's leak check at the end makes system calls that a locked-up process may not make. */
    const char *old = getenv("ASAN_OPTIONS");
    char *kept = old ? strdup(old) : NULL;
    if (confined)
        setenv("ASAN_OPTIONS", "verify_asan_link_order=0:detect_leaks=0", 1);
    b->p = player_start((char *const *)(uintptr_t)argv, fake_xen, NULL, -1);
    if (kept)
        setenv("ASAN_OPTIONS", kept, 1);
    free(kept);
    close(fd);
    assert_non_null(b->p);
    dial(b);
    succeeds(ask(b, "{\"execute\":\"cont\",\"id\":1}\r\n"));
    return b;
}

static const char empty_drive[] = "if=none,readonly=on,id=ide-5632";

static int set_up_free(void **state)
{
    *state = bench_new(false, empty_drive);
    return 0;
}

static int set_up_confined(void **state)
{
    *state = bench_new(true, empty_drive);
    return 0;
}

static int tear_down(void **state)
{
    struct bench *b = *state;
    close(b->qmp);
    int status = player_end(b->p, SIGTERM, WAIT_MS);
    unlink(b->socket);
    rmdir(b->root);
    free(b);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

/* --- List 8.4 --- */

/* 1: by the id of the -device, as libxl does, or of the -drive. */
static void drives_have_ids(void **state)
{
    struct bench *b = *state;
    succeeds(ask(b, "{\"execute\":\"eject\",\"id\":1,\"arguments\":{\"id\":\"ide-5632\"}}"));
    succeeds(ask(b, "{\"execute\":\"eject\",\"id\":1,\"arguments\":{\"device\":\"ide-5632\",\"force\":true}}"));
    assert_non_null(strstr(ask(b, "{\"execute\":\"eject\",\"id\":1,\"arguments\":{\"id\":\"ide-768\"}}"),
                           "{\"class\": \"DeviceNotFound\", \"desc\": \"Device 'ide-768' not found\"}"));
    int set = add_fd(b, b->path[0], "raw:/one.iso");
    assert_non_null(strstr(ask(b,
                               "{\"execute\":\"blockdev-change-medium\",\"id\":1,\"arguments\":{\"id\":\"hdc\","
                               "\"filename\":\"/dev/fdset/%d\",\"format\":\"raw\"}}",
                               set),
                           "DeviceNotFound"));
    succeeds(change(b, set, "raw"));
    sees_a_change_to(b, 0);
}

/* 2: what is in the drive goes, twice over too; query-block says how it is. */
static void empty_and_open_trays_are_ejected(void **state)
{
    struct bench *b = *state;
    assert_int_equal(ready(b), EMPTY);
    succeeds(eject(b));
    assert_string_equal(b->moves, "o");
    succeeds(eject(b));
    assert_string_equal(b->moves, "o");
    assert_non_null(strstr(ask(b, "{\"execute\":\"query-block\",\"id\":1}"), "\"tray_open\": true"));
    assert_null(strstr(b->line, "\"inserted\""));
    insert(b, b->path[0]);
    assert_non_null(strstr(ask(b, "{\"execute\":\"query-block\",\"id\":1}"), "\"tray_open\": false"));
    assert_non_null(strstr(b->line, b->path[0])); /* the path, not the set: libxenstat looks for it */
    assert_non_null(strstr(b->line, "\"virtual-size\": 131072"));
    succeeds(eject(b));
    assert_null(strstr(ask(b, "{\"execute\":\"query-block\",\"id\":1}"), "\"inserted\""));
    assert_int_equal(ready(b), OPEN);
}

/* 2: a tray that the guest locked stays in, and the guest is asked; it may open it, then or when it is forced. */
static void a_locked_tray_stays_until_the_guest_opens_it(void **state)
{
    struct bench *b = *state;
    static const char why[] =
        "Device 'ide-5632' is locked and force was not specified, wait for tray to open and try again";
    insert(b, b->path[0]);
    sees_a_change_to(b, 0);
    while (media_event(b) != EVENT_NONE)
        continue;
    prevent(b, true);
    b->moves[0] = '\0';
    fails(eject(b), why);
    assert_int_equal(media_event(b), EVENT_EJECT_REQUEST);
    assert_int_equal(media_event(b), EVENT_NONE);
    assert_non_null(strstr(ask(b, "{\"execute\":\"query-block\",\"id\":1}"), "\"locked\": true"));
    assert_non_null(strstr(b->line, "\"tray_open\": false"));
    int set = add_fd(b, b->path[1], "raw:/two.iso");
    fails(change(b, set, "raw"), why);
    reads(b, 0);
    guest_opens_tray(b, LOCKED);
    assert_string_equal(b->moves, "");
    prevent(b, false);
    guest_opens_tray(b, 0);
    assert_non_null(strstr(ask(b, "{\"execute\":\"query-block\",\"id\":1}"), "\"tray_open\": true"));
    assert_string_equal(b->moves, "o");
    insert(b, b->path[1]);
    sees_a_change_to(b, 1);
    prevent(b, true);
    set = add_fd(b, b->path[0], "raw:/one.iso");
    succeeds(ask(b, "{" CHANGE "\"filename\":\"/dev/fdset/%d\",\"force\":true}}", set));
    sees_a_change_to(b, 0);
    succeeds(ask(b, "{\"execute\":\"eject\",\"id\":1,\"arguments\":{\"id\":\"ide-5632\",\"force\":true}}"));
    assert_string_equal(b->moves, "ococo");
}

/* 3, 4, 6: the sequence of libxl; the guest sees the medium go and come, by polling and by sense. */
static void a_medium_is_put_in_and_changed(void **state)
{
    struct bench *b = *state;
    insert(b, b->path[0]);
    assert_string_equal(b->moves, "oc");
    is_told_of_a_change_to(b, 0);
    redial(b);
    insert(b, b->path[1]); /* over one that is there */
    assert_string_equal(b->moves, "ococ");
    is_told_of_a_change_to(b, 1);
    redial(b);
    succeeds(change(b, add_fd(b, b->path[0], "raw:/one.iso"), "raw")); /* without an eject before: it's part of it */
    assert_string_equal(b->moves, "ocococ");
    sees_a_change_to(b, 0);
    redial(b);
    succeeds(eject(b));
    assert_int_equal(media_event(b), EVENT_REMOVED);
    assert_int_equal(ready(b), OPEN);
}

/* A step after the eject fails: the drive is empty, and the next try works. */
static void a_failed_insert_leaves_the_drive_empty(void **state)
{
    struct bench *b = *state;
    insert(b, b->path[0]);
    succeeds(eject(b));
    fails(ask(b, "{" CHANGE "\"filename\":\"/dev/fdset/5\",\"format\":\"raw\"}}"),
          "there is no descriptor set /dev/fdset/5");
    fails(change(b, add_fd(b, folder, "raw:/folder"), "raw"), "Could not open '/folder': Is a directory");
    assert_null(strstr(ask(b, "{\"execute\":\"query-block\",\"id\":1}"), "\"inserted\""));
    assert_int_equal(ready(b), OPEN);
    insert(b, b->path[1]);
    sees_a_change_to(b, 1);
}

static unsigned open_fds(const struct bench *b)
{
    char path[64];
    unsigned n = 0;
    snprintf(path, sizeof(path), "/proc/%d/fd", b->p->pid);
    DIR *d = opendir(path);
    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

/* 3: libxl never removes a set; it goes with the connection. */
static void changes_leave_no_descriptor(void **state)
{
    struct bench *b = *state;
    insert(b, b->path[0]);
    redial(b);
    assert_non_null(strstr(ask(b, "{\"execute\":\"query-fdsets\",\"id\":1}"), "\"return\": []"));
    unsigned before = open_fds(b);
    for (unsigned i = 0; i < 40; i++) {
        insert(b, b->path[i % 2]);
        redial(b);
    }
    assert_non_null(strstr(ask(b, "{\"execute\":\"query-fdsets\",\"id\":1}"), "\"return\": []"));
    assert_int_equal(open_fds(b), before);
    sees_a_change_to(b, 1);
}

/* The stub domain's and xenopsd's way: the set is looked for by its opaque, and removed while the medium stays. */
static void sets_are_found_and_removed(void **state)
{
    struct bench *b = *state;
    int set = add_fd(b, b->path[0], "stub-devid:5632");
    assert_non_null(strstr(ask(b, "{\"execute\":\"query-fdsets\",\"id\":1}"), "\"opaque\": \"stub-devid:5632\""));
    succeeds(change(b, set, "host_device"));
    succeeds(ask(b, "{\"execute\":\"remove-fd\",\"id\":1,\"arguments\":{\"fdset-id\":%d}}", set));
    fails(ask(b, "{\"execute\":\"remove-fd\",\"id\":1,\"arguments\":{\"fdset-id\":%d}}", set),
          "no such descriptor set");
    sees_a_change_to(b, 0);
}

static bool has_image_tools(void)
{
    return access("/usr/bin/qemu-img", X_OK) == 0 && access("/usr/bin/qemu-nbd", X_OK) == 0;
}

/* An image of a format, as xl cd-insert D hdc qcow2:FILE opens it. */
static void convert(const struct bench *b, char path[128])
{
    int status = -1;
    snprintf(path, 128, "%s/cd.qcow2", folder);
    pid_t pid = fork();
    if (pid == 0) {
        execl("/usr/bin/qemu-img", "qemu-img", "convert", "-q", "-fraw", "-Oqcow2", b->path[1], path, NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* 3: other formats by the helper, by path and by descriptor; 5: locked up, a clear refusal and an empty drive. */
static void an_image_format(void **state)
{
    struct bench *b = *state;
    char path[128];
    static const char why[] = "under -sandbox and -chroot media must be raw and come by add-fd";
    if (!has_image_tools())
        skip();
    convert(b, path);
    succeeds(eject(b));
    int set = add_fd(b, path, "qcow2:/cd.qcow2");
    if (b->confined) {
        fails(change(b, set, "qcow2"), why);
        fails(ask(b, "{" CHANGE "\"filename\":\"nbd:unix:/nbd\"}}"), why);
        assert_null(strstr(ask(b, "{\"execute\":\"query-block\",\"id\":1}"), "\"inserted\""));
        insert(b, b->path[0]);
        sees_a_change_to(b, 0);
        return;
    }
    succeeds(change(b, set, "qcow2"));
    sees_a_change_to(b, 1);
    assert_non_null(strstr(ask(b, "{\"execute\":\"query-block\",\"id\":1}"), "\"drv\": \"qcow2\""));
    assert_non_null(strstr(b->line, "\"file\": \"/cd.qcow2\""));
    succeeds(ask(b, "{" CHANGE "\"filename\":\"%s\",\"format\":\"qcow2\",\"read-only-mode\":\"read-only\"}}", path));
    sees_a_change_to(b, 1);
    fails(ask(b, "{" CHANGE "\"filename\":\"%s\",\"format\":\"qcow3\"}}", path), "Could not open");
    fails(ask(b, "{" CHANGE "\"filename\":\"%s\",\"format\":\"vmdk\"}}", path), "Could not open"); /* it isn't one */
    reads(b, 1); /* what was there still is */
    insert(b, b->path[0]);
    sees_a_change_to(b, 0);
}

/* A file that is named, not passed: the simplest monitor's way; locked up it can't be. */
static void a_medium_by_path(void **state)
{
    struct bench *b = *state;
    const char *line = ask(b, "{" CHANGE "\"filename\":\"%s\"}}", b->path[0]);
    if (b->confined) {
        fails(line, "Could not open");
        return;
    }
    succeeds(line);
    sees_a_change_to(b, 0);
    fails(ask(b, "{" CHANGE "\"filename\":\"%s/none.iso\"}}", folder), "No such file or directory");
    reads(b, 0);
}

#define BOTH(test)                                                                                                     \
    { #test, test, set_up_free, tear_down, NULL },                                                                     \
    {                                                                                                                  \
#test " (confined)", test, set_up_confined, tear_down, NULL                                                    \
    }

int main(int argc, char *argv[])
{
    const struct CMUnitTest tests[] = {
        BOTH(drives_have_ids),
        BOTH(empty_and_open_trays_are_ejected),
        BOTH(a_locked_tray_stays_until_the_guest_opens_it),
        BOTH(a_medium_is_put_in_and_changed),
        BOTH(a_failed_insert_leaves_the_drive_empty),
        BOTH(changes_leave_no_descriptor),
        BOTH(sets_are_found_and_removed),
        BOTH(an_image_format),
        BOTH(a_medium_by_path),
    };
    if (argc != 3 || !mkdtemp(folder))
        return 2;
    program = argv[1];
    fake_xen = argv[2];
    signal(SIGPIPE, SIG_IGN);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    char path[128];
    for (unsigned i = 0; i < 3; i++) {
        static const char *const names[] = { "one.iso", "two.iso", "cd.qcow2" };
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        unlink(path);
    }
    rmdir(folder);
    return failed;
}
