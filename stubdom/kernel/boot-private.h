/* What the two ways to start share. */
#ifndef THINDM_BOOT_PRIVATE_H
#define THINDM_BOOT_PRIVATE_H

#include "boot.h"
#include "mm-private.h"

/* link.ld's and boot.S's. */
extern uint8_t image_begin[], text_end[], rodata_end[], image_end[], stack_guard[], pvh_first_tables[];

/* The page that is Xen's from the start on. */
union shared_page {
    uint8_t bytes[PAGE_BYTES];
    struct shared_info shared;
};
extern union shared_page shared_page;

/* boot.S's: from start_info on; ticks is the time of the first instruction. */
_Noreturn void boot_pv(const struct start_info *si, uint64_t ticks);
struct hvm_start_info;
_Noreturn void boot_pvh(const struct hvm_start_info *start, uint64_t ticks);
/* The number of a page of our memory. */
size_t boot_page(const void *at);
/* page, or the one behind at if that is later. */
size_t boot_later_page(size_t page, const void *at);
/* The parts of the image. */
void boot_image(struct mm_boot *boot);
/* With everything ready. */
_Noreturn void boot_run(struct boot_info *found, const char *line, uint64_t ticks);

#endif
