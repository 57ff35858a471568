/* SPDX-License-Identifier: GPL-2.0 */
/*
 * struct p2pmem: a provider's memory, as used by processes. One object per
 * device.
 *
 * Locks, outermost first:
 *
 *	mmap_lock
 *	  p2pmem->lock			the lists of buffers and of banks,
 *					whether the former may grow, and the
 *					quota's maximum
 *	  file->f_mapping->invalidate_lock
 *					faults and a debugger's accesses
 *					(shared) against revocation
 *	    buffer->first_use		which pages of the buffer are in use,
 *					and their clearing
 *
 * p2p_holds_stop() is called without any of these.
 */
#ifndef _PCI_P2PMEM_CORE_H
#define _PCI_P2PMEM_CORE_H

#include <linux/fs.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/p2p_hold.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "quota.h"

struct bin_attribute;
struct device_attribute;
struct p2pmem_pool;
struct p2pmem_stats;
struct pci_dev;
struct pci_p2p_range;

/* Found by p2pmem_of(), and from a page through its bank. */
struct p2pmem {
	struct kref ref;		/* of the device, its heap, buffers,
					 * mappers and banks
					 */
	struct work_struct free_work;
	struct pci_dev *pdev;		/* valid while live */
	struct p2pmem_pool *pool;
	struct p2pmem_quota quota;
	unsigned long nr_left;		/* pages without a buffer: mapper.c */
	struct p2pmem_stats __percpu *stats;	/* of DMA: p2pdma-stats.c */
	struct file *file;		/* buffers are clones of this */
	struct mutex lock;		/* protects buffers, banks, live, lost,
					 * quota.max
					 */
	struct list_head buffers;
	struct list_head banks;
	struct p2p_holds holds;		/* of the buffers */
	/* live, lost, paused: written under the file's invalidate_lock */
	bool live;
	bool lost;			/* failed: not live, but not revoked */
	bool paused;			/* the device can't be reached */
	unsigned long pause_until;	/* jiffies; until then pause() of a
					 * hold may wait for locks
					 */
	wait_queue_head_t resumed;
	struct pci_p2p_range *range;	/* of p2pmem/range: range-mmap.c */
	u64 range_len;
};

#ifdef CONFIG_PCI_P2PMEM
extern struct device_attribute dev_attr_user_limit;
extern struct bin_attribute p2pmem_users_attr;

int p2pmem_setup(struct pci_dev *pdev, struct p2pmem_pool *pool,
		 struct p2pmem **p2pmem_p);
struct p2pmem *p2pmem_of(struct pci_dev *pdev);
void p2pmem_put(struct p2pmem *p2pmem);
int p2pmem_go_live(struct pci_dev *pdev);
void p2pmem_cancel_live(struct pci_dev *pdev, bool is_first);
bool p2pmem_is_live(struct pci_dev *pdev);
void p2pmem_announce(struct pci_dev *pdev, bool there);
bool p2pmem_is_system_down(void);
struct file *p2pmem_pseudo_file(struct pci_dev *pdev,
				const struct file_operations *fops, void *priv);
#else
static inline int p2pmem_setup(struct pci_dev *pdev, struct p2pmem_pool *pool,
			       struct p2pmem **p2pmem_p)
{
	return 0;
}

static inline int p2pmem_go_live(struct pci_dev *pdev)
{
	return 0;
}

static inline void p2pmem_cancel_live(struct pci_dev *pdev, bool is_first)
{
}

static inline bool p2pmem_is_live(struct pci_dev *pdev)
{
	return true;
}

static inline void p2pmem_announce(struct pci_dev *pdev, bool there)
{
}

static inline bool p2pmem_is_system_down(void)
{
	return false;
}
#endif /* CONFIG_PCI_P2PMEM */

#endif /* _PCI_P2PMEM_CORE_H */
