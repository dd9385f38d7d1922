/*
 * What the kernel found at the start, and the ways to end. boot.S enters here as a PV guest [xen.h, struct start_info]
 * or as a PVH guest [arch-x86/hvm/start_info.h]; stubdom_main() runs with memory, console, events and clock ready.
 */
#ifndef THINDM_BOOT_H
#define THINDM_BOOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <thindm/util.h>
#include <xen/sched.h>
#include <xen/xen.h>

struct boot_info {
    bool pvh;             /* booted as PVH: frames are our own guest frame numbers, not machine frames */
    const char *cmdline;  /* stubdomain_cmdline, or "" */
    const void *ramdisk;  /* NULL: none. Ours, writable, never freed */
    size_t ramdisk_bytes; /* PV: rounded up to whole pages by the toolstack */
    void *store_page;     /* ring and channel of xenstore */
    uint32_t store_port;
    uint64_t start_ns; /* clock_now_ns() of the first instruction */
};
const struct boot_info *boot_info(void);

/* The whole stubdomain; main.c's. What it returns: 0 powers the stubdomain off, anything else is a crash(). */
int stubdom_main(void);

/* From now on the end of the stubdomain by crash() or by an exception ends domain target as crashed as well: its device
 * model is gone, and nobody else would tell. */
void crash_set_target(domid_t target);
/* A line on the console, then target and stubdomain are shut down as crashed. */
_Noreturn void crash(const char *format, ...) PRINTF_LIKE(1, 2);
/* Ends the stubdomain alone [sched.h, SHUTDOWN_*], once the console is read out. */
_Noreturn void shutdown(unsigned reason);

#endif
