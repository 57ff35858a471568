// SPDX-License-Identifier: GPL-2.0
/*
 * Decides which block devices and bios can use peer-to-peer memory, and which
 * of it a device can reach.
 *
 * The data of a bio is either in host memory or in peer-to-peer memory of a
 * single provider, that is, of a single page map. Direct I/O splits a vector
 * that mixes them into several bios, and bios of different memory never merge,
 * so the same holds for requests. The route to the memory is then a property of
 * the whole request, and a refusal does not affect unrelated data. NVMe also
 * forbids mixing the drive's own controller memory buffer with other memory in
 * one command.
 *
 * With QUEUE_FLAG_PCI_P2PDMA a driver promises to map all data for DMA with
 * dma_map_sgtable() or pci_p2pdma_map_page(). In addition, no layer above the
 * driver may access the data with the CPU, to checksum, encrypt or copy it. All
 * of this is checked before pages are taken from the process, so that a refused
 * transfer has no side effects.
 *
 * Each bio_vec of such a bio holds one reference per folio, rather than one per
 * page. Drivers end bios with interrupts off, which releases all folios, so
 * BIO_P2P_MAX_SIZE limits their number.
 *
 * Bounce buffers for high memory need no check, since VM_P2P exists on 64-bit kernels
 * only.
 */
#include <linux/blk-integrity.h>
#include <linux/blk-mq.h>
#include <linux/blk-p2p.h>
#include <linux/blkdev.h>
#include <linux/bvec.h>
#include <linux/export.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/p2p_iter.h>
#include <linux/p2p_ratelimit.h>
#include <linux/p2pdma-map.h>
#include <linux/pci-p2pdma.h>
#include <linux/pci.h>
#include <linux/sizes.h>
#include <linux/uio.h>
#include <linux/vm_p2p.h>
#include <xen/xen.h>

#include "blk.h"

/*
 * In memory made of base pages this is 2048 folios. Marking them dirty and
 * releasing them takes less than 300,000 instructions. A larger bio would save
 * hardly anything.
 */
#define BIO_P2P_MAX_SIZE	SZ_8M

/* Returns why a device can't use peer-to-peer memory, or NULL if it can. */
static const char *bdev_p2p_obstacle(struct block_device *bdev)
{
	struct blk_integrity *bi = blk_get_integrity(bdev->bd_disk);
	struct request_queue *q = bdev_get_queue(bdev);

	if (!blk_queue_pci_p2pdma(q))
		return "it, or a device under it, does not support peer-to-peer DMA";
	if (bi && bi->flags & (BLK_INTEGRITY_GENERATE | BLK_INTEGRITY_VERIFY))
		return "the CPU checksums its data, see integrity/ in sysfs";
	/* Set by drivers that checksum the data in flight. */
	if (blk_queue_stable_writes(q))
		return "its data is checksummed, see queue/stable_writes in sysfs";
	return NULL;
}

/* bdev_p2p_obstacle() for a bio, including the layers above its device. */
static const char *bio_p2p_obstacle(struct bio *bio)
{
	if (bio_flagged(bio, BIO_NO_P2P))
		return "the file system checksums or copies the data";
	if (bio_has_crypt_ctx(bio))
		return "the file is encrypted";
	return bdev_p2p_obstacle(bio->bi_bdev);
}

/**
 * bdev_p2p_capable() - can a block device use peer-to-peer memory?
 * @bdev: the block device
 *
 * For stacking drivers: a stacked device has QUEUE_FLAG_PCI_P2PDMA only while this is
 * true of all devices below it and the stacking driver itself does not touch the data.
 *
 * Context: Any.
 * Return: true if all data of @bdev is transferred by DMA and the CPU never touches it.
 */
bool bdev_p2p_capable(struct block_device *bdev)
{
	return !bdev_p2p_obstacle(bdev);
}
EXPORT_SYMBOL_GPL(bdev_p2p_capable);

/*
 * Returns the GUP flags for the pages of a bio, whose bi_bdev must be set. FOLL_P2P_HELD
 * says that the bio already holds pages, which a reset of the provider waits for.
 */
unsigned int bio_p2p_gup_flags(struct bio *bio)
{
	unsigned int held = bio->bi_vcnt ? FOLL_P2P_HELD : 0;

	/* The common case: the device does not support peer-to-peer DMA. */
	if (!blk_queue_pci_p2pdma(bdev_get_queue(bio->bi_bdev)))
		return 0;
	return bio_p2p_obstacle(bio) ? 0 : FOLL_PCI_P2PDMA | held;
}

/* bio_p2p_run() for an ITER_P2P: fills an empty bio, up to its maximum size. */
static ssize_t bio_p2p_run_held(struct bio *bio, struct iov_iter *iter,
				struct page **page, size_t *offset,
				unsigned int gup_flags)
{
	size_t len = ALIGN_DOWN(min_t(size_t, iter->count, BIO_P2P_MAX_SIZE),
				bdev_logical_block_size(bio->bi_bdev));
	ssize_t ret;

	if (bio->bi_iter.bi_size || !len)
		return 0;
	ret = iov_iter_get_p2p_run(iter, len, page, offset, gup_flags);
	if (ret > 0)
		bio_p2p_takes(bio, *page);
	return ret;
}

/**
 * bio_p2p_run() - get contiguous peer-to-peer memory for a bio
 * @bio: the bio to be filled; its bi_bdev must be set
 * @iter: the user's buffer, or an ITER_P2P; advanced by the number of bytes returned
 * @page: where to store the first page
 * @offset: where to store the offset of the data in @page
 *
 * Replaces iov_iter_get_pages2() and an array of pages. The caller owns one reference
 * to each folio.
 *
 * Context: Process context.
 * Return: the number of contiguous bytes, a multiple of the logical block size; 0 if
 *	   @iter does not begin with such memory, or the caller has to get it page by
 *	   page; -EINVAL if @bio has memory of another provider, or its maximum
 *	   size, and must end here; for an ITER_P2P also the errors of
 *	   iov_iter_get_p2p_run().
 */
ssize_t bio_p2p_run(struct bio *bio, struct iov_iter *iter, struct page **page,
		    size_t *offset)
{
	unsigned int gup_flags;
	unsigned long addr;
	size_t len;

	/* Zone append adds few pages, and one by one. */
	if (bio_op(bio) == REQ_OP_ZONE_APPEND)
		return 0;
	/* After host memory, only the page-wise path sees what follows. */
	if (bio->bi_iter.bi_size && !(bio->bi_opf & REQ_P2P))
		return 0;
	if (bio->bi_iter.bi_size >= BIO_P2P_MAX_SIZE) {
		bio_set_flag(bio, BIO_P2P_END);
		return -EINVAL;
	}
	/* Xen adds pages one by one, too. */
	if (xen_domain())
		return 0;
	gup_flags = bio_p2p_gup_flags(bio);
	if (!gup_flags)
		return 0;
	if (iov_iter_is_p2p(iter))
		return bio_p2p_run_held(bio, iter, page, offset, gup_flags);

	if (iter_is_ubuf(iter)) {
		addr = (unsigned long)iter->ubuf + iter->iov_offset;
		len = iter->count;
	} else if (iter_is_iovec(iter)) {
		addr = (unsigned long)iter->iov->iov_base + iter->iov_offset;
		len = min(iter->count, iter->iov->iov_len - iter->iov_offset);
	} else {
		return 0;
	}

	len = min_t(size_t, len, BIO_P2P_MAX_SIZE - bio->bi_iter.bi_size);
	if (!len)
		return 0;
	if (iov_iter_rw(iter) != WRITE)
		gup_flags |= FOLL_WRITE;

	len = get_user_p2p_run(addr, len, bdev_logical_block_size(bio->bi_bdev),
			       gup_flags, page);
	if (!len)
		return 0;

	*offset = offset_in_page(addr);
	if (!bio_p2p_takes(bio, *page)) {
		put_user_p2p_run(*page, PFN_UP(*offset + len));
		return -EINVAL;
	}
	iov_iter_advance(iter, len);
	return len;
}

static bool pages_same_memory(const struct page *a, const struct page *b)
{
	if (!is_pci_p2pdma_page(a))
		return !is_pci_p2pdma_page(b);
	return is_pci_p2pdma_page(b) && page_pgmap(a) == page_pgmap(b);
}

/* Is the data of both bios in memory of the same provider? */
bool bio_p2p_same_memory(const struct bio *a, const struct bio *b)
{
	return a->bi_opf & b->bi_opf & REQ_P2P &&
	       page_pgmap(bio_page(a)) == page_pgmap(bio_page(b));
}

/**
 * bio_p2p_takes() - may a page be added to a bio?
 * @bio: the bio to be filled
 * @page: the page, to which the caller holds a reference
 *
 * The first page of @bio determines the kind of its memory. If @page is of another
 * kind, the bio is flagged BIO_P2P_END.
 *
 * Context: Any.
 * Return: true if @page is of the same kind as the memory of @bio, or its first page.
 */
bool bio_p2p_takes(struct bio *bio, const struct page *page)
{
	if (!bio->bi_iter.bi_size) {
		if (is_pci_p2pdma_page(page))
			bio->bi_opf |= REQ_P2P;
		return true;
	}
	if (pages_same_memory(bio->bi_io_vec[0].bv_page, page))
		return true;
	bio_set_flag(bio, BIO_P2P_END);
	return false;
}

/**
 * bio_p2p_trim() - limit pages for a bio to one kind of memory
 * @bio: the bio to be filled
 * @pages: the pages, in order
 * @offset: offset of the data in the first page, in bytes
 * @size: length of the data, in bytes
 * @trim: number of bytes to leave out at the end of the data; may be increased
 *
 * Context: Any.
 * Return: 0; -EINVAL if no page can be added, because the first one is of another kind
 *	   than the memory of @bio, or the kind changes within a logical block.
 */
int bio_p2p_trim(struct bio *bio, struct page **pages, size_t offset,
		 size_t size, size_t *trim)
{
	unsigned int i, nr_pages = DIV_ROUND_UP(offset + size, PAGE_SIZE);
	size_t len;

	if (!bio_p2p_takes(bio, pages[0]))
		return -EINVAL;

	for (i = 1; i < nr_pages; i++)
		if (!pages_same_memory(pages[0], pages[i]))
			break;
	if (i == nr_pages)
		return 0;

	bio_set_flag(bio, BIO_P2P_END);
	len = ALIGN_DOWN(i * PAGE_SIZE - offset,
			 bdev_logical_block_size(bio->bi_bdev));
	*trim = size - len;
	return len ? 0 : -EINVAL;
}

/* Log why a bio can't have peer-to-peer memory. */
void bio_p2p_log_obstacle(struct bio *bio)
{
	const char *obstacle = bio_p2p_obstacle(bio);

	pr_p2p_notice("%pg: can't use peer-to-peer memory: %s\n", bio->bi_bdev,
		      obstacle ?: "it just changed");
}

/**
 * bdev_p2p_reaches() - can DMA of a block device reach peer-to-peer memory?
 * @bdev: the block device
 * @bv: a piece of the memory, within one page map
 *
 * The DMA mapping of a request answers this, too, but for a mirror that is too late,
 * since other legs may have been written by then. A stacked device reaches the memory
 * if all devices below it do.
 *
 * Context: Any, with the RCU read lock held if @bdev may be made of other devices, since
 *	    these may change. The caller holds a reference to the pages of @bv.
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
 * Describe the provider of a page and why a device can't use the page: @reason,
 * or if that is NULL, the route from the device to the provider.
 */
static void blk_p2p_describe(struct block_device *bdev,
			     const struct page *page, const char *reason,
			     char *text, size_t size)
{
	struct gendisk *disk = bdev->bd_disk;

	if (!reason && disk->fops->p2p_reaches)
		reason = "a device under it does not reach it";
	if (!reason) {
		pci_p2pdma_describe_route(disk_to_dev(disk), page, text, size);
		return;
	}
	/* The provider may change, see pci_p2pdma_describe_route(). */
	rcu_read_lock();
	snprintf(text, size, "%s: %s",
		 pci_name(READ_ONCE(page_p2pdma_provider(page)->pdev)), reason);
	rcu_read_unlock();
}

/**
 * bio_p2p_log_refusal() - log that a bio's peer-to-peer memory is refused
 * @bio: the bio
 * @bdev: the device that can't use or reach the memory: that of @bio, or one below it
 *
 * For stacking drivers, which refuse a bio before any device has been asked to
 * transfer it. The log line names the device, the provider and the reason. Each
 * user can cause one line per device and provider in five seconds.
 *
 * Context: Any. The caller keeps @bdev from going away.
 */
void bio_p2p_log_refusal(struct bio *bio, struct block_device *bdev)
{
	bool below = bdev != bio->bi_bdev;
	struct page *page = bio_page(bio);
	const char *reason;
	char text[160];

	if (!p2p_ratelimit_about(bdev, page_pgmap(page)))
		return;

	reason = below ? bdev_p2p_obstacle(bdev) : bio_p2p_obstacle(bio);
	blk_p2p_describe(bdev, page, reason, text, sizeof(text));
	if (below)
		pr_notice("%pg: its drive %pg can't use peer-to-peer memory of %s\n",
			  bio->bi_bdev, bdev, text);
	else
		pr_notice("%pg: can't use peer-to-peer memory of %s\n", bdev,
			  text);
}
EXPORT_SYMBOL_GPL(bio_p2p_log_refusal);

/* Does the device of a request reach all of its data now? */
static bool rq_p2p_reaches(struct request *rq)
{
	struct req_iterator iter;
	struct bio_vec bv;

	rq_for_each_bvec(bv, rq, iter)
		if (!bdev_p2p_reaches(rq->q->disk->part0, &bv))
			return false;
	return true;
}

/*
 * Log that a request has ended with BLK_STS_P2P_REFUSED: the device, the provider, and
 * why the device can't reach it. If it can, either the route has come back meanwhile, or
 * the driver has a reason of its own, which it logs.
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
	if (rq_p2p_reaches(rq))
		pr_notice("%s: could not use peer-to-peer memory of %s\n",
			  rq->q->disk->disk_name, route);
	else
		pr_notice("%s: can't reach peer-to-peer memory of %s\n",
			  rq->q->disk->disk_name, route);
}
