/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Peer-to-peer memory in bios, and the block devices that can use it.
 */
#ifndef _LINUX_BLK_P2P_H
#define _LINUX_BLK_P2P_H

#include <linux/blk_types.h>

struct bio_vec;
struct block_device;

/**
 * bio_p2p_refused() - did a bio fail only due to peer-to-peer memory?
 * @bio: a bio that has ended
 *
 * For stacking drivers, which judge devices by the errors of their bios.
 *
 * Context: Any.
 * Return: true if @bio has peer-to-peer memory that the device can't use. The
 *	   device is not faulty then, but other legs of a mirror may have been
 *	   written.
 */
static inline bool bio_p2p_refused(const struct bio *bio)
{
	return unlikely(bio->bi_status == BLK_STS_P2P_REFUSED) &&
	       bio->bi_opf & REQ_P2P;
}

#ifdef CONFIG_VM_P2P
bool bdev_p2p_capable(struct block_device *bdev);
bool bdev_p2p_reaches(struct block_device *bdev, const struct bio_vec *bv);
void bio_p2p_log_refusal(struct bio *bio, struct block_device *bdev);
#else
static inline bool bdev_p2p_capable(struct block_device *bdev)
{
	return false;
}

static inline void bio_p2p_log_refusal(struct bio *bio,
				       struct block_device *bdev)
{
}
#endif

void __blk_rq_release_p2p(struct bio *bio);

/**
 * blk_rq_release_p2p() - release peer-to-peer memory of a passthrough request
 * @bio: the first bio of the request, which has ended; or NULL
 *
 * For requests that are unmapped by the submitting process when it runs again.
 * A stopped process may never run again, and until then its pages would block
 * the removal of the provider. blk_rq_unmap_user() is called later as for any
 * other request.
 *
 * Context: Any.
 */
static inline void blk_rq_release_p2p(struct bio *bio)
{
	/* All bios of a request have the same kind of memory. */
	if (bio && unlikely(bio->bi_opf & REQ_P2P))
		__blk_rq_release_p2p(bio);
}

#endif /* _LINUX_BLK_P2P_H */
