// SPDX-License-Identifier: GPL-2.0
/*
 * Faults, mmap() and munmap(), fork() and O_DIRECT, all at once. Each test does
 * a fixed number of rounds; errors show in the data, and in the pool's counter
 * at the end.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "klog.h"
#include "variants.h"

#define NR_THREADS	4
#define SIZE		(256 * KIB)
#define FAULT_ROUNDS	30
#define FORK_ROUNDS	20
#define ROUNDS		100

FIXTURE(race)
{
	P2P_FIXTURE;
	pthread_barrier_t barrier;
	int stop;
	long bad;		/* invalid results */
	long good;		/* successful transfers */
};

P2P_VARIANTS(race, NULL, "raw", NULL);

struct worker {
	struct _test_data_race *race;
	pthread_t thread;
	int nr;
};

FIXTURE_SETUP(race)
{
	ASSERT_TRUE(p2p_setup_io(&self->p2p, &variant->p2p, SIZE, O_RDONLY));
	ASSERT_EQ(SIZE, pread(self->disk, self->ram, SIZE, 0));
	ASSERT_EQ(0, pthread_barrier_init(&self->barrier, NULL, NR_THREADS));
}

FIXTURE_TEARDOWN(race)
{
	p2p_release(&self->p2p);
	EXPECT_EQ(0, self->bad);
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

static void count(long *counter)
{
	__atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

static bool start(struct worker *worker, struct _test_data_race *race, int nr,
		  void *(*work)(void *))
{
	worker->race = race;
	worker->nr = nr;
	return !pthread_create(&worker->thread, NULL, work, worker);
}

static void stop_and_join(struct worker *worker)
{
	__atomic_store_n(&worker->race->stop, 1, __ATOMIC_RELEASE);
	pthread_join(worker->thread, NULL);
}

/* Threads touch the same new pages at the same time. */
static void *touch_same_pages(void *data)
{
	struct worker *worker = data;
	struct _test_data_race *race = worker->race;
	uint64_t *word;
	int round;
	size_t i;

	for (round = 1; round <= FAULT_ROUNDS; round++) {
		pthread_barrier_wait(&race->barrier);
		for (i = 0; i < SIZE; i += race->page) {
			word = (uint64_t *)(race->mem + i) + worker->nr;
			/* Half of the threads fault by loads. */
			if (worker->nr % 2 && p2p_load(word) != round - 1)
				count(&race->bad);
			p2p_store(word, round);
		}
		pthread_barrier_wait(&race->barrier);
		for (i = 0; i < SIZE; i += race->page) {
			word = (uint64_t *)(race->mem + i) + worker->nr;
			if (p2p_load(word) != round)
				count(&race->bad);
		}
		/* One thread zaps the entries for the next round. */
		if (pthread_barrier_wait(&race->barrier) ==
		    PTHREAD_BARRIER_SERIAL_THREAD &&
		    madvise(race->mem, SIZE, MADV_DONTNEED))
			count(&race->bad);
	}
	return NULL;
}

TEST_F(race, fault_against_fault)
{
	struct worker worker[NR_THREADS];
	int i;

	p2p_set(self->mem, SIZE, 0);
	ASSERT_EQ(0, madvise(self->mem, SIZE, MADV_DONTNEED));
	for (i = 0; i < NR_THREADS; i++)
		ASSERT_TRUE(start(&worker[i], self, i, touch_same_pages));
	for (i = 0; i < NR_THREADS; i++)
		pthread_join(worker[i].thread, NULL);
}

/* Reads the drive into the buffer, which must always be mapped. */
static void *read_always(void *data)
{
	struct _test_data_race *race = ((struct worker *)data)->race;
	ssize_t ret;

	while (!__atomic_load_n(&race->stop, __ATOMIC_ACQUIRE)) {
		ret = pread(race->disk, race->mem, SIZE, 0);
		if (race->works ? ret != SIZE : ret != -1 || errno != EREMOTEIO)
			count(&race->bad);
		if (race->works && p2p_unlike(race->mem, race->ram, SIZE) != -1)
			count(&race->bad);
		count(&race->good);
	}
	return NULL;
}

/* The same, but the buffer may be unmapped, in part or as a whole. */
static void *read_perhaps(void *data)
{
	struct _test_data_race *race = ((struct worker *)data)->race;
	ssize_t ret;

	while (!__atomic_load_n(&race->stop, __ATOMIC_ACQUIRE)) {
		ret = pread(race->disk, race->mem, SIZE, 0);
		if (ret < 0 && errno != EFAULT &&
		    (race->works || errno != EREMOTEIO))
			count(&race->bad);
		if (ret > 0 && !race->works)
			count(&race->bad);
		if (race->works ? ret == SIZE : errno == EREMOTEIO)
			count(&race->good);
	}
	return NULL;
}

TEST_F(race, zap_against_io)
{
	struct worker reader;
	int i;

	ASSERT_TRUE(start(&reader, self, 0, read_always));
	for (i = 0; i < ROUNDS || !__atomic_load_n(&self->good, __ATOMIC_RELAXED);
	     i++)
		if (madvise(self->mem + i % 4 * (SIZE / 4), SIZE / 4,
			    MADV_DONTNEED))
			count(&self->bad);
	stop_and_join(&reader);
}

TEST_F(race, fork_against_io)
{
	struct worker reader;
	int i, status;
	pid_t child;

	ASSERT_TRUE(start(&reader, self, 0, read_always));
	for (i = 0; i < FORK_ROUNDS || !__atomic_load_n(&self->good, __ATOMIC_RELAXED);
	     i++) {
		child = fork();
		ASSERT_LE(0, child);
		if (!child) {
			/* The child's page tables are empty: it faults, too. */
			p2p_load(self->mem + SIZE / 2);
			munmap(self->mem, i % 2 ? SIZE : SIZE / 2);
			_exit(0);
		}
		EXPECT_EQ(child, waitpid(child, &status, 0));
		EXPECT_EQ(0, status);
	}
	stop_and_join(&reader);
}

TEST_F(race, munmap_against_io)
{
	struct worker reader;
	int i, fd = p2p_open(self->provider, O_RDWR);
	char *mem;

	ASSERT_LE(0, fd);
	ASSERT_TRUE(start(&reader, self, 0, read_perhaps));
	for (i = 0; i < ROUNDS; i++) {
		/* Maps over the old buffer, to keep the address reserved. */
		mem = mmap(self->mem, SIZE, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_FIXED | (i % 2 ? MAP_POPULATE : 0),
			   fd, 0);
		ASSERT_EQ(self->mem, mem);
		if (i % 3 == 0)
			sched_yield();
		if (i % 3 == 1)
			usleep(500);
		ASSERT_EQ(self->mem, mmap(self->mem, SIZE / 2, PROT_NONE,
					  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
					  -1, 0));
	}
	/* At the end, let one read find a whole buffer. */
	ASSERT_EQ(self->mem, mmap(self->mem, SIZE, PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_FIXED, fd, 0));
	while (!__atomic_load_n(&self->good, __ATOMIC_RELAXED))
		usleep(1000);
	stop_and_join(&reader);
	close(fd);
}

TEST_F(race, mprotect_against_io)
{
	struct worker reader;
	int i, prot;

	ASSERT_TRUE(start(&reader, self, 0, read_perhaps));
	for (i = 0; i < ROUNDS || !__atomic_load_n(&self->good, __ATOMIC_RELAXED);
	     i++) {
		/* A drive can't read into memory that is not writable. */
		prot = i % 2 ? PROT_READ | PROT_WRITE : PROT_READ;
		if (mprotect(self->mem + i / 2 % 4 * (SIZE / 4), SIZE / 4, prot))
			count(&self->bad);
		if (prot & PROT_WRITE)
			usleep(1000);
	}
	stop_and_join(&reader);
	EXPECT_EQ(0, mprotect(self->mem, SIZE, PROT_READ | PROT_WRITE));
}

TEST_F(race, mremap_against_io)
{
	char *here = self->mem, *there, *from, *to;
	struct worker reader;
	int i;

	there = mmap(NULL, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, there);
	ASSERT_TRUE(start(&reader, self, 0, read_perhaps));
	/* Moves the buffer away and back; it ends where it began. */
	for (i = 0; i < 2 * ROUNDS ||
	     !__atomic_load_n(&self->good, __ATOMIC_RELAXED) || i % 2; i++) {
		from = i % 2 ? there : here;
		to = i % 2 ? here : there;
		ASSERT_EQ(to, mremap(from, SIZE, SIZE,
				     MREMAP_MAYMOVE | MREMAP_FIXED, to));
		if (to == here)
			usleep(500);
	}
	stop_and_join(&reader);
	EXPECT_EQ(0, p2p_fault_of(self->mem, false));
}

/* The process ends while its thread has a transfer under way. */
TEST_F(race, exit_against_io)
{
	struct worker reader;
	int i, status;
	pid_t child;

	for (i = 0; i < FORK_ROUNDS; i++) {
		child = fork();
		ASSERT_LE(0, child);
		if (!child) {
			if (munmap(self->mem, SIZE))
				_exit(1);
			self->mem = p2p_map(self->provider, SIZE);
			if (self->mem == MAP_FAILED ||
			    !start(&reader, self, 0, read_always))
				_exit(2);
			while (!__atomic_load_n(&self->good, __ATOMIC_RELAXED))
				sched_yield();
			usleep(i * 100);
			_exit(self->bad ? 3 : 0);
		}
		ASSERT_EQ(child, waitpid(child, &status, 0));
		EXPECT_EQ(0, status);
		EXPECT_TRUE(p2p_settles(self->provider, self->before - SIZE));
	}
}

/* All threads allocate and free, and none may see another's memory. */
static void *allocate_and_free(void *data)
{
	struct worker *worker = data;
	struct _test_data_race *race = worker->race;
	size_t size;
	char *mem;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		size = (i * 7 + worker->nr * 3) % 16 + 1;
		size *= race->page;
		mem = p2p_map(race->provider, size);
		if (mem == MAP_FAILED) {
			count(&race->bad);
			continue;
		}
		p2p_fill(mem, size, worker->nr, i);
		if (i % 8 == 0 && race->works) {
			if (pread(race->disk, mem, size, 0) != size ||
			    p2p_unlike(mem, race->ram, size) != -1)
				count(&race->bad);
			p2p_fill(mem, size, worker->nr, i);
		}
		sched_yield();
		if (p2p_differs(mem, size, worker->nr, i) != -1)
			count(&race->bad);
		munmap(mem, size);
	}
	return NULL;
}

TEST_F(race, allocate_against_free)
{
	struct worker worker[NR_THREADS];
	int i;

	for (i = 0; i < NR_THREADS; i++)
		ASSERT_TRUE(start(&worker[i], self, i, allocate_and_free));
	for (i = 0; i < NR_THREADS; i++)
		pthread_join(worker[i].thread, NULL);
}

#define PMD_SIZE	(2 * MIB)
#define PUD_SIZE	(1024 * MIB)
#define ZAP_ROUNDS	10000

static void *load_always(void *data)
{
	struct _test_data_race *race = ((struct worker *)data)->race;

	while (!__atomic_load_n(&race->stop, __ATOMIC_ACQUIRE)) {
		p2p_load(race->mem);
		count(&race->good);
	}
	return NULL;
}

/*
 * A huge entry of this size is faulted in again while madvise() or mincore() is
 * about to descend to the next level, which does not exist.
 */
static void zap_against_huge_fault(struct __test_metadata *_metadata,
				   struct _test_data_race *self, size_t size)
{
	int i, kmsg = klog_open();
	unsigned char present[PMD_SIZE / (4 * KIB)];
	struct worker loader;

	ASSERT_LE(0, kmsg);
	ASSERT_TRUE(start(&loader, self, 0, load_always));
	for (i = 0; i < ZAP_ROUNDS || !__atomic_load_n(&self->good, __ATOMIC_RELAXED);
	     i++) {
		if (madvise(self->mem + i % 2 * (size / 2), size / 2,
			    MADV_DONTNEED) ||
		    mincore(self->mem, PMD_SIZE, present))
			count(&self->bad);
	}
	stop_and_join(&loader);
	/* The kernel must not report corrupt page tables. */
	EXPECT_FALSE(klog_said(kmsg, ": bad p", ""));
	close(kmsg);
}

TEST_F(race, zap_against_pmd_fault)
{
	munmap(self->mem, SIZE);
	self->mem = p2p_map(self->provider, PMD_SIZE);
	ASSERT_NE(MAP_FAILED, self->mem);
	zap_against_huge_fault(_metadata, self, PMD_SIZE);
	/* The fixture unmaps the rest. */
	EXPECT_EQ(0, munmap(self->mem + SIZE, PMD_SIZE - SIZE));
}

TEST_F(race, zap_against_pud_fault)
{
	/* Smaller memory has no such entries. */
	if (p2p_number(self->provider, "p2pmem/size") < (long long)PUD_SIZE)
		return;
	munmap(self->mem, SIZE);
	self->mem = p2p_map(self->provider, PUD_SIZE);
	ASSERT_NE(MAP_FAILED, self->mem);
	zap_against_huge_fault(_metadata, self, PUD_SIZE);
	EXPECT_EQ(0, munmap(self->mem + SIZE, PUD_SIZE - SIZE));
}

TEST_HARNESS_MAIN
