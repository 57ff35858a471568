// SPDX-License-Identifier: GPL-2.0
/*
 * get_user_pages() in all its forms while the mapping changes under it. A call
 * gets pages of the provider, or an expected error; reference count errors show
 * in the pool's counter at the end.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "variants.h"
#include "gup_call.h"

#define PAGES		16
#define NR_WALKERS	3
#define ROUNDS		60

FIXTURE(gup_race)
{
	P2P_FIXTURE;
	int sysfs;
	int stop;
	long got;		/* pages */
	long errors;		/* -EFAULT */
	long bad;		/* invalid results */
	long worst;		/* one such result */
};

P2P_VARIANTS(gup_race, NULL, NULL);

FIXTURE_SETUP(gup_race)
{
	ASSERT_TRUE(p2p_setup(&self->p2p, &variant->p2p, PAGES * sysconf(_SC_PAGESIZE)));
	self->sysfs = p2p_open(self->provider, O_RDWR);
	ASSERT_LE(0, self->sysfs);
	close(P2P_TEST_OPEN());
}

FIXTURE_TEARDOWN(gup_race)
{
	close(self->sysfs);
	p2p_release(&self->p2p);
	EXPECT_EQ(0, self->bad) TH_LOG("one returned %ld", self->worst);
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

static void count(long *counter, long n)
{
	__atomic_add_fetch(counter, n, __ATOMIC_RELAXED);
}

static void walk(struct _test_data_gup_race *race, int fd, const struct form *form)
{
	struct p2p_test_page pages[PAGES] = {};
	long i, got;

	got = gup_call(fd, form->nr, race->mem, PAGES, FOLL_PCI_P2PDMA, pages,
		       false, 0);
	if (got > PAGES || (got < 0 && got != -EFAULT)) {
		count(&race->bad, 1);
		race->worst = got;
	}
	if (got < 0)
		count(&race->errors, 1);
	for (i = 0; i < got; i++) {
		/* There may be RAM in between, see remap(). */
		if ((pages[i].is_p2p && pages[i].count < form->bias) ||
		    pages[i].is_p2p != p2p_pfn_in_bar(race->provider, pages[i].pfn))
			count(&race->bad, 1);
	}
	if (got > 0)
		count(&race->got, got);
}

static void *walker(void *arg)
{
	struct _test_data_gup_race *race = arg;
	const struct form *form;
	int fd = open(P2P_TEST_FILE, O_RDWR);

	if (fd < 0)
		count(&race->bad, 1);
	while (fd >= 0 && !__atomic_load_n(&race->stop, __ATOMIC_RELAXED))
		for_each_form(form)
			walk(race, fd, form);
	close(fd);
	return NULL;
}

/* Other threads walk while change() is called ROUNDS times. */
static bool race_with(struct _test_data_gup_race *race,
		      bool (*change)(struct _test_data_gup_race *race, int round))
{
	pthread_t threads[NR_WALKERS];
	bool ok = true;
	int i, nr;

	for (nr = 0; nr < NR_WALKERS; nr++) {
		if (pthread_create(&threads[nr], NULL, walker, race))
			break;
	}
	for (i = 0; ok && i < ROUNDS; i++)
		ok = change(race, i);
	/* The walks must have found pages at least once. */
	while (ok && !__atomic_load_n(&race->got, __ATOMIC_RELAXED) &&
	       !__atomic_load_n(&race->bad, __ATOMIC_RELAXED))
		ok = change(race, i++);
	__atomic_store_n(&race->stop, 1, __ATOMIC_RELAXED);
	while (nr--)
		pthread_join(threads[nr], NULL);
	return ok;
}

static bool dontneed(struct _test_data_gup_race *race, int round)
{
	p2p_load(race->mem + round % PAGES * race->page);
	return !madvise(race->mem, race->size, MADV_DONTNEED);
}

TEST_F(gup_race, zapped)
{
	EXPECT_TRUE(race_with(self, dontneed));
}

static bool protect(struct _test_data_gup_race *race, int round)
{
	static const int prots[] = {
		PROT_READ | PROT_WRITE, PROT_READ, PROT_NONE,
	};

	return !mprotect(race->mem, race->size, prots[round % 3]);
}

TEST_F(gup_race, protected)
{
	EXPECT_TRUE(race_with(self, protect));
	EXPECT_EQ(0, mprotect(self->mem, self->size, PROT_READ | PROT_WRITE));
}

/* Maps another buffer, RAM or nothing each time. */
static bool remap(struct _test_data_gup_race *race, int round)
{
	int prot = PROT_READ | PROT_WRITE;
	void *mem;

	switch (round % 3) {
	case 0:
		return !munmap(race->mem, race->size);
	case 1:
		mem = mmap(race->mem, race->size, prot,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		break;
	default:
		mem = mmap(race->mem, race->size, prot,
			   MAP_SHARED | MAP_FIXED | MAP_POPULATE, race->sysfs, 0);
	}
	return mem == race->mem;
}

TEST_F(gup_race, remapped)
{
	EXPECT_TRUE(race_with(self, remap));
}

static bool fork_and_exit(struct _test_data_gup_race *race, int round)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		p2p_store(race->mem + round % PAGES * race->page, round);
		_exit(0);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && !status;
}

TEST_F(gup_race, forked)
{
	EXPECT_TRUE(race_with(self, fork_and_exit));
}

/* The process ends while its threads are in the middle of a call. */
TEST_F(gup_race, exited)
{
	pthread_t thread;
	pid_t pid;
	int i, n;

	for (i = 0; i < ROUNDS / 6; i++) {
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			for (n = 0; n < NR_WALKERS; n++)
				pthread_create(&thread, NULL, walker, self);
			usleep(1000 * (i + 1));
			_exit(0);
		}
		ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	}
	EXPECT_EQ(1, p2p_fault_of(self->mem, true) == 0);
}

TEST_HARNESS_MAIN
