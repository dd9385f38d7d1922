/*
 * A PV disk's front end that writes what it likes: nodes, states, ring entries, indices, its memory while the back end
 * looks at it; and now and then the toolstack, a slow or failing image. Three things must hold beside what sanitizers
 * see: each request is answered once, none is lost, and a guest that reboots after all that has a disk that works.
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
    OP_NODE,
    OP_STATE,
    OP_TRANSFER,
    OP_INDIRECT,
    OP_DISCARD,
    OP_RAW,
    OP_KICK,
    OP_INDEX,
    OP_EVENT,
    OP_MEMORY,
    OP_GRANT,
    OP_IMAGE,
    OP_TOOLSTACK,
    OP_RACE,
    OP_ANSWERS,
    OP_CONNECT,
};
enum {
    MAX_OPS = 300,
    NR_DATA = 16,
    NR_MANY = 1280, /* more than a back end keeps mapped */
    MAX_CONNECTS = 8,
    SECTOR = 512,
    PAGE_SECTORS = PAGE_BYTES / SECTOR,
    IMAGE_BYTES = 256 << 10
};
enum { READ, WRITE }; /* of the ring */
enum { NR_IDS = 1024 };

struct disk {
    struct fake *fake;
    struct front front;
    struct fuzz_in in;
    uint32_t data[NR_DATA], segments; /* granted pages; the last is one of segments */
    uint32_t many;                    /* the first of NR_MANY in a row; 0: not granted yet */
    unsigned connects;
    bool cdrom, read_only;
    /* Which of the requests are not answered yet, by id. */
    bool asked[NR_IDS];
    uint64_t next_id;
    bool odd;     /* the guest broke its own ring: nothing can be said about answers */
    bool removed; /* the toolstack took the disk away */
    bool paused;
    /* What the guest changes when the back end looks next. */
    struct {
        uint32_t ref;
        uint16_t offset;
        uint8_t len, bytes[16];
    } race;
};

static struct disk *racing;  /* the one that is: the fake's hook has no argument */
static struct rig *kept_rig; /* between inputs: its RAM takes long to get */

static uint8_t u8(struct disk *d)
{
    return fuzz_u8(&d->in);
}

/* A guest that has data put into its ring, or writes there what is no request, breaks it. */
static uint32_t note_ring(struct disk *d, uint32_t ref)
{
    for (unsigned i = 0; i < d->front.pages; i++)
        d->odd |= d->front.refs[i] == ref;
    return ref;
}

/* A page of the guest: mostly one of the data. */
static uint32_t any_ref(struct disk *d)
{
    uint8_t byte = u8(d);
    switch (byte) {
    case 0xff: return note_ring(d, (uint32_t)fuzz_le(&d->in, 4));
    case 0xfe: return note_ring(d, d->front.refs[0]);
    case 0xfd: return d->segments;
    case 0xfc: return FAKE_GRANTS;
    case 0xfb: return 0;
    }
    return d->data[byte % NR_DATA];
}

/* --- The guest's memory --- */

static void at_work(struct fake *f)
{
    struct disk *d = racing;
    uint8_t *page = d->race.ref < FAKE_GRANTS ? fake_page(f, d->race.ref) : NULL;
    for (unsigned i = 0; page && i < d->race.len; i++)
        page[(d->race.offset + i) % PAGE_BYTES] = d->race.bytes[i];
    d->race.len = 0;
}

static void memory(struct disk *d, bool later)
{
    d->race.ref = any_ref(d);
    d->race.offset = (uint16_t)fuzz_le(&d->in, 2);
    d->race.len = u8(d) % sizeof(d->race.bytes);
    for (unsigned i = 0; i < d->race.len; i++)
        d->race.bytes[i] = u8(d);
    if (!later)
        at_work(d->fake);
}

/* Data pages come and go. What is mapped stays mapped, as with Xen. */
static void grant(struct disk *d, uint8_t how)
{
    uint8_t n = u8(d) % NR_DATA;
    if (how & 1)
        d->fake->grants[d->data[n]].page = NULL;
    else if (!fake_page(d->fake, d->data[n]))
        d->data[n] = fake_grant(d->fake);
    d->fake->grants[d->data[n]].read_only = how & 2;
}

/* --- Requests --- */

static void kick(struct disk *d, bool fire)
{
    front_set_index(&d->front, REQ_PROD, d->front.req_prod);
    if (fire)
        fake_event(d->fake);
}

static uint64_t new_id(struct disk *d)
{
    d->odd |= d->front.req_prod - d->front.rsp_cons >= front_entries(&d->front); /* over one that isn't answered */
    d->asked[d->next_id % NR_IDS] = true;
    return d->next_id++ % NR_IDS;
}

static uint64_t any_sector(struct disk *d)
{
    uint8_t byte = u8(d);
    return byte < 0xf0 ? byte : byte < 0xf8 ? fuzz_le(&d->in, 8) : IMAGE_BYTES / SECTOR - (byte - 0xf8u);
}

static struct seg any_segment(struct disk *d)
{
    struct seg s = { .ref = any_ref(d) };
    uint8_t byte = u8(d);
    s.first = byte & 7;
    s.last = byte >> 3 & 7;
    if (byte & 0x80) /* any; else most are right */
        s.last = u8(d);
    else if (s.last < s.first && !(byte & 0x40))
        s.last = s.first;
    return s;
}

static void transfer(struct disk *d, uint8_t how)
{
    struct seg segments[12];
    uint8_t nr = how & 8 ? u8(d) : 1 + (how >> 2 & 1);
    uint8_t op = how & 2 ? u8(d) : how & 1;
    uint64_t sector = any_sector(d);
    for (unsigned i = 0; i < nr && i < ARRAY_SIZE(segments); i++)
        segments[i] = any_segment(d);
    front_put(&d->front, op, new_id(d), sector, segments, nr);
}

static void indirect(struct disk *d, uint8_t how)
{
    uint16_t nr = (uint16_t)fuzz_le(&d->in, how & 8 ? 2 : 1);
    uint8_t op = how & 2 ? u8(d) : how & 1, pattern = u8(d) % 8 + 1;
    uint64_t sector = any_sector(d);
    struct seg segments[8];
    uint8_t *page = fake_page(d->fake, d->segments);
    for (unsigned i = 0; i < pattern; i++)
        segments[i] = any_segment(d);
    for (unsigned i = 0; i < PAGE_BYTES / 8 && i < nr; i++) {
        le32_put(page + 8 * i, segments[i % pattern].ref);
        page[8 * i + 4] = segments[i % pattern].first;
        page[8 * i + 5] = segments[i % pattern].last;
    }
    front_put_indirect(&d->front, op, new_id(d), sector, how & 4 ? any_ref(d) : d->segments, nr);
}

/* As many pages as a request may have, or nearly, one sector of each; of those that no other operation names. */
static void indirect_many(struct disk *d)
{
    uint16_t nr = (uint16_t)(256 - u8(d) % 4), first = (uint16_t)(u8(d) * 8 % (NR_MANY - 256));
    uint8_t op = u8(d) & 1;
    if (!d->many) {
        d->many = fake_grant(d->fake);
        for (unsigned i = 1; i < NR_MANY; i++)
            (void)fake_grant(d->fake);
    }
    memset(fake_page(d->fake, d->segments), 0, PAGE_BYTES);
    for (unsigned i = 0; i < nr; i++)
        le32_put(fake_page(d->fake, d->segments) + 8 * i, d->many + first + i);
    front_put_indirect(&d->front, op, new_id(d), 0, d->segments, nr);
    if (!d->odd) /* the page is for the next one, too */
        kick(d, true);
}

static void discard(struct disk *d, uint8_t how)
{
    uint64_t sector = any_sector(d), nr = any_sector(d);
    front_put_discard(&d->front, how & 1 ? u8(d) : 0, new_id(d), sector, nr);
}

static void raw(struct disk *d, uint8_t len)
{
    struct seg none = { 0 };
    front_put(&d->front, u8(d), new_id(d), 0, &none, 0);
    d->odd = true; /* what id it has, nobody knows */
    for (unsigned i = 0; i < len * 8u; i++)
        front_last(&d->front)[i % 108] = u8(d);
}

/* --- Answers --- */

static void take_answers(struct disk *d, unsigned max)
{
    uint8_t op;
    int status;
    while (max-- > 0) {
        uint64_t id = front_response(&d->front, &op, &status);
        if (id == UINT64_MAX && front_index(&d->front, RSP_PROD) == d->front.rsp_cons)
            return;
        if (!d->odd && (id >= NR_IDS || !d->asked[id]))
            fuzz_bug("pv-disk: an answer to %llu, which was not asked", (unsigned long long)id);
        if (!d->odd && (status > 0 || status < -2))
            fuzz_bug("pv-disk: an answer of %d", status);
        d->asked[id % NR_IDS] = false;
    }
}

/* --- xenstore --- */

static const char *const texts[] = { "x86_32-abi", "x86_64-abi",           "x86_64", "",   "-1", "4294967295",
                                     "4294967296", "18446744073709551616", "0x8",    " 8", "8 ", "aio:/disk",
                                     "aio:",       "qcow2:/disk" };

static void write_node(struct disk *d, const char *dir, const char *node, uint8_t how)
{
    char path[128], text[48] = "";
    (void)snprintf(path, sizeof(path), "%s/%s", dir, node);
    switch (how & 7) {
    case 0: fake_writef(d->fake, dir, node, "%u", any_ref(d)); break;
    case 1: fake_writef(d->fake, dir, node, "%u", u8(d)); break;
    case 2: fake_writef(d->fake, dir, node, "%llu", (unsigned long long)fuzz_le(&d->in, 8)); break;
    case 3: fake_write(d->fake, path, texts[u8(d) % ARRAY_SIZE(texts)]); break;
    case 4: fake_write(d->fake, path, NULL); break;
    default:
        for (size_t len = u8(d) % sizeof(text), i = 0; i < len; i++)
            text[i] = (char)u8(d);
        fake_write(d->fake, path, text);
    }
}

static void front_node(struct disk *d, uint8_t how)
{
    static const char *const nodes[] = { "ring-ref",  "ring-page-order",    "event-channel", "protocol",
                                         "state",     "feature-persistent", "ring-ref0",     "ring-ref1",
                                         "ring-ref2", "ring-ref3",          "ring-ref15",    "feature-persistent/x",
                                         "" };
    const char *node = nodes[u8(d) % ARRAY_SIZE(nodes)];
    d->odd = true;         /* its ring may be elsewhere */
    if (*node || how == 4) /* 4: with an empty name, all of them */
        write_node(d, d->front.dir, node, how);
    if (!*node && how == 4)
        fake_write(d->fake, d->front.dir, NULL);
}

static void toolstack(struct disk *d, uint8_t how)
{
    static const char back[] = "backend/qdisk/7/51712", *const sizes[] = { "aio:/small", "aio:/big", "", "aio:" };
    switch (how & 7) {
    case 0: fake_writef(d->fake, back, "params", "%s", sizes[u8(d) % ARRAY_SIZE(sizes)]); break;
    case 1:
        fake_writef(d->fake, back, "online", "%u", u8(d) & 1);
        d->removed = true;
        break;
    case 2:
        fake_writef(d->fake, back, "state", "%u", u8(d) % 10);
        d->removed = true;
        break;
    case 3:
        fake_write(d->fake, back, NULL);
        d->removed = true;
        break;
    case 4:
        fake_entry(d->fake, "51712", "aio:/disk", "w", "disk");
        d->removed = true; /* or there are two looks at one */
        break;
    case 5:
        d->paused = !d->paused;
        pv_set_paused(d->fake->pv, d->paused);
        break;
    case 6: d->fake->image_bytes = u8(d) % 4 * (size_t)(IMAGE_BYTES / 2); break;
    case 7: d->fake->rig->now_ns += NS_PER_S * u8(d); break; /* lines are rationed */
    }
}

/* NULL: no image is open. */
static struct rig_disk *image(struct disk *d)
{
    return d->fake->disk && !d->fake->disk_closed ? d->fake->disk : NULL;
}

static void image_op(struct disk *d, uint8_t how)
{
    struct rig_disk *disk = image(d);
    if (!disk)
        return;
    switch (how & 3) {
    case 0: disk->hold = true; break;
    case 1: rig_disk_release(disk); break;
    case 2:
        disk->fail = -(u8(d) % 40);
        disk->fail_op = (enum block_op)(how >> 2 & 3);
        break;
    case 3: disk->fail = 0; break;
    }
}

/* An allocation fails while the front end connects. */
static void no_memory(struct disk *d)
{
    const char *state = fake_back(d->fake, "state");
    fake_settle(d->fake);
    if (!image(d) || !state || strcmp(state, "2") != 0)
        return; /* or the fake would need some */
    d->odd = true;
    fuzz_heap_fail(1 + u8(d) % 4);
    front_state(&d->front, INITIALISED);
    fuzz_heap_fail(0);
}

static void event(struct disk *d, uint8_t how)
{
    struct pv_block_info info;
    char error[CONFIG_ERROR_BYTES] = "";
    switch (how & 3) {
    case 0: fake_event(d->fake); break;
    case 1: no_memory(d); break;
    case 2: /* the monitor looks */
        if (pv_block_info(d->fake->pv, 0, &info) && !info.id)
            fuzz_bug("pv-disk: a disk without a name");
        break;
    case 3: /* it grew, perhaps */
        if (pv_block_resize(d->fake->pv, "51712", d->fake->image_bytes, error) == -EINVAL && !error[0])
            fuzz_bug("pv-disk: no reason why it has another size");
        break;
    }
}

/* --- The whole --- */

/* The guest's driver starts anew, with a ring of its own. */
static void connect(struct disk *d, uint8_t how)
{
    if (d->connects == MAX_CONNECTS)
        return;
    if (d->connects++ > 0) {
        front_state(&d->front, CLOSED);
        fake_write(d->fake, d->front.dir, NULL); /* nothing of the last ring */
        front_state(&d->front, INITIALISING);
    }
    front_prepare(&d->front, d->fake, "51712", how & 1 ? 32 : 64, 1u << (how >> 1 & 7) % 5, how & 0x10);
    memset(d->asked, 0, sizeof(d->asked));
    /* One that was not ready to leave serves the ring before. */
    const char *state = fake_back(d->fake, "state");
    d->odd = !state || strcmp(state, "2") != 0;
    if (!(how & 0x20))
        front_state(&d->front, INITIALISED);
    if (!(how & 0x60))
        front_state(&d->front, CONNECTED);
}

static void one(struct disk *d)
{
    uint8_t byte = u8(d), how = byte >> 4;
    switch ((enum op)(byte & 15)) {
    case OP_NODE: front_node(d, how); break;
    case OP_STATE:
        d->odd |= how != CONNECTED; /* connected anew, the same ring holds what was taken */
        front_state(&d->front, how);
        break;
    case OP_TRANSFER: transfer(d, how); break;
    case OP_INDIRECT:
        if ((how & 6) == 6)
            indirect_many(d);
        else
            indirect(d, how);
        break;
    case OP_DISCARD: discard(d, how); break;
    case OP_RAW: raw(d, how); break;
    case OP_KICK: kick(d, !(how & 1)); break;
    case OP_INDEX:
        d->odd = true;
        front_set_index(&d->front, 4u * (how & 3),
                        (how & 4 ? d->front.req_prod : 0) + (uint32_t)fuzz_le(&d->in, how & 8 ? 4 : 1));
        break;
    case OP_EVENT: event(d, how); break;
    case OP_MEMORY: memory(d, false); break;
    case OP_GRANT: grant(d, how); break;
    case OP_IMAGE: image_op(d, how); break;
    case OP_TOOLSTACK: toolstack(d, how); break;
    case OP_RACE: memory(d, true); break;
    case OP_ANSWERS: take_answers(d, how ? how : 1000); break;
    case OP_CONNECT: connect(d, u8(d)); break;
    }
    if (how & 8 || d->fake->nr_events > 100)
        fake_settle(d->fake);
}

/* Whatever waited goes on. */
static void calm(struct disk *d)
{
    fake_settle(d->fake);
    d->race.len = 0;
    if (d->paused)
        pv_set_paused(d->fake->pv, false);
    if (image(d)) {
        image(d)->fail = 0;
        rig_disk_release(image(d));
    }
    fake_event(d->fake);
}

static void check_answered(struct disk *d)
{
    const char *state = fake_back(d->fake, "state");
    if (d->odd || d->removed || !state || strcmp(state, "4") != 0)
        return;
    kick(d, true);
    take_answers(d, NR_IDS);
    for (unsigned i = 0; i < NR_IDS; i++) {
        if (!d->odd && d->asked[i])
            fuzz_bug("pv-disk: request %u was never answered", i);
    }
}

static void check_reboot(struct disk *d)
{
    struct fake *f = d->fake;
    if (d->removed)
        return;
    f->image_bytes = IMAGE_BYTES;
    if (d->cdrom) {
        fake_writef(f, "backend/qdisk/7/51712", "params", "aio:/other");
        fake_settle(f);
        fake_writef(f, "backend/qdisk/7/51712", "params", "aio:/disk");
        fake_settle(f);
    }
    front_state(&d->front, CLOSED);
    fake_write(f, d->front.dir, NULL);
    front_state(&d->front, INITIALISING);
    front_connect(&d->front, f, "51712", 64, 1, true);
    front_state(&d->front, CONNECTED);
    struct seg s = { fake_grant(f), 0, PAGE_SECTORS - 1 };
    const char *state = fake_back(f, "state");
    if (!state || strcmp(state, "4") != 0)
        fuzz_bug("pv-disk: state %s after a reboot", state ? state : "none");
    memset(fake_page(f, s.ref), 0x5a, PAGE_BYTES);
    front_put(&d->front, d->read_only ? READ : WRITE, 1, PAGE_SECTORS, &s, 1);
    if (front_run(&d->front, 1) != 0 || memcmp(f->disk->data + PAGE_BYTES, fake_page(f, s.ref), PAGE_BYTES) != 0)
        fuzz_bug("pv-disk: no disk after a reboot");
}

/* How it is configured; false: no back end comes of it. */
static bool set_up(struct disk *d, uint8_t how)
{
    if (!kept_rig)
        kept_rig = rig_new();
    kept_rig->now_ns = NS_PER_S;
    struct fake *f = d->fake = fake_new_on(kept_rig, (enum pv_data)(how & 3 ? (how & 3) - 1 : 0));
    bool no_image = how & 0x40;
    d->cdrom = how & 8;
    d->read_only = d->cdrom || how & 0x10;
    f->shared = how & 4;
    f->sector_bytes = how & 0x80 ? PAGE_BYTES : SECTOR;
    f->image_bytes = no_image ? 0 : IMAGE_BYTES;
    f->before_copy = at_work;
    fake_entry(f, "51712", how & 0x20 ? "qcow2:/disk" : "aio:/disk", d->read_only ? "r" : "w",
               d->cdrom ? "cdrom" : "disk");
    fake_start(f);
    f->image_bytes = IMAGE_BYTES;
    for (unsigned i = 0; i < NR_DATA; i++)
        d->data[i] = fake_grant(f);
    d->segments = fake_grant(f);
    return fake_back(f, "state") && strcmp(fake_back(f, "state"), "2") == 0;
}

void fuzz_pv_disk_run(const struct fuzz_target *target, const uint8_t *data, size_t len)
{
    struct disk d = { .in = { data, data + len } };
    racing = &d;
    d.removed = !set_up(&d, u8(&d));
    connect(&d, u8(&d));
    for (unsigned i = 0; i < MAX_OPS && d.in.at < d.in.end; i++)
        one(&d);
    calm(&d);
    check_answered(&d);
    check_reboot(&d);
    fake_free(d.fake);
    racing = NULL;
}

void fuzz_pv_disk_finish(const struct fuzz_target *target)
{
    rig_free(kept_rig);
    kept_rig = NULL;
}
