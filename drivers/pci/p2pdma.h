/* SPDX-License-Identifier: GPL-2.0 */
/* Routes and counters: the parts of PCI peer-to-peer DMA that p2pdma.c shares. */
#ifndef _PCI_P2PDMA_H
#define _PCI_P2PDMA_H

#include <linux/p2pdma-map.h>

struct attribute_group;
struct bin_attribute;
struct device_attribute;
struct pci_dev;
struct seq_buf;

/* p2pdma.c */
extern const struct attribute_group p2pmem_group;
enum pci_p2pdma_map_type p2pdma_route(struct pci_dev *provider,
				      struct pci_dev *client, bool *known);
enum pci_p2pdma_map_type p2pdma_explain_route(struct pci_dev *provider,
					      struct pci_dev *client, int *dist,
					      struct seq_buf *why);
u64 p2pdma_lowest_address(struct pci_dev *provider, bool bus);
int pci_p2pdma_add_pageless(struct pci_dev *pdev,
			    struct pci_p2pdma_pagemap *p2p, int bar, u64 offset,
			    u64 len);

/* p2pdma-route.c */
const char *p2pdma_barred(struct device *dev);
bool p2pdma_host_bridge_allowed(const struct pci_dev *root, bool quiet);

/* p2pdma-route-table.c */
extern struct bin_attribute p2pmem_routes_attr;

/* p2pdma-stats.c */
#ifdef CONFIG_PCI_P2PMEM
extern struct device_attribute dev_attr_dma_bus_bytes;
extern struct device_attribute dev_attr_dma_host_bridge_bytes;
extern struct device_attribute dev_attr_dma_refused;
void p2pmem_stats_refuse(struct pci_p2pdma_pagemap *p2p,
			 const struct device *client, phys_addr_t phys,
			 size_t size);
#else
static inline void p2pmem_stats_refuse(struct pci_p2pdma_pagemap *p2p,
				       const struct device *client,
				       phys_addr_t phys, size_t size)
{
}
#endif

#endif /* _PCI_P2PDMA_H */
