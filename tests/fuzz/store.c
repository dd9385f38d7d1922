/*
 * A xenstore daemon that sends what it likes, framed as messages or not, and moves the ring's indices; beside it
 * requests of all kinds and watches. What must hold beside what sanitizers see: each request ends, within its time, its
 * result is a length that fits or an error, and watches are called only while they are there.
 *
 * An input: operations. The low four bits of an operation's first byte are its kind, the high four a modifier. While a
 * request waits, the operations of the daemon go on behind it in the input.
 */
#include "fuzz.h"

#include "../../stubdom/kernel/clock.h"
#include "../../stubdom/kernel/store.h"
#include "../stubdom/fake.h"
#include <stdlib.h>
#include <string.h>

enum op { OP_READ, OP_LIST, OP_WRITE, OP_BURST, OP_WATCH, OP_UNWATCH, OP_TRANSACTION, OP_WAIT, OP_TURN, FIRST_DAEMON };
enum daemon_op { DO_ANSWER = FIRST_DAEMON, DO_ERROR, DO_EVENT, DO_RAW, DO_INDEX, DO_FAIR, DO_EVENT_ONLY };
enum { MAX_OPS = 300, MAX_DAEMON_OPS = 1000, NR_WATCHES = 3, NR_ITEMS = 4 };

struct bench {
    struct fuzz_in in;
    struct store_watch watches[NR_WATCHES];
    bool in_tx;
    unsigned daemon_ops;
};

static const char *const paths[] = { "data/a", "/local/domain/0/name", "", "device/vbd/768/state" };

static void called(void *opaque)
{
    const struct store_watch *watch = opaque;
    if (!watch->added)
        fuzz_bug("a watch that is gone was called");
}

static void append(const void *bytes, size_t len)
{
    struct fakexen_store *s = &fakexen.store;
    if (len > sizeof(s->out) - s->out_len)
        return;
    memcpy(s->out + s->out_len, bytes, len);
    s->out_len += len;
}

static void send_any(struct bench *b, uint32_t type, unsigned modifier)
{
    static uint8_t payload[XENSTORE_PAYLOAD_MAX + 1];
    size_t len = modifier & 8 ? (size_t)fuzz_le(&b->in, 2) % sizeof(payload) : modifier;
    for (size_t i = 0; i < len; i++)
        payload[i] = i < 24 ? fuzz_u8(&b->in) : (uint8_t)i;
    if (fakexen.store.out_len < 8192)
        fakexen_store_send(type, fuzz_u8(&b->in), payload, (uint32_t)len);
}

/* Its indices, both of which it can write. Then the honest daemon of the fake is of no use any more. */
static void move_index(struct bench *b, unsigned modifier)
{
    struct xenstore_domain_interface *ring = fakexen.store.ring;
    uint32_t *indices[] = { &ring->rsp_prod, &ring->req_cons, &ring->rsp_cons, &ring->req_prod };
    *indices[modifier & 3] = modifier & 4 ? (uint32_t)fuzz_le(&b->in, 4) : *indices[modifier & 3] + fuzz_u8(&b->in);
    fakexen.store.deaf = true;
    fakexen_raise(FAKE_STORE_PORT);
}

static void daemon_operation(struct bench *b, enum daemon_op op, unsigned modifier)
{
    static const char *const errors[] = { "ENOENT", "EINVAL", "EAGAIN", "", "EWHAT", "E2BIG" };
    uint8_t raw[16];
    switch (op) {
    case DO_ANSWER: send_any(b, fuzz_u8(&b->in) % 24, modifier); break;
    case DO_ERROR: fakexen.store.error = errors[modifier % ARRAY_SIZE(errors)]; break;
    case DO_EVENT: fakexen_store_fire(paths[modifier % ARRAY_SIZE(paths)]); break;
    case DO_RAW:
        for (unsigned i = 0; i <= modifier; i++)
            raw[i] = fuzz_u8(&b->in);
        append(raw, modifier + 1u);
        break;
    case DO_INDEX: move_index(b, modifier); break;
    case DO_FAIR:
        fakexen.store.mute = modifier & 1;
        fakexen.store.chunk = modifier >> 1;
        break;
    case DO_EVENT_ONLY: fakexen_raise(FAKE_STORE_PORT); break;
    }
}

/* While we sleep in a request: what is the daemon's in the input. Anything else waits until the request ended. */
static bool daemon_works(void *opaque)
{
    struct bench *b = opaque;
    if (b->in.at >= b->in.end || (*b->in.at & 15) < FIRST_DAEMON || b->daemon_ops++ >= MAX_DAEMON_OPS)
        return false;
    uint8_t first = fuzz_u8(&b->in);
    daemon_operation(b, (enum daemon_op)(first & 15), first >> 4);
    return true;
}

/* In memory of its own size, so that a step too far is seen. */
static void read_some(struct bench *b, bool list, unsigned modifier)
{
    size_t size = modifier & 8 ? (size_t)fuzz_le(&b->in, 2) % 5000 : modifier;
    char *buf = malloc(size + 1);
    if (!buf)
        fuzz_bug("no memory");
    const char *path = paths[modifier % ARRAY_SIZE(paths)];
    uint64_t number;
    int len = list ? store_list(path, buf, size) : store_read(path, buf, size);
    if (len > (int)size - !list)
        fuzz_bug("%d bytes in a buffer of %zu", len, size);
    if (!list && len >= 0 && buf[len] != '\0')
        fuzz_bug("a value without an end");
    fuzz_any(store_read_u64(path, &number));
    free(buf);
}

static void burst(struct bench *b, unsigned modifier)
{
    char text[NR_ITEMS][32];
    struct store_item items[NR_ITEMS];
    for (size_t i = 0; i < NR_ITEMS; i++) {
        memset(text[i], 0, sizeof(text[i]));
        items[i] = (struct store_item){ .path = paths[i], .value = text[i], .size = 1 + modifier };
    }
    int err = modifier & 1 ? store_write_all(items, NR_ITEMS) : store_read_all(items, NR_ITEMS);
    for (size_t i = 0; i < NR_ITEMS; i++) {
        if (items[i].result > (int)modifier)
            fuzz_bug("%d bytes in a buffer of %u", items[i].result, modifier + 1);
        if (items[i].result < 0 && !err)
            fuzz_bug("an error is not told");
    }
}

static void transaction(struct bench *b, unsigned modifier)
{
    if (!b->in_tx) {
        b->in_tx = store_begin() == 0;
        return;
    }
    b->in_tx = false;
    if (modifier & 1)
        fuzz_any(store_commit());
    else
        store_abort();
}

static void operation(struct bench *b)
{
    uint8_t first = fuzz_u8(&b->in), modifier = first >> 4;
    struct store_watch *watch = &b->watches[modifier % NR_WATCHES];
    uint64_t before = clock_now_ns();
    switch ((enum op)(first & 15)) {
    case OP_READ:
    case OP_LIST: read_some(b, first & 1, modifier); break;
    case OP_WRITE:
        fuzz_any(modifier & 8 ? store_post(paths[modifier % ARRAY_SIZE(paths)], "x")
                              : store_printf(paths[modifier % ARRAY_SIZE(paths)], "%u", modifier));
        break;
    case OP_BURST: burst(b, modifier); break;
    case OP_WATCH:
        if (watch->added)
            break;
        strcpy(watch->path, paths[modifier % ARRAY_SIZE(paths)]);
        watch->fn = called;
        watch->opaque = watch;
        if (store_watch(watch) != 0 && watch->added)
            fuzz_bug("a watch that failed is there");
        break;
    case OP_UNWATCH: store_unwatch(watch); break;
    case OP_TRANSACTION: transaction(b, modifier); break;
    case OP_WAIT:
        if (watch->added)
            fuzz_any(store_wait(watch, before + NS_PER_S));
        break;
    case OP_TURN: fuzz_any(loop_step(&fakexen.loop, 0)); break;
    default: daemon_operation(b, (enum daemon_op)(first & 15), modifier); break;
    }
    if (clock_now_ns() - before > 4 * STORE_WAIT_NS)
        fuzz_bug("an operation took %llu s", (unsigned long long)((clock_now_ns() - before) / NS_PER_S));
}

void fuzz_store_run(const struct fuzz_target *target, const uint8_t *data, size_t len)
{
    struct bench b = { .in = { data, data + len } };
    fakexen_init();
    fakexen_set("data/a", "1");
    fakexen_set("device/vbd/768/state", "4");
    fakexen.back = daemon_works;
    fakexen.back_opaque = &b;
    for (unsigned i = 0; i < MAX_OPS && b.in.at < b.in.end; i++)
        operation(&b);
    if (b.in_tx)
        store_abort();
    for (size_t i = 0; i < NR_WATCHES; i++)
        store_unwatch(&b.watches[i]);
    fakexen_finish();
}
