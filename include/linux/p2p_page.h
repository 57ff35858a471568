/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Pages of peer-to-peer memory among others.
 */
#ifndef _LINUX_P2P_PAGE_H
#define _LINUX_P2P_PAGE_H

#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/mmzone.h>

#ifdef CONFIG_VM_P2P
/**
 * p2p_phys_mergeable() - may physically adjacent pages share a DMA segment?
 * @prev: a page before @page; with all pages between them it may share one
 * @page: the page that begins the second part
 * @addr: physical address at which the second part begins, in bytes
 *
 * A DMA segment has one route to its memory. Peer-to-peer memory of two
 * providers, or of a provider and the host, takes different routes, even where
 * the BARs, or the BAR and RAM, lie side by side.
 *
 * memremap_pages() adds memory by whole subsections, so inside one of these
 * there is nothing to look at.
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

/**
 * p2p_page_run() - how many pages may share a DMA segment for sure?
 * @pages: pages that are to follow each other
 * @max: how many there are, at least 1
 *
 * Counts the pages that are physically adjacent, up to the next subsection: up
 * to there p2p_phys_mergeable() has nothing to look at. ZONE_DEVICE depends on
 * SPARSEMEM_VMEMMAP, so neighbours in memory are neighbours in the memory map.
 *
 * Context: Any.
 * Return: The length of the run that @pages begins with, from 1 to @max.
 */
static inline unsigned int p2p_page_run(struct page **pages, unsigned int max)
{
	struct page *first = pages[0];
	unsigned int room, n;

	if (max < 2 || pages[1] != first + 1)
		return 1;
	room = PAGES_PER_SUBSECTION -
	       page_to_pfn(first) % PAGES_PER_SUBSECTION;
	max = min(max, room);
	for (n = 1; n < max; n++)
		if (pages[n] != first + n)
			break;
	return n;
}
#else
static inline bool p2p_phys_mergeable(const struct page *prev,
				      const struct page *page, phys_addr_t addr)
{
	return true;
}

static inline unsigned int p2p_page_run(struct page **pages, unsigned int max)
{
	return 1;
}
#endif /* CONFIG_VM_P2P */

#endif /* _LINUX_P2P_PAGE_H */
