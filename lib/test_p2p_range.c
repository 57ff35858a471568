// SPDX-License-Identifier: GPL-2.0
/*
 * A client of peer-to-peer memory without struct pages: the file p2p_test_range
 * in debugfs. It maps memory of the calling process for DMA by a device of its
 * choice, reports the address, and may keep the mapping, with or without a
 * revoke() function. No DMA is done. It also acts as a provider:
 * P2P_TEST_CREATE for the duration of the call, P2P_TEST_ADD until the driver
 * is unbound.
 */

#include <linux/dma-mapping.h>
#include <linux/init.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/pci-p2p-range.h>
#include <linux/pci-p2pdma.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "test_p2p.h"

struct p2p_range_file {
	struct mutex lock;		/* protects all below */
	struct list_head kept;
	unsigned int nr_revoked;
};

/* A mapping that is kept. */
struct p2p_range_kept {
	struct pci_p2p_mapping mapping;
	struct work_struct revoked;
	struct p2p_range_file *owner;
	struct list_head node;
	struct pci_dev *client;
	bool is_mapped;
};

static void p2p_range_unmap(struct p2p_range_kept *kept)
{
	lockdep_assert_held(&kept->owner->lock);
	if (kept->is_mapped)
		pci_p2p_range_unmap(&kept->mapping);
	kept->is_mapped = false;
}

static void p2p_range_revoked(struct work_struct *work)
{
	struct p2p_range_kept *kept = container_of(work, struct p2p_range_kept,
						   revoked);

	mutex_lock(&kept->owner->lock);
	if (kept->is_mapped)
		kept->owner->nr_revoked++;
	p2p_range_unmap(kept);
	mutex_unlock(&kept->owner->lock);
}

static void p2p_range_revoke(struct pci_p2p_mapping *mapping)
{
	struct p2p_range_kept *kept = mapping->private;

	schedule_work(&kept->revoked);
}

static void p2p_range_put(struct p2p_range_file *file)
{
	struct p2p_range_kept *kept, *next;
	LIST_HEAD(kepts);

	mutex_lock(&file->lock);
	list_splice_init(&file->kept, &kepts);
	list_for_each_entry(kept, &kepts, node)
		p2p_range_unmap(kept);
	mutex_unlock(&file->lock);

	/* revoke() is not called any more, but its work may be pending. */
	list_for_each_entry_safe(kept, next, &kepts, node) {
		cancel_work_sync(&kept->revoked);
		pci_dev_put(kept->client);
		kfree(kept);
	}
}

static int p2p_range_map(struct p2p_range_file *file,
			 struct p2p_test_range *arg)
{
	struct pci_p2p_range *range;
	struct p2p_range_kept *kept;
	u64 offset;

	if (!arg->len || arg->keep > P2P_TEST_KEEP_REVOCABLE)
		return -EINVAL;

	kept = kzalloc(sizeof(*kept), GFP_KERNEL);
	if (!kept)
		return -ENOMEM;
	kept->owner = file;
	kept->mapping.private = kept;
	if (arg->keep == P2P_TEST_KEEP_REVOCABLE)
		kept->mapping.revoke = p2p_range_revoke;
	INIT_WORK(&kept->revoked, p2p_range_revoked);
	kept->client = pci_get_domain_bus_and_slot(arg->client.domain,
						   arg->client.bus,
						   arg->client.devfn);
	arg->result = -ENXIO;
	if (!kept->client)
		goto free;

	range = pci_p2p_range_of_user(arg->addr, arg->len, arg->write, &offset);
	arg->result = range ? PTR_ERR_OR_ZERO(range) : -ENOTTY;
	if (IS_ERR_OR_NULL(range))
		goto free;

	mutex_lock(&file->lock);
	arg->offset = offset;
	arg->result = pci_p2p_range_map(range, &kept->client->dev,
					offset + arg->skip, arg->len,
					arg->write ? DMA_FROM_DEVICE :
						     DMA_TO_DEVICE,
					&kept->mapping);
	pci_p2p_range_put(range);
	kept->is_mapped = !arg->result;
	if (kept->is_mapped)
		arg->dma_addr = kept->mapping.addr;
	if (kept->is_mapped && arg->keep != P2P_TEST_KEEP_NOT) {
		list_add(&kept->node, &file->kept);
		kept = NULL;
	} else {
		p2p_range_unmap(kept);
	}
	mutex_unlock(&file->lock);
free:
	if (kept)
		pci_dev_put(kept->client);
	kfree(kept);
	return 0;
}

static int p2p_range_create_locked(struct pci_dev *pdev,
				   const struct p2p_test_create *arg)
{
	struct pci_p2p_range *range;

	range = pci_p2p_range_create(pdev, arg->bar, arg->offset, arg->len);
	if (IS_ERR(range))
		return PTR_ERR(range);
	pci_p2p_range_revoke(range);
	return 0;
}

static int p2p_range_add_locked(struct pci_dev *pdev,
				const struct p2p_test_create *arg)
{
	int error;

	error = pci_p2pdma_add_resource(pdev, arg->bar, arg->len, arg->offset);
	if (!error)
		pci_p2pmem_publish(pdev, true);
	return error;
}

/* Act for the device's driver, which would do this in probe(). */
static void p2p_range_create(struct p2p_test_create *arg, bool with_pages)
{
	struct pci_dev *pdev;

	arg->result = -ENXIO;
	pdev = pci_get_domain_bus_and_slot(arg->provider.domain,
					   arg->provider.bus,
					   arg->provider.devfn);
	if (!pdev)
		return;

	device_lock(&pdev->dev);
	if (pdev->dev.driver)
		arg->result = with_pages ? p2p_range_add_locked(pdev, arg) :
					   p2p_range_create_locked(pdev, arg);
	device_unlock(&pdev->dev);
	pci_dev_put(pdev);
}

static long p2p_range_ioctl(void *state, unsigned int cmd, union p2p_test_arg *arg)
{
	struct p2p_range_file *file = state;
	unsigned int nr_revoked;

	switch (cmd) {
	case P2P_TEST_CREATE:
		p2p_range_create(&arg->create, false);
		return 0;
	case P2P_TEST_ADD:
		p2p_range_create(&arg->create, true);
		return 0;
	case P2P_TEST_RANGE:
		return p2p_range_map(file, &arg->range);
	case P2P_TEST_REVOKED:
		mutex_lock(&file->lock);
		nr_revoked = file->nr_revoked;
		mutex_unlock(&file->lock);
		return nr_revoked;
	case P2P_TEST_PUT:
		p2p_range_put(file);
		return 0;
	default:
		return -ENOTTY;
	}
}

static int p2p_range_open(void *state)
{
	struct p2p_range_file *file = state;

	mutex_init(&file->lock);
	INIT_LIST_HEAD(&file->kept);
	return 0;
}

static void p2p_range_release(void *state)
{
	struct p2p_range_file *file = state;

	p2p_range_put(file);
	mutex_destroy(&file->lock);
}

static const struct p2p_test_file p2p_range_file = {
	.name		= "p2p_test_range",
	.state_size	= sizeof(struct p2p_range_file),
	.open		= p2p_range_open,
	.release	= p2p_range_release,
	.ioctl		= p2p_range_ioctl,
};

static int __init p2p_range_init(void)
{
	p2p_test_create_file(&p2p_range_file);
	return 0;
}
late_initcall(p2p_range_init);
