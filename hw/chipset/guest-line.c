/* A guest's own log lines: see guest-line.h. */
#include "guest-line.h"

#include <thindm/log.h>

void guest_line_put(struct guest_line *line, struct device *dev, uint8_t byte)
{
    if (byte == '\t')
        byte = ' ';
    if (byte >= 0x20 && byte < 0x7f)
        line->text[line->len++] = (char)byte;
    if ((byte == '\n' && line->len > 0) || line->len == sizeof(line->text)) {
        log_guest(dev, "the guest says: %.*s", (int)line->len, line->text);
        line->len = 0;
    }
}
