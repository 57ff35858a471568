// SPDX-License-Identifier: GPL-2.0
/*
 * The route from a device to peer-to-peer memory, for DMA mappings.
 *
 * p2pdma_route() finds the route between two devices from the PCI topology. The
 * answers are cached: in struct p2pdma_provider for the clients that asked last, where
 * a DMA mapping finds them in a few instructions and without a lock, and in an xarray of
 * the provider's device for all others.
 *
 * An answer is valid until the topology changes: until a device is added or
 * removed, a driver is bound or unbound, or ACS control registers are written.
 * A change starts a new generation of routes, and answers of older generations
 * are ignored. They stay where they are, so a change costs nothing. An answer
 * found while a bridge can't be read, as during a reset, is not cached at all.
 *
 * Whether a device can address the memory is not cached, because a driver may
 * set its DMA mask at any time.
 */

#define pr_fmt(fmt) "pci-p2pdma: " fmt
#include <linux/atomic.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/init.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/memremap.h>
#include <linux/moduleparam.h>
#include <linux/notifier.h>
#include <linux/p2p_ratelimit.h>
#include <linux/p2pdma-map.h>
#include <linux/pci.h>
#include <linux/pci-p2pdma.h>
#include <linux/string.h>
#include <linux/swiotlb.h>

#include "p2pdma.h"
#include "p2pdma-route.h"
#include "p2pdma-stats.h"

static_assert(PCI_P2PDMA_MAP_THRU_HOST_BRIDGE <= P2PDMA_ROUTE_MASK);
static_assert(__alignof__(struct device) > P2PDMA_ROUTE_MASK);

/*
 * The current generation of routes. It is read before a route is looked up, and must be
 * the same when the route is used. Empty slots have generation 0; no generation has an
 * odd number.
 */
atomic_t pci_p2pdma_generation = ATOMIC_INIT(2);

#define SLOT_IS_FILLED_NOW	1	/* instead of a generation */

/* There is no cache to sync, and pci_p2pdma_map_page() counts the mapping. */
#define P2PDMA_MAP_PAGE_ATTRS	(DMA_ATTR_SKIP_CPU_SYNC | DMA_ATTR_P2P_COUNTED)

/**
 * pci_p2pdma_routes_changed() - forget all routes
 *
 * Description: Called by the code that changes the topology, after the change.
 *
 * Context: Any. Existing mappings stay as they are.
 */
void pci_p2pdma_routes_changed(void)
{
	if (unlikely(!atomic_add_return_release(2, &pci_p2pdma_generation)))
		atomic_add(2, &pci_p2pdma_generation);
}

/**
 * p2pdma_barred() - find what bars a device from peer-to-peer memory
 * @dev: a PCI device
 *
 * Context: Any.
 * Return: the reason, in a word; NULL if there is none.
 */
const char *p2pdma_barred(struct device *dev)
{
	/* Its DMA is bounced, and the CPU can't copy from and to this memory. */
	if (!get_dma_ops(dev) && is_swiotlb_force_bounce(dev))
		return "bounce-buffer";
	/* Some implementations of the DMA API don't support this memory. */
	if (!dma_pci_p2pdma_supported(dev))
		return "dma-ops";
	/* All DMA of an untrusted device has to pass the IOMMU. */
	if (to_pci_dev(dev)->untrusted)
		return "untrusted";
	return NULL;
}

/*
 * There is no wait for a slot: a route that gets no slot is still in the
 * xarray. A slot that several clients share changes hands at most once per
 * tick, so that the clients that miss it do not write to a cache line that
 * others read.
 *
 * Readers look at the generation first, then at the key, and so may see the new key with
 * the old generation. That is harmless: a slot is filled only if its generation is
 * outdated, or is the one that the new key belongs to as well.
 */
static void p2pdma_fill_slot(struct p2pdma_route_slot *slot, unsigned long key,
			     unsigned int generation)
{
	/* Must be read before pci_p2pdma_generation below. */
	unsigned int old = smp_load_acquire(&slot->generation);
	unsigned int now = jiffies;

	if (old == generation && READ_ONCE(slot->filled) == now)
		return;
	/* A reader could see an outdated key with the current generation. */
	if (generation != atomic_read(&pci_p2pdma_generation))
		return;
	if (old == SLOT_IS_FILLED_NOW ||
	    cmpxchg(&slot->generation, old, SLOT_IS_FILLED_NOW) != old)
		return;
	WRITE_ONCE(slot->key, key);
	WRITE_ONCE(slot->filled, now);
	/* Pairs with the acquire in pci_p2pdma_route(). */
	smp_store_release(&slot->generation, generation);
}

/**
 * p2pdma_provider_start() - let memory be mapped for DMA
 * @provider: either stopped before, or all zero except for @mapped if the
 *	      memory has pages
 * @pdev: the PCI function that the memory belongs to
 * @bar: number of the BAR that contains the memory
 * @stats: the counters of @pdev; NULL without CONFIG_PCI_P2PMEM
 *
 * Context: Any.
 */
void p2pdma_provider_start(struct p2pdma_provider *provider,
			   struct pci_dev *pdev, int bar,
			   struct p2pmem_stats __percpu *stats)
{
	provider->pdev = pdev;
	provider->bus_offset = pci_bus_address(pdev, bar) -
			       pci_resource_start(pdev, bar);
	provider->stats = stats;
	p2pdma_provider_restart(provider);
}

/**
 * p2pdma_provider_restart() - let memory be mapped for DMA again
 * @provider: the provider, after p2pdma_provider_stop(); the memory is the same
 *
 * Context: Any.
 */
void p2pdma_provider_restart(struct p2pdma_provider *provider)
{
	WRITE_ONCE(provider->live, true);
	/* Forget the refusals that were cached while @provider was stopped. */
	pci_p2pdma_routes_changed();
}

/**
 * p2pdma_provider_stop() - refuse further DMA mappings
 * @provider: the provider, which was started
 *
 * When this returns, mappings are refused, as if there were no route. Existing
 * mappings are left alone; p2pdma_provider_is_mapped() looks for those of
 * memory with pages.
 *
 * Context: Process context, may sleep, if the memory has pages; else any.
 */
void p2pdma_provider_stop(struct p2pdma_provider *provider)
{
	WRITE_ONCE(provider->live, false);
	/* A reader of the new generation sees !live, and no slot is valid. */
	pci_p2pdma_routes_changed();
	/* Pairs with pci_p2pdma_begin_mapping(). */
	if (provider->mapped)
		synchronize_rcu();
}

#ifdef CONFIG_PCI_P2PMEM
/* Number of current mappings made by dma_map_page(), of all providers. */
atomic_t pci_p2pdma_nr_pages = ATOMIC_INIT(0);
EXPORT_SYMBOL_GPL(pci_p2pdma_nr_pages);

/**
 * p2pdma_provider_is_mapped() - check whether DMA mappings are under way
 * @provider: the provider, after p2pdma_provider_stop()
 *
 * A mapping may begin on one CPU and end on another. But none begins any more,
 * and all beginnings are visible before the first read. So the sum never counts
 * an end without its beginning: it is never too low, and exact in the end.
 *
 * Context: Any.
 * Return: false if no device has any of the memory mapped.
 */
bool p2pdma_provider_is_mapped(const struct p2pdma_provider *provider)
{
	long sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(*per_cpu_ptr(provider->mapped, cpu));
	/* Makes visible what was done before the last mapping ended. */
	smp_rmb();
	return sum;
}

/**
 * pci_p2pdma_begin_page() - begin a mapping by dma_map_page()
 * @state: all zero; where to store the route
 * @dev: the device that will do DMA
 * @page: the page
 * @attrs: the attributes of dma_map_page()
 *
 * Context: Any. The caller holds a reference to @page.
 * Return: true if the route is through the host bridge; only then the mapping
 *	   has begun, and pci_p2pdma_end_page() ends it.
 */
bool pci_p2pdma_begin_page(struct pci_p2pdma_map_state *state,
			   struct device *dev, const struct page *page,
			   unsigned long attrs)
{
	struct p2pdma_provider *provider;
	bool begin;

	rcu_read_lock();
	provider = page_p2pdma_provider(page);
	pci_p2pdma_route(state, dev, provider);
	begin = state->map == PCI_P2PDMA_MAP_THRU_HOST_BRIDGE;
	if (begin && !(attrs & DMA_ATTR_P2P_COUNTED)) {
		pci_p2pdma_begin_mapping(provider);
		atomic_inc(&pci_p2pdma_nr_pages);
	}
	rcu_read_unlock();
	return begin;
}

/**
 * pci_p2pdma_end_page() - end a mapping by dma_map_page()
 * @provider: the provider
 * @attrs: the attributes of dma_map_page()
 *
 * Context: Any. The caller holds a reference to a page of @provider.
 */
void pci_p2pdma_end_page(struct p2pdma_provider *provider, unsigned long attrs)
{
	if (attrs & DMA_ATTR_P2P_COUNTED)
		return;
	atomic_dec(&pci_p2pdma_nr_pages);
	pci_p2pdma_end_mapping(provider);
}

/**
 * pci_p2pdma_end_phys() - end a mapping by dma_map_page() of any memory
 * @phys: the physical address that was mapped
 *
 * Context: Any. The caller holds a reference to the page.
 */
void pci_p2pdma_end_phys(phys_addr_t phys)
{
	unsigned long pfn = PHYS_PFN(phys);

	if (pfn_valid(pfn) && is_pci_p2pdma_page(pfn_to_page(pfn)))
		pci_p2pdma_end_page(page_p2pdma_provider(pfn_to_page(pfn)), 0);
}
#endif /* CONFIG_PCI_P2PMEM */

/**
 * pci_p2pdma_route_slow() - find a route that is in no slot, and fill a slot with it
 * @provider: the provider of the memory
 * @dev: the device that will do DMA
 *
 * Context: Any.
 * Return: the route; PCI_P2PDMA_MAP_NOT_SUPPORTED if there is none, or @provider was
 *	   stopped.
 */
enum pci_p2pdma_map_type
pci_p2pdma_route_slow(struct p2pdma_provider *provider, struct device *dev)
{
	unsigned int generation = atomic_read_acquire(&pci_p2pdma_generation);
	enum pci_p2pdma_map_type type = PCI_P2PDMA_MAP_NOT_SUPPORTED;
	bool known = true;

	/* provider->pdev may change while not live, see p2pmem/adopt.c. */
	rcu_read_lock();
	if (READ_ONCE(provider->live) && dev_is_pci(dev) && !p2pdma_barred(dev))
		type = p2pdma_route(provider->pdev, to_pci_dev(dev), &known);
	rcu_read_unlock();
	if (known)
		p2pdma_fill_slot(pci_p2pdma_slot(provider, dev),
				 (unsigned long)dev + type, generation);
	return type;
}

/**
 * pci_p2pdma_refuse() - give up mapping a piece of peer-to-peer memory
 * @provider: the provider of the piece
 * @dev: the device that was to do DMA
 * @phys: physical address of the piece
 * @size: its length in bytes
 * @type: how @dev could have reached it
 *
 * Counts the refusal. Logs it if there is a route but @dev can't address the
 * memory; the lack of a route was logged when the route was looked for.
 *
 * Context: Any.
 */
void pci_p2pdma_refuse(struct p2pdma_provider *provider, struct device *dev,
		       phys_addr_t phys, size_t size,
		       enum pci_p2pdma_map_type type)
{
	bool bus = type == PCI_P2PDMA_MAP_BUS_ADDR;

	/* provider->pdev may change, as above. */
	rcu_read_lock();
	p2pmem_stats_refuse(provider, dev, phys, size);
	if (type != PCI_P2PDMA_MAP_NOT_SUPPORTED)
		dev_p2p_notice(dev, "can't address peer-to-peer memory of %s at %s address %#llx: its DMA mask ends at %#llx\n",
			       pci_name(provider->pdev),
			       bus ? "bus" : "physical",
			       (u64)phys + (bus ? provider->bus_offset : 0) +
			       size - 1, pci_p2pdma_limit(dev));
	rcu_read_unlock();
}

/**
 * pci_p2pdma_map_page() - map a piece of peer-to-peer memory for DMA
 * @dev: the device that will do DMA
 * @page: a page of type MEMORY_DEVICE_PCI_P2PDMA
 * @offset: where the piece begins, in bytes from the beginning of @page
 * @size: its length in bytes, at least 1; all of it lies in one folio
 * @dir: the direction
 * @addr: where to store the address for @dev
 * @is_bus_addr: where to store whether that is a bus address
 *
 * The counterpart of dma_map_page() for callers that keep @addr and
 * @is_bus_addr for pci_p2pdma_unmap_page(). The mapping needs no dma_sync_*().
 * dma_map_page() itself never returns a bus address, so it refuses memory that
 * is reached by one.
 *
 * Context: Any. The caller holds a reference to @page, or mirrors page tables that map
 *	    it, and holds the lock that its MMU notifier takes.
 * Return: 0; -EREMOTEIO if @dev can't reach the memory, and a retry will not
 *	   succeed; -ENOMEM if there is no room in the IOMMU or no memory for
 *	   its tables, and a retry may succeed.
 */
int pci_p2pdma_map_page(struct device *dev, struct page *page, size_t offset,
			size_t size, enum dma_data_direction dir,
			dma_addr_t *addr, bool *is_bus_addr)
{
	unsigned int generation = atomic_read_acquire(&pci_p2pdma_generation);
	phys_addr_t phys = page_to_phys(page) + offset;
	struct pci_p2pdma_map_state state = {};
	struct p2pdma_provider *provider;
	bool begun;

	/* Pairs with p2pdma_provider_stop(). */
	rcu_read_lock();
	provider = page_p2pdma_provider(page);
	pci_p2pdma_route(&state, dev, provider);
	begun = state.map != PCI_P2PDMA_MAP_NOT_SUPPORTED;
	if (begun)
		pci_p2pdma_begin_mapping(provider);
	rcu_read_unlock();

	switch (pci_p2pdma_map_phys(&state, dev, provider, phys, size, addr)) {
	case PCI_P2PDMA_MAP_BUS_ADDR:
		*is_bus_addr = true;
		return 0;
	case PCI_P2PDMA_MAP_THRU_HOST_BRIDGE:
		break;
	default:
		if (begun)
			pci_p2pdma_end_mapping(provider);
		return -EREMOTEIO;
	}

	*is_bus_addr = false;
	*addr = dma_map_page_attrs(dev, page, offset, size, dir,
				   P2PDMA_MAP_PAGE_ATTRS);
	if (!dma_mapping_error(dev, *addr))
		return 0;
	pci_p2pdma_end_mapping(provider);
	/*
	 * Either the IOMMU has no room at the moment, or dma_map_page_attrs()
	 * found another route, and the next attempt may find the first one.
	 */
	if (get_dma_ops(dev) ||
	    generation != atomic_read(&pci_p2pdma_generation))
		return -ENOMEM;
	return -EREMOTEIO;
}
EXPORT_SYMBOL_GPL(pci_p2pdma_map_page);

/**
 * pci_p2pdma_unmap_page() - undo pci_p2pdma_map_page()
 * @dev: the device, whose DMA to the piece is over
 * @page: the page
 * @addr: the address that was stored
 * @size: the length in bytes
 * @dir: the direction
 * @is_bus_addr: the value that was stored
 *
 * Context: Any. The caller still holds the reference to @page.
 */
void pci_p2pdma_unmap_page(struct device *dev, struct page *page,
			   dma_addr_t addr, size_t size,
			   enum dma_data_direction dir, bool is_bus_addr)
{
	if (!is_bus_addr)
		dma_unmap_page_attrs(dev, addr, size, dir,
				     P2PDMA_MAP_PAGE_ATTRS);
	pci_p2pdma_end_mapping(page_p2pdma_provider(page));
}
EXPORT_SYMBOL_GPL(pci_p2pdma_unmap_page);

#ifdef CONFIG_VM_P2P
/**
 * pci_p2pdma_find_route() - find the route from a device to a piece of memory
 * @client: the device, or a child of it
 * @page: a page of type MEMORY_DEVICE_PCI_P2PDMA
 * @offset: where the piece begins, in bytes from the beginning of @page
 * @len: its length in bytes, at least 1; all of it lies in one folio
 *
 * A DMA mapping of the piece gets the same answer. A DMA mask may end inside a
 * BAR, so the last byte of the piece decides. The reason for a refusal is
 * logged once.
 *
 * Context: Any. The caller holds a reference to @page, or the lock of a page table that
 *	    maps it.
 * Return: PCI_P2PDMA_MAP_BUS_ADDR or PCI_P2PDMA_MAP_THRU_HOST_BRIDGE;
 *	   PCI_P2PDMA_MAP_NOT_SUPPORTED if there is no route, or @client is not a PCI
 *	   device, or can't address all of the piece.
 */
enum pci_p2pdma_map_type pci_p2pdma_find_route(struct device *client,
					       const struct page *page,
					       size_t offset, size_t len)
{
	struct p2pdma_provider *provider = page_p2pdma_provider(page);
	phys_addr_t phys = page_to_phys(page) + offset;
	struct pci_p2pdma_map_state state;
	struct device *dev = client;
	u64 last = phys + len - 1;

	/* A device holds its parents. */
	while (dev && !dev_is_pci(dev))
		dev = dev->parent;
	if (!dev)
		return PCI_P2PDMA_MAP_NOT_SUPPORTED;

	pci_p2pdma_route(&state, dev, provider);
	switch (state.map) {
	case PCI_P2PDMA_MAP_BUS_ADDR:
		last += state.bus_off;
		break;
	case PCI_P2PDMA_MAP_THRU_HOST_BRIDGE:
		/* The DMA API picks an IOVA that the device can address. */
		if (get_dma_ops(dev))
			return state.map;
		break;
	default:
		return PCI_P2PDMA_MAP_NOT_SUPPORTED;
	}
	if (last <= pci_p2pdma_limit(dev))
		return state.map;
	pci_p2pdma_refuse(provider, dev, phys, len, state.map);
	return PCI_P2PDMA_MAP_NOT_SUPPORTED;
}

/**
 * pci_p2pdma_reaches() - check whether a device has a route to a piece of memory
 * @client: as for pci_p2pdma_find_route()
 * @page: as for pci_p2pdma_find_route()
 * @offset: as for pci_p2pdma_find_route()
 * @len: as for pci_p2pdma_find_route()
 *
 * Context: as pci_p2pdma_find_route().
 * Return: true if there is a route.
 */
bool pci_p2pdma_reaches(struct device *client, const struct page *page,
			size_t offset, size_t len)
{
	return pci_p2pdma_find_route(client, page, offset, len) !=
	       PCI_P2PDMA_MAP_NOT_SUPPORTED;
}
EXPORT_SYMBOL_GPL(pci_p2pdma_reaches);
#endif

/*
 * Host bridges that the administrator trusts to forward peer-to-peer requests.
 *
 * PCI does not require a host bridge to forward requests from one root port to
 * another, and there is no way to find out whether it does: requests that it
 * does not forward are lost, or go elsewhere. So p2pdma.c has a list of bridges
 * known to forward them. An administrator who knows better can add others, at a
 * risk: the parameter taints the kernel.
 */
struct p2pdma_bridge {
	u16 vendor;
	u16 device;
};

static struct p2pdma_bridge allowed[16];
static int nr_allowed;

static int host_bridges_set(const char *val, const struct kernel_param *kp)
{
	struct p2pdma_bridge list[ARRAY_SIZE(allowed)];
	unsigned int vendor, device;
	int len, nr = 0;

	for (; *val && *val != '\n'; val += len) {
		if (nr == ARRAY_SIZE(list))
			return -ENOSPC;
		if (sscanf(val, "%4x:%4x%n", &vendor, &device, &len) != 2)
			return -EINVAL;
		if (val[len] == ',')
			len++;
		else if (val[len] && val[len] != '\n')
			return -EINVAL;
		list[nr].vendor = vendor;
		list[nr++].device = device;
	}
	/* A list with an error changes nothing. */
	memcpy(allowed, list, nr * sizeof(*list));
	nr_allowed = nr;
	return 0;
}

static int host_bridges_get(char *buffer, const struct kernel_param *kp)
{
	int len = 0, i;

	for (i = 0; i < nr_allowed; i++)
		len += scnprintf(buffer + len, PAGE_SIZE - len, "%s%04x:%04x",
				 i ? "," : "", allowed[i].vendor,
				 allowed[i].device);
	return len + scnprintf(buffer + len, PAGE_SIZE - len, "\n");
}

static const struct kernel_param_ops host_bridges_ops = {
	.set = host_bridges_set,
	.get = host_bridges_get,
};

#undef MODULE_PARAM_PREFIX
#define MODULE_PARAM_PREFIX "pci_p2pdma."
module_param_cb_unsafe(host_bridges, &host_bridges_ops, NULL, 0444);

/**
 * p2pdma_host_bridge_allowed() - check whether the administrator allowed a host bridge
 * @root: the device that represents the host bridge
 * @quiet: don't log it
 *
 * Context: Any.
 * Return: true if pci_p2pdma.host_bridges= on the command line names @root.
 */
bool p2pdma_host_bridge_allowed(const struct pci_dev *root, bool quiet)
{
	int i;

	for (i = 0; i < nr_allowed; i++) {
		if (root->vendor != allowed[i].vendor ||
		    root->device != allowed[i].device)
			continue;
		if (!quiet)
			pci_notice(root, "peer-to-peer DMA through this host bridge is allowed by pci_p2pdma.host_bridges=\n");
		return true;
	}
	return false;
}

/**
 * pci_p2pdma_config_written() - forget all routes if userspace changed ACS control
 * @pdev: the device
 * @pos: offset of the write in its configuration space
 * @size: how many bytes were written
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
