// SPDX-License-Identifier: GPL-2.0
/*
 * Sample provider of peer-to-peer memory without struct pages
 *
 * For a device with memory behind a prefetchable BAR, such as a graphics card.
 * The driver manages the memory by itself, and lets programs map it:
 *
 *	int fd = open("/dev/p2p-vram-0000:03:00.0", O_RDWR);
 *	mem = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset in the BAR);
 *
 * struct pages would take 16 MiB for each GiB, and pages can't be revoked from
 * their users. Here, only drivers that support ranges can access the memory,
 * and they give it back on request; p2p-edu.c is such a driver. Other code,
 * such as O_DIRECT, gets -EREMOTEIO. A provider's steps are, in this order:
 *
 *	probe	pci_p2p_range_create()
 *	mmap	pci_p2p_range_mmap(), of memory that belongs to the caller
 *	remove	pci_p2p_range_revoke(), before the device is stopped
 *
 * Drivers that import dma-bufs need not support ranges. ioctl(P2P_VRAM_EXPORT),
 * see p2p-vram.h, exports a part of the memory as a dma-buf, for importers that
 * promise not to use pages and to give the memory back:
 *
 *	map	pci_p2p_range_map(), for the importer's device
 *	revoke	dma_buf_move_notify(), which makes the importer unmap, now or when
 *		its device has finished its work
 *
 * It binds on request only, since the device may have a driver of its own:
 *
 *	# echo p2p-vram > /sys/bus/pci/devices/0000:03:00.0/driver_override
 *	# echo 0000:03:00.0 > /sys/bus/pci/drivers_probe
 */

#include <linux/dma-buf.h>
#include <linux/dma-resv.h>
#include <linux/err.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/kref.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/pci-p2p-range.h>
#include <linux/scatterlist.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/workqueue.h>

#include "p2p-vram.h"

/* Open files outlive the device, see p2p-edu.c. */
struct p2p_vram {
	struct kref ref;		/* the driver's, and each open file's */
	struct mutex lock;		/* protects range */
	struct pci_p2p_range *range;	/* NULL when the device is gone */
	u64 len;			/* length of the range, in bytes */
	struct miscdevice misc;
	char name[32];
};

static void p2p_vram_free(struct kref *ref)
{
	struct p2p_vram *vram = container_of(ref, struct p2p_vram, ref);

	mutex_destroy(&vram->lock);
	kfree(vram);
}

static void p2p_vram_put(void *vram)
{
	kref_put(&((struct p2p_vram *)vram)->ref, p2p_vram_free);
}

/*
 * A real driver would give each program its own memory, and check here that the
 * program maps only that. A mapping needs the range, but neither the file nor
 * this driver, so only the lookup of the range needs the lock.
 */
static int p2p_vram_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct p2p_vram *vram = file->private_data;
	int error = -ENODEV;

	mutex_lock(&vram->lock);
	if (vram->range)
		error = pci_p2p_range_mmap(vram->range, vma);
	mutex_unlock(&vram->lock);
	return error;
}

/* An exported part of the memory; owned by its dma-buf. */
struct p2p_vram_buf {
	struct p2p_vram *vram;		/* a reference */
	struct dma_buf *dmabuf;
	u64 offset;
	u64 len;
	struct work_struct revoke;
};

/* A part that is mapped for DMA. */
struct p2p_vram_map {
	struct sg_table sgt;
	struct pci_p2p_mapping mapping;
};

/*
 * Notifies the importers. pci_p2p_range_revoke() waits until all have unmapped,
 * and an importer does not unmap while its device uses the memory. So don't
 * wait for fences: that is not needed, and could take forever, since any
 * process that has the dma-buf can add one.
 */
static void p2p_vram_revoke_work(struct work_struct *work)
{
	struct p2p_vram_buf *buf = container_of(work, struct p2p_vram_buf, revoke);

	dma_resv_lock(buf->dmabuf->resv, NULL);
	dma_buf_move_notify(buf->dmabuf);
	dma_resv_unlock(buf->dmabuf->resv);
}

/* Called in atomic context. */
static void p2p_vram_revoke(struct pci_p2p_mapping *mapping)
{
	struct p2p_vram_buf *buf = mapping->private;

	schedule_work(&buf->revoke);
}

/* Static importers lack peer2peer, and would keep the memory: refuse them. */
static int p2p_vram_attach(struct dma_buf *dmabuf, struct dma_buf_attachment *attach)
{
	return attach->peer2peer ? 0 : -EOPNOTSUPP;
}

static int p2p_vram_pin(struct dma_buf_attachment *attach)
{
	return -EOPNOTSUPP;
}

static void p2p_vram_unpin(struct dma_buf_attachment *attach)
{
}

/* A device has the same rights as a process that has the dma-buf. */
static bool p2p_vram_permits(const struct dma_buf *dmabuf, enum dma_data_direction dir)
{
	fmode_t need = 0;

	if (dir != DMA_FROM_DEVICE)
		need |= FMODE_READ;
	if (dir != DMA_TO_DEVICE)
		need |= FMODE_WRITE;
	return (dmabuf->file->f_mode & need) == need;
}

/*
 * The list has a DMA address and no page. pci_p2p_range_map() finds the route,
 * or fails if there is none.
 */
static struct sg_table *p2p_vram_map(struct dma_buf_attachment *attach,
				     enum dma_data_direction dir)
{
	struct p2p_vram_buf *buf = attach->dmabuf->priv;
	struct p2p_vram_map *map;
	int error = -ENODEV;

	if (!p2p_vram_permits(attach->dmabuf, dir))
		return ERR_PTR(-EACCES);
	if (buf->len > dma_get_max_seg_size(attach->dev))
		return ERR_PTR(-EINVAL);
	map = kzalloc(sizeof(*map), GFP_KERNEL);
	if (!map)
		return ERR_PTR(-ENOMEM);
	if (sg_alloc_table(&map->sgt, 1, GFP_KERNEL)) {
		kfree(map);
		return ERR_PTR(-ENOMEM);
	}

	map->mapping.revoke = p2p_vram_revoke;
	map->mapping.private = buf;
	mutex_lock(&buf->vram->lock);
	if (buf->vram->range)
		error = pci_p2p_range_map(buf->vram->range, attach->dev, buf->offset,
					  buf->len, dir, &map->mapping);
	mutex_unlock(&buf->vram->lock);
	if (error) {
		sg_free_table(&map->sgt);
		kfree(map);
		return ERR_PTR(error);
	}
	sg_dma_address(map->sgt.sgl) = map->mapping.addr;
	sg_dma_len(map->sgt.sgl) = buf->len;
	return &map->sgt;
}

static void p2p_vram_unmap(struct dma_buf_attachment *attach, struct sg_table *sgt,
			   enum dma_data_direction dir)
{
	struct p2p_vram_map *map = container_of(sgt, struct p2p_vram_map, sgt);

	pci_p2p_range_unmap(&map->mapping);
	sg_free_table(sgt);
	kfree(map);
}

static int p2p_vram_buf_mmap(struct dma_buf *dmabuf, struct vm_area_struct *vma)
{
	struct p2p_vram_buf *buf = dmabuf->priv;
	struct p2p_vram *vram = buf->vram;
	int error = -ENODEV;

	/* An importer's file may have more rights than the dma-buf. */
	if (vma->vm_flags & VM_MAYWRITE && !(dmabuf->file->f_mode & FMODE_WRITE))
		return -EACCES;
	vma->vm_pgoff += buf->offset >> PAGE_SHIFT;
	mutex_lock(&vram->lock);
	if (vram->range)
		error = pci_p2p_range_mmap(vram->range, vma);
	mutex_unlock(&vram->lock);
	return error;
}

static void p2p_vram_buf_release(struct dma_buf *dmabuf)
{
	struct p2p_vram_buf *buf = dmabuf->priv;

	/* Nothing is mapped, but the work item may still be pending. */
	cancel_work_sync(&buf->revoke);
	p2p_vram_put(buf->vram);
	kfree(buf);
}

/* pin() makes this exporter dynamic: importers are called by move_notify(). */
static const struct dma_buf_ops p2p_vram_buf_ops = {
	.attach		= p2p_vram_attach,
	.pin		= p2p_vram_pin,
	.unpin		= p2p_vram_unpin,
	.map_dma_buf	= p2p_vram_map,
	.unmap_dma_buf	= p2p_vram_unmap,
	.mmap		= p2p_vram_buf_mmap,
	.release	= p2p_vram_buf_release,
};

/* @flags: of the caller's open file; an export gives no more rights than it. */
static int p2p_vram_export(struct p2p_vram *vram, const struct p2p_vram_export *arg,
			   unsigned int flags)
{
	DEFINE_DMA_BUF_EXPORT_INFO(exp_info);
	struct p2p_vram_buf *buf;
	int fd;

	if (!arg->len || !PAGE_ALIGNED(arg->offset) || !PAGE_ALIGNED(arg->len) ||
	    arg->offset > vram->len || arg->len > vram->len - arg->offset)
		return -EINVAL;
	buf = kzalloc(sizeof(*buf), GFP_KERNEL);
	if (!buf)
		return -ENOMEM;
	kref_get(&vram->ref);
	buf->vram = vram;
	buf->offset = arg->offset;
	buf->len = arg->len;
	INIT_WORK(&buf->revoke, p2p_vram_revoke_work);

	exp_info.ops = &p2p_vram_buf_ops;
	exp_info.size = buf->len;
	exp_info.flags = flags & O_ACCMODE;
	exp_info.priv = buf;
	buf->dmabuf = dma_buf_export(&exp_info);
	if (IS_ERR(buf->dmabuf)) {
		int error = PTR_ERR(buf->dmabuf);

		p2p_vram_put(vram);
		kfree(buf);
		return error;
	}
	/* From here on the dma-buf owns buf. */
	fd = dma_buf_fd(buf->dmabuf, O_CLOEXEC);
	if (fd < 0)
		dma_buf_put(buf->dmabuf);
	return fd;
}

static long p2p_vram_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct p2p_vram *vram = file->private_data;
	struct p2p_vram_export export;
	bool gone;

	if (cmd != P2P_VRAM_EXPORT)
		return -ENOTTY;
	if (copy_from_user(&export, (void __user *)arg, sizeof(export)))
		return -EFAULT;

	mutex_lock(&vram->lock);
	gone = !vram->range;
	mutex_unlock(&vram->lock);
	return gone ? -ENODEV : p2p_vram_export(vram, &export, file->f_flags);
}

static int p2p_vram_open(struct inode *inode, struct file *file)
{
	struct p2p_vram *vram = container_of(file->private_data,
					     struct p2p_vram, misc);

	kref_get(&vram->ref);
	file->private_data = vram;
	return nonseekable_open(inode, file);
}

static int p2p_vram_release(struct inode *inode, struct file *file)
{
	p2p_vram_put(file->private_data);
	return 0;
}

static const struct file_operations p2p_vram_fops = {
	.owner		= THIS_MODULE,
	.open		= p2p_vram_open,
	.release	= p2p_vram_release,
	.mmap		= p2p_vram_mmap,
	.unlocked_ioctl	= p2p_vram_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
};

static int p2p_vram_bar(struct pci_dev *pdev)
{
	unsigned long flags = IORESOURCE_MEM | IORESOURCE_PREFETCH;
	int bar;

	for (bar = 0; bar < PCI_STD_NUM_BARS; bar++)
		if ((pci_resource_flags(pdev, bar) & flags) == flags)
			return bar;
	return -ENODEV;
}

static int p2p_vram_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	int bar = p2p_vram_bar(pdev);
	struct p2p_vram *vram;
	int error;

	if (bar < 0)
		return dev_err_probe(&pdev->dev, bar,
				     "has no prefetchable memory BAR\n");

	vram = kzalloc(sizeof(*vram), GFP_KERNEL);
	if (!vram)
		return -ENOMEM;
	kref_init(&vram->ref);
	mutex_init(&vram->lock);
	error = devm_add_action_or_reset(&pdev->dev, p2p_vram_put, vram);
	if (error)
		return error;

	error = pcim_enable_device(pdev);
	if (error)
		return error;
	/* Exclude other users of the memory, and show it in /proc/iomem. */
	error = pci_request_region(pdev, bar, "p2p-vram");
	if (error)
		return error;

	/*
	 * After the resources that the range needs: if this function fails
	 * later, the range is released first.
	 */
	vram->range = pci_p2p_range_create(pdev, bar, 0,
					   pci_resource_len(pdev, bar));
	if (IS_ERR(vram->range))
		return dev_err_probe(&pdev->dev, PTR_ERR(vram->range),
				     "BAR %d can't be peer-to-peer memory\n",
				     bar);

	vram->len = pci_resource_len(pdev, bar);
	snprintf(vram->name, sizeof(vram->name), "p2p-vram-%s", pci_name(pdev));
	vram->misc.minor = MISC_DYNAMIC_MINOR;
	vram->misc.name = vram->name;
	vram->misc.fops = &p2p_vram_fops;
	vram->misc.parent = &pdev->dev;
	vram->misc.mode = 0600;
	pci_set_drvdata(pdev, vram);
	return misc_register(&vram->misc);
}

static void p2p_vram_remove(struct pci_dev *pdev)
{
	struct p2p_vram *vram = pci_get_drvdata(pdev);
	struct pci_p2p_range *range = vram->range;

	/* From here on the file can't be opened. */
	misc_deregister(&vram->misc);
	/* From here on open files can't map the range. */
	mutex_lock(&vram->lock);
	vram->range = NULL;
	mutex_unlock(&vram->lock);
	/*
	 * Existing mappings are revoked: those of programs at once, those of
	 * clients as soon as they have unmapped. A real driver would stop the
	 * device only after that.
	 */
	pci_p2p_range_revoke(range);
}

static struct pci_driver p2p_vram_driver = {
	.name		= "p2p-vram",
	.id_table	= NULL,		/* only on request */
	.probe		= p2p_vram_probe,
	.remove		= p2p_vram_remove,
};
module_pci_driver(p2p_vram_driver);

MODULE_DESCRIPTION("Sample provider of PCI peer-to-peer memory without struct pages");
MODULE_AUTHOR("P2P GUP developers <p2p-gup@localhost>");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS(DMA_BUF);
