/* SPDX-License-Identifier: GPL-2.0 */
/* Buffers: allocations of peer-to-peer memory by processes. */
#ifndef _PCI_P2PMEM_BUFFER_H
#define _PCI_P2PMEM_BUFFER_H

#include <linux/list.h>
#include <linux/mm_types.h>
#include <linux/mutex.h>
#include <linux/types.h>

#include "clear.h"

struct bin_attribute;
struct p2pmem;
struct p2pmem_last_user;
struct p2pmem_mapper;
struct vm_fault;
struct wait_queue_head;

/* Owned by its file: it goes when the file is released. */
struct p2pmem_buffer {
	struct p2pmem *p2pmem;		/* a reference */
	struct list_head node;		/* empty once the pages were put */
	struct p2pmem_mapper *mapper;	/* valid until then */
	unsigned long pfn;
	unsigned long nr_pages;
	bool write_combine;		/* as the kernel's own mapping */
	struct p2pmem_user user;
	struct p2pmem_last_user *last_user;	/* of the region it is from */
	struct mutex first_use;		/* clears pages, and forms a folio */
};

extern struct bin_attribute p2pmem_allocate_attr;

vm_fault_t p2pmem_wait_resumed(struct vm_fault *vmf,
			       struct wait_queue_head *resumed,
			       const bool *paused);

#endif /* _PCI_P2PMEM_BUFFER_H */
