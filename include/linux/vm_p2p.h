/* SPDX-License-Identifier: GPL-2.0 */
/*
 * VM_P2P: userspace mappings of peer-to-peer device memory.
 *
 * What such a mapping promises is written in mm/p2p.c.
 */
#ifndef _LINUX_VM_P2P_H
#define _LINUX_VM_P2P_H

#include <linux/memremap.h>
#include <linux/mm.h>

/**
 * struct p2p_extent - contiguous peer-to-peer memory, held by one pin
 * @folio: the folio that all of it lies in
 * @offset: where it begins in @folio, in bytes
 * @len: its length, in bytes
 */
struct p2p_extent {
	struct folio *folio;
	size_t offset;
	size_t len;
};

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

/* Does a VM_P2P mapping have struct pages? */
static inline bool p2p_vma_has_pages(const struct vm_area_struct *vma)
{
	return !(vma->vm_flags & VM_IO);
}

/*
 * A flag of get_user_pages() beside FOLL_PCI_P2PDMA: the caller holds pages already
 * that somebody may wait for. So it does not wait for a device that is being reset
 * to get more, but does with those that it has.
 */
#define FOLL_P2P_HELD	0x200000

/* What to fault a page in with; @held: the walk itself has got pages before. */
static inline unsigned int p2p_gup_fault_flags(const struct vm_area_struct *vma,
					       unsigned int gup_flags, bool held)
{
	return vma_is_p2p(vma) && (held || gup_flags & FOLL_P2P_HELD) ?
	       FOLL_NOWAIT : 0;
}

int p2p_vma_init(struct vm_area_struct *vma);
int p2p_vma_init_io(struct vm_area_struct *vma);
void p2p_vma_open(struct vm_area_struct *vma);
int p2p_fault_order(enum page_entry_size pe_size);
vm_fault_t vmf_insert_p2p(struct vm_fault *vmf, unsigned long pfn,
			  unsigned int order);
vm_fault_t vmf_insert_p2p_pages(struct vm_fault *vmf, unsigned long addr,
				unsigned long pfn, unsigned long nr_pages);
unsigned long p2p_fault_around(const struct vm_fault *vmf,
			       unsigned long *nr_pages);
vm_fault_t vmf_insert_p2p_io(struct vm_fault *vmf);
unsigned long p2p_get_unmapped_area(struct file *file, unsigned long addr,
				    unsigned long len, unsigned long pgoff,
				    unsigned long flags);

size_t get_user_p2p_run(unsigned long start, size_t len, size_t block,
			unsigned int gup_flags, struct page **page);
int pin_user_p2p_extents(unsigned long start, size_t len,
			 unsigned int gup_flags, struct p2p_extent *extents,
			 unsigned int max);
void unpin_user_p2p_extents(const struct p2p_extent *extents, unsigned int nr);

void p2p_folio_form(struct page *page, unsigned int order);
void p2p_folio_take_apart(struct folio *folio);

int p2p_gup_check_vma(struct vm_area_struct *vma, unsigned int gup_flags);
void p2p_gup_hint(const struct vm_area_struct *vma, unsigned int gup_flags);
struct page *p2p_follow_page(struct vm_area_struct *vma, unsigned long addr,
			     unsigned int flags);
long p2p_follow_pages(struct vm_area_struct *vma, struct page **pages,
		      struct vm_area_struct **vmas, unsigned long *start,
		      unsigned long *nr_pages, long i, unsigned int gup_flags);

void p2p_gup_found(const struct dev_pagemap *pgmap, unsigned long pfn,
		   unsigned long nr_pages, unsigned int gup_flags, bool locked);
int p2p_gup_refused(const struct vm_area_struct *vma, unsigned int gup_flags,
		    int error);

#else /* CONFIG_VM_P2P */

#define VM_P2P_GATE	VM_NONE
#define FOLL_P2P_HELD	0

static inline bool vma_is_p2p(const struct vm_area_struct *vma)
{
	return false;
}

static inline unsigned int p2p_gup_fault_flags(const struct vm_area_struct *vma,
					       unsigned int gup_flags, bool held)
{
	return 0;
}

static inline int p2p_vma_init(struct vm_area_struct *vma)
{
	return -EOPNOTSUPP;
}

static inline int p2p_vma_init_io(struct vm_area_struct *vma)
{
	return -EOPNOTSUPP;
}

static inline vm_fault_t vmf_insert_p2p_io(struct vm_fault *vmf)
{
	return VM_FAULT_SIGBUS;
}

static inline vm_fault_t vmf_insert_p2p(struct vm_fault *vmf, unsigned long pfn,
					unsigned int order)
{
	return VM_FAULT_SIGBUS;
}

static inline int p2p_gup_check_vma(struct vm_area_struct *vma,
				    unsigned int gup_flags)
{
	return 0;
}

static inline void p2p_gup_hint(const struct vm_area_struct *vma,
				unsigned int gup_flags)
{
}

static inline struct page *p2p_follow_page(struct vm_area_struct *vma,
					   unsigned long addr,
					   unsigned int flags)
{
	return NULL;
}

static inline long p2p_follow_pages(struct vm_area_struct *vma,
				    struct page **pages,
				    struct vm_area_struct **vmas,
				    unsigned long *start,
				    unsigned long *nr_pages, long i,
				    unsigned int gup_flags)
{
	return i;
}

static inline void p2p_gup_found(const struct dev_pagemap *pgmap,
				 unsigned long pfn, unsigned long nr_pages,
				 unsigned int gup_flags, bool locked)
{
}

#endif /* CONFIG_VM_P2P */

#endif /* _LINUX_VM_P2P_H */
