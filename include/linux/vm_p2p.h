/* SPDX-License-Identifier: GPL-2.0 */
/*
 * VM_P2P: userspace mappings of peer-to-peer device memory.
 *
 * The properties of such a mapping are described in mm/p2p.c.
 */
#ifndef _LINUX_VM_P2P_H
#define _LINUX_VM_P2P_H

#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/pfn.h>

/**
 * struct p2p_extent - contiguous peer-to-peer memory, held by one pin
 * @folio: the folio that contains it; an extent of a ticket may end in a later
 *	   one
 * @offset: where it begins in @folio, in bytes
 * @len: its length, in bytes
 */
struct p2p_extent {
	struct folio *folio;
	size_t offset;
	size_t len;
};

/**
 * p2p_extent_phys() - the physical address of an extent
 * @extent: the extent; one of a hold may be without a folio
 *
 * Context: Any.
 * Return: the address of the first byte.
 */
static inline phys_addr_t p2p_extent_phys(const struct p2p_extent *extent)
{
	return extent->folio ? PFN_PHYS(folio_pfn(extent->folio)) + extent->offset :
			       extent->offset;
}

#ifdef CONFIG_VM_P2P

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
 * A flag of get_user_pages() in addition to FOLL_PCI_P2PDMA: the caller already
 * holds pages, and the reset of a device may be waiting for them. So the call
 * does not wait for the end of a reset to get more pages, but returns those it
 * has.
 */
#define FOLL_P2P_HELD	0x200000

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
void put_user_p2p_run(struct page *page, unsigned long nr_pages);
int pin_user_p2p_extents(unsigned long start, size_t len,
			 unsigned int gup_flags, struct p2p_extent *extents,
			 unsigned int max);
void unpin_user_p2p_extents(const struct p2p_extent *extents, unsigned int nr);

void p2p_folio_form(struct page *page, unsigned int order);
void p2p_folio_take_apart(struct folio *folio);

#else /* CONFIG_VM_P2P */

#define FOLL_P2P_HELD	0

static inline bool vma_is_p2p(const struct vm_area_struct *vma)
{
	return false;
}

static inline void p2p_vma_open(struct vm_area_struct *vma)
{
}

#endif /* CONFIG_VM_P2P */

#endif /* _LINUX_VM_P2P_H */
