/* SPDX-License-Identifier: GPL-2.0 */
/* The last user of each page: whose data peer-to-peer memory holds. */
#ifndef _PCI_P2PMEM_LAST_USER_H
#define _PCI_P2PMEM_LAST_USER_H

#include <linux/types.h>

/* The owner of data of the device, of a driver, or of unknown owners. */
#define P2PMEM_NOBODY	0

struct p2pmem_last_user;

struct p2pmem_last_user *p2pmem_last_user_create(unsigned long pfn,
						 unsigned long nr_pages, int nid);
void p2pmem_last_user_destroy(struct p2pmem_last_user *last_user);
unsigned long p2pmem_last_user_match(struct p2pmem_last_user *last_user,
				     unsigned long pfn, unsigned long nr_pages,
				     u64 owner);
int p2pmem_last_user_set(struct p2pmem_last_user *last_user, unsigned long pfn,
			 unsigned long nr_pages, u64 owner);
void p2pmem_last_user_forget(struct p2pmem_last_user *last_user, unsigned long pfn,
			     unsigned long nr_pages);
unsigned long p2pmem_last_user_arrays(struct p2pmem_last_user *last_user);

#endif /* _PCI_P2PMEM_LAST_USER_H */
