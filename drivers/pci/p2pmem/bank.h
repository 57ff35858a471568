/* SPDX-License-Identifier: GPL-2.0 */
/* The struct pages of memory that a provider has added: bank.c. */
#ifndef _PCI_P2PMEM_BANK_H
#define _PCI_P2PMEM_BANK_H

#include <linux/list.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/p2pdma-map.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include "../p2pdma-route.h"

struct p2pmem;
struct p2pmem_stats;
struct pci_dev;

#ifdef CONFIG_PCI_P2PMEM
/*
 * Owned by the provider's device until its driver is unbound, and then by its pages,
 * unless the device comes back before they are free.
 */
struct p2pmem_bank {
	struct pci_p2pdma_pagemap map;
	struct pci_p2pdma_pagemap dead;	/* of pages in use at adoption */
	struct p2pmem *p2pmem;		/* a reference; its pool has the memory */
	struct list_head mappers;	/* of pages without a buffer: mapper.c */
	struct list_head node;		/* in p2pmem->banks, or the list of orphans */

	spinlock_t lock;		/* protects all below */
	bool orphan;			/* the driver is gone */
	bool is_going;			/* and no page is in use any more */
	struct work_struct work;
};

/* The bank of a page of memory that p2pmem_bank_create() was called for. */
static inline struct p2pmem_bank *p2pmem_bank_of(const struct page *page)
{
	return page_pgmap(page)->owner;
}

static inline unsigned long p2pmem_bank_pfn(const struct p2pmem_bank *bank)
{
	return PHYS_PFN(bank->map.pgmap.range.start);
}

struct pci_p2pdma_pagemap *p2pmem_bank_create(struct pci_dev *pdev,
					      struct p2pmem *p2pmem);
void p2pmem_bank_free(struct pci_p2pdma_pagemap *map);
void p2pmem_bank_start(struct pci_p2pdma_pagemap *map, struct pci_dev *pdev,
		       int bar, struct p2pmem_stats __percpu *stats);
void p2pmem_bank_stop(struct pci_p2pdma_pagemap *map);
void p2pmem_banks_stop(struct p2pmem *p2pmem);
void p2pmem_banks_restart(struct p2pmem *p2pmem);
void p2pmem_bank_release(struct pci_p2pdma_pagemap *map);
void p2pmem_bank_put_pages(struct p2pmem_bank *bank, unsigned long pfn,
			   unsigned long nr_pages);
struct p2pmem_bank *p2pmem_bank_take(const struct dev_pagemap *wanted);
bool p2pmem_bank_is_in_the_way(struct pci_dev *pdev, u64 start, u64 len);

/* adopt.c */
struct pci_p2pdma_pagemap *p2pmem_bank_adopt(struct pci_dev *pdev,
					     struct p2pmem *p2pmem,
					     const struct dev_pagemap *wanted);
#else
static inline struct pci_p2pdma_pagemap *
p2pmem_bank_create(struct pci_dev *pdev, struct p2pmem *p2pmem)
{
	return kzalloc(sizeof(struct pci_p2pdma_pagemap), GFP_KERNEL);
}

static inline void p2pmem_bank_free(struct pci_p2pdma_pagemap *map)
{
	kfree(map);
}

static inline void p2pmem_bank_start(struct pci_p2pdma_pagemap *map,
				     struct pci_dev *pdev, int bar,
				     struct p2pmem_stats __percpu *stats)
{
	p2pdma_provider_start(&map->provider, pdev, bar, stats);
}

static inline void p2pmem_bank_stop(struct pci_p2pdma_pagemap *map)
{
	p2pdma_provider_stop(&map->provider);
}

/* Waits for pages that drivers hold. */
static inline void p2pmem_bank_release(struct pci_p2pdma_pagemap *map)
{
	memunmap_pages(&map->pgmap);
	kfree(map);
}

static inline struct pci_p2pdma_pagemap *
p2pmem_bank_adopt(struct pci_dev *pdev, struct p2pmem *p2pmem,
		  const struct dev_pagemap *wanted)
{
	return NULL;
}
#endif /* CONFIG_PCI_P2PMEM */

#endif /* _PCI_P2PMEM_BANK_H */
