/* SPDX-License-Identifier: GPL-2.0 */
/* Whose data a range of PCI peer-to-peer memory holds. */
#ifndef _PCI_P2PMEM_HISTORY_H
#define _PCI_P2PMEM_HISTORY_H

#include <linux/types.h>

/* The data is that of the device, of a driver, or of more than one owner. */
#define P2PMEM_NOBODY	0

struct p2pmem_history;

struct p2pmem_history *p2pmem_history_create(unsigned long pfn,
					     unsigned long nr_pages, int nid);
void p2pmem_history_destroy(struct p2pmem_history *history);
unsigned long p2pmem_history_match(struct p2pmem_history *history,
				   unsigned long pfn, unsigned long nr_pages,
				   u64 owner);
int p2pmem_history_set(struct p2pmem_history *history, unsigned long pfn,
		       unsigned long nr_pages, u64 owner);
void p2pmem_history_forget(struct p2pmem_history *history, unsigned long pfn,
			   unsigned long nr_pages);
unsigned long p2pmem_history_arrays(struct p2pmem_history *history);

#endif /* _PCI_P2PMEM_HISTORY_H */
