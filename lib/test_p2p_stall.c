// SPDX-License-Identifier: GPL-2.0
/*
 * Stops a thread of a test program at a point inside the kernel, until the
 * program lets it go on: the file p2p_test_stall in debugfs. This gives a test
 * of a race the intended order of events each time.
 *
 * The points are tracepoints, so other code is not affected. The thread waits
 * in the tracepoint, with all locks it holds and preemption disabled. So the
 * code that it races with must run on another CPU, and must not wait for an RCU
 * grace period.
 */

#include <linux/bitops.h>
#include <linux/gfp.h>
#include <linux/init.h>
#include <linux/jiffies.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <trace/events/kmem.h>

#include "test_p2p.h"

/* After this time a stopped thread goes on by itself. */
#define P2P_STALL_TIMEOUT	(10 * HZ)

static unsigned long p2p_stall_is_open;	/* bit 0: one file is open at a time */

static struct {
	struct task_struct *task;	/* only ever compared with current */
	unsigned int left;		/* points to pass first */
	bool stalled;
	bool go_on;
} p2p_stall;

static void p2p_stall_here(void)
{
	unsigned long timeout = jiffies + P2P_STALL_TIMEOUT;

	if (READ_ONCE(p2p_stall.task) != current)
		return;
	if (p2p_stall.left) {
		p2p_stall.left--;
		return;
	}

	WRITE_ONCE(p2p_stall.task, NULL);
	/* A reader of this also sees all that the thread did before. */
	smp_store_release(&p2p_stall.stalled, true);
	/* Pairs with the release in p2p_stall_end(). */
	while (!smp_load_acquire(&p2p_stall.go_on) &&
	       time_before(jiffies, timeout))
		cpu_relax();
	WRITE_ONCE(p2p_stall.stalled, false);
}

/* GFP flags for page tables of user memory, and for little else. */
#define GFP_PAGE_TABLE	(GFP_KERNEL_ACCOUNT | __GFP_ZERO)

static void p2p_stall_page_alloc(void *data, struct page *page,
				 unsigned int order, gfp_t gfp_flags,
				 int migratetype)
{
	if (!order && (gfp_flags & GFP_PAGE_TABLE) == GFP_PAGE_TABLE)
		p2p_stall_here();
}

static void p2p_stall_end(void)
{
	WRITE_ONCE(p2p_stall.task, NULL);
	/* When it goes on, the thread sees all that was done meanwhile. */
	smp_store_release(&p2p_stall.go_on, true);
}

static long p2p_stall_ioctl(void *state, unsigned int cmd, union p2p_test_arg *arg)
{
	switch (cmd) {
	case P2P_TEST_STALL:
		/* Only this thread reads these before it stops. */
		p2p_stall.left = arg->value;
		p2p_stall.go_on = false;
		WRITE_ONCE(p2p_stall.task, current);
		return 0;
	case P2P_TEST_STALLED:
		/* Pairs with the release in p2p_stall_here(). */
		return smp_load_acquire(&p2p_stall.stalled);
	case P2P_TEST_GO_ON:
		p2p_stall_end();
		return 0;
	default:
		return -ENOTTY;
	}
}

static int p2p_stall_open(void *state)
{
	int error;

	if (test_and_set_bit_lock(0, &p2p_stall_is_open))
		return -EBUSY;
	error = register_trace_mm_page_alloc(p2p_stall_page_alloc, NULL);
	if (error)
		clear_bit_unlock(0, &p2p_stall_is_open);
	return error;
}

static void p2p_stall_release(void *state)
{
	p2p_stall_end();
	unregister_trace_mm_page_alloc(p2p_stall_page_alloc, NULL);
	tracepoint_synchronize_unregister();
	clear_bit_unlock(0, &p2p_stall_is_open);
}

static const struct p2p_test_file p2p_stall_file = {
	.name		= "p2p_test_stall",
	.open		= p2p_stall_open,
	.release	= p2p_stall_release,
	.ioctl		= p2p_stall_ioctl,
};

static int __init p2p_stall_init(void)
{
	p2p_test_create_file(&p2p_stall_file);
	return 0;
}
late_initcall(p2p_stall_init);
