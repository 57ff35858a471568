// SPDX-License-Identifier: GPL-2.0
/*
 * NVMe passthrough commands, by io_uring, with a registered buffer in
 * peer-to-peer memory.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "uring_buf.h"
#include "variants.h"

#define SIZE		(4 * MIB)
#define MARGIN		(4 * KIB)	/* that must not change */
#define WHERE		(180 * MIB)
#define WINDOW		(4 * MIB)
#define POISON		0xdeadbeefcafef00dULL

FIXTURE(uring_cmd)
{
	P2P_FIXTURE;
	struct ring ring;
	struct uring_nvme nvme;
	off_t where;
};

P2P_VARIANTS(uring_cmd, NULL, "raw", NULL);

FIXTURE_SETUP(uring_cmd)
{
	ASSERT_TRUE(p2p_setup_io(&self->p2p, &variant->p2p, SIZE, O_RDWR));
	self->where = WHERE + variant->p2p.index * WINDOW;
	ASSERT_TRUE(uring_nvme_open(&self->nvme, p2p_disk(variant->p2p.disk)));
	p2p_fill(self->ram, SIZE, 1, self->where);
	ASSERT_EQ(SIZE, pwrite(self->disk, self->ram, SIZE, self->where));
	ASSERT_TRUE(ring_init(&self->ring, 1, IORING_SETUP_SQE128 | IORING_SETUP_CQE32));
	ASSERT_EQ(0, uring_register(&self->ring, self->mem, SIZE));
}

FIXTURE_TEARDOWN(uring_cmd)
{
	ring_exit(&self->ring);
	close(self->nvme.chr);
	p2p_release(&self->p2p);
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

/* 0, an NVMe status, or a negative errno */
static int command(struct _test_data_uring_cmd *self, int opcode, void *buf, size_t len)
{
	struct io_uring_sqe sqe[2];
	struct io_uring_cqe cqe;

	uring_nvme_request(&self->nvme, sqe, opcode, buf, len, self->where);
	return ring_do(&self->ring, sqe, &cqe) ?: cqe.res;
}

static int due(struct _test_data_uring_cmd *self)
{
	return self->works ? 0 : -EREMOTEIO;
}

static bool drive_holds(struct _test_data_uring_cmd *self, size_t len, uint64_t seed)
{
	p2p_set(self->ram, len, POISON);
	return pread(self->disk, self->ram, len, self->where) == (ssize_t)len &&
	       p2p_differs(self->ram, len, seed, self->where) == -1;
}

static const struct {
	size_t at, len;
} parts[] = {
	{ MARGIN,		SECTOR },
	{ MARGIN + 3 * SECTOR,	4 * KIB },
	{ 37 * 4 * KIB,		40 * KIB },
	{ 2 * MIB - 4 * KIB,	256 * KIB + SECTOR },
	{ SIZE - MARGIN - SECTOR, SECTOR },
};

TEST_F(uring_cmd, read)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		const size_t len = parts[i].len;
		char *mem = self->mem + parts[i].at;

		p2p_set(mem - MARGIN, len + 2 * MARGIN, POISON);
		EXPECT_EQ(due(self), command(self, NVME_READ, mem, len));
		EXPECT_EQ(-1, self->works ? p2p_differs(mem, len, 1, self->where) :
					    p2p_not_set(mem, len, POISON));
		EXPECT_EQ(-1, p2p_not_set(mem - MARGIN, MARGIN, POISON));
		EXPECT_EQ(-1, p2p_not_set(mem + len, MARGIN, POISON));
	}
}

TEST_F(uring_cmd, write)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		const size_t len = parts[i].len;
		char *mem = self->mem + parts[i].at;

		p2p_fill(mem, len, 2 + i, self->where);
		EXPECT_EQ(due(self), command(self, NVME_WRITE, mem, len));
		EXPECT_TRUE(drive_holds(self, len, self->works ? 2 + i : 1));
	}
}

/* Not aligned for DMA: with an unregistered buffer, the CPU would copy. */
TEST_F(uring_cmd, unaligned)
{
	p2p_set(self->mem, 64 * KIB, POISON);
	EXPECT_EQ(-EREMOTEIO, command(self, NVME_READ, self->mem + 1, 8 * KIB));
	EXPECT_EQ(-EREMOTEIO, command(self, NVME_WRITE, self->mem + 1, 8 * KIB));
	EXPECT_EQ(-1, p2p_not_set(self->mem, 64 * KIB, POISON));
	EXPECT_TRUE(drive_holds(self, 8 * KIB, 1));
}

TEST_F(uring_cmd, outside)
{
	EXPECT_EQ(-EFAULT, command(self, NVME_READ, self->mem + SIZE, SECTOR));
	EXPECT_EQ(-EFAULT, command(self, NVME_READ, self->mem - SECTOR, 2 * SECTOR));
	EXPECT_EQ(-EFAULT, command(self, NVME_READ, self->ram, SECTOR));
}

TEST_HARNESS_MAIN
