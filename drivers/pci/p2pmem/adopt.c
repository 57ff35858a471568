// SPDX-License-Identifier: GPL-2.0
/*
 * Adoption: a device comes back while pages of its memory are still in use from
 * the time of an earlier driver.
 *
 * The bank of these pages is an orphan, and there can't be other struct pages
 * for the same memory. So the bank is adopted, if the memory is the same: it
 * gets the new provider, and its region moves into the new provider's pool. The
 * pages in use return to that pool when they are free. All of the memory is
 * cleared before its next use, because the contents of a device that was gone
 * are unknown.
 *
 * Pages in use at that moment are dead until they are free: they belonged to a
 * device that is gone, even if the new one has the same name, and requests that
 * still hold them must not reach the new device. A dead page has another page
 * map, bank->dead, with a provider that is never live. So DMA mappings of live
 * pages need no extra check. p2pmem_revive() restores the bank's own page map
 * when the reference count is 0. A page with a count of 0 at the time of
 * adoption is not in use, and is left alone.
 */

#include <linux/err.h>
#include <linux/list.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/p2pdma-map.h>
#include <linux/pci.h>
#include <linux/range.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/spinlock.h>

#include "bank.h"
#include "core.h"
#include "mapper.h"
#include "pages.h"
#include "pool.h"

/* Copies what users of a page map read; its ref and provider.live stay 0. */
static void p2pmem_adopt_init_dead(struct p2pmem_bank *bank)
{
	struct dev_pagemap *dead = &bank->dead.pgmap;

	dead->type = bank->map.pgmap.type;
	dead->flags = bank->map.pgmap.flags;
	dead->vmemmap_shift = bank->map.pgmap.vmemmap_shift;
	dead->nr_range = 1;
	dead->range = bank->map.pgmap.range;
	p2pmem_init_pgmap(dead, bank);
	bank->dead.provider.mapped = bank->map.provider.mapped;
}

/* Makes the pages in use dead. No page can have its first use meanwhile. */
static void p2pmem_adopt_bury(struct p2pmem_bank *bank)
{
	struct p2pmem_pool *pool = bank->p2pmem->pool;
	unsigned long last = PHYS_PFN(bank->map.pgmap.range.end);
	unsigned long pfn = p2pmem_bank_pfn(bank);
	unsigned long nr_pages;

	for (; pfn <= last; pfn += nr_pages) {
		struct page *page;

		pfn = p2pmem_pool_next_used(pool, pfn);
		if (!pfn)
			break;
		page = pfn_to_page(pfn);
		nr_pages = 1;
		/* The tail pages of a folio have no page map of their own. */
		if (get_page_unless_zero(page)) {
			nr_pages = compound_nr(page);
			WRITE_ONCE(page->pgmap, &bank->dead.pgmap);
			/* If this is the last one, the page returns. */
			put_page(page);
		}
		cond_resched();
	}
}

/* From here on pages return to the new provider's pool. Nothing can be allocated yet. */
static struct p2pmem *p2pmem_adopt_move(struct p2pmem_bank *bank,
					struct p2pmem *p2pmem)
{
	struct p2pmem *old;

	kref_get(&p2pmem->ref);
	spin_lock_irq(&bank->lock);
	old = bank->p2pmem;
	p2pmem_pool_move(old->pool, p2pmem->pool, p2pmem_bank_pfn(bank));
	bank->p2pmem = p2pmem;
	spin_unlock_irq(&bank->lock);
	return old;
}

static void p2pmem_adopt(struct p2pmem_bank *bank, struct pci_dev *pdev,
			 struct p2pmem *p2pmem)
{
	struct pci_dev *old_pdev = bank->map.provider.pdev;
	unsigned long busy, pfn = p2pmem_bank_pfn(bank);
	struct p2pmem *old;

	p2pmem_adopt_init_dead(bank);
	/* Refused mappings are counted, and logged with the provider's name. */
	pci_dev_get(pdev);
	WRITE_ONCE(bank->dead.provider.pdev, pdev);
	WRITE_ONCE(bank->map.provider.pdev, pdev);
	WRITE_ONCE(bank->dead.provider.stats, p2pmem->stats);
	WRITE_ONCE(bank->map.provider.stats, p2pmem->stats);
	p2pmem_adopt_bury(bank);
	old = p2pmem_adopt_move(bank, p2pmem);
	p2pmem_pool_forget_memory(p2pmem->pool, pfn);
	synchronize_rcu();
	p2pmem_put(old);
	pci_dev_put(old_pdev);

	busy = p2pmem_pool_busy(p2pmem->pool, pfn);
	if (busy)
		p2pmem_mappers_report(bank, "unavailable, from before the driver was bound");
}

/*
 * Returns the orphan of the same memory, off the list; NULL if there is no
 * orphan; an ERR_PTR() if an orphan of other memory overlaps.
 */
static struct p2pmem_bank *p2pmem_adopt_find(struct pci_dev *pdev,
					     const struct dev_pagemap *wanted)
{
	u64 len = range_len(&wanted->range);
	struct p2pmem_bank *bank;

	bank = p2pmem_bank_take(wanted);
	if (bank)
		return bank;
	if (p2pmem_bank_is_in_the_way(pdev, wanted->range.start, len))
		return ERR_PTR(-EBUSY);
	return NULL;
}

/**
 * p2pmem_bank_adopt() - adopt memory still in use from an earlier driver
 * @pdev: the provider
 * @p2pmem: its struct p2pmem
 * @wanted: the page map that the caller would pass to memremap_pages()
 *
 * Context: Process context, may sleep, from the driver's probe().
 * Return: the page map of the adopted bank, for p2pmem_bank_release();
 *	   p2pmem_pool_open() makes its memory available. NULL if there is no
 *	   orphan. ERR_PTR(-EBUSY), after a message in the log, if an orphan of
 *	   other memory overlaps.
 */
struct pci_p2pdma_pagemap *p2pmem_bank_adopt(struct pci_dev *pdev,
					     struct p2pmem *p2pmem,
					     const struct dev_pagemap *wanted)
{
	struct p2pmem_bank *bank = p2pmem_adopt_find(pdev, wanted);

	if (IS_ERR_OR_NULL(bank))
		return ERR_CAST(bank);
	p2pmem_adopt(bank, pdev, p2pmem);
	return &bank->map;
}
