// SPDX-License-Identifier: GPL-2.0
/*
 * Maps memory for DMA by a device of the caller's choice, and tells the addresses
 * that the device would use: the file p2p_test_dma in debugfs. No DMA is done.
 *
 * P2P_TEST_DMA takes memory of the calling process, P2P_TEST_POOL takes it from a
 * provider as a driver does.
 */

#include <linux/debugfs.h>
#include <linux/dma-mapping.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/mm.h>
#include <linux/pci.h>
#include <linux/pci-p2pdma.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "test_p2p_uapi.h"

static struct pci_dev *p2p_dma_client(const struct p2p_test_function *function)
{
	return pci_get_domain_bus_and_slot(function->domain, function->bus,
					   function->devfn);
}

/* Each page by itself; then all of them by a list. */
static int p2p_dma_map(struct device *client, struct p2p_test_dma *arg,
		       struct page **pages, struct p2p_test_segment *segments)
{
	struct scatterlist *sg;
	struct sg_table sgt;
	unsigned int i;
	int error;

	for (i = 0; i < arg->nr_pages; i++) {
		dma_addr_t addr = dma_map_page(client, pages[i], 0, PAGE_SIZE,
					       DMA_BIDIRECTIONAL);

		segments[i].phys = page_to_phys(pages[i]);
		segments[i].page_addr = ~0ULL;
		if (dma_mapping_error(client, addr))
			continue;
		segments[i].page_addr = addr;
		dma_sync_single_for_cpu(client, addr, PAGE_SIZE,
					DMA_BIDIRECTIONAL);
		dma_sync_single_for_device(client, addr, PAGE_SIZE,
					   DMA_BIDIRECTIONAL);
		dma_unmap_page(client, addr, PAGE_SIZE, DMA_BIDIRECTIONAL);
	}

	error = sg_alloc_table(&sgt, arg->nr_pages, GFP_KERNEL);
	if (error)
		return error;
	for_each_sgtable_sg(&sgt, sg, i)
		sg_set_page(sg, pages[i], PAGE_SIZE, 0);

	arg->result = dma_map_sgtable(client, &sgt, DMA_BIDIRECTIONAL, 0);
	if (!arg->result) {
		arg->result = sgt.nents;
		for_each_sgtable_dma_sg(&sgt, sg, i) {
			segments[i].sg_addr = sg_dma_address(sg);
			segments[i].sg_len = sg_dma_len(sg);
			segments[i].is_bus_addr = sg_is_dma_bus_address(sg);
		}
		dma_sync_sgtable_for_cpu(client, &sgt, DMA_BIDIRECTIONAL);
		dma_sync_sgtable_for_device(client, &sgt, DMA_BIDIRECTIONAL);
		dma_unmap_sgtable(client, &sgt, DMA_BIDIRECTIONAL, 0);
	}
	/* Whatever happened, nothing may be left behind. */
	for_each_sgtable_sg(&sgt, sg, i)
		if (sg_is_dma_bus_address(sg) || sg_page(sg) != pages[i] ||
		    sg->offset || sg->length != PAGE_SIZE)
			error = -EUCLEAN;
	sg_free_table(&sgt);
	return error;
}

/* As p2p_dma_map(), with the DMA mask that the caller wants. */
static int p2p_dma_map_masked(struct pci_dev *client, struct p2p_test_dma *arg,
			      struct page **pages,
			      struct p2p_test_segment *segments)
{
	u64 before = dma_get_mask(&client->dev);
	int error;

	if (!arg->mask)
		return p2p_dma_map(&client->dev, arg, pages, segments);

	device_lock(&client->dev);
	error = client->dev.driver ? -EBUSY :
		dma_set_mask(&client->dev, arg->mask);
	if (!error) {
		error = p2p_dma_map(&client->dev, arg, pages, segments);
		dma_set_mask(&client->dev, before);
	}
	device_unlock(&client->dev);
	return error;
}

static int p2p_dma_user(struct p2p_test_dma *arg)
{
	struct p2p_test_segment *segments = NULL;
	struct page **pages = NULL;
	struct pci_dev *client;
	int error, pinned;

	if (!arg->nr_pages || arg->nr_pages > P2P_TEST_MAX_PAGES ||
	    offset_in_page(arg->addr))
		return -EINVAL;
	client = p2p_dma_client(&arg->client);
	if (!client)
		return -ENODEV;

	error = -ENOMEM;
	pages = kvcalloc(arg->nr_pages, sizeof(*pages), GFP_KERNEL);
	segments = kvcalloc(arg->nr_pages, sizeof(*segments), GFP_KERNEL);
	if (!pages || !segments)
		goto out;

	pinned = pin_user_pages_fast(arg->addr, arg->nr_pages,
				     FOLL_WRITE | FOLL_PCI_P2PDMA, pages);
	error = pinned < 0 ? pinned : -EFAULT;
	if (pinned == arg->nr_pages)
		error = p2p_dma_map_masked(client, arg, pages, segments);
	if (pinned > 0)
		unpin_user_pages(pages, pinned);

	if (!error && copy_to_user(u64_to_user_ptr(arg->segments), segments,
				   arg->nr_pages * sizeof(*segments)))
		error = -EFAULT;
out:
	kvfree(segments);
	kvfree(pages);
	pci_dev_put(client);
	return error;
}

static void p2p_pool_map_list(struct device *client, struct pci_dev *provider,
			      struct p2p_test_pool *arg)
{
	struct sg_table sgt = {};
	struct scatterlist *sg;
	unsigned int i;

	sgt.sgl = pci_p2pmem_alloc_sgl(provider, &sgt.orig_nents, arg->len);
	arg->result = -ENOMEM;
	if (!sgt.sgl)
		return;

	arg->nr_entries = sgt.orig_nents;
	arg->result = dma_map_sgtable(client, &sgt, DMA_BIDIRECTIONAL, 0);
	if (!arg->result) {
		arg->result = sgt.nents;
		arg->sg_addr = sg_dma_address(sgt.sgl);
		for_each_sgtable_dma_sg(&sgt, sg, i)
			arg->sg_bytes += sg_dma_len(sg);
		dma_unmap_sgtable(client, &sgt, DMA_BIDIRECTIONAL, 0);
	}
	pci_p2pmem_free_sgl(provider, sgt.sgl);
}

static void p2p_pool_map_single(struct device *client, struct pci_dev *provider,
				struct p2p_test_pool *arg)
{
	void *memory = pci_alloc_p2pmem(provider, arg->len);
	dma_addr_t addr;

	arg->single_addr = ~0ULL;
	if (!memory)
		return;

	arg->bus_addr = pci_p2pmem_virt_to_bus(provider, memory);
	addr = dma_map_single(client, memory, arg->len, DMA_BIDIRECTIONAL);
	if (!dma_mapping_error(client, addr)) {
		arg->single_addr = addr;
		dma_unmap_single(client, addr, arg->len, DMA_BIDIRECTIONAL);
	}
	pci_free_p2pmem(provider, memory, arg->len);
}

static int p2p_dma_pool(struct p2p_test_pool *arg)
{
	struct pci_dev *client, *provider;
	struct device *clients[1];

	if (!arg->len)
		return -EINVAL;
	client = p2p_dma_client(&arg->client);
	if (!client)
		return -ENODEV;
	clients[0] = &client->dev;

	provider = pci_p2pmem_find_many(clients, 1);
	if (!provider) {
		pci_dev_put(client);
		return -ENODEV;
	}
	arg->provider.domain = pci_domain_nr(provider->bus);
	arg->provider.bus = provider->bus->number;
	arg->provider.devfn = provider->devfn;
	arg->distance = pci_p2pdma_distance_many(provider, clients, 1, true);
	arg->sg_bytes = 0;
	p2p_pool_map_list(&client->dev, provider, arg);
	p2p_pool_map_single(&client->dev, provider, arg);
	pci_dev_put(provider);
	pci_dev_put(client);
	return 0;
}

static long p2p_dma_ioctl(struct file *file, unsigned int cmd,
			  unsigned long user)
{
	void __user *to = (void __user *)user;
	union {
		struct p2p_test_dma dma;
		struct p2p_test_pool pool;
	} arg;
	int error;

	switch (cmd) {
	case P2P_TEST_DMA:
		if (copy_from_user(&arg.dma, to, sizeof(arg.dma)))
			return -EFAULT;
		error = p2p_dma_user(&arg.dma);
		if (!error && copy_to_user(to, &arg.dma, sizeof(arg.dma)))
			return -EFAULT;
		return error;
	case P2P_TEST_POOL:
		if (copy_from_user(&arg.pool, to, sizeof(arg.pool)))
			return -EFAULT;
		error = p2p_dma_pool(&arg.pool);
		if (!error && copy_to_user(to, &arg.pool, sizeof(arg.pool)))
			return -EFAULT;
		return error;
	default:
		return -ENOTTY;
	}
}

static const struct file_operations p2p_dma_fops = {
	.owner		= THIS_MODULE,
	.open		= nonseekable_open,
	.unlocked_ioctl	= p2p_dma_ioctl,
};

static int __init p2p_dma_init(void)
{
	debugfs_create_file_unsafe("p2p_test_dma", 0600, NULL, NULL,
				   &p2p_dma_fops);
	return 0;
}
late_initcall(p2p_dma_init);
