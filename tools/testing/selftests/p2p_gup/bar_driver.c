// SPDX-License-Identifier: GPL-2.0
/*
 * p2pmem-bar: which devices it binds to, and the reason it logs if it fails.
 *
 * Takes each provider that is bound to the driver, tries other parameters on it,
 * and leaves it bound as it was.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <lib/test_p2p_uapi.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bind.h"
#include "gup_call.h"
#include "klog.h"
#include "variants.h"

#define PCI_BARS	6
#define BAR_IO		0x100
#define BAR_MEM		0x200
#define BAR_PREFETCH	0x2000
#define UNIT		(2 * MIB)	/* granularity of struct pages */
#define PAGE		(4 * KIB)
#define DEFAULT_BAR	-1

/* Configuration space. */
#define COMMAND		4
#define COMMAND_MASTER	4
#define CAP_FIRST	0x34
#define CAP_MSIX	0x11
/* What a reset logs that has waited for a transfer in vain. */
#define STILL_USED	"resetting while peer-to-peer memory is still in use"

FIXTURE(bar_driver)
{
	const char *provider;
	long long before;
	long long size;
	int kmsg;
	int bar;		/* the driver's default */
	uint64_t start, len;
};

P2P_VARIANTS(bar_driver, P2P_BAR_DRIVER, NULL);

static int set_parameters(int bar, uint64_t offset, uint64_t size)
{
	char text[32];
	int error;

	snprintf(text, sizeof(text), "%d", bar);
	error = p2p_write_file(P2P_BAR_PARAMETERS "bar", text);
	snprintf(text, sizeof(text), "%lu", offset);
	error = error ?: p2p_write_file(P2P_BAR_PARAMETERS "offset", text);
	snprintf(text, sizeof(text), "%lu", size);
	return error ?: p2p_write_file(P2P_BAR_PARAMETERS "size", text);
}

/* Tries to bind with these parameters. Returns 0 or the errno. */
static int bind_as(const char *device, int bar, uint64_t offset, uint64_t size)
{
	int error = set_parameters(bar, offset, size) ?:
		    p2p_bind(device);

	set_parameters(DEFAULT_BAR, 0, 0);
	return error;
}

/* Has the driver logged this for the device since the last call? */
static bool said(struct _test_data_bar_driver *self, const char *device,
		 const char *what)
{
	char prefix[P2P_ADDR_LEN + 32];

	snprintf(prefix, sizeof(prefix), P2P_BAR_DRIVER " %s: ", device);
	return klog_said(self->kmsg, prefix, what);
}

FIXTURE_SETUP(bar_driver)
{
	uint64_t start, len, flags;
	int bar;

	self->provider = variant->p2p.provider;
	self->before = p2p_available(self->provider);
	self->size = p2p_number(self->provider, "p2pmem/size");
	self->bar = -1;
	for (bar = 0; bar < PCI_BARS; bar++) {
		if (!p2p_bar(self->provider, bar, &start, &len, &flags) ||
		    !(flags & BAR_MEM) || !(flags & BAR_PREFETCH) ||
		    len <= self->len)
			continue;
		self->bar = bar;
		self->start = start;
		self->len = len;
	}
	ASSERT_LE(0, self->bar);
	self->kmsg = klog_open();
	ASSERT_LE(0, self->kmsg);
	if (access(P2P_BAR_PARAMETERS "bar", W_OK))
		SKIP(p2p_skip_now(), "no " P2P_BAR_PARAMETERS);
	ASSERT_EQ(0, p2p_unbind(self->provider));
}

/* A failed attempt leaves nothing behind that prevents a valid binding. */
FIXTURE_TEARDOWN(bar_driver)
{
	if (p2p_has_driver(self->provider, P2P_BAR_DRIVER))
		p2p_unbind(self->provider);
	EXPECT_EQ(0, bind_as(self->provider, DEFAULT_BAR, 0, 0));
	EXPECT_EQ(self->size, p2p_number(self->provider, "p2pmem/size"));
	EXPECT_EQ(self->before, p2p_available(self->provider));
	close(self->kmsg);
}

TEST_F(bar_driver, no_such_number)
{
	EXPECT_EQ(EINVAL, bind_as(self->provider, PCI_BARS, 0, 0));
	EXPECT_TRUE(said(self, self->provider, "bar=6: BARs have the numbers 0 to 5"));
	EXPECT_EQ(EINVAL, bind_as(self->provider, -2, 0, 0));
	EXPECT_TRUE(said(self, self->provider, "bar=-2: BARs have the numbers"));
	EXPECT_FALSE(p2p_has_driver(self->provider, P2P_BAR_DRIVER));
}

TEST_F(bar_driver, absent_bar)
{
	uint64_t start, len, flags;
	char what[64];
	int bar = 0;

	while (bar < PCI_BARS && p2p_bar(self->provider, bar, &start, &len, &flags))
		bar++;
	if (bar == PCI_BARS)
		SKIP(return, "the device has all BARs");
	snprintf(what, sizeof(what), "BAR %d: the device has no such BAR", bar);
	EXPECT_EQ(EINVAL, bind_as(self->provider, bar, 0, 0));
	EXPECT_TRUE(said(self, self->provider, what));
}

TEST_F(bar_driver, small_bar)
{
	uint64_t start, len, flags;
	char what[96];
	int bar = 0;

	while (bar < PCI_BARS &&
	       (!p2p_bar(self->provider, bar, &start, &len, &flags) ||
		!(flags & BAR_MEM) || len >= UNIT))
		bar++;
	if (bar == PCI_BARS)
		SKIP(return, "the device has no small memory BAR");
	if (len < PAGE) {
		snprintf(what, sizeof(what), "BAR %d: %#lx bytes are too small",
			 bar, len);
		EXPECT_EQ(EINVAL, bind_as(self->provider, bar, 0, 0));
	} else {
		snprintf(what, sizeof(what),
			 "BAR %d: %lu KiB of peer-to-peer memory without struct pages",
			 bar, len / KIB);
		EXPECT_EQ(0, bind_as(self->provider, bar, 0, 0));
	}
	EXPECT_TRUE(said(self, self->provider, what));
}

static char *map_range(const char *provider, int flags, size_t size, off_t offset)
{
	char path[P2P_PATH_LEN];

	p2p_path(path, provider, "p2pmem/range");
	return p2p_map_fd(open(path, O_RDWR | O_CLOEXEC), size, flags, offset);
}

/* A client of ranges maps it for DMA. Returns 0 or a negative errno. */
static int range_dma_keep(int fd, const char *mem, size_t len,
			  enum p2p_test_keep keep, uint64_t *addr)
{
	struct p2p_test_range arg = {
		.addr = (uintptr_t)mem,
		.len = len,
		.write = 1,
		.keep = keep,
	};

	if (fd < 0 || !p2p_client_of(p2p_disk("raw"), &arg.client))
		return -ENOENT;
	if (ioctl(fd, P2P_TEST_RANGE, &arg))
		arg.result = -errno;
	*addr = arg.dma_addr;
	return arg.result;
}

static int range_client(void)
{
	return open("/sys/kernel/debug/p2p_test_range", O_RDWR | O_CLOEXEC);
}

static int range_dma(const char *mem, size_t len, uint64_t *addr)
{
	int fd = range_client();
	int ret = range_dma_keep(fd, mem, len, P2P_TEST_KEEP_NOT, addr);

	close(fd);
	return ret;
}

/* Memory smaller than the struct page granularity has no struct pages. */
TEST_F(bar_driver, small_range)
{
	const size_t size = 64 * KIB;
	char path[P2P_PATH_LEN];
	char *mem, *other;
	uint64_t addr;
	struct stat st;
	int drive;

	ASSERT_EQ(0, bind_as(self->provider, self->bar, PAGE, size));
	EXPECT_TRUE(said(self, self->provider,
			 "64 KiB of peer-to-peer memory without struct pages at offset 0x1000"));
	EXPECT_EQ(size, p2p_number(self->provider, "p2pmem/size"));
	EXPECT_EQ(0, p2p_available(self->provider));
	p2p_path(path, self->provider, "p2pmem/allocate");
	EXPECT_EQ(-1, access(path, F_OK));
	/*
	 * Memory without struct pages is not cleared between users: root only.
	 */
	p2p_path(path, self->provider, "p2pmem/range");
	ASSERT_EQ(0, stat(path, &st));
	EXPECT_EQ(0600, st.st_mode & 0777);
	EXPECT_EQ(0, st.st_uid);

	EXPECT_EQ(MAP_FAILED, map_range(self->provider, MAP_PRIVATE, size, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, map_range(self->provider, MAP_SHARED, size, PAGE));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, map_range(self->provider, MAP_SHARED, size + PAGE, 0));
	EXPECT_EQ(EINVAL, errno);
	mem = map_range(self->provider, MAP_SHARED, size, 0);
	ASSERT_NE(MAP_FAILED, mem);
	p2p_fill(mem, size, 1, 0);
	EXPECT_EQ(-1, p2p_differs(mem, size, 1, 0));
	other = map_range(self->provider, MAP_SHARED, PAGE, 3 * PAGE);
	ASSERT_NE(MAP_FAILED, other);
	EXPECT_EQ(-1, p2p_differs(other, PAGE, 1, 3 * PAGE));

	/* Users of pages are refused; drivers that support ranges reach it. */
	drive = open(p2p_disk("raw"), O_RDONLY | O_DIRECT);
	ASSERT_LE(0, drive);
	EXPECT_EQ(-EREMOTEIO, p2p_result(pread(drive, mem, PAGE, 0)));
	close(drive);
	if (strcmp(getenv("P2P_ROUTE"), "none")) {
		EXPECT_EQ(0, range_dma(other, PAGE, &addr));
		if (!getenv("P2P_TRANSLATED"))
			EXPECT_EQ(self->start + 4 * PAGE, addr);
	} else {
		EXPECT_EQ(-EREMOTEIO, range_dma(other, PAGE, &addr));
	}

	EXPECT_EQ(0, p2p_unbind(self->provider));
	EXPECT_EQ(SIGBUS, p2p_fault_of(mem, false));
	EXPECT_EQ(-1, access(path, F_OK));
	EXPECT_EQ(0, munmap(mem, size));
	EXPECT_EQ(0, munmap(other, PAGE));
}

static bool runs(pid_t child)
{
	return !waitpid(child, NULL, WNOHANG);
}

static int status_of(pid_t child)
{
	int status = -1;

	waitpid(child, &status, 0);
	return status;
}

/* The memory is not accessible during the reset; DMA mappings stay. */
TEST_F(bar_driver, small_range_reset)
{
	const size_t size = 64 * KIB;
	int client = range_client(), self_mem = open("/proc/self/mem", O_RDONLY);
	pid_t reset, user;
	uint64_t addr, word;
	char *mem;
	int i;

	if (!p2p_can_reset(self->provider))
		SKIP(return, "the device has no way to be reset");
	ASSERT_EQ(0, bind_as(self->provider, self->bar, PAGE, size));
	mem = map_range(self->provider, MAP_SHARED, size, 0);
	ASSERT_NE(MAP_FAILED, mem);
	p2p_fill(mem, size, 1, 0);
	ASSERT_EQ(0, range_dma_keep(client, mem, PAGE, P2P_TEST_KEEP, &addr));

	/* The reset waits for a mapping that may have a transfer in flight. */
	reset = fork();
	ASSERT_LE(0, reset);
	if (!reset)
		_exit(p2p_reset(self->provider));
	for (i = 0; i < 500 && !range_dma(mem, PAGE, &addr); i++)
		usleep(10 * 1000);
	EXPECT_EQ(-EAGAIN, range_dma(mem, PAGE, &addr));
	EXPECT_EQ(-EIO, p2p_result(pread(self_mem, &word, sizeof(word),
					 (uintptr_t)mem)));
	user = fork();
	ASSERT_LE(0, user);
	if (!user)
		_exit(p2p_differs(mem, size, 1, 0) != -1);
	usleep(500 * 1000);
	EXPECT_TRUE(runs(user));
	EXPECT_TRUE(runs(reset));
	EXPECT_EQ(0, ioctl(client, P2P_TEST_PUT));
	EXPECT_EQ(0, status_of(reset));
	EXPECT_FALSE(said(self, self->provider, STILL_USED));
	EXPECT_EQ(0, status_of(user));

	/* The reset does not wait for a mapping that may last for hours. */
	ASSERT_EQ(0, range_dma_keep(client, mem, PAGE, P2P_TEST_KEEP_REVOCABLE,
				    &addr));
	EXPECT_EQ(0, p2p_reset(self->provider));
	EXPECT_FALSE(said(self, self->provider, STILL_USED));
	EXPECT_EQ(0, ioctl(client, P2P_TEST_REVOKED));
	EXPECT_EQ(-1, p2p_differs(mem, size, 1, 0));
	EXPECT_EQ(0, range_dma(mem, PAGE, &addr));

	EXPECT_EQ(0, p2p_unbind(self->provider));
	EXPECT_EQ(1, ioctl(client, P2P_TEST_REVOKED));
	EXPECT_EQ(0, munmap(mem, size));
	close(self_mem);
	close(client);
}

TEST_F(bar_driver, outside_of_bar)
{
	const char *what = "lies outside of its";

	EXPECT_EQ(EINVAL, bind_as(self->provider, self->bar, self->len, 0));
	EXPECT_TRUE(said(self, self->provider, what));
	EXPECT_EQ(EINVAL, bind_as(self->provider, self->bar, self->len + UNIT, 0));
	EXPECT_TRUE(said(self, self->provider, what));
	EXPECT_EQ(EINVAL, bind_as(self->provider, self->bar, 0, self->len + UNIT));
	EXPECT_TRUE(said(self, self->provider, what));
	EXPECT_EQ(EINVAL, bind_as(self->provider, self->bar, UNIT, self->len));
	EXPECT_TRUE(said(self, self->provider, what));
	/* The sum of both wraps around to a small number. */
	EXPECT_EQ(EINVAL, bind_as(self->provider, self->bar, UNIT,
				  0 - (uint64_t)UNIT));
	EXPECT_TRUE(said(self, self->provider, what));
}

TEST_F(bar_driver, unaligned)
{
	const char *what = "must be multiples of 0x200000";

	EXPECT_EQ(EINVAL, bind_as(self->provider, self->bar, 4 * KIB, 0));
	EXPECT_TRUE(said(self, self->provider, what));
	EXPECT_EQ(EINVAL, bind_as(self->provider, self->bar, MIB, UNIT));
	EXPECT_TRUE(said(self, self->provider, what));
	EXPECT_EQ(EINVAL, bind_as(self->provider, self->bar, 0, UNIT + 4 * KIB));
	EXPECT_TRUE(said(self, self->provider, what));
	EXPECT_EQ(EINVAL, bind_as(self->provider, self->bar, 0, KIB));
	EXPECT_TRUE(said(self, self->provider, "are too small"));
	/* Memory without struct pages consists of whole pages, too. */
	EXPECT_EQ(EINVAL, bind_as(self->provider, self->bar, KIB, PAGE));
	EXPECT_TRUE(said(self, self->provider, "must be multiples of 0x1000"));
	EXPECT_EQ(EINVAL, bind_as(self->provider, self->bar, 0, PAGE + KIB));
	EXPECT_TRUE(said(self, self->provider, "must be multiples of 0x1000"));
}

TEST_F(bar_driver, default_is_largest)
{
	char what[64];
	char *mem;

	snprintf(what, sizeof(what), "BAR %d: %lu MiB of peer-to-peer memory at offset 0",
		 self->bar, self->len / MIB);
	EXPECT_EQ(0, bind_as(self->provider, DEFAULT_BAR, 0, 0));
	EXPECT_TRUE(said(self, self->provider, what));
	EXPECT_EQ(self->len, p2p_number(self->provider, "p2pmem/size"));
	EXPECT_EQ(1, p2p_number(self->provider, "p2pmem/published"));

	mem = p2p_map(self->provider, 4 * KIB);
	ASSERT_NE(MAP_FAILED, mem);
	p2p_store(mem, 1);
	EXPECT_LE(self->start, PAGEMAP_PFN(p2p_pagemap(mem)) * sysconf(_SC_PAGESIZE));
	EXPECT_EQ(0, munmap(mem, 4 * KIB));
	/* The BAR can't be bound twice. */
	EXPECT_NE(0, bind_as(self->provider, DEFAULT_BAR, 0, 0));
}

/* A part of the BAR, and only that part. */
TEST_F(bar_driver, part_of_bar)
{
	uint64_t addr;
	char *mem;

	if (self->len < 4 * UNIT)
		SKIP(return, "the BAR is too small for parts");
	EXPECT_EQ(0, bind_as(self->provider, self->bar, UNIT, 2 * UNIT));
	EXPECT_EQ(2 * UNIT, p2p_number(self->provider, "p2pmem/size"));
	EXPECT_EQ(2 * UNIT, p2p_available(self->provider));
	mem = p2p_map(self->provider, 2 * UNIT);
	ASSERT_NE(MAP_FAILED, mem);
	p2p_store(mem, 1);
	addr = PAGEMAP_PFN(p2p_pagemap(mem)) * sysconf(_SC_PAGESIZE);
	EXPECT_EQ(self->start + UNIT, addr);
	EXPECT_EQ(0, munmap(mem, 2 * UNIT));
}

/* An offset alone: parameters of 0 and -1 are still defaults. */
TEST_F(bar_driver, rest_of_bar)
{
	if (self->len < 2 * UNIT)
		SKIP(return, "the BAR is too small for parts");
	EXPECT_EQ(0, bind_as(self->provider, DEFAULT_BAR, UNIT, 0));
	EXPECT_EQ(self->len - UNIT, p2p_number(self->provider, "p2pmem/size"));
}

/* The driver binds only on request, by driver_override or new_id. */
TEST_F(bar_driver, only_on_request)
{
	char override[P2P_PATH_LEN], id[64];

	p2p_path(override, self->provider, "driver_override");
	snprintf(id, sizeof(id), "%04llx %04llx",
		 p2p_number(self->provider, "vendor"),
		 p2p_number(self->provider, "device"));

	ASSERT_EQ(0, p2p_write_file(override, "\n"));
	EXPECT_EQ(0, p2p_write_file("/sys/bus/pci/drivers_probe", self->provider));
	EXPECT_FALSE(p2p_has_driver(self->provider, P2P_BAR_DRIVER));
	EXPECT_EQ(ENODEV, p2p_bind(self->provider));
	EXPECT_FALSE(p2p_has_driver(self->provider, P2P_BAR_DRIVER));

	EXPECT_EQ(0, p2p_write_file(P2P_DRIVERS P2P_BAR_DRIVER "/new_id", id));
	EXPECT_TRUE(p2p_has_driver(self->provider, P2P_BAR_DRIVER));
	EXPECT_EQ(0, p2p_write_file(P2P_DRIVERS P2P_BAR_DRIVER "/remove_id", id));
	EXPECT_EQ(0, p2p_unbind(self->provider));
	EXPECT_EQ(0, p2p_write_file(override, P2P_BAR_DRIVER));
}

/* Finds a device without a driver that has an I/O BAR, or no prefetchable one. */
static int find_device(char *device, uint64_t with)
{
	DIR *dir = opendir(P2P_PCI_DEVICES);
	uint64_t start, len, flags, all;
	char path[P2P_PATH_LEN];
	struct dirent *entry;
	int bar, found = -1;

	while (found < 0 && dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(device, P2P_ADDR_LEN, "%.23s", entry->d_name);
		p2p_path(path, device, "driver");
		/* no bridges: the devices below need them */
		if (!access(path, F_OK) || p2p_number(device, "class") >> 16 == 6)
			continue;
		for (all = 0, bar = 0; bar < PCI_BARS; bar++) {
			if (!p2p_bar(device, bar, &start, &len, &flags))
				continue;
			all |= flags;
			if (flags & with)
				found = bar;
		}
		if (!with && !(all & BAR_PREFETCH))
			found = 0;
	}
	if (dir)
		closedir(dir);
	return found;
}

static int bind_other(const char *device, int bar)
{
	char override[P2P_PATH_LEN];
	int error;

	p2p_path(override, device, "driver_override");
	error = p2p_write_file(override, P2P_BAR_DRIVER) ?: bind_as(device, bar, 0, 0);
	if (!error)
		p2p_unbind(device);
	p2p_write_file(override, "\n");
	return error;
}

TEST_F(bar_driver, io_bar)
{
	char device[P2P_ADDR_LEN];
	int bar = find_device(device, BAR_IO);

	if (bar < 0)
		SKIP(return, "no device without a driver has an I/O BAR");
	EXPECT_EQ(EINVAL, bind_other(device, bar));
	EXPECT_TRUE(said(self, device, "is an I/O BAR, not memory"));
}

static int config(const char *device, int flags)
{
	char path[P2P_PATH_LEN];

	p2p_path(path, device, "config");
	return open(path, flags | O_CLOEXEC);
}

/* The memory BAR with the MSI-X table of a device without a driver, or -1. */
static int find_msix(char *device)
{
	DIR *dir = opendir(P2P_PCI_DEVICES);
	char path[P2P_PATH_LEN];
	struct dirent *entry;
	uint8_t at, cap[8];
	int fd, bar = -1;

	while (bar < 0 && dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(device, P2P_ADDR_LEN, "%.23s", entry->d_name);
		p2p_path(path, device, "driver");
		fd = config(device, O_RDONLY);
		if (access(path, F_OK) && pread(fd, &at, 1, CAP_FIRST) == 1)
			while (at && pread(fd, cap, sizeof(cap), at) == sizeof(cap)) {
				if (cap[0] == CAP_MSIX)
					bar = cap[4] & 7;
				at = cap[1];
			}
		close(fd);
	}
	if (dir)
		closedir(dir);
	return bar;
}

/* Write access to the table would let the device write anywhere. */
TEST_F(bar_driver, msix)
{
	char device[P2P_ADDR_LEN];
	int bar = find_msix(device);

	if (bar < 0)
		SKIP(return, "no device without a driver has MSI-X");
	EXPECT_EQ(EINVAL, bind_other(device, bar));
	EXPECT_TRUE(said(self, device, "the MSI-X table or pending bits lie in it"));
}

/* The driver stops DMA that another driver left enabled. */
TEST_F(bar_driver, no_dma)
{
	uint16_t command;
	int fd = config(self->provider, O_RDWR);

	ASSERT_LE(0, fd);
	ASSERT_EQ(2, pread(fd, &command, 2, COMMAND));
	command |= COMMAND_MASTER;
	ASSERT_EQ(2, pwrite(fd, &command, 2, COMMAND));
	ASSERT_EQ(2, pread(fd, &command, 2, COMMAND));
	EXPECT_TRUE(command & COMMAND_MASTER);
	EXPECT_EQ(0, bind_as(self->provider, DEFAULT_BAR, 0, 0));
	ASSERT_EQ(2, pread(fd, &command, 2, COMMAND));
	EXPECT_FALSE(command & COMMAND_MASTER);
	close(fd);
}

TEST_F(bar_driver, no_prefetchable_bar)
{
	char device[P2P_ADDR_LEN];

	if (find_device(device, 0) < 0)
		SKIP(return, "each device without a driver has a prefetchable BAR");
	EXPECT_EQ(ENODEV, bind_other(device, DEFAULT_BAR));
	EXPECT_TRUE(said(self, device, "no prefetchable memory BAR"));
}

TEST_HARNESS_MAIN
