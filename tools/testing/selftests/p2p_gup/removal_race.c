// SPDX-License-Identifier: GPL-2.0
/*
 * The driver of a provider is unbound while processes use its memory, each in
 * one way or in all ways. A process continues until its memory is gone, which
 * it must notice by the time unbinding has completed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "variants.h"
#include "gup_call.h"
#include "removal.h"

#define SIZE		(256 * KIB)
#define HUGE		(2 * MIB)
#define WHERE		(4 * MIB)
#define PAGES		16
#define ROUNDS		3

FIXTURE(removal_race)
{
	P2P_FIXTURE;		/* a mapping for each round */
	int fd;
	int test;
	char *data;		/* data of the drive at WHERE */
	char *huge;		/* HUGE, or NULL where none was asked for */
	char *room;		/* where to move it */
	struct shared {
		int unbound;
		int steps[];	/* of each child */
	} *shared;
};

/* Transfers of the slow drive are still in flight during unbinding. */
P2P_VARIANTS(removal_race, P2P_BAR_DRIVER, "slow", NULL);

/* Result of a step; all other values are errors. */
enum { GO_ON, GONE };

typedef int step(struct _test_data_removal_race *self);

static char *aligned_room(size_t size)
{
	char *room = mmap(NULL, 2 * size, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (room == MAP_FAILED)
		return NULL;
	return (char *)(((uintptr_t)room + size - 1) & ~(size - 1));
}

FIXTURE_SETUP(removal_race)
{
	ASSERT_TRUE(p2p_setup(&self->p2p, &variant->p2p, 0));
	ASSERT_TRUE(p2p_setup_drive(&self->p2p, &variant->p2p, O_RDWR));
	self->data = p2p_ram(SIZE);
	ASSERT_NE(MAP_FAILED, self->data);
	ASSERT_EQ(SIZE, pread(self->disk, self->data, SIZE, WHERE));
	self->shared = mmap(NULL, 4 * KIB, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->shared);
	self->room = aligned_room(HUGE);
	ASSERT_NE(NULL, self->room);
	self->test = P2P_TEST_OPEN();
}

FIXTURE_TEARDOWN(removal_race)
{
	close(self->test);
	p2p_release(&self->p2p);
	EXPECT_BACK(self);
}

static int transfer_result(struct _test_data_removal_race *self, ssize_t ret)
{
	/*
	 * -EREMOTEIO: the drive was busy until the pages were not reachable any
	 * more.
	 */
	if (ret == -EFAULT || (ret == -EREMOTEIO && self->works))
		return GONE;
	/* A short read: the memory was revoked while pages were collected. */
	if (self->works)
		return ret > 0 && ret <= SIZE && ret % SECTOR == 0 ? GO_ON : 10;
	return ret == -EREMOTEIO ? GO_ON : 11;
}

static int read_step(struct _test_data_removal_race *self)
{
	return transfer_result(self, p2p_result(pread(self->disk, self->mem,
						      SIZE, WHERE)));
}

/* The memory has the drive's data, so the write does not change the drive. */
static int write_step(struct _test_data_removal_race *self)
{
	return transfer_result(self, p2p_result(pwrite(self->disk, self->mem,
						       SIZE, WHERE)));
}

static int touch_step(struct _test_data_removal_race *self)
{
	size_t i;
	int sig;

	for (i = 0; i < SIZE; i += 4 * KIB) {
		sig = p2p_fault_of(self->mem + i, false);
		if (sig)
			return sig == SIGBUS ? GONE : 20;
	}
	return madvise(self->mem, SIZE, MADV_DONTNEED) ? 21 : GO_ON;
}

/*
 * Allocates again and again; finally the sysfs file is gone or returns ENODEV.
 */
static int map_step(struct _test_data_removal_race *self)
{
	int sig;
	char *mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			 self->fd, 0);

	if (mem == MAP_FAILED)
		return errno == ENODEV ? GONE : 30;
	sig = p2p_fault_of(mem, true);
	if (munmap(mem, SIZE) || (sig && sig != SIGBUS))
		return 31;
	return GO_ON;
}

/* All forms of get_user_pages(). */
static int gup_step(struct _test_data_removal_race *self)
{
	const struct form *form;
	bool gone = false;
	long ret;
	int fd;

	/* The file serves one caller at a time, and others may use theirs. */
	fd = open(P2P_TEST_FILE, O_RDWR);
	if (fd < 0)
		return 40;
	for_each_form(form) {
		ret = gup(fd, form->nr, self->mem, PAGES, FOLL_PCI_P2PDMA);
		if (ret > PAGES || (ret < 0 && ret != -EFAULT))
			return 41;
		gone |= ret == -EFAULT;
	}
	close(fd);
	return gone ? GONE : GO_ON;
}

/* Moves a huge page back and forth. */
static int move_step(struct _test_data_removal_race *self)
{
	char *to = self->room;
	int sig = p2p_fault_of(self->huge, false);

	if (sig)
		return sig == SIGBUS ? GONE : 50;
	if (mremap(self->huge, HUGE, HUGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) !=
	    to)
		return 51;
	self->room = self->huge;
	self->huge = to;
	return GO_ON;
}

/* A grandchild gets the same result as its parent. */
static int fork_step(struct _test_data_removal_race *self)
{
	pid_t child = fork();
	int status;

	if (!child)
		_exit(p2p_fault_of(self->mem, false));
	if (child < 0 || waitpid(child, &status, 0) != child ||
	    !WIFEXITED(status))
		return 60;
	if (WEXITSTATUS(status))
		return WEXITSTATUS(status) == SIGBUS ? GONE : 61;
	return GO_ON;
}

/* Runs until its memory is gone, and then returns 0. */
static int run_child(struct _test_data_removal_race *self, step *step, int *steps)
{
	bool unbound;
	int state;

	do {
		unbound = __atomic_load_n(&self->shared->unbound,
					  __ATOMIC_ACQUIRE);
		state = step(self);
		if (state == GO_ON && unbound)
			return 2;
		__atomic_add_fetch(steps, 1, __ATOMIC_RELEASE);
	} while (state == GO_ON);
	return state == GONE ? 0 : state;
}

/* Waits until the child has done @nr steps. Returns whether it is alive. */
static bool wait_steps(const int *steps, pid_t child, int nr)
{
	while (__atomic_load_n(steps, __ATOMIC_ACQUIRE) < nr) {
		if (!still_runs(child))
			return false;
		usleep(500);
	}
	return true;
}

static bool prepare(struct _test_data_removal_race *self, bool huge)
{
	size_t i;

	self->shared->unbound = 0;
	self->fd = p2p_open(self->provider, O_RDWR);
	self->mem = p2p_map(self->provider, SIZE);
	if (self->fd < 0 || self->mem == MAP_FAILED)
		return false;
	for (i = 0; i < SIZE; i += 8)
		p2p_store(self->mem + i, *(uint64_t *)(self->data + i));
	if (!huge)
		return true;
	self->huge = p2p_map(self->provider, HUGE);
	return self->huge != MAP_FAILED;
}

static void unbind_against(struct __test_metadata *_metadata,
			   struct _test_data_removal_race *self,
			   step *const *steps, int nr, bool huge)
{
	int round, i, status;
	pid_t child[8];

	for (round = 0; round < ROUNDS; round++) {
		ASSERT_TRUE(prepare(self, huge));
		for (i = 0; i < nr; i++) {
			self->shared->steps[i] = 0;
			child[i] = fork();
			ASSERT_LE(0, child[i]);
			if (!child[i])
				_exit(run_child(self, steps[i],
						&self->shared->steps[i]));
		}
		for (i = 0; i < nr; i++)
			ASSERT_TRUE(wait_steps(&self->shared->steps[i],
					       child[i], 1 + round));
		EXPECT_EQ(0, p2p_unbind(self->provider));
		__atomic_store_n(&self->shared->unbound, 1, __ATOMIC_RELEASE);
		for (i = 0; i < nr; i++) {
			EXPECT_EQ(child[i], waitpid(child[i], &status, 0));
			EXPECT_EQ(0, status) TH_LOG("child %d of round %d", i, round);
		}

		EXPECT_EQ(0, p2p_bind(self->provider));
		EXPECT_EQ(self->before, p2p_available(self->provider));
		/* The next round needs memory, and a file, of the new binding. */
		close(self->fd);
		EXPECT_EQ(0, munmap(self->mem, SIZE));
		if (huge)
			EXPECT_EQ(0, munmap(self->huge, HUGE));
	}
}

#define against(huge, ...)						\
	unbind_against(_metadata, self, (step *const[]){ __VA_ARGS__ },	\
		       ARRAY_SIZE(((step *const[]){ __VA_ARGS__ })), huge)

TEST_F(removal_race, reads)
{
	against(false, read_step);
}

TEST_F(removal_race, writes)
{
	against(false, write_step);
}

TEST_F(removal_race, faults)
{
	against(false, touch_step);
}

TEST_F(removal_race, mmap)
{
	against(false, map_step);
}

TEST_F(removal_race, gup)
{
	against(false, gup_step);
}

TEST_F(removal_race, mremap)
{
	against(true, move_step);
}

TEST_F(removal_race, fork)
{
	against(false, fork_step);
}

TEST_F(removal_race, all_at_once)
{
	against(true, read_step, write_step, touch_step, map_step, gup_step,
		move_step, fork_step);
}

TEST_HARNESS_MAIN
