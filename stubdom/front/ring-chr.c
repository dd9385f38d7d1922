/* Bytes through a shared page: see ring-chr.h. */
#include "ring-chr.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_BYTES = 256, KEPT_FIRST_BYTES = 4096, KEPT_MAX_BYTES = 65536 };

/* --- Rings --- */

/* Bytes between the two indices; -EIO: more than the ring has. */
static int64_t used(const struct byte_ring *ring, bool we_produce)
{
    uint32_t theirs = __atomic_load_n(we_produce ? ring->cons : ring->prod, __ATOMIC_ACQUIRE);
    uint32_t n = we_produce ? ring->ours - theirs : theirs - ring->ours;
    return n <= ring->size ? (int64_t)n : -EIO;
}

/* Copy n bytes in or out, which are there, and move our index behind them. */
static void move(struct byte_ring *ring, uint8_t *to, const uint8_t *from, size_t n)
{
    while (n > 0) {
        uint32_t at = ring->ours & (ring->size - 1);
        size_t part = min_u64(n, ring->size - at);
        if (from) {
            memcpy(ring->bytes + at, from, part);
            from += part;
        } else {
            memcpy(to, ring->bytes + at, part);
            to += part;
        }
        ring->ours += (uint32_t)part;
        n -= part;
    }
    __atomic_store_n(from ? ring->prod : ring->cons, ring->ours, __ATOMIC_RELEASE);
}

/* --- Output --- */

static void forget_kept(struct ring_chr *c)
{
    free(c->kept);
    c->kept = NULL;
    c->nr_kept = c->kept_size = 0;
}

void ring_chr_give_up(struct ring_chr *c)
{
    if (c->over)
        return;
    (void)front_error(&c->front, -EIO, "the other end moved its ring index too far; no more with this one");
    c->over = true;
    forget_kept(c);
    if (c->hang_up)
        c->hang_up(c);
    task_post(&c->task); /* tells the user */
}

/* As many bytes as there is room for. Those to a liar vanish. */
static size_t put(struct ring_chr *c, const uint8_t *buf, size_t len)
{
    int64_t n = used(&c->out, true);
    if (n < 0)
        ring_chr_give_up(c);
    if (c->over)
        return len;
    size_t room = min_u64(len, c->out.size - (uint64_t)n);
    if (room > 0) {
        move(&c->out, NULL, buf, room);
        (void)events_notify(c->front.port);
    }
    return room;
}

/* Bytes that were kept. */
static size_t keep(struct ring_chr *c, const uint8_t *buf, size_t len)
{
    size_t size = c->kept_size > 0 ? c->kept_size : KEPT_FIRST_BYTES;
    len = min_u64(len, KEPT_MAX_BYTES - c->nr_kept);
    while (size < c->nr_kept + len)
        size *= 2;
    if (size != c->kept_size) {
        uint8_t *kept = realloc(c->kept, size);
        if (!kept)
            return 0;
        c->kept = kept;
        c->kept_size = size;
    }
    memcpy(c->kept + c->nr_kept, buf, len);
    c->nr_kept += len;
    return len;
}

static void send_kept(struct ring_chr *c)
{
    if (c->nr_kept == 0)
        return;
    size_t done = put(c, c->kept, c->nr_kept);
    if (c->nr_kept == 0)
        return; /* it lied: all is forgotten */
    c->nr_kept -= done;
    memmove(c->kept, c->kept + done, c->nr_kept);
    if (c->nr_kept == 0)
        forget_kept(c);
}

static size_t ring_chr_write(struct chr *chr, const uint8_t *buf, size_t len)
{
    struct ring_chr *c = container_of(chr, struct ring_chr, chr);
    if (c->over || len == 0 || (c->keeps && !chr->connected))
        return len; /* nobody is there */
    size_t done = c->nr_kept > 0 ? 0 : put(c, buf, len);
    if (done < len && c->keeps && !c->over)
        done += keep(c, buf + done, len - done);
    return done;
}

/* --- Input --- */

static size_t room(const struct chr *chr)
{
    if (!chr->user->recv)
        return 0;
    return chr->user->room ? min_u64(chr->user->room(chr->opaque), CHUNK_BYTES) : CHUNK_BYTES;
}

/* What is there now, as far as the user has room for it. */
static void receive(struct ring_chr *c)
{
    uint8_t buf[CHUNK_BYTES];
    int64_t left = c->told && !c->over ? used(&c->in, false) : 0;
    if (left < 0)
        ring_chr_give_up(c);
    bool some = false;
    while (left > 0 && !c->dead && !c->over) {
        size_t n = min_u64(room(&c->chr), (uint64_t)left);
        if (n == 0)
            break;
        move(&c->in, buf, NULL, n);
        left -= (int64_t)n;
        some = true;
        c->chr.user->recv(c->chr.opaque, buf, n);
    }
    if (some && !c->dead)
        (void)events_notify(c->front.port); /* it may wait for room */
}

/* --- The peer --- */

static void tell(struct ring_chr *c)
{
    bool there = c->chr.connected;
    if (!c->chr.user || c->told == there)
        return;
    c->told = there;
    void (*fn)(void *) = there ? c->chr.user->opened : c->chr.user->closed;
    if (fn)
        fn(c->chr.opaque);
}

void ring_chr_run(void *opaque)
{
    struct ring_chr *c = opaque;
    c->busy++;
    receive(c); /* the last words of a peer that is about to be seen leaving */
    if (!c->dead)
        c->look(c);
    if (!c->chr.connected && c->keeps)
        forget_kept(c); /* the next peer has no use for it */
    if (!c->dead)
        tell(c);
    if (!c->dead)
        send_kept(c);
    if (!c->dead)
        receive(c);
    if (--c->busy == 0 && c->dead)
        c->release(c);
}

void ring_chr_event(void *opaque, evtchn_port_t port)
{
    ring_chr_run(opaque);
}

static void ring_chr_resume(struct chr *chr)
{
    task_post(&container_of(chr, struct ring_chr, chr)->task);
}

static void ring_chr_disconnect(struct chr *chr)
{
    struct ring_chr *c = container_of(chr, struct ring_chr, chr);
    if (!c->hang_up || !chr->connected)
        return;
    send_kept(c); /* the last words, as far as they go */
    c->over = true;
    c->hang_up(c);
    task_post(&c->task);
}

static void ring_chr_close(struct chr *chr)
{
    struct ring_chr *c = container_of(chr, struct ring_chr, chr);
    send_kept(c);
    task_cancel(&c->task);
    if (c->front.has_port)
        events_forget(c->front.port);
    c->chr.user = NULL;
    c->dead = true;
    if (c->busy == 0)
        c->release(c);
}

const struct chr_ops ring_chr_ops = {
    .write = ring_chr_write, .resume = ring_chr_resume, .disconnect = ring_chr_disconnect, .close = ring_chr_close
};

void ring_chr_init(struct ring_chr *c, struct loop *loop)
{
    c->chr.ops = &ring_chr_ops;
    task_init(&c->task, loop, ring_chr_run, c);
}

void ring_chr_free(struct ring_chr *c)
{
    front_close(&c->front);
    front_pages_free(&c->front, &c->page);
    free(c->kept);
    free(c);
}
