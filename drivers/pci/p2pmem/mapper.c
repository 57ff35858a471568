// SPDX-License-Identifier: GPL-2.0
/*
 * Mappers: the processes that mapped peer-to-peer memory which is still in use.
 *
 * Transfers and drivers may hold pages of a provider that is being removed, or
 * has been. By then the mappings are gone, and often the processes, too, but
 * the log should name them. So each buffer remembers the process that mapped
 * it. When the buffer puts its pages, page->private of those that stay in use
 * points to this record.
 *
 * If no page stays in use, there is no cost.
 */

#include <linux/cred.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/pci.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/uidgid.h>

#include "bank.h"
#include "core.h"
#include "mapper.h"
#include "pool.h"
#include "quota.h"

/* How many mappers the log names. */
#define P2PMEM_MAPPERS_SHOWN	8

struct p2pmem_mapper {
	struct list_head node;		/* in bank->mappers, if nr_pages */
	struct p2pmem *p2pmem;		/* a reference */
	unsigned long nr_pages;		/* left behind */
	struct p2pmem_payers *payers;	/* charged for them */
	bool has_buffer;
	pid_t pid;
	char comm[TASK_COMM_LEN];
};

/*
 * Protects all mappers, the lists of all banks, and nr_left of all providers. A bank
 * outlives the mappers in its list: their pages are its pages.
 */
static DEFINE_SPINLOCK(p2pmem_mappers_lock);

static void p2pmem_mapper_free(struct p2pmem_mapper *mapper)
{
	p2pmem_put(mapper->p2pmem);
	kfree(mapper->payers);
	kfree(mapper);
}

/**
 * p2pmem_mapper_create() - remember the process, and the users to charge
 * @p2pmem: the provider whose memory it is
 *
 * Description: The user is the one that a file created now would belong to.
 *
 * Context: Process context.
 * Return: the mapper, to be passed to p2pmem_mapper_done(); NULL if out of
 *	   memory.
 */
struct p2pmem_mapper *p2pmem_mapper_create(struct p2pmem *p2pmem)
{
	struct p2pmem_mapper *mapper = kzalloc(sizeof(*mapper),
					       GFP_KERNEL_ACCOUNT);

	if (!mapper)
		return NULL;

	mapper->payers = p2pmem_payers_create(current_fsuid());
	if (!mapper->payers) {
		kfree(mapper);
		return NULL;
	}

	kref_get(&p2pmem->ref);
	mapper->p2pmem = p2pmem;
	mapper->has_buffer = true;
	/* When the log names it, the process may be gone and its ID reused. */
	mapper->pid = task_tgid_nr(current);
	get_task_comm(mapper->comm, current);
	return mapper;
}

/**
 * p2pmem_mapper_payers() - the users that a buffer is charged to
 * @mapper: the process that mapped it
 *
 * Context: Any.
 * Return: the users; valid until p2pmem_mapper_done().
 */
const struct p2pmem_payers *
p2pmem_mapper_payers(const struct p2pmem_mapper *mapper)
{
	return mapper->payers;
}

/**
 * p2pmem_mapper_uncharge() - uncharge pages that a buffer returns together
 * @mapper: the process that mapped it
 * @nr_pages: how many pages
 *
 * Context: Any but NMI.
 */
void p2pmem_mapper_uncharge(const struct p2pmem_mapper *mapper,
			    unsigned long nr_pages)
{
	p2pmem_quota_uncharge(&mapper->p2pmem->quota, mapper->payers, nr_pages);
}

/**
 * p2pmem_mapper_leave() - record that a page stays in use beyond its buffer
 * @mapper: the process that mapped the buffer; NULL for memory of a driver
 * @page: the page, or the first one of a folio, with a reference
 * @nr_pages: how many it has
 *
 * Context: Any but NMI.
 */
void p2pmem_mapper_leave(struct p2pmem_mapper *mapper, struct page *page,
			 unsigned long nr_pages)
{
	unsigned long flags;

	if (!mapper)
		return;

	set_page_private(page, (unsigned long)mapper);
	spin_lock_irqsave(&p2pmem_mappers_lock, flags);
	if (!mapper->nr_pages)
		list_add_tail(&mapper->node, &p2pmem_bank_of(page)->mappers);
	mapper->nr_pages += nr_pages;
	mapper->p2pmem->nr_left += nr_pages;
	spin_unlock_irqrestore(&p2pmem_mappers_lock, flags);
}

/**
 * p2pmem_mapper_return() - uncharge a page that has become free
 * @page: the page, or the first one of a folio, whose last reference is gone
 * @nr_pages: how many it has
 *
 * Context: Any but NMI. The pages are not in the pool yet.
 */
void p2pmem_mapper_return(struct page *page, unsigned long nr_pages)
{
	struct p2pmem_mapper *mapper = (void *)page_private(page);
	unsigned long flags;
	bool last;

	if (!mapper)
		return;

	set_page_private(page, 0);
	p2pmem_mapper_uncharge(mapper, nr_pages);
	spin_lock_irqsave(&p2pmem_mappers_lock, flags);
	mapper->p2pmem->nr_left -= nr_pages;
	mapper->nr_pages -= nr_pages;
	if (!mapper->nr_pages)
		list_del(&mapper->node);
	last = !mapper->nr_pages && !mapper->has_buffer;
	spin_unlock_irqrestore(&p2pmem_mappers_lock, flags);
	if (last)
		p2pmem_mapper_free(mapper);
}

/**
 * p2pmem_mapper_done() - release the mapper of a buffer that has put its pages
 * @mapper: the mapper; the caller must not use it any more
 *
 * Context: Any but NMI.
 */
void p2pmem_mapper_done(struct p2pmem_mapper *mapper)
{
	unsigned long flags;
	bool last;

	spin_lock_irqsave(&p2pmem_mappers_lock, flags);
	mapper->has_buffer = false;
	last = !mapper->nr_pages;
	spin_unlock_irqrestore(&p2pmem_mappers_lock, flags);
	if (last)
		p2pmem_mapper_free(mapper);
}

/**
 * p2pmem_has_mappers() - check whether pages have outlived their buffers
 * @p2pmem: the provider of the pages
 *
 * Context: Process context.
 * Return: true if there is at least one.
 */
bool p2pmem_has_mappers(struct p2pmem *p2pmem)
{
	bool found;

	spin_lock_irq(&p2pmem_mappers_lock);
	found = p2pmem->nr_left;
	spin_unlock_irq(&p2pmem_mappers_lock);
	return found;
}

/**
 * p2pmem_mappers_report() - log which memory of a provider is in use, and by whom
 * @bank: the memory
 * @why: why this matters
 *
 * Context: Process context. The caller keeps @bank from being destroyed.
 */
void p2pmem_mappers_report(struct p2pmem_bank *bank, const char *why)
{
	struct pci_dev *pdev = bank->map.provider.pdev;
	struct p2pmem_mapper shown[P2PMEM_MAPPERS_SHOWN], *mapper;
	unsigned long busy, rest;
	int i, nr = 0;

	spin_lock_irq(&p2pmem_mappers_lock);
	list_for_each_entry(mapper, &bank->mappers, node) {
		shown[nr++] = *mapper;
		if (nr == ARRAY_SIZE(shown))
			break;
	}
	spin_unlock_irq(&p2pmem_mappers_lock);
	busy = p2pmem_pool_busy(bank->p2pmem->pool, p2pmem_bank_pfn(bank));

	pci_warn(pdev, "%lu pages of peer-to-peer memory are in use by transfers or drivers: %s\n",
		 busy, why);
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
