// SPDX-License-Identifier: GPL-2.0
/*
 * Counters of the DMA mappings of a provider's memory, by route.
 *
 * Did a transfer go directly from device to device? The counters in sysfs
 * answer this for a provider, and the tracepoint p2pdma_map for each piece of
 * memory that is mapped, with the process that asked for it.
 */

#include <linux/device.h>
#include <linux/dma-map-ops.h>
#include <linux/memremap.h>
#include <linux/pci.h>
#include <linux/p2pdma-map.h>
#include <linux/percpu.h>
#include <linux/sysfs.h>

#include "p2pdma-stats.h"
#include "p2pmem/core.h"

#define CREATE_TRACE_POINTS
#include <trace/events/p2pdma.h>

/**
 * pci_p2pdma_trace_map() - trace a piece of memory that is mapped for DMA
 * @provider: the provider that it belongs to
 * @dev: the device that will do DMA
 * @phys: physical address of the piece
 * @size: its length in bytes
 * @type: how it is reached
 *
 * Context: Any. The caller holds a reference to the pages.
 */
void pci_p2pdma_trace_map(struct p2pdma_provider *provider, struct device *dev,
			  phys_addr_t phys, size_t size,
			  enum pci_p2pdma_map_type type)
{
	trace_p2pdma_map(dev, provider->pdev, phys, size, type);
}

/**
 * p2pmem_stats_refuse() - count a piece of memory that can't be mapped for DMA
 * @provider: the provider that it belongs to
 * @client: the device that was to do DMA
 * @phys: physical address of the piece
 * @size: its length in bytes
 *
 * Context: Any. The caller holds a reference to the pages.
 */
void p2pmem_stats_refuse(struct p2pdma_provider *provider,
			 const struct device *client, phys_addr_t phys,
			 size_t size)
{
	this_cpu_inc(provider->stats->refused);
	trace_p2pdma_map(client, provider->pdev, phys, size,
			 PCI_P2PDMA_MAP_NOT_SUPPORTED);
}

/* @counter: the offset of a counter in struct p2pmem_stats */
static ssize_t p2pmem_stats_show(struct device *dev, char *buf, size_t counter)
{
	struct p2pmem *p2pmem = p2pmem_of(to_pci_dev(dev));
	u64 sum = 0;
	int cpu;

	if (!p2pmem)
		return -ENODEV;
	for_each_possible_cpu(cpu)
		sum += READ_ONCE(*(u64 *)((void *)per_cpu_ptr(p2pmem->stats, cpu) +
					  counter));
	return sysfs_emit(buf, "%llu\n", sum);
}

static ssize_t dma_bus_bytes_show(struct device *dev,
				  struct device_attribute *attr, char *buf)
{
	return p2pmem_stats_show(dev, buf,
				 offsetof(struct p2pmem_stats, bus));
}
DEVICE_ATTR_RO(dma_bus_bytes);

static ssize_t dma_host_bridge_bytes_show(struct device *dev,
					  struct device_attribute *attr,
					  char *buf)
{
	return p2pmem_stats_show(dev, buf,
				 offsetof(struct p2pmem_stats, host_bridge));
}
DEVICE_ATTR_RO(dma_host_bridge_bytes);

static ssize_t dma_refused_show(struct device *dev,
				struct device_attribute *attr, char *buf)
{
	return p2pmem_stats_show(dev, buf,
				 offsetof(struct p2pmem_stats, refused));
}
DEVICE_ATTR_RO(dma_refused);
