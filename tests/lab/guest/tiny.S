# A guest in one boot sector, for cases that need many starts and no operating system. Greets on COM1 and obeys
# single letters from there: r resets through the keyboard controller, c through port 0xcf9, p powers off, others are
# echoed.
    .code16
    .globl _start
_start:
    ljmp $0, $1f
1:  xor %ax, %ax
    mov %ax, %ds
    cli
    mov $0x3fb, %dx         # 115200 8N1, FIFO on
    mov $0x80, %al
    out %al, %dx
    mov $0x3f8, %dx
    mov $1, %al
    out %al, %dx
    inc %dx
    xor %al, %al
    out %al, %dx
    mov $0x3fb, %dx
    mov $3, %al
    out %al, %dx
    dec %dx
    mov $7, %al
    out %al, %dx
    mov $hello, %si
2:  lodsb
    test %al, %al
    jz 3f
    call put
    jmp 2b

3:  mov $0x3fd, %dx
4:  in %dx, %al
    test $1, %al
    jnz 5f
    sti                     # look again at the firmware's next timer tick
    hlt
    cli
    mov $0x3fd, %dx
    jmp 4b
5:  mov $0x3f8, %dx
    in %dx, %al
    cmp $'r', %al
    je keyboard_reset
    cmp $'c', %al
    je port_reset
    cmp $'p', %al
    je power_off
    call put
    jmp 3b

put:
    push %ax
    mov $0x3fd, %dx
1:  in %dx, %al
    test $0x20, %al
    jz 1b
    pop %ax
    mov $0x3f8, %dx
    out %al, %dx
    ret

keyboard_reset:
    mov $0xfe, %al
    out %al, $0x64
    hlt
port_reset:
    mov $0xcf9, %dx
    mov $2, %al
    out %al, %dx
    mov $6, %al
    out %al, %dx
    hlt
power_off:                  # PM1a control of Xen's machine: sleep type 0 is S5 there
    mov $0xb004, %dx
    mov $0x2000, %ax
    out %ax, %dx
    hlt

hello:
    .asciz "LAB tiny\r\n"
    .org 510
    .word 0xaa55
