// SPDX-License-Identifier: GPL-2.0
/*
 * How much of a provider's memory was mapped for DMA, and which way.
 *
 * "Did my transfer go from device to device?" The counters in sysfs answer it
 * for a provider, the tracepoint p2pdma_map for each piece of memory, with the
 * process that asked for it.
 */

#include <linux/device.h>
#include <linux/dma-map-ops.h>
#include <linux/memremap.h>
#include <linux/pci.h>
#include <linux/percpu.h>
#include <linux/scatterlist.h>
#include <linux/sysfs.h>

#include "p2pmem.h"

#define CREATE_TRACE_POINTS
#include <trace/events/p2pdma.h>

struct p2pmem_stats {
	u64 bus;		/* bytes */
	u64 host_bridge;	/* bytes */
	u64 refused;		/* mappings */
};

struct p2pmem_stats_devres {
	struct p2pmem_stats __percpu *stats;
};

static void p2pmem_stats_release(struct device *dev, void *res)
{
	free_percpu(((struct p2pmem_stats_devres *)res)->stats);
}

/**
 * p2pmem_stats_setup() - prepare the counters of a provider
 * @pdev: the device
 *
 * Must be called before the sysfs files and the page maps are made, so that the
 * counters outlive these.
 *
 * Context: Process context, from the driver's probe().
 * Return: 0, or -ENOMEM.
 */
int p2pmem_stats_setup(struct pci_dev *pdev)
{
	struct p2pmem_stats_devres *res;

	res = devres_alloc(p2pmem_stats_release, sizeof(*res), GFP_KERNEL);
	if (!res)
		return -ENOMEM;

	res->stats = alloc_percpu(struct p2pmem_stats);
	if (!res->stats) {
		devres_free(res);
		return -ENOMEM;
	}

	devres_add(&pdev->dev, res);
	return 0;
}

/**
 * p2pmem_stats() - the counters of a provider
 * @pdev: a device that p2pmem_stats_setup() has prepared
 *
 * Return: what p2pmem_stats_map() takes.
 */
struct p2pmem_stats __percpu *p2pmem_stats(struct pci_dev *pdev)
{
	struct p2pmem_stats_devres *res;

	res = devres_find(&pdev->dev, p2pmem_stats_release, NULL, NULL);
	return res ? res->stats : NULL;
}

/**
 * p2pmem_stats_map() - count a piece of memory that is mapped for DMA
 * @stats: the counters of its provider
 * @provider: the provider
 * @client: the device that will do DMA
 * @sg: the piece
 * @route: how @client reaches it, an enum pci_p2pdma_map_type
 *
 * Context: Any. The caller holds a reference to the pages.
 */
void p2pmem_stats_map(struct p2pmem_stats __percpu *stats,
		      const struct pci_dev *provider,
		      const struct device *client, struct scatterlist *sg,
		      int route)
{
	switch (route) {
	case PCI_P2PDMA_MAP_BUS_ADDR:
		this_cpu_add(stats->bus, sg->length);
		break;
	case PCI_P2PDMA_MAP_THRU_HOST_BRIDGE:
		this_cpu_add(stats->host_bridge, sg->length);
		break;
	default:
		this_cpu_inc(stats->refused);
	}
	trace_p2pdma_map(client, provider, sg_phys(sg), sg->length, route);
}

/* counter: offset of one in struct p2pmem_stats */
static ssize_t p2pmem_stats_show(struct device *dev, char *buf, size_t counter)
{
	struct p2pmem_stats __percpu *stats = p2pmem_stats(to_pci_dev(dev));
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(*(u64 *)((void *)per_cpu_ptr(stats, cpu) +
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
