/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/* ioctls of /dev/p2p-vram-ADDRESS; see p2p-vram.c. */
#ifndef P2P_VRAM_H
#define P2P_VRAM_H

#include <linux/ioctl.h>
#include <linux/types.h>

/**
 * struct p2p_vram_export - export a part of the memory as a dma-buf
 * @offset: its offset in the BAR, in bytes; a multiple of the page size
 * @len: its length, in bytes; a multiple of the page size
 *
 * ioctl() returns a file descriptor with the rights of the file that it was
 * called on. Errors:
 *
 * EINVAL	no such part
 * ENODEV	the driver was unbound, or the device is gone
 * EMFILE, ENFILE, ENOMEM
 */
struct p2p_vram_export {
	__u64 offset;
	__u64 len;
};

#define P2P_VRAM_EXPORT		_IOW('P', 0x40, struct p2p_vram_export)

#endif
