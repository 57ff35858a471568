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
struct device;
struct device_attribute;
struct gen_pool;
struct p2pmem_stats;
struct page;
struct pci_dev;
struct scatterlist;
struct vm_area_struct;

#ifdef CONFIG_PCI_P2PMEM
void p2pmem_init_pgmap(struct dev_pagemap *pgmap, struct gen_pool *pool);
void p2pmem_get_pages(struct page *first, unsigned long nr_pages);
void p2pmem_use_page(struct page *page);
void p2pmem_put_pages(struct page *first, unsigned long nr_pages);
int p2pmem_copy(const struct vm_area_struct *vma, unsigned long addr, void *buf,
		int len, bool write);

extern struct bin_attribute *p2pmem_bin_attrs[];
#define P2PMEM_BIN_ATTRS p2pmem_bin_attrs
int p2pmem_setup(struct pci_dev *pdev, struct gen_pool *pool);
int p2pmem_add_region(struct pci_dev *pdev);

extern struct device_attribute dev_attr_dma_bus_bytes;
extern struct device_attribute dev_attr_dma_host_bridge_bytes;
extern struct device_attribute dev_attr_dma_refused;
int p2pmem_stats_setup(struct pci_dev *pdev);
struct p2pmem_stats __percpu *p2pmem_stats(struct pci_dev *pdev);
void p2pmem_stats_map(struct p2pmem_stats __percpu *stats,
		      const struct pci_dev *provider,
		      const struct device *client, struct scatterlist *sg,
		      int route);
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

static inline int p2pmem_stats_setup(struct pci_dev *pdev)
{
	return 0;
}
#endif /* CONFIG_PCI_P2PMEM */

#endif /* _PCI_P2PMEM_H */
