/* The end in disorder, in two steps, for those who have more to report than crash() in boot.h. */
#ifndef THINDM_CRASH_H
#define THINDM_CRASH_H

#include <stdint.h>

/* If this is a crash within a crash, that is the end: nothing more is printed. */
void crash_begin(void);
/* The callers of address pc, from the frame pointer on; then target and stubdomain are shut down as crashed. */
_Noreturn void crash_end(uint64_t pc, uint64_t frame_pointer);

#endif
