// SPDX-License-Identifier: GPL-2.0
/*
 * The sample driver samples/p2pdma/p2p-edu.c, see edu_fixture.h: a client that
 * releases pages as a driver should, whatever happens meanwhile: another copy,
 * a closed file, a driver unbound, a device removed, a signal, or a device that
 * does not answer.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "edu_fixture.h"

/* By then the device has completed its command, which takes 100 ms. */
#define LATE_US		300000

/* Waits until this many bytes are mapped; a transfer takes long enough. */
static bool is_under_way(struct _test_data_edu *self, struct edu_call *call,
			 long long bytes)
{
	while (mapped(self) < bytes)
		if (edu_is_done(call))
			return false;
	return !edu_is_done(call);
}

TEST_F(edu, two_threads)
{
	struct edu_call out, in;
	int round;

	for (round = 0; round < 3; round++) {
		fill(self->ram[SRC], self->bar[DST]);
		fill(self->bar[SRC], self->ram[DST]);
		ASSERT_TRUE(edu_start(&out, self->fd, self->ram[SRC],
				      self->bar[DST], 0));
		ASSERT_TRUE(edu_start(&in, self->fd, self->bar[SRC],
				      self->ram[DST], 0));
		ASSERT_EQ(0, pthread_join(out.thread, NULL));
		ASSERT_EQ(0, pthread_join(in.thread, NULL));
		EXPECT_EQ(LEN, out.ret);
		EXPECT_EQ(LEN, in.ret);
		EXPECT_TRUE(is_copied(self->ram[SRC], self->bar[DST], 0, 0, LEN));
		EXPECT_TRUE(is_copied(self->bar[SRC], self->ram[DST], 0, 0, LEN));
	}
}

/* Closing one file does not end the transfer of another. */
TEST_F(edu, close_in_flight)
{
	int other = open_edu(self->wide);
	struct edu_call call;

	ASSERT_LE(0, other);
	fill(self->bar[SRC], self->ram[DST]);
	ASSERT_TRUE(edu_start(&call, other, self->bar[SRC], self->ram[DST], 0));
	EXPECT_TRUE(is_under_way(self, &call, LEN));
	EXPECT_EQ(0, close(self->fd));
	self->fd = -1;
	ASSERT_EQ(0, pthread_join(call.thread, NULL));
	EXPECT_EQ(LEN, call.ret);
	EXPECT_TRUE(is_copied(self->bar[SRC], self->ram[DST], 0, 0, LEN));
	close(other);
}

/* The results of calls on a file whose device has lost its driver. */
static void expect_gone(struct __test_metadata *_metadata,
			struct _test_data_edu *self)
{
	int fd;

	EXPECT_EQ(-ENODEV, copy(self->fd, self->ram[SRC], self->ram[DST], LEN));
	fd = open_edu(self->wide);
	EXPECT_EQ(-1, fd);
	EXPECT_EQ(ENOENT, errno);
	/*
	 * Still not when the device is bound again, which works for new files.
	 */
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
	struct edu_call call;

	fill(self->bar[SRC], self->bar[DST]);
	ASSERT_TRUE(edu_start(&call, self->fd, self->bar[SRC], self->bar[DST], 0));
	EXPECT_TRUE(is_under_way(self, &call, 2 * LEN));
	EXPECT_EQ(0, p2p_driver_unbind(EDU, self->wide));
	ASSERT_EQ(0, pthread_join(call.thread, NULL));
	EXPECT_EQ(LEN, call.ret);
	EXPECT_TRUE(is_copied(self->bar[SRC], self->bar[DST], 0, 0, LEN));
	expect_gone(_metadata, self);
}

/* The driver is asked to bind to a device of another kind. */
TEST_F(edu, device_of_another_kind)
{
	char override[P2P_PATH_LEN];

	p2p_path(override, self->provider, "driver_override");
	ASSERT_EQ(0, p2p_unbind(self->provider));
	ASSERT_EQ(0, p2p_write_file(override, EDU));
	EXPECT_EQ(ENODEV, p2p_driver_bind(EDU, self->provider));
	EXPECT_FALSE(p2p_has_driver(self->provider, EDU));
	ASSERT_EQ(0, p2p_write_file(override, P2P_BAR_DRIVER));
	EXPECT_EQ(0, p2p_bind(self->provider));
}

TEST_F(edu, device_removed)
{
	char path[P2P_PATH_LEN];

	p2p_path(path, self->wide, "remove");
	ASSERT_EQ(0, p2p_write_file(path, "1"));
	EXPECT_EQ(-ENODEV, copy(self->fd, self->ram[SRC], self->ram[DST], LEN));
	ASSERT_EQ(0, p2p_write_file("/sys/bus/pci/rescan", "1"));
	/* The device binds by its ID. */
	EXPECT_TRUE(p2p_has_driver(self->wide, EDU));
	p2p_driver_unbind(EDU, self->wide);
	expect_gone(_metadata, self);
}

/* Unbinding waits for the transfer, after which the driver holds nothing. */
TEST_F(edu, provider_unbound_in_flight)
{
	struct edu_call call;

	fill(self->bar[SRC], self->ram[DST]);
	ASSERT_TRUE(edu_start(&call, self->fd, self->bar[SRC], self->ram[DST], 0));
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

/*
 * A call that waits for another call can be interrupted: it has copied nothing.
 */
TEST_F(edu, signal_while_waiting)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct edu_call first, second;

	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
	fill(self->bar[SRC], self->bar[DST]);
	ASSERT_TRUE(edu_start(&first, self->fd, self->bar[SRC], self->bar[DST], 0));
	ASSERT_TRUE(is_under_way(self, &first, 2 * LEN));
	ASSERT_TRUE(edu_start(&second, self->fd, self->ram[SRC], self->ram[DST], 0));
	usleep(50000);
	EXPECT_EQ(0, pthread_kill(second.thread, SIGUSR1));
	ASSERT_EQ(0, pthread_join(second.thread, NULL));
	EXPECT_EQ(-EINTR, second.ret);
	EXPECT_FALSE(__atomic_load_n(&first.done, __ATOMIC_ACQUIRE));
	ASSERT_EQ(0, pthread_join(first.thread, NULL));
	EXPECT_EQ(LEN, first.ret);

	/* It is restarted with SA_RESTART. */
	action.sa_flags = SA_RESTART;
	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
	fill(self->ram[SRC], self->ram[DST]);
	ASSERT_TRUE(edu_start(&first, self->fd, self->bar[SRC], self->bar[DST], 0));
	ASSERT_TRUE(is_under_way(self, &first, 4 * LEN));
	ASSERT_TRUE(edu_start(&second, self->fd, self->ram[SRC], self->ram[DST], 0));
	usleep(50000);
	EXPECT_EQ(0, pthread_kill(second.thread, SIGUSR1));
	ASSERT_EQ(0, pthread_join(second.thread, NULL));
	EXPECT_EQ(LEN, second.ret);
	EXPECT_TRUE(is_copied(self->ram[SRC], self->ram[DST], 0, 0, LEN));
	ASSERT_EQ(0, pthread_join(first.thread, NULL));
	EXPECT_EQ(LEN, first.ret);
}

/* A signal ends a call early; it returns how much was copied. */
TEST_F(edu, signal)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct edu_call call;

	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
	fill(self->bar[SRC], self->bar[DST]);
	ASSERT_TRUE(edu_start(&call, self->fd, self->bar[SRC], self->bar[DST], 0));
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
	struct edu_call call = { 0 };	/* in another process: never done here */
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
 * In the middle of a copy, sets a timeout shorter than a command that writes to
 * the destination takes. @then gets the destination after the call.
 */
static void run_late(struct __test_metadata *_metadata,
		     struct _test_data_edu *self, uint64_t *then)
{
	struct edu_call call;

	fill(self->bar[SRC], self->bar[DST]);
	ASSERT_TRUE(edu_start(&call, self->fd, self->bar[SRC], self->bar[DST], 0));
	/* The new timeout applies from the next command on. */
	EXPECT_TRUE(is_under_way(self, &call, 2 * LEN));
	ASSERT_EQ(0, p2p_write_file(PARAMETERS "timeout_ms", "10"));
	ASSERT_EQ(0, pthread_join(call.thread, NULL));
	snapshot(then, self->bar[DST], SIZE);
	EXPECT_EQ(-ETIMEDOUT, call.ret);
	ASSERT_EQ(0, p2p_write_file(PARAMETERS "timeout_ms", "2000"));
}

/* The device is stopped before its memory is released: no late writes. */
TEST_F(edu, time_out)
{
	static uint64_t then[SIZE / 8];

	run_late(_metadata, self, then);
	EXPECT_EQ(-EIO, copy(self->fd, self->bar[SRC], self->bar[DST], LEN));
	usleep(LATE_US);
	EXPECT_EQ(-1, p2p_unlike(then, self->bar[DST], SIZE));
	EXPECT_EQ(-EIO, copy(self->fd, self->bar[SRC], self->bar[DST], LEN));
}

/* Nor when the driver is bound again while the device is still busy. */
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

TEST_HARNESS_MAIN
