/* SPDX-License-Identifier: GPL-2.0 */
/* How much of a provider's memory each user has, and may have. */
#ifndef _PCI_P2PMEM_LIMIT_H
#define _PCI_P2PMEM_LIMIT_H

#include <linux/types.h>
#include <linux/uidgid.h>
#include <linux/xarray.h>

#define P2PMEM_NO_LIMIT	ULONG_MAX

/**
 * struct p2pmem_limit - a limit, and how far from it users are
 * @max: how many pages a user may have; who charges and who changes it exclude
 *	 each other
 * @pages: by the number of the user: how many pages it has
 */
struct p2pmem_limit {
	unsigned long max;
	struct xarray pages;
};

void p2pmem_limit_init(struct p2pmem_limit *limit);
void p2pmem_limit_destroy(struct p2pmem_limit *limit);
int p2pmem_limit_charge(struct p2pmem_limit *limit, kuid_t uid,
			unsigned long nr_pages, bool exempt);
void p2pmem_limit_uncharge(struct p2pmem_limit *limit, kuid_t uid,
			   unsigned long nr_pages);

#endif /* _PCI_P2PMEM_LIMIT_H */
