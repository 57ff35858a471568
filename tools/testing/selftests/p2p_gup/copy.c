// SPDX-License-Identifier: GPL-2.0
/*
 * Peer-to-peer memory as the buffer of system calls that accept any memory and
 * copy to or from it with the CPU.
 */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "mapping.h"
#include "loopback.h"
#include "ring.h"

TEST_F(mapping, file_write_and_read)
{
	char *ram = p2p_ram(self->size);
	int fd = memfd_create("p2p", 0);

	ASSERT_NE(MAP_FAILED, ram);
	ASSERT_LE(0, fd);
	EXPECT_EQ(self->size, write(fd, self->mem, self->size));
	EXPECT_EQ(self->size, pread(fd, ram, self->size, 0));
	EXPECT_EQ(-1, p2p_differs(ram, self->size, SEED, 0));

	p2p_fill(ram, self->size, SEED + 1, 0);
	EXPECT_EQ(self->size, pwrite(fd, ram, self->size, 0));
	/* not yet mapped: the copy has to fault */
	ASSERT_EQ(0, madvise(self->mem, self->size, MADV_DONTNEED));
	EXPECT_EQ(self->size, pread(fd, self->mem, self->size, 0));
	EXPECT_EQ(-1, p2p_differs(self->mem, self->size, SEED + 1, 0));
	close(fd);
}

/* Through the page cache of a drive, whether or not it reaches the provider. */
TEST_F(mapping, page_cache)
{
	const char *disk = p2p_disk("raw");
	char *ram = p2p_ram(self->size);
	int fd, direct;

	if (!disk)
		SKIP(return, "P2P_DISK_RAW is not set");
	fd = open(disk, O_RDONLY);
	direct = open(disk, O_RDONLY | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_LE(0, direct);
	EXPECT_EQ(self->size, pread(direct, ram, self->size, MIB));
	EXPECT_EQ(self->size, pread(fd, self->mem, self->size, MIB));
	EXPECT_EQ(-1, p2p_unlike(self->mem, ram, self->size));
	close(fd);
	close(direct);
}

/* One request, part RAM, part peer-to-peer memory. */
TEST_F(mapping, vectors)
{
	char *ram = p2p_ram(self->size);
	struct iovec vec[] = {
		{ ram, self->page },
		{ self->mem, self->page },
		{ ram + self->page, 100 },
	};
	size_t len = 2 * self->page + 100;
	int fd = memfd_create("p2p", 0);
	char *all = p2p_ram(self->size);

	ASSERT_LE(0, fd);
	p2p_fill(ram, self->size, SEED + 1, 0);
	EXPECT_EQ(len, writev(fd, vec, 3));
	EXPECT_EQ(len, pread(fd, all, len, 0));
	EXPECT_EQ(0, memcmp(all, ram, self->page));
	EXPECT_EQ(0, memcmp(all + self->page, self->mem, self->page));
	EXPECT_EQ(0, memcmp(all + 2 * self->page, ram + self->page, 100));

	p2p_fill(all, self->size, SEED + 2, 0);
	EXPECT_EQ(len, pwrite(fd, all, len, 0));
	EXPECT_EQ(len, preadv(fd, vec, 3, 0));
	EXPECT_EQ(0, memcmp(all + self->page, self->mem, self->page));
	close(fd);
}

TEST_F(mapping, pipe)
{
	char *half = self->mem + self->size / 2;
	struct iovec vec = { half, self->page };
	int fds[2];

	ASSERT_EQ(0, pipe(fds));
	p2p_set(half, self->size / 2, 0);
	EXPECT_EQ(self->page, write(fds[1], self->mem, self->page));
	EXPECT_EQ(self->page, read(fds[0], half, self->page));
	EXPECT_EQ(-1, p2p_differs(half, self->page, SEED, 0));

	/* vmsplice() out of a pipe copies. */
	p2p_set(half, self->size / 2, 0);
	EXPECT_EQ(self->page, write(fds[1], self->mem, self->page));
	EXPECT_EQ(self->page, vmsplice(fds[0], &vec, 1, 0));
	EXPECT_EQ(-1, p2p_differs(half, self->page, SEED, 0));
	close(fds[0]);
	close(fds[1]);
}

TEST_F(mapping, socket)
{
	static const int type[] = { SOCK_STREAM, SOCK_DGRAM };
	char *half = self->mem + self->size / 2;
	int fds[2];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(type); i++) {
		ASSERT_TRUE(loopback_pair(type[i], fds));
		p2p_set(half, self->size / 2, 0);
		EXPECT_EQ(self->page, send(fds[0], self->mem, self->page, 0));
		EXPECT_EQ(self->page, recv(fds[1], half, self->page,
					   MSG_WAITALL));
		EXPECT_EQ(-1, p2p_differs(half, self->page, SEED, 0));
		close(fds[0]);
		close(fds[1]);
	}
}

/* System calls that write or read their arguments through a pointer. */
TEST_F(mapping, arguments)
{
	struct timespec *delay = (struct timespec *)self->mem;
	int *fds = (int *)(self->mem + self->page);

	p2p_set(self->mem, self->page, 0);
	p2p_store(&delay->tv_nsec, 1);
	EXPECT_EQ(0, nanosleep(delay, NULL));
	EXPECT_EQ(0, pipe(fds));
	EXPECT_EQ(0, close(fds[0]));
	EXPECT_EQ(0, close(fds[1]));
	memcpy(self->mem, "/dev/null", 10);
	EXPECT_EQ(0, access(self->mem, F_OK));
}

static long futex(void *word, int op, uint32_t val, void *timeout)
{
	return syscall(__NR_futex, word, op | FUTEX_PRIVATE_FLAG, val, timeout,
		       NULL, 0);
}

static void *wait_for_it(void *data)
{
	uint32_t *word = data;

	while (!__atomic_load_n(word, __ATOMIC_ACQUIRE))
		futex(word, FUTEX_WAIT, 0, NULL);
	return NULL;
}

/* A private futex needs no page, unlike a shared one. */
TEST_F(mapping, futex_private)
{
	struct timespec ms = { .tv_nsec = 1000000 };
	uint32_t *word = (uint32_t *)self->mem;
	pthread_t thread;

	p2p_set(self->mem, self->page, 0);
	EXPECT_ERRNO(EAGAIN, futex(word, FUTEX_WAIT, 1, NULL));
	EXPECT_ERRNO(ETIMEDOUT, futex(word, FUTEX_WAIT, 0, &ms));
	ASSERT_EQ(0, pthread_create(&thread, NULL, wait_for_it, word));
	usleep(1000);
	__atomic_store_n(word, 1, __ATOMIC_RELEASE);
	EXPECT_LE(0, futex(word, FUTEX_WAKE, 1, NULL));
	EXPECT_EQ(0, pthread_join(thread, NULL));
}

/* Peer-to-peer memory as the source of UFFDIO_COPY; the destination is RAM. */
TEST_F(mapping, userfaultfd_source)
{
	struct uffdio_api api = { .api = UFFD_API };
	char *ram = p2p_ram(self->page);
	struct uffdio_register reg = {
		.range = { (uintptr_t)ram, self->page },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	struct uffdio_copy copy = {
		.dst = (uintptr_t)ram,
		.src = (uintptr_t)self->mem,
		.len = self->page,
	};
	int fd = syscall(__NR_userfaultfd, O_CLOEXEC);

	if (fd < 0)
		SKIP(return, WITHOUT "USERFAULTFD");
	ASSERT_EQ(0, ioctl(fd, UFFDIO_API, &api));
	ASSERT_EQ(0, ioctl(fd, UFFDIO_REGISTER, &reg));
	EXPECT_EQ(0, ioctl(fd, UFFDIO_COPY, &copy));
	EXPECT_EQ(-1, p2p_differs(ram, self->page, SEED, 0));
	close(fd);
}

/* io_uring picks the buffer, and copies as for any other read. */
TEST_F(mapping, io_uring_provided_buffer)
{
	char *ram = p2p_ram(self->page);
	int fd = memfd_create("p2p", 0);
	struct io_uring_sqe provide = {
		.opcode = IORING_OP_PROVIDE_BUFFERS,
		.fd = 1,
		.addr = (uintptr_t)self->mem,
		.len = self->page,
		.buf_group = 7,
		.off = 3,
	};
	struct io_uring_sqe read = {
		.opcode = IORING_OP_READ,
		.flags = IOSQE_BUFFER_SELECT,
		.fd = fd,
		.len = self->page,
		.buf_group = 7,
	};
	struct io_uring_cqe cqe;
	struct ring ring;

	if (!ring_init(&ring, 1, 0))
		SKIP(return, WITHOUT "IO_URING");
	p2p_fill(ram, self->page, SEED + 1, 0);
	ASSERT_EQ(self->page, write(fd, ram, self->page));

	ASSERT_EQ(0, ring_do(&ring, &provide, &cqe));
	EXPECT_EQ(0, cqe.res);

	ASSERT_EQ(0, ring_do(&ring, &read, &cqe));
	EXPECT_EQ(self->page, cqe.res);
	EXPECT_EQ(3, cqe.flags >> IORING_CQE_BUFFER_SHIFT);
	EXPECT_EQ(-1, p2p_differs(self->mem, self->page, SEED + 1, 0));
	ring_exit(&ring);
	close(fd);
}

TEST_HARNESS_MAIN
