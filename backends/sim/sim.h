/*
 * A hypervisor inside the process: guest RAM, ioreq pages used as Xen uses them, interrupt sinks that remember, and
 * functions that act as a virtual CPU. No clock of its own (see clock.h), no thread, no descriptor: the same calls give
 * the same answers. Life: sim_create() -> (machine is built on sim_hv()) -> sim_serve() -> accesses -> (machine goes)
 * -> sim_destroy().
 */
#ifndef THINDM_SIM_H
#define THINDM_SIM_H

#include <thindm/hv.h>
#include <thindm/ioreq.h>

struct sim;

/* Pins of the I/O APIC, and how many messages the log remembers. */
enum { SIM_PINS = 24, SIM_MSI_LOG = 16 };

struct sim_config {
    uint64_t ram_bytes;        /* whole pages, may be 0 */
    uint64_t max_ram_below_4g; /* whole pages; the rest of RAM starts at 4 GiB */
    unsigned nr_vcpus;         /* 1-128 */
    /*
     * The low two bits of port cf8 count too, as in QEMU, whose test clients address the register by them and always
     * use port cfc. Off: as on Xen, where only the data port tells them.
     */
    bool cf8_low_bits;
};

/* RAM is zeroed and costs nothing until it is touched. 0, -ENOMEM, -EINVAL (not whole pages, no vCPU or too many). */
int sim_create(const struct sim_config *config, struct sim **out) WARN_UNUSED;
/* What was built on sim_hv() is gone. NULL is fine. */
void sim_destroy(struct sim *sim);

struct hv *sim_hv(struct sim *sim);

/*
 * Answer the CPUs' requests with the board that config describes; pages and nr_vcpus are filled in here. What config
 * points to must outlive the last access. Before it, and with config NULL from then on, accesses meet nobody.
 */
void sim_serve(struct sim *sim, const struct ioreq_config *config);
/*
 * The engine that sim_serve() made, and its pages, for hostile requests; the page of slots comes first, then the ring.
 */
struct ioreq *sim_engine(struct sim *sim);
uint8_t *sim_pages(struct sim *sim);

/*
 * As after power-on, but for RAM, the board's claims and the levels of lines: ring empty, configuration address 0, RAM
 * writable, nothing recorded.
 */
void sim_reset(struct sim *sim);

/* --- A virtual CPU. Each call is answered when it returns; tasks that a device posted are the loop's. --- */

/*
 * Port access of 1, 2 or 4 bytes; ports that nobody claimed whole read ones. Configuration cycles by cf8, cfc as on
 * Xen.
 */
uint32_t sim_port_read(struct sim *sim, uint16_t port, unsigned size);
void sim_port_write(struct sim *sim, uint16_t port, unsigned size, uint32_t val);
/*
 * Memory access of 1 to 8 bytes at any alignment. RAM and video memory answer by themselves (a write to HV_RAM_RO
 * vanishes), the rest is a request if it was claimed whole, and ones if not. Split at pages and into powers of two, as
 * Xen does.
 */
uint64_t sim_mem_read(struct sim *sim, uint64_t addr, unsigned size);
void sim_mem_write(struct sim *sim, uint64_t addr, unsigned size, uint64_t val);
/* Configuration request to a function of bus 0, size 1, 2, 4; ones if it isn't claimed. */
uint32_t sim_config_read(struct sim *sim, uint8_t devfn, unsigned reg, unsigned size);
void sim_config_write(struct sim *sim, uint8_t devfn, unsigned reg, unsigned size, uint32_t val);

/* REP INS (read) or OUTS of count elements at guest physical addr, in requests of at most a page as Xen cuts them. */
struct sim_string {
    bool read, descending;
    unsigned size; /* of an element: 1, 2, 4; for memory also 8 */
    uint64_t addr; /* guest memory */
    uint64_t count;
};
void sim_port_string(struct sim *sim, uint16_t port, const struct sim_string *string);
/* REP MOVS between MMIO that steps from mmio on and RAM at string->addr. */
void sim_mem_string(struct sim *sim, uint64_t mmio, const struct sim_string *string);

/*
 * A posted write: into the ring, served with the next request or by sim_drain(). addr below 1 MiB, size 1, 2, 4, 8.
 * False: the ring is full or the address too high; Xen sends an ordinary request then.
 */
bool sim_post(struct sim *sim, enum ioreq_type type, uint64_t addr, unsigned size, uint64_t val) WARN_UNUSED;
void sim_drain(struct sim *sim);

/* Any request, sensible or not, as it stands in a slot; what the slot's data field holds after the answer. */
struct sim_request {
    uint64_t addr, data;
    uint32_t count, size;
    uint8_t type, vcpu;
    bool read, pointer, descending;
};
uint64_t sim_request(struct sim *sim, const struct sim_request *request);

/* Did a device model claim all of [addr, addr + size)? size 1 to 8. */
bool sim_port_claimed(const struct sim *sim, uint16_t port, unsigned size);
bool sim_mem_claimed(const struct sim *sim, uint64_t addr, unsigned size);
/* How many bytes from addr on are neither RAM nor claimed. */
uint64_t sim_mem_gap(const struct sim *sim, uint64_t addr);

/* --- Memory --- */

/*
 * Where guest memory at addr is in ours, and for how many bytes from there on in one piece; NULL: no RAM (nor video
 * memory) there. Read only: writing is sim_ram_write()'s.
 */
const uint8_t *sim_ram(const struct sim *sim, uint64_t addr, uint64_t *bytes);
/*
 * Copy; a NULL buf writes zeros. Addresses without RAM are skipped (read: zeros). RO doesn't count: it is the tester
 * who writes.
 */
void sim_ram_read(const struct sim *sim, uint64_t addr, void *buf, size_t len);
void sim_ram_write(struct sim *sim, uint64_t addr, const void *buf, size_t len);
/*
 * Zero every page of RAM that was written since the last time. Sees the CPUs' and sim_ram_write()'s writes, and those
 * of devices if the board has mem_set_dirty_log() on.
 */
void sim_ram_clear(struct sim *sim);

/* --- What the device model did --- */

bool sim_isa_level(const struct sim *sim, unsigned line);
bool sim_intx_level(const struct sim *sim, unsigned slot, unsigned pin);
/* ISA line that link 0-3 goes to, 0: none. */
unsigned sim_link_route(const struct sim *sim, unsigned link);
/* Pin 0-23 of the I/O APIC of a PC: the ISA lines, and INTx on the lines that its links are routed to. */
bool sim_pin_level(const struct sim *sim, unsigned pin);
/* Told of each change, within the call that caused it. */
struct sim_pin_listener {
    void (*changed)(void *opaque, unsigned pin, bool level);
    void *opaque;
    struct sim_pin_listener *next; /* the simulator's */
};
/*
 * listener is the caller's and stays until sim_unlisten(), which is harmless if it isn't there. Neither from changed().
 */
void sim_listen(struct sim *sim, struct sim_pin_listener *listener);
void sim_unlisten(struct sim *sim, struct sim_pin_listener *listener);
/*
 * Interrupt controllers that the board has itself: handed every line, wire and link, those that are up already too. From
 * then on the pins are what they say by sim_set_pin(), which is an irq_fn. NULL: the pins follow the lines again.
 */
struct sim_controllers {
    void (*isa)(void *opaque, unsigned line, bool level);
    void (*intx)(void *opaque, unsigned slot, unsigned pin, bool level);
    void (*link)(void *opaque, unsigned link, unsigned irq);
    void *opaque;
};
void sim_set_controllers(struct sim *sim, const struct sim_controllers *controllers);
void sim_set_pin(void *sim, unsigned pin, bool level);
/* Drive a pin from outside, beside what the board does. */
void sim_drive_pin(struct sim *sim, unsigned pin, bool level);

struct sim_msi {
    uint64_t addr;
    uint32_t data;
};
/* Messages so far; message i of them (from 0), false if it is out of the log. */
uint64_t sim_nr_msis(const struct sim *sim);
bool sim_msi(const struct sim *sim, uint64_t i, struct sim_msi *out);

/* The guest's last power request, -1: none. */
int sim_shutdown_reason(const struct sim *sim);
/* ACPI sleep state: 0 or 3. */
unsigned sim_s_state(const struct sim *sim);

#endif
