// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit test of the last user of each page.
 *
 * The record never looks at the pages, so any page frame numbers will do.
 */

#include <kunit/test.h>
#include <linux/mm.h>
#include <linux/numa.h>
#include <linux/pgtable.h>
#include <linux/prandom.h>
#include <linux/slab.h>

#include "last-user.h"

#define PMD_NR		(PMD_SIZE >> PAGE_SHIFT)
#define PUD_NR		(PUD_SIZE >> PAGE_SHIFT)

/* Where regions begin: 5 pages into a block. */
#define FIRST		(16 * PUD_NR + 5)
#define BLOCK(n)	(16 * PUD_NR + (n) * PMD_NR)

#define ALICE		1000
#define BOB		1001

/* The one record of a test. test_exit() frees it. */
static struct p2pmem_last_user *new_history(struct kunit *test,
					    unsigned long nr_pages)
{
	struct p2pmem_last_user *last_user =
		p2pmem_last_user_create(FIRST, nr_pages, NUMA_NO_NODE);

	KUNIT_ASSERT_NOT_NULL(test, last_user);
	test->priv = last_user;
	return last_user;
}

static void begins_as_nobodys(struct kunit *test)
{
	struct p2pmem_last_user *last_user = new_history(test, 4 * PMD_NR);

	KUNIT_EXPECT_EQ(test, 0, p2pmem_last_user_match(last_user, FIRST, 1, ALICE));
	KUNIT_EXPECT_EQ(test, 0, p2pmem_last_user_match(last_user, FIRST, 4 * PMD_NR,
							1));
	KUNIT_EXPECT_EQ(test, 0, p2pmem_last_user_arrays(last_user));
}

/* Blocks used as a whole need no array, and free the one that they had. */
static void whole_blocks(struct kunit *test)
{
	struct p2pmem_last_user *last_user = new_history(test, 8 * PMD_NR);

	KUNIT_EXPECT_EQ(test, 0, p2pmem_last_user_set(last_user, BLOCK(1), 3 * PMD_NR,
						      ALICE));
	KUNIT_EXPECT_EQ(test, 0, p2pmem_last_user_arrays(last_user));
	KUNIT_EXPECT_EQ(test, 3 * PMD_NR,
			p2pmem_last_user_match(last_user, BLOCK(1), 3 * PMD_NR, ALICE));
	KUNIT_EXPECT_EQ(test, 3 * PMD_NR - 7,
			p2pmem_last_user_match(last_user, BLOCK(1) + 7, 5 * PMD_NR,
					       ALICE));
	KUNIT_EXPECT_EQ(test, 0,
			p2pmem_last_user_match(last_user, BLOCK(0) + 9, PMD_NR, ALICE));

	/* A page set to the same owner changes nothing, to another one does. */
	KUNIT_EXPECT_EQ(test, 0, p2pmem_last_user_set(last_user, BLOCK(2) + 3, 1, ALICE));
	KUNIT_EXPECT_EQ(test, 0, p2pmem_last_user_arrays(last_user));
	KUNIT_EXPECT_EQ(test, 0, p2pmem_last_user_set(last_user, BLOCK(2) + 3, 1, BOB));
	KUNIT_EXPECT_EQ(test, 1, p2pmem_last_user_arrays(last_user));
	KUNIT_EXPECT_EQ(test, PMD_NR + 3,
			p2pmem_last_user_match(last_user, BLOCK(1), 3 * PMD_NR, ALICE));
	KUNIT_EXPECT_EQ(test, 1,
			p2pmem_last_user_match(last_user, BLOCK(2) + 3, 2, BOB));
	KUNIT_EXPECT_EQ(test, 2 * PMD_NR - 4,
			p2pmem_last_user_match(last_user, BLOCK(2) + 4, 2 * PMD_NR - 4,
					       ALICE));

	KUNIT_EXPECT_EQ(test, 0, p2pmem_last_user_set(last_user, BLOCK(2), PMD_NR, BOB));
	KUNIT_EXPECT_EQ(test, 0, p2pmem_last_user_arrays(last_user));
	KUNIT_EXPECT_EQ(test, PMD_NR,
			p2pmem_last_user_match(last_user, BLOCK(2), PMD_NR, BOB));
}

/* A block without an array becomes P2PMEM_NOBODY as a whole. */
static void forgotten(struct kunit *test)
{
	struct p2pmem_last_user *last_user = new_history(test, 4 * PMD_NR);

	KUNIT_EXPECT_EQ(test, 0, p2pmem_last_user_set(last_user, BLOCK(1), 2 * PMD_NR,
						      ALICE));
	KUNIT_EXPECT_EQ(test, 0, p2pmem_last_user_set(last_user, BLOCK(2), 1, BOB));
	KUNIT_EXPECT_EQ(test, 1, p2pmem_last_user_arrays(last_user));

	/* One block has no array, the next one has. */
	p2pmem_last_user_forget(last_user, BLOCK(2) - 1, 3);
	KUNIT_EXPECT_EQ(test, 1, p2pmem_last_user_arrays(last_user));
	KUNIT_EXPECT_EQ(test, 0, p2pmem_last_user_match(last_user, BLOCK(1), 1, ALICE));
	KUNIT_EXPECT_EQ(test, 0, p2pmem_last_user_match(last_user, BLOCK(2), 1, BOB));
	KUNIT_EXPECT_EQ(test, 0,
			p2pmem_last_user_match(last_user, BLOCK(2) + 1, 1, ALICE));
	KUNIT_EXPECT_EQ(test, PMD_NR - 2,
			p2pmem_last_user_match(last_user, BLOCK(2) + 2, PMD_NR - 2,
					       ALICE));

	p2pmem_last_user_forget(last_user, FIRST, 4 * PMD_NR - 5);
	/* The range has all of the block with an array, which is freed. */
	KUNIT_EXPECT_EQ(test, 0, p2pmem_last_user_arrays(last_user));
	KUNIT_EXPECT_EQ(test, 0,
			p2pmem_last_user_match(last_user, BLOCK(2) + 2, 1, ALICE));
}

/* Compares random operations with an array of all pages. */
static void as_an_array(struct kunit *test)
{
	const unsigned long nr_pages = 6 * PMD_NR - 11;
	struct p2pmem_last_user *last_user = new_history(test, nr_pages);
	u64 *want = kvmalloc_array(nr_pages, sizeof(*want), GFP_KERNEL);
	struct rnd_state rnd;
	unsigned long i, n;
	int round;

	KUNIT_ASSERT_NOT_NULL(test, want);
	prandom_seed_state(&rnd, 1);
	for (i = 0; i < nr_pages; i++)
		want[i] = P2PMEM_NOBODY;

	for (round = 0; round < 2000; round++) {
		unsigned long from = prandom_u32_state(&rnd) % nr_pages;
		unsigned long nr = prandom_u32_state(&rnd) %
			(prandom_u32_state(&rnd) % 4 ? 32 : nr_pages);
		u64 owner = 1 + prandom_u32_state(&rnd) % 3;

		nr = min(nr + 1, nr_pages - from);
		if (p2pmem_last_user_set(last_user, FIRST + from, nr, owner))
			break;
		for (i = from; i < from + nr; i++)
			want[i] = owner;

		from = prandom_u32_state(&rnd) % nr_pages;
		for (n = from; n < nr_pages && want[n] == owner; n++)
			;
		if (p2pmem_last_user_match(last_user, FIRST + from, nr_pages - from,
					   owner) != n - from)
			break;
	}
	KUNIT_EXPECT_EQ(test, 2000, round);
	kvfree(want);
}

static void test_exit(struct kunit *test)
{
	p2pmem_last_user_destroy(test->priv);
}

static struct kunit_case p2pmem_last_user_cases[] = {
	KUNIT_CASE(begins_as_nobodys),
	KUNIT_CASE(whole_blocks),
	KUNIT_CASE(forgotten),
	KUNIT_CASE(as_an_array),
	{}
};

static struct kunit_suite p2pmem_last_user_suite = {
	.name = "p2pmem-last-user",
	.exit = test_exit,
	.test_cases = p2pmem_last_user_cases,
};

kunit_test_suite(p2pmem_last_user_suite);
