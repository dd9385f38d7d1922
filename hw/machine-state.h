/* The state of a whole board, for the flight recorder: records of all devices, and what lies between them. */
#ifndef THINDM_MACHINE_STATE_H
#define THINDM_MACHINE_STATE_H

#include "machine.h"

/* Could it be saved right now, without waiting for anything? */
bool machine_quiet(const struct machine *m);
/* Append the state. 0 or -ENOMEM. As long each time while the board is quiet. */
int machine_save(struct machine *m, struct snap_buf *out) WARN_UNUSED;
/*
 * Into a board that was built from the same configuration. 0, or -EINVAL with a line in error; the board is good for
 * nothing but machine_destroy() then. A medium that was changed since the start can't be brought back.
 */
int machine_restore(struct machine *m, struct snap_buf *in, char error[CONFIG_ERROR_BYTES]) WARN_UNUSED;

#endif
