// SPDX-License-Identifier: GPL-2.0
/*
 * Providers of PCI peer-to-peer memory for userspace: what they are made of, and how
 * their memory is taken back, for good or for the time of a reset.
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
#include <linux/pagemap.h>
#include <linux/pci.h>
#include <linux/pci-p2pdma.h>
#include <linux/pseudo_fs.h>
#include <linux/reboot.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include <linux/wait.h>

#include "p2pdma-range.h"
#include "p2pmem.h"
#include "p2pmem-limit.h"
#include "p2pmem-provider.h"

#include <trace/events/p2pmem.h>

#define P2PMEM_FS_MAGIC		0x50325044	/* "P2PD" */

/* A transfer takes less, or is stuck. */
#define P2PMEM_PAUSE_WAIT	(10 * HZ)

static struct vfsmount *p2pmem_mnt;

static void p2pmem_provider_free(struct kref *ref)
{
	struct p2pmem_provider *provider =
		container_of(ref, struct p2pmem_provider, ref);

	fput(provider->file);
	mutex_destroy(&provider->lock);
	kfree(provider);
}

/**
 * p2pmem_provider_put() - let a provider go
 * @provider: the provider
 *
 * Context: Process context.
 */
void p2pmem_provider_put(struct p2pmem_provider *provider)
{
	kref_put(&provider->ref, p2pmem_provider_free);
}

static const struct file_operations p2pmem_provider_fops = {
};

static void p2pmem_devres_release(struct device *dev, void *res)
{
	p2pmem_provider_put(*(struct p2pmem_provider **)res);
}

/* With the lock held: is the pool, with what it knows of the memory, still there? */
static bool p2pmem_has_pool(const struct p2pmem_provider *provider)
{
	return provider->live || provider->lost;
}

/*
 * Returns the pool with the lock held. NULL if the device has none yet, or loses it;
 * its files are there before the memory is, and after it.
 */
static struct p2pmem_pool *p2pmem_lock_pool(struct p2pmem_provider *provider)
{
	if (!provider)
		return NULL;

	mutex_lock(&provider->lock);
	if (p2pmem_has_pool(provider))
		return provider->pool;
	mutex_unlock(&provider->lock);
	return NULL;
}

static ssize_t user_limit_show(struct device *dev,
			       struct device_attribute *attr, char *buf)
{
	struct p2pmem_provider *provider = p2pmem_provider(to_pci_dev(dev));
	struct p2pmem_pool *pool = p2pmem_lock_pool(provider);
	unsigned long max;

	if (!pool)
		return -ENODEV;
	max = p2pmem_pool_limit(pool)->max;
	mutex_unlock(&provider->lock);

	if (max == P2PMEM_NO_LIMIT)
		return sysfs_emit(buf, "max\n");
	return sysfs_emit(buf, "%lu\n", max << PAGE_SHIFT);
}

static ssize_t user_limit_store(struct device *dev,
				struct device_attribute *attr, const char *buf,
				size_t count)
{
	struct p2pmem_provider *provider = p2pmem_provider(to_pci_dev(dev));
	unsigned long max = P2PMEM_NO_LIMIT;
	struct p2pmem_pool *pool;
	int error;

	if (!sysfs_streq(buf, "max")) {
		error = kstrtoul(buf, 0, &max);
		if (error)
			return error;
		max >>= PAGE_SHIFT;
	}

	pool = p2pmem_lock_pool(provider);
	if (!pool)
		return -ENODEV;
	p2pmem_pool_limit(pool)->max = max;
	mutex_unlock(&provider->lock);
	return count;
}
DEVICE_ATTR_RW(user_limit);

/**
 * p2pmem_pseudo_file() - make a file with an address space of its own
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
 * @pool: its pool of peer-to-peer memory
 * @provider_p: where to store what p2pmem_provider() will return
 *
 * Must be called before the file p2pmem/allocate is made, and
 * before the devres action that will remove them is registered, so that what
 * they use outlives them. Nothing can be allocated until p2pmem_add_region().
 *
 * Context: Process context, from the driver's probe().
 * Return: 0, or -ENOMEM.
 */
int p2pmem_setup(struct pci_dev *pdev, struct p2pmem_pool *pool,
		 struct p2pmem_provider **provider_p)
{
	struct p2pmem_provider *provider;
	struct p2pmem_provider **res;
	int error;

	res = devres_alloc(p2pmem_devres_release, sizeof(*res), GFP_KERNEL);
	if (!res)
		return -ENOMEM;

	provider = kzalloc(sizeof(*provider), GFP_KERNEL);
	if (!provider) {
		error = -ENOMEM;
		goto err_free_res;
	}

	/* All buffers have its inode. */
	provider->file = p2pmem_pseudo_file(pdev, &p2pmem_provider_fops,
					    provider);
	if (IS_ERR(provider->file)) {
		error = PTR_ERR(provider->file);
		goto err_free_provider;
	}

	kref_init(&provider->ref);
	mutex_init(&provider->lock);
	init_waitqueue_head(&provider->resumed);
	INIT_LIST_HEAD(&provider->buffers);
	provider->pdev = pdev;
	provider->pool = pool;

	*res = provider;
	devres_add(&pdev->dev, res);
	*provider_p = provider;
	return 0;

err_free_provider:
	kfree(provider);
err_free_res:
	devres_free(res);
	return error;
}

/* Never false again. */
static bool p2pmem_system_down;

static int p2pmem_reboot(struct notifier_block *nb, unsigned long action,
			 void *data)
{
	WRITE_ONCE(p2pmem_system_down, true);
	return NOTIFY_DONE;
}

/* Before device_shutdown(), which wants the locks that p2pmem_drain() is called with. */
static struct notifier_block p2pmem_reboot_nb = {
	.notifier_call = p2pmem_reboot,
};

/**
 * p2pmem_is_system_down() - does the machine restart, halt or start another kernel?
 *
 * From then on p2pmem_drain() waits for no pages, and what pages or transfers refer to
 * is never freed.
 *
 * Context: Any.
 * Return: whether it does.
 */
bool p2pmem_is_system_down(void)
{
	return READ_ONCE(p2pmem_system_down);
}

/*
 * Wait for those who still hold pages, and say so if it takes long. Nothing but the
 * end of the system ends the wait: the driver core calls this to release what the
 * driver had, and can't be told that it failed. The writer of "unbind" does not see
 * signals.
 */
static void p2pmem_drain(struct pci_dev *pdev, struct p2pmem_pool *pool)
{
	unsigned long report = jiffies + HZ;

	while (p2pmem_pool_size(pool) != p2pmem_pool_avail(pool)) {
		if (p2pmem_is_system_down()) {
			p2pmem_holders_report(pdev, pool);
			pci_warn(pdev, "the system goes down: %zu KiB of peer-to-peer memory that transfers or drivers still use are left to them\n",
				 (p2pmem_pool_size(pool) -
				  p2pmem_pool_avail(pool)) >> 10);
			break;
		}
		if (time_after(jiffies, report)) {
			p2pmem_holders_report(pdev, pool);
			report = jiffies + 10 * HZ;
		}
		/* It may take for ever, so it is neither load nor a hung task. */
		schedule_timeout_idle(msecs_to_jiffies(20));
	}
}

/*
 * The device is about to lose its memory. When this returns nobody reaches it
 * any more: a CPU access gets SIGBUS, a system call -EFAULT. Who may come in
 * between, and what orders it, is in Documentation/mm/p2p_lifetime.rst.
 */
static void p2pmem_revoke(void *data)
{
	struct p2pmem_provider *provider = data;
	struct address_space *mapping = provider->file->f_mapping;
	struct p2pmem_buffer *buffer, *next;

	mutex_lock(&provider->lock);

	filemap_invalidate_lock(mapping);
	provider->live = false;
	provider->lost = false;
	WRITE_ONCE(provider->paused, false);
	unmap_mapping_range(mapping, 0, 0, true);
	filemap_invalidate_unlock(mapping);
	wake_up_all(&provider->resumed);

	list_for_each_entry_safe(buffer, next, &provider->buffers, node) {
		list_del_init(&buffer->node);
		p2pmem_put_buffer(buffer->pfn, buffer->nr_pages,
				  buffer->holder);
	}
	mutex_unlock(&provider->lock);

	trace_p2pmem_revoke(provider->pdev, p2pmem_pool_size(provider->pool) -
			    p2pmem_pool_avail(provider->pool));
	p2pmem_drain(provider->pdev, provider->pool);
}

/**
 * p2pmem_add_region() - let userspace allocate from memory that is being added
 * @pdev: a device that p2pmem_setup() has prepared
 *
 * Must be called after the page map of the memory was created with
 * devm_memremap_pages(), so that userspace loses the memory before that page map
 * is removed.
 *
 * Context: Process context, from the driver's probe().
 * Return: 0, or -ENOMEM.
 */
int p2pmem_add_region(struct pci_dev *pdev)
{
	struct p2pmem_provider *provider = p2pmem_provider(pdev);
	int error;

	error = devm_add_action(&pdev->dev, p2pmem_revoke, provider);
	if (error)
		return error;

	mutex_lock(&provider->lock);
	filemap_invalidate_lock(provider->file->f_mapping);
	provider->live = true;
	filemap_invalidate_unlock(provider->file->f_mapping);
	mutex_unlock(&provider->lock);
	return 0;
}

/**
 * p2pmem_announce() - tell udev that processes can allocate memory, or no longer can
 * @pdev: the provider
 * @there: whether they can
 *
 * A driver may add its memory long after it was bound, as nvme does. Until then there
 * are no files whose owner, mode or contents a rule could set.
 *
 * Context: Process context.
 */
void p2pmem_announce(struct pci_dev *pdev, bool there)
{
	char *env[] = { there ? "P2PMEM=1" : "P2PMEM=0", NULL };

	kobject_uevent_env(&pdev->dev.kobj, KOBJ_CHANGE, env);
}

static bool p2pmem_is_in_transfer(struct p2pmem_provider *provider)
{
	struct p2pmem_buffer *buffer;
	bool held = false;

	mutex_lock(&provider->lock);
	if (p2pmem_has_pool(provider)) {
		list_for_each_entry(buffer, &provider->buffers, node)
			held = held || p2pmem_is_held(buffer->pfn,
						      buffer->nr_pages);
		held = held || p2pmem_has_holders(provider->pool);
	}
	mutex_unlock(&provider->lock);
	return held;
}

/**
 * p2pmem_has_region() - is there memory that userspace may allocate?
 * @pdev: the device
 *
 * Context: Process context, from the driver's probe().
 * Return: true after p2pmem_add_region().
 */
bool p2pmem_has_region(struct pci_dev *pdev)
{
	struct p2pmem_provider *provider = p2pmem_provider(pdev);

	return provider && provider->live;
}

/**
 * pci_p2pmem_freeze() - keep userspace off a device whose link was cut
 * @pdev: the device; nothing happens if it is no provider
 *
 * For the error_detected() method of a provider's driver, if the channel is frozen.
 * As pci_p2pmem_pause(), but nobody is waited for: transfers that are under way have
 * failed already, or will when their own device is told. pci_p2pmem_resume() ends
 * it, or pci_p2pmem_give_up(). The PCI core calls the latter if recovery fails.
 *
 * Context: As for pci_p2pmem_pause().
 */
void pci_p2pmem_freeze(struct pci_dev *pdev)
{
	struct p2pmem_provider *provider = p2pmem_provider(pdev);
	struct address_space *mapping;

	p2pdma_ranges_freeze(pdev);
	if (!provider)
		return;

	mapping = provider->file->f_mapping;
	filemap_invalidate_lock(mapping);
	WRITE_ONCE(provider->paused, true);
	unmap_mapping_range(mapping, 0, 0, true);
	filemap_invalidate_unlock(mapping);
}
EXPORT_SYMBOL_GPL(pci_p2pmem_freeze);

/**
 * pci_p2pmem_pause() - keep userspace off a device that can't be reached
 * @pdev: the device; nothing happens if it is no provider
 *
 * For the reset_prepare() method of a provider's driver. Mappings are zapped; whoever
 * touches one, or hands it to a system call, waits for pci_p2pmem_resume(). New
 * buffers can be allocated. Transfers that are under way are waited for, 10 seconds
 * at most. What one that takes longer reads from the memory is undefined, and
 * what it writes is lost.
 *
 * Context: Process context. The caller holds the device lock of @pdev, or is the
 *	    driver and keeps it bound.
 */
void pci_p2pmem_pause(struct pci_dev *pdev)
{
	struct p2pmem_provider *provider = p2pmem_provider(pdev);
	unsigned long until = jiffies + P2PMEM_PAUSE_WAIT;

	pci_p2pmem_freeze(pdev);
	while ((provider && p2pmem_is_in_transfer(provider)) ||
	       p2pdma_ranges_are_in_transfer(pdev)) {
		if (time_after(jiffies, until)) {
			pci_warn(pdev, "is reset, although transfers or drivers still use its peer-to-peer memory\n");
			break;
		}
		schedule_timeout_idle(msecs_to_jiffies(20));
	}
}
EXPORT_SYMBOL_GPL(pci_p2pmem_pause);

/**
 * pci_p2pmem_give_up() - the memory of a device will not be back
 * @pdev: the device; nothing happens if it is no provider
 *
 * For the error_detected() method of a provider's driver, if the failure is permanent.
 * Nobody waits for the memory any more: a CPU access gets SIGBUS, a system call
 * -EFAULT, and nothing can be allocated. Buffers stay, and pci_p2pmem_resume() gives
 * them back, should the device be repaired after all.
 *
 * Context: As for pci_p2pmem_pause().
 */
void pci_p2pmem_give_up(struct pci_dev *pdev)
{
	struct p2pmem_provider *provider = p2pmem_provider(pdev);
	struct address_space *mapping;
	bool was_live;

	p2pdma_ranges_give_up(pdev);
	if (!provider)
		return;

	mapping = provider->file->f_mapping;
	mutex_lock(&provider->lock);
	filemap_invalidate_lock(mapping);
	was_live = provider->live;
	provider->lost |= was_live;
	provider->live = false;
	WRITE_ONCE(provider->paused, false);
	unmap_mapping_range(mapping, 0, 0, true);
	filemap_invalidate_unlock(mapping);
	mutex_unlock(&provider->lock);
	wake_up_all(&provider->resumed);
	if (was_live)
		pci_err(pdev, "has failed: processes that use its peer-to-peer memory get SIGBUS\n");
}
EXPORT_SYMBOL_GPL(pci_p2pmem_give_up);

/**
 * pci_p2pmem_resume() - let userspace use a device again
 * @pdev: a device for which one of the functions above was called
 *
 * For the reset_done() and resume() methods of a provider's driver. What the memory
 * holds is up to the device.
 *
 * Context: As for pci_p2pmem_pause().
 */
void pci_p2pmem_resume(struct pci_dev *pdev)
{
	struct p2pmem_provider *provider = p2pmem_provider(pdev);
	struct address_space *mapping;

	p2pdma_ranges_resume(pdev);
	if (!provider)
		return;

	mapping = provider->file->f_mapping;
	mutex_lock(&provider->lock);
	filemap_invalidate_lock(mapping);
	provider->live |= provider->lost;
	provider->lost = false;
	if (provider->live)
		p2pmem_pool_forget(provider->pool);
	WRITE_ONCE(provider->paused, false);
	filemap_invalidate_unlock(mapping);
	mutex_unlock(&provider->lock);
	wake_up_all(&provider->resumed);
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
