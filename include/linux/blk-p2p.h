/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which block devices take peer-to-peer memory.
 */
#ifndef _LINUX_BLK_P2P_H
#define _LINUX_BLK_P2P_H

#include <linux/blk_types.h>

struct block_device;
struct page;

#ifdef CONFIG_VM_P2P
bool bdev_p2p_capable(struct block_device *bdev);
bool bdev_p2p_reaches(struct block_device *bdev, const struct page *page);
#else
static inline bool bdev_p2p_capable(struct block_device *bdev)
{
	return false;
}
#endif

#endif /* _LINUX_BLK_P2P_H */
