/* Raw images and block devices, with io_uring where the kernel lets us, else with plain system calls from the loop. */
#ifndef THINDM_LINUX_BLOCK_FILE_H
#define THINDM_LINUX_BLOCK_FILE_H

#include <thindm/block.h>
#include <thindm/log.h>

struct block_file;
struct block_uring;
struct epoll_host;

/* What all disks of the process share. One per process, embedded in struct linux_host. */
struct block_files {
    struct epoll_host *epoll;
    struct loop *loop;
    struct log *log;
    struct block_file *disks;  /* all that are open */
    struct block_uring *uring; /* NULL until a disk has something to do, and again when the last one closed */
    struct log_rate log_rate;
    struct task kick; /* starts what was submitted, delivers what ended */
    bool no_uring;    /* refused, or not wanted: tests set it */
};

void block_files_init(struct block_files *files, struct epoll_host *epoll, struct loop *loop, struct log *log);
/* Every disk must be closed. Repeats harmlessly. */
void block_files_finish(struct block_files *files);

/*
 * Open the image that open describes. Cheap: no ring, thread or buffer before the first request. Sectors are 512 bytes
 * whatever the image needs; what O_DIRECT can't do goes through a bounce buffer. Closing flushes what was written.
 * open->fd is taken on success. 0, or -errno with a line in the log: -EBUSY (locked by another writer), -EINVAL (no
 * file or block device) or what open() gave.
 */
int block_file_open(struct block_files *files, const struct block_open *open, struct block **out) WARN_UNUSED;

#endif
