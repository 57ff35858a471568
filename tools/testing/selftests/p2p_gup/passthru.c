// SPDX-License-Identifier: GPL-2.0
/*
 * NVMe passthrough commands with data in peer-to-peer memory, by ioctl() and by
 * io_uring.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/nvme_ioctl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "ring.h"
#include "variants.h"

#define SIZE		(2 * MIB)
#define WHERE		(100 * MIB)
#define WINDOW		(4 * MIB)
#define POISON		0xdeadbeefcafef00dULL
#define ALIGNMENT	4UL		/* of DMA, in NVMe */
#define META		64		/* bytes for each sector of the drive "meta" */

enum { NVME_WRITE = 1, NVME_READ = 2, NVME_IDENTIFY = 6 };

FIXTURE(passthru)
{
	P2P_FIXTURE;
	const char *name;	/* of the drive */
	off_t where;
	int nsid;
};

P2P_VARIANTS(passthru, NULL, "raw", NULL);

FIXTURE_SETUP(passthru)
{
	ASSERT_TRUE(p2p_setup_io(&self->p2p, &variant->p2p, SIZE, O_RDWR));
	self->name = variant->p2p.disk;
	self->where = WHERE + variant->p2p.index * WINDOW;
	self->nsid = ioctl(self->disk, NVME_IOCTL_ID);
	ASSERT_LT(0, self->nsid);
	p2p_fill(self->ram, SIZE, 1, self->where);
	ASSERT_EQ(SIZE, pwrite(self->disk, self->ram, SIZE, self->where));
}

FIXTURE_TEARDOWN(passthru)
{
	p2p_release(&self->p2p);
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

static struct nvme_passthru_cmd
transfer(struct _test_data_passthru *self, int opcode, void *buf, size_t len)
{
	return (struct nvme_passthru_cmd) {
		.opcode = opcode,
		.nsid = self->nsid,
		.addr = (uintptr_t)buf,
		.data_len = len,
		.cdw10 = self->where / SECTOR,
		.cdw12 = len / SECTOR - 1,
	};
}

/* 0, an NVMe status, or a negative errno */
static ssize_t io_cmd(struct _test_data_passthru *self, int opcode, void *buf,
		      size_t len)
{
	struct nvme_passthru_cmd cmd = transfer(self, opcode, buf, len);

	return p2p_result(ioctl(self->disk, NVME_IOCTL_IO_CMD, &cmd));
}

static ssize_t due(struct _test_data_passthru *self)
{
	return self->works ? 0 : -EREMOTEIO;
}

static const size_t sizes[] = { SECTOR, 4 * KIB, 40 * KIB, 256 * KIB + SECTOR };

TEST_F(passthru, read)
{
	size_t i, len;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		len = sizes[i];
		p2p_set(self->mem, len + 4 * KIB, POISON);
		EXPECT_EQ(due(self), io_cmd(self, NVME_READ, self->mem, len));
		EXPECT_EQ(-1, self->works ?
			  p2p_differs(self->mem, len, 1, self->where) :
			  p2p_not_set(self->mem, len, POISON));
		EXPECT_EQ(-1, p2p_not_set(self->mem + len, 4 * KIB, POISON));
	}
}

TEST_F(passthru, write)
{
	size_t i, len;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		len = sizes[i];
		p2p_fill(self->mem, len, 2 + i, self->where);
		EXPECT_EQ(due(self), io_cmd(self, NVME_WRITE, self->mem, len));
		EXPECT_TRUE(p2p_drive_holds(&self->p2p, self->where, len, self->works ? 2 + i : 1));
	}
}

/*
 * Aligned for DMA, but not to a sector: no copy is made. Within one page:
 * QEMU's drives lose bytes of another drive's memory buffer if a page ends
 * inside a sector.
 */
TEST_F(passthru, offset_in_page)
{
	const size_t len = 2 * KIB;
	char *buf = self->mem + 8 * ALIGNMENT;

	p2p_fill(buf, len, 2, self->where);
	EXPECT_EQ(due(self), io_cmd(self, NVME_WRITE, buf, len));
	EXPECT_TRUE(p2p_drive_holds(&self->p2p, self->where, len, 1 + self->works));
}

/*
 * Not aligned for DMA: the CPU copies through the mapping, which needs no
 * route.
 */
TEST_F(passthru, unaligned)
{
	const size_t len = 8 * KIB;

	/* The buffer is not aligned to the words of the pattern. */
	p2p_fill(self->ram + MIB, len, 2, self->where);
	for (size_t i = 0; i < len; i++)
		__atomic_store_n(&self->mem[i + 1], self->ram[MIB + i],
				 __ATOMIC_RELAXED);
	EXPECT_EQ(0, io_cmd(self, NVME_WRITE, self->mem + 1, len));
	EXPECT_TRUE(p2p_drive_holds(&self->p2p, self->where, len, 2));

	p2p_set(self->mem, len + KIB, POISON);
	EXPECT_EQ(0, io_cmd(self, NVME_READ, self->mem + 1, len));
	for (size_t i = 0; i < len; i++)
		self->ram[i] = __atomic_load_n(&self->mem[i + 1],
					       __ATOMIC_RELAXED);
	EXPECT_EQ(-1, p2p_differs(self->ram, len, 2, self->where));
}

TEST_F(passthru, vector)
{
	struct iovec vec[] = {
		{ self->mem,			4 * KIB },
		{ self->mem + 32 * KIB,		8 * KIB },
		{ self->mem + 64 * KIB,		52 * KIB },
	};
	const size_t len = 64 * KIB;
	struct nvme_passthru_cmd64 cmd = {
		.opcode = NVME_READ,
		.nsid = self->nsid,
		.addr = (uintptr_t)vec,
		.vec_cnt = 3,
		.cdw10 = self->where / SECTOR,
		.cdw12 = len / SECTOR - 1,
	};

	p2p_set(self->mem, 128 * KIB, POISON);
	EXPECT_EQ(due(self),
		  p2p_result(ioctl(self->disk, NVME_IOCTL_IO64_CMD_VEC, &cmd)));
	if (!self->works) {
		EXPECT_EQ(-1, p2p_not_set(self->mem, 128 * KIB, POISON));
		return;
	}
	EXPECT_EQ(-1, p2p_differs(self->mem, 4 * KIB, 1, self->where));
	EXPECT_EQ(-1, p2p_differs(self->mem + 32 * KIB, 8 * KIB, 1,
				  self->where + 4 * KIB));
	EXPECT_EQ(-1, p2p_differs(self->mem + 64 * KIB, 52 * KIB, 1,
				  self->where + 12 * KIB));
}

/* A command can't be split, so its memory must be of one kind. */
TEST_F(passthru, vector_with_ram)
{
	struct iovec vec[] = {
		{ self->mem,			4 * KIB },
		{ self->ram + MIB,		8 * KIB },
		{ self->mem + 64 * KIB,		52 * KIB },
	};
	const size_t len = 64 * KIB;
	struct nvme_passthru_cmd64 cmd = {
		.opcode = NVME_READ,
		.nsid = self->nsid,
		.addr = (uintptr_t)vec,
		.vec_cnt = 3,
		.cdw10 = self->where / SECTOR,
		.cdw12 = len / SECTOR - 1,
	};

	p2p_set(self->mem, 128 * KIB, POISON);
	p2p_set(self->ram + MIB, 8 * KIB, POISON);
	EXPECT_EQ(-EINVAL,
		  p2p_result(ioctl(self->disk, NVME_IOCTL_IO64_CMD_VEC, &cmd)));
	EXPECT_EQ(-1, p2p_not_set(self->mem, 128 * KIB, POISON));
	EXPECT_EQ(-1, p2p_not_set(self->ram + MIB, 8 * KIB, POISON));
}

/* The admin queue has no block device that could advertise the capability. */
TEST_F(passthru, admin_command)
{
	struct nvme_passthru_cmd cmd = {
		.opcode = NVME_IDENTIFY,
		.nsid = self->nsid,
		.addr = (uintptr_t)self->mem,
		.data_len = 4 * KIB,
	};

	p2p_set(self->mem, 4 * KIB, POISON);
	EXPECT_EQ(-EREMOTEIO,
		  p2p_result(ioctl(self->disk, NVME_IOCTL_ADMIN_CMD, &cmd)));
	EXPECT_EQ(-1, p2p_not_set(self->mem, 4 * KIB, POISON));
}

/* The io_uring command has padding in place of the result. */
_Static_assert(sizeof(struct nvme_uring_cmd) == sizeof(struct nvme_passthru_cmd),
	       "commands of ioctl() and of io_uring differ");

/* 0, an NVMe status, or a negative errno */
static int uring_do(struct ring *ring, int chr,
		    const struct nvme_passthru_cmd *cmd)
{
	struct io_uring_sqe sqe[2] = { {
		.opcode = IORING_OP_URING_CMD,
		.fd = chr,
		.cmd_op = NVME_URING_CMD_IO,
	} };
	struct io_uring_cqe cqe;

	memcpy(&sqe->cmd, cmd, sizeof(*cmd));
	return ring_do(ring, sqe, &cqe) ?: cqe.res;
}

static int uring_cmd(struct _test_data_passthru *self, struct ring *ring,
		     int chr, int opcode, void *buf, size_t len)
{
	const struct nvme_passthru_cmd cmd = transfer(self, opcode, buf, len);

	return uring_do(ring, chr, &cmd);
}

/* The character device beside /dev/nvmeXnY is /dev/ngXnY. */
static int open_chr(const char *disk)
{
	char path[64];

	snprintf(path, sizeof(path), "/dev/ng%s",
		 strstr(p2p_disk(disk), "nvme") + 4);
	return open(path, O_RDWR);
}

TEST_F(passthru, io_uring)
{
	int chr = open_chr(self->name);
	size_t i, len;
	struct ring ring;

	ASSERT_LE(0, chr);
	ASSERT_TRUE(ring_init(&ring, 1, IORING_SETUP_SQE128 |
				   IORING_SETUP_CQE32));
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		len = sizes[i];
		p2p_fill(self->ram, len, 1, self->where);
		ASSERT_EQ(0, uring_cmd(self, &ring, chr, NVME_WRITE, self->ram,
				       len));
		p2p_set(self->mem, len, POISON);
		EXPECT_EQ(due(self), uring_cmd(self, &ring, chr, NVME_READ,
					       self->mem, len));
		EXPECT_EQ(-1, self->works ?
			  p2p_differs(self->mem, len, 1, self->where) :
			  p2p_not_set(self->mem, len, POISON));

		p2p_fill(self->mem, len, 2, self->where);
		EXPECT_EQ(due(self), uring_cmd(self, &ring, chr, NVME_WRITE,
					       self->mem, len));
		EXPECT_TRUE(p2p_drive_holds(&self->p2p, self->where, len, 1 + self->works));
	}
	ring_exit(&ring);
	close(chr);
}

/*
 * A command with metadata has its own completion path, which must return the
 * error.
 */
TEST_F(passthru, io_uring_metadata)
{
	const size_t len = 4 * KIB;
	char meta[len / SECTOR][META];
	struct nvme_passthru_cmd cmd = {
		.data_len = len,
		.metadata = (uintptr_t)meta,
		.metadata_len = sizeof(meta),
		.cdw12 = len / SECTOR - 1,
	};
	int chr = open_chr("meta");
	struct ring ring;
	size_t i;

	ASSERT_LE(0, chr);
	cmd.nsid = ioctl(chr, NVME_IOCTL_ID);
	ASSERT_TRUE(ring_init(&ring, 1, IORING_SETUP_SQE128 |
				   IORING_SETUP_CQE32));
	p2p_fill(self->ram, len, 1, 0);
	for (i = 0; i < ARRAY_SIZE(meta); i++)
		memset(meta[i], i + 1, META);
	cmd.opcode = NVME_WRITE;
	cmd.addr = (uintptr_t)self->ram;
	ASSERT_EQ(0, uring_do(&ring, chr, &cmd));

	p2p_set(self->mem, len, POISON);
	memset(meta, 0, sizeof(meta));
	cmd.opcode = NVME_READ;
	cmd.addr = (uintptr_t)self->mem;
	EXPECT_EQ(due(self), uring_do(&ring, chr, &cmd));
	EXPECT_EQ(-1, self->works ? p2p_differs(self->mem, len, 1, 0) :
				    p2p_not_set(self->mem, len, POISON));
	for (i = 0; i < ARRAY_SIZE(meta); i++) {
		EXPECT_EQ(self->works ? i + 1 : 0, meta[i][0]);
		EXPECT_EQ(self->works ? i + 1 : 0, meta[i][META - 1]);
	}

	p2p_fill(self->mem, len, 2, 0);
	cmd.opcode = NVME_WRITE;
	EXPECT_EQ(due(self), uring_do(&ring, chr, &cmd));
	cmd.opcode = NVME_READ;
	cmd.addr = (uintptr_t)self->ram;
	ASSERT_EQ(0, uring_do(&ring, chr, &cmd));
	EXPECT_EQ(-1, p2p_differs(self->ram, len, 1 + self->works, 0));
	ring_exit(&ring);
	close(chr);
}

TEST_HARNESS_MAIN
