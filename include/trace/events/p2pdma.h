/* SPDX-License-Identifier: GPL-2.0 */
/* How devices reach peer-to-peer memory. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM p2pdma

#if !defined(_TRACE_P2PDMA_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_P2PDMA_H

#include <linux/device.h>
#include <linux/pci.h>
#include <linux/pci-p2pdma.h>
#include <linux/tracepoint.h>

TRACE_DEFINE_ENUM(PCI_P2PDMA_MAP_NOT_SUPPORTED);
TRACE_DEFINE_ENUM(PCI_P2PDMA_MAP_BUS_ADDR);
TRACE_DEFINE_ENUM(PCI_P2PDMA_MAP_THRU_HOST_BRIDGE);

/* A piece of memory is mapped for DMA by the client, in one of these ways. */
TRACE_EVENT(p2pdma_map,

	TP_PROTO(const struct device *client, const struct pci_dev *provider,
		 phys_addr_t phys, size_t bytes, enum pci_p2pdma_map_type route),

	TP_ARGS(client, provider, phys, bytes, route),

	TP_STRUCT__entry(
		__string(client, dev_name(client))
		__string(provider, pci_name(provider))
		__field(u64, phys)
		__field(size_t, bytes)
		__field(int, route)
	),

	TP_fast_assign(
		__assign_str(client, dev_name(client));
		__assign_str(provider, pci_name(provider));
		__entry->phys = phys;
		__entry->bytes = bytes;
		__entry->route = route;
	),

	TP_printk("client=%s provider=%s phys=0x%llx bytes=%zu route=%s",
		  __get_str(client), __get_str(provider), __entry->phys,
		  __entry->bytes,
		  __print_symbolic(__entry->route,
			{ PCI_P2PDMA_MAP_NOT_SUPPORTED, "none" },
			{ PCI_P2PDMA_MAP_BUS_ADDR, "bus" },
			{ PCI_P2PDMA_MAP_THRU_HOST_BRIDGE, "host-bridge" }))
);

#endif /* _TRACE_P2PDMA_H */

/* This part must be outside protection */
#include <trace/define_trace.h>
