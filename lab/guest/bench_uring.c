// SPDX-License-Identifier: GPL-2.0
/*
 * What io_uring's registered buffers cost, one request at a time: the section uring of
 * bench_p2p. By its system calls, as the machine may have no liburing of a static kind.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "bench.h"
#include "bench_p2p.h"

#define BUFFER HUGE_PAGE

static struct {
	int fd;
	uint32_t *sq_tail, *sq_mask, *sq_array;
	uint32_t *cq_head, *cq_tail, *cq_mask;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
	bool fixed;
	char *buffer;
} ring;

static void open_ring(void)
{
	struct io_uring_params p = { 0 };
	char *rings;

	ring.fd = syscall(__NR_io_uring_setup, 1, &p);
	if (ring.fd < 0)
		die("io_uring_setup");
	rings = mmap(NULL, p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe) + PAGE,
		     PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring.fd,
		     IORING_OFF_SQ_RING);
	ring.sqes = mmap(NULL, p.sq_entries * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_POPULATE, ring.fd, IORING_OFF_SQES);
	if (rings == MAP_FAILED || (void *)ring.sqes == MAP_FAILED)
		die("io_uring");
	ring.sq_tail = (uint32_t *)(rings + p.sq_off.tail);
	ring.sq_mask = (uint32_t *)(rings + p.sq_off.ring_mask);
	ring.sq_array = (uint32_t *)(rings + p.sq_off.array);
	ring.cq_head = (uint32_t *)(rings + p.cq_off.head);
	ring.cq_tail = (uint32_t *)(rings + p.cq_off.tail);
	ring.cq_mask = (uint32_t *)(rings + p.cq_off.ring_mask);
	ring.cqes = (struct io_uring_cqe *)(rings + p.cq_off.cqes);
}

static bool do_uring(int fd, const struct request *r, int nth)
{
	/* As if at random, in the drive and in the buffer. */
	size_t place = nth * 7919UL % (BUFFER / r->size) * r->size;
	uint32_t tail = *ring.sq_tail, head = *ring.cq_head;
	struct io_uring_sqe *sqe = &ring.sqes[tail & *ring.sq_mask];
	int res;

	memset(sqe, 0, sizeof(*sqe));
	if (ring.fixed)
		sqe->opcode = r->write ? IORING_OP_WRITE_FIXED : IORING_OP_READ_FIXED;
	else
		sqe->opcode = r->write ? IORING_OP_WRITE : IORING_OP_READ;
	sqe->fd = fd;
	sqe->addr = (uintptr_t)ring.buffer + place;
	sqe->len = r->size;
	sqe->off = place;
	ring.sq_array[tail & *ring.sq_mask] = tail & *ring.sq_mask;
	__atomic_store_n(ring.sq_tail, tail + 1, __ATOMIC_RELEASE);
	if (syscall(__NR_io_uring_enter, ring.fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) != 1 ||
	    __atomic_load_n(ring.cq_tail, __ATOMIC_ACQUIRE) == head)
		return false;
	res = ring.cqes[head & *ring.cq_mask].res;
	__atomic_store_n(ring.cq_head, head + 1, __ATOMIC_RELEASE);
	return res == (int)r->size;
}

/* False where a kernel does not register such memory. */
static bool register_buffer(void)
{
	struct iovec buf = { ring.buffer, BUFFER };

	return !syscall(__NR_io_uring_register, ring.fd, IORING_REGISTER_BUFFERS, &buf, 1);
}

static void measure_sizes(int fd, const char *kind)
{
	static const struct {
		const char *name;
		size_t size;
	} sizes[] = { { "4k", 4096 }, { "64k", 65536 }, { "1m", 1 << 20 } };

	for (size_t i = 0; i < 2 * ARRAY_SIZE(sizes); i++) {
		struct request request = {
			.kind = kind, .at = ring.buffer, .write = i % 2, .issue = do_uring,
			.size_name = sizes[i / 2].name, .size = sizes[i / 2].size,
		};
		double system_time;

		if (ring.fixed)
			request.op = i % 2 ? "write-fixed" : "read-fixed";
		else
			request.op = i % 2 ? "write-uring" : "read-uring";
		system_time = measure_request(fd, &request);
		printf("# figure %s-%s-%s-system request %.0f\n", request.op, kind,
		       request.size_name, system_time);
	}
}

void measure_uring(int fd, const char *kind, char *at)
{
	open_ring();
	ring.buffer = at;
	ring.fixed = false;
	measure_sizes(fd, kind);
	ring.fixed = register_buffer();
	if (ring.fixed)
		measure_sizes(fd, kind);
	close(ring.fd);
}
