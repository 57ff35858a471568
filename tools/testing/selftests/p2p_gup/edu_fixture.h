/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The sample driver samples/p2pdma/p2p-edu.c, and two buffers of RAM and two of
 * peer-to-peer memory for it to copy between.
 *
 *	P2P_EDU_WIDE	address of an edu device with dma_mask=0xffffffffffffffff
 *	P2P_EDU_NARROW	address of one with the default, 28 bits
 *	P2P_EDU_FAR	address of another one with 28 bits
 *
 * The first two are under one switch with the provider, the third is behind a host
 * bridge that forwards peer-to-peer requests.
 */
#ifndef P2P_EDU_FIXTURE_H
#define P2P_EDU_FIXTURE_H

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "edu.h"
#include "variants.h"

FIXTURE(edu)
{
	EDU_FIXTURE;
	const char *narrow;
	const char *far;
	long long before;
	long long bus_bytes;
};

P2P_VARIANTS(edu, P2P_BAR_DRIVER, NULL);

FIXTURE_SETUP(edu)
{
	const char *wide = getenv("P2P_EDU_WIDE");

	self->narrow = getenv("P2P_EDU_NARROW");
	self->far = getenv("P2P_EDU_FAR");
	if (access(P2P_DRIVERS EDU, F_OK))
		SKIP(p2p_skip_now(), "no driver " EDU ": CONFIG_SAMPLE_P2PDMA_EDU?");
	if (!wide || !self->narrow || !self->far)
		SKIP(p2p_skip_now(), "P2P_EDU_WIDE, _NARROW and _FAR name no devices");

	self->before = p2p_available(variant->p2p.provider);
	ASSERT_TRUE(edu_begin(&self->edu, variant->p2p.provider, wide));
	self->bus_bytes = p2p_number(self->provider, "p2pmem/dma_bus_bytes");
}

FIXTURE_TEARDOWN(edu)
{
	edu_end(&self->edu);
	EXPECT_EQ(0, p2p_write_file(PARAMETERS "timeout_ms", "2000"));
	EXPECT_EQ(0, p2p_write_file(PARAMETERS "dma_bits", NARROW_BITS));
	if (!p2p_has_driver(self->provider, P2P_BAR_DRIVER))
		EXPECT_EQ(0, p2p_bind(self->provider));
	if (!p2p_has_driver(self->wide, EDU))
		EXPECT_EQ(0, p2p_driver_bind(EDU, self->wide));
	/* Immediately: no pages are held after a call. */
	EXPECT_EQ(self->before, p2p_available(self->provider));
}

/* How many bytes the provider's clients have mapped for DMA in this test. */
static inline long long mapped(struct _test_data_edu *self)
{
	return p2p_number(self->provider, "p2pmem/dma_bus_bytes") - self->bus_bytes;
}

/*
 * Starts a copy from or to peer-to-peer memory, or both. When this returns, the
 * copy is in flight: pages are mapped for DMA, and it takes nearly a second.
 */
static inline bool start_call(struct _test_data_edu *self, struct edu_call *call,
			      const char *src, char *dst)
{
	long long before = mapped(self);

	if (!edu_start(call, self->fd, src, dst, P2P_EDU_MIRRORED))
		return false;
	while (mapped(self) == before)
		if (edu_is_done(call))
			return false;
	return !edu_is_done(call);
}

/* lib/edu_fixture.c */
void snapshot(void *to, const void *from, size_t size);
void fill(char *src, char *dst);
bool is_copied(const char *src, const char *dst, size_t src_at, size_t dst_at, size_t len);

#endif
