// SPDX-License-Identifier: GPL-2.0
/*
 * Peer-to-peer memory as data of arrays.
 *
 * linear, raid0, raid1 and raid10 pass the pages of a bio on to their drives. raid4,
 * raid5 and raid6 compute parity, with the CPU or with an engine that can't access
 * peer-to-peer memory.
 *
 * An array can use such memory while all its drives can. This includes spares, because
 * a spare becomes a member without I/O being stopped.
 *
 * The array checks that all drives reach the memory of a bio before it writes
 * to any of them. If a route changes afterwards, the DMA mapping of one leg of
 * a mirror fails and the legs differ.
 *
 * A failed transfer of peer-to-peer memory does not prove that the drive is
 * faulty: the route or the provider may be the cause. If md blamed the drive,
 * any user of such memory could have a drive failed or get bad blocks recorded.
 * So a failed read is tried on the other copies and nothing is repaired. A
 * write that fails on any leg fails as a whole, and its sectors are resynced.
 * The resync uses host memory, so it shows whether the drive is faulty.
 *
 * Any user of such memory can provoke these resyncs, which slow down all other
 * users of the array. So there is a pause after each of them. Sectors of writes
 * that fail during the pause are recorded as out of sync in the bitmap and the
 * superblocks. The pause is short if a drive has failed a write rather than
 * refused it. If that drive is dead, and no host memory is written to the
 * array, only the resync can detect it, and until then all writes of
 * peer-to-peer memory fail.
 */
#include <linux/align.h>
#include <linux/blk-p2p.h>
#include <linux/blkdev.h>
#include <linux/export.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/p2p_ratelimit.h>
#include <linux/raid/md_u.h>
#include <linux/timer.h>

#include "md.h"
#include "md-bitmap.h"
#include "md-p2p.h"

/* Pause after a resync: minimum in jiffies, and multiple of its duration. */
#define MD_P2P_PAUSE_MIN	(10 * HZ)
#define MD_P2P_PAUSE_FACTOR	9

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
 * Update whether an array can use peer-to-peer memory, after its level or its drives
 * have changed. The caller holds the reconfig_mutex.
 */
void md_p2p_update(struct mddev *mddev)
{
	if (!mddev->queue)	/* dm-raid, which can't */
		return;

	/* A level without copies has nothing to resync. */
	if (mddev->pers && !mddev->pers->sync_request)
		WRITE_ONCE(mddev->p2p_failed_from, MaxSector);

	if (md_p2p_capable(mddev))
		blk_queue_flag_set(QUEUE_FLAG_PCI_P2PDMA, mddev->queue);
	else
		blk_queue_flag_clear(QUEUE_FLAG_PCI_P2PDMA, mddev->queue);
}

/*
 * A drive, which is not in use yet, was added to an array that may be running.
 * The caller holds the reconfig_mutex.
 */
void md_p2p_add_drive(struct mddev *mddev)
{
	bool was_capable = mddev->queue && blk_queue_pci_p2pdma(mddev->queue);

	md_p2p_update(mddev);
	if (!was_capable || !mddev->pers)
		return;
	/*
	 * Wait for the bios that md_p2p_permits() has accepted without checking this
	 * drive. Don't start a recovery: with external metadata the drive has no slot
	 * yet.
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
	/* The drive's DMA mask may cover only a part of the memory. */
	bio_for_each_bvec(bv, bio, iter)
		if (!bdev_p2p_reaches(rdev->bdev, &bv))
			return false;
	return true;
}

/*
 * Do all drives of an array reach the memory of a bio? The caller keeps the array from
 * being suspended, see md_p2p_add_drive().
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
		bio_p2p_log_refusal(bio, rdev->bdev);
		permits = false;
		break;
	}
	rcu_read_unlock();
	return permits;
}

/*
 * A write has failed on some legs but not on others: schedule a resync that
 * makes the copies equal again. The bits of the bitmap, if there is one, are
 * still set, and the superblocks say that the array is not clean. @error is
 * true if a leg has failed the write rather than refused it.
 */
void md_p2p_write_failed(struct mddev *mddev, sector_t sector,
			 sector_t nr_sectors, bool error)
{
	sector_t end = sector + nr_sectors;
	unsigned long flags;

	sector = ALIGN_DOWN(sector, PAGE_SECTORS);
	spin_lock_irqsave(&mddev->p2p_lock, flags);
	WRITE_ONCE(mddev->p2p_failed_from, min(mddev->p2p_failed_from, sector));
	mddev->p2p_failed_to = max(mddev->p2p_failed_to, end);
	mddev->p2p_error |= error;
	spin_unlock_irqrestore(&mddev->p2p_lock, flags);

	set_bit(MD_RECOVERY_NEEDED, &mddev->recovery);
	md_wakeup_thread(mddev->thread);
}
EXPORT_SYMBOL_GPL(md_p2p_write_failed);

/*
 * The slow path of md_p2p_copies_differ(). If a resync has been requested
 * meanwhile, recovery_cp covers the sectors instead.
 */
bool md_p2p_is_failed(struct mddev *mddev, sector_t sector, sector_t nr_sectors)
{
	unsigned long flags;
	bool failed;

	spin_lock_irqsave(&mddev->p2p_lock, flags);
	failed = sector + nr_sectors > mddev->p2p_failed_from &&
		 sector < mddev->p2p_failed_to;
	spin_unlock_irqrestore(&mddev->p2p_lock, flags);
	return failed;
}
EXPORT_SYMBOL_GPL(md_p2p_is_failed);

/*
 * A check or a recovery may have cleared bits of the bitmap without making all
 * copies equal. Set them again, also in the bitmaps on the drives.
 */
static void md_p2p_dirty_bitmap(struct mddev *mddev, sector_t from, sector_t to)
{
	unsigned int shift = mddev->bitmap->counts.chunkshift;

	md_bitmap_dirty_bits(mddev->bitmap, from >> shift, (to - 1) >> shift);
	md_bitmap_unplug(mddev->bitmap);
}

/* The pause is over: have md_check_recovery() look for a resync to start. */
static void md_p2p_timeout(struct timer_list *t)
{
	struct mddev *mddev = from_timer(mddev, t, p2p_timer);

	set_bit(MD_RECOVERY_NEEDED, &mddev->recovery);
	md_wakeup_thread(mddev->thread);
}

void md_p2p_init(struct mddev *mddev)
{
	spin_lock_init(&mddev->p2p_lock);
	timer_setup(&mddev->p2p_timer, md_p2p_timeout, 0);
}

/* Is there a pause before the next resync? If so, arm the timer that ends it. */
static bool md_p2p_put_off(struct mddev *mddev)
{
	u64 now = get_jiffies_64(), next = mddev->p2p_resync_next;

	if (READ_ONCE(mddev->p2p_error))
		next = min(next, mddev->p2p_resync_ended + MD_P2P_PAUSE_MIN);
	if (!time_before64(now, next))
		return false;
	mod_timer(&mddev->p2p_timer,
		  jiffies + min_t(u64, next - now, MAX_JIFFY_OFFSET));
	return true;
}

/*
 * Request a resync of the sectors that md_p2p_write_failed() has reported.
 * During a pause, put it off unless @now is true, as for an array that is being
 * stopped. The caller holds the reconfig_mutex, and no resync is running.
 */
void md_p2p_want_resync(struct mddev *mddev, bool now)
{
	bool clean = mddev->recovery_cp == MaxSector;
	sector_t from, to;

	/* An earlier resync may be incomplete, so don't end early. */
	mddev->p2p_resync_end = MaxSector;
	if (READ_ONCE(mddev->p2p_failed_from) == MaxSector ||
	    (!now && md_p2p_put_off(mddev)))
		return;

	spin_lock_irq(&mddev->p2p_lock);
	from = mddev->p2p_failed_from;
	to = min(mddev->p2p_failed_to, mddev->resync_max_sectors);
	mddev->recovery_cp = min(mddev->recovery_cp, from);
	/*
	 * Pairs with the barriers in md-p2p.h: readers find the sectors in
	 * recovery_cp if not in p2p_failed_from.
	 */
	smp_wmb();
	WRITE_ONCE(mddev->p2p_failed_from, MaxSector);
	mddev->p2p_failed_to = 0;
	mddev->p2p_error = false;
	spin_unlock_irq(&mddev->p2p_lock);

	if (mddev->bitmap && from < to)
		md_p2p_dirty_bitmap(mddev, from, to);
	if (clean)
		mddev->p2p_resync_end = to;
	if (p2p_ratelimit_about(mddev, NULL))
		pr_info("md: %s: resync from sector %llu, since some devices could not write peer-to-peer memory\n",
			mdname(mddev), (unsigned long long)from);
	mddev->p2p_resync_began = get_jiffies_64();
	mddev->p2p_resync = true;
	set_bit(MD_SB_CHANGE_CLEAN, &mddev->sb_flags);
}

static bool md_p2p_is_resync(struct mddev *mddev)
{
	return mddev->p2p_resync &&
	       test_bit(MD_RECOVERY_SYNC, &mddev->recovery) &&
	       !test_bit(MD_RECOVERY_REQUESTED, &mddev->recovery);
}

/*
 * A resync, check or recovery starts to transfer data. The time it spent
 * waiting for other arrays on the same drives does not count.
 */
void md_p2p_sync_began(struct mddev *mddev)
{
	if (md_p2p_is_resync(mddev))
		mddev->p2p_resync_began = get_jiffies_64();
}

/*
 * Is a resync done once it has reached @sector? Yes at the end of the range of
 * failed writes, if nothing else was out of sync when the resync was requested.
 * With a bitmap, the resync starts at sector 0 and has to look at all bits.
 */
bool md_p2p_sync_done(struct mddev *mddev, sector_t sector)
{
	return !mddev->bitmap && sector >= mddev->p2p_resync_end &&
	       md_p2p_is_resync(mddev);
}

/*
 * A resync, check or recovery has completed or was interrupted. The caller
 * holds the reconfig_mutex.
 */
void md_p2p_sync_ended(struct mddev *mddev)
{
	u64 now = get_jiffies_64();

	if (md_p2p_is_resync(mddev)) {
		mddev->p2p_resync_ended = now;
		mddev->p2p_resync_next = now +
			max_t(u64, MD_P2P_PAUSE_MIN,
			      MD_P2P_PAUSE_FACTOR *
			      (now - mddev->p2p_resync_began));
		mddev->p2p_resync = false;
	} else if (!test_bit(MD_RECOVERY_SYNC, &mddev->recovery) ||
		   test_bit(MD_RECOVERY_REQUESTED, &mddev->recovery)) {
		/*
		 * A check or a recovery, which users can't provoke. It may have
		 * cleared bits of the bitmap where copies differ, so end the pause.
		 */
		mddev->p2p_resync_next = now;
	}
}

/*
 * The thread of the array, which the timer wakes, is about to exit. A new thread checks
 * for work when it starts. The caller holds the reconfig_mutex.
 */
void md_p2p_end_pause(struct mddev *mddev)
{
	del_timer_sync(&mddev->p2p_timer);
	mddev->p2p_resync_next = get_jiffies_64();
	mddev->p2p_resync = false;
}

/* Implements block_device_operations.p2p_reaches. */
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
