/* SPDX-License-Identifier: GPL-2.0 */
/* The sample driver samples/p2pdma/p2p-edu.c. */
#ifndef P2P_EDU_TEST_H
#define P2P_EDU_TEST_H

#include <fcntl.h>
#include <samples/p2pdma/p2p-edu.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "bind.h"
#include "p2pmem.h"

#define PARAMETERS	"/sys/module/p2p_edu/parameters/"
#define EDU		"p2p-edu"

#define WIDE_BITS	"64"
#define NARROW_BITS	"28"

static inline int bind_edu(const char *device, const char *bits)
{
	if (p2p_has_driver(device, EDU))
		p2p_driver_unbind(EDU, device);
	return p2p_write_file(PARAMETERS "dma_bits", bits) ?:
	       p2p_driver_bind(EDU, device);
}

static inline int open_edu(const char *device)
{
	char path[P2P_PATH_LEN];

	snprintf(path, sizeof(path), "/dev/" EDU "-%s", device);
	return open(path, O_RDWR | O_CLOEXEC);
}

static inline ssize_t copy_flags(int fd, const void *src, void *dst, size_t len,
				 unsigned int flags)
{
	struct p2p_edu_copy copy = {
		.src = (uintptr_t)src,
		.dst = (uintptr_t)dst,
		.len = len,
		.flags = flags,
	};

	return p2p_result(ioctl(fd, P2P_EDU_COPY, &copy));
}

static inline ssize_t copy(int fd, const void *src, void *dst, size_t len)
{
	return copy_flags(fd, src, dst, len, 0);
}

#endif
