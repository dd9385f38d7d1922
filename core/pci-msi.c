/*
 * Message signalled interrupts, 64-bit form with one message [PCI 6.8.1]: see pci.h.
 */
#include <thindm/pci.h>

#include <assert.h>
#include <thindm/hv.h>

/* Offsets in the capability and their bits [PCI 6.8.1.1 - 6.8.1.10]. */
enum { CAP_ID = 0, CAP_NEXT = 1, CONTROL = 2, ADDR = 4, DATA = 12, MASK = 16, PENDING = 20 };
enum { ID_MSI = 5, CONTROL_ENABLE = 0x01, CONTROL_MME = 0x70, CONTROL_64 = 0x80, CONTROL_MASKABLE = 0x100 };
enum { STATUS_CAPS = 0x10, PLAIN_BYTES = 14, MASKABLE_BYTES = 24 };

void pci_msi_init(struct pci_msi *msi, struct pci_func *func, struct hv *hv, uint8_t cap, bool maskable)
{
    unsigned bytes = maskable ? MASKABLE_BYTES : PLAIN_BYTES;
    uint8_t *reset = func->reset + cap, *wmask = func->wmask + cap;
    assert(cap >= 0x40 && cap % 4 == 0 && cap + bytes <= PCI_CONFIG_BYTES);
    *msi = (struct pci_msi){ .func = func, .hv = hv, .cap = cap, .maskable = maskable };
    for (unsigned i = 0; i < bytes; i++)
        reset[i] = wmask[i] = 0;
    reset[CAP_ID] = ID_MSI;
    reset[CAP_NEXT] = func->reset[PCI_CAP_PTR]; /* to the front of the list */
    le16_put(reset + CONTROL, CONTROL_64 | (maskable ? CONTROL_MASKABLE : 0));
    func->reset[PCI_CAP_PTR] = cap;
    func->reset[PCI_STATUS] |= STATUS_CAPS;
    wmask[CONTROL] = CONTROL_ENABLE | CONTROL_MME;
    le64_put(wmask + ADDR, ~UINT64_C(3));
    le16_put(wmask + DATA, 0xffff);
    if (maskable) {
        wmask[MASK] = 1;
        func->hwmask[cap + PENDING] = 1;
    }
    for (unsigned i = 0; i < bytes; i++)
        func->config[cap + i] = reset[i];
    func->config[PCI_CAP_PTR] = func->reset[PCI_CAP_PTR];
    func->config[PCI_STATUS] |= STATUS_CAPS;
}

bool pci_msi_enabled(const struct pci_msi *msi)
{
    return msi->func->config[msi->cap + CONTROL] & CONTROL_ENABLE;
}

static bool masked(const struct pci_msi *msi)
{
    const uint8_t *cap = msi->func->config + msi->cap;
    /* Vector 0 names a pirq of a Xen guest, which masks its event channel instead. */
    return msi->maskable && (cap[MASK] & 1) && cap[DATA] != 0;
}

void pci_msi_raise(struct pci_msi *msi)
{
    uint8_t *cap = msi->func->config + msi->cap;
    if (!pci_msi_enabled(msi))
        return;
    if (masked(msi)) {
        cap[PENDING] |= 1;
        return;
    }
    if (msi->maskable)
        cap[PENDING] = 0;
    /* A message that the hypervisor refuses was addressed to nowhere: the guest programmed it so. */
    (void)msi->hv->ops->msi(msi->hv, le64_get(cap + ADDR), le16_get(cap + DATA));
}

void pci_msi_config_written(struct pci_msi *msi)
{
    uint8_t *cap = msi->func->config + msi->cap;
    if (!msi->maskable || !(cap[PENDING] & 1))
        return;
    if (!pci_msi_enabled(msi))
        cap[PENDING] = 0; /* the interrupt goes the INTx way now */
    else if (!masked(msi))
        pci_msi_raise(msi);
}
