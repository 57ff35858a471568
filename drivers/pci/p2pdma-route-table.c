// SPDX-License-Identifier: GPL-2.0
/*
 * p2pmem/routes: how each PCI device reaches a provider's memory, or why it does not.
 *
 * A line for each device that may do DMA:
 *
 *	0000:03:00.0 bus 4
 *	0000:04:00.0 host-bridge 4 acs-redirect=0000:02:01.0
 *	0000:05:00.0 none 7 host-bridge=0000:00:00.0,8086:29c0
 *	0000:06:00.0 none 4 dma-mask=0xfffffff
 *
 * The lines are made when the file is read, by the functions that DMA mappings use,
 * so they are never out of date.
 */

#include <linux/device.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/pci.h>
#include <linux/pci-p2pdma.h>
#include <linux/seq_buf.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/sysfs.h>

#include "p2pdma.h"
#include "p2pdma-route.h"
#include "p2pdma-route-table.h"

/* The longest line: a route past 16 bridges that all redirect. */
#define ROUTE_LINE	512

/*
 * Returns true if an IOMMU translates the DMA mappings of the device's driver.
 * The IOMMU domain would be more reliable, but could be freed meanwhile.
 */
static bool p2pmem_translated(struct device *dev)
{
	return device_iommu_mapped(dev) && get_dma_ops(dev);
}

/* Returns true if the client can address any of the memory by that route. */
static bool p2pmem_addressable(struct pci_dev *provider, struct device *client,
			       enum pci_p2pdma_map_type type)
{
	bool bus = type == PCI_P2PDMA_MAP_BUS_ADDR;

	/* The DMA API picks an IOVA that the client can address. */
	if (!bus && get_dma_ops(client))
		return true;
	return !client->dma_mask ||
		p2pdma_lowest_address(provider, bus) <= pci_p2pdma_limit(client);
}

static void p2pmem_route_line(struct seq_buf *line, struct pci_dev *provider,
			      struct pci_dev *client)
{
	enum pci_p2pdma_map_type type;
	const char *barred = p2pdma_barred(&client->dev);
	char reasons[ROUTE_LINE / 2];
	struct seq_buf why;
	int dist;

	seq_buf_init(&why, reasons, sizeof(reasons));
	type = p2pdma_explain_route(provider, client, &dist, &why);

	if (barred) {
		type = PCI_P2PDMA_MAP_NOT_SUPPORTED;
		seq_buf_printf(&why, " %s", barred);
	}
	if (type == PCI_P2PDMA_MAP_THRU_HOST_BRIDGE &&
	    p2pmem_translated(&client->dev))
		seq_buf_puts(&why, " iommu");
	if (type != PCI_P2PDMA_MAP_NOT_SUPPORTED &&
	    !p2pmem_addressable(provider, &client->dev, type)) {
		type = PCI_P2PDMA_MAP_NOT_SUPPORTED;
		seq_buf_printf(&why, " dma-mask=%#llx",
			       pci_p2pdma_limit(&client->dev));
	}

	seq_buf_printf(line, "%s %s %d%.*s\n", pci_name(client),
		       type == PCI_P2PDMA_MAP_BUS_ADDR ? "bus" :
		       type == PCI_P2PDMA_MAP_THRU_HOST_BRIDGE ?
		       "host-bridge" : "none",
		       dist, (int)seq_buf_used(&why), reasons);
}

/**
 * pci_p2pdma_describe_route() - describe the route to peer-to-peer memory, for a log
 * @client: the device, or a child of it
 * @page: a page of the memory
 * @text: where to store the answer: the provider, and a line of its p2pmem/routes
 * @size: how much room there is, in bytes
 *
 * Context: Any. The caller holds a reference to @page.
 */
void pci_p2pdma_describe_route(struct device *client, const struct page *page,
			       char *text, size_t size)
{
	const struct p2pdma_provider *memory;
	struct pci_dev *provider;
	struct seq_buf line;

	while (client && !dev_is_pci(client))
		client = client->parent;

	/* memory->pdev may change while not live, see p2pmem/adopt.c. */
	rcu_read_lock();
	memory = page_p2pdma_provider(page);
	provider = READ_ONCE(memory->pdev);
	if (!READ_ONCE(memory->live)) {
		/* The device may not even be in the topology any more. */
		snprintf(text, size, "%s: being reset, failed, or without a driver",
			 pci_name(provider));
		goto out;
	}
	if (!client) {
		snprintf(text, size, "%s: not a PCI device", pci_name(provider));
		goto out;
	}

	seq_buf_init(&line, text, size);
	seq_buf_printf(&line, "%s: ", pci_name(provider));
	p2pmem_route_line(&line, provider, to_pci_dev(client));
	/* Removes the newline; a line that is too long was truncated. */
	text[min_t(size_t, seq_buf_used(&line), size) - 1] = '\0';
out:
	rcu_read_unlock();
}

/*
 * Returns the text from @off on. Lines before that are made and thrown away, so
 * no state is needed between two reads.
 */
static ssize_t p2pmem_routes_read(struct file *file, struct kobject *kobj,
				  struct bin_attribute *attr, char *buf,
				  loff_t off, size_t count)
{
	struct pci_dev *provider = to_pci_dev(kobj_to_dev(kobj));
	struct pci_dev *client = NULL;
	struct seq_buf line;
	size_t done = 0, len;
	char *text;

	text = kmalloc(ROUTE_LINE, GFP_KERNEL);
	if (!text)
		return -ENOMEM;

	for_each_pci_dev(client) {
		/* Bridges do no DMA of their own. */
		if (client->hdr_type != PCI_HEADER_TYPE_NORMAL ||
		    client->class >> 16 == PCI_BASE_CLASS_BRIDGE)
			continue;

		seq_buf_init(&line, text, ROUTE_LINE);
		p2pmem_route_line(&line, provider, client);
		len = seq_buf_used(&line);
		if (off >= len) {
			off -= len;
			continue;
		}
		len = min_t(size_t, len - off, count - done);
		memcpy(buf + done, text + off, len);
		done += len;
		off = 0;
		if (done == count) {
			pci_dev_put(client);
			break;
		}
	}
	kfree(text);
	return done;
}

struct bin_attribute p2pmem_routes_attr = {
	.attr = { .name = "routes", .mode = 0444 },
	.read = p2pmem_routes_read,
};
