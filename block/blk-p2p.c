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
#include <linux/uio.h>
#include <linux/vm_p2p.h>

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

/**
 * bio_p2p_run() - get peer-to-peer memory for a bio, without its pages
 * @bio: the bio that it is for; bi_bdev must be set
 * @iter: what the user passed; moved on by what is returned
 * @page: where to store the page that it begins with
 * @offset: where to store the offset in @page
 *
 * Each page has a reference, as those of iov_iter_get_pages2().
 *
 * Context: Process context.
 * Return: how many contiguous bytes there are, a multiple of the logical block
 *	   size; 0 if there are none, or to be had by pages only.
 */
size_t bio_p2p_run(struct bio *bio, struct iov_iter *iter, struct page **page,
		   size_t *offset)
{
	unsigned int gup_flags = bio_p2p_gup_flags(bio);
	unsigned long addr;
	size_t len;

	if (!gup_flags)
		return 0;

	if (iter_is_ubuf(iter)) {
		addr = (unsigned long)iter->ubuf + iter->iov_offset;
		len = iter->count;
	} else if (iter_is_iovec(iter)) {
		addr = (unsigned long)iter->iov->iov_base + iter->iov_offset;
		len = min(iter->count, iter->iov->iov_len - iter->iov_offset);
	} else {
		return 0;
	}

	len = min_t(size_t, len, UINT_MAX - bio->bi_iter.bi_size);
	if (!len)
		return 0;
	if (iov_iter_rw(iter) != WRITE)
		gup_flags |= FOLL_WRITE;

	len = get_user_p2p_run(addr, len, bdev_logical_block_size(bio->bi_bdev),
			       gup_flags, page);
	*offset = offset_in_page(addr);
	iov_iter_advance(iter, len);
	return len;
}

/* Tells why the pages were not to be had. */
void bio_p2p_refused(struct bio *bio)
{
	const char *obstacle = bio_p2p_obstacle(bio);

	pr_notice_ratelimited("%pg: can't use peer-to-peer memory: %s\n",
			      bio->bi_bdev, obstacle ?: "it just changed");
}
