/*
 * What newlib asks of its host, and what is replaced of it: that which would go through its own table of error numbers
 * or its files. There are no files, no processes and no environment.
 */
#define _DEFAULT_SOURCE /* sbrk(), kill() */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "boot.h"
#include "clock.h"
#include "console.h"
#include "heap.h"

/* The compiler's: each function keeps a copy of the guard beside its return address. boot.S sets it. */
uintptr_t __stack_chk_guard;
_Noreturn void __stack_chk_fail(void);
_Noreturn void __assert_func(const char *file, int line, const char *function, const char *condition);

_Noreturn void __stack_chk_fail(void)
{
    crash("the stack is overwritten");
}

_Noreturn void __assert_func(const char *file, int line, const char *function, const char *condition)
{
    crash("%s:%d: %s: %s does not hold", file, line, function, condition);
}

_Noreturn void abort(void)
{
    crash("abort()");
}

_Noreturn void _exit(int status)
{
    crash("exit(%d)", status);
}

void *sbrk(ptrdiff_t increment)
{
    void *old = heap_grow(increment);
    if (old)
        return old;
    errno = ENOMEM;
    return (void *)-1;
}

_READ_WRITE_RETURN_TYPE write(int file, const void *data, size_t len)
{
    console_write(data, len);
    return (_READ_WRITE_RETURN_TYPE)len;
}

static int no_file(void)
{
    errno = EBADF;
    return -1;
}

_READ_WRITE_RETURN_TYPE read(int file, void *data, size_t len)
{
    return no_file();
}

int close(int file)
{
    return no_file();
}

off_t lseek(int file, off_t offset, int whence)
{
    return no_file();
}

int fstat(int file, struct stat *st)
{
    return no_file();
}

int isatty(int file)
{
    return 1;
}

int getpid(void)
{
    return 1;
}

int kill(int process, int signal)
{
    crash("signal %d", signal);
}

int gettimeofday(struct timeval *tv, void *zone)
{
    uint64_t seconds;
    uint32_t nanoseconds;
    clock_wall(&seconds, &nanoseconds);
    tv->tv_sec = (time_t)seconds;
    tv->tv_usec = (suseconds_t)(nanoseconds / 1000);
    return 0;
}

char *strerror(int number)
{
    static const struct {
        int number;
        const char *text;
    } names[] = {
        { 0, "Success" },
        { EPERM, "Operation not permitted" },
        { ENOENT, "No such file or directory" },
        { ESRCH, "No such process" },
        { EINTR, "Interrupted system call" },
        { EIO, "Input/output error" },
        { ENXIO, "No such device or address" },
        { E2BIG, "Argument list too long" },
        { EBADF, "Bad file descriptor" },
        { EAGAIN, "Resource temporarily unavailable" },
        { ENOMEM, "Cannot allocate memory" },
        { EACCES, "Permission denied" },
        { EFAULT, "Bad address" },
        { EBUSY, "Device or resource busy" },
        { EEXIST, "File exists" },
        { ENODEV, "No such device" },
        { ENOTDIR, "Not a directory" },
        { EISDIR, "Is a directory" },
        { EINVAL, "Invalid argument" },
        { EFBIG, "File too large" },
        { ENOSPC, "No space left on device" },
        { EROFS, "Read-only file system" },
        { EPIPE, "Broken pipe" },
        { EDOM, "Argument out of domain" },
        { ERANGE, "Numerical result out of range" },
        { ENAMETOOLONG, "File name too long" },
        { ENOSYS, "Function not implemented" },
        { ENODATA, "No data available" },
        { ETIME, "Timer expired" },
        { EPROTO, "Protocol error" },
        { EBADMSG, "Bad message" },
        { EOVERFLOW, "Value too large for defined data type" },
        { EILSEQ, "Invalid character" },
        { EMSGSIZE, "Message too long" },
        { EOPNOTSUPP, "Operation not supported" },
        { ENOTCONN, "Not connected" },
        { ETIMEDOUT, "Connection timed out" },
        { ECONNREFUSED, "Connection refused" },
        { ECONNRESET, "Connection reset by peer" },
        { ESTALE, "Stale file handle" },
        { ENOMEDIUM, "No medium found" },
        { ECANCELED, "Operation canceled" },
    };
    static char other[24];
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (names[i].number == number)
            return (char *)(uintptr_t)names[i].text;
    }
    (void)snprintf(other, sizeof(other), "Error %d", number);
    return other;
}
