// SPDX-License-Identifier: GPL-2.0
/*
 * O_DIRECT between a raw drive and peer-to-peer memory.
 *
 * Data read by peer-to-peer DMA is compared with what the same drive reads into
 * RAM; data written by it is read back into RAM, and checked by the host in the
 * drive's image. Where the drive doesn't reach the memory, each transfer fails
 * with EREMOTEIO, and ordinary I/O still works.
 *
 * Each provider has its own window of the drive. The first 64 MiB of a drive
 * that is large enough are only read.
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

#define SIZE		(2 * MIB)
#define WINDOW		(8 * MIB)
#define READ_ONLY	(64 * MIB)
#define POISON		0xdeadbeefcafef00dULL

FIXTURE(direct_io)
{
	P2P_FIXTURE;
	const char *name;	/* of the drive */
	off_t window;
};

P2P_VARIANTS(direct_io, NULL, "raw", "cmb", NULL);

FIXTURE_SETUP(direct_io)
{
	uint64_t capacity;

	ASSERT_TRUE(p2p_setup_io(&self->p2p, &variant->p2p, SIZE, O_RDWR));
	self->name = variant->p2p.disk;

	ASSERT_EQ(0, ioctl(self->disk, BLKGETSIZE64, &capacity));
	self->window = variant->p2p.index * WINDOW;
	if (capacity >= 2 * READ_ONLY)
		self->window += READ_ONLY;
	ASSERT_LE(self->window + WINDOW, capacity);
}

/* Afterwards transfers of RAM work, and no page is leaked. */
FIXTURE_TEARDOWN(direct_io)
{
	off_t last = self->window + WINDOW - 64 * KIB;

	p2p_fill(self->ram, 64 * KIB, 99, last);
	EXPECT_EQ(64 * KIB, pwrite(self->disk, self->ram, 64 * KIB, last));
	p2p_set(self->ram, 64 * KIB, POISON);
	EXPECT_EQ(64 * KIB, pread(self->disk, self->ram, 64 * KIB, last));
	EXPECT_EQ(-1, p2p_differs(self->ram, 64 * KIB, 99, last));

	/* CPU access still works, too. */
	if (p2p_pagemap(self->mem)) {
		p2p_fill(self->mem, self->page, 5, 0);
		EXPECT_EQ(-1, p2p_differs(self->mem, self->page, 5, 0));
	}
	p2p_release(&self->p2p);
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

/* The expected result of a call: len, or the refusal. */
static ssize_t due(struct _test_data_direct_io *self, ssize_t len)
{
	return self->works ? len : -EREMOTEIO;
}

static const size_t sizes[] = {
	SECTOR, 4 * KIB, 4 * KIB + SECTOR, 64 * KIB, 1 * MIB, 1 * MIB + SECTOR,
};

TEST_F(direct_io, read)
{
	off_t where;
	size_t i, len;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		len = sizes[i];
		where = self->window + i * SECTOR;
		p2p_fill(self->ram, len, i, where);
		ASSERT_EQ(len, pwrite(self->disk, self->ram, len, where));

		p2p_set(self->mem, len + self->page, POISON);
		EXPECT_EQ(due(self, len),
			  p2p_result(pread(self->disk, self->mem, len, where)));
		EXPECT_EQ(-1, self->works ?
			  p2p_differs(self->mem, len, i, where) :
			  p2p_not_set(self->mem, len, POISON));
		EXPECT_EQ(-1, p2p_not_set(self->mem + len, self->page, POISON));
	}
}

/* Reads data that the host put on the drive. */
TEST_F(direct_io, read_as_ram_does)
{
	const size_t len = 256 * KIB;
	off_t where = 0;
	int i;

	for (i = 0; i < 4; i++, where += 7 * MIB + 3 * SECTOR) {
		p2p_set(self->ram, len, POISON);
		ASSERT_EQ(len, pread(self->disk, self->ram, len, where));
		p2p_set(self->mem, len, ~POISON);
		EXPECT_EQ(due(self, len),
			  p2p_result(pread(self->disk, self->mem, len, where)));
		if (self->works)
			EXPECT_EQ(-1, p2p_unlike(self->mem, self->ram, len));
	}
}

TEST_F(direct_io, write)
{
	off_t where = self->window + 2 * MIB;
	size_t i, len;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		len = sizes[i];
		p2p_fill(self->ram, len, 1, where);
		ASSERT_EQ(len, pwrite(self->disk, self->ram, len, where));

		p2p_fill(self->mem, len, 2, where);
		EXPECT_EQ(due(self, len),
			  p2p_result(pwrite(self->disk, self->mem, len, where)));

		/* A write that was refused has written nothing. */
		p2p_set(self->ram, len, POISON);
		ASSERT_EQ(len, pread(self->disk, self->ram, len, where));
		EXPECT_EQ(-1, p2p_differs(self->ram, len, 1 + self->works, where));
		EXPECT_EQ(-1, p2p_differs(self->mem, len, 2, where));
		if (i == ARRAY_SIZE(sizes) - 1)
			p2p_host_expect(self->name, where, len, 1 + self->works);
	}
}

/* Sectors that begin anywhere in a page, and cross into the next. */
TEST_F(direct_io, offset_in_page)
{
	static const size_t offsets[] = {
		SECTOR, 3 * SECTOR, 7 * SECTOR, 4 * KIB + SECTOR, 15 * SECTOR,
	};
	off_t where = self->window + 4 * MIB;
	size_t i, len;
	char *buf;

	for (i = 0; i < ARRAY_SIZE(offsets); i++) {
		buf = self->mem + offsets[i];
		for (len = SECTOR; len <= 16 * KIB + SECTOR; len = 2 * len + SECTOR) {
			p2p_set(self->mem, 64 * KIB, POISON);
			p2p_fill(buf, len, i, where);
			EXPECT_EQ(due(self, len),
				  p2p_result(pwrite(self->disk, buf, len, where)));
			p2p_set(buf, len, ~POISON);
			EXPECT_EQ(due(self, len),
				  p2p_result(pread(self->disk, buf, len, where)));
			EXPECT_EQ(-1, p2p_not_set(self->mem, offsets[i], POISON));
			EXPECT_EQ(-1, p2p_not_set(buf + len, 4 * KIB, POISON));
			if (!self->works)
				continue;
			EXPECT_EQ(-1, p2p_differs(buf, len, i, where));
			EXPECT_EQ(len, pread(self->disk, self->ram, len, where));
			EXPECT_EQ(-1, p2p_differs(self->ram, len, i, where));
		}
	}

	EXPECT_EQ(-EINVAL, p2p_result(pread(self->disk, self->mem + 1, SECTOR, where)));
	EXPECT_EQ(-EINVAL, p2p_result(pread(self->disk, self->mem, SECTOR - 8, where)));
}

/* One system call with segments of both kinds. */
TEST_F(direct_io, vector_with_ram)
{
	struct iovec vec[] = {
		{ self->ram,			4 * KIB },
		{ self->mem,			8 * KIB },
		{ self->ram + 8 * KIB,		SECTOR },
		{ self->mem + 16 * KIB,		3 * SECTOR },
		{ self->mem + 32 * KIB,		64 * KIB },
		{ self->ram + 64 * KIB + SECTOR, 4 * KIB },
	};
	enum { NR = ARRAY_SIZE(vec) };
	off_t start = self->window + 5 * MIB, where;
	char *back = self->ram + MIB;
	size_t total = 0;
	int i;

	for (i = 0; i < NR; i++) {
		p2p_fill(vec[i].iov_base, vec[i].iov_len, 1, start + total);
		total += vec[i].iov_len;
	}
	EXPECT_EQ(due(self, total), p2p_result(pwritev(self->disk, vec, NR, start)));
	if (self->works) {
		ASSERT_EQ(total, pread(self->disk, back, total, start));
		EXPECT_EQ(-1, p2p_differs(back, total, 1, start));
	}

	p2p_fill(back, total, 2, start);
	ASSERT_EQ(total, pwrite(self->disk, back, total, start));
	EXPECT_EQ(due(self, total), p2p_result(preadv(self->disk, vec, NR, start)));
	for (i = 0, where = start; self->works && i < NR; i++) {
		EXPECT_EQ(-1, p2p_differs(vec[i].iov_base, vec[i].iov_len, 2,
					  where));
		where += vec[i].iov_len;
	}
	p2p_host_expect(self->name, start, total / 64 * 64, 2);
}

/*
 * Alternates all providers in one call: if one is not reached, the call fails.
 */
TEST_F(direct_io, vector_of_all_providers)
{
	enum { NR = 8 };
	static const char *const no_disks[] = { NULL };
	static struct p2p_variant all[P2P_MAX];
	int i, nr = p2p_variants(all, NULL, no_disks);
	off_t start = self->window + 6 * MIB;
	const size_t len = 16 * KIB;
	const ssize_t total = NR * len;
	struct iovec vec[NR];
	bool works = true, reached;

	for (i = 0; i < nr; i++)
		works &= p2p_reaches(self->name, all[i].provider);
	for (i = 0; i < NR; i++) {
		vec[i].iov_base = p2p_map(all[i % nr].provider, len);
		vec[i].iov_len = len;
		ASSERT_NE(MAP_FAILED, vec[i].iov_base);
		p2p_set(vec[i].iov_base, len, POISON);
	}
	p2p_fill(self->ram, total, 3, start);
	ASSERT_EQ(total, pwrite(self->disk, self->ram, total, start));
	EXPECT_EQ(works ? total : -EREMOTEIO,
		  p2p_result(preadv(self->disk, vec, NR, start)));
	for (i = 0; i < NR; i++) {
		/*
		 * If the call fails, reachable parts may still have been read.
		 */
		reached = p2p_reaches(self->name, all[i % nr].provider);
		if (works || !reached)
			EXPECT_EQ(-1, works ?
				  p2p_differs(vec[i].iov_base, len, 3, start + i * len) :
				  p2p_not_set(vec[i].iov_base, len, POISON));
		munmap(vec[i].iov_base, len);
	}
}

/* A read-only mapping can only be the source of a write. */
TEST_F(direct_io, read_only_mapping)
{
	off_t where = self->window + 7 * MIB;
	int fd = p2p_open(self->provider, O_RDONLY);
	char *mem;

	ASSERT_LE(0, fd);
	mem = mmap(NULL, 4 * KIB, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, mem);
	close(fd);
	EXPECT_EQ(-EFAULT, p2p_result(pread(self->disk, mem, 4 * KIB, where)));
	EXPECT_EQ(due(self, 4 * KIB),
		  p2p_result(pwrite(self->disk, mem, 4 * KIB, where)));
	if (self->works) {
		ASSERT_EQ(4 * KIB, pread(self->disk, self->ram, 4 * KIB, where));
		EXPECT_EQ(-1, p2p_unlike(mem, self->ram, 4 * KIB));
	}
	EXPECT_EQ(0, munmap(mem, 4 * KIB));
}

/* A hole in the buffer ends the transfer as for RAM. */
TEST_F(direct_io, hole_in_buffer)
{
	off_t where = self->window + 7 * MIB;
	size_t hole = 32 * KIB, len = 64 * KIB;
	ssize_t ret;

	ASSERT_EQ(0, munmap(self->ram + MIB + hole, self->page));
	ASSERT_EQ(0, munmap(self->mem + MIB + hole, self->page));
	p2p_fill(self->ram, hole, 4, where);
	ASSERT_EQ(hole, pwrite(self->disk, self->ram, hole, where));

	ret = p2p_result(pread(self->disk, self->ram + MIB, len, where));
	ASSERT_EQ(hole, ret);
	EXPECT_EQ(due(self, ret),
		  p2p_result(pread(self->disk, self->mem + MIB, len, where)));
	if (self->works)
		EXPECT_EQ(-1, p2p_differs(self->mem + MIB, hole, 4, where));
	EXPECT_EQ(-EFAULT, p2p_result(pread(self->disk, self->mem + MIB + hole,
					    len, where)));
}

/* Without O_DIRECT the CPU copies to and from the page cache. */
TEST_F(direct_io, buffered)
{
	off_t where = self->window + 7 * MIB + 256 * KIB;
	size_t len = 64 * KIB;
	int fd = open(p2p_disk(self->name), O_RDWR);

	ASSERT_LE(0, fd);
	p2p_fill(self->mem, len, 6, where);
	EXPECT_EQ(len, pwrite(fd, self->mem, len, where));
	EXPECT_EQ(0, fsync(fd));
	p2p_set(self->mem, len, POISON);
	EXPECT_EQ(len, pread(fd, self->mem, len, where));
	EXPECT_EQ(-1, p2p_differs(self->mem, len, 6, where));
	close(fd);
	EXPECT_EQ(len, pread(self->disk, self->ram, len, where));
	EXPECT_EQ(-1, p2p_differs(self->ram, len, 6, where));
	p2p_host_expect(self->name, where, len, 6);
}

TEST_HARNESS_MAIN
