/* What the files of the rig share. */
#ifndef THINDM_RIG_PRIVATE_H
#define THINDM_RIG_PRIVATE_H

#include "rig.h"

/* record.c */
void rig_record_start(struct rig *r);
void rig_record_stop(struct rig *r);

extern const struct loop_host rig_clock;
extern const struct hv_ops rig_hv_ops;

#endif
