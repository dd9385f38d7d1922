/* See fake.h. */
#include "fake.h"

#include "../../stubdom/kernel/boot.h"
#include "../../stubdom/kernel/clock.h"
#include "../../stubdom/kernel/console.h"
#include "../../stubdom/kernel/hypercall.h"
#include "../../stubdom/kernel/mm.h"
#include "../../stubdom/kernel/store.h"
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/memory.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#endif
#endif
#ifndef ASAN_POISON_MEMORY_REGION
#define ASAN_POISON_MEMORY_REGION(at, len)
#define ASAN_UNPOISON_MEMORY_REGION(at, len)
#endif

struct fakexen fakexen;

static _Alignas(4096) uint8_t memory[FAKE_PAGES][PAGE_BYTES];

/* Checks that hold without the test library, and in fuzzers. */
static void must(bool truth, const char *what)
{
    if (truth)
        return;
    (void)fprintf(stderr, "fake: %s\n", what);
    abort();
}

/* --- Pages: one that is never used lies behind each allocation, so that a step too far is seen --- */

enum { ALLOCATED = 1, GUARD };

void *page_alloc(size_t nr)
{
    if (nr > fakexen.page_limit)
        return NULL;
    for (size_t first = 0, n = 0; first + nr < FAKE_PAGES; first += n + 1) {
        for (n = 0; n <= nr && !fakexen.page_used[first + n]; n++)
            continue;
        if (n <= nr)
            continue;
        memset(fakexen.page_used + first, ALLOCATED, nr);
        fakexen.page_used[first + nr] = GUARD;
        fakexen.page_limit -= nr;
        ASAN_UNPOISON_MEMORY_REGION(memory[first], nr * PAGE_BYTES);
        return memset(memory[first], 0, nr * PAGE_BYTES);
    }
    return NULL;
}

void page_free(void *pages, size_t nr)
{
    size_t first = (size_t)((uint8_t *)pages - memory[0]) / PAGE_BYTES;
    for (size_t i = 0; i < nr; i++) {
        must(fakexen.page_used[first + i] == ALLOCATED, "a page is freed that isn't allocated");
        fakexen.page_used[first + i] = 0;
        for (unsigned frame = 0; frame < fakexen.table_frames; frame++) {
            for (unsigned e = 0; fakexen.table[frame] && e < PAGE_BYTES / sizeof(struct grant_entry_v1); e++) {
                const struct grant_entry_v1 *entry = &fakexen.table[frame][e];
                must(!entry->flags || entry->frame != FAKE_FIRST_FRAME + first + i, "a page is freed that is granted");
            }
        }
    }
    must(fakexen.page_used[first + nr] == GUARD, "pages are freed in parts");
    fakexen.page_used[first + nr] = 0;
    fakexen.page_limit += nr;
    ASAN_POISON_MEMORY_REGION(pages, nr * PAGE_BYTES);
}

xen_pfn_t page_frame(const void *page)
{
    return fakexen.frame_offset + FAKE_FIRST_FRAME + (xen_pfn_t)((const uint8_t *)page - memory[0]) / PAGE_BYTES;
}

size_t pages_free(void)
{
    return fakexen.page_limit;
}

size_t fakexen_pages_used(void)
{
    size_t n = 0;
    for (size_t i = 0; i < FAKE_PAGES; i++)
        n += fakexen.page_used[i] == ALLOCATED;
    return n;
}

/* Windows are only for frames of the grant table here, one after the other: each shows its own. */
void *window_alloc(size_t nr)
{
    must(nr == 1 && fakexen.windows < FAKE_GRANT_FRAMES, "a window for nothing");
    if (fakexen.windows == fakexen.window_limit)
        return NULL;
    if (fakexen.windows == fakexen.table_frames) {
        fakexen.table[fakexen.table_frames] = aligned_alloc(PAGE_BYTES, PAGE_BYTES);
        memset(fakexen.table[fakexen.table_frames++], 0, PAGE_BYTES);
    }
    return fakexen.table[fakexen.windows++];
}

xen_pfn_t window_frame(const void *at)
{
    return (uintptr_t)at >> PAGE_SHIFT;
}

void window_free(void *at, size_t nr)
{
    must(fakexen.windows > 0 && at == fakexen.table[fakexen.windows - 1], "a window is freed that isn't the last");
    fakexen.windows--;
}

int window_map(void *at, size_t nr, const xen_pfn_t *frames, domid_t dom, enum window_kind kind, int *err)
{
    must(nr == 1 && frames[0] == (uintptr_t)at >> PAGE_SHIFT, "a window shows another frame");
    must(dom == DOMID_SELF && kind == WINDOW_RESOURCE, "a window on another domain");
    *err = fakexen.fail_map;
    fakexen.fail_map = 0;
    return 0;
}

/* --- Hypercalls --- */

static struct boot_info info;

const struct boot_info *boot_info(void)
{
    info.pvh = fakexen.pvh;
    return &info;
}

static long grant_table_op(unsigned op, void *arg)
{
    if (op == GNTTABOP_query_size) {
        struct gnttab_query_size *size = arg;
        size->nr_frames = 1;
        size->max_nr_frames = fakexen.max_frames;
        size->status = GNTST_okay;
        return 0;
    }
    must(op == GNTTABOP_setup_table && !fakexen.pvh, "an operation of the grant table");
    struct gnttab_setup_table *setup = arg;
    must(setup->nr_frames <= fakexen.max_frames, "more frames of the grant table than there are");
    xen_pfn_t *list;
    memcpy(&list, &setup->frame_list, sizeof(list));
    must(setup->nr_frames == fakexen.windows, "another frame than there is a window for");
    for (unsigned i = 0; i < setup->nr_frames; i++)
        list[i] = (uintptr_t)fakexen.table[i] >> PAGE_SHIFT;
    setup->status = GNTST_okay;
    return 0;
}

static long add_to_physmap(const struct xen_add_to_physmap *add)
{
    must(fakexen.pvh && add->space == XENMAPSPACE_grant_table && add->idx + 1 == fakexen.windows, "what is added");
    must(add->gpfn == (uintptr_t)fakexen.table[add->idx] >> PAGE_SHIFT, "it is not in the window");
    return 0;
}

long hypercall(unsigned nr, uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e)
{
    long err = fakexen.fail_setup;
    fakexen.fail_setup = 0;
    if (err)
        return err;
    if (nr == __HYPERVISOR_memory_op && a == XENMEM_add_to_physmap)
        return add_to_physmap((void *)b);
    must(nr == __HYPERVISOR_grant_table_op && c == 1, "a hypercall");
    return grant_table_op((unsigned)a, (void *)b);
}

uint8_t *fakexen_map(grant_ref_t ref, bool mapped)
{
    unsigned per_frame = PAGE_BYTES / sizeof(struct grant_entry_v1);
    if (ref / per_frame >= fakexen.table_frames)
        return NULL;
    struct grant_entry_v1 *entry = &fakexen.table[ref / per_frame][ref % per_frame];
    if ((entry->flags & GTF_type_mask) != GTF_permit_access || entry->domid != FAKE_BACK_DOMID)
        return NULL;
    if (entry->frame < FAKE_FIRST_FRAME || entry->frame >= FAKE_FIRST_FRAME + FAKE_PAGES)
        return NULL;
    if (mapped)
        entry->flags |= GTF_reading | GTF_writing;
    return memory[entry->frame - FAKE_FIRST_FRAME];
}

void fakexen_unmap(grant_ref_t ref)
{
    unsigned per_frame = PAGE_BYTES / sizeof(struct grant_entry_v1);
    fakexen.table[ref / per_frame][ref % per_frame].flags &= (uint16_t) ~(GTF_reading | GTF_writing);
}

/* --- Time and events --- */

uint64_t clock_now_ns(void)
{
    return fakexen.now_ns;
}

int events_listen(evtchn_port_t port, event_fn *fn, void *opaque)
{
    must(port < EVENTS_MAX_PORTS, "a channel that can't be");
    if (fakexen.ports[port].fn)
        return -EBUSY;
    fakexen.ports[port].fn = fn;
    fakexen.ports[port].opaque = opaque;
    return 0;
}

void events_forget(evtchn_port_t port)
{
    fakexen.ports[port].fn = NULL;
}

int events_alloc_unbound(domid_t remote, evtchn_port_t *port)
{
    int err = fakexen.fail_alloc_port;
    fakexen.fail_alloc_port = 0;
    if (err)
        return err;
    for (evtchn_port_t i = FAKE_STORE_PORT + 1; i < EVENTS_MAX_PORTS; i++) {
        if (fakexen.ports[i].used)
            continue;
        fakexen.ports[i] = (struct fakexen_port){ .used = true, .remote = remote };
        *port = i;
        return 0;
    }
    return -ENOSPC;
}

int events_notify(evtchn_port_t port)
{
    must(fakexen.ports[port].used, "an event of a channel that isn't there");
    fakexen.ports[port].notified++;
    if (fakexen.notified)
        fakexen.notified(fakexen.back_opaque, port);
    return 0;
}

void events_close(evtchn_port_t port)
{
    must(fakexen.ports[port].used, "a channel is closed that isn't there");
    fakexen.ports[port] = (struct fakexen_port){ 0 };
}

bool events_take(evtchn_port_t port)
{
    bool was = fakexen.ports[port].pending;
    fakexen.ports[port].pending = false;
    return was;
}

void fakexen_raise(evtchn_port_t port)
{
    if (port < EVENTS_MAX_PORTS && fakexen.ports[port].used)
        fakexen.ports[port].pending = true;
}

static bool daemon_works(void);

static bool work(void)
{
    bool some = daemon_works();
    return (fakexen.back && fakexen.back(fakexen.back_opaque)) || some;
}

void fakexen_work(void)
{
    for (unsigned i = 0; work(); i++)
        must(i < 100000, "the other ends work without end");
}

int events_wait_port(evtchn_port_t port, uint64_t deadline_ns)
{
    for (unsigned i = 0; !fakexen.ports[port].pending; i++) {
        if (work() && i < 10000)
            continue;
        if (fakexen.ports[port].pending)
            break;
        fakexen.now_ns = fakexen.now_ns > deadline_ns ? fakexen.now_ns : deadline_ns;
        return -ETIMEDOUT;
    }
    fakexen.now_ns += 1000;
    return 0;
}

static bool serve_events(void)
{
    bool some = false;
    for (evtchn_port_t i = 0; i < EVENTS_MAX_PORTS; i++) {
        if (!fakexen.ports[i].pending || !fakexen.ports[i].fn)
            continue;
        fakexen.ports[i].pending = false;
        fakexen.ports[i].fn(fakexen.ports[i].opaque, i);
        some = true;
    }
    return some;
}

static uint64_t loop_time(void *opaque)
{
    return fakexen.now_ns;
}

static int loop_wait(void *opaque, int64_t timeout_ns)
{
    bool some = work();
    if (!serve_events() && !some && timeout_ns > 0)
        fakexen.now_ns += (uint64_t)timeout_ns;
    return 0;
}

static const struct loop_host loop_host = { .now_ns = loop_time, .wait = loop_wait };

static bool something_pends(void)
{
    for (evtchn_port_t i = 0; i < EVENTS_MAX_PORTS; i++) {
        if (fakexen.ports[i].pending && fakexen.ports[i].fn)
            return true;
    }
    return false;
}

void fakexen_settle(void)
{
    unsigned idle = 0;
    for (unsigned i = 0; idle < 2; i++) {
        must(i < 100000, "tasks or events without end");
        bool some = work();
        idle = some || fakexen.loop.tasks || something_pends() ? 0 : idle + 1;
        must(loop_step(&fakexen.loop, 0) == 0, "the loop fails");
    }
}

/* --- The log --- */

static void say(const char *line)
{
    size_t len = strlen(fakexen.text), n = strlen(line);
    fakexen.lines++;
    if (n + 2 > sizeof(fakexen.text) - len)
        return;
    memcpy(fakexen.text + len, line, n);
    memcpy(fakexen.text + len + n, "\n", 2);
}

static void log_line(struct log *log, enum log_level level, const char *line)
{
    must(!strchr(line, '\n'), "a line break in a line");
    say(line);
}

static uint64_t log_now(struct log *log)
{
    return fakexen.now_ns;
}

void console_print(const char *format, ...)
{
    char line[256];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    say(line);
}

bool fakexen_said(const char *text)
{
    bool found = strstr(fakexen.text, text) != NULL;
    fakexen.text[0] = '\0';
    return found;
}

/* --- The xenstore daemon --- */

static void absolute(char *out, size_t size, const char *path)
{
    (void)snprintf(out, size, "%s%s", path[0] == '/' || path[0] == '@' ? "" : FAKE_HOME, path);
}

static struct fakexen_node *find(const char *path)
{
    char full[sizeof(fakexen.store.nodes[0].path)];
    absolute(full, sizeof(full), path);
    for (size_t i = 0; i < FAKE_NODES; i++) {
        if (fakexen.store.nodes[i].used && strcmp(fakexen.store.nodes[i].path, full) == 0)
            return &fakexen.store.nodes[i];
    }
    return NULL;
}

void fakexen_store_send(uint32_t type, uint32_t req_id, const void *payload, uint32_t len)
{
    struct fakexen_store *s = &fakexen.store;
    struct xsd_sockmsg header = { .type = type, .req_id = req_id, .len = len };
    must(s->out_len + sizeof(header) + len <= sizeof(s->out), "too much to send");
    memcpy(s->out + s->out_len, &header, sizeof(header));
    if (len > 0)
        memcpy(s->out + s->out_len + sizeof(header), payload, len);
    s->out_len += sizeof(header) + len;
}

/* In the words in which the watch was asked for, as the daemon does. */
static void send_event(const struct fakexen_watch *w, const char *path)
{
    char payload[300];
    int n = snprintf(payload, sizeof(payload), "%s%s%c%s", w->given, path + strlen(w->path), 0, w->token);
    fakexen_store_send(XS_WATCH_EVENT, 0, payload, (uint32_t)n + 1);
}

void fakexen_store_fire(const char *path)
{
    char full[128];
    absolute(full, sizeof(full), path);
    for (size_t i = 0; i < FAKE_WATCHES; i++) {
        const struct fakexen_watch *w = &fakexen.store.watches[i];
        size_t n = strlen(w->path);
        if (w->used && strncmp(full, w->path, n) == 0 && (full[n] == '\0' || full[n] == '/'))
            send_event(w, full);
    }
}

static void set(const char *path, const char *value, size_t len)
{
    struct fakexen_node *node = find(path);
    for (size_t i = 0; !node && i < FAKE_NODES; i++) {
        if (fakexen.store.nodes[i].used)
            continue;
        node = &fakexen.store.nodes[i];
        absolute(node->path, sizeof(node->path), path);
    }
    must(node && len < sizeof(node->value), "no room for a node");
    node->used = value != NULL;
    if (value) {
        memcpy(node->value, value, len);
        node->value[len] = '\0';
        node->len = len;
    }
    fakexen_store_fire(path);
}

void fakexen_set(const char *path, const char *value)
{
    set(path, value, value ? strlen(value) : 0);
}

void fakexen_set_number(const char *path, uint64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%" PRIu64, value);
    fakexen_set(path, text);
}

const char *fakexen_get(const char *path)
{
    const struct fakexen_node *node = find(path);
    return node ? node->value : NULL;
}

uint64_t fakexen_get_number(const char *path)
{
    const char *text = fakexen_get(path);
    return text ? strtoull(text, NULL, 10) : 0;
}

static void answer(const struct xsd_sockmsg *h, const void *payload, size_t len)
{
    struct fakexen_store *s = &fakexen.store;
    uint32_t type = s->answer_type ? s->answer_type : h->type;
    s->answer_type = 0;
    if (!s->mute)
        fakexen_store_send(type, h->req_id, payload, (uint32_t)len);
}

static void refuse(const struct xsd_sockmsg *h, const char *error)
{
    fakexen.store.error = NULL;
    fakexen.store.answer_type = XS_ERROR;
    answer(h, error, strlen(error) + 1);
}

static void list(const struct xsd_sockmsg *h, const char *path)
{
    char full[128], names[FAKE_VALUE_BYTES];
    size_t used = 0;
    absolute(full, sizeof(full), path);
    size_t n = strlen(full);
    for (size_t i = 0; i < FAKE_NODES; i++) {
        const struct fakexen_node *node = &fakexen.store.nodes[i];
        if (!node->used || strncmp(node->path, full, n) != 0 || node->path[n] != '/' || strchr(node->path + n + 1, '/'))
            continue;
        size_t len = strlen(node->path + n + 1) + 1;
        memcpy(names + used, node->path + n + 1, len);
        used += len;
    }
    answer(h, names, used);
}

static void watch(const struct xsd_sockmsg *h, const char *path, const char *token)
{
    struct fakexen_store *s = &fakexen.store;
    for (size_t i = 0; i < FAKE_WATCHES; i++) {
        struct fakexen_watch *w = &s->watches[i];
        if (w->used)
            continue;
        w->used = true;
        absolute(w->path, sizeof(w->path), path);
        (void)snprintf(w->given, sizeof(w->given), "%s", path);
        (void)snprintf(w->token, sizeof(w->token), "%s", token);
        if (s->steals)
            send_event(w, w->path);
        answer(h, "OK", 3);
        if (!s->steals)
            send_event(w, w->path);
        return;
    }
    refuse(h, "ENOSPC");
}

static void unwatch(const struct xsd_sockmsg *h, const char *token)
{
    for (size_t i = 0; i < FAKE_WATCHES; i++) {
        struct fakexen_watch *w = &fakexen.store.watches[i];
        if (!w->used || strcmp(w->token, token) != 0)
            continue;
        w->used = false;
        answer(h, "OK", 3);
        return;
    }
    refuse(h, "ENOENT");
}

static void transaction_end(const struct xsd_sockmsg *h, const char *how)
{
    struct fakexen_store *s = &fakexen.store;
    s->last_end = how[0];
    if (s->conflict && how[0] == 'T')
        refuse(h, "EAGAIN");
    else
        answer(h, "OK", 3);
    s->conflict = false;
}

static void request(const struct xsd_sockmsg *h, const char *payload)
{
    struct fakexen_store *s = &fakexen.store;
    const char *second = payload + strlen(payload) + 1;
    const struct fakexen_node *node = find(payload);
    s->requests++;
    s->last_tx = h->tx_id;
    if (s->error && s->error_after-- == 0) {
        s->error_after = 0;
        refuse(h, s->error);
        return;
    }
    switch (h->type) {
    case XS_READ:
        if (node)
            answer(h, node->value, node->len);
        else
            refuse(h, "ENOENT");
        break;
    case XS_WRITE:
        set(payload, second, h->len - (size_t)(second - payload));
        answer(h, "OK", 3);
        break;
    case XS_RM:
        if (node)
            set(payload, NULL, 0);
        if (node)
            answer(h, "OK", 3);
        else
            refuse(h, "ENOENT");
        break;
    case XS_DIRECTORY: list(h, payload); break;
    case XS_WATCH: watch(h, payload, second); break;
    case XS_UNWATCH: unwatch(h, second); break;
    case XS_TRANSACTION_START: answer(h, s->tx_text ? s->tx_text : "7", strlen(s->tx_text ? s->tx_text : "7")); break;
    case XS_TRANSACTION_END: transaction_end(h, payload); break;
    default: must(false, "a request of another kind");
    }
}

/* Bytes from the ring of requests, or into that of answers. */
static size_t shovel(bool in, uint8_t *at, size_t room)
{
    struct fakexen_store *s = &fakexen.store;
    struct xenstore_domain_interface *ring = s->ring;
    size_t n = 0, limit = s->chunk && s->chunk < room ? s->chunk : room;
    while (n < limit &&
           (in ? ring->req_cons != ring->req_prod : ring->rsp_prod - ring->rsp_cons < XENSTORE_RING_SIZE)) {
        if (in)
            at[n++] = (uint8_t)ring->req[MASK_XENSTORE_IDX(ring->req_cons++)];
        else
            ring->rsp[MASK_XENSTORE_IDX(ring->rsp_prod++)] = (char)at[n++];
    }
    return n;
}

static bool daemon_works(void)
{
    struct fakexen_store *s = &fakexen.store;
    struct xsd_sockmsg h;
    size_t got = s->deaf ? 0 : shovel(true, s->in + s->in_len, sizeof(s->in) - 1 - s->in_len);
    unsigned before = s->requests;
    s->in_len += got;
    while (s->in_len >= sizeof(h)) {
        memcpy(&h, s->in, sizeof(h));
        must(h.len <= XENSTORE_PAYLOAD_MAX, "a request that is too long");
        if (s->in_len < sizeof(h) + h.len)
            break;
        char payload[XENSTORE_PAYLOAD_MAX + 2] = "";
        memcpy(payload, s->in + sizeof(h), h.len);
        payload[h.len] = payload[h.len + 1] = '\0';
        s->in_len -= sizeof(h) + h.len;
        memmove(s->in, s->in + sizeof(h) + h.len, s->in_len);
        request(&h, payload);
    }
    s->bursts += s->requests != before;
    size_t put = shovel(false, s->out, s->out_len);
    s->out_len -= put;
    memmove(s->out, s->out + put, s->out_len);
    if (got > 0 || put > 0)
        fakexen_raise(FAKE_STORE_PORT);
    return got > 0 || put > 0;
}

/* --- All of it --- */

void fakexen_init(void)
{
    static _Alignas(4096) uint8_t ring[PAGE_BYTES];
    fakexen_finish();
    fakexen.now_ns = NS_PER_S;
    fakexen.page_limit = FAKE_PAGES;
    fakexen.max_frames = 4;
    fakexen.window_limit = FAKE_GRANT_FRAMES;
    fakexen.log = (struct log){ .write = log_line, .now_ns = log_now, .level = LOG_DEBUG };
    loop_init(&fakexen.loop, &loop_host, NULL);
    memset(ring, 0, sizeof(ring));
    fakexen.store.ring = (void *)ring;
    /* They run free, and are about to wrap. */
    fakexen.store.ring->req_cons = fakexen.store.ring->req_prod = UINT32_MAX - 100;
    fakexen.store.ring->rsp_cons = fakexen.store.ring->rsp_prod = UINT32_MAX - 50;
    fakexen.ports[FAKE_STORE_PORT].used = true;
    must(gnttab_init() == 0, "no grant table");
    must(store_init(ring, FAKE_STORE_PORT) == 0, "no store");
    store_attach(&fakexen.loop);
}

void fakexen_finish(void)
{
    for (unsigned i = 0; i < fakexen.table_frames; i++)
        free(fakexen.table[i]);
    memset(&fakexen, 0, offsetof(struct fakexen, store));
    for (size_t i = 0; i < FAKE_NODES; i++)
        fakexen.store.nodes[i].used = false;
    for (size_t i = 0; i < FAKE_WATCHES; i++)
        fakexen.store.watches[i].used = false;
    memset(&fakexen.store.in_len, 0, sizeof(fakexen.store.in_len));
    fakexen.store.out_len = 0;
    memset(&fakexen.store.deaf, 0, sizeof(fakexen.store) - offsetof(struct fakexen_store, deaf));
    fakexen.back = NULL;
    fakexen.notified = NULL;
    ASAN_POISON_MEMORY_REGION(memory, sizeof(memory));
}
