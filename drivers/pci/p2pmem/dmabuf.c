// SPDX-License-Identifier: GPL-2.0
/*
 * PCI peer-to-peer memory as dma-bufs.
 *
 * A dma-buf is another handle of a buffer, and holds it as a mapping does. The
 * owner of the data, the users that are charged and the lifetime are those of
 * the buffer, whichever handle is used. All dma-bufs of a buffer share its
 * reservation object, because it orders DMA to the memory.
 *
 *	mmap	a VM_P2P mapping of the buffer, the same as of p2pmem/allocate
 *	attach	checks whether the device reaches the memory, and takes all of
 *		it into use, which clears data of others. That may take long, so
 *		it is done before the reservation object is locked.
 *	map	a use of the attachment's hold: removal and reset of the
 *		provider wait until it is unmapped. Takes no lock, as the
 *		reservation object is held.
 *
 * An attachment is a hold (a ticket), with the importer's device as its client.
 * When the provider is removed or reset, move_notify() tells the importer to
 * unmap. The importer may do so later, so uses are waited for. An importer
 * without move_notify(), or one that pins the memory, could keep it forever.
 * The administrator decides whether that is allowed (allow_static).
 *
 * A device may access the memory as long as it is mapped, and no longer. That
 * is the rule of the DMA API, because an IOMMU then takes the address away. So
 * fences are not waited for. They order accesses, but don't tell which device
 * is at work: any process that has the dma-buf can add one that never signals
 * (DMA_BUF_IOCTL_IMPORT_SYNC_FILE).
 *
 * The reservation object is never locked with a lock of p2pmem held, and no
 * lock of p2pmem is taken with it locked. See
 * Documentation/mm/p2p_lifetime.rst.
 */

#include <linux/device.h>
#include <linux/dma-buf.h>
#include <linux/dma-mapping.h>
#include <linux/dma-resv.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/iosys-map.h>
#include <linux/jiffies.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/p2p_hold.h>
#include <linux/p2pdma-map.h>
#include <linux/pci.h>
#include <linux/pci-p2pdma.h>
#include <linux/scatterlist.h>
#include <linux/sched.h>
#include <linux/security.h>
#include <linux/slab.h>
#include <linux/vm_p2p.h>

#include "buffer.h"
#include "core.h"
#include "dmabuf.h"

#ifdef MODULE_PARAM_PREFIX
#undef MODULE_PARAM_PREFIX
#endif
#define MODULE_PARAM_PREFIX "pci_p2pmem."

static bool allow_static;
module_param(allow_static, bool, 0644);
MODULE_PARM_DESC(allow_static, "Let drivers import dma-bufs of peer-to-peer memory that can't give it back when its provider goes, which then waits for them (default N)");

/* Owned by its dma-buf. */
struct p2pmem_dmabuf {
	struct file *file;		/* the buffer's; a reference */
	unsigned int nr_mapped;		/* protected by the buffer's resv */
	struct p2p_hold *vmap;		/* protected by the dma-buf's lock */
};

static struct p2pmem_buffer *p2pmem_dmabuf_buffer(const struct dma_buf *dmabuf)
{
	const struct p2pmem_dmabuf *priv = dmabuf->priv;

	return priv->file->private_data;
}

/* Called with the reservation object locked. */
static void p2pmem_dmabuf_notify(struct dma_buf *dmabuf)
{
	struct p2pmem_dmabuf *priv = dmabuf->priv;

	/* If nothing is mapped, no importer has anything to unmap. */
	if (priv->nr_mapped)
		dma_buf_move_notify(dmabuf);
}

/*
 * A thread that has the reservation object locked may be waiting for reclaim,
 * and so for the drive that is being reset. So the wait is limited: a reset can
 * do without move_notify(). The limit is the one for transfers, for all
 * attachments together.
 */
static void p2pmem_dmabuf_pause(struct p2p_hold *hold)
{
	struct dma_buf_attachment *attach = hold->private;
	struct p2pmem *p2pmem = p2pmem_dmabuf_buffer(attach->dmabuf)->p2pmem;

	while (!dma_resv_trylock(attach->dmabuf->resv)) {
		if (time_after(jiffies, READ_ONCE(p2pmem->pause_until)))
			return;
		schedule_timeout_idle(msecs_to_jiffies(20));
	}
	p2pmem_dmabuf_notify(attach->dmabuf);
	dma_resv_unlock(attach->dmabuf->resv);
}

/* Unlocks the reservation object, which importers lock to unmap later. */
static void p2pmem_dmabuf_revoke(struct p2p_hold *hold)
{
	struct dma_buf_attachment *attach = hold->private;

	dma_resv_lock(attach->dmabuf->resv, NULL);
	p2pmem_dmabuf_notify(attach->dmabuf);
	dma_resv_unlock(attach->dmabuf->resv);
}

/* Mappings that remain are uses of the holds, which are waited for. */
static const struct p2p_hold_ops p2pmem_dmabuf_hold_ops = {
	.name	= "dma-buf",
	.mode	= P2P_HOLD_TICKET,
	.revoke	= p2pmem_dmabuf_revoke,
	.pause	= p2pmem_dmabuf_pause,
};

/* The kernel's mapping can't be revoked. */
static const struct p2p_hold_ops p2pmem_dmabuf_vmap_ops = {
	.name	= "vmap of a dma-buf",
	.mode	= P2P_HOLD_TICKET,
};

static struct p2p_hold *p2pmem_dmabuf_hold(struct file *file,
					   const struct p2p_hold_ops *ops,
					   struct device *client, void *private)
{
	struct p2p_hold *hold = p2p_hold_create(file, NULL, 0, ops, client,
						private);
	int error;

	if (IS_ERR(hold))
		return hold;

	/* There is nothing to prepare before it is armed. */
	error = p2p_hold_arm(hold);
	if (!error)
		return hold;
	p2p_hold_destroy(hold);
	return ERR_PTR(error);
}

static int p2pmem_dmabuf_attach(struct dma_buf *dmabuf,
				struct dma_buf_attachment *attach)
{
	struct p2pmem_dmabuf *priv = dmabuf->priv;
	struct p2p_hold *hold;
	int error;

	/* The memory can't move to where such a device would reach it. */
	if (!dev_is_pci(attach->dev))
		return -EREMOTEIO;
	if (!attach->importer_ops) {
		if (!READ_ONCE(allow_static))
			return -EOPNOTSUPP;
	} else if (!attach->peer2peer) {
		return -EREMOTEIO;
	}

	error = p2pmem_buffer_reaches(priv->file, attach->dev);
	if (error)
		return error;
	error = p2pmem_buffer_use_all(priv->file);
	if (error)
		return error;

	hold = p2pmem_dmabuf_hold(priv->file, &p2pmem_dmabuf_hold_ops,
				  attach->dev, attach);
	if (IS_ERR(hold))
		return PTR_ERR(hold);
	attach->priv = hold;
	return 0;
}

static void p2pmem_dmabuf_detach(struct dma_buf *dmabuf,
				 struct dma_buf_attachment *attach)
{
	p2p_hold_destroy(attach->priv);
}

/*
 * Called for importers without move_notify(), and for those that don't want the
 * memory to move. Other importers need not pin: the memory never moves.
 */
static int p2pmem_dmabuf_pin(struct dma_buf_attachment *attach)
{
	return READ_ONCE(allow_static) ? 0 : -EOPNOTSUPP;
}

static void p2pmem_dmabuf_unpin(struct dma_buf_attachment *attach)
{
}

/* Returns the length that the next entry of a scatterlist can have. */
static size_t p2pmem_dmabuf_segment(struct device *dev, u64 addr, u64 bus_addr,
				    size_t len)
{
	u64 boundary = dma_get_seg_boundary(dev);
	u64 last = min_t(u64, len, dma_get_max_seg_size(dev) & PAGE_MASK) - 1;

	/* Either may be the DMA address; the IOMMU code lays out IOVAs. */
	last = min(last, boundary - (addr & boundary));
	last = min(last, boundary - (bus_addr & boundary));
	return last + 1;
}

/* A buffer is contiguous, so an entry may span several folios. */
static int p2pmem_dmabuf_fill(struct sg_table *sgt, struct device *dev,
			      const struct p2pmem_buffer *buffer)
{
	struct page *page = pfn_to_page(buffer->pfn);
	u64 offset = page_p2pdma_provider(page)->bus_offset;
	size_t size = buffer->nr_pages << PAGE_SHIFT;
	u64 start = PFN_PHYS(buffer->pfn);
	struct scatterlist *sg = NULL;
	unsigned int nents = 0;
	size_t done, len;
	int error;

	if (dma_get_max_seg_size(dev) < PAGE_SIZE ||
	    dma_get_seg_boundary(dev) < PAGE_SIZE - 1)
		return -EINVAL;

	for (done = 0; done < size; done += len, nents++)
		len = p2pmem_dmabuf_segment(dev, start + done,
					    start + done + offset, size - done);

	error = sg_alloc_table(sgt, nents, GFP_KERNEL);
	if (error)
		return error;

	for (done = 0; done < size; done += len) {
		len = p2pmem_dmabuf_segment(dev, start + done,
					    start + done + offset, size - done);
		sg = sg ? sg_next(sg) : sgt->sgl;
		sg_set_page(sg, page + (done >> PAGE_SHIFT), len, 0);
	}
	return 0;
}

/* Returns true if the file mode permits DMA in this direction. */
static bool p2pmem_dmabuf_permits(const struct dma_buf *dmabuf,
				  enum dma_data_direction dir)
{
	fmode_t need = dir == DMA_TO_DEVICE ? FMODE_READ :
		       dir == DMA_FROM_DEVICE ? FMODE_WRITE :
						FMODE_READ | FMODE_WRITE;

	return (dmabuf->file->f_mode & need) == need;
}

static struct sg_table *p2pmem_dmabuf_map(struct dma_buf_attachment *attach,
					  enum dma_data_direction dir)
{
	struct p2pmem_dmabuf *priv = attach->dmabuf->priv;
	struct p2p_hold *hold = attach->priv;
	struct sg_table *sgt;
	int error;

	dma_resv_assert_held(attach->dmabuf->resv);
	if (!p2pmem_dmabuf_permits(attach->dmabuf, dir))
		return ERR_PTR(-EACCES);

	/* Until the use ends, the memory stays. */
	error = p2p_hold_begin_use(hold);
	if (error)
		return ERR_PTR(error);

	error = -ENOMEM;
	sgt = kmalloc(sizeof(*sgt), GFP_KERNEL);
	if (!sgt)
		goto err_end_use;
	error = p2pmem_dmabuf_fill(sgt, attach->dev,
				   p2pmem_dmabuf_buffer(attach->dmabuf));
	if (error)
		goto err_free;
	error = dma_map_sgtable(attach->dev, sgt, dir, DMA_ATTR_SKIP_CPU_SYNC);
	if (error)
		goto err_free_table;

	priv->nr_mapped++;
	return sgt;

err_free_table:
	sg_free_table(sgt);
err_free:
	kfree(sgt);
err_end_use:
	p2p_hold_end_use(hold);
	return ERR_PTR(error);
}

static void p2pmem_dmabuf_unmap(struct dma_buf_attachment *attach,
				struct sg_table *sgt,
				enum dma_data_direction dir)
{
	struct p2pmem_dmabuf *priv = attach->dmabuf->priv;

	dma_resv_assert_held(attach->dmabuf->resv);
	dma_unmap_sgtable(attach->dev, sgt, dir, DMA_ATTR_SKIP_CPU_SYNC);
	sg_free_table(sgt);
	kfree(sgt);
	priv->nr_mapped--;
	/* The provider may be gone from here on. */
	p2p_hold_end_use(attach->priv);
}

static int p2pmem_dmabuf_begin_cpu_access(struct dma_buf *dmabuf,
					  enum dma_data_direction dir)
{
	const struct p2pmem_dmabuf *priv = dmabuf->priv;

	/* No cache holds data of the memory. */
	return p2pmem_buffer_check(priv->file);
}

static int p2pmem_dmabuf_end_cpu_access(struct dma_buf *dmabuf,
					enum dma_data_direction dir)
{
	const struct p2pmem_dmabuf *priv = dmabuf->priv;

	if (dir == DMA_FROM_DEVICE)
		return p2pmem_buffer_check(priv->file);
	return p2pmem_buffer_flush(priv->file);
}

static int p2pmem_dmabuf_mmap(struct dma_buf *dmabuf, struct vm_area_struct *vma)
{
	const struct p2pmem_dmabuf *priv = dmabuf->priv;
	int error;

	error = security_locked_down(LOCKDOWN_PCI_ACCESS);
	if (error)
		return error;

	/* For dma_buf_mmap() the importer's file was checked, not this one. */
	if (!p2pmem_dmabuf_permits(dmabuf, vma->vm_flags & VM_MAYWRITE ?
					   DMA_BIDIRECTIONAL : DMA_TO_DEVICE))
		return -EACCES;

	/* A mapping can be made during a reset: its faults wait. */
	error = p2pmem_buffer_check(priv->file);
	if (error && error != -EAGAIN)
		return error;

	error = p2p_vma_init(vma);
	if (!error)
		p2pmem_buffer_mmap(priv->file, vma);
	return error;
}

static unsigned long p2pmem_dmabuf_get_unmapped_area(struct dma_buf *dmabuf,
						     unsigned long addr,
						     unsigned long len,
						     unsigned long pgoff,
						     unsigned long flags)
{
	return p2p_get_unmapped_area(dmabuf->file, addr, len, pgoff, flags);
}

static int p2pmem_dmabuf_vmap(struct dma_buf *dmabuf, struct iosys_map *map)
{
	struct p2pmem_dmabuf *priv = dmabuf->priv;
	struct p2p_hold *hold;
	int error;

	if (!READ_ONCE(allow_static))
		return -EOPNOTSUPP;

	error = p2pmem_buffer_use_all(priv->file);
	if (error)
		return error;

	hold = p2pmem_dmabuf_hold(priv->file, &p2pmem_dmabuf_vmap_ops, NULL,
				  NULL);
	if (IS_ERR(hold))
		return PTR_ERR(hold);
	error = p2p_hold_begin_use(hold);
	if (error) {
		p2p_hold_destroy(hold);
		return error;
	}

	/* The page map's own mapping of the BAR, which stays during a use. */
	iosys_map_set_vaddr_iomem(map, (void __iomem *)
		page_to_virt(pfn_to_page(p2pmem_dmabuf_buffer(dmabuf)->pfn)));
	priv->vmap = hold;
	return 0;
}

static void p2pmem_dmabuf_vunmap(struct dma_buf *dmabuf, struct iosys_map *map)
{
	struct p2pmem_dmabuf *priv = dmabuf->priv;

	p2p_hold_end_use(priv->vmap);
	p2p_hold_destroy(priv->vmap);
	priv->vmap = NULL;
}

static void p2pmem_dmabuf_release(struct dma_buf *dmabuf)
{
	struct p2pmem_dmabuf *priv = dmabuf->priv;

	fput(priv->file);
	kfree(priv);
}

static const struct dma_buf_ops p2pmem_dmabuf_ops = {
	.attach			= p2pmem_dmabuf_attach,
	.detach			= p2pmem_dmabuf_detach,
	.pin			= p2pmem_dmabuf_pin,
	.unpin			= p2pmem_dmabuf_unpin,
	.map_dma_buf		= p2pmem_dmabuf_map,
	.unmap_dma_buf		= p2pmem_dmabuf_unmap,
	.begin_cpu_access	= p2pmem_dmabuf_begin_cpu_access,
	.end_cpu_access		= p2pmem_dmabuf_end_cpu_access,
	.mmap			= p2pmem_dmabuf_mmap,
	.get_unmapped_area	= p2pmem_dmabuf_get_unmapped_area,
	.vmap			= p2pmem_dmabuf_vmap,
	.vunmap			= p2pmem_dmabuf_vunmap,
	.release		= p2pmem_dmabuf_release,
};

/**
 * pci_p2p_hold_dmabuf() - hold the memory of a dma-buf
 * @dmabuf: any dma-buf
 * @ops: the kind of holder, in mode P2P_HOLD_TICKET
 * @client: the device that will use the memory, for the log, or NULL
 * @private: for the holder, in the hold
 *
 * For holders that need pages, as block devices do, and so can't attach to
 * @dmabuf. The hold has all of the memory, in one extent. It keeps the buffer,
 * and no longer needs @dmabuf. The caller has to check that the mode of
 * @dmabuf's file permits the use. Memory with another user's data is cleared
 * now.
 *
 * The rules of p2p_hold_create_user() for the time until p2p_hold_arm() apply.
 *
 * Context: Process context. Waits while the provider is being reset. May take long, and
 *	    sleep.
 * Return: the hold, unarmed; an ERR_PTR(): -EOPNOTSUPP if @dmabuf is not of peer-to-peer
 *	   memory with struct pages; -EINVAL if @ops is not for tickets; -ENODEV
 *	   if the provider is gone, or has failed; -EINTR after a fatal signal;
 *	   -ENOMEM.
 */
struct p2p_hold *pci_p2p_hold_dmabuf(struct dma_buf *dmabuf,
				     const struct p2p_hold_ops *ops,
				     struct device *client, void *private)
{
	const struct p2pmem_dmabuf *priv = dmabuf->priv;

	if (dmabuf->ops != &p2pmem_dmabuf_ops)
		return ERR_PTR(-EOPNOTSUPP);
	return p2pmem_buffer_hold(priv->file, ops, client, private);
}

/**
 * p2pmem_dmabuf_export() - make a dma-buf of a buffer
 * @file: the buffer's file
 * @flags: O_RDONLY, O_WRONLY or O_RDWR: what the dma-buf may be used for, by
 *	   processes and by devices
 *
 * Context: Process context. The caller has a reference to @file.
 * Return: the dma-buf, which has a reference of its own; an ERR_PTR(): -ENOMEM;
 *	   -ENFILE.
 */
struct dma_buf *p2pmem_dmabuf_export(struct file *file, int flags)
{
	struct p2pmem_buffer *buffer = file->private_data;
	DEFINE_DMA_BUF_EXPORT_INFO(exp_info);
	struct p2pmem_dmabuf *priv;
	struct dma_buf *dmabuf;

	priv = kzalloc(sizeof(*priv), GFP_KERNEL_ACCOUNT);
	if (!priv)
		return ERR_PTR(-ENOMEM);
	priv->file = get_file(file);

	exp_info.exp_name = "p2pmem";
	exp_info.ops = &p2pmem_dmabuf_ops;
	exp_info.size = buffer->nr_pages << PAGE_SHIFT;
	exp_info.flags = flags;
	exp_info.resv = &buffer->resv;
	exp_info.priv = priv;
	dmabuf = dma_buf_export(&exp_info);
	if (IS_ERR(dmabuf)) {
		fput(file);
		kfree(priv);
	}
	return dmabuf;
}
