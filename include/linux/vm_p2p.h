/* SPDX-License-Identifier: GPL-2.0 */
/*
 * VM_P2P: userspace mappings of peer-to-peer device memory.
 *
 * What such a mapping promises is written in mm/p2p.c.
 */
#ifndef _LINUX_VM_P2P_H
#define _LINUX_VM_P2P_H

#include <linux/mm.h>

#ifdef CONFIG_VM_P2P

static inline bool vma_is_p2p(const struct vm_area_struct *vma)
{
	return vma->vm_flags & VM_P2P;
}

/*
 * The lockless walk has no VMA to look at, so it asks the page map of each
 * device-mapped entry instead. It leaves refused entries to the slow walk,
 * which knows the error to return.
 */
static inline bool p2p_gup_fast_permitted(const struct dev_pagemap *pgmap,
					  unsigned int gup_flags)
{
	return (gup_flags & FOLL_PCI_P2PDMA) ||
	       pgmap->type != MEMORY_DEVICE_PCI_P2PDMA;
}

int p2p_vma_init(struct vm_area_struct *vma);
vm_fault_t vmf_insert_p2p(struct vm_fault *vmf, unsigned long pfn);
int p2p_gup_check(const struct vm_area_struct *vma, unsigned int gup_flags);

#else /* CONFIG_VM_P2P */

static inline bool vma_is_p2p(const struct vm_area_struct *vma)
{
	return false;
}

static inline bool p2p_gup_fast_permitted(const struct dev_pagemap *pgmap,
					  unsigned int gup_flags)
{
	return true;
}

static inline int p2p_vma_init(struct vm_area_struct *vma)
{
	return -EOPNOTSUPP;
}

static inline vm_fault_t vmf_insert_p2p(struct vm_fault *vmf, unsigned long pfn)
{
	return VM_FAULT_SIGBUS;
}

static inline int p2p_gup_check(const struct vm_area_struct *vma,
				unsigned int gup_flags)
{
	return 0;
}

#endif /* CONFIG_VM_P2P */

#endif /* _LINUX_VM_P2P_H */
