/*
 * The one way out of the stubdomain. Everything else in this folder is built on it, so that a test that brings its own
 * hypercall() has all of the kernel on the host. Sources: xen/include/public/xen.h; xen/errno.h.
 */
#ifndef THINDM_HYPERCALL_H
#define THINDM_HYPERCALL_H

#include <stdint.h>
#include <xen/xen.h>

/*
 * Hypercall nr [xen.h, __HYPERVISOR_*] with up to five arguments (0 for those it does not have); pointers are our virtual
 * addresses. What Xen answers: >= 0, or -errno. Xen's error numbers are Linux's, and so are those of the C library
 * here (include/sys/errno.h).
 */
long hypercall(unsigned nr, uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e);

#endif
