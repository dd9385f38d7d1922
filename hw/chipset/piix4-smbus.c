/*
 * SMBus host registers. No device answers: every transaction ends at once with a device error, as an address that
 * nobody acknowledges does. The slave side stores its settings and never sees a master.
 * Source: Intel 82371AB (PIIX4), order 290562, 7.3; [P4 n] is its section n.
 */
#include "piix4-smbus.h"

#include <errno.h>

enum { HSTSTS, SLVSTS, HSTCNT, HSTCMD, HSTADD, HSTDAT0, HSTDAT1, BLKDAT, SLVCNT, SHDWCMD, SLVEVT, SLVEVT_HIGH };
enum { STS_DEV_ERR = 0x04, STS_CAUSES = 0x1e };                     /* [P4 7.3.1] */
enum { CNT_INTEREN = 0x01, CNT_PROTOCOL = 0x1c, CNT_START = 0x40 }; /* [P4 7.3.3]; KILL finds nothing to stop */
enum { SLVCNT_MASK = 0x0f };                                        /* [P4 7.3.9] */

void piix4_smbus_reset(struct piix4_smbus *s)
{
    *s = (struct piix4_smbus){ 0 };
}

uint8_t piix4_smbus_read(struct piix4_smbus *s, unsigned reg)
{
    switch (reg) {
    case HSTSTS: return s->status;
    case HSTCNT: s->block_index = 0; return s->control; /* a read rewinds the block [P4 7.3.8] */
    case HSTCMD: return s->command;
    case HSTADD: return s->address;
    case HSTDAT0: return s->data0;
    case HSTDAT1: return s->data1;
    case BLKDAT: {
        uint8_t val = s->block[s->block_index];
        s->block_index = (uint8_t)((s->block_index + 1) % PIIX4_SMBUS_BLOCK);
        return val;
    }
    case SLVCNT: return s->slave_control;
    case SLVEVT: return (uint8_t)s->slave_event;
    case SLVEVT_HIGH: return (uint8_t)(s->slave_event >> 8);
    default: return 0; /* slave status, shadow command and slave data: no master ever wrote */
    }
}

void piix4_smbus_write(struct piix4_smbus *s, unsigned reg, uint8_t val)
{
    switch (reg) {
    case HSTSTS: s->status &= (uint8_t) ~(val & STS_CAUSES); break;
    case HSTCNT:
        s->control = val & (CNT_INTEREN | CNT_PROTOCOL);
        if (val & CNT_START)
            s->status |= STS_DEV_ERR;
        break;
    case HSTCMD: s->command = val; break;
    case HSTADD: s->address = val; break;
    case HSTDAT0: s->data0 = val; break;
    case HSTDAT1: s->data1 = val; break;
    case BLKDAT:
        s->block[s->block_index] = val;
        s->block_index = (uint8_t)((s->block_index + 1) % PIIX4_SMBUS_BLOCK);
        break;
    case SLVCNT: s->slave_control = val & SLVCNT_MASK; break;
    case SLVEVT: s->slave_event = (uint16_t)((s->slave_event & 0xff00) | val); break;
    case SLVEVT_HIGH: s->slave_event = (uint16_t)((s->slave_event & 0x00ff) | val << 8); break;
    default: break;
    }
}

bool piix4_smbus_irq(const struct piix4_smbus *s)
{
    return (s->control & CNT_INTEREN) && (s->status & STS_CAUSES);
}

int piix4_smbus_check(const struct piix4_smbus *s)
{
    if ((s->status & ~STS_DEV_ERR) || (s->control & ~(CNT_INTEREN | CNT_PROTOCOL)))
        return -EINVAL;
    if (s->block_index >= PIIX4_SMBUS_BLOCK || (s->slave_control & ~SLVCNT_MASK))
        return -EINVAL;
    return 0;
}
