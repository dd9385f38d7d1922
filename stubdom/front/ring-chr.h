/*
 * A chr whose bytes go through two rings in a page that the other end writes to as well: consoles and vchan differ in
 * where things are in the page, and in how a peer shows that it is there. The other end is not to be trusted.
 */
#ifndef THINDM_RING_CHR_H
#define THINDM_RING_CHR_H

#include "front-private.h"

/* Bytes in a page; the indices run free. */
struct byte_ring {
    uint8_t *bytes;
    uint32_t size; /* a power of two */
    uint32_t *cons, *prod;
    uint32_t ours; /* which of the two we move */
};

struct ring_chr {
    struct chr chr;
    struct front front; /* its channel and, of consoles, all of it */
    struct front_pages page;
    struct byte_ring in, out;
    struct task task;
    /* chr.connected: there is a peer. told: the user knows. over: this one is done with, whatever it sends. */
    bool told, over;
    bool keeps; /* output that finds no room in the ring is kept, up to a limit; else it is not taken */
    uint8_t *kept;
    size_t nr_kept, kept_size;
    /* Looks whether there is a peer; from the loop. */
    void (*look)(struct ring_chr *c);
    /* The peer is to go, and those that wait for it to know. NULL: nothing to do. */
    void (*hang_up)(struct ring_chr *c);
    void (*release)(struct ring_chr *c); /* of what it has; and frees c */
    unsigned busy;                       /* in callbacks */
    bool dead;                           /* chr_close() came from one of them */
};

/* write, resume, disconnect, close. */
extern const struct chr_ops ring_chr_ops;

/* The rest of c is filled in; rings and channel may come later. */
void ring_chr_init(struct ring_chr *c, struct loop *loop);
/* Look, tell, send, receive: when there was an event, and as a task. */
void ring_chr_run(void *opaque);
void ring_chr_event(void *opaque, evtchn_port_t port);
/* Nothing more with this peer, for it lies: a line in the log. */
void ring_chr_give_up(struct ring_chr *c);
/* For release(): page, channel, memory. */
void ring_chr_free(struct ring_chr *c);

#endif
