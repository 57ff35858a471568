// SPDX-License-Identifier: GPL-2.0
/* madvise() on a mapping of peer-to-peer memory. */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "mapping.h"

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED	24
#endif
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE	101
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE		25
#endif

/* Accepted as for any file mapping, without effect. */
TEST_F(mapping, hints)
{
	static const int hint[] = {
		MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(hint); i++)
		EXPECT_EQ(0, madvise(self->mem, self->size, hint[i]))
			TH_LOG("advice %d: %s", hint[i], strerror(errno));
	EXPECT_TRUE(p2p_intact(self));
}

/* Nothing can be paged out: the entries stay. */
TEST_F(mapping, cold_and_pageout)
{
	uint64_t entry = p2p_pagemap(self->mem);

	ASSERT_TRUE(entry & PAGEMAP_PRESENT);
	EXPECT_EQ(0, madvise(self->mem, self->size, MADV_COLD));
	EXPECT_EQ(entry, p2p_pagemap(self->mem));
	EXPECT_EQ(0, madvise(self->mem, self->size, MADV_PAGEOUT));
	EXPECT_EQ(entry, p2p_pagemap(self->mem));
	EXPECT_TRUE(p2p_intact(self));
}

/* Drops the entries, never the memory. */
TEST_F(mapping, dontneed)
{
	EXPECT_EQ(0, madvise(self->mem, self->size / 2, MADV_DONTNEED));
	EXPECT_FALSE(p2p_present(self->mem));
	EXPECT_TRUE(p2p_present(self->mem + self->size / 2));
	EXPECT_EQ(0, madvise(self->mem, self->size, MADV_DONTNEED_LOCKED));
	EXPECT_FALSE(p2p_present(self->mem + self->size / 2));
	EXPECT_EQ(self->before - self->size, p2p_available(self->provider));
	EXPECT_TRUE(p2p_intact(self));
}

/* A huge entry stays, too. */
TEST_F(mapping, cold_and_pageout_huge)
{
	char *mem = p2p_map(self->provider, 2 * MIB);

	ASSERT_NE(MAP_FAILED, mem);
	p2p_fill(mem, 2 * MIB, SEED, 0);
	EXPECT_EQ(0, madvise(mem, 2 * MIB, MADV_COLD));
	EXPECT_TRUE(p2p_present(mem));
	EXPECT_EQ(0, p2p_fault_of(mem, false));
	EXPECT_EQ(0, madvise(mem, 2 * MIB, MADV_PAGEOUT));
	EXPECT_TRUE(p2p_present(mem));
	EXPECT_EQ(-1, p2p_differs(mem, 2 * MIB, SEED, 0));
	munmap(mem, 2 * MIB);
}

TEST_F(mapping, free_and_remove_refused)
{
	EXPECT_ERRNO(EINVAL, madvise(self->mem, self->size, MADV_FREE));
	EXPECT_ERRNO(ENODEV, madvise(self->mem, self->size, MADV_REMOVE));
	EXPECT_TRUE(p2p_intact(self));
}

TEST_F(mapping, hugepage)
{
	if (access("/sys/kernel/mm/transparent_hugepage", F_OK))
		SKIP(return, WITHOUT "TRANSPARENT_HUGEPAGE");
	EXPECT_EQ(0, madvise(self->mem, self->size, MADV_HUGEPAGE));
	EXPECT_TRUE(p2p_intact(self));
	EXPECT_EQ(0, madvise(self->mem, self->size, MADV_NOHUGEPAGE));
	EXPECT_TRUE(p2p_intact(self));
	/* The pages can't be copied into a huge page. */
	EXPECT_ERRNO(EINVAL, madvise(self->mem, self->size, MADV_COLLAPSE));
	EXPECT_TRUE(p2p_intact(self));
}

/* Accepted as for all shared mappings; two equal pages stay two. */
TEST_F(mapping, mergeable)
{
	uint64_t first, second;

	if (access("/sys/kernel/mm/ksm", F_OK))
		SKIP(return, WITHOUT "KSM");
	p2p_set(self->mem, self->size, 3);
	first = p2p_pagemap(self->mem);
	second = p2p_pagemap(self->mem + self->page);
	EXPECT_EQ(0, madvise(self->mem, self->size, MADV_MERGEABLE));
	ASSERT_EQ(0, p2p_write_file("/sys/kernel/mm/ksm/run", "1"));
	usleep(200000);
	/* Writing 2 unmerges all pages synchronously. */
	EXPECT_EQ(0, p2p_write_file("/sys/kernel/mm/ksm/run", "2"));
	EXPECT_EQ(first, p2p_pagemap(self->mem));
	EXPECT_EQ(second, p2p_pagemap(self->mem + self->page));
	EXPECT_EQ(-1, p2p_not_set(self->mem, self->size, 3));
	EXPECT_EQ(0, p2p_write_file("/sys/kernel/mm/ksm/run", "0"));
	EXPECT_EQ(0, madvise(self->mem, self->size, MADV_UNMERGEABLE));
}

/* Loads a word in a child: 0, or the signal that it raises. */
static int load_in_child(void *addr)
{
	pid_t child = fork();

	if (!child)
		_exit(p2p_fault_of(addr, false));
	return p2p_wait(child);
}

TEST_F(mapping, dontfork)
{
	EXPECT_EQ(0, load_in_child(self->mem));
	EXPECT_EQ(0, madvise(self->mem, self->page, MADV_DONTFORK));
	EXPECT_EQ(SIGSEGV, load_in_child(self->mem));
	EXPECT_EQ(0, load_in_child(self->mem + self->page));
	EXPECT_EQ(0, madvise(self->mem, self->page, MADV_DOFORK));
	EXPECT_EQ(0, load_in_child(self->mem));
	EXPECT_TRUE(p2p_intact(self));
}

TEST_F(mapping, wipeonfork_refused)
{
	EXPECT_ERRNO(EINVAL, madvise(self->mem, self->size, MADV_WIPEONFORK));
	EXPECT_EQ(0, madvise(self->mem, self->size, MADV_KEEPONFORK));
	EXPECT_EQ(0, load_in_child(self->mem));
	EXPECT_TRUE(p2p_intact(self));
}

TEST_F(mapping, dodump_refused)
{
	EXPECT_EQ(0, madvise(self->mem, self->size, MADV_DONTDUMP));
	EXPECT_ERRNO(EINVAL, madvise(self->mem, self->size, MADV_DODUMP));
	EXPECT_TRUE(p2p_intact(self));
}

/* Error injection would access the page with the CPU. */
TEST_F(mapping, hwpoison_refused)
{
	if (access("/sys/devices/system/memory/hard_offline_page", F_OK))
		SKIP(return, WITHOUT "MEMORY_FAILURE");
	EXPECT_ERRNO(EREMOTEIO,
		     madvise(self->mem, self->page, MADV_HWPOISON));
	EXPECT_ERRNO(EREMOTEIO,
		     madvise(self->mem, self->page, MADV_SOFT_OFFLINE));
	EXPECT_EQ(0, p2p_fault_of(self->mem + self->page - 8, false));
	EXPECT_TRUE(p2p_intact(self));
}

/* The same advice from another process, by a pidfd. */
TEST_F(mapping, process_madvise)
{
	struct iovec part[] = {
		{ self->mem, self->page },
		{ self->mem + 2 * self->page, 2 * self->page },
	};
	int pidfd = syscall(__NR_pidfd_open, getpid(), 0);

	ASSERT_LE(0, pidfd);
	EXPECT_EQ(3 * self->page, syscall(__NR_process_madvise, pidfd, part, 2,
					  MADV_COLD, 0));
	EXPECT_EQ(3 * self->page, syscall(__NR_process_madvise, pidfd, part, 2,
					  MADV_PAGEOUT, 0));
	EXPECT_ERRNO(EINVAL, syscall(__NR_process_madvise, pidfd, part, 2,
				     MADV_DONTNEED, 0));
	EXPECT_TRUE(p2p_intact(self));
	close(pidfd);
}

TEST_HARNESS_MAIN
