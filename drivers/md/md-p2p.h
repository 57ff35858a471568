/* SPDX-License-Identifier: GPL-2.0 */
#ifndef MD_P2P_H
#define MD_P2P_H

#include <linux/blk_types.h>

struct bio_vec;
struct gendisk;
struct mddev;

#ifdef CONFIG_VM_P2P
void md_p2p_update(struct mddev *mddev);
void md_p2p_add_drive(struct mddev *mddev);
bool md_p2p_permits(struct mddev *mddev, struct bio *bio);
void md_p2p_write_failed(struct mddev *mddev, sector_t sector);
void md_p2p_want_resync(struct mddev *mddev);
bool md_p2p_reaches(struct gendisk *disk, const struct bio_vec *bv);
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

static inline void md_p2p_write_failed(struct mddev *mddev, sector_t sector)
{
}

static inline void md_p2p_want_resync(struct mddev *mddev)
{
}
#endif

/* Has a bio with peer-to-peer memory failed? */
static inline bool md_p2p_failed(const struct bio *bio)
{
	return unlikely(bio->bi_status) && bio->bi_opf & REQ_P2P;
}

#endif /* MD_P2P_H */
