// SPDX-License-Identifier: GPL-2.0
/*
 * Which peer-to-peer memory a block device reaches.
 *
 * blk-p2p.c tells which devices take such memory at all.
 */
#include <linux/blk-mq.h>
#include <linux/blk-p2p.h>
#include <linux/blkdev.h>
#include <linux/bvec.h>
#include <linux/export.h>
#include <linux/memremap.h>
#include <linux/p2p_ratelimit.h>
#include <linux/pci-p2pdma.h>

#include "blk.h"

/**
 * bdev_p2p_reaches() - can DMA of a block device reach peer-to-peer memory?
 * @bdev: the block device
 * @bv: a piece of the memory, in one page map
 *
 * The DMA mapping of a request tells, too, but then other devices may have
 * written their copy already. A device that is made of others reaches what all
 * of them reach.
 *
 * Context: Any. The caller holds a reference to the pages of @bv, and holds the
 *	    RCU read lock or keeps @bdev in place otherwise.
 * Return: true if it can, to the last byte; false if not, or if that can't be
 *	   told, as for a device that is not behind a PCI device.
 */
bool bdev_p2p_reaches(struct block_device *bdev, const struct bio_vec *bv)
{
	struct gendisk *disk = bdev->bd_disk;

	if (disk->fops->p2p_reaches)
		return disk->fops->p2p_reaches(disk, bv);
	return pci_p2pdma_reaches(disk_to_dev(disk), bv->bv_page,
				  bv->bv_offset, bv->bv_len);
}
EXPORT_SYMBOL_GPL(bdev_p2p_reaches);

/*
 * A request has ended with BLK_STS_P2P_REFUSED. Names the device, the memory and the
 * reason, for whoever made the request or looks after the machine.
 */
void blk_p2p_log_refusal(struct request *rq)
{
	struct page *page;
	char route[160];

	if (!rq->bio || !(rq->bio->bi_opf & REQ_P2P) || !rq->q->disk)
		return;

	page = bio_page(rq->bio);
	if (!p2p_ratelimit_about(rq->q, page_pgmap(page)))
		return;
	pci_p2pdma_describe_route(disk_to_dev(rq->q->disk), page, route,
				  sizeof(route));
	pr_notice("%s: can't reach peer-to-peer memory of %s\n",
		  rq->q->disk->disk_name, route);
}
