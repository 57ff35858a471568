// SPDX-License-Identifier: GPL-2.0
/*
 * Peer-to-peer memory without struct pages: what a process can do with a mapping
 * of it, which addresses clients get for it, and how both end.
 *
 *	P2P_ROUTE	as in p2pmem.h, from the drive "raw" to the memory
 *	P2P_TRANSLATED	if set: DMA addresses are not physical ones
 */
#define _GNU_SOURCE
#include <lib/test_p2p_uapi.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "../kselftest_harness.h"
#include "gup_call.h"
#include "klog.h"
#include "range.h"

#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	120

#define P2P_TEST_RANGE_FILE	"/sys/kernel/debug/p2p_test_range"
#define P2P_TEST_EXTENTS_FILE	"/sys/kernel/debug/p2p_test_extents"
#define PAGES			40	/* more than one fault maps */
#define FIRST			16	/* page of the range */
#define SEED			7

FIXTURE(range)
{
	const char *vram;
	struct p2p_test_function client;
	uint64_t bar;		/* where the range begins */
	uint64_t bar_len;
	size_t page;
	size_t size;
	char *mem;
	int fd;			/* of the client */
};

/* The function that a drive belongs to. */
static bool function_of_disk(const char *disk, struct p2p_test_function *client)
{
	char path[P2P_PATH_LEN], link[PATH_MAX];
	const char *name = strrchr(disk, '/');
	unsigned int slot, nr;
	char *at;

	snprintf(path, sizeof(path), "/sys/class/block%s", name ?: "");
	if (!realpath(path, link))
		return false;
	at = strstr(link, "/nvme/");
	if (!at)
		return false;
	*at = 0;
	if (sscanf(strrchr(link, '/') + 1, "%x:%x:%x.%x", &client->domain,
		   &client->bus, &slot, &nr) != 4)
		return false;
	client->devfn = slot << 3 | nr;
	return true;
}

FIXTURE_SETUP(range)
{
	uint64_t flags;

	self->vram = getenv("P2P_VRAM");
	if (access(P2P_DRIVERS VRAM, F_OK))
		SKIP(_exit(255), "no driver " VRAM ": CONFIG_SAMPLE_P2PDMA_VRAM?");
	if (!self->vram || !p2p_disk("raw"))
		SKIP(_exit(255), "P2P_VRAM names no device, or there is no drive raw");

	self->page = sysconf(_SC_PAGESIZE);
	self->size = PAGES * self->page;
	if (!p2p_has_driver(self->vram, VRAM))
		ASSERT_EQ(0, p2p_driver_bind(VRAM, self->vram));
	ASSERT_TRUE(p2p_bar(self->vram, 0, &self->bar, &self->bar_len, &flags));
	ASSERT_TRUE(function_of_disk(p2p_disk("raw"), &self->client));
	self->mem = map_vram(self->vram, self->size, FIRST * self->page);
	ASSERT_NE(MAP_FAILED, self->mem);
	self->fd = open(P2P_TEST_RANGE_FILE, O_RDWR);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(range)
{
	close(self->fd);
	munmap(self->mem, self->size);
	if (!p2p_has_driver(self->vram, VRAM))
		EXPECT_EQ(0, p2p_driver_bind(VRAM, self->vram));
}

/* All of it, from a fork()ed child or by another mapping, with this seed? */
static bool holds(const void *mem, size_t size, uint64_t seed)
{
	return p2p_differs(mem, size, seed, 0) == -1;
}

TEST_F(range, load_and_store)
{
	char *other;

	p2p_fill(self->mem, self->size, SEED, 0);
	other = map_vram(self->vram, self->size, FIRST * self->page);
	ASSERT_NE(MAP_FAILED, other);
	EXPECT_TRUE(holds(other, self->size, SEED));
	/* From another page on. */
	EXPECT_EQ(0, munmap(other, self->size));
	other = map_vram(self->vram, self->page, (FIRST + 3) * self->page);
	ASSERT_NE(MAP_FAILED, other);
	EXPECT_EQ(-1, p2p_unlike(other, self->mem + 3 * self->page, self->page));
	EXPECT_EQ(0, munmap(other, self->page));
}

TEST_F(range, mmap_bounds)
{
	uint64_t last = self->bar_len - self->page;
	char *mem;
	int fd;

	mem = map_vram(self->vram, self->page, last);
	ASSERT_NE(MAP_FAILED, mem);
	p2p_store(mem, SEED);
	EXPECT_EQ(SEED, p2p_load(mem));
	munmap(mem, self->page);

	EXPECT_EQ(MAP_FAILED, map_vram(self->vram, 2 * self->page, last));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, map_vram(self->vram, self->page, self->bar_len));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, map_vram(self->vram, self->page, 1L << 45));
	EXPECT_EQ(EINVAL, errno);

	fd = open_vram(self->vram, O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, self->page, PROT_READ, MAP_PRIVATE,
				   fd, 0));
	EXPECT_EQ(EINVAL, errno);
	close(fd);
}

/* Whoever wants pages gets an error that tells. */
TEST_F(range, no_pages)
{
	struct p2p_test_pin pin = {
		.addr = (uintptr_t)self->mem,
		.len = self->page,
		.nr_extents = 1,
	};
	const struct form *form;
	int fd = open(P2P_TEST_FILE, O_RDWR);

	ASSERT_LE(0, fd);
	for_each_form(form) {
		long refused = form->only ? 0 : -EREMOTEIO;

		EXPECT_EQ(refused, gup(fd, form->nr, self->mem, 1, 0));
		EXPECT_EQ(refused, gup(fd, form->nr, self->mem, 1,
				       FOLL_PCI_P2PDMA)) {
			TH_LOG("%s, not mapped yet", form->name);
		}
		p2p_load(self->mem);
		EXPECT_EQ(refused, gup(fd, form->nr, self->mem, 1,
				       FOLL_PCI_P2PDMA)) {
			TH_LOG("%s, mapped", form->name);
		}
		ASSERT_EQ(0, madvise(self->mem, self->size, MADV_DONTNEED));
	}
	close(fd);

	fd = open(P2P_TEST_EXTENTS_FILE, O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, ioctl(fd, P2P_TEST_EXTENTS, &pin));
	EXPECT_EQ(-EREMOTEIO, pin.result);
	close(fd);

	fd = open(p2p_disk("raw"), O_RDONLY | O_DIRECT | O_CLOEXEC);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EREMOTEIO, p2p_result(pread(fd, self->mem, self->page, 0)));
	p2p_load(self->mem);
	EXPECT_EQ(-EREMOTEIO, p2p_result(pread(fd, self->mem, self->page, 0)));
	close(fd);
}

TEST_F(range, populate)
{
	int fd = open_vram(self->vram, O_RDWR);
	char *mem;

	ASSERT_LE(0, fd);
	mem = mmap(NULL, self->size, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_POPULATE, fd, 0);
	ASSERT_NE(MAP_FAILED, mem);
	EXPECT_EQ(0, p2p_fault_of(mem, true));
	EXPECT_EQ(-EINVAL, p2p_result(madvise(mem, self->size,
					      MADV_POPULATE_READ)));
	EXPECT_EQ(0, mlock(mem, self->size));
	munmap(mem, self->size);
	close(fd);
}

TEST_F(range, vma_calls)
{
	size_t half = self->size / 2;
	char *moved;

	p2p_fill(self->mem, self->size, SEED, 0);
	ASSERT_EQ(0, madvise(self->mem, self->size, MADV_DONTNEED));
	EXPECT_TRUE(holds(self->mem, self->size, SEED));

	ASSERT_EQ(0, mprotect(self->mem, self->size, PROT_READ));
	EXPECT_EQ(SIGSEGV, p2p_fault_of(self->mem, true));
	EXPECT_EQ(0, p2p_fault_of(self->mem, false));
	ASSERT_EQ(0, mprotect(self->mem, self->size, PROT_READ | PROT_WRITE));
	EXPECT_TRUE(holds(self->mem, self->size, SEED));

	moved = mremap(self->mem, half, half, MREMAP_MAYMOVE | MREMAP_FIXED,
		       p2p_ram(half));
	ASSERT_NE(MAP_FAILED, moved);
	EXPECT_TRUE(holds(moved, half, SEED));
	EXPECT_EQ(SIGSEGV, p2p_fault_of(self->mem, false));
	EXPECT_EQ(0, p2p_fault_of(self->mem + half, false));
	EXPECT_EQ(-EFAULT, p2p_result((long)mremap(moved, half, self->size,
						   MREMAP_MAYMOVE)));
	munmap(moved, half);
}

TEST_F(range, fork_shares)
{
	int status;
	pid_t child;

	p2p_fill(self->mem, self->size, SEED, 0);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		bool same = holds(self->mem, self->size, SEED);

		p2p_fill(self->mem, self->size, SEED + 1, 0);
		_exit(!same);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_TRUE(holds(self->mem, self->size, SEED + 1));
}

/* As a debugger does, also where the process has not been yet. */
TEST_F(range, debugger)
{
	uint64_t words[2] = { 1, 2 };
	off_t at = (uintptr_t)self->mem + self->page - sizeof(uint64_t);
	int fd = open("/proc/self/mem", O_RDWR);

	ASSERT_LE(0, fd);
	EXPECT_EQ(sizeof(words), p2p_result(pwrite(fd, words, sizeof(words), at)));
	EXPECT_EQ(1, p2p_load(self->mem + self->page - sizeof(uint64_t)));
	EXPECT_EQ(2, p2p_load(self->mem + self->page));
	p2p_store(self->mem + self->page, 3);
	EXPECT_EQ(sizeof(words), p2p_result(pread(fd, words, sizeof(words), at)));
	EXPECT_EQ(1, words[0]);
	EXPECT_EQ(3, words[1]);

	ASSERT_EQ(0, mprotect(self->mem, self->size, PROT_READ));
	EXPECT_EQ(-EIO, p2p_result(pwrite(fd, words, sizeof(words), at)));
	close(fd);
}

/* What /proc says of it: a name, and the flags. */
TEST_F(range, proc)
{
	char line[512], want[P2P_PATH_LEN];
	bool found = false, flags = false;
	FILE *file = fopen("/proc/self/smaps", "r");

	ASSERT_NE(NULL, file);
	p2p_load(self->mem);
	snprintf(want, sizeof(want), "p2pmem:%s", self->vram);
	while (!flags && fgets(line, sizeof(line), file)) {
		found |= !!strstr(line, want);
		if (found && !strncmp(line, "Rss:", 4))
			EXPECT_EQ(0, atoi(line + 4));
		flags = found && !strncmp(line, "VmFlags:", 8);
	}
	fclose(file);
	ASSERT_TRUE(flags);
	EXPECT_NE(NULL, strstr(line, " pp"));
	EXPECT_NE(NULL, strstr(line, " io"));
	/* There is nothing to be allocated, but routes there are. */
	EXPECT_EQ(0, p2p_number(self->vram, "p2pmem/size"));
	p2p_path(want, self->vram, "p2pmem/allocate");
	EXPECT_NE(0, access(want, F_OK));
	p2p_path(want, self->vram, "p2pmem/routes");
	EXPECT_EQ(0, access(want, R_OK));
}

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

	/* They are counted as those with pages. */
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
	/* That is in the range, in front of the mapping: the test may do that. */
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

/* What is mapped for DMA does not need the process. */
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

	/* What was revoked stays so when the device is back. */
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

/* Clients that gave a revoke() function are made to let go. */
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

/* Others are waited for. */
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
	/* Revoked for all others, at once; but the driver has not finished. */
	while (p2p_fault_of(self->mem, false) != SIGBUS)
		usleep(1000);
	EXPECT_TRUE(klog_wait(log, "%s: BAR 0: waiting for 1 DMA mappings of peer-to-peer memory, one of them of %04x:%02x:",
			      self->vram, self->client.domain,
			      self->client.bus));
	close(log);
	EXPECT_EQ(EBUSY, pthread_tryjoin_np(thread, NULL));
	EXPECT_EQ(0, ioctl(self->fd, P2P_TEST_PUT));
	ASSERT_EQ(0, pthread_join(thread, &error));
	EXPECT_EQ(0, (intptr_t)error);
	EXPECT_FALSE(p2p_has_driver(self->vram, VRAM));
}

TEST_HARNESS_MAIN
