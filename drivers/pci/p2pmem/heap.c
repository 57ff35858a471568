// SPDX-License-Identifier: GPL-2.0
/*
 * A dma-heap for each provider: /dev/dma_heap/p2pmem-ADDRESS.
 *
 * The heap belongs to the PCI function rather than to its driver: it is made
 * when memory is published for the first time, and exists until the function is
 * removed. In between there may be no memory, because the driver is unbound or
 * offers none; then calls fail with -ENODEV. So the owner and mode of the
 * device node persist, as do its bind mounts in containers, and open files.
 *
 * p2pmem_heaps_lock is taken with no other lock of p2pmem held.
 */

#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/err.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/pci.h>
#include <linux/security.h>
#include <linux/slab.h>

#include "buffer.h"
#include "clear.h"
#include "core.h"
#include "dmabuf.h"

struct p2pmem_heap {
	struct list_head node;		/* in p2pmem_heaps */
	struct dma_heap *heap;		/* which owns this */
	struct pci_dev *pdev;		/* a reference */
	struct p2pmem *p2pmem;		/* a reference; NULL without memory */
};

static LIST_HEAD(p2pmem_heaps);

/* Protects the list, and p2pmem of all heaps. */
static DEFINE_MUTEX(p2pmem_heaps_lock);

static struct p2pmem *p2pmem_heap_get(struct dma_heap *dma_heap)
{
	struct p2pmem_heap *heap = dma_heap_get_drvdata(dma_heap);
	struct p2pmem *p2pmem;

	mutex_lock(&p2pmem_heaps_lock);
	p2pmem = heap->p2pmem;
	if (p2pmem)
		kref_get(&p2pmem->ref);
	mutex_unlock(&p2pmem_heaps_lock);
	return p2pmem;
}

/*
 * Like mmap() of p2pmem/allocate, except that the memory is always cleared:
 * each buffer counts as a new owner.
 */
static struct dma_buf *p2pmem_heap_allocate(struct dma_heap *heap,
					    unsigned long len,
					    unsigned long fd_flags,
					    unsigned long heap_flags)
{
	struct p2pmem_buffer *buffer;
	struct p2pmem_user user;
	struct dma_buf *dmabuf;
	struct p2pmem *p2pmem;
	struct file *file;
	int error;

	error = security_locked_down(LOCKDOWN_PCI_ACCESS);
	if (error)
		return ERR_PTR(error);

	p2pmem = p2pmem_heap_get(heap);
	if (!p2pmem)
		return ERR_PTR(-ENODEV);
	p2pmem_user_init_new(&user);
	file = p2pmem_buffer_create(p2pmem, len, &user);
	p2pmem_put(p2pmem);
	if (IS_ERR(file))
		return ERR_CAST(file);

	/* All of it can be mapped, including what was rounded up. */
	buffer = file->private_data;
	buffer->nr_asked = buffer->nr_pages;
	dmabuf = p2pmem_dmabuf_export(file, fd_flags);
	/* The dma-buf owns the buffer now; after an error this frees it. */
	fput(file);
	return dmabuf;
}

static struct dma_buf *p2pmem_heap_export(struct dma_heap *heap,
					  unsigned long addr,
					  unsigned long fd_flags,
					  unsigned long heap_flags, u64 *offset)
{
	unsigned int accmode = fd_flags & O_ACCMODE;
	struct p2pmem_buffer *buffer;
	vm_flags_t rights = 0;
	struct dma_buf *dmabuf;
	struct p2pmem *p2pmem;
	struct file *file;
	int error;

	error = security_locked_down(LOCKDOWN_PCI_ACCESS);
	if (error)
		return ERR_PTR(error);

	/* A new handle gives no right that the caller does not have. */
	if (accmode != O_WRONLY)
		rights |= VM_MAYREAD;
	if (accmode != O_RDONLY)
		rights |= VM_MAYWRITE;
	file = p2pmem_buffer_of_user(addr, rights, offset);
	if (IS_ERR(file))
		return ERR_CAST(file);

	/* The memory's driver may have been unbound since. */
	error = p2pmem_buffer_check(file);
	if (error == -EAGAIN)
		error = 0;
	p2pmem = p2pmem_heap_get(heap);
	buffer = file->private_data;
	if (!p2pmem)
		error = -ENODEV;
	else if (!error && buffer->p2pmem != p2pmem)
		error = -EINVAL;
	dmabuf = error ? ERR_PTR(error) : p2pmem_dmabuf_export(file, fd_flags);
	if (p2pmem)
		p2pmem_put(p2pmem);
	fput(file);
	return dmabuf;
}

static void p2pmem_heap_release(struct dma_heap *dma_heap)
{
	struct p2pmem_heap *heap = dma_heap_get_drvdata(dma_heap);

	pci_dev_put(heap->pdev);
	kfree(heap);
}

static const struct dma_heap_ops p2pmem_heap_ops = {
	.allocate	= p2pmem_heap_allocate,
	.export_mapped	= p2pmem_heap_export,
	.release	= p2pmem_heap_release,
};

static struct p2pmem_heap *p2pmem_heap_find(const struct pci_dev *pdev)
{
	struct p2pmem_heap *heap;

	lockdep_assert_held(&p2pmem_heaps_lock);
	list_for_each_entry(heap, &p2pmem_heaps, node)
		if (heap->pdev == pdev)
			return heap;
	return NULL;
}

static struct p2pmem_heap *p2pmem_heap_add(struct pci_dev *pdev)
{
	struct dma_heap_export_info exp_info = { .ops = &p2pmem_heap_ops };
	struct p2pmem_heap *heap;
	char name[32];

	heap = kzalloc(sizeof(*heap), GFP_KERNEL);
	if (!heap)
		return ERR_PTR(-ENOMEM);
	heap->pdev = pci_dev_get(pdev);

	snprintf(name, sizeof(name), "p2pmem-%s", pci_name(pdev));
	exp_info.name = name;
	exp_info.priv = heap;
	heap->heap = dma_heap_add(&exp_info);
	if (IS_ERR(heap->heap)) {
		int error = PTR_ERR(heap->heap);

		pci_dev_put(pdev);
		kfree(heap);
		return ERR_PTR(error);
	}
	list_add(&heap->node, &p2pmem_heaps);
	return heap;
}

/**
 * p2pmem_heap_publish() - begin or end the allocation of dma-bufs
 * @pdev: the provider
 * @publish: whether to begin; ignored without memory that has struct pages
 *
 * If the heap can't be made, because the host is out of memory or there are too
 * many heaps, this is logged. p2pmem/allocate works without the heap.
 *
 * Context: Process context, from the driver of @pdev.
 */
void p2pmem_heap_publish(struct pci_dev *pdev, bool publish)
{
	struct p2pmem *p2pmem = p2pmem_of(pdev);
	struct p2pmem_heap *heap;

	if (!publish) {
		if (p2pmem)
			p2pmem_heap_forget(p2pmem);
		return;
	}
	if (!p2pmem_is_live(pdev))
		return;

	mutex_lock(&p2pmem_heaps_lock);
	heap = p2pmem_heap_find(pdev) ?: p2pmem_heap_add(pdev);
	if (IS_ERR(heap)) {
		pci_warn(pdev, "no dma-heap for peer-to-peer memory: %ld\n",
			 PTR_ERR(heap));
	} else if (!heap->p2pmem) {
		kref_get(&p2pmem->ref);
		heap->p2pmem = p2pmem;
	}
	mutex_unlock(&p2pmem_heaps_lock);
}

/**
 * p2pmem_heap_forget() - end the allocation of dma-bufs
 * @p2pmem: a provider; nothing happens if it was not published
 *
 * Context: Process context.
 */
void p2pmem_heap_forget(struct p2pmem *p2pmem)
{
	struct p2pmem_heap *heap;
	bool found = false;

	mutex_lock(&p2pmem_heaps_lock);
	list_for_each_entry(heap, &p2pmem_heaps, node) {
		if (heap->p2pmem != p2pmem)
			continue;
		heap->p2pmem = NULL;
		found = true;
	}
	mutex_unlock(&p2pmem_heaps_lock);
	if (found)
		p2pmem_put(p2pmem);
}

/* The function is being removed; its driver has been unbound. */
static int p2pmem_heap_notify(struct notifier_block *nb, unsigned long action,
			      void *data)
{
	struct p2pmem *p2pmem = NULL;
	struct p2pmem_heap *heap;

	if (action != BUS_NOTIFY_DEL_DEVICE)
		return NOTIFY_DONE;

	mutex_lock(&p2pmem_heaps_lock);
	heap = p2pmem_heap_find(to_pci_dev(data));
	if (heap) {
		list_del(&heap->node);
		/* A driver bound since can't find the heap any more. */
		p2pmem = heap->p2pmem;
		heap->p2pmem = NULL;
	}
	mutex_unlock(&p2pmem_heaps_lock);
	if (p2pmem)
		p2pmem_put(p2pmem);
	if (heap)
		dma_heap_remove(heap->heap);
	return NOTIFY_DONE;
}

static struct notifier_block p2pmem_heap_nb = {
	.notifier_call = p2pmem_heap_notify,
};

static int __init p2pmem_heap_init(void)
{
	return bus_register_notifier(&pci_bus_type, &p2pmem_heap_nb);
}
subsys_initcall(p2pmem_heap_init);	/* before any driver can publish memory */
