// SPDX-License-Identifier: GPL-2.0
/*
 * Ranges of a BAR as peer-to-peer memory without struct pages: their mappings in
 * processes.
 *
 * A mapping is a VM_P2P VMA with VM_IO. Its file is the range's, whatever file the
 * process had called mmap() for, and its vm_pgoff is the page frame number. So
 * one unmap_mapping_range() revokes them all, and a client's driver recognises
 * them by their methods.
 */

#include <linux/export.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/pci-p2p-range.h>
#include <linux/sched/mm.h>
#include <linux/uaccess.h>
#include <linux/vm_p2p.h>

#include "p2pdma-range.h"
#include "p2pmem.h"

static vm_fault_t p2pmem_range_fault(struct vm_fault *vmf)
{
	struct file *file = vmf->vma->vm_file;
	struct pci_p2p_range *range = file->private_data;
	vm_fault_t ret = VM_FAULT_SIGBUS;

	filemap_invalidate_lock_shared(file->f_mapping);
	if (range->paused)
		ret = VM_FAULT_RETRY;
	else if (range->live && !range->lost)
		ret = vmf_insert_p2p_io(vmf);
	filemap_invalidate_unlock_shared(file->f_mapping);
	if (ret & VM_FAULT_RETRY)
		ret = p2pmem_wait_resumed(vmf, &range->resumed, &range->paused);
	return ret;
}

/* For a debugger, as p2pmem_copy(), which has a kernel mapping to go by. */
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
	if (range->live && !range->paused && !range->lost)
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
 * @range: a range of the caller's, that is live
 * @vma: the mapping; its vm_pgoff is where in @range it begins, in pages
 *
 * From the mmap() method of a file of the provider's driver. The mapping keeps
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
 * @offset: where to store at which offset in the range that memory begins
 *
 * What pin_user_pages() is for memory with pages, which does not return this one.
 * The memory need not stay mapped in the process.
 *
 * Context: Process context, with the address space of the caller. May sleep.
 * Return: the range, for pci_p2p_range_map() and pci_p2p_range_put(); NULL if the
 *	   memory is of another kind; an ERR_PTR(): -EFAULT if it goes on beyond the
 *	   mapping, or the process may not access it that way, -EINTR after a fatal
 *	   signal.
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
