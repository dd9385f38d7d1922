/* What libFuzzer, AFL++ (by its libFuzzer driver) and the replay program call. FUZZ_TARGET is the program's target. */
#include "fuzz.h"

#include "entry.h"

static const struct fuzz_target *target;

static void find_target(void)
{
    if (!target && !(target = fuzz_target_find(FUZZ_TARGET)))
        fuzz_bug("no target " FUZZ_TARGET);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    find_target();
    target->run(target, data, len);
    return 0;
}

void fuzz_finish(void)
{
    if (target && target->finish)
        target->finish(target);
}

size_t fuzz_entry_assemble(const char *path, uint8_t *out, size_t size)
{
    find_target();
    if (!target->part)
        fuzz_bug(FUZZ_TARGET " takes no operations");
    return fuzz_assemble(&target->part->map, path, out, size);
}
