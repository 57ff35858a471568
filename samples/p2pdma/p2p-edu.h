/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/* What a program asks of /dev/p2p-edu-ADDRESS; see p2p-edu.c. */
#ifndef P2P_EDU_H
#define P2P_EDU_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* The most that one call copies, in bytes: what is pinned is soon released. */
#define P2P_EDU_MAX_LEN		8192

/* @src or @dst is an offset in the dma-buf that is attached; not both. */
#define P2P_EDU_SRC_DMABUF	0x1
#define P2P_EDU_DST_DMABUF	0x2
/* @src and @dst are addresses in what is mirrored. */
#define P2P_EDU_MIRRORED	0x4

/**
 * struct p2p_edu_copy - copies memory by way of the device
 * @src: address of what is copied, RAM or peer-to-peer memory, of any alignment
 * @dst: address that it is copied to, the same; must not overlap
 * @len: how much, in bytes, from 1 to P2P_EDU_MAX_LEN
 * @flags: 0, P2P_EDU_SRC_DMABUF, P2P_EDU_DST_DMABUF or P2P_EDU_MIRRORED
 *
 * ioctl() returns how many bytes were copied. That is less than @len if there
 * was a signal meanwhile. Errors:
 *
 * EINVAL	@len or @flags, or not within the dma-buf, or what is mirrored
 * EBADF	no dma-buf is attached, or nothing mirrored
 * EPERM	in what is mirrored, @dst is read-only
 * EINTR	a signal, before anything was copied
 * EFAULT	no such memory, or @dst is read-only
 * EACCES	the dma-buf is not open for that
 * EREMOTEIO	memory that the device can't reach
 * EAGAIN	the owner of the dma-buf's memory is being reset
 * EBUSY	others use the dma-buf, for longer than a transfer may take
 * ENODEV	the driver was unbound, or the device is gone, or that of the dma-buf
 * ETIMEDOUT	the device did not answer; what is at @dst is undefined. It is out
 *		of use until its driver is unbound and bound again,
 * EIO		and that is what it was before the call.
 */
struct p2p_edu_copy {
	__u64 src;
	__u64 dst;
	__u32 len;
	__u32 flags;
};

#define P2P_EDU_COPY		_IOW('P', 0x20, struct p2p_edu_copy)

/*
 * Attaches the dma-buf of a file descriptor, the argument, to the device, until the file
 * of the device is closed or the argument is -1. Errors beside those of the one that
 * made the dma-buf:
 *
 * EBUSY	there is one already
 * EBADF	no file descriptor; or -1, and nothing is attached
 * EINVAL	it is no dma-buf
 * EREMOTEIO	memory that the device can't reach
 * ENODEV	the driver was unbound, or the device is gone
 */
#define P2P_EDU_ATTACH		_IO('P', 0x21)

/* The most that a file mirrors, in bytes. */
#define P2P_EDU_MAX_MIRROR	(16UL << 20)

/**
 * struct p2p_edu_mirror - a part of the calling process's address space to be mirrored
 * @addr: where it begins, a multiple of the page size
 * @len: its length in bytes, the same
 *
 * From then on, until the file of the device is closed, copies with P2P_EDU_MIRRORED find
 * there whatever is mapped at the time: nothing need be mapped yet, and what is may change.
 * The addresses remain those of this process, also for others that have the file. Errors:
 *
 * EINVAL	@addr or @len
 * EBUSY	the file mirrors something already
 * EOPNOTSUPP	the device does not reach all RAM
 * ENODEV	the driver was unbound, or the device is gone
 */
struct p2p_edu_mirror {
	__u64 addr;
	__u64 len;
};

#define P2P_EDU_MIRROR		_IOW('P', 0x22, struct p2p_edu_mirror)

#endif
