// SPDX-License-Identifier: GPL-2.0
/*
 * A client of peer-to-peer memory, to learn from: a driver for QEMU's edu device
 *
 * The device has a buffer of 4 KiB, and a DMA engine that fills it from memory or
 * empties it there. With that, a program copies from one range of its memory to
 * another: ioctl(P2P_EDU_COPY) of /dev/p2p-edu-ADDRESS, see p2p-edu.h. A range is
 * RAM or a mapping of a provider's p2pmem/allocate, and the driver does not ask
 * which. What it does for peer-to-peer memory is, in this order:
 *
 *	probe	set the DMA mask: the addresses that the device can reach
 *	range	pci_p2p_range_of_user(), in case that the memory has no pages
 *	pin	pin_user_pages_fast() with FOLL_PCI_P2PDMA
 *	list	sg_alloc_table_from_pages(), which keeps providers and RAM apart
 *	map	dma_map_sgtable() or pci_p2p_range_map(), which find the way, or say
 *		-EREMOTEIO
 *	run	give the device the DMA addresses; never touch the data
 *	unmap	when the device is done, or was stopped
 *	unpin	last: from then on the memory may belong to somebody else
 *
 * A pinned page keeps its provider from going away: whoever unbinds that waits. So
 * nothing stays pinned between two calls, and a call is over in two seconds.
 *
 * The memory may also be a dma-buf, which a program attaches to the device:
 * ioctl(P2P_EDU_ATTACH). That is for long, and so is the mapping for DMA. But it can
 * be taken back:
 *
 *	attach	dma_buf_dynamic_attach(), which says -EREMOTEIO if there is no way
 *	map	dma_buf_map_attachment(), when the memory is used for the first time
 *	run	with the reservation object locked, and after those who had it before
 *	unmap	when move_notify() is called, since the provider goes or is reset
 *
 * And the device may mirror a part of the program's address space, see
 * p2p-edu-mirror.c.
 *
 *	# qemu-system-x86_64 ... -device edu,bus=downstream,dma_mask=0xffffffffffffffff
 *	# modprobe p2p-edu dma_bits=64
 */

#include <linux/completion.h>
#include <linux/dma-buf.h>
#include <linux/dma-mapping.h>
#include <linux/dma-resv.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/iopoll.h>
#include <linux/jiffies.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/minmax.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/pci-p2p-range.h>
#include <linux/scatterlist.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "p2p-edu.h"
#include "p2p-edu-dev.h"

#define EDU_BAR			0

/* 32 bits each */
#define EDU_ID			0x00
#define EDU_IRQ_STATUS		0x24
#define EDU_IRQ_ACK		0x64
/* 64 bits each, and to be accessed as such: the upper half has no address. */
#define EDU_DMA_SRC		0x80
#define EDU_DMA_DST		0x88
#define EDU_DMA_COUNT		0x90
#define EDU_DMA_CMD		0x98

#define EDU_ID_MASK		0xff
#define EDU_ID_IS_EDU		0xed

#define EDU_IRQ_DMA		0x100

#define EDU_CMD_START		0x1	/* reads as 1 while the engine runs */
#define EDU_CMD_TO_MEMORY	0x2
#define EDU_CMD_IRQ		0x4

/* Where the engine finds the buffer, beside the addresses of the bus. */
#define EDU_BUFFER		0x40000

#define P2P_EDU_MAX_PAGES	(DIV_ROUND_UP(P2P_EDU_MAX_LEN, PAGE_SIZE) + 1)

/* The engine takes 100 ms, whatever the length. */
#define P2P_EDU_IDLE_US		(1000 * USEC_PER_MSEC)

/*
 * There is no register that tells how many address bits the device has, as is
 * usual. It drops those that it has not, without a word: with a mask that is too
 * wide it reads and writes memory that is none of its business.
 */
static unsigned int p2p_edu_dma_bits = 28;
module_param_named(dma_bits, p2p_edu_dma_bits, uint, 0644);
MODULE_PARM_DESC(dma_bits, "Address bits of the device, as its property dma_mask in QEMU has them, for devices that are bound from then on (default 28)");

static unsigned int p2p_edu_timeout_ms = 2000;
module_param_named(timeout_ms, p2p_edu_timeout_ms, uint, 0644);
MODULE_PARM_DESC(timeout_ms, "How long to wait for one DMA transfer, in ms (default 2000)");

/* A range of a program's memory. */
struct p2p_edu_range {
	struct page *pages[P2P_EDU_MAX_PAGES];
	unsigned int nr_pages;
	enum dma_data_direction dir;
	struct sg_table sgt;

	/* If it is peer-to-peer memory without struct pages, else NULL. */
	struct pci_p2p_range *pageless;
	u64 offset;
	u32 len;
	struct pci_p2p_mapping mapping;

	/* If it is in the dma-buf of this file, at that offset. Else NULL. */
	struct p2p_edu_file *dmabuf;
};

static void p2p_edu_free(struct kref *ref)
{
	struct p2p_edu *edu = container_of(ref, struct p2p_edu, ref);

	mutex_destroy(&edu->lock);
	pci_dev_put(edu->pdev);
	kfree(edu);
}

static void p2p_edu_put(void *edu)
{
	kref_put(&((struct p2p_edu *)edu)->ref, p2p_edu_free);
}

/*
 * Pins a range. It need not be mapped yet, nor for ever: the pages are looked up
 * now, brought in if they have to be, and held.
 */
static int p2p_edu_pin(struct p2p_edu_range *range, u64 addr, u32 len,
		       enum dma_data_direction dir)
{
	/*
	 * The promise of FOLL_PCI_P2PDMA is that the CPU stays away from the data
	 * and that dma_map_sgtable() is asked for the way. Without it a mapping
	 * of peer-to-peer memory is refused here, with -EREMOTEIO.
	 */
	unsigned int flags = FOLL_PCI_P2PDMA;
	int pinned, error;

	/* This is about the program's right to write there. */
	if (dir == DMA_FROM_DEVICE)
		flags |= FOLL_WRITE;

	/*
	 * Memory of a provider that has no struct pages: there is nothing to pin.
	 * It is not asked about, but found out, as everything else about the
	 * program's memory, and it may be unmapped from then on.
	 */
	range->dir = dir;
	range->len = len;
	range->dmabuf = NULL;
	range->pageless = pci_p2p_range_of_user(addr, len,
						dir == DMA_FROM_DEVICE,
						&range->offset);
	if (IS_ERR(range->pageless))
		return PTR_ERR(range->pageless);
	if (range->pageless)
		return 0;

	range->nr_pages = DIV_ROUND_UP(offset_in_page(addr) + len, PAGE_SIZE);
	for (;;) {
		pinned = pin_user_pages_fast(addr, range->nr_pages, flags,
					     range->pages);
		if (pinned < 0)
			return pinned;
		if (pinned == range->nr_pages)
			break;
		/*
		 * The beginning was there, but not all of it. Perhaps a provider
		 * is being reset, and waits for what is pinned. So let go before
		 * waiting, or finding out what is wrong, with the next page.
		 */
		unpin_user_pages(range->pages, pinned);
		pinned = pin_user_pages_fast(addr + pinned * PAGE_SIZE, 1,
					     flags, range->pages);
		if (pinned <= 0)
			return pinned ?: -EFAULT;
		unpin_user_pages(range->pages, 1);
		if (fatal_signal_pending(current))
			return -EINTR;
	}

	/*
	 * Pages that follow one another in memory become one entry, but not when
	 * they are of different providers: each may need its own way.
	 */
	error = sg_alloc_table_from_pages(&range->sgt, range->pages,
					  range->nr_pages, offset_in_page(addr),
					  len, GFP_KERNEL);
	if (error)
		goto err_unpin;
	return 0;

err_unpin:
	unpin_user_pages(range->pages, pinned);
	return error;
}

/* A range in a dma-buf needs no pin: the dma-buf has the memory. */
static void p2p_edu_set_dmabuf(struct p2p_edu_range *range, struct p2p_edu_file *file,
			       u64 offset, u32 len, enum dma_data_direction dir)
{
	range->dmabuf = file;
	range->pageless = NULL;
	range->offset = offset;
	range->len = len;
	range->dir = dir;
}

static void p2p_edu_unpin(struct p2p_edu_range *range)
{
	if (range->dmabuf)
		return;
	if (range->pageless) {
		pci_p2p_range_put(range->pageless);
		return;
	}
	sg_free_table(&range->sgt);
	/*
	 * A page of a file has to be written back when the device has written to
	 * it, and nobody but the driver knows that it has.
	 */
	unpin_user_pages_dirty_lock(range->pages, range->nr_pages,
				    range->dir == DMA_FROM_DEVICE);
}

/*
 * After this the device does not access memory, whatever it was about to: so it
 * is safe to unmap and to unpin. Without, memory that has gone to somebody else
 * would change when a late device gets round to it.
 */
static void p2p_edu_stop(struct p2p_edu *edu)
{
	pci_clear_master(edu->pdev);
	edu->stopped = true;
}

/*
 * Moves up to EDU_BUFFER_USED bytes between the device's buffer and memory, with
 * edu->lock held.
 */
int p2p_edu_dma(struct p2p_edu *edu, dma_addr_t addr, u32 len,
		enum dma_data_direction dir)
{
	bool to_memory = dir == DMA_FROM_DEVICE;
	unsigned long timeout = msecs_to_jiffies(READ_ONCE(p2p_edu_timeout_ms));

	/* Before the command, or its interrupt could be missed. */
	reinit_completion(&edu->done);

	writeq(to_memory ? EDU_BUFFER : addr, edu->regs + EDU_DMA_SRC);
	writeq(to_memory ? addr : EDU_BUFFER, edu->regs + EDU_DMA_DST);
	writeq(len, edu->regs + EDU_DMA_COUNT);
	writeq(EDU_CMD_START | EDU_CMD_IRQ | (to_memory ? EDU_CMD_TO_MEMORY : 0),
	       edu->regs + EDU_DMA_CMD);

	/*
	 * Not interruptible: while the command runs the device uses the memory, and
	 * a signal does not change that.
	 *
	 * The interrupt is a write, and comes after those of the data to RAM, which
	 * go the same way. Those to another device do not: there the last of them
	 * may arrive later than the interrupt. A driver of real hardware, that tells
	 * a CPU or a third device of the data, has its device read the end of it
	 * back first.
	 */
	if (wait_for_completion_timeout(&edu->done, timeout))
		return 0;

	p2p_edu_stop(edu);
	pci_err(edu->pdev, "no answer, so it may not do DMA any more; unbind and bind its driver to try again\n");
	return -ETIMEDOUT;
}

static irqreturn_t p2p_edu_irq(int irq, void *data)
{
	struct p2p_edu *edu = data;
	u32 status = readl(edu->regs + EDU_IRQ_STATUS);

	if (!status)
		return IRQ_NONE;

	writel(status, edu->regs + EDU_IRQ_ACK);
	if (status & EDU_IRQ_DMA)
		complete(&edu->done);
	return IRQ_HANDLED;
}

/* A place in a mapped range. */
struct p2p_edu_cursor {
	struct scatterlist *sg;
	u64 offset;
};

static struct p2p_edu_cursor p2p_edu_start(const struct p2p_edu_range *range)
{
	struct p2p_edu_cursor at = { range->sgt.sgl };

	if (!range->dmabuf)
		return at;

	at.sg = range->dmabuf->sgt->sgl;
	at.offset = range->offset;
	while (at.offset >= sg_dma_len(at.sg)) {
		at.offset -= sg_dma_len(at.sg);
		at.sg = sg_next(at.sg);
	}
	return at;
}

static dma_addr_t p2p_edu_addr(const struct p2p_edu_cursor *at)
{
	return sg_dma_address(at->sg) + at->offset;
}

static u32 p2p_edu_contiguous(const struct p2p_edu_cursor *at)
{
	return sg_dma_len(at->sg) - at->offset;
}

static void p2p_edu_advance(struct p2p_edu_cursor *at, u32 len)
{
	at->offset += len;
	if (at->offset == sg_dma_len(at->sg)) {
		at->sg = sg_next(at->sg);
		at->offset = 0;
	}
}

/* Returns how much was copied, or an error. */
static int p2p_edu_run(struct p2p_edu *edu, struct p2p_edu_range *src,
		       struct p2p_edu_range *dst, u32 len)
{
	/*
	 * Of a list that is mapped, only sg_dma_address() and sg_dma_len() count.
	 * What they say need not have the bounds of the pages: an IOMMU may have
	 * joined some, a bounce buffer (of RAM only) may stand in for others.
	 */
	struct p2p_edu_cursor from = p2p_edu_start(src);
	struct p2p_edu_cursor to = p2p_edu_start(dst);
	u32 n, done = 0;
	int error;

	do {
		n = min3(p2p_edu_contiguous(&from), p2p_edu_contiguous(&to),
			 (u32)EDU_BUFFER_USED);

		error = p2p_edu_dma(edu, p2p_edu_addr(&from), n, src->dir);
		if (error)
			return error;
		error = p2p_edu_dma(edu, p2p_edu_addr(&to), n, dst->dir);
		if (error)
			return error;

		p2p_edu_advance(&from, n);
		p2p_edu_advance(&to, n);
		done += n;
		/* Between two commands nothing is lost by leaving. */
	} while (done < len && !signal_pending(current));
	return done;
}

/*
 * Memory without pages is one contiguous piece. It becomes a list with one entry,
 * of which only the DMA address is there, so that what follows need not know.
 *
 * This mapping is as short as the transfer. One that is to stay has a revoke()
 * function, which gets it unmapped when the provider wants the memory back.
 */
static int p2p_edu_map_pageless(struct device *dev, struct p2p_edu_range *range)
{
	int error = sg_alloc_table(&range->sgt, 1, GFP_KERNEL);

	if (error)
		return error;

	range->mapping.revoke = NULL;
	error = pci_p2p_range_map(range->pageless, dev, range->offset,
				  range->len, range->dir, &range->mapping);
	if (error) {
		sg_free_table(&range->sgt);
		return error;
	}
	sg_dma_address(range->sgt.sgl) = range->mapping.addr;
	sg_dma_len(range->sgt.sgl) = range->len;
	return 0;
}

static void p2p_edu_unmap_dmabuf(struct p2p_edu_file *file)
{
	if (file->sgt)
		dma_buf_unmap_attachment(file->attach, file->sgt, file->dir);
	file->sgt = NULL;
}

/*
 * The provider wants the memory back, or whoever made the dma-buf moves it. As each
 * transfer has the reservation object locked, as the caller has, none is under way, and
 * nothing is left to do for the device. This must not wait for anything else.
 */
static void p2p_edu_move_notify(struct dma_buf_attachment *attach)
{
	p2p_edu_unmap_dmabuf(attach->importer_priv);
}

static const struct dma_buf_attach_ops p2p_edu_attach_ops = {
	/*
	 * The same promise as FOLL_PCI_P2PDMA: of what is mapped, the driver uses
	 * the DMA addresses.
	 */
	.allow_peer2peer = true,
	.move_notify	 = p2p_edu_move_notify,
};

/*
 * The mapping may be there from an earlier call. If it had to go since, it is made
 * anew, or the error says that the provider is gone.
 *
 * A driver whose device goes on when the call is over can't keep the lock. It adds a
 * fence to the reservation object, and unlocks that. When the device is done, it signals
 * the fence first, without the lock, since a thread that has the lock may be waiting for
 * the fence. If move_notify() was called meanwhile, and could not unmap, the driver then
 * locks the reservation object, and unmaps.
 */
static int p2p_edu_map_dmabuf(struct p2p_edu_range *range)
{
	struct p2p_edu_file *file = range->dmabuf;
	struct dma_resv *resv;
	struct sg_table *sgt;
	long ret;

	if (!file->attach)
		return -EBADF;
	if (range->offset > file->attach->dmabuf->size ||
	    range->len > file->attach->dmabuf->size - range->offset)
		return -EINVAL;

	resv = file->attach->dmabuf->resv;
	ret = dma_resv_lock_interruptible(resv, NULL);
	if (ret)
		return ret;

	if (file->sgt && file->dir != range->dir)
		p2p_edu_unmap_dmabuf(file);
	if (!file->sgt) {
		sgt = dma_buf_map_attachment(file->attach, range->dir);
		ret = PTR_ERR_OR_ZERO(sgt);
		if (ret)
			goto err_unlock;
		file->sgt = sgt;
		file->dir = range->dir;
	}

	/* Others may have begun to use the memory before. */
	ret = dma_resv_wait_timeout(resv,
				    dma_resv_usage_rw(range->dir == DMA_FROM_DEVICE),
				    true, msecs_to_jiffies(READ_ONCE(p2p_edu_timeout_ms)));
	if (ret > 0)
		return 0;
	if (!ret)
		ret = -EBUSY;
err_unlock:
	dma_resv_unlock(resv);
	return ret;
}

/*
 * Here it is decided which way the device reaches the memory: an address of the
 * bus below a switch they share, one for the host bridge, or RAM's. If there is
 * none, or none that fits the DMA mask, the error is -EREMOTEIO. It is for the
 * program to see; copying with the CPU instead would be another promise broken.
 */
static int p2p_edu_map(struct device *dev, struct p2p_edu_range *range)
{
	if (range->dmabuf)
		return p2p_edu_map_dmabuf(range);
	if (range->pageless)
		return p2p_edu_map_pageless(dev, range);
	return dma_map_sgtable(dev, &range->sgt, range->dir, 0);
}

static void p2p_edu_unmap(struct device *dev, struct p2p_edu_range *range)
{
	/* It stays mapped until somebody wants it back. */
	if (range->dmabuf) {
		dma_resv_unlock(range->dmabuf->attach->dmabuf->resv);
		return;
	}
	if (!range->pageless) {
		dma_unmap_sgtable(dev, &range->sgt, range->dir, 0);
		return;
	}
	pci_p2p_range_unmap(&range->mapping);
	sg_free_table(&range->sgt);
}

static int p2p_edu_transfer(struct p2p_edu *edu, struct p2p_edu_range *src,
			    struct p2p_edu_range *dst, u32 len)
{
	struct device *dev = &edu->pdev->dev;
	int ret;

	ret = p2p_edu_map(dev, src);
	if (ret)
		return ret;
	ret = p2p_edu_map(dev, dst);
	if (ret)
		goto unmap_src;

	ret = p2p_edu_run(edu, src, dst, len);

	p2p_edu_unmap(dev, dst);
unmap_src:
	p2p_edu_unmap(dev, src);
	return ret;
}

static int p2p_edu_prepare(struct p2p_edu_range *range, struct p2p_edu_file *file,
			   u64 where, u32 len, enum dma_data_direction dir,
			   bool is_dmabuf)
{
	if (!is_dmabuf)
		return p2p_edu_pin(range, where, len, dir);
	p2p_edu_set_dmabuf(range, file, where, len, dir);
	return 0;
}

static int p2p_edu_copy(struct p2p_edu_file *file, const struct p2p_edu_copy *copy)
{
	const u32 dmabuf = P2P_EDU_SRC_DMABUF | P2P_EDU_DST_DMABUF;
	struct p2p_edu_range src, dst;
	struct p2p_edu *edu = file->edu;
	int ret;

	if (!copy->len || copy->len > P2P_EDU_MAX_LEN)
		return -EINVAL;
	if (copy->flags == P2P_EDU_MIRRORED)
		return p2p_edu_mirror_copy(file, copy);
	/* Two ranges in one dma-buf would have to wait for each other. */
	if (copy->flags & ~dmabuf || copy->flags == dmabuf)
		return -EINVAL;

	/*
	 * To pin may take as long as the program wants: the page may come from a
	 * userfaultfd, or from a file of a server that is down. So it is done
	 * before the lock is taken, which p2p_edu_remove() waits for.
	 */
	ret = p2p_edu_prepare(&src, file, copy->src, copy->len, DMA_TO_DEVICE,
			      copy->flags & P2P_EDU_SRC_DMABUF);
	if (ret)
		return ret;
	ret = p2p_edu_prepare(&dst, file, copy->dst, copy->len, DMA_FROM_DEVICE,
			      copy->flags & P2P_EDU_DST_DMABUF);
	if (ret)
		goto unpin_src;

	/* Nothing has happened yet, so after a signal the call may start over. */
	if (mutex_lock_interruptible(&edu->lock)) {
		ret = -ERESTARTSYS;
		goto unpin_dst;
	}
	/*
	 * A mapping for DMA is the device's, and must not be left when the driver
	 * is: it is made, and undone, under the lock, and only if there is still
	 * a device.
	 */
	if (edu->gone)
		ret = -ENODEV;
	else if (edu->stopped)
		ret = -EIO;
	else
		ret = p2p_edu_transfer(edu, &src, &dst, copy->len);
	mutex_unlock(&edu->lock);

unpin_dst:
	p2p_edu_unpin(&dst);
unpin_src:
	p2p_edu_unpin(&src);
	return ret;
}

/* With edu->lock held. An attachment is the device's, as a mapping for DMA is. */
static void p2p_edu_detach(struct p2p_edu_file *file)
{
	struct dma_buf_attachment *attach = file->attach;
	struct dma_buf *dmabuf;

	if (!attach)
		return;

	dmabuf = attach->dmabuf;
	dma_resv_lock(dmabuf->resv, NULL);
	p2p_edu_unmap_dmabuf(file);
	dma_resv_unlock(dmabuf->resv);
	dma_buf_detach(dmabuf, attach);
	dma_buf_put(dmabuf);
	list_del(&file->node);
	file->attach = NULL;
}

static int p2p_edu_attach_fd(struct p2p_edu_file *file, int fd)
{
	struct dma_buf_attachment *attach;
	struct dma_buf *dmabuf = dma_buf_get(fd);

	if (IS_ERR(dmabuf))
		return PTR_ERR(dmabuf);

	/*
	 * Whoever made the dma-buf finds out whether the device reaches the memory.
	 * From here on move_notify() may be called.
	 */
	attach = dma_buf_dynamic_attach(dmabuf, &file->edu->pdev->dev,
					&p2p_edu_attach_ops, file);
	if (IS_ERR(attach)) {
		dma_buf_put(dmabuf);
		return PTR_ERR(attach);
	}
	file->attach = attach;
	list_add(&file->node, &file->edu->files);
	return 0;
}

static int p2p_edu_attach(struct p2p_edu_file *file, int fd)
{
	struct p2p_edu *edu = file->edu;
	int ret = 0;

	if (mutex_lock_interruptible(&edu->lock))
		return -ERESTARTSYS;
	if (fd < 0 && !file->attach)
		ret = -EBADF;
	else if (fd < 0)
		p2p_edu_detach(file);
	else if (edu->gone)
		ret = -ENODEV;
	else if (file->attach)
		ret = -EBUSY;
	else
		ret = p2p_edu_attach_fd(file, fd);
	mutex_unlock(&edu->lock);
	return ret;
}

static long p2p_edu_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct p2p_edu_mirror mirror;
	struct p2p_edu_copy copy;

	switch (cmd) {
	case P2P_EDU_COPY:
		if (copy_from_user(&copy, (void __user *)arg, sizeof(copy)))
			return -EFAULT;
		return p2p_edu_copy(file->private_data, &copy);
	case P2P_EDU_MIRROR:
		if (copy_from_user(&mirror, (void __user *)arg, sizeof(mirror)))
			return -EFAULT;
		return p2p_edu_mirror_begin(file->private_data, &mirror);
	case P2P_EDU_ATTACH:
		return p2p_edu_attach(file->private_data, arg);
	default:
		return -ENOTTY;
	}
}

static int p2p_edu_open(struct inode *inode, struct file *file)
{
	/* misc_open() left it there, and keeps misc_deregister() waiting. */
	struct p2p_edu *edu = container_of(file->private_data, struct p2p_edu,
					   misc);
	struct p2p_edu_file *edu_file = kzalloc(sizeof(*edu_file), GFP_KERNEL);

	if (!edu_file)
		return -ENOMEM;

	kref_get(&edu->ref);
	edu_file->edu = edu;
	file->private_data = edu_file;
	return nonseekable_open(inode, file);
}

static int p2p_edu_release(struct inode *inode, struct file *file)
{
	struct p2p_edu_file *edu_file = file->private_data;
	struct p2p_edu *edu = edu_file->edu;

	p2p_edu_mirror_end(edu_file);
	mutex_lock(&edu->lock);
	p2p_edu_detach(edu_file);
	mutex_unlock(&edu->lock);
	kfree(edu_file);
	p2p_edu_put(edu);
	return 0;
}

static const struct file_operations p2p_edu_fops = {
	.owner		= THIS_MODULE,	/* no rmmod while files are open */
	.open		= p2p_edu_open,
	.release	= p2p_edu_release,
	.unlocked_ioctl	= p2p_edu_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
};

static int p2p_edu_set_mask(struct pci_dev *pdev)
{
	unsigned int bits = p2p_edu_dma_bits;
	int error;

	if (bits < 1 || bits > 64) {
		pci_err(pdev, "dma_bits=%u: must be 1 to 64\n", bits);
		return -EINVAL;
	}

	error = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(bits));
	if (error) {
		pci_err(pdev, "dma_bits=%u: is too few for this machine\n", bits);
		return error;
	}
	/* It has no lists, and takes each command by itself. */
	dma_set_max_seg_size(&pdev->dev, UINT_MAX);
	return 0;
}

/* An earlier driver, or another kernel, may have left the device at work. */
static int p2p_edu_settle(struct p2p_edu *edu)
{
	u64 cmd;
	int error;

	error = readq_poll_timeout(edu->regs + EDU_DMA_CMD, cmd,
				   !(cmd & EDU_CMD_START), USEC_PER_MSEC,
				   P2P_EDU_IDLE_US);
	if (error) {
		pci_err(edu->pdev, "does not come to rest\n");
		return error;
	}
	writel(readl(edu->regs + EDU_IRQ_STATUS), edu->regs + EDU_IRQ_ACK);
	return 0;
}

static int p2p_edu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct p2p_edu *edu;
	int error;

	edu = kzalloc(sizeof(*edu), GFP_KERNEL);
	if (!edu)
		return -ENOMEM;
	kref_init(&edu->ref);
	mutex_init(&edu->lock);
	init_completion(&edu->done);
	INIT_LIST_HEAD(&edu->files);
	INIT_LIST_HEAD(&edu->mirrors);
	/* Open files ask for routes to it, also when it is gone. */
	edu->pdev = pci_dev_get(pdev);

	/*
	 * What is managed is undone in reverse order, after p2p_edu_remove() or
	 * when this function fails. The first is the last: the interrupt handler,
	 * which uses edu, is gone by then.
	 */
	error = devm_add_action_or_reset(&pdev->dev, p2p_edu_put, edu);
	if (error)
		return error;

	error = pcim_enable_device(pdev);
	if (error)
		return error;
	error = pcim_iomap_regions(pdev, BIT(EDU_BAR), "p2p-edu");
	if (error)
		return error;
	edu->regs = pcim_iomap_table(pdev)[EDU_BAR];
	if ((readl(edu->regs + EDU_ID) & EDU_ID_MASK) != EDU_ID_IS_EDU)
		return dev_err_probe(&pdev->dev, -ENODEV, "is no edu device\n");

	/* Before anything is mapped: a mapping is right for one mask only. */
	error = p2p_edu_set_mask(pdev);
	if (error)
		return error;

	/*
	 * Before pci_set_master(), which lets the device access memory: a command
	 * of old would write to a place that has long had another owner.
	 */
	error = p2p_edu_settle(edu);
	if (error)
		return error;

	/* A message of its own: nobody else's interrupts, and none gets lost. */
	error = pci_alloc_irq_vectors(pdev, 1, 1, PCI_IRQ_MSI);
	if (error < 0)
		return error;
	error = devm_request_irq(&pdev->dev, pci_irq_vector(pdev, 0),
				 p2p_edu_irq, 0, "p2p-edu", edu);
	if (error)
		return error;
	pci_set_master(pdev);

	/* At the end, since a program may be there before this returns. */
	snprintf(edu->name, sizeof(edu->name), "p2p-edu-%s", pci_name(pdev));
	edu->misc.minor = MISC_DYNAMIC_MINOR;
	edu->misc.name = edu->name;
	edu->misc.fops = &p2p_edu_fops;
	edu->misc.parent = &pdev->dev;
	edu->misc.mode = 0600;
	pci_set_drvdata(pdev, edu);
	return misc_register(&edu->misc);
}

/* The driver is unbound, or the device unplugged. */
static void p2p_edu_remove(struct pci_dev *pdev)
{
	struct p2p_edu *edu = pci_get_drvdata(pdev);
	struct p2p_edu_file *file, *next;

	/* From here on nobody opens it, */
	misc_deregister(&edu->misc);
	/*
	 * from here on no transfer runs, and none begins. If the device was
	 * unplugged, the one that ran has had its time-out.
	 */
	mutex_lock(&edu->lock);
	edu->gone = true;
	list_for_each_entry_safe(file, next, &edu->files, node)
		p2p_edu_detach(file);
	p2p_edu_mirrors_stop(edu);
	mutex_unlock(&edu->lock);
	/* and what it does now must not reach memory. */
	pci_clear_master(pdev);
}

static const struct pci_device_id p2p_edu_ids[] = {
	{ PCI_DEVICE(0x1234, 0x11e8) },
	{ }
};
MODULE_DEVICE_TABLE(pci, p2p_edu_ids);

static struct pci_driver p2p_edu_driver = {
	.name		= "p2p-edu",
	.id_table	= p2p_edu_ids,
	.probe		= p2p_edu_probe,
	.remove		= p2p_edu_remove,
};
module_pci_driver(p2p_edu_driver);

MODULE_DESCRIPTION("Sample client of PCI peer-to-peer memory, for QEMU's edu device");
MODULE_AUTHOR("P2P GUP developers <p2p-gup@localhost>");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS(DMA_BUF);
