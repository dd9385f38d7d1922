/*
 * The notes that the toolstack reads, the first instructions, and the entries of exceptions.
 * Sources: xen/include/public/{elfnote.h,xen.h,arch-x86/xen-x86_64.h,arch-x86/hvm/start_info.h}.
 */
#include <xen/elfnote.h>

.macro note type:req, size:req, value:vararg
    .balign 4
    .long 4, \size, \type
    .asciz "Xen"
    .balign 4
    \value
    .balign 4
.endm

    .section .note.Xen, "a", @note
    note XEN_ELFNOTE_GUEST_OS, 7, .asciz "thindm"
    note XEN_ELFNOTE_LOADER, 8, .asciz "generic"
    note XEN_ELFNOTE_XEN_VERSION, 8, .asciz "xen-3.0"
    note XEN_ELFNOTE_VIRT_BASE, 8, .quad image_begin
    note XEN_ELFNOTE_PADDR_OFFSET, 8, .quad image_begin
    note XEN_ELFNOTE_ENTRY, 8, .quad start_pv
    note XEN_ELFNOTE_MOD_START_PFN, 4, .long 1 /* the ramdisk needs no room in the first page tables */

/* The stack. What grows out of it meets the page below, which mm.c unmaps. */
    .section .bss.pages, "aw", @nobits
    .balign 4096
    .global stack_guard, stack_bottom, stack_top
stack_guard:
    .skip 4096
stack_bottom:
    .skip 32768
stack_top:

/* Interrupts are off for ever; rsi points to start_info. rdx:rax, the time, is what start_up() measures from, and the canary of the
 * stack protector; its lowest byte is zero so that no string runs over it. */
    .section .text.boot, "ax"
    .code64
    .global start_pv
start_pv:
    cld
    mov $stack_top, %esp
    xor %ebp, %ebp
    mov %rsi, %rdi
    rdtsc
    shl $32, %rdx
    or %rdx, %rax
    mov %rax, %rsi
    movabs $0x9e3779b97f4a7c15, %rcx /* spreads the bits that change from boot to boot */
    imul %rcx, %rax
    shl $8, %rax
    mov %rax, __stack_chk_guard(%rip)
    call boot_pv
    ud2

/*
 * One entry of TRAP_ENTRY_BYTES for each exception. Xen pushes rcx and r11 on top of what a processor pushes [xen-x86_64.h]; with
 * these taken off again the rest, from TRAP_NATIVE_BYTES on, serves PV and PVH.
 */
    .text
    .global trap_entries
    .balign 16
trap_entries:
.set vector, 0
.rept 22
    .balign 16
    pop %rcx
    pop %r11
    .if (0x227d00 >> vector) & 1 /* 8, 10-14, 17, 21 come with an error code */
    .else
    pushq $0
    .endif
    pushq $vector
    jmp trap_common
    .set vector, vector + 1
.endr

/* struct trap_frame, from its end to its begin. Nobody returns: an exception ends the stubdomain, or a probe's longjmp(). */
trap_common:
    push %rax
    push %rbx
    push %rcx
    push %rdx
    push %rsi
    push %rdi
    push %rbp
    push %r8
    push %r9
    push %r10
    push %r11
    push %r12
    push %r13
    push %r14
    push %r15
    cld
    mov %rsp, %rdi
    and $-16, %rsp
    xor %ebp, %ebp
    call trap
    ud2

    .section .note.GNU-stack, "", @progbits
