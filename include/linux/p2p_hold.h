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
 * enum p2p_hold_mode - what a hold has while nobody revokes it
 * @P2P_HOLD_LEASE: pins. A device may use the memory at any time. Ends with the reset
 *		    of the provider, too.
 * @P2P_HOLD_TICKET: no pins. Each use is between p2p_hold_begin_use() and
 *		     p2p_hold_end_use(). Survives a reset, which waits for uses.
 */
enum p2p_hold_mode {
	P2P_HOLD_LEASE,
	P2P_HOLD_TICKET,
};

/**
 * enum p2p_hold_state - see Documentation/mm/p2p_lifetime.rst
 * @P2P_HOLD_UNARMED: created, and not to be used yet
 * @P2P_HOLD_ARMED: in use, or ready for it
 * @P2P_HOLD_REVOKED: the memory is gone, or will be when revoke() has returned
 */
enum p2p_hold_state {
	P2P_HOLD_UNARMED,
	P2P_HOLD_ARMED,
	P2P_HOLD_REVOKED,
};

#define P2P_HOLD_NAME_LEN	24

/**
 * struct p2p_hold_ops - a kind of holder
 * @name: what the log calls it, such as "vfio"; less than P2P_HOLD_NAME_LEN
 * @mode: the mode of its holds
 * @revoke: makes the holder let go of the memory, for good. When it returns no device
 *	    uses the memory, and DMA mappings of it are gone. Called once at most,
 *	    and only for a hold that is armed. May sleep, but must not wait for a
 *	    process, for the lock of the provider's device, or for its driver. A
 *	    reset calls it, too. It may take an mmap_lock, and locks of the holder, but
 *	    no lock under which anybody creates a hold of user memory or touches user
 *	    memory: both wait for the end of the reset.
 *	    Must not call p2p_hold_destroy() for the hold. Optional for tickets whose
 *	    uses end soon; removal waits for uses in any case.
 * @pause: optional, for tickets whose uses don't end soon by themselves: the provider
 *	   is being reset, or has failed, and new uses are refused. Called each time
 *	   that happens while a use may be left, and under the same rules as @revoke.
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
 * @P2P_HOLDS_GONE: the same, and no hold will ever be used again
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
 * Belongs to the provider, and is found through the address_space of the files whose
 * mappings p2p_vma_init() sets up. Each hold has such a file, which must keep the
 * provider's object.
 */
struct p2p_holds {
	/* private: of mm/p2p_hold.c */
	struct device *dev;		/* the provider, for the log */
	struct mutex calls;		/* outermost: one change of @status at a time */
	spinlock_t lock;		/* a leaf, taken in any context */
	enum p2p_holds_status status;
	struct list_head list;		/* those that may have memory */
	unsigned int nr_busy;		/* tickets in use, leases to let go */
	wait_queue_head_t wait;		/* woken when holds or @status change */
};

/**
 * struct p2p_hold - a part of a buffer that is used for longer than a call
 * @extents: the memory. With @nr_extents, constant from p2p_hold_create*() to
 *	     p2p_hold_destroy(); may be used while the hold is not revoked, in the case
 *	     of a ticket during a use. Those of a lease are pinned, one pin each. Those
 *	     of a ticket are physically contiguous, but may go on in the folios after the
 *	     first. Memory without struct pages is one extent without a folio, whose
 *	     offset is the physical address; see pci_p2p_range_of_hold().
 * @nr_extents: how many
 * @private: the holder's
 *
 * p2p_hold_create_user() and p2p_hold_create() make it, p2p_hold_destroy() ends it.
 */
struct p2p_hold {
	/* private: of mm/p2p_hold.c, and of the inline functions below */
	struct percpu_ref uses;		/* of a ticket; live while usable */
	/* public: */
	struct p2p_extent *extents;
	unsigned int nr_extents;
	void *private;
	/* private: */
	const struct p2p_hold_ops *ops;	/* until it is destroyed */
	enum p2p_hold_mode mode;
	struct p2p_holds *holds;	/* kept by @file */
	struct file *file;		/* the buffer, or range */
	struct kref ref;		/* the holder's, the list's, a revocation's */
	struct work_struct settle;
	/* Protected by holds->lock, as the list: */
	struct list_head node;
	enum p2p_hold_state state;
	bool live;			/* @uses was not killed */
	bool idle;			/* @uses is 0 */
	bool due;			/* revoke() or pause() */
	bool in_call;			/* of either */
	bool destroyed;			/* by the holder */
	bool let_go;			/* by the holder: revoke() has returned */
	bool settled;			/* has no memory any more */
	/* Who it is, for the log: */
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
 * Until p2p_hold_end_use() the memory is there, and the removal or reset of its
 * provider waits. So a use must end soon, or when the ticket's revoke() or pause() asks
 * for it, and must not depend on userspace. There may be many at a time.
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
 * p2p_hold_end_use() - end what p2p_hold_begin_use() began
 * @hold: the ticket; may be gone afterwards if it was destroyed meanwhile
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
