// SPDX-License-Identifier: GPL-2.0
/* KUnit test of the quotas of PCI peer-to-peer memory. */

#include <kunit/test.h>
#include <linux/errno.h>
#include <linux/overflow.h>
#include <linux/slab.h>

#include "quota.h"

#define ALICE		KUIDT_INIT(1000)
#define BOB		KUIDT_INIT(1001)
/* User IDs in a namespace of ALICE. */
#define SUB(i)		KUIDT_INIT(100000 + (i))

static struct p2pmem_quota quota;
/* Room for three users. */
static struct p2pmem_payers *payers;
static kuid_t over;

static int test_init(struct kunit *test)
{
	payers = kunit_kzalloc(test, struct_size(payers, uids, 3), GFP_KERNEL);
	if (!payers)
		return -ENOMEM;
	p2pmem_quota_init(&quota);
	over = INVALID_UID;
	return 0;
}

/* A test leaves nothing charged, and so no entry. */
static void test_exit(struct kunit *test)
{
	KUNIT_EXPECT_TRUE(test, xa_empty(&quota.pages));
	p2pmem_quota_destroy(&quota);
}

static void pay(kuid_t a, kuid_t b, kuid_t c)
{
	payers->nr = 0;
	p2pmem_payers_add(payers, a);
	p2pmem_payers_add(payers, b);
	p2pmem_payers_add(payers, c);
}

static int charge(kuid_t uid, unsigned long nr_pages, bool exempt)
{
	pay(uid, uid, uid);
	return p2pmem_quota_charge(&quota, payers, nr_pages, exempt, &over);
}

static void uncharge(kuid_t uid, unsigned long nr_pages)
{
	pay(uid, uid, uid);
	p2pmem_quota_uncharge(&quota, payers, nr_pages);
}

static int charge_sub(int i, unsigned long nr_pages)
{
	pay(SUB(i), SUB(0), ALICE);
	return p2pmem_quota_charge(&quota, payers, nr_pages, false, &over);
}

static void uncharge_sub(int i, unsigned long nr_pages)
{
	pay(SUB(i), SUB(0), ALICE);
	p2pmem_quota_uncharge(&quota, payers, nr_pages);
}

static void no_limit(struct kunit *test)
{
	const unsigned long many = 1UL << 40;

	KUNIT_EXPECT_EQ(test, 0, charge(ALICE, many, false));
	KUNIT_EXPECT_EQ(test, 0, charge(ALICE, many, false));
	uncharge(ALICE, 2 * many);
}

static void each_user(struct kunit *test)
{
	quota.max = 10;
	KUNIT_EXPECT_EQ(test, -EDQUOT, charge(ALICE, 11, false));
	KUNIT_EXPECT_EQ(test, 0, charge(ALICE, 10, false));
	KUNIT_EXPECT_EQ(test, -EDQUOT, charge(ALICE, 1, false));
	KUNIT_EXPECT_EQ(test, 0, charge(BOB, 9, false));
	KUNIT_EXPECT_EQ(test, -EDQUOT, charge(BOB, 2, false));

	/* Memory returns in pieces. */
	uncharge(ALICE, 3);
	KUNIT_EXPECT_EQ(test, -EDQUOT, charge(ALICE, 4, false));
	KUNIT_EXPECT_EQ(test, 0, charge(ALICE, 3, false));
	uncharge(ALICE, 9);
	uncharge(ALICE, 1);
	uncharge(BOB, 9);
}

/* Exempt charges count against later charges of the same user. */
static void exempt(struct kunit *test)
{
	quota.max = 10;
	KUNIT_EXPECT_EQ(test, 0, charge(ALICE, 50, true));
	KUNIT_EXPECT_EQ(test, -EDQUOT, charge(ALICE, 1, false));
	uncharge(ALICE, 45);
	KUNIT_EXPECT_EQ(test, 0, charge(ALICE, 5, false));
	uncharge(ALICE, 10);
}

static void lowered(struct kunit *test)
{
	quota.max = 10;
	KUNIT_EXPECT_EQ(test, 0, charge(ALICE, 10, false));
	quota.max = 4;
	KUNIT_EXPECT_EQ(test, -EDQUOT, charge(ALICE, 1, false));
	uncharge(ALICE, 7);
	KUNIT_EXPECT_EQ(test, -EDQUOT, charge(ALICE, 2, false));
	KUNIT_EXPECT_EQ(test, 0, charge(ALICE, 1, false));
	quota.max = 0;
	KUNIT_EXPECT_EQ(test, -EDQUOT, charge(BOB, 1, false));
	uncharge(ALICE, 4);
}

/* The users in a namespace share the quota of its owner, with the owner. */
static void namespaces(struct kunit *test)
{
	quota.max = 10;
	KUNIT_EXPECT_EQ(test, 0, charge(ALICE, 2, false));
	KUNIT_EXPECT_EQ(test, 0, charge_sub(1, 4));
	KUNIT_EXPECT_EQ(test, 0, charge_sub(2, 3));
	KUNIT_EXPECT_EQ(test, -EDQUOT, charge_sub(3, 2));
	KUNIT_EXPECT_TRUE(test, uid_eq(over, ALICE));
	/* The failed charge left nothing charged: one page still fits. */
	KUNIT_EXPECT_EQ(test, 0, charge_sub(3, 1));
	KUNIT_EXPECT_EQ(test, -EDQUOT, charge(ALICE, 1, false));
	KUNIT_EXPECT_EQ(test, 0, charge(BOB, 10, false));

	uncharge(BOB, 10);
	uncharge_sub(1, 4);
	KUNIT_EXPECT_EQ(test, 0, charge(ALICE, 4, false));
	uncharge(ALICE, 6);
	uncharge_sub(2, 3);
	uncharge_sub(3, 1);
}

/* Root of the namespace is one of its users, and is charged once. */
static void pays_once(struct kunit *test)
{
	quota.max = 10;
	pay(SUB(0), SUB(0), ALICE);
	KUNIT_EXPECT_EQ(test, 2, payers->nr);
	KUNIT_EXPECT_TRUE(test, uid_eq(payers->uids[0], SUB(0)));
	KUNIT_EXPECT_TRUE(test, uid_eq(payers->uids[1], ALICE));
	KUNIT_EXPECT_EQ(test, 0, charge_sub(0, 10));
	uncharge_sub(0, 10);
}

/* What is read does not depend on the sizes of the pieces. */
static void list(struct kunit *test)
{
	static const char want[] = "0 4096\n1000 8192\n1001 40960\n";
	char *got = kunit_kzalloc(test, sizeof(want), GFP_KERNEL);
	size_t piece, at, len;

	KUNIT_ASSERT_NOT_NULL(test, got);
	KUNIT_EXPECT_EQ(test, 0, p2pmem_quota_list(&quota, got, 0, sizeof(want)));
	charge(BOB, 10, false);
	charge(GLOBAL_ROOT_UID, 1, false);
	charge(ALICE, 2, false);
	for (piece = 1; piece <= sizeof(want); piece++) {
		memset(got, 0, sizeof(want));
		for (at = 0; at < sizeof(want); at += len) {
			len = p2pmem_quota_list(&quota, got + at, at,
						min(piece, sizeof(want) - at));
			if (!len)
				break;
		}
		KUNIT_EXPECT_STREQ(test, want, got);
		KUNIT_EXPECT_EQ(test, sizeof(want) - 1, at);
	}
	uncharge(BOB, 10);
	uncharge(GLOBAL_ROOT_UID, 1);
	uncharge(ALICE, 2);
}

static struct kunit_case p2pmem_quota_cases[] = {
	KUNIT_CASE(no_limit),
	KUNIT_CASE(each_user),
	KUNIT_CASE(exempt),
	KUNIT_CASE(lowered),
	KUNIT_CASE(namespaces),
	KUNIT_CASE(pays_once),
	KUNIT_CASE(list),
	{}
};

static struct kunit_suite p2pmem_quota_suite = {
	.name = "p2pmem-quota",
	.init = test_init,
	.exit = test_exit,
	.test_cases = p2pmem_quota_cases,
};

kunit_test_suite(p2pmem_quota_suite);
