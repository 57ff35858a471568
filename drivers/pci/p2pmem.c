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
 * Locks, outermost first:
 *
 *	mmap_lock
 *	  provider->lock		which buffers there are, and whether
 *					there may be more
 *	  file->f_mapping->invalidate_lock
 *					faults and a debugger's accesses
 *					(shared) against revocation
 */

#include <linux/dcache.h>
#include <linux/delay.h>
#include <linux/device.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/jiffies.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/mount.h>
#include <linux/mutex.h>
#include <linux/pagemap.h>
#include <linux/pci.h>
#include <linux/pci-p2pdma.h>
#include <linux/percpu-refcount.h>
#include <linux/pseudo_fs.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/vm_p2p.h>

#include "p2pmem.h"

#define CREATE_TRACE_POINTS
#include <trace/events/p2pmem.h>

#define P2PMEM_FS_MAGIC		0x50325044	/* "P2PD" */

static struct vfsmount *p2pmem_mnt;

struct p2pmem_provider {
	struct kref ref;		/* the device's and one per buffer */
	struct pci_dev *pdev;		/* valid while live */
	struct file *file;		/* what the buffers are copies of */
	struct mutex lock;		/* protects buffers, live and pool */
	struct list_head buffers;
	struct p2pmem_pool *pool;		/* to be used only while live */
	bool live;			/* written under invalidate_lock, too */
};

struct p2pmem_buffer {
	struct p2pmem_provider *provider;
	struct list_head node;		/* empty once the pages were put */
	unsigned long pfn;
	unsigned long nr_pages;
	struct mutex first_use;		/* who forms a folio */
};

static void p2pmem_provider_free(struct kref *ref)
{
	struct p2pmem_provider *provider =
		container_of(ref, struct p2pmem_provider, ref);

	fput(provider->file);
	mutex_destroy(&provider->lock);
	kfree(provider);
}

static void p2pmem_provider_put(struct p2pmem_provider *provider)
{
	kref_put(&provider->ref, p2pmem_provider_free);
}

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
		p2pmem_put_buffer(buffer->pfn, buffer->nr_pages);

	mutex_destroy(&buffer->first_use);
	kfree(buffer);
	p2pmem_provider_put(provider);
}

static struct p2pmem_buffer *
p2pmem_buffer_alloc(struct p2pmem_provider *provider, size_t size)
{
	struct p2pmem_buffer *buffer;
	struct percpu_ref *pgmap_ref;
	unsigned long nr_pages, pfn;
	int error;

	buffer = kzalloc(sizeof(*buffer), GFP_KERNEL);
	if (!buffer)
		return ERR_PTR(-ENOMEM);

	mutex_lock(&provider->lock);
	error = -ENODEV;
	if (!provider->live)
		goto err_unlock;

	error = -ENOMEM;
	nr_pages = p2pmem_pool_pages(provider->pool, size);
	pfn = p2pmem_pool_alloc(provider->pool, nr_pages, (void **)&pgmap_ref);
	if (!pfn)
		goto err_unlock;

	error = -ENODEV;
	if (!percpu_ref_tryget_live(pgmap_ref))
		goto err_pool_free;
	percpu_ref_get_many(pgmap_ref, nr_pages - 1);

	buffer->provider = provider;
	buffer->pfn = pfn;
	buffer->nr_pages = nr_pages;
	mutex_init(&buffer->first_use);
	list_add(&buffer->node, &provider->buffers);
	kref_get(&provider->ref);
	mutex_unlock(&provider->lock);
	return buffer;

err_pool_free:
	p2pmem_pool_free(provider->pool, pfn, nr_pages);
err_unlock:
	mutex_unlock(&provider->lock);
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

static const struct file_operations p2pmem_provider_fops = {
};

static struct file *p2pmem_buffer_file(struct p2pmem_buffer *buffer)
{
	struct file *file = alloc_file_clone(buffer->provider->file, O_RDWR,
					     &p2pmem_buffer_fops);

	if (!IS_ERR(file))
		file->private_data = buffer;
	return file;
}

/* The order of the folio that a page of the buffer is in, which is in use then. */
static unsigned int p2pmem_buffer_use(struct p2pmem_buffer *buffer,
				      unsigned long pfn)
{
	unsigned int order = p2pmem_order(pfn, buffer->pfn, buffer->nr_pages);

	p2pmem_use(pfn_to_page(ALIGN_DOWN(pfn, 1UL << order)), order,
		   &buffer->first_use);
	return order;
}

static void p2pmem_map_around(struct vm_fault *vmf,
			      struct p2pmem_buffer *buffer)
{
	unsigned long nr_pages, addr = p2p_fault_around(vmf, &nr_pages);
	unsigned long first = linear_page_index(vmf->vma, addr);
	unsigned long pfn = first, size;

	while (pfn < first + nr_pages) {
		size = 1UL << p2pmem_buffer_use(buffer, pfn);
		pfn = ALIGN_DOWN(pfn, size) + size;
	}
	vmf_insert_p2p_more(vmf, addr, first, nr_pages);
}

/* With the invalidate_lock held, so that the memory stays where it is. */
static vm_fault_t p2pmem_map(struct vm_fault *vmf, unsigned int order)
{
	struct p2pmem_buffer *buffer = vmf->vma->vm_file->private_data;
	unsigned long pfn = linear_page_index(vmf->vma, vmf->address);
	vm_fault_t ret;

	if (!buffer->provider->live ||
	    WARN_ON_ONCE(pfn - buffer->pfn >= buffer->nr_pages))
		return VM_FAULT_SIGBUS;

	if (p2pmem_buffer_use(buffer, pfn) < order)
		return VM_FAULT_FALLBACK;

	ret = vmf_insert_p2p(vmf, ALIGN_DOWN(pfn, 1UL << order), order);
	if (!order && ret == VM_FAULT_NOPAGE)
		p2pmem_map_around(vmf, buffer);
	return ret;
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
	int order = p2p_fault_order(pe_size);
	vm_fault_t ret;

	if (order < 0 || !p2pmem_fits(vmf, order))
		return VM_FAULT_FALLBACK;

	filemap_invalidate_lock_shared(file->f_mapping);
	ret = p2pmem_map(vmf, order);
	filemap_invalidate_unlock_shared(file->f_mapping);

	trace_p2pmem_fault(vmf->address, vmf->pgoff, order,
			   vmf->flags & FAULT_FLAG_WRITE, ret);
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
	int ret = -EFAULT;

	filemap_invalidate_lock_shared(file->f_mapping);
	if (buffer->provider->live)
		ret = p2pmem_copy(vma, addr, buf, len, write);
	filemap_invalidate_unlock_shared(file->f_mapping);
	return ret;
}

static const struct vm_operations_struct p2pmem_vm_ops = {
	.open		= p2p_vma_open,
	.fault		= p2pmem_fault,
	.huge_fault	= p2pmem_huge_fault,
	.access		= p2pmem_access,
};

static void p2pmem_devres_release(struct device *dev, void *res)
{
	p2pmem_provider_put(*(struct p2pmem_provider **)res);
}

/* p2pmem_setup() makes it outlive the sysfs files. */
static struct p2pmem_provider *p2pmem_provider(struct pci_dev *pdev)
{
	struct p2pmem_provider **res;

	res = devres_find(&pdev->dev, p2pmem_devres_release, NULL, NULL);
	return res ? *res : NULL;
}

static int p2pmem_allocate_mmap(struct file *sysfs_file, struct kobject *kobj,
				struct bin_attribute *attr,
				struct vm_area_struct *vma)
{
	struct pci_dev *pdev = to_pci_dev(kobj_to_dev(kobj));
	struct p2pmem_provider *provider = p2pmem_provider(pdev);
	struct p2pmem_buffer *buffer;
	struct file *file;
	int error;

	if (!provider || !pci_has_p2pmem(pdev))
		return -ENODEV;

	/* Each mmap() is an allocation of its own, so there is no offset. */
	if (vma->vm_pgoff)
		return -EINVAL;

	error = p2p_vma_init(vma);
	if (error)
		return error;

	buffer = p2pmem_buffer_alloc(provider, vma->vm_end - vma->vm_start);
	trace_p2pmem_alloc(pdev, IS_ERR(buffer) ? 0 : buffer->pfn,
			   vma_pages(vma), PTR_ERR_OR_ZERO(buffer));
	if (IS_ERR(buffer)) {
		if (PTR_ERR(buffer) == -ENOMEM)
			dev_notice_ratelimited(&pdev->dev,
					       "%s[%d] asked for %lu KiB of contiguous peer-to-peer memory, more than is left; see p2pmem/available\n",
					       current->comm,
					       task_pid_nr(current),
					       vma_pages(vma) << (PAGE_SHIFT - 10));
		return PTR_ERR(buffer);
	}

	file = p2pmem_buffer_file(buffer);
	if (IS_ERR(file)) {
		p2pmem_buffer_free(buffer);
		return PTR_ERR(file);
	}

	/* As the kernel's own mapping: one memory, one type. */
	if (page_pgmap(pfn_to_page(buffer->pfn))->flags & PGMAP_WRITE_COMBINE)
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
	.mmap	= p2pmem_allocate_mmap,
	.get_unmapped_area = p2p_get_unmapped_area,
};

/* All buffers of a provider have this inode, and a name in /proc/PID/maps. */
static struct file *p2pmem_provider_file(struct pci_dev *pdev)
{
	struct inode *inode = alloc_anon_inode(p2pmem_mnt->mnt_sb);
	struct file *file;

	if (IS_ERR(inode))
		return ERR_CAST(inode);

	file = alloc_file_pseudo(inode, p2pmem_mnt, pci_name(pdev), O_RDWR,
				 &p2pmem_provider_fops);
	if (IS_ERR(file))
		iput(inode);
	return file;
}

/**
 * p2pmem_setup() - prepare a PCI device to be a provider
 * @pdev: the device
 * @pool: its pool of peer-to-peer memory
 *
 * Must be called before the file p2pmem/allocate is made, and
 * before the devres action that will remove them is registered, so that what
 * they use outlives them. Nothing can be allocated until p2pmem_add_region().
 *
 * Context: Process context, from the driver's probe().
 * Return: 0, or -ENOMEM.
 */
int p2pmem_setup(struct pci_dev *pdev, struct p2pmem_pool *pool)
{
	struct p2pmem_provider *provider;
	struct p2pmem_provider **res;
	int error;

	res = devres_alloc(p2pmem_devres_release, sizeof(*res), GFP_KERNEL);
	if (!res)
		return -ENOMEM;

	provider = kzalloc(sizeof(*provider), GFP_KERNEL);
	if (!provider) {
		error = -ENOMEM;
		goto err_free_res;
	}

	provider->file = p2pmem_provider_file(pdev);
	if (IS_ERR(provider->file)) {
		error = PTR_ERR(provider->file);
		goto err_free_provider;
	}

	kref_init(&provider->ref);
	mutex_init(&provider->lock);
	INIT_LIST_HEAD(&provider->buffers);
	provider->pdev = pdev;
	provider->pool = pool;

	*res = provider;
	devres_add(&pdev->dev, res);
	return 0;

err_free_provider:
	kfree(provider);
err_free_res:
	devres_free(res);
	return error;
}

/* Wait for those who still hold pages, and say so if it takes long. */
static void p2pmem_drain(struct pci_dev *pdev, struct p2pmem_pool *pool)
{
	unsigned long report = jiffies + HZ;
	size_t busy;

	while ((busy = p2pmem_pool_size(pool) - p2pmem_pool_avail(pool))) {
		if (time_after(jiffies, report)) {
			pci_warn(pdev, "waiting for %zu KiB of peer-to-peer memory that DMA or a driver still uses\n",
				 busy >> 10);
			report = jiffies + 10 * HZ;
		}
		msleep(20);
	}
}

/*
 * The device is about to lose its memory. When this returns nobody reaches it
 * any more: a CPU access gets SIGBUS, a system call -EFAULT.
 */
static void p2pmem_revoke(void *data)
{
	struct p2pmem_provider *provider = data;
	struct address_space *mapping = provider->file->f_mapping;
	struct p2pmem_buffer *buffer, *next;

	mutex_lock(&provider->lock);

	filemap_invalidate_lock(mapping);
	provider->live = false;
	unmap_mapping_range(mapping, 0, 0, true);
	filemap_invalidate_unlock(mapping);

	list_for_each_entry_safe(buffer, next, &provider->buffers, node) {
		list_del_init(&buffer->node);
		p2pmem_put_buffer(buffer->pfn, buffer->nr_pages);
	}
	mutex_unlock(&provider->lock);

	trace_p2pmem_revoke(provider->pdev, p2pmem_pool_size(provider->pool) -
			    p2pmem_pool_avail(provider->pool));
	p2pmem_drain(provider->pdev, provider->pool);
}

/**
 * p2pmem_add_region() - let userspace allocate from memory that is being added
 * @pdev: a device that p2pmem_setup() has prepared
 *
 * Must be called after the page map of the memory was created with
 * devm_memremap_pages(), so that userspace loses the memory before that page map
 * is removed.
 *
 * Context: Process context, from the driver's probe().
 * Return: 0, or -ENOMEM.
 */
int p2pmem_add_region(struct pci_dev *pdev)
{
	struct p2pmem_provider *provider = p2pmem_provider(pdev);
	int error;

	error = devm_add_action(&pdev->dev, p2pmem_revoke, provider);
	if (error)
		return error;

	mutex_lock(&provider->lock);
	filemap_invalidate_lock(provider->file->f_mapping);
	provider->live = true;
	filemap_invalidate_unlock(provider->file->f_mapping);
	mutex_unlock(&provider->lock);
	return 0;
}

/* Shows the provider in /proc/PID/maps. */
static char *p2pmem_dname(struct dentry *dentry, char *buffer, int buflen)
{
	return dynamic_dname(buffer, buflen, "p2pmem:%s", dentry->d_name.name);
}

static const struct dentry_operations p2pmem_dops = {
	.d_dname	= p2pmem_dname,
};

static int p2pmem_init_fs_context(struct fs_context *fc)
{
	struct pseudo_fs_context *ctx = init_pseudo(fc, P2PMEM_FS_MAGIC);

	if (!ctx)
		return -ENOMEM;
	ctx->dops = &p2pmem_dops;
	return 0;
}

static struct file_system_type p2pmem_fs_type = {
	.name			= "p2pmem",
	.init_fs_context	= p2pmem_init_fs_context,
	.kill_sb		= kill_anon_super,
};

static int __init p2pmem_init(void)
{
	p2pmem_mnt = kern_mount(&p2pmem_fs_type);
	if (IS_ERR(p2pmem_mnt))
		panic("p2pmem: kern_mount() failed: %ld\n", PTR_ERR(p2pmem_mnt));
	return 0;
}
subsys_initcall(p2pmem_init);	/* before any driver can add memory */
