/*
 * A Xen for the PV back ends' tests: a xenstore in memory with watches, guest pages behind grants, event channels, all
 * in one process; and a block front end on it that builds ring entries byte by byte, as guests of 64 and 32 bits do.
 */
#ifndef THINDM_TESTS_PV_FAKE_H
#define THINDM_TESTS_PV_FAKE_H

#include "pv.h"
#include "rig.h"
#include <thindm/host.h>

enum { FAKE_DOMID = 7, FAKE_NODES = 2048, FAKE_WATCHES = 80, FAKE_GRANTS = 4096, FAKE_PORT = 5,
       FAKE_FIRST_GRANT = 8 }; /* those before it are the toolstack's */
enum { INITIALISING = 1, INIT_WAIT, INITIALISED, CONNECTED, CLOSING, CLOSED };

struct fake_node {
    char path[128], value[128];
    bool used;
};

struct fake_watch {
    char path[128], token[32];
    bool used;
};

/* A grant of the guest: reference i is grants[i]. */
struct fake_grant {
    uint8_t *page; /* NULL: not granted */
    bool read_only;
    unsigned mapped; /* how often the back end has it mapped now */
};

/* One mapping of the back end. */
struct fake_map {
    uint8_t *area; /* NULL: none */
    uint32_t refs[256];
    unsigned nr;
};

struct fake {
    struct rig *rig;
    bool owns_rig;
    struct pv *pv;
    struct host host;
    struct fake_node nodes[FAKE_NODES];
    unsigned nr_nodes; /* behind them none was ever used */
    struct fake_watch watches[FAKE_WATCHES];
    struct fake_grant grants[FAKE_GRANTS];
    unsigned nr_grants;
    struct fake_map maps[2048];
    /* Events that the fake has not delivered yet. */
    struct {
        char path[128], token[32];
    } events[1024];
    unsigned nr_events;
    uint32_t bound; /* remote port, 0: none */
    unsigned notified, map_calls, copy_calls, copies, unmap_calls;
    unsigned states; /* how often a back end wrote a state: front ends look again each time */
    void (*before_copy)(struct fake *f); /* the guest at work between two looks of the back end */
    /* Images by path: size; 0: no such file. */
    bool shared; /* pv_config.shared */
    uint64_t image_bytes; /* an open one may grow, up to twice its size */
    uint64_t image_room;
    struct block_ops image_ops;
    uint32_t sector_bytes; /* 0: 512 */
    struct rig_disk *disk; /* of the last block_open() */
    struct block_open opened;
    bool disk_closed;
    unsigned opens;
    /* pv_config's; host.chr_open is the test's. */
    struct chr *chrs[4];
    unsigned nr_chrs;
    uint64_t log_limit_bytes;
};

struct fake *fake_new(enum pv_data data);
/* On a rig that outlives it. */
struct fake *fake_new_on(struct rig *rig, enum pv_data data);
void fake_free(struct fake *f);

/* xenstore as the toolstack and the guest write it; what is watched fires. value NULL: remove it and what is below. */
void fake_write(struct fake *f, const char *path, const char *value);
void fake_writef(struct fake *f, const char *dir, const char *node, const char *format, ...);
/* NULL: none. */
const char *fake_read(struct fake *f, const char *path);
/* Node below the back end's directory of device 51712. */
const char *fake_back(struct fake *f, const char *node);
/* Let watch events arrive and all that follows happen. */
void fake_settle(struct fake *f);

/* The entry that libxl writes for disk name; params "aio:/disk", mode "w", further nodes by fake_writef(). */
void fake_entry(struct fake *f, const char *name, const char *params, const char *mode, const char *type);
/* Create the back ends' side. */
void fake_start(struct fake *f);

/* Grant a zeroed page; its reference. fake_page(): the page. */
uint32_t fake_grant(struct fake *f);
uint8_t *fake_page(struct fake *f, uint32_t ref);
/* The event channel fires. */
void fake_event(struct fake *f);

/* --- The block front end --- */

struct seg {
    uint32_t ref;
    uint8_t first, last;
};

struct front {
    struct fake *fake;
    char dir[64];
    unsigned bits, pages;
    uint32_t refs[16], req_prod, rsp_cons;
    bool persistent;
};

/* Grant a ring of nr_pages pages and write the nodes. */
void front_prepare(struct front *front, struct fake *f, const char *name, unsigned bits, unsigned nr_pages,
                   bool persistent);
/* The same, then state 3, and settle. */
void front_connect(struct front *front, struct fake *f, const char *name, unsigned bits, unsigned nr_pages,
                   bool persistent);
void front_state(struct front *front, int state);
uint32_t front_entries(const struct front *front);
/* Put a request into the ring; front_kick() shows it and fires. */
void front_put(struct front *front, uint8_t op, uint64_t id, uint64_t sector, const struct seg *segs, unsigned nr);
void front_put_indirect(struct front *front, uint8_t op, uint64_t id, uint64_t sector, uint32_t page, uint16_t nr);
void front_put_discard(struct front *front, uint8_t flag, uint64_t id, uint64_t sector, uint64_t nr_sectors);
/* Entry n of the ring as bytes: 0 is the last that was put. */
uint8_t *front_last(struct front *front);
void front_kick(struct front *front);
/* The next response: its id, or UINT64_MAX if there is none. */
uint64_t front_response(struct front *front, uint8_t *op, int *status);
/* front_kick() and the status of the one response, which must be for id. */
int front_run(struct front *front, uint64_t id);
uint32_t front_index(struct front *front, unsigned offset);
void front_set_index(struct front *front, unsigned offset, uint32_t value);
enum { REQ_PROD = 0, REQ_EVENT = 4, RSP_PROD = 8, RSP_EVENT = 12 };

#endif
