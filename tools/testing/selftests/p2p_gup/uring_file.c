// SPDX-License-Identifier: GPL-2.0
/* Reads and writes of files with a registered buffer in peer-to-peer memory. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dmabuf.h"
#include "uring_buf.h"
#include "variants.h"

#define SIZE		(2 * MIB)
#define BLOCK		(4 * KIB)
#define POISON		0xdeadbeefcafef00dULL

FIXTURE(uring_file)
{
	P2P_FIXTURE;
	struct ring ring;
	char dir[32];
	char path[64];
	int direct;
};

P2P_VARIANTS(uring_file, NULL, "ext4", "xfs", NULL);

/*
 * Mounts the drive with the name of this file system type, and creates a file.
 */
static bool make_file(struct _test_data_uring_file *self, const char *type,
		      const char *options)
{
	strcpy(self->dir, "/tmp/p2p_gup.XXXXXX");
	if (!mkdtemp(self->dir) ||
	    mount(p2p_disk(type), self->dir, type, 0, options))
		return false;
	snprintf(self->path, sizeof(self->path), "%s/file", self->dir);
	self->direct = open(self->path, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT, 0600);
	return self->direct >= 0;
}

static bool remove_file(struct _test_data_uring_file *self)
{
	close(self->direct);
	return !unlink(self->path) && !umount(self->dir) && !rmdir(self->dir);
}

static bool setup(struct _test_data_uring_file *self, const struct p2p_variant *variant,
		  const char *options)
{
	return p2p_setup(&self->p2p, variant, SIZE) && p2p_setup_ram(&self->p2p) &&
	       make_file(self, variant->disk, options) &&
	       ring_init(&self->ring, 4, 0) &&
	       !uring_register(&self->ring, self->mem, SIZE);
}

static bool teardown(struct _test_data_uring_file *self)
{
	bool removed;

	ring_exit(&self->ring);
	removed = remove_file(self);
	p2p_release(&self->p2p);
	return removed && p2p_settles(self->provider, self->before);
}

FIXTURE_SETUP(uring_file)
{
	ASSERT_TRUE(setup(self, &variant->p2p, NULL));
}

FIXTURE_TEARDOWN(uring_file)
{
	EXPECT_TRUE(teardown(self));
}

static int due(struct _test_data_uring_file *self, size_t len)
{
	return self->works ? (int)len : -EREMOTEIO;
}

static bool put(struct _test_data_uring_file *self, off_t where, size_t len,
		uint64_t seed)
{
	p2p_fill(self->ram, len, seed, where);
	return pwrite(self->direct, self->ram, len, where) == (ssize_t)len;
}

static bool holds(struct _test_data_uring_file *self, off_t where, size_t len,
		  uint64_t seed)
{
	p2p_set(self->ram, len, POISON);
	return pread(self->direct, self->ram, len, where) == (ssize_t)len &&
	       p2p_differs(self->ram, len, seed, where) == -1;
}

TEST_F(uring_file, read_and_write)
{
	char *mem = self->mem + 3 * BLOCK;

	ASSERT_TRUE(put(self, 0, MIB, 1));
	p2p_set(self->mem, SIZE, POISON);
	EXPECT_EQ(due(self, MIB), uring_read(&self->ring, self->direct, 0, mem, MIB, 0));
	if (self->works)
		EXPECT_EQ(-1, p2p_differs(mem, MIB, 1, 0));
	EXPECT_EQ(-1, p2p_not_set(self->mem, 3 * BLOCK, POISON));
	EXPECT_EQ(-1, p2p_not_set(mem + MIB, BLOCK, POISON));

	/* Overwrites the end of the file, and extends it. */
	p2p_fill(mem, MIB, 2, MIB / 2);
	EXPECT_EQ(due(self, MIB), uring_write(&self->ring, self->direct, 0, mem, MIB,
					      MIB / 2));
	EXPECT_TRUE(holds(self, 0, MIB / 2, 1));
	EXPECT_TRUE(holds(self, MIB / 2, MIB / 2, 1 + self->works));
	if (self->works)
		EXPECT_TRUE(holds(self, MIB, MIB / 2, 2));
}

/* The same memory as a dma-buf, registered for this file only. */
TEST_F(uring_file, dmabuf)
{
	int heap = heap_open(self->provider), other, fd;

	if (heap < 0)
		SKIP(return, "no heap: CONFIG_PCI_P2PMEM_DMABUF?");
	fd = heap_export(heap, self->mem, O_RDWR, NULL, NULL);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, uring_update_dmabuf(&self->ring, 0, fd, self->direct, 0));
	close(fd);
	close(heap);
	ASSERT_TRUE(put(self, 0, MIB, 1));
	p2p_set(self->mem, SIZE, POISON);
	EXPECT_EQ(due(self, MIB), uring_read(&self->ring, self->direct, 0,
					     uring_at(3 * BLOCK), MIB, 0));
	if (self->works)
		EXPECT_EQ(-1, p2p_differs(self->mem + 3 * BLOCK, MIB, 1, 0));
	EXPECT_EQ(-1, p2p_not_set(self->mem, 3 * BLOCK, POISON));
	EXPECT_EQ(-1, p2p_not_set(self->mem + 3 * BLOCK + MIB, BLOCK, POISON));

	p2p_fill(self->mem, MIB, 2, 0);
	other = open(self->path, O_RDWR | O_DIRECT);
	ASSERT_LE(0, other);
	EXPECT_EQ(-EBADF, uring_write(&self->ring, other, 0, uring_at(0), MIB, 0));
	EXPECT_TRUE(holds(self, 0, MIB, 1));
	EXPECT_EQ(due(self, MIB), uring_write(&self->ring, self->direct, 0, uring_at(0),
					      MIB, 0));
	EXPECT_TRUE(holds(self, 0, MIB, 1 + self->works));
	close(other);
	/* The slot keeps the file open, and closing a ring is asynchronous. */
	EXPECT_EQ(0, uring_unregister(&self->ring));
}

/* Holes are not read from the drive, so it need not reach the memory. */
TEST_F(uring_file, holes)
{
	ASSERT_EQ(0, ftruncate(self->direct, MIB));
	p2p_set(self->mem, SIZE, POISON);
	EXPECT_EQ(MIB, uring_read(&self->ring, self->direct, 0, self->mem + BLOCK, MIB,
				  0));
	EXPECT_EQ(-1, p2p_not_set(self->mem, BLOCK, POISON));
	EXPECT_EQ(-1, p2p_not_set(self->mem + BLOCK, MIB, 0));
	EXPECT_EQ(-1, p2p_not_set(self->mem + BLOCK + MIB, BLOCK, POISON));

	ASSERT_TRUE(put(self, 8 * BLOCK, BLOCK, 5));
	p2p_set(self->mem, SIZE, POISON);
	EXPECT_EQ(due(self, 16 * BLOCK), uring_read(&self->ring, self->direct, 0,
						    self->mem, 16 * BLOCK, 0));
	if (!self->works)
		return;
	EXPECT_EQ(-1, p2p_not_set(self->mem, 8 * BLOCK, 0));
	EXPECT_EQ(-1, p2p_differs(self->mem + 8 * BLOCK, BLOCK, 5, 8 * BLOCK));
	EXPECT_EQ(-1, p2p_not_set(self->mem + 9 * BLOCK, 7 * BLOCK, 0));
}

/*
 * A file system that falls back from direct I/O to the page cache, and would
 * copy.
 */
FIXTURE(uring_journal)
{
	struct _test_data_uring_file file;
};

P2P_VARIANTS(uring_journal, NULL, "ext4", NULL);

FIXTURE_SETUP(uring_journal)
{
	ASSERT_TRUE(setup(&self->file, &variant->p2p, "data=journal"));
}

FIXTURE_TEARDOWN(uring_journal)
{
	EXPECT_TRUE(teardown(&self->file));
}

/* It fails, and does not retry forever. */
TEST_F(uring_journal, refused)
{
	struct _test_data_uring_file *file = &self->file;

	ASSERT_TRUE(put(file, 0, 16 * BLOCK, 1));
	p2p_fill(file->mem, 16 * BLOCK, 2, 0);
	EXPECT_EQ(-EREMOTEIO, uring_write(&file->ring, file->direct, 0, file->mem,
					  16 * BLOCK, 0));
	EXPECT_EQ(-EREMOTEIO, uring_read(&file->ring, file->direct, 0, file->mem,
					 16 * BLOCK, 0));
	EXPECT_EQ(-1, p2p_differs(file->mem, 16 * BLOCK, 2, 0));
	EXPECT_TRUE(holds(file, 0, 16 * BLOCK, 1));
}

TEST_HARNESS_MAIN
