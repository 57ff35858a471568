// SPDX-License-Identifier: GPL-2.0
/*
 * No user sees the data of another user.
 *
 * Memory is cleared before its first use in a buffer if it holds data of
 * anybody but the buffer's owner, according to the record of last-user.c. A
 * fault clears it, or the function that gives access through another handle
 * (handle.c). Nothing else leads to the memory: get_user_pages() needs a page
 * table entry, too.
 *
 * The owner is the open file that mmap() was called for, if the user that
 * opened it maps it. A user ID is not enough: two containers may have the same
 * one, and so may processes that must not see each other's memory, because they
 * are not dumpable or have other security labels. A program that wants to find
 * its data again, without the cost of clearing, keeps the file open; to share
 * the data it passes the file on. If another user maps the file, as when a
 * service opens it for many, the buffer is its own owner.
 *
 * Nothing is cleared for a process with CAP_SYS_RAWIO, which could read the data from
 * the device anyway. It needs the capability when it opens p2pmem/allocate,
 * when it calls mmap(), and when it touches the memory for the first time. So the open
 * file can be given to a process without privileges, and a process that maps memory and
 * then drops its privileges sees no more than others. The capabilities of a kernel
 * thread that works for a process don't count. Memory that a privileged process has
 * touched is in use, and all processes that share the mapping see its contents.
 *
 * Such memory becomes P2PMEM_NOBODY, rather than the owner's: it was not
 * cleared, and may still hold data of others.
 *
 * DMA of the former user is over by then: pages are not in the pool while they are
 * pinned.
 */

#include <linux/align.h>
#include <linux/atomic.h>
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/kernfs.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

#include "clear.h"
#include "last-user.h"

#include <trace/events/p2pmem.h>

#define BLOCK_PAGES	(PMD_SIZE >> PAGE_SHIFT)

/* Owners that are not open files have numbers from here on. */
#define P2PMEM_OWNERS	BIT_ULL(63)

static atomic64_t p2pmem_nr_owners;

static u64 p2pmem_new_owner(void)
{
	return P2PMEM_OWNERS | atomic64_inc_return(&p2pmem_nr_owners);
}

static u64 p2pmem_owner(struct file *file)
{
	if (uid_eq(current_fsuid(), file->f_cred->fsuid))
		return kernfs_file_id(file);
	return p2pmem_new_owner();
}

static bool p2pmem_may_see_all(void)
{
	return ns_capable_noaudit(&init_user_ns, CAP_SYS_RAWIO);
}

/**
 * p2pmem_user_init() - make the current process the user of a buffer
 * @user: the user
 * @file: the open p2pmem/allocate that the process maps
 *
 * To see all data, both the process that opened the file and the one that maps it
 * need CAP_SYS_RAWIO: a file passed to a privileged program must not make it reveal
 * the data of others.
 *
 * Context: Process context.
 */
void p2pmem_user_init(struct p2pmem_user *user, struct file *file)
{
	user->owner = p2pmem_owner(file);
	user->sees_all = p2pmem_may_see_all() &&
			 file_ns_capable(file, &init_user_ns, CAP_SYS_RAWIO);
}

/**
 * p2pmem_user_init_new() - make a user that owns no data yet
 * @user: the user
 *
 * For a buffer that is not allocated through p2pmem/allocate. The capabilities
 * of the opener are not known then, so all memory is cleared.
 *
 * Context: Any.
 */
void p2pmem_user_init_new(struct p2pmem_user *user)
{
	user->owner = p2pmem_new_owner();
	user->sees_all = false;
}

/* Uses the widest stores: each is a transaction unless they are write-combined. */
static void p2pmem_zero(unsigned long pfn, unsigned long nr_pages)
{
	/* The page map's own mapping of the BAR. */
	void __iomem *start = (void __iomem *)page_to_virt(pfn_to_page(pfn));
	void __iomem *end = start + nr_pages * PAGE_SIZE;
	void __iomem *page, *mem;

	for (page = start; page < end; page += PAGE_SIZE) {
		for (mem = page; mem < page + PAGE_SIZE; mem += sizeof(u64))
			__raw_writeq(0, mem);
		cond_resched();
	}

	/*
	 * Stores that have not arrived yet could overwrite data that a device
	 * writes by another route. A read completes after all of them.
	 */
	mb();
	__raw_readq(end - sizeof(u64));
}

/**
 * p2pmem_clear() - prepare memory for the first use in a buffer
 * @last_user: the record of the region
 * @user: the buffer's user
 * @pfn: the first page frame: that of a folio, or of one or more base pages
 * @nr_pages: how many pages
 *
 * One call clears at most what a PMD maps, so that the caller can drop its locks and
 * handle signals between two parts of a large folio. The next call, by any thread,
 * continues there: @last_user records the progress.
 *
 * Context: Process context, may sleep. The caller excludes other first uses of the
 *	    same memory, and revocation.
 * Return: 0 if @user may see all of the memory; -EAGAIN if a part was cleared and more
 *	   is left; -EINTR if the process is being killed; -ENOMEM.
 */
int p2pmem_clear(struct p2pmem_last_user *last_user,
		 const struct p2pmem_user *user, unsigned long pfn,
		 unsigned long nr_pages)
{
	unsigned long end = pfn + nr_pages;
	unsigned long from, to;
	int error;

	from = pfn + p2pmem_last_user_match(last_user, pfn, nr_pages, user->owner);
	if (from == end)
		return 0;

	if (user->sees_all && !(current->flags & PF_KTHREAD) &&
	    p2pmem_may_see_all()) {
		p2pmem_last_user_forget(last_user, from, end - from);
		return 0;
	}

	if (fatal_signal_pending(current))
		return -EINTR;
	to = min(end, ALIGN(from + 1, BLOCK_PAGES));
	p2pmem_zero(from, to - from);
	/* Earlier pages of the block belong to the owner already. */
	pfn = max(pfn, ALIGN_DOWN(from, BLOCK_PAGES));
	error = p2pmem_last_user_set(last_user, pfn, to - pfn, user->owner);
	trace_p2pmem_clear(from, to - from, error);
	if (error)
		return error;
	return to == end ? 0 : -EAGAIN;
}
