/*
 * randio DEVICE DEPTH COUNT [w]: COUNT reads (or writes) of 4 KiB at random places in the first 32 MiB, DEPTH of them
 * under way at a time, past the page cache. Prints the seconds.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 4096, BLOCKS = (32 << 20) / BLOCK, MAX_DEPTH = 64 };

static atomic_int left;
static int fd;
static int writes;

static void *run(void *arg)
{
    uint32_t seed = (uint32_t)(uintptr_t)arg;
    void *buf;
    if (posix_memalign(&buf, BLOCK, BLOCK))
        exit(1);
    memset(buf, 1, BLOCK);
    while (atomic_fetch_sub(&left, 1) > 0) {
        seed = seed * 1664525 + 1013904223;
        off_t at = (off_t)((seed >> 8) % BLOCKS) * BLOCK;
        if ((writes ? pwrite(fd, buf, BLOCK, at) : pread(fd, buf, BLOCK, at)) != BLOCK) {
            perror("randio");
            exit(1);
        }
    }
    free(buf);
    return NULL;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    pthread_t threads[MAX_DEPTH];
    int depth = argc > 3 ? atoi(argv[2]) : 0;
    if (depth < 1 || depth > MAX_DEPTH)
        return 1;
    writes = argc > 4;
    left = atoi(argv[3]);
    fd = open(argv[1], O_RDWR | O_DIRECT);
    if (fd < 0) {
        perror(argv[1]);
        return 1;
    }
    double start = now();
    for (int i = 0; i < depth; i++)
        if (pthread_create(&threads[i], NULL, run, (void *)(uintptr_t)(i + 1)))
            return 1;
    for (int i = 0; i < depth; i++)
        pthread_join(threads[i], NULL);
    printf("%.6f\n", now() - start);
    return 0;
}
