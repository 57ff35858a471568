/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Peer-to-peer pages next to other pages.
 */
#ifndef _LINUX_P2P_PAGE_H
#define _LINUX_P2P_PAGE_H

#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/mmzone.h>

#ifdef CONFIG_VM_P2P
/**
 * p2p_phys_mergeable() - may physically adjacent pages share a DMA segment?
 * @prev: a page before @page; may share a segment with all pages in between
 * @page: the page that begins the second part
 * @addr: physical address at which the second part begins, in bytes
 *
 * A DMA segment has one route to its memory. Peer-to-peer memory of two
 * providers, or of a provider and the host, takes different routes, even where
 * the BARs, or the BAR and RAM, lie side by side.
 *
 * memremap_pages() adds whole subsections of memory, so only the start of a
 * subsection needs a check.
 *
 * Context: Any.
 * Return: true if one DMA segment may hold both.
 */
static inline bool p2p_phys_mergeable(const struct page *prev,
				      const struct page *page, phys_addr_t addr)
{
	if (likely(!IS_ALIGNED(addr, SUBSECTION_SIZE)))
		return true;
	if (is_pci_p2pdma_page(prev) != is_pci_p2pdma_page(page))
		return false;
	return !is_pci_p2pdma_page(page) || page_pgmap(prev) == page_pgmap(page);
}
#else
static inline bool p2p_phys_mergeable(const struct page *prev,
				      const struct page *page, phys_addr_t addr)
{
	return true;
}
#endif /* CONFIG_VM_P2P */

#endif /* _LINUX_P2P_PAGE_H */
