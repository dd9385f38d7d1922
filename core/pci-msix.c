/*
 * Message signalled interrupts with a table [PCI 6.8.2]: see pci.h.
 */
#include <thindm/pci.h>

#include <assert.h>
#include <errno.h>
#include <thindm/hv.h>

/* Offsets in the capability and their bits [PCI 6.8.2.1 - 6.8.2.5]. */
enum { CAP_ID = 0, CAP_NEXT = 1, CONTROL = 2, TABLE = 4, PENDING = 8, CAP_BYTES = 12 };
enum { ID_MSIX = 0x11, CONTROL_ENABLE = 0x8000, CONTROL_MASK = 0x4000, STATUS_CAPS = 0x10, MAX_VECTORS = 2048 };
/* Words of a table entry [PCI 6.8.2.6 - 6.8.2.9]. */
enum { ENTRY_ADDR, ENTRY_ADDR_HIGH, ENTRY_DATA, ENTRY_CONTROL, ENTRY_WORDS };
enum { ENTRY_MASKED = 1, ADDR_ALIGN = 3 };
/* Where interrupt messages go on x86; a vector of 0 names a pirq there [xen/arch/x86/hvm/vmsi.c]. */
#define LAPIC_MASK  UINT32_C(0xfff00000)
#define LAPIC_BASE  UINT32_C(0xfee00000)
#define VECTOR_MASK UINT32_C(0xff)

static uint8_t *cap_of(const struct pci_msix *msix)
{
    return msix->func->config + msix->config.cap;
}

void pci_msix_init(struct pci_msix *msix, struct pci_func *func, struct hv *hv, const struct pci_msix_config *config)
{
    uint8_t *reset = func->reset + config->cap, *wmask = func->wmask + config->cap;
    assert(config->cap >= 0x40 && config->cap % 4 == 0 && config->cap + CAP_BYTES <= PCI_CONFIG_BYTES);
    assert(config->vectors >= 1 && config->vectors <= MAX_VECTORS);
    assert(config->table_offset % 8 == 0 && config->pending_offset % 8 == 0);
    *msix = (struct pci_msix){ .func = func, .hv = hv, .config = *config };
    for (unsigned i = 0; i < CAP_BYTES; i++)
        wmask[i] = 0;
    reset[CAP_ID] = ID_MSIX;
    reset[CAP_NEXT] = func->reset[PCI_CAP_PTR]; /* to the front of the list */
    le16_put(reset + CONTROL, (uint16_t)(config->vectors - 1));
    le32_put(reset + TABLE, config->table_offset | config->table_bar);
    le32_put(reset + PENDING, config->pending_offset | config->pending_bar);
    le16_put(wmask + CONTROL, CONTROL_ENABLE | CONTROL_MASK);
    func->reset[PCI_CAP_PTR] = config->cap;
    func->reset[PCI_STATUS] |= STATUS_CAPS;
    for (unsigned i = 0; i < CAP_BYTES; i++)
        func->config[config->cap + i] = reset[i];
    func->config[PCI_CAP_PTR] = config->cap;
    func->config[PCI_STATUS] |= STATUS_CAPS;
    pci_msix_reset(msix);
}

static uint32_t *entry_of(const struct pci_msix *msix, unsigned vector)
{
    return msix->config.table + (size_t)ENTRY_WORDS * vector;
}

static void set_pending(struct pci_msix *msix, unsigned vector, bool pending)
{
    uint32_t *word = &msix->config.pending[vector / 32], bit = UINT32_C(1) << (vector % 32);
    *word = pending ? *word | bit : *word & ~bit;
}

static bool is_pending(const struct pci_msix *msix, unsigned vector)
{
    return msix->config.pending[vector / 32] >> (vector % 32) & 1;
}

static void forget_pending(struct pci_msix *msix)
{
    for (unsigned i = 0; i < PCI_MSIX_PENDING_WORDS(msix->config.vectors); i++)
        msix->config.pending[i] = 0;
}

void pci_msix_reset(struct pci_msix *msix)
{
    for (unsigned i = 0; i < PCI_MSIX_TABLE_WORDS(msix->config.vectors); i++)
        msix->config.table[i] = i % ENTRY_WORDS == ENTRY_CONTROL ? ENTRY_MASKED : 0;
    forget_pending(msix);
}

static bool state_is_possible(const struct pci_msix *msix)
{
    for (unsigned i = 0; i < msix->config.vectors; i++) {
        const uint32_t *entry = entry_of(msix, i);
        if ((entry[ENTRY_ADDR] & ADDR_ALIGN) || (entry[ENTRY_CONTROL] & ~(uint32_t)ENTRY_MASKED))
            return false;
    }
    for (unsigned i = msix->config.vectors; i < 32 * PCI_MSIX_PENDING_WORDS(msix->config.vectors); i++) {
        if (is_pending(msix, i))
            return false;
    }
    return true;
}

int pci_msix_restored(struct pci_msix *msix)
{
    if (state_is_possible(msix))
        return 0;
    pci_msix_reset(msix);
    return -EINVAL;
}

bool pci_msix_enabled(const struct pci_msix *msix)
{
    return le16_get(cap_of(msix) + CONTROL) & CONTROL_ENABLE;
}

/*
 * A message that names a pirq of a Xen guest is not masked here: the guest masks its event channel instead. An entry
 * that the guest hasn't filled in yet has no address and isn't one.
 */
static bool is_masked(const struct pci_msix *msix, unsigned vector)
{
    const uint32_t *entry = entry_of(msix, vector);
    if ((entry[ENTRY_ADDR] & LAPIC_MASK) == LAPIC_BASE && !(entry[ENTRY_DATA] & VECTOR_MASK))
        return false;
    return (le16_get(cap_of(msix) + CONTROL) & CONTROL_MASK) || (entry[ENTRY_CONTROL] & ENTRY_MASKED);
}

void pci_msix_raise(struct pci_msix *msix, unsigned vector)
{
    assert(vector < msix->config.vectors);
    if (!pci_msix_enabled(msix))
        return;
    bool masked = is_masked(msix, vector);
    set_pending(msix, vector, masked);
    if (masked)
        return;
    const uint32_t *entry = entry_of(msix, vector);
    /* A message that the hypervisor refuses was addressed to nowhere: the guest programmed it so. */
    (void)msix->hv->ops->msi(msix->hv, entry[ENTRY_ADDR] | (uint64_t)entry[ENTRY_ADDR_HIGH] << 32, entry[ENTRY_DATA]);
}

uint32_t pci_msix_table_read(const struct pci_msix *msix, uint32_t off)
{
    uint32_t word = off / 4;
    return word < PCI_MSIX_TABLE_WORDS(msix->config.vectors) ? msix->config.table[word] : 0;
}

static void send_pending(struct pci_msix *msix, unsigned vector)
{
    if (is_pending(msix, vector) && !is_masked(msix, vector))
        pci_msix_raise(msix, vector);
}

void pci_msix_table_write(struct pci_msix *msix, uint32_t off, uint32_t val)
{
    uint32_t word = off / 4, vector = word / ENTRY_WORDS;
    if (vector >= msix->config.vectors)
        return;
    switch (word % ENTRY_WORDS) {
    case ENTRY_ADDR: val &= ~(uint32_t)ADDR_ALIGN; break;
    case ENTRY_CONTROL: val &= ENTRY_MASKED; break;
    }
    msix->config.table[word] = val;
    if (word % ENTRY_WORDS >= ENTRY_DATA) /* guests write the address first: it alone is no message yet */
        send_pending(msix, vector);
}

uint32_t pci_msix_pending_read(const struct pci_msix *msix, uint32_t off)
{
    uint32_t word = off / 4;
    return word < PCI_MSIX_PENDING_WORDS(msix->config.vectors) ? msix->config.pending[word] : 0;
}

void pci_msix_config_written(struct pci_msix *msix)
{
    if (!pci_msix_enabled(msix)) {
        forget_pending(msix); /* the interrupts go the INTx way now */
        return;
    }
    for (unsigned i = 0; i < msix->config.vectors; i++)
        send_pending(msix, i);
}
