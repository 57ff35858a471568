// SPDX-License-Identifier: GPL-2.0
/* System calls with a buffer in the room. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../kselftest.h"
#include "ops.h"
#include "uring_buf.h"

#define SLOW_MAX	(8 * KIB)
#define VECTORS		6

/* One time in eight not aligned, which direct I/O refuses or copes with. */
static char *io_addr(const struct ops_call *call)
{
	return ops_addr(call) + (call->r[5] % 8 ? 0 : call->r[5] / 8 % 1024);
}

static size_t io_len(const struct ops_call *call)
{
	size_t len = ops_len(call);

	len -= len > SECTOR ? len % SECTOR : 0;
	return len < MIB ? len : MIB;
}

static off_t io_offset(const struct ops_call *call)
{
	return call->r[2] % (OPS_DISK_SIZE / OPS_PAGE) * OPS_PAGE;
}

static long run_direct(struct ops_worker *w, const struct ops_call *call)
{
	char *addr = io_addr(call);
	size_t len = io_len(call);
	off_t at = io_offset(call);

	switch (call->r[3] % 8) {
	case 0:
		return p2p_result(pread(w->slow, addr, len < SLOW_MAX ? len :
					SLOW_MAX, 0));
	case 1:
	case 2:
	case 3:
		return p2p_result(pwrite(w->disk, addr, len, at));
	default:
		return p2p_result(pread(w->disk, addr, len, at));
	}
}

/*
 * Pieces of the room, with RAM between them if given. No RAM occurs twice: DMA
 * debugging warns about overlapping mappings of RAM.
 */
static int vectors_of(const struct ops_call *call, struct iovec *vec, char *ram)
{
	struct ops_call piece = *call;
	int i, nr = 1 + call->r[4] % VECTORS;

	for (i = 0; i < nr; i++) {
		piece.r[0] = call->r[i % OPS_NUMBERS] * (i + 1);
		piece.r[1] = call->r[(i + 3) % OPS_NUMBERS];
		vec[i].iov_base = ram && piece.r[1] & 1 ? ram + i * MIB :
				  io_addr(&piece);
		vec[i].iov_len = io_len(&piece);
	}
	return nr;
}

static long run_directv(struct ops_worker *w, const struct ops_call *call)
{
	struct iovec vec[VECTORS];
	int nr = vectors_of(call, vec, w->ram);

	if (call->r[3] % 2)
		return p2p_result(preadv(w->disk, vec, nr, io_offset(call)));
	return p2p_result(pwritev(w->disk, vec, nr, io_offset(call)));
}

/* Copied by the CPU, in both directions. */
static long run_copy(struct ops_worker *w, const struct ops_call *call)
{
	struct iovec vec[VECTORS];
	struct iovec remote = { w->ram, OPS_ROOM_SIZE };

	switch (call->r[3] % 8) {
	case 0:
		return p2p_result(pwrite(w->memfd, io_addr(call), io_len(call), 0));
	case 1:
		return p2p_result(pread(w->memfd, io_addr(call), io_len(call), 0));
	case 2:
		return p2p_result(write(w->pipe[1], io_addr(call), io_len(call)));
	case 3:
		return p2p_result(read(w->pipe[0], io_addr(call), io_len(call)));
	case 4:
		return p2p_result(process_vm_writev(getpid(), vec,
						    vectors_of(call, vec, NULL),
						    &remote, 1, 0));
	case 5:
		return p2p_result(process_vm_readv(getpid(), vec,
						   vectors_of(call, vec, NULL),
						   &remote, 1, 0));
	case 6:
		return p2p_result(preadv(w->memfd, vec,
					 vectors_of(call, vec, w->ram), 0));
	default:
		/* stands for any call that writes to user memory */
		return p2p_result(syscall(__NR_getrandom, io_addr(call),
					  io_len(call) % 256, 0));
	}
}

static long reap_ring(struct ops_worker *w)
{
	struct io_uring_cqe cqe;

	if (!w->ring_busy)
		return -EAGAIN;
	ring_wait(&w->ring, &cqe);
	w->ring_busy--;
	return cqe.res;
}

/*
 * Registers memory at an address, or any dma-buf, mostly for the drive to read.
 */
static long register_buffer(struct ops_worker *w, const struct ops_call *call)
{
	int fd = w->dmabufs[call->r[4] / 4 % OPS_DMABUFS];
	long ret;

	if (call->r[3] % 2)
		return uring_register(&w->ring, ops_addr(call), ops_len(call));
	ret = uring_register_empty(&w->ring, 1);
	return ret ?: uring_update_dmabuf(&w->ring, 0, fd,
					  call->r[3] / 2 % 8 ? w->disk : w->memfd, 0);
}

/*
 * Registers a buffer for a read, which may be in flight when it is
 * unregistered.
 */
static long run_register(struct ops_worker *w, const struct ops_call *call)
{
	char *addr = call->r[3] % 2 ? ops_addr(call) :
				      uring_at(call->r[0] % 64 * OPS_PAGE);
	struct io_uring_sqe sqe = {
		.opcode = IORING_OP_READ_FIXED,
		.flags = call->r[4] % 4 ? 0 : IOSQE_ASYNC,
		.fd = w->disk,
		.off = io_offset(call),
		.addr = (uintptr_t)addr,
		.len = io_len(call),
	};
	long ret = register_buffer(w, call);

	if (!ret) {
		if (w->ring_busy == OPS_DEPTH)
			reap_ring(w);
		ret = ring_submit(&w->ring, &sqe);
		if (!ret)
			w->ring_busy++;
	}
	/* A signal may have prevented the last unregistration. */
	syscall(__NR_io_uring_register, w->ring.fd, IORING_UNREGISTER_BUFFERS, NULL, 0);
	return ret;
}

/* Callers that would keep the pages: they are refused, or copy. */
static long run_keep(struct ops_worker *w, const struct ops_call *call)
{
	struct iovec vec = { ops_addr(call), ops_len(call) };

	return p2p_result(vmsplice(w->pipe[call->r[3] % 2], &vec, 1, SPLICE_F_NONBLOCK));
}

/* Runs asynchronously, whatever happens to the buffer meanwhile. */
static long run_uring(struct ops_worker *w, const struct ops_call *call)
{
	static const int opcodes[] = {
		IORING_OP_READ, IORING_OP_READ, IORING_OP_WRITE, IORING_OP_READV,
		IORING_OP_WRITEV, IORING_OP_READ,
	};
	struct io_uring_sqe sqe = {
		.opcode = opcodes[call->r[3] % ARRAY_SIZE(opcodes)],
		.flags = call->r[4] % 4 ? 0 : IOSQE_ASYNC,
		.fd = w->disk,
		.off = io_offset(call),
		.addr = (uintptr_t)io_addr(call),
		.len = io_len(call),
	};
	struct iovec vec[VECTORS];
	long ret;

	if (sqe.opcode == IORING_OP_READV || sqe.opcode == IORING_OP_WRITEV) {
		sqe.len = vectors_of(call, vec, sqe.opcode == IORING_OP_WRITEV ?
				     w->ram : NULL);
		sqe.addr = (uintptr_t)vec;
	} else if (sqe.opcode == IORING_OP_READ && call->r[3] % 5 == 0) {
		sqe.fd = w->slow;
		sqe.len = sqe.len < SLOW_MAX ? sqe.len : SLOW_MAX;
		sqe.off = 0;
	}
	if (w->ring_busy == OPS_DEPTH)
		reap_ring(w);
	ret = ring_submit(&w->ring, &sqe);
	if (!ret)
		w->ring_busy++;
	return ret;
}

static long run_uring_reap(struct ops_worker *w, const struct ops_call *call)
{
	return reap_ring(w);
}

static long reap_aio(struct ops_worker *w)
{
	struct io_event event;

	if (!w->aio_busy)
		return -EAGAIN;
	if (syscall(__NR_io_getevents, w->aio, 1, 1, &event, NULL) != 1)
		return -errno;
	w->aio_busy--;
	return event.res;
}

static long run_aio(struct ops_worker *w, const struct ops_call *call)
{
	struct iovec vec[VECTORS];
	bool reads = call->r[3] % 2;
	struct iocb iocb = {
		.aio_lio_opcode = reads ? IOCB_CMD_PREADV : IOCB_CMD_PWRITEV,
		.aio_fildes = w->disk,
		.aio_buf = (uintptr_t)vec,
		.aio_nbytes = vectors_of(call, vec, reads ? NULL : w->ram),
		.aio_offset = io_offset(call),
	}, *list = &iocb;

	if (w->aio_busy == OPS_DEPTH)
		reap_aio(w);
	if (syscall(__NR_io_submit, w->aio, 1, &list) != 1)
		return -errno;
	w->aio_busy++;
	return 0;
}

static long run_aio_reap(struct ops_worker *w, const struct ops_call *call)
{
	return reap_aio(w);
}

void ops_reap_all(struct ops_worker *w)
{
	while (w->ring_busy)
		reap_ring(w);
	while (w->aio_busy)
		reap_aio(w);
}

static long run_sysfs(struct ops_worker *w, const struct ops_call *call)
{
	static const char *const files[] = {
		"p2pmem/routes", "p2pmem/available", "p2pmem/size",
		"p2pmem/published", "p2pmem/dma_bus_bytes", "resource",
	};
	char path[P2P_PATH_LEN];
	long ret;
	int fd;

	p2p_path(path, w->stats->providers[call->r[5] % w->stats->nr_providers],
		 files[call->r[2] % ARRAY_SIZE(files)]);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return -errno;
	/* Some reads start in the middle, some go into the room. */
	ret = p2p_result(pread(fd, call->r[3] % 2 ? w->ram : ops_addr(call),
			       OPS_PAGE, call->r[4] % 4 ? 0 : call->r[4] % 256));
	close(fd);
	return ret;
}

/* Calls without meaning for p2pmem/allocate. */
static long run_allocate(struct ops_worker *w, const struct ops_call *call)
{
	int fd = w->sysfs[call->r[5] % w->stats->nr_providers];

	switch (call->r[2] % 4) {
	case 0:
		return p2p_result(pread(fd, ops_addr(call), ops_len(call), 0));
	case 1:
		return p2p_result(pwrite(fd, ops_addr(call), ops_len(call), 0));
	case 2:
		return p2p_result(ftruncate(fd, ops_len(call)));
	default:
		return p2p_result(lseek(fd, call->r[3], call->r[4] % 5));
	}
}

const struct ops_op ops_io[] = {
	{ "direct", run_direct, OPS_IO, 16 },
	{ "directv", run_directv, OPS_IO, 8 },
	{ "copy", run_copy, OPS_IO, 6 },
	{ "keep", run_keep, OPS_IO, 2 },
	{ "uring", run_uring, OPS_IO, 8 },
	{ "register", run_register, OPS_IO, 3 },
	{ "uring_reap", run_uring_reap, OPS_IO, 6 },
	{ "aio", run_aio, OPS_IO, 5 },
	{ "aio_reap", run_aio_reap, OPS_IO, 4 },
	{ "sysfs", run_sysfs, OPS_IO, 3 },
	{ "allocate", run_allocate, OPS_IO, 1 },
	{ }
};
