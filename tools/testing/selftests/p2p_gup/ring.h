/* SPDX-License-Identifier: GPL-2.0 */
/* An io_uring, without liburing: the tests are about its system calls. */
#ifndef P2P_RING_H
#define P2P_RING_H

#include <errno.h>
#include <linux/io_uring.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct ring {
	struct io_uring_params params;
	char *rings;
	size_t rings_size;
	struct io_uring_sqe *sqes;
	size_t sqes_size;
	int fd;
};

void ring_exit(struct ring *ring);
bool ring_init(struct ring *ring, unsigned int entries, unsigned int flags);

static inline uint32_t *ring_word(struct ring *ring, uint32_t offset)
{
	return (uint32_t *)(ring->rings + offset);
}

void ring_queue(struct ring *ring, const struct io_uring_sqe *sqe);
int ring_enter(struct ring *ring, unsigned int nr);
int ring_submit(struct ring *ring, const struct io_uring_sqe *sqe);
void ring_wait(struct ring *ring, struct io_uring_cqe *cqe);
int ring_do(struct ring *ring, const struct io_uring_sqe *sqe,
	    struct io_uring_cqe *cqe);

#endif
