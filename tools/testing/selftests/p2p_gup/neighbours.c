// SPDX-License-Identifier: GPL-2.0
/*
 * Two providers with physically adjacent memory: the end of one and the start
 * of the other never share a DMA segment.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "variants.h"
#include "gup_call.h"

#define PAGES	4

/* self->lower ends where variant->p2p.provider begins. */
FIXTURE(neighbours)
{
	const char *upper;
	char lower[P2P_ADDR_LEN];
	long long lower_before;
	long long upper_before;
	size_t page;
	size_t size;
	char *whole;		/* all of the lower provider's memory */
	char *mem;		/* PAGES of the lower one, then of the upper one */
	int fd;
	int disk;
};

P2P_VARIANTS(neighbours, "p2pmem-bar", "raw", NULL);

/* The physical address of a provider's memory, which is all of a BAR. */
static bool range(const char *provider, uint64_t *start, uint64_t *end)
{
	uint64_t size = p2p_number(provider, "p2pmem/size");
	uint64_t len, flags;
	int bar;

	for (bar = 0; bar < 6; bar++) {
		if (p2p_bar(provider, bar, start, &len, &flags) && len == size) {
			*end = *start + len;
			return true;
		}
	}
	return false;
}

static bool find_lower(const char *upper, char *lower)
{
	uint64_t start, end, other_start, other_end;
	char providers[512];
	char *name, *rest;

	if (!getenv("P2P_PROVIDERS") || !range(upper, &start, &end))
		return false;
	snprintf(providers, sizeof(providers), "%s", getenv("P2P_PROVIDERS"));
	for (name = strtok_r(providers, " ", &rest); name;
	     name = strtok_r(NULL, " ", &rest)) {
		if (range(name, &other_start, &other_end) && other_end == start) {
			snprintf(lower, P2P_ADDR_LEN, "%s", name);
			return true;
		}
	}
	return false;
}

FIXTURE_SETUP(neighbours)
{
	int fd;

	self->upper = variant->p2p.provider;
	if (!find_lower(self->upper, self->lower))
		SKIP(p2p_skip_now(), "no other provider's memory ends where this one's begins");
	self->page = sysconf(_SC_PAGESIZE);
	self->size = PAGES * self->page;
	self->lower_before = p2p_available(self->lower);
	self->upper_before = p2p_available(self->upper);
	/* All must be free, to get the last and the first pages below. */
	ASSERT_EQ(p2p_number(self->lower, "p2pmem/size"), self->lower_before);
	ASSERT_EQ(p2p_number(self->upper, "p2pmem/size"), self->upper_before);

	self->fd = open(P2P_TEST_FILE, O_RDWR);
	ASSERT_LE(0, self->fd);
	self->disk = open(p2p_disk(variant->p2p.disk), O_RDONLY | O_DIRECT);
	ASSERT_LE(0, self->disk);

	self->mem = mmap(NULL, 2 * self->size, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->mem);
	self->whole = p2p_map(self->lower, self->lower_before);
	ASSERT_NE(MAP_FAILED, self->whole);
	ASSERT_EQ(self->mem, mremap(self->whole + self->lower_before - self->size,
				    self->size, self->size,
				    MREMAP_MAYMOVE | MREMAP_FIXED, self->mem));
	fd = p2p_open(self->upper, O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(self->mem + self->size,
		  mmap(self->mem + self->size, self->size,
		       PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0));
	close(fd);

	p2p_set(self->mem, 2 * self->size, 1);
	ASSERT_EQ(PAGEMAP_PFN(p2p_pagemap(self->mem)) + PAGES,
		  PAGEMAP_PFN(p2p_pagemap(self->mem + self->size)));
}

FIXTURE_TEARDOWN(neighbours)
{
	close(self->fd);
	close(self->disk);
	munmap(self->mem, 2 * self->size);
	munmap(self->whole, self->lower_before);
	EXPECT_EQ(self->lower_before, p2p_available(self->lower));
	EXPECT_EQ(self->upper_before, p2p_available(self->upper));
}

TEST_F(neighbours, one_call_gets_both)
{
	struct p2p_test_page pages[2 * PAGES];
	const struct form *form;
	int count;
	int i;

	for_each_form(form) {
		ASSERT_EQ(2 * PAGES, gup_hold(self->fd, form->nr, self->mem, 2 * PAGES,
					      FOLL_PCI_P2PDMA | FOLL_WRITE, pages));
		for (i = 0; i < 2 * PAGES; i++) {
			EXPECT_EQ(pages[0].pfn + i, pages[i].pfn);
			/* The lower pages are the end of one large folio. */
			count = i < PAGES ? PAGES : form->bias;
			EXPECT_EQ(1 + count, pages[i].count);
		}
		ASSERT_EQ(0, gup_put(self->fd));
	}
}

TEST_F(neighbours, scatterlist)
{
	struct p2p_test_page pages[2 * PAGES];
	uint32_t lengths[4] = {};
	struct p2p_test_sg sg;
	unsigned int first;

	ASSERT_EQ(2 * PAGES, gup_hold(self->fd, P2P_TEST_PIN_FAST, self->mem,
				      2 * PAGES, FOLL_PCI_P2PDMA, pages));
	/* The second step begins before, at, and after the border. */
	for (first = 0; first < 2 * PAGES; first++) {
		sg = (struct p2p_test_sg){
			.lengths = (uintptr_t)lengths,
			.nr_entries = ARRAY_SIZE(lengths),
			.first = first,
		};
		ASSERT_EQ(0, ioctl(self->fd, P2P_TEST_SG, &sg));
		EXPECT_EQ(2, sg.nr_entries) TH_LOG("first %u", first);
		EXPECT_EQ(self->size, lengths[0]);
		EXPECT_EQ(self->size, lengths[1]);
	}
	ASSERT_EQ(0, gup_put(self->fd));
}

/* One buffer of one request: the halves belong to different providers. */
TEST_F(neighbours, direct_io)
{
	long long lower = p2p_number(self->lower, "p2pmem/dma_bus_bytes");
	long long upper = p2p_number(self->upper, "p2pmem/dma_bus_bytes");
	char *ram;

	ram = p2p_ram(2 * self->size);
	ASSERT_NE(MAP_FAILED, ram);
	ASSERT_EQ(2 * self->size, pread(self->disk, ram, 2 * self->size, 0));
	ASSERT_EQ(2 * self->size, pread(self->disk, self->mem, 2 * self->size, 0));
	EXPECT_EQ(-1, p2p_unlike(ram, self->mem, 2 * self->size));
	EXPECT_EQ(lower + self->size, p2p_number(self->lower, "p2pmem/dma_bus_bytes"));
	EXPECT_EQ(upper + self->size, p2p_number(self->upper, "p2pmem/dma_bus_bytes"));
	munmap(ram, 2 * self->size);
}

TEST_HARNESS_MAIN
