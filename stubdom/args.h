/*
 * What the toolstack wants of us: its command line, which it leaves in xenstore.
 * Source: tools/libs/light/libxl_dm.c, libxl__write_stub_dmargs(). A node for each argument, dm-argv/001 and so on; or,
 * for a device model that is said to be qemu-xen-traditional, all in one string, dmargs (args-old.h).
 */
#ifndef THINDM_ARGS_H
#define THINDM_ARGS_H

#include <thindm/config.h>

/* A command line as main() gets it; argv[0] is "thindm". */
struct args {
    int argc;
    char **argv, *text; /* text: all strings, NUL after each */
    size_t used, size;
};

/*
 * The arguments of the device model of domain target, then the words of cmdline. 0, or -errno with one line in error:
 * no arguments at all, or odd ones. args_free() in any case.
 */
int args_read(struct args *args, unsigned target, const char *cmdline, char error[CONFIG_ERROR_BYTES]) WARN_UNUSED;
void args_free(struct args *args);

/* 0, -ENOMEM or -E2BIG. */
int args_add(struct args *args, const char *word) WARN_UNUSED;
/* Each of the words between blanks. */
int args_add_words(struct args *args, const char *words) WARN_UNUSED;

#endif
