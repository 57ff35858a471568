/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Peer-to-peer memory in DMA mappings, for implementations of the DMA API.
 */
#ifndef _LINUX_P2PDMA_MAP_H
#define _LINUX_P2PDMA_MAP_H

#include <linux/atomic.h>
#include <linux/dma-map-ops.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/scatterlist.h>
#include <linux/tracepoint-defs.h>

struct pci_dev;

/* Counters of DMA mappings of a provider's memory, by result. */
struct p2pmem_stats {
	u64 bus;		/* bytes */
	u64 host_bridge;	/* bytes */
	u64 refused;		/* mappings */
};

#define P2PDMA_ROUTE_SLOTS	8
#define P2PDMA_ROUTE_MASK	3UL	/* bits of a device's address that are 0 */

/**
 * struct p2pdma_route_slot - a cached route
 * @key: the address of the client's struct device, plus the route
 * @generation: pci_p2pdma_generation when it was found; see
 *		drivers/pci/p2pdma-route.c
 * @filled: when the slot was filled, in jiffies
 */
struct p2pdma_route_slot {
	unsigned long key;
	unsigned int generation;
	unsigned int filled;
} __aligned(16);

/**
 * struct p2pdma_provider - peer-to-peer memory of a PCI function, with or without struct pages
 * @pdev: the function
 * @bus_offset: bus address of the memory minus its physical address
 * @stats: counters of all memory of @pdev, with CONFIG_PCI_P2PMEM
 * @mapped: number of current DMA mappings of memory with struct pages, with
 *	    CONFIG_PCI_P2PMEM; only the sum over all CPUs has a meaning
 * @live: the memory may be mapped for DMA
 * @routes: a cache of the routes of recent clients
 *
 * Embedded in a structure of the memory's owner, which calls
 * p2pdma_provider_start() before any of the memory is mapped for DMA, and
 * p2pdma_provider_stop() before the memory goes away. All bytes of the memory
 * have the same routes.
 */
struct p2pdma_provider {
	struct pci_dev *pdev;
	u64 bus_offset;
	struct p2pmem_stats __percpu *stats;
	long __percpu *mapped;
	bool live;
	struct p2pdma_route_slot routes[P2PDMA_ROUTE_SLOTS];
};

/* The page map of memory that was added by pci_p2pdma_add_resource(). */
struct pci_p2pdma_pagemap {
	struct dev_pagemap pgmap;
	struct p2pdma_provider provider;
};

/**
 * page_p2pdma_provider() - the provider of a page
 * @page: a page of type MEMORY_DEVICE_PCI_P2PDMA
 *
 * Context: Any. The caller holds a reference to @page, or otherwise keeps it
 *	    mapped.
 * Return: the provider, in the page map of @page.
 */
static inline struct p2pdma_provider *
page_p2pdma_provider(const struct page *page)
{
	return &container_of(page_pgmap(page), struct pci_p2pdma_pagemap,
			     pgmap)->provider;
}

/* The highest bus address that a device reaches. */
static inline u64 pci_p2pdma_limit(struct device *dev)
{
	return min_not_zero(*dev->dma_mask, dev->bus_dma_limit);
}

#ifdef CONFIG_PCI_P2PDMA
extern atomic_t pci_p2pdma_generation;
enum pci_p2pdma_map_type
pci_p2pdma_route_slow(struct p2pdma_provider *provider, struct device *dev);
enum pci_p2pdma_map_type pci_p2pdma_find_route(struct device *client,
					       const struct page *page,
					       size_t offset, size_t len);
void pci_p2pdma_refuse(struct p2pdma_provider *provider, struct device *dev,
		       phys_addr_t phys, size_t size,
		       enum pci_p2pdma_map_type type);

/* Device structures are several KiB apart. */
static inline struct p2pdma_route_slot *
pci_p2pdma_slot(struct p2pdma_provider *provider, struct device *dev)
{
	return &provider->routes[((unsigned long)dev >> 12) %
				 P2PDMA_ROUTE_SLOTS];
}

#ifdef CONFIG_PCI_P2PMEM
DECLARE_TRACEPOINT(p2pdma_map);
void pci_p2pdma_trace_map(struct p2pdma_provider *provider, struct device *dev,
			  phys_addr_t phys, size_t size,
			  enum pci_p2pdma_map_type type);

static __always_inline void
pci_p2pdma_count(const struct pci_p2pdma_map_state *state, struct device *dev,
		 phys_addr_t phys, size_t size)
{
	this_cpu_add(*state->bytes, size);
	if (tracepoint_enabled(p2pdma_map))
		pci_p2pdma_trace_map(state->provider, dev, phys, size,
				     state->map);
}
#else
static inline void pci_p2pdma_count(const struct pci_p2pdma_map_state *state,
				    struct device *dev, phys_addr_t phys,
				    size_t size)
{
}
#endif

/**
 * pci_p2pdma_route() - find the route to the memory of a provider
 * @state: where to store it
 * @dev: the device that will do DMA
 * @provider: the provider
 *
 * Context: Any. The caller holds a reference to a page of @provider, or
 *	    otherwise keeps it from being stopped.
 */
static __always_inline void pci_p2pdma_route(struct pci_p2pdma_map_state *state,
					     struct device *dev,
					     struct p2pdma_provider *provider)
{
	struct p2pdma_route_slot *slot = pci_p2pdma_slot(provider, dev);
	/* Pairs with the release in p2pdma_fill_slot(). */
	unsigned int generation = smp_load_acquire(&slot->generation);
	unsigned long type = READ_ONCE(slot->key) - (unsigned long)dev;

	if (unlikely(type > P2PDMA_ROUTE_MASK ||
		     generation != atomic_read(&pci_p2pdma_generation)))
		type = pci_p2pdma_route_slow(provider, dev);

	state->provider = provider;
	state->map = type;
	state->bus_off = provider->bus_offset;
	if (type == PCI_P2PDMA_MAP_BUS_ADDR) {
		state->bus_end = min(pci_p2pdma_limit(dev), U64_MAX - 1) + 1;
		state->bytes = &provider->stats->bus;
	} else {
		state->bus_end = 0;
		state->bytes = &provider->stats->host_bridge;
	}
}

#ifdef CONFIG_PCI_P2PMEM
extern atomic_t pci_p2pdma_nr_pages;

/*
 * DMA mappings of memory with struct pages are counted, so that the removal of
 * a provider can wait for the last one. A scatterlist counts once for each
 * sequence of entries with the same provider. The lookup of the route and the
 * increment are in one RCU read-side section. p2pdma_provider_stop() makes sure
 * that no later section finds a route, and waits for the earlier ones. After
 * that the count only falls.
 */
static __always_inline void
pci_p2pdma_begin_mapping(struct p2pdma_provider *provider)
{
	this_cpu_inc(*provider->mapped);
}

static __always_inline void
pci_p2pdma_end_mapping(struct p2pdma_provider *provider)
{
	this_cpu_dec(*provider->mapped);
}

/* Marks the entry of a mapped list for which the provider was counted. */
static __always_inline void pci_p2pdma_mark_segment(struct scatterlist *sg)
{
	sg->dma_flags |= SG_DMA_P2P_MAPPED;
}

/**
 * pci_p2pdma_unmap_segment() - the DMA mapping of a list entry has ended
 * @sg: the entry, of any memory
 *
 * Context: Any. The caller holds a reference to the pages.
 */
static __always_inline void pci_p2pdma_unmap_segment(struct scatterlist *sg)
{
	if (likely(!(sg->dma_flags & SG_DMA_P2P_MAPPED)))
		return;
	sg->dma_flags &= ~SG_DMA_P2P_MAPPED;
	/* A driver has unmapped only part of the list, and reused it. */
	if (WARN_ON_ONCE(!is_pci_p2pdma_page(sg_page(sg))))
		return;
	pci_p2pdma_end_mapping(page_p2pdma_provider(sg_page(sg)));
}

/*
 * Mapping such a list merges entries. Its first entry records that some of the
 * entries are marked.
 */
static inline void pci_p2pdma_mark_list(struct scatterlist *sgl)
{
	sgl->dma_flags |= SG_DMA_P2P_LIST;
}

static inline void pci_p2pdma_unmap_list(struct scatterlist *sgl, int nents)
{
	struct scatterlist *sg;
	int i;

	if (likely(!(sgl->dma_flags & SG_DMA_P2P_LIST)))
		return;
	sgl->dma_flags &= ~SG_DMA_P2P_LIST;
	for_each_sg(sgl, sg, nents, i)
		pci_p2pdma_unmap_segment(sg);
}

bool pci_p2pdma_begin_page(struct pci_p2pdma_map_state *state,
			   struct device *dev, const struct page *page,
			   unsigned long attrs);
void pci_p2pdma_end_page(struct p2pdma_provider *provider, unsigned long attrs);
void pci_p2pdma_end_phys(phys_addr_t phys);

/**
 * pci_p2pdma_unmap_phys() - the DMA mapping of a physical address has ended
 * @phys: the address, of any memory
 * @attrs: the attributes of dma_unmap_page()
 *
 * dma_unmap_page() does not know which page was mapped. dma_map_page() never
 * returns a bus address, so the physical address identifies the page. The page
 * is looked up only while dma_map_page() mappings of a provider's memory exist,
 * which is rare.
 *
 * Context: Any.
 */
static __always_inline void pci_p2pdma_unmap_phys(phys_addr_t phys,
						  unsigned long attrs)
{
	if (unlikely(atomic_read(&pci_p2pdma_nr_pages)) &&
	    !(attrs & DMA_ATTR_P2P_COUNTED))
		pci_p2pdma_end_phys(phys);
}
#else
static inline void pci_p2pdma_begin_mapping(struct p2pdma_provider *provider)
{
}

static inline void pci_p2pdma_end_mapping(struct p2pdma_provider *provider)
{
}

static inline void pci_p2pdma_mark_segment(struct scatterlist *sg)
{
}

static inline void pci_p2pdma_unmap_segment(struct scatterlist *sg)
{
}

static inline void pci_p2pdma_mark_list(struct scatterlist *sgl)
{
}

static inline void pci_p2pdma_unmap_list(struct scatterlist *sgl, int nents)
{
}

static inline bool pci_p2pdma_begin_page(struct pci_p2pdma_map_state *state,
					 struct device *dev,
					 const struct page *page,
					 unsigned long attrs)
{
	pci_p2pdma_route(state, dev, page_p2pdma_provider(page));
	return state->map == PCI_P2PDMA_MAP_THRU_HOST_BRIDGE;
}

static inline void pci_p2pdma_end_page(struct p2pdma_provider *provider,
				       unsigned long attrs)
{
}

static inline void pci_p2pdma_unmap_phys(phys_addr_t phys, unsigned long attrs)
{
}
#endif /* CONFIG_PCI_P2PMEM */

/**
 * pci_p2pdma_map_phys() - how to map a piece of peer-to-peer memory
 * @state: all zero before the first piece of a mapping
 * @dev: the device that will do DMA
 * @provider: the provider that all of the piece belongs to
 * @phys: physical address of the piece
 * @size: its length in bytes, at least 1
 * @addr: where to store the address for @dev, if it is a bus address
 *
 * The route depends only on the device and the provider, so @state keeps it for
 * the next piece.
 *
 * Context: Any. As for pci_p2pdma_route().
 * Return: PCI_P2PDMA_MAP_BUS_ADDR, with an address in @addr that @dev can use
 *	   for all of the piece; PCI_P2PDMA_MAP_THRU_HOST_BRIDGE if the piece is
 *	   to be mapped by its physical address as RAM is, after which the
 *	   caller calls pci_p2pdma_count(), or pci_p2pdma_refuse() if that
 *	   failed; PCI_P2PDMA_MAP_NOT_SUPPORTED if there is no route: the
 *	   mapping fails with -EREMOTEIO.
 */
static __always_inline enum pci_p2pdma_map_type
pci_p2pdma_map_phys(struct pci_p2pdma_map_state *state, struct device *dev,
		    struct p2pdma_provider *provider, phys_addr_t phys,
		    size_t size, dma_addr_t *addr)
{
	u64 bus_addr;

	if (unlikely(state->provider != provider))
		pci_p2pdma_route(state, dev, provider);

	bus_addr = phys + state->bus_off;
	if (likely(bus_addr + size - 1 < state->bus_end)) {
		pci_p2pdma_count(state, dev, phys, size);
		*addr = bus_addr;
		return PCI_P2PDMA_MAP_BUS_ADDR;
	}
	/* The caller checks the physical address against the device's limit. */
	if (state->map == PCI_P2PDMA_MAP_THRU_HOST_BRIDGE)
		return PCI_P2PDMA_MAP_THRU_HOST_BRIDGE;
	pci_p2pdma_refuse(provider, dev, phys, size, state->map);
	return PCI_P2PDMA_MAP_NOT_SUPPORTED;
}

/**
 * pci_p2pdma_map_segment() - map an entry of a scatterlist, or tell how to map it
 * @state: all zero before the first entry of the list
 * @dev: the device that will do DMA
 * @sg: the entry, whose page is of type MEMORY_DEVICE_PCI_P2PDMA
 *
 * As pci_p2pdma_map_phys(). An entry that gets a bus address is mapped by this.
 * Unless the result is PCI_P2PDMA_MAP_NOT_SUPPORTED, the caller calls
 * pci_p2pdma_unmap_segment() at the end of the mapping.
 *
 * Context: Any. The caller holds a reference to the pages.
 * Return: as pci_p2pdma_map_phys().
 */
static __always_inline enum pci_p2pdma_map_type
pci_p2pdma_map_segment(struct pci_p2pdma_map_state *state, struct device *dev,
		       struct scatterlist *sg)
{
	struct p2pdma_provider *provider = page_p2pdma_provider(sg_page(sg));
	unsigned int length = sg->length;
	enum pci_p2pdma_map_type type;

	if (unlikely(state->provider != provider)) {
		rcu_read_lock();
		/* Adoption changes the page map, and waits for this RCU section. */
		provider = page_p2pdma_provider(sg_page(sg));
		pci_p2pdma_route(state, dev, provider);
		if (state->map != PCI_P2PDMA_MAP_NOT_SUPPORTED) {
			pci_p2pdma_begin_mapping(provider);
			pci_p2pdma_mark_segment(sg);
		}
		rcu_read_unlock();
	}

	type = pci_p2pdma_map_phys(state, dev, provider, sg_phys(sg), length,
				   &sg->dma_address);
	if (type == PCI_P2PDMA_MAP_BUS_ADDR) {
		sg_dma_len(sg) = length;
		sg_dma_mark_bus_address(sg);
	} else if (unlikely(type == PCI_P2PDMA_MAP_NOT_SUPPORTED)) {
		pci_p2pdma_unmap_segment(sg);
	}
	return type;
}
#else
static inline void pci_p2pdma_route(struct pci_p2pdma_map_state *state,
				    struct device *dev,
				    struct p2pdma_provider *provider)
{
}

static inline bool pci_p2pdma_begin_page(struct pci_p2pdma_map_state *state,
					 struct device *dev,
					 const struct page *page,
					 unsigned long attrs)
{
	return false;
}

static inline void pci_p2pdma_end_page(struct p2pdma_provider *provider,
				       unsigned long attrs)
{
}

static inline enum pci_p2pdma_map_type
pci_p2pdma_map_segment(struct pci_p2pdma_map_state *state, struct device *dev,
		       struct scatterlist *sg)
{
	return PCI_P2PDMA_MAP_NOT_SUPPORTED;
}

static inline void pci_p2pdma_unmap_segment(struct scatterlist *sg)
{
}

static inline void pci_p2pdma_mark_list(struct scatterlist *sgl)
{
}

static inline void pci_p2pdma_unmap_list(struct scatterlist *sgl, int nents)
{
}

static inline void pci_p2pdma_unmap_phys(phys_addr_t phys, unsigned long attrs)
{
}

static inline void pci_p2pdma_count(const struct pci_p2pdma_map_state *state,
				    struct device *dev, phys_addr_t phys,
				    size_t size)
{
}

static inline void pci_p2pdma_refuse(struct p2pdma_provider *provider,
				     struct device *dev, phys_addr_t phys,
				     size_t size, enum pci_p2pdma_map_type type)
{
}
#endif /* CONFIG_PCI_P2PDMA */

#endif /* _LINUX_P2PDMA_MAP_H */
