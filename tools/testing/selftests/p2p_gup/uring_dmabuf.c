// SPDX-License-Identifier: GPL-2.0
/*
 * dma-bufs of peer-to-peer memory registered with an io_uring, each for the
 * file that requests will read and write, as programs for Linux 7.4 do; and the
 * requests, which pass offsets. Where the drive does not reach the memory,
 * registration fails.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "uring_dmabuf.h"
#include "users.h"
#include "variants.h"

#define SIZE		URING_SIZE
#define WHERE		(120 * MIB)
#define WINDOW		(8 * MIB)
#define POISON		0xdeadbeefcafef00dULL
#define SLOTS		4
#define TAG		4711

FIXTURE(uring_dmabuf)
{
	URING_DMABUF_FIXTURE;
	off_t where;
};

P2P_VARIANTS(uring_dmabuf, NULL, "raw", NULL);

/* The drive has the pattern of seed 1 from WHERE on. */
FIXTURE_SETUP(uring_dmabuf)
{
	if (!heap_there(variant->p2p.provider))
		SKIP(p2p_skip_now(), "no heap: CONFIG_PCI_P2PMEM_DMABUF?");
	ASSERT_TRUE(uring_dmabuf_begin(&self->dmabuf, &variant->p2p, O_RDWR, SIZE));
	ASSERT_TRUE(uring_dmabuf_map(&self->dmabuf, SIZE));

	self->where = WHERE + variant->p2p.index * WINDOW;
	p2p_fill(self->ram, SIZE, 1, self->where);
	ASSERT_EQ(SIZE, pwrite(self->disk, self->ram, SIZE, self->where));
	ASSERT_TRUE(uring_dmabuf_begin_ring(&self->dmabuf, 8, SLOTS));
}

FIXTURE_TEARDOWN(uring_dmabuf)
{
	uring_dmabuf_end(&self->dmabuf);
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

/* Registers in slot 0; false if the drive does not reach the memory. */
static bool registered(struct __test_metadata *_metadata,
		       struct _test_data_uring_dmabuf *self)
{
	EXPECT_EQ(self->works ? 0 : -EREMOTEIO,
		  uring_update_dmabuf(&self->ring, 0, self->fd, self->disk, 0));
	return self->works;
}

static int read_at(struct _test_data_uring_dmabuf *self, size_t at, size_t len)
{
	return uring_read(&self->ring, self->disk, 0, uring_at(at), len, self->where);
}

static int write_at(struct _test_data_uring_dmabuf *self, size_t at, size_t len)
{
	return uring_write(&self->ring, self->disk, 0, uring_at(at), len, self->where);
}

/* Bytes transferred from device to device. */
static long long transferred(struct _test_data_uring_dmabuf *self)
{
	return p2p_number(self->provider, "p2pmem/dma_bus_bytes") +
	       p2p_number(self->provider, "p2pmem/dma_host_bridge_bytes");
}

TEST_F(uring_dmabuf, read)
{
	long long bytes;
	size_t i;

	if (!registered(_metadata, self))
		return;
	for (i = 0; i < URING_NR_PARTS; i++) {
		const struct uring_part *part = &uring_parts[i];
		const size_t at = part->at, len = part->len;
		const size_t before = uring_before(part), after = uring_after(part);
		char *mem = self->mem + at;

		p2p_set(mem - before, before + len + after, POISON);
		bytes = transferred(self);
		EXPECT_EQ(len, read_at(self, at, len));
		EXPECT_EQ(len, transferred(self) - bytes);
		EXPECT_EQ(-1, p2p_differs(mem, len, 1, self->where));
		EXPECT_EQ(-1, p2p_not_set(mem - before, before, POISON));
		EXPECT_EQ(-1, p2p_not_set(mem + len, after, POISON));
	}
}

TEST_F(uring_dmabuf, write)
{
	long long bytes;
	size_t i;

	if (!registered(_metadata, self))
		return;
	for (i = 0; i < URING_NR_PARTS; i++) {
		const size_t at = uring_parts[i].at, len = uring_parts[i].len;

		p2p_fill(self->mem + at, len, 2 + i, self->where);
		bytes = transferred(self);
		EXPECT_EQ(len, write_at(self, at, len));
		EXPECT_EQ(len, transferred(self) - bytes);
		EXPECT_TRUE(p2p_drive_holds(&self->p2p, self->where, len, 2 + i));
	}
}

/*
 * Offsets start at 0, whatever is mapped there, and are checked against the
 * size.
 */
TEST_F(uring_dmabuf, outside)
{
	if (!registered(_metadata, self))
		return;
	p2p_set(self->mem, SIZE, POISON);
	EXPECT_EQ(-EFAULT, read_at(self, SIZE, SECTOR));
	EXPECT_EQ(-EFAULT, read_at(self, SIZE - SECTOR, 2 * SECTOR));
	EXPECT_EQ(-EFAULT, read_at(self, -SECTOR, SECTOR));
	EXPECT_EQ(-EFAULT, read_at(self, -SECTOR, 2 * SECTOR));
	EXPECT_EQ(-EFAULT, read_at(self, (uintptr_t)self->mem, SECTOR));
	/* Alignment is required as for other direct I/O. */
	EXPECT_EQ(-EINVAL, read_at(self, 1, SECTOR));
	EXPECT_EQ(-EINVAL, read_at(self, 0, SECTOR - 8));
	EXPECT_EQ(-1, p2p_not_set(self->mem, SIZE, POISON));
}

/* It was registered for an open file, not for its contents. */
TEST_F(uring_dmabuf, other_file)
{
	int other = open(p2p_disk("raw"), O_RDWR | O_DIRECT), same = dup(self->disk);

	ASSERT_LE(0, other);
	ASSERT_LE(0, same);
	if (registered(_metadata, self)) {
		p2p_set(self->mem, SIZE, POISON);
		EXPECT_EQ(-EBADF, uring_read(&self->ring, other, 0, uring_at(0), SECTOR,
					     self->where));
		EXPECT_EQ(-EBADF, uring_write(&self->ring, other, 0, uring_at(0), SECTOR,
					      self->where));
		EXPECT_EQ(-1, p2p_not_set(self->mem, SIZE, POISON));
		EXPECT_TRUE(p2p_drive_holds(&self->p2p, self->where, SECTOR, 1));
		EXPECT_EQ(SECTOR, uring_read(&self->ring, same, 0, uring_at(0), SECTOR,
					     self->where));
		EXPECT_EQ(-1, p2p_differs(self->mem, SECTOR, 1, self->where));
	}
	close(other);
	close(same);
}

/* A fixed file of the ring is the same file as the registered one. */
TEST_F(uring_dmabuf, fixed_file)
{
	struct io_uring_sqe sqe = uring_request(IORING_OP_READ_FIXED, 0, 0,
						uring_at(MIB), MIB, self->where);
	struct io_uring_cqe cqe;

	if (!registered(_metadata, self))
		return;
	ASSERT_EQ(0, syscall(__NR_io_uring_register, self->ring.fd,
			     IORING_REGISTER_FILES, &self->disk, 1));
	sqe.flags = IOSQE_FIXED_FILE;
	ASSERT_EQ(0, ring_do(&self->ring, &sqe, &cqe));
	EXPECT_EQ(MIB, cqe.res);
	EXPECT_EQ(-1, p2p_differs(self->mem + MIB, MIB, 1, self->where));
}

/* The slot depends neither on the file descriptors nor on a mapping. */
TEST_F(uring_dmabuf, closed)
{
	int target = open(p2p_disk("raw"), O_RDWR | O_DIRECT), same = dup(target);

	ASSERT_LE(0, target);
	ASSERT_LE(0, same);
	p2p_fill(self->mem, MIB, 2, self->where);
	EXPECT_EQ(self->works ? 0 : -EREMOTEIO,
		  uring_update_dmabuf(&self->ring, 0, self->fd, target, 0));
	close(target);
	close(self->fd);
	ASSERT_EQ(0, munmap(self->mem, SIZE));
	self->mem = NULL;
	if (self->works) {
		EXPECT_EQ(self->before - (long long)SIZE, p2p_available(self->provider));
		EXPECT_EQ(MIB, uring_write(&self->ring, same, 0, uring_at(0), MIB,
					   self->where));
		EXPECT_TRUE(p2p_drive_holds(&self->p2p, self->where, MIB, 2));
	}
	close(same);
	EXPECT_EQ(0, uring_unregister(&self->ring));
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

/* Reading from the drive needs write access to the memory. */
TEST_F(uring_dmabuf, rights)
{
	int reader = heap_export(self->heap, self->mem, O_RDONLY, NULL, NULL);
	int writer = heap_export(self->heap, self->mem, O_WRONLY, NULL, NULL);

	ASSERT_LE(0, reader);
	ASSERT_LE(0, writer);
	if (self->works) {
		p2p_fill(self->mem, SIZE, 2, self->where);
		ASSERT_EQ(0, uring_update_dmabuf(&self->ring, 0, reader, self->disk, 0));
		EXPECT_EQ(-EACCES, read_at(self, 0, SECTOR));
		EXPECT_EQ(-1, p2p_differs(self->mem, SIZE, 2, self->where));
		EXPECT_EQ(SECTOR, write_at(self, 0, SECTOR));
		EXPECT_TRUE(p2p_drive_holds(&self->p2p, self->where, SECTOR, 2));

		p2p_fill(self->mem, SIZE, 3, self->where);
		ASSERT_EQ(0, uring_update_dmabuf(&self->ring, 0, writer, self->disk, 0));
		EXPECT_EQ(-EACCES, write_at(self, 0, SECTOR));
		EXPECT_TRUE(p2p_drive_holds(&self->p2p, self->where, SECTOR, 2));
		EXPECT_EQ(SECTOR, read_at(self, 0, SECTOR));
		EXPECT_EQ(-1, p2p_differs(self->mem, SECTOR, 2, self->where));
	}
	close(reader);
	close(writer);
}

/*
 * Memory of p2pmem/allocate, by its address in one slot, as a dma-buf in
 * another.
 */
TEST_F(uring_dmabuf, exported)
{
	char *mem = p2p_map(self->provider, MIB);
	uint64_t offset;
	int fd;

	ASSERT_NE(MAP_FAILED, mem);
	fd = heap_export(self->heap, mem + 64 * KIB, O_RDWR, &offset, NULL);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, uring_update(&self->ring, 1, mem, MIB, 0));
	EXPECT_EQ(self->works ? 0 : -EREMOTEIO,
		  uring_update_dmabuf(&self->ring, 0, fd, self->disk, 0));
	close(fd);
	if (self->works) {
		p2p_set(mem, MIB, POISON);
		EXPECT_EQ(SECTOR, read_at(self, offset, SECTOR));
		EXPECT_EQ(-1, p2p_differs(mem + 64 * KIB, SECTOR, 1, self->where));
		EXPECT_EQ(-1, p2p_not_set(mem, 64 * KIB, POISON));
		EXPECT_EQ(SECTOR, uring_write(&self->ring, self->disk, 1,
					      mem + 64 * KIB, SECTOR, self->where));
		EXPECT_TRUE(p2p_drive_holds(&self->p2p, self->where, SECTOR, 1));
	}
	EXPECT_EQ(0, munmap(mem, MIB));
}

/* The memory is untouched; old data in it must not be exposed. */
TEST_F(uring_dmabuf, cleared)
{
	p2p_fill(self->mem, SIZE, 2, self->where);
	ASSERT_EQ(0, munmap(self->mem, SIZE));
	self->mem = NULL;
	close(self->fd);
	ASSERT_TRUE(p2p_settles(self->provider, self->before));
	self->fd = heap_alloc(self->heap, SIZE);
	ASSERT_LE(0, self->fd);
	if (!registered(_metadata, self))
		return;
	EXPECT_EQ(SIZE, write_at(self, 0, SIZE));
	ASSERT_EQ(SIZE, pread(self->disk, self->ram, SIZE, self->where));
	EXPECT_EQ(-1, p2p_not_set(self->ram, SIZE, 0));
}

/*
 * Replaces buffers, several at a time; a tag is posted when its buffer is
 * released.
 */
TEST_F(uring_dmabuf, update)
{
	struct io_uring_regbuf_desc descs[3] = {
		uring_dmabuf_desc(self->fd, self->disk),
		{ .type = IO_REGBUF_TYPE_UADDR, .uaddr = (uintptr_t)self->ram,
		  .size = SIZE },
		{ .type = IO_REGBUF_TYPE_EMPTY },
	};
	uint64_t tags[3] = { TAG, TAG + 1, 0 };
	struct io_uring_cqe cqe;
	int other;

	if (!registered(_metadata, self))
		return;
	other = heap_alloc(self->heap, MIB);
	ASSERT_LE(0, other);
	EXPECT_EQ(3, uring_update_descs(&self->ring, 1, descs, tags, 3));
	EXPECT_EQ(MIB, uring_read(&self->ring, self->disk, 1, uring_at(0), MIB,
				  self->where));
	p2p_set(self->ram, SIZE, POISON);
	EXPECT_EQ(MIB, uring_read(&self->ring, self->disk, 2, self->ram, MIB,
				  self->where));
	EXPECT_EQ(-1, p2p_differs(self->ram, MIB, 1, self->where));
	EXPECT_EQ(-EFAULT, uring_read(&self->ring, self->disk, 3, uring_at(0), SECTOR,
				      self->where));

	/* Replaces a dma-buf by another one, by RAM, and by nothing. */
	ASSERT_EQ(0, uring_update_dmabuf(&self->ring, 1, other, self->disk, TAG + 2));
	ring_wait(&self->ring, &cqe);
	EXPECT_EQ(TAG, cqe.user_data);
	EXPECT_EQ(-EFAULT, uring_read(&self->ring, self->disk, 1, uring_at(MIB), SECTOR,
				      self->where));
	ASSERT_EQ(0, uring_update(&self->ring, 1, self->ram, MIB, 0));
	ring_wait(&self->ring, &cqe);
	EXPECT_EQ(TAG + 2, cqe.user_data);
	EXPECT_EQ(MIB, uring_read(&self->ring, self->disk, 1, self->ram, MIB,
				  self->where));
	ASSERT_EQ(0, uring_update_dmabuf(&self->ring, 1, other, self->disk, TAG + 3));
	EXPECT_EQ(1, uring_update_descs(&self->ring, 1, &descs[2], NULL, 1));
	ring_wait(&self->ring, &cqe);
	EXPECT_EQ(TAG + 3, cqe.user_data);
	EXPECT_EQ(-EFAULT, uring_read(&self->ring, self->disk, 1, uring_at(0), SECTOR,
				      self->where));
	close(other);
	EXPECT_TRUE(p2p_settles(self->provider, self->before - SIZE));

	/*
	 * Slots before the failing one are updated, the failing slot is
	 * unchanged.
	 */
	descs[0].dmabuf_fd = -1;
	EXPECT_EQ(-EBADF, uring_update_descs(&self->ring, 0, descs, NULL, 3));
	EXPECT_EQ(SECTOR, read_at(self, 0, SECTOR));
	descs[2] = descs[0];
	descs[0] = descs[1];
	EXPECT_EQ(2, uring_update_descs(&self->ring, 0, descs, NULL, 3));
	EXPECT_EQ(-EFAULT, read_at(self, 0, SECTOR));
}

static int receive_and_read(struct _test_data_uring_dmabuf *self, int sock)
{
	int fd = fd_receive(sock), ret;
	struct ring ring;

	if (!ring_init(&ring, 1, 0) || uring_register_empty(&ring, 1))
		return 1;
	ret = uring_update_dmabuf(&ring, 0, fd, self->disk, 0);
	if (ret != (self->works ? 0 : -EREMOTEIO))
		return 2;
	close(fd);
	if (self->works && uring_read(&ring, self->disk, 0, uring_at(MIB), MIB,
				      self->where) != MIB)
		return 3;
	return 0;
}

/*
 * Another user, who can't allocate such memory, reads into a received dma-buf.
 */
TEST_F(uring_dmabuf, received)
{
	pid_t child;
	int sock[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sock));
	p2p_set(self->mem, SIZE, POISON);
	child = users_fork(ALICE);
	ASSERT_LE(0, child);
	if (!child)
		_exit(receive_and_read(self, sock[1]));
	ASSERT_TRUE(fd_send(sock[0], self->fd));
	EXPECT_EQ(0, p2p_wait(child));
	EXPECT_EQ(-1, self->works ? p2p_differs(self->mem + MIB, MIB, 1, self->where) :
				    p2p_not_set(self->mem + MIB, MIB, POISON));
	EXPECT_EQ(-1, p2p_not_set(self->mem, MIB, POISON));
	close(sock[0]);
	close(sock[1]);
}

/* Both requests use the dma-buf. */
TEST_F(uring_dmabuf, linked)
{
	struct io_uring_sqe sqe[2] = {
		uring_request(IORING_OP_READ_FIXED, self->disk, 0, uring_at(0), MIB,
			      self->where),
		uring_request(IORING_OP_WRITE_FIXED, self->disk, 0, uring_at(0), MIB,
			      self->where + MIB),
	};
	struct io_uring_cqe cqe[2];

	if (!registered(_metadata, self))
		return;
	sqe[0].flags = IOSQE_IO_LINK;
	ring_queue(&self->ring, &sqe[0]);
	ring_queue(&self->ring, &sqe[1]);
	ASSERT_EQ(2, ring_enter(&self->ring, 2));
	ring_wait(&self->ring, &cqe[0]);
	ring_wait(&self->ring, &cqe[1]);
	EXPECT_EQ(MIB, cqe[0].res);
	EXPECT_EQ(MIB, cqe[1].res);
	ASSERT_EQ(MIB, pread(self->disk, self->ram, MIB, self->where + MIB));
	EXPECT_EQ(-1, p2p_differs(self->ram, MIB, 1, self->where));
}

static void with_ring(struct __test_metadata *_metadata,
		      struct _test_data_uring_dmabuf *self, unsigned int ring_flags,
		      unsigned int flags)
{
	struct io_uring_sqe sqe = uring_request(IORING_OP_READ_FIXED, self->disk, 0,
						uring_at(MIB), 64 * KIB, self->where);
	struct io_uring_cqe cqe;
	struct ring ring;

	ASSERT_TRUE(ring_init(&ring, 2, ring_flags));
	ASSERT_EQ(0, uring_register_empty(&ring, 1));
	EXPECT_EQ(self->works ? 0 : -EREMOTEIO,
		  uring_update_dmabuf(&ring, 0, self->fd, self->disk, 0));
	if (self->works) {
		p2p_set(self->mem + MIB, MIB, POISON);
		sqe.flags = flags;
		ASSERT_EQ(0, ring_do(&ring, &sqe, &cqe));
		EXPECT_EQ(64 * KIB, cqe.res);
		EXPECT_EQ(-1, p2p_differs(self->mem + MIB, 64 * KIB, 1, self->where));
	}
	ring_exit(&ring);
}

/*
 * Issued by a worker or the ring's own thread; completed by the waiter or by
 * polling.
 */
TEST_F(uring_dmabuf, worker)
{
	with_ring(_metadata, self, 0, IOSQE_ASYNC);
}

TEST_F(uring_dmabuf, sqpoll)
{
	with_ring(_metadata, self, IORING_SETUP_SQPOLL, 0);
}

TEST_F(uring_dmabuf, defer_taskrun)
{
	with_ring(_metadata, self,
		  IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SINGLE_ISSUER, 0);
}

TEST_F(uring_dmabuf, iopoll)
{
	with_ring(_metadata, self, IORING_SETUP_IOPOLL, 0);
}

TEST_HARNESS_MAIN
