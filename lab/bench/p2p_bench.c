// SPDX-License-Identifier: GPL-2.0
/*
 * Times calls inside the kernel for make bench: what a driver pays for mapping
 * user memory for DMA.
 *
 * Not part of the series. lab/bench-kernels.sh puts it into drivers/misc of the
 * kernels that it builds, of all versions alike, so it uses nothing that only
 * one of them has. The file is /sys/kernel/debug/p2p_bench.
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
#include <linux/timex.h>
#include <linux/uaccess.h>
#include <linux/version.h>

#include "p2p_bench.h"

#define MAX_PAGES	4096
#define MAX_ROUNDS	100000

/* A macro in the series, an enumerator where it is upstream. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0) || defined(FOLL_PCI_P2PDMA)
#define FOLL_P2P	FOLL_PCI_P2PDMA
#else
#define FOLL_P2P	0
#endif

static int p2p_bench_info(struct p2p_bench_info __user *to)
{
	struct p2p_bench_info info = { .foll_p2p = FOLL_P2P };

	return copy_to_user(to, &info, sizeof(info)) ? -EFAULT : 0;
}

static int time_dma(struct device *client, struct sg_table *sgt,
		    struct p2p_bench_dma *arg)
{
	u64 start, mapped, unmapped;
	unsigned int i;
	int error;

	arg->map = U64_MAX;
	arg->unmap = U64_MAX;
	for (i = 0; i < arg->rounds; i++) {
		start = get_cycles();
		error = dma_map_sgtable(client, sgt, DMA_BIDIRECTIONAL, 0);
		mapped = get_cycles();
		if (error)
			return error;
		dma_unmap_sgtable(client, sgt, DMA_BIDIRECTIONAL, 0);
		unmapped = get_cycles();
		arg->map = min(arg->map, mapped - start);
		arg->unmap = min(arg->unmap, unmapped - mapped);
	}
	return 0;
}

/* As drivers for the kernel in question map a page for DMA. */
static __always_inline dma_addr_t map_page(struct device *client,
					   struct page *page, bool *is_bus_addr)
{
#ifdef CONFIG_VM_P2P
	dma_addr_t addr;

	if (is_pci_p2pdma_page(page))
		return pci_p2pdma_map_page(client, page, 0, PAGE_SIZE,
					   DMA_BIDIRECTIONAL, &addr,
					   is_bus_addr) ?
			DMA_MAPPING_ERROR : addr;
#endif
	*is_bus_addr = false;
	return dma_map_page(client, page, 0, PAGE_SIZE, DMA_BIDIRECTIONAL);
}

static __always_inline void unmap_page(struct device *client, struct page *page,
				       dma_addr_t addr, bool is_bus_addr)
{
#ifdef CONFIG_VM_P2P
	if (is_pci_p2pdma_page(page)) {
		pci_p2pdma_unmap_page(client, page, addr, PAGE_SIZE,
				      DMA_BIDIRECTIONAL, is_bus_addr);
		return;
	}
#endif
	dma_unmap_page(client, addr, PAGE_SIZE, DMA_BIDIRECTIONAL);
}

static int time_dma_single(struct device *client, struct page **pages,
			   struct p2p_bench_dma *arg)
{
	u64 start, mapped, unmapped;
	bool is_bus_addr = false;	/* the pages are all of one kind */
	dma_addr_t *addrs;
	unsigned int i, k;
	int error = 0;

	addrs = kvcalloc(arg->nr_pages, sizeof(*addrs), GFP_KERNEL);
	if (!addrs)
		return -ENOMEM;

	arg->map = U64_MAX;
	arg->unmap = U64_MAX;
	for (i = 0; i < arg->rounds && !error; i++) {
		start = get_cycles();
		for (k = 0; k < arg->nr_pages; k++)
			addrs[k] = map_page(client, pages[k], &is_bus_addr);
		mapped = get_cycles();
		for (k = 0; k < arg->nr_pages; k++)
			if (dma_mapping_error(client, addrs[k]))
				error = -EREMOTEIO;
		mapped -= start;
		start = get_cycles();
		for (k = 0; k < arg->nr_pages && !error; k++)
			unmap_page(client, pages[k], addrs[k], is_bus_addr);
		unmapped = get_cycles() - start;
		arg->map = min(arg->map, mapped);
		arg->unmap = min(arg->unmap, unmapped);
	}
	kvfree(addrs);
	return error;
}

static int time_dma_of_pages(struct p2p_bench_dma *arg, struct page **pages)
{
	struct scatterlist *sg;
	struct pci_dev *client;
	struct sg_table sgt;
	unsigned int i;
	int error;

	client = pci_get_domain_bus_and_slot(arg->domain, arg->bus, arg->devfn);
	if (!client)
		return -ENODEV;

	if (arg->single) {
		error = time_dma_single(&client->dev, pages, arg);
		goto put;
	}

	error = sg_alloc_table(&sgt, arg->nr_pages, GFP_KERNEL);
	if (error)
		goto put;

	/* Never merged, so that the number of segments is the caller's. */
	for_each_sgtable_sg(&sgt, sg, i)
		sg_set_page(sg, pages[i], PAGE_SIZE, 0);
	error = time_dma(&client->dev, &sgt, arg);
	sg_free_table(&sgt);
put:
	pci_dev_put(client);
	return error;
}

static int p2p_bench_dma(struct p2p_bench_dma __user *to)
{
	struct p2p_bench_dma arg;
	struct page **pages;
	int pinned, error;

	if (copy_from_user(&arg, to, sizeof(arg)))
		return -EFAULT;
	if (!arg.nr_pages || arg.nr_pages > MAX_PAGES ||
	    !arg.rounds || arg.rounds > MAX_ROUNDS)
		return -EINVAL;

	pages = kvcalloc(arg.nr_pages, sizeof(*pages), GFP_KERNEL);
	if (!pages)
		return -ENOMEM;

	pinned = pin_user_pages_fast(arg.addr, arg.nr_pages,
				     arg.gup_flags | FOLL_WRITE, pages);
	if (pinned == arg.nr_pages)
		error = time_dma_of_pages(&arg, pages);
	else
		error = pinned < 0 ? pinned : -EFAULT;
	if (pinned > 0)
		unpin_user_pages(pages, pinned);
	kvfree(pages);

	if (!error && copy_to_user(to, &arg, sizeof(arg)))
		error = -EFAULT;
	return error;
}

/* One mapping; nothing else may happen meanwhile, for each counts. */
static int time_client(struct device *client, struct sg_table *sgt, u64 *most)
{
	unsigned long irq;
	u64 start, cycles;
	int error;

	local_irq_save(irq);
	start = get_cycles();
	error = dma_map_sgtable(client, sgt, DMA_BIDIRECTIONAL, 0);
	cycles = get_cycles() - start;
	local_irq_restore(irq);
	if (error)
		return error;
	dma_unmap_sgtable(client, sgt, DMA_BIDIRECTIONAL, 0);
	*most = max(*most, cycles);
	return 0;
}

static int time_clients(struct sg_table *sgt, unsigned int clients, u64 *first,
			u64 *second)
{
	struct pci_dev *client = NULL;
	unsigned int i;
	int error = 0;

	for (i = 0; i < clients && !error; i++) {
		client = pci_get_device(P2P_BENCH_CLIENT, client);
		if (!client)
			return -ENODEV;
		/* There is no driver that would say how far it reaches. */
		error = dma_set_mask(&client->dev, DMA_BIT_MASK(64));
		if (!error)
			error = time_client(&client->dev, sgt, first);
		if (!error && second)
			error = time_client(&client->dev, sgt, second);
	}
	pci_dev_put(client);
	return error;
}

static int time_routes(struct page *page, struct p2p_bench_routes *arg)
{
	struct sg_table sgt;
	u64 again, warm;
	unsigned int i;
	int error;

	error = sg_alloc_table(&sgt, 1, GFP_KERNEL);
	if (error)
		return error;
	sg_set_page(sgt.sgl, page, PAGE_SIZE, 0);

	arg->cold = 0;
	arg->again = U64_MAX;
	arg->warm = U64_MAX;
	error = time_clients(&sgt, arg->clients, &arg->cold, NULL);
	for (i = 0; i < arg->rounds && !error; i++) {
		again = 0;
		warm = 0;
		error = time_clients(&sgt, arg->clients, &again, &warm);
		arg->again = min(arg->again, again);
		arg->warm = min(arg->warm, warm);
	}
	sg_free_table(&sgt);
	return error;
}

static int p2p_bench_routes(struct p2p_bench_routes __user *to)
{
	struct p2p_bench_routes arg;
	struct page *page;
	int pinned, error;

	if (copy_from_user(&arg, to, sizeof(arg)))
		return -EFAULT;
	if (!arg.clients || !arg.rounds || arg.rounds > MAX_ROUNDS)
		return -EINVAL;

	pinned = pin_user_pages_fast(arg.addr, 1, arg.gup_flags | FOLL_WRITE,
				     &page);
	if (pinned != 1)
		return pinned < 0 ? pinned : -EFAULT;
	error = time_routes(page, &arg);
	unpin_user_page(page);

	if (!error && copy_to_user(to, &arg, sizeof(arg)))
		error = -EFAULT;
	return error;
}

#ifdef CONFIG_VM_P2P
#include <linux/vm_p2p.h>

#define MAX_EXTENTS	64

static int p2p_bench_extents(struct p2p_bench_extents __user *to)
{
	struct p2p_extent *extents;
	struct p2p_bench_extents arg;
	u64 start, pinned, unpinned;
	unsigned int i;

	if (copy_from_user(&arg, to, sizeof(arg)))
		return -EFAULT;
	if (!arg.len || !arg.rounds || arg.rounds > MAX_ROUNDS)
		return -EINVAL;

	extents = kcalloc(MAX_EXTENTS, sizeof(*extents), GFP_KERNEL);
	if (!extents)
		return -ENOMEM;

	arg.pin = U64_MAX;
	arg.unpin = U64_MAX;
	for (i = 0; i < arg.rounds; i++) {
		start = get_cycles();
		arg.extents = pin_user_p2p_extents(arg.addr, arg.len,
						   FOLL_WRITE, extents,
						   MAX_EXTENTS);
		pinned = get_cycles();
		if (arg.extents <= 0)
			break;
		unpin_user_p2p_extents(extents, arg.extents);
		unpinned = get_cycles();
		arg.pin = min(arg.pin, pinned - start);
		arg.unpin = min(arg.unpin, unpinned - pinned);
	}
	kfree(extents);
	return copy_to_user(to, &arg, sizeof(arg)) ? -EFAULT : 0;
}
#else
static int p2p_bench_extents(struct p2p_bench_extents __user *to)
{
	return -ENOTTY;
}
#endif

/* One more case for each call that only the kernel can time. */
static long p2p_bench_ioctl(struct file *file, unsigned int cmd,
			    unsigned long arg)
{
	void __user *user = (void __user *)arg;

	switch (cmd) {
	case P2P_BENCH_INFO:
		return p2p_bench_info(user);
	case P2P_BENCH_DMA:
		return p2p_bench_dma(user);
	case P2P_BENCH_EXTENTS:
		return p2p_bench_extents(user);
	case P2P_BENCH_ROUTES:
		return p2p_bench_routes(user);
	default:
		return -ENOTTY;
	}
}

static const struct file_operations p2p_bench_fops = {
	.open = nonseekable_open,
	.unlocked_ioctl = p2p_bench_ioctl,
};

static int __init p2p_bench_init(void)
{
	debugfs_create_file("p2p_bench", 0600, NULL, NULL, &p2p_bench_fops);
	return 0;
}
late_initcall(p2p_bench_init);
