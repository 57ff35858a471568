// SPDX-License-Identifier: GPL-2.0
/* A mapping of peer-to-peer memory: CPU access, and changes of its VMA. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "variants.h"

#define PAGES	8

FIXTURE(mapping)
{
	P2P_FIXTURE;
};

P2P_VARIANTS(mapping, NULL, NULL);

FIXTURE_SETUP(mapping)
{
	ASSERT_TRUE(p2p_setup(&self->p2p, &variant->p2p, PAGES * sysconf(_SC_PAGESIZE)));
}

/* A test leaves nothing mapped in [mem, mem + size). */
FIXTURE_TEARDOWN(mapping)
{
	p2p_release(&self->p2p);
	EXPECT_EQ(self->before, p2p_available(self->provider));
}

TEST_F(mapping, load_and_store)
{
	uint32_t *half = (uint32_t *)self->mem;
	uint16_t *quarter = (uint16_t *)self->mem;
	uint8_t *byte = (uint8_t *)self->mem;

	p2p_fill(self->mem, self->size, 7, 0);
	EXPECT_EQ(-1, p2p_differs(self->mem, self->size, 7, 0));

	/* accesses of all sizes; atomics, so that they are not merged */
	p2p_store(self->mem, 0x1122334455667788);
	EXPECT_EQ(0x55667788, __atomic_load_n(&half[0], __ATOMIC_RELAXED));
	EXPECT_EQ(0x11223344, __atomic_load_n(&half[1], __ATOMIC_RELAXED));
	EXPECT_EQ(0x5566, __atomic_load_n(&quarter[1], __ATOMIC_RELAXED));
	EXPECT_EQ(0x77, __atomic_load_n(&byte[1], __ATOMIC_RELAXED));
	__atomic_store_n(&half[1], 0xaabbccdd, __ATOMIC_RELAXED);
	__atomic_store_n(&quarter[0], 0x0123, __ATOMIC_RELAXED);
	__atomic_store_n(&byte[2], 0x45, __ATOMIC_RELAXED);
	EXPECT_EQ(0xaabbccdd55450123, p2p_load(self->mem));
}

TEST_F(mapping, read_only)
{
	int fd = p2p_open(self->provider, O_RDONLY);
	char *mem;

	ASSERT_LE(0, fd);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, self->page, PROT_READ | PROT_WRITE,
				   MAP_SHARED, fd, 0));
	EXPECT_EQ(EACCES, errno);
	mem = mmap(NULL, self->page, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, mem);
	close(fd);

	EXPECT_EQ(0, p2p_fault_of(mem, false));
	EXPECT_EQ(SIGSEGV, p2p_fault_of(mem, true));
	EXPECT_EQ(-1, mprotect(mem, self->page, PROT_READ | PROT_WRITE));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(SIGSEGV, p2p_fault_of(mem, true));
	EXPECT_EQ(0, munmap(mem, self->page));
}

TEST_F(mapping, mprotect)
{
	p2p_fill(self->mem, self->size, 1, 0);
	ASSERT_EQ(0, mprotect(self->mem, 2 * self->page, PROT_READ));
	EXPECT_EQ(SIGSEGV, p2p_fault_of(self->mem, true));
	EXPECT_EQ(0, p2p_fault_of(self->mem + 2 * self->page, false));
	ASSERT_EQ(0, mprotect(self->mem, self->page, PROT_NONE));
	EXPECT_EQ(SIGSEGV, p2p_fault_of(self->mem, false));

	ASSERT_EQ(0, mprotect(self->mem, 2 * self->page, PROT_READ | PROT_WRITE));
	EXPECT_EQ(-1, p2p_differs(self->mem, self->size, 1, 0));
	EXPECT_EQ(0, p2p_fault_of(self->mem, true));
}

/* An allocation lives until the last part of its mapping is unmapped. */
TEST_F(mapping, partial_munmap)
{
	long long less = self->before - self->size;

	p2p_fill(self->mem, self->size, 2, 0);
	/* a hole, the start, the end, what is left of it */
	EXPECT_EQ(0, munmap(self->mem + 3 * self->page, 2 * self->page));
	EXPECT_EQ(less, p2p_available(self->provider));
	EXPECT_EQ(SIGSEGV, p2p_fault_of(self->mem + 3 * self->page, 0));
	EXPECT_EQ(-1, p2p_differs(self->mem, 3 * self->page, 2, 0));
	EXPECT_EQ(-1, p2p_differs(self->mem + 5 * self->page, 3 * self->page,
				  2, 5 * self->page));
	EXPECT_EQ(0, munmap(self->mem, 3 * self->page));
	EXPECT_EQ(less, p2p_available(self->provider));
	EXPECT_EQ(0, munmap(self->mem + 6 * self->page, 2 * self->page));
	EXPECT_EQ(less, p2p_available(self->provider));
	EXPECT_EQ(-1, p2p_differs(self->mem + 5 * self->page, self->page,
				  2, 5 * self->page));
	EXPECT_EQ(0, munmap(self->mem + 5 * self->page, self->page));
	EXPECT_EQ(self->before, p2p_available(self->provider));
}

TEST_F(mapping, mremap)
{
	char *moved;

	p2p_fill(self->mem, self->size, 3, 0);
	EXPECT_EQ(MAP_FAILED, mremap(self->mem, self->size, 2 * self->size,
				     MREMAP_MAYMOVE));
	EXPECT_EQ(EFAULT, errno);
	/* An old size of 0 would create a second mapping. */
	EXPECT_EQ(MAP_FAILED, mremap(self->mem, 0, self->size, MREMAP_MAYMOVE));
	EXPECT_EQ(-1, p2p_differs(self->mem, self->size, 3, 0));

	/* Moves over a reservation. */
	moved = mmap(NULL, self->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
		     -1, 0);
	ASSERT_NE(MAP_FAILED, moved);
	ASSERT_EQ(moved, mremap(self->mem, self->size, self->size,
				MREMAP_MAYMOVE | MREMAP_FIXED, moved));
	EXPECT_EQ(SIGSEGV, p2p_fault_of(self->mem, false));
	EXPECT_EQ(-1, p2p_differs(moved, self->size, 3, 0));
	EXPECT_EQ(self->before - self->size, p2p_available(self->provider));

	/* shrink: the first half still keeps all memory */
	ASSERT_EQ(moved, mremap(moved, self->size, self->size / 2, 0));
	EXPECT_EQ(-1, p2p_differs(moved, self->size / 2, 3, 0));
	EXPECT_EQ(self->before - self->size, p2p_available(self->provider));
	EXPECT_EQ(0, munmap(moved, self->size / 2));
}

TEST_F(mapping, map_fixed_over_it)
{
	p2p_set(self->mem, self->size, 4);
	ASSERT_EQ(self->mem, mmap(self->mem, self->size, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	EXPECT_EQ(self->before, p2p_available(self->provider));
	EXPECT_EQ(-1, p2p_not_set(self->mem, self->size, 0));
}

TEST_F(mapping, faults_on_demand)
{
	uint64_t pfn;
	int i;

	for (i = 0; i < PAGES; i++)
		EXPECT_FALSE(p2p_pagemap(self->mem + i * self->page) &
			     PAGEMAP_PRESENT);
	EXPECT_EQ(0, p2p_fault_of(self->mem + self->page, false));
	EXPECT_TRUE(p2p_pagemap(self->mem + self->page) & PAGEMAP_PRESENT);

	/* MADV_DONTNEED drops the entry, never the memory. */
	p2p_fill(self->mem, self->size, 6, 0);
	pfn = PAGEMAP_PFN(p2p_pagemap(self->mem));
	EXPECT_TRUE(p2p_pfn_in_bar(self->provider, pfn));
	ASSERT_EQ(0, madvise(self->mem, self->size, MADV_DONTNEED));
	EXPECT_FALSE(p2p_pagemap(self->mem) & PAGEMAP_PRESENT);
	EXPECT_EQ(-1, p2p_differs(self->mem, self->size, 6, 0));
	EXPECT_EQ(pfn, PAGEMAP_PFN(p2p_pagemap(self->mem)));
}

/* A fault maps the surrounding pages, up to 64 KiB, and nothing else. */
TEST_F(mapping, faults_around)
{
	const size_t around = 64 * KIB, size = 4 * around;
	char *mem = p2p_map(self->provider, size);
	char *start;
	size_t i;

	ASSERT_NE(MAP_FAILED, mem);
	start = (char *)(((uintptr_t)mem + around - 1) & ~(around - 1)) + around;
	EXPECT_EQ(0, p2p_fault_of(start + 5 * self->page, true));
	for (i = 0; i < size; i += self->page)
		EXPECT_EQ(mem + i >= start && mem + i < start + around,
			  !!(p2p_pagemap(mem + i) & PAGEMAP_PRESENT));
	p2p_fill(mem, size, 7, 0);
	EXPECT_EQ(-1, p2p_differs(mem, size, 7, 0));
	munmap(mem, size);
}

TEST_F(mapping, populate)
{
	int fd = p2p_open(self->provider, O_RDWR);
	unsigned char vec[PAGES];
	char *mem;
	int i;

	ASSERT_LE(0, fd);
	mem = mmap(NULL, self->size, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_POPULATE, fd, 0);
	ASSERT_NE(MAP_FAILED, mem);
	close(fd);
	ASSERT_EQ(0, mincore(mem, self->size, vec));
	for (i = 0; i < PAGES; i++) {
		EXPECT_TRUE(vec[i] & 1);
		EXPECT_TRUE(p2p_pagemap(mem + i * self->page) & PAGEMAP_PRESENT);
	}
	EXPECT_EQ(0, munmap(mem, self->size));

	ASSERT_EQ(0, madvise(self->mem, self->page, MADV_POPULATE_READ));
	EXPECT_TRUE(p2p_pagemap(self->mem) & PAGEMAP_PRESENT);
	ASSERT_EQ(0, madvise(self->mem, self->size, MADV_DONTNEED));
	ASSERT_EQ(0, madvise(self->mem + self->page, self->page,
			     MADV_POPULATE_WRITE));
	EXPECT_TRUE(p2p_pagemap(self->mem + self->page) & PAGEMAP_PRESENT);
}

static bool all_present(const char *mem, size_t size, size_t page)
{
	size_t i;

	for (i = 0; i < size; i += page)
		if (!(p2p_pagemap(mem + i) & PAGEMAP_PRESENT))
			return false;
	return true;
}

/* Memory locked in RAM, in kB; -1 if unknown. */
static long locked(void)
{
	char line[128];
	long kb = -1;
	FILE *file;

	file = fopen("/proc/self/status", "r");
	while (file && kb < 0 && fgets(line, sizeof(line), file))
		sscanf(line, "VmLck: %ld kB", &kb);
	if (file)
		fclose(file);
	return kb;
}

/* It can't be swapped, so mlock() only populates it. */
TEST_F(mapping, mlock)
{
	EXPECT_EQ(0, mlock(self->mem, self->size));
	EXPECT_TRUE(all_present(self->mem, self->size, self->page));
	EXPECT_EQ(0, locked());
	EXPECT_EQ(0, munlock(self->mem, self->size));
	EXPECT_EQ(0, mlockall(MCL_CURRENT));
	EXPECT_EQ(0, munlockall());

	ASSERT_EQ(0, madvise(self->mem, self->size, MADV_DONTNEED));
	EXPECT_EQ(0, mlock2(self->mem, self->size, MLOCK_ONFAULT));
	EXPECT_EQ(0, locked());
	EXPECT_EQ(0, munlock(self->mem, self->size));
}

/* Later mappings, or those with MAP_LOCKED, are populated as well. */
TEST_F(mapping, mlock_future)
{
	int fd = p2p_open(self->provider, O_RDWR);
	char *mem;
	long kb;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, mlockall(MCL_FUTURE));
	kb = locked();
	mem = mmap(NULL, self->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, mem);
	EXPECT_TRUE(all_present(mem, self->size, self->page));
	EXPECT_EQ(kb, locked());
	EXPECT_EQ(0, munmap(mem, self->size));
	EXPECT_EQ(kb, locked());
	EXPECT_EQ(0, munlockall());

	mem = mmap(NULL, self->size, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_LOCKED, fd, 0);
	ASSERT_NE(MAP_FAILED, mem);
	close(fd);
	EXPECT_TRUE(all_present(mem, self->size, self->page));
	EXPECT_EQ(0, munmap(mem, self->size));
}

/* Finds the smaps lines from the VMA's first to its VmFlags. */
static bool smaps_of(const void *mem, char *head, char *flags, size_t size)
{
	unsigned long start, end;
	bool inside = false;
	char line[512];
	FILE *file;

	head[0] = '\0';
	flags[0] = '\0';
	file = fopen("/proc/self/smaps", "r");
	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2) {
			inside = start == (unsigned long)mem;
			if (inside)
				snprintf(head, size, "%s", line);
		} else if (inside && !strncmp(line, "VmFlags:", 8)) {
			snprintf(flags, size, "%s", line);
		}
	}
	if (file)
		fclose(file);
	return head[0] && flags[0];
}

TEST_F(mapping, shown_in_proc)
{
	char head[512], flags[512], name[64];
	const char *const want[] = { " sh ", " pp ", " de ", " dd " };
	const char *const odd[] = { " pf ", " mm ", " io " };
	size_t i;

	p2p_set(self->mem, self->size, 9);
	ASSERT_TRUE(smaps_of(self->mem, head, flags, sizeof(head)));
	snprintf(name, sizeof(name), " p2pmem:%s\n", self->provider);
	EXPECT_NE(NULL, strstr(head, name));
	EXPECT_NE(NULL, strstr(head, " rw-s "));
	for (i = 0; i < ARRAY_SIZE(want); i++) {
		EXPECT_NE(NULL, strstr(flags, want[i]))
			TH_LOG("no%s in %s", want[i], flags);
	}
	for (i = 0; i < ARRAY_SIZE(odd); i++)
		EXPECT_EQ(NULL, strstr(flags, odd[i]));
}

TEST_HARNESS_MAIN
