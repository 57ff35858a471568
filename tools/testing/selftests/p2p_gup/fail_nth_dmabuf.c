// SPDX-License-Identifier: GPL-2.0
/*
 * Allocations fail, one after the other, around dma-bufs of peer-to-peer
 * memory: while they are allocated, exported and mapped, attached to a device
 * and mapped for it, mapped into the kernel, registered with an io_uring, and
 * while the provider, with its heap, is bound and unbound.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <lib/test_p2p_uapi.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bind.h"
#include "dmabuf.h"
#include "fail_nth.h"
#include "gup_call.h"
#include "uring_buf.h"
#include "variants.h"

#define SIZE		(64 * KIB)
#define WHERE		((void *)(1UL << 45))

FIXTURE(fail_dmabuf)
{
	const char *provider;
	long long before;
	bool works;
	struct p2p_test_function client;
	int heap;
	int fd;
	int importer;
	int disk;
	struct ring ring;
	char *mem;
};

P2P_VARIANTS(fail_dmabuf, P2P_BAR_DRIVER, "raw", NULL);

FIXTURE_SETUP(fail_dmabuf)
{
	if (!fail_setup(FAIL_ANYTHING))
		SKIP(p2p_skip_now(), "no " FAIL_NTH ": CONFIG_FAULT_INJECTION?");
	self->provider = variant->p2p.provider;
	if (!heap_there(self->provider))
		SKIP(p2p_skip_now(), "no heap: CONFIG_PCI_P2PMEM_DMABUF?");
	self->before = p2p_available(self->provider);
	self->works = p2p_reaches(variant->p2p.disk, self->provider);
	ASSERT_TRUE(p2p_client_of(p2p_disk("raw"), &self->client));
	self->heap = heap_open(self->provider);
	ASSERT_LE(0, self->heap);
	self->importer = open(IMPORTER_FILE, O_RDWR);
	ASSERT_LE(0, self->importer);
	self->disk = open(p2p_disk("raw"), O_RDONLY | O_DIRECT);
	ASSERT_LE(0, self->disk);
	ASSERT_TRUE(ring_init(&self->ring, 1, 0));
	ASSERT_EQ(0, uring_register_empty(&self->ring, 1));
	self->fd = -1;
}

FIXTURE_TEARDOWN(fail_dmabuf)
{
	ring_exit(&self->ring);
	close(self->disk);
	close(self->importer);
	close(self->heap);
	EXPECT_EQ(0, p2p_write_file(ALLOW_STATIC, "N"));
	if (!p2p_has_driver(self->provider, P2P_BAR_DRIVER))
		EXPECT_EQ(0, p2p_bind(self->provider));
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

static long do_alloc(void *data)
{
	struct _test_data_fail_dmabuf *self = data;
	int fd = heap_alloc(self->heap, SIZE);

	self->fd = fd;
	return fd < 0 ? fd : 0;
}

static bool alloc(void *data)
{
	return do_alloc(data) == 0;
}

static bool drop(void *data, long result)
{
	struct _test_data_fail_dmabuf *self = data;

	if (self->fd >= 0)
		close(self->fd);
	self->fd = -1;
	return p2p_settles(self->provider, self->before);
}

TEST_F(fail_dmabuf, allocate)
{
	/* alloc_file() returns ENFILE if it can't allocate a file. */
	static const struct fail_work work = {
		"DMA_HEAP_IOCTL_ALLOC", NULL, do_alloc, drop, { ENOMEM, ENFILE }
	};

	FAIL_EACH(&work, self);
}

static bool map_memory(void *data)
{
	struct _test_data_fail_dmabuf *self = data;

	self->mem = p2p_map(self->provider, SIZE);
	return self->mem != MAP_FAILED;
}

static long do_export(void *data)
{
	struct _test_data_fail_dmabuf *self = data;

	self->fd = heap_export(self->heap, self->mem, O_RDWR, NULL, NULL);
	return self->fd < 0 ? self->fd : 0;
}

static bool unmap_memory(void *data, long result)
{
	struct _test_data_fail_dmabuf *self = data;

	return !munmap(self->mem, SIZE) && drop(data, result);
}

TEST_F(fail_dmabuf, export)
{
	static const struct fail_work work = {
		"DMA_HEAP_IOCTL_EXPORT", map_memory, do_export, unmap_memory,
		{ ENOMEM, ENFILE }
	};

	FAIL_EACH(&work, self);
}

static long do_mmap(void *data)
{
	struct _test_data_fail_dmabuf *self = data;
	void *mem = mmap(WHERE, SIZE, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED_NOREPLACE, self->fd, 0);

	return mem == MAP_FAILED ? -errno : 0;
}

static bool unmap(void *data, long result)
{
	return !munmap(WHERE, SIZE) && drop(data, result);
}

TEST_F(fail_dmabuf, mmap)
{
	static const struct fail_work work = {
		"mmap", alloc, do_mmap, unmap, { ENOMEM }
	};

	FAIL_EACH(&work, self);
}

static long do_attach(void *data)
{
	struct _test_data_fail_dmabuf *self = data;
	struct p2p_test_attach arg = {
		.client = self->client,
		.fd = self->fd,
	};

	return p2p_result(ioctl(self->importer, P2P_TEST_ATTACH, &arg)) ?:
	       arg.result;
}

static bool attach(void *data)
{
	return alloc(data) && do_attach(data) == 0;
}

static bool detach(void *data, long result)
{
	struct _test_data_fail_dmabuf *self = data;

	return !ioctl(self->importer, P2P_TEST_PUT) && drop(data, result);
}

static long do_map(void *data)
{
	struct _test_data_fail_dmabuf *self = data;
	struct p2p_test_dmabuf_map arg = { 0 };

	return p2p_result(ioctl(self->importer, P2P_TEST_MAP, &arg)) ?:
	       arg.result;
}

TEST_F(fail_dmabuf, import)
{
	static const struct fail_work work[] = {
		{ "dma_buf_attach", alloc, do_attach, detach, { ENOMEM } },
		{ "dma_buf_map_attachment", attach, do_map, detach, { ENOMEM } },
	};

	if (!self->works)
		return;
	FAIL_EACH(&work[0], self);
	FAIL_EACH(&work[1], self);
	/* Unbinding would wait for a leaked mapping. */
	EXPECT_EQ(0, p2p_unbind(self->provider));
}

static bool attach_nothing(void *data)
{
	struct _test_data_fail_dmabuf *self = data;
	struct p2p_test_attach arg = { .importer = P2P_TEST_NO_IMPORTER };

	if (!alloc(data))
		return false;
	arg.fd = self->fd;
	return !ioctl(self->importer, P2P_TEST_ATTACH, &arg) && !arg.result;
}

static long do_vmap(void *data)
{
	struct _test_data_fail_dmabuf *self = data;
	struct p2p_test_vmap arg = {};

	return p2p_result(ioctl(self->importer, P2P_TEST_VMAP, &arg)) ?:
	       arg.result;
}

TEST_F(fail_dmabuf, vmap)
{
	static const struct fail_work work = {
		"dma_buf_vmap", attach_nothing, do_vmap, detach, { ENOMEM }
	};

	ASSERT_EQ(0, p2p_write_file(ALLOW_STATIC, "Y"));
	FAIL_EACH(&work, self);
	/* Unbinding would wait for a leaked mapping. */
	EXPECT_EQ(0, p2p_unbind(self->provider));
}

static long do_register(void *data)
{
	struct _test_data_fail_dmabuf *self = data;
	int ret = uring_update_dmabuf(&self->ring, 0, self->fd, self->disk, 0);

	if (ret)
		return ret;
	ret = uring_read(&self->ring, self->disk, 0, uring_at(0), SIZE, 0);
	return ret == (int)SIZE ? 0 : ret;
}

static bool empty_slot(void *data, long result)
{
	struct _test_data_fail_dmabuf *self = data;

	return !uring_unregister(&self->ring) &&
	       !uring_register_empty(&self->ring, 1) && drop(data, result);
}

TEST_F(fail_dmabuf, registered_buffer)
{
	/* EAGAIN, EIO: from the read, as in fail_nth. */
	static const struct fail_work work = {
		"IORING_REGISTER_BUFFERS_UPDATE", alloc, do_register, empty_slot,
		{ ENOMEM, EAGAIN, EIO }
	};

	if (!self->works)
		return;
	FAIL_EACH(&work, self);
	EXPECT_EQ(0, p2p_unbind(self->provider));
}

/* A new device has no heap. */
static bool new_device(void *data)
{
	struct _test_data_fail_dmabuf *self = data;
	char path[P2P_PATH_LEN];

	p2p_path(path, self->provider, "remove");
	if (p2p_write_file(path, "1") || p2p_write_file("/sys/bus/pci/rescan", "1"))
		return false;
	p2p_path(path, self->provider, "driver_override");
	return !p2p_write_file(path, P2P_BAR_DRIVER) && !heap_there(self->provider);
}

static long do_bind(void *data)
{
	struct _test_data_fail_dmabuf *self = data;

	return -p2p_bind(self->provider);
}

/* The driver core does not mind if there is no memory for the node in /dev. */
static bool heap_made(struct _test_data_fail_dmabuf *self)
{
	char path[P2P_PATH_LEN];

	snprintf(path, sizeof(path), "/sys/class/dma_heap/p2pmem-%s", self->provider);
	return !access(path, F_OK);
}

/* The memory can be used without the heap, which is made by the next attempt. */
static bool after_bind(void *data, long result)
{
	struct _test_data_fail_dmabuf *self = data;

	if (result)
		return !heap_made(self);
	if (!map_memory(data) || munmap(self->mem, SIZE))
		return false;
	return heap_made(self) ||
	       (!p2p_unbind(self->provider) && !p2p_bind(self->provider) &&
		heap_there(self->provider));
}

TEST_F(fail_dmabuf, bind)
{
	/* EBUSY is all that pci_request_region() returns. */
	static const struct fail_work work = {
		"bind with a new heap", new_device, do_bind, after_bind,
		{ ENOMEM, EBUSY }
	};

	ASSERT_TRUE(fail_setup(FAIL_OBJECTS));
	/* As in fail_nth_bind. */
	ASSERT_EQ(0, p2p_write_file(P2P_BAR_PARAMETERS "size", "4194304"));
	FAIL_EACH(&work, self);
	EXPECT_EQ(0, p2p_write_file(P2P_BAR_PARAMETERS "size", "0"));
	EXPECT_EQ(0, p2p_unbind(self->provider));
}

static bool attach_and_map(void *data)
{
	struct _test_data_fail_dmabuf *self = data;

	if (!p2p_has_driver(self->provider, P2P_BAR_DRIVER) &&
	    p2p_bind(self->provider))
		return false;
	return attach(data) && do_map(data) == 0;
}

static long do_unbind(void *data)
{
	struct _test_data_fail_dmabuf *self = data;

	return -p2p_unbind(self->provider);
}

/* An unbind that could not start has changed nothing; else all was returned. */
static bool after_unbind(void *data, long result)
{
	struct _test_data_fail_dmabuf *self = data;
	bool given = ioctl(self->importer, P2P_TEST_NOTIFIED) == 1;

	if (ioctl(self->importer, P2P_TEST_PUT) || close(self->fd))
		return false;
	self->fd = -1;
	return given == !result;
}

TEST_F(fail_dmabuf, unbind)
{
	static const struct fail_work work = {
		"unbind", attach_and_map, do_unbind, after_unbind, { ENOMEM }
	};

	if (!self->works)
		return;
	ASSERT_TRUE(fail_setup(FAIL_OBJECTS));
	FAIL_EACH(&work, self);
}

TEST_HARNESS_MAIN
