// SPDX-License-Identifier: GPL-2.0
/*
 * The sample client samples/p2pdma/p2p-edu.c imports dma-bufs, and a device
 * copies from and to them: those of a provider's heap, with the provider
 * unbound or reset meanwhile; memory of samples/p2pdma/p2p-vram.c, which has no
 * struct pages; and RAM of other exporters.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "dmabuf.h"
#include "range.h"
#include "removal.h"
#include "variants.h"

#define BUF_SIZE	(64 * KIB)
#define OFFSET		(12 * KIB + 123)
#define PROVE_LOCKING	"/proc/sys/kernel/prove_locking"

FIXTURE(dmabuf_edu)
{
	EDU_FIXTURE;
	const char *narrow;
	const char *far;
	long long total;
	long long before;
	long long bus_bytes;
};

P2P_VARIANTS(dmabuf_edu, P2P_BAR_DRIVER, NULL);

FIXTURE_SETUP(dmabuf_edu)
{
	const char *wide = getenv("P2P_EDU_WIDE");

	self->provider = variant->p2p.provider;
	self->narrow = getenv("P2P_EDU_NARROW");
	self->far = getenv("P2P_EDU_FAR");
	if (!heap_there(self->provider))
		SKIP(p2p_skip_now(), "no heap: CONFIG_PCI_P2PMEM_DMABUF?");
	if (access(P2P_DRIVERS EDU, F_OK))
		SKIP(p2p_skip_now(), "no driver " EDU ": CONFIG_SAMPLE_P2PDMA_EDU?");
	if (!wide || !self->narrow || !self->far)
		SKIP(p2p_skip_now(), "P2P_EDU_WIDE, _NARROW and _FAR name no devices");

	self->total = p2p_number(self->provider, "p2pmem/size");
	self->before = p2p_available(self->provider);
	ASSERT_TRUE(edu_begin(&self->edu, self->provider, wide));
	self->bus_bytes = p2p_number(self->provider, "p2pmem/dma_bus_bytes");
}

FIXTURE_TEARDOWN(dmabuf_edu)
{
	edu_end(&self->edu);
	EXPECT_EQ(0, p2p_write_file(PARAMETERS "dma_bits", NARROW_BITS));
	EXPECT_BACK(self);
	if (!p2p_has_driver(self->wide, EDU))
		EXPECT_EQ(0, bind_edu(self->wide, WIDE_BITS));
}

static int alloc_buf(struct _test_data_dmabuf_edu *self)
{
	int heap = heap_open(self->provider);
	int fd = heap_alloc(heap, BUF_SIZE);

	close(heap);
	return fd;
}

/* Copies into the dma-buf at an offset, or out of it. */
static ssize_t copy_in(int edu, const char *src, uint64_t offset, size_t len)
{
	return copy_flags(edu, src, (void *)offset, len, P2P_EDU_DST_DMABUF);
}

static ssize_t copy_out(int edu, uint64_t offset, char *dst, size_t len)
{
	return copy_flags(edu, (void *)offset, dst, len, P2P_EDU_SRC_DMABUF);
}

/* Copies there and back, through a file that has the dma-buf attached. */
static void works(struct __test_metadata *_metadata,
		  struct _test_data_dmabuf_edu *self, char *src, char *dst)
{
	p2p_fill(src, SIZE, SRC, 0);
	p2p_fill(dst, SIZE, DST, 0);
	EXPECT_EQ(LEN, copy_in(self->fd, src + 1, OFFSET, LEN));
	EXPECT_EQ(LEN, copy_out(self->fd, OFFSET, dst + 1, LEN));
	EXPECT_EQ(-1, p2p_unlike(src + 8, dst + 8, LEN - 8));
	EXPECT_EQ(-1, p2p_differs(dst + LEN + 8, SIZE - LEN - 8, DST, LEN + 8));
}

/* The same for a dma-buf that can also be mapped; closes it. */
static void imports(struct __test_metadata *_metadata,
		    struct _test_data_dmabuf_edu *self, int fd, size_t size)
{
	char *mem;

	ASSERT_LE(0, fd);
	mem = dmabuf_map(fd, size, 0);
	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_EQ(0, attach_edu(self->fd, fd));
	close(fd);
	works(_metadata, self, self->ram[SRC], self->ram[DST]);
	works(_metadata, self, self->bar[SRC], self->ram[DST]);
	works(_metadata, self, self->ram[SRC], self->bar[DST]);
	/* The CPU sees what the device has written. */
	p2p_fill(self->ram[SRC], SIZE, SRC, 0);
	p2p_fill(mem, size, DST, 0);
	EXPECT_EQ(LEN, copy_in(self->fd, self->ram[SRC], 0, LEN));
	EXPECT_EQ(-1, p2p_differs(mem, LEN, SRC, 0));
	EXPECT_EQ(-1, p2p_differs(mem + LEN, size - LEN, DST, LEN));
	munmap(mem, size);
}

TEST_F(dmabuf_edu, imports)
{
	imports(_metadata, self, alloc_buf(self), BUF_SIZE);
	EXPECT_EQ(0, attach_edu(self->fd, -1));
}

/* A large folio, also accessed beyond its first 64 KiB. */
TEST_F(dmabuf_edu, imports_large)
{
	int heap = heap_open(self->provider);

	imports(_metadata, self, heap_alloc(heap, 4 * MIB), 4 * MIB);
	EXPECT_EQ(LEN, copy_in(self->fd, self->ram[SRC], 4 * MIB - LEN, LEN));
	close(heap);
}

/* The provider's counter matches the bytes that the device mapped. */
TEST_F(dmabuf_edu, goes_by_bus)
{
	int fd = alloc_buf(self);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, attach_edu(self->fd, fd));
	EXPECT_EQ(LEN, copy_in(self->fd, self->ram[SRC], 0, LEN));
	EXPECT_EQ(self->bus_bytes + BUF_SIZE,
		  p2p_number(self->provider, "p2pmem/dma_bus_bytes"));
	/* The buffer is still mapped. */
	EXPECT_EQ(LEN, copy_in(self->fd, self->ram[SRC], 0, LEN));
	EXPECT_EQ(self->bus_bytes + BUF_SIZE,
		  p2p_number(self->provider, "p2pmem/dma_bus_bytes"));
	close(fd);
}

TEST_F(dmabuf_edu, errors)
{
	int fd = alloc_buf(self), other = alloc_buf(self);

	ASSERT_LE(0, fd);
	ASSERT_LE(0, other);
	EXPECT_EQ(-EBADF, attach_edu(self->fd, -1));
	EXPECT_EQ(-EBADF, attach_edu(self->fd, 1000));
	EXPECT_EQ(-EINVAL, attach_edu(self->fd, self->fd));
	EXPECT_EQ(-EBADF, copy_in(self->fd, self->ram[SRC], 0, LEN));
	ASSERT_EQ(0, attach_edu(self->fd, fd));
	EXPECT_EQ(-EBUSY, attach_edu(self->fd, other));
	EXPECT_EQ(-EINVAL, copy_in(self->fd, self->ram[SRC], BUF_SIZE - LEN + 1,
				   LEN));
	EXPECT_EQ(-EINVAL, copy_in(self->fd, self->ram[SRC], ~0ULL, LEN));
	EXPECT_EQ(-EINVAL, copy_flags(self->fd, NULL, (void *)LEN, LEN,
				      P2P_EDU_SRC_DMABUF | P2P_EDU_DST_DMABUF));
	EXPECT_EQ(LEN, copy_in(self->fd, self->ram[SRC], BUF_SIZE - LEN, LEN));
	EXPECT_EQ(0, attach_edu(self->fd, -1));
	EXPECT_EQ(0, attach_edu(self->fd, other));
	close(other);
	close(fd);
}

/* The device has the access rights of the dma-buf's file. */
TEST_F(dmabuf_edu, read_only)
{
	int heap = heap_open(self->provider);
	int fd = heap_alloc_flags(heap, BUF_SIZE, O_RDONLY);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, attach_edu(self->fd, fd));
	EXPECT_EQ(-EACCES, copy_in(self->fd, self->ram[SRC], 0, LEN));
	EXPECT_EQ(LEN, copy_out(self->fd, 0, self->ram[DST], LEN));
	close(fd);
	close(heap);
}

static void cant_reach(struct __test_metadata *_metadata,
		       struct _test_data_dmabuf_edu *self, const char *device)
{
	int edu, fd = alloc_buf(self);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, bind_edu(device, NARROW_BITS));
	edu = open_edu(device);
	ASSERT_LE(0, edu);
	EXPECT_EQ(-EREMOTEIO, attach_edu(edu, fd));
	close(edu);
	close(fd);
}

TEST_F(dmabuf_edu, short_mask)
{
	cant_reach(_metadata, self, self->narrow);
	cant_reach(_metadata, self, self->far);
}

/* Two files of one device attach independently. */
TEST_F(dmabuf_edu, two_files)
{
	int other = open_edu(self->wide), fd = alloc_buf(self);

	ASSERT_LE(0, other);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, attach_edu(self->fd, fd));
	ASSERT_EQ(0, attach_edu(other, fd));
	close(fd);
	p2p_fill(self->ram[SRC], SIZE, SRC, 0);
	EXPECT_EQ(LEN, copy_in(self->fd, self->ram[SRC], 0, LEN));
	EXPECT_EQ(LEN, copy_out(other, 0, self->ram[DST], LEN));
	EXPECT_EQ(-1, p2p_differs(self->ram[DST], LEN, SRC, 0));
	EXPECT_EQ(0, p2p_unbind(self->provider));
	EXPECT_EQ(-ENODEV, copy_in(self->fd, self->ram[SRC], 0, LEN));
	EXPECT_EQ(-ENODEV, copy_out(other, 0, self->ram[DST], LEN));
	close(other);
}

/*
 * The importer is notified and unmaps: unbinding does not wait, and the device
 * continues with other memory.
 */
TEST_F(dmabuf_edu, provider_unbound_while_attached)
{
	int fd = alloc_buf(self);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, attach_edu(self->fd, fd));
	EXPECT_EQ(LEN, copy_in(self->fd, self->ram[SRC], 0, LEN));
	EXPECT_EQ(0, p2p_unbind(self->provider));
	EXPECT_EQ(-ENODEV, copy_in(self->fd, self->ram[SRC], 0, LEN));
	EXPECT_EQ(LEN, copy(self->fd, self->ram[SRC], self->ram[DST], LEN));
	ASSERT_EQ(0, p2p_bind(self->provider));
	EXPECT_EQ(-ENODEV, copy_in(self->fd, self->ram[SRC], 0, LEN));
	EXPECT_EQ(0, attach_edu(self->fd, -1));
	EXPECT_EQ(-ENODEV, attach_edu(self->fd, fd));
	close(fd);

	/* New memory works as before. */
	fd = alloc_buf(self);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, attach_edu(self->fd, fd));
	EXPECT_EQ(LEN, copy_in(self->fd, self->ram[SRC], 0, LEN));
	close(fd);
}

struct call {
	pthread_t thread;
	struct _test_data_dmabuf_edu *self;
	ssize_t ret;
};

static void *make_call(void *arg)
{
	struct call *call = arg;

	call->ret = copy_in(call->self->fd, call->self->bar[SRC], 0, LEN);
	return NULL;
}

/* The transfer in flight completes before the memory is removed. */
TEST_F(dmabuf_edu, provider_unbound_in_flight)
{
	struct call call = { .self = self };
	int fd = alloc_buf(self);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, attach_edu(self->fd, fd));
	ASSERT_EQ(0, pthread_create(&call.thread, NULL, make_call, &call));
	while (p2p_number(self->provider, "p2pmem/dma_bus_bytes") <
	       self->bus_bytes + BUF_SIZE)
		usleep(1000);
	EXPECT_EQ(0, p2p_unbind(self->provider));
	ASSERT_EQ(0, pthread_join(call.thread, NULL));
	EXPECT_EQ(LEN, call.ret);
	close(fd);
}

TEST_F(dmabuf_edu, provider_reset_while_attached)
{
	int fd = alloc_buf(self);

	if (!p2p_can_reset(self->provider))
		SKIP(return, "the device has no way to be reset");
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, attach_edu(self->fd, fd));
	EXPECT_EQ(LEN, copy_in(self->fd, self->ram[SRC], 0, LEN));
	EXPECT_EQ(self->bus_bytes + BUF_SIZE,
		  p2p_number(self->provider, "p2pmem/dma_bus_bytes"));
	EXPECT_EQ(0, p2p_reset(self->provider));
	/* It was notified, and maps the memory once more. */
	EXPECT_EQ(LEN, copy_in(self->fd, self->ram[SRC], 0, LEN));
	EXPECT_EQ(self->bus_bytes + 2 * BUF_SIZE,
		  p2p_number(self->provider, "p2pmem/dma_bus_bytes"));
	works(_metadata, self, self->ram[SRC], self->ram[DST]);
	close(fd);
}

TEST_F(dmabuf_edu, provider_removed_while_attached)
{
	char path[P2P_PATH_LEN];
	int fd = alloc_buf(self);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, attach_edu(self->fd, fd));
	EXPECT_EQ(LEN, copy_in(self->fd, self->ram[SRC], 0, LEN));
	p2p_path(path, self->provider, "remove");
	ASSERT_EQ(0, p2p_write_file(path, "1"));
	EXPECT_EQ(-ENODEV, copy_in(self->fd, self->ram[SRC], 0, LEN));
	close(fd);
	ASSERT_EQ(0, p2p_write_file("/sys/bus/pci/rescan", "1"));
	p2p_path(path, self->provider, "driver_override");
	ASSERT_EQ(0, p2p_write_file(path, P2P_BAR_DRIVER));
	ASSERT_EQ(0, p2p_bind(self->provider));
}

/* The host takes it out of its slot. lockdep would report pciehp of Linux 6.1. */
TEST_F(dmabuf_edu, provider_pulled_out_while_attached)
{
	const char *plug = getenv("P2P_PLUG");
	int fd = alloc_buf(self);

	if (!plug)
		SKIP(return, "P2P_PLUG is not set");
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, attach_edu(self->fd, fd));
	EXPECT_EQ(LEN, copy_in(self->fd, self->ram[SRC], 0, LEN));
	p2p_write_file(PROVE_LOCKING, "0");
	unplug(plug);
	wait_for_device(self->provider, false);
	EXPECT_EQ(-ENODEV, copy_in(self->fd, self->ram[SRC], 0, LEN));
	EXPECT_EQ(LEN, copy(self->fd, self->ram[SRC], self->ram[DST], LEN));
	close(fd);
	EXPECT_TRUE(plug_in(plug, self->provider));
	p2p_write_file(PROVE_LOCKING, "1");
}

/* The client is unbound first. */
TEST_F(dmabuf_edu, client_unbound_while_attached)
{
	int fd = alloc_buf(self);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, attach_edu(self->fd, fd));
	EXPECT_EQ(LEN, copy_in(self->fd, self->ram[SRC], 0, LEN));
	EXPECT_EQ(0, p2p_driver_unbind(EDU, self->wide));
	EXPECT_EQ(-ENODEV, copy_in(self->fd, self->ram[SRC], 0, LEN));
	EXPECT_EQ(-ENODEV, attach_edu(self->fd, fd));
	/* No attachment is left that unbinding the provider would wait for. */
	EXPECT_EQ(0, p2p_unbind(self->provider));
	close(fd);
}

/* An attachment ends with the process. */
TEST_F(dmabuf_edu, killed_while_attached)
{
	int steps[2];
	pid_t child;
	char byte;

	ASSERT_EQ(0, pipe(steps));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		int edu = open_edu(self->wide), fd = alloc_buf(self);

		if (attach_edu(edu, fd) ||
		    copy_in(edu, self->ram[SRC], 0, LEN) != LEN)
			_exit(1);
		if (write(steps[1], "", 1) == 1)
			pause();
		_exit(0);
	}
	ASSERT_EQ(1, read(steps[0], &byte, 1));
	kill(child, SIGKILL);
	EXPECT_EQ(-1, p2p_wait(child));
	close(steps[0]);
	close(steps[1]);
	/* edu_end() unmaps the other buffers. */
	EXPECT_TRUE(p2p_settles(self->provider, self->before - NR_BUFFERS * SIZE));
}

/* One process allocates, another one has the device. */
TEST_F(dmabuf_edu, received_over_a_socket)
{
	int sock[2], fd, step;
	pid_t child;
	char *mem;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sock));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		fd = alloc_buf(self);
		mem = dmabuf_map(fd, BUF_SIZE, 0);
		if (mem == MAP_FAILED)
			_exit(1);
		p2p_fill(mem, BUF_SIZE, DST, 0);
		if (!fd_send(sock[0], fd) || read(sock[0], &step, 1) != 1)
			_exit(2);
		_exit(p2p_differs(mem, LEN, SRC, 0) == -1 ? 0 : 3);
	}
	fd = fd_receive(sock[1]);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, attach_edu(self->fd, fd));
	close(fd);
	EXPECT_EQ(LEN, copy_out(self->fd, 0, self->ram[DST], LEN));
	EXPECT_EQ(-1, p2p_differs(self->ram[DST], LEN, DST, 0));
	p2p_fill(self->ram[SRC], SIZE, SRC, 0);
	EXPECT_EQ(LEN, copy_in(self->fd, self->ram[SRC], 0, LEN));
	EXPECT_EQ(1, write(sock[1], "", 1));
	EXPECT_EQ(0, p2p_wait(child));
	/* The allocating process has exited, the memory remains. */
	EXPECT_EQ(LEN, copy_out(self->fd, 0, self->ram[DST], LEN));
	EXPECT_EQ(-1, p2p_differs(self->ram[DST], LEN, SRC, 0));
	close(sock[0]);
	close(sock[1]);
}

/* RAM: the driver uses its DMA addresses like those of any memory. */
TEST_F(dmabuf_edu, system_heap)
{
	int heap = open(DMA_HEAPS "system", O_RDWR | O_CLOEXEC);

	if (heap < 0)
		SKIP(return, "no heap: CONFIG_DMABUF_HEAPS_SYSTEM?");
	imports(_metadata, self, heap_alloc(heap, BUF_SIZE), BUF_SIZE);
	close(heap);
}

TEST_F(dmabuf_edu, udmabuf)
{
	if (access("/dev/udmabuf", F_OK))
		SKIP(return, "no /dev/udmabuf: CONFIG_UDMABUF?");
	imports(_metadata, self, udmabuf_create(BUF_SIZE), BUF_SIZE);
}

/* Memory without struct pages, which the provider revokes. */
TEST_F(dmabuf_edu, vram)
{
	const char *vram = getenv("P2P_VRAM");
	int fd;

	if (!vram || access(P2P_DRIVERS VRAM, F_OK))
		SKIP(return, "P2P_VRAM names no device, or no driver " VRAM);
	if (!p2p_has_driver(vram, VRAM))
		ASSERT_EQ(0, p2p_driver_bind(VRAM, vram));
	EXPECT_EQ(-EINVAL, export_vram(vram, BUF_SIZE, 1));
	EXPECT_EQ(-EINVAL, export_vram(vram, 0, 0));
	EXPECT_EQ(-EINVAL, export_vram(vram, BUF_SIZE, 1UL << 40));
	imports(_metadata, self, export_vram(vram, BUF_SIZE, BUF_SIZE), BUF_SIZE);
	EXPECT_EQ(0, p2p_driver_unbind(VRAM, vram));
	EXPECT_EQ(-ENODEV, copy_in(self->fd, self->ram[SRC], 0, LEN));
	ASSERT_EQ(0, p2p_driver_bind(VRAM, vram));
	EXPECT_EQ(-ENODEV, copy_in(self->fd, self->ram[SRC], 0, LEN));
	EXPECT_EQ(0, attach_edu(self->fd, -1));

	fd = export_vram(vram, BUF_SIZE, 0);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, attach_edu(self->fd, fd));
	EXPECT_EQ(LEN, copy_in(self->fd, self->ram[SRC], 0, LEN));
	EXPECT_EQ(0, attach_edu(self->fd, -1));
	close(fd);

	/* Device and process have the access rights of the file. */
	fd = export_vram_flags(vram, BUF_SIZE, 0, O_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(MAP_FAILED, dmabuf_map(fd, BUF_SIZE, 0));
	EXPECT_EQ(EACCES, errno);
	ASSERT_EQ(0, attach_edu(self->fd, fd));
	EXPECT_EQ(-EACCES, copy_in(self->fd, self->ram[SRC], 0, LEN));
	EXPECT_EQ(LEN, copy_out(self->fd, 0, self->ram[DST], LEN));
	close(fd);
}

TEST_HARNESS_MAIN
