/*
 * The board of a Xen HVM guest and what the outside may ask of it. hw/xenfv.c is its parts list and the only caller of
 * the devices' create functions; hw/machine.c holds it together: buses, power, video memory, unplug, removable media.
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

struct ide_drive_info;
struct platform;

/* What QMP put into a drive; path NULL: the drive has what is configured, or nothing. */
struct machine_medium {
    char *path;
    char format[16];
};

struct machine {
    /* Given by the caller of machine_create(); all must outlive the machine. */
    struct loop *loop;
    struct log *log;
    struct hv *hv;
    struct host *host;
    const struct config *config;
    unsigned century;     /* of today: 20 for 2026 */
    int64_t wall_clock_s; /* what the board's own clock shows at first, seconds since 1970 */
    irq_fn *pin_changed;  /* an input of the board's own I/O APIC changed; may be NULL */
    void *pin_opaque;
    /* The guest asked for its end, or for S3 sleep; called before the hypervisor is told. May be NULL. */
    void (*power)(void *opaque, enum hv_shutdown reason);
    void (*sleep)(void *opaque);
    /* The tray of the CD-ROM drive id went out or in. May be NULL. */
    void (*tray_moved)(void *opaque, const char *id, bool open);
    struct block_errors *errors; /* what becomes of disk errors; NULL: the guest is told, nobody else */
    void *opaque;

    struct bus ports, memory;
    struct bus_listener port_listener, memory_listener;
    struct pci_listener pci_listener;
    struct irq_board irqs;
    struct pci_bus pci;
    struct mem mem;
    struct devices devices;
    struct input input;
    /* Devices that the machine talks to, owned by devices. NULL: not there. */
    struct device *ide, *ahci, *nvme, *fdc, *dma, *pm, *cmos, *vga;
    struct platform *platform; /* interrupt controllers and timers; NULL: the hypervisor's are used */
    uint8_t ram_bytes_le[8], vcpus_le[2], max_vcpus_le[2]; /* what fw_cfg shows */
    struct chr *serials[CONFIG_MAX_SERIALS]; /* owned by the serial ports */
    uint8_t *vga_rom;
    void *vram;
    uint64_t vram_at; /* guest physical address of the video memory, HV_VRAM_PARKED while behind RAM */
    bool vram_shown;  /* the BAR decodes */
    struct machine_medium media[CONFIG_MAX_IDE + CONFIG_MAX_AHCI + CONFIG_MAX_FLOPPIES]; /* IDE units, AHCI ports, floppies */
};

/*
 * Build the board that config describes on hv and host, and reset it. *m is zeroed but for what the caller gives.
 * 0, or -errno with a line in error, or in the log if it is about a file or socket (error is empty then); then
 * nothing is left behind.
 */
int machine_create(struct machine *m, char error[CONFIG_ERROR_BYTES]) WARN_UNUSED;
/* Frees all. Repeats harmlessly. */
void machine_destroy(struct machine *m);
/* The parts list: creates every device of config into m->devices. Called by machine_create() only. */
int xenfv_create_devices(struct machine *m, char error[CONFIG_ERROR_BYTES]) WARN_UNUSED;

/* All drives of a board: IDE units, AHCI ports, NVMe namespaces, floppies. */
enum { MACHINE_DRIVES = CONFIG_MAX_IDE + CONFIG_MAX_AHCI + CONFIG_MAX_NVME + CONFIG_MAX_FLOPPIES };
/* Configuration of drive i, and in info what it is now. NULL: it isn't there, or was unplugged. */
const struct config_drive *machine_drive(const struct machine *m, unsigned i, struct ide_drive_info *info);
/* Can its medium be changed? */
bool machine_drive_is_removable(const struct machine *m, const struct config_drive *d);

/* The image of a drive that is present and has a path, with its error policy. 0 or -errno after a line in the log. */
int machine_open_drive(struct machine *m, const struct config_drive *d, struct block **out) WARN_UNUSED;

/* Callbacks of the devices, opaque is the machine: see the devices' config structures. */
void machine_power(void *opaque, enum hv_shutdown reason);
void machine_sleep(void *opaque);
void machine_unplug(void *opaque, uint16_t mask);
void machine_vram_moved(void *opaque, uint64_t addr, bool mapped);
/* After a restore: video memory was at addr, also if its BAR doesn't decode. 0 or -EINVAL: nothing may be there. */
int machine_vram_restored(struct machine *m, uint64_t addr) WARN_UNUSED;

/* QMP's requests: see struct qmp_ops. */
bool machine_block_info(struct machine *m, unsigned i, struct qmp_block_info *info);
int machine_eject(struct machine *m, const char *id, bool force, char error[CONFIG_ERROR_BYTES]);
int machine_change_medium(struct machine *m, const char *id, const struct qmp_medium *medium,
                          char error[CONFIG_ERROR_BYTES]);
/* Leave S3: reset what loses power, restart the guest at its firmware. -EINVAL: it is not asleep (caller keeps track).
 */
int machine_wakeup(struct machine *m);
/* Wait for all disk requests in flight, flush all disks. */
void machine_drain(struct machine *m);

#endif
