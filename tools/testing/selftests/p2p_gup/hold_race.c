// SPDX-License-Identifier: GPL-2.0
/*
 * A provider is unbound and bound again, a thousand times, while processes hold
 * its memory, create, arm, use and end holds, fork, exec and exit. With
 * lockdep, which is some ten times slower, it is a hundred times.
 *
 * The provider offers only as much memory as needed, since the time of binding
 * grows with the number of pages.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <lib/test_p2p_uapi.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "variants.h"
#include "hold.h"
#include "removal.h"

#define SIZE		(64 * KIB)
#define MEMORY		(4 * MIB)
#define UNBINDS		1000
#define UNBINDS_LOCKDEP	100
#define RESETS		20
#define TIMEOUT		1500	/* seconds */
#define EXEC_VARIABLE	"P2P_HOLD_RACE_EXEC"

/* Runs after exec(), and only exits. */
static void __attribute__((constructor)) exec_child(void)
{
	if (getenv(EXEC_VARIABLE))
		_exit(0);
}

/* Result of a step; all other values are errors. */
enum { GO_ON, GONE };

FIXTURE(hold_race)
{
	P2P_FIXTURE;
	long long all;		/* of the memory, outside this test */
	struct shared {
		int stop;
		int steps[8];	/* completed by each child */
	} *shared;
};

P2P_VARIANTS(hold_race, P2P_BAR_DRIVER, NULL);

static int unbind_and_bind(const char *provider)
{
	return p2p_unbind(provider) ?: p2p_bind(provider);
}

FIXTURE_SETUP(hold_race)
{
	char size[32];

	close(HOLD_OPEN());
	self->all = p2p_number(variant->p2p.provider, "p2pmem/size");
	snprintf(size, sizeof(size), "%lu", MEMORY);
	ASSERT_EQ(0, p2p_write_file(P2P_BAR_PARAMETERS "size", size));
	ASSERT_EQ(0, unbind_and_bind(variant->p2p.provider));
	ASSERT_TRUE(p2p_setup(&self->p2p, &variant->p2p, 0));
	ASSERT_EQ(MEMORY, self->total);
	self->shared = mmap(NULL, sizeof(*self->shared), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->shared);
}

FIXTURE_TEARDOWN(hold_race)
{
	munmap(self->shared, sizeof(*self->shared));
	p2p_release(&self->p2p);
	EXPECT_BACK(self);
	EXPECT_EQ(0, p2p_write_file(P2P_BAR_PARAMETERS "size", "0"));
	EXPECT_EQ(0, unbind_and_bind(self->provider));
	EXPECT_EQ(self->all, p2p_number(self->provider, "p2pmem/size"));
}

static struct p2p_test_hold hold_arg(const char *mem, bool is_ticket)
{
	return (struct p2p_test_hold) {
		.addr = (uintptr_t)mem,
		.len = SIZE,
		.nr = 1,
		.ticket = is_ticket,
		.write = 1,
		.flags = P2P_TEST_HOLD_MMAP_LOCK,
	};
}

/* The outcome of a call that may fail because of unbinding. */
static int outcome(int error)
{
	if (!error)
		return GO_ON;
	return error == -ENODEV || error == -EFAULT ? GONE : 10;
}

/* Creates, arms and ends a lease. */
static int lease_step(int fd, char *mem)
{
	struct p2p_test_hold arg = hold_arg(mem, false);
	int ret = outcome(hold_call(fd, &arg));

	if (ret == GO_ON)
		ret = outcome(hold_arm(fd));
	return hold_put(fd) ? 11 : ret;
}

static int ticket_step(int fd, char *mem)
{
	struct p2p_test_hold arg = hold_arg(mem, true);
	int i, error, ret;

	arg.arm = 1;
	ret = outcome(hold_call(fd, &arg));
	for (i = 0; ret == GO_ON && i < 10; i++) {
		error = hold_use(fd);
		/* The provider is being reset. */
		if (error == -EAGAIN)
			error = hold_wait(fd) ?: -EAGAIN;
		if (error == -EAGAIN)
			continue;
		ret = outcome(error);
		if (ret == GO_ON && hold_unuse(fd))
			ret = 20;
	}
	return hold_put(fd) ? 21 : ret;
}

/* Keeps a lease until the provider revokes it. */
static int stay_step(int fd, char *mem)
{
	struct p2p_test_hold arg = hold_arg(mem, false);
	int ret;

	arg.arm = 1;
	ret = outcome(hold_call(fd, &arg));
	if (ret == GO_ON && hold_wait_revoked(fd))
		ret = GONE;
	return hold_put(fd) ? 31 : ret;
}

/* A child holds the memory, and exits with a use in progress. */
static int fork_step(int fd, char *mem)
{
	struct p2p_test_hold arg = hold_arg(mem, true);
	pid_t child = fork();
	int ret;

	if (child < 0)
		return 40;
	if (!child) {
		fd = open(P2P_HOLD_FILE, O_RDWR);
		arg.arm = 1;
		ret = outcome(hold_call(fd, &arg));
		if (ret == GO_ON)
			hold_use(fd);
		_exit(ret);
	}
	return p2p_wait(child);
}

/* exec() ends the mapping, and closes the file of the hold. */
static int exec_step(int fd, char *mem)
{
	struct p2p_test_hold arg = hold_arg(mem, false);
	pid_t child = fork();
	int ret;

	if (child < 0)
		return 50;
	if (!child) {
		fd = open(P2P_HOLD_FILE, O_RDWR | O_CLOEXEC);
		ret = outcome(hold_call(fd, &arg));
		if (ret != GO_ON)
			_exit(ret);
		setenv(EXEC_VARIABLE, "1", 1);
		execl("/proc/self/exe", "hold_race", NULL);
		_exit(51);
	}
	return p2p_wait(child);
}

typedef int step(int fd, char *mem);

/* Runs steps on one mapping until it is gone. Returns GONE or an error. */
static int use_mapping(struct _test_data_hold_race *self, step *step, int *steps)
{
	char *mem = p2p_map(self->provider, SIZE);
	int fd, ret = GO_ON;

	if (mem == MAP_FAILED) {
		usleep(200);
		return GONE;
	}
	fd = open(P2P_HOLD_FILE, O_RDWR);
	if (fd < 0)
		return 2;
	while (ret == GO_ON && !__atomic_load_n(&self->shared->stop, __ATOMIC_ACQUIRE)) {
		ret = step(fd, mem);
		if (ret == GO_ON)
			__atomic_add_fetch(steps, 1, __ATOMIC_RELEASE);
	}
	if (ret == GONE)
		__atomic_add_fetch(steps, 1, __ATOMIC_RELEASE);
	if (hold_look(fd).nr_wrong)
		ret = 3;
	if (close(fd) || munmap(mem, SIZE))
		ret = 4;
	return ret == GO_ON ? GONE : ret;
}

static void race(struct __test_metadata *_metadata, struct _test_data_hold_race *self,
		 int (*disturb)(const char *provider), int rounds)
{
	step *const steps[] = { lease_step, ticket_step, stay_step, fork_step, exec_step };
	const int nr = ARRAY_SIZE(steps);
	int i, ret, seen, round;
	pid_t children[nr];

	for (i = 0; i < nr; i++) {
		children[i] = fork();
		ASSERT_LE(0, children[i]);
		if (children[i])
			continue;
		do {
			ret = use_mapping(self, steps[i], &self->shared->steps[i]);
		} while (ret == GONE && !__atomic_load_n(&self->shared->stop,
							 __ATOMIC_ACQUIRE));
		_exit(ret == GONE ? 0 : ret);
	}
	for (round = 0; round < rounds; round++) {
		ASSERT_EQ(0, disturb(self->provider)) TH_LOG("round %d", round);
		for (i = 0; i < nr; i++)
			ASSERT_TRUE(still_runs(children[i]))
				TH_LOG("child %d ended in round %d", i, round);
		/*
		 * Each child in turn has made progress before the next round.
		 */
		i = round % nr;
		seen = __atomic_load_n(&self->shared->steps[i], __ATOMIC_ACQUIRE);
		while (i != 2 && still_runs(children[i]) &&
		       __atomic_load_n(&self->shared->steps[i], __ATOMIC_ACQUIRE) == seen)
			usleep(200);
	}
	__atomic_store_n(&self->shared->stop, 1, __ATOMIC_RELEASE);
	/* Ends the child that keeps a lease. */
	EXPECT_EQ(0, p2p_unbind(self->provider));
	for (i = 0; i < nr; i++) {
		EXPECT_EQ(0, p2p_wait(children[i])) TH_LOG("child %d", i);
		EXPECT_LT(0, self->shared->steps[i]) TH_LOG("child %d", i);
	}
	EXPECT_EQ(0, p2p_bind(self->provider));
}

TEST_F_TIMEOUT(hold_race, unbind, TIMEOUT)
{
	bool lockdep = !access("/proc/lockdep_stats", F_OK);

	race(_metadata, self, unbind_and_bind, lockdep ? UNBINDS_LOCKDEP : UNBINDS);
}

TEST_F_TIMEOUT(hold_race, reset, TIMEOUT)
{
	if (!p2p_can_reset(self->provider))
		SKIP(return, "the device has no way to be reset");
	race(_metadata, self, p2p_reset, RESETS);
}

TEST_HARNESS_MAIN
