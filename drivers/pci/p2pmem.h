/* SPDX-License-Identifier: GPL-2.0 */
/*
 * PCI peer-to-peer memory whose pages may be referenced by anybody: what
 * p2pdma.c, the owner of the pool, calls.
 */
#ifndef _PCI_P2PMEM_H
#define _PCI_P2PMEM_H

#include <linux/types.h>

struct bin_attribute;
struct dev_pagemap;
struct gen_pool;
struct page;
struct pci_dev;

#ifdef CONFIG_PCI_P2PMEM
void p2pmem_init_pgmap(struct dev_pagemap *pgmap, struct gen_pool *pool);
void p2pmem_get_pages(struct page *first, unsigned long nr_pages);
void p2pmem_use_page(struct page *page);
void p2pmem_put_pages(struct page *first, unsigned long nr_pages);

extern struct bin_attribute *p2pmem_bin_attrs[];
#define P2PMEM_BIN_ATTRS p2pmem_bin_attrs
int p2pmem_setup(struct pci_dev *pdev, struct gen_pool *pool);
int p2pmem_add_region(struct pci_dev *pdev);
#else
static inline void p2pmem_init_pgmap(struct dev_pagemap *pgmap,
				     struct gen_pool *pool)
{
}

static inline void p2pmem_get_pages(struct page *first, unsigned long nr_pages)
{
}

static inline void p2pmem_put_pages(struct page *first, unsigned long nr_pages)
{
}

#define P2PMEM_BIN_ATTRS NULL
static inline int p2pmem_setup(struct pci_dev *pdev, struct gen_pool *pool)
{
	return 0;
}

static inline int p2pmem_add_region(struct pci_dev *pdev)
{
	return 0;
}
#endif /* CONFIG_PCI_P2PMEM */

#endif /* _PCI_P2PMEM_H */
