// SPDX-License-Identifier: GPL-2.0
/*
 * Peer-to-peer memory as memory of guests.
 *
 * Such memory can be mapped into a guest: KVM has a reference to a page until
 * its page tables map the page; from then on the MMU notifier revokes it.
 * Memory without struct pages is mapped from the page table entries of the
 * process.
 *
 * The host kernel neither maps such memory, because the CPU must not use it
 * like RAM, nor keeps a reference for as long as a guest likes, because the
 * provider may be removed.
 *
 * ZONE_DEVICE pages are reserved, and on some architectures KVM treats reserved
 * pages as having no references. There, guests get no such pages
 * (CONFIG_KVM_P2P).
 */

#include <linux/kvm_host.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/vm_p2p.h>

#include "kvm_mm.h"

/**
 * kvm_pfn_is_for_guests() - must the host kernel not use a page?
 * @hva: an address that belongs to a memory slot
 * @pfn: what hva_to_pfn() returned for it, not an error
 *
 * Only the mapping tells whether memory without struct pages is peer-to-peer
 * memory. If the mapping has changed since @pfn was looked up, the type of @pfn
 * is unknown, and the kernel must not use it, either.
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
		/* follow_pfn() refuses VM_P2P mappings. */
		ret = follow_pfn(vma, hva, &now) || now != pfn;
	else
		ret = !pfn_valid(pfn);
	mmap_read_unlock(current->mm);
	return ret;
}
