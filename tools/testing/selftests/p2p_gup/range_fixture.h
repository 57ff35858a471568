/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A mapping of peer-to-peer memory without struct pages, see range.h, and a client
 * that maps it for DMA: the drive "raw".
 */
#ifndef P2P_RANGE_FIXTURE_H
#define P2P_RANGE_FIXTURE_H

#include <lib/test_p2p_uapi.h>
#include <stdlib.h>

#include "../kselftest_harness.h"
#include "gup_call.h"
#include "range.h"

#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	120

#define P2P_TEST_RANGE_FILE	"/sys/kernel/debug/p2p_test_range"
#define PAGES			40	/* more than one fault maps */
#define FIRST			16	/* page of the range */
#define SEED			7

FIXTURE(range)
{
	const char *vram;
	struct p2p_test_function client;
	uint64_t bar;		/* where the range begins */
	uint64_t bar_len;
	size_t page;
	size_t size;
	char *mem;
	int fd;			/* of the client */
};

FIXTURE_SETUP(range)
{
	uint64_t flags;

	self->vram = getenv("P2P_VRAM");
	if (access(P2P_DRIVERS VRAM, F_OK))
		SKIP(_exit(255), "no driver " VRAM ": CONFIG_SAMPLE_P2PDMA_VRAM?");
	if (!self->vram || !p2p_disk("raw"))
		SKIP(_exit(255), "P2P_VRAM names no device, or there is no drive raw");

	self->page = sysconf(_SC_PAGESIZE);
	self->size = PAGES * self->page;
	if (!p2p_has_driver(self->vram, VRAM))
		ASSERT_EQ(0, p2p_driver_bind(VRAM, self->vram));
	ASSERT_TRUE(p2p_bar(self->vram, 0, &self->bar, &self->bar_len, &flags));
	ASSERT_TRUE(p2p_client_of(p2p_disk("raw"), &self->client));
	self->mem = map_vram(self->vram, self->size, FIRST * self->page);
	ASSERT_NE(MAP_FAILED, self->mem);
	self->fd = open(P2P_TEST_RANGE_FILE, O_RDWR);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(range)
{
	close(self->fd);
	munmap(self->mem, self->size);
	if (!p2p_has_driver(self->vram, VRAM))
		EXPECT_EQ(0, p2p_driver_bind(VRAM, self->vram));
}

/* Does all of the memory have the data of this seed? */
static inline bool holds(const void *mem, size_t size, uint64_t seed)
{
	return p2p_differs(mem, size, seed, 0) == -1;
}

#endif
