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
 * Whether a drive reaches a provider is asked before any drive is told to write. A
 * bio has memory of one provider (see blk-p2p.c), so that is one question a drive. If
 * a route changes in between, the DMA mapping of one leg of a mirror finds out, and
 * the legs differ.
 *
 * Where such a transfer fails, the drive may be sound: the way to the memory, or the
 * other device, is as likely to have failed it, and anybody who may use the memory
 * could have a drive failed or given bad blocks. So a read is tried on the other
 * copies and not repaired, and a write fails, with a resync to follow, which uses
 * host memory and finds out whether the drive is to blame.
 */
#include <linux/align.h>
#include <linux/blk-p2p.h>
#include <linux/blkdev.h>
#include <linux/export.h>
#include <linux/mm.h>
#include <linux/p2p_ratelimit.h>
#include <linux/raid/md_u.h>

#include "md.h"
#include "md-bitmap.h"
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

	/* A level without copies has nothing to make equal. */
	if (mddev->pers && !mddev->pers->sync_request)
		WRITE_ONCE(mddev->p2p_failed_from, MaxSector);

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
	/*
	 * Wait for bios that md_p2p_permits() has let pass without asking it. Start
	 * no recovery: with external metadata the drive has no place yet.
	 */
	mddev_suspend(mddev);
	mddev_resume_io(mddev);
}

static bool rdev_p2p_permits(struct md_rdev *rdev, struct bio *bio)
{
	struct bvec_iter iter;
	struct bio_vec bv;

	if (!bdev_p2p_capable(rdev->bdev))
		return false;
	/* The DMA mask of the drive may end in the memory. */
	bio_for_each_bvec(bv, bio, iter)
		if (!bdev_p2p_reaches(rdev->bdev, &bv))
			return false;
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
		pr_notice_p2p("md: %s: can't use peer-to-peer memory that its drive %pg does not reach\n",
			      mdname(mddev), rdev->bdev);
		permits = false;
		break;
	}
	rcu_read_unlock();
	return permits;
}

/*
 * Some devices have not written their part of a write that has ended, and others have.
 * It has failed, and a resync makes the copies equal again. The bitmap, if there is
 * one, knows already that it is needed, and the array is not clean before that.
 */
void md_p2p_write_failed(struct mddev *mddev, sector_t sector,
			 sector_t nr_sectors)
{
	sector_t from = READ_ONCE(mddev->p2p_failed_from);
	sector_t to = READ_ONCE(mddev->p2p_failed_to);
	sector_t end = sector + nr_sectors;

	sector = ALIGN_DOWN(sector, PAGE_SECTORS);
	while (end > to && !try_cmpxchg(&mddev->p2p_failed_to, &to, end))
		;
	/* Who sees this, sees that, or begins with nothing: see below. */
	while (sector < from &&
	       !try_cmpxchg(&mddev->p2p_failed_from, &from, sector))
		;
	set_bit(MD_RECOVERY_NEEDED, &mddev->recovery);
	md_wakeup_thread(mddev->thread);
}
EXPORT_SYMBOL_GPL(md_p2p_write_failed);

/*
 * A check or a recovery that was running may have cleared the bits of the bitmap
 * without making all copies equal, so set them again.
 */
static void md_p2p_dirty_bitmap(struct mddev *mddev, sector_t from, sector_t to)
{
	unsigned int shift = mddev->bitmap->counts.chunkshift;

	md_bitmap_dirty_bits(mddev->bitmap, from >> shift, (to - 1) >> shift);
}

/* The caller holds the reconfig_mutex, and no resync is running. */
void md_p2p_want_resync(struct mddev *mddev)
{
	sector_t from = xchg(&mddev->p2p_failed_from, MaxSector), to;

	if (from == MaxSector)
		return;
	to = xchg(&mddev->p2p_failed_to, 0);
	/* It was taken together with what failed before. */
	if (to <= from || to > mddev->resync_max_sectors)
		to = mddev->resync_max_sectors;
	if (mddev->bitmap && from < to)
		md_p2p_dirty_bitmap(mddev, from, to);
	if (p2p_ratelimit_about(mddev, NULL))
		pr_info("md: %s: resync from sector %llu, since some devices could not write peer-to-peer memory\n",
			mdname(mddev), (unsigned long long)from);
	mddev->recovery_cp = min(mddev->recovery_cp, from);
	set_bit(MD_SB_CHANGE_CLEAN, &mddev->sb_flags);
}

/* The method of block_device_operations. */
bool md_p2p_reaches(struct gendisk *disk, const struct bio_vec *bv)
{
	struct mddev *mddev = disk->private_data;
	struct md_rdev *rdev;

	rdev_for_each_rcu(rdev, mddev)
		if (!test_bit(Faulty, &rdev->flags) &&
		    !bdev_p2p_reaches(rdev->bdev, bv))
			return false;
	return true;
}
