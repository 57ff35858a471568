// SPDX-License-Identifier: GPL-2.0
/*
 * Transfers of RAM together with peer-to-peer memory, including the drive's
 * own.
 *
 * An NVMe controller requires that all data of a command is in its own memory
 * buffer, or none of it, so that such a transfer takes several commands. This
 * must be transparent to the caller.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "mixed.h"
#include "variants.h"

#define LARGE	(128 * MIB)
#define WINDOW	(4 * MIB)
#define ROUNDS	40

FIXTURE(block_mixed)
{
	P2P_FIXTURE;
	off_t where;
};

P2P_VARIANTS(block_mixed, NULL, "raw", "cmb", "pmr", NULL);

FIXTURE_SETUP(block_mixed)
{
	uint64_t capacity;

	ASSERT_TRUE(p2p_setup_io(&self->p2p, &variant->p2p, MIXED_SIZE, O_RDWR));
	ASSERT_EQ(0, ioctl(self->disk, BLKGETSIZE64, &capacity));
	self->where = (capacity >= LARGE ? 96 * MIB : 40 * MIB) +
		      variant->p2p.index * WINDOW;
	ASSERT_LE(self->where + WINDOW, capacity);
}

FIXTURE_TEARDOWN(block_mixed)
{
	p2p_release(&self->p2p);
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

static ssize_t due(struct _test_data_block_mixed *self, ssize_t len)
{
	return self->works ? len : -EREMOTEIO;
}

/*
 * Writes and reads back a vector, synchronously and by libaio. A refused
 * transfer changes nothing.
 */
static void there_and_back(struct __test_metadata *_metadata,
			   struct _test_data_block_mixed *self, struct iovec *vec, int nr)
{
	char *back = self->ram + MIB;
	off_t end = self->where;
	int async, i;
	ssize_t len;

	for (i = 0; i < nr; i++)
		end += vec[i].iov_len;
	len = end - self->where;
	ASSERT_LE(len, MIB);

	for (async = 0; async < 2; async++) {
		end = self->where;
		for (i = 0; i < nr; i++) {
			p2p_fill(vec[i].iov_base, vec[i].iov_len, async, end);
			end += vec[i].iov_len;
		}
		EXPECT_EQ(due(self, len), async ?
			  mixed_async(self->disk, IOCB_CMD_PWRITEV, vec, nr, self->where) :
			  p2p_result(pwritev(self->disk, vec, nr, self->where)));
		if (self->works) {
			ASSERT_EQ(len, pread(self->disk, back, len, self->where));
			EXPECT_EQ(-1, p2p_differs(back, len, async, self->where));
		}

		p2p_fill(back, len, 2, self->where);
		ASSERT_EQ(len, pwrite(self->disk, back, len, self->where));
		for (i = 0; i < nr; i++)
			p2p_set(vec[i].iov_base, vec[i].iov_len, MIXED_POISON);
		EXPECT_EQ(due(self, len), async ?
			  mixed_async(self->disk, IOCB_CMD_PREADV, vec, nr, self->where) :
			  p2p_result(preadv(self->disk, vec, nr, self->where)));
		if (self->works) {
			EXPECT_TRUE(mixed_holds(vec, nr, 2, self->where));
		} else {
			EXPECT_EQ(-1, p2p_not_set(self->mem, MIB, MIXED_POISON));
		}
	}
}

TEST_F(block_mixed, ram_first)
{
	struct iovec vec[] = {
		{ self->ram,		4 * KIB },
		{ self->mem,		8 * KIB },
		{ self->ram + 4 * KIB,	4 * KIB },
	};

	p2p_set(self->mem, MIB, MIXED_POISON);
	there_and_back(_metadata, self, vec, ARRAY_SIZE(vec));
}

TEST_F(block_mixed, ram_last)
{
	struct iovec vec[] = {
		{ self->mem,		64 * KIB },
		{ self->ram,		64 * KIB },
	};

	p2p_set(self->mem, MIB, MIXED_POISON);
	there_and_back(_metadata, self, vec, ARRAY_SIZE(vec));
}

/* Sectors of both kinds of memory within one page of the drive. */
TEST_F(block_mixed, sectors)
{
	struct iovec vec[] = {
		{ self->ram + 7 * SECTOR,	SECTOR },
		{ self->mem + SECTOR,		3 * SECTOR },
		{ self->ram + 16 * SECTOR,	2 * SECTOR },
		{ self->mem + 32 * SECTOR,	9 * SECTOR },
		{ self->ram + 32 * SECTOR,	SECTOR },
	};

	p2p_set(self->mem, MIB, MIXED_POISON);
	there_and_back(_metadata, self, vec, ARRAY_SIZE(vec));
}

/* One buffer with pages of both kinds. */
TEST_F(block_mixed, neighbouring_mappings)
{
	const size_t part = 16 * KIB;
	char *area = p2p_ram(3 * part);
	struct iovec vec = { area, 3 * part };
	int fd = p2p_open(self->provider, O_RDWR);

	ASSERT_NE(MAP_FAILED, area);
	ASSERT_LE(0, fd);
	ASSERT_EQ(area + part, mmap(area + part, part, PROT_READ | PROT_WRITE,
				    MAP_SHARED | MAP_FIXED, fd, 0));
	close(fd);
	p2p_set(self->mem, MIB, MIXED_POISON);
	there_and_back(_metadata, self, &vec, 1);
	EXPECT_EQ(0, munmap(area, 3 * part));
}

/* More switches between the kinds of memory than a bio has segments. */
TEST_F(block_mixed, many_changes)
{
	enum { NR = 600 };
	static struct iovec vec[NR];
	int i;

	p2p_set(self->mem, MIB, MIXED_POISON);
	for (i = 0; i < NR; i++) {
		vec[i].iov_base = (i % 2 ? self->mem : self->ram) + i * SECTOR;
		vec[i].iov_len = SECTOR;
	}
	there_and_back(_metadata, self, vec, NR);
}

/* RAM and all providers alternating, with random lengths and offsets. */
TEST_F(block_mixed, any_vector)
{
	const char *disk = variant->p2p.disk, *wrong;
	static const char *const no_disks[] = { NULL };
	static struct p2p_variant all[P2P_MAX];
	int i, nr = p2p_variants(all, NULL, no_disks);
	struct mixed m;

	ASSERT_EQ(NULL, mixed_init(&m, self->disk, SECTOR, true));
	for (i = 0; i < nr; i++)
		m.reached[i + 1] = p2p_reaches(disk, all[i].provider);
	m.seed = variant->p2p.index + 1;
	for (i = 0; i < ROUNDS; i++) {
		wrong = mixed_transfer(&m, self->where);
		EXPECT_EQ(NULL, wrong)
			TH_LOG("round %d: %s", i, wrong);
	}
	mixed_end(&m);
}

TEST_HARNESS_MAIN
