/* SPDX-License-Identifier: GPL-2.0 */
/* Counters of DMA mappings. */
#ifndef _PCI_P2PDMA_STATS_H
#define _PCI_P2PDMA_STATS_H

#include <linux/types.h>

struct device;
struct device_attribute;
struct p2pdma_provider;

#ifdef CONFIG_PCI_P2PMEM
extern struct device_attribute dev_attr_dma_bus_bytes;
extern struct device_attribute dev_attr_dma_host_bridge_bytes;
extern struct device_attribute dev_attr_dma_refused;

void p2pmem_stats_refuse(struct p2pdma_provider *provider,
			 const struct device *client, phys_addr_t phys,
			 size_t size);
#else
static inline void p2pmem_stats_refuse(struct p2pdma_provider *provider,
				       const struct device *client,
				       phys_addr_t phys, size_t size)
{
}
#endif

#endif /* _PCI_P2PDMA_STATS_H */
