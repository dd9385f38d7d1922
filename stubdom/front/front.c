/* What all front ends share: see front-private.h. */
#include "front-private.h"

#include "../kernel/clock.h"
#include "../kernel/mm.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int front_error(struct front *front, int err, const char *format, ...)
{
    char line[160];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    log_limited(front->log, LOG_ERROR, &front->log_rate, front->who, "%s", line);
    return err;
}

/* --- Nodes --- */

static int join(char *path, const char *dir, const char *name)
{
    int len = snprintf(path, FRONT_NODE_BYTES, "%s/%s", dir, name);
    return len > 0 && len < FRONT_NODE_BYTES ? 0 : -ENAMETOOLONG;
}

/* A burst of numbers of the back end, its state before them: whoever sees the state sees what was written before it. */
struct reading {
    struct store_item items[1 + FRONT_MAX_NODES];
    char paths[FRONT_MAX_NODES][FRONT_NODE_BYTES], values[1 + FRONT_MAX_NODES][FRONT_TEXT_BYTES];
};

static int fetch(struct front *front, struct reading *r, const struct front_number *numbers, size_t nr)
{
    assert(nr <= FRONT_MAX_NODES);
    for (size_t i = 0; i <= nr; i++) {
        const char *path = i == 0 ? front->watch.path : r->paths[i - 1];
        if (i > 0 && join(r->paths[i - 1], front->back, numbers[i - 1].name))
            return -ENAMETOOLONG;
        r->items[i] = (struct store_item){ .path = path, .value = r->values[i], .size = sizeof(r->values[i]) };
    }
    (void)store_read_all(r->items, 1 + nr);
    return 0;
}

static int understand(struct front *front, const struct reading *r, struct front_number *numbers, size_t nr)
{
    for (size_t i = 0; i < nr; i++) {
        struct front_number *n = &numbers[i];
        int result = r->items[1 + i].result;
        uint64_t value;
        if (result == -ENOENT && !n->required)
            continue;
        if (result < 0 && result != -E2BIG)
            return front_error(front, result, "the back end's %s can't be read: %s", n->name, strerror(-result));
        if (result < 0 || store_number(r->values[1 + i], &value) || value > n->max)
            return front_error(front, -EIO, "the back end's %s is no number from 0 to %" PRIu64, n->name, n->max);
        n->value = value;
    }
    return 0;
}

/* What the first of the burst says. */
static int understand_state(struct front *front, const struct reading *r)
{
    uint64_t state;
    int result = r->items[0].result;
    if (result == -ENOENT) /* the toolstack took the device away */
        state = XenbusStateClosed;
    else if (result < 0 && result != -E2BIG)
        return result;
    else if (result < 0 || store_number(r->values[0], &state) || state > XenbusStateReconfigured)
        state = XenbusStateUnknown; /* not a state: as if it said nothing */
    front->back_state = (enum xenbus_state)state;
    return 0;
}

int front_read(struct front *front, struct front_number *numbers, size_t nr)
{
    struct reading r;
    int err = fetch(front, &r, numbers, nr);
    return err ? front_error(front, err, "a path of the back end is too long") : understand(front, &r, numbers, nr);
}

void front_add(const struct front *front, struct front_nodes *nodes, const char *name, const char *value)
{
    assert(nodes->nr < FRONT_MAX_NODES && strlen(value) < FRONT_TEXT_BYTES);
    size_t i = nodes->nr++;
    int err = join(nodes->paths[i], front->dir, name);
    assert(!err); /* dir is as short as the back end's, and the names are ours */
    (void)err;
    strcpy(nodes->values[i], value);
    nodes->items[i] = (struct store_item){ .path = nodes->paths[i], .value = nodes->values[i] };
}

void front_add_number(const struct front *front, struct front_nodes *nodes, const char *name, uint64_t value)
{
    char text[FRONT_TEXT_BYTES];
    (void)snprintf(text, sizeof(text), "%" PRIu64, value);
    front_add(front, nodes, name, text);
}

static int write_nodes(const struct front *front, struct front_nodes *nodes, enum xenbus_state state)
{
    struct front_nodes only_state;
    if (!nodes) {
        only_state.nr = 0;
        nodes = &only_state;
    }
    front_add_number(front, nodes, "state", state); /* the last: what makes the back end look at the others */
    return store_write_all(nodes->items, nodes->nr);
}

int front_publish(struct front *front, struct front_nodes *nodes, enum xenbus_state state)
{
    int err = write_nodes(front, nodes, state);
    return err ? front_error(front, err, "xenstore refuses our nodes: %s; not connected", strerror(-err)) : 0;
}

void front_show(struct front *front, enum xenbus_state state)
{
    char path[FRONT_NODE_BYTES], value[] = { (char)('0' + state), '\0' };
    int err = join(path, front->dir, "state");
    if (!err)
        err = store_post(path, value);
    if (err)
        (void)front_error(front, err, "its state can't be written: %s", strerror(-err));
}

/* --- States --- */

static int read_state(struct front *front)
{
    struct reading r;
    int err = fetch(front, &r, NULL, 0);
    return err ? err : understand_state(front, &r);
}

static bool closes(enum xenbus_state state)
{
    return state == XenbusStateClosing || state == XenbusStateClosed;
}

static void state_changed(void *opaque)
{
    struct front *front = opaque;
    if (front->changed && read_state(front) == 0)
        front->changed(front);
}

/* Whoever writes its state all the time doesn't hold us up longer than who never does. */
static int wait_for_change(struct front *front, uint64_t deadline_ns)
{
    int err = store_wait(&front->watch, deadline_ns);
    return err || clock_now_ns() < deadline_ns ? err : -ETIMEDOUT;
}

int front_wait(struct front *front, enum xenbus_state state, struct front_number *numbers, size_t nr)
{
    static const char *const names[] = { "unknown", "Initialising", "InitWait", "Initialised", "Connected" };
    uint64_t deadline_ns = clock_now_ns() + FRONT_WAIT_NS;
    struct reading r;
    for (;;) {
        int err = wait_for_change(front, deadline_ns); /* the first time: at once */
        if (!err)
            err = fetch(front, &r, numbers, nr);
        if (!err)
            err = understand_state(front, &r);
        if (err == -ETIMEDOUT)
            return front_error(front, err,
                               "the back end's state doesn't become %s within %d s, it is %d; not connected",
                               names[state], (int)(FRONT_WAIT_NS / NS_PER_S), front->back_state);
        if (err)
            return front_error(front, err, "the back end's state can't be read: %s; not connected", strerror(-err));
        front->again = front->again && closes(front->back_state);
        if (closes(front->back_state) && !front->again)
            return front_error(front, -EIO, "the back end refuses the connection (its state is %d)", front->back_state);
        if (front->back_state >= state && front->back_state <= XenbusStateConnected)
            return understand(front, &r, numbers, nr);
    }
}

int front_open(struct front *front, const char *dir, struct log *log)
{
    char paths[3][FRONT_NODE_BYTES], id[FRONT_TEXT_BYTES], state[FRONT_TEXT_BYTES];
    uint64_t back_id;
    *front = (struct front){ .log = log };
    const char *who = strchr(dir, '/'); /* "vbd/768" of "device/vbd/768" */
    (void)snprintf(front->who, sizeof(front->who), "%s", who ? who + 1 : dir);
    if (!who || strlen(dir) >= sizeof(front->dir) || join(paths[0], dir, "backend") ||
        join(paths[1], dir, "backend-id") || join(paths[2], dir, "state"))
        return front_error(front, -ENAMETOOLONG, "the path %s can't be that of a device", dir);
    strcpy(front->dir, dir);
    struct store_item items[3] = { { .path = paths[0], .value = front->back, .size = sizeof(front->back) },
                                   { .path = paths[1], .value = id, .size = sizeof(id) },
                                   { .path = paths[2], .value = state, .size = sizeof(state) } };
    (void)store_read_all(items, 3);
    int err = items[0].result < 0 ? items[0].result : items[1].result;
    if (err < 0)
        return front_error(front, err, "%s or backend-id can't be read: %s", paths[0], strerror(-err));
    if (store_number(id, &back_id) || back_id >= DOMID_FIRST_RESERVED)
        return front_error(front, -EIO, "backend-id is no domain");
    front->back_id = (domid_t)back_id;
    (void)snprintf(front->watch.path, sizeof(front->watch.path), "%s/state", front->back);
    front->watch.fn = state_changed;
    front->watch.opaque = front;
    err = store_watch(&front->watch);
    if (err)
        return front_error(front, err, "the back end can't be watched: %s", strerror(-err));
    /* We closed it before: the back end waits for the beginning [blkif.h, "Startup"]. */
    front->again = items[2].result > 0 && strcmp(state, "6") == 0;
    return front->again ? front_publish(front, NULL, XenbusStateInitialising) : 0;
}

void front_close(struct front *front)
{
    uint64_t deadline_ns = clock_now_ns() + FRONT_CLOSE_NS;
    front->changed = NULL;
    if (front->watch.added) {
        int err = write_nodes(front, NULL, XenbusStateClosing);
        while (!err && (err = read_state(front)) == 0) {
            /* One that never came as far as that holds nothing of ours. */
            if (closes(front->back_state) || front->back_state < XenbusStateInitialised)
                break;
            err = wait_for_change(front, deadline_ns);
        }
        if (err)
            (void)front_error(front, err, "the back end doesn't close: %s; we do", strerror(-err));
        store_unwatch(&front->watch);
        (void)write_nodes(front, NULL, XenbusStateClosed);
    }
    if (front->has_port)
        events_close(front->port);
    front->has_port = false;
}

int front_open_port(struct front *front, event_fn *fn, void *opaque)
{
    int err = events_alloc_unbound(front->back_id, &front->port);
    if (err)
        return front_error(front, err, "there is no event channel for it: %s", strerror(-err));
    front->has_port = true;
    err = events_listen(front->port, fn, opaque);
    return err ? front_error(front, err, "no more event channels can be served: %s", strerror(-err)) : 0;
}

/* --- Pages --- */

/* How many of the references the back end still uses. */
static size_t revoke(const struct front_pages *pages)
{
    size_t busy = 0;
    for (size_t i = 0; i < pages->nr; i++)
        busy += gnttab_revoke(pages->refs[i]) != 0;
    return busy;
}

int front_pages_alloc(struct front *front, struct front_pages *pages, size_t nr)
{
    *pages = (struct front_pages){ .at = page_alloc(nr), .refs = calloc(nr, sizeof(grant_ref_t)) };
    int err = pages->at && pages->refs ? 0 : -ENOMEM;
    while (!err && pages->nr < nr) {
        err = gnttab_grant(front->back_id, pages->at + pages->nr * PAGE_BYTES, false, &pages->refs[pages->nr]);
        pages->nr += !err;
    }
    if (!err)
        return 0;
    (void)revoke(pages); /* the back end doesn't know them yet */
    if (pages->at)
        page_free(pages->at, nr);
    free(pages->refs);
    *pages = (struct front_pages){ 0 };
    return err;
}

void front_pages_free(struct front *front, struct front_pages *pages)
{
    size_t busy = revoke(pages);
    if (busy > 0)
        (void)front_error(front, -EBUSY, "the back end keeps %zu of %zu pages mapped; their memory is lost", busy,
                          pages->nr);
    else if (pages->at)
        page_free(pages->at, pages->nr);
    free(pages->refs);
    *pages = (struct front_pages){ 0 };
}

/* --- Rings --- */

/* The indices at the start of the page, in the order of DEFINE_RING_TYPES(); entries begin behind 64 bytes. */
enum { REQ_PROD = 0, REQ_EVENT = 4, RSP_PROD = 8, RSP_EVENT = 12, RING_HEADER = 64 };

static uint32_t *ring_index(const struct front_ring *ring, unsigned offset)
{
    return (uint32_t *)(void *)(ring->shared + offset);
}

static uint8_t *ring_slot(const struct front_ring *ring, uint32_t index)
{
    return ring->shared + RING_HEADER + (size_t)(index & (ring->nr - 1)) * ring->slot_bytes;
}

void front_ring_init(struct front_ring *ring, const struct front_pages *pages, uint32_t slot_bytes)
{
    size_t fit = (pages->nr * PAGE_BYTES - RING_HEADER) / slot_bytes;
    *ring = (struct front_ring){ .shared = pages->at, .nr = 1, .slot_bytes = slot_bytes };
    while ((size_t)ring->nr * 2 <= fit)
        ring->nr *= 2;
    *ring_index(ring, REQ_EVENT) = *ring_index(ring, RSP_EVENT) = 1;
}

void *front_ring_request(struct front_ring *ring)
{
    assert(ring->req_prod - ring->rsp_cons < ring->nr);
    return memset(ring_slot(ring, ring->req_prod++), 0, ring->slot_bytes);
}

bool front_ring_push(struct front_ring *ring)
{
    uint32_t pushed = ring->req_prod - ring->req_shown;
    ring->req_shown = ring->req_prod;
    __atomic_store_n(ring_index(ring, REQ_PROD), ring->req_prod, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* the back end shows its index, then looks at ours */
    uint32_t wanted = __atomic_load_n(ring_index(ring, REQ_EVENT), __ATOMIC_RELAXED);
    return ring->req_prod - wanted < pushed;
}

int front_ring_waiting(const struct front_ring *ring)
{
    uint32_t waiting = __atomic_load_n(ring_index(ring, RSP_PROD), __ATOMIC_ACQUIRE) - ring->rsp_cons;
    return waiting <= ring->req_prod - ring->rsp_cons ? (int)waiting : -EIO;
}

void front_ring_response(struct front_ring *ring, void *response, size_t bytes)
{
    assert(bytes <= ring->slot_bytes);
    memcpy(response, ring_slot(ring, ring->rsp_cons++), bytes);
}

bool front_ring_sleep(struct front_ring *ring)
{
    __atomic_store_n(ring_index(ring, RSP_EVENT), ring->rsp_cons + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return __atomic_load_n(ring_index(ring, RSP_PROD), __ATOMIC_RELAXED) != ring->rsp_cons;
}
