// SPDX-License-Identifier: GPL-2.0
/*
 * A buffer is unmapped while a drive still writes to it: its memory must not be
 * handed to the next owner before the drive is done.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "aio.h"
#include "variants.h"

#define NR_REQUESTS	8
#define REQUEST		(64 * KIB)
#define SIZE		(NR_REQUESTS * REQUEST)
#define ROUNDS		2
/* A single command, so that the next one has to wait for all of it. */
#define USE_UP		(256 * KIB)

FIXTURE(aio)
{
	P2P_FIXTURE;
	ssize_t due;			/* result of a request */
	aio_context_t ctx;
};

/* A drive that takes a while for each round. */
P2P_VARIANTS(aio, NULL, "slow", NULL);

/*
 * A rate-limited drive completes the first transfer immediately, and delays the
 * next ones accordingly.
 */
static bool use_up_rate(int fd)
{
	char *ram = p2p_ram(USE_UP);
	bool done;

	if (ram == MAP_FAILED)
		return false;
	done = pread(fd, ram, USE_UP, 0) == USE_UP;
	munmap(ram, USE_UP);
	return done;
}

FIXTURE_SETUP(aio)
{
	ASSERT_TRUE(p2p_setup(&self->p2p, &variant->p2p, 0));
	ASSERT_TRUE(p2p_setup_drive(&self->p2p, &variant->p2p, O_RDONLY));
	self->due = self->works ? (ssize_t)REQUEST : -EREMOTEIO;
	ASSERT_EQ(0, syscall(__NR_io_setup, NR_REQUESTS, &self->ctx));
}

FIXTURE_TEARDOWN(aio)
{
	syscall(__NR_io_destroy, self->ctx);
	p2p_release(&self->p2p);
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

/* Returns how many reads into mem were submitted. */
static int submit_reads(struct _test_data_aio *self, char *mem)
{
	return aio_submit(self->ctx, self->disk, IOCB_CMD_PREAD, mem, REQUEST, 0,
			  NR_REQUESTS);
}

TEST_F(aio, munmap_in_flight)
{
	struct io_event events[NR_REQUESTS];
	int round, i, nr;
	char *mem, *next;

	for (round = 0; round < ROUNDS; round++) {
		mem = p2p_map(self->provider, SIZE);
		ASSERT_NE(MAP_FAILED, mem);
		p2p_set(mem, SIZE, 0);
		/* Keep the code from here to the check short. */
		ASSERT_TRUE(use_up_rate(self->disk));
		nr = submit_reads(self, mem);
		EXPECT_EQ(NR_REQUESTS, nr);
		ASSERT_EQ(0, munmap(mem, SIZE));
		/*
		 * The drive must still be busy, or the test would prove
		 * nothing.
		 */
		if (self->due > 0)
			EXPECT_GT(self->before, p2p_available(self->provider));

		/* The next owner, which may get part of the same memory. */
		next = p2p_map(self->provider, SIZE);
		ASSERT_NE(MAP_FAILED, next);
		p2p_fill(next, SIZE, 1, 0);

		ASSERT_EQ(nr, syscall(__NR_io_getevents, self->ctx, nr, nr,
				      events, NULL));
		for (i = 0; i < nr; i++)
			EXPECT_EQ(self->due, events[i].res);
		EXPECT_EQ(-1, p2p_differs(next, SIZE, 1, 0));
		ASSERT_EQ(0, munmap(next, SIZE));
		ASSERT_TRUE(p2p_settles(self->provider, self->before));
	}
}

/* The same when the process exits, or is killed, with I/O in flight. */
TEST_F(aio, exit_in_flight)
{
	int round, status;
	pid_t child;
	char *next;

	for (round = 0; round < ROUNDS; round++) {
		child = fork();
		ASSERT_LE(0, child);
		if (!child) {
			char *mem = p2p_map(self->provider, SIZE);

			/* An aio context is not inherited by fork(). */
			self->ctx = 0;
			if (mem == MAP_FAILED ||
			    syscall(__NR_io_setup, NR_REQUESTS, &self->ctx))
				_exit(1);
			if (submit_reads(self, mem) != NR_REQUESTS)
				_exit(2);
			if (round % 2)
				kill(getpid(), SIGKILL);
			_exit(0);
		}
		ASSERT_EQ(child, waitpid(child, &status, 0));
		EXPECT_EQ(round % 2 ? SIGKILL : 0, status);

		next = p2p_map(self->provider, SIZE);
		ASSERT_NE(MAP_FAILED, next);
		p2p_fill(next, SIZE, 2, 0);
		EXPECT_TRUE(p2p_settles(self->provider, self->before - SIZE));
		EXPECT_EQ(-1, p2p_differs(next, SIZE, 2, 0));
		ASSERT_EQ(0, munmap(next, SIZE));
	}
}

TEST_HARNESS_MAIN
