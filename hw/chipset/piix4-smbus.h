/*
 * The SMBus host of the PIIX4 with nothing on its bus: part of the power management function, which places its ports.
 * Source: Intel 82371AB (PIIX4), order 290562, 7.3.
 */
#ifndef THINDM_PIIX4_SMBUS_H
#define THINDM_PIIX4_SMBUS_H

#include <thindm/util.h>

enum { PIIX4_SMBUS_PORTS = 16, PIIX4_SMBUS_BLOCK = 32 };

/* All of it is guest-visible state. */
struct piix4_smbus {
    uint8_t status, control, command, address, data0, data1, slave_control;
    uint8_t block[PIIX4_SMBUS_BLOCK], block_index;
    uint16_t slave_event;
};

void piix4_smbus_reset(struct piix4_smbus *s);
/* Register 0-15, a byte. */
uint8_t piix4_smbus_read(struct piix4_smbus *s, unsigned reg);
void piix4_smbus_write(struct piix4_smbus *s, unsigned reg, uint8_t val);
/* Does it want its interrupt? */
bool piix4_smbus_irq(const struct piix4_smbus *s);
/* After a restore: 0 or -EINVAL. */
int piix4_smbus_check(const struct piix4_smbus *s) WARN_UNUSED;

#endif
