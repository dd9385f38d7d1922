/*
 * Init of the recorded guest, without a C library: reads a file of the CD, and if there is an emulated disk reads it,
 * writes it, flushes it and reads back what it wrote; then powers off. It prints what cases print, see the README.
 */
#include "nolibc.h"
#include <linux/fs.h>
#include <linux/reboot.h>

enum { MIB = 1 << 20, BLOCK = 1 << 16 };

/* The lines of "seq FROM ...", which is what the lab's disks hold. */
struct sequence {
    unsigned int next;
    char digits[12]; /* of the line before, last one first */
    unsigned int left;
};

static char next_char(struct sequence *s)
{
    if (s->left == 0) {
        s->digits[s->left++] = '\n';
        for (unsigned int n = s->next++; n > 0; n /= 10)
            s->digits[s->left++] = '0' + n % 10;
    }
    return s->digits[--s->left];
}

static char block[BLOCK];

/* holds: 1 MiB of the file from this offset on is the sequence that begins with this number. */
static int holds(int fd, off_t offset, unsigned int from)
{
    struct sequence s = { .next = from };
    if (lseek(fd, offset, SEEK_SET) != offset)
        return 0;
    for (int done = 0; done < MIB; done += BLOCK) {
        if (read(fd, block, BLOCK) != BLOCK)
            return 0;
        for (int i = 0; i < BLOCK; i++) {
            if (block[i] != next_char(&s))
                return 0;
        }
    }
    return 1;
}

static int store(int fd, off_t offset, unsigned int from)
{
    struct sequence s = { .next = from };
    if (lseek(fd, offset, SEEK_SET) != offset)
        return 0;
    for (int done = 0; done < MIB; done += BLOCK) {
        for (int i = 0; i < BLOCK; i++)
            block[i] = next_char(&s);
        if (write(fd, block, BLOCK) != BLOCK)
            return 0;
    }
    return fsync(fd) == 0;
}

static void check(const char *name, int good)
{
    printf("CHECK %s %s\n", name, good ? "PASS" : "FAIL");
}

int main(void)
{
    puts("LAB init");
    check("devices", mount("dev", "/dev", "devtmpfs", 0, NULL) == 0);

    if (mount("/dev/sr0", "/mnt", "iso9660", MS_RDONLY, NULL) == 0)
        check("cd-readable", holds(open("/mnt/known", O_RDONLY), 0, 1));
    else
        puts("LAB no cd");

    int disk = open("/dev/sda", O_RDWR);
    if (disk >= 0) {
        check("disk-readable", holds(disk, 36 * MIB, 1));
        check("disk-writable", store(disk, 38 * MIB, 500000));
        ioctl(disk, BLKFLSBUF, NULL); /* or the kernel would answer out of its cache */
        check("disk-reads-back", holds(disk, 38 * MIB, 500000));
    } else {
        puts("LAB no disk");
    }
    puts("LAB done");
    reboot(LINUX_REBOOT_CMD_POWER_OFF);
    return 1;
}
