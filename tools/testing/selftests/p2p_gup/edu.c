// SPDX-License-Identifier: GPL-2.0
/*
 * The sample driver samples/p2pdma/p2p-edu.c: a client that pins, maps and lets go
 * as a driver should, whatever happens meanwhile.
 *
 *	P2P_EDU_WIDE	address of an edu device with dma_mask=0xffffffffffffffff
 *	P2P_EDU_NARROW	address of one with the default, 28 bits
 *
 * Both are under one switch with the provider.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "edu.h"
#include "variants.h"

#define NARROW_MASK	((UINT64_C(1) << 28) - 1)

#define LEN		P2P_EDU_MAX_LEN
/* Room for the longest copy at the largest offset. */
#define SIZE		(LEN + 4096)
#define NR_BUFFERS	2
/* By then the device has done what it was told: it takes 100 ms. */
#define LATE_US		300000

enum { SRC, DST };

FIXTURE(edu)
{
	const char *provider;
	const char *wide;
	const char *narrow;
	long long before;
	long long bus_bytes;
	size_t page;
	char *bar[NR_BUFFERS];
	char *ram[NR_BUFFERS];
	int fd;			/* of the wide device */
};

P2P_VARIANTS(edu, P2P_BAR_DRIVER, NULL);

FIXTURE_SETUP(edu)
{
	int i;

	self->provider = variant->p2p.provider;
	self->wide = getenv("P2P_EDU_WIDE");
	self->narrow = getenv("P2P_EDU_NARROW");
	self->page = sysconf(_SC_PAGESIZE);
	if (access(P2P_DRIVERS EDU, F_OK))
		SKIP(p2p_skip_now(), "no driver " EDU ": CONFIG_SAMPLE_P2PDMA_EDU?");
	if (!self->wide || !self->narrow)
		SKIP(p2p_skip_now(), "P2P_EDU_WIDE and P2P_EDU_NARROW name no devices");

	self->before = p2p_available(self->provider);
	for (i = 0; i < NR_BUFFERS; i++) {
		self->bar[i] = p2p_map(self->provider, SIZE);
		ASSERT_NE(MAP_FAILED, self->bar[i]);
		self->ram[i] = p2p_ram(SIZE);
		ASSERT_NE(MAP_FAILED, self->ram[i]);
	}
	ASSERT_EQ(0, bind_edu(self->wide, WIDE_BITS));
	self->fd = open_edu(self->wide);
	ASSERT_LE(0, self->fd);
	self->bus_bytes = p2p_number(self->provider, "p2pmem/dma_bus_bytes");
}

FIXTURE_TEARDOWN(edu)
{
	int i;

	close(self->fd);
	for (i = 0; i < NR_BUFFERS; i++) {
		munmap(self->bar[i], SIZE);
		munmap(self->ram[i], SIZE);
	}
	EXPECT_EQ(0, p2p_write_file(PARAMETERS "timeout_ms", "2000"));
	EXPECT_EQ(0, p2p_write_file(PARAMETERS "dma_bits", NARROW_BITS));
	if (!p2p_has_driver(self->provider, P2P_BAR_DRIVER))
		EXPECT_EQ(0, p2p_bind(self->provider));
	if (!p2p_has_driver(self->wide, EDU))
		EXPECT_EQ(0, p2p_driver_bind(EDU, self->wide));
	/* At once: when a call is over, nothing is held any more. */
	EXPECT_EQ(self->before, p2p_available(self->provider));
}

/* Device memory is read by words. */
static void snapshot(void *to, const void *from, size_t size)
{
	uint64_t *word = to;
	size_t i;

	for (i = 0; i < size / 8; i++)
		word[i] = p2p_load((const uint64_t *)from + i);
}

/* How many bytes the provider's clients have mapped for DMA in this test. */
static long long mapped(struct _test_data_edu *self)
{
	return p2p_number(self->provider, "p2pmem/dma_bus_bytes") -
	       self->bus_bytes;
}

static void fill(char *src, char *dst)
{
	p2p_fill(src, SIZE, SRC, 0);
	p2p_fill(dst, SIZE, DST, 0);
}

/* Are the first bytes of a range those of src, and is all else as it was? */
static bool is_copied(const char *src, const char *dst, size_t src_at,
		      size_t dst_at, size_t len)
{
	static __thread uint64_t from[SIZE / 8], to[SIZE / 8], now[SIZE / 8];

	p2p_fill(from, SIZE, SRC, 0);
	p2p_fill(to, SIZE, DST, 0);
	snapshot(now, src, SIZE);
	if (memcmp(now, from, SIZE))
		return false;
	memcpy((char *)to + dst_at, (char *)from + src_at, len);
	snapshot(now, dst, SIZE);
	return !memcmp(now, to, SIZE);
}

TEST_F(edu, ram_to_ram)
{
	fill(self->ram[SRC], self->ram[DST]);
	EXPECT_EQ(LEN, copy(self->fd, self->ram[SRC], self->ram[DST], LEN));
	EXPECT_TRUE(is_copied(self->ram[SRC], self->ram[DST], 0, 0, LEN));
	EXPECT_EQ(0, mapped(self));
}

TEST_F(edu, ram_to_bar)
{
	fill(self->ram[SRC], self->bar[DST]);
	EXPECT_EQ(LEN, copy(self->fd, self->ram[SRC], self->bar[DST], LEN));
	EXPECT_TRUE(is_copied(self->ram[SRC], self->bar[DST], 0, 0, LEN));
	EXPECT_EQ(LEN, mapped(self));
}

TEST_F(edu, bar_to_ram)
{
	fill(self->bar[SRC], self->ram[DST]);
	EXPECT_EQ(LEN, copy(self->fd, self->bar[SRC], self->ram[DST], LEN));
	EXPECT_TRUE(is_copied(self->bar[SRC], self->ram[DST], 0, 0, LEN));
	EXPECT_EQ(LEN, mapped(self));
}

TEST_F(edu, bar_to_bar)
{
	fill(self->bar[SRC], self->bar[DST]);
	EXPECT_EQ(LEN, copy(self->fd, self->bar[SRC], self->bar[DST], LEN));
	EXPECT_TRUE(is_copied(self->bar[SRC], self->bar[DST], 0, 0, LEN));
	EXPECT_EQ(2 * LEN, mapped(self));
}

/* One range, part of it RAM and part of it not, in one scatterlist. */
TEST_F(edu, ram_beside_bar)
{
	size_t half = LEN / 2;
	char *both;

	both = mmap(NULL, LEN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, both);
	ASSERT_EQ(both, mremap(self->ram[DST], half, half,
			       MREMAP_MAYMOVE | MREMAP_FIXED, both));
	ASSERT_EQ(both + half, mremap(self->bar[DST], half, half,
				      MREMAP_MAYMOVE | MREMAP_FIXED,
				      both + half));
	p2p_fill(self->ram[SRC], LEN, SRC, 0);
	EXPECT_EQ(LEN, copy(self->fd, self->ram[SRC], both, LEN));
	EXPECT_EQ(-1, p2p_differs(both, LEN, SRC, 0));
	EXPECT_EQ(half, mapped(self));
	munmap(both, LEN);
}

TEST_F(edu, unaligned)
{
	static const struct {
		size_t src_at, dst_at, len;
	} cases[] = {
		{ 1, 0, 1 },
		{ 0, 4095, 1 },
		{ 4095, 3, 2 },
		{ 1, 1, 4095 },
		{ 123, 4001, 4097 },
		{ 4093, 1, LEN - 1 },
		{ 7, 4095, LEN },
	};
	char *const src[] = { self->ram[SRC], self->bar[SRC], self->bar[SRC] };
	char *const dst[] = { self->bar[DST], self->ram[DST], self->bar[DST] };
	int i, way;

	for (way = 0; way < ARRAY_SIZE(src); way++) {
		for (i = 0; i < ARRAY_SIZE(cases); i++) {
			fill(src[way], dst[way]);
			EXPECT_EQ(cases[i].len,
				  copy(self->fd, src[way] + cases[i].src_at,
				       dst[way] + cases[i].dst_at,
				       cases[i].len));
			EXPECT_TRUE(is_copied(src[way], dst[way],
					      cases[i].src_at, cases[i].dst_at,
					      cases[i].len)) {
				TH_LOG("way %d, case %d", way, i);
			}
		}
	}
}

TEST_F(edu, bad_arguments)
{
	char *src = self->bar[SRC], *dst = self->bar[DST];
	char *hole;

	fill(src, dst);
	EXPECT_EQ(-EINVAL, copy(self->fd, src, dst, 0));
	EXPECT_EQ(-EINVAL, copy(self->fd, src, dst, LEN + 1));
	EXPECT_EQ(-EINVAL, copy(self->fd, src, dst, UINT32_MAX));
	EXPECT_EQ(-EINVAL, copy_flags(self->fd, src, dst, LEN, 1));
	EXPECT_EQ(-EINVAL, copy_flags(self->fd, src, dst, LEN, 1U << 31));
	EXPECT_EQ(-ENOTTY, p2p_result(ioctl(self->fd, P2P_EDU_COPY + 1, dst)));
	EXPECT_EQ(-EFAULT, p2p_result(ioctl(self->fd, P2P_EDU_COPY, NULL)));

	EXPECT_EQ(-EFAULT, copy(self->fd, NULL, dst, LEN));
	EXPECT_EQ(-EFAULT, copy(self->fd, src, NULL, LEN));
	EXPECT_EQ(-EFAULT, copy(self->fd, (void *)UINTPTR_MAX, dst, LEN));
	EXPECT_EQ(-EFAULT, copy(self->fd, src, (void *)(UINTPTR_MAX << 47), LEN));
	/* It begins well: what was pinned must be let go. */
	hole = mmap(NULL, 2 * self->page, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, hole);
	ASSERT_EQ(hole, mremap(self->bar[SRC], self->page, self->page,
			       MREMAP_MAYMOVE | MREMAP_FIXED, hole));
	EXPECT_EQ(-EFAULT, copy(self->fd, hole, self->ram[DST], 2 * self->page));
	EXPECT_EQ(self->page, copy(self->fd, hole, self->ram[DST], self->page));
	ASSERT_EQ(0, munmap(hole, 2 * self->page));

	EXPECT_EQ(self->page, mapped(self));
	EXPECT_EQ(-1, p2p_differs(dst, SIZE, DST, 0));
}

TEST_F(edu, read_only_destination)
{
	fill(self->ram[SRC], self->ram[DST]);
	fill(self->bar[SRC], self->bar[DST]);
	ASSERT_EQ(0, mprotect(self->ram[DST], SIZE, PROT_READ));
	ASSERT_EQ(0, mprotect(self->bar[DST], SIZE, PROT_READ));
	EXPECT_EQ(-EFAULT, copy(self->fd, self->bar[SRC], self->ram[DST], LEN));
	EXPECT_EQ(-EFAULT, copy(self->fd, self->ram[SRC], self->bar[DST], LEN));
	EXPECT_EQ(-1, p2p_differs(self->ram[DST], SIZE, DST, 0));
	EXPECT_EQ(-1, p2p_differs(self->bar[DST], SIZE, DST, 0));

	/* A source it may be. */
	p2p_fill(self->ram[SRC], SIZE, SRC, 0);
	EXPECT_EQ(self->page, copy(self->fd, self->bar[DST], self->ram[SRC],
				   self->page));
	EXPECT_EQ(-1, p2p_differs(self->ram[SRC], self->page, DST, 0));
}

/* A call in a thread of its own. */
struct call {
	pthread_t thread;
	int fd;
	const char *src;
	char *dst;
	ssize_t ret;
	bool done;
};

static void *make_call(void *arg)
{
	struct call *call = arg;

	call->ret = copy(call->fd, call->src, call->dst, LEN);
	__atomic_store_n(&call->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static bool start_call(struct call *call, int fd, const char *src, char *dst)
{
	*call = (struct call) { .fd = fd, .src = src, .dst = dst };
	return !pthread_create(&call->thread, NULL, make_call, call);
}

/* Waits until so much is mapped; a transfer takes long enough to notice. */
static bool is_under_way(struct _test_data_edu *self, struct call *call,
			 long long bytes)
{
	while (mapped(self) < bytes)
		if (__atomic_load_n(&call->done, __ATOMIC_ACQUIRE))
			return false;
	return !__atomic_load_n(&call->done, __ATOMIC_ACQUIRE);
}

TEST_F(edu, two_threads)
{
	struct call out, in;
	int round;

	for (round = 0; round < 3; round++) {
		fill(self->ram[SRC], self->bar[DST]);
		fill(self->bar[SRC], self->ram[DST]);
		ASSERT_TRUE(start_call(&out, self->fd, self->ram[SRC],
				       self->bar[DST]));
		ASSERT_TRUE(start_call(&in, self->fd, self->bar[SRC],
				       self->ram[DST]));
		ASSERT_EQ(0, pthread_join(out.thread, NULL));
		ASSERT_EQ(0, pthread_join(in.thread, NULL));
		EXPECT_EQ(LEN, out.ret);
		EXPECT_EQ(LEN, in.ret);
		EXPECT_TRUE(is_copied(self->ram[SRC], self->bar[DST], 0, 0, LEN));
		EXPECT_TRUE(is_copied(self->bar[SRC], self->ram[DST], 0, 0, LEN));
	}
}

/* One file less is not the end of the other one's transfer. */
TEST_F(edu, close_in_flight)
{
	int other = open_edu(self->wide);
	struct call call;

	ASSERT_LE(0, other);
	fill(self->bar[SRC], self->ram[DST]);
	ASSERT_TRUE(start_call(&call, other, self->bar[SRC], self->ram[DST]));
	EXPECT_TRUE(is_under_way(self, &call, LEN));
	EXPECT_EQ(0, close(self->fd));
	self->fd = -1;
	ASSERT_EQ(0, pthread_join(call.thread, NULL));
	EXPECT_EQ(LEN, call.ret);
	EXPECT_TRUE(is_copied(self->bar[SRC], self->ram[DST], 0, 0, LEN));
	close(other);
}

/* What a file is good for once its device has lost the driver. */
static void expect_gone(struct __test_metadata *_metadata,
			struct _test_data_edu *self)
{
	int fd;

	EXPECT_EQ(-ENODEV, copy(self->fd, self->ram[SRC], self->ram[DST], LEN));
	fd = open_edu(self->wide);
	EXPECT_EQ(-1, fd);
	EXPECT_EQ(ENOENT, errno);
	/* Not even when the device is back, which works for those who open it. */
	ASSERT_EQ(0, bind_edu(self->wide, WIDE_BITS));
	EXPECT_EQ(-ENODEV, copy(self->fd, self->ram[SRC], self->ram[DST], LEN));
	fd = open_edu(self->wide);
	ASSERT_LE(0, fd);
	fill(self->bar[SRC], self->bar[DST]);
	EXPECT_EQ(LEN, copy(fd, self->bar[SRC], self->bar[DST], LEN));
	EXPECT_TRUE(is_copied(self->bar[SRC], self->bar[DST], 0, 0, LEN));
	close(fd);
}

TEST_F(edu, driver_unbound)
{
	ASSERT_EQ(0, p2p_driver_unbind(EDU, self->wide));
	expect_gone(_metadata, self);
}

TEST_F(edu, driver_unbound_in_flight)
{
	struct call call;

	fill(self->bar[SRC], self->bar[DST]);
	ASSERT_TRUE(start_call(&call, self->fd, self->bar[SRC], self->bar[DST]));
	EXPECT_TRUE(is_under_way(self, &call, 2 * LEN));
	EXPECT_EQ(0, p2p_driver_unbind(EDU, self->wide));
	ASSERT_EQ(0, pthread_join(call.thread, NULL));
	EXPECT_EQ(LEN, call.ret);
	EXPECT_TRUE(is_copied(self->bar[SRC], self->bar[DST], 0, 0, LEN));
	expect_gone(_metadata, self);
}

TEST_F(edu, device_removed)
{
	char path[P2P_PATH_LEN];

	p2p_path(path, self->wide, "remove");
	ASSERT_EQ(0, p2p_write_file(path, "1"));
	EXPECT_EQ(-ENODEV, copy(self->fd, self->ram[SRC], self->ram[DST], LEN));
	ASSERT_EQ(0, p2p_write_file("/sys/bus/pci/rescan", "1"));
	/* It binds by its ID. */
	EXPECT_TRUE(p2p_has_driver(self->wide, EDU));
	p2p_driver_unbind(EDU, self->wide);
	expect_gone(_metadata, self);
}

/* The provider waits for the transfer, and the driver keeps nothing longer. */
TEST_F(edu, provider_unbound_in_flight)
{
	struct call call;

	fill(self->bar[SRC], self->ram[DST]);
	ASSERT_TRUE(start_call(&call, self->fd, self->bar[SRC], self->ram[DST]));
	EXPECT_TRUE(is_under_way(self, &call, LEN));
	EXPECT_EQ(0, p2p_unbind(self->provider));
	ASSERT_EQ(0, pthread_join(call.thread, NULL));
	EXPECT_EQ(LEN, call.ret);
	EXPECT_EQ(-1, p2p_differs(self->ram[DST], LEN, SRC, 0));

	EXPECT_EQ(-EFAULT, copy(self->fd, self->bar[SRC], self->ram[DST], LEN));
	EXPECT_EQ(-EFAULT, copy(self->fd, self->ram[SRC], self->bar[DST], LEN));
	EXPECT_EQ(LEN, copy(self->fd, self->ram[SRC], self->ram[DST], LEN));
}

static void on_signal(int sig)
{
}

/* A call that waits for another one can be interrupted: it has not begun. */
TEST_F(edu, signal_while_waiting)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct call first, second;

	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
	fill(self->bar[SRC], self->bar[DST]);
	ASSERT_TRUE(start_call(&first, self->fd, self->bar[SRC], self->bar[DST]));
	ASSERT_TRUE(is_under_way(self, &first, 2 * LEN));
	ASSERT_TRUE(start_call(&second, self->fd, self->ram[SRC], self->ram[DST]));
	usleep(50000);
	EXPECT_EQ(0, pthread_kill(second.thread, SIGUSR1));
	ASSERT_EQ(0, pthread_join(second.thread, NULL));
	EXPECT_EQ(-EINTR, second.ret);
	EXPECT_FALSE(__atomic_load_n(&first.done, __ATOMIC_ACQUIRE));
	ASSERT_EQ(0, pthread_join(first.thread, NULL));
	EXPECT_EQ(LEN, first.ret);

	/* And begins anew if the program wants that of its system calls. */
	action.sa_flags = SA_RESTART;
	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
	fill(self->ram[SRC], self->ram[DST]);
	ASSERT_TRUE(start_call(&first, self->fd, self->bar[SRC], self->bar[DST]));
	ASSERT_TRUE(is_under_way(self, &first, 4 * LEN));
	ASSERT_TRUE(start_call(&second, self->fd, self->ram[SRC], self->ram[DST]));
	usleep(50000);
	EXPECT_EQ(0, pthread_kill(second.thread, SIGUSR1));
	ASSERT_EQ(0, pthread_join(second.thread, NULL));
	EXPECT_EQ(LEN, second.ret);
	EXPECT_TRUE(is_copied(self->ram[SRC], self->ram[DST], 0, 0, LEN));
	ASSERT_EQ(0, pthread_join(first.thread, NULL));
	EXPECT_EQ(LEN, first.ret);
}

/* A signal ends a call early, and it says how far it came. */
TEST_F(edu, signal)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct call call;

	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
	fill(self->bar[SRC], self->bar[DST]);
	ASSERT_TRUE(start_call(&call, self->fd, self->bar[SRC], self->bar[DST]));
	ASSERT_TRUE(is_under_way(self, &call, 2 * LEN));
	EXPECT_EQ(0, pthread_kill(call.thread, SIGUSR1));
	ASSERT_EQ(0, pthread_join(call.thread, NULL));
	EXPECT_LT(0, call.ret);
	EXPECT_GT(LEN, call.ret);
	EXPECT_TRUE(is_copied(self->bar[SRC], self->bar[DST], 0, 0, call.ret));
}

TEST_F(edu, killed)
{
	long long before = p2p_available(self->provider);
	struct call call = { 0 };	/* in another process: never done here */
	int status;
	pid_t child;

	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		char *own = p2p_map(self->provider, SIZE);

		if (own != MAP_FAILED)
			copy(self->fd, own, own + LEN / 2, LEN / 2);
		_exit(1);
	}
	EXPECT_TRUE(is_under_way(self, &call, LEN));
	EXPECT_EQ(0, kill(child, SIGKILL));
	EXPECT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(SIGKILL, status);
	EXPECT_TRUE(p2p_settles(self->provider, before));

	fill(self->ram[SRC], self->bar[DST]);
	EXPECT_EQ(LEN, copy(self->fd, self->ram[SRC], self->bar[DST], LEN));
	EXPECT_TRUE(is_copied(self->ram[SRC], self->bar[DST], 0, 0, LEN));
}

/*
 * Gives the device less time than it takes, in the middle of a copy: for a command
 * that writes to the destination, which is returned as it is when the call is over.
 */
static void run_late(struct __test_metadata *_metadata,
		     struct _test_data_edu *self, uint64_t *then)
{
	struct call call;

	fill(self->bar[SRC], self->bar[DST]);
	ASSERT_TRUE(start_call(&call, self->fd, self->bar[SRC], self->bar[DST]));
	/* The command that runs now has its time already, the next one has not. */
	EXPECT_TRUE(is_under_way(self, &call, 2 * LEN));
	ASSERT_EQ(0, p2p_write_file(PARAMETERS "timeout_ms", "10"));
	ASSERT_EQ(0, pthread_join(call.thread, NULL));
	snapshot(then, self->bar[DST], SIZE);
	EXPECT_EQ(-ETIMEDOUT, call.ret);
	ASSERT_EQ(0, p2p_write_file(PARAMETERS "timeout_ms", "2000"));
}

/* The device is stopped before its memory is let go: nothing comes late. */
TEST_F(edu, time_out)
{
	static uint64_t then[SIZE / 8];

	run_late(_metadata, self, then);
	EXPECT_EQ(-EIO, copy(self->fd, self->bar[SRC], self->bar[DST], LEN));
	usleep(LATE_US);
	EXPECT_EQ(-1, p2p_unlike(then, self->bar[DST], SIZE));
	EXPECT_EQ(-EIO, copy(self->fd, self->bar[SRC], self->bar[DST], LEN));
}

/* Nor when the driver is back while the device is still at it. */
TEST_F(edu, time_out_and_bind)
{
	static uint64_t then[SIZE / 8];

	run_late(_metadata, self, then);
	EXPECT_EQ(0, bind_edu(self->wide, WIDE_BITS));
	usleep(LATE_US);
	EXPECT_EQ(-1, p2p_unlike(then, self->bar[DST], SIZE));
	ASSERT_EQ(0, p2p_driver_unbind(EDU, self->wide));
	expect_gone(_metadata, self);
}

/*
 * With a device that has not all address bits. The kernel knows, from the driver's
 * DMA mask, and must refuse the BAR, which is beyond. If it does not, the device
 * accesses the page of RAM whose address is that of the BAR without the upper bits.
 */
struct narrow {
	int fd;
	char *bar;	/* all of it */
	size_t size;
	char *page;	/* of the BAR, that the device would mistake for ... */
	char *victim;
};

static void narrow_setup(struct __test_metadata *_metadata,
			 struct _test_data_edu *self, struct narrow *narrow)
{
	uint64_t bar, ram, offset;
	int i;

	for (i = 0; i < NR_BUFFERS; i++)
		ASSERT_EQ(0, munmap(self->bar[i], SIZE));
	ASSERT_EQ(0, bind_edu(self->narrow, NARROW_BITS));
	narrow->fd = open_edu(self->narrow);
	ASSERT_LE(0, narrow->fd);
	narrow->size = self->before;
	narrow->bar = p2p_map(self->provider, narrow->size);
	ASSERT_NE(MAP_FAILED, narrow->bar);
	p2p_load(narrow->bar);
	bar = PAGEMAP_PFN(p2p_pagemap(narrow->bar)) * self->page;
	ASSERT_LT(NARROW_MASK, bar);

	narrow->victim = self->ram[DST] + LEN;
	p2p_store(narrow->victim, 0);
	ASSERT_EQ(0, mlock(narrow->victim, self->page));
	ram = PAGEMAP_PFN(p2p_pagemap(narrow->victim)) * self->page;
	ASSERT_GE(NARROW_MASK, ram);
	offset = (ram - bar) & NARROW_MASK;
	ASSERT_LE(offset, narrow->size - self->page);
	narrow->page = narrow->bar + offset;

	p2p_fill(self->ram[SRC], self->page, SRC, 0);
	p2p_fill(self->ram[DST], self->page, DST, 0);
	p2p_fill(narrow->victim, self->page, 3, 0);
	p2p_fill(narrow->page, self->page, 4, 0);
}

static void narrow_teardown(struct __test_metadata *_metadata,
			    struct _test_data_edu *self, struct narrow *narrow)
{
	EXPECT_EQ(-1, p2p_differs(narrow->victim, self->page, 3, 0)) {
		TH_LOG("RAM that has nothing to do with it was overwritten");
	}
	EXPECT_EQ(-1, p2p_differs(narrow->page, self->page, 4, 0));
	EXPECT_EQ(-1, p2p_differs(self->ram[SRC], self->page, SRC, 0));

	/* What it reaches it may still use. */
	EXPECT_EQ(self->page, copy(narrow->fd, self->ram[SRC], self->ram[DST],
				   self->page));
	EXPECT_EQ(-1, p2p_differs(self->ram[DST], self->page, SRC, 0));
	close(narrow->fd);
	munmap(narrow->bar, narrow->size);
}

TEST_F(edu, short_mask_write)
{
	struct narrow narrow;

	narrow_setup(_metadata, self, &narrow);
	EXPECT_EQ(-EREMOTEIO, copy(narrow.fd, self->ram[SRC], narrow.page,
				   self->page));
	EXPECT_EQ(-1, p2p_differs(self->ram[DST], self->page, DST, 0));
	narrow_teardown(_metadata, self, &narrow);
}

TEST_F(edu, short_mask_read)
{
	struct narrow narrow;

	narrow_setup(_metadata, self, &narrow);
	EXPECT_EQ(-EREMOTEIO, copy(narrow.fd, narrow.page, self->ram[DST],
				   self->page));
	EXPECT_EQ(-1, p2p_differs(self->ram[DST], self->page, DST, 0));
	narrow_teardown(_metadata, self, &narrow);
}

/* The mask is the driver's word: it holds for a device that could do more, too. */
TEST_F(edu, short_mask_of_driver)
{
	struct narrow narrow;

	ASSERT_EQ(0, bind_edu(self->wide, NARROW_BITS));
	close(self->fd);
	self->fd = open_edu(self->wide);
	ASSERT_LE(0, self->fd);
	narrow_setup(_metadata, self, &narrow);
	EXPECT_EQ(-EREMOTEIO, copy(self->fd, self->ram[SRC], narrow.page,
				   self->page));
	EXPECT_EQ(-EREMOTEIO, copy(self->fd, narrow.page, self->ram[DST],
				   self->page));
	EXPECT_EQ(-1, p2p_differs(self->ram[DST], self->page, DST, 0));
	narrow_teardown(_metadata, self, &narrow);
}

TEST_HARNESS_MAIN
