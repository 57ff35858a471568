/* SPDX-License-Identifier: GPL-2.0 */
#ifndef MD_P2P_H
#define MD_P2P_H

#include <linux/types.h>

struct bio;
struct gendisk;
struct mddev;
struct page;

#ifdef CONFIG_VM_P2P
void md_p2p_update(struct mddev *mddev);
void md_p2p_add_drive(struct mddev *mddev);
bool md_p2p_permits(struct mddev *mddev, struct bio *bio);
bool md_p2p_reaches(struct gendisk *disk, const struct page *page);
#else
static inline void md_p2p_update(struct mddev *mddev)
{
}

static inline void md_p2p_add_drive(struct mddev *mddev)
{
}

static inline bool md_p2p_permits(struct mddev *mddev, struct bio *bio)
{
	return false;
}
#endif

#endif /* MD_P2P_H */
