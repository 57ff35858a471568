// SPDX-License-Identifier: GPL-2.0
/*
 * hmm_range_fault() on VM_P2P mappings.
 *
 * A caller that names its device in hmm_range.p2p_dev gets the entries of peer-to-peer
 * memory that the device has a route to. It gets no references: when the memory is
 * revoked, moved or unmapped, its MMU notifier is called, and it lets go as it does of
 * any other memory that it mirrors.
 *
 * hmm_range_fault() reads entries without a lock, because a later change would make
 * its caller start over. But without a reference, the struct page, and all that it
 * leads to, exists only as long as the entry does. So the route is looked for with the
 * page table locked: whoever revokes the memory has to zap the entry first.
 */

#include <linux/dma-map-ops.h>
#include <linux/hmm.h>
#include <linux/huge_mm.h>
#include <linux/mm.h>
#include <linux/p2pdma-map.h>
#include <linux/pgtable.h>

#include "internal.h"

/**
 * p2p_hmm_route() - look for the route from the caller's device to mapped memory
 * @range: what hmm_range_fault() was called with
 * @pfn: page frame number of the first page
 * @nr_pages: how many, mapped by one entry
 * @flags: flags of the output entries, to which those of the route are added
 *
 * Context: The page table that maps the pages is locked.
 * Return: 0; -EREMOTEIO if the device can't reach all of the memory.
 */
int p2p_hmm_route(const struct hmm_range *range, unsigned long pfn,
		  unsigned long nr_pages, unsigned long *flags)
{
	switch (pci_p2pdma_find_route(range->p2p_dev, pfn_to_page(pfn), 0,
				      nr_pages << PAGE_SHIFT)) {
	case PCI_P2PDMA_MAP_BUS_ADDR:
		*flags |= HMM_PFN_P2PDMA | HMM_PFN_P2PDMA_BUS;
		return 0;
	case PCI_P2PDMA_MAP_THRU_HOST_BRIDGE:
		*flags |= HMM_PFN_P2PDMA;
		return 0;
	default:
		return -EREMOTEIO;
	}
}

/**
 * p2p_hmm_pte() - p2p_hmm_route() for a page table entry that was read without a lock
 * @range: as for p2p_hmm_route()
 * @mm: the address space
 * @pmdp: the entry of the page table
 * @ptep: where the entry was read
 * @pte: the entry; it is present
 * @flags: as for p2p_hmm_route()
 *
 * Context: The caller holds the mmap_lock.
 * Return: as p2p_hmm_route(); -EBUSY if the entry has changed.
 */
int p2p_hmm_pte(const struct hmm_range *range, struct mm_struct *mm,
		pmd_t *pmdp, pte_t *ptep, pte_t pte, unsigned long *flags)
{
	spinlock_t *ptl = pte_lockptr(mm, pmdp);
	int error = -EBUSY;

	spin_lock(ptl);
	if (pte_same(ptep_get(ptep), pte))
		error = p2p_hmm_route(range, pte_pfn(pte), 1, flags);
	spin_unlock(ptl);
	return error;
}

#ifdef CONFIG_TRANSPARENT_HUGEPAGE
/**
 * p2p_hmm_pmd() - p2p_hmm_route() for a huge entry that was read without a lock
 * @range: as for p2p_hmm_route()
 * @vma: the mapping
 * @pmdp: where the entry was read
 * @pmd: the entry
 * @pfn: as for p2p_hmm_route(); a page that the entry maps
 * @nr_pages: as for p2p_hmm_route()
 * @flags: as for p2p_hmm_route()
 *
 * Context: The caller holds the mmap_lock.
 * Return: as p2p_hmm_route(); -EBUSY if the entry has changed.
 */
int p2p_hmm_pmd(const struct hmm_range *range, struct vm_area_struct *vma,
		pmd_t *pmdp, pmd_t pmd, unsigned long pfn,
		unsigned long nr_pages, unsigned long *flags)
{
	spinlock_t *ptl = pmd_lock(vma->vm_mm, pmdp);
	int error = -EBUSY;

	if (pmd_same(READ_ONCE(*pmdp), pmd))
		error = p2p_hmm_route(range, pfn, nr_pages, flags);
	spin_unlock(ptl);
	return error;
}
#endif
