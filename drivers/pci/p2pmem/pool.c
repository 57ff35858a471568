// SPDX-License-Identifier: GPL-2.0
/*
 * The free peer-to-peer memory of a provider.
 *
 * Large requests get memory that is aligned for huge page table entries, small
 * ones get memory that is not. Free memory is looked for in this order:
 *
 *	FIT_PUD		for requests of at least what a PUD maps: aligned to that
 *	FIT_SPLIT	inside a block that is partly used already, so that
 *			small requests don't use up what large ones need
 *	FIT_PMD		aligned to a block, which is what a PMD maps; the last
 *			block may be used in part
 *	FIT_ANY		wherever it fits, across blocks; a request fails only if
 *			a search page by page would fail, too
 *
 * Each is tried in all regions before the next one: a good place in the second
 * region is better than a bad one in the first.
 *
 * A spinlock is good enough: whatever the state of the pool, an operation takes some
 * thousand instructions, see region.c.
 */

#include <linux/err.h>
#include <linux/list.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include "last-user.h"
#include "pool.h"
#include "region.h"

#define PUD_PAGES	(PUD_SIZE >> PAGE_SHIFT)

struct p2pmem_pool {
	spinlock_t lock;	/* protects all below */
	struct list_head regions;
	unsigned long size;	/* in pages */
	unsigned long avail;
	unsigned int order;	/* of the smallest allocation */
	int nid;
};

/* Returns the region that contains all of a range, or NULL. */
static struct p2pmem_region *p2pmem_region_of(struct p2pmem_pool *pool,
					      unsigned long pfn,
					      unsigned long nr_pages)
{
	struct p2pmem_region *region;

	list_for_each_entry(region, &pool->regions, node)
		if (pfn >= region->pfn &&
		    pfn - region->pfn < region->nr_pages &&
		    nr_pages <= region->nr_pages - (pfn - region->pfn))
			return region;
	return NULL;
}

/**
 * p2pmem_pool_create() - make a pool that has no memory yet
 * @nid: NUMA node for its data
 *
 * Context: Process context.
 * Return: the pool, or NULL if there is no memory for it.
 */
struct p2pmem_pool *p2pmem_pool_create(int nid)
{
	struct p2pmem_pool *pool;

	pool = kzalloc_node(sizeof(*pool), GFP_KERNEL, nid);
	if (!pool)
		return NULL;

	spin_lock_init(&pool->lock);
	INIT_LIST_HEAD(&pool->regions);
	pool->nid = nid;
	return pool;
}

/* p2pmem_pool_destroy() of a pool in use, for the KUnit test. */
void __p2pmem_pool_destroy(struct p2pmem_pool *pool)
{
	struct p2pmem_region *region, *next;

	list_for_each_entry_safe(region, next, &pool->regions, node)
		p2pmem_region_destroy(region);
	kfree(pool);
}

/**
 * p2pmem_pool_destroy() - free a pool
 * @pool: the pool; none of its memory may be allocated
 *
 * Context: Process context.
 */
void p2pmem_pool_destroy(struct p2pmem_pool *pool)
{
	/* Leak it rather than let a late free write to freed memory. */
	if (!WARN_ON(pool->avail != pool->size))
		__p2pmem_pool_destroy(pool);
}

/**
 * p2pmem_pool_set_order() - hand out multiples of large folios only
 * @pool: the pool
 * @order: the order of the folios that all memory of the pool consists of, or 0
 *
 * Context: Process context.
 * Return: 0, or -EINVAL if there is memory with another order in the pool already.
 */
int p2pmem_pool_set_order(struct p2pmem_pool *pool, unsigned int order)
{
	if (pool->size && pool->order != order)
		return -EINVAL;
	pool->order = order;
	return 0;
}

/**
 * p2pmem_pool_pages() - count the pages of an allocation
 * @pool: the pool
 * @size: the size, in bytes
 *
 * Context: Any.
 * Return: the number of pages, to be passed to p2pmem_pool_alloc().
 */
unsigned long p2pmem_pool_pages(struct p2pmem_pool *pool, size_t size)
{
	return round_up(PFN_UP(size), 1UL << pool->order);
}

/**
 * p2pmem_pool_add() - add memory to a pool
 * @pool: the pool
 * @pfn: the first page frame
 * @nr_pages: how many; none of them may be in the pool already
 * @owner: what p2pmem_pool_alloc() will return for pages of this region
 *
 * Context: Process context.
 * Return: 0, -ENOMEM, or -EINVAL for an empty or absurdly large range.
 */
int p2pmem_pool_add(struct p2pmem_pool *pool, unsigned long pfn,
		    unsigned long nr_pages, void *owner)
{
	struct p2pmem_region *region;

	region = p2pmem_region_create(pfn, nr_pages, owner, pool->nid);
	if (IS_ERR(region))
		return PTR_ERR(region);

	spin_lock_irq(&pool->lock);
	list_add_tail(&region->node, &pool->regions);
	WRITE_ONCE(pool->size, pool->size + nr_pages);
	WRITE_ONCE(pool->avail, pool->avail + nr_pages);
	spin_unlock_irq(&pool->lock);
	return 0;
}

/**
 * p2pmem_pool_close() - stop handing out some memory
 * @pool: the pool
 * @pfn: the first page frame of the memory; nothing happens if it was not added
 *
 * Context: Process context.
 */
void p2pmem_pool_close(struct p2pmem_pool *pool, unsigned long pfn)
{
	struct p2pmem_region *region;

	spin_lock_irq(&pool->lock);
	region = p2pmem_region_of(pool, pfn, 1);
	if (region)
		region->closed = true;
	spin_unlock_irq(&pool->lock);
}

/**
 * p2pmem_pool_busy() - count the pages of some memory that are in use
 * @pool: the pool
 * @pfn: the first page frame of the memory
 *
 * Context: Any but NMI.
 * Return: how many pages are allocated; 0 if the memory was not added.
 */
unsigned long p2pmem_pool_busy(struct p2pmem_pool *pool, unsigned long pfn)
{
	struct p2pmem_region *region;
	unsigned long flags, busy;

	spin_lock_irqsave(&pool->lock, flags);
	region = p2pmem_region_of(pool, pfn, 1);
	busy = region ? region->nr_used : 0;
	spin_unlock_irqrestore(&pool->lock, flags);
	return busy;
}

/**
 * p2pmem_pool_next_used() - look for a page that is in use
 * @pool: the pool
 * @pfn: the page frame to begin with, of memory that was added
 *
 * Context: Process context.
 * Return: the first allocated page frame from @pfn on in the same memory, or 0.
 */
unsigned long p2pmem_pool_next_used(struct p2pmem_pool *pool, unsigned long pfn)
{
	struct p2pmem_region *region;

	spin_lock_irq(&pool->lock);
	region = p2pmem_region_of(pool, pfn, 1);
	pfn = region ? p2pmem_region_next_used(region, pfn) : 0;
	spin_unlock_irq(&pool->lock);
	return pfn;
}

/**
 * p2pmem_pool_move() - move memory from one pool to another
 * @from: the pool that it was added to
 * @to: the new pool, which does not hand it out before p2pmem_pool_open()
 * @pfn: the first page frame of the memory
 *
 * Pages in use stay in use, and will return to @to.
 *
 * Context: Any but NMI. The caller excludes p2pmem_pool_free() for the memory.
 */
void p2pmem_pool_move(struct p2pmem_pool *from, struct p2pmem_pool *to,
		      unsigned long pfn)
{
	struct p2pmem_region *region;
	unsigned long flags, nr_free;

	spin_lock_irqsave(&from->lock, flags);
	region = p2pmem_region_of(from, pfn, 1);
	nr_free = region->nr_pages - region->nr_used;
	region->closed = true;
	list_del(&region->node);
	WRITE_ONCE(from->size, from->size - region->nr_pages);
	WRITE_ONCE(from->avail, from->avail - nr_free);
	spin_unlock_irqrestore(&from->lock, flags);

	spin_lock_irqsave(&to->lock, flags);
	list_add_tail(&region->node, &to->regions);
	WRITE_ONCE(to->size, to->size + region->nr_pages);
	WRITE_ONCE(to->avail, to->avail + nr_free);
	spin_unlock_irqrestore(&to->lock, flags);
}

/**
 * p2pmem_pool_open() - hand out memory that was moved
 * @pool: the pool
 * @pfn: the first page frame of the memory
 *
 * Context: Process context.
 */
void p2pmem_pool_open(struct p2pmem_pool *pool, unsigned long pfn)
{
	spin_lock_irq(&pool->lock);
	p2pmem_region_of(pool, pfn, 1)->closed = false;
	spin_unlock_irq(&pool->lock);
}

/**
 * p2pmem_pool_remove() - remove memory from a pool
 * @pool: the pool
 * @pfn: first page frame of memory that may have been added, and is not in use
 *
 * Context: Process context.
 */
void p2pmem_pool_remove(struct p2pmem_pool *pool, unsigned long pfn)
{
	struct p2pmem_region *region;

	spin_lock_irq(&pool->lock);
	region = p2pmem_region_of(pool, pfn, 1);
	if (region) {
		list_del(&region->node);
		WRITE_ONCE(pool->size, pool->size - region->nr_pages);
		WRITE_ONCE(pool->avail, pool->avail - region->nr_pages);
	}
	spin_unlock_irq(&pool->lock);
	if (region)
		p2pmem_region_destroy(region);
}

/**
 * p2pmem_pool_alloc() - take contiguous memory out of a pool
 * @pool: the pool
 * @nr_pages: how many pages
 * @owner: where to store the owner of the region that they are from
 *
 * The alignment depends on @nr_pages, see the top of this file.
 *
 * Context: Any but NMI.
 * Return: the first page frame, or 0 if there is no free run of that length.
 */
unsigned long p2pmem_pool_alloc(struct p2pmem_pool *pool,
				unsigned long nr_pages, void **owner)
{
	struct p2pmem_region *region;
	enum p2pmem_fit fit;
	unsigned long flags;
	unsigned long pfn;

	if (!nr_pages)
		return 0;

	spin_lock_irqsave(&pool->lock, flags);
	/* FIT_SPLIT finds nothing for requests of a block or more. */
	fit = nr_pages < PUD_PAGES ? FIT_SPLIT : FIT_PUD;
	for (; fit < NR_FITS; fit++) {
		list_for_each_entry(region, &pool->regions, node) {
			if (region->closed)
				continue;
			pfn = p2pmem_region_find(region, fit, nr_pages);
			if (!pfn)
				continue;
			p2pmem_region_mark(region, pfn, nr_pages, false);
			region->nr_used += nr_pages;
			WRITE_ONCE(pool->avail, pool->avail - nr_pages);
			*owner = region->owner;
			goto out;
		}
	}
	pfn = 0;
out:
	spin_unlock_irqrestore(&pool->lock, flags);
	return pfn;
}

/* p2pmem_pool_free() without the warning, for the KUnit test. */
bool __p2pmem_pool_free(struct p2pmem_pool *pool, unsigned long pfn,
			unsigned long nr_pages)
{
	struct p2pmem_region *region;
	unsigned long flags;
	bool used;

	spin_lock_irqsave(&pool->lock, flags);
	region = p2pmem_region_of(pool, pfn, nr_pages);
	used = nr_pages && region && p2pmem_region_used(region, pfn, nr_pages);
	if (used) {
		p2pmem_region_mark(region, pfn, nr_pages, true);
		region->nr_used -= nr_pages;
		WRITE_ONCE(pool->avail, pool->avail + nr_pages);
	}
	spin_unlock_irqrestore(&pool->lock, flags);
	return used;
}

/**
 * p2pmem_pool_free() - put memory back into a pool
 * @pool: the pool
 * @pfn: the first page frame
 * @nr_pages: how many; part of an allocation, or several next to each other
 *
 * Never allocates memory. The pool may be gone as soon as this returns, unless
 * the caller prevents it.
 *
 * Context: Any but NMI.
 * Return: false, after a warning, if a page is not of this pool or is free
 *	   already; then nothing was done.
 */
bool p2pmem_pool_free(struct p2pmem_pool *pool, unsigned long pfn,
		      unsigned long nr_pages)
{
	bool done = __p2pmem_pool_free(pool, pfn, nr_pages);

	WARN_ONCE(!done, "p2pmem: %lu pages from pfn %#lx are not allocated, or not of this pool\n",
		  nr_pages, pfn);
	return done;
}

/**
 * p2pmem_pool_last_user() - find the record of the last users of an allocation
 * @pool: the pool
 * @pfn: the first page frame of the allocation
 *
 * Context: Any but NMI.
 * Return: the record of its region, which lasts until the memory is removed.
 */
struct p2pmem_last_user *p2pmem_pool_last_user(struct p2pmem_pool *pool,
					       unsigned long pfn)
{
	struct p2pmem_region *region;
	unsigned long flags;

	spin_lock_irqsave(&pool->lock, flags);
	region = p2pmem_region_of(pool, pfn, 1);
	spin_unlock_irqrestore(&pool->lock, flags);
	return region->last_user;
}

static void p2pmem_forget_region(struct p2pmem_region *region)
{
	unsigned long done, nr;

	for (done = 0; done < region->nr_pages; done += nr) {
		nr = min(region->nr_pages - done, PUD_PAGES);
		p2pmem_last_user_forget(region->last_user, region->pfn + done,
					nr);
		cond_resched();
	}
}

/**
 * p2pmem_pool_forget_memory() - record that some memory holds data of unknown owners
 * @pool: the pool
 * @pfn: the first page frame of the memory, which the caller keeps in the pool
 *
 * Context: Process context, may sleep.
 */
void p2pmem_pool_forget_memory(struct p2pmem_pool *pool, unsigned long pfn)
{
	struct p2pmem_region *region;

	spin_lock_irq(&pool->lock);
	region = p2pmem_region_of(pool, pfn, 1);
	spin_unlock_irq(&pool->lock);
	if (region)
		p2pmem_forget_region(region);
}

/**
 * p2pmem_pool_forget() - record that all of a pool holds data of unknown owners
 * @pool: the pool
 *
 * Context: Process context, may sleep. The caller keeps the pool from being destroyed,
 *	    and memory from being added or removed.
 */
void p2pmem_pool_forget(struct p2pmem_pool *pool)
{
	struct p2pmem_region *region;

	list_for_each_entry(region, &pool->regions, node)
		p2pmem_forget_region(region);
}

/**
 * p2pmem_pool_size() - get the size of a pool
 * @pool: the pool
 *
 * Context: Any.
 * Return: bytes.
 */
size_t p2pmem_pool_size(struct p2pmem_pool *pool)
{
	return READ_ONCE(pool->size) << PAGE_SHIFT;
}

/**
 * p2pmem_pool_avail() - get the size of the free memory of a pool
 * @pool: the pool
 *
 * Context: Any.
 * Return: bytes.
 */
size_t p2pmem_pool_avail(struct p2pmem_pool *pool)
{
	return READ_ONCE(pool->avail) << PAGE_SHIFT;
}

#if IS_ENABLED(CONFIG_PCI_P2PMEM_KUNIT_TEST)
/* Returns how many nodes were read or changed so far. */
unsigned long p2pmem_pool_visits(struct p2pmem_pool *pool)
{
	struct p2pmem_region *region;
	unsigned long visits = 0;

	list_for_each_entry(region, &pool->regions, node)
		visits += region->visits;
	return visits;
}
#endif
