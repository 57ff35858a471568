// SPDX-License-Identifier: GPL-2.0
/*
 * A holder of peer-to-peer memory that a test program controls: the file
 * p2p_test_hold in debugfs. It may map the memory for DMA, but no DMA is done.
 */

#include <linux/atomic.h>
#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/init.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/mutex.h>
#include <linux/p2p_hold.h>
#include <linux/pagemap.h>
#include <linux/pci.h>
#include <linux/pci-p2p-range.h>
#include <linux/pfn.h>
#include <linux/scatterlist.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vm_p2p.h>

#include "test_p2p.h"

#define P2P_TEST_MAX_HOLDS	10000

/* A hold, and its DMA mapping, if any. */
struct p2p_held {
	struct p2p_hold_file *file;
	struct p2p_hold *hold;
	struct device *client;
	struct mutex lock;		/* protects all below; revoke() takes it */
	bool is_mapped;
	struct sg_table sgt;		/* of memory with struct pages */
	struct pci_p2p_mapping mapping;	/* of memory without struct pages */
};

struct p2p_hold_file {
	struct p2p_held *helds;
	unsigned int nr;
	bool is_ticket;
	bool is_armed;
	struct pci_dev *client;
	struct p2p_hold *used;		/* the first one, even if destroyed */
	atomic_t nr_uses;
	/* Settings and counters of revoke() and pause(): */
	struct mm_struct *mm;
	unsigned int flags;
	unsigned int delay;
	atomic_t nr_revoke;
	atomic_t nr_pause;
	atomic_t nr_wrong;
};

static void p2p_hold_file_end_uses(struct p2p_hold_file *file)
{
	while (atomic_dec_if_positive(&file->nr_uses) >= 0)
		p2p_hold_end_use(file->used);
}

static int p2p_held_map_pages(struct p2p_held *held)
{
	struct p2p_hold *hold = held->hold;
	struct scatterlist *sg;
	unsigned int i;
	int error;

	error = sg_alloc_table(&held->sgt, hold->nr_extents, GFP_KERNEL);
	if (error)
		return error;
	for_each_sgtable_sg(&held->sgt, sg, i) {
		const struct p2p_extent *extent = &hold->extents[i];

		sg_set_page(sg, folio_page(extent->folio,
					   extent->offset >> PAGE_SHIFT),
			    extent->len, offset_in_page(extent->offset));
	}
	error = dma_map_sgtable(held->client, &held->sgt, DMA_BIDIRECTIONAL, 0);
	if (error)
		sg_free_table(&held->sgt);
	return error;
}

/* The mapping must be undone before the memory goes away. */
static int p2p_held_map(struct p2p_held *held)
{
	struct pci_p2p_range *range;
	int error;
	u64 offset;

	mutex_lock(&held->lock);
	range = pci_p2p_range_of_hold(held->hold, &offset);
	if (range)
		error = pci_p2p_range_map(range, held->client, offset,
					  held->hold->extents->len,
					  DMA_BIDIRECTIONAL, &held->mapping);
	else
		error = p2p_held_map_pages(held);
	held->is_mapped = !error;
	mutex_unlock(&held->lock);
	return error;
}

static void p2p_held_unmap(struct p2p_held *held)
{
	mutex_lock(&held->lock);
	if (held->is_mapped && held->mapping.len) {
		pci_p2p_range_unmap(&held->mapping);
	} else if (held->is_mapped) {
		dma_unmap_sgtable(held->client, &held->sgt, DMA_BIDIRECTIONAL, 0);
		sg_free_table(&held->sgt);
	}
	held->is_mapped = false;
	mutex_unlock(&held->lock);
}

static void p2p_hold_file_called(struct p2p_hold *hold)
{
	struct p2p_held *held = hold->private;
	struct p2p_hold_file *file = held->file;

	if (file->flags & P2P_TEST_HOLD_MMAP_LOCK && mmget_not_zero(file->mm)) {
		mmap_write_lock(file->mm);
		mmap_write_unlock(file->mm);
		mmput_async(file->mm);
	}
	if (file->flags & P2P_TEST_HOLD_END_USES)
		p2p_hold_file_end_uses(file);
	if (file->delay)
		msleep(file->delay);
}

/*
 * Until revoke() returns, pages keep the buffer's reference and, for a lease,
 * the pin.
 */
static void p2p_hold_file_check(struct p2p_hold *hold, int count)
{
	struct p2p_held *held = hold->private;
	unsigned int i;

	for (i = 0; i < hold->nr_extents; i++)
		if (hold->extents[i].folio &&
		    folio_ref_count(hold->extents[i].folio) < count)
			atomic_inc(&held->file->nr_wrong);
}

static void p2p_hold_file_revoke_lease(struct p2p_hold *hold)
{
	struct p2p_held *held = hold->private;

	p2p_hold_file_called(hold);
	p2p_hold_file_check(hold, 2);
	p2p_held_unmap(held);
	atomic_inc(&held->file->nr_revoke);
}

static void p2p_hold_file_revoke_ticket(struct p2p_hold *hold)
{
	struct p2p_held *held = hold->private;

	p2p_hold_file_called(hold);
	p2p_hold_file_check(hold, 1);
	atomic_inc(&held->file->nr_revoke);
}

static void p2p_hold_file_pause(struct p2p_hold *hold)
{
	struct p2p_held *held = hold->private;

	p2p_hold_file_called(hold);
	atomic_inc(&held->file->nr_pause);
}

static const struct p2p_hold_ops p2p_hold_file_lease = {
	.name	= "test lease",
	.mode	= P2P_HOLD_LEASE,
	.revoke	= p2p_hold_file_revoke_lease,
};

static const struct p2p_hold_ops p2p_hold_file_ticket = {
	.name	= "test ticket",
	.mode	= P2P_HOLD_TICKET,
	.revoke	= p2p_hold_file_revoke_ticket,
	.pause	= p2p_hold_file_pause,
};

static void p2p_hold_file_put(struct p2p_hold_file *file)
{
	struct p2p_held *held;

	while (file->nr) {
		held = &file->helds[--file->nr];
		p2p_held_unmap(held);
		p2p_hold_destroy(held->hold);
		mutex_destroy(&held->lock);
	}
	kvfree(file->helds);
	file->helds = NULL;
	pci_dev_put(file->client);
	file->client = NULL;
	if (file->mm)
		mmdrop(file->mm);
	file->mm = NULL;
}

static struct file *p2p_hold_file_of(unsigned long addr)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	struct file *file = NULL;

	mmap_read_lock(mm);
	vma = vma_lookup(mm, addr);
	if (vma && vma_is_p2p(vma))
		file = get_file(vma->vm_file);
	mmap_read_unlock(mm);
	return file;
}

/*
 * Check what an exporter knows anyway: that all of the memory is part of the
 * file. Pinned pages stay in the file, but other pages may have been mapped
 * before the pages were pinned.
 */
static bool p2p_hold_file_has(const struct file *file, unsigned long addr,
			      const struct p2p_extent *extents, unsigned int nr)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	bool has = true;
	size_t done, step;
	unsigned int i;

	mmap_read_lock(mm);
	for (i = 0; i < nr && has; i++) {
		phys_addr_t phys = PFN_PHYS(folio_pfn(extents[i].folio)) +
				   extents[i].offset;

		for (done = 0; done < extents[i].len && has; done += step) {
			vma = vma_lookup(mm, addr);
			has = vma && vma->vm_file == file &&
			      linear_page_index(vma, addr) == PHYS_PFN(phys + done);
			step = has ? min_t(size_t, extents[i].len - done,
					   vma->vm_end - addr) : 0;
			addr += step;
		}
	}
	mmap_read_unlock(mm);
	return has;
}

/* Create a hold like an exporter, which has the file and the extents. */
static struct p2p_hold *p2p_hold_file_by_file(const struct p2p_test_hold *arg,
					      const struct p2p_hold_ops *ops,
					      struct device *client, void *private)
{
	unsigned int max = PFN_UP(offset_in_page(arg->addr) + arg->len);
	struct file *file = p2p_hold_file_of(arg->addr);
	struct p2p_extent *extents;
	struct p2p_hold *hold;
	int nr;

	if (!file)
		return NULL;
	hold = ERR_PTR(-ENOMEM);
	extents = kvcalloc(max, sizeof(*extents), GFP_KERNEL);
	if (!extents)
		goto put;
	nr = pin_user_p2p_extents(arg->addr, arg->len,
				  arg->write ? FOLL_WRITE : 0, extents, max);
	hold = ERR_PTR(nr);
	if (nr > 0) {
		hold = ERR_PTR(-EINVAL);
		if (p2p_hold_file_has(file, arg->addr, extents, nr))
			hold = p2p_hold_create(file, extents, nr, ops, client,
					       private);
		unpin_user_p2p_extents(extents, nr);
	}
	kvfree(extents);
put:
	fput(file);
	return hold;
}

static int p2p_hold_file_create_one(struct p2p_hold_file *file,
				    const struct p2p_test_hold *arg)
{
	const struct p2p_hold_ops *ops = arg->ticket ? &p2p_hold_file_ticket :
						       &p2p_hold_file_lease;
	struct p2p_held *held = &file->helds[file->nr];
	struct p2p_hold *hold;
	int error = 0;

	held->file = file;
	held->client = file->client ? &file->client->dev : NULL;
	if (arg->by_file)
		hold = p2p_hold_file_by_file(arg, ops, held->client, held);
	else
		hold = p2p_hold_create_user(arg->addr, arg->len,
					    arg->write ? FOLL_WRITE : 0, ops,
					    held->client, held);
	if (IS_ERR_OR_NULL(hold))
		return hold ? PTR_ERR(hold) : -ENOTTY;

	mutex_init(&held->lock);
	held->hold = hold;
	file->nr++;
	if (arg->flags & P2P_TEST_HOLD_MAP)
		error = p2p_held_map(held);
	if (!error && arg->arm)
		error = p2p_hold_arm(hold);
	return error;
}

static int p2p_hold_file_report(struct p2p_hold *hold, struct p2p_test_hold *arg)
{
	struct p2p_test_extent __user *to = u64_to_user_ptr(arg->extents);
	unsigned int i, room = to ? arg->nr_extents : 0;

	arg->nr_extents = hold->nr_extents;
	for (i = 0; i < min(room, hold->nr_extents); i++) {
		struct folio *folio = hold->extents[i].folio;
		struct p2p_test_extent extent = {
			.offset = hold->extents[i].offset,
			.len = hold->extents[i].len,
		};

		if (folio) {
			extent.pfn = folio_pfn(folio);
			extent.count = folio_ref_count(folio);
			extent.order = folio_order(folio);
		}
		if (copy_to_user(to + i, &extent, sizeof(extent)))
			return -EFAULT;
	}
	return 0;
}

static int p2p_hold_file_check_arg(const struct p2p_hold_file *file,
				   const struct p2p_test_hold *arg)
{
	bool map = arg->flags & P2P_TEST_HOLD_MAP;

	if (file->helds)
		return -EBUSY;
	if (!arg->nr || arg->nr > P2P_TEST_MAX_HOLDS ||
	    arg->flags & ~P2P_TEST_HOLD_FLAGS || (map && !arg->has_client) ||
	    (map && arg->ticket) || atomic_read(&file->nr_uses))
		return -EINVAL;
	return 0;
}

static int p2p_hold_file_create(struct p2p_hold_file *file, struct p2p_test_hold *arg)
{
	int error = p2p_hold_file_check_arg(file, arg);
	unsigned int i;

	if (error)
		return error;
	if (arg->has_client) {
		file->client = pci_get_domain_bus_and_slot(arg->client.domain,
							   arg->client.bus,
							   arg->client.devfn);
		if (!file->client)
			return -ENXIO;
	}
	file->helds = kvcalloc(arg->nr, sizeof(*file->helds), GFP_KERNEL);
	if (!file->helds) {
		pci_dev_put(file->client);
		file->client = NULL;
		return -ENOMEM;
	}
	mmgrab(current->mm);
	file->mm = current->mm;
	file->flags = arg->flags;
	file->delay = arg->delay;

	arg->result = 0;
	for (i = 0; i < arg->nr && !arg->result; i++)
		arg->result = p2p_hold_file_create_one(file, arg);
	if (!arg->result) {
		file->is_ticket = arg->ticket;
		file->is_armed = arg->arm;
		file->used = file->helds[0].hold;
		error = p2p_hold_file_report(file->used, arg);
	}
	if (arg->result || error)
		p2p_hold_file_put(file);
	return error;
}

static int p2p_hold_file_arm(struct p2p_hold_file *file)
{
	unsigned int i;
	int error = 0;

	if (!file->nr || file->is_armed)
		return -EINVAL;
	for (i = 0; i < file->nr; i++)
		error = p2p_hold_arm(file->helds[i].hold) ?: error;
	file->is_armed = true;
	return error;
}

static bool p2p_hold_file_is_usable(const struct p2p_hold_file *file)
{
	return file->nr && file->is_ticket && file->is_armed;
}

static int p2p_hold_file_use(struct p2p_hold_file *file)
{
	int error;

	if (!p2p_hold_file_is_usable(file))
		return -EINVAL;
	error = p2p_hold_begin_use(file->used);
	if (!error)
		atomic_inc(&file->nr_uses);
	return error;
}

static int p2p_hold_file_unuse(struct p2p_hold_file *file)
{
	if (atomic_dec_if_positive(&file->nr_uses) < 0)
		return -EINVAL;
	p2p_hold_end_use(file->used);
	return 0;
}

static void p2p_hold_file_look(struct p2p_hold_file *file, struct p2p_test_holds *look)
{
	unsigned int i;

	look->nr_revoke = atomic_read(&file->nr_revoke);
	look->nr_pause = atomic_read(&file->nr_pause);
	look->nr_wrong = atomic_read(&file->nr_wrong);
	look->nr_revoked = 0;
	for (i = 0; i < file->nr; i++)
		look->nr_revoked += p2p_hold_is_revoked(file->helds[i].hold);
}

static long p2p_hold_file_ioctl(void *state, unsigned int cmd, union p2p_test_arg *arg)
{
	struct p2p_hold_file *file = state;

	switch (cmd) {
	case P2P_TEST_HOLD:
		return p2p_hold_file_create(file, &arg->hold);
	case P2P_TEST_HOLD_ARM:
		return p2p_hold_file_arm(file);
	case P2P_TEST_HOLD_USE:
		return p2p_hold_file_use(file);
	case P2P_TEST_HOLD_UNUSE:
		return p2p_hold_file_unuse(file);
	case P2P_TEST_HOLD_WAIT:
		return p2p_hold_file_is_usable(file) ?
			p2p_hold_wait_usable(file->used) : -EINVAL;
	case P2P_TEST_HOLD_LOOK:
		p2p_hold_file_look(file, &arg->holds);
		return 0;
	case P2P_TEST_PUT:
		p2p_hold_file_put(file);
		return 0;
	default:
		return -ENOTTY;
	}
}

static void p2p_hold_file_release(void *state)
{
	struct p2p_hold_file *file = state;

	p2p_hold_file_put(file);
	p2p_hold_file_end_uses(file);
}

static const struct p2p_test_file p2p_hold_file = {
	.name		= "p2p_test_hold",
	.state_size	= sizeof(struct p2p_hold_file),
	.release	= p2p_hold_file_release,
	.ioctl		= p2p_hold_file_ioctl,
};

static int __init p2p_hold_file_init(void)
{
	p2p_test_create_file(&p2p_hold_file);
	return 0;
}
late_initcall(p2p_hold_file_init);
