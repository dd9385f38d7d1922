/* Text that a guest writes byte by byte to a port, as log lines within the device's budget. */
#ifndef THINDM_GUEST_LINE_H
#define THINDM_GUEST_LINE_H

#include <thindm/util.h>

struct device;

/* A longer line becomes several: the log cuts its lines too. */
enum { GUEST_LINE_BYTES = 400 };

/* Zeroed = empty. An unfinished line isn't guest-visible: no snapshot has it. */
struct guest_line {
    char text[GUEST_LINE_BYTES];
    size_t len;
};

/* A line ends with a newline; other bytes that aren't printable ASCII are dropped, but a tab is a space. */
void guest_line_put(struct guest_line *line, struct device *dev, uint8_t byte);

#endif
