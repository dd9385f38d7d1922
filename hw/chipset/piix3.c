/*
 * PIIX3 ISA bridge: PIRQ routing and reset control. The level-trigger registers (4d0, 4d1), timer, interrupt
 * controllers and speaker gate are the hypervisor's; DMA, CMOS and port 92 are devices of their own. X-Bus and power
 * registers only store.
 * Source: Intel 82371SB (PIIX3), order 290550; [P3 name] is its register.
 */
#include "piix3.h" /* struct piix3_config, piix3_create() */

#include "i440fx.h"
#include <errno.h>
#include <thindm/device.h>
#include <thindm/pci.h>

enum { PIRQRC = 0x60, NR_LINKS = 4, PIRQ_DISABLED = 0x80, PIRQ_MASK = 0x0f }; /* [P3 PIRQRC] */
enum { RC_TYPE_HARD = 0x02, RC_RESET = 0x04 };                                /* [P3 RC] */

struct piix3 {
    struct device dev;
    struct pci_func pci;
    struct hv *hv;
    struct device *host_bridge; /* NULL: none, or unbound */
    void (*power)(void *opaque, enum hv_shutdown reason);
    void *opaque;
    uint8_t sent[NR_LINKS]; /* routes as the hypervisor has them; 0 in a fresh one */
    /* Guest-visible state. */
    uint8_t reset_control;
};

static const struct snap_field piix3_fields[] = {
    SNAP_ARRAY(struct piix3, pci.config),
    SNAP(struct piix3, reset_control),
    SNAP_END,
};

static void send_route(struct piix3 *s, unsigned link)
{
    uint8_t reg = s->pci.config[PIRQRC + link];
    uint8_t irq = reg & PIRQ_DISABLED ? 0 : reg & PIRQ_MASK;
    int err = s->hv->ops->pci_link(s->hv, link, irq);
    if (err)
        log_guest(&s->dev, "route of PIRQ link %u to irq %u failed (%d); its interrupts stay where they were", link,
                  irq, err);
    else
        s->sent[link] = irq;
}

static void piix3_config_written(void *opaque, unsigned reg, unsigned size)
{
    struct piix3 *s = opaque;
    for (unsigned link = 0; link < NR_LINKS; link++) {
        if (reg <= PIRQRC + link && PIRQRC + link < reg + size)
            send_route(s, link);
    }
}

static uint8_t reset_control_read(void *opaque)
{
    const struct piix3 *s = opaque;
    return s->reset_control;
}

/* Only the kind of reset is stored; hard or soft, it ends the domain and the toolstack starts a new one. */
static void reset_control_write(void *opaque, uint8_t val)
{
    struct piix3 *s = opaque;
    s->reset_control = val & RC_TYPE_HARD;
    if ((val & RC_RESET) && s->power)
        s->power(s->opaque, HV_REBOOT);
}

static void piix3_reset(struct device *dev)
{
    struct piix3 *s = container_of(dev, struct piix3, dev);
    pci_reset(&s->pci);
    s->reset_control = 0;
    for (unsigned link = 0; link < NR_LINKS; link++) {
        /* Routes of a restored guest are in the hypervisor already: an unneeded 0 would move a pending interrupt. */
        if (s->sent[link] != 0)
            send_route(s, link);
    }
}

static int piix3_restored(struct device *dev)
{
    struct piix3 *s = container_of(dev, struct piix3, dev);
    if (s->reset_control & ~RC_TYPE_HARD)
        return -EINVAL;
    int err = pci_restored(&s->pci);
    for (unsigned link = 0; !err && link < NR_LINKS; link++)
        send_route(s, link);
    return err;
}

static void piix3_unplug(struct device *dev)
{
    struct piix3 *s = container_of(dev, struct piix3, dev);
    if (s->host_bridge)
        i440fx_bind_reset_control(s->host_bridge, NULL, NULL, NULL);
    s->host_bridge = NULL;
    pci_detach(&s->pci);
}

/* What isn't here stores and resets to 0. */
static const struct pci_reg piix3_regs[] = {
    { .reg = 0x4c, .size = 1, .reset = 0x4d, .wmask = 0xff },     /* IORT, I/O recovery */
    { .reg = 0x4e, .size = 2, .reset = 0x0003, .wmask = 0xffff }, /* XBCS, X-Bus chip select */
    { .reg = PIRQRC, .size = 4, .reset = 0x80808080, .wmask = 0xffffffff },
    { .reg = 0x69, .size = 1, .reset = 0x02, .wmask = 0xff },     /* TOM, top of memory */
    { .reg = 0x70, .size = 1, .reset = 0x80, .wmask = 0xff },     /* MBIRQ, motherboard device interrupt */
    { .reg = 0x76, .size = 2, .reset = 0x0c0c, .wmask = 0xffff }, /* MBDMA0, 1 */
    { .reg = 0x78, .size = 2, .reset = 0x0002, .wmask = 0xffff }, /* PCSC, chip select control */
    { .reg = 0xa0, .size = 1, .reset = 0x08, .wmask = 0xff },     /* SMICNTL */
    { .reg = 0xa8, .size = 1, .reset = 0x0f, .wmask = 0xff },     /* FTMR, fast off timer */
};
static const struct pci_desc piix3_pci = {
    .vendor = 0x8086,
    .device = 0x7000,
    .subvendor = 0x1af4,
    .subdevice = 0x1100,
    .class_code = 0x060100,
    .header_type = 0x80,
    .command_reset = 0x0007,
    .status_reset = 0x0200,
    .regs = piix3_regs,
    .nr_regs = ARRAY_SIZE(piix3_regs),
};
static const struct device_desc piix3_desc = {
    .name = "piix3",
    .version = 1,
    .keeps_s3 = true,
    .fields = piix3_fields,
    .restored = piix3_restored,
    .reset = piix3_reset,
    .unplug = piix3_unplug,
};

int piix3_create(const struct piix3_config *config, struct device **out)
{
    struct piix3 *s = device_new(&piix3_desc, config->id, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->hv = config->hv;
    s->power = config->power;
    s->opaque = config->opaque;
    s->pci.opaque = s;
    s->pci.config_written = piix3_config_written;
    int err = pci_attach(&s->pci, config->pci, config->devfn, &piix3_pci);
    if (err) {
        device_free(&s->dev);
        return err;
    }
    s->host_bridge = config->host_bridge;
    if (s->host_bridge)
        i440fx_bind_reset_control(s->host_bridge, reset_control_read, reset_control_write, s);
    *out = &s->dev;
    return 0;
}
