// SPDX-License-Identifier: GPL-2.0
/*
 * The last user of each page: whose data peer-to-peer memory holds.
 *
 * Data outlives the allocation that it was written to, so each page of a region has
 * the number of the owner that used it last, whether the page is allocated or free.
 * The number changes at the first use after an allocation, and not when the page is
 * allocated or freed: memory that was allocated and never touched still holds what it
 * held before, and a free, which may run in softirq context, has nothing to do.
 *
 * A region is divided into blocks, as large and as aligned as what one PMD maps. A
 * block has one owner until another one uses a part of it. From then on it has an
 * array with an owner for each page, until one owner uses all of the block at once.
 * So the cost of a large buffer is per block, and small buffers are told apart page
 * by page. All of it takes 16 bytes per block, and 4 KiB more where small buffers
 * have been, at most an eighth of what struct pages take. The 4 KiB are charged to
 * the memory cgroup of the process that needed them.
 *
 * p2pmem_last_user_forget() can't allocate an array, so a block without one
 * becomes P2PMEM_NOBODY as a whole. That is always safe: memory without a known
 * owner is cleared whoever allocates it next.
 *
 * The lock is held for one block at a time, however long a range is, because
 * interrupts are off meanwhile. A caller that passes several blocks owns their
 * pages, so only p2pmem_last_user_forget() can change them in between.
 */

#include <linux/align.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/pgtable.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include "last-user.h"

#define BLOCK_PAGES	(PMD_SIZE >> PAGE_SHIFT)

struct p2pmem_block {
	u64 owner;		/* of all pages, if there is no array */
	u64 *pages;
};

struct p2pmem_last_user {
	spinlock_t lock;	/* protects the blocks */
	unsigned long pfn;	/* of the first block */
	unsigned long nr_blocks;
	struct p2pmem_block blocks[];
};

/* Returns the block of a page, and in *nr how many of the pages from there on are in it. */
static struct p2pmem_block *
p2pmem_block_of(struct p2pmem_last_user *last_user, unsigned long pfn,
		unsigned long nr_pages, unsigned long *nr)
{
	unsigned long at = pfn - last_user->pfn;

	*nr = min(nr_pages, BLOCK_PAGES - at % BLOCK_PAGES);
	return &last_user->blocks[at / BLOCK_PAGES];
}

/**
 * p2pmem_last_user_create() - make the record of a region, with no owner for any page
 * @pfn: the first page frame of the region
 * @nr_pages: how many pages it has
 * @nid: NUMA node for the data
 *
 * Context: Process context.
 * Return: the record, or NULL if there is no memory for it.
 */
struct p2pmem_last_user *p2pmem_last_user_create(unsigned long pfn,
						 unsigned long nr_pages, int nid)
{
	unsigned long first = ALIGN_DOWN(pfn, BLOCK_PAGES);
	unsigned long nr_blocks = DIV_ROUND_UP(pfn + nr_pages - first,
					       BLOCK_PAGES);
	struct p2pmem_last_user *last_user;
	unsigned long i;

	last_user = kvmalloc_node(struct_size(last_user, blocks, nr_blocks),
				  GFP_KERNEL, nid);
	if (!last_user)
		return NULL;

	spin_lock_init(&last_user->lock);
	last_user->pfn = first;
	last_user->nr_blocks = nr_blocks;
	for (i = 0; i < nr_blocks; i++)
		last_user->blocks[i] = (struct p2pmem_block){ P2PMEM_NOBODY };
	return last_user;
}

/**
 * p2pmem_last_user_destroy() - free the record of a region
 * @last_user: the record, or NULL
 *
 * Context: Process context.
 */
void p2pmem_last_user_destroy(struct p2pmem_last_user *last_user)
{
	unsigned long i;

	for (i = 0; last_user && i < last_user->nr_blocks; i++)
		kfree(last_user->blocks[i].pages);
	kvfree(last_user);
}

/* Returns how many of the pages of a block, from the first one on, are the owner's. */
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
 * p2pmem_last_user_match() - count the pages that hold data of one owner only
 * @last_user: the record of the region
 * @pfn: the first page frame
 * @nr_pages: how many pages to look at, at least one
 * @owner: the owner
 *
 * Context: Any but NMI.
 * Return: how many of the pages, from the first one on, are that owner's:
 *	   @nr_pages if all are.
 */
unsigned long p2pmem_last_user_match(struct p2pmem_last_user *last_user,
				     unsigned long pfn, unsigned long nr_pages,
				     u64 owner)
{
	unsigned long done = 0, match, nr, flags;
	const struct p2pmem_block *block;

	do {
		block = p2pmem_block_of(last_user, pfn + done, nr_pages - done,
					&nr);
		spin_lock_irqsave(&last_user->lock, flags);
		match = p2pmem_block_match(block, (pfn + done) % BLOCK_PAGES, nr,
					   owner);
		spin_unlock_irqrestore(&last_user->lock, flags);
		done += match;
	} while (match == nr && done < nr_pages);
	return done;
}

/*
 * Sets the owner of some pages of a block. @array: memory for the owners of single
 * pages, or NULL. Returns the array that the caller has to free, or NULL.
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
 * p2pmem_last_user_set() - record that pages hold data of one owner only
 * @last_user: the record of the region
 * @pfn: the first page frame
 * @nr_pages: how many pages
 * @owner: the owner
 *
 * Context: Process context, may sleep. The caller owns the pages.
 * Return: 0, or -ENOMEM, after which some of the pages may be unchanged.
 */
int p2pmem_last_user_set(struct p2pmem_last_user *last_user, unsigned long pfn,
			 unsigned long nr_pages, u64 owner)
{
	struct p2pmem_block *block;
	unsigned long nr, flags;
	u64 *array;
	bool needed;

	for (; nr_pages; pfn += nr, nr_pages -= nr) {
		block = p2pmem_block_of(last_user, pfn, nr_pages, &nr);

		spin_lock_irqsave(&last_user->lock, flags);
		needed = p2pmem_block_needs_array(block, nr, owner);
		if (!needed)
			array = p2pmem_block_set(block, pfn % BLOCK_PAGES, nr,
						 owner, NULL);
		spin_unlock_irqrestore(&last_user->lock, flags);

		if (needed) {
			array = kmalloc_array(BLOCK_PAGES, sizeof(*array),
					      GFP_KERNEL_ACCOUNT);
			if (!array)
				return -ENOMEM;
			spin_lock_irqsave(&last_user->lock, flags);
			array = p2pmem_block_set(block, pfn % BLOCK_PAGES, nr,
						 owner, array);
			spin_unlock_irqrestore(&last_user->lock, flags);
		}
		kfree(array);
	}
	return 0;
}

/**
 * p2pmem_last_user_forget() - record that pages hold data of unknown owners
 * @last_user: the record of the region
 * @pfn: the first page frame
 * @nr_pages: how many pages
 *
 * Allocates nothing: all of a block becomes P2PMEM_NOBODY if it has no array.
 *
 * Context: Any but NMI.
 */
void p2pmem_last_user_forget(struct p2pmem_last_user *last_user, unsigned long pfn,
			     unsigned long nr_pages)
{
	struct p2pmem_block *block;
	unsigned long nr, flags;
	u64 *array;

	for (; nr_pages; pfn += nr, nr_pages -= nr) {
		block = p2pmem_block_of(last_user, pfn, nr_pages, &nr);
		spin_lock_irqsave(&last_user->lock, flags);
		array = p2pmem_block_set(block, pfn % BLOCK_PAGES, nr,
					 P2PMEM_NOBODY, NULL);
		spin_unlock_irqrestore(&last_user->lock, flags);
		kfree(array);
	}
}

#if IS_ENABLED(CONFIG_PCI_P2PMEM_KUNIT_TEST)
/* Returns how many blocks have an array. */
unsigned long p2pmem_last_user_arrays(struct p2pmem_last_user *last_user)
{
	unsigned long i, nr = 0;

	for (i = 0; i < last_user->nr_blocks; i++)
		if (last_user->blocks[i].pages)
			nr++;
	return nr;
}
#endif
