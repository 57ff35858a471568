/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which block devices can use peer-to-peer memory.
 */
#ifndef _LINUX_BLK_P2P_H
#define _LINUX_BLK_P2P_H

#include <linux/blk_types.h>

struct bio_vec;
struct block_device;

/**
 * bio_p2p_refused() - did a bio fail only because of where its data is?
 * @bio: a bio that has ended
 *
 * For stacking drivers, which judge devices by the errors of their bios.
 *
 * Context: Any.
 * Return: true if @bio has peer-to-peer memory that the device can't use. Nothing is
 *	   wrong with the device then, but other legs of a mirror may have been written.
 */
static inline bool bio_p2p_refused(const struct bio *bio)
{
	return unlikely(bio->bi_status == BLK_STS_P2P_REFUSED) &&
	       bio->bi_opf & REQ_P2P;
}

#ifdef CONFIG_VM_P2P
bool bdev_p2p_capable(struct block_device *bdev);
bool bdev_p2p_reaches(struct block_device *bdev, const struct bio_vec *bv);
void blk_rq_release_p2p(struct bio *bio);
#else
static inline bool bdev_p2p_capable(struct block_device *bdev)
{
	return false;
}

static inline void blk_rq_release_p2p(struct bio *bio)
{
}
#endif

#endif /* _LINUX_BLK_P2P_H */
