// SPDX-License-Identifier: GPL-2.0
/*
 * Quotas: how much of a provider's memory each user may have.
 *
 * Memory is charged from its allocation until it is back in the pool, which may
 * be long after it was unmapped, because slow transfers hold pages. Pages
 * return in pieces, sometimes from softirq context. So there is one number per
 * user, and uncharging allocates nothing.
 *
 * Users that may exceed the quota are charged like all others.
 *
 * A user namespace gives a user more user IDs, up to all that /etc/subuid lists. So an
 * allocation is also charged to the owner of each user namespace that it is made in, as
 * ucounts do. These users are determined once, at the allocation: when the memory comes
 * back, the process may be gone, or have another user ID.
 */

#include <linux/bug.h>
#include <linux/cred.h>
#include <linux/errno.h>
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/user_namespace.h>
#include <linux/xarray.h>

#include "quota.h"

/**
 * p2pmem_quota_init() - prepare a quota without a maximum
 * @quota: the quota; no user has any memory
 *
 * Context: Any.
 */
void p2pmem_quota_init(struct p2pmem_quota *quota)
{
	quota->max = P2PMEM_NO_QUOTA;
	xa_init_flags(&quota->pages, XA_FLAGS_LOCK_IRQ | XA_FLAGS_ACCOUNT);
}

/**
 * p2pmem_quota_destroy() - free what p2pmem_quota_charge() has allocated
 * @quota: the quota
 *
 * Context: Process context.
 */
void p2pmem_quota_destroy(struct p2pmem_quota *quota)
{
	xa_destroy(&quota->pages);
}

static unsigned long p2pmem_quota_used(struct p2pmem_quota *quota, kuid_t uid)
{
	return xa_to_value(xa_load(&quota->pages, __kuid_val(uid)));
}

/**
 * p2pmem_quota_list() - list the users that have memory
 * @quota: the quota
 * @buf: where to store a part of the text
 * @off: the offset of that part, in bytes
 * @count: its maximum size, in bytes
 *
 * The text has a line for each user: the user ID in the initial user namespace
 * and how many bytes the user has. Lines before the part are generated and
 * discarded, so no state is needed between two calls.
 *
 * Context: Process context. Charges may change meanwhile.
 * Return: how many bytes were stored, 0 at the end of the text.
 */
size_t p2pmem_quota_list(struct p2pmem_quota *quota, char *buf, loff_t off,
			 size_t count)
{
	size_t done = 0, len;
	unsigned long uid;
	char line[48];
	void *entry;

	xa_for_each(&quota->pages, uid, entry) {
		len = scnprintf(line, sizeof(line), "%lu %lu\n", uid,
				xa_to_value(entry) << PAGE_SHIFT);
		if (off >= len) {
			off -= len;
			continue;
		}
		len = min_t(size_t, len - off, count - done);
		memcpy(buf + done, line + off, len);
		done += len;
		off = 0;
		if (done == count)
			break;
	}
	return done;
}

/**
 * p2pmem_payers_add() - add a user that an allocation is charged to
 * @payers: the users so far, with room for one more
 * @uid: the user; nothing changes if it is one of them
 *
 * Context: Any.
 */
void p2pmem_payers_add(struct p2pmem_payers *payers, kuid_t uid)
{
	unsigned int i;

	for (i = 0; i < payers->nr; i++)
		if (uid_eq(payers->uids[i], uid))
			return;
	payers->uids[payers->nr++] = uid;
}

/**
 * p2pmem_payers_create() - find the users that an allocation is charged to
 * @uid: the user that the current process allocates as
 *
 * They are that user and the owners of the user namespaces from the current one up.
 * Root is left out as an owner: it makes namespaces for other users, which do not
 * share a quota.
 *
 * Context: Process context, may sleep.
 * Return: the users, to be freed with kfree(), or NULL if out of memory.
 */
struct p2pmem_payers *p2pmem_payers_create(kuid_t uid)
{
	struct user_namespace *ns = current_user_ns();
	struct p2pmem_payers *payers;

	payers = kmalloc(struct_size(payers, uids, ns->level + 1),
			 GFP_KERNEL_ACCOUNT);
	if (!payers)
		return NULL;

	payers->nr = 0;
	p2pmem_payers_add(payers, uid);
	for (; ns != &init_user_ns; ns = ns->parent)
		if (!uid_eq(ns->owner, GLOBAL_ROOT_UID))
			p2pmem_payers_add(payers, ns->owner);
	return payers;
}

static int p2pmem_quota_charge_one(struct p2pmem_quota *quota, kuid_t uid,
				   unsigned long nr_pages, unsigned long max)
{
	unsigned long used;
	int error = -EDQUOT;

	xa_lock_irq(&quota->pages);
	used = p2pmem_quota_used(quota, uid);
	/*
	 * __xa_store() may drop the lock to allocate memory only while there is
	 * no entry, and then there is nothing to uncharge.
	 */
	if (used <= max && nr_pages <= max - used)
		error = xa_err(__xa_store(&quota->pages, __kuid_val(uid),
					  xa_mk_value(used + nr_pages),
					  GFP_KERNEL));
	xa_unlock_irq(&quota->pages);
	return error;
}

/* With the lock held. */
static void p2pmem_quota_uncharge_one(struct p2pmem_quota *quota, kuid_t uid,
				      unsigned long nr_pages)
{
	unsigned long used;

	used = p2pmem_quota_used(quota, uid);
	if (WARN_ON_ONCE(nr_pages > used))
		nr_pages = used;
	/* The entry exists, so neither call allocates. */
	if (nr_pages == used)
		__xa_erase(&quota->pages, __kuid_val(uid));
	else
		__xa_store(&quota->pages, __kuid_val(uid),
			   xa_mk_value(used - nr_pages), GFP_NOWAIT);
}

static void p2pmem_quota_uncharge_first(struct p2pmem_quota *quota,
					const struct p2pmem_payers *payers,
					unsigned int nr, unsigned long nr_pages)
{
	unsigned long flags;

	xa_lock_irqsave(&quota->pages, flags);
	while (nr--)
		p2pmem_quota_uncharge_one(quota, payers->uids[nr], nr_pages);
	xa_unlock_irqrestore(&quota->pages, flags);
}

/**
 * p2pmem_quota_charge() - charge users for memory that they are about to get
 * @quota: the quota
 * @payers: the users; all of them are charged or none
 * @nr_pages: how many pages, at least one
 * @exempt: the allocation may exceed the quota
 * @over: where to store the first user that can't be charged
 *
 * Context: Process context, may sleep. The caller excludes other charges.
 * Return: 0; -EDQUOT if a user would have more than the quota; -ENOMEM.
 */
int p2pmem_quota_charge(struct p2pmem_quota *quota,
			const struct p2pmem_payers *payers,
			unsigned long nr_pages, bool exempt, kuid_t *over)
{
	unsigned long max = exempt ? P2PMEM_NO_QUOTA : quota->max;
	unsigned int i;
	int error;

	for (i = 0; i < payers->nr; i++) {
		error = p2pmem_quota_charge_one(quota, payers->uids[i],
						nr_pages, max);
		if (error) {
			*over = payers->uids[i];
			p2pmem_quota_uncharge_first(quota, payers, i, nr_pages);
			return error;
		}
	}
	return 0;
}

/**
 * p2pmem_quota_uncharge() - uncharge users for memory that returns to the pool
 * @quota: the quota
 * @payers: the users, as when it was charged
 * @nr_pages: how many pages; not more than each of them has
 *
 * Context: Any but NMI.
 */
void p2pmem_quota_uncharge(struct p2pmem_quota *quota,
			   const struct p2pmem_payers *payers,
			   unsigned long nr_pages)
{
	p2pmem_quota_uncharge_first(quota, payers, payers->nr, nr_pages);
}
