// SPDX-License-Identifier: GPL-2.0
/*
 * Ranges of user memory, instead of pages.
 *
 * Memory of a device is contiguous, and so are its mappings: an array of pages is
 * a long way to say so. These functions return a range of a VM_P2P mapping as it
 * is, for a cost that depends on the number of folios and not on that of pages.
 */

#include <linux/export.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sched/coredump.h>
#include <linux/uaccess.h>
#include <linux/vm_p2p.h>

#include "internal.h"

/* Returns the pages of one folio that are mapped at @addr, with one reference. */
static unsigned long p2p_run(struct mm_struct *mm, unsigned long addr,
			     unsigned long max, unsigned int gup_flags,
			     bool locked, struct page **page)
{
	struct dev_pagemap *held = NULL;
	unsigned long irq, nr;

	local_irq_save(irq);
	nr = gup_device_run(mm, addr & PAGE_MASK, max, gup_flags, locked,
			    &held, page);
	local_irq_restore(irq);

	/* Device memory of another kind. */
	if (unlikely(held)) {
		if (nr)
			gup_put_folio(page_folio(*page), 1, gup_flags);
		put_dev_pagemap(held);
		nr = 0;
	}
	return nr;
}

/* How many bytes do @nr pages hold from @start on, up to @len of them? */
static size_t p2p_run_len(unsigned long start, size_t len, unsigned long nr)
{
	return min_t(size_t, len, nr * PAGE_SIZE - offset_in_page(start));
}

/**
 * get_user_p2p_run() - get the pages of a range, as a bio_vec keeps them
 * @start: user address
 * @len: length of the range, in bytes, at least 1
 * @block: the result shall be a multiple of it, in bytes; a power of two
 * @gup_flags: FOLL_WRITE if the device writes to the memory, or 0
 * @page: where to store the first page
 *
 * For those who keep physically contiguous memory without its pages, but with a
 * reference for each. Looks only at what is mapped already.
 *
 * Context: Any, with the address space of the caller.
 * Return: how many bytes from @start on are peer-to-peer memory of one provider
 *	   and physically contiguous. Each page among them has one more reference,
 *	   for put_page(), or for folio_put_refs() of a folio's together. 0 if the
 *	   memory is of another kind, or has not been touched yet:
 *	   get_user_pages() finds out.
 */
size_t get_user_p2p_run(unsigned long start, size_t len, size_t block,
			unsigned int gup_flags, struct page **page)
{
	unsigned int flags = gup_flags | FOLL_GET | FOLL_PCI_P2PDMA;
	unsigned long irq, first, nr, used;

	start = untagged_addr(start);
	if (!access_ok((void __user *)start, len))
		return 0;

	local_irq_save(irq);
	nr = gup_device_pages(current->mm, start & PAGE_MASK,
			      PFN_UP(offset_in_page(start) + len), flags,
			      false, NULL, &first);
	local_irq_restore(irq);
	if (!nr)
		return 0;

	*page = pfn_to_page(first);
	len = ALIGN_DOWN(p2p_run_len(start, len, nr), block);
	/* Unless a block ends where it ends. */
	for (used = len ? PFN_UP(offset_in_page(start) + len) : 0; used < nr; nr--)
		gup_put_folio(page_folio(pfn_to_page(first + nr - 1)), 1, flags);
	return len;
}
EXPORT_SYMBOL_GPL(get_user_p2p_run);

/* What the page tables don't show yet, or not with the protection it needs. */
static unsigned long p2p_run_slow(unsigned long start, unsigned long max,
				  unsigned int gup_flags, struct page **page,
				  int *error)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	unsigned long nr = 0;

	*error = mmap_read_lock_killable(mm);
	if (*error)
		return 0;

	vma = vma_lookup(mm, start);
	if (!vma) {
		*error = -EFAULT;
		goto unlock;
	}
	/* Not ours: get_user_pages() knows what else there is. */
	if (!vma_is_p2p(vma))
		goto unlock;

	*error = p2p_gup_check_vma(vma, gup_flags);
	if (*error < 0)
		goto unlock;

	max = min(max, PFN_DOWN(vma->vm_end - (start & PAGE_MASK)));
	do {
		*error = p2p_fault_in(vma, start, gup_flags);
		if (*error)
			break;
		nr = p2p_run(mm, start, max, gup_flags, true, page);
	} while (!nr && !fatal_signal_pending(current));
	if (!nr && !*error)
		*error = -EINTR;
unlock:
	mmap_read_unlock(mm);
	return nr;
}

/**
 * pin_user_p2p_extents() - pin a range of user memory as extents
 * @start: user address
 * @len: length of the range, in bytes, at least 1
 * @gup_flags: FOLL_WRITE if the device writes to the memory, and FOLL_NOFAULT to
 *	       leave memory alone that was not touched yet
 * @extents: where to store what was found
 * @max: how many extents there is room for, at least 1
 *
 * pin_user_pages() for VM_P2P mappings, without the pages. An extent lies in one
 * folio, is contiguous, and has one pin, however long it is: the caller releases
 * it with unpin_user_p2p_extents(), and needs neither an array of pages nor to
 * find out which of them are neighbours. The rules for the memory are those of
 * FOLL_PCI_P2PDMA, which is implied.
 *
 * Context: Process context, with the address space of the caller. May sleep.
 * Return: how many extents were pinned. Together they may be shorter than @len:
 *	   for lack of room, or because memory of another kind follows. 0 if the
 *	   memory at @start is of another kind, for which there is
 *	   pin_user_pages(). -EFAULT if there is no memory, or if it does not
 *	   permit the access; -EINTR after a fatal signal; -ENOMEM; -EINVAL for
 *	   other flags.
 */
int pin_user_p2p_extents(unsigned long start, size_t len,
			 unsigned int gup_flags, struct p2p_extent *extents,
			 unsigned int max)
{
	unsigned int flags = gup_flags | FOLL_PIN | FOLL_PCI_P2PDMA;
	unsigned int i = 0;
	int error = 0;

	if (WARN_ON_ONCE(gup_flags & ~(FOLL_WRITE | FOLL_NOFAULT)))
		return -EINVAL;

	start = untagged_addr(start);
	if (!access_ok((void __user *)start, len))
		return -EFAULT;

	while (len && i < max) {
		unsigned long nr, pages = PFN_UP(offset_in_page(start) + len);
		struct page *page;

		nr = p2p_run(current->mm, start, pages, flags, false, &page);
		if (!nr)
			nr = p2p_run_slow(start, pages, flags, &page, &error);
		if (!nr)
			break;

		extents[i].folio = page_folio(page);
		extents[i].offset = folio_page_idx(extents[i].folio, page) *
				    PAGE_SIZE + offset_in_page(start);
		extents[i].len = p2p_run_len(start, len, nr);
		start += extents[i].len;
		len -= extents[i].len;
		i++;
	}
	return i ? i : error;
}
EXPORT_SYMBOL_GPL(pin_user_p2p_extents);

/**
 * unpin_user_p2p_extents() - release what pin_user_p2p_extents() pinned
 * @extents: the extents
 * @nr: how many
 *
 * Context: Any but NMI.
 */
void unpin_user_p2p_extents(const struct p2p_extent *extents, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		gup_put_folio(extents[i].folio, 1, FOLL_PIN);
}
EXPORT_SYMBOL_GPL(unpin_user_p2p_extents);
