// SPDX-License-Identifier: GPL-2.0
/*
 * Buffers in peer-to-peer memory that are registered with an io_uring, and requests
 * that use them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "uring_buf.h"
#include "users.h"
#include "variants.h"

#define SIZE		URING_SIZE
#define WHERE		(120 * MIB)
#define WINDOW		(8 * MIB)
#define POISON		0xdeadbeefcafef00dULL
#define TAG		4711

FIXTURE(uring_buf)
{
	P2P_FIXTURE;
	struct ring ring;
	off_t where;
};

P2P_VARIANTS(uring_buf, NULL, "raw", NULL);

/* The drive has the pattern of seed 1 from WHERE on. */
FIXTURE_SETUP(uring_buf)
{
	ASSERT_TRUE(p2p_setup_io(&self->p2p, &variant->p2p, SIZE, O_RDWR));
	self->where = WHERE + variant->p2p.index * WINDOW;
	p2p_fill(self->ram, SIZE, 1, self->where);
	ASSERT_EQ(SIZE, pwrite(self->disk, self->ram, SIZE, self->where));
	ASSERT_TRUE(ring_init(&self->ring, 8, 0));
}

FIXTURE_TEARDOWN(uring_buf)
{
	ring_exit(&self->ring);
	p2p_release(&self->p2p);
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

static int due(struct _test_data_uring_buf *self, size_t len)
{
	return self->works ? (int)len : -EREMOTEIO;
}

TEST_F(uring_buf, read)
{
	size_t i;

	ASSERT_EQ(0, uring_register(&self->ring, self->mem, SIZE));
	for (i = 0; i < URING_NR_PARTS; i++) {
		const struct uring_part *part = &uring_parts[i];
		const size_t at = part->at, len = part->len;
		const size_t before = uring_before(part), after = uring_after(part);
		char *mem = self->mem + at;

		p2p_set(mem - before, before + len + after, POISON);
		EXPECT_EQ(due(self, len), uring_read(&self->ring, self->disk, 0, mem,
						     len, self->where));
		EXPECT_EQ(-1, self->works ? p2p_differs(mem, len, 1, self->where) :
					    p2p_not_set(mem, len, POISON));
		EXPECT_EQ(-1, p2p_not_set(mem - before, before, POISON));
		EXPECT_EQ(-1, p2p_not_set(mem + len, after, POISON));
	}
}

TEST_F(uring_buf, write)
{
	size_t i;

	ASSERT_EQ(0, uring_register(&self->ring, self->mem, SIZE));
	for (i = 0; i < URING_NR_PARTS; i++) {
		const size_t at = uring_parts[i].at, len = uring_parts[i].len;

		p2p_fill(self->mem + at, len, 2 + i, self->where);
		EXPECT_EQ(due(self, len), uring_write(&self->ring, self->disk, 0,
						      self->mem + at, len,
						      self->where));
		EXPECT_TRUE(p2p_drive_holds(&self->p2p, self->where, len,
					    self->works ? 2 + i : 1));
	}
}

/* The buffer neither begins nor ends at a page boundary. */
TEST_F(uring_buf, unaligned)
{
	char *buf = self->mem + 3 * 4 * KIB + SECTOR;
	const size_t len = 5 * 4 * KIB + SECTOR;

	ASSERT_EQ(0, uring_register(&self->ring, buf, len));
	p2p_set(self->mem, 64 * KIB, POISON);
	EXPECT_EQ(due(self, len), uring_read(&self->ring, self->disk, 0, buf, len,
					     self->where));
	if (self->works)
		EXPECT_EQ(-1, p2p_differs(buf, len, 1, self->where));
	EXPECT_EQ(-1, p2p_not_set(self->mem, buf - self->mem, POISON));
	EXPECT_EQ(-1, p2p_not_set(buf + len, 4 * KIB, POISON));

	/* The registered length counts, even if more is mapped. */
	EXPECT_EQ(-EFAULT, uring_read(&self->ring, self->disk, 0, buf + SECTOR, len,
				      self->where));
	EXPECT_EQ(-EFAULT, uring_read(&self->ring, self->disk, 0, buf - SECTOR,
				      SECTOR, self->where));
	/* Alignment is required as for other direct I/O. */
	EXPECT_EQ(-EINVAL, uring_read(&self->ring, self->disk, 0, buf + 1, SECTOR,
				      self->where));
	EXPECT_EQ(-EINVAL, uring_read(&self->ring, self->disk, 0, buf, SECTOR - 8,
				      self->where));
	EXPECT_EQ(-1, p2p_not_set(self->mem, buf - self->mem, POISON));
}

/*
 * RAM, peer-to-peer memory, and an empty slot: each slot works independently.
 */
TEST_F(uring_buf, slots)
{
	char *half = self->mem + SIZE / 2;

	ASSERT_EQ(0, uring_register_empty(&self->ring, 4));
	EXPECT_EQ(-EFAULT, uring_read(&self->ring, self->disk, 1, self->mem, SECTOR,
				      self->where));
	ASSERT_EQ(0, uring_update(&self->ring, 0, self->ram, SIZE, 0));
	ASSERT_EQ(0, uring_update(&self->ring, 1, self->mem, SIZE / 2, 0));
	ASSERT_EQ(0, uring_update(&self->ring, 3, half, SIZE / 2, 0));

	p2p_set(self->ram, SIZE, POISON);
	p2p_set(self->mem, SIZE, POISON);
	EXPECT_EQ(MIB, uring_read(&self->ring, self->disk, 0, self->ram, MIB,
				  self->where));
	EXPECT_EQ(-1, p2p_differs(self->ram, MIB, 1, self->where));
	EXPECT_EQ(due(self, MIB), uring_read(&self->ring, self->disk, 1, self->mem,
					     MIB, self->where));
	EXPECT_EQ(due(self, MIB), uring_read(&self->ring, self->disk, 3, half, MIB,
					     self->where + MIB));
	if (self->works) {
		EXPECT_EQ(-1, p2p_differs(self->mem, MIB, 1, self->where));
		EXPECT_EQ(-1, p2p_differs(half, MIB, 1, self->where + MIB));
	}

	EXPECT_EQ(-EFAULT, uring_read(&self->ring, self->disk, 1, half, SECTOR,
				      self->where));
	EXPECT_EQ(-EFAULT, uring_read(&self->ring, self->disk, 0, self->mem, SECTOR,
				      self->where));
	EXPECT_EQ(-EFAULT, uring_read(&self->ring, self->disk, 2, self->mem, SECTOR,
				      self->where));
	EXPECT_EQ(-EFAULT, uring_read(&self->ring, self->disk, 4, self->mem, SECTOR,
				      self->where));
	EXPECT_EQ(0, uring_unregister(&self->ring));
	EXPECT_EQ(-ENXIO, uring_unregister(&self->ring));
}

/*
 * Replaces the buffer in a slot; the tag of the old one is posted when it is
 * released.
 */
TEST_F(uring_buf, update)
{
	char *other = p2p_map(self->provider, MIB);
	struct io_uring_cqe cqe;

	ASSERT_NE(MAP_FAILED, other);
	ASSERT_EQ(0, uring_register_empty(&self->ring, 1));
	ASSERT_EQ(0, uring_update(&self->ring, 0, self->mem, SIZE, TAG));
	EXPECT_EQ(due(self, MIB), uring_read(&self->ring, self->disk, 0, self->mem,
					     MIB, self->where));

	ASSERT_EQ(0, uring_update(&self->ring, 0, other, MIB, TAG + 1));
	ring_wait(&self->ring, &cqe);
	EXPECT_EQ(TAG, cqe.user_data);
	EXPECT_EQ(-EFAULT, uring_read(&self->ring, self->disk, 0, self->mem, SECTOR,
				      self->where));
	p2p_set(other, MIB, POISON);
	EXPECT_EQ(due(self, MIB), uring_read(&self->ring, self->disk, 0, other, MIB,
					     self->where));
	EXPECT_EQ(-1, self->works ? p2p_differs(other, MIB, 1, self->where) :
				    p2p_not_set(other, MIB, POISON));

	ASSERT_EQ(0, uring_update(&self->ring, 0, self->ram, MIB, 0));
	ring_wait(&self->ring, &cqe);
	EXPECT_EQ(TAG + 1, cqe.user_data);
	EXPECT_EQ(MIB, uring_read(&self->ring, self->disk, 0, self->ram, MIB,
				  self->where));
	ASSERT_EQ(0, uring_update(&self->ring, 0, NULL, 0, 0));
	EXPECT_EQ(-EFAULT, uring_read(&self->ring, self->disk, 0, self->ram, SECTOR,
				      self->where));
	ASSERT_EQ(0, munmap(other, MIB));
	EXPECT_TRUE(p2p_settles(self->provider, self->before - SIZE));
}

/* A registered buffer keeps its memory until it is removed from the slot. */
TEST_F(uring_buf, outlives_mapping)
{
	char *mem = p2p_map(self->provider, MIB), *next;

	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_EQ(0, uring_register(&self->ring, mem, MIB));
	ASSERT_EQ(0, munmap(mem, MIB));
	EXPECT_EQ(self->before - (long long)(SIZE + MIB),
		  p2p_available(self->provider));
	next = p2p_map(self->provider, MIB);
	ASSERT_NE(MAP_FAILED, next);
	p2p_fill(next, MIB, 5, 0);

	/* Read and write, by the old address. */
	EXPECT_EQ(due(self, MIB), uring_read(&self->ring, self->disk, 0, mem, MIB,
					     self->where));
	EXPECT_EQ(due(self, MIB), uring_write(&self->ring, self->disk, 0, mem, MIB,
					      self->where + MIB));
	if (self->works) {
		ASSERT_EQ(MIB, pread(self->disk, self->ram, MIB, self->where + MIB));
		EXPECT_EQ(-1, p2p_differs(self->ram, MIB, 1, self->where));
	}
	EXPECT_EQ(-1, p2p_differs(next, MIB, 5, 0));
	EXPECT_EQ(0, munmap(next, MIB));
	EXPECT_EQ(0, uring_unregister(&self->ring));
	EXPECT_TRUE(p2p_settles(self->provider, self->before - SIZE));
}

/* The buffer ends with the process. */
TEST_F(uring_buf, ends_with_process)
{
	int round, status;
	pid_t child;

	for (round = 0; round < 2; round++) {
		child = fork();
		ASSERT_LE(0, child);
		if (!child) {
			char *mem = p2p_map(self->provider, MIB);
			struct ring ring;

			if (mem == MAP_FAILED || !ring_init(&ring, 1, 0) ||
			    uring_register(&ring, mem, MIB) ||
			    uring_read(&ring, self->disk, 0, mem, MIB,
				       self->where) != due(self, MIB))
				_exit(1);
			if (round)
				kill(getpid(), SIGKILL);
			_exit(0);
		}
		ASSERT_EQ(child, waitpid(child, &status, 0));
		EXPECT_EQ(round ? SIGKILL : 0, status);
		EXPECT_TRUE(p2p_settles(self->provider, self->before - SIZE));
	}
}

/* A child inherits the ring and the memory. */
TEST_F(uring_buf, used_by_child)
{
	pid_t child;

	ASSERT_EQ(0, uring_register(&self->ring, self->mem, SIZE));
	p2p_set(self->mem, SIZE, POISON);
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		_exit(uring_read(&self->ring, self->disk, 0, self->mem + MIB, MIB,
				 self->where) != due(self, MIB));
	ASSERT_EQ(0, p2p_wait(child));
	EXPECT_EQ(-1, self->works ? p2p_differs(self->mem + MIB, MIB, 1, self->where) :
				    p2p_not_set(self->mem + MIB, MIB, POISON));
}

/*
 * It is not locked memory: RLIMIT_MEMLOCK of 0 does not prevent registration.
 */
TEST_F(uring_buf, no_memlock)
{
	const struct rlimit none = { 0, 0 };
	int mem = p2p_open(self->provider, O_RDWR);
	pid_t child;

	ASSERT_LE(0, mem);
	child = users_fork(0);
	ASSERT_LE(0, child);
	if (!child) {
		char *buf = p2p_map_fd(mem, 4 * MIB, MAP_SHARED, 0);
		struct ring ring;

		if (buf == MAP_FAILED || setrlimit(RLIMIT_MEMLOCK, &none) ||
		    !users_become(ALICE) || !ring_init(&ring, 1, 0))
			_exit(1);
		if (uring_register(&ring, self->ram, MIB) != -ENOMEM)
			_exit(2);
		if (uring_register(&ring, buf, 4 * MIB))
			_exit(3);
		_exit(uring_read(&ring, self->disk, 0, buf, MIB, self->where) ==
		      due(self, MIB) ? 0 : 4);
	}
	EXPECT_EQ(0, p2p_wait(child));
	close(mem);
}

/* The second request starts after the first one, and writes its data. */
TEST_F(uring_buf, linked)
{
	struct io_uring_sqe sqe[2] = {
		uring_request(IORING_OP_READ_FIXED, self->disk, 0, self->mem, MIB,
			      self->where),
		uring_request(IORING_OP_WRITE_FIXED, self->disk, 0, self->mem, MIB,
			      self->where + MIB),
	};
	struct io_uring_cqe cqe[2];

	ASSERT_EQ(0, uring_register(&self->ring, self->mem, SIZE));
	sqe[0].flags = IOSQE_IO_LINK;
	ring_queue(&self->ring, &sqe[0]);
	ring_queue(&self->ring, &sqe[1]);
	ASSERT_EQ(2, ring_enter(&self->ring, 2));
	ring_wait(&self->ring, &cqe[0]);
	ring_wait(&self->ring, &cqe[1]);
	EXPECT_EQ(due(self, MIB), cqe[0].res);
	EXPECT_EQ(self->works ? (int)MIB : -ECANCELED, cqe[1].res);
	ASSERT_EQ(MIB, pread(self->disk, self->ram, MIB, self->where + MIB));
	EXPECT_EQ(-1, p2p_differs(self->ram, MIB, 1,
				  self->works ? self->where : self->where + MIB));
}

/* Issued by a worker or by the ring's own thread, or completed by polling. */
TEST_F(uring_buf, worker)
{
	struct io_uring_sqe sqe = uring_request(IORING_OP_READ_FIXED, self->disk, 0,
						self->mem + MIB, MIB, self->where);
	struct io_uring_cqe cqe;

	ASSERT_EQ(0, uring_register(&self->ring, self->mem, SIZE));
	p2p_set(self->mem + MIB, MIB, POISON);
	sqe.flags = IOSQE_ASYNC;
	ASSERT_EQ(0, ring_do(&self->ring, &sqe, &cqe));
	EXPECT_EQ(due(self, MIB), cqe.res);
	EXPECT_EQ(-1, self->works ? p2p_differs(self->mem + MIB, MIB, 1, self->where) :
				    p2p_not_set(self->mem + MIB, MIB, POISON));
}

static void with_ring(struct __test_metadata *_metadata,
		      struct _test_data_uring_buf *self, unsigned int flags)
{
	struct io_uring_sqe sqe = uring_request(IORING_OP_READ_FIXED, self->disk, 0,
						self->mem + MIB, 64 * KIB,
						self->where);
	struct io_uring_cqe cqe;
	struct ring ring;

	ASSERT_TRUE(ring_init(&ring, 2, flags));
	ASSERT_EQ(0, uring_register(&ring, self->mem, SIZE));
	p2p_set(self->mem + MIB, MIB, POISON);
	ring_queue(&ring, &sqe);
	ASSERT_EQ(1, ring_enter(&ring, 1));
	ring_wait(&ring, &cqe);
	EXPECT_EQ(due(self, 64 * KIB), cqe.res);
	EXPECT_EQ(-1, self->works ?
		  p2p_differs(self->mem + MIB, 64 * KIB, 1, self->where) :
		  p2p_not_set(self->mem + MIB, 64 * KIB, POISON));
	ring_exit(&ring);
}

TEST_F(uring_buf, sqpoll)
{
	with_ring(_metadata, self, IORING_SETUP_SQPOLL);
}

TEST_F(uring_buf, iopoll)
{
	with_ring(_metadata, self, IORING_SETUP_IOPOLL);
}

TEST_HARNESS_MAIN
