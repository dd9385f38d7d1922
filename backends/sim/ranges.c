/* Sets of address ranges, as the hypervisor keeps them per ioreq server. Source: xen/common/rangeset.c. */
#include "sim-private.h"

#include <errno.h>
#include <string.h>

/* Index of the first range that ends at or behind addr. */
static unsigned find(const struct sim_ranges *ranges, uint64_t addr)
{
    unsigned low = 0, high = ranges->nr;
    while (low < high) {
        unsigned mid = (low + high) / 2;
        if (ranges->ranges[mid].last < addr)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

bool sim_ranges_contain(const struct sim_ranges *ranges, uint64_t first, uint64_t last)
{
    unsigned i = find(ranges, first);
    return i < ranges->nr && ranges->ranges[i].first <= first && ranges->ranges[i].last >= last;
}

uint64_t sim_ranges_next(const struct sim_ranges *ranges, uint64_t addr)
{
    unsigned i = find(ranges, addr);
    return i == ranges->nr ? UINT64_MAX : max_u64(ranges->ranges[i].first, addr);
}

/* Replace nr_old ranges from i on by nr_new others. */
static void replace(struct sim_ranges *ranges, unsigned i, unsigned nr_old, const struct sim_range *with,
                    unsigned nr_new)
{
    struct sim_range *at = &ranges->ranges[i];
    memmove(at + nr_new, at + nr_old, (ranges->nr - i - nr_old) * sizeof(*at));
    for (unsigned n = 0; n < nr_new; n++)
        at[n] = with[n];
    ranges->nr += nr_new - nr_old;
}

int sim_ranges_add(struct sim_ranges *ranges, uint64_t first, uint64_t last)
{
    unsigned i = find(ranges, first), nr_old = 0;
    struct sim_range merged = { first, last };
    if (last < first)
        return -EINVAL;
    if (i < ranges->nr && ranges->ranges[i].first <= last)
        return -EEXIST;
    if (i < ranges->nr && last != UINT64_MAX && ranges->ranges[i].first == last + 1) {
        merged.last = ranges->ranges[i].last;
        nr_old++;
    }
    if (i > 0 && ranges->ranges[i - 1].last == first - 1) { /* first is above it, so not 0 */
        merged.first = ranges->ranges[--i].first;
        nr_old++;
    }
    if (nr_old == 0 && ranges->nr == SIM_MAX_RANGES)
        return -ENOSPC;
    replace(ranges, i, nr_old, &merged, 1);
    return 0;
}

int sim_ranges_remove(struct sim_ranges *ranges, uint64_t first, uint64_t last)
{
    struct sim_range rest[2];
    unsigned i = find(ranges, first), nr = 0;
    if (last < first || !sim_ranges_contain(ranges, first, last))
        return -ENOENT;
    struct sim_range old = ranges->ranges[i];
    if (old.first < first)
        rest[nr++] = (struct sim_range){ old.first, first - 1 };
    if (old.last > last)
        rest[nr++] = (struct sim_range){ last + 1, old.last };
    if (nr == 2 && ranges->nr == SIM_MAX_RANGES)
        return -ENOSPC;
    replace(ranges, i, 1, rest, nr);
    return 0;
}
