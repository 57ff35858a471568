/* SPDX-License-Identifier: GPL-2.0 */
/* Buffers: allocations of peer-to-peer memory by processes. */
#ifndef _PCI_P2PMEM_BUFFER_H
#define _PCI_P2PMEM_BUFFER_H

#include <linux/dma-resv.h>
#include <linux/list.h>
#include <linux/mm_types.h>
#include <linux/mutex.h>
#include <linux/types.h>

#include "clear.h"

struct bin_attribute;
struct device;
struct file;
struct p2p_hold;
struct p2p_hold_ops;
struct p2pmem;
struct p2pmem_last_user;
struct p2pmem_mapper;
struct vm_fault;
struct wait_queue_head;

/* Owned by its file, whose release() frees it. */
struct p2pmem_buffer {
	struct p2pmem *p2pmem;		/* a reference */
	struct list_head node;		/* empty once the pages were put */
	struct p2pmem_mapper *mapper;	/* valid until then */
	unsigned long pfn;
	unsigned long nr_pages;
	unsigned long nr_asked;		/* before rounding up */
	bool write_combine;		/* as the kernel's own mapping */
	struct p2pmem_user user;
	struct p2pmem_last_user *last_user;	/* of the region it is from */
	struct mutex first_use;		/* to clear pages and form folios */
#ifdef CONFIG_PCI_P2PMEM_DMABUF
	struct dma_resv resv;		/* shared by all its dma-bufs */
#endif
};

extern struct bin_attribute p2pmem_allocate_attr;

struct file *p2pmem_buffer_create(struct p2pmem *p2pmem, size_t size,
				  const struct p2pmem_user *user);
int p2pmem_buffer_use(struct p2pmem_buffer *buffer, unsigned long pfn,
		      unsigned long nr_pages);
void p2pmem_buffer_mmap(struct file *file, struct vm_area_struct *vma);
bool p2pmem_vma_is_buffer(const struct vm_area_struct *vma);

vm_fault_t p2pmem_wait_resumed(struct vm_fault *vmf,
			       struct wait_queue_head *resumed,
			       const bool *paused);

/* handle.c, for dma-bufs */
int p2pmem_buffer_check(struct file *file);
int p2pmem_buffer_reaches(struct file *file, struct device *client);
int p2pmem_buffer_use_all(struct file *file);
struct p2p_hold *p2pmem_buffer_hold(struct file *file,
				    const struct p2p_hold_ops *ops,
				    struct device *client, void *private);
int p2pmem_buffer_flush(struct file *file);
struct file *p2pmem_buffer_of_user(unsigned long addr, vm_flags_t rights,
				   u64 *offset);

#ifdef CONFIG_PCI_P2PMEM_DMABUF
static inline void p2pmem_buffer_init_resv(struct p2pmem_buffer *buffer)
{
	dma_resv_init(&buffer->resv);
}

static inline void p2pmem_buffer_fini_resv(struct p2pmem_buffer *buffer)
{
	dma_resv_fini(&buffer->resv);
}
#else
static inline void p2pmem_buffer_init_resv(struct p2pmem_buffer *buffer)
{
}

static inline void p2pmem_buffer_fini_resv(struct p2pmem_buffer *buffer)
{
}
#endif

#endif /* _PCI_P2PMEM_BUFFER_H */
