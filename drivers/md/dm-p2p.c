// SPDX-License-Identifier: GPL-2.0
/*
 * Peer-to-peer memory as data of mapped devices.
 *
 * A mapped device can use such memory while all targets of its table pass data
 * through untouched (DM_TARGET_PASSES_P2P) and all devices below them can use
 * it.
 */
#include <linux/blk-p2p.h>

#include "dm-core.h"
#include "dm-p2p.h"

static int device_not_p2p_capable(struct dm_target *ti, struct dm_dev *dev,
				  sector_t start, sector_t len, void *data)
{
	return !bdev_p2p_capable(dev->bdev);
}

static int device_not_reaching(struct dm_target *ti, struct dm_dev *dev,
			       sector_t start, sector_t len, void *data)
{
	return !bdev_p2p_reaches(dev->bdev, data);
}

static bool dm_table_all_devs(struct dm_table *t,
			      iterate_devices_callout_fn anti_func, void *data)
{
	for (unsigned int i = 0; i < t->num_targets; i++) {
		struct dm_target *ti = dm_table_get_target(t, i);

		if (!dm_target_passes_p2p(ti->type) ||
		    !ti->type->iterate_devices ||
		    ti->type->iterate_devices(ti, anti_func, data))
			return false;
	}

	return true;
}

/* Called before @t becomes the live table of the device with queue @q. */
void dm_table_set_p2p(struct dm_table *t, struct request_queue *q)
{
	if (dm_table_all_devs(t, device_not_p2p_capable, NULL))
		blk_queue_flag_set(QUEUE_FLAG_PCI_P2PDMA, q);
	else
		blk_queue_flag_clear(QUEUE_FLAG_PCI_P2PDMA, q);
}

/* Implements block_device_operations.p2p_reaches. */
bool dm_p2p_reaches(struct gendisk *disk, const struct bio_vec *bv)
{
	struct mapped_device *md = disk->private_data;
	struct dm_table *map;
	bool reaches;
	int srcu_idx;

	map = dm_get_live_table(md, &srcu_idx);
	reaches = map && dm_table_all_devs(map, device_not_reaching,
					   (void *)bv);
	dm_put_live_table(md, srcu_idx);
	return reaches;
}
