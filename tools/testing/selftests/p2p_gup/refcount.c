// SPDX-License-Identifier: GPL-2.0
/*
 * The reference count of a page, from its first use until it is free again. It
 * does not matter where the last reference is dropped, on which CPU and in
 * which context. A free page has a count of 0.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include "variants.h"
#include "gup_call.h"

#define SMALL		(64 * KIB)
#define LARGE		(2 * MIB)
#define HUGE		(1024 * MIB)
#define NR_THREADS	4
#define PAGES		(SMALL / (4 * KIB))
#define ROUNDS		20

FIXTURE(refcount)
{
	P2P_FIXTURE;		/* a mapping for each test */
	int test;
	pthread_barrier_t barrier;
	int stop;
	long found;		/* walks that got pages */
	long bad;
};

P2P_VARIANTS(refcount, NULL, NULL);

FIXTURE_SETUP(refcount)
{
	ASSERT_TRUE(p2p_setup(&self->p2p, &variant->p2p, 0));
	self->test = P2P_TEST_OPEN();
}

FIXTURE_TEARDOWN(refcount)
{
	close(self->test);
	EXPECT_EQ(0, self->bad);
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

/* Returns the first page with another reference count, or -1. */
static long count_differs(int test, uint64_t pfn, unsigned long nr_pages,
			  int count)
{
	unsigned long i;

	for (i = 0; i < nr_pages; i++)
		if (gup_count(test, pfn + i) != count)
			return i;
	return -1;
}

/*
 * Unmaps, then puts the held pages. The next allocation of the same memory
 * starts with fresh counts.
 */
static void held_longer(struct __test_metadata *_metadata,
			struct _test_data_refcount *self, size_t size, int put)
{
	unsigned long nr_pages = size / self->page, kept;
	struct p2p_test_page page;
	uint64_t first;
	int round, base;
	char *mem;

	for (round = 0; round < 2; round++) {
		mem = p2p_map(self->provider, size);
		ASSERT_NE(MAP_FAILED, mem);
		p2p_store(mem, 1);
		ASSERT_EQ(1, gup_hold(self->test, P2P_TEST_GET,
				      mem + size / 2, 1, FOLL_PCI_P2PDMA, &page));
		first = page.pfn - nr_pages / 2;
		/* One for the allocation, and ours. */
		EXPECT_EQ(2, page.count);
		base = gup_count(self->test, first);
		kept = base == 2 ? nr_pages : 1;

		ASSERT_EQ(0, munmap(mem, size));
		EXPECT_EQ(1, gup_count(self->test, page.pfn));
		EXPECT_EQ(self->before - (long long)(kept * self->page),
			  p2p_available(self->provider));
		EXPECT_EQ(0, ioctl(self->test, put));
		ASSERT_TRUE(p2p_settles(self->provider, self->before));
		EXPECT_EQ(-1, count_differs(self->test, first, nr_pages, 0));
	}
}

TEST_F(refcount, page)
{
	held_longer(_metadata, self, SMALL, P2P_TEST_PUT);
}

TEST_F(refcount, folio)
{
	held_longer(_metadata, self, LARGE, P2P_TEST_PUT);
}

TEST_F(refcount, page_in_softirq)
{
	held_longer(_metadata, self, SMALL, P2P_TEST_PUT_SOFTIRQ);
}

TEST_F(refcount, folio_in_softirq)
{
	held_longer(_metadata, self, LARGE, P2P_TEST_PUT_SOFTIRQ);
}

/*
 * If there is enough memory: too large to be split in softirq; a work item does
 * it.
 */
TEST_F(refcount, huge_folio_in_softirq)
{
	held_longer(_metadata, self, self->before < (long long)HUGE ? LARGE : HUGE,
		    P2P_TEST_PUT_SOFTIRQ);
}

/*
 * A folio with the maximum reference count gets no more: calls fail, and
 * neither wait, nor retry, nor overflow the count.
 */
static void exhausted(struct __test_metadata *_metadata,
		      struct _test_data_refcount *self, size_t size)
{
	int fd = open(P2P_TEST_FILE, O_RDWR);
	int extents = open("/sys/kernel/debug/p2p_test_extents", O_RDWR);
	char *mem = p2p_map(self->provider, size);
	struct p2p_test_pin pin = {
		.addr = (uintptr_t)mem,
		.len = 2 * self->page,
		.nr_extents = 1,
	};
	const struct form *form;
	struct p2p_test_page page;

	ASSERT_LE(0, fd);
	ASSERT_LE(0, extents);
	ASSERT_NE(MAP_FAILED, mem);
	p2p_store(mem, 1);
	ASSERT_EQ(1, gup_hold(self->test, P2P_TEST_GET, mem, 1, FOLL_PCI_P2PDMA,
			      &page));
	ASSERT_EQ(0, ioctl(self->test, P2P_TEST_EXHAUST, 0));
	for_each_form(form)
		EXPECT_EQ(form->only ? 0 : -ENOMEM,
			  gup(fd, form->nr, mem, 2, FOLL_PCI_P2PDMA))
			TH_LOG("%s", form->name);
	EXPECT_EQ(-ENOMEM, gup(fd, P2P_TEST_FOLLOW, mem, 1,
			       FOLL_GET | FOLL_PCI_P2PDMA));
	ASSERT_EQ(0, ioctl(extents, P2P_TEST_EXTENTS, &pin));
	EXPECT_EQ(-ENOMEM, pin.result);
	EXPECT_EQ(2 + P2P_TEST_MANY, gup_count(fd, page.pfn));

	EXPECT_EQ(0, gup_put(self->test));
	EXPECT_EQ(1, gup_count(fd, page.pfn));
	EXPECT_EQ(2, gup(fd, P2P_TEST_PIN_FAST, mem, 2, FOLL_PCI_P2PDMA));
	EXPECT_EQ(0, munmap(mem, size));
	close(extents);
	close(fd);
}

TEST_F(refcount, exhausted_page)
{
	exhausted(_metadata, self, SMALL);
}

TEST_F(refcount, exhausted_folio)
{
	exhausted(_metadata, self, LARGE);
}

struct holder {
	struct _test_data_refcount *self;
	pthread_t thread;
	int nr;
};

static void check(struct _test_data_refcount *self, bool ok)
{
	if (!ok)
		__atomic_add_fetch(&self->bad, 1, __ATOMIC_RELAXED);
}

/* Holds every NR_THREADSth page, and puts it when the buffer is gone. */
static void *hold_some(void *arg)
{
	struct holder *holder = arg;
	struct _test_data_refcount *self = holder->self;
	int round, nr, i, files[PAGES / NR_THREADS];
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(holder->nr % sysconf(_SC_NPROCESSORS_ONLN), &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	for (i = 0; i < PAGES / NR_THREADS; i++)
		check(self, (files[i] = open(P2P_TEST_FILE, O_RDWR)) >= 0);

	for (round = 0; round < ROUNDS; round++) {
		pthread_barrier_wait(&self->barrier);
		for (i = 0; i < PAGES / NR_THREADS; i++) {
			nr = holder->nr + i * NR_THREADS;
			check(self, gup_hold(files[i], P2P_TEST_PIN_FAST,
					     self->mem + nr * self->page, 1,
					     FOLL_PCI_P2PDMA, NULL) == 1);
		}
		/* The buffer is unmapped in between. */
		pthread_barrier_wait(&self->barrier);
		pthread_barrier_wait(&self->barrier);
		for (i = 0; i < PAGES / NR_THREADS; i++)
			check(self, !gup_put(files[i]));
	}
	for (i = 0; i < PAGES / NR_THREADS; i++)
		close(files[i]);
	return NULL;
}

/* An allocation is freed in pieces, on all CPUs, while others are allocated. */
TEST_F(refcount, freed_in_pieces)
{
	struct holder holders[NR_THREADS];
	long long used = SMALL;
	uint64_t first;
	char *next;
	int i, round;

	ASSERT_EQ(0, pthread_barrier_init(&self->barrier, NULL, NR_THREADS + 1));
	for (i = 0; i < NR_THREADS; i++) {
		holders[i] = (struct holder){ .self = self, .nr = i };
		ASSERT_EQ(0, pthread_create(&holders[i].thread, NULL, hold_some,
					    &holders[i]));
	}
	for (round = 0; round < ROUNDS; round++) {
		self->mem = p2p_map(self->provider, SMALL);
		ASSERT_NE(MAP_FAILED, self->mem);
		p2p_store(self->mem, 1);
		first = PAGEMAP_PFN(p2p_pagemap(self->mem));
		pthread_barrier_wait(&self->barrier);
		pthread_barrier_wait(&self->barrier);
		EXPECT_EQ(0, munmap(self->mem, SMALL));
		EXPECT_EQ(self->before - used, p2p_available(self->provider));
		pthread_barrier_wait(&self->barrier);
		/* Pages of the new buffer must not be held by others. */
		next = p2p_map(self->provider, SMALL);
		ASSERT_NE(MAP_FAILED, next);
		p2p_fill(next, SMALL, round, 0);
		EXPECT_TRUE(p2p_settles(self->provider, self->before - used));
		EXPECT_EQ(-1, p2p_differs(next, SMALL, round, 0));
		EXPECT_EQ(-1, count_differs(self->test,
					    PAGEMAP_PFN(p2p_pagemap(next)),
					    PAGES, 1));
		EXPECT_EQ(0, munmap(next, SMALL));
		EXPECT_EQ(self->before, p2p_available(self->provider));
		EXPECT_EQ(-1, count_differs(self->test, first, PAGES, 0));
	}
	for (i = 0; i < NR_THREADS; i++)
		EXPECT_EQ(0, pthread_join(holders[i].thread, NULL));
}

/*
 * Gets and puts whatever pages it finds, all the time. It does not take the
 * mmap_lock, which would delay changes of the mapping.
 */
static void *walk_always(void *arg)
{
	struct holder *holder = arg;
	struct _test_data_refcount *self = holder->self;
	int fd = open(P2P_TEST_FILE, O_RDWR);
	long ret;

	check(self, fd >= 0);
	while (fd >= 0 && !__atomic_load_n(&self->stop, __ATOMIC_ACQUIRE)) {
		ret = gup(fd, holder->nr % 2 ? P2P_TEST_PIN_FAST_ONLY :
					       P2P_TEST_GET_FAST_ONLY,
			  self->mem, PAGES, FOLL_PCI_P2PDMA);
		check(self, ret >= 0 && ret <= (long)PAGES);
		if (ret > 0)
			__atomic_add_fetch(&self->found, 1, __ATOMIC_RELAXED);
	}
	close(fd);
	return NULL;
}

/*
 * The same memory alternates between a folio and base pages. A late walk finds
 * the new one, and leaves no reference behind.
 */
TEST_F(refcount, late_walks)
{
	char *room = mmap(NULL, 2 * LARGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	int i, round, fd = p2p_open(self->provider, O_RDWR);
	struct holder holders[NR_THREADS];
	uint64_t pfn[2] = {};
	size_t size;

	ASSERT_NE(MAP_FAILED, room);
	ASSERT_LE(0, fd);
	self->mem = (char *)(((uintptr_t)room + LARGE - 1) & ~(LARGE - 1));
	for (i = 0; i < NR_THREADS; i++) {
		holders[i] = (struct holder){ .self = self, .nr = i };
		ASSERT_EQ(0, pthread_create(&holders[i].thread, NULL, walk_always,
					    &holders[i]));
	}
	for (round = 0; round < 2 * ROUNDS ||
	     !__atomic_load_n(&self->found, __ATOMIC_RELAXED); round++) {
		size = round % 2 ? SMALL : LARGE;
		ASSERT_EQ(self->mem, mmap(self->mem, size, PROT_READ | PROT_WRITE,
					  MAP_SHARED | MAP_FIXED, fd, 0));
		p2p_store(self->mem, 1);
		pfn[round % 2] = PAGEMAP_PFN(p2p_pagemap(self->mem));
		ASSERT_EQ(self->mem, mmap(self->mem, size, PROT_NONE,
					  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
					  -1, 0));
	}
	__atomic_store_n(&self->stop, 1, __ATOMIC_RELEASE);
	for (i = 0; i < NR_THREADS; i++)
		EXPECT_EQ(0, pthread_join(holders[i].thread, NULL));
	/* If all memory is free, both use the same memory. */
	if (self->before == p2p_number(self->provider, "p2pmem/size"))
		EXPECT_EQ(pfn[0], pfn[1]);
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
	EXPECT_EQ(-1, count_differs(self->test, pfn[0], LARGE / self->page, 0));
	close(fd);
	EXPECT_EQ(0, munmap(room, 2 * LARGE));
}

TEST_HARNESS_MAIN
