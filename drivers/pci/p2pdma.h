/* SPDX-License-Identifier: GPL-2.0 */
/* What the parts of PCI peer-to-peer DMA know of each other. */
#ifndef _PCI_P2PDMA_H
#define _PCI_P2PDMA_H

#include <linux/p2pdma-map.h>

struct pci_dev;
struct seq_buf;

enum pci_p2pdma_map_type pci_p2pdma_map_type(struct pci_dev *provider,
					     struct pci_dev *client, bool *known);
enum pci_p2pdma_map_type pci_p2pdma_path(struct pci_dev *provider,
					 struct pci_dev *client, int *dist,
					 struct seq_buf *why);
u64 pci_p2pdma_lowest(struct pci_dev *provider, bool bus);
const char *pci_p2pdma_unfit(struct device *dev);
bool p2pdma_host_bridge_allowed(const struct pci_dev *root, bool quiet);

#endif /* _PCI_P2PDMA_H */
