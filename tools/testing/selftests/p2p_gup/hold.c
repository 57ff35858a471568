// SPDX-License-Identifier: GPL-2.0
/*
 * Memory is held for longer than a call: what can be held, what a hold keeps,
 * and how the end of processes and mappings affects it.
 */
#define _GNU_SOURCE
#include <lib/test_p2p_uapi.h>
#include <string.h>

#include "mapping.h"
#include "gup_call.h"
#include "hold.h"

#define LARGE		(4 * MIB)
#define MANY		1000
#define EXEC_VARIABLE	"P2P_HOLD_EXEC"

#define KIND()		TH_LOG("%s", kind->name)

static const struct hold_kind *const lease = &hold_kinds[0];
static const struct hold_kind *const ticket = &hold_kinds[1];

/*
 * Runs after exec(): reports that it runs, and waits for the end of its input.
 */
static void __attribute__((constructor)) exec_child(void)
{
	char c = 'x';

	if (!getenv(EXEC_VARIABLE))
		return;
	_exit(write(STDOUT_FILENO, &c, 1) != 1 || read(STDIN_FILENO, &c, 1));
}

/*
 * Holds the memory, and gets the extents. Returns how many, or a negative
 * errno.
 */
static int hold_extents(int fd, const struct hold_kind *kind, const void *addr,
			size_t len, struct p2p_test_extent *extents, unsigned int max)
{
	struct p2p_test_hold arg = {
		.addr = (uintptr_t)addr,
		.len = len,
		.extents = (uintptr_t)extents,
		.nr_extents = max,
		.nr = 1,
		.ticket = kind->ticket,
		.by_file = kind->by_file,
		.write = 1,
		.arm = 1,
	};
	int error = hold_call(fd, &arg);

	return error ?: (int)arg.nr_extents;
}

/* Do the extents describe the memory at this address? */
static bool describe(const struct p2p_test_extent *extents, int nr, const char *addr,
		     size_t len, size_t page)
{
	uint64_t phys;
	int i;

	for (i = 0; i < nr; i++) {
		phys = extents[i].pfn * page + extents[i].offset;
		if (!extents[i].len || extents[i].len > len ||
		    phys / page != PAGEMAP_PFN(p2p_pagemap(addr)) ||
		    phys % page != (uintptr_t)addr % page)
			return false;
		addr += extents[i].len;
		len -= extents[i].len;
	}
	return !len;
}

/* A lease pins each folio, a ticket pins none; both end on their own. */
TEST_F(mapping, pins)
{
	int fd = HOLD_OPEN(), test = P2P_TEST_OPEN();
	const int due[] = { 1 + GUP_PIN_COUNTING_BIAS, 1 };
	struct p2p_test_extent extents[PAGES];
	const struct hold_kind *kind;
	uint64_t pfn;
	int i, nr;

	pfn = PAGEMAP_PFN(p2p_pagemap(self->mem));
	for_each_hold_kind(kind) {
		nr = hold_extents(fd, kind, self->mem, self->size, extents, PAGES);
		/* The pages of such a small buffer are no large folio. */
		EXPECT_EQ(kind->ticket && !kind->by_file ? 1 : PAGES, nr) KIND();
		EXPECT_TRUE(describe(extents, nr, self->mem, self->size, self->page))
			KIND();
		for (i = 0; i < PAGES; i++)
			EXPECT_EQ(due[kind->ticket], gup_count(test, pfn + i)) KIND();
		EXPECT_EQ(0, hold_put(fd)) KIND();
		for (i = 0; i < PAGES; i++)
			EXPECT_EQ(1, gup_count(test, pfn + i)) KIND();
	}
	close(test);
	close(fd);
}

/* Any alignment, and more extents than initially allocated for. */
TEST_F(mapping, extents)
{
	const size_t skip[] = { 0, 1, self->page - 1, self->page, 5 * self->page + 7 };
	const size_t less[] = { 0, 1, self->page, 3 * self->page + 9, LARGE / 2 };
	static struct p2p_test_extent extents[LARGE / (4 * KIB)];
	const struct hold_kind *kind;
	int fd = HOLD_OPEN();
	unsigned int i, j;
	char *mem;
	int nr;

	mem = p2p_map(self->provider, LARGE);
	ASSERT_NE(MAP_FAILED, mem);
	p2p_set(mem, LARGE, 1);
	for_each_hold_kind(kind) {
		for (i = 0; i < ARRAY_SIZE(skip); i++) {
			for (j = 0; j < ARRAY_SIZE(less); j++) {
				nr = hold_extents(fd, kind, mem + skip[i],
						  LARGE - skip[i] - less[j], extents,
						  ARRAY_SIZE(extents));
				EXPECT_LT(0, nr) KIND();
				EXPECT_TRUE(describe(extents, nr, mem + skip[i],
						     LARGE - skip[i] - less[j],
						     self->page))
					TH_LOG("%s, %zu, %zu", kind->name, skip[i],
					       less[j]);
				if (kind == ticket)
					EXPECT_EQ(1, nr);
				EXPECT_EQ(0, hold_put(fd)) KIND();
			}
		}
	}
	EXPECT_EQ(0, munmap(mem, LARGE));
	close(fd);
}

/* Memory that has not been touched yet. */
TEST_F(mapping, first_use)
{
	const struct hold_kind *kind;
	int fd = HOLD_OPEN();
	char *mem;

	for_each_hold_kind(kind) {
		mem = p2p_map(self->provider, self->size);
		ASSERT_NE(MAP_FAILED, mem);
		EXPECT_EQ(0, hold(fd, kind, mem, self->size, true)) KIND();
		EXPECT_EQ(0, munmap(mem, self->size));
		EXPECT_EQ(0, hold_put(fd)) KIND();
	}
	EXPECT_TRUE(p2p_settles(self->provider, self->before - self->size));
	close(fd);
}

/* The hold keeps the memory, whatever happens to the mapping. */
TEST_F(mapping, outlives_mapping)
{
	const struct hold_kind *kind;
	int fd = HOLD_OPEN();
	char *mem;

	for_each_hold_kind(kind) {
		mem = p2p_map(self->provider, self->size);
		ASSERT_NE(MAP_FAILED, mem);
		EXPECT_EQ(0, hold(fd, kind, mem + self->page, 1, true)) KIND();
		EXPECT_EQ(0, munmap(mem, self->size));
		EXPECT_EQ(self->before - 2 * (long long)self->size,
			  p2p_available(self->provider)) KIND();
		if (kind->ticket) {
			EXPECT_EQ(0, hold_use(fd)) KIND();
			EXPECT_EQ(0, hold_unuse(fd)) KIND();
		}
		EXPECT_EQ(0, hold_put(fd)) KIND();
		EXPECT_TRUE(p2p_settles(self->provider, self->before - self->size))
			KIND();
	}
	close(fd);
}

/* A use keeps the memory, even when its ticket is gone. */
TEST_F(mapping, use_outlives_ticket)
{
	int fd = HOLD_OPEN();
	char *mem = p2p_map(self->provider, self->size);

	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_EQ(0, hold(fd, ticket, mem, self->size, true));
	EXPECT_EQ(0, hold_use(fd));
	EXPECT_EQ(0, hold_use(fd));
	EXPECT_EQ(0, munmap(mem, self->size));
	EXPECT_EQ(0, hold_put(fd));
	EXPECT_EQ(0, hold_unuse(fd));
	usleep(100000);
	EXPECT_EQ(self->before - 2 * (long long)self->size,
		  p2p_available(self->provider));
	EXPECT_EQ(0, hold_unuse(fd));
	EXPECT_TRUE(p2p_settles(self->provider, self->before - self->size));
	EXPECT_EQ(-EINVAL, hold_unuse(fd));
	close(fd);
}

/* Another buffer right behind: one contiguous range, but two buffers. */
TEST_F(mapping, one_buffer)
{
	size_t half = self->size / 2;
	char *room = mmap(NULL, 4 * self->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	int fd = HOLD_OPEN(), sysfs = p2p_open(self->provider, O_RDWR);
	const struct hold_kind *kind;
	char *ram = room + 2 * half;

	ASSERT_NE(MAP_FAILED, room);
	ASSERT_EQ(room, mmap(room, half, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_FIXED, sysfs, 0));
	ASSERT_EQ(room + half, mmap(room + half, half, PROT_READ | PROT_WRITE,
				    MAP_SHARED | MAP_FIXED, sysfs, 0));
	ASSERT_EQ(0, mprotect(ram, half, PROT_READ | PROT_WRITE));
	*ram = 1;

	for (kind = hold_kinds; kind <= ticket; kind++) {
		EXPECT_EQ(0, hold(fd, kind, room, half, true)) KIND();
		EXPECT_EQ(0, hold_put(fd));
		EXPECT_EQ(-EINVAL, hold(fd, kind, room, half + 1, true)) KIND();
		EXPECT_EQ(-EINVAL, hold(fd, kind, room + half - 1, 2, true)) KIND();
		/* RAM after it, and before it. */
		EXPECT_EQ(-EINVAL, hold(fd, kind, room + half, half + 1, true)) KIND();
		EXPECT_EQ(-ENOTTY, hold(fd, kind, ram, 1, true)) KIND();
		/* Nothing mapped after it. */
		ASSERT_EQ(0, munmap(ram, self->page));
		EXPECT_EQ(-EFAULT, hold(fd, kind, room + half, half + 1, true)) KIND();
		EXPECT_EQ(-ENOTTY, hold(fd, kind, ram, 1, true)) KIND();
		ASSERT_EQ(ram, mmap(ram, self->page, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
		*ram = 1;
	}
	EXPECT_EQ(0, munmap(room, 4 * self->size));
	close(sysfs);
	close(fd);
}

TEST_F(mapping, permissions)
{
	const struct hold_kind *kind;
	int fd = HOLD_OPEN();

	for (kind = hold_kinds; kind <= ticket; kind++) {
		ASSERT_EQ(0, mprotect(self->mem, self->size, PROT_READ));
		EXPECT_EQ(-EFAULT, hold(fd, kind, self->mem, self->size, true)) KIND();
		EXPECT_EQ(0, hold(fd, kind, self->mem, self->size, false)) KIND();
		EXPECT_EQ(0, hold_put(fd));
		ASSERT_EQ(0, mprotect(self->mem, self->size, PROT_NONE));
		EXPECT_EQ(-EFAULT, hold(fd, kind, self->mem, self->size, false)) KIND();
		/* Only a part of it. */
		ASSERT_EQ(0, mprotect(self->mem, self->size, PROT_READ | PROT_WRITE));
		ASSERT_EQ(0, mprotect(self->mem + self->page, self->page, PROT_READ));
		EXPECT_EQ(-EFAULT, hold(fd, kind, self->mem, self->size, true)) KIND();
		EXPECT_EQ(0, hold(fd, kind, self->mem, self->size, false)) KIND();
		EXPECT_EQ(0, hold_put(fd));
		ASSERT_EQ(0, mprotect(self->mem, self->size, PROT_READ | PROT_WRITE));

		EXPECT_EQ(-EINVAL, hold(fd, kind, self->mem, 0, true)) KIND();
		EXPECT_EQ(-EFAULT, hold(fd, kind, self->mem, -self->page, true)) KIND();
		EXPECT_EQ(-EFAULT, hold(fd, kind, (void *)-self->page, 1, true)) KIND();
	}
	close(fd);
}

/* The two halves of a buffer, in swapped order. */
TEST_F(mapping, moved)
{
	size_t half = self->size / 2;
	char *room = mmap(NULL, self->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *mem = p2p_map(self->provider, self->size);
	struct p2p_test_extent extents[PAGES];
	const struct hold_kind *kind;
	int fd = HOLD_OPEN();
	int nr;

	ASSERT_NE(MAP_FAILED, room);
	ASSERT_NE(MAP_FAILED, mem);
	p2p_set(mem, self->size, 1);
	ASSERT_EQ(room + half, mremap(mem, half, half, MREMAP_MAYMOVE | MREMAP_FIXED,
				      room + half));
	ASSERT_EQ(room, mremap(mem + half, half, half, MREMAP_MAYMOVE | MREMAP_FIXED,
			       room));
	for (kind = hold_kinds; kind <= ticket; kind++) {
		nr = hold_extents(fd, kind, room, self->size, extents, PAGES);
		EXPECT_EQ(kind == ticket ? 2 : PAGES, nr) KIND();
		p2p_set(room, self->size, 1);
		EXPECT_TRUE(describe(extents, nr, room, self->size, self->page)) KIND();
		EXPECT_EQ(0, hold_put(fd));
	}
	EXPECT_EQ(0, munmap(room, self->size));
	close(fd);
}

TEST_F(mapping, many)
{
	struct p2p_test_hold arg = {
		.addr = (uintptr_t)self->mem,
		.len = self->size,
		.nr = MANY,
		.write = 1,
		.arm = 1,
	};
	int fd = HOLD_OPEN(), test = P2P_TEST_OPEN();
	uint64_t pfn = PAGEMAP_PFN(p2p_pagemap(self->mem));

	EXPECT_EQ(0, hold_call(fd, &arg));
	EXPECT_EQ(1 + MANY * GUP_PIN_COUNTING_BIAS, gup_count(test, pfn));
	/* A file has the holds of one call. */
	EXPECT_EQ(-EBUSY, hold(fd, lease, self->mem, 1, true));
	EXPECT_EQ(0, hold_put(fd));
	EXPECT_EQ(1, gup_count(test, pfn));
	arg.ticket = 1;
	EXPECT_EQ(0, hold_call(fd, &arg));
	EXPECT_EQ(1, gup_count(test, pfn));
	EXPECT_EQ(0, hold_use(fd));
	EXPECT_EQ(0, hold_unuse(fd));
	close(test);
	close(fd);
}

/*
 * The holder is the open file, which may belong to a process without the
 * mapping.
 */
TEST_F(mapping, exit)
{
	const struct hold_kind *kind;
	pid_t child;
	int fd;

	for_each_hold_kind(kind) {
		fd = HOLD_OPEN();
		child = fork();
		ASSERT_LE(0, child);
		if (!child) {
			char *mem = p2p_map(self->provider, self->size);

			_exit(mem == MAP_FAILED || hold(fd, kind, mem, self->size, true));
		}
		EXPECT_EQ(0, p2p_wait(child)) KIND();
		EXPECT_EQ(self->before - 2 * (long long)self->size,
			  p2p_available(self->provider)) KIND();
		close(fd);
		EXPECT_TRUE(p2p_settles(self->provider, self->before - self->size))
			KIND();
	}
}

/* A killed process leaves no hold behind. */
TEST_F(mapping, killed)
{
	const struct hold_kind *kind;
	int up[2], status;
	pid_t child;
	char c;

	for_each_hold_kind(kind) {
		ASSERT_EQ(0, pipe(up));
		child = fork();
		ASSERT_LE(0, child);
		if (!child) {
			int fd = open(P2P_HOLD_FILE, O_RDWR);
			char *mem = p2p_map(self->provider, self->size);

			if (fd < 0 || mem == MAP_FAILED ||
			    hold(fd, kind, mem, self->size, true) ||
			    (kind->ticket && hold_use(fd)) || write(up[1], "x", 1) != 1)
				_exit(1);
			pause();
		}
		close(up[1]);
		EXPECT_EQ(1, read(up[0], &c, 1)) KIND();
		kill(child, SIGKILL);
		EXPECT_EQ(child, waitpid(child, &status, 0));
		EXPECT_EQ(SIGKILL, status);
		close(up[0]);
		EXPECT_TRUE(p2p_settles(self->provider, self->before - self->size))
			KIND();
	}
}

/* A child inherits the file, and a mapping of the same buffer. */
TEST_F(mapping, fork)
{
	const struct hold_kind *kind;
	int fd = HOLD_OPEN();
	pid_t child;

	for_each_hold_kind(kind) {
		ASSERT_EQ(0, hold(fd, kind, self->mem, self->size, true)) KIND();
		child = fork();
		ASSERT_LE(0, child);
		if (!child) {
			int own = open(P2P_HOLD_FILE, O_RDWR);

			p2p_store(self->mem, p2p_load(self->mem));
			if (own < 0 || hold(own, kind, self->mem, self->size, true) ||
			    (kind->ticket && (hold_use(fd) || hold_unuse(fd))))
				_exit(1);
			_exit(munmap(self->mem, self->size) ? 2 : 0);
		}
		EXPECT_EQ(0, p2p_wait(child)) KIND();
		if (kind->ticket) {
			EXPECT_EQ(0, hold_use(fd)) KIND();
			EXPECT_EQ(0, hold_unuse(fd)) KIND();
		}
		EXPECT_EQ(0, hold_put(fd)) KIND();
	}
	EXPECT_TRUE(p2p_intact(self));
	close(fd);
}

/* exec() ends the mapping; and the hold, if it closes the file. */
static void hold_and_exec(struct __test_metadata *_metadata,
			  struct _test_data_mapping *self,
			  const struct hold_kind *kind, bool keeps)
{
	int up[2], down[2];
	pid_t child;
	char c;

	ASSERT_EQ(0, pipe2(up, O_CLOEXEC));
	ASSERT_EQ(0, pipe2(down, O_CLOEXEC));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		int fd = open(P2P_HOLD_FILE, O_RDWR | (keeps ? 0 : O_CLOEXEC));
		char *mem = p2p_map(self->provider, self->size);

		if (mem == MAP_FAILED || hold(fd, kind, mem, self->size, true))
			_exit(2);
		dup2(up[1], STDOUT_FILENO);
		dup2(down[0], STDIN_FILENO);
		setenv(EXEC_VARIABLE, "1", 1);
		execl("/proc/self/exe", "hold", NULL);
		_exit(3);
	}
	close(up[1]);
	close(down[0]);
	EXPECT_EQ(1, read(up[0], &c, 1)) KIND();
	EXPECT_TRUE(p2p_settles(self->provider, self->before -
				(keeps ? 2 : 1) * (long long)self->size)) KIND();
	close(down[1]);
	close(up[0]);
	EXPECT_EQ(0, p2p_wait(child)) KIND();
	EXPECT_TRUE(p2p_settles(self->provider, self->before - self->size)) KIND();
}

TEST_F(mapping, exec)
{
	const struct hold_kind *kind;

	for_each_hold_kind(kind) {
		hold_and_exec(_metadata, self, kind, true);
		hold_and_exec(_metadata, self, kind, false);
	}
}

TEST_HARNESS_MAIN
