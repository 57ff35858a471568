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

/*
 * All VM_P2P mappings have this flag, and few others. p2p_vma_init() sets it,
 * and MADV_DODUMP can't take it away from a VM_SPECIAL mapping. VM_P2P itself is
 * above the 32 bits that fit into a test instruction, so hot paths look for this
 * one along with their other flags, and ask vma_is_p2p() when they find it.
 */
#define VM_P2P_GATE	VM_DONTDUMP

static inline bool vma_is_p2p(const struct vm_area_struct *vma)
{
	return vma->vm_flags & VM_P2P;
}

int p2p_vma_init(struct vm_area_struct *vma);
vm_fault_t vmf_insert_p2p(struct vm_fault *vmf, unsigned long pfn);

int p2p_gup_check(const struct vm_area_struct *vma, unsigned int gup_flags);
struct dev_pagemap *p2p_gup_locked_pagemap(unsigned long pfn,
					   struct dev_pagemap *pgmap,
					   unsigned int gup_flags);
struct dev_pagemap *p2p_gup_fast_pagemap(unsigned long pfn,
					 struct dev_pagemap *pgmap,
					 unsigned int gup_flags);

#else /* CONFIG_VM_P2P */

#define VM_P2P_GATE	VM_NONE

static inline bool vma_is_p2p(const struct vm_area_struct *vma)
{
	return false;
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

static inline struct dev_pagemap *
p2p_gup_locked_pagemap(unsigned long pfn, struct dev_pagemap *pgmap,
		       unsigned int gup_flags)
{
	return get_dev_pagemap(pfn, pgmap);
}

static inline struct dev_pagemap *
p2p_gup_fast_pagemap(unsigned long pfn, struct dev_pagemap *pgmap,
		     unsigned int gup_flags)
{
	return get_dev_pagemap(pfn, pgmap);
}

#endif /* CONFIG_VM_P2P */

#endif /* _LINUX_VM_P2P_H */
