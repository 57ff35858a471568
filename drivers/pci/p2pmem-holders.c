// SPDX-License-Identifier: GPL-2.0
/*
 * Who had mapped the peer-to-peer memory that is still in use.
 *
 * A provider that is being removed waits for pages that transfers or drivers hold.
 * By then their mappings are gone, and often the processes, too; but whoever waits
 * wants to know whom for. So each buffer remembers who mapped it, and when it has
 * to leave pages behind, each of them points to that (page->private).
 *
 * It costs nothing where nobody holds a page when the buffer is done.
 */

#include <linux/list.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/pci.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/uidgid.h>

#include "p2pmem.h"
#include "p2pmem-limit.h"

/* As many are told by name. */
#define P2PMEM_HOLDERS_SHOWN	8

struct p2pmem_holder {
	struct list_head node;		/* of the pool's, with pages only */
	unsigned long nr_pages;		/* left behind */
	struct p2pmem_payers *payers;	/* whom they count for */
	bool has_buffer;
	pid_t pid;
	char comm[TASK_COMM_LEN];
};

/*
 * Protects all holders, and the lists of all pools. A pool is there while a holder is
 * in its list, for then it lacks pages.
 */
static DEFINE_SPINLOCK(p2pmem_holders_lock);

static void p2pmem_holder_free(struct p2pmem_holder *holder)
{
	kfree(holder->payers);
	kfree(holder);
}

/**
 * p2pmem_holder_create() - remember the current process, and who pays for its memory
 * @uid: the user that it allocates as
 *
 * Context: Process context.
 * Return: what p2pmem_holder_done() has to be called for, or NULL without memory.
 */
struct p2pmem_holder *p2pmem_holder_create(kuid_t uid)
{
	struct p2pmem_holder *holder = kzalloc(sizeof(*holder),
					       GFP_KERNEL_ACCOUNT);

	if (!holder)
		return NULL;

	holder->payers = p2pmem_payers_create(uid);
	if (!holder->payers) {
		kfree(holder);
		return NULL;
	}

	holder->has_buffer = true;
	/* It may be gone, and its number used again, when it is told. */
	holder->pid = task_tgid_nr(current);
	get_task_comm(holder->comm, current);
	return holder;
}

/**
 * p2pmem_holder_payers() - the users whom memory is charged to
 * @holder: who mapped it
 *
 * Context: Any.
 * Return: the users; there until p2pmem_holder_done().
 */
const struct p2pmem_payers *
p2pmem_holder_payers(const struct p2pmem_holder *holder)
{
	return holder->payers;
}

/**
 * p2pmem_holder_leave() - a page stays in use beyond its buffer
 * @holder: who mapped the buffer; NULL if nobody did
 * @page: the page, or the first one of a folio, with a reference
 * @nr_pages: how many it has
 *
 * Context: Any but NMI.
 */
void p2pmem_holder_leave(struct p2pmem_holder *holder, struct page *page,
			 unsigned long nr_pages)
{
	unsigned long flags;

	if (!holder)
		return;

	set_page_private(page, (unsigned long)holder);
	spin_lock_irqsave(&p2pmem_holders_lock, flags);
	if (!holder->nr_pages)
		list_add_tail(&holder->node,
			      p2pmem_pool_holders(page_pgmap(page)->owner));
	holder->nr_pages += nr_pages;
	spin_unlock_irqrestore(&p2pmem_holders_lock, flags);
}

/**
 * p2pmem_holder_return() - a page is free, and no longer counts for anybody
 * @page: the page, or the first one of a folio, whose last reference is gone
 * @nr_pages: how many it has
 *
 * Context: Any but NMI. The pages are not in the pool yet.
 */
void p2pmem_holder_return(struct page *page, unsigned long nr_pages)
{
	struct p2pmem_holder *holder = (void *)page_private(page);
	unsigned long flags;
	bool last;

	if (!holder)
		return;

	set_page_private(page, 0);
	p2pmem_limit_uncharge(p2pmem_pool_limit(page_pgmap(page)->owner),
			      holder->payers, nr_pages);
	spin_lock_irqsave(&p2pmem_holders_lock, flags);
	holder->nr_pages -= nr_pages;
	if (!holder->nr_pages)
		list_del(&holder->node);
	last = !holder->nr_pages && !holder->has_buffer;
	spin_unlock_irqrestore(&p2pmem_holders_lock, flags);
	if (last)
		p2pmem_holder_free(holder);
}

/**
 * p2pmem_holder_done() - a buffer has put its pages
 * @holder: who mapped it; to be used no more
 *
 * Context: Any but NMI.
 */
void p2pmem_holder_done(struct p2pmem_holder *holder)
{
	unsigned long flags;
	bool last;

	spin_lock_irqsave(&p2pmem_holders_lock, flags);
	holder->has_buffer = false;
	last = !holder->nr_pages;
	spin_unlock_irqrestore(&p2pmem_holders_lock, flags);
	if (last)
		p2pmem_holder_free(holder);
}

/**
 * p2pmem_has_holders() - are pages in use whose buffer is gone?
 * @pool: where they are from
 *
 * Context: Process context.
 * Return: whether there are.
 */
bool p2pmem_has_holders(struct p2pmem_pool *pool)
{
	bool found;

	spin_lock_irq(&p2pmem_holders_lock);
	found = !list_empty(p2pmem_pool_holders(pool));
	spin_unlock_irq(&p2pmem_holders_lock);
	return found;
}

/**
 * p2pmem_holders_report() - say what a provider waits for
 * @pdev: the provider
 * @pool: its pool, which nobody allocates from any more
 *
 * Context: Process context.
 */
void p2pmem_holders_report(struct pci_dev *pdev, struct p2pmem_pool *pool)
{
	struct p2pmem_holder shown[P2PMEM_HOLDERS_SHOWN], *holder;
	unsigned long busy, rest;
	int i, nr = 0;

	spin_lock_irq(&p2pmem_holders_lock);
	list_for_each_entry(holder, p2pmem_pool_holders(pool), node) {
		shown[nr++] = *holder;
		if (nr == ARRAY_SIZE(shown))
			break;
	}
	busy = (p2pmem_pool_size(pool) - p2pmem_pool_avail(pool)) >> PAGE_SHIFT;
	spin_unlock_irq(&p2pmem_holders_lock);

	pci_warn(pdev, "waiting for %lu pages of peer-to-peer memory that transfers or drivers still use\n",
		 busy);
	rest = busy;
	for (i = 0; i < nr; i++) {
		pci_warn(pdev, "%lu of these pages were mapped by %s[%d]\n",
			 shown[i].nr_pages, shown[i].comm, shown[i].pid);
		rest -= min(rest, shown[i].nr_pages);
	}
	if (rest)
		pci_warn(pdev, "%lu of these pages were mapped by others or allocated by a driver\n",
			 rest);
}
