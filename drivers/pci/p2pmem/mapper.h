/* SPDX-License-Identifier: GPL-2.0 */
/* The process that mapped a buffer, as long as any page of the buffer is in use. */
#ifndef _PCI_P2PMEM_MAPPER_H
#define _PCI_P2PMEM_MAPPER_H

#include <linux/types.h>

struct p2pmem;
struct p2pmem_bank;
struct p2pmem_mapper;
struct p2pmem_payers;
struct page;

struct p2pmem_mapper *p2pmem_mapper_create(struct p2pmem *p2pmem);
const struct p2pmem_payers *
p2pmem_mapper_payers(const struct p2pmem_mapper *mapper);
void p2pmem_mapper_uncharge(const struct p2pmem_mapper *mapper,
			    unsigned long nr_pages);
void p2pmem_mapper_leave(struct p2pmem_mapper *mapper, struct page *page,
			 unsigned long nr_pages);
void p2pmem_mapper_return(struct page *page, unsigned long nr_pages);
void p2pmem_mapper_done(struct p2pmem_mapper *mapper);
bool p2pmem_has_mappers(struct p2pmem *p2pmem);
void p2pmem_mappers_report(struct p2pmem_bank *bank, const char *why);

#endif /* _PCI_P2PMEM_MAPPER_H */
