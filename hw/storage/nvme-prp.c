/*
 * Physical region pages: where in guest memory the data of a command are [NVMe 4.3]. The list is copied once, checked,
 * and only the copy is used.
 */
#include "nvme-private.h"

#include <assert.h>

enum { PRP_BYTES = 8, PRP1_ALIGN = 3, LIST_ALIGN = PRP_BYTES - 1, PAGE_OFFSET = NVME_PAGE - 1 };

/* nr entries of the list at addr. The last entry of a page of it points to the next page if more are needed. */
static uint16_t load_list(struct nvme *s, uint64_t *page, uint64_t addr, uint32_t nr)
{
    uint8_t raw[NVME_MAX_PRPS * PRP_BYTES];
    if (addr & LIST_ALIGN)
        return NVME_BAD_PRP_OFFSET;
    while (nr > 0) {
        uint32_t room = (uint32_t)(NVME_PAGE - addr % NVME_PAGE) / PRP_BYTES;
        bool chained = nr > room;
        uint32_t take = chained ? room : nr; /* at most as many as are needed: raw has room */
        if (mem_read(s->mem, addr, raw, (size_t)take * PRP_BYTES))
            return NVME_TRANSFER_ERROR;
        for (uint32_t i = 0; i < take; i++) {
            uint64_t entry = le64_get(raw + (size_t)i * PRP_BYTES);
            if (entry & PAGE_OFFSET)
                return NVME_BAD_PRP_OFFSET;
            if (chained && i == take - 1)
                addr = entry; /* a whole page of entries: there is no third one */
            else
                *page++ = entry;
        }
        nr -= chained ? take - 1 : take;
    }
    return NVME_OK;
}

uint16_t nvme_prps_load(struct nvme *s, struct nvme_prps *p, uint64_t prp1, uint64_t prp2, uint64_t len)
{
    assert(len > 0 && len <= NVME_MAX_TRANSFER);
    p->len = len;
    p->page[0] = prp1;
    uint64_t first = NVME_PAGE - prp1 % NVME_PAGE;
    if (prp1 & PRP1_ALIGN)
        return NVME_BAD_PRP_OFFSET;
    if (len <= first)
        return NVME_OK;
    uint32_t more = (uint32_t)((len - first + NVME_PAGE - 1) / NVME_PAGE);
    if (more > 1)
        return load_list(s, p->page + 1, prp2, more);
    p->page[1] = prp2;
    return prp2 & PAGE_OFFSET ? NVME_BAD_PRP_OFFSET : NVME_OK;
}

uint64_t nvme_prps_at(const struct nvme_prps *p, uint64_t off, uint64_t *run)
{
    assert(off < p->len);
    uint64_t pos = p->page[0] % NVME_PAGE + off; /* from the start of the first page */
    uint64_t i = pos / NVME_PAGE, left = p->len - off;
    uint64_t addr = p->page[i] - (i == 0 ? p->page[0] % NVME_PAGE : 0) + pos % NVME_PAGE;
    uint64_t len = NVME_PAGE - pos % NVME_PAGE;
    while (len < left && p->page[i + 1] == addr + len) {
        len += NVME_PAGE;
        i++;
    }
    *run = min_u64(len, left);
    return addr;
}

uint16_t nvme_prps_read(struct nvme *s, const struct nvme_prps *p, uint64_t off, void *to, size_t len)
{
    uint8_t *at = to;
    uint64_t run;
    assert(off <= p->len && len <= p->len - off);
    for (; len > 0; off += run, at += run, len -= run) {
        uint64_t addr = nvme_prps_at(p, off, &run);
        run = min_u64(run, len);
        if (mem_read(s->mem, addr, at, run))
            return NVME_TRANSFER_ERROR;
    }
    return NVME_OK;
}

uint16_t nvme_prps_write(struct nvme *s, const struct nvme_prps *p, uint64_t off, const void *from, size_t len)
{
    const uint8_t *at = from;
    uint64_t run;
    assert(off <= p->len && len <= p->len - off);
    for (; len > 0; off += run, at += run, len -= run) {
        uint64_t addr = nvme_prps_at(p, off, &run);
        run = min_u64(run, len);
        if (mem_write(s->mem, addr, at, run))
            return NVME_TRANSFER_ERROR;
    }
    return NVME_OK;
}
