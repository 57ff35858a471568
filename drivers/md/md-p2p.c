// SPDX-License-Identifier: GPL-2.0
/*
 * Peer-to-peer memory as data of arrays.
 *
 * linear, raid0, raid1 and raid10 hand the pages of a bio on to their drives.
 * raid4, raid5 and raid6 compute parity, with the CPU or with an engine that
 * knows nothing of peer-to-peer memory.
 *
 * An array takes such memory while all its drives do, spares included, because a
 * spare becomes a member without I/O being stopped for it.
 *
 * Whether a drive reaches a provider is asked before any drive is told to write.
 * If only the DMA mapping of one leg of a mirror found out, the legs would
 * differ, and md would take a good drive for a broken one and fail it.
 */
#include <linux/blk-p2p.h>
#include <linux/blkdev.h>
#include <linux/mm.h>
#include <linux/raid/md_u.h>

#include "md.h"
#include "md-p2p.h"

static bool md_level_passes_p2p(int level)
{
	switch (level) {
	case LEVEL_LINEAR:
	case 0:
	case 1:
	case 10:
		return true;
	default:
		return false;
	}
}

static bool md_p2p_capable(struct mddev *mddev)
{
	struct md_rdev *rdev;

	if (!mddev->pers || !md_level_passes_p2p(mddev->pers->level))
		return false;
	rdev_for_each(rdev, mddev)
		if (!bdev_p2p_capable(rdev->bdev))
			return false;
	return true;
}

/*
 * The level or the drives of an array have changed. The caller holds the
 * reconfig_mutex.
 */
void md_p2p_update(struct mddev *mddev)
{
	if (!mddev->queue)	/* dm-raid, which never takes it */
		return;

	if (md_p2p_capable(mddev))
		blk_queue_flag_set(QUEUE_FLAG_PCI_P2PDMA, mddev->queue);
	else
		blk_queue_flag_clear(QUEUE_FLAG_PCI_P2PDMA, mddev->queue);
}

/*
 * A drive was added to the list of an array that may be running, and is not in
 * use yet. The caller holds the reconfig_mutex.
 */
void md_p2p_add_drive(struct mddev *mddev)
{
	bool was_capable = mddev->queue && blk_queue_pci_p2pdma(mddev->queue);

	md_p2p_update(mddev);
	if (!was_capable || !mddev->pers)
		return;
	/* Wait for bios that md_p2p_permits() has let pass without asking it. */
	mddev_suspend(mddev);
	mddev_resume(mddev);
}

static bool rdev_p2p_permits(struct md_rdev *rdev, struct bio *bio)
{
	const struct dev_pagemap *last = NULL;
	struct bvec_iter iter;
	struct bio_vec bv;

	if (!bdev_p2p_capable(rdev->bdev))
		return false;
	bio_for_each_bvec(bv, bio, iter) {
		if (!is_pci_p2pdma_page(bv.bv_page) ||
		    page_pgmap(bv.bv_page) == last)
			continue;
		if (!bdev_p2p_reaches(rdev->bdev, bv.bv_page))
			return false;
		last = page_pgmap(bv.bv_page);
	}
	return true;
}

/*
 * May a bio with peer-to-peer memory go to the drives? The caller keeps the array
 * from being suspended, see md_p2p_add_drive().
 */
bool md_p2p_permits(struct mddev *mddev, struct bio *bio)
{
	struct md_rdev *rdev;
	bool permits = true;

	if (!mddev->queue || !blk_queue_pci_p2pdma(mddev->queue))
		return false;

	rcu_read_lock();
	rdev_for_each_rcu(rdev, mddev) {
		if (test_bit(Faulty, &rdev->flags) ||
		    rdev_p2p_permits(rdev, bio))
			continue;
		pr_notice_ratelimited("md: %s: can't use peer-to-peer memory that its drive %pg does not reach\n",
				      mdname(mddev), rdev->bdev);
		permits = false;
		break;
	}
	rcu_read_unlock();
	return permits;
}

/* The method of block_device_operations. */
bool md_p2p_reaches(struct gendisk *disk, const struct page *page)
{
	struct mddev *mddev = disk->private_data;
	struct md_rdev *rdev;

	rdev_for_each_rcu(rdev, mddev)
		if (!test_bit(Faulty, &rdev->flags) &&
		    !bdev_p2p_reaches(rdev->bdev, page))
			return false;
	return true;
}
