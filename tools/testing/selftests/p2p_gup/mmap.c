// SPDX-License-Identifier: GPL-2.0
/* p2pmem/allocate: what can be allocated, by whom, and when it is freed. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "klog.h"
#include "variants.h"

FIXTURE(allocate)
{
	const char *provider;
	long long before;
	size_t page;
	int fd;
};

P2P_VARIANTS(allocate, NULL, NULL);

FIXTURE_SETUP(allocate)
{
	self->provider = variant->p2p.provider;
	self->page = sysconf(_SC_PAGESIZE);
	self->before = p2p_available(self->provider);
	self->fd = p2p_open(self->provider, O_RDWR);
	ASSERT_LE(0, self->fd);
	ASSERT_LE(64 * self->page, self->before);
}

FIXTURE_TEARDOWN(allocate)
{
	close(self->fd);
	EXPECT_EQ(self->before, p2p_available(self->provider));
}

static void *map(int fd, size_t size, int prot, int flags, off_t offset)
{
	return mmap(NULL, size, prot, flags, fd, offset);
}

#define RW	(PROT_READ | PROT_WRITE)

TEST_F(allocate, private_refused)
{
	EXPECT_EQ(MAP_FAILED, map(self->fd, self->page, RW, MAP_PRIVATE, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED,
		  map(self->fd, self->page, PROT_READ, MAP_PRIVATE, 0));
	EXPECT_EQ(EINVAL, errno);
}

TEST_F(allocate, offset_refused)
{
	EXPECT_EQ(MAP_FAILED,
		  map(self->fd, self->page, RW, MAP_SHARED, self->page));
	EXPECT_EQ(EINVAL, errno);
	/* Also at the offset where the memory would end. */
	EXPECT_EQ(MAP_FAILED,
		  map(self->fd, self->page, RW, MAP_SHARED,
		      p2p_number(self->provider, "p2pmem/size")));
	EXPECT_EQ(EINVAL, errno);
}

TEST_F(allocate, too_large_refused)
{
	long long size = p2p_number(self->provider, "p2pmem/size");

	EXPECT_EQ(MAP_FAILED,
		  map(self->fd, size + self->page, RW, MAP_SHARED, 0));
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_EQ(MAP_FAILED, map(self->fd, 16 * size, RW, MAP_SHARED, 0));
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_EQ(self->before, p2p_available(self->provider));
}

/* For programs that map no more than the size of a file. */
TEST_F(allocate, size_of_file)
{
	struct stat st;

	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_LE(p2p_number(self->provider, "p2pmem/size"), st.st_size);
}

/* The message may be rate limited. */
TEST_F(allocate, too_large_notice)
{
	long long size = p2p_number(self->provider, "p2pmem/size");
	int i, klog = klog_open();
	bool found = false;
	char what[128];

	ASSERT_LE(0, klog);
	snprintf(what, sizeof(what),
		 "asked for %lld KiB of contiguous peer-to-peer memory, more than is left",
		 2 * size / 1024);
	for (i = 0; i < 100 && !found; i++) {
		EXPECT_EQ(MAP_FAILED, map(self->fd, 2 * size, RW, MAP_SHARED, 0));
		found = klog_said(klog, self->provider, what);
		if (!found)
			usleep(100000);
	}
	EXPECT_TRUE(found);
	close(klog);
}

TEST_F(allocate, zero_size_refused)
{
	EXPECT_EQ(MAP_FAILED, map(self->fd, 0, RW, MAP_SHARED, 0));
	EXPECT_EQ(EINVAL, errno);
}

TEST_F(allocate, file_has_no_data)
{
	char c = 'x';

	EXPECT_EQ(-1, read(self->fd, &c, 1));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(-1, write(self->fd, &c, 1));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ('x', c);
}

TEST_F(allocate, exec_refused)
{
	void *mem;

	EXPECT_EQ(MAP_FAILED,
		  map(self->fd, self->page, RW | PROT_EXEC, MAP_SHARED, 0));
	EXPECT_EQ(EPERM, errno);

	mem = map(self->fd, self->page, RW, MAP_SHARED, 0);
	ASSERT_NE(MAP_FAILED, mem);
	EXPECT_EQ(-1, mprotect(mem, self->page, PROT_READ | PROT_EXEC));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(0, munmap(mem, self->page));
}

TEST_F(allocate, counted_by_the_page)
{
	void *mem = map(self->fd, 1, RW, MAP_SHARED, 0);

	ASSERT_NE(MAP_FAILED, mem);
	EXPECT_EQ(self->before - self->page, p2p_available(self->provider));
	/* The mapping was never touched: only the pool knows of it. */
	EXPECT_EQ(0, munmap(mem, 1));
	EXPECT_EQ(self->before, p2p_available(self->provider));

	mem = map(self->fd, 3 * self->page, RW, MAP_SHARED, 0);
	ASSERT_NE(MAP_FAILED, mem);
	EXPECT_EQ(self->before - 3 * self->page, p2p_available(self->provider));
	p2p_set(mem, 3 * self->page, 3);
	EXPECT_EQ(0, munmap(mem, 3 * self->page));
}

/* After the file is closed, only the mapping keeps the memory. */
TEST_F(allocate, outlives_the_file)
{
	void *mem = p2p_map(self->provider, self->page);

	ASSERT_NE(MAP_FAILED, mem);
	p2p_fill(mem, self->page, 1, 0);
	EXPECT_EQ(-1, p2p_differs(mem, self->page, 1, 0));
	EXPECT_EQ(self->before - self->page, p2p_available(self->provider));
	EXPECT_EQ(0, munmap(mem, self->page));
}

/* All available memory can be allocated, but not a page more. */
TEST_F(allocate, exhaust)
{
	static struct {
		void *mem;
		size_t size;
	} part[1024];
	size_t size = self->page;
	int i, nr = 0;
	void *mem;

	while (size * 2 <= self->before)
		size *= 2;
	for (; size >= self->page; size /= 2) {
		/*
		 * The pool may be fragmented: allocate all, in pieces of any
		 * size.
		 */
		while (nr < 1024) {
			mem = map(self->fd, size, RW, MAP_SHARED, 0);
			if (mem == MAP_FAILED)
				break;
			part[nr].mem = mem;
			part[nr++].size = size;
			p2p_store(mem, nr);
		}
		EXPECT_EQ(ENOMEM, errno);
	}
	EXPECT_EQ(0, p2p_available(self->provider));
	for (i = 0; i < nr; i++) {
		EXPECT_EQ(i + 1, p2p_load(part[i].mem));
		EXPECT_EQ(0, munmap(part[i].mem, part[i].size));
	}
	EXPECT_EQ(self->before, p2p_available(self->provider));

	/* The pool can allocate it again. */
	mem = map(self->fd, part[0].size, RW, MAP_SHARED, 0);
	ASSERT_NE(MAP_FAILED, mem);
	EXPECT_EQ(0, munmap(mem, part[0].size));
}

TEST_F(allocate, map_unmap_often)
{
	size_t size = 16 * self->page;
	void *mem;
	int i;

	for (i = 0; i < 200; i++) {
		mem = map(self->fd, size, RW, MAP_SHARED, 0);
		ASSERT_NE(MAP_FAILED, mem);
		p2p_store(mem + i % 16 * self->page, i);
		ASSERT_EQ(0, munmap(mem, size));
		ASSERT_EQ(self->before, p2p_available(self->provider));
	}
}

/* Each mmap() is a separate, contiguous allocation in the BAR. */
TEST_F(allocate, mappings_do_not_alias)
{
	enum { NR = 4, PAGES = 4 };
	size_t size = PAGES * self->page;
	uint64_t pfn[NR], entry;
	char *mem[NR];
	int i, j;

	for (i = 0; i < NR; i++) {
		mem[i] = map(self->fd, size, RW, MAP_SHARED, 0);
		ASSERT_NE(MAP_FAILED, mem[i]);
		p2p_fill(mem[i], size, i, 0);
	}
	for (i = 0; i < NR; i++) {
		EXPECT_EQ(-1, p2p_differs(mem[i], size, i, 0));
		pfn[i] = PAGEMAP_PFN(p2p_pagemap(mem[i]));
		for (j = 0; j < PAGES; j++) {
			entry = p2p_pagemap(mem[i] + j * self->page);
			EXPECT_TRUE(entry & PAGEMAP_PRESENT);
			EXPECT_EQ(pfn[i] + j, PAGEMAP_PFN(entry));
			EXPECT_TRUE(p2p_pfn_in_bar(self->provider,
						   PAGEMAP_PFN(entry)));
		}
		for (j = 0; j < i; j++)
			EXPECT_TRUE(pfn[i] + PAGES <= pfn[j] ||
				    pfn[j] + PAGES <= pfn[i]);
	}
	for (i = 0; i < NR; i++)
		EXPECT_EQ(0, munmap(mem[i], size));
}

/*
 * Memory that a child still maps is not free; after its exit it is not leaked.
 */
TEST_F(allocate, fork_shares)
{
	size_t size = 4 * self->page;
	int go[2], status;
	pid_t child;
	char *mem, c;

	mem = map(self->fd, size, RW, MAP_SHARED, 0);
	ASSERT_NE(MAP_FAILED, mem);
	p2p_fill(mem, 2 * self->page, 1, 0);
	ASSERT_EQ(0, pipe(go));

	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		int bad = 0;

		close(go[1]);
		bad |= p2p_differs(mem, 2 * self->page, 1, 0) != -1;
		p2p_fill(mem + 2 * self->page, 2 * self->page, 2, 0);
		/* The parent unmaps before it closes the pipe. */
		bad |= read(go[0], &c, 1) << 1;
		bad |= (p2p_differs(mem, 2 * self->page, 1, 0) != -1) << 2;
		bad |= (p2p_available(self->provider) !=
			self->before - (long long)size) << 3;
		_exit(bad);
	}
	close(go[0]);
	while (p2p_differs(mem + 2 * self->page, 2 * self->page, 2, 0) != -1 &&
	       !waitpid(child, &status, WNOHANG))
		usleep(1000);
	EXPECT_EQ(-1, p2p_differs(mem + 2 * self->page, 2 * self->page, 2, 0));
	EXPECT_EQ(0, munmap(mem, size));
	EXPECT_EQ(self->before - size, p2p_available(self->provider));
	close(go[1]);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
}

TEST_F(allocate, killed_child_gives_back)
{
	int ready[2], status;
	pid_t child;
	char c;

	ASSERT_EQ(0, pipe(ready));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		void *mem = p2p_map(self->provider, 8 * self->page);

		if (mem == MAP_FAILED)
			_exit(1);
		p2p_set(mem, 8 * self->page, 5);
		if (write(ready[1], "x", 1) == 1)
			pause();
		_exit(2);
	}
	close(ready[1]);
	EXPECT_EQ(1, read(ready[0], &c, 1));
	EXPECT_EQ(self->before - 8 * self->page, p2p_available(self->provider));
	kill(child, SIGKILL);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	close(ready[0]);
}

TEST_HARNESS_MAIN
