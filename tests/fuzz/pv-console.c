/*
 * A PV console between a front end that writes what it likes (nodes, states, indices, any byte of its ring, between two
 * looks of the back end as well) and an outside that takes and gives as it likes. Beside what sanitizers see: the ring
 * is never read or written around, what was said in order is heard in order, and a guest that reboots has a console
 * that works.
 *
 * An input: the set-up in two bytes, then operations. The low four bits of an operation's first byte are its kind, the
 * high four a modifier.
 */
#include "fuzz.h"

#include <errno.h>
#include <fake.h>
#include <stdlib.h>
#include <string.h>

enum op {
    OP_SAY,
    OP_HEAR,
    OP_EVENT,
    OP_FEED,
    OP_TAKE,
    OP_TIME,
    OP_INDEX,
    OP_BYTES,
    OP_RACE,
    OP_STATE,
    OP_NODE,
    OP_TOOLSTACK,
    OP_CONNECT,
};
enum { MAX_OPS = 400, MAX_CONNECTS = 8, LOG_LIMIT = 3000, NAME_BYTES = 64 };
/* struct xencons_interface. */
enum { IN = 0, IN_BYTES = 1024, OUT = 1024, OUT_BYTES = 2048 };
enum { IN_CONS = 3072, IN_PROD = 3076, OUT_CONS = 3080, OUT_PROD = 3084 };

struct outside {
    struct chr chr;
    size_t takes; /* bytes it takes still */
    size_t fed;   /* bytes that wait to come in */
    bool open;
};

struct con {
    struct fake *fake;
    struct fuzz_in in;
    struct outside out;
    char back[NAME_BYTES], front[NAME_BYTES];
    uint32_t ref;
    unsigned connects, number;
    bool served;  /* there is a back end */
    bool limited; /* not all that is said will be heard */
    bool odd;     /* the guest broke its own ring: nothing can be said about bytes */
    bool paused;
    uint8_t said, heard, fed, got; /* the bytes of both directions count up */
    /* What the guest changes between the back end's looks. */
    uint8_t race_len, race[8];
    uint16_t race_at;
};

static struct con *current;  /* the fake's and the chr's functions have no argument for it */
static struct rig *kept_rig; /* between inputs: its RAM takes long to get */

static uint8_t u8(struct con *c)
{
    return fuzz_u8(&c->in);
}

static uint32_t *index_of(struct con *c, unsigned offset)
{
    return (uint32_t *)(void *)(fake_page(c->fake, c->ref) + offset);
}

/* --- The outside --- */

static void at_work(void)
{
    struct con *c = current;
    for (unsigned i = 0; i < c->race_len; i++)
        fake_page(c->fake, c->ref)[(c->race_at + i) % PAGE_BYTES] = c->race[i];
    c->race_len = 0;
}

static size_t out_write(struct chr *chr, const uint8_t *buf, size_t len)
{
    struct outside *o = container_of(chr, struct outside, chr);
    size_t n = len < o->takes ? len : o->takes;
    at_work();
    o->takes -= n;
    for (size_t i = 0; i < n; i++) {
        if (buf[i] != current->heard && !current->odd && !current->limited)
            fuzz_bug("pv-console: byte %u came out, not %u", buf[i], current->heard);
        current->heard = (uint8_t)(buf[i] + 1);
    }
    return n;
}

static void out_resume(struct chr *chr)
{
}

static void out_close(struct chr *chr)
{
    struct outside *o = container_of(chr, struct outside, chr);
    if (!o->open)
        fuzz_bug("pv-console: closed twice");
    o->open = false;
    chr->user = NULL;
}

static const struct chr_ops out_ops = { .write = out_write, .resume = out_resume, .close = out_close };

static int open_chr(struct host *host, const struct chr_config *config, struct chr **out)
{
    struct outside *o = &current->out;
    if (config->wait)
        fuzz_bug("pv-console: it would wait for a client");
    if (o->open || (config->path && strstr(config->path, "nowhere")))
        return -ENOENT;
    o->open = true;
    o->chr = (struct chr){ .ops = &out_ops, .filename = "pty:/dev/pts/3" };
    *out = &o->chr;
    return 0;
}

static void deliver(struct con *c)
{
    const struct chr_user *user = c->out.chr.user;
    uint8_t buf[IN_BYTES];
    size_t room = user ? user->room(c->out.chr.opaque) : 0;
    if (room > IN_BYTES)
        fuzz_bug("pv-console: room for %zu bytes", room);
    at_work();
    size_t n = room < c->out.fed ? room : c->out.fed;
    for (size_t i = 0; i < n; i++)
        buf[i] = c->fed++;
    if (n > 0)
        user->recv(c->out.chr.opaque, buf, n);
    c->out.fed -= n;
}

/* --- The guest --- */

static void say(struct con *c, size_t len)
{
    uint32_t cons = *index_of(c, OUT_CONS), *prod = index_of(c, OUT_PROD);
    for (; len > 0 && *prod - cons < OUT_BYTES; len--)
        fake_page(c->fake, c->ref)[OUT + (*prod)++ % OUT_BYTES] = c->said++;
}

static void hear(struct con *c, size_t len)
{
    uint32_t prod = *index_of(c, IN_PROD), *cons = index_of(c, IN_CONS);
    for (; len > 0 && *cons != prod; len--) {
        uint8_t byte = fake_page(c->fake, c->ref)[IN + (*cons)++ % IN_BYTES];
        if (byte != c->got && !c->odd)
            fuzz_bug("pv-console: byte %u came in, not %u", byte, c->got);
        c->got = (uint8_t)(byte + 1);
    }
}

static void race(struct con *c, bool later)
{
    c->odd = true;
    c->race_at = (uint16_t)fuzz_le(&c->in, 2);
    c->race_len = u8(c) % sizeof(c->race);
    for (unsigned i = 0; i < c->race_len; i++)
        c->race[i] = u8(c);
    if (!later)
        at_work();
}

static void front_says(struct con *c, unsigned state)
{
    fake_writef(c->fake, c->front, "state", "%u", state);
    fake_settle(c->fake);
}

/* A driver starts anew, with a page of its own; that of the first console is the builder's for ever. */
static void connect(struct con *c, uint8_t how)
{
    if (c->number == 0 || c->connects++ >= MAX_CONNECTS)
        return;
    front_says(c, CLOSED);
    front_says(c, INITIALISING);
    c->ref = fake_grant(c->fake);
    /* What is on its way, in the page before or with the outside, is lost or comes. */
    c->odd |= c->connects > 1;
    fake_writef(c->fake, c->front, "ring-ref", "%u", c->ref);
    fake_writef(c->fake, c->front, "port", "%d", FAKE_PORT);
    if (!(how & 1))
        front_says(c, INITIALISED);
    front_says(c, CONNECTED);
}

/* --- xenstore --- */

static void write_node(struct con *c, const char *dir, const char *node, uint8_t how)
{
    static const char *const texts[] = { "ioemu", "xenconsoled", "pty", "file:/x", "chardev:", "", "-1", "4294967296" };
    char path[NAME_BYTES + 24];
    (void)snprintf(path, sizeof(path), "%s/%s", dir, node);
    switch (how & 3) {
    case 0: fake_writef(c->fake, dir, node, "%u", u8(c)); break;
    case 1: fake_writef(c->fake, dir, node, "%llu", (unsigned long long)fuzz_le(&c->in, 8)); break;
    case 2: fake_write(c->fake, path, texts[u8(c) % ARRAY_SIZE(texts)]); break;
    case 3: fake_write(c->fake, path, NULL); break;
    }
}

static void front_node(struct con *c, uint8_t how)
{
    static const char *const nodes[] = { "ring-ref", "port", "state", "type", "output", "limit", "tty" };
    c->odd = true; /* its ring may be elsewhere */
    write_node(c, c->front, nodes[u8(c) % ARRAY_SIZE(nodes)], how);
}

static void write_entry(struct con *c, const char *output, uint64_t limit)
{
    struct fake *f = c->fake;
    fake_writef(f, c->front, "type", "ioemu");
    if (output)
        fake_writef(f, c->front, "output", "%s", output);
    fake_writef(f, c->front, "limit", "%llu", (unsigned long long)limit);
    fake_writef(f, c->front, "port", "%d", FAKE_PORT);
    fake_writef(f, c->front, "ring-ref", "%u", c->ref);
    fake_writef(f, c->back, "frontend", "%s", c->front);
    fake_writef(f, c->back, "frontend-id", "%d", FAKE_DOMID);
    fake_writef(f, c->back, "online", "1");
    fake_writef(f, c->back, "state", "1");
}

static void toolstack(struct con *c, uint8_t how)
{
    switch (how & 7) {
    case 0: fake_writef(c->fake, c->back, "online", "%u", u8(c) & 1); break;
    case 1: fake_writef(c->fake, c->back, "state", "%u", u8(c) % 10); break;
    case 2: fake_write(c->fake, c->back, NULL); break;
    case 3: write_entry(c, "file:/later", 100); break;
    default:
        c->paused = !c->paused;
        pv_set_paused(c->fake->pv, c->paused);
        return;
    }
    c->served = false;
}

/* --- The whole --- */

static void one(struct con *c)
{
    uint8_t byte = u8(c), how = byte >> 4;
    switch ((enum op)(byte & 15)) {
    case OP_SAY: say(c, (size_t)u8(c) << (how & 3)); break;
    case OP_HEAR: hear(c, (size_t)u8(c) << (how & 3)); break;
    case OP_FEED: c->out.fed += c->out.fed < 4096 ? (size_t)u8(c) << (how & 3) : 0; break;
    case OP_TAKE: c->out.takes = how & 4 ? SIZE_MAX : (size_t)u8(c) << (how & 3); break;
    case OP_TIME: rig_run(c->fake->rig, NS_PER_MS << how); break;
    case OP_INDEX:
        c->odd = true;
        *index_of(c, IN_CONS + 4u * (how & 3)) = (uint32_t)fuzz_le(&c->in, how & 4 ? 4 : 2);
        break;
    case OP_BYTES: race(c, false); break;
    case OP_RACE: race(c, true); break;
    case OP_STATE:
        c->odd = true;
        front_says(c, how);
        break;
    case OP_NODE: front_node(c, how); break;
    case OP_TOOLSTACK: toolstack(c, how); break;
    case OP_CONNECT: connect(c, how); break;
    case OP_EVENT:
    default: fake_event(c->fake); break;
    }
    deliver(c);
    if (how & 8 || c->fake->nr_events > 100)
        fake_settle(c->fake);
}

static const char *state_of(struct con *c)
{
    char path[NAME_BYTES + 8];
    (void)snprintf(path, sizeof(path), "%s/state", c->back);
    const char *state = fake_read(c->fake, path);
    return state ? state : "none";
}

/* A guest that reboots, or whose page is right again; an outside without a hitch. */
static void check_works(struct con *c)
{
    fake_settle(c->fake);
    if (c->paused)
        pv_set_paused(c->fake->pv, false);
    if (!c->served)
        return;
    c->race_len = 0;
    c->out.takes = SIZE_MAX;
    rig_run(c->fake->rig, 2 * NS_PER_S);
    c->connects = 0;
    c->odd = true;
    connect(c, 0);
    fake_writef(c->fake, c->front, "port", "%d", FAKE_PORT);
    memset(fake_page(c->fake, c->ref), 0, PAGE_BYTES);
    if (strcmp(state_of(c), "4") != 0 && (c->number > 0 || c->fake->bound))
        fuzz_bug("pv-console: state %s after a reboot", state_of(c));
    if (strcmp(state_of(c), "4") != 0)
        return; /* the first one: its port was taken from it before it was bound */
    c->out.fed = 0;
    c->said = c->heard;
    c->got = c->fed;
    c->odd = false;
    say(c, 7);
    fake_event(c->fake);
    c->out.fed = 9;
    deliver(c);
    hear(c, 9);
    if (c->out.open && (c->out.fed > 0 || c->got != c->fed))
        fuzz_bug("pv-console: no input after a reboot");
    if (*index_of(c, OUT_CONS) != 7 || (c->out.open && !c->limited && c->heard != c->said))
        fuzz_bug("pv-console: no output after a reboot");
}

static void set_up(struct con *c, uint8_t how, uint8_t more)
{
    static const char *const outputs[] = { "pty",           "file:/log", NULL,      "unix:/s,server",
                                           "file:/nowhere", "vc",        "pipe:/p", "chardev:ch0" };
    static const unsigned numbers[] = { 0, 1, 3, 3 };
    static const uint64_t limits[] = { 1048576, 4096, 0, UINT64_MAX };
    if (!kept_rig)
        kept_rig = rig_new();
    kept_rig->now_ns = NS_PER_S;
    struct fake *f = c->fake = fake_new_on(kept_rig, PV_COPY);
    const char *output = outputs[more & 7];
    c->number = numbers[how & 3];
    (void)snprintf(c->back, sizeof(c->back), "backend/console/%d/%u", FAKE_DOMID, c->number);
    (void)snprintf(c->front, sizeof(c->front), "/local/domain/%d/device/console/%u", FAKE_DOMID, c->number);
    if (c->number == 0)
        (void)snprintf(c->front, sizeof(c->front), "/local/domain/%d/console", FAKE_DOMID);
    f->host.chr_open = open_chr;
    f->log_limit_bytes = how & 4 ? LOG_LIMIT : 0;
    c->limited = (how & 4) || (how >> 3 & 3) != 0; /* a file's end, or a small backlog */
    c->out.takes = SIZE_MAX;
    c->ref = fake_grant(f);
    f->grants[c->ref].read_only = how & 0x20;
    c->served = output && !strstr(output, "nowhere") && strcmp(output, "vc") != 0 && !(how & 0x20);
    if ((more & 7) == 7) {
        struct chr_config config = { .kind = CHR_PTY };
        (void)open_chr(&f->host, &config, &f->chrs[0]);
        (void)snprintf(f->chrs[0]->label, sizeof(f->chrs[0]->label), more & 8 ? "other" : "ch0");
        f->nr_chrs = 1;
        c->served = c->served && !(more & 8);
    }
    write_entry(c, output, limits[how >> 3 & 3]);
    fake_start(f);
}

void fuzz_pv_console_run(const struct fuzz_target *target, const uint8_t *data, size_t len)
{
    struct con c = { .in = { data, data + len } };
    current = &c;
    uint8_t how = u8(&c), more = u8(&c);
    set_up(&c, how, more);
    connect(&c, 0);
    for (unsigned i = 0; i < MAX_OPS && c.in.at < c.in.end; i++)
        one(&c);
    check_works(&c);
    c.odd = true; /* what still waits may come now */
    fake_settle(c.fake);
    if (c.fake->nr_chrs > 0) {
        pv_destroy(c.fake->pv);
        c.fake->pv = NULL;
        if (!c.out.open || c.out.chr.user)
            fuzz_bug("pv-console: a borrowed channel was closed or kept");
        c.out.open = false;
    }
    fake_free(c.fake);
    if (c.out.open)
        fuzz_bug("pv-console: its channel was left open");
    if (kept_rig->loop.timers)
        fuzz_bug("pv-console: a timer is left");
    current = NULL;
}

void fuzz_pv_console_finish(const struct fuzz_target *target)
{
    rig_free(kept_rig);
    kept_rig = NULL;
}
