// SPDX-License-Identifier: GPL-2.0
/*
 * PCI peer-to-peer memory for userspace: the file p2pmem/allocate.
 *
 *	provider	a PCI function whose driver gave a BAR to
 *			pci_p2pdma_add_resource()
 *	buffer		one allocation out of its pool: a file
 *	mapping		a VM_P2P VMA over a buffer; it holds the file, no pages
 *
 * mmap() of the sysfs file allocates a buffer and maps it in place of the sysfs
 * file. The buffer dies in f_op->release(), whatever held it last: an address
 * space, or a child's copy of it. Pages that a system call or a driver still
 * holds by then return to the pool on their own, see p2pmem-pages.c.
 *
 * All buffers of a provider share one dentry, and vm_pgoff is the page frame
 * number. So one unmap_mapping_range() revokes the whole device.
 *
 * The states of all of these, and what orders their changes, are in
 * Documentation/mm/p2p_lifetime.rst. Locks are in p2pmem-provider.h.
 */

#include <linux/align.h>
#include <linux/capability.h>
#include <linux/device.h>
#include <linux/file.h>
#include <linux/fs.h>
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

#include "p2pmem.h"
#include "p2pmem-limit.h"
#include "p2pmem-provider.h"

#define CREATE_TRACE_POINTS
#include <trace/events/p2pmem.h>

static void p2pmem_buffer_free(struct p2pmem_buffer *buffer)
{
	struct p2pmem_provider *provider = buffer->provider;
	bool owns_pages;

	mutex_lock(&provider->lock);
	owns_pages = !list_empty(&buffer->node);
	list_del_init(&buffer->node);
	mutex_unlock(&provider->lock);

	trace_p2pmem_release(buffer->pfn, buffer->nr_pages);
	/* Else p2pmem_revoke() was faster. */
	if (owns_pages)
		p2pmem_put_buffer(buffer->pfn, buffer->nr_pages,
				  buffer->holder);

	mutex_destroy(&buffer->first_use);
	kfree(buffer);
	p2pmem_provider_put(provider);
}

/* Counts what the current process is about to get; with the provider's lock held. */
static int p2pmem_buffer_charge(struct p2pmem_buffer *buffer,
				struct p2pmem_provider *provider,
				unsigned long nr_pages)
{
	struct p2pmem_limit *limit = p2pmem_pool_limit(provider->pool);
	char whose[40] = "the user";
	kuid_t over;
	int error = p2pmem_limit_charge(limit,
					p2pmem_holder_payers(buffer->holder),
					nr_pages,
					ns_capable_noaudit(&init_user_ns,
							   CAP_SYS_RESOURCE),
					&over);

	if (error != -EDQUOT)
		return error;

	/* Else it is the owner of a user namespace. */
	if (!uid_eq(over, buffer->user.uid))
		snprintf(whose, sizeof(whose), "the namespace's owner %u",
			 from_kuid(&init_user_ns, over));
	dev_notice_p2p(&provider->pdev->dev,
		       "%s[%d] of user %u asked for %lu KiB of peer-to-peer memory: with what %s has, more than the %lu KiB of p2pmem/user_limit\n",
		       current->comm, task_pid_nr(current),
		       from_kuid(&init_user_ns, buffer->user.uid),
		       nr_pages << (PAGE_SHIFT - 10), whose,
		       limit->max << (PAGE_SHIFT - 10));
	return error;
}

static struct p2pmem_buffer *
p2pmem_buffer_alloc(struct p2pmem_provider *provider, size_t size,
		    struct file *sysfs_file)
{
	struct p2pmem_buffer *buffer;
	struct percpu_ref *pgmap_ref;
	unsigned long nr_pages, pfn;
	unsigned int noio;
	int error;

	buffer = kzalloc(sizeof(*buffer), GFP_KERNEL_ACCOUNT);
	if (!buffer)
		return ERR_PTR(-ENOMEM);

	p2pmem_user_init(&buffer->user, sysfs_file);
	buffer->holder = p2pmem_holder_create(buffer->user.uid);
	if (!buffer->holder) {
		kfree(buffer);
		return ERR_PTR(-ENOMEM);
	}

	/* A reset wants the lock, maybe of the drive that reclaim would write to. */
	noio = memalloc_noio_save();
	mutex_lock(&provider->lock);
	error = -ENODEV;
	if (!provider->live)
		goto err_unlock;

	nr_pages = p2pmem_pool_pages(provider->pool, size);
	error = p2pmem_buffer_charge(buffer, provider, nr_pages);
	if (error)
		goto err_unlock;

	error = -ENOMEM;
	pfn = p2pmem_pool_alloc(provider->pool, nr_pages, (void **)&pgmap_ref);
	if (!pfn) {
		dev_notice_p2p(&provider->pdev->dev,
			       "%s[%d] asked for %zu KiB of contiguous peer-to-peer memory, more than is left; see p2pmem/available\n",
			       current->comm, task_pid_nr(current), size >> 10);
		goto err_uncharge;
	}

	error = -ENODEV;
	if (!percpu_ref_tryget_live(pgmap_ref))
		goto err_pool_free;
	percpu_ref_get_many(pgmap_ref, nr_pages - 1);

	buffer->provider = provider;
	buffer->pfn = pfn;
	buffer->nr_pages = nr_pages;
	/* Here it can't be revoked, and its struct pages are there. */
	buffer->write_combine = page_pgmap(pfn_to_page(pfn))->flags &
				PGMAP_WRITE_COMBINE;
	buffer->history = p2pmem_pool_history(provider->pool, pfn);
	mutex_init(&buffer->first_use);
	list_add(&buffer->node, &provider->buffers);
	kref_get(&provider->ref);
	mutex_unlock(&provider->lock);
	memalloc_noio_restore(noio);
	return buffer;

err_pool_free:
	p2pmem_pool_free(provider->pool, pfn, nr_pages);
err_uncharge:
	p2pmem_limit_uncharge(p2pmem_pool_limit(provider->pool),
			      p2pmem_holder_payers(buffer->holder), nr_pages);
err_unlock:
	mutex_unlock(&provider->lock);
	memalloc_noio_restore(noio);
	p2pmem_holder_done(buffer->holder);
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

static struct file *p2pmem_buffer_file(struct p2pmem_buffer *buffer)
{
	struct file *file = alloc_file_clone(buffer->provider->file, O_RDWR,
					     &p2pmem_buffer_fops);

	if (!IS_ERR(file))
		file->private_data = buffer;
	return file;
}

/* The first page of the folio that a page of the buffer is in, or will be. */
static unsigned long p2pmem_buffer_folio(const struct p2pmem_buffer *buffer,
					 unsigned long pfn, unsigned int *order)
{
	*order = p2pmem_order(pfn, buffer->pfn, buffer->nr_pages);
	return ALIGN_DOWN(pfn, 1UL << *order);
}

/*
 * Takes pages of the buffer into use, with all of the folios that they are in. There
 * is nothing in them then that is not for its user to see. -EAGAIN: to be tried
 * again.
 */
static int p2pmem_buffer_use(struct p2pmem_buffer *buffer, unsigned long pfn,
			     unsigned long nr_pages)
{
	unsigned long first, last, end = pfn + nr_pages;
	unsigned int order;
	int error = 0;

	mutex_lock(&buffer->first_use);
	while (pfn < end && !error) {
		first = p2pmem_buffer_folio(buffer, pfn, &order);
		pfn = first + (1UL << order);
		if (p2pmem_is_used(pfn_to_page(first)))
			continue;

		/* Base pages together: all pages around are, up to the next PMD. */
		last = order ? pfn : min(end, ALIGN(pfn, PMD_SIZE >> PAGE_SHIFT));
		while (pfn < last && !p2pmem_is_used(pfn_to_page(pfn)))
			pfn++;

		error = p2pmem_clear(buffer->history, &buffer->user, first,
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

/* With the invalidate_lock held, so that the memory stays where it is. */
static vm_fault_t p2pmem_map(struct vm_fault *vmf, unsigned int order)
{
	struct p2pmem_buffer *buffer = vmf->vma->vm_file->private_data;
	unsigned long pfn = linear_page_index(vmf->vma, vmf->address);
	unsigned int noio;
	vm_fault_t ret;

	if (!buffer->provider->live ||
	    WARN_ON_ONCE(pfn - buffer->pfn >= buffer->nr_pages))
		return VM_FAULT_SIGBUS;

	if (buffer->provider->paused)
		return VM_FAULT_RETRY;

	/* A reset wants the lock, maybe of the drive that reclaim would write to. */
	noio = memalloc_noio_save();
	ret = order ? p2pmem_map_huge(vmf, buffer, pfn, order) :
		      p2pmem_map_pages(vmf, buffer);
	memalloc_noio_restore(noio);
	return ret;
}

/**
 * p2pmem_wait_resumed() - wait in a fault until the device can be reached again
 * @vmf: a fault in a mapping whose file keeps what the others are in
 * @resumed: where to wait
 * @paused: until this is false
 *
 * Context: Process context, in a fault handler that holds no locks of its own.
 * Return: what the fault handler is to return, so that the access is tried again.
 */
vm_fault_t p2pmem_wait_resumed(struct vm_fault *vmf,
			       struct wait_queue_head *resumed,
			       const bool *paused)
{
	struct file *file = vmf->vma->vm_file;

	/* Who can't let the lock go has to wait with it. */
	if (!(vmf->flags & FAULT_FLAG_ALLOW_RETRY)) {
		wait_event_killable(*resumed, !READ_ONCE(*paused));
		return VM_FAULT_NOPAGE;
	}
	if (vmf->flags & FAULT_FLAG_RETRY_NOWAIT)
		return VM_FAULT_RETRY;

	/* Others may change the address space meanwhile, however often it takes. */
	get_file(file);
	mmap_read_unlock(vmf->vma->vm_mm);
	wait_event_killable(*resumed, !READ_ONCE(*paused));
	fput(file);
	return VM_FAULT_RETRY;
}

/* Does an entry of that order lie in the mapping, at an aligned address? */
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
	struct p2pmem_provider *provider = buffer->provider;
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
		ret = p2pmem_wait_resumed(vmf, &provider->resumed,
					  &provider->paused);
	return ret;
}

static vm_fault_t p2pmem_fault(struct vm_fault *vmf)
{
	return p2pmem_huge_fault(vmf, PE_SIZE_PTE);
}

/* For a debugger, by ptrace() or /proc/PID/mem: it can't have the pages. */
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
		if (buffer->provider->live && !buffer->provider->paused)
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

static int p2pmem_allocate_mmap(struct file *sysfs_file, struct kobject *kobj,
				struct bin_attribute *attr,
				struct vm_area_struct *vma)
{
	struct pci_dev *pdev = to_pci_dev(kobj_to_dev(kobj));
	struct p2pmem_provider *provider = p2pmem_provider(pdev);
	struct p2pmem_buffer *buffer;
	struct file *file;
	int error;

	/* As the files resourceN. */
	error = security_locked_down(LOCKDOWN_PCI_ACCESS);
	if (error)
		return error;

	if (!provider || !pci_has_p2pmem(pdev))
		return -ENODEV;

	/* Each mmap() is an allocation of its own, so there is no offset. */
	if (vma->vm_pgoff)
		return -EINVAL;

	error = p2p_vma_init(vma);
	if (error)
		return error;

	buffer = p2pmem_buffer_alloc(provider, vma->vm_end - vma->vm_start,
				     sysfs_file);
	trace_p2pmem_alloc(pdev, IS_ERR(buffer) ? 0 : buffer->pfn,
			   vma_pages(vma), PTR_ERR_OR_ZERO(buffer));
	/* For a program there is no difference to memory that is used up. */
	if (buffer == ERR_PTR(-EDQUOT))
		return -ENOMEM;
	if (IS_ERR(buffer))
		return PTR_ERR(buffer);

	file = p2pmem_buffer_file(buffer);
	if (IS_ERR(file)) {
		p2pmem_buffer_free(buffer);
		return PTR_ERR(file);
	}

	/* As the kernel's own mapping: one memory, one type. */
	if (buffer->write_combine)
		vma->vm_page_prot = pgprot_writecombine(vma->vm_page_prot);
	vma->vm_pgoff = buffer->pfn;
	vma->vm_ops = &p2pmem_vm_ops;
	/* kernfs leaves the VMA alone when its file was replaced. */
	vma_set_file(vma, file);
	/* The buffer is owned by the VMA's reference to the file from here. */
	fput(file);
	return 0;
}

struct bin_attribute p2pmem_allocate_attr = {
	.attr	= { .name = "allocate", .mode = 0660 },
	/*
	 * Python's mmap module and others map no more of a file than its size.
	 * As large as any BAR will be; Linux 6.2 has the same.
	 */
	.size	= SZ_1T,
	.mmap	= p2pmem_allocate_mmap,
	.get_unmapped_area = p2p_get_unmapped_area,
};
