// SPDX-License-Identifier: GPL-2.0
/*
 * Log lines about peer-to-peer memory are rate-limited per user.
 *
 * Most of these lines tell a user why a transfer was refused, so users decide how many
 * there are. With a single limit, one user whose transfers are refused all the time
 * would suppress the lines of all others.
 *
 * A user who causes lines occupies one of a fixed number of slots, so that
 * users cannot make the kernel allocate memory. Users without a slot share one
 * limit. A user with many IDs, from /etc/subuid, can use them only in a user
 * namespace, where lines count for the owner of the namespace. If root created
 * the namespace, as for a container, they count for the user who is root inside
 * it. Kernel threads and interrupts share one limit, because the user they work
 * for is unknown.
 *
 * Lines about the same pair of things, of which one is enough, use separate
 * slots. Each user gets only a few of these, so that others get some, too.
 * Lines about further pairs count like the user's other lines.
 */

#include <linux/cred.h>
#include <linux/export.h>
#include <linux/hash.h>
#include <linux/jiffies.h>
#include <linux/p2p_ratelimit.h>
#include <linux/preempt.h>
#include <linux/ratelimit.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/uidgid.h>
#include <linux/user_namespace.h>

#define P2P_NR_USERS	64
#define P2P_NR_PAIRS	128
#define P2P_USER_PAIRS	8	/* of one user */

/* The lines of one user, or those about one pair. */
struct p2p_ratelimit_slot {
	u64 user;
	u64 pair;			/* 0 while the slot is empty */
	unsigned long used;		/* in jiffies */
	struct ratelimit_state state;
};

#define P2P_RATELIMIT_SLOT(slots, burst, flags)				\
	{ .state = RATELIMIT_STATE_INIT_FLAGS(slots,			\
			DEFAULT_RATELIMIT_INTERVAL, burst, flags) }

static struct p2p_ratelimit_slot p2p_ratelimit_users[P2P_NR_USERS] = {
	[0 ... P2P_NR_USERS - 1] =
		P2P_RATELIMIT_SLOT(p2p_ratelimit_users, DEFAULT_RATELIMIT_BURST, 0),
};

/* For users without a slot. */
static DEFINE_RATELIMIT_STATE(p2p_ratelimit_others, DEFAULT_RATELIMIT_INTERVAL,
			      DEFAULT_RATELIMIT_BURST);

/* Lines of one user about the same pair of subject and object. */
static struct p2p_ratelimit_slot p2p_ratelimit_pairs[P2P_NR_PAIRS] = {
	[0 ... P2P_NR_PAIRS - 1] =
		P2P_RATELIMIT_SLOT(p2p_ratelimit_pairs, 1,
				   RATELIMIT_MSG_ON_RELEASE),
};

static DEFINE_RAW_SPINLOCK(p2p_ratelimit_lock);

/*
 * Returns the user for whom lines count. In a user namespace that is its owner,
 * or, if root created it, the user who is root inside it. If that is the
 * machine's root, too, it is the current user.
 */
static u64 p2p_ratelimit_user(void)
{
	struct user_namespace *ns;
	kuid_t user, owner;

	if (!in_task() || current->flags & PF_KTHREAD)
		return 1ULL << 32;

	user = current_uid();
	for (ns = current_user_ns(); ns != &init_user_ns; ns = ns->parent) {
		owner = ns->owner;
		if (uid_eq(owner, GLOBAL_ROOT_UID))
			owner = make_kuid(ns, 0);
		if (uid_valid(owner) && !uid_eq(owner, GLOBAL_ROOT_UID))
			user = owner;
	}
	return __kuid_val(user);
}

/*
 * Returns the rate limit of a user's lines about a pair, in its slot or in an
 * unused one; NULL if there is no such slot, or the user already has @share of
 * them.
 */
static struct ratelimit_state *
p2p_ratelimit_find(struct p2p_ratelimit_slot *slots, unsigned int nr_slots,
		   u64 user, u64 pair, unsigned int share)
{
	unsigned int i, first = hash_64(user ^ pair, 32) % nr_slots, nr = 0;
	struct p2p_ratelimit_slot *slot = NULL, *unused = NULL;
	unsigned long flags;

	raw_spin_lock_irqsave(&p2p_ratelimit_lock, flags);
	for (i = 0; i < nr_slots; i++) {
		struct p2p_ratelimit_slot *s = &slots[(first + i) % nr_slots];

		if (s->user == user && s->pair == pair) {
			slot = s;
			break;
		}
		if (!s->pair || time_after(jiffies, s->used +
					   DEFAULT_RATELIMIT_INTERVAL))
			unused = unused ? unused : s;
		else if (s->user == user)
			nr++;
	}
	if (!slot && unused && nr < share) {
		slot = unused;
		slot->user = user;
		slot->pair = pair;
		/* The slot was unused, so no other CPU counts in it. */
		slot->state.begin = 0;
		slot->state.printed = 0;
		slot->state.missed = 0;
	}
	if (slot)
		slot->used = jiffies;
	raw_spin_unlock_irqrestore(&p2p_ratelimit_lock, flags);

	return slot ? &slot->state : NULL;
}

static bool p2p_ratelimit_by(u64 user)
{
	struct ratelimit_state *state;

	state = p2p_ratelimit_find(p2p_ratelimit_users, P2P_NR_USERS, user, 1, 1);
	return __ratelimit(state ? state : &p2p_ratelimit_others);
}

static bool p2p_ratelimit_about_by(u64 user, const void *subject,
				   const void *object)
{
	u64 pair = hash_64((unsigned long)subject, 64) ^ (unsigned long)object;
	struct ratelimit_state *state;

	/* A pair of 0 means an empty slot. */
	state = p2p_ratelimit_find(p2p_ratelimit_pairs, P2P_NR_PAIRS, user,
				   hash_64(pair, 64) | 1, P2P_USER_PAIRS);
	return state ? __ratelimit(state) : p2p_ratelimit_by(user);
}

/**
 * p2p_ratelimit() - may the current user cause another log line?
 *
 * Description: For pr_p2p_notice() and dev_p2p_notice(), and for callers that do more
 * than print a line.
 *
 * Context: Any.
 * Return: true if the line may be printed.
 */
bool p2p_ratelimit(void)
{
	return p2p_ratelimit_by(p2p_ratelimit_user());
}
EXPORT_SYMBOL_GPL(p2p_ratelimit);

/**
 * p2p_ratelimit_about() - may another line about a pair be printed?
 * @subject: what the line is about, for example a device
 * @object: what the line says of it, for example the memory it can't reach
 *
 * For events that a program can repeat at will: one line in five seconds is
 * enough. Lines about too many pairs are limited as by p2p_ratelimit().
 *
 * Context: Any.
 * Return: true if the line may be printed.
 */
bool p2p_ratelimit_about(const void *subject, const void *object)
{
	return p2p_ratelimit_about_by(p2p_ratelimit_user(), subject, object);
}
EXPORT_SYMBOL_GPL(p2p_ratelimit_about);

#include "p2p_ratelimit-test.h"
