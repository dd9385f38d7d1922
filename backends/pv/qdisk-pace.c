/*
 * How often a front end speaks up. Each time costs an interrupt, and two switches where guest and back end share a CPU:
 * more than a small request itself. A front end that had several requests waiting whenever we came is asked to collect
 * some before it speaks up; a timer limits for how long these can wait for the others. After a wait in vain it is
 * asked for what did come, and the time to the next try for more doubles. One request at a time never waits: it shows
 * no sign of others. Source: xen/include/public/io/ring.h, req_event.
 */
#include "qdisk-private.h"

/* MAX: a quarter of a ring of one page, so that both sides have work at a time. STEADY, RARE: rounds before a try. */
enum { MAX_ASKED = 8, STEADY = 4, RARE = 4096 };
#define WAIT_MIN_NS UINT64_C(50000)
#define WAIT_MAX_NS (10 * NS_PER_MS)

/* Not the guest's clock: reading that leaves a mark in a trace. */
static uint64_t now_ns(const struct qdisk_pace *p)
{
    return p->loop->host->now_ns(p->loop->host_opaque);
}

static void expired(void *opaque)
{
    struct qdisk_pace *p = opaque;
    p->expired = true;
    p->fn(p->opaque);
}

void qdisk_pace_init(struct qdisk_pace *p, struct loop *loop, loop_fn *fn, void *opaque)
{
    *p = (struct qdisk_pace){ .loop = loop, .fn = fn, .opaque = opaque, .want = 1, .asked = 1, .rounds = STEADY };
    timer_init(&p->timer, loop, expired, p);
    p->last_ns = now_ns(p);
}

void qdisk_pace_finish(struct qdisk_pace *p)
{
    if (p->loop)
        timer_cancel(&p->timer);
}

/* What the last round says of the number to ask for. */
static void judge(struct qdisk_pace *p, unsigned taken)
{
    if (p->expired && taken < p->asked) {
        p->want = taken;
        p->good = 0;
        p->rounds = p->rounds < RARE ? p->rounds * 2 : RARE;
    } else if (taken > 1 && taken >= p->asked && ++p->good >= p->rounds) {
        p->good = 0;
        if (p->want < MAX_ASKED)
            p->want++;
        else if (p->rounds > STEADY)
            p->rounds /= 2;
    }
}

/* Twice the time that as many took lately when they were slow: a round is often twice as long as the one before. */
static uint64_t wait_limit(const struct qdisk_pace *p)
{
    uint64_t ns = 2 * p->want * p->each_ns;
    return ns < WAIT_MIN_NS ? WAIT_MIN_NS : min_u64(ns, WAIT_MAX_NS);
}

unsigned qdisk_pace_next(struct qdisk_pace *p, unsigned taken)
{
    if (taken > 0) {
        uint64_t now = now_ns(p);
        uint64_t each_ns = min_u64(now - p->last_ns, WAIT_MAX_NS) / taken, before_ns = p->each_ns - p->each_ns / 8;
        p->each_ns = each_ns > before_ns ? each_ns : before_ns;
        p->last_ns = now;
        judge(p, taken);
        p->asked = p->want;
        timer_cancel(&p->timer);
        if (p->asked > 1)
            timer_arm(&p->timer, wait_limit(p));
    } else if (p->expired) {
        p->asked = 1; /* nothing more is coming: the next one can't wait for others */
    }
    p->expired = false;
    return p->asked;
}
