/* SPDX-License-Identifier: GPL-2.0 */
/* KUnit test of the limits of log lines, part of p2p_ratelimit.c. */
#ifdef CONFIG_PCI_P2PMEM_KUNIT_TEST
#ifndef _P2P_RATELIMIT_TEST_H
#define _P2P_RATELIMIT_TEST_H

#include <kunit/test.h>

/* Users that don't exist. */
#define TEST_USER(i)	((1ULL << 40) + (i))
#define TEST_PAIR(i)	((void *)(0x1000UL + (i)))

/* Returns how many of @nr lines, each about another pair, may be printed. */
static unsigned int lines_about(u64 user, unsigned int nr)
{
	unsigned int i, allowed = 0;

	for (i = 0; i < nr; i++)
		allowed += p2p_ratelimit_about_by(user, TEST_PAIR(i), NULL);
	return allowed;
}

static unsigned int lines(u64 user, unsigned int nr)
{
	unsigned int i, allowed = 0;

	for (i = 0; i < nr; i++)
		allowed += p2p_ratelimit_by(user);
	return allowed;
}

static void forget(struct p2p_ratelimit_slot *slots, unsigned int nr_slots)
{
	unsigned int i;

	for (i = 0; i < nr_slots; i++)
		if (slots[i].user >= TEST_USER(0))
			slots[i].pair = 0;
}

static void p2p_ratelimit_test_exit(struct kunit *test)
{
	forget(p2p_ratelimit_users, P2P_NR_USERS);
	forget(p2p_ratelimit_pairs, P2P_NR_PAIRS);
}

static void each_user(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, DEFAULT_RATELIMIT_BURST, lines(TEST_USER(0), 100));
	KUNIT_EXPECT_EQ(test, DEFAULT_RATELIMIT_BURST, lines(TEST_USER(1), 100));
	KUNIT_EXPECT_EQ(test, 0, lines(TEST_USER(0), 1));
}

static void each_pair(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, 3, lines_about(TEST_USER(0), 3));
	KUNIT_EXPECT_EQ(test, 0, lines_about(TEST_USER(0), 3));
	KUNIT_EXPECT_EQ(test, 3, lines_about(TEST_USER(1), 3));
	KUNIT_EXPECT_TRUE(test, p2p_ratelimit_about_by(TEST_USER(0), TEST_PAIR(0),
						       TEST_PAIR(0)));
	/* Lines about pairs don't count as other lines. */
	KUNIT_EXPECT_EQ(test, DEFAULT_RATELIMIT_BURST, lines(TEST_USER(0), 100));
}

/* A user with many pairs gets no more lines, and others keep theirs. */
static void many_pairs(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, P2P_USER_PAIRS + DEFAULT_RATELIMIT_BURST,
			lines_about(TEST_USER(0), 3 * P2P_NR_PAIRS));
	KUNIT_EXPECT_EQ(test, 0, lines(TEST_USER(0), 1));
	KUNIT_EXPECT_EQ(test, 3, lines_about(TEST_USER(1), 3));
	KUNIT_EXPECT_EQ(test, 0, lines_about(TEST_USER(1), 3));
}

/* Without a slot for the pair the limit is that of the user. */
static void many_users(struct kunit *test)
{
	unsigned int i, last = P2P_NR_PAIRS / P2P_USER_PAIRS;

	for (i = 0; i < last; i++)
		lines_about(TEST_USER(i), P2P_USER_PAIRS);
	KUNIT_EXPECT_EQ(test, DEFAULT_RATELIMIT_BURST,
			lines_about(TEST_USER(last), 100));
	KUNIT_EXPECT_EQ(test, DEFAULT_RATELIMIT_BURST,
			lines_about(TEST_USER(last + 1), 100));
}

static struct kunit_case p2p_ratelimit_test_cases[] = {
	KUNIT_CASE(each_user),
	KUNIT_CASE(each_pair),
	KUNIT_CASE(many_pairs),
	KUNIT_CASE(many_users),
	{}
};

static struct kunit_suite p2p_ratelimit_test_suite = {
	.name = "p2p-ratelimit",
	.exit = p2p_ratelimit_test_exit,
	.test_cases = p2p_ratelimit_test_cases,
};

kunit_test_suite(p2p_ratelimit_test_suite);

#endif /* _P2P_RATELIMIT_TEST_H */
#endif /* CONFIG_PCI_P2PMEM_KUNIT_TEST */
