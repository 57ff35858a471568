// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that can't be registered with an io_uring, and invalid uses of a
 * registered buffer in peer-to-peer memory: with which error, and without
 * changing the memory.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/syscall.h>

#include "loopback.h"
#include "mapping.h"
#include "uring_buf.h"

/* A copy by the CPU would go through the kernel's own mapping of the memory. */
static void refused(struct __test_metadata *_metadata,
		    struct _test_data_mapping *self, int fd)
{
	struct ring ring;

	ASSERT_LE(0, fd);
	ASSERT_TRUE(ring_init(&ring, 4, 0));
	ASSERT_EQ(0, uring_register(&ring, self->mem, self->size));
	EXPECT_EQ(-EREMOTEIO, uring_read(&ring, fd, 0, self->mem, self->page, 0));
	EXPECT_EQ(-EREMOTEIO, uring_write(&ring, fd, 0, self->mem, self->page, 0));
	EXPECT_TRUE(p2p_intact(self));
	ring_exit(&ring);
	close(fd);
}

TEST_F(mapping, page_cache)
{
	refused(_metadata, self, open(p2p_disk("raw"), O_RDWR));
}

TEST_F(mapping, memfd)
{
	int fd = memfd_create("uring", 0);

	ASSERT_EQ(0, ftruncate(fd, self->size));
	refused(_metadata, self, fd);
}

TEST_F(mapping, character_device)
{
	refused(_metadata, self, open("/dev/zero", O_RDWR));
}

/* A pipe in packet mode has O_DIRECT set, but copies. */
TEST_F(mapping, pipe)
{
	int fds[2];
	struct ring ring;

	ASSERT_EQ(0, pipe2(fds, O_DIRECT));
	ASSERT_TRUE(ring_init(&ring, 4, 0));
	ASSERT_EQ(0, uring_register(&ring, self->mem, self->size));
	EXPECT_EQ(-EREMOTEIO, uring_write(&ring, fds[1], 0, self->mem, self->page, -1));
	ASSERT_EQ(1, write(fds[1], "", 1));
	EXPECT_EQ(-EREMOTEIO, uring_read(&ring, fds[0], 0, self->mem, self->page, -1));
	EXPECT_TRUE(p2p_intact(self));
	ring_exit(&ring);
	close(fds[0]);
	close(fds[1]);
}

TEST_F(mapping, socket)
{
	static const int type[] = { SOCK_STREAM, SOCK_DGRAM };
	char *ram = p2p_ram(self->page), c;
	struct ring ring;
	int fds[2];
	size_t i;

	ASSERT_NE(MAP_FAILED, ram);
	ASSERT_TRUE(ring_init(&ring, 4, 0));
	ASSERT_EQ(0, uring_register(&ring, self->mem, self->size));
	for (i = 0; i < ARRAY_SIZE(type); i++) {
		ASSERT_TRUE(loopback_pair(type[i], fds));
		EXPECT_EQ(-EREMOTEIO, uring_write(&ring, fds[0], 0, self->mem,
						  self->page, -1));
		EXPECT_ERRNO(EAGAIN, recv(fds[1], &c, 1, MSG_DONTWAIT));
		ASSERT_EQ(self->page, send(fds[0], ram, self->page, 0));
		EXPECT_EQ(-EREMOTEIO, uring_read(&ring, fds[1], 0, self->mem,
						 self->page, -1));
		/* The data is still there to be received. */
		EXPECT_EQ(1, recv(fds[1], &c, 1, 0));
		close(fds[0]);
		close(fds[1]);
	}
	EXPECT_TRUE(p2p_intact(self));
	ring_exit(&ring);
}

/*
 * There may be a second completion, which notifies that the buffer is no longer
 * used.
 */
static int send_zc(struct ring *ring, int fd, void *mem, size_t len)
{
	struct io_uring_sqe sqe = {
		.opcode = IORING_OP_SEND_ZC,
		.ioprio = IORING_RECVSEND_FIXED_BUF,
		.fd = fd,
		.addr = (uintptr_t)mem,
		.len = len,
	};
	struct io_uring_cqe cqe, notification;
	int ret = ring_do(ring, &sqe, &cqe);

	if (ret)
		return ret;
	if (cqe.flags & IORING_CQE_F_MORE)
		ring_wait(ring, &notification);
	return cqe.res;
}

TEST_F(mapping, send_zc)
{
	char *ram = p2p_ram(self->page), c;
	struct ring ring;
	int fds[2];

	ASSERT_NE(MAP_FAILED, ram);
	ASSERT_TRUE(loopback_pair(SOCK_STREAM, fds));
	ASSERT_TRUE(ring_init(&ring, 4, 0));
	ASSERT_EQ(0, uring_register(&ring, self->mem, self->size));
	EXPECT_EQ(-EREMOTEIO, send_zc(&ring, fds[0], self->mem, self->page));
	EXPECT_ERRNO(EAGAIN, recv(fds[1], &c, 1, MSG_DONTWAIT));
	EXPECT_EQ(0, uring_unregister(&ring));
	/* The socket supports zero copy for RAM. */
	ASSERT_EQ(0, uring_register(&ring, ram, self->page));
	EXPECT_EQ(self->page, send_zc(&ring, fds[0], ram, self->page));
	EXPECT_TRUE(p2p_intact(self));
	ring_exit(&ring);
	close(fds[0]);
	close(fds[1]);
}

static int register_once(void *mem, size_t len)
{
	struct ring ring;
	int ret;

	if (!ring_init(&ring, 1, 0))
		return -EBADF;
	ret = uring_register(&ring, mem, len);
	ring_exit(&ring);
	return ret;
}

/* A buffer must have one kind of memory, from one mmap() call. */
TEST_F(mapping, several_mappings)
{
	const size_t size = 4 * self->page;
	char *at = mmap(NULL, 5 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = p2p_open(self->provider, O_RDWR);

	ASSERT_NE(MAP_FAILED, at);
	ASSERT_LE(0, fd);
	ASSERT_EQ(at, mmap(at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			   fd, 0));
	ASSERT_EQ(at + size, mmap(at + size, size, PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_FIXED, fd, 0));
	ASSERT_EQ(at + 2 * size, mmap(at + 2 * size, size, PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	EXPECT_EQ(0, register_once(at, size));
	EXPECT_EQ(0, register_once(at + size, size));
	EXPECT_EQ(-EINVAL, register_once(at, 2 * size));
	EXPECT_EQ(-EINVAL, register_once(at + size, 2 * size));
	/*
	 * RAM first: the following peer-to-peer memory is refused as by any
	 * user of RAM.
	 */
	ASSERT_EQ(at + 3 * size, mremap(at, size, size, MREMAP_MAYMOVE | MREMAP_FIXED,
					at + 3 * size));
	EXPECT_GT(0, register_once(at + 2 * size, 2 * size));
	/* Nothing is mapped there. */
	ASSERT_EQ(0, munmap(at + 4 * size, size));
	EXPECT_EQ(-EFAULT, register_once(at + 3 * size, 2 * size));
	EXPECT_EQ(0, munmap(at, 4 * size));
	close(fd);
}

/* mremap() has changed the order of the pages. */
TEST_F(mapping, rearranged)
{
	const size_t half = self->size / 2;
	char *at = mmap(NULL, 2 * half, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, at);
	ASSERT_EQ(at, mremap(self->mem + half, half, half,
			     MREMAP_MAYMOVE | MREMAP_FIXED, at));
	ASSERT_EQ(at + half, mremap(self->mem, half, half,
				    MREMAP_MAYMOVE | MREMAP_FIXED, at + half));
	EXPECT_EQ(0, register_once(at, half));
	EXPECT_EQ(0, register_once(at + half, half));
	EXPECT_EQ(-EINVAL, register_once(at, 2 * half));
	EXPECT_EQ(0, munmap(at, 2 * half));
}

/* As for RAM, all of it must be mapped writable. */
TEST_F(mapping, read_only)
{
	EXPECT_EQ(0, mprotect(self->mem + self->page, self->page, PROT_READ));
	EXPECT_EQ(0, register_once(self->mem, self->page));
	EXPECT_EQ(-EFAULT, register_once(self->mem, self->size));
	EXPECT_EQ(-EFAULT, register_once(self->mem + self->page, self->page));
	EXPECT_EQ(0, mprotect(self->mem + self->page, self->page,
			      PROT_READ | PROT_WRITE));
	EXPECT_EQ(0, register_once(self->mem, self->size));
	EXPECT_TRUE(p2p_intact(self));
}

TEST_HARNESS_MAIN
