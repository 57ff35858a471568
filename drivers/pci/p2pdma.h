/* SPDX-License-Identifier: GPL-2.0 */
/* Providers of peer-to-peer memory, and the PCI topology around them. */
#ifndef _PCI_P2PDMA_H
#define _PCI_P2PDMA_H

#include <linux/dma-map-ops.h>
#include <linux/types.h>

struct attribute_group;
struct p2pdma_provider;
struct pci_dev;
struct seq_buf;

extern const struct attribute_group p2pmem_group;

enum pci_p2pdma_map_type p2pdma_route(struct pci_dev *provider,
				      struct pci_dev *client, bool *known);
enum pci_p2pdma_map_type p2pdma_explain_route(struct pci_dev *provider,
					      struct pci_dev *client, int *dist,
					      struct seq_buf *why);
u64 p2pdma_lowest_address(struct pci_dev *provider, bool bus);
int pci_p2pdma_add_pageless(struct pci_dev *pdev,
			    struct p2pdma_provider *provider, int bar,
			    u64 offset);

#endif /* _PCI_P2PDMA_H */
