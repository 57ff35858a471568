/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Peer-to-peer memory without struct pages: range.c makes it, range-mmap.c lets
 * processes map it.
 */
#ifndef _PCI_P2PMEM_RANGE_H
#define _PCI_P2PMEM_RANGE_H

#include <linux/list.h>
#include <linux/p2p_hold.h>
#include <linux/p2pdma-map.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>

struct bin_attribute;
struct file;
struct p2pmem;
struct pci_dev;

struct pci_p2p_range {
	struct file *file;		/* holds the range */
	struct p2pdma_provider provider;	/* live until it is revoked */
	phys_addr_t phys;
	u64 len;			/* in bytes */
	int bar;
	bool write_combine;

	spinlock_t lock;		/* see range.c */
	bool paused;			/* the device can't be reached */
	bool lost;			/* the device has failed */
	unsigned int nr_mappings;	/* for DMA, and those being made */
	struct list_head mappings;
	wait_queue_head_t idle;		/* woken when there are no mappings */
	wait_queue_head_t resumed;	/* woken when it is not paused any more */
	struct p2p_holds holds;
	struct list_head node;		/* of all ranges */
};

void p2pdma_ranges_freeze(struct pci_dev *pdev);
bool p2pdma_ranges_are_in_transfer(struct pci_dev *pdev);
void p2pdma_ranges_give_up(struct pci_dev *pdev);
void p2pdma_ranges_resume(struct pci_dev *pdev);

#ifdef CONFIG_PCI_P2PMEM
extern struct bin_attribute p2pmem_range_attr;

u64 p2pmem_range_len(const struct p2pmem *p2pmem);
int p2pmem_range_publish(struct pci_p2p_range *range);
void p2pmem_range_unpublish(struct pci_p2p_range *range);
#else
static inline u64 p2pmem_range_len(const struct p2pmem *p2pmem)
{
	return 0;
}
#endif

#endif /* _PCI_P2PMEM_RANGE_H */
