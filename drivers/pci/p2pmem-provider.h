/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Providers of peer-to-peer memory for userspace, and the buffers that are allocated
 * from them: for p2pmem.c and p2pmem-provider.c.
 *
 * Locks, outermost first:
 *
 *	mmap_lock
 *	  provider->lock		which buffers there are, and whether
 *					there may be more
 *	  file->f_mapping->invalidate_lock
 *					faults and a debugger's accesses
 *					(shared) against revocation
 *	    buffer->first_use		which pages of it are in use, and what
 *					they hold then
 */
#ifndef _PCI_P2PMEM_PROVIDER_H
#define _PCI_P2PMEM_PROVIDER_H

#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/wait.h>

#include "p2pmem.h"

struct p2pmem_provider {
	struct kref ref;		/* the device's and one per buffer */
	struct pci_dev *pdev;		/* valid while live */
	struct file *file;		/* what the buffers are copies of */
	struct mutex lock;		/* protects buffers, live, lost and pool */
	struct list_head buffers;
	struct p2pmem_pool *pool;	/* to be used only while live or lost */
	/* All are written under the file's invalidate_lock. */
	bool live;
	bool lost;			/* not live, but the pool is there */
	bool paused;			/* the device can't be reached */
	wait_queue_head_t resumed;
};

struct p2pmem_buffer {
	struct p2pmem_provider *provider;
	struct list_head node;		/* empty once the pages were put */
	struct p2pmem_holder *holder;	/* valid until then */
	unsigned long pfn;
	unsigned long nr_pages;
	bool write_combine;		/* as the kernel's own mapping */
	struct p2pmem_user user;
	struct p2pmem_history *history;	/* of the region it is from */
	struct mutex first_use;		/* who clears pages, and forms a folio */
};

void p2pmem_provider_put(struct p2pmem_provider *provider);

#endif /* _PCI_P2PMEM_PROVIDER_H */
