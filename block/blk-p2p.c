// SPDX-License-Identifier: GPL-2.0
/*
 * Which block devices take peer-to-peer memory, and which bios for them.
 *
 * A bio has host memory, or peer-to-peer memory of one provider, and so has a
 * request: what mixes them becomes several bios, and nothing merges across. A
 * provider here is a page map. With that the route to the memory is a matter of the
 * request as a whole. If it is refused, it is refused to nobody else. Nor can a
 * request mix a drive's own controller memory buffer with other memory, which NVMe
 * does not allow.
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
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/p2p_ratelimit.h>
#include <linux/uio.h>
#include <linux/vm_p2p.h>
#include <xen/xen.h>

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

/*
 * The flags with which to get the pages for a bio; bi_bdev must be set. A reset waits
 * for the pages that the bio has already.
 */
unsigned int bio_p2p_gup_flags(struct bio *bio)
{
	unsigned int held = bio->bi_vcnt ? FOLL_P2P_HELD : 0;

	/* Most devices are told apart by this bit alone. */
	if (!blk_queue_pci_p2pdma(bdev_get_queue(bio->bi_bdev)))
		return 0;
	return bio_p2p_obstacle(bio) ? 0 : FOLL_PCI_P2PDMA | held;
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
 *	   size; 0 if there are none, or to be had by pages only; -EINVAL if @bio
 *	   has memory of another provider and ends here.
 */
ssize_t bio_p2p_run(struct bio *bio, struct iov_iter *iter, struct page **page,
		    size_t *offset)
{
	unsigned long addr, nr_pages;
	unsigned int gup_flags;
	size_t len;

	/* Pages are added one by one there. */
	if (bio_op(bio) == REQ_OP_ZONE_APPEND || xen_domain())
		return 0;
	/* Only pages tell whether host memory goes on. */
	if (bio->bi_iter.bi_size && !(bio->bi_opf & REQ_P2P))
		return 0;
	gup_flags = bio_p2p_gup_flags(bio);
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
	if (!len)
		return 0;

	*offset = offset_in_page(addr);
	if (!bio_p2p_takes(bio, *page)) {
		for (nr_pages = PFN_UP(*offset + len); nr_pages; nr_pages--)
			put_page(*page + nr_pages - 1);
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

/* Do two bios, of which at least one has peer-to-peer memory, have the same kind? */
bool bio_p2p_same_memory(const struct bio *a, const struct bio *b)
{
	return a->bi_opf & b->bi_opf & REQ_P2P &&
	       page_pgmap(bio_page(a)) == page_pgmap(bio_page(b));
}

/**
 * bio_p2p_takes() - may a page be added to a bio?
 * @bio: the bio, which is being filled
 * @page: the page, of which the caller has a reference
 *
 * The first page decides what memory @bio has. Where it ends for another kind it is
 * flagged BIO_P2P_END.
 *
 * Context: Any.
 * Return: true if @page is of the memory that @bio has.
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
 * bio_p2p_trim() - how many of the pages may be added to a bio?
 * @bio: the bio that they were got for
 * @pages: the pages, in order
 * @offset: where the data begins in the first of them, in bytes
 * @size: length of the data, in bytes
 * @trim: how much of it must be left out at its end, in bytes; may be made larger
 *
 * Context: Any.
 * Return: 0, or -EINVAL if none can be added: since they are of another kind, or
 *	   since the kind changes within a logical block.
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

/* Tells what keeps a device, or its data, from peer-to-peer memory. */
void bio_p2p_log_obstacle(struct bio *bio)
{
	const char *obstacle = bio_p2p_obstacle(bio);

	pr_notice_p2p("%pg: can't use peer-to-peer memory: %s\n", bio->bi_bdev,
		      obstacle ?: "it just changed");
}
