/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A range of a BAR, and which of its pages are free. For pool.c alone, which
 * holds the lock.
 */
#ifndef _PCI_P2PMEM_REGION_H
#define _PCI_P2PMEM_REGION_H

#include <linux/list.h>
#include <linux/types.h>

struct p2pmem_last_user;

/* Where a run of free pages may begin. In the order in which to try them. */
enum p2pmem_fit {
	FIT_PUD,		/* aligned to what a PUD maps */
	FIT_SPLIT,		/* inside a block that is partly used */
	FIT_PMD,		/* aligned to a block */
	FIT_ANY,		/* anywhere, also across blocks */
	NR_FITS
};

/* Lengths of runs of free pages. */
struct p2pmem_node {
	u32 head;		/* at its beginning */
	u32 tail;		/* at its end */
	u32 fit[NR_FITS];	/* the longest; FIT_PUD only in large nodes */
};

struct p2pmem_region {
	struct list_head node;
	unsigned long pfn;
	unsigned long nr_pages;
	void *owner;
	struct p2pmem_last_user *last_user;
	unsigned long nr_used;	/* pages */
	bool closed;		/* nothing is to be allocated */

	unsigned long base;	/* where a node 0 would begin */
	unsigned int order;	/* of the root */
	unsigned long visits;	/* of nodes, counted for the KUnit test */
	unsigned long *bitmap;	/* used pages, valid for split blocks */
	struct p2pmem_node tree[];
};

struct p2pmem_region *p2pmem_region_create(unsigned long pfn,
					   unsigned long nr_pages, void *owner,
					   int nid);
void p2pmem_region_destroy(struct p2pmem_region *region);
unsigned long p2pmem_region_find(struct p2pmem_region *region,
				 enum p2pmem_fit fit, unsigned long nr_pages);
bool p2pmem_region_used(struct p2pmem_region *region, unsigned long pfn,
			unsigned long nr_pages);
unsigned long p2pmem_region_next_used(struct p2pmem_region *region,
				      unsigned long pfn);
void p2pmem_region_mark(struct p2pmem_region *region, unsigned long pfn,
			unsigned long nr_pages, bool free);

#endif /* _PCI_P2PMEM_REGION_H */
