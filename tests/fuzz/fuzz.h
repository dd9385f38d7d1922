/*
 * What the fuzz targets share: a target takes bytes and does to thindm what they say. Devices are on a simulated board that is
 * kept between inputs and brought back to its first state after each, as building it anew would cost most of the time.
 */
#ifndef THINDM_TESTS_FUZZ_H
#define THINDM_TESTS_FUZZ_H

#include <clock.h>
#include <machine.h>
#include <sim.h>
#include <thindm/util.h>

/* --- Targets --- */

struct fuzz_target {
    const char *name;
    /* One input; everything it started is over when it returns. */
    void (*run)(const struct fuzz_target *target, const uint8_t *data, size_t len);
    /* Frees what was kept between inputs. NULL: nothing is. */
    void (*finish)(const struct fuzz_target *target);
    const struct fuzz_part *part; /* of a target with a board */
};

const struct fuzz_target *fuzz_target_find(const char *name);
/* The n-th one, NULL behind the last. */
const struct fuzz_target *fuzz_target_at(unsigned n);

/* machine.c, device.c, parsers.c, servers.c, create.c, trace.c, nbd-address.c, pv-disk.c, pv-console.c */
void fuzz_machine_run(const struct fuzz_target *target, const uint8_t *data, size_t len);
void fuzz_machine_finish(const struct fuzz_target *target);
void fuzz_device_run(const struct fuzz_target *target, const uint8_t *data, size_t len);
void fuzz_device_finish(const struct fuzz_target *target);
void fuzz_options_run(const struct fuzz_target *target, const uint8_t *data, size_t len);
void fuzz_json_run(const struct fuzz_target *target, const uint8_t *data, size_t len);
void fuzz_qmp_run(const struct fuzz_target *target, const uint8_t *data, size_t len);
void fuzz_qtest_run(const struct fuzz_target *target, const uint8_t *data, size_t len);
/* blkfront.c, vchan.c, store.c */
void fuzz_blkfront_run(const struct fuzz_target *target, const uint8_t *data, size_t len);
void fuzz_vchan_run(const struct fuzz_target *target, const uint8_t *data, size_t len);
void fuzz_store_run(const struct fuzz_target *target, const uint8_t *data, size_t len);
void fuzz_create_run(const struct fuzz_target *target, const uint8_t *data, size_t len);
void fuzz_trace_run(const struct fuzz_target *target, const uint8_t *data, size_t len);
void fuzz_trace_finish(const struct fuzz_target *target);
void fuzz_nbd_address_run(const struct fuzz_target *target, const uint8_t *data, size_t len);
void fuzz_pv_disk_run(const struct fuzz_target *target, const uint8_t *data, size_t len);
void fuzz_pv_disk_finish(const struct fuzz_target *target);
void fuzz_pv_console_run(const struct fuzz_target *target, const uint8_t *data, size_t len);
void fuzz_pv_console_finish(const struct fuzz_target *target);

/* Says what is wrong and aborts, so that the fuzzer keeps the input: for what no sanitizer sees. */
_Noreturn void fuzz_bug(const char *format, ...) PRINTF_LIKE(1, 2);
/* Every input is followed by a look whether a reset brought back the first state (the replay program sets it: it costs time). */
extern bool fuzz_check_reset;

/* Of calls that may fail as they like. */
static inline void fuzz_any(int64_t result)
{
}

/* --- Input --- */

struct fuzz_in {
    const uint8_t *at, *end;
};

/* Zeros behind the end. */
static inline uint8_t fuzz_u8(struct fuzz_in *in)
{
    return in->at < in->end ? *in->at++ : 0;
}

static inline uint64_t fuzz_le(struct fuzz_in *in, unsigned size)
{
    uint64_t val = 0;
    for (unsigned i = 0; i < size; i++)
        val |= (uint64_t)fuzz_u8(in) << (8 * i);
    return val;
}

/* --- The board --- */

enum {
    FUZZ_RAM = 2 << 20, FUZZ_VRAM = 1 << 20, FUZZ_DISKS = 4, FUZZ_CHR_BYTES = 64, FUZZ_MAX_DEVICES = 32,
    /* Where set-up puts what a guest's firmware would place. */
    FUZZ_PM_BASE = 0xb000, FUZZ_SMBUS_BASE = 0xb100, FUZZ_BM_BASE = 0xc000, FUZZ_PLATFORM_BASE = 0xc100,
};
#define FUZZ_VRAM_BAR     UINT64_C(0xe0000000)
#define FUZZ_VGA_MMIO     UINT64_C(0xfebf0000)
#define FUZZ_VGA_ROM      UINT64_C(0xfebe0000)
#define FUZZ_PLATFORM_BAR UINT64_C(0xe2000000)

/* An address range that inputs name by its number: tables of them only ever grow at the end, or stored inputs change their meaning. */
struct fuzz_range {
    uint64_t base;
    uint32_t len;
};

/* What there is to find on a board. */
struct fuzz_map {
    const struct fuzz_range *ports;
    unsigned nr_ports;
    const struct fuzz_range *memory;
    unsigned nr_memory;
    const uint8_t *functions; /* devfn */
    unsigned nr_functions;
};

/* A disk without contents: a read gives bytes that depend on where they are, a write vanishes. */
struct fuzz_disk {
    struct block block;
    struct fuzz_board *board;
    struct block_req *first, **last;
    struct task kick;
    struct fuzz_disk *next;
};

struct fuzz_chr {
    struct chr chr;
    struct fuzz_board *board;
    struct task deliver;
    uint8_t in[FUZZ_CHR_BYTES];
    size_t len;
};

struct fuzz_board {
    struct machine m;
    struct config config;
    struct host host;
    struct log log;
    struct sim *sim;
    struct sim_clock clock;
    struct loop loop;
    const struct fuzz_map *map;
    const struct fuzz_part *part; /* NULL: the whole machine */
    struct device *dev;           /* of the part */
    struct irq pins[64];          /* inputs of the part, driven by events */
    struct fuzz_disk *disks;
    uint32_t nr_disks; /* opened so far */
    struct fuzz_chr *chr;
    volatile uint8_t sink; /* keeps the compiler from seeing that nobody wants what the device writes */
    size_t chr_limit; /* bytes the far end takes */
    /* Disk requests wait; the next ones of this kind fail. */
    bool hold;
    int fail;
    enum block_op fail_op;
    unsigned fail_times;
    /* Of the present input. */
    bool lazy;          /* tasks wait for the next clock step */
    bool spoiled;       /* a reset of the devices won't bring the first state back */
    bool vram_touched;
    unsigned saves;     /* snapshots that may still be taken: they take long */
    unsigned pokes;     /* foreign ones so far: they take less */
    unsigned others_pinned; /* buckets of memory */
    struct snap_buf first[FUZZ_MAX_DEVICES]; /* records of the first state, in the order of the list, where needed */
};

/* board.c: a board with nothing on it, in *b, which is zeroed. */
void fuzz_board_init(struct fuzz_board *b);
/* device.c: with its buses, but no device. */
void fuzz_board_empty(struct fuzz_board *b);
/* It has its devices and is in its first state: ready for inputs. */
void fuzz_board_ready(struct fuzz_board *b);
/*
 * Back to the first state. False: it must be built anew. The replay program also sees what a reset of the devices comes to; place
 * redoes what firmware does then.
 */
bool fuzz_board_reset(struct fuzz_board *b, void (*place)(struct fuzz_board *b));
/* Frees all but *b. */
void fuzz_board_finish(struct fuzz_board *b);
/* Run what is due now; virtual time stands still. */
void fuzz_board_settle(struct fuzz_board *b);
/* Save all, restore all: the same must come out again. Waits for requests in flight, or does it only if there are none. */
void fuzz_board_roundtrip(struct fuzz_board *b, bool wait);
/* Restore a device from its own record with bytes, or fields, of it overwritten as in says. It may refuse. */
void fuzz_board_poke(struct fuzz_board *b, struct fuzz_in *in, bool fields);
/* What inputs call a field of a snapshot: stays the same when others come. */
uint16_t fuzz_field_key(const char *name);

/* backs.c */
int fuzz_disk_open(struct fuzz_board *b, uint64_t bytes, bool read_only, struct block **out);
int fuzz_chr_open(struct fuzz_board *b, struct chr **out);
void fuzz_chr_feed(struct fuzz_board *b, const uint8_t *bytes, size_t len);
/* Let requests that were held finish. */
void fuzz_disks_release(struct fuzz_board *b);

/* heap.c: blocks allocated from record() to keep() are the board's; what they hold then is put back at the end of each input. */
void fuzz_heap_record(void);
void fuzz_heap_keep(void);
/* An input begins. */
void fuzz_heap_run(void);
/* It is over. False: build the board anew, as nothing is kept or the replay program wants to see the leaks of what the input opened. */
bool fuzz_heap_restore(void);
/* Before the board is freed. */
void fuzz_heap_forget(void);
/* The nth allocation from now fails, counted from 1; 0: none will. */
void fuzz_heap_fail(uint64_t nth);

/* ops.c: do what the input says. */
void fuzz_ops(struct fuzz_board *b, struct fuzz_in *in);

/* assemble.c: an input from text, at most size bytes; returns how many. */
size_t fuzz_assemble(const struct fuzz_map *map, const char *path, uint8_t *out, size_t size);

/* --- Devices on a board of their own --- */

struct fuzz_part {
    const char *name;
    int (*create)(struct fuzz_board *b, struct device **out);
    /* What firmware would do: place BARs. NULL: nothing. */
    void (*place)(struct fuzz_board *b);
    /* What happens to it from outside besides its registers: kind 0-15. NULL: nothing. */
    void (*event)(struct fuzz_board *b, unsigned kind, struct fuzz_in *in);
    struct fuzz_map map;
};

/* parts.c; parts-storage.c; parts-legacy.c: what takes the hypervisor's part. */
extern const struct fuzz_part fuzz_parts[], fuzz_storage_parts[], fuzz_legacy_parts[];
extern const unsigned fuzz_nr_parts, fuzz_nr_storage_parts, fuzz_nr_legacy_parts;
/* machine.c: a whole board, and one with its own interrupt controllers and timers. */
extern const struct fuzz_part fuzz_machine_part, fuzz_platform_part;
/* odd.c: a device that can't be made, or is of a configuration that the board has not. b was initialised only. */
void fuzz_odd_run(struct fuzz_board *b, struct fuzz_in *in);
/* Place the BARs of those functions that are there, as a guest's firmware does. */
void fuzz_place_bars(struct fuzz_board *b);

#endif
