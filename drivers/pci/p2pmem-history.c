// SPDX-License-Identifier: GPL-2.0
/*
 * Whose data does PCI peer-to-peer memory hold?
 *
 * Each page of a region has the user who used it last, whether it is in use or
 * free: it is the data that is somebody's. So this changes when memory is used
 * for the first time after it was allocated, and not when it is allocated or
 * freed: what was allocated and never touched still holds what it held before,
 * and a free, which may be in softirq context, has nothing to do.
 *
 * A region is divided into blocks, as large and as aligned as what one PMD maps.
 * A block has one user, until a part of it is used by another one. From then on
 * it has an array of the users of its pages, until one uses all of it at once.
 * So large buffers cost as much as they have blocks, small ones are told apart
 * page by page, and all of it takes 16 bytes a block, and 2 KiB more where small
 * buffers have been: about a sixteenth of what struct pages take at most.
 *
 * Who can't be told apart for want of memory becomes P2PMEM_NOBODY. That is never
 * wrong: nobody's data is cleared for everybody.
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
	kuid_t uid;		/* of all pages, if there is no array */
	kuid_t *pages;
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

/**
 * p2pmem_history_match() - how many pages hold data of one user only?
 * @history: history of the region
 * @pfn: the first page frame
 * @nr_pages: how many pages to look at
 * @uid: the user
 *
 * Context: Any but NMI.
 * Return: how many of the pages, from the first one on, are that user's:
 *	   @nr_pages if all are.
 */
unsigned long p2pmem_history_match(struct p2pmem_history *history,
				   unsigned long pfn, unsigned long nr_pages,
				   kuid_t uid)
{
	unsigned long done = 0, nr, i, flags;
	const struct p2pmem_block *block;

	spin_lock_irqsave(&history->lock, flags);
	for (; done < nr_pages; done += nr) {
		block = p2pmem_block_of(history, pfn + done, nr_pages - done,
					&nr);
		if (!block->pages) {
			if (!uid_eq(block->uid, uid))
				break;
			continue;
		}
		for (i = 0; i < nr; i++)
			if (!uid_eq(block->pages[(pfn + done + i) % BLOCK_PAGES],
				    uid))
				break;
		if (i < nr) {
			done += i;
			break;
		}
	}
	spin_unlock_irqrestore(&history->lock, flags);
	return done;
}

/*
 * Some pages of a block have a new user. @array: memory for the users of single
 * pages, or NULL. Returns what is to be freed.
 */
static kuid_t *p2pmem_block_set(struct p2pmem_block *block, unsigned long first,
				unsigned long nr, kuid_t uid, kuid_t *array)
{
	unsigned long i;

	if (nr == BLOCK_PAGES) {
		array = block->pages;
		block->pages = NULL;
		block->uid = uid;
		return array;
	}
	if (!block->pages) {
		if (uid_eq(block->uid, uid))
			return array;
		if (!array) {
			block->uid = P2PMEM_NOBODY;
			return NULL;
		}
		for (i = 0; i < BLOCK_PAGES; i++)
			array[i] = block->uid;
		swap(block->pages, array);
	}
	for (i = first; i < first + nr; i++)
		block->pages[i] = uid;
	return array;
}

static bool p2pmem_block_needs_array(const struct p2pmem_block *block,
				     unsigned long nr, kuid_t uid)
{
	return nr < BLOCK_PAGES && !block->pages && !uid_eq(block->uid, uid);
}

/**
 * p2pmem_history_set() - the pages hold data of one user only
 * @history: history of the region
 * @pfn: the first page frame
 * @nr_pages: how many pages
 * @uid: the user
 *
 * Context: Process context, may sleep. The caller owns the pages.
 * Return: 0, or -ENOMEM; then some of the pages may be as before.
 */
int p2pmem_history_set(struct p2pmem_history *history, unsigned long pfn,
		       unsigned long nr_pages, kuid_t uid)
{
	struct p2pmem_block *block;
	unsigned long nr, flags;
	kuid_t *array;
	bool needed;

	for (; nr_pages; pfn += nr, nr_pages -= nr) {
		block = p2pmem_block_of(history, pfn, nr_pages, &nr);

		spin_lock_irqsave(&history->lock, flags);
		needed = p2pmem_block_needs_array(block, nr, uid);
		if (!needed)
			array = p2pmem_block_set(block, pfn % BLOCK_PAGES, nr,
						 uid, NULL);
		spin_unlock_irqrestore(&history->lock, flags);

		if (needed) {
			array = kmalloc_array(BLOCK_PAGES, sizeof(*array),
					      GFP_KERNEL);
			if (!array)
				return -ENOMEM;
			spin_lock_irqsave(&history->lock, flags);
			array = p2pmem_block_set(block, pfn % BLOCK_PAGES, nr,
						 uid, array);
			spin_unlock_irqrestore(&history->lock, flags);
		}
		kfree(array);
	}
	return 0;
}

/**
 * p2pmem_history_forget() - the pages hold nobody's data, or more than one user's
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

	spin_lock_irqsave(&history->lock, flags);
	for (; nr_pages; pfn += nr, nr_pages -= nr) {
		block = p2pmem_block_of(history, pfn, nr_pages, &nr);
		kfree(p2pmem_block_set(block, pfn % BLOCK_PAGES, nr,
				       P2PMEM_NOBODY, NULL));
	}
	spin_unlock_irqrestore(&history->lock, flags);
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
