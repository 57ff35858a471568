// SPDX-License-Identifier: GPL-2.0
/*
 * Sample client of peer-to-peer memory: a driver for QEMU's edu device
 *
 * The device has a buffer of 4 KiB, and a DMA engine that copies between the
 * buffer and memory. With it, a program copies from one range of its memory to
 * another: ioctl(P2P_EDU_COPY) of /dev/p2p-edu-ADDRESS, see p2p-edu.h. A range
 * is RAM or a mapping of a provider's p2pmem/allocate; the driver treats both
 * alike. The steps that peer-to-peer memory needs are, in this order:
 *
 *	probe	set the DMA mask: the addresses that the device can reach
 *	range	pci_p2p_range_of_user(), in case the memory has no struct pages
 *	pin	pin_user_pages_fast() with FOLL_PCI_P2PDMA
 *	list	sg_alloc_table_from_pages(), which keeps providers and RAM apart
 *	map	dma_map_sgtable() or pci_p2p_range_map(), which find the
 *		route, or return -EREMOTEIO
 *	run	give the device the DMA addresses; never touch the data
 *	unmap	when the device is done, or was stopped
 *	unpin	last: from then on the memory may have another owner
 *
 * A page that is mapped for DMA keeps its provider from being unbound, and a
 * pinned page keeps its memory from others. So nothing stays pinned between two
 * calls, and a call is over in two seconds.
 *
 * The memory may also be a dma-buf, which a program attaches to the device:
 * ioctl(P2P_EDU_ATTACH). The attachment and its DMA mapping last longer than a
 * call, but the mapping can be revoked:
 *
 *	attach	dma_buf_dynamic_attach(), which returns -EREMOTEIO if there is
 *		no route
 *	map	dma_buf_map_attachment(), at the first use of the memory
 *	run	with the reservation object locked, after waiting for its fences
 *	unmap	when move_notify() is called: the provider is removed or reset
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
/* 64 bits each; must be accessed as such: the upper half has no address. */
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

/* The engine's address of the buffer; its other addresses are on the bus. */
#define EDU_BUFFER		0x40000

#define P2P_EDU_MAX_PAGES	(DIV_ROUND_UP(P2P_EDU_MAX_LEN, PAGE_SIZE) + 1)

/* The engine takes 100 ms, whatever the length. */
#define P2P_EDU_IDLE_US		(1000 * USEC_PER_MSEC)

/*
 * As usual, no register tells how many address bits the device has. The device
 * silently drops bits that it does not have: with a mask that is too wide, it
 * reads and writes other memory.
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

	/* Peer-to-peer memory without struct pages, or NULL. */
	struct pci_p2p_range *pageless;
	u64 offset;
	u32 len;
	struct pci_p2p_mapping mapping;

	/* The file with the dma-buf that the range is in, or NULL. */
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
 * Pins a range: looks up the pages, faults them in if needed, and keeps them
 * even if the program unmaps them.
 */
static int p2p_edu_pin(struct p2p_edu_range *range, u64 addr, u32 len,
		       enum dma_data_direction dir)
{
	/*
	 * FOLL_PCI_P2PDMA promises that the CPU does not touch the data, and
	 * that dma_map_sgtable() finds the route. Without the flag,
	 * peer-to-peer memory is refused here with -EREMOTEIO.
	 */
	unsigned int flags = FOLL_PCI_P2PDMA;
	int pinned, error;

	/* The program needs the right to write there. */
	if (dir == DMA_FROM_DEVICE)
		flags |= FOLL_WRITE;

	/*
	 * Memory without struct pages can't be pinned. The range stays valid
	 * even if the program unmaps it.
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
		 * Only the first pages were pinned. A provider may be in reset,
		 * which waits for pinned pages. So unpin them before pinning
		 * the next page, which waits or returns the error.
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
	 * Contiguous pages become one entry, unless they are of different
	 * providers: each may need its own route.
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

/* A range in a dma-buf needs no pin: the dma-buf keeps the memory. */
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
	 * A page of a file must be written back if the device has written to
	 * it, which only the driver knows.
	 */
	unpin_user_pages_dirty_lock(range->pages, range->nr_pages,
				    range->dir == DMA_FROM_DEVICE);
}

/*
 * After this the device can't access memory, even if a command is still
 * running. So it is safe to unmap and unpin. Otherwise a late device could
 * overwrite memory that already has another owner.
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
	 * Not interruptible: the device uses the memory until the command ends,
	 * even after a signal.
	 *
	 * The interrupt is a write, which arrives after the data writes to RAM,
	 * because they take the same path. Writes to another device take
	 * another path, and the last of them may arrive after the interrupt.
	 * With real hardware, the device must read back the end of the data
	 * before the driver hands the data to a CPU or a third device.
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

/* A position in a mapped range. */
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
	 * In a mapped list, only sg_dma_address() and sg_dma_len() count. Their
	 * segments need not match the pages: an IOMMU may have merged some, and
	 * a bounce buffer (for RAM only) may replace others.
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
		/* The call may end between any two commands. */
	} while (done < len && !signal_pending(current));
	return done;
}

/*
 * Memory without struct pages is contiguous. It becomes a list with one entry
 * that has only a DMA address and length, so that the rest of the driver need
 * not distinguish.
 *
 * This mapping lasts only for the transfer. A longer one needs a revoke()
 * method, which gets it unmapped when the provider revokes the range.
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
 * The provider revokes the memory, or the exporter moves it. The caller has the
 * reservation object locked, as each transfer has, so no transfer is under way,
 * and unmapping is enough. This must not wait for anything.
 */
static void p2p_edu_move_notify(struct dma_buf_attachment *attach)
{
	p2p_edu_unmap_dmabuf(attach->importer_priv);
}

static const struct dma_buf_attach_ops p2p_edu_attach_ops = {
	/*
	 * The same promise as FOLL_PCI_P2PDMA: the driver uses only the DMA
	 * addresses of the mapping.
	 */
	.allow_peer2peer = true,
	.move_notify	 = p2p_edu_move_notify,
};

/*
 * The mapping may exist from an earlier call. If it was revoked since, it is
 * mapped again, or the error says that the provider is gone.
 *
 * A driver whose device continues after the call can't keep the lock. It adds a
 * fence to the reservation object, and unlocks that. When the device is done,
 * the driver signals the fence first, without the lock, since a thread that has
 * the lock may be waiting for the fence. If move_notify() was called meanwhile,
 * and could not unmap, the driver then locks the reservation object, and
 * unmaps.
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

	/* Other devices may still be using the memory. */
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
 * Mapping chooses the route to the memory: a bus address below a shared switch,
 * an address for the host bridge, or an address of RAM. If there is no route,
 * or the address does not fit the DMA mask, the error is -EREMOTEIO. Report it
 * to the program. Copying with the CPU instead would break the promise of
 * FOLL_PCI_P2PDMA.
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
	/* It stays mapped until move_notify() or detach. */
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
	/* Two ranges in one dma-buf would deadlock: one reservation object. */
	if (copy->flags & ~dmabuf || copy->flags == dmabuf)
		return -EINVAL;

	/*
	 * Pinning may take as long as the program wants: the page may come from
	 * a userfaultfd, or from a file of a server that is down. So pin before
	 * taking the lock, for which p2p_edu_remove() waits.
	 */
	ret = p2p_edu_prepare(&src, file, copy->src, copy->len, DMA_TO_DEVICE,
			      copy->flags & P2P_EDU_SRC_DMABUF);
	if (ret)
		return ret;
	ret = p2p_edu_prepare(&dst, file, copy->dst, copy->len, DMA_FROM_DEVICE,
			      copy->flags & P2P_EDU_DST_DMABUF);
	if (ret)
		goto unpin_src;

	/* Nothing was copied yet, so a signal may restart the call. */
	if (mutex_lock_interruptible(&edu->lock)) {
		ret = -ERESTARTSYS;
		goto unpin_dst;
	}
	/*
	 * A DMA mapping belongs to the device, and must not outlive the binding
	 * of the driver. So map and unmap under the lock, and only if the
	 * device is not gone.
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

/* With edu->lock held. Like a DMA mapping, an attachment is the device's. */
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
	 * The exporter checks whether the device reaches the memory. From here
	 * on move_notify() may be called.
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
	/* Set by misc_open(), for which misc_deregister() waits. */
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
	/* The device has no scatter lists: each command is one segment. */
	dma_set_max_seg_size(&pdev->dev, UINT_MAX);
	return 0;
}

/* An earlier driver or kernel may have left a command running. */
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
	/* Open files look up routes of the device even after it is gone. */
	edu->pdev = pci_dev_get(pdev);

	/*
	 * Managed resources are released in reverse order, after
	 * p2p_edu_remove() or when this function fails. The first one, edu, is
	 * released last: the interrupt handler, which uses it, is gone by then.
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

	/* Before anything is mapped: mappings depend on the mask. */
	error = p2p_edu_set_mask(pdev);
	if (error)
		return error;

	/*
	 * Before pci_set_master(), which lets the device access memory: an old
	 * command would write to memory that has another owner by now.
	 */
	error = p2p_edu_settle(edu);
	if (error)
		return error;

	/* MSI: not shared, so no interrupts of other devices. */
	error = pci_alloc_irq_vectors(pdev, 1, 1, PCI_IRQ_MSI);
	if (error < 0)
		return error;
	error = devm_request_irq(&pdev->dev, pci_irq_vector(pdev, 0),
				 p2p_edu_irq, 0, "p2p-edu", edu);
	if (error)
		return error;
	pci_set_master(pdev);

	/* Last, since a program may open the file before this returns. */
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

	/* From here on the file can't be opened. */
	misc_deregister(&edu->misc);
	/*
	 * From here on no transfer runs, and none begins. If the device was
	 * unplugged, a running transfer has timed out.
	 */
	mutex_lock(&edu->lock);
	edu->gone = true;
	list_for_each_entry_safe(file, next, &edu->files, node)
		p2p_edu_detach(file);
	p2p_edu_mirrors_stop(edu);
	mutex_unlock(&edu->lock);
	/* Whatever the device still does, it must not reach memory. */
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
