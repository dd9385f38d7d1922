/* Exceptions: see traps.h. */
#include "traps.h"

#include <inttypes.h>
#include <string.h>
#include <thindm/util.h>
#include <xen/xen.h>

#include "boot.h"
#include "console.h"
#include "crash.h"
#include "hypercall.h"
#include "mm-private.h"

extern const char trap_entries[];
_Noreturn void trap(const struct trap_frame *frame); /* boot.S's */

enum { VECTOR_NMI = 2, VECTOR_OVERRUN = 9, VECTOR_PAGE_FAULT = 14, VECTOR_RESERVED = 15, VECTOR_BREAKPOINT = 3 };
enum { FAULT_PRESENT = 1, FAULT_WRITE = 2, FAULT_FETCH = 16 };

static struct {
    const unsigned long *cr2; /* NULL: PVH, the register itself */
    jmp_buf *probe;
} traps;

const void *trap_entry(unsigned vector)
{
    /* An NMI has a callback of its own in PV, which we do without; 9 and 15 belong to no processor of today. */
    if (vector >= TRAP_VECTORS || vector == VECTOR_NMI || vector == VECTOR_OVERRUN || vector == VECTOR_RESERVED)
        return NULL;
    return trap_entries + vector * TRAP_ENTRY_BYTES;
}

void traps_init(const unsigned long *cr2)
{
    struct trap_info table[TRAP_VECTORS + 1];
    unsigned nr = 0;
    traps.cr2 = cr2;
    for (unsigned vector = 0; vector < TRAP_VECTORS; vector++) {
        if (trap_entry(vector))
            table[nr++] = (struct trap_info){ .vector = (uint8_t)vector,
                                              .flags = vector == VECTOR_BREAKPOINT ? 3 : 0,
                                              .cs = FLAT_KERNEL_CS,
                                              .address = (uintptr_t)trap_entry(vector) };
    }
    table[nr] = (struct trap_info){ 0 };
    long err = hypercall(__HYPERVISOR_set_trap_table, (uintptr_t)table, 0, 0, 0, 0);
    if (err)
        crash("no exceptions: %ld", err);
}

void traps_expect(jmp_buf *probe)
{
    traps.probe = probe;
}

static const char *name_of(uint64_t vector)
{
    static const char *const names[TRAP_VECTORS] = {
        [0] = "division by zero",
        [1] = "debug",
        [3] = "breakpoint",
        [4] = "overflow",
        [5] = "bound",
        [6] = "invalid opcode",
        [7] = "no coprocessor",
        [8] = "double fault",
        [10] = "invalid TSS",
        [11] = "no segment",
        [12] = "stack segment",
        [13] = "general protection",
        [14] = "page fault",
        [16] = "floating point",
        [17] = "misaligned address",
        [18] = "machine check",
        [19] = "SIMD floating point",
    };
    return vector < TRAP_VECTORS && names[vector] ? names[vector] : "exception";
}

static uint64_t fault_address(void)
{
    uint64_t address;
    if (traps.cr2)
        return *traps.cr2;
    __asm__ volatile("mov %%cr2, %0" : "=r"(address));
    return address;
}

static void report_registers(const struct trap_frame *f)
{
    console_print("rip %016" PRIx64 " cs %04x rflags %08" PRIx64 " rsp %016" PRIx64 " ss %04x\n", f->rip,
                  (unsigned)(f->cs & 0xffff), f->rflags, f->rsp, (unsigned)(f->ss & 0xffff));
    console_print("rax %016" PRIx64 " rbx %016" PRIx64 " rcx %016" PRIx64 " rdx %016" PRIx64 "\n", f->rax, f->rbx,
                  f->rcx, f->rdx);
    console_print("rsi %016" PRIx64 " rdi %016" PRIx64 " rbp %016" PRIx64 " r8  %016" PRIx64 "\n", f->rsi, f->rdi,
                  f->rbp, f->r8);
    console_print("r9  %016" PRIx64 " r10 %016" PRIx64 " r11 %016" PRIx64 " r12 %016" PRIx64 "\n", f->r9, f->r10,
                  f->r11, f->r12);
    console_print("r13 %016" PRIx64 " r14 %016" PRIx64 " r15 %016" PRIx64 "\n", f->r13, f->r14, f->r15);
}

_Noreturn void trap(const struct trap_frame *frame)
{
    uint64_t address = fault_address();
    if (traps.probe) {
        jmp_buf *probe = traps.probe;
        traps.probe = NULL;
        longjmp(*probe, (int)(TRAP_PROBED | frame->vector));
    }
    crash_begin();
    if (frame->vector == VECTOR_PAGE_FAULT)
        console_print("crash: page fault: %s %s at %016" PRIx64 "\n",
                      frame->error & FAULT_FETCH   ? "execution of"
                      : frame->error & FAULT_WRITE ? "write to"
                                                   : "read of",
                      frame->error & FAULT_PRESENT ? "a protected page" : "nothing", address);
    else
        console_print("crash: %s (%u), error code %#" PRIx64 "\n", name_of(frame->vector), (unsigned)frame->vector,
                      frame->error);
    report_registers(frame);
    crash_end(frame->rip, frame->rbp);
}
