/* Hypercalls: see hypercall.h. */
#include "hypercall.h"

#include "hypercall-private.h"

static enum hypercall_way way = HYPERCALL_SYSCALL;

void hypercall_init(enum hypercall_way new_way)
{
    way = new_way;
}

/* Xen may write to the argument registers, so they are results too [xen-x86_64.h]. A long hypercall is continued by
 * running the instruction once more, so nothing else may be part of it. */
#define CALL(instruction)                                                                                              \
    __asm__ volatile(instruction                                                                                       \
                     : "+a"(result), "+D"(a), "+S"(b), "+d"(c), "+r"(r10), "+r"(r8)                                    \
                     :                                                                                                 \
                     : "rcx", "r11", "memory", "cc")

long hypercall(unsigned nr, uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e)
{
    register uintptr_t r10 __asm__("r10") = d;
    register uintptr_t r8 __asm__("r8") = e;
    long result = (long)nr;
    switch (way) {
    case HYPERCALL_SYSCALL: CALL("syscall"); break;
    case HYPERCALL_VMCALL: CALL("vmcall"); break;
    case HYPERCALL_VMMCALL: CALL("vmmcall"); break;
    }
    return result;
}
