// SPDX-License-Identifier: GPL-2.0
/*
 * Peer-to-peer memory as memory of guests.
 *
 * It can be mapped into a guest: a page is referenced until KVM's page tables map it, and
 * from then on the MMU notifier takes it back. Memory without struct pages is mapped by
 * the page table entries of the process.
 *
 * The host's kernel neither maps such memory, because the CPU must not use it like RAM,
 * nor keeps a reference for as long as a guest likes, because its device may have to go.
 *
 * ZONE_DEVICE pages are reserved, and KVM on some architectures takes a reserved page for
 * one without references. So these get no pages (CONFIG_KVM_P2P).
 */

#include <linux/kvm_host.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/vm_p2p.h>

#include "kvm_mm.h"

/**
 * kvm_pfn_is_for_guests() - check whether the host's kernel must not use memory
 * @hva: an address that belongs to a memory slot
 * @pfn: what hva_to_pfn() returned for it, not an error
 *
 * Only the mapping tells whether memory without struct pages is peer-to-peer memory. It
 * may have changed since. Then what @pfn was is not known any more, and the kernel must
 * not use it, either.
 *
 * Context: Process context of the virtual machine, without its mmap_lock. The caller has
 *	    a reference to the page, if there is one.
 * Return: true if it is peer-to-peer memory, or not mapped at @hva any more.
 */
bool kvm_pfn_is_for_guests(unsigned long hva, kvm_pfn_t pfn)
{
	struct page *page = kvm_pfn_to_refcounted_page(pfn);
	struct vm_area_struct *vma;
	unsigned long now;
	bool ret;

	if (page)
		return is_pci_p2pdma_page(page);

	mmap_read_lock(current->mm);
	vma = vma_lookup(current->mm, hva);
	if (!vma)
		ret = true;
	else if (vma->vm_flags & (VM_IO | VM_PFNMAP))
		/* It refuses VM_P2P mappings. */
		ret = follow_pfn(vma, hva, &now) || now != pfn;
	else
		ret = !pfn_valid(pfn);
	mmap_read_unlock(current->mm);
	return ret;
}
