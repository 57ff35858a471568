// SPDX-License-Identifier: GPL-2.0
/*
 * Providers whose memory always consists of large folios, set by p2pmem-bar's
 * parameter folio_size; and the memory type of a provider's BAR.
 *
 * Takes each provider that is bound to the driver, binds it with other folios, and
 * leaves it bound as it was.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bind.h"
#include "gup_call.h"
#include "variants.h"

#define FOLIO_SIZE	P2P_BAR_PARAMETERS "folio_size"
#define MEMTYPES	"/sys/kernel/debug/x86/pat_memtype_list"
#define BAR_PREFETCH	0x2000

#define PMD		(2 * MIB)
#define PUD		(1024 * MIB)

FIXTURE(folio_size)
{
	const char *provider;
	const char *disk;
	long long before;
	long long size;
	bool works;
};

P2P_VARIANTS(folio_size, P2P_BAR_DRIVER, "raw", NULL);

static int bind_with(const char *provider, unsigned long folio_size)
{
	char text[32];
	int error;

	snprintf(text, sizeof(text), "%lu", folio_size);
	error = p2p_write_file(FOLIO_SIZE, text) ?:
		p2p_bind(provider);
	p2p_write_file(FOLIO_SIZE, "0");
	return error;
}

static void unbind(const char *provider)
{
	if (p2p_has_driver(provider, P2P_BAR_DRIVER))
		p2p_unbind(provider);
}

FIXTURE_SETUP(folio_size)
{
	self->provider = variant->p2p.provider;
	self->disk = variant->p2p.disk;
	self->works = p2p_reaches(self->disk, self->provider);
	self->before = p2p_available(self->provider);
	self->size = p2p_number(self->provider, "p2pmem/size");
	if (access(FOLIO_SIZE, W_OK))
		SKIP(p2p_skip_now(), "no " FOLIO_SIZE);
}

FIXTURE_TEARDOWN(folio_size)
{
	unbind(self->provider);
	EXPECT_EQ(0, bind_with(self->provider, 0));
	EXPECT_EQ(self->size, p2p_number(self->provider, "p2pmem/size"));
	EXPECT_EQ(self->before, p2p_available(self->provider));
}

static bool reads(const char *path)
{
	char text[4096];
	int fd = open(path, O_RDONLY);
	ssize_t len;

	do {
		len = read(fd, text, sizeof(text));
	} while (len > 0);
	close(fd);
	return !len;
}

/* A mapping of all of the memory: walked without a lock, and split. */
static void large_entries(struct __test_metadata *_metadata, char *mem,
			  long long size, int fd)
{
	const long long at = size / 2 + 8 * KIB;
	unsigned char present[2] = {};
	struct p2p_test_page pages[3];
	uint64_t pfn;

	/* Reading pagemap does not split the entry. */
	p2p_store(mem + at, 1);
	pfn = PAGEMAP_PFN(p2p_pagemap(mem));
	EXPECT_EQ(PAGEMAP_PRESENT, p2p_pagemap(mem + at) &
		  (PAGEMAP_PRESENT | PAGEMAP_FILE | PAGEMAP_EXCLUSIVE));
	EXPECT_EQ(pfn + at / (4 * KIB), PAGEMAP_PFN(p2p_pagemap(mem + at)));
	EXPECT_EQ(0, mincore(mem + at, 2 * 4 * KIB, present));
	EXPECT_EQ(1, present[0] & present[1]);
	EXPECT_TRUE(reads("/proc/self/smaps"));
	EXPECT_TRUE(reads("/proc/self/numa_maps"));
	ASSERT_EQ(3, gup_hold(fd, P2P_TEST_PIN_FAST_ONLY, mem + at - 4 * KIB, 3,
			      FOLL_PCI_P2PDMA | FOLL_WRITE, pages));
	EXPECT_EQ(pfn + at / (4 * KIB) - 1, pages[0].pfn);
	EXPECT_EQ(pages[0].pfn + 2, pages[2].pfn);
	EXPECT_TRUE(pages[1].is_p2p);
	EXPECT_EQ(0, gup_put(fd));

	/* Protect the whole entry, then one page of it. */
	ASSERT_EQ(0, mprotect(mem, size, PROT_READ));
	EXPECT_EQ(SIGSEGV, p2p_fault_of(mem + at, true));
	EXPECT_EQ(3, p2p_load(mem + size - 8));
	EXPECT_EQ(-EFAULT, gup(fd, P2P_TEST_PIN_FAST, mem + at, 1,
			       FOLL_PCI_P2PDMA | FOLL_WRITE));
	ASSERT_EQ(0, mprotect(mem, size, PROT_READ | PROT_WRITE));
	p2p_store(mem + at, 5);
	ASSERT_EQ(0, mprotect(mem + at, 4 * KIB, PROT_READ));
	EXPECT_EQ(SIGSEGV, p2p_fault_of(mem + at, true));
	EXPECT_EQ(5, p2p_load(mem + at));
	EXPECT_EQ(0, p2p_fault_of(mem + at + 4 * KIB, true));
	EXPECT_EQ(4, p2p_load(mem));
}

static void use(struct __test_metadata *_metadata,
		struct _test_data_folio_size *self, size_t folio)
{
	char *mem, *other, *ram = p2p_ram(64 * KIB);
	int fd = open(P2P_TEST_FILE, O_RDWR);
	int disk = open(p2p_disk(self->disk), O_RDWR | O_DIRECT);
	struct p2p_test_page pages[3];
	long long all;

	ASSERT_NE(MAP_FAILED, ram);
	ASSERT_LE(0, fd);
	ASSERT_LE(0, disk);
	unbind(self->provider);
	ASSERT_EQ(0, bind_with(self->provider, folio));
	all = p2p_available(self->provider);
	EXPECT_EQ(self->size, all);

	/*
	 * A small buffer takes a whole folio; the rest of the folio is unused.
	 */
	mem = p2p_map(self->provider, 64 * KIB);
	ASSERT_NE(MAP_FAILED, mem);
	EXPECT_EQ(all - (long long)folio, p2p_available(self->provider));
	other = p2p_map(self->provider, 4 * KIB);
	if (all >= (long long)(2 * folio)) {
		ASSERT_NE(MAP_FAILED, other);
		p2p_store(other, 1);
	} else {
		EXPECT_EQ(MAP_FAILED, other);
	}

	/* Data by DMA, both ways. */
	p2p_fill(ram, 64 * KIB, 1, 0);
	ASSERT_EQ(64 * KIB, pwrite(disk, ram, 64 * KIB, 0));
	p2p_set(mem, 64 * KIB, 0);
	EXPECT_EQ(self->works ? 64 * (long)KIB : -EREMOTEIO,
		  p2p_result(pread(disk, mem, 64 * KIB, 0)));
	if (self->works)
		EXPECT_EQ(-1, p2p_differs(mem, 64 * KIB, 1, 0));
	p2p_fill(mem, 64 * KIB, 2, 0);
	EXPECT_EQ(self->works ? 64 * (long)KIB : -EREMOTEIO,
		  p2p_result(pwrite(disk, mem, 64 * KIB, 0)));
	ASSERT_EQ(64 * KIB, pread(disk, ram, 64 * KIB, 0));
	EXPECT_EQ(-1, p2p_differs(ram, 64 * KIB, 1 + self->works, 0));

	/*
	 * All pages belong to one folio, which is kept as long as one is held.
	 */
	ASSERT_EQ(3, gup_hold(fd, P2P_TEST_PIN_FAST, mem + 4 * KIB, 3,
			      FOLL_PCI_P2PDMA, pages));
	EXPECT_EQ(1 + 3, pages[0].count);
	EXPECT_EQ(pages[0].pfn + 2, pages[2].pfn);
	EXPECT_TRUE(pages[2].is_p2p);
	if (other != MAP_FAILED)
		munmap(other, 4 * KIB);
	munmap(mem, 64 * KIB);
	EXPECT_EQ(all - (long long)folio, p2p_available(self->provider));
	gup_put(fd);
	EXPECT_TRUE(p2p_settles(self->provider, all));

	/* And again, large. */
	mem = p2p_map(self->provider, all);
	ASSERT_NE(MAP_FAILED, mem);
	p2p_store(mem + all - 8, 3);
	p2p_store(mem, 4);
	EXPECT_EQ(3, p2p_load(mem + all - 8));
	large_entries(_metadata, mem, all, fd);
	munmap(mem, all);
	EXPECT_EQ(all, p2p_available(self->provider));
	munmap(ram, 64 * KIB);
	close(disk);
	close(fd);
}

TEST_F(folio_size, pmd)
{
	use(_metadata, self, PMD);
}

TEST_F(folio_size, pud)
{
	if (self->size % PUD == 0) {
		use(_metadata, self, PUD);
		return;
	}
	unbind(self->provider);
	EXPECT_EQ(EINVAL, bind_with(self->provider, PUD));
}

TEST_F(folio_size, no_such_size)
{
	unbind(self->provider);
	EXPECT_EQ(EINVAL, bind_with(self->provider, 4 * KIB));
	EXPECT_EQ(EINVAL, bind_with(self->provider, 3 * MIB));
	EXPECT_FALSE(p2p_has_driver(self->provider, P2P_BAR_DRIVER));
}

static long mem_free_kb(void)
{
	FILE *file = fopen("/proc/meminfo", "r");
	char line[128];
	long kb = -1;

	while (file && fgets(line, sizeof(line), file))
		sscanf(line, "MemFree: %ld kB", &kb);
	if (file)
		fclose(file);
	return kb;
}

static long cost_kb(const char *provider, unsigned long folio_size)
{
	long before;

	unbind(provider);
	before = mem_free_kb();
	if (bind_with(provider, folio_size))
		return -1;
	return before - mem_free_kb();
}

/*
 * Struct pages of folios take at most a quarter. Others allocate and free memory
 * meanwhile, so there is room for some of that in both figures.
 */
TEST_F(folio_size, memory_for_struct_pages)
{
	long pages, folios;

	/* The first binding may allocate other memory as well. */
	cost_kb(self->provider, 0);
	pages = cost_kb(self->provider, 0);
	folios = cost_kb(self->provider, PMD);
	if (self->size < (long long)PUD)
		return;
	EXPECT_LE(self->size / 64 / KIB * 7 / 8, pages);
	EXPECT_LE(-pages / 8, folios);
	EXPECT_GT(pages * 3 / 8, folios) TH_LOG("%ld %ld", pages, folios);
}

TEST_F(folio_size, memory_type)
{
	uint64_t bar_start, len, flags, start, end;
	char line[256], type[64];
	bool found = false;
	char *mem;
	FILE *file;

	mem = p2p_map(self->provider, 4 * KIB);
	ASSERT_NE(MAP_FAILED, mem);
	p2p_store(mem, 1);
	ASSERT_LE(0, p2p_bar_of_pfn(self->provider,
				    PAGEMAP_PFN(p2p_pagemap(mem)), &bar_start,
				    &len, &flags));

	file = fopen(MEMTYPES, "r");
	ASSERT_NE(NULL, file);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "PAT: [mem 0x%lx-0x%lx] %63s", &start, &end,
			   type) != 3 || start != bar_start)
			continue;
		found = true;
		EXPECT_STREQ(flags & BAR_PREFETCH ? "write-combining" :
			     "uncached-minus", type);
	}
	fclose(file);
	EXPECT_TRUE(found);
	munmap(mem, 4 * KIB);
}

TEST_HARNESS_MAIN
