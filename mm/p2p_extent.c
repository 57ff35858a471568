// SPDX-License-Identifier: GPL-2.0
/*
 * Runs and extents of user memory, instead of arrays of pages.
 *
 * Device memory is contiguous, and so are its mappings; an array of pages is a
 * wasteful description of both. These functions return ranges of a VM_P2P
 * mapping, at a cost that depends on the number of folios, not of pages.
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
static long p2p_run(struct mm_struct *mm, unsigned long addr, unsigned long max,
		    unsigned int gup_flags, bool locked, struct page **page)
{
	struct dev_pagemap *held = NULL;
	unsigned long irq;
	long nr;

	local_irq_save(irq);
	nr = gup_device_run(mm, addr & PAGE_MASK, max, gup_flags, locked,
			    &held, page);
	local_irq_restore(irq);

	/* ZONE_DEVICE memory of another type. */
	if (unlikely(held)) {
		if (nr > 0)
			gup_put_folio(page_folio(*page), 1, gup_flags);
		put_dev_pagemap(held);
		nr = 0;
	}
	return nr;
}

/* Returns how many of the @len bytes from @start on lie in the first @nr pages. */
static size_t p2p_run_len(unsigned long start, size_t len, unsigned long nr)
{
	return min_t(size_t, len, nr * PAGE_SIZE - offset_in_page(start));
}

static struct dev_pagemap *p2p_run_pgmap(unsigned long pfn)
{
	return page_folio(pfn_to_page(pfn))->page.pgmap;
}

/*
 * Takes the folios of a range up to the first page that is not physically contiguous
 * with those before it or has another provider. Interrupts are enabled between
 * the steps.
 */
static unsigned long p2p_run_pages(unsigned long addr, unsigned long nr_pages,
				   unsigned int flags, unsigned long *first)
{
	unsigned long done = 0, irq, pfn;
	long nr;

	while (done < nr_pages) {
		local_irq_save(irq);
		nr = gup_device_pages(current->mm, addr + done * PAGE_SIZE,
				      nr_pages - done, flags, false, NULL, &pfn);
		local_irq_restore(irq);
		if (nr <= 0)
			break;
		if (!done)
			*first = pfn;
		if (pfn != *first + done ||
		    p2p_run_pgmap(pfn) != p2p_run_pgmap(*first)) {
			gup_device_release(pfn, nr, flags, false);
			break;
		}
		/* The folio has its reference from the previous step. */
		if (done && PageTail(pfn_to_page(pfn)))
			gup_put_folio(page_folio(pfn_to_page(pfn)), 1, flags);
		done += nr;
	}
	return done;
}

/* Releases the folios of a run that contain none of its first @used pages. */
static void p2p_run_trim(unsigned long first, unsigned long nr_pages,
			 unsigned long used, unsigned int flags)
{
	if (used) {
		struct page *last = pfn_to_page(first + used - 1);
		struct folio *folio = page_folio(last);

		used += folio_nr_pages(folio) - folio_page_idx(folio, last) - 1;
	}
	if (used < nr_pages)
		gup_device_release(first + used, nr_pages - used, flags, false);
}

/**
 * get_user_p2p_run() - get the pages of a range, for a bio_vec
 * @start: user address
 * @len: length of the range, in bytes, at least 1
 * @block: the length is rounded down to a multiple of this, in bytes; a power of two
 * @gup_flags: FOLL_WRITE if the device writes to the memory, or 0
 * @page: where to store the first page
 *
 * For callers that keep a physically contiguous range without an array of pages, and
 * with one reference to each folio. Only finds memory that is mapped already.
 *
 * Context: Any, with the address space of the caller.
 * Return: how many bytes from @start on are peer-to-peer memory of one provider
 *	   and physically contiguous. The caller drops the references by
 *	   put_user_p2p_run(). 0 if the memory is of another kind or is not mapped yet;
 *	   use get_user_pages() then.
 */
size_t get_user_p2p_run(unsigned long start, size_t len, size_t block,
			unsigned int gup_flags, struct page **page)
{
	unsigned int flags = gup_flags | FOLL_GET | FOLL_PCI_P2PDMA;
	unsigned long first, nr, used;

	start = untagged_addr(start);
	if (!access_ok((void __user *)start, len))
		return 0;

	nr = p2p_run_pages(start & PAGE_MASK,
			   PFN_UP(offset_in_page(start) + len), flags, &first);
	if (!nr)
		return 0;

	*page = pfn_to_page(first);
	len = ALIGN_DOWN(p2p_run_len(start, len, nr), block);
	/* Whole blocks only; the pages after the last one are not needed. */
	used = len ? PFN_UP(offset_in_page(start) + len) : 0;
	p2p_run_trim(first, nr, used, flags);
	return len;
}
EXPORT_SYMBOL_GPL(get_user_p2p_run);

/**
 * put_user_p2p_run() - release what get_user_p2p_run() returned
 * @page: the first page
 * @nr_pages: how many pages the range touches
 *
 * Drops one reference to each folio.
 *
 * Context: Any but NMI.
 */
void put_user_p2p_run(struct page *page, unsigned long nr_pages)
{
	gup_device_release(page_to_pfn(page), nr_pages, FOLL_GET, false);
}
EXPORT_SYMBOL_GPL(put_user_p2p_run);

/*
 * Faults in the page at @addr. Returns 0 when it is mapped; -EAGAIN after
 * dropping the mmap_lock, so that the caller looks up the VMA again; -EBUSY if
 * the fault would have to wait and @held forbids that.
 */
static int p2p_run_fault(struct vm_area_struct *vma, unsigned long addr,
			 unsigned int gup_flags, bool held)
{
	unsigned int flags = FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_KILLABLE;
	vm_fault_t ret;

	if (gup_flags & FOLL_NOFAULT)
		return -EFAULT;
	if (gup_flags & FOLL_WRITE)
		flags |= FAULT_FLAG_WRITE;
	if (held)
		flags |= FAULT_FLAG_RETRY_NOWAIT;

	ret = handle_mm_fault(vma, addr, flags, NULL);
	if (ret & VM_FAULT_COMPLETED)
		return -EAGAIN;
	if (ret & VM_FAULT_RETRY)
		return held ? -EBUSY : -EAGAIN;
	return vm_fault_to_errno(ret, gup_flags);
}

/*
 * Takes a run where the page tables have no entry yet, or one that does not
 * permit the access. If the caller already holds pages (@held), returns 0
 * instead of waiting for more, because the reset of a device waits for pages
 * that are held.
 */
static long p2p_run_slow(unsigned long start, unsigned long max,
			 unsigned int gup_flags, bool held, struct page **page)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	unsigned long nr_pages;
	long nr;

again:
	nr = mmap_read_lock_killable(mm);
	if (nr)
		return nr;

	vma = vma_lookup(mm, start);
	if (!vma) {
		nr = -EFAULT;
		goto unlock;
	}
	/* The caller goes on with get_user_pages(). */
	if (!vma_is_p2p(vma))
		goto unlock;

	nr = p2p_gup_check_vma(vma, gup_flags);
	if (nr)
		goto unlock;

	nr_pages = min(max, PFN_DOWN(vma->vm_end - (start & PAGE_MASK)));
	do {
		nr = fatal_signal_pending(current) ? -EINTR :
		     p2p_run_fault(vma, start, gup_flags, held);
		if (nr == -EAGAIN)
			goto again;
		if (nr)
			break;
		nr = p2p_run(mm, start, nr_pages, gup_flags, true, page);
	} while (!nr);
	if (nr == -EBUSY)
		nr = 0;
unlock:
	mmap_read_unlock(mm);
	return nr;
}

/**
 * pin_user_p2p_extents() - pin a range of user memory as extents
 * @start: user address
 * @len: length of the range, in bytes, at least 1
 * @gup_flags: FOLL_WRITE if the device writes to the memory, FOLL_NOFAULT to
 *	       not fault in memory, and FOLL_NOWAIT to not wait for the end of a
 *	       reset
 * @extents: where to store the extents
 * @max: how many extents there is room for, at least 1
 *
 * pin_user_pages() for VM_P2P mappings, without an array of pages. An extent is a
 * contiguous part of one folio and has one pin, however long it is. The time depends
 * on the number of folios: pinning or unpinning 1 GiB in one folio takes less than
 * 600 instructions. FOLL_PCI_P2PDMA is implied, and its rules apply.
 *
 * Context: Process context, with the address space of the caller. May sleep.
 * Return: how many extents were pinned. They may cover less than @len, if @max is too
 *	   small or memory of another kind follows. 0 if the memory at @start is of
 *	   another kind, use pin_user_pages() then, or with FOLL_NOWAIT, if its device is
 *	   being reset. -EFAULT if nothing is mapped there, or the access is not
 *	   permitted; -EINTR after a fatal signal; -ENOMEM without memory for a
 *	   page table, or if a folio has too many references; -EINVAL for other
 *	   flags.
 */
int pin_user_p2p_extents(unsigned long start, size_t len,
			 unsigned int gup_flags, struct p2p_extent *extents,
			 unsigned int max)
{
	unsigned int flags = (gup_flags & ~FOLL_NOWAIT) | FOLL_PIN | FOLL_PCI_P2PDMA;
	bool nowait = gup_flags & FOLL_NOWAIT;
	unsigned int i = 0;
	long nr = 0;

	if (WARN_ON_ONCE(gup_flags & ~(FOLL_WRITE | FOLL_NOFAULT | FOLL_NOWAIT)))
		return -EINVAL;

	start = untagged_addr(start);
	if (!access_ok((void __user *)start, len))
		return -EFAULT;

	while (len && i < max) {
		unsigned long pages = PFN_UP(offset_in_page(start) + len);
		struct page *page;

		nr = p2p_run(current->mm, start, pages, flags, false, &page);
		if (!nr)
			nr = p2p_run_slow(start, pages, flags, i || nowait, &page);
		if (nr <= 0)
			break;

		extents[i].folio = page_folio(page);
		extents[i].offset = folio_page_idx(extents[i].folio, page) *
				    PAGE_SIZE + offset_in_page(start);
		extents[i].len = p2p_run_len(start, len, nr);
		start += extents[i].len;
		len -= extents[i].len;
		i++;
	}
	return i ? i : nr;
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
