/* SPDX-License-Identifier: GPL-2.0 */
/* Asynchronous transfers by libaio's system calls, several at once. */
#ifndef P2P_AIO_H
#define P2P_AIO_H

#include <linux/aio_abi.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#define AIO_MAX		16

/*
 * Submits nr transfers, AIO_MAX at the most, of size bytes each, which follow one
 * another in mem and, from where on, in the file. Returns how many, or -1.
 */
static inline int aio_submit(aio_context_t ctx, int fd, int opcode,
			     const char *mem, size_t size, off_t where, int nr)
{
	struct iocb iocb[AIO_MAX], *list[AIO_MAX];
	int i;

	for (i = 0; i < nr && i < AIO_MAX; i++) {
		iocb[i] = (struct iocb) {
			.aio_lio_opcode = opcode,
			.aio_fildes = fd,
			.aio_buf = (uintptr_t)mem + i * size,
			.aio_nbytes = size,
			.aio_offset = where + i * size,
		};
		list[i] = &iocb[i];
	}
	return syscall(__NR_io_submit, ctx, i, list);
}

#endif
