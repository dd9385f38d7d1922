/* Between core/block.c and core/block-policy.c. */
#ifndef THINDM_CORE_BLOCK_PRIVATE_H
#define THINDM_CORE_BLOCK_PRIVATE_H

#include <thindm/block.h>

/* No -errno: the request waits for block_errors_retry() or a drain. */
enum { BLOCK_HELD = 1 };

/* What the policy of req->block makes of err: what to finish the request with, or BLOCK_HELD. */
int block_judge(struct block_req *req, int err);
/* Submit to the back end again what is held. */
void block_retry(struct block *block);

#endif
