// SPDX-License-Identifier: GPL-2.0
/*
 * Which peer-to-peer memory a block device reaches.
 *
 * blk-p2p.c tells which devices take such memory at all.
 */
#include <linux/blk-p2p.h>
#include <linux/blkdev.h>
#include <linux/export.h>
#include <linux/pci-p2pdma.h>

/**
 * bdev_p2p_reaches() - can DMA of a block device reach peer-to-peer memory?
 * @bdev: the block device
 * @page: a page of the memory
 *
 * The DMA mapping of a request tells, too, but then other devices may have
 * written their copy already. A device that is made of others reaches what all
 * of them reach.
 *
 * Context: Any. The caller holds a reference to @page, and holds the RCU read
 *	    lock or keeps @bdev in place otherwise.
 * Return: true if it can; false if not, or if that can't be told, as for a
 *	   device that is not behind a PCI device.
 */
bool bdev_p2p_reaches(struct block_device *bdev, const struct page *page)
{
	struct gendisk *disk = bdev->bd_disk;

	if (disk->fops->p2p_reaches)
		return disk->fops->p2p_reaches(disk, page);
	return pci_p2pdma_reaches(disk_to_dev(disk), page);
}
EXPORT_SYMBOL_GPL(bdev_p2p_reaches);
