// SPDX-License-Identifier: GPL-2.0
/*
 * Users of a mapping's pages that are refused: with which error, and without
 * changing the memory.
 */
#define _GNU_SOURCE
#include <lib/test_hmm_uapi.h>
#include <linux/futex.h>
#include <linux/if_xdp.h>
#include <linux/io_uring.h>
#include <linux/tcp.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "mapping.h"
#include "loopback.h"

#ifndef SO_ZEROCOPY
#define SO_ZEROCOPY	60
#endif
#ifndef MSG_ZEROCOPY
#define MSG_ZEROCOPY	0x4000000
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA		0x53564d41
#define PR_SET_VMA_ANON_NAME	0
#endif

/*
 * The key of a shared futex would be the page. A private one has none: see
 * copy.c
 */
TEST_F(mapping, futex_shared)
{
	uint32_t *word = (uint32_t *)self->mem;

	EXPECT_ERRNO(EREMOTEIO, syscall(__NR_futex, word, FUTEX_WAIT, *word + 1,
					NULL, NULL, 0));
	EXPECT_ERRNO(EREMOTEIO, syscall(__NR_futex, word, FUTEX_WAKE, 1,
					NULL, NULL, 0));
	EXPECT_TRUE(p2p_intact(self));
}

/* Without the flag a copy is sent: see copy.c */
TEST_F(mapping, msg_zerocopy)
{
	static const int type[] = { SOCK_STREAM, SOCK_DGRAM };
	char *ram = p2p_ram(self->page);
	int fds[2], one = 1;
	size_t i;
	char c;

	ASSERT_NE(MAP_FAILED, ram);
	for (i = 0; i < ARRAY_SIZE(type); i++) {
		ASSERT_TRUE(loopback_pair(type[i], fds));
		ASSERT_EQ(0, setsockopt(fds[0], SOL_SOCKET, SO_ZEROCOPY, &one,
					sizeof(one)));
		EXPECT_ERRNO(EFAULT, send(fds[0], self->mem, self->page,
					  MSG_ZEROCOPY));
		EXPECT_ERRNO(EAGAIN, recv(fds[1], &c, 1, MSG_DONTWAIT));
		EXPECT_EQ(self->page, send(fds[0], ram, self->page,
					   MSG_ZEROCOPY));
		EXPECT_EQ(1, recv(fds[1], &c, 1, 0));
		close(fds[0]);
		close(fds[1]);
	}
	EXPECT_TRUE(p2p_intact(self));
}

/* This maps pages of the socket, so only into a mapping of the socket. */
TEST_F(mapping, tcp_zerocopy_receive)
{
	struct tcp_zerocopy_receive zc = {
		.address = (uintptr_t)self->mem,
		.length = self->page,
	};
	socklen_t len = sizeof(zc);
	int fds[2];

	ASSERT_TRUE(loopback_pair(SOCK_STREAM, fds));
	ASSERT_EQ(self->page, send(fds[0], self->mem, self->page, 0));
	/* The data may take a while to arrive. */
	ASSERT_EQ(1, poll(&(struct pollfd){ .fd = fds[1], .events = POLLIN }, 1, 10000));
	EXPECT_ERRNO(EINVAL, getsockopt(fds[1], IPPROTO_TCP,
					TCP_ZEROCOPY_RECEIVE, &zc, &len));
	EXPECT_TRUE(p2p_intact(self));
	close(fds[0]);
	close(fds[1]);
}

TEST_F(mapping, xdp_umem)
{
	struct xdp_umem_reg umem = {
		.addr = (uintptr_t)self->mem,
		.len = self->size,
		.chunk_size = self->page,
	};
	int fd = socket(AF_XDP, SOCK_RAW, 0);
	void *ram = p2p_ram(self->size);

	if (fd < 0)
		SKIP(return, WITHOUT "XDP_SOCKETS");
	EXPECT_ERRNO(EREMOTEIO, setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &umem,
					   sizeof(umem)));
	umem.addr = (uintptr_t)ram;
	EXPECT_EQ(0, setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &umem,
				sizeof(umem)));
	close(fd);
	EXPECT_TRUE(p2p_intact(self));
}

/* The kernel would keep reading the ring's entries from it. */
TEST_F(mapping, io_uring_buffer_ring)
{
	struct io_uring_buf_reg reg = {
		.ring_addr = (uintptr_t)self->mem,
		.ring_entries = self->page / sizeof(struct io_uring_buf),
	};
	struct io_uring_params params = {};
	int ring = syscall(__NR_io_uring_setup, 1, &params);

	if (ring < 0)
		SKIP(return, WITHOUT "IO_URING");
	EXPECT_ERRNO(EREMOTEIO, syscall(__NR_io_uring_register, ring,
					IORING_REGISTER_PBUF_RING, &reg, 1));
	EXPECT_TRUE(p2p_intact(self));
	close(ring);
}

TEST_F(mapping, userfaultfd)
{
	static const uint64_t mode[] = {
		UFFDIO_REGISTER_MODE_MISSING, UFFDIO_REGISTER_MODE_WP,
		UFFDIO_REGISTER_MODE_MINOR,
	};
	struct uffdio_range range = { (uintptr_t)self->mem, self->size };
	struct uffdio_writeprotect wp = {
		.range = range,
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};
	struct uffdio_zeropage zero = { .range = range };
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_copy copy = {
		.dst = range.start,
		.len = self->size,
	};
	struct uffdio_register reg;
	int fd = syscall(__NR_userfaultfd, O_CLOEXEC);
	size_t i;

	if (fd < 0)
		SKIP(return, WITHOUT "USERFAULTFD");
	copy.src = (uintptr_t)p2p_ram(self->size);
	ASSERT_EQ(0, ioctl(fd, UFFDIO_API, &api));
	for (i = 0; i < ARRAY_SIZE(mode); i++) {
		reg.range = range;
		reg.mode = mode[i];
		EXPECT_ERRNO(EINVAL, ioctl(fd, UFFDIO_REGISTER, &reg));
	}
	/* Neither do they work on an unregistered range. */
	EXPECT_ERRNO(ENOENT, ioctl(fd, UFFDIO_COPY, &copy));
	EXPECT_ERRNO(ENOENT, ioctl(fd, UFFDIO_ZEROPAGE, &zero));
	EXPECT_ERRNO(ENOENT, ioctl(fd, UFFDIO_WRITEPROTECT, &wp));
	EXPECT_TRUE(p2p_intact(self));
	close(fd);
}

/* A driver that mirrors page tables must not bypass the refusal. */
TEST_F(mapping, hmm)
{
	struct hmm_dmirror_cmd cmd = {
		.addr = (uintptr_t)self->mem,
		.npages = 1,
	};
	int fd = open("/dev/hmm_dmirror0", O_RDWR);
	char *ram = p2p_ram(self->page);
	unsigned char state = 0;
	char *data;

	if (fd < 0)
		SKIP(return, WITHOUT "TEST_HMM");
	data = p2p_ram(self->page);
	p2p_set(ram, self->page, 5);
	p2p_set(data, self->page, 6);
	cmd.ptr = (uintptr_t)data;
	EXPECT_ERRNO(EFAULT, ioctl(fd, HMM_DMIRROR_READ, &cmd));
	EXPECT_ERRNO(EFAULT, ioctl(fd, HMM_DMIRROR_WRITE, &cmd));
	EXPECT_EQ(-1, p2p_not_set(data, self->page, 6));
	cmd.ptr = (uintptr_t)&state;
	EXPECT_EQ(0, ioctl(fd, HMM_DMIRROR_SNAPSHOT, &cmd));
	EXPECT_EQ(HMM_DMIRROR_PROT_ERROR, state);

	/* mirroring RAM still works */
	cmd.addr = (uintptr_t)ram;
	cmd.ptr = (uintptr_t)data;
	EXPECT_EQ(0, ioctl(fd, HMM_DMIRROR_READ, &cmd));
	EXPECT_EQ(-1, p2p_not_set(data, self->page, 5));
	EXPECT_TRUE(p2p_intact(self));
	close(fd);
}

TEST_F(mapping, vma_name)
{
	void *ram = p2p_ram(self->page);

	if (prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, ram, self->page, "ram"))
		SKIP(return, WITHOUT "ANON_VMA_NAME");
	EXPECT_ERRNO(EBADF, prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, self->mem,
				  self->size, "p2p"));
	EXPECT_TRUE(p2p_intact(self));
}

/* Nothing is written back. */
TEST_F(mapping, msync)
{
	EXPECT_ERRNO(EINVAL, msync(self->mem, self->size, MS_SYNC));
	EXPECT_EQ(0, msync(self->mem, self->size, MS_ASYNC));
	EXPECT_EQ(0, msync(self->mem, self->size, MS_INVALIDATE));
	EXPECT_TRUE(p2p_intact(self));
}

/* A buffer stays contiguous and in order. */
TEST_F(mapping, remap_file_pages)
{
	EXPECT_ERRNO(ENODEV, syscall(__NR_remap_file_pages, self->mem,
				     self->page, 0, 1, 0));
	EXPECT_TRUE(p2p_intact(self));
}

TEST_F(mapping, mremap_dontunmap)
{
	EXPECT_ERRNO(EINVAL, mremap(self->mem, self->size, self->size,
				    MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL));
	/* An old size of 0 would create a second mapping. */
	EXPECT_ERRNO(EFAULT, mremap(self->mem, 0, self->size, MREMAP_MAYMOVE));
	EXPECT_EQ(self->before - self->size, p2p_available(self->provider));
	EXPECT_TRUE(p2p_intact(self));
}

/* MAP_SYNC needs DAX. */
TEST_F(mapping, map_sync)
{
	int fd = p2p_open(self->provider, O_RDWR);

	ASSERT_LE(0, fd);
	EXPECT_ERRNO(EOPNOTSUPP, mmap(NULL, self->page, PROT_READ | PROT_WRITE,
				      MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0));
	close(fd);
	EXPECT_EQ(self->before - self->size, p2p_available(self->provider));
}

TEST_HARNESS_MAIN
