// SPDX-License-Identifier: GPL-2.0
/*
 * A look at PCI peer-to-peer memory by somebody else's CPU: ptrace() and
 * /proc/PID/mem, and with them every debugger.
 *
 * They can't have the pages from get_user_pages(), because they would copy with
 * kmap() and memcpy(). Memory behind a BAR takes memcpy_fromio() and
 * memcpy_toio().
 */

#include <linux/errno.h>
#include <linux/io.h>
#include <linux/minmax.h>
#include <linux/mm.h>

#include "p2pmem.h"

/**
 * p2pmem_copy() - copy from or to a mapping, by its kernel mapping
 * @vma: a mapping of a buffer, whose vm_pgoff is the page frame number
 * @addr: address in @vma
 * @buf: kernel memory
 * @len: number of bytes, more than 0
 * @write: copy to the mapping?
 *
 * As for ordinary memory, a debugger may read what the process itself can't at
 * present, because of mprotect(), and may not write to what is not writable: in
 * a shared mapping that would reach others.
 *
 * Context: Process context. The caller holds the mmap_lock of @vma, and keeps
 *	    the memory from being revoked.
 * Return: the number of bytes copied, at most up to the end of @vma, or -EFAULT
 *	   if @vma does not permit that.
 */
int p2pmem_copy(const struct vm_area_struct *vma, unsigned long addr, void *buf,
		int len, bool write)
{
	unsigned long pfn = vma->vm_pgoff +
			    ((addr - vma->vm_start) >> PAGE_SHIFT);
	void __iomem *mem;

	if (!(vma->vm_flags & (write ? VM_WRITE : VM_MAYREAD)))
		return -EFAULT;

	/* One page at a time: @addr + @len may lie outside of @vma. */
	len = min_t(unsigned long, len, PAGE_SIZE - offset_in_page(addr));

	/* The page map's own mapping of the BAR. */
	mem = (void __iomem *)page_to_virt(pfn_to_page(pfn)) +
	      offset_in_page(addr);
	if (write)
		memcpy_toio(mem, buf, len);
	else
		memcpy_fromio(buf, mem, len);
	return len;
}
