// SPDX-License-Identifier: GPL-2.0
/*
 * Which peer-to-peer memory a block device can reach. Whether it can use such memory at
 * all is the subject of blk-p2p.c.
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
 * @bv: a piece of the memory, within one page map
 *
 * The DMA mapping of a request answers this, too, but for a mirror that is too late,
 * since other legs may have been written by then. A stacked device reaches the memory
 * if all devices below it do.
 *
 * Context: Any. The caller holds a reference to the pages of @bv, and either holds the
 *	    RCU read lock or otherwise keeps @bdev from going away.
 * Return: true if the device reaches all of @bv; false if it does not, or if that is
 *	   unknown because the block device does not belong to a PCI device.
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
 * Log that a request has ended with BLK_STS_P2P_REFUSED: the device, the provider, and
 * why the device can't reach it.
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
