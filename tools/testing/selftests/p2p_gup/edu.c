// SPDX-License-Identifier: GPL-2.0
/*
 * The sample driver samples/p2pdma/p2p-edu.c, see edu_fixture.h: copies of RAM
 * and peer-to-peer memory in any mix and alignment, and refused copies.
 */
#define _GNU_SOURCE
#include <errno.h>

#include "edu_fixture.h"

TEST_F(edu, ram_to_ram)
{
	fill(self->ram[SRC], self->ram[DST]);
	EXPECT_EQ(LEN, copy(self->fd, self->ram[SRC], self->ram[DST], LEN));
	EXPECT_TRUE(is_copied(self->ram[SRC], self->ram[DST], 0, 0, LEN));
	EXPECT_EQ(0, mapped(self));
}

TEST_F(edu, ram_to_bar)
{
	fill(self->ram[SRC], self->bar[DST]);
	EXPECT_EQ(LEN, copy(self->fd, self->ram[SRC], self->bar[DST], LEN));
	EXPECT_TRUE(is_copied(self->ram[SRC], self->bar[DST], 0, 0, LEN));
	EXPECT_EQ(LEN, mapped(self));
}

TEST_F(edu, bar_to_ram)
{
	fill(self->bar[SRC], self->ram[DST]);
	EXPECT_EQ(LEN, copy(self->fd, self->bar[SRC], self->ram[DST], LEN));
	EXPECT_TRUE(is_copied(self->bar[SRC], self->ram[DST], 0, 0, LEN));
	EXPECT_EQ(LEN, mapped(self));
}

TEST_F(edu, bar_to_bar)
{
	fill(self->bar[SRC], self->bar[DST]);
	EXPECT_EQ(LEN, copy(self->fd, self->bar[SRC], self->bar[DST], LEN));
	EXPECT_TRUE(is_copied(self->bar[SRC], self->bar[DST], 0, 0, LEN));
	EXPECT_EQ(2 * LEN, mapped(self));
}

/* One range, part of it RAM, in one scatterlist. */
TEST_F(edu, ram_beside_bar)
{
	size_t half = LEN / 2;
	char *both;

	both = mmap(NULL, LEN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, both);
	ASSERT_EQ(both, mremap(self->ram[DST], half, half,
			       MREMAP_MAYMOVE | MREMAP_FIXED, both));
	ASSERT_EQ(both + half, mremap(self->bar[DST], half, half,
				      MREMAP_MAYMOVE | MREMAP_FIXED,
				      both + half));
	p2p_fill(self->ram[SRC], LEN, SRC, 0);
	EXPECT_EQ(LEN, copy(self->fd, self->ram[SRC], both, LEN));
	EXPECT_EQ(-1, p2p_differs(both, LEN, SRC, 0));
	EXPECT_EQ(half, mapped(self));
	munmap(both, LEN);
}

TEST_F(edu, unaligned)
{
	static const struct {
		size_t src_at, dst_at, len;
	} cases[] = {
		{ 1, 0, 1 },
		{ 0, 4095, 1 },
		{ 4095, 3, 2 },
		{ 1, 1, 4095 },
		{ 123, 4001, 4097 },
		{ 4093, 1, LEN - 1 },
		{ 7, 4095, LEN },
	};
	char *const src[] = { self->ram[SRC], self->bar[SRC], self->bar[SRC] };
	char *const dst[] = { self->bar[DST], self->ram[DST], self->bar[DST] };
	int i, way;

	for (way = 0; way < ARRAY_SIZE(src); way++) {
		for (i = 0; i < ARRAY_SIZE(cases); i++) {
			fill(src[way], dst[way]);
			EXPECT_EQ(cases[i].len,
				  copy(self->fd, src[way] + cases[i].src_at,
				       dst[way] + cases[i].dst_at,
				       cases[i].len));
			EXPECT_TRUE(is_copied(src[way], dst[way],
					      cases[i].src_at, cases[i].dst_at,
					      cases[i].len)) {
				TH_LOG("way %d, case %d", way, i);
			}
		}
	}
}

TEST_F(edu, bad_arguments)
{
	char *src = self->bar[SRC], *dst = self->bar[DST];
	char *hole;

	fill(src, dst);
	EXPECT_EQ(-EINVAL, copy(self->fd, src, dst, 0));
	EXPECT_EQ(-EINVAL, copy(self->fd, src, dst, LEN + 1));
	EXPECT_EQ(-EINVAL, copy(self->fd, src, dst, UINT32_MAX));
	EXPECT_EQ(-EINVAL, copy_flags(self->fd, src, dst, LEN, 1U << 3));
	EXPECT_EQ(-EINVAL, copy_flags(self->fd, src, dst, LEN, 1U << 31));
	EXPECT_EQ(-ENOTTY, p2p_result(ioctl(self->fd, P2P_EDU_COPY + 1, dst)));
	EXPECT_EQ(-EFAULT, p2p_result(ioctl(self->fd, P2P_EDU_COPY, NULL)));

	EXPECT_EQ(-EFAULT, copy(self->fd, NULL, dst, LEN));
	EXPECT_EQ(-EFAULT, copy(self->fd, src, NULL, LEN));
	EXPECT_EQ(-EFAULT, copy(self->fd, (void *)UINTPTR_MAX, dst, LEN));
	EXPECT_EQ(-EFAULT, copy(self->fd, src, (void *)(UINTPTR_MAX << 47), LEN));
	/* The first pages are valid: their pins must be dropped. */
	hole = mmap(NULL, 2 * self->page, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, hole);
	ASSERT_EQ(hole, mremap(self->bar[SRC], self->page, self->page,
			       MREMAP_MAYMOVE | MREMAP_FIXED, hole));
	EXPECT_EQ(-EFAULT, copy(self->fd, hole, self->ram[DST], 2 * self->page));
	EXPECT_EQ(self->page, copy(self->fd, hole, self->ram[DST], self->page));
	ASSERT_EQ(0, munmap(hole, 2 * self->page));

	EXPECT_EQ(self->page, mapped(self));
	EXPECT_EQ(-1, p2p_differs(dst, SIZE, DST, 0));
}

TEST_F(edu, read_only_destination)
{
	fill(self->ram[SRC], self->ram[DST]);
	fill(self->bar[SRC], self->bar[DST]);
	ASSERT_EQ(0, mprotect(self->ram[DST], SIZE, PROT_READ));
	ASSERT_EQ(0, mprotect(self->bar[DST], SIZE, PROT_READ));
	EXPECT_EQ(-EFAULT, copy(self->fd, self->bar[SRC], self->ram[DST], LEN));
	EXPECT_EQ(-EFAULT, copy(self->fd, self->ram[SRC], self->bar[DST], LEN));
	EXPECT_EQ(-1, p2p_differs(self->ram[DST], SIZE, DST, 0));
	EXPECT_EQ(-1, p2p_differs(self->bar[DST], SIZE, DST, 0));

	/* It may be the source. */
	p2p_fill(self->ram[SRC], SIZE, SRC, 0);
	EXPECT_EQ(self->page, copy(self->fd, self->bar[DST], self->ram[SRC],
				   self->page));
	EXPECT_EQ(-1, p2p_differs(self->ram[SRC], self->page, DST, 0));
}

TEST_HARNESS_MAIN
