/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/* What a program asks of /dev/p2p-edu-ADDRESS; see p2p-edu.c. */
#ifndef P2P_EDU_H
#define P2P_EDU_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* The most that one call copies, in bytes: what is pinned is soon released. */
#define P2P_EDU_MAX_LEN		8192

/**
 * struct p2p_edu_copy - copies memory by way of the device
 * @src: address of what is copied, RAM or peer-to-peer memory, of any alignment
 * @dst: address that it is copied to, the same; must not overlap
 * @len: how much, in bytes, from 1 to P2P_EDU_MAX_LEN
 * @flags: 0
 *
 * ioctl() returns how many bytes were copied. That is less than @len if there
 * was a signal meanwhile. Errors:
 *
 * EINVAL	@len or @flags
 * EINTR	a signal, before anything was copied
 * EFAULT	no such memory, or @dst is read-only
 * EREMOTEIO	memory that the device can't reach
 * ENODEV	the driver was unbound, or the device is gone
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

#endif
