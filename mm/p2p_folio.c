// SPDX-License-Identifier: GPL-2.0
/*
 * Folios of peer-to-peer memory.
 *
 * memremap_pages() gives device memory base pages. Where an allocation is large
 * enough, its owner makes them folios of the size that huge page table entries
 * map, so that one reference holds what one entry maps, and makes them base pages
 * again before the memory goes back to its pool. A small allocation keeps base
 * pages, and another device's memory, or another allocation's, is not affected.
 *
 * What keeps others from a folio meanwhile is in Documentation/mm/p2p_lifetime.rst.
 *
 * The word of a tail page that points to its head is page->pgmap in the head and
 * in a base page: it is lost in between, and page_pgmap() is how to ask.
 */

#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/page_ref.h>
#include <linux/vm_p2p.h>

#include "internal.h"

/**
 * p2p_folio_form() - make base pages of peer-to-peer memory a folio
 * @page: the first page; nobody holds a reference to any of them
 * @order: the folio gets 2^@order pages, @page is aligned to that
 *
 * The folio gets one reference, the caller's. A lockless walk that finds one of
 * the pages meanwhile sees a reference count of 0, as before, and lets it be.
 *
 * Context: Any. The caller excludes others that would form it.
 */
void p2p_folio_form(struct page *page, unsigned int order)
{
	VM_WARN_ON_ONCE_PAGE(page_ref_count(page) || PageCompound(page), page);
	prep_compound_page(page, order);
	page_ref_unfreeze(page, 1);
}
EXPORT_SYMBOL_GPL(p2p_folio_form);

/**
 * p2p_folio_take_apart() - make a folio of peer-to-peer memory base pages again
 * @folio: a folio that p2p_folio_form() made, with a reference count of 0
 *
 * Its pages have a reference count of 0 then. A lockless walk that found a tail
 * page before has the head's count to increment, which stays 0 throughout.
 *
 * Context: Any. Takes three instructions or so for each page: not for a folio of
 *	    a PUD where others wait.
 */
void p2p_folio_take_apart(struct folio *folio)
{
	unsigned long i, nr_pages = folio_nr_pages(folio);
	struct page *page = &folio->page;
	struct dev_pagemap *pgmap = page->pgmap;

	VM_WARN_ON_ONCE_FOLIO(folio_ref_count(folio), folio);
	__ClearPageHead(page);
	/* In the first tail page: order, size, destructor and map count. */
	page[1].zone_device_data = NULL;

	for (i = 1; i < nr_pages; i++) {
		page[i].mapping = NULL;
		/* Overwrites compound_head: from here on it is a base page. */
		WRITE_ONCE(page[i].pgmap, pgmap);
	}
}
EXPORT_SYMBOL_GPL(p2p_folio_take_apart);
