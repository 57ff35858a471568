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

#define LEN		P2P_EDU_MAX_LEN
/* Room for the longest copy at the largest offset. */
#define SIZE		(LEN + 4096)
#define NR_BUFFERS	2

enum { SRC, DST };

FIXTURE(edu)
{
	const char *provider;
	const char *wide;
	const char *narrow;
	const char *far;
	long long before;
	long long bus_bytes;
	size_t page;
	char *bar[NR_BUFFERS];
	char *ram[NR_BUFFERS];
	int fd;			/* of the wide device */
};

P2P_VARIANTS(edu, P2P_BAR_DRIVER, NULL);

FIXTURE_SETUP(edu)
{
	int i;

	self->provider = variant->p2p.provider;
	self->wide = getenv("P2P_EDU_WIDE");
	self->narrow = getenv("P2P_EDU_NARROW");
	self->far = getenv("P2P_EDU_FAR");
	self->page = sysconf(_SC_PAGESIZE);
	if (access(P2P_DRIVERS EDU, F_OK))
		SKIP(p2p_skip_now(), "no driver " EDU ": CONFIG_SAMPLE_P2PDMA_EDU?");
	if (!self->wide || !self->narrow || !self->far)
		SKIP(p2p_skip_now(), "P2P_EDU_WIDE, _NARROW and _FAR name no devices");

	self->before = p2p_available(self->provider);
	for (i = 0; i < NR_BUFFERS; i++) {
		self->bar[i] = p2p_map(self->provider, SIZE);
		ASSERT_NE(MAP_FAILED, self->bar[i]);
		self->ram[i] = p2p_ram(SIZE);
		ASSERT_NE(MAP_FAILED, self->ram[i]);
	}
	ASSERT_EQ(0, bind_edu(self->wide, WIDE_BITS));
	self->fd = open_edu(self->wide);
	ASSERT_LE(0, self->fd);
	self->bus_bytes = p2p_number(self->provider, "p2pmem/dma_bus_bytes");
}

FIXTURE_TEARDOWN(edu)
{
	int i;

	close(self->fd);
	for (i = 0; i < NR_BUFFERS; i++) {
		munmap(self->bar[i], SIZE);
		munmap(self->ram[i], SIZE);
	}
	EXPECT_EQ(0, p2p_write_file(PARAMETERS "timeout_ms", "2000"));
	EXPECT_EQ(0, p2p_write_file(PARAMETERS "dma_bits", NARROW_BITS));
	if (!p2p_has_driver(self->provider, P2P_BAR_DRIVER))
		EXPECT_EQ(0, p2p_bind(self->provider));
	if (!p2p_has_driver(self->wide, EDU))
		EXPECT_EQ(0, p2p_driver_bind(EDU, self->wide));
	/* At once: when a call is over, nothing is held any more. */
	EXPECT_EQ(self->before, p2p_available(self->provider));
}

/* Device memory is read by words. */
static inline void snapshot(void *to, const void *from, size_t size)
{
	uint64_t *word = to;
	size_t i;

	for (i = 0; i < size / 8; i++)
		word[i] = p2p_load((const uint64_t *)from + i);
}

/* How many bytes the provider's clients have mapped for DMA in this test. */
static inline long long mapped(struct _test_data_edu *self)
{
	return p2p_number(self->provider, "p2pmem/dma_bus_bytes") -
	       self->bus_bytes;
}

static inline void fill(char *src, char *dst)
{
	p2p_fill(src, SIZE, SRC, 0);
	p2p_fill(dst, SIZE, DST, 0);
}

/* Are the first bytes of a range those of src, and is all else as it was? */
static inline bool is_copied(const char *src, const char *dst, size_t src_at,
			     size_t dst_at, size_t len)
{
	static __thread uint64_t from[SIZE / 8], to[SIZE / 8], now[SIZE / 8];

	p2p_fill(from, SIZE, SRC, 0);
	p2p_fill(to, SIZE, DST, 0);
	snapshot(now, src, SIZE);
	if (memcmp(now, from, SIZE))
		return false;
	memcpy((char *)to + dst_at, (char *)from + src_at, len);
	snapshot(now, dst, SIZE);
	return !memcmp(now, to, SIZE);
}

#endif
