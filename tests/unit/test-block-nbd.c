/*
 * backends/linux/block-nbd*.c against real servers: nbdkit and qemu-nbd as separate processes on a socket in the test's
 * folder, killed and started again; and a server of our own that lies.
 */
#include "block-nbd-private.h"
#include "linux-world.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

enum { IMAGE_BYTES = 1 << 20, SECTOR = 512, MANY = 100 };
#define NBDKIT "/usr/bin/nbdkit"

struct bench {
    struct world *w;
    struct block *block;
    pid_t server;
    uint8_t *mem, *image;
    unsigned done, fds;
    int err;
    char target[160], socket[96], file[96];
};

static void done(struct block_req *req, int err)
{
    struct bench *b = req->opaque;
    b->done++;
    b->err = err ? err : b->err;
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
    b->image = malloc(IMAGE_BYTES);
    fill(b->image, IMAGE_BYTES, 1);
    (void)snprintf(b->file, sizeof(b->file), "%s", world_path(b->w, "image"));
    (void)snprintf(b->socket, sizeof(b->socket), "%s", world_path(b->w, "socket"));
    (void)snprintf(b->target, sizeof(b->target), "nbd:unix:%s", b->socket);
    int fd = open(b->file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, b->image, IMAGE_BYTES), IMAGE_BYTES);
    close(fd);
    b->fds = world_fds();
    *state = b;
    return 0;
}

static void stop(struct bench *b)
{
    if (b->server > 0) {
        (void)kill(b->server, SIGKILL);
        (void)waitpid(b->server, NULL, 0);
    }
    b->server = 0;
    (void)unlink(b->socket);
}

static int teardown(void **state)
{
    struct bench *b = *state;
    block_close(b->block);
    stop(b);
    assert_int_equal(world_fds(), b->fds);
    world_free(b->w);
    free(b->mem);
    free(b->image);
    free(b);
    return 0;
}

/* Returns when it listens. */
static void serve(struct bench *b, const char *const args[])
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    (void)snprintf(un.sun_path, sizeof(un.sun_path), "%s", b->socket);
    b->server = fork();
    if (b->server == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        int null = open("/dev/null", O_RDWR);
        (void)dup2(null, 2);
        (void)execv(args[0], (char *const *)(uintptr_t)args);
        _exit(127);
    }
    bool there = false;
    for (int i = 0; i < 5000 && !there; i++) {
        assert_int_equal(waitpid(b->server, NULL, WNOHANG), 0);
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        there = connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0;
        close(fd);
        if (!there)
            (void)usleep(1000);
    }
    assert_true(there);
}

/* nbdkit with up to four more arguments: its filters before the plug-in's name, parameters behind. */
static void serve_file(struct bench *b, const char *filter, const char *parameter)
{
    const char *args[16] = { NBDKIT, "-f", "-U", b->socket };
    unsigned n = 4;
    char file[120];
    (void)snprintf(file, sizeof(file), "file=%s", b->file);
    if (filter && filter[0] == '-')
        args[n++] = filter;
    else if (filter) {
        args[n++] = "--filter";
        args[n++] = filter;
    }
    args[n++] = "file";
    args[n++] = file;
    if (parameter)
        args[n++] = parameter;
    serve(b, args);
}

static int open_disk(struct bench *b, struct block_open open)
{
    if (!open.path)
        open.path = b->target;
    open.fd = -1;
    return b->w->host.host.block_open(&b->w->host.host, &open, &b->block);
}

static void submit(struct bench *b, struct block_req *req)
{
    unsigned before = b->done;
    req->done = done;
    req->opaque = b;
    block_submit(b->block, req);
    assert_int_equal(b->done, before);
}

static void wait_for(struct bench *b, unsigned nr)
{
    for (int i = 0; i < 3000 && b->done < nr; i++)
        assert_int_equal(loop_step(&b->w->loop, 1000000), 0);
    assert_int_equal(b->done, nr);
}

static int run_one(struct bench *b, struct block_req *req)
{
    b->err = 0;
    submit(b, req);
    wait_for(b, b->done + 1);
    return b->err;
}

static int transfer(struct bench *b, enum block_op op, uint64_t offset, void *mem, size_t len)
{
    struct vec vec = { mem, len };
    return run_one(b, &(struct block_req){ .op = op, .offset = offset, .len = len, .vec = &vec, .nvec = 1 });
}

static int command(struct bench *b, enum block_op op, uint64_t offset, uint64_t len)
{
    return run_one(b, &(struct block_req){ .op = op, .offset = offset, .len = len });
}

static void assert_image(struct bench *b)
{
    uint8_t *now = malloc(IMAGE_BYTES + 1);
    int fd = open(b->file, O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, now, IMAGE_BYTES + 1), IMAGE_BYTES);
    close(fd);
    assert_memory_equal(now, b->image, IMAGE_BYTES);
    free(now);
}

static void write_both(struct bench *b, uint64_t offset, uint8_t *mem, size_t len)
{
    assert_int_equal(transfer(b, BLOCK_WRITE, offset, mem, len), 0);
    memcpy(b->image + offset, mem, len);
}

/* --- A server that does what it should --- */

static void reads_writes_flushes_and_discards(void **state)
{
    struct bench *b = *state;
    serve_file(b, NULL, NULL);
    assert_int_equal(open_disk(b, (struct block_open){ .discard = true }), 0);
    assert_int_equal(b->block->size_bytes, IMAGE_BYTES);
    assert_true(b->block->discard && !b->block->read_only);
    assert_int_equal(transfer(b, BLOCK_READ, 0, b->mem, IMAGE_BYTES), 0);
    assert_memory_equal(b->mem, b->image, IMAGE_BYTES);
    fill(b->mem, IMAGE_BYTES, 99);
    write_both(b, 5 * SECTOR, b->mem, 3 * SECTOR);
    write_both(b, 256 * KIB, b->mem + 1, 300 * KIB);
    write_both(b, IMAGE_BYTES - SECTOR, b->mem + 3, SECTOR);
    assert_int_equal(command(b, BLOCK_FLUSH, 0, 0), 0);
    assert_image(b);
    assert_int_equal(command(b, BLOCK_DISCARD, 64 * KIB, 64 * KIB), 0);
    assert_int_equal(transfer(b, BLOCK_READ, 64 * KIB, b->mem, 64 * KIB), 0);
    assert_true(b->mem[0] == 0 || b->mem[0] == b->image[64 * KIB]); /* a file system without holes keeps them */
    assert_int_equal(b->w->lines, 0);
    assert_true(world_sleeps(b->w, 3));
}

static void scattered_memory_is_gathered(void **state)
{
    struct bench *b = *state;
    enum { NR = 1500 };
    struct vec *vec = calloc(NR + 2, sizeof(*vec));
    size_t len = 0, n = 0;
    serve_file(b, NULL, NULL);
    vec[n++] = (struct vec){ b->mem, 0 };
    for (size_t i = 0; i < NR; i++) {
        vec[n++] = (struct vec){ b->mem + len, i % 2 ? 100 : 412 };
        len += vec[n - 1].len;
    }
    vec[n++] = (struct vec){ b->mem, 0 };
    assert_int_equal(open_disk(b, (struct block_open){ 0 }), 0);
    struct block_req req = { .op = BLOCK_READ, .offset = SECTOR, .len = len, .vec = vec, .nvec = n };
    assert_int_equal(run_one(b, &req), 0);
    assert_memory_equal(b->mem, b->image + SECTOR, len);
    fill(b->mem, len, 42);
    req = (struct block_req){ .op = BLOCK_WRITE, .offset = 7 * SECTOR, .len = len, .vec = vec, .nvec = n };
    assert_int_equal(run_one(b, &req), 0);
    memcpy(b->image + 7 * SECTOR, b->mem, len);
    assert_image(b);
    free(vec);
}

static void submit_many(struct bench *b, struct block_req *reqs, struct vec *vecs)
{
    for (size_t i = 0; i < MANY; i++) {
        vecs[i] = (struct vec){ b->mem + i * SECTOR, SECTOR };
        reqs[i] = (struct block_req){
            .op = BLOCK_WRITE, .offset = i * 2 * SECTOR, .len = SECTOR, .vec = &vecs[i], .nvec = 1
        };
        memcpy(b->image + i * 2 * SECTOR, b->mem + i * SECTOR, SECTOR);
        submit(b, &reqs[i]);
    }
}

static void many_at_once(void **state)
{
    struct bench *b = *state;
    struct block_req reqs[MANY];
    struct vec vecs[MANY];
    serve_file(b, NULL, NULL);
    fill(b->mem, IMAGE_BYTES, 3);
    assert_int_equal(open_disk(b, (struct block_open){ 0 }), 0);
    submit_many(b, reqs, vecs);
    wait_for(b, MANY);
    assert_int_equal(b->err, 0);
    assert_image(b);
    submit_many(b, reqs, vecs);
    block_close(b->block); /* finishes them */
    b->block = NULL;
    assert_int_equal(b->done, 2 * MANY);
    assert_int_equal(b->err, 0);
}

/* Blocks of 4096 bytes behind sectors of 512: read, change, write, and nothing beside it. */
static void small_sectors_on_large_blocks(void **state)
{
    struct bench *b = *state;
    struct block_req reqs[MANY];
    struct vec vecs[MANY];
    const char *args[] = { NBDKIT,
                           "-f",
                           "-U",
                           b->socket,
                           "--filter",
                           "blocksize-policy",
                           "file",
                           b->file,
                           "blocksize-minimum=4096",
                           "blocksize-error-policy=error",
                           NULL };
    serve(b, args);
    fill(b->mem, IMAGE_BYTES, 9);
    assert_int_equal(open_disk(b, (struct block_open){ 0 }), 0);
    assert_int_equal(container_of(b->block, struct nbd_disk, block)->unit, 4096);
    submit_many(b, reqs, vecs);
    wait_for(b, MANY);
    assert_int_equal(b->err, 0);
    write_both(b, 3 * SECTOR, b->mem, 300 * KIB);
    assert_int_equal(transfer(b, BLOCK_READ, SECTOR, b->mem, 77 * SECTOR), 0);
    assert_memory_equal(b->mem, b->image + SECTOR, 77 * SECTOR);
    assert_image(b);
}

static void read_only_exports(void **state)
{
    struct bench *b = *state;
    serve_file(b, "-r", NULL);
    assert_int_not_equal(open_disk(b, (struct block_open){ 0 }), 0);
    assert_non_null(strstr(b->w->line, "the export is read-only, the disk is not"));
    assert_int_equal(open_disk(b, (struct block_open){ .read_only = true, .discard = true }), 0);
    assert_false(b->block->discard);
    assert_int_equal(transfer(b, BLOCK_WRITE, 0, b->mem, SECTOR), -EROFS);
    assert_int_equal(transfer(b, BLOCK_READ, 0, b->mem, SECTOR), 0);
}

static void all_cache_modes_work(void **state)
{
    struct bench *b = *state;
    static const enum block_cache caches[] = { BLOCK_WRITEBACK, BLOCK_WRITETHROUGH, BLOCK_NONE, BLOCK_DIRECTSYNC,
                                               BLOCK_UNSAFE };
    serve_file(b, NULL, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(caches); i++) {
        assert_int_equal(open_disk(b, (struct block_open){ .cache = caches[i] }), 0);
        fill(b->mem, 8 * SECTOR, (unsigned)i);
        write_both(b, i * 8 * SECTOR, b->mem, 8 * SECTOR);
        assert_int_equal(command(b, BLOCK_FLUSH, 0, 0), 0);
        block_close(b->block);
        b->block = NULL;
    }
    assert_image(b);
}

/* What the server says of an error is what the device gets. */
static void errors_have_their_numbers(void **state)
{
    static const struct {
        const char *name;
        int err;
    } errors[] = { { "error-pwrite=EIO", -EIO }, { "error-pwrite=ENOSPC", -ENOSPC }, { "error-pwrite=EPERM", -EPERM } };
    struct bench *b = *state;
    for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
        const char *args[] = { NBDKIT,  "-f",   "-U",    b->socket,      "--filter",
                               "error", "file", b->file, errors[i].name, "error-pwrite-rate=100%",
                               NULL };
        serve(b, args);
        assert_int_equal(open_disk(b, (struct block_open){ 0 }), 0);
        assert_int_equal(transfer(b, BLOCK_WRITE, 0, b->mem, SECTOR), errors[i].err);
        assert_int_equal(transfer(b, BLOCK_READ, 0, b->mem, SECTOR), 0);
        block_close(b->block);
        b->block = NULL;
        stop(b);
    }
}

static void every_form_of_address(void **state)
{
    struct bench *b = *state;
    char path[256];
    serve_file(b, NULL, NULL);
    (void)snprintf(path, sizeof(path), "nbd:unix:%s:exportname=any", b->socket);
    assert_int_equal(open_disk(b, (struct block_open){ .path = path }), 0);
    block_close(b->block);
    b->block = NULL;
    (void)snprintf(path, sizeof(path), "nbd+unix:///a%%20name?socket=%s", b->socket);
    assert_int_equal(open_disk(b, (struct block_open){ .path = path }), 0);
    assert_int_equal(transfer(b, BLOCK_READ, 0, b->mem, SECTOR), 0);
    assert_string_equal(container_of(b->block, struct nbd_disk, block)->target.export, "a name");
}

static void addresses_are_understood(void **state)
{
    static const struct {
        const char *path, *host, *export;
        uint16_t port;
    } good[] = {
        { "nbd:127.0.0.1:1234", "127.0.0.1", "", 1234 },
        { "nbd:127.0.0.1:1234:exportname=a:b", "127.0.0.1", "a:b", 1234 },
        { "nbd://127.0.0.1", "127.0.0.1", "", 10809 },
        { "nbd://127.0.0.1:99/disk/1", "127.0.0.1", "disk/1", 99 },
        { "nbd://127.0.0.1/%41%62", "127.0.0.1", "Ab", 10809 },
    };
    static const char *const bad[] = {
        "nbd:",
        "nbd:unix:",
        "nbd://",
        "nbds://h/e",
        "nbd+unix:///e",
        "nbd+unix:///?socket=",
        "nbd+unix://host/?socket=/s",
        "nbd://127.0.0.1/%00",
        "nbd://127.0.0.1/%4",
        "nbd://u@h/",
        "nbd://127.0.0.1/e?x=1",
        "nbd://[::1",
        "nbd://127.0.0.1:port/",
        "nbd+unix:///e?socket=/s&x=1",
    };
    struct nbd_target target;
    const char *why;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        assert_int_equal(nbd_target_parse(good[i].path, &target, &why), 0);
        const struct sockaddr_in *in = (const void *)&target.addrs[0].addr;
        assert_int_equal(in->sin_family, AF_INET);
        assert_int_equal(be16_get(&in->sin_port), good[i].port);
        assert_string_equal(target.export, good[i].export);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        why = NULL;
        assert_int_not_equal(nbd_target_parse(bad[i], &target, &why), 0);
        assert_non_null(why);
    }
}

static void nobody_there_is_one_line(void **state)
{
    struct bench *b = *state;
    assert_int_not_equal(open_disk(b, (struct block_open){ 0 }), 0);
    assert_int_equal(b->w->lines, 1);
    assert_non_null(strstr(b->w->line, b->socket));
    assert_non_null(strstr(b->w->line, "not opened"));
}

/* --- A server that goes --- */

static void a_server_that_comes_back_is_found(void **state)
{
    struct bench *b = *state;
    struct block_req reqs[MANY];
    struct vec vecs[MANY];
    serve_file(b, NULL, NULL);
    fill(b->mem, IMAGE_BYTES, 7);
    assert_int_equal(open_disk(b, (struct block_open){ 0 }), 0);
    write_both(b, 0, b->mem, 64 * SECTOR);
    stop(b);
    submit_many(b, reqs, vecs); /* they wait */
    for (int i = 0; i < 50; i++)
        assert_int_equal(loop_step(&b->w->loop, 1000000), 0);
    assert_int_equal(b->done, 1);
    assert_int_equal(b->w->lines, 1);
    assert_non_null(strstr(b->w->line, "connection lost"));
    serve_file(b, NULL, NULL);
    wait_for(b, 1 + MANY);
    assert_int_equal(b->err, 0);
    assert_int_equal(b->w->lines, 2);
    assert_non_null(strstr(b->w->line, "connection is back"));
    assert_int_equal(command(b, BLOCK_FLUSH, 0, 0), 0); /* the server is not ours: it keeps what it took */
    assert_image(b);
}

static void a_server_that_stays_away_is_an_error(void **state)
{
    struct bench *b = *state;
    struct block_req reqs[MANY];
    struct vec vecs[MANY];
    serve_file(b, NULL, NULL);
    b->w->host.nbd.hold_ns = 150 * NS_PER_MS;
    assert_int_equal(open_disk(b, (struct block_open){ 0 }), 0);
    stop(b);
    submit_many(b, reqs, vecs);
    wait_for(b, MANY);
    assert_int_equal(b->err, -EIO);
    assert_int_equal(b->w->lines, 2);
    assert_non_null(strstr(b->w->line, "the guest gets errors until it is back"));
    assert_int_equal(transfer(b, BLOCK_READ, 0, b->mem, SECTOR), -EIO); /* at once now */
    serve_file(b, NULL, NULL);
    for (int i = 0; i < 5000 && b->w->lines < 3; i++)
        assert_int_equal(loop_step(&b->w->loop, 1000000), 0);
    assert_non_null(strstr(b->w->line, "connection is back"));
    assert_int_equal(transfer(b, BLOCK_READ, 0, b->mem, SECTOR), 0);
}

/* A reset or the end doesn't wait for ever, with a loop that stands still. */
static void a_drain_without_a_server_ends(void **state)
{
    struct bench *b = *state;
    struct block_req reqs[MANY];
    struct vec vecs[MANY];
    serve_file(b, NULL, NULL);
    b->w->host.nbd.hold_ns = 150 * NS_PER_MS;
    assert_int_equal(open_disk(b, (struct block_open){ 0 }), 0);
    stop(b);
    loop_freeze(&b->w->loop);
    submit_many(b, reqs, vecs);
    block_close(b->block);
    b->block = NULL;
    assert_int_equal(b->done, MANY);
    assert_int_equal(b->err, -EIO);
}

/* It has stopped, not ended: as after a cable was pulled. */
static void a_server_that_hangs_counts_as_gone(void **state)
{
    struct bench *b = *state;
    serve_file(b, NULL, NULL);
    b->w->host.nbd.stall_ns = 100 * NS_PER_MS;
    b->w->host.nbd.hold_ns = 200 * NS_PER_MS;
    assert_int_equal(open_disk(b, (struct block_open){ 0 }), 0);
    assert_int_equal(kill(b->server, SIGSTOP), 0);
    int status;
    assert_int_equal(waitpid(b->server, &status, WUNTRACED), b->server); /* now it is; before that it may still answer */
    assert_true(WIFSTOPPED(status));
    assert_int_equal(transfer(b, BLOCK_READ, 0, b->mem, SECTOR), -EIO);
    assert_non_null(strstr(b->w->line, "doesn't answer"));
    assert_int_equal(kill(b->server, SIGCONT), 0);
}

static void an_export_that_changed_is_not_taken(void **state)
{
    struct bench *b = *state;
    serve_file(b, NULL, NULL);
    b->w->host.nbd.hold_ns = 300 * NS_PER_MS;
    assert_int_equal(open_disk(b, (struct block_open){ 0 }), 0);
    stop(b);
    assert_int_equal(truncate(b->file, IMAGE_BYTES / 2), 0);
    serve_file(b, NULL, NULL);
    assert_int_equal(transfer(b, BLOCK_READ, 0, b->mem, SECTOR), -EIO);
    assert_non_null(strstr(b->w->line, "smaller now"));
}

/* --- A server that lies --- */

/* The oldest handshake there is: size and flags at once, then one request after the other, answered by what. */
enum lie { NO_GREETING, CUT_GREETING, HUGE_SIZE, BAD_MAGIC, WRONG_HANDLE, CUT_DATA, EARLY_CLOSE, NR_LIES };

static bool put(int fd, const void *buf, size_t len)
{
    return write(fd, buf, len) == (ssize_t)len;
}

static void be64_to(uint8_t *to, uint64_t val)
{
    for (int i = 0; i < 8; i++)
        to[i] = (uint8_t)(val >> (56 - 8 * i));
}

static void lie_to(int fd, enum lie lie)
{
    uint8_t hello[152] = "NBDMAGIC\x00\x00\x42\x02\x81\x86\x12\x53", request[28],
            reply[16] = { 0x67, 0x44, 0x66, 0x98 }, data[512] = { 0 };
    be64_to(hello + 16, lie == HUGE_SIZE ? UINT64_MAX : IMAGE_BYTES);
    hello[27] = 1; /* flags are there */
    if (lie == NO_GREETING)
        return;
    if (!put(fd, hello, lie == CUT_GREETING ? 20 : sizeof(hello)) || lie == CUT_GREETING)
        return;
    while (read(fd, request, sizeof(request)) == (ssize_t)sizeof(request) && request[7] != 2) {
        memcpy(reply + 8, request + 8, 8);
        if (lie == BAD_MAGIC)
            reply[0] = 0;
        if (lie == WRONG_HANDLE)
            reply[15] ^= 0x55;
        if (lie == EARLY_CLOSE || !put(fd, reply, sizeof(reply)) ||
            !put(fd, data, lie == CUT_DATA ? 100 : sizeof(data)) || lie == CUT_DATA)
            return;
    }
}

static void serve_lies(struct bench *b, enum lie lie)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    (void)snprintf(un.sun_path, sizeof(un.sun_path), "%s", b->socket);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&un, sizeof(un)), 0);
    assert_int_equal(listen(listener, 8), 0);
    b->server = fork();
    if (b->server == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) {
            int fd = accept(listener, NULL, NULL);
            lie_to(fd, lie);
            close(fd);
        }
    }
    close(listener);
}

static void lies_are_errors(void **state)
{
    struct bench *b = *state;
    b->w->host.nbd.hold_ns = 100 * NS_PER_MS;
    b->w->host.nbd.stall_ns = 100 * NS_PER_MS;
    for (int lie = 0; lie < NR_LIES; lie++) {
        serve_lies(b, (enum lie)lie);
        int err = open_disk(b, (struct block_open){ 0 });
        assert_int_equal(err == 0, lie > HUGE_SIZE);
        if (!err)
            assert_int_equal(transfer(b, BLOCK_READ, 0, b->mem, SECTOR), -EIO);
        block_close(err ? NULL : b->block);
        b->block = NULL;
        stop(b);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_understood),
        TEST(nobody_there_is_one_line),
        TEST(lies_are_errors),
    };
    const struct CMUnitTest with_nbdkit[] = {
        TEST(reads_writes_flushes_and_discards),
        TEST(scattered_memory_is_gathered),
        TEST(many_at_once),
        TEST(small_sectors_on_large_blocks),
        TEST(read_only_exports),
        TEST(all_cache_modes_work),
        TEST(errors_have_their_numbers),
        TEST(every_form_of_address),
        TEST(a_server_that_comes_back_is_found),
        TEST(a_server_that_stays_away_is_an_error),
        TEST(a_drain_without_a_server_ends),
        TEST(a_server_that_hangs_counts_as_gone),
        TEST(an_export_that_changed_is_not_taken),
    };
    int failed = cmocka_run_group_tests_name("block-nbd, addresses and lies", tests, NULL, NULL);
    if (access(NBDKIT, X_OK) == 0)
        failed += cmocka_run_group_tests_name("block-nbd, nbdkit", with_nbdkit, NULL, NULL);
    else
        print_message("skipped: the tests with a server: no nbdkit here\n");
    return failed;
}
