/* Time one port read as the guest sees it: "FIGURE name nanoseconds ns" for a few registers, each read in a tight loop. */
#include <stdint.h>
#include <stdio.h>
#include <sys/io.h>
#include <time.h>

#define LOOPS 2000

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void time_byte(const char *name, uint16_t port)
{
    unsigned sum = 0;
    double start = now_ns();
    for (int i = 0; i < LOOPS; i++)
        sum += inb(port);
    printf("FIGURE %s %.0f ns\n", name, (now_ns() - start) / LOOPS);
    (void)sum;
}

int main(void)
{
    if (iopl(3)) {
        perror("iopl");
        return 1;
    }
    time_byte("read_serial_lsr", 0x3fd);
    time_byte("read_keyboard_status", 0x64);
    outl(0x80000000, 0xcf8); /* vendor and device of the host bridge */
    double start = now_ns();
    unsigned sum = 0;
    for (int i = 0; i < LOOPS; i++)
        sum += inl(0xcfc);
    printf("FIGURE read_pci_config %.0f ns\n", (now_ns() - start) / LOOPS);
    return sum == 1;
}
