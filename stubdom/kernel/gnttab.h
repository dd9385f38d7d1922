/* Pages of our own that other domains may use [xen/include/public/grant_table.h, version 1 entries]. */
#ifndef THINDM_GNTTAB_H
#define THINDM_GNTTAB_H

#include <stdbool.h>
#include <stdint.h>
#include <xen/grant_table.h>

/* Map the table. 0 or -errno. */
int gnttab_init(void);
/* Let domain dom use page (one of ours). 0 and *ref, or -ENOSPC. */
int gnttab_grant(domid_t dom, const void *page, bool read_only, grant_ref_t *ref);
/* Take it back. -EBUSY: dom still has it mapped; the page must not be used for anything else, try again later. */
int gnttab_revoke(grant_ref_t ref);

#endif
