// SPDX-License-Identifier: GPL-2.0
/*
 * VM_P2P: userspace mappings of peer-to-peer device memory.
 *
 * A VM_P2P mapping is a shared mapping whose entries are device-mapped
 * (pfn_t_devmap()) and point to MEMORY_DEVICE_PCI_P2PDMA pages. It is a mapping
 * type beside VM_PFNMAP and VM_MIXEDMAP, and it differs from both: there is a
 * struct page behind every entry, but vm_normal_page() does not return it. So
 * the page tables hold neither references nor a map count, and whoever walks
 * them without knowing about peer-to-peer memory sees no page at all.
 *
 * What keeps a page alive is the file that is mapped. Whoever wants to use the
 * page longer than the mapping takes a reference with get_user_pages(), and has
 * to say with FOLL_PCI_P2PDMA that it can handle memory which the CPU must not
 * touch and which only some devices reach.
 *
 * Since no page is referenced, the owner of the file revokes access by
 * unmap_mapping_range(); tlb_end_vma() flushes a VM_P2P mapping before its VMA
 * goes out of sight of that function, as it does for VM_PFNMAP.
 */

#include <linux/export.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/pfn_t.h>
#include <linux/vm_p2p.h>

/**
 * p2p_vma_init() - make a VMA a mapping of peer-to-peer device memory
 * @vma: the VMA that is being set up by an mmap() method
 *
 * The mapping can't grow by mremap() and is left out of core dumps. @vma gets
 * an uncached page protection, which the architecture may weaken or strengthen
 * to what the kernel's own mapping of the same memory has.
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

	vma->vm_flags |= VM_P2P | VM_P2P_GATE | VM_DONTEXPAND | VM_DONTDUMP;
	vma->vm_page_prot = pgprot_noncached(vma->vm_page_prot);
	return 0;
}
EXPORT_SYMBOL_GPL(p2p_vma_init);

/**
 * vmf_insert_p2p() - map a page of peer-to-peer memory at a faulting address
 * @vmf: the fault, in a VM_P2P mapping
 * @pfn: page frame number of the page to map
 *
 * No reference is taken: the caller makes sure that the page belongs to the
 * mapped file, and that it is unmapped before it ceases to.
 *
 * Context: Process context, from a fault() method. May allocate page tables.
 * Return: VM_FAULT_NOPAGE when the page is mapped, by this fault or by one that
 *	   raced with it; VM_FAULT_OOM without memory for a page table;
 *	   VM_FAULT_SIGBUS if the mapping or the page is of the wrong type.
 */
vm_fault_t vmf_insert_p2p(struct vm_fault *vmf, unsigned long pfn)
{
	struct vm_area_struct *vma = vmf->vma;
	unsigned long addr = vmf->address & PAGE_MASK;
	pfn_t p2p_pfn = __pfn_to_pfn_t(pfn, PFN_DEV | PFN_MAP);

	if (WARN_ON_ONCE(!vma_is_p2p(vma) || !pfn_valid(pfn) ||
			 !is_pci_p2pdma_page(pfn_to_page(pfn))))
		return VM_FAULT_SIGBUS;

	if (vmf->flags & FAULT_FLAG_WRITE)
		return vmf_insert_mixed_mkwrite(vma, addr, p2p_pfn);
	return vmf_insert_mixed(vma, addr, p2p_pfn);
}
EXPORT_SYMBOL_GPL(vmf_insert_p2p);
