// SPDX-License-Identifier: GPL-2.0
/*
 * Which block devices take peer-to-peer memory, and which bios for them.
 *
 * A driver promises with QUEUE_FLAG_PCI_P2PDMA to map all data for DMA with
 * dma_map_sgtable(). That is not all: nobody above the driver may look at the
 * data with the CPU either, to checksum, encrypt or copy it. All that is asked
 * before the pages are taken out of a process, so that what is refused has not
 * begun.
 *
 * There are no bounce buffers for high memory to ask about: VM_P2P is for 64-bit
 * kernels only.
 */
#include <linux/blk-integrity.h>
#include <linux/blk-p2p.h>
#include <linux/blkdev.h>
#include <linux/export.h>
#include <linux/mm.h>

#include "blk.h"

/* Returns NULL, or why a device can't take peer-to-peer memory. */
static const char *bdev_p2p_obstacle(struct block_device *bdev)
{
	struct blk_integrity *bi = blk_get_integrity(bdev->bd_disk);
	struct request_queue *q = bdev_get_queue(bdev);

	if (!blk_queue_pci_p2pdma(q))
		return "it, or a device under it, does not support peer-to-peer DMA";
	if (bi && bi->flags & (BLK_INTEGRITY_GENERATE | BLK_INTEGRITY_VERIFY))
		return "the CPU checksums its data, see integrity/ in sysfs";
	/* Set by whoever computes checksums of the data on its way. */
	if (blk_queue_stable_writes(q))
		return "its data is checksummed, see queue/stable_writes in sysfs";
	return NULL;
}

/* The same for one bio: the device may take it, but what comes in between? */
static const char *bio_p2p_obstacle(struct bio *bio)
{
	if (bio_flagged(bio, BIO_NO_P2P))
		return "the file system checksums or copies the data";
	if (bio_has_crypt_ctx(bio))
		return "the file is encrypted";
	return bdev_p2p_obstacle(bio->bi_bdev);
}

/**
 * bdev_p2p_capable() - does a block device take peer-to-peer memory?
 * @bdev: the block device
 *
 * For drivers that stack devices: what they make of others has
 * QUEUE_FLAG_PCI_P2PDMA only while this holds for all of these, and while they
 * themselves leave the data alone.
 *
 * Context: Any.
 * Return: true if all data of @bdev goes by DMA, untouched by the CPU.
 */
bool bdev_p2p_capable(struct block_device *bdev)
{
	return !bdev_p2p_obstacle(bdev);
}
EXPORT_SYMBOL_GPL(bdev_p2p_capable);

/* The flags with which to get the pages for a bio; bi_bdev must be set. */
unsigned int bio_p2p_gup_flags(struct bio *bio)
{
	/* Most devices are told apart by this bit alone. */
	if (!blk_queue_pci_p2pdma(bdev_get_queue(bio->bi_bdev)))
		return 0;
	return bio_p2p_obstacle(bio) ? 0 : FOLL_PCI_P2PDMA;
}

/* Tells why the pages were not to be had. */
void bio_p2p_refused(struct bio *bio)
{
	const char *obstacle = bio_p2p_obstacle(bio);

	pr_notice_ratelimited("%pg: can't use peer-to-peer memory: %s\n",
			      bio->bi_bdev, obstacle ?: "it just changed");
}
