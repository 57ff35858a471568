// SPDX-License-Identifier: GPL-2.0
/*
 * VM_P2P: userspace mappings of peer-to-peer device memory.
 *
 * A VM_P2P mapping is a shared mapping whose entries are device-mapped
 * (pfn_t_devmap()) and point to MEMORY_DEVICE_PCI_P2PDMA pages. It is a mapping
 * type beside VM_PFNMAP and VM_MIXEDMAP and differs from both: every entry has a
 * struct page, but vm_normal_page() does not return it. So the page tables hold
 * neither references nor a map count, and page table walkers that don't know
 * peer-to-peer memory see no page at all.
 *
 * The mapped file keeps the pages alive. A caller that uses a page for longer
 * than the mapping exists takes a reference with get_user_pages(), and declares
 * with FOLL_PCI_P2PDMA that it can handle memory that the CPU must not touch and
 * that only some devices can reach.
 *
 * Mappings that p2p_vma_init_io() sets up also have VM_IO, and no struct pages:
 * get_user_pages() fails, and drivers identify the memory by the file.
 *
 * Since page tables hold no references, the owner of the file revokes access with
 * unmap_mapping_range(); tlb_end_vma() flushes a VM_P2P mapping while that
 * function can still find the VMA, as for VM_PFNMAP. See
 * Documentation/mm/p2p_lifetime.rst.
 */

#include <linux/compat.h>
#include <linux/err.h>
#include <linux/export.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/pagemap.h>
#include <linux/pfn_t.h>
#include <linux/sched.h>
#include <linux/sched/coredump.h>
#include <linux/sizes.h>
#include <linux/vm_p2p.h>
#include <linux/vmalloc.h>

#include "internal.h"

/**
 * p2p_vma_init() - make a VMA a mapping of peer-to-peer device memory
 * @vma: the VMA that is being set up by an mmap() method
 *
 * The mapping can't grow by mremap() and is left out of core dumps. @vma gets
 * an uncached page protection; the architecture may change it to that of the
 * kernel's own mapping of the same memory. The caller adds the page frame
 * number of the memory to vm_pgoff. The f_mapping->private_data of vm_file must
 * be NULL or set by p2p_holds_init().
 *
 * Context: Process context. The caller holds the mmap_lock for writing and is
 *	    the mmap() method of @vma's file; nothing is mapped yet.
 * Return: 0, or -EINVAL if @vma is a private mapping, in which a write would
 *	   have to copy device memory, or already is a special mapping of
 *	   another kind.
 */
int p2p_vma_init(struct vm_area_struct *vma)
{
	if (!(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;
	if (vma->vm_flags & (VM_PFNMAP | VM_MIXEDMAP | VM_HUGETLB))
		return -EINVAL;

	vma->vm_flags |= VM_P2P | VM_DONTEXPAND | VM_DONTDUMP;
	vma->vm_page_prot = pgprot_noncached(vma->vm_page_prot);
	p2p_vma_open(vma);
	return 0;
}
EXPORT_SYMBOL_GPL(p2p_vma_init);

/**
 * p2p_vma_init_io() - make a VMA a mapping of device memory without struct pages
 * @vma: the VMA that is being set up by an mmap() method
 *
 * Like p2p_vma_init(), but get_user_pages() never returns pages of the mapping;
 * drivers find the memory by the mapped file, and use it as a range, see
 * linux/pci-p2p-range.h.
 *
 * Context: as p2p_vma_init().
 * Return: as p2p_vma_init().
 */
int p2p_vma_init_io(struct vm_area_struct *vma)
{
	int error = p2p_vma_init(vma);

	if (!error)
		vma->vm_flags |= VM_IO;
	return error;
}
EXPORT_SYMBOL_GPL(p2p_vma_init_io);

/**
 * p2p_vma_open() - note that an address space has a VM_P2P mapping
 * @vma: the mapping
 *
 * The open() method of VM_P2P mappings: fork() calls it for the child. Without it
 * direct I/O of the child takes the memory page by page, which is slower.
 *
 * Context: Process context. The caller holds the mmap_lock for writing.
 */
void p2p_vma_open(struct vm_area_struct *vma)
{
	set_bit(MMF_HAS_P2P, &vma->vm_mm->flags);
}
EXPORT_SYMBOL_GPL(p2p_vma_open);

/* How much memory one fault maps with base pages. */
#define P2P_SMALL	max(SZ_64K, PAGE_SIZE)

static bool p2p_vma_is_small(const struct vm_area_struct *vma)
{
	return vma->vm_end - vma->vm_start <= P2P_SMALL;
}

/* Can one PUD entry map memory (1 GiB on x86)? */
static bool p2p_has_huge_pud(void)
{
	return IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE) &&
	       IS_ENABLED(CONFIG_HAVE_ARCH_TRANSPARENT_HUGEPAGE_PUD) &&
	       arch_vmap_pud_supported(PAGE_KERNEL);
}

static bool p2p_has_huge_pmd(void)
{
	return IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE) &&
	       has_transparent_hugepage();
}

/**
 * p2p_fault_order() - order of the memory that a fault asks for
 * @pe_size: what the huge_fault() method was called with, or PE_SIZE_PTE
 *
 * Context: Any.
 * Return: the order of the memory that such an entry maps, or -1 if such
 *	   entries are not supported.
 */
int p2p_fault_order(enum page_entry_size pe_size)
{
	if (pe_size == PE_SIZE_PTE)
		return 0;
	if (pe_size == PE_SIZE_PMD && p2p_has_huge_pmd())
		return PMD_SHIFT - PAGE_SHIFT;
	if (pe_size == PE_SIZE_PUD && p2p_has_huge_pud())
		return PUD_SHIFT - PAGE_SHIFT;
	return -1;
}
EXPORT_SYMBOL_GPL(p2p_fault_order);

static bool p2p_may_map(const struct vm_area_struct *vma, unsigned long pfn)
{
	return vma_is_p2p(vma) && pfn_valid(pfn) &&
	       is_pci_p2pdma_page(pfn_to_page(pfn));
}

/**
 * vmf_insert_p2p_pages() - map pages at a faulting address and around it
 * @vmf: the fault, in a VM_P2P mapping
 * @addr: the user address of the first page, see p2p_fault_around()
 * @pfn: page frame number of the first page
 * @nr_pages: how many pages, all of one page map and in one page table
 *
 * Existing entries do not change. No reference is taken: the caller ensures that
 * the memory belongs to the mapped file, and is unmapped before it leaves the file.
 *
 * Context: Process context, from a fault() method. May allocate a page table.
 * Return: VM_FAULT_NOPAGE when the memory is mapped, by this fault or by one that
 *	   raced with it; VM_FAULT_OOM without memory for a page table;
 *	   VM_FAULT_SIGBUS if the mapping or the memory is of the wrong type.
 */
vm_fault_t vmf_insert_p2p_pages(struct vm_fault *vmf, unsigned long addr,
				unsigned long pfn, unsigned long nr_pages)
{
	unsigned long fault_addr = vmf->address & PAGE_MASK;
	struct vm_area_struct *vma = vmf->vma;
	pgprot_t prot = vma->vm_page_prot;
	pte_t *pte, *first;
	spinlock_t *ptl;	/* of the page table */
	pte_t entry;

	if (WARN_ON_ONCE(!p2p_may_map(vma, pfn)))
		return VM_FAULT_SIGBUS;

	/* All memory of a page map has the same memory type. */
	track_pfn_insert(vma, &prot, __pfn_to_pfn_t(pfn, PFN_DEV | PFN_MAP));

	/* Write faults of shared mappings preallocate a page table. */
	if (vmf->prealloc_pte && pmd_none(READ_ONCE(*vmf->pmd)))
		pmd_install(vma->vm_mm, vmf->pmd, &vmf->prealloc_pte);
	if (pte_alloc(vma->vm_mm, vmf->pmd))
		return VM_FAULT_OOM;
	/* Another thread has installed a huge entry. */
	if (pmd_devmap_trans_unstable(vmf->pmd))
		return VM_FAULT_NOPAGE;

	first = pte_offset_map_lock(vma->vm_mm, vmf->pmd, addr, &ptl);
	for (pte = first; nr_pages; nr_pages--, pte++, pfn++, addr += PAGE_SIZE) {
		/* The CPU sets accessed and dirty bits without the lock. */
		if (!pte_none(ptep_get(pte)))
			continue;
		entry = pte_mkdevmap(pfn_pte(pfn, prot));
		if (addr == fault_addr && vmf->flags & FAULT_FLAG_WRITE)
			entry = maybe_mkwrite(pte_mkdirty(pte_mkyoung(entry)),
					      vma);
		set_pte_at(vma->vm_mm, addr, pte, entry);
		update_mmu_cache(vma, addr, pte);
	}
	pte_unmap_unlock(first, ptl);
	return VM_FAULT_NOPAGE;
}
EXPORT_SYMBOL_GPL(vmf_insert_p2p_pages);

/**
 * vmf_insert_p2p() - map peer-to-peer memory at a faulting address
 * @vmf: the fault, in a VM_P2P mapping
 * @pfn: page frame number of the first page to map, a multiple of 2^@order
 * @order: how much to map: 0, or what p2p_fault_order() returned
 *
 * Maps 2^@order pages by one entry, at the faulting address or, if that is not
 * aligned to the size, from the aligned address before it. No reference is taken:
 * the caller ensures that the memory belongs to the mapped file, and is unmapped
 * before it leaves the file.
 *
 * Context: Process context, from a fault() or huge_fault() method. May allocate
 *	    page tables.
 * Return: VM_FAULT_NOPAGE when the memory is mapped, by this fault or by one that
 *	   raced with it; VM_FAULT_OOM without memory for a page table;
 *	   VM_FAULT_FALLBACK if there are no entries of this order;
 *	   VM_FAULT_SIGBUS if the mapping or the page is of the wrong type.
 */
vm_fault_t vmf_insert_p2p(struct vm_fault *vmf, unsigned long pfn,
			  unsigned int order)
{
	struct vm_area_struct *vma = vmf->vma;
	pfn_t p2p_pfn = __pfn_to_pfn_t(pfn, PFN_DEV | PFN_MAP);
	bool write = vmf->flags & FAULT_FLAG_WRITE;

	if (!order)
		return vmf_insert_p2p_pages(vmf, vmf->address & PAGE_MASK, pfn,
					    1);
	if (WARN_ON_ONCE(!p2p_may_map(vma, pfn)))
		return VM_FAULT_SIGBUS;
#ifdef CONFIG_TRANSPARENT_HUGEPAGE
	if (order == PMD_SHIFT - PAGE_SHIFT)
		return vmf_insert_pfn_pmd(vmf, p2p_pfn, write);
#ifdef CONFIG_HAVE_ARCH_TRANSPARENT_HUGEPAGE_PUD
	if (order == PUD_SHIFT - PAGE_SHIFT)
		return vmf_insert_pfn_pud(vmf, p2p_pfn, write);
#endif
#endif
	return VM_FAULT_FALLBACK;
}
EXPORT_SYMBOL_GPL(vmf_insert_p2p);

/**
 * p2p_fault_around() - pages around a faulting address to map with it
 * @vmf: the fault, in a VM_P2P mapping
 * @nr_pages: where to store the number of pages
 *
 * A fault costs many times as much as mapping one more page, and a program that
 * uses one page of a buffer is likely to use the next. Like the fault-around of
 * files, but not adjustable, this is all of a mapping of up to 64 KiB, or an
 * aligned 64 KiB of a larger one, within one page table.
 *
 * Context: Process context, from a fault() method.
 * Return: the user address of the first page.
 */
unsigned long p2p_fault_around(const struct vm_fault *vmf,
			       unsigned long *nr_pages)
{
	struct vm_area_struct *vma = vmf->vma;
	unsigned long size = p2p_vma_is_small(vma) ? PMD_SIZE : P2P_SMALL;
	unsigned long start = ALIGN_DOWN(vmf->address, size);
	unsigned long end = min(start + size, vma->vm_end);

	start = max(start, vma->vm_start);
	*nr_pages = (end - start) >> PAGE_SHIFT;
	return start;
}
EXPORT_SYMBOL_GPL(p2p_fault_around);

/* Returns the page frame number of memory without struct pages. */
static pfn_t p2p_io_pfn(struct vm_area_struct *vma, unsigned long addr)
{
	return __pfn_to_pfn_t(linear_page_index(vma, addr),
			      PFN_DEV | PFN_SPECIAL);
}

/**
 * vmf_insert_p2p_io() - map device memory without struct pages
 * @vmf: the fault, in a mapping that p2p_vma_init_io() has set up, and whose
 *	 vm_pgoff is the page frame number
 *
 * Maps the page at the faulting address and those around it. There are no huge
 * entries for such memory: get_user_pages() would take them for RAM.
 *
 * Context: as vmf_insert_p2p().
 * Return: VM_FAULT_NOPAGE when the memory is mapped; VM_FAULT_OOM without memory for
 *	   a page table; VM_FAULT_SIGBUS if the mapping is of the wrong type.
 */
vm_fault_t vmf_insert_p2p_io(struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	unsigned long addr = vmf->address & PAGE_MASK;
	unsigned long nr_pages;
	vm_fault_t ret;

	if (WARN_ON_ONCE(!vma_is_p2p(vma) || p2p_vma_has_pages(vma)))
		return VM_FAULT_SIGBUS;

	ret = vmf_insert_mixed(vma, addr, p2p_io_pfn(vma, addr));
	if (ret != VM_FAULT_NOPAGE)
		return ret;

	/* Optional: where this fails, a later access faults again. */
	addr = p2p_fault_around(vmf, &nr_pages);
	for (; nr_pages; nr_pages--, addr += PAGE_SIZE)
		if (vmf_insert_mixed(vma, addr, p2p_io_pfn(vma, addr)) !=
		    VM_FAULT_NOPAGE)
			break;
	return ret;
}
EXPORT_SYMBOL_GPL(vmf_insert_p2p_io);

static unsigned long p2p_aligned_area(struct file *file, unsigned long len,
				      unsigned long flags, unsigned long size)
{
	unsigned long padded = len + size - PAGE_SIZE;
	unsigned long area;

	if (len < size || padded < len)
		return 0;

	area = current->mm->get_unmapped_area(file, 0, padded, 0, flags);
	return IS_ERR_VALUE(area) ? 0 : ALIGN(area, size);
}

/**
 * p2p_get_unmapped_area() - find an address at which huge entries fit
 * @file: the file to be mapped
 * @addr: the address that the user suggests, or 0
 * @len: length of the mapping, in bytes
 * @pgoff: offset in @file, in pages
 * @flags: MAP_* flags
 *
 * The get_unmapped_area() method of a file whose memory begins, at offset 0, at a
 * multiple of the largest entry that fits into @len. An address that the user
 * suggests is used as it is.
 *
 * Context: Process context, with the mmap_lock held for writing.
 * Return: an address, or an error of get_unmapped_area().
 */
unsigned long p2p_get_unmapped_area(struct file *file, unsigned long addr,
				    unsigned long len, unsigned long pgoff,
				    unsigned long flags)
{
	unsigned long area = 0;

	if (!addr && !(flags & MAP_FIXED) && !pgoff && !in_compat_syscall()) {
		if (p2p_has_huge_pud())
			area = p2p_aligned_area(file, len, flags, PUD_SIZE);
		if (!area && p2p_has_huge_pmd())
			area = p2p_aligned_area(file, len, flags, PMD_SIZE);
		if (area)
			return area;
	}
	return current->mm->get_unmapped_area(file, addr, len, pgoff, flags);
}
EXPORT_SYMBOL_GPL(p2p_get_unmapped_area);
