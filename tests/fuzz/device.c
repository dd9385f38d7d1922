/* A device alone on the simulated board. A process has one such target, so one board is kept. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

static struct fuzz_board *board;

void fuzz_board_empty(struct fuzz_board *b)
{
    struct machine *m = &b->m;
    config_init(&b->config);
    b->config.ram_bytes = b->config.max_ram_below_4g = FUZZ_RAM;
    if (bus_init(&m->ports, true) || bus_init(&m->memory, false))
        fuzz_bug("no memory for the buses");
    irq_board_init(&m->irqs, m->hv);
    mem_init(&m->mem, m->hv);
    pci_bus_init(&m->pci, &m->ports, &m->memory, &m->irqs);
    m->devices.log = m->log;
    m->vram_at = HV_VRAM_PARKED;
}

static struct fuzz_board *build(const struct fuzz_part *part)
{
    fuzz_heap_record();
    struct fuzz_board *b = calloc(1, sizeof(*b));
    if (!b)
        fuzz_bug("no memory");
    fuzz_board_init(b);
    fuzz_board_empty(b);
    b->part = part;
    b->map = &part->map;
    int err = part->create(b, &b->dev);
    if (err)
        fuzz_bug("%s can't be made: %s", part->name, strerror(-err));
    devices_add(&b->m.devices, b->dev);
    devices_reset(&b->m.devices);
    if (part->place)
        part->place(b);
    fuzz_board_ready(b);
    return b;
}

void fuzz_device_run(const struct fuzz_target *target, const uint8_t *data, size_t len)
{
    struct fuzz_in in = { data, data + len };
    if (!board)
        board = build(target->part);
    fuzz_heap_run();
    fuzz_ops(board, &in);
    if (!fuzz_board_reset(board, target->part->place))
        fuzz_device_finish(target);
}

void fuzz_device_finish(const struct fuzz_target *target)
{
    if (!board)
        return;
    fuzz_board_finish(board);
    config_free(&board->config);
    free(board);
    board = NULL;
}
