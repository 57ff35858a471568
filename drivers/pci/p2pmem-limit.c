// SPDX-License-Identifier: GPL-2.0
/*
 * How much of a provider's memory may a user have?
 *
 * Memory counts from its allocation until it is back in the pool, and that is not
 * when it is unmapped: who holds on to pages, by a transfer that takes its time,
 * goes on having them. They come back in pieces, from softirq context at times.
 * So a number for each user is all there is, and nothing is allocated or looked
 * for when it goes down.
 *
 * Everybody is counted, also who may exceed the limit.
 *
 * A user namespace gives a user more user IDs, up to all that /etc/subuid lists. So an
 * allocation counts for the owner of each user namespace that it is made in, too, as
 * ucounts do. These users are found once, at the allocation: the process may be gone, or
 * have another user ID, when the memory comes back.
 */

#include <linux/bug.h>
#include <linux/cred.h>
#include <linux/errno.h>
#include <linux/gfp.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/user_namespace.h>
#include <linux/xarray.h>

#include "p2pmem-limit.h"

/**
 * p2pmem_limit_init() - prepare a limit: there is none, and nobody has anything
 * @limit: the limit
 *
 * Context: Any.
 */
void p2pmem_limit_init(struct p2pmem_limit *limit)
{
	limit->max = P2PMEM_NO_LIMIT;
	xa_init_flags(&limit->pages, XA_FLAGS_LOCK_IRQ | XA_FLAGS_ACCOUNT);
}

/**
 * p2pmem_limit_destroy() - forget who has what
 * @limit: the limit
 *
 * Context: Process context.
 */
void p2pmem_limit_destroy(struct p2pmem_limit *limit)
{
	xa_destroy(&limit->pages);
}

static unsigned long p2pmem_limit_used(struct p2pmem_limit *limit, kuid_t uid)
{
	return xa_to_value(xa_load(&limit->pages, __kuid_val(uid)));
}

/**
 * p2pmem_payers_add() - let an allocation count for another user
 * @payers: whom it counts for so far; has room for one more
 * @uid: the user
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
 * p2pmem_payers_create() - find out whom an allocation of the current process counts for
 * @uid: the user that it is made as
 *
 * That user, and the owners of the user namespaces from the current one up. Root is
 * left out as an owner: it makes namespaces for others, who do not share a limit.
 *
 * Context: Process context, may sleep.
 * Return: the users, to be freed with kfree(), or NULL without memory.
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

static int p2pmem_limit_charge_one(struct p2pmem_limit *limit, kuid_t uid,
				   unsigned long nr_pages, unsigned long max)
{
	unsigned long used;
	int error = -EDQUOT;

	xa_lock_irq(&limit->pages);
	used = p2pmem_limit_used(limit, uid);
	/*
	 * The lock is dropped for want of memory only while there is no entry,
	 * and then there is nothing to uncharge.
	 */
	if (used <= max && nr_pages <= max - used)
		error = xa_err(__xa_store(&limit->pages, __kuid_val(uid),
					  xa_mk_value(used + nr_pages),
					  GFP_KERNEL));
	xa_unlock_irq(&limit->pages);
	return error;
}

/* With the lock held. */
static void p2pmem_limit_uncharge_one(struct p2pmem_limit *limit, kuid_t uid,
				      unsigned long nr_pages)
{
	unsigned long used;

	used = p2pmem_limit_used(limit, uid);
	if (WARN_ON_ONCE(nr_pages > used))
		nr_pages = used;
	/* Neither needs memory: the entry is there. */
	if (nr_pages == used)
		__xa_erase(&limit->pages, __kuid_val(uid));
	else
		__xa_store(&limit->pages, __kuid_val(uid),
			   xa_mk_value(used - nr_pages), GFP_NOWAIT);
}

static void p2pmem_limit_uncharge_first(struct p2pmem_limit *limit,
					const struct p2pmem_payers *payers,
					unsigned int nr, unsigned long nr_pages)
{
	unsigned long flags;

	xa_lock_irqsave(&limit->pages, flags);
	while (nr--)
		p2pmem_limit_uncharge_one(limit, payers->uids[nr], nr_pages);
	xa_unlock_irqrestore(&limit->pages, flags);
}

/**
 * p2pmem_limit_charge() - users are about to get memory
 * @limit: the limit
 * @payers: the users; all of them are charged or none
 * @nr_pages: how many pages, at least one
 * @exempt: the limit is not for this allocation
 * @over: where to store who would have too much; not used otherwise
 *
 * Context: Process context, may sleep. The caller excludes other charges.
 * Return: 0; -EDQUOT if one of them would have more than the limit; -ENOMEM.
 */
int p2pmem_limit_charge(struct p2pmem_limit *limit,
			const struct p2pmem_payers *payers,
			unsigned long nr_pages, bool exempt, kuid_t *over)
{
	unsigned long max = exempt ? P2PMEM_NO_LIMIT : limit->max;
	unsigned int i;
	int error;

	for (i = 0; i < payers->nr; i++) {
		error = p2pmem_limit_charge_one(limit, payers->uids[i],
						nr_pages, max);
		if (error) {
			*over = payers->uids[i];
			p2pmem_limit_uncharge_first(limit, payers, i, nr_pages);
			return error;
		}
	}
	return 0;
}

/**
 * p2pmem_limit_uncharge() - memory of users is about to return to the pool
 * @limit: the limit
 * @payers: the users, as when it was charged
 * @nr_pages: how many pages; not more than each of them has
 *
 * Context: Any but NMI.
 */
void p2pmem_limit_uncharge(struct p2pmem_limit *limit,
			   const struct p2pmem_payers *payers,
			   unsigned long nr_pages)
{
	p2pmem_limit_uncharge_first(limit, payers, payers->nr, nr_pages);
}
