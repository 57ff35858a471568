// SPDX-License-Identifier: GPL-2.0
/*
 * hmm_range_fault() on VM_P2P mappings, and on device-private memory that has an address
 * on the bus.
 *
 * A caller that sets hmm_range.p2p_dev to its device gets the entries of
 * peer-to-peer memory to which the device has a route. It gets no references:
 * when the memory is revoked, moved or unmapped, the caller's MMU notifier is
 * called, and the device stops using the memory, as for any other memory that
 * it mirrors.
 *
 * hmm_range_fault() reads entries without a lock, because a later change makes
 * its caller start over. But without a reference, the struct page, and
 * everything that it points to, exists only as long as the entry does. So the
 * route is looked up under the lock of the page table: a revocation has to zap
 * the entry first.
 *
 * Device-private memory of another device is peer-to-peer memory, too, if it
 * lies behind a BAR. The private page has no address on the bus; the p2p_page()
 * method of its page map, provided by its owner, returns the page of the BAR.
 * The rules for the method:
 *
 * - It is called under the lock of the page table with the entry of the private
 *   page. It does not sleep, and takes no lock that is held anywhere while
 *   waiting for a page table or a page.
 * - It takes no reference. From the time that a page table has the private page
 *   until the MMU notifiers were called for each of its addresses, its data
 *   stay in the page that the method returns. So before the owner moves the
 *   data or releases the BAR, for example when its driver is unbound, it
 *   migrates the memory or waits for its last user.
 * - Meanwhile, devices may read and write the data there at any time.
 * - An error may be temporary. Its only effect is migration to RAM, as for
 *   callers that don't set p2p_dev. The method returns an error for a BAR
 *   without struct pages, because struct hmm_range has no entries for such
 *   memory.
 */

#include <linux/dma-map-ops.h>
#include <linux/err.h>
#include <linux/hmm.h>
#include <linux/huge_mm.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/p2pdma-map.h>
#include <linux/pgtable.h>
#include <linux/swap.h>
#include <linux/swapops.h>

#include "internal.h"

/**
 * p2p_hmm_route() - find the route from the caller's device to mapped memory
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

/* Called under the lock of @entry's page table. Returns as p2p_hmm_route(). */
static int p2p_hmm_find_place(const struct hmm_range *range, swp_entry_t entry,
			      unsigned long *hmm_pfn)
{
	struct page *page = pfn_swap_entry_to_page(entry);
	const struct dev_pagemap_ops *ops = page_pgmap(page)->ops;
	unsigned long flags = HMM_PFN_VALID;
	struct page *place;

	if (!ops->p2p_page)
		return -EREMOTEIO;
	place = ops->p2p_page(page);
	if (IS_ERR_OR_NULL(place) || WARN_ON_ONCE(!is_pci_p2pdma_page(place)))
		return -EREMOTEIO;
	if (p2p_hmm_route(range, page_to_pfn(place), 1, &flags))
		return -EREMOTEIO;
	if (is_writable_device_private_entry(entry))
		flags |= HMM_PFN_WRITE;
	*hmm_pfn = page_to_pfn(place) | flags;
	return 0;
}

/**
 * p2p_hmm_private() - find another device's private memory in its BAR
 * @range: what hmm_range_fault() was called with; p2p_dev is set
 * @mm: the address space
 * @pmdp: the entry of the page table
 * @ptep: where the entry was read
 * @pte: the entry, of a device-private page; it was read without a lock
 * @hmm_pfn: where to store the output entry
 *
 * Context: The caller holds the mmap_lock.
 * Return: 0; -EREMOTEIO if the owner returns no page, or the device can't reach
 *	   it; -EBUSY if the entry has changed.
 */
int p2p_hmm_private(const struct hmm_range *range, struct mm_struct *mm,
		    pmd_t *pmdp, pte_t *ptep, pte_t pte, unsigned long *hmm_pfn)
{
	spinlock_t *ptl = pte_lockptr(mm, pmdp);
	int error = -EBUSY;

	spin_lock(ptl);
	if (pte_same(ptep_get(ptep), pte))
		error = p2p_hmm_find_place(range, pte_to_swp_entry(pte), hmm_pfn);
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
