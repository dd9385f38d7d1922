/*
 * A process of its own that reads an image format, so that no parser of images runs in the device model: Debian's
 * qemu-nbd behind a socket. It is confined before it starts, see block-child-jail.c for what exactly holds.
 */
#ifndef THINDM_LINUX_BLOCK_CHILD_H
#define THINDM_LINUX_BLOCK_CHILD_H

#include <stddef.h>
#include <sys/un.h>
#include <thindm/block.h>

struct epoll_host;
struct image_child;

enum { IMAGE_LOCK_TRIES = 6 }; /* the device model of the guest's last boot may still be on its way out */

/*
 * A helper for the image that open describes, not started yet; name gets what the log shall call it. *out is the
 * caller's. 0, or -errno after a line in the log: -ENOENT (no image, no helper installed), -EINVAL (the format, or no
 * path), -EACCES ...
 */
int image_child_create(const struct block_open *open, struct epoll_host *epoll, struct log *log,
                       struct image_child **out, char *name, size_t name_bytes) WARN_UNUSED;
/* Start it; addr is where it will listen. 0, or -errno with the reason in *why, a constant: it can't be started, or not
 * so soon again. */
int image_child_start(struct image_child *child, struct sockaddr_un *addr, const char **why) WARN_UNUSED;
/* The connection is made, nobody else may make one. */
void image_child_connected(struct image_child *child);
bool image_child_runs(const struct image_child *child);
/* The connection ended or never came to be: end the helper too. why: replaced by what the helper said, if it said
 * something. */
void image_child_reap(struct image_child *child, char *why, size_t why_bytes);
/* After image_child_reap(): it couldn't lock the image. Waits a moment; the helper may be started again. */
bool image_child_try_again(struct image_child *child);
/* After the connection was closed: let it write what it holds and end, then free. NULL is fine. */
void image_child_close(struct image_child *child);

#endif
