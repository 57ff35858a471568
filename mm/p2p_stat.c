// SPDX-License-Identifier: GPL-2.0
/*
 * Counters and tracepoints of get_user_pages() on peer-to-peer memory.
 *
 * /proc/vmstat counts the pages that walks find, by the kind of walk, and the calls
 * that are refused. The tracepoints of vm_p2p report each of them.
 */

#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/vm_p2p.h>
#include <linux/vmstat.h>

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

/**
 * p2p_gup_refused() - count a call that was refused
 * @vma: the VM_P2P mapping
 * @gup_flags: the FOLL_* flags of the walk
 * @error: what the caller gets, negative
 *
 * Context: Any.
 * Return: @error.
 */
int p2p_gup_refused(const struct vm_area_struct *vma, unsigned int gup_flags,
		    int error)
{
	count_vm_event(P2P_GUP_REFUSED);
	trace_p2p_gup_refused(vma, gup_flags, error);
	return error;
}
