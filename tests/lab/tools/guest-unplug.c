/*
 * unplug MASK: ask for the unplug of the emulated disks (1) or NVMe disks (8), as PV drivers do when they start
 * (xen/include/public/hvm/pvdrivers.h).
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/io.h>

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    if (iopl(3)) {
        perror("iopl");
        return 1;
    }
    if (inw(0x10) != 0x49d2)
        return 1;
    outw((unsigned short)atoi(argv[1]), 0x10);
    return 0;
}
