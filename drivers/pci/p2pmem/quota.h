/* SPDX-License-Identifier: GPL-2.0 */
/* Quotas: how much of a provider's memory each user has, and may have. */
#ifndef _PCI_P2PMEM_QUOTA_H
#define _PCI_P2PMEM_QUOTA_H

#include <linux/types.h>
#include <linux/uidgid.h>
#include <linux/xarray.h>

#define P2PMEM_NO_QUOTA	ULONG_MAX

/**
 * struct p2pmem_quota - a quota, and how many pages users have
 * @max: how many pages a user may have; charges exclude changes
 * @pages: how many pages each user has, by user ID
 */
struct p2pmem_quota {
	unsigned long max;
	struct xarray pages;
};

/**
 * struct p2pmem_payers - the users that an allocation is charged to
 * @nr: how many there are
 * @uids: the users, each once; the first one is that of the process
 */
struct p2pmem_payers {
	unsigned int nr;
	kuid_t uids[];
};

struct p2pmem_payers *p2pmem_payers_create(kuid_t uid);
void p2pmem_payers_add(struct p2pmem_payers *payers, kuid_t uid);
void p2pmem_quota_init(struct p2pmem_quota *quota);
void p2pmem_quota_destroy(struct p2pmem_quota *quota);
size_t p2pmem_quota_list(struct p2pmem_quota *quota, char *buf, loff_t off,
			 size_t count);
int p2pmem_quota_charge(struct p2pmem_quota *quota,
			const struct p2pmem_payers *payers,
			unsigned long nr_pages, bool exempt, kuid_t *over);
void p2pmem_quota_uncharge(struct p2pmem_quota *quota,
			   const struct p2pmem_payers *payers,
			   unsigned long nr_pages);

#endif /* _PCI_P2PMEM_QUOTA_H */
