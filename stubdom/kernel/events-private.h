/* What only the start needs of events.h. */
#ifndef THINDM_EVENTS_PRIVATE_H
#define THINDM_EVENTS_PRIVATE_H

#include <xen/xen.h>

/* The page is Xen's and stays mapped. */
void events_init(struct shared_info *shared);

#endif
