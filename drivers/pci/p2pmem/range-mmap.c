// SPDX-License-Identifier: GPL-2.0
/*
 * Ranges of a BAR as peer-to-peer memory without struct pages: their mappings in
 * processes.
 *
 * A mapping is a VM_P2P VMA with VM_IO. Its file is that of the range,
 * whichever file mmap() was called for, and its vm_pgoff is the page frame
 * number. So one unmap_mapping_range() revokes all mappings of a range.
 * pci_p2p_range_of_user() recognises them by their vm_ops.
 */

#include <linux/export.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/pagemap.h>
#include <linux/pci.h>
#include <linux/pci-p2p-range.h>
#include <linux/sched/mm.h>
#include <linux/security.h>
#include <linux/sizes.h>
#include <linux/sysfs.h>
#include <linux/uaccess.h>
#include <linux/vm_p2p.h>

#include "../p2pdma.h"
#include "buffer.h"
#include "core.h"
#include "range.h"

static vm_fault_t p2pmem_range_fault(struct vm_fault *vmf)
{
	struct file *file = vmf->vma->vm_file;
	struct pci_p2p_range *range = file->private_data;
	vm_fault_t ret = VM_FAULT_SIGBUS;

	filemap_invalidate_lock_shared(file->f_mapping);
	if (range->paused)
		ret = VM_FAULT_RETRY;
	else if (range->provider.live && !range->lost)
		ret = vmf_insert_p2p_io(vmf);
	filemap_invalidate_unlock_shared(file->f_mapping);
	if (ret & VM_FAULT_RETRY)
		ret = p2pmem_wait_resumed(vmf, &range->resumed, &range->paused);
	return ret;
}

/* For a debugger, like p2pmem_copy(), but there is no kernel mapping to use. */
static int p2pmem_range_copy(const struct pci_p2p_range *range,
			     phys_addr_t phys, void *buf, int len, bool write)
{
	void __iomem *mem = range->write_combine ? ioremap_wc(phys, len) :
						   ioremap(phys, len);

	if (!mem)
		return -ENOMEM;
	if (write)
		memcpy_toio(mem, buf, len);
	else
		memcpy_fromio(buf, mem, len);
	iounmap(mem);
	return len;
}

static int p2pmem_range_access(struct vm_area_struct *vma, unsigned long addr,
			       void *buf, int len, int write)
{
	struct file *file = vma->vm_file;
	struct pci_p2p_range *range = file->private_data;
	phys_addr_t phys = PFN_PHYS(vma->vm_pgoff) + (addr - vma->vm_start);
	int ret = -EFAULT;

	if (!(vma->vm_flags & (write ? VM_WRITE : VM_MAYREAD)))
		return -EFAULT;

	/* One page at a time: @addr + @len may lie outside of @vma. */
	len = min_t(unsigned long, len, PAGE_SIZE - offset_in_page(addr));
	filemap_invalidate_lock_shared(file->f_mapping);
	if (range->provider.live && !range->paused && !range->lost)
		ret = p2pmem_range_copy(range, phys, buf, len, write);
	filemap_invalidate_unlock_shared(file->f_mapping);
	return ret;
}

static const struct vm_operations_struct p2pmem_range_vm_ops = {
	.fault		= p2pmem_range_fault,
	.access		= p2pmem_range_access,
};

/**
 * pci_p2p_range_mmap() - let a process map a part of a range
 * @range: a live range of the caller
 * @vma: the mapping; its vm_pgoff is its offset in @range, in pages
 *
 * For the mmap() method of a file of the provider's driver. The mapping keeps
 * @range, but not that file.
 *
 * Context: Process context, with the mmap_lock held for writing.
 * Return: 0; -EINVAL if the mapping is private, or does not lie in @range.
 */
int pci_p2p_range_mmap(struct pci_p2p_range *range, struct vm_area_struct *vma)
{
	unsigned long nr_pages = range->len >> PAGE_SHIFT;
	int error;

	if (vma->vm_pgoff > nr_pages ||
	    vma_pages(vma) > nr_pages - vma->vm_pgoff)
		return -EINVAL;

	error = p2p_vma_init_io(vma);
	if (error)
		return error;

	if (range->write_combine)
		vma->vm_page_prot = pgprot_writecombine(vma->vm_page_prot);
	vma->vm_pgoff += PHYS_PFN(range->phys);
	vma->vm_ops = &p2pmem_range_vm_ops;
	vma_set_file(vma, range->file);
	return 0;
}
EXPORT_SYMBOL_GPL(pci_p2p_range_mmap);

/**
 * pci_p2p_range_of_user() - find the range behind an address of a process
 * @addr: user address, of any alignment
 * @len: how much memory, in bytes, at least 1
 * @write: whether the client will write to it
 * @offset: where to store the offset of the memory in the range, in bytes
 *
 * The counterpart of pin_user_pages(), which does not return memory without
 * struct pages. The memory need not stay mapped in the process.
 *
 * Context: Process context, with the address space of the caller. May sleep.
 * Return: the range, for pci_p2p_range_map() and pci_p2p_range_put(); NULL if the
 *	   memory is of another kind; an ERR_PTR(): -EFAULT if it extends beyond
 *	   the mapping, or the mapping does not permit the access; -EINTR after
 *	   a fatal signal.
 */
struct pci_p2p_range *pci_p2p_range_of_user(unsigned long addr, size_t len,
					    bool write, u64 *offset)
{
	struct pci_p2p_range *range = NULL;
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;

	addr = untagged_addr(addr);
	if (mmap_read_lock_killable(mm))
		return ERR_PTR(-EINTR);

	vma = vma_lookup(mm, addr);
	if (!vma || vma->vm_ops != &p2pmem_range_vm_ops)
		goto unlock;

	if (len > vma->vm_end - addr ||
	    !(vma->vm_flags & (write ? VM_WRITE : VM_READ))) {
		range = ERR_PTR(-EFAULT);
		goto unlock;
	}
	range = get_file(vma->vm_file)->private_data;
	*offset = PFN_PHYS(vma->vm_pgoff) - range->phys + (addr - vma->vm_start);
unlock:
	mmap_read_unlock(mm);
	return range;
}
EXPORT_SYMBOL_GPL(pci_p2p_range_of_user);

/* Protects p2pmem->range, and is held while mmap() uses it. */
static DEFINE_MUTEX(p2pmem_range_lock);

/**
 * p2pmem_range_len() - get the length of the range that p2pmem/range maps
 * @p2pmem: the provider, or NULL
 *
 * Context: Any.
 * Return: the length in bytes; 0 if no range is published.
 */
u64 p2pmem_range_len(const struct p2pmem *p2pmem)
{
	return p2pmem ? READ_ONCE(p2pmem->range_len) : 0;
}

/**
 * p2pmem_range_publish() - make the file p2pmem/range, which maps a range
 * @range: the range, which is live
 *
 * Context: Process context, from the driver's probe().
 * Return: 0; -EBUSY if the provider has published another range; errors of
 *	   sysfs_update_group().
 */
int p2pmem_range_publish(struct pci_p2p_range *range)
{
	struct pci_dev *pdev = range->provider.pdev;
	struct p2pmem *p2pmem = p2pmem_of(pdev);
	int error = 0;

	mutex_lock(&p2pmem_range_lock);
	if (p2pmem->range)
		error = -EBUSY;
	else
		p2pmem->range = range;
	mutex_unlock(&p2pmem_range_lock);
	if (error)
		return error;

	WRITE_ONCE(p2pmem->range_len, range->len);
	error = sysfs_update_group(&pdev->dev.kobj, &p2pmem_group);
	if (error)
		p2pmem_range_unpublish(range);
	else
		p2pmem_announce(pdev, true);
	return error;
}

/**
 * p2pmem_range_unpublish() - prevent new mappings of a range by p2pmem/range
 * @range: the range; nothing happens if it was not published
 *
 * The file stays, but can't be mapped.
 *
 * Context: Process context, from the driver of the provider, or when it is unbound.
 */
void p2pmem_range_unpublish(struct pci_p2p_range *range)
{
	struct p2pmem *p2pmem = p2pmem_of(range->provider.pdev);

	mutex_lock(&p2pmem_range_lock);
	if (p2pmem->range == range) {
		p2pmem->range = NULL;
		WRITE_ONCE(p2pmem->range_len, 0);
	}
	mutex_unlock(&p2pmem_range_lock);
}

static int p2pmem_range_file_mmap(struct file *file, struct kobject *kobj,
				  struct bin_attribute *attr,
				  struct vm_area_struct *vma)
{
	struct p2pmem *p2pmem = p2pmem_of(to_pci_dev(kobj_to_dev(kobj)));
	int error;

	/* The same restriction as for the files resourceN. */
	error = security_locked_down(LOCKDOWN_PCI_ACCESS);
	if (error)
		return error;

	/* If there, it stays: pci_p2pdma_release() waits for this function. */
	if (!p2pmem)
		return -ENODEV;

	error = -ENODEV;
	mutex_lock(&p2pmem_range_lock);
	if (p2pmem->range)
		error = pci_p2p_range_mmap(p2pmem->range, vma);
	mutex_unlock(&p2pmem_range_lock);
	return error;
}

/* For root only: all mappings share the memory, which is never cleared. */
struct bin_attribute p2pmem_range_attr = {
	.attr	= { .name = "range", .mode = 0600 },
	.size	= SZ_1T,	/* for the same reason as p2pmem/allocate */
	.mmap	= p2pmem_range_file_mmap,
};
