// SPDX-License-Identifier: GPL-2.0
/*
 * Which get_user_pages() callers get the pages of a mapping, and which don't.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mm/gup_test.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "variants.h"

#define GUP_TEST_FILE	"/sys/kernel/debug/gup_test"

/* Copied from mm.h. */
#define FOLL_WRITE	0x01
#define FOLL_PCI_P2PDMA	0x100000

#define PAGES		16UL

FIXTURE(gup)
{
	P2P_FIXTURE;
	int fd;
};

P2P_VARIANTS(gup, NULL, NULL);

FIXTURE_SETUP(gup)
{
	ASSERT_TRUE(p2p_setup(&self->p2p, &variant->p2p, PAGES * sysconf(_SC_PAGESIZE)));
	self->fd = open(GUP_TEST_FILE, O_RDWR);
	if (self->fd < 0)
		SKIP(p2p_skip_now(), "no " GUP_TEST_FILE ": CONFIG_GUP_TEST, debugfs?");
}

FIXTURE_TEARDOWN(gup)
{
	close(self->fd);
	p2p_release(&self->p2p);
	/* A leaked reference would keep its page out of the pool. */
	EXPECT_EQ(self->before, p2p_available(self->provider));
}

static const unsigned long get_and_pin[] = {
	GUP_BASIC_TEST, PIN_BASIC_TEST, GUP_FAST_BENCHMARK, PIN_FAST_BENCHMARK,
};

#define for_each_call(cmd)						\
	for (size_t i_ = 0; i_ < ARRAY_SIZE(get_and_pin) &&	\
			    ((cmd) = get_and_pin[i_], true); i_++)

/*
 * How many pages, starting at mem, gup_test got and put again before a call got
 * none. It counts calls, hence per_call; -1 on failure.
 */
static long got(int fd, unsigned long cmd, void *mem, size_t size,
		unsigned int flags, unsigned int per_call)
{
	struct gup_test gup = {
		.addr = (unsigned long)mem,
		.size = size,
		.nr_pages_per_call = per_call,
		.gup_flags = flags,
	};

	if (ioctl(fd, cmd, &gup))
		return -1;
	return gup.size / sysconf(_SC_PAGESIZE);
}

TEST_F(gup, granted_with_the_flag)
{
	unsigned int flags = FOLL_WRITE | FOLL_PCI_P2PDMA;
	unsigned long cmd;

	for_each_call(cmd) {
		/* not yet mapped: every call has to fault */
		ASSERT_EQ(0, madvise(self->mem, self->size, MADV_DONTNEED));
		EXPECT_EQ(PAGES, got(self->fd, cmd, self->mem, self->size,
				     flags, 1));
		/* mapped: the fast calls walk without a lock */
		p2p_fill(self->mem, self->size, cmd, 0);
		EXPECT_EQ(PAGES, got(self->fd, cmd, self->mem, self->size,
				     flags, 1));
		EXPECT_EQ(PAGES, got(self->fd, cmd, self->mem, self->size,
				     flags, PAGES));
		EXPECT_EQ(PAGES, got(self->fd, cmd, self->mem, self->size,
				     FOLL_PCI_P2PDMA, PAGES));
		EXPECT_EQ(-1, p2p_differs(self->mem, self->size, cmd, 0));
	}
}

TEST_F(gup, refused_without_the_flag)
{
	unsigned long cmd;

	for_each_call(cmd) {
		ASSERT_EQ(0, madvise(self->mem, self->size, MADV_DONTNEED));
		EXPECT_EQ(0, got(self->fd, cmd, self->mem, self->size,
				 FOLL_WRITE, 1));
		p2p_fill(self->mem, self->size, cmd, 0);
		EXPECT_EQ(0, got(self->fd, cmd, self->mem, self->size,
				 FOLL_WRITE, 1));
		EXPECT_EQ(0, got(self->fd, cmd, self->mem, self->size,
				 FOLL_WRITE, PAGES));
		EXPECT_EQ(0, got(self->fd, cmd, self->mem, self->size, 0, 1));
		EXPECT_EQ(-1, p2p_differs(self->mem, self->size, cmd, 0));
	}
}

/* A FOLL_LONGTERM pin could not be revoked. */
TEST_F(gup, longterm_refused)
{
	p2p_set(self->mem, self->size, 1);
	EXPECT_EQ(0, got(self->fd, PIN_LONGTERM_BENCHMARK, self->mem,
			 self->size, FOLL_WRITE | FOLL_PCI_P2PDMA, 1));
	EXPECT_EQ(0, got(self->fd, PIN_LONGTERM_BENCHMARK, self->mem,
			 self->size, FOLL_WRITE, 1));
}

TEST_F(gup, read_only_mapping)
{
	int fd = p2p_open(self->provider, O_RDONLY);
	unsigned long cmd;
	char *mem;

	ASSERT_LE(0, fd);
	mem = mmap(NULL, self->page, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, mem);
	close(fd);
	for_each_call(cmd) {
		EXPECT_EQ(1, got(self->fd, cmd, mem, self->page,
				 FOLL_PCI_P2PDMA, 1));
		EXPECT_EQ(0, got(self->fd, cmd, mem, self->page,
				 FOLL_PCI_P2PDMA | FOLL_WRITE, 1));
	}
	EXPECT_EQ(0, munmap(mem, self->page));
}

/* RAM, peer-to-peer memory, RAM, side by side, then a hole. */
TEST_F(gup, beside_ram)
{
	const size_t third = 4, all = 12;
	size_t part = third * self->page;
	unsigned long cmd;
	char *mem, *p2p;
	int fd;

	mem = p2p_ram(4 * part);
	ASSERT_NE(MAP_FAILED, mem);
	p2p = mem + part;
	fd = p2p_open(self->provider, O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(p2p, mmap(p2p, part, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_FIXED, fd, 0));
	close(fd);
	ASSERT_EQ(0, munmap(mem + 3 * part, part));
	p2p_fill(mem, 3 * part, 1, 0);

	for_each_call(cmd) {
		EXPECT_EQ(third, got(self->fd, cmd, mem, 3 * part,
				     FOLL_WRITE, 1));
		EXPECT_EQ(third, got(self->fd, cmd, mem, 3 * part,
				     FOLL_WRITE, third));
		/* A call that gets fewer pages than it wanted is the last. */
		EXPECT_EQ(third + 2, got(self->fd, cmd, mem, 3 * part,
					 FOLL_WRITE, third + 2));
		EXPECT_EQ(third, got(self->fd, cmd, mem + 2 * part, part,
				     FOLL_WRITE, third));

		EXPECT_EQ(all, got(self->fd, cmd, mem, 3 * part,
				   FOLL_WRITE | FOLL_PCI_P2PDMA, all));
		EXPECT_EQ(all, got(self->fd, cmd, mem, 4 * part,
				   FOLL_WRITE | FOLL_PCI_P2PDMA, 1));
	}
	EXPECT_EQ(-1, p2p_differs(mem, 3 * part, 1, 0));
	EXPECT_EQ(0, munmap(mem, 3 * part));
}

/* A refusal does not affect later calls of the process, or RAM. */
TEST_F(gup, ram_alone)
{
	unsigned long cmd;
	void *mem;

	mem = p2p_ram(self->size);
	ASSERT_NE(MAP_FAILED, mem);
	for_each_call(cmd) {
		EXPECT_EQ(0, got(self->fd, cmd, self->mem, self->size,
				 FOLL_WRITE, 1));
		EXPECT_EQ(PAGES, got(self->fd, cmd, mem, self->size,
				     FOLL_WRITE, PAGES));
		EXPECT_EQ(PAGES, got(self->fd, cmd, mem, self->size,
				     FOLL_WRITE | FOLL_PCI_P2PDMA, PAGES));
	}
	EXPECT_EQ(PAGES, got(self->fd, PIN_LONGTERM_BENCHMARK, mem, self->size,
			     FOLL_WRITE, PAGES));
	EXPECT_EQ(0, munmap(mem, self->size));
}

/* Other callers might access the memory with the CPU. */
TEST_F(gup, process_vm_refused)
{
	uint64_t word = 0;
	struct iovec local = { &word, sizeof(word) };
	struct iovec remote = { self->mem, sizeof(word) };

	p2p_fill(self->mem, self->size, 2, 0);
	if (process_vm_readv(getpid(), &local, 1, &local, 1, 0) < 0)
		SKIP(return, "no process_vm_readv(): CONFIG_CROSS_MEMORY_ATTACH?");
	EXPECT_EQ(-1, process_vm_readv(getpid(), &local, 1, &remote, 1, 0));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, process_vm_writev(getpid(), &local, 1, &remote, 1, 0));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(0, word);
	EXPECT_EQ(-1, p2p_differs(self->mem, self->size, 2, 0));
}

TEST_F(gup, vmsplice_refused)
{
	struct iovec vec = { self->mem, self->page };
	int fds[2];

	ASSERT_EQ(0, pipe(fds));
	EXPECT_EQ(-1, vmsplice(fds[1], &vec, 1, SPLICE_F_GIFT));
	EXPECT_EQ(EREMOTEIO, errno);
	close(fds[0]);
	close(fds[1]);
}

TEST_HARNESS_MAIN
