/* How a hypercall leaves the guest: PV by syscall, PVH by the instruction of the processor's maker. */
#ifndef THINDM_HYPERCALL_PRIVATE_H
#define THINDM_HYPERCALL_PRIVATE_H

enum hypercall_way { HYPERCALL_SYSCALL, HYPERCALL_VMCALL, HYPERCALL_VMMCALL };

void hypercall_init(enum hypercall_way way);

#endif
