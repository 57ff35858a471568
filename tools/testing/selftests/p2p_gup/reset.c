// SPDX-License-Identifier: GPL-2.0
/*
 * A provider is reset while its memory is mapped. Mappings stay valid; accesses
 * wait for the end of the reset.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define OUTAGE_DISK	"raw"

#include "outage.h"
#include "aio.h"
#include "bind.h"
#include "gup_call.h"
#include "mapped_drive.h"
#include "removal.h"
#include "stall.h"

#define NR_CHILDREN	5
#define NR_REQUESTS	4
#define STILL_USED	"resetting while peer-to-peer memory is still in use"
#define ROUNDS		5
#define SECTORS		(MIB / SECTOR)

/* No mapping is near: each half of the mapping gets its own page tables. */
#define MIDDLE		((char *)0x200040000000)
#define HALF		SMALL
#define HALF_PAGES	(HALF / (4 * KIB))

/* Shared by a test and its children. */
struct shared {
	int stop;
	int steps[NR_CHILDREN];
};

static const char *outage_prevented(const char *provider)
{
	return p2p_can_reset(provider) ? NULL :
	       "the device has no way to be reset";
}

static int outage(const char *provider)
{
	return p2p_reset(provider);
}

/* Entries are removed, so that accesses fault and wait. */
TEST_F(outage, entries_are_gone)
{
	p2p_store(self->small, 1);
	p2p_store(self->large, 1);
	ASSERT_EQ(0, outage(self->provider));
	EXPECT_FALSE(p2p_pagemap(self->small) & PAGEMAP_PRESENT);
	EXPECT_FALSE(p2p_pagemap(self->large) & PAGEMAP_PRESENT);
}

/* A word that no one else writes keeps its value, whatever happens. */
static int touch_step(struct _test_data_outage *self, int nr)
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

static int read_step(struct _test_data_outage *self, int nr)
{
	ssize_t ret = p2p_result(pread(self->disk, self->small, SMALL, 0));

	return ret != (self->works ? (ssize_t)SMALL : -EREMOTEIO);
}

static int map_step(struct _test_data_outage *self, int nr)
{
	char *mem = p2p_map(self->provider, SMALL);

	if (mem == MAP_FAILED)
		return 1;
	p2p_store(mem, 1);
	return munmap(mem, SMALL);
}

/* A caller that can't drop the mmap_lock gets -EFAULT during the reset. */
static int gup_step(struct _test_data_outage *self, int nr)
{
	int test = open(P2P_TEST_FILE, O_RDWR);
	long got;

	do {
		got = gup(test, P2P_TEST_GET, self->small, 1, FOLL_PCI_P2PDMA);
	} while (got == -EFAULT);
	close(test);
	return got != 1;
}

/* Other users get no error, and none accesses the device during the reset. */
TEST_F(outage, in_use)
{
	int (*const steps[NR_CHILDREN])(struct _test_data_outage *self, int nr) = {
		touch_step, touch_step, read_step, map_step, gup_step,
	};
	struct shared *shared = (struct shared *)self->shared;
	/* The last one needs the test's own file. */
	const int nr = NR_CHILDREN - !!access(P2P_TEST_FILE, W_OK);
	pid_t children[NR_CHILDREN];
	int i, seen, round, status;

	for (i = 0; i < nr; i++) {
		children[i] = outage_fork();
		ASSERT_LE(0, children[i]);
		if (children[i])
			continue;
		while (!__atomic_load_n(&shared->stop, __ATOMIC_ACQUIRE)) {
			status = steps[i](self, i);
			if (status)
				_exit(status);
			__atomic_add_fetch(&shared->steps[i], 1,
					   __ATOMIC_RELEASE);
		}
		_exit(0);
	}
	for (round = 0; round < ROUNDS; round++) {
		EXPECT_EQ(0, outage(self->provider));
		for (i = 0; i < nr; i++) {
			seen = __atomic_load_n(&shared->steps[i],
					       __ATOMIC_ACQUIRE);
			while (__atomic_load_n(&shared->steps[i],
					       __ATOMIC_ACQUIRE) == seen) {
				ASSERT_TRUE(still_runs(children[i]))
					TH_LOG("child %d failed", i);
				usleep(500);
			}
		}
	}
	__atomic_store_n(&shared->stop, 1, __ATOMIC_RELEASE);
	for (i = 0; i < nr; i++) {
		EXPECT_EQ(children[i], waitpid(children[i], &status, 0));
		EXPECT_EQ(0, status);
	}
}

/*
 * The reset starts when the transfers are done, or logs that it does not wait
 * any longer. It does not matter whether their memory is still mapped.
 */
static void transfer(struct __test_metadata *_metadata,
		     struct _test_data_outage *self, char *mem)
{
	ssize_t due = self->works ? (ssize_t)SMALL : -EREMOTEIO;
	int slow = open(p2p_disk("slow"), O_RDONLY | O_DIRECT);
	int klog = klog_open();
	struct io_event events[NR_REQUESTS];
	const struct timespec now = {};
	aio_context_t ctx = 0;
	int i, done;

	ASSERT_LE(0, slow);
	ASSERT_LE(0, klog);
	ASSERT_EQ(0, syscall(__NR_io_setup, NR_REQUESTS, &ctx));
	ASSERT_EQ(NR_REQUESTS, aio_submit(ctx, slow, IOCB_CMD_PREAD, mem, SMALL,
					  0, NR_REQUESTS));
	if (mem != self->large)
		ASSERT_EQ(0, munmap(mem, LARGE));
	ASSERT_EQ(0, outage(self->provider));
	done = syscall(__NR_io_getevents, ctx, 0, NR_REQUESTS, events, &now);
	if (done < NR_REQUESTS)
		EXPECT_TRUE(klog_wait(klog, STILL_USED));
	for (i = 0; i < done; i++)
		EXPECT_EQ(due, events[i].res);
	EXPECT_EQ(0, syscall(__NR_io_destroy, ctx));
	close(klog);
	close(slow);
}

TEST_F(outage, transfer_is_under_way)
{
	transfer(_metadata, self, self->large);
}

TEST_F(outage, transfer_of_what_was_unmapped)
{
	char *mem = p2p_map(self->provider, LARGE);

	ASSERT_NE(MAP_FAILED, mem);
	transfer(_metadata, self, mem);
}

/*
 * A held page delays the reset, but does not prevent it. Nor does a request in a
 * queue, which is refused if its turn comes during the reset, when its data would
 * be lost.
 */
TEST_F(outage, page_is_kept)
{
	int test = open(P2P_TEST_FILE, O_RDWR);
	int klog = klog_open(), mapped, status, reset_status;
	ssize_t due = self->works ? (ssize_t)SMALL : -EREMOTEIO;
	struct p2p_test_page page;
	pid_t reader, reset;

	if (test < 0)
		SKIP(return, "no " P2P_TEST_FILE ": CONFIG_TEST_P2P, debugfs?");
	ASSERT_LE(0, klog);
	mapped = mapped_create(p2p_disk(OUTAGE_DISK), SECTORS);
	ASSERT_LE(0, mapped) TH_LOG("%s", strerror(-mapped));
	EXPECT_EQ(due, p2p_result(pread(mapped, self->small, SMALL, 0)));
	p2p_fill(self->large, SMALL, 1, 0);
	ASSERT_EQ(0, mapped_suspend());
	reader = outage_fork();
	ASSERT_LE(0, reader);
	if (!reader)
		_exit(pread(mapped, self->large, SMALL, 0) < 0 ? errno : 0);
	EXPECT_TRUE(mapped_is_stuck(reader));
	ASSERT_EQ(1, gup_hold(test, P2P_TEST_PIN_FAST, self->large + MIB, 1,
			      FOLL_PCI_P2PDMA, &page));

	reset = outage_fork();
	ASSERT_LE(0, reset);
	if (!reset)
		_exit(outage(self->provider));
	EXPECT_TRUE(klog_wait(klog, STILL_USED));
	EXPECT_EQ(0, mapped_resume());
	EXPECT_EQ(reader, waitpid(reader, &status, 0));
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(reset, waitpid(reset, &reset_status, 0));
	EXPECT_EQ(0, reset_status);
	/* The reset may be over before the request is mapped for DMA. */
	if (WEXITSTATUS(status) != EREMOTEIO) {
		EXPECT_EQ(0, WEXITSTATUS(status));
		EXPECT_TRUE(self->works);
		EXPECT_EQ(-1, p2p_unlike(self->large, self->small, SMALL));
	}

	EXPECT_EQ(2, gup_count(test, page.pfn));
	EXPECT_EQ(0, gup_put(test));
	EXPECT_EQ(0, p2p_fault_of(self->large, true));
	close(mapped);
	EXPECT_EQ(0, mapped_remove());
	close(klog);
	close(test);
}

/* Of a child. Its ring is set up, with page tables, before the stall. */
static aio_context_t aio;

/*
 * A reset starts after the pages of one half of a mapping were taken, and
 * before the other half is faulted in. The reset waits for the held pages, so
 * their holder must not wait for the reset. use() has to return @due.
 */
static void hold_one_half(struct __test_metadata *_metadata,
			  struct _test_data_outage *self, const char *what,
			  long (*use)(struct _test_data_outage *self, int test,
				      char *mem, const struct form *form),
			  const struct form *form, long due)
{
	int stall = stall_open(), fd = p2p_open(self->provider, O_RDWR);
	int klog = klog_open();
	char *mem = mmap(MIDDLE - HALF, 2 * HALF, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);
	int test = open(P2P_TEST_FILE, O_RDWR);
	pid_t child, reset;
	int status;

	if (stall < 0 || test < 0)
		SKIP(return, "no " P2P_STALL_FILE
		     ": CONFIG_TEST_P2P, CONFIG_TRACEPOINTS, debugfs?");
	if (!stall_cpu(1))
		SKIP(return, "needs two CPUs");
	ASSERT_LE(0, klog);
	ASSERT_EQ(MIDDLE - HALF, mem);
	p2p_store(self->large, 1);
	child = outage_fork();
	ASSERT_LE(0, child);
	if (!child) {
		if (!stall_cpu(0) || p2p_fault_of(mem, true) ||
		    syscall(__NR_io_setup, 1, &aio) ||
		    stall_at_page_table(stall, 0))
			_exit(2);
		_exit(use(self, test, mem, form) != due);
	}

	ASSERT_TRUE(stall_wait(stall));
	reset = outage_fork();
	ASSERT_LE(0, reset);
	if (!reset)
		_exit(outage(self->provider));
	while (p2p_pagemap(self->large) & PAGEMAP_PRESENT)
		usleep(500);
	EXPECT_TRUE(stall_end(stall)) TH_LOG("%s", what);
	EXPECT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status) TH_LOG("%s", what);
	EXPECT_EQ(reset, waitpid(reset, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_FALSE(klog_said(klog, STILL_USED, "")) TH_LOG("%s", what);
	EXPECT_EQ(0, munmap(mem, 2 * HALF));
	close(test);
	close(klog);
	close(fd);
	close(stall);
}

/* The call returns the pages of one half, and puts them. */
static long use_gup(struct _test_data_outage *self, int test, char *mem,
		    const struct form *form)
{
	return gup(test, form->nr, mem, 2 * HALF_PAGES, FOLL_PCI_P2PDMA);
}

TEST_F(outage, half_of_a_walk)
{
	const struct form *form;

	for_each_form(form)
		if (!form->only)
			hold_one_half(_metadata, self, form->name, use_gup,
				      form, HALF_PAGES);
}

static long use_extents(struct _test_data_outage *self, int test, char *mem,
			const struct form *form)
{
	struct p2p_test_pin pin = {
		.addr = (uintptr_t)mem,
		.len = 2 * HALF,
		.nr_extents = 2 * HALF_PAGES,
	};
	int fd = open("/sys/kernel/debug/p2p_test_extents", O_RDWR);

	return ioctl(fd, P2P_TEST_EXTENTS, &pin) ? -1 : pin.result;
}

TEST_F(outage, half_of_the_extents)
{
	hold_one_half(_metadata, self, "extents", use_extents, NULL, HALF_PAGES);
}

/* The other half waits in a separate request. */
static long use_read(struct _test_data_outage *self, int test, char *mem,
		     const struct form *form)
{
	return p2p_result(pread(self->disk, mem, 2 * HALF, 0));
}

TEST_F(outage, half_of_a_read)
{
	hold_one_half(_metadata, self, "read", use_read, NULL,
		      self->works ? (long)(2 * HALF) : -EREMOTEIO);
}

static long use_write(struct _test_data_outage *self, int test, char *mem,
		      const struct form *form)
{
	return p2p_result(pwrite(self->disk, mem, 2 * HALF, MIB));
}

TEST_F(outage, half_of_a_write)
{
	hold_one_half(_metadata, self, "write", use_write, NULL,
		      self->works ? (long)(2 * HALF) : -EREMOTEIO);
}

/* An asynchronous read, all of which has to be submitted. */
static long use_aio(struct _test_data_outage *self, int test, char *mem,
		    const struct form *form)
{
	struct io_event event;

	if (aio_submit(aio, self->disk, IOCB_CMD_PREAD, mem, 2 * HALF, 0, 1) != 1 ||
	    syscall(__NR_io_getevents, aio, 1, 1, &event, NULL) != 1)
		return -1;
	return event.res;
}

TEST_F(outage, half_of_an_async_read)
{
	hold_one_half(_metadata, self, "aio", use_aio, NULL,
		      self->works ? (long)(2 * HALF) : -EREMOTEIO);
}

TEST_HARNESS_MAIN
