// SPDX-License-Identifier: GPL-2.0
/*
 * The DMA addresses that a device gets for peer-to-peer memory, through
 * lib/test_p2p_dma.c: bus addresses, addresses through the host bridge, or
 * none; also for lists with RAM and two providers in any order, and for devices
 * that can't address all of the memory.
 *
 *	P2P_TRANSLATED	if set: DMA addresses are not physical ones, because of an
 *			IOMMU or of bounce buffers
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gup_call.h"
#include "variants.h"

#define P2P_TEST_DMA_FILE "/sys/kernel/debug/p2p_test_dma"
#define PAGES		4		/* of each kind of memory */
#define PARTS		3

FIXTURE(dma)
{
	const char *provider;
	const char *other;	/* another provider, or NULL */
	struct p2p_test_segment segments[PARTS * PAGES];
	struct p2p_test_function client;
	char client_name[P2P_ADDR_LEN];
	char *room;		/* for all parts, one after the other */
	size_t size;		/* of a part */
	long long before;
	long long other_before;
	int fd;
};

P2P_VARIANTS(dma, NULL, NULL);

static void name_of(const struct p2p_test_function *function, char *name)
{
	snprintf(name, P2P_ADDR_LEN, "%04x:%02x:%02x.%x", function->domain,
		 function->bus, function->devfn >> 3, function->devfn & 7);
}

/* The route of a client according to p2pmem/routes, or "". */
static void route_of(const char *provider, const char *client, char *way,
		     size_t size)
{
	char path[P2P_PATH_LEN], line[512], format[64];
	char name[P2P_ADDR_LEN];
	FILE *file;

	*way = 0;
	snprintf(format, sizeof(format), "%%23s %%%zus", size - 1);
	p2p_path(path, provider, "p2pmem/routes");
	file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, format, name, way) == 2 && !strcmp(name, client))
			break;
		*way = 0;
	}
	if (file)
		fclose(file);
}

/*
 * A function without a driver, so that no one else uses its DMA mask. QEMU's
 * pci-testdev is preferred: the topology places it on purpose.
 */
static bool find_client(struct p2p_test_function *client, char *name)
{
	char path[P2P_PATH_LEN], link[PATH_MAX];
	struct dirent *entry;
	bool found = false, any = false;
	DIR *dir;

	dir = opendir(P2P_PCI_DEVICES);
	while (!found && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.' ||
		    p2p_number(entry->d_name, "class") >> 16 == 0x06)
			continue;
		p2p_path(path, entry->d_name, "driver");
		if (readlink(path, link, sizeof(link)) >= 0)
			continue;
		if (!p2p_function_of(entry->d_name, client))
			continue;
		any = true;
		found = p2p_number(entry->d_name, "vendor") == 0x1b36 &&
			p2p_number(entry->d_name, "device") == 0x0005;
		snprintf(name, P2P_ADDR_LEN, "%.*s", P2P_ADDR_LEN - 1,
			 entry->d_name);
	}
	closedir(dir);
	return any;
}

/* Maps a part of the room: RAM ('r'), the provider ('a') or the other ('b'). */
static bool put(struct _test_data_dma *self, int part, char kind)
{
	char *at = self->room + part * self->size;
	void *mem;
	int fd;

	if (kind == 'r') {
		mem = mmap(at, self->size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE,
			   -1, 0);
		return mem == at;
	}
	fd = p2p_open(kind == 'a' ? self->provider : self->other, O_RDWR);
	if (fd < 0)
		return false;
	mem = mmap(at, self->size, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_FIXED, fd, 0);
	close(fd);
	return mem == at;
}

static int map_for_dma(struct _test_data_dma *self, int parts, uint64_t mask)
{
	struct p2p_test_dma arg = {
		.addr = (uintptr_t)self->room,
		.segments = (uintptr_t)self->segments,
		.mask = mask,
		.nr_pages = parts * PAGES,
		.client = self->client,
	};

	memset(self->segments, 0, sizeof(self->segments));
	if (ioctl(self->fd, P2P_TEST_DMA, &arg)) {
		perror("P2P_TEST_DMA");
		return -1000;
	}
	return arg.result;
}

FIXTURE_SETUP(dma)
{
	static char providers[512];
	char *name, *rest;

	self->provider = variant->p2p.provider;
	self->size = PAGES * sysconf(_SC_PAGESIZE);
	self->before = p2p_available(self->provider);
	snprintf(providers, sizeof(providers), "%s", getenv("P2P_PROVIDERS") ?: "");
	for (name = strtok_r(providers, " ", &rest); name;
	     name = strtok_r(NULL, " ", &rest))
		if (strcmp(name, self->provider))
			self->other = name;
	if (self->other)
		self->other_before = p2p_available(self->other);

	ASSERT_TRUE(find_client(&self->client, self->client_name));
	self->fd = open(P2P_TEST_DMA_FILE, O_RDWR);
	ASSERT_LE(0, self->fd);
	self->room = mmap(NULL, PARTS * self->size, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->room);
}

FIXTURE_TEARDOWN(dma)
{
	munmap(self->room, PARTS * self->size);
	close(self->fd);
	EXPECT_EQ(self->before, p2p_available(self->provider));
	if (self->other)
		EXPECT_EQ(self->other_before, p2p_available(self->other));
}

/* The address of page i in the list, which may have merged it with others. */
static uint64_t address_of(struct _test_data_dma *self, int segments, int page)
{
	uint64_t offset = (uint64_t)page * sysconf(_SC_PAGESIZE);
	int i;

	for (i = 0; i < segments; i++) {
		if (offset < self->segments[i].sg_len)
			return self->segments[i].sg_addr + offset;
		offset -= self->segments[i].sg_len;
	}
	return ~UINT64_C(0);
}

/*
 * With a 64-bit mask each page gets an address that matches its route. There is
 * no offset between physical and bus addresses here.
 */
static void expect_addresses(struct __test_metadata *_metadata,
			     struct _test_data_dma *self, const char *kinds)
{
	int nr = strlen(kinds) * PAGES, segments, i;
	bool none = false, translated;
	char way[256][16] = {};

	/* With translation, DMA addresses differ from physical ones. */
	translated = getenv("P2P_TRANSLATED");
	for (i = 0; kinds[i]; i++) {
		ASSERT_TRUE(put(self, i, kinds[i])) TH_LOG("%s", kinds);
		if (kinds[i] != 'r')
			route_of(kinds[i] == 'a' ? self->provider : self->other,
				 self->client_name, way[(int)kinds[i]],
				 sizeof(way[0]));
	}

	segments = map_for_dma(self, strlen(kinds), ~UINT64_C(0));
	for (i = 0; i < nr; i++) {
		const char *this = way[(int)kinds[i / PAGES]];
		struct p2p_test_segment *segment = &self->segments[i];

		/*
		 * Only a caller that asks for a bus address gets one, marked as
		 * such.
		 */
		EXPECT_EQ(segment->page_is_bus_addr ||
			  segment->page_addr == ~UINT64_C(0),
			  segment->plain_addr == ~UINT64_C(0))
			TH_LOG("%s %d", kinds, i);
		if (strcmp(this, "none")) {
			EXPECT_EQ(!strcmp(this, "bus"),
				  segment->page_is_bus_addr);
		}
		EXPECT_EQ(segment->page_addr == ~UINT64_C(0) ? -EREMOTEIO : 0,
			  segment->page_error) TH_LOG("%s %d", kinds, i);

		/* p2pmem/routes applies the device's current mask: 32 bits. */
		if (!strcmp(this, "none") && segment->page_addr == ~UINT64_C(0)) {
			none = true;
			continue;
		}
		if (translated && strcmp(this, "bus")) {
			EXPECT_NE(~UINT64_C(0), segment->page_addr)
				TH_LOG("%s %d", kinds, i);
		} else {
			EXPECT_EQ(segment->phys, segment->page_addr)
				TH_LOG("%s %d", kinds, i);
		}
	}
	if (none) {
		EXPECT_EQ(-EREMOTEIO, segments) TH_LOG("%s", kinds);
		return;
	}
	ASSERT_LT(0, segments) TH_LOG("%s", kinds);
	for (i = 0; i < nr; i++) {
		if (translated) {
			EXPECT_NE(~UINT64_C(0), address_of(self, segments, i));
			continue;
		}
		EXPECT_EQ(self->segments[i].phys, address_of(self, segments, i))
			TH_LOG("%s %d", kinds, i);
	}
}

TEST_F(dma, all_of_it)
{
	expect_addresses(_metadata, self, "a");
	expect_addresses(_metadata, self, "aa");
}

TEST_F(dma, with_ram)
{
	static const char *const orders[] = { "ra", "ar", "rar", "ara", "raa", "aar" };

	for (size_t i = 0; i < ARRAY_SIZE(orders); i++)
		expect_addresses(_metadata, self, orders[i]);
}

TEST_F(dma, with_another_provider)
{
	static const char *const orders[] = { "ab", "ba", "rab", "rba", "arb", "bra",
					      "abr", "bar", "aba" };

	if (!self->other)
		SKIP(return, "there is one provider only");
	for (size_t i = 0; i < ARRAY_SIZE(orders); i++)
		expect_addresses(_metadata, self, orders[i]);
}

TEST_F(dma, mask)
{
	int nr = PAGES, segments, i;
	uint64_t last, page = sysconf(_SC_PAGESIZE);

	ASSERT_TRUE(put(self, 0, 'a'));
	segments = map_for_dma(self, 1, ~UINT64_C(0));
	last = self->segments[nr - 1].phys + page - 1;
	for (i = 0; i < nr; i++)
		EXPECT_EQ(segments > 0, self->segments[i].run_reaches);
	if (segments == -EREMOTEIO) {
		/* The memory is not reachable with any mask. */
		EXPECT_EQ(-EREMOTEIO, map_for_dma(self, 1, last));
		EXPECT_EQ(-EREMOTEIO, map_for_dma(self, 1, 0xffffffff));
		return;
	}
	ASSERT_LT(0, segments);
	/* Some IOMMUs translate for devices with a driver only. */
	if (self->segments[0].sg_addr != self->segments[0].phys) {
		EXPECT_NE(NULL, getenv("P2P_TRANSLATED"));
		/* The IOMMU provides an address for any mask. */
		segments = map_for_dma(self, 1, UINT32_MAX);
		ASSERT_LT(0, segments);
		for (i = 0; i < segments; i++)
			EXPECT_LE(self->segments[i].sg_addr +
				  self->segments[i].sg_len - 1, UINT32_MAX);
		for (i = 0; i < nr; i++) {
			EXPECT_LE(self->segments[i].page_addr, UINT32_MAX);
			EXPECT_EQ(1, self->segments[i].run_reaches);
		}
		return;
	}

	/* Pages of a buffer are contiguous. */
	EXPECT_LT(0, map_for_dma(self, 1, last));
	EXPECT_EQ(self->segments[nr - 1].phys, self->segments[nr - 1].page_addr);
	EXPECT_EQ(1, self->segments[nr - 1].reaches);
	EXPECT_EQ(1, self->segments[nr - 1].run_reaches);

	/* The last byte of the last page is too far. */
	EXPECT_EQ(-EREMOTEIO, map_for_dma(self, 1, last - 1));
	EXPECT_EQ(~UINT64_C(0), self->segments[nr - 1].page_addr);
	EXPECT_EQ(self->segments[0].phys, self->segments[0].page_addr);
	EXPECT_EQ(1, self->segments[nr - 2].run_reaches);
	EXPECT_EQ(0, self->segments[nr - 1].reaches);
	EXPECT_EQ(0, self->segments[nr - 1].run_reaches);

	/*
	 * All of it is above 32 bits; devices with fewer bits can't reach all
	 * RAM.
	 */
	if (self->segments[0].phys <= UINT32_MAX)
		return;
	EXPECT_EQ(-EREMOTEIO, map_for_dma(self, 1, UINT32_MAX));
	for (i = 0; i < nr; i++)
		EXPECT_EQ(~UINT64_C(0), self->segments[i].page_addr);
}

/*
 * Interrupt handlers need a route while the interrupted code looks it up and
 * caches it. Wrong locking shows as a lockdep report or a deadlock.
 */
TEST_F(dma, in_any_context)
{
	struct p2p_test_contexts arg = {
		.addr = (uintptr_t)self->room,
		.client = self->client,
		.runs = 2000,
	};
	cpu_set_t one;
	char way[16];

	route_of(self->provider, self->client_name, way, sizeof(way));
	/* Each refusal is logged. */
	if (strcmp(way, "bus") && strcmp(way, "host-bridge"))
		ASSERT_TRUE(p2p_function_of(self->provider, &arg.client));
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(one), &one));

	ASSERT_TRUE(put(self, 0, 'a'));
	ASSERT_EQ(0, ioctl(self->fd, P2P_TEST_CONTEXTS, &arg)) TH_LOG("%s", strerror(errno));
	EXPECT_EQ(0, arg.differs);
	EXPECT_GE(0, arg.process);
	EXPECT_EQ(arg.process, arg.softirq);
	EXPECT_EQ(arg.process, arg.hardirq);
}

/* The in-kernel interfaces that drivers use without userspace. */
TEST_F(dma, drivers)
{
	struct p2p_test_pool pool = { .client = self->client, .len = 3 * self->size + 100 };
	char way[16], name[P2P_ADDR_LEN];
	long long available;

	/*
	 * The client's mask has 32 bits, so use a client that works in any
	 * case.
	 */
	ASSERT_TRUE(p2p_function_of(self->provider, &pool.client));
	ASSERT_EQ(0, ioctl(self->fd, P2P_TEST_POOL, &pool)) TH_LOG("%s", strerror(errno));
	name_of(&pool.provider, name);
	/* The closest provider to a device is the device itself. */
	EXPECT_STREQ(self->provider, name);
	EXPECT_EQ(0, pool.distance);
	EXPECT_EQ(1, pool.nr_entries);

	route_of(self->provider, self->provider, way, sizeof(way));
	if (!strcmp(way, "bus")) {
		EXPECT_EQ(1, pool.result);
		EXPECT_EQ(pool.len, pool.sg_bytes);
		/* dma_map_single() never returns a bus address. */
		EXPECT_EQ(~UINT64_C(0), pool.single_addr);
		EXPECT_NE(0, pool.sg_addr);
	} else {
		EXPECT_EQ(-EREMOTEIO, pool.result);
		EXPECT_EQ(~UINT64_C(0), pool.single_addr);
	}
	available = p2p_available(self->provider);
	EXPECT_EQ(self->before, available);

	pool.client = (struct p2p_test_function){ .bus = 0xfe };
	EXPECT_EQ(-1, ioctl(self->fd, P2P_TEST_POOL, &pool));
	EXPECT_EQ(ENODEV, errno);
}

TEST_HARNESS_MAIN
