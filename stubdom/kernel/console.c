/* The log's ring: see console.h. The indices run free; what Dom0 writes to its one is checked before it is used. */
#include "console.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <xen/xen.h>

#include <xen/io/console.h>

#include "clock.h"
#include "events.h"

#define CONSOLE_WAIT_NS  (50 * NS_PER_MS)
#define CONSOLE_DRAIN_NS NS_PER_S

static struct {
    struct xencons_interface *ring;
    uint32_t port;
    size_t dropped;
    bool stuck; /* Dom0 did not read in time, and has not since: */
    XENCONS_RING_IDX stuck_at;
} console;

void console_init(void *page, uint32_t port)
{
    memset(&console, 0, sizeof(console));
    console.ring = page;
    console.port = port;
}

static uint32_t used(void)
{
    return console.ring->out_prod - __atomic_load_n(&console.ring->out_cons, __ATOMIC_ACQUIRE);
}

static uint32_t room(void)
{
    uint32_t n = used();
    return n < sizeof(console.ring->out) ? (uint32_t)sizeof(console.ring->out) - n : 0;
}

/* Until at most limit bytes are unread. */
static bool wait_read(uint32_t limit, uint64_t patience_ns)
{
    uint64_t deadline = clock_now_ns() + patience_ns;
    (void)events_notify(console.port);
    while (used() > limit) {
        if (events_wait_port(console.port, deadline) != 0)
            return false;
        (void)events_take(console.port);
    }
    return true;
}

/* One wait is enough: a reader that is not there, or is slow, holds up no further line until it reads again. */
static bool wait_room(void)
{
    XENCONS_RING_IDX cons = console.ring->out_cons;
    if (console.stuck && cons == console.stuck_at)
        return false;
    console.stuck = !wait_read(sizeof(console.ring->out) - 1, CONSOLE_WAIT_NS);
    console.stuck_at = cons;
    return !console.stuck;
}

static void put(char c)
{
    if (room() == 0 && !wait_room()) {
        console.dropped++;
        return;
    }
    XENCONS_RING_IDX prod = console.ring->out_prod;
    console.ring->out[MASK_XENCONS_IDX(prod, console.ring->out)] = c;
    __atomic_store_n(&console.ring->out_prod, prod + 1, __ATOMIC_RELEASE);
}

static void put_text(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\n')
            put('\r');
        put(text[i]);
    }
}

/* Told as soon as there is room for it. */
static void tell_dropped(void)
{
    char line[48];
    size_t dropped = console.dropped;
    int len = dropped > 0 ? snprintf(line, sizeof(line), "[%zu bytes of the log are lost]\n", dropped) : 0;
    if (len <= 0 || room() <= (uint32_t)len)
        return;
    console.dropped = 0;
    put_text(line, (size_t)len);
}

void console_write(const char *text, size_t len)
{
    if (!console.ring)
        return;
    tell_dropped();
    put_text(text, len);
    (void)events_notify(console.port);
}

void console_drain(void)
{
    if (console.ring)
        (void)wait_read(0, CONSOLE_DRAIN_NS);
}

void console_print(const char *format, ...)
{
    char text[640]; /* a log line and its time */
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (len > 0)
        console_write(text, min_u64((uint64_t)len, sizeof(text) - 1));
}
