/*
 * The xenstore client: see store.h. What comes from the ring is answers, which find their request by its number, and
 * events of watches, which set a flag of the watch: however many come, nothing piles up. The daemon is Dom0's, yet a
 * ring or a message that can't be is noticed: then nothing is asked any more.
 */
#include "store.h"

#include "clock.h"
#include "console.h"
#include "events.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <thindm/loop.h>
#include <xen/io/xs_wire.h>

enum { PENDING = -EINPROGRESS, RING = XENSTORE_RING_SIZE, NUMBER_BYTES = 24 };

static struct {
    struct xenstore_domain_interface *ring;
    uint32_t port;
    uint32_t req_prod, rsp_cons; /* ours: what the page says is for the daemon */
    bool broken;
    uint32_t tx;
    /* The burst that waits for its answers: numbers first_id and up, one for each item. */
    uint32_t type, first_id, next_id;
    struct store_item *items;
    size_t nr_items, unanswered;
    /* The message that is coming in. */
    struct xsd_sockmsg header;
    size_t got; /* bytes, header included */
    char payload[XENSTORE_PAYLOAD_MAX + 1];
    struct store_watch *watches;
    uint32_t watch_ids;
    struct task task; /* calls the watches; loop NULL: nobody may yet */
} store;

static void give_up(const char *why)
{
    if (!store.broken)
        console_print("xenstore: %s; no more requests are made\n", why);
    store.broken = true;
}

/* --- What comes in --- */

static int error_number(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(xsd_errors); i++) {
        if (strcmp(name, xsd_errors[i].errstring) == 0)
            return -xsd_errors[i].errnum;
    }
    return -EIO;
}

static bool gives_value(uint32_t type)
{
    return type == XS_READ || type == XS_DIRECTORY || type == XS_TRANSACTION_START;
}

static int take_answer(const struct store_item *item)
{
    size_t len = store.header.len, end = store.type == XS_DIRECTORY ? 0 : 1; /* names end with a zero of their own */
    if (store.header.type == XS_ERROR)
        return error_number(store.payload);
    if (store.header.type != store.type)
        return -EIO;
    if (!gives_value(store.type))
        return 0;
    if (item->size < end || len > item->size - end)
        return -E2BIG;
    memcpy(item->value, store.payload, len + end);
    return (int)len;
}

/* Answers to what nobody waits for any more come late, and are not wanted. */
static void answered(void)
{
    uint32_t i = store.header.req_id - store.first_id;
    if (i >= store.nr_items || store.items[i].result != PENDING)
        return;
    store.items[i].result = take_answer(&store.items[i]);
    store.unanswered--;
}

/* The path that changed, a zero, the token that we gave, a zero. An event of a watch that is gone may still come. */
static void watch_fired(void)
{
    const char *token = memchr(store.payload, '\0', store.header.len);
    char name[NUMBER_BYTES];
    for (struct store_watch *w = store.watches; w && token; w = w->next) {
        (void)snprintf(name, sizeof(name), "%" PRIu32, w->id);
        if (strcmp(token + 1, name) == 0) {
            w->fired = true;
            if (store.task.loop)
                task_post(&store.task);
            return;
        }
    }
}

static void message_complete(void)
{
    store.payload[store.header.len] = '\0';
    if (store.header.type == XS_WATCH_EVENT)
        watch_fired();
    else
        answered();
    store.got = 0;
}

/* Where the next bytes of the message go, and how many. */
static void *next_bytes(size_t *len)
{
    size_t header = sizeof(store.header);
    if (store.got < header) {
        *len = header - store.got;
        return (char *)&store.header + store.got;
    }
    *len = header + store.header.len - store.got;
    return store.payload + (store.got - header);
}

/* Bytes that are there without a step over the end of the ring. */
static void take_bytes(const char *from, size_t len)
{
    while (len > 0 && !store.broken) {
        size_t n;
        void *to = next_bytes(&n);
        n = n < len ? n : len;
        memcpy(to, from, n);
        store.got += n;
        from += n;
        len -= n;
        if (store.got < sizeof(store.header))
            continue;
        if (store.header.len > XENSTORE_PAYLOAD_MAX)
            give_up("the daemon sends a message that is too long");
        else if (store.got == sizeof(store.header) + store.header.len)
            message_complete();
    }
}

/* What is in the ring now; for what comes meanwhile there will be an event. */
static void receive(void)
{
    (void)events_take(store.port);
    uint32_t prod = __atomic_load_n(&store.ring->rsp_prod, __ATOMIC_ACQUIRE), waiting = prod - store.rsp_cons;
    if (waiting > RING)
        give_up("the daemon moved its ring index too far");
    if (store.broken || waiting == 0)
        return;
    while (store.rsp_cons != prod && !store.broken) {
        uint32_t at = MASK_XENSTORE_IDX(store.rsp_cons), left = prod - store.rsp_cons;
        uint32_t n = left < RING - at ? left : RING - at;
        take_bytes(store.ring->rsp + at, n);
        store.rsp_cons += n;
    }
    __atomic_store_n(&store.ring->rsp_cons, store.rsp_cons, __ATOMIC_RELEASE);
    (void)events_notify(store.port); /* it may wait for room */
}

static void event(void *opaque, evtchn_port_t port)
{
    receive();
}

/* --- Requests --- */

/*
 * Sleep until something may have changed, and take in what came. An event since receive() last took the port's bit ends
 * the sleep at once: what was looked at after that can't be missed.
 */
static int progress(uint64_t deadline_ns)
{
    int err = events_wait_port(store.port, deadline_ns);
    receive();
    if (store.broken)
        return -EIO;
    return err || clock_now_ns() < deadline_ns ? err : -ETIMEDOUT; /* whoever fires all the time doesn't hold us up */
}

/* len bytes into the ring. Who reads them hears of it when the ring is full, or from the caller. */
static int put(const void *data, size_t len, uint64_t deadline_ns)
{
    const char *from = data;
    while (len > 0) {
        uint32_t used = store.req_prod - __atomic_load_n(&store.ring->req_cons, __ATOMIC_ACQUIRE);
        uint32_t at = MASK_XENSTORE_IDX(store.req_prod);
        if (used > RING) {
            give_up("the daemon moved its ring index too far");
            return -EIO;
        }
        size_t n = min_u64(min_u64(RING - used, RING - at), len);
        if (n == 0) {
            (void)events_notify(store.port);
            int err = progress(deadline_ns);
            if (err)
                return err;
            continue;
        }
        memcpy(store.ring->req + at, from, n);
        store.req_prod += (uint32_t)n;
        __atomic_store_n(&store.ring->req_prod, store.req_prod, __ATOMIC_RELEASE);
        from += n;
        len -= n;
    }
    return 0;
}

/* What follows the path [xs_wire.h and Xen's docs/misc/xenstore.txt]: WRITE's value has no zero at its end. */
static size_t value_bytes(const struct store_item *item)
{
    if (store.type == XS_WRITE)
        return strlen(item->value);
    return store.type == XS_WATCH || store.type == XS_UNWATCH ? strlen(item->value) + 1 : 0;
}

static bool too_long(const struct store_item *item)
{
    return strlen(item->path) + 1 + value_bytes(item) > XENSTORE_PAYLOAD_MAX;
}

static int send(const struct store_item *item, uint32_t id, uint64_t deadline_ns)
{
    size_t path = strlen(item->path) + 1, value = value_bytes(item);
    bool in_tx = store.type != XS_WATCH && store.type != XS_UNWATCH;
    struct xsd_sockmsg header = {
        .type = store.type, .req_id = id, .tx_id = in_tx ? store.tx : 0, .len = (uint32_t)(path + value)
    };
    int err = put(&header, sizeof(header), deadline_ns);
    if (!err)
        err = put(item->path, path, deadline_ns);
    if (!err)
        err = put(item->value, value, deadline_ns);
    if (err)
        give_up("the daemon takes no requests"); /* half of one may be in the ring */
    return err;
}

static void finish_burst(int err)
{
    for (size_t i = 0; i < store.nr_items; i++) {
        if (store.items[i].result == PENDING)
            store.items[i].result = err;
    }
    store.nr_items = store.unanswered = 0;
}

/* Returns 0 or the first error; all results are set. */
static int exchange(uint32_t type, struct store_item *items, size_t nr)
{
    uint64_t deadline_ns = clock_now_ns() + STORE_WAIT_NS;
    int err = store.broken ? -EIO : 0;
    store.type = type;
    store.items = items;
    store.nr_items = store.unanswered = nr;
    store.first_id = store.next_id;
    store.next_id += (uint32_t)nr;
    for (size_t i = 0; i < nr; i++)
        items[i].result = PENDING;
    for (size_t i = 0; i < nr && !err; i++) {
        if (too_long(&items[i])) {
            items[i].result = -E2BIG;
            store.unanswered--;
        } else {
            err = send(&items[i], store.first_id + (uint32_t)i, deadline_ns);
        }
    }
    if (!err)
        (void)events_notify(store.port);
    while (!err && store.unanswered > 0)
        err = progress(deadline_ns);
    if (err == -ETIMEDOUT && store.unanswered > 0)
        console_print("xenstore: no answer in time about %s\n", items[0].path);
    finish_burst(err);
    for (size_t i = 0; i < nr; i++) {
        if (items[i].result < 0)
            return items[i].result;
    }
    return 0;
}

static int request(uint32_t type, const char *path, char *value, size_t size)
{
    struct store_item item = { .path = path, .value = value, .size = size };
    int err = exchange(type, &item, 1);
    return err ? err : item.result;
}

int store_init(void *page, uint32_t port)
{
    memset(&store, 0, sizeof(store));
    store.ring = page;
    store.port = port;
    store.req_prod = store.ring->req_prod; /* they need not begin with 0 */
    store.rsp_cons = store.ring->rsp_cons;
    return events_listen(port, event, NULL);
}

int store_read(const char *path, char *buf, size_t size)
{
    return request(XS_READ, path, buf, size);
}

int store_number(const char *text, uint64_t *value)
{
    uint64_t number = 0;
    if (*text == '\0')
        return -EINVAL;
    for (; *text; text++) {
        uint64_t digit = (uint64_t)(*text - '0');
        if (*text < '0' || *text > '9' || number > (UINT64_MAX - digit) / 10)
            return -EINVAL;
        number = number * 10 + digit;
    }
    *value = number;
    return 0;
}

int store_read_u64(const char *path, uint64_t *value)
{
    char text[NUMBER_BYTES];
    int len = store_read(path, text, sizeof(text));
    if (len < 0)
        return len == -E2BIG ? -EINVAL : len;
    return store_number(text, value);
}

/* Of items only what is sent is read. */
static char *sent(const char *value)
{
    return (char *)(uintptr_t)value;
}

int store_write(const char *path, const char *value)
{
    return request(XS_WRITE, path, sent(value), 0);
}

int store_post(const char *path, const char *value)
{
    struct store_item item = { .path = path, .value = sent(value) };
    store.type = XS_WRITE;
    if (store.broken)
        return -EIO;
    if (too_long(&item))
        return -E2BIG;
    /* The number is that of no burst: its answer is one that nobody waits for. */
    int err = send(&item, store.next_id++, clock_now_ns() + STORE_WAIT_NS);
    if (!err)
        (void)events_notify(store.port);
    return err;
}

int store_printf(const char *path, const char *format, ...)
{
    char value[STORE_PATH_BYTES];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(value, sizeof(value), format, args);
    va_end(args);
    if (len < 0 || (size_t)len >= sizeof(value))
        return -E2BIG;
    return store_write(path, value);
}

int store_list(const char *path, char *buf, size_t size)
{
    return request(XS_DIRECTORY, path, buf, size);
}

int store_remove(const char *path)
{
    return request(XS_RM, path, NULL, 0);
}

int store_read_all(struct store_item *items, size_t nr)
{
    return exchange(XS_READ, items, nr);
}

int store_write_all(struct store_item *items, size_t nr)
{
    return exchange(XS_WRITE, items, nr);
}

/* --- Transactions --- */

int store_begin(void)
{
    char text[NUMBER_BYTES];
    uint64_t id;
    assert(store.tx == STORE_NO_TRANSACTION);
    int len = request(XS_TRANSACTION_START, "", text, sizeof(text));
    if (len < 0)
        return len;
    if (store_number(text, &id) || id == STORE_NO_TRANSACTION || id > UINT32_MAX)
        return -EIO;
    store.tx = (uint32_t)id;
    return 0;
}

int store_commit(void)
{
    int err = request(XS_TRANSACTION_END, "T", NULL, 0);
    store.tx = STORE_NO_TRANSACTION;
    return err;
}

void store_abort(void)
{
    (void)request(XS_TRANSACTION_END, "F", NULL, 0);
    store.tx = STORE_NO_TRANSACTION;
}

/* --- Watches --- */

static struct store_watch *first_fired(size_t *count)
{
    struct store_watch *first = NULL;
    *count = 0;
    for (struct store_watch *w = store.watches; w; w = w->next) {
        if (!w->fired)
            continue;
        first = first ? first : w;
        ++*count;
    }
    return first;
}

/* Those that fired before now; one that fires meanwhile may take the place of one that was taken off. */
static void run_watches(void *opaque)
{
    size_t left, now;
    struct store_watch *w = first_fired(&left);
    for (; w && left > 0; left--) {
        w->fired = false;
        w->fn(w->opaque);
        w = first_fired(&now);
    }
    if (w)
        task_post(&store.task);
}

void store_attach(struct loop *loop)
{
    size_t count;
    task_init(&store.task, loop, run_watches, NULL);
    if (first_fired(&count))
        task_post(&store.task);
}

int store_watch(struct store_watch *watch)
{
    char token[NUMBER_BYTES];
    watch->id = ++store.watch_ids;
    watch->fired = false;
    watch->added = true;
    watch->next = store.watches;
    store.watches = watch; /* its first event may come before the answer */
    (void)snprintf(token, sizeof(token), "%" PRIu32, watch->id);
    int err = request(XS_WATCH, watch->path, token, 0);
    if (err)
        store_unwatch(watch);
    return err;
}

void store_unwatch(struct store_watch *watch)
{
    char token[NUMBER_BYTES];
    if (!watch->added)
        return;
    struct store_watch **link = &store.watches;
    while (*link != watch)
        link = &(*link)->next;
    *link = watch->next;
    watch->added = watch->fired = false;
    (void)snprintf(token, sizeof(token), "%" PRIu32, watch->id);
    (void)request(XS_UNWATCH, watch->path, token, 0); /* none, and no harm, if the daemon refused it */
}

int store_wait(struct store_watch *watch, uint64_t deadline_ns)
{
    receive();
    while (!store.broken && !watch->fired) {
        int err = progress(deadline_ns);
        if (err)
            return err;
    }
    if (!watch->fired)
        return -EIO;
    watch->fired = false;
    return 0;
}
