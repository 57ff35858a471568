// SPDX-License-Identifier: GPL-2.0
/*
 * Holds: how a provider ends them, see p2p_hold.c.
 */

#include <linux/device.h>
#include <linux/export.h>
#include <linux/fs.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/p2p_hold.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/spinlock.h>
#include <linux/timer.h>
#include <linux/wait.h>

#include "p2p_hold.h"

/* Delay of the first log line about a wait, and interval of the next ones. */
#define P2P_HOLD_REPORT_FIRST	HZ
#define P2P_HOLD_REPORT		(10 * HZ)

/**
 * p2p_holds_init() - prepare a provider for holds
 * @holds: to be initialised; must outlive the files that VM_P2P mappings map
 * @mapping: the vm_file->f_mapping of VM_P2P mappings of the memory
 * @dev: the provider; used by p2p_holds_stop() only
 *
 * No holds can be created until p2p_holds_go_live().
 *
 * Context: Process context, before the memory can be mapped.
 */
void p2p_holds_init(struct p2p_holds *holds, struct address_space *mapping,
		    struct device *dev)
{
	holds->dev = dev;
	holds->nr_busy = 0;
	holds->status = P2P_HOLDS_GONE;
	mutex_init(&holds->calls);
	spin_lock_init(&holds->lock);
	INIT_LIST_HEAD(&holds->list);
	init_waitqueue_head(&holds->wait);
	mapping->private_data = holds;
}
EXPORT_SYMBOL_GPL(p2p_holds_init);

/**
 * p2p_holds_go_live() - allow holds, for the first time or after a reset
 * @holds: the holds of a provider whose memory can be reached
 *
 * Tickets become usable again, except those that were revoked.
 *
 * Context: Process context, with the same locks as p2p_holds_stop(). Waits for
 *	    calls of p2p_holds_stop() for @holds.
 */
void p2p_holds_go_live(struct p2p_holds *holds)
{
	struct p2p_hold *hold;
	LIST_HEAD(todo);

	mutex_lock(&holds->calls);
	spin_lock_irq(&holds->lock);
	WRITE_ONCE(holds->status, P2P_HOLDS_LIVE);
	list_splice_init(&holds->list, &todo);
	while (!list_empty(&todo)) {
		hold = list_first_entry(&todo, struct p2p_hold, node);
		list_move_tail(&hold->node, &holds->list);
		p2p_hold_go_live(hold);
		/* There may be many, and interrupts are off. */
		spin_unlock_irq(&holds->lock);
		cond_resched();
		spin_lock_irq(&holds->lock);
	}
	spin_unlock_irq(&holds->lock);
	/* There may be many waiters: not with interrupts off. */
	wake_up_all(&holds->wait);
	mutex_unlock(&holds->calls);
}
EXPORT_SYMBOL_GPL(p2p_holds_go_live);

/* On the stack of p2p_holds_stop(): logs which hold it waits for. */
struct p2p_hold_watch {
	struct timer_list timer;
	struct p2p_holds *holds;
	/* Protected by holds->lock: */
	struct p2p_hold *hold;		/* whose method is running */
	bool all_called;
};

static void p2p_hold_report(struct timer_list *timer)
{
	struct p2p_hold_watch *watch = from_timer(watch, timer, timer);
	struct p2p_holds *holds = watch->holds;
	struct p2p_hold *hold;
	unsigned long flags;
	char text[128];

	spin_lock_irqsave(&holds->lock, flags);
	hold = watch->hold;
	if (watch->all_called)
		hold = list_first_entry_or_null(&holds->list, struct p2p_hold,
						node);
	if (hold)
		snprintf(text, sizeof(text), "%s of %s[%d], device %s",
			 hold->name, hold->comm, hold->pid,
			 hold->client ? dev_name(hold->client) : "none");
	spin_unlock_irqrestore(&holds->lock, flags);
	/* A console may be slow, so print without the lock. */
	if (hold)
		dev_warn(holds->dev, "waiting for %s, to let go of peer-to-peer memory\n",
			 text);
	mod_timer(timer, jiffies + P2P_HOLD_REPORT);
}

/* The first half of p2p_holds_stop(): no use begins from here on. */
static void p2p_hold_stop(struct p2p_hold *hold, enum p2p_holds_status how)
{
	p2p_hold_refuse_uses(hold);
	if (hold->state == P2P_HOLD_REVOKED)
		return;
	if (!p2p_hold_is_lease(hold) && how != P2P_HOLDS_GONE) {
		/* A use from before the last reset may be left. */
		hold->due = hold->state == P2P_HOLD_ARMED && !hold->idle;
		return;
	}
	/* An unarmed hold is not called: p2p_hold_arm() will fail. */
	hold->due = hold->state == P2P_HOLD_ARMED;
	WRITE_ONCE(hold->state, P2P_HOLD_REVOKED);
	if (p2p_hold_is_lease(hold))
		hold->holds->nr_busy++;
}

/* The second half. Called with the lock held; drops and retakes it. */
static void p2p_hold_call(struct p2p_hold *hold, struct p2p_hold_watch *watch)
	__must_hold(&hold->holds->lock)
{
	bool revoked = hold->state == P2P_HOLD_REVOKED;
	void (*call)(struct p2p_hold *hold) = NULL;
	struct p2p_holds *holds = hold->holds;
	bool over;

	kref_get(&hold->ref);
	/* After p2p_hold_destroy(), the holder's module may be gone. */
	if (hold->due && !hold->destroyed)
		call = revoked ? hold->ops->revoke : hold->ops->pause;
	if (call) {
		hold->in_call = true;
		watch->hold = hold;
		spin_unlock_irq(&holds->lock);
		call(hold);
		spin_lock_irq(&holds->lock);
		watch->hold = NULL;
		hold->in_call = false;
	}
	if (hold->due && revoked)
		hold->let_go = true;
	hold->due = false;
	over = p2p_hold_is_over(hold);
	spin_unlock_irq(&holds->lock);

	if (call)
		wake_up_all(&holds->wait);
	if (over)
		p2p_hold_settle(hold);
	p2p_hold_put(hold);
	cond_resched();
	spin_lock_irq(&holds->lock);
}

/* A removal has locks that the task that runs device_shutdown() needs. */
static bool p2p_hold_system_is_down(void)
{
	return system_state >= SYSTEM_HALT && system_state <= SYSTEM_RESTART;
}

/**
 * p2p_holds_stop() - make holders release a provider's memory
 * @holds: the holds of the provider
 * @how: P2P_HOLDS_PAUSED for a reset, P2P_HOLDS_LOST after a failure, P2P_HOLDS_GONE if
 *	 the memory is to be removed
 *
 * The caller has zapped the mappings and refuses faults, so no user memory can
 * be pinned for a new hold. Leases are revoked in any case, tickets only for
 * P2P_HOLDS_GONE. When this function returns, revoke() or pause() of each hold
 * has returned, and no use of a ticket can begin. For P2P_HOLDS_GONE, all uses
 * have ended, too, and holds that were being created are destroyed; otherwise,
 * p2p_holds_are_busy() tells whether uses are left. After one second, and then
 * every ten seconds, the log names a holder that has not released the memory.
 * The wait for uses ends early only when the system halts or restarts. A
 * revoke() that waits must also end its wait then.
 *
 * Context: Process context, with no lock held but that of the provider's
 *	    device, and those of its bus during error handling. Calls for the
 *	    same @holds wait for each other.
 */
void p2p_holds_stop(struct p2p_holds *holds, enum p2p_holds_status how)
{
	struct p2p_hold_watch watch = { .holds = holds };
	struct p2p_hold *hold;
	LIST_HEAD(todo);
	unsigned int noio;

	/* revoke() and pause() rely on one call per hold at a time. */
	mutex_lock(&holds->calls);
	/* Reclaim could wait for a drive that waits for this call, as in error recovery. */
	noio = memalloc_noio_save();
	timer_setup_on_stack(&watch.timer, p2p_hold_report, 0);
	mod_timer(&watch.timer, jiffies + P2P_HOLD_REPORT_FIRST);

	spin_lock_irq(&holds->lock);
	WRITE_ONCE(holds->status, how);
	list_splice_init(&holds->list, &todo);
	while (!list_empty(&todo)) {
		hold = list_first_entry(&todo, struct p2p_hold, node);
		list_move_tail(&hold->node, &holds->list);
		p2p_hold_stop(hold, how);
		/* There may be many, and interrupts are off. */
		spin_unlock_irq(&holds->lock);
		cond_resched();
		spin_lock_irq(&holds->lock);
	}
	spin_unlock_irq(&holds->lock);
	/* A task that waits for a reset may have a lock that revoke() takes. */
	wake_up_all(&holds->wait);
	spin_lock_irq(&holds->lock);

	list_splice_init(&holds->list, &todo);
	while (!list_empty(&todo)) {
		hold = list_first_entry(&todo, struct p2p_hold, node);
		list_move_tail(&hold->node, &holds->list);
		p2p_hold_call(hold, &watch);
	}
	watch.all_called = true;
	spin_unlock_irq(&holds->lock);
	wake_up_all(&holds->wait);

	/* The wait may be long, and must not count as load or a hung task. */
	while (how == P2P_HOLDS_GONE &&
	       !wait_event_idle_timeout(holds->wait, list_empty(&holds->list),
					HZ))
		if (p2p_hold_system_is_down())
			break;

	del_timer_sync(&watch.timer);
	destroy_timer_on_stack(&watch.timer);
	memalloc_noio_restore(noio);
	mutex_unlock(&holds->calls);
}
EXPORT_SYMBOL_GPL(p2p_holds_stop);

/**
 * p2p_holds_are_busy() - check whether a reset has to wait for holds
 * @holds: the holds of a provider, after p2p_holds_stop()
 *
 * Context: Process context.
 * Return: true if a ticket is in use, or a revoked lease still has the memory.
 */
bool p2p_holds_are_busy(struct p2p_holds *holds)
{
	unsigned int nr_busy;

	spin_lock_irq(&holds->lock);
	nr_busy = holds->nr_busy;
	spin_unlock_irq(&holds->lock);
	return nr_busy;
}
EXPORT_SYMBOL_GPL(p2p_holds_are_busy);
