// SPDX-License-Identifier: GPL-2.0
/*
 * Peer-to-peer memory as dma-bufs, for processes: allocated from the heap of the
 * provider, or exported from a mapping; mapped, handed to O_DIRECT, and passed on.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dmabuf.h"
#include "gup_call.h"
#include "users.h"
#include "variants.h"

#define SIZE		(256 * KIB)
#define PMD		(2 * MIB)
#define POISON		0xdeadbeefcafef00dULL
#define EXEC_FD		"P2P_DMABUF_EXEC_FD"

FIXTURE(dmabuf)
{
	P2P_FIXTURE;		/* without a mapping */
	int heap;
};

P2P_VARIANTS(dmabuf, NULL, "raw", NULL);

FIXTURE_SETUP(dmabuf)
{
	if (!heap_there(variant->p2p.provider))
		SKIP(p2p_skip_now(), "no heap: CONFIG_PCI_P2PMEM_DMABUF?");
	ASSERT_TRUE(p2p_setup(&self->p2p, &variant->p2p, 0));
	ASSERT_TRUE(p2p_setup_drive(&self->p2p, &variant->p2p, O_RDWR));
	self->size = SIZE;
	ASSERT_TRUE(p2p_setup_ram(&self->p2p));
	self->heap = heap_open(self->provider);
	ASSERT_LE(0, self->heap);
}

FIXTURE_TEARDOWN(dmabuf)
{
	close(self->heap);
	p2p_release(&self->p2p);
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

/* exec() runs this program again, which only waits with the inherited files. */
static void __attribute__((constructor)) exec_child(void)
{
	const char *fd = getenv(EXEC_FD);

	if (!fd)
		return;
	_exit(fcntl(atoi(fd), F_GETFD) < 0 ? 1 : 0);
}

TEST_F(dmabuf, allocate)
{
	int fd = heap_alloc(self->heap, SIZE);
	char *mem;

	ASSERT_LE(0, fd);
	EXPECT_EQ(self->before - SIZE, p2p_available(self->provider));
	EXPECT_EQ(SIZE, lseek(fd, 0, SEEK_END));
	mem = dmabuf_map(fd, SIZE, 0);
	ASSERT_NE(MAP_FAILED, mem);
	p2p_fill(mem, SIZE, 1, 0);
	EXPECT_EQ(-1, p2p_differs(mem, SIZE, 1, 0));
	EXPECT_TRUE(p2p_pfn_in_bar(self->provider,
				   PAGEMAP_PFN(p2p_pagemap(mem))));

	/* Both the mapping and the dma-buf keep the memory. */
	EXPECT_EQ(0, munmap(mem, SIZE));
	EXPECT_EQ(self->before - SIZE, p2p_available(self->provider));
	mem = dmabuf_map(fd, SIZE, 0);
	ASSERT_NE(MAP_FAILED, mem);
	EXPECT_EQ(0, close(fd));
	EXPECT_EQ(-1, p2p_differs(mem, SIZE, 1, 0));
	EXPECT_EQ(self->before - SIZE, p2p_available(self->provider));
	EXPECT_EQ(0, munmap(mem, SIZE));
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

TEST_F(dmabuf, allocate_errors)
{
	struct dma_heap_allocation_data data = { .len = SIZE, .heap_flags = 1 };

	EXPECT_EQ(-EINVAL, heap_alloc(self->heap, 0));
	EXPECT_EQ(-ENOMEM, heap_alloc(self->heap, self->total + self->page));
	EXPECT_EQ(-EINVAL, heap_alloc_flags(self->heap, SIZE, O_APPEND));
	EXPECT_EQ(-EINVAL, p2p_result(ioctl(self->heap, DMA_HEAP_IOCTL_ALLOC,
					    &data)));
	EXPECT_EQ(self->before, p2p_available(self->provider));
}

TEST_F(dmabuf, map_errors)
{
	int fd = heap_alloc(self->heap, SIZE);

	ASSERT_LE(0, fd);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, SIZE, PROT_READ, MAP_PRIVATE, fd, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, dmabuf_map(fd, SIZE + self->page, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, dmabuf_map(fd, SIZE, self->page));
	EXPECT_EQ(EINVAL, errno);
	close(fd);
}

/* Each mapping shows the part of the buffer that it asked for. */
TEST_F(dmabuf, map_a_part)
{
	int fd = heap_alloc(self->heap, SIZE);
	char *mem, *part;

	ASSERT_LE(0, fd);
	mem = dmabuf_map(fd, SIZE, 0);
	part = dmabuf_map(fd, SIZE / 2, SIZE / 4);
	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_NE(MAP_FAILED, part);
	p2p_fill(mem, SIZE, 1, 0);
	EXPECT_EQ(-1, p2p_differs(part, SIZE / 2, 1, SIZE / 4));
	EXPECT_EQ(users_phys(mem) + SIZE / 4, users_phys(part));
	p2p_fill(part, SIZE / 2, 2, 0);
	EXPECT_EQ(-1, p2p_differs(mem + SIZE / 4, SIZE / 2, 2, 0));
	munmap(part, SIZE / 2);
	munmap(mem, SIZE);
	close(fd);
}

/* A mapping of p2pmem/allocate and a dma-buf are two handles of one buffer. */
TEST_F(dmabuf, export)
{
	char *mem = p2p_map(self->provider, SIZE);
	uint64_t offset, len;
	char *other;
	int fd, again;

	ASSERT_NE(MAP_FAILED, mem);
	fd = heap_export(self->heap, mem + 3 * self->page + 5, O_RDWR, &offset,
			 &len);
	ASSERT_LE(0, fd);
	EXPECT_EQ(3 * self->page + 5, offset);
	EXPECT_LE(SIZE, len);
	EXPECT_EQ(len, lseek(fd, 0, SEEK_END));
	other = dmabuf_map(fd, SIZE, 0);
	ASSERT_NE(MAP_FAILED, other);
	EXPECT_EQ(users_phys(mem), users_phys(other));
	p2p_fill(mem, SIZE, 1, 0);
	EXPECT_EQ(-1, p2p_differs(other, SIZE, 1, 0));
	EXPECT_EQ(self->before - len, p2p_available(self->provider));

	/*
	 * It outlives the mapping that it was exported from, and works the
	 * same.
	 */
	EXPECT_EQ(0, munmap(mem, SIZE));
	EXPECT_EQ(-1, p2p_differs(other, SIZE, 1, 0));
	again = heap_export(self->heap, other, O_RDWR, &offset, NULL);
	ASSERT_LE(0, again);
	EXPECT_EQ(0, offset);
	close(fd);
	EXPECT_EQ(0, munmap(other, SIZE));
	other = dmabuf_map(again, SIZE, 0);
	ASSERT_NE(MAP_FAILED, other);
	EXPECT_EQ(-1, p2p_differs(other, SIZE, 1, 0));
	close(again);
	EXPECT_EQ(self->before - len, p2p_available(self->provider));
	EXPECT_EQ(0, munmap(other, SIZE));
}

TEST_F(dmabuf, export_errors)
{
	int system = open(DMA_HEAPS "system", O_RDWR | O_CLOEXEC);
	struct dma_heap_export_data data = { .fd_flags = O_RDWR, .len = 1 };
	char *mem = p2p_map(self->provider, SIZE);

	ASSERT_NE(MAP_FAILED, mem);
	EXPECT_EQ(-EINVAL, heap_export(self->heap, self->ram, O_RDWR, NULL, NULL));
	EXPECT_EQ(-EFAULT, heap_export(self->heap, (void *)8, O_RDWR, NULL, NULL));
	EXPECT_EQ(-EINVAL, heap_export(self->heap, mem, O_APPEND, NULL, NULL));
	data.addr = (uintptr_t)mem;
	EXPECT_EQ(-EINVAL, p2p_result(ioctl(self->heap, DMA_HEAP_IOCTL_EXPORT,
					    &data)));
	ASSERT_LE(0, system);
	EXPECT_EQ(-ENOTTY, heap_export(system, mem, O_RDWR, NULL, NULL));
	close(system);
	munmap(mem, SIZE);
}

/* A heap does not export memory of another provider. */
TEST_F(dmabuf, export_by_another_heap)
{
	static const char *const no_disks[] = { NULL };
	struct p2p_variant list[P2P_MAX];
	char *mem = p2p_map(self->provider, SIZE);
	int i, nr = p2p_variants(list, NULL, no_disks);

	ASSERT_NE(MAP_FAILED, mem);
	for (i = 0; i < nr; i++) {
		int heap = heap_open(list[i].provider);
		bool own = !strcmp(list[i].provider, self->provider);
		int fd = heap_export(heap, mem, O_RDWR, NULL, NULL);

		EXPECT_EQ(own ? 0 : -EINVAL, fd < 0 ? fd : 0);
		if (fd >= 0)
			close(fd);
		close(heap);
	}
	munmap(mem, SIZE);
}

/* A handle grants no additional access rights. */
TEST_F(dmabuf, rights)
{
	int file = p2p_open(self->provider, O_RDONLY);
	char *mem, *map;
	int fd;

	ASSERT_LE(0, file);
	mem = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, file, 0);
	ASSERT_NE(MAP_FAILED, mem);
	EXPECT_EQ(-EACCES, heap_export(self->heap, mem, O_RDWR, NULL, NULL));
	EXPECT_EQ(-EACCES, heap_export(self->heap, mem, O_WRONLY, NULL, NULL));
	fd = heap_export(self->heap, mem, O_RDONLY, NULL, NULL);
	ASSERT_LE(0, fd);
	EXPECT_EQ(MAP_FAILED, dmabuf_map(fd, SIZE, 0));
	EXPECT_EQ(EACCES, errno);
	map = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(-EACCES, p2p_result(mprotect(map, SIZE, PROT_READ |
							  PROT_WRITE)));
	EXPECT_EQ(-EACCES, heap_export(self->heap, map, O_RDWR, NULL, NULL));
	munmap(map, SIZE);
	munmap(mem, SIZE);
	close(fd);
	close(file);

	fd = heap_alloc_flags(self->heap, SIZE, O_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(MAP_FAILED, dmabuf_map(fd, SIZE, 0));
	EXPECT_EQ(EACCES, errno);
	close(fd);
}

static int export_error(struct _test_data_dmabuf *self, const char *mem, int flags)
{
	int fd = heap_export(self->heap, mem, flags, NULL, NULL);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

/*
 * Nor to memory that the caller has not mapped, as a child whose parent has
 * unmapped a part.
 */
TEST_F(dmabuf, rights_to_a_part)
{
	char *mem = p2p_map(self->provider, SIZE), *half;
	off_t size;
	pid_t child;
	int fd;

	ASSERT_NE(MAP_FAILED, mem);
	/* Pieces with different rights, all readable. */
	ASSERT_EQ(0, mprotect(mem, self->page, PROT_READ));
	EXPECT_EQ(0, export_error(self, mem, O_RDWR));
	ASSERT_EQ(0, munmap(mem + SIZE / 2, SIZE / 2));
	EXPECT_EQ(-EACCES, export_error(self, mem, O_RDWR));
	EXPECT_EQ(-EACCES, export_error(self, mem, O_RDONLY));
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		_exit(export_error(self, mem, O_RDWR) != -EACCES);
	EXPECT_EQ(0, p2p_wait(child));
	ASSERT_EQ(0, munmap(mem, SIZE / 2));

	/* The pieces may be anywhere in the same process. */
	fd = heap_alloc(self->heap, SIZE);
	ASSERT_LE(0, fd);
	size = lseek(fd, 0, SEEK_END);
	half = dmabuf_map(fd, size / 2, size / 2);
	ASSERT_NE(MAP_FAILED, half);
	EXPECT_EQ(-EACCES, export_error(self, half, O_RDWR));
	mem = dmabuf_map(fd, size / 2 + self->page, 0);
	ASSERT_NE(MAP_FAILED, mem);
	EXPECT_EQ(0, export_error(self, half, O_RDWR));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		munmap(mem, size / 2 + self->page);
		_exit(export_error(self, half, O_RDWR) != -EACCES);
	}
	EXPECT_EQ(0, p2p_wait(child));
	EXPECT_EQ(0, export_error(self, mem, O_RDWR));

	/* A read-only piece. */
	munmap(mem, size / 2 + self->page);
	mem = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, mem);
	EXPECT_EQ(0, export_error(self, mem, O_RDWR));
	munmap(mem, size);
	munmap(half, size / 2);
	close(fd);
}

/* The address is aligned like the memory, so that one entry maps 2 MiB. */
TEST_F(dmabuf, huge)
{
	int fd = heap_alloc(self->heap, 2 * PMD);
	char *mem;

	ASSERT_LE(0, fd);
	mem = dmabuf_map(fd, 2 * PMD, 0);
	ASSERT_NE(MAP_FAILED, mem);
	EXPECT_EQ(0, ((uintptr_t)mem - users_phys(mem)) % PMD);
	p2p_store(mem, 1);
	/* The first access maps all 2 MiB. */
	if (users_phys(mem) % PMD == 0)
		EXPECT_TRUE(p2p_pagemap(mem + PMD - self->page) &
			    PAGEMAP_PRESENT);
	p2p_store(mem + PMD, 2);
	EXPECT_EQ(1, p2p_load(mem));
	munmap(mem, 2 * PMD);
	close(fd);
}

TEST_F(dmabuf, get_user_pages)
{
	int test = open(P2P_TEST_FILE, O_RDWR);
	int fd = heap_alloc(self->heap, SIZE);
	struct p2p_test_page pages[4];
	char *mem;

	ASSERT_LE(0, test);
	ASSERT_LE(0, fd);
	mem = dmabuf_map(fd, SIZE, 0);
	ASSERT_NE(MAP_FAILED, mem);
	EXPECT_EQ(4, gup_call(test, P2P_TEST_PIN_FAST, mem, 4,
			      FOLL_WRITE | FOLL_PCI_P2PDMA, pages, false, 0));
	EXPECT_EQ(1, pages[3].is_p2p);
	EXPECT_EQ(users_phys(mem) / self->page + 3, pages[3].pfn);
	EXPECT_EQ(-EREMOTEIO, gup_call(test, P2P_TEST_PIN_FAST, mem, 4,
				       FOLL_WRITE, pages, false, 0));
	munmap(mem, SIZE);
	close(fd);
	close(test);
}

static ssize_t due(struct _test_data_dmabuf *self)
{
	return self->works ? (ssize_t)SIZE : -EREMOTEIO;
}

/* O_DIRECT with a mapping of the dma-buf, both ways. */
TEST_F(dmabuf, direct_io)
{
	int fd = heap_alloc(self->heap, SIZE);
	char *mem;

	ASSERT_LE(0, fd);
	mem = dmabuf_map(fd, SIZE, 0);
	ASSERT_NE(MAP_FAILED, mem);
	p2p_fill(self->ram, SIZE, 3, 0);
	ASSERT_EQ(SIZE, pwrite(self->disk, self->ram, SIZE, 0));
	p2p_set(mem, SIZE, POISON);
	EXPECT_EQ(due(self), p2p_result(pread(self->disk, mem, SIZE, 0)));
	EXPECT_EQ(-1, self->works ? p2p_differs(mem, SIZE, 3, 0) :
				    p2p_not_set(mem, SIZE, POISON));
	p2p_fill(mem, SIZE, 4, 0);
	EXPECT_EQ(0, dmabuf_sync(fd, DMA_BUF_SYNC_END | DMA_BUF_SYNC_WRITE));
	EXPECT_EQ(due(self), p2p_result(pwrite(self->disk, mem, SIZE, 0)));
	ASSERT_EQ(SIZE, pread(self->disk, self->ram, SIZE, 0));
	EXPECT_EQ(-1, p2p_differs(self->ram, SIZE, self->works ? 4 : 3, 0));
	munmap(mem, SIZE);
	close(fd);
}

TEST_F(dmabuf, sync_ioctl)
{
	int fd = heap_alloc(self->heap, SIZE);

	ASSERT_LE(0, fd);
	EXPECT_EQ(0, dmabuf_sync(fd, DMA_BUF_SYNC_START | DMA_BUF_SYNC_RW));
	EXPECT_EQ(0, dmabuf_sync(fd, DMA_BUF_SYNC_END | DMA_BUF_SYNC_RW));
	EXPECT_EQ(0, dmabuf_sync(fd, DMA_BUF_SYNC_END | DMA_BUF_SYNC_READ));
	EXPECT_EQ(-EINVAL, dmabuf_sync(fd, DMA_BUF_SYNC_START));
	close(fd);
}

/*
 * Two processes of different users that share only a socket: one allocates, and
 * has exited before a drive reads into the memory for the other.
 */
TEST_F(dmabuf, received_over_a_socket)
{
	int sock[2], fd;
	pid_t alice, bob;

	p2p_fill(self->ram, SIZE, 5, 0);
	ASSERT_EQ(SIZE, pwrite(self->disk, self->ram, SIZE, 0));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sock));
	ASSERT_TRUE(heap_admit(self->provider, USERS));

	alice = users_fork(ALICE);
	ASSERT_LE(0, alice);
	if (!alice) {
		close(self->heap);
		self->heap = heap_open(self->provider);
		fd = heap_alloc(self->heap, SIZE);
		_exit(fd < 0 || !fd_send(sock[0], fd));
	}
	EXPECT_EQ(0, p2p_wait(alice));
	EXPECT_EQ(self->before - SIZE, p2p_available(self->provider));

	bob = users_fork(BOB);
	ASSERT_LE(0, bob);
	if (!bob) {
		char *mem;

		fd = fd_receive(sock[1]);
		mem = dmabuf_map(fd, SIZE, 0);
		if (mem == MAP_FAILED)
			_exit(1);
		if (p2p_not_set(mem, SIZE, 0) != -1)
			_exit(2);
		if (p2p_result(pread(self->disk, mem, SIZE, 0)) != due(self))
			_exit(3);
		if (self->works && p2p_differs(mem, SIZE, 5, 0) != -1)
			_exit(4);
		_exit(0);
	}
	EXPECT_EQ(0, p2p_wait(bob));
	close(sock[0]);
	close(sock[1]);
	EXPECT_TRUE(heap_admit(self->provider, 0));
}

/* A file descriptor in flight is released with the unread socket. */
TEST_F(dmabuf, not_received)
{
	int sock[2], fd = heap_alloc(self->heap, SIZE);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sock));
	ASSERT_TRUE(fd_send(sock[0], fd));
	close(fd);
	EXPECT_EQ(self->before - SIZE, p2p_available(self->provider));
	close(sock[0]);
	close(sock[1]);
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

TEST_F(dmabuf, fork)
{
	int fd = heap_alloc(self->heap, SIZE);
	char *mem = dmabuf_map(fd, SIZE, 0);
	pid_t child;

	ASSERT_NE(MAP_FAILED, mem);
	p2p_fill(mem, SIZE, 1, 0);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		char *own = dmabuf_map(fd, SIZE, 0);

		if (p2p_differs(mem, SIZE, 1, 0) != -1 || own == MAP_FAILED)
			_exit(1);
		munmap(mem, SIZE);
		p2p_fill(own, SIZE, 2, 0);
		_exit(0);
	}
	EXPECT_EQ(0, p2p_wait(child));
	EXPECT_EQ(-1, p2p_differs(mem, SIZE, 2, 0));
	munmap(mem, SIZE);
	close(fd);
}

/* exec() ends the mapping, and closes the file only with O_CLOEXEC. */
TEST_F(dmabuf, exec)
{
	static const unsigned int flags[] = { O_RDWR, O_RDWR | O_CLOEXEC };
	char number[16];
	unsigned int i;
	pid_t child;
	int fd;

	for (i = 0; i < 2; i++) {
		fd = heap_alloc_flags(self->heap, SIZE, flags[i]);
		ASSERT_LE(0, fd);
		snprintf(number, sizeof(number), "%d", fd);
		child = fork();
		ASSERT_LE(0, child);
		if (!child) {
			char *const argv[] = { "exec", NULL };

			setenv(EXEC_FD, number, 1);
			if (dmabuf_map(fd, SIZE, 0) == MAP_FAILED)
				_exit(2);
			execv("/proc/self/exe", argv);
			_exit(3);
		}
		EXPECT_EQ(i, p2p_wait(child));
		close(fd);
		EXPECT_TRUE(p2p_settles(self->provider, self->before));
	}
}

TEST_F(dmabuf, killed)
{
	int steps[2];
	pid_t child;
	char byte;

	ASSERT_EQ(0, pipe(steps));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		int fd = heap_alloc(self->heap, SIZE);
		char *mem = dmabuf_map(fd, SIZE, 0);

		if (mem != MAP_FAILED)
			p2p_store(mem, 1);
		if (write(steps[1], "", 1) == 1)
			pause();
		_exit(0);
	}
	ASSERT_EQ(1, read(steps[0], &byte, 1));
	EXPECT_EQ(self->before - SIZE, p2p_available(self->provider));
	kill(child, SIGKILL);
	EXPECT_EQ(-1, p2p_wait(child));
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
	close(steps[0]);
	close(steps[1]);
}

/* Only root can open a heap, until an administrator decides otherwise. */
TEST_F(dmabuf, permissions)
{
	char path[P2P_PATH_LEN];
	struct stat st;
	pid_t child;

	heap_path(path, self->provider);
	ASSERT_EQ(0, stat(path, &st));
	EXPECT_EQ(0600, st.st_mode & 07777);
	EXPECT_EQ(0, st.st_uid);
	child = users_fork(ALICE);
	ASSERT_LE(0, child);
	if (!child)
		_exit(heap_open(self->provider) >= 0 || errno != EACCES);
	EXPECT_EQ(0, p2p_wait(child));
}

TEST_HARNESS_MAIN
