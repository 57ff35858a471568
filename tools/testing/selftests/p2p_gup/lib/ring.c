// SPDX-License-Identifier: GPL-2.0
/* An io_uring, without liburing: the tests are about its system calls. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/io_uring.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../ring.h"

void ring_exit(struct ring *ring)
{
	if (ring->rings && ring->rings != MAP_FAILED)
		munmap(ring->rings, ring->rings_size);
	if (ring->sqes && (void *)ring->sqes != MAP_FAILED)
		munmap(ring->sqes, ring->sqes_size);
	if (ring->fd >= 0)
		close(ring->fd);
	ring->fd = -1;
}

bool ring_init(struct ring *ring, unsigned int entries, unsigned int flags)
{
	struct io_uring_params *p = &ring->params;

	memset(ring, 0, sizeof(*ring));
	p->flags = flags;
	ring->fd = syscall(__NR_io_uring_setup, entries, p);
	if (ring->fd < 0)
		return false;
	/* The completion ring comes first in the mapping. */
	ring->rings_size = p->sq_off.array + p->sq_entries * sizeof(uint32_t);
	ring->sqes_size = p->sq_entries * sizeof(struct io_uring_sqe)
			  << !!(flags & IORING_SETUP_SQE128);
	ring->rings = mmap(NULL, ring->rings_size, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_POPULATE, ring->fd,
			   IORING_OFF_SQ_RING);
	ring->sqes = mmap(NULL, ring->sqes_size, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_POPULATE, ring->fd, IORING_OFF_SQES);
	if (ring->rings != MAP_FAILED && (void *)ring->sqes != MAP_FAILED)
		return true;
	ring_exit(ring);
	return false;
}

/* Queues a request for ring_enter(). */
void ring_queue(struct ring *ring, const struct io_uring_sqe *sqe)
{
	struct io_uring_params *p = &ring->params;
	uint32_t *tail = ring_word(ring, p->sq_off.tail);
	uint32_t at = *tail & (p->sq_entries - 1);
	size_t size = sizeof(*sqe) << !!(p->flags & IORING_SETUP_SQE128);

	memcpy((char *)ring->sqes + at * size, sqe, size);
	ring_word(ring, p->sq_off.array)[at] = at;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
}

/*
 * Submits queued requests; returns how many were submitted, or a negative
 * errno.
 */
int ring_enter(struct ring *ring, unsigned int nr)
{
	unsigned int flags = 0;
	int ret;

	if (ring->params.flags & IORING_SETUP_SQPOLL)
		flags = IORING_ENTER_SQ_WAKEUP;
	ret = syscall(__NR_io_uring_enter, ring->fd, nr, 0, flags, NULL, 0);
	return ret < 0 ? -errno : ret;
}

/* Submits a request; 0, or a negative errno if it was not submitted. */
int ring_submit(struct ring *ring, const struct io_uring_sqe *sqe)
{
	uint32_t *tail = ring_word(ring, ring->params.sq_off.tail);
	int ret;

	ring_queue(ring, sqe);
	ret = ring_enter(ring, 1);
	if (ret == 1)
		return 0;
	/* Remove the request, or the next call would submit it. */
	__atomic_store_n(tail, *tail - 1, __ATOMIC_RELEASE);
	return ret ?: -EAGAIN;
}

/* Takes a completion, 16 or 32 bytes; false if there is none. */
static bool ring_reap(struct ring *ring, struct io_uring_cqe *cqe)
{
	struct io_uring_params *p = &ring->params;
	uint32_t *head = ring_word(ring, p->cq_off.head);
	uint32_t *tail = ring_word(ring, p->cq_off.tail);
	size_t size = sizeof(*cqe) << !!(p->flags & IORING_SETUP_CQE32);

	if (__atomic_load_n(tail, __ATOMIC_ACQUIRE) == *head)
		return false;
	memcpy(cqe, ring->rings + p->cq_off.cqes +
	       (*head & (p->cq_entries - 1)) * size, sizeof(*cqe));
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return true;
}

/* Waits for a completion and takes it. */
void ring_wait(struct ring *ring, struct io_uring_cqe *cqe)
{
	while (!ring_reap(ring, cqe))
		syscall(__NR_io_uring_enter, ring->fd, 0, 1,
			IORING_ENTER_GETEVENTS, NULL, 0);
}

/* Runs one request to completion; 0, or an errno if it was not submitted. */
int ring_do(struct ring *ring, const struct io_uring_sqe *sqe,
	    struct io_uring_cqe *cqe)
{
	int ret = ring_submit(ring, sqe);

	if (!ret)
		ring_wait(ring, cqe);
	return ret;
}
