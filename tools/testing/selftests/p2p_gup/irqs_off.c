// SPDX-License-Identifier: GPL-2.0
/*
 * How long are interrupts disabled by a walk over much memory, and by the
 * completion of a request with much of it? An event due every 100 us is late by
 * as much. This is as exact as the clock: for a machine with one CPU whose
 * clock counts instructions.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <lib/test_p2p_uapi.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "variants.h"

#define PMD		(2 * MIB)
#define PUD		(1024 * MIB)
#define SMALL		MIB
#define RING		(8 * MIB)	/* of half a million events */
#define READ		(256 * MIB)
#define PERIOD		100000UL	/* ns */
#define LIMIT		1000000UL	/* ns */

/*
 * The requests that one interrupt may complete. The drive is faster than this
 * clock, the more so on a busy host; a real one transfers for longer than the
 * completion takes.
 */
#define DEPTH		"4"

FIXTURE(irqs_off)
{
	const char *provider;
	long long before;
	int fd;
	int disk;
	int clock;
	char depth[P2P_PATH_LEN];	/* of the drive's queue, a file */
	char was[16];
	struct perf_event_mmap_page *ring;
	char *room;		/* 2 GiB and more, aligned to a PMD */
};

P2P_VARIANTS(irqs_off, NULL, "raw", NULL);

static bool read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t len = read(fd, text, size - 1);

	close(fd);
	text[len > 0 ? len : 0] = '\0';
	return len > 0;
}

FIXTURE_SETUP(irqs_off)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = PERIOD,
		.sample_type = PERF_SAMPLE_TIME,
		.use_clockid = 1,
		.clockid = CLOCK_MONOTONIC,
	};

	if (!getenv("P2P_EXACT_CLOCK"))
		SKIP(p2p_skip_now(), "P2P_EXACT_CLOCK is not set: the clock is none");
	self->provider = variant->p2p.provider;
	self->before = p2p_available(self->provider);
	self->fd = p2p_open(self->provider, O_RDWR);
	ASSERT_LE(0, self->fd);
	self->disk = open(p2p_disk(variant->p2p.disk), O_RDONLY | O_DIRECT);
	ASSERT_LE(0, self->disk);
	snprintf(self->depth, sizeof(self->depth), "/sys/block/%s/queue/nr_requests",
		 strrchr(p2p_disk(variant->p2p.disk), '/') + 1);
	ASSERT_TRUE(read_text(self->depth, self->was, sizeof(self->was)));
	ASSERT_EQ(0, p2p_write_file(self->depth, DEPTH));
	self->clock = syscall(__NR_perf_event_open, &attr, -1, 0, -1, 0);
	ASSERT_LE(0, self->clock);
	self->ring = mmap(NULL, sysconf(_SC_PAGESIZE) + RING,
			  PROT_READ | PROT_WRITE, MAP_SHARED, self->clock, 0);
	ASSERT_NE(MAP_FAILED, self->ring);
	self->room = mmap(NULL, 2 * PUD + PMD, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->room);
	self->room = (char *)(((uintptr_t)self->room + PMD - 1) & ~(PMD - 1));
}

FIXTURE_TEARDOWN(irqs_off)
{
	munmap(self->room, 2 * PUD);
	close(self->clock);
	EXPECT_EQ(0, p2p_write_file(self->depth, self->was));
	close(self->disk);
	close(self->fd);
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

/* The longest time between two events since the last call, in ns; 0 without two. */
static uint64_t longest_gap(struct perf_event_mmap_page *ring)
{
	const char *data = (char *)ring + sysconf(_SC_PAGESIZE);
	uint64_t head = __atomic_load_n(&ring->data_head, __ATOMIC_ACQUIRE);
	uint64_t last = 0, longest = 0, tail;
	struct {
		struct perf_event_header header;
		uint64_t time;
	} event;

	for (tail = ring->data_tail; tail < head; tail += event.header.size) {
		/* Records of 16 bytes never wrap around. */
		memcpy(&event, data + tail % RING, sizeof(event));
		if (event.header.type != PERF_RECORD_SAMPLE)
			continue;
		if (last && event.time - last > longest)
			longest = event.time - last;
		last = event.time;
	}
	__atomic_store_n(&ring->data_tail, head, __ATOMIC_RELEASE);
	return longest;
}

/* Ensures events before and after the measured code. */
static void run_for_a_while(void)
{
	struct timespec start, now;

	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((now.tv_sec - start.tv_sec) * 1000000000L +
		 now.tv_nsec - start.tv_nsec < 5 * (long)PERIOD);
}

#define EXPECT_SHORT(self, call)				\
	do {							\
		uint64_t gap;					\
								\
		run_for_a_while();				\
		longest_gap((self)->ring);			\
		run_for_a_while();				\
		call;						\
		run_for_a_while();				\
		gap = longest_gap((self)->ring);		\
		EXPECT_LT(0, gap);				\
		EXPECT_GT(LIMIT, gap);				\
	} while (0)

/* Includes pinning the memory, and releasing it on completion. */
static void read_all(struct __test_metadata *_metadata,
		     struct _test_data_irqs_off *self)
{
	EXPECT_SHORT(self, EXPECT_EQ((ssize_t)READ,
				     pread(self->disk, self->room, READ, 0)));
}

/* Many small buffers, one after the other: base pages. */
TEST_F(irqs_off, small_buffers)
{
	size_t i;

	for (i = 0; i < READ; i += SMALL)
		ASSERT_EQ(self->room + i,
			  mmap(self->room + i, SMALL, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_FIXED | MAP_POPULATE, self->fd, 0));
	read_all(_metadata, self);
}

/* One large buffer with a folio mapped by base pages. */
TEST_F(irqs_off, unaligned_mapping)
{
	struct p2p_test_pin pin = {
		.addr = (uintptr_t)self->room + SMALL,
		.len = PUD,
		.nr_extents = 4096,
	};
	int extents = open("/sys/kernel/debug/p2p_test_extents", O_RDWR);

	ASSERT_LE(0, extents);
	ASSERT_EQ(self->room + SMALL,
		  mmap(self->room + SMALL, PUD, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_FIXED | MAP_POPULATE, self->fd, 0));
	EXPECT_SHORT(self, EXPECT_EQ(0, ioctl(extents, P2P_TEST_EXTENTS, &pin)));
	EXPECT_LT(0, pin.result);
	self->room += SMALL;
	read_all(_metadata, self);
	self->room -= SMALL;
	close(extents);
}

TEST_HARNESS_MAIN
