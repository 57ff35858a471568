// SPDX-License-Identifier: GPL-2.0
/*
 * The gate of get_user_pages() to peer-to-peer memory, and its book-keeping.
 *
 * Only callers with FOLL_PCI_P2PDMA get the pages of a VM_P2P mapping. Walks
 * under the mmap_lock are decided once per VMA, by p2p_gup_check(); the lockless
 * walk is decided per entry, by p2p_gup_fast_pagemap().
 *
 * Each page that a walk finds is counted in /proc/vmstat, by the kind of walk,
 * and so is each refused call. The tracepoints of vm_p2p tell them one by one.
 */

#define pr_fmt(fmt) "p2p: " fmt
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/printk.h>
#include <linux/sched.h>
#include <linux/vm_p2p.h>
#include <linux/vmstat.h>

#define CREATE_TRACE_POINTS
#include <trace/events/vm_p2p.h>

static int p2p_gup_refuse(const struct vm_area_struct *vma,
			  unsigned int gup_flags, int error)
{
	count_vm_event(P2P_GUP_REFUSED);
	trace_p2p_gup_refused(vma, gup_flags, error);
	return error;
}

/*
 * Does the walk only look at memory, rather than transfer data? Nobody has to
 * do anything about its refusal, then. FOLL_DUMP asks what is mapped, as
 * move_pages() does, and ptrace() goes on to the mapping's access() method.
 */
static bool p2p_gup_is_inspection(const struct vm_area_struct *vma,
				  unsigned int gup_flags)
{
	if (gup_flags & FOLL_DUMP)
		return true;

	return (gup_flags & FOLL_REMOTE) && !(gup_flags & FOLL_PIN) &&
	       vma->vm_ops && vma->vm_ops->access;
}

/**
 * p2p_gup_check() - may get_user_pages() hand out the pages of a mapping?
 * @vma: a VM_P2P mapping
 * @gup_flags: the FOLL_* flags of the walk
 *
 * A walk that takes no reference, as for MAP_POPULATE and mlock(), is always
 * let through: it only fills the page tables.
 *
 * Context: Any. The caller holds the mmap_lock.
 * Return: 0 when the walk may go on; -EREMOTEIO if the caller did not pass
 *	   FOLL_PCI_P2PDMA; -EOPNOTSUPP for FOLL_LONGTERM, because nothing could
 *	   take the page back when its device goes away.
 */
int p2p_gup_check(const struct vm_area_struct *vma, unsigned int gup_flags)
{
	if (!(gup_flags & (FOLL_GET | FOLL_PIN)))
		return 0;

	if (!(gup_flags & FOLL_PCI_P2PDMA)) {
		if (!p2p_gup_is_inspection(vma, gup_flags))
			pr_notice_ratelimited("%s[%d]: peer-to-peer memory of %pD can't be used here: the system call, or the device it is meant for, does not support peer-to-peer DMA\n",
					      current->comm,
					      task_pid_nr(current),
					      vma->vm_file);
		return p2p_gup_refuse(vma, gup_flags, -EREMOTEIO);
	}

	if (gup_flags & FOLL_LONGTERM)
		return p2p_gup_refuse(vma, gup_flags, -EOPNOTSUPP);
	return 0;
}

/**
 * p2p_gup_locked_pagemap() - get_dev_pagemap() for the walk under the mmap_lock
 * @pfn: page frame number of a device-mapped entry
 * @pgmap: page map of the entry before, with a reference, or NULL
 * @gup_flags: the FOLL_* flags of the walk
 *
 * Only counts: p2p_gup_check() has decided already.
 *
 * Context: Any. The caller holds the mmap_lock and a page table lock. Consumes
 *	    the reference of @pgmap, unless it returns it.
 * Return: the page map with a reference, or NULL if there is none.
 */
struct dev_pagemap *p2p_gup_locked_pagemap(unsigned long pfn,
					   struct dev_pagemap *pgmap,
					   unsigned int gup_flags)
{
	pgmap = get_dev_pagemap(pfn, pgmap);
	if (pgmap && pgmap->type == MEMORY_DEVICE_PCI_P2PDMA) {
		count_vm_event(P2P_GUP_LOCKED);
		trace_p2p_gup_locked(pfn, gup_flags);
	}
	return pgmap;
}

/**
 * p2p_gup_fast_pagemap() - get_dev_pagemap() for the lockless walk
 * @pfn: page frame number of a device-mapped entry
 * @pgmap: page map of the entry before, with a reference, or NULL
 * @gup_flags: the FOLL_* flags of the walk
 *
 * The lockless walk has no VMA to look at, so it asks the page map of each
 * device-mapped entry instead. What is refused here is not refused for good: the
 * walk under the mmap_lock, which comes next, decides again and knows the error
 * to return. Out of line, since the test would change how the compiler treats
 * entries that are not device-mapped, too.
 *
 * Context: Any, with interrupts off as the lockless walk has them. Consumes the
 *	    reference of @pgmap, unless it returns it.
 * Return: the page map with a reference; NULL if there is none, or if it is
 *	   peer-to-peer memory and @gup_flags lacks FOLL_PCI_P2PDMA.
 */
struct dev_pagemap *p2p_gup_fast_pagemap(unsigned long pfn,
					 struct dev_pagemap *pgmap,
					 unsigned int gup_flags)
{
	pgmap = get_dev_pagemap(pfn, pgmap);
	if (!pgmap || pgmap->type != MEMORY_DEVICE_PCI_P2PDMA)
		return pgmap;

	if (!(gup_flags & FOLL_PCI_P2PDMA)) {
		put_dev_pagemap(pgmap);
		return NULL;
	}

	count_vm_event(P2P_GUP_FAST);
	trace_p2p_gup_fast(pfn, gup_flags);
	return pgmap;
}
