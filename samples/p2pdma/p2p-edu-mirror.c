// SPDX-License-Identifier: GPL-2.0
/*
 * Sample: a device that mirrors a part of a program's address space
 *
 * GPUs and RDMA adapters with their own page tables access whatever a program
 * has mapped at an address: the memory is not registered beforehand, nothing is
 * pinned, and the program may unmap, move or protect it at any time. QEMU's edu
 * device has no page tables, so this file emulates them, page by page;
 * p2p-edu.c has the rest of the driver. In order:
 *
 *	begin	mmu_interval_notifier_insert(): to be notified of each change
 *	fault	hmm_range_fault(), when the device needs a page that is not there
 *	map	dma_map_sgtable(), if nothing has changed meanwhile, or start over
 *	run	with the lock held that invalidate() takes
 *	unmap	in invalidate(), when it changes
 *
 * The steps are the same for RAM and for peer-to-peer memory;
 * Documentation/mm/hmm.rst describes them in detail. For peer-to-peer memory
 * the driver names its device, which is also the promise to keep the CPU off
 * the data, and gets -EREMOTEIO if the device has no route to the memory. The
 * mirror needs no reference to the memory: if the provider is removed or reset,
 * invalidate() is called, as if the program had unmapped the memory. The next
 * fault finds what is mapped then.
 *
 * Locks: edu->lock (one user of the device at a time), then shadow->lock (the
 * mirror). invalidate() is called with locks of mm held, also during reclaim.
 * So with shadow->lock held there is no access to user memory, no fault, and no
 * allocation that waits. Faults are taken without these locks, since they may
 * take as long as the program wants.
 */

#include <linux/dma-mapping.h>
#include <linux/hmm.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/pci.h>
#include <linux/scatterlist.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "p2p-edu.h"
#include "p2p-edu-dev.h"

/* An entry of the emulated page table. */
struct p2p_edu_entry {
	struct scatterlist sg;		/* the page */
	struct sg_table sgt;		/* nents is 0 while it is not mapped */
	enum dma_data_direction dir;	/* of the mapping */
	bool is_p2p;
};

struct p2p_edu_shadow {
	struct mmu_interval_notifier notifier;
	struct p2p_edu *edu;		/* kept by the file */
	struct device *dev;		/* kept by @edu */
	struct list_head node;		/* in edu->mirrors, under edu->lock */
	unsigned long start;		/* a user address */
	unsigned long nr_pages;
	/* Under the lock: */
	struct mutex lock;
	bool stopped;			/* refuse to map pages */
	struct p2p_edu_entry entries[];
};

static struct p2p_edu_entry *p2p_edu_entry(struct p2p_edu_shadow *shadow,
					   unsigned long addr)
{
	return &shadow->entries[(addr - shadow->start) >> PAGE_SHIFT];
}

/* With shadow->lock held, so that the device does not use the page. */
static void p2p_edu_entry_unmap(struct p2p_edu_shadow *shadow,
				struct p2p_edu_entry *entry)
{
	if (entry->sgt.nents)
		dma_unmap_sgtable(shadow->dev, &entry->sgt, entry->dir, 0);
	entry->sgt.nents = 0;
}

static void p2p_edu_shadow_stop(struct p2p_edu_shadow *shadow)
{
	unsigned long i;

	mutex_lock(&shadow->lock);
	shadow->stopped = true;
	for (i = 0; i < shadow->nr_pages; i++)
		p2p_edu_entry_unmap(shadow, &shadow->entries[i]);
	mutex_unlock(&shadow->lock);
}

/*
 * The page tables are about to change. When this returns, the device no longer
 * uses the old pages: RAM may then get a new owner, and the provider of
 * peer-to-peer memory may be removed.
 */
static bool p2p_edu_invalidate(struct mmu_interval_notifier *notifier,
			       const struct mmu_notifier_range *range,
			       unsigned long seq)
{
	struct p2p_edu_shadow *shadow = container_of(notifier,
						     struct p2p_edu_shadow,
						     notifier);
	unsigned long end = shadow->start + (shadow->nr_pages << PAGE_SHIFT);
	unsigned long addr;

	/* Waits for at most the command that is running. */
	if (mmu_notifier_range_blockable(range))
		mutex_lock(&shadow->lock);
	else if (!mutex_trylock(&shadow->lock))
		return false;

	/* A fault between hmm_range_fault() and the lock starts over. */
	mmu_interval_set_seq(notifier, seq);
	end = min(end, range->end);
	addr = max(shadow->start, range->start & PAGE_MASK);
	for (; addr < end; addr += PAGE_SIZE)
		p2p_edu_entry_unmap(shadow, p2p_edu_entry(shadow, addr));
	mutex_unlock(&shadow->lock);
	return true;
}

static const struct mmu_interval_notifier_ops p2p_edu_mirror_ops = {
	.invalidate	= p2p_edu_invalidate,
};

/* Can the device use the page? With shadow->lock held. */
static bool p2p_edu_entry_ok(const struct p2p_edu_entry *entry, bool write)
{
	return entry->sgt.nents && (!write || entry->dir == DMA_BIDIRECTIONAL);
}

/*
 * With shadow->lock held, so that the page can't go away meanwhile. The
 * sg_table has one page, RAM or peer-to-peer memory. Instead of an sg_table,
 * dma_map_page() would suffice for RAM. It never returns bus addresses, so for
 * peer-to-peer memory there is pci_p2pdma_map_page(), with a bool to be kept
 * for unmapping.
 */
static int p2p_edu_entry_map(struct p2p_edu_shadow *shadow,
			     struct p2p_edu_entry *entry, unsigned long hmm_pfn)
{
	/* It may have been mapped for reading. */
	p2p_edu_entry_unmap(shadow, entry);
	if (shadow->stopped)
		return -ENODEV;

	sg_init_table(&entry->sg, 1);
	sg_set_page(&entry->sg, hmm_pfn_to_page(hmm_pfn), PAGE_SIZE, 0);
	entry->sgt.sgl = &entry->sg;
	entry->sgt.orig_nents = 1;
	entry->is_p2p = hmm_pfn & HMM_PFN_P2PDMA;
	entry->dir = hmm_pfn & HMM_PFN_WRITE ? DMA_BIDIRECTIONAL : DMA_TO_DEVICE;
	return dma_map_sgtable(shadow->dev, &entry->sgt, entry->dir, 0);
}

/* Maps a page unless it is mapped: looks it up, and faults it in if needed. */
static int p2p_edu_mirror_fault(struct p2p_edu_shadow *shadow,
				unsigned long addr, bool write)
{
	struct p2p_edu_entry *entry = p2p_edu_entry(shadow, addr);
	struct mm_struct *mm = shadow->notifier.mm;
	unsigned long hmm_pfn;
	struct hmm_range range = {
		.notifier	= &shadow->notifier,
		.start		= addr & PAGE_MASK,
		.end		= (addr & PAGE_MASK) + PAGE_SIZE,
		.hmm_pfns	= &hmm_pfn,
		.default_flags	= HMM_PFN_REQ_FAULT |
				  (write ? HMM_PFN_REQ_WRITE : 0),
		/* Without it hmm_range_fault() refuses peer-to-peer memory. */
		.p2p_dev	= shadow->dev,
	};
	int error;
	bool ok;

	mutex_lock(&shadow->lock);
	ok = p2p_edu_entry_ok(entry, write);
	mutex_unlock(&shadow->lock);
	if (ok)
		return 0;

	/* The process may have ended, while another one has the file open. */
	if (!mmget_not_zero(mm))
		return -EFAULT;
	do {
		error = -EINTR;
		if (signal_pending(current))
			break;

		/* Waits for the end of a change that is under way. */
		range.notifier_seq = mmu_interval_read_begin(&shadow->notifier);
		mmap_read_lock(mm);
		error = hmm_range_fault(&range);
		mmap_read_unlock(mm);
		if (error)
			continue;

		mutex_lock(&shadow->lock);
		if (mmu_interval_read_retry(&shadow->notifier,
					    range.notifier_seq))
			error = -EBUSY;
		else
			error = p2p_edu_entry_map(shadow, entry, hmm_pfn);
		mutex_unlock(&shadow->lock);
	} while (error == -EBUSY);
	mmput(mm);
	return error;
}

static void p2p_edu_entry_written(struct p2p_edu_entry *entry)
{
	/*
	 * As for pinned pages, only the driver knows that the device has
	 * written to the page. Don't take the page lock: a task that holds it
	 * may be waiting in invalidate(). BAR memory has no writeback.
	 */
	if (!entry->is_p2p)
		set_page_dirty(sg_page(&entry->sg));
}

/* With edu->lock held. -EAGAIN: one of the pages was invalidated meanwhile. */
static int p2p_edu_mirror_run(struct p2p_edu_shadow *shadow, unsigned long src,
			      unsigned long dst, u32 len)
{
	struct p2p_edu_entry *from = p2p_edu_entry(shadow, src);
	struct p2p_edu_entry *to = p2p_edu_entry(shadow, dst);
	struct p2p_edu *edu = shadow->edu;
	int error;

	mutex_lock(&shadow->lock);
	error = -EAGAIN;
	if (!p2p_edu_entry_ok(from, false) || !p2p_edu_entry_ok(to, true))
		goto unlock;

	error = p2p_edu_dma(edu, sg_dma_address(&from->sg) + offset_in_page(src),
			    len, DMA_TO_DEVICE);
	if (error)
		goto unlock;
	error = p2p_edu_dma(edu, sg_dma_address(&to->sg) + offset_in_page(dst),
			    len, DMA_FROM_DEVICE);
	/* Even after an error: the device may have written a part. */
	p2p_edu_entry_written(to);
unlock:
	mutex_unlock(&shadow->lock);
	return error;
}

/* Copies a piece that crosses no page boundary on either side. */
static int p2p_edu_mirror_step(struct p2p_edu_shadow *shadow, unsigned long src,
			       unsigned long dst, u32 len)
{
	struct p2p_edu *edu = shadow->edu;
	int error;

	do {
		error = p2p_edu_mirror_fault(shadow, src, false);
		if (error)
			return error;
		error = p2p_edu_mirror_fault(shadow, dst, true);
		if (error)
			return error;

		if (mutex_lock_interruptible(&edu->lock))
			return -EINTR;
		if (edu->gone)
			error = -ENODEV;
		else if (edu->stopped)
			error = -EIO;
		else
			error = p2p_edu_mirror_run(shadow, src, dst, len);
		mutex_unlock(&edu->lock);
	} while (error == -EAGAIN);
	return error;
}

static bool p2p_edu_is_mirrored(const struct p2p_edu_shadow *shadow, u64 addr,
				u32 len)
{
	u64 size = (u64)shadow->nr_pages << PAGE_SHIFT;

	return addr >= shadow->start && addr - shadow->start <= size &&
	       len <= size - (addr - shadow->start);
}

/* Returns how much was copied, or an error. */
int p2p_edu_mirror_copy(struct p2p_edu_file *file,
			const struct p2p_edu_copy *copy)
{
	unsigned long src = copy->src, dst = copy->dst;
	struct p2p_edu_shadow *shadow;
	u32 n, done = 0;
	int error;

	/* Pairs with the release in p2p_edu_mirror_begin(). */
	shadow = smp_load_acquire(&file->mirror);
	if (!shadow)
		return -EBADF;
	if (!p2p_edu_is_mirrored(shadow, copy->src, copy->len) ||
	    !p2p_edu_is_mirrored(shadow, copy->dst, copy->len))
		return -EINVAL;

	do {
		n = min_t(u32, copy->len - done, EDU_BUFFER_USED);
		n = min_t(u32, n, PAGE_SIZE - offset_in_page(src + done));
		n = min_t(u32, n, PAGE_SIZE - offset_in_page(dst + done));
		error = p2p_edu_mirror_step(shadow, src + done, dst + done, n);
		if (error == -EINTR && done)
			break;
		if (error)
			return error;
		done += n;
	} while (done < copy->len && !signal_pending(current));
	return done;
}

static struct p2p_edu_shadow *
p2p_edu_shadow_create(struct p2p_edu *edu, const struct p2p_edu_mirror *arg)
{
	unsigned long nr_pages = arg->len >> PAGE_SHIFT;
	struct p2p_edu_shadow *shadow;
	int error;

	shadow = kvzalloc(struct_size(shadow, entries, nr_pages), GFP_KERNEL);
	if (!shadow)
		return ERR_PTR(-ENOMEM);
	shadow->edu = edu;
	shadow->dev = &edu->pdev->dev;
	shadow->start = arg->addr;
	shadow->nr_pages = nr_pages;
	mutex_init(&shadow->lock);

	error = mmu_interval_notifier_insert(&shadow->notifier, current->mm,
					     shadow->start, arg->len,
					     &p2p_edu_mirror_ops);
	if (!error)
		return shadow;
	mutex_destroy(&shadow->lock);
	kvfree(shadow);
	return ERR_PTR(error);
}

/* All entries are unmapped. */
static void p2p_edu_shadow_free(struct p2p_edu_shadow *shadow)
{
	/* Waits for invalidate(). */
	mmu_interval_notifier_remove(&shadow->notifier);
	mutex_destroy(&shadow->lock);
	kvfree(shadow);
}

int p2p_edu_mirror_begin(struct p2p_edu_file *file,
			 const struct p2p_edu_mirror *arg)
{
	struct p2p_edu *edu = file->edu;
	struct p2p_edu_shadow *shadow;
	int error = 0;

	if (!arg->len || arg->len > P2P_EDU_MAX_MIRROR ||
	    !PAGE_ALIGNED(arg->addr | arg->len) || arg->addr >= TASK_SIZE ||
	    arg->len > TASK_SIZE - arg->addr)
		return -EINVAL;
	/* A bounce buffer is a copy, and would miss changes of the page. */
	if (dma_addressing_limited(&edu->pdev->dev))
		return -EOPNOTSUPP;

	/* Waits for the mmap_lock, and so for faults: not under edu->lock. */
	shadow = p2p_edu_shadow_create(edu, arg);
	if (IS_ERR(shadow))
		return PTR_ERR(shadow);

	mutex_lock(&edu->lock);
	if (edu->gone) {
		error = -ENODEV;
	} else if (file->mirror) {
		error = -EBUSY;
	} else {
		list_add(&shadow->node, &edu->mirrors);
		/* Pairs with the acquire in p2p_edu_mirror_copy(). */
		smp_store_release(&file->mirror, shadow);
	}
	mutex_unlock(&edu->lock);
	if (error)
		p2p_edu_shadow_free(shadow);
	return error;
}

/* The file is closed: no copy is under way, and none will be. */
void p2p_edu_mirror_end(struct p2p_edu_file *file)
{
	struct p2p_edu_shadow *shadow = file->mirror;

	if (!shadow)
		return;

	/* DMA mappings belong to the device: keep the driver from unbinding. */
	mutex_lock(&shadow->edu->lock);
	p2p_edu_shadow_stop(shadow);
	list_del(&shadow->node);
	mutex_unlock(&shadow->edu->lock);
	p2p_edu_shadow_free(shadow);
}

/*
 * The driver is unbound; with edu->lock held. The files stay open, and a fault
 * may still be under way, but no page is mapped from now on.
 */
void p2p_edu_mirrors_stop(struct p2p_edu *edu)
{
	struct p2p_edu_shadow *shadow;

	list_for_each_entry(shadow, &edu->mirrors, node)
		p2p_edu_shadow_stop(shadow);
}
