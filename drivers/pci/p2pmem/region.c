// SPDX-License-Identifier: GPL-2.0
/*
 * A region: a range of a BAR, and which of its pages are free.
 *
 * Userspace wants large, aligned buffers: a huge page table entry can only map
 * memory with a physical address that is aligned to the entry's size. So one
 * bit per page, as in lib/genalloc.c, is not enough: a search would go page by
 * page, even for gigabytes, and take the first run, aligned or not.
 *
 * A region is a binary tree. A leaf is a block, which has the size and the
 * alignment of what one PMD maps. Each node has the lengths of the longest runs
 * of free pages below it, and of those at its two ends, which may continue in
 * its neighbours. So one walk from the root to a leaf finds the first run of
 * some length, or that there is none. Updates are cheap, too: an allocation or
 * a free changes the few nodes that make up its range, and those above them. A
 * list of the longest run in each block would be simpler, but BARs may have
 * hundreds of gigabytes, and the list would be searched with interrupts off.
 *
 * Nodes below one that is wholly free or wholly used are not kept up to date:
 * they are all alike. So a gigabyte costs no more than a block, and the bits of
 * single pages are valid only for blocks that are partly used.
 *
 * Nodes are numbered as in a heap: the root is 1, the children of n are 2n and
 * 2n + 1. The root begins at region->base + its size. So the first page of node
 * n of an order is base + (n << order), and the node of that order that
 * contains a page is (pfn - base) >> order.
 *
 * Nothing here takes a lock, and only p2pmem_region_create() allocates.
 */

#include <linux/align.h>
#include <linux/bitmap.h>
#include <linux/build_bug.h>
#include <linux/err.h>
#include <linux/list.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/slab.h>

#include "last-user.h"
#include "region.h"

#define BLOCK_ORDER	(PMD_SHIFT - PAGE_SHIFT)
#define BLOCK_PAGES	(PMD_SIZE >> PAGE_SHIFT)
#define PUD_ORDER	(PUD_SHIFT - PAGE_SHIFT)
#define PUD_PAGES	(PUD_SIZE >> PAGE_SHIFT)

/* Lengths are u32, so this is the largest order of a node. */
#define MAX_TREE_ORDER	31

static void p2pmem_visit(struct p2pmem_region *region)
{
	if (IS_ENABLED(CONFIG_PCI_P2PMEM_KUNIT_TEST))
		region->visits++;
}

static bool p2pmem_wholly_free(const struct p2pmem_node *n, unsigned int order)
{
	return n->fit[FIT_ANY] == 1UL << order;
}

static bool p2pmem_wholly_used(const struct p2pmem_node *n)
{
	return !n->fit[FIT_ANY];
}

static unsigned long *p2pmem_bits(const struct p2pmem_region *region,
				  unsigned long block)
{
	unsigned long first = 1UL << (region->order - BLOCK_ORDER);

	BUILD_BUG_ON(BLOCK_PAGES % BITS_PER_LONG);
	return region->bitmap + (block - first) * BITS_TO_LONGS(BLOCK_PAGES);
}

/* A node of this order that is all free, or all used. */
static struct p2pmem_node p2pmem_whole(unsigned int order, bool free)
{
	u32 pages = free ? 1U << order : 0;

	return (struct p2pmem_node) {
		.head		= pages,
		.tail		= pages,
		.fit[FIT_PUD]	= order >= PUD_ORDER ? pages : 0,
		.fit[FIT_PMD]	= pages,
		.fit[FIT_ANY]	= pages,
	};
}

/* The longest free run of a block, which is known not to exceed @limit. */
static unsigned long p2pmem_longest(const unsigned long *bits,
				    unsigned long limit)
{
	unsigned long longest = 0;
	unsigned long start, end;

	start = find_first_zero_bit(bits, BLOCK_PAGES);
	while (start + longest < BLOCK_PAGES && longest < limit) {
		end = find_next_bit(bits, BLOCK_PAGES, start);
		longest = max(longest, end - start);
		start = find_next_zero_bit(bits, BLOCK_PAGES, end);
	}
	return longest;
}

/* Some pages of a block have become free, or used. */
static void p2pmem_set_bits(struct p2pmem_region *region, unsigned long block,
			    unsigned long first, unsigned long nr_pages,
			    bool free)
{
	unsigned long *bits = p2pmem_bits(region, block);
	struct p2pmem_node *n = &region->tree[block];
	unsigned long longest = n->fit[FIT_ANY];
	unsigned long begin, end;

	if (p2pmem_wholly_free(n, BLOCK_ORDER))
		bitmap_zero(bits, BLOCK_PAGES);
	else if (p2pmem_wholly_used(n))
		bitmap_fill(bits, BLOCK_PAGES);

	if (free) {
		bitmap_clear(bits, first, nr_pages);
		begin = find_last_bit(bits, first);
		begin = begin == first ? 0 : begin + 1;
		end = find_next_bit(bits, BLOCK_PAGES, first + nr_pages);
		longest = max(longest, end - begin);
	} else {
		bitmap_set(bits, first, nr_pages);
		longest = p2pmem_longest(bits, longest);
	}

	n->head = find_first_bit(bits, BLOCK_PAGES);
	end = find_last_bit(bits, BLOCK_PAGES);
	n->tail = end == BLOCK_PAGES ? BLOCK_PAGES : BLOCK_PAGES - 1 - end;
	n->fit[FIT_PUD] = 0;
	n->fit[FIT_SPLIT] = longest == BLOCK_PAGES ? 0 : longest;
	n->fit[FIT_PMD] = n->head;
	n->fit[FIT_ANY] = longest;
}

/*
 * Returns the length of the free run at the end of a node, from the first
 * aligned page of the run on.
 */
static u32 p2pmem_aligned_tail(enum p2pmem_fit fit,
			       const struct p2pmem_node *n)
{
	switch (fit) {
	case FIT_PUD:
		return ALIGN_DOWN(n->tail, PUD_PAGES);
	case FIT_PMD:
		return ALIGN_DOWN(n->tail, BLOCK_PAGES);
	case FIT_ANY:
		return n->tail;
	default:
		return 0;	/* in one block, so not across two nodes */
	}
}

/* Updates a node from its children. Returns true if the node changes. */
static bool p2pmem_fold(struct p2pmem_region *region, unsigned long node,
			unsigned int order)
{
	const struct p2pmem_node *left = &region->tree[2 * node];
	const struct p2pmem_node *right = left + 1;
	struct p2pmem_node *n = &region->tree[node];
	struct p2pmem_node sum = *left;
	u32 half = 1U << (order - 1);
	u32 changed;

	p2pmem_visit(region);
	if (left->head == half)
		sum.head += right->head;
	sum.tail = right->tail;
	if (right->tail == half)
		sum.tail += left->tail;

	/* The runs inside the right one, and those across the border. */
	sum.fit[FIT_SPLIT] = max(sum.fit[FIT_SPLIT], right->fit[FIT_SPLIT]);
	sum.fit[FIT_PMD] = max3(sum.fit[FIT_PMD], right->fit[FIT_PMD],
				p2pmem_aligned_tail(FIT_PMD, left) + right->head);
	sum.fit[FIT_ANY] = max3(sum.fit[FIT_ANY], right->fit[FIT_ANY],
				left->tail + right->head);
	if (order > PUD_ORDER)
		sum.fit[FIT_PUD] = max3(sum.fit[FIT_PUD], right->fit[FIT_PUD],
					p2pmem_aligned_tail(FIT_PUD, left) +
					right->head);
	else if (order == PUD_ORDER)
		sum.fit[FIT_PUD] = sum.head;

	changed = (n->head ^ sum.head) | (n->tail ^ sum.tail) |
		  (n->fit[FIT_PUD] ^ sum.fit[FIT_PUD]) |
		  (n->fit[FIT_SPLIT] ^ sum.fit[FIT_SPLIT]) |
		  (n->fit[FIT_PMD] ^ sum.fit[FIT_PMD]) |
		  (n->fit[FIT_ANY] ^ sum.fit[FIT_ANY]);
	if (changed)
		*n = sum;
	return changed;
}

/* A part of a node is about to change: its children must be up to date. */
static void p2pmem_unfold(struct p2pmem_region *region, unsigned long node,
			  unsigned int order)
{
	const struct p2pmem_node *n = &region->tree[node];
	bool free = p2pmem_wholly_free(n, order);

	p2pmem_visit(region);
	if (free || p2pmem_wholly_used(n)) {
		region->tree[2 * node] = p2pmem_whole(order - 1, free);
		region->tree[2 * node + 1] = region->tree[2 * node];
	}
}

/*
 * Returns the length of the first piece of a range that is one whole node, or
 * part of one block. @at is the beginning of the range less region->base.
 */
static unsigned long p2pmem_cut(unsigned long at, unsigned long nr_pages,
				unsigned int *order)
{
	*order = min_t(unsigned int, __ffs(at), ilog2(nr_pages));
	if (*order >= BLOCK_ORDER)
		return 1UL << *order;

	*order = BLOCK_ORDER;
	return min(nr_pages, BLOCK_PAGES - at % BLOCK_PAGES);
}

/**
 * p2pmem_region_mark() - make a range free, or used
 * @region: the region
 * @pfn: the first page frame of the range, which is inside the region
 * @nr_pages: how many pages; all used, or all free, until now
 * @free: the new state
 */
void p2pmem_region_mark(struct p2pmem_region *region, unsigned long pfn,
			unsigned long nr_pages, bool free)
{
	unsigned long at = pfn - region->base;
	unsigned int order, up;
	unsigned long nr;

	for (; nr_pages; at += nr, nr_pages -= nr) {
		nr = p2pmem_cut(at, nr_pages, &order);

		for (up = region->order; up > order; up--)
			p2pmem_unfold(region, at >> up, up);

		if (nr == 1UL << order)
			region->tree[at >> order] = p2pmem_whole(order, free);
		else
			p2pmem_set_bits(region, at >> order, at % BLOCK_PAGES,
					nr, free);

		for (up = order + 1; up <= region->order; up++)
			if (!p2pmem_fold(region, at >> up, up))
				break;
	}
}

/* Returns true if all of one piece from p2pmem_cut() is used. */
static bool p2pmem_piece_used(struct p2pmem_region *region, unsigned long at,
			      unsigned long nr_pages, unsigned int order)
{
	unsigned long first = at % BLOCK_PAGES;
	const struct p2pmem_node *n;
	unsigned int up;

	for (up = region->order; up >= order; up--) {
		p2pmem_visit(region);
		n = &region->tree[at >> up];
		if (p2pmem_wholly_used(n))
			return true;
		if (p2pmem_wholly_free(n, up))
			return false;
	}
	if (nr_pages == 1UL << order)
		return false;
	return find_next_zero_bit(p2pmem_bits(region, at >> order),
				  first + nr_pages, first) >= first + nr_pages;
}

/**
 * p2pmem_region_used() - check whether all of a range is used
 * @region: the region
 * @pfn: the first page frame of the range, which is inside the region
 * @nr_pages: how many pages
 *
 * Return: false if any page is free.
 */
bool p2pmem_region_used(struct p2pmem_region *region, unsigned long pfn,
			unsigned long nr_pages)
{
	unsigned long at = pfn - region->base;
	unsigned int order;
	unsigned long nr;

	for (; nr_pages; at += nr, nr_pages -= nr) {
		nr = p2pmem_cut(at, nr_pages, &order);
		if (!p2pmem_piece_used(region, at, nr, order))
			return false;
	}
	return true;
}

/**
 * p2pmem_region_next_used() - look for a page that is used
 * @region: the region
 * @pfn: page frame inside the region, to begin with
 *
 * Return: the first page frame from there on that is used, or 0.
 */
unsigned long p2pmem_region_next_used(struct p2pmem_region *region,
				      unsigned long pfn)
{
	unsigned long end = region->pfn + region->nr_pages;
	const struct p2pmem_node *n;
	unsigned long at, bit;
	unsigned int order;

	while (pfn < end) {
		at = pfn - region->base;
		for (order = region->order; order > BLOCK_ORDER; order--) {
			n = &region->tree[at >> order];
			if (p2pmem_wholly_used(n) || p2pmem_wholly_free(n, order))
				break;
		}
		n = &region->tree[at >> order];
		if (p2pmem_wholly_used(n))
			return pfn;
		if (!p2pmem_wholly_free(n, order)) {
			bit = find_next_bit(p2pmem_bits(region, at >> order),
					    BLOCK_PAGES, at % BLOCK_PAGES);
			if (bit < BLOCK_PAGES) {
				pfn += bit - at % BLOCK_PAGES;
				return pfn < end ? pfn : 0;
			}
		}
		pfn = region->base + (((at >> order) + 1) << order);
	}
	return 0;
}

/**
 * p2pmem_region_find() - look for a run of free pages
 * @region: the region
 * @fit: where it may begin
 * @nr_pages: how many pages
 *
 * Return: the first page frame of the first run that fits, or 0.
 */
unsigned long p2pmem_region_find(struct p2pmem_region *region,
				 enum p2pmem_fit fit, unsigned long nr_pages)
{
	unsigned int bottom = fit == FIT_PUD ? PUD_ORDER : BLOCK_ORDER;
	unsigned int order = region->order;
	const struct p2pmem_node *left;
	unsigned long node = 1;
	unsigned long start;
	u32 tail;

	p2pmem_visit(region);
	if (region->tree[1].fit[fit] < nr_pages)
		return 0;

	while (order > bottom && !p2pmem_wholly_free(&region->tree[node], order)) {
		p2pmem_visit(region);
		order--;
		node *= 2;
		left = &region->tree[node];
		if (left->fit[fit] >= nr_pages)
			continue;

		node++;
		tail = p2pmem_aligned_tail(fit, left);
		if (tail && tail + left[1].head >= nr_pages)
			return region->base + (node << order) - tail;
	}

	start = region->base + (node << order);
	/* Only inside a block the run may begin further in. */
	if (order == BLOCK_ORDER && region->tree[node].head < nr_pages)
		start += bitmap_find_next_zero_area(p2pmem_bits(region, node),
						    BLOCK_PAGES, 0, nr_pages, 0);
	return start;
}

/**
 * p2pmem_region_create() - make a region, all of it free
 * @pfn: the first page frame
 * @nr_pages: how many pages
 * @owner: for p2pmem_pool_alloc() to return
 * @nid: NUMA node for its data
 *
 * Any range will do. Pages of the tree outside of the range always count as
 * used.
 *
 * Return: the region, or an ERR_PTR().
 */
struct p2pmem_region *p2pmem_region_create(unsigned long pfn,
					   unsigned long nr_pages, void *owner,
					   int nid)
{
	struct p2pmem_region *region;
	unsigned long nr_blocks;
	unsigned long start;
	unsigned int depth;

	if (!pfn || !nr_pages || nr_pages > 1UL << (MAX_TREE_ORDER - 1))
		return ERR_PTR(-EINVAL);

	/* If a PUD may fit, the tree begins at one, as FIT_PUD needs. */
	start = ALIGN_DOWN(pfn, nr_pages < PUD_PAGES ? BLOCK_PAGES : PUD_PAGES);
	nr_blocks = DIV_ROUND_UP(pfn + nr_pages - start, BLOCK_PAGES);
	depth = order_base_2(nr_blocks);

	region = kvmalloc_node(struct_size(region, tree, 2UL << depth),
			       GFP_KERNEL, nid);
	if (!region)
		return ERR_PTR(-ENOMEM);
	region->bitmap = kvmalloc_node(nr_blocks * BLOCK_PAGES / BITS_PER_BYTE,
				       GFP_KERNEL, nid);
	if (!region->bitmap)
		goto err_free_region;
	region->last_user = p2pmem_last_user_create(pfn, nr_pages, nid);
	if (!region->last_user)
		goto err_free_bitmap;

	region->pfn = pfn;
	region->nr_pages = nr_pages;
	region->owner = owner;
	region->nr_used = 0;
	region->closed = false;
	region->order = BLOCK_ORDER + depth;
	region->base = start - (1UL << region->order);
	region->visits = 0;
	region->tree[1] = p2pmem_whole(region->order, false);
	p2pmem_region_mark(region, pfn, nr_pages, true);
	return region;

err_free_bitmap:
	kvfree(region->bitmap);
err_free_region:
	kvfree(region);
	return ERR_PTR(-ENOMEM);
}

/**
 * p2pmem_region_destroy() - free a region
 * @region: the region; no longer in a pool
 */
void p2pmem_region_destroy(struct p2pmem_region *region)
{
	p2pmem_last_user_destroy(region->last_user);
	kvfree(region->bitmap);
	kvfree(region);
}
