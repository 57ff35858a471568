// SPDX-License-Identifier: GPL-2.0
/*
 * Calls pin_user_p2p_extents() for a test program, which inspects the extents
 * and may hold them: the file p2p_test_extents in debugfs.
 */

#include <linux/init.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vm_p2p.h>

#include "test_p2p.h"

/* Extents that a call pinned; a file holds those of one call at a time. */
struct p2p_test_held {
	struct p2p_extent *extents;
	unsigned int nr;
};

static void p2p_extents_put(struct p2p_test_held *held)
{
	unpin_user_p2p_extents(held->extents, held->nr);
	kfree(held->extents);
	held->extents = NULL;
	held->nr = 0;
}

static int p2p_extents_report(struct p2p_test_held *held,
			      const struct p2p_test_pin *arg)
{
	struct p2p_test_extent __user *to = u64_to_user_ptr(arg->extents);
	unsigned int i;

	for (i = 0; to && i < held->nr; i++) {
		struct folio *folio = held->extents[i].folio;
		struct p2p_test_extent extent = {
			.pfn = folio_pfn(folio),
			.offset = held->extents[i].offset,
			.len = held->extents[i].len,
			.count = folio_ref_count(folio),
			.order = folio_order(folio),
		};

		if (copy_to_user(to + i, &extent, sizeof(extent)))
			return -EFAULT;
	}
	return 0;
}

static int p2p_extents_pin(struct p2p_test_held *held, struct p2p_test_pin *arg)
{
	int error;

	if (held->extents)
		return -EBUSY;
	if (!arg->len || !arg->nr_extents ||
	    arg->nr_extents > P2P_TEST_MAX_PAGES ||
	    arg->gup_flags & ~(FOLL_WRITE | FOLL_NOFAULT))
		return -EINVAL;

	held->extents = kcalloc(arg->nr_extents, sizeof(*held->extents),
				GFP_KERNEL);
	if (!held->extents)
		return -ENOMEM;

	arg->result = pin_user_p2p_extents(arg->addr, arg->len, arg->gup_flags,
					   held->extents, arg->nr_extents);
	if (arg->result > 0)
		held->nr = arg->result;

	error = p2p_extents_report(held, arg);
	if (error || !arg->hold)
		p2p_extents_put(held);
	return error;
}

static long p2p_extents_ioctl(void *state, unsigned int cmd, union p2p_test_arg *arg)
{
	switch (cmd) {
	case P2P_TEST_EXTENTS:
		return p2p_extents_pin(state, &arg->pin);
	case P2P_TEST_PUT:
		p2p_extents_put(state);
		return 0;
	default:
		return -ENOTTY;
	}
}

static void p2p_extents_release(void *state)
{
	p2p_extents_put(state);
}

static const struct p2p_test_file p2p_extents_file = {
	.name		= "p2p_test_extents",
	.state_size	= sizeof(struct p2p_test_held),
	.release	= p2p_extents_release,
	.ioctl		= p2p_extents_ioctl,
};

static int __init p2p_extents_init(void)
{
	p2p_test_create_file(&p2p_extents_file);
	return 0;
}
late_initcall(p2p_extents_init);
