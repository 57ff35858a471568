// SPDX-License-Identifier: GPL-2.0
/*
 * O_DIRECT between files and peer-to-peer memory.
 *
 * Data written from peer-to-peer memory is read back through the page cache and
 * by O_DIRECT into RAM; data read into it was written through the page cache.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "variants.h"

#define SIZE		(2 * MIB)
#define BLOCK		(4 * KIB)
#define POISON		0xdeadbeefcafef00dULL

FIXTURE(file)
{
	P2P_FIXTURE;
	char dir[32];
	char path[64];
	int direct;		/* the file, empty, opened with O_DIRECT */
	int cached;		/* the same without */
};

P2P_VARIANTS(file, NULL, "ext4", "xfs", NULL);

FIXTURE_SETUP(file)
{
	ASSERT_TRUE(p2p_setup(&self->p2p, &variant->p2p, SIZE));
	ASSERT_TRUE(p2p_setup_ram(&self->p2p));

	strcpy(self->dir, "/tmp/p2p_gup.XXXXXX");
	ASSERT_NE(NULL, mkdtemp(self->dir));
	ASSERT_EQ(0, mount(p2p_disk(variant->p2p.disk), self->dir,
			   variant->p2p.disk, 0, NULL));
	snprintf(self->path, sizeof(self->path), "%s/file", self->dir);
	unlink(self->path);
	self->direct = open(self->path, O_RDWR | O_CREAT | O_DIRECT, 0600);
	ASSERT_LE(0, self->direct);
	self->cached = open(self->path, O_RDWR);
	ASSERT_LE(0, self->cached);
}

FIXTURE_TEARDOWN(file)
{
	/* The file system still works. */
	p2p_fill(self->ram, BLOCK, 99, 0);
	EXPECT_EQ(BLOCK, pwrite(self->direct, self->ram, BLOCK, 0));
	EXPECT_EQ(0, fsync(self->direct));
	EXPECT_EQ(BLOCK, pread(self->cached, self->ram + BLOCK, BLOCK, 0));
	EXPECT_EQ(-1, p2p_differs(self->ram + BLOCK, BLOCK, 99, 0));

	close(self->cached);
	close(self->direct);
	EXPECT_EQ(0, unlink(self->path));
	EXPECT_EQ(0, umount(self->dir));
	EXPECT_EQ(0, rmdir(self->dir));
	p2p_release(&self->p2p);
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

static ssize_t due(struct _test_data_file *self, ssize_t len)
{
	return self->works ? len : -EREMOTEIO;
}

static off_t size_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? -1 : st.st_size;
}

/*
 * Does the file have the data of this seed there, read buffered and directly?
 */
static bool holds(struct _test_data_file *self, off_t where, size_t len,
		  uint64_t seed)
{
	p2p_set(self->ram, len, POISON);
	if (pread(self->cached, self->ram, len, where) != len ||
	    p2p_differs(self->ram, len, seed, where) != -1)
		return false;
	p2p_set(self->ram, len, POISON);
	return pread(self->direct, self->ram, len, where) == len &&
	       p2p_differs(self->ram, len, seed, where) == -1;
}

/* Writes the data to the file, through the page cache. */
static bool put(struct _test_data_file *self, off_t where, size_t len, uint64_t seed)
{
	p2p_fill(self->ram, len, seed, where);
	return pwrite(self->cached, self->ram, len, where) == len &&
	       !fsync(self->cached);
}

TEST_F(file, write)
{
	static const size_t sizes[] = {
		BLOCK, 64 * KIB, 1 * MIB, 1 * MIB + 3 * BLOCK,
	};
	size_t i, len;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		len = sizes[i];
		ASSERT_EQ(0, ftruncate(self->direct, 0));
		p2p_fill(self->mem, len, i, 0);
		EXPECT_EQ(due(self, len),
			  p2p_result(pwrite(self->direct, self->mem, len, 0)));
		EXPECT_EQ(0, fsync(self->direct));
		/*
		 * Blocks allocated for a failed write must not expose old data.
		 */
		EXPECT_EQ(self->works ? len : 0, size_of(self->direct));
		EXPECT_TRUE(!self->works || holds(self, 0, len, i));
	}
}

TEST_F(file, read)
{
	static const size_t sizes[] = {
		SECTOR, BLOCK, 64 * KIB, 1 * MIB, 1 * MIB + SECTOR,
	};
	off_t where = 5 * SECTOR;
	size_t i, len;

	ASSERT_TRUE(put(self, 0, SIZE, 3));
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		len = sizes[i];
		p2p_set(self->mem, len + BLOCK, POISON);
		EXPECT_EQ(due(self, len),
			  p2p_result(pread(self->direct, self->mem, len, where)));
		if (self->works)
			EXPECT_EQ(-1, p2p_differs(self->mem, len, 3, where));
		EXPECT_EQ(-1, p2p_not_set(self->mem + len, BLOCK, POISON));
	}
}

/* Overwriting a part of a block leaves the rest unchanged. */
TEST_F(file, overwrite)
{
	off_t where = 3 * BLOCK + SECTOR;
	size_t len = 2 * BLOCK;

	ASSERT_TRUE(put(self, 0, 8 * BLOCK, 1));
	p2p_fill(self->mem + SECTOR, len, 2, where);
	EXPECT_EQ(due(self, len), p2p_result(pwrite(self->direct,
						    self->mem + SECTOR, len,
						    where)));
	EXPECT_TRUE(holds(self, 0, where, 1));
	EXPECT_TRUE(holds(self, where, len, 1 + self->works));
	EXPECT_TRUE(holds(self, where + len, 8 * BLOCK - where - len, 1));
	EXPECT_EQ(8 * BLOCK, size_of(self->direct));
}

TEST_F(file, append)
{
	int fd = open(self->path, O_WRONLY | O_APPEND | O_DIRECT);
	size_t len = 3 * BLOCK;
	off_t end = BLOCK;
	int i;

	ASSERT_LE(0, fd);
	ASSERT_TRUE(put(self, 0, BLOCK, 4));
	for (i = 0; i < 4; i++) {
		p2p_fill(self->mem, len, 4, end);
		EXPECT_EQ(due(self, len), p2p_result(write(fd, self->mem, len)));
		end += self->works ? len : 0;
		EXPECT_EQ(end, size_of(self->direct));
	}
	close(fd);
	EXPECT_TRUE(holds(self, 0, end, 4));
}

/* Holes are not read from the drive: the CPU zeroes the buffer. */
TEST_F(file, read_holes)
{
	ASSERT_EQ(0, ftruncate(self->direct, 16 * BLOCK));
	p2p_set(self->mem, 17 * BLOCK, POISON);
	EXPECT_EQ(16 * BLOCK, pread(self->direct, self->mem, 16 * BLOCK, 0));
	EXPECT_EQ(-1, p2p_not_set(self->mem, 16 * BLOCK, 0));
	EXPECT_EQ(-1, p2p_not_set(self->mem + 16 * BLOCK, BLOCK, POISON));

	ASSERT_TRUE(put(self, 8 * BLOCK, BLOCK, 5));
	p2p_set(self->mem, 16 * BLOCK, POISON);
	EXPECT_EQ(due(self, 16 * BLOCK),
		  p2p_result(pread(self->direct, self->mem, 16 * BLOCK, 0)));
	if (!self->works)
		return;
	EXPECT_EQ(-1, p2p_not_set(self->mem, 8 * BLOCK, 0));
	EXPECT_EQ(-1, p2p_differs(self->mem + 8 * BLOCK, BLOCK, 5, 8 * BLOCK));
	EXPECT_EQ(-1, p2p_not_set(self->mem + 9 * BLOCK, 7 * BLOCK, 0));
}

TEST_F(file, read_unwritten)
{
	ASSERT_EQ(0, fallocate(self->direct, 0, 0, 16 * BLOCK));
	p2p_set(self->mem, 16 * BLOCK, POISON);
	EXPECT_EQ(16 * BLOCK, pread(self->direct, self->mem, 16 * BLOCK, 0));
	EXPECT_EQ(-1, p2p_not_set(self->mem, 16 * BLOCK, 0));
}

/* The file ends in the middle of a sector. */
TEST_F(file, read_beyond_end)
{
	size_t len = BLOCK + 104;

	ASSERT_TRUE(put(self, 0, len, 6));
	p2p_set(self->mem, 4 * BLOCK, POISON);
	EXPECT_EQ(due(self, len),
		  p2p_result(pread(self->direct, self->mem, 2 * BLOCK, 0)));
	if (self->works)
		EXPECT_EQ(-1, p2p_differs(self->mem, len, 6, 0));
	EXPECT_EQ(-1, p2p_not_set(self->mem + 2 * BLOCK, 2 * BLOCK, POISON));
	EXPECT_EQ(0, pread(self->direct, self->mem, BLOCK, 2 * BLOCK));
}

/* A direct write invalidates data in the page cache. */
TEST_F(file, write_under_page_cache)
{
	size_t len = 16 * BLOCK;
	char *cache;

	ASSERT_TRUE(put(self, 0, len, 1));
	cache = mmap(NULL, len, PROT_READ, MAP_SHARED, self->cached, 0);
	ASSERT_NE(MAP_FAILED, cache);
	EXPECT_EQ(-1, p2p_differs(cache, len, 1, 0));
	p2p_fill(self->mem, len, 2, 0);
	EXPECT_EQ(due(self, len),
		  p2p_result(pwrite(self->direct, self->mem, len, 0)));
	EXPECT_EQ(-1, p2p_differs(cache, len, 1 + self->works, 0));
	munmap(cache, len);
}

/* From file to file, through peer-to-peer memory. */
TEST_F(file, copy)
{
	char path[80];
	int fd;

	snprintf(path, sizeof(path), "%s.copy", self->path);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT, 0600);
	ASSERT_LE(0, fd);
	ASSERT_TRUE(put(self, 0, MIB, 7));
	EXPECT_EQ(due(self, MIB), p2p_result(pread(self->direct, self->mem, MIB, 0)));
	EXPECT_EQ(due(self, MIB), p2p_result(pwrite(fd, self->mem, MIB, 0)));
	if (self->works) {
		EXPECT_EQ(MIB, pread(fd, self->ram, MIB, 0));
		EXPECT_EQ(-1, p2p_differs(self->ram, MIB, 7, 0));
	}
	close(fd);
	EXPECT_EQ(0, unlink(path));
}

TEST_F(file, vector_with_ram)
{
	struct iovec vec[] = {
		{ self->ram + MIB,	BLOCK },
		{ self->mem,		16 * BLOCK },
		{ self->ram,		BLOCK },
	};
	size_t len = 18 * BLOCK;

	ASSERT_TRUE(put(self, 0, len, 8));
	EXPECT_EQ(due(self, len), p2p_result(preadv(self->direct, vec, 3, 0)));
	if (self->works) {
		EXPECT_EQ(-1, p2p_differs(self->ram + MIB, BLOCK, 8, 0));
		EXPECT_EQ(-1, p2p_differs(self->mem, 16 * BLOCK, 8, BLOCK));
		EXPECT_EQ(-1, p2p_differs(self->ram, BLOCK, 8, 17 * BLOCK));
	}
}

/* Without O_DIRECT the CPU copies, which needs no route. */
TEST_F(file, buffered)
{
	p2p_fill(self->mem, 64 * KIB, 9, 0);
	EXPECT_EQ(64 * KIB, pwrite(self->cached, self->mem, 64 * KIB, 0));
	EXPECT_EQ(0, fsync(self->cached));
	EXPECT_TRUE(holds(self, 0, 64 * KIB, 9));
	p2p_set(self->mem, 65 * KIB, POISON);
	EXPECT_EQ(64 * KIB, pread(self->cached, self->mem, 65 * KIB, 0));
	EXPECT_EQ(-1, p2p_differs(self->mem, 64 * KIB, 9, 0));
	EXPECT_EQ(-1, p2p_not_set(self->mem + 64 * KIB, KIB, POISON));
}

TEST_HARNESS_MAIN
