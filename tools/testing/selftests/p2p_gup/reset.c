// SPDX-License-Identifier: GPL-2.0
/*
 * A provider is reset while its memory is mapped. Mappings stay what they are;
 * whoever uses one meanwhile waits.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "variants.h"
#include "aio.h"
#include "gup_call.h"
#include "removal.h"

#define SMALL		(64 * KIB)
#define LARGE		(4 * MIB)
#define NR_CHILDREN	4
#define NR_REQUESTS	4
#define STILL_USED	"is reset, although transfers or drivers still use"
#define ROUNDS		5

FIXTURE(reset)
{
	const char *provider;
	long long before;
	bool works;
	int disk;
	int klog;
	char reset[P2P_PATH_LEN];
	char *small, *large;
	struct shared {
		int stop;
		int steps[NR_CHILDREN];
	} *shared;
};

P2P_VARIANTS(reset, NULL, "raw", NULL);

FIXTURE_SETUP(reset)
{
	self->provider = variant->p2p.provider;
	self->works = p2p_reaches(variant->p2p.disk, self->provider);
	self->before = p2p_available(self->provider);
	self->disk = open(p2p_disk(variant->p2p.disk), O_RDONLY | O_DIRECT);
	ASSERT_LE(0, self->disk);
	self->shared = mmap(NULL, sizeof(*self->shared), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->shared);
	self->small = p2p_map(self->provider, SMALL);
	ASSERT_NE(MAP_FAILED, self->small);
	self->large = p2p_map(self->provider, LARGE);
	ASSERT_NE(MAP_FAILED, self->large);
	self->klog = klog_open();
	ASSERT_LE(0, self->klog);
	p2p_path(self->reset, self->provider, "reset");
	if (access(self->reset, W_OK))
		SKIP(p2p_skip_now(), "the device has no way to be reset");
}

FIXTURE_TEARDOWN(reset)
{
	EXPECT_EQ(0, munmap(self->small, SMALL));
	EXPECT_EQ(0, munmap(self->large, LARGE));
	close(self->klog);
	close(self->disk);
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

/* The entries go, and come back by a fault, to the same memory. */
TEST_F(reset, mapping_survives)
{
	uint64_t pfn[2];

	p2p_fill(self->small, SMALL, 1, 0);
	p2p_fill(self->large, LARGE, 2, 0);
	pfn[0] = PAGEMAP_PFN(p2p_pagemap(self->small));
	pfn[1] = PAGEMAP_PFN(p2p_pagemap(self->large));
	ASSERT_EQ(0, p2p_write_file(self->reset, "1"));
	EXPECT_FALSE(p2p_pagemap(self->small) & PAGEMAP_PRESENT);
	EXPECT_FALSE(p2p_pagemap(self->large) & PAGEMAP_PRESENT);

	/* The memory of QEMU's devices survives a reset, so that can be seen. */
	EXPECT_EQ(-1, p2p_differs(self->small, SMALL, 1, 0));
	EXPECT_EQ(-1, p2p_differs(self->large, LARGE, 2, 0));
	EXPECT_EQ(pfn[0], PAGEMAP_PFN(p2p_pagemap(self->small)));
	EXPECT_EQ(pfn[1], PAGEMAP_PFN(p2p_pagemap(self->large)));
	EXPECT_EQ(self->before - (long long)(SMALL + LARGE),
		  p2p_available(self->provider));
	EXPECT_EQ(self->works ? (ssize_t)SMALL : -EREMOTEIO,
		  p2p_result(pread(self->disk, self->large, SMALL, 0)));
}

/* A word that nobody else writes keeps its value, whatever happens. */
static int touch_step(struct _test_data_reset *self, int nr)
{
	uint64_t *word = (uint64_t *)(self->large + nr * 2 * MIB) + 1;
	int i;

	for (i = 1; i <= 1000; i++) {
		p2p_store(word, i);
		if (p2p_load(word) != i)
			return 1;
	}
	return 0;
}

static int read_step(struct _test_data_reset *self, int nr)
{
	ssize_t ret = p2p_result(pread(self->disk, self->small, SMALL, 0));

	return ret != (self->works ? (ssize_t)SMALL : -EREMOTEIO);
}

static int map_step(struct _test_data_reset *self, int nr)
{
	char *mem = p2p_map(self->provider, SMALL);

	if (mem == MAP_FAILED)
		return 1;
	p2p_store(mem, 1);
	return munmap(mem, SMALL);
}

/* Nobody gets an error, and nobody sees the device while it can't be reached. */
TEST_F(reset, in_use)
{
	int (*const steps[NR_CHILDREN])(struct _test_data_reset *self, int nr) = {
		touch_step, touch_step, read_step, map_step,
	};
	pid_t children[NR_CHILDREN];
	int i, seen, round, status;

	for (i = 0; i < NR_CHILDREN; i++) {
		children[i] = fork();
		ASSERT_LE(0, children[i]);
		if (children[i])
			continue;
		while (!__atomic_load_n(&self->shared->stop, __ATOMIC_ACQUIRE)) {
			status = steps[i](self, i);
			if (status)
				_exit(status);
			__atomic_add_fetch(&self->shared->steps[i], 1,
					   __ATOMIC_RELEASE);
		}
		_exit(0);
	}
	for (round = 0; round < ROUNDS; round++) {
		EXPECT_EQ(0, p2p_write_file(self->reset, "1"));
		for (i = 0; i < NR_CHILDREN; i++) {
			seen = __atomic_load_n(&self->shared->steps[i],
					       __ATOMIC_ACQUIRE);
			while (__atomic_load_n(&self->shared->steps[i],
					       __ATOMIC_ACQUIRE) == seen) {
				ASSERT_TRUE(still_runs(children[i]))
					TH_LOG("child %d failed", i);
				usleep(500);
			}
		}
	}
	__atomic_store_n(&self->shared->stop, 1, __ATOMIC_RELEASE);
	for (i = 0; i < NR_CHILDREN; i++) {
		EXPECT_EQ(children[i], waitpid(children[i], &status, 0));
		EXPECT_EQ(0, status);
	}
}

/* The reset begins when the transfers are done, or it says so. */
TEST_F(reset, transfer_is_under_way)
{
	ssize_t due = self->works ? (ssize_t)SMALL : -EREMOTEIO;
	int slow = open(p2p_disk("slow"), O_RDONLY | O_DIRECT);
	struct io_event events[NR_REQUESTS];
	const struct timespec now = {};
	aio_context_t ctx = 0;
	int i, done;

	ASSERT_LE(0, slow);
	ASSERT_EQ(0, syscall(__NR_io_setup, NR_REQUESTS, &ctx));
	ASSERT_EQ(NR_REQUESTS, aio_submit(ctx, slow, IOCB_CMD_PREAD, self->large,
					  SMALL, 0, NR_REQUESTS));
	ASSERT_EQ(0, p2p_write_file(self->reset, "1"));
	done = syscall(__NR_io_getevents, ctx, 0, NR_REQUESTS, events, &now);
	if (done < NR_REQUESTS)
		EXPECT_TRUE(klog_wait(self->klog, STILL_USED));
	for (i = 0; i < done; i++)
		EXPECT_EQ(due, events[i].res);
	EXPECT_EQ(0, syscall(__NR_io_destroy, ctx));
	close(slow);
}

/* Somebody keeps a page: that delays the reset, and does not prevent it. */
TEST_F(reset, page_is_kept)
{
	int test = open(P2P_TEST_FILE, O_RDWR);
	struct p2p_test_page page;

	if (test < 0)
		SKIP(return, "no " P2P_TEST_FILE ": CONFIG_TEST_P2P, debugfs?");
	ASSERT_EQ(1, gup_hold(test, P2P_TEST_PIN_FAST, self->large, 1,
			      FOLL_PCI_P2PDMA, &page));
	EXPECT_EQ(0, p2p_write_file(self->reset, "1"));
	EXPECT_TRUE(klog_wait(self->klog, STILL_USED));
	EXPECT_EQ(2, gup_count(test, page.pfn));
	EXPECT_EQ(0, gup_put(test));
	EXPECT_EQ(0, p2p_fault_of(self->large, true));
	close(test);
}

TEST_HARNESS_MAIN
