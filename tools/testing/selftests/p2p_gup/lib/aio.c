// SPDX-License-Identifier: GPL-2.0
/* Asynchronous transfers by libaio's system calls, several at once. */
#define _GNU_SOURCE
#include <linux/aio_abi.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include "../aio.h"

/*
 * Submits nr transfers of size bytes each, contiguous in mem and in the file
 * from offset where on. Each has its own call, since transfers of one call are
 * merged into one request, which completes at once. Returns how many, or -1.
 */
int aio_submit(aio_context_t ctx, int fd, int opcode,
	       const char *mem, size_t size, off_t where, int nr)
{
	int i;

	for (i = 0; i < nr; i++) {
		struct iocb iocb = {
			.aio_lio_opcode = opcode,
			.aio_fildes = fd,
			.aio_buf = (uintptr_t)mem + i * size,
			.aio_nbytes = size,
			.aio_offset = where + i * size,
		};
		struct iocb *list = &iocb;

		if (syscall(__NR_io_submit, ctx, 1, &list) != 1)
			return i ?: -1;
	}
	return nr;
}
