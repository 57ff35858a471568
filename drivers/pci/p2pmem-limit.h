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

/**
 * struct p2pmem_payers - the users whom an allocation counts for
 * @nr: how many there are
 * @uids: the users, each once; the first one is who allocates
 */
struct p2pmem_payers {
	unsigned int nr;
	kuid_t uids[];
};

struct p2pmem_payers *p2pmem_payers_create(kuid_t uid);
void p2pmem_payers_add(struct p2pmem_payers *payers, kuid_t uid);
void p2pmem_limit_init(struct p2pmem_limit *limit);
void p2pmem_limit_destroy(struct p2pmem_limit *limit);
int p2pmem_limit_charge(struct p2pmem_limit *limit,
			const struct p2pmem_payers *payers,
			unsigned long nr_pages, bool exempt, kuid_t *over);
void p2pmem_limit_uncharge(struct p2pmem_limit *limit,
			   const struct p2pmem_payers *payers,
			   unsigned long nr_pages);

#endif /* _PCI_P2PMEM_LIMIT_H */
