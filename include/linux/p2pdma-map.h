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
#include <linux/scatterlist.h>
#include <linux/tracepoint-defs.h>

struct pci_dev;

/* What became of a provider's memory in DMA mappings. */
struct p2pmem_stats {
	u64 bus;		/* bytes */
	u64 host_bridge;	/* bytes */
	u64 refused;		/* mappings */
};

#define P2PDMA_ROUTE_SLOTS	8
#define P2PDMA_ROUTE_MASK	3UL	/* bits of a device's address that are 0 */

/**
 * struct p2pdma_route_slot - a route that was asked for lately
 * @key: the address of the client's struct device, plus the route
 * @generation: of routes in which it was found; see drivers/pci/p2pdma-route.c
 * @filled: when that was, in jiffies
 */
struct p2pdma_route_slot {
	unsigned long key;
	unsigned int generation;
	unsigned int filled;
} __aligned(16);

struct pci_p2pdma_pagemap {
	struct dev_pagemap pgmap;
	struct pci_dev *provider;
	u64 bus_offset;
	struct p2pmem_stats __percpu *stats;	/* with CONFIG_PCI_P2PMEM */
	struct p2pdma_route_slot routes[P2PDMA_ROUTE_SLOTS];
};

static inline struct pci_p2pdma_pagemap *
to_p2p_pgmap(struct dev_pagemap *pgmap)
{
	return container_of(pgmap, struct pci_p2pdma_pagemap, pgmap);
}

/* The highest bus address that a device reaches. */
static inline u64 pci_p2pdma_limit(struct device *dev)
{
	return min_not_zero(*dev->dma_mask, dev->bus_dma_limit);
}

/* The same as a question, which is faster for one address. */
static __always_inline bool pci_p2pdma_fits(struct device *dev, u64 last)
{
	return likely(last <= *dev->dma_mask) &&
		likely(!dev->bus_dma_limit || last <= dev->bus_dma_limit);
}

#ifdef CONFIG_PCI_P2PDMA
extern atomic_t pci_p2pdma_generation;
enum pci_p2pdma_map_type
pci_p2pdma_route_slow(struct pci_p2pdma_pagemap *p2p, struct device *dev);
enum pci_p2pdma_map_type
pci_p2pdma_refuse(struct dev_pagemap *pgmap, struct device *dev,
		  phys_addr_t phys, size_t size, enum pci_p2pdma_map_type type);

static inline struct p2pdma_route_slot *
pci_p2pdma_slot(struct pci_p2pdma_pagemap *p2p, struct device *dev)
{
	BUILD_BUG_ON(sizeof(struct p2pdma_route_slot) != 16);
	/* Device structures are some KiB apart. */
	return (void *)p2p->routes +
		(((unsigned long)dev >> 8) & (P2PDMA_ROUTE_SLOTS - 1) * 16);
}

/**
 * pci_p2pdma_pgmap() - the page map of peer-to-peer memory
 * @page: any page
 *
 * Return: the page map if @page is of type MEMORY_DEVICE_PCI_P2PDMA, else NULL.
 */
static __always_inline struct dev_pagemap *
pci_p2pdma_pgmap(const struct page *page)
{
	struct dev_pagemap *pgmap;

	if (!is_zone_device_page(page))
		return NULL;
	pgmap = page_pgmap(page);
	return pgmap->type == MEMORY_DEVICE_PCI_P2PDMA ? pgmap : NULL;
}

#ifdef CONFIG_PCI_P2PMEM
DECLARE_TRACEPOINT(p2pdma_map);
void pci_p2pdma_trace_map(struct dev_pagemap *pgmap, struct device *dev,
			  phys_addr_t phys, size_t size,
			  enum pci_p2pdma_map_type type);

static __always_inline void
pci_p2pdma_count(const struct pci_p2pdma_map_state *state, struct device *dev,
		 phys_addr_t phys, size_t size)
{
	this_cpu_add(*state->bytes, size);
	if (tracepoint_enabled(p2pdma_map))
		pci_p2pdma_trace_map(state->pgmap, dev, phys, size, state->map);
}

static __always_inline bool pci_p2pdma_traced(void)
{
	return tracepoint_enabled(p2pdma_map);
}

static __always_inline void pci_p2pdma_count_bus(struct pci_p2pdma_pagemap *p2p,
						 u64 bytes)
{
	this_cpu_add(p2p->stats->bus, bytes);
}
#else
static inline bool pci_p2pdma_traced(void)
{
	return false;
}

static inline void pci_p2pdma_count_bus(struct pci_p2pdma_pagemap *p2p,
					u64 bytes)
{
}

static inline void pci_p2pdma_count(const struct pci_p2pdma_map_state *state,
				    struct device *dev, phys_addr_t phys,
				    size_t size)
{
}
#endif

/**
 * pci_p2pdma_route() - find the route to the memory of a page map
 * @state: where to store it
 * @dev: the device that will do DMA
 * @pgmap: a page map of type MEMORY_DEVICE_PCI_P2PDMA
 *
 * Context: Any. The caller holds a reference to a page of @pgmap.
 */
static __always_inline void pci_p2pdma_route(struct pci_p2pdma_map_state *state,
					     struct device *dev,
					     struct dev_pagemap *pgmap)
{
	struct pci_p2pdma_pagemap *p2p = to_p2p_pgmap(pgmap);
	struct p2pdma_route_slot *slot = pci_p2pdma_slot(p2p, dev);
	/* Pairs with the release in p2pdma_fill_slot(). */
	unsigned int generation = smp_load_acquire(&slot->generation);
	unsigned long type = READ_ONCE(slot->key) - (unsigned long)dev;

	if (unlikely(type > P2PDMA_ROUTE_MASK ||
		     generation != atomic_read(&pci_p2pdma_generation)))
		type = pci_p2pdma_route_slow(p2p, dev);

	state->pgmap = pgmap;
	state->map = type;
	state->bus_off = p2p->bus_offset;
	if (likely(type == PCI_P2PDMA_MAP_BUS_ADDR)) {
		state->bytes = &p2p->stats->bus;
		state->limit = pci_p2pdma_limit(dev);
	} else if (type == PCI_P2PDMA_MAP_THRU_HOST_BRIDGE) {
		state->bytes = &p2p->stats->host_bridge;
		/* Whoever maps the physical address has a limit to look at. */
		state->limit = U64_MAX;
	} else {
		state->bytes = NULL;
		state->limit = 0;
	}
}

/**
 * pci_p2pdma_bus_route() - is memory known to be reached by bus addresses?
 * @dev: the device that will do DMA
 * @pgmap: the page map of a ZONE_DEVICE page
 *
 * For a first try that handles nothing else, calls nothing and so need not save a
 * register: bus addresses are physical ones plus to_p2p_pgmap(@pgmap)->bus_offset,
 * if pci_p2pdma_fits() says so, and pci_p2pdma_count_bus() takes the place of
 * pci_p2pdma_count().
 *
 * Context: Any. The caller holds a reference to a page of @pgmap.
 * Return: false if the memory is not peer-to-peer memory, is reached another way, if
 *	   nobody has found out yet, or if each piece is to be traced.
 */
static __always_inline bool pci_p2pdma_bus_route(struct device *dev,
						 struct dev_pagemap *pgmap)
{
	struct p2pdma_route_slot *slot =
		pci_p2pdma_slot(to_p2p_pgmap(pgmap), dev);

	if (unlikely(pgmap->type != MEMORY_DEVICE_PCI_P2PDMA))
		return false;
	/* Pairs with the release in p2pdma_fill_slot(). */
	if (unlikely(smp_load_acquire(&slot->generation) !=
		     atomic_read(&pci_p2pdma_generation)))
		return false;
	return likely(READ_ONCE(slot->key) ==
		      (unsigned long)dev + PCI_P2PDMA_MAP_BUS_ADDR) &&
		!pci_p2pdma_traced();
}

/**
 * pci_p2pdma_map_phys() - how to map a piece of peer-to-peer memory
 * @state: all zero before the first piece of a mapping
 * @dev: the device that will do DMA
 * @pgmap: the page map that all of the piece is in, from pci_p2pdma_pgmap()
 * @phys: physical address of the piece
 * @size: its length in bytes, at least 1
 * @addr: where to store the address for @dev, if it is a bus address
 *
 * The route depends on nothing but the device and the page map, so that @state
 * keeps it from one piece to the next.
 *
 * Context: Any.
 * Return: PCI_P2PDMA_MAP_BUS_ADDR, with the address in @addr, all of which @dev can
 *	   address; PCI_P2PDMA_MAP_THRU_HOST_BRIDGE if the piece is to be mapped by its
 *	   physical address as RAM is, after which the caller calls
 *	   pci_p2pdma_count(), or pci_p2pdma_refuse() if that failed;
 *	   PCI_P2PDMA_MAP_NOT_SUPPORTED if there is no way: the mapping fails with
 *	   -EREMOTEIO.
 */
static __always_inline enum pci_p2pdma_map_type
pci_p2pdma_map_phys(struct pci_p2pdma_map_state *state, struct device *dev,
		    struct dev_pagemap *pgmap, phys_addr_t phys, size_t size,
		    dma_addr_t *addr)
{
	enum pci_p2pdma_map_type type;

	if (state->pgmap != pgmap)
		pci_p2pdma_route(state, dev, pgmap);

	type = state->map;
	*addr = phys + state->bus_off;
	/* The last address that the device reaches that way; 0 if there is none. */
	if (unlikely(*addr + size - 1 > state->limit))
		return pci_p2pdma_refuse(pgmap, dev, phys, size, type);
	if (likely(type == PCI_P2PDMA_MAP_BUS_ADDR))
		pci_p2pdma_count(state, dev, phys, size);
	return type;
}

/**
 * pci_p2pdma_map_segment() - map an entry of a scatterlist, or tell how to map it
 * @state: all zero before the first entry of the list
 * @dev: the device that will do DMA
 * @pgmap: the page map of the entry, from pci_p2pdma_pgmap()
 * @sg: the entry
 *
 * As pci_p2pdma_map_phys(). An entry that gets a bus address is mapped then.
 *
 * Context: Any.
 * Return: as pci_p2pdma_map_phys().
 */
static __always_inline enum pci_p2pdma_map_type
pci_p2pdma_map_segment(struct pci_p2pdma_map_state *state, struct device *dev,
		       struct dev_pagemap *pgmap, struct scatterlist *sg)
{
	unsigned int length = sg->length;
	enum pci_p2pdma_map_type type;
	dma_addr_t addr;

	type = pci_p2pdma_map_phys(state, dev, pgmap, sg_phys(sg), length,
				   &addr);
	if (likely(type == PCI_P2PDMA_MAP_BUS_ADDR)) {
		sg->dma_address = addr;
		sg_dma_len(sg) = length;
		sg_dma_mark_bus_address(sg);
	}
	return type;
}
#else
static inline struct dev_pagemap *pci_p2pdma_pgmap(const struct page *page)
{
	return NULL;
}

static inline bool pci_p2pdma_bus_route(struct device *dev,
					struct dev_pagemap *pgmap)
{
	return false;
}

static inline void pci_p2pdma_count_bus(struct pci_p2pdma_pagemap *p2p,
					u64 bytes)
{
}

static inline void pci_p2pdma_route(struct pci_p2pdma_map_state *state,
				    struct device *dev,
				    struct dev_pagemap *pgmap)
{
}

static inline enum pci_p2pdma_map_type
pci_p2pdma_map_phys(struct pci_p2pdma_map_state *state, struct device *dev,
		    struct dev_pagemap *pgmap, phys_addr_t phys, size_t size,
		    dma_addr_t *addr)
{
	return PCI_P2PDMA_MAP_NOT_SUPPORTED;
}

static inline enum pci_p2pdma_map_type
pci_p2pdma_map_segment(struct pci_p2pdma_map_state *state, struct device *dev,
		       struct dev_pagemap *pgmap, struct scatterlist *sg)
{
	return PCI_P2PDMA_MAP_NOT_SUPPORTED;
}

static inline void pci_p2pdma_count(const struct pci_p2pdma_map_state *state,
				    struct device *dev, phys_addr_t phys,
				    size_t size)
{
}

static inline enum pci_p2pdma_map_type
pci_p2pdma_refuse(struct dev_pagemap *pgmap, struct device *dev,
		  phys_addr_t phys, size_t size, enum pci_p2pdma_map_type type)
{
	return PCI_P2PDMA_MAP_NOT_SUPPORTED;
}
#endif /* CONFIG_PCI_P2PDMA */

#endif /* _LINUX_P2PDMA_MAP_H */
