/* The ways to end: see boot.h. Source: xen/include/public/sched.h. */
#include "crash.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "boot.h"
#include "console.h"
#include "hypercall.h"

extern const char stack_bottom[], stack_top[], image_begin[], text_end[];
extern const uint8_t build_id_note[], build_id_end[];

enum { MAX_DEPTH = 32, BUILD_ID_AT = 16 }; /* behind the note's head and "GNU" */

static struct {
    bool crashing;
    domid_t target; /* 0: there is none; Dom0 is never one */
} end;

void crash_set_target(domid_t target)
{
    end.target = target;
}

_Noreturn void shutdown(unsigned reason)
{
    struct sched_shutdown op = { .reason = reason };
    console_drain();
    for (;;)
        (void)hypercall(__HYPERVISOR_sched_op, SCHEDOP_shutdown, (uintptr_t)&op, 0, 0, 0);
}

static _Noreturn void end_both(void)
{
    struct sched_remote_shutdown op = { .domain_id = end.target, .reason = SHUTDOWN_crash };
    if (end.target != 0) {
        long err = hypercall(__HYPERVISOR_sched_op, SCHEDOP_remote_shutdown, (uintptr_t)&op, 0, 0, 0);
        console_print("crash: domain %u is ended as crashed: %ld\n", end.target, err);
    }
    shutdown(SHUTDOWN_crash);
}

void crash_begin(void)
{
    if (end.crashing)
        end_both();
    end.crashing = true;
}

/* Of a frame: the caller's frame, then the address it goes on at. Only what lies on the stack, and further up each
 * time. */
static void backtrace(uint64_t pc, uint64_t frame)
{
    console_print("called from, by addr2line -e thindm-stubdom.debug:\n");
    console_print("  %016" PRIx64 "\n", pc);
    for (unsigned depth = 0; depth < MAX_DEPTH; depth++) {
        if (frame % sizeof(uint64_t) != 0 || frame < (uintptr_t)stack_bottom ||
            frame > (uintptr_t)stack_top - 2 * sizeof(uint64_t))
            return;
        const uint64_t *at = (const uint64_t *)(uintptr_t)frame;
        if (at[1] < (uintptr_t)image_begin || at[1] >= (uintptr_t)text_end)
            return;
        console_print("  %016" PRIx64 "\n", at[1]);
        if (at[0] <= frame)
            return;
        frame = at[0];
    }
}

static void print_build_id(void)
{
    char text[2 * 20 + 1] = "";
    size_t len = 0;
    for (const uint8_t *p = build_id_note + BUILD_ID_AT; p < build_id_end && len + 2 < sizeof(text); p++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%02x", *p);
    console_print("build id %s\n", text);
}

_Noreturn void crash_end(uint64_t pc, uint64_t frame_pointer)
{
    print_build_id();
    backtrace(pc, frame_pointer);
    end_both();
}

_Noreturn void crash(const char *format, ...)
{
    char text[256];
    va_list args;
    crash_begin();
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    console_print("crash: %s\n", text);
    crash_end((uintptr_t)__builtin_return_address(0), *(uint64_t *)__builtin_frame_address(0));
}
