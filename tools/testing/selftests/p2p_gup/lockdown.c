// SPDX-License-Identifier: GPL-2.0
/*
 * When the kernel is locked down, p2pmem/allocate, the dma-heap, and mmap() of
 * dma-bufs refuse all users, root included, like the files resourceN. Existing
 * mappings stay.
 *
 * Lockdown can't be lifted again, so this is the last test in its machine.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

#include "bind.h"
#include "dmabuf.h"
#include "klog.h"
#include "variants.h"

#define SECURITYFS	"/sys/kernel/security"
#define LOCKDOWN	SECURITYFS "/lockdown"

FIXTURE(lockdown)
{
	const char *provider;
	size_t page;
	int log;
};

P2P_VARIANTS(lockdown, P2P_BAR_DRIVER, NULL);

FIXTURE_SETUP(lockdown)
{
	if (access(LOCKDOWN, F_OK) &&
	    mount("securityfs", SECURITYFS, "securityfs", 0, NULL))
		SKIP(p2p_skip_now(), "no securityfs: CONFIG_SECURITYFS?");
	if (access(LOCKDOWN, W_OK))
		SKIP(p2p_skip_now(), "no lockdown: CONFIG_SECURITY_LOCKDOWN_LSM?");
	self->provider = variant->p2p.provider;
	self->page = sysconf(_SC_PAGESIZE);
	self->log = klog_open();
	ASSERT_LE(0, self->log);
}

FIXTURE_TEARDOWN(lockdown)
{
	close(self->log);
}

TEST_F(lockdown, integrity)
{
	char *before = p2p_map(self->provider, self->page);
	int heap = heap_open(self->provider), buf = -1;

	ASSERT_NE(MAP_FAILED, before);
	if (heap >= 0) {
		buf = heap_alloc(heap, self->page);
		ASSERT_LE(0, buf);
	}
	ASSERT_EQ(0, p2p_write_file(LOCKDOWN, "integrity"));

	EXPECT_EQ(MAP_FAILED, p2p_map(self->provider, self->page));
	EXPECT_EQ(EPERM, errno);
	EXPECT_TRUE(klog_said(self->log, "Lockdown:", "direct PCI access"));
	p2p_store(before, 1);
	EXPECT_EQ(1, *before);
	if (heap >= 0) {
		uint64_t offset, len;

		EXPECT_EQ(MAP_FAILED, dmabuf_map(buf, self->page, 0));
		EXPECT_EQ(EPERM, errno);
		EXPECT_EQ(-EPERM, heap_alloc(heap, self->page));
		EXPECT_EQ(-EPERM, heap_export(heap, before, O_RDWR, &offset, &len));
		close(buf);
		close(heap);
	}
	munmap(before, self->page);
}

TEST_HARNESS_MAIN
