// SPDX-License-Identifier: GPL-2.0
/* KUnit test of how much PCI peer-to-peer memory a user may have. */

#include <kunit/test.h>
#include <linux/errno.h>

#include "p2pmem-limit.h"

#define ALICE		KUIDT_INIT(1000)
#define BOB		KUIDT_INIT(1001)

static struct p2pmem_limit limit;

static int test_init(struct kunit *test)
{
	p2pmem_limit_init(&limit);
	return 0;
}

/* A test leaves nothing charged, and then no entry either. */
static void test_exit(struct kunit *test)
{
	KUNIT_EXPECT_TRUE(test, xa_empty(&limit.pages));
	p2pmem_limit_destroy(&limit);
}

static void no_limit(struct kunit *test)
{
	const unsigned long many = 1UL << 40;

	KUNIT_EXPECT_EQ(test, 0, p2pmem_limit_charge(&limit, ALICE, many, false));
	KUNIT_EXPECT_EQ(test, 0, p2pmem_limit_charge(&limit, ALICE, many, false));
	p2pmem_limit_uncharge(&limit, ALICE, 2 * many);
}

static void each_user(struct kunit *test)
{
	limit.max = 10;
	KUNIT_EXPECT_EQ(test, -EDQUOT, p2pmem_limit_charge(&limit, ALICE, 11, false));
	KUNIT_EXPECT_EQ(test, 0, p2pmem_limit_charge(&limit, ALICE, 10, false));
	KUNIT_EXPECT_EQ(test, -EDQUOT, p2pmem_limit_charge(&limit, ALICE, 1, false));
	KUNIT_EXPECT_EQ(test, 0, p2pmem_limit_charge(&limit, BOB, 9, false));
	KUNIT_EXPECT_EQ(test, -EDQUOT, p2pmem_limit_charge(&limit, BOB, 2, false));

	/* It comes back in pieces. */
	p2pmem_limit_uncharge(&limit, ALICE, 3);
	KUNIT_EXPECT_EQ(test, -EDQUOT, p2pmem_limit_charge(&limit, ALICE, 4, false));
	KUNIT_EXPECT_EQ(test, 0, p2pmem_limit_charge(&limit, ALICE, 3, false));
	p2pmem_limit_uncharge(&limit, ALICE, 9);
	p2pmem_limit_uncharge(&limit, ALICE, 1);
	p2pmem_limit_uncharge(&limit, BOB, 9);
}

/* Who is exempt counts like others, and is in the way of those who are not. */
static void exempt(struct kunit *test)
{
	limit.max = 10;
	KUNIT_EXPECT_EQ(test, 0, p2pmem_limit_charge(&limit, ALICE, 50, true));
	KUNIT_EXPECT_EQ(test, -EDQUOT, p2pmem_limit_charge(&limit, ALICE, 1, false));
	p2pmem_limit_uncharge(&limit, ALICE, 45);
	KUNIT_EXPECT_EQ(test, 0, p2pmem_limit_charge(&limit, ALICE, 5, false));
	p2pmem_limit_uncharge(&limit, ALICE, 10);
}

static void lowered(struct kunit *test)
{
	limit.max = 10;
	KUNIT_EXPECT_EQ(test, 0, p2pmem_limit_charge(&limit, ALICE, 10, false));
	limit.max = 4;
	KUNIT_EXPECT_EQ(test, -EDQUOT, p2pmem_limit_charge(&limit, ALICE, 1, false));
	p2pmem_limit_uncharge(&limit, ALICE, 7);
	KUNIT_EXPECT_EQ(test, -EDQUOT, p2pmem_limit_charge(&limit, ALICE, 2, false));
	KUNIT_EXPECT_EQ(test, 0, p2pmem_limit_charge(&limit, ALICE, 1, false));
	limit.max = 0;
	KUNIT_EXPECT_EQ(test, -EDQUOT, p2pmem_limit_charge(&limit, BOB, 1, false));
	p2pmem_limit_uncharge(&limit, ALICE, 4);
}

static struct kunit_case p2pmem_limit_cases[] = {
	KUNIT_CASE(no_limit),
	KUNIT_CASE(each_user),
	KUNIT_CASE(exempt),
	KUNIT_CASE(lowered),
	{}
};

static struct kunit_suite p2pmem_limit_suite = {
	.name = "p2pmem-limit",
	.init = test_init,
	.exit = test_exit,
	.test_cases = p2pmem_limit_cases,
};

kunit_test_suite(p2pmem_limit_suite);
