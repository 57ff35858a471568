// SPDX-License-Identifier: GPL-2.0
/*
 * Maps memory for DMA by a device of the caller's choice, and reports the
 * addresses that the device would use: the file p2p_test_dma in debugfs. No DMA
 * is done.
 *
 * P2P_TEST_DMA uses memory of the calling process, P2P_TEST_POOL allocates it
 * from a provider as a driver does. P2P_TEST_CONTEXTS also maps in interrupts.
 */

#include <linux/dma-mapping.h>
#include <linux/hrtimer.h>
#include <linux/init.h>
#include <linux/mm.h>
#include <linux/pci.h>
#include <linux/pci-p2pdma.h>
#include <linux/scatterlist.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "test_p2p.h"

static struct pci_dev *p2p_dma_client(const struct p2p_test_function *function)
{
	return pci_get_domain_bus_and_slot(function->domain, function->bus,
					   function->devfn);
}

static void p2p_dma_ask(struct device *client, struct page **pages,
			unsigned int nr, struct p2p_test_segment *segments)
{
	unsigned int i;

	for (i = 0; i < nr && is_pci_p2pdma_page(pages[i]); i++) {
		segments[i].reaches = pci_p2pdma_reaches(client, pages[i], 0,
							 PAGE_SIZE);
		segments[i].run_reaches =
			pages[i] == pages[0] + i &&
			pci_p2pdma_reaches(client, pages[0], 0,
					   (i + 1) * PAGE_SIZE);
	}
}

/* Map like a driver without support for peer-to-peer memory. */
static void p2p_dma_map_plain(struct device *client, struct page *page,
			      struct p2p_test_segment *segment)
{
	dma_addr_t addr = dma_map_page(client, page, 0, PAGE_SIZE,
				       DMA_BIDIRECTIONAL);

	segment->plain_addr = ~0ULL;
	if (dma_mapping_error(client, addr))
		return;
	segment->plain_addr = addr;
	dma_sync_single_for_cpu(client, addr, PAGE_SIZE, DMA_BIDIRECTIONAL);
	dma_sync_single_for_device(client, addr, PAGE_SIZE, DMA_BIDIRECTIONAL);
	dma_unmap_page(client, addr, PAGE_SIZE, DMA_BIDIRECTIONAL);
}

/* Map like a driver with support for peer-to-peer memory. */
static void p2p_dma_map_page(struct device *client, struct page *page,
			     struct p2p_test_segment *segment)
{
	bool is_bus_addr;
	dma_addr_t addr;

	segment->page_addr = segment->plain_addr;
	if (!is_pci_p2pdma_page(page))
		return;

	segment->page_addr = ~0ULL;
	segment->page_error = pci_p2pdma_map_page(client, page, 0, PAGE_SIZE,
						  DMA_BIDIRECTIONAL, &addr,
						  &is_bus_addr);
	if (segment->page_error)
		return;
	segment->page_addr = addr;
	segment->page_is_bus_addr = is_bus_addr;
	pci_p2pdma_unmap_page(client, page, addr, PAGE_SIZE, DMA_BIDIRECTIONAL,
			      is_bus_addr);
}

/* Map each page by itself; then all of them with a scatterlist. */
static int p2p_dma_map(struct device *client, struct p2p_test_dma *arg,
		       struct page **pages, struct p2p_test_segment *segments)
{
	struct scatterlist *sg;
	struct sg_table sgt;
	unsigned int i;
	int error;

	p2p_dma_ask(client, pages, arg->nr_pages, segments);
	for (i = 0; i < arg->nr_pages; i++) {
		segments[i].phys = page_to_phys(pages[i]);
		p2p_dma_map_plain(client, pages[i], &segments[i]);
		p2p_dma_map_page(client, pages[i], &segments[i]);
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
	/* In any case the scatterlist must be as before. */
	for_each_sgtable_sg(&sgt, sg, i)
		if (sg_is_dma_bus_address(sg) || sg_page(sg) != pages[i] ||
		    sg->offset || sg->length != PAGE_SIZE)
			error = -EUCLEAN;
	sg_free_table(&sgt);
	return error;
}

/* p2p_dma_map() with the DMA mask that the caller requests. */
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

/* A context in which a page is mapped again and again. */
struct p2p_dma_context {
	struct hrtimer timer;
	struct device *client;
	struct page *page;
	unsigned int runs;		/* still to be done */
	unsigned int differs;
	int result;			/* 1 if there is none yet */
};

static void p2p_dma_map_once(struct p2p_dma_context *context)
{
	bool is_bus_addr;
	dma_addr_t addr;
	int error;

	/* Drop the cached route, so that the mapping has to find it again. */
	pci_p2pdma_routes_changed();
	error = pci_p2pdma_map_page(context->client, context->page, 0,
				    PAGE_SIZE, DMA_BIDIRECTIONAL, &addr,
				    &is_bus_addr);
	if (!error)
		pci_p2pdma_unmap_page(context->client, context->page, addr,
				      PAGE_SIZE, DMA_BIDIRECTIONAL,
				      is_bus_addr);
	/* An IOMMU may run out of addresses: it frees unmapped ones late. */
	if (error != -ENOMEM) {
		context->differs += context->result <= 0 &&
				    context->result != error;
		context->result = error;
	}
	WRITE_ONCE(context->runs, context->runs - 1);
}

static enum hrtimer_restart p2p_dma_timer(struct hrtimer *timer)
{
	struct p2p_dma_context *context =
		container_of(timer, struct p2p_dma_context, timer);

	p2p_dma_map_once(context);
	hrtimer_forward_now(timer, ns_to_ktime(100 * NSEC_PER_USEC));
	return context->runs ? HRTIMER_RESTART : HRTIMER_NORESTART;
}

static void p2p_dma_start(struct p2p_dma_context *context,
			  enum hrtimer_mode mode)
{
	hrtimer_init_on_stack(&context->timer, CLOCK_MONOTONIC, mode);
	context->timer.function = p2p_dma_timer;
	hrtimer_start(&context->timer, ns_to_ktime(100 * NSEC_PER_USEC), mode);
}

/* Map in all contexts on this CPU, so that they interrupt each other. */
static int p2p_dma_map_in_contexts(struct device *client, struct page *page,
				   struct p2p_test_contexts *arg)
{
	struct p2p_dma_context process = {
		.client = client, .page = page, .runs = arg->runs, .result = 1,
	};
	struct p2p_dma_context softirq = process, hardirq = process;
	unsigned long end = jiffies + 20 * HZ;

	p2p_dma_start(&softirq, HRTIMER_MODE_REL_PINNED_SOFT);
	p2p_dma_start(&hardirq, HRTIMER_MODE_REL_PINNED_HARD);
	while (process.runs || READ_ONCE(softirq.runs) || READ_ONCE(hardirq.runs)) {
		if (time_after(jiffies, end) || signal_pending(current))
			break;
		if (!process.runs)
			process.runs++;
		p2p_dma_map_once(&process);
		cond_resched();
	}
	hrtimer_cancel(&softirq.timer);
	hrtimer_cancel(&hardirq.timer);
	destroy_hrtimer_on_stack(&softirq.timer);
	destroy_hrtimer_on_stack(&hardirq.timer);

	arg->process = process.result;
	arg->softirq = softirq.result;
	arg->hardirq = hardirq.result;
	arg->differs = process.differs + softirq.differs + hardirq.differs;
	return softirq.runs || hardirq.runs ? -ETIME : 0;
}

static int p2p_dma_contexts(struct p2p_test_contexts *arg)
{
	struct pci_dev *client;
	struct page *page;
	int error;

	if (!arg->runs || offset_in_page(arg->addr))
		return -EINVAL;
	client = p2p_dma_client(&arg->client);
	if (!client)
		return -ENODEV;

	error = pin_user_pages_fast(arg->addr, 1, FOLL_WRITE | FOLL_PCI_P2PDMA,
				    &page);
	if (error == 1) {
		error = is_pci_p2pdma_page(page) ?
			p2p_dma_map_in_contexts(&client->dev, page, arg) :
			-EINVAL;
		unpin_user_page(page);
	}
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

static long p2p_dma_ioctl(void *state, unsigned int cmd, union p2p_test_arg *arg)
{
	switch (cmd) {
	case P2P_TEST_DMA:
		return p2p_dma_user(&arg->dma);
	case P2P_TEST_POOL:
		return p2p_dma_pool(&arg->pool);
	case P2P_TEST_CONTEXTS:
		return p2p_dma_contexts(&arg->contexts);
	default:
		return -ENOTTY;
	}
}

static const struct p2p_test_file p2p_dma_file = {
	.name	= "p2p_test_dma",
	.ioctl	= p2p_dma_ioctl,
};

static int __init p2p_dma_init(void)
{
	p2p_test_create_file(&p2p_dma_file);
	return 0;
}
late_initcall(p2p_dma_init);
