// SPDX-License-Identifier: GPL-2.0
/*
 * The life of a page of PCI peer-to-peer memory.
 *
 * The reference count alone tells the state of a page:
 *
 *	0	free, in the provider's pool; or allocated and not yet used
 *	1	in use: the base reference belongs to the allocation
 *	more	somebody else holds it too, a system call or a driver
 *
 * The owner of an allocation drops the base references when it is done. Each
 * page then goes back to the pool when its last reference drops, in whatever
 * context that is; usually that is at once and for all pages together.
 *
 * An allocation holds one reference to the page map for each of its pages, from
 * the pool's handing it out until the page is back. So the struct pages outlive
 * every reference to one of them: memunmap_pages() waits.
 */

#include <linux/genalloc.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/page_ref.h>
#include <linux/percpu-refcount.h>

#include "p2pmem.h"

/* The page map may be gone as soon as this returns. */
static void p2pmem_return_pages(struct page *first, unsigned long nr_pages)
{
	struct dev_pagemap *pgmap;

	if (!nr_pages)
		return;

	pgmap = page_pgmap(first);
	gen_pool_free(pgmap->owner, (unsigned long)page_to_virt(first),
		      nr_pages << PAGE_SHIFT);
	percpu_ref_put_many(&pgmap->ref, nr_pages);
}

/* Any context but NMI: the last reference may be that of a bio. */
static void p2pmem_page_free(struct page *page)
{
	p2pmem_return_pages(page, 1);
}

/*
 * Broken memory of a device is for its driver to deal with. The generic handler
 * would look for the mapping of the page, which it does not have, to find the
 * processes that use it. A process that ran into an error gets SIGBUS anyway.
 */
static int p2pmem_memory_failure(struct dev_pagemap *pgmap, unsigned long pfn,
				 unsigned long nr_pages, int mf_flags)
{
	return -ENXIO;
}

static const struct dev_pagemap_ops p2pmem_pgmap_ops = {
	.page_free = p2pmem_page_free,
	.memory_failure = p2pmem_memory_failure,
};

/**
 * p2pmem_init_pgmap() - let the pages of a page map return to a pool
 * @pgmap: page map of type MEMORY_DEVICE_PCI_P2PDMA, before memremap_pages()
 * @pool: the pool that will hold the memory, by its kernel virtual addresses;
 *	  must outlive @pgmap
 */
void p2pmem_init_pgmap(struct dev_pagemap *pgmap, struct gen_pool *pool)
{
	pgmap->ops = &p2pmem_pgmap_ops;
	pgmap->owner = pool;
}

/**
 * p2pmem_get_pages() - take the base reference of each page of an allocation
 * @first: the first page of memory that the pool just handed out
 * @nr_pages: how many pages it has
 *
 * Context: Any but NMI. The caller holds @nr_pages references to the page map.
 */
void p2pmem_get_pages(struct page *first, unsigned long nr_pages)
{
	unsigned long i;

	for (i = 0; i < nr_pages; i++)
		init_page_count(first + i);
}

/**
 * p2pmem_use_page() - take the base reference of a page at its first use
 * @page: a page of an allocation
 *
 * For an owner that can't afford p2pmem_get_pages() because it touches every
 * struct page. Users may race: only one can move the count away from 0.
 *
 * Context: Any. The caller makes sure that p2pmem_put_pages() is not called for
 *	    @page meanwhile.
 */
void p2pmem_use_page(struct page *page)
{
	if (!page_ref_count(page))
		atomic_cmpxchg(&page->_refcount, 0, 1);
}

/**
 * p2pmem_put_pages() - drop the base reference of each page of an allocation
 * @first: the first page
 * @nr_pages: how many pages; all have the same page map
 *
 * Pages that nobody else holds go back to the pool at once, together, and with
 * them the page map references that the allocation held for them. So do pages
 * whose base reference was never taken, because they were never used. The rest
 * follows when its holders let go.
 *
 * Context: Any but NMI.
 */
void p2pmem_put_pages(struct page *first, unsigned long nr_pages)
{
	struct page *end = first + nr_pages;
	struct page *page, *next;

	for (page = first; page < end; page = next) {
		next = page + 1;
		/*
		 * Nobody can take a reference to a page whose count is 0, so
		 * it stays what it is. A page that was used has at least the
		 * base reference.
		 */
		if (!page_ref_count(page) || page_ref_freeze(page, 1))
			continue;

		p2pmem_return_pages(first, page - first);
		first = next;
		put_page(page);
	}

	p2pmem_return_pages(first, end - first);
}
