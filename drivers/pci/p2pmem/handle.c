// SPDX-License-Identifier: GPL-2.0
/*
 * Access to buffers without a mapping: the checks and the clearing that a fault would do.
 *
 * The invalidate_lock is held only while the memory must not be revoked,
 * because a revocation waits for it.
 */

#include <linux/align.h>
#include <linux/bug.h>
#include <linux/compiler.h>
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/p2p_hold.h>
#include <linux/pagemap.h>
#include <linux/pci-p2pdma.h>
#include <linux/pgtable.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/wait.h>

#include "buffer.h"
#include "core.h"

/* Checks whether the memory can be reached. With the invalidate_lock held. */
static int p2pmem_buffer_status(const struct p2pmem_buffer *buffer)
{
	const struct p2pmem *p2pmem = buffer->p2pmem;

	if (!p2pmem->live)
		return -ENODEV;
	return p2pmem->paused ? -EAGAIN : 0;
}

/**
 * p2pmem_buffer_check() - check whether the memory of a buffer is there
 * @file: the buffer's file
 *
 * Context: Process context.
 * Return: 0 if it is, or was a moment ago; -ENODEV if the provider is gone, or has
 *	   failed; -EAGAIN while it is being reset.
 */
int p2pmem_buffer_check(struct file *file)
{
	int error;

	filemap_invalidate_lock_shared(file->f_mapping);
	error = p2pmem_buffer_status(file->private_data);
	filemap_invalidate_unlock_shared(file->f_mapping);
	return error;
}

/**
 * p2pmem_buffer_reaches() - check whether a device has a route to a buffer
 * @file: the buffer's file
 * @client: a PCI function
 *
 * Context: Process context.
 * Return: 0; -EREMOTEIO if it has none, or not to all of the buffer; errors of
 *	   p2pmem_buffer_check().
 */
int p2pmem_buffer_reaches(struct file *file, struct device *client)
{
	struct p2pmem_buffer *buffer = file->private_data;
	int error;

	filemap_invalidate_lock_shared(file->f_mapping);
	error = p2pmem_buffer_status(buffer);
	if (!error && !pci_p2pdma_reaches(client, pfn_to_page(buffer->pfn), 0,
					  buffer->nr_pages << PAGE_SHIFT))
		error = -EREMOTEIO;
	filemap_invalidate_unlock_shared(file->f_mapping);
	return error;
}

/**
 * p2pmem_buffer_use_all() - take all of a buffer into use
 * @file: the buffer's file
 *
 * Memory that was not in use before, and may hold data of another owner, is
 * cleared.
 *
 * Context: Process context. May take long, and sleep.
 * Return: 0; errors of p2pmem_buffer_check(); -EINTR after a fatal signal; -ENOMEM.
 */
int p2pmem_buffer_use_all(struct file *file)
{
	struct p2pmem_buffer *buffer = file->private_data;
	unsigned long pfn = buffer->pfn, end = pfn + buffer->nr_pages, next;
	/* Reclaim must not do I/O here, as in p2pmem_buffer_alloc(). */
	unsigned int noio = memalloc_noio_save();
	bool again = false;
	int error = 0;

	while (pfn < end && !error) {
		next = min(end, ALIGN(pfn + 1, PMD_SIZE >> PAGE_SHIFT));
		filemap_invalidate_lock_shared(file->f_mapping);
		error = p2pmem_buffer_status(buffer);
		if (!error) {
			error = p2pmem_buffer_use(buffer, pfn, next - pfn);
			again = error == -EAGAIN;
		}
		filemap_invalidate_unlock_shared(file->f_mapping);

		/* A part may be left, or a revocation waits: continue there. */
		if (again)
			error = 0;
		else
			pfn = next;
		again = false;
		cond_resched();
	}
	memalloc_noio_restore(noio);
	return error;
}

/* Fails if the provider is gone or being reset. The buffer is in use. */
static struct p2p_hold *
p2pmem_buffer_create_hold(struct file *file, const struct p2p_hold_ops *ops,
			  struct device *client, void *private)
{
	struct p2pmem_buffer *buffer = file->private_data;
	unsigned int noio = memalloc_noio_save();
	struct p2p_extent extent;
	struct p2p_hold *hold;
	int error;

	filemap_invalidate_lock_shared(file->f_mapping);
	error = p2pmem_buffer_status(buffer);
	if (error) {
		hold = ERR_PTR(error);
	} else {
		/* A buffer begins with a folio. */
		extent.folio = page_folio(pfn_to_page(buffer->pfn));
		extent.offset = 0;
		extent.len = buffer->nr_pages << PAGE_SHIFT;
		hold = p2p_hold_create(file, &extent, 1, ops, client, private);
	}
	filemap_invalidate_unlock_shared(file->f_mapping);
	memalloc_noio_restore(noio);
	return hold;
}

/**
 * p2pmem_buffer_hold() - hold all of a buffer
 * @file: the buffer's file
 * @ops: the kind of holder, in mode P2P_HOLD_TICKET
 * @client: the device that will use the memory, for the log, or NULL
 * @private: for the holder, in the hold
 *
 * The buffer is taken into use, as by p2pmem_buffer_use_all(). The hold has one extent.
 *
 * Context: Process context. Waits while the provider is being reset. May take long.
 * Return: the hold, unarmed; an ERR_PTR(): -EINVAL if @ops is not for tickets;
 *	   -ENODEV if the provider is gone, or has failed; -EINTR after a fatal
 *	   signal; -ENOMEM.
 */
struct p2p_hold *p2pmem_buffer_hold(struct file *file,
				    const struct p2p_hold_ops *ops,
				    struct device *client, void *private)
{
	struct p2pmem_buffer *buffer = file->private_data;
	struct p2pmem *p2pmem = buffer->p2pmem;
	struct p2p_hold *hold;
	int error;

	/* A lease would need an extent, and a pin, for each folio. */
	if (WARN_ON_ONCE(ops->mode != P2P_HOLD_TICKET))
		return ERR_PTR(-EINVAL);

	do {
		if (wait_event_killable(p2pmem->resumed,
					!READ_ONCE(p2pmem->paused)))
			return ERR_PTR(-EINTR);
		error = p2pmem_buffer_use_all(file);
		hold = error ? ERR_PTR(error) :
			       p2pmem_buffer_create_hold(file, ops, client,
							 private);
	} while (hold == ERR_PTR(-EAGAIN));
	return hold;
}

/**
 * p2pmem_buffer_flush() - wait until the CPU's writes to a buffer have arrived
 * @file: the buffer's file
 *
 * Otherwise a device that reaches the memory by another route than the CPU
 * could read old data.
 *
 * Context: Process context.
 * Return: 0; errors of p2pmem_buffer_check().
 */
int p2pmem_buffer_flush(struct file *file)
{
	struct p2pmem_buffer *buffer = file->private_data;
	int error;

	filemap_invalidate_lock_shared(file->f_mapping);
	error = p2pmem_buffer_status(buffer);
	if (!error) {
		/* A read completes after all stores. */
		mb();
		__raw_readl((void __iomem *)page_to_virt(pfn_to_page(buffer->pfn)));
	}
	filemap_invalidate_unlock_shared(file->f_mapping);
	return error;
}

/*
 * Returns true if the current process has all of a buffer mapped with these
 * rights. Called with its mmap_lock held. Each mapping is looked at once at
 * most, because the next round begins where it ends.
 */
static bool p2pmem_buffer_is_mapped(struct file *file, vm_flags_t rights)
{
	const struct p2pmem_buffer *buffer = file->private_data;
	unsigned long next, pfn = buffer->pfn, end = pfn + buffer->nr_asked;
	struct address_space *mapping = file->f_mapping;
	struct vm_area_struct *vma;

	i_mmap_lock_read(mapping);
	while (pfn < end) {
		next = pfn;
		vma_interval_tree_foreach(vma, &mapping->i_mmap, pfn, pfn)
			if (vma->vm_mm == current->mm && vma->vm_file == file &&
			    (vma->vm_flags & rights) == rights)
				next = max(next, vma->vm_pgoff + vma_pages(vma));
		if (next == pfn)
			break;
		pfn = next;
	}
	i_mmap_unlock_read(mapping);
	return pfn >= end;
}

/**
 * p2pmem_buffer_of_user() - find the buffer that is mapped at an address
 * @addr: user address
 * @rights: VM_MAYREAD, VM_MAYWRITE or both: what the mappings have to permit
 * @offset: where to store the offset of the address in the buffer, in bytes
 *
 * The caller must have all of the buffer mapped, in any number of pieces,
 * because another handle gives access to all of it.
 *
 * Context: Process context, with the address space of the caller. May sleep.
 * Return: the buffer's file, with a reference; an ERR_PTR(): -EFAULT if nothing is
 *	   mapped there; -EINVAL if that is not a buffer; -EACCES if a part of
 *	   the buffer is not mapped, or not with these rights; -EINTR after a
 *	   fatal signal.
 */
struct file *p2pmem_buffer_of_user(unsigned long addr, vm_flags_t rights,
				   u64 *offset)
{
	struct mm_struct *mm = current->mm;
	const struct p2pmem_buffer *buffer;
	struct vm_area_struct *vma;
	struct file *file;

	addr = untagged_addr(addr);
	if (mmap_read_lock_killable(mm))
		return ERR_PTR(-EINTR);

	vma = vma_lookup(mm, addr);
	if (!vma) {
		file = ERR_PTR(-EFAULT);
	} else if (!p2pmem_vma_is_buffer(vma)) {
		file = ERR_PTR(-EINVAL);
	} else if ((vma->vm_flags & rights) != rights ||
		   !p2pmem_buffer_is_mapped(vma->vm_file, rights)) {
		file = ERR_PTR(-EACCES);
	} else {
		file = get_file(vma->vm_file);
		buffer = file->private_data;
		*offset = PFN_PHYS(vma->vm_pgoff - buffer->pfn) +
			  (addr - vma->vm_start);
	}
	mmap_read_unlock(mm);
	return file;
}
