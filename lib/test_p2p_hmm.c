// SPDX-License-Identifier: GPL-2.0
/*
 * Mirrors memory of the calling process for a device of its choice, reports
 * what hmm_range_fault() returned, and counts invalidations of the mirror: the
 * file p2p_test_hmm in debugfs. No DMA is done.
 */

#include <linux/atomic.h>
#include <linux/dma-mapping.h>
#include <linux/hmm.h>
#include <linux/init.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/scatterlist.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "test_p2p.h"

struct p2p_test_mirror {
	struct mmu_interval_notifier notifier;
	struct mutex lock;		/* taken by invalidate(), too */
	bool there;			/* notifier is inserted */
	atomic_t nr_changed;
};

static bool p2p_hmm_invalidate(struct mmu_interval_notifier *notifier,
			       const struct mmu_notifier_range *range,
			       unsigned long seq)
{
	struct p2p_test_mirror *mirror = container_of(notifier,
						      struct p2p_test_mirror,
						      notifier);

	if (mmu_notifier_range_blockable(range))
		mutex_lock(&mirror->lock);
	else if (!mutex_trylock(&mirror->lock))
		return false;
	mmu_interval_set_seq(notifier, seq);
	atomic_inc(&mirror->nr_changed);
	mutex_unlock(&mirror->lock);
	return true;
}

static const struct mmu_interval_notifier_ops p2p_hmm_ops = {
	.invalidate	= p2p_hmm_invalidate,
};

static void p2p_hmm_put(struct p2p_test_mirror *mirror)
{
	if (mirror->there)
		mmu_interval_notifier_remove(&mirror->notifier);
	mirror->there = false;
}

/* Called with the lock held, so that the page can't be invalidated. */
static void p2p_hmm_map(struct device *client, unsigned long hmm_pfn,
			struct p2p_test_entry *entry)
{
	struct scatterlist sg;
	struct sg_table sgt = { .sgl = &sg, .orig_nents = 1 };

	sg_init_table(&sg, 1);
	sg_set_page(&sg, hmm_pfn_to_page(hmm_pfn), PAGE_SIZE, 0);
	if (dma_map_sgtable(client, &sgt, DMA_TO_DEVICE, 0))
		return;
	entry->dma_addr = sg_dma_address(&sg);
	entry->flags |= P2P_TEST_HMM_MAPPED;
	if (sg_is_dma_bus_address(&sg))
		entry->flags |= P2P_TEST_HMM_IS_BUS;
	dma_unmap_sgtable(client, &sgt, DMA_TO_DEVICE, 0);
}

static void p2p_hmm_look(struct device *client, unsigned long hmm_pfn,
			 struct p2p_test_entry *entry)
{
	if (hmm_pfn & HMM_PFN_ERROR)
		entry->flags |= P2P_TEST_HMM_ERROR;
	if (hmm_pfn & HMM_PFN_WRITE)
		entry->flags |= P2P_TEST_HMM_WRITE;
	if (hmm_pfn & HMM_PFN_P2PDMA)
		entry->flags |= P2P_TEST_HMM_P2P;
	if (hmm_pfn & HMM_PFN_P2PDMA_BUS)
		entry->flags |= P2P_TEST_HMM_BUS;
	if (!(hmm_pfn & HMM_PFN_VALID))
		return;
	entry->flags |= P2P_TEST_HMM_VALID;
	entry->pfn = hmm_pfn & ~HMM_PFN_FLAGS;
	entry->order = hmm_pfn_to_map_order(hmm_pfn);
	if (client && dev_is_pci(client))
		p2p_hmm_map(client, hmm_pfn, entry);
}

static int p2p_hmm_fault(struct p2p_test_mirror *mirror,
			 struct hmm_range *range, struct p2p_test_entry *entries)
{
	struct mm_struct *mm = mirror->notifier.mm;
	unsigned long i, nr_pages = (range->end - range->start) >> PAGE_SHIFT;
	int error;

	do {
		if (fatal_signal_pending(current))
			return -EINTR;
		range->notifier_seq = mmu_interval_read_begin(&mirror->notifier);
		mmap_read_lock(mm);
		error = hmm_range_fault(range);
		mmap_read_unlock(mm);
		if (error)
			continue;

		mutex_lock(&mirror->lock);
		if (mmu_interval_read_retry(&mirror->notifier,
					    range->notifier_seq))
			error = -EBUSY;
		else
			for (i = 0; i < nr_pages; i++)
				p2p_hmm_look(range->p2p_dev,
					     range->hmm_pfns[i], entries + i);
		mutex_unlock(&mirror->lock);
	} while (error == -EBUSY);
	return error;
}

static int p2p_hmm_mirror(struct p2p_test_mirror *mirror,
			  struct p2p_test_hmm *arg, struct device *client)
{
	unsigned long size = (unsigned long)arg->nr_pages << PAGE_SHIFT;
	struct hmm_range range = {
		.notifier	= &mirror->notifier,
		.start		= arg->addr,
		.end		= arg->addr + size,
		.default_flags	= (arg->fault ? HMM_PFN_REQ_FAULT : 0) |
				  (arg->fault > 1 ? HMM_PFN_REQ_WRITE : 0),
		.p2p_dev	= client,
	};
	struct p2p_test_entry *entries;
	int error;

	p2p_hmm_put(mirror);
	entries = kvcalloc(arg->nr_pages, sizeof(*entries), GFP_KERNEL);
	range.hmm_pfns = kvcalloc(arg->nr_pages, sizeof(*range.hmm_pfns),
				  GFP_KERNEL);
	error = -ENOMEM;
	if (!entries || !range.hmm_pfns)
		goto free;

	error = mmu_interval_notifier_insert(&mirror->notifier, current->mm,
					     arg->addr, size, &p2p_hmm_ops);
	if (error)
		goto free;
	mirror->there = true;

	arg->result = p2p_hmm_fault(mirror, &range, entries);
	/* Don't count invalidations during the fault. */
	atomic_set(&mirror->nr_changed, 0);
	if (!arg->result &&
	    copy_to_user(u64_to_user_ptr(arg->entries), entries,
			 arg->nr_pages * sizeof(*entries)))
		error = -EFAULT;
free:
	kvfree(range.hmm_pfns);
	kvfree(entries);
	return error;
}

/* A device without a route to any peer-to-peer memory. */
static struct device p2p_hmm_no_pci = {
	.init_name = "p2p-test-hmm",
};

static int p2p_hmm_call(struct p2p_test_mirror *mirror,
			struct p2p_test_hmm *arg)
{
	struct pci_dev *pdev = NULL;
	struct device *client = NULL;
	int error;

	if (!arg->nr_pages || arg->nr_pages > P2P_TEST_MAX_PAGES ||
	    arg->fault > 2 || !PAGE_ALIGNED(arg->addr))
		return -EINVAL;

	if (arg->not_pci) {
		client = &p2p_hmm_no_pci;
	} else if (arg->has_client) {
		pdev = pci_get_domain_bus_and_slot(arg->client.domain,
						   arg->client.bus,
						   arg->client.devfn);
		arg->result = -ENXIO;
		if (!pdev)
			return 0;
		client = &pdev->dev;
	}
	error = p2p_hmm_mirror(mirror, arg, client);
	pci_dev_put(pdev);
	return error;
}

static long p2p_hmm_ioctl(void *state, unsigned int cmd, union p2p_test_arg *arg)
{
	struct p2p_test_mirror *mirror = state;

	switch (cmd) {
	case P2P_TEST_HMM:
		return p2p_hmm_call(mirror, &arg->hmm);
	case P2P_TEST_HMM_CHANGED:
		return atomic_read(&mirror->nr_changed);
	case P2P_TEST_PUT:
		p2p_hmm_put(mirror);
		return 0;
	default:
		return -ENOTTY;
	}
}

static int p2p_hmm_open(void *state)
{
	struct p2p_test_mirror *mirror = state;

	mutex_init(&mirror->lock);
	return 0;
}

static void p2p_hmm_release(void *state)
{
	struct p2p_test_mirror *mirror = state;

	p2p_hmm_put(mirror);
	mutex_destroy(&mirror->lock);
}

static const struct p2p_test_file p2p_hmm_file = {
	.name		= "p2p_test_hmm",
	.state_size	= sizeof(struct p2p_test_mirror),
	.open		= p2p_hmm_open,
	.release	= p2p_hmm_release,
	.ioctl		= p2p_hmm_ioctl,
};

static int __init p2p_hmm_init(void)
{
	p2p_test_create_file(&p2p_hmm_file);
	return 0;
}
late_initcall(p2p_hmm_init);
