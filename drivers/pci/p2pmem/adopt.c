// SPDX-License-Identifier: GPL-2.0
/*
 * Adoption: a device comes back while pages of its memory are in use since the time of an
 * earlier driver.
 *
 * The bank of that time is an orphan then, and there can be no other struct pages for
 * the same memory. So the bank is taken over, if the memory is the same: it gets the new
 * provider, and its region moves into the new provider's pool. The pages in use return
 * to that pool when they are free. All of the memory is cleared before its next use:
 * what a device contains that has been away is unknown.
 *
 * Until they are free these pages are dead: they were of a device that is gone, even if it
 * has the same name, and the requests that wait with them must not reach the new one. Each
 * gets another page map, bank->dead, whose provider is never live. So DMA mappings of
 * live pages need not look for anything. page->pgmap goes back to the bank's own page
 * map when the count is 0, see p2pmem_revive(). A page with a count of 0 is left alone,
 * since it is not in use.
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

/* What is not the same for the two page maps is set here, or stays 0. */
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

/* Pages in use become dead. None of them can be used for the first time. */
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
			/* It may have been the last one, and return at once. */
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
	/* Refusals are counted, and logged with the provider's name. */
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
 * Takes the orphan that is the same memory out of the list, or returns NULL if there is
 * none, or an ERR_PTR() if there is another one.
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
 * p2pmem_bank_adopt() - take over memory that is in use since an earlier driver
 * @pdev: the provider
 * @p2pmem: what processes have of its memory
 * @wanted: the page map that the caller wants, with all that memremap_pages() needs
 *
 * Context: Process context, may sleep, from the driver's probe().
 * Return: the page map of the bank, with all struct pages, for p2pmem_bank_release();
 *	   p2pmem_pool_open() makes its memory available. NULL if none is in use.
 *	   ERR_PTR(-EBUSY), after a message in the log, if it is not the same memory.
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
