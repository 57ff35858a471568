// SPDX-License-Identifier: GPL-2.0
/* Common code of the debugfs files of lib/test_p2p*.c. */

#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "test_p2p.h"

struct p2p_test_open {
	const struct p2p_test_file *file;
	struct mutex lock;	/* one ioctl() at a time */
	u64 state[];
};

static long p2p_test_ioctl(struct file *filp, unsigned int cmd, unsigned long user)
{
	struct p2p_test_open *open = filp->private_data;
	size_t size = _IOC_SIZE(cmd);
	union p2p_test_arg arg;
	long ret;

	if (_IOC_TYPE(cmd) != 'P' || size > sizeof(arg))
		return -ENOTTY;
	if (!size)
		arg.value = user;
	else if (copy_from_user(&arg, (void __user *)user, size))
		return -EFAULT;

	mutex_lock(&open->lock);
	ret = open->file->ioctl(open->state, cmd, &arg);
	mutex_unlock(&open->lock);

	if (ret >= 0 && size && copy_to_user((void __user *)user, &arg, size))
		return -EFAULT;
	return ret;
}

static int p2p_test_open(struct inode *inode, struct file *filp)
{
	const struct p2p_test_file *file = inode->i_private;
	struct p2p_test_open *open;
	int error;

	open = kzalloc(sizeof(*open) + file->state_size, GFP_KERNEL);
	if (!open)
		return -ENOMEM;
	open->file = file;
	mutex_init(&open->lock);
	error = file->open ? file->open(open->state) : 0;
	if (error) {
		mutex_destroy(&open->lock);
		kfree(open);
		return error;
	}
	filp->private_data = open;
	return nonseekable_open(inode, filp);
}

static int p2p_test_release(struct inode *inode, struct file *filp)
{
	struct p2p_test_open *open = filp->private_data;

	if (open->file->release)
		open->file->release(open->state);
	mutex_destroy(&open->lock);
	kfree(open);
	return 0;
}

static const struct file_operations p2p_test_fops = {
	.owner		= THIS_MODULE,
	.open		= p2p_test_open,
	.release	= p2p_test_release,
	.unlocked_ioctl	= p2p_test_ioctl,
};

/* @file must never be freed: this code is never unloaded. */
void __init p2p_test_create_file(const struct p2p_test_file *file)
{
	debugfs_create_file_unsafe(file->name, 0600, NULL, (void *)file,
				   &p2p_test_fops);
}
