/* SPDX-License-Identifier: GPL-2.0 */
/* Providers, and which devices may do DMA to them. */
#ifndef _PCI_P2PDMA_ROUTE_H
#define _PCI_P2PDMA_ROUTE_H

#include <linux/p2pdma-map.h>

struct device;
struct pci_dev;

void p2pdma_provider_start(struct p2pdma_provider *provider,
			   struct pci_dev *pdev, int bar,
			   struct p2pmem_stats __percpu *stats);
void p2pdma_provider_restart(struct p2pdma_provider *provider);
void p2pdma_provider_stop(struct p2pdma_provider *provider);
bool p2pdma_provider_is_mapped(const struct p2pdma_provider *provider);
const char *p2pdma_barred(struct device *dev);
bool p2pdma_host_bridge_allowed(const struct pci_dev *root, bool quiet);

#endif /* _PCI_P2PDMA_ROUTE_H */
