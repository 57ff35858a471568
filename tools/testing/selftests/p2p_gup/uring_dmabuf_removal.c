// SPDX-License-Identifier: GPL-2.0
/*
 * The driver of a provider is unbound, or its device reset, while dma-bufs of its memory
 * are registered with an io_uring, and while requests use them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "removal.h"
#include "uring_dmabuf.h"
#include "variants.h"

#define SIZE		MIB
#define NR_REQUESTS	8
#define REQUEST		(64 * KIB)
#define SLOTS		2

FIXTURE(uring_dmabuf_removal)
{
	URING_DMABUF_FIXTURE;
	int *shared;		/* with children */
};

/* Reads from the slow drive are still in flight during unbinding. */
P2P_VARIANTS(uring_dmabuf_removal, P2P_BAR_DRIVER, "slow", NULL);

FIXTURE_SETUP(uring_dmabuf_removal)
{
	if (!heap_there(variant->p2p.provider))
		SKIP(p2p_skip_now(), "no heap: CONFIG_PCI_P2PMEM_DMABUF?");
	ASSERT_TRUE(uring_dmabuf_begin(&self->dmabuf, &variant->p2p, O_RDONLY, SIZE));
	self->shared = mmap(NULL, self->page, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->shared);
	ASSERT_TRUE(uring_dmabuf_begin_ring(&self->dmabuf, 2 * NR_REQUESTS, SLOTS));
}

FIXTURE_TEARDOWN(uring_dmabuf_removal)
{
	uring_dmabuf_end(&self->dmabuf);
	EXPECT_BACK(self);
}

static int put(struct _test_data_uring_dmabuf_removal *self, unsigned int slot, int fd)
{
	return uring_update_dmabuf(&self->ring, slot, fd, self->disk, 0);
}

static int read_in(struct _test_data_uring_dmabuf_removal *self, unsigned int slot)
{
	return uring_read(&self->ring, self->disk, slot, uring_at(0), REQUEST, 0);
}

/*
 * The slot stays revoked; the old dma-buf can't be used again, a new one works.
 */
TEST_F(uring_dmabuf_removal, slot_stays)
{
	int fd;

	if (!self->works)
		return;
	ASSERT_EQ(0, put(self, 0, self->fd));
	EXPECT_EQ(REQUEST, read_in(self, 0));
	ASSERT_EQ(0, p2p_unbind(self->provider));
	EXPECT_EQ(-EREMOTEIO, read_in(self, 0));
	EXPECT_EQ(-EFAULT, uring_read(&self->ring, self->disk, 0, uring_at(SIZE),
				      REQUEST, 0));
	EXPECT_EQ(-ENODEV, put(self, 0, self->fd));
	EXPECT_EQ(-ENODEV, put(self, 1, self->fd));
	EXPECT_EQ(-EREMOTEIO, read_in(self, 0));

	ASSERT_EQ(0, p2p_bind(self->provider));
	EXPECT_EQ(self->before, p2p_available(self->provider));
	EXPECT_EQ(-EREMOTEIO, read_in(self, 0));
	EXPECT_EQ(-ENODEV, put(self, 1, self->fd));
	fd = heap_alloc(self->heap, SIZE);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, put(self, 1, fd));
	EXPECT_EQ(REQUEST, read_in(self, 1));
	EXPECT_EQ(0, put(self, 0, fd));
	EXPECT_EQ(REQUEST, read_in(self, 0));
	close(fd);
	EXPECT_EQ(0, uring_unregister(&self->ring));
}

/* Requests in flight complete, and unbinding waits for nothing else. */
TEST_F(uring_dmabuf_removal, requests_in_flight)
{
	struct io_uring_cqe cqe;
	struct io_uring_sqe sqe;
	int i;

	if (!self->works)
		return;
	ASSERT_EQ(0, put(self, 0, self->fd));
	close(self->fd);
	for (i = 0; i < NR_REQUESTS; i++) {
		sqe = uring_request(IORING_OP_READ_FIXED, self->disk, 0,
				    uring_at(i * REQUEST), REQUEST, i * REQUEST);
		ASSERT_EQ(0, ring_submit(&self->ring, &sqe));
	}
	EXPECT_EQ(0, p2p_unbind(self->provider));
	EXPECT_EQ(0, p2p_bind(self->provider));
	EXPECT_EQ(self->before, p2p_available(self->provider));
	for (i = 0; i < NR_REQUESTS; i++) {
		ring_wait(&self->ring, &cqe);
		EXPECT_EQ(REQUEST, cqe.res);
	}
	EXPECT_EQ(-EREMOTEIO, read_in(self, 0));
}

/*
 * Registers and reads until told to stop; returns 0 unless there is an
 * unexpected error.
 */
static int use(struct _test_data_uring_dmabuf_removal *self, bool is_reset)
{
	int disk = open(p2p_disk("raw"), O_RDONLY | O_DIRECT), fd, ret;
	struct ring ring;

	if (disk < 0 || !ring_init(&ring, 2, 0) || uring_register_empty(&ring, 1))
		return 1;
	while (!__atomic_load_n(&self->shared[0], __ATOMIC_ACQUIRE)) {
		fd = heap_alloc(self->heap, SIZE);
		if (fd < 0 && (is_reset || (fd != -ENODEV && fd != -ENOMEM)))
			return 2;
		if (fd < 0)
			continue;
		ret = uring_update_dmabuf(&ring, 0, fd, disk, 0);
		close(fd);
		if (ret && (is_reset || ret != -ENODEV))
			return 3;
		if (ret)
			continue;
		ret = uring_read(&ring, disk, 0, uring_at(0), REQUEST, 0);
		if (ret != (int)REQUEST && (is_reset || ret != -EREMOTEIO))
			return 4;
		if (ret == (int)REQUEST)
			__atomic_add_fetch(&self->shared[1], 1, __ATOMIC_RELEASE);
	}
	ring_exit(&ring);
	return 0;
}

/* Waits for at least one successful read. */
static void wait_for_use(struct _test_data_uring_dmabuf_removal *self, pid_t child)
{
	int seen = __atomic_load_n(&self->shared[1], __ATOMIC_ACQUIRE);

	while (still_runs(child) &&
	       __atomic_load_n(&self->shared[1], __ATOMIC_ACQUIRE) == seen)
		usleep(500);
}

TEST_F(uring_dmabuf_removal, again_and_again)
{
	int round, status;
	pid_t child;

	if (!self->works)
		return;
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		_exit(use(self, false));
	for (round = 0; round < 20; round++) {
		wait_for_use(self, child);
		ASSERT_EQ(0, p2p_unbind(self->provider));
		ASSERT_EQ(0, p2p_bind(self->provider));
	}
	__atomic_store_n(&self->shared[0], 1, __ATOMIC_RELEASE);
	EXPECT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
}

/* During a reset, registration waits, like reads. */
TEST_F(uring_dmabuf_removal, reset)
{
	int round, status;
	pid_t child;

	if (!self->works)
		return;
	if (!p2p_can_reset(self->provider))
		SKIP(return, "the device has no way to be reset");
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		_exit(use(self, true));
	for (round = 0; round < 10; round++) {
		wait_for_use(self, child);
		EXPECT_EQ(0, p2p_reset(self->provider));
	}
	__atomic_store_n(&self->shared[0], 1, __ATOMIC_RELEASE);
	EXPECT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
}

TEST_HARNESS_MAIN
