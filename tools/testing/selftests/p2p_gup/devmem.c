// SPDX-License-Identifier: GPL-2.0
/*
 * Provider memory with struct pages belongs to the provider alone: neither
 * /dev/mem nor the file resourceN gives a second mapping with another memory
 * type (IO_STRICT_DEVMEM).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bind.h"
#include "klog.h"
#include "variants.h"

FIXTURE(devmem)
{
	const char *provider;
	char resource[P2P_PATH_LEN];
	uint64_t start, len;
	size_t page;
	int mem;
};

P2P_VARIANTS(devmem, NULL, NULL);

/*
 * The first page of the provider's memory. A child maps it, so that the parent
 * remains a process that never had peer-to-peer memory, which the hint in the
 * log must not depend on.
 */
static uint64_t provider_pfn(const char *provider, size_t page)
{
	uint64_t pfn = 0;
	int fds[2];
	char *p;

	if (pipe(fds))
		return 0;
	if (!fork()) {
		p = p2p_map(provider, page);
		if (p != MAP_FAILED) {
			p2p_store(p, 1);
			pfn = PAGEMAP_PFN(p2p_pagemap(p));
		}
		_exit(write(fds[1], &pfn, sizeof(pfn)) != sizeof(pfn));
	}
	close(fds[1]);
	if (read(fds[0], &pfn, sizeof(pfn)) != sizeof(pfn))
		pfn = 0;
	close(fds[0]);
	wait(NULL);
	return pfn;
}

FIXTURE_SETUP(devmem)
{
	uint64_t flags, pfn;
	char name[32];
	int bar;

	self->mem = open("/dev/mem", O_RDWR | O_SYNC);
	if (self->mem < 0)
		SKIP(p2p_skip_now(), "no /dev/mem: CONFIG_DEVMEM?");
	self->provider = variant->p2p.provider;
	self->page = sysconf(_SC_PAGESIZE);
	pfn = provider_pfn(self->provider, self->page);
	ASSERT_NE(0, pfn);
	bar = p2p_bar_of_pfn(self->provider, pfn, &self->start, &self->len, &flags);
	ASSERT_LE(0, bar);
	self->start = pfn * self->page;
	snprintf(name, sizeof(name), "resource%d", bar);
	p2p_path(self->resource, self->provider, name);
}

FIXTURE_TEARDOWN(devmem)
{
	close(self->mem);
}

TEST_F(devmem, dev_mem)
{
	EXPECT_EQ(MAP_FAILED, mmap(NULL, self->page, PROT_READ, MAP_SHARED, self->mem,
				   self->start));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, self->page, PROT_READ | PROT_WRITE, MAP_SHARED,
				   self->mem, self->start));
}

TEST_F(devmem, resource_file)
{
	int fd = open(self->resource, O_RDWR);

	ASSERT_LE(0, fd);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, self->page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	EXPECT_EQ(EINVAL, errno);
	close(fd);
}

/* The mapping is no valid I/O buffer; the log names p2pmem/allocate, once. */
static void expect_hint(struct __test_metadata *_metadata, struct _test_data_devmem *self,
			void *mem)
{
	int disk = open(p2p_disk("raw"), O_RDONLY | O_DIRECT);
	int log = klog_open();
	char want[64], record[8192];
	int i, hints = 0;

	ASSERT_LE(0, disk);
	ASSERT_LE(0, log);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(-1, pread(disk, mem, self->page, 0));
		EXPECT_EQ(EFAULT, errno);
	}
	snprintf(want, sizeof(want), "%s/resource", self->provider);
	while (!klog_next(log, record, sizeof(record)))
		hints += strstr(record, want) && strstr(record, "p2pmem/allocate");
	EXPECT_EQ(1, hints);
	close(log);
	close(disk);
}

/*
 * Without a provider the BAR is like that of any other device. The next
 * provider revokes mappings made meanwhile.
 */
TEST_F(devmem, after_unbind)
{
	char *p;
	int fd;

	if (!p2p_has_driver(self->provider, P2P_BAR_DRIVER))
		return;
	fd = open(self->resource, O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, p2p_unbind(self->provider));
	p = mmap(NULL, self->page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	EXPECT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, p2p_fault_of(p, true));
	expect_hint(_metadata, self, p);
	EXPECT_EQ(0, p2p_bind(self->provider));
	EXPECT_EQ(SIGBUS, p2p_fault_of(p, false));
	munmap(p, self->page);
	close(fd);
}

TEST_HARNESS_MAIN
