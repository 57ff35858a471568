// SPDX-License-Identifier: GPL-2.0
/*
 * Providers of peer-to-peer memory for processes: their set-up, and the revocation of
 * their memory, for good or for the time of a reset.
 *
 * The states of a provider, and what orders their changes, are in
 * Documentation/mm/p2p_lifetime.rst.
 */

#include <linux/dcache.h>
#include <linux/device.h>
#include <linux/export.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/jiffies.h>
#include <linux/kobject.h>
#include <linux/kref.h>
#include <linux/kstrtox.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mount.h>
#include <linux/mutex.h>
#include <linux/p2p_hold.h>
#include <linux/p2pdma-map.h>
#include <linux/pagemap.h>
#include <linux/pci.h>
#include <linux/pci-p2pdma.h>
#include <linux/percpu.h>
#include <linux/pseudo_fs.h>
#include <linux/reboot.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include <linux/wait.h>

#include "bank.h"
#include "buffer.h"
#include "core.h"
#include "dmabuf.h"
#include "mapper.h"
#include "pages.h"
#include "pool.h"
#include "range.h"

#include <trace/events/p2pmem.h>

#define P2PMEM_FS_MAGIC		0x50325044	/* "P2PD" */

/* A transfer that takes longer is stuck. */
#define P2PMEM_PAUSE_WAIT	(10 * HZ)

static struct vfsmount *p2pmem_mnt;

/* Never reset to false. */
static bool p2pmem_system_down;

static int p2pmem_reboot(struct notifier_block *nb, unsigned long action,
			 void *data)
{
	WRITE_ONCE(p2pmem_system_down, true);
	return NOTIFY_DONE;
}

/* Runs before device_shutdown(), which takes locks that removals hold. */
static struct notifier_block p2pmem_reboot_nb = {
	.notifier_call = p2pmem_reboot,
};

/**
 * p2pmem_is_system_down() - check whether the machine restarts, halts or starts another kernel
 *
 * Description: From then on no removal waits for transfers, and objects that
 * pages or transfers refer to are never freed.
 *
 * Context: Any.
 * Return: true from the reboot notifier on.
 */
bool p2pmem_is_system_down(void)
{
	return READ_ONCE(p2pmem_system_down);
}

static void p2pmem_free(struct work_struct *work)
{
	struct p2pmem *p2pmem = container_of(work, struct p2pmem, free_work);

	/* There is no pool if the set-up has failed. */
	if (p2pmem->pool)
		p2pmem_pool_destroy(p2pmem->pool);
	fput(p2pmem->file);
	mutex_destroy(&p2pmem->lock);
	p2pmem_quota_destroy(&p2pmem->quota);
	free_percpu(p2pmem->stats);
	kfree(p2pmem);
}

static void p2pmem_free_later(struct kref *ref)
{
	schedule_work(&container_of(ref, struct p2pmem, ref)->free_work);
}

/**
 * p2pmem_put() - drop a reference to a struct p2pmem
 * @p2pmem: the object
 *
 * Context: Any but NMI.
 */
void p2pmem_put(struct p2pmem *p2pmem)
{
	kref_put(&p2pmem->ref, p2pmem_free_later);
}

static const struct file_operations p2pmem_fops = {
};

static void p2pmem_release(void *p2pmem)
{
	/* When the system goes down, pages and transfers may refer to it. */
	if (!p2pmem_is_system_down())
		p2pmem_put(p2pmem);
}

/* Returns true if memory was added and not revoked. With the lock held. */
static bool p2pmem_has_pool(const struct p2pmem *p2pmem)
{
	return p2pmem->live || p2pmem->lost;
}

/*
 * Takes the lock if there is memory. The sysfs files of a device exist before
 * its memory is added, and after it is revoked.
 */
static bool p2pmem_lock(struct p2pmem *p2pmem)
{
	if (!p2pmem)
		return false;

	mutex_lock(&p2pmem->lock);
	if (p2pmem_has_pool(p2pmem))
		return true;
	mutex_unlock(&p2pmem->lock);
	return false;
}

static ssize_t user_limit_show(struct device *dev,
			       struct device_attribute *attr, char *buf)
{
	struct p2pmem *p2pmem = p2pmem_of(to_pci_dev(dev));
	unsigned long max;

	if (!p2pmem_lock(p2pmem))
		return -ENODEV;
	max = p2pmem->quota.max;
	mutex_unlock(&p2pmem->lock);

	if (max == P2PMEM_NO_QUOTA)
		return sysfs_emit(buf, "max\n");
	return sysfs_emit(buf, "%lu\n", max << PAGE_SHIFT);
}

static ssize_t user_limit_store(struct device *dev,
				struct device_attribute *attr, const char *buf,
				size_t count)
{
	struct p2pmem *p2pmem = p2pmem_of(to_pci_dev(dev));
	unsigned long max = P2PMEM_NO_QUOTA;
	int error;

	if (!sysfs_streq(buf, "max")) {
		error = kstrtoul(buf, 0, &max);
		if (error)
			return error;
		max >>= PAGE_SHIFT;
	}

	if (!p2pmem_lock(p2pmem))
		return -ENODEV;
	p2pmem->quota.max = max;
	mutex_unlock(&p2pmem->lock);
	return count;
}
DEVICE_ATTR_RW(user_limit);

static ssize_t p2pmem_users_read(struct file *file, struct kobject *kobj,
				 struct bin_attribute *attr, char *buf,
				 loff_t off, size_t count)
{
	struct p2pmem *p2pmem = p2pmem_of(to_pci_dev(kobj_to_dev(kobj)));
	size_t done;

	if (!p2pmem_lock(p2pmem))
		return -ENODEV;
	done = p2pmem_quota_list(&p2pmem->quota, buf, off, count);
	mutex_unlock(&p2pmem->lock);
	return done;
}

/* For root only: users need not know what others have. */
struct bin_attribute p2pmem_users_attr = {
	.attr = { .name = "users", .mode = 0400 },
	.read = p2pmem_users_read,
};

/**
 * p2pmem_pseudo_file() - make a file with its own address space
 * @pdev: the provider, whose address is the file's name in /proc/PID/maps
 * @fops: the file's methods
 * @priv: its private_data
 *
 * Context: Process context.
 * Return: the file, or an ERR_PTR() of -ENOMEM or -ENFILE.
 */
struct file *p2pmem_pseudo_file(struct pci_dev *pdev,
				const struct file_operations *fops, void *priv)
{
	struct inode *inode = alloc_anon_inode(p2pmem_mnt->mnt_sb);
	struct file *file;

	if (IS_ERR(inode))
		return ERR_CAST(inode);

	file = alloc_file_pseudo(inode, p2pmem_mnt, pci_name(pdev), O_RDWR,
				 fops);
	if (IS_ERR(file))
		iput(inode);
	else
		file->private_data = priv;
	return file;
}

/**
 * p2pmem_setup() - prepare a PCI device to be a provider
 * @pdev: the device
 * @pool: its pool of peer-to-peer memory, which is destroyed with the object
 * @p2pmem_p: where to store the object that p2pmem_of() will return
 *
 * Must be called before the sysfs files and the page maps are made, so that the
 * object outlives them. Nothing can be allocated until p2pmem_go_live().
 *
 * Context: Process context, from the driver's probe().
 * Return: 0, -ENOMEM or -ENFILE.
 */
int p2pmem_setup(struct pci_dev *pdev, struct p2pmem_pool *pool,
		 struct p2pmem **p2pmem_p)
{
	struct p2pmem *p2pmem;
	int error = -ENOMEM;

	p2pmem = kzalloc(sizeof(*p2pmem), GFP_KERNEL);
	if (!p2pmem)
		return -ENOMEM;

	p2pmem->stats = alloc_percpu(struct p2pmem_stats);
	if (!p2pmem->stats)
		goto err_free;

	/* All buffers share the inode of this file. */
	p2pmem->file = p2pmem_pseudo_file(pdev, &p2pmem_fops, p2pmem);
	if (IS_ERR(p2pmem->file)) {
		error = PTR_ERR(p2pmem->file);
		goto err_free_stats;
	}

	kref_init(&p2pmem->ref);
	p2pmem->pdev = pdev;
	INIT_WORK(&p2pmem->free_work, p2pmem_free);
	p2pmem_quota_init(&p2pmem->quota);
	mutex_init(&p2pmem->lock);
	INIT_LIST_HEAD(&p2pmem->buffers);
	INIT_LIST_HEAD(&p2pmem->banks);
	p2p_holds_init(&p2pmem->holds, p2pmem->file->f_mapping, &pdev->dev);
	init_waitqueue_head(&p2pmem->resumed);

	error = devm_add_action_or_reset(&pdev->dev, p2pmem_release, p2pmem);
	if (error)
		return error;
	p2pmem->pool = pool;
	*p2pmem_p = p2pmem;
	return 0;

err_free_stats:
	free_percpu(p2pmem->stats);
err_free:
	kfree(p2pmem);
	return error;
}

/*
 * Called when the memory is about to be removed. When this returns, processes
 * can't reach the memory any more: a CPU access gets SIGBUS, a system call
 * -EFAULT. Documentation/mm/p2p_lifetime.rst has the races, and what orders
 * them.
 */
static void p2pmem_revoke(void *data)
{
	struct p2pmem *p2pmem = data;
	struct address_space *mapping = p2pmem->file->f_mapping;
	struct p2pmem_buffer *buffer, *next;

	p2pmem_heap_forget(p2pmem);
	mutex_lock(&p2pmem->lock);

	filemap_invalidate_lock(mapping);
	p2pmem->live = false;
	p2pmem->lost = false;
	WRITE_ONCE(p2pmem->paused, false);
	unmap_mapping_range(mapping, 0, 0, true);
	filemap_invalidate_unlock(mapping);
	mutex_unlock(&p2pmem->lock);
	wake_up_all(&p2pmem->resumed);

	/* Without the lock: revoke() of a hold may wait for an mmap_lock. */
	p2p_holds_stop(&p2pmem->holds, P2P_HOLDS_GONE);

	mutex_lock(&p2pmem->lock);
	list_for_each_entry_safe(buffer, next, &p2pmem->buffers, node) {
		list_del_init(&buffer->node);
		p2pmem_put_buffer(buffer->pfn, buffer->nr_pages,
				  buffer->mapper);
	}
	mutex_unlock(&p2pmem->lock);

	trace_p2pmem_revoke(p2pmem->pdev, p2pmem_pool_size(p2pmem->pool) -
			    p2pmem_pool_avail(p2pmem->pool));
}

/**
 * p2pmem_go_live() - let processes allocate from memory that is being added
 * @pdev: a device that p2pmem_setup() has prepared
 *
 * Must be called after the devres action that removes the page map was added,
 * so that userspace loses the memory before its page map is removed.
 *
 * Context: Process context, from the driver's probe().
 * Return: 0, or -ENOMEM.
 */
int p2pmem_go_live(struct pci_dev *pdev)
{
	struct p2pmem *p2pmem = p2pmem_of(pdev);
	int error;

	error = devm_add_action(&pdev->dev, p2pmem_revoke, p2pmem);
	if (error)
		return error;

	mutex_lock(&p2pmem->lock);
	filemap_invalidate_lock(p2pmem->file->f_mapping);
	p2pmem->live = true;
	filemap_invalidate_unlock(p2pmem->file->f_mapping);
	mutex_unlock(&p2pmem->lock);
	if (!p2pmem->paused)
		p2p_holds_go_live(&p2pmem->holds);
	return 0;
}

/**
 * p2pmem_cancel_live() - undo p2pmem_go_live(), for memory that could not be added
 * @pdev: the device
 * @is_first: no memory was added before
 *
 * Memory that was added before stays as it is.
 *
 * Context: Process context, from the driver's probe().
 */
void p2pmem_cancel_live(struct pci_dev *pdev, bool is_first)
{
	struct p2pmem *p2pmem = p2pmem_of(pdev);

	if (is_first)
		devm_release_action(&pdev->dev, p2pmem_revoke, p2pmem);
	else
		devm_remove_action(&pdev->dev, p2pmem_revoke, p2pmem);
}

/**
 * p2pmem_announce() - tell udev that processes can allocate memory, or no longer can
 * @pdev: the provider
 * @there: true if they can
 *
 * A driver may add its memory long after it was bound, as nvme does. Until then there
 * are no files whose owner, mode or contents a rule could set.
 *
 * Context: Process context.
 */
void p2pmem_announce(struct pci_dev *pdev, bool there)
{
	char *env[2] = { NULL };

	env[0] = there ? "P2PMEM=1" : "P2PMEM=0";
	kobject_uevent_env(&pdev->dev.kobj, KOBJ_CHANGE, env);
}

static bool p2pmem_is_in_transfer(struct p2pmem *p2pmem)
{
	struct p2pmem_buffer *buffer;
	bool held = false;

	mutex_lock(&p2pmem->lock);
	if (p2pmem_has_pool(p2pmem)) {
		held = p2p_holds_are_busy(&p2pmem->holds);
		list_for_each_entry(buffer, &p2pmem->buffers, node)
			held = held || p2pmem_is_held(buffer->pfn,
						      buffer->nr_pages);
		held = held || p2pmem_has_mappers(p2pmem);
	}
	mutex_unlock(&p2pmem->lock);
	return held;
}

/**
 * p2pmem_is_live() - check whether there is memory that processes may allocate
 * @pdev: the device
 *
 * Context: Process context, from the driver's probe().
 * Return: true after p2pmem_go_live().
 */
bool p2pmem_is_live(struct pci_dev *pdev)
{
	struct p2pmem *p2pmem = p2pmem_of(pdev);

	return p2pmem && p2pmem->live;
}

/* Removes all mappings; from here on an access waits. */
static void p2pmem_keep_off(struct p2pmem *p2pmem)
{
	struct address_space *mapping = p2pmem->file->f_mapping;

	filemap_invalidate_lock(mapping);
	WRITE_ONCE(p2pmem->paused, true);
	unmap_mapping_range(mapping, 0, 0, true);
	filemap_invalidate_unlock(mapping);
	WRITE_ONCE(p2pmem->pause_until, jiffies + P2PMEM_PAUSE_WAIT);
	p2p_holds_stop(&p2pmem->holds, P2P_HOLDS_PAUSED);
}

static void p2pmem_stop_dma(struct p2pmem *p2pmem)
{
	mutex_lock(&p2pmem->lock);
	p2pmem_banks_stop(p2pmem);
	mutex_unlock(&p2pmem->lock);
}

/**
 * pci_p2pmem_freeze() - keep processes off a device whose link was cut
 * @pdev: the device; nothing happens if it is no provider
 *
 * For the error_detected() method of a provider's driver, if the channel is frozen.
 * Like pci_p2pmem_pause(), but does not wait for transfers: those that are
 * under way have failed, or will fail when their own device's driver is
 * notified. Others that already have pages, but still wait in a queue, are
 * refused. Calls revoke() of leases and pause() of tickets, which may sleep.
 * pci_p2pmem_resume() or pci_p2pmem_give_up() ends the freeze. The PCI core
 * calls the latter if recovery fails.
 *
 * Context: As for pci_p2pmem_pause().
 */
void pci_p2pmem_freeze(struct pci_dev *pdev)
{
	struct p2pmem *p2pmem = p2pmem_of(pdev);

	p2pdma_ranges_freeze(pdev);
	if (!p2pmem)
		return;
	p2pmem_keep_off(p2pmem);
	p2pmem_stop_dma(p2pmem);
}
EXPORT_SYMBOL_GPL(pci_p2pmem_freeze);

/**
 * pci_p2pmem_pause() - keep processes off a device that can't be reached
 * @pdev: the device; nothing happens if it is no provider
 *
 * For the reset_prepare() method of a provider's driver. Mappings are zapped. A process
 * that touches one, or hands it to a system call, waits for pci_p2pmem_resume(). New
 * buffers can be allocated. Leases are revoked for good; tickets can't be used
 * until the resume. Waits for transfers and uses that are under way, 10 seconds
 * at most. A transfer that takes longer reads undefined data, and its writes
 * are lost. One that waits in a queue is refused if its turn comes after that
 * time and before the resume.
 *
 * Context: Process context. The caller holds the device lock of @pdev, or is the
 *	    driver and keeps it bound.
 */
void pci_p2pmem_pause(struct pci_dev *pdev)
{
	struct p2pmem *p2pmem = p2pmem_of(pdev);
	unsigned long until = jiffies + P2PMEM_PAUSE_WAIT;

	p2pdma_ranges_freeze(pdev);
	if (p2pmem)
		p2pmem_keep_off(p2pmem);
	while ((p2pmem && p2pmem_is_in_transfer(p2pmem)) ||
	       p2pdma_ranges_are_in_transfer(pdev)) {
		if (time_after(jiffies, until)) {
			pci_warn(pdev, "resetting while peer-to-peer memory is still in use\n");
			break;
		}
		schedule_timeout_idle(msecs_to_jiffies(20));
	}
	if (p2pmem)
		p2pmem_stop_dma(p2pmem);
}
EXPORT_SYMBOL_GPL(pci_p2pmem_pause);

/**
 * pci_p2pmem_give_up() - fail all accesses to the memory of a device that is lost
 * @pdev: the device; nothing happens if it is no provider
 *
 * For the error_detected() method of a provider's driver, if the failure is permanent.
 * Accesses no longer wait: a CPU access gets SIGBUS, a system call -EFAULT, and nothing
 * can be allocated, held, or mapped for DMA. Buffers and tickets stay, and
 * pci_p2pmem_resume() brings them back, should the device be repaired after all.
 *
 * Context: As for pci_p2pmem_pause().
 */
void pci_p2pmem_give_up(struct pci_dev *pdev)
{
	struct p2pmem *p2pmem = p2pmem_of(pdev);
	struct address_space *mapping;
	bool was_live;

	p2pdma_ranges_give_up(pdev);
	if (!p2pmem)
		return;

	mapping = p2pmem->file->f_mapping;
	mutex_lock(&p2pmem->lock);
	filemap_invalidate_lock(mapping);
	was_live = p2pmem->live;
	p2pmem->lost |= was_live;
	p2pmem->live = false;
	WRITE_ONCE(p2pmem->paused, false);
	unmap_mapping_range(mapping, 0, 0, true);
	filemap_invalidate_unlock(mapping);
	p2pmem_banks_stop(p2pmem);
	mutex_unlock(&p2pmem->lock);
	wake_up_all(&p2pmem->resumed);
	WRITE_ONCE(p2pmem->pause_until, jiffies + P2PMEM_PAUSE_WAIT);
	p2p_holds_stop(&p2pmem->holds, P2P_HOLDS_LOST);
	if (was_live)
		pci_err(pdev, "failed: processes that use its peer-to-peer memory get SIGBUS\n");
}
EXPORT_SYMBOL_GPL(pci_p2pmem_give_up);

/**
 * pci_p2pmem_resume() - let processes use a device again
 * @pdev: a device for which one of the functions above was called
 *
 * For the reset_done() and resume() methods of a provider's driver. It depends
 * on the device whether the memory keeps its contents.
 *
 * Context: As for pci_p2pmem_pause().
 */
void pci_p2pmem_resume(struct pci_dev *pdev)
{
	struct p2pmem *p2pmem = p2pmem_of(pdev);
	struct address_space *mapping;

	p2pdma_ranges_resume(pdev);
	if (!p2pmem)
		return;

	mapping = p2pmem->file->f_mapping;
	mutex_lock(&p2pmem->lock);
	filemap_invalidate_lock(mapping);
	p2pmem->live |= p2pmem->lost;
	p2pmem->lost = false;
	if (p2pmem->live)
		p2pmem_pool_forget(p2pmem->pool);
	/* A walk that sees the end of the pause also finds a route. */
	p2pmem_banks_restart(p2pmem);
	WRITE_ONCE(p2pmem->paused, false);
	filemap_invalidate_unlock(mapping);
	mutex_unlock(&p2pmem->lock);
	wake_up_all(&p2pmem->resumed);
	if (p2pmem->live)
		p2p_holds_go_live(&p2pmem->holds);
}
EXPORT_SYMBOL_GPL(pci_p2pmem_resume);

/* Shows the provider in /proc/PID/maps. */
static char *p2pmem_dname(struct dentry *dentry, char *buffer, int buflen)
{
	return dynamic_dname(buffer, buflen, "p2pmem:%s", dentry->d_name.name);
}

static const struct dentry_operations p2pmem_dops = {
	.d_dname	= p2pmem_dname,
};

static int p2pmem_init_fs_context(struct fs_context *fc)
{
	struct pseudo_fs_context *ctx = init_pseudo(fc, P2PMEM_FS_MAGIC);

	if (!ctx)
		return -ENOMEM;
	ctx->dops = &p2pmem_dops;
	return 0;
}

static struct file_system_type p2pmem_fs_type = {
	.name			= "p2pmem",
	.init_fs_context	= p2pmem_init_fs_context,
	.kill_sb		= kill_anon_super,
};

static int __init p2pmem_init(void)
{
	p2pmem_mnt = kern_mount(&p2pmem_fs_type);
	if (IS_ERR(p2pmem_mnt))
		panic("p2pmem: kern_mount() failed: %ld\n", PTR_ERR(p2pmem_mnt));
	return register_reboot_notifier(&p2pmem_reboot_nb);
}
subsys_initcall(p2pmem_init);	/* before any driver can add memory */
