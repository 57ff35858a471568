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
 */

#include <linux/bug.h>
#include <linux/errno.h>
#include <linux/gfp.h>
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
 * p2pmem_limit_charge() - a user is about to get memory
 * @limit: the limit
 * @uid: the user
 * @nr_pages: how many pages, at least one
 * @exempt: the limit is not for this one
 *
 * Context: Process context, may sleep. The caller excludes other charges.
 * Return: 0; -EDQUOT if the user would have more than the limit; -ENOMEM.
 */
int p2pmem_limit_charge(struct p2pmem_limit *limit, kuid_t uid,
			unsigned long nr_pages, bool exempt)
{
	unsigned long max = exempt ? P2PMEM_NO_LIMIT : limit->max;
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

/**
 * p2pmem_limit_uncharge() - memory of a user is about to return to the pool
 * @limit: the limit
 * @uid: the user
 * @nr_pages: how many pages; not more than the user has
 *
 * Context: Any but NMI.
 */
void p2pmem_limit_uncharge(struct p2pmem_limit *limit, kuid_t uid,
			   unsigned long nr_pages)
{
	unsigned long used, flags;

	xa_lock_irqsave(&limit->pages, flags);
	used = p2pmem_limit_used(limit, uid);
	if (WARN_ON_ONCE(nr_pages > used))
		nr_pages = used;
	/* Neither needs memory: the entry is there. */
	if (nr_pages == used)
		__xa_erase(&limit->pages, __kuid_val(uid));
	else
		__xa_store(&limit->pages, __kuid_val(uid),
			   xa_mk_value(used - nr_pages), GFP_NOWAIT);
	xa_unlock_irqrestore(&limit->pages, flags);
}
