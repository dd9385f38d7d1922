/* See selftest.h. */
#include "selftest.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thindm/log.h>

#include "boot-private.h"
#include "clock.h"
#include "console.h"
#include "events.h"
#include "mm.h"
#include "store.h"
#include "traps.h"

static int failures;

static void verdict(const char *name, bool good, const char *format, ...) PRINTF_LIKE(3, 4);
static void verdict(const char *name, bool good, const char *format, ...)
{
    char detail[160];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(detail, sizeof(detail), format, args);
    va_end(args);
    console_print("SELFTEST %s %s %s\n", name, good ? "PASS" : "FAIL", detail);
    failures += !good;
}

/* newlib built without its C99 formats prints these wrongly and shifts what follows. */
static void formats(void)
{
    char text[128];
    (void)snprintf(text, sizeof(text), "%zu %hhx %lld %jd %td %5.3s|%-4d|%04x %" PRIu64 " %c%%", (size_t)1234567890123,
                   (unsigned char)0xab, (long long)-9876543210, (intmax_t)-5, (ptrdiff_t)7, "abcdef", 42, 0xbe,
                   UINT64_MAX, 'z');
    verdict("formats", strcmp(text, "1234567890123 ab -9876543210 -5 7   abc|42  |00be 18446744073709551615 z%") == 0,
            "%s", text);
}

struct protection {
    size_t mapped, executable, both;
    uintptr_t first;
};

static void count_page(void *opaque, uintptr_t at, uint64_t entry)
{
    struct protection *p = opaque;
    bool executable = !(entry & PTE_NX);
    p->mapped++;
    p->executable += executable;
    if (executable && ((entry & PTE_WRITABLE) || at < (uintptr_t)image_begin || at >= (uintptr_t)text_end)) {
        p->first = p->both++ > 0 ? p->first : at;
    }
}

static void write_xor_execute(void)
{
    struct protection p = { 0 };
    mm_walk(count_page, &p);
    verdict("w-xor-x", p.both == 0 && p.executable == (size_t)(text_end - image_begin) / PAGE_BYTES,
            "%zu pages, %zu executable, %zu of them writable or not code (%#" PRIxPTR ")", p.mapped, p.executable,
            p.both, p.first);
}

/* The compiler must not see which address it is. */
static void do_read(void *at)
{
    volatile char *volatile hidden = at;
    (void)*hidden;
}

static void do_write(void *at)
{
    volatile char *volatile hidden = at;
    *hidden = 0;
}

static void do_execute(void *at)
{
    ((void (*)(void))(uintptr_t)at)();
}

static void do_breakpoint(void *at)
{
    __asm__ volatile("int3");
}

static void do_undefined(void *at)
{
    __asm__ volatile("ud2");
}

/* The exception that fn(at) must cause. */
static void must_fault(const char *name, void (*fn)(void *at), void *at, int vector)
{
    static jmp_buf probe;
    volatile int got = setjmp(probe);
    if (got == 0) {
        traps_expect(&probe);
        fn(at);
        traps_expect(NULL);
    }
    verdict(name, got == (TRAP_PROBED | vector), "%d", got & ~TRAP_PROBED);
}

static void faults(void)
{
    static const char constant[16] = "constant";
    static char data[16] = { (char)0xc3 }; /* ret */
    must_fault("null", do_read, NULL, 14);
    must_fault("write-code", do_write, image_begin, 14);
    must_fault("write-constant", do_write, (void *)(uintptr_t)constant, 14);
    must_fault("execute-data", do_execute, data, 14);
    must_fault("execute-page", do_execute, page_alloc(1), 14);
    must_fault("stack-guard-end", do_write, stack_guard + MM_GUARD_PAGES * PAGE_BYTES - 1, 14);
    must_fault("stack-guard-begin", do_write, stack_guard, 14);
    must_fault("breakpoint", do_breakpoint, NULL, 3);
    must_fault("undefined", do_undefined, NULL, 6);
}

static void no_event(void *opaque, evtchn_port_t port)
{
    (*(unsigned *)opaque)++;
}

static void clocks(void)
{
    uint64_t last = clock_now_ns(), seconds, now;
    uint32_t nanoseconds;
    bool back = false;
    for (unsigned i = 0; i < 1000; i++, last = now) {
        now = clock_now_ns();
        back |= now < last;
    }
    verdict("clock", !back && last > 0, "%" PRIu64 " ns", last);
    clock_wall(&seconds, &nanoseconds);
    if (!boot_info()->pvh) /* whose wall clock Xen 4.17 leaves at 0 */
        verdict("wall-clock", seconds > UINT64_C(1700000000) && nanoseconds < NS_PER_S, "%" PRIu64, seconds);
}

/* The time-out of a poll is the only timer. */
static void timer(void)
{
    uint64_t begin = clock_now_ns(), end = begin + 20 * NS_PER_MS, rounds = 0;
    for (; clock_now_ns() < end; rounds++)
        (void)events_wait((int64_t)(end - clock_now_ns()));
    verdict("timer", rounds <= 3, "%" PRIu64 " us late, %" PRIu64 " rounds", (clock_now_ns() - end) / 1000, rounds);
}

/* A channel whose two ends are both ours. */
static void channels(void)
{
    evtchn_port_t server, client;
    unsigned calls = 0;
    int err = events_alloc_unbound(DOMID_SELF, &server);
    if (err == 0)
        err = events_bind_interdomain(DOMID_SELF, server, &client);
    if (err) {
        verdict("events", false, "%d", err);
        return;
    }
    (void)events_take(client);
    (void)events_take(server);
    verdict("events-quiet", events_wait_port(server, clock_now_ns() + NS_PER_MS) == -ETIMEDOUT, "%u", server);
    err = events_listen(server, no_event, &calls);
    (void)events_notify(client);
    (void)events_wait(-1); /* for ever, if the event got lost */
    verdict("events", err == 0 && calls == 1 && !events_take(server), "%u calls", calls);
    events_close(client);
    events_close(server);
}

static void give_back(void)
{
    size_t before = pages_free(), given = pages_give_back(before / 2);
    verdict("give-back", given == before - pages_free(), "%zu of %zu pages", given, before);
}

/* All of the memory, a page at a time and in large pieces; twice, so that what was given back is found again. */
static void memory(void)
{
    size_t before = pages_free(), got = 0;
    void **last = NULL, **page;
    while ((page = page_alloc(1))) {
        page[0] = last;
        page[PAGE_BYTES / sizeof(*page) - 1] = page;
        last = page;
        got++;
    }
    bool good = true;
    for (; last; last = page) {
        page = last[0];
        good &= last[PAGE_BYTES / sizeof(*page) - 1] == last;
        page_free(last, 1);
    }
    verdict("pages", good && got > 0 && got <= before, "%zu of %zu", got, before);
    before = pages_free();
    uint8_t *large = page_alloc(before / 2);
    good = large && large[0] == 0 && large[before / 2 * PAGE_BYTES - 1] == 0;
    page_free(large, before / 2);
    verdict("large-piece", good && pages_free() == before, "%zu pages", before / 2);
    char *bytes = malloc(100000);
    good = bytes && memset(bytes, 1, 100000);
    free(bytes);
    verdict("heap", good && !malloc(SIZE_MAX / 2), "%zu pages left", pages_free());
}

/* A page of our own seen through a window. */
static void windows(void)
{
    uint32_t *page = page_alloc(1), *window = window_alloc(3);
    xen_pfn_t frames[3] = { page_frame(page), UINT64_C(1) << 39, page_frame(page) };
    int err[3] = { 1, 1, 1 };
    int result = window ? window_map(window, 3, frames, DOMID_SELF, WINDOW_GUEST, err) : -ENOMEM;
    bool good = result == 0 && err[0] == 0 && err[1] < 0 && err[2] == 0;
    if (good) {
        page[0] = 0x12345678;
        good = window[0] == 0x12345678;
        window[2 * PAGE_BYTES / sizeof(*window) + 1] = 1;
        good &= page[1] == 1;
    }
    verdict("window", good, "%d: %d %d %d", result, err[0], err[1], err[2]);
    window_unmap(window, 3);
    must_fault("window-unmapped", do_read, window, 14);
    window_free(window, 3);
    page_free(page, 1);
}

/* As a device model would: with the guest that it serves, if libxl started us for one. */
static void fall(void)
{
    uint64_t target;
    if (store_init(boot_info()->store_page, boot_info()->store_port) == 0 && store_read_u64("target", &target) == 0)
        crash_set_target((domid_t)target);
    do_write((void *)(uintptr_t)0x10);
}

/* Down to the guard pages. The sum keeps each frame until its callees are back. */
static unsigned recurse(volatile unsigned *depth)
{
    volatile char frame[512] = { 0 };
    ++*depth;
    return *depth > 0 ? recurse(depth) + (unsigned)frame[*depth % sizeof(frame)] : 0;
}

int selftest(const char *cmdline)
{
    volatile unsigned depth = 0;
    if (strcmp(cmdline, "selftest overflow") == 0)
        return (int)recurse(&depth);
    if (strcmp(cmdline, "selftest crash") == 0)
        fall();
    if (strcmp(cmdline, "selftest idle") == 0) {
        console_print("SELFTEST idle\n");
        for (;;)
            (void)events_wait(-1);
    }
    formats();
    write_xor_execute();
    faults();
    clocks();
    timer();
    channels();
    if (!boot_info()->pvh) /* own pages have only one place there */
        windows();
    give_back();
    memory();
    write_xor_execute();
    log_print(console_log(), LOG_INFO, "selftest", "a log line");
    console_print("SELFTEST done, %d failures\n", failures);
    return failures;
}
