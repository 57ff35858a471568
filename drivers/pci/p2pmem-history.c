// SPDX-License-Identifier: GPL-2.0
/*
 * Whose data does PCI peer-to-peer memory hold?
 *
 * Each page of a region has the owner who used it last, a number that the caller
 * gives, whether it is in use or free: it is the data that is somebody's. So this
 * changes when memory is used
 * for the first time after it was allocated, and not when it is allocated or
 * freed: what was allocated and never touched still holds what it held before,
 * and a free, which may be in softirq context, has nothing to do.
 *
 * A region is divided into blocks, as large and as aligned as what one PMD maps.
 * A block has one owner, until a part of it is used by another one. From then on
 * it has an array of the owners of its pages, until one uses all of it at once.
 * So large buffers cost as much as they have blocks, small ones are told apart
 * page by page, and all of it takes 16 bytes a block, and 4 KiB more where small
 * buffers have been: about an eighth of what struct pages take at most. These 4 KiB
 * are accounted to who made them necessary.
 *
 * Who can't be told apart for want of memory becomes P2PMEM_NOBODY. That is never
 * wrong: nobody's data is cleared for everybody.
 *
 * The lock is held for no more than one block, however long a range is: interrupts
 * are off meanwhile. Who looks at several blocks owns the pages, so that nothing
 * changes in between but that all may be forgotten.
 */

#include <linux/align.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/pgtable.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include "p2pmem-history.h"

#define BLOCK_PAGES	(PMD_SIZE >> PAGE_SHIFT)

struct p2pmem_block {
	u64 owner;		/* of all pages, if there is no array */
	u64 *pages;
};

struct p2pmem_history {
	spinlock_t lock;	/* protects the blocks */
	unsigned long pfn;	/* of the first block */
	unsigned long nr_blocks;
	struct p2pmem_block blocks[];
};

/* The block that a page is in, and how many of the pages from it on are, too. */
static struct p2pmem_block *
p2pmem_block_of(struct p2pmem_history *history, unsigned long pfn,
		unsigned long nr_pages, unsigned long *nr)
{
	unsigned long at = pfn - history->pfn;

	*nr = min(nr_pages, BLOCK_PAGES - at % BLOCK_PAGES);
	return &history->blocks[at / BLOCK_PAGES];
}

/**
 * p2pmem_history_create() - make the history of a region: all is nobody's
 * @pfn: the first page frame of the region
 * @nr_pages: how many pages it has
 * @nid: NUMA node for the data
 *
 * Context: Process context.
 * Return: the history, or NULL if there is no memory for it.
 */
struct p2pmem_history *p2pmem_history_create(unsigned long pfn,
					     unsigned long nr_pages, int nid)
{
	unsigned long first = ALIGN_DOWN(pfn, BLOCK_PAGES);
	unsigned long nr_blocks = DIV_ROUND_UP(pfn + nr_pages - first,
					       BLOCK_PAGES);
	struct p2pmem_history *history;
	unsigned long i;

	history = kvmalloc_node(struct_size(history, blocks, nr_blocks),
				GFP_KERNEL, nid);
	if (!history)
		return NULL;

	spin_lock_init(&history->lock);
	history->pfn = first;
	history->nr_blocks = nr_blocks;
	for (i = 0; i < nr_blocks; i++)
		history->blocks[i] = (struct p2pmem_block){ P2PMEM_NOBODY };
	return history;
}

/**
 * p2pmem_history_destroy() - forget a region
 * @history: its history, or NULL
 *
 * Context: Process context.
 */
void p2pmem_history_destroy(struct p2pmem_history *history)
{
	unsigned long i;

	for (i = 0; history && i < history->nr_blocks; i++)
		kfree(history->blocks[i].pages);
	kvfree(history);
}

/* How many of the pages of a block, from the first one on, are the owner's? */
static unsigned long p2pmem_block_match(const struct p2pmem_block *block,
					unsigned long first, unsigned long nr,
					u64 owner)
{
	unsigned long i = 0;

	if (!block->pages)
		return block->owner == owner ? nr : 0;
	while (i < nr && block->pages[first + i] == owner)
		i++;
	return i;
}

/**
 * p2pmem_history_match() - how many pages hold data of one owner only?
 * @history: history of the region
 * @pfn: the first page frame
 * @nr_pages: how many pages to look at, at least one
 * @owner: the owner
 *
 * Context: Any but NMI.
 * Return: how many of the pages, from the first one on, are that owner's:
 *	   @nr_pages if all are.
 */
unsigned long p2pmem_history_match(struct p2pmem_history *history,
				   unsigned long pfn, unsigned long nr_pages,
				   u64 owner)
{
	unsigned long done = 0, match, nr, flags;
	const struct p2pmem_block *block;

	do {
		block = p2pmem_block_of(history, pfn + done, nr_pages - done,
					&nr);
		spin_lock_irqsave(&history->lock, flags);
		match = p2pmem_block_match(block, (pfn + done) % BLOCK_PAGES, nr,
					   owner);
		spin_unlock_irqrestore(&history->lock, flags);
		done += match;
	} while (match == nr && done < nr_pages);
	return done;
}

/*
 * Some pages of a block have a new owner. @array: memory for the owners of single
 * pages, or NULL. Returns what is to be freed.
 */
static u64 *p2pmem_block_set(struct p2pmem_block *block, unsigned long first,
			     unsigned long nr, u64 owner, u64 *array)
{
	unsigned long i;

	if (nr == BLOCK_PAGES) {
		array = block->pages;
		block->pages = NULL;
		block->owner = owner;
		return array;
	}
	if (!block->pages) {
		if (block->owner == owner)
			return array;
		if (!array) {
			block->owner = P2PMEM_NOBODY;
			return NULL;
		}
		for (i = 0; i < BLOCK_PAGES; i++)
			array[i] = block->owner;
		swap(block->pages, array);
	}
	for (i = first; i < first + nr; i++)
		block->pages[i] = owner;
	return array;
}

static bool p2pmem_block_needs_array(const struct p2pmem_block *block,
				     unsigned long nr, u64 owner)
{
	return nr < BLOCK_PAGES && !block->pages && block->owner != owner;
}

/**
 * p2pmem_history_set() - the pages hold data of one owner only
 * @history: history of the region
 * @pfn: the first page frame
 * @nr_pages: how many pages
 * @owner: the owner
 *
 * Context: Process context, may sleep. The caller owns the pages.
 * Return: 0, or -ENOMEM; then some of the pages may be as before.
 */
int p2pmem_history_set(struct p2pmem_history *history, unsigned long pfn,
		       unsigned long nr_pages, u64 owner)
{
	struct p2pmem_block *block;
	unsigned long nr, flags;
	u64 *array;
	bool needed;

	for (; nr_pages; pfn += nr, nr_pages -= nr) {
		block = p2pmem_block_of(history, pfn, nr_pages, &nr);

		spin_lock_irqsave(&history->lock, flags);
		needed = p2pmem_block_needs_array(block, nr, owner);
		if (!needed)
			array = p2pmem_block_set(block, pfn % BLOCK_PAGES, nr,
						 owner, NULL);
		spin_unlock_irqrestore(&history->lock, flags);

		if (needed) {
			array = kmalloc_array(BLOCK_PAGES, sizeof(*array),
					      GFP_KERNEL_ACCOUNT);
			if (!array)
				return -ENOMEM;
			spin_lock_irqsave(&history->lock, flags);
			array = p2pmem_block_set(block, pfn % BLOCK_PAGES, nr,
						 owner, array);
			spin_unlock_irqrestore(&history->lock, flags);
		}
		kfree(array);
	}
	return 0;
}

/**
 * p2pmem_history_forget() - the pages hold nobody's data, or more than one owner's
 * @history: history of the region
 * @pfn: the first page frame
 * @nr_pages: how many pages
 *
 * Allocates nothing: where the pages of a block were not told apart before, all of
 * the block becomes nobody's.
 *
 * Context: Any but NMI.
 */
void p2pmem_history_forget(struct p2pmem_history *history, unsigned long pfn,
			   unsigned long nr_pages)
{
	struct p2pmem_block *block;
	unsigned long nr, flags;
	u64 *array;

	for (; nr_pages; pfn += nr, nr_pages -= nr) {
		block = p2pmem_block_of(history, pfn, nr_pages, &nr);
		spin_lock_irqsave(&history->lock, flags);
		array = p2pmem_block_set(block, pfn % BLOCK_PAGES, nr,
					 P2PMEM_NOBODY, NULL);
		spin_unlock_irqrestore(&history->lock, flags);
		kfree(array);
	}
}

#if IS_ENABLED(CONFIG_PCI_P2PMEM_KUNIT_TEST)
/* How many blocks have an array. */
unsigned long p2pmem_history_arrays(struct p2pmem_history *history)
{
	unsigned long i, nr = 0;

	for (i = 0; i < history->nr_blocks; i++)
		if (history->blocks[i].pages)
			nr++;
	return nr;
}
#endif
