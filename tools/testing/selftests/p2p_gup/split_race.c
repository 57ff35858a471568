// SPDX-License-Identifier: GPL-2.0
/*
 * Threads touch a mapping while others zap parts of it, which removes huge
 * entries, and use it in ways that split them. No access fails, no data is
 * lost, and the kernel logs no error.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "klog.h"
#include "variants.h"

#define PMD		(2 * MIB)
#define PUD		(1024 * MIB)
#define SOME		(16 * MIB)
#define SECONDS		3

FIXTURE(split_race)
{
	const char *provider;
	long long before;
	char *mem;
	size_t size;
	int klog;
	int clear_refs;
	int stop;
	long bad;
};

P2P_VARIANTS(split_race, NULL, NULL);

FIXTURE_SETUP(split_race)
{
	self->provider = variant->p2p.provider;
	self->before = p2p_available(self->provider);
	self->klog = klog_open();
	ASSERT_LE(0, self->klog);
	self->clear_refs = open("/proc/self/clear_refs", O_WRONLY);
	ASSERT_LE(0, self->clear_refs);
}

FIXTURE_TEARDOWN(split_race)
{
	munmap(self->mem, self->size);
	close(self->clear_refs);
	close(self->klog);
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

typedef void step(struct _test_data_split_race *self);

/* Each writing thread has its own words. */
static void touch(struct _test_data_split_race *self, size_t offset)
{
	char *word = self->mem + offset;
	uint64_t i;

	for (i = 1; i <= 100; i++) {
		p2p_store(word, i);
		p2p_store(word + self->size / 2, i);
		if (p2p_load(word) != i || p2p_load(word + self->size / 2) != i)
			__atomic_add_fetch(&self->bad, 1, __ATOMIC_RELAXED);
	}
}

static void touch_one(struct _test_data_split_race *self)
{
	touch(self, 0);
}

static void touch_other(struct _test_data_split_race *self)
{
	touch(self, self->size / 4);
}

/* Zapped pages are faulted in again, with their data. */
static void drop_part(struct _test_data_split_race *self)
{
	if (madvise(self->mem + self->size - 64 * KIB, 4 * KIB, MADV_DONTNEED))
		__atomic_add_fetch(&self->bad, 1, __ATOMIC_RELAXED);
}

static void clear_refs(struct _test_data_split_race *self)
{
	if (pwrite(self->clear_refs, "1", 1, 0) != 1)
		__atomic_add_fetch(&self->bad, 1, __ATOMIC_RELAXED);
}

struct racer {
	struct _test_data_split_race *self;
	step *step;
	pthread_t thread;
};

static void *race(void *arg)
{
	struct racer *racer = arg;
	struct _test_data_split_race *self = racer->self;

	while (!__atomic_load_n(&self->stop, __ATOMIC_ACQUIRE))
		racer->step(self);
	return NULL;
}

static void race_in(struct __test_metadata *_metadata,
		    struct _test_data_split_race *self, size_t size)
{
	struct racer racers[] = {
		{ .step = touch_one }, { .step = touch_other },
		{ .step = drop_part }, { .step = clear_refs },
	};
	const size_t nr = sizeof(racers) / sizeof(*racers);
	size_t i;

	self->size = size;
	self->mem = p2p_map(self->provider, size);
	ASSERT_NE(MAP_FAILED, self->mem);
	for (i = 0; i < nr; i++) {
		racers[i].self = self;
		ASSERT_EQ(0, pthread_create(&racers[i].thread, NULL, race,
					    &racers[i]));
	}
	sleep(SECONDS);
	__atomic_store_n(&self->stop, 1, __ATOMIC_RELEASE);
	for (i = 0; i < nr; i++)
		EXPECT_EQ(0, pthread_join(racers[i].thread, NULL));
	EXPECT_EQ(0, self->bad);
	EXPECT_FALSE(klog_said(self->klog, "WARNING", ""));
}

TEST_F(split_race, pmd)
{
	race_in(_metadata, self, PMD);
}

/* If the provider is large enough. */
TEST_F(split_race, pud)
{
	race_in(_metadata, self, self->before < (long long)PUD ? SOME : PUD);
}

TEST_HARNESS_MAIN
