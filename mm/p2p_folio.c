// SPDX-License-Identifier: GPL-2.0
/*
 * Folios of peer-to-peer memory.
 *
 * memremap_pages() creates base pages. The owner of a large allocation forms folios
 * of the size that huge page table entries map, so that one reference holds what
 * one entry maps, and takes them apart before the memory returns to its pool. Small
 * allocations keep their base pages, and the pages of other allocations and other
 * devices do not change.
 *
 * Documentation/mm/p2p_lifetime.rst explains why no other CPU can use a folio while
 * it is formed or taken apart.
 *
 * In a tail page, compound_head overlays page->pgmap. Use page_pgmap() to find the
 * page map of any page.
 */

#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/page_ref.h>
#include <linux/vm_p2p.h>

#include "internal.h"

/**
 * p2p_folio_form() - form a folio from base pages of peer-to-peer memory
 * @page: the first page; the reference count of all pages is 0
 * @order: the folio has 2^@order pages; @page is aligned to that
 *
 * The folio starts with one reference, which belongs to the caller. A lockless walk
 * that finds one of the pages meanwhile sees a reference count of 0 and skips it.
 *
 * Context: Any. The caller serializes the forming of this folio.
 */
void p2p_folio_form(struct page *page, unsigned int order)
{
	VM_WARN_ON_ONCE_PAGE(page_ref_count(page) || PageCompound(page), page);
	prep_compound_page(page, order);
	page_ref_unfreeze(page, 1);
}
EXPORT_SYMBOL_GPL(p2p_folio_form);

/**
 * p2p_folio_take_apart() - turn a folio of peer-to-peer memory into base pages
 * @folio: a folio that p2p_folio_form() formed, with a reference count of 0
 *
 * All pages have a reference count of 0 afterwards. A lockless walk that found a tail
 * page before tries to increment the count of the head, which remains 0 throughout.
 *
 * Context: Any. The cost is about three instructions per page, or a millisecond
 *	    for a folio of PUD size.
 */
void p2p_folio_take_apart(struct folio *folio)
{
	unsigned long i, nr_pages = folio_nr_pages(folio);
	struct page *page = &folio->page;
	struct dev_pagemap *pgmap = page->pgmap;

	VM_WARN_ON_ONCE_FOLIO(folio_ref_count(folio), folio);
	__ClearPageHead(page);
	/* Clears order, size, destructor and map count in the first tail page. */
	page[1].zone_device_data = NULL;

	for (i = 1; i < nr_pages; i++) {
		page[i].mapping = NULL;
		/* Overwrites compound_head, which makes this a base page. */
		WRITE_ONCE(page[i].pgmap, pgmap);
	}
}
EXPORT_SYMBOL_GPL(p2p_folio_take_apart);
