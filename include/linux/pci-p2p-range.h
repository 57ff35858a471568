/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Peer-to-peer memory without struct pages: ranges of a PCI BAR.
 *
 * For memory that needs no struct pages, because the drivers of both devices
 * support ranges: the provider's driver creates a range and lets programs map
 * it; the client's driver looks up the range at a program's address and maps it
 * for DMA. Except for O_DIRECT and the like, ranges replace struct pages: they
 * have routes, a client can't map memory that it can't reach, and the removal
 * of the provider revokes them.
 *
 * See Documentation/driver-api/pci/p2pmem-range.rst.
 */
#ifndef _LINUX_PCI_P2P_RANGE_H
#define _LINUX_PCI_P2P_RANGE_H

#include <linux/dma-direction.h>
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/list.h>
#include <linux/types.h>

struct device;
struct p2p_hold;
struct pci_dev;
struct pci_p2p_range;
struct vm_area_struct;

/**
 * struct pci_p2p_mapping - a part of a range, mapped for DMA by a client
 * @addr: the address for the client's DMA
 * @len: length, in bytes
 * @revoke: set by the client before it maps, or NULL. Called once when the
 *	    provider revokes the range; the revocation waits until the client
 *	    has unmapped. Called in atomic context; must not unmap by itself,
 *	    but make the client unmap. May be called once pci_p2p_range_map()
 *	    has begun, but not after pci_p2p_range_unmap() has returned. A
 *	    mapping without it must be as short as a transfer.
 * @private: for the client
 */
struct pci_p2p_mapping {
	dma_addr_t addr;
	size_t len;
	void (*revoke)(struct pci_p2p_mapping *mapping);
	void *private;

	/* private: of drivers/pci/p2pmem/range.c */
	struct pci_p2p_range *range;
	struct device *client;
	struct list_head node;
	enum dma_data_direction dir;
	bool is_bus_addr;
};

#ifdef CONFIG_PCI_P2PMEM
struct pci_p2p_range *pci_p2p_range_create(struct pci_dev *pdev, int bar,
					   u64 offset, u64 len);
int pci_p2p_range_publish(struct pci_p2p_range *range);
void pci_p2p_range_revoke(struct pci_p2p_range *range);
int pci_p2p_range_mmap(struct pci_p2p_range *range, struct vm_area_struct *vma);

struct pci_p2p_range *pci_p2p_range_of_user(unsigned long addr, size_t len,
					    bool write, u64 *offset);
void pci_p2p_range_put(struct pci_p2p_range *range);
struct pci_p2p_range *pci_p2p_range_of_hold(const struct p2p_hold *hold,
					    u64 *offset);
int pci_p2p_range_map(struct pci_p2p_range *range, struct device *client,
		      u64 offset, size_t len, enum dma_data_direction dir,
		      struct pci_p2p_mapping *mapping);
void pci_p2p_range_unmap(struct pci_p2p_mapping *mapping);
#else
static inline struct pci_p2p_range *
pci_p2p_range_create(struct pci_dev *pdev, int bar, u64 offset, u64 len)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static inline int pci_p2p_range_publish(struct pci_p2p_range *range)
{
	return -EOPNOTSUPP;
}

static inline void pci_p2p_range_revoke(struct pci_p2p_range *range)
{
}

static inline int pci_p2p_range_mmap(struct pci_p2p_range *range,
				     struct vm_area_struct *vma)
{
	return -EOPNOTSUPP;
}

/* No address has a range behind it. */
static inline struct pci_p2p_range *
pci_p2p_range_of_user(unsigned long addr, size_t len, bool write, u64 *offset)
{
	return NULL;
}

static inline void pci_p2p_range_put(struct pci_p2p_range *range)
{
}

static inline struct pci_p2p_range *
pci_p2p_range_of_hold(const struct p2p_hold *hold, u64 *offset)
{
	return NULL;
}

static inline int
pci_p2p_range_map(struct pci_p2p_range *range, struct device *client,
		  u64 offset, size_t len, enum dma_data_direction dir,
		  struct pci_p2p_mapping *mapping)
{
	return -EOPNOTSUPP;
}

static inline void pci_p2p_range_unmap(struct pci_p2p_mapping *mapping)
{
}
#endif /* CONFIG_PCI_P2PMEM */

#endif /* _LINUX_PCI_P2P_RANGE_H */
