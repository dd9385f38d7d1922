/* What backends/xen uses of libxencall: plain hypercalls. Declared in xencall.h. */
#include "../kernel/hypercall.h"
#include "xenlib.h"
#include <errno.h>
#include <stdlib.h>
#include <xencall.h>

struct xencall_handle {
    char unused;
};
static struct xencall_handle the_handle;

int xenlib_result(long result)
{
    if (result >= 0)
        return (int)result;
    errno = (int)-result;
    return -1;
}

xencall_handle *xencall_open(struct xentoollog_logger *logger, unsigned open_flags)
{
    return &the_handle;
}

int xencall_close(xencall_handle *xcall)
{
    return 0;
}

int xencall2(xencall_handle *xcall, unsigned int op, uint64_t arg1, uint64_t arg2)
{
    return xenlib_result(hypercall(op, arg1, arg2, 0, 0, 0));
}

/* All of our memory is good for a hypercall. */
void *xencall_alloc_buffer(xencall_handle *xcall, size_t size)
{
    return calloc(1, size);
}

void xencall_free_buffer(xencall_handle *xcall, void *p)
{
    free(p);
}
