// SPDX-License-Identifier: GPL-2.0
/*
 * PCI peer-to-peer memory as dma-bufs.
 *
 * A dma-buf is another handle of a buffer, and holds it as a mapping does. Whose data
 * is in the memory, who pays for it and how long it lives is the buffer's affair,
 * whichever handle it is used by. All dma-bufs of a buffer share its reservation
 * object, since the order of DMA is one of the memory.
 *
 *	mmap	a VM_P2P mapping of the buffer, the same as of p2pmem/allocate
 *	attach	finds out whether the device reaches the memory, and takes all of it
 *		into use: from here on its data are the buffer's. That may take long,
 *		and nobody holds the reservation object yet.
 *	map	a use of the attachment's hold: removal and reset of the provider wait
 *		until it is unmapped. Takes no lock, as the reservation object is held.
 *
 * An attachment is a hold (a ticket), whose client is the importer's device. When the
 * provider goes or is reset, the importer is told by move_notify(). That does not
 * promise that it has unmapped, so the uses are waited for. An importer that can't be
 * told, or that pins the memory, could keep it for ever. The administrator decides
 * whether that is allowed.
 *
 * A device may be at work with the memory as long as it is mapped, and no longer: that
 * is the rule of the DMA API, since an IOMMU takes the address away then. So fences are
 * not waited for. They order accesses, and say nothing of whose they are: any process
 * that has the dma-buf can add one that does not signal (DMA_BUF_IOCTL_IMPORT_SYNC_FILE).
 *
 * The reservation object is the outermost of the locks here: it is never taken with a
 * lock of p2pmem held, and with it held none of them is taken. See
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

/* With the reservation object locked. */
static void p2pmem_dmabuf_notify(struct dma_buf *dmabuf)
{
	struct p2pmem_dmabuf *priv = dmabuf->priv;

	/* If nothing is mapped, an earlier call has told all importers. */
	if (priv->nr_mapped)
		dma_buf_move_notify(dmabuf);
}

/*
 * A thread that has the reservation object locked may be waiting for memory, and so for
 * the drive that is being reset. So this does not wait for ever: a reset can do without.
 * All attachments together wait as long as a reset waits for transfers.
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

/* Importers that unmap later lock the reservation object for that, so it is not kept. */
static void p2pmem_dmabuf_revoke(struct p2p_hold *hold)
{
	struct dma_buf_attachment *attach = hold->private;

	dma_resv_lock(attach->dmabuf->resv, NULL);
	p2pmem_dmabuf_notify(attach->dmabuf);
	dma_resv_unlock(attach->dmabuf->resv);
}

/* Mappings that remain are waited for, of all attachments. */
static const struct p2p_hold_ops p2pmem_dmabuf_hold_ops = {
	.name	= "dma-buf",
	.mode	= P2P_HOLD_TICKET,
	.revoke	= p2pmem_dmabuf_revoke,
	.pause	= p2pmem_dmabuf_pause,
};

/* The kernel's mapping can't be taken away. */
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

	/* There is nothing to prepare. */
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

	/* The memory can't be moved to where another device would reach it. */
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
 * Called for importers that can't be told, and for those that won't listen. Others
 * need not pin: the memory stays where it is as long as it is there.
 */
static int p2pmem_dmabuf_pin(struct dma_buf_attachment *attach)
{
	return READ_ONCE(allow_static) ? 0 : -EOPNOTSUPP;
}

static void p2pmem_dmabuf_unpin(struct dma_buf_attachment *attach)
{
}

/* Returns how much the next entry of a scatterlist can have. */
static size_t p2pmem_dmabuf_segment(struct device *dev, u64 addr, u64 bus_addr,
				    size_t len)
{
	u64 boundary = dma_get_seg_boundary(dev);
	u64 last = min_t(u64, len, dma_get_max_seg_size(dev) & PAGE_MASK) - 1;

	/* It is mapped to one of these, or to what the IOMMU sees to. */
	last = min(last, boundary - (addr & boundary));
	last = min(last, boundary - (bus_addr & boundary));
	return last + 1;
}

/* A buffer is contiguous, so that its folios need not have entries of their own. */
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

/* DMA in a direction in which the dma-buf can't be mapped by a process, either? */
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

	/* From here on the memory is there. */
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

	/* No cache has anything of the memory. */
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

	/* By dma_buf_mmap() it is an importer's file that was checked, not this one. */
	if (!p2pmem_dmabuf_permits(dmabuf, vma->vm_flags & VM_MAYWRITE ?
					   DMA_BIDIRECTIONAL : DMA_TO_DEVICE))
		return -EACCES;

	/* A mapping can be made during a reset, and waits when it is touched. */
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

	/* The page map's own mapping of the BAR, which is there during a use. */
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
 * @ops: the kind of holder, which must be a ticket
 * @client: the device that will use the memory, for the log, or NULL
 * @private: for the holder, in the hold
 *
 * For holders that need the pages, as block devices do, and so can't attach @dmabuf. The
 * hold is of all the memory, in one extent. It needs @dmabuf no longer: it keeps the
 * buffer itself. What @dmabuf may be used for, by its file's mode, is up to the caller to
 * see to. Memory with another user's data is cleared now.
 *
 * What is written at p2p_hold_create_user() about the time until p2p_hold_arm() applies.
 *
 * Context: Process context. Waits while the provider is being reset. May take long, and
 *	    sleep.
 * Return: the hold, unarmed; an ERR_PTR(): -EOPNOTSUPP if @dmabuf is not of peer-to-peer
 *	   memory with struct pages; -EINVAL if @ops are no ticket's; -ENODEV if the
 *	   provider is gone, or has failed; -EINTR after a fatal signal; -ENOMEM.
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
