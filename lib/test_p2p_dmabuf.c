// SPDX-License-Identifier: GPL-2.0
/*
 * An importer of dma-bufs, for a device of the caller's choice and as well or badly
 * behaved as the caller wants: the file p2p_test_dmabuf in debugfs. No DMA is done; a
 * fence that the caller signals stands for it.
 */

#include <linux/device.h>
#include <linux/dma-buf.h>
#include <linux/dma-fence.h>
#include <linux/dma-mapping.h>
#include <linux/dma-resv.h>
#include <linux/err.h>
#include <linux/init.h>
#include <linux/io.h>
#include <linux/iosys-map.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/pci.h>
#include <linux/platform_device.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>

#include "test_p2p.h"

struct p2p_importer {
	struct dma_buf *dmabuf;
	struct dma_buf_attachment *attach;	/* NULL for none */
	struct pci_dev *client;			/* NULL if it is not PCI */
	unsigned int max_segment;		/* of the client, to restore */
	unsigned long boundary;			/* of the client, to restore */
	u32 kind;				/* enum p2p_test_importer */
	struct dma_fence *fence;		/* not signalled yet, or NULL */
	struct iosys_map vmap;			/* null for none */
	/* Under the lock of the reservation object: */
	struct sg_table *sgt;
	enum dma_data_direction dir;
	unsigned int nr_notified;
};

struct p2p_test_fence {
	struct dma_fence fence;
	spinlock_t lock;		/* of the fence */
};

static const char *p2p_fence_name(struct dma_fence *fence)
{
	return "p2p_test";
}

static const struct dma_fence_ops p2p_fence_ops = {
	.get_driver_name	= p2p_fence_name,
	.get_timeline_name	= p2p_fence_name,
};

static void p2p_importer_unmap(struct p2p_importer *importer)
{
	if (importer->sgt)
		dma_buf_unmap_attachment(importer->attach, importer->sgt,
					 importer->dir);
	importer->sgt = NULL;
}

static void p2p_importer_notify(struct dma_buf_attachment *attach)
{
	struct p2p_importer *importer = attach->importer_priv;

	importer->nr_notified++;
	if (importer->kind != P2P_TEST_DEAF && importer->kind != P2P_TEST_PINNED)
		p2p_importer_unmap(importer);
}

static const struct dma_buf_attach_ops p2p_importer_ops = {
	.allow_peer2peer = true,
	.move_notify	 = p2p_importer_notify,
};

static const struct dma_buf_attach_ops p2p_importer_ram_ops = {
	.move_notify	 = p2p_importer_notify,
};

/* The device's driver has set these limits once, so save them to restore. */
static void p2p_importer_limit(struct p2p_importer *importer,
			       const struct p2p_test_attach *arg)
{
	struct device *dev = &importer->client->dev;

	importer->max_segment = dma_get_max_seg_size(dev);
	importer->boundary = dma_get_seg_boundary(dev);
	if (arg->max_segment)
		dma_set_max_seg_size(dev, arg->max_segment);
	if (arg->boundary)
		dma_set_seg_boundary(dev, arg->boundary);
}

static void p2p_importer_signal(struct p2p_importer *importer)
{
	if (!importer->fence)
		return;
	dma_fence_signal(importer->fence);
	dma_fence_put(importer->fence);
	importer->fence = NULL;
}

static void p2p_importer_vunmap(struct p2p_importer *importer)
{
	if (iosys_map_is_set(&importer->vmap))
		dma_buf_vunmap(importer->dmabuf, &importer->vmap);
	iosys_map_clear(&importer->vmap);
}

static void p2p_importer_unlimit(struct p2p_importer *importer)
{
	if (importer->client) {
		dma_set_max_seg_size(&importer->client->dev,
				     importer->max_segment);
		dma_set_seg_boundary(&importer->client->dev,
				     importer->boundary);
	}
	pci_dev_put(importer->client);
	importer->client = NULL;
}

static void p2p_importer_put(struct p2p_importer *importer)
{
	struct dma_buf *dmabuf = importer->dmabuf;

	if (!dmabuf)
		return;

	p2p_importer_signal(importer);
	p2p_importer_vunmap(importer);
	if (importer->attach) {
		dma_resv_lock(dmabuf->resv, NULL);
		p2p_importer_unmap(importer);
		if (importer->kind == P2P_TEST_PINNED)
			dma_buf_unpin(importer->attach);
		dma_resv_unlock(dmabuf->resv);
		dma_buf_detach(dmabuf, importer->attach);
		importer->attach = NULL;
	}
	p2p_importer_unlimit(importer);
	dma_buf_put(dmabuf);
	importer->dmabuf = NULL;
}

static int p2p_importer_pin(struct p2p_importer *importer)
{
	int error;

	if (importer->kind != P2P_TEST_PINNED)
		return 0;

	dma_resv_lock(importer->dmabuf->resv, NULL);
	error = dma_buf_pin(importer->attach);
	dma_resv_unlock(importer->dmabuf->resv);
	if (error) {
		dma_buf_detach(importer->dmabuf, importer->attach);
		importer->attach = NULL;
	}
	return error;
}

static int p2p_importer_attach(struct p2p_importer *importer,
			       struct p2p_test_attach *arg)
{
	const struct dma_buf_attach_ops *ops = &p2p_importer_ops;
	struct dma_buf_attachment *attach;
	struct device *dev = &platform_bus;

	if (importer->dmabuf)
		return -EBUSY;
	if (arg->importer > P2P_TEST_NO_IMPORTER)
		return -EINVAL;
	importer->dmabuf = dma_buf_get(arg->fd);
	if (IS_ERR(importer->dmabuf)) {
		arg->result = PTR_ERR(importer->dmabuf);
		importer->dmabuf = NULL;
		return 0;
	}

	importer->kind = arg->importer;
	importer->nr_notified = 0;
	arg->result = 0;
	if (importer->kind == P2P_TEST_NO_IMPORTER)
		return 0;

	if (!arg->not_pci) {
		importer->client =
			pci_get_domain_bus_and_slot(arg->client.domain,
						    arg->client.bus,
						    arg->client.devfn);
		arg->result = -ENXIO;
		if (!importer->client)
			goto put;
		dev = &importer->client->dev;
		p2p_importer_limit(importer, arg);
	}

	if (importer->kind == P2P_TEST_STATIC)
		ops = NULL;
	else if (importer->kind == P2P_TEST_RAM_ONLY)
		ops = &p2p_importer_ram_ops;
	attach = dma_buf_dynamic_attach(importer->dmabuf, dev, ops, importer);
	arg->result = PTR_ERR_OR_ZERO(attach);
	if (!arg->result) {
		importer->attach = attach;
		arg->result = p2p_importer_pin(importer);
	}
	if (!arg->result)
		return 0;
put:
	p2p_importer_put(importer);
	return 0;
}

static void p2p_importer_report(struct p2p_importer *importer,
				struct p2p_test_segment *segments, u32 room,
				struct p2p_test_dmabuf_map *arg)
{
	struct scatterlist *sg;
	unsigned int i;

	arg->nr_segments = importer->sgt->nents;
	arg->nr_entries = importer->sgt->orig_nents;
	for_each_sgtable_dma_sg(importer->sgt, sg, i) {
		if (i == room)
			break;
		segments[i].sg_addr = sg_dma_address(sg);
		segments[i].sg_len = sg_dma_len(sg);
		segments[i].is_bus_addr = sg_is_dma_bus_address(sg);
	}
}

static int p2p_importer_map(struct p2p_importer *importer,
			    struct p2p_test_dmabuf_map *arg)
{
	struct p2p_test_segment *segments;
	u32 room = arg->nr_segments;
	struct sg_table *sgt;
	int error = 0;

	if (!importer->attach || arg->dir > DMA_FROM_DEVICE ||
	    room > P2P_TEST_MAX_PAGES)
		return -EINVAL;
	segments = kvcalloc(room, sizeof(*segments), GFP_KERNEL);
	if (!segments)
		return -ENOMEM;

	dma_resv_lock(importer->dmabuf->resv, NULL);
	if (importer->sgt) {
		error = -EBUSY;
		goto unlock;
	}
	sgt = dma_buf_map_attachment(importer->attach, arg->dir);
	arg->result = PTR_ERR_OR_ZERO(sgt);
	if (!arg->result) {
		importer->sgt = sgt;
		importer->dir = arg->dir;
		p2p_importer_report(importer, segments, room, arg);
	}
unlock:
	dma_resv_unlock(importer->dmabuf->resv);
	if (!error && !arg->result &&
	    copy_to_user(u64_to_user_ptr(arg->segments), segments,
			 min(room, arg->nr_segments) * sizeof(*segments)))
		error = -EFAULT;
	kvfree(segments);
	return error;
}

static int p2p_importer_fence(struct p2p_importer *importer)
{
	struct p2p_test_fence *fence;
	int error;

	if (!importer->dmabuf || importer->fence)
		return -EINVAL;
	fence = kzalloc(sizeof(*fence), GFP_KERNEL);
	if (!fence)
		return -ENOMEM;
	spin_lock_init(&fence->lock);
	dma_fence_init(&fence->fence, &p2p_fence_ops, &fence->lock,
		       dma_fence_context_alloc(1), 1);

	dma_resv_lock(importer->dmabuf->resv, NULL);
	error = dma_resv_reserve_fences(importer->dmabuf->resv, 1);
	if (!error)
		dma_resv_add_fence(importer->dmabuf->resv, &fence->fence,
				   DMA_RESV_USAGE_WRITE);
	dma_resv_unlock(importer->dmabuf->resv);
	if (error) {
		dma_fence_put(&fence->fence);
		return error;
	}
	importer->fence = &fence->fence;
	return 0;
}

static int p2p_importer_vmap(struct p2p_importer *importer,
			     struct p2p_test_vmap *arg)
{
	void __iomem *io;

	if (!importer->dmabuf || arg->offset & 7 ||
	    arg->offset >= importer->dmabuf->size)
		return -EINVAL;

	if (iosys_map_is_null(&importer->vmap)) {
		arg->result = dma_buf_vmap(importer->dmabuf, &importer->vmap);
		if (arg->result)
			return 0;
	}
	arg->result = 0;
	arg->is_iomem = importer->vmap.is_iomem;
	if (!arg->is_iomem)
		return 0;

	io = importer->vmap.vaddr_iomem + arg->offset;
	if (arg->write)
		writeq(arg->value, io);
	else
		arg->value = readq(io);
	return 0;
}

static long p2p_importer_ioctl(void *state, unsigned int cmd, union p2p_test_arg *arg)
{
	struct p2p_importer *importer = state;

	switch (cmd) {
	case P2P_TEST_ATTACH:
		return p2p_importer_attach(importer, &arg->attach);
	case P2P_TEST_MAP:
		return p2p_importer_map(importer, &arg->map);
	case P2P_TEST_UNMAP:
		if (!importer->attach)
			return -EINVAL;
		dma_resv_lock(importer->dmabuf->resv, NULL);
		p2p_importer_unmap(importer);
		dma_resv_unlock(importer->dmabuf->resv);
		return 0;
	case P2P_TEST_NOTIFIED:
		return READ_ONCE(importer->nr_notified);
	case P2P_TEST_FENCE:
		return p2p_importer_fence(importer);
	case P2P_TEST_SIGNAL:
		p2p_importer_signal(importer);
		return 0;
	case P2P_TEST_VMAP:
		return p2p_importer_vmap(importer, &arg->vmap);
	case P2P_TEST_VUNMAP:
		p2p_importer_vunmap(importer);
		return 0;
	case P2P_TEST_PUT:
		p2p_importer_put(importer);
		return 0;
	default:
		return -ENOTTY;
	}
}

static void p2p_importer_release(void *state)
{
	p2p_importer_put(state);
}

static const struct p2p_test_file p2p_importer_file = {
	.name		= "p2p_test_dmabuf",
	.state_size	= sizeof(struct p2p_importer),
	.release	= p2p_importer_release,
	.ioctl		= p2p_importer_ioctl,
};

static int __init p2p_importer_init(void)
{
	p2p_test_create_file(&p2p_importer_file);
	return 0;
}
late_initcall(p2p_importer_init);
