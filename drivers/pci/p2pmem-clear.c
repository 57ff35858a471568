// SPDX-License-Identifier: GPL-2.0
/*
 * No data of one user is seen by another.
 *
 * Memory is cleared before its first use in a buffer if it holds data of anybody
 * but the buffer's owner. It is for the fault to do that, since nothing but a page
 * table entry leads to the memory, not even for get_user_pages(). p2pmem-history.c
 * knows whose data there is.
 *
 * The owner is the open file that mmap() was called for, while its opener's user maps
 * it. A user ID would not do: two containers have the same one, and so have processes
 * that may not look at each other, since they are not dumpable, or labelled otherwise.
 * A program that wants to find its data again, and not to pay for clearing, keeps the
 * file open; to share the data it passes the file on. If another user maps the file, as
 * when a service opens it for many, the buffer is its own owner.
 *
 * Nor does a process that may see anybody's data, because it could read it from
 * the device anyway: with CAP_SYS_RAWIO. It has to have that when it opens
 * p2pmem/allocate, when it calls mmap(), and when it touches the memory for the
 * first time. So the open file can be given to a process without privileges, and
 * whoever maps something and then drops them is shown no more than others. A
 * kernel thread that works for a process has all capabilities, and they don't
 * count. What a privileged process has touched is another matter: it is in use,
 * and those who share the mapping see what is there.
 *
 * As it was not cleared, such memory belongs to nobody afterwards, even if the owner
 * is the one it belongs to: others' data may still be there.
 *
 * What was DMA of the former user is over by then: until its pages are unpinned
 * they are not in the pool.
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

#include "p2pmem.h"
#include "p2pmem-history.h"

#include <trace/events/p2pmem.h>

#define BLOCK_PAGES	(PMD_SIZE >> PAGE_SHIFT)

/* Numbers of owners that are no open file, from here on. */
#define P2PMEM_OWNERS	(1ULL << 63)

static atomic64_t p2pmem_nr_owners;

static u64 p2pmem_owner(struct file *file, kuid_t uid)
{
	if (uid_eq(uid, file->f_cred->fsuid))
		return kernfs_file_id(file);
	return P2PMEM_OWNERS | atomic64_inc_return(&p2pmem_nr_owners);
}

static bool p2pmem_may_see_all(void)
{
	return ns_capable_noaudit(&init_user_ns, CAP_SYS_RAWIO);
}

/**
 * p2pmem_user_init() - the current process becomes the user of a buffer
 * @user: the user
 * @file: what the process maps, p2pmem/allocate
 *
 * The user is the one that a file created now would belong to. To clear nothing,
 * both who opened the file and who maps it must be allowed to see all data: a
 * privileged program that maps what it was given is not used to get at it.
 *
 * Context: Process context.
 */
void p2pmem_user_init(struct p2pmem_user *user, struct file *file)
{
	user->uid = current_fsuid();
	user->owner = p2pmem_owner(file, user->uid);
	user->sees_all = p2pmem_may_see_all() &&
			 file_ns_capable(file, &init_user_ns, CAP_SYS_RAWIO);
}

/* By stores as wide as there are. Each is a transaction if nobody combines them. */
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
	 * What has not arrived yet could overwrite the data of a device that
	 * takes another way. The answer to a read is behind all stores.
	 */
	mb();
	__raw_readq(end - sizeof(u64));
}

/**
 * p2pmem_clear() - make memory fit for the first use in a buffer
 * @history: history of the region
 * @user: the buffer's user
 * @pfn: the first page frame: that of a folio, or of one or more base pages
 * @nr_pages: how many pages
 *
 * Of large folios only a part is cleared by one call, up to what a PMD maps, so
 * that the caller can drop its locks and see to signals. The next call goes on
 * there, whoever makes it: progress is kept in @history.
 *
 * Context: Process context, may sleep. The caller excludes others who use the same
 *	    memory for the first time, and keeps it from being revoked.
 * Return: 0 if @user may see all that there is; -EAGAIN if a part was cleared and
 *	   there is more; -EINTR if the process is being killed; -ENOMEM.
 */
int p2pmem_clear(struct p2pmem_history *history,
		 const struct p2pmem_user *user, unsigned long pfn,
		 unsigned long nr_pages)
{
	unsigned long end = pfn + nr_pages;
	unsigned long from, to;
	int error;

	from = pfn + p2pmem_history_match(history, pfn, nr_pages, user->owner);
	if (from == end)
		return 0;

	if (user->sees_all && !(current->flags & PF_KTHREAD) &&
	    p2pmem_may_see_all()) {
		p2pmem_history_forget(history, from, end - from);
		return 0;
	}

	if (fatal_signal_pending(current))
		return -EINTR;
	to = min(end, ALIGN(from + 1, BLOCK_PAGES));
	p2pmem_zero(from, to - from);
	/* What is before it in the block is the owner's, too. */
	pfn = max(pfn, ALIGN_DOWN(from, BLOCK_PAGES));
	error = p2pmem_history_set(history, pfn, to - pfn, user->owner);
	trace_p2pmem_clear(from, to - from, error);
	if (error)
		return error;
	return to == end ? 0 : -EAGAIN;
}
