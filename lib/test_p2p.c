// SPDX-License-Identifier: GPL-2.0
/*
 * Calls each form of get_user_pages() for a test program, which chooses the
 * flags, inspects the returned pages, and may hold them.
 *
 * mm/gup_test.c measures and compares; this reports exactly what was returned.
 */

#include <linux/init.h>
#include <linux/interrupt.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/pid.h>
#include <linux/scatterlist.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/uio.h>

#include "test_p2p.h"

/* Pages that a call returned; a file holds those of one call at a time. */
struct p2p_test {
	struct page **pages;
	unsigned int nr_pages;
	bool pinned;
	bool exhausted;		/* P2P_TEST_MANY references to the first folio */
	struct tasklet_struct tasklet;	/* puts them */
};

struct p2p_test_form_ops {
	long (*call)(struct mm_struct *mm, const struct p2p_test_gup *gup,
		     struct page **pages);
	unsigned int flags;		/* allowed FOLL_* flags */
	bool pins;
};

static long call_get(struct mm_struct *mm, const struct p2p_test_gup *gup,
		     struct page **pages)
{
	long ret;

	mmap_read_lock(mm);
	ret = get_user_pages(gup->addr, gup->nr_pages, gup->gup_flags, pages,
			     NULL);
	mmap_read_unlock(mm);
	return ret;
}

/* The VMA of each page is valid while the lock is held. */
static long call_get_vmas(struct mm_struct *mm, const struct p2p_test_gup *gup,
			  struct page **pages)
{
	struct vm_area_struct **vmas;
	bool wrong = false;
	long ret, i;

	vmas = kvcalloc(gup->nr_pages, sizeof(*vmas), GFP_KERNEL);
	if (!vmas)
		return -ENOMEM;

	mmap_read_lock(mm);
	ret = get_user_pages(gup->addr, gup->nr_pages, gup->gup_flags, pages,
			     vmas);
	for (i = 0; i < ret; i++)
		wrong |= vmas[i] != vma_lookup(mm, gup->addr + i * PAGE_SIZE);
	mmap_read_unlock(mm);
	kvfree(vmas);

	if (!wrong)
		return ret;
	while (ret)
		put_page(pages[--ret]);
	return -EBADMSG;
}

static long call_pin(struct mm_struct *mm, const struct p2p_test_gup *gup,
		     struct page **pages)
{
	long ret;

	mmap_read_lock(mm);
	ret = pin_user_pages(gup->addr, gup->nr_pages, gup->gup_flags, pages,
			     NULL);
	mmap_read_unlock(mm);
	return ret;
}

static long call_get_remote(struct mm_struct *mm,
			    const struct p2p_test_gup *gup, struct page **pages)
{
	int locked = 1;
	long ret;

	mmap_read_lock(mm);
	ret = get_user_pages_remote(mm, gup->addr, gup->nr_pages,
				    gup->gup_flags, pages, NULL, &locked);
	if (locked)
		mmap_read_unlock(mm);
	return ret;
}

static long call_pin_remote(struct mm_struct *mm,
			    const struct p2p_test_gup *gup, struct page **pages)
{
	/* A long-term pin can't drop the lock. */
	bool may_unlock = !(gup->gup_flags & FOLL_LONGTERM);
	int locked = 1;
	long ret;

	mmap_read_lock(mm);
	ret = pin_user_pages_remote(mm, gup->addr, gup->nr_pages,
				    gup->gup_flags, pages, NULL,
				    may_unlock ? &locked : NULL);
	if (locked)
		mmap_read_unlock(mm);
	return ret;
}

static long call_get_unlocked(struct mm_struct *mm,
			      const struct p2p_test_gup *gup,
			      struct page **pages)
{
	return get_user_pages_unlocked(gup->addr, gup->nr_pages, pages,
				       gup->gup_flags);
}

static long call_pin_unlocked(struct mm_struct *mm,
			      const struct p2p_test_gup *gup,
			      struct page **pages)
{
	return pin_user_pages_unlocked(gup->addr, gup->nr_pages, pages,
				       gup->gup_flags);
}

static long call_get_fast(struct mm_struct *mm, const struct p2p_test_gup *gup,
			  struct page **pages)
{
	return get_user_pages_fast(gup->addr, gup->nr_pages, gup->gup_flags,
				   pages);
}

static long call_pin_fast(struct mm_struct *mm, const struct p2p_test_gup *gup,
			  struct page **pages)
{
	return pin_user_pages_fast(gup->addr, gup->nr_pages, gup->gup_flags,
				   pages);
}

static long call_get_fast_only(struct mm_struct *mm,
			       const struct p2p_test_gup *gup,
			       struct page **pages)
{
	return get_user_pages_fast_only(gup->addr, gup->nr_pages,
					gup->gup_flags, pages);
}

static long call_pin_fast_only(struct mm_struct *mm,
			       const struct p2p_test_gup *gup,
			       struct page **pages)
{
	return pin_user_pages_fast_only(gup->addr, gup->nr_pages,
					gup->gup_flags, pages);
}

/* Without FOLL_GET it takes no reference, so no page is reported. */
static long call_follow(struct mm_struct *mm, const struct p2p_test_gup *gup,
			struct page **pages)
{
	struct vm_area_struct *vma;
	struct page *page;
	long ret;

	mmap_read_lock(mm);
	vma = vma_lookup(mm, gup->addr);
	if (!vma) {
		ret = -EFAULT;
		goto unlock;
	}

	page = follow_page(vma, gup->addr, gup->gup_flags);
	if (IS_ERR_OR_NULL(page)) {
		ret = PTR_ERR_OR_ZERO(page);
	} else if (!(gup->gup_flags & FOLL_GET)) {
		ret = 0;
	} else {
		pages[0] = page;
		ret = 1;
	}
unlock:
	mmap_read_unlock(mm);
	return ret;
}

static long call_dump(struct mm_struct *mm, const struct p2p_test_gup *gup,
		      struct page **pages)
{
	pages[0] = get_dump_page(gup->addr);
	return pages[0] ? 1 : 0;
}

static long call_iter(struct mm_struct *mm, const struct p2p_test_gup *gup,
		      struct page **pages)
{
	bool write = gup->gup_flags & FOLL_WRITE;
	size_t size = (size_t)gup->nr_pages << PAGE_SHIFT;
	struct iov_iter iter;
	size_t start;
	ssize_t ret;

	iov_iter_ubuf(&iter, write ? READ : WRITE,
		      u64_to_user_ptr(gup->addr), size);
	ret = iov_iter_get_pages_flags(&iter, pages, size, gup->nr_pages,
				       &start, gup->gup_flags & ~FOLL_WRITE);
	return ret > 0 ? ret >> PAGE_SHIFT : ret;
}

static long call_iter_alloc(struct mm_struct *mm,
			    const struct p2p_test_gup *gup, struct page **pages)
{
	bool write = gup->gup_flags & FOLL_WRITE;
	size_t size = (size_t)gup->nr_pages << PAGE_SHIFT;
	struct page **array = NULL;
	struct iov_iter iter;
	size_t start;
	ssize_t ret;

	iov_iter_ubuf(&iter, write ? READ : WRITE,
		      u64_to_user_ptr(gup->addr), size);
	ret = iov_iter_get_pages_alloc_flags(&iter, &array, size, &start,
					     gup->gup_flags & ~FOLL_WRITE);
	if (ret > 0) {
		ret >>= PAGE_SHIFT;
		memcpy(pages, array, ret * sizeof(*pages));
	}
	kvfree(array);
	return ret;
}

#define SLOW_FLAGS	(FOLL_WRITE | FOLL_FORCE | FOLL_NOFAULT | FOLL_PCI_P2PDMA)
#define FAST_FLAGS	(FOLL_WRITE | FOLL_FORCE | FOLL_NOFAULT | FOLL_PCI_P2PDMA)
#define ITER_FLAGS	(FOLL_WRITE | FOLL_NOFAULT | FOLL_PCI_P2PDMA)

static const struct p2p_test_form_ops p2p_test_forms[] = {
	[P2P_TEST_GET] = { call_get, SLOW_FLAGS | FOLL_NOWAIT },
	[P2P_TEST_GET_REMOTE] = { call_get_remote, SLOW_FLAGS },
	[P2P_TEST_GET_UNLOCKED] = { call_get_unlocked, SLOW_FLAGS },
	[P2P_TEST_GET_FAST] = { call_get_fast, FAST_FLAGS },
	[P2P_TEST_GET_FAST_ONLY] = { call_get_fast_only, FAST_FLAGS },
	[P2P_TEST_PIN] = { call_pin, SLOW_FLAGS | FOLL_NOWAIT | FOLL_LONGTERM,
			   true },
	[P2P_TEST_PIN_REMOTE] = { call_pin_remote, SLOW_FLAGS | FOLL_LONGTERM,
				  true },
	[P2P_TEST_PIN_UNLOCKED] = { call_pin_unlocked, SLOW_FLAGS, true },
	[P2P_TEST_PIN_FAST] = { call_pin_fast, FAST_FLAGS | FOLL_LONGTERM,
				true },
	[P2P_TEST_PIN_FAST_ONLY] = { call_pin_fast_only, FAST_FLAGS, true },
	[P2P_TEST_FOLLOW] = { call_follow, FOLL_GET | FOLL_WRITE | FOLL_DUMP |
					   FOLL_PCI_P2PDMA },
	[P2P_TEST_DUMP] = { call_dump, 0 },
	[P2P_TEST_ITER] = { call_iter, ITER_FLAGS },
	[P2P_TEST_ITER_ALLOC] = { call_iter_alloc, ITER_FLAGS },
	[P2P_TEST_GET_VMAS] = { call_get_vmas, SLOW_FLAGS },
};

/* Must work in any context: a bio may drop the last reference to a page. */
static void p2p_test_put_pages(struct p2p_test *test)
{
	unsigned int i;

	if (test->exhausted)
		folio_put_refs(page_folio(test->pages[0]), P2P_TEST_MANY);
	test->exhausted = false;
	if (test->pinned)
		unpin_user_pages(test->pages, test->nr_pages);
	else
		for (i = 0; i < test->nr_pages; i++)
			put_page(test->pages[i]);
	test->nr_pages = 0;
}

static void p2p_test_put_tasklet(struct tasklet_struct *tasklet)
{
	p2p_test_put_pages(container_of(tasklet, struct p2p_test, tasklet));
}

static void p2p_test_put_softirq(struct p2p_test *test)
{
	tasklet_schedule(&test->tasklet);
	tasklet_kill(&test->tasklet);
}

static void p2p_test_put(struct p2p_test *test)
{
	p2p_test_put_pages(test);
	kvfree(test->pages);
	test->pages = NULL;
}

static void p2p_test_look(struct page *page, struct p2p_test_page *look)
{
	look->pfn = page_to_pfn(page);
	look->count = page_count(page);
	look->is_p2p = is_pci_p2pdma_page(page);
}

static int p2p_test_report(struct p2p_test *test,
			   const struct p2p_test_gup *gup)
{
	struct p2p_test_page __user *to = u64_to_user_ptr(gup->pages);
	struct p2p_test_page look;
	unsigned int i;

	if (!to)
		return 0;

	for (i = 0; i < test->nr_pages; i++) {
		p2p_test_look(test->pages[i], &look);
		if (copy_to_user(to + i, &look, sizeof(look)))
			return -EFAULT;
	}
	return 0;
}

static struct mm_struct *p2p_test_mm(const struct p2p_test_gup *gup)
{
	struct task_struct *task;
	struct mm_struct *mm;

	if (!gup->pid) {
		mmget(current->mm);
		return current->mm;
	}

	task = find_get_task_by_vpid(gup->pid);
	if (!task)
		return NULL;
	mm = get_task_mm(task);
	put_task_struct(task);
	return mm;
}

static int p2p_test_check(const struct p2p_test_gup *gup)
{
	bool remote = gup->form == P2P_TEST_GET_REMOTE ||
		      gup->form == P2P_TEST_PIN_REMOTE;
	bool single = gup->form == P2P_TEST_FOLLOW ||
		      gup->form == P2P_TEST_DUMP;

	if (gup->form >= P2P_TEST_NR_FORMS ||
	    gup->gup_flags & ~p2p_test_forms[gup->form].flags)
		return -EINVAL;
	if (!gup->nr_pages || gup->nr_pages > P2P_TEST_MAX_PAGES ||
	    (single && gup->nr_pages > 1) || gup->hold > 1 ||
	    (gup->pid && !remote) || !PAGE_ALIGNED(gup->addr))
		return -EINVAL;
	return 0;
}

static int p2p_test_gup(struct p2p_test *test, struct p2p_test_gup *gup)
{
	struct mm_struct *mm;
	int error;

	error = p2p_test_check(gup);
	if (error)
		return error;
	if (test->pages)
		return -EBUSY;

	test->pages = kvcalloc(gup->nr_pages, sizeof(*test->pages), GFP_KERNEL);
	if (!test->pages)
		return -ENOMEM;

	mm = p2p_test_mm(gup);
	if (!mm) {
		error = -ESRCH;
		goto put;
	}

	gup->result = p2p_test_forms[gup->form].call(mm, gup, test->pages);
	mmput(mm);
	if (gup->result > 0)
		test->nr_pages = gup->result;
	test->pinned = p2p_test_forms[gup->form].pins;

	error = p2p_test_report(test, gup);
put:
	if (error || !gup->hold)
		p2p_test_put(test);
	return error;
}

static int p2p_test_sg(struct p2p_test *test, struct p2p_test_sg *arg)
{
	u32 __user *lengths = u64_to_user_ptr(arg->lengths);
	u32 room = arg->nr_entries;
	unsigned int first = arg->first ?: test->nr_pages;
	unsigned int rest = test->nr_pages - first;
	struct sg_append_table append = {};
	struct scatterlist *sg;
	unsigned int i;
	int error;

	if (!test->nr_pages || first > test->nr_pages)
		return -EINVAL;

	error = sg_alloc_append_table_from_pages(&append, test->pages, first, 0,
						 (size_t)first << PAGE_SHIFT,
						 UINT_MAX, rest, GFP_KERNEL);
	if (!error && rest)
		error = sg_alloc_append_table_from_pages(&append,
							 test->pages + first,
							 rest, 0,
							 (size_t)rest << PAGE_SHIFT,
							 UINT_MAX, 0, GFP_KERNEL);
	if (error)
		goto free;

	arg->nr_entries = append.sgt.orig_nents;
	for_each_sgtable_sg(&append.sgt, sg, i) {
		if (i < room && put_user(sg->length, lengths + i)) {
			error = -EFAULT;
			break;
		}
	}
free:
	sg_free_append_table(&append);
	return error;
}

/* Only for peer-to-peer memory: the pgmap reference keeps the struct page. */
static int p2p_test_look_pfn(struct p2p_test_page *look)
{
	struct dev_pagemap *pgmap = get_dev_pagemap(look->pfn, NULL);

	if (!pgmap)
		return -ENXIO;
	p2p_test_look(pfn_to_page(look->pfn), look);
	put_dev_pagemap(pgmap);
	return 0;
}

static int p2p_test_follow_pfn(unsigned long addr)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	unsigned long pfn;
	int error;

	mmap_read_lock(mm);
	vma = vma_lookup(mm, addr);
	error = vma ? follow_pfn(vma, addr, &pfn) : -EFAULT;
	mmap_read_unlock(mm);
	return error;
}

/* Saves thousands of threads with requests of a GiB each. */
static int p2p_test_exhaust(struct p2p_test *test)
{
	if (!test->nr_pages || test->exhausted)
		return -EINVAL;
	folio_ref_add(page_folio(test->pages[0]), P2P_TEST_MANY);
	test->exhausted = true;
	return 0;
}

static long p2p_test_ioctl(void *state, unsigned int cmd, union p2p_test_arg *arg)
{
	struct p2p_test *test = state;

	switch (cmd) {
	case P2P_TEST_GUP:
		return p2p_test_gup(test, &arg->gup);
	case P2P_TEST_PUT:
		p2p_test_put(test);
		return 0;
	case P2P_TEST_PUT_SOFTIRQ:
		p2p_test_put_softirq(test);
		p2p_test_put(test);
		return 0;
	case P2P_TEST_FOLLOW_PFN:
		return p2p_test_follow_pfn(arg->value);
	case P2P_TEST_EXHAUST:
		return p2p_test_exhaust(test);
	case P2P_TEST_SG:
		return p2p_test_sg(test, &arg->sg);
	case P2P_TEST_LOOK:
		return p2p_test_look_pfn(&arg->look);
	default:
		return -ENOTTY;
	}
}

static int p2p_test_open(void *state)
{
	struct p2p_test *test = state;

	tasklet_setup(&test->tasklet, p2p_test_put_tasklet);
	return 0;
}

static void p2p_test_release(void *state)
{
	p2p_test_put(state);
}

static const struct p2p_test_file p2p_gup_file = {
	.name		= "p2p_test",
	.state_size	= sizeof(struct p2p_test),
	.open		= p2p_test_open,
	.release	= p2p_test_release,
	.ioctl		= p2p_test_ioctl,
};

static int __init p2p_test_init(void)
{
	p2p_test_create_file(&p2p_gup_file);
	return 0;
}
late_initcall(p2p_test_init);
