/* SPDX-License-Identifier: GPL-2.0 */
/* Shared by mm/p2p_hold*.c. */
#ifndef _MM_P2P_HOLD_H
#define _MM_P2P_HOLD_H

#include <linux/kref.h>
#include <linux/p2p_hold.h>
#include <linux/percpu-refcount.h>

struct device;
struct file;

static inline bool p2p_hold_is_lease(const struct p2p_hold *hold)
{
	return hold->mode == P2P_HOLD_LEASE;
}

struct p2p_hold *p2p_hold_alloc(struct file *file,
				const struct p2p_hold_ops *ops,
				struct device *client, void *private);
int p2p_hold_register(struct p2p_hold *hold);
void p2p_hold_go_live(struct p2p_hold *hold);
void p2p_hold_refuse_uses(struct p2p_hold *hold);
bool p2p_hold_is_over(struct p2p_hold *hold);
void p2p_hold_settle(struct p2p_hold *hold);
void p2p_hold_put(struct p2p_hold *hold);

#endif /* _MM_P2P_HOLD_H */
