// SPDX-License-Identifier: GPL-2.0
/*
 * Drivers import dma-bufs of peer-to-peer memory: which devices can, how the
 * memory is split into segments, and how importers give it back when the
 * provider is unbound or reset. The importer is lib/test_p2p_dmabuf.c, acting
 * for a drive; unbinding waits for an importer that does not unmap in time.
 * Where the drive does not reach the memory, only that refusal is tested.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <lib/test_p2p_uapi.h>
#include <linux/dma-buf.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dmabuf.h"
#include "gup_call.h"
#include "removal.h"
#include "variants.h"

#define SIZE		(256 * KIB)
#define LARGE		(4 * MIB)
#define MAX_SEGMENTS	1024
#define SLOW_US		1500000		/* longer than it takes to log */

/* enum dma_data_direction */
enum { BOTH_WAYS, TO_DEVICE, FROM_DEVICE };

FIXTURE(dmabuf_import)
{
	P2P_FIXTURE;		/* without a mapping */
	struct p2p_test_function client;
	int heap;
	int fd;
	int importer;
	int klog;
};

P2P_VARIANTS(dmabuf_import, P2P_BAR_DRIVER, "raw", NULL);

FIXTURE_SETUP(dmabuf_import)
{
	if (!heap_there(variant->p2p.provider))
		SKIP(p2p_skip_now(), "no heap: CONFIG_PCI_P2PMEM_DMABUF?");
	ASSERT_TRUE(p2p_setup(&self->p2p, &variant->p2p, 0));
	ASSERT_TRUE(p2p_client_of(p2p_disk("raw"), &self->client));
	self->heap = heap_open(self->provider);
	ASSERT_LE(0, self->heap);
	self->fd = heap_alloc(self->heap, SIZE);
	ASSERT_LE(0, self->fd);
	self->importer = open(IMPORTER_FILE, O_RDWR);
	ASSERT_LE(0, self->importer);
	self->klog = klog_open();
	ASSERT_LE(0, self->klog);
}

FIXTURE_TEARDOWN(dmabuf_import)
{
	EXPECT_EQ(0, p2p_write_file(ALLOW_STATIC, "N"));
	close(self->importer);
	close(self->fd);
	close(self->heap);
	close(self->klog);
	EXPECT_BACK(self);
}

static int attach_fd(struct _test_data_dmabuf_import *self, int importer, int fd,
		     unsigned int kind)
{
	struct p2p_test_attach arg = {
		.client = self->client,
		.fd = fd,
		.importer = kind,
	};

	return p2p_result(ioctl(importer, P2P_TEST_ATTACH, &arg)) ?: arg.result;
}

static int attach(struct _test_data_dmabuf_import *self, unsigned int kind)
{
	return attach_fd(self, self->importer, self->fd, kind);
}

static int map_by(int importer, unsigned int dir)
{
	struct p2p_test_dmabuf_map arg = { .dir = dir };

	return p2p_result(ioctl(importer, P2P_TEST_MAP, &arg)) ?: arg.result;
}

static int map(struct _test_data_dmabuf_import *self)
{
	return map_by(self->importer, BOTH_WAYS);
}

static int unmap(struct _test_data_dmabuf_import *self)
{
	return p2p_result(ioctl(self->importer, P2P_TEST_UNMAP));
}

static int put(struct _test_data_dmabuf_import *self)
{
	return p2p_result(ioctl(self->importer, P2P_TEST_PUT));
}

static int notified(struct _test_data_dmabuf_import *self)
{
	return ioctl(self->importer, P2P_TEST_NOTIFIED);
}

TEST_F(dmabuf_import, attach)
{
	struct p2p_test_attach not_pci = { .fd = self->fd, .not_pci = 1 };
	int due = self->works ? 0 : -EREMOTEIO;

	EXPECT_EQ(due, attach(self, P2P_TEST_DYNAMIC));
	EXPECT_EQ(0, put(self));
	/* Importers that need RAM, or a copy. */
	EXPECT_EQ(-EREMOTEIO, attach(self, P2P_TEST_RAM_ONLY));
	ASSERT_EQ(0, ioctl(self->importer, P2P_TEST_ATTACH, &not_pci));
	EXPECT_EQ(-EREMOTEIO, not_pci.result);
	/* Importers that can't give the memory back. */
	EXPECT_EQ(-EOPNOTSUPP, attach(self, P2P_TEST_STATIC));
	EXPECT_EQ(self->works ? -EOPNOTSUPP : due, attach(self, P2P_TEST_PINNED));

	ASSERT_EQ(0, p2p_write_file(ALLOW_STATIC, "Y"));
	EXPECT_EQ(due, attach(self, P2P_TEST_STATIC));
	EXPECT_EQ(due, map(self) == -EINVAL ? -EREMOTEIO : 0);
	EXPECT_EQ(0, put(self));
	EXPECT_EQ(due, attach(self, P2P_TEST_PINNED));
	EXPECT_EQ(0, put(self));
	EXPECT_EQ(-EREMOTEIO, attach(self, P2P_TEST_RAM_ONLY));
}

/* Maps with these limits, and checks the segments. */
static void check_segments(struct __test_metadata *_metadata,
			   struct _test_data_dmabuf_import *self, int fd,
			   size_t size, unsigned int max, uint64_t boundary,
			   unsigned int want)
{
	static struct p2p_test_segment segments[MAX_SEGMENTS];
	struct p2p_test_attach arg = {
		.client = self->client,
		.fd = fd,
		.max_segment = max,
		.boundary = boundary,
	};
	struct p2p_test_dmabuf_map map = {
		.segments = (uintptr_t)segments,
		.nr_segments = MAX_SEGMENTS,
	};
	uint64_t first, last, total = 0;
	unsigned int i;

	ASSERT_EQ(0, ioctl(self->importer, P2P_TEST_ATTACH, &arg));
	ASSERT_EQ(0, arg.result);
	ASSERT_EQ(0, ioctl(self->importer, P2P_TEST_MAP, &map));
	ASSERT_EQ(0, map.result);
	ASSERT_LE(map.nr_segments, MAX_SEGMENTS);
	for (i = 0; i < map.nr_segments; i++) {
		first = segments[i].sg_addr;
		last = first + segments[i].sg_len - 1;
		EXPECT_LE(segments[i].sg_len, max);
		EXPECT_EQ(first & ~boundary, last & ~boundary);
		/*
		 * Contiguous for the device, too, unless an IOMMU observes the
		 * boundary.
		 */
		if (i && boundary == UINT64_MAX)
			EXPECT_EQ(segments[0].sg_addr + total, first);
		total += segments[i].sg_len;
	}
	EXPECT_EQ(size, total);
	if (want)
		EXPECT_EQ(want, map.nr_entries);
	EXPECT_EQ(0, put(self));
}

TEST_F(dmabuf_import, segments)
{
	int fd;

	if (!self->works)
		return;
	fd = heap_alloc(self->heap, LARGE);
	ASSERT_LE(0, fd);
	check_segments(_metadata, self, self->fd, SIZE, 0xffffffff, UINT64_MAX, 1);
	check_segments(_metadata, self, self->fd, SIZE, 64 * KIB, UINT64_MAX, 4);
	check_segments(_metadata, self, self->fd, SIZE, 64 * KIB + 1, UINT64_MAX, 4);
	check_segments(_metadata, self, self->fd, SIZE, self->page, UINT64_MAX,
		       SIZE / self->page);
	check_segments(_metadata, self, self->fd, SIZE, 0xffffffff, 32 * KIB - 1, 0);
	check_segments(_metadata, self, fd, LARGE, 0xffffffff, 2 * MIB - 1, 0);
	check_segments(_metadata, self, fd, LARGE, 0xffffffff, UINT64_MAX, 1);
	close(fd);
}

/* Segment limits below the page size. */
TEST_F(dmabuf_import, segments_below_a_page)
{
	struct p2p_test_attach arg = {
		.client = self->client,
		.fd = self->fd,
		.max_segment = 512,
	};

	if (!self->works)
		return;
	ASSERT_EQ(0, ioctl(self->importer, P2P_TEST_ATTACH, &arg));
	ASSERT_EQ(0, arg.result);
	EXPECT_EQ(-EINVAL, map(self));
}

/* DMA has the access rights of the file, no more. */
TEST_F(dmabuf_import, directions)
{
	static const struct {
		unsigned int flags;
		int due[3];
	} files[] = {
		{ O_RDWR, { 0, 0, 0 } },
		{ O_RDONLY, { -EACCES, 0, -EACCES } },
		{ O_WRONLY, { -EACCES, -EACCES, 0 } },
	};
	unsigned int i, dir;
	int fd;

	if (!self->works)
		return;
	for (i = 0; i < ARRAY_SIZE(files); i++) {
		fd = heap_alloc_flags(self->heap, SIZE, files[i].flags);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, attach_fd(self, self->importer, fd, P2P_TEST_DYNAMIC));
		for (dir = BOTH_WAYS; dir <= FROM_DEVICE; dir++) {
			EXPECT_EQ(files[i].due[dir], map_by(self->importer, dir));
			EXPECT_EQ(0, unmap(self));
		}
		EXPECT_EQ(0, put(self));
		close(fd);
	}
}

/* An attachment keeps the memory, even as its last user. */
TEST_F(dmabuf_import, attachment_keeps_the_memory)
{
	if (!self->works)
		return;
	ASSERT_EQ(0, attach(self, P2P_TEST_DYNAMIC));
	close(self->fd);
	self->fd = -1;
	EXPECT_EQ(self->before - SIZE, p2p_available(self->provider));
	EXPECT_EQ(0, map(self));
	EXPECT_EQ(0, put(self));
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

/* What importers and processes see once the provider is gone. */
static void expect_gone(struct __test_metadata *_metadata,
			struct _test_data_dmabuf_import *self, char *mem)
{
	EXPECT_EQ(SIGBUS, p2p_fault_of(mem, false));
	EXPECT_EQ(MAP_FAILED, dmabuf_map(self->fd, SIZE, 0));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(-ENODEV, heap_alloc(self->heap, SIZE));
	EXPECT_EQ(-ENODEV, heap_export(self->heap, mem, O_RDWR, NULL, NULL));
	EXPECT_EQ(-ENODEV, dmabuf_sync(self->fd, DMA_BUF_SYNC_START |
						 DMA_BUF_SYNC_READ));
	EXPECT_EQ(-ENODEV, dmabuf_sync(self->fd, DMA_BUF_SYNC_END |
						 DMA_BUF_SYNC_WRITE));
	munmap(mem, SIZE);
}

TEST_F(dmabuf_import, unbind)
{
	char *mem;
	int other;

	if (!self->works)
		return;
	mem = dmabuf_map(self->fd, SIZE, 0);
	other = open(IMPORTER_FILE, O_RDWR);
	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_LE(0, other);
	p2p_store(mem, 1);
	ASSERT_EQ(0, attach(self, P2P_TEST_DYNAMIC));
	ASSERT_EQ(0, attach_fd(self, other, self->fd, P2P_TEST_DYNAMIC));
	ASSERT_EQ(0, map(self));
	ASSERT_EQ(0, map_by(other, BOTH_WAYS));
	ASSERT_EQ(0, p2p_unbind(self->provider));
	EXPECT_LE(1, notified(self));
	EXPECT_LE(1, ioctl(other, P2P_TEST_NOTIFIED));
	EXPECT_EQ(-ENODEV, map(self));
	EXPECT_EQ(-ENODEV, map_by(other, BOTH_WAYS));
	expect_gone(_metadata, self, mem);
	EXPECT_EQ(0, put(self));
	EXPECT_EQ(-ENODEV, attach(self, P2P_TEST_DYNAMIC));

	/* The new binding has new buffers. */
	ASSERT_EQ(0, p2p_bind(self->provider));
	EXPECT_EQ(-ENODEV, attach(self, P2P_TEST_DYNAMIC));
	EXPECT_EQ(-ENODEV, map_by(other, BOTH_WAYS));
	EXPECT_EQ(self->before, p2p_available(self->provider));
	close(other);
}

/* Unbinding does not wait for an attachment that is not mapped. */
TEST_F(dmabuf_import, unbind_without_mapping)
{
	if (!self->works)
		return;
	ASSERT_EQ(0, attach(self, P2P_TEST_DEAF));
	ASSERT_EQ(0, p2p_unbind(self->provider));
	EXPECT_EQ(0, notified(self));
	EXPECT_EQ(-ENODEV, map(self));
}

/* Unbinding waits, logs for whom, and completes after the ioctl @end. */
static void expect_wait(struct __test_metadata *_metadata,
			struct _test_data_dmabuf_import *self,
			const char *what, unsigned int end)
{
	pid_t child = start_unbind(self->provider);

	ASSERT_LE(0, child);
	usleep(SLOW_US);
	EXPECT_TRUE(still_runs(child));
	EXPECT_TRUE(klog_wait(self->klog, "%s: waiting for %s", self->provider,
			      what));
	EXPECT_EQ(0, ioctl(self->importer, end));
	EXPECT_EQ(0, p2p_wait(child));
	EXPECT_FALSE(p2p_has_driver(self->provider, P2P_BAR_DRIVER));
}

/* The notification alone does not end the mapping. */
TEST_F(dmabuf_import, unbind_waits_for_unmap)
{
	if (!self->works)
		return;
	ASSERT_EQ(0, attach(self, P2P_TEST_DEAF));
	ASSERT_EQ(0, map(self));
	expect_wait(_metadata, self, "dma-buf of dmabuf_import", P2P_TEST_UNMAP);
	EXPECT_EQ(1, notified(self));
}

/*
 * An importer that is notified during DMA: it signals its fence, then locks the
 * reservation object and unmaps, while the provider waits.
 */
TEST_F(dmabuf_import, unbind_waits_for_dma)
{
	pid_t unbinds;

	if (!self->works)
		return;
	ASSERT_EQ(0, attach(self, P2P_TEST_DEAF));
	ASSERT_EQ(0, map(self));
	ASSERT_EQ(0, ioctl(self->importer, P2P_TEST_FENCE));
	unbinds = start_unbind(self->provider);
	ASSERT_LE(0, unbinds);
	while (!notified(self))
		usleep(500);
	EXPECT_EQ(0, ioctl(self->importer, P2P_TEST_SIGNAL));
	usleep(100000);
	EXPECT_TRUE(still_runs(unbinds));
	EXPECT_EQ(0, unmap(self));
	EXPECT_EQ(0, p2p_wait(unbinds));
}

/* Does unbinding complete with unsignalled fences? Signals them afterwards. */
static bool unbinds_with_fences(struct _test_data_dmabuf_import *self, int other)
{
	pid_t child = start_unbind(self->provider);
	bool runs = true;
	int i;

	for (i = 0; i < 100 && runs; i++) {
		usleep(100000);
		runs = still_runs(child);
	}
	ioctl(self->importer, P2P_TEST_SIGNAL);
	ioctl(other, P2P_TEST_SIGNAL);
	if (runs)
		p2p_wait(child);
	return !runs;
}

/*
 * Unbinding does not wait for fences: neither if nothing is mapped, nor if all
 * is unmapped at once, nor for fences of others.
 */
TEST_F(dmabuf_import, unbind_ignores_fences)
{
	int other = open(IMPORTER_FILE, O_RDWR), fd;

	ASSERT_LE(0, other);
	if (!self->works)
		return;
	ASSERT_EQ(0, attach(self, P2P_TEST_DYNAMIC));
	ASSERT_EQ(0, ioctl(self->importer, P2P_TEST_FENCE));
	EXPECT_TRUE(unbinds_with_fences(self, other));
	EXPECT_EQ(0, put(self));
	ASSERT_EQ(0, p2p_bind(self->provider));

	fd = heap_alloc(self->heap, SIZE);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, attach_fd(self, self->importer, fd, P2P_TEST_DYNAMIC));
	ASSERT_EQ(0, map(self));
	ASSERT_EQ(0, attach_fd(self, other, fd, P2P_TEST_NO_IMPORTER));
	ASSERT_EQ(0, ioctl(other, P2P_TEST_FENCE));
	ASSERT_EQ(0, ioctl(self->importer, P2P_TEST_FENCE));
	EXPECT_TRUE(unbinds_with_fences(self, other));
	EXPECT_EQ(1, notified(self));
	close(other);
	close(fd);
}

/* Static importers, which the administrator has allowed. */
TEST_F(dmabuf_import, unbind_waits_for_static)
{
	if (!self->works)
		return;
	ASSERT_EQ(0, p2p_write_file(ALLOW_STATIC, "Y"));
	ASSERT_EQ(0, attach(self, P2P_TEST_STATIC));
	expect_wait(_metadata, self, "dma-buf of dmabuf_import", P2P_TEST_PUT);
}

TEST_F(dmabuf_import, unbind_waits_for_pinned)
{
	if (!self->works)
		return;
	ASSERT_EQ(0, p2p_write_file(ALLOW_STATIC, "Y"));
	ASSERT_EQ(0, attach(self, P2P_TEST_PINNED));
	ASSERT_EQ(0, map(self));
	expect_wait(_metadata, self, "dma-buf of dmabuf_import", P2P_TEST_PUT);
}

static int vmap(struct _test_data_dmabuf_import *self, uint64_t offset,
		uint64_t *value, bool write)
{
	struct p2p_test_vmap arg = {
		.offset = offset,
		.value = *value,
		.write = write,
	};

	if (ioctl(self->importer, P2P_TEST_VMAP, &arg))
		return -errno;
	*value = arg.value;
	return arg.result ?: arg.is_iomem ? 0 : -EUCLEAN;
}

/* A vmap of the kernel can't be revoked, either. */
TEST_F(dmabuf_import, vmap)
{
	char *mem = dmabuf_map(self->fd, SIZE, 0);
	uint64_t value = 7;

	ASSERT_NE(MAP_FAILED, mem);
	p2p_store(mem + SIZE - 8, 5);
	ASSERT_EQ(0, attach(self, P2P_TEST_NO_IMPORTER));
	EXPECT_EQ(-EOPNOTSUPP, vmap(self, 0, &value, false));
	ASSERT_EQ(0, p2p_write_file(ALLOW_STATIC, "Y"));
	EXPECT_EQ(0, vmap(self, 0, &value, true));
	EXPECT_EQ(7, p2p_load(mem));
	EXPECT_EQ(0, vmap(self, SIZE - 8, &value, false));
	EXPECT_EQ(5, value);
	expect_wait(_metadata, self, "vmap of a dma-buf", P2P_TEST_VUNMAP);
	EXPECT_EQ(-ENODEV, vmap(self, 0, &value, false));
	munmap(mem, SIZE);
}

/* A reset revokes only the DMA mapping. */
TEST_F(dmabuf_import, reset)
{
	char *mem;

	if (!self->works)
		return;
	if (!p2p_can_reset(self->provider))
		SKIP(return, "the device has no way to be reset");
	mem = dmabuf_map(self->fd, SIZE, 0);
	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_EQ(0, attach(self, P2P_TEST_DYNAMIC));
	ASSERT_EQ(0, map(self));
	ASSERT_EQ(0, p2p_reset(self->provider));
	EXPECT_EQ(1, notified(self));
	EXPECT_EQ(0, map(self));
	p2p_store(mem, 1);
	EXPECT_EQ(1, p2p_load(mem));
	ASSERT_EQ(0, p2p_reset(self->provider));
	EXPECT_EQ(2, notified(self));
	munmap(mem, SIZE);
}

/* The heap belongs to the device: it stays, unchanged, without the driver. */
TEST_F(dmabuf_import, heap_outlives_driver)
{
	char path[P2P_PATH_LEN];
	struct stat before, after;
	int fd;

	heap_path(path, self->provider);
	ASSERT_TRUE(heap_admit(self->provider, 500));
	ASSERT_EQ(0, stat(path, &before));
	ASSERT_EQ(0, p2p_unbind(self->provider));
	EXPECT_EQ(-ENODEV, heap_alloc(self->heap, SIZE));
	fd = heap_open(self->provider);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-ENODEV, heap_alloc(fd, SIZE));
	close(fd);

	ASSERT_EQ(0, p2p_bind(self->provider));
	ASSERT_EQ(0, stat(path, &after));
	EXPECT_EQ(before.st_ino, after.st_ino);
	EXPECT_EQ(before.st_rdev, after.st_rdev);
	EXPECT_EQ(500, after.st_gid);
	fd = heap_alloc(self->heap, SIZE);
	EXPECT_LE(0, fd);
	close(fd);
	EXPECT_TRUE(heap_admit(self->provider, 0));
}

/* It is removed with the device, even while open. */
TEST_F(dmabuf_import, heap_goes_with_device)
{
	char path[P2P_PATH_LEN];
	int fd;

	if (!self->works)
		return;
	ASSERT_EQ(0, attach(self, P2P_TEST_DYNAMIC));
	ASSERT_EQ(0, map(self));
	p2p_path(path, self->provider, "remove");
	ASSERT_EQ(0, p2p_write_file(path, "1"));
	EXPECT_LE(1, notified(self));
	EXPECT_FALSE(heap_there(self->provider));
	EXPECT_EQ(-ENODEV, heap_alloc(self->heap, SIZE));
	EXPECT_EQ(-ENODEV, map(self));

	ASSERT_EQ(0, p2p_write_file("/sys/bus/pci/rescan", "1"));
	p2p_path(path, self->provider, "driver_override");
	ASSERT_EQ(0, p2p_write_file(path, P2P_BAR_DRIVER));
	ASSERT_EQ(0, p2p_bind(self->provider));
	EXPECT_TRUE(heap_there(self->provider));
	EXPECT_EQ(-ENODEV, heap_alloc(self->heap, SIZE));
	fd = heap_open(self->provider);
	ASSERT_LE(0, fd);
	close(self->heap);
	self->heap = fd;
	fd = heap_alloc(self->heap, SIZE);
	EXPECT_LE(0, fd);
	close(fd);
}

/* Attaching, mapping and detaching race with removal. */
TEST_F(dmabuf_import, race)
{
	int *stop = mmap(NULL, sizeof(int), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t child[2];
	int i, round;

	if (!self->works)
		return;
	ASSERT_NE(MAP_FAILED, stop);
	for (i = 0; i < 2; i++) {
		child[i] = fork();
		ASSERT_LE(0, child[i]);
		if (child[i])
			continue;
		self->importer = open(IMPORTER_FILE, O_RDWR);
		while (!__atomic_load_n(stop, __ATOMIC_ACQUIRE)) {
			int fd = heap_alloc(self->heap, SIZE);
			int ret = attach_fd(self, self->importer, fd,
					    P2P_TEST_DYNAMIC);

			ret = ret ?: map(self);
			if (ret && ret != -ENODEV && ret != -EBADF)
				_exit(1);
			put(self);
			close(fd);
		}
		_exit(0);
	}
	for (round = 0; round < 10; round++) {
		usleep(20000);
		EXPECT_EQ(0, p2p_unbind(self->provider));
		EXPECT_EQ(0, p2p_bind(self->provider));
	}
	__atomic_store_n(stop, 1, __ATOMIC_RELEASE);
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, p2p_wait(child[i]));
	munmap(stop, sizeof(int));
}

TEST_HARNESS_MAIN
