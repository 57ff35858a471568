// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit test of the pool of PCI peer-to-peer memory.
 *
 * The pool never looks at its pages, so any page frame numbers will do.
 */

#include <kunit/test.h>
#include <linux/align.h>
#include <linux/mm.h>
#include <linux/numa.h>
#include <linux/pgtable.h>
#include <linux/prandom.h>
#include <linux/slab.h>

#include "pool.h"

#define PMD_NR		(PMD_SIZE >> PAGE_SHIFT)
#define PUD_NR		(PUD_SIZE >> PAGE_SHIFT)

/* Where regions begin. */
#define FIRST		(16 * PUD_NR)

/*
 * How many nodes an operation may read and change in a region of 32 GiB: a few
 * paths between root and leaf.
 */
#define MAX_VISITS	100

/* The one pool of a test. destroy() frees it, in any state. */
static struct p2pmem_pool *new_pool(struct kunit *test)
{
	struct p2pmem_pool *pool = p2pmem_pool_create(NUMA_NO_NODE);

	KUNIT_ASSERT_NOT_NULL(test, pool);
	test->priv = pool;
	return pool;
}

static struct p2pmem_pool *new_pool_of(struct kunit *test, unsigned long pfn,
				       unsigned long nr_pages)
{
	struct p2pmem_pool *pool = new_pool(test);

	KUNIT_ASSERT_EQ(test, 0, p2pmem_pool_add(pool, pfn, nr_pages, pool));
	return pool;
}

static unsigned long alloc(struct p2pmem_pool *pool, unsigned long nr_pages)
{
	void *owner;

	return p2pmem_pool_alloc(pool, nr_pages, &owner);
}

static unsigned long avail(struct p2pmem_pool *pool)
{
	return p2pmem_pool_avail(pool) >> PAGE_SHIFT;
}

static void alignment(struct kunit *test)
{
	struct p2pmem_pool *pool = new_pool_of(test, FIRST + PMD_NR, 6 * PUD_NR);
	unsigned long small, block, huge, giant;

	small = alloc(pool, 1);
	KUNIT_EXPECT_NE(test, 0, small);
	block = alloc(pool, PMD_NR);
	KUNIT_EXPECT_TRUE(test, block && IS_ALIGNED(block, PMD_NR));
	huge = alloc(pool, 5 * PMD_NR + 7);
	KUNIT_EXPECT_TRUE(test, huge && IS_ALIGNED(huge, PMD_NR));
	giant = alloc(pool, 2 * PUD_NR + 9);
	KUNIT_EXPECT_TRUE(test, giant && IS_ALIGNED(giant, PUD_NR));

	/* The rest of a request's last block serves small requests. */
	KUNIT_EXPECT_EQ(test, small + 1, alloc(pool, PMD_NR - 1));
	KUNIT_EXPECT_EQ(test, huge + 5 * PMD_NR + 7, alloc(pool, PMD_NR - 7));
	KUNIT_EXPECT_EQ(test, giant + 2 * PUD_NR + 9, alloc(pool, PMD_NR - 9));
	KUNIT_EXPECT_EQ(test, 6 * PUD_NR - 2 * PUD_NR - 9 * PMD_NR, avail(pool));

	/* Two aligned gigabytes are left; after these, aligned blocks. */
	KUNIT_EXPECT_TRUE(test, IS_ALIGNED(alloc(pool, PUD_NR), PUD_NR));
	KUNIT_EXPECT_TRUE(test, IS_ALIGNED(alloc(pool, PUD_NR), PUD_NR));
	giant = alloc(pool, PUD_NR - PMD_NR);
	KUNIT_EXPECT_TRUE(test, giant && IS_ALIGNED(giant, PMD_NR));

	KUNIT_EXPECT_TRUE(test, __p2pmem_pool_free(pool, small, PMD_NR));
	KUNIT_EXPECT_TRUE(test, __p2pmem_pool_free(pool, block, PMD_NR));
	KUNIT_EXPECT_EQ(test, small, alloc(pool, 2 * PMD_NR));
}

/* Small requests fill up split blocks, and fall back to whole ones. */
static void small_requests(struct kunit *test)
{
	struct p2pmem_pool *pool = new_pool_of(test, FIRST, 4 * PMD_NR);
	unsigned long first = alloc(pool, 4 * PMD_NR);

	KUNIT_EXPECT_EQ(test, FIRST, first);
	KUNIT_EXPECT_EQ(test, 0, alloc(pool, 1));
	KUNIT_EXPECT_TRUE(test, __p2pmem_pool_free(pool, first, PMD_NR));
	KUNIT_EXPECT_TRUE(test, __p2pmem_pool_free(pool, first + 3 * PMD_NR - 16, 16));
	KUNIT_EXPECT_EQ(test, first + 3 * PMD_NR - 16, alloc(pool, 15));
	KUNIT_EXPECT_EQ(test, first, alloc(pool, 2));
	KUNIT_EXPECT_EQ(test, first + 2, alloc(pool, 1));
	KUNIT_EXPECT_EQ(test, first + 3, alloc(pool, PMD_NR - 3));
	KUNIT_EXPECT_EQ(test, 0, alloc(pool, 2));
	KUNIT_EXPECT_EQ(test, first + 3 * PMD_NR - 1, alloc(pool, 1));
	KUNIT_EXPECT_EQ(test, 0, avail(pool));
	KUNIT_EXPECT_TRUE(test, __p2pmem_pool_free(pool, first, 4 * PMD_NR));
}

/* A run may span the end of a block, whole blocks and the beginning of one. */
static void across_blocks(struct kunit *test)
{
	struct p2pmem_pool *pool = new_pool_of(test, FIRST, 64 * PMD_NR);
	unsigned long border, i;

	KUNIT_EXPECT_EQ(test, FIRST, alloc(pool, 64 * PMD_NR));
	for (i = 1; i < 62; i++) {
		border = FIRST + i * PMD_NR;
		KUNIT_EXPECT_TRUE(test, __p2pmem_pool_free(pool, border - 3, 7));
		KUNIT_EXPECT_EQ(test, 0, alloc(pool, 8));
		KUNIT_EXPECT_EQ(test, border - 3, alloc(pool, 7));

		KUNIT_EXPECT_TRUE(test, __p2pmem_pool_free(pool, border - 1,
							   PMD_NR + 2));
		KUNIT_EXPECT_EQ(test, 0, alloc(pool, PMD_NR + 3));
		KUNIT_EXPECT_EQ(test, border - 1, alloc(pool, PMD_NR + 2));
	}
	KUNIT_EXPECT_EQ(test, 0, avail(pool));
	KUNIT_EXPECT_TRUE(test, __p2pmem_pool_free(pool, FIRST, 64 * PMD_NR));
}

static void refused(struct kunit *test)
{
	struct p2pmem_pool *pool = new_pool_of(test, FIRST + 5, 8 * PMD_NR);
	unsigned long small = alloc(pool, 8);
	unsigned long large = alloc(pool, 3 * PMD_NR);
	unsigned long before = avail(pool);

	KUNIT_EXPECT_EQ(test, 0, alloc(pool, 0));
	KUNIT_EXPECT_EQ(test, 0, alloc(pool, ULONG_MAX));
	KUNIT_EXPECT_EQ(test, -EINVAL, p2pmem_pool_add(pool, FIRST, 0, pool));

	/* empty; in no region; free; partly free, at either end */
	KUNIT_EXPECT_FALSE(test, __p2pmem_pool_free(pool, small, 0));
	KUNIT_EXPECT_FALSE(test, __p2pmem_pool_free(pool, FIRST, 1));
	KUNIT_EXPECT_FALSE(test, __p2pmem_pool_free(pool, FIRST + 4, 2));
	KUNIT_EXPECT_FALSE(test, __p2pmem_pool_free(pool, FIRST + 5 + 8 * PMD_NR, 1));
	KUNIT_EXPECT_FALSE(test, __p2pmem_pool_free(pool, small, ULONG_MAX));
	KUNIT_EXPECT_FALSE(test, __p2pmem_pool_free(pool, small + 8, 1));
	KUNIT_EXPECT_FALSE(test, __p2pmem_pool_free(pool, small + 7, 2));
	KUNIT_EXPECT_FALSE(test, __p2pmem_pool_free(pool, small, 9));
	KUNIT_EXPECT_FALSE(test, __p2pmem_pool_free(pool, large - 1, 2));
	KUNIT_EXPECT_FALSE(test, __p2pmem_pool_free(pool, large, 3 * PMD_NR + 1));
	KUNIT_EXPECT_FALSE(test, __p2pmem_pool_free(pool, large + 3 * PMD_NR, PMD_NR));
	KUNIT_EXPECT_EQ(test, before, avail(pool));

	/* free twice, whole and in parts */
	KUNIT_EXPECT_TRUE(test, __p2pmem_pool_free(pool, large + PMD_NR, 1));
	KUNIT_EXPECT_FALSE(test, __p2pmem_pool_free(pool, large, 3 * PMD_NR));
	KUNIT_EXPECT_FALSE(test, __p2pmem_pool_free(pool, large + PMD_NR, 1));
	KUNIT_EXPECT_TRUE(test, __p2pmem_pool_free(pool, large, PMD_NR));
	KUNIT_EXPECT_FALSE(test, __p2pmem_pool_free(pool, large, PMD_NR));
	KUNIT_EXPECT_TRUE(test, __p2pmem_pool_free(pool, large + PMD_NR + 1,
						   2 * PMD_NR - 1));
	KUNIT_EXPECT_TRUE(test, __p2pmem_pool_free(pool, small, 8));
	KUNIT_EXPECT_FALSE(test, __p2pmem_pool_free(pool, small, 8));
	KUNIT_EXPECT_EQ(test, p2pmem_pool_size(pool), p2pmem_pool_avail(pool));
	KUNIT_EXPECT_EQ(test, FIRST + 5, alloc(pool, 8 * PMD_NR));
	KUNIT_EXPECT_TRUE(test, __p2pmem_pool_free(pool, FIRST + 5, 8 * PMD_NR));
}

/* Regions of all sizes, some side by side, compared with an array of bytes. */
static const struct { unsigned long pfn, nr_pages; } regions[] = {
	{ FIRST + 3,			1 },
	{ FIRST + 4,			PMD_NR - 4 },
	{ FIRST + PMD_NR,		5 * PMD_NR },
	{ FIRST + 6 * PMD_NR + 100,	2 * PMD_NR + 77 },
	{ FIRST + 9 * PMD_NR - 1,	2 },
};

#define SPAN		(9 * PMD_NR + 1)

enum { FOREIGN, FREE, USED };

struct model {
	struct p2pmem_pool *pool;
	struct rnd_state rnd;
	unsigned long avail;
	u8 owner[SPAN];		/* 1 + index in regions[], or 0 */
	u8 state[SPAN];
};

static unsigned long below(struct model *m, unsigned long limit)
{
	return prandom_u32_state(&m->rnd) % limit;
}

/* Returns whether a place exists; *aligned: whether an aligned one does. */
static bool model_has(struct model *m, unsigned long nr_pages, bool *aligned)
{
	unsigned long i, run = 0;
	bool found = false;

	*aligned = false;
	for (i = 0; i < SPAN; i++) {
		if (m->state[i] != FREE) {
			run = 0;
			continue;
		}
		if (run && m->owner[i] != m->owner[i - 1])
			run = 0;
		if (++run < nr_pages)
			continue;
		found = true;
		if (!IS_ALIGNED(i + 1 - nr_pages, PMD_NR))
			continue;
		*aligned = true;
		break;
	}
	return found;
}

static void model_set(struct model *m, unsigned long i, unsigned long nr_pages,
		      u8 state)
{
	memset(m->state + i, state, nr_pages);
	m->avail += state == FREE ? nr_pages : -nr_pages;
}

/* Returns true if all of a range is in one region, and in this state. */
static bool model_is(struct model *m, unsigned long i, unsigned long nr_pages,
		     u8 state)
{
	unsigned long end = i + nr_pages;

	if (end > SPAN)
		return false;
	for (; i < end; i++)
		if (m->state[i] != state || m->owner[i] != m->owner[end - 1])
			return false;
	return true;
}

static bool random_alloc(struct kunit *test, struct model *m)
{
	unsigned long nr_pages, pfn, i;
	bool has, aligned;
	void *owner;

	switch (below(m, 8)) {
	case 0:
		nr_pages = 1 + below(m, 3 * PMD_NR);
		break;
	case 1:
		nr_pages = PMD_NR * (1 + below(m, 3));
		break;
	default:
		nr_pages = 1 + below(m, 48);
	}

	has = model_has(m, nr_pages, &aligned);
	pfn = p2pmem_pool_alloc(m->pool, nr_pages, &owner);
	if (!has || !pfn) {
		KUNIT_EXPECT_EQ_MSG(test, has, !!pfn, "%lu pages, pfn %#lx",
				    nr_pages, pfn);
		return has == !!pfn;
	}

	i = pfn - FIRST;
	if (!model_is(m, i, nr_pages, FREE) ||
	    owner != &regions[m->owner[i] - 1] ||
	    (nr_pages >= PMD_NR && aligned && !IS_ALIGNED(pfn, PMD_NR))) {
		KUNIT_FAIL(test, "%lu pages at %#lx: in use, of another owner, or not aligned",
			   nr_pages, pfn);
		return false;
	}
	model_set(m, i, nr_pages, USED);
	return true;
}

/* Frees used pages, and sometimes pages that are not all used. */
static bool random_free(struct kunit *test, struct model *m)
{
	unsigned long i = below(m, SPAN);
	unsigned long want = 1 + below(m, below(m, 3) ? 64 : 2 * PMD_NR);
	unsigned long nr_pages = 1;
	bool ok;

	while (i < SPAN - 1 && m->state[i] != USED)
		i++;
	if (below(m, 16))
		while (nr_pages < want && i + nr_pages < SPAN &&
		       model_is(m, i + nr_pages - 1, 2, USED))
			nr_pages++;
	else
		nr_pages = want;

	ok = model_is(m, i, nr_pages, USED);
	if (ok)
		model_set(m, i, nr_pages, FREE);
	if (__p2pmem_pool_free(m->pool, FIRST + i, nr_pages) == ok)
		return true;
	KUNIT_FAIL(test, "free of %lu pages at %#lx: %s", nr_pages, FIRST + i,
		   ok ? "refused" : "not refused");
	return false;
}

static void model_report(struct kunit *test, struct model *m)
{
	unsigned long i, run = 0, runs = 0, longest = 0, blocks = 0;

	for (i = 0; i < SPAN; i++) {
		run = m->state[i] == FREE ? run + 1 : 0;
		runs += run == 1;
		longest = max(longest, run);
		if (IS_ALIGNED(i, PMD_NR) && i + PMD_NR <= SPAN)
			blocks += model_is(m, i, PMD_NR, FREE);
	}
	kunit_info(test, "%lu of %lu pages are free, in %lu runs, the longest of %lu; %lu blocks are whole",
		   m->avail, p2pmem_pool_size(m->pool) >> PAGE_SHIFT, runs,
		   longest, blocks);
}

/* Checks that p2pmem_pool_next_used() finds all used pages, and no others. */
static bool model_walk(struct kunit *test, struct model *m)
{
	unsigned long pfn, end, want;
	int i;

	for (i = 0; i < ARRAY_SIZE(regions); i++) {
		end = regions[i].pfn + regions[i].nr_pages;
		for (want = regions[i].pfn; want < end; want++) {
			pfn = p2pmem_pool_next_used(m->pool, want);
			while (want < end && m->state[want - FIRST] != USED)
				want++;
			if (pfn == (want < end ? want : 0))
				continue;
			KUNIT_FAIL(test, "next used page %#lx, should be %#lx",
				   pfn, want);
			return false;
		}
	}
	return true;
}

static void random_requests(struct kunit *test)
{
	struct model *m = kunit_kzalloc(test, sizeof(*m), GFP_KERNEL);
	unsigned long i, nr_pages;
	int step;

	KUNIT_ASSERT_NOT_NULL(test, m);
	prandom_seed_state(&m->rnd, 6);
	m->pool = new_pool(test);
	for (i = 0; i < ARRAY_SIZE(regions); i++) {
		KUNIT_ASSERT_EQ(test, 0,
				p2pmem_pool_add(m->pool, regions[i].pfn,
						regions[i].nr_pages,
						(void *)&regions[i]));
		memset(m->owner + (regions[i].pfn - FIRST), i + 1,
		       regions[i].nr_pages);
		model_set(m, regions[i].pfn - FIRST, regions[i].nr_pages, FREE);
	}

	for (step = 0; step < 6000; step++) {
		/* The pool fills up, empties, and fills up again. */
		bool more = below(m, 100) < (step % 1500 < 750 ? 65 : 40);

		if (!(more ? random_alloc(test, m) : random_free(test, m)) ||
		    avail(m->pool) != m->avail) {
			KUNIT_FAIL(test, "step %d: avail %lu, should be %lu",
				   step, avail(m->pool), m->avail);
			return;
		}
		if (step % 500 == 499 && !model_walk(test, m))
			return;
	}
	model_report(test, m);

	for (i = 0; i < SPAN; i += nr_pages) {
		nr_pages = 1;
		if (m->state[i] != USED)
			continue;
		while (i + nr_pages < SPAN && below(m, 100) &&
		       model_is(m, i + nr_pages - 1, 2, USED))
			nr_pages++;
		KUNIT_EXPECT_TRUE(test, __p2pmem_pool_free(m->pool, FIRST + i,
							   nr_pages));
	}

	/* All memory is back, in one piece per region. */
	KUNIT_ASSERT_EQ(test, p2pmem_pool_size(m->pool),
			p2pmem_pool_avail(m->pool));
	for (i = ARRAY_SIZE(regions); i--; ) {
		unsigned long pfn = 0;

		nr_pages = regions[i].nr_pages;
		/* A small request could be served from a large region. */
		if (nr_pages >= PMD_NR) {
			pfn = alloc(m->pool, nr_pages);
			KUNIT_EXPECT_NE(test, 0, pfn);
		}
		if (pfn)
			KUNIT_EXPECT_TRUE(test, __p2pmem_pool_free(m->pool, pfn,
								   nr_pages));
	}
}

/* A search must not take long because the region is large. */
static void bounded(struct kunit *test)
{
	unsigned long nr_pages = 32 * PUD_NR;
	struct p2pmem_pool *pool = new_pool_of(test, FIRST, nr_pages);
	static const struct {
		const char *what;
		unsigned long nr_pages;
		bool found;
	} requests[] = {
		{ "a page",		1,		true },
		{ "100 pages",		100,		true },
		{ "101 pages",		101,		false },
		{ "a block",		PMD_NR,		false },
		{ "a gigabyte",		PUD_NR,		false },
	};
	unsigned long pfn, before, visits;
	int i;

	KUNIT_ASSERT_EQ(test, FIRST, alloc(pool, nr_pages));
	/* Each block has two runs of 99 pages; the last run has 100. */
	for (pfn = FIRST; pfn < FIRST + nr_pages; pfn += PMD_NR) {
		bool last = pfn + PMD_NR == FIRST + nr_pages;

		if (!__p2pmem_pool_free(pool, pfn + 7, 99) ||
		    !__p2pmem_pool_free(pool, pfn + 300, last ? 100 : 99)) {
			KUNIT_FAIL(test, "free in the block at %#lx", pfn);
			return;
		}
	}

	for (i = 0; i < ARRAY_SIZE(requests); i++) {
		before = p2pmem_pool_visits(pool);
		pfn = alloc(pool, requests[i].nr_pages);
		visits = p2pmem_pool_visits(pool) - before;
		KUNIT_EXPECT_EQ(test, requests[i].found, !!pfn);
		KUNIT_EXPECT_LE(test, visits, MAX_VISITS);
		kunit_info(test, "%s: %s, %lu nodes looked at",
			   requests[i].what, pfn ? "found" : "not found",
			   visits);
		if (!pfn)
			continue;
		before = p2pmem_pool_visits(pool);
		KUNIT_EXPECT_TRUE(test,
				  __p2pmem_pool_free(pool, pfn,
						     requests[i].nr_pages));
		visits = p2pmem_pool_visits(pool) - before;
		KUNIT_EXPECT_LE(test, visits, MAX_VISITS);
	}

	/* The only whole block is the last one, and is found at once. */
	pfn = FIRST + nr_pages - PMD_NR;
	KUNIT_EXPECT_TRUE(test, __p2pmem_pool_free(pool, pfn, 7));
	KUNIT_EXPECT_TRUE(test, __p2pmem_pool_free(pool, pfn + 106, 194));
	KUNIT_EXPECT_TRUE(test, __p2pmem_pool_free(pool, pfn + 400, PMD_NR - 400));
	before = p2pmem_pool_visits(pool);
	KUNIT_EXPECT_EQ(test, pfn, alloc(pool, PMD_NR));
	KUNIT_EXPECT_LE(test, p2pmem_pool_visits(pool) - before, MAX_VISITS);
	KUNIT_EXPECT_EQ(test, 0, alloc(pool, PMD_NR));
}

/* Closed memory is not handed out. Pages in use move with their memory. */
static void moved(struct kunit *test)
{
	struct p2pmem_pool *from = new_pool_of(test, FIRST, PMD_NR), *to;
	unsigned long pfn = alloc(from, 10);

	to = p2pmem_pool_create(NUMA_NO_NODE);
	KUNIT_ASSERT_NOT_NULL(test, to);
	KUNIT_EXPECT_EQ(test, FIRST, pfn);
	KUNIT_EXPECT_EQ(test, 10, p2pmem_pool_busy(from, FIRST));
	p2pmem_pool_close(from, FIRST);
	KUNIT_EXPECT_EQ(test, 0, alloc(from, 1));

	p2pmem_pool_move(from, to, FIRST);
	KUNIT_EXPECT_EQ(test, 0, p2pmem_pool_size(from));
	KUNIT_EXPECT_EQ(test, 0, p2pmem_pool_avail(from));
	KUNIT_EXPECT_EQ(test, PMD_NR, p2pmem_pool_size(to) >> PAGE_SHIFT);
	KUNIT_EXPECT_EQ(test, PMD_NR - 10, avail(to));
	KUNIT_EXPECT_EQ(test, 0, alloc(to, 1));
	p2pmem_pool_open(to, FIRST);
	KUNIT_EXPECT_EQ(test, FIRST + 10, alloc(to, PMD_NR - 10));
	KUNIT_EXPECT_EQ(test, PMD_NR, p2pmem_pool_busy(to, FIRST + 3));

	KUNIT_EXPECT_FALSE(test, __p2pmem_pool_free(from, pfn, 10));
	KUNIT_EXPECT_TRUE(test, __p2pmem_pool_free(to, FIRST, PMD_NR));
	KUNIT_EXPECT_EQ(test, 0, p2pmem_pool_next_used(to, FIRST));
	p2pmem_pool_remove(to, FIRST);
	KUNIT_EXPECT_EQ(test, 0, p2pmem_pool_size(to));
	p2pmem_pool_destroy(to);
}

static void destroy(struct kunit *test)
{
	if (test->priv)
		__p2pmem_pool_destroy(test->priv);
}

static struct kunit_case p2pmem_pool_cases[] = {
	KUNIT_CASE(alignment),
	KUNIT_CASE(small_requests),
	KUNIT_CASE(across_blocks),
	KUNIT_CASE(refused),
	KUNIT_CASE(random_requests),
	KUNIT_CASE(bounded),
	KUNIT_CASE(moved),
	{}
};

static struct kunit_suite p2pmem_pool_suite = {
	.name = "p2pmem-pool",
	.exit = destroy,
	.test_cases = p2pmem_pool_cases,
};

kunit_test_suite(p2pmem_pool_suite);
