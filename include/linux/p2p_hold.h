/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Holds: peer-to-peer memory that is used for longer than a call.
 *
 * See mm/p2p_hold.c, and Documentation/mm/p2p_lifetime.rst for the states of a hold.
 */
#ifndef _LINUX_P2P_HOLD_H
#define _LINUX_P2P_HOLD_H

#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/percpu-refcount.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/vm_p2p.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

struct address_space;
struct device;
struct file;
struct p2p_hold;

/**
 * enum p2p_hold_mode - how a hold keeps its memory
 * @P2P_HOLD_LEASE: with pins. A device may use the memory at any time. A reset
 *		    of the provider revokes it, too.
 * @P2P_HOLD_TICKET: without pins. Each use is between p2p_hold_begin_use() and
 *		     p2p_hold_end_use(). Survives a reset, which waits for uses.
 */
enum p2p_hold_mode {
	P2P_HOLD_LEASE,
	P2P_HOLD_TICKET,
};

/**
 * enum p2p_hold_state - see Documentation/mm/p2p_lifetime.rst
 * @P2P_HOLD_UNARMED: created, but not to be used yet
 * @P2P_HOLD_ARMED: in use, or ready for it
 * @P2P_HOLD_REVOKED: the memory must not be used once revoke() has returned
 */
enum p2p_hold_state {
	P2P_HOLD_UNARMED,
	P2P_HOLD_ARMED,
	P2P_HOLD_REVOKED,
};

#define P2P_HOLD_NAME_LEN	24

/**
 * struct p2p_hold_ops - the methods of a type of holder
 * @name: its name in the log, such as "vfio"; less than P2P_HOLD_NAME_LEN
 * @mode: the mode of its holds
 * @revoke: makes the holder release the memory for good. When it returns for a
 *	    lease, no device uses the memory, and its DMA mappings are gone.
 *	    Called at most once, and only for an armed hold. May sleep, but must
 *	    not wait for a process, for the lock of the provider's device, or
 *	    for its driver. Also called for a reset, so it may take an mmap_lock
 *	    and the holder's own locks, but no lock that is held anywhere while
 *	    a hold of user memory is created or user memory is accessed: both
 *	    wait for the end of the reset. Must not call p2p_hold_destroy() for
 *	    the hold. Optional for tickets with uses that end soon; removal
 *	    waits for uses in any case.
 * @pause: makes the holder end its uses. Optional, for tickets with uses that
 *	   don't end soon by themselves. Called at each reset or failure of the
 *	   provider during which a use may be left, after new uses are refused.
 *	   Otherwise the rules for @revoke apply.
 */
struct p2p_hold_ops {
	const char *name;
	enum p2p_hold_mode mode;
	void (*revoke)(struct p2p_hold *hold);
	void (*pause)(struct p2p_hold *hold);
};

/**
 * enum p2p_holds_status - what a provider allows
 * @P2P_HOLDS_LIVE: holds can be created and used
 * @P2P_HOLDS_PAUSED: the provider is being reset: tickets can be created, but not used
 * @P2P_HOLDS_LOST: the provider has failed: no hold can be created or used
 * @P2P_HOLDS_GONE: the same, and all holds are revoked
 */
enum p2p_holds_status {
	P2P_HOLDS_LIVE,
	P2P_HOLDS_PAUSED,
	P2P_HOLDS_LOST,
	P2P_HOLDS_GONE,
};

/**
 * struct p2p_holds - the holds of a provider's memory
 *
 * Owned by the provider, and found through the address_space of the files that
 * VM_P2P mappings map. Each hold has a reference to such a file, and the file
 * must keep this structure alive.
 */
struct p2p_holds {
	/* private: of mm/p2p_hold.c */
	struct device *dev;		/* the provider, for the log */
	struct mutex calls;		/* outermost: one change of @status at a time */
	spinlock_t lock;		/* a leaf, taken in any context */
	enum p2p_holds_status status;
	struct list_head list;		/* those that may have memory */
	unsigned int nr_busy;		/* non-idle tickets, revoked leases */
	wait_queue_head_t wait;		/* woken when holds or @status change */
};

/**
 * struct p2p_hold - a part of a buffer that is used for longer than a call
 * @extents: the memory. Like @nr_extents, constant from p2p_hold_create*() to
 *	     p2p_hold_destroy(). The memory of a lease may be used until the
 *	     lease is revoked, that of a ticket during a use. Each extent of a
 *	     lease has one pin. An extent of a ticket is physically contiguous,
 *	     but may continue in the folios after @folio. Memory without struct
 *	     pages is one extent without a folio, with the physical address as
 *	     the offset; see pci_p2p_range_of_hold().
 * @nr_extents: how many
 * @private: for the holder
 *
 * Created by p2p_hold_create_user() or p2p_hold_create(), ended by
 * p2p_hold_destroy().
 */
struct p2p_hold {
	/* private: of mm/p2p_hold.c, and of the inline functions below */
	struct percpu_ref uses;		/* of a ticket; live while usable */
	/* public: */
	struct p2p_extent *extents;
	unsigned int nr_extents;
	void *private;
	/* private: */
	const struct p2p_hold_ops *ops;	/* valid until @destroyed is set */
	enum p2p_hold_mode mode;
	struct p2p_holds *holds;	/* kept by @file */
	struct file *file;		/* the buffer, or range */
	struct kref ref;		/* by holder, list, revocation */
	struct work_struct settle;
	/* Protected by holds->lock, like the list: */
	struct list_head node;
	enum p2p_hold_state state;
	bool live;			/* @uses was not killed */
	bool idle;			/* @uses is 0 */
	bool due;			/* a call of revoke() or pause() */
	bool in_call;			/* of one of them */
	bool destroyed;			/* by the holder */
	bool let_go;			/* revoke(), if any, has returned */
	bool settled;			/* p2p_hold_settle() is due or done */
	/* For the log: */
	char name[P2P_HOLD_NAME_LEN];
	struct device *client;
	pid_t pid;
	char comm[TASK_COMM_LEN];
};

#ifdef CONFIG_VM_P2P

struct p2p_hold *p2p_hold_create_user(unsigned long addr, size_t len,
				      unsigned int gup_flags,
				      const struct p2p_hold_ops *ops,
				      struct device *client, void *private);
struct p2p_hold *p2p_hold_create(struct file *file,
				 const struct p2p_extent *extents,
				 unsigned int nr,
				 const struct p2p_hold_ops *ops,
				 struct device *client, void *private);
int p2p_hold_arm(struct p2p_hold *hold);
void p2p_hold_destroy(struct p2p_hold *hold);
bool p2p_hold_is_revoked(struct p2p_hold *hold);
int p2p_hold_wait_usable(struct p2p_hold *hold);
int p2p_hold_unusable(struct p2p_hold *hold);

/**
 * p2p_hold_begin_use() - begin a use of a ticket's memory
 * @hold: a ticket that is armed
 *
 * The memory stays until p2p_hold_end_use(), and the removal or reset of its
 * provider waits for that. So a use must end soon, or when the ticket's
 * revoke() or pause() is called, and must not depend on userspace. A ticket may
 * have many uses at a time.
 *
 * Context: Any but NMI.
 * Return: 0; -ENODEV if the hold was revoked, or the provider has failed; -EAGAIN
 *	   while the provider is being reset, and afterwards until all uses that began
 *	   before the reset have ended, see p2p_hold_wait_usable(); -EINVAL for a
 *	   lease.
 */
static inline int p2p_hold_begin_use(struct p2p_hold *hold)
{
	if (likely(percpu_ref_tryget_live(&hold->uses)))
		return 0;
	return p2p_hold_unusable(hold);
}

/**
 * p2p_hold_end_use() - end a use of a ticket's memory
 * @hold: the ticket; no longer valid afterwards if it was destroyed meanwhile
 *
 * Context: Any but NMI.
 */
static inline void p2p_hold_end_use(struct p2p_hold *hold)
{
	percpu_ref_put(&hold->uses);
}

/* For providers. */
void p2p_holds_init(struct p2p_holds *holds, struct address_space *mapping,
		    struct device *dev);
void p2p_holds_go_live(struct p2p_holds *holds);
void p2p_holds_stop(struct p2p_holds *holds, enum p2p_holds_status how);
bool p2p_holds_are_busy(struct p2p_holds *holds);

#endif /* CONFIG_VM_P2P */

#endif /* _LINUX_P2P_HOLD_H */
