// SPDX-License-Identifier: GPL-2.0
/*
 * hmm_range_fault() on VM_P2P mappings, and on device-private memory that has an address
 * on the bus.
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
 *
 * Device-private memory of another device is the same kind of memory if it lies behind a
 * BAR: the private page, to which no address belongs, only stands for it. Its owner tells the
 * page of the BAR by the method p2p_page() of its page map. The rules for the method:
 *
 * - It is called with the page table locked that has the entry of the private page. It does
 *   not sleep, and takes no lock with which anybody waits for a page table or a page.
 * - It takes no reference. From the time that the private page is in a page table, the
 *   page that is returned is where its data are, until the MMU notifiers were called for each
 *   address where it is. So the owner migrates memory, or waits for its last user,
 *   before it moves the data or lets go of the BAR, as when its driver is unbound.
 * - The data may be read and written there at any time meanwhile, by a device.
 * - An error may be temporary. It has no consequence but migration to RAM, which is
 *   what everybody gets who names no device. Memory without struct pages is such a case:
 *   there is no entry of struct hmm_range for it.
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

/* With the page table locked that has @entry. Returns an error as p2p_hmm_route(). */
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
 * p2p_hmm_private() - look for device-private memory of another device in its BAR
 * @range: what hmm_range_fault() was called with; it names a device
 * @mm: the address space
 * @pmdp: the entry of the page table
 * @ptep: where the entry was read
 * @pte: the entry, of a device-private page; it was read without a lock
 * @hmm_pfn: where to store the output entry
 *
 * Context: The caller holds the mmap_lock.
 * Return: 0; -EREMOTEIO if the owner does not tell a place, or the device can't reach it;
 *	   -EBUSY if the entry has changed.
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
