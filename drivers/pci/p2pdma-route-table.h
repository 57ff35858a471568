/* SPDX-License-Identifier: GPL-2.0 */
/* The file p2pmem/routes. */
#ifndef _PCI_P2PDMA_ROUTE_TABLE_H
#define _PCI_P2PDMA_ROUTE_TABLE_H

struct bin_attribute;

extern struct bin_attribute p2pmem_routes_attr;

#endif /* _PCI_P2PDMA_ROUTE_TABLE_H */
