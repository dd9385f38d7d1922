/*
 * What all front ends share: the nodes and states of a device, its event channel, pages that the back end may use, and
 * the index half of rings. A back end is not to be trusted: its nodes are checked here, its rings where they are read.
 * Sources: xen/include/public/io/{xenbus.h,ring.h}.
 */
#ifndef THINDM_FRONT_PRIVATE_H
#define THINDM_FRONT_PRIVATE_H

#include "../kernel/events.h"
#include "../kernel/gnttab.h"
#include "../kernel/store.h"
#include "front.h"
#include <xen/io/xenbus.h>

/* A back end has this long for each step towards the connection, and to let go of it. */
#define FRONT_WAIT_NS  (10 * NS_PER_S)
#define FRONT_CLOSE_NS (2 * NS_PER_S)

enum { FRONT_DIR_BYTES = 64, FRONT_NODE_BYTES = 96, FRONT_TEXT_BYTES = 24, FRONT_MAX_NODES = 12 };

struct front {
    char who[24];                                     /* in the log: "vbd/768" */
    char dir[FRONT_DIR_BYTES], back[FRONT_DIR_BYTES]; /* directories of either end */
    domid_t back_id;
    struct log *log;
    struct log_rate log_rate;
    enum xenbus_state back_state; /* as it was seen last */
    struct store_watch watch;     /* of the back end's state */
    /*
     * NULL: wait for the state only. Else from the loop, when the back end wrote its state, which may be the one that
     * it had: that is how it says that its other nodes changed.
     */
    void (*changed)(struct front *front);
    evtchn_port_t port;
    bool has_port;
    bool again; /* the back end is still closed from the last time */
};

/* Find the back end and watch it. 0 or -errno with a line in the log; front_close() is fine after either. */
int front_open(struct front *front, const char *dir, struct log *log) WARN_UNUSED;
/* Say Closing, wait FRONT_CLOSE_NS at most until the back end lets go, say Closed; the channel is closed. */
void front_close(struct front *front);

/* A line in the log, at most one a second in the long run: back ends may cause them; returns err. */
int front_error(struct front *front, int err, const char *format, ...) PRINTF_LIKE(3, 4);

/* A decimal number below the back end's directory. */
struct front_number {
    const char *name;
    uint64_t value; /* in: what holds if the node isn't there; out: what it says */
    uint64_t max;
    bool required;
};
/* All at once; at most FRONT_MAX_NODES. 0, or -errno with a line in the log: no number, too large, required and not
 * there. */
int front_read(struct front *front, struct front_number *numbers, size_t nr) WARN_UNUSED;

/*
 * Wait until the back end's state is state or one behind it, but not Closing, and read numbers together with it. 0, or
 * -errno with a line in the log: -ETIMEDOUT, -EIO (it closes; a number as front_read() has it; the store is gone).
 */
int front_wait(struct front *front, enum xenbus_state state, struct front_number *numbers, size_t nr) WARN_UNUSED;

/* Nodes of ours, collected with front_add() and front_add_number(), that go off together, and a state after them. */
struct front_nodes {
    struct store_item items[FRONT_MAX_NODES];
    char paths[FRONT_MAX_NODES][FRONT_NODE_BYTES], values[FRONT_MAX_NODES][FRONT_TEXT_BYTES];
    size_t nr;
};
void front_add(const struct front *front, struct front_nodes *nodes, const char *name, const char *value);
void front_add_number(const struct front *front, struct front_nodes *nodes, const char *name, uint64_t value);
/* nodes may be NULL. 0, or -errno with a line in the log. */
int front_publish(struct front *front, struct front_nodes *nodes, enum xenbus_state state) WARN_UNUSED;

/* The state alone, without waiting: where the back end needs it no more. An error is only told. */
void front_show(struct front *front, enum xenbus_state state);

/* A channel for the back end to bind to; fn is called for its events. 0 or -errno with a line in the log. */
int front_open_port(struct front *front, event_fn *fn, void *opaque) WARN_UNUSED;

/* --- Pages that the back end may read and write --- */

struct front_pages {
    uint8_t *at; /* NULL: none */
    size_t nr;
    grant_ref_t *refs; /* one for each */
};
/* nr zeroed pages. 0, -ENOMEM, -ENOSPC (the grant table is full); nothing in the log. */
int front_pages_alloc(struct front *front, struct front_pages *pages, size_t nr) WARN_UNUSED;
/* Those that the back end still has mapped are lost, which the log says. Harmless for none. */
void front_pages_free(struct front *front, struct front_pages *pages);

/* --- Rings of requests and responses [ring.h]; slots are the business of who uses them --- */

struct front_ring {
    uint8_t *shared;
    uint32_t nr, slot_bytes;                /* nr: a power of two */
    uint32_t req_prod, rsp_cons, req_shown; /* ours: those of the page are for the back end */
};
/* A ring in zeroed pages. */
void front_ring_init(struct front_ring *ring, const struct front_pages *pages, uint32_t slot_bytes);
/* The slot of the next request, zeroed. There is room: less than nr requests have no response taken yet. */
void *front_ring_request(struct front_ring *ring);
/* Show them to the back end. True: it wants to be told. */
bool front_ring_push(struct front_ring *ring);
/* How many responses wait; -EIO: more than there are requests. */
int front_ring_waiting(const struct front_ring *ring);
/* Copy the next response, which is there. */
void front_ring_response(struct front_ring *ring, void *response, size_t bytes);
/* From now on the next response makes an event. True: one came meanwhile. */
bool front_ring_sleep(struct front_ring *ring);

#endif
