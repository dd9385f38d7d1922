/*
 * Guest memory: see mem.h. A bucket is looked for at number modulo MEM_BUCKETS first, which is where it is unless two
 * buckets in use share that place.
 */
#include <thindm/mem.h>

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <thindm/hv.h>
#include <thindm/trace.h>

#define NO_BUCKET UINT64_MAX /* no address has this bucket number */

/* One call of mem_read(), mem_write() or mem_pin(): the bucket it mapped or tried to map last. */
struct access {
    struct mem *mem;
    uint64_t tried;
};

void mem_init(struct mem *mem, struct hv *hv)
{
    *mem = (struct mem){ .hv = hv };
}

static void unmap(struct mem *mem, struct mem_bucket *bucket)
{
    assert(bucket->pins == 0);
    mem->hv->ops->unmap(mem->hv, bucket->ptr, MEM_BUCKET_PAGES);
    *bucket = (struct mem_bucket){ 0 };
    if (mem->last == bucket)
        mem->last = NULL;
}

/* The bucket is out of date: gone at once, or for nobody but those who pinned it. */
static void retire(struct mem *mem, struct mem_bucket *bucket)
{
    if (bucket->pins == 0) {
        unmap(mem, bucket);
        return;
    }
    bucket->stale = true;
    if (mem->last == bucket)
        mem->last = NULL;
}

void mem_finish(struct mem *mem)
{
    for (unsigned i = 0; i < MEM_BUCKETS; i++) {
        if (mem->buckets[i].ptr)
            unmap(mem, &mem->buckets[i]);
    }
}

void mem_invalidate(struct mem *mem)
{
    for (unsigned i = 0; i < MEM_BUCKETS; i++) {
        if (mem->buckets[i].ptr && !mem->buckets[i].stale)
            retire(mem, &mem->buckets[i]);
    }
}

void mem_set_dirty_log(struct mem *mem, bool enable)
{
    mem->dirty_log = enable;
}

static struct mem_bucket *find(struct mem *mem, uint64_t number)
{
    if (mem->last && mem->last->number == number) {
        mem->last->age = ++mem->clock;
        return mem->last;
    }
    for (unsigned i = 0; i < MEM_BUCKETS; i++) {
        struct mem_bucket *bucket = &mem->buckets[(number + i) % MEM_BUCKETS];
        if (bucket->ptr && !bucket->stale && bucket->number == number) {
            bucket->age = ++mem->clock;
            return mem->last = bucket;
        }
    }
    return NULL;
}

/* A free bucket, best at the place where find() begins; or the one unused for longest: MEM_UNPINNED are not pinned. */
static struct mem_bucket *make_room(struct mem *mem, uint64_t number)
{
    struct mem_bucket *oldest = NULL;
    for (unsigned i = 0; i < MEM_BUCKETS; i++) {
        struct mem_bucket *bucket = &mem->buckets[(number + i) % MEM_BUCKETS];
        if (!bucket->ptr)
            return bucket;
        /* Differences, because the clock wraps. */
        if (bucket->pins == 0 && (!oldest || mem->clock - bucket->age > mem->clock - oldest->age))
            oldest = bucket;
    }
    assert(oldest);
    unmap(mem, oldest);
    return oldest;
}

static int map(struct mem *mem, uint64_t number, struct mem_bucket **out)
{
    int err[MEM_BUCKET_PAGES] = { 0 };
    void *ptr = NULL;
    struct mem_bucket *bucket = make_room(mem, number);
    if (mem->hv->ops->map(mem->hv, number * MEM_BUCKET_PAGES, MEM_BUCKET_PAGES, &ptr, err))
        return -EFAULT;
    bool any = false;
    *bucket = (struct mem_bucket){ .number = number, .ptr = ptr, .age = ++mem->clock };
    for (unsigned page = 0; page < MEM_BUCKET_PAGES; page++) {
        if (err[page] == 0) {
            bucket->valid[page / 64] |= UINT64_C(1) << (page % 64);
            any = true;
        }
    }
    if (!any) { /* don't keep a place for nothing */
        unmap(mem, bucket);
        return -EFAULT;
    }
    *out = mem->last = bucket;
    return 0;
}

static bool page_valid(const struct mem_bucket *bucket, uint64_t off)
{
    uint64_t page = off >> PAGE_SHIFT;
    return bucket->valid[page / 64] >> (page % 64) & 1;
}

/*
 * The bucket with RAM at addr. Where a cached bucket has none, the guest may have got some since: the bucket is mapped
 * anew, but once per access, or a guest could have us do nothing else.
 */
static int resolve(struct access *access, uint64_t addr, struct mem_bucket **out)
{
    struct mem *mem = access->mem;
    uint64_t number = addr >> MEM_BUCKET_SHIFT, off = addr % MEM_BUCKET_BYTES;
    struct mem_bucket *bucket = find(mem, number);
    if (!bucket || !page_valid(bucket, off)) {
        if (access->tried == number)
            return -EFAULT;
        access->tried = number;
        if (bucket)
            retire(mem, bucket);
        int err = map(mem, number, &bucket);
        if (err)
            return err;
        if (!page_valid(bucket, off))
            return -EFAULT;
    }
    *out = bucket;
    return 0;
}

/* Of len bytes at off, how many lie in valid pages of the bucket without a gap; off does. */
static size_t valid_run(const struct mem_bucket *bucket, uint64_t off, size_t len)
{
    uint64_t end = off - off % PAGE_BYTES + PAGE_BYTES;
    while (end < MEM_BUCKET_BYTES && end - off < len && page_valid(bucket, end))
        end += PAGE_BYTES;
    return (size_t)min_u64(end - off, len);
}

static void mark_dirty(struct mem *mem, uint64_t addr, size_t len)
{
    uint64_t first = addr >> PAGE_SHIFT;
    /* The migration retries or fails by itself; there is nothing to undo here. */
    if (mem->dirty_log && len > 0)
        (void)mem->hv->ops->modified(mem->hv, first, ((addr + (len - 1)) >> PAGE_SHIFT) - first + 1);
}

/* The part of len bytes at addr that lies below 2^64. */
static size_t clip(uint64_t addr, size_t len)
{
    return len > 0 && len - 1 > UINT64_MAX - addr ? (size_t)(UINT64_MAX - addr) + 1 : len;
}

/* Copy to (from is NULL) or from guest memory. */
static int copy(struct mem *mem, uint64_t addr, uint8_t *to, const uint8_t *from, size_t len)
{
    struct access access = { mem, NO_BUCKET };
    size_t todo = clip(addr, len), done = 0;
    int err = todo < len ? -EFAULT : 0;
    if (todo < len && to)
        memset(to + todo, 0xff, len - todo);
    while (done < todo) {
        uint64_t off = (addr + done) % MEM_BUCKET_BYTES;
        struct mem_bucket *bucket;
        size_t run;
        if (resolve(&access, addr + done, &bucket)) {
            run = (size_t)min_u64(PAGE_BYTES - off % PAGE_BYTES, todo - done);
            err = -EFAULT;
            if (to)
                memset(to + done, 0xff, run);
        } else {
            run = valid_run(bucket, off, todo - done);
            if (to) {
                memcpy(to + done, bucket->ptr + off, run);
            } else {
                memcpy(bucket->ptr + off, from + done, run);
                mark_dirty(mem, addr + done, run);
            }
        }
        done += run;
    }
    return err;
}

int mem_read(struct mem *mem, uint64_t addr, void *buf, size_t len)
{
    int err = copy(mem, addr, buf, NULL, len);
    if (mem->trace)
        mem->trace->ops->mem_read(mem->trace, addr, buf, len, &err);
    return err;
}

int mem_write(struct mem *mem, uint64_t addr, const void *buf, size_t len)
{
    int err = copy(mem, addr, NULL, buf, len);
    if (mem->trace)
        mem->trace->ops->mem_write(mem->trace, addr, buf, len, &err);
    return err;
}

void mem_pin_load(struct mem *mem, const struct mem_pin *pin, size_t len)
{
    if (mem->trace)
        mem->trace->ops->pin_read(mem->trace, pin->addr, pin->vec.ptr, len);
}

bool mem_is_guest(const struct mem *mem, const void *ptr)
{
    bool found = false;
    for (unsigned i = 0; i < MEM_BUCKETS && !found; i++)
        found = mem->buckets[i].ptr && (uintptr_t)ptr - (uintptr_t)mem->buckets[i].ptr < MEM_BUCKET_BYTES;
    return found;
}

int mem_pin(struct mem *mem, uint64_t addr, size_t len, struct mem_pin *pin)
{
    struct access access = { mem, NO_BUCKET };
    struct mem_bucket *bucket;
    int err = resolve(&access, addr, &bucket);
    if (!err && bucket->pins == 0 && mem->nr_pinned == MEM_MAX_PINNED)
        err = -ENOBUFS;
    uint64_t off = addr % MEM_BUCKET_BYTES;
    size_t run = err ? 0 : valid_run(bucket, off, len);
    if (mem->trace)
        mem->trace->ops->mem_pin(mem->trace, addr, len, &run, &err);
    if (err)
        return err;
    mem->nr_pinned += bucket->pins++ == 0;
    *pin = (struct mem_pin){ { bucket->ptr + off, run }, addr, bucket };
    return 0;
}

void mem_unpin(struct mem *mem, struct mem_pin *pin, size_t written)
{
    struct mem_bucket *bucket = pin->bucket;
    if (!bucket)
        return;
    assert(bucket->pins > 0 && written <= pin->vec.len);
    mark_dirty(mem, pin->addr, written);
    if (written > 0 && mem->trace)
        mem->trace->ops->pin_write(mem->trace, pin->addr, pin->vec.ptr, written);
    pin->bucket = NULL;
    if (--bucket->pins > 0)
        return;
    mem->nr_pinned--;
    if (bucket->stale)
        unmap(mem, bucket);
}
