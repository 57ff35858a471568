// SPDX-License-Identifier: GPL-2.0
/*
 * The life of a page of PCI peer-to-peer memory, see
 * Documentation/mm/p2p_lifetime.rst.
 *
 * The reference count alone tells the state of a page:
 *
 *	0	free, in the provider's pool; or allocated and not yet used
 *	1	in use: the base reference belongs to the allocation
 *	more	a system call or a driver holds it, too
 *
 * The owner of an allocation drops the base references when it is done. Each
 * page then goes back to the pool when its last reference drops, in whatever
 * context that is; usually that is at once and for all pages together.
 *
 * In a mapped buffer the aligned parts that a huge page table entry can map are
 * folios, from their first use until they are free: the reference count is that
 * of the folio, and its pages return together. p2pmem_order() finds these
 * parts. A provider may have chosen folios of one size for all of its memory
 * instead. These are permanent, and allocations are multiples of them.
 *
 * An allocation holds one reference to the page map for each of its pages,
 * until the page is back in the pool. So the struct pages outlive all
 * references to them. See bank.c for when they are removed.
 *
 * A page that stays in use when its buffer is gone has the mapper in
 * page->private, to uncharge the users when it returns, see mapper.c. Otherwise
 * page->private is 0.
 */

#include <linux/align.h>
#include <linux/container_of.h>
#include <linux/irqflags.h>
#include <linux/kernel.h>
#include <linux/llist.h>
#include <linux/math.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/page_ref.h>
#include <linux/pgtable.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/vm_p2p.h>
#include <linux/workqueue.h>

#include "bank.h"
#include "core.h"
#include "last-user.h"
#include "mapper.h"
#include "pages.h"
#include "pool.h"

#define P2PMEM_PMD_ORDER	(PMD_SHIFT - PAGE_SHIFT)
#define P2PMEM_PUD_ORDER	(PUD_SHIFT - PAGE_SHIFT)

/*
 * Gives pages back to the pool, and uncharges the users of @mapper for them. @mapper
 * is NULL for memory of a driver, and for pages that were uncharged before. The page
 * map may be gone as soon as this returns.
 */
static void p2pmem_return_pages(struct page *first, unsigned long nr_pages,
				const struct p2pmem_mapper *mapper)
{
	if (!nr_pages)
		return;
	if (mapper)
		p2pmem_mapper_uncharge(mapper, nr_pages);
	p2pmem_bank_put_pages(p2pmem_bank_of(first), page_to_pfn(first),
			      nr_pages);
}

/* The order of the permanent folios that the memory consists of; 0 if none. */
static unsigned int p2pmem_fixed_order(const struct page *page)
{
	return page_pgmap(page)->vmemmap_shift;
}

/**
 * p2pmem_folio_pages() - count the pages of an allocation
 * @page: its first page
 * @size: the size, in bytes
 *
 * Like p2pmem_pool_pages(), but the provider may be gone.
 *
 * Context: Any.
 * Return: the number of pages.
 */
unsigned long p2pmem_folio_pages(const struct page *page, size_t size)
{
	return round_up(PFN_UP(size), 1UL << p2pmem_fixed_order(page));
}

/*
 * Restores the bank's own page map, which adoption replaced, see adopt.c. The reference
 * count is 0, so only the caller can reach the page.
 */
static void p2pmem_revive(struct page *head)
{
	struct dev_pagemap *pgmap = &p2pmem_bank_of(head)->map.pgmap;

	if (unlikely(head->pgmap != pgmap))
		WRITE_ONCE(head->pgmap, pgmap);
}

/* @folio has a reference count of 0. */
static void p2pmem_return_folio(struct folio *folio)
{
	unsigned long nr_pages = folio_nr_pages(folio);

	p2pmem_mapper_return(&folio->page, nr_pages);
	p2pmem_revive(&folio->page);
	if (folio_test_large(folio) && !p2pmem_fixed_order(&folio->page))
		p2p_folio_take_apart(folio);
	p2pmem_return_pages(&folio->page, nr_pages, NULL);
}

/* Folios and base pages for p2pmem_freed_work. */
static LLIST_HEAD(p2pmem_freed_folios);

static void p2pmem_return_freed(struct work_struct *work)
{
	struct llist_node *node, *next;

	node = llist_del_all(&p2pmem_freed_folios);
	llist_for_each_safe(node, next, node) {
		struct page *page = container_of((void **)node, struct page,
						 zone_device_data);

		page->zone_device_data = NULL;
		p2pmem_return_folio(page_folio(page));
		cond_resched();
	}
}

/* Unbound, since a GiB of base pages takes long, and other work would wait for it. */
static DECLARE_WORK(p2pmem_freed_work, p2pmem_return_freed);

/**
 * p2pmem_flush_freed() - make sure that freed pages are back in their pool
 *
 * Context: Process context, may sleep.
 */
void p2pmem_flush_freed(void)
{
	flush_work(&p2pmem_freed_work);
}

/*
 * Runs in any context but NMI: the last reference may be that of a bio. A softirq may
 * drop hundreds of them, and each takes some thousand instructions, more for a folio.
 * The struct pages of 1 GiB are 16 MiB, too much to write to with interrupts off.
 */
static void p2pmem_page_free(struct page *page)
{
	struct folio *folio = page_folio(page);

	if (in_task() && !irqs_disabled() &&
	    (folio_order(folio) <= P2PMEM_PMD_ORDER || p2pmem_fixed_order(page))) {
		p2pmem_return_folio(folio);
		return;
	}
	if (llist_add((struct llist_node *)&page->zone_device_data,
		      &p2pmem_freed_folios))
		queue_work(system_unbound_wq, &p2pmem_freed_work);
}

/*
 * The driver deals with broken memory of its device. The generic handler would look
 * up the processes that use the page by page->mapping, which is not set. A process
 * that ran into an error gets SIGBUS anyway.
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
 * @bank: the bank that it is part of
 *
 * Context: Any.
 */
void p2pmem_init_pgmap(struct dev_pagemap *pgmap, struct p2pmem_bank *bank)
{
	pgmap->ops = &p2pmem_pgmap_ops;
	pgmap->owner = bank;
}

/**
 * p2pmem_get_pages() - take the base reference of each page of an allocation
 * @first: the first page of memory that the pool just handed out
 * @nr_pages: how many pages it has
 *
 * For allocations of drivers: no user may see a driver's data.
 *
 * Context: Any but NMI. The caller holds @nr_pages references to the page map.
 */
void p2pmem_get_pages(struct page *first, unsigned long nr_pages)
{
	struct p2pmem *p2pmem = p2pmem_bank_of(first)->p2pmem;
	unsigned long pfn = page_to_pfn(first);
	unsigned long i;

	p2pmem_last_user_forget(p2pmem_pool_last_user(p2pmem->pool, pfn), pfn,
				nr_pages);
	for (i = 0; i < nr_pages; i += 1UL << p2pmem_fixed_order(first))
		init_page_count(first + i);
}

static unsigned int p2pmem_order_in(unsigned long pfn, unsigned long first,
				    unsigned long nr_pages, unsigned int fixed)
{
	static const unsigned int orders[] = { P2PMEM_PUD_ORDER, P2PMEM_PMD_ORDER };
	unsigned long start, size;
	unsigned int i;

	if (fixed)
		return fixed;

	for (i = 0; i < ARRAY_SIZE(orders); i++) {
		size = 1UL << orders[i];
		start = ALIGN_DOWN(pfn, size);
		if (start >= first && start + size <= first + nr_pages)
			return orders[i];
	}
	return 0;
}

/**
 * p2pmem_order() - find the folio of a buffer that a page belongs to
 * @pfn: page frame number of the page
 * @first: page frame number of the buffer's first page
 * @nr_pages: how many pages the buffer has
 *
 * If the provider did not choose an order, the folio is the largest aligned part of
 * the buffer around the page that one page table entry can map. It depends on nothing
 * but the arguments, so that it need not be stored anywhere.
 *
 * Context: Any. The buffer owns its pages.
 * Return: the order of that folio; its first page is @pfn rounded down to it.
 */
unsigned int p2pmem_order(unsigned long pfn, unsigned long first,
			  unsigned long nr_pages)
{
	return p2pmem_order_in(pfn, first, nr_pages,
			       p2pmem_fixed_order(pfn_to_page(first)));
}

/**
 * p2pmem_use() - take base references at the first use
 * @page: the first page of a folio in a buffer, or of several base pages
 * @nr_pages: how many pages; none of them is in use
 * @order: the order of the folio, from p2pmem_order()
 *
 * For buffers, because p2pmem_get_pages() would make their allocation slow: it
 * writes to every struct page. When p2pmem_is_used() has returned true,
 * everything that the caller did before is visible.
 *
 * Context: Process context. The caller excludes other first uses of the buffer, and
 *	    p2pmem_put_buffer().
 */
void p2pmem_use(struct page *page, unsigned long nr_pages, unsigned int order)
{
	if (order && !p2pmem_fixed_order(page)) {
		p2p_folio_form(page, order);
		return;
	}
	for (; nr_pages; nr_pages -= 1UL << order, page += 1UL << order)
		page_ref_unfreeze(page, 1);
}

/*
 * Drops the base reference of each folio. Folios without other references
 * return to the pool at once, together, and so do their references to the page
 * map. Folios that were never used have no base reference, and return, too. The
 * others follow when their last reference is dropped.
 */
static void p2pmem_put_folios(unsigned long first, unsigned long nr_pages, bool folios,
			      struct p2pmem_mapper *mapper)
{
	/* Read first: pages that have returned may be allocated again. */
	unsigned int fixed = p2pmem_fixed_order(pfn_to_page(first));
	unsigned long end = first + nr_pages, from = first, pfn, size;
	struct page *page;

	for (pfn = first; pfn < end; pfn += size) {
		unsigned int order = folios ?
			p2pmem_order_in(pfn, first, nr_pages, fixed) : fixed;

		/* A buffer may have any number of folios. */
		if (folios)
			cond_resched();
		size = 1UL << order;
		page = pfn_to_page(pfn);
		/*
		 * A count of 0 stays 0, because no reference can be taken: the
		 * page was never used. A page that was used has at least the
		 * base reference.
		 */
		if (!page_ref_count(page))
			continue;
		if (page_ref_freeze(page, 1)) {
			p2pmem_revive(page);
			if (order && !fixed)
				p2p_folio_take_apart(page_folio(page));
			continue;
		}

		p2pmem_return_pages(pfn_to_page(from), pfn - from, mapper);
		from = pfn + size;
		p2pmem_mapper_leave(mapper, page, size);
		put_page(page);
	}

	p2pmem_return_pages(pfn_to_page(from), end - from, mapper);
}

/**
 * p2pmem_put_pages() - drop the base reference of each page of an allocation
 * @first: the first page
 * @nr_pages: how many pages; all have the same page map, and none is part of a
 *	      folio that p2pmem_use() made
 *
 * Pages without other references are in the pool when this returns.
 *
 * Context: Any but NMI.
 */
void p2pmem_put_pages(struct page *first, unsigned long nr_pages)
{
	p2pmem_put_folios(page_to_pfn(first), nr_pages, false, NULL);
}

/**
 * p2pmem_put_buffer() - drop the base references of a buffer
 * @first: page frame number of its first page
 * @nr_pages: how many pages it has
 * @mapper: the process that mapped it; the caller must not use it any more
 *
 * Like p2pmem_put_pages(), but for memory that p2pmem_use() was called for.
 *
 * Context: Process context, because taking large folios apart takes long.
 */
void p2pmem_put_buffer(unsigned long first, unsigned long nr_pages,
		       struct p2pmem_mapper *mapper)
{
	p2pmem_put_folios(first, nr_pages, true, mapper);
	p2pmem_mapper_done(mapper);
}

/**
 * p2pmem_is_held() - check whether pages of a buffer are in use
 * @first: page frame number of its first page
 * @nr_pages: how many pages it has
 *
 * Context: Process context. The caller keeps the buffer from being put.
 * Return: true if a page has more than its base reference. If false, that lasts
 *	   only if the pages can no longer be found.
 */
bool p2pmem_is_held(unsigned long first, unsigned long nr_pages)
{
	unsigned long pfn, end = first + nr_pages;

	for (pfn = first; pfn < end;
	     pfn += 1UL << p2pmem_order(pfn, first, nr_pages)) {
		/* A count above 1, the base reference. */
		if (page_ref_count(pfn_to_page(pfn)) & ~1)
			return true;
		cond_resched();
	}
	return false;
}
