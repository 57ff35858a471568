// SPDX-License-Identifier: GPL-2.0
/*
 * A provider of peer-to-peer memory without struct pages, to learn from
 *
 * For a device with memory behind a prefetchable BAR, as a graphics card has. The
 * driver manages the memory by itself, and lets programs map it:
 *
 *	int fd = open("/dev/p2p-vram-0000:03:00.0", O_RDWR);
 *	mem = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset in the BAR);
 *
 * struct pages would take 16 MiB for each GiB, and whoever has the pages can do as he
 * likes. Here, only drivers that know ranges get at the memory, and they give it
 * back when they are told to. Others, as O_DIRECT, get -EREMOTEIO. p2p-edu.c is such
 * a driver. What a provider has to do is, in this order:
 *
 *	probe	pci_p2p_range_create()
 *	mmap	pci_p2p_range_mmap(), of what belongs to the caller
 *	remove	pci_p2p_range_revoke(), before the device is stopped
 *
 * It binds on request only, since the device may have a driver of its own:
 *
 *	# echo p2p-vram > /sys/bus/pci/devices/0000:03:00.0/driver_override
 *	# echo 0000:03:00.0 > /sys/bus/pci/drivers_probe
 */

#include <linux/fs.h>
#include <linux/kref.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/pci-p2p-range.h>
#include <linux/slab.h>

/* Open files outlive the device, see p2p-edu.c. */
struct p2p_vram {
	struct kref ref;		/* the driver's, and each open file's */
	struct mutex lock;		/* protects range */
	struct pci_p2p_range *range;	/* NULL when the device is gone */
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
 * A real driver would give each program memory of its own, and look here whether
 * it is that. A mapping needs the range, but neither the file nor this driver:
 * what is below the lock is all there is to protect.
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
	/* Nobody else may use the memory, and /proc/iomem shows who does. */
	error = pci_request_region(pdev, bar, "p2p-vram");
	if (error)
		return error;

	/*
	 * After what it needs was acquired: if this function fails further down,
	 * the range is taken back first.
	 */
	vram->range = pci_p2p_range_create(pdev, bar, 0,
					   pci_resource_len(pdev, bar));
	if (IS_ERR(vram->range))
		return dev_err_probe(&pdev->dev, PTR_ERR(vram->range),
				     "BAR %d can't be peer-to-peer memory\n",
				     bar);

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

	/* From here on nobody opens it, */
	misc_deregister(&vram->misc);
	/* from here on nobody maps it through files that are open, */
	mutex_lock(&vram->lock);
	vram->range = NULL;
	mutex_unlock(&vram->lock);
	/*
	 * and what is mapped is taken back: from programs at once, from clients when
	 * they have let go. Only then a real driver would stop the device.
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
