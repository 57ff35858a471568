// SPDX-License-Identifier: GPL-2.0
/*
 * get_user_pages() on VM_P2P mappings.
 *
 * Only callers with FOLL_PCI_P2PDMA get the pages of a VM_P2P mapping. Walks under the
 * mmap_lock decide that once per VMA, in p2p_gup_check(). The lockless walk has
 * no VMA, so gup_device_allowed() asks the page map of each entry; a refusal there
 * is not final, since the walk under the mmap_lock follows, decides again, and
 * returns the proper error.
 *
 * /proc/vmstat counts the pages that walks find, by type of walk, and the
 * refused calls. The tracepoints of vm_p2p report each of these events.
 */

#define pr_fmt(fmt) "p2p: " fmt
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/mmu_context.h>
#include <linux/p2p_ratelimit.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/string.h>
#include <linux/vm_p2p.h>
#include <linux/vmstat.h>

#include "internal.h"

#define CREATE_TRACE_POINTS
#include <trace/events/vm_p2p.h>

/**
 * p2p_gup_found() - count peer-to-peer pages that a walk found
 * @pgmap: their page map; pages of other types are not counted
 * @pfn: page frame number of the first
 * @nr_pages: how many, physically contiguous
 * @gup_flags: the FOLL_* flags of the walk
 * @locked: whether the walk held the mmap_lock
 *
 * Context: Any.
 */
void p2p_gup_found(const struct dev_pagemap *pgmap, unsigned long pfn,
		   unsigned long nr_pages, unsigned int gup_flags, bool locked)
{
	if (pgmap->type != MEMORY_DEVICE_PCI_P2PDMA)
		return;

	if (locked) {
		count_vm_events(P2P_GUP_LOCKED, nr_pages);
		trace_p2p_gup_locked(pfn, nr_pages, gup_flags);
	} else {
		count_vm_events(P2P_GUP_FAST, nr_pages);
		trace_p2p_gup_fast(pfn, nr_pages, gup_flags);
	}
}

static int p2p_gup_refused(const struct vm_area_struct *vma,
			   unsigned int gup_flags, int error)
{
	count_vm_event(P2P_GUP_REFUSED);
	trace_p2p_gup_refused(vma, gup_flags, error);
	return error;
}

/*
 * Does the walk inspect the mapping rather than transfer data? Then its refusal
 * needs no log line. A walk with FOLL_DUMP asks what is mapped, for example for
 * move_pages(), and ptrace() falls back to the mapping's access() method. KVM,
 * the only caller with FOLL_HWPOISON that takes references, maps memory without
 * struct pages into guests by the process's page table entries.
 */
static bool p2p_gup_is_inspection(const struct vm_area_struct *vma,
				  unsigned int gup_flags)
{
	if (gup_flags & FOLL_DUMP)
		return true;
	if (gup_flags & FOLL_HWPOISON && !p2p_vma_has_pages(vma))
		return true;

	return (gup_flags & FOLL_REMOTE) && !(gup_flags & FOLL_PIN) &&
	       vma->vm_ops && vma->vm_ops->access;
}

static int p2p_gup_not_here(const struct vm_area_struct *vma,
			    unsigned int gup_flags, const char *why)
{
	if (!p2p_gup_is_inspection(vma, gup_flags))
		pr_p2p_notice("%s[%d]: peer-to-peer memory of %pD can't be used here: %s\n",
			      current->comm, task_pid_nr(current), vma->vm_file,
			      why);
	return p2p_gup_refused(vma, gup_flags, -EREMOTEIO);
}

/*
 * May get_user_pages() return the pages of a mapping? Walks that take no reference, as
 * for MAP_POPULATE and mlock(), always may: they only fill the page tables.
 * FOLL_LONGTERM is refused because such a pin could not be revoked when the
 * provider is removed.
 */
static int p2p_gup_check(const struct vm_area_struct *vma,
			 unsigned int gup_flags)
{
	if (!(gup_flags & (FOLL_GET | FOLL_PIN)))
		return 0;

	if (!p2p_vma_has_pages(vma))
		return p2p_gup_not_here(vma, gup_flags,
					"it has no struct pages, and is for drivers that know it as a range");
	if (!(gup_flags & FOLL_PCI_P2PDMA))
		return p2p_gup_not_here(vma, gup_flags,
					"the system call, or the device it is meant for, does not support peer-to-peer DMA");
	if (gup_flags & FOLL_LONGTERM)
		return p2p_gup_refused(vma, gup_flags, -EOPNOTSUPP);
	return 0;
}

/**
 * p2p_gup_check_vma() - check_vma_flags() for a VM_P2P mapping
 * @vma: the mapping
 * @gup_flags: the FOLL_* flags of the walk
 *
 * VM_P2P mappings are shared, and their pages belong to a device: forced writes
 * can't copy a page, and no page is anonymous or secret.
 *
 * Context: The caller holds the mmap_lock.
 * Return: 0 when the walk may go on; -EREMOTEIO if the caller did not pass
 *	   FOLL_PCI_P2PDMA, or if there are no struct pages; -EOPNOTSUPP for
 *	   FOLL_LONGTERM; -EFAULT if the protection of the mapping does not permit
 *	   the access.
 */
int p2p_gup_check_vma(struct vm_area_struct *vma, unsigned int gup_flags)
{
	bool write = gup_flags & FOLL_WRITE;
	int error = p2p_gup_check(vma, gup_flags);

	if (error)
		return error;

	/* Only faults fill the entries of memory without struct pages. */
	if (!p2p_vma_has_pages(vma))
		return -EFAULT;
	if (gup_flags & FOLL_ANON)
		return -EFAULT;
	if (write && !(vma->vm_flags & VM_WRITE))
		return -EFAULT;
	if (!write && !(vma->vm_flags & VM_READ) &&
	    !(gup_flags & FOLL_FORCE && vma->vm_flags & VM_MAYREAD))
		return -EFAULT;
	if (!arch_vma_access_permitted(vma, write, false,
				       gup_flags & FOLL_REMOTE))
		return -EFAULT;
	return 0;
}

/**
 * p2p_gup_hint() - log how to use a device's memory as a buffer
 * @vma: a mapping without struct pages, VM_IO or VM_PFNMAP, but not VM_P2P
 * @gup_flags: the FOLL_* flags of the walk
 *
 * A program that maps the resourceN file of a PCI device to use it as a buffer
 * gets -EFAULT without a reason. Callers without FOLL_PCI_P2PDMA could not use
 * peer-to-peer memory either, so they get no hint.
 *
 * Context: The caller holds the mmap_lock.
 */
void p2p_gup_hint(const struct vm_area_struct *vma, unsigned int gup_flags)
{
	const struct file *file = vma->vm_file;

	if (likely(!(gup_flags & FOLL_PCI_P2PDMA)) || !file ||
	    file_inode(file)->i_sb->s_magic != SYSFS_MAGIC ||
	    !p2p_ratelimit_about(file_inode(file), NULL))
		return;

	pr_notice("%s[%d]: %pD2 can't be the buffer of a transfer; map p2pmem/allocate of the device instead, which the driver p2pmem-bar provides if no other does\n",
		  current->comm, task_pid_nr(current), file);
}

/* Takes at most one page table's worth, to keep interrupts off only briefly. */
static long p2p_follow_batch(struct vm_area_struct *vma, unsigned long addr,
			     unsigned long nr, struct page **pages,
			     unsigned int flags)
{
	unsigned long irq, first;
	long got;

	if (!pages)
		return gup_device_mapped(vma->vm_mm, addr, nr, flags);

	nr = min_t(unsigned long, nr, PTRS_PER_PTE);
	local_irq_save(irq);
	got = gup_device_pages(vma->vm_mm, addr, nr, flags, true, pages,
			       &first);
	local_irq_restore(irq);
	return got;
}

/**
 * p2p_follow_page() - follow_page() for a VM_P2P mapping
 * @vma: the mapping
 * @addr: user address
 * @flags: the FOLL_* flags, with FOLL_GET
 *
 * Context: Process context. The caller holds the mmap_lock.
 * Return: the page, with a reference to it; NULL if it is not mapped; an ERR_PTR() of
 *	   -EREMOTEIO or -EOPNOTSUPP as from p2p_gup_check_vma(), or of -ENOMEM if it has
 *	   too many references.
 */
struct page *p2p_follow_page(struct vm_area_struct *vma, unsigned long addr,
			     unsigned int flags)
{
	int error = p2p_gup_check(vma, flags);
	struct page *page;
	long nr;

	if (error)
		return ERR_PTR(error);
	nr = p2p_follow_batch(vma, addr & PAGE_MASK, 1, &page, flags);
	if (nr < 0)
		return ERR_PTR(nr);
	return nr ? page : NULL;
}

/**
 * p2p_follow_pages() - the walk of get_user_pages() over a VM_P2P mapping
 * @vma: the mapping; p2p_gup_check_vma() permits the walk
 * @pages: where to store the pages; NULL to only fill the page tables
 * @vmas: where to store the mapping of each page, or NULL
 * @start: the user address to begin with; advances with the walk
 * @nr_pages: how many pages are wanted, of this mapping and of those after it; on
 *	      return how many of them are left, or 0 if the walk ends here
 * @i: how many pages the call has found already
 * @gup_flags: the FOLL_* flags of the walk
 * @locked: as for __get_user_pages()
 *
 * As follow_hugetlb_page(): takes the pages of the whole mapping and faults in those
 * that are not mapped.
 *
 * Context: Process context. The caller holds the mmap_lock. If the function
 *	    drops it, it sets *@locked and *@nr_pages to 0.
 * Return: @i plus the number of pages found here. If that is 0, possibly an
 *	   error: -EINTR after a fatal signal; -ENOMEM without memory for a page
 *	   table, or if the first page has too many references; -EFAULT if a
 *	   page can't be mapped, or is not mapped and @gup_flags has
 *	   FOLL_NOFAULT; -EHWPOISON.
 */
long p2p_follow_pages(struct vm_area_struct *vma, struct page **pages,
		      struct vm_area_struct **vmas, unsigned long *start,
		      unsigned long *nr_pages, long i, unsigned int gup_flags,
		      int *locked)
{
	unsigned long addr = *start & PAGE_MASK;
	unsigned long left = min(*nr_pages, (vma->vm_end - addr) >> PAGE_SHIFT);
	long nr, error = 0;

	while (left) {
		if (fatal_signal_pending(current)) {
			error = -EINTR;
			break;
		}
		cond_resched();

		nr = p2p_follow_batch(vma, addr, left,
				      pages ? pages + i : NULL, gup_flags);
		if (nr < 0) {
			error = nr;
			break;
		}
		if (!nr) {
			unsigned int flags = gup_flags;

			/* A reset of the device waits for pages that are held. */
			if ((pages && i) || gup_flags & FOLL_P2P_HELD)
				flags |= FOLL_NOWAIT;
			error = faultin_page(vma, addr, &flags, false, locked);
			if (error)
				break;
			continue;
		}

		addr += nr << PAGE_SHIFT;
		*start += nr << PAGE_SHIFT;
		*nr_pages -= nr;
		left -= nr;
		if (vmas)
			memset_p((void **)(vmas + i), vma, nr);
		i += nr;
	}

	if (error)
		*nr_pages = 0;
	/* The fault would have to wait, or has dropped the lock: no error. */
	if (error == -EBUSY || error == -EAGAIN)
		error = 0;
	return i ? i : error;
}
