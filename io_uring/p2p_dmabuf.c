// SPDX-License-Identifier: GPL-2.0
/*
 * Registered buffers that are dma-bufs of peer-to-peer memory.
 *
 * Once registered, such a buffer is like one that was registered by its
 * address, see p2p.c, except for two rules of Linux 7.4, which maps a dma-buf
 * for a device's DMA at registration:
 *
 *	- the buffer has no address: requests pass offsets
 *	- it is for reads and writes of a single open file, the target
 *
 * Here the memory is mapped per request, because a stacked device or a file
 * system chooses the devices only then. If the target is a block device,
 * registration checks that it can reach the memory, so that a program can
 * choose a fallback early. For a file in a file system, that is known only when
 * the file is read or written.
 *
 * The open mode of the dma-buf limits requests: a read writes to the memory.
 * The dma-buf itself is not needed after registration. The buffer holds the
 * memory, and a reference to the target.
 */

#include <linux/blk-p2p.h>
#include <linux/blkdev.h>
#include <linux/bvec.h>
#include <linux/dma-buf.h>
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/p2p_hold.h>
#include <linux/p2p_ratelimit.h>
#include <linux/pci-p2pdma.h>
#include <linux/sched.h>
#include <linux/sizes.h>

#include <uapi/linux/io_uring.h>

#include "io_uring.h"
#include "p2p.h"
#include "rsrc.h"

/* Waits while the provider is being reset. */
static int io_p2p_begin_use(struct p2p_hold *hold)
{
	int ret;

	do {
		ret = p2p_hold_begin_use(hold);
		if (ret != -EAGAIN)
			return ret;
		ret = p2p_hold_wait_usable(hold);
	} while (!ret || ret == -EAGAIN);
	return ret;
}

/* Can a block device read into the memory, and write from it? */
static int io_p2p_check_bdev(struct block_device *bdev, struct p2p_hold *hold)
{
	struct bio_vec all;
	int ret;

	ret = io_p2p_begin_use(hold);
	if (ret)
		return ret;
	/* The pages stay during the use. */
	bvec_set_page(&all, &hold->extents->folio->page, hold->extents->len,
		      hold->extents->offset);
	/* The members of an array may change. */
	rcu_read_lock();
	if (!bdev_p2p_capable(bdev) || !bdev_p2p_reaches(bdev, &all))
		ret = -EREMOTEIO;
	rcu_read_unlock();
	p2p_hold_end_use(hold);

	if (ret)
		pr_p2p_notice("%s[%d]: a dma-buf can't be a registered buffer for %pg, which does not support peer-to-peer DMA, or does not reach the memory\n",
			      current->comm, task_pid_nr(current), bdev);
	return ret;
}

static int io_p2p_register_target(struct dma_buf *dmabuf, struct file *target,
				  struct io_mapped_ubuf **pimu)
{
	umode_t mode = file_inode(target)->i_mode;
	struct io_mapped_ubuf *imu;
	struct p2p_hold *hold;
	int ret;

	if (dmabuf->size > SZ_1G)
		return -EINVAL;
	if (!(target->f_flags & O_DIRECT) || !io_p2p_file_has_dma(target))
		return -EOPNOTSUPP;

	hold = pci_p2p_hold_dmabuf(dmabuf, &io_p2p_hold_ops, NULL, NULL);
	if (IS_ERR(hold))
		return PTR_ERR(hold);
	ret = io_p2p_buffer_create(hold, 0, dmabuf->size, &imu);
	if (ret)
		return ret;

	if (IS_ENABLED(CONFIG_BLOCK) && S_ISBLK(mode)) {
		ret = io_p2p_check_bdev(I_BDEV(target->f_mapping->host), hold);
		if (ret) {
			io_p2p_buffer_unregister(imu);
			kvfree(imu);
			return ret;
		}
	}
	imu->target = get_file(target);
	imu->mode = dmabuf->file->f_mode;
	*pimu = imu;
	return 0;
}

/**
 * io_p2p_dmabuf_register() - register a dma-buf of peer-to-peer memory
 * @desc: the dma-buf and its target file; validated
 * @pimu: where to store the registered buffer
 *
 * Context: Process context, of the process that registers the buffer. Waits while the
 *	    provider is being reset.
 * Return: 0; -EBADF if a file descriptor is not open; -EINVAL if
 *	   @desc->dmabuf_fd is not a dma-buf, or it is larger than 1 GiB;
 *	   -EOPNOTSUPP if it is a dma-buf of other memory, or the target is
 *	   neither a block device nor a regular file that is open for direct
 *	   I/O; -EREMOTEIO if the target is a block device that can't reach the
 *	   memory; -ENODEV if the provider is gone, or has failed; -EINTR after
 *	   a fatal signal; -ENOMEM.
 */
int io_p2p_dmabuf_register(const struct io_uring_regbuf_desc *desc,
			   struct io_mapped_ubuf **pimu)
{
	struct dma_buf *dmabuf;
	struct file *target;
	int ret;

	target = fget(desc->target_fd);
	if (!target)
		return -EBADF;
	dmabuf = dma_buf_get(desc->dmabuf_fd);
	if (IS_ERR(dmabuf)) {
		ret = PTR_ERR(dmabuf);
	} else {
		ret = io_p2p_register_target(dmabuf, target, pimu);
		dma_buf_put(dmabuf);
	}
	fput(target);
	return ret;
}
