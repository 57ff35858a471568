// SPDX-License-Identifier: GPL-2.0
/*
 * Transfers between devices without struct pages: the sample client
 * samples/p2pdma/p2p-edu.c copies from and to memory of the sample provider
 * p2p-vram.c, see range.h and edu.h.
 *
 *	P2P_EDU_WIDE	address of an edu device with dma_mask=0xffffffffffffffff
 *	P2P_EDU_NARROW	address of one with the default, 28 bits
 *	P2P_EDU_FAR	address of another one, behind a host bridge
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "range.h"
#include "variants.h"

FIXTURE(range_edu)
{
	EDU_FIXTURE;
	const char *vram;
	long long bus_bytes;
	char *mem[NR_BUFFERS];	/* without pages */
};

P2P_VARIANTS(range_edu, "p2pmem-bar", NULL);

FIXTURE_SETUP(range_edu)
{
	const char *wide = getenv("P2P_EDU_WIDE");
	int i;

	self->vram = getenv("P2P_VRAM");
	if (access(P2P_DRIVERS EDU, F_OK) || access(P2P_DRIVERS VRAM, F_OK))
		SKIP(p2p_skip_now(), "no driver " EDU " or " VRAM);
	if (!self->vram || !wide)
		SKIP(p2p_skip_now(), "P2P_VRAM and P2P_EDU_WIDE name no devices");

	if (!p2p_has_driver(self->vram, VRAM))
		ASSERT_EQ(0, p2p_driver_bind(VRAM, self->vram));
	for (i = 0; i < NR_BUFFERS; i++) {
		self->mem[i] = map_vram(self->vram, SIZE, i * SIZE);
		ASSERT_NE(MAP_FAILED, self->mem[i]);
	}
	ASSERT_TRUE(edu_begin(&self->edu, variant->p2p.provider, wide));
	self->bus_bytes = p2p_number(self->vram, "p2pmem/dma_bus_bytes");
}

FIXTURE_TEARDOWN(range_edu)
{
	int i;

	edu_end(&self->edu);
	for (i = 0; i < NR_BUFFERS; i++)
		munmap(self->mem[i], SIZE);
	EXPECT_EQ(0, p2p_write_file(PARAMETERS "dma_bits", NARROW_BITS));
	if (!p2p_has_driver(self->vram, VRAM))
		EXPECT_EQ(0, p2p_driver_bind(VRAM, self->vram));
}

static void copies(struct __test_metadata *_metadata,
		   struct _test_data_range_edu *self, char *src, char *dst,
		   int ranges)
{
	long long bytes = p2p_number(self->vram, "p2pmem/dma_bus_bytes");

	p2p_fill(src, SIZE, SRC, 0);
	p2p_fill(dst, SIZE, DST, 0);
	EXPECT_EQ(LEN, copy(self->fd, src, dst, LEN));
	EXPECT_EQ(-1, p2p_differs(dst, LEN, SRC, 0));
	EXPECT_EQ(-1, p2p_differs(dst + LEN, SIZE - LEN, DST, LEN));
	EXPECT_EQ(-1, p2p_differs(src, SIZE, SRC, 0));
	EXPECT_EQ(bytes + ranges * LEN,
		  p2p_number(self->vram, "p2pmem/dma_bus_bytes"));
}

TEST_F(range_edu, from_ram)
{
	copies(_metadata, self, self->ram[SRC], self->mem[DST], 1);
}

TEST_F(range_edu, to_ram)
{
	copies(_metadata, self, self->mem[SRC], self->ram[DST], 1);
}

TEST_F(range_edu, from_memory_with_pages)
{
	copies(_metadata, self, self->bar[SRC], self->mem[DST], 1);
}

TEST_F(range_edu, to_memory_with_pages)
{
	copies(_metadata, self, self->mem[SRC], self->bar[DST], 1);
}

TEST_F(range_edu, both)
{
	copies(_metadata, self, self->mem[SRC], self->mem[DST], 2);
}

TEST_F(range_edu, unaligned)
{
	p2p_fill(self->ram[SRC], SIZE, SRC, 0);
	p2p_fill(self->mem[DST], SIZE, DST, 0);
	EXPECT_EQ(4097, copy(self->fd, self->ram[SRC] + 123,
			     self->mem[DST] + 4095, 4097));
	p2p_fill(self->ram[DST], SIZE, DST, 0);
	memcpy(self->ram[DST] + 4095, self->ram[SRC] + 123, 4097);
	EXPECT_EQ(-1, p2p_unlike(self->ram[DST], self->mem[DST], SIZE));
}

TEST_F(range_edu, bounds)
{
	p2p_fill(self->mem[DST], SIZE, DST, 0);
	EXPECT_EQ(-EFAULT, copy(self->fd, self->ram[SRC],
				self->mem[DST] + SIZE - LEN + 1, LEN));
	ASSERT_EQ(0, mprotect(self->mem[DST], SIZE, PROT_READ));
	EXPECT_EQ(-EFAULT, copy(self->fd, self->ram[SRC], self->mem[DST], LEN));
	EXPECT_EQ(-1, p2p_differs(self->mem[DST], SIZE, DST, 0));
	EXPECT_EQ(LEN, copy(self->fd, self->mem[DST], self->ram[SRC], LEN));
}

/* The device has 28 address bits: copies are refused with EREMOTEIO. */
static void cant_reach(struct __test_metadata *_metadata,
		       struct _test_data_range_edu *self, const char *narrow)
{
	int fd;

	ASSERT_NE(NULL, narrow);
	ASSERT_EQ(0, bind_edu(narrow, NARROW_BITS));
	fd = open_edu(narrow);
	ASSERT_LE(0, fd);
	p2p_fill(self->mem[DST], SIZE, DST, 0);
	EXPECT_EQ(-EREMOTEIO, copy(fd, self->ram[SRC], self->mem[DST], LEN));
	EXPECT_EQ(-EREMOTEIO, copy(fd, self->mem[DST], self->ram[SRC], LEN));
	EXPECT_EQ(-1, p2p_differs(self->mem[DST], SIZE, DST, 0));
	close(fd);
}

TEST_F(range_edu, short_mask)
{
	cant_reach(_metadata, self, getenv("P2P_EDU_NARROW"));
}

TEST_F(range_edu, short_mask_far)
{
	cant_reach(_metadata, self, getenv("P2P_EDU_FAR"));
}

/* The provider is unbound during a transfer, which is completed first. */
TEST_F(range_edu, provider_unbound_in_flight)
{
	struct edu_call call;

	p2p_fill(self->mem[SRC], SIZE, SRC, 0);
	ASSERT_TRUE(edu_start(&call, self->fd, self->mem[SRC], self->mem[DST], 0));
	while (p2p_number(self->vram, "p2pmem/dma_bus_bytes") <
	       self->bus_bytes + 2 * LEN)
		usleep(1000);
	/* The copy takes eight commands of 100 ms. When the driver is gone ... */
	ASSERT_EQ(0, p2p_driver_unbind(VRAM, self->vram));
	EXPECT_EQ(SIGBUS, p2p_fault_of(self->mem[DST], false));
	/*
	 * ... all of the data has arrived, even if the call has not returned.
	 */
	ASSERT_EQ(0, p2p_driver_bind(VRAM, self->vram));
	munmap(self->mem[DST], SIZE);
	self->mem[DST] = map_vram(self->vram, SIZE, SIZE);
	ASSERT_NE(MAP_FAILED, self->mem[DST]);
	EXPECT_EQ(-1, p2p_differs(self->mem[DST], LEN, SRC, 0));
	ASSERT_EQ(0, pthread_join(call.thread, NULL));
	EXPECT_EQ(LEN, call.ret);
	/* The old mapping belongs to the revoked memory. */
	EXPECT_EQ(-ENODEV, copy(self->fd, self->mem[SRC], self->ram[DST], LEN));
}

TEST_F(range_edu, client_unbound_in_flight)
{
	struct edu_call call;

	ASSERT_TRUE(edu_start(&call, self->fd, self->mem[SRC], self->mem[DST], 0));
	while (p2p_number(self->vram, "p2pmem/dma_bus_bytes") <
	       self->bus_bytes + 2 * LEN)
		usleep(1000);
	ASSERT_EQ(0, p2p_driver_unbind(EDU, self->wide));
	ASSERT_EQ(0, pthread_join(call.thread, NULL));
	EXPECT_EQ(LEN, call.ret);
	/* Nothing is left mapped: the provider does not wait. */
	EXPECT_EQ(0, p2p_driver_unbind(VRAM, self->vram));
	EXPECT_EQ(0, p2p_driver_bind(EDU, self->wide));
}

TEST_HARNESS_MAIN
