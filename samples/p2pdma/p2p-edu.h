/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/* ioctls of /dev/p2p-edu-ADDRESS; see p2p-edu.c. */
#ifndef P2P_EDU_H
#define P2P_EDU_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* The most that one call copies, in bytes, so that pins are short. */
#define P2P_EDU_MAX_LEN		8192

/* @src or @dst is an offset in the attached dma-buf; not both. */
#define P2P_EDU_SRC_DMABUF	0x1
#define P2P_EDU_DST_DMABUF	0x2
/* @src and @dst are addresses in the mirrored range. */
#define P2P_EDU_MIRRORED	0x4

/**
 * struct p2p_edu_copy - copies memory by way of the device
 * @src: source address, in RAM or peer-to-peer memory, of any alignment
 * @dst: destination address, the same; must not overlap the source
 * @len: number of bytes, from 1 to P2P_EDU_MAX_LEN
 * @flags: 0, P2P_EDU_SRC_DMABUF, P2P_EDU_DST_DMABUF or P2P_EDU_MIRRORED
 *
 * ioctl() returns the number of bytes copied, which is less than @len after a
 * signal. Errors:
 *
 * EINVAL	invalid @len or @flags, or outside the dma-buf or mirrored range
 * EBADF	no dma-buf is attached, or no range is mirrored
 * EPERM	@dst is in a read-only part of the mirrored range
 * EINTR	a signal, before anything was copied
 * EFAULT	no such memory, or @dst is read-only
 * EACCES	the dma-buf's file does not permit the access
 * EREMOTEIO	memory that the device can't reach
 * EAGAIN	the provider of the dma-buf's memory is being reset
 * EBUSY	others use the dma-buf for longer than a transfer may take
 * ENODEV	the driver was unbound, or the device or the dma-buf's is gone
 * ETIMEDOUT	the device did not answer; the contents of @dst are undefined.
 *		The device can't be used until its driver is bound again
 * EIO		the device timed out in an earlier call, see ETIMEDOUT
 */
struct p2p_edu_copy {
	__u64 src;
	__u64 dst;
	__u32 len;
	__u32 flags;
};

#define P2P_EDU_COPY		_IOW('P', 0x20, struct p2p_edu_copy)

/*
 * Attaches the dma-buf of the file descriptor in the argument to the device,
 * until the device's file is closed. The argument -1 detaches the dma-buf.
 * Errors in addition to those of the exporter:
 *
 * EBUSY	one is already attached
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
 * @addr: its start, a multiple of the page size
 * @len: its length in bytes, a multiple of the page size
 *
 * Until the device's file is closed, copies with P2P_EDU_MIRRORED access what
 * is mapped there at the time: mappings may be added and changed. The addresses
 * are those of this process, even if another process uses the file. Errors:
 *
 * EINVAL	invalid @addr or @len
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
