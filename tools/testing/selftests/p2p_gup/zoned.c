// SPDX-License-Identifier: GPL-2.0
/*
 * A zoned drive, written sequentially: by O_DIRECT, by the command Zone Append,
 * and through zonefs.
 *
 * P2P_DISK_ZONED is the drive; what it holds is overwritten.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/blkzoned.h>
#include <linux/magic.h>
#include <linux/nvme_ioctl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/uio.h>
#include <unistd.h>

#include "mixed.h"
#include "variants.h"

#define SIZE		(MIB)
#define POISON		0xdeadbeefcafef00dULL
#define NVME_ZONE_APPEND 0x7d

FIXTURE(zoned)
{
	P2P_FIXTURE;
	uint64_t zone;		/* bytes */
};

P2P_VARIANTS(zoned, NULL, "zoned", NULL);

FIXTURE_SETUP(zoned)
{
	struct blk_zone_range all = {};
	__u32 sectors;
	__u32 nr;

	ASSERT_TRUE(p2p_setup_io(&self->p2p, &variant->p2p, SIZE, O_RDWR));
	ASSERT_EQ(0, ioctl(self->disk, BLKGETZONESZ, &sectors));
	ASSERT_EQ(0, ioctl(self->disk, BLKGETNRZONES, &nr));
	self->zone = sectors * SECTOR;
	ASSERT_LE(SIZE, self->zone);
	all.nr_sectors = (__u64)nr * sectors;
	ASSERT_EQ(0, ioctl(self->disk, BLKRESETZONE, &all));
}

FIXTURE_TEARDOWN(zoned)
{
	p2p_release(&self->p2p);
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

static ssize_t due(struct _test_data_zoned *self, ssize_t len)
{
	return self->works ? len : -EREMOTEIO;
}

/* The write pointer of the first zone, in bytes. */
static ssize_t written(struct _test_data_zoned *self)
{
	struct {
		struct blk_zone_report head;
		struct blk_zone zone;
	} report = { .head.nr_zones = 1 };

	if (ioctl(self->disk, BLKREPORTZONE, &report) || report.head.nr_zones != 1)
		return -1;
	return (report.zone.wp - report.zone.start) * SECTOR;
}

TEST_F(zoned, sequential_writes)
{
	static const size_t sizes[] = { 4 * KIB, 64 * KIB, 12 * KIB, 256 * KIB };
	off_t where = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		p2p_fill(self->mem, sizes[i], 1, where);
		EXPECT_EQ(due(self, sizes[i]),
			  p2p_result(pwrite(self->disk, self->mem, sizes[i], where)));
		if (self->works)
			where += sizes[i];
		EXPECT_EQ(where, written(self));
	}
	if (!self->works)
		return;
	p2p_set(self->mem, where, POISON);
	EXPECT_EQ(where, pread(self->disk, self->mem, where, 0));
	EXPECT_EQ(-1, p2p_differs(self->mem, where, 1, 0));
}

/* Alternates RAM and peer-to-peer memory: several requests arrive in order. */
TEST_F(zoned, mixed_writes)
{
	enum { NR = 32 };
	struct iovec vec[NR];
	const size_t len = 8 * KIB, total = NR * len;
	int i;

	for (i = 0; i < NR; i++) {
		vec[i].iov_base = (i % 2 ? self->mem : self->ram) + i * len;
		vec[i].iov_len = len;
		p2p_fill(vec[i].iov_base, len, 2, i * len);
	}
	EXPECT_EQ(due(self, total), p2p_result(pwritev(self->disk, vec, NR, 0)));
	if (!self->works)
		return;
	EXPECT_EQ(total, written(self));
	EXPECT_EQ(total, pread(self->disk, self->ram, total, 0));
	EXPECT_EQ(-1, p2p_differs(self->ram, total, 2, 0));
}

TEST_F(zoned, append_command)
{
	struct nvme_passthru_cmd cmd = {
		.opcode = NVME_ZONE_APPEND,
		.nsid = ioctl(self->disk, NVME_IOCTL_ID),
		.addr = (uintptr_t)self->mem,
		.data_len = 16 * KIB,
		.cdw12 = 16 * KIB / SECTOR - 1,
	};
	int i;

	for (i = 0; i < 3; i++) {
		p2p_fill(self->mem, 16 * KIB, 3, i * 16 * KIB);
		EXPECT_EQ(due(self, 0),
			  p2p_result(ioctl(self->disk, NVME_IOCTL_IO_CMD, &cmd)));
	}
	if (!self->works)
		return;
	EXPECT_EQ(48 * KIB, written(self));
	EXPECT_EQ(48 * KIB, pread(self->disk, self->ram, 48 * KIB, 0));
	EXPECT_EQ(-1, p2p_differs(self->ram, 48 * KIB, 3, 0));
}

/* The super block in the first zone is all that mkzonefs writes. */
struct zonefs_super {
	__le32 magic;
	__le32 crc;
	char label[64];
	__u8 uuid[16];
	__le64 features;
	__le32 uid, gid, perm;
	__u8 reserved[3988];
} __attribute__((packed));

static bool make_zonefs(struct _test_data_zoned *self)
{
	struct zonefs_super *super = (struct zonefs_super *)self->ram;
	uint32_t crc = ~0U;
	size_t i;
	int bit;

	memset(super, 0, sizeof(*super));
	super->magic = ZONEFS_MAGIC;
	super->uuid[0] = 1;
	super->perm = 0640;
	for (i = 0; i < sizeof(*super); i++) {
		crc ^= ((unsigned char *)super)[i];
		for (bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ 0xedb88320 : crc >> 1;
	}
	super->crc = crc;
	return pwrite(self->disk, super, sizeof(*super), 0) == sizeof(*super);
}

/*
 * Asynchronous direct writes to a file of zonefs: of one kind of memory, and of
 * both, which takes several requests that have to arrive in order. (A
 * synchronous write is one zone append, which fails with EIO on Linux 6.1, from
 * RAM, too: the write pointer that its position is compared with has already
 * been advanced.)
 */
TEST_F(zoned, zonefs)
{
	char dir[] = "/tmp/zonefs-XXXXXX", path[64];
	const size_t part = 16 * KIB;
	struct iovec vec[] = {
		{ self->ram,			part },
		{ self->mem + part,		part },
		{ self->ram + 2 * part,		part },
	};
	off_t where = 0;
	int file, i;

	ASSERT_TRUE(make_zonefs(self));
	ASSERT_NE(NULL, mkdtemp(dir));
	ASSERT_EQ(0, mount(p2p_disk("zoned"), dir, "zonefs", 0, NULL));
	snprintf(path, sizeof(path), "%s/seq/0", dir);
	file = open(path, O_RDWR | O_DIRECT);
	ASSERT_LE(0, file);
	for (i = 0; i < 4; i++) {
		struct iovec one = { self->mem, (4 * KIB) << (2 * i) };

		p2p_fill(self->mem, one.iov_len, 4, where);
		EXPECT_EQ(due(self, one.iov_len),
			  mixed_async(file, IOCB_CMD_PWRITEV, &one, 1, where));
		if (self->works)
			where += one.iov_len;
	}
	for (i = 0; i < ARRAY_SIZE(vec); i++)
		p2p_fill(vec[i].iov_base, part, 4, where + i * part);
	EXPECT_EQ(due(self, 3 * part), mixed_async(file, IOCB_CMD_PWRITEV, vec, 3, where));
	if (self->works) {
		where += 3 * part;
		EXPECT_EQ(where, pread(file, self->ram, where, 0));
		EXPECT_EQ(-1, p2p_differs(self->ram, where, 4, 0));
		p2p_set(self->mem, where, POISON);
		EXPECT_EQ(where, pread(file, self->mem, where, 0));
		EXPECT_EQ(-1, p2p_differs(self->mem, where, 4, 0));
	}
	close(file);
	EXPECT_EQ(0, umount(dir));
	rmdir(dir);
}

TEST_HARNESS_MAIN
