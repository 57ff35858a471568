// SPDX-License-Identifier: GPL-2.0
/* How /proc and /sys show a mapping of peer-to-peer memory. */
#define _GNU_SOURCE
#include <linux/capability.h>
#include <sys/syscall.h>

#include "mapping.h"

#define KPF_NOPAGE		20

#define HARD_OFFLINE	"/sys/devices/system/memory/hard_offline_page"
#define SOFT_OFFLINE	"/sys/devices/system/memory/soft_offline_page"

/* A number of kB from smaps or smaps_rollup; mem NULL: the first one. */
static long smaps_kb(const char *path, const void *mem, const char *field)
{
	unsigned long start, end;
	bool inside = !mem;
	char line[512];
	long kb = -1;
	FILE *file;

	file = fopen(path, "r");
	while (file && kb < 0 && fgets(line, sizeof(line), file)) {
		if (mem && sscanf(line, "%lx-%lx ", &start, &end) == 2)
			inside = start == (unsigned long)mem;
		else if (inside && !strncmp(line, field, strlen(field)))
			kb = atol(line + strlen(field));
	}
	if (file)
		fclose(file);
	return kb;
}

/* The memory does not count as RAM of any process. */
TEST_F(mapping, smaps)
{
	static const char *const none[] = {
		"Rss:", "Pss:", "Shared_Clean:", "Shared_Dirty:",
		"Private_Clean:", "Private_Dirty:", "Referenced:",
		"Anonymous:", "Swap:", "Locked:", "THPeligible:",
	};
	size_t i;

	EXPECT_EQ(self->size / KIB, smaps_kb("/proc/self/smaps", self->mem,
					     "Size:"));
	for (i = 0; i < ARRAY_SIZE(none); i++)
		EXPECT_EQ(0, smaps_kb("/proc/self/smaps", self->mem, none[i]))
			TH_LOG("%s", none[i]);
}

TEST_F(mapping, smaps_rollup)
{
	const size_t size = 4 * MIB;
	long before, after;
	void *mem;

	before = smaps_kb("/proc/self/smaps_rollup", NULL, "Rss:");
	ASSERT_LT(0, before);
	mem = p2p_map(self->provider, size);
	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_EQ(0, madvise(mem, size, MADV_POPULATE_WRITE));
	after = smaps_kb("/proc/self/smaps_rollup", NULL, "Rss:");
	/* The process itself may have touched some pages. */
	EXPECT_LT(after, before + (long)(size / KIB / 2));
	EXPECT_EQ(0, munmap(mem, size));
}

TEST_F(mapping, numa_maps)
{
	char line[512], want[64];
	bool found = false;
	FILE *file;

	file = fopen("/proc/self/numa_maps", "r");
	if (!file)
		SKIP(return, WITHOUT "NUMA");
	while (!found && fgets(line, sizeof(line), file))
		found = strtoul(line, NULL, 16) == (unsigned long)self->mem;
	fclose(file);
	ASSERT_TRUE(found);
	snprintf(want, sizeof(want), "file=p2pmem:%s", self->provider);
	EXPECT_NE(NULL, strstr(line, want)) TH_LOG("%s", line);
	/* no page of a node, dirty, mapped or otherwise */
	EXPECT_EQ(NULL, strstr(line, " N0=")) TH_LOG("%s", line);
	EXPECT_EQ(NULL, strstr(line, "mapped=")) TH_LOG("%s", line);
}

/* Write protection for soft-dirty tracking must not revoke write access. */
TEST_F(mapping, soft_dirty)
{
	char *other = self->mem + self->page;

	if (p2p_write_file("/proc/self/clear_refs", "4"))
		SKIP(return, WITHOUT "PROC_PAGE_MONITOR");
	p2p_store(self->mem, 1);
	if (!(p2p_pagemap(self->mem) & PAGEMAP_SOFT_DIRTY))
		SKIP(return, WITHOUT "MEM_SOFT_DIRTY");
	EXPECT_FALSE(p2p_pagemap(other) & PAGEMAP_SOFT_DIRTY);
	p2p_load(other);
	EXPECT_FALSE(p2p_pagemap(other) & PAGEMAP_SOFT_DIRTY);

	/* The same when a load faults the entry in again. */
	ASSERT_EQ(0, madvise(other, self->page, MADV_DONTNEED));
	p2p_load(other);
	EXPECT_FALSE(p2p_pagemap(other) & PAGEMAP_SOFT_DIRTY);
	p2p_store(other, 2);
	EXPECT_TRUE(p2p_pagemap(other) & PAGEMAP_SOFT_DIRTY);
	EXPECT_EQ(1, p2p_load(self->mem));
	EXPECT_EQ(2, p2p_load(other));
}

TEST_F(mapping, clear_refs)
{
	static const char *const what[] = { "1", "2", "3", "5" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(what); i++)
		EXPECT_EQ(0, p2p_write_file("/proc/self/clear_refs", what[i]));
	EXPECT_TRUE(p2p_present(self->mem));
	EXPECT_TRUE(p2p_intact(self));
}

TEST_F(mapping, pagemap)
{
	uint64_t first = p2p_pagemap(self->mem), entry;
	int i;

	EXPECT_TRUE(p2p_pfn_in_bar(self->provider, PAGEMAP_PFN(first)));
	for (i = 0; i < PAGES; i++) {
		entry = p2p_pagemap(self->mem + i * self->page);
		EXPECT_TRUE(entry & PAGEMAP_PRESENT);
		EXPECT_EQ(PAGEMAP_PFN(first) + i, PAGEMAP_PFN(entry));
		EXPECT_FALSE(entry & (PAGEMAP_EXCLUSIVE | PAGEMAP_FILE |
				      PAGEMAP_SWAP));
	}
}

static bool drop_capability(int cap)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2];

	if (syscall(__NR_capget, &head, data))
		return false;
	data[CAP_TO_INDEX(cap)].effective &= ~CAP_TO_MASK(cap);
	return !syscall(__NR_capset, &head, data);
}

/* The physical address is for the administrator only. */
TEST_F(mapping, pagemap_without_capability)
{
	pid_t child = fork();
	uint64_t entry;

	ASSERT_LE(0, child);
	if (!child) {
		p2p_load(self->mem);
		if (!drop_capability(CAP_SYS_ADMIN))
			_exit(1);
		entry = p2p_pagemap(self->mem);
		_exit(!(entry & PAGEMAP_PRESENT) << 1 |
		      (PAGEMAP_PFN(entry) != 0) << 2);
	}
	EXPECT_EQ(0, p2p_wait(child));
}

/* The entry of a page in a kernel file; 0 if the file ends before it. */
static uint64_t of_page(const char *path, uint64_t index)
{
	uint64_t word = 0;
	int fd = open(path, O_RDONLY);

	if (fd < 0 || pread(fd, &word, sizeof(word), index * sizeof(word)) < 0)
		word = ~UINT64_C(0);
	close(fd);
	return word;
}

/* These files cover RAM only: they have no such page. */
TEST_F(mapping, kpageflags)
{
	uint64_t pfn = PAGEMAP_PFN(p2p_pagemap(self->mem));

	if (access("/proc/kpageflags", R_OK))
		SKIP(return, WITHOUT "PROC_PAGE_MONITOR");
	EXPECT_EQ(0, of_page("/proc/kpageflags", pfn) &
		     ~(UINT64_C(1) << KPF_NOPAGE));
	EXPECT_EQ(0, of_page("/proc/kpagecount", pfn));
}

TEST_F(mapping, page_idle)
{
	static const char bitmap[] = "/sys/kernel/mm/page_idle/bitmap";
	uint64_t pfn = PAGEMAP_PFN(p2p_pagemap(self->mem));
	uint64_t bits = ~UINT64_C(0);
	int fd;

	fd = open(bitmap, O_RDWR);
	if (fd < 0)
		SKIP(return, WITHOUT "IDLE_PAGE_TRACKING");
	/* Past the end of RAM there is no bit; below it no bit gets set. */
	if (pwrite(fd, &bits, sizeof(bits), pfn / 64 * sizeof(bits)) < 0)
		EXPECT_EQ(ENXIO, errno);
	close(fd);
	EXPECT_EQ(0, of_page(bitmap, pfn / 64) >> pfn % 64 & 1);
	EXPECT_TRUE(p2p_intact(self));
}

/* The link names the provider, but gives no further mapping. */
TEST_F(mapping, map_files)
{
	char path[128], link[128] = "", want[64];

	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx",
		 (unsigned long)self->mem,
		 (unsigned long)self->mem + self->size);
	ASSERT_LT(0, readlink(path, link, sizeof(link) - 1));
	snprintf(want, sizeof(want), "p2pmem:%s", self->provider);
	EXPECT_STREQ(want, link);
	EXPECT_ERRNO(ENXIO, open(path, O_RDWR));
}

TEST_F(mapping, mincore)
{
	unsigned char vec[PAGES];

	ASSERT_EQ(0, madvise(self->mem, self->page, MADV_DONTNEED));
	ASSERT_EQ(0, mincore(self->mem, self->size, vec));
	EXPECT_EQ(0, vec[0] & 1);
	EXPECT_EQ(1, vec[1] & 1);
	p2p_load(self->mem);
	ASSERT_EQ(0, mincore(self->mem, self->size, vec));
	EXPECT_EQ(1, vec[0] & 1);
}

/* A page of a device can be neither offlined nor poisoned. */
TEST_F(mapping, memory_failure)
{
	uint64_t pfn = PAGEMAP_PFN(p2p_pagemap(self->mem));
	char addr[32];

	if (access(HARD_OFFLINE, F_OK))
		SKIP(return, WITHOUT "MEMORY_FAILURE");
	snprintf(addr, sizeof(addr), "0x%lx", pfn * self->page);
	EXPECT_EQ(ENXIO, p2p_write_file(HARD_OFFLINE, addr));
	EXPECT_EQ(EIO, p2p_write_file(SOFT_OFFLINE, addr));
	EXPECT_TRUE(p2p_intact(self));
}

TEST_HARNESS_MAIN
