/*
 * Exceptions. Each is a mistake of ours, or an attack: a report on the console, then crash(). The self-test alone
 * causes some on purpose. Sources: xen/include/public/arch-x86/{xen.h,xen-x86_64.h} (PV), AMD64 APM vol. 2, 8.9 (PVH).
 */
#ifndef THINDM_TRAPS_H
#define THINDM_TRAPS_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TRAP_VECTORS = 22, TRAP_ENTRY_BYTES = 16, TRAP_NATIVE_BYTES = 3 };

/* What boot.S leaves on the stack. */
struct trap_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
    uint64_t vector, error;
    uint64_t rip, cs, rflags, rsp, ss; /* the processor's */
};

/* PV: Xen calls us from now on; cr2 is where it leaves the address of a page fault. */
void traps_init(const unsigned long *cr2);
/* Entry of vector as boot.S has it, or NULL: it cannot happen. */
const void *trap_entry(unsigned vector);

/* The next exception is expected and jumps there, with the value TRAP_PROBED | vector; NULL: none is. */
enum { TRAP_PROBED = 0x100 };
void traps_expect(jmp_buf *probe);

#endif
