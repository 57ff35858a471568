// SPDX-License-Identifier: GPL-2.0
/*
 * p2pctl copy: the end of the data, if that is not a whole block.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "copy.h"
#include "lib/util.h"

static uint64_t round_up_to(uint64_t len, uint64_t align)
{
	return (len + align - 1) / align * align;
}

static int tail_error(const struct copy *c, bool writing, uint64_t at, ssize_t n)
{
	copy_io_error(c, writing, at, n < 0 ? errno : EIO);
	return n < 0 && errno == EREMOTEIO ? ST_NO : ST_FAILED;
}

/**
 * copy_tail() - copy the last bytes, which are less than a block
 * @c: the copy
 * @mem: peer-to-peer memory for two blocks, or NULL: through RAM
 *
 * O_DIRECT transfers whole blocks only. So in @mem the CPU copies the last
 * bytes of the source over those of a block of the destination. A file is
 * truncated to its right size afterwards.
 *
 * Return: ST_OK, or why not.
 */
int copy_tail(struct copy *c, void *mem)
{
	uint64_t align = c->src.align > c->dst.align ? c->src.align : c->dst.align;
	uint64_t len = c->size % align, at = c->size - len;
	uint64_t whole = len - len % c->dst.align, written = round_up_to(len, c->dst.align);
	void *ram = NULL;
	char *from, *to;
	int status = ST_OK;
	ssize_t n;

	if (!mem && posix_memalign(&ram, 4096, 2 * align))
		die(ST_FAILED, "out of memory");
	from = mem ?: ram;
	to = from + align;
	n = pread(c->src.fd, from, round_up_to(len, c->src.align), at);
	if (n < (ssize_t)len) {
		status = tail_error(c, false, at, n);
		goto out;
	}
	memset(to, 0, written);
	if (c->dst.is_block && whole < written) {
		n = pread(c->dst.fd, to + whole, c->dst.align, at + whole);
		if (n != (ssize_t)c->dst.align) {
			status = tail_error(c, true, at + whole, n);
			goto out;
		}
	}
	memcpy(to, from, len);
	n = pwrite(c->dst.fd, to, written, at);
	if (n != (ssize_t)written) {
		status = tail_error(c, true, at, n);
		goto out;
	}
	c->tail_bytes = len;
	c->done = c->size;
out:
	free(ram);
	return status;
}
