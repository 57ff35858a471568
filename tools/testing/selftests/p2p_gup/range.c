// SPDX-License-Identifier: GPL-2.0
/*
 * Peer-to-peer memory without struct pages: the uses of a mapping by a process.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "range_fixture.h"

#define P2P_TEST_EXTENTS_FILE "/sys/kernel/debug/p2p_test_extents"

TEST_F(range, load_and_store)
{
	char *other;

	p2p_fill(self->mem, self->size, SEED, 0);
	other = map_vram(self->vram, self->size, FIRST * self->page);
	ASSERT_NE(MAP_FAILED, other);
	EXPECT_TRUE(holds(other, self->size, SEED));
	/* A mapping with another offset. */
	EXPECT_EQ(0, munmap(other, self->size));
	other = map_vram(self->vram, self->page, (FIRST + 3) * self->page);
	ASSERT_NE(MAP_FAILED, other);
	EXPECT_EQ(-1, p2p_unlike(other, self->mem + 3 * self->page, self->page));
	EXPECT_EQ(0, munmap(other, self->page));
}

TEST_F(range, mmap_bounds)
{
	uint64_t last = self->bar_len - self->page;
	char *mem;
	int fd;

	mem = map_vram(self->vram, self->page, last);
	ASSERT_NE(MAP_FAILED, mem);
	p2p_store(mem, SEED);
	EXPECT_EQ(SEED, p2p_load(mem));
	munmap(mem, self->page);

	EXPECT_EQ(MAP_FAILED, map_vram(self->vram, 2 * self->page, last));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, map_vram(self->vram, self->page, self->bar_len));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, map_vram(self->vram, self->page, 1L << 45));
	EXPECT_EQ(EINVAL, errno);

	fd = open_vram(self->vram, O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, self->page, PROT_READ, MAP_PRIVATE,
				   fd, 0));
	EXPECT_EQ(EINVAL, errno);
	close(fd);
}

/* Users of pages get a distinct error. */
TEST_F(range, no_pages)
{
	struct p2p_test_pin pin = {
		.addr = (uintptr_t)self->mem,
		.len = self->page,
		.nr_extents = 1,
	};
	const struct form *form;
	int fd = open(P2P_TEST_FILE, O_RDWR);

	ASSERT_LE(0, fd);
	for_each_form(form) {
		long refused = form->only ? 0 : -EREMOTEIO;

		EXPECT_EQ(refused, gup(fd, form->nr, self->mem, 1, 0));
		EXPECT_EQ(refused, gup(fd, form->nr, self->mem, 1,
				       FOLL_PCI_P2PDMA)) {
			TH_LOG("%s, not mapped yet", form->name);
		}
		p2p_load(self->mem);
		EXPECT_EQ(refused, gup(fd, form->nr, self->mem, 1,
				       FOLL_PCI_P2PDMA)) {
			TH_LOG("%s, mapped", form->name);
		}
		ASSERT_EQ(0, madvise(self->mem, self->size, MADV_DONTNEED));
	}
	/* follow_pfn() fails, too: its result could not be revoked. */
	p2p_load(self->mem);
	EXPECT_EQ(-1, ioctl(fd, P2P_TEST_FOLLOW_PFN, self->mem));
	EXPECT_EQ(EINVAL, errno);
	close(fd);

	fd = open(P2P_TEST_EXTENTS_FILE, O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, ioctl(fd, P2P_TEST_EXTENTS, &pin));
	EXPECT_EQ(-EREMOTEIO, pin.result);
	close(fd);

	fd = open(p2p_disk("raw"), O_RDONLY | O_DIRECT | O_CLOEXEC);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EREMOTEIO, p2p_result(pread(fd, self->mem, self->page, 0)));
	p2p_load(self->mem);
	EXPECT_EQ(-EREMOTEIO, p2p_result(pread(fd, self->mem, self->page, 0)));
	close(fd);
}

TEST_F(range, populate)
{
	int fd = open_vram(self->vram, O_RDWR);
	char *mem;

	ASSERT_LE(0, fd);
	mem = mmap(NULL, self->size, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_POPULATE, fd, 0);
	ASSERT_NE(MAP_FAILED, mem);
	EXPECT_EQ(0, p2p_fault_of(mem, true));
	EXPECT_EQ(-EINVAL, p2p_result(madvise(mem, self->size,
					      MADV_POPULATE_READ)));
	EXPECT_EQ(0, mlock(mem, self->size));
	munmap(mem, self->size);
	close(fd);
}

TEST_F(range, vma_calls)
{
	size_t half = self->size / 2;
	char *moved;

	p2p_fill(self->mem, self->size, SEED, 0);
	ASSERT_EQ(0, madvise(self->mem, self->size, MADV_DONTNEED));
	EXPECT_TRUE(holds(self->mem, self->size, SEED));

	ASSERT_EQ(0, mprotect(self->mem, self->size, PROT_READ));
	EXPECT_EQ(SIGSEGV, p2p_fault_of(self->mem, true));
	EXPECT_EQ(0, p2p_fault_of(self->mem, false));
	ASSERT_EQ(0, mprotect(self->mem, self->size, PROT_READ | PROT_WRITE));
	EXPECT_TRUE(holds(self->mem, self->size, SEED));

	moved = mremap(self->mem, half, half, MREMAP_MAYMOVE | MREMAP_FIXED,
		       p2p_ram(half));
	ASSERT_NE(MAP_FAILED, moved);
	EXPECT_TRUE(holds(moved, half, SEED));
	EXPECT_EQ(SIGSEGV, p2p_fault_of(self->mem, false));
	EXPECT_EQ(0, p2p_fault_of(self->mem + half, false));
	EXPECT_EQ(-EFAULT, p2p_result((long)mremap(moved, half, self->size,
						   MREMAP_MAYMOVE)));
	munmap(moved, half);
}

TEST_F(range, fork_shares)
{
	int status;
	pid_t child;

	p2p_fill(self->mem, self->size, SEED, 0);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		bool same = holds(self->mem, self->size, SEED);

		p2p_fill(self->mem, self->size, SEED + 1, 0);
		_exit(!same);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_TRUE(holds(self->mem, self->size, SEED + 1));
}

/* Access by a debugger, also to pages not touched yet. */
TEST_F(range, debugger)
{
	uint64_t words[2] = { 1, 2 };
	off_t at = (uintptr_t)self->mem + self->page - sizeof(uint64_t);
	int fd = open("/proc/self/mem", O_RDWR);

	ASSERT_LE(0, fd);
	EXPECT_EQ(sizeof(words), p2p_result(pwrite(fd, words, sizeof(words), at)));
	EXPECT_EQ(1, p2p_load(self->mem + self->page - sizeof(uint64_t)));
	EXPECT_EQ(2, p2p_load(self->mem + self->page));
	p2p_store(self->mem + self->page, 3);
	EXPECT_EQ(sizeof(words), p2p_result(pread(fd, words, sizeof(words), at)));
	EXPECT_EQ(1, words[0]);
	EXPECT_EQ(3, words[1]);

	ASSERT_EQ(0, mprotect(self->mem, self->size, PROT_READ));
	EXPECT_EQ(-EIO, p2p_result(pwrite(fd, words, sizeof(words), at)));
	close(fd);
}

/* The name and the flags in /proc. */
TEST_F(range, proc)
{
	char line[512], want[P2P_PATH_LEN];
	bool found = false, flags = false;
	FILE *file = fopen("/proc/self/smaps", "r");

	ASSERT_NE(NULL, file);
	p2p_load(self->mem);
	snprintf(want, sizeof(want), "p2pmem:%s", self->vram);
	while (!flags && fgets(line, sizeof(line), file)) {
		found |= !!strstr(line, want);
		if (found && !strncmp(line, "Rss:", 4))
			EXPECT_EQ(0, atoi(line + 4));
		flags = found && !strncmp(line, "VmFlags:", 8);
	}
	fclose(file);
	ASSERT_TRUE(flags);
	EXPECT_NE(NULL, strstr(line, " pp"));
	EXPECT_NE(NULL, strstr(line, " io"));
	/* Nothing can be allocated, but there are routes. */
	EXPECT_EQ(0, p2p_number(self->vram, "p2pmem/size"));
	p2p_path(want, self->vram, "p2pmem/allocate");
	EXPECT_NE(0, access(want, F_OK));
	p2p_path(want, self->vram, "p2pmem/routes");
	EXPECT_EQ(0, access(want, R_OK));
}

TEST_HARNESS_MAIN
