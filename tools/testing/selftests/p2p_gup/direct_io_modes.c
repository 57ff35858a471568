// SPDX-License-Identifier: GPL-2.0
/*
 * Modes of O_DIRECT: polled, RWF_NOWAIT, synchronous, and with more segments
 * than a bio holds.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "variants.h"

#define SIZE		(4 * MIB)
#define WHERE		(116 * MIB)
#define WINDOW		(4 * MIB)
#define POISON		0xdeadbeefcafef00dULL

FIXTURE(modes)
{
	P2P_FIXTURE;
	off_t where;
};

P2P_VARIANTS(modes, NULL, "raw", NULL);

FIXTURE_SETUP(modes)
{
	ASSERT_TRUE(p2p_setup_io(&self->p2p, &variant->p2p, SIZE, O_RDWR));
	self->where = WHERE + variant->p2p.index * WINDOW;
}

FIXTURE_TEARDOWN(modes)
{
	p2p_release(&self->p2p);
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

static ssize_t due(struct _test_data_modes *self, ssize_t len)
{
	return self->works ? len : -EREMOTEIO;
}

/* A write and a read with these flags, both checked through RAM. */
static bool there_and_back(struct _test_data_modes *self, size_t len, int wflags,
			   int rflags)
{
	struct iovec mem = { self->mem, len };

	p2p_fill(self->ram, len, 1, self->where);
	if (pwrite(self->disk, self->ram, len, self->where) != len)
		return false;
	p2p_fill(self->mem, len, 2, self->where);
	if (p2p_result(pwritev2(self->disk, &mem, 1, self->where, wflags)) !=
	    due(self, len))
		return false;
	if (pread(self->disk, self->ram, len, self->where) != len ||
	    p2p_differs(self->ram, len, 1 + self->works, self->where) != -1)
		return false;

	p2p_set(self->mem, len, POISON);
	if (p2p_result(preadv2(self->disk, &mem, 1, self->where, rflags)) !=
	    due(self, len))
		return false;
	return (self->works ? p2p_differs(self->mem, len, 2, self->where) :
			      p2p_not_set(self->mem, len, POISON)) == -1;
}

/* Without queues for polling (nvme.poll_queues), RWF_HIPRI is ignored. */
TEST_F(modes, polled)
{
	EXPECT_TRUE(there_and_back(self, 4 * KIB, RWF_HIPRI, RWF_HIPRI));
	EXPECT_TRUE(there_and_back(self, 64 * KIB, RWF_HIPRI, RWF_HIPRI));
	EXPECT_TRUE(there_and_back(self, MIB + SECTOR, RWF_HIPRI, RWF_HIPRI));
}

TEST_F(modes, nowait)
{
	EXPECT_TRUE(there_and_back(self, 4 * KIB, RWF_NOWAIT, RWF_NOWAIT));
	EXPECT_TRUE(there_and_back(self, 64 * KIB, RWF_NOWAIT, RWF_NOWAIT));
}

TEST_F(modes, synchronous)
{
	EXPECT_TRUE(there_and_back(self, 4 * KIB, RWF_DSYNC, 0));
	EXPECT_TRUE(there_and_back(self, 64 * KIB, RWF_SYNC, 0));
	EXPECT_TRUE(there_and_back(self, MIB + SECTOR, RWF_DSYNC, 0));
}

/* Alternates RAM and peer-to-peer memory: nothing merges, a bio is full. */
TEST_F(modes, many_segments)
{
	enum { NR = 700 };
	static struct iovec vec[NR];
	const ssize_t len = 4 * KIB, total = NR * len;
	int i;

	for (i = 0; i < NR; i++) {
		vec[i].iov_base = (i % 2 ? self->ram : self->mem) + i * len;
		vec[i].iov_len = len;
		p2p_fill(vec[i].iov_base, len, 3, self->where + i * len);
	}
	EXPECT_EQ(due(self, total),
		  p2p_result(pwritev(self->disk, vec, NR, self->where)));
	for (i = 0; i < NR; i++)
		p2p_set(vec[i].iov_base, len, POISON);
	EXPECT_EQ(due(self, total),
		  p2p_result(preadv(self->disk, vec, NR, self->where)));
	for (i = 0; self->works && i < NR; i++)
		ASSERT_EQ(-1, p2p_differs(vec[i].iov_base, len, 3,
					  self->where + i * len));
	if (!self->works)
		return;
	EXPECT_EQ(total, pread(self->disk, self->ram, total, self->where));
	EXPECT_EQ(-1, p2p_differs(self->ram, total, 3, self->where));
}

/* Heads and tails of 512 bytes, each beside memory of the other kind. */
TEST_F(modes, unaligned_segments)
{
	struct iovec vec[] = {
		{ self->ram + 7 * SECTOR,		SECTOR },
		{ self->mem + SECTOR,			9 * SECTOR },
		{ self->ram + 64 * KIB + SECTOR,	3 * SECTOR },
		{ self->mem + 64 * KIB + 7 * SECTOR,	2 * SECTOR },
		{ self->mem + 128 * KIB,		SECTOR },
	};
	enum { NR = ARRAY_SIZE(vec) };
	off_t where = self->where;
	ssize_t total = 0;
	int i;

	p2p_set(self->mem, 256 * KIB, POISON);
	for (i = 0; i < NR; i++) {
		p2p_fill(vec[i].iov_base, vec[i].iov_len, 4, where + total);
		total += vec[i].iov_len;
	}
	EXPECT_EQ(due(self, total), p2p_result(pwritev(self->disk, vec, NR, where)));
	if (!self->works)
		return;
	EXPECT_EQ(total, pread(self->disk, self->ram + MIB, total, where));
	EXPECT_EQ(-1, p2p_differs(self->ram + MIB, total, 4, where));

	p2p_set(self->mem, 256 * KIB, POISON);
	EXPECT_EQ(total, preadv(self->disk, vec, NR, where));
	for (i = 0; i < NR; i++) {
		EXPECT_EQ(-1, p2p_differs(vec[i].iov_base, vec[i].iov_len, 4,
					  where));
		where += vec[i].iov_len;
	}
	EXPECT_EQ(-1, p2p_not_set(self->mem, SECTOR, POISON));
	EXPECT_EQ(-1, p2p_not_set(self->mem + 10 * SECTOR, 32 * KIB, POISON));
	EXPECT_EQ(-1, p2p_not_set(self->mem + 128 * KIB + SECTOR, KIB, POISON));
}

TEST_HARNESS_MAIN
