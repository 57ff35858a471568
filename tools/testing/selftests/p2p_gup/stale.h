/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Two users who get the same peer-to-peer memory, one after the other: what a user
 * leaves there, and what the next one finds, each in a process of its own.
 */
#ifndef P2P_STALE_H
#define P2P_STALE_H

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "users.h"
#include "variants.h"

#define PAGE		(4 * KIB)
#define SMALL		(32 * PAGE)	/* base pages */
#define PMD		(2 * MIB)

/* What a child finds, as its exit status. */
#define FOUND_AS_WANTED	0
#define FOUND_OTHER	1		/* data that it should not see, or its own gone */
#define FOUND_ELSEWHERE	2		/* it got other memory: nothing is shown */
#define FOUND_ERROR	3

struct shared {
	uint64_t phys;			/* where the memory was */
	int steps;
};

FIXTURE(stale)
{
	const char *provider;
	long long before;
	size_t size;
	int disk;
	bool works;
	struct shared *shared;
	int files[BOB - ALICE + 1];	/* each opened by its user */
};

P2P_VARIANTS(stale, NULL, "raw", NULL);

/* Opens p2pmem/allocate as another user would. */
static inline int open_as(const char *provider, uid_t uid)
{
	int fd;

	if (setegid(USERS) || seteuid(uid))
		return -1;
	fd = p2p_open(provider, O_RDWR);
	return seteuid(0) || setegid(0) ? -1 : fd;
}

/* Those of a provider that went are of no use. */
static inline bool open_files(struct _test_data_stale *self)
{
	uid_t uid;

	for (uid = ALICE; uid <= BOB; uid++) {
		self->files[uid - ALICE] = open_as(self->provider, uid);
		if (self->files[uid - ALICE] < 0)
			return false;
	}
	return true;
}

static inline void close_files(struct _test_data_stale *self)
{
	uid_t uid;

	for (uid = ALICE; uid <= BOB; uid++)
		close(self->files[uid - ALICE]);
}

FIXTURE_SETUP(stale)
{
	self->provider = variant->p2p.provider;
	self->before = p2p_available(self->provider);
	self->size = SMALL;
	self->works = p2p_reaches(variant->p2p.disk, self->provider);
	self->disk = open(p2p_disk(variant->p2p.disk), O_RDWR | O_DIRECT);
	ASSERT_LE(0, self->disk);
	self->shared = mmap(NULL, sizeof(*self->shared), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->shared);
	ASSERT_TRUE(users_admit(self->provider, USERS));
	ASSERT_TRUE(open_files(self));
}

FIXTURE_TEARDOWN(stale)
{
	close_files(self);
	close(self->disk);
	EXPECT_TRUE(users_admit(self->provider, 0));
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

/* Memory may be slow: the first and the last word of a page stand for it. */
static inline void put(char *mem, size_t size, uint64_t word)
{
	size_t i;

	for (i = 0; i < size; i += PAGE) {
		p2p_store(mem + i, word);
		p2p_store(mem + i + PAGE - 8, word);
	}
}

static inline bool has(const char *mem, size_t size, uint64_t word)
{
	size_t i;

	for (i = 0; i < size; i += PAGE)
		if (p2p_load(mem + i) != word ||
		    p2p_load(mem + i + PAGE - 8) != word)
			return false;
	return true;
}

/* Runs a part in a child as this user, 0 for root with all capabilities. */
static inline int as(uid_t uid, struct _test_data_stale *self,
		     int (*part)(struct _test_data_stale *self))
{
	pid_t child = users_fork(uid);

	if (!child)
		_exit(part(self));
	return child < 0 ? -1 : users_wait(child);
}

/* Maps with the file that the user has open all the time; root has none. */
static inline char *map_as_user(struct _test_data_stale *self)
{
	uid_t uid = getuid();

	if (!uid)
		return p2p_map(self->provider, self->size);
	return mmap(NULL, self->size, PROT_READ | PROT_WRITE, MAP_SHARED,
		    self->files[uid - ALICE], 0);
}

/* Parts. The data that a user leaves is the user's number. */

static inline int leave(struct _test_data_stale *self)
{
	char *mem = map_as_user(self);

	if (mem == MAP_FAILED)
		return FOUND_ERROR;
	put(mem, self->size, getuid());
	self->shared->phys = users_phys(mem);
	return FOUND_AS_WANTED;
}

/* Maps the same memory once more, but does not touch it. */
static inline char *again(struct _test_data_stale *self)
{
	char *mem = map_as_user(self);

	if (mem == MAP_FAILED)
		_exit(FOUND_ERROR);
	if (users_phys(mem) != self->shared->phys)
		_exit(FOUND_ELSEWHERE);
	return mem;
}

static inline int expect(struct _test_data_stale *self, const char *mem,
			 uint64_t word)
{
	return has(mem, self->size, word) ? FOUND_AS_WANTED : FOUND_OTHER;
}

static inline int find_nothing(struct _test_data_stale *self)
{
	return expect(self, again(self), 0);
}

static inline int find_own(struct _test_data_stale *self)
{
	return expect(self, again(self), getuid());
}

static inline int find_alices(struct _test_data_stale *self)
{
	return expect(self, again(self), ALICE);
}

/* Every word, not only those that put() stands for. */
static inline int leave_every_word(struct _test_data_stale *self)
{
	char *mem = map_as_user(self);

	if (mem == MAP_FAILED)
		return FOUND_ERROR;
	p2p_fill(mem, self->size, getuid(), 0);
	self->shared->phys = users_phys(mem);
	return FOUND_AS_WANTED;
}

#endif
