// SPDX-License-Identifier: GPL-2.0
/*
 * Data that one user left in peer-to-peer memory is never exposed to another:
 * two users alternate on the same memory, of each size, and use all of it, a
 * part or nothing. The memory is not cleared for a process that may see
 * everything, or that maps it through the same open file as before.
 */
#define _GNU_SOURCE
#include <signal.h>

#include "stale_fixture.h"

#define PUD		(1024 * MIB)

static int find_nothing_and_leave(struct _test_data_stale *self)
{
	char *mem = again(self);
	int found = expect(self, mem, 0);

	put(mem, self->size, getuid());
	return found;
}

static int find_bobs(struct _test_data_stale *self)
{
	return expect(self, again(self), BOB);
}

static int only_map(struct _test_data_stale *self)
{
	again(self);
	return FOUND_AS_WANTED;
}

static void take_turns(struct __test_metadata *_metadata,
		       struct _test_data_stale *self, size_t size)
{
	self->size = size;
	EXPECT_EQ(0, as(ALICE, self, leave));
	EXPECT_EQ(0, as(ALICE, self, find_own));
	EXPECT_EQ(0, as(BOB, self, find_nothing_and_leave));
	EXPECT_EQ(0, as(BOB, self, find_own));
	/* Root sees the old data, and then the memory has no owner any more. */
	EXPECT_EQ(0, as(0, self, find_bobs));
	EXPECT_EQ(0, as(0, self, leave));
	EXPECT_EQ(0, as(BOB, self, find_nothing_and_leave));
	EXPECT_EQ(0, as(ALICE, self, find_nothing));
}

TEST_F(stale, base_pages)
{
	take_turns(_metadata, self, SMALL);
}

TEST_F(stale, pmd)
{
	take_turns(_metadata, self, PMD);
}

/* Parts of large buffers are base pages. */
TEST_F(stale, pmd_and_more)
{
	take_turns(_metadata, self, PMD + 5 * PAGE);
}

TEST_F(stale, pud)
{
	/* Large enough memory is also aligned to a PUD. */
	if (self->before >= (long long)PUD)
		take_turns(_metadata, self, PUD);
}

/* A block is either cleared as a whole, or unchanged. */
static int find_own_or_nothing(struct _test_data_stale *self)
{
	char *mem = again(self);
	size_t i;

	for (i = 0; i < self->size; i += PMD)
		if (!has(mem + i, PMD, p2p_load(mem + i) ? getuid() : 0))
			return FOUND_OTHER;
	return FOUND_AS_WANTED;
}

/*
 * A process that waits for much memory to be cleared can be killed at any time.
 */
TEST_F(stale, killed_while_clearing)
{
	pid_t bob;
	int i;

	if (self->before < (long long)PUD)
		return;
	self->size = PUD;
	EXPECT_EQ(0, as(ALICE, self, leave));
	for (i = 0; i < 4; i++) {
		self->shared->steps = 0;
		bob = users_fork(BOB);
		ASSERT_LE(0, bob);
		if (!bob) {
			char *mem = again(self);

			__atomic_store_n(&self->shared->steps, 1, __ATOMIC_RELEASE);
			p2p_load(mem + (i % 2 ? PUD / 2 : 0));
			pause();
		}
		while (!__atomic_load_n(&self->shared->steps, __ATOMIC_ACQUIRE))
			if (waitpid(bob, NULL, WNOHANG))
				break;
		usleep(20000 * i);
		kill(bob, SIGKILL);
		EXPECT_EQ(-1, p2p_wait(bob));
		EXPECT_EQ(0, as(ALICE, self, find_own_or_nothing));
	}
	EXPECT_EQ(0, as(BOB, self, find_nothing));
}

/*
 * Maps the same memory through another file than the one the user keeps open.
 */
static char *map_by(struct _test_data_stale *self, int fd)
{
	char *mem = mmap(NULL, self->size, PROT_READ | PROT_WRITE, MAP_SHARED,
			 fd, 0);

	if (mem == MAP_FAILED)
		_exit(FOUND_ERROR);
	if (users_phys(mem) != self->shared->phys)
		_exit(FOUND_ELSEWHERE);
	return mem;
}

static int find_nothing_by_other_file(struct _test_data_stale *self)
{
	return expect(self, map_by(self, p2p_open(self->provider, O_RDWR)), 0);
}

static int find_own_by_copy(struct _test_data_stale *self)
{
	return expect(self, map_by(self, dup(self->files[getuid() - ALICE])),
		      getuid());
}

/*
 * A user ID is not sufficient, since containers may share it. The open file is.
 */
TEST_F(stale, same_user)
{
	static const size_t sizes[] = { SMALL, PMD };
	int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		self->size = sizes[i];
		EXPECT_EQ(0, as(ALICE, self, leave));
		EXPECT_EQ(0, as(ALICE, self, find_own_by_copy));
		EXPECT_EQ(0, as(ALICE, self, find_nothing_by_other_file));
		/*
		 * The other file is closed, but the memory no longer belongs to
		 * this one.
		 */
		EXPECT_EQ(0, as(ALICE, self, find_nothing));
	}
}

/* Users who share an open file do not see each other's data. */
static int find_nothing_by_alices(struct _test_data_stale *self)
{
	return expect(self, map_by(self, self->files[0]), 0);
}

TEST_F(stale, file_of_another_user)
{
	EXPECT_EQ(0, as(ALICE, self, leave));
	EXPECT_EQ(0, as(BOB, self, find_nothing_by_alices));
	EXPECT_EQ(0, as(BOB, self, find_nothing_by_alices));
	EXPECT_EQ(0, as(ALICE, self, find_nothing));
	/* Clearing a large folio takes several steps, and completes. */
	if (self->before < (long long)PUD)
		return;
	self->size = PUD;
	EXPECT_EQ(0, as(ALICE, self, leave));
	EXPECT_EQ(0, as(BOB, self, find_nothing_by_alices));
}

/* Only use counts, not mmap(). */
TEST_F(stale, not_touched)
{
	EXPECT_EQ(0, as(ALICE, self, leave));
	EXPECT_EQ(0, as(BOB, self, only_map));
	EXPECT_EQ(0, as(ALICE, self, find_own));
	EXPECT_EQ(0, as(ALICE, self, only_map));
	EXPECT_EQ(0, as(BOB, self, find_nothing));
}

static int touch_first_page(struct _test_data_stale *self)
{
	return p2p_load(again(self)) ? FOUND_OTHER : FOUND_AS_WANTED;
}

static int find_own_but_first_page(struct _test_data_stale *self)
{
	char *last, *mem = again(self);

	last = mem + self->size - PAGE;
	return has(mem, PAGE, 0) && has(last, PAGE, ALICE) ? FOUND_AS_WANTED :
							     FOUND_OTHER;
}

/* Memory is cleared in units of a fault. */
TEST_F(stale, touched_in_part)
{
	EXPECT_EQ(0, as(ALICE, self, leave));
	EXPECT_EQ(0, as(BOB, self, touch_first_page));
	EXPECT_EQ(0, as(ALICE, self, find_own_but_first_page));
	EXPECT_EQ(0, as(BOB, self, find_nothing));
}

/* The remaining parts belong to the same buffer, cleared or not. */
static int unmap_parts(struct _test_data_stale *self)
{
	char *mem = again(self);
	size_t half = self->size / 2;

	put(mem, PAGE, BOB);
	if (munmap(mem + PAGE, half))
		return FOUND_ERROR;
	return has(mem, PAGE, BOB) &&
	       has(mem + half + PAGE, half - PAGE, 0) ? FOUND_AS_WANTED :
							FOUND_OTHER;
}

TEST_F(stale, partial_munmap)
{
	EXPECT_EQ(0, as(ALICE, self, leave));
	EXPECT_EQ(0, as(BOB, self, unmap_parts));
	EXPECT_EQ(0, as(ALICE, self, leave));
	self->size = PMD;
	EXPECT_EQ(0, as(ALICE, self, leave));
	EXPECT_EQ(0, as(BOB, self, unmap_parts));
}

/* Memory in use is never cleared, whoever faults it in again. */
static int share_with_child(struct _test_data_stale *self)
{
	char *mem = again(self), *second = mem + self->size / 2;
	pid_t child;

	put(mem, PAGE, 1);
	child = fork();
	if (!child) {
		if (!has(mem, PAGE, 1) || !has(second, self->size / 2, 0))
			_exit(FOUND_OTHER);
		put(second, PAGE, 2);
		_exit(FOUND_AS_WANTED);
	}
	if (p2p_wait(child))
		return FOUND_OTHER;
	if (madvise(mem, self->size, MADV_DONTNEED))
		return FOUND_ERROR;
	return has(mem, PAGE, 1) && has(second, PAGE, 2) ? FOUND_AS_WANTED :
							   FOUND_OTHER;
}

TEST_F(stale, fork)
{
	EXPECT_EQ(0, as(ALICE, self, leave));
	EXPECT_EQ(0, as(BOB, self, share_with_child));
	self->size = PMD;
	EXPECT_EQ(0, as(ALICE, self, leave));
	EXPECT_EQ(0, as(BOB, self, share_with_child));
}

/* Every word is cleared, not only those that the other tests look at. */
static int find_no_word(struct _test_data_stale *self)
{
	return p2p_not_set(again(self), self->size, 0) == -1 ? FOUND_AS_WANTED :
							      FOUND_OTHER;
}

TEST_F(stale, every_word)
{
	EXPECT_EQ(0, as(ALICE, self, leave_every_word));
	EXPECT_EQ(0, as(BOB, self, find_no_word));
}

TEST_HARNESS_MAIN
