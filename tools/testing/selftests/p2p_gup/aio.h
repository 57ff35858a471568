/* SPDX-License-Identifier: GPL-2.0 */
/* Asynchronous transfers by libaio's system calls, several at once. */
#ifndef P2P_AIO_H
#define P2P_AIO_H

#include <linux/aio_abi.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

int aio_submit(aio_context_t ctx, int fd, int opcode,
	       const char *mem, size_t size, off_t where, int nr);

#endif
