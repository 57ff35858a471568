// SPDX-License-Identifier: GPL-2.0
/* NUMA policy and migration: a device's memory is where the device is. */
#define _GNU_SOURCE
#include <linux/mempolicy.h>
#include <sys/syscall.h>

#include "mapping.h"

static bool no_numa(void)
{
	int mode;

	return syscall(__NR_get_mempolicy, &mode, NULL, 0, NULL, 0) < 0;
}

/* Stored with the mapping, without effect. */
TEST_F(mapping, mbind)
{
	unsigned long node = 1;
	int mode = -1;

	if (no_numa())
		SKIP(return, WITHOUT "NUMA");
	EXPECT_EQ(0, syscall(__NR_mbind, self->mem, self->size, MPOL_BIND,
			     &node, 8 * sizeof(node),
			     MPOL_MF_STRICT | MPOL_MF_MOVE));
	EXPECT_EQ(0, syscall(__NR_get_mempolicy, &mode, NULL, 0, self->mem,
			     MPOL_F_ADDR));
	EXPECT_EQ(MPOL_BIND, mode);
	EXPECT_TRUE(p2p_intact(self));
}

/* The same for huge entries as for small ones, on any node. */
TEST_F(mapping, mbind_huge)
{
	const size_t size = 4 * MIB;
	unsigned long node;
	char *mem;

	if (no_numa())
		SKIP(return, WITHOUT "NUMA");
	mem = p2p_map(self->provider, size);
	ASSERT_NE(MAP_FAILED, mem);
	p2p_store(mem, 1);
	p2p_store(mem + size / 2, 1);
	for (node = 1; node < 4; node <<= 1) {
		/* EINVAL: there is no such node. */
		if (syscall(__NR_mbind, mem, size, MPOL_BIND, &node,
			    8 * sizeof(node), MPOL_MF_STRICT))
			EXPECT_EQ(EINVAL, errno);
		if (syscall(__NR_mbind, mem, size, MPOL_BIND, &node,
			    8 * sizeof(node), MPOL_MF_STRICT | MPOL_MF_MOVE))
			EXPECT_EQ(EINVAL, errno);
	}
	EXPECT_EQ(0, munmap(mem, size));
}

TEST_F(mapping, set_mempolicy)
{
	unsigned long node = 1;

	if (no_numa())
		SKIP(return, WITHOUT "NUMA");
	EXPECT_EQ(0, syscall(__NR_set_mempolicy, MPOL_BIND, &node,
			     8 * sizeof(node)));
	ASSERT_EQ(0, madvise(self->mem, self->size, MADV_DONTNEED));
	EXPECT_TRUE(p2p_intact(self));
	EXPECT_EQ(0, syscall(__NR_set_mempolicy, MPOL_DEFAULT, NULL, 0));
}

/* The node of the page is the device's numa_node in sysfs. */
TEST_F(mapping, get_mempolicy_node)
{
	int node = -1;

	if (no_numa())
		SKIP(return, WITHOUT "NUMA");
	EXPECT_ERRNO(EREMOTEIO, syscall(__NR_get_mempolicy, &node, NULL, 0,
					self->mem, MPOL_F_ADDR | MPOL_F_NODE));
	EXPECT_EQ(-1, node);
}

TEST_F(mapping, move_pages)
{
	void *page[2] = { self->mem, p2p_ram(self->page) };
	int node[2] = { 0, 0 }, status[2] = { 99, 99 };

	if (no_numa())
		SKIP(return, WITHOUT "NUMA");
	p2p_set(page[1], self->page, 2);
	EXPECT_EQ(0, syscall(__NR_move_pages, 0, 2UL, page, NULL, status, 0));
	EXPECT_EQ(-EREMOTEIO, status[0]);
	EXPECT_EQ(0, status[1]);

	/* A page of RAM in the same call can still be moved. */
	status[0] = 99;
	status[1] = 99;
	EXPECT_EQ(0, syscall(__NR_move_pages, 0, 2UL, page, node, status,
			     MPOL_MF_MOVE));
	EXPECT_EQ(-EFAULT, status[0]);
	EXPECT_EQ(0, status[1]);
	EXPECT_TRUE(p2p_intact(self));
}

TEST_F(mapping, migrate_pages)
{
	unsigned long node = 1;
	uint64_t entry;

	if (no_numa())
		SKIP(return, WITHOUT "NUMA");
	entry = p2p_pagemap(self->mem);
	EXPECT_EQ(0, syscall(__NR_migrate_pages, 0, 8 * sizeof(node), &node,
			     &node));
	EXPECT_EQ(entry, p2p_pagemap(self->mem));
	EXPECT_TRUE(p2p_intact(self));
}

TEST_HARNESS_MAIN
