// SPDX-License-Identifier: GPL-2.0
/*
 * Transfers between a block device and vectors of RAM and of several providers'
 * memory, in any order. How many commands a drive needs for one is transparent.
 */
#define _GNU_SOURCE
#include <linux/aio_abi.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../mixed.h"
#include "../p2pmem.h"

/* @reached: the drive reaches all providers. Returns an error text, or NULL. */
const char *mixed_init(struct mixed *m, int fd, size_t sector, bool reached)
{
	static const char *const no_disks[] = { NULL };
	static struct p2p_variant all[P2P_MAX];
	int i, nr = p2p_variants(all, NULL, no_disks);

	*m = (struct mixed){ .fd = fd, .sector = sector, .seed = 1, .nr = nr + 1 };
	m->back = p2p_ram(MIXED_SIZE);
	m->mem[0] = p2p_ram(MIXED_SIZE);
	m->reached[0] = true;
	for (i = 0; i < nr; i++) {
		m->mem[i + 1] = p2p_map(all[i].provider, MIXED_SIZE);
		m->reached[i + 1] = reached;
	}
	for (i = 0; i <= nr; i++)
		if (m->mem[i] == MAP_FAILED || m->back == MAP_FAILED)
			return "no memory";
	return NULL;
}

void mixed_end(struct mixed *m)
{
	int i;

	for (i = 0; i < m->nr; i++)
		munmap(m->mem[i], MIXED_SIZE);
	munmap(m->back, MIXED_SIZE);
}

static unsigned int mixed_random(struct mixed *m, unsigned int below)
{
	m->seed = m->seed * 1103515245 + 12345;
	return (m->seed >> 8) % below;
}

/* Uses libaio's system calls. Returns the same as preadv() and pwritev(). */
ssize_t mixed_async(int fd, int opcode, struct iovec *vec, int nr, off_t where)
{
	struct iocb iocb = {
		.aio_lio_opcode = opcode,
		.aio_fildes = fd,
		.aio_buf = (uintptr_t)vec,
		.aio_nbytes = nr,
		.aio_offset = where,
	}, *list = &iocb;
	struct io_event event = { .res = -ECANCELED };
	aio_context_t ctx = 0;

	if (syscall(__NR_io_setup, 1, &ctx))
		return -errno;
	if (syscall(__NR_io_submit, ctx, 1, &list) != 1)
		event.res = -errno;
	else
		/* io_uring of the same thread may interrupt the call. */
		while (syscall(__NR_io_getevents, ctx, 1, 1, &event, NULL) < 0 &&
		       errno == EINTR)
			;
	syscall(__NR_io_destroy, ctx);
	return event.res;
}

/* Makes a vector of random segments. Returns its length. */
size_t mixed_vector(struct mixed *m, struct iovec *vec, int *kind, int nr)
{
	unsigned int units = MIXED_SEGMENT / m->sector, first;
	size_t total = 0;
	int i;

	for (i = 0; i < nr; i++) {
		/* Half of them begin at a page, so that they may merge. */
		first = mixed_random(m, 2) ? 0 : mixed_random(m, units);
		kind[i] = mixed_random(m, m->nr);
		vec[i].iov_base = m->mem[kind[i]] + i * MIXED_SEGMENT + first * m->sector;
		vec[i].iov_len = first ? (1 + mixed_random(m, units - first)) * m->sector :
					 MIXED_SEGMENT;
		total += vec[i].iov_len;
	}
	return total;
}

bool mixed_holds(struct iovec *vec, int nr, uint64_t seed, off_t where)
{
	for (; nr--; vec++) {
		if (p2p_differs(vec->iov_base, vec->iov_len, seed, where) != -1)
			return false;
		where += vec->iov_len;
	}
	return true;
}

/*
 * Writes or reads a vector, by aio or not. Returns whether the result is as
 * expected.
 */
static bool mixed_io(struct mixed *m, bool write, bool async, struct iovec *vec, int nr,
		     off_t where, ssize_t due)
{
	ssize_t ret;

	if (async)
		ret = mixed_async(m->fd, write ? IOCB_CMD_PWRITEV : IOCB_CMD_PREADV, vec,
				  nr, where);
	else
		ret = p2p_result(write ? pwritev(m->fd, vec, nr, where) :
					 preadv(m->fd, vec, nr, where));
	if (ret == due)
		return true;
	printf("# %s %d segments%s: %zd, not %zd\n", write ? "wrote" : "read", nr,
	       async ? " by libaio" : "", ret, due);
	return false;
}

/*
 * Writes one vector at offset where and reads another one there, each of
 * MIXED_SIZE at most. Returns what is wrong, or NULL.
 */
const char *mixed_transfer(struct mixed *m, off_t where)
{
	int nr = 1 + mixed_random(m, MIXED_SEGMENTS), async = mixed_random(m, 2), i;
	struct iovec vec[MIXED_SEGMENTS];
	int kind[MIXED_SEGMENTS];
	ssize_t len, due;
	off_t end = where;

	len = mixed_vector(m, vec, kind, nr);
	due = len;
	for (i = 0; i < nr; i++) {
		p2p_fill(vec[i].iov_base, vec[i].iov_len, 1, end);
		end += vec[i].iov_len;
		if (!m->reached[kind[i]])
			due = -EREMOTEIO;
	}
	if (!mixed_io(m, true, async, vec, nr, where, due))
		return "write";
	if (due == len) {
		p2p_set(m->back, len, MIXED_POISON);
		if (p2p_result(pread(m->fd, m->back, len, where)) != len ||
		    p2p_differs(m->back, len, 1, where) != -1)
			return "data of a write";
	}

	p2p_fill(m->back, len, 2, where);
	if (pwrite(m->fd, m->back, len, where) != len)
		return "write from RAM alone";
	for (i = 0; i < nr; i++)
		p2p_set(vec[i].iov_base, vec[i].iov_len, MIXED_POISON);
	if (!mixed_io(m, false, async, vec, nr, where, due))
		return "read";
	if (due == len && !mixed_holds(vec, nr, 2, where))
		return "data of a read";
	for (i = 0; i < nr; i++)
		if (!m->reached[kind[i]] &&
		    p2p_not_set(vec[i].iov_base, vec[i].iov_len, MIXED_POISON) != -1)
			return "memory that was refused";
	return NULL;
}
