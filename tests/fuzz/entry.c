/* What libFuzzer, AFL++ (by its libFuzzer driver) and the replay program call. FUZZ_TARGET is the program's target. */
#include "fuzz.h"

#include "entry.h"

static const struct fuzz_target *target;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (!target && !(target = fuzz_target_find(FUZZ_TARGET)))
        fuzz_bug("no target " FUZZ_TARGET);
    target->run(target, data, len);
    return 0;
}

void fuzz_finish(void)
{
    if (target && target->finish)
        target->finish(target);
}
