// SPDX-License-Identifier: GPL-2.0
/*
 * The route from a device to peer-to-peer memory, for DMA mappings.
 *
 * "How does this client reach that provider?" is answered from the PCI topology,
 * by pci_p2pdma_path(), and remembered: in the page map for the clients that asked
 * last, where a DMA mapping finds it in a few instructions and without a lock, and
 * in an xarray of the provider for all others.
 *
 * An answer holds until the topology changes: until a device comes or goes, a
 * driver is bound or unbound, or somebody writes to ACS control registers. That
 * starts a new generation, and answers of another generation are not believed.
 * They are not looked for either, so that this costs nothing.
 *
 * What depends on the device's addressing is not remembered, because a driver may
 * set its DMA mask at any time.
 */

#define pr_fmt(fmt) "pci-p2pdma: " fmt
#include <linux/atomic.h>
#include <linux/dma-map-ops.h>
#include <linux/init.h>
#include <linux/memremap.h>
#include <linux/notifier.h>
#include <linux/p2pdma-map.h>
#include <linux/pci.h>
#include <linux/pci-p2pdma.h>
#include <linux/spinlock.h>
#include <linux/swiotlb.h>

#include "p2pdma.h"
#include "p2pmem.h"

static_assert(PCI_P2PDMA_MAP_THRU_HOST_BRIDGE <= P2PDMA_ROUTE_MASK);
static_assert(__alignof__(struct device) > P2PDMA_ROUTE_MASK);

/*
 * Which generation of routes this is. To be read before a route is looked for, and
 * to be compared with what it is when the route is used. 0 is that of empty slots.
 */
atomic_t pci_p2pdma_generation = ATOMIC_INIT(1);

static DEFINE_SPINLOCK(p2pdma_route_lock);	/* who fills slots */

/**
 * pci_p2pdma_routes_changed() - forget all routes
 *
 * Context: Any. Memory that is mapped stays mapped as it is.
 */
void pci_p2pdma_routes_changed(void)
{
	if (unlikely(!atomic_inc_return_release(&pci_p2pdma_generation)))
		atomic_inc(&pci_p2pdma_generation);
}

/**
 * pci_p2pdma_unfit() - is there a reason why a device can't take part at all?
 * @dev: a PCI device
 *
 * Context: Any.
 * Return: NULL, or the reason, in a word.
 */
const char *pci_p2pdma_unfit(struct device *dev)
{
	/* Its DMA is to be copied, which the CPU can't do with this memory. */
	if (!get_dma_ops(dev) && is_swiotlb_force_bounce(dev))
		return "bounce-buffer";
	/* The IOMMU is to see all its DMA. */
	if (to_pci_dev(dev)->untrusted)
		return "untrusted";
	return NULL;
}

/**
 * pci_p2pdma_find_route() - find a route that no slot holds, and make one hold it
 * @p2p: the page map of the memory
 * @dev: the device that will do DMA
 *
 * Context: Any.
 * Return: the route.
 */
enum pci_p2pdma_map_type
pci_p2pdma_find_route(struct pci_p2pdma_pagemap *p2p, struct device *dev)
{
	struct p2pdma_route_slot *slot = pci_p2pdma_slot(p2p, dev);
	enum pci_p2pdma_map_type type = PCI_P2PDMA_MAP_NOT_SUPPORTED;
	int generation = atomic_read_acquire(&pci_p2pdma_generation);
	unsigned long flags;

	if (dev_is_pci(dev) && !pci_p2pdma_unfit(dev))
		type = pci_p2pdma_map_type(p2p->provider, to_pci_dev(dev));

	spin_lock_irqsave(&p2pdma_route_lock, flags);
	/* Else what was found may be outdated, and nobody would notice. */
	if (generation == atomic_read(&pci_p2pdma_generation)) {
		WRITE_ONCE(slot->key, (unsigned long)dev + type);
		/* Pairs with the acquire in pci_p2pdma_route(). */
		smp_store_release(&slot->generation, generation);
	}
	spin_unlock_irqrestore(&p2pdma_route_lock, flags);
	return type;
}

/**
 * pci_p2pdma_refuse() - give up mapping a piece of peer-to-peer memory
 * @pgmap: the page map of the piece
 * @dev: the device that was to do DMA
 * @phys: physical address of the piece
 * @size: its length in bytes
 * @type: how @dev could have reached it
 *
 * Counts the refusal. If there is a route, but @dev can't address the memory, the
 * log tells; if there is none, it was told when that was found out.
 *
 * Context: Any.
 * Return: PCI_P2PDMA_MAP_NOT_SUPPORTED.
 */
enum pci_p2pdma_map_type
pci_p2pdma_refuse(struct dev_pagemap *pgmap, struct device *dev,
		  phys_addr_t phys, size_t size, enum pci_p2pdma_map_type type)
{
	struct pci_p2pdma_pagemap *p2p = to_p2p_pgmap(pgmap);
	bool bus = type == PCI_P2PDMA_MAP_BUS_ADDR;

	p2pmem_stats_refuse(p2p, dev, phys, size);
	if (type != PCI_P2PDMA_MAP_NOT_SUPPORTED)
		dev_notice_ratelimited(dev, "can't address peer-to-peer memory of %s at %s address %#llx: its DMA mask ends at %#llx\n",
				       pci_name(p2p->provider),
				       bus ? "bus" : "physical",
				       (u64)phys + (bus ? p2p->bus_offset : 0) +
				       size - 1, pci_p2pdma_limit(dev));
	return PCI_P2PDMA_MAP_NOT_SUPPORTED;
}

/**
 * pci_p2pdma_is_bus_addr() - is a DMA address one of another PCI device?
 * @dev: the device that it is an address for
 * @addr: a DMA address, from a DMA mapping of @dev
 *
 * A bus address lies in a window of the host bridge that both devices are under.
 * No other DMA address does: RAM can't be where the bridge forwards to devices, and
 * IOVAs are not allocated there, see iova_reserve_pci_windows(). Windows don't
 * change while there are devices under a host bridge.
 *
 * Context: Any.
 * Return: true if it is.
 */
bool pci_p2pdma_is_bus_addr(struct device *dev, dma_addr_t addr)
{
	struct resource_entry *window;
	struct pci_host_bridge *host;

	if (!dev_is_pci(dev))
		return false;

	host = pci_find_host_bridge(to_pci_dev(dev)->bus);
	resource_list_for_each_entry(window, &host->windows) {
		if (resource_type(window->res) == IORESOURCE_MEM &&
		    addr >= window->res->start - window->offset &&
		    addr <= window->res->end - window->offset)
			return true;
	}
	return false;
}

#ifdef CONFIG_VM_P2P
/**
 * pci_p2pdma_reaches() - can a device's DMA reach a page of peer-to-peer memory?
 * @client: the device, or a child of it
 * @page: a page of type MEMORY_DEVICE_PCI_P2PDMA
 *
 * The answer is the one that a DMA mapping of @page alone gets. The log tells why
 * two devices don't reach each other, once.
 *
 * Context: Any. The caller holds a reference to @page.
 * Return: true if there is a way between both; false if there is none, @client is
 *	   not a PCI device, or can't address the page.
 */
bool pci_p2pdma_reaches(struct device *client, const struct page *page)
{
	struct dev_pagemap *pgmap = page_pgmap(page);
	struct pci_p2pdma_map_state state;
	struct device *dev = client;
	phys_addr_t phys = page_to_phys(page);
	u64 last = phys + PAGE_SIZE - 1;

	/* A device holds its parents. */
	while (dev && !dev_is_pci(dev))
		dev = dev->parent;
	if (!dev)
		return false;

	if (likely(pci_p2pdma_bus_route(dev, pgmap) &&
		   pci_p2pdma_fits(dev, last + to_p2p_pgmap(pgmap)->bus_offset)))
		return true;

	pci_p2pdma_route(&state, dev, pgmap);
	switch (state.map) {
	case PCI_P2PDMA_MAP_BUS_ADDR:
		last += state.bus_off;
		break;
	case PCI_P2PDMA_MAP_THRU_HOST_BRIDGE:
		/* It gets an IOVA that it can address. */
		if (get_dma_ops(dev))
			return true;
		break;
	default:
		return false;
	}
	if (last <= pci_p2pdma_limit(dev))
		return true;
	pci_p2pdma_refuse(pgmap, dev, phys, PAGE_SIZE, state.map);
	return false;
}
EXPORT_SYMBOL_GPL(pci_p2pdma_reaches);
#endif

/**
 * pci_p2pdma_config_written() - notice that the configuration of a device changed
 * @pdev: the device
 * @pos: offset in its configuration space of what userspace has written
 * @size: how many bytes it has written
 *
 * ACS redirection decides whether a bridge forwards peer-to-peer requests itself.
 *
 * Context: Any.
 */
void pci_p2pdma_config_written(struct pci_dev *pdev, int pos, int size)
{
	int ctrl = pdev->acs_cap + PCI_ACS_CTRL;

	if (pdev->acs_cap && pos < ctrl + 2 && pos + size > ctrl)
		pci_p2pdma_routes_changed();
}

static int p2pdma_bus_event(struct notifier_block *nb, unsigned long action,
			    void *data)
{
	pci_p2pdma_routes_changed();
	return NOTIFY_DONE;
}

static struct notifier_block p2pdma_bus_nb = {
	.notifier_call = p2pdma_bus_event,
};

static int __init p2pdma_route_init(void)
{
	return bus_register_notifier(&pci_bus_type, &p2pdma_bus_nb);
}
postcore_initcall_sync(p2pdma_route_init);	/* after pci_driver_init() */
