// SPDX-License-Identifier: GPL-2.0
/*
 * The driver of a provider is unbound, or its device reset, while its memory is
 * registered with an io_uring, and while requests use it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <lib/test_p2p_uapi.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gup_call.h"
#include "removal.h"
#include "uring_buf.h"
#include "variants.h"

#define SIZE		MIB
#define NR_REQUESTS	8
#define REQUEST		(64 * KIB)
#define SLOTS		3
#define NR_READERS	4
#define NR_SPINNERS	2

FIXTURE(uring_removal)
{
	P2P_FIXTURE;
	struct ring ring;
	int *shared;		/* with children */
};

/* Reads from the slow drive are still in flight during unbinding. */
P2P_VARIANTS(uring_removal, P2P_BAR_DRIVER, "slow", NULL);

/* Slot 0 has peer-to-peer memory, slot 1 RAM. */
FIXTURE_SETUP(uring_removal)
{
	ASSERT_TRUE(p2p_setup_io(&self->p2p, &variant->p2p, SIZE, O_RDONLY));
	self->shared = mmap(NULL, self->page, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->shared);
	ASSERT_TRUE(ring_init(&self->ring, 2 * NR_REQUESTS, 0));
	ASSERT_EQ(0, uring_register_empty(&self->ring, SLOTS));
	ASSERT_EQ(0, uring_update(&self->ring, 0, self->mem, SIZE, 0));
	ASSERT_EQ(0, uring_update(&self->ring, 1, self->ram, SIZE, 0));
}

FIXTURE_TEARDOWN(uring_removal)
{
	ring_exit(&self->ring);
	p2p_release(&self->p2p);
	EXPECT_BACK(self);
}

static int due(struct _test_data_uring_removal *self, size_t len)
{
	return self->works ? (int)len : -EREMOTEIO;
}

/* The slot stays revoked, and other slots still work. */
TEST_F(uring_removal, slot_stays)
{
	char *mem;

	EXPECT_EQ(due(self, REQUEST), uring_read(&self->ring, self->disk, 0, self->mem,
						 REQUEST, 0));
	ASSERT_EQ(0, p2p_unbind(self->provider));
	EXPECT_EQ(-EREMOTEIO, uring_read(&self->ring, self->disk, 0, self->mem,
					 REQUEST, 0));
	EXPECT_EQ(-EFAULT, uring_read(&self->ring, self->disk, 0, self->mem + SIZE,
				      REQUEST, 0));
	EXPECT_EQ(REQUEST, uring_read(&self->ring, self->disk, 1, self->ram, REQUEST, 0));
	EXPECT_EQ(-EFAULT, uring_update(&self->ring, 2, self->mem, SIZE, 0));

	/* It does not apply to new memory. */
	ASSERT_EQ(0, p2p_bind(self->provider));
	EXPECT_EQ(self->before, p2p_available(self->provider));
	mem = p2p_map(self->provider, SIZE);
	ASSERT_NE(MAP_FAILED, mem);
	p2p_fill(mem, SIZE, 1, 0);
	EXPECT_EQ(-EREMOTEIO, uring_read(&self->ring, self->disk, 0, self->mem,
					 REQUEST, 0));
	EXPECT_EQ(-1, p2p_differs(mem, SIZE, 1, 0));
	ASSERT_EQ(0, uring_update(&self->ring, 2, mem, SIZE, 0));
	EXPECT_EQ(due(self, REQUEST), uring_read(&self->ring, self->disk, 2, mem,
						 REQUEST, 0));
	ASSERT_EQ(0, uring_update(&self->ring, 0, mem, SIZE, 0));
	EXPECT_EQ(due(self, REQUEST), uring_read(&self->ring, self->disk, 0, mem,
						 REQUEST, 0));
	EXPECT_EQ(0, munmap(mem, SIZE));
	EXPECT_EQ(0, uring_unregister(&self->ring));
}

/*
 * Requests in flight complete as usual, later ones fail, and RAM is not
 * affected.
 */
TEST_F(uring_removal, requests_in_flight)
{
	struct io_uring_cqe cqe;
	struct io_uring_sqe sqe;
	int i;

	for (i = 0; i < NR_REQUESTS; i++) {
		sqe = uring_request(IORING_OP_READ_FIXED, self->disk, 0,
				    self->mem + i * REQUEST, REQUEST, i * REQUEST);
		sqe.user_data = i;
		ASSERT_EQ(0, ring_submit(&self->ring, &sqe));
	}
	sqe = uring_request(IORING_OP_READ_FIXED, self->disk, 1, self->ram, REQUEST, 0);
	sqe.user_data = NR_REQUESTS;
	ASSERT_EQ(0, ring_submit(&self->ring, &sqe));
	EXPECT_EQ(0, p2p_unbind(self->provider));
	sqe = uring_request(IORING_OP_READ_FIXED, self->disk, 0, self->mem, REQUEST, 0);
	sqe.user_data = NR_REQUESTS + 1;
	ASSERT_EQ(0, ring_submit(&self->ring, &sqe));
	for (i = 0; i < NR_REQUESTS + 2; i++) {
		ring_wait(&self->ring, &cqe);
		/* The request in RAM, and the one after unbinding. */
		if (cqe.user_data == NR_REQUESTS) {
			EXPECT_EQ(REQUEST, cqe.res);
		} else {
			EXPECT_EQ(cqe.user_data < NR_REQUESTS ? due(self, REQUEST) :
				  -EREMOTEIO, cqe.res);
		}
	}
}

/*
 * A request of another buffer does not end, and a buffer in peer-to-peer memory
 * is removed from its slot after that request has started. The ring keeps the
 * buffer until the request ends; unbinding does not wait for it.
 */
TEST_F(uring_removal, stuck_neighbour)
{
	struct io_uring_sqe sqe;
	struct io_uring_cqe cqe;
	int fds[2];

	ASSERT_EQ(0, pipe(fds));
	sqe = uring_request(IORING_OP_READ_FIXED, fds[0], 1, self->ram, REQUEST, -1);
	sqe.user_data = 1;
	ASSERT_EQ(0, ring_submit(&self->ring, &sqe));
	/* The next buffer can't be released before this one. */
	ASSERT_EQ(0, uring_update(&self->ring, 1, NULL, 0, 0));
	EXPECT_EQ(due(self, REQUEST), uring_read(&self->ring, self->disk, 0, self->mem,
						 REQUEST, 0));
	ASSERT_EQ(0, uring_update(&self->ring, 0, NULL, 0, 0));
	ASSERT_EQ(0, munmap(self->mem, SIZE));
	EXPECT_EQ(self->before - (long long)SIZE, p2p_available(self->provider));

	EXPECT_EQ(0, p2p_unbind(self->provider));
	EXPECT_EQ(0, p2p_bind(self->provider));
	EXPECT_EQ(self->before, p2p_available(self->provider));
	ASSERT_EQ(1, write(fds[1], "", 1));
	ring_wait(&self->ring, &cqe);
	EXPECT_EQ(1, cqe.user_data);
	EXPECT_EQ(1, cqe.res);
	close(fds[0]);
	close(fds[1]);
}

/* A request that is not issued yet holds no memory, and fails once issued. */
TEST_F(uring_removal, waiting_in_link)
{
	struct io_uring_sqe sqe[2];
	struct io_uring_cqe cqe[2];
	int fds[2];

	ASSERT_EQ(0, pipe(fds));
	sqe[0] = uring_request(IORING_OP_READ, fds[0], 0, self->ram, 1, -1);
	sqe[0].flags = IOSQE_IO_LINK;
	sqe[1] = uring_request(IORING_OP_READ_FIXED, self->disk, 0, self->mem, REQUEST,
			       0);
	ring_queue(&self->ring, &sqe[0]);
	ring_queue(&self->ring, &sqe[1]);
	ASSERT_EQ(2, ring_enter(&self->ring, 2));
	EXPECT_EQ(0, p2p_unbind(self->provider));
	ASSERT_EQ(1, write(fds[1], "", 1));
	ring_wait(&self->ring, &cqe[0]);
	EXPECT_EQ(1, cqe[0].res);
	ring_wait(&self->ring, &cqe[1]);
	EXPECT_EQ(-EREMOTEIO, cqe[1].res);
	close(fds[0]);
	close(fds[1]);
}

/* Reads from the slow drive, by read requests or, with @nvme, by commands. */
static void read_and_stop(struct _test_data_uring_removal *self,
			  const struct uring_nvme *nvme)
{
	struct ring ring;
	int i;

	if (!ring_init(&ring, NR_REQUESTS,
		       nvme ? IORING_SETUP_SQE128 | IORING_SETUP_CQE32 : 0) ||
	    uring_register(&ring, self->mem, SIZE))
		_exit(1);
	for (i = 0; i < NR_REQUESTS; i++) {
		char *mem = self->mem + i * REQUEST;
		struct io_uring_sqe sqe[2];

		if (nvme)
			uring_nvme_request(nvme, sqe, NVME_READ, mem, REQUEST,
					   i * REQUEST);
		else
			sqe[0] = uring_request(IORING_OP_READ_FIXED, self->disk, 0,
					       mem, REQUEST, i * REQUEST);
		if (ring_submit(&ring, sqe))
			_exit(2);
	}
	raise(SIGSTOP);
	_exit(0);
}

/* A stopped process neither completes its requests nor delays unbinding. */
static void check_stopped(struct __test_metadata *_metadata,
			  struct _test_data_uring_removal *self,
			  const struct uring_nvme *nvme)
{
	int status;
	pid_t child;

	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		read_and_stop(self, nvme);
	ASSERT_EQ(child, waitpid(child, &status, WUNTRACED));
	ASSERT_TRUE(WIFSTOPPED(status));
	EXPECT_EQ(0, p2p_unbind(self->provider));
	EXPECT_EQ(0, p2p_bind(self->provider));
	EXPECT_EQ(self->before, p2p_available(self->provider));
	EXPECT_EQ(0, kill(child, SIGCONT));
	EXPECT_EQ(0, p2p_wait(child));
}

TEST_F(uring_removal, stopped_process)
{
	check_stopped(_metadata, self, NULL);
}

/* The same with commands, whose buffers are unmapped in task context. */
TEST_F(uring_removal, stopped_process_with_commands)
{
	struct uring_nvme nvme;

	ASSERT_TRUE(uring_nvme_open(&nvme, p2p_disk("slow")));
	check_stopped(_metadata, self, &nvme);
	close(nvme.chr);
}

/*
 * Issue, unbind and bind all the time: each request gets its data, or a valid
 * error.
 */
TEST_F(uring_removal, again_and_again)
{
	int raw = open(p2p_disk("raw"), O_RDONLY | O_DIRECT), round, status;
	pid_t child;

	ASSERT_LE(0, raw);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		long served = 0;
		struct ring ring;
		char *mem;
		int ret;

		if (!ring_init(&ring, 2, 0) || uring_register_empty(&ring, 1))
			_exit(1);
		while (!__atomic_load_n(&self->shared[0], __ATOMIC_ACQUIRE)) {
			mem = p2p_map(self->provider, SIZE);
			if (mem == MAP_FAILED)
				continue;
			ret = uring_update(&ring, 0, mem, SIZE, 0);
			while (!ret) {
				ret = uring_read(&ring, raw, 0, mem, REQUEST, 0);
				if (ret == (int)REQUEST) {
					served++;
					ret = 0;
				}
				__atomic_store_n(&self->shared[1], served,
						 __ATOMIC_RELEASE);
			}
			munmap(mem, SIZE);
			if (ret != -EREMOTEIO && ret != -EFAULT && ret != -ENODEV &&
			    ret != -ENOMEM)
				_exit(2);
		}
		_exit(0);
	}
	for (round = 0; round < 20; round++) {
		int seen = __atomic_load_n(&self->shared[1], __ATOMIC_ACQUIRE);

		/* Waits for at least one successful read. */
		while (p2p_reaches("raw", self->provider) && still_runs(child) &&
		       __atomic_load_n(&self->shared[1], __ATOMIC_ACQUIRE) == seen)
			usleep(500);
		ASSERT_EQ(0, p2p_unbind(self->provider));
		ASSERT_EQ(0, p2p_bind(self->provider));
	}
	__atomic_store_n(&self->shared[0], 1, __ATOMIC_RELEASE);
	ASSERT_EQ(0, p2p_unbind(self->provider));
	EXPECT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
	close(raw);
}

/* Tickets survive a reset; using one waits for its end. */
TEST_F(uring_removal, reset)
{
	int raw = open(p2p_disk("raw"), O_RDONLY | O_DIRECT), round, seen;
	pid_t child;

	ASSERT_LE(0, raw);
	if (!p2p_can_reset(self->provider))
		SKIP(return, "the device has no way to be reset");
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		while (!__atomic_load_n(&self->shared[0], __ATOMIC_ACQUIRE)) {
			int ret = uring_read(&self->ring, raw, 0, self->mem, REQUEST, 0);

			if (ret != (p2p_reaches("raw", self->provider) ?
				    (int)REQUEST : -EREMOTEIO))
				_exit(1);
			__atomic_add_fetch(&self->shared[1], 1, __ATOMIC_RELEASE);
		}
		_exit(0);
	}
	for (round = 0; round < 5; round++) {
		EXPECT_EQ(0, p2p_reset(self->provider));
		seen = __atomic_load_n(&self->shared[1], __ATOMIC_ACQUIRE);
		while (still_runs(child) &&
		       __atomic_load_n(&self->shared[1], __ATOMIC_ACQUIRE) == seen)
			usleep(500);
	}
	__atomic_store_n(&self->shared[0], 1, __ATOMIC_RELEASE);
	EXPECT_EQ(0, p2p_wait(child));
	close(raw);
}

/*
 * A request submitted during a reset waits in a worker of the ring, not in the
 * submitting thread, which may have to complete the requests that the reset
 * waits for.
 */
TEST_F(uring_removal, submit_during_reset)
{
	struct io_uring_sqe sqe;
	int i, test = P2P_TEST_OPEN();
	struct io_uring_cqe cqe;
	pid_t child;

	if (!self->works)
		return;
	if (!p2p_can_reset(self->provider))
		SKIP(return, "the device has no way to be reset");
	/* The reset waits for this page for up to ten seconds. */
	ASSERT_EQ(1, gup_hold(test, P2P_TEST_PIN_FAST, self->mem, 1, FOLL_PCI_P2PDMA,
			      NULL));
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		_exit(p2p_reset(self->provider));
	usleep(500000);
	ASSERT_TRUE(still_runs(child));
	for (i = 0; i < 2; i++) {
		sqe = uring_request(IORING_OP_READ_FIXED, self->disk, 0, self->mem,
				    REQUEST, 0);
		sqe.user_data = i;
		/* Non-blocking, the second time. */
		sqe.rw_flags = i ? RWF_NOWAIT : 0;
		ASSERT_EQ(0, ring_submit(&self->ring, &sqe));
		EXPECT_TRUE(still_runs(child));
	}
	EXPECT_EQ(0, gup_put(test));
	for (i = 0; i < 2; i++) {
		ring_wait(&self->ring, &cqe);
		EXPECT_EQ(cqe.user_data ? -EAGAIN : (int)REQUEST, cqe.res);
	}
	EXPECT_EQ(0, p2p_wait(child));
	close(test);
}

/* Takes the CPU from tasks with SCHED_IDLE. */
static pid_t start_spinning(void)
{
	pid_t child = fork();

	while (!child)
		;
	return child;
}

/*
 * Tasks that wait for the end of a reset run so late that the next reset has
 * already begun.
 */
TEST_F(uring_removal, resets_in_a_row)
{
	const struct sched_param param = {};
	pid_t children[NR_READERS], spinners[NR_SPINNERS];
	int raw = open(p2p_disk("raw"), O_RDONLY | O_DIRECT), i, round;

	ASSERT_LE(0, raw);
	if (!self->works)
		return;
	if (!p2p_can_reset(self->provider))
		SKIP(return, "the device has no way to be reset");
	for (i = 0; i < NR_READERS; i++) {
		children[i] = fork();
		ASSERT_LE(0, children[i]);
		if (children[i])
			continue;
		if (sched_setscheduler(0, SCHED_IDLE, &param) ||
		    !ring_init(&self->ring, 2, 0) ||
		    uring_register(&self->ring, self->mem, SIZE))
			_exit(1);
		while (!__atomic_load_n(&self->shared[0], __ATOMIC_ACQUIRE))
			if (uring_read(&self->ring, raw, 0, self->mem, REQUEST, 0) !=
			    (int)REQUEST)
				_exit(2);
		_exit(0);
	}
	for (i = 0; i < NR_SPINNERS; i++) {
		spinners[i] = start_spinning();
		ASSERT_LT(0, spinners[i]);
	}
	for (round = 0; round < 10; round++)
		EXPECT_EQ(0, p2p_reset(self->provider));
	for (i = 0; i < NR_SPINNERS; i++) {
		kill(spinners[i], SIGKILL);
		waitpid(spinners[i], NULL, 0);
	}
	__atomic_store_n(&self->shared[0], 1, __ATOMIC_RELEASE);
	for (i = 0; i < NR_READERS; i++)
		EXPECT_EQ(0, p2p_wait(children[i]));
	close(raw);
}

TEST_HARNESS_MAIN
