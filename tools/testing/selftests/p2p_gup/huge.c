// SPDX-License-Identifier: GPL-2.0
/*
 * Large buffers: folios as large as the page table entries that map them, and
 * what splits the entries and the folios.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gup_call.h"
#include "trace.h"
#include "variants.h"

#define EXTENTS_FILE	"/sys/kernel/debug/p2p_test_extents"

#define PMD		(2 * MIB)
#define PUD		(1024 * MIB)
#define SIZE		(3 * PMD)

FIXTURE(huge)
{
	P2P_FIXTURE;
	int gup;
	int extents;
};

P2P_VARIANTS(huge, NULL, NULL);

FIXTURE_SETUP(huge)
{
	self->gup = P2P_TEST_OPEN();
	self->extents = open(EXTENTS_FILE, O_RDWR);
	if (!trace_there() || self->extents < 0)
		SKIP(p2p_skip_now(), "no tracepoints: CONFIG_FTRACE?");
	ASSERT_TRUE(trace_start());
	ASSERT_TRUE(p2p_setup(&self->p2p, &variant->p2p, SIZE));
}

/* A test leaves nothing mapped in [mem, mem + SIZE). */
FIXTURE_TEARDOWN(huge)
{
	trace_stop();
	close(self->gup);
	close(self->extents);
	p2p_release(&self->p2p);
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

static int faults(int order)
{
	return traced(" order=%d ", order);
}

/* Writes one word per page that identifies it: BAR memory may be slow. */
static void put(char *mem, size_t len, uint64_t seed)
{
	for (size_t i = 0; i < len; i += 64 * KIB)
		p2p_store(mem + i, seed + i);
}

static bool has(const char *mem, size_t len, uint64_t seed)
{
	for (size_t i = 0; i < len; i += 64 * KIB)
		if (p2p_load(mem + i) != seed + i)
			return false;
	return true;
}

static int pin_extents(int fd, const char *mem, size_t len,
		       struct p2p_test_extent *extents, int nr, bool hold)
{
	struct p2p_test_pin pin = {
		.addr = (uintptr_t)mem,
		.len = len,
		.extents = (uintptr_t)extents,
		.nr_extents = nr,
		.gup_flags = FOLL_WRITE,
		.hold = hold,
	};

	if (ioctl(fd, P2P_TEST_EXTENTS, &pin)) {
		perror("P2P_TEST_EXTENTS");
		return -1000;
	}
	return pin.result;
}

/* The address is aligned, so that one fault maps 2 MiB. */
TEST_F(huge, one_fault_each)
{
	EXPECT_EQ(0, (uintptr_t)self->mem % PMD);
	put(self->mem, SIZE, 1);
	EXPECT_TRUE(has(self->mem, SIZE, 1));
	EXPECT_EQ(SIZE / PMD, faults(9));
	EXPECT_EQ(0, faults(0));
	EXPECT_EQ(0, PAGEMAP_PFN(p2p_pagemap(self->mem)) % (PMD / self->page));
	EXPECT_EQ(PAGEMAP_PFN(p2p_pagemap(self->mem)) + 700,
		  PAGEMAP_PFN(p2p_pagemap(self->mem + 700 * self->page)));
}

TEST_F(huge, populated_by_few_faults)
{
	ASSERT_EQ(0, madvise(self->mem, SIZE, MADV_POPULATE_WRITE));
	EXPECT_EQ(SIZE / PMD, faults(9));
	EXPECT_EQ(0, faults(0));
}

TEST_F(huge, small_buffers_stay_small)
{
	char *mem;

	munmap(self->mem, SIZE);
	mem = p2p_map(self->provider, PMD - self->page);
	ASSERT_NE(MAP_FAILED, mem);
	put(mem, PMD - self->page, 2);
	EXPECT_EQ(0, faults(9));
	EXPECT_NE(0, faults(0));
	munmap(mem, PMD - self->page);
}

TEST_F(huge, not_wanted)
{
	ASSERT_EQ(0, madvise(self->mem, SIZE, MADV_NOHUGEPAGE));
	put(self->mem, SIZE, 3);
	EXPECT_TRUE(has(self->mem, SIZE, 3));
	EXPECT_EQ(0, faults(9));
	EXPECT_EQ(SIZE / (64 * KIB), faults(0));
}

/* Base pages map the same folios: a holder of a page sees no difference. */
TEST_F(huge, unaligned_address)
{
	char *room = mmap(NULL, SIZE + 2 * PMD, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *at = (char *)(((uintptr_t)room + PMD) & ~(PMD - 1)) + self->page;
	struct p2p_test_extent extents[4];
	int fd = p2p_open(self->provider, O_RDWR);

	ASSERT_NE(MAP_FAILED, room);
	munmap(self->mem, SIZE);
	ASSERT_EQ(at, mmap(at, SIZE, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_FIXED, fd, 0));
	close(fd);
	put(at, SIZE, 4);
	EXPECT_TRUE(has(at, SIZE, 4));
	EXPECT_EQ(0, faults(9));
	ASSERT_EQ(0, madvise(at, SIZE, MADV_POPULATE_READ));
	/* 64 KiB each, and the last part */
	EXPECT_EQ(SIZE / (64 * KIB) + 1, faults(0));

	EXPECT_EQ(SIZE / PMD, pin_extents(self->extents, at, SIZE, extents, 4,
					  false));
	EXPECT_EQ(0, extents[1].offset);
	EXPECT_EQ(PMD, extents[1].len);
	EXPECT_EQ(9, extents[1].order);
	munmap(room, SIZE + 2 * PMD);
}

TEST_F(huge, partial_munmap)
{
	put(self->mem, SIZE, 5);
	EXPECT_EQ(0, munmap(self->mem + PMD + 5 * 64 * KIB, 64 * KIB));
	EXPECT_EQ(SIGSEGV, p2p_fault_of(self->mem + PMD + 5 * 64 * KIB, false));
	EXPECT_EQ(self->before - SIZE, p2p_available(self->provider));
	EXPECT_TRUE(has(self->mem, PMD + 5 * 64 * KIB, 5));
	EXPECT_TRUE(has(self->mem + PMD + 6 * 64 * KIB, SIZE - PMD - 6 * 64 * KIB,
			5 + PMD + 6 * 64 * KIB));
	EXPECT_EQ(SIZE / PMD, faults(9));
}

TEST_F(huge, mprotect)
{
	put(self->mem, SIZE, 6);
	/* the whole of an entry, then a part of another */
	ASSERT_EQ(0, mprotect(self->mem, PMD, PROT_READ));
	ASSERT_EQ(0, mprotect(self->mem + PMD, 64 * KIB, PROT_NONE));
	EXPECT_EQ(SIGSEGV, p2p_fault_of(self->mem, true));
	EXPECT_EQ(SIGSEGV, p2p_fault_of(self->mem + PMD, false));
	EXPECT_EQ(0, p2p_fault_of(self->mem + PMD + 64 * KIB, true));
	ASSERT_EQ(0, mprotect(self->mem, SIZE, PROT_READ | PROT_WRITE));
	p2p_store(self->mem, 6);
	EXPECT_TRUE(has(self->mem, PMD, 6));
	EXPECT_TRUE(has(self->mem + PMD + 128 * KIB, SIZE - PMD - 128 * KIB,
			6 + PMD + 128 * KIB));
}

TEST_F(huge, mremap)
{
	char *room = mmap(NULL, 3 * PMD, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *aligned = (char *)(((uintptr_t)room + PMD - 1) & ~(PMD - 1));
	int before;

	ASSERT_NE(MAP_FAILED, room);
	put(self->mem, SIZE, 7);
	before = faults(9);

	/* a whole entry: no new fault */
	ASSERT_EQ(aligned, mremap(self->mem, PMD, PMD,
				  MREMAP_MAYMOVE | MREMAP_FIXED, aligned));
	EXPECT_TRUE(has(aligned, PMD, 7));
	EXPECT_EQ(before, faults(9));
	EXPECT_EQ(0, faults(0));

	/* to an unaligned address, and half of an entry */
	ASSERT_EQ(aligned + PMD + 64 * KIB,
		  mremap(self->mem + PMD, MIB, MIB, MREMAP_MAYMOVE | MREMAP_FIXED,
			 aligned + PMD + 64 * KIB));
	EXPECT_TRUE(has(aligned + PMD + 64 * KIB, MIB, 7 + PMD));
	EXPECT_TRUE(has(self->mem + PMD + MIB, SIZE - PMD - MIB, 7 + PMD + MIB));
	munmap(room, 3 * PMD);
}

TEST_F(huge, dontneed)
{
	put(self->mem, SIZE, 8);
	ASSERT_EQ(0, madvise(self->mem + 64 * KIB, 64 * KIB, MADV_DONTNEED));
	ASSERT_EQ(0, madvise(self->mem + PMD, PMD, MADV_DONTNEED));
	EXPECT_TRUE(has(self->mem, SIZE, 8));
}

TEST_F(huge, fork)
{
	int status;
	pid_t child;

	put(self->mem, SIZE, 9);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		if (!has(self->mem, SIZE, 9))
			_exit(1);
		munmap(self->mem + PMD, 64 * KIB);
		put(self->mem, PMD, 10);
		_exit(!has(self->mem, PMD, 10));
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_TRUE(has(self->mem, PMD, 10));
	EXPECT_TRUE(has(self->mem + PMD, SIZE - PMD, 9 + PMD));
}

/* A folio is referenced once per page, all at once, and released. */
TEST_F(huge, pages)
{
	static struct p2p_test_page pages[1024];
	const struct form *form;
	int i, bad;

	put(self->mem, SIZE, 11);
	for_each_form(form) {
		ASSERT_EQ(1024, gup_hold(self->gup, form->nr,
					 self->mem + 256 * self->page, 1024,
					 FOLL_PCI_P2PDMA, pages));
		for (i = 0, bad = 0; i < 1024; i++) {
			int refs = i < 256 || i >= 768 ? 256 : 512;

			bad += pages[i].pfn != pages[0].pfn + i ||
			       pages[i].count != 1 + refs || !pages[i].is_p2p;
		}
		EXPECT_EQ(0, bad) TH_LOG("%s", form->name);
		gup_put(self->gup);
		EXPECT_EQ(1, gup_count(self->gup, pages[0].pfn));
	}
}

/* A held page keeps its folio, and no other, out of the pool. */
TEST_F(huge, outlive_the_mapping)
{
	struct p2p_test_page page;
	char *mem;

	put(self->mem, SIZE, 12);
	ASSERT_EQ(1, gup_hold(self->gup, P2P_TEST_PIN_FAST,
			      self->mem + PMD + 5 * self->page, 1,
			      FOLL_PCI_P2PDMA, &page));
	EXPECT_EQ(2, page.count);
	munmap(self->mem, SIZE);
	EXPECT_EQ(self->before - (long long)PMD, p2p_available(self->provider));

	/* The page is not part of other allocations. */
	mem = p2p_map(self->provider, PMD);
	ASSERT_NE(MAP_FAILED, mem);
	put(mem, PMD, 13);
	EXPECT_NE(page.pfn - 5, PAGEMAP_PFN(p2p_pagemap(mem)));
	munmap(mem, PMD);
	EXPECT_EQ(1, gup_count(self->gup, page.pfn));

	gup_put(self->gup);
	EXPECT_EQ(self->before, p2p_available(self->provider));
	EXPECT_EQ(0, gup_count(self->gup, page.pfn));
}

/* Memory of a folio may be reused as base pages, and vice versa. */
TEST_F(huge, taken_apart)
{
	struct p2p_test_page pages[2];
	unsigned long pfn;
	char *mem;
	int i;

	put(self->mem, SIZE, 14);
	pfn = PAGEMAP_PFN(p2p_pagemap(self->mem));
	munmap(self->mem, SIZE);
	for (i = 0; i < 512; i += 100)
		EXPECT_EQ(0, gup_count(self->gup, pfn + i));

	mem = p2p_map(self->provider, 16 * self->page);
	ASSERT_NE(MAP_FAILED, mem);
	put(mem, 64 * KIB, 15);
	ASSERT_EQ(2, gup_hold(self->gup, P2P_TEST_PIN, mem + self->page, 2,
			      FOLL_PCI_P2PDMA, pages));
	for (i = 0; i < 2; i++) {
		EXPECT_TRUE(pages[i].is_p2p);
		EXPECT_EQ(1 + GUP_PIN_COUNTING_BIAS, pages[i].count);
	}
	gup_put(self->gup);
	munmap(mem, 16 * self->page);

	self->mem = p2p_map(self->provider, SIZE);
	ASSERT_NE(MAP_FAILED, self->mem);
	put(self->mem, SIZE, 16);
	EXPECT_TRUE(has(self->mem, SIZE, 16));
}

TEST_F(huge, extents)
{
	struct p2p_test_extent extents[4];
	unsigned long pfn;

	/* Not touched yet: the call faults the pages in. */
	ASSERT_EQ(1, pin_extents(self->extents, self->mem + 100, 5000, extents,
				 4, true));
	EXPECT_EQ(1, faults(9));
	pfn = PAGEMAP_PFN(p2p_pagemap(self->mem));
	EXPECT_EQ(pfn, extents[0].pfn);
	EXPECT_EQ(100, extents[0].offset);
	EXPECT_EQ(5000, extents[0].len);
	EXPECT_EQ(9, extents[0].order);
	EXPECT_EQ(2, extents[0].count);
	EXPECT_EQ(2, gup_count(self->gup, pfn));
	gup_put(self->extents);
	EXPECT_EQ(1, gup_count(self->gup, pfn));

	/* One pin each, however long. */
	ASSERT_EQ(3, pin_extents(self->extents, self->mem + MIB, SIZE - MIB - 1,
				 extents, 4, true));
	EXPECT_EQ(MIB, extents[0].offset);
	EXPECT_EQ(MIB, extents[0].len);
	EXPECT_EQ(PMD, extents[1].len);
	EXPECT_EQ(PMD - 1, extents[2].len);
	EXPECT_EQ(2, gup_count(self->gup, pfn));
	munmap(self->mem, SIZE);
	EXPECT_EQ(self->before - (long long)SIZE, p2p_available(self->provider));
	gup_put(self->extents);
	EXPECT_EQ(self->before, p2p_available(self->provider));
}

TEST_F(huge, extents_of_other_memory)
{
	char *ram = p2p_ram(4 * self->page);
	struct p2p_test_extent extent;

	ASSERT_NE(MAP_FAILED, ram);
	EXPECT_EQ(0, pin_extents(self->extents, ram, self->page, &extent, 1,
				 false));
	*ram = 1;
	EXPECT_EQ(0, pin_extents(self->extents, ram, self->page, &extent, 1,
				 false));
	munmap(ram, 4 * self->page);
	EXPECT_EQ(-EFAULT, pin_extents(self->extents, ram, self->page, &extent,
				       1, false));

	/* up to the end of the mapping */
	EXPECT_EQ(1, pin_extents(self->extents, self->mem + SIZE - self->page,
				 2 * self->page, &extent, 1, false));
	EXPECT_EQ(self->page, extent.len);

	ASSERT_EQ(0, mprotect(self->mem, PMD, PROT_READ));
	EXPECT_EQ(-EFAULT, pin_extents(self->extents, self->mem, self->page,
				       &extent, 1, false));
}

/* A provider as large as a PUD entry, all of it one folio. */
TEST_F(huge, gigantic)
{
	struct p2p_test_extent extent;
	struct p2p_test_page page;
	char *mem;

	munmap(self->mem, SIZE);
	mem = p2p_map(self->provider, PUD);
	if (self->before < (long long)PUD) {
		EXPECT_EQ(MAP_FAILED, mem);
		return;
	}
	ASSERT_NE(MAP_FAILED, mem);
	if (!p2p_cpu_has_pud()) {
		put(mem + PUD / 2, PMD, 17);
		EXPECT_EQ(0, faults(18));
		EXPECT_EQ(1, pin_extents(self->extents, mem + PUD / 2, PMD,
					 &extent, 1, false));
		EXPECT_EQ(18, extent.order);
		munmap(mem, PUD);
		return;
	}
	EXPECT_EQ(0, (uintptr_t)mem % PUD);
	put(mem + PUD / 2, PMD, 17);
	EXPECT_EQ(1, faults(18));
	EXPECT_EQ(0, faults(9));
	EXPECT_EQ(1, pin_extents(self->extents, mem, PUD, &extent, 1, false));
	EXPECT_EQ(PUD, extent.len);
	EXPECT_EQ(18, extent.order);

	/* Splitting the entry does not affect the memory. */
	ASSERT_EQ(0, mprotect(mem, PMD, PROT_READ));
	EXPECT_EQ(SIGSEGV, p2p_fault_of(mem, true));
	EXPECT_EQ(0, p2p_fault_of(mem + PMD, true));
	ASSERT_EQ(0, mprotect(mem, PMD, PROT_READ | PROT_WRITE));
	EXPECT_TRUE(has(mem + PUD / 2, PMD, 17));
	/* Now faults map 2 MiB each, of the same folio. */
	EXPECT_EQ(1, faults(18));
	ASSERT_EQ(0, madvise(mem, PUD / 4, MADV_POPULATE_WRITE));
	EXPECT_EQ(1, pin_extents(self->extents, mem + PMD, PUD / 8, &extent, 1,
				 false));
	EXPECT_EQ(PUD / 8, extent.len);
	EXPECT_EQ(PMD, extent.offset);
	munmap(mem, PUD);
	EXPECT_EQ(self->before, p2p_available(self->provider));

	mem = p2p_map(self->provider, PUD);
	ASSERT_NE(MAP_FAILED, mem);
	put(mem, PMD, 18);
	put(mem + PUD / 2, PMD, 19);
	EXPECT_EQ(2, faults(18));
	ASSERT_EQ(self->mem, mremap(mem + PUD / 2, PMD, PMD,
				    MREMAP_MAYMOVE | MREMAP_FIXED, self->mem));
	EXPECT_TRUE(has(self->mem, PMD, 19));
	EXPECT_TRUE(has(mem, PMD, 18));
	EXPECT_EQ(2, faults(18));

	ASSERT_EQ(0, munmap(mem, PUD));
	munmap(self->mem, PMD);
	EXPECT_EQ(self->before, p2p_available(self->provider));

	/* Unmapping a part of a huge entry leaves the rest mapped. */
	mem = p2p_map(self->provider, PUD);
	ASSERT_NE(MAP_FAILED, mem);
	put(mem, PMD, 21);
	put(mem + PUD / 4, PMD, 22);
	EXPECT_EQ(3, faults(18));
	ASSERT_EQ(0, munmap(mem + PMD, PMD));
	EXPECT_EQ(SIGSEGV, p2p_fault_of(mem + PMD, false));
	EXPECT_TRUE(has(mem, PMD, 21));
	EXPECT_TRUE(has(mem + PUD / 4, PMD, 22));
	EXPECT_EQ(3, faults(18));

	/* The last reference may be dropped in atomic context. */
	ASSERT_EQ(1, gup_hold(self->gup, P2P_TEST_PIN_FAST, mem + PUD / 4, 1,
			      FOLL_PCI_P2PDMA, &page));
	munmap(mem, PUD);
	EXPECT_EQ(self->before - (long long)PUD, p2p_available(self->provider));
	gup_put(self->gup);
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
	EXPECT_EQ(0, gup_count(self->gup, page.pfn));
}

TEST_HARNESS_MAIN
