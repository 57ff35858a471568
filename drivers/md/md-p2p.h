/* SPDX-License-Identifier: GPL-2.0 */
#ifndef MD_P2P_H
#define MD_P2P_H

#include <linux/blk_types.h>
#include <linux/minmax.h>

#include "md.h"

struct bio_vec;
struct gendisk;

#ifdef CONFIG_VM_P2P
void md_p2p_update(struct mddev *mddev);
void md_p2p_add_drive(struct mddev *mddev);
bool md_p2p_permits(struct mddev *mddev, struct bio *bio);
void md_p2p_write_failed(struct mddev *mddev, sector_t sector,
			 sector_t nr_sectors, bool error);
void md_p2p_init(struct mddev *mddev);
void md_p2p_want_resync(struct mddev *mddev, bool now);
void md_p2p_sync_began(struct mddev *mddev);
bool md_p2p_sync_done(struct mddev *mddev, sector_t sector);
void md_p2p_sync_ended(struct mddev *mddev);
void md_p2p_end_pause(struct mddev *mddev);
bool md_p2p_reaches(struct gendisk *disk, const struct bio_vec *bv);
bool md_p2p_is_failed(struct mddev *mddev, sector_t sector,
		      sector_t nr_sectors);
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

static inline void md_p2p_write_failed(struct mddev *mddev, sector_t sector,
				       sector_t nr_sectors, bool error)
{
}

static inline void md_p2p_init(struct mddev *mddev)
{
}

static inline void md_p2p_want_resync(struct mddev *mddev, bool now)
{
}

static inline void md_p2p_sync_began(struct mddev *mddev)
{
}

static inline bool md_p2p_sync_done(struct mddev *mddev, sector_t sector)
{
	return false;
}

static inline bool md_p2p_is_failed(struct mddev *mddev, sector_t sector,
				    sector_t nr_sectors)
{
	return false;
}

static inline void md_p2p_sync_ended(struct mddev *mddev)
{
}

static inline void md_p2p_end_pause(struct mddev *mddev)
{
}
#endif

/*
 * The sector up to which the copies are the same, for superblocks. Considers
 * also failed writes for which no resync has been requested yet.
 */
static inline sector_t md_p2p_recovery_cp(const struct mddev *mddev)
{
	sector_t from = READ_ONCE(mddev->p2p_failed_from);

	/* Pairs with the barrier in md_p2p_want_resync(). */
	smp_rmb();
	return min(READ_ONCE(mddev->recovery_cp), from);
}

/*
 * May the copies of these sectors differ, with no resync requested yet? If so,
 * all reads must use the same copy, so that they return the same data. The
 * caller checks recovery_cp afterwards, which covers a resync that has been
 * requested.
 */
static inline bool md_p2p_copies_differ(struct mddev *mddev, sector_t sector,
					sector_t nr_sectors)
{
	sector_t from = READ_ONCE(mddev->p2p_failed_from);

	/* Pairs with the barrier in md_p2p_want_resync(). */
	smp_rmb();
	return unlikely(from != MaxSector) &&
	       md_p2p_is_failed(mddev, sector, nr_sectors);
}

/* Has a bio with peer-to-peer memory failed? */
static inline bool md_p2p_failed(const struct bio *bio)
{
	return unlikely(bio->bi_status) && bio->bi_opf & REQ_P2P;
}

#endif /* MD_P2P_H */
