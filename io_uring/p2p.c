// SPDX-License-Identifier: GPL-2.0
/*
 * Registered buffers in peer-to-peer memory.
 *
 * Such a buffer has a ticket instead of pins. Pins would last for as long as
 * the program likes, and block the removal of the provider. With a ticket, the
 * provider revokes the memory whenever it has to; the slot stays registered,
 * and requests that use it fail with -EREMOTEIO. The revocation does not take
 * the buffer out of its slot: a ring recycles resource nodes in order, so it
 * would have to wait for requests on other buffers, which may never end.
 *
 * A request takes references to its pages when it is issued, see mm/p2p_iter.c. A
 * request that waits in the ring, in a link or for a worker has none.
 *
 * The memory is not locked, and not charged to RLIMIT_MEMLOCK: it can't be
 * swapped, and the provider has charged it to the user that allocated it.
 */

#include <linux/err.h>
#include <linux/errno.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/p2p_hold.h>
#include <linux/p2p_iter.h>
#include <linux/p2p_ratelimit.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uio.h>

#include <uapi/linux/io_uring.h>

#include "io_uring.h"
#include "p2p.h"
#include "rsrc.h"

/* Uses are short, so a revocation needs no callback. */
const struct p2p_hold_ops io_p2p_hold_ops = {
	.name	= "io_uring",
	.mode	= P2P_HOLD_TICKET,
};

/* Can requests use the memory? */
static int io_p2p_check_hold(const struct p2p_hold *hold)
{
	if (!hold->extents->folio) {
		pr_p2p_notice("%s[%d]: peer-to-peer memory without struct pages can't be a registered buffer\n",
			      current->comm, task_pid_nr(current));
		return -EREMOTEIO;
	}
	/* Otherwise mremap() has rearranged the mapping. */
	return hold->nr_extents == 1 ? 0 : -EINVAL;
}

/**
 * io_p2p_buffer_create() - create a registered buffer
 * @hold: the memory, an unarmed ticket with a single extent; owned by the
 *	  buffer on success, destroyed on failure
 * @ubuf: the address of the buffer in requests
 * @len: size of the buffer in bytes
 * @pimu: where to store the buffer
 *
 * Context: Process context.
 * Return: 0; -ENODEV if the memory was revoked; -ENOMEM.
 */
int io_p2p_buffer_create(struct p2p_hold *hold, u64 ubuf, size_t len,
			 struct io_mapped_ubuf **pimu)
{
	struct io_mapped_ubuf *imu;
	int ret;

	ret = p2p_hold_arm(hold);
	if (ret)
		goto err_destroy;

	ret = -ENOMEM;
	imu = kvzalloc(sizeof(*imu), GFP_KERNEL_ACCOUNT);
	if (!imu)
		goto err_destroy;

	imu->ubuf = ubuf;
	imu->ubuf_end = ubuf + len;
	imu->hold = hold;
	*pimu = imu;
	return 0;

err_destroy:
	p2p_hold_destroy(hold);
	return ret;
}

/**
 * io_p2p_buffer_register() - register peer-to-peer memory
 * @iov: the buffer; validated
 * @pimu: where to store the registered buffer
 *
 * Context: Process context, of the process that registers the buffer.
 * Return: 0; -ENOENT if the memory is of another kind; -EINVAL if it spans
 *	   several kinds of memory or several mmap() calls, or mremap() has made
 *	   it non-contiguous; -EFAULT if it is not mapped, not writable, or was
 *	   revoked; -ENODEV if it is being revoked; -EREMOTEIO if it has no
 *	   struct pages; -EINTR after a fatal signal; -ENOMEM.
 */
int io_p2p_buffer_register(const struct iovec *iov, struct io_mapped_ubuf **pimu)
{
	unsigned long ubuf = (unsigned long)iov->iov_base;
	struct p2p_hold *hold;
	int ret;

	hold = p2p_hold_create_user(ubuf, iov->iov_len, FOLL_WRITE,
				    &io_p2p_hold_ops, NULL, NULL);
	if (IS_ERR_OR_NULL(hold))
		return hold ? PTR_ERR(hold) : -ENOENT;

	ret = io_p2p_check_hold(hold);
	if (ret) {
		p2p_hold_destroy(hold);
		return ret;
	}
	return io_p2p_buffer_create(hold, ubuf, iov->iov_len, pimu);
}

/**
 * io_p2p_buffer_unregister() - release the memory of a registered buffer
 * @imu: the buffer, which requests no longer use
 *
 * Context: Process context.
 */
void io_p2p_buffer_unregister(struct io_mapped_ubuf *imu)
{
	p2p_hold_destroy(imu->hold);
	if (imu->target)
		fput(imu->target);
}

/**
 * io_p2p_file_has_dma() - check whether direct I/O of a file can use DMA
 * @file: the file
 *
 * O_DIRECT on a pipe means something else, and some file systems accept it on
 * device nodes and directories, too.
 *
 * Context: Any.
 * Return: true if @file is a regular file or block device with direct I/O.
 */
bool io_p2p_file_has_dma(const struct file *file)
{
	umode_t mode = file_inode(file)->i_mode;

	return file->f_mode & FMODE_CAN_ODIRECT &&
	       (S_ISREG(mode) || S_ISBLK(mode));
}

/*
 * A dma-buf may only be used with the file that it was registered for, and as
 * its own open mode permits.
 */
static int io_p2p_check_target(const struct io_mapped_ubuf *imu,
			       const struct file *file,
			       const struct iov_iter *iter)
{
	fmode_t need = iov_iter_rw(iter) == READ ? FMODE_WRITE : FMODE_READ;

	if (!iov_iter_count(iter))
		return -EFAULT;
	if (imu->target != file)
		return -EBADF;
	return imu->mode & need ? 0 : -EACCES;
}

/**
 * io_p2p_check_request() - check that a request may use a registered buffer
 * @imu: the buffer
 * @kiocb: the request, a read or write
 * @iter: the part of the buffer
 *
 * Only direct I/O to files and block devices uses DMA alone. All other I/O
 * involves the CPU.
 *
 * Context: Process context.
 * Return: 0; -EREMOTEIO if @kiocb is not direct I/O; for a dma-buf, -EFAULT if
 *	   the length is 0, -EBADF if the file is not the one that the buffer
 *	   was registered for, and -EACCES if the dma-buf does not permit the
 *	   direction.
 */
int io_p2p_check_request(const struct io_mapped_ubuf *imu,
			 const struct kiocb *kiocb, const struct iov_iter *iter)
{
	if (imu->target) {
		int ret = io_p2p_check_target(imu, kiocb->ki_filp, iter);

		if (ret)
			return ret;
	}
	if (kiocb->ki_flags & IOCB_DIRECT &&
	    io_p2p_file_has_dma(kiocb->ki_filp))
		return 0;
	pr_p2p_notice("%s[%d]: a registered buffer in peer-to-peer memory needs O_DIRECT, which %pD does not have\n",
		      current->comm, task_pid_nr(current), kiocb->ki_filp);
	return -EREMOTEIO;
}
