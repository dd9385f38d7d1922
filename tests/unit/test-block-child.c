/* backends/linux/block-child*.c: images of every format behind a real qemu-nbd, and what that process can and can't do.
 */
#include "block-nbd-private.h"
#include "linux-world.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { IMAGE_BYTES = 4 << 20, SECTOR = 512 };
#define QEMU_IMG "/usr/bin/qemu-img"
#define QEMU_NBD "/usr/bin/qemu-nbd"

struct bench {
    struct world *w;
    struct block *block;
    uint8_t *mem, *image;
    unsigned done, fds;
    int err;
    char file[96];
};

static void done(struct block_req *req, int err)
{
    struct bench *b = req->opaque;
    b->done++;
    b->err = err;
}

static void fill(uint8_t *mem, size_t len, unsigned seed)
{
    for (size_t i = 0; i < len; i++)
        mem[i] = (uint8_t)(seed + i * 7 + (i >> 9) * 13);
}

static int setup(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    b->w = world_new();
    b->mem = malloc(IMAGE_BYTES);
    b->image = calloc(1, IMAGE_BYTES);
    (void)snprintf(b->file, sizeof(b->file), "%s", world_path(b->w, "image"));
    b->fds = world_fds();
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    block_close(b->block);
    assert_int_equal(world_fds(), b->fds);
    assert_true(waitpid(-1, NULL, WNOHANG) < 0 &&
                errno == ECHILD); /* nothing lives on, nothing is left to be waited for */
    world_free(b->w);
    free(b->mem);
    free(b->image);
    free(b);
    return 0;
}

/* qemu-img, with up to five arguments; its status. */
static int tool(const char *a, const char *b, const char *c, const char *d, const char *e)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        (void)dup2(null, 1);
        (void)dup2(null, 2);
        (void)execl(QEMU_IMG, "qemu-img", a, b, c, d, e, NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void create(struct bench *b, const char *format)
{
    assert_int_equal(tool("create", "-f", format, b->file, "4M"), 0);
}

static int open_image(struct bench *b, struct block_open open)
{
    open.path = b->file;
    open.fd = -1;
    open.lock = true;
    if (!open.format)
        open.format = "qcow2";
    return b->w->host.host.block_open(&b->w->host.host, &open, &b->block);
}

static int run_one(struct bench *b, struct block_req *req)
{
    unsigned before = b->done;
    req->done = done;
    req->opaque = b;
    block_submit(b->block, req);
    for (int i = 0; i < 20000 && b->done == before; i++)
        assert_int_equal(loop_step(&b->w->loop, 1000000), 0);
    assert_int_equal(b->done, before + 1);
    return b->err;
}

static int transfer(struct bench *b, enum block_op op, uint64_t offset, void *mem, size_t len)
{
    struct vec vec = { mem, len };
    return run_one(b, &(struct block_req){ .op = op, .offset = offset, .len = len, .vec = &vec, .nvec = 1 });
}

static int flush(struct bench *b)
{
    return run_one(b, &(struct block_req){ .op = BLOCK_FLUSH });
}

static void close_image(struct bench *b)
{
    block_close(b->block);
    b->block = NULL;
}

static pid_t helper(struct bench *b)
{
    char path[64], line[64] = "";
    (void)snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && read(fd, line, sizeof(line) - 1) < 0)
        line[0] = '\0';
    if (fd >= 0)
        close(fd);
    return (pid_t)atoi(line);
}

static void every_format_keeps_what_is_written(void **state)
{
    static const char *const formats[] = { "qcow2", "qcow", "vpc", "vhdx", "vmdk", "vdi", "qed" };
    struct bench *b = *state;
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        create(b, formats[i]);
        assert_int_equal(open_image(b, (struct block_open){ .format = formats[i] }), 0);
        assert_true(b->block->size_bytes >= IMAGE_BYTES &&
                    b->block->size_bytes < IMAGE_BYTES + MIB); /* VHD rounds to a geometry */
        fill(b->image, 100 * KIB, (unsigned)i);
        assert_int_equal(transfer(b, BLOCK_WRITE, 3 * SECTOR, b->image, 100 * KIB), 0);
        assert_int_equal(flush(b), 0);
        close_image(b);
        assert_int_equal(open_image(b, (struct block_open){ .format = formats[i], .read_only = true }), 0);
        assert_int_equal(transfer(b, BLOCK_READ, 3 * SECTOR, b->mem, 100 * KIB), 0);
        assert_memory_equal(b->mem, b->image, 100 * KIB);
        assert_int_equal(transfer(b, BLOCK_READ, 2 * MIB, b->mem, SECTOR), 0);
        assert_true(b->mem[0] == 0 && b->mem[511] == 0);
        assert_int_equal(transfer(b, BLOCK_WRITE, 0, b->mem, SECTOR), -EROFS);
        close_image(b);
        assert_int_equal(b->w->lines, 0);
        assert_int_equal(unlink(b->file), 0);
    }
}

/* What a guest put at the beginning of a raw disk stays data, and what is no image of the format is refused. */
static void formats_are_never_guessed(void **state)
{
    struct bench *b = *state;
    create(b, "qcow2");
    assert_int_equal(open_image(b, (struct block_open){ .format = "raw" }), 0);
    assert_int_equal(transfer(b, BLOCK_READ, 0, b->mem, SECTOR), 0);
    assert_memory_equal(b->mem, "QFI\xfb", 4);
    close_image(b);
    assert_int_not_equal(open_image(b, (struct block_open){ .format = "vmdk" }), 0);
    assert_non_null(strstr(b->w->line, b->file));
    assert_non_null(strstr(b->w->line, "not opened"));
    assert_int_equal(unlink(b->file), 0);
    assert_int_equal(open_image(b, (struct block_open){ 0 }), -ENOENT);
    assert_int_equal(open_image(b, (struct block_open){ .format = "luks" }), -EINVAL);
}

static bool can_read(pid_t pid, const char *path)
{
    char below[160];
    (void)snprintf(below, sizeof(below), "/proc/%d/root%s", (int)pid, path);
    return access(below, F_OK) == 0;
}

static void read_status(pid_t pid, const char *key, char *value, size_t size)
{
    char path[64], text[4096];
    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;
    close(fd);
    text[len > 0 ? len : 0] = '\0';
    const char *at = strstr(text, key);
    assert_non_null(at);
    (void)snprintf(value, size, "%.*s", (int)strcspn(at + strlen(key), "\n"), at + strlen(key));
}

static bool other_space(pid_t pid, const char *kind)
{
    char path[64], ours[64] = "", its[64] = "";
    (void)snprintf(path, sizeof(path), "/proc/self/ns/%s", kind);
    assert_true(readlink(path, ours, sizeof(ours) - 1) > 0);
    (void)snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, kind);
    assert_true(readlink(path, its, sizeof(its) - 1) > 0);
    return strcmp(ours, its) != 0;
}

static void the_helper_is_confined(void **state)
{
    static const char *const spaces[] = { "mnt", "net", "ipc", "uts", "pid" };
    struct bench *b = *state;
    char value[64];
    create(b, "qcow2");
    assert_int_equal(open_image(b, (struct block_open){ 0 }), 0);
    pid_t pid = helper(b);
    assert_true(pid > 0);
    read_status(pid, "NoNewPrivs:\t", value, sizeof(value));
    assert_string_equal(value, "1");
    read_status(pid, "Seccomp:\t", value, sizeof(value));
    assert_string_equal(value, "2");
    if (b->w->lines > 0) {
        print_message("skipped: name spaces, they are refused here: %s\n", b->w->line);
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(spaces); i++)
        assert_true(other_space(pid, spaces[i]));
    assert_true(can_read(pid, b->file));
    assert_true(can_read(pid, "/usr/bin/qemu-nbd"));
    assert_false(can_read(pid, "/etc/passwd") || can_read(pid, "/proc/self") || can_read(pid, "/dev/zero") ||
                 can_read(pid, "/root") || can_read(pid, "/run"));
    if (geteuid() == 0) {
        read_status(pid, "Uid:\t", value, sizeof(value));
        assert_string_equal(value, "65534\t65534\t65534\t65534");
        read_status(pid, "CapEff:\t", value, sizeof(value));
        assert_string_equal(value, "0000000000000002"); /* to open what is somebody else's */
        read_status(pid, "CapBnd:\t", value, sizeof(value));
        assert_string_equal(value, "0000000000000002");
    }
}

/* A backing file beside the image is found, one that the header names elsewhere is not there. */
static void backing_files_come_from_the_same_folder(void **state)
{
    struct bench *b = *state;
    char base[96], options[200];
    (void)snprintf(base, sizeof(base), "%s", world_path(b->w, "base"));
    fill(b->image, IMAGE_BYTES, 5);
    int fd = open(base, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, b->image, IMAGE_BYTES), IMAGE_BYTES);
    close(fd);
    (void)snprintf(options, sizeof(options), "backing_file=base,backing_fmt=raw");
    assert_int_equal(tool("create", "-fqcow2", "-o", options, b->file), 0);
    assert_int_equal(open_image(b, (struct block_open){ 0 }), 0);
    fill(b->mem, SECTOR, 77);
    assert_int_equal(transfer(b, BLOCK_WRITE, 0, b->mem, SECTOR), 0);
    memcpy(b->image, b->mem, SECTOR);
    assert_int_equal(transfer(b, BLOCK_READ, 0, b->mem, IMAGE_BYTES), 0);
    assert_memory_equal(b->mem, b->image, IMAGE_BYTES);
    close_image(b);
    static const char *const elsewhere[] = { "-b/etc/hostname",
                                             "-bjson:{\"driver\":\"file\",\"filename\":\"/etc/hostname\"}",
                                             "-bnbd://127.0.0.1/", "-b/dev/zero", "-b/proc/self/mem" };
    for (size_t i = 0; i < ARRAY_SIZE(elsewhere); i++) {
        assert_int_equal(tool("rebase", "-u", elsewhere[i], "-Fraw", b->file), 0);
        assert_int_not_equal(open_image(b, (struct block_open){ 0 }), 0);
        assert_non_null(strstr(b->w->line, "not opened"));
    }
}

/* The helper's root is put together where this image lies. */
static void an_image_may_lie_in_tmp(void **state)
{
    struct bench *b = *state;
    (void)snprintf(b->file, sizeof(b->file), "/tmp/thindm-image-%d", (int)getpid());
    create(b, "qcow2");
    int err = open_image(b, (struct block_open){ 0 });
    fill(b->image, SECTOR, 3);
    if (!err)
        err = transfer(b, BLOCK_WRITE, 0, b->image, SECTOR);
    (void)unlink(b->file);
    assert_int_equal(err, 0);
}

static void two_writers_are_refused(void **state)
{
    struct bench *b = *state;
    struct block *first;
    create(b, "qcow2");
    assert_int_equal(open_image(b, (struct block_open){ 0 }), 0);
    first = b->block;
    b->block = NULL;
    assert_int_not_equal(open_image(b, (struct block_open){ 0 }), 0);
    assert_non_null(strstr(b->w->line, "lock"));
    block_close(first);
    assert_int_equal(open_image(b, (struct block_open){ 0 }), 0);
}

/* A raw disk of ours against QEMU's own tools. */
static void stock_tools_see_our_lock(void **state)
{
    struct bench *b = *state;
    create(b, "raw");
    assert_int_equal(open_image(b, (struct block_open){ .format = "raw" }), 0);
    assert_int_not_equal(tool("resize", "-fraw", b->file, "8M", NULL), 0);
    close_image(b);
    assert_int_equal(tool("resize", "-fraw", b->file, "8M", NULL), 0);
}

static void a_helper_that_dies_is_replaced_once(void **state)
{
    struct bench *b = *state;
    create(b, "qcow2");
    assert_int_equal(open_image(b, (struct block_open){ 0 }), 0);
    fill(b->image, 64 * KIB, 3);
    assert_int_equal(transfer(b, BLOCK_WRITE, 0, b->image, 64 * KIB), 0);
    assert_int_equal(flush(b), 0);
    assert_int_equal(kill(helper(b), SIGKILL), 0);
    assert_int_equal(transfer(b, BLOCK_READ, 0, b->mem, 64 * KIB), 0);
    assert_memory_equal(b->mem, b->image, 64 * KIB); /* what was flushed is there */
    assert_non_null(strstr(b->w->line, "connection is back"));
    assert_int_equal(flush(b), 0);
    assert_int_equal(kill(helper(b), SIGKILL), 0);
    assert_int_equal(transfer(b, BLOCK_READ, 0, b->mem, SECTOR), -EIO);
    assert_non_null(strstr(b->w->line, "soon after a restart"));
    assert_int_equal(transfer(b, BLOCK_WRITE, 0, b->mem, SECTOR), -EIO);
    assert_int_equal(flush(b), -EIO);
}

/* Its caches went with it: a flush must not say that all is well. */
static void unflushed_data_of_a_dead_helper_are_not_hidden(void **state)
{
    struct bench *b = *state;
    create(b, "qcow2");
    assert_int_equal(open_image(b, (struct block_open){ 0 }), 0);
    fill(b->image, 64 * KIB, 3);
    assert_int_equal(transfer(b, BLOCK_WRITE, 0, b->image, 64 * KIB), 0);
    assert_int_equal(kill(helper(b), SIGKILL), 0);
    assert_int_equal(transfer(b, BLOCK_READ, 1 * MIB, b->mem, SECTOR), 0);
    assert_int_equal(flush(b), -EIO);
}

static void discarded_space_is_given_back(void **state)
{
    struct bench *b = *state;
    struct stat before, after;
    create(b, "qcow2");
    assert_int_equal(open_image(b, (struct block_open){ .discard = true }), 0);
    assert_true(b->block->discard);
    fill(b->image, IMAGE_BYTES, 3);
    assert_int_equal(transfer(b, BLOCK_WRITE, 0, b->image, IMAGE_BYTES), 0);
    assert_int_equal(flush(b), 0);
    assert_int_equal(stat(b->file, &before), 0);
    assert_int_equal(run_one(b, &(struct block_req){ .op = BLOCK_DISCARD, .offset = 0, .len = IMAGE_BYTES }), 0);
    assert_int_equal(flush(b), 0);
    assert_int_equal(stat(b->file, &after), 0);
    assert_true(after.st_blocks <= before.st_blocks);
    assert_int_equal(transfer(b, BLOCK_READ, 0, b->mem, SECTOR), 0);
    assert_int_equal(b->mem[0], 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_format_keeps_what_is_written),
        TEST(formats_are_never_guessed),
        TEST(the_helper_is_confined),
        TEST(backing_files_come_from_the_same_folder),
        TEST(an_image_may_lie_in_tmp),
        TEST(two_writers_are_refused),
        TEST(stock_tools_see_our_lock),
        TEST(a_helper_that_dies_is_replaced_once),
        TEST(unflushed_data_of_a_dead_helper_are_not_hidden),
        TEST(discarded_space_is_given_back),
    };
    if (access(QEMU_NBD, X_OK) != 0 || access(QEMU_IMG, X_OK) != 0) {
        print_message("skipped: no qemu-nbd here\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
