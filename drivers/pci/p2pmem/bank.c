// SPDX-License-Identifier: GPL-2.0
/*
 * Banks: the struct pages of memory that a provider added by one call, and
 * their lifetime beyond that of the provider's driver.
 *
 * When the driver is unbound, the memory can't be reached any more: there are
 * no mappings and no holds, and DMA mappings are refused. Only references to
 * pages remain, held by a process or by a queue: a request in a suspended
 * device mapper device holds pages of its caller, which may have exited long
 * ago. They can't be taken back, and may be held for any length of time. So
 * unbinding waits for DMA that is under way, and for nothing else.
 *
 * If references to pages are left, the bank becomes an orphan. It keeps the
 * struct pages, the page map, and the pool that the pages return to. When the
 * last page returns, a work item removes the bank. An orphan does not depend on
 * the driver: the code that it needs is built in, and it holds references to
 * the objects that it needs.
 *
 * Locks, outermost first: p2pmem->lock, p2pmem_orphans_lock, bank->lock, the
 * lock of the pool.
 */

#include <linux/container_of.h>
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/memremap.h>
#include <linux/mutex.h>
#include <linux/p2pdma-map.h>
#include <linux/pci.h>
#include <linux/percpu.h>
#include <linux/percpu-refcount.h>
#include <linux/range.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "../pci.h"
#include "../p2pdma-route.h"
#include "bank.h"
#include "core.h"
#include "mapper.h"
#include "pages.h"
#include "pool.h"

/* When to first log what an unbind waits for, and the interval after that. */
#define P2PMEM_REPORT_FIRST	HZ
#define P2PMEM_REPORT		(10 * HZ)

/*
 * References are usually dropped soon after DMA has ended. The bank becomes an
 * orphan if pages are still in use after this time.
 */
#define P2PMEM_GRACE		(HZ / 5)

static LIST_HEAD(p2pmem_orphans);
static DEFINE_SPINLOCK(p2pmem_orphans_lock);
static DECLARE_WAIT_QUEUE_HEAD(p2pmem_orphans_wait);

static unsigned long p2pmem_bank_busy(const struct p2pmem_bank *bank)
{
	return p2pmem_pool_busy(bank->p2pmem->pool, p2pmem_bank_pfn(bank));
}

/* No page is in use, no work is left, and nothing refers to the bank. */
static void p2pmem_bank_destroy(struct p2pmem_bank *bank)
{
	memunmap_pages(&bank->map.pgmap);
	/* The provider may have other memory in the pool, and be in a reset. */
	mutex_lock(&bank->p2pmem->lock);
	p2pmem_pool_remove(bank->p2pmem->pool, p2pmem_bank_pfn(bank));
	mutex_unlock(&bank->p2pmem->lock);

	spin_lock(&p2pmem_orphans_lock);
	list_del(&bank->node);
	spin_unlock(&p2pmem_orphans_lock);
	wake_up_all(&p2pmem_orphans_wait);
	p2pmem_bank_free(&bank->map);
}

/*
 * Returns true if the bank is an orphan without pages in use. The caller then
 * owns the bank, and must destroy it. Called with bank->lock held.
 */
static bool p2pmem_bank_goes(struct p2pmem_bank *bank)
{
	bank->is_going = bank->orphan && !p2pmem_bank_busy(bank);
	return bank->is_going;
}

/* The last page of an orphan has returned. */
static void p2pmem_bank_work(struct work_struct *work)
{
	struct p2pmem_bank *bank = container_of(work, struct p2pmem_bank, work);
	bool goes;

	spin_lock_irq(&bank->lock);
	goes = !bank->is_going && p2pmem_bank_goes(bank);
	spin_unlock_irq(&bank->lock);
	if (!goes)
		return;

	/*
	 * The work may have been queued again during the wait for bank->lock.
	 */
	cancel_work(&bank->work);
	pci_info(bank->map.provider.pdev, "peer-to-peer memory %#llx-%#llx is no longer in use\n",
		 bank->map.pgmap.range.start, bank->map.pgmap.range.end);
	p2pmem_bank_destroy(bank);
}

/**
 * p2pmem_bank_create() - make a bank without pages
 * @pdev: the provider
 * @p2pmem: its struct p2pmem
 *
 * Context: Process context, from the driver's probe().
 * Return: the page map of the bank, for the caller to fill in and to pass to
 *	   memremap_pages(), and then to p2pmem_bank_release(); NULL if out of
 *	   memory.
 */
struct pci_p2pdma_pagemap *p2pmem_bank_create(struct pci_dev *pdev,
					      struct p2pmem *p2pmem)
{
	struct p2pmem_bank *bank = kzalloc(sizeof(*bank), GFP_KERNEL);

	if (!bank)
		return NULL;
	bank->map.provider.mapped = alloc_percpu(long);
	if (!bank->map.provider.mapped) {
		kfree(bank);
		return NULL;
	}

	bank->map.provider.pdev = pci_dev_get(pdev);
	kref_get(&p2pmem->ref);
	bank->p2pmem = p2pmem;
	INIT_LIST_HEAD(&bank->mappers);
	INIT_LIST_HEAD(&bank->node);
	spin_lock_init(&bank->lock);
	INIT_WORK(&bank->work, p2pmem_bank_work);
	p2pmem_init_pgmap(&bank->map.pgmap, bank);
	return &bank->map;
}

/**
 * p2pmem_bank_free() - free a bank
 * @map: its page map, without struct pages
 *
 * Context: Process context.
 */
void p2pmem_bank_free(struct pci_p2pdma_pagemap *map)
{
	struct p2pmem_bank *bank = container_of(map, struct p2pmem_bank, map);

	p2pmem_put(bank->p2pmem);
	pci_dev_put(map->provider.pdev);
	free_percpu(map->provider.mapped);
	kfree(bank);
}

/**
 * p2pmem_bank_start() - let devices map the memory of a bank
 * @map: the page map of the bank, whose struct pages are there
 * @pdev: the provider
 * @bar: number of the BAR that contains the memory
 * @stats: the counters of @pdev
 *
 * Context: Process context, from the driver's probe().
 */
void p2pmem_bank_start(struct pci_p2pdma_pagemap *map, struct pci_dev *pdev,
		       int bar, struct p2pmem_stats __percpu *stats)
{
	struct p2pmem_bank *bank = container_of(map, struct p2pmem_bank, map);
	struct p2pmem *p2pmem = bank->p2pmem;

	mutex_lock(&p2pmem->lock);
	list_add_tail(&bank->node, &p2pmem->banks);
	p2pdma_provider_start(&map->provider, pdev, bar, stats);
	/* pci_p2pmem_resume() will restart it. */
	if (p2pmem->paused || p2pmem->lost)
		p2pdma_provider_stop(&map->provider);
	mutex_unlock(&p2pmem->lock);
}

/**
 * p2pmem_bank_stop() - refuse further DMA mappings of a bank, for good
 * @map: the page map of the bank, after p2pmem_bank_start()
 *
 * Context: Process context, when the resources of the driver are released.
 */
void p2pmem_bank_stop(struct pci_p2pdma_pagemap *map)
{
	struct p2pmem_bank *bank = container_of(map, struct p2pmem_bank, map);

	mutex_lock(&bank->p2pmem->lock);
	list_del_init(&bank->node);
	p2pdma_provider_stop(&map->provider);
	mutex_unlock(&bank->p2pmem->lock);
}

/**
 * p2pmem_banks_stop() - refuse DMA mappings while a device can't be reached
 * @p2pmem: the device's memory
 *
 * Requests that wait in a queue may hold pages for any length of time. If they
 * were mapped now, the client's reads would return all ones, or fail as if the
 * client were broken.
 *
 * Context: Process context, with p2pmem->lock held.
 */
void p2pmem_banks_stop(struct p2pmem *p2pmem)
{
	struct p2pmem_bank *bank;

	list_for_each_entry(bank, &p2pmem->banks, node)
		p2pdma_provider_stop(&bank->map.provider);
}

/**
 * p2pmem_banks_restart() - undo p2pmem_banks_stop()
 * @p2pmem: the memory of a device that can be reached again
 *
 * Context: Process context, with p2pmem->lock held.
 */
void p2pmem_banks_restart(struct p2pmem *p2pmem)
{
	struct p2pmem_bank *bank;

	list_for_each_entry(bank, &p2pmem->banks, node)
		p2pdma_provider_restart(&bank->map.provider);
}

/*
 * Waits until no device has a DMA mapping of the memory. The drivers of these
 * devices unmap when their DMA has ended or timed out. Apart from a shutdown
 * nothing else ends the wait: the driver core calls this to release the
 * resources of the driver, and has no use for an error. Even if the provider
 * was pulled out this has to wait, because another device may get its
 * addresses.
 */
static void p2pmem_bank_wait(struct p2pmem_bank *bank)
{
	struct p2pdma_provider *provider = &bank->map.provider;
	unsigned long report = jiffies + P2PMEM_REPORT_FIRST;

	while (p2pdma_provider_is_mapped(provider)) {
		if (p2pmem_is_system_down())
			return;
		if (time_after(jiffies, report)) {
			p2pmem_mappers_report(bank, "waiting for DMA that is under way");
			report = jiffies + P2PMEM_REPORT;
		}
		/* A long idle wait is neither load nor a hung task. */
		schedule_timeout_idle(msecs_to_jiffies(20));
	}
}

/* Waits, up to P2PMEM_GRACE, until all pages are back in the pool. */
static void p2pmem_bank_wait_briefly(struct p2pmem_bank *bank)
{
	unsigned long until = jiffies + P2PMEM_GRACE;

	while (p2pmem_bank_busy(bank) && time_before(jiffies, until)) {
		p2pmem_flush_freed();
		schedule_timeout_idle(1);
	}
}

/**
 * p2pmem_bank_release() - remove struct pages after a driver was unbound
 * @map: the page map of the bank; its provider was stopped, and no buffer has pages
 *
 * Waits for DMA mappings to end. If pages are still in use then, the struct
 * pages stay until these are free. Once the system goes down, they are never
 * removed.
 *
 * Context: Process context, when the resources of the driver are released.
 */
void p2pmem_bank_release(struct pci_p2pdma_pagemap *map)
{
	struct p2pmem_bank *bank = container_of(map, struct p2pmem_bank, map);
	bool goes;

	/* From here on nothing can be allocated. */
	p2pmem_pool_close(bank->p2pmem->pool, p2pmem_bank_pfn(bank));
	p2pmem_bank_wait(bank);
	if (p2pmem_is_system_down()) {
		if (p2pmem_bank_busy(bank))
			p2pmem_mappers_report(bank, "the system goes down: left in use");
		return;
	}

	p2pmem_bank_wait_briefly(bank);
	if (p2pmem_bank_busy(bank))
		p2pmem_mappers_report(bank, "unavailable until they are released");

	spin_lock(&p2pmem_orphans_lock);
	list_add_tail(&bank->node, &p2pmem_orphans);
	spin_unlock(&p2pmem_orphans_lock);

	spin_lock_irq(&bank->lock);
	bank->orphan = true;
	goes = p2pmem_bank_goes(bank);
	spin_unlock_irq(&bank->lock);
	/* The work item may have destroyed the bank already. */
	if (!goes)
		return;
	cancel_work_sync(&bank->work);
	p2pmem_bank_destroy(bank);
}

/**
 * p2pmem_bank_put_pages() - give pages back to their pool
 * @bank: the bank that they belong to
 * @pfn: the first page frame
 * @nr_pages: how many, with a reference to the page map for each
 *
 * Context: Any but NMI. The bank may be gone as soon as this returns.
 */
void p2pmem_bank_put_pages(struct p2pmem_bank *bank, unsigned long pfn,
			   unsigned long nr_pages)
{
	struct percpu_ref *ref = &bank->map.pgmap.ref;
	unsigned long flags;
	bool done;

	spin_lock_irqsave(&bank->lock, flags);
	done = p2pmem_pool_free(bank->p2pmem->pool, pfn, nr_pages);
	if (bank->orphan && !p2pmem_bank_busy(bank))
		queue_work(system_unbound_wq, &bank->work);
	spin_unlock_irqrestore(&bank->lock, flags);
	/* p2pmem_bank_destroy() waits for these references. */
	if (done)
		percpu_ref_put_many(ref, nr_pages);
}

static bool p2pmem_bank_overlaps(const struct p2pmem_bank *bank, u64 start,
				 u64 len)
{
	const struct range *range = &bank->map.pgmap.range;

	return range->start < start + len && start <= range->end;
}

/* Returns true if an overlapping orphan is about to be destroyed. */
static bool p2pmem_bank_is_going(u64 start, u64 len)
{
	struct p2pmem_bank *bank;
	bool found = false;

	spin_lock(&p2pmem_orphans_lock);
	list_for_each_entry(bank, &p2pmem_orphans, node)
		found |= p2pmem_bank_overlaps(bank, start, len) &&
			 READ_ONCE(bank->is_going);
	spin_unlock(&p2pmem_orphans_lock);
	return found;
}

static bool p2pmem_bank_is(const struct p2pmem_bank *bank,
			   const struct dev_pagemap *wanted)
{
	const struct dev_pagemap *pgmap = &bank->map.pgmap;

	return pgmap->range.start == wanted->range.start &&
	       pgmap->range.end == wanted->range.end &&
	       pgmap->vmemmap_shift == wanted->vmemmap_shift &&
	       pgmap->flags == wanted->flags;
}

/**
 * p2pmem_bank_take() - take the orphan of the same memory off the list
 * @wanted: a page map that describes the memory
 *
 * Context: Process context, may sleep.
 * Return: the bank, which belongs to the caller; NULL if there is none.
 */
struct p2pmem_bank *p2pmem_bank_take(const struct dev_pagemap *wanted)
{
	struct p2pmem_bank *bank, *found = NULL;

	wait_event(p2pmem_orphans_wait,
		   !p2pmem_bank_is_going(wanted->range.start,
					 range_len(&wanted->range)));

	spin_lock(&p2pmem_orphans_lock);
	list_for_each_entry(bank, &p2pmem_orphans, node) {
		if (!p2pmem_bank_is(bank, wanted))
			continue;
		spin_lock_irq(&bank->lock);
		if (bank->orphan && !bank->is_going) {
			bank->orphan = false;
			found = bank;
		}
		spin_unlock_irq(&bank->lock);
		break;
	}
	if (found)
		list_del_init(&found->node);
	spin_unlock(&p2pmem_orphans_lock);
	return found;
}

/**
 * p2pmem_bank_is_in_the_way() - check for overlapping orphans, and log them
 * @pdev: the device that the memory belongs to
 * @start: its physical address
 * @len: its length in bytes
 *
 * Context: Process context, may sleep. The driver of @pdev is being bound.
 * Return: true if an orphan of an earlier driver overlaps the memory.
 */
bool p2pmem_bank_is_in_the_way(struct pci_dev *pdev, u64 start, u64 len)
{
	struct p2pmem_bank *bank;
	bool found = false;

	wait_event(p2pmem_orphans_wait, !p2pmem_bank_is_going(start, len));

	spin_lock(&p2pmem_orphans_lock);
	list_for_each_entry(bank, &p2pmem_orphans, node) {
		if (!p2pmem_bank_overlaps(bank, start, len))
			continue;
		found = true;
		pci_err(pdev, "peer-to-peer memory %#llx-%#llx can't be added: pages of %#llx-%#llx are still in use from an earlier driver of %s\n",
			start, start + len - 1, bank->map.pgmap.range.start,
			bank->map.pgmap.range.end,
			pci_name(bank->map.provider.pdev));
		p2pmem_mappers_report(bank, "in the way");
	}
	spin_unlock(&p2pmem_orphans_lock);
	return found;
}
