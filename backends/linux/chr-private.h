/* What the character back ends of this folder share. */
#ifndef THINDM_LINUX_CHR_PRIVATE_H
#define THINDM_LINUX_CHR_PRIVATE_H

#include "chr-linux.h"
#include <termios.h>
#include <thindm/log.h>

enum { CHR_READ_BYTES = 1024 }; /* from a peer at a time; then the others' turn */

/* calloc() with the common part filled in from config. NULL: out of memory. */
void *chr_new(size_t size, const struct chr_config *config, const struct chr_ops *ops);
/* One line at level error, "LABEL: WHAT NAME: why; not opened". Gives err back. */
int chr_fail(const struct chr_context *context, const struct chr_config *config, int err, const char *what,
             const char *name);
/* Bytes the user takes now, at most CHR_READ_BYTES. 0 without a user. */
size_t chr_room(const struct chr *chr);
/* To the user, if it wants that. */
void chr_recv(struct chr *chr, const uint8_t *buf, size_t len);
void chr_opened(struct chr *chr);
void chr_closed(struct chr *chr);
/* write(2) that never waits, whatever the descriptor's flags. Bytes taken; -errno, -EAGAIN: none now. */
int64_t chr_write_fd(int fd, const uint8_t *buf, size_t len);
/* Bytes pass as they are, in both directions. keep_signals: ^C still ends the program. 0 or -errno. */
int chr_raw(int fd, bool keep_signals, struct termios *before);

#endif
