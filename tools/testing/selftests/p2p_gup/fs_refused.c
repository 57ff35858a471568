// SPDX-License-Identifier: GPL-2.0
/*
 * File systems that must refuse peer-to-peer memory although the drive takes
 * it: btrfs checksums data, ext4 encrypts files with an fscrypt key, and ext2
 * uses the old direct I/O code (fs/direct-io.c).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fscrypt.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "variants.h"

#define BLOCK		(4 * KIB)
#define SIZE		(32 * BLOCK)
#define POISON		0xdeadbeefcafef00dULL

FIXTURE(fs_refused)
{
	P2P_FIXTURE;
	char dir[32];
	char path[64];
	int direct;		/* a file of SIZE, opened with O_DIRECT */
	int cached;		/* the same without */
};

P2P_VARIANTS(fs_refused, NULL, "btrfs", "ext2", "fscrypt", NULL);

/* Sets an encryption policy on the directory. Returns 0 or an errno. */
static int encrypt_dir(const char *dir)
{
	struct {
		struct fscrypt_add_key_arg arg;
		__u8 raw[64];
	} key = {
		.arg.key_spec.type = FSCRYPT_KEY_SPEC_TYPE_IDENTIFIER,
		.arg.raw_size = sizeof(key.raw),
	};
	struct fscrypt_policy_v2 policy = {
		.version = FSCRYPT_POLICY_V2,
		.contents_encryption_mode = FSCRYPT_MODE_AES_256_XTS,
		.filenames_encryption_mode = FSCRYPT_MODE_AES_256_CTS,
		.flags = FSCRYPT_POLICY_FLAGS_PAD_32,
	};
	int fd = open(dir, O_RDONLY), error = 0;

	memset(key.raw, 0x5a, sizeof(key.raw));
	if (fd < 0 || ioctl(fd, FS_IOC_ADD_ENCRYPTION_KEY, &key.arg))
		return errno;
	memcpy(policy.master_key_identifier, key.arg.key_spec.u.identifier,
	       FSCRYPT_KEY_IDENTIFIER_SIZE);
	if (ioctl(fd, FS_IOC_SET_ENCRYPTION_POLICY, &policy))
		error = errno;
	close(fd);
	return error;
}

FIXTURE_SETUP(fs_refused)
{
	const char *disk = variant->p2p.disk;
	bool fscrypt = !strcmp(disk, "fscrypt");
	char encrypted[48];

	ASSERT_TRUE(p2p_setup(&self->p2p, &variant->p2p, SIZE));
	ASSERT_TRUE(p2p_setup_ram(&self->p2p));

	/* Without inlinecrypt there is no direct I/O on encrypted files. */
	strcpy(self->dir, "/tmp/p2p_gup.XXXXXX");
	ASSERT_NE(NULL, mkdtemp(self->dir));
	ASSERT_EQ(0, mount(p2p_disk(disk), self->dir, fscrypt ? "ext4" : disk, 0,
			   fscrypt ? "inlinecrypt" : NULL));
	snprintf(encrypted, sizeof(encrypted), "%s/dir", self->dir);
	mkdir(encrypted, 0700);
	if (fscrypt)
		ASSERT_EQ(0, encrypt_dir(encrypted));
	snprintf(self->path, sizeof(self->path), "%s/file", encrypted);
	self->direct = open(self->path, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT,
			    0600);
	ASSERT_LE(0, self->direct);
	self->cached = open(self->path, O_RDWR);
	ASSERT_LE(0, self->cached);

	p2p_fill(self->ram, SIZE, 1, 0);
	ASSERT_EQ(SIZE, pwrite(self->cached, self->ram, SIZE, 0));
	ASSERT_EQ(0, fsync(self->cached));
}

FIXTURE_TEARDOWN(fs_refused)
{
	close(self->cached);
	close(self->direct);
	EXPECT_EQ(0, unlink(self->path));
	EXPECT_EQ(0, umount(self->dir));
	EXPECT_EQ(0, rmdir(self->dir));
	p2p_release(&self->p2p);
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

static bool holds(struct _test_data_fs_refused *self, off_t where, size_t len,
		  uint64_t seed)
{
	p2p_set(self->ram, len, POISON);
	return pread(self->direct, self->ram, len, where) == len &&
	       p2p_differs(self->ram, len, seed, where) == -1;
}

/* Makes sure that the tests below use direct I/O, not a buffered fallback. */
TEST_F(fs_refused, direct_io_of_ram)
{
	p2p_fill(self->ram, SIZE, 2, 0);
	EXPECT_EQ(SIZE, pwrite(self->direct, self->ram, SIZE, 0));
	EXPECT_TRUE(holds(self, 0, SIZE, 2));
}

TEST_F(fs_refused, read)
{
	p2p_set(self->mem, SIZE, POISON);
	EXPECT_EQ(-EREMOTEIO, p2p_result(pread(self->direct, self->mem, SIZE, 0)));
	EXPECT_EQ(-EREMOTEIO,
		  p2p_result(pread(self->direct, self->mem, BLOCK, BLOCK)));
	EXPECT_EQ(-1, p2p_not_set(self->mem, SIZE, POISON));
}

TEST_F(fs_refused, write)
{
	p2p_fill(self->mem, SIZE, 2, 0);
	EXPECT_EQ(-EREMOTEIO, p2p_result(pwrite(self->direct, self->mem, SIZE, 0)));
	EXPECT_EQ(-EREMOTEIO,
		  p2p_result(pwrite(self->direct, self->mem, BLOCK, 4 * BLOCK)));
	EXPECT_TRUE(holds(self, 0, SIZE, 1));
}

/*
 * The file grows by the RAM part at most, and never exposes old block contents.
 */
TEST_F(fs_refused, append)
{
	struct iovec vec[] = {
		{ self->ram, BLOCK },
		{ self->mem, BLOCK },
	};
	struct stat st;
	ssize_t ret;

	p2p_fill(self->ram, BLOCK, 1, SIZE);
	p2p_fill(self->mem, BLOCK, 2, SIZE + BLOCK);
	ret = p2p_result(pwritev(self->direct, vec, 2, SIZE));
	EXPECT_TRUE(ret == -EREMOTEIO || ret == BLOCK);
	ASSERT_EQ(0, fstat(self->direct, &st));
	EXPECT_TRUE(st.st_size == SIZE + BLOCK ||
		    (ret < 0 && st.st_size == SIZE));
	EXPECT_EQ(0, ftruncate(self->direct, SIZE + 4 * BLOCK));
	EXPECT_EQ(BLOCK, pread(self->cached, self->ram, BLOCK, SIZE + BLOCK));
	EXPECT_EQ(-1, p2p_not_set(self->ram, BLOCK, 0));
}

/* File data under the refused part of a vector is unchanged. */
TEST_F(fs_refused, overwrite_with_vector)
{
	struct iovec vec[] = {
		{ self->ram, 2 * BLOCK },
		{ self->mem, 4 * BLOCK },
		{ self->ram, 2 * BLOCK },
	};
	ssize_t ret;

	p2p_fill(self->ram, 2 * BLOCK, 1, 8 * BLOCK);
	p2p_fill(self->mem, 4 * BLOCK, 2, 10 * BLOCK);
	ret = p2p_result(pwritev(self->direct, vec, 3, 8 * BLOCK));
	EXPECT_TRUE(ret == -EREMOTEIO || ret == 2 * BLOCK);
	EXPECT_TRUE(holds(self, 8 * BLOCK, 6 * BLOCK, 1));
	EXPECT_TRUE(holds(self, 16 * BLOCK, 16 * BLOCK, 1));
}

TEST_HARNESS_MAIN
