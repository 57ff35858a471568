// SPDX-License-Identifier: GPL-2.0
/*
 * Invalid buffers in struct io_uring_regbuf_desc, and invalid combinations of
 * dma-bufs, files and requests.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "loopback.h"
#include "uring_dmabuf.h"
#include "variants.h"

#define SIZE		(64 * KIB)
#define POISON		0xdeadbeefcafef00dULL
#define LIMIT		(1024 * MIB)
#define TAG		4711

FIXTURE(uring_dmabuf_refused)
{
	URING_DMABUF_FIXTURE;
};

P2P_VARIANTS(uring_dmabuf_refused, NULL, "raw", NULL);

FIXTURE_SETUP(uring_dmabuf_refused)
{
	if (!heap_there(variant->p2p.provider))
		SKIP(p2p_skip_now(), "no heap: CONFIG_PCI_P2PMEM_DMABUF?");
	ASSERT_TRUE(uring_dmabuf_begin(&self->dmabuf, &variant->p2p, O_RDWR, SIZE));
	ASSERT_TRUE(uring_dmabuf_map(&self->dmabuf, SIZE));
	p2p_set(self->mem, SIZE, POISON);
	ASSERT_TRUE(uring_dmabuf_begin_ring(&self->dmabuf, 4, 2));
}

FIXTURE_TEARDOWN(uring_dmabuf_refused)
{
	EXPECT_EQ(-1, p2p_not_set(self->mem, SIZE, POISON));
	uring_dmabuf_end(&self->dmabuf);
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

static int update(struct _test_data_uring_dmabuf_refused *self,
		  struct io_uring_regbuf_desc desc)
{
	return uring_update_descs(&self->ring, 0, &desc, NULL, 1);
}

static int with_target(struct _test_data_uring_dmabuf_refused *self, int target)
{
	int ret = uring_update_dmabuf(&self->ring, 0, self->fd, target, 0);

	close(target);
	return ret;
}

static int with_dmabuf(struct _test_data_uring_dmabuf_refused *self, int fd)
{
	int ret = uring_update_dmabuf(&self->ring, 0, fd, self->disk, 0);

	close(fd);
	return ret;
}

static int update_flags(struct _test_data_uring_dmabuf_refused *self, int opcode,
			void *data, unsigned int flags)
{
	struct io_uring_rsrc_update2 update = {
		.flags = flags,
		.data = (uintptr_t)data,
		.nr = 1,
	};

	return p2p_result(syscall(__NR_io_uring_register, self->ring.fd, opcode, &update,
				  sizeof(update)));
}

TEST_F(uring_dmabuf_refused, flags)
{
	struct io_uring_regbuf_desc desc = { .type = IO_REGBUF_TYPE_EMPTY };
	const unsigned int buffers = IORING_REGISTER_BUFFERS_UPDATE;
	const unsigned int files = IORING_REGISTER_FILES_UPDATE2;
	int none[2] = { -1, -1 }, fd = -1;
	unsigned int bit;

	ASSERT_EQ(0, syscall(__NR_io_uring_register, self->ring.fd,
			     IORING_REGISTER_FILES, none, 2));
	EXPECT_EQ(1, update_flags(self, buffers, &desc, IORING_RSRC_UPDATE_EXTENDED));
	EXPECT_EQ(1, update_flags(self, files, &fd, 0));
	for (bit = 1; bit; bit <<= 1) {
		if (bit != IORING_RSRC_UPDATE_EXTENDED) {
			EXPECT_EQ(-EINVAL, update_flags(self, buffers, &desc, bit));
			EXPECT_EQ(-EINVAL, update_flags(self, buffers, &desc, bit |
							IORING_RSRC_UPDATE_EXTENDED));
		}
		EXPECT_EQ(-EINVAL, update_flags(self, files, &fd, bit));
	}
	EXPECT_EQ(-EFAULT, update_flags(self, buffers, NULL,
					IORING_RSRC_UPDATE_EXTENDED));
}

TEST_F(uring_dmabuf_refused, descriptions)
{
	const struct io_uring_regbuf_desc good[] = {
		{ .type = IO_REGBUF_TYPE_EMPTY },
		{ .type = IO_REGBUF_TYPE_UADDR, .uaddr = (uintptr_t)self->ram,
		  .size = SIZE },
		uring_dmabuf_desc(self->fd, self->disk),
	};
	struct io_uring_regbuf_desc bad;
	uint64_t tag = TAG;
	size_t type, i;

	for (type = 0; type < ARRAY_SIZE(good); type++) {
		if (type != IO_REGBUF_TYPE_DMABUF || self->works)
			EXPECT_EQ(1, update(self, good[type]));
		bad = good[type];
		bad.flags = 1;
		EXPECT_EQ(-EINVAL, update(self, bad));
		for (i = 0; i < ARRAY_SIZE(bad.__resv); i++) {
			bad = good[type];
			bad.__resv[i] = 1ULL << 63;
			EXPECT_EQ(-EINVAL, update(self, bad));
		}
		if (type == IO_REGBUF_TYPE_DMABUF)
			continue;
		bad = good[type];
		bad.dmabuf_fd = self->fd;
		EXPECT_EQ(-EINVAL, update(self, bad));
		bad = good[type];
		bad.target_fd = -1;
		EXPECT_EQ(-EINVAL, update(self, bad));
	}

	bad = good[IO_REGBUF_TYPE_EMPTY];
	bad.type = IO_REGBUF_TYPE_DMABUF + 1;
	EXPECT_EQ(-EINVAL, update(self, bad));
	bad.type = -1;
	EXPECT_EQ(-EINVAL, update(self, bad));
	bad = good[IO_REGBUF_TYPE_EMPTY];
	bad.uaddr = (uintptr_t)self->ram;
	EXPECT_EQ(-EFAULT, update(self, bad));
	bad = good[IO_REGBUF_TYPE_EMPTY];
	bad.size = SIZE;
	EXPECT_EQ(-EFAULT, update(self, bad));
	EXPECT_EQ(-EINVAL, uring_update_descs(&self->ring, 0,
					      &good[IO_REGBUF_TYPE_EMPTY], &tag, 1));

	bad = good[IO_REGBUF_TYPE_UADDR];
	bad.size = 0;
	EXPECT_EQ(-EFAULT, update(self, bad));
	bad = good[IO_REGBUF_TYPE_UADDR];
	bad.uaddr = 0;
	EXPECT_EQ(-EFAULT, update(self, bad));
	/* Only IO_REGBUF_TYPE_EMPTY empties a slot. */
	bad.size = 0;
	EXPECT_EQ(-EFAULT, update(self, bad));
	bad = good[IO_REGBUF_TYPE_UADDR];
	bad.uaddr = -(uint64_t)SIZE;
	EXPECT_GT(0, update(self, bad));

	bad = good[IO_REGBUF_TYPE_DMABUF];
	bad.uaddr = (uintptr_t)self->mem;
	EXPECT_EQ(-EINVAL, update(self, bad));
	bad = good[IO_REGBUF_TYPE_DMABUF];
	bad.size = SIZE;
	EXPECT_EQ(-EINVAL, update(self, bad));
}

TEST_F(uring_dmabuf_refused, slots)
{
	struct ring ring;

	EXPECT_EQ(-EINVAL, uring_update_dmabuf(&self->ring, 2, self->fd, self->disk, 0));
	ASSERT_TRUE(ring_init(&ring, 1, 0));
	EXPECT_EQ(-ENXIO, uring_update_dmabuf(&ring, 0, self->fd, self->disk, 0));
	ring_exit(&ring);
}

TEST_F(uring_dmabuf_refused, files)
{
	const char *disk = p2p_disk("raw");
	int fds[2];

	EXPECT_EQ(-EBADF, with_target(self, -1));
	EXPECT_EQ(-EBADF, with_target(self, open(disk, O_PATH)));
	/* The CPU would copy. */
	EXPECT_EQ(-EOPNOTSUPP, with_target(self, open(disk, O_RDWR)));
	EXPECT_EQ(-EOPNOTSUPP, with_target(self, memfd_create("uring", 0)));
	EXPECT_EQ(-EOPNOTSUPP, with_target(self, open("/dev/zero", O_RDWR)));
	EXPECT_EQ(-EOPNOTSUPP, with_target(self, dup(self->ring.fd)));
	EXPECT_EQ(-EOPNOTSUPP, with_target(self, dup(self->fd)));
	ASSERT_EQ(0, pipe2(fds, O_DIRECT));
	EXPECT_EQ(-EOPNOTSUPP, with_target(self, fds[0]));
	EXPECT_EQ(-EOPNOTSUPP, with_target(self, fds[1]));
	ASSERT_TRUE(loopback_pair(SOCK_STREAM, fds));
	EXPECT_EQ(-EOPNOTSUPP, with_target(self, fds[0]));
	close(fds[1]);
}

/* A block device whose driver accesses the data. */
TEST_F(uring_dmabuf_refused, loop)
{
	struct loop_config config = { .block_size = SECTOR };
	int control = open("/dev/loop-control", O_RDWR), loop;
	char path[32];

	ASSERT_LE(0, control);
	snprintf(path, sizeof(path), "/dev/loop%d", ioctl(control, LOOP_CTL_GET_FREE));
	loop = open(path, O_RDWR | O_DIRECT);
	ASSERT_LE(0, loop);
	config.fd = memfd_create("loop", 0);
	ASSERT_LE(0, config.fd);
	ASSERT_EQ(0, ftruncate(config.fd, SIZE));
	ASSERT_EQ(0, ioctl(loop, LOOP_CONFIGURE, &config));
	EXPECT_EQ(-EREMOTEIO, with_target(self, dup(loop)));
	EXPECT_EQ(0, ioctl(loop, LOOP_CLR_FD));
	close(config.fd);
	close(loop);
	close(control);
}

TEST_F(uring_dmabuf_refused, dmabufs)
{
	int system = open(DMA_HEAPS "system", O_RDWR | O_CLOEXEC), large;

	EXPECT_EQ(-EBADF, with_dmabuf(self, -1));
	EXPECT_EQ(-EINVAL, with_dmabuf(self, dup(self->disk)));
	EXPECT_EQ(-EINVAL, with_dmabuf(self, dup(self->heap)));
	/* RAM, of other exporters. */
	ASSERT_LE(0, system);
	EXPECT_EQ(-EOPNOTSUPP, with_dmabuf(self, heap_alloc(system, SIZE)));
	EXPECT_EQ(-EOPNOTSUPP, with_dmabuf(self, udmabuf_create(SIZE)));
	close(system);

	if (self->total < (long long)LIMIT)
		return;
	large = heap_alloc(self->heap, LIMIT + self->page);
	if (large >= 0)
		EXPECT_EQ(-EINVAL, with_dmabuf(self, large));
}

/* O_DIRECT may be cleared after registration. */
TEST_F(uring_dmabuf_refused, page_cache)
{
	int fd = open(p2p_disk("raw"), O_RDWR | O_DIRECT);

	ASSERT_LE(0, fd);
	EXPECT_EQ(self->works ? 0 : -EREMOTEIO,
		  uring_update_dmabuf(&self->ring, 0, self->fd, fd, 0));
	if (self->works) {
		ASSERT_EQ(0, fcntl(fd, F_SETFL, 0));
		EXPECT_EQ(-EREMOTEIO, uring_read(&self->ring, fd, 0, uring_at(0), SECTOR,
						 0));
	}
	close(fd);
}

TEST_F(uring_dmabuf_refused, nothing)
{
	if (!self->works)
		return;
	ASSERT_EQ(0, uring_update_dmabuf(&self->ring, 0, self->fd, self->disk, 0));
	EXPECT_EQ(-EFAULT, uring_read(&self->ring, self->disk, 0, uring_at(0), 0, 0));
	EXPECT_EQ(-EFAULT, uring_write(&self->ring, self->disk, 0, uring_at(0), 0, 0));
	EXPECT_EQ(-EFAULT, uring_read(&self->ring, self->disk, 0, uring_at(SIZE), 0, 0));
}

TEST_F(uring_dmabuf_refused, send_zc)
{
	struct io_uring_sqe sqe = {
		.opcode = IORING_OP_SEND_ZC,
		.ioprio = IORING_RECVSEND_FIXED_BUF,
		.len = SIZE,
	};
	struct io_uring_cqe cqe, notification;
	int fds[2];
	char c;

	if (!self->works)
		return;
	ASSERT_TRUE(loopback_pair(SOCK_STREAM, fds));
	ASSERT_EQ(0, uring_update_dmabuf(&self->ring, 0, self->fd, self->disk, 0));
	sqe.fd = fds[0];
	ASSERT_EQ(0, ring_do(&self->ring, &sqe, &cqe));
	EXPECT_EQ(-EFAULT, cqe.res);
	if (cqe.flags & IORING_CQE_F_MORE)
		ring_wait(&self->ring, &notification);
	EXPECT_EQ(-EAGAIN, p2p_result(recv(fds[1], &c, 1, MSG_DONTWAIT)));
	close(fds[0]);
	close(fds[1]);
}

TEST_F(uring_dmabuf_refused, nvme_command)
{
	struct uring_nvme nvme;
	struct io_uring_sqe sqe[2];
	struct io_uring_cqe cqe;
	struct ring ring;

	if (!self->works)
		return;
	ASSERT_TRUE(uring_nvme_open(&nvme, p2p_disk("raw")));
	ASSERT_TRUE(ring_init(&ring, 1, IORING_SETUP_SQE128 | IORING_SETUP_CQE32));
	ASSERT_EQ(0, uring_register_empty(&ring, 1));
	EXPECT_EQ(-EOPNOTSUPP, uring_update_dmabuf(&ring, 0, self->fd, nvme.chr, 0));
	ASSERT_EQ(0, uring_update_dmabuf(&ring, 0, self->fd, self->disk, 0));
	uring_nvme_request(&nvme, sqe, NVME_READ, uring_at(0), SECTOR, 0);
	ASSERT_EQ(0, ring_do(&ring, sqe, &cqe));
	EXPECT_EQ(-EFAULT, cqe.res);
	ring_exit(&ring);
	close(nvme.chr);
}

TEST_HARNESS_MAIN
