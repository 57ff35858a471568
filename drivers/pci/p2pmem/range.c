// SPDX-License-Identifier: GPL-2.0
/*
 * Ranges of a BAR as peer-to-peer memory without struct pages: their life, and
 * their mappings for DMA.
 *
 * A range is a pseudo file, like a buffer with pages (buffer.c), and a
 * reference to the range is a reference to the file. The provider's driver has
 * one until it revokes the range, a client's driver has one for each DMA
 * mapping, and each mapping of a process has one (range-mmap.c). So they may be
 * dropped in any order.
 *
 * Routes are found as for memory with pages: the range has a struct
 * p2pdma_provider, as a page map has. Its pdev is valid while the range is live
 * or mapped for DMA.
 *
 *	range->lock	protects mappings, nr_mappings, provider.live, paused and lost.
 *			The invalidate_lock of the file, taken first, protects the last
 *			three as well, for faults.
 *	p2pdma_ranges_lock
 *			protects the list of all ranges; taken before both.
 */

#include <linux/align.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/export.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/jiffies.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/mutex.h>
#include <linux/p2p_hold.h>
#include <linux/pagemap.h>
#include <linux/pci.h>
#include <linux/pci-p2p-range.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/wait.h>

#include "../p2pdma-route.h"
#include "../p2pdma.h"
#include "bank.h"
#include "core.h"
#include "range.h"

/* When a revocation first logs what it waits for, and the interval after. */
#define P2P_RANGE_REPORT_FIRST	HZ
#define P2P_RANGE_REPORT	(10 * HZ)

static LIST_HEAD(p2pdma_ranges);
static DEFINE_MUTEX(p2pdma_ranges_lock);

static int p2pdma_range_release(struct inode *inode, struct file *file)
{
	kfree(file->private_data);
	return 0;
}

static const struct file_operations p2pdma_range_fops = {
	.release	= p2pdma_range_release,
};

static bool p2pdma_range_is_idle(const struct pci_p2p_range *range)
{
	/* Pairs with the release in p2pdma_range_forget(). */
	return !smp_load_acquire(&range->nr_mappings);
}

static void p2pdma_range_report(struct pci_p2p_range *range)
{
	struct pci_p2p_mapping *mapping;
	struct device *client = NULL;
	unsigned int nr;

	spin_lock_irq(&range->lock);
	nr = range->nr_mappings;
	mapping = list_first_entry_or_null(&range->mappings,
					   struct pci_p2p_mapping, node);
	if (mapping)
		client = get_device(mapping->client);
	spin_unlock_irq(&range->lock);
	if (nr)
		pci_warn(range->provider.pdev,
			 "BAR %d: waiting for %u DMA mappings of peer-to-peer memory, one of them of %s\n",
			 range->bar, nr, client ? dev_name(client) : "?");
	put_device(client);
}

/*
 * Waits until no DMA mapping is left. Returns false if the system goes down
 * before that: devices may then still use the range.
 */
static bool p2pdma_range_wait(struct pci_p2p_range *range)
{
	unsigned long report = jiffies + P2P_RANGE_REPORT_FIRST;

	while (!wait_event_idle_timeout(range->idle,
					p2pdma_range_is_idle(range), HZ)) {
		if (p2pmem_is_system_down())
			return false;
		if (time_before(jiffies, report))
			continue;
		p2pdma_range_report(range);
		report = jiffies + P2P_RANGE_REPORT;
	}
	return true;
}

static void p2pdma_range_end(void *data)
{
	struct pci_p2p_range *range = data;
	struct address_space *space = range->file->f_mapping;
	struct pci_p2p_mapping *mapping;

	p2pmem_range_unpublish(range);

	mutex_lock(&p2pdma_ranges_lock);
	list_del(&range->node);
	mutex_unlock(&p2pdma_ranges_lock);

	filemap_invalidate_lock(space);
	spin_lock_irq(&range->lock);
	p2pdma_provider_stop(&range->provider);
	WRITE_ONCE(range->paused, false);
	list_for_each_entry(mapping, &range->mappings, node)
		if (mapping->revoke)
			mapping->revoke(mapping);
	spin_unlock_irq(&range->lock);
	unmap_mapping_range(space, 0, 0, true);
	filemap_invalidate_unlock(space);
	wake_up_all(&range->resumed);

	p2p_holds_stop(&range->holds, P2P_HOLDS_GONE);
	/* If the wait fails, the range stays for clients that unmap later. */
	if (!p2pdma_range_wait(range))
		return;
	if (range->write_combine)
		arch_io_free_memtype_wc(range->phys, range->len);
	fput(range->file);
}

static void p2pdma_range_set(struct pci_p2p_range *range, bool paused, bool lost)
{
	struct address_space *space = range->file->f_mapping;

	filemap_invalidate_lock(space);
	spin_lock_irq(&range->lock);
	WRITE_ONCE(range->paused, paused);
	range->lost = lost;
	spin_unlock_irq(&range->lock);
	if (paused || lost)
		unmap_mapping_range(space, 0, 0, true);
	filemap_invalidate_unlock(space);
	if (!paused)
		wake_up_all(&range->resumed);
}

/* Returns a range with another status of its holds, and takes a reference. */
static struct pci_p2p_range *p2pdma_range_other(struct pci_dev *pdev,
						enum p2p_holds_status status)
{
	struct pci_p2p_range *range, *found = NULL;

	mutex_lock(&p2pdma_ranges_lock);
	list_for_each_entry(range, &p2pdma_ranges, node) {
		if (range->provider.pdev == pdev && range->holds.status != status) {
			found = range;
			get_file(range->file);
			break;
		}
	}
	mutex_unlock(&p2pdma_ranges_lock);
	return found;
}

static void p2pdma_ranges_set(struct pci_dev *pdev, bool paused, bool lost)
{
	enum p2p_holds_status status = paused ? P2P_HOLDS_PAUSED :
				       lost ? P2P_HOLDS_LOST : P2P_HOLDS_LIVE;
	struct pci_p2p_range *range;

	mutex_lock(&p2pdma_ranges_lock);
	list_for_each_entry(range, &p2pdma_ranges, node)
		if (range->provider.pdev == pdev)
			p2pdma_range_set(range, paused, lost);
	mutex_unlock(&p2pdma_ranges_lock);

	/* Without the lock, because holders are called. */
	while ((range = p2pdma_range_other(pdev, status))) {
		if (status == P2P_HOLDS_LIVE)
			p2p_holds_go_live(&range->holds);
		else
			p2p_holds_stop(&range->holds, status);
		pci_p2p_range_put(range);
	}
}

/**
 * p2pdma_ranges_freeze() - part of pci_p2pmem_freeze(), for memory without pages
 * @pdev: the provider; nothing happens if it has no ranges
 *
 * Programs that touch a range wait, and it can't be mapped for DMA. Existing
 * DMA mappings stay, and keep their addresses.
 *
 * Context: Process context.
 */
void p2pdma_ranges_freeze(struct pci_dev *pdev)
{
	p2pdma_ranges_set(pdev, true, false);
}

/**
 * p2pdma_ranges_give_up() - part of pci_p2pmem_give_up()
 * @pdev: the provider
 *
 * Context: Process context.
 */
void p2pdma_ranges_give_up(struct pci_dev *pdev)
{
	p2pdma_ranges_set(pdev, false, true);
}

/**
 * p2pdma_ranges_resume() - part of pci_p2pmem_resume()
 * @pdev: the provider
 *
 * Context: Process context.
 */
void p2pdma_ranges_resume(struct pci_dev *pdev)
{
	p2pdma_ranges_set(pdev, false, false);
}

/* A mapping with a revoke() may be long-lived, so it is not waited for. */
static bool p2pdma_range_is_in_transfer(struct pci_p2p_range *range)
{
	struct pci_p2p_mapping *mapping;
	unsigned int nr;

	spin_lock_irq(&range->lock);
	nr = range->nr_mappings;
	list_for_each_entry(mapping, &range->mappings, node)
		if (mapping->revoke)
			nr--;
	spin_unlock_irq(&range->lock);
	return nr;
}

/**
 * p2pdma_ranges_are_in_transfer() - check for mappings and uses that end soon
 * @pdev: the provider
 *
 * Context: Process context.
 * Return: true if a range has DMA mappings without revoke(), or its holds are
 *	   busy.
 */
bool p2pdma_ranges_are_in_transfer(struct pci_dev *pdev)
{
	struct pci_p2p_range *range;
	bool found = false;

	mutex_lock(&p2pdma_ranges_lock);
	list_for_each_entry(range, &p2pdma_ranges, node)
		if (range->provider.pdev == pdev)
			found = found || p2pdma_range_is_in_transfer(range) ||
				p2p_holds_are_busy(&range->holds);
	mutex_unlock(&p2pdma_ranges_lock);
	return found;
}

/* dma_map_resource() and page tables treat memory with pages differently. */
static bool p2pdma_range_has_pages(phys_addr_t phys, u64 len)
{
	phys_addr_t at = phys;

	for (; at < phys + len; at = ALIGN_DOWN(at, SUBSECTION_SIZE) +
				     SUBSECTION_SIZE)
		if (pfn_valid(PHYS_PFN(at)))
			return true;
	return false;
}

static int p2pdma_range_check(struct pci_dev *pdev, int bar, u64 offset, u64 len)
{
	u64 bar_len;

	if (bar < 0 || bar >= PCI_STD_NUM_BARS)
		return -EINVAL;
	if (!(pci_resource_flags(pdev, bar) & IORESOURCE_MEM) ||
	    pci_resource_flags(pdev, bar) & IORESOURCE_UNSET)
		return -EINVAL;

	bar_len = pci_resource_len(pdev, bar);
	if (!len || offset > bar_len || len > bar_len - offset)
		return -EINVAL;
	/* Page tables can map whole pages only. */
	if (!PAGE_ALIGNED(pci_resource_start(pdev, bar) + offset) ||
	    !PAGE_ALIGNED(len))
		return -EINVAL;
	return 0;
}

/**
 * pci_p2p_range_create() - make a part of a BAR peer-to-peer memory without pages
 * @pdev: the provider
 * @bar: number of a memory BAR
 * @offset: offset of the memory in the BAR, in bytes
 * @len: length of the memory, in bytes
 *
 * The range lasts until pci_p2p_range_revoke(), or until the driver of @pdev is
 * unbound, after its remove(). A driver that stops the device in remove() must
 * revoke the range first. The files in p2pmem/ of @pdev show which devices
 * reach the range, by which route, and how much was mapped.
 *
 * Memory of a prefetchable BAR is mapped write-combining, unless the kernel has
 * mapped it with another memory type already.
 *
 * Context: Process context, from the driver's probe(), or with its device locked.
 * Return: the range, or an ERR_PTR(): -EINVAL if @bar is no memory BAR with an
 *	   address, or the memory exceeds it or does not consist of whole pages;
 *	   -EBUSY if the memory has struct pages, see pci_p2pdma_add_resource();
 *	   -ENOMEM; -ENFILE.
 */
struct pci_p2p_range *pci_p2p_range_create(struct pci_dev *pdev, int bar,
					   u64 offset, u64 len)
{
	struct pci_p2p_range *range;
	int error;

	error = p2pdma_range_check(pdev, bar, offset, len);
	if (error)
		return ERR_PTR(error);

	range = kzalloc(sizeof(*range), GFP_KERNEL);
	if (!range)
		return ERR_PTR(-ENOMEM);
	range->phys = pci_resource_start(pdev, bar) + offset;
	range->len = len;
	range->bar = bar;
	spin_lock_init(&range->lock);
	INIT_LIST_HEAD(&range->mappings);
	init_waitqueue_head(&range->idle);
	init_waitqueue_head(&range->resumed);

	error = -EBUSY;
	if (p2pmem_bank_is_in_the_way(pdev, range->phys, len) ||
	    p2pdma_range_has_pages(range->phys, len))
		goto err_free;

	error = pci_p2pdma_add_pageless(pdev, &range->provider, bar, offset);
	if (error)
		goto err_free;

	range->file = p2pmem_pseudo_file(pdev, &p2pdma_range_fops, range);
	if (IS_ERR(range->file)) {
		error = PTR_ERR(range->file);
		goto err_free;
	}
	/* From here on fput() frees the range. */
	range->write_combine =
		pci_resource_flags(pdev, bar) & IORESOURCE_PREFETCH &&
		!arch_io_reserve_memtype_wc(range->phys, len);
	p2p_holds_init(&range->holds, range->file->f_mapping, &pdev->dev);
	p2p_holds_go_live(&range->holds);
	mutex_lock(&p2pdma_ranges_lock);
	list_add(&range->node, &p2pdma_ranges);
	mutex_unlock(&p2pdma_ranges_lock);

	error = devm_add_action_or_reset(&pdev->dev, p2pdma_range_end, range);
	return error ? ERR_PTR(error) : range;

err_free:
	kfree(range);
	return ERR_PTR(error);
}
EXPORT_SYMBOL_GPL(pci_p2p_range_create);

/**
 * pci_p2p_range_publish() - let root map a range by the file p2pmem/range
 * @range: a live range of the caller
 *
 * For a driver that does not divide the range among users. A device can publish
 * one range. The file can't be mapped any more once @range is being revoked.
 *
 * Context: Process context, from the driver's probe().
 * Return: 0; -EBUSY if another range of the device is published; -ENOMEM.
 */
int pci_p2p_range_publish(struct pci_p2p_range *range)
{
	return p2pmem_range_publish(range);
}
EXPORT_SYMBOL_GPL(pci_p2p_range_publish);

/**
 * pci_p2p_range_revoke() - take a range back
 * @range: a range of a driver that is still bound
 *
 * When this returns, accesses of processes to the memory raise SIGBUS, and no
 * client has it mapped for DMA, or can map it again. The caller must not use
 * @range any more.
 *
 * Context: Process context, with the device of @range locked. Waits for clients
 *	    to unmap, and logs which one it waits for: after a second, then
 *	    every ten.
 */
void pci_p2p_range_revoke(struct pci_p2p_range *range)
{
	devm_release_action(&range->provider.pdev->dev, p2pdma_range_end,
			    range);
}
EXPORT_SYMBOL_GPL(pci_p2p_range_revoke);

/**
 * pci_p2p_range_put() - drop a reference to a range
 * @range: from pci_p2p_range_of_user()
 *
 * Context: Any but NMI.
 */
void pci_p2p_range_put(struct pci_p2p_range *range)
{
	fput(range->file);
}
EXPORT_SYMBOL_GPL(pci_p2p_range_put);

/**
 * pci_p2p_range_of_hold() - find the range that is held
 * @hold: a hold on peer-to-peer memory
 * @offset: where to store the offset of the memory in the range, in bytes
 *
 * Context: Any. @hold is not revoked, or its revoke() has not returned.
 * Return: the range, which @hold keeps, for pci_p2p_range_map(); NULL if the memory has
 *	   struct pages.
 */
struct pci_p2p_range *pci_p2p_range_of_hold(const struct p2p_hold *hold, u64 *offset)
{
	struct pci_p2p_range *range;

	if (hold->file->f_op != &p2pdma_range_fops || !hold->nr_extents)
		return NULL;
	range = hold->file->private_data;
	*offset = hold->extents->offset - range->phys;
	return range;
}
EXPORT_SYMBOL_GPL(pci_p2p_range_of_hold);

static int p2pdma_range_map(struct pci_p2p_range *range, phys_addr_t phys,
			    struct pci_p2p_mapping *mapping)
{
	struct p2pdma_provider *provider = &range->provider;
	struct device *client = mapping->client;
	struct pci_p2pdma_map_state state = {};
	enum pci_p2pdma_map_type type;

	type = pci_p2pdma_map_phys(&state, client, provider, phys, mapping->len,
				   &mapping->addr);
	mapping->is_bus_addr = type == PCI_P2PDMA_MAP_BUS_ADDR;
	if (mapping->is_bus_addr)
		return 0;
	if (type != PCI_P2PDMA_MAP_THRU_HOST_BRIDGE)
		return -EREMOTEIO;

	/* With an IOMMU the client gets an address that it can use. */
	if (!get_dma_ops(client) &&
	    phys + mapping->len - 1 > pci_p2pdma_limit(client)) {
		pci_p2pdma_refuse(provider, client, phys, mapping->len, type);
		return -EREMOTEIO;
	}
	mapping->addr = dma_map_resource(client, phys, mapping->len,
					 mapping->dir, 0);
	if (dma_mapping_error(client, mapping->addr))
		return -ENOMEM;
	pci_p2pdma_count(&state, client, phys, mapping->len);
	return 0;
}

static void p2pdma_range_unmap(struct pci_p2p_mapping *mapping)
{
	if (!mapping->is_bus_addr)
		dma_unmap_resource(mapping->client, mapping->addr, mapping->len,
				   mapping->dir, 0);
}

/* @listed: whether pci_p2p_range_map() has added the mapping to the list */
static void p2pdma_range_forget(struct pci_p2p_mapping *mapping, bool listed)
{
	struct pci_p2p_range *range = mapping->range;
	unsigned long flags;

	spin_lock_irqsave(&range->lock, flags);
	if (listed)
		list_del(&mapping->node);
	/* Pairs with the acquire in p2pdma_range_is_idle(). */
	smp_store_release(&range->nr_mappings, range->nr_mappings - 1);
	if (!range->nr_mappings)
		wake_up(&range->idle);
	spin_unlock_irqrestore(&range->lock, flags);
	fput(range->file);
}

/**
 * pci_p2p_range_map() - map a part of a range for DMA
 * @range: the range
 * @client: the device that will do DMA, a PCI function
 * @offset: offset in the range, in bytes
 * @len: length, in bytes, at least 1
 * @dir: the direction, as for dma_map_resource()
 * @mapping: to be filled in; the caller has set its revoke(), maybe to NULL.
 *	     Must not be moved until pci_p2p_range_unmap().
 *
 * The mapping takes the same route as a DMA mapping of the provider's memory
 * with pages, and is refused for the same reasons, which are found in
 * p2pmem/routes of the provider and in the log. The memory is contiguous for
 * @client, too, and needs no dma_sync_*(). The mapping keeps the memory, but
 * not @client, from going away.
 *
 * The mapping survives a reset of the provider, which waits for mappings
 * without revoke(), ten seconds at most. Until the reset is over, @client reads
 * undefined data, and its writes are lost.
 *
 * Context: Any but NMI.
 * Return: 0; -EREMOTEIO if @client can't reach the memory; -ENODEV if @range
 *	   was revoked, or the provider has failed; -EAGAIN while the provider
 *	   is being reset; -EINVAL if the part is not in @range; -ENOMEM if
 *	   there is no room in the address space of the IOMMU.
 */
int pci_p2p_range_map(struct pci_p2p_range *range, struct device *client,
		      u64 offset, size_t len, enum dma_data_direction dir,
		      struct pci_p2p_mapping *mapping)
{
	unsigned long flags;
	bool listed = false;
	int error;

	if (!len || offset > range->len || len > range->len - offset)
		return -EINVAL;

	mapping->range = range;
	mapping->client = client;
	mapping->len = len;
	mapping->dir = dir;

	/* While it is counted, revocation waits, and the provider stays. */
	spin_lock_irqsave(&range->lock, flags);
	error = !range->provider.live || range->lost ? -ENODEV :
		range->paused ? -EAGAIN : 0;
	if (error) {
		spin_unlock_irqrestore(&range->lock, flags);
		return error;
	}
	range->nr_mappings++;
	get_file(range->file);
	spin_unlock_irqrestore(&range->lock, flags);

	error = p2pdma_range_map(range, range->phys + offset, mapping);
	if (error) {
		/* The range may have been revoked meanwhile. */
		if (!READ_ONCE(range->provider.live))
			error = -ENODEV;
		goto err_forget;
	}

	spin_lock_irqsave(&range->lock, flags);
	listed = range->provider.live;
	if (listed)
		list_add_tail(&mapping->node, &range->mappings);
	spin_unlock_irqrestore(&range->lock, flags);
	if (listed)
		return 0;

	/* revoke() was not called for a mapping that is not in the list. */
	p2pdma_range_unmap(mapping);
	error = -ENODEV;
err_forget:
	p2pdma_range_forget(mapping, false);
	return error;
}
EXPORT_SYMBOL_GPL(pci_p2p_range_map);

/**
 * pci_p2p_range_unmap() - undo pci_p2p_range_map()
 * @mapping: the mapping; the client's DMA to it is over
 *
 * Context: Any but NMI, and not from the revoke() of a mapping.
 */
void pci_p2p_range_unmap(struct pci_p2p_mapping *mapping)
{
	p2pdma_range_unmap(mapping);
	p2pdma_range_forget(mapping, true);
}
EXPORT_SYMBOL_GPL(pci_p2p_range_unmap);
