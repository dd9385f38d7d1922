/* libnbd, loaded when it is needed. */
#include "block-nbd-private.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

#define FUNCTION(name)                                                                                                 \
    {                                                                                                                  \
        "nbd_" #name, offsetof(struct nbd_lib, name)                                                                   \
    }

static const struct {
    const char *name;
    size_t offset;
} functions[] = {
    FUNCTION(create),          FUNCTION(close),
    FUNCTION(get_error),       FUNCTION(get_errno),
    FUNCTION(set_export_name), FUNCTION(set_request_structured_replies),
    FUNCTION(aio_connect),     FUNCTION(aio_disconnect),
    FUNCTION(aio_get_fd),      FUNCTION(aio_get_direction),
    FUNCTION(aio_notify_read), FUNCTION(aio_notify_write),
    FUNCTION(aio_is_ready),    FUNCTION(aio_is_processing),
    FUNCTION(aio_is_dead),     FUNCTION(aio_is_closed),
    FUNCTION(get_size),        FUNCTION(get_block_size),
    FUNCTION(is_read_only),    FUNCTION(can_flush),
    FUNCTION(can_fua),         FUNCTION(can_trim),
    FUNCTION(aio_pread),       FUNCTION(aio_pwrite),
    FUNCTION(aio_flush),       FUNCTION(aio_trim),
};

const struct nbd_lib *nbd_lib_load(struct log *log)
{
    static struct nbd_lib lib; /* stays: what is loaded is not unloaded */
    if (lib.create)
        return &lib;
    void *handle = dlopen("libnbd.so.0", RTLD_LAZY | RTLD_LOCAL);
    const char *why = handle ? NULL : dlerror();
    for (size_t i = 0; handle && i < ARRAY_SIZE(functions); i++) {
        void *symbol = dlsym(handle, functions[i].name);
        if (!symbol) {
            why = "it is too old";
            lib.create = NULL;
            dlclose(handle);
            break;
        }
        memcpy((char *)&lib + functions[i].offset, &symbol, sizeof(symbol));
    }
    if (!why)
        return &lib;
    log_print(log, LOG_ERROR, "block", "libnbd can't be loaded (Debian package libnbd0): %s", why);
    return NULL;
}
