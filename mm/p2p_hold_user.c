// SPDX-License-Identifier: GPL-2.0
/*
 * Holds of user memory, see p2p_hold.c.
 *
 * A hold keeps a buffer, so its pages must belong to that buffer. The pages are
 * looked up and pinned first, and then compared with the mappings: pinned pages
 * can't move to another buffer, and a mapping of the buffer's file at that
 * moment shows that they belong to the buffer. Once the hold is in the
 * provider's list, a ticket does not need the pins.
 */

#include <linux/err.h>
#include <linux/export.h>
#include <linux/file.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/p2p_hold.h>
#include <linux/pagemap.h>
#include <linux/pfn.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vm_p2p.h>
#include <linux/wait.h>

#include "p2p_hold.h"

/* Initial size of the array of extents. */
#define P2P_HOLD_EXTENTS	32U

/* Nothing was pinned: is this peer-to-peer memory that is not available now? */
static bool p2p_hold_must_wait(unsigned long addr)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	bool p2p;

	mmap_read_lock(mm);
	vma = vma_lookup(mm, addr);
	p2p = vma && vma_is_p2p(vma);
	mmap_read_unlock(mm);
	return p2p;
}

/*
 * Pins all of a range of user memory, and stores the extents. Never waits for a
 * reset while it has pins, because the reset would wait for them.
 */
static int p2p_hold_pin(struct p2p_hold *hold, unsigned long addr, size_t len,
			unsigned int gup_flags)
{
	unsigned long nr_pages = PFN_UP(offset_in_page(addr) + len);
	unsigned int max = min_t(unsigned long, nr_pages, P2P_HOLD_EXTENTS);
	struct p2p_extent *extents, next;
	size_t found;
	int i, nr;

	for (;;) {
		extents = kvmalloc_array(max, sizeof(*extents),
					 GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
		if (!extents)
			return -ENOMEM;

		nr = pin_user_p2p_extents(addr, len, gup_flags, extents, max);
		for (i = 0, found = 0; i < nr; i++)
			found += extents[i].len;
		if (found == len)
			break;

		if (nr > 0)
			unpin_user_p2p_extents(extents, nr);
		kvfree(extents);
		if (nr == max) {
			max = min_t(unsigned long, nr_pages, max * 8UL);
			continue;
		}
		/* Find out why the next page was not pinned. */
		nr = pin_user_p2p_extents(addr + found, 1, gup_flags, &next, 1);
		if (!nr)
			nr = p2p_hold_must_wait(addr + found) ? -EAGAIN : -EINVAL;
		if (nr < 0)
			return nr;
		unpin_user_p2p_extents(&next, nr);
	}
	hold->extents = extents;
	hold->nr_extents = nr;
	return 0;
}

/* Is the page at @phys mapped at @addr, and from the hold's file? */
static bool p2p_hold_is_mapped(const struct p2p_hold *hold,
			       struct vm_area_struct *vma, unsigned long addr,
			       phys_addr_t phys)
{
	return vma && vma_is_p2p(vma) && vma->vm_file == hold->file &&
	       linear_page_index(vma, addr) == PHYS_PFN(phys);
}

/*
 * The mappings may have changed before the pages were pinned. Fails if the
 * pages belong to a buffer other than the hold's.
 */
static int p2p_hold_verify(const struct p2p_hold *hold, unsigned long addr)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	unsigned int i;
	size_t done, step;
	int error = 0;

	if (mmap_read_lock_killable(mm))
		return -EINTR;

	for (i = 0; i < hold->nr_extents && !error; i++) {
		const struct p2p_extent *extent = &hold->extents[i];

		cond_resched();
		for (done = 0; done < extent->len; done += step, addr += step) {
			vma = vma_lookup(mm, addr);
			if (!p2p_hold_is_mapped(hold, vma, addr,
						p2p_extent_phys(extent) + done)) {
				error = -EINVAL;
				break;
			}
			step = min_t(size_t, extent->len - done,
				     vma->vm_end - addr);
		}
	}
	mmap_read_unlock(mm);
	return error;
}

/* A buffer is contiguous, so most tickets end up with one extent. */
static void p2p_hold_join_extents(struct p2p_hold *hold)
{
	struct p2p_extent *last = hold->extents;
	unsigned int i;

	for (i = 1; i < hold->nr_extents; i++) {
		const struct p2p_extent *extent = &hold->extents[i];

		if (p2p_extent_phys(last) + last->len == p2p_extent_phys(extent))
			last->len += extent->len;
		else
			*++last = *extent;
	}
	hold->nr_extents = last - hold->extents + 1;
}

/*
 * Memory without struct pages. All of it must be in one mapping, as for
 * pci_p2p_range_of_user().
 */
static int p2p_hold_find_io(struct p2p_hold *hold, unsigned long addr, size_t len,
			    unsigned int gup_flags)
{
	bool write = gup_flags & FOLL_WRITE;
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	int error = -EFAULT;

	hold->extents = kvzalloc(sizeof(*hold->extents), GFP_KERNEL_ACCOUNT);
	if (!hold->extents)
		return -ENOMEM;

	if (mmap_read_lock_killable(mm))
		return -EINTR;
	vma = vma_lookup(mm, addr);
	if (vma && vma_is_p2p(vma) && vma->vm_file == hold->file &&
	    len <= vma->vm_end - addr &&
	    vma->vm_flags & (write ? VM_WRITE : VM_READ)) {
		hold->extents->offset = PFN_PHYS(linear_page_index(vma, addr)) +
					offset_in_page(addr);
		hold->extents->len = len;
		hold->nr_extents = 1;
		error = 0;
	}
	mmap_read_unlock(mm);
	return error;
}

/* Returns the file of a VM_P2P mapping, or NULL if @addr is memory of another kind. */
static struct file *p2p_hold_file(unsigned long addr, bool *has_pages)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	struct file *file = NULL;

	if (mmap_read_lock_killable(mm))
		return ERR_PTR(-EINTR);
	vma = vma_lookup(mm, addr);
	if (vma && vma_is_p2p(vma)) {
		*has_pages = p2p_vma_has_pages(vma);
		file = get_file(vma->vm_file);
	}
	mmap_read_unlock(mm);
	return file;
}

/* Returns -EAGAIN after waiting for a reset; with FOLL_NOWAIT, during one. */
static int p2p_hold_init_user(struct p2p_hold *hold, unsigned long addr, size_t len,
			      unsigned int gup_flags, bool has_pages)
{
	bool pinned = false;
	int error;

	if (has_pages) {
		error = p2p_hold_pin(hold, addr, len, gup_flags);
		pinned = !error;
		if (!error)
			error = p2p_hold_verify(hold, addr);
	} else {
		error = p2p_hold_find_io(hold, addr, len, gup_flags);
	}
	if (!error)
		error = p2p_hold_register(hold);

	if (pinned && (error || !p2p_hold_is_lease(hold)))
		unpin_user_p2p_extents(hold->extents, hold->nr_extents);
	if (error == -EAGAIN && !(gup_flags & FOLL_NOWAIT) &&
	    wait_event_killable(hold->holds->wait,
				READ_ONCE(hold->holds->status) != P2P_HOLDS_PAUSED))
		error = -EINTR;
	if (!error && !p2p_hold_is_lease(hold))
		p2p_hold_join_extents(hold);
	return error;
}

/**
 * p2p_hold_create_user() - hold peer-to-peer memory of the current process
 * @addr: user address, of any alignment
 * @len: how much memory, in bytes, at least 1
 * @gup_flags: FOLL_WRITE if a device will write to the memory; FOLL_NOWAIT for
 *	       callers for which the reset of another device may wait, for
 *	       example during error recovery
 * @ops: the kind of holder, and the mode
 * @client: the device that will use the memory, for the log, or NULL
 * @private: for the holder, in the hold
 *
 * The memory must belong to one buffer, or one range of memory without struct pages,
 * and need not stay mapped. It stays charged to the user who allocated it. The
 * hold is unarmed: the holder prepares its device, without waiting for
 * userspace, and then calls p2p_hold_arm() or p2p_hold_destroy(); a removal of
 * the provider may be waiting for that. Waits while the provider is being
 * reset, unless @gup_flags has FOLL_NOWAIT.
 *
 * Does not check whether @client can reach the memory; only a DMA mapping does.
 *
 * Context: Process context, with the address space of the caller and without its
 *	    mmap_lock, or any lock that a revoke() or pause() takes. May sleep.
 * Return: the hold; NULL if memory of another kind, or none, is mapped at
 *	   @addr; an ERR_PTR() of -EFAULT if part of the memory is not mapped,
 *	   does not permit the access, or was revoked; -EINVAL if it belongs to
 *	   several buffers or is of several kinds, or @ops are wrong; -EREMOTEIO
 *	   if memory without struct pages follows memory with struct pages;
 *	   -ENODEV if the provider is being removed or has failed; -EOPNOTSUPP
 *	   if it does not support holds; -EAGAIN, with FOLL_NOWAIT, while it is
 *	   being reset; -EINTR after a fatal signal; -ENOMEM.
 */
struct p2p_hold *p2p_hold_create_user(unsigned long addr, size_t len,
				      unsigned int gup_flags,
				      const struct p2p_hold_ops *ops,
				      struct device *client, void *private)
{
	bool has_pages = true;
	struct p2p_hold *hold;
	struct file *file;
	int error;

	if (WARN_ON_ONCE(gup_flags & ~(FOLL_WRITE | FOLL_NOWAIT)) || !len)
		return ERR_PTR(-EINVAL);
	addr = untagged_addr(addr);
	if (!access_ok((void __user *)addr, len))
		return ERR_PTR(-EFAULT);

	do {
		file = p2p_hold_file(addr, &has_pages);
		if (IS_ERR_OR_NULL(file))
			return ERR_CAST(file);
		hold = p2p_hold_alloc(file, ops, client, private);
		fput(file);
		if (IS_ERR(hold))
			return hold;
		error = p2p_hold_init_user(hold, addr, len, gup_flags, has_pages);
		if (!error)
			return hold;
		p2p_hold_put(hold);
	} while (error == -EAGAIN && !(gup_flags & FOLL_NOWAIT));
	return ERR_PTR(error);
}
EXPORT_SYMBOL_GPL(p2p_hold_create_user);
