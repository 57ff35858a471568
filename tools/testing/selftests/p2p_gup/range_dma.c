// SPDX-License-Identifier: GPL-2.0
/*
 * Peer-to-peer memory without struct pages: which DMA addresses clients get,
 * and how it is revoked from clients and processes.
 *
 *	P2P_ROUTE	as in p2pmem.h, from the drive "raw" to the memory
 *	P2P_TRANSLATED	if set: DMA addresses are not physical ones
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "klog.h"
#include "range_fixture.h"

#define WAITS \
	"%s: BAR 0: waiting for 1 DMA mappings of peer-to-peer memory, one of them of %04x:%02x:"

static int map_dma(struct _test_data_range *self, struct p2p_test_range *arg)
{
	arg->client = self->client;
	if (!arg->len)
		arg->len = self->size;
	if (!arg->addr)
		arg->addr = (uintptr_t)self->mem;
	if (ioctl(self->fd, P2P_TEST_RANGE, arg))
		return -1000;
	return arg->result;
}

static bool is_reached(void)
{
	return strcmp(getenv("P2P_ROUTE"), "none");
}

TEST_F(range, dma_address)
{
	const char *route = getenv("P2P_ROUTE");
	long long bus = p2p_number(self->vram, "p2pmem/dma_bus_bytes");
	long long bridge = p2p_number(self->vram, "p2pmem/dma_host_bridge_bytes");
	long long refused = p2p_number(self->vram, "p2pmem/dma_refused");
	struct p2p_test_range arg = {
		.addr = (uintptr_t)self->mem + 123,
		.len = self->size - 1000,
		.write = 1,
	};
	uint64_t at = FIRST * self->page + 123;

	EXPECT_EQ(is_reached() ? 0 : -EREMOTEIO, map_dma(self, &arg));
	EXPECT_EQ(at, arg.offset);
	if (is_reached() && !getenv("P2P_TRANSLATED"))
		EXPECT_EQ(self->bar + at, arg.dma_addr);
	if (is_reached() && getenv("P2P_TRANSLATED")) {
		EXPECT_NE(self->bar + at, arg.dma_addr);
		EXPECT_EQ(at % self->page, arg.dma_addr % self->page);
	}

	/* The bytes are counted as for memory with pages. */
	EXPECT_EQ(bus + (strcmp(route, "bus") ? 0 : arg.len),
		  p2p_number(self->vram, "p2pmem/dma_bus_bytes"));
	EXPECT_EQ(bridge + (strcmp(route, "host-bridge") ? 0 : arg.len),
		  p2p_number(self->vram, "p2pmem/dma_host_bridge_bytes"));
	EXPECT_EQ(refused + !is_reached(),
		  p2p_number(self->vram, "p2pmem/dma_refused"));
}

TEST_F(range, dma_bounds)
{
	struct p2p_test_range beyond = { .len = self->size + 1 };
	struct p2p_test_range out = {
		.len = self->page,
		.skip = self->bar_len - FIRST * self->page,
	};
	struct p2p_test_range wraps = { .len = self->page, .skip = -8 * self->page };
	struct p2p_test_range ram = { .len = self->page };
	struct p2p_test_range hole = { .len = self->page };
	struct p2p_test_range read_only = { .write = 1 };
	char *mem = p2p_ram(self->page);

	ASSERT_NE(MAP_FAILED, mem);
	EXPECT_EQ(-EFAULT, map_dma(self, &beyond));
	EXPECT_EQ(-EINVAL, map_dma(self, &out));
	/*
	 * This is in the range, before the mapping, which the test module
	 * allows.
	 */
	EXPECT_EQ(is_reached() ? 0 : -EREMOTEIO, map_dma(self, &wraps));
	wraps.skip = -17 * self->page;
	EXPECT_EQ(-EINVAL, map_dma(self, &wraps));
	ram.addr = (uintptr_t)mem;
	EXPECT_EQ(-ENOTTY, map_dma(self, &ram));
	munmap(mem, self->page);
	hole.addr = (uintptr_t)mem;
	EXPECT_EQ(-ENOTTY, map_dma(self, &hole));
	ASSERT_EQ(0, mprotect(self->mem, self->size, PROT_READ));
	EXPECT_EQ(-EFAULT, map_dma(self, &read_only));
	read_only.write = 0;
	EXPECT_EQ(is_reached() ? 0 : -EREMOTEIO, map_dma(self, &read_only));
}

/* The result of pci_p2p_range_create() for a driver. */
static int create(struct _test_data_range *self, const char *provider, int bar,
		  uint64_t offset, uint64_t len)
{
	struct p2p_test_create arg = { .bar = bar, .offset = offset, .len = len };

	if (!p2p_function_of(provider, &arg.provider) ||
	    ioctl(self->fd, P2P_TEST_CREATE, &arg))
		return -1000;
	return arg.result;
}

TEST_F(range, create_bounds)
{
	const uint64_t page = self->page, all = self->bar_len;

	EXPECT_EQ(-EINVAL, create(self, self->vram, -1, 0, page));
	EXPECT_EQ(-EINVAL, create(self, self->vram, 6, 0, page));
	/* There is no BAR 1. */
	EXPECT_EQ(-EINVAL, create(self, self->vram, 1, 0, page));
	EXPECT_EQ(-EINVAL, create(self, self->vram, 0, 0, 0));
	EXPECT_EQ(-EINVAL, create(self, self->vram, 0, 0, all + page));
	EXPECT_EQ(-EINVAL, create(self, self->vram, 0, all, page));
	EXPECT_EQ(-EINVAL, create(self, self->vram, 0, all + page, page));
	EXPECT_EQ(-EINVAL, create(self, self->vram, 0, page, -page));
	EXPECT_EQ(-EINVAL, create(self, self->vram, 0, 8, page));
	EXPECT_EQ(-EINVAL, create(self, self->vram, 0, 0, page + 8));
	EXPECT_EQ(-ENXIO, create(self, "0000:ff:1f.7", 0, 0, page));
	/* The device's registers, which are not claimed. */
	EXPECT_EQ(0, create(self, self->vram, 2, 0, page));
	EXPECT_EQ(0, create(self, self->vram, 2, 0, page));
}

/* Memory with struct pages is available through pin_user_pages() only. */
TEST_F(range, create_where_pages_are)
{
	uint64_t start, len, flags, pfn;
	char provider[P2P_ADDR_LEN];
	int bar, found;
	char *mem;

	/* The first of them. */
	found = sscanf(getenv("P2P_PROVIDERS") ?: "", "%15s", provider);
	ASSERT_EQ(1, found);
	mem = p2p_map(provider, self->page);
	ASSERT_NE(MAP_FAILED, mem);
	p2p_load(mem);
	pfn = PAGEMAP_PFN(p2p_pagemap(mem));
	bar = p2p_bar_of_pfn(provider, pfn, &start, &len, &flags);
	ASSERT_LE(0, bar);
	EXPECT_EQ(-EBUSY, create(self, provider, bar, pfn * self->page - start,
				 self->page));
	EXPECT_EQ(-EBUSY, create(self, provider, bar, 0, len));
	munmap(mem, self->page);
}

/* A DMA mapping does not depend on the process. */
TEST_F(range, dma_outlives_mapping)
{
	struct p2p_test_range arg = { .keep = P2P_TEST_KEEP };

	EXPECT_EQ(is_reached() ? 0 : -EREMOTEIO, map_dma(self, &arg));
	ASSERT_EQ(0, munmap(self->mem, self->size));
	EXPECT_EQ(0, ioctl(self->fd, P2P_TEST_PUT));
	self->mem = map_vram(self->vram, self->size, 0);
	ASSERT_NE(MAP_FAILED, self->mem);
}

static void expect_revoked(struct __test_metadata *_metadata,
			   struct _test_data_range *self)
{
	struct p2p_test_range arg = {};
	uint64_t word;
	int fd;

	EXPECT_EQ(SIGBUS, p2p_fault_of(self->mem, false));
	EXPECT_EQ(SIGBUS, p2p_fault_of(self->mem + self->size - self->page,
				       true));
	EXPECT_EQ(-ENODEV, map_dma(self, &arg));
	fd = open("/proc/self/mem", O_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EIO, p2p_result(pread(fd, &word, sizeof(word),
					 (uintptr_t)self->mem)));
	close(fd);
}

TEST_F(range, revoked)
{
	int fd = open_vram(self->vram, O_RDWR);
	struct p2p_test_range arg = {};

	ASSERT_LE(0, fd);
	p2p_fill(self->mem, self->size, SEED, 0);
	ASSERT_EQ(0, p2p_driver_unbind(VRAM, self->vram));
	expect_revoked(_metadata, self);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, self->page, PROT_READ, MAP_SHARED, fd,
				   0));
	EXPECT_EQ(ENODEV, errno);

	/* Revoked mappings stay revoked when the driver is bound again. */
	ASSERT_EQ(0, p2p_driver_bind(VRAM, self->vram));
	expect_revoked(_metadata, self);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, self->page, PROT_READ, MAP_SHARED, fd,
				   0));
	close(fd);
	munmap(self->mem, self->size);
	self->mem = map_vram(self->vram, self->size, 0);
	ASSERT_NE(MAP_FAILED, self->mem);
	EXPECT_EQ(0, p2p_fault_of(self->mem, true));
	EXPECT_EQ(is_reached() ? 0 : -EREMOTEIO, map_dma(self, &arg));
}

TEST_F(range, revoked_in_child)
{
	int status;
	pid_t child;

	p2p_fill(self->mem, self->size, SEED, 0);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		bool was = holds(self->mem, self->size, SEED);
		int error = p2p_driver_unbind(VRAM, self->vram);

		_exit(!was || error || p2p_fault_of(self->mem, false) != SIGBUS);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
	expect_revoked(_metadata, self);
}

/* Clients with a revoke() function are made to release the memory. */
TEST_F(range, revoked_from_client)
{
	struct p2p_test_range arg = { .keep = P2P_TEST_KEEP_REVOCABLE };

	if (!is_reached())
		SKIP(return, "nothing can be mapped for DMA");
	ASSERT_EQ(0, map_dma(self, &arg));
	ASSERT_EQ(0, map_dma(self, &arg));
	EXPECT_EQ(0, ioctl(self->fd, P2P_TEST_REVOKED));
	ASSERT_EQ(0, p2p_driver_unbind(VRAM, self->vram));
	EXPECT_EQ(2, ioctl(self->fd, P2P_TEST_REVOKED));
	expect_revoked(_metadata, self);
	EXPECT_EQ(0, ioctl(self->fd, P2P_TEST_PUT));
	EXPECT_EQ(2, ioctl(self->fd, P2P_TEST_REVOKED));
}

static void *unbinds(void *vram)
{
	return (void *)(intptr_t)p2p_driver_unbind(VRAM, vram);
}

/* Unbinding waits for other clients. */
TEST_F(range, waits_for_client)
{
	struct p2p_test_range arg = { .keep = P2P_TEST_KEEP };
	struct p2p_test_range probe = {};
	pthread_t thread;
	void *error;
	int log;

	if (!is_reached())
		SKIP(return, "nothing can be mapped for DMA");
	ASSERT_EQ(0, map_dma(self, &arg));
	log = klog_open();
	ASSERT_LE(0, log);
	ASSERT_EQ(0, pthread_create(&thread, NULL, unbinds, (void *)self->vram));
	while (!map_dma(self, &probe))
		usleep(1000);
	EXPECT_EQ(-ENODEV, probe.result);
	/*
	 * All others lose access immediately; but unbinding has not finished.
	 */
	while (p2p_fault_of(self->mem, false) != SIGBUS)
		usleep(1000);
	EXPECT_TRUE(klog_wait(log, WAITS, self->vram, self->client.domain,
			      self->client.bus));
	close(log);
	EXPECT_EQ(EBUSY, pthread_tryjoin_np(thread, NULL));
	EXPECT_EQ(0, ioctl(self->fd, P2P_TEST_PUT));
	ASSERT_EQ(0, pthread_join(thread, &error));
	EXPECT_EQ(0, (intptr_t)error);
	EXPECT_FALSE(p2p_has_driver(self->vram, VRAM));
}

TEST_HARNESS_MAIN
