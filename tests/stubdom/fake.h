/*
 * A Xen for the stubdomain's kernel and front ends, in one process: pages, a grant table, event channels, a clock that
 * moves when all wait, and a xenstore daemon at the other end of the ring. There is one, as there is one kernel.
 * Fuzzers use it too, so it knows nothing of the test library.
 */
#ifndef THINDM_TESTS_STUBDOM_FAKE_H
#define THINDM_TESTS_STUBDOM_FAKE_H

#include "../../stubdom/kernel/events.h"
#include "../../stubdom/kernel/gnttab.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <thindm/log.h>
#include <thindm/loop.h>
#include <xen/io/xs_wire.h>

enum {
    FAKE_DOMID = 9,
    FAKE_BACK_DOMID = 0,
    FAKE_STORE_PORT = 1,
    FAKE_PAGES = 400,
    FAKE_FIRST_FRAME = 0x1000,
    FAKE_GRANT_FRAMES = 16,
    FAKE_NODES = 64,
    FAKE_WATCHES = 16,
    FAKE_VALUE_BYTES = 4200,
    FAKE_LOG_BYTES = 8192,
};
#define FAKE_HOME "/local/domain/9/"

struct fakexen_port {
    event_fn *fn; /* NULL: nobody listens */
    void *opaque;
    bool used, pending;
    domid_t remote;
    unsigned notified;
};

struct fakexen_node {
    bool used;
    char path[128], value[FAKE_VALUE_BYTES];
    size_t len;
};

struct fakexen_watch {
    bool used;
    char path[128], given[128], token[32]; /* absolute; as asked for */
};

/* The daemon. */
struct fakexen_store {
    struct xenstore_domain_interface *ring;
    struct fakexen_node nodes[FAKE_NODES];
    struct fakexen_watch watches[FAKE_WATCHES];
    uint8_t in[sizeof(struct xsd_sockmsg) + 65536]; /* of a request, as far as it came */
    size_t in_len;
    uint8_t out[1 << 17]; /* to be put into the ring */
    size_t out_len;
    /* What is wrong with it. */
    bool deaf;            /* takes nothing */
    bool mute;            /* answers nothing */
    bool steals;          /* the next WATCH_EVENTs come before the answer to the request that is there */
    size_t chunk;         /* bytes at a time at most; 0: any number */
    const char *error;    /* an answer, the next one that .. */
    unsigned error_after; /* .. has so many others before it */
    uint32_t answer_type; /* of the next answer, if not 0 */
    bool conflict;        /* the next transaction ends with EAGAIN */
    const char *tx_text;  /* what the next transaction is called; NULL: "7" */
    /* What it saw. */
    unsigned requests, bursts; /* a burst: requests that came between two looks of the daemon */
    uint32_t last_tx;
    char last_end;
};

struct fakexen {
    uint64_t now_ns;
    struct loop loop;
    struct log log;
    char text[FAKE_LOG_BYTES]; /* of the log and the console */
    unsigned lines;
    bool pvh;
    struct fakexen_port ports[EVENTS_MAX_PORTS];
    uint8_t page_used[FAKE_PAGES];
    size_t page_limit;     /* that are there to be used */
    uint64_t frame_offset; /* of the machine's memory */
    struct grant_entry_v1 *table[FAKE_GRANT_FRAMES];
    unsigned table_frames, windows, window_limit, max_frames;
    int fail_setup, fail_map, fail_alloc_port; /* -errno of the next call */
    struct fakexen_store store;
    /* The other end of a device: looks and works when the stubdomain sleeps. True: it did something. */
    bool (*back)(void *opaque);
    void *back_opaque;
    void (*notified)(void *opaque, evtchn_port_t port); /* it is on another CPU, and works at once. NULL: it isn't */
};
extern struct fakexen fakexen;

/* All anew: kernel parts initialised too. */
void fakexen_init(void);
/* Frees; the fuzzer's leak check is for what is left in the front ends. */
void fakexen_finish(void);
/* The pages that are not given back. */
size_t fakexen_pages_used(void);
/* The loop runs until nothing happens any more. */
void fakexen_settle(void);
/* The other ends work until nothing happens any more. */
void fakexen_work(void);
/* Was this said? Forgets all that was. */
bool fakexen_said(const char *text);

/* Nodes as others write them; watches fire. Relative paths are below FAKE_HOME. value NULL: none. */
void fakexen_set(const char *path, const char *value);
void fakexen_set_number(const char *path, uint64_t value);
/* NULL: none. */
const char *fakexen_get(const char *path);
uint64_t fakexen_get_number(const char *path);
/* The daemon sends this as it is. */
void fakexen_store_send(uint32_t type, uint32_t req_id, const void *payload, uint32_t len);
/* An event of the watch that is on path. */
void fakexen_store_fire(const char *path);

/* The page behind a grant for domain 0, or NULL; mapped: Xen notes that it is in use. */
uint8_t *fakexen_map(grant_ref_t ref, bool mapped);
void fakexen_unmap(grant_ref_t ref);
/* Make an event of a channel. */
void fakexen_raise(evtchn_port_t port);

#endif
