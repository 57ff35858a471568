// SPDX-License-Identifier: GPL-2.0
/*
 * The machine is suspended while peer-to-peer memory is mapped and in use:
 * mappings, data and transfers survive.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define OUTAGE_DISK	"slow"

#include "outage.h"
#include "aio.h"
#include "suspend.h"

#define NR_REQUESTS	8

static const char *outage_prevented(const char *provider)
{
	return can_sleep() ? NULL :
			     "no " PM_TEST ": CONFIG_SUSPEND, CONFIG_PM_DEBUG?";
}

static int outage(const char *provider)
{
	return sleep_once();
}

/* No transfer in flight is lost or misdirected. */
static void transfers(struct __test_metadata *_metadata,
		      struct _test_data_outage *self, bool write)
{
	ssize_t due = self->works ? (ssize_t)SMALL : -EREMOTEIO;
	const size_t all = NR_REQUESTS * SMALL;
	struct io_event events[NR_REQUESTS];
	const off_t where = MIB;
	const struct timespec now = {};
	aio_context_t ctx = 0;
	char *ram = p2p_ram(all);
	int i, done;

	ASSERT_NE(MAP_FAILED, ram);
	p2p_fill(ram, all, 3, 0);
	ASSERT_EQ(all, pwrite(self->disk, ram, all, where));
	p2p_fill(self->large, all, 4, 0);
	ASSERT_EQ(0, syscall(__NR_io_setup, NR_REQUESTS, &ctx));
	ASSERT_EQ(NR_REQUESTS, aio_submit(ctx, self->disk,
					  write ? IOCB_CMD_PWRITE :
						  IOCB_CMD_PREAD,
					  self->large, SMALL, where,
					  NR_REQUESTS));
	done = syscall(__NR_io_getevents, ctx, 0, NR_REQUESTS, events, &now);
	ASSERT_LE(0, done);
	if (self->works)
		EXPECT_GT(NR_REQUESTS, done);
	ASSERT_EQ(0, outage(self->provider));
	ASSERT_EQ(NR_REQUESTS - done,
		  syscall(__NR_io_getevents, ctx, NR_REQUESTS - done,
			  NR_REQUESTS - done, events + done, NULL));
	for (i = 0; i < NR_REQUESTS; i++)
		EXPECT_EQ(due, events[i].res);
	EXPECT_EQ(0, syscall(__NR_io_destroy, ctx));

	EXPECT_EQ(-1, p2p_differs(self->large, all,
				  self->works && !write ? 3 : 4, 0));
	ASSERT_EQ(all, pread(self->disk, ram, all, where));
	EXPECT_EQ(-1, p2p_differs(ram, all, self->works && write ? 4 : 3, 0));
	munmap(ram, all);
}

TEST_F(outage, reads_are_under_way)
{
	transfers(_metadata, self, false);
}

TEST_F(outage, writes_are_under_way)
{
	transfers(_metadata, self, true);
}

/* Suspend is transparent to a process that uses the memory all the time. */
TEST_F(outage, in_use)
{
	uint64_t *word = (uint64_t *)(self->large + 2 * MIB);
	int i, status, seen;
	pid_t child = outage_fork();

	ASSERT_LE(0, child);
	for (i = 0; !child; i++) {
		p2p_store(word, i);
		if (p2p_load(word) != (uint64_t)i)
			_exit(1);
		__atomic_store_n(self->shared, i, __ATOMIC_RELEASE);
	}
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, outage(self->provider));
		seen = __atomic_load_n(self->shared, __ATOMIC_ACQUIRE);
		while (__atomic_load_n(self->shared, __ATOMIC_ACQUIRE) == seen)
			ASSERT_EQ(0, waitpid(child, &status, WNOHANG));
	}
	EXPECT_EQ(0, kill(child, SIGKILL));
	EXPECT_EQ(child, waitpid(child, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
}

TEST_HARNESS_MAIN
