/* Keyboard controller with its keyboard and mouse. */
#ifndef THINDM_I8042_H
#define THINDM_I8042_H

#include <thindm/bus.h>
#include <thindm/irq.h>

struct device;
struct input;
struct loop;

struct i8042_config {
    const char *id;
    struct loop *loop;
    struct bus *ports;
    struct irq irq_kbd, irq_mouse; /* ISA lines 1 and 12 */
    struct input *input;           /* keyboard and pointer are filled in; must outlive the device */
    /* The guest pulsed the CPU's reset line. Called inside its port write; may not free the device. NULL: ignored. */
    void (*reset)(void *opaque);
    void *opaque;
};

/*
 * Plug the controller in at ports 60 and 64. 0, -ENOMEM, -EEXIST (ports taken; nothing is left behind), -ENOSPC. From
 * then on config->input leads to its keyboard and mouse, until unplug. Sources: Intel 8242 data sheet; IBM
 * Personal System/2 Hardware Interface Technical Reference, Keyboard and Auxiliary Device Controller.
 */
int i8042_create(const struct i8042_config *config, struct device **out) WARN_UNUSED;

#endif
