// SPDX-License-Identifier: GPL-2.0
/*
 * Each user may cause as many log lines about peer-to-peer memory as any other.
 *
 * Most of these lines tell a user why something was refused, so the user decides how
 * many there are. With one limit for all, whoever is refused all the time keeps
 * everybody else's reasons from the log.
 *
 * Users share a limit by a hash of their number: it takes no memory that they could
 * make the kernel allocate, and somebody with many numbers, as /etc/subuid gives, can
 * cause no more lines than there are slots for. What the kernel does on somebody's
 * behalf, in a thread of its own or in an interrupt, has a limit of its own, too:
 * there is no telling whose it is.
 */

#include <linux/cred.h>
#include <linux/export.h>
#include <linux/hash.h>
#include <linux/p2p_ratelimit.h>
#include <linux/preempt.h>
#include <linux/ratelimit.h>
#include <linux/sched.h>
#include <linux/uidgid.h>

#define P2P_USER_BITS	5
#define P2P_NOBODY	(1 << P2P_USER_BITS)
#define P2P_ABOUT_BITS	6

static struct ratelimit_state p2p_ratelimits[P2P_NOBODY + 1] = {
	[0 ... P2P_NOBODY] =
		RATELIMIT_STATE_INIT(p2p_ratelimits, DEFAULT_RATELIMIT_INTERVAL,
				     DEFAULT_RATELIMIT_BURST),
};

/* Lines about the same, by the same user: one at a time. */
static struct ratelimit_state p2p_ratelimits_about[1 << P2P_ABOUT_BITS] = {
	[0 ... (1 << P2P_ABOUT_BITS) - 1] =
		RATELIMIT_STATE_INIT_FLAGS(p2p_ratelimits_about,
					   DEFAULT_RATELIMIT_INTERVAL, 1,
					   RATELIMIT_MSG_ON_RELEASE),
};

static unsigned int p2p_ratelimit_slot(void)
{
	if (in_task() && !(current->flags & PF_KTHREAD))
		return hash_32(__kuid_val(current_uid()), P2P_USER_BITS);
	return P2P_NOBODY;
}

/**
 * p2p_ratelimit() - may the current user cause another log line?
 *
 * For pr_notice_p2p() and dev_notice_p2p(), and for who has more to do than to print
 * a line.
 *
 * Context: Any.
 * Return: true if it is not one too many.
 */
bool p2p_ratelimit(void)
{
	return __ratelimit(&p2p_ratelimits[p2p_ratelimit_slot()]);
}
EXPORT_SYMBOL_GPL(p2p_ratelimit);

/**
 * p2p_ratelimit_about() - may the current user cause another line about the same?
 * @subject: who the line is about, as a device
 * @object: what it says of it, as the memory that the device can't reach
 *
 * For what a program does again and again: one line in five seconds tells it all.
 *
 * Context: Any.
 * Return: true if it is not one too many.
 */
bool p2p_ratelimit_about(const void *subject, const void *object)
{
	unsigned long key = (unsigned long)subject ^
			    hash_long((unsigned long)object, BITS_PER_LONG) ^
			    p2p_ratelimit_slot();

	return __ratelimit(&p2p_ratelimits_about[hash_long(key, P2P_ABOUT_BITS)]);
}
EXPORT_SYMBOL_GPL(p2p_ratelimit_about);
