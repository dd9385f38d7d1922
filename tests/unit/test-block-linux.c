/* backends/linux/block-*.c: every test of the first table runs with io_uring and with plain system calls. */
#include "block-private.h"
#include "linux-world.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>

enum { IMAGE_BYTES = 1 << 20, SECTOR = 512, NR_REQS = 200 };

struct bench {
    struct world *w;
    struct block *block;
    uint8_t *mem;   /* guest memory, page-aligned, IMAGE_BYTES */
    uint8_t *image; /* what the image must hold */
    unsigned fds;
    unsigned done;
    int err;                /* of the last request */
    struct block_req *next; /* submitted by done() */
    bool in_submit;
};

static bool plain; /* this round is without io_uring */

static void done(struct block_req *req, int err)
{
    struct bench *b = req->opaque;
    assert_false(b->in_submit);
    b->done++;
    b->err = err;
    struct block_req *next = b->next;
    b->next = NULL;
    if (next)
        block_submit(req->block, next);
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
    b->w->host.files.no_uring = plain;
    b->mem = aligned_alloc(4096, IMAGE_BYTES);
    b->image = malloc(IMAGE_BYTES);
    fill(b->image, IMAGE_BYTES, 1);
    int fd = open(world_path(b->w, "image"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, b->image, IMAGE_BYTES), IMAGE_BYTES);
    close(fd);
    b->fds = world_fds();
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    block_close(b->block);
    assert_int_equal(world_fds(), b->fds); /* the ring went with the disk */
    world_free(b->w);
    free(b->mem);
    free(b->image);
    free(b);
    return 0;
}

static int open_image(struct bench *b, struct block_open open)
{
    world_path(b->w, "image");
    if (open.fd == 0) {
        open.path = b->w->path;
        open.fd = -1;
    }
    int err = b->w->host.host.block_open(&b->w->host.host, &open, &b->block);
    if (!err)
        container_of(b->block, struct block_file, block)->in_ram = false; /* wherever the tests' folder is */
    return err;
}

static void submit(struct bench *b, struct block_req *req)
{
    req->done = done;
    req->opaque = b;
    b->in_submit = true;
    block_submit(b->block, req);
    b->in_submit = false;
}

/* Run one request to its end; its error. */
static int run_one(struct bench *b, struct block_req *req)
{
    unsigned before = b->done;
    submit(b, req);
    for (int i = 0; i < 5000 && b->done == before; i++)
        assert_int_equal(loop_step(&b->w->loop, 1000000), 0);
    assert_int_equal(b->done, before + 1);
    return b->err;
}

static int transfer(struct bench *b, enum block_op op, uint64_t offset, void *mem, size_t len)
{
    struct vec vec = { mem, len };
    struct block_req req = { .op = op, .offset = offset, .len = len, .vec = &vec, .nvec = 1 };
    return run_one(b, &req);
}

static int command(struct bench *b, enum block_op op, uint64_t offset, uint64_t len)
{
    struct block_req req = { .op = op, .offset = offset, .len = len };
    return run_one(b, &req);
}

static void write_both(struct bench *b, uint64_t offset, uint8_t *mem, size_t len)
{
    assert_int_equal(transfer(b, BLOCK_WRITE, offset, mem, len), 0);
    memcpy(b->image + offset, mem, len);
}

static void assert_image(struct bench *b)
{
    uint8_t *now = malloc(IMAGE_BYTES + 1);
    int fd = open(world_path(b->w, "image"), O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, now, IMAGE_BYTES + 1), IMAGE_BYTES); /* and no longer than it was */
    close(fd);
    assert_memory_equal(now, b->image, IMAGE_BYTES);
    free(now);
}

/* Unless this file system has O_DIRECT. */
static bool is_direct(struct bench *b)
{
    if (container_of(b->block, struct block_file, block)->align > 0)
        return true;
    print_message("skipped: no direct I/O in %s\n", b->w->dir);
    return false;
}

/* A worker of the ring would live on and wake up for ever, for a disk that never waits. */
static void a_disk_in_memory_has_no_ring(void **state)
{
    struct bench *b = *state;
    struct block *block = NULL;
    int fd = memfd_create("disk", MFD_CLOEXEC);
    assert_true(fd >= 0 && ftruncate(fd, IMAGE_BYTES) == 0);
    struct block_open open = { .fd = fd, .loop = &b->w->loop, .log = &b->w->log };
    assert_int_equal(b->w->host.host.block_open(&b->w->host.host, &open, &block), 0);
    b->block = block;
    assert_int_equal(transfer(b, BLOCK_WRITE, SECTOR, b->image, 4 * SECTOR), 0);
    assert_int_equal(command(b, BLOCK_FLUSH, 0, 0), 0);
    assert_int_equal(transfer(b, BLOCK_READ, SECTOR, b->mem, 4 * SECTOR), 0);
    assert_memory_equal(b->mem, b->image, 4 * SECTOR);
    assert_null(b->w->host.files.uring);
}

static void opens_without_doing_anything(void **state)
{
    struct bench *b = *state;
    assert_int_equal(open_image(b, (struct block_open){ 0 }), 0);
    assert_int_equal(b->block->size_bytes, IMAGE_BYTES);
    assert_int_equal(b->block->sector_bytes, SECTOR);
    assert_null(b->w->host.files.uring);
    assert_int_equal(world_fds(), b->fds + 1);
    assert_int_equal(b->w->lines, 0);
    assert_true(world_sleeps(b->w, 3));
}

static void reads_and_writes_hit_their_place(void **state)
{
    struct bench *b = *state;
    assert_int_equal(open_image(b, (struct block_open){ 0 }), 0);
    assert_int_equal(transfer(b, BLOCK_READ, 0, b->mem, IMAGE_BYTES), 0);
    assert_memory_equal(b->mem, b->image, IMAGE_BYTES);
    assert_int_equal(b->w->host.files.uring == NULL, plain);
    fill(b->mem, IMAGE_BYTES, 99);
    write_both(b, 5 * SECTOR, b->mem, 3 * SECTOR);
    write_both(b, IMAGE_BYTES - SECTOR, b->mem + 1, SECTOR);
    assert_int_equal(transfer(b, BLOCK_READ, 4 * SECTOR, b->mem + 3, 5 * SECTOR), 0);
    assert_memory_equal(b->mem + 3, b->image + 4 * SECTOR, 5 * SECTOR);
    assert_int_equal(command(b, BLOCK_FLUSH, 0, 0), 0);
    assert_image(b);
    assert_true(world_sleeps(b->w, 3)); /* idle again */
}

static void scatter_lists_of_any_shape(void **state)
{
    struct bench *b = *state;
    enum { NR = 1500 };
    struct vec *vec = calloc(NR + 2, sizeof(*vec));
    size_t len = 0, n = 0;
    vec[n++] = (struct vec){ b->mem, 0 }; /* guests make empty elements */
    for (size_t i = 0; i < NR; i++) {     /* more than the kernel takes at once, of odd lengths */
        size_t size = i % 2 ? 100 : 412;
        vec[n++] = (struct vec){ b->mem + len, size };
        len += size;
    }
    vec[n++] = (struct vec){ b->mem, 0 };
    assert_int_equal(open_image(b, (struct block_open){ 0 }), 0);
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

static void many_at_once_and_more_than_the_ring_has(void **state)
{
    struct bench *b = *state;
    struct block_req *reqs = calloc(NR_REQS, sizeof(*reqs));
    struct vec *vecs = calloc(NR_REQS, sizeof(*vecs));
    fill(b->mem, IMAGE_BYTES, 3);
    assert_int_equal(open_image(b, (struct block_open){ 0 }), 0);
    for (size_t i = 0; i < NR_REQS; i++) {
        vecs[i] = (struct vec){ b->mem + i * SECTOR, SECTOR };
        reqs[i] = (struct block_req){ .op = i % 10 ? BLOCK_WRITE : BLOCK_FLUSH, .vec = &vecs[i], .nvec = 1 };
        if (reqs[i].op == BLOCK_WRITE) {
            reqs[i].offset = i * 2 * SECTOR;
            reqs[i].len = SECTOR;
            memcpy(b->image + i * 2 * SECTOR, b->mem + i * SECTOR, SECTOR);
        }
        submit(b, &reqs[i]);
    }
    for (int i = 0; i < 5000 && b->done < NR_REQS; i++)
        assert_int_equal(loop_step(&b->w->loop, 1000000), 0);
    assert_int_equal(b->done, NR_REQS);
    assert_int_equal(b->block->stats.ops[BLOCK_WRITE], NR_REQS - NR_REQS / 10);
    assert_int_equal(b->block->stats.ops[BLOCK_FLUSH], NR_REQS / 10);
    assert_image(b);
    free(reqs);
    free(vecs);
}

static void close_finishes_what_is_in_flight(void **state)
{
    struct bench *b = *state;
    struct block_req reqs[80], again;
    struct vec vecs[80];
    fill(b->mem, IMAGE_BYTES, 17);
    assert_int_equal(open_image(b, (struct block_open){ 0 }), 0);
    for (size_t i = 0; i < 80; i++) {
        vecs[i] = (struct vec){ b->mem + i * 8192, 8192 };
        reqs[i] = (struct block_req){ .op = BLOCK_WRITE, .offset = i * 8192, .len = 8192, .vec = &vecs[i], .nvec = 1 };
        memcpy(b->image + i * 8192, b->mem + i * 8192, 8192);
        submit(b, &reqs[i]);
        if (i == 40)
            assert_int_equal(loop_step(&b->w->loop, 0), 0); /* some are under way, some only queued */
    }
    again = (struct block_req){ .op = BLOCK_FLUSH, .done = done, .opaque = b };
    b->next = &again; /* done() may submit, also while it drains */
    block_close(b->block);
    b->block = NULL;
    assert_int_equal(b->done, 81);
    assert_int_equal(b->err, 0);
    assert_null(b->w->host.files.uring);
    assert_image(b);
}

/* While one disk drains, the other's device is not called. */
static void draining_leaves_the_other_disk_alone(void **state)
{
    struct bench *b = *state, other = { .w = b->w, .mem = b->mem };
    struct vec vec = { b->mem, SECTOR }, other_vec = { b->mem + 4096, SECTOR };
    struct block_req req = { .op = BLOCK_READ, .len = SECTOR, .vec = &vec, .nvec = 1 };
    struct block_req other_req = { .op = BLOCK_READ, .len = SECTOR, .vec = &other_vec, .nvec = 1 };
    assert_int_equal(open_image(b, (struct block_open){ 0 }), 0);
    assert_int_equal(open_image(&other, (struct block_open){ .read_only = true }), 0);
    submit(&other, &other_req);
    submit(b, &req);
    assert_int_equal(loop_step(&b->w->loop, 0), 0);
    other.done = 0;
    bool was_done = !block_busy(other.block);
    if (!was_done) {
        block_drain(b->block);
        assert_int_equal(other.done, 0);
    }
    block_close(b->block); /* the ring stays while the other needs it */
    b->block = NULL;
    assert_int_equal(b->done, 1);
    for (int i = 0; i < 1000 && block_busy(other.block); i++)
        assert_int_equal(loop_step(&b->w->loop, 1000000), 0);
    assert_int_equal(other.err, 0);
    assert_memory_equal(b->mem + 4096, b->image, SECTOR);
    assert_int_equal(transfer(&other, BLOCK_READ, SECTOR, b->mem, SECTOR), 0);
    assert_memory_equal(b->mem, b->image + SECTOR, SECTOR);
    block_close(other.block);
}

static void discard_frees_and_reads_zero(void **state)
{
    struct bench *b = *state;
    struct stat st;
    assert_int_equal(open_image(b, (struct block_open){ .discard = true }), 0);
    assert_int_equal(command(b, BLOCK_DISCARD, 64 * KIB, 512 * KIB), 0);
    assert_int_equal(stat(b->w->path, &st), 0);
    assert_int_equal(st.st_size, IMAGE_BYTES);
    if (st.st_blocks * 512 < IMAGE_BYTES) { /* the file system has holes */
        memset(b->image + 64 * KIB, 0, 512 * KIB);
        assert_image(b);
    }
    block_close(b->block);
    assert_int_equal(open_image(b, (struct block_open){ 0 }), 0); /* not wanted: refused by the core */
    assert_int_equal(command(b, BLOCK_DISCARD, 0, SECTOR), -EOPNOTSUPP);
}

static void behind_the_end_are_zeros(void **state)
{
    struct bench *b = *state;
    static const enum block_cache caches[] = { BLOCK_WRITEBACK, BLOCK_NONE };
    for (size_t i = 0; i < ARRAY_SIZE(caches); i++) {
        assert_int_equal(truncate(world_path(b->w, "image"), IMAGE_BYTES), 0);
        assert_int_equal(open_image(b, (struct block_open){ .cache = caches[i] }), 0);
        assert_int_equal(truncate(b->w->path, 3 * SECTOR), 0); /* an operator's mistake */
        memset(b->mem, 0xee, 8 * SECTOR);
        assert_int_equal(transfer(b, BLOCK_READ, SECTOR, b->mem, 7 * SECTOR), 0);
        assert_memory_equal(b->mem, b->image + SECTOR, 2 * SECTOR);
        for (size_t at = 2 * SECTOR; at < 7 * SECTOR; at++)
            assert_int_equal(b->mem[at], 0);
        assert_int_equal(b->mem[7 * SECTOR], 0xee);
        assert_int_equal(transfer(b, BLOCK_READ, 100 * SECTOR, b->mem, SECTOR), 0);
        assert_int_equal(b->mem[0] | b->mem[SECTOR - 1], 0);
        block_close(b->block);
        b->block = NULL;
    }
}

/* dm_restrict: what fits is written, the rest is an error to the guest and no signal to us. */
static void file_size_limit_is_an_error(void **state)
{
    struct bench *b = *state;
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 262144;
    fill(b->mem, 16 * SECTOR, 77);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int err = open_image(b, (struct block_open){ 0 });
    int inside = transfer(b, BLOCK_WRITE, 262144 - SECTOR, b->mem, SECTOR);
    int outside = transfer(b, BLOCK_WRITE, 262144, b->mem, SECTOR);
    int across = transfer(b, BLOCK_WRITE, 262144 - 4 * SECTOR, b->mem, 16 * SECTOR);
    int read_back = transfer(b, BLOCK_READ, 262144, b->mem + 8192, SECTOR);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(err | inside | read_back, 0);
    assert_int_equal(outside, -EFBIG);
    assert_int_equal(across, -EFBIG);
    assert_memory_equal(b->mem + 8192, b->image + 262144, SECTOR);
    memcpy(b->image + 262144 - 4 * SECTOR, b->mem, 4 * SECTOR);
    assert_image(b);
    assert_int_equal(b->w->lines, 1);
    assert_non_null(strstr(b->w->line, "first 262144 bytes"));
    assert_int_equal(b->block->stats.errors[BLOCK_WRITE], 2);
}

static void read_only_is_kept(void **state)
{
    struct bench *b = *state;
    assert_int_equal(open_image(b, (struct block_open){ .read_only = true, .discard = true }), 0);
    assert_int_equal(transfer(b, BLOCK_WRITE, 0, b->mem, SECTOR), -EROFS);
    assert_int_equal(command(b, BLOCK_DISCARD, 0, SECTOR), -EROFS);
    assert_int_equal(command(b, BLOCK_FLUSH, 0, 0), 0);
    assert_int_equal(transfer(b, BLOCK_READ, 0, b->mem, SECTOR), 0);
    assert_memory_equal(b->mem, b->image, SECTOR);
    assert_int_equal(transfer(b, BLOCK_READ, IMAGE_BYTES, b->mem, SECTOR), -EINVAL);
    assert_int_equal(transfer(b, BLOCK_READ, 1, b->mem, SECTOR), -EINVAL);
    assert_image(b);
}

static void all_cache_modes_work(void **state)
{
    struct bench *b = *state;
    for (enum block_cache cache = BLOCK_WRITEBACK; cache <= BLOCK_UNSAFE; cache++) {
        assert_int_equal(open_image(b, (struct block_open){ .cache = cache }), 0);
        fill(b->mem, 16 * SECTOR, 100 + cache);
        write_both(b, cache * 64 * SECTOR, b->mem, 16 * SECTOR);
        assert_int_equal(command(b, BLOCK_FLUSH, 0, 0), 0);
        assert_int_equal(transfer(b, BLOCK_READ, cache * 64 * SECTOR, b->mem + 16384, 16 * SECTOR), 0);
        assert_memory_equal(b->mem, b->mem + 16384, 16 * SECTOR);
        block_close(b->block);
        b->block = NULL;
    }
    assert_image(b);
}

/* O_DIRECT wants aligned memory, and sometimes larger sectors than the guest has. */
static void direct_takes_what_the_guest_gives(void **state)
{
    struct bench *b = *state;
    static const struct {
        uint64_t offset;
        size_t len, skew;
    } cases[] = { { 0, 8192, 0 },         { 4096, 4096, 2 },        { 512, 512, 0 },
                  { 1024, 8192, 0 },      { 3584, 1024, 6 },        { 512, 300 * SECTOR, 2 },
                  { 4096, 512 * KIB, 1 }, { 512, 512 * KIB, 0 },    { IMAGE_BYTES - 512, 512, 4 },
                  { 0, 512, 1 },          { 7 * 512, 131072, 510 }, { 65536 - 512, 1024, 0 } };
    for (uint32_t align = 512; align <= 4096; align *= 8) {
        assert_int_equal(open_image(b, (struct block_open){ .cache = BLOCK_NONE }), 0);
        if (!is_direct(b))
            return;
        struct block_file *f = container_of(b->block, struct block_file, block);
        f->align = align < f->align ? f->align : align; /* as if the disk had such sectors */
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
            uint8_t *mem = b->mem + cases[i].skew;
            memset(mem, 0, cases[i].len);
            assert_int_equal(transfer(b, BLOCK_READ, cases[i].offset, mem, cases[i].len), 0);
            assert_memory_equal(mem, b->image + cases[i].offset, cases[i].len);
            fill(mem, cases[i].len, (unsigned)i + align);
            write_both(b, cases[i].offset, mem, cases[i].len);
        }
        block_close(b->block);
        b->block = NULL;
        assert_image(b);
    }
}

/* Neighbours in one large sector, written at the same time: none may undo the other. */
static void bounced_writes_do_not_meet(void **state)
{
    struct bench *b = *state;
    struct block_req reqs[64];
    struct vec vecs[64];
    assert_int_equal(open_image(b, (struct block_open){ .cache = BLOCK_NONE }), 0);
    if (!is_direct(b))
        return;
    container_of(b->block, struct block_file, block)->align = 4096;
    fill(b->mem, IMAGE_BYTES, 9);
    for (size_t i = 0; i < 64; i++) {
        bool whole = i % 5 == 0; /* one in place between those that bounce */
        size_t at = whole ? 65536 + i * 4096 : i * SECTOR, len = whole ? 4096 : SECTOR;
        vecs[i] = (struct vec){ b->mem + i * 4096, len };
        reqs[i] = (struct block_req){ .op = BLOCK_WRITE, .offset = at, .len = len, .vec = &vecs[i], .nvec = 1 };
        memcpy(b->image + at, b->mem + i * 4096, len);
        submit(b, &reqs[i]);
    }
    block_drain(b->block);
    assert_int_equal(b->done, 64);
    assert_image(b);
}

/* What can't be opened. The engine is no matter here. */

static int setup_plain(void **state)
{
    plain = true;
    return setup(state);
}

static void what_is_no_image_is_refused(void **state)
{
    struct bench *b = *state;
    struct host *host = &b->w->host.host;
    static const struct {
        const char *path;
        int err;
    } cases[] = { { "/no/image", -ENOENT }, { "/dev/null", -EINVAL }, { "/tmp", -EISDIR } };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct block_open open = { .path = cases[i].path, .fd = -1 };
        assert_int_equal(host->block_open(host, &open, &b->block), cases[i].err);
        assert_int_equal(b->w->lines, i + 1);
        assert_non_null(strstr(b->w->line, cases[i].path));
    }
    assert_int_equal(mkfifo(world_path(b->w, "fifo"), 0600), 0);
    struct block_open open = { .path = b->w->path, .fd = -1, .read_only = true };
    assert_int_equal(host->block_open(host, &open, &b->block), -EINVAL); /* and it doesn't wait for a writer */
}

static void descriptors_are_taken_if_they_fit(void **state)
{
    struct bench *b = *state;
    int fd = open(world_path(b->w, "image"), O_RDONLY);
    assert_int_equal(open_image(b, (struct block_open){ .fd = fd }), -EACCES);
    assert_int_equal(fcntl(fd, F_GETFD), 0); /* still ours, as it was */
    assert_int_equal(open_image(b, (struct block_open){ .fd = fd, .read_only = true }), 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(transfer(b, BLOCK_READ, 0, b->mem, SECTOR), 0);
    assert_memory_equal(b->mem, b->image, SECTOR);
    block_close(b->block);
    b->block = NULL;
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    assert_int_equal(open_image(b, (struct block_open){ .fd = 999 }), -EBADF);
}

static void odd_sizes_are_rounded_down(void **state)
{
    struct bench *b = *state;
    assert_int_equal(truncate(world_path(b->w, "image"), 5 * SECTOR + 100), 0);
    assert_int_equal(open_image(b, (struct block_open){ .cache = BLOCK_NONE }), 0);
    assert_int_equal(b->block->size_bytes, 5 * SECTOR);
    assert_int_equal(transfer(b, BLOCK_READ, 4 * SECTOR, b->mem, SECTOR), 0);
    assert_memory_equal(b->mem, b->image + 4 * SECTOR, SECTOR);
    block_close(b->block);
    assert_int_equal(truncate(b->w->path, 0), 0);
    assert_int_equal(open_image(b, (struct block_open){ 0 }), 0);
    assert_int_equal(b->block->size_bytes, 0);
}

static void second_writer_is_refused(void **state)
{
    struct bench *b = *state, second = { .w = b->w };
    struct block_open writer = { .lock = true }, reader = { .lock = true, .read_only = true };
    assert_int_equal(open_image(b, writer), 0);
    assert_int_equal(open_image(&second, writer), -EBUSY);
    assert_int_equal(b->w->lines, 1);
    assert_non_null(strstr(b->w->line, "another disk of this guest has it open for writing"));
    assert_int_equal(open_image(&second, reader), 0);
    block_close(second.block);
    assert_int_equal(open_image(&second, (struct block_open){ 0 }), 0); /* without a lock it is the caller's matter */
    block_close(second.block);
    block_close(b->block);
    assert_int_equal(open_image(b, writer), 0); /* the lock went with its owner */
}

static int try_lock(int fd, int cmd, short type, off_t byte)
{
    struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };
    return fcntl(fd, cmd, &lock) == 0 ? lock.l_type : -1;
}

/* The bytes that QEMU and qemu-img use: they refuse us, and we refuse them. */
static void locks_are_seen_by_other_tools(void **state)
{
    struct bench *b = *state;
    int fd = open(world_path(b->w, "image"), O_RDWR | O_CLOEXEC);
    assert_int_equal(open_image(b, (struct block_open){ .lock = true }), 0);
    assert_true(try_lock(fd, F_OFD_GETLK, F_WRLCK, 101) == F_RDLCK); /* "writes" */
    assert_true(try_lock(fd, F_OFD_GETLK, F_WRLCK, 201) == F_RDLCK); /* "nobody else may write" */
    assert_true(try_lock(fd, F_OFD_GETLK, F_WRLCK, 200) == F_UNLCK); /* others may read */
    block_close(b->block);
    b->block = NULL;
    assert_true(try_lock(fd, F_OFD_GETLK, F_WRLCK, 101) == F_UNLCK);
    assert_true(try_lock(fd, F_OFD_SETLK, F_RDLCK, 101) == F_RDLCK);
    assert_int_equal(open_image(b, (struct block_open){ .lock = true }), -EBUSY);
    close(fd);
}

/* The line says who has it. */
static void the_holder_of_a_lock_is_named(void **state)
{
    struct bench *b = *state;
    int ready[2];
    char c, who[64];
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open(world_path(b->w, "image"), O_RDWR | O_CLOEXEC);
        c = (char)try_lock(fd, F_OFD_SETLK, F_RDLCK, 101);
        (void)!write(ready[1], &c, 1);
        (void)pause();
        _exit(0);
    }
    assert_int_equal(read(ready[0], &c, 1), 1);
    assert_int_equal(open_image(b, (struct block_open){ .lock = true }), -EBUSY);
    (void)snprintf(who, sizeof(who), "process %d (test-block", (int)pid);
    assert_non_null(strstr(b->w->line, who));
    (void)kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    close(ready[0]);
    close(ready[1]);
}

/* An operator made the volume larger: who asks finds out, and the new end can be used. */
static void an_image_may_grow(void **state)
{
    struct bench *b = *state;
    static const enum block_cache caches[] = { BLOCK_WRITEBACK, BLOCK_NONE };
    for (size_t i = 0; i < ARRAY_SIZE(caches); i++) {
        assert_int_equal(truncate(world_path(b->w, "image"), IMAGE_BYTES), 0);
        assert_int_equal(open_image(b, (struct block_open){ .cache = caches[i] }), 0);
        assert_false(block_grew(b->block));
        assert_int_equal(transfer(b, BLOCK_WRITE, IMAGE_BYTES, b->mem, SECTOR), -EINVAL);
        assert_int_equal(truncate(b->w->path, IMAGE_BYTES + 2 * 4096 + 100), 0);
        assert_true(block_grew(b->block));
        assert_int_equal(b->block->size_bytes, IMAGE_BYTES + 2 * 4096);
        assert_int_equal(transfer(b, BLOCK_WRITE, IMAGE_BYTES + 4096, b->mem, 4096), 0);
        assert_int_equal(truncate(b->w->path, IMAGE_BYTES), 0);
        assert_false(block_grew(b->block));
        assert_int_equal(b->block->size_bytes, IMAGE_BYTES + 2 * 4096);
        block_close(b->block);
        b->block = NULL;
    }
}

/* The last boot's device model is still flushing when this one starts: it gets a moment. */
static void a_lock_that_goes_away_is_waited_for(void **state)
{
    struct bench *b = *state;
    int ready[2];
    char c;
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open(world_path(b->w, "image"), O_RDWR);
        (void)try_lock(fd, F_OFD_SETLK, F_RDLCK, 101);
        if (write(ready[1], "x", 1) == 1)
            usleep(150000);
        _exit(0);
    }
    assert_int_equal(read(ready[0], &c, 1), 1);
    close(ready[0]);
    close(ready[1]);
    assert_int_equal(open_image(b, (struct block_open){ .lock = true }), 0);
}

/* A file system without room, as root in a mount namespace of its own. */
static void full_disk_is_an_error(void **state)
{
    struct bench *b = *state;
    char dir[80], path[96];
    (void)snprintf(dir, sizeof(dir), "%s/image", b->w->dir);
    assert_int_equal(unlink(dir), 0);
    assert_int_equal(mkdir(dir, 0700), 0);
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("small", dir, "tmpfs", 0, "size=64k") != 0) {
        print_message("skipped: can't mount: %s\n", strerror(errno));
        assert_int_equal(rmdir(dir), 0);
        return;
    }
    (void)snprintf(path, sizeof(path), "%s/disk", dir);
    for (int round = 0; round < 2; round++) {
        b->w->host.files.no_uring = round == 1;
        int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
        assert_int_equal(ftruncate(fd, IMAGE_BYTES), 0);
        assert_int_equal(open_image(b, (struct block_open){ .fd = fd }), 0);
        fill(b->mem, 128 * KIB, 5);
        assert_int_equal(transfer(b, BLOCK_WRITE, 0, b->mem, 32 * KIB), 0);
        assert_int_equal(transfer(b, BLOCK_WRITE, 32 * KIB, b->mem, 128 * KIB), -ENOSPC);
        assert_int_equal(transfer(b, BLOCK_READ, 0, b->mem + 256 * KIB, 32 * KIB), 0);
        assert_memory_equal(b->mem, b->mem + 256 * KIB, 32 * KIB);
        block_close(b->block);
        b->block = NULL;
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(umount(dir), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void no_ring_means_plain_calls(void **state)
{
    struct bench *b = *state;
    struct rlimit before, none;
    b->w->host.files.no_uring = false;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    assert_int_equal(open_image(b, (struct block_open){ 0 }), 0);
    none.rlim_cur = (rlim_t)container_of(b->block, struct block_file, block)->fd + 1; /* no descriptor for a ring */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int err = transfer(b, BLOCK_READ, 0, b->mem, SECTOR);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(err, 0);
    assert_true(b->w->host.files.no_uring);
    assert_int_equal(b->w->lines, 1);
    assert_non_null(strstr(b->w->line, "io_uring"));
    assert_memory_equal(b->mem, b->image, SECTOR);
}

static bool ring_works(void)
{
    struct world *w = world_new();
    struct block_uring *uring;
    int err = block_uring_open(&w->host.files, &uring);
    if (err)
        print_message("skipped: the tests with io_uring, it is refused here: %s\n", strerror(-err));
    else
        block_uring_close(uring);
    world_free(w);
    return !err;
}

#define TEST(name)      cmocka_unit_test_setup_teardown(name, setup, teardown)
#define OPEN_TEST(name) cmocka_unit_test_setup_teardown(name, setup_plain, teardown)

int main(void)
{
    const struct CMUnitTest both[] = {
        TEST(opens_without_doing_anything),
        TEST(a_disk_in_memory_has_no_ring),
        TEST(reads_and_writes_hit_their_place),
        TEST(scatter_lists_of_any_shape),
        TEST(many_at_once_and_more_than_the_ring_has),
        TEST(close_finishes_what_is_in_flight),
        TEST(draining_leaves_the_other_disk_alone),
        TEST(discard_frees_and_reads_zero),
        TEST(behind_the_end_are_zeros),
        TEST(file_size_limit_is_an_error),
        TEST(read_only_is_kept),
        TEST(all_cache_modes_work),
        TEST(direct_takes_what_the_guest_gives),
        TEST(bounced_writes_do_not_meet),
    };
    const struct CMUnitTest opening[] = {
        OPEN_TEST(what_is_no_image_is_refused),   OPEN_TEST(descriptors_are_taken_if_they_fit),
        OPEN_TEST(odd_sizes_are_rounded_down),    OPEN_TEST(second_writer_is_refused),
        OPEN_TEST(locks_are_seen_by_other_tools), OPEN_TEST(a_lock_that_goes_away_is_waited_for),
        OPEN_TEST(the_holder_of_a_lock_is_named), OPEN_TEST(an_image_may_grow),
        OPEN_TEST(no_ring_means_plain_calls),     OPEN_TEST(full_disk_is_an_error),
    };
    int failed = 0;
    if (ring_works())
        failed += cmocka_run_group_tests_name("block-linux, io_uring", both, NULL, NULL);
    plain = true;
    failed += cmocka_run_group_tests_name("block-linux, plain calls", both, NULL, NULL);
    failed += cmocka_run_group_tests_name("block-linux, opening", opening, NULL, NULL);
    return failed;
}
