/* SPDX-License-Identifier: GPL-2.0 */
/* Clearing: no user sees the data of another user. */
#ifndef _PCI_P2PMEM_CLEAR_H
#define _PCI_P2PMEM_CLEAR_H

#include <linux/types.h>

struct file;
struct p2pmem_last_user;

/**
 * struct p2pmem_user - the user that memory is cleared for
 * @owner: the owner of the data; a number is never used twice
 * @sees_all: the user may see anybody's data
 */
struct p2pmem_user {
	u64 owner;
	bool sees_all;
};

void p2pmem_user_init(struct p2pmem_user *user, struct file *file);
void p2pmem_user_init_new(struct p2pmem_user *user);
int p2pmem_clear(struct p2pmem_last_user *last_user,
		 const struct p2pmem_user *user, unsigned long pfn,
		 unsigned long nr_pages);

#endif /* _PCI_P2PMEM_CLEAR_H */
