/* The EDID block of the monitor that a guest finds at every adapter of the board. */
#ifndef THINDM_EDID_H
#define THINDM_EDID_H

#include <stdint.h>

enum { EDID_BYTES = 128 };

/* Preferred mode 1280x800 at 60 Hz. Source: VESA Enhanced EDID Standard 1.4, section 3. */
extern const uint8_t edid_block[EDID_BYTES];

#endif
