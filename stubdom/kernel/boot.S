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
    note XEN_ELFNOTE_PHYS32_ENTRY, 4, .long start_pvh

/* The stack. What grows out of it meets the pages below, which mm.c unmaps: as large as a function's frame may be. */
    .section .bss.pages, "aw", @nobits
    .balign 4096
    .global stack_guard, stack_bottom, stack_top
stack_guard:
    .skip 8192
stack_bottom:
    .skip 32768
stack_top:

/* The first page tables of a PVH guest: mm.c makes others, and these pages are free. */
    .global pvh_first_tables
pvh_first_tables:
top_table:
    .skip 4096
third_table:
    .skip 4096
second_table:
    .skip 4096

/*
 * Interrupts are off for ever; rsi points to start_info. The time is what the start is measured from, and makes the canary
 * of the stack protector, whose lowest byte is zero so that no string runs over it.
 */
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
 * A PVH guest: 32 bits, flat, no paging, no stack; ebx points to hvm_start_info. The first gigabyte is mapped where it is,
 * in pages of 2 MiB, and the processor switched to 64 bits [AMD64 APM vol. 2, 14.6].
 */
    .set CR0, 0x80010023 /* PG, WP, NE, MP, PE */
    .set CR4, 0x620      /* OSXMMEXCPT, OSFXSR, PAE */
    .set EFER, 0xc0000080
    .set EFER_LME_NXE, 0x900
    .code32
start_pvh:
    cld
    mov $stack_top, %esp
    mov %ebx, %ebp
    rdtsc
    push %edx
    push %eax
    mov $0x83, %eax /* large, writable, present */
    mov $second_table, %edi
1:  mov %eax, (%edi)
    add $0x200000, %eax
    add $8, %edi
    cmp $second_table + 4096, %edi
    jne 1b
    movl $second_table + 3, third_table
    movl $third_table + 3, top_table
    mov $top_table, %eax
    mov %eax, %cr3
    mov $CR4, %eax
    mov %eax, %cr4
    mov $EFER, %ecx
    rdmsr
    or $EFER_LME_NXE, %eax
    wrmsr
    mov $CR0, %eax
    mov %eax, %cr0
    lgdt pvh_gdt_pointer
    ljmp $8, $1f
    .code64
1:  mov $16, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov %esp, %esp
    pop %rsi
    mov %ebp, %edi
    xor %ebp, %ebp
    movabs $0x9e3779b97f4a7c15, %rax
    imul %rsi, %rax
    shl $8, %rax
    mov %rax, __stack_chk_guard(%rip)
    call boot_pvh
    ud2

/* Code of 64 bits, data, and the task state, which boot-pvh.c fills in. */
    .data
    .balign 16
    .global pvh_gdt
pvh_gdt:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0, 0
pvh_gdt_pointer:
    .short . - pvh_gdt - 1
    .long pvh_gdt

/*
 * One entry of TRAP_ENTRY_BYTES for each exception. Xen pushes rcx and r11 on top of what a processor pushes
 * [xen-x86_64.h]; with these taken off again the rest, from TRAP_NATIVE_BYTES on, serves PV and PVH.
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

/* struct trap_frame, from its end to its begin. Nobody returns: an exception ends the stubdomain, or in a longjmp(). */
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
