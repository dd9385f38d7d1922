/* What the two ways to start share. */
#ifndef THINDM_BOOT_PRIVATE_H
#define THINDM_BOOT_PRIVATE_H

#include "boot.h"
#include "mm-private.h"

/* link.ld's and boot.S's. */
extern uint8_t image_begin[], text_end[], rodata_end[], image_end[], stack_guard[];

/* boot.S's: from start_info on; ticks is the time of the first instruction. */
_Noreturn void boot_pv(const struct start_info *si, uint64_t ticks);
/* The parts of the image. */
void boot_image(struct mm_boot *boot);
/* With everything ready. */
_Noreturn void boot_run(struct boot_info *found, const char *line, uint64_t ticks);

#endif
