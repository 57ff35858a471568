// SPDX-License-Identifier: GPL-2.0
/*
 * Device private memory of one device, accessed in place by DMA of another,
 * through samples/p2pdma/p2p-edu-mirror.c, while the memory migrates, is forked
 * and unmapped, and while the provider is unbound.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "edu_fixture.h"
#include "private.h"

/* The mirrored ranges: two that may be private, and one of RAM. */
enum { PRIVATE, PRIVATE2, RAM, NR_PLACES };
#define ROOM		(NR_PLACES * SIZE)
#define NR		((int)(SIZE / self->page))	/* pages of a range */

static int device = -1;		/* owns the memory */
static char *room;

static char *at(int place)
{
	return room + place * SIZE;
}

static bool set_up(struct _test_data_edu *self)
{
	device = open(DMIRROR, O_RDWR | O_CLOEXEC);
	room = p2p_ram(ROOM);
	return device >= 0 && room != MAP_FAILED &&
	       !p2p_write_file(DMIRROR_PROVIDER, self->provider) &&
	       !mirror_edu(self->fd, room, ROOM);
}

/* None of the provider's memory stays in use. */
static bool end(void)
{
	return !munmap(room, ROOM) && !close(device) &&
	       !p2p_write_file(DMIRROR_PROVIDER, NO_PROVIDER);
}

static bool make_private(int place)
{
	return !private_to_device(device, at(place), SIZE);
}

static int private(int place)
{
	return private_pages(device, at(place), SIZE);
}

TEST_F(edu, stays)
{
	static const int ways[][2] = {
		{ PRIVATE, RAM }, { RAM, PRIVATE }, { PRIVATE, PRIVATE2 },
	};
	size_t i;
	int src, dst, j;

	ASSERT_TRUE(set_up(self));
	for (i = 0; i < 3; i++) {
		src = ways[i][0];
		dst = ways[i][1];
		fill(at(src), at(dst));
		for (j = 0; j < 2; j++)
			if (ways[i][j] != RAM)
				ASSERT_TRUE(make_private(ways[i][j]));
		EXPECT_EQ(LEN, mirrored(self->fd, at(src), at(dst), LEN));
		for (j = 0; j < 2; j++)
			if (ways[i][j] != RAM)
				EXPECT_EQ(NR, private(ways[i][j]));
		/* CPU accesses migrate the data to RAM. */
		EXPECT_TRUE(is_copied(at(src), at(dst), 0, 0, LEN));
		EXPECT_EQ(0, private(PRIVATE));
	}
	EXPECT_EQ(4 * LEN, mapped(self));
	EXPECT_TRUE(end());
}

/* The memory's own device reads what the other device has written. */
TEST_F(edu, seen_by_owner)
{
	static char seen[SIZE];

	ASSERT_TRUE(set_up(self));
	fill(at(RAM), at(PRIVATE));
	ASSERT_TRUE(make_private(PRIVATE));
	EXPECT_EQ(3000, mirrored(self->fd, at(RAM) + 4001, at(PRIVATE) + 123, 3000));
	EXPECT_EQ(0, private_read(device, at(PRIVATE), SIZE, seen));
	EXPECT_EQ(NR, private(PRIVATE));
	EXPECT_TRUE(is_copied(at(RAM), seen, 4001, 123, 3000));
	EXPECT_TRUE(is_copied(at(RAM), at(PRIVATE), 4001, 123, 3000));
	EXPECT_TRUE(end());
}

/*
 * A device that can't address the BAR, or has no route, gets the data in RAM.
 */
TEST_F(edu, no_route)
{
	const char *const others[] = { self->narrow, self->far };
	long long before;
	size_t i;
	int fd;

	ASSERT_TRUE(set_up(self));
	for (i = 0; i < ARRAY_SIZE(others); i++) {
		ASSERT_EQ(0, bind_edu(others[i], NARROW_BITS));
		fd = open_edu(others[i]);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, mirror_edu(fd, room, ROOM));
		fill(at(PRIVATE), at(RAM));
		ASSERT_TRUE(make_private(PRIVATE));
		before = mapped(self);
		EXPECT_EQ(LEN, mirrored(fd, at(PRIVATE), at(RAM), LEN));
		EXPECT_EQ(before, mapped(self));
		EXPECT_EQ(NR - (int)(LEN / self->page), private(PRIVATE));
		EXPECT_TRUE(is_copied(at(PRIVATE), at(RAM), 0, 0, LEN));

		fill(at(RAM), at(PRIVATE));
		ASSERT_TRUE(make_private(PRIVATE));
		EXPECT_EQ(LEN, mirrored(fd, at(RAM), at(PRIVATE), LEN));
		EXPECT_EQ(NR - (int)(LEN / self->page), private(PRIVATE));
		EXPECT_TRUE(is_copied(at(RAM), at(PRIVATE), 0, 0, LEN));
		close(fd);
	}
	EXPECT_TRUE(end());
}

/* The data migrate back and forth all the time, without loss. */
TEST_F(edu, moved_in_flight)
{
	struct edu_call call;
	int src, dst;

	ASSERT_TRUE(set_up(self));
	for (src = PRIVATE; src <= RAM; src += RAM - PRIVATE) {
		dst = PRIVATE + RAM - src;
		fill(at(src), at(dst));
		ASSERT_TRUE(make_private(PRIVATE));
		ASSERT_TRUE(start_call(self, &call, at(src), at(dst)));
		do {
			EXPECT_EQ(0, private_to_ram(device, at(PRIVATE), SIZE));
			usleep(30000);
			private_to_device(device, at(PRIVATE), SIZE);
			usleep(30000);
		} while (!edu_is_done(&call));
		ASSERT_EQ(0, pthread_join(call.thread, NULL));
		EXPECT_EQ(LEN, call.ret);
		EXPECT_TRUE(is_copied(at(src), at(dst), 0, 0, LEN));
	}
	EXPECT_TRUE(end());
}

/*
 * The child keeps the data as of fork(), in RAM; the parent gets the new data.
 */
TEST_F(edu, forked_in_flight)
{
	struct edu_call call;
	pid_t child;

	ASSERT_TRUE(set_up(self));
	fill(at(RAM), at(PRIVATE));
	ASSERT_TRUE(make_private(PRIVATE));
	ASSERT_TRUE(start_call(self, &call, at(RAM), at(PRIVATE)));
	child = fork();
	ASSERT_LE(0, child);
	/* Words that the device can't have reached yet. */
	if (!child)
		_exit(p2p_differs(at(PRIVATE) + LEN, SIZE - LEN, DST, LEN) != -1);
	EXPECT_EQ(0, p2p_wait(child));
	ASSERT_EQ(0, pthread_join(call.thread, NULL));
	EXPECT_EQ(LEN, call.ret);
	EXPECT_TRUE(is_copied(at(RAM), at(PRIVATE), 0, 0, LEN));
	EXPECT_TRUE(end());
}

/* When munmap() returns, the BAR memory is free and unused by the device. */
TEST_F(edu, unmapped_in_flight)
{
	struct edu_call call;
	long long before;
	char *other;

	ASSERT_TRUE(set_up(self));
	before = p2p_available(self->provider);
	fill(at(RAM), at(PRIVATE));
	ASSERT_TRUE(make_private(PRIVATE));
	ASSERT_TRUE(start_call(self, &call, at(RAM), at(PRIVATE)));
	ASSERT_EQ(0, munmap(at(PRIVATE), SIZE));
	EXPECT_EQ(before, p2p_available(self->provider));
	other = p2p_map(self->provider, 2 * SIZE);
	ASSERT_NE(MAP_FAILED, other);
	p2p_fill(other, 2 * SIZE, 7, 0);
	ASSERT_EQ(0, pthread_join(call.thread, NULL));
	EXPECT_EQ(-EFAULT, call.ret);
	EXPECT_EQ(-1, p2p_differs(other, 2 * SIZE, 7, 0));
	EXPECT_EQ(0, munmap(other, 2 * SIZE));
	EXPECT_TRUE(end());
}

/* Mapped for DMA, but idle: once the data are in RAM, nothing to wait for. */
TEST_F(edu, provider_unbound)
{
	ASSERT_TRUE(set_up(self));
	fill(at(PRIVATE), at(PRIVATE2));
	ASSERT_TRUE(make_private(PRIVATE));
	ASSERT_TRUE(make_private(PRIVATE2));
	EXPECT_EQ(LEN, mirrored(self->fd, at(PRIVATE), at(PRIVATE2), LEN));
	ASSERT_EQ(0, p2p_unbind(self->provider));
	EXPECT_EQ(0, private(PRIVATE));
	EXPECT_EQ(0, private(PRIVATE2));
	EXPECT_TRUE(is_copied(at(PRIVATE), at(PRIVATE2), 0, 0, LEN));
	ASSERT_EQ(0, p2p_bind(self->provider));
	EXPECT_TRUE(end());
}

TEST_F(edu, provider_unbound_in_flight)
{
	struct edu_call call;

	ASSERT_TRUE(set_up(self));
	fill(at(RAM), at(PRIVATE));
	ASSERT_TRUE(make_private(PRIVATE));
	ASSERT_TRUE(start_call(self, &call, at(RAM), at(PRIVATE)));
	ASSERT_EQ(0, p2p_unbind(self->provider));
	/* Unlike a mapping of the BAR itself, the memory survives in RAM. */
	ASSERT_EQ(0, pthread_join(call.thread, NULL));
	EXPECT_EQ(LEN, call.ret);
	EXPECT_TRUE(is_copied(at(RAM), at(PRIVATE), 0, 0, LEN));
	ASSERT_EQ(0, p2p_bind(self->provider));
	EXPECT_TRUE(end());
}

TEST_HARNESS_MAIN
