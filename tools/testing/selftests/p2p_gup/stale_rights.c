// SPDX-License-Identifier: GPL-2.0
/*
 * A process sees what another user left in peer-to-peer memory only if it has
 * CAP_SYS_RAWIO when it opens the file, at mmap(), and when it touches the
 * memory. Another process with the capability, such as a debugger, does not
 * help.
 */
#define _GNU_SOURCE
#include <linux/capability.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "stale_fixture.h"

/* A debugger reads memory that its child has not touched. */
TEST_F(stale, debugger)
{
	uint64_t words[SMALL / 8];
	char path[64];
	pid_t child;
	char *mem;
	int fd;

	EXPECT_EQ(0, as(ALICE, self, leave_every_word));
	/* Reserves the same address in the parent and the child. */
	mem = mmap(NULL, SMALL, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, mem);
	self->shared->steps = 0;
	child = users_fork(BOB);
	ASSERT_LE(0, child);
	if (!child) {
		if (mremap(again(self), SMALL, SMALL,
			   MREMAP_MAYMOVE | MREMAP_FIXED, mem) != mem)
			_exit(FOUND_ERROR);
		__atomic_store_n(&self->shared->steps, 1, __ATOMIC_RELEASE);
		pause();
	}
	while (!__atomic_load_n(&self->shared->steps, __ATOMIC_ACQUIRE))
		if (waitpid(child, NULL, WNOHANG))
			break;
	EXPECT_EQ(1, self->shared->steps);
	snprintf(path, sizeof(path), "/proc/%d/mem", child);
	fd = open(path, O_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(SMALL, pread(fd, words, SMALL, (off_t)mem));
	EXPECT_EQ(-1, p2p_not_set(words, SMALL, 0));
	close(fd);
	kill(child, SIGKILL);
	p2p_wait(child);
	munmap(mem, SMALL);
}

/* A file opened by root gives no more rights than the user's own. */
TEST_F(stale, open_file_given)
{
	int fd = p2p_open(self->provider, O_RDWR);
	pid_t child;

	ASSERT_LE(0, fd);
	EXPECT_EQ(0, as(ALICE, self, leave));
	child = users_fork(BOB);
	ASSERT_LE(0, child);
	if (!child) {
		char *mem = mmap(NULL, self->size, PROT_READ, MAP_SHARED,
				 fd, 0);

		if (mem == MAP_FAILED)
			_exit(FOUND_ERROR);
		_exit(users_phys(mem) != self->shared->phys ? FOUND_ELSEWHERE :
		      expect(self, mem, 0));
	}
	EXPECT_EQ(0, p2p_wait(child));
	close(fd);
}

/* A privileged program that maps a user's file does not help, either. */
static int map_what_user_opened(struct _test_data_stale *self)
{
	char *mem;
	int fd;

	if (setegid(USERS) || seteuid(BOB))
		return FOUND_ERROR;
	fd = p2p_open(self->provider, O_RDWR);
	if (fd < 0 || seteuid(0) || setegid(0))
		return FOUND_ERROR;
	mem = mmap(NULL, self->size, PROT_READ, MAP_SHARED, fd, 0);
	if (mem == MAP_FAILED)
		return FOUND_ERROR;
	return users_phys(mem) != self->shared->phys ? FOUND_ELSEWHERE :
						       expect(self, mem, 0);
}

TEST_F(stale, opened_by_user)
{
	EXPECT_EQ(0, as(ALICE, self, leave));
	EXPECT_EQ(0, as(0, self, map_what_user_opened));
}

static int drop_after_mmap(struct _test_data_stale *self)
{
	char *mem = again(self);

	return users_become(BOB) ? expect(self, mem, 0) : FOUND_ERROR;
}

TEST_F(stale, dropped_after_mmap)
{
	EXPECT_EQ(0, as(ALICE, self, leave));
	EXPECT_EQ(0, as(0, self, drop_after_mmap));
}

/* Data that root wrote is visible to processes that share the mapping. */
static int drop_in_child(struct _test_data_stale *self)
{
	char *mem = again(self);
	pid_t child;

	put(mem, PAGE, 1);
	child = users_fork(BOB);
	if (!child) {
		/*
		 * The last page is beyond the fault-around range of the first.
		 */
		_exit(has(mem, PAGE, 1) && has(mem + SMALL - PAGE, PAGE, 0) ?
		      FOUND_AS_WANTED : FOUND_OTHER);
	}
	return p2p_wait(child) || !has(mem, PAGE, 1);
}

TEST_F(stale, shared_by_root)
{
	EXPECT_EQ(0, as(ALICE, self, leave));
	EXPECT_EQ(0, as(0, self, drop_in_child));
}

/* A user with the capability sees all data, but does not pass it on. */
static int find_alices_by_capability(struct _test_data_stale *self)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2] = {};
	char *mem;

	data[0].effective = 1 << CAP_SYS_RAWIO;
	data[0].permitted = data[0].effective;
	if (prctl(PR_SET_KEEPCAPS, 1) || !users_become(BOB) ||
	    syscall(__NR_capset, &header, data))
		return FOUND_ERROR;
	/*
	 * The opener of the file needs the capability, too, so open another
	 * one.
	 */
	mem = p2p_map(self->provider, self->size);
	if (mem == MAP_FAILED)
		return FOUND_ERROR;
	return users_phys(mem) != self->shared->phys ? FOUND_ELSEWHERE :
						       expect(self, mem, ALICE);
}

TEST_F(stale, user_with_capability)
{
	EXPECT_EQ(0, as(ALICE, self, leave));
	EXPECT_EQ(0, as(0, self, find_alices_by_capability));
	EXPECT_EQ(0, as(BOB, self, find_nothing));
}

TEST_HARNESS_MAIN
