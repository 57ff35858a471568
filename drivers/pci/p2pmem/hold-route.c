// SPDX-License-Identifier: GPL-2.0
/*
 * Holds: whether a device reaches the memory by addresses that an IOMMU translates.
 *
 * The DMA API picks the address that a device uses, and may pick a bus address.
 * A holder that programs an IOMMU domain, as vfio does, lets its user pick the
 * address. That works if each request reaches the IOMMU, and the host bridge
 * then forwards it.
 *
 * IOMMU groups are formed such that requests reach the IOMMU: ACS redirects
 * them on the way up from a group. Below a switch that does not redirect, a
 * request with an address of another device there goes to that device. ACS may
 * have been changed after groups were formed, so each port on the way is
 * checked again.
 *
 * A bus-address route does not help here, so the log does not suggest one.
 */

#include <linux/device.h>
#include <linux/export.h>
#include <linux/mm.h>
#include <linux/p2p_hold.h>
#include <linux/p2p_ratelimit.h>
#include <linux/p2pdma-map.h>
#include <linux/pci.h>
#include <linux/pci-p2p-range.h>
#include <linux/pci-p2pdma.h>
#include <linux/seq_buf.h>
#include <linux/vm_p2p.h>

#include "../p2pdma-route.h"
#include "../p2pdma-stats.h"
#include "../p2pdma.h"
#include "range.h"

/* The same flags as for IOMMU groups. */
#define P2PDMA_IOVA_ACS	(PCI_ACS_SV | PCI_ACS_RR | PCI_ACS_CR | PCI_ACS_UF)

/* May sleep: some quirks look for an ACPI table. */
static bool p2pdma_acs_redirects(struct pci_dev *client)
{
	struct pci_dev *bridge = pci_upstream_bridge(client);

	/* As for groups: functions that reach each other directly share one. */
	return !bridge || pci_acs_path_enabled(bridge, NULL, P2PDMA_IOVA_ACS);
}

static bool p2pdma_is_reached_by_iova(struct p2pdma_provider *provider,
				      struct device *client,
				      const struct p2p_extent *extent,
				      bool redirects)
{
	struct iommu_group *group = provider->pdev->dev.iommu_group;
	enum pci_p2pdma_map_type type = PCI_P2PDMA_MAP_NOT_SUPPORTED;
	const char *barred = p2pdma_barred(client);
	struct seq_buf why;
	char reasons[128];
	int dist;

	seq_buf_init(&why, reasons, sizeof(reasons));
	if (barred)
		seq_buf_printf(&why, " %s", barred);
	else
		type = p2pdma_explain_route(provider->pdev, to_pci_dev(client),
					    &dist, &why);
	if (type == PCI_P2PDMA_MAP_THRU_HOST_BRIDGE && redirects &&
	    (!group || group != client->iommu_group))
		return true;

	p2pmem_stats_refuse(provider, client, p2p_extent_phys(extent),
			    extent->len);
	if (type == PCI_P2PDMA_MAP_NOT_SUPPORTED)
		dev_p2p_notice(client, "can't be given peer-to-peer memory of %s through an IOMMU: there is no route through the host bridge:%.*s\n",
			       pci_name(provider->pdev),
			       (int)seq_buf_used(&why), reasons);
	else
		dev_p2p_notice(client, "can't be given peer-to-peer memory of %s through an IOMMU: its requests need not reach the IOMMU, since ACS does not redirect them\n",
			       pci_name(provider->pdev));
	return false;
}

/**
 * pci_p2p_hold_is_reached_by_iova() - check whether a device reaches held
 * memory by
 * IOVA
 * @hold: a hold with memory
 * @client: a device whose IOMMU domain the caller will map the memory in
 *
 * The device's DMA mask does not matter, because the caller picks the
 * addresses. Neither the provider nor the DMA API sees these mappings: only the
 * hold keeps the memory. So the hold must be a lease with a revoke() that
 * unmaps. A provider that is being removed may refuse DMA mappings already, but
 * waits for revoke(): until then the answer depends on the route alone.
 *
 * Context: Process context, may sleep. @hold is not revoked, or its revoke() has not
 *	    returned.
 * Return: true if it can; false if there is no route through the host bridge, or not
 *	   every request of @client passes the IOMMU, or @client is not a PCI device.
 */
bool pci_p2p_hold_is_reached_by_iova(const struct p2p_hold *hold,
				     struct device *client)
{
	struct p2pdma_provider *provider, *last = NULL;
	struct pci_p2p_range *range;
	bool redirects, reached = true;
	unsigned int i;
	u64 offset;

	if (!dev_is_pci(client))
		return false;
	redirects = p2pdma_acs_redirects(to_pci_dev(client));

	range = pci_p2p_range_of_hold(hold, &offset);
	if (range)
		return p2pdma_is_reached_by_iova(&range->provider, client,
						 hold->extents, redirects);

	for (i = 0; i < hold->nr_extents && reached; i++) {
		provider = page_p2pdma_provider(&hold->extents[i].folio->page);
		if (provider != last)
			reached = p2pdma_is_reached_by_iova(provider, client,
							    &hold->extents[i],
							    redirects);
		last = provider;
	}
	return reached;
}
EXPORT_SYMBOL_GPL(pci_p2p_hold_is_reached_by_iova);
