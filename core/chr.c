/* What all character back ends share, and the one that is nothing else: see chr.h. */
#include <thindm/chr.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

void chr_bind(struct chr *chr, const struct chr_user *user, void *opaque)
{
    chr->user = user;
    chr->opaque = opaque;
    chr_resume(chr); /* what came in before had nobody to go to */
}

size_t chr_write(struct chr *chr, const uint8_t *buf, size_t len)
{
    return chr ? chr->ops->write(chr, buf, len) : len;
}

void chr_resume(struct chr *chr)
{
    if (chr && chr->ops->resume)
        chr->ops->resume(chr);
}

void chr_disconnect(struct chr *chr)
{
    if (chr && chr->ops->disconnect)
        chr->ops->disconnect(chr);
}

void chr_close(struct chr *chr)
{
    if (chr)
        chr->ops->close(chr);
}

static size_t null_write(struct chr *chr, const uint8_t *buf, size_t len)
{
    return len;
}

static void null_close(struct chr *chr)
{
    free(chr);
}

int chr_null_open(struct chr **out)
{
    static const struct chr_ops null_ops = { .write = null_write, .close = null_close };
    struct chr *chr = calloc(1, sizeof(*chr));
    if (!chr)
        return -ENOMEM;
    chr->ops = &null_ops;
    (void)snprintf(chr->filename, sizeof(chr->filename), "null");
    *out = chr;
    return 0;
}
