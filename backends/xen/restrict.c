/*
 * Giving up everything but the one domain. Source: xentoolcore.h, xentoolcore_restrict_all().
 */
#include "xen-private.h"
#include <xentoolcore.h>

int xen_restrict(struct xen *xen)
{
    if (xentoolcore_restrict_all(xen->config.domid))
        return xen_errno();
    xen->restricted = true;
    return 0;
}
