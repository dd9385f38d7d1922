/*
 * The board: hw/xenfv.c reads as its parts list, in slot order, and is the only caller of the devices' create functions.
 */
#ifndef THINDM_MACHINE_H
#define THINDM_MACHINE_H

#include <thindm/bus.h>
#include <thindm/config.h>
#include <thindm/device.h>
#include <thindm/host.h>
#include <thindm/hv.h>
#include <thindm/input.h>
#include <thindm/irq.h>
#include <thindm/mem.h>
#include <thindm/pci.h>
#include <thindm/qmp.h>

struct machine {
    struct loop *loop;
    struct log *log;
    struct hv *hv;
    struct host *host;
    const struct config *config;
    struct bus ports, memory;
    struct irq_board irqs;
    struct pci_bus pci;
    struct mem mem;
    struct devices devices;
    struct input input;
    struct device *ide, *pm, *cmos; /* in devices */
    void *vram;
    /* The guest asked for the end (reason) or for sleep state 3; set before the hypervisor was told. May be NULL. */
    void (*power)(void *opaque, enum hv_shutdown reason);
    void *power_opaque;
    uint16_t unplugged; /* mask of the Xen platform device */
};

/*
 * Build the board that config describes on hv and host. machine is zeroed but for loop, log, hv, host, config, power, power_opaque.
 * 0, or -errno with a line in error; then nothing is left behind. All devices are reset.
 */
int machine_create(struct machine *machine, char error[CONFIG_ERROR_BYTES]) WARN_UNUSED;
void machine_destroy(struct machine *machine);
/* QMP's view of drives: see struct qmp_ops. */
bool machine_block_info(struct machine *machine, unsigned i, struct qmp_block_info *info);
int machine_eject(struct machine *machine, const char *id, bool force, char error[CONFIG_ERROR_BYTES]);
int machine_change_medium(struct machine *machine, const char *id, int fd, const char *path, char error[CONFIG_ERROR_BYTES]);
int machine_cpu_add(struct machine *machine, unsigned index, char error[CONFIG_ERROR_BYTES]);
bool machine_cpu_online(struct machine *machine, unsigned index);
/* Wait for all disk requests in flight, flush all disks. */
void machine_drain(struct machine *machine);

#endif
