// SPDX-License-Identifier: GPL-2.0
/*
 * PCI peer-to-peer memory for userspace: buffers, and the file p2pmem/allocate.
 *
 *	provider	a PCI function whose driver gave a BAR to
 *			pci_p2pdma_add_resource()
 *	buffer		one allocation out of its pool: a file
 *	mapping		a VM_P2P VMA over a buffer; it holds the file, no pages
 *
 * mmap() of the sysfs file allocates a buffer and maps it in place of the sysfs
 * file. f_op->release() frees the buffer when the last reference to its file is
 * gone, for example the mapping of a process or of its child. Pages that a
 * system call or a driver still holds then return to the pool on their own, see
 * pages.c.
 *
 * All buffers of a provider share one inode, and vm_pgoff is the page frame number.
 * So one unmap_mapping_range() revokes the memory of the whole device.
 *
 * The states of all of these, and what orders their changes, are in
 * Documentation/mm/p2p_lifetime.rst. The locks are in core.h.
 */

#include <linux/align.h>
#include <linux/capability.h>
#include <linux/device.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/list.h>
#include <linux/memremap.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/p2p_ratelimit.h>
#include <linux/pagemap.h>
#include <linux/pci.h>
#include <linux/pci-p2pdma.h>
#include <linux/percpu-refcount.h>
#include <linux/pgtable.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/security.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/sysfs.h>
#include <linux/uidgid.h>
#include <linux/vm_p2p.h>
#include <linux/wait.h>

#include "buffer.h"
#include "core.h"
#include "mapper.h"
#include "pages.h"
#include "pool.h"
#include "quota.h"

#define CREATE_TRACE_POINTS
#include <trace/events/p2pmem.h>

static void p2pmem_buffer_free(struct p2pmem_buffer *buffer)
{
	struct p2pmem *p2pmem = buffer->p2pmem;
	bool owns_pages;

	mutex_lock(&p2pmem->lock);
	owns_pages = !list_empty(&buffer->node);
	list_del_init(&buffer->node);
	mutex_unlock(&p2pmem->lock);

	trace_p2pmem_release(buffer->pfn, buffer->nr_pages);
	/* Otherwise p2pmem_revoke() has put the pages. */
	if (owns_pages)
		p2pmem_put_buffer(buffer->pfn, buffer->nr_pages,
				  buffer->mapper);

	p2pmem_buffer_fini_resv(buffer);
	mutex_destroy(&buffer->first_use);
	kfree(buffer);
	p2pmem_put(p2pmem);
}

/* Charges the users of the current process for a buffer, with p2pmem->lock held. */
static int p2pmem_buffer_charge(struct p2pmem_buffer *buffer,
				struct p2pmem *p2pmem, unsigned long nr_pages)
{
	const struct p2pmem_payers *payers = p2pmem_mapper_payers(buffer->mapper);
	bool exempt = ns_capable_noaudit(&init_user_ns, CAP_SYS_RESOURCE);
	struct p2pmem_quota *quota = &p2pmem->quota;
	kuid_t over, user = payers->uids[0];
	char whose[40] = "the user";
	int error;

	error = p2pmem_quota_charge(quota, payers, nr_pages, exempt, &over);
	if (error != -EDQUOT)
		return error;

	/* Any other user in @payers owns a user namespace. */
	if (!uid_eq(over, user))
		snprintf(whose, sizeof(whose), "the namespace's owner %u",
			 from_kuid(&init_user_ns, over));
	dev_p2p_notice(&p2pmem->pdev->dev,
		       "%s[%d] of user %u asked for %lu KiB of peer-to-peer memory: with what %s has, more than the %lu KiB of p2pmem/user_limit\n",
		       current->comm, task_pid_nr(current),
		       from_kuid(&init_user_ns, user),
		       nr_pages << (PAGE_SHIFT - 10), whose,
		       quota->max << (PAGE_SHIFT - 10));
	return error;
}

static struct p2pmem_buffer *
p2pmem_buffer_alloc(struct p2pmem *p2pmem, size_t size,
		    const struct p2pmem_user *user)
{
	struct p2pmem_buffer *buffer;
	struct percpu_ref *pgmap_ref;
	unsigned long nr_pages, pfn;
	unsigned int noio;
	int error;

	buffer = kzalloc(sizeof(*buffer), GFP_KERNEL_ACCOUNT);
	if (!buffer)
		return ERR_PTR(-ENOMEM);

	buffer->user = *user;
	buffer->mapper = p2pmem_mapper_create(p2pmem);
	if (!buffer->mapper) {
		kfree(buffer);
		return ERR_PTR(-ENOMEM);
	}

	/*
	 * Reclaim must not do I/O with the lock held: it may write to the very
	 * drive whose reset waits for the lock.
	 */
	noio = memalloc_noio_save();
	mutex_lock(&p2pmem->lock);
	error = -ENODEV;
	if (!p2pmem->live)
		goto err_unlock;

	nr_pages = p2pmem_pool_pages(p2pmem->pool, size);
	error = p2pmem_buffer_charge(buffer, p2pmem, nr_pages);
	if (error)
		goto err_unlock;

	error = -ENOMEM;
	pfn = p2pmem_pool_alloc(p2pmem->pool, nr_pages, (void **)&pgmap_ref);
	if (!pfn) {
		dev_p2p_notice(&p2pmem->pdev->dev,
			       "%s[%d] asked for %zu KiB of contiguous peer-to-peer memory, more than is left; see p2pmem/available\n",
			       current->comm, task_pid_nr(current), size >> 10);
		goto err_uncharge;
	}

	error = -ENODEV;
	if (!percpu_ref_tryget_live(pgmap_ref))
		goto err_pool_free;
	percpu_ref_get_many(pgmap_ref, nr_pages - 1);

	buffer->p2pmem = p2pmem;
	buffer->pfn = pfn;
	buffer->nr_pages = nr_pages;
	buffer->nr_asked = PFN_UP(size);
	/* The lock excludes revocation, so the struct pages exist. */
	buffer->write_combine = page_pgmap(pfn_to_page(pfn))->flags &
				PGMAP_WRITE_COMBINE;
	buffer->last_user = p2pmem_pool_last_user(p2pmem->pool, pfn);
	mutex_init(&buffer->first_use);
	p2pmem_buffer_init_resv(buffer);
	list_add(&buffer->node, &p2pmem->buffers);
	kref_get(&p2pmem->ref);
	mutex_unlock(&p2pmem->lock);
	memalloc_noio_restore(noio);
	return buffer;

err_pool_free:
	p2pmem_pool_free(p2pmem->pool, pfn, nr_pages);
err_uncharge:
	p2pmem_quota_uncharge(&p2pmem->quota,
			      p2pmem_mapper_payers(buffer->mapper), nr_pages);
err_unlock:
	mutex_unlock(&p2pmem->lock);
	memalloc_noio_restore(noio);
	p2pmem_mapper_done(buffer->mapper);
	kfree(buffer);
	return ERR_PTR(error);
}

static int p2pmem_buffer_release(struct inode *inode, struct file *file)
{
	p2pmem_buffer_free(file->private_data);
	return 0;
}

static const struct file_operations p2pmem_buffer_fops = {
	.release	= p2pmem_buffer_release,
};

/**
 * p2pmem_buffer_create() - allocate a buffer
 * @p2pmem: the provider
 * @size: its size in bytes, which is rounded up
 * @user: the user that memory is cleared for
 *
 * The users of the current process are charged for it.
 *
 * Context: Process context.
 * Return: the buffer's file, whose release frees it; an ERR_PTR(): -ENODEV if
 *	   the provider is gone; -ENOMEM if the pool has no contiguous piece of
 *	   this size, the host is out of memory, or a user would exceed the
 *	   quota; -ENFILE.
 */
struct file *p2pmem_buffer_create(struct p2pmem *p2pmem, size_t size,
				  const struct p2pmem_user *user)
{
	struct p2pmem_buffer *buffer = p2pmem_buffer_alloc(p2pmem, size, user);
	struct file *file;

	trace_p2pmem_alloc(p2pmem->pdev, IS_ERR(buffer) ? 0 : buffer->pfn,
			   PFN_UP(size), PTR_ERR_OR_ZERO(buffer));
	/* A program can only react as if the memory were used up. */
	if (buffer == ERR_PTR(-EDQUOT))
		return ERR_PTR(-ENOMEM);
	if (IS_ERR(buffer))
		return ERR_CAST(buffer);

	file = alloc_file_clone(p2pmem->file, O_RDWR, &p2pmem_buffer_fops);
	if (IS_ERR(file))
		p2pmem_buffer_free(buffer);
	else
		file->private_data = buffer;
	return file;
}

/* Returns the first page of the folio that a page of the buffer is in, or will be. */
static unsigned long p2pmem_buffer_folio(const struct p2pmem_buffer *buffer,
					 unsigned long pfn, unsigned int *order)
{
	*order = p2pmem_order(pfn, buffer->pfn, buffer->nr_pages);
	return ALIGN_DOWN(pfn, 1UL << *order);
}

/**
 * p2pmem_buffer_use() - take pages of a buffer into use
 * @buffer: the buffer
 * @pfn: the first page frame
 * @nr_pages: how many pages
 *
 * Clears all of the folios that the pages are in, if necessary, and takes their base
 * references.
 *
 * Context: Process context, may sleep. The caller holds the invalidate_lock, and the
 *	    provider is live and not paused.
 * Return: 0; -EAGAIN asks the caller to drop the lock and try again; other errors of
 *	   p2pmem_clear().
 */
int p2pmem_buffer_use(struct p2pmem_buffer *buffer, unsigned long pfn,
		      unsigned long nr_pages)
{
	struct address_space *mapping = buffer->p2pmem->file->f_mapping;
	unsigned long first, last, end = pfn + nr_pages;
	unsigned int order;
	int error = 0;

	if (!mutex_trylock(&buffer->first_use)) {
		mutex_lock(&buffer->first_use);
		/* Don't make a revocation wait for each thread that waited here. */
		if (rwsem_is_contended(&mapping->invalidate_lock))
			error = -EAGAIN;
	}
	while (pfn < end && !error) {
		first = p2pmem_buffer_folio(buffer, pfn, &order);
		pfn = first + (1UL << order);
		if (p2pmem_is_used(pfn_to_page(first)))
			continue;

		/* Up to the next PMD, all are base pages: do them together. */
		last = order ? pfn : min(end, ALIGN(pfn, PMD_SIZE >> PAGE_SHIFT));
		while (pfn < last && !p2pmem_is_used(pfn_to_page(pfn)))
			pfn++;

		error = p2pmem_clear(buffer->last_user, &buffer->user, first,
				     pfn - first);
		if (!error)
			p2pmem_use(pfn_to_page(first), pfn - first, order);
	}
	mutex_unlock(&buffer->first_use);
	return error;
}

static vm_fault_t p2pmem_use_error(int error)
{
	/* Nothing is mapped yet, so the access faults again. */
	return error == -EAGAIN ? VM_FAULT_NOPAGE : vmf_error(error);
}

static vm_fault_t p2pmem_map_huge(struct vm_fault *vmf,
				  struct p2pmem_buffer *buffer,
				  unsigned long pfn, unsigned int order)
{
	unsigned int folio_order;
	unsigned long first = p2pmem_buffer_folio(buffer, pfn, &folio_order);
	int error;

	if (folio_order < order)
		return VM_FAULT_FALLBACK;

	if (!p2pmem_is_used(pfn_to_page(first))) {
		error = p2pmem_buffer_use(buffer, pfn, 1);
		if (error)
			return p2pmem_use_error(error);
	}
	return vmf_insert_p2p(vmf, ALIGN_DOWN(pfn, 1UL << order), order);
}

static vm_fault_t p2pmem_map_pages(struct vm_fault *vmf,
				   struct p2pmem_buffer *buffer)
{
	unsigned long nr_pages, addr = p2p_fault_around(vmf, &nr_pages);
	unsigned long first = linear_page_index(vmf->vma, addr);
	int error = p2pmem_buffer_use(buffer, first, nr_pages);

	if (error)
		return p2pmem_use_error(error);
	return vmf_insert_p2p_pages(vmf, addr, first, nr_pages);
}

/* Called with the invalidate_lock held, so that the memory can't be revoked. */
static vm_fault_t p2pmem_map(struct vm_fault *vmf, unsigned int order)
{
	struct p2pmem_buffer *buffer = vmf->vma->vm_file->private_data;
	unsigned long pfn = linear_page_index(vmf->vma, vmf->address);
	unsigned int noio;
	vm_fault_t ret;

	if (!buffer->p2pmem->live ||
	    WARN_ON_ONCE(pfn - buffer->pfn >= buffer->nr_pages))
		return VM_FAULT_SIGBUS;

	if (buffer->p2pmem->paused)
		return VM_FAULT_RETRY;

	/* Reclaim must not do I/O here, as in p2pmem_buffer_alloc(). */
	noio = memalloc_noio_save();
	ret = order ? p2pmem_map_huge(vmf, buffer, pfn, order) :
		      p2pmem_map_pages(vmf, buffer);
	memalloc_noio_restore(noio);
	return ret;
}

/**
 * p2pmem_wait_resumed() - wait in a fault until the device can be reached again
 * @vmf: the fault; the mapped file keeps the object with @resumed and @paused
 * @resumed: the wait queue
 * @paused: false when the wait is over
 *
 * Context: Process context, in a fault handler that holds no locks of its own.
 * Return: what the fault handler is to return: VM_FAULT_RETRY, so that the access is
 *	   tried again, or VM_FAULT_SIGBUS if the mmap_lock must not be dropped.
 */
vm_fault_t p2pmem_wait_resumed(struct vm_fault *vmf,
			       struct wait_queue_head *resumed,
			       const bool *paused)
{
	struct file *file = vmf->vma->vm_file;

	/* The reset may need the mmap_lock, to make holders let go. */
	if (!(vmf->flags & FAULT_FLAG_ALLOW_RETRY))
		return VM_FAULT_SIGBUS;
	if (vmf->flags & FAULT_FLAG_RETRY_NOWAIT)
		return VM_FAULT_RETRY;

	/* Waits without the mmap_lock, also when the access is tried again. */
	get_file(file);
	mmap_read_unlock(vmf->vma->vm_mm);
	wait_event_killable(*resumed, !READ_ONCE(*paused));
	fput(file);
	return VM_FAULT_RETRY;
}

/* Returns true if an aligned entry of that order lies in the mapping. */
static bool p2pmem_fits(const struct vm_fault *vmf, unsigned int order)
{
	struct vm_area_struct *vma = vmf->vma;
	unsigned long size = PAGE_SIZE << order;
	unsigned long start = ALIGN_DOWN(vmf->address, size);

	return start >= vma->vm_start && start + size <= vma->vm_end &&
	       IS_ALIGNED(linear_page_index(vma, start), 1UL << order);
}

static vm_fault_t p2pmem_huge_fault(struct vm_fault *vmf,
				    enum page_entry_size pe_size)
{
	struct file *file = vmf->vma->vm_file;
	struct p2pmem_buffer *buffer = file->private_data;
	struct p2pmem *p2pmem = buffer->p2pmem;
	int order = p2p_fault_order(pe_size);
	vm_fault_t ret;

	if (order < 0 || !p2pmem_fits(vmf, order))
		return VM_FAULT_FALLBACK;

	filemap_invalidate_lock_shared(file->f_mapping);
	ret = p2pmem_map(vmf, order);
	filemap_invalidate_unlock_shared(file->f_mapping);

	trace_p2pmem_fault(vmf->address, vmf->pgoff, order,
			   vmf->flags & FAULT_FLAG_WRITE, ret);
	if (ret & VM_FAULT_RETRY)
		ret = p2pmem_wait_resumed(vmf, &p2pmem->resumed,
					  &p2pmem->paused);
	return ret;
}

static vm_fault_t p2pmem_fault(struct vm_fault *vmf)
{
	return p2pmem_huge_fault(vmf, PE_SIZE_PTE);
}

/*
 * For a debugger, by ptrace() or /proc/PID/mem. These can't get the pages from
 * get_user_pages(), because they would copy with kmap() and memcpy(). Memory
 * behind a BAR needs memcpy_fromio() and memcpy_toio(), on the page map's own
 * mapping.
 *
 * As for ordinary memory, a debugger may read memory that mprotect() has made
 * unreadable for the process, but may not write to read-only memory: in a
 * shared mapping others would see the change.
 */
static int p2pmem_copy(struct vm_area_struct *vma, unsigned long addr,
		       void *buf, int len, bool write)
{
	struct page *page = pfn_to_page(linear_page_index(vma, addr));
	void __iomem *mem;

	if (!(vma->vm_flags & (write ? VM_WRITE : VM_MAYREAD)))
		return -EFAULT;

	/* One page at a time: @addr + @len may lie outside of @vma. */
	len = min_t(unsigned long, len, PAGE_SIZE - offset_in_page(addr));
	mem = (void __iomem *)page_to_virt(page) + offset_in_page(addr);
	if (write)
		memcpy_toio(mem, buf, len);
	else
		memcpy_fromio(buf, mem, len);
	return len;
}

static int p2pmem_access(struct vm_area_struct *vma, unsigned long addr,
			 void *buf, int len, int write)
{
	struct file *file = vma->vm_file;
	struct p2pmem_buffer *buffer = file->private_data;
	unsigned int noio = memalloc_noio_save();
	int ret;

	do {
		filemap_invalidate_lock_shared(file->f_mapping);
		ret = -EFAULT;
		if (buffer->p2pmem->live && !buffer->p2pmem->paused)
			ret = p2pmem_buffer_use(buffer,
						linear_page_index(vma, addr), 1);
		if (!ret)
			ret = p2pmem_copy(vma, addr, buf, len, write);
		filemap_invalidate_unlock_shared(file->f_mapping);
	} while (ret == -EAGAIN);
	memalloc_noio_restore(noio);
	return ret;
}

static const struct vm_operations_struct p2pmem_vm_ops = {
	.open		= p2p_vma_open,
	.fault		= p2pmem_fault,
	.huge_fault	= p2pmem_huge_fault,
	.access		= p2pmem_access,
};

/**
 * p2pmem_vma_is_buffer() - check whether a VMA is a mapping of a buffer
 * @vma: any VMA
 *
 * Context: Any. The caller keeps @vma.
 * Return: true if its file's private_data is a buffer.
 */
bool p2pmem_vma_is_buffer(const struct vm_area_struct *vma)
{
	return vma->vm_ops == &p2pmem_vm_ops;
}

/**
 * p2pmem_buffer_mmap() - make a VMA a mapping of a buffer
 * @file: the buffer's file, which replaces that of @vma
 * @vma: the VMA, which p2p_vma_init() has prepared; its vm_pgoff is its offset
 *	in the buffer, in pages, and all of it lies in the buffer
 *
 * Context: Process context, with the mmap_lock held for writing.
 */
void p2pmem_buffer_mmap(struct file *file, struct vm_area_struct *vma)
{
	const struct p2pmem_buffer *buffer = file->private_data;

	/* Aliases must have the memory type of the kernel's own mapping. */
	if (buffer->write_combine)
		vma->vm_page_prot = pgprot_writecombine(vma->vm_page_prot);
	vma->vm_pgoff += buffer->pfn;
	vma->vm_ops = &p2pmem_vm_ops;
	vma_set_file(vma, file);
}

static int p2pmem_allocate_mmap(struct file *sysfs_file, struct kobject *kobj,
				struct bin_attribute *attr,
				struct vm_area_struct *vma)
{
	struct pci_dev *pdev = to_pci_dev(kobj_to_dev(kobj));
	struct p2pmem *p2pmem = p2pmem_of(pdev);
	struct p2pmem_user user;
	struct file *file;
	int error;

	/* The same restriction as for the files resourceN. */
	error = security_locked_down(LOCKDOWN_PCI_ACCESS);
	if (error)
		return error;

	if (!p2pmem || !pci_has_p2pmem(pdev))
		return -ENODEV;

	/* Each mmap() is a new allocation, so an offset has no meaning. */
	if (vma->vm_pgoff)
		return -EINVAL;

	error = p2p_vma_init(vma);
	if (error)
		return error;

	p2pmem_user_init(&user, sysfs_file);
	file = p2pmem_buffer_create(p2pmem, vma->vm_end - vma->vm_start, &user);
	if (IS_ERR(file))
		return PTR_ERR(file);

	/* kernfs leaves the VMA alone when its file was replaced. */
	p2pmem_buffer_mmap(file, vma);
	/* From here on the VMA's reference to the file owns the buffer. */
	fput(file);
	return 0;
}

struct bin_attribute p2pmem_allocate_attr = {
	.attr	= { .name = "allocate", .mode = 0660 },
	/*
	 * Python's mmap module and others map no more of a file than its size.
	 * So this is as large as any BAR will be, and the same as in Linux 6.2.
	 */
	.size	= SZ_1T,
	.mmap	= p2pmem_allocate_mmap,
	.get_unmapped_area = p2p_get_unmapped_area,
};
