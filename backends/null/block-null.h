/* A disk of zeros. For tests, benches and fuzzers, on every host. */
#ifndef THINDM_BLOCK_NULL_H
#define THINDM_BLOCK_NULL_H

#include <thindm/block.h>

/*
 * A disk of size_bytes (rounded down to 512): reads give zeros, writes and discards vanish. *out is the caller's until
 * block_close(). 0 or -ENOMEM. Calls nobody back.
 */
int block_null_open(struct loop *loop, uint64_t size_bytes, struct block **out) WARN_UNUSED;

#endif
