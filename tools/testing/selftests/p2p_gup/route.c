// SPDX-License-Identifier: GPL-2.0
/*
 * Observability: tracepoints show what happened to a buffer and to a transfer,
 * and a provider's counters show the routes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "trace.h"
#include "variants.h"

#define PAGES		8

FIXTURE(route)
{
	P2P_FIXTURE;
	const char *expected;	/* the route between the drive and the provider */
};

P2P_VARIANTS(route, NULL, "raw", "cmb", NULL);

FIXTURE_SETUP(route)
{
	self->expected = p2p_is_own(variant->p2p.disk, variant->p2p.provider) ?
			 "bus" : getenv("P2P_ROUTE");

	if (!trace_there())
		SKIP(p2p_skip_now(), "no " TRACING "events/p2pmem: CONFIG_FTRACE, tracefs?");
	ASSERT_TRUE(trace_start());
	ASSERT_TRUE(p2p_setup(&self->p2p, &variant->p2p, PAGES * sysconf(_SC_PAGESIZE)));
	ASSERT_TRUE(p2p_setup_drive(&self->p2p, &variant->p2p, O_RDONLY));
}

FIXTURE_TEARDOWN(route)
{
	trace_stop();
	p2p_release(&self->p2p);
	EXPECT_EQ(self->before, p2p_available(self->provider));
}

/* The bytes of all p2pdma_map events with the provider and the route. */
static size_t mapped(const char *provider, const char *route)
{
	char from[64], way[64], line[512];
	size_t bytes, sum = 0;
	const char *at;
	FILE *file;

	snprintf(from, sizeof(from), " provider=%s ", provider);
	snprintf(way, sizeof(way), " route=%s\n", route);
	file = fopen(TRACING "trace", "r");
	while (file && fgets(line, sizeof(line), file)) {
		at = strstr(line, " bytes=");
		if (at && strstr(line, "p2pdma_map: ") && strstr(line, from) &&
		    strstr(line, way) && sscanf(at, " bytes=%zu", &bytes) == 1)
			sum += bytes;
	}
	if (file)
		fclose(file);
	return sum;
}

/*
 * Counts the contiguous pages, from pfn on, in p2p_gup_fast events. There is an
 * event for each page table.
 */
static unsigned long found(unsigned long pfn)
{
	unsigned long first, nr, next = pfn;
	char line[512];
	const char *at;
	FILE *file;

	file = fopen(TRACING "trace", "r");
	while (file && fgets(line, sizeof(line), file)) {
		at = strstr(line, "p2p_gup_fast: ");
		if (at && sscanf(at, "p2p_gup_fast: pfn=%lx nr_pages=%lu",
				 &first, &nr) == 2 && first == next)
			next += nr;
	}
	if (file)
		fclose(file);
	return next - pfn;
}

TEST_F(route, buffer)
{
	unsigned long pfn;

	p2p_load(self->mem);
	pfn = PAGEMAP_PFN(p2p_pagemap(self->mem));
	ASSERT_EQ(0, madvise(self->mem, self->size, MADV_DONTNEED));
	p2p_store(self->mem + self->page, 1);
	EXPECT_EQ(1, traced("p2pmem_alloc: provider=%s pfn=0x%lx nr_pages=%d error=0\n",
			    self->provider, pfn, PAGES));
	EXPECT_EQ(1, traced("p2pmem_fault: addr=0x%lx pfn=0x%lx order=0 read result=NOPAGE\n",
			    (unsigned long)self->mem, pfn));
	EXPECT_EQ(1, traced("p2pmem_fault: addr=0x%lx pfn=0x%lx order=0 write result=NOPAGE\n",
			    (unsigned long)self->mem + self->page, pfn + 1));
	EXPECT_EQ(0, traced("p2pmem_release:"));
	ASSERT_EQ(0, munmap(self->mem, self->size));
	EXPECT_EQ(1, traced("p2pmem_release: pfn=0x%lx nr_pages=%d\n", pfn, PAGES));

	EXPECT_EQ(MAP_FAILED, p2p_map(self->provider, self->before + self->page));
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_EQ(1, traced("p2pmem_alloc: provider=%s pfn=0x0 nr_pages=%llu error=-%d\n",
			    self->provider, self->before / self->page + 1, ENOMEM));
}

TEST_F(route, refused_mapping)
{
	struct iovec vec = { self->mem, self->page };
	int fds[2];

	ASSERT_EQ(0, pipe(fds));
	EXPECT_EQ(-1, vmsplice(fds[1], &vec, 1, 0));
	EXPECT_EQ(EREMOTEIO, errno);
	EXPECT_EQ(1, traced("p2p_gup_refused: mapping=0x%lx-0x%lx ",
			    (unsigned long)self->mem,
			    (unsigned long)self->mem + self->size));
	EXPECT_EQ(1, traced(" error=-%d reason=no-peer-to-peer-support\n", EREMOTEIO));
	close(fds[0]);
	close(fds[1]);
}

/* "Did my transfer go from device to device?" */
TEST_F(route, transfer)
{
	long long bus = p2p_number(self->provider, "p2pmem/dma_bus_bytes");
	long long bridge = p2p_number(self->provider, "p2pmem/dma_host_bridge_bytes");
	long long refused = p2p_number(self->provider, "p2pmem/dma_refused");
	bool works = strcmp(self->expected, "none");
	unsigned long pfn;

	ASSERT_LE(0, bus);
	ASSERT_LE(0, bridge);
	ASSERT_LE(0, refused);
	p2p_set(self->mem, self->size, 1);
	pfn = PAGEMAP_PFN(p2p_pagemap(self->mem));

	if (works) {
		EXPECT_EQ(self->size, pread(self->disk, self->mem, self->size, 0));
		EXPECT_EQ(self->size, mapped(self->provider, self->expected));
		EXPECT_LE(1, traced(" phys=0x%zx ", pfn * self->page));
	} else {
		EXPECT_EQ(-1, pread(self->disk, self->mem, self->size, 0));
		EXPECT_EQ(EREMOTEIO, errno);
		EXPECT_LE(1, traced(" phys=0x%zx ", pfn * self->page));
	}
	EXPECT_EQ(PAGES, found(pfn));
	EXPECT_EQ(0, traced("p2p_gup_locked:"));

	if (!strcmp(self->expected, "bus"))
		bus += self->size;
	else if (!strcmp(self->expected, "host-bridge"))
		bridge += self->size;
	else
		refused += traced(" route=none\n");
	EXPECT_EQ(bus, p2p_number(self->provider, "p2pmem/dma_bus_bytes"));
	EXPECT_EQ(bridge, p2p_number(self->provider, "p2pmem/dma_host_bridge_bytes"));
	EXPECT_EQ(refused, p2p_number(self->provider, "p2pmem/dma_refused"));
	EXPECT_EQ(!works, traced(" route=none\n") > 0);
}

/* Transfers of RAM do not count for a provider. */
TEST_F(route, transfer_of_ram)
{
	long long bus = p2p_number(self->provider, "p2pmem/dma_bus_bytes");
	long long bridge = p2p_number(self->provider, "p2pmem/dma_host_bridge_bytes");
	void *ram;

	ram = p2p_ram(self->size);
	ASSERT_NE(MAP_FAILED, ram);
	EXPECT_EQ(self->size, pread(self->disk, ram, self->size, 0));
	EXPECT_EQ(0, traced("p2pdma_map:"));
	EXPECT_EQ(0, traced("p2p_gup_"));
	EXPECT_EQ(bus, p2p_number(self->provider, "p2pmem/dma_bus_bytes"));
	EXPECT_EQ(bridge, p2p_number(self->provider, "p2pmem/dma_host_bridge_bytes"));
	munmap(ram, self->size);
}

TEST_HARNESS_MAIN
