/* Ask for the unplug of the emulated disks, as PV drivers do when they start (xen/include/public/hvm/pvdrivers.h). */
#include <stdio.h>
#include <sys/io.h>

int main(void)
{
    if (iopl(3)) {
        perror("iopl");
        return 1;
    }
    if (inw(0x10) != 0x49d2)
        return 1;
    outw(1, 0x10);
    return 0;
}
