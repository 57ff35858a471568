/* SPDX-License-Identifier: GPL-2.0 */
/* The life of a page of peer-to-peer memory. */
#ifndef _PCI_P2PMEM_PAGES_H
#define _PCI_P2PMEM_PAGES_H

#include <linux/mm.h>
#include <linux/types.h>

struct dev_pagemap;
struct p2pmem_bank;
struct p2pmem_mapper;

#ifdef CONFIG_PCI_P2PMEM
void p2pmem_init_pgmap(struct dev_pagemap *pgmap, struct p2pmem_bank *bank);
void p2pmem_flush_freed(void);
void p2pmem_get_pages(struct page *first, unsigned long nr_pages);
unsigned long p2pmem_folio_pages(const struct page *page, size_t size);
unsigned int p2pmem_order(unsigned long pfn, unsigned long first,
			  unsigned long nr_pages);
void p2pmem_use(struct page *page, unsigned long nr_pages, unsigned int order);
void p2pmem_put_pages(struct page *first, unsigned long nr_pages);
void p2pmem_put_buffer(unsigned long first, unsigned long nr_pages,
		       struct p2pmem_mapper *mapper);
bool p2pmem_is_held(unsigned long first, unsigned long nr_pages);

/* Was p2pmem_use() called for the folio that begins with this page of a buffer? */
static inline bool p2pmem_is_used(const struct page *page)
{
	/* Pairs with the release in page_ref_unfreeze(). */
	return atomic_read_acquire(&page->_refcount);
}
#else
static inline void p2pmem_get_pages(struct page *first, unsigned long nr_pages)
{
}

static inline unsigned long p2pmem_folio_pages(const struct page *page,
					       size_t size)
{
	return 0;
}

static inline void p2pmem_put_pages(struct page *first, unsigned long nr_pages)
{
}
#endif /* CONFIG_PCI_P2PMEM */

#endif /* _PCI_P2PMEM_PAGES_H */
