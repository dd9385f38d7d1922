/* 16550A serial port: COM1 to COM4 of the board. */
#ifndef THINDM_SERIAL_H
#define THINDM_SERIAL_H

#include <thindm/bus.h>
#include <thindm/irq.h>

struct chr;
struct device;
struct loop;

struct serial_config {
    const char *id;
    struct loop *loop;
    struct bus *ports;
    uint16_t base; /* multiple of 8 */
    struct irq irq;
    struct chr *chr; /* NULL: nothing is plugged into the connector; output vanishes */
};

/*
 * Plug a 16550A in at config->base, 8 ports. Takes config->chr on success only. 0, -ENOMEM, -EEXIST (ports taken;
 * nothing is left behind), -ENOSPC. Calls nobody back. Source: PC16550D, sections 6.0 to 8.11.
 */
int serial_create(const struct serial_config *config, struct device **out) WARN_UNUSED;

/*
 * The far end holds the line at space for longer than a character: the receiver takes a zero with the break indicator
 * (SysRq of a Linux console). dev came from serial_create(). Lost when the receiver is full or in loopback.
 */
void serial_break(struct device *dev);

#endif
