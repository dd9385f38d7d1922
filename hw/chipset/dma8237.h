/*
 * The two ISA DMA controllers of a PC with their page registers: channels 0-3 move bytes, 5-7 words, 4 cascades.
 * Source: Intel 8237A, order 231466; Intel 82371SB (PIIX3), order 290550, the DMA registers.
 */
#ifndef THINDM_DMA8237_H
#define THINDM_DMA8237_H

#include <thindm/util.h>

struct bus;
struct device;
struct mem;

enum { DMA_CHANNELS = 8 };

struct dma8237_config {
    const char *id;
    struct bus *ports;
};

/* Transfer type of the mode register, bits 3-2 [8237A Mode Register]: seen from the device, WRITE fills memory. */
enum dma8237_type { DMA_VERIFY, DMA_WRITE, DMA_READ, DMA_ILLEGAL };

/* What a device on a channel needs to know for its next transfer. */
struct dma8237_channel {
    bool ready; /* unmasked, controller enabled, not cascading */
    bool decrement, autoinit;
    enum dma8237_type type;
    unsigned unit;  /* bytes per transfer: 1 or 2 */
    uint32_t addr;  /* guest physical, 24 bits; the low 16 (17 with words) wrap within the page */
    uint32_t units; /* left until terminal count, 1-65536 */
};

/* Claim ports 0-f, 81-8f, c0-df. 0, -ENOMEM, -EEXIST (ports taken; nothing is left behind). Calls nobody back. */
int dma8237_create(const struct dma8237_config *config, struct device **out) WARN_UNUSED;

/* The state of channel 0-7. */
struct dma8237_channel dma8237_channel(const struct device *dev, unsigned channel);
/* The level of DREQ of channel 0-7, shown in the status register. */
void dma8237_set_request(struct device *dev, unsigned channel, bool level);
/*
 * units (at most those left) were transferred: address, count, and at terminal count status, mask and automatic reload.
 * True: terminal count was reached.
 */
bool dma8237_advance(struct device *dev, unsigned channel, uint32_t units);

struct dma8237_moved {
    size_t bytes; /* whole units; 0: the channel isn't ready */
    bool end;     /* terminal count was reached, and with it the channel masked or reloaded */
};

/*
 * Transfer between the device's buf and guest memory as the channel is programmed, until len bytes are done (an odd
 * last one of a word channel isn't) or terminal count. WRITE takes from buf, READ fills it, VERIFY touches neither.
 * Memory without RAM reads ones and drops writes. A device in single mode stands for a DREQ per unit. Reaches RAM only.
 */
struct dma8237_moved dma8237_transfer(struct device *dev, unsigned channel, struct mem *mem, void *buf,
                                      size_t len) WARN_UNUSED;

#endif
