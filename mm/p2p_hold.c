// SPDX-License-Identifier: GPL-2.0
/*
 * Holds: peer-to-peer memory that is used for longer than a call.
 *
 * RDMA regions, guest memory and registered buffers last until a program ends
 * them, but the provider of the memory may have to be removed before. A pin
 * can't be revoked. A hold can: it has a method that makes its holder release
 * the memory. So holds replace FOLL_LONGTERM, which remains refused.
 *
 *	lease	has pins, and a device may use the memory at any time
 *	ticket	has no pins; each use takes a reference that can be refused
 *
 * Until the holder or the provider ends the hold, both keep the buffer, as a
 * mapping does, so the memory outlives the process. Creation has two steps, so
 * that the holder can program its device in between, and learns whether the
 * hold was revoked meanwhile:
 *
 *	hold = p2p_hold_create_user(addr, len, FOLL_WRITE, &ops, dev, priv);
 *	map hold->extents for DMA, and program the device
 *	error = p2p_hold_arm(hold);
 *	if (error)	-ENODEV: undo the second line, and p2p_hold_destroy()
 *
 * A provider that is removed or reset zaps the mappings and refuses faults.
 * Then it calls p2p_holds_stop(), which refuses new leases and new uses, and
 * calls revoke() or pause() of the holders. After a failure or for removal, it
 * also refuses new tickets; for removal, it waits for uses. After that only
 * transfers have pins.
 *
 * holds->calls is the outermost lock, except for that of the provider's device.
 * p2p_holds_stop() and p2p_holds_go_live() hold it, the former also while it
 * calls revoke() and pause().
 *
 * holds->lock is a leaf. It protects the states, and no method is called with
 * it held. revoke() and pause() are also called for a reset, so they may take
 * an mmap_lock and the holder's own locks, but no lock that is held anywhere
 * while a hold of user memory is created or user memory is accessed: both wait
 * for the end of the reset.
 *
 * The states, and what orders their changes, are in Documentation/mm/p2p_lifetime.rst.
 */

#include <linux/device.h>
#include <linux/err.h>
#include <linux/export.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/p2p_hold.h>
#include <linux/percpu-refcount.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/vm_p2p.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "internal.h"
#include "p2p_hold.h"

static void p2p_hold_free(struct kref *ref)
{
	struct p2p_hold *hold = container_of(ref, struct p2p_hold, ref);

	if (!p2p_hold_is_lease(hold))
		percpu_ref_exit(&hold->uses);
	put_device(hold->client);
	fput(hold->file);
	kvfree(hold->extents);
	kfree(hold);
}

/**
 * p2p_hold_put() - drop a reference to a hold
 * @hold: the hold
 *
 * Context: Process context.
 */
void p2p_hold_put(struct p2p_hold *hold)
{
	kref_put(&hold->ref, p2p_hold_free);
}

/**
 * p2p_hold_go_live() - make a ticket usable if nothing forbids it
 * @hold: any hold
 *
 * Context: Any. The caller has holds->lock.
 */
void p2p_hold_go_live(struct p2p_hold *hold)
{
	lockdep_assert_held(&hold->holds->lock);
	if (p2p_hold_is_lease(hold) || hold->state != P2P_HOLD_ARMED ||
	    hold->holds->status != P2P_HOLDS_LIVE || hold->destroyed ||
	    !hold->idle)
		return;

	/* The count is 0, so there is no change of its mode to wait for. */
	percpu_ref_reinit(&hold->uses);
	hold->idle = false;
	hold->holds->nr_busy++;
	WRITE_ONCE(hold->live, true);
}

/**
 * p2p_hold_refuse_uses() - refuse new uses of a ticket
 * @hold: any hold
 *
 * The end of the last use sets hold->idle.
 *
 * Context: Any. The caller has holds->lock.
 */
void p2p_hold_refuse_uses(struct p2p_hold *hold)
{
	lockdep_assert_held(&hold->holds->lock);
	if (hold->live)
		percpu_ref_kill(&hold->uses);
	WRITE_ONCE(hold->live, false);
}

/**
 * p2p_hold_is_over() - check whether a hold's memory is no longer needed
 * @hold: the hold
 *
 * Context: Any. The caller has holds->lock.
 * Return: true, only once, if revoke() has returned or the hold was destroyed,
 *	   and no use is left. The caller then calls p2p_hold_settle().
 */
bool p2p_hold_is_over(struct p2p_hold *hold)
{
	lockdep_assert_held(&hold->holds->lock);
	if (hold->settled || !hold->idle || hold->in_call ||
	    !(hold->let_go || hold->destroyed))
		return false;
	hold->settled = true;
	return true;
}

/**
 * p2p_hold_settle() - give the memory of a hold back
 * @hold: a hold that is over
 *
 * Context: Process context, without holds->lock. Drops a reference to @hold.
 */
void p2p_hold_settle(struct p2p_hold *hold)
{
	struct p2p_holds *holds = hold->holds;

	/* Tickets have no pins, and some leases no struct pages. */
	if (p2p_hold_is_lease(hold) && hold->nr_extents && hold->extents->folio)
		unpin_user_p2p_extents(hold->extents, hold->nr_extents);

	spin_lock_irq(&holds->lock);
	list_del(&hold->node);
	if (p2p_hold_is_lease(hold) && hold->state == P2P_HOLD_REVOKED)
		holds->nr_busy--;
	spin_unlock_irq(&holds->lock);
	/* Whoever waits may free all but what the file of @hold keeps. */
	wake_up_all(&holds->wait);
	p2p_hold_put(hold);
}

static void p2p_hold_settle_work(struct work_struct *work)
{
	p2p_hold_settle(container_of(work, struct p2p_hold, settle));
}

/* The last use of a ticket has ended, and new ones are refused. Any context. */
static void p2p_hold_idle(struct percpu_ref *uses)
{
	struct p2p_hold *hold = container_of(uses, struct p2p_hold, uses);
	struct p2p_holds *holds = hold->holds;
	unsigned long flags;

	spin_lock_irqsave(&holds->lock, flags);
	hold->idle = true;
	holds->nr_busy--;
	/* A reset may be over already. */
	p2p_hold_go_live(hold);
	if (p2p_hold_is_over(hold))
		schedule_work(&hold->settle);
	if (hold->live)
		wake_up_all(&holds->wait);
	spin_unlock_irqrestore(&holds->lock, flags);
}

/**
 * p2p_hold_alloc() - allocate a hold that has no memory yet
 * @file: the buffer or range that it keeps
 * @ops: the kind of holder, and the mode
 * @client: the device that will use the memory, or NULL
 * @private: for the holder
 *
 * Context: Process context. May sleep.
 * Return: the hold, with one reference; an ERR_PTR() of -EOPNOTSUPP if the provider does
 *	   not support holds, -EINVAL if @ops are wrong, or -ENOMEM.
 */
struct p2p_hold *p2p_hold_alloc(struct file *file,
				const struct p2p_hold_ops *ops,
				struct device *client, void *private)
{
	struct p2p_holds *holds = file->f_mapping->private_data;
	struct p2p_hold *hold;

	if (!holds)
		return ERR_PTR(-EOPNOTSUPP);
	if (WARN_ON_ONCE(ops->mode == P2P_HOLD_LEASE && !ops->revoke))
		return ERR_PTR(-EINVAL);

	hold = kzalloc(sizeof(*hold), GFP_KERNEL_ACCOUNT);
	if (!hold)
		return ERR_PTR(-ENOMEM);

	if (ops->mode == P2P_HOLD_TICKET &&
	    percpu_ref_init(&hold->uses, p2p_hold_idle,
			    PERCPU_REF_INIT_DEAD | PERCPU_REF_ALLOW_REINIT,
			    GFP_KERNEL_ACCOUNT)) {
		kfree(hold);
		return ERR_PTR(-ENOMEM);
	}
	/* Otherwise p2p_hold_begin_use() would use a counter at address 0. */
	if (ops->mode == P2P_HOLD_LEASE)
		hold->uses.percpu_count_ptr = __PERCPU_REF_ATOMIC_DEAD;
	hold->private = private;
	hold->ops = ops;
	hold->mode = ops->mode;
	strscpy(hold->name, ops->name, sizeof(hold->name));
	hold->holds = holds;
	hold->file = get_file(file);
	kref_init(&hold->ref);
	INIT_WORK(&hold->settle, p2p_hold_settle_work);
	hold->idle = true;
	hold->client = get_device(client);
	/* Copied, because the log may name the process after its exit. */
	hold->pid = task_tgid_nr(current);
	get_task_comm(hold->comm, current);
	return hold;
}

/**
 * p2p_hold_register() - add a hold to the list of its provider
 * @hold: a new hold
 *
 * From here on the memory stays until the hold is over.
 *
 * Context: Process context.
 * Return: 0; -ENODEV if the provider is being removed or has failed; -EAGAIN
 *	   for a lease while it is being reset.
 */
int p2p_hold_register(struct p2p_hold *hold)
{
	struct p2p_holds *holds = hold->holds;
	int error = 0;

	spin_lock_irq(&holds->lock);
	if (holds->status == P2P_HOLDS_LOST || holds->status == P2P_HOLDS_GONE)
		error = -ENODEV;
	else if (holds->status == P2P_HOLDS_PAUSED && p2p_hold_is_lease(hold))
		error = -EAGAIN;
	if (!error) {
		kref_get(&hold->ref);
		list_add_tail(&hold->node, &holds->list);
	}
	spin_unlock_irq(&holds->lock);
	return error;
}

static int p2p_hold_pin_extents(struct p2p_hold *hold)
{
	unsigned int i;

	for (i = 0; i < hold->nr_extents; i++) {
		struct folio *folio = hold->extents[i].folio;

		if (!folio)
			continue;
		if (folio_ref_count(folio) > GUP_DEVICE_MAX_REFS ||
		    !try_grab_folio(&folio->page, 1, FOLL_PIN)) {
			unpin_user_p2p_extents(hold->extents, i);
			hold->nr_extents = 0;
			return -ENOMEM;
		}
	}
	return 0;
}

/**
 * p2p_hold_create() - hold memory of a buffer that is given by its file
 * @file: the buffer, or range: the vm_file of VM_P2P mappings of the memory
 * @extents: the memory, which must be in use already, or NULL; copied
 * @nr: how many extents, or 0
 * @ops: the kind of holder, and the mode
 * @client: the device that will use the memory, for the log, or NULL
 * @private: for the holder, in the hold
 *
 * As p2p_hold_create_user(), for callers that have the buffer's file instead of an
 * address. Its rules for the time until p2p_hold_arm() apply here, too.
 *
 * Context: Process context. May sleep. The caller has a reference to @file.
 * Return: the hold; an ERR_PTR() of -ENODEV if the provider is being removed or
 *	   has failed; -EAGAIN for a lease while it is being reset; -EOPNOTSUPP
 *	   if it does not support holds; -EINVAL if @ops are wrong; -ENOMEM,
 *	   also if a folio has too many references.
 */
struct p2p_hold *p2p_hold_create(struct file *file,
				 const struct p2p_extent *extents,
				 unsigned int nr,
				 const struct p2p_hold_ops *ops,
				 struct device *client, void *private)
{
	struct p2p_hold *hold = p2p_hold_alloc(file, ops, client, private);
	int error = 0;

	if (IS_ERR(hold))
		return hold;

	if (nr) {
		hold->extents = kvmalloc_array(nr, sizeof(*extents),
					       GFP_KERNEL_ACCOUNT);
		if (!hold->extents) {
			p2p_hold_put(hold);
			return ERR_PTR(-ENOMEM);
		}
		memcpy(hold->extents, extents, nr * sizeof(*extents));
		hold->nr_extents = nr;
	}

	error = p2p_hold_register(hold);
	if (error) {
		p2p_hold_put(hold);
		return ERR_PTR(error);
	}
	/* Removal waits for the hold, so the folios have their base references. */
	if (p2p_hold_is_lease(hold))
		error = p2p_hold_pin_extents(hold);
	if (error) {
		p2p_hold_destroy(hold);
		return ERR_PTR(error);
	}
	return hold;
}
EXPORT_SYMBOL_GPL(p2p_hold_create);

/**
 * p2p_hold_arm() - finish the creation of a hold
 * @hold: an unarmed hold; the holder has prepared its device
 *
 * From now on revoke() may be called, even before this function returns.
 *
 * Context: Process context. Does not sleep.
 * Return: 0; -ENODEV if the hold was revoked after its creation: the holder
 *	   undoes its preparations, and calls p2p_hold_destroy(). revoke() is
 *	   not called then.
 */
int p2p_hold_arm(struct p2p_hold *hold)
{
	struct p2p_holds *holds = hold->holds;
	int error = 0;

	spin_lock_irq(&holds->lock);
	WARN_ON_ONCE(hold->state == P2P_HOLD_ARMED);
	if (hold->state == P2P_HOLD_REVOKED)
		error = -ENODEV;
	else
		WRITE_ONCE(hold->state, P2P_HOLD_ARMED);
	p2p_hold_go_live(hold);
	spin_unlock_irq(&holds->lock);
	return error;
}
EXPORT_SYMBOL_GPL(p2p_hold_arm);

/**
 * p2p_hold_destroy() - end a hold
 * @hold: the hold, in any state; must not be used any more, except to end uses that
 *	  have begun
 *
 * The caller's device no longer uses the memory, and its DMA mappings are gone,
 * except those of uses that end later. When this function returns, revoke() and
 * pause() of the hold have returned and are not called again. A concurrent
 * revocation may keep the pins and the buffer a little longer.
 *
 * Context: Process context. Waits for revoke() or pause() of the hold if one is
 *	    running; so the caller must not hold a lock that they take, nor be
 *	    one of them. Does not wait for uses. Does not sleep if the hold has
 *	    neither method.
 */
void p2p_hold_destroy(struct p2p_hold *hold)
{
	struct p2p_holds *holds = hold->holds;
	bool over;

	spin_lock_irq(&holds->lock);
	hold->destroyed = true;
	p2p_hold_refuse_uses(hold);
	wait_event_lock_irq(holds->wait, !hold->in_call, holds->lock);
	over = p2p_hold_is_over(hold);
	spin_unlock_irq(&holds->lock);

	if (over)
		p2p_hold_settle(hold);
	p2p_hold_put(hold);
}
EXPORT_SYMBOL_GPL(p2p_hold_destroy);

/**
 * p2p_hold_is_revoked() - check whether a hold was revoked
 * @hold: the hold
 *
 * Context: Any.
 * Return: true from before revoke() is called.
 */
bool p2p_hold_is_revoked(struct p2p_hold *hold)
{
	return READ_ONCE(hold->state) == P2P_HOLD_REVOKED;
}
EXPORT_SYMBOL_GPL(p2p_hold_is_revoked);

/**
 * p2p_hold_unusable() - tell why a ticket can't be used
 * @hold: an armed ticket that can't be used, or could not a moment ago
 *
 * Context: Any but NMI.
 * Return: -EINVAL, with a warning, for a lease; -ENODEV if the hold was revoked, or
 *	   the provider has failed; -EAGAIN otherwise: during a reset, or while
 *	   a use that began before it has not ended, or if the ticket is usable
 *	   again.
 */
int p2p_hold_unusable(struct p2p_hold *hold)
{
	enum p2p_holds_status status = READ_ONCE(hold->holds->status);

	if (WARN_ON_ONCE(p2p_hold_is_lease(hold)))
		return -EINVAL;
	WARN_ON_ONCE(READ_ONCE(hold->state) == P2P_HOLD_UNARMED);
	if (p2p_hold_is_revoked(hold) || status == P2P_HOLDS_LOST ||
	    status == P2P_HOLDS_GONE)
		return -ENODEV;
	return -EAGAIN;
}
EXPORT_SYMBOL_GPL(p2p_hold_unusable);

/**
 * p2p_hold_wait_usable() - wait until a reset of the provider is over
 * @hold: a ticket that is armed
 *
 * Also waits for uses that have outlasted the reset.
 *
 * Context: Process context. The caller has no use of a ticket and no pages that
 *	    the reset may be waiting for, and no lock that revoke() of a lease
 *	    or pause() takes.
 * Return: 0 or -EAGAIN if it is worth trying again; -ENODEV as
 *	   p2p_hold_begin_use(); -EINTR after a fatal signal.
 */
int p2p_hold_wait_usable(struct p2p_hold *hold)
{
	if (wait_event_killable(hold->holds->wait,
				READ_ONCE(hold->live) ||
				p2p_hold_unusable(hold) != -EAGAIN))
		return -EINTR;
	return READ_ONCE(hold->live) ? 0 : p2p_hold_unusable(hold);
}
EXPORT_SYMBOL_GPL(p2p_hold_wait_usable);
