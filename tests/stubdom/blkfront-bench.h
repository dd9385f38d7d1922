/* The bench of the PV disks' tests: a disk on a back end in the same process, and requests to it. */
#ifndef THINDM_TESTS_STUBDOM_BLKFRONT_BENCH_H
#define THINDM_TESTS_STUBDOM_BLKFRONT_BENCH_H

#include "blkback.h"

#include "../../stubdom/front/front.h"
#include <errno.h>
#include <rig.h>
#include <stdlib.h>
#include <string.h>

enum { NR_IOS = 200, MIB_BYTES = 1 << 20 };

struct io {
    struct block_req req;
    struct vec vec[8];
    int result;
    unsigned done;
    struct bench *bench;
    unsigned again; /* how often done() submits it anew */
};

struct bench {
    struct blkback back;
    struct block *block;
    struct io ios[NR_IOS];
    uint8_t data[4 * MIB_BYTES];
};

static inline int set_up(void **state)
{
    struct bench *b = *state = calloc(1, sizeof(*b));
    assert_non_null(b);
    fakexen_init();
    blkback_init(&b->back);
    return 0;
}

static inline int tear_down(void **state)
{
    struct bench *b = *state;
    block_close(b->block);
    fakexen_finish();
    free(b);
    return 0;
}

static inline int open_disk(struct bench *b)
{
    return blkfront_open(BLKBACK_FRONT, &fakexen.loop, &fakexen.log, &b->block);
}

static inline struct bench *connected(void **state)
{
    struct bench *b = *state;
    assert_int_equal(open_disk(b), 0);
    return b;
}

static inline void done(struct block_req *req, int err)
{
    struct io *io = req->opaque;
    io->result = err;
    io->done++;
    if (io->again > 0) {
        io->again--;
        block_submit(io->bench->block, req);
    }
}

/* Submit, with the data at the same place of data[] as on the disk. */
static inline struct io *submit(struct bench *b, unsigned nr, enum block_op op, uint64_t offset, uint64_t len)
{
    struct io *io = &b->ios[nr];
    io->bench = b;
    io->done = 0;
    io->result = 1;
    io->vec[0] = (struct vec){ b->data + offset, len };
    io->req = (struct block_req){ .op = op,
                                  .offset = offset,
                                  .len = op == BLOCK_FLUSH ? 0 : len,
                                  .vec = io->vec,
                                  .nvec = 1,
                                  .done = done,
                                  .opaque = io };
    block_submit(b->block, &io->req);
    return io;
}

static inline int run(struct bench *b, enum block_op op, uint64_t offset, uint64_t len)
{
    struct io *io = submit(b, 0, op, offset, len);
    assert_int_equal(io->done, 0); /* never inside submit() */
    fakexen_settle();
    assert_int_equal(io->done, 1);
    return io->result;
}

static inline void fill(struct bench *b, uint8_t seed)
{
    for (size_t i = 0; i < sizeof(b->data); i++)
        b->data[i] = (uint8_t)(i * 13 + i / 512 + seed);
}

#endif
