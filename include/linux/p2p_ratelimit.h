/* SPDX-License-Identifier: GPL-2.0 */
/* Rate limits for log lines about peer-to-peer memory, which users cause. */
#ifndef _LINUX_P2P_RATELIMIT_H
#define _LINUX_P2P_RATELIMIT_H

#include <linux/dev_printk.h>
#include <linux/printk.h>

#ifdef CONFIG_VM_P2P
bool p2p_ratelimit(void);
bool p2p_ratelimit_about(const void *subject, const void *object);

#define pr_p2p_notice(fmt, ...)						\
do {									\
	if (p2p_ratelimit())						\
		pr_notice(fmt, ##__VA_ARGS__);				\
} while (0)

#define dev_p2p_notice(dev, fmt, ...)					\
do {									\
	if (p2p_ratelimit())						\
		dev_notice(dev, fmt, ##__VA_ARGS__);			\
} while (0)
#else
#define pr_p2p_notice	pr_notice_ratelimited
#define dev_p2p_notice	dev_notice_ratelimited
#endif

#endif /* _LINUX_P2P_RATELIMIT_H */
