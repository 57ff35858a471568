// SPDX-License-Identifier: GPL-2.0
/*
 * Log lines about peer-to-peer memory are rate-limited per user.
 *
 * Most of these lines tell a user why a transfer was refused, so users decide how many
 * there are. With a single limit, one user whose transfers are refused all the time
 * would suppress the lines of all others.
 *
 * The limit is selected by a hash of the user ID. So users cannot make the kernel
 * allocate memory, and a user with many IDs, from /etc/subuid, causes at most as many
 * lines as there are slots. Kernel threads and interrupts share one limit, because
 * the user they work for is unknown.
 */

#include <linux/bits.h>
#include <linux/cred.h>
#include <linux/export.h>
#include <linux/hash.h>
#include <linux/p2p_ratelimit.h>
#include <linux/preempt.h>
#include <linux/ratelimit.h>
#include <linux/sched.h>
#include <linux/uidgid.h>

#define P2P_USER_BITS	5
#define P2P_NOBODY	BIT(P2P_USER_BITS)
#define P2P_ABOUT_BITS	6

static struct ratelimit_state p2p_ratelimits[P2P_NOBODY + 1] = {
	[0 ... P2P_NOBODY] =
		RATELIMIT_STATE_INIT(p2p_ratelimits, DEFAULT_RATELIMIT_INTERVAL,
				     DEFAULT_RATELIMIT_BURST),
};

/* Lines of one user about the same pair of subject and object. */
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
 * Description: For pr_p2p_notice() and dev_p2p_notice(), and for callers that do more
 * than print a line.
 *
 * Context: Any.
 * Return: true if the line may be printed.
 */
bool p2p_ratelimit(void)
{
	return __ratelimit(&p2p_ratelimits[p2p_ratelimit_slot()]);
}
EXPORT_SYMBOL_GPL(p2p_ratelimit);

/**
 * p2p_ratelimit_about() - may the current user cause another line about the same?
 * @subject: what the line is about, for example a device
 * @object: what the line says of it, for example the memory it can't reach
 *
 * For events that a program can repeat at will: one line in five seconds is enough.
 *
 * Context: Any.
 * Return: true if the line may be printed.
 */
bool p2p_ratelimit_about(const void *subject, const void *object)
{
	unsigned long key = (unsigned long)subject ^
			    hash_long((unsigned long)object, BITS_PER_LONG) ^
			    p2p_ratelimit_slot();

	return __ratelimit(&p2p_ratelimits_about[hash_long(key, P2P_ABOUT_BITS)]);
}
EXPORT_SYMBOL_GPL(p2p_ratelimit_about);
